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

`NoKubeconfig`: copy `/etc/kubernetes/admin.conf` to the user's `~/.kube/config`, and make it theirs alone; on a node that is no control plane, bring one from there.

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

from k8sdoctor import Evidence, Finding, Unobserved, check, fail, passed, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks import _apiserver_fixes
from k8sdoctor.checks import _certificate_words as words
from k8sdoctor.checks import _kubeconfig_fixes as fixes
from k8sdoctor.checks._api_links import unasked
from k8sdoctor.checks._kubeconfig_dates import dates
from k8sdoctor.checks._kubeconfig_scene import Scene, anew, scene_of
from k8sdoctor.checks._kubectl_setups import for_people
from k8sdoctor.checks._node_ready_links import kubelet_unheard
from k8sdoctor.checks._words import by_reason, listed, sentence, together
from k8sdoctor.facts.api_access import BY_POWER
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.certificates import CLUSTER_CA, Certificates
from k8sdoctor.facts.credentials import Credential, Credentials, Pair
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeconfig import BOOTSTRAP, CONTROLLER_MANAGER, KUBELET, SCHEDULER, Kubeconfig, Kubeconfigs
from k8sdoctor.facts.kubectl import Kubectl
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates, organizations, public_key, verify
from k8sdoctor.finding import Certainty, Fix, Link, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


MASTERS = "system:masters"


OTHERS_READ = 0o004
GROUP_READS = 0o040


COMPONENTS = {CONTROLLER_MANAGER: "system:kube-controller-manager", SCHEDULER: "system:kube-scheduler"}
"""Whom the API server must meet there (kubeadmconstants.ControllerManagerUser, SchedulerUser); the cluster's roles are bound to these names."""


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
    scene = scene_of(stage, disk, server, node, kubelet, credentials, site)
    found = [*_unread(kubeconfigs, kubectl, credentials)]
    if isinstance(kubectl, Kubectl):
        found += for_people(kubectl, kubeconfigs, scene)
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
    judged += dates(credentials, scene)
    judged = [_heard(each, scene) for each in judged]
    ended = {each.subject for each in judged}
    found += [*judged, *_permissions(credentials)]
    found += [each for each in good if not any(each.subject in (subject or "").split(", ") for subject in ended)]
    yield from found


# -- a file by itself ---------------------------------------------------------------------------------------------------


def _file(file: Kubeconfig, scene: Scene) -> Iterator[Finding]:
    """What is wrong with a file, its context and whom it trusts."""
    problem = file.malformed
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
                    "what is said of this file elsewhere is the same trouble",
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
    fix = anew(file, scene, suffix)
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
