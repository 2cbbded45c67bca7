"""Where names stand: in the questions, in the answers, and in files of known forms."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from k8sdoctor.anonymize import workloads
from k8sdoctor.patterns import regex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography import x509

    from k8sdoctor.anonymize.text import Texts
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.recording import Entry

_HOST = r"[\w-]+(?:\.[\w-]+)*"
_DOTTED = r"[\w-]+(?:\.[\w-]+)+"
_IS = r"""(?:\\*["'])?[ \t]*[:= ][ \t]*(?:\\*["'])?"""  # what stands between a key and its value in YAML, JSON, TOML and on command lines

# The name of a node, in the words of the programs that are told it.
_NODES = (
    regex(rf"(?i)\bhostname-?override{_IS}(?P<name>{_HOST})"),
    regex(rf"\bsystem:node:(?P<name>{_HOST})"),
    regex(rf"nodeRegistration:[ \t]*\n(?:[ \t]+[^\n]*\n){{0,20}}?[ \t]+name:[ \t]*[\"']?(?P<name>{_HOST})"),
    regex(rf"\bnodeName{_IS}(?P<name>{_HOST})"),
    regex(rf"--initial-cluster=(?P<name>{_HOST})=https?://"),
    regex(rf"\bnodes? \\*\"(?P<name>{_HOST})\\*\""),
)
# The name of a host or of a registry.
_HOSTS = (
    regex(rf"\b[a-z][a-z0-9+.-]{{0,15}}://(?:[^\s/@\"']{{0,256}}@)?(?P<name>{_HOST})"),
    regex(rf"(?<![\w.-])(?P<name>{_DOTTED})(?::\d+)?/[\w./-]{{1,255}}(?::[\w.-]+|@sha256:)"),
    regex(rf"\bcerts\.d/(?P<name>{_HOST})"),
    regex(rf"\b(?:mirrors|configs|registry)\.\"(?P<name>{_HOST})"),
    regex(rf"(?m)^\s*(?:location|prefix)\s*=\s*[\"'](?:\*\.)?(?P<name>{_DOTTED})"),
    regex(
        rf"(?i)\b(?:controlPlaneEndpoint|tls-server-name|imageRepository|advertise-client-urls|image-repository|node-ip|server)[\"']*\s*[:=]\s*[\"']?(?P<name>{_DOTTED})"
    ),
    regex(rf"\b(?:lookup|host|for host|registry|server|dial tcp)[ =:]+[\"']?(?P<name>{_DOTTED})\b"),
    regex(rf"(?<![\w@.+-])[\w.+-]+@(?P<name>{_DOTTED})(?!\.?\w)"),
)
_DOMAINS = (
    regex(
        rf"(?im)\b(?:clusterDomain|cluster-domain|dnsDomain|service-dns-domain)[\"']*\s*[:= ]\s*[\"']?(?P<name>{_HOST})"
    ),
)
_LISTS = regex(
    r"(?i)\b(?:no_?proxy|certSANs|apiserver-cert-extra-sans|insecure-registries|registry-mirrors)[\"']*[ \t]*[:=][ \t]*"
    r"(?P<list>\[[^\]]*\]|(?:\n[ \t]*-[ \t]+\S+)+|[^\n\x00]+)"
)
_UNITS = regex(
    r"\.(?:service|socket|target|timer|mount|slice|scope|path|swap|device|conf|d|toml|yaml|json|crt|pem|key|sock|log|go)$"
)
_USERS = (
    regex(r"(?<![\w.-])/home/(?P<name>[\w.-]+)"),
    regex(r"\b[a-z][a-z0-9+.-]{0,15}://(?P<name>[\w.-]+)(?::[^\s/@]{0,256})?@"),
)
_OWN_SUBJECTS = regex(
    r"(?i)(?:system|kubeadm):[\w:.-]*|(?:kube|k3s|rke2|etcd|front-proxy|apiserver|k0s|microk8s|minikube|kubernetes)[\w@:./-]*"
)
_ID_FILES = regex(r"/machine-id$|/product_uuid$|/product_serial$|/board_serial$|/boot_id$")


def see_entry(entry: Entry, texts: Texts) -> None:
    """Note everything that one question and its answer name."""
    arguments, answer = entry["arguments"], entry.get("answer")
    for text in _strings([arguments, answer, entry.get("error", {}).get("message")]):
        if texts.see(text):
            _see_text(text, texts)
    if entry["verb"] in ("kube", "cri"):
        workloads.see_objects(_objects(answer), texts.names)
    if entry["verb"] == "cri":
        for image in _values(arguments, "image"):
            workloads.see_image(image, texts.names)
    look = _VERBS.get(entry["verb"])
    if look is not None:
        look(arguments, answer, texts)


def see_certificate(certificate: x509.Certificate, texts: Texts) -> None:
    """Note whom a certificate names."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    kinds: dict[Any, Any] = {
        NameOID.ORGANIZATION_NAME: "organisation",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "organisation",
        NameOID.LOCALITY_NAME: "place",
        NameOID.STATE_OR_PROVINCE_NAME: "place",
        NameOID.STREET_ADDRESS: "place",
        NameOID.POSTAL_CODE: "place",
    }
    for attribute in (*certificate.subject, *certificate.issuer):
        if isinstance(attribute.value, str):
            _see_subject(attribute.value, kinds.get(attribute.oid, "authority"), texts)
    with suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for name in names.get_values_for_type(x509.DNSName):
            texts.names.see_host(name)
        for address in names.get_values_for_type(x509.IPAddress):
            texts.see(str(address))


def _see_subject(text: str, kind: Any, texts: Texts) -> None:
    node = re.fullmatch(rf"system:node:({_HOST})", text)
    if node:
        texts.names.see_host(node[1], "node")
    elif _OWN_SUBJECTS.fullmatch(text):
        return
    elif re.fullmatch(_DOTTED, text):
        texts.names.see_host(text)
    else:
        texts.names.see_phrase(text, kind)


def _see_text(text: str, texts: Texts) -> None:
    """Names by the words that stand before them."""
    for patterns, see in (
        (_NODES, lambda name: texts.names.see_host(name, "node")),
        (_HOSTS, texts.names.see_host),
        (_DOMAINS, texts.names.see_domain),
        (_USERS, texts.names.see_user),
    ):
        for name in (match["name"] for pattern in patterns for match in pattern.finditer(text)):
            if not _UNITS.search(name):
                see(name)
    workloads.see_text(text, texts.names)
    for match in _LISTS.finditer(text):
        for name in re.findall(_DOTTED, match["list"]):
            texts.names.see_host(name)


def _see_identity(_arguments: Any, answer: Any, texts: Texts) -> None:
    if isinstance(answer, dict):
        texts.names.see_host(str(answer.get("hostname", "")), "node")


def _see_user(_arguments: Any, answer: Any, texts: Texts) -> None:
    for key in ("name", "sudo_user"):
        if isinstance(answer, dict) and isinstance(answer.get(key), str):
            texts.names.see_user(answer[key])


def _see_peer(arguments: Any, _answer: Any, texts: Texts) -> None:
    for key in ("name", "address", "server_name"):
        if isinstance(arguments.get(key), str):
            texts.names.see_host(arguments[key])


def _see_questions(_arguments: Any, answer: Any, texts: Texts) -> None:
    for name in _values(answer, "name"):
        texts.names.see_host(name)


def _see_given(_arguments: Any, answer: Any, texts: Texts) -> None:
    for each in answer.get("endpoints", ()) if isinstance(answer, dict) else ():
        texts.names.see_host(re.sub(r":\d+$", "", str(each)))


def _see_folder(arguments: Any, answer: Any, texts: Texts) -> None:
    if str(arguments.get("path")).endswith("/certs.d") and isinstance(answer, list):
        for entry in answer:
            texts.names.see_host(entry["name"].partition(":")[0])


def _see_file(arguments: Any, text: Any, texts: Texts) -> None:
    path, text = str(arguments.get("path")), str(text)
    if path == "/etc/hostname" or path.endswith("/kernel/hostname"):
        texts.names.see_host(text, "node")
    elif _ID_FILES.search(path):
        texts.see_id(text)
    elif path.endswith("/hosts"):
        for names in re.findall(r"(?m)^[ \t]*[\da-fA-F.:%]+[ \t]+([^#\n]*)", text):
            for each in re.findall(r"(?<!\S)(?!ip6-|localhost)\S+", names):
                texts.names.see_host(each)
    elif "resolv" in path:
        for each in " ".join(re.findall(r"(?m)^\s*(?:search|domain)\s+(.*)", text)).split():
            texts.names.see_domain(each)
    elif re.search(r"(?m)^kind:\s*Config\s*$", text):
        for name in re.findall(rf"(?m)^\s*(?:-\s+)?(?:name|user|cluster):\s+({_HOST})\s*$", text):
            texts.names.see_user(name)


def _see_objects(arguments: Any, answer: Any, texts: Texts) -> None:
    """Names of nodes in what the API server answered."""
    path = str(arguments.get("path"))
    for match in re.finditer(rf"/(?:nodes|namespaces/kube-node-lease/leases)/({_HOST})", path):
        texts.names.see_host(match[1], "node")
    for each in _objects(answer):
        if each.get("kind") in ("Node", "NodeList") or "nodeInfo" in (each.get("status") or {}):
            items = each.get("items")
            for node in items if isinstance(items, list) else [each]:
                _see_node(node, texts)
        for key in ("nodeName", "holderIdentity", "kubernetes.io/hostname", "spec.nodeName"):
            if isinstance(each.get(key), str):
                texts.names.see_host(
                    str(each[key]).partition("_")[0] if key == "holderIdentity" else str(each[key]), "node"
                )


def _see_node(node: Any, texts: Texts) -> None:
    with suppress(KeyError, TypeError, AttributeError):
        texts.names.see_host(node["metadata"]["name"], "node")
        status = node.get("status") or {}
        for address in status.get("addresses") or []:
            if address["type"] in ("Hostname", "InternalDNS", "ExternalDNS"):
                texts.names.see_host(address["address"], "node")
        for key in ("machineID", "systemUUID", "bootID"):
            texts.see_id(status.get("nodeInfo", {}).get(key, ""))


def _objects(value: Json) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from _objects(each)
    elif isinstance(value, list):
        for each in value:
            yield from _objects(each)


def _values(value: Json, key: str) -> Iterator[str]:
    for each in _objects(value):
        if isinstance(each.get(key), str):
            yield each[key]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)


_VERBS: dict[str, Callable[[Any, Any, Texts], None]] = {
    "identity": _see_identity,
    "user": _see_user,
    "resolve": _see_peer,
    "tls": _see_peer,
    "dns": _see_questions,
    "watch_dns": _see_questions,
    "given": _see_given,
    "listdir": _see_folder,
    "read": _see_file,
    "kube": _see_objects,
}
