"""Names are found where they stand, replaced wherever else they stand, and nothing else is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from k8sdoctor.anonymize import StandIns, anonymized
from k8sdoctor.facts.x509 import certificates, public_key, signed_by
from k8sdoctor.host.recording import Entry
from tests.certificates import Issued, issue

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = b"k" * 32
PERSON = "boromir"

FILES = {
    "/etc/hostname": "legolas\n",
    "/etc/hosts": "127.0.0.1 localhost\n10.27.53.7 legolas.mirkwood.corp legolas\n10.27.53.8 gimli gimli.erebor.de # dwarf\n",
    "/etc/resolv.conf": "search mirkwood.corp prod.acme.com\nnameserver 10.27.1.1\noptions ndots:5\n",
    "/etc/machine-id": "0a1b2c3d4e5f60718293a4b5c6d7e8f9\n",
    "/etc/containerd/certs.d/harbor.acme.com:5000/hosts.toml": 'server = "https://harbor.acme.com:5000"\n[host."https://mirror.shire.lan:8443/v2/proxy"]\n ca = "/etc/certs/acme-ca.crt"\n',
    "/etc/containerd/config.toml": 'sandbox_image = "harbor.acme.com:5000/k8s/pause:3.9"\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\n endpoint=["https://hub.rivendell.internal"]\n[plugins."io.containerd.grpc.v1.cri".registry.configs."reg.gondor.local".auth]\n',
    "/etc/containers/registries.conf": '[[registry]]\nlocation = "quay.mordor.net/team"\n[[registry.mirror]]\nlocation="mirror.mordor.net"\n',
    "/etc/systemd/system/containerd.service.d/proxy.conf": 'Environment="HTTPS_PROXY=http://saruman:REDACTED-1@proxy.isengard.org:3128" "NO_PROXY=10.27.0.0/16,.mirkwood.corp,10.96.0.0/12,legolas"\n',
    "/etc/kubernetes/kubelet.conf": "apiVersion: v1\nclusters:\n- cluster:\n    server: https://k8s-api.acme.com:6443\n  name: middleearth\ncontexts:\n- context:\n    cluster: middleearth\n    user: sauron\n  name: sauron@middleearth\nkind: Config\nusers:\n- name: sauron\n  user: {}\n",
    "/etc/kubernetes/manifests/etcd.yaml": "spec:\n  containers:\n  - command:\n    - etcd\n    - --name=legolas\n    - --initial-cluster=legolas=https://10.27.53.7:2380,gimli=https://10.27.53.8:2380\n    - --advertise-client-urls=https://10.27.53.7:2379\n",
    "/var/lib/kubelet/config.yaml": "clusterDNS:\n- 10.113.0.10\nclusterDomain: k8s.acme.com\n",
    "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--hostname-override=legolas --node-ip=10.27.53.7 --pod-infra-container-image=harbor.acme.com:5000/k8s/pause:3.9"\n',
    "/var/log/y.log": "# frodo.baggins@acme.com told us\\nmailto:elrond+k8s@mirkwood.corp; git@github.com, kubernetes-admin@vip.acme.com, getty@tty1.service\n",
    "/proc/1/net/ip_vs": "TCP  0A1B3507:0035 rr\n  -> 0AF40002:0035 Masq 1 0 0\n",
    f"/home/{PERSON}/.kube/config": "x",
    "/kubeadm.yaml": "kind: ClusterConfiguration\ncontrolPlaneEndpoint: vip.acme.com:6443\napiServer:\n  certSANs:\n  - api.numenor.io\n  - 198.51.100.77\n  - 51.15.3.4\nnetworking:\n  serviceSubnet: 10.113.0.0/16\n  podSubnet: 10.200.0.0/14\n  dnsDomain: k8s.acme.com\n---\nkind: InitConfiguration\nnodeRegistration:\n  kubeletExtraArgs: {}\n  name: legolas\nlocalAPIEndpoint:\n  advertiseAddress: 10.27.53.7\n",
    "/var/log/x.log": 'E1120 node "legolas" not found; lookup db.faramir.net on 10.27.1.1:53: no such host; dial tcp 10.27.53.8:6443; Nov 20 gimli kubelet[1]: ip-10-27-53-9.eu-central-1.compute.internal 7.53.27.10.in-addr.arpa user legolas-admin /v1/nodes/legolas?x=spec.nodeName%3Dlegolas kube-proxy-legolas [2a01:4f8:77::7]:6443 ::ffff:10.27.53.7 2a01:4f8:77::a3f1 7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.7.0.0.8.f.4.0.1.0.a.2.ip6.arpa mac 3c:ec:ef:12:34:56 3c-ec-ef-12-34-56 v1.28.15 5.15.0-113.123 10.27.53.7-10.27.53.8 kubelet-10.27.53.7.crt v1.2.3.5 /dev/disk',
}

ANSWERS: list[tuple[str, dict[str, Any], Any]] = [
    ("identity", {}, {"hostname": "legolas", "kernel": "6.1.0-40-amd64", "machine": "x86_64", "euid": 0}),
    (
        "user",
        {},
        {"name": "root", "home": "/root", "kubeconfig": [], "sudo_user": PERSON, "sudo_home": f"/home/{PERSON}"},
    ),
    (
        "netlink",
        {"what": "addresses", "netns": None},
        [{"address": "10.27.53.7"}, {"address": "fe80::3eec:efff:fe12:3456"}],
    ),
    ("listdir", {"path": "/etc/containerd/certs.d"}, [{"name": "harbor.acme.com:5000", "kind": "dir"}]),
    (
        "processes",
        {},
        [{"pid": 1, "ppid": 0, "name": "kubelet", "cmdline": ["kubelet", "--hostname-override", "legolas"]}],
    ),
    (
        "kube",
        {"path": "/api/v1/nodes/legolas", "kubeconfig": "/etc/kubernetes/kubelet.conf"},
        {
            "kind": "Node",
            "metadata": {"name": "legolas", "labels": {"topology.kubernetes.io/zone": "acme-dc1"}},
            "status": {
                "addresses": [{"type": "ExternalDNS", "address": "ext.legolas.acme.com"}],
                "nodeInfo": {
                    "machineID": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                    "systemUUID": "0A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9",
                },
            },
        },
    ),
]

NAMES = (
    *(
        "legolas",
        "mirkwood",
        "gimli",
        "erebor",
        "acme",
        "harbor",
        "shire",
        "rivendell",
        "gondor",
        "mordor",
        "saruman",
        "isengard",
    ),
    *(
        "sauron",
        "middleearth",
        "boromir",
        "numenor",
        "faramir",
        "10.27.",
        "10-27-",
        "0a1b2c3d",
        "51.15.3.4",
        "2a01:4f8",
        "3c:ec",
    ),
    *("3c-ec", "0a1b", "7.53.27", "eu-central", "frodo", "baggins", "elrond"),
)

STAYS = (
    *(
        "v1.28.15",
        "5.15.0-113.123",
        "v1.2.3.5",
        "/dev/disk",
        "6.1.0-40-amd64",
        "docker.io",
        "10.96.0.0/12",
        "ndots:5",
        "198.51.100.77",
    ),
    *(
        "kubelet[1]",
        "kube-proxy-",
        "--initial-cluster=",
        "topology.kubernetes.io/zone",
        "REDACTED-1",
        ":6443",
        "127.0.0.1 localhost",
        "git@github.com",
        "kubernetes-admin@",
        "getty@tty1.service",
    ),
)


def entries() -> list[Entry]:
    files = [("read", {"path": path, "netns": None}, text) for path, text in FILES.items()]
    return [Entry(verb=verb, arguments=arguments, answer=answer) for verb, arguments, answer in (*files, *ANSWERS)]


def files(made: Sequence[Entry]) -> dict[str, str]:
    return {str(each["arguments"]["path"]): str(each["answer"]) for each in made if each["verb"] == "read"}


def mapped(text: str, *seen: tuple[str, str]) -> str:
    """A text with stand-ins, once files by these paths were seen."""
    stand_ins = StandIns(KEY)
    for path, content in (*seen, ("/text", text)):
        stand_ins.see(Entry(verb="read", arguments={"path": path, "netns": None}, answer=content))
    return stand_ins.text(text)


def test_no_name_is_left_in_any_of_the_ways_that_it_is_written() -> None:
    before, after = json.dumps(entries()).lower(), json.dumps(anonymized(entries(), key=KEY)).lower()

    assert [name for name in NAMES if name not in before] == []
    assert [name for name in NAMES if name in after] == []


def test_what_is_no_name_stays() -> None:
    after = json.dumps(anonymized(entries(), key=KEY))

    assert [word for word in STAYS if word not in after] == []


def test_a_name_has_the_same_stand_in_everywhere() -> None:
    made = files(anonymized(entries(), key=KEY))
    host = made["/etc/hostname"].strip()
    registry = re.findall(r'server = "https://(.*?):5000"', "".join(made.values()))[0]

    assert re.fullmatch(r"node-\d+", host)
    assert f"--name={host}" in made["/etc/kubernetes/manifests/etcd.yaml"]
    assert f"--hostname-override={host} " in made["/var/lib/kubelet/kubeadm-flags.env"]
    assert f"{host}." in made["/etc/hosts"]
    assert f"/etc/containerd/certs.d/{registry}:5000/hosts.toml" in made
    assert f'"{registry}:5000/k8s/pause:3.9"' in made["/etc/containerd/config.toml"]
    search = re.findall("search (.*)", made["/etc/resolv.conf"])[0].split()
    assert f".{search[0]}," in made["/etc/systemd/system/containerd.service.d/proxy.conf"]
    assert registry.endswith(search[1].partition(".")[2])


@pytest.mark.parametrize("name", ["node", "cni", "master", "eth0", "k8s-master"])
def test_a_host_that_is_called_like_a_word_of_the_field_keeps_its_name_and_this_is_told(name: str) -> None:
    stand_ins = StandIns(KEY)
    stand_ins.see(Entry(verb="identity", arguments={}, answer={"hostname": name}))

    assert stand_ins.text(f"/etc/cni/net.d node {name}") == f"/etc/cni/net.d node {name}"
    assert stand_ins.kept == [name]


def test_a_name_is_not_replaced_within_a_word() -> None:
    assert mapped("storage rage rager enrage", ("/etc/hostname", "rage")) == "storage node-1 rager enrage"


@pytest.mark.parametrize("name", ["my_host", "NodeA", "-bad-", "a" * 64, "bad!name"])
def test_a_bad_name_stays_bad(name: str) -> None:
    good = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"

    assert not re.fullmatch(good, name)
    assert not re.fullmatch(good, mapped(name, ("/etc/hostname", name)))
    assert name not in mapped(f"host {name} x", ("/etc/hostname", name))


# -- certificates ----------------------------------------------------------------------------------------------------------


def pair(leaf: Issued, ca: Issued) -> tuple[Any, Any]:
    """A certificate and an authority after they were given stand-ins."""
    found = certificates(mapped(leaf.pem + ca.pem))
    return found[0], found[1]


def test_a_certificate_is_issued_anew_with_its_dates_names_and_authority() -> None:
    ca = issue("acme root", authority=True)
    old = issue("kube-apiserver", ca, dns=["legolas.acme.com", "kubernetes"], ips=["10.27.53.7", "10.96.0.1"])
    before = certificates(old.pem)[0]
    leaf, authority = pair(old, ca)

    assert signed_by(leaf, authority)
    assert signed_by(authority, authority)
    assert (leaf.not_before, leaf.not_after) == (before.not_before, before.not_after)
    assert leaf.common_name == "kube-apiserver"
    assert leaf.dns_names[1] == "kubernetes"
    assert leaf.addresses[1] == "10.96.0.1"
    assert "acme" not in f"{leaf.subject}{leaf.issuer}{leaf.dns_names}"
    assert leaf.addresses[0].startswith("10.")
    assert leaf.addresses[0] != "10.27.53.7"


def test_a_certificate_of_another_authority_of_the_same_name_is_still_not_signed_by_this_one() -> None:
    ours, theirs = issue("kubernetes", authority=True), issue("kubernetes", authority=True)
    leaf, authority = pair(issue("kube-apiserver", theirs), ours)

    assert leaf.issuer == authority.subject
    assert not signed_by(leaf, authority)


def test_a_key_still_belongs_to_its_certificate_and_a_hash_to_its_authority() -> None:
    ca = issue("kubernetes", authority=True)
    fingerprint = public_key(certificates(ca.pem)[0])
    read = Entry(verb="read", arguments={"path": "/ca.crt"}, answer=ca.pem)
    flag = Entry(
        verb="read", arguments={"path": "/flag"}, answer=f"--discovery-token-ca-cert-hash sha256:{fingerprint} x"
    )
    key = Entry(
        verb="public_key",
        arguments={"path": "/ca.key", "user": None},
        answer={"public_key": fingerprint, "problem": None},
    )
    made: list[Any] = anonymized([read, flag, key], key=KEY)
    new = public_key(certificates(made[0]["answer"])[0])

    assert new != fingerprint
    assert made[2]["answer"]["public_key"] == new
    assert made[1]["answer"] == f"--discovery-token-ca-cert-hash sha256:{new} x"


def test_what_is_no_certificate_stays_none_and_says_nothing() -> None:
    text = "-----BEGIN CERTIFICATE-----\nTEVHT0xBUyBHSU1MSQ==\n-----END CERTIFICATE-----\n"

    assert mapped(text) == "-----BEGIN CERTIFICATE-----\nAAAAAAAAAAAAAAAAAA==\n-----END CERTIFICATE-----\n"


# -- workloads and comments ------------------------------------------------------------------------------------------------


def workloads(*objects: dict[str, Any], text: str = "") -> str:
    """What a runtime's pods look like with stand-ins, and a text that names them."""
    made = anonymized(
        [
            Entry(
                verb="identity", arguments={}, answer={"hostname": "legolas", "kernel": "", "machine": "", "euid": 0}
            ),
            Entry(
                verb="cri",
                arguments={"endpoint": "unix:///x", "method": "RuntimeService/ListPodSandbox", "request": {}},
                answer={"items": list(objects)},
            ),
            Entry(verb="tail", arguments={"path": "/var/log/syslog"}, answer=text),
        ],
        key=KEY,
    )
    return json.dumps([each.get("answer") for each in made])


def pod(namespace: str, name: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": "39bc819a-9901-458c-92dc-5d5678474542"},
        "labels": labels,
    }


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ('pod="moria/balrog-fire-7d9f8b6c5d-x2x4z"', ("moria", "balrog", "fire")),
        ("/var/log/pods/moria_balrog_39bc819a-9901-458c-92dc-5d5678474542/whip", ("moria", "balrog")),
        ('--comment "moria/balrog:http has no endpoints" -j REJECT', ("moria", "balrog")),
        ("/api/v1/namespaces/moria/pods/balrog-0?watch=1", ("moria", "balrog")),
        ("harbor.mordor.net:5000/nazgul/orc-barracks:1.2", ("nazgul", "barracks", "mordor")),
        ("docker.io/nazgul/orc-barracks@sha256:0", ("nazgul", "barracks")),
        ("image: nazgul/orc-barracks:1.2", ("nazgul", "barracks")),
    ],
)
def test_a_name_of_a_workload_or_an_image_is_not_left_in_any_way_that_it_is_written(
    written: str, names: tuple[str, ...]
) -> None:
    after = workloads(text=f"{written}\n")

    assert [name for name in names if name not in written] == []
    assert [name for name in names if name in after] == []


def test_a_pod_s_stand_in_keeps_what_was_put_behind_its_name_and_its_labels_go_with_it() -> None:
    after = workloads(
        pod("moria", "balrog-7d9f8b6c5d-x2x4z", app="balrog", team="dwarves"),
        pod("moria", "balrog-7d9f8b6c5d-b7k2p"),
        text='E1 "failed" pod="moria/balrog-7d9f8b6c5d-x2x4z"',
    )

    assert re.search(r'pod=\\"namespace-1/pod-1-7d9f8b6c5d-x2x4z\\"', after)
    assert '"app": "pod-1"' in after
    assert "dwarves" not in after


@pytest.mark.parametrize(
    "name",
    [
        *(
            "coredns-589f44dc88-7rqsk",
            "kube-proxy-8bng8",
            "kube-apiserver-LEGOLAS",
            "calico-node-x7k2p",
            "etcd-LEGOLAS",
        ),
        *("kube-flannel-ds-z4w9c", "cilium-operator-6d9f8b6c5d-x2x4z", "kube-multus-ds-x7k2p"),
    ],
)
def test_a_pod_that_many_clusters_have_keeps_its_name(name: str) -> None:
    after = workloads(pod("kube-system", name.replace("LEGOLAS", "legolas"), **{"k8s-app": "kube-dns"}))

    assert f'"name": "{name.replace("LEGOLAS", "node-1")}"' in after
    assert '"namespace": "kube-system"' in after
    assert '"k8s-app": "kube-dns"' in after


@pytest.mark.parametrize(
    "image",
    [
        *("registry.k8s.io/pause:3.10", "registry.k8s.io/coredns/coredns:v1.11.1", "docker.io/calico/node:v3.28.0"),
        *("quay.io/cilium/cilium:v1.15", "docker.io/library/nginx:1.25", "rancher/mirrored-pause:3.6"),
        *("registry.aliyuncs.com/google_containers/kube-proxy:v1.28.2", "k8s.gcr.io/dns/k8s-dns-node-cache:1.22"),
    ],
)
def test_an_image_that_everybody_pulls_keeps_its_name(image: str) -> None:
    assert image in workloads(text=f"image: {image}\n")


def test_of_an_image_in_a_mirror_of_one_s_own_what_everybody_pulls_is_left() -> None:
    after = workloads(text="image: harbor.mordor.net:5000/nazgul/kube-proxy:v1.28.2\n")

    assert re.search(r"image: [\w.-]+:5000/image-1/kube-proxy:v1\.28\.2", after)
    assert "mordor" not in after


def commented(path: str, text: str) -> str:
    return files(anonymized([Entry(verb="read", arguments={"path": path}, answer=text)], key=KEY))[path]


def test_what_people_wrote_in_comments_is_gone_and_lines_stay_where_they_are() -> None:
    text = "#!/bin/sh\n# ask Boromir about this\nserver: x # since Helm's Deep fell\n ; call the Elves\nlast: line\n"

    assert commented("/etc/kubernetes/x.yaml", text) == (
        "#!/bin/sh\n# (a comment)\nserver: x # (a comment)\n ; (a comment)\nlast: line\n"
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/boot/config-6.1.0", "# CONFIG_BRIDGE_NETFILTER is not set\n"),
        ("/etc/resolv.conf", "# Generated by NetworkManager\nnameserver 127.0.0.53\n"),
        ("/etc/containerd/config.toml", 'x = "a # b frobnicated"\n'),
        ("/etc/x", "color=#fffa00\nurl=https://x/#frobnicated\n"),
        ("/proc/mounts", "overlay / # frobnicated\n"),
    ],
)
def test_what_is_no_comment_of_people_s_stays(path: str, text: str) -> None:
    assert commented(path, text) == text


@pytest.mark.parametrize("more", [{"error": {"reason": "NotFound", "message": "no"}}, {"unanswered": True}])
def test_a_file_that_was_not_read_gets_no_text(more: Any) -> None:
    entry: Any = {"verb": "read", "arguments": {"path": "/etc/containerd/certs.d/_default/hosts.toml"}, **more}

    assert [set(each) for each in anonymized([entry], key=KEY)] == [set(entry)]


def test_comments_in_a_file_that_was_given_are_gone() -> None:
    given: Any = {
        "config": {"path": "kubeadm.yaml", "text": "# Boromir's\nkind: X\n"},
        "kubeconfig": None,
        "endpoints": ["a"],
    }
    [made] = anonymized([Entry(verb="given", arguments={}, answer=given)], key=KEY)

    assert made["answer"] == {**given, "config": {"path": "kubeadm.yaml", "text": "# (a comment)\nkind: X\n"}}
