"""A service of the machine that is not well: what systemd says of it, and its last words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

MOST_LINES = 200
"""Lines of a log that are asked for; a crash says why in its last few."""

_PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NRestarts", "ExecMainStatus")

_PID = regex(r"^[^\[]{0,80} [\w@./-]+\[(\d+)\]: ")  # `2026-11-20T10:00:00+0100 node1 kubelet[812]: `

# Where a service logs without a journal: a file of its own, else the machine's.
_SHARED = ("/var/log/syslog", "/var/log/messages")


@dataclass(frozen=True)
class Service:
    """One service. The words are systemd's own, empty where it was not asked or did not say.

    `load` is `loaded`, `not-found`, `masked`…; `active` is `active`, `inactive`, `failed`, `activating`…; `enabled` is `enabled`,
    `disabled`, `static`…; `restarts` is how often systemd has started it anew (0 before systemd 235); `exit_status` is what its process
    ended with. `problem` is why systemd said nothing. `log` are its last lines, oldest first, from `log_source`; `log_problem` is why there
    are none.
    """

    unit: str = ""
    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    enabled: str = ""
    restarts: int = 0
    exit_status: str = ""
    problem: Unobserved | None = None
    log: tuple[str, ...] = ()
    log_source: str = ""
    log_problem: Unobserved | None = None

    @property
    def crashes(self) -> bool:
        """Whether it was started and ended with an error, once or over and over."""
        return (
            self.active == "failed" or self.sub == "auto-restart" or (self.active == "activating" and self.restarts > 0)
        )

    @property
    def state(self) -> str:
        """What systemd says, as evidence shows it; empty where it said nothing."""
        words = (
            ("LoadState", self.load),
            ("ActiveState", self.active),
            ("SubState", self.sub),
            ("Result", self.result),
            ("UnitFileState", self.enabled),
            ("NRestarts", str(self.restarts) if self.restarts else ""),
            ("ExecMainStatus", self.exit_status),
        )
        return "\n".join(f"{key}={value}" for key, value in words if value)

    @property
    def last_life(self) -> tuple[str, ...]:
        """The lines of the process that logged last, as far as lines name one; else the last few. What an earlier one said may be mended."""
        pids = [match[1] if (match := _PID.search(line)) else None for line in self.log]
        mine = [pid for line, pid in zip(self.log, pids, strict=True) if pid is not None and " systemd[" not in line]
        if not mine:
            return self.log[-20:]
        return tuple(line for line, pid in zip(self.log, pids, strict=True) if pid == mine[-1])

    @classmethod
    def look(cls, host: Host, unit: str) -> Self:
        """Ask systemd about a unit, and read its last words. Never raises."""
        values, problem = _show(host, unit)
        lines, source, silent = _log(host, unit)
        restarts = values.get("NRestarts", "")
        return cls(
            unit=unit,
            load=values.get("LoadState", ""),
            active=values.get("ActiveState", ""),
            sub=values.get("SubState", ""),
            result=values.get("Result", ""),
            enabled=values.get("UnitFileState", ""),
            restarts=numbers.whole(restarts) or 0,
            exit_status=values.get("ExecMainStatus", ""),
            problem=problem,
            log=lines,
            log_source=source,
            log_problem=silent,
        )


def _show(host: Host, unit: str) -> tuple[dict[str, str], Unobserved | None]:
    argv = ["systemctl", "show", f"{unit}.service", f"--property={','.join(_PROPERTIES)}"]
    try:
        result = host.run(*argv)
    except HostError as error:
        return {}, Unobserved(error.reason, error.message)
    values = dict(line.split("=", 1) for line in result["out"].splitlines() if "=" in line)
    if result["code"] or "LoadState" not in values:  # no systemd runs here, or we are in a chroot
        said = (result["err"] or result["out"]).strip().partition("\n")[0].rstrip(".")
        return {}, Unobserved("Unreadable", f"systemd was not asked: {said or 'systemctl said nothing'}")
    return values, None


def _log(host: Host, unit: str) -> tuple[tuple[str, ...], str, Unobserved | None]:
    """Its last lines, where from, and why there are none: from the journal of this boot, else from a file."""
    argv = ["journalctl", "-u", unit, "-b", "-n", str(MOST_LINES), "-o", "short-iso", "--no-pager", "-q"]
    problem: Unobserved | None = None
    try:
        result = host.run(*argv)
        # Text and not JSON: a secret in quotes that are escaped twice would be harder to see.
        lines = tuple(line for line in result["out"].splitlines() if line.strip())
        if lines:
            return lines, " ".join(argv), None
        if result["code"]:
            said = result["err"].strip().partition("\n")[0]
            problem = Unobserved("Unreadable", f"journalctl: {said or 'it failed'}")
    except HostError as error:
        problem = Unobserved(error.reason, error.message)
    own = (f"/var/log/{unit}.log", f"/var/log/{unit}/{unit}.log")
    for path in (*own, *_SHARED):
        try:
            text = host.tail(path)
        except HostError as error:
            if error.reason == "NotPermitted":
                problem = Unobserved(error.reason, error.message)
            continue
        lines = tuple(line for line in text.splitlines() if line.strip() and (path in own or f" {unit}[" in line))
        if lines:
            return lines[-MOST_LINES:], path, None
    return (
        (),
        "",
        problem or Unobserved("NotFound", f"neither the journal nor a file below /var/log has a line of {unit}"),
    )
