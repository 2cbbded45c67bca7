"""etcd's answers, as etcd 3.4 and 3.6 give them, parsed; and who is asked at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.etcd import Etcd, EtcdAccess
from k8sdoctor.facts.etcd_server import DEFAULT_QUOTA, EtcdServer
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Mapping

# As etcd 3.4.23 answered; what is zero or false is left out, and 64-bit numbers are texts.
FULL = {
    "header": {
        "cluster_id": "14841639068965178418",
        "member_id": "10276657743932975437",
        "revision": "10",
        "raft_term": "2",
    },
    "version": "3.4.23",
    "dbSize": "266240",
    "leader": "10276657743932975437",
    "raftIndex": "35",
    "raftTerm": "2",
    "raftAppliedIndex": "35",
    "errors": ["memberID:10276657743932975437 alarm:NOSPACE "],
    "dbSizeInUse": "204800",
}
LOCAL = "https://127.0.0.1:2379"
FLAGS = (
    "kube-apiserver",
    f"--etcd-servers={LOCAL}",
    "--etcd-cafile=/ca",
    "--etcd-certfile=/crt",
    "--etcd-keyfile=/key",
)
KUBE_API_SERVER = ApiServer("/etc/kubernetes/manifests/kube-apiserver.yaml", FLAGS)
RULES = Stage("control-plane", "")
NO_SERVER, NO_ETCD = ApiServer(), EtcdServer()
KUBEADM = EtcdServer(
    "/etc/kubernetes/manifests/etcd.yaml",
    (
        "etcd",
        "--advertise-client-urls=https://10.0.0.1:2379",
        "--initial-cluster=cp2=https://10.0.0.2:2380,cp1=https://10.0.0.1:2380",
        f"--listen-client-urls={LOCAL},https://10.0.0.1:2379",
        "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt",
    ),
)


def member(number: int, **more: Any) -> dict[str, Any]:
    return {"ID": str(number), "name": f"cp{number}", "clientURLs": [f"https://10.0.0.{number}:2379"]} | more


class Cluster:
    """Endpoints by URL: the number of the member that answers there."""

    def __init__(self, answering: Mapping[str, int], members: list[dict[str, Any]]) -> None:
        self.answering, self.members = answering, members
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        where, _, path = (
            request["url"].partition("/v3/") if "/v3/" in request["url"] else request["url"].rpartition("/")
        )
        if where not in self.answering:
            failure = {"kind": "refused", "message": f"{where}: Connection refused"}
            return {"status": 0, "headers": {}, "body": "", "peer": None, "failure": failure}
        header = {"cluster_id": "7", "member_id": str(self.answering[where])}
        body = {
            "health": {"health": "true"},
            "maintenance/status": {"header": header, "version": "3.6.1", "leader": "1", "dbSizeQuota": "100"},
            "cluster/member/list": {"header": header, "members": self.members},
        }[path]
        return {"status": 200, "headers": {}, "body": json.dumps(body), "peer": None, "failure": None}

    @property
    def hosts(self) -> list[str]:
        return list(dict.fromkeys(request["url"].split("/")[2] for request in self.asked))


def look(answer: Any, server: ApiServer = KUBE_API_SERVER, own: EtcdServer = NO_ETCD) -> Etcd:
    host = FakeHost(http=answer)
    return Etcd.observe(host, EtcdAccess.observe(host, RULES, server, own), own)


def test_members_that_another_names_are_asked_with_the_api_servers_certificate() -> None:
    cluster = Cluster({LOCAL: 1, "https://10.0.0.2:2379": 2}, [member(1), member(2), member(3)])

    seen = look(cluster)

    assert cluster.hosts[0] == "127.0.0.1:2379"
    assert set(cluster.hosts[1:]) == {"10.0.0.2:2379", "10.0.0.3:2379"}
    assert {(tuple(each["client_certificate"]), tuple(each["ca_files"])) for each in cluster.asked} == {
        (("/crt", "/key"), ("/ca",))
    }
    assert [bool(each.failure) for each in seen.endpoints] == [False, False, True]
    assert [each.used for each in seen.endpoints] == [True, False, False]
    assert seen.endpoints[0].status
    assert (seen.endpoints[0].status.quota, seen.endpoints[0].healthy) == (100, True)


def test_a_member_that_tells_others_only_its_loopback_is_not_taken_for_this_node() -> None:
    cluster = Cluster({LOCAL: 1}, [member(1), member(2, clientURLs=["https://localhost:2379", "https://0.0.0.0:2379"])])

    look(cluster)

    assert cluster.hosts == ["127.0.0.1:2379"]


def test_where_this_nodes_etcd_is_down_the_members_that_it_was_made_with_are_asked() -> None:
    cluster = Cluster({"https://10.0.0.2:2379": 2}, [member(1), member(2)])

    seen = look(cluster, own=KUBEADM)

    assert cluster.hosts == ["127.0.0.1:2379", "10.0.0.2:2379"]
    assert [member.name for member in seen.members] == ["cp1", "cp2"]


def test_a_machine_with_etcd_alone_asks_it_with_kubeadms_certificate_for_probes() -> None:
    access = EtcdAccess.observe(FakeHost(), RULES, NO_SERVER, KUBEADM)

    assert access.urls == (LOCAL,)
    assert access.certificate == (
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.key",
    )


def test_an_etcd_that_listens_everywhere_is_reached_by_loopback() -> None:
    own = EtcdServer("command line of etcd, pid 7", ("etcd", "--listen-client-urls=http://0.0.0.0:2379"))

    assert EtcdAccess.observe(FakeHost(), RULES, NO_SERVER, own).urls == ("http://127.0.0.1:2379",)


def test_a_unix_socket_is_not_asked() -> None:
    server = ApiServer("x", ("kube-apiserver", "--etcd-servers=unix:///run/kine.sock"))

    assert look(Cluster({}, []), server).endpoints == ()


def test_an_unreadable_manifest_is_told() -> None:
    with pytest.raises(HostError) as caught:
        EtcdAccess.observe(
            FakeHost(), RULES, ApiServer("x", problem=Unobserved("NotPermitted", "Permission denied: x")), NO_ETCD
        )

    assert caught.value.reason == "NotPermitted"


def test_alarms_and_sizes_stand_in_the_status() -> None:
    def answer(**request: Any) -> dict[str, Any]:
        health = request["url"].endswith("/health")
        body = '{"health":"false"}' if health else json.dumps(FULL)
        return {"status": 503 if health else 200, "headers": {}, "body": body, "peer": None, "failure": None}

    [endpoint] = look(answer).endpoints

    assert endpoint.healthy is False
    assert endpoint.said == '503 {"health":"false"}'
    assert endpoint.status
    assert endpoint.status.alarms == (("10276657743932975437", "NOSPACE"),)
    assert (endpoint.status.size, endpoint.status.in_use, endpoint.status.quota) == (266240, 204800, None)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        '"x"',
        "{",
        "[" * 5000,
        '{"header": 1}',
        '{"header": {"member_id": 1}, "dbSize": {}, "errors": 3, "members": [3, {}]}',
    ],
)
def test_answers_of_no_etcd_are_no_status(body: str) -> None:
    [endpoint] = look(
        lambda **_: {"status": 200, "headers": {}, "body": body, "peer": None, "failure": None}, KUBE_API_SERVER
    ).endpoints

    assert endpoint.members == ()
    assert endpoint.healthy is None


@pytest.mark.parametrize(("chain", "grpc_only"), [(["a certificate"], True), ([], False)])
def test_who_takes_connections_and_drops_http_is_told_from_who_is_not_there(
    chain: list[str], *, grpc_only: bool
) -> None:
    dropped = {"kind": "reset", "message": "closed the connection without an answer"}
    host = FakeHost(
        http=lambda **_: {"status": 0, "headers": {}, "body": "", "peer": None, "failure": dropped},
        tls=lambda **_: {"peer": None, "chain": chain, "client_cas": None, "failure": None},
    )

    [endpoint] = Etcd.observe(host, EtcdAccess.observe(host, RULES, KUBE_API_SERVER, NO_ETCD), NO_ETCD).endpoints

    assert (endpoint.grpc_only, endpoint.failure is None) == (grpc_only, grpc_only)


# -- the flags of this node's etcd -------------------------------------------------------------------------------------

PATH = "/etc/kubernetes/manifests/etcd.yaml"
NOBODY = Unobserved("NotFound", "not there")


def of_manifest(text: str) -> EtcdServer:
    host = FakeHost({PATH: text})
    return EtcdServer.observe(host, StaticPods.observe(host, NOBODY), NOBODY)


def test_the_flags_are_those_of_the_static_pod() -> None:
    text = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec: {containers: [{name: etcd, command: [etcd, --quota-backend-bytes=42, '--initial-cluster=a=https://x:1,b=https://y:1']}]}"

    own = of_manifest(text)

    assert (own.source, own.quota) == (PATH, 42)
    assert own.initial_peers == (("a", "https://x:1"), ("b", "https://y:1"))


@pytest.mark.parametrize(
    ("flag", "quota"), [("", DEFAULT_QUOTA), ("0", DEFAULT_QUOTA), ("-1", None), ("x", DEFAULT_QUOTA)]
)
def test_a_quota_that_is_absent_or_zero_is_the_default(flag: str, quota: int | None) -> None:
    assert EtcdServer("x", ("etcd", f"--quota-backend-bytes={flag}")).quota == quota


@pytest.mark.parametrize("text", ["\t", "[]", "spec: 3", "spec: {containers: [3]}", "- a\n b: c"])
def test_a_manifest_that_is_none_is_a_problem_that_names_it(text: str) -> None:
    own = of_manifest(text)

    assert own.problem
    assert PATH in own.problem.message


@pytest.mark.parametrize(
    ("cgroup", "found"),
    [("0::/system.slice/etcd.service\n", True), ("0::/kubepods.slice/kubepods-pod1.slice/x\n", False)],
)
def test_an_etcd_of_some_pod_is_not_this_nodes(cgroup: str, *, found: bool) -> None:
    running = Processes(
        ({"pid": 7, "ppid": 1, "name": "etcd", "cmdline": ["etcd", "--listen-client-urls=http://0.0.0.0:2379"]},)
    )
    host = FakeHost({"/proc/7/cgroup": cgroup})

    etcd = EtcdServer.observe(host, NOBODY, running)
    server = ApiServer.observe(host, NOBODY, Processes(({**running.all[0], "name": "kube-apiserver"},)))

    assert (etcd.source is not None, server.source is not None) == (found, found)


def test_an_etcd_that_some_application_runs_on_a_worker_is_not_the_clusters() -> None:
    own = EtcdServer("command line of etcd, pid 7", ("etcd", "--listen-client-urls=http://0.0.0.0:2379"))

    assert EtcdAccess.observe(FakeHost(), Stage("worker", ""), NO_SERVER, own).urls == ()
