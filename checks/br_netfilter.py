"""Bridged pod traffic passes iptables.

## What it looks at
The Linux bridges of the node's network namespace and their ports, the CNI configuration and the running pods (which bridges are for
pods, and with which IP families), the kernel module `br_netfilter`, the namespace's switches `net.bridge.bridge-nf-call-iptables` and
`net.bridge.bridge-nf-call-ip6tables`, each bridge's own switches, and what is loaded and set at the next boot (`modules-load.d`,
`sysctl.d`, the kernel's command line, `modprobe.d`).

## Why it matters
Two pods of one node talk over the bridge. A service's address is translated by iptables on the way to the pod behind it, and must be
translated back on the way home; without br_netfilter the answer stays on the bridge, iptables never sees it, and the client is
answered by an address that it never asked. Cluster DNS then times out for the pods beside a DNS pod, now and then, while the node
looks healthy. kubeadm checked this until 1.29 and no longer does.

## How it is decided
A bridge is for pods when the CNI configuration names it, when a running pod has an address of its network, or when it bears the usual
name (`cni0`, `cbr0`, `kube-bridge`, `weave`) and veths lead from it into other network namespaces. On such a bridge packets pass
iptables when the namespace's switch is on or the bridge's own is: either is enough. IPv6 is judged where pods have it. Where no CNI
configuration is chosen yet, a fault is only a warning, for the plugin may need no bridge. Calico, Cilium and others that route to
each pod are not judged.

At boot the switches are on as soon as the module is there, unless a file turns them off; so a missing line in `sysctl.d` is no fault,
and a missing module is. Programs that set all this again when they start (k3s, rke2, k0s, kube-router) are taken into account.

## Reasons
- `Filtered` (pass): bridged packets pass iptables by the namespace's switch
- `FilteredPerBridge` (pass): they do by the bridge's own switch
- `NoPodBridge` (skip): pods are not attached to a bridge here
- `ModuleNotLoaded` (fail, or warn before a CNI is chosen): the kernel has no br_netfilter; load it
- `BridgeNfCallOff` (fail, or warn before a CNI is chosen): IPv4 packets do not pass iptables; turn the switch on
- `BridgeNfCall6Off` (fail, or warn before a CNI is chosen): IPv6 packets do not pass ip6tables; turn the switch on
- `NotPersistent` (warn): nothing loads the module at boot, or `modprobe.d` keeps it out
- `PersistedOff` (warn): a file turns the switch off at the next boot
- `SwitchHidden` (unknown): the module is loaded and its switches are not shown in this network namespace
- `BootUnread` (unknown): a file that is read at boot could not be read
- `BridgeUnexplained` (unknown): a bridge leads into other network namespaces, and neither CNI configuration nor runtime could be asked whose

## What it sends
Nothing.

## How to fix
Load the module, turn the switch on, and write both down: the module in `/etc/modules-load.d/`, the switch in a file of
`/etc/sysctl.d/` that sorts after the file that turns it off. From then on iptables rules also see what pods on one bridge send each
other, so look at rules that drop in `FORWARD` first if you have some of your own.

## How to verify
`sysctl net.bridge.bridge-nf-call-iptables` prints 1, also after a reboot.

## References
- kubernetes/kubernetes#123464: kubeadm 1.30 no longer checks it
- Linux `Documentation/networking/ip-sysctl.rst`, section on `/proc/sys/net/bridge`
- modules-load.d(5), sysctl.d(5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from k8sdoctor.check import check
from k8sdoctor.facts.bridge import CALL_IP6TABLES, CALL_IPTABLES, SWITCHES, Bridge, Bridges
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.modules import BR_NETFILTER, BrNetfilter
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.switch_keepers import SwitchKeepers
from k8sdoctor.facts.sysctl import Setting, SysctlBoot
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Family(NamedTuple):
    """One IP family: its word in traits, its switch, the reason for a switch that is off, and the program's name."""

    trait: str
    switch: str
    reason: str
    program: str

    @property
    def key(self) -> str:
        """The sysctl key."""
        return f"net.bridge.{self.switch}"


IPV4 = Family("ipv4", CALL_IPTABLES, "BridgeNfCallOff", "iptables")
IPV6 = Family("ipv6", CALL_IP6TABLES, "BridgeNfCall6Off", "ip6tables")


class Situation(NamedTuple):
    """All that is judged. `targets` are the bridges for pods; none where no CNI is chosen yet."""

    bridges: Bridges
    module: BrNetfilter
    boot: SysctlBoot
    families: tuple[Family, ...]
    keeper: str | None
    distribution: Distribution | Unobserved

    @property
    def targets(self) -> tuple[Bridge, ...]:
        """The bridges for pods."""
        return self.bridges.for_pods

    def on(self, family: Family) -> bool:
        """The namespace's switch."""
        return bool(self.bridges.call_iptables if family is IPV4 else self.bridges.call_ip6tables)

    def unfiltered(self, family: Family) -> tuple[Bridge, ...]:
        """The bridges for pods of this family on which neither switch is on."""
        return tuple(
            bridge
            for bridge in self.targets
            if _carries(bridge, family) and not self.on(family) and not _own(bridge, family)
        )

    @property
    def subject(self) -> str | None:
        """The bridges by name."""
        return ", ".join(bridge.name for bridge in self.targets) or None


@check("br-netfilter", title="Bridged pod traffic passes iptables", area="pod network")
def br_netfilter(  # noqa: PLR0913, PLR0917 -- one parameter a fact
    bridges: Bridges,
    module: BrNetfilter,
    boot: SysctlBoot,
    cni: CniFolder | Unobserved,
    pods: PodFamilies,
    keepers: SwitchKeepers | Unobserved,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge the bridges for pods, or the machine as it is where no CNI is chosen yet."""
    families = tuple(
        family
        for family, wanted in ((IPV4, pods.ipv4), (IPV6, pods.ipv6))
        if any(_carries(bridge, family) for bridge in bridges.for_pods) or (wanted and not bridges.for_pods)
    )
    keeper = keepers.bridge if isinstance(keepers, SwitchKeepers) else None
    here = Situation(bridges, module, boot, families, keeper, distribution)
    if not here.targets:
        answer = _no_pod_bridge(here, cni)
        if answer is not None:
            yield answer
            return
    if not module.present:
        yield _module_not_loaded(here)
        return
    if bridges.call_iptables is None:
        yield unknown(
            "SwitchHidden",
            f"br_netfilter is {module.state}, and this network namespace shows no {SWITCHES}; look at the switches in the "
            "namespace that holds the bridges, or on the host (kernels before 5.3 show them there only).",
            subject=here.subject,
            evidence=[Evidence("kernel modules", module.evidence)],
        )
        return
    off = [finding for family in families if (finding := _switched_off(here, family)) is not None]
    yield from off or [_filtered(here)]
    if here.targets and keeper is None:
        yield from _after_boot(here, off)


def _carries(bridge: Bridge, family: Family) -> bool:
    return bridge.ipv4 if family is IPV4 else bridge.ipv6


def _own(bridge: Bridge, family: Family) -> bool | None:
    return bridge.own_ipv4 if family is IPV4 else bridge.own_ipv6


def _no_pod_bridge(here: Situation, cni: CniFolder | Unobserved) -> Finding | None:
    """What there is to say without a bridge for pods; None where a bridge may yet come, so that the machine is judged."""
    filtered = here.module.present and all(here.on(family) for family in here.families)
    if filtered:
        return None
    if here.bridges.unexplained:
        names = ", ".join(bridge.name for bridge in here.bridges.unexplained)
        if isinstance(cni, Unobserved):
            return unknown(
                "BridgeUnexplained",
                f"The bridge {names} leads into other network namespaces, and whether it carries pods could not be told: {cni.message}.",
                subject=names,
            )
    if isinstance(cni, Unobserved):
        return unknown(cni.reason, f"Whether pods will be attached to a bridge could not be told: {cni.message}.")
    if cni.chosen is not None:
        plugins = ", ".join(cni.chosen.plugin_types)
        return skip(
            "NoPodBridge",
            f"No bridge carries pods here, and the CNI network {cni.chosen.name} ({plugins}) makes none.",
            subject=cni.chosen.name,
        )
    return None


# -- what is wrong now -----------------------------------------------------------------------------------------------


def _module_not_loaded(here: Situation) -> Finding:
    module = here.module
    whom = f"the bridge {here.subject} carries pods" if here.subject else "a CNI plugin that uses a bridge needs it"
    if here.targets and not any(bridge.exists for bridge in here.targets):
        whom = f"the bridge {here.subject} will carry pods"
    state = {
        "loadable": "is not loaded",
        "absent": f"is neither loaded nor among the modules of the kernel {module.release}",
        "kernel-gone": f"is not loaded and cannot be, since the folder /lib/modules/{module.release} of the running kernel is gone",
    }.get(module.state, "is not loaded")
    message = f"The kernel module br_netfilter {state}, and {whom}; bridged packets do not pass iptables."
    evidence = [Evidence("kernel modules", module.evidence), *_boot_evidence(here), *_bridge_evidence(here)]
    links = [link for family in here.families for link in _links(here, family, "br_netfilter is not loaded")]
    give = fail if here.targets else warn
    return give(
        "ModuleNotLoaded",
        message,
        subject=here.subject or BR_NETFILTER,
        evidence=evidence,
        fix=_load(here),
        explains=links,
    )


def _switched_off(here: Situation, family: Family) -> Finding | None:
    bare = not here.targets
    faulty = here.unfiltered(family)
    if not faulty and not (bare and not here.on(family)):
        return None
    names = ", ".join(bridge.name for bridge in faulty)
    if bare:
        whom = f"pods on a bridge would not be filtered by {family.program}"
    elif any(bridge.exists for bridge in faulty):
        whom = f"packets between pods on the bridge {names} do not pass {family.program}"
    else:
        whom = f"packets between pods on the bridge {names}, once it is made, will not pass {family.program}"
    message = f"{family.key} is 0, so {whom}."
    evidence = [
        Evidence(f"{SWITCHES}/{family.switch}", "0"),
        *_bridge_evidence(here, family),
        *_boot_evidence(here, family),
    ]
    give = warn if bare else fail
    return give(
        family.reason,
        message,
        subject=names or family.key,
        evidence=evidence,
        fix=_turn_on(here, family),
        explains=_links(here, family, f"{family.key} was seen 0, and the bridge's own switch is off"),
    )


def _links(here: Situation, family: Family, seen: str) -> list[Link]:
    """Replies on these bridges keep the address of the pod that sent them."""
    return [
        Link(
            "dns-reply-source",
            "UnexpectedSource",
            f"{seen}: a reply that stays on the bridge {bridge.name} is not translated back to the service's address",
            certainty=Certainty.PROVEN,
            when=frozenset({f"bridge:{bridge.name}", f"family:{family.trait}"}),
        )
        for bridge in here.targets
        if bridge.exists and _carries(bridge, family) and (not here.module.present or not _own(bridge, family))
    ]


def _filtered(here: Situation) -> Finding:
    evidence = [
        *(Evidence(f"{SWITCHES}/{family.switch}", "1" if here.on(family) else "0") for family in here.families),
        *_bridge_evidence(here),
    ]
    programs = " and ".join(family.program for family in here.families) or "iptables"
    if not here.targets:
        return passed(
            "Filtered", f"Packets on a bridge pass {programs}; no bridge carries pods yet.", evidence=evidence
        )
    by_own = [family for family in here.families if not here.on(family)]
    if by_own:
        keys = " and ".join(family.key for family in by_own)
        return passed(
            "FilteredPerBridge",
            f"Packets on the bridge {here.subject} pass {programs} by the bridge's own switch, although {keys} is 0.",
            subject=here.subject,
            evidence=evidence,
        )
    return passed(
        "Filtered", f"Packets on the bridge {here.subject} pass {programs}.", subject=here.subject, evidence=evidence
    )


# -- what will be wrong after a boot ---------------------------------------------------------------------------------


def _after_boot(here: Situation, off: list[Finding]) -> Iterator[Finding]:
    """Judge the next boot. A switch that is off already has its finding, whose fix covers the boot too."""
    unread = (*here.module.unread, *here.boot.unread)
    if unread:
        yield unknown(
            "BootUnread",
            f"What is loaded and set at boot could not be read in full: {unread[0]}",
            evidence=[Evidence("files read at boot", line) for line in unread],
        )
        return
    if off:
        return
    by_switch = [family for family in here.families if here.on(family)]
    if not here.module.after_boot:
        yield warn(
            "NotPersistent",
            f"br_netfilter is loaded now, and {_why_not_at_boot(here.module)}; after a reboot packets on the bridge "
            f"{here.subject} may no longer pass iptables.",
            subject=here.subject,
            evidence=[Evidence("kernel modules", here.module.evidence), *_boot_evidence(here)],
            fix=Fix(
                title="Have br_netfilter loaded at boot",
                commands=tuple(_unblock(here.module)),
                persist=tuple(_list_module(here.module)),
                verify="grep -rn br_netfilter /etc/modules-load.d /etc/modprobe.d",
                safety=Safety.MANUAL if here.module.blocked else Safety.SAFE,
            ),
        )
    for family in by_switch:
        winner = here.boot.winner(family.key)
        if winner is not None and winner.turns_on is False:
            yield warn(
                "PersistedOff",
                f"{family.key} is 1 now, and {winner.where} sets it to 0 at the next boot; packets on the bridge "
                f"{here.subject} will then no longer pass {family.program}.",
                subject=winner.file,
                evidence=[_seen(winner)],
                fix=Fix(
                    title=f"Keep {family.key} on over a reboot",
                    commands=(),
                    persist=(_write_down(here.boot, family),),
                    verify=f"sysctl -n {family.key}; grep -rn {family.switch} /etc/sysctl.d",
                    safety=Safety.SAFE,
                ),
            )


def _why_not_at_boot(module: BrNetfilter) -> str:
    if module.blocked:
        return f"{module.blocked[0].where} says `{module.blocked[0].text}`, so it is not loaded at boot"
    return "nothing loads it at boot"


# -- evidence --------------------------------------------------------------------------------------------------------


def _bridge_evidence(here: Situation, *families: Family) -> Iterator[Evidence]:
    for bridge in here.targets:
        words = [str(bridge.carries)]
        if not bridge.exists:
            words.append("it does not exist yet")
        else:
            words.append(f"ports into other network namespaces: {', '.join(bridge.ports) or 'none'}")
            for family in families or here.families:
                state = {True: "on", False: "off", None: "not told"}[_own(bridge, family)]
                words.append(f"its own switch for {family.program}: {state}")
        yield Evidence(f"bridge {bridge.name}", "; ".join(words))


def _boot_evidence(here: Situation, *families: Family) -> Iterator[Evidence]:
    if here.module.state != "built-in":
        at_boot = here.module.at_boot
        yield Evidence(at_boot.where, at_boot.text) if at_boot else Evidence("modules-load.d", "no line br_netfilter")
    for line in here.module.blocked:
        yield Evidence(line.where, line.text)
    for family in families:
        winner = here.boot.winner(family.key)
        yield _seen(winner) if winner else Evidence("sysctl.d", f"no line sets {family.key}")


def _seen(setting: Setting) -> Evidence:
    return Evidence(setting.where, setting.text)


# -- fixes -----------------------------------------------------------------------------------------------------------


def _load(here: Situation) -> Fix:
    """Have the module now and after a boot, with switches on."""
    module = here.module
    off = [family for family in here.families if (winner := here.boot.winner(family.key)) and winner.turns_on is False]
    commands = _unblock(module)
    safety, title = Safety.SAFE, "Load br_netfilter, now and at boot"
    if module.state == "loadable":
        commands.append("modprobe br_netfilter")
        commands += [f"sysctl -w {family.key}=1" for family in off]
    elif module.state == "absent":
        commands += [*_install_modules(here.distribution, module.release), "modprobe br_netfilter"]
        safety, title = Safety.MANUAL, "Install the kernel's module br_netfilter and load it, now and at boot"
    else:
        commands = ["systemctl reboot"]
        safety, title = Safety.DISRUPTIVE, "Have br_netfilter loaded at boot, and boot the kernel that is installed"
    persist = (*_list_module(module), *(_write_down(here.boot, family) for family in off))
    if module.blocked:
        safety = Safety.MANUAL
    if module.state == "kernel-gone":  # what is to last must be written before the machine goes down
        return Fix(title, (*_unblock(module), *persist, *commands), "lsmod | grep br_netfilter", safety)
    return Fix(title, tuple(commands), f"sysctl {IPV4.key}", safety, persist)


def _install_modules(distribution: Distribution | Unobserved, release: str) -> list[str]:
    """The package that holds kernel/net/bridge/br_netfilter.ko, where the distribution splits the kernel's modules."""
    family: Literal["debian", "rhel", "suse", "flatcar", "other"] = "other"
    if isinstance(distribution, Distribution):
        family = distribution.family
    match family:
        case "debian" if isinstance(distribution, Distribution) and distribution.id == "ubuntu":
            return [f"apt-get install -y linux-modules-{release} linux-modules-extra-{release}"]
        case "debian":
            return [f"apt-get install -y --reinstall linux-image-{release}"]
        case "rhel":
            return [f"dnf install -y kernel-modules-{release}"]
        case "suse":  # its -base flavour leaves modules out
            return ["zypper install -y kernel-default"]
        case _:
            return []


def _turn_on(here: Situation, family: Family) -> Fix:
    persist = [] if here.module.after_boot else _list_module(here.module)
    winner = here.boot.winner(family.key)
    if winner is None or not winner.turns_on:
        persist.append(_write_down(here.boot, family))
    return Fix(
        title=f"Let bridged packets pass {family.program}, now and after a boot",
        commands=(*_unblock(here.module), f"sysctl -w {family.key}=1"),
        persist=tuple(persist),
        verify=f"sysctl -n {family.key}",
        # Rules of the node's own that drop in FORWARD begin to see what pods send each other.
        safety=Safety.MANUAL if here.module.blocked else Safety.SAFE,
    )


def _list_module(module: BrNetfilter) -> list[str]:
    if module.state == "built-in" or module.at_boot is not None:
        return []
    name = module.boot.free_name("", "br-netfilter")
    return [f"mkdir -p /etc/modules-load.d && echo br_netfilter > /etc/modules-load.d/{name}"]


def _unblock(module: BrNetfilter) -> list[str]:
    """Take the lines out that keep the module from being loaded; a copy of each file stays beside it."""
    files = dict.fromkeys(line.where.rpartition(":")[0] for line in module.blocked)
    return [
        f"sed -i.k8sdoctor -E '/^[[:space:]]*(blacklist|install)[[:space:]]+br[_-]netfilter/s/^/# /' {file}"
        for file in files
    ]


def _write_down(boot: SysctlBoot, family: Family) -> str:
    path, key = boot.drop_in(family.switch, family.key)
    return f"mkdir -p /etc/sysctl.d && echo '{key} = 1' > {path}"
