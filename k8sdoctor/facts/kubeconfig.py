"""The kubeconfigs on the node: which server each leads to, and what it trusts."""

from __future__ import annotations

import binascii
from dataclasses import field, replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.kubectl import Kubectl
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.x509 import BadCertificateError, certificates
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from k8sdoctor.host import Host, Json

KUBELET = "/etc/kubernetes/kubelet.conf"
BOOTSTRAP = "/etc/kubernetes/bootstrap-kubelet.conf"
ADMIN = "/etc/kubernetes/admin.conf"
SUPER_ADMIN = "/etc/kubernetes/super-admin.conf"  # since 1.29
CONTROLLER_MANAGER = "/etc/kubernetes/controller-manager.conf"
SCHEDULER = "/etc/kubernetes/scheduler.conf"
ROOT_USER = "/root/.kube/config"

PROXIES = ("http", "https", "socks5")
"""The schemes that client-go takes for a proxy (tools/clientcmd/helpers.go, parseProxyURL)."""

# Whoever has a kubelet.conf has joined, and its bootstrap file, when one is left, is read no more
# (kubelet --bootstrap-kubeconfig: used only where --kubeconfig's file does not exist, or shows no certificate that is valid).
KUBEADM = (KUBELET, BOOTSTRAP, ADMIN, SUPER_ADMIN, CONTROLLER_MANAGER, SCHEDULER)


@dataclass(frozen=True)
class Kubeconfig:
    """One kubeconfig by its current context.

    `server` is None where the context names none. `ca` is the text of the trusted certificates, from `ca_source` (the file, or the field
    that holds them); None means the machine's own trust store. `insecure` skips all verification. `client_certificate` is true where the user
    shows a certificate. `user` is the name of the context's user, who stands in the file `user_path`, and `credentials` all that is written
    of him, secrets as placeholders. `personal` is a file that people's kubectl reads, and no component. `problem` is a sentence when the
    file is malformed, or when something that it names is; the other fields then hold what could be read. `unread` says why the file with
    with its authority could not be looked at. `contexts` are the names to choose from where the current context is none of them.
    """

    path: str
    server: str | None = None
    ca: str | None = None
    ca_source: str | None = None
    insecure: bool = False
    server_name: str | None = None
    proxy: str | None = None
    client_certificate: bool = False
    problem: str | None = None
    unread: Unobserved | None = None
    user: str | None = None
    user_path: str = ""
    credentials: Mapping[str, Json] = field(default_factory=dict)
    personal: bool = False
    contexts: tuple[str, ...] = ()

    @property
    def malformed(self) -> str | None:
        """What is wrong with the file, or with the certificates that it trusts, as a sentence."""
        if self.problem or self.ca is None:
            return self.problem
        try:
            certificates(self.ca)
        except BadCertificateError as error:
            return f"{self.ca_source} holds no usable certificate: {error}"
        return None

    @classmethod
    def parse(cls, host: Host, path: str, text: str) -> Self:
        """The kubeconfig in a text; files that it names are read. Never raises."""
        try:
            document = yaml.mapping(text, path)
        except yaml.YamlError as error:
            return cls(path, problem=str(error))
        current = yaml.string(document, "current-context")
        if current is None:
            return cls(path, problem=f"{path} names no current-context")
        return cls.resolve(host, ((path, document),), current)

    @classmethod
    def resolve(cls, host: Host, documents: Sequence[tuple[str, Mapping[str, Json]]], current: str) -> Self:
        """What a context leads to in some files with their contents; of entries with one name the first file's counts, as in client-go."""
        where, context = _named(documents, "contexts", "context", current)
        path = where or documents[0][0]
        if context is None:
            names = tuple(name for _, document in documents for name in context_names(document))
            missing = f"{path}: its current-context {current!r} is not among its contexts"
            return cls(path, problem=missing, contexts=names)
        name = yaml.string(context, "cluster")
        cluster_path, cluster = _named(documents, "clusters", "cluster", name)
        if cluster is None:
            return cls(path, problem=f"{path}: the cluster {name!r} of context {current!r} is not among its clusters")
        path = cluster_path or path
        user = yaml.string(context, "user")
        user_path, credentials = _named(documents, "users", "user", user)
        ca, source, problem, unread = _authority(host, path, cluster)
        server = yaml.string(cluster, "server")
        if server is None:
            problem = f"{path}: the cluster {name!r} names no server"
        elif user is not None and credentials is None:
            problem = problem or f"{path}: the user {user!r} of context {current!r} is not among its users"
        elif cluster.get("insecure-skip-tls-verify") is True and source:
            # client-go's transport.TLSConfigFor: "specifying a root certificates file with the insecure flag is not allowed"
            problem = (
                problem
                or f"{path}: the cluster {name!r} has both an authority and insecure-skip-tls-verify, which no client accepts"
            )
        proxy = yaml.string(cluster, "proxy-url")
        if proxy is not None and proxy.partition("://")[0] not in PROXIES:
            problem = (
                problem or f"{path}: the proxy-url {proxy!r} of the cluster {name!r} is not of http, https or socks5"
            )
        credentials = credentials or {}
        return cls(
            path,
            server=server,
            ca=ca,
            ca_source=source,
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            server_name=yaml.string(cluster, "tls-server-name"),
            proxy=proxy,
            client_certificate="client-certificate" in credentials or "client-certificate-data" in credentials,
            problem=problem,
            unread=unread,
            user=user,
            user_path=user_path or path,
            credentials=credentials,
        )


@dataclass(frozen=True)
class Kubeconfigs:
    """Every kubeconfig of the node that could be read, and why others could not (path and reason)."""

    files: tuple[Kubeconfig, ...]
    unreadable: tuple[tuple[str, Unobserved], ...]

    def at(self, path: str) -> Kubeconfig | None:
        """The kubeconfig at a path."""
        return next((file for file in self.files if file.path == path), None)

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet | Unobserved, kubectl: Kubectl | Unobserved) -> Self:
        """Read kubeadm's kubeconfigs, the kubelet's own, root's, that of who runs the doctor, and the one named on the command line."""
        flags = kubelet.flags if isinstance(kubelet, Kubelet) else {}
        given = host.given()["kubeconfig"]
        paths = [given, flags.get("--kubeconfig"), flags.get("--bootstrap-kubeconfig"), *KUBEADM, ROOT_USER]
        files: list[Kubeconfig] = []
        unreadable: list[tuple[str, Unobserved]] = []
        for path in dict.fromkeys(path for path in paths if path and path.startswith("/")):
            try:
                text = host.read_optional(path)
            except HostError as error:
                unreadable.append((path, Unobserved(error.reason, error.message)))
                continue
            if text is not None and not (path == ROOT_USER and not text.strip()):  # kubectl itself leaves an empty one
                found = Kubeconfig.parse(host, path, text)
                files.append(replace(found, personal=path == ROOT_USER))
        setups = kubectl.setups if isinstance(kubectl, Kubectl) else ()
        for setup in setups:
            own = setup.config
            if own is not None and all(own.path != file.path for file in files):
                files.append(own)
        kubelet_conf = flags.get("--kubeconfig", KUBELET)
        if any(file.path == kubelet_conf for file in files):
            bootstrap = flags.get("--bootstrap-kubeconfig", BOOTSTRAP)
            files = [file for file in files if file.path != bootstrap]
        return cls(tuple(files), tuple(unreadable))


def context_names(document: Mapping[str, Json]) -> list[str]:
    """The names of the contexts that stand in a kubeconfig."""
    entries = document.get("contexts")
    names = [
        yaml.string(entry, "name")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    return [name for name in names if name]


def _named(
    documents: Sequence[tuple[str, Mapping[str, Json]]], listed: str, key: str, name: str | None
) -> tuple[str | None, Mapping[str, Json] | None]:
    """The first entry of a name, and the file that holds it."""
    for path, document in documents:
        entries = document.get(listed)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and yaml.string(entry, "name") == name:
                found = entry.get(key)
                return path, (found if isinstance(found, dict) else None)
    return None, None


def inline(data: str) -> str:
    """What a value of a key that ends in `-data` holds, over however many lines. Raises ValueError where it is not base64."""
    return binascii.a2b_base64("".join(data.split()), strict_mode=True).decode("ascii", "replace")


def _authority(
    host: Host, path: str, cluster: Mapping[str, Json]
) -> tuple[str | None, str | None, str | None, Unobserved | None]:
    """The trusted certificates, where they stand, and what is wrong with them. Inline data win over a path, as in client-go."""
    data = yaml.string(cluster, "certificate-authority-data")
    if data:
        source = f"certificate-authority-data of {path}"
        try:
            text = inline(data)
        except ValueError:
            return None, source, f"{path}: its certificate-authority-data is not base64", None
        return text, source, None, None
    named = yaml.string(cluster, "certificate-authority")
    if not named:
        return None, None, None, None
    file = named if named.startswith("/") else f"{path.rpartition('/')[0]}/{named}"
    try:
        return host.read(file), file, None, None
    except HostError as error:
        if error.reason == "NotFound":
            return None, file, f"{path}: its certificate-authority {file} does not exist", None
        return None, file, None, Unobserved(error.reason, error.message)
