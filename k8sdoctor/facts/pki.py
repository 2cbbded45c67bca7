"""Every certificate of kubeadm's folder with its key, and the kubelet's serving certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.credentials import CERTIFICATES, Pair, SecretFile
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.x509 import Purpose, public_keys_of
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

SERVING = "kubelet-server-current.pem"
"""The link that the kubelet moves to each new serving certificate where serverTLSBootstrap has it ask for one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A certificate as kubeadm lists it (cmd/kubeadm/app/phases/certs/certlist.go).

    `name` is what `kubeadm certs renew` calls it, `base` its file without suffix, `authority` the base of who signs it (None: itself), `purposes` whom it
    must be allowed to be.
    """

    name: str
    base: str
    authority: str | None = None
    purposes: tuple[Purpose, ...] = ()


API_SERVER = Kind("apiserver", "apiserver", "ca", ("servers",))
KINDS = (
    Kind("ca", "ca"),
    API_SERVER,
    Kind("apiserver-kubelet-client", "apiserver-kubelet-client", "ca", ("clients",)),
    Kind("front-proxy-ca", "front-proxy-ca"),
    Kind("front-proxy-client", "front-proxy-client", "front-proxy-ca", ("clients",)),
    Kind("etcd-ca", "etcd/ca"),
    Kind("etcd-server", "etcd/server", "etcd/ca", ("servers", "clients")),  # etcd dials itself: etcd-io/etcd#9785
    Kind("etcd-peer", "etcd/peer", "etcd/ca", ("servers", "clients")),
    Kind("etcd-healthcheck-client", "etcd/healthcheck-client", "etcd/ca", ("clients",)),
    Kind("apiserver-etcd-client", "apiserver-etcd-client", "etcd/ca", ("clients",)),
)
KUBELET_SERVING = Kind("kubelet-serving", "kubelet-serving", "ca", ("servers",))


@dataclass(frozen=True)
class Item:
    """One certificate of the folder that is there."""

    kind: Kind
    pair: Pair

    @property
    def path(self) -> str:
        """The file with the certificate."""
        return self.pair.source


@dataclass(frozen=True)
class Accounts:
    """The keys of service accounts' tokens: SHA-256 of each public key in `sa.pub`, and of the one that belongs to `sa.key` (None: not known)."""

    path: str
    key_path: str
    public_keys: tuple[str, ...] = ()
    problem: str | None = None
    of_key: str | None = None
    key_problem: str | None = None


@dataclass(frozen=True)
class Pki:
    """What lies in `folder`, which is the API server's own, else kubeadm's default. What is not there is left out.

    `serving` is the kubelet's serving certificate where an authority shall sign it: by rotation (`rotates`), or given by the administrator; None
    where the kubelet signs its own, which nobody verifies. `keys` are the files with private keys.
    """

    folder: str
    items: tuple[Item, ...] = ()
    accounts: Accounts | None = None
    serving: Item | None = None
    rotates: bool = False
    keys: tuple[SecretFile, ...] = ()
    unread: tuple[Unobserved, ...] = ()

    def at(self, base: str) -> Item | None:
        """The certificate of a base name, such as `etcd/ca`."""
        return next((item for item in self.items if item.kind.base == base), None)

    @classmethod
    def observe(cls, host: Host, server: ApiServer, kubelet: Kubelet | Unobserved) -> Self:
        """Read the folder. Raises nothing: what could not be looked at is told."""
        folder = server.certificate.rpartition("/")[0]
        items = [
            Item(kind, Pair.read(host, f"{folder}/{kind.base}.crt", f"{folder}/{kind.base}.key")) for kind in KINDS
        ]
        there = tuple(item for item in items if not item.pair.absent)
        unread = [why for item in there for why in item.pair.unread]
        accounts = _accounts(host, folder, unread)
        serving, rotates = _serving(host, kubelet)
        unread += serving.pair.unread if serving else ()
        paths = [*(item.pair.key_source for item in there), accounts.key_path if accounts else None]
        keys = [_key(host, path, unread) for path in paths if path]
        return cls(folder, there, accounts, serving, rotates, tuple(key for key in keys if key), tuple(unread))


def _key(host: Host, path: str, unread: list[Unobserved]) -> SecretFile | None:
    try:
        seen = host.stat(path)
    except HostError as error:
        if error.reason != "NotFound":
            unread.append(Unobserved(error.reason, error.message))
        return None
    return SecretFile(path, seen["mode"], seen["gid"])


def _accounts(host: Host, folder: str, unread: list[Unobserved]) -> Accounts | None:
    path, key_path = f"{folder}/sa.pub", f"{folder}/sa.key"
    try:
        text = host.read_optional(path)
    except HostError as error:
        unread.append(Unobserved(error.reason, error.message))
        return None
    if text is None:
        return None
    public = public_keys_of(text)
    try:
        if not public and "PRIVATE KEY-" in text:  # keyutil.ParsePublicKeysPEM takes the public half of it
            half = host.public_key(path)["public_key"]
            public = (half,) if half else ()
        problem = None if public else "it holds no public key"
        answer = host.public_key(key_path)
    except HostError as error:
        if error.reason != "NotFound":  # an absent one is told by static-pods
            unread.append(Unobserved(error.reason, error.message))
        return Accounts(path, key_path, public, None if public else "it holds no public key")
    return Accounts(path, key_path, public, problem, answer["public_key"], answer["problem"])


def _serving(host: Host, kubelet: Kubelet | Unobserved) -> tuple[Item | None, bool]:
    if isinstance(kubelet, Unobserved):
        return None, False
    given = kubelet.flags.get("--tls-cert-file") or yaml.string(kubelet.config, "tlsCertFile")
    key = kubelet.flags.get("--tls-private-key-file") or yaml.string(kubelet.config, "tlsPrivateKeyFile")
    if given:
        return Item(KUBELET_SERVING, Pair.read(host, given, key)), False
    if kubelet.config.get("serverTLSBootstrap") is not True:
        return None, False
    path = f"{kubelet.flags.get('--cert-dir', CERTIFICATES).rstrip('/')}/{SERVING}"
    return Item(KUBELET_SERVING, Pair.read(host, path, path)), True
