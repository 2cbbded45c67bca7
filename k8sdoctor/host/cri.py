"""Asking the container runtime over its own socket (CRI, which is gRPC)."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import struct
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, cast

from k8sdoctor.host import own_limits, workers
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost

READ_ONLY = frozenset(
    {
        "RuntimeService/Version",
        "RuntimeService/Status",
        "RuntimeService/ListPodSandbox",
        "RuntimeService/PodSandboxStatus",
        "RuntimeService/ListContainers",
        "RuntimeService/ContainerStatus",
        "ImageService/ListImages",
        "ImageService/ImageStatus",
    }
)
"""All that a host ever calls; the interface's other methods change the node."""

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer; kubelet allows the same (kubernetes `cri-client/pkg/remote_runtime.go`)."""

_SUN_PATH = 107  # bytes of a socket's path that the kernel takes (linux/un.h, less the final zero)

# Beside what we look for, a sandbox's verbose status holds the pod's whole specification with its environment: not ours
# to carry around, and ten times the size.
_SANDBOX_INFO = ("pid", "processStatus", "netNamespaceClosed", "cniResult")


class CallError(Exception):
    """A runtime answered a call with an error. `code` is gRPC's name for it, such as `UNIMPLEMENTED`."""

    def __init__(self, code: str, details: str) -> None:
        """Keep gRPC's code and the runtime's words."""
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `cri`."""
    assert verb == "cri"  # noqa: S101 -- the only verb that leads here
    method = cast("str", arguments["method"])
    if method not in READ_ONLY:
        msg = f"{method} is not among the methods that only read: {sorted(READ_ONLY)}"
        raise ValueError(msg)
    endpoint = cast("str", arguments["endpoint"])
    path = host.files.real(path_of(endpoint))
    if not host.runtimes.has(path):
        _knock(path, endpoint, host.probe_limit)
    own_limits.hold_room()
    request = cast("dict[str, Json]", arguments["request"])
    try:
        reply = _call_either_version(host.runtimes.to(path), method, request, host.probe_limit)
    except CallError as error:
        if error.code == "UNAVAILABLE":
            host.runtimes.forget(path)
            _knock(path, endpoint, host.probe_limit)  # it may have ended since it was asked last
        raise _not_served(error, endpoint, host) from None
    try:
        if method == "RuntimeService/PodSandboxStatus":
            info = _what_is_ours(cast("dict[str, str]", reply.pop("info")))
            told: dict[str, Json] = {} if info is None else {"info": host.vault.hide(_text(host, info))}
            return {**_hidden(host, reply), "info": told}
        return _hidden(host, reply)
    except RecursionError:
        raise HostError("RuntimeUnreachable", f"{endpoint} answers with JSON that is nested too deeply") from None


def path_of(endpoint: str) -> str:
    """The path of a `unix:///path` endpoint, or of one that is a path already.

    Raises HostError for any other: TCP is allowed by kubelet on Windows alone.
    """
    path = endpoint.removeprefix("unix://")
    if not path.startswith("/"):
        raise HostError("RuntimeUnreachable", f"the runtime endpoint {endpoint!r} is no path of a unix socket")
    return path


class Connection:
    """A way to the socket of a runtime. Opening one costs three times what a question costs, so a host keeps it.

    It ends when nobody holds it any more.
    """

    def __init__(self, path: str) -> None:
        """Prepare it; gRPC connects with the first call."""
        import grpc

        options = [
            ("grpc.default_authority", "localhost"),  # else it is the path, which Go's HTTP/2 server refuses
            ("grpc.max_receive_message_length", MESSAGE_LIMIT),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),  # a new connection shall not inherit how an older one failed
        ]
        way = ExitStack()
        weakref.finalize(self, way.close)
        short = way.enter_context(_Short(path))
        self._channel = way.enter_context(grpc.insecure_channel(f"unix:{short}", options))

    def call(self, method: str, request: dict[str, Json], limit: float, package: str = "runtime.v1") -> dict[str, Json]:
        """Call any method of the interface. Raises CallError."""
        import grpc
        from google.protobuf import json_format, message_factory

        from k8sdoctor.host import cri_pb2

        service, _, name = method.partition("/")
        described = cri_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        message = message_factory.GetMessageClass(described.input_type)(**request)
        ask = self._channel.unary_unary(
            f"/{package}.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(described.output_type).FromString,
        )
        try:
            with workers.waiting():
                reply = ask(message, timeout=limit)
        except grpc.RpcError as error:
            raise CallError(error.code().name, error.details() or "") from None
        return cast(
            "dict[str, Json]",
            json_format.MessageToDict(
                reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            ),
        )


class Connections:
    """One connection for each socket that was asked."""

    def __init__(self) -> None:
        """None yet."""
        _set_up()
        self._open: dict[str, Connection] = {}
        self._lock = threading.Lock()

    def to(self, path: str) -> Connection:
        """The one that there is, or a new one."""
        with self._lock:
            if path not in self._open:
                self._open[path] = Connection(path)
            return self._open[path]

    def has(self, path: str) -> bool:
        """Whether there is one that has not failed."""
        return path in self._open

    def forget(self, path: str) -> None:
        """Connect anew with the next question: gRPC waits longer and longer before it tries again what has failed."""
        with self._lock:
            self._open.pop(path, None)


def call(
    path: str, method: str, request: dict[str, Json], limit: float, package: str = "runtime.v1"
) -> dict[str, Json]:
    """Call any method of the interface at a socket, once. Raises CallError.

    The tests also call what changes a node; the product asks by `answer` alone.
    """
    _set_up()
    return Connection(path).call(method, request, limit, package)


def _set_up() -> None:
    """Set what gRPC reads from the environment when it is imported.

    Not there and then, for other threads look up names meanwhile: no thread may read the environment, as getaddrinfo(3) does, while another
    changes it (setenv(3), "MT-Unsafe const:env").
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC writes to our stderr otherwise
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # our children exec at once


def _call_either_version(runtime: Connection, method: str, request: dict[str, Json], limit: float) -> dict[str, Json]:
    """Call by CRI v1, or by v1alpha2 where nothing else is served: v1 was made of it without changing the wire.

    containerd before 1.6 and CRI-O before 1.20 know only v1alpha2, and kubelet 1.26 dropped it.
    """
    try:
        return runtime.call(method, request, limit)
    except CallError as error:
        if error.code != "UNIMPLEMENTED":
            raise
        try:
            return runtime.call(method, request, limit, package="runtime.v1alpha2")
        except CallError:
            raise error from None


def _knock(path: str, endpoint: str, limit: float) -> None:
    """Open the socket once, since gRPC says the same of an absent, a forbidden and a dead one."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise HostError("RuntimeUnreachable", f"{endpoint} is there, but it is no socket")
        with _Short(path) as short, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # Not `settimeout`: it makes the socket non-blocking, and then a full queue is refused at once (unix(7)).
            seconds = int(limit)
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", seconds, int((limit - seconds) * 1e6))
            )
            with workers.waiting():
                probe.connect(short)
    except FileNotFoundError:
        raise HostError("NotFound", f"{endpoint} does not exist") from None
    except PermissionError:
        raise HostError("NotPermitted", f"Permission denied: {endpoint}; run as root to look") from None
    except ConnectionRefusedError:
        raise HostError(
            "RuntimeUnreachable", f"nobody listens at {endpoint}; is the container runtime running?"
        ) from None
    except BlockingIOError:
        raise HostError("RuntimeUnreachable", f"{endpoint} accepts no connection; the runtime hangs") from None
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            raise HostError("NotFound", f"{endpoint} does not exist") from None
        own_limits.hold(error)
        words = os.strerror(error.errno or 0)
        raise HostError("RuntimeUnreachable", f"{endpoint} cannot be opened: {words}") from None


def _not_served(error: CallError, endpoint: str, host: LiveHost) -> HostError:
    details = host.vault.hide(error.details)
    match error.code:
        case "UNIMPLEMENTED":
            why = (
                f"{endpoint} answers but serves no CRI ({details}); containerd does so when its cri plugin is in "
                "`disabled_plugins` or failed to load"
            )
        case "DEADLINE_EXCEEDED":
            why = f"{endpoint} accepts connections and did not answer within {host.probe_limit:g} s"
        case "NOT_FOUND":
            return HostError("NotFound", f"{endpoint} says: {details}")
        case "PERMISSION_DENIED" | "UNAUTHENTICATED":
            return HostError("NotPermitted", f"{endpoint} refuses: {details}")
        case code:
            why = f"{endpoint} gave no answer that could be used ({code}: {details})"
    return HostError("RuntimeUnreachable", why)


def _what_is_ours(info: dict[str, str]) -> dict[str, Json] | None:
    """What a sandbox's verbose status says of its process and its network; None where it has another runtime's own form."""
    try:
        whole = json.loads(info.get("info", "{}"))
        kept = {key: whole[key] for key in _SANDBOX_INFO if key in whole}
        namespaces = ((whole.get("runtimeSpec") or {}).get("linux") or {}).get("namespaces")
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    if namespaces is not None:
        kept["runtimeSpec"] = {"linux": {"namespaces": namespaces}}
    return kept


def _hidden(host: LiveHost, value: dict[str, Json]) -> dict[str, Json]:
    return cast("dict[str, Json]", host.vault.hide_in(_parsed_inside(host, value)))


def _text(host: LiveHost, value: Json) -> str:
    """As JSON, less its secrets."""
    return json.dumps(host.vault.hide_in(_parsed_inside(host, value)), ensure_ascii=False)


def _parsed_inside(host: LiveHost, value: Json) -> Json:
    r"""A JSON text whose own texts are JSON again, as containerd quotes CNI files: there, `\"` would keep a secret from being seen."""
    if isinstance(value, dict):
        return {key: _parsed_inside(host, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_parsed_inside(host, item) for item in value]
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        inner = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return _text(host, inner)


class _Short:
    """A path to a socket that the kernel takes, however long the one given (below a root, it may be)."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _SUN_PATH:
            return self._path
        self._folder = os.open(Path(self._path).parent, os.O_PATH | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._folder}/{Path(self._path).name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)
