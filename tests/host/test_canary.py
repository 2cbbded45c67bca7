"""No secret of any kind leaves a live host by any verb, and what is none stays legible."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import live
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.secrets import Vault, is_secret
from tests.canaries import ENCODED, FORMS, NOT_IN_LOGS, SECRET, leaks
from tests.host.test_cri import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from k8sdoctor.host.answers import HttpRequest

# Texts of one line, since `lines` and command lines hold no others.
LINES = {name: text for name, text in FORMS.items() if "\n" not in text.strip("\n") and "\r" not in text}

ASKED_HERE = {"read", "lines", "tail", "run", "processes", "listeners", "http", "upload", "kube", "cri", "given"}

# These answer numbers, names and addresses that the kernel, DNS or a handshake has; a private key stays in the verb that reads it.
NO_TEXT = {
    *("identity", "user", "now", "listdir", "stat", "readlink", "netlink", "resolve", "dns", "watch_dns", "tls"),
    *("public_key", "token_end", "space", "clock", "sync_times"),
}


def test_every_verb_is_one_that_is_asked_here_or_one_that_answers_no_text() -> None:
    verbs = {*LiveHost()._own, *live._MODULES}

    assert verbs == ASKED_HERE | NO_TEXT


@pytest.mark.parametrize("name", FORMS)
def test_a_file_leaves_without_its_secret(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f"first: line\n{FORMS[name]}\nlast: line\n", newline="")
    host = LiveHost()

    assert leaks(FORMS[name])
    assert leaks(host.read(str(path))) == []
    assert leaks(host.tail(str(path))) == [] or name in NOT_IN_LOGS
    assert host.read(str(path)).startswith("first: line\n")
    assert host.read(str(path)).endswith("last: line\n")


@pytest.mark.parametrize("name", FORMS)
def test_a_file_that_holds_nothing_else_leaves_without_its_secret(name: str) -> None:
    hidden = Vault().hide(FORMS[name])

    assert leaks(hidden) == []
    assert Vault().hide(hidden) == hidden or leaks(Vault().hide(hidden)) == []


def test_lines_and_what_commands_print_leave_without_their_secrets(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("".join(f"{text.strip()}\n" for text in LINES.values()))
    host = LiveHost()

    assert leaks(json.dumps(host.lines(str(path), [""]))) == []
    assert leaks(json.dumps(host.run("cat", str(path)))) == []
    assert leaks(json.dumps(host.run("sh", "-c", f"cat {path} >&2"))) == []
    assert leaks(json.dumps(host.run("cat", str(path), keep=["token", "password"]))) == []


def test_the_end_of_a_log_that_begins_within_a_key_leaves_without_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(f"-----BEGIN RSA PRIVATE KEY-----\nMII\n{SECRET * 4}\n-----END RSA PRIVATE KEY-----\nlast\n")

    tail = LiveHost().tail(str(path), 110)

    assert "BEGIN" not in tail
    assert tail.endswith("last\n")
    assert leaks(tail) == []


@pytest.mark.parametrize(
    "words",
    [
        ["/usr/bin/mysqladmin", "-uroot", f"-p{SECRET}", "ping"],
        ["redis-cli", "-a", SECRET, "ping"],
        ["docker", "login", "-u", "u", "-p", SECRET],
        ["sh", "-c", f"exec mysql -p{SECRET}"],
    ],
    ids=lambda words: words[0],
)
def test_a_password_behind_a_flag_of_one_letter_is_hidden_and_no_other_word_of_the_command_line(
    words: list[str],
) -> None:
    hidden = Vault().hide_words(words)

    assert leaks(json.dumps(hidden)) == []
    assert [word for word in words if SECRET not in word] == [word for word in hidden if "REDACTED-1" not in word]
    assert Vault().hide_words([]) == []


@pytest.mark.parametrize(
    "words", [["docker", "run", "-p", "80:80"], ["redis-cli", "-p", "6379", "-a"], ["mysql", "-p"]]
)
def test_a_flag_of_one_letter_that_is_no_password_stays(words: list[str]) -> None:
    assert Vault().hide_words(words) == words


def test_the_same_flag_of_another_program_in_a_log_is_left_alone() -> None:
    text = "token expired\npassword expired\nuser admin password expired\nsecret not-found\n"

    assert Vault().hide(text, prose=True) == text


def test_command_lines_leave_without_their_secrets() -> None:
    words = ["--token", SECRET, f"--password={SECRET}", "--server", f"https://u:{SECRET}@h", f"TOKEN={SECRET}"]
    code = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        seen = [each for each in LiveHost().processes() if each["pid"] == process.pid]
        listening = LiveHost().listeners([port])
        process.stdin.close()

    assert "--server" in seen[0]["cmdline"]
    assert "--server" in listening[0]["cmdline"]
    assert leaks(json.dumps([seen, listening])) == []


class Echo(BaseHTTPRequestHandler):
    """Answers with what it is told, in body and headers, and with every kind of secret."""

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "")
        body = json.dumps({"sent": sent, "word": sent.rpartition(" ")[2], "all": list(LINES.values())})
        self.send_response(202)
        for name, value in (
            ("Set-Cookie", f"sid={SECRET}"),
            ("X-Api-Key", SECRET),
            ("X-Echo", sent.rpartition(" ")[2]),
        ):
            self.send_header(name, value)
        self.send_header("Location", f"/v2/upload?token={SECRET}")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_DELETE = do_GET  # noqa: N815 -- the standard library's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def echo() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_peer_that_says_what_it_was_told_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"password: {SECRET}\nauth: {ENCODED}\n")
    host = LiveHost(given={"config": None, "kubeconfig": None, "endpoints": [], "intrusive": True})
    password, auth = (line.partition(": ")[2] for line in host.read(str(tmp_path / "config")).splitlines())
    with echo() as port:
        request: HttpRequest = {
            "method": "GET",
            "url": f"http://user:{password}@127.0.0.1:{port}/",
            "headers": {},
            "ca_files": [],
            "client_certificate": None,
            "verify": True,
            "proxy": None,
            "limit": 5.0,
        }
        found: list[Any] = [host.http(request), host.http({**request, "headers": {"Authorization": f"Basic {auth}"}})]
        found.append(
            host.upload(
                {
                    "base_url": f"http://127.0.0.1:{port}/v2",
                    "repository": "a",
                    "ca_files": [],
                    "verify": True,
                    "proxy": None,
                    "limit": 5.0,
                }
            )
        )

    assert [each["status"] for each in found[:2]] == [202, 202]
    assert leaks(json.dumps(found)) == []
    assert "dXNlcjpjNG40cn" not in json.dumps(found)  # user:c4n4r, as it was sent


OBJECTS: dict[str, Any] = {
    "secret": {"kind": "Secret", "data": {"foo": ENCODED}, "stringData": {"bar": SECRET}},
    "in a list": {"kind": "List", "items": [{"kind": "Secret", "data": {"foo": ENCODED}}]},
    "variable": {"env": [{"name": "DB_PASSWORD", "value": SECRET}]},
    "configmap": {"kind": "ConfigMap", "data": {"password": SECRET, "config": f"token: {SECRET}"}},
    "annotation": {"metadata": {"annotations": {"example.com/api-token": SECRET}}},
    "copy": {"metadata": {"annotations": {"x": json.dumps({"kind": "Secret", "data": {"foo": ENCODED}})}}},
    **{f"text: {name}": {"data": {"file": text}} for name, text in FORMS.items()},
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_of_the_api_leaves_without_its_secret(name: str) -> None:
    assert leaks(json.dumps(OBJECTS[name]))
    assert leaks(json.dumps(Vault().hide_in(OBJECTS[name]))) == []


def test_what_the_runtime_says_leaves_without_its_secrets(tmp_path: Path) -> None:
    said = {
        name: json.dumps({"config": text, "registry": {"auth": {"password": SECRET}}}) for name, text in FORMS.items()
    }
    with runtime(tmp_path / "cri.sock", {"RuntimeService/Status": lambda _: {"info": said}}):
        answer = LiveHost().cri(str(tmp_path / "cri.sock"), "RuntimeService/Status")

    assert len(answer["info"]) == len(FORMS)  # type: ignore[arg-type]
    assert leaks(json.dumps(answer)) == []


def test_what_was_given_leaves_without_its_secrets() -> None:
    every = "\n".join(FORMS.values())
    host = LiveHost(
        given={
            "config": {"path": "kubeadm.yaml", "text": every},
            "kubeconfig": None,
            "endpoints": [],
            "images": {"path": "i", "text": every},
            "files": {"path": "f", "text": every},
            "proxy": {"https_proxy": f"http://u:{SECRET}@p:3128"},
        }
    )

    assert leaks(json.dumps(host.given())) == []


LEGIBLE = """
--token-auth-file=/etc/tokens.csv --authorization-mode=Node,RBAC --enable-bootstrap-token-auth=true
--discovery-token-ca-cert-hash sha256:0e74f71d07a3fe71ed57921e470a47d31e41913e495ba4588e9b3a737a3ef3df
--service-account-key-file=/etc/kubernetes/pki/sa.pub --tls-private-key-file=/etc/kubernetes/pki/apiserver.key
--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key --requestheader-username-headers=X-Remote-User
--client-ca-file=/etc/kubernetes/pki/ca.crt --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf
tokenTTL: 24h0m0s
- token-ttl: 24h
secretName: my-tls
imagePullSecrets:
- name: regcred
automountServiceAccountToken: false
serviceAccountToken:
  expirationSeconds: 3607
  path: token
secret:
  secretName: coredns
secretKeyRef:
  name: foo
  key: password
key: node-role.kubernetes.io/control-plane
authentication:
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
keyFile: "/etc/kubernetes/pki/etcd/server.key"
image: registry.corp:5000/pause:3.9@sha256:0e74f71d07a3fe71ed57921e470a47d31e41913e495ba4588e9b3a737a3ef3df
registry.k8s.io/coredns/coredns:v1.10.1@sha256:0e74f71d07a3fe71ed57921e470a47d31e41913e495ba4588e9b3a737a3ef3df
http://[::1]:5000/v2/ https://10.0.0.1:6443 https://user@host/ git@github.com:foo/bar.git k3s-server-ca@1700000000
PWD=/root
SSH_AUTH_SOCK=/run/x
net.ipv4.conf.all.rp_filter = 1
Unauthorized: x509: certificate signed by unknown authority
-A KUBE-SVC -m comment --comment "default/kubernetes:https cluster IP" -j KUBE-MARK-MASQ
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 root@host
groups: ["system:bootstrappers:kubeadm:default-node-token"]
[plugins."io.containerd.grpc.v1.cri".registry.configs."r".auth]
  key_file = "/etc/r.key"
[host."https://registry.corp:5000"]
  capabilities = ["pull", "resolve"]
  client = [["/etc/c.crt", "/etc/c.key"]]
level=info msg="token rotated" path=/var/run/token
- name: TOKEN_PATH
  value: /var/run/x
HTTP_PROXY=http://10.0.0.1:3128
endpoint: unix:///var/run/kms.sock
mysql -u root -p -h db -P3306 --port=3306
mysqladmin: connect to server at 'localhost' failed, error: 'Access denied for user (using password: YES)'
kubectl -n db logs mysql-0 -p; image: docker.io/library/mysql:8.4 -pull
docker run -p 80:80 -w /app --name mysql nginx; docker login registry.example && ssh -p 2222 node
redis-cli -h 10.0.0.1 -p 6379 ping
    - redis-cli
    - ping
ldapsearch -W -x -b dc=x
etcd --auth-token=simple --auth-token jwt,sign-method=RS256
mongod --auth --bind_ip 127.0.0.1
password required pam_unix.so
auth_type PASS
password [success=1 default=ignore] pam_unix.so obscure yescrypt
    authentication {
encrypt = true
encrypt: aes256
enc cbc(aes) auth hmac(sha256)
-m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x00000000/0xffffffff
192.0.2.1 : RSA /etc/ipsec.d/private/host.pem
"\u0070ath": "/x", "\x70ort": 80
proxy_set_header Authorization $http_authorization;
proxy_set_header Host $host;
https://x.example/x?signature-version=4&key=a
Public-Lines: 1
{"auth": {}, "authentication": {"x509": {}}}
certificate key: /etc/x.key
https://hooks.slack.com/ https://api.telegram.org/ https://discord.com/api/webhooks https://hooks.slack.com/services/
daemon:*:19405:0:99999:7:::
games:*:5:60:games:/usr/games:/usr/sbin/nologin
127.0.0.1:5432:5432 0.0.0.0:5432->5432/tcp postgres:5432 postgres:16-alpine 5432:5432:5432
02:42:ac:11:00:02 fe80::42:acff:fe11:2 2001:db8:0:5432:0:1:2:3 *:* *:*:00 OnCalendar=*-*-* *:*:00
arn:*:iam::123456789012:role/x arn:*:s3:eu-west-1:123456789012:x urn:*:a:b:c cpe:2.3:a:x:y:1.0:*:*:*:*:*:*
user: root:root 1000:1000 registry.corp:5000/pause:3.9 chown root:docker:x a:b
256 SHA256:0e74f71d07a3fe71ed57921e470a47d31e41913e49 root@host (ED25519)
2 SHA256 checksums were wrong
1 MD5 sum of the file differs
10.0.0.1 0x1 0x2 02:42:ac:11:00:02 * eth0
10.0.0.1 node-1 node-1.example
ffffffff81000000 T _text
chown root:root /usr/sbin/chpasswd; echo root:root > /etc/owner && chpasswd < /root/list
echo "$USERS" | chpasswd; printf 'root:%s' "$WORD" | chpasswd
1234567890:AA123 12345678:AAH
"""


def test_what_is_no_secret_stays_legible() -> None:
    assert Vault().hide(LEGIBLE) == LEGIBLE
    for line in LEGIBLE.splitlines():
        assert Vault().hide(line) == line


@pytest.mark.parametrize(
    ("key", "secret"),
    [
        *((key, True) for key in ("token", "DB_PASSWORD", "clientSecret", "PGPASSWORD", "Authorization", "set-cookie")),
        *(
            (key, False)
            for key in ("tokenTTL", "secretName", "token-auth-file", "PWD", "authorizationMode", "publicKey")
        ),
    ],
)
def test_a_key_tells_by_its_name_whether_its_value_is_a_secret(key: str, secret: bool) -> None:
    assert is_secret(key) is secret


@pytest.mark.parametrize(
    "piece",
    [
        "a-",
        "mysql ",
        "mysql\n- ",
        "login",
        '"\\x70',
        " : PSK ",
        "eyJhdXRocyI",
        "token: ",
        'token="',
        'token=\\"',
        "http://a:b",
        "b@",
        "kind: Secret\n  data:\n",
        "$6$",
        "-u a:",
        "key ",
        "key\n",
        " key:\n",
        "key: !",
        "key=",
        "? ",
        "/:\\\\",
        'name="',
        "\\",
        "a:*:b",
        "\\:5432:",
        "chpasswd <<E\n",
        "echo 'a:b chpasswd ",
    ],
)
def test_a_text_of_any_kind_is_looked_through_in_a_time_that_grows_as_it_does(piece: str) -> None:
    # One that grew with the square would not come back within a test's time.
    Vault().hide(piece * 60_000)
