"""What a node may do to the doctor: each condition with how it is made and undone. `make hostile` measures all of them.

Whatever it meets, a run must end with a whole report: every check that applies, nothing `broken` that is not its own plug-in's, no
traceback on the screen, at most 150 MiB; and `make hostile` ends with 1 where one does not, or comes later than the deadline and 0.3 s.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

from tests.lab.crowd import Crowd
from tests.lab.node import LabNode
from tests.lab.whole_node import WholeNode

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_MEMORY = 150
"""MiB."""

YEAR = 365.25 * 86400

DEADLINE = 15.0
"""Seconds; the default."""

LATE = 0.3
"""Seconds that a report may come after it, which only a machine without other work holds."""

# One process, waited for with what it used: wall seconds, MiB, exit code. Its streams go to files, where nothing can block.
_MEASURE = """
import json, os, sys, time
out, err = (os.open(f"/run/hostile.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("out", "err"))
begun = time.monotonic()
streams = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)]
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=streams)
_, status, used = os.wait4(pid, 0)
print(json.dumps([time.monotonic() - begun, used.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)]))
"""

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
_FOLDERS = {
    "/etc/cni/net.d": "txt",  # in memory already, and containerd watches this very folder
    "/etc/kubernetes/manifests": "bak",
    "/etc/sysctl.d": "off",
    "/etc/containerd/certs.d": "txt",
}


_MAKE_FILES = """import os, sys
for number in range(100_000): os.mknod(sys.argv[1] % number)"""


def _fill(folder: str, end: str) -> str:
    """Shell text that has 100,000 files more in a folder. In memory, and by one program, for an overlay takes far longer."""
    make = f"{sys.executable} -c '{_MAKE_FILES}' {folder}/many-%d.{end}"
    keep = f"cp -a {folder} /run/many; mount -t tmpfs tmpfs {folder}; cp -a /run/many/. {folder}; rm -r /run/many\n"
    return f"mkdir -p {folder}\n{'' if '/cni/' in folder else keep}{make}"


def _empty(folder: str) -> str:
    """Shell text that takes them away."""
    return f"find {folder} -name 'many-*' -delete" if "/cni/" in folder else f"umount {folder}"


class Setting(TypedDict):
    """Some fields of a condition."""

    before: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """`before` and `after` are shell text for the node; `words` stand before the doctor's command, `more` behind it.

    `seen` is what may truly be said of the node then, as `check/Reason`; whatever else fails or warns is a false alarm.
    """

    name: str
    before: str = ""
    after: str = ""
    words: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    seen: frozenset[str] = frozenset()
    pods: int = 0
    """So many more pods, each with an interface in a network namespace of its own."""


def _inside(text: str) -> tuple[str, ...]:
    """Words that run shell text in a mount namespace of its own, and then the doctor."""
    return ("unshare", "--mount", "sh", "-ec", f'{text}; exec "$@"', "sh")


# gRPC hands a moment of the day over to its own core, which asks the kernel's clock.
_CLOCK = """
import sys, time
real = time.time
time.time = lambda: real() + (0 if sys._getframe(1).f_globals["__name__"].startswith("grpc") else {shift})
"""


def _clock(shift: float) -> Setting:
    """The doctor at another time of day, so many seconds off; what counts seconds stays as it is."""
    text = _CLOCK.format(shift=shift)
    return {
        "before": f"mkdir -p /run/clock; cat > /run/clock/sitecustomize.py <<'END'\n{text}\nEND",
        "words": ("env", "PYTHONPATH=/run/clock"),
    }


# Where the runtime is asked and cannot be heard, that an image could not be pulled is worth a warning.
_BLIND = frozenset({"pause-image/NameNotResolved", "images/NameNotResolved"})
_UNVERSIONED = frozenset({"cgroups/CgroupV1Refused"})  # a warning where the kubelet's version cannot be told

CONDITIONS = (
    Condition("nothing special"),
    Condition("locale C", words=("env", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0")),
    Condition("32 files that may be open", words=("prlimit", "--nofile=32"), seen=_BLIND | _UNVERSIONED),
    Condition("64 files that may be open", words=("prlimit", "--nofile=64"), seen=_BLIND | _UNVERSIONED),
    Condition("no thread that may be started", words=(*NOBODY, "prlimit", "--nproc=1"), seen=_BLIND | _UNVERSIONED),
    Condition("not root", words=NOBODY),
    Condition("no /sys", words=_inside("mount -t tmpfs tmpfs /sys")),
    Condition("no /proc", words=_inside("mount -t tmpfs tmpfs /proc"), seen=_BLIND),
    Condition(
        "no network",
        words=("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"),
        seen=frozenset(
            {"apiserver-san/EndpointUnreachable", "ip-forward/ForwardingOff", "node-ready/KubeletUnhealthy"}
        ),
    ),
    Condition(
        "a clock at 1970",
        **_clock(600 - time.time()),
        seen=_BLIND
        | {f"{check}/NotYetValid" for check in ("apiserver-san", "certificates")}
        | {"kubeconfig/ClientCertificateNotYetValid", "time-sync/ClockSkew", "time-sync/NotSynchronised"},
    ),
    Condition(
        "a clock of another century",
        **_clock(74 * YEAR),
        seen=_BLIND
        | {f"{check}/CertificateExpired" for check in ("apiserver-san", "certificates")}
        | {"kubeconfig/ClientCertificateExpired", "time-sync/ClockSkew", "time-sync/NotSynchronised"},
    ),
    Condition(
        "a full disk below the report",
        before="mkdir -p /run/small; mount -t tmpfs -o size=4k tmpfs /run/small",
        after="umount /run/small",
        more=("--report", "/run/small/report.json"),
    ),
    Condition(
        "50,000 rules of iptables",
        before=(
            "{ echo '*filter'; echo ':MANY - [0:0]'\n"
            "seq 50000 | sed 's/.*/-A MANY -p tcp --dport & -j DROP/'\n"
            "echo COMMIT; } | iptables-restore --noflush"
        ),
        after="iptables -F MANY; iptables -X MANY",
    ),
    Condition(
        "200,000 connections",
        before=(
            f"{sys.executable} -c 'import socket\n"
            "for number in range(4):\n"
            " s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            ' for port in range(10000, 60000): s.sendto(b"", ("192.0.2.1", port))\''
        ),
        after="conntrack -F 2>&1",
    ),
    Condition(
        "a runtime that is frozen",
        before="kill -STOP $(pgrep -x containerd)",
        after="kill -CONT $(pgrep -x containerd)",
        seen=_BLIND | {"node-ready/RuntimeDown"},
    ),
    Condition(
        "DNS servers that are frozen",
        before="kill -STOP $(pgrep -x dnsmasq)",
        after="kill -CONT $(pgrep -x dnsmasq)",
        seen=frozenset({"dns-reply-source/NoReply"}),
    ),
    Condition(
        "100,000 files in each folder",
        before="\n".join(_fill(folder, end) for folder, end in _FOLDERS.items()),
        after="\n".join(_empty(folder) for folder in _FOLDERS),
        seen=_BLIND
        | {"node-ready/RuntimeDown"},  # containerd reads the folder of networks anew for each file, and hangs
    ),
)

HEAVY = (Condition("2,000 pods", pods=2000),)
"""What takes minutes to make, and is for `make hostile` alone."""


@dataclass(frozen=True)
class Ending:
    """How a run ended. Seconds are wall time, memory is MiB at its peak."""

    seconds: float
    memory: float
    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """What it printed, parsed as JSON."""
        return json.loads(self.out)

    def faults(self, condition: Condition, usual: set[str]) -> list[str]:
        """What is wrong with it, where `usual` are the checks that have a result on this node."""
        found = []
        if "Traceback" in self.err:
            found.append(f"a traceback: {self.err}")
        if self.code not in (0, 1, 3):
            found.append(f"the exit code is {self.code}: {self.err}")
            return found
        results = self.report["results"]
        if (checks := {result["check"] for result in results}) != usual:
            found.append(f"other checks have results: {sorted(checks ^ usual)}")
        if self.report["broken"]:
            found.append(f"broken: {self.report['broken']}")
        alarms = {
            f"{result['check']}/{finding['reason']}"
            for result in results
            for finding in result["findings"]
            if finding["status"] in ("fail", "warn")
        }
        found += [f"a false alarm: {each}" for each in sorted(alarms - condition.seen)]
        if self.memory > MOST_MEMORY:
            found.append(f"{self.memory:.0f} MiB of memory")
        return found


def run(node: WholeNode, condition: Condition) -> Ending:
    """Make the condition, run the doctor in it, and undo it."""
    lab = node.lab
    crowd = Crowd(node) if condition.pods else None
    try:
        lab.shell(condition.before)
        if crowd is not None:
            crowd.have_pods(condition.pods, wired=True)
        doctor = [sys.executable, "-m", "k8sdoctor", "check", "-o", "json", *condition.more]
        with crowd.serving() if crowd is not None else nullcontext():
            done = lab.run([sys.executable, "-c", _MEASURE, *condition.words, *doctor])
    finally:
        lab.thaw()
        lab.shell(condition.after)
    seconds, memory, code = json.loads(done.stdout)
    return Ending(seconds, memory, code, lab.read("/run/hostile.out"), lab.read("/run/hostile.err"))


def main(words: Sequence[str]) -> int:
    """Print each condition with what a run in it took; how many runs were not as they must be."""
    say = partial(print, flush=True)
    with LabNode("worker-1") as lab:
        node = WholeNode(lab)
        node.start()
        say("| condition | wall | beyond the deadline | peak memory | exit code |\n| --- | --- | --- | --- | --- |")
        usual = {result["check"] for result in node.check().report["results"]}
        wrong: dict[str, list[str]] = {}
        for condition in (*CONDITIONS, *HEAVY):
            if all(word in condition.name for word in words):
                end = run(node, condition)
                beyond = max(0.0, end.seconds - DEADLINE)
                say(f"| {condition.name} | {end.seconds:.1f} s | {beyond:.2f} s | {end.memory:.0f} MiB | {end.code} |")
                faults = end.faults(condition, usual)
                if beyond > LATE:
                    faults.append(f"{beyond:.2f} s beyond the deadline")
                if faults:
                    wrong[condition.name] = faults
        for name, faults in wrong.items():
            say(f"\n{name}: {'; '.join(faults)}")
        return len(wrong)


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
