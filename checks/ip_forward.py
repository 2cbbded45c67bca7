"""The node forwards pod traffic.

## What it looks at
`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding` where pods have IPv6, and `net.ipv4.conf.<interface>.forwarding` of the interfaces
by which pods' packets come in: bridges that carry pods, veths of routed pods, and the interface of the default route. And what the files of
`sysctl.d` set at the next boot, in the order in which systemd applies them.

## Why it matters
A pod's packet enters the node by one interface and leaves it by another. Without forwarding the kernel drops it: pods reach neither
pods of other nodes nor anything outside. kubeadm refuses to start without the IPv4 switch, and looks at nothing else.

## How it is decided
The IPv4 switch is judged unless pods have IPv6 only, the IPv6 switch where pods have it. `net.ipv4.conf.all.forwarding` is
another name of `net.ipv4.ip_forward`, so the one that a file sets last decides at boot. For IPv4 the kernel asks the switch of the
interface by which a packet comes in, too; for IPv6 only the one for all. No line at boot is a warning, unless a program that
sets it when it starts runs here (k3s, rke2, k0s; dockerd and systemd-networkd as far as their files make them).

## Reasons
- `ForwardingOn` (pass): packets of the families that pods have are forwarded
- `ForwardingOff` (fail): the kernel drops the IPv4 packets that pods send to others; turn it on
- `Forwarding6Off` (fail): pods have IPv6 and the kernel drops the IPv6 packets that they send to others; turn it on
- `InterfaceForwardingOff` (fail): forwarding is on in general, and off for an interface that pods use
- `NotPersistent` (warn): forwarding is on, and no file turns it on at boot
- `PersistedOff` (warn): forwarding is on, and the file named turns it off at the next boot
- `BootUnread` (unknown): a file that is read at boot could not be read
- `InterfacesUnknown` (unknown): the interfaces that pods use could not be told

## What it sends
Nothing.

## How to fix
Turn it on, and write it into a file of `/etc/sysctl.d/` that sorts after the file that turns it off. Ask first: the node starts to
route between all its networks, and a change of the switch sets the forwarding of every interface. With IPv6, an interface that
forwards takes its default route from router advertisements only when `accept_ra` is 2, so that comes first.

## How to verify
`sysctl -n net.ipv4.ip_forward` prints 1, also after a reboot.

## References
- kubeadm preflight `FileContent--proc-sys-net-ipv4-ip_forward`
- Linux `Documentation/networking/ip-sysctl.rst`: `ip_forward`, `forwarding`, `accept_ra`
- sysctl.d(5)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from k8sdoctor.check import check
from k8sdoctor.facts import forwarding as switches
from k8sdoctor.facts.forwarding import Forwarding, InterfaceForwarding
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.switch_keepers import SwitchKeepers
from k8sdoctor.facts.sysctl import SysctlBoot
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Family(NamedTuple):
    """One IP family: its name, its switch's file, the keys of that switch (the usual one first), and the reason when it is off."""

    name: str
    path: str
    keys: tuple[str, ...]
    stem: str
    reason: str


IPV4 = Family(
    "IPv4", switches.IPV4, ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"), "ip-forward", "ForwardingOff"
)
IPV6 = Family("IPv6", switches.IPV6, ("net.ipv6.conf.all.forwarding",), "ipv6-forwarding", "Forwarding6Off")

MOST_NAMED = 3
"""Interfaces that a sentence names before it counts the rest."""


@check("ip-forward", title="The node forwards pod traffic", area="pod network")
def ip_forward(
    forwarding: Forwarding,
    pods: PodFamilies,
    boot: SysctlBoot,
    keepers: SwitchKeepers | Unobserved,
) -> Iterator[Finding]:
    """Judge each family that pods have, the interfaces that they use, and the next boot."""
    families = [family for family, wanted in ((IPV4, pods.ipv4), (IPV6, pods.ipv6)) if wanted]
    on = [family for family in families if _is_on(forwarding, family)]
    for family in families:
        if family not in on:
            yield _off(family, forwarding, boot, pods)
    closed = [interface for interface in forwarding.interfaces if not interface.ipv4]
    if IPV4 in on and closed:
        yield _interfaces_off(closed, forwarding, boot)
    elif IPV4 in on and forwarding.blind is not None:
        yield unknown("InterfacesUnknown", f"Which interfaces pods use could not be told: {forwarding.blind}.")
    elif len(on) == len(families):
        yield _all_on(on, forwarding)
    if boot.unread and on:
        yield unknown(
            "BootUnread",
            f"What is set at boot could not be read in full: {boot.unread[0]}",
            evidence=[Evidence("sysctl.d", line) for line in boot.unread],
        )
        return
    for family in on:
        yield from _after_boot(family, boot, keepers)


def _is_on(forwarding: Forwarding, family: Family) -> bool:
    return bool(forwarding.ipv4 if family is IPV4 else forwarding.ipv6)


def _all_on(on: list[Family], forwarding: Forwarding) -> Finding:
    names = " and ".join(family.name for family in on)
    evidence = [Evidence(family.path, "1") for family in on]
    if IPV4 in on:
        evidence += [_seen(interface) for interface in forwarding.interfaces]
    return passed("ForwardingOn", f"{names} forwarding is on.", subject=on[0].keys[0], evidence=evidence)


def _seen(interface: InterfaceForwarding) -> Evidence:
    value = "1" if interface.ipv4 else "0"
    return Evidence(f"/proc/sys/net/ipv4/conf/{interface.name}/forwarding", f"{value} ({interface.role})")


# -- off now ---------------------------------------------------------------------------------------------------------


def _off(family: Family, forwarding: Forwarding, boot: SysctlBoot, pods: PodFamilies) -> Finding:
    key = family.keys[0]
    winner = boot.winner(*family.keys)
    evidence = [
        Evidence(family.path, "0" if forwarding.ipv6 is not None or family is IPV4 else "there is no such file"),
        Evidence(winner.where, winner.text) if winner else Evidence("sysctl.d", f"no line sets {key}"),
    ]
    if family is IPV6:
        evidence.append(Evidence("IP families of pods", pods.why))
    if family is IPV6 and forwarding.ipv6 is None:
        return fail(
            family.reason,
            "Pods have IPv6, and the kernel of this node has no IPv6: it was built without or booted with ipv6.disable=1.",
            subject=key,
            evidence=evidence,
            fix=Fix(
                title="Boot the kernel with IPv6",
                commands=(
                    "grep -o 'ipv6.disable=[^ ]*' /proc/cmdline",
                    "grep -rn ipv6.disable /etc/default/grub /boot",
                ),
                verify="ls /proc/sys/net/ipv6",
                safety=Safety.MANUAL,
            ),
        )
    first = [f"sysctl -w {_slashed(f'net/ipv6/conf/{name}/accept_ra')}=2" for name in _advertised(family, forwarding)]
    keep = [
        _write_down(boot, f"accept-ra-{name}", 2, _slashed(f"net/ipv6/conf/{name}/accept_ra"))
        for name in _advertised(family, forwarding)
    ]
    lasting = winner is not None and winner.turns_on
    return fail(
        family.reason,
        f"{key} is 0: the kernel drops the {family.name} packets that pods send beyond this node.",
        subject=key,
        evidence=evidence,
        fix=Fix(
            title=f"Turn {family.name} forwarding on, now and at boot",
            commands=(*first, f"sysctl -w {key}=1"),
            persist=(*keep, *(() if lasting else (_turn_on_at_boot(family, boot),))),
            verify=f"sysctl -n {key}",
            safety=Safety.MANUAL,  # the node starts to route between all its networks
        ),
        explains=[
            Link(
                "dns-reply-source",
                "NoReply",
                f"{key} was seen 0: what a pod sends to a service or to another node is dropped",
            ),
            *_out_of_the_node(f"{key} was seen 0"),
        ],
    )


def _advertised(family: Family, forwarding: Forwarding) -> tuple[str, ...]:
    return forwarding.accepts_ra if family is IPV6 else ()


def _interfaces_off(closed: list[InterfaceForwarding], forwarding: Forwarding, boot: SysctlBoot) -> Finding:
    names = [interface.name for interface in closed]
    subject = ", ".join(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        subject += f" and {len(names) - MOST_NAMED} more"
    inherited = forwarding.default_ipv4 is False
    why = " New interfaces start so, since net.ipv4.conf.default.forwarding is 0." if inherited else ""
    wrong = [*(["default"] if inherited else []), *names]
    keys = [_slashed(f"net/ipv4/conf/{name}/forwarding") for name in wrong]
    # A veth lives as long as its pod and gets what `default` says; a bridge and an uplink have settings of their own.
    passing = {interface.name for interface in closed if interface.of_one_pod}
    lasting = [name for name in wrong if name not in passing]
    return fail(
        "InterfaceForwardingOff",
        f"IPv4 forwarding is on in general and off for {subject}: the kernel drops the packets that come in there.{why}",
        subject=subject,
        evidence=[
            *(_seen(interface) for interface in closed),
            *([Evidence("/proc/sys/net/ipv4/conf/default/forwarding", "0")] if inherited else []),
            *(
                Evidence(winner.where, winner.text)
                for name in wrong
                if (winner := boot.winner(f"net/ipv4/conf/{name}/forwarding")) is not None
            ),
        ],
        fix=Fix(
            title="Turn forwarding on for these interfaces, now and at boot",
            commands=tuple(f"sysctl -w {key}=1" for key in keys),
            persist=tuple(
                _write_down(boot, f"forwarding-{name}", 1, _slashed(f"net/ipv4/conf/{name}/forwarding"))
                for name in lasting
                if not ((winner := boot.winner(f"net/ipv4/conf/{name}/forwarding")) and winner.turns_on)
            ),
            verify="sysctl -n " + " ".join(keys),
            safety=Safety.SAFE,  # the node forwards already
        ),
        explains=[
            Link(
                "dns-reply-source",
                "NoReply",
                f"forwarding is off for {subject}: what pods send to a service or to another node is dropped there",
            ),
            *_out_of_the_node(f"forwarding is off for {subject}"),
        ],
    )


def _out_of_the_node(why: str) -> tuple[Link, ...]:
    """What CoreDNS, a pod, sends to servers elsewhere, which answer the node itself; and to the API server."""
    upstream = Link(
        "coredns", "UpstreamSilent", f"{why}, and the node itself is answered", when=frozenset({"node:answered"})
    )
    return (upstream, Link("coredns", "ApiNotReached", f"{why}: what a pod sends to the API server is dropped"))


def _slashed(key: str) -> str:
    """A key as a shell word. With slashes a dot in an interface's name stays one."""
    return quote(key)


# -- off after a boot ------------------------------------------------------------------------------------------------


def _after_boot(family: Family, boot: SysctlBoot, keepers: SwitchKeepers | Unobserved) -> Iterator[Finding]:
    key = family.keys[0]
    winner = boot.winner(*family.keys)
    if winner is not None and winner.turns_on:
        return
    keeper = keepers.forwarding if isinstance(keepers, SwitchKeepers) else None
    if keeper is not None and family is IPV4:
        return
    fix = Fix(
        title=f"Keep {family.name} forwarding on over a reboot",
        commands=(),
        persist=(_turn_on_at_boot(family, boot),),
        verify=f"sysctl -n {key}; grep -rnE '{'|'.join(family.keys)}' /etc/sysctl.d",
        safety=Safety.SAFE,
    )
    if winner is not None:
        yield warn(
            "PersistedOff",
            f"{key} is 1 now, and {winner.where} turns it off at the next boot (`{winner.text}`).",
            subject=winner.file,
            evidence=[Evidence(family.path, "1"), Evidence(winner.where, winner.text)],
            fix=fix,
        )
    else:
        yield warn(
            "NotPersistent",
            f"{key} is 1 now, and no file of sysctl.d turns it on at boot.",
            subject=key,
            evidence=[Evidence(family.path, "1"), Evidence("sysctl.d", f"no line sets {' or '.join(family.keys)}")],
            fix=fix,
        )


def _turn_on_at_boot(family: Family, boot: SysctlBoot) -> str:
    path, key = boot.drop_in(family.stem, *family.keys)
    return f"mkdir -p /etc/sysctl.d && echo '{key} = 1' > {path}"


def _write_down(boot: SysctlBoot, stem: str, value: int, key: str) -> str:
    path, _ = boot.drop_in(stem, key)
    return f"mkdir -p /etc/sysctl.d && echo {quote(f'{key} = {value}')} > {quote(path)}"
