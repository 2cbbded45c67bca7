"""All keys, as the app and its widgets themselves declare them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from k8sdoctor.render.layout import columns, wrap
from k8sdoctor.tui.screens.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from textual.app import App
    from textual.dom import DOMNode
    from textual.screen import Screen

OURS = "k8sdoctor."
KEYS_WIDTH = 16
"""Columns for the keys; where they need more, what they do stands below."""

MOUSE = "The mouse works too: click, double-click, wheel, and drag to select text."


class HelpScreen(Reader):
    """Shows the keys in groups: those that work everywhere, then those of each part of a screen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "close", "Close", show=False)]
    LAID_OUT = True

    def __init__(self, screen: Screen[Any]) -> None:
        """The screen is the one whose keys are to be told."""
        super().__init__("Keys")
        self.groups = groups(screen)
        self._width = 0

    def fill(self, width: int) -> None:
        """From the top again."""
        if width != self._width:
            self._width = width
            text: list[str] = []
            headings: list[int] = []
            for title, keys in self.groups.items():
                headings.append(len(text))
                text += [title, *(line for told, does in keys.items() for line in _row(told, does, width)), ""]
            self.body.show_text("\n".join([*text, *wrap(MOUSE, width)]), headings=headings)


def groups(screen: Screen[Any]) -> dict[str, dict[str, str]]:
    """By title of a group: what each key does. Parts of the screen with the same keys share a group."""
    app = screen.app
    active = screen.active_bindings.values()
    everywhere = [each.binding for node in (app, screen) for each in active if each.node is node]
    found = {"Everywhere": _keys(app, everywhere)}
    for widget in screen.walk_children():
        if type(widget).__module__.startswith(OURS) and (keys := _keys(app, _declared(type(widget)))):
            title = widget.BINDING_GROUP_TITLE or _words(type(widget).__name__)
            same = next((name for name, others in found.items() if others == keys), None)
            if same is None:
                found[title] = keys
            elif title not in same.split(", "):
                found = {f"{name}, {title}" if name == same else name: others for name, others in found.items()}
    return found


def _declared(kind: type[DOMNode]) -> Iterator[Binding]:
    """The bindings of a widget's class and of those that it inherits from, its own first."""
    for each in kind.__mro__:
        yield from Binding.make_bindings(vars(each).get("BINDINGS", ()))
        if not vars(each).get("_inherit_bindings", True):  # the class was made with inherit_bindings=False
            return


def _keys(app: App[Any], bindings: Iterable[Binding]) -> dict[str, str]:
    """Keys, together where they do the same, and what they do."""
    taken: set[str] = set()
    by_action: dict[str, tuple[list[str], str]] = {}
    for binding in bindings:
        does = binding.tooltip or binding.description
        if binding.key in taken or not does:
            continue
        taken.add(binding.key)
        keys, _ = by_action.setdefault(binding.action, ([], does))
        keys.append(app.get_key_display(binding))
    return {" ".join(dict.fromkeys(keys)): does for keys, does in by_action.values()}


def _words(name: str) -> str:
    """`CheckList` as a person writes it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _row(keys: str, does: str, width: int) -> Iterator[str]:
    indent = " " * (KEYS_WIDTH + 3)
    told = wrap(does, width - len(indent))
    if columns(keys) <= KEYS_WIDTH:
        yield f"  {keys}{' ' * (KEYS_WIDTH - columns(keys))} {told[0]}"
        told = told[1:]
    else:
        yield f"  {keys}"
    yield from (f"{indent}{line}" for line in told)
