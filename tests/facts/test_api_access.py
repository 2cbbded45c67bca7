"""Which kubeconfig works for reading the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.facts.api_access import PROBE, ApiAccess
from k8sdoctor.facts.kubeconfig import ADMIN, KUBELET, SUPER_ADMIN, Kubeconfigs
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.fake import FakeHost
from tests.api_server import kubeconfig

if TYPE_CHECKING:
    from k8sdoctor.host import Json

HERE = kubeconfig({"server": "https://10.0.0.1:6443"}, {"token": "t"})
ELSEWHERE = kubeconfig({"server": "https://10.0.0.2:6443"}, {"token": "t"})


class Api:
    """Answers by path of the kubeconfig, and remembers who was asked."""

    def __init__(self, **answers: HostError) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, path: str, kubeconfig: str) -> dict[str, Json] | HostError:
        assert path == PROBE
        self.asked.append(kubeconfig)
        return self.answers.get(kubeconfig.rpartition("/")[2].removesuffix(".conf").replace("-", "_"), {})


def access(host: FakeHost) -> ApiAccess:
    return ApiAccess.observe(
        host, Kubeconfigs.observe(host, Unobserved("NotFound", "no kubelet"), Unobserved("NotRecorded", "nobody"))
    )


def test_the_administrators_kubeconfig_comes_first() -> None:
    api = Api()

    assert access(FakeHost({KUBELET: HERE, ADMIN: HERE}, kube=api)) == ApiAccess(ADMIN, None)
    assert api.asked == [ADMIN]


def test_a_refused_kubeconfig_gives_way_to_the_next() -> None:
    api = Api(admin=HostError("NotPermitted", "403"))

    assert access(FakeHost({KUBELET: HERE, ADMIN: HERE, SUPER_ADMIN: HERE}, kube=api)).kubeconfig == SUPER_ADMIN


def test_a_server_that_does_not_answer_is_asked_once() -> None:
    silence = HostError("Unreadable", "no answer")
    api = Api(admin=silence, super_admin=silence, kubelet=silence)

    found = access(FakeHost({KUBELET: ELSEWHERE, ADMIN: HERE, SUPER_ADMIN: HERE}, kube=api))

    tried = {f"unread:{each}" for each in (ADMIN, SUPER_ADMIN, KUBELET, "10.0.0.1:6443", "10.0.0.2:6443")}
    assert found == ApiAccess(None, Unobserved("Unreadable", "no answer", frozenset(tried)))
    assert api.asked == [ADMIN, KUBELET]


def test_the_kubeconfig_of_the_command_line_is_the_only_one() -> None:
    api = Api(mine=HostError("NotPermitted", "401"))
    given: Json = {"config": None, "kubeconfig": "/home/me/mine.conf", "endpoints": []}

    found = access(FakeHost({"/home/me/mine.conf": HERE, ADMIN: HERE}, kube=api, given=given))

    tried = {"unread:/home/me/mine.conf", "unread:10.0.0.1:6443"}
    assert found == ApiAccess(None, Unobserved("NotPermitted", "401", frozenset(tried)))
    assert api.asked == ["/home/me/mine.conf"]


def test_without_a_kubeconfig_it_says_what_would_help() -> None:
    found = access(FakeHost())

    assert found.problem is not None
    assert "--kubeconfig" in found.problem.message


def test_a_kubeconfig_that_may_not_be_read_is_the_problem() -> None:
    found = access(FakeHost({ADMIN: HERE}, denied=[ADMIN]))

    assert found.problem is not None
    assert found.problem.reason == "NotPermitted"


def test_offline_is_the_problem() -> None:
    found = access(FakeHost({ADMIN: HERE}, kube=HostError("Offline", "--offline forbids")))

    assert found.problem is not None
    assert (found.problem.reason, found.problem.message) == ("Offline", "--offline forbids")


def test_the_usual_port_is_told_and_what_is_no_url_is_left_out() -> None:
    silence = HostError("Unreadable", "no answer")
    without, wrong = (
        kubeconfig({"server": server}, {"token": "t"}) for server in ("https://api.example.test", "https://[::1")
    )

    found = access(FakeHost({ADMIN: without, KUBELET: wrong}, kube=Api(admin=silence, kubelet=silence)))

    assert found.problem is not None
    assert {f"unread:{ADMIN}", "unread:api.example.test:443"} <= found.problem.traits
