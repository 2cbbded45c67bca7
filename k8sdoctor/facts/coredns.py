"""CoreDNS as seen from this node: its pods, the last words of those that run here, and its Corefile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from k8sdoctor.facts import yaml
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.cluster_addons import DNS_LABEL, NAMESPACE
from k8sdoctor.facts.node_name import NodeName
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.host import Host, Json
    from k8sdoctor.host.answers import HttpRequest

CONFIG_MAP = "coredns"
COREFILE = "Corefile"
ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns"
"""The role that kubeadm and CoreDNS's own manifests give it; other installers name theirs otherwise, and then none is judged."""

_UNAVAILABLE = 503  # RFC 9110; as the plugin ready answers until all others are
READY = 8181
"""Port of the plugin `ready` where its line names none; it answers 503 with the names of the plugins that are not ready."""

LOGS = "/var/log/pods"
LOG = 32 * 1024
LINES = 30
"""Bytes and lines of a log's end that are looked at."""


@dataclass(frozen=True, slots=True)
class DnsPod:
    """One pod of CoreDNS. `ready` is None where only its log on this node told of it.

    `state` is why its container waits (`CrashLoopBackOff`), `ended` how it last ended, such as `Error, exit code 1`; `unplaced` is why no node
    takes it. `log` are its last lines, of a pod of this node, and `waits` the plugins that say of such a one that they are not ready.
    """

    name: str
    ready: bool | None
    node: str = ""
    address: str | None = None
    image: str = ""
    policy: str = ""
    restarts: int = 0
    state: str = ""
    ended: str = ""
    log: tuple[str, ...] = ()
    here: bool = False
    unplaced: str = ""
    waits: tuple[str, ...] = ()


@dataclass(frozen=True)
class CoreDns:
    """`complete` is true where the API server told all pods, false where only those of this node could be read.

    `corefile` is None where there is no such ConfigMap or it could not be read (`problem`); `config_map` is its name.
    `granted` is what the role of kubeadm lets it list and watch, as `group/resource`, None where there is no such role or it could not be
    read. `deployment` is what the API server says of CoreDNS's Deployment, asked for only where there is no pod.
    """

    pods: tuple[DnsPod, ...] = ()
    complete: bool = False
    config_map: str = f"{NAMESPACE}/{CONFIG_MAP}"
    corefile: str | None = None
    problem: Unobserved | None = None
    granted: frozenset[str] | None = None
    deployment: str = ""

    @property
    def some_ready(self) -> bool:
        """Whether a server is known to be ready."""
        return any(pod.ready for pod in self.pods)

    @classmethod
    def observe(cls, host: Host, access: ApiAccess, node: NodeName | Unobserved) -> Self:
        """Ask the API server; without it, look for the logs of its pods here. Never raises: what fails is the problem."""
        here = node.name if isinstance(node, NodeName) else host.identity()["hostname"]
        if access.kubeconfig is None:
            problem = access.problem or Unobserved("NotFound", "no kubeconfig works here")
            return cls(tuple(_of_logs(host)), problem=problem)
        try:
            items, complete = _pods(host, access.kubeconfig, here)
        except HostError as error:
            return cls(tuple(_of_logs(host)), problem=Unobserved(error.reason, error.message))
        name = next(filter(None, map(_config_name, items)), CONFIG_MAP)
        text, unread = _config(host, access.kubeconfig, name)
        found = tuple(_pod(host, item, here) for item in items)
        role = _granted(host, access.kubeconfig) if complete else None
        deployment = _deployment(host, access.kubeconfig) if complete and not found else ""
        return cls(found, complete, f"{NAMESPACE}/{name}", text, unread, role, deployment)


def _pods(host: Host, kubeconfig: str, node: str) -> tuple[list[dict[str, Json]], bool]:
    """The pods of CoreDNS, and whether they are all; a kubelet may list those of its node alone."""
    base = f"/api/v1/namespaces/{NAMESPACE}/pods?"
    try:
        answer, complete = (
            host.kube(f"{base}labelSelector={quote(f'k8s-app={DNS_LABEL}', safe='')}", kubeconfig=kubeconfig),
            True,
        )
    except HostError as error:
        if error.reason != "NotPermitted":
            raise
        selector = quote(f"spec.nodeName={node}", safe="")
        answer, complete = host.kube(f"{base}fieldSelector={selector}", kubeconfig=kubeconfig), False
    listed = [item for item in _mappings(answer.get("items")) if _is_server(item)]
    return listed, complete


def _is_server(item: Mapping[str, Json]) -> bool:
    """Whether it is a pod of CoreDNS that is meant to run; one that was evicted or is being ended says nothing."""
    gone = yaml.string(item, "metadata", "deletionTimestamp") or yaml.string(item, "status", "phase") in (
        "Failed",
        "Succeeded",
    )
    return yaml.string(item, "metadata", "labels", "k8s-app") == DNS_LABEL and not gone and "coredns" in _image(item)


def _container(item: Mapping[str, Json]) -> dict[str, Json]:
    """The container that runs CoreDNS, by its image's name."""
    spec = item.get("spec")
    containers = list(_mappings(spec.get("containers"))) if isinstance(spec, dict) else []
    return next((each for each in containers if "coredns" in (yaml.string(each, "image") or "")), {})


def _image(item: Mapping[str, Json]) -> str:
    return yaml.string(_container(item), "image") or ""


def _config_name(item: Mapping[str, Json]) -> str | None:
    """The ConfigMap that a pod mounts and that holds a Corefile."""
    spec = item.get("spec")
    for volume in _mappings(spec.get("volumes")) if isinstance(spec, dict) else ():
        config = volume.get("configMap")
        if isinstance(config, dict) and any(each.get("key") == COREFILE for each in _mappings(config.get("items"))):
            return yaml.string(config, "name")
    return None


def _config(host: Host, kubeconfig: str, name: str) -> tuple[str | None, Unobserved | None]:
    try:
        answer = host.kube(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}", kubeconfig=kubeconfig)
    except HostError as error:
        return None, None if error.reason == "NotFound" else Unobserved(error.reason, error.message)
    return yaml.string(answer, "data", COREFILE), None


def _granted(host: Host, kubeconfig: str) -> frozenset[str] | None:
    """What the role allows to be listed and watched; a kubelet may not read it."""
    try:
        rules = host.kube(ROLE, kubeconfig=kubeconfig).get("rules")
    except HostError:
        return None
    found: set[str] = set()
    for rule in _mappings(rules):
        verbs, groups, resources = (set(_texts(rule.get(key))) for key in ("verbs", "apiGroups", "resources"))
        if {"list", "watch"} <= verbs or "*" in verbs:
            found |= {f"{group}/{resource}" for group in groups for resource in resources}
    return frozenset(found)


def _deployment(host: Host, kubeconfig: str) -> str:
    """How many replicas it wants, and what its conditions complain of."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments?labelSelector={quote(f'k8s-app={DNS_LABEL}', safe='')}"
    try:
        items = list(_mappings(host.kube(path, kubeconfig=kubeconfig).get("items")))
    except HostError:
        return ""
    if not items:
        return "there is no Deployment with the label"
    spec, status = (_mapping(items[0].get(key)) for key in ("spec", "status"))
    told = [f"spec.replicas {spec.get('replicas')}", f"status.availableReplicas {status.get('availableReplicas') or 0}"]
    told += [
        f"{yaml.string(each, 'reason')}: {yaml.string(each, 'message')}"
        for each in _mappings(status.get("conditions"))
        if (yaml.string(each, "type"), each.get("status")) == ("ReplicaFailure", "True")
    ]
    return "\n".join(told)


def _waits(host: Host, address: str) -> tuple[str, ...]:
    """The plugins of which a server of this node says that they are not ready: names in lines, or a list (coredns `plugin/ready/ready.go`)."""
    request: HttpRequest = {
        "method": "GET",
        "url": f"http://{authority(address, READY)}/ready",
        "headers": {},
        "ca_files": [],
        "client_certificate": None,
        "verify": True,
        "proxy": None,
        "limit": 3.0,
    }
    try:
        answer = host.http(request)
    except HostError:
        return ()
    return tuple(re.findall(r"[a-z0-9_]+", answer["body"][:200])) if answer["status"] == _UNAVAILABLE else ()


def _pod(host: Host, item: Mapping[str, Json], here: str) -> DnsPod:
    container = yaml.string(_container(item), "name") or ""
    told = item.get("status")
    status = told if isinstance(told, dict) else {}
    of = next(
        (each for each in _mappings(status.get("containerStatuses")) if yaml.string(each, "name") == container), {}
    )
    restarts = of.get("restartCount")
    node = yaml.string(item, "spec", "nodeName") or ""
    name, uid = yaml.string(item, "metadata", "name") or "", yaml.string(item, "metadata", "uid") or ""
    ready = any(
        yaml.string(each, "type") == "Ready" and each.get("status") == "True"
        for each in _mappings(status.get("conditions"))
    )
    address, here_ = yaml.string(status, "podIP"), node == here
    return DnsPod(
        f"{NAMESPACE}/{name}",
        ready,
        node,
        address,
        _image(item),
        yaml.string(item, "spec", "dnsPolicy") or "",
        restarts if isinstance(restarts, int) else 0,
        yaml.string(of, "state", "waiting", "reason") or "",
        _ended(of),
        _log(host, f"{LOGS}/{NAMESPACE}_{name}_{uid}/{container}") if here_ else (),
        here=here_,
        unplaced="" if node else _unscheduled(status),
        waits=_waits(host, address) if here_ and not ready and address else (),
    )


def _unscheduled(status: Mapping[str, Json]) -> str:
    for each in _mappings(status.get("conditions")):
        if yaml.string(each, "type") == "PodScheduled" and each.get("status") == "False":
            return f"{yaml.string(each, 'reason')}: {yaml.string(each, 'message')}"
    return ""


def _ended(status: Mapping[str, Json]) -> str:
    """How the container ended last."""
    for key in ("state", "lastState"):
        if reason := yaml.string(status, key, "terminated", "reason"):
            return f"{reason}, exit code {yaml.string(status, key, 'terminated', 'exitCode')}"
    return ""


def _of_logs(host: Host) -> Iterator[DnsPod]:
    """The pods whose logs lie here: what is left to look at without the API server."""
    try:
        folders = [each["name"] for each in host.listdir_optional(LOGS)]
    except HostError:
        return
    for folder in folders:
        namespace, _, rest = folder.partition("_")
        name = rest.partition("_")[0]
        if namespace == NAMESPACE and name.startswith("coredns-"):
            yield DnsPod(f"{namespace}/{name}", None, log=_log(host, f"{LOGS}/{folder}/coredns"), here=True)


def _log(host: Host, folder: str) -> tuple[str, ...]:
    """The last lines of the newest log, without the time and stream in front (CRI's format: `TIME stream F text`)."""
    try:
        numbers = [each["name"] for each in host.listdir_optional(folder) if each["name"].endswith(".log")]
        newest = max(numbers, key=lambda name: (len(name), name), default=None)
        lines = host.tail(f"{folder}/{newest}", LOG).splitlines()[-LINES:] if newest else []
    except HostError:
        return ()
    return tuple(map(_text, lines))


def _text(line: str) -> str:
    words = line.split(" ", 3)
    return words[-1] if words[1:2] in (["stdout"], ["stderr"]) else line


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _texts(value: Json) -> Iterator[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else iter(())


def _mappings(value: Json) -> Iterator[dict[str, Json]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
