from __future__ import annotations

import json
from dataclasses import replace

import pytest

from k8sdoctor.facts import docker, docker_hosts
from k8sdoctor.facts.docker import DockerConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import CommandResult, Process
from k8sdoctor.host.fake import FakeHost

PAUSE = "registry.k8s.io/pause:3.9"
HUB = "docker.io/rancher/pause:3.6"


def read(
    daemon: object = None, *flags: str, version: str = "cri-dockerd 0.3.16 (95bd87b)", dockerd: tuple[str, ...] = ()
) -> tuple[FakeHost, DockerConfig]:
    files = {} if daemon is None else {docker.CONFIG: daemon if isinstance(daemon, str) else json.dumps(daemon)}
    host = FakeHost(files, run=CommandResult(code=0, out=version, err=""))  # type: ignore[arg-type]
    runtime = Runtime(kind="cri-dockerd", version=(24, 0, 7), cmdline=("/usr/bin/cri-dockerd", *flags))
    processes = Processes((Process(pid=7, ppid=1, name="dockerd", cmdline=["/usr/bin/dockerd", *dockerd]),))
    return host, DockerConfig.observe(host, runtime, processes)


def urls(daemon: object, image: str, *dockerd: str) -> list[str]:
    host, config = read(daemon, dockerd=dockerd)
    return [one.base_url for one in docker_hosts.chain(host, config, ImageReference.parse(image)).hosts]


def test_the_flag_names_the_image() -> None:
    _, config = read(None, "--pod-infra-container-image=m/pause:3.9")

    assert (config.sandbox_image, config.default) == ("m/pause:3.9", False)
    assert "command line" in config.source


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("0.2.0", "k8s.gcr.io/pause:3.1"),
        ("0.2.5", "k8s.gcr.io/pause:3.6"),
        ("0.2.6", "registry.k8s.io/pause:3.6"),
        ("0.3.9", "registry.k8s.io/pause:3.6"),
        ("0.3.10", "registry.k8s.io/pause:3.9"),
        ("0.3.17", "registry.k8s.io/pause:3.10"),
        ("0.4.3", "registry.k8s.io/pause:3.10"),
    ],
)
def test_without_the_flag_the_release_of_cri_dockerd_decides(version: str, image: str) -> None:
    _, config = read(None, version=f"cri-dockerd {version} (HEAD)")

    assert (config.sandbox_image, config.default) == (image, True)
    assert config.source == f"built-in default of cri-dockerd {version}"


def test_an_unknown_release_is_no_answer() -> None:
    runtime = Runtime(kind="cri-dockerd", version=(24, 0, 7))
    with pytest.raises(HostError, match="version is not known"):
        DockerConfig.observe(FakeHost(), runtime, Unobserved("Unreadable", ""))


def test_mirrors_are_for_docker_hub_alone() -> None:
    daemon = {"registry-mirrors": ["https://m"]}

    assert urls(daemon, HUB) == ["https://m/v2", "https://registry-1.docker.io/v2"]
    assert urls(daemon, PAUSE) == ["https://registry.k8s.io/v2"]
    host, config = read(daemon)
    [ignored] = docker_hosts.chain(host, config, ImageReference.parse(PAUSE)).ignored
    assert (ignored.kind, ignored.value) == ("without-effect", "https://m")


@pytest.mark.parametrize(
    ("mirror", "why"),
    [
        ("https://[::1", "no URL"),
        ("m.lab:5000", "http://"),
        ("ftp://m", "http://"),
        ("https://m/?x=1", "query"),
        ("https://m/hub", "path"),
    ],
)
def test_a_mirror_with_which_dockerd_does_not_start_is_told(mirror: str, why: str) -> None:
    host, config = read({"registry-mirrors": [mirror]})
    found = docker_hosts.chain(host, config, ImageReference.parse(HUB))

    assert found.ignored[0].kind == "malformed"
    assert why in found.ignored[0].why
    assert [one.base_url for one in found.hosts] == ["https://registry-1.docker.io/v2"]


def test_since_25_a_mirror_may_have_a_path() -> None:
    host, config = read({"registry-mirrors": ["https://m/hub/"]})
    found = docker_hosts.chain(host, replace(config, version=(28, 5, 2)), ImageReference.parse(HUB))

    assert [one.base_url for one in found.hosts] == ["https://m/hub/v2", "https://registry-1.docker.io/v2"]


def test_an_insecure_mirror_is_not_asked_in_plain_http() -> None:
    host, config = read({"registry-mirrors": ["https://m:5000"], "insecure-registries": ["m:5000"]})
    mirror = docker_hosts.chain(host, config, ImageReference.parse(HUB)).hosts[0]

    assert (mirror.verify, mirror.http_fallback) == (False, None)


CERTS = "/etc/docker/certs.d/registry.k8s.io"


@pytest.mark.parametrize("name", ["c.cert", "c.key"])
def test_half_a_client_certificate_fails_the_pull_before_anybody_is_asked(name: str) -> None:
    _, config = read()
    files = FakeHost({f"{CERTS}/{name}": ""})

    [stopper] = docker_hosts.chain(files, config, ImageReference.parse(PAUSE)).stoppers

    assert (stopper.kind, stopper.base_url) == ("client-certificate-unreadable", None)
    insecure = replace(config, insecure=("registry.k8s.io",))
    assert docker_hosts.chain(files, insecure, ImageReference.parse(PAUSE)).stoppers == ()  # certs.d is not looked into


@pytest.mark.parametrize(
    ("endpoint", "environment", "files"),
    [
        ("unix:///run/cri-dockerd.sock", "PATH=/bin", ["/config.json", "/.docker/config.json"]),
        ("unix:///run/cri-dockerd.sock", "HOME=/root\0PATH=/bin", ["/config.json", "/root/.docker/config.json", "/.docker/config.json"]),
        ("unix:///var/run/dockershim.sock", "", ["/var/lib/kubelet/config.json", "/config.json", "/.docker/config.json"]),
    ],
)  # fmt: skip
def test_credentials_are_those_that_cri_dockerd_finds(endpoint: str, environment: str, files: list[str]) -> None:
    login = json.dumps({"auths": {"registry.k8s.io": {"auth": "REDACTED-1"}}})
    host = FakeHost(
        {"/proc/9/environ": environment, **dict.fromkeys(files, login), "/srv/config.json": login},
        run=CommandResult(code=0, out="cri-dockerd 0.3.16", err=""),  # type: ignore[arg-type]
    )
    runtime = Runtime(kind="cri-dockerd", endpoint=endpoint, version=(24, 0, 7), pid=9)

    config = DockerConfig.observe(host, runtime, Processes(()))

    assert list(config.auth_files) == files
    [registry] = docker_hosts.chain(host, config, ImageReference.parse(PAUSE)).hosts
    assert registry.credentials is not None
    assert registry.credentials.source == files[0]


def test_docker_hub_is_neither_insecure_nor_in_certs_d() -> None:
    _, config = read({"insecure-registries": ["docker.io"]})
    files = FakeHost({"/etc/docker/certs.d/docker.io/ca.crt": ""})
    [hub] = docker_hosts.chain(files, config, ImageReference.parse(HUB)).hosts

    assert (hub.verify, hub.http_fallback, hub.ca_files) == (True, None, ())


def test_dockerds_flags_count_beside_its_file() -> None:
    assert urls(None, HUB, "--registry-mirror", "https://m") == ["https://m/v2", "https://registry-1.docker.io/v2"]


@pytest.mark.parametrize(
    ("registry", "insecure"),
    [
        ("m:5000", True),
        ("10.1.2.3", True),
        ("172.16.5.5:5000", True),
        ("192.0.2.1", True),
        ("192.0.2.1:5000", False),
        ("n:5000", True),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("11.1.2.3", False),
        ("m", False),
    ],
)
def test_an_insecure_registry_is_asked_without_verification_and_then_in_plain_http(
    registry: str, *, insecure: bool
) -> None:
    host, config = read(
        {"insecure-registries": ["m:5000", "10.0.0.0/8", "172.16.1.1/12", "192.0.2.1", "http://n:5000"]}
    )
    [one] = docker_hosts.chain(host, config, ImageReference.parse(f"{registry}/pause:1")).hosts

    assert one.verify is not insecure
    assert one.http_fallback == (f"http://{registry}/v2" if insecure else None)


@pytest.mark.parametrize("daemon", ["{", "[]", '{"a": }'])
def test_a_broken_daemon_json_is_a_problem(daemon: str) -> None:
    _, config = read(daemon)

    [problem] = config.problems
    assert problem.path == docker.CONFIG
    assert "does not start" in problem.message


def test_proxies_of_daemon_json_are_dockerds() -> None:
    _, config = read({"proxies": {"https-proxy": "http://p:3128", "no-proxy": "m"}})

    assert config.proxies is not None
    assert config.proxies.proxy_for("https://registry.k8s.io/v2/") == "http://p:3128"
    assert config.proxies.proxy_for("https://m/v2/") is None


def test_another_runtimes_node_has_no_docker_to_read() -> None:
    with pytest.raises(HostError, match="containerd"):
        DockerConfig.observe(FakeHost(), Runtime(kind="containerd"), Processes(()))
