"""cni-config against a real containerd: what it predicts, what containerd then says and does, and what the pasted fix mends."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.finding import Finding, Status
from k8sdoctor.host import cri
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import examine
from tests.lab.containerd import BRIDGE_NETWORK, NETWORKS, PLUGINS, Containerd
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("containerd", "runc", "ctr", "busybox")]

KUBELET_CONF = "/etc/kubernetes/kubelet.conf"


@pytest.fixture
def containerd(node: LabNode) -> Containerd:
    """containerd on a node that has joined a cluster, with all plugins, without a network."""
    made = Containerd(node)
    made.link_plugins()
    node.write(KUBELET_CONF, "apiVersion: v1\nkind: Config\n")
    made.start()
    made.import_image()
    return made


def look(containerd: Containerd) -> tuple[Finding, ...]:
    return examine(LiveHost(str(containerd.node.root)), "cni-config")


def reasons(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.reason for finding in findings}


def paste(containerd: Containerd, finding: Finding) -> None:
    assert finding.fix is not None
    for command in (*finding.fix.commands, *finding.fix.persist):
        containerd.node.shell(command)
    containerd.wait_until_ready()
    if finding.fix.verify.startswith(("ls", "python3", "grep", "cat")):
        containerd.node.shell(finding.fix.verify)


def mend(containerd: Containerd) -> None:
    """Paste what is suggested, run for run, until nothing is left to mend."""
    for _ in range(3):
        sick = [finding for finding in look(containerd) if finding.status in (Status.WARN, Status.FAIL)]
        if not sick:
            return
        paste(containerd, sick[0])
    message = f"still sick: {look(containerd)}"
    raise AssertionError(message)


def starts_pods(containerd: Containerd) -> bool:
    try:
        containerd.remove_pod(containerd.run_pod(f"probe-{uuid.uuid4().hex[:8]}").id)  # a failed pod keeps its name
    except cri.CallError:
        return False
    return True


def test_a_healthy_node_is_loaded_and_starts_pods(containerd: Containerd) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.PASS, "Loaded")
    assert starts_pods(containerd)


def test_a_folder_without_configuration_is_named(containerd: Containerd) -> None:
    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.FAIL, "NoConfig")
    assert "no network config found" in containerd.load_status
    containerd.node.run(["rm", KUBELET_CONF])
    assert {each.status for each in look(containerd)} == {Status.PASS}


@pytest.mark.parametrize(
    "content",
    [
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge"},]}',
        '{"cniVersion": "0.4.0", "name": "n",\n "plugins": [{"type": "bridge"}] x}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": NaN}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type" "bridge"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bri\ndge"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge"}]',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": \'bridge\'}]}',
        "",
        "\ufeff{}",
        "null",
        "[]",
        '{"cniVersion": "0.4.0", "Name": "n", "plugins": [{"type": "bridge"}]}',
        '{"cniVersion": 0.4, "name": "n", "plugins": [{"type": "bridge"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": []}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": {"type": "bridge"}}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"bridge": "cni0"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": 5}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": ["bridge"]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge", "ipam": "host-local"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge", "capabilities": {"a": 1}}]}',
        '{"cniVersion": "0.4.0", "name": "n", "disableCheck": "true", "plugins": [{"type": "bridge"}]}',
        '{"cniVersion": "0.4.0", "name": null, "plugins": [{"type": "bridge"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "mtu": 1e999, "plugins": [{"type": "bridge"}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge", "dns": {"search": "a"}}]}',
        '{"cniVersion": "0.4.0", "name": "n", "plugins": [{"type": "bridge", "dns": {"nameservers": [5]}}]}',
    ],
)
def test_what_containerd_refuses_is_predicted_and_placed(node: LabNode, content: str) -> None:
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_network("10-x.conflist", content)
    containerd.start()

    [finding] = look(containerd)

    assert containerd.load_status != "OK"
    assert (finding.status, finding.reason) == (Status.FAIL, "ConfigInvalid"), containerd.load_status
    if "invalid character" in containerd.load_status and "literal" not in containerd.load_status:
        told = containerd.load_status.partition("invalid character '")[2].replace("\\'", "'", 1)[0]
        assert "line" in finding.message
        if content and told != "ï":  # Go's word for the first byte of a byte-order mark
            assert _pointed_at(content, finding.message).encode("unicode_escape").decode()[0] == told


def _pointed_at(content: str, message: str) -> str:
    words = message.replace(",", " ").replace(":", " ").split()
    line, column = int(words[words.index("line") + 1]), int(words[words.index("column") + 1])
    return (content.split("\n")[line - 1] + "\n")[column - 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("10-x.conflist", '{"name": "n", "plugins": [{"Type": "bridge"}]}'),
        ("10-x.conflist", '{"name": "n", "plugins": [{"type": "bridge", "ipam": null}]}'),
        ("10-x.conflist", '{"name": "n", "Name": 5, "plugins": [{"type": "bridge"}]}'),
        ("10-x.conflist", '\r\n\t{"name": "n", "plugins": [{"type": "bridge"}]}\n\n'),
        ("10-x.conf", '{"cniVersion": "0.4.0", "NAME": "n", "Type": "bridge"}'),
        (".conflist", '{"name": "n", "plugins": [{"type": "bridge"}]}'),
    ],
)
def test_what_containerd_takes_is_not_called_invalid(node: LabNode, name: str, content: str) -> None:
    containerd = Containerd(node)
    containerd.link_plugins()
    containerd.write_network(name, content)
    containerd.start()

    findings = look(containerd)

    assert containerd.load_status == "OK"
    assert reasons(findings) == {"NoAddresses"}  # of a file that is valid


@pytest.mark.parametrize("main", ["bridge", "ptp"])
def test_a_network_that_gives_no_address_starts_no_pod(containerd: Containerd, main: str) -> None:
    containerd.write_network("10-x.conflist", {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": main}]})
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.FAIL, "NoAddresses")
    assert not starts_pods(containerd)


def test_a_list_that_is_named_conf_is_refused_and_renaming_it_mends_it(containerd: Containerd) -> None:
    containerd.write_network("10-x.conf", json.dumps(BRIDGE_NETWORK))

    [finding] = look(containerd)
    assert finding.reason == "ConfigInvalid"
    paste(containerd, finding)

    wait_for(lambda: containerd.network_ready, "the network")
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


def test_a_byte_order_mark_is_removed_by_the_fix(containerd: Containerd) -> None:
    containerd.write_network("10-x.conflist", "\ufeff" + json.dumps(BRIDGE_NETWORK))

    [finding] = look(containerd)
    paste(containerd, finding)

    wait_for(lambda: containerd.network_ready, "the network")
    assert reasons(look(containerd)) == {"Loaded"}


def test_a_second_file_is_shadowed_and_putting_it_aside_ends_the_warning(containerd: Containerd) -> None:
    containerd.write_bridge_network()
    containerd.write_network("20-other.conflist", '{"name": "other", "plugins": [{"type": "ptp"}]}')
    wait_for(lambda: containerd.network_ready, "the network")

    findings = look(containerd)

    assert reasons(findings) == {"Loaded", "ConfigShadowed"}
    [warning] = [finding for finding in findings if finding.status is Status.WARN]
    paste(containerd, warning)
    assert reasons(look(containerd)) == {"Loaded"}


def test_a_file_that_was_moved_in_is_not_loaded_and_renaming_it_inside_mends_it(
    containerd: Containerd, node: LabNode
) -> None:
    node.shell("mkdir /etc/cni/outside")
    node.write("/etc/cni/outside/10-bridge.conflist", json.dumps(BRIDGE_NETWORK))
    node.shell(f"mv /etc/cni/outside/10-bridge.conflist {NETWORKS}/")

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.FAIL, "StaleLoad")
    assert not containerd.network_ready
    assert not starts_pods(containerd)
    assert finding.fix is not None
    assert "systemctl" not in finding.fix.commands[0]
    paste(containerd, finding)
    wait_for(lambda: containerd.network_ready, "the network")
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


def test_an_older_content_is_told_from_the_one_on_disk(containerd: Containerd, node: LabNode) -> None:
    path = containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    node.shell("mkdir /etc/cni/outside")
    node.write("/etc/cni/outside/new", json.dumps(BRIDGE_NETWORK).replace("cni0", "cni1"))
    node.shell(f"mv /etc/cni/outside/new {path}")

    [finding] = look(containerd)

    assert finding.reason == "StaleLoad"
    assert "older content" in finding.message
    paste(containerd, finding)
    wait_for(lambda: reasons(look(containerd)) == {"Loaded"}, "the new content")


def test_a_folder_that_was_made_anew_is_not_watched_and_a_restart_mends_it(
    containerd: Containerd, node: LabNode
) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    node.shell(f"rm -r {NETWORKS}; mkdir {NETWORKS}")
    wait_for(lambda: not containerd.network_ready, "the network's end")
    containerd.write_bridge_network()

    [finding] = look(containerd)

    assert finding.reason == "StaleLoad"
    assert "no longer watches" in finding.message
    assert finding.fix is not None
    assert finding.fix.commands == ("systemctl restart containerd",)
    paste(containerd, finding)
    wait_for(lambda: containerd.network_ready, "the network")
    assert reasons(look(containerd)) == {"Loaded"}


@pytest.mark.parametrize("lost", ["bridge", "portmap", "host-local", "loopback"])
def test_a_missing_program_lets_containerd_say_ready_and_start_no_pod(
    containerd: Containerd, node: LabNode, lost: str
) -> None:
    containerd.write_bridge_network()
    node.run(["rm", f"{PLUGINS}/{lost}"])
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "PluginMissing", lost)
    assert not starts_pods(containerd)
    mend(containerd)
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


def test_no_plugins_at_all_are_one_finding(containerd: Containerd, node: LabNode) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    node.shell(f"rm -r {PLUGINS}")

    findings = look(containerd)

    assert [finding.reason for finding in findings] == ["PluginMissing"]
    paste(containerd, findings[0])
    for finding in look(containerd):
        if finding.status is Status.FAIL:
            mend(containerd)
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


@pytest.mark.parametrize("lost", ["bridge", "host-local"])
def test_a_program_that_cannot_run_is_named_and_chmod_mends_it(
    containerd: Containerd, node: LabNode, lost: str
) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    node.shell(f"rm {PLUGINS}/{lost}; cp /usr/lib/cni/{lost} {PLUGINS}/; chmod 644 {PLUGINS}/{lost}")

    [finding] = look(containerd)

    assert finding.reason == "PluginNotExecutable"
    assert not starts_pods(containerd)
    mend(containerd)
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


@pytest.mark.parametrize("content", ["head -c 4096 /dev/urandom", "echo '#!/nowhere/sh'"])
def test_a_program_of_another_machine_cannot_run(containerd: Containerd, node: LabNode, content: str) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    node.shell(f"rm {PLUGINS}/bridge; {content} > {PLUGINS}/bridge; chmod 755 {PLUGINS}/bridge")

    [finding] = look(containerd)

    assert finding.reason == "PluginNotExecutable"
    assert not starts_pods(containerd)


@pytest.mark.parametrize("version", ["1.1.0", "9.9.9", "0.3.2", "x"])
def test_a_version_that_nobody_knows_starts_no_pod_and_the_newest_known_does(
    containerd: Containerd, version: str
) -> None:
    containerd.write_network("10-x.conflist", {**BRIDGE_NETWORK, "cniVersion": version})
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert finding.reason == "VersionUnsupported"
    assert not starts_pods(containerd)
    paste(containerd, finding)
    wait_for(lambda: reasons(look(containerd)) == {"Loaded"}, "the new version")
    assert starts_pods(containerd)


@pytest.mark.parametrize("version", ["", "0.1.0", "0.3.1", "1.0.0"])
def test_a_version_that_all_know_starts_pods(containerd: Containerd, version: str) -> None:
    containerd.write_network("10-x.conflist", {**BRIDGE_NETWORK, "cniVersion": version})
    wait_for(lambda: containerd.network_ready, "the network")

    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


@pytest.mark.parametrize("name", ["my net", "", "_net", "ümlaut", "a/b'c"])
def test_a_name_that_libcni_refuses_starts_no_pod_and_another_does(containerd: Containerd, name: str) -> None:
    containerd.write_network("10-x.conflist", {**BRIDGE_NETWORK, "name": name})
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert finding.reason == "NameInvalid"
    assert not starts_pods(containerd)
    if name != "ümlaut":  # json.dumps writes an escape, which sed does not find
        paste(containerd, finding)
        wait_for(lambda: reasons(look(containerd)) == {"Loaded"}, "the new name")
        assert starts_pods(containerd)


def test_a_bridge_of_another_network_is_told(containerd: Containerd, node: LabNode) -> None:
    containerd.write_bridge_network()
    node.add_bridge("cni0", "10.9.0.1/24")
    wait_for(lambda: containerd.network_ready, "the network")

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.FAIL, "SubnetDiffers")
    assert not starts_pods(containerd)
    for command in finding.fix.commands if finding.fix else ():
        node.shell(command)
    assert reasons(look(containerd)) == {"Loaded"}
    assert starts_pods(containerd)


def test_a_bridge_that_lost_its_address_with_its_last_port_starts_no_pod_and_goes(
    containerd: Containerd, node: LabNode
) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    # The kernel takes a bridge's address from its ports, and with the last one it goes (br_stp_recalculate_bridge_id).
    node.shell(
        "ip link add cni0 type bridge; ip link add p0 type veth peer name p1; ip link set p0 master cni0; ip link delete p0"
    )

    findings = look(containerd)

    assert reasons(findings) == {"Loaded", "BridgeLeftover"}
    assert not starts_pods(containerd)
    mend(containerd)
    assert starts_pods(containerd)
    assert reasons(look(containerd)) == {"Loaded"}


def test_another_folder_is_found_when_containerd_looks_elsewhere(node: LabNode) -> None:
    table = '[plugins."io.containerd.grpc.v1.cri".cni]\n  conf_dir = "/etc/cni/other"\n'
    containerd = Containerd(node, toml=table)
    containerd.link_plugins()
    node.write(KUBELET_CONF, "")
    containerd.write_bridge_network()
    containerd.start()
    containerd.import_image()

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.FAIL, "WrongFolder")
    paste(containerd, finding)
    wait_for(lambda: reasons(look(containerd)) == {"Loaded"}, "the network")
    assert starts_pods(containerd)


def test_a_node_without_a_network_explains_why_there_is_no_pod_to_ask_dns_from(containerd: Containerd) -> None:
    report = containerd.node.check("cni-config", "dns-reply-source").report

    [diagnosis] = [each for each in report["diagnoses"] if each["cause"]["check"] == "cni-config"]
    assert diagnosis["cause"]["reason"] == "NoConfig"
    assert [(each["check"], each["reason"]) for each in diagnosis["explains"]] == [
        ("dns-reply-source", "NoPodNamespace")
    ]


def test_a_stopped_containerd_leaves_a_good_folder_unknown(containerd: Containerd) -> None:
    containerd.write_bridge_network()
    wait_for(lambda: containerd.network_ready, "the network")
    containerd.stop()

    [finding] = look(containerd)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "RuntimeUnreachable")
    assert "is good" in finding.message
