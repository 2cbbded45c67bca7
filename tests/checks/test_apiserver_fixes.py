"""What is pasted when the API server's certificate is at fault, by what it depends on."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from k8sdoctor.checks import _apiserver_fixes as fixes
from k8sdoctor.checks._kubeconfig_fixes import restart
from k8sdoctor.facts.kubeconfig import ADMIN
from k8sdoctor.finding import Safety
from tests.checks.api_server_node import CERTIFICATE, LB, MANIFEST, OWN, good

if TYPE_CHECKING:
    from pathlib import Path

    from tests.certificates import Issued


SITE = fixes.Site(
    control_plane=True,
    certificate=CERTIFICATE,
    manifest=MANIFEST,
    version=(1, 36, 0),
    api_version=None,
    node_name="node1",
    cri_socket=None,
    endpoint=None,
    advertise_address=OWN,
    port=6443,
    planned=None,
    tls_server_name=None,
)


@pytest.mark.parametrize(("version", "restarts"), [(None, False), ((1, 36, 0), False), ((1, 16, 15), True)])
def test_the_api_server_takes_a_new_certificate_up_by_itself(
    version: tuple[int, int, int] | None, *, restarts: bool
) -> None:
    site = replace(SITE, version=version)
    for fix in (
        fixes.renew(site, certificate(good())),
        fixes.add_names(site, [LB], certificate(good())),
        fixes.make_anew(site, certificate(good())),
    ):
        assert any(MANIFEST in command for command in fix.commands) is restarts
    assert (fixes.renew(site, certificate(good())).safety is Safety.DISRUPTIVE) is restarts
    assert MANIFEST in fixes.restart_only(site).commands[0]


def test_kubeadm_is_told_what_it_would_take_from_its_defaults() -> None:
    site = replace(SITE, endpoint=f"{LB}:6443", port=8443)
    kubelet = "/etc/kubernetes/kubelet.conf"

    told = f"--control-plane-endpoint {LB}:6443 --apiserver-advertise-address {OWN} --apiserver-bind-port 8443"
    assert fixes.rewrite_kubeconfig(site, ADMIN).commands[-1] == f"kubeadm init phase kubeconfig admin {told}"
    assert fixes.rewrite_kubeconfig(site, kubelet).commands[-1].endswith(f"kubelet {told} --node-name node1")
    assert (
        fixes.new_kubeconfigs(site, [kubelet], certificate(good())).commands[-1].endswith(f"{told} --node-name node1")
    )


def test_a_worker_has_no_authority_to_write_a_kubeconfig_with() -> None:
    fix = fixes.rewrite_kubeconfig(replace(SITE, control_plane=False), "/etc/kubernetes/kubelet.conf")

    assert not any("init phase" in command for command in fix.commands)


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("apiServer: {}\nkind: ClusterConfiguration\n", {}),
        (
            "apiServer:\n  timeoutForControlPlane: 4m0s\nkind: ClusterConfiguration\n",
            {"timeoutForControlPlane": "4m0s"},
        ),
        ("apiServer:\n  certSANs:\n  - old.example\n  extraArgs: []\nkind: ClusterConfiguration\n", {"extraArgs": []}),
        ("apiServer:\n  extraArgs: []\n  certSANs:\n  - old.example\nkind: ClusterConfiguration\n", {"extraArgs": []}),
    ],
)
def test_names_are_inserted_into_every_shape_of_kubeadms_configuration(
    tmp_path: Path, before: str, kept: dict[str, Any]
) -> None:
    config = tmp_path / "kubeadm.yaml"
    config.write_text(before)

    command = fixes.insert_names(["10.0.0.9", "fd00::9", LB], str(config))
    subprocess.run(["bash", "-ec", command], check=True)

    [server] = [yaml.safe_load(config.read_text())["apiServer"]]
    old = ["old.example"] if "old.example" in before else []
    assert server == {**kept, "certSANs": ["10.0.0.9", "fd00::9", LB, *old]}


@pytest.mark.parametrize(
    ("version", "api"),
    [((1, 21, 0), "v1beta2"), ((1, 22, 0), "v1beta3"), ((1, 30, 9), "v1beta3"), ((1, 31, 0), "v1beta4")],
)
def test_documents_are_of_the_version_that_kubeadm_knows(version: tuple[int, int, int], api: str) -> None:
    assert replace(SITE, version=version).kubeadm_api == f"kubeadm.k8s.io/{api}"


def test_the_cluster_tells_its_own_version_of_the_documents() -> None:
    assert replace(SITE, api_version="kubeadm.k8s.io/v1beta3").kubeadm_api == "kubeadm.k8s.io/v1beta3"


def test_documents_for_a_kubeadm_that_nobody_knows_are_of_the_version_in_the_cluster(tmp_path: Path) -> None:
    fix = fixes.add_names(replace(SITE, version=None), [LB], certificate(good()))
    [command] = [command for command in fix.commands if "printf" in command]
    config = command.rpartition(">> ")[2]
    local = tmp_path / "kubeadm.yaml"
    local.write_text("apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n")

    subprocess.run(["bash", "-ec", command.replace(config, str(local))], check=True)

    assert [each["apiVersion"] for each in yaml.safe_load_all(local.read_text())] == ["kubeadm.k8s.io/v1beta3"] * 2


def test_no_line_of_the_fix_overwrites_a_file(tmp_path: Path) -> None:
    leaf = good()
    for name in ("apiserver.crt", "apiserver.key"):
        (tmp_path / name).write_text(name)
    (tmp_path / f"apiserver.crt.{fingerprint(leaf)[:8]}").write_text("kept")
    site = replace(SITE, certificate=str(tmp_path / "apiserver.crt"))

    for _ in range(2):
        subprocess.run(["bash", "-c", fixes._aside(site, certificate(leaf))], check=False)

    assert (tmp_path / f"apiserver.crt.{fingerprint(leaf)[:8]}").read_text() == "kept"


def certificate(issued: Issued) -> Any:
    from k8sdoctor.facts.x509 import Certificate

    return Certificate.parse(issued.pem)


def fingerprint(issued: Issued) -> str:
    text: str = certificate(issued).fingerprint
    return text


FOUR = [
    f"/etc/kubernetes/manifests/{name}.yaml"
    for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
]


@pytest.mark.parametrize("manifests", [FOUR, FOUR[1:3], FOUR[:1]])
def test_static_pods_are_restarted_by_taking_their_manifests_away_for_a_while(manifests: list[str]) -> None:
    line = restart(manifests)
    shown = f'mv() {{ printf "%s\\n" "$*"; }}; sleep() {{ echo "$1"; }}; {line}'

    said = subprocess.run(["sh", "-ec", shown], capture_output=True, text=True, check=True).stdout.splitlines()

    aside = [f"/etc/kubernetes/{path.rpartition('/')[2]}.restarting" for path in manifests]
    away = [f"-n {here} {there}" for here, there in zip(manifests, aside, strict=True)]
    back = [f"-n {there} {here}" for here, there in zip(manifests, aside, strict=True)]
    assert said == [*away, "25", *back]
    assert len(line) < 400
