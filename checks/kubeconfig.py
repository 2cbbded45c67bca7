"""Every kubeconfig on this node leads to its cluster with a credential that is good, and kubectl finds one.

## What it looks at
The kubeconfigs of kubeadm (`admin.conf`, `super-admin.conf`, `kubelet.conf`, `bootstrap-kubelet.conf`, `controller-manager.conf`, `scheduler.conf`), the one
that the kubelet's flags or `--kubeconfig` name, and what kubectl finds for whoever runs the doctor, and for who called him by sudo: the files of
`KUBECONFIG`, merged, or else `~/.kube/config`. In each: the current context, the authority, the client's certificate and its key, tokens, plugins and permissions.
Of a private key the host tells nothing but the SHA-256 of its public half.

## Why it matters
Without a kubeconfig kubectl asks `localhost:8080`, where nobody answers. A certificate that has ended, is of another cluster, or has lost its key is refused,
and the kubelet, the controller manager or the scheduler stands still.

## How it is decided
As client-go reads kubeconfigs (tools/clientcmd): of several files, the first that sets something counts; what stands in the file wins over a path. As an API server judges
clients: the chain leads to the cluster's authority and may be used by clients, the common name of a kubelet is `system:node:` with this node's name, its organisation
`system:nodes`. A worker has no administrator's kubeconfig, and that is right; so has a machine before `kubeadm init`. People's own kubeconfigs may lead to other clusters: of those
only what no cluster would accept, and what is a risk with any, is told. Addresses, and what is served there, are the subject of apiserver-san.

## Reasons
- `Usable` (pass): the credential is good
- `KubectlConfigured` (pass): kubectl finds a kubeconfig with a context
- `KubectlNotConfigured` (skip): kubectl finds none here, as is usual on a worker or before `kubeadm init`, or where no kubectl is installed
- `NoKubeconfig` (warn): on a control plane with kubectl, the user has no kubeconfig, so that kubectl asks localhost:8080
- `KubeconfigMissing` (fail, or warn on a worker): `KUBECONFIG` names only files that do not exist, so that kubectl asks localhost:8080
- `NoCurrentContext` (warn): the user's kubeconfig names no current context, so that kubectl asks localhost:8080
- `KubeconfigInvalid` (fail, or warn for a person's own): it does not parse, or names something that is not there
- `OtherAuthority` (fail): it trusts another authority than the cluster's
- `AuthorityNotNamed` (warn): it names no authority, so that the machine's own trust store decides
- `InsecureSkipTlsVerify` (warn): it believes whoever answers
- `NoCredentials` (fail): its user has neither certificate nor token
- `ClientCertificateMissing` (fail, or warn for a person's own): the certificate that it names does not exist
- `ClientCertificateInvalid` (fail, or warn for a person's own): what it names as a certificate holds none
- `ClientCertificateExpired` (fail, or warn for a person's own): the certificate has ended
- `ClientCertificateNotYetValid` (fail): the certificate begins later than this node's clock says
- `ClientCertificateUntrusted` (fail, or warn for a person's own): the certificate is not of the cluster's authority, or not for clients
- `OtherNode` (fail): the kubelet's certificate names another node
- `WrongIdentity` (fail): the certificate names another user than the component that shows it
- `KeyMissing` (fail, or warn for a person's own): the private key does not exist
- `KeyInvalid` (fail, or warn for a person's own): what it names as a private key holds none that can be used
- `KeyMismatch` (fail, or warn for a person's own): the private key is another certificate's
- `PluginMissing` (fail, or warn for a person's own): the program that it asks for credentials is not installed
- `TokenExpired` (fail, or warn for a person's own): its token has ended
- `ExpiresSoon` (warn): less than 30 days, or less than a fifth of the certificate's time, are left
- `NotRotated` (warn): the kubelet should have had a new certificate by now
- `EmbeddedCertificate` (warn): kubelet.conf holds the kubelet's first certificate, which the rotated one will not replace
- `ReadableByOthers` (warn): a file with a private key or a token may be read by others than its owner

## What it sends
GET requests to the API server for `kubeadm-config`, which the commands to paste depend on; never a credential to an address that was not verified.

## How to fix
`kubeadm certs renew` for what has ended, `kubeadm init phase kubeconfig` for what is wrong otherwise; both only on a control plane with the authority's key. A file that is replaced is moved
aside first.

## How to verify
`kubectl --kubeconfig FILE auth whoami` (1.28 and later) prints the user; `kubeadm certs check-expiration` lists when each ends.

## References
- client-go tools/clientcmd: loader.go (Load), client_config.go (getDefaultServer), validation.go; transport/transport.go (TLSConfigFor)
- kubernetes pkg/kubelet/certificate/bootstrap (isClientConfigStillValid), client-go util/certificate (rotation at 70 to 90 % of a certificate's time)
- kubernetes.io "Certificate Management with kubeadm" and "Troubleshooting kubeadm"; kubernetes/kubeadm#1753 on embedded certificates
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks import _apiserver_fixes
from k8sdoctor.checks import _certificate_words as words
from k8sdoctor.checks import _kubeconfig_fixes as fixes
from k8sdoctor.checks._api_links import unasked
from k8sdoctor.checks._node_ready_links import kubelet_unheard
from k8sdoctor.checks._words import by_reason, listed, sentence, together
from k8sdoctor.facts.api_access import BY_POWER
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import CLUSTER_CA, Certificates
from k8sdoctor.facts.credentials import Credential, Credentials, Pair
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeconfig import (
    ADMIN,
    BOOTSTRAP,
    CONTROLLER_MANAGER,
    KUBEADM,
    KUBELET,
    SCHEDULER,
    SUPER_ADMIN,
    Kubeconfig,
    Kubeconfigs,
)
from k8sdoctor.facts.kubectl import Kubectl, Setup
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates, organizations, public_key, verify
from k8sdoctor.finding import Certainty, Fix, Link, Status
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LATEST_ROTATION = 0.9
"""The part of a certificate's time after which the kubelet has asked for a new one (client-go util/certificate, nextRotationDeadline: 70 to 90 %)."""

MASTERS = "system:masters"

NAMELESS = frozenset({"", "localhost", "localhost.localdomain", "(none)"})
"""What a machine is called until something on the network names it: of another root, /etc/hostname does not tell that name."""

OTHERS_READ = 0o004
GROUP_READS = 0o040

RENEWED = (ADMIN, SUPER_ADMIN, CONTROLLER_MANAGER, SCHEDULER)
"""What `kubeadm certs renew` renews."""

COMPONENTS = {CONTROLLER_MANAGER: "system:kube-controller-manager", SCHEDULER: "system:kube-scheduler"}
"""Whom the API server must meet there (kubeadmconstants.ControllerManagerUser, SchedulerUser); the cluster's roles are bound to these names."""


@dataclass(frozen=True)
class Scene:
    """What a judgement leans on."""

    stage: Stage
    site: _apiserver_fixes.Site
    disk: Certificates
    authority: tuple[Certificate, ...]  # of the cluster's clients; empty where that is not known
    kubelet: Kubelet | Unobserved
    kubelet_conf: str
    node: str | None  # the name by which the kubelet registers, where that is known
    rotated: Pair | None

    def is_component(self, file: Kubeconfig) -> bool:
        """Whether a component of this node's cluster reads it; a person's own, or one named by --kubeconfig, may lead anywhere."""
        return not file.personal and (file.path in KUBEADM or file.path == self.kubelet_conf)

    @property
    def now(self) -> float:
        """The node's clock."""
        return self.disk.now


@check(
    "kubeconfig",
    title="Every kubeconfig is good, and kubectl finds one",
    area="control plane",
    profiles=NOT_DNS,
)
def kubeconfig(  # noqa: PLR0913, PLR0917 -- as many facts as a kubeconfig has sides
    stage: Stage,
    kubeconfigs: Kubeconfigs,
    kubectl: Kubectl | Unobserved,
    credentials: Credentials,
    disk: Certificates,
    server: ApiServer,
    node: NodeName | Unobserved,
    kubelet: Kubelet | Unobserved,
    kubeadm: KubeadmBinary | Unobserved,
    planned: KubeadmConfig | Unobserved,
    told: ClusterKubeadmConfig | Unobserved,
) -> Iterator[Finding]:
    """Judge kubectl's first, then each file; each cause once."""
    site = _apiserver_fixes.site_of(stage, disk, server, kubelet, kubeadm, planned, told)
    scene = _scene(stage, disk, server, node, kubelet, credentials, site)
    found = [*_unread(kubeconfigs, kubectl, credentials)]
    if isinstance(kubectl, Kubectl):
        found += _for_people(kubectl, kubeconfigs, scene)
    by_path = {each.kubeconfig.path: each for each in credentials.all}
    judged: list[Finding] = []
    good: list[Finding] = []
    for file in kubeconfigs.files:
        faults = [*_file(file, scene)]
        credential = by_path.get(file.path)
        if credential is not None and not any(each.reason == "KubeconfigInvalid" for each in faults):
            faults += _credential(credential, scene, known=any(each.reason == "OtherAuthority" for each in faults))
            if not faults and not _blind(credential):
                good.append(_usable(credential))
        judged += faults
    judged += _dates(credentials, scene)
    judged = [_heard(each, scene) for each in judged]
    ended = {each.subject for each in judged}
    found += [*judged, *_permissions(credentials)]
    found += [each for each in good if not any(each.subject in (subject or "").split(", ") for subject in ended)]
    yield from found


# -- what kubectl finds -------------------------------------------------------------------------------------------------


def _for_people(kubectl: Kubectl, kubeconfigs: Kubeconfigs, scene: Scene) -> Iterator[Finding]:
    """Without a kubeconfig, kubectl asks localhost:8080: a fault where somebody would use it."""
    setups = kubectl.setups
    if any(setup.unread for setup in setups):
        return  # told as unknown
    good = [setup for setup in setups if not setup.falls_back]
    bad = [setup for setup in setups if setup.falls_back]
    for setup in good:
        if setup.config is None or setup.config.problem:
            continue  # told with the file
        path = setup.config.path
        rest = "".join(f"; kubectl of {other.person} has no kubeconfig and asks localhost:8080" for other in bad)
        yield passed(
            "KubectlConfigured", f"kubectl of {setup.person} uses {path}{rest}.", subject=path, evidence=_seen(setup)
        )
    if good or not bad:
        return
    yield _fallen_back(kubectl, kubeconfigs, bad, scene)


def _fallen_back(kubectl: Kubectl, kubeconfigs: Kubeconfigs, bad: list[Setup], scene: Scene) -> Finding:
    caller, wanted = bad[0], bad[-1]
    people = " and ".join(setup.person for setup in bad)
    asks = "so kubectl asks http://localhost:8080, where no API server answers"
    evidence = [each for setup in bad for each in _seen(setup)]
    fix = fixes.use_admin(wanted, caller=wanted is caller)
    if kubectl.program is None or scene.stage.fresh:
        where = (
            "no kubectl is installed"
            if kubectl.program is None
            else "this machine is no node of a cluster that kubeadm made"
        )
        return skip("KubectlNotConfigured", f"kubectl of {people} has no kubeconfig here, and {where}.")
    if caller.variable and set(caller.missing) == set(caller.paths):
        tell = warn if scene.stage.stage == "worker" else fail
        message = f"KUBECONFIG of {caller.person} names {listed(caller.missing)}, which does not exist, {asks}."
        return tell("KubeconfigMissing", message, subject=caller.missing[0], evidence=evidence, fix=fix)
    with_content = next((setup for setup in bad if setup.contexts or not (setup.empty or setup.missing)), None)
    if with_content is not None:
        path = next(path for path in with_content.paths if path not in with_content.missing)
        message = f"{path} of {with_content.person} names no current-context, {asks}."
        link = Link(
            "apiserver-san", "KubeconfigInvalid", "it is the same file", Certainty.PROVEN, frozenset({f"file:{path}"})
        )
        return warn(
            "NoCurrentContext",
            message,
            subject=path,
            evidence=evidence,
            fix=fixes.choose_context(path, with_content.contexts),
            explains=[link],
        )
    denied = any(path == ADMIN for path, _ in kubeconfigs.unreadable)
    if kubeconfigs.at(ADMIN) is None and not denied:
        message = f"kubectl of {people} has no kubeconfig here, as is usual on a machine without {ADMIN}."
        return skip("KubectlNotConfigured", message)
    tried = listed([path for setup in bad for path in setup.paths])
    return warn(
        "NoKubeconfig",
        f"kubectl of {people} finds no kubeconfig in {tried}, {asks}.",
        subject=caller.paths[0],
        evidence=evidence,
        fix=fix,
    )


def _seen(setup: Setup) -> list[Evidence]:
    states = [f"{path} ({'does not exist' if path in setup.missing else 'is there'})" for path in setup.paths]
    return [Evidence(f"{setup.variable or 'home'} of {setup.person}", ", ".join(states))]


# -- a file by itself ---------------------------------------------------------------------------------------------------


def _file(file: Kubeconfig, scene: Scene) -> Iterator[Finding]:
    """What is wrong with a file, its context and whom it trusts."""
    problem = _invalid(file)
    if problem is not None:
        if "names no current-context" in problem and file.personal:
            return  # kubectl falls back: told as that
        yield _tell(file)(
            "KubeconfigInvalid",
            sentence(problem),
            subject=file.path,
            evidence=[Evidence(file.path, problem)],
            fix=fixes.choose_context(file.path, file.contexts)
            if file.contexts
            else _apiserver_fixes.rewrite_kubeconfig(scene.site, file.path),
            explains=[
                Link(
                    "apiserver-san",
                    "KubeconfigInvalid",
                    "it is the same file",
                    Certainty.PROVEN,
                    frozenset({f"file:{file.path}"}),
                )
            ],
        )
        return
    if file.insecure:
        yield warn(
            "InsecureSkipTlsVerify",
            f"{file.path} has insecure-skip-tls-verify, so it gives its credentials to whoever answers at {file.server}.",
            subject=file.path,
            evidence=[Evidence(file.path, "insecure-skip-tls-verify: true")],
            fix=fixes.trust_authority(file.path),
        )
    elif (
        file.ca is None
        and scene.is_component(file)
        and file.unread is None
        and (file.server or "").startswith("https://")
    ):
        yield warn(
            "AuthorityNotNamed",
            f"{file.path} names no certificate authority, so only what this machine trusts anyway is believed at {file.server}.",
            subject=file.path,
            evidence=[Evidence(file.path, f"server: {file.server}, no certificate-authority")],
            fix=fixes.trust_authority(file.path),
        )
    elif file.ca is not None and scene.is_component(file):
        yield from _authority(file, scene)


def _authority(file: Kubeconfig, scene: Scene) -> Iterator[Finding]:
    """A component's kubeconfig that trusts another authority than the cluster's, which lies in pki/."""
    roots = certificates(file.ca or "")
    if scene.disk.ca_source != CLUSTER_CA or {public_key(each) for each in roots} & {
        public_key(each) for each in scene.disk.ca
    }:
        return
    ours, theirs = scene.disk.ca[0], roots[0]
    name = "of the same name and another key" if ours.subject == theirs.subject else f"{theirs.subject}"
    yield fail(
        "OtherAuthority",
        f"{file.path} trusts another authority ({name}) than {CLUSTER_CA}, as after a cluster was made anew.",
        subject=file.path,
        evidence=[words.shown(file.ca_source or file.path, theirs), words.shown(CLUSTER_CA, ours)],
        fix=fixes.write_anew(scene.site, file.path, theirs.fingerprint[:8], file.server),
        explains=[
            Link(
                "apiserver-san",
                "UntrustedIssuer",
                f"{file.path} trusts that other authority",
                Certainty.PROVEN,
                frozenset({f"file:{file.path}"}),
            )
        ],
        traits=[f"authority:{ours.fingerprint}"],
    )


def _invalid(file: Kubeconfig) -> str | None:
    if file.problem or file.ca is None:
        return file.problem
    try:
        certificates(file.ca)
    except BadCertificateError as error:
        return f"{file.ca_source} holds no usable certificate: {error}"
    return None


# -- its credential -----------------------------------------------------------------------------------------------------


def _credential(credential: Credential, scene: Scene, *, known: bool) -> Iterator[Finding]:
    """What is wrong with a credential but its dates; `known` where its file is of another cluster, and that was told."""
    file = credential.kubeconfig
    path = file.path
    if credential.empty:
        if scene.is_component(file):
            yield fail(
                "NoCredentials",
                f"The user {file.user!r} of {path} has neither certificate nor token nor plugin, so the API server meets nobody it knows.",
                subject=path,
                evidence=[Evidence(path, f"users: {file.user}")],
                fix=fixes.write_anew(scene.site, path, "empty", file.server),
            )
        return
    if credential.plugin_absent:
        yield _tell(file)(
            "PluginMissing",
            f"{path} gets its credentials from {credential.plugin}, which is not installed here.",
            subject=path,
            evidence=[Evidence(path, f"exec: command: {credential.plugin}")],
            fix=fixes.install_plugin(path, credential.plugin or ""),
        )
    if credential.token_end is not None and credential.token_end <= scene.now:
        yield _tell(file)(
            "TokenExpired",
            f"The token in {credential.token_source} ended on {words.date(credential.token_end)}; it is {words.date(scene.now)} here.",
            subject=path,
            evidence=[Evidence(credential.token_source or path, f"exp {words.date(credential.token_end)}")],
            fix=fixes.log_in_again(path),
        )
    if credential.pair is not None:
        yield from _pair(credential, credential.pair, scene, known=known)


def _pair(credential: Credential, pair: Pair, scene: Scene, *, known: bool) -> Iterator[Finding]:
    file = credential.kubeconfig
    path, leaf = file.path, pair.leaf
    suffix = leaf.fingerprint[:8] if leaf else "broken"
    fix = _anew(file, scene, suffix)
    if pair.problem is not None:
        reason = "ClientCertificateMissing" if pair.absent else "ClientCertificateInvalid"
        message = f"{path} shows the certificate in {pair.source}, and {pair.problem}."
        yield _tell(file)(reason, message, subject=path, evidence=[Evidence(pair.source, pair.problem)], fix=fix)
        return
    if pair.key_problem is not None and not (pair.absent and pair.key_source == pair.source):
        reason = "KeyMissing" if pair.key_absent else "KeyInvalid"
        where = pair.key_source or path
        message = f"{path} has no private key that can be used: {where}, and {pair.key_problem}."
        yield _tell(file)(reason, message, subject=path, evidence=[Evidence(where, pair.key_problem)], fix=fix)
    if leaf is None:
        return
    own = public_key(leaf)
    if pair.public_key is not None and own is not None and pair.public_key != own:
        yield _tell(file)(
            "KeyMismatch",
            f"The private key in {pair.key_source} is not the one of the certificate {leaf.subject} in {pair.source}.",
            subject=path,
            evidence=[
                words.shown(pair.source, leaf),
                Evidence(pair.source, f"SHA-256 of its public key {own}"),
                Evidence(pair.key_source or path, f"SHA-256 of its public key {pair.public_key}"),
            ],
            fix=fix,
        )
    yield from _identity(file, leaf, pair, scene, fix)
    if not known:
        yield from _chain(file, pair, scene, fix)


def _identity(file: Kubeconfig, leaf: Certificate, pair: Pair, scene: Scene, fix: Fix) -> Iterator[Finding]:
    """Whether the certificate names whom the component must be."""
    name, groups = leaf.common_name or "", organizations(leaf)
    evidence = [words.shown(pair.source, leaf)]
    if MASTERS in groups:  # passes every authorization, under whatever name
        return
    wanted = COMPONENTS.get(file.path)
    if wanted is not None and name != wanted:
        message = f"The certificate in {pair.source} names {leaf.subject}, and the API server knows that component as {wanted}."
        yield fail("WrongIdentity", message, subject=file.path, evidence=evidence, fix=fix)
    if file.path != scene.kubelet_conf:
        return
    if file.path == KUBELET and not (name.startswith("system:node:") and "system:nodes" in groups):
        message = f"The certificate in {pair.source} names {leaf.subject}, and a kubelet is CN=system:node:NAME of O=system:nodes."
        yield fail("WrongIdentity", message, subject=file.path, evidence=evidence, fix=fix)
    elif scene.node is not None and name.startswith("system:node:") and name != f"system:node:{scene.node}":
        yield fail(
            "OtherNode",
            f"The kubelet's certificate in {pair.source} is that of the node {name.removeprefix('system:node:')}, and this one registers as {scene.node}: it was renamed or cloned.",
            subject=file.path,
            evidence=[*evidence, Evidence("the name by which the kubelet registers", scene.node)],
            fix=fix,
            explains=kubelet_unheard("the API server lets a kubelet write no Node but its certificate's", ends=False),
        )


def _chain(file: Kubeconfig, pair: Pair, scene: Scene, fix: Fix) -> Iterator[Finding]:
    """Whether the API server would believe the certificate, its dates apart."""
    if not scene.authority or (not scene.is_component(file) and not _ours(file, scene)):
        return
    trust = verify(pair.chain, scene.authority, scene.now, "clients")
    if trust.trusted or trust.expired is not None:  # an authority that has ended is told by certificates
        return
    yield _tell(file)(
        "ClientCertificateUntrusted",
        f"The certificate {pair.chain[0].subject} in {pair.source} is not one that the cluster's authority answers for: {trust.why_not}.",
        subject=file.path,
        evidence=[words.shown(pair.source, pair.chain[0]), words.shown(CLUSTER_CA, scene.authority[0])],
        fix=fix,
        traits=[f"authority:{each.fingerprint}" for each in scene.authority],
    )


def _ours(file: Kubeconfig, scene: Scene) -> bool:
    """Whether a kubeconfig leads to this cluster: it trusts the cluster's authority."""
    try:
        return bool(set(certificates(file.ca or "")) & set(scene.disk.ca))
    except BadCertificateError:
        return False


# -- dates --------------------------------------------------------------------------------------------------------------


def _dates(credentials: Credentials, scene: Scene) -> Iterator[Finding]:
    """What has ended, has not begun, or ends soon. kubeadm renews its own in one go, so those are one finding."""
    pairs = [(each, pair) for each in credentials.all if (pair := each.pair) is not None and pair.leaf is not None]
    late = [(each, pair) for each, pair in pairs if pair.chain[0].not_before > scene.now]
    if late:
        yield _not_yet(late, scene)
    kubeadms = [(each, pair) for each, pair in pairs if each.kubeconfig.path in RENEWED]
    ended = [(each, pair) for each, pair in kubeadms if pair.chain[0].not_after < scene.now]
    soon = [(each, pair) for each, pair in kubeadms if words.ends_soon(pair.chain[0], scene.now)]
    if ended:
        yield _ended(
            ended, fixes.renew(scene.site, [each.kubeconfig.path for each, _ in ended], ended[0][1].chain[0]), scene
        )
    if soon:
        yield _soon(
            soon, fixes.renew(scene.site, [each.kubeconfig.path for each, _ in soon], soon[0][1].chain[0]), scene
        )
    for each, pair in pairs:
        if each.kubeconfig.path == scene.kubelet_conf:
            yield from _kubelet_dates(each, pair, scene)
        elif each.kubeconfig.path not in RENEWED:
            fix = _anew(each.kubeconfig, scene, pair.chain[0].fingerprint[:8])
            if pair.chain[0].not_after < scene.now:
                yield _ended([(each, pair)], fix, scene)
            elif words.ends_soon(pair.chain[0], scene.now):
                yield _soon([(each, pair)], fix, scene)


def _kubelet_dates(credential: Credential, pair: Pair, scene: Scene) -> Iterator[Finding]:
    """The kubelet renews its certificate by itself, unless its kubeconfig names the first one for good."""
    leaf, path = pair.chain[0], credential.kubeconfig.path
    rotated = scene.rotated.leaf if scene.rotated and scene.rotated.leaf and not scene.rotated.key_problem else None
    rotates = not isinstance(scene.kubelet, Kubelet) or scene.kubelet.config.get("rotateCertificates") is not False
    embedded = pair.source.startswith("client-certificate-data")
    valid = rotated is not None and scene.now < rotated.not_after
    if leaf.not_after < scene.now:
        fix = (
            fixes.finalize_kubelet(leaf.fingerprint[:8])
            if valid
            else fixes.enroll_kubelet(scene.site, leaf.fingerprint[:8], credential.kubeconfig.server)
        )
        yield _ended([(credential, pair)], fix, scene)
    elif rotated is not None and embedded and rotates and rotated.fingerprint != leaf.fingerprint:
        yield warn(
            "EmbeddedCertificate",
            f"{path} holds the kubelet's first certificate, which ends on {words.date(leaf.not_after)}, while the kubelet rotates {fixes.CURRENT}: a kubelet that starts after that day has none.",
            subject=path,
            evidence=[words.shown(pair.source, leaf), words.shown(fixes.CURRENT, rotated)],
            fix=fixes.finalize_kubelet(leaf.fingerprint[:8]),
        )
    elif rotates and not embedded:
        latest = leaf.not_before + (leaf.not_after - leaf.not_before) * LATEST_ROTATION
        if scene.now > latest:
            yield warn(
                "NotRotated",
                f"The kubelet's certificate in {pair.source} ends on {words.date(leaf.not_after)}, and a new one should have come by {words.date(latest)}.",
                subject=path,
                evidence=[words.shown(pair.source, leaf)],
                fix=fixes.rotate(),
            )
    elif words.ends_soon(leaf, scene.now):
        yield _soon(
            [(credential, pair)],
            fixes.enroll_kubelet(scene.site, leaf.fingerprint[:8], credential.kubeconfig.server),
            scene,
        )


def _ended(found: list[tuple[Credential, Pair]], fix: Fix, scene: Scene) -> Finding:
    leaves = [pair.chain[0] for _, pair in found]
    paths = [each.kubeconfig.path for each, _ in found]
    personal = all(each.kubeconfig.personal for each, _ in found)
    what = "certificate in" if len(found) == 1 else "certificates in"
    unheard = kubelet_unheard("the API server refuses the kubelet's certificate") if scene.kubelet_conf in paths else ()
    return (warn if personal else fail)(
        "ClientCertificateExpired",
        f"The client {what} {listed(paths)} ended on {words.date(min(leaf.not_after for leaf in leaves))}; it is {words.date(scene.now)} here.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=fix,
        explains=() if personal else [*_copies("ClientCertificateExpired", leaves), *unheard],
        traits=[*_traits(leaves, personal=personal), *(() if personal else words.ended(*leaves))],
    )


def _soon(found: list[tuple[Credential, Pair]], fix: Fix, scene: Scene) -> Finding:
    leaves = [pair.chain[0] for _, pair in found]
    paths = [each.kubeconfig.path for each, _ in found]
    personal = all(each.kubeconfig.personal for each, _ in found)
    end = min(leaf.not_after for leaf in leaves)
    what = "certificate in" if len(found) == 1 else "certificates in"
    return warn(
        "ExpiresSoon",
        f"The client {what} {listed(paths)} {'ends' if len(found) == 1 else 'end'} on {words.date(end)}, in {(end - scene.now) / words.DAY:.0f} days.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=fix,
        explains=() if personal else _copies("ExpiresSoon", leaves),
        traits=_traits(leaves, personal=personal),
    )


def _copies(reason: str, leaves: list[Certificate]) -> list[Link]:
    """A person's copy of admin.conf holds the same certificate."""
    return [
        Link(
            "kubeconfig",
            reason,
            "it is a copy of the same certificate",
            Certainty.PROVEN,
            _traits([leaf], personal=True),
        )
        for leaf in leaves
    ]


def _traits(leaves: list[Certificate], *, personal: bool) -> frozenset[str]:
    return frozenset([*(f"certificate:{leaf.fingerprint}" for leaf in leaves), *(["personal"] if personal else [])])


def _not_yet(found: list[tuple[Credential, Pair]], scene: Scene) -> Finding:
    paths = [each.kubeconfig.path for each, _ in found]
    begin = max(pair.chain[0].not_before for _, pair in found)
    return fail(
        "ClientCertificateNotYetValid",
        f"The client certificate in {listed(paths)} begins on {words.date(begin)}; it is {words.date(scene.now)} here.",
        subject=", ".join(paths),
        evidence=[words.shown(pair.source, pair.chain[0]) for _, pair in found],
        fix=_apiserver_fixes.set_clock(),
    )


# -- who may read it ----------------------------------------------------------------------------------------------------


def _permissions(credentials: Credentials) -> Iterator[Finding]:
    """Helm warns of a kubeconfig that group or others may read. A component's may be a group's, if somebody made it so."""
    open_ = {
        file.path: file
        for each in credentials.all
        for file in each.secrets
        if file.mode & OTHERS_READ or (each.kubeconfig.personal and file.mode & GROUP_READS and file.gid != 0)
    }
    if not open_:
        return
    yield warn(
        "ReadableByOthers",
        f"{listed(list(open_))} {'holds' if len(open_) == 1 else 'hold'} a private key or a token, and others than the owner may read it.",
        subject=", ".join(open_),
        evidence=[Evidence(path, f"mode {file.mode:04o}, group {file.gid}") for path, file in open_.items()],
        fix=fixes.protect(list(open_.values())),
    )


# -- the rest -----------------------------------------------------------------------------------------------------------


# A kubelet that starts looks at the dates and the key of its certificate (isClientConfigStillValid), and at nobody's word for it.
_BORNE = frozenset({"OtherNode", "OtherAuthority", "ClientCertificateUntrusted", "WrongIdentity"})


def _heard(finding: Finding, scene: Scene) -> Finding:
    """With what cannot be asked by a kubeconfig that is at fault, and what that does to the node where the kubelet uses it."""
    if finding.status is not Status.FAIL or finding.subject is None:
        return finding
    paths = finding.subject.split(", ")
    asked = [path for path in paths if path in (*BY_POWER, scene.kubelet_conf)]
    links = unasked(f"the API server cannot be asked by {listed(asked)}", *asked)
    if scene.kubelet_conf in paths:
        links += kubelet_unheard(
            f"the API server does not take the word of a kubelet whose {scene.kubelet_conf} is at fault",
            ends=finding.reason not in _BORNE,
        )
    return replace(finding, explains=(*finding.explains, *links))


def _usable(credential: Credential) -> Finding:
    file, pair = credential.kubeconfig, credential.pair
    if pair is not None and pair.leaf is not None:
        message = f"{file.path} shows {pair.leaf.subject}, valid until {words.date(pair.leaf.not_after)}."
        return passed("Usable", message, subject=file.path, evidence=[words.shown(pair.source, pair.leaf)])
    how = credential.token_source or credential.plugin or " and ".join(credential.others) or "no credential"
    return passed("Usable", f"{file.path} leads to {file.server} with {how}.", subject=file.path)


def _blind(credential: Credential) -> bool:
    return bool(credential.unread or (credential.pair and credential.pair.unread) or credential.kubeconfig.unread)


def _anew(file: Kubeconfig, scene: Scene, suffix: str) -> Fix:
    if file.personal:
        return fixes.copy_admin(file.path, suffix)
    return (
        fixes.enroll_kubelet(scene.site, suffix, file.server)
        if file.path == scene.kubelet_conf
        else fixes.write_anew(scene.site, file.path, suffix, file.server)
    )


def _tell(file: Kubeconfig) -> Callable[..., Finding]:
    """What a component of the node reads must be right; what a person reads, or nobody any more, may wait."""
    return warn if file.personal or file.path == BOOTSTRAP else fail


def _unread(kubeconfigs: Kubeconfigs, kubectl: Kubectl | Unobserved, credentials: Credentials) -> Iterator[Finding]:
    unread = [why for _, why in kubeconfigs.unreadable]
    unread += [file.unread for file in kubeconfigs.files if file.unread]
    for each in credentials.all:
        unread += [*each.unread, *(each.pair.unread if each.pair else ())]
    if isinstance(kubectl, Unobserved):
        unread.append(kubectl)
    else:
        unread += [setup.unread for setup in kubectl.setups if setup.unread]
    for reason, messages in by_reason(unread).items():
        yield unknown(reason, sentence(together(messages)))


def _scene(  # noqa: PLR0913, PLR0917 -- see above
    stage: Stage,
    disk: Certificates,
    server: ApiServer,
    node: NodeName | Unobserved,
    kubelet: Kubelet | Unobserved,
    credentials: Credentials,
    site: _apiserver_fixes.Site,
) -> Scene:
    # kubeadm has one authority for servers and clients; where the API server was told of another one, or where pki/ is not there, nothing is known.
    clients = server.flag("--client-ca-file") or CLUSTER_CA
    known = disk.ca_source == CLUSTER_CA == clients
    flags = kubelet.flags if isinstance(kubelet, Kubelet) else {}
    # Before external providers, a cloud's own name for the machine was the node's.
    cloud = flags.get("--cloud-provider") not in (None, "", "external")
    name = node.configured if isinstance(node, NodeName) and node.configured not in NAMELESS else None
    return Scene(
        stage=stage,
        site=replace(site, node_name=name) if name else site,
        disk=disk,
        authority=disk.ca if known else (),
        kubelet=kubelet,
        kubelet_conf=flags.get("--kubeconfig", KUBELET),
        node=None if cloud else name,
        rotated=credentials.rotated,
    )
