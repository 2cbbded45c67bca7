"""Certificates judged as Go does, held against OpenSSL where both agree."""

from __future__ import annotations

import random
import shutil
import ssl
import subprocess
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates, verify
from tests.api_server import CONTROL_PLANE
from tests.certificates import DAY, NOW, Issued, cluster_ca, issue

if TYPE_CHECKING:
    from pathlib import Path


def parsed(*issued: Issued) -> tuple[Certificate, ...]:
    return tuple(Certificate.parse(each.pem) for each in issued)


def leaf(dns: tuple[str, ...] = (), ips: tuple[str, ...] = (), name: str = "kube-apiserver") -> Certificate:
    return Certificate.parse(issue(name, cluster_ca(), dns=dns, ips=ips).pem)


@pytest.mark.parametrize(
    ("dns", "ips", "name", "covered"),
    [
        (["lb.example"], [], "lb.example", True),
        (["lb.example"], [], "LB.Example.", True),
        (["LB.EXAMPLE"], [], "lb.example", True),
        (["lb.example."], [], "lb.example", False),  # Go: a pattern that ends with a dot is no valid one
        (["*.example"], [], "lb.example", True),
        (["*.example"], [], "example", False),
        (["*.example"], [], "a.lb.example", False),
        (["l*.example"], [], "lb.example", False),
        (["*"], [], "lb", True),
        (["10.0.0.9"], [], "10.0.0.9", False),  # a DNS name that holds an address' text
        ([], ["10.0.0.9"], "10.0.0.9", True),
        ([], ["10.0.0.9"], "::ffff:10.0.0.9", True),
        ([], ["2001:db8::1"], "2001:0DB8::0:1", True),
        ([], ["2001:db8::1"], "[2001:db8::1]", True),
        ([], ["10.0.0.9"], "10.0.0.99", False),
        ([], ["10.0.0.9"], "lb.example", False),
        (["k8s_api"], [], "k8s_api", True),
        (["*.example"], [], "a_b.example", True),
        (["*.example"], [], "a:b.example", False),  # a colon is in no host name
        (["a:b.example"], [], "A:B.example", True),
        (["*.example"], [], "-a.example", False),
        ([], ["fe80::9"], "fe80::9", True),
        ([], ["fe80::9"], "fe80::9%eth0", False),  # until golang/go#79719 an address with a zone is a name
        (["k.example"], [], "\N{KELVIN SIGN}.example", False),  # lower case is that of ASCII
        ([], [], "kube-apiserver", False),  # the common name never counts
    ],
)
def test_names_are_covered_as_go_sees_it(
    dns: tuple[str, ...], ips: tuple[str, ...], name: str, *, covered: bool
) -> None:
    assert leaf(tuple(dns), tuple(ips)).covers(name) is covered


def test_a_chain_leads_to_its_root_by_the_intermediates_served() -> None:
    root = cluster_ca()
    middle = issue("middle", root, authority=True)
    server = issue("kube-apiserver", middle)

    assert verify(parsed(server, middle), parsed(root), NOW).trusted
    assert verify(parsed(server, cluster_ca("other"), middle), parsed(root), NOW).trusted
    assert not verify(parsed(server), parsed(root), NOW).trusted
    assert verify(parsed(server), parsed(middle), NOW).trusted  # a trusted intermediate is enough


def test_a_certificate_that_is_trusted_itself_needs_no_authority() -> None:
    alone = issue("kube-apiserver")

    assert verify(parsed(alone), parsed(alone), NOW).trusted
    assert verify(parsed(alone), parsed(cluster_ca()), NOW).why_not == "it is signed by itself"


def test_an_authority_of_the_same_name_and_another_key_is_told_apart() -> None:
    again = issue("kubernetes", authority=True)

    trust = verify(parsed(issue("kube-apiserver", again)), parsed(cluster_ca()), NOW)

    assert "another key" in str(trust.why_not)


def test_who_is_no_authority_signs_nothing() -> None:
    impostor = issue("impostor", cluster_ca())

    assert not verify(parsed(issue("kube-apiserver", impostor), impostor), parsed(cluster_ca()), NOW).trusted


def test_an_expired_authority_is_named() -> None:
    old = issue("kubernetes", authority=True, start=NOW - 20 * DAY, days=10)

    trust = verify(parsed(issue("kube-apiserver", old)), parsed(old), NOW)

    assert not trust.trusted
    assert trust.expired is not None
    assert trust.expired.subject == "CN=kubernetes"


@pytest.mark.parametrize(
    ("usages", "trusted"),
    [
        ([], True),
        ([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], False),
    ],
)
def test_a_clients_certificate_does_not_serve(usages: list[object], *, trusted: bool) -> None:
    server = issue("kube-apiserver", cluster_ca(), usages=usages)  # type: ignore[arg-type]

    assert verify(parsed(server), parsed(cluster_ca()), NOW).trusted is trusted


def test_an_authoritys_extended_key_usage_counts_for_what_it_signs() -> None:
    clients = issue("clients", authority=True, more=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])])

    assert "extended key usage" in str(verify(parsed(issue("x", clients)), parsed(clients), NOW).why_not)


def test_an_authoritys_path_length_counts_the_intermediates_below_it() -> None:
    root = issue("root", authority=True, path_length=0)
    middle = issue("middle", root, authority=True)

    assert verify(parsed(issue("x", root)), parsed(root), NOW).trusted
    trust = verify(parsed(issue("x", middle), middle), parsed(root), NOW)
    assert (trust.trusted, trust.why_not) == (False, "CN=root allows no intermediate authorities below it")
    assert verify(parsed(issue("x", middle), middle), parsed(middle), NOW).trusted  # trusted itself, it is the root


@pytest.mark.parametrize(
    ("permitted", "excluded", "dns", "ips", "trusted"),
    [
        (["lab"], [], ["a.lab", "lab"], [], True),
        ([".lab"], [], ["lab"], [], False),
        (["lab"], [], ["a.lab", "b.example"], [], False),
        (["lab"], [], ["a.lab"], ["10.0.0.9"], True),  # of another kind
        (["10.0.0.0/8"], [], [], ["10.0.0.9"], True),
        (["10.0.0.0/8"], [], [], ["192.0.2.1"], False),
        (["10.0.0.0/8"], [], [], ["fd00::1"], False),
        ([], ["lab"], ["a.lab"], [], False),
        ([], ["10.0.0.0/24"], [], ["10.0.0.9"], False),
        ([], ["10.0.1.0/24"], [], ["10.0.0.9"], True),
    ],
)
def test_name_constraints_hold_for_every_name(
    permitted: list[str], excluded: list[str], dns: list[str], ips: list[str], *, trusted: bool
) -> None:
    def names(texts: list[str]) -> list[x509.GeneralName] | None:
        return [x509.IPAddress(ip_network(one)) if "/" in one else x509.DNSName(one) for one in texts] or None

    root = issue("root", authority=True, more=[x509.NameConstraints(names(permitted), names(excluded))])

    trust = verify(parsed(issue("x", root, dns=dns, ips=ips)), parsed(root), NOW)

    assert trust.trusted is trusted
    assert trusted or "name constraints of CN=root" in str(trust.why_not)


@pytest.mark.parametrize(
    "text", ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\x00\xff"]
)
def test_what_is_no_certificate_says_so(text: str) -> None:
    with pytest.raises(BadCertificateError):
        certificates(text)


def test_a_certificate_of_a_version_that_there_is_not_says_so() -> None:
    data = x509.load_pem_x509_certificate(issue("api", cluster_ca()).pem.encode()).public_bytes(Encoding.DER)
    third, unknown = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x7f"
    assert data.count(third) == 1

    with pytest.raises(BadCertificateError):
        Certificate.parse(ssl.DER_cert_to_PEM_cert(data.replace(third, unknown)))


def test_a_real_control_planes_certificate_is_read() -> None:
    [server] = certificates((CONTROL_PLANE / "etc-kubernetes/pki/apiserver.crt").read_text())
    [authority] = certificates((CONTROL_PLANE / "etc-kubernetes/pki/ca.crt").read_text())

    assert server.names == (
        *("cp1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
        *("10.96.0.1", "10.27.53.32"),
    )
    assert verify([server], [authority], server.not_before + DAY).trusted


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_agrees_on_random_certificates(tmp_path: Path) -> None:
    """Forty certificates with random names, authorities and dates, each held against a random name.

    Drawn from what Kubernetes meets; kept out is where Go and OpenSSL differ (a common name, a trailing dot, a partial wildcard, one over a top-level name).
    """
    dice = random.Random(7)
    names = ["lb.example", "api.example", "*.k8s.example", "kubernetes", "kubernetes.default.svc", "a.b.example"]
    addresses = ["10.0.0.9", "10.96.0.1", "2001:db8::1", "127.0.0.1"]
    cas = [cluster_ca(), cluster_ca("other")]
    outcomes = set()
    for number in range(40):
        ca, trusted = cas[dice.random() < 0.2], cas[0]
        middle = issue(f"middle {number}", ca, authority=True) if dice.random() < 0.4 else None
        served = middle is not None and dice.random() < 0.7
        start, days = dice.choice([(NOW - DAY, 365), (NOW - DAY, 365), (NOW - 9 * DAY, 3), (NOW + DAY, 30)])
        server = issue(
            "x",
            middle or ca,
            dns=dice.sample(names, dice.randint(1, 3)),
            ips=dice.sample(addresses, dice.randint(0, 3)),
            start=start,
            days=days,
        )
        name = dice.choice(
            ["lb.example", "x.k8s.example", "a.b.example", "kubernetes", "10.0.0.9", "2001:db8::1", "10.0.0.8"]
        )
        certificate = Certificate.parse(server.pem)
        chain = parsed(server, *([middle] if middle and served else []))
        ours = (
            certificate.covers(name)
            and certificate.not_before <= NOW <= certificate.not_after
            and verify(chain, parsed(trusted), NOW).trusted
        )
        theirs = openssl_accepts(tmp_path, server, middle if served else None, trusted, name)
        assert ours is theirs, (number, name, certificate)
        outcomes.add(ours)
    assert outcomes == {True, False}


def openssl_accepts(folder: Path, server: Issued, middle: Issued | None, trusted: Issued, name: str) -> bool:
    (folder / "leaf.pem").write_text(server.pem)
    (folder / "ca.pem").write_text(trusted.pem)
    (folder / "middle.pem").write_text(middle.pem if middle else "")
    try:
        ip_address(name)
        kind = "-verify_ip"
    except ValueError:
        kind = "-verify_hostname"
    command: list[str | Path] = [
        "openssl",
        "verify",
        "-CAfile",
        folder / "ca.pem",
        "-attime",
        str(int(NOW)),
        kind,
        name,
    ]
    command += ["-purpose", "sslserver", "-no-CApath", "-no-CAstore"]
    command += ["-untrusted", folder / "middle.pem"] if middle else []
    return subprocess.run([*command, folder / "leaf.pem"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("entry", ["87050a00000901", "87080a000000ff000000", "8203c3bc78"])
def test_one_malformed_name_makes_the_whole_certificate_malformed(entry: str) -> None:
    content = bytes.fromhex(entry) + b"\x82\x0alb.example"
    whole = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, bytes([0x30, len(content)]) + content)

    with pytest.raises(BadCertificateError):
        Certificate.parse(issue("kube-apiserver", cluster_ca(), more=[whole]).pem)


def test_of_an_authority_that_is_expired_and_not_for_servers_a_client_tells_that_it_is_expired() -> None:
    root = cluster_ca()
    for ends, expired in ((1.0, False), (-1.0, True)):
        middle = issue(
            "middle",
            root,
            authority=True,
            start=NOW - 9 * DAY,
            days=9 + ends,
            more=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])],
        )
        trust = verify(parsed(issue("kube-apiserver", middle), middle), parsed(root), NOW)

        assert not trust.trusted
        assert (trust.expired is not None) is expired
        assert (trust.why_not is None) is expired


def test_an_expired_authority_on_a_way_that_leads_nowhere_is_told_as_clients_tell_it() -> None:
    middle = issue("middle", cluster_ca(), authority=True, start=NOW - 9 * DAY, days=8)

    assert verify(parsed(issue("kube-apiserver", middle), middle), parsed(cluster_ca("other")), NOW).expired is not None


def test_a_name_that_is_no_domain_name_meets_no_constraint_not_even_one_on_addresses() -> None:
    subtree = x509.IPAddress(ip_network("10.0.0.0/8"))
    root = issue(
        "root", authority=True, more=[x509.NameConstraints(permitted_subtrees=[subtree], excluded_subtrees=None)]
    )
    good = issue("kube-apiserver", root, dns=["lb.example"], ips=["10.0.0.9"])
    bad = issue("kube-apiserver", root, dns=["lb..example"], ips=["10.0.0.9"])

    assert verify(parsed(good), parsed(root), NOW).trusted
    assert "lb..example" in str(verify(parsed(bad), parsed(root), NOW).why_not)
