"""A service that is not well: systemd's words and the last lines of its log, from what the commands print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.kubelet_health import KubeletHealth, KubeletService
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.runtime import Runtime
from k8sdoctor.facts.runtime_service import RuntimeService
from k8sdoctor.facts.service import MOST_LINES, Service
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Unobserved
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Callable

WORKER = Stage("worker", "kubelet.conf is there")
PREPARED = Stage("prepared", "containerd is there")

# In the form of `systemctl show`, for a kubelet that ends at each start.
LOOP = (
    "Result=exit-code\nNRestarts=4\nExecMainStatus=1\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n"
    "UnitFileState=enabled\n"
)
JOURNAL = (
    "2026-11-20T09:00:00+0100 n1 systemd[1]: Started kubelet: The Kubernetes Node Agent.\n"
    "2026-11-20T09:00:00+0100 n1 kubelet[811]: E1120 09:00:00.000000     811 run.go:72] old words\n"
    '2026-11-20T09:00:10+0100 n1 kubelet[812]: E1120 09:00:10.000000     812 run.go:72] "command failed" err="new words"\n'
    "2026-11-20T09:00:10+0100 n1 systemd[1]: kubelet.service: Failed with result 'exit-code'.\n"
)


def commands(**answers: tuple[int, str, str] | HostError) -> Callable[[list[str]], Any]:
    def run(argv: list[str]) -> Any:
        answer = answers.get(argv[0], HostError("NotFound", f"the command {argv[0]} is not installed"))
        if isinstance(answer, HostError):
            return answer
        return dict(zip(("code", "out", "err"), answer, strict=True))

    return run


def test_a_crash_loop_is_read_from_systemd_and_the_journal() -> None:
    found = Service.look(FakeHost(run=commands(systemctl=(0, LOOP, ""), journalctl=(0, JOURNAL, ""))), "kubelet")

    assert (found.load, found.active, found.sub, found.enabled) == ("loaded", "activating", "auto-restart", "enabled")
    assert (found.restarts, found.exit_status, found.crashes) == (4, "1", True)
    assert found.log == tuple(JOURNAL.splitlines())
    assert [line.rpartition("] ")[2] for line in found.last_life] == ['"command failed" err="new words"']
    assert "NRestarts=4" in found.state
    assert found.log_source.startswith("journalctl -u kubelet -b")


@pytest.mark.parametrize(
    "answer",
    [
        (1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.\n"),
        (0, "Running in chroot, ignoring request: show\n", ""),
        (0, "", ""),
        HostError("NotPermitted", "the command systemctl may not be run by this user"),
    ],
)
def test_without_systemd_nothing_is_claimed(answer: tuple[int, str, str] | HostError) -> None:
    found = Service.look(FakeHost(run=commands(systemctl=answer)), "kubelet")

    assert found.problem is not None
    assert not found.problem.message.endswith(".")  # it stands within a sentence
    assert (found.active, found.state, found.crashes) == ("", "", False)
    assert found.log == ()
    assert found.log_problem is not None


def test_without_a_journal_the_logs_of_the_machine_are_read() -> None:
    ours = "Nov 20 09:00:00 n1 kubelet[7]: boo"
    shared = f"Nov 20 09:00:00 n1 sshd[5]: kubelet was here\n{ours}\n" * 300
    by_itself = Service.look(FakeHost({"/var/log/kubelet.log": "own words\n", "/var/log/syslog": shared}), "kubelet")
    among_others = Service.look(FakeHost({"/var/log/messages": shared}), "kubelet")

    assert (by_itself.log, by_itself.log_source) == (("own words",), "/var/log/kubelet.log")
    assert among_others.log == (ours,) * MOST_LINES
    assert among_others.last_life == (ours,) * MOST_LINES


def test_a_journal_that_may_not_be_read_says_so() -> None:
    refused = (1, "", "No journal files were opened due to insufficient permissions.\n")
    found = Service.look(FakeHost(run=commands(systemctl=(0, LOOP, ""), journalctl=refused)), "kubelet")
    denied = Service.look(FakeHost({"/var/log/syslog": "x"}, denied={"/var/log/syslog"}), "kubelet")

    assert found.log_problem is not None
    assert "insufficient permissions" in found.log_problem.message
    assert denied.log_problem is not None
    assert denied.log_problem.reason == "NotPermitted"


@pytest.mark.parametrize("text", ["\0\ufffd\n" * 50, "=\n=\nNRestarts=many\nLoadState=x", "[[[[ kubelet[x]: \n"])
def test_output_of_any_kind_breaks_nothing(text: str) -> None:
    found = Service.look(FakeHost(run=commands(systemctl=(0, text, ""), journalctl=(0, text, ""))), "kubelet")

    assert found.restarts == 0
    assert len(found.last_life) <= MOST_LINES


# -- the kubelet's health ------------------------------------------------------------------------------------------------


def kubelet(host: FakeHost) -> Kubelet:
    return Kubelet.observe(host, Processes.observe(host))


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("", "http://127.0.0.1:10248/healthz"),
        ("healthzPort: 10300\nhealthzBindAddress: 0.0.0.0\n", "http://127.0.0.1:10300/healthz"),
        ('healthzBindAddress: "::1"\n', "http://[::1]:10248/healthz"),
        ('healthzBindAddress: "::"\n', "http://[::1]:10248/healthz"),
        ("healthzPort: 0\n", None),
        ("healthzPort: 99999\n", None),
        ("healthzPort: [x]\n", "http://127.0.0.1:10248/healthz"),
    ],
)
def test_the_kubelet_is_asked_where_it_was_told_to_answer(config: str, url: str | None) -> None:
    asked: list[str] = []

    def http(url: str, **_: Any) -> Any:
        asked.append(url)
        return {"status": 500, "headers": {}, "body": "[-]syncloop failed\n", "peer": None, "failure": None}

    host = FakeHost({"/var/lib/kubelet/config.yaml": config}, http=http)
    found = KubeletHealth.observe(host, WORKER, kubelet(host))

    assert asked == ([url] if url else [])
    assert found.alive is (False if url else None)
    assert not url or found.said == "500 [-]syncloop failed"
    assert KubeletHealth.observe(host, PREPARED, kubelet(host)) == KubeletHealth()


def test_what_may_not_be_asked_is_a_problem() -> None:
    host = FakeHost(http=HostError("Offline", "--offline forbids HTTP requests"))
    found = KubeletHealth.observe(host, WORKER, kubelet(host))

    assert found.alive is None
    assert found.problem == Unobserved("Offline", "--offline forbids HTTP requests")


def test_services_are_looked_at_only_where_something_is_amiss() -> None:
    ran: list[str] = []

    def run(argv: list[str]) -> HostError:
        ran.append(argv[0])
        return HostError("NotFound", "x")

    host = FakeHost(run=run)
    blind = Unobserved("Unreadable", "no API server")
    running = Kubelet((1, 36, 2), 5, {}, {}, "/c", {}, ())
    well = KubeletHealth("u", {"status": 200, "headers": {}, "body": "ok", "peer": None, "failure": None})

    assert KubeletService.observe(host, WORKER, running, well, blind).service is None
    assert KubeletService.observe(host, PREPARED, running, KubeletHealth(), blind).service is None
    assert RuntimeService.observe(host, WORKER, Runtime(kind="containerd", reachable=True)).service is None
    hidden = Runtime(kind="containerd", problem=Unobserved("NotPermitted", "run as root"))
    assert RuntimeService.observe(host, WORKER, hidden).service is None
    assert ran == []

    silent = Runtime(kind="cri-o", problem=Unobserved("NotFound", "no socket"))
    service = RuntimeService.observe(host, WORKER, silent).service
    assert service is not None
    assert service.unit == "crio"
    assert ran == ["systemctl", "journalctl"]
