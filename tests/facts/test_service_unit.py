"""A systemd service's files, command line and enablement, held against systemd itself where its tools take another root."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.service_unit import ServiceUnit
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "/usr/lib/systemd/system/kubelet.service"
DROP_IN = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
ETC = "/etc/systemd/system/kubelet.service.d"

# As the packages of pkgs.k8s.io have them.
PACKAGE = {
    UNIT: "[Unit]\nDescription=kubelet\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n[Install]\nWantedBy=multi-user.target\n",
    DROP_IN: (
        "[Service]\n"
        'Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/b.conf --kubeconfig=/k.conf"\n'
        'Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"\n'
        "EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\n"
        "EnvironmentFile=-/etc/default/kubelet\n"
        "ExecStart=\n"
        "ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n"
    ),
}
BASE = (
    "/usr/bin/kubelet",
    "--bootstrap-kubeconfig=/b.conf",
    "--kubeconfig=/k.conf",
    "--config=/var/lib/kubelet/config.yaml",
)


def unit(files: dict[str, str]) -> ServiceUnit:
    return ServiceUnit.read(FakeHost({**PACKAGE, **files}), "kubelet")


def test_kubeadms_drop_in_gives_the_command_line_and_absent_files_give_nothing() -> None:
    found = unit({})

    assert (found.words, found.commands, found.source, found.absent) == (BASE, 1, DROP_IN, ())
    assert found.environment_files == ("/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet")


def test_environment_files_are_filled_in_quoted_or_not_and_split_at_blanks() -> None:
    found = unit(
        {
            "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--a=1 --b=2"\n',
            "/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--c=3 --d=4\n",
        }
    )

    assert found.words == (*BASE, "--a=1", "--b=2", "--c=3", "--d=4")


def test_a_file_of_the_environment_wins_over_the_environment_of_the_unit() -> None:
    found = unit(
        {
            f"{ETC}/20-later.conf": "[Service]\nEnvironment=KUBELET_EXTRA_ARGS=--unit\n",
            "/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--file\n",
        }
    )

    assert found.words == (*BASE, "--file")


def test_a_drop_in_of_etc_takes_the_place_of_the_one_of_the_same_name() -> None:
    found = unit(
        {
            f"{ETC}/10-kubeadm.conf": "[Service]\nExecStart=\nExecStart=/opt/kubelet --x ${HOME}\nEnvironment=HOME=/root\n"
        }
    )

    assert found.words == ("/opt/kubelet", "--x", "/root")
    assert DROP_IN not in found.files


def test_a_second_command_without_an_empty_one_before_it_is_counted() -> None:
    assert unit({f"{ETC}/20.conf": "[Service]\nExecStart=/usr/bin/kubelet --v=2\n"}).commands == 2


def test_a_file_of_the_environment_that_must_be_there_is_named() -> None:
    assert unit({f"{ETC}/20.conf": "[Service]\nEnvironmentFile=/etc/gone\n"}).absent == ("/etc/gone",)


def test_a_unit_is_enabled_by_a_link_and_masked_by_one_to_nowhere() -> None:
    wanted = "/etc/systemd/system/multi-user.target.wants/kubelet.service"

    assert (unit({}).enabled, unit({wanted: ""}).enabled) == (False, True)
    assert unit({}).wanted_by == ("multi-user.target",)
    assert ServiceUnit.read(FakeHost(PACKAGE, readlink="/dev/null"), "kubelet").masked
    assert ServiceUnit.read(FakeHost(), "kubelet") == ServiceUnit()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is the judge")
@pytest.mark.parametrize("second", [False, True])
def test_systemd_too_refuses_a_second_command(tmp_path: Path, *, second: bool) -> None:
    files = {**PACKAGE, **({f"{ETC}/20.conf": "[Service]\nExecStart=/usr/bin/kubelet --v=2\n"} if second else {})}
    for path, text in files.items():
        target = tmp_path / path.removeprefix("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    words = ["systemd-analyze", "verify", f"--root={tmp_path}", "kubelet.service"]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stderr

    assert ("has more than one ExecStart=" in said) is second
    assert (ServiceUnit.read(LiveHost(root=str(tmp_path)), "kubelet").commands == 2) is second


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemd is the judge")
@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_systemd_too_says_whether_it_is_enabled(tmp_path: Path, verb: str) -> None:
    target = tmp_path / UNIT.removeprefix("/")
    target.parent.mkdir(parents=True)
    target.write_text(PACKAGE[UNIT])
    subprocess.run(["systemctl", f"--root={tmp_path}", verb, "kubelet.service"], check=True, capture_output=True)

    assert ServiceUnit.read(LiveHost(root=str(tmp_path)), "kubelet").enabled is (verb == "enable")
