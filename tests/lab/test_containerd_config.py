"""containerd of Debian is the oracle: what we read from its files, and what it does with them, must be the same."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts import containerd_hosts, versions
from k8sdoctor.facts.containerd import CONFIG, ContainerdConfig
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.registry_hosts import PullConfig, RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import cri
from k8sdoctor.host.live import LiveHost
from tests.facts.test_containerd import CASES, Case
from tests.lab.containerd import Containerd
from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.registry_chain import RegistryChain, RegistryHost
    from tests.lab.node import Daemon

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd")]

NOT_HERE = Unobserved("NotFound", "not the runtime here")
V2 = 'plugins."io.containerd.grpc.v1.cri"'


@pytest.fixture(scope="module")
def node() -> Iterator[LabNode]:
    with LabNode() as node:
        yield node


def version_of(node: LabNode) -> versions.Version:
    found = versions.parse(node.run(["containerd", "--version"]).stdout)
    assert found is not None
    return found


# -- the sandbox image -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if case.files], ids=lambda case: case.sentence)
def test_containerd_takes_the_sandbox_image_that_we_read(node: LabNode, case: Case) -> None:
    # Whatever release the case is about, the one installed makes something of its files, too.
    node.run(["rm", "-rf", "/etc/containerd"])
    for path, text in (case.files if isinstance(case.files, dict) else {CONFIG: case.files}).items():
        node.write(path, text)

    dumped = node.run(["containerd", "config", "dump"], check=False)
    ours = ContainerdConfig.read(LiveHost(str(node.root)), version_of(node))

    refused = [problem for problem in ours.problems if "no pod can start" not in problem.message]
    assert (dumped.returncode != 0) is bool(refused), dumped.stderr
    if not refused:
        plugins: Any = tomllib.loads(dumped.stdout)["plugins"]
        assert ours.sandbox_image == plugins.get("cri", plugins.get("io.containerd.grpc.v1.cri"))["sandbox_image"]


# -- the chain of hosts ------------------------------------------------------------------------------------------------------------

REGISTRY = "192.0.2.1:5000"
FOLDER = "/etc/containerd/certs.d/192.0.2.1_5000_"
IMAGE = ImageReference.parse(f"{REGISTRY}/k8s/pause:3.6")
PORTS = range(5000, 5006)

# Whoever is asked says only who asked for what: a request's first line, or that TLS was spoken. The answer is always «not there», so that
# the next one is asked.
_LISTENER = """
import socket, sys, threading

def serve(server, port):
    while True:
        connection, _ = server.accept()
        with connection:
            first = connection.recv(65536)
            if first[:1] == b"\\x16":
                print(port, "TLS", flush=True)
            elif first:
                print(port, first.decode().split(" HTTP/")[0], flush=True)
                connection.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")

for port in map(int, sys.argv[1:]):
    threading.Thread(target=serve, args=(socket.create_server(("192.0.2.1", port)), port)).start()
print("ready", flush=True)
"""


@pytest.fixture(scope="module")
def registries(node: LabNode) -> Daemon:
    daemon = node.popen(["/usr/bin/python3", "-c", _LISTENER, *map(str, PORTS)], far=True)
    wait_for(lambda: "ready" in daemon.log, "the registries")
    return daemon


@pytest.fixture(scope="module")
def containerd(node: LabNode) -> Containerd:
    node.run(["rm", "-rf", "/etc/containerd"])
    return Containerd(node)


def configure(containerd: Containerd, toml: str, **environment: str) -> None:
    """Restart it with this text at the end of its configuration."""
    containerd.env = environment
    containerd.node.write(CONFIG, f"version = 2\n[{V2}]\nrestrict_oom_score_adj = true\n{toml}")
    containerd.restart()


def asked(containerd: Containerd, registries: Daemon, image: str = str(IMAGE)) -> list[str]:
    """Let containerd pull, and tell whom it asked."""
    before = len(registries.log.splitlines())
    with pytest.raises(cri.CallError):
        containerd.call("ImageService/PullImage", {"image": {"image": image}})
    return registries.log.splitlines()[before:]


def as_seen(host: RegistryHost) -> str:
    port = host.base_url.partition("//")[2].partition("/")[0].rpartition(":")[2]
    if host.base_url.startswith("https:"):
        return f"{port} TLS"
    path = "/" + host.url(host.manifest).partition("//")[2].partition("/")[2]
    return f"{port} HEAD {path.replace('192.0.2.1:5000', '192.0.2.1%3A5000')}"


def foretold(node: LabNode, image: ImageReference = IMAGE) -> RegistryChain:
    host = LiveHost(str(node.root))
    return containerd_hosts.chain(host, ContainerdConfig.read(host, version_of(node)), image)


CONFIG_PATH = f'[{V2}.registry]\nconfig_path = "/etc/containerd/certs.d"\n'

FILES = {
    "mirrors in the order of the file": '[host."http://192.0.2.1:5002"]\n[host."http://192.0.2.1:5001"]\n',
    "a server in the registry's place": 'server = "http://192.0.2.1:5003"\n[host."http://192.0.2.1:5001"]\n',
    "a server alone": 'server = "http://192.0.2.1:5003"\n',
    "no scheme": '[host."192.0.2.1:5001"]\n',
    "a path": '[host."http://192.0.2.1:5001/a/b/"]\n',
    "a path that ends with v2": '[host."http://192.0.2.1:5001/a/v2"]\n',
    "a slash": '[host."http://192.0.2.1:5001/"]\n',
    "override_path": '[host."http://192.0.2.1:5001/v2/a"]\noverride_path = true\n',
    "override_path without a path": '[host."http://192.0.2.1:5001"]\noverride_path = true\n',
    "pull alone": '[host."http://192.0.2.1:5001"]\ncapabilities = ["pull"]\n',
    "pull and resolve": '[host."http://192.0.2.1:5001"]\ncapabilities = ["pull", "resolve"]\n',
    "no capabilities": '[host."http://192.0.2.1:5001"]\ncapabilities = []\n',
    "an unknown capability": '[host."http://192.0.2.1:5001"]\ncapabilities = ["pull", "resolve", "referrers"]\n',
    "nobody may resolve": 'server = "http://192.0.2.1:5003"\ncapabilities = ["pull"]\n[host."http://192.0.2.1:5001"]\ncapabilities = ["push"]\n',
    "no TOML": '[host."http://192.0.2.1:5001"\n',
    "skip_verify as text": '[host."http://192.0.2.1:5001"]\nskip_verify = "true"\n',
    "skip_verify and http": '[host."http://192.0.2.1:5001"]\nskip_verify = true\n',
    "a list of tables": '[[host]]\nurl = "http://192.0.2.1:5001"\n',
    "an inline table": 'host = {"http://192.0.2.1:5001" = {capabilities = ["pull", "resolve"]}}\n',
    "a CA that is not there": '[host."http://192.0.2.1:5001"]\nca = "nowhere.pem"\n',
    "a CA that is none": '[host."http://192.0.2.1:5001"]\nca = "hosts.toml"\n',
    "a CA of a mirror that is skipped": '[host."http://192.0.2.1:5001"]\ncapabilities = ["pull"]\nca = "nowhere.pem"\n',
    "a client certificate that is not there": '[host."http://192.0.2.1:5001"]\nclient = "nowhere.pem"\n',
    "an empty file": "",
    "a port that is none": '[host."http://192.0.2.1:port"]\n',
    "a bracket that is not closed": '[host."http://[::1"]\n',
    "a name that begins with http": '[host."httpmirror:5001"]\n',
}


@pytest.fixture(scope="module")
def with_config_path(containerd: Containerd, registries: Daemon) -> tuple[Containerd, Daemon]:
    configure(containerd, CONFIG_PATH)
    return containerd, registries


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_containerd_asks_the_hosts_that_we_foretell(
    node: LabNode, with_config_path: tuple[Containerd, Daemon], text: str
) -> None:
    node.write(f"{FOLDER}/hosts.toml", text)

    seen = asked(*with_config_path)
    found = foretold(node)

    stopped = [stopper for stopper in found.stoppers if stopper.base_url is None]
    assert seen == ([] if stopped else [as_seen(host) for host in found.hosts]), found


@pytest.mark.parametrize("name", ["192.0.2.1_5000_", "192.0.2.1:5000", "_default"])
def test_containerd_looks_into_the_folders_that_we_look_into(
    node: LabNode, with_config_path: tuple[Containerd, Daemon], name: str
) -> None:
    node.run(["rm", "-rf", "/etc/containerd/certs.d"])
    node.write(f"/etc/containerd/certs.d/{name}/hosts.toml", '[host."http://192.0.2.1:5001"]\n')
    node.write("/etc/containerd/certs.d/_default/hosts.toml", '[host."http://192.0.2.1:5001"]\n')

    assert asked(*with_config_path) == [as_seen(host) for host in foretold(node).hosts]


@pytest.mark.parametrize(
    "toml",
    [
        f'[{V2}.registry.mirrors."*"]\nendpoint = ["http://192.0.2.1:port", "http://192.0.2.1:5002"]\n',
        f'[{V2}.registry.mirrors."*"]\nendpoint = ["http://", "http://192.0.2.1:5002"]\n',
        "",
        f'[{V2}.registry]\nconfig_path = "/nowhere:/etc/containerd/certs.d"\n',
        f'[{V2}.registry.mirrors."{REGISTRY}"]\nendpoint = ["http://192.0.2.1:5002", "192.0.2.1:5001", "http://192.0.2.1:5003/"]\n',
        f'[{V2}.registry.mirrors."*"]\nendpoint = ["http://192.0.2.1:5002/v2/a"]\n',
        f'[{V2}.registry.mirrors."{REGISTRY}"]\nendpoint = ["http://192.0.2.1:5000", "http://192.0.2.1:5001"]\n',
        f'[{V2}.registry.mirrors."{REGISTRY}"]\nendpoint = ["http://192.0.2.1:5001"]\n[{V2}.registry.configs."192.0.2.1:5001".tls]\nca_file = "/nowhere.pem"\n',
    ],
    ids=[
        "a port that is none",
        "no host",
        "hosts.toml without config_path",
        "a list of folders",
        "mirrors",
        "mirrors for all",
        "itself",
        "a CA of old",
    ],
)
def test_containerd_reads_mirrors_from_where_we_read_them(
    node: LabNode, containerd: Containerd, registries: Daemon, toml: str
) -> None:
    node.write(f"{FOLDER}/hosts.toml", '[host."http://192.0.2.1:5001"]\n')
    configure(containerd, toml)

    seen = asked(containerd, registries)
    found = foretold(node)

    assert seen == ([] if found.stoppers else [as_seen(host) for host in found.hosts]), found


def test_containerd_uses_the_proxy_of_its_own_environment(
    node: LabNode, containerd: Containerd, registries: Daemon
) -> None:
    node.run(["rm", "-rf", "/etc/containerd/certs.d"])
    configure(containerd, CONFIG_PATH, HTTPS_PROXY="http://192.0.2.1:5004", NO_PROXY="192.0.2.2")
    host = LiveHost(str(node.root))
    [daemon] = [process for process in Processes.observe(host).named("containerd") if process["cmdline"]]  # no zombie
    runtime = Runtime(kind="containerd", version=version_of(node), pid=daemon["pid"])
    config = ContainerdConfig.observe(host, runtime)
    image = SandboxImage.observe(host, runtime, config, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE, NOT_HERE)
    found = RegistryHosts.observe(host, image, PullConfig.observe(host, runtime, config, NOT_HERE, NOT_HERE))

    assert found.proxy.proxy_for("https://registry.k8s.io/v2/") == "http://192.0.2.1:5004"
    assert found.proxy.proxy_for("https://192.0.2.2/v2/") is None
    assert asked(containerd, registries) == ["5004 CONNECT 192.0.2.1:5000"]


def test_a_file_changed_under_a_running_daemon_is_not_what_it_uses(node: LabNode, containerd: Containerd) -> None:
    configure(containerd, 'sandbox_image = "held/pause:1"\n')
    node.write(CONFIG, f'version = 2\n[{V2}]\nsandbox_image = "new/pause:2"\n{CONFIG_PATH}')
    host = LiveHost(str(node.root))
    answer = containerd.status()["info"]["config"]
    told = answer if isinstance(answer, dict) else json.loads(answer)
    config = ContainerdConfig.read(host, version_of(node), running=told)

    assert (config.sandbox_image, config.written_image) == ("held/pause:1", "new/pause:2")
    assert config.config_path == ""
    assert {one.kind for one in config.ignored} == {"not-loaded"}
    assert len(config.ignored) == 2
