"""The node's clock: who keeps it, and how it compares with those of API servers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.api_endpoints import NodeEndpoints
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import HttpRequest
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import Clock, HttpAnswer

LIMIT = 4.0
"""Seconds for one question."""

MOST = 3
"""API servers that are asked; any one of them tells."""

MARK = "/run/systemd/timesync/synchronized"
"""What systemd-timesyncd touches whenever it has synchronised (systemd-timesyncd.service(8)), and systemd-time-wait-sync goes by."""

SERVICES = ("chronyd", "systemd-timesyncd", "ntpd", "ntpsec", "ntp-daemon", "ptp4l", "phc2sys")
"""Programs that discipline the kernel's clock: chrony, systemd, ntp, NTPsec and OpenNTPD, ntpd-rs, linuxptp."""

FROM_OUTSIDE = ("VBoxService",)
"""Programs of a virtual machine that set its clock after the host's, and tell the kernel nothing of it; on without being asked for."""


@dataclass(frozen=True)
class NodeClock:
    """`kernel` is what the kernel holds of its clock (None: `problem` says why). `services` are the programs that run and keep it.

    `outside` are those that set it after a host's. `marked` is how many seconds ago systemd-timesyncd last synchronised; None: never, or it is not
    used. `processes_problem` says why programs could not be seen.
    """

    kernel: Clock | None
    problem: Unobserved | None = None
    services: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    marked: float | None = None
    processes_problem: Unobserved | None = None

    @classmethod
    def observe(cls, host: Host, processes: Processes | Unobserved) -> Self:
        """Ask the kernel, and look for the programs. Never raises."""
        kernel, problem = None, None
        try:
            kernel = host.clock()
        except HostError as error:
            problem = Unobserved(error.reason, error.message)
        try:
            marked = host.now() - host.stat(MARK)["mtime"]
        except HostError:
            marked = None
        if isinstance(processes, Unobserved):
            return cls(kernel, problem, marked=marked, processes_problem=processes)
        running = [name for name in (*SERVICES, *FROM_OUTSIDE) if processes.named(name, name[:15])]
        return cls(
            kernel,
            problem,
            tuple(name for name in running if name in SERVICES),
            tuple(name for name in running if name in FROM_OUTSIDE),
            marked,
        )


@dataclass(frozen=True)
class PeerClocks:
    """By how many seconds the clocks of API servers are ahead of this node's, by `host:port`. Empty where none was told."""

    ahead: tuple[tuple[str, float], ...] = ()

    @classmethod
    def observe(cls, host: Host, endpoints: NodeEndpoints) -> Self:
        """Ask those that this node's files name, not its own, without credentials; whatever one answers has a date. Raises Offline."""
        found = {
            endpoint.authority: endpoint
            for endpoint in endpoints.all
            if not endpoint.kinds & {"own", "planned", "service"}
            and not any(use.plain or use.proxy for use in endpoint.uses)
        }
        asked = sorted(found)[:MOST]
        told = side_by_side([partial(_ask, host, where) for where in asked])
        return cls(tuple((where, one) for where, one in zip(asked, told, strict=True) if one is not None))


def _ask(host: Host, where: str) -> float | None:
    return ahead(
        host.http(
            HttpRequest(
                method="GET",
                url=f"https://{where}/livez",
                headers={},
                ca_files=[],
                client_certificate=None,
                verify=False,  # a clock that is wrong makes certificates look wrong, and only the date is read
                proxy=None,
                limit=LIMIT,
            )
        )
    )


def ahead(answer: HttpAnswer) -> float | None:
    """By how many seconds the clock of who answered is ahead of ours; None where that is not told, or somebody between answered from store.

    The date has whole seconds, cut off (RFC 9110, 5.6.7), so half a second is added.

    >>> said = {"date": "Thu, 21 May 2026 12:00:09 GMT"}
    >>> answer = {"status": 200, "headers": said, "body": "", "peer": None, "failure": None, "at": 1779364800.5}
    >>> ahead(answer), ahead({**answer, "headers": {**said, "age": "3"}}), ahead({**answer, "headers": {}})
    (9.0, None, None)
    """
    from email.utils import parsedate_to_datetime

    at, headers = answer.get("at"), answer["headers"]
    if at is None or "date" not in headers or "age" in headers:
        return None
    try:
        return parsedate_to_datetime(headers["date"]).timestamp() + 0.5 - at
    except (ValueError, OverflowError):
        return None
