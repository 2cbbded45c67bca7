"""Whether an answer has the shape that its verb gives, by the annotations of `Host` itself.

A file that anybody may have written is held against them before a fact sees it, since facts take what a host answers for what it says it is.
"""

from __future__ import annotations

import types
from functools import cache
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from k8sdoctor.host import answers, base

if TYPE_CHECKING:
    from k8sdoctor.host.base import Json

LAST_SECOND = 253_402_300_799
"""9999-12-31T23:59:59Z; a clock that says more is none, and cannot be printed as a date."""


class OtherFormError(Exception):
    """The answer lacks a key or holds a word that another version of k8sdoctor did not know."""


class WrongTypeError(Exception):
    """The answer is not what its verb gives; the message says where and what is right."""


def hold(verb: str, answer: Json) -> None:
    """Raise WrongTypeError or OtherFormError unless the answer is one of its verb's. A verb that is not known here is nobody's, and passes."""
    if verb not in _verbs():
        return
    _held(answer, _annotation(verb), verb)
    if verb == "now" and not 0 <= answer <= LAST_SECOND:  # type: ignore[operator]  # a number, as was just seen
        raise WrongTypeError(f"now is no time from 1970 to 9999: {answer!r}")


@cache
def _verbs() -> frozenset[str]:
    helpers = {"ask", "contacted", "advanced", "settled", "exists", "read_optional", "listdir_optional"}
    return frozenset(
        name for name, value in vars(base.Host).items() if isinstance(value, types.FunctionType) and name[0] != "_"
    ) - frozenset(helpers)


@cache
def _annotation(verb: str) -> Any:
    from collections.abc import Callable, Sequence

    # `Json` names itself, which get_type_hints would follow for ever; anything that JSON holds is right there.
    names = {"Json": object, "Callable": Callable, "Sequence": Sequence}
    return get_type_hints(getattr(base.Host, verb), {**vars(answers), **vars(base), **names})["return"]


@cache
def _fields(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape, {**vars(answers), "Json": object}, include_extras=True)


def _held(value: Json, shape: Any, where: str) -> None:
    origin = get_origin(shape)
    if is_typeddict(shape):
        _hold_fields(value, shape, where)
    elif origin in (list, dict):
        _hold_each(value, shape, where)
    elif origin is Literal:
        _held(value, str, where)
        if value not in get_args(shape):
            raise OtherFormError
    elif origin in (Union, types.UnionType):
        _hold_one_of(value, get_args(shape), where)
    elif shape is not object and not _is(value, shape):
        raise WrongTypeError(f"{where} is no {_NAMES[shape]}")


def _hold_each(value: Json, shape: Any, where: str) -> None:
    inner = get_args(shape)[-1]
    if not isinstance(value, get_origin(shape)):
        raise WrongTypeError(f"{where} is no {'list' if get_origin(shape) is list else 'object'}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            _held(item, inner, f"{where}[{number}]")
    elif isinstance(value, dict):
        for item in value.values():
            _held(item, inner, where)


def _hold_fields(value: Json, shape: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise WrongTypeError(f"{where} is no object")
    for name, field in _fields(shape).items():
        optional = get_origin(field) is NotRequired
        if name in value:
            _held(value[name], get_args(field)[0] if optional else field, f"{where}.{name}")
        elif not optional and name in shape.__required_keys__:
            raise OtherFormError


def _hold_one_of(value: Json, shapes: tuple[Any, ...], where: str) -> None:
    if value is None and type(None) in shapes:
        return
    [shape] = [each for each in shapes if each is not type(None)]  # no verb gives more than one thing, or nothing
    _held(value, shape, where)


_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}


def _is(value: Json, shape: Any) -> bool:
    if shape is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if shape is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, shape)
