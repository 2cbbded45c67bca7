"""What is told of keys and tokens, of every kind and of what is none."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from k8sdoctor.host import HostError
from k8sdoctor.host.keys import fingerprint
from k8sdoctor.host.live import LiveHost
from tests.certificates import cluster_ca, jwt

if TYPE_CHECKING:
    from pathlib import Path

PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def pem(kind: str, form: serialization.PrivateFormat, password: bytes | None = None) -> str:
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return str(KEYS[kind].private_bytes(serialization.Encoding.PEM, form, how).decode())


def told(folder: Path, text: str | bytes) -> Any:
    path = folder / "key"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return LiveHost().public_key(str(path))


@pytest.mark.parametrize(
    ("kind", "form"), [("rsa", PKCS8), ("rsa", OLD), ("ec", PKCS8), ("ec", OLD), ("ed25519", PKCS8)]
)
@pytest.mark.parametrize("dress", ["{}", "\n\n{}\n", "text before\n{}", "{cert}{}", "{}{cert}"])
def test_a_key_of_every_kind_is_found_among_what_else_the_file_holds(
    tmp_path: Path, kind: str, form: serialization.PrivateFormat, dress: str
) -> None:
    text = dress.replace("{cert}", cluster_ca().pem).replace("{}", pem(kind, form))
    wanted = {"public_key": fingerprint(KEYS[kind].public_key()), "problem": None}

    assert told(tmp_path, text) == wanted
    assert told(tmp_path, text.replace("\n", "\r\n")) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it holds no PEM block of a private key"),
        (cluster_ca().pem, "it holds no PEM block of a private key"),
        (cluster_ca().certificate.public_bytes(serialization.Encoding.DER), "it holds no PEM block of a private key"),
        (pem("ec", PKCS8)[:60], "it holds no PEM block of a private key"),
        (pem("rsa", PKCS8, b"x"), "its private key is encrypted, which no component of Kubernetes reads"),
        (pem("rsa", OLD, b"x"), "its private key is encrypted, which no component of Kubernetes reads"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "its private key cannot be parsed"),
        ("-----BEGIN RSA PRIVATE KEY-----\n%%\n-----END RSA PRIVATE KEY-----\n", "its private key cannot be parsed"),
    ],
    ids=range(8),
)
def test_what_is_no_key_of_use_says_why(tmp_path: Path, text: str | bytes, problem: str) -> None:
    assert told(tmp_path, text) == {"public_key": None, "problem": problem}


def test_no_part_of_a_key_is_told(tmp_path: Path) -> None:
    text = pem("ec", OLD)
    (tmp_path / "c").write_text(json.dumps({"users": [{"name": "a", "user": {"client-key-data": text}}]}))
    answers = json.dumps([told(tmp_path, text), LiveHost().public_key(str(tmp_path / "c"), user="a")])

    assert not [line for line in text.splitlines()[1:-1] if line[:16] in answers]
    assert "it is not base64" in answers


def test_an_encoded_key_of_a_kubeconfig_may_be_folded(tmp_path: Path) -> None:
    data = base64.encodebytes(pem("ec", OLD).encode()).decode()
    (tmp_path / "c").write_text(json.dumps({"users": [{"name": "a", "user": {"client-key-data": data}}]}))

    assert LiveHost().public_key(str(tmp_path / "c"), user="a")["problem"] is None


@pytest.mark.parametrize(
    "text", ["{{{: [", "[]", "users: 5", "users: [5, {name: a}]", "users: [{name: a, user: {}}]", ""]
)
def test_what_is_no_kubeconfig_has_no_key(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)

    with pytest.raises(HostError):
        LiveHost().public_key(str(tmp_path / "c"), user="a")


@pytest.mark.parametrize("text", ["", "abc", "a.b.c", jwt(), jwt(exp="soon"), jwt(exp=True), "..", "a.bnVsbA.c"])
def test_a_token_that_does_not_say_has_no_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)

    assert LiveHost().token_end(str(tmp_path / "t")) is None


def test_the_environment_of_who_runs_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/people/ann")
    monkeypatch.setenv("KUBECONFIG", "/a::b:/a")
    monkeypatch.setenv("SUDO_USER", "nobody")

    user = LiveHost().user()

    assert (user["home"], user["kubeconfig"]) == ("/people/ann", ["/a", f"{tmp_path}/b"])
    assert user["sudo_user"] == "nobody"


def test_without_an_environment_the_account_tells_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "KUBECONFIG", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 0)

    user = LiveHost().user()

    assert (user["name"], user["home"], user["kubeconfig"], user["sudo_user"]) == ("root", "/root", [], None)
