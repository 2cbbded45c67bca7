"""Processes, sockets and commands of the node."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, cast

from k8sdoctor.host.base import CommandResult, HostError, Json, Listener, Process

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost

OUTPUT_LIMIT = 1024 * 1024

# A user's PATH often lacks the sbin folders, and a root shell's may hold anything.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `run`, `processes` and `listeners`."""
    if verb == "run":
        return cast("Json", _run(host, cast("list[str]", arguments["argv"])))
    if verb == "processes":
        return cast("Json", _processes(host))
    return cast("Json", host.bounded(lambda: _listeners(host), "listing sockets"))


def _run(host: LiveHost, argv: list[str]) -> CommandResult:
    command = [*(["chroot", host.root] if host.root else []), *argv]
    environment = {"PATH": _PATH, "LC_ALL": "C", "HOME": "/nonexistent"}
    try:
        process = subprocess.Popen(  # noqa: S603 -- fixed commands, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise HostError("NotFound", f"the command {argv[0]} is not installed") from None
    except PermissionError:
        raise HostError("NotPermitted", f"the command {argv[0]} may not be run by this user") from None
    except OSError as error:
        raise HostError("Unreadable", f"the command {argv[0]} cannot be run: {os.strerror(error.errno or 0)}") from None
    try:
        out, err = process.communicate(timeout=host.probe_limit)
    except subprocess.TimeoutExpired:
        process.kill()
        raise HostError("DeadlineExceeded", f"`{' '.join(argv)}` did not end within {host.probe_limit:g} s") from None
    if host.root and process.returncode == 127:  # noqa: PLR2004 -- chroot's code for a command that is not there
        raise HostError("NotFound", f"the command {argv[0]} is not installed")
    return CommandResult(code=process.returncode, out=_text(host, out), err=_text(host, err))


def _text(host: LiveHost, data: bytes) -> str:
    return host.vault.hide(data[:OUTPUT_LIMIT].decode("utf-8", "replace"))


def _processes(host: LiveHost) -> list[Process]:
    import psutil

    psutil.PROCFS_PATH = f"{host.root}/proc"
    found = []
    for process in psutil.process_iter(["pid", "ppid", "name", "cmdline"]):
        info = process.info
        found.append(
            Process(
                pid=info["pid"],
                ppid=info["ppid"] or 0,
                name=info["name"] or "",
                cmdline=[host.vault.hide(word) for word in info["cmdline"] or []],
            )
        )
    if not found:
        raise HostError("Unreadable", "/proc shows no process; is it mounted?")
    return sorted(found, key=lambda process: process["pid"])


def _listeners(host: LiveHost) -> list[Listener]:
    import psutil

    psutil.PROCFS_PATH = f"{host.root}/proc"
    found = []
    try:
        connections = psutil.net_connections("inet")
    except PermissionError:
        raise HostError("NotPermitted", "listing sockets needs root") from None
    for connection in connections:
        tcp = connection.type == 1
        if not connection.laddr or (tcp and connection.status != "LISTEN") or (not tcp and connection.raddr):
            continue
        found.append(
            Listener(
                protocol="tcp" if tcp else "udp",
                address=connection.laddr.ip,
                port=connection.laddr.port,
                pid=connection.pid,
            )
        )
    return sorted(found, key=lambda listener: (listener["protocol"], listener["port"], listener["address"]))
