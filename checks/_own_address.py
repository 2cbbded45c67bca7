"""An address that a control plane was made for, and that its machine no longer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Fix, Link, Safety, Unobserved, fail
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.component_health import ComponentHealth
from k8sdoctor.facts.etcd import host_of
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.x509 import as_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

    from k8sdoctor.facts.api_server import ApiServer
    from k8sdoctor.facts.etcd_server import EtcdServer

_LISTENS = ("--listen-client-urls", "--listen-peer-urls")


def lost(
    server: ApiServer, etcd: EtcdServer, network: NodeNetwork | Unobserved, health: ComponentHealth | Unobserved
) -> Iterator[Finding]:
    """An etcd ends that shall listen at an address which is not there (bind(2), EADDRNOTAVAIL). An API server that tells others such a
    one may be behind a translation, so it counts only where nobody answers there.
    """
    if isinstance(network, Unobserved):
        return
    here = {as_address(str(entry["address"])) for entry in network.addresses}
    told: dict[IPv4Address | IPv6Address, list[Evidence]] = {}
    for name in _LISTENS:
        for url in etcd.urls(name):
            _note(told, host_of(url), etcd.source, f"{name}={etcd.flag(name)}")
    asked = health.of("kube-apiserver") if isinstance(health, ComponentHealth) else None
    if asked is not None and asked.failure is not None:
        _note(told, server.address or "", server.source, f"--advertise-address={server.address}")
    for address, evidence in told.items():
        if here and address not in here:
            yield _gone(address, evidence, network)


def _note(told: dict[IPv4Address | IPv6Address, list[Evidence]], text: str, source: str | None, flag: str) -> None:
    address = as_address(text)
    if address is not None and source is not None and not address.is_loopback and not address.is_unspecified:
        found = told.setdefault(address, [])
        if Evidence(source, flag) not in found:
            found.append(Evidence(source, flag))


def _gone(address: IPv4Address | IPv6Address, told: list[Evidence], network: NodeNetwork) -> Finding:
    now = [
        (link["name"], each)
        for link in network.links
        if link["name"] in network.uplinks
        for each in network.addresses_of(link["index"])
        if each.version == address.version
    ]
    has = enumerated([f"{each.ip} ({name})" for name, each in now])
    why = f"no interface of this machine has {address}, which it was told as its own"
    components = [
        Link("control-plane", reason, why, when=frozenset({f"component:{name}"}))
        for reason in ("ComponentDown", "ComponentSilent")
        for name in ("etcd", "kube-apiserver")
    ]
    sources = enumerated(list(dict.fromkeys(each.source for each in told)))
    return fail(
        "AddressGone",
        f"No interface of this machine has {address}, which is its own by {sources}"
        + (f"; it has {has}." if has else "."),
        subject=str(address),
        evidence=[*told, Evidence("addresses of the interfaces of default routes", has or "none")],
        fix=_give_back(address, now),
        explains=[
            *components,
            Link("etcd", "Unreachable", why),
            Link("apiserver-san", "EndpointUnreachable", why, when=frozenset({"endpoint:own"})),
            Link("apiserver-endpoints", "Unreadable", why),
        ],
    )


def _give_back(address: IPv4Address | IPv6Address, now: list[tuple[str, IPv4Interface | IPv6Interface]]) -> Fix:
    beside = next(((name, each) for name, each in now if address in each.network), now[0] if now else None)
    whole = address.max_prefixlen
    length = beside[1].network.prefixlen if beside and address in beside[1].network else whole
    return Fix(
        "Give the machine its address back, and have DHCP or the cloud always give it that one: certificates, manifests and kubeconfigs are made for it",
        (f"ip address add {address}/{length} dev {beside[0] if beside else 'INTERFACE'}",),
        f"ip -brief address | grep -wF {address}; crictl ps",
        Safety.MANUAL,
    )
