"""What this process has run out of is `Unreadable`, and never a peer's silence."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.host import HostError, own_limits

# Every library is loaded and every question asked once, then no file descriptor is left.
EXHAUSTED = """
import json, os, socket, sys
from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost

query = {"server": "127.0.0.1", "port": 9, "transport": "udp", "name": "a.test.", "type": "A", "attempt": 0}
request = {"method": "GET", "url": "http://127.0.0.1:9/", "headers": {}, "ca_files": [], "client_certificate": None,
           "verify": True, "proxy": None, "limit": 1.0}
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
image = {"endpoint": f"unix://{sys.argv[1]}", "method": "RuntimeService/Version", "request": {}}
questions = {
    "read": {"path": "/etc/hostname", "netns": None},
    "lines": {"path": "/etc/passwd", "keep": [], "attempt": 0},
    "listdir": {"path": "/etc"},
    "netlink": {"what": "links", "netns": None},
    "listeners": {"ports": [1]},
    "resolve": {"name": "localhost"},
    "tls": {"address": "127.0.0.1", "port": 9, "server_name": None, "attempt": 0},
    "http": request,
    "dns": {"queries": [query], "netns": None},
    "run": {"argv": ["true"], "keep": [], "attempt": 0},
    "cri": image,
}
host = LiveHost(probe_limit=3.0)

def outcome(verb):
    try:
        return repr(host.ask(verb, questions[verb]))
    except HostError as error:
        return f"{error.reason}: {error.message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

before = {verb: outcome(verb) for verb in questions}
taken = []
while True:
    try:
        taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        break
after = {verb: outcome(verb) for verb in questions}
for each in taken:
    os.close(each)
print(json.dumps([before, after]))
"""


def test_a_verb_that_finds_no_file_descriptor_left_could_not_look(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, f"{tmp_path}/cri.sock"],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    before, after = json.loads(done.stdout)

    assert {verb: told for verb, told in before.items() if told.startswith("Unreadable")} == {}
    assert {verb: told for verb, told in after.items() if not told.startswith("Unreadable: ")} == {}


def test_a_shell_s_soft_limit_is_lifted_to_what_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: said.append(limits))

    own_limits.lift()

    assert said == [(4096, 4096)]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("libssl.so.3: failed to map segment from shared object"),
    ],
    ids=str,
)
def test_what_this_process_lacks_is_told_as_ours(error: Exception) -> None:
    with pytest.raises(HostError) as told:
        own_limits.hold(error)

    assert told.value.reason == "Unreadable"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)),
        TimeoutError(),
        ValueError("no"),
        ImportError("no module"),
    ],
    ids=repr,
)
def test_what_a_peer_does_is_not_taken_for_ours(error: Exception) -> None:
    own_limits.hold(error)


def test_probes_are_made_one_after_the_other_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    def refused(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)

    assert side_by_side([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
