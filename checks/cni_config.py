"""The container runtime has a pod network to give.

## What it looks at
The folder in which this node's runtime looks for CNI configuration (`/etc/cni/net.d` unless told otherwise), every file that counts there,
the programs that the network needs, flannel's subnet file, and what the runtime says that it has loaded.

## Why it matters
Without a network the node stays NotReady ("cni plugin not initialized"). Worse, the runtime may say ready and start no pod, since it looks at
a plugin only when a pod starts, or keep an old network although the file is new.

## How it is decided
By doing what the runtime's own libcni does. containerd takes the first file in bytewise order (`max_conf_num`), and one that is invalid fails
the load. CRI-O and cri-dockerd pass over a file that is invalid or whose plugins are missing. Then every program that starting a pod would run
is looked for: plugins, their address management, what they delegate to. What containerd says that it holds is compared with the folder.
A node that has not joined a cluster needs no configuration yet.

## Reasons
- `Loaded` (pass): the runtime has loaded what the folder holds
- `NoConfig` (fail, pass or unknown): nothing is there for the runtime to load, which is right before the node joins; unknown where
  that could not be seen
- `WrongFolder` (fail): configuration lies in a folder that this runtime does not look at
- `ConfigInvalid` (fail): the file that would be loaded is refused; says where in it
- `DefaultNetworkMissing` (fail): CRI-O was told a network's name, and no file has it
- `PluginMissing` (fail): a program that the network needs is in none of the plugin folders
- `PluginNotExecutable` (fail): a program is there and cannot be run
- `VersionUnsupported` (fail): the file's `cniVersion` is unknown to the runtime or to a plugin
- `NameInvalid` (fail): the network's name is one on which libcni starts no pod
- `NoAddresses` (fail): no plugin of the network gives pods an address, so containerd starts none
- `SubnetFileMissing`, `SubnetFileInvalid` (fail or unknown): flannel has not told this node's subnet, so its plugin starts no pod
- `StaleLoad` (fail): the folder is good, and the runtime holds something else, or nothing
- `NotInitialized` (fail): the runtime says that its network is not ready, and the folder does not explain it
- `ConfigShadowed` (warn): a file is never read, since another one comes first
- `ConfigSkipped` (warn): a file is passed over as unusable, and another one is used
- `BridgeLeftover` (warn): the bridge has no hardware address, since the first pod on it failed; plugins 1.1 cannot use such a one
- `SubnetDiffers` (fail or warn): cluster, CNI configuration and node disagree about the pods' addresses; a failure where the pods' bridge has another address, for
  the plugin then starts no pod
- `RuntimeUnreachable` (unknown): the folder is good, and the runtime did not say whether it has loaded it
- `NotCni` (skip): the runtime was told to use no CNI
- `NoRuntime` (skip): no container runtime is installed

## What it sends
Nothing to the network. It asks the runtime over its socket, and the plugins which versions they know (`CNI_COMMAND=VERSION`).

## How to fix
It depends on the fault. A file that is written anew inside the folder is seen by containerd; one that is moved or linked into it is not, and a folder that
was removed and made again is not watched any more: then the runtime must be restarted, which leaves running pods alone.

## How to verify
`crictl info` says `NetworkReady: true` and `lastCNILoadStatus: OK`, and a new pod gets an address.

## References
- containernetworking/cni `libcni/conf.go`, containerd/go-cni `opts.go`, cri-o/ocicni `pkg/ocicni/ocicni.go`
- containerd issue 11715: a file that is moved into the folder is not loaded
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks import _cni_fixes as fixes
from k8sdoctor.checks._cni_evidence import NO_PODS, cut_off, excerpt, told, unseen
from k8sdoctor.checks._cni_starting import Starting
from k8sdoctor.checks._runtime_fixes import see_why_silent
from k8sdoctor.facts.cni import DEFAULT, CniFile, CniFolder
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.pod_subnets import CONTROLLER_MANAGER, PodSubnets
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import (
    Evidence,
    Finding,
    Status,
    Unobserved,
    fail,
    passed,
    skip,
    unknown,
    warn,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


# Plugins that read other files of the folder and pass pods on to them.
_READ_OTHERS = frozenset({"multus", "multus-shim", "genie", "danm"})

# Files that packages drop for a machine without Kubernetes: CRI-O, Podman, nerdctl, containerd's own install script. They are meant to
# give way.
_PACKAGED = frozenset(
    {
        "10-containerd-net.conflist",
        "10-crio-bridge.conf",
        "10-crio-bridge.conflist",
        "100-crio-bridge.conf",
        "100-crio-bridge.conflist",
        "11-crio-ipv4-bridge.conf",
        "11-crio-ipv4-bridge.conflist",
        "87-podman-bridge.conflist",
        "87-podman.conflist",
        "nerdctl-bridge.conflist",
    }
)


@check("cni-config", title="The container runtime has a pod network to give", area="pod network")
def cni_config(
    folder: CniFolder, runtime: Runtime, stage: Stage, distribution: Distribution | Unobserved, subnets: PodSubnets
) -> Iterator[Finding]:
    """Judge the folder, and each folder that a runtime handler has for itself."""
    if isinstance(distribution, Unobserved):  # which decides about fixes alone
        yield unknown(distribution.reason, f"Which distribution this is could not be told: {distribution.message}.")
        distribution = Distribution("", (), "an unknown Linux", "other")
    if subnets.problem:
        message = f"Whether the pods' subnet fits the cluster's could not be told: {subnets.problem.message}."
        yield unknown(subnets.problem.reason, message, subject=CONTROLLER_MANAGER)
    if not folder.settings.enabled:
        yield skip("NotCni", f"{runtime.label} was told to use no CNI (--network-plugin).")
        return
    if runtime.kind is None and not stage.joined:
        yield skip("NoRuntime", "No container runtime is installed here, so nobody reads CNI configuration yet.")
        return
    for each in (folder, *folder.handlers):
        findings = list(_Judge(each, runtime, stage, distribution, subnets).findings())
        if not any(finding.status in (Status.FAIL, Status.UNKNOWN) for finding in findings) and not any(
            finding.status is Status.PASS for finding in findings
        ):
            findings.append(_loaded(each, runtime))
        # Pods of other handlers start all the same.
        yield from findings if each is folder else (replace(finding, explains=()) for finding in findings)


def _loaded(folder: CniFolder, runtime: Runtime) -> Finding:
    network = folder.chosen
    path = folder.loaded[0].path if folder.loaded else folder.settings.folder
    name = f'the network "{network.name}" of {path}' if network else path
    if not runtime.reachable:
        why = runtime.problem.message if runtime.problem else "it was not asked"
        reason = runtime.problem.reason if runtime.problem else "RuntimeUnreachable"
        if reason not in ("NotPermitted", "NotRecorded", "DeadlineExceeded"):
            reason = "RuntimeUnreachable"
        return unknown(
            reason,
            f"{_start(name)} is good, but whether {runtime.label} has loaded it is not known: {why}.",
            subject=path,
            fix=see_why_silent(runtime) if reason == "RuntimeUnreachable" else None,
        )
    if folder.held is not None and folder.handler == DEFAULT:
        return passed("Loaded", f"{runtime.label} has loaded {name}.", subject=path, evidence=told(folder, runtime))
    return passed("Loaded", f"{runtime.label} can use {name}.", subject=path, evidence=told(folder, runtime))


class _Judge:
    """The findings about one folder."""

    def __init__(
        self, folder: CniFolder, runtime: Runtime, stage: Stage, distribution: Distribution, subnets: PodSubnets
    ) -> None:
        self.folder = folder
        self.runtime = runtime
        self.stage = stage
        self.subnets = subnets
        self.starting = Starting(folder, runtime, stage, distribution)
        self.path = folder.settings.folder

    def findings(self) -> Iterator[Finding]:
        """Everything but what is good."""
        if not self.folder.files:
            yield self._empty()
            return
        if self.folder.broken:
            yield self._refused(self.folder.broken)
            return
        if not self.folder.loaded:
            yield self._all_skipped()
            return
        faults = [*self.starting.faults()]
        if faults and self.stage.fresh and _is_packaged(self.folder.loaded[0].path):
            yield self._only_packaged(faults)
            return
        yield from faults
        if not any(fault.status is Status.FAIL for fault in faults):
            yield from self._running()
        elif self.folder.is_stale and self.runtime.reachable:
            yield self._stale()
        yield from self._shadowed(starts_none=any(fault.status is Status.FAIL for fault in faults))
        yield from self._skipped()
        yield from self._subnets()
        yield from self._leftovers()

    # -- nothing to load ---------------------------------------------------------------------------------------------

    def _empty(self) -> Finding:
        who, where = self.runtime.label, self.path
        seen = "does not exist" if not self.folder.exists else "holds no .conf, .conflist or .json file"
        if self.folder.handler != DEFAULT:
            where += f", the folder of the runtime handler {self.folder.handler},"
        only = self._others()
        evidence = [Evidence(self.path, f"{seen}{only}"), *told(self.folder, self.runtime)]
        if self.stage.fresh:
            return passed(
                "NoConfig",
                f"{where} {seen}, as it should be before the node joins a cluster.",
                subject=self.path,
                evidence=evidence,
            )
        if not self.stage.joined:
            return unknown(
                "NoConfig",
                f"{where} {seen}; whether that is wrong depends on whether the node has joined a cluster, and "
                f"that could not be seen: {self.stage.why}.",
                subject=self.path,
                evidence=evidence,
            )
        elsewhere = [path for path in self.folder.elsewhere if not _is_packaged(path)]
        if elsewhere:
            source = elsewhere[0]
            evidence.append(Evidence("found elsewhere", "\n".join(elsewhere)))
            return fail(
                "WrongFolder",
                f"{who} looks for CNI configuration in {self.path} (set by {self.folder.settings.source}), which {seen}; "
                f"it lies in {source.rpartition('/')[0]}.",
                subject=self.path,
                evidence=evidence,
                fix=fixes.copy_in(self.folder, self.runtime, source),
                explains=NO_PODS,
            )
        return fail(
            "NoConfig",
            f"{where} {seen}{only}, so {who} has no network for pods and the node is not ready.",
            subject=self.path,
            evidence=evidence,
            fix=fixes.install_network(self.path),
            explains=NO_PODS,
        )

    # -- files that are refused --------------------------------------------------------------------------------------

    def _refused(self, file: CniFile) -> Finding:
        if file.unseen:
            return unseen(file.path, file.unseen)
        assert file.error is not None  # noqa: S101 -- a file that is not loaded was refused
        where = file.path
        if file.error.line:
            where = f"{file.path}, line {file.error.line}, column {file.error.column}"
        after = ", and it reads no other file" if self.folder.unread else ""
        refuses = "will refuse, at its next load," if self._still_works else "refuses"
        return fail(
            "ConfigInvalid",
            f"{self.runtime.label} {refuses} {where}: {file.error.message}{after}.",
            subject=file.path,
            evidence=[excerpt(file), *told(self.folder, self.runtime)],
            fix=fixes.correct(file),
            explains=() if self._still_works else NO_PODS,
        )

    @property
    def _still_works(self) -> bool:
        """Whether the runtime has not met this file yet, and still starts pods on what it loaded before."""
        return bool(self.folder.held) and self.folder.load_status in (None, "OK")

    def _all_skipped(self) -> Finding:
        if not self.folder.skipped:
            wanted = self.folder.settings.default_network
            return fail(
                "DefaultNetworkMissing",
                f'{self.runtime.label} was told to use the network "{wanted}", and no file in {self.path} has that name.',
                subject=self.path,
                evidence=[Evidence(self.path, _names(self.folder.files))],
                fix=fixes.use_first_network(self.path),
                explains=NO_PODS,
            )
        file, refusals = self.folder.skipped[0]
        if not refusals:
            return self._refused(file)
        return self.starting.program_fault(file, refusals)

    def _skipped(self) -> Iterator[Finding]:
        used = self.folder.loaded[0].path
        for file, refusals in self.folder.skipped:
            if file.unseen:
                yield unseen(file.path, file.unseen)
                continue
            if refusals:
                first = refusals[0]
                why = f"the program {first.requirement.type} is {_FAULT[first.kind]}"
            else:
                why = file.error.message if file.error else "it is unusable"
            yield warn(
                "ConfigSkipped",
                f"{self.runtime.label} passes over {file.path} ({why}) and uses {used}.",
                subject=file.path,
                evidence=[excerpt(file)],
                fix=fixes.put_aside(file.path, "Put the unusable file aside, if the other one is right"),
            )

    def _shadowed(self, *, starts_none: bool) -> Iterator[Finding]:
        used = self.folder.loaded[-1]
        meta = any(plugin.type in _READ_OTHERS for network in self.folder.networks for plugin in network.plugins)
        for file in self.folder.unread:
            if meta or _is_packaged(file.path) or (file.network and file.network.is_loopback):
                continue  # such a plugin reads the others itself, and a package's file is meant to give way
            packaged = _is_packaged(used.path)
            # What starts no pod is hardly the network that is meant.
            loser, winner = (used, file) if packaged or (starts_none and file.network) else (file, used)
            yield warn(
                "ConfigShadowed",
                f"{self.runtime.label} never uses {file.path}, since {used.path} comes first"
                + (", a file that a package put there." if packaged else "."),
                subject=file.path,
                evidence=[Evidence(self.path, _names(self.folder.files))],
                fix=fixes.put_aside(
                    loser.path, f"Put {_name(loser)} aside, if {_name(winner)} is the one that is meant"
                ),
            )

    def _only_packaged(self, faults: list[Finding]) -> Finding:
        path = self.folder.loaded[0].path
        return passed(
            "NoConfig",
            f"{path}, which a package put there, could start no pod ({faults[0].reason}); the cluster's own network is to come.",
            subject=path,
            evidence=[each for fault in faults for each in fault.evidence],
        )

    def _others(self) -> str:
        """The files that do not count, such as a copy that somebody kept."""
        names = [name for name in self.folder.others if not name.startswith(".")]  # a package's .kubernetes-cni-keep
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004 -- the first few tell
        return f" (only {shown})" if shown else ""

    # -- the runtime -------------------------------------------------------------------------------------------------

    def _running(self) -> Iterator[Finding]:
        if not self.runtime.reachable:
            return
        ready = self.runtime.condition("NetworkReady")
        not_ready = ready is not None and not ready.status and self.folder.handler == DEFAULT
        refused = self.folder.load_status not in (None, "OK")
        if self.folder.is_stale or refused or (not_ready and self.runtime.kind == "cri-o"):
            yield self._stale()
        elif not_ready and ready:
            yield fail(
                "NotInitialized",
                f"{self.runtime.label} says that its network is not ready ({ready.message or ready.reason}), although "
                f"{self.folder.loaded[0].path} is good.",
                subject=self.folder.loaded[0].path,
                evidence=told(self.folder, self.runtime),
                fix=fixes.restart(self.runtime, "Have the runtime start over"),
                explains=NO_PODS,
            )

    def _stale(self) -> Finding:
        path = self.folder.loaded[0].path
        names = [str(each.get("name")) for each in self.folder.held or () if isinstance(each, dict)]
        if self.folder.load_status not in (None, "OK"):
            holds = f"still says: {self.folder.load_status}"
        elif self.folder.held is None:
            ready = self.runtime.condition("NetworkReady")
            holds = f"still says: {ready.message or ready.reason}" if ready else "does not use it"
        elif not self.folder.held:
            holds = "holds no network"
        elif self.folder.chosen and names == [self.folder.chosen.name]:
            holds = f'still holds an older content of the network "{names[0]}"'
        else:
            holds = f'still holds the network "{", ".join(names)}"'
        gone = self.folder.watched is False
        why = "; it no longer watches this folder, which was removed and made again" if gone else ""
        return fail(
            "StaleLoad",
            f"{path} is good, but {self.runtime.label} {holds}{why}.",
            subject=path,
            evidence=told(self.folder, self.runtime),
            fix=fixes.reload(path)
            if self.folder.watched
            else fixes.restart(self.runtime, "Have the runtime read the folder anew"),
            explains=NO_PODS if not names else (),
        )

    # -- addresses ---------------------------------------------------------------------------------------------------

    def _subnets(self) -> Iterator[Finding]:
        wanted = self.subnets.subnets
        wholes = [(file.path, network) for file in self.folder.subnet_files for network in file.networks]
        parts = [(self.folder.loaded[0].path, subnet) for network in self.folder.networks for subnet in network.subnets]
        for path, subnet in (*wholes, *parts):
            alike = [(each, source) for each, source in wanted if each.version == subnet.version]
            if alike and not any(_within(subnet, each) for each, _ in alike):
                other, source = alike[0]
                yield warn(
                    "SubnetDiffers",
                    f"{path} gives pods addresses of {subnet}, which is not within {other} ({source}).",
                    subject=str(subnet),
                    evidence=[Evidence(path, str(subnet)), Evidence(source, str(other))],
                    fix=fixes.agree_on_subnet(path),
                )
                return
        yield from self._bridge_differs()

    def _bridge_differs(self) -> Iterator[Finding]:
        """A bridge keeps the address of the network that made it, and the plugin then refuses to start pods."""
        subnets = self.folder.subnets
        gateways = {bridge for network in self.folder.networks for bridge in network.gateway_bridges}
        for bridge, addresses in self.folder.bridge_addresses.items():
            # It may have several IPv6 addresses; of IPv4 the plugin takes the first for its own (plugins `main/bridge/bridge.go`, ensureAddr).
            for address in [each for each in addresses if ":" not in each][:1]:
                if bridge not in gateways:
                    continue
                alike = [subnet for subnet in subnets if subnet.version == 4]  # noqa: PLR2004 -- IPv4
                if alike and not any(_holds(subnet, address) for subnet in alike):
                    yield fail(
                        "SubnetDiffers",
                        f"The bridge {bridge} has the address {address}, and pods are to get theirs from "
                        f"{', '.join(map(str, alike))}; the plugin refuses such a bridge.",
                        subject=bridge,
                        evidence=[Evidence(f"addresses of {bridge}", ", ".join(addresses))],
                        fix=fixes.remove_bridge(bridge),
                        explains=cut_off(bridge),
                    )

    def _leftovers(self) -> Iterator[Finding]:
        for bridge in self.folder.leftover_bridges:
            yield warn(
                "BridgeLeftover",
                f"The bridge {bridge} has the hardware address 00:00:00:00:00:00, left by a pod that could not start; the bridge plugin "
                'of 1.1 then fails with "could not set bridge\'s mac".',
                subject=bridge,
                evidence=[Evidence(f"link {bridge}", "address 00:00:00:00:00:00")],
                fix=fixes.remove_dead_bridge(bridge),
            )


_FAULT = {"missing": "missing", "not-executable": "not executable", "version": "of another CNI version"}


def _is_packaged(path: str) -> bool:
    return path.rpartition("/")[2] in _PACKAGED


def _name(file: CniFile) -> str:
    return file.path.rpartition("/")[2]


def _names(files: Iterable[CniFile]) -> str:
    return "\n".join(_name(file) for file in files)


def _within(subnet: object, whole: object) -> bool:
    return ipaddress.ip_network(str(subnet)).subnet_of(ipaddress.ip_network(str(whole)))  # type: ignore[arg-type]


def _holds(subnet: object, address: str) -> bool:
    return ipaddress.ip_interface(address).ip in ipaddress.ip_network(str(subnet))


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]
