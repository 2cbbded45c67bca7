"""Judging what kubectl finds of whoever looks: which files, and which context."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.kubeconfig import ADMIN, ROOT_USER
from k8sdoctor.finding import Status
from k8sdoctor.testing import report_of
from tests.certificates import cluster_ca
from tests.checks.kubeconfig_node import SERVER, Node, conf, group_admin, only, verdict


def test_a_user_without_a_kubeconfig_on_a_control_plane_is_told_of_localhost() -> None:
    found = only(Node(files={ROOT_USER: None}))

    assert (found.status, found.reason, found.subject) == (Status.WARN, "NoKubeconfig", ROOT_USER)
    assert "http://localhost:8080" in found.message
    assert found.fix is not None
    assert "cp -n /etc/kubernetes/admin.conf /root/.kube/config" in found.fix.commands


def test_an_empty_kubeconfig_is_as_good_as_none_and_the_fix_moves_it_aside() -> None:
    found = only(Node(files={ROOT_USER: ""}))

    assert found.reason == "NoKubeconfig"
    assert found.fix is not None
    assert found.fix.commands[0] == "mv -n /root/.kube/config /root/.kube/config.empty"


@pytest.mark.parametrize("lacks", ["/usr/bin/kubectl", ADMIN])
def test_nobody_misses_a_kubeconfig_without_kubectl_or_without_an_administrators_file(lacks: str) -> None:
    assert ("skip", "KubectlNotConfigured", None) in verdict(Node(files={ROOT_USER: None, lacks: None}))


SUDO = {"sudo_user": "ann", "sudo_home": "/people/ann"}
ANNS = "/people/ann/.kube/config"


def test_by_sudo_either_ones_kubeconfig_is_enough() -> None:
    hers = Node(files={ROOT_USER: None, ANNS: conf(group_admin())}, user=SUDO)
    roots = Node(user=SUDO)

    assert ("pass", "KubectlConfigured", ANNS) in verdict(hers)
    assert ("pass", "KubectlConfigured", ROOT_USER) in verdict(roots)
    assert "kubectl of ann has no kubeconfig" in str([each.message for each in roots.findings()])


def test_by_sudo_without_any_the_one_who_called_is_given_one() -> None:
    found = only(Node(files={ROOT_USER: None}, user=SUDO))

    assert found.reason == "NoKubeconfig"
    assert "kubectl of root and ann" in found.message
    assert found.fix is not None
    assert found.fix.commands == (
        "mkdir -p /people/ann/.kube",
        "cp -n /etc/kubernetes/admin.conf /people/ann/.kube/config",
        'chown "$(id -u ann):$(id -g ann)" /people/ann/.kube /people/ann/.kube/config',
    )


def test_a_user_who_may_not_read_admin_conf_is_told_of_his_own() -> None:
    node = Node(
        files={ROOT_USER: None},
        denied=(ADMIN,),
        user={"name": "bob", "home": "/people/bob"},
    )

    assert ("warn", "NoKubeconfig", "/people/bob/.kube/config") in verdict(node)


@pytest.mark.parametrize(("worker", "status"), [(False, Status.FAIL), (True, Status.WARN)])
def test_a_variable_that_names_a_missing_file_is_told(worker: bool, status: Status) -> None:
    found = only(Node(worker=worker, user={"kubeconfig": ["/gone"]}))

    assert (found.status, found.reason, found.subject) == (status, "KubeconfigMissing", "/gone")
    assert found.fix is not None
    assert found.fix.commands[0] == "unset KUBECONFIG"


def test_of_several_files_missing_ones_are_passed_over_and_the_first_that_names_something_counts() -> None:
    contexts = "contexts: [{name: here, context: {cluster: c, user: u}}]\ncurrent-context: here\n"
    clusters = f"clusters: [{{name: c, cluster: {{server: '{SERVER}', certificate-authority: ca.crt}}}}]\n"
    users = "users: [{name: u, user: {token: abc}}]\ncurrent-context: other\n"
    node = Node(
        files={"/a/one": contexts, "/b/c/two": clusters, "/d/three": users, "/b/c/ca.crt": cluster_ca().pem},
        user={"kubeconfig": ["/gone", "/a/one", "/b/c/two", "/d/three"]},
    )

    assert ("pass", "KubectlConfigured", "/b/c/two") in verdict(node)
    assert ("pass", "Usable", "/b/c/two") in verdict(node)
    assert only(Node(files={**node.files, "/a/one": None}, user=node.user)).reason == "KubeconfigInvalid"


def test_a_kubeconfig_without_a_current_context_is_told_with_its_contexts() -> None:
    text = conf(group_admin()).replace("current-context: admin@kubernetes\n", "")
    found = only(Node(files={ROOT_USER: text}))

    assert (found.status, found.reason, found.subject) == (Status.WARN, "NoCurrentContext", ROOT_USER)
    assert found.fix is not None
    assert found.fix.commands == ("kubectl config --kubeconfig /root/.kube/config use-context admin@kubernetes",)


def test_one_cause_in_two_checks_is_one_diagnosis() -> None:
    text = conf(group_admin()).replace("current-context: admin@kubernetes", "current-context: gone")
    report = report_of(Node(files={ADMIN: text}).host(), "kubeconfig", "apiserver-san")

    [diagnosis] = [each for each in report.diagnoses if each.cause.check == "kubeconfig"]
    assert [(each.check, each.reason) for each in diagnosis.explains] == [("apiserver-san", "KubeconfigInvalid")]
    assert not [
        each
        for each in report.diagnoses
        if each.cause.reason == "KubeconfigInvalid" and each.cause.check != "kubeconfig"
    ]
