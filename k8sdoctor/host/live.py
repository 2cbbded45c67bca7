"""The machine that we run on, or the one whose root file system is mounted at `root`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host import cri, netns, own_limits
from k8sdoctor.host.answers import Given, Identity, User
from k8sdoctor.host.base import Host, HostError, Json
from k8sdoctor.host.files import Files
from k8sdoctor.host.secrets import Vault
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

PROBE_LIMIT = 5.0
"""Seconds that one probe may take."""

NOTHING_GIVEN = Given(config=None, kubeconfig=None, endpoints=[])

_SENDS = {
    "resolve": "name lookups",
    "dns": "DNS queries",
    "watch_dns": "DNS queries",
    "tls": "TLS greetings",
    "http": "HTTP requests",
    "upload": "HTTP requests",
    "kube": "requests to the API server",
}
"""The verbs that send something to a peer, and what they send; `--offline` switches them off."""


_INTRUDES = {
    "upload": "beginning an upload changes something at the registry",
    "sync_times": "writing to etcd's disk slows down whoever else writes there",
}
"""The verbs that are answered under `--intrusive` alone, and why."""

_LASTING = frozenset({"given", "identity", "user", "now"})
"""The verbs that are answered when the run is over, too: the report names who looked at what, and when."""


class LiveHost(Host):
    """Answers by looking. Changes nothing, but for the upload that a registry is asked to begin, and the disk that is written to, when `--intrusive` was given."""

    def __init__(
        self,
        root: str = "/",
        *,
        given: Given = NOTHING_GIVEN,
        offline: bool = False,
        probe_limit: float = PROBE_LIMIT,
    ) -> None:
        """Keep what is asked for; nothing is touched yet."""
        super().__init__()
        self.root = root.rstrip("/")
        self.files = Files(root)
        self.vault = Vault()
        self.offline = offline
        self.probe_limit = probe_limit
        self.kube_answers: dict[tuple[str, str], Future[Json]] = {}
        self.runtimes = cri.Connections()
        self._given = given
        self._over = False
        self._own: dict[str, Callable[..., Any]] = {
            "given": self._told,
            "identity": self._identity,
            "user": self._user,
            "now": time.time,
            "read": self._read,
            "lines": self._lines,
            "tail": lambda path, size: self.vault.hide(self.files.tail(path, size), prose=True),
            "listdir": self.files.listdir,
            "stat": self.files.stat,
            "readlink": self.files.readlink,
        }

    @property
    def namespace(self) -> str | None:
        """Path of the node's network namespace when it is not our own."""
        return f"{self.root}/proc/1/ns/net" if self.root else None

    def settled(self) -> None:
        """Answer no more: a fact that is late would go on looking, at two thousand pods say, while the report is written."""
        self._over = True

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer a verb by looking."""
        if self._over and verb not in _LASTING:
            raise HostError("DeadlineExceeded", "the run is over")
        if self.offline and verb in _SENDS:
            raise HostError("Offline", f"--offline forbids {_SENDS[verb]}")
        if verb in _INTRUDES and not self._given.get("intrusive"):
            raise HostError("NotPermitted", f"{_INTRUDES[verb]}; --intrusive allows it")
        try:
            own = self._own.get(verb)
            if own is not None:
                return cast("Json", own(**arguments))
            # One module a verb, imported when first asked: netlink, DNS, TLS, gRPC and HTTP each cost a heavy library.
            module = import_module(f"k8sdoctor.host.{_MODULES[verb]}")
            return cast("Json", module.answer(self, verb, arguments))
        except (OSError, ImportError, MemoryError, RuntimeError) as error:
            own_limits.hold(error)
            raise

    def bounded(
        self, function: Callable[[], Any], what: str, *, namespace: str | None = None, limit: float | None = None
    ) -> Any:
        """Run a probe in the node's network namespace (or another), for `limit` seconds at most (default: the probe limit)."""
        inside = self.files.real(namespace) if namespace is not None else self.namespace
        return netns.call(function, namespace=inside, limit=limit or self.probe_limit, what=what)

    def _told(self) -> Json:
        told = cast("dict[str, Json]", self.vault.hide_in(cast("Json", self._given)))
        if "images" in self._given:
            path, text = self._given["images"]["path"], self._given["images"]["text"]
            told["images"] = {"path": path, "text": _but_for_images(text, self.vault.hide(text))}
        return told

    def _identity(self) -> Identity:
        name = os.uname()
        hostname = name.nodename
        if self.root:  # a container has a name of its own
            with suppress(HostError):
                hostname = self.files.read("/etc/hostname").strip() or hostname
        return Identity(hostname=hostname, kernel=name.release, machine=name.machine, euid=os.geteuid())

    def _user(self) -> User:
        if self.root:
            return User(name="root", home=self._home("root") or "/root", kubeconfig=[], sudo_user=None, sudo_home=None)
        name = self._account(lambda fields: fields[2] == str(os.geteuid()))[:1]
        sudo = os.environ.get("SUDO_USER")
        files = [path for path in os.environ.get("KUBECONFIG", "").split(":") if path]
        who = name[0] if name else os.environ.get("USER", str(os.geteuid()))
        return User(
            name=who,
            home=os.environ.get("HOME") or self._home(who) or "/",  # client-go looks at HOME alone (util/homedir)
            kubeconfig=list(dict.fromkeys(os.path.abspath(path) for path in files)),  # noqa: PTH100 -- text
            sudo_user=sudo if sudo != who else None,
            sudo_home=self._home(sudo) if sudo and sudo != who else None,
        )

    def _home(self, name: str) -> str | None:
        found = self._account(lambda fields: fields[0] == name)
        return found[5] if found else None

    def _account(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        """The line of passwd(5) that is wanted, as fields; empty for none. No name service is asked, for it may be a network's."""
        with suppress(HostError):
            for line in self.files.read("/etc/passwd").splitlines():
                fields = line.split(":")
                if len(fields) >= 7 and wanted(fields):  # noqa: PLR2004 -- passwd(5)
                    return fields
        return []

    def _lines(self, path: str, keep: list[str], attempt: int) -> list[str]:
        del attempt  # tells questions apart
        found = self.files.lines(path, keep)
        return self.vault.hide("\n".join(found)).split("\n") if found else []  # at once: a secret may go over lines

    def _read(self, path: str, netns: str | None) -> str:
        if netns is None and (self.namespace is None or not path.startswith(("/proc/sys/net/", "/proc/net/"))):
            text = self.files.read(path)
        else:
            text = self.bounded(lambda: self.files.read(path), f"reading {path}", namespace=netns)
        return self.vault.hide(text)


_IMAGE = regex(r"[a-z0-9.:-]+(?:/[a-z0-9._-]+)+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?\s*")


def _but_for_images(text: str, hidden: str) -> str:
    """A list of images without its secrets. `quay.io/lab/docker_auth:1.5` looks like one and is an image."""
    written, shown = text.splitlines(keepends=True), hidden.splitlines(keepends=True)
    if len(written) != len(shown):
        return hidden
    return "".join(line if _IMAGE.fullmatch(line) else safe for line, safe in zip(written, shown, strict=True))


_MODULES = {
    "run": "processes",
    "processes": "processes",
    "netlink": "netlink",
    "listeners": "listeners",
    "resolve": "resolver",
    "dns": "dns",
    "watch_dns": "dns_watch",
    "tls": "tls",
    "http": "http",
    "upload": "upload",
    "cri": "cri",
    "kube": "kube",
    "public_key": "keys",
    "token_end": "keys",
    "space": "space",
    "clock": "clock",
    "sync_times": "sync_times",
}
"""The module below `k8sdoctor.host` that answers a verb by its `answer(host, verb, arguments)`."""
