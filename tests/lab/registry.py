"""Registries on the far side of a lab node: one real docker-registry, and nginx in front of it in every bad mood.

    with LabNode() as node:
        registries = Registries(node)
        registries.start()
        registries.use(node, registries.good)

`/etc/hosts` of the node knows the name `registry.lab`. Each mood is a port of its own.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.certificates import DAY, Issued, issue
from tests.lab.containerd import image_archive
from tests.lab.node import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.lab.node import Daemon, LabNode

NAME = "registry.lab"
ADDRESS = "192.0.2.1"
SILENT = "192.0.2.66"
"""An address that takes packets and says nothing."""

FOLDER = "/etc/lab-registry"
IMAGE = "registry.k8s.io/pause:3.6"
HOSTS_TOML = "/etc/containerd/certs.d/registry.k8s.io/hosts.toml"

INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"

# Paths of the registry's own repositories, below which nginx finds what a mood gives for `/v2/pause/`.
_PROXY = "proxy_set_header Host $http_host; proxy_pass http://127.0.0.1:5000"

_MOODS = {
    5001: f"location / {{ {_PROXY}; }}",
    5002: f"location / {{ {_PROXY}; }}",
    5003: 'default_type text/html; location / { return 403 "<html><title>Blocked by Web Filter</title></html>"; }',
    5004: 'default_type text/html; location / { return 200 "<html><title>Guest login</title></html>"; }',
    5005: f"location / {{ {_PROXY}; }}",
    5006: f"location / {{ {_PROXY}; }}",
    5007: f"location / {{ {_PROXY}; }}",
    5008: f"location / {{ return 307 http://{NAME}:5001$request_uri; }}",
    5009: "default_type text/plain; location / { return 429 'slow down'; }",
    5010: "default_type text/plain; location / { return 503 'back soon'; }",
    5011: f"location ~ /blobs/ {{ return 307 http://{SILENT}$request_uri; }} location / {{ {_PROXY}; }}",
    5012: (
        f'location / {{ add_header WWW-Authenticate \'Bearer realm="http://{NAME}:5013/token",service="lab"\' always;'
        f' if ($http_authorization != "Bearer lab-token-for-all") {{ return 401; }} {_PROXY}; }}'
    ),
    5013: 'default_type application/json; location / { return 200 \'{"token": "lab-token-for-all"}\'; }',
    5014: "location / { add_header WWW-Authenticate 'Basic realm=\"lab\"' always; return 401; }",
    5015: (
        f'location / {{ add_header WWW-Authenticate \'Bearer realm="http://{NAME}:5016/token",service="lab"\' always;'
        " return 401; }"
    ),
    5016: 'default_type application/json; location / { return 401 \'{"details": "who are you"}\'; }',
    5017: f"location / {{ rewrite ^/v2/pause/(.*) /v2/nothing/$1 break; {_PROXY}; }}",
    5018: f"location / {{ rewrite ^/v2/pause/(.*) /v2/foreign/$1 break; {_PROXY}; }}",
    5019: f"location / {{ rewrite ^/v2/pause/(.*) /v2/foreign-index/$1 break; {_PROXY}; }}",
    5020: f"location / {{ rewrite ^/v2/pause/(.*) /v2/index/$1 break; {_PROXY}; }}",
}

# Answers a byte a second for as long as anybody listens.
_DRIP = """
import socket, threading, time
def drip(line):
    try:
        line.recv(65536)
        for byte in b"HTTP/1.1 200 OK\\r\\nX: " + b"y" * 10**6:
            line.sendall(bytes([byte]))
            time.sleep(1)
    except OSError:
        pass
server = socket.create_server(("0.0.0.0", 5030))
while True:
    threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()
"""


@dataclass
class Registries:
    """All of them, on one lab node's far side."""

    node: LabNode
    authority: Issued = field(
        default_factory=lambda: issue("Lab CA", authority=True, start=time.time() - 30 * DAY, days=3650)
    )
    daemons: list[Daemon] = field(default_factory=list)

    def start(self) -> None:
        """Start them, filled."""
        node = self.node
        node.write("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
        node.far_run(["ip", "address", "add", f"{SILENT}/24", "dev", "node0"])
        node.far_run(["iptables", "-A", "INPUT", "-d", SILENT, "-j", "DROP"])
        now = time.time()
        for port, leaf in {
            5002: issue(NAME, self.authority, dns=[NAME], ips=[ADDRESS], start=now - DAY),
            5005: issue("other.lab", self.authority, dns=["other.lab"], start=now - DAY),
            5006: issue(NAME, self.authority, dns=[NAME], start=now - 20 * DAY, days=10),
            5007: issue(NAME, self.authority, start=now - DAY),
        }.items():
            node.write(f"{FOLDER}/{port}.crt", leaf.pem + self.authority.pem)
            node.write(f"{FOLDER}/{port}.key", leaf.key_pem, mode=0o600)
        node.write(f"{FOLDER}/ca.crt", self.authority.pem)
        node.write(f"{FOLDER}/nginx.conf", _nginx())
        node.write(
            f"{FOLDER}/config.yml",
            "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/lab-registry}}\nhttp: {addr: '127.0.0.1:5000'}\n",
        )
        node.write(f"{FOLDER}/drip.py", _DRIP)
        self.daemons = [
            node.popen(["docker-registry", "serve", f"{FOLDER}/config.yml"], far=True),
            node.popen(["nginx", "-c", f"{FOLDER}/nginx.conf"], far=True),
            node.popen([sys.executable, f"{FOLDER}/drip.py"], far=True),
        ]
        for port in (5000, 5001, 5030):
            wait_for(lambda port=port: self._listens(port), f"a listener on port {port}")  # type: ignore[misc]
        self._fill()

    def _listens(self, port: int) -> bool:
        stopped = [daemon.log for daemon in self.daemons if not daemon.running]
        assert not stopped, stopped
        return f":{port} " in self.node.far_run(["ss", "-Hltn"]).stdout

    def _fill(self) -> None:
        ours, other = ("arm64", "amd64") if "aarch64" in self.node.run(["uname", "-m"]).stdout else ("amd64", "arm64")
        for repository, architecture in (
            ("pause", ours),
            ("foreign", other),
            ("index", ours),
            ("foreign-index", other),
        ):
            archive = f"/run/{repository}.tar"
            (self.node.root / archive.lstrip("/")).write_bytes(image_archive(IMAGE, architecture=architecture))
            target = f"docker://127.0.0.1:5000/{repository}:3.6"
            self.node.far_run(
                ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"docker-archive:{archive}", target]
            )
        for repository, architecture in (("index", ours), ("foreign-index", other)):
            self._index(repository, architecture)

    def push(self, *names: str) -> None:
        """Let the registry hold an image by these names, `kube-proxy:v1.36.2`, beside what it is filled with."""
        archive = "/run/pushed.tar"
        (self.node.root / archive.lstrip("/")).write_bytes(image_archive(IMAGE))
        for name in names:
            self.node.far_run(
                [
                    *("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"),
                    *(f"docker-archive:{archive}", f"docker://127.0.0.1:5000/{name}"),
                ]
            )

    def _index(self, repository: str, architecture: str) -> None:
        """Put an index with one platform in the place of a repository's manifest."""
        script = f"""
import hashlib, json, urllib.request
url = "http://127.0.0.1:5000/v2/{repository}/manifests/3.6"
accept = {{"Accept": "application/vnd.docker.distribution.manifest.v2+json"}}
with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
    body, kind = answer.read(), answer.headers["Content-Type"]
entry = {{"mediaType": kind, "size": len(body), "digest": "sha256:" + hashlib.sha256(body).hexdigest(),
         "platform": {{"os": "linux", "architecture": "{architecture}"}}}}
index = {{"schemaVersion": 2, "mediaType": "{INDEX_TYPE}", "manifests": [entry]}}
put = urllib.request.Request(url, json.dumps(index).encode(), {{"Content-Type": "{INDEX_TYPE}"}}, method="PUT")
urllib.request.urlopen(put).close()
"""
        self.node.far_run([sys.executable, "-c", script])

    def copy(self, names: Iterable[str]) -> None:
        """Give the registry's image other names, with the tag 1: its blobs are mounted, and its manifest is put again."""
        script = """
import json, sys, urllib.request
base = "http://127.0.0.1:5000/v2"
kind = "application/vnd.docker.distribution.manifest.v2+json"
def ask(method, url, body=None, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method)) as answer:
        return answer.read()
manifest = ask("GET", f"{base}/pause/manifests/3.6", Accept=kind)
blobs = [blob["digest"] for blob in (json.loads(manifest)["config"], *json.loads(manifest)["layers"])]
for name in sys.argv[1:]:
    for blob in blobs:
        ask("POST", f"{base}/{name}/blobs/uploads/?mount={blob}&from=pause", b"")
    ask("PUT", f"{base}/{name}/manifests/1", manifest, **{"Content-Type": kind})
"""
        self.node.far_run([sys.executable, "-c", script, *names])

    # -- the node's side ---------------------------------------------------------------------------------------------

    def mirror(self, *urls: str, extra: str = "", server: str | None = None) -> None:
        """Let containerd ask these hosts for registry.k8s.io, and nobody else."""
        lines = [f"server = {json.dumps(server or urls[-1])}"]
        for url in urls:
            lines += [f"[host.{json.dumps(url)}]", '  capabilities = ["pull", "resolve"]', f"  {extra}"]
        self.node.write(HOSTS_TOML, "\n".join(lines) + "\n")


def _nginx() -> str:
    servers = []
    for port, body in _MOODS.items():
        secure = (
            f"listen {port} ssl; ssl_certificate {FOLDER}/{port}.crt; ssl_certificate_key {FOLDER}/{port}.key;"
            if port in (5002, 5005, 5006, 5007)
            else f"listen {port};"
        )
        servers.append(f"server {{ {secure} {body} }}")
    return (
        "daemon off; user root; worker_processes 1; error_log stderr; pid /run/lab-nginx.pid;\n"
        "events {}\n"
        "http { access_log off; client_max_body_size 0;\n" + "\n".join(servers) + "\n}\n"
    )
