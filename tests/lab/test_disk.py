"""disk: file systems that are really full, out of inodes, read-only and without exec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

KUBELET = "/var/lib/kubelet"
PLUGINS = "/opt/cni/bin"
CONFIG = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
"""


@pytest.fixture(scope="module")
def node() -> Iterator[LabNode]:
    with LabNode("disk1") as lab:
        lab.write("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\n")
        lab.write("/etc/kubernetes/kubelet.conf", "kind: Config\n")
        lab.run(["mkdir", "-p", PLUGINS])
        lab.write("/etc/containerd/config.toml", CONFIG)  # Debian's containerd would look in /usr/lib/cni
        yield lab


def reasons(node: LabNode, *arguments: str) -> set[tuple[str, str | None]]:
    found = node.check("disk", "--offline", *arguments).result("disk")["findings"]
    return {(finding["reason"], finding.get("subject")) for finding in found}


@pytest.mark.parametrize(
    ("options", "then", "expected"),
    [
        ("size=1000m", ":", ("Enough", None)),
        ("size=1000m", "fallocate -l 870m {0}/log", ("NearlyFull", KUBELET)),
        ("size=1000m", "fallocate -l 920m {0}/log", ("DiskPressure", KUBELET)),
        ("size=1000m", "fallocate -l 960m {0}/log", ("NoSpaceLeft", KUBELET)),
        ("size=1000m,nr_inodes=100", "touch {0}/f{{1..96}}", ("DiskPressure", KUBELET)),
        ("size=1000m,nr_inodes=20", "touch {0}/f{{1..19}}", ("NoSpaceLeft", KUBELET)),
        ("size=1000m", "mount -o remount,ro {0}", ("ReadOnly", KUBELET)),
    ],
    ids=["room", "nearly full", "pressure", "full", "few inodes", "no inodes", "read-only"],
)
def test_a_file_system_is_judged_as_it_really_is(
    node: LabNode, options: str, then: str, expected: tuple[str, str | None]
) -> None:
    node.shell(f"mount -t tmpfs -o {options} small {KUBELET}; {then.format(KUBELET)}")
    try:
        assert reasons(node) == {expected}
    finally:
        node.shell(f"umount {KUBELET}")


def test_plugins_that_may_not_be_run_are_told_also_of_another_root_and_the_fix_mends_it(node: LabNode) -> None:
    node.shell(f"mount -t tmpfs -o noexec,size=9m plugins {PLUGINS}")
    try:
        assert reasons(node) == reasons(node, "--root", "/proc/1/root") == {("NoExec", PLUGINS)}

        [finding] = node.check("disk", "--offline").result("disk")["findings"]
        node.shell("\n".join(finding["fix"]["commands"]))

        assert reasons(node) == {("Enough", None)}
    finally:
        node.shell(f"umount {PLUGINS}")
