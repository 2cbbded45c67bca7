"""Judging what is served at the API server's addresses, and what lies on disk."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET, ROOT_USER
from k8sdoctor.finding import Safety, Status
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost, Recorder, Recording, examine
from tests.api_server import kubeconfig
from tests.certificates import DAY, NOW, cluster_ca, issue
from tests.checks.api_server_node import CERTIFICATE, LB, MANIFEST, OWN, SERVICE, Node, Plain, conf, good, members, only
from tests.control_plane import control_plane


def test_a_healthy_control_plane_is_covered_everywhere() -> None:
    found = Node().findings()

    assert {(each.status, each.reason) for each in found} == {(Status.PASS, "Covered")}
    assert {each.subject for each in found} == {f"{LB}:6443", f"{OWN}:6443", f"{SERVICE}:443", CERTIFICATE}


def test_the_recorded_control_plane_is_covered() -> None:
    found = examine(control_plane(), "apiserver-san")

    assert {(each.status, each.reason) for each in found} == {(Status.PASS, "Covered")}
    assert len(found) == 3


def test_an_address_that_is_not_covered_is_named_with_where_it_came_from() -> None:
    found = only(Node(leaf=good()).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "AddressNotCovered", LB)
    assert KUBELET in found.message
    assert (
        f"valid for node1, kubernetes, kubernetes.default, kubernetes.default.svc, kubernetes.default.svc.cluster.local, {SERVICE}, {OWN}"
        in found.message
    )
    assert CERTIFICATE in found.message
    assert found.fix is not None
    assert f"  - {LB}" in found.fix.commands[1]


def test_names_that_one_certificate_lacks_are_one_finding() -> None:
    node = Node(leaf=good(), files={ADMIN: conf("https://10.0.0.9:6443")})

    found = only(node.findings())

    assert (found.reason, found.subject) == ("AddressNotCovered", f"{LB}, 10.0.0.9")


@pytest.mark.parametrize("name", ["10.0.0.9", "::1"])
def test_an_address_in_a_dns_name_does_not_cover_it(name: str) -> None:
    leaf = issue("kube-apiserver", cluster_ca(), dns=["10.0.0.9", LB], ips=[SERVICE, OWN])
    node = Node(leaf=leaf, given={"endpoints": [name]})

    assert only(node.findings()).reason == "AddressNotCovered"
    assert only(node.findings()).subject == name


def test_an_endpoint_of_the_command_line_must_be_covered() -> None:
    assert only(Node(given={"endpoints": ["10.0.0.9:8443"]}).findings()).subject == "10.0.0.9"
    assert Node(leaf=good(LB, "10.0.0.9"), given={"endpoints": ["10.0.0.9:8443"]}).findings()[0].status is Status.PASS


def test_a_name_of_other_letters_is_looked_for_as_it_is_sent() -> None:
    files = {KUBELET: conf("https://bücher.example:6443")}
    names = {"xn--bcher-kva.example": ["10.0.0.100"]}

    assert {each.reason for each in Node(leaf=good("xn--bcher-kva.example"), files=files, names=names).findings()} == {
        "Covered"
    }
    assert only(Node(leaf=good(), files=files, names=names).findings()).subject == "xn--bcher-kva.example"


def test_tls_server_name_is_what_must_be_covered() -> None:
    files = {KUBELET: conf(cluster={"tls-server-name": "kubernetes"})}
    node = Node(leaf=good(), files=files)

    assert {each.reason for each in node.findings()} == {"Covered"}
    assert ("10.0.0.100", 0, None) not in node.hellos


def test_a_kubeconfig_that_skips_verification_refuses_nothing() -> None:
    cluster = {"insecure-skip-tls-verify": True, "certificate-authority-data": ""}  # both at once no client accepts
    files = {KUBELET: conf(cluster=cluster)}

    assert {each.reason for each in Node(leaf=good(), files=files).findings()} == {"Covered"}


def test_a_certificate_with_a_common_name_alone_covers_nothing() -> None:
    found = only(Node(leaf=issue(LB, cluster_ca())).findings())

    assert found.reason == "CommonNameOnly"
    assert f"CN={LB}" in found.message


def test_an_expired_certificate_behind_many_addresses_is_one_finding() -> None:
    found = only(Node(leaf=good(LB, start=NOW - 400 * DAY)).findings())

    assert (found.status, found.reason) == (Status.FAIL, "CertificateExpired")
    assert "2026-04-23" in found.message
    assert found.fix is not None
    assert "kubeadm certs renew apiserver" in found.fix.commands
    assert CERTIFICATE in found.message
    # Nobody is asked at a file.
    assert {link.why for link in found.explains if link.check == "coredns"} == {
        f"the API server cannot be asked at {LB}:6443, {OWN}:6443 and {SERVICE}:443"
    }


def test_all_that_ended_with_the_api_servers_certificate_is_renewed_with_it() -> None:
    old = good(LB, start=NOW - 400 * DAY)
    client, etcd, later = (
        issue(name, cluster_ca(), start=NOW - start * DAY) for name, start in (("c", 400), ("etcd", 398), ("f", 390))
    )
    beside = {
        "/etc/kubernetes/pki/apiserver-kubelet-client.crt": client.pem,
        "/etc/kubernetes/pki/etcd/server.crt": etcd.pem,
        "/etc/kubernetes/pki/front-proxy-client.crt": later.pem,
    }

    found = only(Node(leaf=old, files=beside).findings())
    alone = only(Node(leaf=old, files={name: text for name, text in beside.items() if "pki/a" not in name}).findings())

    assert found.fix is not None
    assert found.fix.commands[1] == "kubeadm certs renew all"
    assert "etcd.yaml" in found.fix.commands[2]
    together = {("certificates", "CertificateExpired"), ("kubeconfig", "ClientCertificateExpired")}
    assert together <= {(link.check, link.reason) for link in found.explains}
    assert "/etc/kubernetes/pki/apiserver-kubelet-client.crt" in [each.source for each in found.evidence]
    assert "/etc/kubernetes/pki/etcd/server.crt" not in [
        each.source for each in found.evidence
    ]  # it ended two days later
    assert alone.fix is not None
    assert alone.fix.commands[1] == "kubeadm certs renew apiserver"
    assert not together & {(link.check, link.reason) for link in alone.explains}


def test_kubeadm_before_1_20_renews_by_its_alpha_command() -> None:
    def run(argv: list[str]) -> Any:
        return {"code": 0, "out": "v1.19.4" if argv[0] == "kubeadm" else "", "err": ""}

    found = only(Node(leaf=good(LB, start=NOW - 400 * DAY)).findings(run=run))

    assert found.fix is not None
    assert "kubeadm alpha certs renew apiserver" in found.fix.commands


def test_an_expired_authority_is_the_cause() -> None:
    ca = issue("kubernetes", authority=True, start=NOW - 20 * DAY, days=10)
    files = {"/etc/kubernetes/pki/ca.crt": ca.pem, KUBELET: conf(ca=ca)}

    found = only(Node(leaf=good(LB, ca=ca), files=files).findings())

    assert found.reason == "CertificateExpired"
    assert "CN=kubernetes" in found.message


def test_a_certificate_that_begins_later_is_not_yet_valid() -> None:
    found = only(Node(leaf=good(LB, start=NOW + DAY)).findings())

    assert (found.status, found.reason) == (Status.FAIL, "NotYetValid")


@pytest.mark.parametrize(
    ("days", "left", "warned"), [(365, 20, True), (365, 40, False), (30, 10, False), (30, 5, True)]
)
def test_what_ends_soon_is_a_warning(days: float, left: float, *, warned: bool) -> None:
    found = Node(leaf=good(LB, start=NOW - (days - left) * DAY, days=days)).findings()

    assert [each.status for each in found if each.reason == "ExpiresSoon"] == [Status.WARN] * warned
    assert not any(each.status is Status.FAIL for each in found)


def test_a_kubeconfig_of_an_earlier_cluster_distrusts_the_server() -> None:
    node = Node(files={ADMIN: conf(f"https://{OWN}:6443", ca=issue("kubernetes", authority=True))})

    found = only(node.findings())

    assert (found.status, found.reason) == (Status.FAIL, "UntrustedIssuer")
    assert ADMIN in found.message
    assert KUBELET not in found.message
    assert "another key" in found.message
    assert found.fix is not None
    assert any(
        command == f"kubeadm init phase kubeconfig admin --apiserver-advertise-address {OWN}"
        for command in found.fix.commands
    )


def test_a_server_of_another_authority_is_distrusted_by_all_in_one_finding() -> None:
    found = only(Node(leaf=good(LB, ca=cluster_ca("other"))).findings())

    assert found.reason == "UntrustedIssuer"
    assert found.fix is not None
    assert "kubeadm init phase certs apiserver" in " ".join(found.fix.commands)


def test_intermediates_that_are_served_make_the_chain() -> None:
    middle = issue("middle", cluster_ca(), authority=True)
    leaf = good(LB, ca=middle)
    chained = {"peer": "x", "chain": [leaf.pem, middle.pem], "client_cas": ["CN=kubernetes"], "failure": None}

    assert {each.reason for each in Node(worker=True, reply=chained).findings()} == {"Covered"}
    assert only(Node(worker=True, reply=chained | {"chain": [leaf.pem]}).findings()).reason == "UntrustedIssuer"


@pytest.mark.parametrize("kind", ["timeout", "refused", "unreachable", "reset", "tls", "protocol"])
def test_an_endpoint_that_does_not_answer_is_a_failure(kind: str) -> None:
    found = only(Node(served={"10.0.0.100": kind}).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "EndpointUnreachable", f"{LB}:6443")


def test_an_api_server_that_is_down_is_one_finding() -> None:
    found = only(Node(served={OWN: "refused", "10.0.0.100": "reset", SERVICE: "timeout"}).findings())

    assert (found.reason, found.subject) == ("EndpointUnreachable", f"{OWN}:6443")
    assert f"{LB}:6443" in found.message
    assert found.fix is not None
    assert "crictl ps -a --name kube-apiserver" in found.fix.commands


def test_a_service_address_that_does_not_answer_while_the_api_server_does_is_kube_proxys_affair() -> None:
    found = only(Node(served={SERVICE: "timeout"}).findings())

    assert (found.reason, found.subject) == ("EndpointUnreachable", f"{SERVICE}:443")
    assert found.fix is not None
    assert "kube-proxy" in found.fix.title


def test_a_service_address_without_a_route_is_the_default_routes_affair() -> None:
    words = os.strerror(errno.ENETUNREACH)
    found = only(Node(served={SERVICE: f"is not reached: {words}"}).findings())
    other = only(Node(served={SERVICE: "is not reached: " + os.strerror(errno.EHOSTUNREACH)}).findings())

    assert f"{words}, as the kernel says where a node has no default route" in found.message
    assert found.fix is not None
    assert "ip route; ip -6 route" in found.fix.commands
    assert "default route" not in other.message


def test_a_recording_gives_the_same_findings() -> None:
    node = Node(leaf=good(), kube=members(OWN), files={ADMIN: conf()})
    recorder = Recorder(node.host())

    assert examine(recorder, "apiserver-san") == examine(Recording(recorder.dump()), "apiserver-san")


def test_an_address_of_a_name_that_never_answers_is_passed_over_as_clients_do() -> None:
    node = Node(names={LB: ["2001:db8::9", "10.0.0.100"]}, served={"2001:db8::9": "unreachable"})

    assert {each.reason for each in node.findings()} == {"Covered"}


def test_a_name_without_an_address_is_told() -> None:
    found = only(Node(names={}).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "NameNotResolved", LB)


def test_plain_http_is_told() -> None:
    found = only(Node(served={"10.0.0.100": "tls-plain"}).findings())
    assert (found.status, found.reason) == (Status.FAIL, "PlainHttpEndpoint")

    node = Node(worker=True, files={KUBELET: conf("http://10.0.0.9:8080")})
    assert only(node.findings()).reason == "PlainHttpEndpoint"
    assert node.hellos == []


def test_kubectl_proxy_on_loopback_is_meant_so() -> None:
    node = Node(files={ROOT_USER: conf("http://127.0.0.1:8001")})

    assert {each.reason for each in node.findings()} == {"Covered"}


def test_an_address_behind_a_proxy_is_not_dialled() -> None:
    node = Node(worker=True, files={KUBELET: conf(cluster={"proxy-url": "http://10.0.0.8:3128"})})

    assert [(each.status, each.reason) for each in node.findings()] == [(Status.SKIP, "ThroughProxy")]
    assert node.hellos == []


def test_a_renewed_file_that_is_not_served_is_a_warning() -> None:
    found = only(Node(disk=good(LB)).findings())

    assert (found.status, found.reason, found.subject) == (Status.WARN, "FileNotServed", CERTIFICATE)


def test_a_renewed_file_leaves_the_expired_one_in_use_until_a_restart() -> None:
    found = only(Node(leaf=good(LB, start=NOW - 400 * DAY), disk=good(LB)).findings())

    assert found.reason == "CertificateExpired"
    assert found.fix is not None
    assert found.fix.safety is Safety.DISRUPTIVE
    assert [MANIFEST in command for command in found.fix.commands] == [True]


def test_a_file_without_the_name_is_told_while_a_good_one_is_still_served() -> None:
    found = only(Node(disk=good()).findings())

    assert (found.reason, found.subject) == ("AddressNotCovered", LB)
    assert CERTIFICATE in found.message


def test_nothing_at_all_is_no_certificate_yet() -> None:
    [found] = examine(FakeHost(), "apiserver-san")

    assert (found.status, found.reason) == (Status.SKIP, "NoCertificateYet")


PLAN = f"""
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
controlPlaneEndpoint: {LB}:6443
networking: {{serviceSubnet: "10.96.0.0/16,fd00:10:96::/112"}}
"""


def planned(served: Any = "refused", **files: str) -> Node:
    node = Node(
        files={KUBELET: None, MANIFEST: None, CERTIFICATE: None, "/etc/kubernetes/pki/ca.crt": None, **files},
        given={"config": {"path": "plan.yaml", "text": PLAN}},
    )
    node.served = {"10.0.0.100": served}
    return node


def test_a_planned_endpoint_where_nobody_answers_is_as_it_should_be() -> None:
    node = planned()

    assert [(each.status, each.reason, each.subject) for each in node.findings()] == [
        (Status.SKIP, "NoCertificateYet", f"{LB}:6443")
    ]
    assert {address for address, *_ in node.hellos} == {"10.0.0.100"}  # no service address before there is a cluster


def test_certificates_that_lie_there_before_init_are_judged() -> None:
    ca = {"/etc/kubernetes/pki/ca.crt": cluster_ca().pem}
    bad = only(planned(**{CERTIFICATE: good().pem}, **ca).findings(), Status.SKIP)
    fine = planned(**{CERTIFICATE: good(LB).pem}, **ca).findings()

    assert (bad.status, bad.reason, bad.subject) == (Status.FAIL, "AddressNotCovered", LB)
    assert bad.fix is not None
    assert bad.fix.commands[-1] == "kubeadm init phase certs apiserver --config plan.yaml"
    assert {each.reason for each in fine} == {"NoCertificateYet", "Covered"}


def test_only_the_first_service_subnet_has_an_address_to_cover() -> None:
    found = planned(**{CERTIFICATE: good(LB).pem, "/etc/kubernetes/pki/ca.crt": cluster_ca().pem}).findings()

    assert not any("fd00" in each.message for each in found)


def test_whom_we_join_must_answer() -> None:
    node = planned()
    node.given["config"]["text"] = f"""
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery: {{bootstrapToken: {{apiServerEndpoint: "{LB}:6443"}}}}
"""
    assert only(node.findings()).reason == "EndpointUnreachable"


def test_a_worker_is_judged_without_files_of_a_control_plane() -> None:
    assert {each.reason for each in Node(worker=True).findings()} == {"Covered"}
    found = only(Node(worker=True, leaf=good()).findings())
    assert found.fix is not None
    assert found.fix.title.startswith("On each control-plane node")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "current-context: x",
        conf(server="https://[::1"),
        conf(cluster={"certificate-authority-data": "%"}),
        conf(cluster={"certificate-authority-data": "aGVsbG8="}),
    ],
    # The certificates in them differ from run to run, and names of tests must not.
    ids=["no YAML", "a list", "no clusters", "a server that is no URL", "an authority not in base64", "no certificate"],
)
def test_a_malformed_kubeconfig_is_named(text: str) -> None:
    found = [each for each in Node(files={ADMIN: text}).findings() if each.status is not Status.PASS]

    assert [(each.status, each.reason, each.subject) for each in found] == [(Status.FAIL, "KubeconfigInvalid", ADMIN)]
    assert ADMIN in found[0].message


def test_a_malformed_kubeconfig_is_written_anew_only_where_the_authority_s_key_lies() -> None:
    broken = "current-context: x"
    here = only(Node(files={KUBELET: broken}).findings())
    worker = only(Node(worker=True, files={KUBELET: broken}).findings(), Status.SKIP)

    assert here.fix is not None
    assert here.fix.commands[-1].startswith("kubeadm init phase kubeconfig kubelet")
    assert worker.fix is not None
    assert worker.fix.commands == (f"${{EDITOR:-vi}} {KUBELET}",)  # nothing is put aside that nobody could replace
    assert "kubeadm join" in worker.fix.title


def test_a_malformed_certificate_is_named() -> None:
    found = only(Node(files={CERTIFICATE: "hello"}).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "CertificateInvalid", CERTIFICATE)


def test_an_empty_kubeconfig_of_root_and_one_of_another_cluster_are_nothing() -> None:
    elsewhere = conf("https://192.0.2.77:6443", ca=cluster_ca("elsewhere"))

    assert {each.reason for each in Node(files={ROOT_USER: ""}).findings()} == {"Covered"}
    node = Node(files={ROOT_USER: elsewhere}, served={"192.0.2.77": "timeout"})
    assert {each.reason for each in node.findings()} == {"Covered"}


def test_a_file_that_may_not_be_read_is_unknown_and_never_a_failure() -> None:
    node = Node()
    host = node.host(denied=[KUBELET, ADMIN, CERTIFICATE])

    found = examine(host, "apiserver-san")

    assert {each.status for each in found} == {Status.PASS, Status.UNKNOWN}
    [unread] = [each for each in found if each.status is Status.UNKNOWN]
    assert unread.reason == "NotPermitted"
    assert KUBELET in unread.message


def test_an_authority_that_may_not_be_read_is_unknown() -> None:
    text = conf(cluster={"certificate-authority-data": "", "certificate-authority": "/root/ca.crt"})

    [found] = [
        each
        for each in examine(Node(files={ADMIN: text}).host(denied=["/root/ca.crt"]), "apiserver-san")
        if each.status is not Status.PASS
    ]

    assert (found.status, found.reason) == (Status.UNKNOWN, "NotPermitted")


def test_offline_judges_the_file_and_skips_the_rest() -> None:
    offline = HostError("Offline", "--offline forbids TLS greetings")
    node = Node(disk=good())
    host = FakeHost(dict(node.host()._files), tls=offline, resolve=offline, kube=offline)

    found = examine(host, "apiserver-san")

    assert {(each.status, each.reason) for each in found} == {
        (Status.SKIP, "Offline"),
        (Status.FAIL, "AddressNotCovered"),
    }


def test_a_file_need_not_hold_what_is_served_by_another_authority_on_purpose() -> None:
    web = cluster_ca("web")
    served = {"10.0.0.100": Plain(issue(LB, web, dns=[LB]))}
    node = Node(
        leaf=good(),
        served=served,
        files={KUBELET: conf(f"https://{OWN}:6443"), ADMIN: conf(ca=web, user={"token": "t"})},
    )

    assert {each.reason for each in node.findings()} == {"Covered"}


def test_kubectl_gets_past_the_very_fault_by_a_name_that_the_certificate_holds() -> None:
    by_balancer = only(Node(leaf=good(), files={ADMIN: conf()}).findings())
    by_address = only(Node(leaf=good(), files={ADMIN: conf(f"https://{OWN}:6443")}).findings())

    assert by_balancer.fix is not None
    assert by_address.fix is not None
    assert "--tls-server-name kubernetes" in by_balancer.fix.commands[0]
    assert "--tls-server-name" not in by_address.fix.commands[0]


def test_an_endpoint_that_the_api_server_alone_tells_is_judged_too() -> None:
    def kube(path: str, kubeconfig: str) -> Any:
        if path.endswith("configmaps/kube-proxy"):
            return {"data": {"kubeconfig.conf": kubeconfig_of_kube_proxy}}
        return members(OWN)(path, kubeconfig)

    kubeconfig_of_kube_proxy = kubeconfig(
        {"server": "https://10.0.0.77:6443", "certificate-authority": "/var/run/ca.crt"}, {}
    )
    found = only(Node(kube=kube, files={ADMIN: conf()}).findings())

    assert (found.reason, found.subject) == ("AddressNotCovered", "10.0.0.77")
    assert "ConfigMap kube-system/kube-proxy" in found.message


def test_a_node_name_that_begins_like_the_service_is_kept() -> None:
    leaf = issue("x", cluster_ca(), dns=["kubernetes-1", "kubernetes", "kubernetes.default"], ips=[OWN, SERVICE])
    found = only(Node(leaf=leaf).findings())

    assert found.fix is not None
    assert "nodeRegistration: {name: 'kubernetes-1'}" in found.fix.commands[2]


@pytest.mark.parametrize(
    ("names", "flags", "name"),
    [
        (["node1"], "", "node1"),
        (["api.example", "node1"], "", "$(hostname)"),  # kubeadm sorts them, so nothing tells which is the node's
        (["api.example", "node1"], "--hostname-override=node1", "node1"),
    ],
)
def test_the_nodes_own_name_is_kept_and_no_other_taken_for_it(names: list[str], flags: str, name: str) -> None:
    leaf = issue("x", cluster_ca(), dns=[*names, "kubernetes", "kubernetes.default"], ips=[OWN, SERVICE])
    environment = {"/var/lib/kubelet/kubeadm-flags.env": f'KUBELET_KUBEADM_ARGS="{flags}"\n'} if flags else {}
    found = only(Node(leaf=leaf, files=environment).findings())

    assert found.fix is not None
    assert f"nodeRegistration: {{name: '{name}'}}" in found.fix.commands[2]


@pytest.mark.parametrize("text", ["kind: Pod\n spec: [", "", "- a\n", "kind: Pod\n"])
def test_a_manifest_of_which_the_kubelet_can_make_no_api_server_fails(text: str) -> None:
    found = only(Node(files={MANIFEST: text}).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "ManifestInvalid", MANIFEST)
    assert MANIFEST in found.message


def test_a_manifest_that_could_not_be_read_is_unknown() -> None:
    found = only(Node(files={MANIFEST: HostError("Unreadable", f"{MANIFEST} is a fifo")}).findings())

    assert (found.status, found.reason, found.subject) == (Status.UNKNOWN, "Unreadable", MANIFEST)
