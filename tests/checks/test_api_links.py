"""What cannot be asked is explained by the very server or kubeconfig that was tried, and by no other."""

from __future__ import annotations

import pytest

from k8sdoctor.checks._api_links import unasked
from k8sdoctor.diagnosis import Links
from k8sdoctor.finding import Finding, fail, unknown

ADMIN = "/etc/kubernetes/admin.conf"
CAUSE = fail("EndpointUnreachable", "Nobody answers.", explains=unasked("nobody answers", "10.0.0.1:6443"))


def explained(cause: Finding, check: str, symptom: Finding) -> bool:
    return bool(Links([("apiserver-san", cause), (check, symptom)]).explained_by(0))


def blind(reason: str, *tried: str) -> Finding:
    return unknown(reason, "It could not be asked.", traits=[f"unread:{each}" for each in tried])


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("apiserver-endpoints", "Unreadable"),
        ("coredns", "Unreadable"),
        ("image-registries", "Unreadable"),
        ("images", "NotPermitted"),
        ("node-ready", "NodeUnread"),
        ("subnets", "Untold"),
        ("version-skew", "Unreadable"),
    ],
)
def test_what_was_asked_at_that_server_is_explained_and_at_another_it_is_not(check: str, reason: str) -> None:
    assert explained(CAUSE, check, blind(reason, ADMIN, "10.0.0.1:6443"))
    assert not explained(CAUSE, check, blind(reason, ADMIN, "10.0.0.2:6443"))
    assert not explained(CAUSE, check, blind(reason))
