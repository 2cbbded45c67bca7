"""Who judges certificates: `apiserver-san`, a real client written in Go, and OpenSSL."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import hashlib
import ipaddress
import json
import os
import ssl
import subprocess
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cryptography import x509

from k8sdoctor.facts.kubeconfig import KUBELET
from k8sdoctor.testing import FakeHost, HostError, examine
from tests.api_server import kubeconfig
from tests.differential.certificates import certificate_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.differential.certificates import Case

PROGRAM = Path(__file__).parent / "data" / "client.go"
RECORDED = Path(__file__).parent / "data" / "go-verdicts.json"


@dataclass(frozen=True)
class Verdict:
    """What is thought of a certificate at an endpoint.

    `request` is whether a client's request succeeds. `covered` is whether the certificate is valid for the name. `chain` is `accepted`,
    `dates`, `authority`, or `unparsable`. None: not looked at.
    """

    request: bool
    covered: bool | None
    chain: str | None
    words: str = ""

    def differs(self, other: Verdict) -> bool:
        """Whether two that both looked saw different things."""
        return self.request != other.request or any(
            None not in (mine, theirs) and mine != theirs
            for mine, theirs in ((self.covered, other.covered), (self.chain, other.chain))
        )


def ours(case: Case) -> Verdict:
    """What the check says on a worker whose kubelet has this kubeconfig."""
    cluster: dict[str, Any] = {
        "server": case.server,
        "certificate-authority-data": base64.b64encode(case.roots.encode()).decode(),
        **({} if case.server_name is None else {"tls-server-name": case.server_name}),
    }
    host = FakeHost(
        {KUBELET: kubeconfig(cluster, {"client-certificate": "/var/lib/kubelet/pki/kubelet-client-current.pem"})},
        tls={"peer": "192.0.2.1:6443", "chain": [*case.chain], "client_cas": ["CN=kubernetes"], "failure": None},
        resolve={"addresses": ["192.0.2.1"], "error": None},
        given={"config": None, "kubeconfig": None, "endpoints": []},
        kube=HostError("NotPermitted", "403"),
    )
    found = [each for each in examine(host, "apiserver-san") if each.status in ("pass", "fail")]
    reasons = {each.reason for each in found}
    words = " ".join(each.message for each in found)
    known = {"Covered", "AddressNotCovered", "CommonNameOnly", "CertificateExpired", "NotYetValid", "UntrustedIssuer"}
    if reasons == {"EndpointUnreachable"} and "cannot be parsed" in words:
        return Verdict(request=False, covered=None, chain="unparsable", words=words)
    assert reasons
    assert reasons <= known, words
    return Verdict(
        request=reasons == {"Covered"},
        covered=not reasons & {"AddressNotCovered", "CommonNameOnly"},
        chain="dates"
        if reasons & {"CertificateExpired", "NotYetValid"}
        else "authority"
        if "UntrustedIssuer" in reasons
        else "accepted",
        words=words,
    )


def of_go(cases: Sequence[Case], program: Path) -> list[Verdict]:
    """What a client built from `PROGRAM` says."""
    lines = "".join(json.dumps({**asdict(case), "server_name": case.server_name or ""}) for case in cases)
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=True, timeout=600)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    for each in said:
        assert each["request"] != "other", each
    return [
        Verdict(
            request=each["request"] == "accepted",
            covered=None if each["chain"] == "unparsable" else each["covered"],
            chain=each["chain"],
            words=f"{each['name']}: {each['request']} {each['words']}",
        )
        for each in said
    ]


@cache
def _libcrypto() -> ctypes.CDLL:
    name = ctypes.util.find_library("crypto")
    assert name, "OpenSSL's libcrypto is not installed"
    library = ctypes.CDLL(name)
    library.d2i_X509.restype = ctypes.c_void_p
    library.d2i_X509.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long)
    library.X509_check_host.argtypes = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_void_p,
    )
    library.X509_check_ip_asc.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint)
    library.X509_free.argtypes = (ctypes.c_void_p,)
    return library


# openssl/x509v3.h. Told so, OpenSSL goes by Go's rules in the two things in which RFC 9525 leaves a client the choice.
_NEVER_CHECK_SUBJECT, _NO_PARTIAL_WILDCARDS = 0x20, 0x4


def covered_by_openssl(case: Case) -> bool:
    """Whether OpenSSL finds the name in the certificate, told it as Go's client looks for it: in ASCII, without the dot at its end."""
    library = _libcrypto()
    der = ssl.PEM_cert_to_DER_cert(case.chain[0])
    certificate = library.d2i_X509(None, ctypes.byref(ctypes.c_char_p(der)), len(der))
    assert certificate
    name = dialled(case)
    bare = name.removeprefix("[").removesuffix("]")
    try:
        if as_go_parses(bare):
            found: int = library.X509_check_ip_asc(certificate, bare.encode(), 0)
        else:
            host, flags = name.removesuffix(".").encode(), _NEVER_CHECK_SUBJECT | _NO_PARTIAL_WILDCARDS
            found = library.X509_check_host(certificate, host, len(host), flags, None)
    finally:
        library.X509_free(certificate)
    return found == 1


def as_go_parses(text: str) -> bool:
    """Whether Go's net.ParseIP takes it for an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def dialled(case: Case) -> str:
    """The name for which a client written in Go looks in the certificate."""
    host = urlsplit(case.server).netloc.rpartition(":")[0]
    return case.server_name or (unquote(host) if host.isascii() else host.encode("idna").decode())


def known_difference(case: Case) -> str | None:
    """Why OpenSSL does not find a name that Go finds; None where no reason is known, and somebody has to look."""
    found = x509.load_pem_x509_certificate(case.chain[0].encode())
    sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = sans.get_values_for_type(x509.DNSName)
    if any(each.endswith(".") for each in names):
        return "Go matches a pattern with a dot at its end as it stands (crypto/x509/verify.go, matchExactly)"
    if as_go_parses(dialled(case).removeprefix("[").removesuffix("]")):
        mapped = any(
            isinstance(each, ipaddress.IPv6Address) and each.ipv4_mapped
            for each in sans.get_values_for_type(x509.IPAddress)
        )
        if mapped or "::ffff:" in dialled(case).lower():
            return "to Go an IPv4 address written as an IPv6 address is the same address (net.IP.Equal)"
    elif any(each == "*" or each.startswith("*.") for each in names):
        return (
            "OpenSSL's wildcard wants two labels more, and a name without xn-- and _ (crypto/x509/v3_utl.c, valid_star)"
        )
    return None


def compared(cases: Iterable[Case], verdicts: Iterable[Verdict]) -> Iterator[str | None]:
    """For each case None where we, a client of Go's and OpenSSL agree. OpenSSL judges the names alone: Go decides about chains."""
    for case, verdict in zip(cases, verdicts, strict=True):
        mine = ours(case)
        openssl = None if verdict.covered is None else covered_by_openssl(case)
        if mine.differs(verdict):
            yield f"{case.words}\n  Go: {verdict}\n  we: {mine}"
        elif openssl == mine.covered or (mine.covered and known_difference(case)):
            yield None
        else:
            yield f"{case.words}\n  OpenSSL finds the name: {openssl}\n  we: {mine}"


def differences(seeds: range, program: Path) -> Iterator[str | None]:
    """For each seed None where all agree."""
    cases = [certificate_case(seed) for seed in seeds]
    return compared(cases, of_go(cases, program))


def record(count: int, program: Path) -> None:
    """Write down what a client of Go's says to the first seeds, for where there is no Go."""
    cases = [certificate_case(seed) for seed in range(count)]
    lines = ",\n".join(f"  {json.dumps(asdict(replace(each, words='')))}" for each in of_go(cases, program))
    RECORDED.write_text(f'{{"cases": "{digest(cases)}", "verdicts": [\n{lines}\n]}}\n')


def digest(cases: Iterable[Case]) -> str:
    """What tells other cases from these: keys and signatures are new in each run."""
    return hashlib.sha256("\n".join(case.words for case in cases).encode()).hexdigest()


def compiled(folder: Path) -> Path:
    """The client, compiled into a folder."""
    program = folder / "client"
    subprocess.run(
        ["go", "build", "-o", program, PROGRAM],
        check=True,
        timeout=600,
        env={**os.environ, "GOCACHE": f"{folder}/cache"},
    )
    return program
