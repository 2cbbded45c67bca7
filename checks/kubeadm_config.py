"""kubeadm would take the planned configuration, and this machine fits it.

## What it looks at
The file given by `--config`: each of its documents (`kubeadm.k8s.io/v1beta3` and `v1beta4`, KubeletConfiguration, KubeProxyConfiguration), each field,
and the values that concern this machine: addresses, routes and DNS servers here, sockets of runtimes, the host name, the kernel. Without `--config`, on
a cluster's node, the ClusterConfiguration that kubeadm keeps in the cluster.

## Why it matters
kubeadm only warns of a field that it does not know, and goes on without it: a misspelt `podSubnet` makes a cluster without one. What it
does refuse it tells one by one, late, and in Go's words. And it never asks whether a subnet is in use here already.

## How it is decided
By kubeadm's own field lists and validation (kubernetes 1.36), and by the release of the installed kubeadm, else by `kubernetesVersion`. `init`, `join`
and the others warn of unknown and repeated fields, `kubeadm config validate` refuses them, in every release; a value of the wrong kind is refused by
all. A field that is near a known one, or is one of another place, is a mistake; any other may be one of a newer release, and is a
warning. An address, a route or a DNS server of this machine inside a planned subnet fails; a wider route around one warns.

## Reasons
- `Valid` (pass): kubeadm takes it, and nothing here speaks against it
- `ConfigInvalid` (fail): the file is no YAML, or a document in it is no mapping; says where
- `KindMissing` (fail): a document without `apiVersion` or `kind`, which kubeadm refuses
- `KindTwice` (fail): two documents of one kind, which kubeadm refuses
- `KindUnknown` (fail): a kind that this API version does not have
- `ForeignDocument` (warn): a document that kubeadm leaves aside
- `ApiVersionRemoved` (fail): the installed kubeadm no longer takes this version of its API
- `ApiVersionTooNew` (fail): the installed kubeadm does not know this version of its API yet
- `ApiVersionDeprecated` (warn): a later kubeadm refuses it
- `ApiVersionUnknown` (fail): no kubeadm has this version of the API
- `FieldMisspelt` (fail): a field that kubeadm ignores; names the one that was meant
- `FieldMisplaced` (fail): a field that kubeadm ignores here, and knows elsewhere
- `FieldUnknown` (warn): a field that is not known
- `KeyTwice` (warn): a key that stands twice, of which the last counts
- `ValueWrongKind` (fail): a list where a mapping is wanted, a number where text is, and the like
- `AddressPlaceholder` (fail): `advertiseAddress` is 1.2.3.4, as `kubeadm config print init-defaults` writes it
- `AddressInvalid` (fail): `advertiseAddress` is no address that an API server can have
- `AddressNotHere` (fail, or warn where etcd is elsewhere): `advertiseAddress` is on no interface of this machine
- `AddressFamilyDiffers` (fail): `advertiseAddress` and the first subnet of services are not of one family
- `NodeNameInvalid` (fail): the name is none that a Node can have
- `NodeNamePlaceholder` (warn): the name is `node`, as `print init-defaults` writes it
- `NodeNameNotResolved` (warn): this machine cannot resolve its own name
- `SocketInvalid` (fail): `criSocket` is no path and no unix:// URL
- `SocketWithoutScheme` (warn): `criSocket` is a bare path
- `SocketAbsent` (fail): nothing listens at `criSocket`
- `SocketDiffers` (warn): the kubelet here uses another runtime than `criSocket` names
- `SeveralRuntimes` (fail, or warn where no configuration was given): several runtimes' sockets are here, and nothing says which one counts
- `RepositoryInvalid` (fail): `imageRepository` is no name of a repository, such as one with https:// in front
- `SubnetInvalid` (fail): a subnet is none, or there are more than one of a family
- `SubnetTooSmall` (fail): a subnet that has too few addresses, or less than one node needs
- `SubnetTooLarge` (fail): a subnet that is larger than the control plane can hold
- `SubnetsOverlap` (fail): the services' subnet and the pods' share addresses
- `SubnetInUse` (fail): an address, a route or a DNS server of this machine lies in the subnet
- `SubnetShadowed` (warn): a wider route of this machine leads where the subnet lies
- `FamiliesDiffer` (warn): pods' and services' subnets do not have the same families in the same order
- `DomainInvalid` (fail): `dnsDomain` is no domain
- `DomainClash` (warn): `dnsDomain` is a domain in which this machine looks for names
- `TokenPlaceholder` (warn): the bootstrap token is the one of kubeadm's printed defaults, which everybody knows
- `DiscoveryInvalid` (fail): a JoinConfiguration that does not say where the cluster is, or says it twice
- `CaHashInvalid` (fail): one of `caCertHashes` is none
- `CaUnverified` (warn): the node joins without verifying whom
- `VersionInvalid` (fail): `kubernetesVersion` is neither a release nor a label
- `VersionTooOld` (fail): `kubernetesVersion` is older than this kubeadm installs
- `VersionTooNew` (warn): `kubernetesVersion` is newer than kubeadm
- `ProxyModeUnknown` (fail): a mode that kube-proxy does not have
- `ProxyModeUnsupported` (fail): kube-proxy's mode needs what this kernel lacks
- `ProxyModeDeprecated` (warn): kube-proxy's ipvs mode, deprecated since 1.35
- `NothingPlanned` (skip): no `--config`, and no configuration of a cluster to look at

## What it sends
With `--config`, a question to the node's own resolver for the node's name. Without it, it reads one ConfigMap.

## How to fix
Edit the file at the line named. `kubeadm config migrate` rewrites an old API version.

## How to verify
`kubeadm config validate --config FILE` (1.28 and later) prints `ok`.

## References
- kubernetes `cmd/kubeadm/app/util/config/common.go`, `initconfiguration.go`, `strict/strict.go`, `cmd/kubeadm/app/apis/kubeadm/validation/validation.go`
- kubernetes/kubernetes pull requests 125029 (v1beta4 in 1.31) and 136016 (v1beta3 removed in 1.37)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _kubeadm_fields, _kubeadm_subnets, _kubeadm_values
from k8sdoctor.checks._kubeadm_plan import Plan, edit
from k8sdoctor.facts import kubeadm_fields, versions
from k8sdoctor.facts.cri_sockets import CriSockets
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary
from k8sdoctor.facts.kubeadm_documents import KubeadmDocument, KubeadmDocuments
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_kernel import NodeKernel
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.planned_name import PlannedName
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Status,
    Unobserved,
    fail,
    passed,
    skip,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.checks._kubeadm_fields import FieldFault
    from k8sdoctor.facts.versions import Version

_OWN = "kubeadm.k8s.io"
_COMPONENTS = {
    "kubelet.config.k8s.io": kubeadm_fields.KUBELET,
    "kubeproxy.config.k8s.io": kubeadm_fields.KUBE_PROXY,
}
_STORED = "ConfigMap kube-system/kubeadm-config"


@check(
    "kubeadm-config", title="kubeadm's configuration fits kubeadm and this machine", area="kubeadm", profiles=NOT_DNS
)
def kubeadm_config(  # noqa: PLR0913, PLR0917 -- what a configuration is held against
    given: KubeadmDocuments,
    stored: ClusterKubeadmConfig | Unobserved,
    kubeadm: KubeadmBinary,
    stage: Stage,
    sockets: CriSockets | Unobserved,
    network: NodeNetwork | Unobserved,
    resolvers: Resolvers | Unobserved,
    name: PlannedName | Unobserved,
    kubelet: Kubelet,
    kernel: NodeKernel | Unobserved,
) -> Iterator[Finding]:
    """Judge what is planned, else what the cluster keeps."""
    if given.path is not None:
        findings = list(_documents(given, kubeadm.version))
        if given.problem is None:
            plan = Plan(
                given, _release(given, kubeadm.version), stage, sockets, network, resolvers, name, kubelet, kernel
            )
            findings += _kubeadm_values.findings(plan)
        if not any(finding.status in (Status.FAIL, Status.UNKNOWN) for finding in findings):
            findings.append(_valid(given, kubeadm.version))
        yield from findings
    elif isinstance(stored, ClusterKubeadmConfig):
        yield from _stored(stored, kubeadm.version)
    else:
        why = "Nothing is planned: name a kubeadm configuration by --config."
        if stage.joined:
            why += f" The one that the cluster keeps could not be read: {stored.message.rstrip('.')}."
        several = list(_kubeadm_values.several_runtimes(sockets, None)) if stage.fresh and kubeadm.version else []
        yield from several or [skip("NothingPlanned", why)]


def _stored(stored: ClusterKubeadmConfig, installed: Version | None) -> Iterator[Finding]:
    documents = KubeadmDocuments.parse(stored.text, _STORED)
    # Fields were made by kubeadm itself, of which release we cannot know: those of newer ones are no fault.
    known = ("ConfigInvalid", "ApiVersionRemoved", "ApiVersionTooNew", "ApiVersionDeprecated", "ValueWrongKind")
    found = [finding for finding in _documents(documents, installed) if finding.reason in known]
    yield from found or [_valid(documents, installed)]


def _valid(documents: KubeadmDocuments, installed: Version | None) -> Finding:
    kinds = ", ".join(f"{each.kind} ({each.version})" for each in documents.documents if each.kind)
    who = f"kubeadm {versions.text(installed)}" if installed else "kubeadm"
    room = _kubeadm_subnets.room(documents)
    return passed(
        "Valid",
        f"{who} takes {documents.path}: {kinds}.{room}",
        subject=documents.path,
        evidence=[documents.seen(each.line_of("apiVersion")) for each in documents.documents if each.api_version],
    )


def _release(documents: KubeadmDocuments, installed: Version | None) -> Version | None:
    """The release of kubeadm that will read the file: the installed one, else the one of the Kubernetes that it is to make."""
    cluster = documents.of("ClusterConfiguration")
    return installed or versions.parse((cluster.text("kubernetesVersion") if cluster else None) or "")


# -- documents -------------------------------------------------------------------------------------------------------


def _documents(documents: KubeadmDocuments, installed: Version | None) -> Iterator[Finding]:
    path = documents.path or ""
    if documents.problem is not None:
        yield fail(
            "ConfigInvalid",
            f"{documents.problem[:1].upper()}{documents.problem[1:]}.".replace("..", "."),
            subject=path,
            evidence=[Evidence(path, documents.problem)],
            fix=edit("Correct the file", documents, None),
            explains=[
                Link(
                    "apiserver-san",
                    "Unreadable",
                    "the endpoints that are planned stand in this file",
                    Certainty.PROVEN,
                    frozenset({f"config:{path}"}),
                )
            ],
        )
        return
    seen: dict[str, KubeadmDocument] = {}
    release = _release(documents, installed)
    for document in documents.documents:
        if not document.api_version or not document.kind:
            yield _kind_missing(documents, document)
            continue
        if document.kind in seen:
            yield _kind_twice(documents, seen[document.kind], document)
            continue
        seen[document.kind] = document
        yield from _document(documents, document, release, installed)
    if not {"InitConfiguration", "ClusterConfiguration"} & seen.keys():
        yield from _ignored_alone(documents, seen)


def _document(
    documents: KubeadmDocuments, document: KubeadmDocument, release: Version | None, installed: Version | None
) -> Iterator[Finding]:
    if document.group in _COMPONENTS:
        yield from _component(documents, document)
    elif document.group == _OWN:
        yield from _own(documents, document, release, installed)
    else:
        line = document.line_of("kind")
        yield warn(
            "ForeignDocument",
            f"{documents.path}, line {line}: kubeadm leaves {document.kind} of {document.api_version} aside.",
            subject=document.kind,
            evidence=[documents.seen(document.line_of("apiVersion")), documents.seen(line)],
            fix=edit("Take the document out, or correct its apiVersion", documents, line),
        )
        return
    yield from _fields(documents, document)


def _ignored_alone(documents: KubeadmDocuments, seen: dict[str, KubeadmDocument]) -> Iterator[Finding]:
    """Warn of documents that `kubeadm init` alone takes: `join` leaves them aside, and the node gets what the cluster keeps."""
    for kind, document in seen.items():
        if document.group in _COMPONENTS:
            line = document.line_of("kind")
            yield warn(
                "ForeignDocument",
                f"{documents.path}, line {line}: kubeadm takes {kind} only together with a ClusterConfiguration or an InitConfiguration.",
                subject=kind,
                evidence=[documents.seen(line)],
                fix=edit("Add a ClusterConfiguration", documents, line),
            )


def _kind_missing(documents: KubeadmDocuments, document: KubeadmDocument) -> Finding:
    missing = " and ".join(
        key for key, value in (("apiVersion", document.api_version), ("kind", document.kind)) if not value
    )
    return fail(
        "KindMissing",
        f"{documents.path}, line {document.line}: the document that begins here has no {missing}, so kubeadm refuses the file.",
        subject=f"line {document.line}",
        evidence=[documents.seen(document.line)],
        fix=edit(f"Add {missing}", documents, document.line),
    )


def _kind_twice(documents: KubeadmDocuments, first: KubeadmDocument, second: KubeadmDocument) -> Finding:
    one, other = first.line_of("kind"), second.line_of("kind")
    return fail(
        "KindTwice",
        f"{documents.path}: {second.kind} stands twice, at lines {one} and {other}, so kubeadm refuses the file.",
        subject=second.kind,
        evidence=[documents.seen(one), documents.seen(other)],
        fix=edit("Make one document of the two", documents, other),
    )


def _component(documents: KubeadmDocuments, document: KubeadmDocument) -> Iterator[Finding]:
    right = _COMPONENTS[document.group]
    line = document.line_of("apiVersion")
    if document.api_version != right:
        yield fail(
            "ApiVersionUnknown",
            f"{documents.path}, line {line}: kubeadm takes {document.group} in the version {right.rpartition('/')[2]} and no other, "
            f"not {document.version}.",
            subject=document.api_version,
            evidence=[documents.seen(line)],
            fix=edit(f"Write it for {right}", documents, line),
        )
    elif document.kind not in kubeadm_fields.kinds(right):
        yield _kind_unknown(documents, document, kubeadm_fields.kinds(right))


def _kind_unknown(documents: KubeadmDocuments, document: KubeadmDocument, kinds: tuple[str, ...]) -> Finding:
    line = document.line_of("kind")
    return fail(
        "KindUnknown",
        f"{documents.path}, line {line}: {document.api_version} has no kind {document.kind}, so kubeadm leaves the document aside; "
        f"it has {', '.join(kinds)}.",
        subject=document.kind,
        evidence=[documents.seen(line)],
        fix=edit("Correct the kind", documents, line),
    )


def _own(
    documents: KubeadmDocuments, document: KubeadmDocument, release: Version | None, installed: Version | None
) -> Iterator[Finding]:
    """Whether this version counts for the kubeadm that will read it."""
    version, line = document.version, document.line_of("apiVersion")
    where, evidence = f"{documents.path}, line {line}", [documents.seen(line)]
    who = f"kubeadm {versions.text(installed)}" if installed else "kubeadm"
    first, removed = kubeadm_fields.FIRST.get(version), kubeadm_fields.REMOVED.get(version)
    if first is None and removed is None:
        yield fail(
            "ApiVersionUnknown",
            f"{where}: kubeadm has no API version {version}.",
            subject=document.api_version,
            evidence=evidence,
            fix=edit(f"Write it for {_OWN}/v1beta4", documents, line),
        )
    elif removed is not None and (release >= removed if release else removed <= (1, 27, 0)):
        yield fail(
            "ApiVersionRemoved",
            f"{where}: kubeadm refuses {version} since {_minor(removed)}{f', and this is {versions.text(release)}' if release else ''}.",
            subject=document.api_version,
            evidence=evidence,
            fix=_migrate(documents, f"kubeadm of a release before {_minor(removed)}"),
        )
    elif first is not None and release is not None and release < first:
        yield fail(
            "ApiVersionTooNew",
            f"{where}: {version} is taken by kubeadm {_minor(first)} and later, and this is {versions.text(release)}.",
            subject=document.api_version,
            evidence=evidence,
            fix=edit("Write it for the version that this kubeadm takes, or install a newer kubeadm", documents, line),
        )
    elif release is not None and (old := kubeadm_fields.DEPRECATED.get(version)) and release >= old:
        yield warn(
            "ApiVersionDeprecated",
            f"{where}: {version} is deprecated since {_minor(old)}{f', and refused from {_minor(removed)} on' if removed else ''}.",
            subject=document.api_version,
            evidence=evidence,
            fix=_migrate(documents, who),
        )
    kinds = kubeadm_fields.kinds(document.api_version)
    if kinds and document.kind not in kinds:
        yield _kind_unknown(documents, document, kinds)


def _minor(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _migrate(documents: KubeadmDocuments, who: str) -> Fix:
    if documents.path == _STORED:
        return Fix(
            title=f"Let {who} write the ConfigMap anew",
            commands=("kubectl -n kube-system get configmap kubeadm-config -o yaml", "kubeadm upgrade plan"),
            verify="kubectl -n kube-system get configmap kubeadm-config -o yaml | grep apiVersion",
            safety=Safety.MANUAL,
        )
    path = quote(documents.path or "")
    return Fix(
        title=f"Let {who} write it anew, into a file beside it, and plan with that one",
        commands=(f"kubeadm config migrate --old-config {path} --new-config {path}.new",),
        verify=f"kubeadm config validate --config {path}.new",
        safety=Safety.MANUAL,  # which file is used is somebody's decision
    )


# -- fields ----------------------------------------------------------------------------------------------------------


def _fields(documents: KubeadmDocuments, document: KubeadmDocument) -> Iterator[Finding]:
    for fault in _kubeadm_fields.faults(document):
        yield _field(documents, document, fault)
    for path, first, second in document.twice:
        name = _kubeadm_fields.dotted(path)
        yield warn(
            "KeyTwice",
            f"{documents.path}: {document.kind}.{name} stands twice, at lines {first} and {second}; kubeadm warns, and takes the last.",
            subject=name,
            evidence=[documents.seen(first), documents.seen(second)],
            fix=edit("Take one of the two out", documents, first),
        )


def _field(documents: KubeadmDocuments, document: KubeadmDocument, fault: FieldFault) -> Finding:
    line, name = document.line_of(*fault.path), _kubeadm_fields.dotted(fault.path)
    message = f"{documents.path}, line {line}: {document.kind}.{name} {fault.told}"
    evidence = [documents.seen(line)]
    match fault.kind:
        case "misspelt":
            fix = edit("Correct the field's name", documents, line)
            return fail("FieldMisspelt", f"{message}; kubeadm ignores it.", subject=name, evidence=evidence, fix=fix)
        case "misplaced":
            fix = edit("Move the field to its place", documents, line)
            return fail("FieldMisplaced", f"{message}; kubeadm ignores it.", subject=name, evidence=evidence, fix=fix)
        case "unknown":
            fix = edit("Take the field out, unless a newer release has it", documents, line)
            message += (
                f" (fields up to {_minor(kubeadm_fields.LAST_KNOWN)} are); a kubeadm that does not know it ignores it."
            )
            return warn("FieldUnknown", message, subject=name, evidence=evidence, fix=fix)
        case "wrong-kind":
            fix = edit(fault.hint.rstrip(".") or "Write a value of the right kind", documents, line)
            return fail(
                "ValueWrongKind", f"{message}, so it refuses the file.", subject=name, evidence=evidence, fix=fix
            )
