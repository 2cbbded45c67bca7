"""What is said of a CNI folder: facts in, findings out. The lab's tests of the same name hold this against a real containerd."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.cni_config import cni_config
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.distribution import Distribution, Family
from k8sdoctor.facts.pod_subnets import PodSubnets
from k8sdoctor.facts.runtime import Condition, Kind, Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Safety, Status, Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

D = "/etc/cni/net.d"
BRIDGE = json.dumps(
    {
        "cniVersion": "0.4.0",
        "name": "cbr0",
        "plugins": [
            {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": "10.244.0.0/24"}},
            {"type": "portmap"},
        ],
    }
)
FLANNEL = json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}, {"type": "portmap"}]})
CALICO = json.dumps({"name": "k8s", "plugins": [{"type": "calico", "ipam": {"type": "calico-ipam"}}]})
SUBNET = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
PLUGINS = {f"/opt/cni/bin/{name}": "" for name in ("bridge", "host-local", "portmap", "loopback", "flannel")}

WORKER = Stage("worker", "/etc/kubernetes/kubelet.conf is there")
PREPARED = Stage("prepared", "no /etc/kubernetes/kubelet.conf")
UNSEEN = Stage("unknown", "Permission denied: /etc/kubernetes/kubelet.conf")


def held(*networks: str) -> dict[str, Any]:
    """What a containerd says that has loaded these."""
    loopback = {"Config": {"Name": "cni-loopback", "Source": "{}"}}
    return {"Networks": [loopback, *({"Config": {"Source": network}} for network in networks)]}


def containerd(
    *,
    ready: bool = True,
    message: str = "Network plugin returns error: cni plugin not initialized",
    version: tuple[int, int, int] = (1, 6, 20),
    **info: Any,
) -> Runtime:
    condition = Condition("NetworkReady", ready, "" if ready else "NetworkPluginNotReady", "" if ready else message)
    return Runtime(
        "containerd", "unix:///s", version=version, pid=7, reachable=True, conditions=(condition,), info=info
    )


def other(kind: Kind, *, ready: bool = True, message: str = "") -> Runtime:
    condition = Condition("NetworkReady", ready, "" if ready else "NetworkPluginNotReady", message)
    return Runtime(kind, "unix:///s", version=(1, 33, 0), reachable=True, conditions=(condition,))


SILENT = Runtime(
    "containerd", "unix:///s", version=(1, 6, 20), problem=Unobserved("RuntimeUnreachable", "nobody listens")
)
NOT_ROOT = Runtime("containerd", "unix:///s", version=(1, 6, 20), problem=Unobserved("NotPermitted", "run as root"))


def judge(  # the facts of one node
    files: Mapping[str, str | HostError],
    runtime: Runtime | None = None,
    *,
    stage: Stage = WORKER,
    settings: CniSettings | None = None,
    family: Family | Unobserved = "debian",
    subnets: PodSubnets | None = None,
    modes: Mapping[str, int] | None = None,
    plugins: Mapping[str, str] = PLUGINS,
    **verbs: Any,
) -> list[Finding]:
    runtime = runtime or containerd()
    settings = settings or CniSettings(needs_loopback=runtime.kind != "cri-o")
    folder = CniFolder.observe(FakeHost({**plugins, **files}, modes=modes, **verbs), runtime, settings)
    distribution = Distribution(family, (), family, family) if isinstance(family, str) else family
    return list(cni_config(folder, runtime, stage, distribution, subnets or PodSubnets()))


def one(findings: list[Finding], reason: str, status: Status = Status.FAIL) -> Finding:
    assert [(finding.status, finding.reason) for finding in findings] == [(status, reason)]
    return findings[0]


def commands(finding: Finding) -> tuple[str, ...]:
    assert finding.fix is not None
    return finding.fix.commands


# -- good ----------------------------------------------------------------------------------------------------------------


def test_what_the_runtime_has_loaded_passes() -> None:
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, containerd(cniconfig=held(BRIDGE))), "Loaded", Status.PASS)

    assert "containerd 1.6.20 has loaded" in finding.message
    assert finding.subject == f"{D}/10-x.conflist"


@pytest.mark.parametrize("kind", ["cri-o", "cri-dockerd"])
def test_a_runtime_that_does_not_tell_what_it_holds_can_use_the_folder(kind: Kind) -> None:
    one(judge({f"{D}/10-x.conflist": BRIDGE}, other(kind)), "Loaded", Status.PASS)


def test_a_loopback_file_and_a_packages_own_are_no_competition() -> None:
    loopback = json.dumps({"name": "lo", "type": "loopback"})
    files = {f"{D}/10-x.conflist": BRIDGE, f"{D}/87-podman-bridge.conflist": BRIDGE, f"{D}/99-loopback.conf": loopback}

    one(judge(files), "Loaded", Status.PASS)


def test_multus_reads_the_other_files_itself() -> None:
    multus = json.dumps({"cniVersion": "0.3.1", "name": "multus", "type": "multus"})
    files = {f"{D}/00-multus.conf": multus, f"{D}/10-x.conflist": BRIDGE, "/opt/cni/bin/multus": ""}

    one(judge(files), "Loaded", Status.PASS)


# -- nothing there -------------------------------------------------------------------------------------------------------


def test_a_copy_that_does_not_count_is_named() -> None:
    files = {f"{D}/10-x.conflist.bak": BRIDGE, f"{D}/.kubernetes-cni-keep": ""}

    finding = one(judge(files), "NoConfig")

    assert "holds no .conf, .conflist or .json file (only 10-x.conflist.bak), so" in finding.message


def test_no_configuration_is_right_before_joining_and_wrong_after() -> None:
    assert "before the node joins" in one(judge({}, stage=PREPARED), "NoConfig", Status.PASS).message

    finding = one(judge({f"{D}/": ""}), "NoConfig")
    assert "holds no .conf" in finding.message
    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL
    assert {(link.check, link.reason) for link in finding.explains} == {
        ("dns-reply-source", "NoPodNamespace"),
        ("node-ready", "NetworkNotReady"),
        ("coredns", "NotScheduled"),
        ("coredns", "NotReady"),
    }


def test_no_configuration_on_a_node_that_may_have_joined_is_unknown() -> None:
    assert "Permission denied" in one(judge({}, stage=UNSEEN), "NoConfig", Status.UNKNOWN).message


def test_a_bare_machine_is_not_judged() -> None:
    one(
        judge({f"{D}/87-podman.conflist": BRIDGE}, Runtime(), stage=Stage("bare", ""), plugins={}),
        "NoRuntime",
        Status.SKIP,
    )


def test_a_packages_own_file_need_not_work_before_joining() -> None:
    files = {f"{D}/87-podman-bridge.conflist": BRIDGE}

    assert "PluginMissing" in one(judge(files, stage=PREPARED, plugins={}), "NoConfig", Status.PASS).message
    assert "PluginMissing" in {finding.reason for finding in judge(files, plugins={})}


def test_configuration_in_a_folder_that_nobody_reads_is_found() -> None:
    settings = CniSettings(folder="/etc/cni/other", source="/etc/containerd/config.toml")

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, settings=settings), "WrongFolder")

    assert "/etc/containerd/config.toml" in finding.message
    assert commands(finding) == (
        "mkdir -p /etc/cni/other",
        f"cp -n {D}/10-x.conflist /etc/cni/other/",
        "systemctl restart containerd",
    )
    one(judge({f"{D}/10-x.conflist": BRIDGE}, settings=settings, stage=PREPARED), "NoConfig", Status.PASS)


def test_a_packages_file_elsewhere_is_not_taken_for_the_clusters() -> None:
    settings = CniSettings(folder="/etc/cni/other")

    one(judge({f"{D}/87-podman-bridge.conflist": BRIDGE}, settings=settings), "NoConfig")


def test_a_runtime_that_was_told_to_use_no_cni_is_not_judged() -> None:
    one(judge({}, other("cri-dockerd"), settings=CniSettings(enabled=False)), "NotCni", Status.SKIP)


# -- refused -------------------------------------------------------------------------------------------------------------


def test_a_trailing_comma_is_named_by_file_line_and_column() -> None:
    text = '{\n  "name": "n",\n  "plugins": [{"type": "bridge"},]\n}\n'

    finding = one(judge({f"{D}/10-x.conflist": text}), "ConfigInvalid")

    assert f"{D}/10-x.conflist, line 3, column 34" in finding.message
    assert commands(finding) == (f"${{EDITOR:-vi}} +3 {D}/10-x.conflist",)
    assert finding.evidence[0].content.startswith('2:   "name"')


def test_an_invalid_file_that_was_moved_in_is_told_before_the_runtime_meets_it() -> None:
    finding = one(
        judge({f"{D}/10-x.conflist": "{"}, containerd(cniconfig=held(BRIDGE), lastCNILoadStatus="OK")), "ConfigInvalid"
    )

    assert "will refuse, at its next load," in finding.message
    assert finding.explains == ()  # pods start until then


def test_an_invalid_first_file_fails_containerd_and_is_passed_over_by_crio() -> None:
    files = {f"{D}/10-a.conflist": "{", f"{D}/20-b.conflist": BRIDGE}

    assert "reads no other file" in one(judge(files), "ConfigInvalid").message
    findings = judge(files, other("cri-o"))
    assert [finding.reason for finding in findings] == ["ConfigSkipped", "Loaded"]
    assert commands(findings[0]) == (f"mv -n {D}/10-a.conflist {D}/10-a.conflist.disabled",)


def test_crio_with_only_an_invalid_file_has_none() -> None:
    one(judge({f"{D}/10-a.conflist": "{"}, other("cri-o", ready=False)), "ConfigInvalid")


def test_a_list_named_conf_is_renamed() -> None:
    finding = one(judge({f"{D}/10-x.conf": BRIDGE}), "ConfigInvalid")

    assert commands(finding) == (f"mv -n {D}/10-x.conf {D}/10-x.conflist",)


def test_a_byte_order_mark_is_removed() -> None:
    finding = one(judge({f"{D}/10-x.conflist": "\ufeff" + BRIDGE}), "ConfigInvalid")

    assert commands(finding)[0].startswith("sed -i '1s/^")


def test_a_file_that_we_may_not_read_is_unknown_and_never_a_failure() -> None:
    denied = HostError("NotPermitted", "Permission denied; run as root")

    one(judge({f"{D}/10-x.conflist": denied}), "NotPermitted", Status.UNKNOWN)
    findings = judge({f"{D}/10-x.conflist": denied, f"{D}/20-b.conflist": BRIDGE}, other("cri-o"))
    assert Status.UNKNOWN in {finding.status for finding in findings}


def test_a_network_that_crio_was_told_and_that_no_file_has_is_named() -> None:
    settings = CniSettings(default_network="wanted", needs_loopback=False)

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, other("cri-o"), settings=settings), "DefaultNetworkMissing")

    assert '"wanted"' in finding.message
    named = {f"{D}/20-y.conflist": BRIDGE.replace("cbr0", "wanted")}
    assert "Loaded" in {finding.reason for finding in judge(named, other("cri-o"), settings=settings)}


# -- loads, and starts no pod --------------------------------------------------------------------------------------------


def test_missing_programs_are_one_finding_whatever_their_role() -> None:
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, plugins={}), "PluginMissing")

    assert finding.subject == "bridge, host-local, portmap, loopback"
    assert "address management of bridge" in finding.message


@pytest.mark.parametrize(
    ("family", "install"),
    [
        ("debian", ["apt-get install -y containernetworking-plugins", "ln -s /usr/lib/cni/portmap /opt/cni/bin/"]),
        ("rhel", ["dnf install -y containernetworking-plugins", "ln -s /usr/libexec/cni/portmap /opt/cni/bin/"]),
        ("suse", ["zypper --non-interactive install cni-plugins", "ln -s /usr/lib/cni/portmap /opt/cni/bin/"]),
        ("flatcar", ["tar -C /opt/cni/bin -xzf cni-plugins-linux-*.tgz ./portmap"]),
    ],
)
def test_a_missing_program_is_installed_as_the_distribution_does(family: Family, install: list[str]) -> None:
    plugins = {path: "" for path in PLUGINS if "portmap" not in path}

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, plugins=plugins, family=family), "PluginMissing")

    assert list(commands(finding)) == ["mkdir -p /opt/cni/bin", *install]


def test_a_program_that_lies_elsewhere_is_linked() -> None:
    plugins = {path: "" for path in PLUGINS if "portmap" not in path} | {"/usr/lib/cni/portmap": ""}

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, plugins=plugins), "PluginMissing")

    assert "but at /usr/lib/cni/portmap" in finding.message
    assert commands(finding) == ("mkdir -p /opt/cni/bin", "ln -s /usr/lib/cni/portmap /opt/cni/bin/")


def test_calicos_program_is_brought_by_its_daemon_set() -> None:
    finding = one(judge({f"{D}/10-calico.conflist": CALICO}), "PluginMissing")

    assert "kubectl -n kube-system rollout restart daemonset/calico-node" in commands(finding)
    assert finding.subject == "calico, calico-ipam"


def test_flannels_delegate_is_needed_too() -> None:
    plugins = {path: "" for path in PLUGINS if not path.endswith("/bridge")}

    finding = one(
        judge({f"{D}/10-flannel.conflist": FLANNEL, "/run/flannel/subnet.env": SUBNET}, plugins=plugins),
        "PluginMissing",
    )

    assert "bridge (delegate of flannel)" in finding.message


def test_crio_needs_no_loopback_and_containerd_does() -> None:
    plugins = {path: "" for path in PLUGINS if "loopback" not in path}

    one(judge({f"{D}/10-x.conflist": BRIDGE}, other("cri-o"), plugins=plugins), "Loaded", Status.PASS)
    assert one(judge({f"{D}/10-x.conflist": BRIDGE}, plugins=plugins), "PluginMissing").subject == "loopback"
    internal = CniSettings(needs_loopback=False)  # use_internal_loopback of containerd 2
    one(judge({f"{D}/10-x.conflist": BRIDGE}, settings=internal, plugins=plugins), "Loaded", Status.PASS)


def test_a_program_without_the_executable_bit_is_made_executable() -> None:
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, modes={"/opt/cni/bin/bridge": 0o644}), "PluginNotExecutable")

    assert "its mode is 0644" in finding.message
    assert commands(finding) == ("chmod 755 /opt/cni/bin/bridge",)


def test_a_program_of_another_architecture_is_put_aside_and_installed_anew() -> None:
    def run(argv: list[str]) -> Any:
        arm = "\x7fELF\x02\x01\x01" + "\0" * 9 + "\x02\0\ufffd\0"
        return {"code": 2, "out": "", "err": ""} if argv[0] == "env" else {"code": 0, "out": arm, "err": ""}

    plugins = dict.fromkeys(PLUGINS, "")
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, plugins=plugins, run=run), "PluginNotExecutable")

    assert "built for another machine than x86_64" in finding.message
    assert commands(finding)[0] == "mv /opt/cni/bin/bridge /opt/cni/bin/bridge.disabled"


def known(*versions: str) -> Any:
    return {"code": 0, "out": json.dumps({"cniVersion": versions[-1], "supportedVersions": versions}), "err": ""}


def test_a_version_that_the_plugins_do_not_know_is_lowered_to_one_that_all_do() -> None:
    new = BRIDGE.replace("0.4.0", "1.0.0")

    finding = one(judge({f"{D}/10-x.conflist": new}, run=known("0.3.1", "0.4.0")), "VersionUnsupported")

    assert "/opt/cni/bin/bridge knows 0.3.1, 0.4.0" in finding.message
    assert commands(finding) == (f"""sed -i 's/"cniVersion": *"1\\.0\\.0"/"cniVersion": "0.4.0"/' {D}/10-x.conflist""",)
    one(judge({f"{D}/10-x.conflist": new}, run=known("0.4.0", "1.0.0")), "Loaded", Status.PASS)


@pytest.mark.parametrize(
    ("version", "libcni", "reason"),
    [
        ((1, 5, 18), (0, 8), "VersionUnsupported"),
        ((1, 7, 29), (1, 1), "VersionUnsupported"),
        ((2, 0, 7), (1, 2), "Loaded"),
        ((2, 3, 4), (1, 3), "Loaded"),
    ],
)
def test_the_newest_specification_needs_containerd_2(
    version: tuple[int, int, int], libcni: tuple[int, int], reason: str
) -> None:
    new = BRIDGE.replace("0.4.0", "1.1.0")
    runtime = containerd(version=version)

    [finding] = judge({f"{D}/10-x.conflist": new}, runtime, settings=CniSettings(libcni=libcni), run=known("1.1.0"))

    assert finding.reason == reason


def test_a_file_without_a_version_asks_for_the_first_one() -> None:
    files = {f"{D}/10-x.conflist": BRIDGE.replace('"cniVersion": "0.4.0", ', "")}

    one(judge(files, run=known("0.1.0", "0.4.0")), "Loaded", Status.PASS)
    assert 'cniVersion "0.1.0"' in one(judge(files, run=known("0.3.1", "0.4.0")), "VersionUnsupported").message


def test_crio_passes_over_a_version_that_a_plugin_does_not_know() -> None:
    finding = one(
        judge({f"{D}/10-x.conflist": BRIDGE}, other("cri-o", ready=False), run=known("0.1.0", "0.2.0")),
        "VersionUnsupported",
    )

    assert "knows 0.1.0, 0.2.0" in finding.message


def test_a_network_name_with_a_blank_starts_no_pod() -> None:
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE.replace("cbr0", "my net")}), "NameInvalid")

    assert commands(finding) == (f"""sed -i 's/"name": *"my net"/"name": "my-net"/' {D}/10-x.conflist""",)


def test_a_name_that_fits_into_no_name_of_a_file_starts_no_pod_and_is_cut_to_one_that_does() -> None:
    path = f"{D}/10-x.conflist"

    finding = one(judge({path: BRIDGE.replace("cbr0", "a" * 186)}), "NameInvalid")

    assert "a name of 186 bytes" in finding.message
    assert commands(finding) == (f"""sed -i 's/"name": *"{"a" * 186}"/"name": "{"a" * 185}"/' {path}""",)
    one(judge({path: BRIDGE.replace("cbr0", "a" * 185)}), "Loaded", Status.PASS)


def test_a_name_is_mended_as_it_is_spelt_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "10-x.conflist"
    path.write_text(BRIDGE.replace("cbr0", r"\ud800m\u00fcnet"))
    finding = one(judge({f"{D}/10-x.conflist": path.read_text()}), "NameInvalid")

    subprocess.run(commands(finding)[0].replace(f"{D}/10-x.conflist", str(path)), shell=True, check=True)

    assert json.loads(path.read_text())["name"] == "net-m-net"


IPAM = '"ipam": {"type": "host-local", "subnet": "10.244.0.0/24"}'


def test_a_single_plugin_without_a_name_starts_no_pod() -> None:
    finding = one(judge({f"{D}/10-x.conf": f'{{"type": "bridge", {IPAM}}}'}), "NameInvalid")

    assert "has no name" in finding.message
    one(judge({f"{D}/10-x.conf": f'{{"type": "bridge", "name": "n", {IPAM}}}'}), "Loaded", Status.PASS)


@pytest.mark.parametrize(
    "ipam", ["", ', "ipam": {}', ', "ipam": {"type": ""}', ', "ipam": null', ', "ipam": {"subnet": "10.244.0.0/24"}']
)
def test_a_network_that_gives_no_address_starts_no_pod_of_containerd(ipam: str) -> None:
    network = f'{{"name": "n", "plugins": [{{"type": "bridge"{ipam}}}, {{"type": "portmap"}}]}}'

    finding = one(judge({f"{D}/10-x.conflist": network}), "NoAddresses")

    assert finding.subject == f"{D}/10-x.conflist"
    assert "bridge, portmap" in finding.message
    assert finding.explains


@pytest.mark.parametrize("plugin", ["calico", "antrea", "cilium-cni", "flannel", "some-other"])
def test_who_else_gives_addresses_is_not_ours_to_say(plugin: str) -> None:
    network = f'{{"name": "n", "plugins": [{{"type": "{plugin}"}}, {{"type": "portmap"}}]}}'

    assert "NoAddresses" not in {each.reason for each in judge({f"{D}/10-x.conflist": network})}


def test_flannel_without_its_subnet_file_fails_on_a_joined_node_only() -> None:
    files = {f"{D}/10-flannel.conflist": FLANNEL}

    assert "does not exist" in one(judge(files), "SubnetFileMissing").message
    one(judge(files, stage=PREPARED), "Loaded", Status.PASS)
    one(judge(files, stage=UNSEEN), "SubnetFileMissing", Status.UNKNOWN)
    one(judge(files | {"/run/flannel/subnet.env": SUBNET}), "Loaded", Status.PASS)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "it is empty"),
        ("FLANNEL_NETWORK=10.244.0.0/16\n", "lacks FLANNEL_SUBNET"),
        (SUBNET.replace("/24", ""), "line 2: FLANNEL_SUBNET=10.244.1.1 is no subnet"),
        (SUBNET.replace("1450", "big"), "line 3: FLANNEL_MTU=big is no number"),
    ],
)
def test_a_subnet_file_that_flannels_plugin_refuses_is_told(text: str, what: str) -> None:
    finding = one(judge({f"{D}/10-flannel.conflist": FLANNEL, "/run/flannel/subnet.env": text}), "SubnetFileInvalid")

    assert what in finding.message


# -- the runtime holds something else ------------------------------------------------------------------------------------


def fdinfo(inode: int) -> dict[str, str]:
    return {"/proc/7/fdinfo/9": f"pos:\t0\ninotify wd:1 ino:{inode:x} sdev:1f mask:fc6 ignored_mask:0\n"}


def test_a_file_that_was_moved_in_is_renamed_inside_the_folder_while_that_is_watched() -> None:
    status = "cni config load failed: no network config found in /etc/cni/net.d"
    runtime = containerd(ready=False, cniconfig={"Networks": None}, lastCNILoadStatus=status)

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE, **fdinfo(1)}, runtime), "StaleLoad")

    assert status in finding.message
    assert commands(finding) == (
        f"cp -a {D}/10-x.conflist {D}/10-x.conflist.k8sdoctor && mv {D}/10-x.conflist.k8sdoctor {D}/10-x.conflist",
    )
    assert finding.fix is not None
    assert finding.fix.safety is Safety.SAFE


@pytest.mark.parametrize("watches", [fdinfo(2), {}])
def test_a_folder_that_is_not_watched_or_not_known_to_be_needs_a_restart(watches: dict[str, str]) -> None:
    runtime = containerd(ready=False, cniconfig={"Networks": None}, lastCNILoadStatus="OK")

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE, **watches}, runtime), "StaleLoad")

    assert commands(finding) == ("systemctl restart containerd",)


def test_another_network_than_that_on_disk_is_named() -> None:
    runtime = containerd(cniconfig=held(BRIDGE.replace("cbr0", "old")), lastCNILoadStatus="OK")

    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, runtime), "StaleLoad")

    assert 'still holds the network "old"' in finding.message
    assert finding.explains == ()  # pods start, on the old network


def test_crio_that_is_not_ready_with_a_good_folder_lost_sight_of_it() -> None:
    finding = one(
        judge({f"{D}/10-x.conflist": BRIDGE}, other("cri-o", ready=False, message="no CNI configuration")), "StaleLoad"
    )

    assert commands(finding) == ("systemctl restart crio",)


def test_a_runtime_that_is_not_ready_for_no_reason_on_disk_is_told() -> None:
    runtime = containerd(ready=False, message="STATUS failed", cniconfig=held(BRIDGE), lastCNILoadStatus="OK")

    assert "STATUS failed" in one(judge({f"{D}/10-x.conflist": BRIDGE}, runtime), "NotInitialized").message
    dockerd = other("cri-dockerd", ready=False, message="cni config needs ipRanges but no PodCIDR set")
    assert "PodCIDR" in one(judge({f"{D}/10-x.conflist": BRIDGE}, dockerd), "NotInitialized").message


def test_a_silent_runtime_comes_with_the_commands_that_tell_why() -> None:
    finding = one(judge({f"{D}/10-x.conflist": BRIDGE}, SILENT), "RuntimeUnreachable", Status.UNKNOWN)

    assert commands(finding)[0] == "systemctl status --no-pager containerd"


def test_a_silent_runtime_leaves_a_good_folder_unknown_and_a_bad_one_bad() -> None:
    assert (
        "nobody listens"
        in one(judge({f"{D}/10-x.conflist": BRIDGE}, SILENT), "RuntimeUnreachable", Status.UNKNOWN).message
    )
    assert one(judge({f"{D}/10-x.conflist": BRIDGE}, NOT_ROOT), "NotPermitted", Status.UNKNOWN).fix is None
    one(judge({f"{D}/10-x.conflist": "{"}, SILENT), "ConfigInvalid")


def test_a_handlers_own_folder_is_judged_beside_the_default() -> None:
    settings = CniSettings(handlers={"kata": CniSettings(folder="/etc/kata/net.d")})

    findings = judge({f"{D}/10-x.conflist": BRIDGE}, settings=settings)

    assert [finding.reason for finding in findings] == ["Loaded", "NoConfig"]
    assert "runtime handler kata" in findings[1].message
    assert findings[1].explains == ()  # the other pods start


def test_a_handler_whose_last_load_failed_although_its_folder_is_good_is_stale() -> None:
    settings = CniSettings(handlers={"kata": CniSettings(folder="/etc/kata/net.d")})
    files = {f"{D}/10-x.conflist": BRIDGE, "/etc/kata/net.d/10-k.conflist": BRIDGE}
    info: Any = {"lastCNILoadStatus.default": "OK", "lastCNILoadStatus.kata": "no network config found"}

    findings = judge(files, containerd(cniconfig=held(BRIDGE), **info), settings=settings)

    assert [finding.reason for finding in findings] == ["Loaded", "StaleLoad"]


# -- warnings ------------------------------------------------------------------------------------------------------------


def test_a_second_file_that_is_never_read_is_told_and_one_that_is_alone_is_not() -> None:
    files = {f"{D}/10-flannel.conflist": BRIDGE, f"{D}/20-calico.conflist": CALICO}

    findings = judge(files)

    assert [(finding.status, finding.reason) for finding in findings] == [
        (Status.WARN, "ConfigShadowed"),
        (Status.PASS, "Loaded"),
    ]
    assert findings[0].subject == f"{D}/20-calico.conflist"


def test_a_first_file_that_starts_no_pod_is_the_one_to_put_aside() -> None:
    left = json.dumps({"cniVersion": "0.4.0", "name": "old", "type": "gone"})
    found = judge({f"{D}/05-old.conf": left, f"{D}/10-x.conflist": BRIDGE})

    assert [each.reason for each in found] == ["PluginMissing", "ConfigShadowed"]
    assert commands(found[1]) == (f"mv -n {D}/05-old.conf {D}/05-old.conf.disabled",)
    assert found[1].fix is not None
    assert found[1].fix.title == "Put 05-old.conf aside, if 10-x.conflist is the one that is meant"


def test_a_packages_file_that_wins_is_the_one_to_put_aside() -> None:
    files = {f"{D}/10-crio-bridge.conflist": BRIDGE, f"{D}/20-mine.conflist": BRIDGE.replace("cbr0", "mine")}

    finding = next(each for each in judge(files, other("cri-o")) if each.status is Status.WARN)

    assert "a file that a package put there" in finding.message
    assert commands(finding) == (f"mv -n {D}/10-crio-bridge.conflist {D}/10-crio-bridge.conflist.disabled",)


def subnets(text: str) -> PodSubnets:
    return PodSubnets(((ipaddress.ip_network(text), "podSubnet in --config k.yaml"),))


def test_a_subnet_outside_the_clusters_is_told_and_one_inside_is_not() -> None:
    files = {f"{D}/10-x.conflist": BRIDGE}

    findings = judge(files, subnets=subnets("10.96.0.0/16"))

    assert [finding.reason for finding in findings] == ["SubnetDiffers", "Loaded"]
    assert "10.244.0.0/24, which is not within 10.96.0.0/16 (podSubnet in --config k.yaml)" in findings[0].message
    one(judge(files, subnets=subnets("10.244.0.0/16")), "Loaded", Status.PASS)
    one(judge(files, subnets=subnets("fd00::/64")), "Loaded", Status.PASS)


def netlink(*addresses: str, mac: str = "02:00:00:00:00:01") -> Any:
    def answer(what: str, netns: str | None) -> Any:
        del netns
        if what == "links":
            return [{"index": 3, "name": "cni0", "kind": "bridge", "mac": mac}]
        return [
            *({"index": 3, "address": address, "prefix": 24, "family": 4} for address in addresses),
            {"index": 3, "address": "fe80::1", "prefix": 64},
        ]

    return answer


def test_a_bridge_with_the_address_of_an_older_network_is_removed() -> None:
    files = {f"{D}/10-flannel.conflist": FLANNEL, "/run/flannel/subnet.env": SUBNET}

    findings = judge(files, netlink=netlink("10.244.7.1"))

    one(findings, "SubnetDiffers")
    assert commands(findings[0]) == ("ip link delete cni0",)
    assert {("coredns", "UpstreamSilent"), ("dns-reply-source", "NoReply")} <= {
        (link.check, link.reason) for link in findings[0].explains
    }
    one(judge(files, netlink=netlink("10.244.1.1")), "Loaded", Status.PASS)


def test_of_several_addresses_of_a_bridge_the_plugin_takes_the_first_for_its_own() -> None:
    files = {f"{D}/10-flannel.conflist": FLANNEL, "/run/flannel/subnet.env": SUBNET}

    one(judge(files, netlink=netlink("10.244.1.1", "192.0.2.1")), "Loaded", Status.PASS)
    assert judge(files, netlink=netlink("192.0.2.1", "10.244.1.1"))[0].reason == "SubnetDiffers"


def test_a_bridge_that_is_no_gateway_may_have_any_address() -> None:
    one(judge({f"{D}/10-x.conflist": BRIDGE}, netlink=netlink("192.0.2.1")), "Loaded", Status.PASS)
    gateway = BRIDGE.replace('"bridge": "cni0"', '"bridge": "cni0", "isGateway": true')
    assert "SubnetDiffers" in {
        finding.reason for finding in judge({f"{D}/10-x.conflist": gateway}, netlink=netlink("192.0.2.1"))
    }
    forced = gateway.replace('"isGateway"', '"forceAddress": true, "isGateway"')
    one(judge({f"{D}/10-x.conflist": forced}, netlink=netlink("192.0.2.1")), "Loaded", Status.PASS)


def test_a_bridge_without_a_hardware_address_is_a_leftover() -> None:
    findings = judge({f"{D}/10-x.conflist": BRIDGE}, netlink=netlink("10.244.0.1", mac="00:00:00:00:00:00"))

    assert [finding.reason for finding in findings] == ["BridgeLeftover", "Loaded"]
    assert commands(findings[0]) == ("ip link delete cni0",)


def test_an_unknown_distribution_is_told_and_the_folder_is_judged_all_the_same() -> None:
    missing = Unobserved("Unreadable", "/etc/os-release is a fifo, not a regular file")

    told, judged = judge({}, family=missing)

    assert (told.status, judged.reason) == (Status.UNKNOWN, "NoConfig")
    assert missing.message in told.message


def test_a_manifest_that_could_not_be_read_is_told_and_the_folder_is_judged_all_the_same() -> None:
    problem = Unobserved("Unreadable", "/etc/kubernetes/manifests/kube-controller-manager.yaml is a fifo")

    told, judged = judge({}, subnets=PodSubnets((), problem))

    assert (told.status, judged.reason) == (Status.UNKNOWN, "NoConfig")
    assert problem.message in told.message
