"""kubeadm-config on a machine with real links, routes, sockets and names: each fault is seen, and mending it is seen, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Outcome

pytestmark = pytest.mark.lab

PATH = "/root/kubeadm.yaml"
SOCKET = "/run/containerd/containerd.sock"
CONFIG = f"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: 192.0.2.10}}
nodeRegistration: {{criSocket: "unix://{SOCKET}"}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
networking: {{podSubnet: 10.244.0.0/16}}
"""
_LISTEN = (
    "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(10**6)"
)


@pytest.fixture(scope="module")
def machine() -> Iterator[LabNode]:
    with LabNode("cp1") as lab:
        listen(lab, SOCKET)
        yield lab


def listen(lab: LabNode, path: str) -> None:
    lab.shell(f"mkdir -p $(dirname {path})")
    lab.popen(["python3", "-c", _LISTEN, path])
    wait_for(lambda: lab.run(["test", "-S", path], check=False).returncode == 0, path)


def look(lab: LabNode, text: str = CONFIG) -> Outcome:
    lab.write(PATH, text)
    return lab.check("kubeadm-config", "--config", PATH)


def test_a_configuration_that_fits_the_machine_is_valid(machine: LabNode) -> None:
    outcome = look(machine)

    assert (outcome.code, outcome.reasons("kubeadm-config")) == (0, {"Valid"})


@pytest.mark.parametrize(
    ("breaks", "mends", "reason"),
    [
        (
            "ip link add docker0 type bridge; ip address add 10.244.0.1/16 dev docker0",
            "ip link delete docker0",
            "SubnetInUse",
        ),
        ("ip route add 10.244.9.0/24 via 192.0.2.1", "ip route delete 10.244.9.0/24", "SubnetInUse"),
        ("ip route add 10.0.0.0/8 via 192.0.2.1", "ip route delete 10.0.0.0/8", "SubnetShadowed"),
        ("echo nameserver 10.244.0.53 > /etc/resolv.conf", "echo > /etc/resolv.conf", "SubnetInUse"),
        ("ip address delete 192.0.2.10/24 dev eth0", "ip address add 192.0.2.10/24 dev eth0", "AddressNotHere"),
        ("mv /run/containerd /run/moved", "mv /run/moved /run/containerd", "SocketAbsent"),
    ],
)
def test_what_does_not_fit_the_machine_is_all_that_is_seen(
    machine: LabNode, breaks: str, mends: str, reason: str
) -> None:
    """What the test before mended must not be seen any more."""
    machine.shell(breaks)
    try:
        assert look(machine).reasons("kubeadm-config") - {"Valid"} == {reason}
    finally:
        machine.shell(mends)
        machine.shell("ip route replace default via 192.0.2.1")  # which goes with its address


def test_a_bridge_and_routes_of_pods_are_no_use_of_their_subnet(machine: LabNode) -> None:
    machine.add_bridge("cni0", "10.244.0.1/24")
    try:
        assert look(machine).reasons("kubeadm-config") == {"Valid"}
    finally:
        machine.shell("ip link delete cni0")


def test_a_name_that_is_not_resolved_is_mended_by_what_is_pasted(machine: LabNode) -> None:
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")

    outcome = look(machine)

    [finding] = [each for each in outcome.result("kubeadm-config")["findings"] if each["status"] == "warn"]
    assert finding["reason"] == "NodeNameNotResolved"
    machine.shell("\n".join(finding["fix"]["commands"]))
    machine.shell(finding["fix"]["verify"])
    assert look(machine).reasons("kubeadm-config") == {"Valid"}


def test_a_file_that_is_no_yaml_is_one_diagnosis_with_line_and_column(machine: LabNode) -> None:
    machine.write(PATH, CONFIG.replace("{criSocket", "{{criSocket"))

    outcome = machine.check("kubeadm-config", "apiserver-san", "--config", PATH)

    [diagnosis] = [each for each in outcome.report["diagnoses"] if each["cause"]["check"] == "kubeadm-config"]
    assert f"{PATH}, line" in diagnosis["title"]
    assert [each["check"] for each in diagnosis["explains"]] == ["apiserver-san"]
    assert outcome.code == 1


def test_the_token_of_kubeadm_s_defaults_is_known_and_shown_nowhere(machine: LabNode) -> None:
    token = "abcdef.0123456789abcdef"
    outcome = look(machine, CONFIG.replace("localAPI", f"bootstrapTokens: [{{token: {token}}}]\nlocalAPI", 1))

    assert outcome.reasons("kubeadm-config") == {"TokenPlaceholder", "Valid"}
    assert token not in outcome.out


def test_two_runtimes_need_a_word(machine: LabNode) -> None:
    listen(machine, "/run/crio/crio.sock")
    try:
        silent = CONFIG.replace(f'{{criSocket: "unix://{SOCKET}"}}', "{}")
        assert look(machine).reasons("kubeadm-config") == {"Valid"}
        assert look(machine, silent).reasons("kubeadm-config") == {"SeveralRuntimes"}
    finally:
        machine.shell("rm -r /run/crio")
