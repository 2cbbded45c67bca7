"""hostname: names in, findings out."""

from __future__ import annotations

import pytest

from k8sdoctor.checks.hostname import hostname
from k8sdoctor.facts.machine_name import MachineName
from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Finding, Status
from k8sdoctor.host.answers import ResolveAnswer
from k8sdoctor.testing import FakeHost, HostError

UNDECIDED = Role("undecided", "nothing is planned for it")
KNOWN = ResolveAnswer(addresses=["127.0.1.1"], error=None)


def judge(name: str, answer: ResolveAnswer | HostError = KNOWN, role: Role = UNDECIDED) -> Finding:
    identity = {"hostname": name, "kernel": "6.1.0", "machine": "x86_64", "euid": 0}
    host = FakeHost(identity=identity, resolve=answer)  # type: ignore[arg-type] # -- JSON
    [finding] = hostname(MachineName.observe(host, role), role)
    return finding


@pytest.mark.parametrize("name", ["node-1", "node-1.example.org", "Worker7", "1node"])
def test_a_name_that_a_node_can_have_and_that_resolves_is_healthy(name: str) -> None:
    finding = judge(name)

    assert (finding.status, finding.reason, finding.subject) == (Status.PASS, "HostnameFits", name.lower())


@pytest.mark.parametrize("name", ["my_node", "-node", "node-", "no..de", "knöten", "x" * 254])
def test_a_name_that_no_node_can_have_fails(name: str) -> None:
    finding = judge(name)

    assert (finding.status, finding.reason) == (Status.FAIL, "HostnameInvalid")
    assert f'"{name}"' in finding.message


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", "LOCALHOST", "(none)", ""])
def test_a_machine_that_nobody_has_named_is_told(name: str) -> None:
    finding = judge(name)

    assert (finding.status, finding.reason) == (Status.WARN, "HostnameLocal")


def test_a_name_that_does_not_resolve_warns_as_kubeadm_does() -> None:
    finding = judge("node-1", ResolveAnswer(addresses=[], error="Name or service not known"))

    assert (finding.status, finding.reason) == (Status.WARN, "HostnameNotResolved")
    assert finding.message.endswith("its own name node-1: Name or service not known.")
    assert finding.fix is not None
    assert finding.fix.commands == ("echo '127.0.1.1 node-1' >> /etc/hosts",)


@pytest.mark.parametrize(("reason", "status"), [("Offline", Status.SKIP), ("NotRecorded", Status.UNKNOWN)])
def test_a_resolver_that_was_not_asked_is_no_failure(reason: str, status: Status) -> None:
    finding = judge("node-1", HostError(reason, "not asked"))

    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize(
    ("role", "status", "reason"),
    [
        (Role("worker", "w", joined=True), Status.SKIP, "Joined"),
        (Role("control-plane", "p", planned="--config k.yaml"), Status.SKIP, "Planned"),
        (Role("other", "k3s runs here"), Status.SKIP, "OtherInstallation"),
        (Role("unknown", "Permission denied"), Status.UNKNOWN, "NotPermitted"),
    ],
)
def test_where_the_name_is_not_to_be_chosen_nobody_is_asked(role: Role, status: Status, reason: str) -> None:
    finding = judge("my_node", HostError("Offline", "must not be asked"), role)

    assert (finding.status, finding.reason) == (status, reason)
