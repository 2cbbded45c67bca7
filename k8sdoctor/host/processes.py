"""Processes and commands of the node."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from k8sdoctor.host import workers
from k8sdoctor.host.answers import CommandResult, Process
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host.live import LiveHost

OUTPUT_LIMIT = 4 * 1024 * 1024

# A user's PATH often lacks the sbin folders, and a root shell's may hold anything.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"

_CLONE_FS = 0x200  # linux/sched.h

_DYING = 0.5
"""Seconds that a killed process gets to end. One that hangs in the kernel, in a dead file system say, does so when it comes back from there."""

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
        argv = cast("list[str]", arguments["argv"])
        keep = tuple(text.encode() for text in cast("list[str]", arguments.get("keep", [])))
        if host.namespace is None:
            return cast("Json", _run(host, argv, keep))
        # A child is in the network namespace of the thread that starts it.
        return cast("Json", host.bounded(lambda: _run(host, argv, keep), argv[0], limit=host.probe_limit + 1))
    return cast("Json", _processes(host))


def _run(host: LiveHost, argv: list[str], keep: tuple[bytes, ...]) -> CommandResult:
    environment = {"PATH": _PATH, "LC_ALL": "C", "HOME": "/nonexistent"}
    try:
        # Opened before the root is another: that one may be mounted without devices.
        with open(os.devnull, "rb") as nothing, _root(host.root) if host.root else nullcontext():  # noqa: PTH123
            process = subprocess.Popen(  # noqa: S603 -- fixed commands, no shell
                argv,
                stdin=nothing,
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
    out, err = _output(process, keep, host.probe_limit, argv)
    return CommandResult(code=process.returncode, out=host.vault.hide(out), err=host.vault.hide(err))


@contextmanager
def _root(folder: str) -> Iterator[None]:
    """Give this thread another root until it leaves, and so each process that it starts. Raises HostError.

    No other thread notices: this one no longer shares root, working folder and umask with them, also afterwards.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_FS) != 0:
        raise HostError("Unreadable", f"{folder} cannot be made a root: {os.strerror(ctypes.get_errno())}")
    ours = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chroot(folder)
    except PermissionError:
        os.close(ours)
        raise HostError("NotPermitted", f"running a command in {folder} needs root (CAP_SYS_CHROOT)") from None
    except OSError as error:
        os.close(ours)
        raise HostError("Unreadable", f"no command can be run in {folder}: {os.strerror(error.errno or 0)}") from None
    try:
        yield
    finally:
        os.fchdir(ours)
        os.chroot(".")
        os.close(ours)


def _output(
    process: subprocess.Popen[bytes], keep: tuple[bytes, ...], limit: float, argv: list[str]
) -> tuple[str, str]:
    """What a process prints until it ends, of each stream as much as we hold. Raises DeadlineExceeded, and ends it then."""
    held: list[bytearray] = [bytearray(), bytearray()]

    def read(stream: IO[bytes], into: bytearray, wanted: tuple[bytes, ...]) -> None:
        with stream:
            for line in iter(
                partial(stream.readline, OUTPUT_LIMIT), b""
            ):  # also what is not kept is read, for the process waits until somebody does
                if len(into) < OUTPUT_LIMIT and (not wanted or any(text in line for text in wanted)):
                    into += line

    readers = [
        threading.Thread(target=read, args=(stream, into, wanted), daemon=True)
        for stream, into, wanted in zip((process.stdout, process.stderr), held, (keep, ()), strict=True)
    ]
    try:
        for reader in readers:
            reader.start()
    except RuntimeError:  # no more threads: nobody would take what it prints
        process.kill()
        process.wait()
        raise
    end = time.monotonic() + limit
    try:
        with workers.waiting():
            process.wait(limit)
            for reader in readers:
                reader.join(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    if process.poll() is None or any(reader.is_alive() for reader in readers):  # a child of its may hold the pipe
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        _bury(process)
        raise HostError("DeadlineExceeded", f"`{' '.join(argv)}` did not end within {limit:g} s")
    if len(held[0]) >= OUTPUT_LIMIT:  # a part of it would be taken for the whole
        raise HostError("Unreadable", f"`{' '.join(argv)}` printed more than {OUTPUT_LIMIT >> 20} MiB")
    out, err = (bytes(each[:OUTPUT_LIMIT]).decode("utf-8", "replace") for each in held)
    return out, err


def _bury(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a killed process, but for no longer than a moment: another thread waits on for one that hangs in the kernel."""
    try:
        with workers.waiting():
            process.wait(_DYING)
    except subprocess.TimeoutExpired:
        with suppress(RuntimeError):  # no more threads
            threading.Thread(target=process.wait, daemon=True).start()


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
