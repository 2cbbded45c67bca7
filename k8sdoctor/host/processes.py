"""Processes and commands of the node."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from k8sdoctor.host.base import CommandResult, HostError, Json, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host.live import LiveHost

OUTPUT_LIMIT = 1024 * 1024

# A user's PATH often lacks the sbin folders, and a root shell's may hold anything.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"


_PROC = threading.Lock()


@contextmanager
def _proc_of(host: LiveHost) -> Iterator[None]:
    """Let psutil look at the node's /proc, which it takes from a variable of its module."""
    import psutil

    with _PROC:
        before = psutil.PROCFS_PATH
        psutil.PROCFS_PATH = f"{host.root}/proc"
        psutil.process_iter.cache_clear()  # it remembers processes by pid, of whichever /proc
        try:
            yield
        finally:
            psutil.PROCFS_PATH = before
            psutil.process_iter.cache_clear()


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `run` and `processes`."""
    if verb == "run":
        return cast("Json", _run(host, cast("list[str]", arguments["argv"])))
    return cast("Json", _processes(host))


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

    nothing = HostError("Unreadable", "/proc shows no process; is it mounted?")
    try:
        # psutil takes for granted that there is one.
        if not any(entry.name.isdigit() for entry in Path(f"{host.root}/proc").iterdir()):
            raise nothing
    except OSError:
        raise nothing from None
    with _proc_of(host):
        infos = [process.info for process in psutil.process_iter(["pid", "ppid", "name", "cmdline"])]
    found = [
        Process(
            pid=info["pid"],
            ppid=info["ppid"] or 0,
            name=info["name"] or "",
            cmdline=host.vault.hide_words(info["cmdline"] or []),
        )
        for info in infos
    ]
    if not found:
        raise nothing
    return sorted(found, key=lambda process: process["pid"])
