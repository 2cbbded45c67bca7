"""The machine that we run on, or the one whose root file system is mounted at `root`."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host import netns
from k8sdoctor.host.base import Given, Host, HostError, Identity, Json
from k8sdoctor.host.files import Files
from k8sdoctor.host.secrets import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

PROBE_LIMIT = 5.0
"""Seconds that one probe may take."""

NOTHING_GIVEN = Given(config=None, kubeconfig=None, endpoints=[])

_SENDS = {
    "resolve": "name lookups",
    "dns": "DNS queries",
    "tls": "TLS greetings",
    "http": "HTTP requests",
    "kube": "requests to the API server",
}
"""The verbs that send something to a peer, and what they send; `--offline` switches them off."""


class LiveHost(Host):
    """Answers by looking. Changes nothing."""

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
        self._given = given
        self._own: dict[str, Callable[..., Any]] = {
            "given": lambda: self._hidden(cast("Json", self._given)),
            "identity": self._identity,
            "now": time.time,
            "read": self._read,
            "listdir": self.files.listdir,
            "stat": self.files.stat,
            "readlink": self.files.readlink,
        }

    @property
    def namespace(self) -> str | None:
        """Path of the node's network namespace when it is not our own."""
        return f"{self.root}/proc/1/ns/net" if self.root else None

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer a verb by looking."""
        if self.offline and verb in _SENDS:
            raise HostError("Offline", f"--offline forbids {_SENDS[verb]}")
        own = self._own.get(verb)
        if own is not None:
            return cast("Json", own(**arguments))
        # One module a verb, imported when first asked: netlink, DNS, TLS, gRPC and HTTP each cost a heavy library.
        module = import_module(f"k8sdoctor.host.{_MODULES[verb]}")
        return cast("Json", module.answer(self, verb, arguments))

    def bounded(
        self, function: Callable[[], Any], what: str, *, namespace: str | None = None, limit: float | None = None
    ) -> Any:
        """Run a probe in the node's network namespace (or another), for `limit` seconds at most (default: the probe limit)."""
        inside = self.files.real(namespace) if namespace is not None else self.namespace
        return netns.call(function, namespace=inside, limit=limit or self.probe_limit, what=what)

    def _hidden(self, value: Json) -> Json:
        """The value with every secret in its texts replaced."""
        if isinstance(value, str):
            return self.vault.hide(value)
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, dict):
            return {key: self._hidden(item) for key, item in value.items()}
        return value

    def _identity(self) -> Identity:
        name = os.uname()
        hostname = name.nodename
        if self.root:  # a container has a name of its own
            with suppress(HostError):
                hostname = self.files.read("/etc/hostname").strip() or hostname
        return Identity(hostname=hostname, kernel=name.release, machine=name.machine, euid=os.geteuid())

    def _read(self, path: str, netns: str | None) -> str:
        if netns is None and (self.namespace is None or not path.startswith(("/proc/sys/net/", "/proc/net/"))):
            text = self.files.read(path)
        else:
            text = self.bounded(lambda: self.files.read(path), f"reading {path}", namespace=netns)
        return self.vault.hide(text)


_MODULES = {
    "run": "processes",
    "processes": "processes",
    "netlink": "netlink",
    "resolve": "resolver",
    "dns": "dns",
    "tls": "tls",
    "http": "http",
    "cri": "cri",
    "kube": "kube",
}
"""The module below `k8sdoctor.host` that answers a verb by its `answer(host, verb, arguments)`."""
