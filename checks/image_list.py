"""Every image in a list is on the node, or the runtime can pull it.

## What it looks at
The images of a list that `--images FILE` names: kubespray's `images.list`, what `kubeadm config images list` prints, or any text with one
image a line, with comments and blank lines. The runtime's list of images, and for each that is missing what the registry hosts answer that
this runtime would ask, in its own order and by its own mirrors, proxy, CA files and credentials.

## Why it matters
Before an installation without internet, or an upgrade, a whole list of images must be in the registry that was set up for it. The one that
is missing there shows up half-way through, on one node after the other.

## How it is decided
As `pause-image` decides for one image: an image that the runtime has passes, and nobody is asked for it; one that it has not passes if a host
of its chain would serve it. All that cannot be pulled for one reason from one host is one finding, which lists the images. A host that does not
answer at all is asked for one image and not for the others. Where the runtime does not answer, the images may be there already: on a node that
has joined, what would fail is a warning then. A line that is no name of an image is named, and the rest is judged.

The check runs when the option is given, or when it is named. The list may take longer than the deadline of a run, unless
`--deadline` says otherwise; each question to a registry has five seconds.

## Reasons
- `Present` (pass): these images are on the node
- `Pullable` (pass): these are not, and a registry host would serve them
- `NoListGiven` (skip): no list was named
- `NoRuntime` (skip): no container runtime is installed yet, so there are no mirrors by which to ask
- `Offline` (skip): images are missing, and `--offline` forbids to ask registries
- `EmptyList` (unknown): the list names no image
- `NotAnImage` (warn): a line that is no name of an image
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
- `MirrorFailing` (warn): a host fails, and a later one saves the pull
- `RuntimeUnreachable` (unknown): the runtime could not be asked which images it has

## What it sends
For each image that is not here to the hosts of its chain HEAD and GET requests for its manifest and its configuration (a few
kilobytes), where they are asked for a GET to the token server, and what redirects lead to. No layer is fetched. Nothing with `--offline`.

## How to fix
Mend the host that is named: its address in the mirror's configuration, its CA, its login. Copy the images that it lacks into it, or bring
them here by hand. Each needs a person's decision.

## How to verify
Run the check with the list again; `crictl pull IMAGE` shows the same for one image (not `ctr images pull`, which knows nothing of the CRI
plugin's mirrors).

## References
- kubespray `contrib/offline/README.md`, `contrib/offline/generate_list.sh`; `kubeadm config images list`
- distribution/reference `regexp.go` (what a name of an image is)
- containerd `docs/hosts.md`; containers-registries.conf(5)
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.check import check
from k8sdoctor.checks import _pull_fixes as fixes
from k8sdoctor.checks._list_lines import strangers
from k8sdoctor.checks._pull_judgement import Verdict, blames, chain, conversation, said, same_host, verdict, why_not
from k8sdoctor.checks._runtime_fixes import see_why_silent
from k8sdoctor.checks._words import all_of, enumerated
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.listed_pulls import ListedPulls
from k8sdoctor.facts.lists import ListedImages
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_images import RuntimeImages
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Evidence, Finding, Fix, Safety, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from k8sdoctor.facts.registry_visit import Attempt

MOST_NAMED = 4
"""Images that a sentence names; the evidence has them all."""

MOST_COMMANDS = 12
"""Images that are brought by commands of their own; more by a loop over the list."""


@check(
    "image-list", title="Every image in the list is on the node, or can be pulled", area="images", profiles=frozenset()
)
def image_list(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    listed: ListedImages,
    runtime: Runtime,
    present: RuntimeImages | Unobserved,
    pulls: ListedPulls | Unobserved,
    stage: Stage,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge the list, what is here, and the way to the rest."""
    if listed.source is None:
        yield skip("NoListGiven", "No list of images was given to check; --images FILE names one.")
        return
    again = f"k8sdoctor check {_again(listed.source)}"
    yield from strangers("NotAnImage", "name of an image", listed.source, listed.strangers, again)
    if not listed.images:
        yield unknown("EmptyList", f"{listed.source} names no image; is it the right file?", subject=listed.source)
        return
    if runtime.kind is None:
        yield skip(
            "NoRuntime", "No container runtime is installed here, so there are no mirrors by which to ask for images."
        )
        return
    if isinstance(present, Unobserved):
        yield _cannot_ask(runtime, listed, present)
    if isinstance(pulls, Unobserved):
        yield unknown(pulls.reason, f"The images of {listed.source} could not be asked for: {pulls.message}.")
        return
    if isinstance(distribution, Unobserved):
        distribution = Distribution("", (), "an unknown Linux", "other")
    here = [name for name in map(str, listed.images) if name not in pulls.pulls]
    if here:
        every = f"{len(here)} of {len(listed.images)} images of {listed.source} are on this node"
        if len(here) == len(listed.images):
            place = f"of {listed.source}"
            every = all_of(len(here), f"image {place} is on this node", f"images {place} are on this node")
        yield passed(
            "Present",
            f"{every}.",
            subject=listed.source,
            evidence=[Evidence("CRI ListImages", "\n".join(here))],
        )
    known = isinstance(present, RuntimeImages)
    yield from _Case(runtime, listed, pulls, distribution, known=known, joined=stage.joined).judge()


def _again(source: str) -> str:
    return f"image-list --images {'-' if source == 'stdin' else shlex.quote(source)}"


def _cannot_ask(runtime: Runtime, listed: ListedImages, problem: Unobserved) -> Finding:
    return unknown(
        problem.reason,
        f"Which images of {listed.source} are on this node could not be asked: {problem.message}.",
        subject=listed.source,
        evidence=[Evidence(runtime.endpoint or runtime.label, problem.message)],
        fix=see_why_silent(runtime) if problem.reason == "RuntimeUnreachable" else None,
    )


class _Case:
    """Facts that belong together while missing images are judged."""

    def __init__(  # noqa: PLR0913 -- the check's own parameters
        self,
        runtime: Runtime,
        listed: ListedImages,
        pulls: ListedPulls,
        distribution: Distribution,
        *,
        known: bool,
        joined: bool,
    ) -> None:
        self.runtime = runtime
        self.kind = runtime.kind or "containerd"
        self.source = listed.source or ""
        self.all = len(listed.images)
        self.pulls = pulls
        self.distribution = distribution
        self.known = known
        # Images that nobody could look for may be here, and on a node that runs pods they most likely are.
        self.mild = joined and not known

    def judge(self) -> Iterator[Finding]:
        """One finding for each cause, and one for all that can be pulled."""
        groups: defaultdict[tuple[str, str, str], dict[str, Verdict]] = defaultdict(dict)
        for name, pull in self.pulls.pulls.items():
            found = verdict(pull, self.pulls.hosts[name])
            alike = found.kind in ("serves", "offline")
            groups[found.kind, "" if alike else found.reason, "" if alike else found.culprit][name] = found
        for (kind, _, _), group in groups.items():
            if kind == "serves":
                yield from self._failing_mirrors(group)
                yield self._pullable(group)
            elif kind == "offline":
                yield skip(
                    "Offline",
                    f"{self._missing(group)}, and no registry was asked whether they can be pulled (--offline).",
                    subject=self.source,
                    evidence=[self._listed(group)],
                )
            elif kind == "untried":
                yield self._untried(group)
            else:
                yield self._fails(group)

    def _missing(self, group: Sequence[str] | dict[str, Verdict]) -> str:
        names = [*group]
        several = f"{len(names)} of {self.all} images of {self.source}" if len(names) > 1 else names[0]
        state = "are" if len(names) > 1 else "is"
        return (
            f"{several} {state} not on this node" if self.known else f"{several} {state} not known to be on this node"
        )

    def _listed(self, group: Sequence[str] | dict[str, Verdict]) -> Evidence:
        return Evidence(self.source, "\n".join(group))

    def _pullable(self, group: dict[str, Verdict]) -> Finding:
        hosts = ", ".join(dict.fromkeys(found.attempt.netloc for found in group.values() if found.attempt))
        which = "it" if len(group) == 1 else "them"
        return passed(
            "Pullable",
            f"{self._missing(group)}, and {hosts} would serve {which} to {self.runtime.label}.",
            subject=self.source,
            evidence=[self._listed(group), *self._way(group)],
        )

    def _failing_mirrors(self, group: dict[str, Verdict]) -> Iterator[Finding]:
        by_host: defaultdict[tuple[str, str], dict[str, Attempt]] = defaultdict(dict)
        for name, found in group.items():
            for attempt in found.failing:
                by_host[attempt.netloc, attempt.outcome][name] = attempt
        for (netloc, _), failing in by_host.items():
            name, first = next(iter(failing.items()))
            serving = group[name].attempt
            yield warn(
                "MirrorFailing",
                f"{said(first, self.pulls.pulls[name].platform)}; {self.runtime.label} then pulls {_names([*failing])} from "
                f"{serving.netloc if serving else 'another host'}.",
                subject=urlsplit(first.host.base_url).netloc,
                evidence=[
                    conversation(first),
                    Evidence(first.host.source, first.host.base_url),
                    self._listed([*failing]),
                ],
                fix=self._mend(failing),
                traits=blames(netloc),
            )

    def _untried(self, group: dict[str, Verdict]) -> Finding:
        found = next(iter(group.values()))
        words = found.attempt.words if found.attempt else ""
        return unknown(
            found.reason,
            f"{self._missing(group)}, and {found.culprit} could not be asked: {words}.",
            subject=self.source,
            evidence=[self._listed(group), *self._way(group)],
        )

    def _fails(self, group: dict[str, Verdict]) -> Finding:
        name, found = next(iter(group.items()))
        attempts = {each: one.attempt for each, one in group.items() if one.attempt is not None}
        label, what = self.runtime.label, "it" if len(group) == 1 else "them"
        if len(group) > 1 and all(attempt.outcome == "not-found" for attempt in attempts.values()) and attempts:
            told = f"{label} cannot pull {what}: {found.culprit} has no {_names([*group])}"
        else:
            told = why_not(found, label, self.pulls.pulls[name].platform, what)
        evidence = [self._listed(group), *self._way(group)]
        if found.stopper is not None:
            evidence.insert(0, Evidence(found.stopper.source, found.stopper.path))
        build = warn if self.mild else fail
        return build(
            found.reason,
            f"{self._missing(group)}, and {told}.",
            subject=name if len(group) == 1 else found.culprit or self.source,
            evidence=evidence,
            fix=self._mend(attempts) if attempts else self._stopped(group, found),
            explains=same_host(found.reason, found.culprit, "registry-config"),
            traits=blames(found.culprit),
        )

    def _way(self, group: dict[str, Verdict]) -> list[Evidence]:
        """What was said to hosts for the image of which most was said: for the others it is known from that, or alike."""
        pulls = [self.pulls.pulls[name] for name in group]
        told = max(pulls, key=lambda pull: sum(len(attempt.exchanges) for attempt in pull.attempts))
        return chain(told, self.pulls.hosts[told.image])

    # -- fixes -------------------------------------------------------------------------------------------------------

    def _wanted(self, names: Sequence[str]) -> fixes.Wanted:
        return fixes.Wanted(self.kind, tuple(names), _again(self.source))

    def _mend(self, attempts: dict[str, Attempt]) -> Fix:
        name, *_ = attempts
        return fixes.mend(
            self._wanted([*attempts]),
            self.pulls.hosts[name],
            self.distribution,
            [*attempts.values()],
            self._by_loop() if len(attempts) > MOST_COMMANDS else None,
        )

    def _stopped(self, group: dict[str, Verdict], found: Verdict) -> Fix:
        if found.stopper is not None and found.stopper.kind == "ca-unreadable":
            path = found.stopper.path
            hosts = self.pulls.hosts[next(iter(group))].hosts
            return fixes.provide_ca(path, next((each.base_url for each in hosts if path in each.ca_files), None))
        return self._by_loop() if len(group) > MOST_COMMANDS else fixes.bring_by_hand(self._wanted([*group]))

    def _by_loop(self) -> Fix:
        name = "images.list" if self.source == "stdin" else shlex.quote(self.source)
        images = rf"sed 's/\r$//; s/\(^\|[[:space:]]\)#.*//; /^[[:space:]]*$/d' {name}"
        file = "$(echo $image | tr /:@ ___).tar"
        load = {
            "containerd": f'ctr -n k8s.io images import "{file}"',
            "cri-o": f'skopeo copy "docker-archive:{file}" "containers-storage:$image"',
            "cri-dockerd": f'docker load -i "{file}"',
        }[self.kind]
        save = f'skopeo copy "docker://$image" "docker-archive:{file}:$image"'
        return Fix(
            title="Bring the images of the list here by hand (no registry is needed for that)",
            commands=(
                f"{images} | while read -r image; do {save} </dev/null; done  # where the registries can be reached; then bring the files here",
                f"{images} | while read -r image; do {load} </dev/null; done",
            ),
            verify=f"k8sdoctor check {_again(self.source)}",
            safety=Safety.MANUAL,
        )


def _names(names: Sequence[str]) -> str:
    shown = [*names[:MOST_NAMED]]
    if len(names) > MOST_NAMED:
        shown.append(f"{len(names) - MOST_NAMED} more images")
    return enumerated(shown)
