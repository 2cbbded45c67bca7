"""What comes of the attempts to pull an image, in the words and reasons that all checks of images share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from k8sdoctor.finding import Certainty, Evidence, Link
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.facts.pull import PullAttempts
    from k8sdoctor.facts.registry_chain import Stopper
    from k8sdoctor.facts.registry_hosts import RegistryHosts
    from k8sdoctor.facts.registry_visit import Attempt

_BY_OUTCOME = {
    "not-found": "ImageNotFound",
    "auth-required": "AuthRequired",
    "forbidden": "RegistryForbidden",
    "no-registry": "NotARegistry",
    "error": "RegistryError",
    "no-platform": "NoMatchingPlatform",
    "tls-port": "PlainHttpRegistry",
}
_BY_FAILURE = {
    "name-not-resolved": "NameNotResolved",
    "tls-untrusted": "CertificateUntrusted",
    "tls-name": "CertificateNameMismatch",
    "tls-expired": "CertificateExpired",
    "tls-not-yet-valid": "CertificateNotYetValid",
    "tls-plain": "PlainHttpRegistry",
    "protocol": "NotARegistry",
    "ca-unreadable": "CaUnreadable",
    "client-certificate-unreadable": "ClientCertificateUnreadable",
}
_BY_STOPPER = {
    "ca-unreadable": "CaUnreadable",
    "client-certificate-unreadable": "ClientCertificateUnreadable",
    "config-conflict": "RuntimeConfigInvalid",
    "config-invalid": "RuntimeConfigInvalid",
    "blocked": "RegistryBlocked",
    "policy": "PolicyRejects",
    "no-host": "NoRegistryHost",
}

PULL_FAILS = tuple(sorted({"RegistryUnreachable", *_BY_OUTCOME.values(), *_BY_FAILURE.values()}))
"""The reasons for which a pull fails at a host."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pull would come to, and what decides it.

    `stopped` (by `stopper`), `offline` (nobody was asked, as was wished), `serves` (`attempt`), `untried` (`attempt` could not be made), `no-host`, or
    `fails` (at `attempt`). `failing` are the attempts that failed, in order; `unasked` is the first other host that is no longer asked.
    """

    kind: Literal["stopped", "offline", "serves", "untried", "no-host", "fails"]
    attempt: Attempt | None = None
    stopper: Stopper | None = None
    failing: tuple[Attempt, ...] = ()
    unasked: Attempt | None = None

    @property
    def reason(self) -> str:
        """The reason of a finding that says so."""
        if self.stopper is not None:
            return _BY_STOPPER[self.stopper.kind]
        if self.kind == "offline":
            return "Offline"
        if self.kind == "no-host" or self.attempt is None:
            return "NoRegistryHost"
        return self.attempt.reason if self.kind == "untried" else reason(self.attempt)

    @property
    def culprit(self) -> str:
        """What a failure is to be blamed on: `host[:port]`, or a file."""
        if self.stopper is not None:
            return self.stopper.path
        return self.attempt.netloc if self.attempt is not None else ""


def verdict(pull: PullAttempts, hosts: RegistryHosts) -> Verdict:
    """Judge the attempts for one image."""
    stopper = next((stopper for stopper in hosts.stoppers if stopper.base_url is None), None)
    if stopper is not None:
        return Verdict("stopped", stopper=stopper)
    reached = pull.reached
    untried = [attempt for attempt in reached if attempt.outcome == "untried"]
    failing = tuple(attempt for attempt in reached if attempt.outcome not in ("serves", "untried"))
    if untried and all(attempt.reason == "Offline" for attempt in untried):
        return Verdict("offline", untried[0])
    if pull.spoiler is not None:
        return Verdict("fails", pull.spoiler, failing=(*failing, pull.spoiler))
    if pull.serving is not None:
        return Verdict("serves", pull.serving, failing=failing)
    if untried:
        return Verdict("untried", untried[0])
    if not failing:
        return Verdict("no-host")
    # What ends the chain is the cause, whatever the others did; else the first host, for it is the one that was chosen.
    first = failing[-1] if pull.ends_with(failing[-1]) else failing[0]
    later = [each for each in pull.attempts[len(reached) :] if each.host.base_url != first.host.base_url]
    return Verdict("fails", first, failing=failing, unasked=later[0] if later else None)


def why_not(found: Verdict, who: str, platform: str, what: str = "it") -> str:
    """Why `who` cannot pull `what`, as the end of a sentence."""
    if found.stopper is not None:
        return f"{who} cannot pull {what}: {found.stopper.why} ({found.stopper.path}, named in {found.stopper.source})"
    if found.attempt is None:
        return f"{who} has no host to resolve {what} at"
    told = said(found.attempt, platform)
    others = dict.fromkeys(said(attempt, platform) for attempt in found.failing)
    # containerd pulls an image for other machines that has no index; its processes then end with an exec format error.
    cannot = "would get none that runs here" if found.attempt.outcome == "no-platform" else f"cannot pull {what}"
    message = f"{who} {cannot}: {told}" + "".join(f"; {other}" for other in others if other != told)
    if found.unasked:
        message += f"; it asks no other host after that, so {found.unasked.netloc} is not reached"
    return message


def reason(attempt: Attempt) -> str:
    """The reason of a finding for a host that does not serve."""
    if attempt.outcome == "unreachable":
        return _BY_FAILURE.get(attempt.failure or "", "RegistryUnreachable")
    if attempt.outcome == "auth-required" and attempt.login:
        return "RegistryForbidden"  # a login was given, and refused
    return _BY_OUTCOME.get(attempt.outcome, "RegistryError")


def said(attempt: Attempt, platform: str) -> str:
    """What a host did, as the middle of a sentence."""
    who = attempt.netloc
    if attempt.elsewhere:
        who = f"{who} (where {urlsplit(attempt.host.base_url).netloc} sends it)"
    quoted = f" (“{attempt.words}”)" if attempt.words else ""
    match attempt.outcome:
        case "unreachable":
            return _said_nothing(attempt, who)
        case "tls-port":
            return f"{who} wants HTTPS, and is asked by plain HTTP ({attempt.host.source})"
        case "not-found":
            return f"{who} has no {attempt.host.repository}:{attempt.host.reference}{quoted}"
        case "no-registry" if attempt.asked_by:
            answers = f"answers with something else: {attempt.status} with {_content_type(attempt)}{quoted}"
            return f"{who}, which is asked for the content of what {attempt.asked_by} names, {answers}"
        case "no-registry":
            return f"{who} answers like no registry: {attempt.status} with {_content_type(attempt)}{quoted}"
        case "no-platform":
            held = ", ".join(attempt.platforms) or "no platform"
            return f"{who} has the image for {held}, and this node is {platform}"
        case "auth-required" if not attempt.login:
            return f"{who} wants a login{quoted}"
        case _ if attempt.failure == "proxy-refused":
            return attempt.words
        case _:
            return f"{who} answers {attempt.status}{quoted}"


def _said_nothing(attempt: Attempt, who: str) -> str:
    if attempt.failure == "tls-plain":
        return f"{who} speaks plain HTTP, and is asked by HTTPS ({attempt.host.source})"
    if attempt.failure == "name-not-resolved":
        return f"the node's resolver has no address for {attempt.words}"
    return f"{who} cannot be used: {attempt.words.removeprefix(f'{attempt.netloc}: ')}"


def _content_type(attempt: Attempt) -> str:
    found = [exchange for exchange in attempt.exchanges if exchange.url == attempt.where and exchange.content_type]
    return found[-1].content_type if found else "no content type"


def conversation(attempt: Attempt) -> Evidence:
    """What one host was asked, and what it answered."""
    lines = [str(exchange) for exchange in attempt.exchanges] or [f"not asked: {attempt.words}"]
    return Evidence(f"{attempt.host.base_url} ({attempt.host.source})", "\n".join(lines))


def chain(pull: PullAttempts, hosts: RegistryHosts) -> list[Evidence]:
    """Who was asked for an image and answered what, who would be skipped, and by which proxy."""
    found = [conversation(attempt) for attempt in pull.attempts]
    if pull.spoiler is not None:
        found.append(conversation(pull.spoiler))
    found += [Evidence(host.source, f"{host.url} is skipped: {host.why}") for host in hosts.skipped]
    proxy = hosts.proxy.https or hosts.proxy.http
    if proxy:
        found.append(Evidence(hosts.proxy.source, f"the runtime's proxy is {proxy}"))
    return found


def same_host(found: str, culprit: str, *checks: str) -> tuple[Link, ...]:
    """What other checks say of the same host for the same reason is one trouble with this finding."""
    why = f"What else is said of {culprit} is the same trouble."
    return tuple(Link(check, found, why, Certainty.PROVEN, blames(culprit)) for check in checks if says(check, found))


_OF_PLACES = frozenset(
    {
        *("RegistryUnreachable", "NameNotResolved", "PlainHttpRegistry", "NoRegistryHost", "RuntimeConfigInvalid"),
        *("CertificateUntrusted", "CertificateNameMismatch", "CertificateExpired", "CertificateNotYetValid"),
        *("CaUnreadable", "ClientCertificateUnreadable"),
    }
)
"""What `registry-config` says of a place: whether it answers, and not what it answers when asked for an image."""


def says(check: str, found: str) -> bool:
    """Whether a check about registries has this reason of a failed pull."""
    return check != "registry-config" or found in _OF_PLACES


def mistrusted(found: Verdict, hosts: RegistryHosts) -> tuple[Link, ...]:
    """A place whose CA file cannot be read is not trusted for that, wherever else it is asked without one."""
    if found.stopper is None or found.stopper.kind != "ca-unreadable":
        return ()
    path = found.stopper.path
    places = dict.fromkeys(urlsplit(each.base_url).netloc for each in hosts.hosts if path in each.ca_files)
    why = f"Its CA is to be read from {path}."
    return tuple(Link("registry-config", "CertificateUntrusted", why, when=blames(place)) for place in places)


def blames(culprit: str) -> frozenset[str]:
    """The trait of a finding that blames a registry host, for links between findings that blame the same one."""
    return frozenset({f"host:{culprit}"})
