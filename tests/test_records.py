"""A record is the dataclass that it was to be, from its first use on."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from typing import Self

import pytest

from k8sdoctor.records import dataclass


@dataclass(frozen=True)
class Point:
    """Two numbers."""

    x: int
    y: int = 0
    names: dict[str, str] = field(default_factory=dict)

    @property
    def sum(self) -> int:
        return self.x + self.y

    @classmethod
    def of(cls, text: str) -> Self:
        x, y = map(int, text.split(","))
        return cls(x, y)


@dataclass(frozen=True, slots=True)
class Space(Point):
    """Three."""

    z: int = 0


@dataclass(frozen=True)
class Odd:
    """Fields by names that the making of records uses, too."""

    wanted: int
    cls: int
    _: int = 0
    self: int = 0
    values: int = 0


@dataclass(frozen=True)
class Text:
    """One that checks what it is given."""

    words: str

    def __post_init__(self) -> None:
        if not self.words:
            raise ValueError("no words")


def test_a_record_is_equal_hashable_frozen_and_shown_like_any_dataclass() -> None:
    assert Point(1, 2) == Point.of("1,2") != Point(1, 3)
    assert Text("a") in {Text("a"): 1}
    assert repr(Point(1)) == "Point(x=1, y=0, names={})"
    assert Point(1).names is not Point(1).names
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).x = 2  # type: ignore[misc]  # this is what it refuses
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Point(1).x
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).unheard = 2  # type: ignore[attr-defined]  # nor is one added
    assert Point(1) != Space(1)
    assert Point(1) != object()


def test_a_record_can_be_replaced_taken_apart_and_matched() -> None:
    assert dataclasses.replace(Point(1, 2), y=5).sum == 6
    assert dataclasses.asdict(Text("a")) == {"words": "a"}
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_a_record_that_is_made_of_another_completes_both_whichever_comes_first() -> None:
    @dataclass(frozen=True)
    class Base:
        a: int

    @dataclass(frozen=True)
    class Derived(Base):
        b: int = 2

    class Plain(Derived):
        """None itself."""

    assert Plain(1) == Plain(1, 2)
    assert Derived(1) == Derived(a=1, b=2)
    assert Base(1) != Derived(1)
    assert Space(1, 2, {}, 3).z == 3


def test_wrong_arguments_and_refused_values_raise_as_they_would() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'wanted', 'cls'"):
        Odd()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 3 arguments but 4 were given"):
        Point(1, 2, {}, 4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="got multiple values for argument 'x'"):
        Point(1, x=1)  # type: ignore[misc]
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'z'"):
        Point(1, z=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no words"):
        Text("")


def test_many_threads_may_be_the_first_to_use_a_record() -> None:
    @dataclass(frozen=True)
    class Fresh:
        n: int

    with ThreadPoolExecutor(16) as threads:
        assert sorted(each.n for each in threads.map(Fresh, range(200))) == list(range(200))


def test_a_record_that_is_not_frozen_changes_is_equal_by_its_values_and_is_no_key() -> None:
    @dataclass()
    class Tally:
        names: list[str] = field(default_factory=list)
        count: int = 0

    tally = Tally()
    tally.count += 1
    tally.names.append("a")

    assert tally == Tally(["a"], 1) != Tally()
    assert repr(tally).endswith("Tally(names=['a'], count=1)")
    with pytest.raises(TypeError, match="unhashable"):
        hash(tally)


def test_a_record_without_equality_is_equal_to_itself_alone() -> None:
    @dataclass(frozen=True, eq=False)
    class Place:
        line: int

    here = Place(1)

    assert here == here  # noqa: PLR0124 -- this is what is asked
    assert here != Place(1)
    assert len({here, Place(1)}) == 2


def test_a_field_may_have_any_name() -> None:
    assert Odd(wanted=1, cls=2).wanted == 1
    assert Odd(1, 2, _=3, self=4, values=5) == Odd(1, 2, 3, 4, 5)
