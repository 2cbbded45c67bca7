"""br-netfilter: facts in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.br_netfilter import br_netfilter
from k8sdoctor.facts.boot_files import BootFile, BootFiles
from k8sdoctor.facts.bridge import Bridge, Bridges
from k8sdoctor.facts.cni import CniFolder
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.modules import BrNetfilter, ModuleLine, ModuleState
from k8sdoctor.facts.pod_families import PodFamilies
from k8sdoctor.facts.switch_keepers import SwitchKeepers
from k8sdoctor.facts.sysctl import SysctlBoot
from k8sdoctor.finding import Certainty, Finding, Fix, Safety, Status, Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost, examine

if TYPE_CHECKING:
    from collections.abc import Mapping

AT_BOOT = ModuleLine("/etc/modules-load.d/k8s.conf:1", "br_netfilter")
CNI0 = Bridge("cni0", 3, ("veth1", "veth2"), own_ipv4=False, own_ipv6=False, carries="the CNI network cbr0 names it")
PLANNED = Bridge("cni0", carries="the CNI network cbr0 names it")
CALICO = '{"cniVersion":"0.3.1","name":"k8s-pod-network","plugins":[{"type":"calico","ipam":{"type":"calico-ipam"}}]}'
DENIED = Unobserved("NotPermitted", "Permission denied: /etc/cni/net.d; run as root to look")
DEBIAN = Distribution("debian", (), "Debian GNU/Linux 12 (bookworm)", "debian")


def module(state: ModuleState = "loaded", **more: object) -> BrNetfilter:
    fields: dict[str, object] = {"at_boot": AT_BOOT, **more}
    return BrNetfilter(state, "6.1.0", "seen so", **fields)  # type: ignore[arg-type]


def boot(files: Mapping[str, str] | None = None) -> SysctlBoot:
    return SysctlBoot.observe(FakeHost(files or {}))


def folder(text: str | None) -> CniFolder:
    from k8sdoctor.facts.cni_settings import CniSettings
    from k8sdoctor.facts.runtime import Runtime

    host = FakeHost({"/etc/cni/net.d/10-x.conflist": text} if text else {})
    facts: dict[type, object] = {}
    for fact in (Runtime, CniSettings, CniFolder):
        facts[fact] = _observe(host, fact, facts)
    found = facts[CniFolder]
    assert isinstance(found, CniFolder)
    return found


def _observe(host: FakeHost, fact: type, facts: dict[type, object]) -> object:
    from k8sdoctor.check import needs_of

    arguments = {}
    for name, need in needs_of(fact.observe, skip=1).items():  # type: ignore[attr-defined]
        if need.fact not in facts:
            facts[need.fact] = _observe(host, need.fact, facts)
        arguments[name] = facts[need.fact]
    try:
        return fact.observe(host, **arguments)  # type: ignore[attr-defined]
    except HostError as error:
        return Unobserved(error.reason, error.message)


LOADED = module()
NO_FILES = boot()
IPV4_PODS = PodFamilies()
UNTOLD = Unobserved("NotFound", "no folder")


def judge(
    *bridges: Bridge,
    on: bool | None = True,
    on6: bool | None = True,
    module: BrNetfilter = LOADED,
    boot: SysctlBoot = NO_FILES,
    cni: CniFolder | Unobserved = UNTOLD,
    pods: PodFamilies = IPV4_PODS,
    keeper: str | None = None,
    distribution: Distribution = DEBIAN,
) -> list[Finding]:
    found = Bridges(bridges, on, on6)
    return list(br_netfilter(found, module, boot, cni, pods, SwitchKeepers(bridge=keeper), distribution))


def fix(finding: Finding) -> Fix:
    assert finding.fix is not None
    return finding.fix


def test_a_pod_bridge_whose_packets_pass_iptables_is_healthy() -> None:
    [finding] = judge(CNI0)

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "Filtered", "cni0")


def test_a_pod_bridge_with_the_switch_off_fails_and_explains_the_wrong_source_on_that_bridge_alone() -> None:
    [finding] = judge(CNI0, on=False)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "BridgeNfCallOff", "cni0")
    assert "net.bridge.bridge-nf-call-iptables is 0" in finding.message
    assert fix(finding).commands == ("sysctl -w net.bridge.bridge-nf-call-iptables=1",)
    assert fix(finding).safety is Safety.SAFE
    [link] = finding.explains
    assert (link.check, link.reason, link.certainty) == ("dns-reply-source", "UnexpectedSource", Certainty.PROVEN)
    assert link.when == {"bridge:cni0", "family:ipv4"}


def test_the_ipv6_switch_is_judged_where_pods_have_ipv6_and_nowhere_else() -> None:
    both = Bridge("cni0", 3, ("veth1",), own_ipv4=False, own_ipv6=False, carries="so", ipv6=True)

    [finding] = judge(both, on6=False)
    [healthy] = judge(CNI0, on6=False)

    assert (finding.status, finding.reason) == (Status.FAIL, "BridgeNfCall6Off")
    assert finding.explains[0].when == {"bridge:cni0", "family:ipv6"}
    assert healthy.status is Status.PASS


def test_the_ipv4_switch_does_not_matter_to_pods_with_ipv6_only() -> None:
    only6 = Bridge("cni0", 3, ("veth1",), own_ipv4=False, own_ipv6=False, carries="so", ipv4=False, ipv6=True)

    [finding] = judge(only6, on=False)

    assert finding.reason == "Filtered"
    assert "ip6tables" in finding.message


def test_a_bridge_whose_own_switch_is_on_is_filtered_although_the_namespaces_is_off() -> None:
    own = Bridge("cni0", 3, ("veth1",), own_ipv4=True, own_ipv6=False, carries="so")

    [finding] = judge(own, on=False)

    assert (finding.status, finding.reason) == (Status.PASS, "FilteredPerBridge")


def test_of_two_pod_bridges_only_the_unfiltered_one_is_blamed() -> None:
    own = Bridge("br1", 4, ("veth3",), own_ipv4=True, own_ipv6=False, carries="so")

    [finding] = judge(own, CNI0, on=False)

    assert finding.subject == "cni0"
    assert [link.when for link in finding.explains] == [{"bridge:cni0", "family:ipv4"}]


def test_a_missing_module_is_one_finding_and_not_a_missing_switch_as_well() -> None:
    [finding] = judge(CNI0, on=None, on6=None, module=module("loadable", at_boot=None))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ModuleNotLoaded", "cni0")
    assert fix(finding).commands == ("modprobe br_netfilter",)
    assert fix(finding).persist == (
        "mkdir -p /etc/modules-load.d && echo br_netfilter > /etc/modules-load.d/br-netfilter.conf",
    )
    assert finding.explains[0].certainty is Certainty.PROVEN


def test_a_module_that_is_listed_already_is_not_listed_again() -> None:
    [finding] = judge(CNI0, on=None, module=module("loadable"))

    assert fix(finding).persist == ()


def test_a_file_that_turns_the_switch_off_when_the_module_comes_is_answered_as_well() -> None:
    off = boot({"/usr/lib/sysctl.d/99-zz.conf": "net.bridge.bridge-nf-call-iptables = 0"})

    [finding] = judge(CNI0, on=None, module=module("loadable"), boot=off)

    assert fix(finding).commands == ("modprobe br_netfilter", "sysctl -w net.bridge.bridge-nf-call-iptables=1")
    assert fix(finding).persist == (
        "mkdir -p /etc/sysctl.d && echo 'net.bridge.bridge-nf-call-iptables = 1' > /etc/sysctl.d/zz-bridge-nf-call-iptables.conf",
    )


@pytest.mark.parametrize(
    ("id_", "family", "command"),
    [
        ("ubuntu", "debian", "apt-get install -y linux-modules-6.1.0 linux-modules-extra-6.1.0"),
        ("debian", "debian", "apt-get install -y --reinstall linux-image-6.1.0"),
        ("rocky", "rhel", "dnf install -y kernel-modules-6.1.0"),
        ("opensuse-leap", "suse", "zypper install -y kernel-default"),
        ("flatcar", "flatcar", "modprobe br_netfilter"),
    ],
)
def test_a_module_that_is_not_on_the_disk_is_installed_as_the_distribution_does(
    id_: str, family: str, command: str
) -> None:
    here = Distribution(id_, (), id_, family)  # type: ignore[arg-type]

    [finding] = judge(CNI0, on=None, module=module("absent"), distribution=here)

    assert fix(finding).commands[0] == command
    assert fix(finding).safety is Safety.MANUAL


def test_a_kernel_whose_modules_were_removed_wants_a_boot_and_says_so() -> None:
    [finding] = judge(CNI0, on=None, module=module("kernel-gone", at_boot=None))

    assert fix(finding).commands[-1] == "systemctl reboot"
    assert "br_netfilter > /etc/modules-load.d/" in fix(finding).commands[0]
    assert fix(finding).safety is Safety.DISRUPTIVE


def test_a_planned_bridge_fails_too_and_explains_nothing_yet() -> None:
    [finding] = judge(PLANNED, on=False)

    assert (finding.status, finding.reason) == (Status.FAIL, "BridgeNfCallOff")
    assert "once it is made" in finding.message
    assert finding.explains == ()


def test_before_a_cni_is_chosen_faults_are_warnings() -> None:
    nothing = folder(None)

    [off] = judge(on=False, cni=nothing)
    [absent] = judge(on=None, cni=nothing, module=module("loadable"))
    [healthy] = judge(cni=nothing)

    assert (off.status, off.reason) == (Status.WARN, "BridgeNfCallOff")
    assert (absent.status, absent.reason) == (Status.WARN, "ModuleNotLoaded")
    assert (healthy.status, healthy.reason) == (Status.PASS, "Filtered")


def test_a_cni_that_routes_to_pods_is_not_judged() -> None:
    [finding] = judge(on=None, module=module("loadable"), cni=folder(CALICO))

    assert (finding.status, finding.reason) == (Status.SKIP, "NoPodBridge")
    assert "calico" in finding.message


def test_a_bridge_that_nobody_explains_is_no_pod_bridge_when_the_cni_is_another() -> None:
    mine = Bridge("br0", 3, ("veth1",), own_ipv4=False, own_ipv6=False)

    [finding] = judge(mine, on=False, cni=folder(CALICO))

    assert finding.reason == "NoPodBridge"


def test_a_bridge_that_nobody_explains_is_unknown_when_the_cni_cannot_be_read() -> None:
    mine = Bridge("br0", 3, ("veth1",), own_ipv4=False, own_ipv6=False)

    [finding] = judge(mine, on=False, cni=DENIED)
    [docker] = judge(Bridge("docker0", 3, ("veth1",)), on=False, cni=DENIED)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "BridgeUnexplained")
    assert (docker.status, docker.reason) == (Status.UNKNOWN, "NotPermitted")


def test_a_loaded_module_whose_switches_are_not_shown_is_unknown() -> None:
    [finding] = judge(CNI0, on=None, on6=None)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "SwitchHidden")


def test_a_module_that_nothing_loads_at_boot_is_a_warning_beside_the_pass() -> None:
    passing, finding = judge(CNI0, module=module(at_boot=None))

    assert passing.reason == "Filtered"
    assert (finding.status, finding.reason) == (Status.WARN, "NotPersistent")
    assert fix(finding).persist[0].endswith("echo br_netfilter > /etc/modules-load.d/br-netfilter.conf")


def test_a_module_listed_and_blocked_is_not_persistent_and_the_line_is_named() -> None:
    blocked = ModuleLine("/etc/modprobe.d/cis.conf:4", "install br_netfilter /bin/false")

    _, finding = judge(CNI0, module=module(blocked=(blocked,)))

    assert finding.reason == "NotPersistent"
    assert "/etc/modprobe.d/cis.conf:4" in finding.message
    assert "/etc/modprobe.d/cis.conf" in fix(finding).commands[0]
    assert fix(finding).safety is Safety.MANUAL


def test_a_built_in_module_and_no_file_at_all_is_persistent_since_the_switch_starts_on() -> None:
    [finding] = judge(CNI0, module=module("built-in", at_boot=None))

    assert finding.status is Status.PASS


def test_a_file_that_turns_the_switch_off_at_boot_is_named_with_its_line() -> None:
    off = boot(
        {
            "/etc/sysctl.d/10-k8s.conf": "net.bridge.bridge-nf-call-iptables = 1",
            "/usr/lib/sysctl.d/50-hard.conf": "\nnet.bridge.bridge-nf-call-iptables=0",
        }
    )

    _, finding = judge(CNI0, boot=off)

    assert (finding.status, finding.reason) == (Status.WARN, "PersistedOff")
    assert "/usr/lib/sysctl.d/50-hard.conf:2" in finding.message
    assert fix(finding).persist == (
        "mkdir -p /etc/sysctl.d && echo 'net.bridge.bridge-nf-call-iptables = 1' > /etc/sysctl.d/99-bridge-nf-call-iptables.conf",
    )


def test_a_file_that_turns_the_switch_on_at_boot_is_no_fault() -> None:
    on = boot({"/etc/sysctl.d/k8s.conf": "net.bridge.bridge-nf-call-iptables = 1"})

    assert [finding.reason for finding in judge(CNI0, boot=on)] == ["Filtered"]


def test_a_program_that_sets_all_again_when_it_starts_needs_no_files() -> None:
    off = boot({"/etc/sysctl.d/10-k8s.conf": "net.bridge.bridge-nf-call-iptables = 0"})

    [finding] = judge(CNI0, module=module(at_boot=None), boot=off, keeper="k3s-agent")

    assert finding.status is Status.PASS


def test_files_of_the_boot_that_may_not_be_read_are_unknown() -> None:
    unread = SysctlBoot(BootFiles((), frozenset(), ("Permission denied: /etc/sysctl.d/99-x.conf",)))

    passing, finding = judge(CNI0, boot=unread)

    assert passing.reason == "Filtered"
    assert (finding.status, finding.reason) == (Status.UNKNOWN, "BootUnread")
    assert "/etc/sysctl.d/99-x.conf" in finding.message


def test_a_switch_turned_off_by_hand_needs_no_new_file_where_one_turns_it_on_at_boot() -> None:
    on = SysctlBoot(
        BootFiles((BootFile("k8s.conf", "/etc/sysctl.d/k8s.conf", "net/bridge/bridge-nf-call-iptables=1"),))
    )

    [finding] = judge(CNI0, on=False, boot=on)

    assert fix(finding).persist == ()


def test_a_switch_we_may_not_read_is_unknown_and_never_a_failure() -> None:
    path = "/proc/sys/net/bridge/bridge-nf-call-iptables"

    [finding] = examine(FakeHost({path: "0"}, denied={path}), "br-netfilter")

    assert finding.status is Status.UNKNOWN
    assert "Permission denied" in finding.message
