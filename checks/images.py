"""Every image that the node needs is on it, or the runtime can pull it.

## What it looks at
Which images this node needs, or will need. Before `kubeadm init` or `kubeadm join`: those that kubeadm wants for the release, with what
`--config` changes (`imageRepository`, `dns`, `etcd`, `skipPhases`). On a node: those that static pod manifests name, the kube-proxy daemon
set and CoreDNS's deployment; on a control plane also Kubernetes' own images in the release that the ConfigMap `kubeadm-config` names.
Then the runtime's list of images, and for each that is missing what the registry hosts answer that this runtime would ask, in its own order
and by its own mirrors, proxy, CA files and credentials. The sandbox image is judged by `pause-image`.

## Why it matters
`kubeadm init` stops at the first image that it cannot pull. On a node an image can be gone long before anybody notices: what runs goes on,
and after a restart, or once the kubelet has cleared its disk, a static pod, kube-proxy or CoreDNS does not come back.

## How it is decided
An image that is on the node passes, and nobody is asked for it. It counts under the name that is asked for, as it does for the kubelet:
the same image from another registry is another one. One that is missing passes if the runtime would get it. What keeps several images
from being pulled is one finding that names the host and all of them. It fails where something on this node cannot start without the image,
or kubeadm would stop; it warns for what may run elsewhere (CoreDNS), for what a later `kubeadm upgrade node` wants, and on a node whose
runtime does not answer what it has. Where we may not ask it, what could not be pulled is `unknown`, for it may be here. On a machine that only has kube-proxy's image the other images of a control plane are not asked
for: it was made ready to be a worker. The tags of etcd, CoreDNS and pause are those that the installed kubeadm lists for the release, else
those of our table; kubeadm without `kubernetesVersion` is taken to install its own release.

## Reasons
- `Present` (pass): these images are on the node
- `Pullable` (pass): these are not, and a registry host would serve them
- `NoRuntime` (skip): no container runtime is installed yet
- `NothingNamed` (skip): nothing names an image here: no static pod, no addon, no kubeadm
- `Offline` (skip): images are missing, and `--offline` forbids to ask registries
- `RegistryUnreachable` (fail, warn): no answer: silence, refusal, no route, a proxy that is not there
- `NameNotResolved` (fail, warn): the node's resolver gives no address for the host
- `RegistryForbidden` (fail, warn): 403, credentials that are refused, or a proxy that lets nobody through
- `AuthRequired` (fail, warn): the registry wants a login, or gives out no anonymous token
- `NotARegistry` (fail, warn): a web page, a portal, something that is no manifest
- `ImageNotFound` (fail, warn): 404: the registry does not hold these images under these names
- `CertificateUntrusted` (fail, warn), `CertificateNameMismatch` (fail, warn): TLS to the host does not hold
- `CertificateExpired` (fail, warn), `CertificateNotYetValid` (fail, warn): renew it, or mend the node's clock
- `CaUnreadable` (fail, warn), `ClientCertificateUnreadable` (fail, warn): a file that the mirror's configuration names cannot be read
- `PlainHttpRegistry` (fail, warn): HTTP spoken to HTTPS, or the other way round
- `RegistryError` (fail, warn): 429, 5xx and other answers that are no refusal
- `NoMatchingPlatform` (fail, warn): the images are not built for this machine's architecture
- `RegistryBlocked` (fail, warn), `PolicyRejects` (fail, warn), `NoRegistryHost` (fail, warn): configuration forbids the pull
- `RuntimeConfigInvalid` (fail, warn): the runtime cannot take its configuration of registries
- `InvalidImageName` (fail): what is named is no name of an image, and the kubelet says so too
- `MirrorFailing` (warn): a host fails, and a later one saves the pull
- `RuntimeUnreachable` (unknown): the runtime could not be asked which images it has

## What it sends
On a node: to the API server a GET for the kube-proxy daemon set, CoreDNS's deployment and the ConfigMap `kubeadm-config` (with a
kubelet's rights: for the pods of this node). For each missing image to the hosts of its chain HEAD and GET requests for its manifest and its
configuration (a few kilobytes), where they are asked for a GET to the token server, and what redirects lead to. A host that does not
answer is asked once. No layer is fetched. Nothing of that with `--offline`.

## How to fix
Mend the mirror that is named: one line of its configuration, its CA, its login. Copy the images into a registry that lacks them, or
bring them by hand. Each needs a person's decision.

## How to verify
`crictl images`, `crictl pull IMAGE` (not `ctr images pull`, which knows nothing of the CRI plugin's mirrors), or run this check again.

## References
- kubeadm `app/images/images.go`, `app/constants/constants.go`; `kubeadm config images list --kubernetes-version`
- kubernetes `pkg/kubelet/images/image_manager.go`
- containerd `docs/hosts.md`; containers-registries.conf(5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _pull_fixes as fixes
from k8sdoctor.checks._node_ready_links import UNTOLD
from k8sdoctor.checks._pull_judgement import (
    Verdict,
    blames,
    chain,
    conversation,
    mistrusted,
    reason,
    said,
    same_host,
    verdict,
    why_not,
)
from k8sdoctor.checks._runtime_fixes import see_why_silent
from k8sdoctor.checks._words import all_of, enumerated
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.needed_images import NeededImages
from k8sdoctor.facts.needed_pulls import NeededPulls, absent, reference
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Safety, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.needed_images import Need
    from k8sdoctor.facts.registry_hosts import RegistryHosts
    from k8sdoctor.facts.registry_visit import Attempt

UNSEEN = ("NotPermitted", "NotRecorded", "DeadlineExceeded")
"""Reasons why we could not look what the runtime has, which say nothing of the runtime."""

MOST_NAMED = 12
"""Images that one sentence names; its evidence has them all."""


@check("images", title="Every image that the node needs is on it, or can be pulled", area="images", profiles=NOT_DNS)
def images(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    runtime: Runtime,
    needed: NeededImages,
    present: RuntimeImages | Unobserved,
    pulls: NeededPulls | Unobserved,
    sandbox: SandboxImage | Unobserved,
    stage: Stage,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge what is here, what is not, and what could not be looked at."""
    if runtime.kind is None:
        yield skip("NoRuntime", "No container runtime is installed here, so nothing would pull an image yet.")
        return
    yield from _blind(needed)
    if not needed.needs:
        if not needed.blind:
            yield skip(
                "NothingNamed", "Neither a static pod nor an addon of the cluster nor kubeadm names an image here."
            )
        return
    if isinstance(distribution, Unobserved):
        distribution = Distribution("", (), "an unknown Linux", "other")
    if isinstance(present, Unobserved):
        yield _cannot_ask(runtime, needed, present)
    missing = absent(needed, present, sandbox)
    yield from _here([need for need in needed.needs if need not in missing], missing)
    bad = [need for need in missing if reference(need.image) is None]
    yield from map(_misnamed, bad)
    away = [need for need in missing if need not in bad]
    if not away:
        return
    if isinstance(pulls, Unobserved):
        names = _names(away)
        yield unknown(
            pulls.reason,
            f"Where {names} would be pulled from could not be told: {pulls.message}.",
            evidence=_evidence(away),
        )
        return
    case = _Case(
        runtime, pulls, distribution, present if isinstance(present, Unobserved) else None, joined=not stage.fresh
    )
    yield from case.judge(away)


# -- what is here --------------------------------------------------------------------------------------------------------


def _blind(needed: NeededImages) -> Iterator[Finding]:
    for who, why in needed.blind:
        make = skip if why.reason == "Offline" else unknown
        yield make(why.reason, f"{who[:1].upper()}{who[1:]} could not be read: {why.message}.", traits=why.traits)


def _cannot_ask(runtime: Runtime, needed: NeededImages, problem: Unobserved) -> Finding:
    told = problem.reason if problem.reason in UNSEEN else "RuntimeUnreachable"
    return unknown(
        told,
        f"Which of {_names(needed.needs)} are on this node could not be asked: {problem.message}.",
        evidence=[Evidence(runtime.endpoint or runtime.label, problem.message)],
        fix=see_why_silent(runtime) if told == "RuntimeUnreachable" else None,
    )


def _here(found: Sequence[Need], missing: Sequence[Need]) -> Iterator[Finding]:
    if found:
        every = f"{len(found)} of the {len(found) + len(missing)} images that this node needs are on it"
        if not missing:
            every = all_of(len(found), "image that this node needs is on it", "images that this node needs are on it")
        yield passed(
            "Present",
            f"{every}.",
            evidence=_evidence(found),
        )


def _misnamed(need: Need) -> Finding:
    path = next((source for source in need.sources if source.startswith("/")), None)
    edit = f"${{EDITOR:-vi}} {path}" if path else f"kubectl -n kube-system edit {need.users[0].split()[0].lower()}"
    return fail(
        "InvalidImageName",
        f"{need.image!r}, which {_users([need])} wants, is no name of an image.",
        subject=need.image,
        evidence=_evidence([need]),
        fix=Fix(
            title=f"Correct the image's name in {need.sources[0]}",
            commands=(edit,),
            verify="k8sdoctor check images",
            safety=Safety.MANUAL,
        ),
    )


# -- what is not ---------------------------------------------------------------------------------------------------------


def _waiting(need: Need) -> Iterator[Link]:
    """What does not run on this node while an image is neither here nor to be had."""
    why = f"{need.image} is not on this node, and cannot be pulled"
    yield Link("coredns", "ImageNotPulled", why, when=frozenset({f"image:{need.image}"}))
    for user in need.users:
        kind, _, name = user.rpartition(" ")
        component = name.rpartition("/")[2]
        if kind == "static pod":
            yield Link("control-plane", "ComponentDown", why, when=frozenset({f"component:{component}", UNTOLD}))
        elif kind == "DaemonSet" and component == "kube-proxy":
            yield Link("kube-proxy", "NotRunning", why)


class _Case:
    """Facts that belong together while missing images are judged."""

    def __init__(
        self,
        runtime: Runtime,
        pulls: NeededPulls,
        distribution: Distribution,
        untold: Unobserved | None,
        *,
        joined: bool,
    ) -> None:
        """`untold` is why the runtime did not tell what it has, None where it did."""
        self.runtime = runtime
        self.pulls = pulls
        self.distribution = distribution
        self.asked = asked = untold is None
        # Whether a pull is needed at all is for those to judge who may look.
        self.unseen = untold.reason if untold is not None and untold.reason in UNSEEN else None
        # Images that nobody could look for may be here, and on a node that runs pods they most likely are.
        self.mild = joined and not asked

    def judge(self, missing: Iterable[Need]) -> Iterator[Finding]:
        """One finding for each cause, and one for all that can be pulled."""
        groups: dict[tuple[str, str, str], list[tuple[Need, Verdict]]] = {}
        for need in missing:
            found = verdict(self.pulls.pulls[need.image], self.pulls.hosts[need.image])
            # What would serve them does not matter: it is one answer.
            key = (
                (found.kind, "", "")
                if found.kind in ("serves", "offline")
                else (found.kind, found.reason, found.culprit)
            )
            groups.setdefault(key, []).append((need, found))
        for (kind, _, _), group in groups.items():
            if kind == "serves":
                yield from self._failing_mirrors(group)
                yield self._pullable(group)
            elif kind == "offline":
                yield skip(
                    "Offline",
                    f"{self._opening(group)} no registry was asked whether they can be pulled (--offline).",
                    evidence=_evidence(_needs(group)),
                )
            elif kind == "untried":
                yield self._untried(group)
            else:
                yield self._fails(group)

    def _opening(self, group: Sequence[tuple[Need, Verdict]]) -> str:
        names, one = _names(_needs(group)), len(group) == 1
        if self.asked:
            return f"{names} {'is' if one else 'are'} not on this node, and"
        return f"If {names} {'is' if one else 'are'} not on this node already,"

    def _pullable(self, group: Sequence[tuple[Need, Verdict]]) -> Finding:
        hosts = ", ".join(dict.fromkeys(found.attempt.netloc for _, found in group if found.attempt))
        names = _names(_needs(group))
        state = (
            f"{names} {'is' if len(group) == 1 else 'are'} not on this node yet, and" if self.asked else f"For {names},"
        )
        return passed(
            "Pullable",
            f"{state} {hosts} would serve what {self.runtime.label} asks for.",
            evidence=[*_evidence(_needs(group)), *self._way(group)],
        )

    def _failing_mirrors(self, group: Sequence[tuple[Need, Verdict]]) -> Iterator[Finding]:
        by_host: dict[tuple[str, str], list[tuple[Need, Attempt, str]]] = {}
        for need, found in group:
            for attempt in found.failing:
                key = (attempt.netloc, attempt.outcome)
                serving = found.attempt.netloc if found.attempt else ""
                by_host.setdefault(key, []).append((need, attempt, serving))
        for (netloc, _), failing in by_host.items():
            _, first, serving = failing[0]
            needs = [need for need, _, _ in failing]
            hosts = self.pulls.hosts[needs[0].image]
            told = _lacks(netloc, [attempt for _, attempt, _ in failing]) or said(first, self._platform(needs[0]))
            yield warn(
                "MirrorFailing",
                f"{told}; {self.runtime.label} then pulls {_names(needs)} from {serving}.",
                subject=urlsplit(first.host.base_url).netloc,
                evidence=[conversation(first), Evidence(first.host.source, first.host.base_url)],
                fix=self._mend(needs, hosts, [attempt for _, attempt, _ in failing]),
                explains=(
                    *same_host(reason(first), netloc, "registry-config"),
                    *same_host("MirrorFailing", netloc, "image-list"),
                ),
                traits=blames(netloc),
            )

    def _untried(self, group: Sequence[tuple[Need, Verdict]]) -> Finding:
        _, found = group[0]
        words = found.attempt.words if found.attempt else ""
        return unknown(
            found.reason,
            f"{self._opening(group)} {found.culprit} could not be asked: {words}.",
            evidence=[*_evidence(_needs(group)), *self._way(group)],
        )

    def _fails(self, group: Sequence[tuple[Need, Verdict]]) -> Finding:
        need, found = group[0]
        needs = _needs(group)
        what = "it" if len(group) == 1 else "them"
        attempts = [each.attempt for _, each in group if each.attempt is not None]
        lacks = _lacks(found.culprit, attempts)
        label = self.runtime.label
        told = f"{label} cannot pull {what}: {lacks}" if lacks else why_not(found, label, self._platform(need), what)
        build = fail if any(each.vital for each in needs) and not self.mild else warn
        evidence = [*_evidence(needs), *self._way(group)]
        if found.stopper is not None:
            evidence.insert(0, Evidence(found.stopper.source, found.stopper.path))
        message = f"{self._opening(group)} {told}; {_users(needs)} {'needs' if len(_all_users(needs)) == 1 else 'need'} {what}."
        subject = need.image if len(group) == 1 else found.culprit or None
        if self.unseen:
            return unknown(self.unseen, message, subject=subject, evidence=evidence, traits=blames(found.culprit))
        return build(
            found.reason,
            message,
            subject=subject,
            evidence=evidence,
            fix=self._fix(needs, found, attempts),
            explains=(
                *same_host(found.reason, found.culprit, "registry-config", "image-list"),
                *mistrusted(found, self.pulls.hosts[need.image]),
                *(link for each in needs if self.asked for link in _waiting(each)),
            ),
            traits=blames(found.culprit),
        )

    def _fix(self, needs: Sequence[Need], found: Verdict, attempts: Sequence[Attempt]) -> Fix:
        hosts = self.pulls.hosts[needs[0].image]
        if attempts:
            return self._mend(needs, hosts, attempts)
        if found.stopper is not None and found.stopper.kind == "ca-unreadable":
            path = found.stopper.path
            return fixes.provide_ca(path, next((each.base_url for each in hosts.hosts if path in each.ca_files), None))
        return fixes.bring_by_hand(self._wanted(needs))

    def _mend(self, needs: Sequence[Need], hosts: RegistryHosts, attempts: Sequence[Attempt]) -> Fix:
        return fixes.mend(self._wanted(needs), hosts, self.distribution, attempts)

    def _wanted(self, needs: Sequence[Need]) -> fixes.Wanted:
        names = tuple(need.image for need in needs)
        official = {need.image: need.official for need in needs if need.official}
        return fixes.Wanted(self.runtime.kind or "containerd", names, "images", official=official)

    def _platform(self, need: Need) -> str:
        return self.pulls.pulls[need.image].platform

    def _way(self, group: Sequence[tuple[Need, Verdict]]) -> list[Evidence]:
        """What was said to hosts for the image of which most was said: for the others it is known from that."""
        pulls = [self.pulls.pulls[need.image] for need, _ in group]
        told = max(pulls, key=lambda pull: sum(len(attempt.exchanges) for attempt in pull.attempts))
        return chain(told, self.pulls.hosts[told.image])


def _lacks(netloc: str, attempts: Sequence[Attempt]) -> str:
    """What a registry has not, where it has not several images; else empty."""
    if len(attempts) == 1 or any(attempt.outcome != "not-found" for attempt in attempts):
        return ""
    return f"{netloc} has no {', '.join(f'{each.host.repository}:{each.host.reference}' for each in attempts)}"


def _needs(group: Sequence[tuple[Need, Verdict]]) -> list[Need]:
    return [need for need, _ in group]


def _names(needs: Sequence[Need]) -> str:
    names = [need.image for need in needs[:MOST_NAMED]]
    if len(needs) > MOST_NAMED:
        names.append(f"{len(needs) - MOST_NAMED} more images")
    return enumerated(names)


def _all_users(needs: Sequence[Need]) -> list[str]:
    return list(dict.fromkeys(user for need in needs for user in need.users))


def _users(needs: Sequence[Need]) -> str:
    return enumerated(_all_users(needs))


def _evidence(needs: Iterable[Need]) -> list[Evidence]:
    by_source: dict[str, list[str]] = {}
    for need in needs:
        by_source.setdefault("; ".join(need.sources), []).append(f"{', '.join(need.users)}: {need.image}")
    return [Evidence(source, "\n".join(lines)) for source, lines in by_source.items()]
