"""What PyYAML lets out beside its own errors."""

from __future__ import annotations

MISFITS = (AttributeError, IndexError, KeyError)
"""Raised for a value that does not fit its tag, such as `!!timestamp x`, `!!int ''` and `!!bool x` (PyYAML `SafeConstructor`)."""
