"""Who the API servers of a cluster are, and what each says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.api_endpoints import ApiEndpoint, NodeEndpoints, ToldEndpoints, Use
from k8sdoctor.facts.api_members import ApiMembers
from k8sdoctor.facts.cluster_nodes import CONTROL_PLANE, ClusterNodes, Node
from k8sdoctor.facts.control_plane_pods import ENDPOINT, ControlPlanePod, ControlPlanePods
from k8sdoctor.testing import FakeHost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host import Json


def slices(*hosts: str) -> ToldEndpoints:
    uses = [Use("member", "EndpointSlice default/kubernetes", host, 6443, "10.96.0.1") for host in hosts]
    return ToldEndpoints(tuple(ApiEndpoint(use.host, 6443, None, (use,)) for use in uses))


def pods(*numbers: int) -> ControlPlanePods:
    made = [
        ControlPlanePod(f"kube-apiserver-cp{n}", "kube-apiserver", f"cp{n}", (), f"10.0.0.{n}:6443") for n in numbers
    ]
    return ControlPlanePods(tuple(made))


def nodes(*numbers: int, own: str = "cp1") -> ClusterNodes:
    made = [Node(f"cp{n}", labels={CONTROL_PLANE: ""}, addresses=(("InternalIP", f"10.0.0.{n}"),)) for n in numbers]
    return ClusterNodes(tuple(made), own, "admin.conf")


def look(told: ToldEndpoints, known: ControlPlanePods, listed: ClusterNodes, *, down: Sequence[str] = ()) -> ApiMembers:
    def http(url: str, verify: bool, client_certificate: object, **_: Any) -> dict[str, Any]:
        assert (verify, client_certificate) == (False, None)
        silent = any(f"//{host}:" in url for host in down)
        failure = {"kind": "timeout", "message": "silence"} if silent else None
        return {"status": 0 if silent else 200, "headers": {}, "body": "ok", "peer": None, "failure": failure}

    return ApiMembers.observe(FakeHost(http=http), NodeEndpoints(()), told, known, listed)


def test_what_service_and_pods_tell_is_one_list() -> None:
    seen = look(slices("10.0.0.1", "10.0.0.2"), pods(1, 2, 3), nodes(1, 2, 3), down=["10.0.0.3"])

    assert [(each.called, each.listed, each.own, each.ready) for each in seen.all] == [
        ("cp1 (10.0.0.1:6443)", True, True, True),
        ("cp2 (10.0.0.2:6443)", True, False, True),
        ("cp3 (10.0.0.3:6443)", False, False, False),
    ]


def test_a_control_plane_of_which_only_its_node_tells_is_asked_too() -> None:
    seen = look(slices("10.0.0.1", "10.0.0.2"), ControlPlanePods(()), nodes(1, 2, 3))

    assert [each.authority for each in seen.all][2:] == ["10.0.0.3:6443"]


def test_api_servers_that_advertise_other_addresses_than_their_nodes_have_are_all_there() -> None:
    seen = look(slices("192.0.2.1", "192.0.2.2", "192.0.2.3"), ControlPlanePods(()), nodes(1, 2, 3))

    assert [each.host for each in seen.all] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_the_checks_that_fail_are_named() -> None:
    body = (
        "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/x failed: reason withheld\nreadyz check failed\n"
    )
    answer: dict[str, Json] = {"status": 500, "headers": {}, "body": body, "peer": None, "failure": None}

    [member] = ApiMembers.observe(
        FakeHost(http=answer), NodeEndpoints(()), slices("10.0.0.1"), ControlPlanePods(()), nodes(1)
    ).all

    assert (member.ready, member.failing) == (False, ("etcd", "poststarthook/x"))


def test_pods_of_the_control_plane_are_told_by_kubeadms_labels_and_annotation() -> None:
    items: list[Json] = [
        {
            "metadata": {
                "name": "kube-apiserver-cp1",
                "labels": {"tier": "control-plane", "component": "kube-apiserver"},
                "annotations": {ENDPOINT: "10.0.0.1:6443"},
            },
            "spec": {"nodeName": "cp1", "containers": [{"command": ["kube-apiserver", "--secure-port=6443"]}]},
        },
        {"metadata": {"name": "coredns", "labels": {"k8s-app": "kube-dns"}}},
        {"metadata": 3},
        "x",
    ]
    seen = ControlPlanePods.observe(FakeHost(kube={"items": items}), ApiAccess("admin.conf", None))

    [pod] = seen.of("kube-apiserver")
    assert (pod.node, pod.endpoint, pod.flag("--secure-port"), len(seen.all)) == ("cp1", "10.0.0.1:6443", "6443", 1)


def test_an_address_in_the_flags_counts_more_than_what_kubeadm_noted_once() -> None:
    words = ("kube-apiserver", "--advertise-address=fd00::9", "--secure-port=8443")
    moved = ControlPlanePod("kube-apiserver-cp1", "kube-apiserver", "cp1", words, "10.0.0.1:6443")

    assert moved.address == "[fd00::9]:8443"
    assert (
        ControlPlanePod("kube-apiserver-cp1", "kube-apiserver", "cp1", (), "10.0.0.1:6443").address == "10.0.0.1:6443"
    )
