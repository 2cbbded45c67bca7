"""What a check is: a pure function from facts to findings, with an id, a title, an area and profiles."""

from __future__ import annotations

import inspect
import sys
from dataclasses import field
from enum import StrEnum
from types import UnionType
from typing import TYPE_CHECKING, Generic, ParamSpec, get_args

from k8sdoctor.finding import Finding, Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")


class Profile(StrEnum):
    """The situation a run is for; it decides which checks run."""

    INIT = "init"
    JOIN = "join"
    NODE = "node"
    CONTROL_PLANE = "control-plane"
    DNS = "dns"


EVERY_PROFILE = frozenset(Profile)
NOT_DNS = EVERY_PROFILE - {Profile.DNS}


@dataclass(frozen=True)
class Needs:
    """One parameter of a check or of a fact's `observe`: the fact that it wants.

    `tolerant` is true where the annotation is `Fact | Unobserved`: the reason is then passed in instead of the fact.
    """

    fact: type
    tolerant: bool


@dataclass(frozen=True)
class Check(Generic[P]):
    """A registered check. Calling it calls the function, so a test reads `ip_forward(facts…)`."""

    id: str
    title: str
    area: str
    profiles: frozenset[Profile]
    function: Callable[P, Iterator[Finding]] = field(repr=False)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Finding]:
        """Judge the facts given."""
        return self.function(*args, **kwargs)

    @property
    def documentation(self) -> str:
        """The docstring of the file that holds the check: what `k8sdoctor explain` prints."""
        return inspect.cleandoc(sys.modules[self.function.__module__].__doc__ or "")

    def needs(self) -> dict[str, Needs]:
        """The facts that the function's parameters want, by parameter name. Raises TypeError for other annotations."""
        return needs_of(self.function)


def check(
    id: str,  # noqa: A002 -- the field's own word, and keyword-free at every use
    *,
    title: str,
    area: str,
    profiles: frozenset[Profile] = EVERY_PROFILE,
) -> Callable[[Callable[P, Iterator[Finding]]], Check[P]]:
    """Make a check of a function whose typed parameters are facts and that yields findings.

    `title` states the healthy state; `area` groups checks for the eye.
    """

    def register(function: Callable[P, Iterator[Finding]]) -> Check[P]:
        return Check(id, title, area, profiles, function)

    return register


def needs_of(function: Callable[..., object], *, skip: int = 0) -> dict[str, Needs]:
    """The facts that a function's parameters want, leaving out the first `skip` (a fact's `host`).

    Only those annotations are resolved, so that `Host`, `Self` and `Iterator` may be imported for type checkers alone.
    """
    plain = inspect.unwrap(getattr(function, "__func__", function))
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return {each.name: _need(plain, each.name, _resolved(plain, each)) for each in parameters}


def _resolved(function: Callable[..., object], parameter: inspect.Parameter) -> object:
    hint = parameter.annotation
    if not isinstance(hint, str):
        return hint
    return eval(hint, function.__globals__)  # noqa: S307 -- the module's own annotation, as typing.get_type_hints does it


def _need(function: Callable[..., object], name: str, hint: object) -> Needs:
    members = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    facts = [member for member in members if member is not Unobserved]
    if len(facts) == 1 and isinstance(facts[0], type) and hasattr(facts[0], "observe"):
        return Needs(facts[0], tolerant=len(members) == 2)  # noqa: PLR2004 -- the fact, and Unobserved
    where = f"{function.__module__}.{function.__qualname__}"
    msg = f"parameter {name!r} of {where} must be annotated with a fact, or with `Fact | Unobserved`, not {hint!r}"
    raise TypeError(msg)
