"""How the heads of listed files are asked for, against servers made of answers."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.downloads import DownloadHeads, Head
from k8sdoctor.facts.lists import ListedFiles
from k8sdoctor.host import HostError
from k8sdoctor.host.recording import Recorder, Recording
from k8sdoctor.testing import FakeHost
from tests.facts.registry_web import failure, reply

KUBEADM = "https://dl.k8s.io/v1.36.0/kubeadm"


class Servers:
    """Answers by URL; keeps what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> Any:
        self.asked.append(request)
        return self.answers.get(request["url"], failure("refused", "dead.lab:80: Connection refused"))


def ask(servers: Any, *urls: str, proxy: dict[str, str] | None = None) -> list[Head]:
    given: Any = {"config": None, "kubeconfig": None, "endpoints": []} | ({"proxy": proxy} if proxy else {})
    host = FakeHost(http=servers, given=given)
    return list(DownloadHeads.observe(host, ListedFiles("files.list", urls)).heads)


def test_a_file_that_is_there_is_told_with_its_size_and_only_its_head_is_asked_for() -> None:
    servers = Servers({KUBEADM: reply(content_type="application/octet-stream", content_length="74821632")})

    [head] = ask(servers, KUBEADM)

    assert (head.status, head.length, head.failure) == (200, 74821632, None)
    assert [request["method"] for request in servers.asked] == ["HEAD"]
    assert servers.asked[0]["verify"]


def test_redirects_are_followed_also_relative_ones_and_the_last_address_decides() -> None:
    cdn = "https://cdn.dl.k8s.io/release/kubeadm"
    servers = Servers(
        {
            KUBEADM: reply(302, location="https://cdn.dl.k8s.io/old"),
            "https://cdn.dl.k8s.io/old": reply(308, location="/release/kubeadm"),
            cdn: reply(404),
        }
    )

    [head] = ask(servers, KUBEADM)

    assert (head.status, head.where, head.redirects, head.netloc) == (404, cdn, 2, "cdn.dl.k8s.io")
    assert head.elsewhere


@pytest.mark.parametrize("location", [KUBEADM, "ftp://x.lab/y", "https://x.lab:port/"])
def test_a_redirect_that_leads_nowhere_ends_after_ten(location: str) -> None:
    servers = Servers({KUBEADM: reply(301, location=location)})

    [head] = ask(servers, KUBEADM)

    assert head.status == 301
    assert location in head.words
    assert len(servers.asked) <= 11


def test_a_server_that_refuses_a_head_is_asked_for_no_byte() -> None:
    servers = Servers({KUBEADM: reply(405)})

    [head] = ask(servers, KUBEADM)

    assert head.status == 405
    assert [request["method"] for request in servers.asked] == ["HEAD"]


def test_a_silent_server_costs_its_limit_for_two_files_and_the_others_are_not_asked_for() -> None:
    silent = failure("timeout", "192.0.2.66:443 gave no answer within 5 s (connecting)")
    urls = [f"https://silent.lab/{number}" for number in range(100)]
    servers = Servers({**dict.fromkeys(urls, silent), KUBEADM: reply()})

    heads = ask(servers, *urls, KUBEADM)

    assert len(servers.asked) == 3
    assert {head.failure for head in heads[:100]} == {"timeout"}
    assert [head.asked for head in heads[:3]] == [True, True, False]
    assert heads[100].status == 200


def test_a_server_that_is_silent_to_one_file_alone_is_asked_for_all() -> None:
    urls = [f"https://slow.lab/{number}" for number in range(5)]
    servers = Servers({url: reply() for url in urls} | {urls[0]: failure("timeout")})

    heads = ask(servers, *urls)

    assert len(servers.asked) == 5
    assert [head.status for head in heads] == [0, 200, 200, 200, 200]


def test_what_may_not_be_asked_is_told_with_the_reason() -> None:
    [head] = ask(HostError("Offline", "--offline forbids HTTP requests"), KUBEADM)

    assert (head.reason, head.failure, head.status) == ("Offline", None, 0)


@pytest.mark.parametrize(
    ("proxy", "used"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy.lab:3128"}, "http://proxy.lab:3128"),
        ({"https_proxy": "proxy.lab:3128"}, "http://proxy.lab:3128"),
        ({"http_proxy": "http://proxy.lab:3128"}, None),
        ({"https_proxy": "http://proxy.lab:3128", "no_proxy": "other.lab"}, "http://proxy.lab:3128"),
        ({"https_proxy": "http://proxy.lab:3128", "no_proxy": "k8s.io"}, None),
        ({"https_proxy": "http://proxy.lab:3128", "no_proxy": "*"}, None),
    ],
)
def test_the_proxy_is_the_one_that_ansible_would_use(proxy: dict[str, str], used: str | None) -> None:
    servers = Servers({KUBEADM: reply()})

    [head] = ask(servers, KUBEADM, proxy=proxy)

    assert servers.asked[0]["proxy"] == used
    assert head.proxy == used


def test_progress_is_told_once_for_each_file_that_is_asked_for() -> None:
    host = FakeHost(http=Servers({}))
    told: list[tuple[str, int, int]] = []
    host.listener = lambda *progress: told.append(progress)

    DownloadHeads.observe(host, ListedFiles("files.list", (KUBEADM, "http://x.lab/a", "http://x.lab/b")))

    assert sorted(told) == [("files", 1, 3), ("files", 2, 3), ("files", 3, 3)]


def test_a_recording_answers_the_same_again() -> None:
    silent = failure("timeout", "no")
    urls = tuple(f"https://silent.lab/{number}" for number in range(20))
    host = Recorder(FakeHost(http=Servers(dict.fromkeys(urls, silent))))
    first = DownloadHeads.observe(host, ListedFiles("files.list", urls))

    assert DownloadHeads.observe(Recording(host.dump()), ListedFiles("files.list", urls)) == first
