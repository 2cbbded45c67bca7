"""By which name this machine is a Node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost
from tests.api_server import kubeconfig
from tests.certificates import base64_pem, issue

if TYPE_CHECKING:
    from collections.abc import Mapping

CONF = "/etc/kubernetes/kubelet.conf"
CURRENT = "/var/lib/kubelet/pki/kubelet-client-current.pem"
SERVER = {"server": "https://10.0.0.1:6443"}


def name(files: Mapping[str, str]) -> NodeName:
    host = FakeHost(files, identity={"hostname": "Host1", "kernel": "6.1", "machine": "x86_64", "euid": 0})
    return NodeName.observe(host, Kubelet.observe(host, Unobserved("NotFound", "no processes")))


def test_the_kubelets_certificate_decides() -> None:
    pem = issue("system:node:worker-7").pem
    found = name({CONF: kubeconfig(SERVER, {"client-certificate": CURRENT}), CURRENT: pem})

    assert (found.name, found.certificate, found.configured) == ("worker-7", "worker-7", "host1")
    assert CONF in found.source


def test_a_certificate_inside_the_kubeconfig_counts_as_well() -> None:
    data = base64_pem(issue("system:node:worker-8"))

    assert name({CONF: kubeconfig(SERVER, {"client-certificate-data": data})}).name == "worker-8"


def test_the_flag_comes_next_and_then_the_host_name_in_lower_case() -> None:
    flags = {"/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--hostname-override=Edge-3"\n'}

    assert (name(flags).name, name(flags).source) == ("edge-3", "--hostname-override")
    assert (name({}).name, name({}).source) == ("host1", "the host name")


def test_what_is_no_nodes_certificate_does_not_count() -> None:
    admin = base64_pem(issue("kubernetes-admin"))

    for user in ({"client-certificate-data": admin}, {"client-certificate-data": "%"}, {"client-certificate": "/gone"}):
        assert name({CONF: kubeconfig(SERVER, user)}).name == "host1"
    assert name({CONF: "{{{"}).name == "host1"
