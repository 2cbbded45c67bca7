"""Dataclasses that are made when they are first used.

`dataclasses.dataclass` compiles half a dozen methods for each class, 0.6 ms of CPU on Python 3.11, and there are hundreds of records here, of
which a run uses some and `k8sdoctor list` hardly any. This decorator leaves a class as it was written until the first instance is wanted, and
then has the standard library make it the dataclass that it was to be, but for the methods: all records share one of each. A field's place, default
and share in equality and `repr` are as in the library; nothing here uses `InitVar`, `kw_only` or `init=False`. To type checkers it is `dataclasses.dataclass`.
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
    _waiting[cls] = {
        "__init__": _fill,
        "__repr__": _shown,
        **(_EQUALITY[frozen] if eq else {}),
        **(_FROZEN if frozen else {}),
    }
    return cls


def _complete(cls: type) -> None:
    with _lock:
        for each in reversed(cls.__mro__):  # a dataclass takes over the fields of its bases, so they come first
            if each in _waiting:
                _make(each, _waiting[each])
                del _waiting[each]  # only now, so that another thread waits here for a class that is half done


def _make(cls: Any, shared: dict[str, object]) -> None:
    """Have the library find the fields; the methods are the same functions for all records, so that none is compiled."""
    dataclasses.dataclass(init=False, eq=False, repr=False)(cls)
    for name, method in shared.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)


class _Fields:
    """What `__init__` of a record takes: names in their order, and of some a value, or what makes one, where none is given."""

    def __init__(self, cls: Any) -> None:
        fields = dataclasses.fields(cls)
        self.cls = cls
        self.names = tuple(each.name for each in fields)
        self.defaults = {each.name: each.default for each in fields if each.default is not dataclasses.MISSING}
        self.makers = {
            each.name: each.default_factory for each in fields if each.default_factory is not dataclasses.MISSING
        }
        self.checks = hasattr(cls, "__post_init__")

    def complete(self, values: tuple[object, ...], named: dict[str, object]) -> tuple[object, ...]:
        """A value for each name. Raises TypeError as Python does for a call that does not fit."""
        given = dict(zip(self.names, values, strict=False))
        if len(values) > len(self.names):
            raise self._wrong(f"takes {len(self.names)} arguments but {len(values)} were given")
        for name in named:
            if name in given:
                raise self._wrong(f"got multiple values for argument {name!r}")
            if name not in self.names:
                raise self._wrong(f"got an unexpected keyword argument {name!r}")
        given = {**self.defaults, **given, **named}
        for name, make in self.makers.items():
            if name not in given:
                given[name] = make()
        missing = [repr(name) for name in self.names if name not in given]
        if missing:
            plural = "s" * (len(missing) > 1)
            raise self._wrong(f"missing {len(missing)} required positional argument{plural}: {', '.join(missing)}")
        return tuple([given[name] for name in self.names])

    def _wrong(self, what: str) -> TypeError:
        return TypeError(f"{self.cls.__qualname__}.__init__() {what}")


_fields = functools.cache(_Fields)


def _fill(self: Any, /, *values: object, **named: object) -> None:
    """Every record's `__init__`."""
    fields = _fields(self.__class__)
    if named or len(values) != len(fields.names):
        values = fields.complete(values, named)
    for name, value in zip(fields.names, values):  # noqa: B905 -- as long as each other
        _put(self, name, value)
    if fields.checks:
        self.__post_init__()


_put = object.__setattr__  # past the guard of what is frozen


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


def _set(_self: Any, name: str, _value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(_self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_EQUALITY: dict[bool, dict[str, object]] = {
    True: {"__eq__": _equal, "__hash__": _hash},
    False: {"__eq__": _equal, "__hash__": None},  # what changes can be no key, as the library has it
}
"""What makes records equal by their values, of those that are frozen and of those that are not."""

_FROZEN: dict[str, object] = {"__setattr__": _set, "__delattr__": _delete}
