"""kubeadm's names for its preflight checks, and which reasons of ours say the same.

The names are those of kubernetes cmd/kubeadm/app/preflight/checks.go (each check's `Name`), and of cmd/kubeadm/app/phases/upgrade/health.go and
preflight.go for `kubeadm upgrade`. A name that ends with `-*` stands for one for each port, program or path; a finding of ours about such a thing
carries that whole name among its traits, as `kubeadm:Port-6443`.
"""

from __future__ import annotations

from typing import NamedTuple

TRAIT = "kubeadm:"
"""What a trait begins with that holds the whole name of kubeadm's check about the same thing."""


class Name(NamedTuple):
    """One name, what kubeadm tests under it, and where that is judged here: checks with their reasons; a check without reasons as a whole.

    `until` is the release of kubeadm that no longer has it, empty where the newest has. `instead` says what is to be had where nothing here judges it.
    """

    name: str
    tests: str
    judged: tuple[tuple[str, tuple[str, ...]], ...] = ()
    until: str = ""
    instead: str = ""

    @property
    def many(self) -> bool:
        """Whether it stands for a name for each thing."""
        return self.name.endswith("*")


NAMES = (
    Name("NumCPU", "a control plane has 2 processors", (("resources", ("TooFewCpus",)),)),
    Name("Mem", "a control plane has 1700 MB of memory", (("resources", ("TooLittleMemory",)),)),
    Name(
        "IsPrivilegedUser",
        "kubeadm runs as root",
        instead="without root, each check says `unknown` of what only root may see",
    ),
    Name(
        "KubernetesVersion",
        "the version to install is not newer than kubeadm",
        (("kubeadm-config", ("VersionInvalid", "VersionTooNew")),),
    ),
    Name("Port-*", "nobody listens on the port", (("ports", ("PortTaken", "PlainHttp")),)),
    Name("FileAvailable-*", "the file is not there yet", (("leftovers", ("FilesLeft",)),)),
    Name(
        "DirAvailable-*",
        "the folder for etcd's data is empty",
        (("leftovers", ("EtcdFolderNotEmpty", "EtcdFolderIsMount")),),
    ),
    Name("HTTPProxy", "the API server is not reached through a proxy", (("proxy", ("ApiThroughProxy",)),)),
    Name("HTTPProxyCIDR", "services and pods are not reached through a proxy", (("proxy", ("ClusterThroughProxy",)),)),
    Name(
        "FileContent--proc-sys-net-ipv4-ip_forward",
        "the kernel forwards IPv4",
        (("ip-forward", ("ForwardingOff",)),),
    ),
    Name(
        "FileContent--proc-sys-net-ipv6-conf-default-forwarding",
        "the kernel forwards IPv6",
        (("ip-forward", ("Forwarding6Off",)),),
    ),
    Name(
        "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables",
        "bridged IPv4 passes iptables",
        (("br-netfilter", ("ModuleNotLoaded", "BridgeNfCallOff")),),
        until="1.30",
    ),
    Name(
        "FileContent--proc-sys-net-bridge-bridge-nf-call-ip6tables",
        "bridged IPv6 passes ip6tables",
        (("br-netfilter", ("BridgeNfCall6Off",)),),
        until="1.30",
    ),
    Name(
        "ExternalEtcdVersion",
        "an etcd outside the cluster is recent enough",
        (("external-etcd", ("EtcdTooOld", "EtcdUnreachable")),),
    ),
    Name(
        "ExternalEtcdClientCertificates",
        "the files to reach an etcd outside the cluster by are there",
        (("external-etcd", ("FileMissing",)),),
    ),
    Name("Firewalld", "firewalld is not active", (("firewall", ("PortsClosed",)),)),
    Name(
        "KubeletVersion",
        "the kubelet is neither newer than the control plane nor too old for kubeadm",
        (("version-skew", ("KubeletNewer", "KubeletTooOld")),),
    ),
    Name(
        "ImagePull",
        "the images of the control plane can be pulled",
        (("images", ()), ("pause-image", ("PauseImageDiffers",))),
    ),
    Name(
        "CRI",
        "the container runtime answers",
        (("node-ready", ("RuntimeDown", "CriNotServed")), ("kubeadm-config", ("SocketAbsent",))),
    ),
    Name(
        "ContainerRuntimeVersion",
        "the runtime tells its cgroup driver (since 1.35)",
        (("kubelet", ("RuntimeTooOld",)),),
    ),
    Name("Swap", "no swap is in use", (("swap", ("SwapOn", "SwapAtBoot")),)),
    Name("FileExisting-*", "the program is in the search path", (("tools", ("ToolMissing",)),)),
    Name(
        "SystemVerification",
        "kernel, its options and control groups are right",
        (
            (
                "kernel",
                ("KernelUntried", "OptionMissing", "FeatureMissing", "ModuleMissing", "ModulesGone", "ConfigUnknown"),
            ),
            ("cgroups", ("CgroupV1Refused", "ControllerMissing")),
        ),
    ),
    Name(
        "Hostname",
        "the node's name is one, and resolves",
        (
            ("hostname", ("HostnameInvalid", "HostnameLocal", "HostnameNotResolved")),
            ("kubeadm-config", ("NodeNameInvalid", "NodeNameNotResolved")),
        ),
    ),
    Name(
        "Service-Kubelet", "the kubelet's service exists and is enabled", (("kubelet", ("NotEnabled", "UnitMasked")),)
    ),
    Name(
        "CreateJob", "a Job can run, before an upgrade", instead="`control-plane` and `node-ready` judge what it needs"
    ),
    Name(
        "ControlPlaneNodesReady",
        "the control planes are ready, before an upgrade",
        (("node-ready", ("NotReady", "StatusUnknown")),),
    ),
    Name(
        "StaticPodManifest",
        "the static pods' manifests are there, before an upgrade",
        (("control-plane", ("ComponentDown",)),),
    ),
    Name(
        "CoreDNSUnsupportedPlugins",
        "the Corefile can be migrated, before an upgrade",
        instead="kubeadm alone judges it",
    ),
    Name("CoreDNSMigration", "the Corefile can be migrated, before an upgrade", instead="kubeadm alone judges it"),
)


class Omission(NamedTuple):
    """A reason of a check that the user left out by `given`. With `part`, only of findings about that thing."""

    check: str
    reason: str
    part: str | None
    given: str


def find(text: str) -> Name | None:
    """The name that a text is, in upper or lower case as for `--ignore-preflight-errors`; None where it is none.

    >>> find("numcpu").name, find("Port-6443").name, find("port-")
    ('NumCPU', 'Port-*', None)
    """
    folded = text.lower()
    for each in NAMES:
        known = each.name.lower()
        if folded == known or (each.many and folded.startswith(known[:-1]) and folded != known[:-1]):
            return each
    return None


def omissions(text: str, name: Name) -> list[Omission]:
    """What is left out of findings by one of kubeadm's names; a check that it stands for as a whole is not among them."""
    part = text.lower() if name.many else None
    return [Omission(check, reason, part, text) for check, reasons in name.judged for reason in reasons]


def whole(name: Name) -> list[str]:
    """The checks that a name stands for as a whole.

    >>> whole(find("ImagePull")), whole(find("Mem"))
    (['images'], [])
    """
    return [check for check, reasons in name.judged if not reasons]
