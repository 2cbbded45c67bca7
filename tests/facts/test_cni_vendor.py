"""Whose pod network a CNI configuration and the links of a machine tell of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from k8sdoctor.facts.cni import CniExecutable, CniFile, CniFolder
from k8sdoctor.facts.cni_network import parse
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.cni_vendor import ALL, CniVendor
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost

NOTHING = Unobserved("NotPermitted", "")


def folder(*plugins: dict[str, Any], name: str = "pods") -> CniFolder:
    text = json.dumps({"cniVersion": "0.4.0", "name": name, "plugins": plugins})
    loaded = (CniFile("/etc/cni/net.d/10.conflist", network=parse(text, is_list=True)),)
    executables = {"calico": CniExecutable("calico", "/opt/cni/bin/calico")}
    return CniFolder("containerd", CniSettings(), loaded=loaded, executables=executables)


@pytest.mark.parametrize(
    ("plugins", "links", "vendor"),
    [
        ([{"type": "calico"}], ["vxlan.calico"], "Calico"),
        ([{"type": "calico"}], ["flannel.1"], "Canal"),
        ([{"type": "cilium-cni"}], [], "Cilium"),
        ([{"type": "flannel"}, {"type": "cilium-cni"}], [], "Cilium"),
        ([{"type": "flannel"}], [], "flannel"),
        ([{"type": "weave-net"}], [], "Weave"),
        ([{"type": "bridge", "bridge": "kube-bridge"}], [], "kube-router"),
        ([{"type": "antrea"}], [], "Antrea"),
        ([{"type": "bridge"}], ["flannel.1"], None),
    ],
)
def test_a_vendor_is_recognised_by_its_plugins(
    plugins: list[dict[str, Any]], links: list[str], vendor: str | None
) -> None:
    network = NodeNetwork(tuple({"index": index, "name": name} for index, name in enumerate(links)))

    assert CniVendor.observe(FakeHost(), folder(*plugins), network).vendor == vendor


def test_kindnet_is_recognised_by_its_network_s_name() -> None:
    assert CniVendor.observe(FakeHost(), folder({"type": "ptp"}, name="kindnet"), NOTHING).vendor == "kindnet"


def test_calico_is_asked_for_its_version_and_cilium_s_interfaces_are_read() -> None:
    def run(argv: list[str]) -> dict[str, Any]:
        assert argv == ["/opt/cni/bin/calico", "-v"]
        return {"code": 0, "out": "v3.11.3\n", "err": ""}

    calico = CniVendor.observe(FakeHost({ALL: "2\n"}, run=run), folder({"type": "calico"}), NOTHING)
    assert (calico.version, calico.reverse_path) == ((3, 11, 3), 2)

    links = NodeNetwork(({"index": 1, "name": "eth0"}, {"index": 2, "name": "lxc1"}, {"index": 3, "name": "lxc2"}))
    files = {ALL: "0\n", "/proc/sys/net/ipv4/conf/lxc1/rp_filter": "2\n"}  # lxc2 went while we looked
    cilium = CniVendor.observe(FakeHost(files), folder({"type": "cilium-cni"}), links)
    assert (cilium.reverse_path, cilium.own) == (0, (("lxc1", 2),))
