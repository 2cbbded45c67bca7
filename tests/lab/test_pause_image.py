"""What the check predicts, and what a real containerd then does with the same registries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import cri
from tests.lab.containerd import CONFIG, SOCKET, Containerd
from tests.lab.node import LabNode
from tests.lab.registry import HOSTS_TOML, IMAGE, NAME, SILENT, Registries

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "docker-registry", "nginx", "skopeo", "iptables", "openssl", "busybox"),
]

CONFIG_PATH = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'


class Lab:
    """A node whose containerd has no sandbox image, and the registries that it may ask."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.registries = Registries(node)
        self.registries.start()
        self.containerd = Containerd(node, sandbox_image=IMAGE, toml=CONFIG_PATH)
        self.containerd.start()

    def judge(self, *options: str) -> list[dict[str, Any]]:
        """The findings of the check on the node."""
        found: list[dict[str, Any]] = self.node.check("pause-image", *options).result("pause-image")["findings"]
        return found

    def reasons(self, *options: str) -> list[str]:
        return [f"{finding['status']} {finding['reason']}" for finding in self.judge(*options)]

    def pull(self, limit: float = 60.0) -> str | None:
        """What containerd says when it pulls the image; None when it has it then, and has forgotten it again."""
        path = str(self.node.root) + SOCKET
        try:
            cri.call(path, "ImageService/PullImage", {"image": {"image": IMAGE}}, limit)
        except cri.CallError as error:
            return f"{error.code}: {error.details}"
        self.forget()
        return None

    def forget(self) -> None:
        """Let containerd have no image."""
        self.node.shell("ctr -n k8s.io images ls -q | xargs -r ctr -n k8s.io images rm --sync")
        if self.containerd.call("ImageService/ImageStatus", {"image": {"image": IMAGE}}).get("image"):
            self.containerd.restart()  # its CRI learns of removals by events, sometimes minutes later

    def mend(self, finding: dict[str, Any]) -> None:
        """Paste a finding's fix."""
        for line in [*finding["fix"]["commands"], *finding["fix"]["persist"]]:
            self.node.shell(line)
        self.containerd.wait_until_ready()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


@pytest.mark.parametrize(
    ("url", "extra"),
    [
        (f"http://{NAME}:5001", ""),
        (f"https://{NAME}:5002", 'ca = "/etc/lab-registry/ca.crt"'),
        ("https://192.0.2.1:5002", 'ca = "/etc/lab-registry/ca.crt"'),
        (f"https://{NAME}:5002", "skip_verify = true"),
        (f"https://{NAME}:5005", "skip_verify = true"),
        (f"http://{NAME}:5008", ""),
        (f"http://{NAME}:5012", ""),
        (f"http://{NAME}:5020", ""),
    ],
    ids=["plain", "own CA", "by address", "unverified", "wrong name unverified", "redirect", "token", "index"],
)
def test_what_the_check_calls_pullable_containerd_pulls(lab: Lab, url: str, extra: str) -> None:
    lab.registries.mirror(url, extra=extra)

    assert lab.reasons() == ["pass Pullable"]
    assert lab.pull() is None


@pytest.mark.parametrize(
    ("url", "extra", "reason", "says"),
    [
        (f"http://{NAME}:5003", "", "RegistryForbidden", "403 Forbidden"),
        (f"http://{NAME}:5004", "", "NotARegistry", "text/html"),
        (f"https://{NAME}:5001", "", "PlainHttpRegistry", "server gave HTTP response to HTTPS client"),
        (f"http://{NAME}:5002", "", "PlainHttpRegistry", "400 Bad Request"),
        (f"https://{NAME}:5002", "", "CertificateUntrusted", "signed by unknown authority"),
        (f"https://{NAME}:5005", 'ca = "/etc/lab-registry/ca.crt"', "CertificateNameMismatch", "valid for other.lab"),
        (f"https://{NAME}:5006", 'ca = "/etc/lab-registry/ca.crt"', "CertificateExpired", "has expired"),
        (f"https://{NAME}:5007", 'ca = "/etc/lab-registry/ca.crt"', "CertificateNameMismatch", "Common Name"),
        (f"https://{NAME}:5002", 'ca = "/etc/nowhere.crt"', "CaUnreadable", "/etc/nowhere.crt"),
        (f"http://{NAME}:5009", "", "RegistryError", "429 Too Many Requests"),
        (f"http://{NAME}:5010", "", "RegistryError", "503 Service"),
        (f"http://{NAME}:5014", "", "AuthRequired", "401 Unauthorized"),
        (f"http://{NAME}:5015", "", "AuthRequired", "401 Unauthorized"),
        (f"http://{NAME}:5017", "", "ImageNotFound", "not found"),
        (f"http://{NAME}:5019", "", "NoMatchingPlatform", "no match for platform"),
        (f"http://{NAME}:5999", "", "RegistryUnreachable", "connection refused"),
        ("http://nowhere.lab:5000", "", "NameNotResolved", "nowhere.lab"),
    ],
    ids=[
        "403 with a page",
        "200 with a page",
        "plain HTTP on an https port",
        "https on an http port",
        "unknown CA",
        "wrong name",
        "expired",
        "common name only",
        "no CA file",
        "429",
        "503",
        "login",
        "no token",
        "404",
        "index of other machines",
        "dead",
        "no such name",
    ],
)
def test_what_the_check_fails_containerd_cannot_pull_for_the_same_reason(
    lab: Lab, url: str, extra: str, reason: str, says: str
) -> None:
    lab.registries.mirror(url, extra=extra)

    assert lab.reasons() == [f"fail {reason}"]
    error = lab.pull()
    assert error is not None
    assert says in error


def test_an_image_for_another_machine_without_an_index_is_pulled_and_would_not_run(lab: Lab) -> None:
    lab.registries.mirror(f"http://{NAME}:5018")

    [finding] = lab.judge()

    assert (finding["status"], finding["reason"]) == ("fail", "NoMatchingPlatform")
    assert lab.pull() is None  # containerd asks an index for its platforms, and nobody else


def test_a_certificate_for_another_name_is_shown_with_its_names(lab: Lab) -> None:
    lab.registries.mirror(f"https://{NAME}:5005", extra='ca = "/etc/lab-registry/ca.crt"')

    [finding] = lab.judge()

    assert "it is for other.lab, by CN=Lab CA" in finding["message"]


@pytest.mark.parametrize(
    "url", [f"http://{SILENT}:5000", f"http://{NAME}:5011", f"http://{NAME}:5030"], ids=["blackhole", "blobs", "drip"]
)
def test_silence_costs_its_limit_once_and_containerd_gets_nowhere(lab: Lab, url: str) -> None:
    lab.registries.mirror(url)

    [finding] = lab.judge()

    assert (finding["status"], finding["reason"]) == ("fail", "RegistryUnreachable")
    assert "within 5 s" in finding["message"]
    assert lab.pull(limit=7) is not None


def test_a_later_host_saves_the_pull_after_an_error(lab: Lab) -> None:
    lab.registries.mirror(f"http://{NAME}:5003", f"http://{SILENT}:5000", f"http://{NAME}:5001")

    assert lab.reasons() == ["warn MirrorFailing", "warn MirrorFailing", "pass Pullable"]

    lab.registries.mirror(f"http://{NAME}:5003", f"http://{NAME}:5001")

    assert lab.pull() is None


@pytest.mark.parametrize(("port", "reason"), [(5004, "NotARegistry"), (5019, "NoMatchingPlatform")])
def test_a_page_or_an_image_for_others_ends_the_chain(lab: Lab, port: int, reason: str) -> None:
    lab.registries.mirror(f"http://{NAME}:{port}", f"http://{NAME}:5001")

    assert lab.reasons() == [f"fail {reason}"]
    assert lab.pull() is not None


def test_blobs_that_one_mirror_lacks_come_from_the_next(lab: Lab) -> None:
    lab.node.far_run(["iptables", "-I", "INPUT", "-d", SILENT, "-j", "REJECT"])
    lab.registries.mirror(f"http://{NAME}:5011", f"http://{NAME}:5001")
    try:
        assert lab.reasons() == ["warn MirrorFailing", "pass Pullable"]
        assert lab.pull() is None
    finally:
        lab.node.far_run(["iptables", "-D", "INPUT", "-d", SILENT, "-j", "REJECT"])


def test_a_host_that_may_not_be_asked_for_a_tag_is_asked_for_its_content_and_a_page_ends_the_pull(lab: Lab) -> None:
    def first(port: int) -> str:
        return f'server = "http://{NAME}:5001"\n[host."http://{NAME}:{port}"]\n  capabilities = ["resolve"]\n'

    lab.node.write(HOSTS_TOML, first(5012))
    assert lab.reasons() == ["pass Pullable"]
    assert lab.pull() is None

    lab.node.write(HOSTS_TOML, first(5004))
    [finding] = lab.judge()
    assert (finding["status"], finding["reason"]) == ("fail", "NotARegistry")
    assert "unexpected EOF" in (lab.pull() or "")

    # An editor that puts a good host in the place of the line that it is to open.
    editor = f'#!/bin/sh\nsed -i "${{1#+}}s#.*#[host.\'http://{NAME}:5001\']#" "$2"\n'
    lab.node.write("/run/editor", editor, mode=0o755)
    edit, remove = finding["fix"]["commands"]
    lab.node.shell(f"EDITOR=/run/editor; {edit}")
    lab.node.shell(remove)
    assert lab.reasons() == ["pass Pullable"]
    assert lab.pull() is None


# -- fixes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "extra", "reason"),
    [
        (f"https://{NAME}:5002", 'ca = "/etc/lab-ca/missing.crt"', "CaUnreadable"),
        (f"https://{NAME}:5001", "", "PlainHttpRegistry"),
        (f"http://{NAME}:5002", 'ca = "/etc/lab-registry/ca.crt"', "PlainHttpRegistry"),
    ],
)
def test_pasting_the_fix_makes_the_next_run_pass(lab: Lab, url: str, extra: str, reason: str) -> None:
    lab.registries.mirror(url, extra=extra, server=f"http://{NAME}:5999")
    [finding] = lab.judge()
    assert finding["reason"] == reason

    lab.mend(finding)

    assert lab.reasons()[-1] == "pass Pullable"
    assert lab.pull() is None


def test_a_ca_in_the_distributions_trust_store_counts_after_a_restart(lab: Lab) -> None:
    lab.registries.mirror(f"https://{NAME}:5002")
    [finding] = lab.judge()
    assert finding["reason"] == "CertificateUntrusted"

    lab.mend(finding)

    assert lab.reasons() == ["pass Pullable"]
    assert lab.pull() is None


def test_an_image_that_was_brought_by_hand_is_present_and_nobody_is_asked(lab: Lab) -> None:
    lab.registries.mirror(f"http://{NAME}:5003")
    [finding] = lab.judge()
    lab.containerd.import_image(IMAGE)
    lab.node.run(["mv", "/run/pause.tar", "/root/pause.tar"])
    lab.forget()
    try:
        lab.node.shell(f"cd /root; {finding['fix']['commands'][1]}")

        assert lab.reasons() == ["pass Present"]
        assert lab.node.shell(finding["fix"]["verify"]).stdout.count("pause") == 1
    finally:
        lab.forget()


def test_a_hosts_toml_without_config_path_is_told_and_its_fix_makes_it_count(lab: Lab) -> None:
    kept = lab.node.read(CONFIG)
    lab.registries.mirror(f"http://{NAME}:5001")
    try:
        lab.node.write(CONFIG, kept.replace(CONFIG_PATH, ""))
        lab.containerd.restart()
        ignored = next(finding for finding in lab.judge() if finding["reason"] == "MirrorIgnored")
        assert HOSTS_TOML in ignored["message"]

        lab.mend(ignored)

        assert lab.reasons() == ["pass Pullable"]
    finally:
        lab.node.write(CONFIG, kept)
        lab.containerd.restart()


def test_a_registry_that_nobody_reaches_is_replaced_by_the_one_that_kubeadm_plans(lab: Lab) -> None:
    planned = (
        "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n"
        f"kubernetesVersion: v1.23.0\nimageRepository: {NAME}:5001\n"
    )
    lab.node.write("/root/kubeadm.yaml", planned)
    lab.node.write(
        "/usr/local/bin/kubeadm", "#!/bin/sh\necho v1.23.0\n", mode=0o755
    )  # all that is asked of it is its version
    lab.node.write(
        f"/etc/containerd/certs.d/{NAME}:5001/hosts.toml",
        f'server = "http://{NAME}:5001"\n[host."http://{NAME}:5001"]\n  capabilities = ["pull", "resolve"]\n',
    )
    kept = lab.node.read(CONFIG)
    lab.node.run(["rm", "-f", HOSTS_TOML])
    lab.node.write(CONFIG, "\n".join(line for line in kept.splitlines() if "sandbox_image" not in line) + "\n")
    lab.containerd.restart()
    try:
        found = lab.judge("--config", "/root/kubeadm.yaml")
        assert [finding["reason"] for finding in found] == ["PauseImageDiffers", "NameNotResolved"]

        lab.mend(found[1])

        assert lab.reasons("--config", "/root/kubeadm.yaml") == ["pass Pullable"]
    finally:
        lab.node.run(["rm", "/usr/local/bin/kubeadm"])
        lab.node.write(CONFIG, kept)
        lab.containerd.restart()


def test_a_runtime_that_is_down_is_unknown_and_the_way_to_the_image_is_judged(lab: Lab) -> None:
    lab.registries.mirror(f"http://{NAME}:5003")
    lab.containerd.stop()
    try:
        assert lab.reasons() == ["unknown RuntimeUnreachable", "fail RegistryForbidden"]
        lab.registries.mirror(f"http://{NAME}:5001")
        assert lab.reasons() == ["unknown RuntimeUnreachable", "pass Pullable"]
    finally:
        lab.containerd.start()


def test_offline_nobody_is_asked_and_it_is_no_failure(lab: Lab) -> None:
    lab.registries.mirror(f"http://{NAME}:5003")

    assert lab.reasons("--offline") == ["skip Offline"]
