"""The packet filters of this node, for packets to and from itself, and who keeps them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.filter_rules import Packet, RuleSet, parse_iptables, parse_nft
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.refused_program import refused
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.host import Host

# Tables of iptables' nftables variant, which iptables-save shows.
_OF_IPTABLES = frozenset({"filter", "nat", "mangle", "raw", "security"})
_UFW = "/etc/ufw/ufw.conf"
_TABLE = regex(r"^table (\S+) (\S+)")
_KEEP_INPUT = ("table ", "hook input")
_KEEP = (*_KEEP_INPUT, "hook output")
_HOOK = regex(r"type filter hook (?:in|out)put ")


@dataclass(frozen=True)
class NodeFilter:
    """`sets` are the tables that judge packets to and from this node. `firewalld` and `ufw` tell whether they keep them.

    `uplinks` are, by family, the interface of the default route. `blind` says what could not be looked at.
    """

    sets: tuple[RuleSet, ...] = ()
    firewalld: bool = False
    ufw: bool = False
    uplinks: tuple[tuple[int, str], ...] = ()
    blind: tuple[Unobserved, ...] = ()

    def shut(self, packet: Packet) -> tuple[RuleSet, str] | None:
        """The table that surely drops a packet, and by which rule; None where none does."""
        for one in self.sets:
            outcomes, rule = one.outcomes(packet)
            if outcomes == {"drop"}:
                return one, rule
        return None

    def open(self, packet: Packet) -> bool:
        """Whether every table surely accepts a packet, whoever sends it."""
        return all(one.outcomes(packet)[0] == {"accept"} for one in self.sets)

    @classmethod
    def observe(cls, host: Host, processes: Processes | Unobserved) -> Self:
        """Read the rules of all mechanisms at the same time. Never raises: what could not be read is blind."""
        blind: list[Unobserved] = []
        uplinks = tuple(_uplinks(host, blind))
        look = _Look(host, blind)
        probes: list[Callable[[], list[RuleSet]]] = [partial(look.iptables, family) for family, _ in uplinks]
        sets = [one for found in side_by_side([*probes, look.nftables]) for one in found]
        firewalld = isinstance(processes, Processes) and any(
            "firewalld" in (process["name"], *(word.rpartition("/")[2] for word in process["cmdline"][:3]))
            for process in processes.all
        )
        return cls(
            tuple(sets),
            firewalld or any(one.name == "nft inet firewalld" for one in sets),
            _enabled(host) and any("ufw-user-input" in one.chains for one in sets),
            uplinks,
            tuple(blind),
        )


def _uplinks(host: Host, blind: list[Unobserved]) -> Iterator[tuple[int, str]]:
    try:
        names = {link["index"]: link["name"] for link in host.netlink("links") if "index" in link and "name" in link}
        routes = host.netlink("routes")
    except HostError as error:
        blind.append(Unobserved(error.reason, error.message))
        return
    seen: set[int] = set()
    for route in routes:
        family = route.get("family", 0)
        name = names.get(route.get("oif", 0))
        if (
            route.get("destination") in ("0.0.0.0/0", "::/0")
            and family not in seen
            and name is not None
            and name != "lo"
        ):
            seen.add(family)
            yield family, name


def _enabled(host: Host) -> bool:
    try:
        return "ENABLED=yes" in (host.read_optional(_UFW) or "").split()
    except HostError:
        return False


@dataclass(frozen=True)
class _Look:
    """One look through the mechanisms."""

    host: Host
    blind: list[Unobserved]

    def iptables(self, family: int) -> list[RuleSet]:
        """The variant that `iptables-save` shows, and the older one beside it where it has rules."""
        stem = "iptables" if family == 4 else "ip6tables"  # noqa: PLR2004 -- the family
        said = self._run(f"{stem}-save", "-t", "filter")
        found = [parse_iptables(said, stem, family)]
        # Without a table the older variant has no rule, and asking it for one would make the kernel load it.
        names = f"/proc/1/net/{'ip6' if family == 6 else 'ip'}_tables_names"  # noqa: PLR2004
        try:
            older = "filter" in (self.host.read_optional(names) or "").split()
        except HostError as error:
            self.blind.append(Unobserved(error.reason, error.message))
            older = False
        if older and "(nf_tables)" in said.partition("\n")[0]:
            found.append(parse_iptables(self._run(f"{stem}-legacy-save", "-t", "filter"), f"{stem}-legacy", family))
        return [one for one in found if one is not None]

    def nftables(self) -> list[RuleSet]:
        """Tables with a chain for packets to or from this node, but iptables' own and kube-proxy's, which drops nothing that is for a port in use."""
        found: list[RuleSet] = []
        table: tuple[str, str] | None = None
        wanted: list[tuple[str, str]] = []
        for line in self._run("nft", "list", "chains", keep=_KEEP).splitlines():
            match = _TABLE.match(line)
            if match:
                table = match[1], match[2]
            elif table is not None and _HOOK.search(line) and table not in wanted:
                wanted.append(table)
        for family, name in wanted:
            if (
                (family in ("ip", "ip6") and name in _OF_IPTABLES)
                or name == "kube-proxy"
                or family not in ("ip", "ip6", "inet")
            ):
                continue
            one = parse_nft(self._run("nft", "-j", "list", "table", family, name), f"nft {family} {name}")
            if one is not None:
                found.append(one)
        return found

    def _run(self, *argv: str, keep: tuple[str, ...] = ()) -> str:
        try:
            result = self.host.run(*argv, keep=keep)
        except HostError as error:
            # A release that judged packets to the node alone recorded no more.
            if error.reason == "NotRecorded" and keep == _KEEP:
                return self._run(*argv, keep=_KEEP_INPUT)
            if error.reason != "NotFound":
                self.blind.append(Unobserved(error.reason, error.message))
            return ""
        if (failed := refused(self.host, argv, result)) is not None:
            self.blind.append(failed)
        return result["out"]
