"""The etcd of this node: the flags of its static pod, or of its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.processes import Processes, flag, of_the_node
from k8sdoctor.facts.static_pods import StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

DEFAULT_QUOTA = 2 * 1024**3
"""Bytes that a database may have where `--quota-backend-bytes` is 0 or not there (etcd `server/storage/quota.go`, DefaultQuotaBytes)."""


@dataclass(frozen=True)
class EtcdServer:
    """The etcd that runs (or shall run) on this node.

    `source` is the manifest, or the process; None where there is none. `problem` is why nothing is known of a manifest that is there.
    """

    source: str | None = None
    words: tuple[str, ...] = ()
    problem: Unobserved | None = None

    def flag(self, name: str) -> str | None:
        """The value of a flag of its command line."""
        return flag(self.words, name)

    def urls(self, name: str) -> tuple[str, ...]:
        """The URLs of a flag that lists some, such as `--listen-client-urls`."""
        return tuple(each.strip() for each in (self.flag(name) or "").split(",") if each.strip())

    @property
    def initial_peers(self) -> tuple[tuple[str, str], ...]:
        """Names and peer URLs of the members that it knew when it was made, `--initial-cluster`."""
        pairs = (each.partition("=") for each in self.urls("--initial-cluster"))
        return tuple((name, url) for name, sign, url in pairs if sign)

    @property
    def by_flags(self) -> bool:
        """Whether its flags tell all; a file or its environment may set what they do not."""
        return self.flag("--listen-client-urls") is not None and self.flag("--config-file") is None

    @property
    def quota(self) -> int | None:
        """Bytes that its database may have by its flags; None without a limit (a negative flag)."""
        value = self.flag("--quota-backend-bytes") or "0"
        try:
            number = int(value)
        except ValueError:
            return DEFAULT_QUOTA
        return None if number < 0 else number or DEFAULT_QUOTA

    @classmethod
    def observe(
        cls,
        host: Host,
        pods: StaticPods | Unobserved,
        processes: Processes | Unobserved,
    ) -> Self:
        """Look for its manifest among the static pods; without one, look at the processes. Never raises."""
        if isinstance(pods, StaticPods):
            if pods.problem is not None:
                return cls(f"{pods.folder}/etcd.yaml", problem=pods.problem)
            manifest = pods.find("etcd")
            if manifest is not None:
                container = manifest.container("etcd")
                if container is not None and container.words:
                    return cls(manifest.path, container.words)
                problem = manifest.problem or f"{manifest.path}: names no container with a command"
                return cls(manifest.path, problem=Unobserved(manifest.reason or "Unreadable", problem))
        running = of_the_node(host, processes.named("etcd")) if isinstance(processes, Processes) else ()
        if not running:
            return cls()
        return cls(f"command line of etcd, pid {running[0]['pid']}", tuple(running[0]["cmdline"]))
