"""Real registries, open and closed: distribution as it comes, behind nginx, with htpasswd, read only, and one that holds on to uploads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.containerd import Containerd
from tests.lab.node import LabNode, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.node import Daemon

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "docker-registry", "nginx", "busybox"),
]

ADDRESS = "192.0.2.1"
FOLDER = "/etc/lab-registry"
STORE = "/var/lib/lab-registry"
CERTS_D = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
HOSTS_TOML = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"
# `htpasswd -Bbn lab lab` of apache2-utils.
LOGIN = "lab:$2y$05$IYsO1mmnWLLlKbkuhDGcNOKHPKIiFpOQ2tvIXVv1HH4BDMbZvBf0e\n"

# On 5001 nginx in front of it, on 5002 one that cancels nothing.
NGINX = f"""
daemon off; user root; worker_processes 1; error_log stderr; pid /run/lab-push.pid;
events {{}}
http {{
    access_log {FOLDER}/access.log;
    server {{
        listen 5001;
        location /v2/ {{
            proxy_set_header Host $http_host;
            proxy_pass http://127.0.0.1:5000;
        }}
    }}
    server {{
        listen 5002;
        if ($request_method = DELETE) {{ return 503; }}
        location /v2/ {{ proxy_pass http://127.0.0.1:5000; }}
    }}
    server {{ listen 5003; return 502; }}
}}
"""


class Lab:
    """A node whose runtime has a mirror, and the mirror's machine."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.registry: Daemon | None = None
        self.start()
        node.write(f"{FOLDER}/nginx.conf", NGINX)
        self.nginx = node.popen(["nginx", "-c", f"{FOLDER}/nginx.conf"], far=True)
        self._wait(5003)
        Containerd(node, sandbox_image="registry.k8s.io/pause:3.6", toml=CERTS_D).start()

    def start(self, more: str = "", storage: str = "") -> None:
        """Start the registry, or start it anew."""
        if self.registry is not None:
            self.registry.stop()
        config = f"version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {STORE}}}\n{storage}http: {{addr: ':5000'}}\n{more}"
        self.node.write(f"{FOLDER}/config.yml", config)
        self.registry = self.node.popen(["docker-registry", "serve", f"{FOLDER}/config.yml"], far=True)
        self._wait(5000)

    def _wait(self, port: int) -> None:
        wait_for(lambda: f":{port} " in self.node.far_run(["ss", "-Hltn"]).stdout, f"port {port}")

    def judge(self, port: int, *options: str) -> list[dict[str, Any]]:
        """The findings with a mirror at a port."""
        url = f"http://{ADDRESS}:{port}"
        self.node.write(HOSTS_TOML, f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')
        outcome = self.node.check("registry-push", *options)
        found: list[dict[str, Any]] = outcome.result("registry-push")["findings"]
        return found

    def reasons(self, port: int) -> list[str]:
        return [f"{each['status']} {each['reason']}" for each in self.judge(port, "--intrusive")]

    @property
    def uploads(self) -> str:
        """The uploads that the registry has open. Of one that is cancelled it keeps a hash state of some bytes, and nothing else."""
        return self.node.far_run(["sh", "-c", f"find {STORE} -path '*/_uploads/*' -name startedat"]).stdout

    @property
    def asked(self) -> str:
        return self.node.far_run(["cat", f"{FOLDER}/access.log"]).stdout


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


def test_without_the_option_nothing_is_sent(lab: Lab) -> None:
    [finding] = lab.judge(5001)

    assert (finding["status"], finding["reason"]) == ("skip", "NotAskedFor")
    assert lab.asked == ""


def test_a_registry_as_it_comes_takes_uploads_from_anyone_and_none_is_left(lab: Lab) -> None:
    [finding] = lab.judge(5000, "--intrusive")

    assert (finding["status"], finding["reason"]) == ("fail", "AnyoneMayPush")
    assert "202" in finding["evidence"][0]["content"]
    assert "204" in finding["evidence"][0]["content"]
    assert lab.uploads == ""


def test_nginx_closes_it_as_suggested_and_pulls_still_need_no_login(lab: Lab) -> None:
    [finding] = lab.judge(5001, "--intrusive")
    assert finding["reason"] == "AnyoneMayPush"

    lab.node.far_run(["sh", "-c", finding["fix"]["commands"][1].replace("SITE", f"{FOLDER}/nginx.conf")])
    lab.node.far_run(["sh", "-c", f"nginx -t -c {FOLDER}/nginx.conf && kill -HUP $(cat /run/lab-push.pid)"])

    wait_for(lambda: lab.reasons(5001) == ["pass PushRefused"], "nginx with its new configuration")
    read = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:5001/v2/').status)"
    assert lab.node.far_run(["python3", "-c", read]).stdout == "200\n"


def test_an_upload_that_cannot_be_cancelled_is_named_with_its_address(lab: Lab) -> None:
    lab.node.far_run(["sed", "-i", "/limit_except/d", f"{FOLDER}/nginx.conf"])
    first, second = lab.judge(5002, "--intrusive")

    assert (first["reason"], second["status"], second["reason"]) == ("AnyoneMayPush", "warn", "UploadLeftBehind")
    assert "/blobs/uploads/" in second["message"]
    assert lab.uploads != ""

    lab.node.shell(second["fix"]["commands"][0].replace(":5002", ":5000"))
    assert lab.uploads == ""


def test_a_server_at_fault_leaves_it_unknown(lab: Lab) -> None:
    assert lab.reasons(5003) == ["unknown NoAnswer"]
    assert lab.reasons(5999) == ["unknown NoAnswer"]


def test_a_registry_that_wants_a_login_as_suggested_passes(lab: Lab) -> None:
    [finding] = lab.judge(5000, "--intrusive")
    lab.node.write("/etc/docker/registry/htpasswd", LOGIN)
    lab.node.write("/etc/docker/registry/config.yml", lab.node.read(f"{FOLDER}/config.yml"))

    lab.node.shell(finding["fix"]["commands"][1])
    lab.start(more=lab.node.read("/etc/docker/registry/config.yml").partition("addr: ':5000'}\n")[2])

    assert lab.reasons(5000) == ["pass PushRefused"]
    assert "401" in lab.judge(5000, "--intrusive")[0]["message"]


def test_a_registry_that_is_read_only_passes(lab: Lab) -> None:
    lab.start(storage="  maintenance: {readonly: {enabled: true}}\n")

    [finding] = lab.judge(5000, "--intrusive")

    assert finding["reason"] == "PushRefused"
    assert "405" in finding["message"]
