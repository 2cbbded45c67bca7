"""Judging kubeadm's folder of certificates."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.pki import Pki
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost, Recorder, Recording, examine, report_of
from tests.api_server import CONTROL_PLANE
from tests.certificates import DAY, NOW, Issued, cluster_ca, issue
from tests.control_plane import control_plane, data
from tests.pki import BOTH, CLIENT, FOLDER, SERVER, etcd_leaf, kubeadm_pki, pair, public_pem

if TYPE_CHECKING:
    from pathlib import Path

KUBELET = "/etc/kubernetes/kubelet.conf"
API_SERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ETCD = "/etc/kubernetes/manifests/etcd.yaml"
FRONT = f"{FOLDER}/front-proxy-client.crt"


def pod(name: str, *flags: str) -> str:
    spec = {"containers": [{"name": name, "image": name, "command": [name, *flags]}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


@cache
def healthy() -> dict[str, str]:
    return kubeadm_pki()


@cache
def etcd_ca() -> Issued:
    key, crt = healthy()[f"{FOLDER}/etcd/ca.key"], healthy()[f"{FOLDER}/etcd/ca.crt"]
    return Issued.load(crt, key)


@cache
def front_ca() -> Issued:
    return Issued.load(healthy()[f"{FOLDER}/front-proxy-ca.crt"], healthy()[f"{FOLDER}/front-proxy-ca.key"])


@dataclass
class Node:
    """A healthy control plane with its own etcd; tests change what they are about (None removes a file)."""

    files: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    denied: tuple[str, ...] = ()
    now: float = NOW

    def host(self) -> FakeHost:
        files: dict[str, Any] = {
            **healthy(),
            KUBELET: "",
            API_SERVER: pod("kube-apiserver", "--etcd-servers=https://127.0.0.1:2379"),
            ETCD: pod(
                "etcd",
                "--advertise-client-urls=https://10.0.0.1:2379",
                "--initial-advertise-peer-urls=https://10.0.0.1:2380",
                f"--cert-file={FOLDER}/etcd/server.crt",
                f"--peer-cert-file={FOLDER}/etcd/peer.crt",
            ),
        }
        files |= self.files
        modes = {**{path: 0o600 for path in files if path.endswith(".key")}, **self.modes}
        files = {path: text for path, text in files.items() if text is not None}
        return FakeHost(files, modes=modes, denied=self.denied, now=self.now)

    def findings(self) -> tuple[Finding, ...]:
        return examine(self.host(), "certificates")


def only(node: Node) -> Finding:
    """The one finding that is no pass."""
    [found] = [each for each in node.findings() if each.status is not Status.PASS]
    assert found.fix is not None or found.status in (Status.SKIP, Status.UNKNOWN)
    return found


def commands(found: Finding) -> str:
    return "\n".join(found.fix.commands) if found.fix else ""


# -- healthy ------------------------------------------------------------------------------------------------------------


def test_a_healthy_folder_passes() -> None:
    [found] = Node().findings()

    assert (found.status, found.reason, found.subject) == (Status.PASS, "Valid", FOLDER)
    assert "All 9 certificates" in found.message


def test_a_worker_has_the_clusters_authority_alone() -> None:
    host = FakeHost({f"{FOLDER}/ca.crt": cluster_ca().pem, KUBELET: ""})

    assert [(each.status, each.reason) for each in examine(host, "certificates")] == [(Status.PASS, "Valid")]


def test_before_init_there_is_nothing_to_judge() -> None:
    assert [(each.status, each.reason) for each in examine(FakeHost(), "certificates")] == [
        (Status.SKIP, "NoCertificates")
    ]


@pytest.mark.parametrize("base", ["ca", "front-proxy-ca", "etcd/ca"])
def test_an_external_authority_has_no_key_here(base: str) -> None:
    assert {each.status for each in Node(files={f"{FOLDER}/{base}.key": None}).findings()} == {Status.PASS}


def test_with_an_external_etcd_who_signs_its_servers_need_not_sign_its_clients() -> None:
    files = {path: None for path in healthy() if "/etcd/" in path} | {f"{FOLDER}/etcd/ca.crt": cluster_ca("theirs").pem}

    assert {each.status for each in Node(files=files).findings()} == {Status.PASS}


def test_a_bundle_of_an_old_and_a_new_authority_is_good() -> None:
    files = {f"{FOLDER}/front-proxy-ca.crt": front_ca().pem + cluster_ca("new").pem}

    assert {each.status for each in Node(files=files).findings()} == {Status.PASS}


def test_a_recording_is_judged_like_the_node() -> None:
    kept = Recorder(Node(files={f"{FOLDER}/sa.pub": public_pem(issue("x"))}).host())
    live = examine(kept, "certificates")

    assert examine(Recording(kept.dump()), "certificates") == live
    assert [each.reason for each in live] == ["KeyMismatch"]


def test_the_dates_are_those_that_kubeadm_tells() -> None:
    """`kubeadm certs check-expiration` of the recorded control plane."""
    told = data("check-expiration.json")
    ends = {each["name"]: each["expirationDate"] for each in (*told["certificates"], *told["certificateAuthorities"])}

    pki = Pki.observe(control_plane(), ApiServer(), Unobserved("NotFound", "none"))

    assert len(pki.items) == 5
    for item in pki.items:
        end = dt.datetime.fromtimestamp(item.pair.chain[0].not_after, dt.UTC)
        assert end.isoformat().replace("+00:00", "Z") == ends[item.kind.name]


# -- each file ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["apiserver-kubelet-client", "front-proxy-client", "etcd/server", "apiserver", "ca"])
def test_a_key_of_another_certificate_is_told(base: str) -> None:
    found = only(Node(files={f"{FOLDER}/{base}.key": issue("x").key_pem}))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "KeyMismatch", f"{FOLDER}/{base}.key")
    name = base.replace("etcd/server", "etcd-server")
    assert f"kubeadm certs renew {name}" in commands(found) or base == "ca"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no PEM block"),
        ("\ufffd\x00", "no PEM block"),
        ("-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----", "parsed"),
    ],
    ids=["empty", "binary", "cut"],
)
def test_a_file_without_a_key_is_told(text: str, said: str) -> None:
    found = only(Node(files={f"{FOLDER}/etcd/peer.key": text}))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "KeyInvalid", f"{FOLDER}/etcd/peer.key")
    assert said in found.message


@pytest.mark.parametrize(
    "text", ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"], ids=range(3)
)
@pytest.mark.parametrize("base", ["front-proxy-client", "etcd/ca", "apiserver-etcd-client"])
def test_a_file_without_a_certificate_is_told(base: str, text: str) -> None:
    found = [each for each in Node(files={f"{FOLDER}/{base}.crt": text}).findings() if each.status is not Status.PASS]

    assert [(each.status, each.reason, each.subject) for each in found] == [
        (Status.FAIL, "CertificateInvalid", f"{FOLDER}/{base}.crt")
    ]


def test_a_worker_is_brought_no_key_of_the_authority() -> None:
    [worker] = examine(FakeHost({f"{FOLDER}/ca.crt": "", KUBELET: ""}), "certificates")
    control_plane = only(Node(files={f"{FOLDER}/etcd/ca.crt": ""}))

    assert worker.reason == control_plane.reason == "CertificateInvalid"
    assert worker.fix is not None
    assert "key" not in worker.fix.title
    assert "ca.key" not in commands(worker)
    assert "ca.key" in commands(control_plane)


def test_sa_pub_must_be_the_public_half_of_sa_key() -> None:
    found = only(Node(files={f"{FOLDER}/sa.pub": public_pem(issue("other"))}))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "KeyMismatch", f"{FOLDER}/sa.pub")
    assert "openssl pkey -in /etc/kubernetes/pki/sa.key -pubout" in commands(found)
    assert only(Node(files={f"{FOLDER}/sa.pub": "garbage"})).reason == "KeyInvalid"
    assert only(Node(files={f"{FOLDER}/sa.key": "garbage"})).reason == "KeyInvalid"


def test_sa_pub_may_hold_several_keys_or_a_certificate_and_counts_where_it_is_used() -> None:
    old, now = issue("old"), Issued.load(cluster_ca().pem, healthy()[f"{FOLDER}/sa.key"])
    several = public_pem(old) + healthy()[f"{FOLDER}/sa.pub"]
    flags = [f"--service-account-key-file={FOLDER}/{name}" for name in ("sa.pub", "sa-new.pub")]
    rotated = {API_SERVER: pod("kube-apiserver", *flags), f"{FOLDER}/sa.pub": public_pem(old)}

    assert {each.status for each in Node(files={f"{FOLDER}/sa.pub": several}).findings()} == {Status.PASS}
    assert {each.status for each in Node(files=rotated).findings()} == {Status.PASS}
    assert {each.status for each in Node(files={f"{FOLDER}/sa.pub": now.key_pem}).findings()} == {Status.PASS}
    certificate = {f"{FOLDER}/sa.pub": old.pem, f"{FOLDER}/sa.key": old.key_pem}
    assert {each.status for each in Node(files=certificate).findings()} == {Status.PASS}
    assert only(Node(files={**certificate, f"{FOLDER}/sa.key": cluster_ca().key_pem})).reason == "KeyMismatch"


# -- who signed it ----------------------------------------------------------------------------------------------------------


def test_a_leaf_of_another_authority_is_told_by_itself() -> None:
    stray = issue("front-proxy-client", cluster_ca("elsewhere"), usages=CLIENT)
    found = only(Node(files=pair("front-proxy-client", stray)))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "WrongAuthority", FRONT)
    assert "kubeadm certs renew front-proxy-client" in commands(found)
    assert "kube-apiserver.yaml" in commands(found)


def test_a_leaf_of_a_sister_authority_is_not_taken_for_its_own() -> None:
    by_cluster = issue("front-proxy-client", cluster_ca(), usages=CLIENT)

    assert only(Node(files=pair("front-proxy-client", by_cluster))).reason == "WrongAuthority"


def test_an_authority_that_signed_nothing_here_is_the_one_that_is_wrong() -> None:
    found = only(Node(files=pair("etcd/ca", issue("etcd-ca", authority=True))))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "WrongAuthority", f"{FOLDER}/etcd/ca.crt")
    assert [(link.check, link.reason) for link in found.explains] == [
        ("etcd", "CertificateRefused"),
        ("etcd", "ClientRefused"),
    ]


def test_the_clusters_authority_of_another_cluster_is_one_diagnosis() -> None:
    files: dict[str, Any] = pair("ca", issue("kubernetes", authority=True))
    for name in ("controller-manager", "scheduler"):
        files[f"/etc/kubernetes/{name}.conf"] = (CONTROL_PLANE / f"etc-kubernetes/{name}.conf").read_text()
    node = Node(files=files)
    report = report_of(node.host(), "certificates", "kubeconfig", "apiserver-san")

    [diagnosis] = [each for each in report.diagnoses if each.cause.check == "certificates"]
    assert (diagnosis.cause.reason, diagnosis.cause.subject) == ("WrongAuthority", f"{FOLDER}/ca.crt")
    assert {(each.check, each.reason) for each in diagnosis.explains} >= {
        ("kubeconfig", "OtherAuthority"),
        ("apiserver-san", "UntrustedIssuer"),
    }


@pytest.mark.parametrize(
    ("base", "usages", "said"),
    [
        ("etcd/server", SERVER, "by clients"),
        ("etcd/peer", CLIENT, "by servers"),
        ("etcd/healthcheck-client", SERVER, "by clients"),
        ("etcd/healthcheck-client", [ExtendedKeyUsageOID.CODE_SIGNING], "by clients"),
    ],
)
def test_a_certificate_for_another_purpose_is_told(base: str, usages: Any, said: str) -> None:
    names: dict[str, Any] = {"dns": ["localhost"], "ips": ["10.0.0.1", "127.0.0.1"]}
    found = only(Node(files=pair(base, issue("node1", etcd_ca(), usages=usages, **names))))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "WrongUsage", f"{FOLDER}/{base}.crt")
    assert said in found.message


@pytest.mark.parametrize("usages", [(), BOTH, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]])
def test_a_certificate_that_is_not_restricted_serves_every_purpose(usages: Any) -> None:
    leaf = issue("kube-etcd-healthcheck-client", etcd_ca(), usages=usages)

    assert {each.status for each in Node(files=pair("etcd/healthcheck-client", leaf)).findings()} == {Status.PASS}


# -- etcd's names -----------------------------------------------------------------------------------------------------------


def test_etcds_certificates_of_another_node_are_told() -> None:
    files = pair("etcd/server", etcd_leaf(etcd_ca(), "node2", "10.0.0.2")) | pair(
        "etcd/peer", etcd_leaf(etcd_ca(), "node2", "10.0.0.2")
    )
    found = [each for each in Node(files=files).findings() if each.status is not Status.PASS]

    assert [(each.reason, each.subject) for each in found] == [
        ("NamesMissing", f"{FOLDER}/etcd/server.crt"),
        ("NamesMissing", f"{FOLDER}/etcd/peer.crt"),
    ]
    assert "10.0.0.1 but for node2, localhost, 10.0.0.2" in found[0].message
    assert "advertiseAddress" not in commands(found[0])  # this API server tells none
    assert "kubeadm init phase certs etcd-server --config" in commands(found[0])


def test_etcds_server_must_be_valid_for_how_the_api_server_reaches_it() -> None:
    leaf = issue("node1", etcd_ca(), dns=["node1"], ips=["10.0.0.1"], usages=BOTH)
    found = only(Node(files=pair("etcd/server", leaf)))

    assert (found.reason, found.subject) == ("NamesMissing", f"{FOLDER}/etcd/server.crt")
    assert "127.0.0.1" in found.message


@pytest.mark.parametrize(
    "etcd", [None, pod("etcd", "--advertise-client-urls=https://10.0.0.9:2379", "--cert-file=/other.crt")]
)
def test_names_are_only_judged_of_the_certificate_that_etcd_serves(etcd: str | None) -> None:
    assert {each.status for each in Node(files={ETCD: etcd}).findings()} == {Status.PASS}


# -- dates ------------------------------------------------------------------------------------------------------------------


def test_what_kubeadm_signed_a_year_ago_is_one_finding() -> None:
    found = only(Node(now=NOW + 400 * DAY))

    assert (found.status, found.reason) == (Status.FAIL, "CertificateExpired")
    assert f"{FOLDER}/apiserver.crt" not in (found.subject or "").split(", ")  # that is told by apiserver-san
    assert len((found.subject or "").split(", ")) == 6
    assert commands(found).count("kubeadm certs renew") == 6
    assert "etcd.yaml" in commands(found)
    assert {(link.check, link.reason) for link in found.explains} >= {
        ("etcd", "CertificateRefused"),
        ("etcd", "ClientRefused"),
    }


def test_what_ends_soon_is_warned_of_and_an_authority_earlier() -> None:
    leaves = only(Node(now=NOW + 350 * DAY))
    files = pair("front-proxy-ca", front_ca())
    authority = issue("front-proxy-ca", authority=True, start=NOW - 3600 * DAY, days=3650)
    files |= pair("front-proxy-ca", authority) | pair(
        "front-proxy-client", issue("front-proxy-client", authority, usages=CLIENT)
    )
    soon = only(Node(files=files))

    assert (leaves.status, leaves.reason) == (Status.WARN, "ExpiresSoon")
    assert "in 14 days" in leaves.message
    assert (soon.status, soon.reason, soon.subject) == (Status.WARN, "ExpiresSoon", f"{FOLDER}/front-proxy-ca.crt")
    assert "in 50 days" in soon.message


def test_an_ended_authority_is_one_finding_and_not_one_for_each_that_it_signed() -> None:
    authority = issue("front-proxy-ca", authority=True, start=NOW - 400 * DAY, days=300)
    files = pair("front-proxy-ca", authority) | pair(
        "front-proxy-client", issue("front-proxy-client", authority, usages=CLIENT)
    )

    found = only(Node(files=files))

    assert (found.reason, found.subject) == ("CertificateExpired", f"{FOLDER}/front-proxy-ca.crt")
    assert ("apiserver-san", "CertificateExpired") in {(link.check, link.reason) for link in found.explains}


def test_a_clock_that_is_behind_is_one_finding() -> None:
    found = only(Node(now=NOW - 9 * DAY))

    assert (found.status, found.reason) == (Status.FAIL, "NotYetValid")
    assert commands(found) == "timedatectl set-ntp true"


def test_without_the_authoritys_key_nothing_can_be_signed_here() -> None:
    old = issue("front-proxy-client", front_ca(), usages=CLIENT, start=NOW - 400 * DAY)
    found = only(Node(files={**pair("front-proxy-client", old), f"{FOLDER}/front-proxy-ca.key": None}))

    assert found.reason == "CertificateExpired"
    assert "renew" not in commands(found)


# -- the kubelet's ------------------------------------------------------------------------------------------------------------

CONFIG = "/var/lib/kubelet/config.yaml"
CURRENT = "/var/lib/kubelet/pki/kubelet-server-current.pem"


def test_a_kubelet_that_signs_its_own_serving_certificate_is_as_usual() -> None:
    files = {
        CONFIG: "rotateCertificates: true\n",
        "/var/lib/kubelet/pki/kubelet.crt": issue("node1@1", start=NOW - 900 * DAY).pem,
    }

    assert {each.status for each in Node(files=files).findings()} == {Status.PASS}


def test_a_serving_certificate_that_nobody_approved_is_told() -> None:
    bootstrap = "serverTLSBootstrap: true\n"
    signed = issue("system:node:node1", cluster_ca(), ips=["10.0.0.1"])
    found = only(Node(files={CONFIG: bootstrap}))
    good = Node(files={CONFIG: bootstrap, CURRENT: signed.pem + signed.key_pem})
    ended = issue("system:node:node1", cluster_ca(), start=NOW - 400 * DAY)

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "ServingCertificateAbsent", CURRENT)
    assert {each.status for each in good.findings()} == {Status.PASS}
    assert only(Node(files={CONFIG: bootstrap, CURRENT: ended.pem + ended.key_pem})).reason == "CertificateExpired"
    assert only(Node(files={CONFIG: bootstrap, CURRENT: "garbage"})).reason == "CertificateInvalid"


# -- permissions, and what could not be looked at ------------------------------------------------------------------------------


def test_a_key_that_others_may_read_is_told() -> None:
    found = only(Node(modes={f"{FOLDER}/sa.key": 0o644, f"{FOLDER}/ca.key": 0o640}))

    assert (found.status, found.reason, found.subject) == (Status.WARN, "ReadableByOthers", f"{FOLDER}/sa.key")


def test_a_key_that_may_not_be_read_is_unknown_and_the_certificates_are_judged_all_the_same() -> None:
    denied = (f"{FOLDER}/ca.key", f"{FOLDER}/sa.key")

    assert [(each.status, each.reason) for each in Node(denied=denied).findings()] == [
        (Status.UNKNOWN, "NotPermitted"),
        (Status.PASS, "Valid"),
    ]
    ended = Node(denied=denied, now=NOW + 400 * DAY).findings()
    assert [each.reason for each in ended] == ["NotPermitted", "CertificateExpired"]


# -- held against OpenSSL -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_agrees_on_chains_and_keys(tmp_path: Path) -> None:
    """Certificates good and bad, of elliptic curves and RSA, beside their own key and another's."""
    good, sister = issue("a", front_ca(), usages=CLIENT), issue("b", cluster_ca("sister"), usages=CLIENT)
    namesake = issue("c", issue("front-proxy-ca", authority=True), usages=CLIENT)
    impostor = issue("d", issue("front-proxy-ca", front_ca()), usages=CLIENT)
    ended = issue("e", front_ca(), usages=CLIENT, start=NOW - 900 * DAY)
    rsa = issue("f", front_ca(), usages=CLIENT, rsa=True)
    outcomes = set()
    for leaf in (good, sister, namesake, impostor, ended, rsa):
        for key in (leaf.key_pem, good.key_pem, rsa.key_pem):
            files = {FRONT: leaf.pem, FRONT.replace(".crt", ".key"): key}
            reasons = {each.reason for each in Node(files=files).findings()}
            ours = ("WrongAuthority" not in reasons, "KeyMismatch" not in reasons)
            assert ours == openssl(tmp_path, leaf.pem, key), (leaf.certificate.subject, reasons)
            outcomes.add(ours)
    assert len(outcomes) == 4


def openssl(folder: Path, leaf: str, key: str) -> tuple[bool, bool]:
    """Whether the authority signed it, whenever that was, and whether the key is its own."""
    for name, text in (("leaf", leaf), ("key", key), ("ca", front_ca().pem)):
        (folder / name).write_text(text)

    def run(*words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=False)

    signed = run("verify", "-CAfile", "ca", "-no-CApath", "-no-CAstore", "-no_check_time", "leaf").returncode == 0
    return signed, run("x509", "-in", "leaf", "-noout", "-pubkey").stdout == run("pkey", "-in", "key", "-pubout").stdout


def test_a_certificate_in_der_is_no_pem() -> None:
    der = issue("front-proxy-client", front_ca()).certificate.public_bytes(Encoding.DER).decode("utf-8", "replace")

    assert only(Node(files={FRONT: der})).reason == "CertificateInvalid"


def test_lines_may_end_as_on_windows() -> None:
    files = {path: text.replace("\n", "\r\n") for path, text in healthy().items()}

    assert {each.status for each in Node(files=files).findings()} == {Status.PASS}
