"""The folder of static pods that the kubelet watches, and what it makes of each file there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.pod_manifest import Container, Manifest, Mount
from k8sdoctor.facts.processes import Processes
from k8sdoctor.facts.static_pods import MANIFESTS, StaticPods
from k8sdoctor.finding import Unobserved
from k8sdoctor.host.answers import Process
from k8sdoctor.testing import FakeHost, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = "/var/lib/kubelet/config.yaml"
WATCHED = f"kind: KubeletConfiguration\nstaticPodPath: {MANIFESTS}\n"

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system}
spec:
  hostNetwork: true
  initContainers:
  - {name: wait, image: busybox}
  containers:
  - name: kube-apiserver
    image: registry.k8s.io/kube-apiserver:v1.36.2
    command: [/usr/local/bin/kube-apiserver, --secure-port=6444]
    args: [--v, "2"]
    env:
    - {name: GOMAXPROCS, value: "2"}
    volumeMounts:
    - {name: pki, mountPath: /pki}
    - {name: conf, mountPath: /pki/audit.yaml, subPath: audit.yaml}
    - {name: scratch, mountPath: /scratch}
  volumes:
  - {name: pki, hostPath: {path: /etc/kubernetes/pki, type: DirectoryOrCreate}}
  - {name: conf, hostPath: {path: /etc/kubernetes/conf}}
  - {name: scratch, emptyDir: {}}
"""


def pods(files: Mapping[str, str | HostError], *cmdline: str, denied: tuple[str, ...] = ()) -> StaticPods:
    host = FakeHost(files, denied=denied)
    running = (Process(pid=7, ppid=1, name="kubelet", cmdline=["/usr/bin/kubelet", *cmdline]),) if cmdline else ()
    return StaticPods.observe(host, Kubelet.observe(host, Processes(running)))


# -- the folder ------------------------------------------------------------------------------------------------------


def test_the_folder_is_the_one_that_the_configuration_names() -> None:
    found = pods({CONFIG: "staticPodPath: /srv/pods/\n", "/srv/pods/a.yaml": POD})

    assert (found.folder, found.source, found.assumed, found.present) == ("/srv/pods", CONFIG, False, True)
    assert [each.path for each in found.manifests] == ["/srv/pods/a.yaml"]


def test_a_flag_wins_over_the_configuration() -> None:
    found = pods({CONFIG: WATCHED}, "--pod-manifest-path=/srv/pods")

    assert (found.folder, found.source, found.present) == ("/srv/pods", "command line of kubelet, pid 7", False)


def test_a_drop_in_wins_over_the_configuration_and_is_named() -> None:
    drop_ins = {"/etc/kubelet.d/10-a.conf": "staticPodPath: /a\n", "/etc/kubelet.d/20-b.conf": "staticPodPath: /b\n"}
    found = pods(
        {CONFIG: WATCHED, **drop_ins, "/etc/kubelet.d/30.yaml": "staticPodPath: /c"}, "--config-dir=/etc/kubelet.d"
    )

    assert (found.folder, found.source) == ("/b", "/etc/kubelet.d/20-b.conf")


def test_a_configuration_without_a_folder_watches_none_and_kubeadms_files_are_elsewhere() -> None:
    found = pods({CONFIG: "kind: KubeletConfiguration\n", f"{MANIFESTS}/kube-apiserver.yaml": POD})

    assert (found.folder, found.source, found.manifests) == (None, CONFIG, ())
    assert [each.name for each in found.elsewhere] == ["kube-apiserver"]


def test_before_the_kubelet_is_configured_kubeadms_folder_is_assumed() -> None:
    assert (pods({}).folder, pods({}).assumed, pods({}).present) == (MANIFESTS, True, False)


def test_a_configuration_that_may_not_be_read_leaves_kubeadms_folder_as_an_assumption() -> None:
    found = pods({CONFIG: WATCHED, f"{MANIFESTS}/a.yaml": POD}, "--v=2", denied=(CONFIG,))

    assert (found.folder, found.assumed) == (MANIFESTS, True)
    assert "Permission denied" in found.source
    assert StaticPods.observe(FakeHost(), Unobserved("Unreadable", "no /proc")).assumed


def test_a_folder_that_may_not_be_listed_is_a_problem_and_not_empty() -> None:
    found = pods({CONFIG: WATCHED, f"{MANIFESTS}/a.yaml": POD}, denied=(MANIFESTS,))

    assert found.problem is not None
    assert found.problem.reason == "NotPermitted"
    assert ApiServer.observe(FakeHost(), found, Processes(())).problem == found.problem


def test_every_name_but_dot_files_and_folders_is_read_in_the_order_of_bytes() -> None:
    names = ("kube-apiserver.yaml.bak", "b.json", "README", ".hidden.yaml", "old/x.yaml", "B")
    found = pods({CONFIG: WATCHED, **{f"{MANIFESTS}/{name}": POD for name in names}})

    assert [each.path.rpartition("/")[2] for each in found.manifests] == [
        "B",
        "README",
        "b.json",
        "kube-apiserver.yaml.bak",
    ]
    assert found.ignored == (f"{MANIFESTS}/.hidden.yaml", f"{MANIFESTS}/old")


def test_a_single_file_may_be_watched() -> None:
    found = pods({CONFIG: "staticPodPath: /srv/one.yaml", "/srv/one.yaml": POD})

    assert [each.name for each in found.manifests] == ["kube-apiserver"]


def test_a_file_that_may_not_be_read_is_a_manifest_that_says_so() -> None:
    path = f"{MANIFESTS}/a.yaml"
    [manifest] = pods({CONFIG: WATCHED, path: POD}, denied=(path,)).manifests

    assert (manifest.fault, manifest.reason) == ("unreadable", "NotPermitted")


def test_a_program_is_found_by_kubeadms_file_name_then_by_what_runs() -> None:
    odd = pods({CONFIG: WATCHED, f"{MANIFESTS}/10-api.json": POD}).find("kube-apiserver")
    own = pods({CONFIG: WATCHED, **{f"{MANIFESTS}/{name}": POD for name in ("kube-apiserver.yaml", "z.bak")}})
    unwatched = pods({CONFIG: "kind: KubeletConfiguration\n", f"{MANIFESTS}/kube-apiserver.yaml": POD})

    assert odd is not None
    assert odd.path == f"{MANIFESTS}/10-api.json"
    for each in (own, unwatched):
        found = each.find("kube-apiserver")
        assert found is not None
        assert found.path == f"{MANIFESTS}/kube-apiserver.yaml"
    assert own.find("etcd") is None
    assert ApiServer.observe(FakeHost(), unwatched, Processes(())).port == 6444


# -- one manifest ----------------------------------------------------------------------------------------------------


def test_a_pod_is_read_with_its_containers_mounts_and_environment() -> None:
    manifest = Manifest.parse(POD, "/m/a.yaml")

    assert (manifest.fault, manifest.key, manifest.host_network) == (None, "kube-system/kube-apiserver", True)
    assert [(each.name, each.init) for each in manifest.containers] == [("wait", True), ("kube-apiserver", False)]
    container = manifest.container("kube-apiserver")
    assert container is not None
    assert (container.program, container.flag("--secure-port"), container.flag("--v")) == (
        "kube-apiserver",
        "6444",
        "2",
    )
    assert container.env == {"GOMAXPROCS": "2"}
    assert container.mounts[0] == Mount("/pki", "/etc/kubernetes/pki", "DirectoryOrCreate")
    assert manifest.volumes == (("/etc/kubernetes/pki", "DirectoryOrCreate"), ("/etc/kubernetes/conf", ""))


def test_a_path_of_a_container_is_found_on_the_host_by_the_longest_mount() -> None:
    [_, container] = Manifest.parse(POD, "/m/a.yaml").containers

    assert container.on_host("/pki/ca.crt") == "/etc/kubernetes/pki/ca.crt"
    assert container.on_host("/pki/audit.yaml") == "/etc/kubernetes/conf/audit.yaml"
    assert container.on_host("/pkis/ca.crt") is None
    assert container.on_host("/scratch/x") is None
    assert Container("a", "b", mounts=(Mount("/", "/host"),)).on_host("/etc/x") == "/host/etc/x"


def test_json_is_read_as_well() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "a", "image": "b"}]},
    }

    assert Manifest.parse(json.dumps(pod, indent="\t"), "/m/a.json").key == "default/a"


def test_an_error_of_syntax_has_line_and_column() -> None:
    manifest = Manifest.parse(POD.replace("  hostNetwork", " hostNetwork"), "/m/a.yaml")

    assert manifest.fault == "syntax"
    assert manifest.problem.startswith("/m/a.yaml, line 6, column ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("- a\n", "holds no mapping"),
        (POD.replace("kind: Pod", "kind: Deployment"), "kind Deployment of apiVersion v1"),
        (POD.replace("apiVersion: v1", "apiVersion: v1beta1"), "kind Pod of apiVersion v1beta1"),
        (POD.replace("kind: Pod", "kind: PodList"), "kind PodList"),
        (POD.replace("apiVersion: v1\n", ""), "has kind Pod and no apiVersion, and"),
        (POD.replace("kind: Pod\n", ""), "has no kind and apiVersion v1, and"),
        ("note: later\n", "has no kind and no apiVersion, and"),
    ],
)
def test_what_is_no_pod_is_told(text: str, words: str) -> None:
    manifest = Manifest.parse(text, "/m/a.yaml")

    assert manifest.fault == "kind"
    assert words in manifest.problem


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("name: kube-apiserver, ", "", "metadata.name is missing"),
        ("namespace: kube-system", "labels: {tier: 1}", "metadata.labels[tier] is the number 1 where text is wanted"),
        ('args: [--v, "2"]', "args: [--v, 2]", "spec.containers[0].args[1] is the number 2 where text is wanted"),
        ('args: [--v, "2"]', "args: --v", "spec.containers[0].args is the text '--v' where a list is wanted"),
        ('value: "2"', "value: yes", "spec.containers[0].env[0].value is the boolean true where text is wanted"),
        ("    image: registry.k8s.io/kube-apiserver:v1.36.2\n", "", "spec.containers[0].image is missing"),
        ("name: pki, mountPath", "name: pky, mountPath", "names the volume pky, which spec.volumes does not have"),
        ("  - {name: wait, image: busybox}", "  - wait", "spec.initContainers[0] is the text 'wait'"),
    ],
)
def test_a_pod_that_the_kubelet_refuses_is_told_with_the_field(old: str, new: str, words: str) -> None:
    assert old in POD
    manifest = Manifest.parse(POD.replace(old, new), "/m/a.yaml")

    assert manifest.fault == "fields"
    assert words in manifest.problem


def test_a_date_that_nobody_quoted_is_text() -> None:
    dated = POD.replace("namespace: kube-system", "annotations: {seen: 2026-11-20T13:30:00Z}")

    assert Manifest.parse(dated, "/m/a.yaml").fault is None


def test_the_kubelet_reads_the_first_document_and_passes_unknown_fields_over() -> None:
    manifest = Manifest.parse(POD.replace("hostNetwork", "hostNetwerk") + "---\nkind: Secret\n", "/m/a.yaml")

    assert (manifest.fault, manifest.documents, manifest.host_network) == (None, 2, False)


def test_a_folder_of_thousands_of_files_is_not_judged_by_a_part_of_them() -> None:
    found = pods({f"{MANIFESTS}/{number}.yaml": "" for number in range(1001)})

    assert found.problem is not None
    assert found.problem.reason == "Unreadable"
    assert "holds 1001 names" in found.problem.message
