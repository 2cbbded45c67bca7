"""Whether pods start on a network that the runtime loads: its name, its addresses, its programs, flannel's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.checks import _cni_fixes as fixes
from k8sdoctor.checks._cni_evidence import NO_PODS, excerpt, unseen
from k8sdoctor.facts.cni import Refusal
from k8sdoctor.facts.cni_network import LONGEST_NAME, Requirement
from k8sdoctor.finding import Evidence, Finding, fail, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from k8sdoctor.facts.cni import CniExecutable, CniFile, CniFolder
    from k8sdoctor.facts.cni_network import CniNetwork
    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.flannel import SubnetFile
    from k8sdoctor.facts.runtime import Runtime
    from k8sdoctor.facts.stage import Stage


class Starting:
    """The findings about what one folder has the runtime load."""

    def __init__(self, folder: CniFolder, runtime: Runtime, stage: Stage, distribution: Distribution) -> None:
        self.folder = folder
        self.runtime = runtime
        self.stage = stage
        self.distribution = distribution

    def faults(self) -> Iterator[Finding]:
        """Each reason for which no pod starts."""
        yield from self._network()
        yield from self._programs()
        yield from self._flannel()

    def _network(self) -> Iterator[Finding]:
        for file in self.folder.loaded:
            network = file.network
            if network is None:
                continue
            if not network.name_is_valid:
                shown = f'the name "{network.name}"' if network.name else "no name"
                wanted = "letters, digits, `_`, `.` and `-`, the first one a letter or digit"
                if network.name_is_too_long:
                    shown = f"a name of {len(network.name.encode())} bytes"
                    wanted = f"{LONGEST_NAME} at most, for it becomes a part of a file's name"
                yield fail(
                    "NameInvalid",
                    f"The network of {file.path} has {shown}: it loads, but libcni starts no pod on it ({wanted}).",
                    subject=file.path,
                    evidence=[excerpt(file)],
                    fix=fixes.name_network(file),
                    explains=NO_PODS,
                )
            if self.folder.kind == "containerd" and network.gives_no_address:
                yield self._no_addresses(file, network)
            version = network.cni_version
            known = self.folder.settings.specifications
            if version and version not in known:
                yield self._version(file, f"{self.runtime.label} knows versions up to {known[-1]}")

    def _no_addresses(self, file: CniFile, network: CniNetwork) -> Finding:
        """Containerd ends a pod whose first interface has no address (`setupPodNetwork` in its sandbox_run.go)."""
        plugins = ", ".join(plugin.type for plugin in network.plugins)
        return fail(
            "NoAddresses",
            f'The network "{network.name}" of {file.path} gives pods no address: none of its plugins ({plugins}) has an "ipam" with a '
            '"type", and containerd starts no pod without one.',
            subject=file.path,
            evidence=[excerpt(file)],
            fix=fixes.give_addresses(file),
            explains=NO_PODS,
        )

    def _programs(self) -> Iterator[Finding]:
        lacking = self._loopback()
        for file in self.folder.loaded:
            refusals = [refusal for where, refusal in self.folder.refusals if where is file]
            for kind in ("missing", "not-executable", "version"):
                alike = [refusal for refusal in refusals if refusal.kind == kind]
                if lacking and lacking.kind == kind and file is self.folder.loaded[0]:
                    alike.append(lacking)
                if alike and (kind != "version" or self._known(file)):
                    yield self.program_fault(file, alike)
        hidden = [each for each in self.folder.executables.values() if each.unseen]
        if hidden and hidden[0].unseen:
            names = ", ".join(sorted(each.type for each in hidden))
            yield unseen(names, hidden[0].unseen)

    def _loopback(self) -> Refusal | None:
        """What is wrong with the plugin that containerd and cri-dockerd run for every pod, beside its network's own."""
        loopback = self.folder.executables.get("loopback")
        if not self.folder.settings.needs_loopback or loopback is None or loopback.unseen:
            return None
        if "loopback" in [refusal.requirement.type for _, refusal in self.folder.refusals]:
            return None
        requirement = Requirement("loopback", f"of {self.runtime.kind or 'the runtime'} for every pod")
        if loopback.path is None:
            return Refusal("missing", requirement, loopback)
        return Refusal("not-executable", requirement, loopback) if loopback.problem else None

    def _known(self, file: CniFile) -> bool:
        """Whether the version is one that the runtime knows: else that is the finding, and not each plugin's own."""
        version = file.network.cni_version if file.network else ""
        return not version or version in self.folder.settings.specifications

    def program_fault(self, file: CniFile, refusals: Iterable[Refusal]) -> Finding:
        """Of several refusals those of the first one's kind."""
        alike = list(refusals)
        kind = alike[0].kind
        alike = [refusal for refusal in alike if refusal.kind == kind]
        if kind == "version":
            words = "; ".join(
                f"{each.executable.path} knows {', '.join(each.executable.versions or ())}" for each in alike
            )
            return self._version(file, words)
        needed = ", ".join(f"{each.requirement.type} ({each.requirement.role})" for each in alike)
        executables = [each.executable for each in alike]
        if kind == "missing":
            return self._missing(f"{file.path} needs {needed}", executables, file)
        return self._not_executable(f"{file.path} needs {needed}", executables)

    def _missing(self, needs: str, executables: list[CniExecutable], file: CniFile) -> Finding:
        folders = " or ".join(self.folder.settings.plugin_folders)
        elsewhere = [each.elsewhere for each in executables if each.elsewhere]
        hint = f" but at {', '.join(elsewhere)}" if elsewhere else ""
        which = "is" if len(executables) == 1 else "are"
        evidence = [
            Evidence(each.type, f"not in {folders}" + (f", but at {each.elsewhere}" if each.elsewhere else ""))
            for each in executables
        ]
        return fail(
            "PluginMissing",
            f"{needs}, which {which} not in {folders}{hint}: no pod can start.",
            subject=", ".join(each.type for each in executables),
            evidence=[*evidence, excerpt(file)],
            fix=fixes.install(self.folder, self.distribution, executables),
            explains=NO_PODS,
        )

    def _not_executable(self, needs: str, executables: list[CniExecutable]) -> Finding:
        words = "; ".join(f"{each.path}: {each.problem}" for each in executables)
        return fail(
            "PluginNotExecutable",
            f"{needs}, which cannot be run ({words}): no pod can start.",
            subject=", ".join(each.path or each.type for each in executables),
            evidence=[Evidence(each.path or each.type, each.problem or "") for each in executables],
            fix=fixes.make_executable(self.folder, self.distribution, executables),
            explains=NO_PODS,
        )

    def _version(self, file: CniFile, why: str) -> Finding:
        version = (file.network.cni_version if file.network else "") or "0.1.0"
        return fail(
            "VersionUnsupported",
            f'{file.path} has cniVersion "{version}", and {why}: no pod can start.',
            subject=file.path,
            evidence=[excerpt(file)],
            fix=fixes.use_known_version(self.folder, file, version),
            explains=NO_PODS,
        )

    def _flannel(self) -> Iterator[Finding]:
        for file in self.folder.subnet_files:
            if file.unseen:
                yield unseen(file.path, file.unseen)
            elif self.stage.fresh:
                continue  # flanneld writes it once the node has joined
            elif file.text is None:
                yield self._no_subnet("SubnetFileMissing", file, "does not exist")
            elif file.problem:
                yield self._no_subnet("SubnetFileInvalid", file, f"is refused: {file.problem}")

    def _no_subnet(self, reason: str, file: SubnetFile, what: str) -> Finding:
        message = f"{file.path}, from which flannel's plugin takes this node's subnet, {what}: no pod can start."
        evidence = [Evidence(file.path, file.text if file.text is not None else "does not exist")]
        if not self.stage.joined:
            return unknown(reason, f"{message} (Whether the node has joined could not be seen: {self.stage.why}.)", subject=file.path, evidence=evidence)  # fmt: skip
        return fail(
            reason,
            message,
            subject=file.path,
            evidence=evidence,
            fix=fixes.write_subnet(file),
            explains=NO_PODS,
        )
