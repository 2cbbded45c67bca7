"""What the checks say of mirrors and of a proxy, and what a real containerd then does with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.host import cri
from tests.api_server import kubeconfig
from tests.lab.containerd import SOCKET, Containerd
from tests.lab.node import LabNode
from tests.lab.registry import FOLDER, IMAGE, NAME, Registries

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.needs("containerd", "docker-registry", "nginx", "skopeo", "iptables", "openssl", "busybox"),
]

CONFIG_PATH = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n'
UPSTREAM = "upstream.lab"
"""A registry whose name nobody knows, so that its images come from a mirror or from nowhere."""
HOSTS_TOML = f"/etc/containerd/certs.d/{UPSTREAM}/hosts.toml"
PRIVATE = f"{NAME}:5002"
OWN_FOLDER = f"/etc/containerd/certs.d/{NAME}_5002_"
DROP_INS = "/etc/systemd/system/containerd.service.d"


class Lab:
    """A node that has its sandbox image, and the registries that it may ask for others."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        Registries(node).start()
        self.containerd = Containerd(node, sandbox_image=IMAGE, toml=CONFIG_PATH)
        self.containerd.start()
        self.containerd.import_image(IMAGE)

    def judge(self, check: str = "registry-config") -> list[dict[str, Any]]:
        """The findings of a check on the node that alarm."""
        outcome = self.node.check(check)
        assert outcome.report["broken"] == []
        return [each for each in outcome.result(check)["findings"] if each["status"] not in ("pass", "skip")]

    def pull(self, registry: str) -> str | None:
        """What containerd says when it pulls an image of a registry; None when it has it then, and has forgotten it again."""
        image = f"{registry}/pause:3.6"
        try:
            cri.call(str(self.node.root) + SOCKET, "ImageService/PullImage", {"image": {"image": image}}, 60)
        except cri.CallError as error:
            return str(error.details)
        self.node.run(["ctr", "-n", "k8s.io", "images", "rm", "--sync", image])
        return None

    def mend(self, finding: dict[str, Any]) -> None:
        for line in [*finding["fix"]["commands"], *finding["fix"]["persist"]]:
            self.node.shell(line)
        self.containerd.wait_until_ready()


@pytest.fixture(scope="module")
def made() -> Iterator[Lab]:
    with LabNode() as node:
        yield Lab(node)


@pytest.fixture
def lab(made: Lab) -> Lab:
    """The node, with nothing written about registries."""
    made.node.shell("rm -rf /etc/containerd/certs.d; mkdir -p /etc/containerd/certs.d")
    return made


def test_a_mirror_that_is_written_rightly_is_heeded(lab: Lab) -> None:
    lab.node.write(
        HOSTS_TOML, f'[host."https://{PRIVATE}"]\n  capabilities = ["pull", "resolve"]\n  ca = "{FOLDER}/ca.crt"\n'
    )

    assert lab.judge() == []
    assert lab.pull(UPSTREAM) is None


@pytest.mark.parametrize(
    ("text", "reasons", "says"),
    [
        (f'[hosts."http://{NAME}:5001"]\n  capabilities = ["pull", "resolve"]\n', {"UnknownKey"}, UPSTREAM),
        (
            f'[host."https://{PRIVATE}"]\n  insecure_skip_verify = true\n',
            {"UnknownKey", "CertificateUntrusted"},
            UPSTREAM,
        ),
        (
            f'[host."https://{PRIVATE}"]\n  ca_file = "{FOLDER}/ca.crt"\n',
            {"UnknownKey", "CertificateUntrusted"},
            UPSTREAM,
        ),
        (f'[host."http:/{NAME}:5001"]\n', {"UnknownScheme"}, UPSTREAM),
        (f'[host."https://{PRIVATE}"]\n  ca = "/etc/lab-ca/none.crt"\n', {"CaUnreadable"}, "/etc/lab-ca/none.crt"),
        (f'[host."https://{PRIVATE}"]\n', {"CertificateUntrusted"}, UPSTREAM),
        (f'[host."https://{NAME}:5001"]\n', {"PlainHttpRegistry"}, UPSTREAM),
    ],
    ids=["hosts", "insecure_skip_verify", "ca_file", "scheme", "no CA file", "unknown CA", "plain HTTP"],
)
def test_what_is_alarmed_about_containerd_cannot_use_and_the_pasted_fix_mends_it(
    lab: Lab, text: str, reasons: set[str], says: str
) -> None:
    lab.node.write(HOSTS_TOML, text)

    found = lab.judge()

    assert {each["reason"] for each in found} == reasons
    error = lab.pull(UPSTREAM)
    assert error is not None
    assert says in error
    for finding in found:
        if finding["reason"] != "CertificateUntrusted" or len(reasons) == 1:  # else the key is its cause
            lab.mend(finding)
    assert lab.judge() == []
    assert lab.pull(UPSTREAM) is None


def test_a_private_registry_whose_ca_nobody_trusts_fails_until_its_ca_lies_beside(lab: Lab) -> None:
    lab.node.write(f"{OWN_FOLDER}/hosts.toml", f'[host."https://{PRIVATE}"]\n')

    [finding] = lab.judge()

    assert (finding["status"], finding["reason"], finding["subject"]) == ("fail", "CertificateUntrusted", PRIVATE)
    error = lab.pull(PRIVATE)
    assert error is not None
    assert "signed by unknown authority" in error
    lab.mend(finding)
    assert lab.judge() == []
    assert lab.pull(PRIVATE) is None


def test_a_ca_as_docker_wants_it_is_trusted_without_a_hosts_toml(lab: Lab) -> None:
    lab.node.write(f"{OWN_FOLDER}/ca.crt", lab.node.read(f"{FOLDER}/ca.crt"))

    assert lab.judge() == []
    assert lab.pull(PRIVATE) is None


def test_a_malformed_file_is_passed_over_by_containerd(lab: Lab) -> None:
    lab.node.write(HOSTS_TOML, f'[host."http://{NAME}:5001"]\n  capabilities = [pull]\n')

    [finding] = lab.judge()

    assert finding["reason"] == "MalformedConfig"
    assert f"{HOSTS_TOML}:2 " in finding["message"]
    assert lab.pull(UPSTREAM) is not None


def test_a_private_mirror_behind_a_proxy_that_does_not_know_it_is_told_and_left_out_of_it(lab: Lab) -> None:
    lab.node.write(HOSTS_TOML, f'[host."https://{PRIVATE}"]\n  skip_verify = true\n')
    lab.node.write(
        f"{DROP_INS}/http-proxy.conf", f'[Service]\nEnvironment="HTTPS_PROXY=http://me:s3cret@{NAME}:5003"\n'
    )
    lab.containerd.restart()

    outcome = lab.node.check("proxy", "registry-config")

    causes = {each["cause"]["reason"]: each for each in outcome.report["diagnoses"]}
    assert list(causes) == ["RegistryThroughProxy"]
    assert [each["check"] for each in causes["RegistryThroughProxy"]["explains"]] == ["registry-config"]
    assert "s3cret" not in json.dumps(outcome.report)
    assert lab.pull(UPSTREAM) is not None
    lab.mend({"fix": causes["RegistryThroughProxy"]["fix"]})
    assert lab.judge("proxy") == []
    assert lab.pull(UPSTREAM) is None


@pytest.mark.parametrize("no_proxy", ["localhost,10.96.0.0/12", f"localhost,{NAME}"], ids=["without", "with"])
def test_a_kubelet_that_is_sent_through_a_proxy_to_its_api_server_fails(lab: Lab, no_proxy: str) -> None:
    cluster = {"server": f"https://{PRIVATE}", "certificate-authority-data": ""}
    lab.node.write("/etc/kubernetes/kubelet.conf", kubeconfig(cluster, {}), mode=0o600)
    environment = {"HTTPS_PROXY": f"http://{NAME}:5003", "NO_PROXY": no_proxy}
    kubelet = lab.node.popen(["bash", "-c", "exec -a /usr/local/bin/kubelet sleep 600"], env=environment)
    lab.node.await_process("/usr/local/bin/kubelet")
    try:
        found = {(each["reason"], each["status"]) for each in lab.judge("proxy") if each["subject"] == "kubelet"}
    finally:
        kubelet.stop()

    assert found == (set() if NAME in no_proxy else {("ApiThroughProxy", "fail")})
