"""The kubelet runs the static pods that the folder is meant to hold.

## What it looks at
The folder that the kubelet really watches (`--pod-manifest-path`, or `staticPodPath` of its configuration with the drop-ins of
`--config-dir`), and every file in it as the kubelet reads it: any name that does not begin with a dot, YAML or JSON, the first document.
Of the control plane's programs the command line: flags that the version of their image no longer knows, and the files that flags
and volumes name, looked up on the host through the volumes.

## Why it matters
The API server, the controller manager, the scheduler and etcd of a kubeadm node are files in this folder. A typing error
takes one of them down with hardly a word: the kubelet logs a line and goes on without the pod, and `kubectl` has nobody left to ask. A
backup copy kept beside the original is a second manifest of the same pod, and the one that is last by name wins.

## How it is decided
Fails for what keeps a pod from running, or runs another than the one that is meant. Warns for what is passed over and for what anybody may
change. Files with other suffixes than .yaml, .yml, .json and .manifest that hold no pod warn, for nobody may have meant them to run.
Skipped where there is no kubelet and where no manifest is. Unknown for what may not be read.

## Reasons
- `Read` (pass): each file is a pod that the kubelet takes
- `NoStaticPods` (skip): there are none here, as on a worker
- `NoKubelet` (skip): no kubelet is configured here
- `ManifestSyntax` (fail): a file is no YAML or JSON; line and column are named
- `ManifestKind` (fail): a file holds something else than one v1 Pod
- `ManifestFields` (fail): the kubelet refuses the Pod; the field is named
- `StrayFile` (warn): a file that holds no pod lies in the folder, and the kubelet complains about it every 20 s
- `DocumentsIgnored` (warn): a file has several documents, and the kubelet reads the first
- `DuplicateManifest` (fail, warn when both say the same): two files are the same pod; the last by name wins
- `DuplicateProgram` (fail): two pods run the same program of the control plane on the host's network
- `NotWatched` (fail): kubeadm's folder has manifests, and the kubelet watches another or none
- `FileMissing` (fail): a flag names a file that is not there
- `FileNotMounted` (fail, warn where the file is not on the host either): a flag names a file that no volume brings into the container
- `VolumeMissing` (fail): a hostPath is not there, or is not of the type that the volume wants
- `FlagRemoved` (fail): this version of the program does not know a flag, and ends
- `FlagRequired` (fail): this version does not start without a flag
- `AdmissionPluginRemoved` (fail): this version does not know an admission plugin, and ends
- `StaticTokens` (warn): tokens stand in a file and never expire
- `WritableByAll` (warn): any user of the node may change what root runs
- `NotPermitted`, `Unreadable` (unknown): a file or the folder could not be read

## What it sends
Nothing.

## How to fix
Correct the file where it lies: the kubelet reads it anew at once. Keep copies in another folder, or with a name that begins with a dot.

## How to verify
`crictl ps` lists the container, with an age of seconds.

## References
- kubernetes pkg/kubelet/config/file.go, file_linux.go, common.go
- kubernetes pkg/volume/hostpath (the types that are tested)
- https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
- release notes of 1.19 to 1.37 (flags; each finding names its change)
"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from k8sdoctor.check import NOT_DNS, check
from k8sdoctor.checks import _removed_flags as removed
from k8sdoctor.checks import _static_pod_fixes as fixes
from k8sdoctor.checks._words import enumerated, sentence
from k8sdoctor.facts import versions
from k8sdoctor.facts.image_reference import ImageReference
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.manifest_files import ManifestFiles
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import MANIFESTS, StaticPods
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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.facts.manifest_files import MountedPath, NamedFile
    from k8sdoctor.facts.pod_manifest import Container, Manifest

# Files with these endings were put there to run.
_MEANT = (".yaml", ".yml", ".json", ".manifest")

# kube-apiserver does not start without them since 1.20 (kubernetes/kubernetes#95896).
_REQUIRED = ("--service-account-issuer", "--service-account-signing-key-file")
_REQUIRED_SINCE = (1, 20)

_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
_OWN = frozenset({"endpoint:own"})


@check(
    "static-pods",
    title="The kubelet runs the static pods that its folder is meant to hold",
    area="node configuration",
    profiles=NOT_DNS,
)
def static_pods(
    pods: StaticPods,
    files: ManifestFiles | Unobserved,
    kubelet: Kubelet | Unobserved,
    stage: Stage,
) -> Iterator[Finding]:
    """Judge the folder, then each file, then what the files lean on."""
    if pods.problem is not None:
        yield unknown(pods.problem.reason, sentence(pods.problem.message), subject=pods.folder)
        return
    found = [
        *_not_watched(pods),
        *(finding for manifest in pods.manifests for finding in _one(manifest)),
        *_duplicates(pods),
        *(finding for manifest, container in pods.containers() for finding in _flags(manifest, container)),
    ]
    if isinstance(files, ManifestFiles):
        found += [
            *(finding for named in _first_of_each(files) for finding in _named(named)),
            *(finding for mounted in files.mounted for finding in _mounted(mounted)),
            *_writable(files),
        ]
    yield from found
    if not found:
        yield _nothing_wrong(pods, kubelet, stage)


def _nothing_wrong(pods: StaticPods, kubelet: Kubelet | Unobserved, stage: Stage) -> Finding:
    if pods.manifests:
        names = enumerated([each.name for each in pods.manifests])
        evidence = [Evidence(each.path, f"{each.key}: {_images(each)}") for each in pods.manifests]
        return passed(
            "Read", f"The kubelet reads {pods.folder} and makes {names}.", subject=pods.folder, evidence=evidence
        )
    if not stage.joined and (isinstance(kubelet, Unobserved) or not (kubelet.config or kubelet.pid)):
        return skip("NoKubelet", "No kubelet is configured here yet, and no static pod is there.", subject=pods.folder)
    if pods.folder is None:
        return skip("NoStaticPods", f"{pods.source} names no folder of static pods.")
    state = "is empty" if pods.present else "is not there"
    return skip(
        "NoStaticPods", f"{pods.folder}, which the kubelet watches ({pods.source}), {state}.", subject=pods.folder
    )


def _images(manifest: Manifest) -> str:
    return ", ".join(container.image for container in manifest.containers)


# -- the folder ------------------------------------------------------------------------------------------------------


def _not_watched(pods: StaticPods) -> Iterator[Finding]:
    meant = [each for each in pods.elsewhere if each.fault is None]
    if not meant:
        return
    watched = {each.name for each in pods.manifests}
    lost = [each for each in meant if each.name not in watched]
    if not lost:  # the same pods run from the other folder
        return
    names = ", ".join(each.name for each in lost)
    what = f"watches {pods.folder}" if pods.folder else "watches no folder of static pods"
    yield fail(
        "NotWatched",
        f"The kubelet {what} ({pods.source}), so {names} of {MANIFESTS} do not run.",
        subject=MANIFESTS,
        evidence=[
            Evidence(pods.source, f"staticPodPath: {pods.folder}" if pods.folder else "no staticPodPath"),
            *(Evidence(each.path, each.key) for each in lost),
        ],
        fix=fixes.watch_kubeadms_folder(pods),
        explains=_silences({each.name for each in lost}, f"the kubelet does not read {MANIFESTS}"),
    )


def _silences(programs: set[str], why: str) -> list[Link]:
    """What follows where these programs cannot run: each is down, and without API server or etcd nobody answers."""
    links = [
        Link("control-plane", "ComponentDown", why, Certainty.LIKELY, frozenset({f"component:{each}"}))
        for each in sorted(programs & set(_PROGRAMS))
    ]
    if "etcd" in programs:
        links.append(Link("etcd", "Unreachable", why))
    if programs & {"kube-apiserver", "etcd"}:
        links.append(Link("apiserver-san", "EndpointUnreachable", why, Certainty.LIKELY, _OWN))
    return links


# -- one file --------------------------------------------------------------------------------------------------------


def _one(manifest: Manifest) -> Iterator[Finding]:
    path, evidence = manifest.path, [Evidence(manifest.path, manifest.problem)]
    program = path.rpartition("/")[2].partition(".")[0]
    match manifest.fault:
        case None:
            if manifest.documents > 1:
                yield _more_documents(manifest)
        case "unreadable" if manifest.reason == "NotFound":
            yield warn(
                "StrayFile",
                f"{path} is a link that leads nowhere, and the kubelet complains about it.",
                subject=path,
                evidence=evidence,
                fix=fixes.move_aside([path], ""),
            )
        case "unreadable":
            yield unknown(manifest.reason, sentence(manifest.problem), subject=path)
        case _ if not path.endswith(_MEANT):
            yield warn(
                "StrayFile",
                f"{path} holds no pod, and the kubelet, which reads every name, complains about it: {manifest.problem}.",
                subject=path,
                evidence=evidence,
                fix=fixes.move_aside([path], ""),
            )
        case fault:
            reason = {"syntax": "ManifestSyntax", "kind": "ManifestKind"}.get(fault, "ManifestFields")
            what = {"syntax": "reads no pod from it", "kind": "takes no pod from it"}.get(fault, "refuses the pod")
            links = _silences({program}, f"the kubelet makes no pod of {path}")
            if program == "kube-apiserver":
                links.append(
                    Link("apiserver-san", "ManifestInvalid", f"{path} was seen to hold no pod", Certainty.PROVEN)
                )
                same = frozenset({f"file:{path}"})
                links.append(
                    Link(
                        "etcd",
                        "Unreadable",
                        "what is said of this file elsewhere is the same trouble",
                        Certainty.PROVEN,
                        same,
                    )
                )
                # Which of the silent addresses is this node's own stands in the very manifest.
                unread = frozenset({"manifest:unread"})
                links.append(
                    Link("apiserver-san", "EndpointUnreachable", f"the kubelet makes no pod of {path}", when=unread)
                )
            yield fail(
                reason,
                f"{manifest.problem}; the kubelet {what}, so {program} is down or goes down.",
                subject=path,
                evidence=evidence,
                fix=fixes.edit(path, f"Correct {path}", program),
                explains=links,
            )


def _more_documents(manifest: Manifest) -> Finding:
    return warn(
        "DocumentsIgnored",
        f"{manifest.path} has {manifest.documents} YAML documents, and the kubelet reads the first alone, {manifest.key}.",
        subject=manifest.path,
        evidence=[Evidence(manifest.path, f"{manifest.documents} documents")],
        fix=fixes.edit(manifest.path, "Give each pod a file of its own", manifest.name),
    )


# -- several files ---------------------------------------------------------------------------------------------------


def _duplicates(pods: StaticPods) -> Iterator[Finding]:
    groups: dict[str, list[Manifest]] = {}
    for manifest in pods.manifests:
        if manifest.fault is None:
            groups.setdefault(manifest.key, []).append(manifest)
    for key, group in groups.items():
        if len(group) > 1:
            yield _same_pod(key, group)
    by_program: dict[str, list[Manifest]] = {}
    for group in groups.values():
        for container in group[-1].containers:
            if group[-1].host_network and container.program in _PROGRAMS and not container.init:
                by_program.setdefault(container.program, []).append(group[-1])
    for program, group in by_program.items():
        if len(group) > 1:
            yield _same_program(program, group)


def _same_pod(key: str, group: list[Manifest]) -> Finding:
    kept = fixes.original(group)
    others = [each.path for each in group if each is not kept]
    last = group[-1]
    same = all(each.pod == last.pod for each in group)
    names = " and ".join(each.path for each in group)
    effect = (
        "both say the same now"
        if same
        else f"{last.path}, the last by name, is what runs"
        + (f", and what is written to {kept.path} is undone within 20 s" if kept not in (None, last) else "")
    )
    return (warn if same else fail)(
        "DuplicateManifest",
        f"{names} are the same pod {key}, for the kubelet reads every name: {effect}.",
        subject=last.path if kept is None else others[-1],
        evidence=[Evidence(each.path, _images(each)) for each in group],
        fix=fixes.move_aside(
            others if kept else [each.path for each in group[:-1]], (kept or last).path, sure=kept is not None
        ),
    )


def _same_program(program: str, group: list[Manifest]) -> Finding:
    kept = fixes.original(group)
    others = [each.path for each in group if each is not kept]
    return fail(
        "DuplicateProgram",
        f"{' and '.join(each.path for each in group)} both run {program} on the host's network, where only one gets its port.",
        subject=others[-1],
        evidence=[Evidence(each.path, f"{each.key}: {_images(each)}") for each in group],
        fix=fixes.move_aside(others if kept else others[1:], (kept or group[0]).path, sure=kept is not None),
    )


# -- command lines ---------------------------------------------------------------------------------------------------


def _flags(manifest: Manifest, container: Container) -> Iterator[Finding]:
    program, path = container.program, manifest.path
    names = [word.partition("=")[0] for word in container.words[1:] if word.startswith("--")]
    if program == "kube-apiserver":
        yield from _tokens(manifest, container)
    version = _version(container)
    if version is None or program not in removed.COMPONENTS:
        return
    label = f"{program} {versions.text(version)}"
    seen = [Evidence(path, " ".join(container.words)), Evidence(path, f"image: {container.image}")]
    gone = list(removed.gone(removed.COMPONENTS[program], names, version))
    if gone:
        told = "; ".join(_told(each) for each in gone)
        yield fail(
            "FlagRemoved",
            f"{path} gives {program} {' and '.join(each.name for each in gone)}, which {label} does not know and ends at ({told}).",
            subject=path,
            evidence=seen,
            fix=fixes.without(path, [each.name for each in gone], container.words, program),
            explains=_silences({program}, f"{label} ends at a flag that it does not know"),
        )
    if program != "kube-apiserver":
        return
    lacking = [name for name in _REQUIRED if name not in names]
    if lacking and version[:2] >= _REQUIRED_SINCE:
        yield fail(
            "FlagRequired",
            f"{path} lacks {' and '.join(lacking)}, without which {label} does not start (kubernetes/kubernetes#95896).",
            subject=path,
            evidence=seen,
            fix=fixes.edit(
                path, f"Add {' and '.join(lacking)} to {path}, as the other control planes have it", program
            ),
            explains=_silences({program}, f"{label} does not start without {lacking[0]}"),
        )
    plugins = {
        name
        for flag in ("--enable-admission-plugins", "--disable-admission-plugins")
        for name in (container.flag(flag) or "").split(",")
    }
    for each in removed.gone(removed.ADMISSION_PLUGINS, plugins, version):
        yield fail(
            "AdmissionPluginRemoved",
            f"{path} names the admission plugin {each.name}, which {label} does not know and ends at ({_told(each)}).",
            subject=path,
            evidence=seen,
            fix=fixes.drop_plugin(path, each.name, program),
            explains=_silences({program}, f"{label} ends at an admission plugin that it does not know"),
        )


def _told(gone: removed.Removed) -> str:
    release = ".".join(map(str, gone.since))
    return f"gone since {release}, {gone.source}" + (f": {gone.instead}" if gone.instead else "")


def _tokens(manifest: Manifest, container: Container) -> Iterator[Finding]:
    file = container.flag("--token-auth-file")
    if file:
        yield warn(
            "StaticTokens",
            f"{manifest.path} has the API server accept the tokens in {file}, which never expire and count until it is restarted.",
            subject=manifest.path,
            evidence=[Evidence(manifest.path, f"--token-auth-file={file}")],
            fix=fixes.edit(
                manifest.path,
                "Give the users certificates or service accounts, then take the flag out",
                "kube-apiserver",
            ),
        )


def _version(container: Container) -> versions.Version | None:
    """The version that the image's tag tells; a tag of another kind tells none."""
    try:
        tag = ImageReference.parse(container.image).tag or ""
    except ValueError:
        return None
    return versions.parse(tag) if tag.startswith("v1.") else None


# -- what they lean on -----------------------------------------------------------------------------------------------


def _first_of_each(files: ManifestFiles) -> list[NamedFile]:
    """One for each program and missing path: flags share files."""
    return list(
        {(each.program, each.path): each for each in reversed(files.named) if each.state != "elsewhere"}.values()
    )[::-1]


def _named(named: NamedFile) -> Iterator[Finding]:
    where = named.host or named.path
    if named.state == "hidden":
        yield unknown("NotPermitted", sentence(named.why), subject=where)
        return
    evidence = [
        Evidence(named.manifest, f"{named.flag}={named.path}"),
        Evidence(where, "not there" if named.state == "absent" else "there"),
    ]
    if named.host is None:
        on_host = named.state == "there"
        yield (fail if on_host else warn)(
            "FileNotMounted",
            f"{named.flag} of {named.manifest} names {named.path}, which no volume brings into the container of {named.program}.",
            subject=named.path,
            evidence=evidence,
            fix=fixes.edit(
                named.manifest,
                f"Add a hostPath volume for {named.path}, and its volumeMount, to {named.manifest}",
                named.program,
            ),
            explains=_silences({named.program}, f"{named.program} ends without {named.path}") if on_host else (),
        )
    elif named.state == "absent":
        inside = f" ({named.path} in the container)" if named.host != named.path else ""
        yield fail(
            "FileMissing",
            f"{named.flag} of {named.manifest} names {where}{inside}, which is not there.",
            subject=where,
            evidence=evidence,
            fix=fixes.make_file(named),
            explains=_silences({named.program}, f"{named.program} ends without {where}"),
        )


# What a hostPath of a type must be (kubernetes pkg/volume/hostpath checkType); the kinds are those of `stat`.
_KINDS = {
    "Directory": ("dir",),
    "DirectoryOrCreate": ("dir", "absent"),
    "File": ("file",),
    "FileOrCreate": ("file", "absent"),
    "Socket": ("socket",),
    "CharDevice": ("device",),
    "BlockDevice": ("device",),
}


def _mounted(mounted: MountedPath) -> Iterator[Finding]:
    wanted = _KINDS.get(mounted.type, ())
    if not wanted or mounted.found == "hidden":
        return
    # A file is created, its folder is not.
    lost = mounted.type == "FileOrCreate" and mounted.found == "absent" and mounted.parent == "absent"
    if mounted.found in wanted and not lost:
        return
    state = "is not there" if mounted.found == "absent" else f"is a {mounted.found}"
    if lost:
        state = "cannot be created, for its folder is not there"
    program = mounted.manifest.rpartition("/")[2].partition(".")[0]
    yield fail(
        "VolumeMissing",
        f"{mounted.manifest} mounts {mounted.path} as {mounted.type}, which {state}: the kubelet does not start the pod.",
        subject=mounted.path,
        evidence=[
            Evidence(mounted.manifest, f"hostPath {mounted.path}, type {mounted.type}"),
            Evidence(mounted.path, mounted.found),
        ],
        fix=Fix(
            f"Bring {mounted.path} back, or correct the volume in {mounted.manifest}",
            commands=(f"ls -ld {quote(mounted.path)}", f"${{EDITOR:-vi}} {quote(mounted.manifest)}"),
            verify=f"crictl ps --name {quote(program)}",
            safety=Safety.MANUAL,
        ),
        explains=_silences({program}, f"the pod of {mounted.manifest} cannot be started"),
    )


def _writable(files: ManifestFiles) -> Iterator[Finding]:
    if files.writable:
        yield warn(
            "WritableByAll",
            f"Any user of this node may write to {', '.join(files.writable)}, and so run what they like as root.",
            subject=files.writable[0],
            evidence=[Evidence(path, "writable by others") for path in files.writable],
            fix=fixes.close(files.writable),
        )
