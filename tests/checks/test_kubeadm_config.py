"""kubeadm-config: facts in, findings out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.checks.kubeadm_config import kubeadm_config
from k8sdoctor.facts.cri_sockets import KNOWN, CriSockets
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig, KubeadmBinary, KubeadmConfig
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.facts.node_kernel import NodeKernel
from k8sdoctor.facts.node_network import NodeNetwork
from k8sdoctor.facts.planned_name import PlannedName
from k8sdoctor.facts.resolvers import Resolvers
from k8sdoctor.facts.stage import Stage
from k8sdoctor.finding import Finding, Status, Unobserved
from k8sdoctor.testing import FakeHost
from tests.control_plane import text

if TYPE_CHECKING:
    from k8sdoctor.facts.versions import Version

PATH = "/root/kubeadm.yaml"
HOST = NodeNetwork(
    links=(
        {"index": 1, "name": "lo"},
        {"index": 2, "name": "eth0"},
        {"index": 3, "name": "docker0", "kind": "bridge"},
        {"index": 4, "name": "cni0", "kind": "bridge"},
    ),
    addresses=(
        {"index": 1, "address": "127.0.0.1", "prefix": 8, "family": 4},
        {"index": 2, "address": "192.0.2.10", "prefix": 24, "family": 4},
        {"index": 2, "address": "2001:db8:1::10", "prefix": 64, "family": 6},
        {"index": 2, "address": "fe80::1", "prefix": 64, "family": 6},
        {"index": 3, "address": "172.17.0.1", "prefix": 16, "family": 4},
        {"index": 4, "address": "10.244.0.1", "prefix": 24, "family": 4},
    ),
    routes=(
        {"family": 4, "destination": "0.0.0.0/0", "gateway": "192.0.2.1", "oif": 2, "table": 254, "type": "unicast"},
        {"family": 4, "destination": "192.0.2.0/24", "oif": 2, "table": 254, "type": "unicast"},
        {"family": 4, "destination": "172.17.0.0/16", "oif": 3, "table": 254, "type": "unicast"},
        {"family": 4, "destination": "10.244.0.0/24", "oif": 4, "table": 254, "type": "unicast"},
    ),
)
FRESH = Stage("prepared", "")
KUBELET = Kubelet((1, 36, 2), None, {}, {}, "/var/lib/kubelet/config.yaml", {}, ())
NOT_THERE = Unobserved("NotFound", "there is no kubeconfig here")
RESOLVERS = Resolvers.observe(FakeHost({"/etc/resolv.conf": "nameserver 192.0.2.53\nsearch corp.example\n"}))

HEALTHY = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  advertiseAddress: 192.0.2.10
nodeRegistration:
  name: cp1
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - {name: node-ip, value: 192.0.2.10}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.2
networking:
  podSubnet: 10.245.0.0/16
  serviceSubnet: 10.96.0.0/16
  dnsDomain: cluster.local
apiServer:
  certSANs: [api.example]
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
"""
JOIN = f"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: 192.0.2.1:6443
    token: REDACTED-1
    caCertHashes: ["sha256:{"0a" * 32}"]
"""


def judge(content: str | None = HEALTHY, *, version: Version | None = (1, 36, 2), **changed: Any) -> list[Finding]:
    facts: dict[str, Any] = {
        "stored": NOT_THERE,
        "stage": FRESH,
        "sockets": CriSockets(KNOWN[:1], "/run/containerd/containerd.sock", "socket"),
        "network": HOST,
        "resolvers": RESOLVERS,
        "name": PlannedName("cp1", written=True, addresses=("192.0.2.10",)),
        "kubelet": KUBELET,
        "kernel": NodeKernel("6.18.0"),
    } | changed
    given = KubeadmDocuments() if content is None else KubeadmDocuments.parse(content, PATH)
    return list(kubeadm_config(given=given, kubeadm=KubeadmBinary(version), **facts))


def only(findings: list[Finding]) -> Finding:
    [finding] = findings
    return finding


def told(findings: list[Finding]) -> list[tuple[str, Status]]:
    return [(finding.reason, finding.status) for finding in findings]


def test_a_configuration_that_fits_is_valid_and_says_how_many_nodes_it_has_room_for() -> None:
    finding = only(judge())

    assert (finding.status, finding.reason) == (Status.PASS, "Valid")
    assert finding.message.endswith("10.245.0.0/16 has room for 256 nodes with a /24 each.")


def test_the_configuration_of_the_recorded_control_plane_is_valid() -> None:
    network = NodeNetwork(({"index": 2, "name": "eth0"},), ({"index": 2, "address": "10.27.53.32", "prefix": 24},), ())

    assert told(judge(text("kubeadm.yaml"), network=network)) == [("Valid", Status.PASS)]


def test_a_join_configuration_is_valid() -> None:
    assert told(judge(JOIN)) == [("Valid", Status.PASS)]


def test_the_older_form_is_valid_where_it_is_not_deprecated_yet() -> None:
    older = HEALTHY.replace("v1beta4", "v1beta3").replace(
        "  - {name: node-ip, value: 192.0.2.10}", "    node-ip: 192.0.2.10"
    )

    assert told(judge(older.replace("v1.36.2", "v1.28.0"), version=(1, 28, 4))) == [("Valid", Status.PASS)]
    assert told(judge(older)) == [("ApiVersionDeprecated", Status.WARN)] * 2 + [("Valid", Status.PASS)]


@pytest.mark.parametrize(
    ("old", "new", "reason", "status", "words"),
    [
        # documents
        ("kind: InitConfiguration\n", "kind: [}\n", "ConfigInvalid", "fail", "line 2, column 8"),
        ("kind: InitConfiguration\n", "", "KindMissing", "fail", "line 1: the document that begins here has no kind"),
        ("kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables", "kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration", "KindTwice", "fail", "at lines 22 and 26"),
        ("kind: ClusterConfiguration", "kind: ClusterConfig", "KindUnknown", "fail", "ClusterConfig"),
        ("kubeproxy.config.k8s.io/v1alpha1", "example.io/v1", "ForeignDocument", "warn", "example.io/v1"),
        ("kubelet.config.k8s.io/v1beta1", "kubelet.config.k8s.io/v1", "ApiVersionUnknown", "fail", "v1beta1"),
        ("kubeadm.k8s.io/v1beta4\nkind: C", "kubeadm.k8s.io/v1beta2\nkind: C", "ApiVersionRemoved", "fail", "since 1.27"),
        ("kubeadm.k8s.io/v1beta4\nkind: C", "kubeadm.k8s.io/v2\nkind: C", "ApiVersionUnknown", "fail", "no API version v2"),
        # fields
        ("  podSubnet:", "  podsubnet:", "FieldMisspelt", "fail", 'line 15: ClusterConfiguration.networking.podsubnet is no field; the nearest one is "podSubnet"'),
        ("cgroupDriver:", "cgroupDrivers:", "FieldMisspelt", "fail", '"cgroupDriver"'),
        ("  certSANs: [api.example]", "  timeoutForControlPlane: 4m0s", "FieldMisplaced", "fail", "of v1beta3"),
        ("kubernetesVersion: v1.36.2", "podSubnet: 10.245.0.0/16", "FieldMisplaced", "fail", "ClusterConfiguration.networking"),
        ("mode: iptables", "zigzag: iptables", "FieldUnknown", "warn", "line 27: KubeProxyConfiguration.zigzag"),
        ("  dnsDomain: cluster.local", "  dnsDomain: a.b\n  dnsDomain: c.d", "KeyTwice", "warn", "at lines 17 and 18"),
        ("  - {name: node-ip, value: 192.0.2.10}", "    node-ip: 192.0.2.10", "ValueWrongKind", "fail", "is a mapping, and kubeadm wants a list"),
        ("v1.36.2", "1.36", "ValueWrongKind", "fail", "is the number 1.36"),
        (
            "kind: InitConfiguration\n",
            'kind: InitConfiguration\ndryRun: "true"\n',
            "ValueWrongKind",
            "fail",
            "is text, and kubeadm wants true or false",
        ),
        ("cgroupDriver: systemd", "maxPods: true", "ValueWrongKind", "fail", "is true, and kubeadm wants a number"),
        # this machine
        ("advertiseAddress: 192.0.2.10", "advertiseAddress: 1.2.3.4", "AddressPlaceholder", "fail", "line 4"),
        ("advertiseAddress: 192.0.2.10", "advertiseAddress: 192.0.2.77", "AddressNotHere", "fail", "192.0.2.77"),
        ("advertiseAddress: 192.0.2.10", "advertiseAddress: eth0", "AddressInvalid", "fail", "eth0"),
        ("advertiseAddress: 192.0.2.10", 'advertiseAddress: "fe80::1"', "AddressInvalid", "fail", "fe80::1"),
        ("name: cp1", "name: cp_1", "NodeNameInvalid", "fail", '"cp_1"'),
        ("unix:///run", "/run", "SocketWithoutScheme", "warn", "unix://"),
        ("unix:///run", "tcp:///run", "SocketInvalid", "fail", "tcp://"),
        # the cluster
        ("v1.36.2", '"1.36"', "VersionInvalid", "fail", "1.36"),
        ("v1.36.2", "v1.34.9", "VersionTooOld", "fail", "1.35 and later"),
        ("v1.36.2", "v1.37.0", "VersionTooNew", "warn", "kubeadm 1.36.2"),
        ("kubernetesVersion: v1.36.2", "imageRepository: https://registry.example/k8s", "RepositoryInvalid", "fail", "scheme"),
        ("cluster.local", "Cluster.Local", "DomainInvalid", "fail", "Cluster.Local"),
        ("cluster.local", "corp.example", "DomainClash", "warn", "corp.example"),
        ("mode: iptables", "mode: ipvss", "ProxyModeUnknown", "fail", "ipvss"),
        ("mode: iptables", "mode: ipvs", "ProxyModeDeprecated", "warn", "1.35"),
        # subnets
        ("10.245.0.0/16", "10.245.0.0", "SubnetInvalid", "fail", "no list of subnets"),
        ("10.245.0.0/16", "10.245.0.0/16,10.246.0.0/16", "SubnetInvalid", "fail", "two of one family"),
        ("10.245.0.0/16", "10.245.0.0/25", "SubnetTooSmall", "fail", "smaller than the /24"),
        ("10.245.0.0/16", "10.245.0.0/29", "SubnetTooSmall", "fail", "has 8 addresses"),
        ("10.245.0.0/16", "fd00:1::/40", "SubnetTooLarge", "fail", "2^16"),
        ("10.96.0.0/16", "10.0.0.0/9", "SubnetTooLarge", "fail", "/12"),
        ("10.96.0.0/16", "10.96.0.0/29", "SubnetTooSmall", "fail", "has 8 addresses"),
        ("10.96.0.0/16", "10.244.0.0/15", "SubnetsOverlap", "fail", "10.244.0.0/15"),
        ("10.245.0.0/16", "192.0.0.0/16", "SubnetInUse", "fail", "eth0 has the address 192.0.2.10/24"),
        ("10.245.0.0/16", "172.17.0.0/16", "SubnetInUse", "fail", "docker0 has the address 172.17.0.1/16"),
        ("10.96.0.0/16", "192.0.2.0/26", "SubnetInUse", "fail", "(and 2 more)"),
        ("10.245.0.0/16", "172.17.8.0/22", "SubnetShadowed", "warn", "docker0"),
        ("10.245.0.0/16", "10.245.0.0/16,fd00:1::/56", "FamiliesDiffer", "warn", "IPv4 and IPv6"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line_and_is_the_only_one(
    old: str, new: str, reason: str, status: str, words: str
) -> None:
    assert old in HEALTHY

    findings = [finding for finding in judge(HEALTHY.replace(old, new, 1)) if finding.reason != "Valid"]

    assert {finding.reason for finding in findings} - {"FamiliesDiffer"} <= {reason}
    finding = next(finding for finding in findings if finding.reason == reason)
    assert finding.status == status
    assert words in finding.message, finding.message
    assert finding.message.startswith("/root/kubeadm.yaml")
    assert finding.fix is not None


def test_a_leftover_bridge_of_pods_is_no_use_of_their_subnet() -> None:
    assert told(judge(HEALTHY.replace("10.245", "10.244"))) == [("Valid", Status.PASS)]


def test_routes_of_pods_on_a_node_of_the_cluster_are_as_they_should_be() -> None:
    route: Any = {"family": 4, "destination": "10.245.3.0/24", "gateway": "192.0.2.11", "oif": 2, "table": 254}
    network = NodeNetwork(HOST.links, HOST.addresses, (*HOST.routes, route))

    assert told(judge(network=network)) == [("SubnetInUse", Status.FAIL)]
    assert told(judge(network=network, stage=Stage("control-plane", ""))) == [("Valid", Status.PASS)]


def test_a_network_that_an_interface_has_is_named_once_and_other_tables_are_left_alone() -> None:
    finding = only(judge(HEALTHY.replace("10.245.0.0/16", "172.17.0.0/16")))
    assert "more" not in finding.message

    route: Any = {"family": 4, "destination": "10.245.3.0/24", "oif": 2, "table": 100, "type": "unicast"}
    network = NodeNetwork(HOST.links, HOST.addresses, (*HOST.routes, route))
    assert told(judge(network=network)) == [("Valid", Status.PASS)]


def test_the_address_and_the_first_services_are_of_one_family() -> None:
    six = HEALTHY.replace("advertiseAddress: 192.0.2.10", 'advertiseAddress: "2001:db8:1::10"')
    dual = six.replace("10.96.0.0/16", "fd00:96::/112,10.96.0.0/16").replace(
        "10.245.0.0/16", "fd00:1::/56,10.245.0.0/16"
    )

    assert told(judge(six)) == [("AddressFamilyDiffers", Status.FAIL)]
    assert told(judge(six.replace("  serviceSubnet: 10.96.0.0/16\n", ""))) == [("AddressFamilyDiffers", Status.FAIL)]
    assert told(judge(dual)) == [("Valid", Status.PASS)]


def test_the_default_subnet_of_services_is_judged_though_nobody_wrote_it() -> None:
    network = NodeNetwork(HOST.links, (*HOST.addresses, {"index": 2, "address": "10.100.0.5", "prefix": 24}), ())

    finding = only(judge(HEALTHY.replace("  serviceSubnet: 10.96.0.0/16\n", ""), network=network))

    assert "10.96.0.0/12 (kubeadm's default)" in finding.message


def test_an_address_of_somebody_who_passes_on_is_a_warning_where_etcd_is_elsewhere() -> None:
    outside = HEALTHY.replace("advertiseAddress: 192.0.2.10", "advertiseAddress: 198.51.100.7").replace(
        "apiServer:", "etcd: {external: {endpoints: [https://192.0.2.20:2379]}}\napiServer:"
    )

    assert told(judge(outside)) == [("AddressNotHere", Status.WARN), ("Valid", Status.PASS)]


def test_the_placeholders_of_printed_defaults_are_named_and_the_token_is_not_shown() -> None:
    printed = (
        HEALTHY.replace("name: cp1", "name: node")
        .replace("192.0.2.10\n", "1.2.3.4\n", 1)
        .replace("localAPI", "bootstrapTokens:\n- token: REDACTED-DEFAULT-TOKEN\nlocalAPI", 1)
    )

    findings = judge(printed, name=PlannedName("node", written=True, error="no such name"))

    assert told(findings) == [
        ("AddressPlaceholder", Status.FAIL),
        ("NodeNamePlaceholder", Status.WARN),
        ("TokenPlaceholder", Status.WARN),
    ]
    assert "abcdef" not in repr(findings)


def test_a_name_that_this_machine_cannot_resolve_is_a_warning_with_a_line_for_hosts() -> None:
    name = PlannedName("cp1", written=True, error="Name or service not known")

    finding = judge(name=name)[0]

    assert (finding.reason, finding.status) == ("NodeNameNotResolved", Status.WARN)
    assert finding.fix is not None
    assert finding.fix.commands == ("echo '192.0.2.10 cp1' >> /etc/hosts",)


def test_a_host_name_that_no_node_can_have_fails_where_the_file_gives_none() -> None:
    finding = only(judge(HEALTHY.replace("  name: cp1\n", ""), name=PlannedName("cp_1", error="no such name")))

    assert (finding.reason, finding.status) == ("NodeNameInvalid", Status.FAIL)


def test_a_socket_that_is_absent_fails_and_explains_why_the_runtime_is_silent() -> None:
    finding = only(judge(sockets=CriSockets(KNOWN[1:2], "/run/containerd/containerd.sock", "absent")))

    assert (finding.reason, finding.status) == ("SocketAbsent", Status.FAIL)
    assert "there is /var/run/crio/crio.sock" in finding.message
    assert {link.check for link in finding.explains} == {"cni-config", "pause-image", "node-ready"}


def test_another_runtime_than_the_one_of_the_running_kubelet_is_a_warning() -> None:
    def kubelet(endpoint: str) -> Kubelet:
        return Kubelet((1, 36, 2), 7, {"--container-runtime-endpoint": endpoint}, {}, "", {}, ())

    assert told(judge(kubelet=kubelet("unix:///var/run/crio/crio.sock")))[0] == ("SocketDiffers", Status.WARN)
    assert told(judge(kubelet=kubelet("unix:///var/run/containerd/containerd.sock"))) == [("Valid", Status.PASS)]


def test_several_runtimes_need_a_word_which_one() -> None:
    several = CriSockets(KNOWN[:2], "/run/containerd/containerd.sock", "socket")
    silent = HEALTHY.replace("  criSocket: unix:///run/containerd/containerd.sock\n", "")

    assert told(judge(sockets=several)) == [("Valid", Status.PASS)]
    assert told(judge(silent, sockets=several)) == [("SeveralRuntimes", Status.FAIL)]
    assert told(judge(None, sockets=several)) == [("SeveralRuntimes", Status.WARN)]
    assert told(judge(None, sockets=several, version=None)) == [("NothingPlanned", Status.SKIP)]


@pytest.mark.parametrize(
    ("old", "new", "reason", "status"),
    [
        ("0a0a", "", "CaHashInvalid", "fail"),
        (f'    caCertHashes: ["sha256:{"0a" * 32}"]', "    unsafeSkipCAVerification: true", "CaUnverified", "warn"),
        (f'    caCertHashes: ["sha256:{"0a" * 32}"]\n', "", "DiscoveryInvalid", "fail"),
        ("    apiServerEndpoint: 192.0.2.1:6443\n", "", "DiscoveryInvalid", "fail"),
        ("  bootstrapToken:\n", "  file: {kubeConfigPath: /a}\n  bootstrapToken:\n", "DiscoveryInvalid", "fail"),
    ],
)
def test_a_node_that_cannot_or_should_not_join_so_is_told(old: str, new: str, reason: str, status: str) -> None:
    finding = judge(JOIN.replace(old, new, 1))[0]

    assert (finding.reason, finding.status) == (reason, status)


def test_modes_of_kube_proxy_are_held_against_the_kernel() -> None:
    nftables, ipvs = HEALTHY.replace("mode: iptables", "mode: nftables"), HEALTHY.replace("iptables", "ipvs")

    assert told(judge(nftables)) == [("Valid", Status.PASS)]
    assert told(judge(nftables, kernel=NodeKernel("5.10.0-30-amd64"))) == [("ProxyModeUnsupported", Status.FAIL)]
    assert told(judge(ipvs, kernel=NodeKernel("6.1.0", "absent"))) == [("ProxyModeUnsupported", Status.FAIL)]
    assert told(judge(ipvs, kernel=NodeKernel("6.1.0", "loadable")))[0] == ("ProxyModeDeprecated", Status.WARN)
    older = ipvs.replace("v1.36.2", "v1.34.0")
    assert told(judge(older, version=(1, 34, 1), kernel=NodeKernel("6.1.0", "here"))) == [("Valid", Status.PASS)]


def test_a_newer_api_than_the_installed_kubeadm_takes_is_named() -> None:
    older = HEALTHY.replace("v1.36.2", "v1.30.1")

    assert told(judge(older, version=(1, 30, 0))) == [("ApiVersionTooNew", Status.FAIL)] * 2
    assert told(judge(older, version=None)) == [("ApiVersionTooNew", Status.FAIL)] * 2


def test_a_kubelet_document_alone_is_left_aside() -> None:
    alone = HEALTHY.split("---\n")[2]

    assert told(judge(alone)) == [("ForeignDocument", Status.WARN), ("Valid", Status.PASS)]
    assert told(judge(f"{JOIN}---\n{alone}")) == [("ForeignDocument", Status.WARN), ("Valid", Status.PASS)]


def test_what_could_not_be_looked_at_is_unknown_and_never_valid() -> None:
    denied = Unobserved("NotPermitted", "run as root")
    findings = judge(network=denied, sockets=denied, name=denied, resolvers=denied)

    assert {finding.status for finding in findings} == {Status.UNKNOWN}
    assert len(findings) == 4


# -- without --config ------------------------------------------------------------------------------------------------


def stored(content: str) -> ClusterKubeadmConfig:
    return ClusterKubeadmConfig(KubeadmConfig(), content)


def test_nothing_planned_is_no_fault() -> None:
    assert told(judge(None)) == [("NothingPlanned", Status.SKIP)]
    finding = only(judge(None, stage=Stage("worker", "")))
    assert "there is no kubeconfig here" in finding.message


def test_what_the_cluster_keeps_is_held_against_the_installed_kubeadm() -> None:
    kept = HEALTHY.split("---\n")[1]
    old = kept.replace("v1beta4", "v1beta3")

    assert told(judge(None, stored=stored(kept))) == [("Valid", Status.PASS)]
    assert told(judge(None, stored=stored(kept + "newField: 1\n"))) == [("Valid", Status.PASS)]
    finding = only(judge(None, stored=stored(old), version=(1, 37, 0)))
    assert (finding.reason, finding.status) == ("ApiVersionRemoved", Status.FAIL)
    assert finding.message.startswith("ConfigMap kube-system/kubeadm-config")


def test_an_alias_that_repeats_itself_costs_nothing() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n"
        for a, b in zip("abcdefghijklmnopqrstuvwxyz"[:-1], "bcdefghijklmnopqrstuvwxyz", strict=True)
    )

    findings = judge(f"apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{bomb}")

    assert {finding.reason for finding in findings} == {"FieldUnknown", "Valid"}
