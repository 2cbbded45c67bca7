"""The etcd outside the cluster that is planned can be reached, and is recent enough.

## What it looks at
`etcd.external` of the ClusterConfiguration given by `--config`: its certificate files, and `/version` of each endpoint, asked with them.

## Why it matters
`kubeadm init` refuses to start where a file is missing, where an endpoint does not answer, or where etcd is too old; it tries for a minute before it
says so. With the wrong authority the API server would end as soon as it starts.

## How it is decided
As kubeadm does: each file that is named must be there, and each endpoint must tell its version over TLS that `caFile` vouches for. Fails where one does
not. Skipped where no etcd of its own right is planned.

## Reasons
- `EtcdFits` (pass): each endpoint answers, with a version that kubeadm takes
- `NonePlanned` (skip): no etcd outside the cluster is planned
- `FileMissing` (fail): a file that the configuration names is not there
- `EtcdUnreachable` (fail): an endpoint does not answer, or not with its version
- `EtcdTooOld` (fail): an endpoint is older than kubeadm takes
- `NotPermitted`, `Unreadable` (unknown): a file could not be looked at

## What it sends
A request for `/version` to each endpoint, with the client certificate that the configuration names; nothing with `--offline`.

## How to fix
Copy the certificate files from an etcd member, and correct endpoints in the configuration; upgrade etcd, one minor version at a time.

## How to verify
`curl --cacert CA --cert CERT --key KEY ENDPOINT/version`

## References
- kubernetes cmd/kubeadm/app/preflight/checks.go (ExternalEtcdVersionCheck, FileExistingCheck), app/constants (MinExternalEtcdVersion)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import Profile, check
from k8sdoctor.facts import versions
from k8sdoctor.facts.external_etcd import ExternalEtcd
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, fail, passed, skip, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.external_etcd import EtcdAnswer
    from k8sdoctor.facts.versions import Version

# MinExternalEtcdVersion by kubeadm's minor; for releases between, the one that is known of an older release is a lower bound.
_OLDEST = ((36, (3, 5, 24)), (24, (3, 4, 13)))


@check(
    "external-etcd",
    title="The planned etcd outside the cluster answers",
    area="control plane",
    profiles=frozenset({Profile.INIT}),
)
def external_etcd(found: ExternalEtcd, kubeadm: KubeadmBinary, planned: KubeadmConfig) -> Iterator[Finding]:
    """Judge files, then each endpoint."""
    if not (found.endpoints or found.absent or found.unread):
        yield skip("NonePlanned", "No etcd outside the cluster is planned by --config.")
        return
    release = kubeadm.version or versions.parse(planned.kubernetes_version or "")
    trouble = [
        *(_missing(field, path, planned) for field, path in found.absent),
        *(unknown(each.reason, f"etcd's certificate files were not seen: {each.message}.") for each in found.unread),
        *(finding for answer in found.answers for finding in _answer(answer, release)),
    ]
    yield from trouble
    if not trouble:
        told = ", ".join(f"{each.endpoint} ({versions.text(each.version)})" for each in found.answers if each.version)
        yield passed("EtcdFits", f"Each endpoint of the planned etcd answers: {told}.")


def _missing(field: str, path: str, planned: KubeadmConfig) -> Finding:
    return fail(
        "FileMissing",
        f"{path}, which {planned.source} names as etcd.external.{field}, is not there.",
        subject=path,
        evidence=[Evidence(path, "does not exist")],
        fix=Fix(
            "Copy the file from a member of etcd, or correct its path",
            (f"ls -l {quote(path.rpartition('/')[0] or '/')}",),
            f"ls -l {quote(path)}",
            Safety.MANUAL,
        ),
    )


def _answer(answer: EtcdAnswer, release: Version | None) -> Iterator[Finding]:
    if answer.unasked is not None:
        make = skip if answer.unasked.reason == "Offline" else unknown
        yield make(answer.unasked.reason, f"{answer.endpoint} was not asked: {answer.unasked.message}.")
        return
    if answer.version is None:
        yield fail(
            "EtcdUnreachable",
            f"{answer.endpoint} does not tell its version: {(answer.failure or 'no answer').rstrip('.')}.",
            subject=answer.endpoint,
            evidence=[Evidence(f"{answer.endpoint}/version", answer.failure or "no answer")],
            fix=Fix(
                "Start that etcd, open the way to it, or correct the endpoint and its certificate files",
                (f"curl -vk {quote(answer.endpoint)}/version",),
                f"curl -sk {quote(answer.endpoint)}/version",
                Safety.MANUAL,
            ),
        )
        return
    oldest = next((version for minor, version in _OLDEST if release is None or release[1] >= minor), None)
    if oldest is not None and answer.version < oldest:
        yield fail(
            "EtcdTooOld",
            f"{answer.endpoint} is etcd {versions.text(answer.version)}, and kubeadm takes {versions.text(oldest)} or later.",
            subject=answer.endpoint,
            evidence=[Evidence(f"{answer.endpoint}/version", versions.text(answer.version))],
            fix=Fix("Upgrade etcd", ("etcd --version",), f"curl -sk {quote(answer.endpoint)}/version", Safety.MANUAL),
        )
