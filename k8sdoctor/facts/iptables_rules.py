"""Lines of `iptables-save`, and what kube-proxy's chains among them do with a service address."""

from __future__ import annotations

import shlex
from ipaddress import ip_address
from typing import TYPE_CHECKING

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SERVICES = "KUBE-SERVICES"
"""The chain in which kube-proxy looks for service addresses, of the tables nat and filter."""

_OPTIONS = ("-d", "-p", "--dport", "-j", "-g", "--to-destination", "--comment")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its chain, the options that matter here, and the line. An option that is negated (`! -d`) is left out."""

    chain: str
    options: dict[str, str]
    line: str

    @property
    def target(self) -> str:
        """The chain or target that the packet goes to."""
        return self.options.get("-j") or self.options.get("-g") or ""

    @property
    def service(self) -> str | None:
        """`namespace/name:port` of the service that the rule is for, by kube-proxy's comment."""
        words = self.options.get("--comment", "").split()
        return words[0] if words and "/" in words[0] else None

    def matches(self, address: str, protocol: str, port: int) -> bool:
        """Whether the rule is for packets to this address and port."""
        return (
            self.options.get("-d", "").partition("/")[0] == address
            and self.options.get("-p", protocol) == protocol
            and self.options.get("--dport", str(port)) == str(port)
        )


def parse(lines: Iterable[str]) -> list[Rule]:
    """The rules among some lines; other lines are passed over.

    >>> [rule] = parse(['-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "a/b:dns cluster IP" --dport 53 -j KUBE-SVC-X'])
    >>> rule.target, rule.service, rule.matches("10.96.0.10", "udp", 53), rule.matches("10.96.0.10", "tcp", 53)
    ('KUBE-SVC-X', 'a/b:dns', True, False)
    """
    rules = []
    for line in lines:
        if not line.startswith("-A "):
            continue
        try:
            words = shlex.split(line)
        except ValueError:  # a comment with an odd quote
            continue
        options = {
            word: words[at + 1] for at, word in enumerate(words[:-1]) if word in _OPTIONS and words[at - 1] != "!"
        }
        rules.append(Rule(words[1], options, line))
    return rules


def backends(rules: Sequence[Rule], chain: str) -> tuple[list[str], list[str]]:
    """Where a KUBE-SVC chain sends packets, as `address:port`, and the lines that say so."""
    found: list[str] = []
    lines: list[str] = []
    for rule in rules:
        if rule.chain == chain and rule.target.startswith("KUBE-SEP-"):
            lines.append(rule.line)
            for step in rules:
                if step.chain == rule.target and (to := step.options.get("--to-destination")):
                    found.append(normal(to))
                    lines.append(step.line)
    return found, lines


def normal(endpoint: str) -> str:
    """`address:port` with the address in its canonical form.

    >>> normal("[fd00:0::a]:53"), normal("10.244.0.2:53")
    ('[fd00::a]:53', '10.244.0.2:53')
    """
    host, _, port = endpoint.rpartition(":")
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return endpoint
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004 -- the family
