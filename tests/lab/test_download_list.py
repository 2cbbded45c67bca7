"""A list of files against real servers: nginx that has them, redirects, refuses, asks for a login, or is not there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import DAY, issue
from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.lab, pytest.mark.needs("nginx", "openssl", "curl", "iptables")]

NAME = "files.lab"
ADDRESS = "192.0.2.1"
SILENT = "192.0.2.66"
FOLDER = "/etc/lab-files"
LIST = "/root/files.list"

NGINX = f"""
daemon off; user root; worker_processes 1; error_log stderr; pid /run/lab-files.pid;
events {{}}
http {{
    access_log {FOLDER}/access.log;
    default_type application/octet-stream;
    server {{
        listen 8080;
        root {FOLDER}/files;
        location /moved/ {{ return 302 http://{NAME}:8080/here/kubeadm; }}
        location /round/ {{ return 301 $request_uri; }}
        location /get-only/ {{ if ($request_method = HEAD) {{ return 405; }} return 200 "x"; }}
        location /login/ {{ return 401; }}
        location /portal/ {{ default_type text/html; return 200 "<html>Guest login</html>"; }}
    }}
    server {{
        listen 8443 ssl;
        ssl_certificate {FOLDER}/tls.crt;
        ssl_certificate_key {FOLDER}/tls.key;
        root {FOLDER}/files;
    }}
}}
"""


class Lab:
    """A node with a list, and the servers that it names."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        node.write("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
        node.far_run(["ip", "address", "add", f"{SILENT}/24", "dev", "node0"])
        node.far_run(["iptables", "-A", "INPUT", "-d", SILENT, "-j", "DROP"])
        authority = issue("Lab CA", authority=True, start=time.time() - 30 * DAY, days=3650)
        leaf = issue(NAME, authority, dns=[NAME], start=time.time() - DAY)
        node.write(f"{FOLDER}/tls.crt", leaf.pem + authority.pem)
        node.write(f"{FOLDER}/tls.key", leaf.key_pem, mode=0o600)
        node.write(f"{FOLDER}/files/here/kubeadm", "x" * 4096)
        node.write(f"{FOLDER}/nginx.conf", NGINX)
        self.daemon = node.popen(["nginx", "-c", f"{FOLDER}/nginx.conf"], far=True)
        wait_for(lambda: ":8443 " in node.far_run(["ss", "-Hltn"]).stdout, "nginx")

    def judge(self, *lines: str) -> list[dict[str, Any]]:
        self.node.write(LIST, "\n".join(lines) + "\n")
        outcome = self.node.check("download-list", "--files", LIST)
        found: list[dict[str, Any]] = outcome.result("download-list")["findings"]
        return found

    @property
    def asked(self) -> list[str]:
        """The methods that nginx was asked by so far."""
        return [
            line.split('"')[1].split()[0]
            for line in self.node.far_run(["cat", f"{FOLDER}/access.log"]).stdout.splitlines()
        ]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


def test_each_answer_has_its_reason_and_nothing_is_downloaded(lab: Lab) -> None:
    http, tls = f"http://{NAME}:8080", f"https://{NAME}:8443"
    found = lab.judge(
        "# the files of a release",
        f"{http}/here/kubeadm",
        f"{http}/moved/kubeadm",
        f"{http}/here/absent",
        f"{http}/get-only/x",
        f"{http}/login/x",
        f"{http}/portal/x",
        f"{http}/round/x",
        f"{tls}/here/kubeadm",
        f"https://{NAME}:8080/here/kubeadm",
        f"http://{NAME}:9/x",
        "http://nowhere.lab/x",
        "kubeadm v1.36",
        *(f"http://{SILENT}/{number}" for number in range(30)),
    )

    assert {(each["status"], each["reason"], each["subject"]) for each in found} == {
        ("pass", "AllAnswer", LIST),
        ("fail", "FileNotFound", f"{NAME}:8080"),
        ("unknown", "HeadRefused", f"{NAME}:8080"),
        ("fail", "AccessDenied", f"{NAME}:8080"),
        ("warn", "WebPage", f"{NAME}:8080"),
        ("fail", "RedirectsAstray", f"{NAME}:8080"),
        ("fail", "CertificateUntrusted", f"{NAME}:8443"),
        ("fail", "PlainHttpServer", f"{NAME}:8080"),
        ("fail", "ServerUnreachable", f"{NAME}:9"),
        ("fail", "ServerUnreachable", SILENT),
        ("fail", "NameNotResolved", "nowhere.lab"),
        ("warn", "NotAUrl", f"{LIST}:13"),
    }
    assert len(found) == 12
    [there] = [finding for finding in found if finding["reason"] == "AllAnswer"]
    assert "2 of 41 files" in there["message"]
    assert "8.0 KiB together" in there["message"]
    assert {method for method in lab.asked if method.isalpha()} == {"HEAD"}  # a TLS hello is logged, too


def test_a_ca_that_is_put_into_the_trust_store_as_suggested_is_trusted(lab: Lab) -> None:
    url = f"https://{NAME}:8443/here/kubeadm"
    [finding] = lab.judge(url)
    assert finding["reason"] == "CertificateUntrusted"

    for line in finding["fix"]["commands"]:
        lab.node.shell(line)

    assert [finding["reason"] for finding in lab.judge(url)] == ["AllAnswer"]
    assert lab.node.run(["curl", "-fsSIL", url]).stdout.startswith("HTTP/1.1 200")


def test_a_list_of_another_place_is_made_as_suggested(lab: Lab) -> None:
    [finding] = lab.judge(f"http://{SILENT}/kubeadm")
    assert finding["reason"] == "ServerUnreachable"
    lab.node.write(f"{FOLDER}/files/{SILENT}/kubeadm", "x")

    lab.node.shell(finding["fix"]["commands"][1].replace("FILES-SERVER", f"{NAME}:8080"))
    [finding] = lab.node.check("download-list", "--files", LIST).result("download-list")["findings"]

    assert finding["reason"] == "AllAnswer"
