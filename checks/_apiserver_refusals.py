"""What clients would refuse at the certificates that an API server shows or has on disk, gathered by cause."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from k8sdoctor.checks import _apiserver_fixes as fixes
from k8sdoctor.checks._certificate_words import date
from k8sdoctor.facts.api_endpoints import ApiEndpoint, Use
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import Certificates
from k8sdoctor.facts.served_certificates import Hello, Served
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates, verify
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True)
class Fault:
    """What one client would refuse at one certificate. Faults with the same reason and `cause` are one cause."""

    reason: str
    cause: str
    why: str
    certificate: Certificate | None = None
    name: str | None = None
    sources: tuple[str, ...] = ()


@dataclass()
class Case:
    """One cause, wherever it was seen."""

    fault: Fault
    places: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)

    def add(self, fault: Fault, place: str) -> None:
        """One more place where it was seen."""
        for kept, more in (
            (self.places, [place]),
            (self.sources, fault.sources),
            (self.names, [fault.name] if fault.name else []),
        ):
            kept += [each for each in more if each not in kept]
        if fault.certificate and fault.certificate not in self.certificates:
            self.certificates.append(fault.certificate)


class Cases:
    """Causes by reason, each once."""

    def __init__(self) -> None:
        """Start with none."""
        self.found: dict[tuple[str, str], Case] = {}
        self._told: set[tuple[str, str, Certificate | None]] = set()

    def add(self, fault: Fault, place: str) -> None:
        """Keep a fault with its cause."""
        self.found.setdefault((fault.reason, fault.cause), Case(fault)).add(fault, place)

    def absorb(self, fault: Fault) -> None:
        """A finding tells of this fault already: the same certificate, met elsewhere, is no second cause."""
        self._told.add((fault.reason, fault.cause, fault.certificate))

    def left(self) -> Iterator[Case]:
        """The causes that no finding tells of yet."""
        for (reason, cause), case in self.found.items():
            case.certificates = [each for each in case.certificates if (reason, cause, each) not in self._told]
            if case.certificates:
                yield case


@dataclass(frozen=True)
class Scene:
    """The facts that a judgement leans on: every endpoint, what was seen there, and what lies here."""

    every: tuple[ApiEndpoint, ...]
    looks: tuple[Served, ...]
    stage: Stage
    disk: Certificates
    server: ApiServer
    site: fixes.Site
    clients_asked: bool  # some hello was answered by an API server that asks for clients' certificates

    @property
    def now(self) -> float:
        """The node's clock."""
        return self.disk.now


def refused(hello: Hello, endpoint: ApiEndpoint, scene: Scene) -> tuple[Fault, ...]:
    """What the clients of an endpoint would refuse at what one hello was answered."""
    clients = [use for use in endpoint.uses if not (use.plain or use.proxy)]
    leaf = hello.chain[0]
    if _terminated(hello, endpoint, clients, scene):
        why = f"no client's certificate is asked for there, and the certificate is {leaf.subject} by {leaf.issuer}"
        return (Fault("TerminatedByBalancer", endpoint.authority, why, leaf, sources=used_by(clients)),)
    faults: list[Fault] = []
    for use in clients:
        if use.insecure:
            continue
        faults += dates(leaf, scene.now, (use.source,))
        faults += names(leaf, use.name, (use.source,))
        faults += trust(hello.chain, trusted_by(use, scene), scene.now, (use.source,))
    return tuple(faults)


def _terminated(hello: Hello, endpoint: ApiEndpoint, clients: Sequence[Use], scene: Scene) -> bool:
    """Whether something else than an API server answered: it asks for no client's certificate, and that matters or shows."""
    if hello.asks_clients is not False or "own" in endpoint.kinds:
        return False
    by_certificate = any(use.client_certificate for use in clients)
    if of_cluster(hello.chain, scene):
        # A balancer may hold the API server's own certificate; one that asks nobody for his is told by the others that do.
        return by_certificate and scene.clients_asked
    return by_certificate or any(
        True for use in clients if not use.insecure for _ in trust(hello.chain, trusted_by(use, scene), scene.now)
    )


def of_cluster(chain: Sequence[Certificate], scene: Scene) -> bool:
    """Whether the cluster's authority signed a chain, as far as it lies here."""
    return bool(scene.disk.ca) and verify(chain, scene.disk.ca, scene.now).trusted


def trusted_by(use: Use, scene: Scene) -> tuple[Certificate, ...]:
    """What a client trusts; none where nobody told. The rest of the cluster trusts its authority."""
    if use.kind != "kubeconfig":
        return scene.disk.ca
    try:
        return certificates(use.ca or "")
    except BadCertificateError:
        return ()  # told as KubeconfigInvalid, or left to the machine's own trust store


def dates(leaf: Certificate, now: float, sources: tuple[str, ...] = ()) -> Iterator[Fault]:
    """What is refused for its dates."""
    if now > leaf.not_after:
        yield Fault(
            "CertificateExpired", leaf.fingerprint, f"it ended on {date(leaf.not_after)}", leaf, sources=sources
        )
    if now < leaf.not_before:
        yield Fault("NotYetValid", leaf.fingerprint, f"it begins on {date(leaf.not_before)}", leaf, sources=sources)


def names(leaf: Certificate, name: str | None, sources: tuple[str, ...] = ()) -> Iterator[Fault]:
    """What is refused for its names, by who dialled this one; by anybody where it is None."""
    if not leaf.has_san and leaf.common_name:
        yield Fault("CommonNameOnly", leaf.fingerprint, f"only CN={leaf.common_name}", leaf, sources=sources)
    elif name is not None and not leaf.covers(name):
        yield Fault("AddressNotCovered", name, valid_for(leaf), leaf, name, sources)


def trust(
    chain: Sequence[Certificate], roots: tuple[Certificate, ...], now: float, sources: tuple[str, ...] = ()
) -> Iterator[Fault]:
    """What is refused for who signed it, by who trusts these roots; nothing without any."""
    if not roots:
        return
    found, leaf = verify(chain, roots, now), chain[0]
    late = found.expired
    if late is not None:
        yield from dates(late, now, sources)
    elif not found.trusted:
        cause = f"{leaf.issuer} {' '.join(sorted(root.fingerprint for root in roots))}"
        yield Fault("UntrustedIssuer", cause, str(found.why_not), leaf, sources=sources)


def causes(cases: Cases) -> Iterator[Case]:
    """The causes. Names that the same certificates lack are one cause: one new certificate mends them all."""
    lacking: dict[frozenset[str], Case] = {}
    for case in cases.left():
        if case.fault.reason != "AddressNotCovered":
            yield case
            continue
        first = lacking.setdefault(frozenset(each.fingerprint for each in case.certificates), case)
        if first is not case:
            first.places += [place for place in case.places if place not in first.places]
            first.sources += [source for source in case.sources if source not in first.sources]
            first.names += case.names
    yield from lacking.values()


def used_by(uses: Iterable[Use]) -> tuple[str, ...]:
    """Where it stands that an endpoint is used, each once."""
    return tuple(dict.fromkeys(use.source for use in uses))


def valid_for(leaf: Certificate) -> str:
    """A certificate's names, in words."""
    return f"valid for {', '.join(leaf.names)}" if leaf.names else "valid for no name at all"
