"""The etcd outside the cluster that a kubeadm configuration names, and what its members say of their version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import versions, yaml
from k8sdoctor.facts.kubeadm_documents import KubeadmDocuments
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import HttpRequest
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

FILES = ("caFile", "certFile", "keyFile")
LIMIT = 4.0  # seconds, as other probes have; kubeadm waits 10 and tries four times


@dataclass(frozen=True, slots=True)
class EtcdAnswer:
    """What one endpoint said: its version, or the failure in a sentence; `unasked` where it was not asked."""

    endpoint: str
    version: versions.Version | None = None
    failure: str | None = None
    unasked: Unobserved | None = None


@dataclass(frozen=True)
class ExternalEtcd:
    """`endpoints` is empty where none is planned. `absent` are the files that the configuration names and that are not there, with their fields."""

    endpoints: tuple[str, ...] = ()
    absent: tuple[tuple[str, str], ...] = ()
    unread: tuple[Unobserved, ...] = ()
    answers: tuple[EtcdAnswer, ...] = ()

    @classmethod
    def observe(cls, host: Host, documents: KubeadmDocuments) -> Self:
        """Look for the files, and where all are there ask each endpoint for `/version`, as kubeadm does. Never raises."""
        cluster = documents.of("ClusterConfiguration")
        if cluster is None or not isinstance(cluster.at("etcd", "external"), dict):
            return cls()
        endpoints = yaml.strings(cluster.value, "etcd", "external", "endpoints")
        named = [(field, cluster.text("etcd", "external", field)) for field in FILES]
        absent: list[tuple[str, str]] = []
        unread: list[Unobserved] = []
        for field, path in named:
            try:
                if path and not (path.startswith("/") and host.exists(path)):
                    absent.append((field, path))
            except HostError as error:
                unread.append(Unobserved(error.reason, error.message))
        if absent or unread:
            return cls(endpoints, tuple(absent), tuple(unread))
        files = {field: path for field, path in named if path}
        answers = side_by_side([partial(_ask, host, endpoint, files) for endpoint in endpoints])
        return cls(endpoints, answers=tuple(answers))


def _ask(host: Host, endpoint: str, files: dict[str, str]) -> EtcdAnswer:
    certificate = (files["certFile"], files["keyFile"]) if {"certFile", "keyFile"} <= files.keys() else None
    try:
        answer = host.http(
            HttpRequest(
                method="GET",
                url=f"{endpoint.rstrip('/')}/version",
                headers={},
                ca_files=[files["caFile"]] if "caFile" in files else [],
                only_ca_files="caFile" in files,
                client_certificate=certificate,
                verify=True,
                proxy=None,
                limit=LIMIT,
            )
        )
    except HostError as error:
        return EtcdAnswer(endpoint, unasked=Unobserved(error.reason, error.message))
    except ValueError as error:  # an endpoint that is no URL
        return EtcdAnswer(endpoint, failure=str(error))
    if answer["failure"] is not None:
        return EtcdAnswer(endpoint, failure=answer["failure"]["message"])
    try:
        text = yaml.string(yaml.mapping(answer["body"], endpoint), "etcdserver")
    except yaml.YamlError:
        text = None
    version = versions.parse(text or "")
    if answer["status"] != 200 or version is None:  # noqa: PLR2004 -- OK
        return EtcdAnswer(endpoint, failure=f"it answers {answer['status']}, and no version of etcd")
    return EtcdAnswer(endpoint, version)
