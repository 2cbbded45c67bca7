"""static-pods: files of a node in, findings out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from k8sdoctor.checks import _static_pod_fixes as fixes
from k8sdoctor.checks.static_pods import static_pods
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.manifest_files import ManifestFiles
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.static_pods import MANIFESTS, StaticPods
from k8sdoctor.finding import Finding, Fix, Safety, Status
from k8sdoctor.testing import FakeHost, HostError, examine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = "/var/lib/kubelet/config.yaml"
WATCHED = {CONFIG: f"kind: KubeletConfiguration\nstaticPodPath: {MANIFESTS}\n"}
NODE = {
    **WATCHED,
    "/etc/kubernetes/kubelet.conf": "",
    "/etc/kubernetes/pki/ca.crt": "",
    "/etc/kubernetes/pki/sa.key": "",
}
API = f"{MANIFESTS}/kube-apiserver.yaml"
SERVICE_ACCOUNTS = (
    "--service-account-issuer=https://kubernetes.default.svc",
    "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
)


def pod(
    *flags: str, program: str = "kube-apiserver", tag: str = "v1.36.2", name: str | None = None, **volume: str
) -> str:
    """A manifest as kubeadm writes it, with the pki folder mounted."""
    required = SERVICE_ACCOUNTS if program == "kube-apiserver" else ()
    host_path = {"path": "/etc/kubernetes/pki", "type": "DirectoryOrCreate", **volume}
    text: str = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name or program, "namespace": "kube-system"},
            "spec": {
                "hostNetwork": True,
                "containers": [
                    {
                        "name": program,
                        "image": f"registry.k8s.io/{program}:{tag}",
                        "command": [program, *required, *flags],
                        "volumeMounts": [{"name": "pki", "mountPath": "/etc/kubernetes/pki"}],
                    }
                ],
                "volumes": [{"name": "pki", "hostPath": host_path}],
            },
        }
    )
    return text


def judge(
    files: Mapping[str, str | HostError], *, modes: Mapping[str, int] | None = None, denied: tuple[str, ...] = ()
) -> list[Finding]:
    host = FakeHost({**NODE, **files}, modes=modes, denied=denied)
    kubelet = Kubelet.observe(host, Processes(()))
    pods = StaticPods.observe(host, kubelet)
    return list(static_pods(pods, ManifestFiles.observe(host, pods), kubelet, Stage.observe(host)))


def one(
    files: Mapping[str, str | HostError], *, modes: Mapping[str, int] | None = None, denied: tuple[str, ...] = ()
) -> Finding:
    [finding] = judge(files, modes=modes, denied=denied)
    return finding


def commands(finding: Finding) -> tuple[str, ...]:
    assert finding.fix is not None
    return finding.fix.commands


# -- healthy, and not applicable -------------------------------------------------------------------------------------


def test_a_control_plane_as_kubeadm_makes_it_is_healthy() -> None:
    finding = one({API: pod("--client-ca-file=/etc/kubernetes/pki/ca.crt")})

    assert (finding.status, finding.reason) == (Status.PASS, "Read")
    assert "kube-apiserver" in finding.message


def test_a_worker_has_no_static_pods() -> None:
    empty, absent = one({f"{MANIFESTS}/": ""}), one({})

    assert {each.reason for each in (empty, absent)} == {"NoStaticPods"}
    assert {each.status for each in (empty, absent)} == {Status.SKIP}


def test_a_kubelet_that_watches_nothing_is_fine_where_nothing_is_meant_to_run() -> None:
    assert one({CONFIG: "kind: KubeletConfiguration\n"}).reason == "NoStaticPods"


def test_a_bare_machine_is_skipped() -> None:
    [finding] = examine(FakeHost(), "static-pods")

    assert (finding.status, finding.reason) == (Status.SKIP, "NoKubelet")


def test_dot_files_and_folders_are_nobodys_pods() -> None:
    found = judge(
        {API: pod(), f"{MANIFESTS}/.kube-apiserver.yaml.swp": "{", f"{MANIFESTS}/backup/old.yaml": pod("--x")}
    )

    assert [each.reason for each in found] == ["Read"]


# -- cannot look -----------------------------------------------------------------------------------------------------


def test_a_folder_or_file_that_may_not_be_read_is_unknown() -> None:
    for path in (MANIFESTS, API, "/etc/kubernetes/pki/ca.crt"):
        finding = one({API: pod("--client-ca-file=/etc/kubernetes/pki/ca.crt")}, denied=(path,))
        assert (finding.status, finding.reason) == (Status.UNKNOWN, "NotPermitted")
        assert path in finding.message


# -- one file --------------------------------------------------------------------------------------------------------


def test_a_typing_error_is_named_with_line_and_column_and_explains_the_silent_api_server() -> None:
    finding = one({API: pod().replace("kind: Pod", "kind: Pod:")})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "ManifestSyntax", API)
    assert finding.message.startswith(f"{API}, line 2, column ")
    assert {(link.check, link.reason) for link in finding.explains} == {
        ("apiserver-san", "EndpointUnreachable"),
        ("apiserver-san", "ManifestInvalid"),
        ("control-plane", "ComponentDown"),
        ("etcd", "Unreadable"),
    }


def test_a_typing_error_of_the_scheduler_silences_no_api_server() -> None:
    [link] = one({f"{MANIFESTS}/kube-scheduler.yaml": "{"}).explains

    assert (link.reason, link.when) == ("ComponentDown", frozenset({"component:kube-scheduler"}))


def test_what_is_no_pod_and_what_the_kubelet_refuses_fail() -> None:
    kind = one({API: pod().replace("kind: Pod", "kind: Deployment")})
    fields = one({API: pod().replace("image: registry", "imag: registry")})

    assert (kind.status, kind.reason) == (Status.FAIL, "ManifestKind")
    assert (fields.status, fields.reason) == (Status.FAIL, "ManifestFields")
    assert "image is missing" in fields.message


def test_a_note_in_the_folder_is_a_warning_and_is_moved_out() -> None:
    note = f"{MANIFESTS}/README.txt"
    finding = next(each for each in judge({API: pod(), note: "do not touch\n"}))

    assert (finding.status, finding.reason, finding.subject) == (Status.WARN, "StrayFile", note)
    assert commands(finding)[-1] == f"mv -n {note} /etc/kubernetes/manifests-aside/"


def test_a_link_that_leads_nowhere_is_a_stray_file() -> None:
    dead = f"{MANIFESTS}/old.yaml"

    assert one({dead: HostError("NotFound", f"{dead} does not exist")}).reason == "StrayFile"


def test_a_second_document_is_told_to_be_ignored() -> None:
    finding = one({API: pod() + "---\nkind: Secret\n"})

    assert (finding.status, finding.reason) == (Status.WARN, "DocumentsIgnored")


# -- several files ---------------------------------------------------------------------------------------------------


def test_a_backup_copy_wins_over_the_original_and_is_moved_out() -> None:
    backup = f"{API}.bak"
    finding = one({API: pod("--v=4"), backup: pod()})

    assert (finding.status, finding.reason, finding.subject) == (Status.FAIL, "DuplicateManifest", backup)
    assert f"{backup}, the last by name, is what runs" in finding.message
    assert f"what is written to {API} is undone" in finding.message
    assert commands(finding) == (
        "mkdir -p /etc/kubernetes/manifests-aside",
        f"mv -n {backup} /etc/kubernetes/manifests-aside/",
    )
    assert finding.fix is not None
    assert finding.fix.safety is Safety.DISRUPTIVE


def test_a_backup_that_is_first_by_name_is_in_vain_and_still_moved_out() -> None:
    backup = f"{MANIFESTS}/kube-apiserver-old.yaml"  # "-" comes before "."
    finding = one({API: pod("--v=4"), backup: pod()})

    assert f"{API}, the last by name, is what runs" in finding.message
    assert commands(finding)[-1].startswith(f"mv -n {backup} ")


def test_an_equal_copy_is_a_warning() -> None:
    assert one({API: pod(), f"{API}.bak": pod()}).status is Status.WARN


def test_the_same_program_under_another_name_fights_for_the_port() -> None:
    finding = one({API: pod(), f"{MANIFESTS}/new.yaml": pod(name="api")})

    assert (finding.status, finding.reason) == (Status.FAIL, "DuplicateProgram")
    assert finding.subject == f"{MANIFESTS}/new.yaml"


def test_different_programs_do_not_fight() -> None:
    assert one({API: pod(), f"{MANIFESTS}/kube-scheduler.yaml": pod(program="kube-scheduler")}).reason == "Read"


# -- the folder ------------------------------------------------------------------------------------------------------


def test_manifests_of_kubeadm_in_a_folder_that_nobody_watches_fail() -> None:
    finding = one({CONFIG: "kind: KubeletConfiguration\n", API: pod()})

    assert (finding.status, finding.reason) == (Status.FAIL, "NotWatched")
    assert commands(finding) == (
        f"printf '\\n%s\\n' 'staticPodPath: {MANIFESTS}' >> {CONFIG}",
        "systemctl restart kubelet",
    )
    assert finding.explains


def test_another_watched_folder_is_changed_and_not_named_twice() -> None:
    finding = one({CONFIG: "staticPodPath: /srv/pods\n", API: pod()})

    assert commands(finding)[0] == f"sed -i 's|^staticPodPath:.*|staticPodPath: {MANIFESTS}|' {CONFIG}"


def test_pods_that_run_from_another_folder_are_left_alone() -> None:
    assert one({CONFIG: "staticPodPath: /srv/pods\n", API: pod(), "/srv/pods/a.yaml": pod()}).reason == "Read"


# -- command lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "flag", "before", "since"),
    [
        ("kube-apiserver", "--insecure-port=0", "v1.23.17", "v1.24.0"),
        ("kube-apiserver", "--insecure-bind-address=127.0.0.1", "v1.23.17", "v1.24.0"),
        ("kube-apiserver", "--logtostderr=true", "v1.25.16", "v1.26.0"),
        ("kube-apiserver", "--cloud-provider=external", "v1.32.1", "v1.33.0"),
        ("kube-controller-manager", "--port=0", "v1.23.17", "v1.24.0"),
        ("kube-controller-manager", "--pod-eviction-timeout=30s", "v1.26.15", "v1.27.0"),
        ("kube-scheduler", "--port=0", "v1.23.17", "v1.24.0"),
    ],
)
def test_a_removed_flag_fails_from_the_release_that_removed_it(
    program: str, flag: str, before: str, since: str
) -> None:
    path = f"{MANIFESTS}/{program}.yaml"
    finding = one({path: pod(flag, program=program, tag=since)})

    assert one({path: pod(flag, program=program, tag=before)}).reason == "Read"
    assert (finding.status, finding.reason) == (Status.FAIL, "FlagRemoved")
    assert flag.partition("=")[0] in finding.message
    assert "kubernetes/kubernetes#" in finding.message


def test_a_tag_that_tells_no_version_condemns_no_flag() -> None:
    assert one({API: pod("--insecure-port=0", tag="latest")}).reason == "Read"


def test_a_flag_whose_value_is_the_next_item_is_taken_out_by_hand() -> None:
    assert commands(one({API: pod("--insecure-port", "0", "--v=2")})) == (f"${{EDITOR:-vi}} {API}",)


def test_the_flags_that_service_accounts_need_are_required_since_1_20() -> None:
    bare = pod().replace("--service-account-issuer", "--service-account-old")
    finding = one({API: bare})

    assert (finding.status, finding.reason) == (Status.FAIL, "FlagRequired")
    assert "lacks --service-account-issuer," in finding.message
    assert one({API: bare.replace("v1.36.2", "v1.19.16")}).reason == "Read"


@pytest.mark.parametrize(
    ("flags", "gone", "left"),
    [
        (["--a=1", "--insecure-port=0", "--z"], ["--insecure-port"], ["--a=1", "--z"]),
        (["--port", "--logtostderr=true", "--port-range=1"], ["--port", "--logtostderr"], ["--port-range=1"]),
    ],
)
def test_the_pasted_line_takes_the_flags_out_and_leaves_no_file_in_the_folder(
    tmp_path: Path, flags: list[str], gone: list[str], left: list[str]
) -> None:
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text(yaml.safe_dump({"spec": {"containers": [{"command": ["kube-apiserver", *flags]}]}}))

    paste(fixes.without(str(manifest), gone, ("kube-apiserver", *flags), "kube-apiserver"))

    assert yaml.safe_load(manifest.read_text())["spec"]["containers"][0]["command"] == ["kube-apiserver", *left]
    assert list(tmp_path.iterdir()) == [manifest]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--enable-admission-plugins=PodSecurityPolicy", None),
        ("--enable-admission-plugins=A,PodSecurityPolicy", "--enable-admission-plugins=A"),
        ("--enable-admission-plugins=PodSecurityPolicy,A", "--enable-admission-plugins=A"),
        ("--disable-admission-plugins=A,PodSecurityPolicy,B", "--disable-admission-plugins=A,B"),
    ],
)
def test_the_pasted_line_takes_an_admission_plugin_out(tmp_path: Path, before: str, after: str | None) -> None:
    manifest = tmp_path / "kube-apiserver.yaml"
    manifest.write_text(yaml.safe_dump({"command": ["kube-apiserver", before, "--z"]}))

    paste(fixes.drop_plugin(str(manifest), "PodSecurityPolicy", "kube-apiserver"))

    assert yaml.safe_load(manifest.read_text())["command"] == ["kube-apiserver", *([after] if after else []), "--z"]


def paste(fix: Fix) -> None:
    subprocess.run(["sh", "-ec", "\n".join(fix.commands)], check=True)


def test_an_admission_plugin_that_is_gone_fails() -> None:
    flag = "--enable-admission-plugins=NodeRestriction,PodSecurityPolicy"
    finding = one({API: pod(flag)})

    assert (finding.status, finding.reason) == (Status.FAIL, "AdmissionPluginRemoved")
    assert one({API: pod(flag, tag="v1.24.17")}).reason == "Read"


def test_tokens_in_a_file_are_a_risk() -> None:
    finding = one({API: pod("--token-auth-file=/etc/kubernetes/pki/tokens.csv"), "/etc/kubernetes/pki/tokens.csv": ""})

    assert (finding.status, finding.reason) == (Status.WARN, "StaticTokens")


# -- what they lean on -----------------------------------------------------------------------------------------------


def test_a_file_that_a_flag_names_and_that_is_not_there_fails() -> None:
    finding = one({API: pod("--tls-cert-file=/etc/kubernetes/pki/apiserver.crt")})

    assert (finding.status, finding.reason) == (Status.FAIL, "FileMissing")
    assert finding.subject == "/etc/kubernetes/pki/apiserver.crt"
    assert commands(finding)[-1] == "kubeadm init phase certs apiserver"


def test_a_file_is_looked_for_where_the_volume_has_it() -> None:
    moved = pod("--client-ca-file=/etc/kubernetes/pki/ca.crt", path="/srv/pki")
    finding = next(each for each in judge({API: moved, "/srv/pki/sa.key": ""}))

    assert (finding.reason, finding.subject) == ("FileMissing", "/srv/pki/ca.crt")
    assert one({API: moved, "/srv/pki/sa.key": "", "/srv/pki/ca.crt": ""}).reason == "Read"


def test_a_file_that_no_volume_brings_in_fails_where_the_host_has_it() -> None:
    text = pod("--audit-policy-file=/etc/kubernetes/audit.yaml")
    finding = one({API: text, "/etc/kubernetes/audit.yaml": ""})

    assert (finding.status, finding.reason) == (Status.FAIL, "FileNotMounted")
    assert one({API: text}).status is Status.WARN  # it may be in the image


def test_a_file_on_a_volume_that_is_not_the_hosts_is_not_judged() -> None:
    text = pod("--client-ca-file=/etc/kubernetes/pki/none.crt")
    tree = yaml.safe_load(text)
    tree["spec"]["volumes"] = [{"name": "pki", "emptyDir": {}}]

    assert one({API: yaml.safe_dump(tree)}).reason == "Read"


@pytest.mark.parametrize(
    ("type_", "files", "healthy"),
    [
        ("Directory", {}, False),
        ("Directory", {"/srv/x/a": ""}, True),
        ("DirectoryOrCreate", {}, True),
        ("DirectoryOrCreate", {"/srv/x": ""}, False),
        ("File", {}, False),
        ("File", {"/srv/x": ""}, True),
        ("FileOrCreate", {}, False),
        ("FileOrCreate", {"/srv/": ""}, True),
        ("Socket", {"/srv/x": ""}, False),
    ],
)
def test_a_volume_must_be_what_its_type_says(type_: str, files: dict[str, str], *, healthy: bool) -> None:
    path = f"{MANIFESTS}/kube-scheduler.yaml"
    found = judge({path: pod(program="kube-scheduler", path="/srv/x", type=type_), **files})

    assert [each.reason for each in found] == (["Read"] if healthy else ["VolumeMissing"])


def test_a_folder_that_anybody_may_write_to_is_a_warning() -> None:
    finding = one({API: pod()}, modes={MANIFESTS: 0o777})

    assert (finding.status, finding.reason) == (Status.WARN, "WritableByAll")
    assert commands(finding) == (f"chmod o-w {MANIFESTS}",)
