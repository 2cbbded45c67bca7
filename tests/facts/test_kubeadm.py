"""kubeadm's configuration, in every version of its API that is in use."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

INIT = """\
apiVersion: kubeadm.k8s.io/{version}
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: 192.0.2.10, bindPort: 7443}}
nodeRegistration: {{name: cp1, criSocket: "unix:///run/crio/crio.sock"}}
---
apiVersion: kubeadm.k8s.io/{version}
kind: ClusterConfiguration
kubernetesVersion: v1.30.1
controlPlaneEndpoint: "api.example:6443"
imageRepository: mirror.example/k8s
networking: {{podSubnet: "10.244.0.0/16,fd00:10::/56", serviceSubnet: 10.96.0.0/16, dnsDomain: example.local}}
apiServer: {{certSANs: [api.example, 192.0.2.99]}}
"""

JOIN = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {bootstrapToken: {apiServerEndpoint: "192.0.2.1:6443", token: abcdef.0123456789abcdef}}
controlPlane: {localAPIEndpoint: {advertiseAddress: 192.0.2.11}}
"""


@pytest.mark.parametrize("version", ["v1beta2", "v1beta3", "v1beta4"])
def test_what_init_is_told_is_read_in_every_api_version(version: str) -> None:
    config = KubeadmConfig.parse(INIT.format(version=version), "kubeadm.yaml")

    assert config.problem is None
    assert config.advertise_address == "192.0.2.10"
    assert config.bind_port == 7443
    assert config.control_plane_endpoint == "api.example:6443"
    assert config.pod_subnets == ("10.244.0.0/16", "fd00:10::/56")
    assert config.service_subnets == ("10.96.0.0/16",)
    assert config.dns_domain == "example.local"
    assert config.image_repository == "mirror.example/k8s"
    assert config.cri_socket == "unix:///run/crio/crio.sock"
    assert config.cert_sans == ("api.example", "192.0.2.99")
    assert not config.joins


def test_a_join_configuration_tells_where_it_joins() -> None:
    config = KubeadmConfig.parse(JOIN, "join.yaml")

    assert config.joins
    assert config.discovery_endpoint == "192.0.2.1:6443"
    assert config.advertise_address == "192.0.2.11"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: [", "kubeadm.yaml, line 2, column 1"),
        ("\x00\x01\x02", "kubeadm.yaml"),
        ("", "holds none of"),
        ("- a\n- b\n", "holds none of"),
        ("kind: Pod\n", "holds none of"),
    ],
)
def test_what_is_no_kubeadm_configuration_is_a_problem_that_names_the_file(text: str, says: str) -> None:
    problem = KubeadmConfig.parse(text, "kubeadm.yaml").problem

    assert problem is not None
    assert says in problem


def test_fields_of_a_wrong_kind_are_taken_as_not_said() -> None:
    config = KubeadmConfig.parse("kind: ClusterConfiguration\nnetworking: [1]\napiServer: x\n", "kubeadm.yaml")

    assert (config.problem, config.pod_subnets, config.cert_sans) == (None, (), ())


def test_the_cluster_s_own_configuration_comes_from_its_config_map() -> None:
    text = INIT.format(version="v1beta4").partition("---\n")[2]
    host = FakeHost(kube=lambda **_: {"data": {"ClusterConfiguration": text}})

    config = ClusterKubeadmConfig.observe(host, ApiAccess("/etc/kubernetes/admin.conf", None)).config

    assert config.source == "ConfigMap kube-system/kubeadm-config"
    assert config.control_plane_endpoint == "api.example:6443"


def test_without_access_the_reason_is_that_of_the_access() -> None:
    with pytest.raises(HostError) as caught:
        ClusterKubeadmConfig.observe(FakeHost(), ApiAccess(None, Unobserved("Offline", "--offline was given")))

    assert caught.value.reason == "Offline"
