"""What is known of CoreDNS: from the API server, and from the logs alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.coredns import ROLE, CoreDns
from k8sdoctor.facts.dns_upstreams import DnsUpstreams, Upstream
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.facts.pod_namespaces import PodNamespace, PodNamespaces
from k8sdoctor.facts.pod_resolver import PodResolver
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError
from tests import control_plane

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsQuery

ADMIN = ApiAccess("/etc/kubernetes/admin.conf", None)
HERE = NodeName("cp1", "", "cp1")
NO_ACCESS = ApiAccess(None, Unobserved("Unreadable", "nobody answers"))
FOLDER = "/var/log/pods/kube-system_coredns-589f44dc88-7rqsk_e72cd894-3d52-4d4d-a91b-93d464954d15/coredns"


def test_the_recorded_servers_are_ready_and_their_last_words_come_without_time_and_stream() -> None:
    files = {
        f"{FOLDER}/9.log": "2026-11-20T13:22:04.1Z stdout F old\n",
        f"{FOLDER}/10.log": "2026-11-20T13:22:04.1Z stdout F [INFO] plugin/reload: Running\n",
    }
    found = CoreDns.observe(FakeHost(files, kube=control_plane.kube), ADMIN, HERE)

    assert [(pod.ready, pod.node, pod.address, pod.policy, pod.here) for pod in found.pods] == [
        (True, "cp1", "10.244.0.2", "Default", True),
        (True, "cp1", "10.244.0.3", "Default", True),
    ]
    assert found.pods[0].log == ("[INFO] plugin/reload: Running",)
    assert (found.complete, found.config_map, found.problem) == (True, "kube-system/coredns", None)
    assert "forward . /etc/resolv.conf" in (found.corefile or "")


def test_a_kubelet_that_may_list_its_own_pods_alone_is_content_with_those() -> None:
    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        if "labelSelector" in path:
            raise HostError("NotPermitted", "no right to list pods")
        return control_plane.kube(path, kubeconfig)

    found = CoreDns.observe(FakeHost(kube=kube), ADMIN, HERE)

    assert (len(found.pods), found.complete) == (2, False)


def test_a_crash_is_told_with_reason_and_exit_code_and_a_pod_that_ends_is_left_out() -> None:
    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        answer = control_plane.kube(path, kubeconfig)
        if "/pods" in path:
            first, second = answer["items"]
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
            last = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
            own = {"name": "coredns", "restartCount": 7, "state": state, "lastState": last}
            broken = first | {
                "status": {"containerStatuses": [own], "conditions": [{"type": "Ready", "status": "False"}]}
            }
            ended = second | {"metadata": second["metadata"] | {"deletionTimestamp": "2026-11-20T13:22:04Z"}}
            return {"items": [broken, ended]}
        return answer

    [pod] = CoreDns.observe(FakeHost(kube=kube), ADMIN, HERE).pods

    assert (pod.ready, pod.state, pod.ended, pod.restarts) == (False, "CrashLoopBackOff", "OOMKilled, exit code 137", 7)


def _changed(status: dict[str, Any], spec: dict[str, Any] | None = None) -> Any:
    """The recorded API server, with the first pod in this state and no other."""

    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        answer = control_plane.kube(path, kubeconfig)
        if "/pods" in path:
            first = answer["items"][0]
            conditions = [{"type": "Ready", "status": "False"}, *status.pop("conditions", [])]
            changed = {"spec": first["spec"] | (spec or {}), "status": {**status, "conditions": conditions}}
            return {"items": [first | changed]}
        return answer

    return kube


def test_a_pod_that_no_node_takes_is_told_with_the_scheduler_s_words() -> None:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    kube = _changed({"conditions": [said]}, {"nodeName": None})
    [pod] = CoreDns.observe(FakeHost(kube=kube), ADMIN, HERE).pods

    assert (pod.ready, pod.unplaced, pod.here) == (False, "Unschedulable: 0/1 nodes are available", False)


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        ((503, '["kubernetes"]'), ("kubernetes",)),
        ((503, "kubernetes,forward"), ("kubernetes", "forward")),
        ((200, "OK"), ()),
        ((0, ""), ()),
    ],
)
def test_a_server_of_this_node_that_is_not_ready_is_asked_why(answer: tuple[int, str], waits: tuple[str, ...]) -> None:
    asked: list[str] = []

    def http(**request: Any) -> Any:
        asked.append(request["url"])
        return {"status": answer[0], "headers": {}, "body": answer[1], "failure": None}

    host = FakeHost(kube=_changed({"podIP": "10.244.0.2"}), http=http)
    [pod] = CoreDns.observe(host, ADMIN, HERE).pods

    assert asked == ["http://10.244.0.2:8181/ready"]
    assert pod.waits == waits


def test_a_server_that_is_ready_is_not_asked() -> None:
    def http(**_: Any) -> Any:
        raise AssertionError

    assert len(CoreDns.observe(FakeHost(kube=control_plane.kube, http=http), ADMIN, HERE).pods) == 2


def _with_role(rules: Any) -> Any:
    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        return {"rules": rules} if path == ROLE else control_plane.kube(path, kubeconfig)

    return kube


@pytest.mark.parametrize(
    ("rules", "granted"),
    [
        (
            [
                {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["*"]},
            ],
            {"/services", "/pods", "discovery.k8s.io/endpointslices"},
        ),
        (None, set()),
        ("x", set()),
        ([7, {"apiGroups": "", "resources": [None], "verbs": ["list"]}], set()),
    ],
)
def test_the_role_is_read_for_what_it_lets_list_and_watch(rules: Any, granted: set[str]) -> None:
    assert CoreDns.observe(FakeHost(kube=_with_role(rules)), ADMIN, HERE).granted == frozenset(granted)


def test_a_role_that_may_not_be_read_is_not_known() -> None:
    assert CoreDns.observe(FakeHost(kube=control_plane.kube), ADMIN, HERE).granted is None


def test_where_there_is_no_pod_the_deployment_is_asked() -> None:
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}

    def kube(path: str, kubeconfig: str) -> dict[str, Any]:
        if "/pods" in path:
            return {"items": []}
        if "/deployments" in path:
            return {"items": [{"spec": {"replicas": 2}, "status": {"conditions": [failed]}}]}
        return control_plane.kube(path, kubeconfig)

    found = CoreDns.observe(FakeHost(kube=kube), ADMIN, HERE)

    assert found.deployment == "spec.replicas 2\nstatus.availableReplicas 0\nFailedCreate: exceeded quota"


def test_answers_of_another_shape_are_no_servers() -> None:
    found = CoreDns.observe(
        FakeHost(kube={"items": [None, {"metadata": "x"}, {"spec": {"containers": [7]}}]}), ADMIN, HERE
    )

    assert (found.pods, found.corefile) == ((), None)


def test_without_the_api_server_the_logs_tell_which_servers_were_here() -> None:
    files = {
        f"{FOLDER}/0.log": "2026-11-20T13:22:04.1Z stderr F [FATAL] plugin/loop\n",
        "/var/log/pods/default_web_1/web/0.log": "",
    }
    found = CoreDns.observe(FakeHost(files), NO_ACCESS, HERE)

    assert [(pod.name, pod.ready, pod.log) for pod in found.pods] == [
        ("kube-system/coredns-589f44dc88-7rqsk", None, ("[FATAL] plugin/loop",))
    ]
    assert found.problem == NO_ACCESS.problem


# -- upstreams -----------------------------------------------------------------------------------------------------------


def pod(name: str, address: str, pid: int | None = None) -> PodNamespace:
    return PodNamespace(f"/run/netns/{name}", 1, f"default/{name}", (address,), None, {}, pid)


def upstreams(
    corefile: str,
    resolver: PodResolver | Unobserved,
    files: dict[str, str | HostError] | None = None,
    *,
    ready: bool = True,
    **verbs: Any,
) -> DnsUpstreams:
    host = FakeHost(files or {}, **({"kube": control_plane.kube, "dns": control_plane.dns} | verbs))
    servers = CoreDns.observe(host, ADMIN, HERE)
    pods = PodNamespaces((pod("web", "10.244.0.9"), pod("coredns", "10.244.0.2", pid=77)))
    own = tuple(replace(each, ready=each.ready and ready) for each in servers.pods)
    return DnsUpstreams.observe(host, CoreDns(own, corefile=corefile), pods, resolver)


NONE = Unobserved("NotFound", "no kubelet")
FILE = ".:53 {\n  forward . /etc/resolv.conf\n}\n"


def test_the_resolv_conf_of_coredns_own_pod_counts_and_it_is_asked_from_there() -> None:
    asked: list[tuple[str | None, str]] = []

    def dns(queries: list[DnsQuery], netns: str | None) -> Any:
        asked.extend((netns, f"{query['server']} {query['name']} {query['type']}") for query in queries)
        return control_plane.dns(queries, netns)

    found = upstreams(FILE, NONE, {"/proc/77/root/etc/resolv.conf": "nameserver 192.0.2.53\n"}, dns=dns)

    source = "/etc/resolv.conf of pod default/coredns"
    assert found.servers == (Upstream("192.0.2.53", 53, ".", source, 2),)
    assert set(asked) == {
        ("/run/netns/coredns", "192.0.2.53 . NS"),
        (None, "192.0.2.53 . NS"),
        (None, "10.244.0.2 . NS"),
        (None, "10.244.0.3 . NS"),
    }
    assert len(found.from_pod) == 3


def test_else_the_kubelets_counts_and_without_any_it_is_not_known() -> None:
    kubelet = PodResolver("/run/resolv.conf", servers=("192.0.2.53", "not an address"))

    assert [one.address for one in upstreams(FILE, kubelet).servers] == ["192.0.2.53"]
    assert not upstreams(FILE, NONE).known


def test_an_empty_file_of_the_kubelets_counts_unless_a_server_is_ready_which_must_have_been_given_another() -> None:
    empty = PodResolver("/run/resolv.conf")

    assert upstreams(FILE, empty, ready=False).empty == ("/run/resolv.conf",)
    assert (upstreams(FILE, empty).empty, upstreams(FILE, empty).known) == ((), False)


def test_loopback_is_told_and_never_asked() -> None:
    found = upstreams(FILE, PodResolver("/run/resolv.conf", servers=("127.0.0.53",)))

    assert ([one.loopback for one in found.servers], found.from_pod, found.from_node) == ([True], (), ())


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%"])
def test_an_address_with_a_scope_or_half_of_one_is_not_asked_by_a_pod_without_ipv6(address: str) -> None:
    found = upstreams(FILE, PodResolver("/run/resolv.conf", servers=(address,)))

    assert ([one.address for one in found.servers], found.from_pod) == ([address], ())


def test_servers_of_the_corefile_are_told_with_port_and_zone_and_other_transports_are_not_asked() -> None:
    text = ". {\n forward . 192.0.2.1 [2001:db8::1]:1053 tls://192.0.2.2 dns://192.0.2.3\n}\ncorp.example {\n forward . 192.0.2.4\n}\n"
    found = upstreams(text, NONE)

    assert [(one.address, one.port, one.zone) for one in found.servers] == [
        ("192.0.2.1", 53, "."),
        ("2001:db8::1", 1053, "."),
        ("192.0.2.3", 53, "."),
        ("192.0.2.4", 53, "corp.example."),
    ]
    assert "2001:db8::1" not in {one["query"]["server"] for one in found.from_pod}  # that pod has no IPv6


def test_a_corefile_that_cannot_be_read_names_no_upstream() -> None:
    assert upstreams(". {\n forward", NONE) == DnsUpstreams()


def test_what_keeps_us_from_asking_is_the_problem() -> None:
    found = upstreams(FILE, PodResolver("/r", servers=("192.0.2.1",)), dns=HostError("Offline", "asked not to"))

    assert found.problem == Unobserved("Offline", "asked not to")
