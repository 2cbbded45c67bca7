"""The sandbox image is on the node, or the runtime can pull it.

## What it looks at
Which image *this* runtime uses for the sandbox of a pod: by its own configuration in the version that runs, and what it says over
its socket. Whether it has that image. If not, what each registry host would answer that the runtime would ask, in its own order:
`hosts.toml`, `registries.conf`, Docker's mirrors, with its own proxy, CA files, client certificates and credentials.

## Why it matters
A pod begins with its sandbox. Without this small image no pod starts on the node, not even a static one: `kubeadm init` waits for
an API server that never comes.

## How it is decided
Passes when the runtime has the image; a mirror that fails does not matter then. Otherwise the name is resolved at each host, the
manifest for this machine and the image's configuration are fetched as the runtime would, redirects and tokens included, and
nothing is stored. Hosts are asked side by side and judged in the runtime's order: a host that answers an error is passed over, a
host that answers 200 with a web page is taken for the registry and ends the chain (containerd, CRI-O), a CA file that cannot be
read ends each pull. containerd asks every host of its file for the content of what another one resolved, whatever its
capabilities, and takes what the first one sends: a page there ends the pull as well. Where no host would serve, the first one that fails names the reason, for it is the one that was chosen;
evidence holds all. Where the runtime does not answer, the image may be there already: on a node that has joined, a pull that
would fail is a warning then. Where we may not ask the runtime, both are told as one `unknown`.

## Reasons
- `Present` (pass): the runtime has the image
- `Pullable` (pass): it has not, and a host of the chain would serve it
- `NoRuntime` (skip): no container runtime is installed yet
- `Offline` (skip): it is not here, and `--offline` forbids to ask registries
- `RegistryUnreachable` (fail or warn): no answer: silence, refusal, no route, a proxy that is not there
- `NameNotResolved` (fail or warn): the node's resolver gives no address for the host
- `RegistryForbidden` (fail or warn): 403, credentials that are refused, or a proxy that lets nobody through
- `AuthRequired` (fail or warn): the registry wants a login, or gives out no anonymous token
- `NotARegistry` (fail or warn): a web page, a portal, something that is no manifest
- `ImageNotFound` (fail or warn): 404: the registry does not hold this image under this name
- `CertificateUntrusted` (fail or warn): signed by a CA that the node does not trust
- `CertificateNameMismatch` (fail or warn): the certificate is for another name (a common name does not count)
- `CertificateExpired` (fail or warn), `CertificateNotYetValid` (fail or warn): renew it, or mend the node's clock
- `CaUnreadable` (fail or warn), `ClientCertificateUnreadable` (fail or warn): a file that the mirror's configuration names cannot be read
- `PlainHttpRegistry` (fail or warn): HTTP spoken to HTTPS, or the other way round
- `RegistryError` (fail or warn): 429, 5xx and other answers that are no refusal
- `NoMatchingPlatform` (fail or warn): the image is not built for this machine's architecture
- `RegistryBlocked` (fail or warn), `PolicyRejects` (fail or warn), `NoRegistryHost` (fail or warn): configuration forbids the pull
- `RuntimeConfigInvalid` (fail or warn): the runtime cannot take its configuration; a warning while the running one still does
- `MirrorIgnored` (warn): a mirror is written down where this runtime does not read it, or is malformed
- `MirrorFailing` (warn): a host fails, and a later one saves the pull
- `SandboxImageIgnored` (warn): the image is written down where this version does not read it
- `SandboxImageNotLoaded` (warn): the files name another image than the running daemon uses
- `PauseImageDiffers` (warn): kubelet or kubeadm take another image for the sandbox image
- `RuntimeUnreachable` (unknown): the runtime could not be asked whether it has the image

## What it sends
Only when the image is not there: to each host of the chain HEAD and GET requests for the image's manifest and its configuration
(a few kilobytes), where they are asked for a GET to the token server, and what redirects lead to. No layer is fetched. Nothing with
`--offline`.

## How to fix
Import the image by hand where no registry can be reached; put the CA into the distribution's trust store; use the image that
kubeadm pulls anyway; correct the mirror's line. Trusting a CA that was fetched from the wire, and plain HTTP, need a person's decision.

## How to verify
`crictl pull IMAGE` (not `ctr images pull`, which knows nothing of the CRI plugin's mirrors), or run this check again.

## References
- containerd `docs/hosts.md`, `docs/cri/registry.md`, `core/remotes/docker/resolver.go`
- containers-registries.conf(5), containers-certs.d(5)
- distribution/distribution `docs/content/spec/auth/token.md`
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.check import check
from k8sdoctor.checks import _pause_image_fixes as fixes
from k8sdoctor.checks import _pull_fixes as pulls
from k8sdoctor.checks._node_ready_links import no_pod_starts, runtime_ends
from k8sdoctor.checks._pull_judgement import (
    PULL_FAILS,
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
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.registry_visit import Attempt
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
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
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.settings import IgnoredSetting


_NOT_ASKED = Unobserved("NotFound", "the cluster's configuration was not asked for")


@check("pause-image", title="The sandbox image is on the node, or can be pulled", area="images")
def pause_image(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    runtime: Runtime,
    image: SandboxImage | Unobserved,
    hosts: RegistryHosts | Unobserved,
    pull: PullAttempts | Unobserved,
    stage: Stage,
    distribution: Distribution | Unobserved,
    made: ClusterKubeadmConfig | Unobserved = _NOT_ASKED,
) -> Iterator[Finding]:
    """Judge the image, the way to it, and what is written in vain."""
    if runtime.kind is None:
        yield skip("NoRuntime", "No container runtime is installed here, so nothing would pull a sandbox image yet.")
        return
    if isinstance(image, Unobserved):
        yield unknown(image.reason, f"Which sandbox image {runtime.label} uses could not be told: {image.message}.")
        return
    if isinstance(distribution, Unobserved):
        distribution = Distribution("", (), "an unknown Linux", "other")
    here = isinstance(pull, PullAttempts) and pull.present is not None
    image = _by_the_cluster(image, stage, made)
    yield from _image_settings(runtime, image)
    if isinstance(hosts, RegistryHosts):
        got = here or (isinstance(pull, PullAttempts) and verdict(pull, hosts).kind == "serves")
        yield from _mirror_settings(runtime, image, hosts, got=got)
    if isinstance(pull, Unobserved):
        yield unknown(pull.reason, f"Whether {image.image} is on this node could not be told: {pull.message}.")
        return
    if pull.presence_problem is not None:
        yield _cannot_ask(runtime, image, pull, pull.presence_problem, hosts)
    if here:
        yield passed(
            "Present",
            f"The sandbox image {image.image} is on this node.",
            subject=image.image,
            evidence=[Evidence("CRI ImageStatus", f"{image.image} is {pull.present}"), _named(image)],
        )
        return
    if isinstance(hosts, Unobserved):
        yield unknown(
            hosts.reason,
            f"{image.image} is not known to be here, and where it would be pulled from could not be told: {hosts.message}.",
            subject=image.image,
        )
        return
    yield from _way(_Case(runtime, image, hosts, pull, stage, distribution))


class _Case:
    """Facts that belong together while the way to the image is judged."""

    def __init__(  # noqa: PLR0913, PLR0917 -- the check's own parameters
        self,
        runtime: Runtime,
        image: SandboxImage,
        hosts: RegistryHosts,
        pull: PullAttempts,
        stage: Stage,
        distribution: Distribution,
    ) -> None:
        self.runtime = runtime
        self.image = image
        self.hosts = hosts
        self.pull = pull
        self.distribution = distribution
        self.wanted = pulls.Wanted(image.runtime, (image.image,), "pause-image", "pause.tar")
        asked = pull.presence_problem is None
        self.traits = frozenset() if asked else frozenset({"presence:unknown"})
        self.unseen = not asked and _reason(pull.presence_problem) != "RuntimeUnreachable"
        # An image that a silent runtime may hold may be here, and on a node that ran pods it most likely is.
        self.status = Status.FAIL if asked or not stage.joined else Status.WARN
        self.opening = (
            f"{image.image} is not on this node, and" if asked else f"If {image.image} is not on this node already,"
        )

    def finding(self, found: Verdict, message: str) -> Finding:
        """A failure, or a warning where nobody could look whether the image is here."""
        build = fail if self.status is Status.FAIL else warn
        evidence = self.evidence
        if found.stopper is not None:
            evidence.insert(0, Evidence(found.stopper.source, found.stopper.path))
        return build(
            found.reason,
            message,
            subject=self.image.image,
            evidence=evidence,
            fix=_fix(self, found),
            explains=(
                *same_host(found.reason, found.culprit, "images", "image-list", "registry-config"),
                *mistrusted(found, self.hosts),
                *(
                    no_pod_starts(f"{self.image.image} is not here, and no pod starts without it")
                    if build is fail
                    else ()
                ),
            ),
            traits=blames(found.culprit) | self.traits,
        )

    @property
    def evidence(self) -> list[Evidence]:
        """The chain: who was asked and answered what, who would be skipped, and where the image's name is from."""
        return [*chain(self.pull, self.hosts), _named(self.image)]


# -- the way to the image ------------------------------------------------------------------------------------------------


def _way(case: _Case) -> Iterator[Finding]:
    found = verdict(case.pull, case.hosts)
    match found.kind:
        case "offline":
            yield skip(
                "Offline",
                f"{case.opening} no registry was asked whether it can be pulled (--offline).",
                subject=case.image.image,
                evidence=case.evidence,
            )
        case "serves" if found.attempt is not None:
            yield from _pullable(case, found, found.attempt)
        case "untried" if found.attempt is not None:
            yield unknown(
                found.reason,
                f"{case.opening} {found.attempt.netloc} could not be asked for it: {found.attempt.words}.",
                subject=case.image.image,
                evidence=case.evidence,
            )
        case _ if case.unseen:
            return  # told with what could not be asked: who may look will know whether a pull is needed at all
        case _:
            message = f"{case.opening} {why_not(found, case.runtime.label, case.pull.platform)}."
            yield case.finding(found, message)


def _pullable(case: _Case, found: Verdict, serving: Attempt) -> Iterator[Finding]:
    for attempt in found.failing:
        yield warn(
            "MirrorFailing",
            f"{said(attempt, case.pull.platform)}; {case.runtime.label} then pulls {case.image.image} from {serving.netloc}.",
            subject=urlsplit(attempt.host.base_url).netloc,
            evidence=[conversation(attempt), Evidence(attempt.host.source, attempt.host.base_url)],
            fix=_mend(case, attempt),
            explains=(
                *same_host("MirrorFailing", attempt.netloc, "images", "image-list"),
                *same_host(reason(attempt), attempt.netloc, "registry-config"),
            ),
            traits=blames(attempt.netloc),
        )
    if case.pull.presence_problem is None:
        yield passed(
            "Pullable",
            f"The sandbox image {case.image.image} is not on this node yet, and {serving.netloc} would serve it to {case.runtime.label}.",
            subject=case.image.image,
            evidence=case.evidence,
        )
    else:
        yield passed(
            "Pullable",
            f"{serving.netloc} would serve the sandbox image {case.image.image} to {case.runtime.label}.",
            subject=case.image.image,
            evidence=case.evidence,
        )


def _named(image: SandboxImage) -> Evidence:
    return Evidence(image.source, f"{image.key} = {image.image}" if image.key and not image.default else image.image)


# -- fixes -----------------------------------------------------------------------------------------------------------


def _fix(case: _Case, found: Verdict) -> Fix:
    if found.attempt is not None:
        return _mend(case, found.attempt)
    if found.stopper is not None and found.stopper.kind == "ca-unreadable":
        path = found.stopper.path
        return pulls.provide_ca(path, next((each.base_url for each in case.hosts.hosts if path in each.ca_files), None))
    return pulls.bring_by_hand(case.wanted)


def _mend(case: _Case, attempt: Attempt) -> Fix:
    other = next((wish for wish in case.image.wishes if _registry(wish.image) != _registry(case.image.image)), None)
    last = None
    if other is not None:
        last = fixes.use_image(case.image, other.image, f"the one that {other.who} uses, {other.source}")
    return pulls.mend(case.wanted, case.hosts, case.distribution, [attempt], last)


def _registry(image: str) -> str:
    return image.partition("/")[0]


# -- settings --------------------------------------------------------------------------------------------------------


def _reason(problem: Unobserved | None) -> str:
    """Why it is not known whether the image is here: we could not look, or the runtime said nothing."""
    unseen = problem is not None and problem.reason in ("NotPermitted", "NotRecorded", "DeadlineExceeded")
    return problem.reason if problem is not None and unseen else "RuntimeUnreachable"


def _cannot_ask(
    runtime: Runtime, image: SandboxImage, pull: PullAttempts, problem: Unobserved, hosts: RegistryHosts | Unobserved
) -> Finding:
    reason = _reason(problem)
    evidence = [Evidence(runtime.endpoint or runtime.label, problem.message), _named(image)]
    lest = ""
    if reason != "RuntimeUnreachable" and isinstance(hosts, RegistryHosts):
        found = verdict(pull, hosts)
        if found.kind not in ("offline", "serves", "untried"):
            lest = f". If it is not, {why_not(found, runtime.label, pull.platform)}"
            evidence = [*evidence[:1], *chain(pull, hosts), *evidence[1:]]
    return unknown(
        reason,
        f"Whether the sandbox image {image.image} is on this node could not be asked: {problem.message}{lest}.",
        subject=image.image,
        evidence=evidence,
        fix=see_why_silent(runtime) if reason == "RuntimeUnreachable" else None,
    )


def _by_the_cluster(image: SandboxImage, stage: Stage, made: ClusterKubeadmConfig | Unobserved) -> SandboxImage:
    """On a node kubeadm takes its pause image from the repository that the cluster was made with; nothing is said where that is not known."""
    if not stage.joined:
        return image
    wishes = []
    for wish in image.wishes:
        repository = made.config.image_repository if isinstance(made, ClusterKubeadmConfig) else None
        if wish.who == "kubeadm" and repository:
            name = f"{repository}/{wish.image.rpartition('/')[2]}"
            wishes.append(replace(wish, image=name, source=f"{wish.source}, imageRepository of kubeadm-config"))
        elif wish.who != "kubeadm" or _registry(wish.image) == _registry(image.image):
            wishes.append(wish)
    return replace(image, wishes=tuple(wishes))


def _image_settings(runtime: Runtime, image: SandboxImage) -> Iterator[Finding]:
    for setting in image.ignored:
        yield warn(
            "SandboxImageIgnored",
            f"{setting.key} = {setting.value} does not count: {setting.why}; {runtime.label} uses {image.image}.",
            subject=setting.value,
            evidence=[Evidence(setting.source, f"{setting.key} = {setting.value}"), _named(image)],
            fix=fixes.heed(image, setting),
        )
    for problem in image.problems:
        where = f"{problem.path}:{problem.line}" if problem.line else problem.path
        build = warn if runtime.reachable else fail
        told = problem.message.replace(f"{problem.path} ", "it ")
        yield build(
            "RuntimeConfigInvalid",
            f"{image.runtime} {image.runtime_version} cannot take {where}: {told}.",
            subject=problem.path,
            evidence=[Evidence(where, problem.message)],
            fix=Fix(
                title=f"Correct {where}",
                commands=(
                    f"${{EDITOR:-vi}} {f'+{problem.line} ' if problem.line else ''}{problem.path}",
                    pulls.restart(image.runtime),
                ),
                verify=fixes.AGAIN,
                safety=Safety.MANUAL,
            ),
            explains=() if runtime.reachable else runtime_ends(f"the runtime cannot take {where}"),
        )
    if image.on_disk is not None and image.on_disk != image.image:
        yield warn(
            "SandboxImageNotLoaded",
            f"The configuration names {image.on_disk}, and the running {runtime.label} uses {image.image}: it was not restarted since.",
            subject=image.on_disk,
            evidence=[_named(image)],
            fix=Fix(
                title="Make the runtime read its configuration again",
                commands=(pulls.restart(image.runtime),),
                verify=fixes.AGAIN,
                safety=Safety.DISRUPTIVE,
            ),
        )
    wishes = [wish for wish in image.wishes if wish.image not in (image.image, image.on_disk)]
    for wish in wishes:
        yield warn(
            "PauseImageDiffers",
            f"{runtime.label} uses the sandbox image {image.image}, and {wish.who} takes it to be {wish.image}.",
            subject=image.image,
            evidence=[_named(image), Evidence(wish.source, wish.image)],
            fix=fixes.use_image(image, wish.image, f"as {wish.who} does"),
            traits=[f"wished:{wish.image.partition('/')[0]}"],
        )


# A mirror that is written in one of these ways was meant to be asked; what has no effect, or is overruled on purpose, was not.
_MEANT = frozenset({"wrong-table", "no-config-path", "other-folder", "malformed", "not-loaded"})


def _would_have_helped(setting: IgnoredSetting, runtime: Runtime) -> tuple[Link, ...]:
    """A mirror that the runtime does not ask is the likely reason why it has to go where the pull fails."""
    if setting.kind not in _MEANT:
        return ()
    why = f"{runtime.label} was meant to ask another host ({setting.source}), and asks the one that fails instead."
    return tuple(Link(check, fault, why) for check in ("pause-image", "images", "image-list") for fault in PULL_FAILS)


def _mirror_settings(runtime: Runtime, image: SandboxImage, hosts: RegistryHosts, *, got: bool) -> Iterator[Finding]:
    for setting in hosts.ignored:
        # A mirror of Docker Hub's images for dockerd is right where it is; only who gets no sandbox image may have meant it for that.
        if got and setting.key == "registry-mirrors" and setting.kind == "without-effect":
            continue
        value = f" = {setting.value}" if setting.value else ""
        yield warn(
            "MirrorIgnored",
            f"{setting.key}{value} ({setting.source}) does not count for {runtime.label}: {setting.why}.",
            subject=setting.value or setting.source,
            evidence=[Evidence(setting.source, f"{setting.key}{value}")],
            fix=fixes.heed(image, setting),
            explains=_would_have_helped(setting, runtime),
        )
