"""What one node has that its sister has not, from what was recorded of both: most telling first, and no noise between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor import Evidence, Finding, fail, passed
from k8sdoctor.comparison import Change, Comparison, Difference, Side, compare
from k8sdoctor.comparison.differences import differences
from k8sdoctor.comparison.noise import Own
from k8sdoctor.comparison.properties import of_recording
from k8sdoctor.host.recording import UNTOLD, Entry, Manifest, Recording
from tests.certificates import base64_pem, cluster_ca, issue
from tests.comparison.sides import marks, side

if TYPE_CHECKING:
    from k8sdoctor.host.base import Json

CA = cluster_ca()
GOOD = passed("On", "The switch is on.")
FORWARD = "/proc/sys/net/ipv4/ip_forward"


def said(verb: str, answer: Any, **arguments: Any) -> Entry:
    return Entry(verb=verb, arguments=arguments, answer=answer)


def file(path: str, text: str) -> Entry:
    return said("read", text, path=path, netns=None)


def no_file(path: str) -> Entry:
    return Entry(
        verb="read", arguments={"path": path, "netns": None}, error={"reason": "NotFound", "message": "it is not there"}
    )


def folder(path: str, *names: str) -> Entry:
    return said("listdir", [{"name": name, "kind": "file"} for name in names], path=path)


def links(*listed: dict[str, Any]) -> Entry:
    loopback = {"index": 1, "name": "lo", "mtu": 65536, "up": True, "mac": "00:00:00:00:00:00"}
    return said("netlink", [loopback, *listed], what="links", netns=None)


def node(name: str, *entries: Entry, finding: Finding = GOOD, address: str = "", manifest: Manifest = UNTOLD) -> Side:
    card = {"links": f"eth0 52:54:00:00:00:0{name[-1]} {address}/24"} if address else {}
    made = side(
        ("subject", finding),
        ("node-identity", marks(**card)),
        node=name,
        path=f"{name}.tar.gz",
        anonymized=manifest["anonymized"],
    )
    return type(made)(made.path, made.report, Recording.of(entries, manifest))


def compared(a: list[Entry], b: list[Entry], finding: Finding = GOOD) -> Comparison:
    return compare(node("n1", *a, address="192.0.2.1"), node("n2", *b, finding=finding, address="192.0.2.2"))


def told(comparison: Comparison) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.a, each.b) for each in comparison.differences if not each.noise]


def noise(comparison: Comparison) -> list[str]:
    return [each.name for each in comparison.differences if each.noise]


def test_a_kernel_switch_that_differs_is_called_as_sysctl_calls_it() -> None:
    assert told(compared([file(FORWARD, "1\n")], [file(FORWARD, "0\n")])) == [("net.ipv4.ip_forward", ("1",), ("0",))]


def test_of_a_file_only_the_lines_that_differ_are_told() -> None:
    text = "# a comment\nnameserver 192.0.2.53\nsearch example.org\n"
    other = "# another comment\n\nnameserver 192.0.2.54\nsearch example.org\n"

    assert told(compared([file("/etc/resolv.conf", text)], [file("/etc/resolv.conf", other)])) == [
        ("/etc/resolv.conf", ("nameserver 192.0.2.53",), ("nameserver 192.0.2.54",))
    ]


def test_files_that_say_the_same_in_another_form_are_the_same() -> None:
    path = "/etc/cni/net.d/10-bridge.conflist"
    one, two = (
        '{"name": "cbr0", "plugins": [{"type": "bridge"}]}',
        '{\n "name":"cbr0",\n "plugins":[{"type":"bridge"}]}',
    )
    mtu = '{"name": "cbr0", "plugins": [{"type": "bridge", "mtu": 1400}]}'

    assert told(compared([file(path, one)], [file(path, two)])) == []
    assert told(compared([file(path, one)], [file(path, mtu)])) == [(path, (), ("plugins[bridge].mtu: 1400",))]


def test_a_file_that_one_node_lacks_is_told_and_one_that_nobody_looked_for_is_not() -> None:
    path = "/etc/sysctl.d/99-own.conf"

    assert told(compared([no_file(path)], [file(path, "vm.swappiness = 1\n")])) == [
        (path, None, ("vm.swappiness = 1",))
    ]
    assert told(compared([file(path, "vm.swappiness = 1\n")], [no_file(path)])) == [
        (path, ("vm.swappiness = 1",), None)
    ]
    assert told(compared([no_file(path)], [no_file(path)])) == []
    assert told(compared([], [file(path, "vm.swappiness = 1\n")])) == []


def test_a_file_that_only_one_folder_lists_is_not_there_on_the_other_node() -> None:
    found = compared(
        [folder("/etc/cni/net.d", "10-a.conf")],
        [folder("/etc/cni/net.d", "10-a.conf", "20-b.conf"), file("/etc/cni/net.d/20-b.conf", '{"type": "x"}')],
    )

    assert told(found) == [("/etc/cni/net.d/20-b.conf", None, ("type: x",)), ("/etc/cni/net.d/", (), ("20-b.conf",))]


@pytest.mark.parametrize("error", ["NotPermitted", "NotRecorded", "DeadlineExceeded"])
def test_what_a_side_could_not_read_is_not_called_absent(error: str) -> None:
    refused = Entry(verb="read", arguments={"path": FORWARD, "netns": None}, error={"reason": error, "message": "no"})
    cut = Entry(verb="read", arguments={"path": FORWARD, "netns": None}, cut={"bytes": 9, "head": "", "tail": ""})

    for entry in (refused, cut):
        assert compared([entry], [file(FORWARD, "1\n")]).differences == ()


def test_what_a_failing_check_names_comes_first_then_kernel_switches_versions_files_links_and_programs() -> None:
    def recorded(value: str, mtu: int) -> list[Entry]:
        programs = [{"pid": 1, "ppid": 0, "name": f"init{value}", "cmdline": ["/init"]}]
        return [
            said("processes", programs),
            links({"index": 2, "name": "eth0", "mtu": mtu, "up": True, "mac": "52:54:00:00:00:01"}),
            file("/etc/hosts", f"192.0.2.99 registry{value}.example.org\n"),
            file("/etc/containerd/config.toml", f"version = {value}\n"),
            said("run", {"code": 0, "out": f"containerd v1.7.{value}\n", "err": ""}, argv=["containerd", "--version"]),
            file("/proc/sys/vm/overcommit_memory", f"{value}\n"),
            said("identity", {"hostname": "x", "kernel": f"6.{value}.0", "machine": "x86_64", "euid": 0}),
        ]

    cause = fail("Wrong", "It is wrong.", evidence=[Evidence("/etc/containerd/config.toml:1", "version = 3")])
    found = compared(recorded("2", 1500), recorded("3", 1450), cause)

    assert [name for name, _, _ in told(found)] == [
        *("/etc/containerd/config.toml", "kernel", "vm.overcommit_memory", "containerd --version"),
        *("/etc/hosts", "link eth0", "programs that run"),
    ]
    assert [each.named_by for each in found.differences[:2]] == [("subject/Wrong",), ()]


def test_a_switch_is_named_by_its_path_as_well() -> None:
    path = fail("Off", "It is off.", evidence=[Evidence(FORWARD, "0")])
    word = fail("Off", "net.ipv4.ip_forward is 0.")
    longer = fail("Off", "net.ipv4.ip_forward_use_pmtu is 0.")

    for finding, by in ((path, ("subject/Off",)), (word, ("subject/Off",)), (longer, ())):
        [difference] = compared([file(FORWARD, "1")], [file(FORWARD, "0")], finding).differences
        assert difference.named_by == by


def test_what_both_nodes_fail_alike_names_no_difference() -> None:
    off = fail("Off", "net.ipv4.ip_forward is 0.")

    found = compare(node("n1", file(FORWARD, "1"), finding=off), node("n2", file(FORWARD, "0"), finding=off))

    assert [each.named_by for each in found.differences] == [()]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (file("/etc/hostname", "n1\n"), file("/etc/hostname", "n2\n")),
        (file("/etc/hosts", "192.0.2.1 n1\n"), file("/etc/hosts", "192.0.2.2 n2\n")),
        (file("/etc/machine-id", "a" * 32), file("/etc/machine-id", "b" * 32)),
        (file("/proc/meminfo", "MemFree: 1 kB"), file("/proc/meminfo", "MemFree: 2 kB")),
        (
            file("/proc/sys/net/netfilter/nf_conntrack_count", "1"),
            file("/proc/sys/net/netfilter/nf_conntrack_count", "2"),
        ),
        (
            said("run", {"code": 0, "out": ":INPUT ACCEPT [1:2]", "err": ""}, argv=["iptables-save"]),
            said("run", {"code": 0, "out": ":INPUT ACCEPT [3:4]", "err": ""}, argv=["iptables-save"]),
        ),
        (
            said("netlink", [{"address": "192.0.2.1", "prefix": 24}], what="addresses", netns=None),
            said("netlink", [{"address": "192.0.2.2", "prefix": 24}], what="addresses", netns=None),
        ),
        (
            file(
                "/etc/kubernetes/kubelet.conf", f"client-certificate-data: {base64_pem(issue('system:node:n1', CA))}\n"
            ),
            file(
                "/etc/kubernetes/kubelet.conf", f"client-certificate-data: {base64_pem(issue('system:node:n2', CA))}\n"
            ),
        ),
    ],
)
def test_what_differs_on_every_pair_of_nodes_is_noise(a: Entry, b: Entry) -> None:
    found = compared([a], [b])

    assert told(found) == []
    assert len(noise(found)) == 1


def test_another_cluster_s_authority_is_no_noise() -> None:
    one, two = (f"certificate-authority-data: {base64_pem(ca)}\n" for ca in (CA, issue("kubernetes", authority=True)))
    path = "/etc/kubernetes/kubelet.conf"

    [(name, before, after)] = told(compared([file(path, one)], [file(path, two)]))

    assert name == path
    assert before[0].startswith("certificate-authority-data: authority CN=kubernetes, sha256 ")
    assert before != after


@pytest.mark.parametrize(
    "entry",
    [
        said("readlink", "net:[4026531833]", path="/proc/7/ns/net"),
        said("read", "1", path=FORWARD, netns="/run/netns/pod"),
        said("dns", [], queries=[], netns=None),
        said("now", 1.0),
        said("run", {"code": 0, "out": "a line of a log", "err": ""}, argv=["journalctl", "-u", "kubelet"]),
        said("stat", {"kind": "file", "mode": 0o444, "uid": 0, "gid": 0, "size": 0}, path="/proc/7/ns/net"),
    ],
)
def test_what_is_of_one_run_is_no_property_of_a_node(entry: Entry) -> None:
    other = Entry(verb=entry["verb"], arguments=entry["arguments"], answer="another answer")

    assert compared([entry], [other]).differences == ()


def test_a_link_that_one_node_lacks_is_told_and_a_pod_s_is_not() -> None:
    bridge = {"index": 3, "name": "cni0", "kind": "bridge", "mtu": 1450, "up": True, "nf_call_iptables": False}
    veth = {"index": 4, "name": "veth12345678", "kind": "veth", "mtu": 1450, "up": True}

    found = compared([links()], [links(bridge, veth)])

    assert told(found) == [("link cni0", None, ("mtu 1450, bridge, up, nf_call_iptables False",))]


def test_routes_by_which_all_leaves_are_compared_and_the_others_are_noise() -> None:
    def routes(gateway: str, pods: str) -> Entry:
        listed = [
            {"family": 4, "destination": "0.0.0.0/0", "gateway": gateway, "table": 254, "type": "unicast"},
            {"family": 4, "destination": pods, "table": 254, "type": "unicast"},
        ]
        return said("netlink", listed, what="routes", netns=None)

    found = compared([routes("192.0.2.254", "10.244.1.0/24")], [routes("192.0.2.253", "10.244.2.0/24")])

    assert [name for name, _, _ in told(found)] == ["default routes"]
    assert noise(found) == ["routes"]


def test_a_program_that_one_node_lacks_is_told_once() -> None:
    nothing = Entry(
        verb="run", arguments={"argv": ["kubeadm", "version"]}, error={"reason": "NotFound", "message": "not installed"}
    )

    found = compared([said("run", {"code": 0, "out": "v1.36.2", "err": ""}, argv=["kubeadm", "version"])], [nothing])

    assert told(found) == [("kubeadm version", ("v1.36.2",), None)]


def test_the_runtime_s_version_and_configuration_are_compared_value_by_value() -> None:
    def runtime(version: str, image: str) -> list[Entry]:
        return [
            said("cri", {"runtime_name": "containerd", "runtime_version": version}, method="RuntimeService/Version"),
            said("cri", {"info": {"config": f'{{"sandboxImage": "{image}"}}'}}, method="RuntimeService/Status"),
        ]

    found = compared(runtime("1.6.20", "pause:3.6"), runtime("1.7.2", "pause:3.9"))

    assert told(found) == [
        ("container runtime", ("containerd 1.6.20",), ("containerd 1.7.2",)),
        (
            "container runtime's state and configuration",
            ("info.config.sandboxImage: pause:3.6",),
            ("info.config.sandboxImage: pause:3.9",),
        ),
    ]


def test_of_two_reports_evidence_is_compared_and_what_findings_tell_is_not_told_twice() -> None:
    def one(name: str, value: str, other: str) -> Side:
        switch = (fail if value == "0" else passed)("Switch", f"It is {value}.", evidence=[Evidence(FORWARD, value)])
        return side(("a", switch), ("b", passed("On", "Fine.", evidence=[Evidence("/etc/x", other)])), node=name)

    found = compare(one("n1", "1", "x = 1"), one("n2", "0", "x = 2"))

    assert [(each.source, each.before, each.after) for each in found.changes[0].evidence] == [(FORWARD, ("1",), ("0",))]
    assert told(found) == [("/etc/x", ("x = 1",), ("x = 2",))]


def test_a_recording_and_a_report_are_compared_by_evidence_and_that_is_said() -> None:
    found = compare(node("n1", file(FORWARD, "1")), side(("subject", GOOD), node="n2"))

    assert found.differences == ()
    assert any(remark.startswith("B is a report") for remark in found.remarks)


def test_stand_ins_of_two_recordings_are_not_held_against_each_other() -> None:
    manifest = Manifest(tool="", profile=None, deadline=None, anonymized=True)

    found = compare(
        node("node-1", manifest=manifest), node("node-1", finding=fail("Off", "It is off."), manifest=manifest)
    )

    assert found.same_node is None
    assert found.duplicates == ()
    assert any("A and B are anonymized" in remark for remark in found.remarks)
    assert found.exit_code == 1


def test_findings_that_name_stand_ins_are_matched_by_their_reason_and_this_is_told() -> None:
    hidden = Manifest(tool="", profile=None, deadline=None, anonymized=True)
    plain = Manifest(tool="", profile=None, deadline=None, anonymized=False)

    def sick(subject: str, manifest: Manifest) -> Side:
        return node("n", finding=fail("Off", "It is off.", subject=subject), manifest=manifest)

    found, named = (compare(sick("db.acme.com", plain), sick("node-1", each)) for each in (hidden, plain))

    assert [each.change for each in found.changes] == [Change.STILL]
    assert any("cannot be matched by what they name" in remark for remark in found.remarks)
    assert {each.change for each in named.changes} == {Change.NEW, Change.FIXED}
    assert not any("cannot be matched" in remark for remark in named.remarks)


def test_another_reason_is_new_even_where_names_are_stand_ins() -> None:
    hidden = Manifest(tool="", profile=None, deadline=None, anonymized=True)
    one, other = (
        node("n", finding=fail(reason, "It is.", subject=subject), manifest=hidden)
        for reason, subject in (("Off", "a"), ("Broken", "b"))
    )

    assert {each.change for each in compare(one, other).changes} == {Change.NEW, Change.FIXED}


def test_a_recording_of_another_version_is_remarked() -> None:
    manifest = Manifest(tool="0.0.9", profile=None, deadline=None, anonymized=False)

    found = compare(node("n1", manifest=manifest), node("n1"))

    assert any("A was recorded by k8sdoctor 0.0.9" in remark for remark in found.remarks)


@pytest.mark.parametrize("arguments", [{}, {"path": 7}, {"path": None, "argv": []}, {"path": [], "what": "links"}])
def test_a_question_of_another_form_than_ours_says_nothing(arguments: dict[str, Any]) -> None:
    verbs = ["read", "lines", "listdir", "stat", "readlink", "run", "netlink", "space", "resolve", "cri", "kube"]
    answers: list[Json] = ["x", 7, [None]]
    entries = [Entry(verb=verb, arguments=arguments, answer=answer) for verb in verbs for answer in answers]
    entries += [Entry(verb=verb, arguments=arguments, error={"reason": "NotFound", "message": "x"}) for verb in verbs]
    good = [file(FORWARD, "1")]

    assert told(compared([*entries, *good], [*entries, file(FORWARD, "0")])) == [
        ("net.ipv4.ip_forward", ("1",), ("0",))
    ]


def test_a_long_recording_that_is_the_same_on_both_sides_is_not_read_line_by_line() -> None:
    class Unread(Own):
        def stable(self, text: str) -> str:
            assert len(text) < 100
            return text

    held = of_recording([file("/etc/long", "x" * 1000)], Unread({}))

    assert differences(held, held, (), Unread({}), Unread({})) == ()


def test_a_hostile_recording_is_compared_all_the_same() -> None:
    hostile = [
        file("/etc/cni/net.d/x", "{" * 5000),
        file("/etc/kubernetes/pki/ca.crt", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"),
        file("/etc/kubernetes/admin.conf", "client-certificate-data: LS0tLS1CRUdJTi!!!\nca: LS0tLS1CRUdJTiB"),
        file("/etc/\x1b[2J", "\x07"),
        said("cri", {"info": {"config": "[" * 5000}}, method="RuntimeService/Status"),
        said("kube", {"items": [{"name": 7}, None, []]}, path="/api/v1/nodes", kubeconfig="x"),
    ]
    plain = [Entry(verb=each["verb"], arguments=each["arguments"], answer="") for each in hostile[:4]]
    plain += [said("cri", {}, method="RuntimeService/Status"), said("kube", {}, path="/api/v1/nodes", kubeconfig="x")]

    found = compared(hostile, plain)

    assert all(isinstance(each, Difference) for each in found.differences)
    assert len(found.differences) == len(hostile)


def test_lines_that_were_picked_otherwise_are_no_difference_and_those_picked_alike_are() -> None:
    rules = ["-A KUBE-SERVICES -d 10.96.0.10/32 -j A", '-A A -m comment --comment "kube-system/kube-dns:dns" -j B']

    def saved(lines: list[str], *keep: str) -> Entry:
        return said("run", {"code": 0, "out": "\n".join(lines), "err": ""}, argv=["iptables-save"], keep=list(keep))

    few, all_ = ["-d 10.96.0.10/"], ["-d 10.96.0.10/", "kube-dns"]

    assert told(compared([saved(rules, *all_)], [saved(rules[:1], *few), saved(rules, *all_)])) == []
    assert told(compared([saved(rules, *all_)], [saved(rules[:1], *few)])) == []
    assert told(compared([saved(rules, *all_)], [saved(rules[:1], *few), saved(rules[:1], *all_)])) == [
        ("iptables-save", (rules[1],), ())
    ]
