"""An API server made of what a real one answered, behind HTTPS with a certificate of the test's own."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.certificates import Issued, cluster_ca, issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CONTROL_PLANE = Path(__file__).parent / "data" / "control-plane-v1.36"

# By path: the file of the recording, and the namespace whose objects are wanted (None: all).
_RESOURCES = {
    "configmaps": "configmaps",
    "pods": "pods",
    "services": "services",
    "nodes": "nodes",
    "daemonsets": "daemonsets.apps",
    "deployments": "deployments.apps",
    "endpointslices": "endpointslices.discovery.k8s.io",
}


def recorded(path: str, folder: Path = CONTROL_PLANE / "api") -> dict[str, Any] | None:
    """What the recorded API server answers at a path; None when it holds no such thing."""
    words = path.partition("?")[0].strip("/").split("/")
    if words == ["version"]:  # kubelet and API server of the recorded node were of one version
        nodes = json.loads((folder / "nodes.json").read_text())["items"]
        return {"gitVersion": nodes[0]["status"]["nodeInfo"]["kubeletVersion"]}
    words = words[2:] if words[0] == "api" else words[3:]
    namespace = None
    if words[:1] == ["namespaces"] and len(words) > 2:
        namespace, words = words[1], words[2:]
    if not words or words[0] not in _RESOURCES:
        return None
    listing: dict[str, Any] = json.loads((folder / f"{_RESOURCES[words[0]]}.json").read_text())
    items = [item for item in listing["items"] if namespace in (None, item["metadata"].get("namespace"))]
    if len(words) == 1:
        return {**listing, "items": items}
    return next((item for item in items if item["metadata"]["name"] == words[1]), None)


@dataclass
class ApiServer:
    """A running server: its port, who asked for what, and kubeconfigs that lead to it."""

    port: int
    leaf: Issued
    ca: Issued
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, and the user by certificate or token

    def kubeconfig(self, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None) -> str:
        """A kubeconfig as kubeadm writes it: everything inline. Arguments replace the user and keys of the cluster."""
        client = issue("kubernetes-admin", self.ca, usages=[])
        inline = {"client-certificate-data": _base64(client.pem), "client-key-data": _base64(client.key_pem)}
        where = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": _base64(self.ca.pem)} | dict(
            cluster or {}
        )
        return kubeconfig(where, inline if user is None else user)


def kubeconfig(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> str:
    """The text of a kubeconfig with one cluster and one user."""
    text: str = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "admin@kubernetes",
            "contexts": [{"name": "admin@kubernetes", "context": {"cluster": "kubernetes", "user": "admin"}}],
            "clusters": [{"name": "kubernetes", "cluster": dict(cluster)}],
            "users": [{"name": "admin", "user": dict(user)}],
        }
    )
    return text


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@contextlib.contextmanager
def api_server(
    folder: Path,
    *,
    leaf: Issued | None = None,
    ca: Issued | None = None,
    address: str = "127.0.0.1",
    port: int = 0,
    answers: Path = CONTROL_PLANE / "api",
    forbidden: Sequence[str] = ("/api/v1/forbidden",),
) -> Iterator[ApiServer]:
    """Serve a recording, by default on a free port. Whoever shows neither a certificate of the CA nor the token `good` gets 401.

    Paths that begin with one of `forbidden` get 403.
    """
    ca = ca or cluster_ca()
    leaf = leaf or issue("kube-apiserver", ca, dns=["kubernetes"], ips=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    chain = folder / "apiserver.pem"
    chain.write_text(leaf.pem + leaf.key_pem)
    context.load_cert_chain(chain)
    context.load_verify_locations(cadata=ca.pem)
    context.verify_mode = ssl.CERT_OPTIONAL

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            certificate: dict[str, Any] = self.connection.getpeercert() or {}
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            names = dict(pair for group in certificate.get("subject", ()) for pair in group)
            user = names.get("commonName") or (f"token {token}" if token == "good" else None)
            server.asked.append((self.path, user))
            if user is None:
                self.reply(401, {"kind": "Status", "message": "Unauthorized", "code": 401})
            elif self.path.startswith(tuple(forbidden)):
                what = self.path.partition("?")[0].rpartition("/")[2]
                self.reply(403, {"kind": "Status", "message": f'{user} cannot get resource "{what}"', "code": 403})
            elif (body := recorded(self.path, answers)) is None:
                self.reply(404, {"kind": "Status", "message": "the server could not find the requested resource"})
            else:
                self.reply(200, body)

        def reply(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 4096  # Go's, by net.core.somaxconn; with Python's own 5 some of many hellos at once wait for their second try

        def get_request(self) -> tuple[Any, Any]:
            stream, peer = super().get_request()
            return context.wrap_socket(stream, server_side=True, do_handshake_on_connect=False), peer

        def handle_error(self, *_: object) -> None:  # a client that distrusts us goes away in mid handshake
            pass

    with Server((address, port), Handler) as listener:
        server = ApiServer(listener.server_port, leaf, ca)
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown()
