"""The lease by which a kubelet tells that it lives."""

from __future__ import annotations

from typing import Any

import pytest

from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.node_lease import LEASES, NodeLease
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

NAME = NodeName("n1", "the host name", "n1")
ADMIN = ApiAccess("/etc/kubernetes/admin.conf", None)


def lease(answer: Any) -> NodeLease:
    def kube(path: str, kubeconfig: str) -> Any:
        assert (path, kubeconfig) == (f"{LEASES}/n1", "/etc/kubernetes/admin.conf")
        return answer

    return NodeLease.observe(FakeHost(kube=kube, now=1_795_181_400.0), ADMIN, NAME)


def test_its_age_is_told_by_the_nodes_clock() -> None:
    found = lease({"spec": {"renewTime": "2026-11-20T13:29:48.500000Z", "leaseDurationSeconds": 60}})

    assert (found.age, found.duration, found.problem) == (11.5, 60.0, None)


@pytest.mark.parametrize("answer", [{}, {"spec": None}, {"spec": {"renewTime": "soon"}}, {"spec": {"renewTime": 7}}])
def test_an_answer_without_a_time_tells_nothing(answer: Any) -> None:
    assert lease(answer).age is None


def test_what_may_not_be_read_is_a_problem() -> None:
    assert lease(HostError("NotPermitted", "forbidden")).problem == Unobserved("NotPermitted", "forbidden")
    none = NodeLease.observe(FakeHost(), ApiAccess(None, Unobserved("NotFound", "no kubeconfig")), NAME)
    assert none.problem == Unobserved("NotFound", "no kubeconfig")
