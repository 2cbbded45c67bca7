"""What a program did to the machine it ran on, as strace(1) saw it from outside: every file, every packet, every program."""

from __future__ import annotations

import compileall
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import k8sdoctor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.node import LabNode

_OPENS = "open,openat,openat2,creat"
_CHANGES = (
    "unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,"
    "link,linkat,symlink,symlinkat,truncate,ftruncate,fallocate,mknod,mknodat,setxattr,lsetxattr,fsetxattr,removexattr,"
    "utime,utimes,utimensat,futimesat,mount,umount2,pivot_root,init_module,finit_module,delete_module,kexec_load,sethostname,"
    "setdomainname,settimeofday,clock_settime,adjtimex,clock_adjtime,swapon,swapoff,reboot,bpf,quotactl"
)
"""Calls that change something by being made at all. adjtimex only reads when it is asked to change nothing."""

_TALKS = "connect,sendto,sendmsg,sendmmsg,bind,setsockopt"

_UNFINISHED = "<unfinished ...>"
_RESUMED = re.compile(r"^\d+ +<\.\.\. \w+ resumed>")
_CALL = re.compile(r"^\d+ +(\w+)\((.*)", re.DOTALL)
_FLAGS = re.compile(r"\bO_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)\b")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PEER = re.compile(
    r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)'
    r'|sin6_port=htons\((\d+)\),.*?inet_pton\(AF_INET6, "([^"]+)"'
)
_NETLINK = re.compile(r"nlmsg_type=([\w<|]+)")
_FIREWALL = re.compile(r"\b(?:IPT|IP6T|ARPT|EBT)_SO_SET\w*|\bIP_VS_SO_SET\w*")
_ROUTING = range(16, 200)
"""The message types of rtnetlink, in fours: new, delete, get, set (linux/rtnetlink.h)."""

_NFTABLES_GETGEN = "0xa10"  # nf_tables' subsystem 10, message 16; strace knows the name on some sockets alone


@dataclass(frozen=True)
class Trace:
    """The lines of strace. Each property lists what was seen of one kind, as strace wrote it."""

    lines: tuple[str, ...]

    def _calls(self, *names: str) -> Iterator[tuple[str, str]]:
        for line in self.lines:
            found = _CALL.match(line)
            if found and found[1] in names:
                yield found[1], found[2]

    @property
    def written(self) -> set[str]:
        """Paths that were opened for writing, whether or not that succeeded."""
        return {
            (_QUOTED.search(rest) or ["", rest])[1]
            for name, rest in self._calls(*_OPENS.split(","))
            if name == "creat" or _FLAGS.search(rest)
        }

    @property
    def changes(self) -> list[str]:
        """Calls that change a file, a mount, the clock, the kernel's modules, and the like."""
        return [
            f"{name}({rest}"
            for name, rest in self._calls(*_CHANGES.split(","))
            if not (name in ("adjtimex", "clock_adjtime") and "modes=0" in rest)
        ]

    @property
    def rule_changes(self) -> list[str]:
        """Netlink messages that do more than ask, and socket options that replace firewall rules."""
        asked = [rest for _, rest in self._calls("sendto", "sendmsg", "sendmmsg")]
        more = [rest for rest in asked for kind in _NETLINK.findall(rest) if not _only_asks(kind)]
        return more + [rest for _, rest in self._calls("setsockopt") if _FIREWALL.search(rest)]

    @property
    def programs(self) -> set[tuple[str, ...]]:
        """The words of each program that was started."""
        started = set()
        for _, rest in self._calls("execve", "execveat"):
            words = re.search(r"\[(.*?)\]", rest)
            started.add(tuple(_QUOTED.findall(words[1] if words else rest)))
        return started

    @property
    def peers(self) -> set[tuple[str, int]]:
        """Address and port of each peer that was connected to or sent to."""
        found = [
            peer for _, rest in self._calls("connect", "sendto", "sendmsg", "sendmmsg") for peer in _PEER.findall(rest)
        ]
        return {(four or six, int(port or port6)) for port, four, port6, six in found}


def joined(lines: Iterable[str]) -> Iterator[str]:
    """The lines with each call in one: strace breaks it in two where a call of another thread comes between."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.partition(" ")[0]
        if line.endswith(_UNFINISHED):
            begun[thread] = line.removesuffix(_UNFINISHED)
        elif thread in begun and (resumed := _RESUMED.match(line)):
            yield begun.pop(thread) + line[resumed.end() :]
        else:
            yield line
    yield from begun.values()  # what did not come back


def _only_asks(kind: str) -> bool:
    """Whether a netlink message of this type, by strace's name or number, only asks."""
    if kind.startswith("0x"):
        return kind == _NFTABLES_GETGEN or (int(kind, 16) in _ROUTING and int(kind, 16) % 4 == 2)
    return "GET" in kind or kind in ("NLMSG_NOOP", "NLMSG_DONE", "SOCK_DIAG_BY_FAMILY")


def traced(lab: LabNode, *words: str) -> tuple[str, Trace]:
    """What `k8sdoctor` with these words printed on the node, and what it and the programs that it started did."""
    compileall.compile_dir(
        Path(k8sdoctor.__file__).parent, quiet=2
    )  # as pip does when it installs, else Python would do it now
    calls = f"execve,execveat,{_OPENS},{_CHANGES},{_TALKS}"
    log = "/run/strace.log"
    done = lab.run(
        [
            "strace",
            "-f",
            "-yy",
            "-s",
            "256",
            "-o",
            log,
            "-e",
            f"trace={calls}",
            sys.executable,
            "-m",
            "k8sdoctor",
            *words,
        ],
        check=False,
    )
    return done.stdout, Trace(tuple(joined(lab.read(log).splitlines())))
