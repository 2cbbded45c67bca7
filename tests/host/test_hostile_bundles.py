"""A file that somebody sends is opened without harm: it is refused by one sentence, or it is a bundle."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k8sdoctor.host import HostError
from k8sdoctor.host.bundle import BundleError, open_bundle
from tests.bundles import END, MANIFEST, archive, with_members, written

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path) -> str:
    """The sentence by which a file is refused."""
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    assert "\x1b" not in sentence
    return sentence


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, target
    return made


def answer(verb: str, value: object, **arguments: object) -> tuple[str, object]:
    return f"answers/{verb}/0001.json", {"verb": verb, "arguments": arguments, "answer": value}


def long_name() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(member("files/" + "x" * 300))
    return stream.getvalue()


def pax() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(member("files/" + "é" * 300))
    return stream.getvalue()


NO_BUNDLE = {
    "empty": (b"", "it is empty"),
    "text": (b"hello\n", "it ends at its start: it is not whole"),
    "noise": (b"\x7fELF" + b"\x01" * 2000, "this is no tar archive"),
    "zip": (b"PK\x03\x04" + b"\0" * 2000, "this is no tar archive"),
    "zeros": (b"\0" * 2000, "it holds no manifest.json"),
    "gzip of nothing": (gzip.compress(b""), "it ends at its start: it is not whole"),
    "gzip of text": (gzip.compress(b"hello\n" * 200), "this is no tar archive"),
    "gzip's first bytes": (b"\x1f\x8b", "it is not whole"),
    "another archive": (archive(("hello.txt", b"1")), "it starts with 'hello.txt', not with manifest.json"),
    "JSON": (b"{}", "neither a bundle (.tar.gz) nor a recording"),
    "JSON of another format": (b'{"format": "x/v9", "answers": []}', "its format is 'x/v9'; this version reads"),
    "JSON that ends": (b'{"format": "k8sdoctor/recording/v1"', "is no JSON"),
    "a recording with odd answers": (b'{"format": "k8sdoctor/recording/v1", "answers": [1]}', "its answer 1 is no question"),
    "a deep recording": (b'{"a":' * 100_000, "nested too deep"),
    "a long name": (archive(("manifest.json", MANIFEST), packed=False)[:1024] + long_name(), "a name of more than 255 bytes"),
    "extensions": (archive(("manifest.json", MANIFEST), packed=False)[:1024] + pax(), "a header with extensions (PAX)"),
    "no end": (archive(("manifest.json", MANIFEST)), "it holds no end.json, so it is not whole"),
    "something after it": (with_members() + b"more", "something follows its end"),
    "something in its padding": (gzip.compress(archive(("manifest.json", MANIFEST), ("end.json", END), packed=False) + b"x"), "something follows its end"),
    "another bundle after it": (with_members() + with_members(), "something follows its end"),
}  # fmt: skip

HOSTILE: dict[str, tuple[tuple[Any, ...], str]] = {
    "climbing out": ((("../etc/passwd", b"x"),), "'../etc/passwd' is no plain path inside"),
    "climbing out of files": ((("files/../../x", b"x"),), "'files/../../x' is no plain path inside"),
    "an absolute path": ((("/etc/passwd", b"x"),), "'/etc/passwd' is an absolute path"),
    "an empty part": ((("files//etc/passwd", b"x"),), "is no plain path inside"),
    "a name of escape sequences": ((("../\x1b[2J", b"x"),), "'../\\x1b[2J' is no plain path inside"),
    "a symbolic link": ((member("files/a", tarfile.SYMTYPE, target="/etc/shadow"),), "'files/a' is a symbolic link; only plain files"),
    "a hard link": ((member("files/a", tarfile.LNKTYPE, target="/etc/shadow"),), "'files/a' is a hard link"),
    "a device": ((member("files/a", tarfile.CHRTYPE),), "'files/a' is a device"),
    "a disk": ((member("files/a", tarfile.BLKTYPE),), "'files/a' is a device"),
    "a FIFO": ((member("files/a", tarfile.FIFOTYPE),), "'files/a' is a FIFO"),
    "a sparse file": ((member("files/a", tarfile.GNUTYPE_SPARSE),), "'files/a' is a sparse file"),
    "an unknown kind": ((member("files/a", b"V"),), "'files/a' is of an unknown kind"),
    "a name twice": ((("files/a", b"1"), ("files/a", b"2")), "'files/a' is in it twice"),
    "a name twice in other words": ((("files/a", b"1"), ("./files/a", b"2")), "'files/a' is in it twice"),
    "a question twice": ((("files/a", b"1"), answer("read", "2", path="/a", netns=None)), "another member answers, too"),
    "no UTF-8": ((("files/a", b"\xff"),), "files/a is not UTF-8"),
    "no JSON": ((("answers/run/1.json", b"{"),), "'answers/run/1.json' is no JSON"),
    "no UTF-8 in JSON": ((("answers/run/1.json", b'"\xff"'),), "'answers/run/1.json' is no JSON"),
    "NaN": ((("answers/now/1.json", b'{"verb":"now","arguments":{},"answer":NaN}'),), "NaN is no number"),
    "more than any number": ((("answers/now/1.json", b'{"verb":"now","arguments":{},"answer":1e999}'),), "too large a number"),
    "a number without end": ((("answers/now/1.json", b'{"verb":"now","arguments":{},"answer":' + b"9" * 9999 + b"}"),), "is no JSON"),
    "depth": ((("answers/now/1.json", b"[" * 100_000),), "nested too deep"),
    "many values": ((("answers/now/1.json", b"[" + b"0," * 2_100_000 + b"0]"),), "holds more than 2000000 values"),
    "no entry": ((("answers/run/1.json", []),), "'answers/run/1.json' is no question with an answer"),
    "no answer": ((("answers/run/1.json", {"verb": "run", "arguments": {}}),), "is no question with an answer"),
    "an unknown reason": ((("errors.json", [{"verb": "run", "arguments": {}, "error": {"reason": "Odd", "message": ""}}]),), "question 1 of errors.json"),
    "errors of another kind": ((("errors.json", {}),), "errors.json is no list"),
    "a text for a list": ((answer("listdir", "x", path="/a"),), "no answer of 'listdir': listdir is no list"),
    "a number for a name": ((answer("listdir", [{"name": 1, "kind": "file"}], path="/a"),), "listdir[0].name is no text"),
    "true for a number": ((answer("stat", {"kind": "file", "size": True, "mode": 1}, path="/a"),), "stat.size is no whole number"),
    "a list for a command": ((answer("run", [], argv=["a"]),), "run is no object"),
    "null for a text": ((answer("read", None, path="/a", netns="/n"),), "read is no text"),
    "a time before time": ((answer("now", -1.0),), "now is no time"),
    "a time after time": ((answer("now", 1e300),), "now is no time"),
    "a name of a host that is none": ((answer("identity", {"hostname": None, "kernel": "", "machine": "", "euid": 0}),), "identity.hostname is no text"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_BUNDLE)
def test_what_is_no_bundle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    data, told = NO_BUNDLE[name]
    path = tmp_path / "node.tar.gz"
    path.write_bytes(data)

    assert told in refusal(path)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_member_that_does_not_belong_there_is_refused_by_name(tmp_path: Path, name: str) -> None:
    members, told = HOSTILE[name]
    path = tmp_path / "node.tar.gz"
    path.write_bytes(with_members(*members))

    assert told in refusal(path)


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("manifest", {**MANIFEST, "format": "k8sdoctor/bundle/v3"}, "its format is 'k8sdoctor/bundle/v3'; this version reads k8sdoctor/bundle/v2"),
        ("manifest", {**MANIFEST, "format": 2}, "manifest.json is not one of k8sdoctor/bundle/v2"),
        ("manifest", {**MANIFEST, "deadline": True}, "manifest.json is not one of"),
        ("manifest", {**MANIFEST, "deadline": -1}, "manifest.json is not one of"),
        ("manifest", {**MANIFEST, "tool": "x"}, "manifest.json is not one of"),
        ("manifest", [], "manifest.json is not one of"),
        ("end", {"profile": "worker"}, "end.json is not one of"),
        ("end", {"profile": 1}, "end.json is not one of"),
        ("end", {}, "end.json is not one of"),
    ],
)  # fmt: skip
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, part: str, value: object, told: str) -> None:
    path = tmp_path / "node.tar.gz"
    whole: dict[str, object] = {"manifest": MANIFEST, "end": END, part: value}
    path.write_bytes(archive(("manifest.json", whole["manifest"]), ("end.json", whole["end"])))

    assert told in refusal(path)


def test_folders_and_a_leading_dot_do_no_harm(tmp_path: Path) -> None:
    """As tar writes what somebody has unpacked and packed again."""
    path = tmp_path / "node.tar.gz"
    folder = member("./files/", tarfile.DIRTYPE)
    path.write_bytes(archive(("./manifest.json", MANIFEST), folder, ("./files/a", b"1"), ("./end.json", END)))

    assert open_bundle(path).read("/a") == "1"


def test_what_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing")
    assert "Is a directory" in refusal(tmp_path)


# -- bombs -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (member("files/a", size=17 << 20), "'files/a' is 17 MiB; no member is larger than 16 MiB"),
        (member("files/a", size=8 << 30), "'files/a' is 8192 MiB"),
    ],
)
def test_a_size_that_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, header: tarfile.TarInfo, told: str
) -> None:
    path = tmp_path / "node.tar.gz"
    path.write_bytes(
        gzip.compress(archive(("manifest.json", MANIFEST), packed=False)[:1024] + header.tobuf(tarfile.GNU_FORMAT))
    )

    assert told in refusal(path)


def test_bombs_are_refused_in_bounded_memory_and_so_is_the_largest_answer_read(tmp_path: Path) -> None:
    start = archive(("manifest.json", MANIFEST), packed=False)[:1024]
    with gzip.open(tmp_path / "large.tar.gz", "wb", 1) as file:
        file.write(start)
        zeros = bytes(16 << 20)
        for number in range(9):
            file.write(member(f"files/{number}", size=len(zeros)).tobuf())
            file.write(zeros)
    with gzip.open(tmp_path / "many.tar.gz", "wb", 1) as file:
        file.write(start)
        file.write(member("files/a", tarfile.DIRTYPE).tobuf() * 51_000)
    filled = b'{"verb":"cri","arguments":{},"answer":{"a":[' + b"{}," * 1_999_990 + b"{}]}}"
    (tmp_path / "values.tar.gz").write_bytes(with_members(("answers/cri/1.json", filled)))

    script = """if True:
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (640 << 20, 640 << 20))  # of which the interpreter takes a part
        from k8sdoctor.host.bundle import open_bundle
        for path in sys.argv[1:]:
            try: print(len(open_bundle(path).ask("cri", {})["a"]))
            except ValueError as error: print(error)
    """
    names = [str(tmp_path / f"{name}.tar.gz") for name in ("large", "many", "values")]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=False)
    large, many, values = done.stdout.splitlines()
    assert large.endswith("large.tar.gz: with 'files/7' it grows beyond 128 MiB, which none does"), done.stderr
    assert many.endswith("many.tar.gz: it holds more than 50100 members")
    assert values == "1999991"


# -- accidents ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    entries: Any = [
        {"verb": "read", "arguments": {"path": "/etc/hosts", "netns": None}, "answer": "127.0.0.1 localhost\n"},
        {"verb": "listdir", "arguments": {"path": "/etc"}, "answer": [{"name": "hosts", "kind": "file"}]},
        {"verb": "now", "arguments": {}, "answer": 1.5},
        {"verb": "stat", "arguments": {"path": "/x"}, "error": {"reason": "NotFound", "message": "no /x"}},
    ]
    return written(entries, tmp_path_factory.mktemp("whole") / "node.tar.gz")


def test_a_bundle_that_ends_anywhere_is_not_whole(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    path = tmp_path / "node.tar.gz"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        said = refusal(path)
        assert "whole" in said or "empty" in said, (end, said)


def test_an_unpacked_bundle_that_ends_anywhere_before_its_last_member_is_not_whole(whole: Path, tmp_path: Path) -> None:
    data = gzip.decompress(whole.read_bytes())
    last = data.rindex(b'"dropped": 0') + len(b'"dropped": 0\n}\n')
    path = tmp_path / "node.tar"
    for end in range(0, last, 37):
        path.write_bytes(data[:end])
        said = refusal(path)
        assert "whole" in said or "empty" in said, (end, said)


def test_a_byte_that_changed_is_told_or_does_no_harm(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "node.tar.gz"
    data = bytearray(whole.read_bytes())
    for place in range(len(data)):
        data[place] ^= 0xA5
        path.write_bytes(data)
        try:
            kept = open_bundle(path)
        except BundleError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 -- either outcome is right
        else:
            assert place < 10, "beyond gzip's header its checksum holds"
            assert kept.read("/etc/hosts") == "127.0.0.1 localhost\n"
        data[place] ^= 0xA5


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(st.data())
def test_an_unpacked_bundle_with_bytes_of_its_own_is_told_or_answers(
    whole: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """Without gzip's checksum, bytes change what headers and JSON say."""
    content = bytearray(gzip.decompress(whole.read_bytes())[:12_000])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "node.tar"
    path.write_bytes(content)

    _open_and_ask(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_ENTRIES = st.fixed_dictionaries(
    {"verb": st.sampled_from(["read", "now", "listdir", "stat", "netlink", "tls"]) | _JSON, "arguments": st.just({}) | _JSON},
    optional={"answer": _JSON, "error": _JSON, "cut": _JSON, "unanswered": _JSON},
)  # fmt: skip


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    st.sampled_from(["manifest.json", "end.json", "errors.json", "answers/read/1.json"]),
    _JSON | _ENTRIES | st.lists(_ENTRIES, max_size=2),
)
def test_any_json_is_told_or_answers(tmp_path: Path, name: str, value: object) -> None:
    members: dict[str, object] = {"manifest.json": MANIFEST, "end.json": END, name: value}
    path = tmp_path / "node.tar.gz"
    path.write_bytes(archive(*((each, json.dumps(content).encode()) for each, content in members.items())))

    _open_and_ask(path)


def _open_and_ask(path: Path) -> None:
    try:
        kept = open_bundle(path)
    except BundleError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)  # noqa: PT017, PT018 -- either outcome is right
        return
    list(kept.entries())
    for ask in (lambda: kept.read("/etc/hosts"), kept.now, lambda: kept.listdir("/etc")):
        try:
            assert isinstance(ask(), str | float | int | list)
        except HostError as error:
            assert error.reason in HostError.REASONS  # noqa: PT017 -- either outcome is right
