"""An upload that a registry is asked to begin and at once to forget: the verb `upload`, for `--intrusive` alone.

Both steps are one verb, so that nothing can come between them: what was begun is cancelled even when whoever asked is gone.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urljoin, urlsplit

from k8sdoctor.host.answers import HttpAnswer, HttpRequest, UploadAnswer, UploadRequest
from k8sdoctor.host.http import exchange

if TYPE_CHECKING:
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.live import LiveHost

BEGUN = 202
"""Accepted: the upload has an address now (distribution, `docs/content/spec/api.md`, "Initiate Blob Upload")."""


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:  # noqa: ARG001 -- one signature for all verbs
    """Answer `upload`. Whatever the registry does is an answer; HostError only says that we could not try."""
    request = cast("UploadRequest", arguments)
    url = f"{request['base_url']}/{request['repository']}/blobs/uploads/"
    start = _exchange(host, request, url, "POST")
    cancel = None
    location = start["headers"].get("location", "")
    if start["failure"] is None and start["status"] == BEGUN and location:
        # A registry behind a proxy often names itself by another address; the upload lies with the one that was asked.
        with suppress(ValueError):  # it names no URL, so there is nothing to cancel by
            named, asked = urlsplit(urljoin(url, location)), urlsplit(url)
            where = named._replace(scheme=asked.scheme, netloc=asked.netloc).geturl()
            cancel = _exchange(host, request, where, "DELETE")
    return cast("Json", UploadAnswer(start=start, cancel=cancel))


def _exchange(host: LiveHost, request: UploadRequest, url: str, method: str) -> HttpAnswer:
    plain = HttpRequest(
        method="GET",
        url=url,
        headers={"Content-Length": "0"},
        ca_files=request["ca_files"],
        client_certificate=None,
        verify=request["verify"],
        proxy=request["proxy"],
        limit=request["limit"],
    )
    return exchange(host, plain, method)
