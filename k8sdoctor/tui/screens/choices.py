"""A list to choose from, one or several, that can be read without colour: `> [x] what is chosen`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from k8sdoctor.tui.screens.dialog import plain
from k8sdoctor.tui.screens.keys import LIST_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from textual.events import Blur, Focus


class Choices(OptionList, inherit_bindings=False):
    """Options by their value. Space and a click choose; Enter is the dialog's.

    Textual's SelectionList and RadioSet tell chosen from not chosen by colour alone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose"),
        *LIST_KEYS,
    ]

    DEFAULT_CSS = """
    Choices, Choices:focus {
        width: 100%;
        height: auto;
        max-height: 100%;
        border: none;
        padding: 0;
        background: transparent;
    }
    """

    class Changed(Message):
        """Something was chosen, or let go of."""

    def __init__(
        self,
        options: Mapping[str, str],
        chosen: Iterable[str] = (),
        *,
        several: bool,
        id: str | None = None,  # noqa: A002 -- textual's name
        classes: str | None = None,
    ) -> None:
        """`options` says how each value is shown. Without `several`, choosing one lets go of the other."""
        super().__init__(id=id, classes=classes, markup=False)
        self.texts = options
        self.several = several
        self._chosen = set(chosen)
        self._marked: int | None = None
        self.add_options(Option(plain(self._line(value, marked=False)), id=value) for value in options)
        self.highlighted = next((index for index, value in enumerate(options) if value in self._chosen), 0)

    @property
    def chosen(self) -> list[str]:
        """The values chosen, in the order in which they stand there."""
        return [value for value in self.texts if value in self._chosen]

    @property
    def value(self) -> str | None:
        """The value under the cursor."""
        return None if self.highlighted is None else self.get_option_at_index(self.highlighted).id

    def choose(self, value: str) -> None:
        """Choose one more value, or this one in the other's place."""
        if value not in self._chosen:
            self._chosen = {*self._chosen, value} if self.several else {value}
            self._changed()

    def action_choose(self) -> None:
        """Choose the value under the cursor, or let go of it where there may be several."""
        if (value := self.value) is None:
            return
        if not self.several:
            self._chosen = {value}
        elif value in self._chosen:
            self._chosen.remove(value)
        else:
            self._chosen.add(value)
        self._changed()

    @on(OptionList.OptionSelected)
    def _click(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_choose()

    @on(OptionList.OptionHighlighted)
    def _mark(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        before, self._marked = self._marked, self.highlighted
        self._paint(index for index in (before, self._marked) if index is not None)

    def on_focus(self, _event: Focus) -> None:
        """Show the cursor."""
        self._paint(range(self.option_count))

    def on_blur(self, _event: Blur) -> None:
        """Show none: keys go elsewhere."""
        self._paint(range(self.option_count))

    def _changed(self) -> None:
        self._paint(range(self.option_count))
        self.post_message(self.Changed())

    def _paint(self, indices: Iterable[int]) -> None:
        for index in indices:
            value = self.get_option_at_index(index).id or ""
            marked = self.has_focus and index == self.highlighted
            self.replace_option_prompt_at_index(index, plain(self._line(value, marked=marked)))

    def _line(self, value: str, *, marked: bool) -> str:
        before, after = "[]" if self.several else "()"
        chosen = "x" if value in self._chosen else " "
        return f"{'>' if marked else ' '} {before}{chosen}{after} {self.texts[value]}"
