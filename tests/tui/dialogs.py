"""Opens one dialog over an app that has nothing else, and keeps what it gave back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot
    from textual.screen import ModalScreen

WATCHDOG = 60.0
CALM = 3
"""So many looks in a row show the same before a screen counts as laid out."""

SIZES = [(80, 24), (40, 24), (40, 12), (200, 60)]

D = TypeVar("D", bound="ModalScreen[Any]")


class Desk(App[None]):
    """An app whose own keys must not be reached while a dialog is open."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("x,j,k,y,n,w", "touch", "Touch the app")]

    def __init__(self) -> None:
        super().__init__()
        self.touched = 0
        self.copied: list[str] = []

    def compose(self) -> Any:
        yield Static("the app below", markup=False)

    def action_touch(self) -> None:
        self.touched += 1

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)


class Opened(Generic[D]):
    """A dialog on the screen, and what it gave back when it was left."""

    def __init__(self, pilot: Pilot[None], dialog: D) -> None:
        self.pilot = pilot
        self.dialog = dialog
        self.results: list[Any] = []

    @property
    def desk(self) -> Desk:
        assert isinstance(self.pilot.app, Desk)
        return self.pilot.app

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the screen stays as it is: a layout may take several rounds of messages."""
        before, calm = None, 0
        async with asyncio.timeout(WATCHDOG):
            while calm < CALM:
                await asyncio.sleep(0.01)
                await self.pilot.pause()
                now = self.shown()
                calm = calm + 1 if now == before else 0
                before = now

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for something that another thread does."""
        async with asyncio.timeout(WATCHDOG):
            while not true():
                await asyncio.sleep(0.01)
                await self.pilot.pause()

    @property
    def result(self) -> Any:
        """What the dialog gave; it must have been left, once."""
        [result] = self.results
        return result

    @property
    def closed(self) -> bool:
        return bool(self.results)

    def shown(self) -> str:
        """All that stands on the screen now, line by line, without its colours."""
        screen = self.pilot.app.screen
        return "\n".join(
            "".join(segment.text for segment in strip).rstrip()
            for strip in screen._compositor.render_strips(screen.size)
        )

    def says(self, text: str) -> bool:
        """Whether a text stands on the screen, wherever it is broken into lines."""
        return _without_spaces(text) in _without_spaces(self.shown().replace("│", ""))


def _without_spaces(text: str) -> str:
    return "".join(text.split())


@contextlib.asynccontextmanager
async def opened(dialog: D, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Opened[D]]:
    """The dialog over an app, on a terminal of that size."""
    desk = Desk()
    async with desk.run_test(size=size) as pilot:
        there = Opened(pilot, dialog)
        await desk.push_screen(dialog, there.results.append)
        await there.until(lambda: desk.screen is dialog and dialog.children)
        await there.settle()
        yield there
