"""All hosts answer alike: the machine, a recorder around it, what that recorded, as text and as a bundle, and a machine made of the same files."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from k8sdoctor.host import Host, HostError
from k8sdoctor.host.bundle import open_bundle
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import FakeHost, Recorder, Recording
from tests.api_server import kubeconfig
from tests.bundles import written
from tests.certificates import base64_pem, cluster_ca, jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from k8sdoctor.host.answers import UploadRequest

KEY = cluster_ca()


FILES = {
    "/etc/hostname": "node1\n",
    "/etc/empty": "",
    "/etc/umlaut": "Grüße\n",
    "/etc/app/b.conf": "b = 1\n",
    "/etc/app/a.conf": "a = 1\n",
    "/etc/app/sub/c.conf": "c = 1\n",
    "/etc/key.pem": KEY.pem + KEY.key_pem,
    "/etc/kubeconfig": kubeconfig({}, {"client-key-data": base64_pem(KEY, key=True), "token": jwt(exp=5)}),
    "/etc/token": jwt(exp=7),
}
"""The machine that every host of this test is, or was."""


ASKED = [("/etc/key.pem", None), ("/etc/kubeconfig", "admin"), ("/etc/kubeconfig", "nobody"), ("/etc/token", None)]
"""Where keys and tokens are looked for."""


UPLOAD: UploadRequest = {
    "base_url": "http://127.0.0.1:9/v2",
    "repository": "a",
    "ca_files": [],
    "verify": True,
    "proxy": None,
    "limit": 1.0,
}


def exercise(host: Host) -> list[object]:
    """Everything that the tests below ask, so that the recording holds it."""
    said: list[object] = []
    for path in (*FILES, "/etc", "/etc/app", "/etc/app/sub", "/etc/missing", "/etc/hostname/below"):
        for ask in (host.read, host.listdir, host.exists, host.read_optional, host.listdir_optional):
            try:
                said.append(ask(path))
            except HostError as error:
                said.append(error.reason)
        for size in (0, 4, 10, 1000):
            try:
                said.append(host.tail(path, size))
            except HostError as error:
                said.append(error.reason)
        try:
            said.append(host.lines(path, ["a = ", "node"]))
        except HostError as error:
            said.append(error.reason)
    for path, user in ASKED:
        for tell in (host.public_key, host.token_end):
            try:
                said.append(tell(path, user=user))
            except HostError as error:
                said.append(error.reason)
    said += _room_and_clock(host)
    said.append(host.user())
    said.append(host.given())
    said.append(sorted(host.identity()))
    said.append(type(host.now()))
    return said


def _room_and_clock(host: Host) -> list[object]:
    said: list[object] = []
    for look in (
        lambda: sorted(host.space("/etc/hostname")),
        lambda: [host.space("/etc/missing")],
        lambda: [*host.clock()],
    ):
        try:
            said.append(look())
        except HostError as error:
            said.append(error.reason)
    return said


def live(root: Path) -> Host:
    return LiveHost(str(root))


def recorder(root: Path) -> Host:
    return Recorder(live(root))


def recording(root: Path) -> Host:
    kept = Recorder(live(root))
    exercise(kept)
    return Recording(kept.dump())


def fake(_root: Path) -> Host:
    return FakeHost(FILES)


def bundle(root: Path) -> Host:
    kept = Recorder(live(root))
    exercise(kept)
    return open_bundle(written(kept.entries(), root.with_suffix(".tar.gz")))


HOSTS = [live, recorder, recording, bundle, fake]


@pytest.fixture(params=HOSTS, ids=lambda make: make.__name__)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    for path, content in FILES.items():
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    make: Callable[[Path], Host] = request.param
    return make(tmp_path)


def test_a_file_is_read_as_it_is(host: Host) -> None:
    for path, content in FILES.items():
        if path in ("/etc/key.pem", "/etc/kubeconfig", "/etc/token"):
            continue  # secrets leave no live host
        assert host.read(path) == content
        assert host.read_optional(path) == content


def test_what_is_absent_is_not_found_and_nothing_worse(host: Host) -> None:
    for path in ("/etc/missing", "/etc/hostname/below"):
        with pytest.raises(HostError) as caught:
            host.read(path)
        assert caught.value.reason == "NotFound"
        assert path in caught.value.message
        assert host.read_optional(path) is None
        assert not host.exists(path)
        assert host.listdir_optional(path) == []


def test_the_end_of_a_file_is_its_last_whole_lines(host: Host) -> None:
    assert host.tail("/etc/hostname", 1000) == "node1\n"
    assert host.tail("/etc/hostname", 4) == ""
    assert host.tail("/etc/empty", 10) == ""
    assert host.tail("/etc/umlaut", 4) == ""
    for path, reason in (("/etc/missing", "NotFound"), ("/etc/app", "Unreadable")):
        with pytest.raises(HostError) as caught:
            host.tail(path, 10)
        assert caught.value.reason == reason


def test_a_folder_is_listed_in_bytewise_order_with_kinds(host: Host) -> None:
    assert host.listdir("/etc/app") == [
        {"name": "a.conf", "kind": "file"},
        {"name": "b.conf", "kind": "file"},
        {"name": "sub", "kind": "dir"},
    ]


def test_a_folder_is_no_file_and_a_file_no_folder(host: Host) -> None:
    with pytest.raises(HostError) as caught:
        host.read("/etc/app")
    assert caught.value.reason == "Unreadable"
    with pytest.raises(HostError) as caught:
        host.listdir("/etc/hostname")
    # A live file system says "not a directory" of both `file` and `file/below`; neither is there as a folder.
    assert caught.value.reason in ("Unreadable", "NotFound")


def test_a_file_and_its_folder_exist(host: Host) -> None:
    assert host.exists("/etc/hostname")
    assert host.exists("/etc/app/sub")


def test_nothing_was_given_on_the_command_line(host: Host) -> None:
    assert host.given() == {"config": None, "kubeconfig": None, "endpoints": []}


def test_a_host_says_who_looks_and_when(host: Host) -> None:
    assert set(host.identity()) == {"hostname", "kernel", "machine", "euid"}
    assert isinstance(host.now(), float)


def test_a_key_is_known_by_its_public_half_and_nothing_else_is_told(host: Host) -> None:
    public = KEY.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    told = {"public_key": sha256(public).hexdigest(), "problem": None}

    assert host.public_key("/etc/key.pem") == told
    assert host.public_key("/etc/kubeconfig", user="admin") == told
    assert host.public_key("/etc/token") == {"public_key": None, "problem": "it holds no PEM block of a private key"}
    with pytest.raises(HostError) as caught:
        host.public_key("/etc/kubeconfig", user="nobody")
    assert caught.value.reason == "NotFound"


def test_a_token_tells_when_it_ends(host: Host) -> None:
    assert host.token_end("/etc/token") == 7.0
    assert host.token_end("/etc/kubeconfig", user="admin") == 5.0
    assert host.token_end("/etc/key.pem") is None


def test_another_roots_user_is_its_superuser(host: Host) -> None:
    assert host.user() == {"name": "root", "home": "/root", "kubeconfig": [], "sudo_user": None, "sudo_home": None}


def test_nobody_was_contacted_by_reading(host: Host) -> None:
    exercise(host)

    assert host.contacted == []


def test_how_far_a_long_look_has_come_is_told_to_whoever_listens_and_to_nobody_else(host: Host) -> None:
    host.advanced("images", 1, 2)
    told: list[tuple[str, int, int]] = []
    host.listener = lambda *progress: told.append(progress)
    host.advanced("images", 2, 2)

    assert told == [("images", 2, 2)]


def test_no_host_begins_an_upload_that_was_not_asked_for(host: Host) -> None:
    with pytest.raises(HostError) as caught:
        host.upload(UPLOAD)
    assert caught.value.reason in ("NotPermitted", "NotRecorded")


def test_room_and_clock_are_told_by_every_host_that_has_them(host: Host) -> None:
    if isinstance(host, FakeHost):
        with pytest.raises(HostError, match="was not told"):
            host.space("/etc/hostname")
        return
    room = host.space("/etc/hostname")
    assert 0 <= room["available"] <= room["free"] <= room["total"]
    assert room["mount"].startswith("/")
    assert isinstance(host.clock()["max_error"], float)
    with pytest.raises(HostError) as caught:
        host.space("/etc/missing")
    assert caught.value.reason == "NotFound"


def test_a_second_look_is_answered_like_the_first(host: Host) -> None:
    assert exercise(host) == exercise(host)


# -- what a recording adds ---------------------------------------------------------------------------------------------------


def test_what_was_not_recorded_is_neither_there_nor_absent(tmp_path: Path) -> None:
    kept = recording(tmp_path)

    with pytest.raises(HostError) as caught:
        kept.exists("/never/asked")
    assert caught.value.reason == "NotRecorded"


def test_a_recording_of_a_recording_is_the_same_text(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("node1\n")
    first = Recorder(live(tmp_path))
    exercise(first)
    again = Recorder(Recording(first.dump()))
    exercise(again)

    assert again.dump() == first.dump()


def test_a_recorded_refusal_is_refused_again() -> None:
    kept = Recorder(FakeHost(denied={"/etc/shadow"}))
    with pytest.raises(HostError):
        kept.read("/etc/shadow")

    with pytest.raises(HostError) as caught:
        Recording(kept.dump()).read("/etc/shadow")
    assert caught.value.reason == "NotPermitted"


def test_a_recorder_names_whom_the_host_contacted() -> None:
    kept = Recorder(FakeHost(resolve={"addresses": ["192.0.2.1"], "error": None}))
    kept.resolve("registry.example.org")
    replayed = Recording(kept.dump())
    replayed.resolve("registry.example.org")

    assert kept.contacted == replayed.contacted == ["resolver://registry.example.org"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other", "answers": []}', "\0"])
def test_what_is_no_recording_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="this is no recording"):
        Recording(text)


@pytest.mark.parametrize(
    "answers",
    [
        "null",
        "{}",
        "[1]",
        "[{}]",
        '[{"verb": 1, "arguments": {}}]',
        '[{"verb": "read", "arguments": {}, "error": {"reason": "Odd"}}]',
    ],
)
def test_a_recording_with_odd_entries_is_refused_with_a_sentence(answers: str) -> None:
    with pytest.raises(ValueError, match="this is no recording"):
        Recording(f'{{"format": "k8sdoctor/recording/v1", "answers": {answers}}}')


@pytest.mark.parametrize(
    ("path", "keep", "expected"),
    [
        ("/etc/app/a.conf", ["a = ", "node"], ["a = 1"]),
        ("/etc/app/b.conf", ["a = ", "node"], []),
        ("/etc/missing", ["a = ", "node"], "NotFound"),
        ("/etc/app", ["a = ", "node"], "Unreadable"),
    ],
)
def test_lines_of_a_file_are_those_that_hold_what_is_looked_for(
    host: Host, path: str, keep: list[str], expected: list[str] | str
) -> None:
    try:
        said: list[str] | str = host.lines(path, keep)
    except HostError as error:
        said = error.reason

    assert said == expected
