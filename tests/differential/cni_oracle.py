"""What a running containerd makes of a CNI folder, and what we say that it makes of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from k8sdoctor import Finding, check, passed
from k8sdoctor.facts.cni import CniFolder  # noqa: TC001 -- the engine reads the annotation
from k8sdoctor.finding import Status
from k8sdoctor.host import cri
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import report_of
from tests.differential.cni_folders import CniCase, Step, cni_case
from tests.lab.containerd import DEBIAN_PLUGINS, NETWORKS, PLUGINS, Containerd
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.node import LabNode

OUTSIDE = "/etc/cni/outside"
SIGN = "sign"
"""A file that does not count. containerd logs a change of its mode and does nothing, so whatever came before has been done by then; a
rename of it makes containerd load the folder anew."""

_WORDS = {
    "NoConfig": "cni plugin not initialized",
    "ConfigInvalid": "cni plugin not initialized",
    "PluginMissing": "failed to find plugin|invalid plugin name",
    "PluginNotExecutable": "permission denied|exec format error|no such file|unexpected end of JSON|invalid character",
    "VersionUnsupported": "incompatible CNI versions|unsupported CNI|unsupported version|cannot convert|version",
    "NameInvalid": "invalid characters found in network name|missing network name|file name too long",
    "NoAddresses": "failed to find network info for sandbox|no plugin name provided|missing IP",
}
"""What containerd says at the start of a pod, for each reason that lets none start."""


@dataclass(frozen=True)
class Seen:
    """What the check said and saw, and what containerd said at the same time."""

    findings: tuple[Finding, ...]
    folder: CniFolder
    networks: tuple[str, ...]
    names: tuple[str, ...]
    load: str
    ready: bool

    @property
    def failed(self) -> set[str]:
        return {each.reason for each in self.findings if each.status is Status.FAIL}

    @property
    def words(self) -> str:
        return " ".join(each.message for each in self.findings)


class Bench:
    """One containerd, which runs on from seed to seed."""

    def __init__(self, node: LabNode) -> None:
        self.containerd = Containerd(node)
        self.folder = node.root / NETWORKS[1:]
        self.outside = node.root / OUTSIDE[1:]
        self.node = node
        self.signs = 0
        with (node.root / "etc/containerd/config.toml").open("a") as file:
            file.write('[debug]\n  level = "debug"\n')
        node.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\nkind: Config\n")
        node.shell(f"mkdir -p {OUTSIDE}")
        (self.folder / SIGN).touch()
        self.containerd.start()
        self.containerd.import_image()
        self.log = (node.root / "var/log/containerd.log").open()

    def settle(self) -> None:
        """Wait until containerd has met all that was done to the folder."""
        self.signs += 1
        (self.folder / SIGN).chmod(0o600 if self.signs % 2 else 0o644)
        seen = ""

        def met() -> bool:
            nonlocal seen
            seen += self.log.read()
            return re.search(rf'CHMOD +\\"{NETWORKS}/{SIGN}\\"', seen) is not None

        wait_for(met, "containerd's look at the folder")

    def reload(self) -> None:
        """Have containerd load the folder anew."""
        other = self.folder / f"{SIGN}2"
        (self.folder / SIGN).rename(other)
        other.rename(self.folder / SIGN)
        self.settle()

    def clear(self) -> None:
        """Take away what the seed before left; plugins are whole again."""
        for each in self.folder.iterdir():
            if each.name != SIGN:
                each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
        shutil.rmtree(self.outside)
        self.outside.mkdir()
        self.node.shell(
            f"for each in cni0; do ip link del $each 2>/dev/null || true; done; rm -rf /var/lib/cni/networks {PLUGINS}; mkdir {PLUGINS}"
            f"; ln -s {DEBIAN_PLUGINS}/* {PLUGINS}/"
        )
        self.reload()

    def do(self, case: CniCase) -> None:
        for program, fate in case.programs:
            path = self.node.root / PLUGINS[1:] / program
            path.unlink()
            if fate != "missing":
                text = {"garbage": os.urandom(4096), "script": b"#!/nowhere/sh\n"}.get(fate, b"#!/bin/sh\n")
                path.write_bytes(text)
                path.chmod(0o644 if fate == "not executable" else 0o755)
        for number, step in enumerate(case.steps):
            _act(step, self.folder / step.name, self.outside / str(number))

    def look(self) -> Seen:
        told: list[CniFolder] = []

        @check("cni-folder", title="The folder is seen", area="pod network")
        def tell(folder: CniFolder) -> Iterator[Finding]:
            told.append(folder)
            yield passed("Seen", "It was seen.")

        report = report_of(LiveHost(str(self.node.root)), "cni-config", tell)
        assert not report.broken, report.broken
        findings = next(each.findings for each in report.results if each.check == "cni-config")
        status = self.containerd.status()
        networks = [each["Config"] for each in json.loads(status["info"]["cniconfig"])["Networks"] or []]
        own = [each for each in networks if each["Name"] != "cni-loopback"]
        return Seen(
            findings=findings,
            folder=told[0],
            networks=tuple(each["Source"] for each in own),
            names=tuple(each["Name"] for each in own),
            load=status["info"]["lastCNILoadStatus"],
            ready=bool(status["conditions"]["NetworkReady"]["status"]),
        )

    def start_pod(self, name: str) -> str | None:
        """Start a pod and remove it; containerd's words where that failed."""
        try:
            self.containerd.remove_pod(self.containerd.run_pod(name).id)
        except cri.CallError as error:
            return str(error)
        return None


def _act(step: Step, path: Path, outside: Path) -> None:
    """Do one step; where what is there forbids it, nothing."""
    link = path.is_symlink()
    if path.is_dir() and not link:
        return
    if step.act in ("rename", "remove", "chmod"):
        if link and step.act == "chmod":
            return
        if os.path.lexists(path):
            _change(step, path)
    elif step.act == "move-in":
        outside.write_bytes(step.content)
        outside.rename(path)
    elif step.act == "write":
        if not link:
            path.write_bytes(step.content)
    elif not os.path.lexists(path):
        _bring(step, path, outside)


def _change(step: Step, path: Path) -> None:
    """Do something to a file that is there."""
    if step.act == "rename":
        target = path.with_name(step.content.decode())
        if not target.is_dir():
            path.rename(target)
    elif step.act == "remove":
        path.unlink()
    else:
        path.chmod(0o600)


def _bring(step: Step, path: Path, outside: Path) -> None:
    """Put something where nothing is."""
    outside.write_bytes(step.content)
    if step.act == "link-in":
        path.symlink_to(f"{OUTSIDE}/{outside.name}")
    elif step.act == "hard-link-in":
        path.hardlink_to(outside)
    elif step.act == "dangle":
        path.symlink_to("nowhere")
    elif step.act == "empty":
        path.touch()
    elif step.act == "folder":
        path.mkdir()


def difference(bench: Bench, seed: int) -> str | None:
    """Where what we say of the folder, and what containerd then does, are not the same; None where they are."""
    case = cni_case(seed)
    bench.clear()
    bench.do(case)
    bench.settle()
    before = bench.look()
    bench.reload()
    after = bench.look()
    error = bench.start_pod(f"pod-{seed}")
    wrong = [*_staleness(before, after), *_load(after), *_start(after, error)]
    if not wrong:
        return None
    shown = "\n".join(f"    {step}" for step in (*case.steps, *case.programs))
    containerd = f"{before.load} -> {after.load}, {after.names}; pod: {error}"
    return f"{'; '.join(wrong)}\n  containerd: {containerd}\n  we: {before.words} -> {after.words}\n{shown}"


def _staleness(before: Seen, after: Seen) -> Iterator[str]:
    """Whether containerd held something else than it loads when it looks again."""
    said = "StaleLoad" in before.failed or "at its next load" in before.words
    if said != (before.networks != after.networks):
        yield f"containerd held {before.names}, holds {after.names} after another look, and we said that it {'does' if said else 'does not'} change"


def _load(after: Seen) -> Iterator[str]:
    """Which networks are loaded, or which kind of error there is."""
    folder = after.folder
    names = tuple(network.name for network in folder.networks)
    if names != after.names:
        yield f"we say {names} is loaded"
    if (after.load == "OK") != bool(names):
        yield f"we say that the load is {'good' if names else 'bad'}"
    if bool(names) != after.ready:
        yield f"we say that the network is {'ready' if names else 'not ready'}"
    if folder.broken and folder.broken.error:
        kind, real = (
            error_kind(folder.broken.error.message, placed=folder.broken.error.line is not None),
            load_kind(after.load),
        )
        if kind != real or folder.broken.path not in after.load:
            yield f"we call {folder.broken.path} {kind} ({folder.broken.error.message}), and containerd {real}"


def error_kind(message: str, *, placed: bool) -> str:
    """What kind of fault we see in a file."""
    if "leads nowhere" in message or "no file" in message:
        return "unreadable"
    if placed or "nested too deep" in message:
        return "no JSON"
    return "no network"


def load_kind(status: str) -> str:
    """What kind of fault containerd tells of."""
    if "no such file" in status or "is a directory" in status or "too many levels" in status:
        return "unreadable"
    if re.search(r"invalid character|unexpected end of JSON|exceeded max depth", status):
        return "no JSON"
    return "no network"


def _start(after: Seen, error: str | None) -> Iterator[str]:
    """Whether a pod starts, and why not."""
    if (error is not None) != bool(after.failed):
        yield f"we say that a pod {'does not start' if after.failed else 'starts'}"
    elif error is not None and not any(re.search(_WORDS.get(reason, reason), error) for reason in after.failed):
        yield f"we say that no pod starts for {sorted(after.failed)}"


def differences(node: LabNode, seeds: range) -> Iterator[str | None]:
    """For each seed None where both are the same."""
    bench = Bench(node)
    with bench.log:
        for seed in seeds:
            yield difference(bench, seed)
