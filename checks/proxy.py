"""What belongs to the cluster is reached without a proxy.

## What it looks at
The proxy variables of each program that pulls or talks to the cluster: the runtime (its process, its unit with drop-ins and
`EnvironmentFile`s, Docker's `daemon.json`), the kubelet, and the static pods, to which kubeadm hands on what its own shell had. Whom
they talk to: the API server of their kubeconfig, service and pod subnets, the nodes' addresses, and the registries that are configured.

## Why it matters
Behind a company's proxy nothing can be pulled without it, and with it and no `NO_PROXY` what should stay inside the cluster goes to a
machine outside that knows nothing of it: the kubelet does not register, `kubectl logs` hangs, webhooks time out.

## How it is decided
By the rules of Go, in which all of them are written: upper case counts before lower case, an entry of `NO_PROXY` is a name with
all below it, an address or a CIDR, names are not resolved to be compared with a CIDR, and an asterisk inside an entry means nothing.
Localhost is never asked by a proxy. It fails where the API server was asked through the proxy in vain and answers
without it, or where the proxy's address is none; what will go wrong only for certain pulls or requests warns. kubeadm's preflight
(`HTTPProxy`, `HTTPProxyCIDR`) warns for its own shell alone.

## Reasons
- `NoProxy` (pass): none of them has a proxy
- `ClusterLeftOut` (pass): there is a proxy, and what belongs to the cluster goes without it
- `NotInstalled` (skip): neither runtime nor kubelet is here yet
- `ApiThroughProxy` (fail or warn): a program reaches its API server through the proxy; it fails where that was tried in vain
- `ClusterThroughProxy` (warn): requests to service or pod addresses, or to nodes, go through the proxy
- `RegistryThroughProxy` (warn): a registry that answers directly cannot be reached through the proxy
- `ProxyMalformed` (fail or warn): a proxy's address is none; it warns where Go then asks everybody directly
- `ProxyNotLoaded` (warn): the unit says something else than the running process has
- `ProxyNotInUnit` (warn): shells have a proxy, the runtime has none, and the runtime reaches no registry
- `VariablesDisagree` (warn): a variable has one value in upper case and another in lower case

## What it sends
Where a program has a proxy for its API server: a GET of `/livez` there through the proxy, and one without it. To a registry that the
proxy did not lead to: a `GET /v2/` without it. Nothing with `--offline`, nothing where there is no proxy.

## How to fix
Add to `NO_PROXY` what belongs to the cluster, in the unit's drop-in, in the `EnvironmentFile` that sets it, or in the manifest; and start the
program again, since a process keeps the environment that it began with. Running containers go on.

## How to verify
`systemctl show -p Environment containerd`, `xargs -0 -n1 < /proc/$(pidof containerd)/environ | grep -i proxy`, or run this check again.

## References
- golang.org/x/net `http/httpproxy/proxy.go`
- kubeadm `cmd/kubeadm/app/util/env.go` (GetProxyEnvVars), `cmd/kubeadm/app/preflight/checks.go` (HTTPProxyCheck, HTTPProxyCIDRCheck)
- systemd.exec(5) (`Environment=`, `EnvironmentFile=`); docs.docker.com, "Daemon proxy configuration"
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _proxy_fixes as fixes
from k8sdoctor.checks._pull_judgement import says
from k8sdoctor.facts.proxied_programs import ProxiedPrograms, ProxyDetours
from k8sdoctor.facts.pull import PullAttempts
from k8sdoctor.facts.registry_answers import RegistryAnswers
from k8sdoctor.finding import Certainty, Evidence, Finding, Link, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.proxied_programs import Detour, Program
    from k8sdoctor.facts.proxy import ProxyEnvironment

_UNREACHED = ("RegistryUnreachable", "NameNotResolved", "RegistryForbidden")
_SILENT = frozenset({"timeout", "unreachable", "refused", "name-not-resolved"})
_WEBHOOK = "https://webhook.namespace.svc:443/"


@check("proxy", title="What belongs to the cluster is reached without a proxy", area="images", profiles=NOT_DNS)
def proxy(
    programs: ProxiedPrograms,
    detours: ProxyDetours | Unobserved,
    answers: RegistryAnswers | Unobserved,
    pull: PullAttempts | Unobserved,
) -> Iterator[Finding]:
    """Judge each program's variables, then what was reached by them."""
    if not programs.programs:
        yield skip(
            "NotInstalled", "No container runtime and no kubelet runs or has a unit here, so nobody goes by a proxy."
        )
        return
    tried = detours.all if isinstance(detours, ProxyDetours) else ()
    found = [finding for program in programs.programs for finding in _program(program, programs, tried)]
    found += _registries(programs, tried)
    found += _only_in_shells(programs, answers, pull)
    yield from found
    if isinstance(detours, Unobserved) and any(program.proxy.is_set for program in programs.programs):
        yield unknown(detours.reason, f"Whom the proxy leads to could not be told: {detours.message}.")
    if not found:
        yield _fine(programs)


def _program(program: Program, programs: ProxiedPrograms, tried: tuple[Detour, ...]) -> Iterator[Finding]:
    if program.unread is not None:
        yield unknown(
            program.unread.reason,
            f"Which proxy {program.name} uses could not be told: {program.unread.message}.",
            subject=program.name,
        )
    stale = program.unit.stale if program.unit is not None else ()
    if stale:
        told = "; ".join(f"{one.key} = {one.value} ({one.source})" for one in stale)
        yield warn(
            "ProxyNotLoaded",
            f"{program.name} does not have what its unit says: {told}, and {stale[0].why}.",
            subject=program.name,
            evidence=[Evidence(one.source, f"{one.key}={one.value}") for one in stale],
            fix=fixes.restart(program),
            explains=_explains(f"{program.name} still goes by the proxy that it was started with."),
        )
    variables = program.lasting
    for shown, becomes in variables.malformed:
        build = warn if "directly" in becomes else fail
        yield build(
            "ProxyMalformed",
            f"{program.name} has the proxy {shown}, which is no address: {becomes}.",
            subject=program.name,
            evidence=[_seen(variables)],
            fix=fixes.edit(program, f"Correct the proxy of {program.name}"),
            explains=_explains(f"The proxy of {program.name} is no address.") if program.role == "runtime" else (),
        )
    if variables.differing:
        names = " and ".join(f"{name} and {name.lower()}" for name in variables.differing)
        yield warn(
            "VariablesDisagree",
            f"{names} of {program.name} have different values; {program.name} takes the one in upper case, other programs the other.",
            subject=program.name,
            evidence=[_seen(variables)],
            fix=fixes.edit(program, f"Give {names} one value"),
        )
    if variables.is_set and not variables.malformed:
        yield from _cluster(program, variables, programs, tried)


def _cluster(
    program: Program, variables: ProxyEnvironment, programs: ProxiedPrograms, tried: tuple[Detour, ...]
) -> Iterator[Finding]:
    if program.api and variables.proxy_for(program.api):
        yield _api(program, program.api, variables, tried)
    missing: list[str] = []
    if program.role == "runtime":
        missing += [subnet for subnet in (*programs.services, *programs.pods) if not variables.reaches(subnet)]
        what = "an image of a registry inside the cluster would be asked for"
    elif program.role == "api-server" and variables.https:
        missing += [] if variables.proxy_for(_WEBHOOK) is None else [".svc"]
        missing += [subnet for subnet in programs.services if not variables.reaches(subnet)]
        missing += [address for address in programs.nodes if variables.proxy_for(_url(address))]
        what = "calls to webhooks and to aggregated APIs, and `kubectl logs` and `exec`, go"
    else:
        return
    if missing:
        yield warn(
            "ClusterThroughProxy",
            f"NO_PROXY of {program.name} does not hold {', '.join(missing)}, so {what} through the proxy {variables.shown}"
            f"{_vain(variables)}.",
            subject=program.name,
            evidence=[_seen(variables)],
            fix=fixes.leave_out(program, missing),
        )


def _api(program: Program, server: str, variables: ProxyEnvironment, tried: tuple[Detour, ...]) -> Finding:
    name = urlsplit(server).hostname or server
    lost = next((each for each in tried if each.api and each.target == server), None)
    in_vain = lost is not None and lost.direct and not (program.unit is not None and program.unit.stale)
    message = f"{program.name} goes to its API server {server} through the proxy {variables.shown}"
    evidence = [_seen(variables)]
    if lost is not None and lost.direct:
        message += f", which does not lead there ({lost.said}), while it answers directly"
        evidence.append(Evidence(f"GET {server}/livez", f"through {lost.proxy}: {lost.said}; without it: answered"))
    return (fail if in_vain else warn)(
        "ApiThroughProxy",
        f"{message}: NO_PROXY does not hold {name}{_vain(variables)}.",
        subject=program.name,
        evidence=evidence,
        fix=fixes.leave_out(program, [name]),
    )


def _url(address: str) -> str:
    return f"https://[{address}]:10250/" if ":" in address else f"https://{address}:10250/"


def _vain(variables: ProxyEnvironment) -> str:
    found = ", ".join(f"`{entry}`" for entry in variables.vain)
    return f" ({found} matches nothing)" if found else ""


def _seen(variables: ProxyEnvironment) -> Evidence:
    return Evidence(variables.source, f"proxy {variables.shown}, NO_PROXY={variables.no_proxy or ''}")


def _registries(programs: ProxiedPrograms, tried: tuple[Detour, ...]) -> Iterator[Finding]:
    runtime = next((program for program in programs.programs if program.role == "runtime"), None)
    for detour in tried:
        if detour.api or not detour.direct or runtime is None:
            continue
        netloc = urlsplit(detour.target).netloc.rpartition("@")[2]
        why = f"{netloc} answers without the proxy {detour.proxy}, and not through it."
        links = [
            Link(check, reason, why, Certainty.PROVEN, frozenset({f"host:{netloc}"}))
            for check in ("registry-config", "images", "image-list")
            for reason in _UNREACHED
            if says(check, reason)
        ]
        links += [Link("pause-image", reason, why) for reason in _UNREACHED]
        yield warn(
            "RegistryThroughProxy",
            f"{detour.program} asks {netloc} through the proxy {detour.proxy} in vain ({detour.said}), and it answers directly.",
            subject=netloc,
            evidence=[
                Evidence(f"GET {detour.target}/", f"through {detour.proxy}: {detour.said}; without it: answered")
            ],
            fix=fixes.leave_out(runtime, [urlsplit(detour.target).hostname or netloc]),
            explains=links,
        )


def _only_in_shells(
    programs: ProxiedPrograms, answers: RegistryAnswers | Unobserved, pull: PullAttempts | Unobserved
) -> Iterator[Finding]:
    """Variables in files that no service reads, where a registry cannot be reached without them."""
    runtime = next((program for program in programs.programs if program.role == "runtime"), None)
    named = [(name, file) for name, file in programs.shell if name.upper() != "NO_PROXY"]
    if runtime is None or runtime.proxy.is_set or runtime.unread is not None or not named:
        return
    attempts = pull.attempts if isinstance(pull, PullAttempts) else ()
    silent = [attempt.netloc for attempt in attempts if attempt.failure in _SILENT]
    places = answers.all if isinstance(answers, RegistryAnswers) else ()
    silent += [answer.netloc for answer in places if answer.failure in _SILENT]
    if not silent:
        return
    name, file = named[0]
    missing = (
        [*programs.services, *programs.pods] if all(each.upper() != "NO_PROXY" for each, _ in programs.shell) else []
    )
    yield warn(
        "ProxyNotInUnit",
        f"{file} gives shells {name}, which no service reads; {runtime.name} has no proxy, and {', '.join(dict.fromkeys(silent))} cannot be reached.",
        subject=runtime.name,
        evidence=[Evidence(each_file, each) for each, each_file in programs.shell],
        fix=fixes.give_to_unit(runtime, file, missing),
        explains=_explains(f"{runtime.name} was not given the proxy that {file} has."),
    )


def _explains(why: str) -> tuple[Link, ...]:
    return tuple(
        Link(check, reason, why)
        for check in ("pause-image", "images", "registry-config")
        for reason in _UNREACHED
        if says(check, reason)
    )


def _fine(programs: ProxiedPrograms) -> Finding:
    having = [program for program in programs.programs if program.proxy.is_set]
    if not having:
        return passed(
            "NoProxy",
            "No program here that pulls or talks to the cluster has a proxy.",
            evidence=[Evidence(program.proxy.source, f"{program.name}: none") for program in programs.programs],
        )
    users = ", ".join(f"{program.name} ({program.proxy.shown})" for program in having)
    return passed(
        "ClusterLeftOut",
        f"What belongs to the cluster goes without the proxy of {users}.",
        evidence=[_seen(program.proxy) for program in having],
    )
