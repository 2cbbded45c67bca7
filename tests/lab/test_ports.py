"""ports, with real listeners on a lab node: the message names the process, and the pasted fix mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from tests.lab.node import Daemon

pytestmark = [pytest.mark.lab, pytest.mark.needs("ss", "haproxy")]

_LISTEN = "import socket, sys, time; s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=int(sys.argv[3])); time.sleep(10**6)"

_HAPROXY = """\
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend api
    bind {address}:6443
    default_backend members
backend members
    server m1 192.0.2.1:6443
"""


def listen(node: LabNode, address: str, port: int, *, name: str = "squatter") -> Daemon:
    """Have a program of this name listen."""
    family = 10 if ":" in address else 2
    words = ["bash", "-c", f'exec -a {name} python3 "$@"', "listen", "-c", _LISTEN, address, str(port), str(family)]
    return started(node, words, port)


def started(node: LabNode, words: list[str], port: int) -> Daemon:
    daemon = node.popen(words)

    def listens() -> bool:
        assert daemon.running, daemon.log
        return f":{port} " in node.run(["ss", "-Hltn"]).stdout

    wait_for(listens, f"a listener on port {port}")
    return daemon


def found(node: LabNode, *arguments: str) -> list[tuple[str, str, str | None]]:
    [result] = node.check("ports", *arguments).report["results"]
    return [(finding["status"], finding["reason"], finding["subject"]) for finding in result["findings"]]


def test_a_port_is_taken_by_a_real_process_until_the_fix_is_pasted() -> None:
    with LabNode() as node:
        node.write("/usr/local/bin/kubelet", "#!/bin/sh\n", mode=0o755)
        assert found(node) == [("pass", "PortsFree", None)]

        daemon = listen(node, "127.0.0.1", 10250)
        # A connection that is closing, and a listener in another network namespace, are in nobody's way.
        node.shell("ip netns add pod; exec 3<>/dev/tcp/127.0.0.1/10250; exec 3>&-")
        listen_in_pod = ["ip", "netns", "exec", "pod", "python3", "-c", _LISTEN, "0.0.0.0", "6443", "2"]
        inside = node.popen(listen_in_pod)
        wait_for(
            lambda: ":6443 " in node.run(["ip", "netns", "exec", "pod", "ss", "-Hltn"]).stdout, "the pod's listener"
        )

        [finding] = node.check("ports").report["results"][0]["findings"]
        assert (finding["reason"], finding["subject"]) == ("PortTaken", "10250/tcp")
        assert "squatter (pid" in finding["message"]
        assert inside.running

        node.shell("\n".join(finding["fix"]["commands"]))
        wait_for(lambda: not daemon.running, "the end of who was in the way")
        assert found(node) == [("pass", "PortsFree", None)]


def test_a_real_balancer_may_share_the_port_by_an_address_of_its_own_alone() -> None:
    with LabNode() as node:
        node.write("/etc/kubernetes/kubelet.conf", "{}")
        node.write(
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver}\nspec:\n  hostNetwork: true\n  containers:\n"
            "  - {name: kube-apiserver, image: x, command: [kube-apiserver, --bind-address=192.0.2.10]}\n",
        )
        node.write("/etc/haproxy.cfg", _HAPROXY.format(address="127.0.0.1"))
        balancer = started(node, ["haproxy", "-db", "-f", "/etc/haproxy.cfg"], 6443)

        assert found(node) == [("pass", "PortsHeld", None)]

        balancer.stop()
        node.write("/etc/haproxy.cfg", _HAPROXY.format(address="*"))
        started(node, ["haproxy", "-db", "-f", "/etc/haproxy.cfg"], 6443)
        [finding] = node.check("ports").report["results"][0]["findings"]

        assert (finding["status"], finding["reason"], finding["subject"]) == ("fail", "PortTaken", "6443/tcp")
        assert "haproxy (pid" in finding["message"]
