"""Logs are read as streams, and each known trouble is told once."""

from __future__ import annotations

import gzip
import io
import random
from typing import BinaryIO, cast

import pytest

from k8sdoctor.known_errors import LINE_LIMIT
from k8sdoctor.troubles import CHUNK, NotALogError, Trouble, Troubles, lines_of

SWAP = "running with swap on is not supported, please disable swap! or set --fail-swap-on flag to false"
REFUSED = 'Get "https://192.0.2.1:6443/api": dial tcp 192.0.2.1:6443: connect: connection refused'


def seen_in(data: bytes) -> Troubles:
    seen = Troubles()
    seen.read("", lines_of(io.BytesIO(data)))
    return seen


def told_of(*lines: str) -> list[Trouble]:
    return seen_in("\n".join(lines).encode("utf-8", "surrogateescape")).told()


def checks_of(*lines: str) -> list[tuple[str, ...]]:
    return [trouble.checks for trouble in told_of(*lines)]


# -- each trouble once -----------------------------------------------------------------------------------------------------


def test_a_trouble_is_told_once_with_its_count_and_its_first_and_last_line() -> None:
    seen = seen_in(f"a\nNov 20 10:00:01 n1 kubelet[8]: {SWAP}\nb\nNov 20 11:00:01 n1 kubelet[8]: {SWAP}\n".encode())
    [swap] = seen.told()

    assert (seen.lines, seen.known) == (4, 2)
    assert (swap.count, swap.first.line, swap.last.line) == (2, 2, 4)
    assert (swap.first.time, swap.last.time) == ("Nov 20 10:00:01", "Nov 20 11:00:01")
    assert swap.first.text == SWAP


def test_what_went_wrong_comes_before_its_symptoms_however_often_they_were_seen() -> None:
    assert checks_of(*[REFUSED] * 50, SWAP, SWAP, "leaderelection lost") == [
        ("swap",),
        ("control-plane", "etcd", "etcd-disk"),
        ("apiserver-san",),
    ]


def test_the_same_words_about_a_registry_and_about_the_api_server_are_two_troubles() -> None:
    pull = (
        'failed to pull and unpack image "registry.example.org/a:1": failed to do request: '
        "dial tcp 192.0.2.9:443: connect: connection refused"
    )

    assert checks_of(REFUSED, pull) == [("pause-image", "images"), ("apiserver-san",)]
    assert checks_of('Error: Get "https://registry.example.org/v2/": dial tcp 192.0.2.9:443: i/o timeout') == [
        ("pause-image", "images")
    ]


def test_a_socket_that_refuses_is_the_runtime_and_no_api_server() -> None:
    line = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused"

    assert checks_of(line) == [("node-ready",)]


def test_a_preflight_check_of_kubeadm_leads_to_ours_by_its_name() -> None:
    [cpus] = told_of("\t[ERROR NumCPU]: the number of available CPUs 1 is less than the required 2")

    assert cpus.look_at == ("resources/TooFewCpus",)
    assert cpus.rank == 2
    assert "a control plane has 2 processors" in cpus.error.means
    assert checks_of("[ERROR Port-10250]: something else than usual") == [("ports",)]


def test_several_sources_are_told_apart() -> None:
    seen = Troubles()
    seen.read("a.log", ["fine", SWAP])
    seen.read("b.log", [SWAP])
    [swap] = seen.told()

    assert (swap.first.source, swap.first.line, swap.last.source, swap.last.line) == ("a.log", 2, "b.log", 1)


# -- as people paste -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("glue", ["", "> ", "| ", "    "])
def test_a_line_that_was_broken_by_a_screen_or_a_mail_is_put_together(glue: str) -> None:
    line = f"E1120 10:00:00.000001     812 run.go:72] command failed: {SWAP}"

    for end in range(70, 110):  # in the midst of the words, and between them
        [swap] = told_of("before", f"{glue}{line[:end]}", f"{glue}{line[end:]}", "after")
        assert swap.checks == ("swap",)
        assert (swap.count, swap.first.line) == (1, 2)


def test_two_lines_that_are_two_lines_are_not_put_together() -> None:
    first = "E1120 10:00:00.000001     812 run.go:72] running with swap on is not supported,"

    assert checks_of(first, "E1120 10:00:00.000002     812 run.go:72] please disable swap") == []
    assert checks_of("running with swap on is not supported,", "please disable swap") == []  # too short for any width


def test_the_two_halves_of_a_line_are_used_once() -> None:
    line = f"E1120 10:00:00.000001     812 run.go:72] command failed: {SWAP}"
    [swap] = told_of(line[:80], line[80:], line[80:], "")

    assert (swap.count, swap.first.line, swap.last.line) == (1, 1, 1)


def test_a_whole_line_after_a_long_one_is_counted_once() -> None:
    [swap] = told_of("x" * 80, SWAP, "y" * 80, SWAP)

    assert swap.count == 2
    assert [swap.first.line, swap.last.line] == [2, 4]


@pytest.mark.parametrize(
    ("line", "time"),
    [
        (f"E0113 03:25:40.008430    3674 server.go:302] {SWAP}", "0113 03:25:40"),
        (f"2026-11-20T10:00:00.123456+01:00 n1 kubelet[812]: {SWAP}", "2026-11-20T10:00:00"),
        (f"2026-11-20T10:00:00.669794202Z stdout P {SWAP}", "2026-11-20T10:00:00"),
        (f'time="2026-11-20T10:00:00.921084000+01:00" level=error msg="{SWAP}"', "2026-11-20T10:00:00"),
        (f'{{"log":"{SWAP}\\n","stream":"stderr","time":"2026-11-20T10:00:00.576Z"}}', "2026-11-20T10:00:00"),
        (f'{{"level":"warn","ts":"2026-11-20T10:00:00.134294Z","msg":"{SWAP}"}}', "2026-11-20T10:00:00"),
        (f"[Tue Nov 20 22:30:22 2026] {SWAP}", "Nov 20 22:30:22 2026"),
        (f"[1454500.910215] {SWAP}", ""),
        (f"\x1b[31mNov 20 10:00:01 n1 kubelet[8]: {SWAP}\x1b[0m\r", "Nov 20 10:00:01"),
        (f"> > Nov 20 10:00:01 n1 kubelet[8]: {SWAP}", "Nov 20 10:00:01"),
        (f"{SWAP} at 2026-11-20T10:00:00Z", ""),
    ],
)
def test_the_time_is_told_as_the_line_says_it(line: str, time: str) -> None:
    [swap] = told_of(line)

    assert swap.first.time == time


# -- any bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 7, CHUNK])
def test_where_a_chunk_ends_makes_no_difference(chunk: int) -> None:
    data = f"ä\n{SWAP}\r\n\n日本語 {SWAP}".encode()

    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(min(size or chunk, chunk))

    assert list(lines_of(cast("BinaryIO", Slow(data)))) == ["ä", f"{SWAP}\r", "", f"日本語 {SWAP}"]


def test_of_a_line_of_megabytes_both_ends_are_looked_at_and_little_is_kept() -> None:
    filler = b"x" * 5_000_000
    lines = list(lines_of(io.BytesIO(SWAP.encode() + filler + b"\n" + filler + b" leaderelection lost\nend")))

    assert [len(line) <= 2 * LINE_LIMIT + CHUNK for line in lines] == [True, True, True]
    assert checks_of(*lines) == [("swap",), ("control-plane", "etcd", "etcd-disk")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\0" * 100_000,
        b"\xff\xfe",
        b"\x1f",
        b"L",
        bytes(range(256)) * 50,
        random.Random(7).randbytes(200_000),
    ],
    ids=["nothing", "line", "zeros", "mark", "half-gzip", "letter", "bytes", "noise"],
)
def test_bytes_of_any_kind_are_read_to_their_end_and_nothing_is_known_of_them(data: bytes) -> None:
    assert seen_in(data).known == 0


def test_an_error_between_bytes_that_are_no_text_is_found() -> None:
    assert [each.checks for each in seen_in(b"\xff\xfa\0\0" + SWAP.encode() + b"\0\xfa\n").told()] == [("swap",)]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_windows_writes_is_read(encoding: str) -> None:
    data = f"\ufefffirst\r\n{SWAP}\r\n".encode(encoding)

    assert [each.first.line for each in seen_in(data).told()] == [2]


def test_a_rotated_log_is_read_and_a_broken_one_is_said_to_be_broken() -> None:
    data = gzip.compress(f"first\n{SWAP}\n".encode() * 1000)

    assert seen_in(data).told()[0].count == 1000
    seen = Troubles()
    with pytest.raises(NotALogError, match="it is compressed, and broken"):
        seen.read("", lines_of(io.BytesIO(data[:-20])))


def test_a_binary_journal_is_named_and_so_is_the_way_to_read_it() -> None:
    with pytest.raises(NotALogError, match="journalctl --file FILE"):
        seen_in(b"LPKSHHRH" + b"\0" * 100)


# -- secrets ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"Authorization: Bearer c2VjcmV0LXRva2Vu: {SWAP}", "c2VjcmV0LXRva2Vu"),
        (f"https://user:hunter22@registry.example.org/v2/: {SWAP}", "hunter22"),
        (f"--token=abcdef.fedcba9876543210 {SWAP}", "fedcba9876543210"),
        (f"{SWAP}; password: hunter22", "hunter22"),
        (f"password: {'hunter22' * LINE_LIMIT} {SWAP}", "hunter22"),
        (f"password: {'hunter22' * LINE_LIMIT}: {SWAP}", "hunter22"),
        (f"{'x' * LINE_LIMIT}token={'hunter22' * 2000} {SWAP}", "hunter22"),
        ("unknown flag: --password=hunter22", "hunter22"),
        ('connection to "https://user:hunter22@192.0.2.1" uses proxy', "hunter22"),
    ],
    ids=range(9),
)
def test_no_secret_of_a_line_is_told(line: str, secret: str) -> None:
    [trouble] = told_of(line)

    assert secret not in f"{trouble.first}{trouble.last}"
    assert trouble.first.words
    assert trouble.first.words in trouble.first.text
