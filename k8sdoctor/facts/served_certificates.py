"""What is served at each address by which somebody reaches an API server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.api_endpoints import ApiEndpoint, NodeEndpoints, ToldEndpoints
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, as_address
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import NetworkFailure, TlsAnswer

ATTEMPTS = 12
"""Hellos to what may be a balancer. In turn, three meet each of three members; but others use it too, so that each hello may as well be
dealt by chance, and then one bad member of three is missed once in 130 runs: (2/3) ** 12."""

PER_ADDRESS = 4
"""Hellos at least to each address of a name that has several."""


@dataclass(frozen=True)
class Hello:
    """One hello: the chain that was served (leaf first), and whom the server trusts as clients (None: nobody told)."""

    address: str
    attempt: int
    chain: tuple[Certificate, ...]
    client_cas: tuple[str, ...] | None
    failure: NetworkFailure | None

    @property
    def asks_clients(self) -> bool | None:
        """Whether the server asked for a client's certificate, as an API server does; None where that was not seen."""
        return None if self.client_cas is None else bool(self.client_cas)


@dataclass(frozen=True)
class Served:
    """All hellos to one endpoint; `unresolved` is the resolver's word where its name has no address."""

    endpoint: ApiEndpoint
    hellos: tuple[Hello, ...]
    unresolved: str | None = None


@dataclass(frozen=True)
class ServedCertificates:
    """What each endpoint serves of which the node's files tell. Endpoints that nobody can dial yet, or only by a proxy, are left out."""

    all: tuple[Served, ...]

    @classmethod
    def observe(cls, host: Host, stage: Stage, endpoints: NodeEndpoints) -> Self:
        """Say hello to every endpoint, all at the same time, several times to what may be a balancer. Raises Offline."""
        dialled = [endpoint for endpoint in endpoints.all if _dials(endpoint, stage)]
        return cls(tuple(side_by_side([partial(_look, host, endpoint) for endpoint in dialled])))


@dataclass(frozen=True)
class ToldCertificates:
    """What those endpoints serve of which the API server alone tells."""

    all: tuple[Served, ...]

    @classmethod
    def observe(cls, host: Host, stage: Stage, endpoints: ToldEndpoints, known: NodeEndpoints) -> Self:
        """Say hello to those that were not dialled yet. Raises Offline."""
        keys = {endpoint.key for endpoint in known.all if _dials(endpoint, stage)}
        dialled = [endpoint for endpoint in endpoints.all if endpoint.key not in keys and _dials(endpoint, stage)]
        return cls(tuple(side_by_side([partial(_look, host, endpoint) for endpoint in dialled])))


def _dials(endpoint: ApiEndpoint, stage: Stage) -> bool:
    if all(use.plain or use.proxy for use in endpoint.uses):
        return False
    # Nobody answers at a service address before kube-proxy runs.
    return not (stage.fresh and endpoint.kinds == {"service"})


def _look(host: Host, endpoint: ApiEndpoint) -> Served:
    if as_address(endpoint.host) is not None:
        addresses, unresolved = [endpoint.host], None
    else:
        found = host.resolve(endpoint.host)
        addresses = found["addresses"]
        unresolved = None if addresses else (found["error"] or "the resolver knows no address")
    each = 1 if endpoint.single else max(ATTEMPTS // max(len(addresses), 1), PER_ADDRESS)

    def hello(address: str, attempt: int) -> Hello:
        return _hello(
            host.tls(address, endpoint.port, server_name=endpoint.server_name, attempt=attempt), address, attempt
        )

    hellos = side_by_side([partial(hello, address, attempt) for address in addresses for attempt in range(each)])
    return Served(endpoint, tuple(hellos), unresolved)


def _hello(answer: TlsAnswer, address: str, attempt: int) -> Hello:
    failure = answer["failure"]
    chain: list[Certificate] = []
    try:
        chain = [Certificate.parse(pem) for pem in answer["chain"]]
    except BadCertificateError as error:
        failure = {"kind": "protocol", "message": f"the certificate served cannot be parsed: {error}"}
    cas = answer.get("client_cas")
    return Hello(address, attempt, tuple(chain), None if cas is None else tuple(cas), None if chain else failure)
