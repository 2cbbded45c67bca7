"""Kubeconfigs as they lie on nodes."""

from __future__ import annotations

import base64

import pytest

from k8sdoctor.facts.kubeconfig import ADMIN, BOOTSTRAP, KUBELET, ROOT_USER, Kubeconfig, Kubeconfigs
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost
from tests.api_server import CONTROL_PLANE, kubeconfig
from tests.certificates import cluster_ca

NO_KUBELET = Unobserved("NotFound", "no kubelet")
NO_KUBECTL = Unobserved("NotRecorded", "nobody looked")


def test_a_real_kubelets_kubeconfig_is_read() -> None:
    text = (CONTROL_PLANE / "etc-kubernetes/kubelet.conf").read_text()

    found = Kubeconfig.parse(FakeHost(), KUBELET, text)

    assert (found.server, found.client_certificate, found.problem) == ("https://10.27.53.32:6443", True, None)
    assert (found.ca or "").startswith("-----BEGIN CERTIFICATE-----")
    assert found.ca_source == f"certificate-authority-data of {KUBELET}"


def test_an_authority_named_by_path_is_looked_for_beside_the_file() -> None:
    text = kubeconfig({"server": "https://lb", "certificate-authority": "pki/ca.crt"}, {})

    found = Kubeconfig.parse(FakeHost({"/etc/kubernetes/pki/ca.crt": cluster_ca().pem}), ADMIN, text)

    assert (found.ca, found.ca_source) == (cluster_ca().pem, "/etc/kubernetes/pki/ca.crt")


def test_inline_data_win_over_a_path_and_may_be_folded() -> None:
    data = base64.encodebytes(cluster_ca().pem.encode()).decode()
    text = kubeconfig({"server": "https://lb", "certificate-authority": "/x", "certificate-authority-data": data}, {})

    assert Kubeconfig.parse(FakeHost(), ADMIN, text).ca == cluster_ca().pem


def test_what_a_client_needs_to_know_is_kept() -> None:
    cluster = {
        "server": "https://lb",
        "proxy-url": "http://p:1",
        "tls-server-name": "n",
        "insecure-skip-tls-verify": True,
    }

    found = Kubeconfig.parse(FakeHost(), ADMIN, kubeconfig(cluster, {"token": "t"}))

    assert (found.proxy, found.server_name, found.insecure, found.client_certificate) == (
        "http://p:1",
        "n",
        True,
        False,
    )
    assert (found.ca, found.problem) == (None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 2, column 1"),
        ("[]", "holds a list"),
        ("", "names no current-context"),
        ("current-context: a", "is not among its contexts"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]", "is not among its clusters"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]",
            "names no server",
        ),
        ("current-context: 5\ncontexts: 7\nclusters: null", "is not among its contexts"),
    ],
)
def test_a_malformed_one_says_what_is_wrong(text: str, problem: str) -> None:
    found = Kubeconfig.parse(FakeHost(), ADMIN, text)

    assert found.problem is not None
    assert ADMIN in found.problem
    assert problem in found.problem


def test_all_that_lie_there_are_found_and_an_unreadable_one_hides_no_other() -> None:
    good = kubeconfig({"server": "https://lb"}, {})
    host = FakeHost(
        {KUBELET: good, ADMIN: good, ROOT_USER: good, "/given": good},
        denied=[ADMIN],
        given={"config": None, "kubeconfig": "/given", "endpoints": []},
    )

    found = Kubeconfigs.observe(host, NO_KUBELET, NO_KUBECTL)

    assert {file.path for file in found.files} == {"/given", KUBELET, ROOT_USER}
    assert [(path, why.reason) for path, why in found.unreadable] == [(ADMIN, "NotPermitted")]


def test_a_bootstrap_file_counts_only_until_the_kubelet_has_its_own() -> None:
    good = kubeconfig({"server": "https://lb"}, {})

    before = Kubeconfigs.observe(FakeHost({BOOTSTRAP: good}), NO_KUBELET, NO_KUBECTL)
    after = Kubeconfigs.observe(FakeHost({BOOTSTRAP: good, KUBELET: good}), NO_KUBELET, NO_KUBECTL)

    assert [file.path for file in before.files] == [BOOTSTRAP]
    assert [file.path for file in after.files] == [KUBELET]


def test_the_kubelets_own_flag_tells_where_its_kubeconfig_is() -> None:
    kubelet = Kubelet(None, 1, {"--kubeconfig": "/var/lib/kubelet/kubeconfig"}, {}, "", {}, ())
    host = FakeHost({"/var/lib/kubelet/kubeconfig": kubeconfig({"server": "https://lb"}, {})})

    assert [file.path for file in Kubeconfigs.observe(host, kubelet, NO_KUBECTL).files] == [
        "/var/lib/kubelet/kubeconfig"
    ]


@pytest.mark.parametrize(("error", "problem", "unread"), [("NotFound", True, False), ("NotPermitted", False, True)])
def test_an_absent_authority_is_a_fault_and_one_that_may_not_be_read_is_none(
    error: str, *, problem: bool, unread: bool
) -> None:
    text = kubeconfig({"server": "https://lb", "certificate-authority": "/ca.crt"}, {})

    found = Kubeconfig.parse(FakeHost({"/ca.crt": HostError(error, "why")}), ADMIN, text)

    assert (found.problem is not None, found.unread is not None) == (problem, unread)
