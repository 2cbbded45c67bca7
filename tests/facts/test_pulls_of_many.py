"""How many images are asked for: what they have in common is read and asked once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.pull import PullAttempts, attempts_for
from k8sdoctor.facts.registry_chain import Credentials, RegistryHost, Stopper
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts, chain_for, chains_for
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Unobserved
from k8sdoctor.host.fake import FakeHost
from tests.certificates import issue
from tests.facts.registry_web import JSON, Web, failure, good, index_digest, reply

NOT_HERE = Unobserved("NotFound", "not here")
TEN = [f"registry.k8s.io/app{number}:3.6" for number in range(10)]
MIRROR = RegistryHost("https://mirror:5000/v2", "", "3.6", "hosts.toml:1", mirror_ns="registry.k8s.io")
UPSTREAM = RegistryHost("https://registry.k8s.io/v2", "", "3.6", "default", upstream=True)


def chains(*hosts: RegistryHost, images: list[str] | None = None, **changes: Any) -> dict[str, RegistryHosts]:
    found = {}
    for image in images or TEN:
        reference = ImageReference.parse(image)
        own = tuple(replace(host, repository=reference.repository) for host in hosts)
        found[image] = RegistryHosts(reference, own, **changes)
    return found


def serving(base: str, *images: str) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for image in images or TEN:
        answers |= good(base, ImageReference.parse(image).repository)
    return answers


def ask(web: Web, chains: dict[str, RegistryHosts], **changes: Any) -> dict[str, PullAttempts]:
    tls = changes.pop("tls", {"peer": None, "chain": [], "client_cas": None, "failure": None})
    return attempts_for(FakeHost(http=web, tls=tls), chains, changes.pop("runtime", "containerd"), **changes)


def test_each_image_is_asked_of_the_mirror_and_upstream_by_one_of_them_alone() -> None:
    web = Web(serving("https://mirror:5000/v2") | serving("https://registry.k8s.io/v2"))

    found = ask(web, chains(MIRROR, UPSTREAM))

    assert list(found) == TEN
    assert all(pull.serving and pull.serving.netloc == "mirror:5000" for pull in found.values())
    assert {line.split("/")[4] for line in web.lines if "registry.k8s.io/v2" in line.partition("?")[0]} == {"app0"}


@pytest.mark.parametrize("kind", ["timeout", "refused", "unreachable", "name-not-resolved", "tls-untrusted", "proxy"])
def test_a_dead_mirror_is_asked_once_and_every_image_is_told_why(kind: str) -> None:
    def dead(request: dict[str, Any]) -> Any:
        return failure(kind, "it is dead")

    mirror = {f"https://mirror:5000/v2/app{number}/manifests/3.6": dead for number in range(10)}
    web = Web(mirror | serving("https://registry.k8s.io/v2"))

    found = ask(web, chains(MIRROR, UPSTREAM))

    assert len([line for line in web.lines if "mirror:5000" in line]) == 1
    for pull in found.values():
        assert (pull.attempts[0].outcome, pull.attempts[0].failure) == ("unreachable", kind)
        assert pull.attempts[0].words == "it is dead"
        assert pull.serving
        assert pull.serving.netloc == "registry.k8s.io"


def test_a_certificate_that_is_refused_is_shown_for_every_image() -> None:
    authority = issue("CA", authority=True, start=1.7e9)
    leaf = issue("other", authority, dns=["other.lab"], start=1.7e9)
    shown = {"peer": "m", "chain": [leaf.pem], "client_cas": [], "failure": None}
    web = Web({f"https://mirror:5000/v2/app{n}/manifests/3.6": failure("tls-name", "not ours") for n in range(10)})

    found = ask(web, chains(MIRROR), tls=shown)

    assert len(web.asked) == 1
    assert all("it is for other.lab" in pull.attempts[0].words for pull in found.values())


def test_a_token_server_that_is_dead_is_asked_once() -> None:
    challenge = {"www_authenticate": 'Bearer realm="https://auth:5001/token",service="s"'}
    registry = {f"https://mirror:5000/v2/app{n}/manifests/3.6": reply(401, "{}", JSON, **challenge) for n in range(10)}
    web = Web(registry | {"https://auth:5001/token": failure("timeout", "silence")})

    found = ask(web, chains(MIRROR))

    assert len([line for line in web.lines if "auth:5001" in line]) == 1
    assert {pull.attempts[0].netloc for pull in found.values()} == {"auth:5001"}
    assert {pull.attempts[0].failure for pull in found.values()} == {"timeout"}


def test_an_answer_that_fails_for_one_image_says_nothing_of_the_others() -> None:
    answers = serving("https://mirror:5000/v2")
    answers["https://mirror:5000/v2/app0/manifests/3.6"] = reply(404, "", JSON)
    answers["https://mirror:5000/v2/app3/blobs/sha256:c0"] = failure("timeout", "late")
    web = Web(answers)

    found = ask(web, chains(MIRROR))

    outcomes = {image: pull.attempts[0].outcome for image, pull in found.items()}
    assert outcomes.pop(TEN[0]) == "not-found"
    assert outcomes.pop(TEN[3]) == "unreachable"
    assert set(outcomes.values()) == {"serves"}


def test_a_place_that_answered_something_is_not_dead_for_others() -> None:
    """The first image's blob is late although its manifest came: the mirror lives."""
    answers = serving("https://mirror:5000/v2")
    answers["https://mirror:5000/v2/app0/blobs/sha256:c0"] = failure("timeout", "late")

    found = ask(Web(answers), chains(MIRROR))

    assert [pull.attempts[0].outcome for pull in found.values()] == ["unreachable", *["serves"] * 9]


def test_the_pull_ends_where_the_runtime_ends_it() -> None:
    page = {f"https://mirror:5000/v2/app{n}/manifests/3.6": reply(200, "<html>", "text/html") for n in range(10)}

    found = ask(Web(page | serving("https://registry.k8s.io/v2")), chains(MIRROR, UPSTREAM))

    assert {pull.serving for pull in found.values()} == {None}
    assert len(found[TEN[1]].attempts) == 1


def test_content_of_each_image_is_asked_of_the_host_before_the_one_that_serves() -> None:
    """Whether it is the first image, of which all hosts are asked at once, or a later one."""
    page = reply(200, "<html>", "text/html")
    pages = {f"https://mirror:5000/v2/app{number}/manifests/{index_digest()}": page for number in (0, 4)}
    all_chains = {
        image: replace(chain, content_hosts=(replace(MIRROR, repository=chain.image.repository), *chain.hosts))
        for image, chain in chains(UPSTREAM).items()
    }

    found = ask(Web(serving("https://registry.k8s.io/v2") | pages), all_chains)

    assert [image for image, pull in found.items() if pull.spoiler] == [TEN[0], TEN[4]]


def test_a_host_that_stands_twice_in_a_chain_is_asked_once() -> None:
    web = Web({f"https://mirror:5000/v2/app{n}/manifests/3.6": reply(503, "busy") for n in range(10)})

    found = ask(web, chains(MIRROR, replace(MIRROR, source="default")))

    assert [attempt.host.source for attempt in found[TEN[1]].attempts] == ["hosts.toml:1", "default"]
    assert len([line for line in web.lines if "HEAD https://mirror:5000/v2/app1/" in line]) == 1


def test_a_configuration_that_stops_each_pull_asks_nobody() -> None:
    stopper = Stopper("ca-unreadable", "/ca.crt", "hosts.toml:2", "it is not there")
    web = Web({})

    found = ask(web, chains(MIRROR, stoppers=(stopper,)))

    assert all(pull.stopped for pull in found.values())
    assert web.asked == []


def test_credentials_of_one_image_do_not_part_it_from_the_others() -> None:
    """CRI-O's credentials may be a repository's; that the mirror is dead has nothing to do with them."""
    web = Web({})  # refuses all
    all_chains = chains(MIRROR)
    own = replace(MIRROR, repository="app1", credentials=Credentials("/auth.json", auth="dTpw"))
    all_chains[TEN[1]] = replace(all_chains[TEN[1]], hosts=(own,))

    ask(web, all_chains, runtime="cri-o")

    assert len(web.asked) == 1


def test_everyone_is_told_once_and_no_more_than_allowed_are_asked_at_once() -> None:
    told: list[str] = []
    web = Web(serving("https://mirror:5000/v2"))

    found = ask(web, chains(MIRROR), at_once=2, told=lambda pull: told.append(pull.image))

    assert sorted(told) == TEN
    assert told[0] == TEN[0]
    assert all(pull.serving for pull in found.values())


def test_no_image_asks_nobody() -> None:
    assert ask(Web({}), {}) == {}


# -- chains ----------------------------------------------------------------------------------------------------------


class Counting(FakeHost):
    """Counts what is read."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__(files)
        self.reads: list[str] = []

    def ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        self.reads.append(f"{verb} {arguments.get('path')}")
        return super().ask(verb, arguments)


CONTAINERD = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
HOSTS = 'server = "https://m"\n[host."https://m"]\n  capabilities = ["pull", "resolve"]\n'


def pull_config(host: FakeHost, kind: str) -> PullConfig:
    if kind == "containerd":
        runtime = Runtime(kind="containerd", version=(1, 7, 34))
        return PullConfig.observe(host, runtime, ContainerdConfig.observe(host, runtime), NOT_HERE, NOT_HERE)
    if kind == "cri-o":
        runtime = Runtime(kind="cri-o", version=(1, 36, 0))
        return PullConfig.observe(host, runtime, NOT_HERE, CrioConfig.observe(host, runtime), NOT_HERE)
    runtime = Runtime(kind="cri-dockerd", cmdline=("cri-dockerd", "--pod-infra-container-image=m/pause:1"))
    return PullConfig.observe(host, runtime, NOT_HERE, NOT_HERE, DockerConfig.observe(host, runtime, NOT_HERE))


@pytest.mark.parametrize("kind", ["containerd", "cri-o", "cri-dockerd"])
def test_many_chains_are_those_of_each_image_and_nothing_is_read_twice(kind: str) -> None:
    files = {
        "/etc/containerd/config.toml": CONTAINERD,
        "/etc/containerd/certs.d/registry.k8s.io/hosts.toml": HOSTS,
        "/etc/containers/registries.conf": '[[registry]]\nlocation = "registry.k8s.io"\n[[registry.mirror]]\nlocation = "m"\n',
        "/etc/containers/policy.json": '{"default": [{"type": "insecureAcceptAnything"}]}',
        "/etc/docker/daemon.json": '{"registry-mirrors": ["https://m"]}',
    }
    host = Counting(files)
    config = pull_config(host, kind)
    names = [*TEN, "registry.k8s.io/coredns/coredns@sha256:1", "docker.io/library/busybox:1", "busybox:1"]
    images = [ImageReference.parse(name) for name in names]
    host.reads.clear()

    found = chains_for(host, images, config)

    assert list(found) == list(dict.fromkeys(images))
    assert sorted(host.reads) == sorted(set(host.reads))
    assert {image: chain_for(FakeHost(files), image, config) for image in images} == found
    assert found[images[3]].hosts[0].repository == "app3"
    assert found[images[10]].hosts[-1].reference == "sha256:1"


def test_a_mirror_that_may_not_resolve_tags_is_skipped_for_tags_alone() -> None:
    files = {
        "/etc/containerd/config.toml": CONTAINERD,
        "/etc/containerd/certs.d/registry.k8s.io/hosts.toml": HOSTS.replace(', "resolve"', ""),
    }
    host = FakeHost(files)
    tag, digest = (ImageReference.parse(f"registry.k8s.io/pause{end}") for end in (":3.9", "@sha256:1"))

    found = chains_for(host, [tag, digest], pull_config(host, "containerd"))

    assert [skipped.url for skipped in found[tag].skipped] == ["https://m/v2"]
    assert found[digest].skipped == ()
