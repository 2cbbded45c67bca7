"""What of a configuration's values kubeadm refuses, and what does not fit this machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.checks import _kubeadm_subnets, _proxy_modes
from k8sdoctor.checks._kubeadm_plan import Plan
from k8sdoctor.checks._node_ready_links import runtime_ends
from k8sdoctor.facts import versions
from k8sdoctor.facts.cri_sockets import CriSockets
from k8sdoctor.facts.kubeadm import PLACEHOLDER_ADDRESS, PLACEHOLDER_TOKEN
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.planned_name import PlannedName
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, unknown, warn
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.kubeadm_documents import KubeadmDocument
    from k8sdoctor.host import Json

# kubernetes cmd/kubeadm/app/util/version.go, and a build's name in front (`ci/`, `release/`)
_RELEASE = regex(r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-\w.+]*)?")
_LABEL = regex(r"((release|ci)/)?(latest|stable)[-\w.+]*")

# k8s.io/apimachinery pkg/util/validation: IsDNS1123Subdomain
_LABELS = regex(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253

_HASH = regex(r"(?i)sha256:[0-9a-f]{64}")
_REPOSITORY = regex(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*|\[[0-9a-fA-F:]+\](:\d+)?(/[a-z0-9._/-]+)?"
)

_MODES = ("", "iptables", "ipvs", "nftables")
_NFTABLES = (1, 29, 0)  # alpha then, behind a gate until 1.31
_IPVS_DEPRECATED = (1, 35, 0)  # kubernetes/kubernetes cmd/kube-proxy/app/server_linux.go

NO_RUNTIME = "kubeadm and the kubelet will ask this socket, and nothing listens there"


def findings(plan: Plan) -> Iterator[Finding]:
    """All that is wrong with the values."""
    documents = plan.documents
    cluster, init, join = (documents.of(f"{kind}Configuration") for kind in ("Cluster", "Init", "Join"))
    for local in (init, join):
        if local is not None:
            yield from _address(plan, local, cluster)
            yield from _node_name(plan, local)
            yield from _socket(plan, local)
    if init or cluster or join:
        yield from _resolved(plan)
        local = init or join
        if not (local and local.text("nodeRegistration", "criSocket")):
            yield from several_runtimes(plan.sockets, plan)
    if cluster is not None:
        yield from _version(plan, cluster)
        yield from _repositories(plan, cluster)
        yield from _domain(plan, cluster)
    if cluster is not None or init is not None:
        yield from _kubeadm_subnets.findings(plan, cluster)
    if init is not None:
        yield from _kubeadm_subnets.address_family(plan, cluster, init)
    yield from _token(plan, init)
    if join is not None:
        yield from _discovery(plan, join)
    proxy = documents.of("KubeProxyConfiguration")
    if proxy is not None:
        yield from _proxy(plan, proxy)


# -- this machine ----------------------------------------------------------------------------------------------------


def _address(plan: Plan, local: KubeadmDocument, cluster: KubeadmDocument | None) -> Iterator[Finding]:
    above = ("controlPlane",) if local.kind == "JoinConfiguration" else ()
    path = (*above, "localAPIEndpoint", "advertiseAddress")
    text = local.text(*path)
    if not text:
        return
    where, line, seen = plan.where(local, *path)
    subject = ".".join(path)
    if text == PLACEHOLDER_ADDRESS:
        yield fail(
            "AddressPlaceholder",
            f"{where}: {subject} is {text}, the placeholder of `kubeadm config print init-defaults`.",
            subject=subject,
            evidence=[seen, *_own_addresses(plan)],
            fix=plan.edit("Write an address of this machine, or leave the field out", line),
        )
        return
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.is_multicast or address.is_link_local:
        yield fail(
            "AddressInvalid",
            f"{where}: {subject} is {text}, which is no address that an API server can advertise.",
            subject=subject,
            evidence=[seen, *_own_addresses(plan)],
            fix=plan.edit("Write an IP address of this machine", line),
        )
    elif address.is_unspecified or address.is_loopback:
        return  # kubeadm finds one itself (SetAPIEndpointDynamicDefaults)
    elif isinstance(plan.network, Unobserved):
        yield unknown(
            plan.network.reason, f"Whether {text} is an address of this machine is not known: {plan.network.message}."
        )
    elif address not in _addresses(plan.network):
        outside = cluster is not None and isinstance(cluster.at("etcd", "external"), dict)
        tell = warn if outside else fail
        why = (
            "others reach the API server only where something passes it on"
            if outside
            else "etcd and the API server cannot listen there"
        )
        yield tell(
            "AddressNotHere",
            f"{where}: {subject} is {text}, and no interface of this machine has it; {why}.",
            subject=subject,
            evidence=[seen, *_own_addresses(plan)],
            fix=plan.edit("Write an address of this machine", line),
        )


def _addresses(network: NodeNetwork) -> list[IPv4Address | IPv6Address]:
    return [ip_address(entry["address"]) for entry in network.addresses]


def _own_addresses(plan: Plan) -> list[Evidence]:
    if isinstance(plan.network, Unobserved):
        return []
    found = [str(each) for each in _addresses(plan.network) if not each.is_loopback and not each.is_link_local]
    return [Evidence("addresses of this machine", ", ".join(found) or "none")]


def is_name(text: str) -> bool:
    """Whether a text is a subdomain as RFC 1123 has it, and so a name for a Node."""
    return len(text) <= _LONGEST_NAME and _LABELS.fullmatch(text) is not None


def _node_name(plan: Plan, local: KubeadmDocument) -> Iterator[Finding]:
    text = local.text("nodeRegistration", "name")
    if text is None:
        return
    where, line, seen = plan.where(local, "nodeRegistration", "name")
    if not is_name(text.strip().lower()):
        yield fail(
            "NodeNameInvalid",
            f'{where}: nodeRegistration.name is "{text}"; a Node\'s name is of lower-case letters, digits, dashes and dots, and begins and '
            "ends with a letter or digit.",
            subject="nodeRegistration.name",
            evidence=[seen],
            fix=plan.edit("Write a name that a Node can have, or leave the field out", line),
        )
    elif text == "node" and not (isinstance(plan.name, PlannedName) and plan.name.addresses):
        yield warn(
            "NodeNamePlaceholder",
            f'{where}: nodeRegistration.name is "node", the placeholder of `kubeadm config print init-defaults`.',
            subject="nodeRegistration.name",
            evidence=[seen],
            fix=plan.edit("Write this machine's name, or leave the field out", line),
        )


def _resolved(plan: Plan) -> Iterator[Finding]:
    """The preflight of kubeadm only warns (HostnameCheck): what a Node needs is an address, and the kubelet finds one by itself."""
    known = plan.name
    if isinstance(known, Unobserved) or known.name is None or known.addresses:
        return
    if not is_name(known.name):
        if not known.written:
            yield fail(
                "NodeNameInvalid",
                f'The host name is "{known.name}", which is no name for a Node, and the configuration gives none.',
                subject=known.name,
                evidence=[Evidence("host name", known.name)],
                fix=Fix(
                    "Give the machine a name of lower-case letters, digits and dashes, or write nodeRegistration.name",
                    ("hostnamectl status",),
                    "hostname",
                    Safety.MANUAL,
                ),
            )
        return
    if known.written and known.name == "node":
        return  # said already
    yield warn(
        "NodeNameNotResolved",
        f"This machine cannot resolve the name {known.name}, by which it is to be a Node: {(known.error or 'no address').rstrip('.')}.",
        subject=known.name,
        evidence=[Evidence(f"resolving {known.name}", known.error or "no address")],
        fix=Fix(
            "Write the name into /etc/hosts",
            (f"echo '{_first_address(plan)} {known.name}' >> /etc/hosts",),
            f"getent hosts {known.name}",
            Safety.SAFE,
        ),
    )


def _first_address(plan: Plan) -> str:
    """An address of this machine that others reach: one of the default route's interface, else any."""
    if isinstance(plan.network, Unobserved):
        return "ADDRESS"
    uplinks = {link["index"] for link in plan.network.links if link["name"] in plan.network.uplinks}
    found = [entry for entry in plan.network.addresses if _is_global(entry["address"])]
    best = sorted(found, key=lambda entry: entry["index"] not in uplinks)
    return best[0]["address"] if best else "ADDRESS"


def _is_global(text: str) -> bool:
    address = ip_address(text)
    return not address.is_loopback and not address.is_link_local


# -- the runtime's socket --------------------------------------------------------------------------------------------


def _socket(plan: Plan, local: KubeadmDocument) -> Iterator[Finding]:
    text = local.text("nodeRegistration", "criSocket")
    if text is None:
        return
    where, line, seen = plan.where(local, "nodeRegistration", "criSocket")
    subject = "nodeRegistration.criSocket"
    scheme, separator, path = text.partition("://")
    if not separator:
        path = text
    if (separator and scheme != "unix") or not path.startswith("/"):
        yield fail(
            "SocketInvalid",
            f"{where}: {subject} is {text}; kubeadm wants unix:// and a path.",
            subject=subject,
            evidence=[seen],
            fix=plan.edit("Write unix:// and the path of the runtime's socket", line),
        )
        return
    if not separator:
        yield warn(
            "SocketWithoutScheme",
            f"{where}: {subject} is {text}, without unix:// in front; kubeadm adds it and warns that it is deprecated.",
            subject=subject,
            evidence=[seen],
            fix=plan.edit(f"Write unix://{text}", line),
        )
    yield from _at_the_socket(plan, path, where, line, seen)


def _at_the_socket(plan: Plan, path: str, where: str, line: int, seen: Evidence) -> Iterator[Finding]:
    subject = "nodeRegistration.criSocket"
    sockets = plan.sockets
    if isinstance(sockets, Unobserved):
        yield unknown(sockets.reason, f"Whether {path} is there is not known: {sockets.message}.", subject=path)
        return
    if sockets.planned == path and sockets.planned_is != "socket":
        others = f"; there is {', '.join(sockets.there)}" if sockets.there else ""
        seen_there = "is not there" if sockets.planned_is == "absent" else f"is a {sockets.planned_is}"
        yield fail(
            "SocketAbsent",
            f"{where}: {subject} names {path}, which {seen_there}{others}.",
            subject=path,
            evidence=[seen, Evidence(path, seen_there)],
            fix=plan.edit("Start that runtime, or name the socket of the one that runs", line),
            explains=[
                Link("cni-config", "RuntimeUnreachable", NO_RUNTIME),
                Link("pause-image", "RuntimeUnreachable", NO_RUNTIME),
                # Where no other runtime is, the one that is planned may be down: then that is the cause.
                *(runtime_ends(NO_RUNTIME) if sockets.there else []),
            ],
        )
        return
    used = (plan.kubelet.runtime_endpoint or "").removeprefix("unix://")
    if plan.kubelet.pid and used and _run(used) != _run(path):
        yield warn(
            "SocketDiffers",
            f"{where}: {subject} names {path}, and the kubelet that runs here uses {used}.",
            subject=path,
            evidence=[seen, Evidence("kubelet", used)],
            fix=plan.edit(
                "Name the socket that the kubelet uses, or move the node to the other runtime on purpose", line
            ),
        )


def _run(path: str) -> str:
    """A path with /run for /var/run, which is a link to it."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def several_runtimes(sockets: CriSockets | Unobserved, plan: Plan | None) -> Iterator[Finding]:
    """Judge that kubeadm refuses to choose (`detectCRISocketImpl` of `cmd/kubeadm/app/util/runtime/runtime.go`); a flag may choose where no file does."""
    if isinstance(sockets, Unobserved) or len(sockets.there) < 2:  # noqa: PLR2004 -- more than one
        return
    names = ", ".join(sockets.there)
    if plan is None:
        yield warn(
            "SeveralRuntimes",
            f"This machine has several runtimes' sockets, so kubeadm has to be told which one to use: {names}.",
            subject=names,
            evidence=[Evidence(path, "socket") for path in sockets.there],
            fix=Fix(
                "Tell kubeadm by --cri-socket or criSocket, or stop the runtime that is not wanted",
                (
                    "systemctl list-units --type=service containerd.service crio.service cri-docker.service docker.service",
                ),
                f"ls -l {' '.join(sockets.there)}",
                Safety.MANUAL,
            ),
        )
        return
    yield fail(
        "SeveralRuntimes",
        f"{plan.documents.path} names no criSocket, and this machine has several runtimes' sockets, so kubeadm refuses: {names}.",
        subject=names,
        evidence=[Evidence(path, "socket") for path in sockets.there],
        fix=plan.edit(f"Write criSocket: unix://{sockets.there[0]} (or the other) below nodeRegistration", None),
    )


# -- the cluster -----------------------------------------------------------------------------------------------------


def _version(plan: Plan, cluster: KubeadmDocument) -> Iterator[Finding]:
    text = cluster.text("kubernetesVersion")
    if not isinstance(cluster.at("kubernetesVersion"), str) or not text:
        return
    where, line, seen = plan.where(cluster, "kubernetesVersion")
    if _LABEL.fullmatch(text):
        return
    if not _RELEASE.fullmatch(text):
        yield fail(
            "VersionInvalid",
            f"{where}: kubernetesVersion is {text}, neither a whole release such as v1.36.2 nor a label such as stable-1.36.",
            subject="kubernetesVersion",
            evidence=[seen],
            fix=plan.edit("Write a whole release", line),
        )
        return
    wanted, release = versions.parse(text), plan.release
    if wanted is None or release is None:
        return
    who = versions.text(release)
    if wanted[:2] > release[:2]:
        yield warn(
            "VersionTooNew",
            f"{where}: kubernetesVersion is {text}, newer than kubeadm {who}, which knows nothing of that release.",
            subject="kubernetesVersion",
            evidence=[seen, Evidence("kubeadm version", who)],
            fix=plan.edit("Install the kubeadm of that release, or plan this one's", line),
        )
    elif wanted[:2] < (release[0], release[1] - 1):
        yield fail(
            "VersionTooOld",
            f"{where}: kubernetesVersion is {text}, and kubeadm {who} installs {release[0]}.{release[1] - 1} and later.",
            subject="kubernetesVersion",
            evidence=[seen, Evidence("kubeadm version", who)],
            fix=plan.edit("Install the kubeadm of that release, or plan this one's", line),
        )


def _repositories(plan: Plan, cluster: KubeadmDocument) -> Iterator[Finding]:
    for path in (("imageRepository",), ("dns", "imageRepository"), ("etcd", "local", "imageRepository")):
        text = cluster.text(*path)
        if text is None or _REPOSITORY.fullmatch(text):
            continue
        where, line, seen = plan.where(cluster, *path)
        scheme = " It begins with a scheme, which image names do not have." if "://" in text else ""
        yield fail(
            "RepositoryInvalid",
            f"{where}: {'.'.join(path)} is {text}, which is no registry with a path.{scheme}",
            subject=".".join(path),
            evidence=[seen],
            fix=plan.edit("Write registry and path alone, such as registry.k8s.io", line),
            explains=[Link("images", "InvalidImageName", "kubeadm puts this in front of every image's name")],
        )


def _domain(plan: Plan, cluster: KubeadmDocument) -> Iterator[Finding]:
    text = cluster.text("networking", "dnsDomain")
    if text is None:
        return
    where, line, seen = plan.where(cluster, "networking", "dnsDomain")
    if not is_name(text):
        yield fail(
            "DomainInvalid",
            f"{where}: networking.dnsDomain is {text}, which is no domain of lower-case letters, digits, dashes and dots.",
            subject="networking.dnsDomain",
            evidence=[seen],
            fix=plan.edit("Write a domain", line),
        )
    elif isinstance(plan.resolvers, Resolvers) and not plan.stage.joined and text in plan.resolvers.searches:
        yield warn(
            "DomainClash",
            f"{where}: networking.dnsDomain is {text}, in which this machine looks for names already; pods will be told that none of those exists.",
            subject="networking.dnsDomain",
            evidence=[seen, Evidence("search in resolv.conf", " ".join(plan.resolvers.searches))],
            fix=plan.edit("Choose a domain that is used for nothing else", line),
        )


def _token(plan: Plan, init: KubeadmDocument | None) -> Iterator[Finding]:
    listed = init.at("bootstrapTokens") if init else None
    for place, entry in enumerate(listed if isinstance(listed, list) else []):
        if init is not None and isinstance(entry, dict) and entry.get("token") == PLACEHOLDER_TOKEN:
            where, line, _ = plan.where(init, "bootstrapTokens", place, "token")
            yield warn(
                "TokenPlaceholder",
                f"{where}: the bootstrap token is the one of `kubeadm config print init-defaults`, with which anybody may join until it expires.",
                subject=f"bootstrapTokens[{place}].token",
                evidence=[Evidence(f"{plan.documents.path}:{line}", "the token of kubeadm's defaults")],
                fix=plan.edit(
                    "Leave the token out, and kubeadm makes one (or take one of `kubeadm token generate`)", line
                ),
            )


# -- joining ---------------------------------------------------------------------------------------------------------


def _discovery(plan: Plan, join: KubeadmDocument) -> Iterator[Finding]:
    """As `ValidateDiscovery` of kubeadm's validation.go."""
    token, file = join.at("discovery", "bootstrapToken"), join.at("discovery", "file")
    where, _, seen = plan.where(join, "discovery")
    wrong = None
    if token is None and file is None:
        wrong = "neither discovery.bootstrapToken nor discovery.file is set"
    elif token is not None and file is not None:
        wrong = "discovery.bootstrapToken and discovery.file are both set"
    elif token is not None and not join.text("discovery", "bootstrapToken", "apiServerEndpoint"):
        wrong = "discovery.bootstrapToken has no apiServerEndpoint"
    elif (
        isinstance(token, dict) and not token.get("caCertHashes") and token.get("unsafeSkipCAVerification") is not True
    ):
        wrong = "discovery.bootstrapToken has no caCertHashes, so nothing tells the right cluster from another"
    if wrong:
        yield fail(
            "DiscoveryInvalid",
            f"{where}: {wrong}, so kubeadm refuses to join.",
            subject="discovery",
            evidence=[seen],
            fix=Fix(
                "Take what a control plane of the cluster prints",
                ("kubeadm token create --print-join-command  # on a control plane",),
                f"kubeadm config validate --config {quote(plan.documents.path or '')}",
                Safety.MANUAL,
            ),
        )
    if isinstance(token, dict):
        yield from _hashes(plan, join, token)


def _hashes(plan: Plan, join: KubeadmDocument, token: dict[str, Json]) -> Iterator[Finding]:
    hashes = token.get("caCertHashes")
    for place, text in enumerate(hashes if isinstance(hashes, list) else []):
        if not (isinstance(text, str) and _HASH.fullmatch(text)):
            where, line, seen = plan.where(join, "discovery", "bootstrapToken", "caCertHashes", place)
            yield fail(
                "CaHashInvalid",
                f"{where}: {text} is no hash of a CA's public key, which is sha256: and 64 hexadecimal digits.",
                subject=f"caCertHashes[{place}]",
                evidence=[seen],
                fix=plan.edit("Copy the whole hash that `kubeadm token create --print-join-command` prints", line),
            )
    if token.get("unsafeSkipCAVerification") is True and not hashes:
        where, line, seen = plan.where(join, "discovery", "bootstrapToken", "unsafeSkipCAVerification")
        yield warn(
            "CaUnverified",
            f"{where}: the node joins whoever answers at that address, for unsafeSkipCAVerification is true and no caCertHashes is given.",
            subject="discovery.bootstrapToken.unsafeSkipCAVerification",
            evidence=[seen],
            fix=plan.edit("Give caCertHashes, as `kubeadm token create --print-join-command` prints it", line),
        )


# -- kube-proxy ------------------------------------------------------------------------------------------------------


def _proxy(plan: Plan, proxy: KubeadmDocument) -> Iterator[Finding]:
    mode = proxy.text("mode") or ""
    where, line, seen = plan.where(proxy, "mode")
    if mode not in _MODES:
        yield fail(
            "ProxyModeUnknown",
            f"{where}: kube-proxy has no mode {mode} on Linux; it has iptables, ipvs and nftables.",
            subject="mode",
            evidence=[seen],
            fix=plan.edit("Write one of these", line),
        )
        return
    kernel = plan.kernel
    if isinstance(kernel, Unobserved):
        if mode in ("ipvs", "nftables"):
            yield unknown(kernel.reason, f"Whether the kernel has what {mode} needs is not known: {kernel.message}.")
        return
    lacks = _proxy_modes.lacks(mode, kernel)
    if lacks is None and mode == "nftables" and plan.release is not None and plan.release < _NFTABLES:
        lacks = f"Kubernetes 1.29 or later, and this is {versions.text(plan.release)}"
    if lacks:
        yield fail(
            "ProxyModeUnsupported",
            f"{where}: kube-proxy's mode {mode} needs {lacks}.",
            subject="mode",
            evidence=[seen, Evidence("uname -r", kernel.text)],
            fix=plan.edit("Write mode: iptables, or install a kernel that has it", line),
        )
    elif mode == "ipvs" and plan.release is not None and plan.release >= _IPVS_DEPRECATED:
        yield warn(
            "ProxyModeDeprecated",
            f"{where}: kube-proxy's mode ipvs is deprecated since Kubernetes 1.35, and may go.",
            subject="mode",
            evidence=[seen],
            fix=plan.edit("Write mode: nftables (Linux 5.13 and later), or iptables", line),
        )
