"""Registries made of answers, for the facts that ask them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_chain import RegistryHost
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.host.fake import FakeHost

if TYPE_CHECKING:
    from collections.abc import Callable

    from k8sdoctor.facts.registry_visit import Attempt


NAME = "registry.k8s.io/pause:3.6"
IMAGE = SandboxImage(
    image=NAME,
    reference=ImageReference.parse(NAME),
    source="built-in default of containerd 1.6.20",
    runtime="containerd",
    runtime_version="1.6.20",
    config_path=None,
)
CRIO = replace(IMAGE, runtime="cri-o")
DOCKER = replace(IMAGE, runtime="cri-dockerd")
RUNTIME = Runtime(kind="containerd", endpoint="unix:///run/containerd/containerd.sock", reachable=True)
INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST = json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:c0"}})
CONFIG = json.dumps({"os": "linux", "architecture": "amd64"})
JSON = "application/json"


def index(*platforms: str) -> str:
    entries = []
    for number, platform in enumerate(platforms):
        os, architecture, variant = (*platform.split("/"), "")[:3]
        described = {"os": os, "architecture": architecture, "variant": variant}
        entries.append({"digest": f"sha256:m{number}", "platform": described})
    return json.dumps({"schemaVersion": 2, "manifests": entries})


def reply(status: int = 200, body: str = "", content_type: str = "", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type:
        named["content-type"] = content_type
    return {"status": status, "headers": named, "body": body, "peer": "192.0.2.1:443", "failure": None}


def failure(kind: str, message: str = "no") -> dict[str, Any]:
    failed = {"kind": kind, "message": message}
    return {"status": 0, "headers": {}, "body": "", "peer": None, "failure": failed}


class Web:
    """Answers by URL, without its query; keeps what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> Any:
        self.asked.append(request)
        answer = self.answers.get(request["url"].partition("?")[0], failure("refused", f"{request['url']} refused"))
        return answer(request) if callable(answer) else answer

    @property
    def lines(self) -> list[str]:
        return [f"{request['method']} {request['url']}" for request in self.asked]


def good(base: str = "https://registry.k8s.io/v2", repository: str = "pause") -> dict[str, Any]:
    """A registry that serves."""
    return {
        f"{base}/": reply(200, "{}", JSON),
        f"{base}/{repository}/manifests/3.6": reply(200, index("linux/arm64", "linux/amd64"), INDEX_TYPE),
        f"{base}/{repository}/manifests/sha256:m1": reply(200, MANIFEST, MANIFEST_TYPE),
        f"{base}/{repository}/blobs/sha256:c0": reply(200, CONFIG, "application/octet-stream"),
    }


UPSTREAM = RegistryHost("https://registry.k8s.io/v2", "pause", "3.6", "default", upstream=True)
MIRROR = RegistryHost(
    "https://mirror:5000/v2",
    "pause",
    "3.6",
    "/etc/containerd/certs.d/_default/hosts.toml:1",
    mirror_ns="registry.k8s.io",
)


def observe(
    answers: dict[str, Any] | Web,
    *hosts: RegistryHost,
    image: SandboxImage = IMAGE,
    runtime: Runtime = RUNTIME,
    machine: str = "x86_64",
    **changes: Any,
) -> PullAttempts:
    assert image.reference
    chain = RegistryHosts(image.reference, hosts or (UPSTREAM,), **changes)
    identity: dict[str, Any] = {"hostname": "n", "kernel": "6.1", "machine": machine, "euid": 0}
    web = answers if isinstance(answers, Web) else Web(answers)
    return PullAttempts.observe(FakeHost(http=web, cri={"image": None}, identity=identity), image, chain, runtime)


def only(answers: dict[str, Any] | Web, *hosts: RegistryHost, **changes: Any) -> Attempt:
    [attempt] = observe(answers, *hosts, **changes).attempts
    return attempt


def guarded(challenge: str, accepted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """A registry that wants to know who asks."""

    def guard(answer: dict[str, Any]) -> Callable[[dict[str, Any]], Any]:
        return lambda request: answer if accepted(request) else reply(401, www_authenticate=challenge)

    return {url: guard(answer) for url, answer in good().items()}


def bearer(request: dict[str, Any]) -> bool:
    return bool(request["headers"].get("Authorization") == "Bearer REDACTED-1")


BEARER = 'Bearer realm="https://auth.example/token",service="registry"'


def index_digest() -> str:
    body = good()["https://registry.k8s.io/v2/pause/manifests/3.6"]["body"]
    return f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
