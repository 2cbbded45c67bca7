"""The kubelet starts with what it is told: its unit, its flags, its configuration, and a runtime that fits its version.

## What it looks at
kubelet.service with its drop-ins and environment files in the order in which systemd applies them, the command line that this makes and the one that
runs, the configuration file with its drop-ins (`--config-dir`), the resolv.conf that it hands to pods, and the versions of kubelet and runtime.

## Why it matters
A flag that this version no longer knows, or one value of the wrong kind, ends the kubelet at its next start, which may be months away; a misspelt
field does nothing and says so in the log alone. A drop-in without `--config` starts a kubelet that belongs to no cluster. A resolver on
loopback, handed to CoreDNS, makes it ask itself until it ends.

## How it is decided
Fails for what keeps the kubelet from starting; warns for the same where it runs, since it is the next start that fails. Warns for what has no
effect, for what was changed after the start, and for a runtime that its maker does not recommend for this version of Kubernetes. Flags and fields
are held against the version of the installed program; fields of releases that are not known here are not judged. Skipped where no kubelet is
set up, and before `kubeadm init` or `kubeadm join` where its configuration is absent by right.

## Reasons
- `Configured` (pass): nothing keeps it from starting
- `NoKubelet` (skip): none is set up here yet
- `UnitInvalid` (fail, warn where it runs): systemd refuses the unit
- `UnitMasked` (fail, warn where it runs): the unit is masked and cannot be started
- `EnvironmentFileMissing` (fail, warn where it runs): the unit wants a file that is not there
- `NotEnabled` (warn): a boot does not start it
- `NotRestarted` (warn): it runs with other flags than its unit gives it now
- `ConfigNotUsed` (fail, warn where it runs): its command line names no configuration although kubeadm wrote one
- `ConfigMissing` (fail, warn where it runs): the configuration file, or the folder of drop-ins, that it is told to read is not there
- `ConfigSyntax` (fail, warn where it runs): a file of the configuration is no YAML; line and column are named
- `ConfigKind` (fail, warn where it runs): a file is no KubeletConfiguration
- `ConfigFieldInvalid` (fail, warn where it runs): a value is of a kind that the kubelet cannot take
- `ConfigFieldIgnored` (warn): this version does not know a field and passes it over
- `FlagRemoved` (fail, warn where it runs): this version does not know a flag, and ends
- `ResolvConfMissing` (fail): the resolv.conf for pods is not there, and no pod can be made
- `ResolvConfLoopback` (warn): pods are handed a resolver on loopback, which is their own
- `RuntimeTooOld` (warn, fail without CRI v1): the runtime's version does not go with the kubelet's
- `NotPermitted`, `Unreadable` (unknown): a file could not be read

## What it sends
Nothing; the runtime's version is asked over its own socket.

## How to fix
Correct the file that is named, then `systemctl daemon-reload` for units, and restart the kubelet: running pods stay.

## How to verify
`systemctl is-active kubelet`, and `systemctl show -p NeedDaemonReload kubelet` says no.

## References
- kubernetes cmd/kubelet/app/server.go, pkg/kubelet/kubeletconfig/util/codec, k8s.io/kubelet config/v1beta1 (1.20 to 1.36)
- release notes of 1.22 to 1.37 (flags; each finding names its change)
- systemd.service(5), systemd.unit(5), systemd.exec(5)
- https://github.com/containerd/containerd/blob/main/RELEASES.md#kubernetes-support, CRI-O's README (compatibility matrix)
- https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/#known-issues
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _removed_flags as removed
from k8sdoctor.checks._node_ready_links import kubelet_ends
from k8sdoctor.checks._runtime_fit import too_old
from k8sdoctor.checks._words import sentence
from k8sdoctor.facts import versions
from k8sdoctor.facts.kubelet import CONFIG, FLAG_FILES, Kubelet
from k8sdoctor.facts.kubelet_config import KubeletConfigFiles
from k8sdoctor.facts.kubelet_unit import KubeletUnit
from k8sdoctor.facts.pod_resolver import PodResolver
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Certainty,
    Evidence,
    Finding,
    Fix,
    Link,
    Safety,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.kubelet_config import ConfigFile
    from k8sdoctor.facts.service_unit import ServiceUnit

_RESTART = "systemctl restart kubelet"
_ACTIVE = "systemctl is-active kubelet"

# With one of these the next start is the last.
_ENDS = frozenset(
    {
        *("UnitInvalid", "UnitMasked", "EnvironmentFileMissing", "FlagRemoved"),
        *("ConfigNotUsed", "ConfigMissing", "ConfigSyntax", "ConfigKind", "ConfigFieldInvalid"),
    }
)


@dataclass(frozen=True)
class _Scene:
    """What the parts of the judgement share."""

    kubelet: Kubelet
    unit: ServiceUnit | None
    joined: bool
    running: tuple[str, ...]
    """Its command line; empty where it does not run."""

    @property
    def label(self) -> str:
        return f"the kubelet of {versions.text(self.kubelet.version)}" if self.kubelet.version else "the kubelet"

    @property
    def next_words(self) -> tuple[str, ...]:
        """The command line of its next start: the unit's, else the one that runs, else the flags that files hold."""
        if self.unit is not None and self.unit.words:
            return self.unit.words
        return self.running or tuple(self.kubelet.flags)

    def ends(  # noqa: PLR0913 -- the parts of a finding
        self,
        reason: str,
        message: str,
        *,
        subject: str,
        evidence: list[Evidence],
        fix: Fix,
        explains: tuple[Link, ...] = (),
    ) -> Finding:
        """A fault that keeps it from starting: only the next start fails where it runs."""
        if self.running:
            return warn(
                reason,
                f"{message}; it runs, and does not start again.",
                subject=subject,
                evidence=evidence,
                fix=fix,
                explains=explains,
            )
        links = [*kubelet_ends(message, "kubelet"), *explains]
        if reason in {"UnitInvalid", "UnitMasked", "EnvironmentFileMissing"}:  # systemd does not even try
            links.append(Link("node-ready", "KubeletStopped", message))
        return fail(reason, f"{message}.", subject=subject, evidence=evidence, fix=fix, explains=links)


@check("kubelet", title="The kubelet starts with what it is told", area="node configuration", profiles=NOT_DNS)
def kubelet(  # noqa: PLR0913, PLR0917 -- a check names the facts that it needs
    found: Kubelet,
    files: KubeletConfigFiles,
    service: KubeletUnit | Unobserved,
    processes: Processes | Unobserved,
    runtime: Runtime | Unobserved,
    resolver: PodResolver | Unobserved,
    stage: Stage,
) -> Iterator[Finding]:
    """Judge unit, flags, configuration, resolver and runtime."""
    running = next(
        (
            tuple(each["cmdline"])
            for each in (processes.all if isinstance(processes, Processes) else ())
            if each["pid"] == found.pid
        ),
        (),
    )
    unit = service.unit if isinstance(service, KubeletUnit) else None
    if found.version is None and found.pid is None and not found.config and not (unit and unit.files):
        yield skip("NoKubelet", "No kubelet is set up here as a program of its own.")
        return
    scene = _Scene(found, unit, stage.joined, running)
    told = [
        *(
            [unknown(service.reason, service.message, subject="kubelet.service")]
            if isinstance(service, Unobserved)
            else []
        ),
        *(_unit(scene, unit) if unit is not None else ()),
        *_flags(scene),
        *(finding for each in files.files for finding in _file(scene, each)),
        *(_resolver(found, resolver) if isinstance(resolver, PodResolver) and (scene.joined or running) else ()),
        *(_runtime(scene, runtime) if isinstance(runtime, Runtime) else ()),
    ]
    if any(each.reason in _ENDS for each in told):
        told = [each for each in told if each.reason != "NotRestarted"]  # its fix would end the kubelet that still runs
    yield from told
    if not told:
        evidence = [Evidence(each.path, "read") for each in files.files if each.fault is None]
        evidence += [Evidence(path, "applied") for path in (unit.files if unit else ())]
        yield passed(
            "Configured", f"Nothing keeps {scene.label} from starting.", subject=found.config_path, evidence=evidence
        )


# -- the unit --------------------------------------------------------------------------------------------------------


def _unit(scene: _Scene, unit: ServiceUnit) -> Iterator[Finding]:
    if unit.masked:
        yield scene.ends(
            "UnitMasked",
            "kubelet.service is masked, so that nothing can start it",
            subject="kubelet.service",
            evidence=[Evidence("/etc/systemd/system/kubelet.service", "a link to /dev/null")],
            fix=Fix("Unmask it", ("systemctl unmask kubelet", "systemctl start kubelet"), _ACTIVE, Safety.DISRUPTIVE),
        )
        return
    if not unit.files:
        return
    for message in unit.unread:
        yield unknown(
            "NotPermitted",
            f"What the unit gives to the kubelet is not known in full: {message}",
            subject="kubelet.service",
        )
    if unit.commands != 1:
        yield _commands(scene, unit)
    if unit.absent:
        yield scene.ends(
            "EnvironmentFileMissing",
            f"kubelet.service wants {' and '.join(unit.absent)} as EnvironmentFile, which is not there, and systemd does not start it",
            subject=unit.absent[0],
            evidence=[Evidence(path, "applied") for path in unit.files],
            fix=Fix(
                "Bring the file back, or let it be absent: EnvironmentFile=-PATH",
                ("systemctl edit --full kubelet", "systemctl daemon-reload", _RESTART),
                _ACTIVE,
                Safety.MANUAL,
            ),
        )
    if scene.joined and unit.wanted_by and not unit.enabled:
        yield warn(
            "NotEnabled",
            "kubelet.service is not enabled: a boot does not start it, and the node stays away.",
            subject="kubelet.service",
            evidence=[Evidence(unit.files[0], f"WantedBy={' '.join(unit.wanted_by)}, and no link there")],
            fix=Fix("Start it at boot", (), "systemctl is-enabled kubelet", Safety.SAFE, ("systemctl enable kubelet",)),
        )
    if scene.joined and unit.words:
        yield from _uses_configuration(scene, unit)
    if scene.running and unit.words and not unit.unread:
        yield from _restarted(scene, unit)


def _commands(scene: _Scene, unit: ServiceUnit) -> Finding:
    count = unit.commands
    what = f"{count} ExecStart lines are left" if count else "no ExecStart line is left"
    files = " ".join(map(quote, unit.files))
    return scene.ends(
        "UnitInvalid",
        f"kubelet.service: {what} of {', '.join(unit.files)}, and systemd wants one (an empty `ExecStart=` forgets those before it)",
        subject=unit.source or unit.files[-1],
        evidence=[Evidence(path, "applied") for path in unit.files],
        fix=Fix(
            "Keep one ExecStart",
            (
                f"grep -n ExecStart {files}",
                f"${{EDITOR:-vi}} {quote(unit.source or unit.files[-1])}",
                "systemctl daemon-reload",
                _RESTART,
            ),
            "systemd-analyze verify kubelet.service",
            Safety.MANUAL,
        ),
    )


def _uses_configuration(scene: _Scene, unit: ServiceUnit) -> Iterator[Finding]:
    """The drop-in of kubeadm gives it; without it the kubelet has neither a configuration nor a cluster."""
    names = {word.partition("=")[0] for word in unit.words}
    if "--config" in names or scene.kubelet.config_path != CONFIG or not scene.kubelet.config:
        return
    drop_in = next((path for path in unit.files if path.endswith("10-kubeadm.conf")), None)
    why = f"{drop_in} does not give it" if drop_in else "the drop-in 10-kubeadm.conf of kubeadm's package is not there"
    yield scene.ends(
        "ConfigNotUsed",
        f"kubelet.service starts the kubelet without --config, although kubeadm wrote {CONFIG}: {why}",
        subject=unit.source,
        evidence=[Evidence(unit.source, " ".join(unit.words)), *(Evidence(path, "applied") for path in unit.files)],
        fix=Fix(
            "Install the package that brings the drop-in again",
            (
                "ls /usr/lib/systemd/system/kubelet.service.d /etc/systemd/system/kubelet.service.d",
                "systemctl daemon-reload",
                _RESTART,
            ),
            "systemctl cat kubelet",
            Safety.MANUAL,
        ),
    )


def _restarted(scene: _Scene, unit: ServiceUnit) -> Iterator[Finding]:
    old, new = scene.running[1:], unit.words[1:]
    if sorted(old) == sorted(new) or scene.running[0].rpartition("/")[2] != unit.words[0].rpartition("/")[2]:
        return
    gone, come = [word for word in old if word not in new], [word for word in new if word not in old]
    parts = [f"without {' '.join(come)}" if come else "", f"with {' '.join(gone)}" if gone else ""]
    yield warn(
        "NotRestarted",
        f"The kubelet (pid {scene.kubelet.pid}) runs {' and '.join(filter(None, parts))}, other than its unit says now.",
        subject="kubelet.service",
        evidence=[
            Evidence(f"/proc/{scene.kubelet.pid}/cmdline", " ".join(scene.running)),
            Evidence(unit.source, " ".join(unit.words)),
        ],
        fix=Fix(
            "Restart it with what is written now, or take the change back",
            ("systemctl daemon-reload", _RESTART),
            "ps -o args= -C kubelet",
            Safety.DISRUPTIVE,  # running pods stay
        ),
    )


# -- flags -----------------------------------------------------------------------------------------------------------


def _flags(scene: _Scene) -> Iterator[Finding]:
    version = scene.kubelet.version
    if version is None:
        return
    words = scene.next_words
    gone = list(removed.gone(removed.KUBELET, (word.partition("=")[0] for word in words), version))
    if not gone:
        return
    names = " and ".join(each.name for each in gone)
    told = "; ".join(f"gone since {'.'.join(map(str, each.since))}, {each.source}" for each in gone)
    where = _where(scene, gone[0].name)
    yield scene.ends(
        "FlagRemoved",
        f"{where} gives the kubelet {names}, which {scene.label} does not know and ends at ({told})",
        subject=where,
        evidence=[Evidence(where, " ".join(words))],
        fix=_without(where, [each.name for each in gone]),
    )


def _where(scene: _Scene, name: str) -> str:
    """The file that brings a flag into the unit's command line."""
    unit = scene.unit
    if unit is not None and unit.words:
        values = [(key, value) for key, value in unit.environment.items() if name in value]
        if values:
            known = (*unit.environment_files, *FLAG_FILES)
            by_variable = {"KUBELET_KUBEADM_ARGS": FLAG_FILES[0]}
            likely = by_variable.get(values[0][0]) or next((path for path in known if path in FLAG_FILES[1:]), "")
            return likely or unit.source
        return unit.source
    return scene.kubelet.flag_sources.get(name, "its command line")


def _without(where: str, names: list[str]) -> Fix:
    title = f"Take {' and '.join(names)} out"
    if where in FLAG_FILES:
        script = "; ".join(f's/{name}=[^ "]*//g' for name in names)
        return Fix(
            title,
            (f"sed -i {quote(script)} {quote(where)}", _RESTART),
            f"grep -n ARGS {quote(where)}; {_ACTIVE}",
            Safety.DISRUPTIVE,
        )
    if where.startswith("/"):
        return Fix(
            title, (f"${{EDITOR:-vi}} {quote(where)}", "systemctl daemon-reload", _RESTART), _ACTIVE, Safety.MANUAL
        )
    return Fix(title, ("systemctl cat kubelet", "systemctl edit --full kubelet", _RESTART), _ACTIVE, Safety.MANUAL)


# -- the configuration -----------------------------------------------------------------------------------------------


def _file(scene: _Scene, file: ConfigFile) -> Iterator[Finding]:
    evidence, path = [Evidence(file.path, file.problem)], file.path
    edit = Fix(
        f"Correct {path}",
        (f"${{EDITOR:-vi}} {quote(path)}", _RESTART),
        f"python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' {quote(path)}; {_ACTIVE}",
        Safety.MANUAL,
    )
    match file.fault:
        case "absent" if "--config" in scene.kubelet.flags or path != scene.kubelet.config_path or _names_config(scene):
            if scene.joined or scene.running:  # before that it is absent by right: kubeadm writes it
                yield scene.ends(
                    "ConfigMissing",
                    f"{path}, which the kubelet is told to read, is not there",
                    subject=path,
                    evidence=evidence,
                    fix=_make(scene, path),
                )
        case "absent":
            return
        case "unreadable":
            yield unknown(file.reason, sentence(file.problem), subject=path)
        case "syntax":
            same = frozenset({f"file:{path}"})
            yield scene.ends(
                "ConfigSyntax",
                f"The kubelet cannot read {file.problem}",
                subject=path,
                evidence=evidence,
                fix=edit,
                explains=tuple(
                    Link(
                        check_id,
                        "Unreadable",
                        "what is said of this file elsewhere is the same trouble",
                        Certainty.PROVEN,
                        same,
                    )
                    for check_id in ("dns-reply-source", "pod-resolv-conf")
                ),
            )
        case "kind":
            yield scene.ends("ConfigKind", file.problem, subject=path, evidence=evidence, fix=edit)
        case None:
            yield from _fields(scene, file, edit)


def _make(scene: _Scene, path: str) -> Fix:
    verify = f"ls -ld {quote(path)}; {_ACTIVE}"
    if path == scene.kubelet.flags.get("--config-dir"):
        return Fix(
            "Make the folder of drop-ins; it may be empty",
            (f"mkdir -p {quote(path)}", _RESTART),
            verify,
            Safety.DISRUPTIVE,
        )
    command = "kubeadm upgrade node phase kubelet-config"
    return Fix("Have kubeadm write it anew from the cluster's own", (command, _RESTART), verify, Safety.MANUAL)


def _names_config(scene: _Scene) -> bool:
    return any(word.partition("=")[0] == "--config" for word in scene.next_words)


def _fields(scene: _Scene, file: ConfigFile, edit: Fix) -> Iterator[Finding]:
    if file.wrong:
        yield scene.ends(
            "ConfigFieldInvalid",
            f"{file.path}: {'; '.join(file.wrong)}, and the kubelet does not start with it",
            subject=file.path,
            evidence=[Evidence(file.path, each) for each in file.wrong],
            fix=edit,
        )
    if file.unknown:
        told = ", ".join(name + (f" ({hint})" if hint else "") for name, hint in file.unknown)
        yield warn(
            "ConfigFieldIgnored",
            f"{file.path} has what {scene.label} does not know and passes over: {told}.",
            subject=file.path,
            evidence=[Evidence(file.path, name) for name, _ in file.unknown],
            fix=edit,
        )


# -- the resolver for pods -------------------------------------------------------------------------------------------


def _resolver(found: Kubelet, resolver: PodResolver) -> Iterator[Finding]:
    source = found.source_of("--resolv-conf", "resolvConf")
    if resolver.problem is not None:
        yield unknown(resolver.problem.reason, sentence(resolver.problem.message), subject=resolver.path)
    elif resolver.absent:
        yield fail(
            "ResolvConfMissing",
            f"{resolver.path}, which the kubelet makes the resolv.conf of pods from ({source}), is not there: it can make no pod.",
            subject=resolver.path,
            evidence=[Evidence(source, resolver.path)],
            fix=_name_resolver(found, resolver),
        )
    elif resolver.loopback:
        yield warn(
            "ResolvConfLoopback",
            f"{resolver.path} ({source}) names {' and '.join(resolver.loopback)}, which in a pod is the pod itself: CoreDNS, which takes the node's "
            "resolvers unless its Corefile names others, asks itself and ends.",
            subject=resolver.path,
            evidence=[Evidence(resolver.path, f"nameserver {each}") for each in resolver.loopback],
            fix=_name_resolver(found, resolver),
            explains=[
                Link(
                    check,
                    reason,
                    f"{resolver.path} hands {resolver.loopback[0]} to CoreDNS, whose plugin `loop` ends it",
                    Certainty.LIKELY,
                )
                for check, reason in (
                    ("dns-reply-source", "NoBackends"),
                    ("coredns", "Looping"),
                    ("coredns", "CrashLoop"),
                    ("pod-resolv-conf", "StubResolver"),
                )
            ],
        )


def _name_resolver(found: Kubelet, resolver: PodResolver) -> Fix:
    better = resolver.better
    path = found.setting_source("resolvConf")
    verify = "grep -h nameserver " + (better or resolver.path)
    if better and "--resolv-conf" not in found.flags and path.startswith("/"):
        written = "resolvConf" in found.config
        change = (
            f"sed -i {quote(f's|^resolvConf:.*|resolvConf: {better}|')} {quote(path)}"
            if written
            else f"printf '\\n%s\\n' {quote(f'resolvConf: {better}')} >> {quote(path)}"
        )
        commands = (change, _RESTART, "kubectl -n kube-system rollout restart deployment coredns")
        return Fix(f"Hand {better} to pods, the resolvers behind systemd-resolved", commands, verify, Safety.DISRUPTIVE)
    return Fix(
        "Name a resolv.conf with resolvers that pods can reach",
        (f"${{EDITOR:-vi}} {quote(path)}", _RESTART),
        verify,
        Safety.MANUAL,
    )


# -- the runtime -----------------------------------------------------------------------------------------------------


def _runtime(scene: _Scene, runtime: Runtime) -> Iterator[Finding]:
    version = scene.kubelet.version
    if version is None:
        return
    label = f"{scene.label[0].upper()}{scene.label[1:]}"
    evidence = [
        Evidence(runtime.endpoint or "the runtime", runtime.version_text),
        Evidence("kubelet --version", versions.text(version)),
    ]
    fix = Fix(
        f"Update {runtime.kind or 'the runtime'}, one node at a time",
        (
            f"{runtime.kind if runtime.kind == 'containerd' else 'crio'} --version",
            f"kubectl drain --ignore-daemonsets {'$(hostname)'}",
        ),
        "crictl version",
        Safety.MANUAL,
    )
    if runtime.api == "v1alpha2" and version >= (1, 26, 0):
        yield fail(
            "RuntimeTooOld",
            f"{label} speaks CRI v1 alone (since 1.26), and {runtime.label} serves {runtime.api}.",
            subject=runtime.label,
            evidence=evidence,
            fix=fix,
        )
    elif wanted := too_old(runtime.kind, runtime.version, version, runtime.endpoint):
        yield warn(
            "RuntimeTooOld",
            f"{label} runs with {runtime.label}, {wanted}.",
            subject=runtime.label,
            evidence=evidence,
            fix=fix,
        )
