"""Which addresses pods ask for DNS, which domain, and who is behind them."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_dns import ClusterDns, parse_resolv_conf
from k8sdoctor.facts.kubeadm import KubeadmConfig
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

NOTHING = Unobserved("NotFound", "nothing")
NO_API = ApiAccess(None, Unobserved("NotFound", "there is no kubeconfig here"))
API = ApiAccess("/etc/kubernetes/admin.conf", None)


def kubelet(**config: Any) -> Kubelet:
    return Kubelet(
        version=(1, 36, 2),
        pid=1,
        flags={},
        flag_sources={},
        config_path="/var/lib/kubelet/config.yaml",
        config=config,
        problems=(),
    )


def pod(name: str, address: str, *, pid: int | None = None, labels: dict[str, str] | None = None) -> PodNamespace:
    return PodNamespace(
        path=f"/run/netns/{name}",
        inode=pid or 0,
        name=f"kube-system/{name}",
        addresses=(address,),
        bridge="cni0",
        labels=labels or {},
        pid=pid,
    )


def service(name: str, *ips: str, port: int = 53, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "clusterIP": ips[0] if ips else "None",
            "clusterIPs": list(ips),
            "ports": [{"name": "dns", "port": port, "protocol": "UDP"}, {"name": "metrics", "port": 9153}],
        },
    }


def endpoint_slice(*endpoints: dict[str, Any], port: int = 53) -> dict[str, Any]:
    return {
        "endpoints": list(endpoints),
        "ports": [
            {"name": "metrics", "port": 9153, "protocol": "TCP"},
            {"name": "dns", "port": port, "protocol": "UDP"},
        ],
    }


def endpoint(address: str, pod_name: str, *, ready: bool | None = True) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": {"ready": ready},
        "targetRef": {"kind": "Pod", "name": pod_name, "namespace": "kube-system"},
    }


class Api:
    """What the API server answers to the paths that a test names; other paths have no items."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, path: str, kubeconfig: str) -> Any:
        assert kubeconfig == API.kubeconfig
        self.asked.append(path)
        for beginning, answer in self.answers.items():
            if path.startswith(beginning):
                return {"items": answer} if isinstance(answer, list) else answer
        return {"items": []}


LABELLED = "/api/v1/services?labelSelector=k8s-app%3Dkube-dns"
BY_ADDRESS = "/api/v1/services?fieldSelector=spec.clusterIP%3D"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D"


def observe(
    files: dict[str, str] | None = None,
    *,
    of: Kubelet | Unobserved = NOTHING,
    pods: tuple[PodNamespace, ...] = (),
    access: ApiAccess | Unobserved = NO_API,
    kubeadm: KubeadmConfig | Unobserved = NOTHING,
    network: NodeNetwork | Unobserved = NOTHING,
    **verbs: Any,
) -> ClusterDns:
    return ClusterDns.observe(FakeHost(files, **verbs), of, PodNamespaces(pods), network, access, kubeadm)


def test_the_kubelet_names_addresses_and_domain() -> None:
    dns = observe(of=kubelet(clusterDNS=["10.96.0.10", "fd00:96::a"], clusterDomain="example.test"))

    assert [one.address for one in dns.addresses] == ["10.96.0.10", "fd00:96::a"]
    assert dns.addresses[0].source == "clusterDNS in /var/lib/kubelet/config.yaml"
    assert dns.name == "kubernetes.default.svc.example.test."


def test_a_slip_of_the_pen_is_no_address() -> None:
    dns = observe(of=kubelet(clusterDNS=["10.96.0", "10.96.0.10"]))

    assert [one.address for one in dns.addresses] == ["10.96.0.10"]


def test_without_the_kubelet_pods_resolv_conf_tells_what_all_pods_share() -> None:
    dns = observe(
        {
            "/proc/5/root/etc/resolv.conf": "search default.svc.corp.test svc.corp.test corp.test\nnameserver 10.9.0.10\nnameserver 8.8.8.8\n",
            "/proc/6/root/etc/resolv.conf": "nameserver 10.9.0.10\nsearch x.svc.corp.test svc.corp.test corp.test\n",
            "/proc/7/root/etc/resolv.conf": "nameserver 192.0.2.53\nsearch corp.test\n",
        },
        pods=(pod("a", "10.244.0.5", pid=5), pod("b", "10.244.0.6", pid=6), pod("c", "10.244.0.7", pid=7)),
    )

    assert [(one.address, one.source) for one in dns.addresses] == [
        ("10.9.0.10", "/etc/resolv.conf of pod kube-system/a")
    ]
    assert dns.domain == "corp.test"


def test_kubeadm_s_configuration_tells_the_domain_where_nobody_else_does() -> None:
    assert observe(kubeadm=KubeadmConfig(source="--config x", dns_domain="plan.test")).domain == "plan.test"


def test_nobody_s_domain_is_not_invented() -> None:
    dns = observe()

    assert dns.domain is None
    assert dns.name == "kubernetes.default.svc."
    assert dns.addresses == ()


def test_the_api_server_tells_both_families_and_the_servers_that_are_ready() -> None:
    api = Api(
        {
            LABELLED: [
                service("kube-dns", "10.96.0.10", "fd00:96::a"),
                service("kube-dns-upstream", "10.96.0.77"),
                service("kube-dns-metrics", "10.96.0.78", port=9153),
            ],
            f"{SLICES}kube-dns": [
                endpoint_slice(
                    endpoint("10.244.0.2", "coredns-1"),
                    endpoint("10.244.9.3", "coredns-2", ready=None),
                    endpoint("10.244.0.4", "coredns-3", ready=False),
                    port=5353,
                )
            ],
        }
    )
    dns = observe(of=kubelet(clusterDNS=["10.96.0.10"]), access=API, kube=api, pods=(pod("coredns-1", "10.244.0.2"),))

    assert [one.address for one in dns.addresses] == ["10.96.0.10", "fd00:96::a"]
    assert dns.service == "kube-system/kube-dns"
    assert [(one.address, one.port, one.name, one.local) for one in dns.backends] == [
        ("10.244.0.2", 5353, "kube-system/coredns-1", True),
        ("10.244.9.3", 5353, "kube-system/coredns-2", False),
    ]
    assert dns.complete


def test_a_service_without_the_usual_label_is_found_by_its_address() -> None:
    api = Api({f"{BY_ADDRESS}10.96.0.53": [service("dns-default", "10.96.0.53")]})
    dns = observe(of=kubelet(clusterDNS=["10.96.0.53"]), access=API, kube=api)

    assert dns.service == "kube-system/dns-default"
    assert dns.complete
    assert dns.backends == ()


def test_servers_of_one_s_own_are_not_judged_by_a_service_that_no_pod_asks() -> None:
    api = Api({LABELLED: [service("kube-dns", "10.96.0.10")]})
    dns = observe(of=kubelet(clusterDNS=["192.0.2.53"]), access=API, kube=api)

    assert [one.address for one in dns.addresses] == ["192.0.2.53"]
    assert (dns.service, dns.complete) == (None, False)


def test_before_1_21_endpoints_tell_who_is_ready() -> None:
    endpoints = {
        "subsets": [
            {
                "addresses": [{"ip": "10.244.0.2", "targetRef": {"name": "coredns-1", "namespace": "kube-system"}}],
                "notReadyAddresses": [{"ip": "10.244.0.3"}],
                "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
            }
        ]
    }
    api = Api(
        {
            LABELLED: [service("kube-dns", "10.96.0.10")],
            SLICES: HostError("NotFound", "the server could not find the requested resource"),
            "/api/v1/namespaces/kube-system/endpoints/kube-dns": endpoints,
        }
    )
    dns = observe(access=API, kube=api)

    assert [(one.address, one.name) for one in dns.backends] == [("10.244.0.2", "kube-system/coredns-1")]
    assert dns.complete


def test_behind_a_cache_on_the_node_are_the_servers_of_the_labelled_service() -> None:
    api = Api(
        {
            LABELLED: [service("kube-dns", "10.96.0.10")],
            f"{SLICES}kube-dns": [endpoint_slice(endpoint("10.244.0.2", "coredns-1"))],
        }
    )
    dns = observe(
        of=kubelet(clusterDNS=["169.254.20.10"]),
        access=API,
        kube=api,
        network=NodeNetwork(
            links=({"index": 9, "name": "nodelocaldns"},),
            addresses=({"index": 9, "address": "169.254.20.10", "prefix": 32, "family": 4},),
        ),
    )

    assert [one.address for one in dns.addresses] == ["169.254.20.10"]
    assert dns.on_node == (("169.254.20.10", "nodelocaldns"),)
    assert [one.name for one in dns.backends] == ["kube-system/coredns-1"]


def test_an_api_server_that_forbids_endpoints_leaves_the_servers_to_the_node_s_own_knowledge() -> None:
    api = Api(
        {
            LABELLED: [service("kube-dns", "10.96.0.10")],
            SLICES: HostError("NotPermitted", "endpointslices is forbidden"),
        }
    )
    dns = observe(
        access=API,
        kube=api,
        pods=(pod("coredns-1", "10.244.0.2", labels={"k8s-app": "kube-dns"}), pod("a", "10.244.0.5")),
    )

    assert dns.service == "kube-system/kube-dns"
    assert not dns.complete
    assert [(one.name, one.local) for one in dns.backends] == [("kube-system/coredns-1", True)]
    assert "endpointslices is forbidden" in dns.problems


def test_a_dead_api_server_is_a_problem_and_not_the_end() -> None:
    dns = observe(
        of=kubelet(clusterDNS=["10.96.0.10"]),
        access=API,
        kube=HostError("Unreadable", "the API server does not answer"),
    )

    assert [one.address for one in dns.addresses] == ["10.96.0.10"]
    assert not dns.complete
    assert dns.problems == ("the API server does not answer",)


LISTENING = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 4021: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0 0
"""
LISTENING6 = LISTENING.replace("00000000:0035", "00000000000000000000000000000000:0035")


@pytest.mark.parametrize(
    ("udp", "udp6", "serves"),
    [
        (LISTENING, "", True),
        ("", LISTENING6, True),
        (LISTENING.replace("00000000:0035", "0100007F:0035"), "", False),
        ("", LISTENING.replace("00000000:0035", "00000000000000000000000001000000:0035"), False),
        (LISTENING.replace(":0035", ":1F90"), "", False),
        ("garbage\nmore\n\n", "", False),
    ],
)
def test_without_labels_who_listens_on_port_53_is_a_server(udp: str, udp6: str, serves: bool) -> None:
    dns = observe(
        {
            "/run/netns/a:/proc/thread-self/net/udp": udp,
            "/run/netns/a:/proc/thread-self/net/udp6": udp6,
        },
        pods=(pod("a", "10.244.0.5"),),
    )

    assert [one.name for one in dns.backends] == (["kube-system/a"] if serves else [])


def test_resolv_conf_as_people_write_it() -> None:
    text = "# by hand\n\nnameserver\nnameserver fe80::1%eth0\nnameserver 10.96.0.10 # dns\nsearch a\nsearch b. c\n"

    assert parse_resolv_conf(text) == (["fe80::1%eth0", "10.96.0.10"], ["b", "c"])
