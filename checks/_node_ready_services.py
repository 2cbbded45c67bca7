"""What node-ready says about the two services without which no node is ready: the kubelet, and the container runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.checks._node_ready_links import UNKNOWN, no_pod_starts
from k8sdoctor.checks._pull_judgement import PULL_FAILS
from k8sdoctor.facts.runtime_service import SILENT
from k8sdoctor.finding import Certainty, Evidence, Finding, Fix, Link, Safety, Unobserved, fail, unknown
from k8sdoctor.known_errors import message_of, recognise
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.kubelet import Kubelet
    from k8sdoctor.facts.kubelet_health import KubeletHealth
    from k8sdoctor.facts.processes import Processes
    from k8sdoctor.facts.runtime import Runtime
    from k8sdoctor.facts.service import Service
    from k8sdoctor.facts.stage import Stage
    from k8sdoctor.known_errors import Match

SHOWN = 5
"""Lines of a log that a finding shows beside the one that says why."""

WORDS = 300
"""Characters of a log line that a sentence quotes."""

# How a program says that it ends: klog's F, logrus' fatal, what cobra prints for a kubelet (component-base/cli/run.go), Go's panic, and
# the error that containerd's own main prints.
_FATAL = regex(
    r"(?:^|[ ])F\d{4} \d\d:|level=fatal|\"command failed\"|[Ff]ailed to run Kubelet|(?:^|\]: )(?:panic: |Error: |containerd: )"
)

CANNOT_ASK = frozenset({"NotPermitted", "NotRecorded", "DeadlineExceeded"})

_OF_KUBELET = (
    Link("node-ready", "StatusUnknown", "a kubelet that does not run posts no status"),
    Link("node-ready", "LeaseStale", "a kubelet that does not run renews no lease"),
    Link("node-ready", "NotRegistered", "a kubelet that does not run registers no Node"),
    Link("node-ready", "NotReady", "the kubelet is not well"),
    *no_pod_starts("a kubelet that does not run starts no pod again that ended"),
    Link(
        "apiserver-san",
        "EndpointUnreachable",
        "this node's API server is a static pod, which a kubelet that does not run does not start",
        when=frozenset({"endpoint:own"}),
    ),
)

_NO_ANSWER = "the container runtime was seen not to answer"
_OF_RUNTIME = (
    *(
        Link(check, "RuntimeUnreachable", _NO_ANSWER, Certainty.PROVEN)
        for check in ("cni-config", "images", "pause-image")
    ),
    Link("dns-reply-source", "NoPodNamespace", f"{_NO_ANSWER}, so its pods are not known"),
    *(
        Link(
            "pause-image",
            fault,
            f"{_NO_ANSWER}, so nobody knows whether the image is here",
            when=frozenset({"presence:unknown"}),
        )
        for fault in PULL_FAILS
    ),
    Link("kubeadm-config", "SocketAbsent", _NO_ANSWER),
    *no_pod_starts(_NO_ANSWER),
    Link("node-ready", "RuntimeNotReady", _NO_ANSWER),
    Link("node-ready", "NetworkNotReady", _NO_ANSWER),
    Link("node-ready", "NotReady", _NO_ANSWER),
    Link("node-ready", "KubeletUnhealthy", _NO_ANSWER),
    Link(
        "node-ready",
        "KubeletCrashes",
        f"{_NO_ANSWER}, and the kubelet's log says that it ends for that",
        when=frozenset({"points-to:node-ready/RuntimeDown"}),
    ),
    Link(
        "node-ready",
        "KubeletCrashes",
        f"{_NO_ANSWER}, and the kubelet's log says that it ends for that",
        when=frozenset({"points-to:node-ready/CriNotServed"}),
    ),
)


# -- the kubelet ---------------------------------------------------------------------------------------------------------


def judge_kubelet(
    kubelet: Kubelet, processes: Processes | Unobserved, health: KubeletHealth, service: Service | None
) -> Iterator[Finding]:
    """One finding where it is not well, or where that could not be told."""
    if health.alive or (health.alive is None and kubelet.pid is not None):
        return
    if health.alive is None and isinstance(processes, Unobserved) and (service is None or not service.active):
        why = health.problem.message if health.problem else processes.message
        yield unknown(processes.reason, f"Whether the kubelet runs could not be told: {why}.", subject="kubelet")
        return
    if service is None:
        return
    evidence = [*([Evidence(health.url, health.said)] if health.url else []), *_seen(service)]
    cause = _last_fatal(service)[1]
    crashes = service.crashes or any("Start request repeated too quickly" in line for line in service.log)
    if kubelet.pid is not None and not crashes:
        yield _unhealthy(kubelet.pid, health, service, evidence, cause)
    elif crashes or (not service.active and cause is not None and not cause.error.weak):
        yield _crashes(service, evidence, cause)
    else:
        yield _stopped(service, evidence)


def _unhealthy(
    pid: int, health: KubeletHealth, service: Service, evidence: list[Evidence], cause: Match | None
) -> Finding:
    return fail(
        "KubeletUnhealthy",
        f"The kubelet (pid {pid}) runs and does not say at {health.url} that it is well: {health.said}{_because(cause)}.",
        subject="kubelet",
        evidence=evidence,
        fix=Fix(
            "See what the kubelet says, and restart it (pods keep running)",
            ("journalctl -u kubelet -n 50 --no-pager", f"systemctl restart {service.unit}"),
            f"curl -sS {health.url}",
            Safety.DISRUPTIVE,
        ),
        explains=_OF_KUBELET,
        traits=_traits(cause)
        | (frozenset({"health:silent"}) if health.answer and health.answer["failure"] else frozenset()),
    )


def _crashes(service: Service, evidence: list[Evidence], cause: Match | None) -> Finding:
    often = f" (systemd has started it anew {service.restarts} times)" if service.restarts else ""
    ended = f" with status {service.exit_status}" if service.exit_status not in ("", "0") else ""
    why = _because(cause) or _last_words(service)
    return fail(
        "KubeletCrashes",
        f"The kubelet ends{ended} soon after each start{often}{why}.",
        subject="kubelet",
        evidence=evidence,
        fix=Fix(
            "Mend what its last words say, then start it",
            (
                "journalctl -u kubelet -n 50 --no-pager",
                "systemctl reset-failed kubelet; systemctl restart kubelet",
            ),
            "systemctl is-active kubelet",
            Safety.MANUAL,
        ),
        explains=_OF_KUBELET,
        traits=_traits(cause),
    )


def _stopped(service: Service, evidence: list[Evidence]) -> Finding:
    state = _state(service)
    if service.load == "not-found":
        fix = Fix(
            "Install the kubelet of the cluster's version, with its unit",
            ("systemctl cat kubelet", "ls -l /usr/bin/kubelet /usr/local/bin/kubelet"),
            "systemctl is-active kubelet",
            Safety.MANUAL,
        )
    else:
        fix = _start(service, "kubelet")
    return fail(
        "KubeletStopped",
        f"The kubelet does not run: {state}, so this node starts no pod and tells nobody that it lives.",
        subject="kubelet",
        evidence=evidence,
        fix=fix,
        explains=[
            *_OF_KUBELET,
            # Both are mended by the same commands, and this is what hurts.
            *(Link("kubelet", reason, state, Certainty.PROVEN) for reason in ("UnitMasked", "NotEnabled")),
        ],
        traits=frozenset() if service.active else frozenset({UNKNOWN}),
    )


def _start(service: Service, unit: str) -> Fix:
    """Start a service that is down, also at each boot. Whoever masked or disabled it may have had a reason."""
    masked = service.load == "masked"
    meant = masked or service.enabled == "disabled"
    return Fix(
        f"Start {unit}, also at boot",
        (*([f"systemctl unmask {unit}"] if masked else []), f"systemctl start {unit}"),
        f"systemctl is-active {unit}",
        Safety.MANUAL if meant else Safety.SAFE,
        (f"systemctl enable {unit}",) if meant else (),
    )


# -- the container runtime -----------------------------------------------------------------------------------------------


def judge_runtime(stage: Stage, runtime: Runtime, service: Service | None) -> Iterator[Finding]:
    """One finding where the runtime is not well, or where that could not be told."""
    if runtime.reachable:
        ready = runtime.condition("RuntimeReady")
        if ready is not None and not ready.status:
            yield fail(
                "RuntimeNotReady",
                f"{runtime.label} answers and says that it is not ready: {ready.message or ready.reason or 'no reason given'}.",
                subject=runtime.endpoint,
                evidence=[
                    Evidence(f"status of {runtime.label}", f"RuntimeReady: false ({ready.reason}: {ready.message})")
                ],
                fix=_restart(runtime),
                explains=[each for each in _OF_RUNTIME if each.reason not in ("RuntimeNotReady", "RuntimeUnreachable")],
            )
        return
    problem = runtime.problem or Unobserved("NotFound", "it was not asked")
    if problem.reason not in SILENT:
        if problem.reason in CANNOT_ASK:
            message = f"Whether {runtime.label} runs could not be told: {problem.message}."
            yield unknown(problem.reason, message, subject=runtime.endpoint)
        return
    if runtime.kind is None and not stage.joined:
        return
    subject = runtime.endpoint or "container runtime"
    where = f"the socket {runtime.endpoint} ({runtime.endpoint_source})" if runtime.endpoint else "a container runtime"
    evidence = [Evidence(where, problem.message), *(_seen(service) if service else [])]
    cause = _last_fatal(service)[1] if service else None
    if "serves no CRI" in problem.message:
        yield fail(
            "CriNotServed",
            f"{runtime.label} runs and does not serve the kubelet: {problem.message}{_because(cause)}.",
            subject=subject,
            evidence=evidence,
            fix=_serve_cri(runtime),
            explains=_OF_RUNTIME,
        )
        return
    if runtime.elsewhere is not None and runtime.endpoint is not None:
        label, endpoint = runtime.elsewhere
        yield fail(
            "RuntimeDown",
            f"The kubelet looks for its runtime at {runtime.endpoint} ({runtime.endpoint_source}), which does not exist, so no pod starts here; "
            f"{label} answers at {endpoint}.",
            subject=subject,
            evidence=[*evidence[:1], Evidence(f"the socket {endpoint}", f"{label} answers")],
            fix=_lead_to(runtime.endpoint, endpoint),
            explains=_OF_RUNTIME,
        )
        return
    if runtime.pid is not None:
        state = f"its process (pid {runtime.pid}) is there"
    else:
        state = _state(service) if service else "no container runtime was found on this machine"
    yield fail(
        "RuntimeDown",
        f"{_start_of(runtime.label)} does not answer ({problem.message}), so no pod starts here: {state}{_because(cause)}.",
        subject=subject,
        evidence=evidence,
        fix=_revive(runtime, service, cause),
        explains=_OF_RUNTIME,
    )


_TOLD_TO_KUBELET = (
    "/var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet"
)


def _lead_to(old: str, new: str) -> Fix:
    return Fix(
        "Name the socket that is there wherever the kubelet is told the other one, if that runtime is the one that is meant",
        (
            f"sed -i 's|{old}|{new}|' $(grep -lsF -- {old} {_TOLD_TO_KUBELET})",
            "systemctl restart kubelet",
        ),
        f"crictl --runtime-endpoint {new} info",
        Safety.DISRUPTIVE,
    )


def _revive(runtime: Runtime, service: Service | None, cause: Match | None) -> Fix | None:
    if runtime.kind is None or service is None:
        return Fix(
            "Install a container runtime, or tell the kubelet the socket of the one that is there",
            ("ls -l /run/containerd/containerd.sock /run/crio/crio.sock /run/cri-dockerd.sock",),
            "crictl info",
            Safety.MANUAL,
        )
    unit = runtime.unit
    if runtime.pid is not None:
        return _restart(runtime)
    if service.crashes or (cause is not None and not cause.error.weak):
        return Fix(
            f"Mend what the last words of {unit} say, then start it",
            (f"journalctl -u {unit} -n 50 --no-pager", f"systemctl reset-failed {unit}; systemctl restart {unit}"),
            f"systemctl is-active {unit}",
            Safety.MANUAL,
        )
    return _start(service, unit)


def _restart(runtime: Runtime) -> Fix:
    unit = runtime.unit
    return Fix(
        f"See what {unit} says, and restart it (pods keep running)",
        (f"journalctl -u {unit} -n 50 --no-pager", f"systemctl restart {unit}"),
        "crictl info",
        Safety.DISRUPTIVE,
    )


def _serve_cri(runtime: Runtime) -> Fix:
    return Fix(
        "Take cri out of disabled_plugins, or mend what keeps the plugin from loading, and restart (pods keep running)",
        (
            "grep -n disabled_plugins /etc/containerd/config.toml",
            f"journalctl -u {runtime.unit} -n 200 --no-pager | grep -i -e plugin -e cri",
            "${EDITOR:-vi} /etc/containerd/config.toml",
            f"systemctl restart {runtime.unit}",
        ),
        "crictl info",
        Safety.MANUAL,
    )


# -- both ----------------------------------------------------------------------------------------------------------------


def _state(service: Service) -> str:
    """What systemd says, as a clause."""
    name = f"{service.unit}.service"
    if service.problem:
        return "no process of it was found"
    if service.load == "not-found":
        return f"systemd knows no {name}"
    if service.load == "masked":
        return f"{name} is masked, so that nothing starts it"
    if service.active == "active":
        return f"{name} is active, and no process of it was found"
    boot = " and is not started at boot" if service.enabled == "disabled" else ""
    sub = f" ({service.sub})" if service.sub and service.sub not in (service.active, "dead") else ""
    return f"{name} is {service.active}{sub}{boot}"


def _seen(service: Service) -> Iterator[Evidence]:
    if service.state:
        yield Evidence(f"systemctl show {service.unit}", service.state)
    elif service.problem:
        yield Evidence(f"systemctl show {service.unit}", service.problem.message)
    if service.log:
        lines = list(service.log[-SHOWN:])
        fatal = _last_fatal(service)[0]
        if fatal is not None and fatal not in lines:
            lines.insert(0, fatal)
        yield Evidence(service.log_source, "\n".join(line[:1000] for line in lines))
    elif service.log_problem:
        yield Evidence(f"log of {service.unit}", service.log_problem.message)


def _last_fatal(service: Service) -> tuple[str | None, Match | None]:
    """The last line with which a process of the service ended, and what is known about it.

    Only such a line says why it ended: a log is full of errors that are known, and harmless or long mended.
    """
    for line in reversed(service.log):
        if _FATAL.search(line):
            match = recognise(line)
            return line, match if match is not None and match.error.look_at else None
    return None, None


def _because(cause: Match | None) -> str:
    """What the log says, where it says something that is known."""
    if cause is None or cause.error.wraps:
        return ""
    return f"; its log says `{cause.words[:WORDS]}`: {cause.error.means}"


def _last_words(service: Service) -> str:
    """The line with which it ended, quoted."""
    line = _last_fatal(service)[0]
    return f"; its last words are `{message_of(line)[:WORDS]}`" if line else ""


def _traits(cause: Match | None) -> frozenset[str]:
    """Where the log's error points: `points-to:swap`, for the causes that other checks find."""
    if cause is None:
        return frozenset({UNKNOWN})
    return frozenset(f"points-to:{word}" for word in (*cause.error.look_at, *cause.error.checks))


def _start_of(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("the ") else text
