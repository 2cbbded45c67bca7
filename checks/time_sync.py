"""The node's clock is right, and somebody keeps it so.

## What it looks at
Whether the kernel takes its clock for synchronised (adjtimex, which is only asked), which program keeps it, when systemd-timesyncd last
synchronised, and the time that API servers write into their answers.

## Why it matters
Certificates and tokens have a beginning and an end. A clock that is behind takes a new certificate for not yet valid, one that is ahead takes
a good one for expired, and both look like a fault of the certificate. etcd's members want their clocks within a second of each other, and
logs of several nodes cannot be read together.

## How it is decided
A clock that is more than a minute away from an API server's fails: tokens of service accounts are refused from there on. More than 5 seconds is a
warning: etcd complains from one second on, but an answer may have been under way for as long as that. Where the times agree, or nobody tells one, a clock that nobody
keeps is a warning, for it will drift. The kernel says that it is synchronised, or holds how far it may be off: chronyd without `rtcsync` sets only that. systemd-timesyncd's
mark counts when it is younger than two hours, for it asks every 34 minutes at the latest.

## Reasons
- `Synchronised` (pass): the kernel's clock is kept
- `KeptFromOutside` (pass): the tools of a virtual machine set the clock after its host's
- `ClockSkew` (fail or warn): the clock differs from an API server's
- `NotSynchronised` (warn): a program that keeps the time runs, and has not come to synchronise it
- `NoTimeService` (warn): the clock is right as far as it is known, and nobody keeps it so
- `ClockUnread` (unknown): the kernel's clock may not be asked, as in some containers

## What it sends
To API servers other than this node's own, those that its kubeconfigs and the command line name, `GET /livez` without credentials. Nothing with `--offline`.

## How to fix
Have chrony or systemd-timesyncd run, with servers that this network reaches. A clock that is far off is set at once by `chronyc makestep`; running programs see the
time jump.

## How to verify
`timedatectl` says “System clock synchronized: yes”.

## References
- adjtimex(2), Linux `kernel/time/ntp.c`; chrony `sys_timex.c` (set_sync_status); systemd-timesyncd.service(8), systemd-time-wait-sync.service(8)
- etcd `server/etcdserver/api/rafthttp/probing_status.go` (clock difference above a second)
- go-jose `jwt/validation.go` (DefaultLeeway, one minute), by which API servers check tokens
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.facts.api_members import ApiMembers
from k8sdoctor.facts.clock import MARK, NodeClock, PeerClocks
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.finding import (
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TOKENS = 60.0
"""Seconds that a token's beginning and end are borne with."""

NOTABLE = 5.0
"""Seconds that an answer may have been under way."""

DAY = 86400.0
"""Seconds: a certificate that a clock ahead by less takes for expired is about to expire anyway."""

UNKNOWN_ERROR = 16.0
"""Seconds of maximum error that stand for none known (NTP_PHASE_LIMIT of linux/timex.h)."""

FRESH = 2 * 3600.0
"""Seconds that systemd-timesyncd's mark counts: more than three times its longest interval (PollIntervalMaxSec, 2048 s)."""

_PULLS = ("registry-config", "pause-image", "images", "image-list", "download-list")

# What a clock that is behind, or ahead, makes certificates look like.
_BEHIND = (
    ("apiserver-san", "NotYetValid"),
    ("certificates", "NotYetValid"),
    ("kubeconfig", "ClientCertificateNotYetValid"),
    *((check_id, "CertificateNotYetValid") for check_id in _PULLS),
)
_AHEAD = (
    ("apiserver-san", "CertificateExpired"),
    ("certificates", "CertificateExpired"),
    ("kubeconfig", "ClientCertificateExpired"),
    *((check_id, "CertificateExpired") for check_id in _PULLS),
)


@check("time-sync", title="The node's clock is right, and kept so", area="node", profiles=NOT_DNS)
def time_sync(
    clock: NodeClock,
    peers: PeerClocks | Unobserved,
    members: ApiMembers | Unobserved,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge the clock against others, then who keeps it."""
    family = distribution.family if isinstance(distribution, Distribution) else "other"
    told = dict(peers.ahead) if isinstance(peers, PeerClocks) else {}
    if isinstance(members, ApiMembers):
        told |= {each.authority: each.ahead for each in members.all if each.ahead is not None and not each.own}
    far = {where: ahead for where, ahead in told.items() if abs(ahead) > NOTABLE}
    if far:
        yield _skewed(far, told, clock, family)
    else:
        yield _kept(clock, told, family)


def _skewed(far: dict[str, float], told: dict[str, float], clock: NodeClock, family: str) -> Finding:
    where, ahead = max(far.items(), key=lambda each: (abs(each[1]), each[0]))
    grave = abs(ahead) > TOKENS
    so = (
        "certificates and tokens are judged by the wrong time"
        if grave
        else "etcd's members want to be within a second of each other"
    )
    others = f" (and from {len(far) - 1} more)" if len(far) > 1 else ""
    links: Sequence[Link] = ()
    if grave:
        why = f"this node's clock is {_span(ahead)} {'behind' if ahead > 0 else 'ahead of'} the API server's at {where}"
        looks = _BEHIND if ahead > 0 else _AHEAD if ahead < -DAY else ()
        links = [Link(check, reason, why) for check, reason in looks]
    return (fail if grave else warn)(
        "ClockSkew",
        f"This node's clock is {_span(ahead)} {'behind' if ahead > 0 else 'ahead of'} that of the API server at {where}{others}: {so}.",
        subject=where,
        evidence=[
            *(
                Evidence(f"date of https://{each}/livez", f"{seconds:+.1f} s from here")
                for each, seconds in sorted(told.items())
            ),
            *_seen(clock),
        ],
        fix=_step(clock, family),
        explains=links,
    )


def _kept(clock: NodeClock, told: dict[str, float], family: str) -> Finding:
    agree = f", and agrees with the API server at {min(told)}" if told else ""
    still = f" For now it agrees with the API server at {min(told)}." if told else ""
    if clock.kernel is None:
        problem = clock.problem or Unobserved("Unreadable", "it was not asked")
        reason = problem.reason if problem.reason in ("NotRecorded", "DeadlineExceeded") else "ClockUnread"
        return unknown(reason, f"Whether this node's clock is synchronised could not be told: {problem.message}.")
    by = f" by {', '.join(clock.services)}" if clock.services else ""
    if not clock.kernel["unsynchronised"] or (clock.services and clock.kernel["max_error"] < UNKNOWN_ERROR):
        off = f" (at most {clock.kernel['max_error']:.3f} s off)"
        return passed("Synchronised", f"The clock is kept{by}{off}{agree}.", evidence=_seen(clock))
    if clock.marked is not None and -NOTABLE < clock.marked < FRESH and "systemd-timesyncd" in clock.services:
        return passed(
            "Synchronised",
            f"systemd-timesyncd synchronised the clock {_span(clock.marked)} ago{agree}.",
            evidence=_seen(clock),
        )
    if clock.outside:
        return passed(
            "KeptFromOutside",
            f"{', '.join(clock.outside)} sets the clock of this virtual machine after its host's{agree}.",
            evidence=_seen(clock),
        )
    if clock.processes_problem is not None:
        return unknown(
            "ClockUnread",
            f"The kernel says that nobody has synchronised its clock, and whether a program is about to could not be seen: {clock.processes_problem.message}.",
            evidence=_seen(clock),
        )
    if clock.services:
        return warn(
            "NotSynchronised",
            f"{', '.join(clock.services)} runs and has not synchronised the clock: the kernel holds it for unsynchronised.{still}",
            subject=clock.services[0],
            evidence=_seen(clock),
            fix=_ask_service(clock),
        )
    return warn(
        "NoTimeService",
        f"No program keeps this node's clock, so it will drift.{still}",
        evidence=_seen(clock),
        fix=_install(family),
    )


def _seen(clock: NodeClock) -> Iterator[Evidence]:
    if clock.kernel is not None:
        state = "unsynchronised" if clock.kernel["unsynchronised"] else "synchronised"
        yield Evidence("adjtimex", f"{state}, maximum error {clock.kernel['max_error']:.3f} s")
    if clock.marked is not None:
        yield Evidence(MARK, f"touched {_span(clock.marked)} ago")


# -- fixes ---------------------------------------------------------------------------------------------------------------

# The package's own service, by family (Debian and SUSE call the unit otherwise).
_INSTALL = {
    "debian": ("apt-get install -y chrony", "chrony"),
    "rhel": ("dnf install -y chrony", "chronyd"),
    "suse": ("zypper install -y chrony", "chronyd"),
}


def _install(family: str) -> Fix:
    command, unit = _INSTALL.get(family, ("", "systemd-timesyncd"))
    start = f"systemctl enable --now {unit}"
    return Fix(
        "Have a program keep the time, from servers that this network reaches",
        (*([command] if command else []), start),
        "timedatectl",
        Safety.MANUAL,
    )


def _ask_service(clock: NodeClock) -> Fix:
    commands: tuple[str, ...]
    if "chronyd" in clock.services:
        commands = ("chronyc -n sources -v", "chronyc tracking")
    elif "systemd-timesyncd" in clock.services:
        commands = ("timedatectl timesync-status", "journalctl -u systemd-timesyncd -n 20 --no-pager")
    else:
        commands = ("ntpq -pn",) if clock.services[0] in ("ntpd", "ntpsec") else ("timedatectl",)
    return Fix(
        "See whether it reaches its servers (UDP port 123), and name some that this network has",
        commands,
        "timedatectl",
        Safety.MANUAL,
    )


def _step(clock: NodeClock, family: str) -> Fix:
    title = "See which of the two clocks is wrong, and set that one (running programs see the time jump)"
    if "chronyd" in clock.services:
        return Fix(title, ("date -u", "chronyc -n sources -v", "chronyc makestep"), "timedatectl", Safety.DISRUPTIVE)
    if "systemd-timesyncd" in clock.services:
        return Fix(
            title,
            ("date -u", "timedatectl timesync-status", "systemctl restart systemd-timesyncd"),
            "timedatectl",
            Safety.DISRUPTIVE,
        )
    made = _install(family)
    return Fix(title, ("date -u", *made.commands), made.verify, Safety.MANUAL)


def _span(seconds: float) -> str:
    """A time as a person says it.

    >>> _span(-7.25), _span(90), _span(7300), _span(200000)
    ('7 s', '2 min', '2 h', '2 days')
    """
    amount = abs(seconds)
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if amount >= 1.5 * length or (unit != "days" and amount >= length):
            return f"{amount / length:.0f} {unit}"
    return f"{amount:.0f} s"
