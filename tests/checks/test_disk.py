"""disk: file systems of a node in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.disk import disk
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.disk import DEFAULTS, Disk, Place
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Certainty, Finding, Safety, Status, Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import Space
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 2**30
WORKER = Stage("worker", "so")
PREPARED = Stage("prepared", "so")


def space(available: float = 50, total: float = 100, **changed: Any) -> Space:
    """A file system of so many GiB."""
    made = Space(
        total=int(total * GIB),
        free=int(available * GIB),
        available=int(available * GIB),
        inodes=1000,
        inodes_free=900,
        read_only=False,
        no_exec=False,
        mount="/",
        type="ext4",
        source="/dev/sda1",
    )
    made.update(changed)  # type: ignore[typeddict-item]
    return made


PATHS = {
    "kubelet": "/var/lib/kubelet",
    "logs": "/var/log/pods",
    "images": "/var/lib/containerd",
    "etcd": "/var/lib/etcd",
    "plugins": "/opt/cni/bin",
}


def judge(
    spaces: Mapping[str, Space] | Space, *, stage: Stage = WORKER, thresholds: Mapping[str, str] = DEFAULTS
) -> list[Finding]:
    """The findings of a node whose places have these file systems (one: all of them but etcd have it)."""
    if "total" in spaces:
        spaces = dict.fromkeys(("kubelet", "logs", "images", "plugins"), spaces)  # type: ignore[arg-type]
    places = tuple(Place(role, PATHS[role], PATHS[role], spaces[role]) for role in PATHS if role in spaces)  # type: ignore[arg-type]
    return list(disk(stage, Disk(places, thresholds)))


def test_a_disk_with_room_passes_and_shows_what_was_seen() -> None:
    [finding] = judge(space())

    assert (finding.status, finding.reason) == (Status.PASS, "Enough")
    assert len(finding.evidence) == 4
    assert "50.0 GiB of 100.0 GiB available" in finding.evidence[0].content


def test_less_than_the_kubelet_wants_is_told_once_for_all_that_lies_there() -> None:
    [finding] = judge(space(12))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "DiskPressure", "/")
    assert "12.0 GiB of 100.0 GiB (12.0 %)" in finding.message
    assert "imagefs.available<15%" in finding.message
    assert finding.fix is not None
    assert finding.fix.safety is Safety.MANUAL
    assert "crictl rmi --prune" in finding.fix.commands
    assert [(link.check, link.reason, link.certainty) for link in finding.explains] == [
        ("node-ready", "DiskPressure", Certainty.PROVEN)
    ]


def test_images_on_a_disk_of_their_own_are_judged_by_their_own_threshold() -> None:
    own = space(12, mount="/var/lib/containerd", source="/dev/sdb1")

    assert [finding.reason for finding in judge({"kubelet": space(), "images": own})] == ["DiskPressure"]
    # The kubelet's own wants 10 % alone.
    [finding] = judge({"kubelet": space(12), "images": space(mount="/images", source="/dev/sdb1")})
    assert (finding.status, finding.reason) == (Status.WARN, "NearlyFull")
    assert "nodefs.available<10%" in finding.message


def test_a_little_above_the_threshold_is_a_warning_that_removes_nothing() -> None:
    [finding] = judge(space(17))

    assert (finding.status, finding.reason) == (Status.WARN, "NearlyFull")
    assert "From 85 % in use it removes images" in finding.message
    assert finding.fix is not None
    assert "crictl rmi --prune" not in finding.fix.commands
    assert finding.explains == ()


@pytest.mark.parametrize("stage", [WORKER, PREPARED])
def test_few_inodes_are_as_bad_as_few_bytes(stage: Stage) -> None:
    [finding] = judge(space(inodes_free=40), stage=stage)

    assert (finding.status, finding.reason) == (Status.FAIL, "DiskPressure")
    assert "40 of 1000 inodes" in finding.message
    assert ("would report" in finding.message) == (stage is PREPARED)
    assert finding.fix is not None
    assert "--inodes" in finding.fix.commands[0]


def test_a_file_system_that_makes_inodes_as_it_needs_them_has_enough() -> None:
    [finding] = judge(space(inodes=0, inodes_free=0, type="btrfs"))

    assert finding.status is Status.PASS


@pytest.mark.parametrize("room", [space(0.01), space(0, 3), space(inodes_free=0)])
def test_nothing_left_is_a_failure_whatever_the_kubelet_watches(room: Space) -> None:
    [finding] = judge(room, thresholds={"nodefs.available": "0%"})

    assert (finding.status, finding.reason) == (Status.FAIL, "NoSpaceLeft")
    assert {(link.check, link.reason) for link in finding.explains} >= {
        ("node-ready", "DiskPressure"),
        ("node-ready", "RuntimeDown"),
        ("control-plane", "ComponentDown"),
        ("kube-proxy", "NotRunning"),
    }


@pytest.mark.parametrize(
    ("thresholds", "reason"),
    [
        ({}, "Enough"),
        ({"nodefs.available": "0%", "imagefs.available": "100%"}, "Enough"),
        ({"nodefs.available": "13Gi"}, "DiskPressure"),
        ({"nodefs.available": "11Gi"}, "NearlyFull"),
        ({"nodefs.available": "500Mi"}, "Enough"),
        ({"nodefs.available": "lots", "imagefs.available": "x%"}, "Enough"),
    ],
)
def test_the_thresholds_are_the_nodes_own(thresholds: dict[str, str], reason: str) -> None:
    [finding] = judge(space(12), thresholds=thresholds)

    assert finding.reason == reason


def test_etcd_on_a_disk_of_its_own_needs_room_for_its_log() -> None:
    own = {"mount": "/var/lib/etcd", "source": "/dev/sdc1"}

    assert [each.reason for each in judge({"kubelet": space(), "etcd": space(0.2, 8, **own)})] == ["NearlyFull"]
    [finding] = judge({"kubelet": space(), "etcd": space(0.05, 8, **own)})
    assert finding.reason == "NoSpaceLeft"
    assert {(link.check, link.reason, *link.when) for link in finding.explains} == {
        ("etcd", "Unreachable"),
        ("etcd", "Unhealthy"),
        ("control-plane", "ComponentDown", "component:etcd"),
        ("control-plane", "ComponentUnhealthy", "component:etcd"),
    }
    assert [each.reason for each in judge({"kubelet": space(), "etcd": space(1, 8, **own)})] == ["Enough"]


def test_a_file_system_that_the_kernel_made_read_only_is_told_and_its_room_is_not() -> None:
    [finding] = judge(space(0, read_only=True))

    assert (finding.status, finding.reason) == (Status.FAIL, "ReadOnly")
    assert "/ (ext4, /dev/sda1) is mounted read-only" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands[-1] == "mount -o remount,rw /"


def test_plugins_may_lie_where_nothing_is_written_and_must_be_run() -> None:
    healthy = space(0, 1, mount="/opt", source="/dev/sdd1", read_only=True)
    assert [each.reason for each in judge({"kubelet": space(), "plugins": healthy})] == ["Enough"]

    [finding] = judge({"kubelet": space(), "plugins": {**healthy, "no_exec": True}})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "NoExec", "/opt/cni/bin")


def test_images_run_from_a_file_system_without_exec() -> None:
    # The overlay's own mount decides, not the one that its layers lie on.
    [finding] = judge({"kubelet": space(), "images": space(no_exec=True)})

    assert finding.status is Status.PASS


@pytest.mark.parametrize("role", ["etcd", "images"])
def test_data_on_a_network_file_system_is_a_warning(role: str) -> None:
    far = space(mount="/far", source="nas:/k8s", type="nfs4")

    [finding] = judge({"kubelet": space(), role: far})

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "NetworkFileSystem", PATHS[role])
    assert "nas:/k8s" in finding.message


def test_logs_on_a_network_file_system_are_nobodys_business() -> None:
    [finding] = judge({"kubelet": space(), "logs": space(mount="/far", source="nas:/k8s", type="nfs4")})

    assert finding.status is Status.PASS


def test_a_file_system_that_does_not_answer_is_unknown_and_the_others_are_judged() -> None:
    dead = Place("images", "/far", "/far", problem=Unobserved("DeadlineExceeded", "asking did not end within 5 s"))
    full = Place("kubelet", "/var/lib/kubelet", "/var/lib/kubelet", space(3))

    unread, finding = disk(WORKER, Disk((dead, full)))

    assert (unread.status, unread.reason) == (Status.UNKNOWN, "Unread")
    assert finding.reason == "DiskPressure"


# -- the fact ------------------------------------------------------------------------------------------------------------


def observe(
    config: dict[str, Any] | None = None,
    *,
    stage: Stage = WORKER,
    flags: Mapping[str, str] | None = None,
    version: tuple[int, int, int] = (1, 36, 0),
    runtime: Runtime | None = None,
    etcd: EtcdServer | None = None,
    there: tuple[str, ...] = ("/",),
) -> Disk:
    def room(path: str) -> Space | HostError:
        return space(mount=path) if path in there else HostError("NotFound", f"{path} does not exist")

    kubelet = Kubelet(version, 1, flags or {}, dict.fromkeys(flags or {}, "x"), "/c.yaml", config or {}, ())
    return Disk.observe(
        FakeHost(space=room),
        stage,
        kubelet,
        runtime or Runtime("containerd"),
        etcd or EtcdServer(),
        CniSettings(),
    )


def test_a_folder_that_is_not_there_yet_is_looked_for_above() -> None:
    found = observe(there=("/", "/var/lib"))

    assert {(place.role, place.path, place.seen) for place in found.places} == {
        ("kubelet", "/var/lib/kubelet", "/var/lib"),
        ("logs", "/var/log/pods", "/"),
        ("images", "/var/lib/containerd", "/var/lib"),
        ("plugins", "/opt/cni/bin", "/"),
    }


@pytest.mark.parametrize(
    ("runtime", "path"),
    [
        (Runtime("containerd", info={"config": {"containerdRootDir": "/data/c"}}), "/data/c"),
        (Runtime("containerd", cmdline=("containerd", "--root", "/data/d")), "/data/d"),
        (Runtime("containerd", info={"config": "?"}), "/var/lib/containerd"),
        (Runtime("cri-o"), "/var/lib/containers/storage"),
        (Runtime("cri-dockerd"), "/var/lib/docker"),
    ],
)
def test_images_lie_where_the_runtime_says(runtime: Runtime, path: str) -> None:
    place = observe(runtime=runtime).at("images")

    assert place is not None
    assert place.path == path


def test_without_a_runtime_there_are_no_images_and_without_etcd_no_data_of_its() -> None:
    found = observe(runtime=Runtime())

    assert (found.at("images"), found.at("etcd")) == (None, None)


def test_etcds_folder_is_its_flags_and_an_applications_etcd_is_left_alone() -> None:
    manifest = EtcdServer("/etc/kubernetes/manifests/etcd.yaml", ("etcd", "--data-dir=/data/etcd"))
    place = observe(etcd=manifest, stage=Stage("control-plane", "so")).at("etcd")

    assert place is not None
    assert place.path == "/data/etcd"
    assert observe(etcd=EtcdServer("process etcd, pid 7", ("etcd",))).at("etcd") is None


@pytest.mark.parametrize(
    ("config", "flags", "version", "expected"),
    [
        ({}, {}, (1, 36, 0), DEFAULTS),
        ({}, {}, (1, 29, 9), {key: DEFAULTS[key] for key in DEFAULTS if key != "imagefs.inodesFree"}),
        ({"evictionHard": {"nodefs.available": "3%"}}, {}, (1, 36, 0), {"nodefs.available": "3%"}),
        (
            {"evictionHard": {"nodefs.available": "3%"}, "mergeDefaultEvictionSettings": True},
            {},
            (1, 36, 0),
            {**DEFAULTS, "nodefs.available": "3%"},
        ),
        ({}, {"--eviction-hard": "nodefs.available<2%, x"}, (1, 36, 0), {"nodefs.available": "2%"}),
        ({"evictionHard": ["x"]}, {}, (1, 36, 0), DEFAULTS),
    ],
)
def test_thresholds_are_read_as_the_kubelet_reads_them(
    config: dict[str, Any], flags: dict[str, str], version: tuple[int, int, int], expected: dict[str, str]
) -> None:
    assert observe(config, flags=flags, version=version).thresholds == expected


def test_what_may_not_be_asked_at_all_is_raised() -> None:
    with pytest.raises(HostError, match="Permission"):
        Disk.observe(
            FakeHost(space=HostError("NotPermitted", "Permission denied")),
            WORKER,
            Unobserved("Unreadable", "x"),
            Unobserved("Unreadable", "x"),
            Unobserved("Unreadable", "x"),
            Unobserved("Unreadable", "x"),
        )
