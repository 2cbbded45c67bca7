"""The API server of this node: the flags of its static pod, or of its process."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.facts.processes import Processes, flag, of_the_node
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.pod_manifest import Manifest
    from k8sdoctor.host import Host

SERVING_CERTIFICATE = "/etc/kubernetes/pki/apiserver.crt"
PORT = 6443  # kube-apiserver's default for --secure-port


@dataclass(frozen=True)
class ApiServer:
    """The API server that runs (or shall run) on this node.

    `source` is the manifest, or the process; None where there is no API server. `problem` is why nothing is known of a manifest that is there:
    it could not be read, or it is `malformed`.
    """

    source: str | None = None
    words: tuple[str, ...] = ()
    problem: Unobserved | None = None
    malformed: bool = False

    def flag(self, name: str) -> str | None:
        """The value of a flag of its command line."""
        return flag(self.words, name)

    @property
    def address(self) -> str | None:
        """The address that it tells others, `--advertise-address`."""
        return self.flag("--advertise-address")

    @property
    def port(self) -> int:
        """The port that it serves."""
        return numbers.port(self.flag("--secure-port") or "") or PORT

    @property
    def certificate(self) -> str:
        """The file with the certificate that it serves."""
        return self.flag("--tls-cert-file") or SERVING_CERTIFICATE

    @property
    def service_address(self) -> str | None:
        """The first address of the first service subnet."""
        return first_address((self.flag("--service-cluster-ip-range") or "").split(",")[0])

    @classmethod
    def observe(
        cls,
        host: Host,
        pods: StaticPods | Unobserved,
        processes: Processes | Unobserved,
    ) -> Self:
        """Look for its manifest among the static pods; without one, look at the processes. Never raises."""
        if isinstance(pods, StaticPods):
            if pods.problem is not None:
                return cls(f"{pods.folder}/kube-apiserver.yaml", problem=pods.problem)
            manifest = pods.find("kube-apiserver")
            if manifest is not None:
                return cls._of(manifest)
        running = of_the_node(host, processes.named("kube-apiserver")) if isinstance(processes, Processes) else ()
        if not running:
            return cls()
        return cls(f"command line of kube-apiserver, pid {running[0]['pid']}", tuple(running[0]["cmdline"]))

    @classmethod
    def _of(cls, manifest: Manifest) -> Self:
        path, container = manifest.path, manifest.container("kube-apiserver")
        if manifest.fault == "unreadable":
            return cls(path, problem=Unobserved(manifest.reason, manifest.problem))
        if container is not None and container.words:  # what else is wrong with the file is no matter here
            return cls(path, container.words)
        problem = manifest.problem or f"{path}: names no container with a command"
        return cls(path, problem=Unobserved("Unreadable", problem, frozenset({f"file:{path}"})), malformed=True)


def first_address(subnet: str) -> str | None:
    """The address of a subnet that the service `kubernetes` takes (kubeadm constants.GetAPIServerVirtualIP).

    >>> first_address("10.96.0.0/16")
    '10.96.0.1'
    >>> first_address("fd00:10:96::/112")
    'fd00:10:96::1'
    >>> first_address("nonsense")
    """
    try:
        network = ip_network(subnet.strip(), strict=False)
    except ValueError:
        return None
    return str(network.network_address + 1)
