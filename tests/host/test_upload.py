"""The one verb that may change anything at a peer: what it sends, and that it is refused without being asked for."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.recording import Recorder, Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN: Any = {"config": None, "kubeconfig": None, "endpoints": []}


@contextmanager
def registry(status: int, location: str | None = None, cancel: int = 204) -> Iterator[tuple[str, list[str]]]:
    """A server that answers so; yields its base URL and the requests that it gets."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

        def answer(self, code: int, place: str | None = None) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length).decode()
            asked.append(f"{self.command} {self.path} {body}{self.headers.get('Authorization', '')}".strip())
            self.send_response(code)
            if place:
                self.send_header("Location", place)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.answer(status, location)

        def do_DELETE(self) -> None:
            self.answer(cancel)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v2", asked
        server.shutdown()
        thread.join()


def request(base_url: str) -> Any:
    return {"base_url": base_url, "repository": "a/b", "ca_files": [], "verify": True, "proxy": None, "limit": 5.0}


def intrusive() -> LiveHost:
    return LiveHost(given=GIVEN | {"intrusive": True})


def test_an_upload_that_is_begun_is_cancelled_at_once_and_nothing_is_sent_with_it() -> None:
    with registry(202, "/v2/a/b/blobs/uploads/1?_state=x") as (url, asked):
        answer = intrusive().upload(request(url))

    assert asked == ["POST /v2/a/b/blobs/uploads/", "DELETE /v2/a/b/blobs/uploads/1?_state=x"]
    assert answer["start"]["status"] == 202
    assert answer["cancel"]
    assert answer["cancel"]["status"] == 204


def test_a_refused_upload_is_not_cancelled() -> None:
    with registry(403) as (url, asked):
        answer = intrusive().upload(request(url))

    assert asked == ["POST /v2/a/b/blobs/uploads/"]
    assert (answer["start"]["status"], answer["cancel"]) == (403, None)


def test_the_upload_is_cancelled_where_it_was_begun_whatever_the_registry_calls_itself() -> None:
    with registry(202, "https://registry.example.org/v2/a/b/blobs/uploads/1") as (url, asked):
        host = intrusive()
        host.upload(request(url))

    assert asked[1] == "DELETE /v2/a/b/blobs/uploads/1"
    assert host.contacted == [url.removesuffix("/v2")]


@pytest.mark.parametrize("given", [GIVEN, GIVEN | {"intrusive": False}])
def test_without_being_asked_for_nothing_is_sent(given: Any) -> None:
    with registry(202, "/v2/a/b/blobs/uploads/1") as (url, asked), pytest.raises(HostError) as caught:
        LiveHost(given=given).upload(request(url))

    assert caught.value.reason == "NotPermitted"
    assert "--intrusive" in caught.value.message
    assert asked == []


def test_offline_forbids_it_even_when_it_is_asked_for() -> None:
    with pytest.raises(HostError) as caught:
        LiveHost(given=GIVEN | {"intrusive": True}, offline=True).upload(request("http://127.0.0.1:9/v2"))

    assert caught.value.reason == "Offline"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_http_verb_only_reads_whatever_was_asked_for(method: str) -> None:
    plain: Any = {"method": method, "url": "http://127.0.0.1:9/", "headers": {}, "ca_files": []}
    plain |= {"client_certificate": None, "verify": True, "proxy": None, "limit": 1.0}

    with pytest.raises(ValueError, match=method):
        intrusive().http(plain)


def test_silence_is_an_answer_here_too() -> None:
    answer = intrusive().upload(request("http://127.0.0.1:9/v2"))

    assert answer["start"]["failure"]
    assert answer["start"]["failure"]["kind"] == "refused"
    assert answer["cancel"] is None


def test_a_recording_answers_it_again_and_sends_nothing() -> None:
    with registry(202, "/v2/a/b/blobs/uploads/1") as (url, asked):
        recorder = Recorder(intrusive())
        answer = recorder.upload(request(url))
        before = list(asked)

        assert Recording(recorder.dump()).upload(request(url)) == answer
        assert asked == before
