"""Every address by which this node reaches an API server is covered by the certificate served there.

## What it looks at
The servers in the node's kubeconfigs, in kube-proxy's and kubeadm's ConfigMaps, the API server's own address, the service address that pods
use, the API servers behind it, and what `--config` and `--endpoint` name. It says a TLS hello to each, a dozen to what may be a
balancer, and reads the certificate on disk.

## Why it matters
A client refuses a certificate that is not valid for the very address that it dialled: kubelets go NotReady, pods cannot ask the API, and
a join stops, often only when a balancer happens to pick one member.

## How it is decided
As clients written in Go decide (crypto/x509): an address must be among the address SANs, a name among the DNS SANs (a wildcard covers one
label), the common name never counts, the chain must lead to the authority that this client trusts, by the intermediates served. A hello that no client's
certificate is asked for was not answered by an API server: something ends TLS before it. Before `kubeadm init`, an endpoint where nobody answers is as it
should be; certificates that lie there already are judged all the same.

Hellos without an answer beside others with one speak of a dead member where they were refused or ended, or where certificates of several servers
were met. Where one certificate alone was met and time ran out, it takes a quarter of the hellos, and is a warning, for one server under load looks the
same; where one API server alone is known to be behind the address, it is nothing.

## Reasons
- `Covered` (pass): the certificate is valid for the address
- `NoCertificateYet` (skip): nothing is served yet, and nothing lies on disk
- `ThroughProxy` (skip): the address is only reached by the proxy that the kubeconfig names, which is not followed
- `AddressNotCovered` (fail): the certificate is valid for others, not for this address; add it
- `CommonNameOnly` (fail): the certificate has no names but its common name, which no client looks at
- `CertificateExpired` (fail): the certificate, or its authority, has ended
- `NotYetValid` (fail): the certificate begins later than this node's clock says
- `UntrustedIssuer` (fail): the client trusts another authority
- `BackendsDisagree` (fail, or warn where it may be one server under load): behind one address, some answer well and some do not
- `TerminatedByBalancer` (fail): something in front of the API server ends TLS, so that clients' certificates never reach it
- `EndpointUnreachable` (fail): nobody answers, or no handshake comes about
- `NameNotResolved` (fail): this node's resolver knows no address for the name
- `PlainHttpEndpoint` (fail): the peer speaks HTTP without TLS
- `KubeconfigInvalid` (fail, or warn for a person's own): a kubeconfig, or a certificate that it needs, is malformed
- `CertificateInvalid` (fail): a file of certificates holds none that can be used
- `ManifestInvalid` (fail): the API server's manifest is malformed, so the kubelet starts none from it
- `ExpiresSoon` (warn): less than 30 days, or less than a fifth of its time, are left
- `FileNotServed` (warn): the API server serves another certificate than the file that it was told to serve

## What it sends
A TLS hello to each address; GET requests for a few objects where a kubeconfig works. Never a request with the node's credentials to an
address that was not verified.

## How to fix
Add the missing name to kubeadm's configuration, move the certificate aside and have kubeadm make it anew, on each control-plane node:
kubeadm keeps a certificate that exists, and `kubeadm certs renew` keeps its names.

`CertificateExpired`: `kubeadm certs renew apiserver` on each control-plane node, and restart the API server, which reads its certificate as it starts;
`kubeadm certs check-expiration` tells what else ended. An authority that has ended must be replaced, and all that it signed with it.

`NotYetValid`: set the clock, of this node or of the one that made the certificate.

`UntrustedIssuer`: a kubeconfig of an earlier cluster is made anew, on a worker by `kubeadm reset` and a new `kubeadm join`; where it is the server's certificate
that is wrong, kubeadm makes it anew by the cluster's authority. `kubeadm token create --print-join-command` prints the authority's right hash.

`EndpointUnreachable`: on a control-plane node, see why the API server does not run (`crictl ps -a --name kube-apiserver`, and its log); elsewhere, whether its
address and port are right, whether the balancer has a member that lives, and who drops packets on the way.

`PlainHttpEndpoint`: name the port that speaks TLS; a balancer passes TCP through and ends no TLS.

## How to verify
`openssl s_client -connect ADDRESS:PORT </dev/null | openssl x509 -noout -ext subjectAltName` names the address.

## References
- kubeadm `GetAPIServerAltNames` (cmd/kubeadm/app/util/pkiutil/pki_helpers.go)
- Go `crypto/x509/verify.go`: VerifyHostname, Verify
- kubernetes.io "Certificate Management with kubeadm"; kubernetes/kubeadm#1815 on balancers that end TLS
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.checks import _apiserver_fixes as fixes
from k8sdoctor.checks import _apiserver_refusals as refusals
from k8sdoctor.checks import _apiserver_silence as silence
from k8sdoctor.checks._api_links import unasked
from k8sdoctor.checks._apiserver_refusals import Case, Cases, Fault, Scene, used_by
from k8sdoctor.checks._certificate_words import DAY, date, ended, ended_with, ends_soon
from k8sdoctor.checks._pki_fixes import renew_all
from k8sdoctor.checks._words import by_reason, listed, sentence, together
from k8sdoctor.facts.api_endpoints import ApiEndpoint, NodeEndpoints, ToldEndpoints, Use, gathered
from k8sdoctor.facts.api_members import normal
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import Certificates
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeconfig import ADMIN, BOOTSTRAP, Kubeconfigs
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.served_certificates import Hello, Served, ServedCertificates, ToldCertificates
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import Certificate
from k8sdoctor.finding import Link
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.checks._apiserver_fixes import Silence
    from k8sdoctor.finding import Fix


FEWEST_SILENT = 2
"""Hellos of a dozen that must stay unanswered before a balancer's member is called dead: one may be lost under load."""

DOUBTFUL_SHARE = 1 / 4
"""Of hellos that only ran out of time, where one server alone was seen to answer: it may be a member that is dead, or one server under load,
which let 2 of 12 wait too long on a machine with ten times the work that it can do. A dead member of three, met in turn, gets 4 of 12."""


@check("apiserver-san", title="Every address of the API server is covered by its certificate", area="control plane")
def apiserver_san(  # noqa: PLR0913, PLR0917 -- as many facts as places an address may stand in
    stage: Stage,
    endpoints: NodeEndpoints,
    told_endpoints: ToldEndpoints | Unobserved,
    served: ServedCertificates | Unobserved,
    told_served: ToldCertificates | Unobserved,
    disk: Certificates,
    server: ApiServer,
    kubelet: Kubelet | Unobserved,
    kubeconfigs: Kubeconfigs | Unobserved,
    kubeadm: KubeadmBinary | Unobserved,
    planned: KubeadmConfig | Unobserved,
    told: ClusterKubeadmConfig | Unobserved,
) -> Iterator[Finding]:
    """Judge each hello, then the file on disk, and report each cause once."""
    every = _together(endpoints, told_endpoints)
    looks = _looks(every, served, told_served)
    scene = Scene(
        every=every,
        looks=looks,
        stage=stage,
        disk=disk,
        server=server,
        site=fixes.site_of(stage, disk, server, kubelet, kubeadm, planned, told),
        clients_asked=any(hello.asks_clients for one in looks for hello in one.hellos),
    )
    cases = Cases()
    found = [*_unread(kubeconfigs, disk, endpoints, scene.site), *_planned_badly(planned), *_unread_manifest(server)]
    found += _not_asked(served, told_served)
    found += _at_endpoints(scene, cases)
    found += silence.plain_by_configuration(every)
    found += silence.through_proxy(every)
    found += _on_disk(scene, cases)
    found += [_unasked(_told(case, scene), case.places) for case in refusals.causes(cases)]
    found += _not_served(scene, cases)
    found += _soon(scene)
    yield from found
    if not found:
        yield skip(
            "NoCertificateYet", "Nothing on this machine reaches an API server yet, and no certificate lies here."
        )


def _unasked(finding: Finding, places: Iterable[str]) -> Finding:
    """With what cannot be asked at these endpoints while it lasts; a certificate's file is none."""
    endpoints = [place for place in places if not place.startswith("/")]
    links = unasked(f"the API server cannot be asked at {listed(endpoints)}", *endpoints)
    return replace(finding, explains=(*finding.explains, *links))


def _together(node: NodeEndpoints, told: ToldEndpoints | Unobserved) -> tuple[ApiEndpoint, ...]:
    """Every endpoint once, with all that use it."""
    more = told.all if isinstance(told, ToldEndpoints) else ()
    return gathered(use for endpoint in (*node.all, *more) for use in endpoint.uses)


def _looks(
    every: Iterable[ApiEndpoint], served: ServedCertificates | Unobserved, told: ToldCertificates | Unobserved
) -> tuple[Served, ...]:
    """What was seen at each endpoint."""
    seen = {one.endpoint.key: one for part in (served, told) if not isinstance(part, Unobserved) for one in part.all}
    return tuple(replace(seen[each.key], endpoint=each) for each in every if each.key in seen)


# -- what each hello shows -----------------------------------------------------------------------------------------------


def _at_endpoints(scene: Scene, cases: Cases) -> Iterator[Finding]:
    unreachable: list[tuple[ApiEndpoint, Hello]] = []
    answers = False
    for one in scene.looks:
        endpoint = one.endpoint
        if one.unresolved is not None:
            yield silence.unresolved(endpoint, one.unresolved, scene)
            continue
        hellos = _counted(one.hellos)
        spoken = [(hello, refusals.refused(hello, endpoint, scene)) for hello in hellos if hello.chain]
        silent = [hello for hello in hellos if not hello.chain]
        answers |= bool(spoken)
        good = [hello for hello, faults in spoken if not faults]
        bad = [(hello, faults) for hello, faults in spoken if faults]
        dead = _dead_member(spoken, [each for each in silent if not _one_server(each.address, endpoint, scene)])
        if good and (bad or dead):
            yield _disagreeing(endpoint, Answers(good, bad, silent, dead), scene, cases)
        elif good:
            yield _covered(endpoint, good, silent)
        elif bad:
            for _, faults in bad:
                for fault in faults:
                    cases.add(fault, endpoint.authority)
        elif silent[0].failure and silent[0].failure["kind"] == "tls-plain":
            yield silence.plain(endpoint, silent[0].failure["message"])
        elif scene.stage.fresh and endpoint.kinds <= {"planned", "service", "given"}:
            message = f"Nobody answers at the planned endpoint {endpoint.authority} yet, as it should be before `kubeadm init`."
            yield skip(
                "NoCertificateYet", message, subject=endpoint.authority, evidence=silence.failures(endpoint, silent[:1])
            )
        else:
            unreachable.append((endpoint, silent[0]))
    yield from silence.unreachable(unreachable, scene, answers=answers)


def _counted(hellos: Sequence[Hello]) -> list[Hello]:
    """The hellos that a client would meet: of a name's addresses, one that never answers is passed over for the next (Go's net.Dialer)."""
    alive = {hello.address for hello in hellos if hello.chain}
    return [hello for hello in hellos if not alive or hello.address in alive]


def _one_server(address: str, endpoint: ApiEndpoint, scene: Scene) -> bool:
    """Whether one API server alone answers at an address, so that a hello without an answer there was lost, and no other server is dead."""
    members = {(each.host, each.port) for each in scene.every if "member" in each.kinds}
    if "service" in endpoint.kinds and len(members) == 1:
        return True
    return (normal(address), endpoint.port) in {(each.host, each.port) for each in scene.every if each.single}


def _dead_member(spoken: Sequence[tuple[Hello, tuple[Fault, ...]]], silent: Sequence[Hello]) -> Silence:
    """What hellos without an answer say of who is behind an address where others were answered.

    Who refuses or hangs up is not slow. Of time that ran out, nobody can tell whether it was a member's that is dead or one server's that is
    under load; other members were seen by their certificates, for kubeadm makes one for each.
    """
    if len(silent) < FEWEST_SILENT:
        return None
    ended = [each for each in silent if each.failure and each.failure["kind"] != "timeout"]
    servers = {hello.chain[0] for hello, _ in spoken}
    if len(ended) >= FEWEST_SILENT or len(servers) > 1:
        return "dead"
    return "doubtful" if len(silent) >= DOUBTFUL_SHARE * (len(spoken) + len(silent)) else None


@dataclass(frozen=True)
class Answers:
    """How the hellos to one endpoint ended, and what those without an answer say of who is behind it."""

    good: Sequence[Hello]
    bad: Sequence[tuple[Hello, tuple[Fault, ...]]]
    silent: Sequence[Hello]
    silence: Silence


def _disagreeing(endpoint: ApiEndpoint, met: Answers, scene: Scene, cases: Cases) -> Finding:
    count = len(met.good) + len(met.bad) + len(met.silent)
    told = dict.fromkeys(f"{_plural(fault)} ({fault.why})" for _, faults in met.bad for fault in faults)
    words = [f"{len(met.bad)} with a certificate that {'; '.join(told)}"] if met.bad else []
    words += [f"{len(met.silent)} not at all"] if met.silent else []
    # Each bad certificate once: a member is met several times.
    each_bad = list({hello.chain[0]: hello for hello, _ in reversed(met.bad)}.values())[::-1]
    evidence = [
        _shown(f"hello {hello.attempt + 1} to {endpoint.authority}", hello.chain[0])
        for hello in [*met.good[:1], *each_bad[:3]]
    ]
    for _, faults in met.bad:
        for fault in faults:
            cases.absorb(fault)
    doubtful = not met.bad and met.silence == "doubtful"
    doubt = ": either a server behind it is dead, or the only one is under load" if doubtful else ""
    addresses = dict.fromkeys(hello.address for hello in (*met.good, *(hello for hello, _ in met.bad), *met.silent))
    address, *others = addresses
    return (warn if doubtful else fail)(
        "BackendsDisagree",
        f"Of {count} hellos to {endpoint.authority} ({listed(used_by(endpoint.uses))}), {len(met.good)} were answered well, "
        f"{' and '.join(words)}{doubt}.",
        subject=endpoint.authority,
        evidence=[*evidence, *silence.failures(endpoint, met.silent[:1])],
        fix=fixes.mend_member(
            endpoint.authority,
            certificate=bool(met.bad),
            silent=met.silence,
            alone=not others and _one_server(address, endpoint, scene),
            names=len(addresses),
        ),
        traits=[*silence.traits(endpoint), *(["members:silent"] if met.silence else [])],
    )


def _plural(fault: Fault) -> str:
    return {
        "AddressNotCovered": f"is not valid for {fault.name}",
        "CertificateExpired": "is expired",
        "NotYetValid": "is not yet valid",
        "CommonNameOnly": "has no names but its common name",
        "UntrustedIssuer": "is of an authority that is not trusted",
        "TerminatedByBalancer": "is not an API server's",
    }[fault.reason]


def _covered(endpoint: ApiEndpoint, good: Sequence[Hello], silent: Sequence[Hello]) -> Finding:
    lost = f"; {len(silent)} of {len(good) + len(silent)} hellos were not answered" if silent else ""
    leaves = list(dict.fromkeys(hello.chain[0] for hello in good))
    names = " and ".join(dict.fromkeys(use.name for use in endpoint.uses))
    return passed(
        "Covered",
        f"The certificate served at {endpoint.authority} is valid for {names} until {date(min(leaf.not_after for leaf in leaves))}.",
        subject=endpoint.authority,
        evidence=[
            *(_shown(endpoint.authority, leaf) for leaf in leaves),
            Evidence(endpoint.authority, f"used by {listed(used_by(endpoint.uses))}{lost}"),
        ],
    )


# -- what lies on disk --------------------------------------------------------------------------------------------------


def _on_disk(scene: Scene, cases: Cases) -> Iterator[Finding]:
    """The file that this node's API server serves, or will serve, must be valid for all that this node knows of its cluster."""
    chain, path = scene.disk.chain, scene.disk.path
    if not chain or scene.stage.stage == "worker":
        return
    uses = [use for endpoint in scene.every for use in endpoint.uses if _is_of_this_server(endpoint, use, scene)]
    if scene.server.flag("--tls-sni-cert-key"):  # names may have certificates of their own
        uses = [use for use in uses if use.server_name is None]
    faults = [*refusals.dates(chain[0], scene.now), *refusals.trust(chain, scene.disk.ca, scene.now)]
    for use in uses:
        faults += refusals.names(chain[0], use.name, (use.source,))
    if not uses:
        faults += refusals.names(chain[0], None)
    for fault in faults:
        cases.add(fault, path)
    if not faults:
        names = dict.fromkeys(use.name for use in uses)
        valid = f"valid for {listed(list(names))}" if names else "valid"
        yield passed(
            "Covered",
            f"The certificate in {path} is {valid} until {date(chain[0].not_after)}.",
            subject=path,
            evidence=[_shown(path, chain[0])],
        )


def _is_of_this_server(endpoint: ApiEndpoint, use: Use, scene: Scene) -> bool:
    """Whether a client may meet the file's certificate and would look at it: not so where another authority's is served or trusted."""
    if use.insecure or use.plain or use.kind == "join":
        return False
    if (
        use.kind == "kubeconfig"
        and use.ca is not None
        and scene.disk.ca
        and not set(refusals.trusted_by(use, scene)) & set(scene.disk.ca)
    ):
        return False
    leaves = [hello for one in scene.looks if one.endpoint == endpoint for hello in one.hellos if hello.chain]
    good = [hello for hello in leaves if not refusals.refused(hello, endpoint, scene)]
    return not (good and scene.disk.ca and not any(refusals.of_cluster(hello.chain, scene) for hello in good))


def _not_served(scene: Scene, cases: Cases) -> Iterator[Finding]:
    chain, path = scene.disk.chain, scene.disk.path
    for one in scene.looks:
        if not chain or "own" not in one.endpoint.kinds:
            continue
        for hello in one.hellos:
            other = hello.chain[0] if hello.chain else None
            if other is None or other.fingerprint == chain[0].fingerprint:
                continue
            if any({other, chain[0]} & set(case.certificates) for case in cases.found.values()):
                continue  # told with its fault
            yield warn(
                "FileNotServed",
                f"The API server at {one.endpoint.authority} does not serve {path}, but a certificate that ends on {date(other.not_after)}; the file's ends on {date(chain[0].not_after)}.",
                subject=path,
                evidence=[_shown(one.endpoint.authority, other), _shown(path, chain[0])],
                fix=fixes.restart_only(scene.site),
            )


def _soon(scene: Scene) -> Iterator[Finding]:
    """What will end soon."""
    places: dict[Certificate, str] = dict.fromkeys(scene.disk.chain[:1], scene.disk.path)
    places |= dict.fromkeys(scene.disk.ca, scene.disk.ca_source or "")
    for one in scene.looks:
        for hello in one.hellos:
            if hello.chain:
                places.setdefault(hello.chain[0], one.endpoint.authority)
    for leaf, place in places.items():
        if not ends_soon(leaf, scene.now):
            continue
        authority_ = leaf in scene.disk.ca
        yield warn(
            "ExpiresSoon",
            f"The certificate {leaf.subject} ({place}) ends on {date(leaf.not_after)}, in {(leaf.not_after - scene.now) / DAY:.0f} days.",
            subject=place,
            evidence=[_shown(place, leaf)],
            fix=fixes.renew_authority(leaf) if authority_ else fixes.renew(scene.site, leaf),
            traits=[f"certificate:{leaf.fingerprint}"],
        )


# -- one finding a cause ------------------------------------------------------------------------------------------------


def _told(case: Case, scene: Scene) -> Finding:
    fault, leaf = case.fault, case.certificates[0]
    where = listed(case.places)
    sources = listed(case.sources) if case.sources else where
    evidence = [_shown(where, each) for each in case.certificates[:3]]
    evidence += [Evidence(where, f"used by {sources}")] if case.sources else []
    only_served = scene.disk.path not in case.places and scene.disk.chain and _own(scene, leaf)
    # kubectl must get past the very fault: by a name that the certificate holds.
    site = scene.site if ADMIN in case.sources else replace(scene.site, tls_server_name=None)
    names = case.names
    restart = fixes.restart_only(site) if only_served else None
    match fault.reason:
        case "AddressNotCovered":
            verb = "is" if len(names) == 1 else "are"
            message = f"{listed(names)} ({sources}) {verb} not covered by the certificate at {where}, which is {refusals.valid_for(leaf)}."
            return fail(
                fault.reason,
                message,
                subject=", ".join(names),
                evidence=evidence,
                fix=restart or fixes.add_names(site, names, leaf),
                traits=[f"address:{names[0]}"] if len(names) == 1 else [],
            )
        case "CommonNameOnly":
            message = f"The certificate at {where} has no subjectAltName, only CN={leaf.common_name}, which no client looks at."
            return fail(
                fault.reason,
                message,
                subject=case.places[0],
                evidence=evidence,
                fix=restart or fixes.make_anew(site, leaf),
            )
        case "CertificateExpired":
            return _expired(case, scene, evidence, restart)
        case "NotYetValid":
            message = f"The certificate {leaf.subject} at {where} begins on {date(leaf.not_before)}; it is {date(scene.now)} here."
            return fail(fault.reason, message, subject=case.places[0], evidence=evidence, fix=fixes.set_clock())
        case "TerminatedByBalancer":
            message = f"Something in front of the API server ends TLS at {where} ({sources}): {fault.why}."
            return fail(fault.reason, message, subject=where, evidence=evidence, fix=fixes.pass_through(case.places[0]))
        case _:
            return _untrusted(case, scene, evidence)


def _expired(case: Case, scene: Scene, evidence: list[Evidence], restart: Fix | None) -> Finding:
    """One that nobody renewed, most often with all that kubeadm made on the same day."""
    leaf, where = case.certificates[0], listed(case.places)
    fix = restart or fixes.renew(scene.site, leaf)
    together = [] if restart or leaf not in scene.disk.chain else _ended_together(scene, leaf)
    if leaf in scene.disk.ca:
        fix = restart or fixes.renew_authority(leaf)
    elif together:
        evidence = [*evidence, *(_shown(path, each) for path, each in together)]
        fix = renew_all(scene.site, leaf, etcd=any(path.endswith("/etcd/server.crt") for path, _ in scene.disk.beside))
    why = "kubeadm renews all that it signed in one go, and others were seen to end within a day of this one"
    return fail(
        "CertificateExpired",
        f"The certificate {leaf.subject} at {where} expired on {date(leaf.not_after)}; it is {date(scene.now)} here.",
        subject=case.places[0],
        evidence=evidence,
        fix=fix,
        traits=[f"certificate:{each.fingerprint}" for each in case.certificates],
        explains=[
            Link(check_id, reason, why, when=when)
            for check_id, reason in _ENDED
            for when in ended_with(leaf)
            if together
        ],
    )


_ENDED = (("certificates", "CertificateExpired"), ("kubeconfig", "ClientCertificateExpired"))


def _ended_together(scene: Scene, leaf: Certificate) -> list[tuple[str, Certificate]]:
    """What kubeadm made beside the API server's certificate, and what ended with it."""
    days = frozenset().union(*ended_with(leaf))
    return [(path, each) for path, each in scene.disk.beside if days.intersection(ended(each))]


def _untrusted(case: Case, scene: Scene, evidence: list[Evidence]) -> Finding:
    leaf, where = case.certificates[0], listed(case.places)
    files = [source for source in case.sources if source.startswith("/")]
    stale = refusals.of_cluster([leaf], scene) and files
    fix = fixes.new_kubeconfigs(scene.site, files, leaf) if stale else fixes.make_anew(scene.site, leaf)
    who = listed(case.sources) if case.sources else scene.disk.ca_source or "the cluster's authority"
    return fail(
        "UntrustedIssuer",
        f"The certificate at {where} is not signed by the authority that {who} trusts: {case.fault.why}.",
        subject=case.places[0],
        evidence=evidence,
        fix=fix,
        traits=[*(f"file:{file}" for file in files), *(f"authority:{each.fingerprint}" for each in scene.disk.ca)],
    )


def _own(scene: Scene, leaf: Certificate) -> bool:
    """Whether this node's own API server serves a certificate."""
    own = [one for one in scene.looks if "own" in one.endpoint.kinds]
    return any(leaf in hello.chain[:1] for one in own for hello in one.hellos)


# -- what could not be read ----------------------------------------------------------------------------------------------


def _unread(
    kubeconfigs: Kubeconfigs | Unobserved, disk: Certificates, endpoints: NodeEndpoints, site: fixes.Site
) -> Iterator[Finding]:
    unreadable = [*disk.unreadable]
    problems = [*endpoints.problems]
    if isinstance(kubeconfigs, Unobserved):
        unreadable.append(kubeconfigs)
    else:
        unreadable += [why for _, why in kubeconfigs.unreadable]
        unreadable += [file.unread for file in kubeconfigs.files if file.unread]
        problems += [(file.path, problem) for file in kubeconfigs.files if (problem := file.malformed)]
    for reason, messages in by_reason(unreadable).items():
        yield unknown(reason, sentence(together(messages)))
    personal = (
        {file.path for file in kubeconfigs.files if file.personal} if isinstance(kubeconfigs, Kubeconfigs) else set()
    )
    for path, problem in problems:
        # What a component of the node reads must be right; what a person reads may wait.
        tell = warn if path in personal or path == BOOTSTRAP else fail
        yield tell(
            "KubeconfigInvalid",
            sentence(problem),
            subject=path,
            evidence=[Evidence(path, problem)],
            fix=fixes.rewrite_kubeconfig(site, path),
            traits=[f"file:{path}"],
        )
    for path, problem in disk.malformed:
        message = f"{path} holds no usable certificate: {problem}."
        fix = fixes.look_at(path)
        evidence = [Evidence(path, problem)]
        yield fail("CertificateInvalid", message, subject=path, evidence=evidence, fix=fix, traits=[f"file:{path}"])


def _not_asked(*parts: object) -> Iterator[Finding]:
    for reason, message in dict.fromkeys((part.reason, part.message) for part in parts if isinstance(part, Unobserved)):
        yield (skip if reason == "Offline" else unknown)(reason, sentence(message))


def _planned_badly(planned: KubeadmConfig | Unobserved) -> Iterator[Finding]:
    if isinstance(planned, KubeadmConfig) and planned.problem:
        about = (planned.source or "").removeprefix("--config ")
        yield unknown("Unreadable", sentence(planned.problem), subject=planned.source, traits=[f"config:{about}"])


def _unread_manifest(server: ApiServer) -> Iterator[Finding]:
    if server.problem is None:
        return
    if not server.malformed:
        yield unknown(server.problem.reason, sentence(server.problem.message), subject=server.source)
        return
    yield fail(
        "ManifestInvalid",
        f"The kubelet can make no API server of {sentence(server.problem.message)}",
        subject=server.source,
        evidence=[Evidence(server.source or "", server.problem.message)],
        fix=fixes.rewrite_manifest(server.source or ""),
    )


def _shown(where: str, leaf: Certificate) -> Evidence:
    names = ", ".join(leaf.names) or "no subjectAltName"
    return Evidence(
        where, f"{leaf.subject}, issuer {leaf.issuer}, {date(leaf.not_before)} to {date(leaf.not_after)}: {names}"
    )
