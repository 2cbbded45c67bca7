"""coredns: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from k8sdoctor.checks.coredns import coredns
from k8sdoctor.facts.cluster_dns import ClusterDns, DnsAddress
from k8sdoctor.facts.coredns import CoreDns, DnsPod
from k8sdoctor.facts.dns_upstreams import DnsUpstreams, Upstream
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import DnsQuery, DnsReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host.answers import DnsOutcome

JOINED = Stage("worker", "")
SERVICE = "10.96.0.10"
DNS = ClusterDns(
    (DnsAddress(SERVICE, "clusterDNS in /var/lib/kubelet/config.yaml; service kube-system/kube-dns"),),
    domain="cluster.local",
    domain_source="clusterDomain in /var/lib/kubelet/config.yaml",
    service="kube-system/kube-dns",
    complete=True,
)
COREFILE = """\
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa
    forward . 192.0.2.53
    cache 30
    loop
    reload
}
"""
POD = DnsPod("kube-system/coredns-0", ready=True, node="worker-1", address="10.244.0.2", image="coredns:1", here=True)
GOOD = CoreDns(
    (POD, replace(POD, name="kube-system/coredns-1", address="10.244.0.3")), complete=True, corefile=COREFILE
)
LOOP = '[FATAL] plugin/loop: Loop (127.0.0.1:53 -> :53) detected for zone ".", see https://coredns.io/plugins/loop'


def outcome(
    server: str, rcode: str | None = "NOERROR", *, transport: Literal["udp", "tcp"] = "udp", matches: bool = True
) -> DnsOutcome:
    query = DnsQuery(server=server, port=53, transport=transport, name=".", type="NS", attempt=0)
    reply = DnsReply(
        source=server, port=53, seconds=0.01, matches=matches, rcode=rcode or "", truncated=False, answers=[]
    )
    return {
        "query": query,
        "replies": [reply] if rcode else [],
        "dropped": 0,
        "error": None,
        "offender": None,
        "seconds": 0.01,
    }


def upstream(address: str = "192.0.2.53", zone: str = ".", port: int = 53) -> Upstream:
    return Upstream(address, port, zone, "line 6 of the Corefile", 6)


def asked(*outcomes: DnsOutcome, node: Sequence[DnsOutcome] = (), own: Sequence[DnsOutcome] = ()) -> DnsUpstreams:
    servers = tuple(dict.fromkeys(upstream(each["query"]["server"]) for each in outcomes))
    return DnsUpstreams(servers, pod="default/web", from_pod=outcomes, from_node=tuple(node), own=tuple(own))


WELL = asked(outcome("192.0.2.53"), node=[outcome("192.0.2.53")], own=[outcome("10.244.0.2")])


def findings(
    servers: CoreDns | Unobserved = GOOD, upstreams: DnsUpstreams | Unobserved = WELL, dns: ClusterDns = DNS
) -> list[Finding]:
    return list(coredns(JOINED, servers, dns, upstreams))


def judge(
    servers: CoreDns | Unobserved = GOOD, upstreams: DnsUpstreams | Unobserved = WELL, dns: ClusterDns = DNS
) -> list[tuple[Status, str]]:
    return [(each.status, each.reason) for each in findings(servers, upstreams, dns)]


def ill(*log: str, state: str = "CrashLoopBackOff", ended: str = "Error, exit code 1") -> CoreDns:
    """The only pod, not ready."""
    return replace(GOOD, pods=(replace(POD, ready=False, restarts=4, state=state, ended=ended, log=log),))


def with_corefile(text: str, servers: CoreDns = GOOD) -> CoreDns:
    return replace(servers, corefile=text)


# -- pods ----------------------------------------------------------------------------------------------------------------


def test_ready_servers_with_an_upstream_that_answers_are_healthy() -> None:
    assert judge() == [(Status.PASS, "ServersReady")]


def test_a_machine_that_is_no_node_has_no_coredns() -> None:
    [finding] = coredns(Stage("prepared", ""), GOOD, DNS, WELL)

    assert (finding.status, finding.reason) == (Status.SKIP, "NotJoined")


def test_a_cluster_with_another_dns_server_is_not_judged() -> None:
    assert judge(CoreDns(complete=True), DnsUpstreams()) == [(Status.SKIP, "NotCoreDns")]


def test_an_api_server_that_does_not_tell_leaves_it_unknown() -> None:
    problem = Unobserved("NotPermitted", "no right to list pods")

    assert judge(CoreDns(problem=problem), DnsUpstreams()) == [(Status.UNKNOWN, "NotPermitted")]
    assert judge(problem, DnsUpstreams()) == [(Status.UNKNOWN, "NotPermitted")]


def test_offline_skips() -> None:
    problem = Unobserved("Offline", "asked not to")

    assert judge(CoreDns(problem=problem), DnsUpstreams()) == [(Status.SKIP, "Offline")]
    assert judge(problem, DnsUpstreams()) == [(Status.SKIP, "Offline")]


TAINTED = "Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }."
ROLE = frozenset({"/endpoints", "/services", "/pods", "/namespaces", "discovery.k8s.io/endpointslices"})
IMAGE = "registry.k8s.io/coredns/coredns:v1.12.0"


def test_a_server_that_no_node_takes_is_told_with_the_scheduler_s_words() -> None:
    waiting = replace(POD, ready=False, node="", here=False, unplaced=TAINTED)
    [finding] = findings(replace(GOOD, pods=(waiting,)))

    assert (finding.status, finding.reason) == (Status.FAIL, "NotScheduled")
    assert "untolerated taint" in finding.message
    assert "NoBackends" in {link.reason for link in finding.explains}
    assert judge(replace(GOOD, pods=(POD, waiting))) == [(Status.WARN, "NotScheduled")]


NOT_READY = "node.kubernetes.io/not-ready"


@pytest.mark.parametrize(
    ("words", "traits"),
    [
        (TAINTED, {f"taint:{NOT_READY}"}),
        (
            f"Unschedulable: 0/1 nodes are available: 1 node(s) had taint {{{NOT_READY}: }}, that the pod didn't tolerate.",  # until 1.23
            {f"taint:{NOT_READY}"},
        ),
        ("Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims", {"taint:untold"}),
        ("Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.", set()),
        (
            "Unschedulable: 0/1 nodes are available: 1 node(s) were unschedulable.",
            {"taint:node.kubernetes.io/unschedulable"},
        ),
        ("Unschedulable: 0/1 nodes are available: 1 Insufficient memory.", set()),
    ],
)
def test_what_the_scheduler_says_keeps_a_server_off_the_nodes_is_told_to_causes(words: str, traits: set[str]) -> None:
    [finding] = findings(replace(GOOD, pods=(replace(POD, ready=False, node="", here=False, unplaced=words),)))

    assert finding.reason == "NotScheduled"
    assert finding.traits == traits


def test_a_server_of_this_node_that_waits_for_its_sandbox_may_be_explained_by_what_is_here() -> None:
    waiting = replace(POD, ready=False, state="ContainerCreating")

    for pod, some in ((waiting, True), (replace(waiting, here=False), False), (replace(waiting, state=""), False)):
        [finding] = findings(replace(GOOD, pods=(pod,)))
        assert finding.reason == "NotReady"
        assert ("creating:here" in finding.traits) is some


@pytest.mark.parametrize("state", ["ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull"])
def test_a_server_without_its_image_is_told_as_such(state: str) -> None:
    waiting = replace(POD, ready=False, state=state)

    assert judge(replace(GOOD, pods=(waiting,))) == [(Status.FAIL, "ImageNotPulled")]
    assert judge(replace(GOOD, pods=(POD, waiting))) == [(Status.WARN, "ImageNotPulled")]


def test_the_image_that_a_pod_of_this_node_waits_for_is_known_to_causes() -> None:
    waiting = replace(POD, ready=False, state="ErrImagePull", image="registry.k8s.io/coredns/coredns:v1", here=True)

    [here] = findings(replace(GOOD, pods=(waiting,)))
    [elsewhere] = findings(replace(GOOD, pods=(replace(waiting, here=False),)))

    assert here.traits == {"image:registry.k8s.io/coredns/coredns:v1"}
    assert not elsewhere.traits


@pytest.mark.parametrize(
    ("waits", "reason"), [(("kubernetes",), "ApiNotReached"), (("forward",), "NotReady"), ((), "NotReady")]
)
def test_a_server_that_is_not_ready_says_itself_which_plugin_waits(waits: tuple[str, ...], reason: str) -> None:
    [finding] = findings(replace(GOOD, pods=(replace(POD, ready=False, waits=waits),)))

    assert finding.reason == reason
    assert not waits or f"not ready says its plugin {waits[0]}" in finding.message


@pytest.mark.parametrize("lacking", ["/services", "/namespaces", "discovery.k8s.io/endpointslices"])
def test_a_role_that_lacks_a_right_warns_while_a_server_is_ready_and_fails_when_none_is(lacking: str) -> None:
    pods = (replace(POD, image=IMAGE),)
    [finding] = findings(replace(GOOD, pods=pods, granted=ROLE - {lacking}))
    assert (finding.status, finding.reason) == (Status.WARN, "ApiForbidden")
    assert f"list and watch {lacking.strip('/')}" in finding.message

    found = judge(replace(GOOD, pods=(replace(pods[0], ready=False),), granted=ROLE - {lacking}))
    assert found == [(Status.FAIL, "NotReady"), (Status.FAIL, "ApiForbidden")]


@pytest.mark.parametrize(
    ("granted", "image", "corefile"),
    [
        pytest.param(ROLE, IMAGE, COREFILE, id="whole"),
        pytest.param(frozenset({"*/*"}), IMAGE, COREFILE, id="everything"),
        pytest.param(frozenset({"/*", "discovery.k8s.io/*"}), IMAGE, COREFILE, id="all of both groups"),
        pytest.param(ROLE - {"/pods", "/endpoints"}, IMAGE, COREFILE, id="without what only options need"),
        pytest.param(
            frozenset({"/endpoints", "/services", "/namespaces"}), "coredns:1.8.6", COREFILE, id="an older one"
        ),
        pytest.param(
            frozenset({"/services", "/namespaces"}),
            IMAGE,
            COREFILE.replace("ip6.arpa", "ip6.arpa {\n noendpoints\n}"),
            id="no endpoints",
        ),
        pytest.param(None, IMAGE, COREFILE, id="not read"),
    ],
)
def test_a_role_that_suffices_is_healthy(granted: frozenset[str] | None, image: str, corefile: str) -> None:
    servers = replace(GOOD, pods=(replace(POD, image=image),), granted=granted, corefile=corefile)

    assert judge(servers) == [(Status.PASS, "ServersReady")]


def test_what_the_log_and_the_role_show_is_one_finding() -> None:
    line = 'reflector.go:138] endpointslices.discovery.k8s.io is forbidden: User cannot list resource "endpointslices"'
    servers = replace(ill(line), granted=frozenset())

    assert judge(servers) == [(Status.FAIL, "ApiForbidden")]


def test_what_the_deployment_says_is_evidence_where_there_is_no_pod() -> None:
    [finding] = findings(replace(GOOD, pods=(), deployment="spec.replicas 0\nstatus.availableReplicas 0"))

    assert "spec.replicas 0" in finding.evidence[1].content


def test_a_deployment_without_pods_is_named() -> None:
    [finding] = findings(replace(GOOD, pods=()))

    assert (finding.status, finding.reason) == (Status.FAIL, "NoServers")
    assert {link.reason for link in finding.explains} == {"NoBackends", "NoReply"}


def test_no_pod_on_this_node_says_nothing_where_only_its_own_could_be_read() -> None:
    assert judge(replace(GOOD, pods=(), complete=False)) == [(Status.PASS, "ServersReady")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LOOP, "Looping"),
        ('[INFO] plugin/ready: Still waiting on: "kubernetes"', "ApiNotReached"),
        ('[INFO] plugin/ready: Plugins not ready: "kubernetes"', "ApiNotReached"),
        (
            'E1121 10:00:00.1 1 reflector.go:138] endpointslices.discovery.k8s.io is forbidden: User cannot list resource "endpointslices"',
            "ApiForbidden",
        ),
        ("/etc/coredns/Corefile:4 - Error during parsing: Unknown directive 'forwrd'", "ConfigRefused"),
        ("maxprocs: Leaving GOMAXPROCS=8", "CrashLoop"),
    ],
)
def test_the_last_words_of_a_server_tell_why_it_is_not_ready(line: str, reason: str) -> None:
    [finding] = findings(ill("[INFO] plugin/reload: Running", line))

    assert (finding.status, finding.reason) == (Status.FAIL, reason)
    assert "coredns-0" in finding.message
    assert line[:30] in finding.message
    assert "NoBackends" in {link.reason for link in finding.explains}


def test_the_last_telling_line_counts() -> None:
    assert judge(ill('[INFO] plugin/ready: Still waiting on: "kubernetes"', LOOP)) == [(Status.FAIL, "Looping")]


def test_a_server_that_was_killed_for_its_memory_is_a_crash_with_its_exit_code() -> None:
    [finding] = findings(ill(ended="OOMKilled, exit code 137"))

    assert finding.reason == "CrashLoop"
    assert "OOMKilled, exit code 137" in finding.message


def test_a_server_that_is_not_ready_beside_a_ready_one_warns() -> None:
    pods = (POD, replace(POD, name="kube-system/coredns-1", ready=False))
    [finding] = findings(replace(GOOD, pods=pods))

    assert (finding.status, finding.reason, finding.explains) == (Status.WARN, "NotReady", ())


def test_without_the_api_server_the_logs_of_this_node_still_tell_of_a_loop() -> None:
    servers = CoreDns(
        (DnsPod("kube-system/coredns-0", None, log=(LOOP,)),), problem=Unobserved("NotFound", "no answer")
    )

    assert judge(servers, DnsUpstreams()) == [(Status.FAIL, "Looping"), (Status.UNKNOWN, "NotFound")]


def test_without_the_api_server_a_log_without_a_known_word_says_nothing() -> None:
    servers = CoreDns(
        (DnsPod("kube-system/coredns-0", None, log=("[INFO] 127.0.0.1 NOERROR",)),),
        problem=Unobserved("NotFound", "no answer"),
    )

    assert judge(servers, DnsUpstreams()) == [(Status.UNKNOWN, "NotFound")]


# -- the Corefile --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (("reload\n}", "reload\n"), Status.WARN, "CorefileMalformed"),
        (("    loop", "    lop"), Status.WARN, "UnknownPlugin"),
        ((".:53 {", ".:53 .:53 {"), Status.WARN, "DuplicateZone"),
        (("cluster.local", "k8s.example"), Status.FAIL, "ClusterDomainUnserved"),
        (("    kubernetes cluster.local in-addr.arpa ip6.arpa\n", ""), Status.FAIL, "ClusterDomainUnserved"),
    ],
)
def test_a_fault_of_the_corefile_is_named(change: tuple[str, str], status: Status, reason: str) -> None:
    assert change[0] in COREFILE
    assert judge(with_corefile(COREFILE.replace(*change))) == [(status, reason)]


def test_the_domains_that_the_corefile_has_are_told_as_people_write_them() -> None:
    [finding] = findings(with_corefile(COREFILE.replace("cluster.local", "k8s.example")))

    assert finding.message.endswith("other domains: k8s.example.")


def test_a_fault_of_the_corefile_fails_where_no_server_is_ready() -> None:
    [crash, finding] = findings(with_corefile(COREFILE + COREFILE, ill()))

    assert (crash.reason, finding.status, finding.reason) == ("CrashLoop", Status.FAIL, "DuplicateZone")


def test_a_misspelt_plugin_is_told_what_is_near() -> None:
    [finding] = findings(with_corefile(COREFILE.replace("forward .", "forwrd .")))

    assert "Line 6" in finding.message
    assert "`forward` is one" in finding.message


@pytest.mark.parametrize(
    "text",
    [
        COREFILE + "corp.example:53 {\n    forward . 192.0.2.7\n}\n",
        COREFILE + ".:5353 {\n    forward . 192.0.2.7\n}\n",
        COREFILE + ".:53 {\n    view v6 {\n        expr true\n    }\n    whoami\n}\n",
        COREFILE.replace("cluster.local", "Cluster.Local."),
        COREFILE.replace("    loop\n", "").replace("    ready\n", "").replace("    reload\n", ""),
        COREFILE.replace(
            "    kubernetes cluster.local in-addr.arpa ip6.arpa\n", "    import /etc/coredns/custom/*.override\n"
        ),
        COREFILE.replace("cluster.local", "{$CLUSTER_DOMAIN}"),
        "cluster.local {\n    kubernetes\n}\n",
        "cluster.local {\n    forward . 192.0.2.99\n}\n",
    ],
)
def test_a_corefile_that_is_merely_another_one_is_healthy(text: str) -> None:
    assert judge(with_corefile(text)) == [(Status.PASS, "ServersReady")]


@pytest.mark.parametrize("address", ["127.0.0.53", SERVICE, "10.244.0.3"])
def test_a_forward_to_itself_is_a_loop(address: str) -> None:
    [finding] = findings(ill(LOOP), DnsUpstreams((upstream(address),)))

    assert (finding.status, finding.reason) == (Status.FAIL, "Looping")


@pytest.mark.parametrize("address", ["127.0.0.53", SERVICE])
def test_a_forward_to_itself_is_a_loop_also_where_no_log_says_so(address: str) -> None:
    [finding] = findings(upstreams=DnsUpstreams((upstream(address),)))

    assert finding.reason == "Looping"
    assert address in finding.message


def test_a_forward_to_another_port_of_its_own_pod_is_no_loop() -> None:
    assert judge(upstreams=DnsUpstreams((upstream("127.0.0.1", port=5353),))) == [(Status.PASS, "ServersReady")]


def test_a_resolv_conf_without_a_server_ends_coredns_at_its_next_start() -> None:
    assert judge(upstreams=DnsUpstreams(empty=("/etc/resolv.conf",))) == [(Status.WARN, "NoUpstream")]


# -- upstreams -----------------------------------------------------------------------------------------------------------


def test_silent_upstreams_fail_and_are_named() -> None:
    silent = asked(
        outcome("192.0.2.53", None), node=[outcome("192.0.2.53", None)], own=[outcome("10.244.0.2", "SERVFAIL")]
    )
    [finding] = findings(upstreams=silent)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "UpstreamSilent", "192.0.2.53:53")
    assert "pod default/web and the node unanswered" in finding.message


def test_a_silence_towards_pods_alone_says_so() -> None:
    [finding] = findings(upstreams=asked(outcome("192.0.2.53", None), node=[outcome("192.0.2.53")]))

    assert (finding.status, finding.reason) == (Status.FAIL, "UpstreamSilent")
    assert finding.traits == {"node:answered"}
    assert "while the node itself is answered" in finding.message


def test_one_silent_upstream_of_two_warns() -> None:
    assert judge(upstreams=asked(outcome("192.0.2.53", None), outcome("192.0.2.54"))) == [
        (Status.WARN, "UpstreamSilent")
    ]


def test_a_reply_with_another_id_is_no_sign_of_life() -> None:
    assert judge(upstreams=asked(outcome("192.0.2.53", matches=False))) == [(Status.FAIL, "UpstreamSilent")]


def test_an_upstream_that_answers_over_tcp_alone_is_alive() -> None:
    found = asked(outcome("192.0.2.53", None), outcome("192.0.2.53", transport="tcp"))

    assert judge(upstreams=found) == [(Status.PASS, "ServersReady")]


def test_a_silent_server_of_a_single_zone_warns() -> None:
    stub = DnsUpstreams((upstream("192.0.2.7", "corp.example."),), from_pod=(outcome("192.0.2.7", None),))
    [finding] = findings(upstreams=stub)

    assert (finding.status, finding.reason) == (Status.WARN, "UpstreamSilent")
    assert "names below corp.example." in finding.message


@pytest.mark.parametrize("code", ["REFUSED", "SERVFAIL"])
def test_upstreams_that_refuse_warn(code: str) -> None:
    assert judge(upstreams=asked(outcome("192.0.2.53", code))) == [(Status.WARN, "UpstreamRefuses")]


def test_an_upstream_that_refuses_beside_one_that_answers_is_fine() -> None:
    found = asked(outcome("192.0.2.53", "REFUSED"), outcome("192.0.2.54"))

    assert judge(upstreams=found) == [(Status.PASS, "ServersReady")]


def test_coredns_that_fails_for_outside_names_alone_warns() -> None:
    assert judge(upstreams=DnsUpstreams(known=False, own=(outcome("10.244.0.2", "SERVFAIL"),))) == [
        (Status.WARN, "OutsideNamesFail")
    ]


def test_coredns_that_is_silent_towards_the_node_is_not_blamed_for_outside_names() -> None:
    assert judge(upstreams=DnsUpstreams(known=False, own=(outcome("10.244.0.2", None),))) == [
        (Status.PASS, "ServersReady")
    ]


def test_a_cluster_without_a_way_out_alarms_nobody() -> None:
    text = COREFILE.replace("    forward . 192.0.2.53\n", "")

    assert judge(with_corefile(text), DnsUpstreams()) == [(Status.PASS, "ServersReady")]


def test_queries_that_may_not_be_sent_leave_the_rest_judged() -> None:
    problem = Unobserved("NotPermitted", "entering a namespace needs root")

    assert judge(upstreams=DnsUpstreams(problem=problem)) == [(Status.UNKNOWN, "NotPermitted")]
    assert judge(upstreams=DnsUpstreams(problem=Unobserved("Offline", "asked not to"))) == [
        (Status.PASS, "ServersReady")
    ]
