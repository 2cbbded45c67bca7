"""The pod network's vendor finds what it needs, and nothing that another one left.

## What it looks at
Whose network the CNI configuration describes (Calico, Canal, Cilium, flannel, Weave, kube-router, Antrea, kindnet, OVN-Kubernetes, Kube-OVN), the
interfaces of other vendors, `rp_filter`, the kernel's release, and NetworkManager's configuration where it runs.

## Why it matters
Networks are changed more often than machines. What the one before left keeps a VXLAN port or a route, and the new one fails with "address already in use", or
some addresses lead nowhere. Other programs of the system change interfaces and filters that only the network's own agent should touch.

## How it is decided
By what each vendor asks for. Interfaces of another vendor are left over unless the two work together: Canal is Calico over flannel, Cilium may be chained behind
others, and kube-router may do policies for any. A bridge `cni0` is left over where no network names it and no pod is on it. Two VXLAN devices on one port exclude each
other: the one that came second stays down. Calico refused `rp_filter` 2 until 3.11, and does not look at it since 3.12. Cilium wants 0 on its own
interfaces, where the larger of the interface's and `all` counts. NetworkManager has to be told to leave the tunnels of Calico and flannel alone; it
leaves veths alone by itself.

## Reasons
- `Recognised` (pass): says whose network it is
- `VxlanPortTaken` (fail): the network's VXLAN device is down, and that of another network is there
- `LeftoverInterface` (warn): an interface that another pod network has left
- `LooseReversePath` (fail): Calico's agent of this release ends when `net.ipv4.conf.all.rp_filter` is 2
- `ReversePathOn` (warn): the kernel filters on an interface of Cilium's by the way back, and may drop packets there
- `KernelTooOld` (warn): releases of Cilium that are maintained need a newer kernel
- `NetworkManagerMeddles` (warn): NetworkManager runs, and was not told to leave the network's tunnels alone
- `PlainPlugins` (pass): the network is of plugins that ask for nothing of their own
- `NoVendor` (skip): no pod network is configured yet

## What it sends
Nothing. It asks Calico's plugin for its version (`-v`).

## How to fix
Delete what is left over; the agent of the network in use makes its own device anew. Settings get files of their own.

## How to verify
`ip -details link show type vxlan` shows one device a port, all of them up.

## References
- cilium/cilium issues 8990 (VXLAN devices), 10645 and pull request 20072 (rp_filter); Cilium, System Requirements
- Calico 3.12 release notes, projectcalico/felix pull request 2189 (rp_filter no longer looked at)
- Calico, Troubleshooting: Configure NetworkManager; NetworkManager.conf(5)
- weaveworks/weave: archived in June 2024
"""

from __future__ import annotations

import re
from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts import versions
from k8sdoctor.facts.bridge import Bridges
from k8sdoctor.facts.cni_vendor import ALL, CniVendor
from k8sdoctor.facts.network_manager import NetworkManager
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.sysctl import SysctlBoot
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, skip, unknown, warn
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.host.answers import Netlink

# Interfaces by which a vendor is known. tunl0 is none: the kernel's ipip module makes it. Names of veths are left out, for they go with pods.
_SIGNS: dict[str, re.Pattern[str]] = {
    "flannel": regex(r"flannel(-v6)?\.\d+|flannel-wg(-v6)?"),
    "Calico": regex(r"vxlan(-v6)?\.calico|wireguard\.cali|wg-v6\.cali"),
    "Cilium": regex(r"cilium_(host|vxlan|geneve)"),
    "Weave": regex(r"weave|vxlan-6784"),
    "kube-router": regex(r"kube-bridge"),
    "Antrea": regex(r"antrea-(gw0|tun0)"),
    "OVN-Kubernetes": regex(r"ovn-k8s-mp0"),
}
_TOGETHER = {"Canal": {"Calico", "flannel"}}

# Networks whose VXLAN device has the port 8472, so that two of them exclude each other (flannel's and Cilium's defaults).
_PORT_8472 = {"flannel": "flannel.1", "Cilium": "cilium_vxlan", "Canal": "flannel.1"}

_ROUTED = frozenset(
    {"Calico", "Canal", "Cilium", "Antrea", "OVN-Kubernetes", "Kube-OVN", "Weave", "kube-router", "kindnet"}
)
"""Vendors whose pods are not on a bridge cni0."""

_PLAIN = frozenset(
    {
        *(
            "bandwidth",
            "bridge",
            "dhcp",
            "firewall",
            "host-device",
            "host-local",
            "ipvlan",
            "macvlan",
            "portmap",
            "ptp",
        ),
        *("sbr", "static", "tuning", "vlan", "vrf"),
    }
)
"""Plugins of containernetworking/plugins, which make no interface that is a sign of a vendor's."""

_LOOSE = 2  # Documentation/networking/ip-sysctl.rst, rp_filter
_LOOKS_NO_MORE = (3, 12, 0)
_CILIUM_KERNEL = (5, 10, 0)  # of Cilium 1.18; 1.16 and 1.17 want 5.4

# What Calico's documentation lists, and what flannel makes.
_TUNNELS = {
    "Calico": ("cali*", "tunl*", "vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "wg-v6.cali"),
    "Canal": ("cali*", "tunl*", "flannel*"),
    "flannel": ("flannel*", "cni0"),
}


@check(
    "cni-vendor",
    title="The pod network finds what it needs, and nothing that another one left",
    area="pod network",
    profiles=NOT_DNS,
)
def cni_vendor(
    vendor: CniVendor,
    network: NodeNetwork,
    bridges: Bridges | Unobserved,
    manager: NetworkManager | Unobserved,
    boot: SysctlBoot | Unobserved,
) -> Iterator[Finding]:
    """Judge what is left over, then what the vendor asks for."""
    if not vendor.plugins:
        yield skip("NoVendor", "No pod network is configured here yet.")
        return
    found = [
        *_leftovers(vendor, network, bridges),
        *_reverse_path(vendor, boot),
        *_kernel(vendor),
        *_manager(vendor, network, manager),
    ]
    yield from found or [_recognised(vendor)]


def _recognised(vendor: CniVendor) -> Finding:
    if vendor.vendor is None:
        return passed(
            "PlainPlugins",
            f"The pods' network is made by {_plugins(vendor.plugins)}, and is no vendor's that is known here.",
            evidence=[Evidence("plugins of the CNI network", ", ".join(vendor.plugins))],
        )
    release = f" {versions.text(vendor.version)}" if vendor.version else ""
    remark = " Its project was archived in June 2024, so plan a change." if vendor.vendor == "Weave" else ""
    return passed(
        "Recognised",
        f"The pods' network is {vendor.vendor}{release}.{remark}",
        subject=vendor.vendor,
        evidence=[Evidence("plugins of the CNI network", ", ".join(vendor.plugins))],
    )


def _plugins(names: Sequence[str]) -> str:
    return f"the plugin{'s' if len(names) > 1 else ''} {enumerated(names)}"


# -- what another network left ---------------------------------------------------------------------------------------


def _leftovers(vendor: CniVendor, network: NodeNetwork, bridges: Bridges | Unobserved) -> Iterator[Finding]:
    if {"multus", "multus-shim", "genie"} & set(vendor.plugins):  # several networks at once, by design
        return
    if (
        vendor.vendor is None and not set(vendor.plugins) <= _PLAIN
    ):  # a vendor that is not known here may work with others
        return
    own = {vendor.vendor, *_TOGETHER.get(vendor.vendor or "", ()), *_chained(vendor)}
    device = next((link for link in network.links if link["name"] == _PORT_8472.get(vendor.vendor or "")), None)
    for link in network.links:
        whose = next((each for each, sign in _SIGNS.items() if sign.fullmatch(link["name"])), None)
        if whose is None or whose in own:
            continue
        rival = link["name"] in _PORT_8472.values()
        if rival and device is not None and not device.get("up") and link.get("up"):
            yield _port_taken(vendor, link, device, whose)
        else:
            yield _left_over(vendor, link["name"], f"{whose} makes such a one")
    yield from _bridge(vendor, network, bridges)


def _chained(vendor: CniVendor) -> set[str]:
    """Vendors whose plugins stand in the same network."""
    plugins = set(vendor.plugins)
    return {
        name
        for name, plugin in (("flannel", "flannel"), ("Calico", "calico"), ("Cilium", "cilium-cni"))
        if plugin in plugins
    }


def _port_taken(vendor: CniVendor, rival: Netlink, device: Netlink, whose: str) -> Finding:
    name = rival["name"]
    return fail(
        "VxlanPortTaken",
        f"{vendor.vendor}'s {device['name']} is down, and {name}, which {whose} makes, is up: both use the UDP port 8472, which only one can have.",
        subject=name,
        evidence=[Evidence(f"link {name}", "up"), Evidence(f"link {device['name']}", "down")],
        fix=Fix(
            f"Delete {name}, and {device['name']} for its agent to make anew",
            (f"ip link delete {quote(name)}", f"ip link delete {device['name']}"),
            "ip -brief link show type vxlan",
            Safety.DISRUPTIVE,  # what still uses the other network loses it
        ),
        explains=[
            Link(
                "cni-config",
                "NotInitialized",
                f"{vendor.vendor}'s agent cannot bring its device up while {name} has the port",
            )
        ],
    )


def _left_over(vendor: CniVendor, name: str, why: str) -> Finding:
    return warn(
        "LeftoverInterface",
        f"The interface {name} is not of {_whose(vendor)}: {why}, and its routes and port stay in the way.",
        subject=name,
        evidence=[
            Evidence(f"link {name}", "exists"),
            Evidence("plugins of the CNI network", ", ".join(vendor.plugins)),
        ],
        fix=Fix(
            f"Delete {name}, if the network that made it is no longer installed",
            (f"ip link delete {quote(name)}",),
            "ip -brief link",
            Safety.DISRUPTIVE,  # what still uses the other network loses it
        ),
    )


def _whose(vendor: CniVendor) -> str:
    return (
        f"{vendor.vendor}, whose network pods have here"
        if vendor.vendor
        else f"the plugins {', '.join(vendor.plugins)}"
    )


def _bridge(vendor: CniVendor, network: NodeNetwork, bridges: Bridges | Unobserved) -> Iterator[Finding]:
    if vendor.vendor not in _ROUTED or not isinstance(bridges, Bridges):
        return
    for bridge in bridges.bridges:
        if bridge.name != "cni0" or bridge.index is None or bridge.ports or bridge.carries:
            continue
        addresses = [str(address) for address in network.addresses_of(bridge.index)]
        if addresses:
            yield _left_over(
                vendor,
                "cni0",
                f"bridge and flannel make such a one, no pod is on it, and it has {', '.join(addresses)}",
            )


# -- the kernel ------------------------------------------------------------------------------------------------------


def _reverse_path(vendor: CniVendor, boot: SysctlBoot | Unobserved) -> Iterator[Finding]:
    if vendor.vendor in ("Calico", "Canal"):
        if vendor.reverse_path == _LOOSE and vendor.version is not None and vendor.version < _LOOKS_NO_MORE:
            yield fail(
                "LooseReversePath",
                f"net.ipv4.conf.all.rp_filter is 2, and Calico {versions.text(vendor.version)} ends with an error then, unless FELIX_IGNORELOOSERPF is set.",
                subject="net.ipv4.conf.all.rp_filter",
                evidence=[Evidence(ALL, "2")],
                fix=Fix(
                    "Filter strictly, now and at boot",
                    ("sysctl -w net.ipv4.conf.all.rp_filter=1",),
                    "sysctl -n net.ipv4.conf.all.rp_filter",
                    Safety.MANUAL,  # a machine with several uplinks may need it loose
                    _write_down(boot, "rp-filter", "net.ipv4.conf.all.rp_filter = 1"),
                ),
            )
    elif vendor.vendor == "Cilium":
        every = vendor.reverse_path or 0
        wrong = [(name, max(value, every)) for name, value in vendor.own if max(value, every)]
        if wrong:
            names = sorted({*(name for name, _ in wrong)})
            yield _cilium_filtered(vendor, wrong, names, boot)


def _cilium_filtered(
    vendor: CniVendor, wrong: list[tuple[str, int]], names: list[str], boot: SysctlBoot | Unobserved
) -> Finding:
    every = vendor.reverse_path or 0
    name, value = wrong[0]
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    keys = [*(["all"] if every else []), *names]
    lines = [*(["net.ipv4.conf.all.rp_filter = 0"] if every else []), "net.ipv4.conf.lxc*.rp_filter = 0"]
    lines.append("net.ipv4.conf.cilium_*.rp_filter = 0")
    return warn(
        "ReversePathOn",
        f"The kernel filters packets of {name}{more} by the way back (rp_filter {value}), and Cilium wants 0 there.",
        subject=name,
        evidence=[
            Evidence(ALL, str(every)),
            *(Evidence(f"/proc/sys/net/ipv4/conf/{each}/rp_filter", str(own)) for each, own in vendor.own if own),
        ],
        fix=Fix(
            "Turn the filter off there, now and at boot",
            tuple(f"sysctl -w {quote(f'net/ipv4/conf/{each}/rp_filter')}=0" for each in keys),
            f"sysctl -n {' '.join(quote(f'net/ipv4/conf/{each}/rp_filter') for each in keys)}",
            Safety.MANUAL if every else Safety.SAFE,  # `all` counts for the uplinks as well
            _write_down(boot, "rp-filter-cilium", *lines),
        ),
    )


def _write_down(boot: SysctlBoot | Unobserved, stem: str, *lines: str) -> tuple[str, ...]:
    """A new file that sorts behind Cilium's own and the distribution's."""
    name = boot.boot.free_name("99-zzzz-", stem) if isinstance(boot, SysctlBoot) else f"99-zzzz-{stem}.conf"
    text = " ".join(quote(line) for line in lines)
    return (f"mkdir -p /etc/sysctl.d && printf '%s\\n' {text} > /etc/sysctl.d/{name}",)


def _kernel(vendor: CniVendor) -> Iterator[Finding]:
    release = versions.parse(vendor.kernel)
    backported = ".el8" in vendor.kernel  # Red Hat's 4.18 has what Cilium asks for
    if vendor.vendor == "Cilium" and release is not None and release < _CILIUM_KERNEL and not backported:
        yield warn(
            "KernelTooOld",
            f"The kernel is {vendor.kernel}, and Cilium needs 5.10 from 1.18 on (5.4 since 1.16).",
            subject=vendor.kernel,
            evidence=[Evidence("uname -r", vendor.kernel)],
            fix=Fix(
                "Install a newer kernel before Cilium is upgraded",
                ("uname -r", "kubectl -n kube-system get daemonset cilium -o wide"),
                "uname -r",
                Safety.MANUAL,
            ),
        )


# -- NetworkManager --------------------------------------------------------------------------------------------------


def _manager(vendor: CniVendor, network: NodeNetwork, manager: NetworkManager | Unobserved) -> Iterator[Finding]:
    patterns = _TUNNELS.get(vendor.vendor or "", ())
    if isinstance(manager, Unobserved):
        if patterns:
            yield unknown(manager.reason, f"Whether NetworkManager runs here is not known: {manager.message}.")
        return
    if not patterns or not manager.runs:
        return
    if manager.unread:
        yield unknown("Unreadable", f"What NetworkManager leaves alone could not be read: {manager.unread[0]}.")
        return
    signs = [_SIGNS["Calico"], _SIGNS["flannel"], re.compile(r"tunl0")]
    meddled = [
        link["name"]
        for link in network.links
        if any(sign.fullmatch(link["name"]) for sign in signs) and not manager.leaves_alone(link["name"])
    ]
    if meddled:
        stem = (vendor.vendor or "").lower()
        name = next(
            each for each in (f"{stem}.conf", *(f"{stem}-{n}.conf" for n in range(1, 99))) if each not in manager.files
        )
        devices = ";".join(f"interface-name:{pattern}" for pattern in patterns)
        path = f"/etc/NetworkManager/conf.d/{name}"
        yield warn(
            "NetworkManagerMeddles",
            f"NetworkManager runs here, and nothing tells it to leave {', '.join(meddled)} of {vendor.vendor} alone.",
            subject=meddled[0],
            evidence=[Evidence("unmanaged-devices", "; ".join(manager.left_alone) or "none")],
            fix=Fix(
                "Tell NetworkManager to leave the pod network's interfaces alone",
                (
                    f"mkdir -p /etc/NetworkManager/conf.d && printf '%s\\n' '[keyfile]' 'unmanaged-devices+={devices}' > {path}",
                    "systemctl reload NetworkManager",
                ),
                "nmcli device status",
                Safety.SAFE,
            ),
        )
