"""What the answers of registries and mirrors mean for those whose images come from there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.checks import _registry_fixes as fixes
from k8sdoctor.checks._pull_fixes import provide_ca
from k8sdoctor.checks._pull_judgement import blames
from k8sdoctor.facts.registry_config import called
from k8sdoctor.finding import Evidence, Finding, Fix, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.registry_answers import Answer
    from k8sdoctor.facts.registry_chain import Question, RegistryChain, RegistryHost, SkippedHost
    from k8sdoctor.facts.registry_config import RegistryConfig

_BY_FAILURE = {
    "tls-untrusted": "CertificateUntrusted",
    "tls-name": "CertificateNameMismatch",
    "tls-expired": "CertificateExpired",
    "tls-not-yet-valid": "CertificateNotYetValid",
    "tls-plain": "PlainHttpRegistry",
    "ca-unreadable": "CaUnreadable",
    "client-certificate-unreadable": "ClientCertificateUnreadable",
    "name-not-resolved": "NameNotResolved",
}
_SILENT = frozenset({"RegistryUnreachable", "NameNotResolved"})


def netloc(url: str) -> str:
    """`host[:port]` of a URL.

    >>> netloc("https://me@mirror:5000/v2")
    'mirror:5000'
    """
    return urlsplit(url).netloc.rpartition("@")[2]


def trouble(answer: Answer) -> str | None:
    """The reason why a place is no use; None when it can be talked to, or nobody could ask."""
    if answer.untried is not None:
        return None
    if answer.wants_tls:
        return "PlainHttpRegistry"
    if answer.failure is None:
        return None
    return _BY_FAILURE.get(answer.failure, "RegistryUnreachable")


class Places:
    """The places that are written down, with their answers. `label` is the program that pulls."""

    def __init__(
        self, config: RegistryConfig, answers: Sequence[Answer], label: str, distribution: Distribution
    ) -> None:
        """Sort the answers by what was asked."""
        self._config = config
        self._answers = answers
        self._label = label
        self._distribution = distribution
        self._troubles = {answer.host.question: trouble(answer) for answer in answers}
        self._by_question = {answer.host.question: answer for answer in answers}

    def judged(self) -> Iterator[Finding]:
        """A finding for each place that is no use, and one for each arrangement that somebody should know of."""
        for answer in self._answers:
            reason = trouble(answer)
            if reason is not None and not self._told_by_file(answer, reason):
                yield from self._of_a_place(answer, reason)
        yield from self._untried()
        for chain in self._config.chains:
            yield from self._alone(chain)
            yield from self._for_digests(chain)

    def _silent(self, host: RegistryHost) -> bool:
        return self._troubles.get(host.question) in _SILENT

    def _told_by_file(self, answer: Answer, reason: str) -> bool:
        """Whether a file that cannot be read is told already."""
        named = {stopper.path for stopper in self._config.stoppers}
        files = {*answer.host.ca_files, *(answer.host.client_certificate or ())}
        return reason in {"CaUnreadable", "ClientCertificateUnreadable"} and bool(named & files)

    def _of_a_place(self, answer: Answer, reason: str) -> Iterator[Finding]:
        chains = [chain for chain in self._config.chains if answer.host.question in _questions(chain.hosts)]
        stuck = [chain for chain in chains if all(self._troubles.get(host.question) for host in chain.hosts)]
        if reason in _SILENT and answer.host.upstream:
            # A registry behind a mirror that answers may be out of reach, that is what mirrors are for; and where the mirrors fail as
            # well, or are not asked for tags, that is told.
            stuck = [chain for chain in stuck if len(_questions(chain.hosts)) == 1 and not any(_digests(chain))]
            if not stuck:
                return
        last = [chain for chain in chains if chain.hosts[-1].question == answer.host.question]
        if stuck:
            then = f"images of {_names(stuck)} cannot be pulled"
            if not answer.host.upstream and any(chain in last for chain in stuck):
                then += f", for {answer.host.source} names no other place after it"
        elif last:
            then = f"nobody is left to ask for what the mirrors of {_names(last)} do not have"
        else:
            then = f"another host is asked for images of {_names(chains)}"
        build = fail if stuck and reason not in _SILENT else warn
        yield build(
            reason,
            f"{self._said(answer, reason)}, so {then}.",
            subject=answer.netloc,
            evidence=[Evidence(f"{answer.host.base_url} ({answer.host.source})", str(answer))],
            fix=self._fix(answer, reason),
            traits={*blames(answer.netloc), f"file:{fixes.place(answer.host.source)[0]}"},
        )

    def _said(self, answer: Answer, reason: str) -> str:
        words = answer.said.removeprefix(f"{answer.netloc}: ")
        match reason:
            case "PlainHttpRegistry" if answer.wants_tls:
                return f"{answer.netloc} wants HTTPS, and {answer.host.source} has it asked by plain HTTP"
            case "PlainHttpRegistry":
                return f"{answer.netloc} speaks plain HTTP, and {answer.host.source} has it asked by HTTPS"
            case "CertificateUntrusted":
                return f"{self._label} does not trust the certificate of {answer.netloc} ({words})"
            case _:
                return f"{answer.netloc} cannot be used ({words})"

    def _fix(self, answer: Answer, reason: str) -> Fix:
        match reason:
            case "CertificateUntrusted":
                return fixes.trust(self._config, self._distribution, answer)
            case "PlainHttpRegistry":
                return fixes.speak(self._config, answer)
            case "CaUnreadable" if answer.host.ca_files:
                return provide_ca(answer.host.ca_files[0], answer.host.base_url)
            case "ClientCertificateUnreadable":
                title = "Name a client certificate and the key that belongs to it"
                return fixes.look_at(self._config, answer.host.source, title)
        return fixes.see_whether_it_lives(answer)

    def _untried(self) -> Iterator[Finding]:
        untried = [(answer, answer.untried) for answer in self._answers if answer.untried is not None]
        offline = [answer.netloc for answer, why in untried if why.reason == "Offline"]
        if offline:
            yield skip("Offline", f"Whether {', '.join(offline)} answer was not asked (--offline).")
        for answer, why in untried:
            if why.reason != "Offline":
                message = f"{answer.netloc} could not be asked: {why.message}."
                yield unknown(why.reason, message, subject=answer.netloc)

    def _alone(self, chain: RegistryChain) -> Iterator[Finding]:
        """A registry that is never asked itself, which somebody may want."""
        if not chain.hosts or any(host.upstream for host in chain.hosts) or all(map(self._silent, chain.hosts)):
            return
        last = chain.hosts[-1]
        urls = ", ".join(dict.fromkeys(host.base_url for host in chain.hosts))
        yield passed(
            "MirrorsOnly",
            f"Images of {_names([chain])} are asked of {urls} alone, since {last.source} names it in the registry's place.",
            subject=chain.image.registry,
            evidence=[Evidence(last.source, last.base_url)],
        )

    def _for_digests(self, chain: RegistryChain) -> Iterator[Finding]:
        """A mirror that is not asked for tags, which is a matter of trust."""
        skipped = list(_digests(chain))
        if not skipped:
            return
        urls, why = ", ".join(dict.fromkeys(host.url for host in skipped)), skipped[0].why
        evidence = [Evidence(host.source, f"{host.url}: {host.why}") for host in skipped]
        if not chain.hosts or not all(map(self._silent, chain.hosts)):
            yield passed(
                "NotAskedForTags",
                f"{urls} is not asked for a tag of {_names([chain])}: {why}; what the tag's digest names may come from there.",
                subject=chain.image.registry,
                evidence=evidence,
            )
            return
        asked = ", ".join(dict.fromkeys(host.base_url for host in chain.hosts))
        evidence += [Evidence(host.base_url, str(self._by_question[host.question])) for host in chain.hosts]
        title = 'Add "resolve" to the capabilities, if the mirror may be trusted with tags'
        yield warn(
            "TagsSkipMirror",
            f"{urls} is not asked for a tag of {_names([chain])} ({why}), and {asked}, which is, does not answer.",
            subject=skipped[0].source,
            evidence=evidence,
            fix=fixes.look_at(self._config, skipped[0].source, title),
        )


def _digests(chain: RegistryChain) -> Iterator[SkippedHost]:
    return (host for host in chain.skipped if host.by_digest)


def _questions(hosts: Iterable[RegistryHost]) -> set[Question]:
    return {host.question for host in hosts}


def _names(chains: Iterable[RegistryChain]) -> str:
    return ", ".join(dict.fromkeys(called(chain.image.registry) for chain in chains))
