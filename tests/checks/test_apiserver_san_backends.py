"""Judging who answers behind one address of the API server: members that differ or are silent, and balancers that end TLS."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET
from k8sdoctor.facts.served_certificates import ATTEMPTS
from k8sdoctor.finding import Status
from tests.certificates import DAY, NOW, Issued, cluster_ca, issue
from tests.checks.api_server_node import LB, OWN, SERVICE, Node, Plain, conf, good, members, only

if TYPE_CHECKING:
    from collections.abc import Callable


def test_one_bad_member_of_three_makes_the_backends_disagree() -> None:
    bad = good()
    node = Node()
    node.served = {"10.0.0.100": lambda attempt: bad if attempt % 3 == 1 else node.leaf}

    found = only(node.findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "BackendsDisagree", f"{LB}:6443")
    assert "8 were answered well, 4 with a certificate that is not valid for lb.example" in found.message


def test_members_with_certificates_of_their_own_may_all_be_good() -> None:
    leaves = [good(LB), good(LB), good(LB)]
    node = Node(served={"10.0.0.100": lambda attempt: leaves[attempt % 3]})

    assert {each.reason for each in node.findings()} == {"Covered"}


def test_a_dead_member_makes_the_backends_disagree_and_one_lost_hello_does_not() -> None:
    node = Node()
    node.served = {"10.0.0.100": lambda attempt: "reset" if attempt % 3 == 1 else node.leaf}
    assert only(node.findings()).reason == "BackendsDisagree"

    node.served = {"10.0.0.100": lambda attempt: "timeout" if attempt == 5 else node.leaf}
    assert {each.reason for each in node.findings()} == {"Covered"}


def timing_out(count: int, *leaves: Issued) -> Callable[[int], Any]:
    """Of a dozen hellos the last are not answered in time, and the others by these certificates in turn."""
    return lambda attempt: "timeout" if attempt >= ATTEMPTS - count else leaves[attempt % len(leaves)]


@pytest.mark.parametrize(
    ("served", "told"),
    [
        (lambda leaf: timing_out(2, leaf), None),
        (lambda leaf: timing_out(3, leaf), Status.WARN),
        (lambda leaf: timing_out(6, leaf), Status.WARN),
        (lambda leaf: timing_out(1, leaf, good(LB)), None),
        (lambda leaf: timing_out(2, leaf, good(LB)), Status.FAIL),
        (lambda leaf: lambda attempt: "refused" if attempt < 2 else leaf, Status.FAIL),
        (lambda leaf: lambda attempt: "refused" if attempt < 1 else leaf, None),
    ],
    ids=[
        "a sixth is lost at the only server that was met",
        "a quarter is",
        "half is",
        "one of several servers lost one",
        "two were lost, and several servers were met",
        "two were refused",
        "one was refused",
    ],
)
def test_lost_hellos_speak_of_a_dead_member_as_far_as_they_prove_one(
    served: Callable[[Issued], Any], told: Status | None
) -> None:
    node = Node(worker=True)
    node.served = {"10.0.0.100": served(node.leaf)}

    findings = node.findings()

    if told is None:
        assert {(each.status, each.reason) for each in findings} == {(Status.PASS, "Covered")}
        assert "of 12 hellos were not answered" in findings[0].evidence[-1].content
    else:
        found = only(findings)
        assert (found.status, found.reason, found.traits) == (
            told,
            "BackendsDisagree",
            frozenset({"endpoint:lb.example:6443", "members:silent"}),
        )
        assert ("under load" in found.message) == (told is Status.WARN)


def test_hellos_that_one_known_server_lost_are_nothing() -> None:
    files = {KUBELET: conf("https://10.0.0.2:6443"), ADMIN: conf("https://10.0.0.2:6443")}
    leaf = good("10.0.0.2")
    lossy = timing_out(6, leaf)
    known = Node(worker=True, leaf=leaf, files=files, kube=members("10.0.0.2"), served={"10.0.0.2": lossy})
    named = Node(worker=True, files={ADMIN: conf()}, kube=members("10.0.0.100"))
    named.served = {"10.0.0.100": timing_out(6, named.leaf)}
    service = Node(files={ADMIN: conf()}, kube=members(OWN))
    service.served = {SERVICE: timing_out(6, service.leaf)}
    unknown = Node(worker=True, leaf=leaf, files=files, served={"10.0.0.2": lossy})

    assert {each.reason for node in (known, named, service) for each in node.findings()} == {"Covered"}
    assert only(unknown.findings()).reason == "BackendsDisagree"


def test_the_dead_one_of_two_behind_the_service_is_told() -> None:
    node = Node(files={ADMIN: conf()}, kube=members(OWN, "10.0.0.2"))
    node.served = {SERVICE: timing_out(6, node.leaf)}

    found = only(node.findings())

    assert (found.reason, found.subject) == ("BackendsDisagree", f"{SERVICE}:443")


def title(node: Node) -> str:
    fix = only(node.findings()).fix
    assert fix is not None
    return fix.title


def test_the_words_of_the_fix_fit_who_is_behind_the_address() -> None:
    leaf, bad = good(LB), good()
    alone = Node(worker=True, leaf=leaf, files={ADMIN: conf()}, kube=members("10.0.0.100"))
    alone.served = {"10.0.0.100": lambda attempt: bad if attempt % 3 == 1 else leaf}
    balanced = Node(worker=True, served={"10.0.0.100": lambda attempt: bad if attempt % 3 == 1 else leaf})
    dead = Node(worker=True, served={"10.0.0.100": lambda attempt: "refused" if attempt % 3 == 1 else leaf})
    both = Node(worker=True, served={"10.0.0.100": lambda attempt: ("refused", bad, leaf)[attempt % 3]})
    slow = Node(worker=True, leaf=leaf, served={"10.0.0.100": timing_out(4, leaf)})
    several = Node(worker=True, leaf=leaf, names={LB: ["10.0.0.100", "10.0.0.101"]}, served={"10.0.0.101": bad})

    assert title(alone).startswith(
        "Find who else answers at lb.example:6443, such as a second machine with this address"
    )
    assert title(balanced) == (
        "Find the member behind lb.example:6443 that differs and mend its certificate, or take it out of the balancer until then"
    )
    assert title(dead) == (
        "Find the member behind lb.example:6443 that does not answer and start it, or take it out of the balancer until then"
    )
    assert title(both).startswith("Find the members behind lb.example:6443 that are silent or differ")
    assert title(slow) == "See whether a server behind lb.example:6443 is dead, or the only one there is under load"
    assert title(several).endswith("or take its address out of the name until then")


def test_an_expired_member_that_is_also_dialled_directly_is_one_finding() -> None:
    old = good(LB, "10.0.0.2", start=NOW - 400 * DAY)
    node = Node(kube=members(OWN, "10.0.0.2"), files={ADMIN: conf()})
    node.served = {"10.0.0.100": lambda attempt: old if attempt % 2 else node.leaf, "10.0.0.2": old}

    assert only(node.findings()).reason == "BackendsDisagree"


def test_a_member_is_judged_by_the_service_address_that_leads_to_it() -> None:
    node = Node(
        kube=members(OWN, "10.0.0.2"),
        files={ADMIN: conf()},
        served={"10.0.0.2": issue("x", cluster_ca(), dns=[LB], ips=["10.0.0.2"])},
    )

    found = only(node.findings())

    assert (found.reason, found.subject) == ("AddressNotCovered", SERVICE)
    assert "10.0.0.2:6443" in found.message


def test_a_balancer_that_ends_tls_is_named() -> None:
    found = only(Node(served={"10.0.0.100": Plain(issue(LB, dns=[LB]))}).findings())

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "TerminatedByBalancer", f"{LB}:6443")


def test_a_balancer_with_a_trusted_certificate_still_loses_clients_certificates() -> None:
    web = cluster_ca("web")
    both = base64.b64encode((cluster_ca().pem + web.pem).encode()).decode()
    served = {"10.0.0.100": Plain(issue(LB, web, dns=[LB]))}
    certificate = Node(served=served, files={KUBELET: conf(cluster={"certificate-authority-data": both})})
    token = Node(
        served=served, files={KUBELET: conf(user={"token": "t"}, cluster={"certificate-authority-data": both})}
    )

    assert only(certificate.findings()).reason == "TerminatedByBalancer"
    assert {each.reason for each in token.findings()} == {"Covered"}


def test_a_balancer_with_the_clusters_own_certificate_is_told_by_whom_it_does_not_ask() -> None:
    node = Node(served={"10.0.0.100": Plain(good(LB))})

    assert only(node.findings()).reason == "TerminatedByBalancer"
