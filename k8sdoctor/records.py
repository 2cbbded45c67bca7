"""Dataclasses that are made when they are first used.

`dataclasses.dataclass` compiles half a dozen methods for each class, 0.6 ms of CPU on Python 3.11, and there are hundreds of records here, of
which a run uses some and `k8sdoctor list` hardly any. This decorator leaves a class as it was written until the first instance is wanted, and
then has the standard library make it the dataclass that it was to be, with those methods shared that are alike in all. To type checkers it is `dataclasses.dataclass`.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 -- so that it counts as exported
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, slots: bool = False) -> Callable[[type], type]:
        """Make a dataclass of a class, later.

        `slots` is for type checkers, which then refuse other attributes: a class that has been handed out cannot be given slots.
        """
        del slots
        return functools.partial(_put_off, frozen=frozen, eq=eq)


_lock = threading.RLock()
_waiting: dict[type, dict[str, object]] = {}


def _put_off(cls: type, *, frozen: bool, eq: bool) -> type:
    """The class itself, which is completed when the first instance is made, before anything looks for its `__init__`."""

    def new(wanted: type, /, *_: Any, **__: Any) -> Any:
        if cls in _waiting:
            _complete(cls)
        return object.__new__(wanted)

    cls.__new__ = new  # type: ignore[method-assign]  # a plain function is what a class body would hold
    _waiting[cls] = {"__repr__": _shown, **(_EQUALITY[frozen] if eq else {}), **(_FROZEN if frozen else {})}
    return cls


def _complete(cls: type) -> None:
    with _lock:
        for each in reversed(cls.__mro__):  # a dataclass takes over the fields of its bases, so they come first
            if each in _waiting:
                _make(each, _waiting[each])
                del _waiting[each]  # only now, so that another thread waits here for a class that is half done


def _make(cls: Any, shared: dict[str, object]) -> None:
    """Have the library write `__init__`, which is peculiar to each class; what is alike in all of them is shared and not compiled again."""
    dataclasses.dataclass(eq=False, repr=False)(cls)
    for name, method in shared.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)


@functools.cache
def _reader(cls: Any) -> Callable[[Any], Any]:
    """What takes the values that count from a record, at the speed of C: a certificate is compared a thousand times a run."""
    names = [each.name for each in dataclasses.fields(cls) if each.compare]
    return operator.attrgetter(*names) if names else lambda _record: ()


def _values(record: Any) -> Any:
    return _reader(record.__class__)(record)


def _equal(self: Any, other: object) -> bool:
    if self is other:
        return True
    return bool(_values(self) == _values(other)) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _shown(self: Any) -> str:
    fields = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
    return f"{type(self).__qualname__}({fields})"


def _set(self: Any, name: str, value: object) -> None:
    """`__init__` sets each field once; nobody sets one again."""
    if name in self.__dict__:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
    self.__dict__[name] = value


def _delete(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_EQUALITY: dict[bool, dict[str, object]] = {
    True: {"__eq__": _equal, "__hash__": _hash},
    False: {"__eq__": _equal, "__hash__": None},  # what changes can be no key, as the library has it
}
"""What makes records equal by their values, of those that are frozen and of those that are not."""

_FROZEN: dict[str, object] = {"__setattr__": _set, "__delattr__": _delete}
