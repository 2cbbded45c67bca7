"""The engine observes, judges, and never loses the rest of a report."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 -- resolved at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest

from k8sdoctor import Check, Finding, Profile, Status, Unobserved, check, engine, passed, warn
from k8sdoctor.facts import kubeadm, stage
from k8sdoctor.facts.role import Role  # noqa: TC001 -- resolved at run time
from k8sdoctor.host import Host, HostError, Json
from k8sdoctor.host.workers import Workers
from k8sdoctor.report import Broken
from k8sdoctor.testing import FakeHost, examine, report_of
from tests.engine.samples import NODE, Name, long, named, observed, outcome, run

if TYPE_CHECKING:
    from k8sdoctor.host.answers import Identity

LONG = 60.0
"""Seconds that no test waits unless it fails."""

# -- facts and checks to play with ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guess:
    text: str

    @classmethod
    def observe(cls, host: Host, name: Name | Unobserved) -> Self:
        return cls(name.text if isinstance(name, Name) else f"no name: {name.reason}")


@dataclass(frozen=True)
class Wrong:
    @classmethod
    def observe(cls, host: Host) -> Self:
        raise ZeroDivisionError("a fact's own bug")


@dataclass(frozen=True)
class Peer:
    @classmethod
    def observe(cls, host: Host) -> Self:
        raise HostError("Offline", "--offline forbids DNS queries")


@dataclass(frozen=True)
class Leaving:
    @classmethod
    def observe(cls, host: Host) -> Self:
        raise SystemExit(0)


@check("guessed", title="The name can be guessed", area="test")
def guessed(guess: Guess, name: Name | Unobserved) -> Iterator[Finding]:
    seen = name.reason if isinstance(name, Unobserved) else name.text
    yield warn("Guessed", f"{guess.text}, {seen}")


@check("wrong-fact", title="Facts work", area="test")
def wrong_fact(wrong: Wrong) -> Iterator[Finding]:
    yield passed("Fine", "It worked.")


@check("asking", title="A peer answers", area="test")
def asking(peer: Peer) -> Iterator[Finding]:
    yield passed("Fine", "It answered.")


@check("leaving-fact", title="Facts stay", area="test")
def leaving_fact(leaving: Leaving) -> Iterator[Finding]:
    yield passed("Fine", "It stayed.")


@check("raising", title="The check works", area="test")
def raising(name: Name) -> Iterator[Finding]:
    yield passed("Fine", "so far")
    raise KeyError(name.text)


@check("exiting", title="The check stays", area="test")
def exiting(name: Name) -> Iterator[Finding]:
    yield passed("Fine", "so far")
    raise SystemExit(0)


@check("silent", title="The check says something", area="test")
def silent(name: Name) -> Iterator[Finding]:
    yield from ()


@check("stranger", title="The check yields findings", area="test")
def stranger(name: Name) -> Iterator[Finding]:
    yield "fine"  # type: ignore[misc]  # what a plug-in without mypy may do


@check("only-dns", title="DNS is fine", area="test", profiles=frozenset({Profile.DNS}))
def only_dns(name: Name) -> Iterator[Finding]:
    yield passed("Fine", "DNS is fine.")


NAMELESS = FakeHost()


# -- observing ---------------------------------------------------------------------------------------------------------------


def test_a_fact_is_observed_once_however_many_want_it() -> None:
    report = run(FakeHost({"/etc/name": "node1"}), named, long, guessed)

    assert report.count(Status.PASS) == 2
    assert observed == {"Name": 1, "Length": 1}


def test_results_are_sorted_by_check_id() -> None:
    assert [result.check for result in run(NODE, named, guessed, long).results] == ["guessed", "long", "named"]


def test_what_could_not_be_observed_makes_its_checks_unknown_with_the_hosts_reason() -> None:
    report = run(NAMELESS, named, long)

    assert outcome(report) == {"named": (Status.UNKNOWN, "NotFound"), "long": (Status.UNKNOWN, "NotFound")}
    assert report.results[0].findings[0].message == "/etc/name does not exist."


def test_one_missing_cause_is_one_finding_although_two_facts_lack_it() -> None:
    [finding] = examine(NAMELESS, long)

    assert finding.reason == "NotFound"


def test_a_tolerant_parameter_is_given_the_reason_instead() -> None:
    [finding] = examine(NAMELESS, guessed)

    assert finding.message == "no name: NotFound, NotFound"


def test_what_was_not_asked_on_request_is_skipped_and_not_unknown() -> None:
    assert outcome(run(NODE, asking)) == {"asking": (Status.SKIP, "Offline")}


# -- what is broken ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sick", [raising, exiting, silent, stranger, wrong_fact, leaving_fact])
def test_what_is_broken_is_unknown_and_named_and_the_rest_is_whole(sick: Check[Any]) -> None:
    report = run(NODE, sick, named)

    assert outcome(report) == {sick.id: (Status.UNKNOWN, "CheckBroke"), "named": (Status.PASS, "Named")}
    [entry] = report.broken
    assert "Traceback" in entry.traceback
    assert entry.what in (f"check {sick.id}", "fact Wrong", "fact Leaving")
    assert report.exit_code() == 3


class MuteError(Exception):
    """An error whose words are broken, too."""

    def __str__(self) -> str:
        raise ValueError("no words")


@dataclass(frozen=True)
class Mute:
    @classmethod
    def observe(cls, host: Host) -> Self:
        raise MuteError


@check("mute-fact", title="Facts work", area="test")
def mute_fact(mute: Mute) -> Iterator[Finding]:
    yield passed("Fine", "It worked.")


@check("mute", title="The check works", area="test")
def mute(name: Name) -> Iterator[Finding]:
    yield passed("Fine", "so far")
    raise MuteError


@pytest.mark.parametrize("sick", [mute, mute_fact])
def test_an_error_that_has_no_words_is_named_and_nobody_waits_for_it(sick: Check[Any]) -> None:
    report = run(NODE, sick, named, deadline=LONG)

    assert outcome(report) == {sick.id: (Status.UNKNOWN, "CheckBroke"), "named": (Status.PASS, "Named")}
    assert [entry.error for entry in report.broken] == ["MuteError: it has no words for what happened"]


class Anonymous(FakeHost):
    def identity(self) -> Identity:
        raise ZeroDivisionError("a host's own bug")


def test_a_host_that_breaks_when_it_is_asked_who_it_is_keeps_the_rest_of_the_report() -> None:
    report = run(Anonymous({"/etc/name": "node1\n"}), named)

    assert outcome(report) == {"named": (Status.PASS, "Named")}
    assert report.node == "unknown"
    assert [entry.what for entry in report.broken] == ["who is looked at"]


def test_a_broken_fact_that_two_checks_want_is_one_entry() -> None:
    @check("also-wrong", title="Facts work", area="test")
    def also_wrong(wrong: Wrong) -> Iterator[Finding]:
        yield passed("Fine", "It worked.")

    assert len(run(NODE, wrong_fact, also_wrong).broken) == 1


def test_a_parameter_that_is_no_fact_is_the_checks_fault() -> None:
    @check("greedy", title="It asks for facts", area="test")
    def greedy(number: int) -> Iterator[Finding]:
        yield passed("Fine", f"{number}")

    report = run(NODE, greedy, named)

    assert outcome(report)["greedy"] == (Status.UNKNOWN, "CheckBroke")
    assert outcome(report)["named"] == (Status.PASS, "Named")
    assert "'number'" in report.broken[0].error


class Hen:
    @classmethod
    def observe(cls, host: Host, egg: Egg) -> Self:
        raise AssertionError("a fact that needs itself is never observed")


class Egg:
    @classmethod
    def observe(cls, host: Host, hen: Hen) -> Self:
        raise AssertionError("a fact that needs itself is never observed")


def test_facts_that_need_each_other_are_named_and_nothing_waits_for_them() -> None:
    @check("chicken", title="There is a hen", area="test")
    def chicken(hen: Hen) -> Iterator[Finding]:
        yield passed("Fine", "There is.")

    report = run(NODE, chicken, named)

    assert "Hen → Egg → Hen" in report.broken[0].error
    assert outcome(report)["named"] == (Status.PASS, "Named")


def test_what_did_not_load_is_in_the_report() -> None:
    entry = Broken("plug-in x", "ImportError: no y", "")

    report = engine.run(NODE, [named], broken=[entry])

    assert report.broken == (entry,)
    assert report.exit_code() == 3


order: list[str] = []


@dataclass(frozen=True)
class Alone:
    @classmethod
    def observe(cls, host: Host) -> Self:
        order.append("alone")
        return cls()


@dataclass(frozen=True)
class Head:
    @classmethod
    def observe(cls, host: Host) -> Self:
        order.append("head")
        return cls()


@dataclass(frozen=True)
class Middle:
    @classmethod
    def observe(cls, host: Host, head: Head) -> Self:
        order.append("middle")
        return cls()


@dataclass(frozen=True)
class Tail:
    @classmethod
    def observe(cls, host: Host, middle: Middle, alone: Alone) -> Self:
        order.append("tail")
        return cls()


@check("row", title="Three in a row", area="test")
def row(alone: Alone, tail: Tail) -> Iterator[Finding]:
    yield passed("Seen", "All were seen.")


def test_what_most_others_wait_for_in_a_row_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "relieve", lambda _: None)  # on a busy machine the first looks as if it hung
    order.clear()

    run(NODE, row)

    assert order[0] == "head"
    assert order.index("middle") < order.index("tail")


# -- what is run -------------------------------------------------------------------------------------------------------------


def test_a_skipped_check_says_so_and_its_facts_are_not_observed() -> None:
    report = run(NODE, named, skipped=frozenset({"named"}))

    assert outcome(report) == {"named": (Status.SKIP, "SkippedByUser")}
    assert not observed


def test_a_profile_runs_its_own_checks() -> None:
    assert outcome(run(NODE, named, only_dns, profile=Profile.INIT)).keys() == {"named"}
    assert outcome(run(NODE, named, only_dns, profile=Profile.DNS)).keys() == {"named", "only-dns"}


def test_a_check_that_is_named_runs_whatever_the_profile() -> None:
    report = run(NODE, named, only_dns, profile=Profile.INIT, named=("only-dns",))

    assert outcome(report).keys() == {"only-dns"}


@check("unasked", title="It was asked for", area="test", profiles=frozenset())
def unasked(name: Name) -> Iterator[Finding]:
    yield passed("Fine", "It was.")


def test_a_check_of_no_profile_runs_when_an_option_asks_for_it_and_beside_the_named_ones() -> None:
    def ids(**request: Any) -> list[str]:
        return [result.check for result in run(NODE, named, unasked, **request).results]

    assert ids(profile=Profile.NODE) == ["named"]
    assert ids(profile=Profile.NODE, also=frozenset({"unasked"})) == ["named", "unasked"]
    assert ids(named=("named",), also=frozenset({"unasked"})) == ["named", "unasked"]
    assert ids(named=("named",)) == ["named"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((), ("bare", "init")),
        (("/usr/bin/containerd",), ("prepared", "init")),
        ((stage.KUBELET_KUBECONFIG,), ("worker", "node")),
        ((stage.KUBELET_KUBECONFIG, stage.API_SERVER_MANIFEST), ("control-plane", "control-plane")),
    ],
)
def test_the_profile_is_detected_from_the_stage(files: tuple[str, ...], expected: tuple[str, str]) -> None:
    report = run(FakeHost(dict.fromkeys(files, "")), named)

    assert (report.stage, report.profile) == expected


def test_a_join_configuration_makes_the_profile_join() -> None:
    text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"
    given: dict[str, Json] = {"config": {"path": "k.yaml", "text": text}, "kubeconfig": None, "endpoints": []}

    assert run(FakeHost(given=given), named).profile == "join"


def test_a_planned_configuration_that_breaks_its_fact_does_not_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_cls: type, _host: Host) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(kubeadm.KubeadmConfig, "observe", classmethod(broken))

    report = run(NODE, named)

    assert outcome(report) == {"named": (Status.PASS, "Named")}
    assert report.broken[0].what == "fact KubeadmConfig"


# -- the report --------------------------------------------------------------------------------------------------------------


class Ticking(FakeHost):
    """Its clock stands until something was read."""

    time = 1000.0

    def now(self) -> float:
        return self.time

    def read(self, path: str, *, netns: str | None = None) -> str:
        self.time = 2000.0
        return super().read(path, netns=netns)


def test_a_report_says_when_the_run_began_and_not_when_it_ended() -> None:
    assert run(Ticking({"/etc/name": "node1\n"}), named).started_at == 1000.0


@check("kubeadms", title="It is kubeadm's", area="test")
def kubeadms(role: Role) -> Iterator[Finding]:
    yield passed("Told", role.why)


def test_a_report_says_what_shows_that_a_node_is_of_another_distribution() -> None:
    k3s: Json = {"pid": 7, "ppid": 1, "name": "k3s-server", "cmdline": ["/usr/local/bin/k3s", "server"]}

    assert engine.run(FakeHost(processes=[k3s]), [kubeadms]).other_distribution == "k3s-server runs here"
    assert engine.run(FakeHost(processes=[]), [kubeadms]).other_distribution is None
    assert engine.run(FakeHost(processes=[k3s]), [named]).other_distribution is None  # which nobody asked


@pytest.mark.parametrize(
    ("checks", "strict", "code"),
    [
        ((named,), False, 0),
        ((named, guessed), False, 0),
        ((named, guessed), True, 1),
        ((named, raising), False, 3),
        ((named, asking), False, 0),
    ],
)
def test_the_exit_code_follows_the_worst_that_was_found(
    checks: tuple[Check[Any], ...], strict: bool, code: int
) -> None:
    assert run(NODE, *checks).exit_code(strict=strict) == code


def test_a_failure_outranks_what_is_unknown_in_the_exit_code() -> None:
    assert run(FakeHost({"/etc/name": "n"}), long, raising).exit_code() == 1


def test_report_of_takes_checks_and_refuses_ids_that_nothing_has() -> None:
    assert report_of(NODE, named).count(Status.PASS) == 1
    with pytest.raises(KeyError, match="no-such-check"):
        report_of(NODE, "no-such-check")


def test_examine_raises_what_broke_for_the_author_to_see() -> None:
    with pytest.raises(AssertionError, match="KeyError"):
        examine(NODE, raising)
