"""The ports that this machine's part of a cluster needs, and who listens on them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from k8sdoctor.facts import numbers, yaml
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import ListeningSocket

EVERY = "0.0.0.0"  # noqa: S104 -- Go takes it as every address of both families (net favoriteAddrFamily)

API_SERVER = 6443
KUBELET = 10250
READ_ONLY = 10255
KUBE_PROXY = 10256
CONTROLLER_MANAGER = 10257
SCHEDULER = 10259
ETCD = (2379, 2380)

# By transport: the ports that pod networks use among nodes (flannel and Cilium VXLAN, Calico VXLAN, BGP).
NETWORK = {8472: "udp", 4789: "udp", 179: "tcp"}

_USUAL = (API_SERVER, KUBELET, READ_ONLY, KUBE_PROXY, CONTROLLER_MANAGER, SCHEDULER, *ETCD, *NETWORK)


@dataclass(frozen=True, slots=True)
class Need:
    """A TCP port that a program of this node binds, or will bind: on `address`, as `source` says."""

    program: str
    port: int
    address: str
    source: str


@dataclass(frozen=True, slots=True)
class Held:
    """A socket that listens, and the systemd unit of the process that holds it (None: it has none, or that is not known)."""

    socket: ListeningSocket
    unit: str | None = None

    @property
    def program(self) -> str:
        """The base name of its command; empty where its process is not known."""
        words = self.socket["cmdline"]
        return (words[0].rpartition("/")[2] if words else "") or self.socket["name"]

    def is_called(self, *names: str) -> bool:
        """Whether its program has one of these names, by the command line or as the kernel has it, cut at 15 characters."""
        return self.program in names or self.socket["name"] in [name[:15] for name in names]

    def overlaps(self, address: str) -> bool:
        """Whether nobody else can listen on that address and port beside it.

        A `::` is taken for both families, as the kernel has it unless a program asks otherwise (net.ipv6.bindv6only).
        """
        mine = ip_address(self.socket["address"])
        try:
            other = ip_address(address)
        except ValueError:  # a name
            return mine.is_unspecified
        if mine.is_unspecified and not other.is_unspecified:
            return mine.version == 6 or other.version == 4  # noqa: PLR2004 -- the families
        return other.is_unspecified or mine == other


@dataclass(frozen=True)
class Ports:
    """`needs` are the ports of the components that this machine runs or, before it joins, will run. `held` is who listens on them, and on those
    of pod networks and of the kubelet's reading without a login, `read_only` (0: it is off).
    """

    needs: tuple[Need, ...]
    held: tuple[Held, ...]
    read_only: int = 0

    def at(self, port: int, protocol: str = "tcp") -> tuple[Held, ...]:
        """Who listens on a port."""
        return tuple(each for each in self.held if each.socket["port"] == port and each.socket["protocol"] == protocol)

    @classmethod
    def observe(
        cls,
        host: Host,
        stage: Stage,
        kubelet: Kubelet | Unobserved,
        pods: StaticPods,
        planned: KubeadmConfig | Unobserved,
    ) -> Self:
        """Look at the configuration, then who listens. Raises what keeps us from the tables of sockets."""
        needs = tuple(_joined(kubelet, pods) if stage.joined else _planned(kubelet, planned))
        read_only = _read_only(kubelet)
        sockets = host.listeners([*_USUAL, *filter(None, [read_only]), *(need.port for need in needs)])
        return cls(needs, tuple(Held(socket, _unit(host, socket["pid"])) for socket in sockets), read_only)


def _unit(host: Host, pid: int | None) -> str | None:
    """The service that a process belongs to, by its cgroup; of a container's process there is none."""
    if pid is None:
        return None
    try:
        text = host.read(f"/proc/{pid}/cgroup")
    except HostError:
        return None
    for line in text.splitlines():
        path = line.rpartition(":")[2]
        name = path.rpartition("/")[2]
        if name.endswith(".service") and "kubepods" not in path:
            return name.removesuffix(".service")
    return None


# -- what is needed ------------------------------------------------------------------------------------------------------


def _of_kubelet(kubelet: Kubelet | Unobserved) -> Need:
    """cmd/kubelet/app/options, apis/config/v1beta1/defaults.go: port 10250 on every address."""
    if isinstance(kubelet, Unobserved):
        return Need("kubelet", KUBELET, EVERY, "the kubelet's default")
    flag = kubelet.flags.get("--port")
    port = flag or yaml.string(kubelet.config, "port") or ""
    address = kubelet.flags.get("--address") or yaml.string(kubelet.config, "address") or EVERY
    source = "--port" if flag else kubelet.config_path if port else "the kubelet's default"
    return Need("kubelet", _number(port, KUBELET), address, source)


def _read_only(kubelet: Kubelet | Unobserved) -> int:
    """Off by default in a configuration file, on port 10255 as a flag's default (cmd/kubelet/app/options); kubeadm has a file."""
    if isinstance(kubelet, Unobserved):
        return 0
    text = kubelet.flags.get("--read-only-port") or yaml.string(kubelet.config, "readOnlyPort") or "0"
    return _number(text, 0)


def _joined(kubelet: Kubelet | Unobserved, pods: StaticPods) -> Iterator[Need]:
    yield _of_kubelet(kubelet)
    for program, default in (
        ("kube-apiserver", API_SERVER),
        ("kube-controller-manager", CONTROLLER_MANAGER),
        ("kube-scheduler", SCHEDULER),
    ):
        for path, words in _commands(pods, program):
            port = _flag(words, "--secure-port")
            address = _flag(words, "--bind-address") or EVERY
            yield Need(program, _number(port, default), address, f"--secure-port in {path}" if port else path)
    for path, words in _commands(pods, "etcd"):
        for name, default in zip(("--listen-client-urls", "--listen-peer-urls"), ETCD, strict=True):
            for url in (_flag(words, name) or f"http://127.0.0.1:{default}").split(","):
                if (target := socket_of(url, default)) is not None:
                    yield Need("etcd", *target, f"{name} in {path}")


def _commands(pods: StaticPods, program: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The command line of a program that the kubelet runs on the node's own network, with its manifest."""
    for manifest, container in pods.containers():
        if manifest.host_network and container.program == program:
            yield manifest.path, container.words
            return


def _planned(kubelet: Kubelet | Unobserved, planned: KubeadmConfig | Unobserved) -> Iterator[Need]:
    """What kubeadm's preflight wants free (cmd/kubeadm/app/preflight/checks.go)."""
    yield _of_kubelet(kubelet)
    told = planned if isinstance(planned, KubeadmConfig) and planned.source and not planned.problem else None
    if told is not None and told.joins and not told.addons.control_plane:
        return
    source = told.source if told is not None and told.source else "kubeadm's default"
    # Until 1.36 preflight tries every address for each of them.
    yield Need("kube-apiserver", told.bind_port if told else API_SERVER, EVERY, source)
    yield Need("kube-controller-manager", CONTROLLER_MANAGER, EVERY, source)
    yield Need("kube-scheduler", SCHEDULER, EVERY, source)
    if told is None or not told.addons.external_etcd:
        for port in ETCD:
            yield Need("etcd", port, EVERY, source)


def _flag(words: tuple[str, ...], name: str) -> str | None:
    from k8sdoctor.facts.processes import flag

    return flag(words, name)


def _number(text: str | None, default: int) -> int:
    return numbers.port(text or "") or default


def socket_of(url: str, default: int) -> tuple[int, str] | None:
    """Port and address of a URL to listen on, or to ask this node at; None of what is no URL.

    >>> socket_of("https://localhost", 2379), socket_of("https://[fd00::1]:2380", 2379)
    ((2379, '127.0.0.1'), (2380, 'fd00::1'))
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port or default
    except ValueError:
        return None
    return port, {"localhost": "127.0.0.1", None: EVERY}.get(parts.hostname, parts.hostname or EVERY)
