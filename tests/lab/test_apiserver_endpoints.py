"""apiserver-endpoints behind a real haproxy: a member that is down, and a kubelet that goes to one member alone."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.api_server import CONTROL_PLANE, kubeconfig
from tests.certificates import DAY, base64_pem, issue
from tests.lab.test_apiserver_san import BALANCER, LB, MEMBERS, haproxy, wait_listening
from tests.lab.whole_node import REPOSITORY, SERVE_API

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.node import Daemon, LabNode, Outcome

pytestmark = [pytest.mark.lab, pytest.mark.needs("haproxy", "ss", "iptables")]

KUBELET = "/etc/kubernetes/kubelet.conf"
ADMIN = "/etc/kubernetes/admin.conf"


def recorded(name: str) -> Any:
    return json.loads((CONTROL_PLANE / "api" / f"{name}.json").read_text())


def highly_available() -> dict[str, Any]:
    """The recorded objects, as a cluster of three API servers behind a balancer has them."""
    slices, pods, maps = recorded("endpointslices.discovery.k8s.io"), recorded("pods"), recorded("configmaps")
    for each in slices["items"]:
        if each["metadata"]["name"] == "kubernetes":
            each["endpoints"] = [{"addresses": [address], "conditions": {"ready": True}} for address in MEMBERS]
    [server] = [pod for pod in pods["items"] if pod["metadata"]["name"] == "kube-apiserver-cp1"]
    text = json.dumps(server)
    for number, address in enumerate(MEMBERS, 1):
        pods["items"].append(json.loads(text.replace("10.27.53.32", address).replace("cp1", f"cp{number}")))
    pods["items"].remove(server)
    for each in maps["items"]:
        if each["metadata"]["name"] == "kubeadm-config":
            each["data"]["ClusterConfiguration"] += f"controlPlaneEndpoint: {LB}:6443\n"
        if each["metadata"]["name"] == "kube-proxy":
            each["data"]["kubeconfig.conf"] = each["data"]["kubeconfig.conf"].replace("10.27.53.32", LB)
    return {"endpointslices.discovery.k8s.io": slices, "pods": pods, "configmaps": maps}


def serve(node: LabNode, objects: Mapping[str, Any]) -> list[Daemon]:
    """An API server at each member's address on the far side, and kubeconfigs of a node that an administrator uses, too."""
    start = time.time() - DAY
    ca = issue("kubernetes", authority=True, start=start, days=3650)
    leaf = issue("kube-apiserver", ca, dns=[LB, "kubernetes"], ips=[*MEMBERS, "10.96.0.1"], start=start)
    admin = issue("kubernetes-admin", ca, start=start, usages=[])
    user = {"client-certificate-data": base64_pem(admin), "client-key-data": base64_pem(admin, key=True)}
    for path, server in ((KUBELET, LB), (ADMIN, MEMBERS[0])):
        cluster = {"server": f"https://{server}:6443", "certificate-authority-data": base64_pem(ca)}
        node.write(path, kubeconfig(cluster, user))
    daemons = []
    for address in MEMBERS:
        folder = f"/etc/lab-api/{address}"
        for name, one in (("leaf", leaf), ("ca", ca)):
            node.write(f"{folder}/{name}.pem", one.pem)
            node.write(f"{folder}/{name}.key", one.key_pem)
        for file in (CONTROL_PLANE / "api").iterdir():
            text = json.dumps(objects[file.stem]) if file.stem in objects else file.read_text()
            node.write(f"{folder}/api/{file.name}", text)
        daemons.append(node.popen([sys.executable, "-c", SERVE_API, str(REPOSITORY), address, folder], far=True))
    for address in MEMBERS:
        wait_listening(node, f"{address}:6443")
    return daemons


def told(outcome: Outcome) -> set[tuple[str, str]]:
    return {(finding["status"], finding["reason"]) for finding in outcome.result("apiserver-endpoints")["findings"]}


def test_a_dead_member_is_the_cause_and_a_pinned_kubelet_is_moved_to_the_balancer(node: LabNode) -> None:
    node.write("/etc/hosts", f"127.0.0.1 localhost\n{BALANCER} {LB}\n")
    for address in MEMBERS:
        node.far_run(["ip", "address", "add", f"{address}/24", "dev", "node0"])
    members = serve(node, highly_available())
    haproxy(node, "tcp", [f"{address}:6443" for address in MEMBERS])
    to_service = "iptables -w -t nat -A OUTPUT -d 10.96.0.1 -p tcp --dport 443 -j DNAT --to-destination"
    node.shell(f"{to_service} {MEMBERS[0]}:6443")

    assert told(node.check("apiserver-endpoints")) == {("pass", "Ready")}

    text = node.read(KUBELET)
    node.write(KUBELET, text.replace(LB, MEMBERS[1]))
    pinned = node.check("apiserver-endpoints")
    assert told(pinned) == {("pass", "Ready"), ("warn", "KubeletPinned")}
    [diagnosis] = pinned.report["diagnoses"]
    node.write("/usr/local/bin/systemctl", "#!/bin/sh\n", mode=0o755)
    for line in diagnosis["fix"]["commands"]:
        node.shell(line)
    assert node.read(KUBELET) == text

    # Everybody by one member: by the name of the balancer, and kube-proxy by its address.
    hosts = node.read("/etc/hosts")
    node.write("/etc/hosts", hosts.replace(f"{BALANCER} {LB}", f"{MEMBERS[1]} {LB}"))
    assert told(node.check("apiserver-endpoints")) == {("pass", "Ready"), ("warn", "EndpointIsOneMember")}
    node.write("/etc/hosts", hosts)
    maps = "/etc/lab-api/*/api/configmaps.json"
    node.shell(f"sed -i 's,server: https://{LB}:,server: https://{MEMBERS[2]}:,' {maps}")
    assert told(node.check("apiserver-endpoints")) == {("pass", "Ready"), ("warn", "KubeProxyPinned")}
    node.shell(f"sed -i 's,server: https://{MEMBERS[2]}:,server: https://{LB}:,' {maps}")

    members[2].stop()
    [dead] = node.check("apiserver-endpoints", "apiserver-san").report["diagnoses"]
    assert (dead["cause"]["reason"], dead["cause"]["subject"]) == ("MemberDown", f"{MEMBERS[2]}:6443")
    assert {each["reason"] for each in dead["explains"]} == {"EndpointUnreachable", "BackendsDisagree"}
