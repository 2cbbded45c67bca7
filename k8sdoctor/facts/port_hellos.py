"""Whether who listens on a port speaks TLS there, where it is not known who that is."""

from __future__ import annotations

from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.ports import Ports
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.stage import Stage
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import TlsAnswer

TLS = frozenset({"kubelet", "kube-controller-manager", "kube-scheduler"})
"""Programs that speak TLS on their port whatever they were told; the API server's and etcd's are looked at elsewhere."""


@dataclass(frozen=True)
class PortHellos:
    """What came back to a TLS hello, by port: for ports whose holder is not to be seen, on a node that has joined."""

    answers: Mapping[int, TlsAnswer] = field(default_factory=dict)

    @classmethod
    def observe(cls, host: Host, stage: Stage, ports: Ports) -> Self:
        """Say hello on the node's own addresses. Never raises."""
        if not stage.joined:
            return cls()
        probes = {
            need.port: partial(_hello, host, held.socket["address"], need.port)
            for need in ports.needs
            if need.program in TLS
            for held in ports.at(need.port)
            if held.socket["pid"] is None
        }
        found = dict(zip(probes, side_by_side(list(probes.values())), strict=True))
        return cls({port: answer for port, answer in found.items() if answer is not None})


def _hello(host: Host, address: str, port: int) -> TlsAnswer | None:
    reached = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(address, address)  # noqa: S104 -- where it listens
    try:
        return host.tls(reached, port)
    except HostError:  # --offline, or not recorded
        return None
