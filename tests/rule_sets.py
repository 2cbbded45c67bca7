"""Rules of a node's firewall for tests, as iptables-save and nft print them."""

from __future__ import annotations

import json
from typing import Any, Literal

from k8sdoctor.facts.filter_rules import RuleSet, parse_iptables, parse_nft


def iptables(*rules: str, policy: str = "ACCEPT") -> RuleSet:
    """Rules for packets to this node; `policy` is INPUT's."""
    return _filter(*("*nat", ":INPUT DROP [0:0]", "*filter", f":INPUT {policy} [0:0]"), *rules)


def leaving(*rules: str, policy: str = "ACCEPT", family: Literal[4, 6] = 4) -> RuleSet:
    """Rules for packets of this node; `policy` is OUTPUT's."""
    return _filter(*("*filter", ":INPUT ACCEPT [0:0]", f":OUTPUT {policy} [0:0]"), *rules, family=family)


def _filter(*lines: str, family: Literal[4, 6] = 4) -> RuleSet:
    made = parse_iptables("\n".join(lines), "iptables", family)
    assert made is not None
    return made


def nft(
    *rules: list[Any],
    policy: str = "drop",
    family: str = "inet",
    sets: tuple[dict[str, Any], ...] = (),
    hook: str = "input",
) -> RuleSet:
    """A table with one chain, for packets to this node unless told."""
    chain = {
        "family": family,
        "table": "t",
        "name": "in",
        "type": "filter",
        "hook": hook,
        "prio": 0,
        "policy": policy,
    }
    items = [
        {"metainfo": {}},
        {"table": {"family": family, "name": "t"}},
        *({"set": one} for one in sets),
        {"chain": chain},
        *({"rule": {"family": family, "table": "t", "chain": "in", "expr": rule}} for rule in rules),
    ]
    made = parse_nft(json.dumps({"nftables": items}), "nft inet t")
    assert made is not None
    return made
