"""The rules that kube-proxy writes in its iptables mode, as `iptables-save` showed them on a real node of v1.36.

    rules = [ServicePort("kube-system/kube-dns:dns", "udp", "10.96.0.10", 53, ("10.244.0.2:53", "10.244.0.3:53"))]
    node.run(["iptables-restore", "-w", "--noflush"], stdin=restore(rules, pods="10.244.0.0/16"))

Chains and comments are named as kube-proxy names them (kubernetes pkg/proxy/iptables/proxier.go).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FRAME = """\
*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{rejects}
COMMIT
*nat
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SERVICES - [0:0]
{chains}
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
{rules}
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
"""


@dataclass(frozen=True)
class ServicePort:
    """One port of a service: `name` is `namespace/name:port`, `backends` are `address:port`."""

    name: str
    protocol: str
    address: str
    port: int
    backends: Sequence[str]

    @property
    def chain(self) -> str:
        """Its KUBE-SVC chain."""
        return f"KUBE-SVC-{_hash(self.name + self.protocol)}"

    def backend_chain(self, backend: str) -> str:
        """The KUBE-SEP chain of one of its backends."""
        return f"KUBE-SEP-{_hash(self.name + self.protocol + backend)}"

    def _match(self) -> str:
        host = 128 if ":" in self.address else 32
        return (
            f'-d {self.address}/{host} -p {self.protocol} -m comment --comment "{self.name} cluster IP" '
            f"-m {self.protocol} --dport {self.port}"
        )

    def reject(self) -> str:
        """What stands in the filter table while nothing is behind the port."""
        host = 128 if ":" in self.address else 32
        return (
            f'-A KUBE-SERVICES -d {self.address}/{host} -p {self.protocol} -m comment --comment "{self.name} has no endpoints" '
            f"-m {self.protocol} --dport {self.port} -j REJECT"
        )

    def rules(self, pods: str) -> Iterator[str]:
        """The rules of the table nat."""
        yield f"-A KUBE-SERVICES {self._match()} -j {self.chain}"
        yield f"-A {self.chain} ! -s {pods} {self._match()} -j KUBE-MARK-MASQ"
        for position, backend in enumerate(self.backends):
            left = len(self.backends) - position
            chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
            chain = self.backend_chain(backend)
            host = backend.rpartition(":")[0].strip("[]")
            yield f'-A {self.chain} -m comment --comment "{self.name} -> {backend}" {chance}-j {chain}'
            yield (
                f"-A {chain} -s {host}/{128 if ':' in host else 32} "
                f'-m comment --comment "{self.name}" -j KUBE-MARK-MASQ'
            )
            yield (
                f'-A {chain} -p {self.protocol} -m comment --comment "{self.name}" -m {self.protocol} '
                f"-j DNAT --to-destination {backend}"
            )


def restore(ports: Sequence[ServicePort], *, pods: str) -> str:
    """All rules for these service ports, for `iptables-restore --noflush`; `pods` is the pod CIDR."""
    served = [port for port in ports if port.backends]
    chains = [f":{name} - [0:0]" for port in served for name in (port.chain, *map(port.backend_chain, port.backends))]
    # The kubelet's rule against martians is of IPv4 alone.
    frame = (
        _FRAME
        if ":" not in pods
        else "".join(one for one in _FRAME.splitlines(keepends=True) if "127.0.0.0" not in one)
    )
    return frame.format(
        rejects="\n".join(port.reject() for port in ports if not port.backends),
        chains="\n".join(dict.fromkeys(chains)),
        rules="\n".join(rule for port in served for rule in port.rules(pods)),
    )


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
