"""What is written about registries and their mirrors does what was meant.

## What it looks at
Every file in which this runtime may be told about registries, whichever registry it is for: each `hosts.toml` below containerd's
`config_path`, `_default` and `host_port_` included, and those that lie where nobody looks; the old `registry.mirrors` and
`registry.configs`; CRI-O's `registries.conf` with its drop-ins; Docker's `daemon.json`; the certificates beside them. Then what
each place that is written there answers to `GET /v2/`, asked with the runtime's own CA files, client certificates and proxy.

## Why it matters
A runtime passes over what it does not understand without a word: a mirror with a misspelt key is no mirror, and it is noticed on the
day when the registry itself cannot be reached.

## How it is decided
A file is read by the rules of the version that runs. What ends each pull of a registry (a CA file that cannot be read, no host
left to ask) fails; what is taken for something else, or for nothing, warns, for the runtime then asks somebody else. A place whose
certificate the runtime refuses fails where nobody else would be asked, and warns where another host follows. A place
that does not answer warns. A registry of its own that is not reached is no fault where a mirror answers for it: that is what mirrors
are for. `server = "MIRROR"` is the documented way to ask a mirror alone, and `capabilities = ["pull"]` the documented way not
to trust a mirror with tags: both pass, and are named. What concerns the sandbox image's registry is left to `pause-image`
where that check tells it already.

## Reasons
- `AsWritten` (pass): what is written is understood, and counts
- `NothingWritten` (pass): no mirror or registry is configured, so each registry is asked by its own name
- `MirrorsOnly` (pass): a mirror is named as `server`, so that the registry itself is not asked
- `NotAskedForTags` (pass): a mirror without `resolve` serves what a tag's digest names, and is not asked for the tag
- `NoRuntime` (skip): no container runtime is installed yet
- `ToldByPauseImage` (skip): what is wrong there concerns the sandbox image's registry, and `pause-image` tells it
- `Offline` (skip): `--offline` forbids to ask whether the places answer
- `CaUnreadable` (fail or warn), `ClientCertificateUnreadable` (fail or warn): a file that is named cannot be read or is no certificate
- `NoRegistryHost` (fail): no host is left that may be asked for a tag
- `RuntimeConfigInvalid` (fail): a file or an address makes each pull fail
- `CertificateUntrusted` (fail or warn): a place's certificate is signed by a CA that the runtime does not trust
- `CertificateNameMismatch` (fail or warn): it is for another name
- `CertificateExpired` (fail or warn), `CertificateNotYetValid` (fail or warn): renew it, or mend the node's clock
- `PlainHttpRegistry` (fail or warn): HTTP is spoken to HTTPS, or the other way round
- `RegistryUnreachable` (warn), `NameNotResolved` (warn): a place gives no answer, or has no address
- `TagsSkipMirror` (warn): the only hosts that may be asked for tags do not answer, and the mirror may not be asked
- `MalformedConfig` (warn): a file cannot be decoded; the runtime logs that and goes on without it
- `MirrorIgnored` (warn): a mirror is written down where this runtime does not read it
- `UnknownKey` (fail or warn): a key that nobody reads; it fails where a stopped dockerd does not start with it
- `WrongApiPath` (warn): an address with `/v2` in the wrong place
- `UnknownScheme` (warn): an address that is no URL with http:// or https://
- `TlsWithoutEffect` (warn): a CA for a host that is asked by plain HTTP
- `WrongRegistryName` (warn): a folder of Docker Hub by a name that images do not have
- `DeprecatedFormat` (warn): read by this version, and announced to be dropped

## What it sends
One `GET /v2/` to each place that is written down, by the runtime's own proxy, and no credentials. Nothing with `--offline`.

## How to fix
Write the key that is read; `hosts.toml` takes effect at the next pull, `config.toml` when containerd starts again. A private CA goes
where the runtime looks for it at each pull (`ca = …` in `hosts.toml`, `certs.d` of CRI-O and Docker); into the distribution's trust store only
where there is no such place, and then the runtime must start again, since Go reads the store once. Trusting a CA
that was fetched from the wire needs a person's decision.

## How to verify
Run this check again, and pull something from that registry: `crictl pull IMAGE` (not `ctr images pull`, which knows nothing of the
CRI plugin's mirrors).

## References
- containerd `docs/hosts.md`, `docs/cri/registry.md`, `core/remotes/docker/config/hosts.go`, `RELEASES.md` (deprecated config properties)
- containers-registries.conf(5), containers-certs.d(5), containers/image `pkg/sysregistriesv2/system_registries_v2.go`
- moby `daemon/pkg/registry/config.go`, `daemon/config/config.go`
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _registry_fixes as fixes
from k8sdoctor.checks._pull_fixes import provide_ca
from k8sdoctor.checks._pull_judgement import PULL_FAILS, blames
from k8sdoctor.checks._registry_places import Places, netloc, trouble
from k8sdoctor.checks._words import enumerated
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import Answer, RegistryAnswers
from k8sdoctor.facts.registry_config import RegistryConfig, called, registry_of
from k8sdoctor.facts.registry_hosts import RegistryHosts
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Evidence, Finding, Fix, Link, Status, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.registry_chain import Stopper
    from k8sdoctor.facts.settings import IgnoredSetting, Remark

_BY_REMARK = {
    "unknown-key": "UnknownKey",
    "path": "WrongApiPath",
    "tls-without-effect": "TlsWithoutEffect",
    "no-scheme": "UnknownScheme",
    "wrong-name": "WrongRegistryName",
    "old-format": "DeprecatedFormat",
}
_BY_STOPPER = {
    "ca-unreadable": "CaUnreadable",
    "client-certificate-unreadable": "ClientCertificateUnreadable",
    "config-invalid": "RuntimeConfigInvalid",
    "no-host": "NoRegistryHost",
}
_LEFT = "ToldByPauseImage"


@check(
    "registry-config",
    title="What is written about registries and mirrors does what was meant",
    area="images",
    profiles=NOT_DNS,
)
def registry_config(  # noqa: PLR0913, PLR0917 -- what the judgement rests on
    runtime: Runtime,
    config: RegistryConfig | Unobserved,
    answers: RegistryAnswers | Unobserved,
    hosts: RegistryHosts | Unobserved,
    pull: PullAttempts | Unobserved,
    distribution: Distribution | Unobserved,
) -> Iterator[Finding]:
    """Judge what is written, then what answers at the places that are named."""
    if runtime.kind is None:
        yield skip(
            "NoRuntime", "No container runtime is installed here, so nothing reads a registry's configuration yet."
        )
        return
    if isinstance(config, Unobserved):
        yield unknown(
            config.reason, f"What {runtime.label} was told about registries could not be read: {config.message}."
        )
        return
    if isinstance(distribution, Unobserved):
        distribution = Distribution("", (), "an unknown Linux", "other")
    told = answers.all if isinstance(answers, RegistryAnswers) else ()
    case = _Case(runtime, config, told, hosts, pull)
    found = [*_written(case), *Places(config, told, case.label, distribution).judged()]
    yield from found
    if isinstance(answers, Unobserved):
        yield unknown(
            answers.reason, f"Whether the places that are written down answer could not be told: {answers.message}."
        )
    if all(finding.status in {Status.PASS, Status.SKIP} and finding.reason != _LEFT for finding in found):
        yield _fine(case)


class _Case:
    """Facts that belong together."""

    def __init__(
        self,
        runtime: Runtime,
        config: RegistryConfig,
        answers: tuple[Answer, ...],
        hosts: RegistryHosts | Unobserved,
        pull: PullAttempts | Unobserved,
    ) -> None:
        self.runtime = runtime
        self.config = config
        self.answers = answers
        # pause-image tells what is written in vain for the sandbox image's registry, and, while the image is not here, the first
        # thing that ends its pull.
        self._ignored = hosts.ignored if isinstance(hosts, RegistryHosts) else ()
        told = isinstance(hosts, RegistryHosts) and isinstance(pull, PullAttempts) and pull.present is None
        whole = (
            [stopper for stopper in hosts.stoppers if stopper.base_url is None]
            if isinstance(hosts, RegistryHosts)
            else []
        )
        self._stopper = whole[0] if told and whole else None
        self.malformed = {fixes.place(one.source)[0] for one in self._ignored if one.kind == "malformed"}
        """Files of which `pause-image` says that they cannot be decoded."""

    def told_elsewhere(self, written: IgnoredSetting | Stopper) -> bool:
        """Whether `pause-image` tells it."""
        return written in self._ignored or written == self._stopper

    @property
    def label(self) -> str:
        """The program that reads the files and pulls."""
        return "dockerd" if self.config.runtime == "cri-dockerd" else self.runtime.label


# -- files ---------------------------------------------------------------------------------------------------------------


def _written(case: _Case) -> Iterator[Finding]:
    for source in case.config.broken:
        message = f"{source} cannot be taken by {case.label}, as pause-image tells, whatever it says."
        yield skip(_LEFT, message, subject=source)
    yield from _settings(case)
    for stopper in case.config.stoppers:
        if case.told_elsewhere(stopper):
            yield _left(stopper.source)
        elif stopper.kind in _BY_STOPPER:  # `blocked` is what somebody wanted
            yield _stopped(case, stopper)
    yield from _remarks(case)
    for name, problem in case.config.unreadable:
        yield unknown(
            problem.reason,
            f"What is written about the registry {name} could not be read: {problem.message}.",
            subject=name,
            evidence=[Evidence(name, problem.message)],
        )


def _settings(case: _Case) -> Iterator[Finding]:
    misnamed = {fixes.place(remark.source)[0] for remark in case.config.remarks if remark.instead == "host"}
    for setting in case.config.ignored:
        if case.told_elsewhere(setting):
            yield _left(setting.source)
        elif setting.kind != "malformed" or setting.source not in misnamed:  # else the misspelt key is told, the cause
            yield _ignored(case, setting)


def _remarks(case: _Case) -> Iterator[Finding]:
    for remark in case.config.remarks:
        # An address that answers like a registry is right, however it looks.
        answer = next((each for each in case.answers if each.host.source == remark.source), None)
        right = remark.kind == "path" and answer is not None and answer.registry
        # A distribution that writes the file at each start will write it as its containerd wants it.
        right |= remark.kind == "old-format" and fixes.made_anew(fixes.place(remark.source)[0])
        if not right and fixes.place(remark.source)[0] not in case.malformed:
            yield _remarked(case, remark)


def _left(source: str) -> Finding:
    return skip(_LEFT, f"{source} concerns the sandbox image's registry: see pause-image.", subject=source)


def _ignored(case: _Case, setting: IgnoredSetting) -> Finding:
    value = f" = {setting.value}" if setting.value else ""
    if setting.kind == "malformed":
        reason, message = "MalformedConfig", f"{setting.source} is malformed: {setting.why}."
    else:
        reason = "MirrorIgnored"
        message = f"{setting.key}{value} ({setting.source}) does not count for {case.label}: {setting.why}."
    return warn(
        reason,
        message,
        subject=setting.source,
        evidence=[Evidence(setting.source, f"{setting.key}{value}")],
        fix=fixes.heed(case.config, setting),
        explains=_not_asked(case, setting.source),
    )


def _not_asked(case: _Case, source: str) -> Iterator[Link]:
    """A mirror that is not asked is the likely reason why the runtime has to go where it gets nothing."""
    folder = posixpath.basename(posixpath.dirname(fixes.place(source)[0]))
    for chain in case.config.chains:
        for place in chain.hosts if registry_of(folder) == chain.image.registry else ():
            why = f"{case.label} was meant to ask another host ({source}), and asks the one that fails instead."
            yield from (Link("images", reason, why, when=blames(netloc(place.base_url))) for reason in PULL_FAILS)


def _stopped(case: _Case, stopper: Stopper) -> Finding:
    chains = [chain for chain in case.config.chains if stopper in chain.stoppers]
    names = ", ".join(called(chain.image.registry) for chain in chains) or "any registry"
    follows = stopper.base_url is not None and any(
        chain.hosts and chain.hosts[-1].base_url != stopper.base_url for chain in chains
    )
    build = warn if follows else fail
    what = f"does not ask {stopper.base_url} for it" if follows else "cannot pull it"
    message = f"An image of {names}: {case.label} {what}, since {stopper.why} ({stopper.source})."
    fix: Fix | None = fixes.look_at(case.config, stopper.source, f"Correct {stopper.source}")
    if stopper.kind == "ca-unreadable":
        concerned = next(
            (host.base_url for chain in chains for host in chain.hosts if stopper.path in host.ca_files), None
        )
        fix = provide_ca(stopper.path, concerned)
    return build(
        _BY_STOPPER[stopper.kind],
        message,
        subject=stopper.path,
        evidence=[Evidence(stopper.source, stopper.why)],
        fix=fix,
    )


def _remarked(case: _Case, remark: Remark) -> Finding:
    instead = f"; write {remark.instead}" if remark.kind == "unknown-key" and remark.instead else ""
    starts_not = "does not start" in remark.why and not case.runtime.reachable
    return (fail if starts_not else warn)(
        _BY_REMARK[remark.kind],
        f"{remark.key} in {remark.source} does not do what it says: {remark.why}{instead}.",
        subject=remark.source,
        evidence=[Evidence(remark.source, remark.key)],
        fix=_mend(case, remark),
        explains=_causes(case, remark),
    )


_MISTRUST = ("CertificateUntrusted", "CertificateNameMismatch", "CertificateExpired", "PlainHttpRegistry")


def _causes(case: _Case, remark: Remark) -> Iterator[Link]:
    """What a key that is not read keeps from being heeded: a place that the runtime then does not trust, or does not ask at all."""
    if remark.instead == "host":
        yield from _not_asked(case, remark.source)
    if remark.kind not in {"unknown-key", "path"}:
        return
    file = fixes.place(remark.source)[0]
    why = f"{remark.source} was meant to say how the place is asked."
    yield from (Link("registry-config", reason, why, when=frozenset({f"file:{file}"})) for reason in _MISTRUST)
    for place in dict.fromkeys(
        place.base_url for chain in case.config.chains for place in chain.hosts if place.source.startswith(file)
    ):
        yield from (Link("images", reason, why, when=blames(netloc(place))) for reason in (*_MISTRUST, "ImageNotFound"))


def _mend(case: _Case, remark: Remark) -> Fix:
    match remark.kind:
        case "unknown-key":
            return fixes.name_rightly(case.config, remark)
        case "path":
            return fixes.correct_path(case.config, remark)
        case "tls-without-effect" | "no-scheme":
            return fixes.correct_address(case.config, remark)
        case "wrong-name":
            return fixes.move_folder(remark)
        case "old-format":
            return fixes.write_anew(case.config, remark)


def _fine(case: _Case) -> Finding:
    config = case.config
    if not config.files and not config.chains:
        return passed(
            "NothingWritten",
            f"No registry or mirror is configured for {case.label}: each registry is asked by its own name.",
            evidence=[Evidence(config.key or config.config_path, "nothing about registries")],
        )
    names = [called(name) for name in config.registries]
    about = f" about {enumerated(names)}" if names else " about registries"
    reached = sum(answer.untried is None and trouble(answer) is None for answer in case.answers)
    answering = (
        "one of the places named there answers" if reached == 1 else f"{reached} of the places named there answer"
    )
    asked = f", and {answering}" if reached else ""
    return passed(
        "AsWritten",
        f"What is written for {case.label}{about} is understood and counts{asked}.",
        evidence=[Evidence(path, "read") for path in config.files],
    )
