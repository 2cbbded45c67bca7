"""The runtime's socket in every state that it can be in; real gRPC, a server of our own behind it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import HostError, cri
from k8sdoctor.host.live import LiveHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VERSION = {"version": "0.1.0", "runtime_name": "containerd", "runtime_version": "1.6.20", "runtime_api_version": "v1"}


@contextmanager
def runtime(
    path: Path, answers: dict[str, Callable[[Any], dict[str, Any]]], package: str = "runtime.v1"
) -> Iterator[None]:
    """A CRI server at a socket that answers the methods named."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc
    from google.protobuf import json_format, message_factory

    from k8sdoctor.host import cri_pb2

    server = grpc.server(ThreadPoolExecutor(2))
    for method, answer in answers.items():
        service, _, name = method.partition("/")
        described = cri_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[name]
        request_class = message_factory.GetMessageClass(described.input_type)
        reply_class = message_factory.GetMessageClass(described.output_type)

        def serve(
            request: Any,
            _context: Any,
            answer: Callable[[Any], dict[str, Any]] = answer,
            reply_class: Any = reply_class,
        ) -> Any:
            return json_format.ParseDict(answer(request), reply_class())

        handler = grpc.unary_unary_rpc_method_handler(
            serve,
            request_deserializer=request_class.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(f"{package}.{service}", {name: handler}),)
        )
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def refusal(host: LiveHost, endpoint: object) -> HostError:
    with pytest.raises(HostError) as caught:
        host.cri(f"unix://{endpoint}", "RuntimeService/Version")
    return caught.value


def test_a_runtime_answers_in_the_interfaces_own_words(tmp_path: Path) -> None:
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        assert LiveHost().cri(f"unix://{tmp_path}/s", "RuntimeService/Version") == VERSION
        assert LiveHost().cri(f"{tmp_path}/s", "RuntimeService/Version") == VERSION


def hang_up(server: socket.socket) -> None:
    """Close each connection as soon as it is there, until the server's own socket is shut down."""
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def test_a_runtime_that_went_and_came_back_is_asked_by_the_host_that_knew_it(tmp_path: Path) -> None:
    host, answers = LiveHost(), {"RuntimeService/Version": lambda _: VERSION}
    with runtime(tmp_path / "s", answers):
        assert host.cri(f"{tmp_path}/s", "RuntimeService/Version") == VERSION

    gone = refusal(host, tmp_path / "s")
    assert gone.reason in ("NotFound", "RuntimeUnreachable")
    assert "UNAVAILABLE" not in gone.message

    with socket.socket(socket.AF_UNIX) as deaf:
        (tmp_path / "s").unlink(missing_ok=True)
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(8)
        threading.Thread(target=hang_up, args=(deaf,), daemon=True).start()
        assert "UNAVAILABLE" in refusal(host, tmp_path / "s").message
        deaf.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
    (tmp_path / "s").unlink()
    with runtime(tmp_path / "s", answers):
        assert host.cri(f"{tmp_path}/s", "RuntimeService/Version") == VERSION


def test_the_questions_of_a_host_go_by_one_connection_that_ends_with_it(tmp_path: Path) -> None:
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        host = LiveHost()
        for _ in range(3):
            host.cri(f"{tmp_path}/s", "RuntimeService/Version")
        [kept] = host.runtimes._open.values()
        ended = weakref.ref(kept)
        del kept, host
        gc.collect()

        assert ended() is None


def test_a_socket_is_knocked_at_once_and_not_before_each_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knocks = []
    monkeypatch.setattr(cri, "_knock", lambda *words: knocks.append(words))
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        host = LiveHost()
        for _ in range(3):
            host.cri(f"{tmp_path}/s", "RuntimeService/Version")

    assert len(knocks) == 1


def test_a_field_that_is_false_is_told_and_not_left_out(tmp_path: Path) -> None:
    conditions = [{"type": "NetworkReady", "status": False, "reason": "NetworkPluginNotReady", "message": "cni"}]
    answers = {"RuntimeService/Status": lambda _: {"status": {"conditions": conditions}}}
    with runtime(tmp_path / "s", answers):
        status = LiveHost().cri(f"{tmp_path}/s", "RuntimeService/Status", {"verbose": True})

    assert status == {"status": {"conditions": conditions}, "info": {}}


def test_a_socket_below_a_root_is_found_there(tmp_path: Path) -> None:
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        path = cri.path_of("unix:///s")
        assert cri.call(str(tmp_path) + path, "RuntimeService/Version", {}, 5) == VERSION


def test_a_path_longer_than_the_kernel_takes_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        (folder / "s").symlink_to(tmp_path / "s")
        assert LiveHost().cri(f"{folder}/s", "RuntimeService/Version") == VERSION


def test_a_socket_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    assert refusal(LiveHost(), tmp_path / "s").reason == "NotFound"
    (tmp_path / "file").touch()
    assert refusal(LiveHost(), tmp_path / "file" / "s").reason == "NotFound"


def test_a_file_that_is_no_socket_is_not_dialled(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("no socket")

    error = refusal(LiveHost(), tmp_path / "s")

    assert (error.reason, "no socket" in error.message) == ("RuntimeUnreachable", True)


def test_a_socket_that_nobody_listens_at_any_more_is_unreachable(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))

    error = refusal(LiveHost(), tmp_path / "s")

    assert (error.reason, "nobody listens" in error.message) == ("RuntimeUnreachable", True)


def test_a_socket_that_accepts_and_says_nothing_is_unreachable_after_the_limit(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen(8)

        error = refusal(LiveHost(probe_limit=1.5), tmp_path / "s")

    assert (error.reason, "did not answer within 1.5 s" in error.message) == ("RuntimeUnreachable", True)


def test_a_socket_whose_queue_is_full_is_unreachable_after_the_limit(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        full.bind(str(tmp_path / "s"))
        full.listen(0)
        first.connect(str(tmp_path / "s"))
        second.setblocking(False)  # noqa: FBT003 -- socket's own signature
        second.connect_ex(str(tmp_path / "s"))

        error = refusal(LiveHost(probe_limit=1.5), tmp_path / "s")

    assert (error.reason, "accepts no connection" in error.message) == ("RuntimeUnreachable", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not open the socket")
def test_a_socket_that_we_may_not_open_says_what_it_needs(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from k8sdoctor.host import HostError, cri; from k8sdoctor.host.live import LiveHost\n"
        "os.setuid(65534)\n"
        "try: LiveHost().cri(sys.argv[1], 'RuntimeService/Version')\n"
        "except HostError as error: print(error.reason, error.message)"
    )
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: VERSION}):
        (tmp_path / "s").chmod(0o600)
        tmp_path.chmod(0o700)
        out = subprocess.run(
            [sys.executable, "-c", script, f"{tmp_path}/s"], capture_output=True, text=True, check=True
        )

    assert out.stdout.startswith("NotPermitted Permission denied")
    assert "root" in out.stdout


def test_a_runtime_that_serves_no_cri_is_told_from_one_that_is_silent(tmp_path: Path) -> None:
    with runtime(tmp_path / "s", {"ImageService/ListImages": lambda _: {}}):
        error = refusal(LiveHost(), tmp_path / "s")

    assert error.reason == "RuntimeUnreachable"
    assert "serves no CRI" in error.message
    assert "disabled_plugins" in error.message


def test_a_runtime_of_the_old_interface_is_asked_by_the_old_name(tmp_path: Path) -> None:
    old = VERSION | {"runtime_api_version": "v1alpha2"}
    with runtime(tmp_path / "s", {"RuntimeService/Version": lambda _: old}, package="runtime.v1alpha2"):
        assert LiveHost().cri(f"{tmp_path}/s", "RuntimeService/Version")["runtime_api_version"] == "v1alpha2"


def test_an_endpoint_of_another_kind_is_refused_with_a_sentence() -> None:
    with pytest.raises(HostError, match="no path of a unix socket"):
        LiveHost().cri("tcp://10.0.0.1:2375", "RuntimeService/Version")


def test_the_environment_is_what_grpc_wants_before_a_thread_could_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread may change it while another reads it (setenv(3)), and a run's first threads look up names."""
    for name in ("GRPC_VERBOSITY", "GRPC_ENABLE_FORK_SUPPORT"):
        monkeypatch.delenv(name, raising=False)

    LiveHost()

    assert (os.environ["GRPC_VERBOSITY"], os.environ["GRPC_ENABLE_FORK_SUPPORT"]) == ("NONE", "0")


def test_a_method_that_changes_the_node_is_never_called(tmp_path: Path) -> None:
    called: list[object] = []

    def note(request: object) -> dict[str, Any]:
        called.append(request)
        return {}

    methods = ("RuntimeService/RunPodSandbox", "RuntimeService/StopPodSandbox", "ImageService/PullImage")
    with runtime(tmp_path / "s", dict.fromkeys(methods, note)):
        for method in methods:
            with pytest.raises(ValueError, match="only read"):
                LiveHost().cri(f"{tmp_path}/s", method)

    assert not called


def test_secrets_do_not_leave_the_host(tmp_path: Path) -> None:
    config = {"registry": {"configs": {"r.example": {"auth": {"username": "u", "password": "hunter2hunter2"}}}}}
    with runtime(tmp_path / "s", {"RuntimeService/Status": lambda _: {"info": {"config": json.dumps(config)}}}):
        answer = json.dumps(LiveHost().cri(f"{tmp_path}/s", "RuntimeService/Status", {"verbose": True}))

    assert "hunter2" not in answer
    assert "REDACTED-1" in answer


def test_a_secret_in_json_that_is_quoted_inside_json_does_not_leave_the_host(tmp_path: Path) -> None:
    source = json.dumps({"name": "n", "plugins": [{"type": "x", "password": "hunter2hunter2"}]})
    cniconfig = {"Networks": [{"Config": {"Name": "n", "Source": source}}]}
    with runtime(tmp_path / "s", {"RuntimeService/Status": lambda _: {"info": {"cniconfig": json.dumps(cniconfig)}}}):
        answer: Any = LiveHost().cri(f"{tmp_path}/s", "RuntimeService/Status", {"verbose": True})

    held = json.loads(answer["info"]["cniconfig"])["Networks"][0]["Config"]["Source"]
    assert json.loads(held)["plugins"] == [{"type": "x", "password": "REDACTED-1"}]


def test_of_a_sandbox_only_process_and_network_are_kept(tmp_path: Path) -> None:
    namespaces = [{"type": "network", "path": "/var/run/netns/cni-1"}]
    spec = {"process": {"env": ["DB=opensesame"]}, "linux": {"namespaces": namespaces}}
    info = {"pid": 42, "runtimeSpec": spec, "config": {"annotations": {"x": "opensesame"}}}
    with runtime(tmp_path / "s", {"RuntimeService/PodSandboxStatus": lambda _: {"info": {"info": json.dumps(info)}}}):
        answer = LiveHost().cri(f"{tmp_path}/s", "RuntimeService/PodSandboxStatus", {"verbose": True})

    assert json.loads(answer["info"]["info"]) == {  # type: ignore[call-overload,index,arg-type]  # JSON, of our own making
        "pid": 42,
        "runtimeSpec": {"linux": {"namespaces": namespaces}},
    }


def test_grpc_writes_nothing_to_the_terminal(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys; from k8sdoctor.host import HostError; from k8sdoctor.host.live import LiveHost\n"
        "host = LiveHost(probe_limit=1.5)\n"
        "try: host.cri(sys.argv[1], 'RuntimeService/Version')\n"
        "except HostError: pass\n"
        "subprocess.run(['true'])\n"
        "print('done')"
    )
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen(8)
        out = subprocess.run(
            [sys.executable, "-c", script, f"{tmp_path}/s"], capture_output=True, text=True, check=True
        )

    assert (out.stdout, out.stderr) == ("done\n", "")
