"""Who has which proxy, read from a node's files and processes, and whom it was tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubeconfig import Kubeconfig, Kubeconfigs
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_manifest import Manifest
from k8sdoctor.facts.proxied_programs import ProxiedPrograms, ProxyDetours
from k8sdoctor.facts.registry_answers import Answer, RegistryAnswers
from k8sdoctor.facts.registry_chain import RegistryHost
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host

NONE = Unobserved("NotFound", "nothing of the kind")
API = "https://192.0.2.10:6443"
KUBELET = Kubelet((1, 36, 2), 7, {}, {}, "/var/lib/kubelet/config.yaml", {}, ())
CONTROLLER_MANAGER = """
apiVersion: v1
kind: Pod
metadata: {name: kube-controller-manager, namespace: kube-system}
spec:
  containers:
  - name: kube-controller-manager
    image: x
    command: [kube-controller-manager, --kubeconfig=/etc/kubernetes/controller-manager.conf]
    env:
    - {name: https_proxy, value: "http://me:pw@p:3128"}
    - {name: no_proxy, value: localhost}
"""


def observe(host: Host, *, kubelet: Kubelet = KUBELET) -> ProxiedPrograms:
    path = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
    pods = StaticPods(manifests=(Manifest.parse(CONTROLLER_MANAGER, path),))
    files = ("/etc/kubernetes/kubelet.conf", "/etc/kubernetes/controller-manager.conf")
    kubeconfigs = Kubeconfigs(tuple(Kubeconfig(file, server=API) for file in files), ())
    planned = KubeadmConfig(source="--config", service_subnets=("10.96.0.0/12", "nonsense"))
    server = ApiServer(
        "x", ("kube-apiserver", "--service-cluster-ip-range=10.96.0.0/12,fd00::/112", "--advertise-address=192.0.2.10")
    )
    return ProxiedPrograms.observe(host, Runtime(), NONE, kubelet, pods, kubeconfigs, server, planned, NONE, NONE, NONE)


def answer(failure: str | None) -> dict[str, Any]:
    told = {"kind": failure, "message": failure} if failure else None
    return {"status": 0 if failure else 200, "headers": {}, "body": "", "peer": None, "failure": told}


def test_each_program_s_own_variables_are_read() -> None:
    found = observe(FakeHost({"/proc/7/environ": "PATH=/bin\0HTTPS_PROXY=http://q:1\0NO_PROXY=a\0no_proxy=b\0"}))

    kubelet, manager = found.programs
    assert (kubelet.name, kubelet.proxy.https, kubelet.proxy.differing, kubelet.api) == (
        "kubelet",
        "http://q:1",
        ("NO_PROXY",),
        API,
    )
    assert (manager.proxy.shown, manager.proxy.no_proxy, manager.api) == ("http://p:3128", "localhost", API)
    assert found.services == ("10.96.0.0/12", "fd00::/112")
    assert found.nodes == ("192.0.2.10",)


def test_an_environment_that_may_not_be_read_is_told() -> None:
    [kubelet, _] = observe(FakeHost({}, denied={"/proc/7/environ"})).programs

    assert kubelet.unread is not None
    assert kubelet.unread.reason == "NotPermitted"


def test_the_variables_of_shells_are_read_with_their_file() -> None:
    files: Mapping[str, str | HostError] = {
        "/etc/environment": "PATH=/bin\nhttps_proxy='http://p:1'\nNO_PROXY=\n",
        "/etc/profile.d/10-proxy.sh": "export HTTP_PROXY=http://p:1\n",
        "/etc/profile.d/other.sh": "export HTTP_PROXY=http://p:1\n",
        "/proc/7/environ": "",
    }

    assert observe(FakeHost(files)).shell == (
        ("https_proxy", "/etc/environment"),
        ("HTTP_PROXY", "/etc/profile.d/10-proxy.sh"),
    )


def test_whom_the_proxy_does_not_lead_to_is_asked_again_without_it() -> None:
    def http(**request: Any) -> dict[str, Any]:
        return answer("proxy-refused" if request["proxy"] else None)

    host = FakeHost({"/proc/7/environ": ""}, http=http)
    mirror = RegistryHost("https://m:5000/v2", "image", "latest", "hosts.toml:1")
    gone = Answer(mirror, failure="proxy-refused", said="403", proxy="p:3128")
    direct = Answer(RegistryHost("https://d/v2", "image", "latest", "x"), failure="timeout", said="silence")
    answers = RegistryAnswers((gone, direct))
    found = ProxyDetours.observe(host, observe(host), answers, NONE).all

    assert [(each.program, each.target, each.direct, each.api) for each in found] == [
        ("kube-controller-manager", API, True, True),
        ("the runtime", "https://m:5000/v2", True, False),
    ]
    assert "pw" not in repr(found)


def test_nobody_is_asked_where_there_is_no_proxy_or_offline() -> None:
    def offline(**_: Any) -> dict[str, Any]:
        raise HostError("Offline", "--offline forbids HTTP requests")

    host = FakeHost({"/proc/7/environ": ""}, http=offline)

    assert ProxyDetours.observe(host, observe(host), NONE, NONE).all == ()
    assert ProxyDetours.observe(host, ProxiedPrograms(), NONE, NONE).all == ()
