"""cgroups: files of a node in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.cgroups import cgroups
from k8sdoctor.facts.cgroup_driver import CgroupDrivers
from k8sdoctor.facts.cgroups import Cgroups
from k8sdoctor.facts.containerd import ContainerdConfig
from k8sdoctor.facts.crio import CrioConfig
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.planned_kubelet import PlannedKubelet
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import Process
from k8sdoctor.testing import FakeHost, examine
from tests.control_plane import text

if TYPE_CHECKING:
    from collections.abc import Mapping

V2 = {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n"}
V1 = {"/proc/cgroups": text("proc/cgroups")}
CONFIG = "/var/lib/kubelet/config.yaml"
DRIVER = "kind: KubeletConfiguration\ncgroupDriver: {}\n"
NONE = Unobserved("NotFound", "not the runtime here")


def judge(
    files: Mapping[str, str],
    *cmdline: str,
    version: str | None = "1.36.2",
    drivers: CgroupDrivers | None = None,
    os: str = "ID=debian",
) -> list[Finding]:
    run = {"code": 0, "out": f"Kubernetes v{version}\n", "err": ""} if version else {"code": 1, "out": "", "err": ""}
    host = FakeHost({"/etc/os-release": os, **files}, run=run)  # type: ignore[arg-type] # -- JSON
    running = (Process(pid=7, ppid=1, name="kubelet", cmdline=["/usr/bin/kubelet", *cmdline]),) if cmdline else ()
    kubelet = Kubelet.observe(host, Processes(running))
    found = Cgroups.observe(host)
    return list(cgroups(found, kubelet, PlannedKubelet(), drivers or CgroupDrivers(), Distribution.observe(host)))


# -- version and controllers -----------------------------------------------------------------------------------------


def test_cgroup_v2_is_healthy() -> None:
    [finding] = judge(V2)

    assert (finding.status, finding.reason) == (Status.PASS, "CgroupV2")


def test_cgroup_v1_keeps_a_kubelet_of_1_35_from_starting_and_no_older_one() -> None:
    [refused] = judge(V1, version="1.35.0")
    [taken] = judge(V1, version="1.34.9")

    assert (refused.status, refused.reason) == (Status.FAIL, "CgroupV1Refused")
    assert "kubelet of 1.35.0 does not start" in refused.message
    assert (taken.status, taken.reason) == (Status.PASS, "CgroupV1")


@pytest.mark.parametrize(
    ("config", "cmdline"), [("failCgroupV1: false\n", ()), ("kind: KubeletConfiguration\n", ("--fail-cgroupv1=false",))]
)
def test_somebody_who_allowed_cgroup_v1_is_not_alarmed(config: str, cmdline: tuple[str, ...]) -> None:
    [finding] = judge({**V1, CONFIG: config}, *cmdline)

    assert (finding.status, finding.reason) == (Status.PASS, "CgroupV1")
    assert any("failCgroupV1" in each.source or "--fail-cgroupv1" in each.source for each in finding.evidence)


def test_an_older_kubelet_may_be_told_to_refuse_it() -> None:
    [finding] = judge({**V1, CONFIG: "failCgroupV1: true\n"}, version="1.33.1")

    assert finding.status is Status.FAIL


def test_a_kubelet_that_runs_on_cgroup_v1_is_warned_of_its_next_start() -> None:
    [finding] = judge(V1, "--v=2")

    assert finding.status is Status.WARN


def test_without_a_known_version_cgroup_v1_is_a_warning() -> None:
    [finding] = judge(V1, version=None)

    assert (finding.status, finding.reason) == (Status.WARN, "CgroupV1Refused")
    assert "of 1.35 or later" in finding.message


def test_a_configuration_that_does_not_parse_leaves_cgroup_v1_unknown() -> None:
    [finding] = judge({**V1, CONFIG: "{"})

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "Unreadable")
    assert CONFIG in finding.message


def test_a_hybrid_hierarchy_is_version_1() -> None:
    [finding] = judge({**V1, "/sys/fs/cgroup/unified/cgroup.controllers": ""}, version="1.34.0")

    assert "beside it for systemd alone" in finding.message


@pytest.mark.parametrize(
    ("os", "command"),
    [
        ("ID=rocky\nID_LIKE='rhel fedora'", "grubby --update-kernel=ALL --args=systemd.unified_cgroup_hierarchy=1"),
        ("ID=ubuntu", "update-grub"),
        ("ID=sles", "grub2-mkconfig -o /boot/grub2/grub.cfg"),
    ],
)
def test_the_way_into_cgroup_v2_fits_the_distribution(os: str, command: str) -> None:
    [finding] = judge(V1, os=os)

    assert finding.fix is not None
    assert command in finding.fix.persist
    assert finding.fix.persist[-1] == "reboot"


@pytest.mark.parametrize(
    "files",
    [
        {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io pids\n"},
        {"/proc/cgroups": V1["/proc/cgroups"].replace("memory\t4\t75\t1", "memory\t0\t75\t0")},
    ],
)
def test_a_controller_that_is_switched_off_fails(files: dict[str, str]) -> None:
    [finding] = judge(files, version="1.34.0")

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ControllerMissing", "memory")
    assert finding.fix is not None
    assert any("cgroup_enable=memory" in line for line in finding.fix.persist)


def test_without_any_hierarchy_nothing_is_known() -> None:
    [finding] = examine(
        FakeHost({"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t1\n"}), "cgroups"
    )

    assert finding.status is Status.UNKNOWN


# -- drivers ---------------------------------------------------------------------------------------------------------


def drivers(
    kubelet: str | None,
    *,
    toml: str | None = None,
    crio: str | None = None,
    version: str = "1.30.2",
    runtime: tuple[int, int, int] = (1, 7, 27),
    running: dict[str, object] | None = None,
) -> CgroupDrivers:
    files = {CONFIG: DRIVER.format(kubelet)} if kubelet else {}
    if toml is not None:
        files["/etc/containerd/config.toml"] = toml
    if crio is not None:
        files["/etc/crio/crio.conf"] = crio
    host = FakeHost(files, run={"code": 0, "out": f"Kubernetes v{version}\n", "err": ""})
    kind = "cri-o" if crio is not None else "containerd"
    ours = Runtime(kind=kind, version=runtime, info={"config": running} if running else {})  # type: ignore[arg-type, dict-item] # -- JSON
    return CgroupDrivers.observe(
        host,
        Kubelet.observe(host, Processes(())),
        PlannedKubelet(),
        ours,
        NONE if kind == "cri-o" else ContainerdConfig.observe(host, ours),
        CrioConfig.observe(host, ours) if kind == "cri-o" else NONE,
    )


SYSTEMD = """\
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = {}
"""


@pytest.mark.parametrize(
    ("kubelet", "toml", "version", "runtime", "reason", "status"),
    [
        ("systemd", SYSTEMD.format("true"), "1.30.2", (1, 7, 27), "CgroupV2", Status.PASS),
        ("cgroupfs", SYSTEMD.format("false"), "1.30.2", (1, 7, 27), "CgroupV2", Status.PASS),
        ("systemd", SYSTEMD.format("false"), "1.30.2", (1, 7, 27), "DriverDiffers", Status.FAIL),
        ("systemd", "version = 2\n", "1.30.2", (1, 7, 27), "DriverDiffers", Status.FAIL),
        ("cgroupfs", SYSTEMD.format("true"), "1.30.2", (1, 7, 27), "DriverDiffers", Status.FAIL),
        ("cgroupfs", SYSTEMD.format("true"), "1.34.2", (1, 7, 27), "DriverDiffers", Status.FAIL),
        ("cgroupfs", SYSTEMD.format("true"), "1.34.2", (2, 1, 5), "CgroupV2", Status.PASS),  # it takes the runtime's
        (None, "version = 2\n", "1.30.2", (1, 7, 27), "DriverDiffers", Status.WARN),  # kubeadm will write systemd
        (None, SYSTEMD.format("true"), "1.30.2", (1, 7, 27), "CgroupV2", Status.PASS),
    ],
)
def test_the_drivers_of_kubelet_and_containerd_are_compared(  # noqa: PLR0917 -- a table
    kubelet: str | None, toml: str, version: str, runtime: tuple[int, int, int], reason: str, status: Status
) -> None:
    found = drivers(kubelet, toml=toml, version=version, runtime=runtime)

    [finding] = judge(V2, drivers=found)

    assert (finding.reason, finding.status) == (reason, status)


def test_the_line_of_the_runtime_s_file_is_changed() -> None:
    [finding] = judge(V2, drivers=drivers("systemd", toml=SYSTEMD.format("false")))

    assert finding.fix is not None
    assert finding.fix.commands == (
        "sed -i '5s/false/true/' /etc/containerd/config.toml",
        "systemctl restart containerd",
    )


def test_the_kubelet_s_file_is_changed_where_the_runtime_uses_systemd() -> None:
    [finding] = judge(V2, drivers=drivers("cgroupfs", toml=SYSTEMD.format("true")))

    assert finding.fix is not None
    assert finding.fix.commands[0] == f"sed -i 's/^cgroupDriver:.*/cgroupDriver: systemd/' {CONFIG}"


def test_on_cgroup_v1_pods_bear_two_managers_for_a_while() -> None:
    [finding] = judge(V1, version="1.30.2", drivers=drivers("systemd", toml="version = 2\n"))

    assert (finding.reason, finding.status) == ("DriverDiffers", Status.WARN)


def test_what_the_running_containerd_holds_counts_more_than_its_file() -> None:
    runc = {"runtimeType": "io.containerd.runc.v2", "options": {"SystemdCgroup": False}}
    running: dict[str, object] = {"containerd": {"defaultRuntimeName": "runc", "runtimes": {"runc": runc}}}

    found = drivers("systemd", toml=SYSTEMD.format("true"), running=running)

    assert (found.runtime, found.runtime_source) == ("cgroupfs", "what the running containerd says of itself")


def test_a_default_runtime_that_is_not_runc_is_not_judged() -> None:
    kata = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd]\n  default_runtime_name = "kata"\n'

    assert drivers("systemd", toml=kata).runtime is None


@pytest.mark.parametrize(
    ("conf", "driver"), [("", "systemd"), ('[crio.runtime]\ncgroup_manager = "cgroupfs"\n', "cgroupfs")]
)
def test_cri_o_has_its_own_key_and_systemd_by_default(conf: str, driver: str) -> None:
    found = drivers("systemd", crio=conf, runtime=(1, 30, 0))

    assert (found.runtime, found.follows) == (driver, False)
