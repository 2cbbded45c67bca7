"""What is asked of the places that are written down, and what their answers are taken for."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.proxy import ProxyEnvironment
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import Answer, RegistryAnswers
from k8sdoctor.facts.registry_config import RegistryConfig
from k8sdoctor.facts.registry_hosts import PullConfig
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

CERTS_D = "/etc/containerd/certs.d"
SEARCHED = f'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "{CERTS_D}"\n'
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUWCk=\n-----END CERTIFICATE-----\n"
NONE = Unobserved("NotFound", "no sandbox image")
FINE = {"status": 200, "headers": {"content-type": "application/json"}, "body": "{}", "peer": None, "failure": None}


def fails(kind: str) -> dict[str, Any]:
    return {"status": 0, "headers": {}, "body": "", "peer": None, "failure": {"kind": kind, "message": kind}}


class Peers:
    """Answers by the start of the URL, and the requests that came."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        scheme = request["url"].partition(":")[0]
        answer = self.answers.get(scheme, FINE)
        if isinstance(answer, HostError):
            raise answer
        return dict(answer)


def observe(
    text: str,
    peers: Peers,
    *,
    registry: str = "docker.io",
    proxy: ProxyEnvironment | None = None,
    pull: PullAttempts | Unobserved = NONE,
    files: Mapping[str, str] = MappingProxyType({"/ca.crt": PEM}),
) -> dict[str, Answer]:
    host = FakeHost({CONFIG: SEARCHED, f"{CERTS_D}/{registry}/hosts.toml": text, **files}, http=peers)
    pulls = PullConfig("containerd", ContainerdConfig.read(host, (2, 1, 0)), proxy or ProxyEnvironment())
    config = RegistryConfig.observe(host, pulls)
    return {each.host.base_url: each for each in RegistryAnswers.observe(host, config, pulls, pull).all}


def test_a_place_is_asked_as_the_runtime_would_and_the_registry_behind_it_is_not() -> None:
    peers = Peers()
    proxy = ProxyEnvironment(https="http://me:pw@p:3128")
    found = observe(
        '[host."https://m:5000"]\n  ca = "/ca.crt"\n  skip_verify = true\n  [host."https://m:5000".header]\n    x = "y"\n',
        peers,
        proxy=proxy,
    )

    [request] = peers.asked
    assert request["url"] == "https://m:5000/v2/?ns=docker.io"
    assert (request["ca_files"], request["verify"], request["headers"]) == (["/ca.crt"], False, {"x": "y"})
    assert request["proxy"] == "http://me:pw@p:3128"
    [answer] = found.values()
    assert answer.registry
    assert "pw" not in str(answer)


def test_a_server_that_is_written_down_is_asked_and_a_made_up_registry_is_not() -> None:
    assert list(observe('server = "https://registry-1.docker.io"\n', Peers())) == ["https://registry-1.docker.io/v2"]
    assert observe("dial_timeout = '3s'\n", Peers(), registry="_default") == {}


def test_the_registry_itself_is_asked_where_a_mirror_is_not_asked_for_tags() -> None:
    assert list(observe('[host."https://m"]\n  capabilities = ["pull"]\n', Peers())) == [
        "https://registry-1.docker.io/v2"
    ]


def test_nobody_is_asked_where_the_runtime_would_stop_before() -> None:
    text = 'server = "https://m"\n[host."https://m"]\n  ca = "/no/ca.crt"\n'

    assert observe(text, Peers(), files={}) == {}


def test_what_was_asked_for_the_sandbox_image_is_not_asked_twice() -> None:
    host = FakeHost({CONFIG: SEARCHED, f"{CERTS_D}/docker.io/hosts.toml": '[host."https://m"]\n'})
    pulls = PullConfig("containerd", ContainerdConfig.read(host, (2, 1, 0)))
    [mirror, *_] = RegistryConfig.observe(host, pulls).hosts
    pull = PullAttempts("x", attempts=(Attempt(mirror, "serves", "https://m/v2"),))

    assert observe('[host."https://m"]\n', Peers(), pull=pull) == {}


@pytest.mark.parametrize(
    ("url", "answers", "expected"),
    [
        (
            "https://m",
            {"https": FINE | {"status": 401, "headers": {"www-authenticate": "Bearer"}}},
            (401, None, True, False),
        ),
        ("https://m", {"https": FINE | {"headers": {"content-type": "text/html"}}}, (200, None, False, False)),
        ("https://m", {"https": FINE | {"status": 404}}, (404, None, False, False)),
        ("https://m", {"https": fails("tls-untrusted")}, (0, "tls-untrusted", False, False)),
        ("http://m:1", {"http": FINE | {"status": 400}}, (400, None, False, True)),
        ("http://m:1", {"http": FINE | {"status": 400}, "https": fails("tls-plain")}, (400, None, False, False)),
        ("http://m:1", {"http": fails("reset"), "https": fails("refused")}, (0, "reset", False, False)),
    ],
    ids=["challenge", "page", "not found", "untrusted", "wants TLS", "bad request", "reset"],
)
def test_answers_are_taken_for_what_they_are(url: str, answers: dict[str, Any], expected: tuple[Any, ...]) -> None:
    [answer] = observe(f'[host."{url}"]\n', Peers(**answers)).values()

    assert (answer.status, answer.failure, answer.registry, answer.wants_tls) == expected


def test_plain_http_is_tried_where_the_runtime_falls_back_to_it() -> None:
    peers = Peers(https=fails("tls-plain"))
    [answer] = observe('[host."http://m:5000"]\n  skip_verify = true\n', peers).values()

    assert [request["url"].partition(":")[0] for request in peers.asked] == ["https", "http"]
    assert (answer.registry, answer.failure) == (True, None)


def test_not_being_allowed_to_ask_is_no_answer() -> None:
    [answer] = observe('[host."https://m"]\n', Peers(https=HostError("Offline", "--offline"))).values()

    assert answer.untried is not None
    assert answer.untried.reason == "Offline"
