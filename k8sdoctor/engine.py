"""Observes facts side by side, judges them by checks, and never waits longer than the run's deadline.

Every fact and every check runs in a daemon thread of its own: one that hangs in the kernel (a dead network file system) keeps
neither the report nor the process. What is late becomes `unknown`; the rest of the report is whole.
"""

from __future__ import annotations

import math
import queue
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from k8sdoctor.check import Check, Needs, Profile, needs_of
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.role import Role
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Unobserved, skip, unknown
from k8sdoctor.host import Host, HostError, own_limits
from k8sdoctor.host.base import UnansweredError
from k8sdoctor.host.workers import LOOK, Workers
from k8sdoctor.kubeadm_names import TRAIT, Omission
from k8sdoctor.records import dataclass
from k8sdoctor.report import Broken, Report, Result, make_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from k8sdoctor.host.answers import Identity

DEADLINE = 15.0
"""Seconds that a whole run may take."""

GRACE = 0.2
"""Seconds that checks get after the deadline to judge what was seen by then; judging takes microseconds."""

ENDING = 0.25
"""Seconds that a look gets after an interruption to end with what it has (`interruptible = True` in its class)."""

DETECTABLE = (Profile.INIT, Profile.JOIN, Profile.NODE, Profile.CONTROL_PLANE)
"""The profiles that can be detected. A check that is in all of them need not wait for that."""

DETECTION = 5.0
"""Seconds that the profile's detection may take; a file system that hangs must not keep the checks from their start."""

REPLAY = 120.0
"""Seconds that judging a recording may take: nothing waits in it, and its deadline was the recorded run's."""

LATE = 1.0
"""Seconds after which a person is told what a run is waiting for."""

_TOLD_AGAIN = 0.5
"""Seconds after which that is told anew."""

SLOTS = 1
"""How many facts and checks compute at a time. A second one gains nothing, for Python runs one thread at a time, and each change costs."""

LAST_SLOTS = 8
"""How many more when the deadline is over, for the checks that judge what there is."""

_JUDGING = -1
"""Checks are less urgent than any fact, which may have to wait for a peer."""


@dataclass(frozen=True)
class Started:
    """A check began: its facts are being observed."""

    check: str


@dataclass(frozen=True)
class Finished:
    """A check has its result."""

    result: Result


@dataclass(frozen=True)
class Late:
    """The run has lasted `seconds` and still waits for these facts."""

    waiting_for: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Advanced:
    """A long look has come to `done` of `of` things; `what` says what they are (`images`)."""

    what: str
    done: int
    of: int


@dataclass(frozen=True)
class EndedEarly:
    """Somebody has seen enough of a long look, which ends with what it has; the run goes on."""


Event: TypeAlias = Started | Finished | Late | Advanced | EndedEarly


@dataclass(frozen=True)
class Request:
    """What is to be run.

    `profile` None means: detected. `named` are the ids on the command line, run whatever the profile; none means all of the
    profile. `also` are ids that an option asks for, beside either. `skipped` are ids that the user does not want. With
    `lifted`, a fact whose class says `lasting = True` may outlast the deadline: it takes as long as the list that it was given.
    With `ends_early`, the first KeyboardInterrupt ends such a fact (`interruptible = True`), and the next one the run.
    """

    profile: Profile | None = None
    named: tuple[str, ...] = ()
    also: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    omitted: tuple[Omission, ...] = ()
    deadline: float = DEADLINE
    lifted: bool = False
    ends_early: bool = False


@dataclass(frozen=True)
class _Done:
    """A thread's message: what it was (a fact's type or a check's id), and what came of it."""

    task: type | str
    value: object
    broken: Broken | None = None


_Who: TypeAlias = "tuple[Identity, float]"

_NOBODY: _Who = ({"hostname": "unknown", "kernel": "unknown", "machine": "unknown", "euid": -1}, 0.0)


def run(
    host: Host,
    checks: Sequence[Check[Any]],
    request: Request | None = None,
    *,
    broken: Iterable[Broken] = (),
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """Examine a host.

    `broken` is what did not load. `on_event` is called in the caller's thread. KeyboardInterrupt ends the run early:
    the report then says `interrupted`, and holds what was known.
    """
    return _Run(host, checks, request or Request(), list(broken), on_event or (lambda _event: None)).report()


@dataclass()
class _Run:
    host: Host
    checks: Sequence[Check[Any]]
    request: Request
    broken: list[Broken]
    on_event: Callable[[Event], None]
    facts: dict[type, object] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    _wanted: dict[type, Mapping[str, Needs]] = field(default_factory=dict)
    _urgency: dict[type, int] = field(default_factory=dict)
    _pending: dict[str, tuple[Check[Any], Mapping[str, Needs]]] = field(default_factory=dict)
    _started: set[type | str] = field(default_factory=set)
    _queue: queue.SimpleQueue[_Done | Advanced] = field(default_factory=queue.SimpleQueue)
    _known: queue.SimpleQueue[_Who] = field(default_factory=queue.SimpleQueue)
    _workers: Workers = field(default_factory=lambda: Workers(SLOTS))
    _begun: float = field(default_factory=time.monotonic)

    def report(self) -> Report:
        interrupted = False
        profile = self.request.profile
        # A fact tells from its thread, and events are for the caller's.
        self.host.listener = lambda what, done, of: self._queue.put(Advanced(what, done, of))
        try:
            self._workers.do(lambda: self._known.put(self._who()), math.inf)
            self._want(Stage)
            self._want(KubeadmConfig)
            if profile is None and not self.request.named:  # only then does it matter before the start
                self._choose(*DETECTABLE)
                self._work(self._detectable, min(DETECTION, self._limit / 3))
                profile = self._detected()
            self._choose(profile or Profile.NODE)
            try:
                self._look()
            except KeyboardInterrupt:
                if not self._ended_early():
                    raise
                self._look()
        except KeyboardInterrupt:
            interrupted = True
            self._choose(profile or Profile.NODE)
        self._close(interrupted=interrupted)
        self._workers.close()
        profile = profile or self._detected()
        identity, started = self._introduced(0.0 if interrupted else self._begun + self._limit - time.monotonic())
        return make_report(
            self.host,
            identity=identity,
            started_at=started,
            seconds=time.monotonic() - self._begun,
            profile=profile,
            stage=self._stage().stage,
            other_distribution=role.why
            if isinstance(role := self.facts.get(Role), Role) and role.name == "other"
            else None,
            results=self.results.values(),
            broken=self.broken,
            interrupted=interrupted,
        )

    def _look(self) -> None:
        """Until all is judged, or the deadline is over, also for what may outlast it."""
        self._work(lambda: not self._pending and self._detectable())
        if self.request.lifted and self._lasting():
            self._settle_late(self._deadline_over, spared=self._lasting())
            self._work(lambda: not self._lasting(), math.inf)
            # What is made of them is quick, or hangs: a short deadline is no reason to lose them on a busy machine.
            self._work(lambda: not self._pending, time.monotonic() - self._begun + max(self._limit, DEADLINE))

    # -- what to run -------------------------------------------------------------------------------------------------

    def _detectable(self) -> bool:
        return Stage in self.facts and KubeadmConfig in self.facts

    def _stage(self) -> Stage:
        found = self.facts.get(Stage)
        return found if isinstance(found, Stage) else Stage("unknown", "it could not be told in time")

    def _detected(self) -> Profile:
        stage = self._stage().stage
        if stage == "control-plane":
            return Profile.CONTROL_PLANE
        if stage in ("bare", "prepared"):
            config = self.facts.get(KubeadmConfig)
            return Profile.JOIN if isinstance(config, KubeadmConfig) and config.joins else Profile.INIT
        return Profile.NODE

    def _choose(self, *profiles: Profile) -> None:
        """The checks of each of these profiles, or those that were named."""
        for chosen in self.checks:
            if chosen.id in self._pending or chosen.id in self.results:
                continue
            asked = chosen.id in self.request.named if self.request.named else chosen.profiles.issuperset(profiles)
            if not asked and chosen.id not in self.request.also:
                continue
            if chosen.id in self.request.skipped:
                self._finish(chosen, (skip("SkippedByUser", f"Not run: --skip {chosen.id} was given."),))
                continue
            try:
                needs = chosen.needs()
                for need in needs.values():
                    self._want(need.fact)
            except Exception as error:  # noqa: BLE001 -- a plug-in's mistake is an entry in the report
                self._break(chosen, error)
                continue
            self._pending[chosen.id] = (chosen, needs)
            self.on_event(Started(chosen.id))

    def _want(self, fact: type, path: tuple[type, ...] = ()) -> None:
        """Note a fact and all that it needs, and start what needs nothing else."""
        if fact in path:
            names = " → ".join(member.__name__ for member in (*path, fact))
            raise TypeError(f"these facts need each other: {names}")
        if fact in self._wanted:
            self._hurry(fact, len(path))
            return
        needs = needs_of(cast("Any", fact).observe, skip=1)
        for need in needs.values():
            self._want(need.fact, (*path, fact))
        self._wanted[fact] = needs
        self._urgency[fact] = 0
        self._hurry(fact, len(path))

    def _hurry(self, fact: type, steps: int) -> None:
        """So many facts wait for one another behind this one: what stands at the head of the longest row is looked at first."""
        if self._urgency[fact] < steps:
            self._urgency[fact] = steps
            for need in self._wanted[fact].values():
                self._hurry(need.fact, steps + 1)

    # -- working -----------------------------------------------------------------------------------------------------

    def _work(self, finished: Callable[[], bool], limit: float | None = None) -> None:
        """Start what can start and take in what is done, until `finished`, or until the run is `limit` old (its deadline)."""
        self._start_ready()
        told = LATE
        while not finished():
            left = self._begun + (limit or self._limit) - time.monotonic()
            if left <= 0:
                return
            try:
                done = self._queue.get(timeout=min(left, LOOK))
            except queue.Empty:
                self._workers.relieve()
                elapsed = time.monotonic() - self._begun
                if elapsed >= told:
                    told = elapsed + _TOLD_AGAIN
                    self.on_event(Late(self._waiting_for(), elapsed))
                continue
            self._take(done)
            self._start_ready()
            self._workers.relieve()

    def _waiting_for(self) -> tuple[str, ...]:
        return tuple(
            sorted(_words(task.__name__) for task in self._started if isinstance(task, type) and task not in self.facts)
        )

    def _start_ready(self) -> None:
        ready: list[tuple[int, Callable[[], _Done]]] = []
        progress = True
        while progress:  # a fact that is settled without a thread may settle others
            progress = False
            for fact, needs in self._wanted.items():
                if fact not in self._started and self._settled(needs):
                    self._started.add(fact)
                    arguments, missing = self._arguments(needs)
                    if missing:
                        self.facts[fact] = missing[0]
                        progress = True
                    else:
                        ready.append((self._urgency[fact], partial(self._observe, fact, arguments)))
        for id_, (chosen, needs) in list(self._pending.items()):
            if id_ not in self._started and self._settled(needs):
                self._started.add(id_)
                arguments, missing = self._arguments(needs)
                if missing:
                    self._finish(chosen, _could_not_look(missing))
                else:
                    ready.append((_JUDGING, partial(_judge, chosen, arguments)))
        for urgency, work in sorted(ready, key=lambda each: -each[0]):  # the first one begins at once
            self._do(work, urgency)

    def _settled(self, needs: Mapping[str, Needs]) -> bool:
        for need in needs.values():  # noqa: SIM110 -- `all` would make a generator each of some thousand times
            if need.fact not in self.facts:
                return False
        return True

    def _arguments(self, needs: Mapping[str, Needs]) -> tuple[dict[str, object], list[Unobserved]]:
        """What to call with, and what is missing of what is really needed."""
        arguments = {name: self.facts[need.fact] for name, need in needs.items()}
        missing = [
            value for name, value in arguments.items() if isinstance(value, Unobserved) and not needs[name].tolerant
        ]
        return arguments, missing

    def _do(self, work: Callable[[], _Done], urgency: int) -> None:
        self._workers.do(lambda: self._queue.put(work()), urgency)

    def _observe(self, fact: type, arguments: dict[str, object]) -> _Done:
        if fact in self.facts:  # it stood in the queue until it was too late
            return _Done(fact, self.facts[fact])
        return _observe(fact, self.host, arguments, self._deadline_over)

    def _take(self, done: _Done | Advanced) -> None:
        if isinstance(done, Advanced):
            self.on_event(done)
            return
        if done.broken is not None:
            self.broken.append(done.broken)
        if isinstance(done.task, type):
            self.facts[done.task] = done.value
        elif done.task in self._pending:
            self._finish(self._pending[done.task][0], cast("tuple[Finding, ...]", done.value))

    def _finish(self, chosen: Check[Any], findings: tuple[Finding, ...]) -> None:
        omitted = [each for each in self.request.omitted if each.check == chosen.id]
        if omitted:
            findings = _without(findings, omitted)
        result = Result(
            check=chosen.id,
            area=chosen.area,
            title=chosen.title,
            seconds=time.monotonic() - self._begun,
            findings=findings,
        )
        self.results[chosen.id] = result
        self._pending.pop(chosen.id, None)
        self.on_event(Finished(result))

    def _break(self, chosen: Check[Any], error: Exception) -> None:
        self.broken.append(_broken(f"check {chosen.id}", error))
        self._finish(chosen, (_check_broke(f"The check {chosen.id} is at fault: {_line(error)}"),))

    def _take_done(self) -> None:
        """Take in what is done already."""
        with suppress(queue.Empty):
            while True:
                self._take(self._queue.get_nowait())

    # -- the end -----------------------------------------------------------------------------------------------------

    def _close(self, *, interrupted: bool) -> None:
        """Settle what is still open: late facts are unobserved, and each check judges what there is."""
        if interrupted:
            self._let_end()
        self._take_done()
        self.host.settled()
        if not self._pending:
            return
        why = "the run was interrupted" if interrupted else self._deadline_over
        self._settle_late(why)
        self._workers.add(LAST_SLOTS)  # late facts may hold the others
        try:
            self._start_ready()
            end = time.monotonic() + GRACE
            while self._pending and (left := end - time.monotonic()) > 0:
                try:
                    done = self._queue.get(timeout=left)
                except queue.Empty:
                    break
                if isinstance(done, _Done) and isinstance(done.task, str):
                    self._take(done)
        except KeyboardInterrupt:  # a second Ctrl-C: say what is known now
            pass
        for chosen, _needs in list(self._pending.values()):
            self._finish(chosen, (unknown("DeadlineExceeded", f"Not judged in time: {why}."),))

    def _ended_early(self) -> bool:
        """Whether it is a long look that somebody has seen enough of: it then ends with what it has, and the run goes on."""
        self._take_done()
        lasting = self._lasting() & self._started
        mine = lasting and all(getattr(fact, "interruptible", False) for fact in lasting)
        if not (self.request.ends_early and self.request.lifted and mine) or self.host.stopping.is_set():
            return False
        self.host.stopping.set()
        self.on_event(EndedEarly())
        return True

    def _let_end(self) -> None:
        """Give looks that end when they are told to the time to hand out what they have."""
        self.host.stopping.set()
        ending = [fact for fact in self._started if getattr(fact, "interruptible", False)]
        with suppress(KeyboardInterrupt):
            self._work(lambda: all(fact in self.facts for fact in ending), time.monotonic() - self._begun + ENDING)

    @property
    def _limit(self) -> float:
        """The seconds that this run may take."""
        return self.request.deadline if self.host.source == "live" else REPLAY

    @property
    def _deadline_over(self) -> str:
        return f"the run's deadline of {self.request.deadline:g} s is over; --deadline gives more"

    def _settle_late(self, why: str, spared: frozenset[type] = frozenset()) -> None:
        late = {fact: _late(fact, why) for fact in self._wanted if fact not in self.facts and fact not in spared}
        self.facts.update(late)
        self._started.update(late)

    def _lasting(self) -> frozenset[type]:
        """The facts that may outlast the deadline, have been started, and are not known yet; and what waits for them."""
        open_ = [fact for fact in self._wanted if fact not in self.facts]
        lasting = {fact for fact in open_ if fact in self._started and getattr(fact, "lasting", False)}
        for fact in open_:  # what a fact needs stands before it
            if any(need.fact in lasting for need in self._wanted[fact].values()):
                lasting.add(fact)
        return frozenset(lasting)

    def _who(self) -> _Who:
        """Who is looked at, and when. Asked in a thread, for below another root the name is in a file, which may hang like any other."""
        try:
            return self.host.identity(), self.host.now()
        except (HostError, UnansweredError):
            pass
        except BaseException as error:  # noqa: BLE001 -- as of a fact
            _heed(error)
            self.broken.append(_broken("who is looked at", error))
        return _NOBODY

    def _introduced(self, left: float) -> _Who:
        with suppress(queue.Empty, KeyboardInterrupt):
            return self._known.get(timeout=max(0.0, left) + GRACE)
        return _NOBODY


def _observe(fact: type, host: Host, arguments: dict[str, object], deadline_over: str) -> _Done:
    try:
        try:
            return _Done(fact, cast("Any", fact).observe(host, **arguments))
        except Exception as error:
            own_limits.hold(error)  # a library that cannot be loaded for want of a file descriptor is nobody's bug
            raise
    except HostError as error:
        return _Done(fact, Unobserved(error.reason, error.message, error.traits))
    except UnansweredError:
        return _Done(fact, _late(fact, deadline_over))
    except BaseException as error:  # noqa: BLE001 -- our bug, or a plug-in's (also a sys.exit), and no reason to lose the report
        _heed(error)
        what = f"fact {fact.__name__}"
        return _Done(fact, Unobserved("CheckBroke", f"The {what} is at fault: {_line(error)}"), _broken(what, error))


def _judge(chosen: Check[Any], arguments: dict[str, object]) -> _Done:
    try:
        try:
            findings = tuple(chosen(**arguments))
        except Exception as error:
            own_limits.hold(error)  # as above
            raise
        strangers = [finding for finding in findings if not isinstance(finding, Finding)]
        if strangers:
            raise TypeError(f"the check {chosen.id} yielded {strangers[0]!r}, which is no Finding")  # noqa: TRY301
        if not findings:
            raise ValueError(f"the check {chosen.id} yielded nothing")  # noqa: TRY301 -- silence is no pass
    except HostError as error:
        return _Done(chosen.id, (unknown(error.reason, f"This could not be judged: {error.message}."),))
    except BaseException as error:  # noqa: BLE001 -- as above
        _heed(error)
        broke = _check_broke(f"The check {chosen.id} is at fault: {_line(error)}")
        return _Done(chosen.id, (broke,), _broken(f"check {chosen.id}", error))
    return _Done(chosen.id, findings)


def _without(findings: tuple[Finding, ...], omitted: Sequence[Omission]) -> tuple[Finding, ...]:
    """The findings less those that the user left out; in place of these, one that says so for each name that he gave."""
    kept: list[Finding] = []
    told: dict[str, list[str]] = {}
    for finding in findings:
        given = _left_out_by(finding, [each for each in omitted if each.reason == finding.reason])
        if not given:
            kept.append(finding)
        for name in given:
            told.setdefault(name, []).append(finding.reason)
    for name, reasons in told.items():
        kept.append(skip("SkippedByUser", f"{', '.join(dict.fromkeys(reasons))} is left out: --skip {name} was given."))
    return tuple(kept)


def _left_out_by(finding: Finding, omitted: Sequence[Omission]) -> list[str]:
    """The names by which the user left a finding out. One about several things is left out only where each of them is named."""
    whole = [each.given for each in omitted if each.part is None]
    about = {trait.removeprefix(TRAIT).lower() for trait in finding.traits if trait.startswith(TRAIT)}
    parts = [each for each in omitted if each.part in about]
    return whole or ([each.given for each in parts] if about and {each.part for each in parts} >= about else [])


def _broken(what: str, error: BaseException) -> Broken:
    return Broken(what, _line(error), "".join(traceback.format_exception(error)))


def _line(error: BaseException) -> str:
    try:
        words = str(error)
    except Exception:  # noqa: BLE001 -- a plug-in's own type
        words = "it has no words for what happened"
    return " ".join(f"{type(error).__name__}: {words}".split())[:500]


def _heed(error: BaseException) -> None:
    """Raise a user's Ctrl-C. Python raises it in the main thread alone, which looks by itself where no other thread is to be had."""
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error


def _check_broke(message: str) -> Finding:
    return unknown("CheckBroke", f"{message}.")


def _late(fact: type, why: str) -> Unobserved:
    return Unobserved("DeadlineExceeded", f"{_words(fact.__name__)} not seen in time: {why}")


def _could_not_look(missing: Iterable[Unobserved]) -> tuple[Finding, ...]:
    """One finding for each distinct reason; what was not asked on request is skipped, the rest is unknown."""
    findings = []
    for cause in dict.fromkeys(missing):
        make = skip if cause.reason in ("Offline", "SkippedByUser") else unknown
        findings.append(make(cause.reason, _sentence(cause.message), traits=cause.traits))
    return tuple(findings)


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:] if not text.startswith("/") else text
    return text if text.endswith((".", "?", "!")) else f"{text}."


_ACRONYMS = frozenset({"api", "cni", "cri", "dns"})


def _words(name: str) -> str:
    """`SandboxImage` as `sandbox image`, `CniFolder` as `CNI folder`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).split()
    return " ".join(word.upper() if word in _ACRONYMS else word for word in words)
