"""The real `kubernetes` client against a small HTTPS server that serves what a real API server answered."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from tests.api_server import ApiServer, api_server
from tests.certificates import NOW, cluster_ca, issue
from tests.host.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KUBE_PROXY = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    # The node's clock is the machine's here, so the certificate is valid for long.
    ca = issue("kubernetes", authority=True, start=NOW, days=36500)
    leaf = issue("kube-apiserver", ca, dns=["kubernetes"], ips=["127.0.0.1"], start=NOW, days=36500)
    with api_server(tmp_path, leaf=leaf, ca=ca) as running:
        yield running


def ask(tmp_path: Path, text: str, path: str = KUBE_PROXY, limit: float = 5.0) -> dict[str, object]:
    kubeconfig = tmp_path / "admin.conf"
    kubeconfig.write_text(text)
    return dict(LiveHost(probe_limit=limit).kube(path, kubeconfig=str(kubeconfig)))


def test_an_object_is_read_by_inline_credentials(server: ApiServer, tmp_path: Path) -> None:
    found = ask(tmp_path, server.kubeconfig())

    assert "https://10.27.53.32:6443" in json.dumps(found)
    assert server.asked == [(KUBE_PROXY, "kubernetes-admin")]


def test_what_several_facts_want_is_asked_for_once(server: ApiServer, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "admin.conf"
    kubeconfig.write_text(server.kubeconfig())
    host = LiveHost()

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda _: host.kube(KUBE_PROXY, kubeconfig=str(kubeconfig)), range(8)))
    for _ in range(2):
        with pytest.raises(HostError, match="404"):
            host.kube("/api/v1/namespaces/kube-system/configmaps/none", kubeconfig=str(kubeconfig))

    assert all(each == said[0] for each in said)
    assert len(server.asked) == 2


def test_the_whole_client_can_still_be_imported_beside_the_part_that_is_used() -> None:
    code = (
        "from k8sdoctor.host import light\n"
        "light.module('kubernetes.client.rest', 'kubernetes', 'kubernetes.client', 'kubernetes.utils')\n"
        "light.module('pyroute2.netlink.rtnl.ifinfmsg', 'pyroute2')\n"
        "import sys; assert not {'kubernetes', 'kubernetes.client', 'pyroute2'} & set(sys.modules)\n"
        "import kubernetes, pyroute2\n"
        "print(kubernetes.client.CoreV1Api.__name__, pyroute2.IPRoute.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.stdout.split(), done.stderr) == (["CoreV1Api", "IPRoute"], "")


def test_a_token_is_enough(server: ApiServer, tmp_path: Path) -> None:
    ask(tmp_path, server.kubeconfig({"token": "good"}))

    assert server.asked == [(KUBE_PROXY, "token good")]


def test_credentials_named_by_path_are_looked_for_beside_the_kubeconfig(server: ApiServer, tmp_path: Path) -> None:
    client = issue("system:node:cp1", server.ca, usages=[], start=NOW, days=36500)
    (tmp_path / "current.pem").write_text(client.pem + client.key_pem)
    (tmp_path / "ca.crt").write_text(server.ca.pem)
    text = server.kubeconfig(
        {"client-certificate": "current.pem", "client-key": str(tmp_path / "current.pem")},
        {"certificate-authority-data": "", "certificate-authority": "ca.crt"},
    )

    ask(tmp_path, text)

    assert server.asked == [(KUBE_PROXY, "system:node:cp1")]


def test_nothing_is_written_to_disk_and_no_memory_file_stays_open(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    ask(tmp_path, server.kubeconfig())

    assert list(temporary.iterdir()) == []
    assert not [link for link in _descriptors() if "kubeconfig" in link]


def _descriptors() -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 -- names are what is wanted
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except OSError:
            continue
    return links


def test_the_proxy_of_the_shell_is_not_used(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    assert ask(tmp_path, server.kubeconfig())["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        ("/api/v1/forbidden", "NotPermitted", 'kubernetes-admin cannot get resource "forbidden"'),
        ("/api/v1/namespaces/default/configmaps/nope", "NotFound", "could not find"),
        ("/api/v1/namespaces/kube-system/secrets/bootstrap-token", "NotPermitted", "never asked for"),
    ],
)
def test_refusals_are_told_apart(server: ApiServer, tmp_path: Path, path: str, reason: str, words: str) -> None:
    with pytest.raises(HostError, match=words) as refused:
        ask(tmp_path, server.kubeconfig(), path)

    assert refused.value.reason == reason


def test_unknown_credentials_are_not_permitted(server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="Unauthorized") as refused:
        ask(tmp_path, server.kubeconfig({"token": "bad"}))

    assert refused.value.reason == "NotPermitted"


@pytest.mark.parametrize("key", ["exec", "auth-provider"])
def test_a_program_for_credentials_is_never_run(server: ApiServer, tmp_path: Path, key: str) -> None:
    witness = tmp_path / "ran"
    program = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "touch",
        "args": [str(witness)],
        "name": "gcp",
    }

    with pytest.raises(HostError, match="a program that we do not run"):
        ask(tmp_path, server.kubeconfig({key: program}))

    assert not witness.exists()
    assert server.asked == []


def test_a_server_of_another_authority_is_not_believed(server: ApiServer, tmp_path: Path) -> None:
    other = server.kubeconfig(
        cluster={"certificate-authority-data": base64.b64encode(cluster_ca("other").pem.encode()).decode()}
    )

    with pytest.raises(HostError, match=r"(?i)certificate verify failed") as refused:
        ask(tmp_path, other)

    assert refused.value.reason == "Unreadable"
    assert server.asked == []


def test_tls_server_name_is_what_the_certificate_must_cover(server: ApiServer, tmp_path: Path) -> None:
    assert ask(tmp_path, server.kubeconfig(cluster={"tls-server-name": "kubernetes"}))["kind"] == "ConfigMap"
    with pytest.raises(HostError, match=r"(?i)match"):
        ask(tmp_path, server.kubeconfig(cluster={"tls-server-name": "elsewhere"}))


def test_a_token_is_not_sent_to_a_server_that_is_not_verified(server: ApiServer, tmp_path: Path) -> None:
    unverified = {"insecure-skip-tls-verify": True, "certificate-authority-data": ""}

    with pytest.raises(HostError, match="not sent the token"):
        ask(tmp_path, server.kubeconfig({"token": "good"}, unverified))

    assert server.asked == []


def test_nobody_there_is_unreadable_and_says_what_happened(server: ApiServer, tmp_path: Path) -> None:
    with closed_port() as port, pytest.raises(HostError, match="Connection refused") as refused:
        ask(tmp_path, server.kubeconfig(cluster={"server": f"https://127.0.0.1:{port}"}))

    assert refused.value.reason == "Unreadable"


def test_a_silent_server_is_given_up(server: ApiServer, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(HostError, match=r"(?i)timed out|did not answer"),
    ):
        ask(tmp_path, server.kubeconfig(cluster={"server": f"https://127.0.0.1:{silent.getsockname()[1]}"}), limit=0.4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "current-context: a",
        "current-context: [1]\ncontexts: 5",
        "\x00\x01",
        "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: 5}}]",
    ],
)
def test_a_malformed_kubeconfig_is_unreadable(tmp_path: Path, text: str) -> None:
    with pytest.raises(HostError) as refused:
        ask(tmp_path, text)

    assert refused.value.reason == "Unreadable"


def test_bad_base64_and_absent_files_are_told(server: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not base64"):
        ask(tmp_path, server.kubeconfig({"client-certificate-data": "=", "client-key-data": "a"}))
    with pytest.raises(HostError, match=r"/nowhere/client.crt does not exist") as refused:
        ask(tmp_path, server.kubeconfig({"client-certificate": "/nowhere/client.crt", "client-key": "/nowhere/key"}))
    assert refused.value.reason == "NotFound"


def test_secrets_in_an_answer_leave_as_placeholders(
    server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = {
        "metadata": {
            "managedFields": [{}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"value":"hunter2"}', "kept": "yes"},
        },
        "spec": {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "MODE", "value": "fast"}]},
    }
    monkeypatch.setattr("tests.api_server.recorded", lambda *_: pod)

    found = ask(tmp_path, server.kubeconfig())

    assert "hunter2" not in json.dumps(found)
    assert found["metadata"] == {"annotations": {"kept": "yes"}}
    assert '"fast"' in json.dumps(found)
