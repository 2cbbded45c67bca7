"""What can be written as JSON or YAML."""

from __future__ import annotations

from typing import Any, Protocol


class Documented(Protocol):
    """A report or a comparison."""

    def document(self) -> dict[str, Any]:
        """All of it, of what JSON can hold."""
