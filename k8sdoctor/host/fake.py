"""A machine made of the files and answers that a test names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from k8sdoctor.host.answers import DirEntry, FileStat, Given, Identity, User
from k8sdoctor.host.base import Host, HostError, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Reply: TypeAlias = "Json | HostError | Callable[..., object]"
"""What a verb answers: a value, an error to raise, or a function of the verb's arguments (called by keyword)."""

_NOTHING: dict[str, Json] = {
    "given": cast("Json", Given(config=None, kubeconfig=None, endpoints=[])),
    "identity": cast("Json", Identity(hostname="node1", kernel="6.1.0", machine="x86_64", euid=0)),
    "user": cast("Json", User(name="root", home="/root", kubeconfig=[], sudo_user=None, sudo_home=None)),
    "now": 1_780_000_000.0,  # 2026-05-28
    "processes": [],
    "netlink": [],
}


class FakeHost(Host):
    """Answers from what it was given.

    `FakeHost({"/etc/hostname": "n1"}, denied={"/etc/shadow"}, run=lambda argv: …, cri=HostError("NotFound", "…"))`. A folder exists
    when a file below it does; a path that ends with `/` is an empty folder. A file value may be a `HostError`, raised when it is read.
    A read in another namespace looks for the key `<namespace>:<path>` first, a second look at a counter for `<path>#1`. Verbs that were not given: no
    process, no link, no command, no runtime; a question to a peer raises NotRecorded.
    """

    def __init__(
        self,
        files: Mapping[str, str | HostError] | None = None,
        *,
        denied: Iterable[str] = (),
        modes: Mapping[str, int] | None = None,
        **verbs: Reply,
    ) -> None:
        """Keep the files and answers."""
        super().__init__()
        self._files = dict(files or {})
        self._denied = frozenset(denied)
        self._modes = dict(modes or {})
        self._verbs = verbs

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer from what was given."""
        reply = self._verbs.get(verb, _NOTHING.get(verb))
        if verb in self._verbs or reply is not None:
            return _said(reply, arguments)
        match verb:
            case "read":
                return self._read(cast("str", arguments["path"]), cast("str | None", arguments["netns"]))
            case "lines" | "tail":
                look = self._lines if verb == "lines" else self._tail
                return cast("Json", look(**cast("Any", arguments)))
            case "listdir":
                return cast("Json", self._listdir(cast("str", arguments["path"])))
            case "stat":
                return cast("Json", self._stat(cast("str", arguments["path"])))
            case "public_key" | "token_end":
                return self._told(verb, cast("str", arguments["path"]), cast("str | None", arguments["user"]))
            case "run":
                raise HostError("NotFound", f"the command {cast('list[str]', arguments['argv'])[0]} is not installed")
            case "cri":
                raise HostError("NotFound", f"{arguments['endpoint']} does not exist")
            case "readlink" | "kube":
                raise HostError("NotFound", f"{arguments['path']} does not exist")
            case _:
                raise HostError("NotRecorded", f"this FakeHost was not told what {verb} answers")

    def _refuse_denied(self, path: str) -> None:
        if path in self._denied:
            raise HostError("NotPermitted", f"Permission denied: {path}; run as root to look")

    def _read(self, path: str, namespace: str | None) -> str:
        self._refuse_denied(path)
        content = self._files.get(f"{namespace}:{path}", self._files.get(path))
        if content is None:
            if self._is_folder(path):
                raise HostError("Unreadable", f"{path} is a dir, not a regular file")
            raise HostError("NotFound", f"{path} does not exist")
        if isinstance(content, HostError):
            raise content
        return content

    def _told(self, verb: str, path: str, user: str | None) -> Json:
        from k8sdoctor.host import keys

        return keys.told(verb, path, user, lambda file: self._read(file, None))

    def _lines(self, path: str, keep: list[str], attempt: int) -> list[str]:
        later = f"{path}#{attempt}"
        text = self._read(later if later in self._files else path, None)
        return [line for line in text.splitlines() if any(each in line for each in keep)]

    def _tail(self, path: str, size: int) -> str:
        data = self._read(path, None).encode()
        return (data[-size - 1 :].partition(b"\n")[2] if len(data) > size else data).decode()

    def _is_folder(self, path: str) -> bool:
        return any(name.startswith(path.rstrip("/") + "/") for name in self._files)

    def _listdir(self, path: str) -> list[DirEntry]:
        self._refuse_denied(path)
        if not self._is_folder(path):
            if path in self._files:
                raise HostError("Unreadable", f"{path} is not a folder")
            raise HostError("NotFound", f"{path} does not exist")
        prefix = path.rstrip("/") + "/"
        kinds: dict[str, str] = {}
        for name in self._files:
            if name.startswith(prefix) and name != prefix:
                first, slash, _ = name.removeprefix(prefix).partition("/")
                kinds[first] = "dir" if slash else kinds.get(first, "file")
        return [cast("DirEntry", {"name": name, "kind": kinds[name]}) for name in sorted(kinds, key=str.encode)]

    def _stat(self, path: str) -> FileStat:
        self._refuse_denied(path)
        content = self._files.get(path)
        folder = content is None and self._is_folder(path)
        if content is None and not folder:
            raise HostError("NotFound", f"{path} does not exist")
        return FileStat(
            kind="dir" if folder else "file",
            size=len(content) if isinstance(content, str) else 0,
            mode=self._modes.get(path, 0o755),
            uid=0,
            gid=0,
            mtime=0.0,
            inode=1,
            path=path.rstrip("/"),
        )


def _said(reply: Reply, arguments: dict[str, Json]) -> Json:
    if callable(reply):
        reply = cast("Json | HostError", reply(**arguments))
    if isinstance(reply, HostError):
        raise reply
    return reply
