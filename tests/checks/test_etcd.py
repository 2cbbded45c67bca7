"""etcd: facts in, findings out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.etcd import etcd
from k8sdoctor.facts.etcd import Etcd, EtcdAccess, EtcdEndpoint, EtcdMember, EtcdStatus
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.host.answers import NetworkError, NetworkFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024**2
MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
URLS = ("https://127.0.0.1:2379", "https://10.0.0.2:2379", "https://10.0.0.3:2379")
MEMBERS = tuple(
    EtcdMember(str(number), f"cp{number}", (f"https://10.0.0.{number}:2380",), (f"https://10.0.0.{number}:2379",))
    for number in (1, 2, 3)
)
OWN = EtcdServer(
    "/etc/kubernetes/manifests/etcd.yaml",
    ("etcd", "--listen-client-urls=https://127.0.0.1:2379", "--trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt"),
)
NONE = EtcdServer()


def access(*urls: str) -> EtcdAccess:
    return EtcdAccess(MANIFEST, urls, "/ca.crt", ("/client.crt", "/client.key"))


def status(number: int, **more: object) -> EtcdStatus:
    made = EtcdStatus("77", str(number), "3.6.1", size=20 * MIB, in_use=10 * MIB, leader="2", index=1000)
    return replace(made, **more)  # type: ignore[arg-type]


def answering(number: int, members: Sequence[EtcdMember] = MEMBERS, **more: object) -> EtcdEndpoint:
    return EtcdEndpoint(
        URLS[number - 1], number == 1, healthy=True, status=status(number, **more), members=tuple(members)
    )


def silent(number: int, kind: NetworkError = "refused") -> EtcdEndpoint:
    url = URLS[number - 1]
    return EtcdEndpoint(url, number == 1, NetworkFailure(kind=kind, message=f"{url}: it failed"))


def judge(*endpoints: EtcdEndpoint, own: EtcdServer = OWN, urls: Sequence[str] = URLS[:1]) -> list[Finding]:
    where = access(*urls)
    return list(etcd(where, Etcd(where, endpoints), own))


def verdict(findings: Sequence[Finding]) -> list[tuple[Status, str, str | None]]:
    return [(finding.status, finding.reason, finding.subject) for finding in findings]


def test_three_members_that_answer_are_healthy() -> None:
    [finding] = judge(answering(1), answering(2), answering(3))

    assert (finding.status, finding.reason) == (Status.PASS, "Healthy")
    assert "3 of 3 members" in finding.message
    assert "20.0 MiB of 2.0 GiB" in finding.message


def test_one_member_alone_is_healthy() -> None:
    [finding] = judge(answering(1, MEMBERS[:1], leader="1"))

    assert finding.status is Status.PASS
    assert "the only member" in finding.message


def test_a_machine_without_api_server_and_etcd_is_skipped() -> None:
    none = EtcdAccess()
    [finding] = etcd(none, Etcd(none, ()), NONE)

    assert (finding.status, finding.reason) == (Status.SKIP, "NoEtcdHere")


def test_data_that_are_kept_elsewhere_than_in_etcd_are_skipped() -> None:
    where = access("unix:///run/kine.sock")
    [finding] = etcd(where, Etcd(where, ()), NONE)

    assert (finding.status, finding.reason) == (Status.SKIP, "NoEtcdHere")
    assert "unix:///run/kine.sock" in finding.message


def test_offline_skips_and_still_tells_plain_http() -> None:
    plain, offline = etcd(access("http://127.0.0.1:2379"), Unobserved("Offline", "--offline forbids it"), NONE)

    assert (plain.status, plain.reason) == (Status.WARN, "PlainHttp")
    assert (offline.status, offline.reason) == (Status.SKIP, "Offline")


def test_flags_that_cannot_be_read_are_unknown() -> None:
    why = Unobserved("NotPermitted", "Permission denied: the manifest")
    [finding] = etcd(why, why, NONE)

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")


def test_plain_http_names_who_can_reach_it() -> None:
    local, *_ = judge(answering(1), urls=["http://127.0.0.1:2379"])
    wide, *_ = judge(answering(1), urls=["http://10.0.0.9:2379"])

    assert local.reason == wide.reason == "PlainHttp"
    assert "any process of this node" in local.message
    assert "whoever reaches it" in wide.message


@pytest.mark.parametrize(
    ("url", "first"),
    [("https://127.0.0.1:2379", "journalctl -u etcd -n 50 --no-pager"), ("https://10.0.0.9:2379", "curl -sS")],
)
def test_an_etcd_on_this_node_that_is_no_static_pod_is_looked_for_in_its_log(url: str, first: str) -> None:
    endpoint = EtcdEndpoint(url, used=True, failure=NetworkFailure(kind="refused", message="it failed"))
    [finding] = judge(endpoint, own=NONE, urls=[url])

    assert finding.fix is not None
    assert finding.fix.commands[0].startswith(first)


def test_an_api_server_without_any_endpoint_left_fails_and_explains_that_it_stops() -> None:
    [finding] = judge(silent(1), answering(2), answering(3))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "Unreachable", URLS[0])
    assert "of the other members, 2 of 2 answer" in finding.message
    assert {(link.check, link.reason, *link.when) for link in finding.explains} == {
        ("apiserver-san", "EndpointUnreachable", "endpoint:own"),
        ("control-plane", "ComponentDown", "component:kube-apiserver"),
        ("control-plane", "ComponentSilent", "component:kube-apiserver"),
        ("control-plane", "ComponentUnhealthy", "component:kube-apiserver"),
        ("apiserver-endpoints", "Unreadable"),
    }


def test_a_member_that_is_down_is_a_warning_while_the_others_have_a_leader() -> None:
    finding, healthy = judge(answering(1), answering(2), silent(3, "timeout"))

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "MemberDown", "cp3")
    assert "2 of 3 members do" in finding.message
    assert "2 of 3 members" in healthy.message


def test_an_external_endpoint_that_is_down_is_a_warning_when_another_answers() -> None:
    third = replace(silent(3), used=True)

    finding, _ = judge(answering(1), answering(2), third)

    assert (finding.status, finding.reason) == (Status.WARN, "MemberDown")


def test_a_lost_majority_is_one_failure_that_names_who_is_gone() -> None:
    [finding] = judge(answering(1, leader=""), silent(2), silent(3))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "NoLeader", "cp2 and cp3")
    assert "2 of 3 members must agree" in finding.message


def test_a_full_database_is_defragmented_and_disarmed() -> None:
    alarms = (("1", "NOSPACE"),)
    full = status(1, size=2100 * MIB, in_use=100 * MIB, alarms=alarms, leader="1")
    [finding] = judge(EtcdEndpoint(URLS[0], used=True, healthy=False, said="503", status=full, members=MEMBERS[:1]))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "NoSpace", "cp1")
    assert finding.fix is not None
    assert [command.rpartition(" ")[2] for command in finding.fix.commands] == ["defrag", "disarm"]
    assert "--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt" in finding.fix.commands[0]


def test_a_database_that_is_really_full_needs_a_higher_quota() -> None:
    [finding] = judge(answering(1, MEMBERS[:1], size=2100 * MIB, in_use=2050 * MIB, alarms=(("1", "NOSPACE"),)))

    assert finding.fix is not None
    assert finding.fix.title.startswith("Raise --quota-backend-bytes")


def test_the_alarm_corrupt_fails() -> None:
    [finding] = judge(answering(1, alarms=(("3", "CORRUPT"),)), answering(2), answering(3))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "Corrupt", "cp3")


@pytest.mark.parametrize(
    ("size", "quota", "own", "reasons"),
    [
        (1700 * MIB, None, OWN, {"NearQuota", "Healthy"}),
        (1600 * MIB, None, OWN, {"Healthy"}),
        (1700 * MIB, 8192 * MIB, OWN, {"Healthy"}),
        (90 * MIB, 100 * MIB, OWN, {"NearQuota", "Healthy"}),
        (1700 * MIB, None, replace(OWN, words=(*OWN.words, "--quota-backend-bytes=8589934592")), {"Healthy"}),
        (9000 * MIB, None, replace(OWN, words=(*OWN.words, "--quota-backend-bytes=-1")), {"Healthy"}),
        (9000 * MIB, None, replace(OWN, words=("etcd",)), {"Healthy"}),
        (9000 * MIB, None, replace(OWN, words=(*OWN.words, "--config-file=/etc/etcd.yaml")), {"Healthy"}),
        (9000 * MIB, None, NONE, {"Healthy"}),
    ],
)
def test_the_size_is_held_against_the_quota_that_counts(
    size: int, quota: int | None, own: EtcdServer, reasons: set[str]
) -> None:
    found = judge(answering(1, MEMBERS[:1], size=size, quota=quota), own=own)

    assert {finding.reason for finding in found} == reasons


def test_two_clusters_behind_one_api_server_disagree() -> None:
    [finding] = judge(answering(1), replace(answering(2), used=True, status=status(2, cluster="78")))

    assert (finding.status, finding.reason) == (Status.FAIL, "MembersDisagree")
    assert "2 different clusters" in finding.message


def test_a_member_that_the_others_do_not_list_disagrees() -> None:
    [finding] = judge(answering(1, MEMBERS[:1]), answering(2, MEMBERS[:1]))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "MembersDisagree", URLS[1])


def test_a_member_that_never_started_is_a_warning() -> None:
    added = EtcdMember("9", "", ("https://10.0.0.9:2380",))

    first, _ = judge(answering(1, (*MEMBERS, added)), answering(2), answering(3))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "MemberNotStarted", "https://10.0.0.9:2380")
    assert "one of 4" in first.message


def test_a_learner_is_a_warning() -> None:
    learner = replace(MEMBERS[2], learner=True, id="10276657743932975437")

    first, *_ = judge(answering(1, (*MEMBERS[:2], learner)))

    assert (first.reason, first.subject) == ("LearnerNotPromoted", "cp3")
    assert first.fix is not None
    assert first.fix.commands[0].endswith("member promote 8e9e05c52164694d")


def test_a_member_far_behind_is_a_warning_and_a_little_behind_is_not() -> None:
    first, *_ = judge(answering(1, index=10_000), answering(2, index=4_000), answering(3, index=9_990))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "MemberLags", "cp2")
    assert [finding.reason for finding in judge(answering(1, index=10_000), answering(2, index=9_000))] == ["Healthy"]


def test_different_minor_versions_are_a_warning_and_patches_are_not() -> None:
    first, *_ = judge(answering(1), answering(2, version="3.5.9"), answering(3))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "VersionsDiffer", "3.5, 3.6")
    assert [finding.reason for finding in judge(answering(1), answering(2, version="3.6.9"))] == ["Healthy"]


def test_two_members_are_worse_than_one() -> None:
    first, _ = judge(answering(1, MEMBERS[:2]), answering(2, MEMBERS[:2]))

    assert (first.status, first.reason, first.subject) == (Status.WARN, "TwoMembers", "cp1 and cp2")


@pytest.mark.parametrize("kind", ["tls-untrusted", "tls-name", "tls-expired", "tls-not-yet-valid"])
def test_a_certificate_that_this_node_does_not_trust_is_told_once(kind: NetworkError) -> None:
    [finding] = judge(silent(1, kind), replace(silent(2, kind), used=True))

    assert (finding.status, finding.reason) == (Status.FAIL, "CertificateRefused")


def test_a_handshake_that_etcd_breaks_off_is_the_clients_certificate() -> None:
    [finding] = judge(silent(1, "tls"))

    assert (finding.status, finding.reason) == (Status.FAIL, "ClientRefused")


def test_beside_a_refused_handshake_silence_says_nothing_of_the_cluster() -> None:
    [finding] = judge(silent(1, "tls"), replace(silent(3), used=True))

    assert finding.reason == "ClientRefused"


def test_a_client_certificate_that_we_may_not_read_is_unknown() -> None:
    [finding] = judge(silent(1, "client-certificate-unreadable"))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "ClientCertificateUnreadable")
    assert "run as root" in finding.message


def test_a_member_that_calls_itself_unhealthy_fails() -> None:
    [finding] = judge(replace(answering(1, MEMBERS[:1]), healthy=False, said="503 RAFT ERROR"))

    assert (finding.status, finding.reason) == (Status.FAIL, "Unhealthy")
    assert "RAFT ERROR" in finding.message


def test_a_member_without_the_leader_that_the_others_follow_is_told_so_and_stops_the_api_server_beside_it() -> None:
    cut_off = replace(answering(1, leader=""), healthy=False, said='503 {"health":"false","reason":"RAFT NO LEADER"}')

    [finding] = judge(cut_off, answering(2), answering(3))

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "Unhealthy", URLS[0])
    assert "knows no leader, while 2 other members follow one" in finding.message
    assert ("apiserver-san", "EndpointUnreachable") in {(link.check, link.reason) for link in finding.explains}


def test_an_etcd_that_serves_grpc_alone_is_not_called_down() -> None:
    [finding] = judge(EtcdEndpoint(URLS[0], used=True, grpc_only=True, said="closed the connection without an answer"))

    assert (finding.status, finding.reason, finding.subject) == (Status.SKIP, "NoHttpThere", URLS[0])


def test_a_member_without_its_gateway_is_not_called_healthy() -> None:
    [finding] = judge(EtcdEndpoint(URLS[0], used=True, healthy=True, said="404 Not Found"))

    assert (finding.status, finding.reason) == (Status.UNKNOWN, "StatusNotTold")
