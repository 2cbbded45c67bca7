"""external-etcd: a configuration, files and answers in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from k8sdoctor.checks.external_etcd import external_etcd
from k8sdoctor.facts import versions
from k8sdoctor.facts.external_etcd import ExternalEtcd
from k8sdoctor.facts.kubeadm import KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.finding import Finding, Status
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from k8sdoctor.host import Json

ENDPOINT = "https://192.0.2.20:2379"
PLAN = f"""\
kind: ClusterConfiguration
etcd:
  external:
    endpoints: ["{ENDPOINT}"]
    caFile: /pki/ca.crt
    certFile: /pki/client.crt
    keyFile: /pki/client.key
"""
FILES = dict.fromkeys(("/pki/ca.crt", "/pki/client.crt", "/pki/client.key"), "")


def said(version: str, status: int = 200) -> Json:
    body = f'{{"etcdserver": "{version}", "etcdcluster": "3.5.0"}}'
    return {"status": status, "headers": {}, "body": body, "peer": None, "failure": None}


def judge(
    answer: Json | HostError, files: dict[str, str] | None = None, *, plan: str = PLAN, kubeadm: str = "1.36.2"
) -> tuple[list[Finding], list[dict[str, Json]]]:
    asked: list[dict[str, Json]] = []

    def http(**request: Json) -> Json | HostError:
        asked.append(request)
        return answer

    host = FakeHost(FILES if files is None else files, http=http)
    found = ExternalEtcd.observe(host, KubeadmDocuments.parse(plan, "k.yaml"))
    config = KubeadmConfig.parse(plan, "--config k.yaml")
    return list(external_etcd(found, KubeadmBinary(versions.parse(kubeadm)), config)), asked


def test_an_etcd_that_tells_its_version_is_healthy_and_is_asked_as_kubeadm_asks() -> None:
    [finding], [request] = judge(said("3.6.8"))

    assert (finding.status, finding.reason) == (Status.PASS, "EtcdFits")
    assert request["url"] == f"{ENDPOINT}/version"
    assert (request["ca_files"], request["only_ca_files"]) == (["/pki/ca.crt"], True)
    assert str(request["client_certificate"]) == "('/pki/client.crt', '/pki/client.key')"


@pytest.mark.parametrize(
    ("version", "kubeadm", "reason"),
    [
        ("3.5.24", "1.36.2", "EtcdFits"),
        ("3.5.23", "1.36.2", "EtcdTooOld"),
        ("3.5.9", "1.30.0", "EtcdFits"),
        ("3.4.3", "1.30.0", "EtcdTooOld"),
        ("3.4.3", "1.20.0", "EtcdFits"),
    ],
)
def test_how_old_it_may_be_depends_on_kubeadm(version: str, kubeadm: str, reason: str) -> None:
    [finding], _ = judge(said(version), kubeadm=kubeadm)

    assert finding.reason == reason
    assert version in finding.message


FAILED: dict[str, Json] = {
    "status": 0,
    "headers": {},
    "body": "",
    "peer": None,
    "failure": {"kind": "refused", "message": "192.0.2.20:2379 refused the connection"},
}


@pytest.mark.parametrize(
    "answer", [FAILED, said("3.6.8", 503), said("x"), {**FAILED, "failure": None, "body": "<html>"}]
)
def test_an_endpoint_that_does_not_tell_its_version_fails(answer: Json) -> None:
    [finding], _ = judge(answer)

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "EtcdUnreachable", ENDPOINT)


def test_each_file_that_is_missing_is_told_and_nobody_is_asked_without_them() -> None:
    findings, asked = judge(said("3.6.8"), {"/pki/ca.crt": ""})

    assert [(each.reason, each.subject) for each in findings] == [
        ("FileMissing", "/pki/client.crt"),
        ("FileMissing", "/pki/client.key"),
    ]
    assert asked == []


@pytest.mark.parametrize(("reason", "status"), [("Offline", Status.SKIP), ("NotRecorded", Status.UNKNOWN)])
def test_an_endpoint_that_was_not_asked_is_no_failure(reason: str, status: Status) -> None:
    [finding], _ = judge(HostError(reason, "not asked"))

    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize("plan", ["kind: ClusterConfiguration\n", "kind: JoinConfiguration\n", "kind: [\n"])
def test_without_such_an_etcd_nothing_is_asked(plan: str) -> None:
    [finding], asked = judge(said("3.6.8"), plan=plan)

    assert (finding.status, finding.reason, asked) == (Status.SKIP, "NonePlanned", [])
