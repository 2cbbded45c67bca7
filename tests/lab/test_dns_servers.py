"""The DNS servers of a whole node, broken and mended: CoreDNS and its upstream, a cache on the node, what pods are given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode
from tests.lab.whole_node import CACHE, FAR, WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Outcome

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "ss", "setpriv"),
]

CONFIG = "/var/lib/kubelet/config.yaml"
PODS = f"/etc/lab-api/{FAR}/api/pods.json"
MAPS = f"/etc/lab-api/{FAR}/api/configmaps.json"
LOOP = '[FATAL] plugin/loop: Loop (127.0.0.1:53 -> :53) detected for zone ".", see https://coredns.io/plugins/loop#troubleshooting'


@pytest.fixture(scope="module")
def worker() -> Iterator[WholeNode]:
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        lab.shell(f"mkdir /run/api; cp -a {PODS} {MAPS} /run/api")
        yield made


@pytest.fixture
def node(worker: WholeNode) -> Iterator[WholeNode]:
    """The module's node, whole again after the test."""
    yield worker
    worker.restore()
    worker.lab.shell(
        f"cp -a /run/api/* /etc/lab-api/{FAR}/api; ip link del nodelocaldns; rm -rf /var/log/pods/*/coredns",
        check=False,
    )


def diagnosed(outcome: Outcome) -> dict[str, set[str]]:
    """Each cause with what it explains."""

    def name(one: dict[str, str]) -> str:
        return f"{one['check']}/{one['reason']}"

    return {name(each["cause"]): set(map(name, each["explains"])) for each in outcome.report["diagnoses"]}


def test_an_upstream_that_died_is_told_and_one_that_is_back_alarms_nobody(node: WholeNode) -> None:
    node.upstream.stop()
    outcome = node.check("--profile", "dns")

    assert diagnosed(outcome) == {"coredns/UpstreamSilent": set()}
    assert outcome.report["diagnoses"][0]["cause"]["subject"] == f"{FAR}:53"
    node.serve_upstream()
    assert alarms(node.check("--profile", "dns")) == set()


def test_a_server_that_ended_in_a_loop_is_told_by_its_log(node: WholeNode) -> None:
    pods = json.loads(node.lab.read(PODS))
    for pod in pods["items"]:
        if pod["metadata"].get("labels", {}).get("k8s-app") == "kube-dns":
            metadata = pod["metadata"]
            pod["status"] |= {"conditions": [{"type": "Ready", "status": "False"}]}
            folder = f"/var/log/pods/kube-system_{metadata['name']}_{metadata['uid']}/coredns"
            node.lab.write(f"{folder}/3.log", f"2026-11-21T10:00:00Z stdout F {LOOP}\n")
    node.lab.write(PODS, json.dumps(pods))

    outcome = node.check("coredns")

    assert set(diagnosed(outcome)) == {"coredns/Looping"}
    assert LOOP[:40] in outcome.report["diagnoses"][0]["title"]


def test_a_domain_that_the_corefile_does_not_serve_is_told(node: WholeNode) -> None:
    node.lab.shell(f"sed -i 's/kubernetes cluster.local/kubernetes other.example/' {MAPS}")

    assert diagnosed(node.check("coredns")) == {"coredns/ClusterDomainUnserved": set()}


def test_an_address_that_is_no_services_is_one_diagnosis_and_the_pasted_fix_mends_it(node: WholeNode) -> None:
    node.lab.shell(f"sed -i 's/10.96.0.10$/10.96.0.99/' {CONFIG}")
    outcome = node.check("--profile", "dns")

    assert diagnosed(outcome) == {"pod-resolv-conf/WrongClusterDns": {"dns-reply-source/NoReply"}}
    change, restart = outcome.report["diagnoses"][0]["fix"]["commands"]
    assert restart == "systemctl restart kubelet"  # of which the lab has none; the doctor reads the file
    node.lab.shell(change)
    assert alarms(node.check("pod-resolv-conf", "dns-reply-source")) == set()


def test_a_cache_is_told_missing_then_deaf_and_is_healthy_once_it_serves(node: WholeNode) -> None:
    node.lab.shell(f"sed -i 's/10.96.0.10$/{CACHE}/' {CONFIG}")
    assert diagnosed(node.check("--profile", "dns")) == {"nodelocal-dns/AddressMissing": {"dns-reply-source/NoReply"}}

    node.lab.shell(
        f"ip link add nodelocaldns type bridge; ip addr add {CACHE}/32 dev nodelocaldns; ip link set nodelocaldns up"
    )
    assert diagnosed(node.check("nodelocal-dns")) == {"nodelocal-dns/NotListening": set()}

    node.lab.shell("ip link del nodelocaldns")
    node.serve_cache()
    healthy = node.check("--profile", "dns")
    assert alarms(healthy) == set()
    assert healthy.reasons("nodelocal-dns") == {"CacheAnswers"}
    node.cache.stop()
    node.lab.shell("iptables -w -t raw -F")
