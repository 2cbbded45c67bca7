"""Frozen dataclasses that are made when they are first used.

`dataclasses.dataclass` compiles half a dozen methods for each class, 0.6 ms of CPU on Python 3.11, and there are hundreds of records here, of
which a run uses some and `k8sdoctor list` none. This decorator leaves a class as it was written until the first instance is wanted, and
then has the standard library make it the dataclass that it was to be. To type checkers it is `dataclasses.dataclass`.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 -- so that it counts as exported
else:

    def dataclass(*, frozen: bool, slots: bool = False) -> Callable[[type], type]:
        """Make a frozen dataclass of a class, later.

        `slots` is for type checkers, which then refuse other attributes: a class that has been handed out cannot be given slots.
        """
        del slots
        if not frozen:
            raise ValueError("a record is frozen; a dataclass that changes is one of `dataclasses`")
        return _put_off


_lock = threading.RLock()
_waiting: set[type] = set()


def _put_off(cls: type) -> type:
    """The class itself, which is completed when the first instance is made, before anything looks for its `__init__`."""

    def new(wanted: type, *_: Any, **__: Any) -> Any:
        if cls in _waiting:
            _complete(cls)
        return object.__new__(wanted)

    cls.__new__ = new  # type: ignore[assignment,method-assign]  # a plain function is what a class body would hold
    _waiting.add(cls)
    return cls


def _complete(cls: type) -> None:
    with _lock:
        for each in reversed(cls.__mro__):  # a dataclass takes over the fields of its bases, so they come first
            if each in _waiting:
                dataclasses.dataclass(frozen=True)(each)
                _waiting.discard(each)  # only now, so that another thread waits here for a class that is half done
