"""Keys that mean the same in every list of the app: those of vim beside the arrows."""

from __future__ import annotations

from textual.binding import Binding

LIST_KEYS = (
    Binding("down,j", "cursor_down", "Down", show=False),
    Binding("up,k", "cursor_up", "Up", show=False),
    Binding("home,g", "first", "First", show=False),
    Binding("end,G", "last", "Last", show=False),
    Binding("pagedown,ctrl+d", "page_down", "Page down", show=False),
    Binding("pageup,ctrl+u", "page_up", "Page up", show=False),
)
"""For an OptionList and its kin."""
