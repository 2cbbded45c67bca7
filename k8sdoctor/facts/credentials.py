"""What each kubeconfig shows of its user: certificate, key, token, plugin, and who may read them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import yaml
from k8sdoctor.facts.kubeconfig import KUBELET, Kubeconfig, Kubeconfigs, inline
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.x509 import BadCertificateError, Certificate, certificates
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

CERTIFICATES = "/var/lib/kubelet/pki"
"""The kubelet's default for --cert-dir."""

ROTATED = "kubelet-client-current.pem"
"""The link that the kubelet moves to each new certificate, with its key (client-go util/certificate/certificate_store.go)."""

_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/opt/bin", "/snap/bin")


@dataclass(frozen=True)
class Pair:
    """A certificate with its key, as two files or two fields name them.

    `chain` is empty where there is no certificate; `problem` is then a clause that says what is wrong with it, `absent` true where the file does not
    exist. The same holds for the key: `public_key` is the SHA-256 of its public half, `key_problem` why there is none, `key_absent`
    true where it is not there. `unread` are files that could not be looked at; nothing is said of those.
    """

    source: str
    chain: tuple[Certificate, ...] = ()
    problem: str | None = None
    absent: bool = False
    key_source: str | None = None
    public_key: str | None = None
    key_problem: str | None = None
    key_absent: bool = False
    unread: tuple[Unobserved, ...] = ()

    @property
    def leaf(self) -> Certificate | None:
        """The certificate itself."""
        return self.chain[0] if self.chain else None

    @classmethod
    def read(cls, host: Host, source: str, key: str | None) -> Self:
        """The certificate in a file, and the key in another."""
        return cls(source).with_file(host, source).with_key(host, key)

    def with_file(self, host: Host, path: str) -> Self:
        """With the certificates in a file."""
        try:
            text = host.read(path)
        except HostError as error:
            if error.reason != "NotFound":
                return replace(self, unread=(*self.unread, Unobserved(error.reason, error.message)))
            return replace(self, absent=True, problem=_absent(host, path))
        return self.with_text(text)

    def with_text(self, text: str) -> Self:
        """With the certificates in a text."""
        try:
            return replace(self, chain=certificates(text))
        except BadCertificateError as error:
            return replace(self, problem=str(error))

    def with_key(self, host: Host, path: str | None, *, user: str | None = None) -> Self:
        """With what may be told of a key: in a file, or of a user of the kubeconfig `path`."""
        if path is None:
            return self
        source = path if user is None else f"client-key-data of {path}"
        try:
            answer = host.public_key(path, user=user)
        except HostError as error:
            if error.reason != "NotFound":
                return replace(self, key_source=source, unread=(*self.unread, Unobserved(error.reason, error.message)))
            return replace(self, key_source=source, key_absent=True, key_problem=_absent(host, path))
        return replace(self, key_source=source, public_key=answer["public_key"], key_problem=answer["problem"])


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds a private key or a token, and who may read it."""

    path: str
    mode: int
    gid: int


@dataclass(frozen=True)
class Credential:
    """How the user of one kubeconfig proves who he is.

    `pair` is None without a client certificate. `token_source` names a token, and `token_end` when it ends (None: it does not say). `plugin` is the
    program that is asked for credentials, `plugin_absent` true where it lies in no usual folder. `others` names further ways, such as a password.
    `secrets` are the files that hold what nobody else may read.
    """

    kubeconfig: Kubeconfig
    pair: Pair | None = None
    token_source: str | None = None
    token_end: float | None = None
    plugin: str | None = None
    plugin_absent: bool = False
    others: tuple[str, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    unread: tuple[Unobserved, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is no credential at all."""
        return not (self.pair or self.token_source or self.plugin or self.others)


@dataclass(frozen=True)
class Credentials:
    """The credentials of every kubeconfig that names a user.

    `rotated` is what the kubelet itself keeps in its folder of certificates, where its kubeconfig names something else; None where there is no such file.
    """

    all: tuple[Credential, ...]
    rotated: Pair | None = None

    @classmethod
    def observe(cls, host: Host, kubeconfigs: Kubeconfigs, kubelet: Kubelet | Unobserved) -> Self:
        """Read what the kubeconfigs name. Raises nothing: what could not be looked at is told."""
        found = tuple(_credential(host, file) for file in kubeconfigs.files if file.server is not None)
        flags = kubelet.flags if isinstance(kubelet, Kubelet) else {}
        current = f"{flags.get('--cert-dir', CERTIFICATES).rstrip('/')}/{ROTATED}"
        named = {each.pair.source for each in found if each.pair}
        own = kubeconfigs.at(flags.get("--kubeconfig", KUBELET))
        rotated = Pair.read(host, current, current) if own is not None and current not in named else None
        return cls(found, None if rotated is None or rotated.absent else rotated)


def _credential(host: Host, file: Kubeconfig) -> Credential:
    user, secrets, unread = file.credentials, [], []
    found = Credential(file, _pair(host, file))
    inline = bool(yaml.string(user, "client-key-data") or yaml.string(user, "token") or yaml.string(user, "password"))
    named = [yaml.string(user, "client-key"), yaml.string(user, "tokenFile")]
    for path in dict.fromkeys([file.user_path if inline else None, *(_beside(file, name) for name in named if name)]):
        if path is None:
            continue
        try:
            seen = host.stat(path)
        except HostError as error:
            if error.reason != "NotFound":  # an absent one is told with its certificate or token
                unread.append(Unobserved(error.reason, error.message))
            continue
        secrets.append(SecretFile(path, seen["mode"], seen["gid"]))
    others = tuple(name for name in ("username", "auth-provider") if user.get(name))
    found = replace(found, secrets=tuple(secrets), others=others, unread=tuple(unread))
    return _with_plugin(host, _with_token(host, found))


def _pair(host: Host, file: Kubeconfig) -> Pair | None:
    """The client's certificate with its key; what stands in the file itself wins over a path, as in client-go."""
    user = file.credentials
    data, path = yaml.string(user, "client-certificate-data"), yaml.string(user, "client-certificate")
    if data:
        pair = Pair(f"client-certificate-data of {file.user_path}")
        try:
            pair = pair.with_text(inline(data))
        except ValueError:
            pair = replace(pair, problem="it is not base64")
    elif path:
        pair = Pair(_beside(file, path)).with_file(host, _beside(file, path))
    else:
        return None
    if yaml.string(user, "client-key-data"):
        return pair.with_key(host, file.user_path, user=file.user)
    key = yaml.string(user, "client-key")
    if key:
        return pair.with_key(host, _beside(file, key))
    return replace(pair, key_absent=True, key_problem="it names none")


def _with_token(host: Host, found: Credential) -> Credential:
    """With when its token ends; a file wins over the token beside it (client-go rest.Config.BearerTokenFile)."""
    file, user = found.kubeconfig, found.kubeconfig.credentials
    named, inline = yaml.string(user, "tokenFile"), yaml.string(user, "token")
    if not (named or inline):
        return found
    path = _beside(file, named) if named else file.user_path
    source = path if named else f"token of {path}"
    try:
        end = host.token_end(path) if named else host.token_end(path, user=file.user)
    except HostError as error:
        return replace(found, token_source=source, unread=(*found.unread, Unobserved(error.reason, error.message)))
    return replace(found, token_source=source, token_end=end)


def _with_plugin(host: Host, found: Credential) -> Credential:
    """With the program of client-go's exec plugin: a path is relative to the kubeconfig, a bare name is looked for in PATH.

    A person's PATH is not known, so a bare name is then taken to be there.
    """
    command = yaml.string(found.kubeconfig.credentials, "exec", "command")
    if not command:
        return found
    if found.kubeconfig.personal and "/" not in command:
        return replace(found, plugin=command)
    in_path = [f"{folder}/{command}" for folder in _PROGRAMS]
    places = [_beside(found.kubeconfig, command)] if "/" in command else in_path
    try:
        absent = not any(host.exists(place) for place in places)
    except HostError as error:
        return replace(found, plugin=command, unread=(*found.unread, Unobserved(error.reason, error.message)))
    return replace(found, plugin=command, plugin_absent=absent)


def _beside(file: Kubeconfig, path: str) -> str:
    """A path of a kubeconfig is relative to the folder of the file that names it."""
    return path if path.startswith("/") else f"{file.user_path.rpartition('/')[0]}/{path}"


def _absent(host: Host, path: str) -> str:
    """That a file does not exist, and where a link to it leads."""
    try:
        return f"it is a link to {host.readlink(path)}, which does not exist"
    except HostError:
        return "it does not exist"
