"""What this runtime would meet if it pulled images now. Every host is asked as the runtime asks it; nothing is pulled."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.manifest import Platform
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.registry_visit import Attempt, attempt, content_instead, dead_places
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.sandbox_image import SandboxImage
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import Host, HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from k8sdoctor.facts.registry_chain import RegistryHost
    from k8sdoctor.facts.registry_exchange import Dead, Place
    from k8sdoctor.facts.runtime import Kind

AT_ONCE = 16
"""How many of many images are asked for at the same time."""


@dataclass(frozen=True)
class PullAttempts:
    """Whether an image is here, and if not, what each host of the chain would answer. Observed for the sandbox image."""

    image: str
    present: str | None = None
    """The image's id where the runtime has it; hosts are not asked then."""
    presence_problem: Unobserved | None = None
    """Why the runtime could not be asked whether it has the image."""
    attempts: tuple[Attempt, ...] = ()
    """In the runtime's order, as many as were asked; the runtime may stop earlier."""
    platform: str = "linux/amd64"
    first_error_ends: bool = False
    runtime: Kind = "containerd"
    stopped: bool = False
    """Whether the runtime's configuration ends each pull before anybody is asked."""
    spoiler: Attempt | None = None
    """The host that the runtime asks for the image's content before the one that would serve it, and that gives something else: the pull ends there."""

    @property
    def reached(self) -> tuple[Attempt, ...]:
        """The attempts that the runtime would come to, the last one being the one that serves or ends the pull."""
        done: list[Attempt] = []
        for each in self.attempts:
            done.append(each)
            if each.outcome == "serves" or self.ends_with(each):
                break
        return tuple(done)

    def ends_with(self, attempt: Attempt) -> bool:
        """Whether this runtime asks nobody else after such a failure.

        containerd holds on to the digest that the first 2xx names, and only looks elsewhere for its content (`resolver.go` Resolve,
        `fetcher.go`). CRI-O goes on after any error until a source answered the manifest's request with 200, whatever came with it,
        and stays with that one (containers/image `docker/docker_image_src.go` newImageSource). Docker goes on after nearly any
        error of a mirror (moby `daemon/internal/distribution/errors.go` continueOnError, formerly `distribution/errors.go`).
        """
        if attempt.outcome in ("serves", "untried"):
            return False
        if self.first_error_ends:
            return True
        if self.runtime == "containerd":
            return attempt.resolved and attempt.outcome in ("no-registry", "no-platform")
        return attempt.resolved and self.runtime == "cri-o"

    @property
    def serving(self) -> Attempt | None:
        """The attempt that would give the image, if any does."""
        found = [attempt for attempt in self.reached if attempt.outcome == "serves"]
        return found[0] if found and self.spoiler is None else None

    @classmethod
    def observe(cls, host: Host, image: SandboxImage, hosts: RegistryHosts | Unobserved, runtime: Runtime) -> Self:
        """Ask the runtime for the image; where it has none, ask all registry hosts side by side. Never raises HostError."""
        present, problem = _present(host, image.image, runtime)
        if present is not None or isinstance(hosts, Unobserved):
            return cls(image.image, present, problem)
        asked = attempts_for(host, {image.image: hosts}, image.runtime)[image.image]
        return cls(**{**vars(asked), "presence_problem": problem})


def attempts_for(
    host: Host,
    chains: Mapping[str, RegistryHosts],
    runtime: Kind,
    *,
    at_once: int = AT_ONCE,
    told: Callable[[PullAttempts], None] | None = None,
) -> dict[str, PullAttempts]:
    """Ask the hosts of each image's chain for it, as this runtime would; by image, as `chains` are. Never raises HostError.

    First one image of each chain that has hosts of its own is asked of all of them side by side. A place that gives it no answer is not
    asked for the other images, so a dead mirror costs its limit once. The others are asked `at_once` at a time, each host after the other until one
    serves or ends the pull. `told` is called with each image's attempts as they come, one call at a time, from any thread.
    """
    platform = Platform.of_node(host.identity()["machine"])
    lock = threading.Lock()

    def tell(ask: Callable[[], PullAttempts]) -> PullAttempts:
        pull = ask()
        if told is not None:
            with lock:
                told(pull)
        return pull

    scouts: list[tuple[list[RegistryHost], str]] = []
    for image, chain in chains.items():
        places = [_place(registry) for registry in chain.hosts]
        if all(places != known for known, _ in scouts):
            scouts.append((places, image))
    first = [_Chain(host, image, chains[image], runtime, platform, {}) for _, image in scouts]
    scouted = side_by_side([partial(tell, each.all) for each in first], at_once)
    dead = dead_places(attempt for pull in scouted for attempt in pull.attempts)
    found = {pull.image: pull for pull in scouted}
    rest = {
        image: _Chain(host, image, chains[image], runtime, platform, dead) for image in chains.keys() - found.keys()
    }
    later = side_by_side([partial(tell, each.in_order) for each in rest.values()], at_once)
    found.update(zip(rest, later, strict=True))
    return {image: found[image] for image in chains}


class _Chain:
    """The hosts of one image, and how they are asked."""

    def __init__(  # noqa: PLR0913, PLR0917 -- whom to ask, as whom, and by which way
        self,
        host: Host,
        image: str,
        hosts: RegistryHosts,
        runtime: Kind,
        platform: Platform,
        dead: Mapping[Place, Dead],
    ) -> None:
        self._host = host
        self._hosts = hosts
        self._runtime = runtime
        self._platform = platform
        self._dead = dead
        self._nobody = PullAttempts(
            image, platform=str(platform), first_error_ends=hosts.first_error_ends, runtime=runtime
        )

    def all(self) -> PullAttempts:
        """Ask all hosts side by side."""
        if self._stopped:
            return replace(self._nobody, stopped=True)
        # A hosts.toml that names its mirror as `server` as well makes containerd ask it twice; once is enough to know.
        distinct = _distinct(map(_question, self._hosts.hosts))
        asked = side_by_side([partial(self._ask, registry) for registry in distinct])
        attempts = [replace(asked[distinct.index(_question(each))], host=each) for each in self._hosts.hosts]
        return self._with_content(replace(self._nobody, attempts=tuple(attempts)))

    def in_order(self) -> PullAttempts:
        """Ask one host after the other, as long as the runtime would."""
        if self._stopped:
            return replace(self._nobody, stopped=True)
        asked: list[tuple[RegistryHost, Attempt]] = []
        attempts: list[Attempt] = []
        for each in self._hosts.hosts:
            question = _question(each)
            known = next((attempt for same, attempt in asked if same == question), None)
            if known is None:
                known = self._ask(question)
                asked.append((question, known))
            attempts.append(replace(known, host=each))
            if attempts[-1].outcome == "serves" or self._nobody.ends_with(attempts[-1]):
                break
        return self._with_content(replace(self._nobody, attempts=tuple(attempts)))

    def _with_content(self, pull: PullAttempts) -> PullAttempts:
        """Ask those for the content whom the runtime asks for it before the host that serves."""
        served = pull.serving
        if served is None:
            return pull
        vain = [attempt.host for attempt in pull.attempts if not _may_give_content(attempt)]
        earlier = itertools.takewhile(lambda registry: registry != served.host, self._hosts.content_hosts)
        found = side_by_side(
            [
                partial(content_instead, self._host, each, self._hosts.proxy, self._runtime, served, self._dead)
                for each in earlier
                if each not in vain
            ]
        )
        return replace(pull, spoiler=next((each for each in found if each is not None), None))

    @property
    def _stopped(self) -> bool:
        return any(stopper.base_url is None for stopper in self._hosts.stoppers)

    def _ask(self, registry: RegistryHost) -> Attempt:
        return attempt(self._host, registry, self._hosts.proxy, self._runtime, self._platform, self._dead)


def _present(host: Host, image: str, runtime: Runtime) -> tuple[str | None, Unobserved | None]:
    if runtime.endpoint is None or not runtime.reachable:
        return None, runtime.problem or Unobserved("RuntimeUnreachable", f"{runtime.label} does not answer")
    try:
        answer = host.cri(runtime.endpoint, "ImageService/ImageStatus", {"image": {"image": image}})
    except HostError as error:
        return None, Unobserved(error.reason, error.message)
    found = answer.get("image")
    return (str(found["id"]) if isinstance(found, dict) and found.get("id") else None), None


def _question(registry: RegistryHost) -> RegistryHost:
    """What decides what a host is asked, and nothing else."""
    return replace(registry, source="", upstream=False, capabilities=frozenset(), dial_timeout=0.0)


def _distinct(questions: Iterable[RegistryHost]) -> list[RegistryHost]:
    found: list[RegistryHost] = []
    for each in questions:
        if each not in found:
            found.append(each)
    return found


def _may_give_content(attempt: Attempt) -> bool:
    """Whether a host that did not resolve the name answered a GET well, so that it may answer one for content."""
    return not attempt.resolved and any(
        each.method == "GET" and each.status // 100 == 2  # noqa: PLR2004 -- success
        for each in attempt.exchanges
    )


def _place(registry: RegistryHost) -> RegistryHost:
    """What decides who is asked, whatever the image."""
    return replace(_question(registry), repository="", reference="", mirror_ns=None, credentials=None)
