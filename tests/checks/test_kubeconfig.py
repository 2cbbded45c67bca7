"""Judging kubeconfigs: what each file says, and what it shows of its user."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography.x509.oid import ExtendedKeyUsageOID

from k8sdoctor.facts.kubeconfig import ADMIN, BOOTSTRAP, CONTROLLER_MANAGER, KUBELET, ROOT_USER, SCHEDULER
from k8sdoctor.finding import Status
from k8sdoctor.host import HostError
from k8sdoctor.host.live import LiveHost
from k8sdoctor.testing import FakeHost, Recorder, Recording, examine, report_of
from tests.certificates import DAY, NOW, Issued, base64_pem, cluster_ca, issue, jwt
from tests.checks.kubeconfig_node import (
    CURRENT,
    MANIFEST,
    SERVER,
    Node,
    client,
    conf,
    group_admin,
    manifest,
    node_client,
    only,
    pem,
    rotated,
    verdict,
)
from tests.pki import kubeadm_pki

if TYPE_CHECKING:
    from pathlib import Path


# -- healthy ------------------------------------------------------------------------------------------------------------


def test_a_healthy_control_plane_passes() -> None:
    found = Node().findings()

    assert {(each.status, each.reason) for each in found} == {
        (Status.PASS, "Usable"),
        (Status.PASS, "KubectlConfigured"),
    }
    assert {each.subject for each in found if each.reason == "Usable"} == {
        ADMIN,
        ROOT_USER,
        KUBELET,
        CONTROLLER_MANAGER,
        SCHEDULER,
    }


def test_a_healthy_worker_passes_and_its_kubectl_is_left_alone() -> None:
    assert verdict(Node(worker=True)) == {("pass", "Usable", KUBELET), ("skip", "KubectlNotConfigured", None)}


@pytest.mark.parametrize(
    "files", [{}, {"/usr/bin/containerd": ""}, {"/usr/bin/containerd": "", "/usr/bin/kubectl": ""}]
)
def test_a_machine_before_init_is_no_fault(files: dict[str, str]) -> None:
    assert {(each.status, each.reason) for each in examine(FakeHost(files), "kubeconfig")} == {
        (Status.SKIP, "KubectlNotConfigured")
    }


def test_where_nobody_tells_who_looks_and_nothing_lies_there_nothing_is_judged() -> None:
    host = FakeHost({}, user=HostError("NotRecorded", "the recording does not hold user"))

    assert [each.reason for each in examine(host, "kubeconfig")] == ["NotRecorded"]


def test_a_recording_is_judged_like_the_node() -> None:
    kept = Recorder(Node(files={ADMIN: conf(group_admin(), key=client())}).host())
    live = examine(kept, "kubeconfig")

    assert examine(Recording(kept.dump()), "kubeconfig") == live
    assert {each.reason for each in live} >= {"KeyMismatch"}


# -- a file ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{{: [\n", "line 1, column 4"),
        (
            conf(group_admin()).replace("current-context: admin@kubernetes", "current-context: gone"),
            "'gone' is not among its contexts",
        ),
        (conf(group_admin()).replace("cluster: kubernetes\n", "cluster: gone\n"), "the cluster 'gone'"),
        (conf(group_admin()).replace("user: admin\n", "user: gone\n"), "the user 'gone'"),
        (conf(cluster={"insecure-skip-tls-verify": True}), "which no client accepts"),
        (conf(cluster={"proxy-url": "proxy:3128"}), "the proxy-url 'proxy:3128'"),
        (conf(cluster={"certificate-authority-data": "AAAA"}), "no usable certificate"),
        (conf(cluster={"certificate-authority-data": "garbage"}), "its certificate-authority-data is not base64"),
        (conf(cluster={"certificate-authority-data": "", "certificate-authority": "/gone"}), "/gone does not exist"),
    ],
    ids=[
        "syntax",
        "context",
        "cluster",
        "user",
        "insecure",
        "proxy",
        "authority",
        "authority's base64",
        "absent authority",
    ],
)
@pytest.mark.parametrize(("path", "status"), [(ADMIN, Status.FAIL), (ROOT_USER, Status.WARN)])
def test_a_malformed_kubeconfig_says_what_is_wrong(path: str, status: Status, text: str, said: str) -> None:
    found = only(Node(files={path: text}))

    assert (found.status, found.reason, found.subject) == (status, "KubeconfigInvalid", path)
    assert said in found.message


def test_a_context_that_is_not_there_is_replaced_by_the_only_one_and_of_several_a_person_chooses() -> None:
    wrong = conf(group_admin()).replace("current-context: admin@kubernetes", "current-context: gone")
    several = wrong.replace("contexts:", "contexts:\n- {name: other, context: {cluster: kubernetes, user: admin}}", 1)

    one, more = (only(Node(files={ROOT_USER: text})).fix for text in (wrong, several))

    assert one is not None
    assert one.commands == (f"kubectl config --kubeconfig {ROOT_USER} use-context admin@kubernetes",)
    assert more is not None
    assert more.title == "Choose one of the contexts other, admin@kubernetes"
    assert more.commands == (f"kubectl config --kubeconfig {ROOT_USER} get-contexts",)


def test_an_authority_of_another_cluster_is_told_and_explains_what_is_refused() -> None:
    other = issue("kubernetes", authority=True)
    found = only(Node(files={CONTROLLER_MANAGER: conf(client("system:kube-controller-manager", other), ca=other)}))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "OtherAuthority", CONTROLLER_MANAGER)
    assert "of the same name and another key" in found.message
    assert [(link.check, link.reason) for link in found.explains] == [("apiserver-san", "UntrustedIssuer")]
    assert found.fix is not None
    assert "kubeadm init phase kubeconfig controller-manager" in found.fix.commands[1]


def test_a_persons_kubeconfig_may_lead_to_another_cluster() -> None:
    other = cluster_ca("elsewhere")
    text = conf(client(ca=other), ca=other, cluster={"server": "https://192.0.2.9:6443"})

    assert {each.status for each in Node(files={ROOT_USER: text}).findings()} == {Status.PASS}


def test_a_bundle_in_which_the_clusters_authority_stands_is_trusted_in_it() -> None:
    both = base64.b64encode((cluster_ca("old").pem + cluster_ca().pem).encode()).decode()

    assert {
        each.status for each in Node(files={ADMIN: conf(cluster={"certificate-authority-data": both})}).findings()
    } == {Status.PASS}


def test_who_verifies_nothing_or_names_no_authority_is_warned() -> None:
    bare = {"certificate-authority-data": ""}

    insecure = only(Node(files={ADMIN: conf(cluster={**bare, "insecure-skip-tls-verify": True})}))
    unnamed = only(Node(files={ADMIN: conf(cluster=bare)}))

    assert (insecure.status, insecure.reason) == (Status.WARN, "InsecureSkipTlsVerify")
    assert (unnamed.status, unnamed.reason) == (Status.WARN, "AuthorityNotNamed")


# -- a credential ---------------------------------------------------------------------------------------------------------


def test_a_user_without_any_credential_is_told() -> None:
    found = only(Node(files={SCHEDULER: conf({})}))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, "NoCredentials", SCHEDULER)


@pytest.mark.parametrize(
    ("files", "reason", "said"),
    [
        ({CURRENT: None}, "ClientCertificateMissing", "it does not exist"),
        ({CURRENT: "garbage"}, "ClientCertificateInvalid", "it holds no PEM block of a certificate"),
        ({KUBELET: conf({"client-certificate-data": "garbage"})}, "ClientCertificateInvalid", "it is not base64"),
        ({CURRENT: node_client().pem}, "KeyInvalid", "it holds no PEM block of a private key"),
        ({CURRENT: node_client().pem + node_client().key_pem}, "KeyMismatch", "is not the one of the certificate"),
        ({CURRENT: pem(node_client("node2"))}, "OtherNode", "node2, and this one registers as node1"),
        ({CURRENT: pem(client("system:node:node1"))}, "WrongIdentity", "O=system:nodes"),
        ({CURRENT: pem(client("kubernetes-admin", group="people"))}, "WrongIdentity", "O=system:nodes"),
        ({CURRENT: pem(node_client(ca=cluster_ca("other")))}, "ClientCertificateUntrusted", "its issuer is CN=other"),
        (
            {CURRENT: pem(node_client(usages=[ExtendedKeyUsageOID.SERVER_AUTH]))},
            "ClientCertificateUntrusted",
            "does not allow clients",
        ),
        ({CURRENT: pem(node_client(start=NOW - 400 * DAY))}, "ClientCertificateExpired", "it is 2026-05-28"),
        ({CURRENT: pem(node_client(start=NOW + 9 * DAY))}, "ClientCertificateNotYetValid", "begins on"),
        ({KUBELET: conf({"client-certificate": CURRENT, "client-key": "/gone.key"})}, "KeyMissing", "/gone.key"),
        ({KUBELET: conf({"client-certificate": CURRENT})}, "KeyMissing", "it names none"),
    ],
)
@pytest.mark.parametrize("worker", [False, True])
def test_a_kubelets_credential_of_no_use_says_why(files: dict[str, Any], reason: str, said: str, worker: bool) -> None:
    found = only(Node(files=files, worker=worker))

    assert (found.status, found.reason, found.subject) == (Status.FAIL, reason, KUBELET)
    assert said in found.message
    assert ("node-ready", "StatusUnknown") in {(link.check, link.reason) for link in found.explains}


def test_a_dangling_link_names_where_it_leads() -> None:
    node = Node(files={CURRENT: None}, verbs={"readlink": "/var/lib/kubelet/pki/kubelet-client-2026.pem"})

    assert "it is a link to /var/lib/kubelet/pki/kubelet-client-2026.pem, which does not exist" in only(node).message


def test_the_kubelets_own_name_decides_and_not_the_hosts_where_a_flag_says_so() -> None:
    process = {"pid": 5, "ppid": 1, "name": "kubelet"}
    words = ["/usr/bin/kubelet", f"--kubeconfig={KUBELET}", "--hostname-override=Node2"]
    renamed = Node(files={CURRENT: pem(node_client("node2"))}, verbs={"processes": [{**process, "cmdline": words}]})
    cloud = Node(
        files={CURRENT: pem(node_client("ip-10-0-0-1.internal"))},
        verbs={"processes": [{**process, "cmdline": [*words[:2], "--cloud-provider=aws"]}]},
    )

    assert {each.status for each in renamed.findings()} == {Status.PASS}
    assert {each.status for each in cloud.findings()} == {Status.PASS}


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain"])
def test_a_machine_that_does_not_know_its_name_yet_is_not_called_another_node(name: str) -> None:
    identity = {"hostname": name, "kernel": "6.1.0", "machine": "x86_64", "euid": 0}

    assert {each.status for each in Node(verbs={"identity": identity}).findings()} == {Status.PASS}


@pytest.mark.parametrize(
    ("leaf", "ends"),
    [
        (node_client("node2"), False),
        (node_client(ca=cluster_ca("other")), False),
        (node_client(start=NOW - 400 * DAY), True),
    ],
)
def test_a_kubelet_that_does_not_run_is_explained_by_what_it_looks_at_when_it_starts(leaf: Issued, ends: bool) -> None:
    found = only(Node(files={CURRENT: pem(leaf)}))

    stopped = {link.when for link in found.explains if link.reason == "KubeletStopped"}
    crashed = {trait for link in found.explains if link.reason == "KubeletCrashes" for trait in link.when}
    assert bool(stopped) is ends
    assert ("points-to:unknown" in crashed) is ends
    assert "points-to:kubeconfig" in crashed


def test_whoever_is_of_the_masters_may_do_all_under_any_name() -> None:
    masters = client("kubernetes-admin", group="system:masters")

    assert {each.status for each in Node(files={CURRENT: pem(masters), SCHEDULER: conf(masters)}).findings()} == {
        Status.PASS
    }


def test_a_kubeconfig_that_somebody_named_may_lead_anywhere() -> None:
    other = cluster_ca("a gateway")
    given: Any = {"config": None, "kubeconfig": "/mine", "endpoints": []}
    node = Node(files={"/mine": conf(client(ca=other), ca=other)}, verbs={"given": given})

    assert {each.status for each in node.findings()} == {Status.PASS}


def test_a_component_must_show_its_own_name() -> None:
    found = only(Node(files={SCHEDULER: conf(client("system:kube-controller-manager"))}))

    assert (found.reason, found.subject) == ("WrongIdentity", SCHEDULER)
    assert "system:kube-scheduler" in found.message


def test_an_inline_key_of_another_certificate_is_found_and_never_shown() -> None:
    other = client()
    found = only(Node(files={ADMIN: conf(group_admin(), key=other)}))

    assert (found.reason, found.subject) == ("KeyMismatch", ADMIN)
    assert base64_pem(other, key=True)[60:90] not in str(found)


def test_where_clients_have_an_authority_of_their_own_only_it_could_judge() -> None:
    files = {MANIFEST: manifest("/etc/clients.crt"), CURRENT: pem(node_client(ca=cluster_ca("clients")))}

    assert {each.status for each in Node(files=files).findings()} == {Status.PASS}


def test_certificates_of_kubeadm_that_ended_are_one_finding_with_one_fix() -> None:
    old = NOW - 400 * DAY
    admin = group_admin(start=old)
    files = {
        ADMIN: conf(admin),
        ROOT_USER: conf(admin),
        CONTROLLER_MANAGER: conf(client("system:kube-controller-manager", start=old)),
        SCHEDULER: conf(client("system:kube-scheduler", start=old)),
    }
    report = report_of(Node(files=files).host(), "kubeconfig")
    [result] = report.results
    bad = [each for each in result.findings if each.status is not Status.PASS]

    assert {(str(each.status), each.reason, each.subject) for each in bad} == {
        ("fail", "ClientCertificateExpired", f"{ADMIN}, {CONTROLLER_MANAGER}, {SCHEDULER}"),
        ("warn", "ClientCertificateExpired", ROOT_USER),
    }
    [diagnosis] = report.diagnoses
    assert [each.subject for each in diagnosis.explains] == [ROOT_USER]
    commands = diagnosis.fix.commands if diagnosis.fix else ()
    assert [each.rpartition("kubeadm certs renew ")[2] for each in commands[:3]] == [
        "admin.conf",
        "controller-manager.conf",
        "scheduler.conf",
    ]
    assert "kube-scheduler.yaml" in commands[3]


def test_what_ends_soon_is_warned_of() -> None:
    found = only(Node(files={SCHEDULER: conf(client("system:kube-scheduler", start=NOW - 350 * DAY))}))

    assert (found.status, found.reason, found.subject) == (Status.WARN, "ExpiresSoon", SCHEDULER)
    assert "in 15 days" in found.message


def test_a_kubelet_that_did_not_rotate_in_time_is_told_and_one_that_may_still_do_so_is_not() -> None:
    early = Node(files={CURRENT: pem(node_client(start=NOW - 325 * DAY))})
    late = Node(files={CURRENT: pem(node_client(start=NOW - 330 * DAY))})

    assert {each.status for each in early.findings()} == {Status.PASS}
    assert (only(late).status, only(late).reason) == (Status.WARN, "NotRotated")


def test_a_first_certificate_that_rotation_does_not_replace_is_told() -> None:
    first = node_client(start=NOW - 200 * DAY)
    found = only(Node(files={KUBELET: conf(first)}))
    same = Node(files={KUBELET: conf(first), CURRENT: pem(first)})
    alone = Node(files={KUBELET: conf(first), CURRENT: None})

    assert (found.status, found.reason, found.subject) == (Status.WARN, "EmbeddedCertificate", KUBELET)
    assert {each.status for each in (*same.findings(), *alone.findings())} == {Status.PASS}


def test_an_ended_first_certificate_beside_a_rotated_one_needs_no_new_one() -> None:
    found = only(Node(files={KUBELET: conf(node_client(start=NOW - 400 * DAY))}))
    nothing = only(Node(files={KUBELET: conf(node_client(start=NOW - 400 * DAY)), CURRENT: None}))

    assert found.reason == nothing.reason == "ClientCertificateExpired"
    assert found.fix is not None
    assert nothing.fix is not None
    assert not any("kubeadm" in each for each in found.fix.commands)
    assert any("kubeadm init phase kubeconfig kubelet" in each for each in nothing.fix.commands)


def test_a_worker_gets_its_new_kubeconfig_from_a_control_plane_with_its_own_server() -> None:
    found = only(Node(worker=True, files={CURRENT: pem(node_client(start=NOW - 400 * DAY))}))

    assert found.fix is not None
    assert "kubeadm kubeconfig user --org system:nodes --client-name system:node:node1 " in found.fix.title
    assert any(f"server:).*#\\1 {SERVER}#" in each for each in found.fix.commands)


@pytest.mark.parametrize(("end", "reason"), [(NOW - DAY, "TokenExpired"), (NOW + DAY, None), (1e300, None)])
def test_a_token_that_ended_is_told_and_not_shown(end: float, reason: str | None) -> None:
    token = jwt(exp=end)
    found = Node(files={ADMIN: conf({"token": token})}).findings()

    assert [each.reason for each in found if each.status is not Status.PASS] == ([reason] if reason else [])
    assert token not in str(found)


def test_a_token_in_a_file_is_looked_at_too() -> None:
    node = Node(files={ADMIN: conf({"tokenFile": "token"}), "/etc/kubernetes/token": jwt(exp=5)})

    assert only(node).reason == "TokenExpired"


@pytest.mark.parametrize("command", ["aws", "./bin/login", "/opt/login"])
def test_a_plugin_that_is_not_installed_is_told(command: str) -> None:
    user = {"exec": {"command": command, "apiVersion": "client.authentication.k8s.io/v1"}}
    there = {"aws": "/usr/local/bin/aws", "./bin/login": "/etc/kubernetes/./bin/login", "/opt/login": "/opt/login"}

    assert only(Node(files={ADMIN: conf(user)})).reason == "PluginMissing"
    assert {each.status for each in Node(files={ADMIN: conf(user), there[command]: ""}).findings()} == {Status.PASS}
    # A person's PATH is not known.
    own = [each.reason for each in Node(files={ROOT_USER: conf(user)}).findings() if each.status is Status.WARN]
    assert own == (["PluginMissing"] if "/" in command else [])


def test_a_persons_faults_are_warnings() -> None:
    found = only(Node(files={ROOT_USER: conf(group_admin(start=NOW - 400 * DAY))}))

    assert (found.status, found.reason, found.subject) == (Status.WARN, "ClientCertificateExpired", ROOT_USER)
    assert found.fix is not None
    assert "cp -n /etc/kubernetes/admin.conf /root/.kube/config" in found.fix.commands[0]


def test_a_bootstrap_file_with_a_bootstrap_token_is_good_until_the_kubelet_has_its_own() -> None:
    node = Node(worker=True, files={KUBELET: None, BOOTSTRAP: conf({"token": "abcdef.0123456789abcdef"})})

    assert ("pass", "Usable", BOOTSTRAP) in verdict(node)


# -- permissions ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True), (0o400, False)]
)
def test_a_key_that_others_may_read_is_told(mode: int, warned: bool) -> None:
    node = Node(modes={ADMIN: mode, CURRENT: mode})

    found = [each for each in node.findings() if each.status is not Status.PASS]

    assert [(each.reason, each.subject) for each in found] == (
        [("ReadableByOthers", f"{CURRENT}, {ADMIN}")] if warned else []
    )
    assert not warned or (found[0].fix is not None and found[0].fix.commands == (f"chmod 600 {CURRENT} {ADMIN}",))


def test_a_kubeconfig_without_a_secret_may_be_read_by_everybody() -> None:
    assert {each.status for each in Node(modes={KUBELET: 0o644}).findings()} == {Status.PASS}


def test_a_group_may_read_a_components_kubeconfig_and_not_a_persons_own() -> None:
    def stat(path: str) -> Any:
        return {"kind": "file", "size": 1, "mode": 0o640, "uid": 0, "gid": 1000, "mtime": 0.0, "inode": 1, "path": path}

    [found] = [each for each in Node(verbs={"stat": stat}).findings() if each.status is Status.WARN]
    assert (found.reason, found.subject) == ("ReadableByOthers", ROOT_USER)


# -- what could not be looked at ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ADMIN, CURRENT, ROOT_USER])
def test_what_may_not_be_read_is_unknown_and_never_a_fault(path: str) -> None:
    found = [each for each in Node(denied=(path,)).findings() if each.status not in (Status.PASS, Status.SKIP)]

    assert [(each.status, each.reason) for each in found] == [(Status.UNKNOWN, "NotPermitted")]
    assert path in found[0].message


def test_no_part_of_a_key_or_token_is_in_a_report_or_in_a_recording_of_a_real_machine(tmp_path: Path) -> None:
    admin, folded, kubelet, tokens = group_admin(), client("system:kube-scheduler"), node_client(), jwt(exp=NOW)
    wrapped = base64.encodebytes(folded.key_pem.encode()).decode()
    files = {
        **kubeadm_pki(),
        ADMIN: conf(admin, key=client()),
        SCHEDULER: conf({"client-certificate-data": base64_pem(folded), "client-key-data": wrapped}),
        KUBELET: rotated(),
        CURRENT: pem(kubelet),
        ROOT_USER: conf({"token": tokens}),
    }
    for path, text in files.items():
        target = tmp_path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    host = Recorder(LiveHost(str(tmp_path), offline=True))

    report = report_of(host, "kubeconfig", "certificates")

    kept = json.dumps(report.document()) + host.dump()
    assert "KeyMismatch" in kept
    lines = [line for text in files.values() for line in secret_lines(text)]
    assert len(lines) > 20
    assert [line for line in lines if line in kept or line in kept.replace("\\n", "")] == []


def secret_lines(text: str) -> list[str]:
    """Each line of private keys in a text, also of those in base64, and tokens."""
    if "users:" in text:
        user = yaml.safe_load(text)["users"][0]["user"]
        data = base64.b64decode(user.get("client-key-data", "")).decode()
        raw = [line for line in user.get("client-key-data", "").split() if len(line) > 20]
        return [*secret_lines(data), *raw, *(word for word in user.get("token", "").split(".") if len(word) > 8)]
    blocks = re.findall(r"PRIVATE KEY-----\n(.*?)-----END", text, re.DOTALL)
    # The last line of a key on an elliptic curve is the end of its public half, which sa.pub shows.
    return [line for block in blocks for line in block.splitlines()[:-1] if len(line) > 20]
