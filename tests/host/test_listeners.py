"""Who listens where, on this machine and below a root."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.recording import Recorder, Recording

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, state: str, inode: int, uid: int = 0) -> str:
    return f"   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0 0 10 0\n"


def machine(root: Path, **tables: str) -> LiveHost:
    """A root whose first process has these tables; process 7 holds socket 4711."""
    net = root / "proc" / "1" / "net"
    net.mkdir(parents=True)
    for name, text in tables.items():
        (net / name).write_text(HEAD + text)
    (root / "proc" / "7" / "fd").mkdir(parents=True)
    (root / "proc" / "7" / "fd" / "3").symlink_to("socket:[4711]")
    (root / "proc" / "7" / "comm").write_text("kubelet\n")
    (root / "proc" / "7" / "cmdline").write_bytes(b"/usr/bin/kubelet\0--token=c4n4ry-S3cret\0")
    return LiveHost(str(root))


def test_real_sockets_are_found_with_their_owner_and_their_address() -> None:
    with ExitStack() as stack:
        every = stack.enter_context(closing(socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)))
        port = every.getsockname()[1]
        udp = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        udp.bind(("127.0.0.1", port))
        client = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port))))
        found = LiveHost().listeners([port, client.getsockname()[1]])

    assert [(each["protocol"], each["address"], each["port"], each["pid"]) for each in found] == [
        ("tcp", "::", port, os.getpid()),
        ("udp", "127.0.0.1", port, os.getpid()),
    ]
    assert found[0]["uid"] == os.getuid()
    assert not found[0]["kernel"]
    assert found[0]["cmdline"]


def test_a_connection_that_is_closing_is_nobody_who_listens(tmp_path: Path) -> None:
    waiting = line("0100007F:1903", "06", 0)
    connected = line("0100007F:1903", "01", 5)
    host = machine(tmp_path, tcp=waiting + connected + line("0100007F:1903", "0A", 4711))

    [found] = host.listeners([6403])
    assert (found["address"], found["port"], found["pid"], found["name"]) == ("127.0.0.1", 6403, 7, "kubelet")
    assert "c4n4ry" not in str(found)
    assert LiveHost(str(tmp_path)).listeners([1]) == []


def test_addresses_of_both_families_are_read(tmp_path: Path) -> None:
    host = machine(
        tmp_path,
        tcp=line("0A1B350A:192B", "0A", 1) + line("00000000:192B", "0A", 2),
        tcp6=line("00000000000000000000000000000000:192B", "0A", 3)
        + line("B80D0120000000000000000001000000:192B", "0A", 4)
        + line("0000000000000000FFFF00000100007F:192B", "0A", 9),
        udp6=line("00000000000000000000000000000000:2118", "07", 0),
    )

    assert [(each["address"], each["kernel"]) for each in host.listeners([6443, 8472])] == [
        ("0.0.0.0", False),
        ("10.53.27.10", False),
        ("127.0.0.1", False),
        ("2001:db8::1", False),
        ("::", False),
        ("::", True),
    ]


def test_an_owner_that_is_not_seen_is_none(tmp_path: Path) -> None:
    [found] = machine(tmp_path, tcp=line("00000000:192B", "0A", 99, uid=65534)).listeners([6443])

    assert (found["pid"], found["name"], found["cmdline"], found["uid"]) == (None, "", [], 65534)


def test_without_proc_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        LiveHost(str(tmp_path)).listeners([6443])
    assert caught.value.reason == "Unreadable"


def test_what_was_recorded_is_answered_again(tmp_path: Path) -> None:
    recorder = Recorder(machine(tmp_path, tcp=line("00000000:192B", "0A", 4711)))
    found = recorder.listeners([6443, 10250])

    assert Recording(recorder.dump()).listeners([10250, 6443]) == found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_user_sees_that_a_port_is_taken_and_not_by_whom() -> None:
    code = (
        "import os, sys; from k8sdoctor.host.live import LiveHost\n"
        "LiveHost().listeners([])  # what is imported later may be another user's\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print([each['pid'] for each in LiveHost().listeners([int(sys.argv[1])])])"
    )
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        done = subprocess.run(
            [sys.executable, "-c", code, str(server.getsockname()[1])], capture_output=True, text=True, check=True
        )

    assert done.stdout.strip() == "[None]"
