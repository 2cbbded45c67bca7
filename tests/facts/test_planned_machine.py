"""What of this machine a kubeadm configuration is held against: sockets, its name, its DNS servers, its kernel."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.cri_sockets import CriSockets
from k8sdoctor.facts.kube_proxy import KubeProxy
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.facts.node_kernel import NodeKernel
from k8sdoctor.facts.planned_name import PlannedName
from k8sdoctor.facts.resolvers import RESOLV_CONF, UPSTREAM, Resolvers
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

IPVS = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"
IDENTITY: dict[str, Any] = {"hostname": "W1 ", "kernel": "6.1.0", "machine": "x86_64", "euid": 0}


def test_a_regular_file_is_no_socket() -> None:
    host = FakeHost({"/var/run/crio/crio.sock": "", "/run/x.sock": ""})

    found = CriSockets.observe(host, KubeadmConfig(source="x", cri_socket="unix:///run/x.sock"))

    assert found == CriSockets((), "/run/x.sock", "file")
    assert CriSockets.observe(host, KubeadmConfig(source="x", cri_socket="/run/y.sock")).planned_is == "absent"
    assert CriSockets.observe(host, KubeadmConfig(source="x", cri_socket="npipe:////./pipe/x")) == CriSockets()


def test_sockets_that_may_not_be_looked_at_are_not_absent() -> None:
    host = FakeHost(denied=["/var/run/containerd/containerd.sock"])

    with pytest.raises(HostError, match="Permission denied"):
        CriSockets.observe(host, KubeadmConfig())


def test_the_host_name_is_asked_for_as_kubeadm_writes_it_and_only_where_something_is_planned() -> None:
    asked: list[str] = []

    def resolve(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"addresses": ["192.0.2.1"], "error": None}

    host = FakeHost(resolve=resolve, identity=IDENTITY)

    assert PlannedName.observe(host, KubeadmConfig()) == PlannedName()
    assert PlannedName.observe(host, KubeadmConfig(source="x", problem="no YAML")) == PlannedName()
    assert PlannedName.observe(host, KubeadmConfig(source="x")) == PlannedName("w1", False, ("192.0.2.1",))  # noqa: FBT003
    assert PlannedName.observe(host, KubeadmConfig(source="x", node_name="CP")).written
    assert asked == ["w1", "cp"]


def test_the_stub_of_systemd_is_replaced_by_the_servers_that_it_asks() -> None:
    host = FakeHost(
        {
            RESOLV_CONF: "nameserver 127.0.0.53\nsearch a.example\n",
            UPSTREAM: "# made\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver x\ndomain b.example\nsearch C.example. d\n",
        }
    )

    found = Resolvers.observe(host)

    assert [(str(address), path) for address, path in found.servers] == [
        ("192.0.2.53", UPSTREAM),
        ("fe80::1", UPSTREAM),
    ]
    assert found.searches == ("c.example", "d")


@pytest.mark.parametrize("text", ["", "{{{: [\n", "\x7fELF\ufffd", "nameserver\n"])
def test_a_resolv_conf_of_nonsense_names_nobody(text: str) -> None:
    assert Resolvers.observe(FakeHost({RESOLV_CONF: text})) == Resolvers()


@pytest.mark.parametrize(
    ("files", "ipvs"),
    [
        ({"/proc/net/ip_vs": ""}, "here"),
        ({"/lib/modules/6.1.0/modules.dep": "kernel/net/netfilter/ipvs/ip_vs.ko.xz: kernel/x.ko\n"}, "loadable"),
        ({"/lib/modules/6.1.0/modules.dep": "kernel/net/bridge/br_netfilter.ko:\n"}, "absent"),
        ({}, "unknown"),
    ],
)
def test_ipvs_is_looked_for_where_it_is_planned_and_nowhere_else(files: dict[str, str], ipvs: str) -> None:
    host = FakeHost(files, identity=IDENTITY)

    assert NodeKernel.observe(host, KubeadmDocuments.parse(IPVS, "/k.yaml"), KubeProxy()).ipvs == ipvs
    assert NodeKernel.observe(host, KubeadmDocuments(), KubeProxy(mode="ipvs")).ipvs == ipvs
    iptables = KubeadmDocuments.parse(IPVS.replace("ipvs", "iptables"), "/k.yaml")
    assert NodeKernel.observe(host, iptables, Unobserved("NotFound", "")).ipvs is None
    assert NodeKernel.observe(host, KubeadmDocuments(), KubeProxy()).release == (6, 1, 0)
