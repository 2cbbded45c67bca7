"""A bundle: readable files, whole or not at all, and answers as they were given."""

from __future__ import annotations

import json
import tarfile
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from k8sdoctor.host import HostError, recording
from k8sdoctor.host.base import UnansweredError
from k8sdoctor.host.bundle import open_bundle
from k8sdoctor.host.recording import Entry, Recorder, Recording
from k8sdoctor.testing import FakeHost
from tests.bundles import ORIGIN, archive, with_members, written

if TYPE_CHECKING:
    from pathlib import Path

    from k8sdoctor.host.base import Json


def members(path: Path) -> dict[str, str]:
    """What tar itself finds in a bundle."""
    with tarfile.open(path) as tar:
        return {member.name: cast("Any", tar.extractfile(member)).read().decode() for member in tar.getmembers()}


def answered(verb: str, answer: Json, **arguments: Json) -> Entry:
    return Entry(verb=verb, arguments=arguments, answer=answer)


def test_a_file_stands_in_it_as_it_was_read(tmp_path: Path) -> None:
    host = Recorder(FakeHost({"/etc/hosts": "127.0.0.1 Grüße\r\n\n", "/proc/sys/a": "1"}))
    host.read("/etc/hosts")
    host.read("/proc/sys/a", netns="/proc/1/ns/net")

    found = members(written(host.entries(), tmp_path / "b.tar.gz"))

    assert found["files/etc/hosts"] == "127.0.0.1 Grüße\r\n\n"
    other = json.loads(found["answers/read/0001-proc-sys-a-proc-1-ns-net.json"])
    assert other["arguments"] == {"path": "/proc/sys/a", "netns": "/proc/1/ns/net"}


def test_another_answer_is_a_file_whose_name_says_what_was_asked(tmp_path: Path) -> None:
    entry = answered("run", {"code": 0, "out": "a\n", "err": ""}, argv=["nft", "list", "ruleset"])

    found = members(written([entry], tmp_path / "b.tar.gz"))

    assert json.loads(found["answers/run/0001-nft-list-ruleset.json"]) == entry


def test_what_could_not_be_answered_stands_in_one_list(tmp_path: Path) -> None:
    host = Recorder(FakeHost(denied={"/etc/shadow"}))
    assert host.read_optional("/etc/missing") is None
    with pytest.raises(HostError):
        host.read("/etc/shadow")
    path = written(host.entries(), tmp_path / "b.tar.gz")

    reasons = {each["arguments"]["path"]: each["error"]["reason"] for each in json.loads(members(path)["errors.json"])}
    assert reasons == {"/etc/missing": "NotFound", "/etc/shadow": "NotPermitted"}
    assert open_bundle(path).read_optional("/etc/missing") is None
    with pytest.raises(HostError, match="run as root") as caught:
        open_bundle(path).read("/etc/shadow")
    assert caught.value.reason == "NotPermitted"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/../etc/hosts",
        "/etc//hosts",
        "/etc/hosts/",
        "/a\nb",
        "/a\x1b[2J",
        "/\udcff",
        "/" + "x" * 300,
        "/" + "x/" * 150,
        "/",
    ],
)
def test_a_path_that_no_archive_should_hold_is_kept_all_the_same(tmp_path: Path, path: str) -> None:
    entries = [answered("read", "text\n", path=path, netns=None)]

    kept = open_bundle(written(entries, tmp_path / "b.tar.gz"))

    assert kept.read(path) == "text\n"
    assert not any(name.startswith("files/") for name in members(tmp_path / "b.tar.gz"))


@pytest.mark.parametrize("text", ["", "\0\x01", "\udcff lone", "REDACTED-1", "\ufeffa", "a" * 100_000])
def test_any_text_is_read_as_it_was(tmp_path: Path, text: str) -> None:
    kept = open_bundle(written([answered("read", text, path="/a", netns=None)], tmp_path / "b.tar.gz"))

    assert kept.read("/a") == text


def test_every_entry_comes_out_as_it_went_in(tmp_path: Path) -> None:
    entries = [
        answered("listdir", [{"name": "\udcff", "kind": "file"}], path="/a"),
        answered("read", "b", path="/b", netns=None),
        Entry(verb="read", arguments={"path": "/c", "netns": None}, error={"reason": "NotFound", "message": "no"}),
        Entry(verb="tail", arguments={"path": "/d", "size": 1}, cut={"bytes": 9, "head": "x", "tail": "y"}),
        Entry(verb="tls", arguments={"address": "a"}, unanswered=True),
    ]

    kept = open_bundle(written(entries, tmp_path / "b.tar.gz"))

    assert {recording.question(each["verb"], each["arguments"]): each for each in kept.entries()} == {
        recording.question(each["verb"], each["arguments"]): each for each in entries
    }
    assert kept.manifest == {"tool": ORIGIN.tool, "profile": None, "deadline": 15.0, "anonymized": False}


def test_the_same_bundle_is_asked_by_two_hosts_which_do_not_know_each_other(tmp_path: Path) -> None:
    entries = [answered("resolve", {"addresses": [], "error": None}, name="a")]
    first = open_bundle(written(entries, tmp_path / "b.tar.gz"))
    first.resolve("a")

    assert first.contacted == ["resolver://a"]
    assert first.again().contacted == []


def test_only_its_plain_form_of_tar_is_needed(tmp_path: Path) -> None:
    """What a browser unpacks by itself is read, too."""
    path = tmp_path / "b.tar"
    plain = archive(
        ("manifest.json", manifest_of(tmp_path)), ("files/a", b"1"), ("end.json", {"profile": None}), packed=False
    )
    path.write_bytes(plain)

    assert open_bundle(path).read("/a") == "1"


def manifest_of(folder: Path) -> Any:
    return json.loads(members(written([], folder / "x.tar.gz"))["manifest.json"])


def test_members_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    entry = answered("scry", {"any": "thing"}, of="x")
    path.write_bytes(with_members(("later.bin", b"\xff"), ("answers/scry/1.json", entry), ("files/a", b"1")))

    assert open_bundle(path).read("/a") == "1"


def test_an_answer_in_another_versions_form_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    lacking = answered("stat", {"kind": "file", "size": 1}, path="/a")
    strange = answered("listdir", [{"name": "a", "kind": "portal"}], path="/a")
    path.write_bytes(with_members(("answers/stat/1.json", lacking), ("answers/listdir/1.json", strange)))

    for ask in (open_bundle(path).stat, open_bundle(path).listdir):
        with pytest.raises(HostError, match="another version") as caught:
            ask("/a")
        assert caught.value.reason == "NotRecorded"


# -- limits ------------------------------------------------------------------------------------------------------------------


def test_of_an_answer_that_is_too_long_both_ends_are_kept_and_nobody_takes_them_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "ANSWER_LIMIT", 20_000)
    text = "first line\n" + "x" * 20_000 + "\nlast line\n"
    host = Recorder(FakeHost({"/a": text, "/b": "short"}))
    assert host.read("/a") == host.read("/a") == text
    host.read("/b")
    path = written(host.entries(), tmp_path / "b.tar.gz")

    kept = open_bundle(path)
    with pytest.raises(HostError, match=r"too large to keep \(19 KiB\)") as caught:
        kept.read("/a")
    assert caught.value.reason == "NotRecorded"
    assert kept.read("/b") == "short"
    found = members(path)
    [cut] = json.loads(found["end.json"])["cut"]
    assert cut["bytes"] == len(text)
    ends = json.loads(found[cut["member"]])["cut"]
    assert (ends["head"][:10], ends["tail"][-10:]) == ("first line", "last line\n")


def test_all_answers_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "TOTAL_LIMIT", 100_000)
    host = Recorder(FakeHost({f"/{number}": "x" * 9000 for number in range(100)}))
    for number in range(100):
        host.read(f"/{number}")

    whole = [entry for entry in host.entries() if "answer" in entry]
    assert len(whole) == 11
    assert len(json.dumps(host.entries())) < 120_000
    assert len(host.entries()) == 100
    assert {entry["cut"]["bytes"] for entry in host.entries() if "cut" in entry} == {9000}


def test_questions_beyond_their_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "QUESTIONS_LIMIT", 3)
    host = Recorder(FakeHost())
    for number in range(5):
        host.exists(f"/{number}")

    assert (len(host.entries()), host.dropped) == (3, 2)


# -- one run -----------------------------------------------------------------------------------------------------------------


def test_who_asks_again_is_told_what_the_bundle_will_say() -> None:
    times = iter([1.0, 2.0, 3.0])
    host = Recorder(FakeHost(now=lambda: next(times)))

    assert [host.now(), host.now()] == [1.0, 1.0]
    assert Recording.of(host.entries()).now() == 1.0


def test_two_who_ask_at_once_are_told_the_same() -> None:
    asked, go = threading.Event(), threading.Event()
    numbers = iter([1.0, 2.0])

    def later() -> Json:
        number = next(numbers)
        if number == 1.0:
            asked.set()
            go.wait()
        return number

    host = Recorder(FakeHost(now=later))
    told: list[float] = []
    first = threading.Thread(target=lambda: told.append(host.now()))
    first.start()
    asked.wait()
    told.append(host.now())
    go.set()
    first.join()

    assert told == [2.0, 2.0]
    assert Recording.of(host.entries()).now() == 2.0


def test_a_question_that_still_waits_when_the_run_is_over_is_kept_as_that() -> None:
    asked, go = threading.Event(), threading.Event()

    def hang(**_: object) -> Json:
        asked.set()
        go.wait()
        return {"addresses": [], "error": None}

    host = Recorder(FakeHost(resolve=hang))
    waiting = threading.Thread(target=lambda: host.resolve("a"))
    waiting.start()
    asked.wait()
    host.settled()
    go.set()
    waiting.join()
    host.exists("/too/late")

    assert host.entries() == [{"verb": "resolve", "arguments": {"name": "a"}, "unanswered": True}]
    with pytest.raises(UnansweredError):
        Recording.of(host.entries()).resolve("a")


def test_entries_are_handed_over_as_they_become_known() -> None:
    host = Recorder(FakeHost({"/a": "1"}))
    host.read("/a")
    handed: list[Entry] = []
    host.pass_on(handed.append)
    host.exists("/b")
    host.read("/a")

    assert [each["verb"] for each in handed] == ["read", "stat"]
