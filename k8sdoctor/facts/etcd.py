"""etcd as this node reaches it: what each endpoint says of its health, of itself and of its members.

Asked over HTTP: `GET /health`, and two calls of the gateway, which etcd 3.4 to 3.7 serve at `/v3/` on the port of their clients (`server/embed/serve.go`). The
status names the alarms, too (since 3.4), so the alarms' own call, which goes through the consensus, is not needed.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from k8sdoctor.facts.api_server import ApiServer
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.side_by_side import side_by_side
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.host import HostError
from k8sdoctor.host.answers import HttpAnswer, HttpRequest
from k8sdoctor.host.base import authority
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import NetworkFailure

LIMIT = 4.0
"""Seconds for one question. Members that others name are asked after those others, so that silence may cost this twice."""

PKI = "/etc/kubernetes/pki/etcd"

OK = 200
HTTPS = 443

# etcd's own words in a status' errors (`api/etcdserverpb` AlarmMember.String).
_ALARM = regex(r"memberID:(\d+)\s+alarm:(\w+)")


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """One member as the cluster's list has it. `name` is empty until it has started for the first time."""

    id: str
    name: str
    peer_urls: tuple[str, ...] = ()
    client_urls: tuple[str, ...] = ()
    learner: bool = False

    @property
    def called(self) -> str:
        """Its name, or what else tells it from others."""
        return self.name or ", ".join(self.peer_urls) or self.id


@dataclass(frozen=True, slots=True)
class EtcdStatus:
    """What one member says of itself.

    Sizes are bytes; `quota` is None before 3.6, which does not tell it. `leader` is empty where it knows none. `alarms` are pairs of a member's id
    and the alarm's name, of the whole cluster.
    """

    cluster: str
    member: str
    version: str
    size: int = 0
    in_use: int = 0
    quota: int | None = None
    leader: str = ""
    index: int = 0
    learner: bool = False
    alarms: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EtcdEndpoint:
    """What was met at one URL.

    `used` tells whether this node's API server has it in `--etcd-servers`. `failure` is why nothing came. `healthy` is etcd's own word (None: not
    told), `said` what it said otherwise. `grpc_only` tells that somebody takes connections there and speaks no HTTP. `status` is None, and `members` empty, where they were not told.
    """

    url: str
    used: bool = False
    failure: NetworkFailure | None = None
    healthy: bool | None = None
    said: str = ""
    grpc_only: bool = False
    status: EtcdStatus | None = None
    members: tuple[EtcdMember, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS."""
        return self.url.startswith("http://")


@dataclass(frozen=True)
class EtcdAccess:
    """Where etcd is, by whose flags, and the files to show and to trust (None: none named)."""

    source: str | None = None
    urls: tuple[str, ...] = ()
    ca: str | None = None
    certificate: tuple[str, str] | None = None

    @classmethod
    def observe(
        cls,
        host: Host,  # noqa: ARG003 -- other facts hold all that it takes
        stage: Stage,
        server: ApiServer,
        own: EtcdServer,
    ) -> Self:
        """Take it from the API server's flags; on a machine that has etcd alone, from etcd's, with kubeadm's client certificate.

        A process on a worker is some application's. Raises why a manifest that would tell could not be read.
        """
        if stage.stage == "worker" and not (server.source or own.source or "").startswith("/"):
            return cls()
        pair = (server.flag("--etcd-certfile"), server.flag("--etcd-keyfile"))
        certificate = (pair[0], pair[1]) if pair[0] and pair[1] else None
        listed = (server.flag("--etcd-servers") or "").split(",")
        urls = tuple(_url(each.strip(), secure=certificate is not None) for each in listed if each.strip())
        if urls:
            return cls(server.source, urls, server.flag("--etcd-cafile"), certificate)
        problem = server.problem or own.problem
        if problem is not None:
            raise HostError(problem.reason, problem.message, problem.traits)
        ca = own.flag("--trusted-ca-file")
        folder = (ca or f"{PKI}/ca.crt").rpartition("/")[0]
        healthcheck = (f"{folder}/healthcheck-client.crt", f"{folder}/healthcheck-client.key")
        return cls(own.source, _reachable(own.urls("--listen-client-urls")), ca, healthcheck if ca else None)


@dataclass(frozen=True)
class Etcd:
    """What every endpoint says that this node knows of, and every further member that those name."""

    access: EtcdAccess
    endpoints: tuple[EtcdEndpoint, ...]

    @property
    def members(self) -> tuple[EtcdMember, ...]:
        """The members by the list of the first endpoint that tells it."""
        return next((each.members for each in self.endpoints if each.members), ())

    @classmethod
    def observe(cls, host: Host, access: EtcdAccess, own: EtcdServer) -> Self:
        """Ask them, all at the same time; then those members that were named and did not answer yet. Raises Offline."""
        urls = [url for url in access.urls if _askable(url)]
        met = side_by_side([partial(_look, host, access, url, used=True) for url in urls])
        more = _further(met) if any(each.members for each in met) else _initial(own, urls)
        more = [url for url in more if url not in urls]
        met += side_by_side([partial(_look, host, access, url, used=False) for url in more])
        return cls(access, tuple(met))


def host_of(url: str) -> str:
    """The name or address in a URL; empty where it has none.

    >>> host_of("https://[fd00::1]:2379"), host_of("nonsense")
    ('fd00::1', '')
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine itself."""
    address = as_address(host_of(url))
    return address.is_loopback if address else host_of(url) == "localhost"


def _url(text: str, *, secure: bool) -> str:
    return text.rstrip("/") if "://" in text else f"{'https' if secure else 'http'}://{text}"


def _askable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)  # not kine's and others' unix sockets


def _reachable(urls: Iterable[str]) -> tuple[str, ...]:
    """The first of some URLs that a client can dial; what listens everywhere is reached by loopback."""
    for url in urls:
        address = as_address(host_of(url))
        if address is not None and address.is_unspecified:
            return (url.replace(host_of(url), "127.0.0.1" if address.version == 4 else "::1"),)  # noqa: PLR2004 -- IPv4
        if _askable(url):
            return (url,)
    return ()


def _further(met: Sequence[EtcdEndpoint]) -> list[str]:
    """One URL for each member that did not answer yet."""
    answered = {each.status.member for each in met if each.status}
    asked = {each.url for each in met}
    found: list[str] = []
    for member in next((each.members for each in met if each.members), ()):
        urls = [url.rstrip("/") for url in member.client_urls if _askable(url) and _leads_away(url)]
        if member.id not in answered and urls and not asked & set(urls):
            found.append(urls[0])
    return found


def _leads_away(url: str) -> bool:
    address = as_address(host_of(url))
    return not is_loopback(url) and not (address is not None and address.is_unspecified)


def _initial(own: EtcdServer, asked: Sequence[str]) -> list[str]:
    """Where nobody tells the members: those that this node's etcd was made with, at the port on which it serves clients itself."""
    known = [url for url in (*own.urls("--advertise-client-urls"), *own.urls("--listen-client-urls")) if _askable(url)]
    if not known:
        return []
    parts = urlsplit(known[0])
    hosts = {host_of(url) for url in (*asked, *known)}
    return [
        f"{parts.scheme}://{authority(host_of(url), parts.port or 2379)}"
        for _, url in own.initial_peers
        if host_of(url) and host_of(url) not in hosts and _leads_away(url)
    ]


# -- one endpoint -------------------------------------------------------------------------------------------------------


def _look(host: Host, access: EtcdAccess, url: str, *, used: bool) -> EtcdEndpoint:
    ca_files = [access.ca] if access.ca and url.startswith("https://") else []

    def ask(method: Literal["GET", "POST"], path: str) -> HttpAnswer:
        return host.http(
            HttpRequest(
                method=method,
                url=url + path,
                headers={"Content-Type": "application/json"} if method == "POST" else {},
                ca_files=ca_files,
                only_ca_files=bool(ca_files),  # as the API server does with --etcd-cafile
                client_certificate=access.certificate if url.startswith("https://") else None,
                verify=True,
                proxy=None,
                limit=LIMIT,
            )
        )

    health, status, members = side_by_side(
        [
            partial(ask, "GET", "/health"),
            partial(ask, "POST", "/v3/maintenance/status"),
            partial(ask, "POST", "/v3/cluster/member/list"),
        ]
    )
    seen = EtcdEndpoint(url, used=used)
    if health["failure"] and status["failure"]:
        # Where etcd refuses the client's certificate, its alert may be lost behind the connection's end, but hardly three times.
        failures = [each["failure"] for each in (health, status, members) if each["failure"]]
        failure = next((each for each in failures if each["kind"] == "tls"), health["failure"])
        if failure["kind"] in ("reset", "protocol") and _listens(host, url):
            return replace(seen, grpc_only=True, said=failure["message"])
        return replace(seen, failure=failure)
    refusals = [each for each in (health, status) if each["failure"] or each["status"] != OK]
    return replace(
        seen,
        healthy=_healthy(health),
        said="; ".join(dict.fromkeys(_words(each) for each in refusals)),
        status=_status(_document(status)),
        members=_members(_document(members)),
    )


def _listens(host: Host, url: str) -> bool:
    """Whether who closed a connection without an answer is there all the same.

    etcd may serve its clients gRPC alone (`--listen-client-http-urls`, since 3.4.25 and 3.5.8; k3s and RKE2 do so), and then drops who speaks HTTP.
    """
    if not url.startswith("https://"):
        return True
    parts = urlsplit(url)
    name = parts.hostname or ""
    return bool(host.tls(name, parts.port or HTTPS, server_name=None if as_address(name) else name)["chain"])


def _words(answer: HttpAnswer) -> str:
    if answer["failure"]:
        return answer["failure"]["message"]
    return f"{answer['status']} {' '.join(answer['body'].split())[:200]}"


def _healthy(answer: HttpAnswer) -> bool | None:
    """`{"health":"true"}`, with 503 and `"false"` otherwise (etcd `api/etcdhttp/health.go`); None where it is no such answer."""
    value = _parsed(answer["body"]).get("health")
    return {"true": True, "false": False}.get(str(value).lower())


def _document(answer: HttpAnswer) -> dict[str, object]:
    return _parsed(answer["body"]) if answer["status"] == OK else {}


def _parsed(text: str) -> dict[str, object]:
    """The JSON object in a text; empty for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _status(found: dict[str, object]) -> EtcdStatus | None:
    """The gateway's JSON: 64-bit numbers are texts, and what is zero, false or empty is left out."""
    header = found.get("header")
    if not isinstance(header, dict) or "member_id" not in header:
        return None
    errors, leader = found.get("errors"), str(found.get("leader", ""))
    text = " ".join(map(str, errors)) if isinstance(errors, list) else ""
    return EtcdStatus(
        cluster=str(header.get("cluster_id", "")),
        member=str(header["member_id"]),
        version=str(found.get("version", "")),
        size=_number(found.get("dbSize")),
        in_use=_number(found.get("dbSizeInUse")),
        quota=_number(found.get("dbSizeQuota")) or None,
        leader="" if leader == "0" else leader,
        index=_number(found.get("raftIndex")),
        learner=found.get("isLearner") is True,
        alarms=tuple((member, alarm) for member, alarm in _ALARM.findall(text)),
    )


def _number(value: object) -> int:
    return int(value) if isinstance(value, str | int) and re.fullmatch(r"-?\d{1,20}", str(value)) else 0


def _members(found: dict[str, object]) -> tuple[EtcdMember, ...]:
    listed = found.get("members")
    return tuple(
        EtcdMember(
            id=str(each["ID"]),
            name=str(each.get("name", "")),
            peer_urls=_texts(each.get("peerURLs")),
            client_urls=_texts(each.get("clientURLs")),
            learner=each.get("isLearner") is True,
        )
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict) and "ID" in each
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
