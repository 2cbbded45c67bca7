"""Rules of this node that drop, refuse or do not track packets, with what they have counted: iptables in both variants, nftables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from k8sdoctor.facts import numbers
from k8sdoctor.facts.refused_program import refused
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.host import Host

Verdict: TypeAlias = Literal["drop", "reject", "notrack"]

_KEEP = ("*", ":FORWARD ", ":INPUT ", ":OUTPUT ", "# Generated", "-j DROP", "-j REJECT", "NOTRACK", "--notrack")
_NFT_KEEP = ("table ", "chain ", "policy drop", " drop", " reject", "notrack")
_VERDICTS: dict[str, Verdict] = {"DROP": "drop", "REJECT": "reject", "NOTRACK": "notrack", "CT": "notrack"}
_COUNTED = regex(r"^\[(\d+):\d+\] (-A (\S+) .*)$")
_POLICY = regex(r"^:(\S+) DROP \[(\d+):\d+\]$")
_NFT_COUNTER = regex(r" ?counter packets (\d+) bytes \d+")
_NFT_HANDLE = regex(r" # handle (\d+)$")
_MANAGED = frozenset({"filter", "nat", "raw", "mangle", "security"})
"""Tables of the families ip and ip6 that iptables-nft writes, and that are read from `iptables-save`."""


@dataclass(frozen=True, slots=True)
class FilterRule:
    """A rule, or a chain's policy (`line` empty), that ends the way of packets or exempts them from connection tracking.

    `program` is the command that shows it (`iptables-save`, `nft`), `family` 4, 6 or 0 for both. `packets` is None where nobody counts.
    """

    program: str
    family: int
    table: str
    chain: str
    verdict: Verdict
    line: str = ""
    packets: int | None = None
    handle: str = ""
    hook: str = ""
    """Of nftables: the hook of its chain, where that is a base chain."""

    @property
    def key(self) -> tuple[str, ...]:
        """What stays the same when it counts."""
        return (self.program, str(self.family), self.table, self.chain, self.line, self.handle)

    def __str__(self) -> str:
        what = f"rule `{self.line}`" if self.line else f"policy `{self.verdict}`"
        return f"{what} of chain {self.chain}, table {self.table} ({self.program})"


def read(host: Host, families: Iterable[int], attempt: int) -> tuple[list[FilterRule], list[Unobserved]]:
    """All such rules, in the order in which they stand; and what could not be read. A program that is not installed has no rules."""
    rules: list[FilterRule] = []
    blind: list[Unobserved] = []

    def said(*argv: str, keep: tuple[str, ...]) -> str:
        try:
            result = host.run(*argv, keep=keep, attempt=attempt)
        except HostError as error:
            if error.reason != "NotFound":
                blind.append(Unobserved(error.reason, error.message))
            return ""
        if (failed := refused(host, argv, result)) is not None:
            blind.append(failed)
        return result["out"]

    for family in sorted(set(families)):
        stem = "iptables" if family == 4 else "ip6tables"  # noqa: PLR2004 -- the family
        text = said(f"{stem}-save", "-c", keep=_KEEP)
        rules += parse_iptables(text, f"{stem}-save", family)
        names = f"/proc/1/net/{'ip' if family == 4 else 'ip6'}_tables_names"  # noqa: PLR2004
        try:
            legacy = bool((host.read_optional(names) or "").strip())
        except HostError as error:
            blind.append(Unobserved(error.reason, error.message))
            legacy = False
        if legacy and "(nf_tables)" in text.partition("\n")[0]:
            program = f"{stem}-legacy-save"
            rules += parse_iptables(said(program, "-c", keep=_KEEP), program, family)
    rules += parse_nft(said("nft", "-a", "list", "ruleset", keep=_NFT_KEEP))
    return rules, blind


def parse_iptables(text: str, program: str, family: int) -> Iterator[FilterRule]:
    r"""What `iptables-save -c` shows of them.

    >>> lines = ["*filter", ":FORWARD DROP [7:90]", "[3:183] -A FORWARD -p udp -m udp --dport 53 -j DROP"]
    >>> [(one.chain, one.verdict, one.packets, one.line) for one in parse_iptables("\n".join(lines), "iptables-save", 4)]
    [('FORWARD', 'drop', 7, ''), ('FORWARD', 'drop', 3, '-A FORWARD -p udp -m udp --dport 53 -j DROP')]
    """
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif policy := _POLICY.match(line):
            yield FilterRule(program, family, table, policy[1], "drop", packets=numbers.whole(policy[2]))
        elif counted := _COUNTED.match(line):
            target = (re.findall(r" -j (\S+)", line) or [""])[-1]
            verdict = _VERDICTS.get(target)
            if verdict and (target != "CT" or "--notrack" in line):
                yield FilterRule(program, family, table, counted[3], verdict, counted[2], numbers.whole(counted[1]))


def parse_nft(text: str) -> Iterator[FilterRule]:
    """What `nft -a list ruleset` shows of them, but for the tables of iptables-nft and of kube-proxy.

    >>> text = '''table inet fw { # handle 3
    ... chain forward { # handle 1
    ... type filter hook forward priority filter; policy drop;
    ... udp dport 53 counter packets 2 bytes 8 drop # handle 2
    ... '''
    >>> [(one.chain, one.verdict, one.packets, one.line) for one in parse_nft(text)]
    [('forward', 'drop', None, ''), ('forward', 'drop', 2, 'udp dport 53 drop')]
    """
    family, table, chain, hook = "", "", "", ""
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if words[:1] == ["table"] and len(words) > 2:  # noqa: PLR2004 -- family and name
            family, table, chain, hook = words[1], words[2], "", ""
            continue
        if words[:1] == ["chain"] and len(words) > 1:
            chain, hook = words[1], ""
            continue
        if (family in ("ip", "ip6") and table in _MANAGED) or table == "kube-proxy" or family not in _NFT_FAMILIES:
            continue
        kind = _NFT_FAMILIES[family]
        name = f"{family} {table}"
        if based := re.match(r"type \S+ hook (\S+) .*policy drop;", line):
            hook = based[1]
            yield FilterRule("nft", kind, name, chain, "drop", hook=hook)
            continue
        plain = _NFT_HANDLE.sub("", line)
        verdict = next((word for word in _NFT_VERDICTS if re.search(rf"(?:^| ){word}\b", plain)), None)
        if verdict is None or plain.startswith(("type ", "set ", "map ")):
            continue
        counter, handle = _NFT_COUNTER.search(plain), _NFT_HANDLE.search(line)
        yield FilterRule(
            "nft",
            kind,
            name,
            chain,
            verdict,
            _NFT_COUNTER.sub("", plain),
            numbers.whole(counter[1]) if counter else None,
            handle[1] if handle else "",
            hook,
        )


_NFT_VERDICTS: tuple[Verdict, ...] = ("drop", "reject", "notrack")
_NFT_FAMILIES = {"ip": 4, "ip6": 6, "inet": 0, "bridge": 0, "netdev": 0}
