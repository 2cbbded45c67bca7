"""The verbs of a host.

Every verb goes through one method, `ask(verb, arguments)`, so that a recorder wraps a host in a few lines and a recording
answers exactly what a live host would. The typed methods below are the only callers of `ask`; facts use these.

A verb either answers or raises `HostError`. What a *peer* does (silence, a refusal, a wrong certificate) is an answer, for
it is an observation; an error means that we could not look.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from k8sdoctor.host.answers import (
        Clock,
        CommandResult,
        DirEntry,
        DnsOutcome,
        DnsQuery,
        DnsWatchAnswer,
        FileStat,
        Given,
        HttpAnswer,
        HttpRequest,
        Identity,
        KeyAnswer,
        ListeningSocket,
        Netlink,
        Process,
        ResolveAnswer,
        Space,
        TlsAnswer,
        UploadAnswer,
        UploadRequest,
        User,
    )

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

READ_LIMIT = 4 * 1024 * 1024
"""Bytes of a file that we are willing to hold; a configuration is far smaller, and a bigger file is `Unreadable`."""


TAIL = 256 * 1024
"""Bytes of a log's end that are read: some thousand lines."""


DEFAULT_TOKEN = "REDACTED-DEFAULT-TOKEN"  # noqa: S105 -- a placeholder
"""What stands for the one bootstrap token that is no secret in itself, so that a check may tell it from others."""


LINES_LIMIT = 10_000
"""Lines of a file that we are willing to hold, of those that were asked for."""


class HostError(Exception):
    """We could not look. `reason` is one of the public reasons below; the text says what would let us look; `traits` as of a finding."""

    REASONS = frozenset(
        {
            *(
                "NotFound",
                "NotPermitted",
                "Unreadable",
                "NotRecorded",
                "Offline",
                "DeadlineExceeded",
                "RuntimeUnreachable",
            ),
            "CheckBroke",  # by a fact that passes on why another is not there
        }
    )

    def __init__(self, reason: str, message: str, traits: frozenset[str] = frozenset()) -> None:
        """Raise ValueError for a reason that is not public."""
        if reason not in self.REASONS:
            msg = f"{reason!r} is no reason of a host; those are {sorted(self.REASONS)}"
            raise ValueError(msg)
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.traits = traits


class UnansweredError(BaseException):
    """A recorded run was over before this question had its answer, so whoever asks it again ends as he did then: late.

    No HostError and no Exception, since on the node there was nothing to go on with: who asked was still waiting.
    """


Listener: TypeAlias = "Callable[[str, int, int], None]"
"""What is told of a long look: what is looked at, how many are done, and of how many."""


class Host(ABC):
    """One machine, or a recording of one."""

    source: Literal["live", "bundle"] = "live"
    anonymized = False  # whether names, addresses and IDs are stand-ins

    def __init__(self) -> None:
        """Start with nobody contacted."""
        self.listener: Listener | None = None
        self.stopping = threading.Event()
        """Set when somebody wants the run to end: a look that lasts ends with what it has."""
        self._contacted: set[str] = set()
        self._contacted_lock = threading.Lock()

    @abstractmethod
    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer a verb, or raise HostError."""

    @property
    def contacted(self) -> list[str]:
        """Every peer that was sent something, as `scheme://address:port`, sorted."""
        with self._contacted_lock:
            return sorted(self._contacted)

    def advanced(self, what: str, done: int, of: int) -> None:
        """Tell whoever runs a long look how far it has come. Asks nothing, and is in no recording."""
        if self.listener is not None:
            self.listener(what, done, of)

    def settled(self) -> None:  # noqa: B027 -- most hosts have nothing to do
        """Take note that the run is over: what is answered from now on comes too late to be judged."""

    def _note(self, peer: str) -> None:
        with self._contacted_lock:
            self._contacted.add(peer)

    # -- the machine itself ------------------------------------------------------------------------------------------

    def given(self) -> Given:
        """What the user said on the command line."""
        return cast("Given", self.ask("given", {}))

    def identity(self) -> Identity:
        """Host name, kernel release, machine, and the effective user id of the one who looks."""
        return cast("Identity", self.ask("identity", {}))

    def now(self) -> float:
        """Seconds since the epoch by the node's clock."""
        return cast("float", self.ask("now", {}))

    def user(self) -> User:
        """Who runs the doctor, and which kubeconfigs his environment names."""
        return cast("User", self.ask("user", {}))

    # -- files -------------------------------------------------------------------------------------------------------

    def read(self, path: str, *, netns: str | None = None) -> str:
        """The text of a regular file, decoded as UTF-8 with U+FFFD for what is not.

        `path` is absolute and seen inside the root. `netns` is a path to a network namespace that the reader enters first, for
        `/proc/sys/net`, which is always the reader's own. Secrets come as placeholders. Raises NotFound, NotPermitted,
        Unreadable (not a regular file, longer than READ_LIMIT, an I/O error).
        """
        return cast("str", self.ask("read", _args(path=path, netns=netns)))

    def lines(self, path: str, keep: Sequence[str], *, attempt: int = 0) -> list[str]:
        """The lines of a file of any length that hold one of the texts in `keep`, at most LINES_LIMIT of them.

        For tables of the kernel, which have a line for each connection. What a file `*.gz` holds is looked through unpacked. `attempt` tells equal questions apart, since counters move.
        Raises NotFound, NotPermitted, Unreadable.
        """
        return cast("list[str]", self.ask("lines", _args(path=path, keep=list(keep), attempt=attempt)))

    def tail(self, path: str, size: int = TAIL) -> str:
        """The last whole lines of a regular file of any length, such as a log: `size` bytes of it at most.

        Decoded and hidden as by `read`. Raises NotFound, NotPermitted, Unreadable.
        """
        return cast("str", self.ask("tail", _args(path=path, size=size)))

    def listdir(self, path: str) -> list[DirEntry]:
        """The names in a folder, sorted bytewise. Raises NotFound, NotPermitted, Unreadable (not a folder, or one of too many names)."""
        return cast("list[DirEntry]", self.ask("listdir", _args(path=path)))

    def stat(self, path: str) -> FileStat:
        """What a path leads to. Raises NotFound, NotPermitted, Unreadable (a loop of links)."""
        return cast("FileStat", self.ask("stat", _args(path=path)))

    def readlink(self, path: str) -> str:
        """The text of a symbolic link, also of `/proc/<pid>/ns/net`. Raises NotFound, NotPermitted, Unreadable."""
        return cast("str", self.ask("readlink", _args(path=path)))

    def exists(self, path: str) -> bool:
        """Whether something is there. Raises NotPermitted, Unreadable: not being allowed to look is no answer."""
        try:
            self.stat(path)
        except HostError as error:
            if error.reason == "NotFound":
                return False
            raise
        return True

    def read_optional(self, path: str, *, netns: str | None = None) -> str | None:
        """The text of a file, or None when there is none. Raises NotPermitted, Unreadable."""
        try:
            return self.read(path, netns=netns)
        except HostError as error:
            if error.reason == "NotFound":
                return None
            raise

    def listdir_optional(self, path: str) -> list[DirEntry]:
        """The names in a folder; none when there is no folder. Raises NotPermitted, Unreadable."""
        try:
            return self.listdir(path)
        except HostError as error:
            if error.reason == "NotFound":
                return []
            raise

    def public_key(self, path: str, *, user: str | None = None) -> KeyAnswer:
        """Whose private key a file holds (its first one); with `user`, the `client-key-data` of that user of a kubeconfig.

        The key itself never leaves the host. Raises NotFound, NotPermitted, Unreadable.
        """
        return cast("KeyAnswer", self.ask("public_key", _args(path=path, user=user)))

    def token_end(self, path: str, *, user: str | None = None) -> float | None:
        """When the token in a file ends, seconds since the epoch; with `user`, the `token` of that user of a kubeconfig.

        None for a token that does not say. Raises NotFound, NotPermitted, Unreadable.
        """
        return cast("float | None", self.ask("token_end", _args(path=path, user=user)))

    def space(self, path: str) -> Space:
        """The room on the file system that a path is on, and what kind it is.

        Raises NotFound, NotPermitted, Unreadable, DeadlineExceeded (a network file system whose server is silent).
        """
        return cast("Space", self.ask("space", _args(path=path)))

    def sync_times(self, folder: str) -> list[float]:
        """Seconds that each of some hundred small writes took until it was on the disk of a folder; for two seconds at most.

        Records of 2 KiB are appended and synced (fdatasync) as etcd's log does, to a file that has no name (O_TMPFILE), so that nothing is left
        whatever happens. It loads the disk, so it is answered under `--intrusive` alone. Raises NotFound, NotPermitted (not `--intrusive`),
        Unreadable (no room, or a file system without such files), DeadlineExceeded.
        """
        return cast("list[float]", self.ask("sync_times", _args(folder=folder)))

    # -- processes, kernel -------------------------------------------------------------------------------------------

    def run(self, *argv: str, keep: Sequence[str] = (), attempt: int = 0) -> CommandResult:
        """Run a read-only command of the node, in its network namespace, with a plain environment.

        With `keep`, only lines of its output are kept that hold one of these texts, for what may print millions. `attempt` tells equal
        questions apart, since counters move. Raises NotFound, NotPermitted, DeadlineExceeded.
        """
        arguments: dict[str, Json] = {"argv": list(argv), **({"keep": list(keep)} if keep else {})}
        if attempt:
            arguments["attempt"] = attempt
        return cast("CommandResult", self.ask("run", arguments))

    def clock(self) -> Clock:
        """What the kernel holds of its clock; nothing is changed. Raises NotPermitted (some containers), Unreadable."""
        return cast("Clock", self.ask("clock", {}))

    def processes(self) -> list[Process]:
        """The node's processes by pid. Raises Unreadable without /proc."""
        return cast("list[Process]", self.ask("processes", {}))

    def listeners(self, ports: list[int]) -> list[ListeningSocket]:
        """Who listens on these ports in the node's network namespace, sorted. Raises NotPermitted, Unreadable without /proc."""
        return cast("list[ListeningSocket]", self.ask("listeners", _args(ports=cast("Json", sorted(set(ports))))))

    def netlink(self, what: Literal["links", "addresses", "routes"], *, netns: str | None = None) -> list[Netlink]:
        """A dump by netlink, of the node's network namespace or of the one that `netns` (a path) names."""
        return cast("list[Netlink]", self.ask("netlink", _args(what=what, netns=netns)))

    # -- peers -------------------------------------------------------------------------------------------------------

    def resolve(self, name: str) -> ResolveAnswer:
        """What the node's own resolver makes of a name. Raises Offline."""
        self._note(f"resolver://{name}")
        return cast("ResolveAnswer", self.ask("resolve", _args(name=name)))

    def dns(self, queries: list[DnsQuery], *, netns: str | None = None) -> list[DnsOutcome]:
        """Ask all queries side by side from one namespace, and keep every reply of the next 3 s. Raises Offline, NotPermitted.

        UDP uses an unconnected socket per query (or per `group`), so that a reply from elsewhere is seen; listening ends 0.2 s after the asked
        address answered (each of a group). Outcomes come in the order of the queries.
        """
        for query in queries:
            self._note(f"{query['transport']}://{authority(query['server'], query['port'])}")
        return cast("list[DnsOutcome]", self.ask("dns", _args(queries=cast("Json", queries), netns=netns)))

    def watch_dns(
        self, queries: list[DnsQuery], *, seconds: float, every: float, netns: str | None = None
    ) -> DnsWatchAnswer:
        """Ask each query every so many seconds for a while, and keep sums. Ends early when `stopping` is set. Raises Offline, NotPermitted."""
        for query in queries:
            self._note(f"{query['transport']}://{authority(query['server'], query['port'])}")
        arguments = _args(queries=cast("Json", queries), seconds=seconds, every=every, netns=netns)
        return cast("DnsWatchAnswer", self.ask("watch_dns", arguments))

    def tls(self, address: str, port: int, *, server_name: str | None = None, attempt: int = 0) -> TlsAnswer:
        """Say hello to `address` (a name or an IP) and keep the certificates served, unverified. Raises Offline.

        `server_name` is sent as SNI (never an IP, as the standard wants). `attempt` tells equal hellos apart.
        """
        self._note(f"tls://{authority(address, port)}")
        return cast(
            "TlsAnswer", self.ask("tls", _args(address=address, port=port, server_name=server_name, attempt=attempt))
        )

    def http(self, request: HttpRequest) -> HttpAnswer:
        """One HTTP exchange. Raises Offline."""
        self._note(_origin(request["url"]))
        if request["proxy"]:
            self._note(_origin(request["proxy"]))
        return cast("HttpAnswer", self.ask("http", cast("dict[str, Json]", dict(request))))

    def upload(self, request: UploadRequest) -> UploadAnswer:
        """Ask a registry to take an upload from nobody in particular, and cancel it at once.

        `POST <base_url>/<repository>/blobs/uploads/` without a body and without any credentials; if the answer is 202, `DELETE` of
        the path that it names, on the same registry. The one verb that may change anything at a peer, so it is answered
        under `--intrusive` alone. Raises Offline, NotPermitted (not `--intrusive`).
        """
        self._note(_origin(request["base_url"]))
        if request["proxy"]:
            self._note(_origin(request["proxy"]))
        return cast("UploadAnswer", self.ask("upload", cast("dict[str, Json]", dict(request))))

    def cri(self, endpoint: str, method: str, request: dict[str, Json] | None = None) -> dict[str, Json]:
        """Call a read-only method of the container runtime, such as `RuntimeService/Status`, over its socket.

        `endpoint` is `unix:///path` or a path. Keys of the answer are the interface's own field names (snake case). Raises
        NotFound (no socket), NotPermitted, RuntimeUnreachable (nobody answers, or CRI is not served).
        """
        answer = self.ask("cri", _args(endpoint=endpoint, method=method, request=request or {}))
        return cast("dict[str, Json]", answer)

    def kube(self, path: str, *, kubeconfig: str) -> dict[str, Json]:
        """GET a path of the API server by a kubeconfig of the node. Raises Offline, NotFound, NotPermitted, Unreadable."""
        return cast("dict[str, Json]", self.ask("kube", _args(path=path, kubeconfig=kubeconfig)))


def authority(address: str, port: int) -> str:
    """`address:port`, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _origin(url: str) -> str:
    """`scheme://host:port` of a URL, without credentials or path."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"


def _args(**arguments: Json) -> dict[str, Json]:
    return arguments
