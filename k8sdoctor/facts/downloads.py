"""What the server of each listed file says to the question for its head. Nothing is downloaded."""

from __future__ import annotations

import threading
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

from k8sdoctor.facts import numbers
from k8sdoctor.facts import urls as url_texts
from k8sdoctor.facts.lists import ListedFiles
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.host import Host, HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host.answers import HttpRequest, NetworkError

LIMIT = 5.0
"""Seconds that one exchange may take. A constant, so that a recording holds the same question."""

REDIRECTS = 10
"""As many as Python's urllib follows, with which Ansible's `uri` and `get_url` ask (CPython `Lib/urllib/request.py`)."""

AT_ONCE = 16
"""How many files are asked for at the same time."""

SCOUTS = 2
"""How many files of a server are asked for before the others, so that one that says nothing costs its limit once."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SLOW: frozenset[NetworkError] = frozenset({"timeout", "name-not-resolved", "unreachable", "proxy"})
"""Failures that can take as long as the limit."""


@dataclass(frozen=True, slots=True)
class Head:
    """The answer for one file. With `failure` or `reason` there is none, and `status` is 0."""

    url: str
    where: str = ""
    """The URL that decided: the file's own, or the one that redirects led to."""
    status: int = 0
    content_type: str = ""
    length: int | None = None
    """Bytes of the file, where the server tells."""
    failure: NetworkError | None = None
    words: str = ""
    """What the failure, or the host, says."""
    reason: str = ""
    """Why nobody could be asked, such as `Offline`."""
    redirects: int = 0
    proxy: str | None = None
    asked: bool = True
    """False where nobody was asked, because the server was silent to others before."""

    @property
    def netloc(self) -> str:
        """`host[:port]` of the URL that decided."""
        return urlsplit(self.where).netloc.rpartition("@")[2]

    @property
    def elsewhere(self) -> bool:
        """Whether a redirect led to another server."""
        return self.netloc != urlsplit(self.url).netloc.rpartition("@")[2]

    def __str__(self) -> str:
        said = f"{self.status}" if self.status else (self.failure or self.reason or "no answer")
        parts = [f"HEAD {self.url} → {said}"]
        if self.where != self.url:
            parts.append(f"from {self.where} after {self.redirects} redirect{'s' if self.redirects > 1 else ''}")
        if self.length is not None:
            parts.append(f"{self.length} bytes")
        if self.content_type:
            parts.append(self.content_type)
        if self.words:
            parts.append(f"({self.words})")
        if not self.asked:
            parts.append("as others there: not asked again")
        if self.proxy:
            parts.append(f"through the proxy {self.proxy}")
        return " ".join(parts)


@dataclass(frozen=True)
class DownloadHeads:
    """The heads of all listed files, in the order of the list."""

    lasting: ClassVar[bool] = True  # as many questions as the list is long

    heads: tuple[Head, ...] = ()
    proxy: Mapping[str, str] = field(default_factory=dict)
    """The proxy variables that were heeded."""

    @classmethod
    def observe(cls, host: Host, files: ListedFiles) -> Self:
        """Ask all of them, some at a time. Never raises HostError.

        The first files of each server are asked for before the others. Where nobody answered for any of them, the others of that
        server are not asked for and have their answer.
        """
        proxy = host.given().get("proxy", {}) if files.urls else {}
        done: dict[str, Head] = {}
        lock = threading.Lock()

        def ask(url: str) -> None:
            head = _head(host, url, proxy)
            with lock:
                done[url] = head
                host.advanced("files", len(done), len(files.urls))

        servers: dict[str, list[str]] = {}
        for url in files.urls:
            servers.setdefault(urlsplit(url).netloc, []).append(url)
        side_by_side([partial(ask, url) for urls in servers.values() for url in urls[:SCOUTS]], AT_ONCE)
        rest = []
        for urls in servers.values():
            silent = [done[url] for url in urls[:SCOUTS] if done[url].failure in _SLOW]
            if len(silent) == SCOUTS:
                done.update({url: _alike(silent[0], url) for url in urls[SCOUTS:]})
            else:
                rest += urls[SCOUTS:]
        side_by_side([partial(ask, url) for url in rest], AT_ONCE)
        return cls(tuple(done[url] for url in files.urls), proxy)


def _alike(head: Head, url: str) -> Head:
    where = url if not head.elsewhere else head.where
    return Head(url, where, failure=head.failure, words=head.words, proxy=head.proxy, asked=False)


def _head(host: Host, url: str, variables: Mapping[str, str]) -> Head:
    where = url
    for redirects in range(REDIRECTS + 1):
        proxy = proxy_for(where, variables)
        request: HttpRequest = {
            "method": "HEAD",
            "url": where,
            "headers": {},
            "ca_files": [],
            "client_certificate": None,
            "verify": True,
            "proxy": proxy,
            "limit": LIMIT,
        }
        try:
            answer = host.http(request)
        except HostError as error:
            return Head(url, where, words=error.message, reason=error.reason, redirects=redirects, proxy=proxy)
        if answer["failure"] is not None:
            kind, words = answer["failure"]["kind"], answer["failure"]["message"]
            return Head(url, where, failure=kind, words=words, redirects=redirects, proxy=proxy)
        status, headers = answer["status"], answer["headers"]
        target = url_texts.joined(where, headers["location"]) if headers.get("location") else None
        if status not in _REDIRECTS or target is None or " " in target or redirects == REDIRECTS:
            length = headers.get("content-length", "")
            return Head(
                url,
                where,
                status,
                content_type=headers.get("content-type", ""),
                length=numbers.whole(length),
                words=f"to {headers['location']}" if headers.get("location") else "",
                redirects=redirects,
                proxy=proxy,
            )
        where = target
    raise AssertionError("the last round returns")


def proxy_for(url: str, variables: Mapping[str, str]) -> str | None:
    """The proxy that a download by Python's urllib would use, as Ansible's `get_url` does.

    >>> proxy_for("https://dl.k8s.io/x", {"https_proxy": "http://proxy:3128", "no_proxy": "example.org"})
    'http://proxy:3128'
    >>> proxy_for("https://files.example.org/x", {"https_proxy": "http://proxy:3128", "no_proxy": "example.org"})
    """
    if not variables:
        return None
    from urllib.request import proxy_bypass

    parts = urlsplit(url)
    proxy = variables.get(f"{parts.scheme}_proxy")
    without = {"no": variables["no_proxy"]} if variables.get("no_proxy") else {}
    if not proxy or (without and proxy_bypass(parts.netloc.rpartition("@")[2], without)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
