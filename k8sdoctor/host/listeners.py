"""Who listens on ports of the node: the verb `listeners`, from the tables of /proc.

Not by netlink (sock_diag), which would load a kernel module where nobody has asked before; the tables are there always.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from k8sdoctor.host import own_limits
from k8sdoctor.host.answers import ListeningSocket
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host.live import LiveHost

# include/net/tcp_states.h: a TCP socket that listens, and a UDP socket that is bound and not connected.
_STATES: dict[Literal["tcp", "udp"], str] = {"tcp": "0A", "udp": "07"}


class _Bound(NamedTuple):
    """A line of a table."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    uid: int
    inode: int


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `listeners`."""
    del verb
    wanted = frozenset(cast("list[int]", arguments["ports"]))
    # With another root, the namespace of its first process is the node's; without, ours is.
    folder = f"{host.root}/proc/{'1' if host.root else 'self'}/net"
    found = [bound for protocol in _STATES for bound in _table(folder, protocol) if bound.port in wanted]
    if not found and not Path(folder).is_dir():
        raise HostError("Unreadable", "/proc shows no network; is it mounted?")
    owners = _owners(f"{host.root}/proc", {bound.inode for bound in found if bound.inode})
    listeners = []
    for bound in sorted(set(found)):
        pid = owners.get(bound.inode)
        name, words = _process(f"{host.root}/proc/{pid}") if pid is not None else ("", [])
        listeners.append(
            ListeningSocket(
                protocol=bound.protocol,
                address=bound.address,
                port=bound.port,
                uid=bound.uid,
                kernel=bound.inode == 0,
                pid=pid,
                name=name,
                cmdline=host.vault.hide_words(words),
            )
        )
    return cast("Json", listeners)


def _table(folder: str, protocol: Literal["tcp", "udp"]) -> Iterator[_Bound]:
    for suffix in ("", "6"):
        try:
            text = Path(f"{folder}/{protocol}{suffix}").read_text("ascii", "replace")
        except FileNotFoundError:  # a kernel without IPv6
            continue
        except OSError as error:
            own_limits.hold(error)
            raise HostError("NotPermitted", f"{folder}/{protocol}{suffix}: {os.strerror(error.errno or 0)}") from None
        for line in text.splitlines()[1:]:
            # proc_pid_net(5): sl local_address rem_address st queues timer retransmits uid timeout inode
            words = line.split()
            if len(words) > 9 and words[3] == _STATES[protocol]:  # noqa: PLR2004 -- the inode's place
                address, _, port = words[1].partition(":")
                yield _Bound(protocol, _address(address), int(port, 16), int(words[7]), int(words[9]))


def _address(text: str) -> str:
    """An address from the words of 32 bits, each as it lies in memory."""
    data = b"".join(int(text[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(text), 8))
    address = ip_address(data)
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)


def _owners(proc: str, inodes: set[int]) -> dict[int, int]:
    """The process that holds each socket, as far as we may look: the lowest pid, since children inherit what their parent opened."""
    sockets = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for pid in sorted(int(path.name) for path in Path(proc).iterdir() if path.name.isdigit()):
        if len(found) == len(inodes):
            break
        with suppress(OSError), os.scandir(f"{proc}/{pid}/fd") as entries:  # it ended, or is not ours to look at
            for entry in entries:
                with suppress(OSError):
                    inode = sockets.get(os.readlink(entry.path))  # noqa: PTH115 -- thousands of them
                    if inode is not None:
                        found.setdefault(inode, pid)
    return found


def _process(folder: str) -> tuple[str, list[str]]:
    """Its name, which the kernel cuts at 15 characters, and its command line."""
    name, words = "", []
    with suppress(OSError):
        name = Path(f"{folder}/comm").read_text("utf-8", "replace").strip()
        text = Path(f"{folder}/cmdline").read_bytes().decode("utf-8", "replace")
        words = text.removesuffix("\0").split("\0") if text else []
    return name, words
