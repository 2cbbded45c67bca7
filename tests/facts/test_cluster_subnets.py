"""What each place of a cluster says of subnets, and what could not be asked."""

from __future__ import annotations

import json
from typing import Any

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_subnets import FLANNEL, ClusterSubnets
from k8sdoctor.facts.cni import CniFile, CniFolder
from k8sdoctor.facts.cni_network import parse
from k8sdoctor.facts.cni_settings import CniSettings
from k8sdoctor.facts.kube_proxy import CONFIG_MAP, KubeProxy
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmConfig
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError
from tests.control_plane import control_plane

NOWHERE = Unobserved("NotFound", "no kubeconfig")
CONF = "/etc/kubernetes/kubelet.conf"


def flannel() -> CniFolder:
    network = parse('{"cniVersion": "0.4.0", "name": "cbr0", "plugins": [{"type": "flannel"}]}', is_list=True)
    return CniFolder(
        "containerd", CniSettings(), loaded=(CniFile("/etc/cni/net.d/10-flannel.conflist", network=network),)
    )


def observe(answers: dict[str, Any], cni: CniFolder | Unobserved = NOWHERE) -> ClusterSubnets:
    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        assert kubeconfig == CONF
        if path not in answers:
            raise HostError("NotFound", f"the API server has no {path}")
        if isinstance(answers[path], HostError):
            raise answers[path]
        return dict(answers[path])

    host, access = FakeHost(kube=kube), ApiAccess(CONF, None)
    return ClusterSubnets.observe(
        host, access, NOWHERE, KubeProxy.observe(host, Processes(()), access), StaticPods(), cni
    )


def test_the_recorded_control_plane_says_it_in_six_places() -> None:
    host = control_plane()
    config = KubeadmConfig(source="ConfigMap x", pod_subnets=("10.244.0.0/16",), service_subnets=("10.96.0.0/16",))

    access = ApiAccess("/etc/kubernetes/admin.conf", None)
    found = ClusterSubnets.observe(
        host,
        access,
        ClusterKubeadmConfig(config),
        KubeProxy.observe(host, Processes(()), access),
        StaticPods.observe(host, NOWHERE),
        NOWHERE,
    )

    pods = [found.kubeadm_pods, found.controller_pods, found.proxy_pods]
    services = [found.kubeadm_services, found.controller_services, found.apiserver_services]
    assert [each.text for each in pods if each] == ["10.244.0.0/16"] * 3
    assert [each.text for each in services if each] == ["10.96.0.0/16"] * 3
    assert found.allocates is True
    assert found.unseen == ()


def test_kube_proxy_counts_only_where_it_tells_pods_by_their_subnet() -> None:
    def proxy(text: str) -> ClusterSubnets:
        return observe({CONFIG_MAP: {"data": {"config.conf": text}}})

    told = proxy("clusterCIDR: 10.244.0.0/16,fd00::/48")
    assert told.proxy_pods is not None
    assert told.proxy_pods.text == "10.244.0.0/16,fd00::/48"
    assert proxy("clusterCIDR: 10.244.0.0/16\ndetectLocalMode: BridgeInterface").proxy_pods is None
    assert proxy("clusterCIDR: ''").proxy_pods is None
    assert proxy("{{{").proxy_pods is None


def test_flannel_is_asked_in_both_namespaces_and_only_where_its_plugin_is_used() -> None:
    text = json.dumps({"Network": "10.244.0.0/16", "EnableIPv6": True, "IPv6Network": "fd00::/48"})
    answers = {FLANNEL[1]: {"metadata": {"namespace": "kube-system"}, "data": {"net-conf.json": text}}}

    found = observe(answers, flannel()).flannel

    assert found is not None
    assert (found.text, found.source) == (
        "10.244.0.0/16,fd00::/48",
        "net-conf.json in ConfigMap kube-system/kube-flannel-cfg",
    )
    assert observe(answers).flannel is None


def test_what_is_malformed_says_nothing() -> None:
    for text in ("{", "[]", '{"Network": 5}', '{"Network": "10.244.0.0"}', "[" * 5000):
        answers = {FLANNEL[0]: {"data": {"net-conf.json": text}}}
        found = observe(answers, flannel()).flannel
        assert found is None or found.text == "10.244.0.0/32"


def test_what_may_not_be_read_is_unseen_and_what_is_not_there_is_not() -> None:
    refused = observe({CONFIG_MAP: HostError("NotPermitted", "forbidden")})

    assert refused.unseen == (Unobserved("NotPermitted", "forbidden"),)
    assert observe({}).unseen == ()
    away = ClusterSubnets.observe(FakeHost(), ApiAccess(None, NOWHERE), NOWHERE, NOWHERE, StaticPods(), flannel())
    assert away.unseen == (NOWHERE,)
