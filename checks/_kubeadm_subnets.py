"""The subnets of a kubeadm configuration: whether kubeadm takes them, and whether they are free here."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from k8sdoctor.checks import _subnet_clashes
from k8sdoctor.facts import numbers
from k8sdoctor.facts.kubeadm import PLACEHOLDER_ADDRESS
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.finding import Evidence, Finding, Unobserved, fail, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.checks._kubeadm_plan import Plan
    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.facts.kubeadm_documents import KubeadmDocument, KubeadmDocuments

DEFAULT_SERVICES = "10.96.0.0/12"  # kubernetes cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go

# kubernetes cmd/kubeadm/app/constants/constants.go
_FEWEST_SERVICES = 10
_FEWEST_PODS = 14
_MOST_SERVICE_BITS = 20
_MOST_NODE_BITS = 16
_NODE_MASK = {4: 24, 6: 64}  # controller manager's default of --node-cidr-mask-size-ipv4 and -ipv6


def _parsed(text: str) -> list[Subnet] | None:
    """The subnets of a comma-separated list as kubeadm takes them; None when one is none."""
    if not all("/" in part for part in text.split(",")):  # Python takes a bare address, too
        return None
    try:
        return [ip_network(part, strict=False) for part in text.split(",")]
    except ValueError:
        return None


def _mask(cluster: KubeadmDocument | None, family: int) -> int:
    """The mask of a node's part, by the controller manager's arguments in either form of the API."""
    given = cluster.at("controllerManager", "extraArgs") if cluster else None
    pairs: dict[str, str] = {}
    if isinstance(given, dict):
        pairs = {str(name): str(value) for name, value in given.items()}
    elif isinstance(given, list):
        pairs = {str(each.get("name")): str(each.get("value")) for each in given if isinstance(each, dict)}
    for name in (f"node-cidr-mask-size-ipv{family}", "node-cidr-mask-size"):
        if (mask := numbers.whole(pairs.get(name, ""))) is not None:
            return mask
    return _NODE_MASK[family]


def _gives_subnets(cluster: KubeadmDocument | None) -> bool:
    """Whether the controller manager gives nodes their part (`allocate-node-cidrs`)."""
    given = cluster.at("controllerManager", "extraArgs") if cluster else None
    if isinstance(given, dict):
        return str(given.get("allocate-node-cidrs", "true")).lower() != "false"
    return not any(
        isinstance(each, dict)
        and each.get("name") == "allocate-node-cidrs"
        and str(each.get("value")).lower() == "false"
        for each in (given if isinstance(given, list) else [])
    )


def room(documents: KubeadmDocuments) -> str:
    """A sentence that says how many nodes and pods the pods' subnet has room for; empty where nothing tells."""
    cluster = documents.of("ClusterConfiguration")
    text = cluster.text("networking", "podSubnet") if cluster else None
    subnets = _parsed(text) if text else None
    if not subnets or not _gives_subnets(cluster):
        return ""
    mask = _mask(cluster, subnets[0].version)
    nodes = 2 ** max(0, mask - subnets[0].prefixlen)
    return f" {subnets[0]} has room for {nodes} nodes with a /{mask} each."


def findings(plan: Plan, cluster: KubeadmDocument | None) -> Iterator[Finding]:
    """All that is wrong with the subnets, kubeadm's own default for services included."""
    written = {name: (cluster.text("networking", name) if cluster else None) for name in ("podSubnet", "serviceSubnet")}
    texts = {"podSubnet": written["podSubnet"], "serviceSubnet": written["serviceSubnet"] or DEFAULT_SERVICES}
    good: dict[str, list[Subnet]] = {}
    for name, text in texts.items():
        if text is None:
            continue
        subnets = _parsed(text)
        wrong = _not_subnets(subnets)
        if subnets is None or wrong:
            yield _subnet_finding(
                plan, cluster, name, "SubnetInvalid", f"is {text}, {wrong}", "Write one subnet, or one of each family"
            )
            continue
        good[name] = subnets
        yield from _sizes(plan, cluster, name, subnets)
    pods, services = good.get("podSubnet", []), good.get("serviceSubnet", [])
    for pod in pods:
        for service in services:
            if _subnet_clashes.overlap(pod, service):
                yield _subnet_finding(
                    plan,
                    cluster,
                    "podSubnet",
                    "SubnetsOverlap",
                    f"{pod} and networking.serviceSubnet {service}{_default(written['serviceSubnet'])} share addresses",
                    "Choose subnets that share no address",
                )
    if pods and written["serviceSubnet"] and [each.version for each in pods] != [each.version for each in services]:
        where, line, seen = plan.where(cluster, "networking", "podSubnet") if cluster else ("", 0, Evidence("", ""))
        yield warn(
            "FamiliesDiffer",
            f"{where}: pods have {_families(pods)} and services {_families(services)}; each should have the same, in the same order.",
            subject="networking",
            evidence=[seen],
            fix=plan.edit("Write the subnets of both in one order", line),
        )
    yield from _on_this_machine(plan, cluster, good, written)


def _on_this_machine(
    plan: Plan, cluster: KubeadmDocument | None, good: dict[str, list[Subnet]], written: dict[str, str | None]
) -> Iterator[Finding]:
    for blind in (plan.network, plan.resolvers):
        if isinstance(blind, Unobserved):
            yield unknown(
                blind.reason, f"Whether the subnets are in use here is not known: {blind.message.rstrip('.')}."
            )
    for name, subnets in good.items():
        for subnet in subnets:
            yield from _in_use(plan, cluster, name, subnet, _default(written[name]))


def address_family(plan: Plan, cluster: KubeadmDocument | None, init: KubeadmDocument) -> Iterator[Finding]:
    """The API server's own rule (kubernetes `cmd/kube-apiserver/app/options/validation.go`): its address is of the first services' family."""
    text = init.text("localAPIEndpoint", "advertiseAddress") or ""
    services = _parsed((cluster.text("networking", "serviceSubnet") if cluster else None) or DEFAULT_SERVICES)
    try:
        address = ip_address(text)
    except ValueError:
        return
    told = address.is_link_local or address.is_multicast or address.is_unspecified or text == PLACEHOLDER_ADDRESS
    if services and not told and address.version != services[0].version:
        where, line, seen = plan.where(init, "localAPIEndpoint", "advertiseAddress")
        yield fail(
            "AddressFamilyDiffers",
            f"{where}: localAPIEndpoint.advertiseAddress is {text}, and services have {services[0]} first: the API server ends with an error "
            "when the two are not of one family.",
            subject="localAPIEndpoint.advertiseAddress",
            evidence=[seen, _place(plan, cluster, "serviceSubnet")[2]],
            fix=plan.edit("Write an address of that family, or the services' subnet of this one first", line),
        )


def _default(written: str | None) -> str:
    return "" if written else " (kubeadm's default)"


def _families(subnets: list[Subnet]) -> str:
    return " and ".join(f"IPv{subnet.version}" for subnet in subnets)


def _not_subnets(subnets: list[Subnet] | None) -> str:
    """Why a list is refused (`ValidateIPNetFromString`); empty when it is not."""
    if subnets is None:
        return "which is no list of subnets such as 10.244.0.0/16"
    if len(subnets) > 2:  # noqa: PLR2004 -- one of each family
        return "which are more than two"
    if len({subnet.version for subnet in subnets}) < len(subnets):
        return "which are two of one family"
    return ""


def _sizes(plan: Plan, cluster: KubeadmDocument | None, name: str, subnets: list[Subnet]) -> Iterator[Finding]:
    def told(reason: str, clause: str, title: str) -> Finding:
        return _subnet_finding(plan, cluster, name, reason, clause, title)

    for subnet in subnets:
        if name == "serviceSubnet":
            bits = subnet.max_prefixlen - subnet.prefixlen
            if subnet.num_addresses < _FEWEST_SERVICES:
                yield told(
                    "SubnetTooSmall",
                    f"{subnet} has {subnet.num_addresses} addresses, and kubeadm wants {_FEWEST_SERVICES}",
                    "Write a wider one",
                )
            elif bits > _MOST_SERVICE_BITS:
                widest = subnet.max_prefixlen - _MOST_SERVICE_BITS
                yield told(
                    "SubnetTooLarge",
                    f"{subnet} is larger than the /{widest} that an API server takes",
                    "Write a narrower one",
                )
            continue
        mask = _mask(cluster, subnet.version)
        if subnet.num_addresses < _FEWEST_PODS:
            yield told(
                "SubnetTooSmall",
                f"{subnet} has {subnet.num_addresses} addresses, and kubeadm wants {_FEWEST_PODS}",
                "Write a wider one",
            )
        elif not _gives_subnets(cluster):
            continue
        elif subnet.prefixlen > mask:
            yield told(
                "SubnetTooSmall",
                f"{subnet} is smaller than the /{mask} that each node gets of it",
                f"Write a wider one, or a longer node-cidr-mask-size-ipv{subnet.version} for the controller manager",
            )
        elif mask - subnet.prefixlen > _MOST_NODE_BITS:
            yield told(
                "SubnetTooLarge",
                f"{subnet} has room for more than 2^{_MOST_NODE_BITS} nodes with a /{mask} each, which the controller manager refuses",
                f"Write a narrower one, or a shorter node-cidr-mask-size-ipv{subnet.version} for the controller manager",
            )


def _subnet_finding(  # noqa: PLR0913, PLR0917 -- the parts of a finding
    plan: Plan, cluster: KubeadmDocument | None, name: str, reason: str, clause: str, title: str
) -> Finding:
    where, line, seen = _place(plan, cluster, name)
    return fail(
        reason,
        f"{where}: networking.{name} {clause}.",
        subject=f"networking.{name}",
        evidence=[seen],
        fix=plan.edit(title, line),
    )


def _place(plan: Plan, cluster: KubeadmDocument | None, name: str) -> tuple[str, int | None, Evidence]:
    if cluster is None:
        return str(plan.documents.path), None, Evidence("kubeadm's default", DEFAULT_SERVICES)
    return plan.where(cluster, "networking", name)


def _in_use(plan: Plan, cluster: KubeadmDocument | None, name: str, subnet: Subnet, default: str) -> Iterator[Finding]:
    where, line, seen = _place(plan, cluster, name)
    met: list[_subnet_clashes.Clash] = []
    if isinstance(plan.network, NodeNetwork):
        met += _subnet_clashes.clashes(subnet, plan.network, routes=not plan.stage.joined)
    if isinstance(plan.resolvers, Resolvers) and not plan.stage.joined:
        met += _subnet_clashes.server_clashes(subnet, plan.resolvers)
    tells: tuple[tuple[bool, str, Callable[..., Finding]], ...] = (
        (True, "SubnetInUse", fail),
        (False, "SubnetShadowed", warn),
    )
    for within, reason, tell in tells:
        alike = [clash.what for clash in met if clash.within is within]
        if not alike:
            continue
        rest = "lies in it" if within else "leads where it lies, and pods will reach nobody there"
        yield tell(
            reason,
            f"{where}: networking.{name} is {subnet}{default}, and {alike[0]}{_more(alike)}, which {rest}.",
            subject=f"networking.{name}",
            evidence=[seen, *(Evidence("this machine", clause) for clause in alike)],
            fix=plan.edit("Choose a subnet that is used nowhere here", line),
        )
        return


def _more(clauses: list[str]) -> str:
    return f" (and {len(clauses) - 1} more)" if len(clauses) > 1 else ""
