"""The Job's image is built and run by a real runtime, and asks for no right that the checks can do without: each is taken away on a real node."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from kubernetes import client

import k8sdoctor
from onefile.tests.bare_root import DIST, executable, run
from tests.lab.node import WATCHDOG, LabNode, Outcome
from tests.lab.whole_node import WholeNode, alarms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REPOSITORY = DIST.parent
MANIFEST = REPOSITORY / "deploy" / "job.yaml"
JOB = yaml.safe_load(MANIFEST.read_text())
POD = JOB["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
CAPABILITIES: list[str] = CONTAINER["securityContext"]["capabilities"]["add"]

PROGRAMS = ("containerd", "runc", "ctr", "busybox", "dnsmasq", "iptables", "iptables-legacy", "ss")
IMAGE = "registry.example.org/k8sdoctor:test"

RUNTIME_GIVES = """
AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
""".split()
"""What containerd gives a container that drops nothing (oci/spec.go, defaultUnixCaps)."""

ARGUMENTS = (*CONTAINER["args"], "--deadline", f"{WATCHDOG:g}")  # each probe keeps its own limit

WITHOUT = {
    "SYS_ADMIN": {"dns-path", "dns-reply-source", "ip-forward", "node-ready"},
    "SYS_PTRACE": {"ip-forward", "node-ready", "subnets"},
    "SYS_CHROOT": {"firewall", "kube-proxy"},
    "NET_ADMIN": {"firewall", "kube-proxy"},
    "NET_RAW": {"firewall"},
    "DAC_READ_SEARCH": {"kubeconfig"},
}
"""Capability → checks that cannot look without it."""


@pytest.fixture(scope="module")
def node() -> Iterator[WholeNode]:
    """A node with its root mounted at /run/host, read-only, as in the Job's container; one file is another user's, one rule is a legacy one."""
    with LabNode("worker-1") as lab:
        made = WholeNode(lab)
        made.start()
        lab.shell(
            "chown 998 /etc/kubernetes/kubelet.conf; chmod 600 /etc/kubernetes/kubelet.conf; iptables-legacy -A INPUT -j ACCEPT;"
            "mkdir /run/host; mount --rbind / /run/host; mount -o remount,bind,ro /run/host"
        )
        yield made


def check(node: WholeNode, capabilities: Iterable[str]) -> Outcome:
    """The one file as root with these rights alone, in a pid namespace of its own as a container is."""
    bounding = "".join(f",+{name.lower()}" for name in capabilities)
    container = ("unshare", "--pid", "--fork", "--mount-proc", "setpriv", f"--bounding-set=-all{bounding}")
    done = node.lab.run([*container, str(executable()), "check", "--root", "/run/host", *ARGUMENTS], check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def entry_point() -> list[str]:
    """What the image runs, to which the manifest's arguments are added."""
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", (REPOSITORY / "Containerfile").read_text(), re.MULTILINE)
    words: list[str] = json.loads(entry)
    return words


def unknown(outcome: Outcome) -> set[str]:
    return {result["check"] for result in outcome.report["results"] if result["status"] == "unknown"}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image of the Containerfile as an archive. No network is there to get a base from."""
    buildah = ("buildah", "--storage-driver", "vfs", "--root", f"{tmp_path}/store", "--runroot", f"{tmp_path}/run")
    archive = tmp_path / "image.tar"
    for command in (["build", "--tag", IMAGE, str(REPOSITORY)], ["push", IMAGE, f"docker-archive:{archive}:{IMAGE}"]):
        done = run(["unshare", "--net", *buildah, *command], env=dict(os.environ))
        assert done.returncode == 0, done.stderr
    return archive


@pytest.mark.lab
@pytest.mark.needs(*PROGRAMS, "buildah")
def test_in_its_image_with_the_rights_of_the_job_every_check_can_look(node: WholeNode, image: Path) -> None:
    node.lab.run(["ctr", "--namespace", "lab", "images", "import", str(image)])
    dropped = (f"--cap-drop=CAP_{name}" for name in RUNTIME_GIVES if name not in CAPABILITIES)
    added = (f"--cap-add=CAP_{name}" for name in CAPABILITIES)
    mount = "--mount=type=bind,src=/,dst=/host,options=rbind:ro:rslave"
    how = ("--rm", "--net-host", "--read-only", "--seccomp", mount, *dropped, *added)

    # Unlike the kubelet, ctr takes arguments for the whole command line.
    words = (*entry_point(), *ARGUMENTS)
    done = node.lab.run(["ctr", "--namespace", "lab", "run", *how, IMAGE, "doctor", *words], check=False)
    assert done.stdout, done.stderr

    outcome = Outcome(done.returncode, done.stdout, done.stderr)
    assert outcome.report["metadata"]["node"] == "worker-1"
    assert outcome.report["broken"] == []
    assert unknown(outcome) == set(), alarms(outcome)
    assert alarms(outcome) == set()


@pytest.mark.lab
@pytest.mark.needs(*PROGRAMS, "setpriv")
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_without_one_of_them_some_cannot(node: WholeNode, capability: str) -> None:
    outcome = check(node, [each for each in CAPABILITIES if each != capability])

    assert unknown(outcome) >= WITHOUT[capability], alarms(outcome)


def test_the_job_has_no_field_that_kubernetes_does_not_know() -> None:
    api: Any = client.ApiClient()

    job = api.deserialize(json.dumps(JOB), "V1Job", "application/json")

    assert api.sanitize_for_serialization(job) == JOB


def test_each_right_has_its_reason_above_it() -> None:
    lines = MANIFEST.read_text().splitlines()

    for capability in CAPABILITIES:
        assert re.match(r" +# \w", lines[lines.index(f"                - {capability}") - 1]), capability


def test_the_job_asks_for_nothing_more() -> None:
    security = CONTAINER["securityContext"]

    assert security["capabilities"]["drop"] == ["ALL"]
    assert "privileged" not in security
    assert security["readOnlyRootFilesystem"] is True
    assert POD["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostIPC"} & set(POD)
    assert [(mount["mountPath"], mount["readOnly"]) for mount in CONTAINER["volumeMounts"]] == [("/host", True)]


def test_the_image_is_this_version_and_looks_at_the_mounted_root() -> None:
    recipe = (REPOSITORY / "Containerfile").read_text()

    assert CONTAINER["image"] == f"REGISTRY/k8sdoctor:{k8sdoctor.__version__}"
    assert f"k8sdoctor:{k8sdoctor.__version__} ." in recipe
    assert entry_point()[1:] == ["check", "--root", CONTAINER["volumeMounts"][0]["mountPath"]]
