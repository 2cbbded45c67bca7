"""A node of its own on this machine: real kernel, real programs, nothing left behind.

`LabNode` has mounts, network, processes and host name of its own. `/run` and the folders of `WRITABLE` may be written to and
are gone afterwards, everything else is read-only, so that no test can change the machine. Its `eth0` leads to the *far side*,
a second network namespace for registries, balancers and other nodes; there is no way further out.

Whatever runs inside ends with the node: the first process of each pid namespace reads a pipe that only the test holds, so
even a killed test run leaves no process and no mount.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

WRITABLE = ("/etc", "/opt", "/root", "/var", "/usr/local", "/usr/lib/sysctl.d", "/usr/lib/modules-load.d")
"""Folders with an overlay: what the machine has shows through, what is written stays in the node."""

NODE_ADDRESSES = ("192.0.2.10/24", "2001:db8:1::10/64")
"""Of the node's eth0."""

FAR_ADDRESSES = ("192.0.2.1/24", "2001:db8:1::1/64")
"""Of the far side, the node's default gateway. Add more there with `far_run`."""

DNSMASQ_SERVES = "started, version"
"""What dnsmasq logs, with `--log-facility=-`, once it listens by UDP and TCP of both families: it opens one after the other."""

WATCHDOG = 60.0
"""Seconds after which a command that hangs is a failure; far beyond what any takes."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# cat reads the pipe until the test closes it. Ignoring SIGCHLD lasts over exec and lets the kernel reap orphans.
_HOLDER = ("sh", "-c", 'trap "" CHLD; echo ready; exec cat >/dev/null')

_MOUNTS = r"""
set -eu
own=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/.lab
i=0
for folder in "$@"; do
    [ -d "$folder" ] || continue
    i=$((i + 1))
    mkdir -p /run/.lab/$i/upper /run/.lab/$i/work
    mount -t overlay -o "lowerdir=$folder,upperdir=/run/.lab/$i/upper,workdir=/run/.lab/$i/work" overlay "$folder"
done
mount --bind /tmp /tmp  # tests hand files over by it
# Kernel-wide settings are not the node's own; its network settings are.
for folder in kernel vm fs; do
    mount --bind /proc/sys/$folder /proc/sys/$folder
    mount -o remount,bind,ro /proc/sys/$folder
done
# /sys shows the network of whoever mounts it.
mkdir /run/.lab/cgroup
mount --rbind /sys/fs/cgroup /run/.lab/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/.lab/cgroup /sys/fs/cgroup
umount -l /run/.lab/cgroup
# What a runtime makes there belongs to the node, and goes with it.
for hierarchy in /sys/fs/cgroup/*; do
    if [ -d "$hierarchy/$own" ]; then mount --bind "$hierarchy/$own" "$hierarchy"; fi
done
mount -o remount,bind,ro /
mount --make-rshared /
"""


@dataclass(frozen=True)
class Outcome:
    """How a run of the doctor ended."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """What it printed, parsed as JSON."""
        return json.loads(self.out)

    def result(self, check: str) -> Any:
        """One check's result of the report."""
        [found] = [result for result in self.report["results"] if result["check"] == check]
        return found

    def reasons(self, check: str) -> set[str]:
        """The reasons of one check's findings."""
        return {finding["reason"] for finding in self.result(check)["findings"]}


@dataclass
class Daemon:
    """A program that runs until it is stopped or the node ends."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """What it has printed so far, both streams."""
        return self.log_path.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id as the machine outside sees it."""
        return wait_for(lambda: _child(self.process.pid), "the daemon's process")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it ended."""
        if self.running:
            # One that was started just now is not there yet.
            wait_for(lambda: _child(self.process.pid) or not self.running, "the daemon's process")
            child = _child(self.process.pid)
            if child is not None:
                os.kill(child, number)
            self.process.wait(WATCHDOG)


@dataclass(frozen=True)
class Pod:
    """A pod's network namespace, without a pod in it."""

    node: LabNode
    name: str
    veth: str  # its end on the node

    @property
    def netns(self) -> str:
        """The namespace's path on the node."""
        return f"/run/netns/{self.name}"

    def _inside(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={self.netns}", *argv]

    def run(self, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod's network."""
        return self.node.run(self._inside(argv), check=check)

    def popen(self, argv: Sequence[str]) -> Daemon:
        """Start a daemon in the pod's network."""
        return self.node.popen(self._inside(argv))


class _Namespaces:
    """A process that holds namespaces open, and the words that enter them."""

    def __init__(self, unshare: Sequence[str]) -> None:
        self._holder = subprocess.Popen(
            [*unshare, "--fork", "--kill-child", "--mount-proc", *_HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": _PATH},
        )
        assert self._holder.stdout is not None
        ready = self._holder.stdout.readline()
        child = psutil.Process(self._holder.pid)
        # With `nsenter` in front, the one that forks is still this process: nsenter execs.
        children = child.children()
        if ready != b"ready\n" or not children:
            self.end()
            message = "the namespaces of the lab could not be made (see what unshare says above)"
            raise RuntimeError(message)
        self.pid = children[0].pid

    def enter(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--mount", "--uts", "--net", "--pid", "--wd=/", *argv]

    def end(self) -> None:
        for pipe in (self._holder.stdin, self._holder.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._holder.wait(WATCHDOG)
        except subprocess.TimeoutExpired:
            self._holder.kill()
            self._holder.wait()


@dataclass
class LabNode:
    """`with LabNode() as node:`; see the module."""

    name: str = "lab1"
    _node: _Namespaces = field(init=False)
    _far: _Namespaces = field(init=False)
    _folder: Path = field(init=False)
    _daemons: list[Daemon] = field(default_factory=list)
    _cgroups: list[Path] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="k8sdoctor-lab-"))
        self._node = _Namespaces(["unshare", "--mount", "--net", "--pid", "--uts"])
        try:
            self._cgroups = _make_cgroups(self._folder.name)
            self.run(["sh", "-c", _MOUNTS, "mounts", self._folder.name, *WRITABLE])
            # The far side sees the node's files (so a daemon there reads what `write` wrote), and not its processes.
            self._far = _Namespaces(
                [
                    *("nsenter", "--target", str(self._node.pid), "--mount", "--wd=/"),
                    *("unshare", "--mount", "--net", "--pid", "--uts"),
                ]
            )
        except BaseException:
            self._node.end()
            self._clean()
            raise
        try:
            self._identify()
            self._wire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def thaw(self) -> None:
        """Let every daemon that was stopped by a signal go on: nsenter stops along with what it started, out of that one's reach."""
        for daemon in self._daemons:
            if daemon.running:
                daemon.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_: object) -> None:
        self.thaw()
        self._far.end()
        self._node.end()
        for daemon in self._daemons:
            daemon.process.wait(WATCHDOG)
        self._clean()

    def _clean(self) -> None:
        for cgroup in self._cgroups:
            for folder in sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True):
                folder.rmdir()
            cgroup.rmdir()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _identify(self) -> None:
        self.run(["hostname", self.name])
        self.far_run(["hostname", "far"])
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n192.0.2.10 {self.name}\n")
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
        self.write("/etc/resolv.conf", "")  # nobody is asked but who a test puts there

    def _wire(self) -> None:
        veth = ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "node0", "netns", str(self._far.pid)]
        # `netns PID` means a process as the caller's pid namespace sees it: so enter the network only.
        subprocess.run(["nsenter", "--target", str(self._node.pid), "--net", *veth], check=True, env={"PATH": _PATH})
        self.shell("ip link set lo up; ip link set eth0 up; " + _add(NODE_ADDRESSES, "eth0"))
        self.far_run(["sh", "-ec", "ip link set lo up; ip link set node0 up; " + _add(FAR_ADDRESSES, "node0")])
        for address in FAR_ADDRESSES:
            self.run(["ip", "route", "add", "default", "via", address.partition("/")[0]])

    @property
    def root(self) -> Path:
        """The node's root folder as the machine outside sees it: a way to its sockets, and a `--root` for the doctor."""
        return Path(f"/proc/{self._node.pid}/root")

    # -- running things ----------------------------------------------------------------------------------------------

    def words(self, argv: Sequence[str]) -> list[str]:
        """The words that run a command on the node, for who wants to start it by other means."""
        return self._node.enter(argv)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the node. With `check`, a failure raises and shows what it printed."""
        return _run(self._node.enter(argv), check=check, stdin=stdin, env=env)

    def shell(self, text: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run shell text on the node, as root pastes it (with `check`, it stops at the first failure)."""
        return self.run(["bash", "-ec" if check else "-c", text], check=check)

    def far_run(self, argv: Sequence[str], *, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on the far side of eth0."""
        return _run(self._far.enter(argv), check=check, stdin=stdin, env=None)

    def popen(self, argv: Sequence[str], *, far: bool = False, env: Mapping[str, str] | None = None) -> Daemon:
        """Start a daemon on the node or on the far side; it ends with the node."""
        log = self._folder / f"{len(self._daemons)}-{Path(argv[0]).name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                (self._far if far else self._node).enter(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=_environment(env),
            )
        daemon = Daemon(process, log)
        self._daemons.append(daemon)
        return daemon

    def await_process(self, begin: str) -> None:
        """Wait until a process of the node has a command line that begins so: one that was started just now is still whoever starts it."""
        seen = ["pgrep", "--full", f"^{begin}"]
        wait_for(lambda: self.run(seen, check=False).returncode == 0, f"the process {begin}")

    def doctor(self, *arguments: str, env: Mapping[str, str] | None = None) -> Outcome:
        """Run `k8sdoctor` with these arguments on the node."""
        done = self.run([sys.executable, "-m", "k8sdoctor", *arguments], check=False, env=env)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def check(self, *arguments: str) -> Outcome:
        """Run `k8sdoctor check -o json` with more arguments on the node.

        The whole run has time enough also on a machine that is busy with other tests; each probe keeps its own limit.
        """
        return self.doctor("check", "-o", "json", "--deadline", f"{WATCHDOG:g}", *arguments)

    # -- files -------------------------------------------------------------------------------------------------------

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the node, folders included. A link is replaced, not followed."""
        quoted = shlex.quote(path)
        self.run(
            ["sh", "-ec", f'mkdir -p "$(dirname {quoted})"; rm -f {quoted}; cat > {quoted}; chmod {mode:o} {quoted}'],
            stdin=text,
        )

    def read(self, path: str) -> str:
        """The text of a file of the node."""
        return self.run(["cat", path]).stdout

    # -- networks ----------------------------------------------------------------------------------------------------

    def add_bridge(self, name: str = "cni0", *addresses: str) -> None:
        """Make a bridge that is up, with addresses such as `10.244.0.1/24`."""
        self.shell(f"ip link add {name} type bridge; ip link set {name} up; " + _add(addresses, name))

    def add_pod(
        self,
        name: str,
        *addresses: str,
        bridge: str | None = None,
        gateway: str | None = None,
    ) -> Pod:
        """Make a pod's network namespace, by default wired as Calico does: a veth of its own and a route to it.

        With `bridge`, its veth is a port of that bridge, as with the bridge plugin and flannel; `gateway` is its default route then.
        """
        veth = f"veth{name}"[:15]
        inside = f"ip -n {name}"
        commands = [
            f"ip netns add {name}",
            f"ip link add {veth} type veth peer name eth0 netns {name}",
            f"ip link set {veth} up; {inside} link set lo up; {inside} link set eth0 up",
            _add(addresses, "eth0", ip=inside),
        ]
        if bridge:
            commands.append(f"ip link set {veth} master {bridge}")
            if gateway:
                commands.append(f"{inside} route add default via {gateway}")
        else:
            # Calico answers ARP by proxy, which the kernel does only while it forwards; the entry works either way.
            commands.append(f"mac=$(cat /sys/class/net/{veth}/address)")
            commands.append(f"{inside} neighbour add 169.254.1.1 lladdr $mac dev eth0 nud permanent")
            commands.append(f"{inside} route add 169.254.1.1 dev eth0; {inside} route add default via 169.254.1.1")
            commands += [f"ip route add {address.partition('/')[0]} dev {veth}" for address in addresses]
        self.shell("\n".join(commands))
        return Pod(self, name, veth)


def wait_for(probe: Callable[[], T | None], what: str) -> T:
    """The first answer of `probe` that is not empty; an assertion fails when none comes within the watchdog."""
    end = time.monotonic() + WATCHDOG
    while time.monotonic() < end:
        if answer := probe():
            return answer
        time.sleep(0.02)
    message = f"{what} did not come within {WATCHDOG:g} s"
    raise AssertionError(message)


def _add(addresses: Sequence[str], device: str, *, ip: str = "ip") -> str:
    # Without nodad an IPv6 address could not be used for a second.
    return (
        "; ".join(
            f"{ip} address add {address} dev {device}" + (" nodad" if ":" in address else "") for address in addresses
        )
        or ":"
    )


def _make_cgroups(name: str) -> list[Path]:
    """A cgroup of this name in each hierarchy of cgroup v1 and beside it; none with v2 alone, whose root a runtime wants to see."""
    made = []
    for hierarchy in sorted(Path("/sys/fs/cgroup").glob("*")):
        if hierarchy.is_symlink() or not hierarchy.is_mount() or not (hierarchy / "cgroup.procs").is_file():
            continue
        cgroup = hierarchy / name
        cgroup.mkdir()
        made.append(cgroup)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new cgroup, and then nobody may live in it
            if (cgroup / setting).is_file():
                (cgroup / setting).write_text((hierarchy / setting).read_text())
    return made


def _child(pid: int) -> int | None:
    """The process behind nsenter, which forks to enter a pid namespace."""
    try:
        children = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return None
    return children[0].pid if children else None


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Nothing of the machine's (a proxy, a KUBECONFIG) but where Python finds its packages."""
    kept = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    return {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **kept, **(extra or {})}


def _run(
    argv: Sequence[str], *, check: bool, stdin: str, env: Mapping[str, str] | None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, timeout=WATCHDOG, env=_environment(env)
    )
    if check and done.returncode != 0:
        message = f"{shlex.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        raise AssertionError(message)
    return done
