"""What leaves a host holds no secret, and comes back as one where a peer needs it."""

from __future__ import annotations

import base64
import json
import textwrap

import pytest
import yaml

from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.secrets import Vault

SECRET = "c4n4ry-S3cret"

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nc4n4ry\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "text",
    [
        f'password = "{SECRET}"',
        f"password: {SECRET}",
        f"'password': '{SECRET}'",
        f'{{"auth": "{SECRET}", "x": 1}}',
        f"    token: {SECRET}\n    other: fine",
        f"client-key-data: {SECRET}",
        f'identitytoken = "{SECRET}"',
        f"Authorization = ['Bearer {SECRET}']",
        f"HTTPS_PROXY=http://user:{SECRET}@proxy:3128\0PATH=/bin",
        f"https://user:{SECRET}@registry.example/v2/",
        f"AWS_SECRET_ACCESS_KEY={SECRET}",
        f"http_proxy: http://u:{SECRET}@p",
        f"HTTP_PROXY=http:///u:{SECRET}@p:3128",
        f"HTTP_PROXY=http//u:{SECRET}@p:3128",
        f"HTTP_PROXY=http:u:{SECRET}@p:3128",
        f"HTTP_PROXY=http://domain/u:{SECRET}@p:3128",
        f'{{"httpProxy": "http:\\/\\/u:{SECRET}@p:3128"}}',
        f"certificateKey: {SECRET}",
        f"kubeadm join --token {SECRET} 192.0.2.1:6443",
        f"k3s agent --token={SECRET} --server https://192.0.2.1:6443",
        f"client --client-secret '{SECRET}'",
        f'err="login failed: {{\\"token\\":\\"{SECRET}\\"}}"',
        f'{{"log":"password=\\"{SECRET}\\" refused"}}',
    ],
)
def test_no_secret_leaves_a_host(text: str) -> None:
    assert SECRET not in Vault().hide(text)


@pytest.mark.parametrize(
    "text",
    [
        "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
        "--token-auth-file=/etc/tokens.csv",
        "--discovery-token-ca-cert-hash sha256:0123",
        "tokenTTL: 24h0m0s",
        "authentication:\n  anonymous:\n    enabled: false",
        "authorization:\n  mode: Webhook",
        "clientCAFile: /etc/kubernetes/pki/ca.crt",
        "https://10.0.0.1:6443",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "sandbox_image = 'registry.k8s.io/pause:3.10'",
        "auth:\n  username: x",
        "user@host:22 is no URL",
        "http://[::1]:5000/v2/",
    ],
)
def test_what_is_no_secret_stays_as_it_was(text: str) -> None:
    assert Vault().hide(text) == text


def test_a_private_key_leaves_only_its_frame() -> None:
    hidden = Vault().hide(f"before\n{PEM}\nafter")

    assert "c4n4ry" not in hidden
    assert hidden.startswith("before\n-----BEGIN RSA PRIVATE KEY-----")
    assert hidden.endswith("-----END RSA PRIVATE KEY-----\nafter")


def test_a_private_key_that_is_cut_short_is_hidden_as_well() -> None:
    assert "c4n4ry" not in Vault().hide(PEM.partition("-----END")[0])


def folded(width: int) -> list[str]:
    return textwrap.wrap(base64.b64encode(PEM.encode()).decode(), width)


@pytest.mark.parametrize("width", [20, 64, 76])
@pytest.mark.parametrize(
    "written",
    [
        "client-key-data: |\n      {}\n",
        "client-key-data: >-\r\n      {}\r\n",
        "client-key-data: {}\n",
        'data: "{}"\n',
        "{}\n",
    ],
)
def test_a_private_key_in_base64_is_hidden_also_where_it_is_folded(width: int, written: str) -> None:
    lines = folded(width)
    break_ = "\r\n" if "\r" in written else "\n"

    hidden = Vault().hide("users:\n    " + written.replace("{}", f"{break_}      ".join(lines)) + "    name: admin\n")

    assert not [line for line in lines if line in hidden]
    assert hidden.endswith("    name: admin\n")
    assert "client-key-data" not in written or "REDACTED-1" in str(yaml.safe_load(hidden.partition("users:")[2]))


@pytest.mark.parametrize("style", [None, "'", '"', "|", ">"])
@pytest.mark.parametrize("width", [20, 76, 500])
def test_a_private_key_in_base64_is_hidden_however_yaml_writes_it(style: str | None, width: int) -> None:
    lines = folded(64)
    document = {"user": {"client-key-data": "\n".join(lines) + "\n", "name": "admin"}}

    hidden = Vault().hide(yaml.safe_dump(document, default_style=style, width=width))

    assert [line for line in lines if line in hidden or line in json.dumps(hidden)] == []
    assert "admin" in hidden


def test_a_certificate_in_base64_is_no_secret() -> None:
    text = base64.encodebytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" * 9).decode()

    assert Vault().hide(text) == text


def test_a_bootstrap_token_is_hidden_wherever_it_stands() -> None:
    assert "abcdef.0123456789abcdef" not in Vault().hide("join --token abcdef.0123456789abcdef x")


def test_the_token_of_kubeadm_s_printed_defaults_is_hidden_and_told_from_others() -> None:
    vault = Vault()
    hidden = vault.hide("token: abcdef.0123456789abcdef\ntoken: bbcdef.0123456789abcdef")

    assert hidden == "token: REDACTED-DEFAULT-TOKEN\ntoken: REDACTED-1"
    assert vault.hide(hidden) == hidden


def test_a_placeholder_comes_back_as_the_secret() -> None:
    vault = Vault()
    hidden = vault.hide(f"http://user:{SECRET}@proxy:3128")

    assert vault.reveal(hidden) == f"http://user:{SECRET}@proxy:3128"


def test_the_same_secret_gets_the_same_placeholder_and_hiding_twice_changes_nothing() -> None:
    vault = Vault()
    once = vault.hide(f"password: {SECRET}\ntoken: {SECRET}")

    assert once.count("REDACTED-1") == 2
    assert vault.hide(once) == once


@pytest.mark.parametrize(
    "before",
    ["", "HTTPS_PROXY=", "export https_proxy=", 'Environment="HTTP_PROXY=', "proxy: ", '{"https_proxy": "'],
    ids=lambda before: before or "alone",
)
def test_a_hidden_proxy_is_still_the_url_that_it_was(before: str) -> None:
    from urllib.parse import urlsplit

    vault = Vault()
    text = f'{before}http://user:{SECRET}@proxy:3128"'
    hidden = vault.hide(text)

    parts = urlsplit(hidden.removeprefix(before).rstrip('"'))
    assert (parts.scheme, parts.username, parts.password) == ("http", "user", "REDACTED-1")
    assert (parts.hostname, parts.port) == ("proxy", 3128)
    assert vault.reveal(hidden) == text


def test_a_live_host_hides_secrets_of_files_and_of_what_was_given(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "config"
    path.write_text(f"token: {SECRET}\n")
    host = LiveHost(given={"config": {"path": "x", "text": f"token: {SECRET}"}, "kubeconfig": None, "endpoints": []})

    given = host.given()["config"]
    assert given is not None
    assert SECRET not in given["text"]
    assert SECRET not in host.read(str(path))


def test_a_secret_that_stands_behind_its_flag_is_hidden_in_a_command_line() -> None:
    words = ["k3s", "agent", "--token", SECRET, "--server", "https://192.0.2.1:6443", "--password"]

    assert Vault().hide_words(words) == [*words[:3], "REDACTED-1", *words[4:]]
