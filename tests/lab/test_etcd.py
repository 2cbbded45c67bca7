"""etcd against real etcd: a healthy cluster, members that go, a full database, and plain HTTP."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import DAY, issue
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.lab.node import Daemon, LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("etcd", "curl")]

ASK = """
import dataclasses, json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import examine
print(json.dumps([dataclasses.asdict(finding) for finding in examine(LiveHost(), "etcd")], default=list))
"""
PKI = "/etc/kubernetes/pki/etcd"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
NAMES = ("cp1", "cp2", "cp3")
APART = ("192.0.2.10", "192.0.2.1", "192.0.2.21")
"""The node itself, and two addresses of the far side."""

PUT_MANY = f"""
import http.client, ssl, threading
context = ssl.create_default_context(cafile="{PKI}/ca.crt")
context.load_cert_chain("{PKI}/client.crt", "{PKI}/client.key")

def put():
    to = http.client.HTTPSConnection("{APART[1]}", 2379, context=context)
    for _ in range(110):
        to.request("POST", "/v3/kv/put", '{{"key": "YQ==", "value": "YQ=="}}')
        to.getresponse().read()

threads = [threading.Thread(target=put) for _ in range(50)]
for each in threads: each.start()
for each in threads: each.join()
"""
CURL = f"curl -sS --cacert {PKI}/ca.crt --cert {PKI}/client.crt --key {PKI}/client.key"


def findings(node: LabNode) -> list[dict[str, Any]]:
    found = json.loads(node.run([sys.executable, "-c", ASK]).stdout)
    assert isinstance(found, list)
    return found


def verdict(node: LabNode) -> set[tuple[str, str, str]]:
    return {(finding["status"], finding["reason"], finding["subject"]) for finding in findings(node)}


def pki(node: LabNode) -> None:
    """An authority for etcd, a certificate for its servers and peers, and one for its client, as kubeadm has them."""
    start = time.time() - DAY
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    ca = issue("etcd-ca", authority=True, start=start)
    made = {
        "ca": ca,
        "server": issue("cp1", ca, dns=["localhost"], ips=[*HOSTS, *APART], start=start, usages=both),
        "client": issue("kube-apiserver-etcd-client", ca, start=start, usages=both[1:]),
        "stranger": issue("stranger", issue("other", authority=True, start=start), start=start, usages=both[1:]),
    }
    for name, one in made.items():
        node.write(f"{PKI}/{name}.crt", one.pem)
        node.write(f"{PKI}/{name}.key", one.key_pem, mode=0o600)


def api_server(node: LabNode, servers: str, client: str = "client") -> None:
    """The manifest of an API server that has etcd there."""
    words = ["kube-apiserver", f"--etcd-servers={servers}"]
    words += [
        f"--etcd-cafile={PKI}/ca.crt",
        f"--etcd-certfile={PKI}/{client}.crt",
        f"--etcd-keyfile={PKI}/{client}.key",
    ]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-apiserver", "namespace": "kube-system"},
        "spec": {"containers": [{"name": "kube-apiserver", "image": "x", "command": words}]},
    }
    node.write("/etc/kubernetes/manifests/kube-apiserver.yaml", json.dumps(pod))


def etcd(
    node: LabNode,
    number: int,
    *more: str,
    members: int,
    scheme: str = "https",
    hosts: Sequence[str] = HOSTS,
    far: bool = False,
) -> Daemon:
    """One member of a cluster of so many."""
    address = hosts[number]
    client, peer = f"{scheme}://{address}:2379", f"https://{address}:2380"
    initial = ",".join(f"{NAMES[each]}=https://{hosts[each]}:2380" for each in range(members))
    tls = [
        f"--cert-file={PKI}/server.crt",
        f"--key-file={PKI}/server.key",
        "--client-cert-auth",
        f"--trusted-ca-file={PKI}/ca.crt",
    ]
    peers = [f"--peer-{word.removeprefix('--')}" for word in tls]
    words = ["etcd", "--name", NAMES[number], "--data-dir", f"/var/lib/etcd-{number}", "--initial-cluster", initial]
    words += ["--listen-client-urls", client, "--advertise-client-urls", client]
    words += [
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--heartbeat-interval",
        "50",
        "--election-timeout",
        "500",
    ]
    return node.popen([*words, *peers, *(tls if scheme == "https" else []), *more], far=far)


def healthy(node: LabNode, number: int, scheme: str = "https", hosts: Sequence[str] = HOSTS) -> None:
    url = f"{scheme}://{hosts[number]}:2379/health"
    wait_for(lambda: '"true"' in node.shell(f"{CURL} {url}", check=False).stdout, f"etcd at {url}")


def reasons(found: Sequence[dict[str, Any]]) -> list[str]:
    return [finding["reason"] for finding in found]


def test_three_members_lose_one_and_then_the_majority(node: LabNode) -> None:
    pki(node)
    servers = [etcd(node, number, members=3) for number in range(3)]
    for number in range(3):
        healthy(node, number)
    api_server(node, ",".join(f"https://{host}:2379" for host in HOSTS))

    assert verdict(node) == {("pass", "Healthy", "https://127.0.0.1:2379")}

    servers[2].stop()
    assert verdict(node) == {("pass", "Healthy", "https://127.0.0.1:2379"), ("warn", "MemberDown", "cp3")}

    api_server(node, ",".join(f"https://{host}:2379" for host in HOSTS), client="stranger")
    assert verdict(node) == {("fail", "ClientRefused", "https://127.0.0.1:2379")}
    api_server(node, "https://127.0.0.1:2379")

    servers[1].stop()
    wait_for(lambda: reasons(findings(node)) == ["NoLeader"], "the leader to step down")
    [lost] = findings(node)
    assert "2 of 3 members must agree" in lost["message"]

    servers[0].stop()
    assert ("fail", "Unreachable", "https://127.0.0.1:2379") in verdict(node)


def test_a_member_that_its_peers_do_not_reach_is_told_and_then_how_far_it_is_behind(node: LabNode) -> None:
    pki(node)
    node.far_run(["ip", "address", "add", f"{APART[2]}/24", "dev", "node0"])
    for number in range(3):
        etcd(node, number, members=3, hosts=APART, far=number > 0)
    for number in range(3):
        healthy(node, number, hosts=APART)
    own = f"https://{APART[0]}:2379"
    api_server(node, own)

    node.shell("for way in --dport --sport; do iptables -A INPUT -i eth0 -p tcp $way 2380 -j DROP; done")
    status = f"{CURL} {own}/v3/maintenance/status -d '{{}}'"
    wait_for(lambda: '"leader"' not in node.shell(status).stdout, "the member to miss its leader")
    healthy(node, 1, hosts=APART)  # once the others have one, should it have been the leader itself
    healthy(node, 2, hosts=APART)
    [cut_off] = findings(node)
    assert (cut_off["status"], cut_off["reason"], cut_off["subject"]) == ("fail", "Unhealthy", own)
    assert "while 2 other members follow one" in cut_off["message"]

    node.far_run([sys.executable, "-c", PUT_MANY])
    assert {(status, reason) for status, reason, _ in verdict(node)} == {("fail", "Unhealthy"), ("warn", "MemberLags")}

    node.shell("iptables -F INPUT")
    healthy(node, 0, hosts=APART)
    wait_for(lambda: verdict(node) == {("pass", "Healthy", own)}, "the member to catch up")


def test_a_database_that_nears_and_reaches_its_quota_is_told_and_mended_in_etcds_own_order(node: LabNode) -> None:
    pki(node)
    # etcd learns of its database's size when it commits, by itself every 100 ms or later: each put is one.
    etcd(node, 0, "--quota-backend-bytes=800000", "--backend-batch-limit=1", members=1)
    healthy(node, 0)
    url = "https://127.0.0.1:2379"
    api_server(node, url)
    assert reasons(findings(node)) == ["Healthy"]

    call = f"{CURL} {url}/v3"
    put = f"{call}/kv/put -d @/run/put"
    node.shell('printf \'{"key":"YQ==","value":"%s"}\' $(head -c 30000 /dev/zero | base64 -w0) >/run/put')

    def near() -> bool:
        return (
            int(json.loads(node.shell(f"{put} >/dev/null; {call}/maintenance/status -d '{{}}'").stdout)["dbSize"])
            > 640_000
        )

    wait_for(near, "more than 80 % of the quota")
    assert verdict(node) == {("warn", "NearQuota", "cp1"), ("pass", "Healthy", url)}

    node.shell(f"for i in $(seq 8); do {put} >/dev/null; done")
    [full] = [finding for finding in findings(node) if finding["status"] != "pass"]
    assert (full["status"], full["reason"], full["subject"]) == ("fail", "NoSpace", "cp1")

    status = json.loads(node.shell(f"{call}/maintenance/status -d '{{}}'").stdout)
    disarm = {"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": status["header"]["member_id"]}
    for path, body in (
        ("kv/compaction", {"revision": status["header"]["revision"], "physical": True}),
        ("maintenance/defragment", {}),
        ("maintenance/alarm", disarm),
    ):
        node.shell(f"{call}/{path} -d '{json.dumps(body)}'")
    assert reasons(findings(node)) == ["Healthy"]


def test_a_corrupt_member_and_one_of_another_cluster_are_told(node: LabNode) -> None:
    pki(node)
    etcd(node, 0, members=1)
    etcd(node, 1, f"--initial-cluster={NAMES[1]}=https://{HOSTS[1]}:2380", members=2)
    for number in range(2):
        healthy(node, number)
    first, second = (f"https://{host}:2379" for host in HOSTS[:2])
    api_server(node, f"{first},{second}")
    assert verdict(node) == {("fail", "MembersDisagree", f"{first} and {second}")}

    api_server(node, first)
    assert verdict(node) == {("pass", "Healthy", first)}

    # What etcd raises itself once its members' hashes differ; as from then, it takes no write.
    call = f"{CURL} {first}/v3"
    status = json.loads(node.shell(f"{call}/maintenance/status -d '{{}}'").stdout)
    raised = {"action": "ACTIVATE", "alarm": "CORRUPT", "memberID": status["header"]["member_id"]}
    node.shell(f"{call}/maintenance/alarm -d '{json.dumps(raised)}'")
    put = {"key": "YQ==", "value": "YQ=="}
    assert "corrupt" in node.shell(f"{call}/kv/put -d '{json.dumps(put)}'").stdout
    assert verdict(node) == {("fail", "Corrupt", "cp1")}


def test_plain_http_and_the_wrong_scheme_are_told_apart(node: LabNode) -> None:
    pki(node)
    etcd(node, 0, members=1, scheme="http")
    healthy(node, 0, "http")
    api_server(node, "http://127.0.0.1:2379")
    assert reasons(findings(node)) == ["PlainHttp", "Healthy"]

    api_server(node, "https://127.0.0.1:2379")
    [found] = findings(node)
    assert found["reason"] == "Unreachable"
    assert "closed the connection" in found["message"]


def test_a_member_that_is_added_is_told_until_it_votes_and_two_that_vote_are_told(node: LabNode) -> None:
    def warned() -> list[str]:
        return [each["reason"] for each in findings(node) if each["status"] != "pass"]

    pki(node)
    etcd(node, 0, members=1)
    healthy(node, 0)
    api_server(node, f"https://{HOSTS[0]}:2379")
    assert reasons(findings(node)) == ["Healthy"]

    asked = json.dumps({"peerURLs": [f"https://{HOSTS[1]}:2380"], "isLearner": True})
    url = f"https://{HOSTS[0]}:2379/v3/cluster/member"
    added = json.loads(node.shell(f"{CURL} {url}/add -d '{asked}'").stdout)
    assert warned() == ["MemberNotStarted"]

    etcd(node, 1, "--initial-cluster-state", "existing", members=2)
    api_server(node, ",".join(f"https://{host}:2379" for host in HOSTS[:2]))
    wait_for(lambda: warned() == ["LearnerNotPromoted"], "the learner")

    promote = json.dumps({"ID": added["member"]["ID"]})
    wait_for(lambda: '"members"' in node.shell(f"{CURL} {url}/promote -d '{promote}'").stdout, "the promotion")
    healthy(node, 1)
    assert warned() == ["TwoMembers"]
