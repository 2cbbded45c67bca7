"""The judgement about a list of downloads: facts in, findings out."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.checks.download_list import download_list
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.downloads import DownloadHeads, Head
from k8sdoctor.facts.lists import Line, ListedFiles
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, examine

SOURCE = "files.list"
KUBEADM = "https://dl.k8s.io/v1.36.0/kubeadm"
DEBIAN = Distribution("debian", (), "Debian", "debian")


def head(url: str = KUBEADM, **changes: Any) -> Head:
    return Head(**({"url": url, "where": url} | changes))


def judge(*heads: Head, strangers: tuple[Line, ...] = ()) -> list[Finding]:
    files = ListedFiles(SOURCE, tuple(each.url for each in heads), strangers)
    return list(download_list(files, DownloadHeads(heads), DEBIAN))


def reasons(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(str(finding.status), finding.reason) for finding in findings]


def test_files_that_are_there_pass_with_their_size() -> None:
    [finding] = judge(
        head(status=200, length=3 * 1024**2, content_type="application/octet-stream"),
        head("https://x.lab/cni.tgz", status=200, length=1024**2),
    )

    assert (finding.status, finding.reason) == (Status.PASS, "AllAnswer")
    assert finding.message == "All 2 files of files.list answer, 4.0 MiB together."
    assert f"HEAD {KUBEADM} → 200 3145728 bytes" in finding.evidence[0].content


def test_a_size_that_is_not_told_is_said_and_not_counted() -> None:
    [finding] = judge(head(status=200, length=1024), head("https://x.lab/a", status=200))

    assert "1.0 KiB together (of 1 the size is not told)" in finding.message


def test_without_a_list_it_is_skipped_and_the_option_is_named() -> None:
    [finding] = examine(FakeHost(), "download-list")

    assert (finding.status, finding.reason) == (Status.SKIP, "NoListGiven")
    assert "--files FILE" in finding.message


def test_offline_it_is_skipped() -> None:
    assert reasons(judge(head(reason="Offline", words="--offline forbids HTTP requests"))) == [("skip", "Offline")]


def test_a_list_of_nothing_is_unknown() -> None:
    assert reasons(judge()) == [("unknown", "EmptyList")]


def test_an_answer_that_was_not_recorded_is_unknown() -> None:
    assert reasons(judge(head(reason="NotRecorded", words="the recording does not hold it"))) == [
        ("unknown", "NotRecorded")
    ]


def test_when_the_run_ends_before_the_answers_it_is_unknown() -> None:
    late = Unobserved("DeadlineExceeded", "download heads not seen in time")

    found = list(download_list(ListedFiles(SOURCE, (KUBEADM,)), late, DEBIAN))

    assert reasons(found) == [("unknown", "DeadlineExceeded")]


def test_a_line_that_is_no_url_warns_with_its_number_and_the_rest_is_judged() -> None:
    first, second = judge(head(status=200), strangers=(Line(7, "kubeadm v1.36"),))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "NotAUrl", "files.list:7")
    assert "kubeadm v1.36" in first.message
    assert first.fix
    assert "+7" in first.fix.commands[0]
    assert second.reason == "AllAnswer"


WAYS: list[tuple[str, dict[str, Any]]] = [
    ("ServerUnreachable", {"failure": "timeout"}),
    ("ServerUnreachable", {"failure": "refused"}),
    ("ServerUnreachable", {"failure": "unreachable"}),
    ("ServerUnreachable", {"failure": "reset"}),
    ("ServerUnreachable", {"failure": "proxy"}),
    ("ServerUnreachable", {"failure": "tls"}),
    ("NameNotResolved", {"failure": "name-not-resolved"}),
    ("CertificateUntrusted", {"failure": "tls-untrusted"}),
    ("CertificateNameMismatch", {"failure": "tls-name"}),
    ("CertificateExpired", {"failure": "tls-expired"}),
    ("CertificateNotYetValid", {"failure": "tls-not-yet-valid"}),
    ("PlainHttpServer", {"failure": "tls-plain"}),
    ("AccessDenied", {"failure": "proxy-refused"}),
    ("AccessDenied", {"status": 401}),
    ("AccessDenied", {"status": 403}),
    ("FileNotFound", {"status": 404}),
    ("FileNotFound", {"status": 410}),
    ("RedirectsAstray", {"status": 302, "words": "to ftp://x.lab/y"}),
    ("ServerError", {"status": 429}),
    ("ServerError", {"status": 503}),
]


@pytest.mark.parametrize(("reason", "way"), WAYS)
def test_a_file_that_cannot_be_had_fails_for_its_reason_and_the_others_pass(reason: str, way: dict[str, Any]) -> None:
    first, second = judge(head(**({"words": "no"} | way)), head("https://x.lab/a", status=200))

    assert (first.status, first.reason, first.subject) == (Status.FAIL, reason, "dl.k8s.io")
    assert KUBEADM in first.message
    assert first.fix
    assert first.fix.verify == "k8sdoctor check download-list --files files.list"
    assert second.message == "1 of 2 files of files.list answer."


def test_a_dead_server_behind_many_files_is_one_finding_that_lists_them() -> None:
    urls = [f"https://dead.lab/{number}" for number in range(40)]

    [finding] = judge(*(head(url, failure="timeout", words="dead.lab:443 gave no answer within 5 s") for url in urls))

    assert finding.subject == "dead.lab"
    assert "https://dead.lab/0 and 39 more of files.list" in finding.message
    assert all(url in finding.evidence[0].content for url in urls)


def test_where_a_redirect_leads_is_named_as_the_one_that_fails() -> None:
    [finding] = judge(head(where="https://cdn.lab/kubeadm", redirects=1, status=403))

    assert finding.subject == "cdn.lab"
    assert finding.message.startswith("cdn.lab (where dl.k8s.io redirects to) answers 403")


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_that_refuses_a_head_leaves_it_unknown(status: int) -> None:
    [finding] = judge(head(status=status))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "HeadRefused")
    assert "kubespray" in finding.message


def test_a_page_in_the_place_of_a_program_warns_and_a_page_that_was_listed_does_not() -> None:
    portal = head(status=200, content_type="text/html; charset=utf-8")
    listed = head("https://x.lab/readme.html", status=200, content_type="text/html")

    assert reasons(judge(portal)) == [("warn", "WebPage")]
    assert reasons(judge(listed)) == [("pass", "AllAnswer")]


def test_a_list_from_stdin_is_given_by_stdin_again() -> None:
    files = ListedFiles("stdin", (KUBEADM,))

    [finding] = download_list(files, DownloadHeads((head(status=404),)), Unobserved("Unreadable", "no"))

    assert finding.fix
    assert finding.fix.verify.endswith("--files -")


def test_an_address_that_is_signed_for_get_alone_leaves_it_unknown_and_a_plain_403_fails() -> None:
    signed = "https://bucket.s3.amazonaws.com/kubeadm?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0123"

    assert reasons(judge(head(where=signed, redirects=1, status=403))) == [("unknown", "HeadRefused")]
    assert reasons(judge(head(where=signed.partition("?")[0], redirects=1, status=403))) == [("fail", "AccessDenied")]
