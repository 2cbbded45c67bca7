"""What the rules for packets to and from this node itself do with the first packet of a connection: iptables' chains INPUT and OUTPUT, nftables' hooks
of these names; and of a table of nftables that has such, what it does with packets that the node forwards.

Each rule becomes conditions on what is known of such a packet; whatever else a rule asks for (a source, a mark, a rate) may hold or not. So the rules
tell what may become of the packet: `accept`, `drop`, or either.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import field
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from k8sdoctor.facts import numbers
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from k8sdoctor.facts.cni_network import Subnet

Outcome: TypeAlias = Literal["accept", "drop", "on"]
"""What a chain may do with the packet; `on` is back to who called it."""

_EITHER: frozenset[Outcome] = frozenset({"accept", "drop", "on"})

# Chains of others that only take in what they know, or that only mark: kube-proxy's and the kubelet's drop what nobody sends (a mark, a martian).
_PASSED_OVER = ("KUBE-", "CILIUM_")
_DEEPEST = 20  # chains that call each other; the kernel refuses loops


class Packet(NamedTuple):
    """The first packet of a connection to `port`: of this node, where it comes in at `interface`; or of `destination`, to which this node sends it by `out`.

    With both, it is one that comes in here and leaves there, and that is for no service. `source` is the subnet that its sender is of. None and an
    empty name mean that it may be any.
    """

    family: int
    protocol: str
    port: int
    interface: str = ""
    source: Subnet | None = None
    out: str = ""
    destination: Subnet | None = None

    @property
    def forwarded(self) -> bool:
        """Whether it only passes through this node."""
        return bool(self.interface and self.out)


class Condition(NamedTuple):
    """One thing that a rule asks for. `key` is `interface`, `out`, `protocol`, `port`, `state`, `family`, `source`, `destination`, `local` (it is for an
    address of this node) or `other`, which nobody can tell. The state `dnat` is that of a packet whose destination was translated (iptables-extensions(8)).

    `values` are names, subnets, or pairs of the lowest and highest number.
    """

    key: str
    values: tuple[Any, ...] = ()
    negated: bool = False

    def holds(self, packet: Packet) -> bool | None:
        """Whether it holds for a packet; None where that cannot be told."""
        match self.key:
            case "interface" | "out":
                name = packet.interface if self.key == "interface" else packet.out
                if not name:
                    return None
                found = any(_is_name(str(value), name) for value in self.values)
            case "local":
                if packet.destination is not None and not packet.out:
                    return None
                found = not packet.forwarded and (packet.destination is None or packet.out == "lo")
            case "protocol":
                found = packet.protocol in self.values or "all" in self.values
            case "family":
                found = packet.family in self.values
            case "state":
                found = "new" in self.values
            case "port":
                found = any(low <= packet.port <= high for low, high in self.values)
            case "source" | "destination":
                some = _is_of(packet.source if self.key == "source" else packet.destination, self.values)
                return None if some is None else some is not self.negated
            case _:
                return None
        return found is not self.negated


class Rule(NamedTuple):
    """`verdict` is `accept`, `drop`, `return`, empty (it only counts, marks or logs), or `unknown`; `to` is a chain that it leads to."""

    conditions: tuple[Condition, ...]
    verdict: str
    text: str
    to: str = ""

    def holds(self, packet: Packet) -> bool | None:
        """Whether the rule is for a packet; None where that cannot be told."""
        told = [condition.holds(packet) for condition in self.conditions]
        return False if False in told else None if None in told else True


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One table. `name` is as a person looks for it (`iptables`, `nft inet firewalld`), `bases` are the chains in which a packet to this node starts,
    with what becomes of what they pass; `outgoing` those in which one from it does, `forwarding` those for one that passes through.
    """

    name: str
    families: tuple[int, ...]
    bases: tuple[tuple[str, Outcome], ...] = ()
    chains: Mapping[str, Sequence[Rule]] = field(default_factory=dict)
    outgoing: tuple[tuple[str, Outcome], ...] = ()
    forwarding: tuple[tuple[str, Outcome], ...] = ()

    def outcomes(self, packet: Packet) -> tuple[frozenset[Outcome], str]:
        """What may become of a packet, `accept` or `drop` or both, and the rule or policy that drops it last."""
        if packet.family not in self.families:
            return frozenset({"accept"}), ""
        all_of: frozenset[Outcome] = frozenset({"accept"})
        here = self.bases if packet.destination is None else self.outgoing
        for base, policy in self.forwarding if packet.forwarded else here:
            shut: list[str] = []
            found = self._walk(base, packet, shut, 0)
            if "on" in found:
                found = (found - {"on"}) | {policy}
                if policy == "drop":
                    shut.append(f"policy of chain {base}: drop")
            if found == {"drop"}:
                return found, shut[-1] if shut else base
            all_of |= found
        return all_of, ""

    def _walk(self, chain: str, packet: Packet, shut: list[str], depth: int) -> frozenset[Outcome]:
        if chain.startswith(_PASSED_OVER):
            return frozenset({"on"})
        if chain not in self.chains or depth > _DEEPEST:
            return _EITHER
        found: set[Outcome] = set()
        for rule in self.chains[chain]:
            holds = rule.holds(packet)
            if holds is False:
                continue
            done = self._of(rule, packet, shut, depth)
            found |= done - {"on"}
            if holds and "on" not in done:
                return frozenset(found)
            if rule.verdict == "return":
                found.add("on")
                if holds:
                    return frozenset(found)
        return frozenset(found | {"on"})

    def _of(self, rule: Rule, packet: Packet, shut: list[str], depth: int) -> frozenset[Outcome]:
        if rule.to:
            return self._walk(rule.to, packet, shut, depth + 1)
        if rule.verdict == "drop":
            shut.append(rule.text)
        match rule.verdict:
            case "accept":
                return frozenset({"accept"})
            case "drop":
                return frozenset({"drop"})
            case "unknown":
                return _EITHER
            case _:
                return frozenset({"on"})


def _is_of(subnet: Subnet | None, subnets: Sequence[Any]) -> bool | None:
    """Whether the addresses of a subnet are of one of others: all of them, none, or (None) that depends on the address."""
    if subnet is None or None in subnets:
        return None
    alike = [each for each in subnets if each.version == subnet.version]
    if any(subnet.subnet_of(each) for each in alike):
        return True
    return None if any(subnet.overlaps(each) for each in alike) else False


def _subnet(text: Any) -> Subnet | None:
    """A subnet or an address as rules write them; None for what is neither, such as a name."""
    try:
        return ip_network(text, strict=False)
    except (ValueError, TypeError):
        return None


def _is_name(pattern: str, interface: str) -> bool:
    """Whether a name of a rule means an interface; `eth+` (iptables) and `eth*` (nftables) mean all that begin so."""
    return interface.startswith(pattern[:-1]) if pattern.endswith(("+", "*")) else pattern == interface


# -- iptables-save -------------------------------------------------------------------------------------------------------

_TARGETS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return"}
_SILENT = frozenset(
    {
        "LOG",
        "NFLOG",
        "MARK",
        "CONNMARK",
        "ULOG",
        "TRACE",
        "AUDIT",
        "CT",
        "SET",
        "TCPMSS",
        "NOTRACK",
        "SECMARK",
        "CONNSECMARK",
        "",
    }
)


def parse_iptables(text: str, name: str, family: int) -> RuleSet | None:
    r"""The chains INPUT and OUTPUT of the table filter, and what they lead to; None where there is neither.

    What it does not lead to is not read: kube-proxy and block lists write tens of thousands of rules elsewhere.

    >>> text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
    >>> rules = parse_iptables(text, "iptables", 4)
    >>> [rules.outcomes(Packet(4, "tcp", port, "eth0")) for port in (22, 6443)]
    [(frozenset({'accept'}), ''), (frozenset({'drop'}), 'policy of chain INPUT: drop')]
    """
    table = ""
    policies: dict[str, Outcome] = {}
    lines: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif table != "filter":
            continue
        elif line.startswith(":"):
            chain, _, rest = line[1:].partition(" ")
            lines.setdefault(chain, [])
            if chain in ("INPUT", "OUTPUT"):
                policies[chain] = "drop" if rest.startswith("DROP ") else "accept"
        elif line.startswith("-A "):
            lines.setdefault(line[3:].partition(" ")[0], []).append(line)
    if not policies:
        return None
    chains: dict[str, list[Rule]] = {chain: [] for chain in lines}  # by its chains one knows whose firewall it is
    ahead = [*policies]
    while ahead:
        chain = ahead.pop()
        if lines.get(chain):
            chains[chain] = [_iptables_rule(line) for line in lines.pop(chain)]
            ahead += [rule.to for rule in chains[chain] if rule.to]
    bases, outgoing = (tuple(each for each in policies.items() if each[0] == chain) for chain in ("INPUT", "OUTPUT"))
    return RuleSet(name, (family,), bases, chains, outgoing)


def _iptables_rule(line: str) -> Rule:
    try:
        words = shlex.split(line)
    except ValueError:  # a comment with an odd quote
        words = line.split()
    conditions: list[Condition] = []
    target, leads = "", False
    negated = False
    at = 2
    while at < len(words):
        word = words[at]
        value = words[at + 1] if at + 1 < len(words) else ""
        if word == "!":
            negated = True
            at += 1
            continue
        if not word.startswith("-"):  # a second value, as of --match-set
            at += 1
            continue
        if word in ("-j", "-g"):
            target, leads = value, True
            break  # what follows are the target's own options
        if word not in ("-m", "--comment"):
            conditions.append(_iptables_condition(word, value, negated=negated))
        negated = False
        at += 1 if value.startswith("-") else 2  # --syn and its like have none
    verdict = _TARGETS.get(target, "")
    to = "" if verdict or target in _SILENT or not leads else target
    return Rule(tuple(conditions), verdict, line, to)


def _iptables_condition(word: str, value: str, *, negated: bool) -> Condition:
    match word:
        case "-i":
            return Condition("interface", (value,), negated)
        case "-o":
            return Condition("out", (value,), negated)
        case "-s":
            return Condition("source", (_subnet(value),), negated)
        case "-d":
            return Condition("destination", (_subnet(value),), negated)
        case "-p":
            return Condition("protocol", (value,), negated)
        case "--dport" | "--dports":
            return Condition("port", tuple(_range(part, ":") for part in value.split(",")), negated)
        case "--ctstate" | "--state":
            return Condition("state", tuple(value.lower().split(",")), negated)
        case "--dst-type" if value == "LOCAL":
            return Condition("local", (), negated)
        case _:
            return Condition("other")


def _range(text: str, sign: str) -> tuple[int, int]:
    """A port or a range of ports; what is none holds for no port."""
    low, _, high = text.partition(sign)
    first, last = numbers.whole(low), numbers.whole(high or low)
    return (1, 0) if first is None or last is None else (first, last)


# -- nft -j --------------------------------------------------------------------------------------------------------------

_FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
_FINAL = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}
_SETS = frozenset({"counter", "log", "limit", "mangle", "notrack", "ct helper", "meter", "set", "flow", "quota", "xt"})
_MAYBE = frozenset({"limit", "xt", "quota", "meter"})
"""Statements that let only some packets on to the next."""


def parse_nft(text: str, name: str) -> RuleSet | None:
    """A table as `nft -j list table` shows it (libnftables-json(5)); None where nothing of it is for packets to or from this node, or it is no JSON."""
    try:
        items = json.loads(text)["nftables"]
        kinds = [next(iter(item.items())) for item in items]
    except (ValueError, KeyError, TypeError, StopIteration, AttributeError, RecursionError):
        return None
    sets = {one.get("name"): one.get("elem", []) for kind, one in kinds if kind == "set" and isinstance(one, dict)}
    chains: dict[str, list[Rule]] = {}
    bases: dict[str, list[tuple[int, str, Outcome]]] = {"input": [], "output": [], "forward": []}
    family = ""
    for kind, one in kinds:
        if not isinstance(one, dict):
            continue
        if kind == "chain":
            family = str(one.get("family", family))
            chains.setdefault(str(one.get("name")), [])
            if one.get("hook") in bases and one.get("type") == "filter":
                priority = one.get("prio")
                bases[one["hook"]].append(
                    (
                        priority if isinstance(priority, int) else 0,
                        str(one.get("name")),
                        "drop" if one.get("policy") == "drop" else "accept",
                    )
                )
        elif kind == "rule":
            chains.setdefault(str(one.get("chain")), []).extend(_nft_rules(one.get("expr"), sets))
    if not any(bases.values()) or family not in _FAMILIES:
        return None
    into, out, through = (tuple((chain, policy) for _, chain, policy in sorted(each)) for each in bases.values())
    return RuleSet(name, _FAMILIES[family], into, chains, out, through)


def _nft_rules(expression: Any, sets: Mapping[Any, Any]) -> Iterable[Rule]:
    """A rule is several of ours where it leads to a verdict by a map."""
    conditions: list[Condition] = []
    for statement in expression if isinstance(expression, list) else ():
        if not isinstance(statement, dict) or not statement:
            continue
        kind, value = next(iter(statement.items()))
        if kind == "match":
            conditions += _nft_match(value, sets)
        elif kind in _FINAL:
            yield Rule(tuple(conditions), _FINAL[kind], _nft_text(expression))
        elif kind in ("jump", "goto") and isinstance(value, dict):
            yield Rule(tuple(conditions), "", _nft_text(expression), str(value.get("target")))
            if kind == "goto":
                yield Rule(tuple(conditions), "return", _nft_text(expression))
        elif kind == "vmap":
            yield from _nft_map(value, tuple(conditions), expression)
        elif kind in _MAYBE or kind not in _SETS:
            conditions.append(Condition("other"))


def _nft_map(value: Any, conditions: tuple[Condition, ...], expression: Any) -> Iterable[Rule]:
    try:
        entries = [(key, *next(iter(verdict.items()))) for key, verdict in value["data"]["set"]]
    except (TypeError, KeyError, ValueError, StopIteration, AttributeError):
        yield Rule((*conditions, Condition("other")), "unknown", _nft_text(expression))
        return
    for key, kind, to in entries:
        asked = _nft_match({"op": "==", "left": value.get("key"), "right": key}, {})
        target = str(to.get("target")) if kind in ("jump", "goto") and isinstance(to, dict) else ""
        yield Rule((*conditions, *asked), _FINAL.get(kind, ""), _nft_text(expression), target)


_STATES = ("new", "established", "related", "invalid", "untracked")
_STATUSES = ("dnat",)


def _nft_match(value: Any, sets: Mapping[Any, Any]) -> list[Condition]:
    if not isinstance(value, dict) or value.get("op") not in ("==", "!=", "in"):
        return [Condition("other")]
    left, negated = value.get("left"), value["op"] == "!="
    found = _values(value.get("right"), sets)
    if found is None:
        return [Condition("other")]
    match left:
        case {"payload": {"protocol": "tcp" | "udp" | "th" as protocol, "field": "dport"}}:
            asked = () if protocol == "th" else (Condition("protocol", (protocol,)),)
            ports = tuple(each if isinstance(each, tuple) else _range(str(each), "-") for each in found)
            return [*asked, Condition("port", ports, negated)]
        case {"meta": {"key": "iifname" | "iif" | "oifname" | "oif" as key}}:
            return [Condition("interface" if key[0] == "i" else "out", tuple(map(str, found)), negated)]
        case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip", "field": "protocol"}}:
            return [Condition("protocol", tuple(map(str, found)), negated)]
        case {"meta": {"key": "nfproto"}}:
            return [Condition("family", tuple({"ipv4": 4, "ipv6": 6}.get(str(each), 0) for each in found), negated)]
        case {"ct": {"key": "state" | "status" as key}}:
            known = _STATES if key == "state" else _STATUSES
            states = tuple(str(each) for each in found if each in known)
            return [Condition("state" if states or key == "state" else "other", states, negated)]
        case {"payload": {"protocol": "ip6" | "ip" as protocol, "field": name}}:
            family = Condition("family", (4 if protocol == "ip" else 6,))
            subnets = tuple(map(_subnet, found))
            which = {"saddr": "source", "daddr": "destination"}.get(name, "other")
            return [family, Condition(which, subnets, negated)]
        case {"payload": {"protocol": "icmp" | "icmpv6" | "tcp" | "udp" | "sctp" as protocol}}:
            return [Condition("protocol", (protocol,)), Condition("other")]
        case _:
            return [Condition("other")]


def _values(right: Any, sets: Mapping[Any, Any]) -> list[Any] | None:
    """The values of a match's right side, ranges as pairs; None for what cannot be told."""
    if isinstance(right, str) and right.startswith("@"):
        right = {"set": sets.get(right[1:])}
    if isinstance(right, dict) and isinstance(right.get("set"), list):
        right = right["set"]
    if not isinstance(right, list):
        right = [right]
    found: list[Any] = []
    for each in right:
        one = each.get("elem", each).get("val") if isinstance(each, dict) and "elem" in each else each
        if (
            isinstance(one, dict)
            and isinstance(one.get("range"), list)
            and all(isinstance(end, int) for end in one["range"])
        ):
            found.append(tuple(one["range"]))
        elif isinstance(one, dict) and isinstance(prefix := one.get("prefix"), dict):
            found.append(f"{prefix.get('addr')}/{prefix.get('len')}")
        elif isinstance(one, (str, int)):
            found.append(one)
        else:
            return None
    return found


def _nft_text(expression: Any) -> str:
    return json.dumps(expression, separators=(",", ":"))[:300]
