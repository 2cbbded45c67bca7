"""NodeLocal DNSCache on this node: its addresses, who listens there, and the rules that keep its packets out of connection tracking."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import corefile, yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_addons import NAMESPACE
from k8sdoctor.facts.cluster_dns import PORT, ClusterDns
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.processes import Processes, flag
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import ListeningSocket

PROGRAM = "node-cache"
INTERFACE = "nodelocaldns"
"""kubernetes/dns `cmd/node-cache/main.go`, default of `-interfacename`."""

CONFIG_MAPS = ("node-local-dns", "nodelocaldns")
"""Kubernetes' own manifest, and kubespray's."""

OF_SERVICES = ("kube-ipvs0", "kube-dummy-if")
"""Interfaces that hold addresses of services, of kube-proxy in the mode IPVS and of kube-router: no cache's."""

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- as a listener's address


@dataclass(frozen=True)
class NodeLocalDns:
    """`wanted` are the addresses where a cache should listen; empty where nothing speaks of one. `held` are those of them that the node has.

    `words` is the command line of the cache, empty where it does not run here. `listening` are the addresses of `wanted` with a listener by
    UDP and TCP. `untracked` are those with rules that pass connection tracking by; None: not looked for, or `problem` says why not.
    `forces_tcp` is whether its Corefile has it ask the cluster's servers by TCP alone.
    """

    wanted: tuple[str, ...] = ()
    held: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    interface: bool = False
    listening: tuple[str, ...] = ()
    untracked: tuple[str, ...] | None = None
    problem: Unobserved | None = None
    forces_tcp: bool = False

    @property
    def runs(self) -> bool:
        """Whether the cache is a process here."""
        return bool(self.words)

    def switch(self, name: str) -> bool:
        """One of its switches, true by default (`-setupinterface`, `-setupiptables`)."""
        return not any(word.lstrip("-") in {f"{name}=false", f"{name}=0", f"{name}=f"} for word in self.words)

    @classmethod
    def observe(
        cls, host: Host, dns: ClusterDns, network: NodeNetwork, processes: Processes, access: ApiAccess | Unobserved
    ) -> Self:
        """Look at addresses, listeners, rules and configuration. Raises what keeps it from listing listeners."""
        running = processes.named(PROGRAM)
        words = tuple(running[0]["cmdline"]) if running else ()
        names = {link["index"]: link["name"] for link in network.links}
        held = {one["address"]: names.get(one["index"], "") for one in network.addresses}
        interface = INTERFACE in names.values()
        wanted = dict.fromkeys(each for each in (flag(words, "-localip", "--localip") or "").split(",") if _is_ip(each))
        wanted |= dict.fromkeys(
            address for address, name in held.items() if name == INTERFACE and not _automatic(address)
        )
        wanted |= dict.fromkeys(address for address, name in dns.on_node if name not in OF_SERVICES)
        wanted |= dict.fromkeys(one.address for one in dns.addresses if ip_address(one.address).is_link_local)
        if not wanted:
            return cls(words=words, interface=interface)
        listeners = host.listeners([PORT])
        untracked, problem = _untracked(host, tuple(wanted)) if words else (None, None)
        return cls(
            tuple(wanted),
            tuple((address, held[address]) for address in wanted if address in held),
            words,
            interface,
            tuple(address for address in wanted if _listens(address, listeners)),
            untracked,
            problem,
            _forces_tcp(host, access),
        )


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _automatic(address: str) -> bool:
    """An IPv6 address that every interface gives itself."""
    ip = ip_address(address)
    return ip.version == 6 and ip.is_link_local  # noqa: PLR2004 -- the family


def _listens(address: str, listeners: Iterable[ListeningSocket]) -> bool:
    """Whether both protocols have a listener for an address."""
    found = {each["protocol"] for each in listeners if each["address"] in EVERYWHERE or each["address"] == address}
    return found == {"udp", "tcp"}


def _untracked(host: Host, addresses: Sequence[str]) -> tuple[tuple[str, ...] | None, Unobserved | None]:
    """The addresses for which a rule of either variant of iptables says NOTRACK (nf_tables prints it as `CT --notrack`)."""
    found: set[str] = set()
    problem: Unobserved | None = None
    looked = False
    for stem, version in (("iptables", 4), ("ip6tables", 6)):
        mine = [each for each in addresses if ip_address(each).version == version]
        for program in (f"{stem}-save", f"{stem}-nft-save", f"{stem}-legacy-save"):
            if not mine or found.issuperset(mine):
                break
            # Without a table the legacy variant has no rule, and asking for one would make the kernel load it.
            tables = f"/proc/1/net/{'ip6' if stem == 'ip6tables' else 'ip'}_tables_names"
            try:
                if "legacy" in program and not (host.read_optional(tables) or "").strip():
                    continue
                result = host.run(program, keep=["NOTRACK", "notrack"])
            except HostError as error:
                problem = problem or Unobserved(error.reason, error.message)
                continue
            if result["code"]:
                words = " ".join(result["err"].split())[:200]
                problem = problem or Unobserved("Unreadable", f"`{program}` ended with {result['code']}: {words}")
                continue
            looked = True
            lines = result["out"].splitlines()
            found |= {each for each in mine if any(f" -d {each}/" in line for line in lines)}
    return (tuple(sorted(found)), None) if looked else (None, problem)


def _forces_tcp(host: Host, access: ApiAccess | Unobserved) -> bool:
    """Whether a `forward` for the cluster's zones says `force_tcp`; false where the Corefile could not be read."""
    if isinstance(access, Unobserved) or access.kubeconfig is None:
        return False
    for name in CONFIG_MAPS:
        try:
            answer = host.kube(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}", kubeconfig=access.kubeconfig)
            blocks = corefile.read(yaml.string(answer, "data", "Corefile") or "")
        except (HostError, corefile.CorefileError):
            continue
        zones = [(zone, each) for block in blocks for _, zone, _ in block.zones for each in block.named("forward")]
        return any(zone != "." and each.option("force_tcp") for zone, each in zones)
    return False
