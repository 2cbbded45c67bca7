"""Every member of etcd answers, agrees with the others, and has room.

## What it looks at
The endpoints in the API server's `--etcd-servers`, and every member that they name: `/health`, and what each says of its version, size, leader, place in the
log and alarms. On a machine that has etcd alone, its own manifest tells where it is.

## Why it matters
Everything that Kubernetes knows is in etcd. Without a majority of its members, or with a full database, nothing in the cluster can be changed any
more, and API servers stop.

## How it is decided
A member that does not answer is a warning as long as the others have a leader, for they are enough; without a leader, or where this node's API server has no
endpoint left, it is a failure. The room is the size on disk against the quota, as etcd itself measures it. A certificate's own faults are
left to `certificates`; here is only told that a handshake failed.

## Reasons
- `Healthy` (pass): what was asked answers, has a leader and room
- `NoEtcdHere` (skip): this machine runs no API server and no etcd, or one that keeps its data elsewhere
- `NoHttpThere` (skip): an endpoint is alive and serves gRPC alone, in which it is not asked
- `Unreachable` (fail): no endpoint of this node's API server answers
- `NoLeader` (fail): the members that answer have no leader, for too many others are gone
- `NoSpace` (fail): the alarm NOSPACE is raised, and nothing more is written
- `Corrupt` (fail): the alarm CORRUPT is raised: a member holds other data than the others
- `MembersDisagree` (fail): endpoints belong to different clusters, or one is no member of the cluster that another tells
- `CertificateRefused` (fail): this node does not trust the certificate that etcd serves
- `ClientRefused` (fail): the handshake failed, most likely since etcd does not accept the client's certificate
- `Unhealthy` (fail): a member says itself that it is not healthy, or that it knows no leader where the others have one
- `MemberDown` (warn): a member does not answer this node, and the others have a leader
- `NearQuota` (warn): more than 80 % of the quota is used
- `MemberNotStarted` (warn): a member was added and never started; it counts for the majority all the same
- `LearnerNotPromoted` (warn): a member is still a learner, which does not vote
- `MemberLags` (warn): a member is more than 5000 entries behind, so that it needs a whole snapshot to catch up
- `VersionsDiffer` (warn): members run different minor versions
- `TwoMembers` (warn): with two members, the loss of either stops both
- `PlainHttp` (warn): etcd is asked without TLS, so that whoever reaches it reads and writes all of the cluster, Secrets included
- `ClientCertificateUnreadable` (unknown): the files with which the API server asks cannot be used by this user
- `StatusNotTold` (unknown): a member answers, and does not tell its status, as without its gateway

## What it sends
HTTP requests that only read (`/health`, and a status and a list of members by etcd's gateway) to each endpoint, with the API server's client certificate.

## How to fix
It depends on the cause: bring a lost member back before anything else; free space, then disarm the alarm; never remove a member while others are down.

## How to verify
`etcdctl endpoint health --cluster` and `etcdctl endpoint status --cluster -w table`.

## References
- etcd `server/embed/serve.go`, `server/storage/quota.go`, `server/etcdserver/server.go`
- etcd.io "Maintenance", "Disaster recovery", "FAQ" (cluster size)
- kubernetes.io "Operating etcd clusters for Kubernetes"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Link, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks import _etcd_fixes as fixes
from k8sdoctor.checks._words import enumerated, sentence
from k8sdoctor.facts.etcd import Etcd, EtcdAccess, EtcdEndpoint, EtcdMember, EtcdStatus, is_loopback
from k8sdoctor.facts.etcd_server import EtcdServer
from k8sdoctor.facts.ports import socket_of
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NEAR = 0.8
"""Share of the quota; at the whole of it etcd raises NOSPACE, and writing stops."""

FAR_BEHIND = 5000
"""Entries: the leader keeps as many for slow followers (etcd `server/etcdserver/server.go`, DefaultSnapshotCatchUpEntries)."""

TWO = 2
CLIENTS = 2379

_NOT_TRUSTED = frozenset({"tls-untrusted", "tls-name", "tls-expired", "tls-not-yet-valid"})
_OURS = frozenset({"client-certificate-unreadable", "ca-unreadable"})

NEEDS_ETCD = "an API server whose etcd does not answer stops, and does not start again"


@dataclass(frozen=True)
class Scene:
    """What was seen, sorted."""

    seen: Etcd
    site: fixes.Site
    own: EtcdServer

    @property
    def telling(self) -> list[tuple[EtcdEndpoint, EtcdStatus]]:
        """The endpoints that told their status, each member once."""
        found: dict[str, tuple[EtcdEndpoint, EtcdStatus]] = {}
        for each in self.seen.endpoints:
            if each.status:
                found.setdefault(each.status.member, (each, each.status))
        return list(found.values())

    @property
    def voters(self) -> list[EtcdMember]:
        """The members that count for the majority."""
        return [member for member in self.seen.members if not member.learner]

    @property
    def missing(self) -> list[EtcdMember]:
        """The members that were asked and did not answer."""
        told = {status.member for _, status in self.telling}
        silent = {each.url for each in self.seen.endpoints if each.failure}
        return [
            one
            for one in self.seen.members
            if one.id not in told and silent & {url.rstrip("/") for url in one.client_urls}
        ]

    def name(self, member: str) -> str:
        """What a member is called."""
        return next((each.called for each in self.seen.members if each.id == member), member)

    @property
    def leaderless(self) -> bool:
        """Whether every member that answers knows no leader."""
        return bool(self.telling) and not any(status.leader for _, status in self.telling)


@check("etcd", title="Every member of etcd answers, agrees and has room", area="control plane", profiles=NOT_DNS)
def etcd(access: EtcdAccess | Unobserved, seen: Etcd | Unobserved, own: EtcdServer) -> Iterator[Finding]:
    """Judge how etcd is reached, then each endpoint, then the cluster that they tell of."""
    if isinstance(access, Unobserved):
        yield unknown(access.reason, sentence(access.message), traits=access.traits)
        return
    if not access.urls:
        yield skip("NoEtcdHere", "This machine runs no API server and no etcd of its own, so there is none to ask.")
        return
    yield from _plain(access)
    if isinstance(seen, Unobserved):
        yield (skip if seen.reason == "Offline" else unknown)(seen.reason, sentence(seen.message))
        return
    if not seen.endpoints:
        yield skip(
            "NoEtcdHere",
            f"The API server keeps its data at {', '.join(access.urls)}, which is no etcd that can be asked.",
        )
        return
    scene = Scene(seen, fixes.Site.of(access, own), own)
    found = [*_endpoints(scene), *_cluster(scene)]
    yield from found
    if scene.telling and not any(finding.status in ("fail", "unknown") for finding in found):
        yield _healthy(scene)


def _plain(access: EtcdAccess) -> Iterator[Finding]:
    plain = [url for url in access.urls if url.startswith("http://")]
    if not plain:
        return
    local = all(map(is_loopback, plain))
    who = "any process of this node, pods in the host's network included," if local else "whoever reaches it"
    yield warn(
        "PlainHttp",
        f"etcd is asked without TLS at {', '.join(plain)}: {who} can read and write all of the cluster, Secrets included.",
        subject=plain[0],
        evidence=[Evidence(access.source or "", f"--etcd-servers={','.join(access.urls)}")],
        fix=fixes.serve_tls(access),
    )


# -- endpoints ----------------------------------------------------------------------------------------------------------


def _endpoints(scene: Scene) -> Iterator[Finding]:
    endpoints = scene.seen.endpoints
    used = [each for each in endpoints if each.used]
    refused = [each for each in endpoints if each.failure]
    ours = [each for each in refused if each.failure and each.failure["kind"] in _OURS]
    if ours and ours[0].failure:
        # One pair of files for all of them.
        yield unknown(
            "ClientCertificateUnreadable",
            f"etcd was not asked: {ours[0].failure['message']}; run as root to look.",
            subject=ours[0].url,
        )
    strangers = [each for each in refused if each.failure and each.failure["kind"] in _NOT_TRUSTED]
    if strangers:
        yield _not_trusted(strangers, scene)
    unwelcome = [each for each in refused if each.failure and each.failure["kind"] == "tls"]
    if unwelcome:
        yield _unwelcome(unwelcome, scene)
    silent = [each for each in refused if each not in (*ours, *strangers, *unwelcome)]
    if silent and all(each in silent for each in used):
        yield _unreachable(used, scene)
    elif silent:
        yield from _down(silent, scene)
    for each in endpoints:
        if each.healthy is False and not _told_otherwise(scene, each.status):
            yield _unhealthy(each, scene)
        elif each.grpc_only:
            yield skip(
                "NoHttpThere",
                f"etcd at {each.url} takes connections and serves no HTTP there, as with --listen-client-http-urls, so it was not asked: {each.said}.",
                subject=each.url,
                evidence=[Evidence(each.url, each.said)],
            )
        elif not each.failure and each.status is None:
            yield unknown(
                "StatusNotTold",
                f"etcd at {each.url} answers and does not tell its status, as with --enable-grpc-gateway=false: {each.said or 'no such answer'}.",
                subject=each.url,
                evidence=[Evidence(each.url, each.said)],
            )


def _told_otherwise(scene: Scene, status: EtcdStatus | None) -> bool:
    """Whether a finding about the cluster says why a member is not healthy."""
    return status is not None and (bool(status.alarms) or scene.leaderless)


def _unhealthy(each: EtcdEndpoint, scene: Scene) -> Finding:
    """One that its peers do not reach knows no leader once an election timed out, and they go on without it."""
    cut_off = each.status is not None and not each.status.leader
    following = len([status for _, status in scene.telling if status.leader])
    others = "one other member follows one" if following == 1 else f"{following} other members follow one"
    what = (
        f"knows no leader, while {others}, as where it and its peers do not reach each other"
        if cut_off
        else "says that it is not healthy"
    )
    return fail(
        "Unhealthy",
        f"etcd at {each.url} {what}: {each.said}.",
        subject=each.url,
        evidence=[Evidence(f"{each.url}/health", each.said)],
        fix=fixes.look(scene.site, each.url),
        explains=_stops() if each.used and len([one for one in scene.seen.endpoints if one.used]) == 1 else (),
        traits=_only([each]),
    )


def _said(endpoints: Sequence[EtcdEndpoint]) -> list[Evidence]:
    return [Evidence(each.url, each.failure["message"]) for each in endpoints if each.failure]


def _not_trusted(found: Sequence[EtcdEndpoint], scene: Scene) -> Finding:
    urls = ", ".join(each.url for each in found)
    words = _said(found)[0].content
    return fail(
        "CertificateRefused",
        f"This node does not trust the certificate that etcd serves at {urls}: {words}.",
        subject=found[0].url,
        evidence=_said(found),
        fix=fixes.look_at_certificate(scene.site, found[0].url),
        explains=_stops(),
    )


def _unwelcome(found: Sequence[EtcdEndpoint], scene: Scene) -> Finding:
    urls = ", ".join(each.url for each in found)
    return fail(
        "ClientRefused",
        f"The handshake with etcd at {urls} failed, most likely since it does not accept the client's certificate: {_said(found)[0].content}.",
        subject=found[0].url,
        evidence=_said(found),
        fix=fixes.look_at_certificate(scene.site, found[0].url),
        explains=_stops(),
    )


def _unreachable(found: Sequence[EtcdEndpoint], scene: Scene) -> Finding:
    urls = ", ".join(each.url for each in found)
    others = [each for each in scene.seen.endpoints if not each.used]
    tail = (
        f"; of the other members, {len([each for each in others if each.status])} of {len(others)} answer"
        if others
        else ""
    )
    return fail(
        "Unreachable",
        f"etcd does not answer at {urls}, where {scene.seen.access.source} has it: {_said(found)[0].content}{tail}.",
        subject=found[0].url,
        evidence=_said(scene.seen.endpoints),
        fix=fixes.start(scene.site, found[0].url),
        explains=_stops(),
        traits=_only(found),
    )


def _only(found: Sequence[EtcdEndpoint]) -> list[str]:
    """Which endpoint it is where there is one, so that a cause that is seen there may be blamed."""
    reached = socket_of(found[0].url, CLIENTS)
    return [f"endpoint:{authority(reached[1], reached[0])}"] if len(found) == 1 and reached else []


def _stops() -> list[Link]:
    own = frozenset({"component:kube-apiserver"})
    return [
        # One that was just started waits for its etcd before it listens.
        *(Link("control-plane", f"Component{how}", NEEDS_ETCD, when=own) for how in ("Down", "Silent", "Unhealthy")),
        Link("apiserver-endpoints", "Unreadable", NEEDS_ETCD),
        Link("apiserver-san", "EndpointUnreachable", NEEDS_ETCD, when=frozenset({"endpoint:own"})),
    ]


def _down(silent: Sequence[EtcdEndpoint], scene: Scene) -> Iterator[Finding]:
    """Silent endpoints beside others that tell their status. Without a leader, that finding names them."""
    if scene.leaderless or not scene.telling:
        return
    for each in silent:
        member = next((one for one in scene.seen.members if each.url in one.client_urls), None)
        who = f"Member {member.called} of etcd" if member else "etcd"
        yield warn(
            "MemberDown",
            f"{who} does not answer this node at {each.url}, while {_count(scene)} do: {_said([each])[0].content}.",
            subject=member.called if member else each.url,
            evidence=_said([each]),
            fix=fixes.bring_back(scene.site, each.url, member),
        )


def _count(scene: Scene) -> str:
    return f"{len(scene.telling)} of {len(scene.seen.members) or len(scene.seen.endpoints)} members"


# -- the cluster --------------------------------------------------------------------------------------------------------


def _cluster(scene: Scene) -> Iterator[Finding]:
    if not scene.telling:
        return
    if scene.leaderless:
        yield _no_leader(scene)
    yield from _alarms(scene)
    yield from _room(scene)
    yield from _disagreeing(scene)
    yield from _members(scene)
    yield from _versions(scene)
    yield from _lagging(scene)


def _no_leader(scene: Scene) -> Finding:
    majority = len(scene.voters) // 2 + 1
    missing = scene.missing
    who = (
        f": {enumerated([each.called for each in missing])} {'does' if len(missing) == 1 else 'do'} not answer"
        if missing
        else ""
    )
    return fail(
        "NoLeader",
        f"etcd has no leader, so nothing can be read or written: {majority} of {len(scene.voters)} members must agree on one{who}.",
        subject=enumerated([each.called for each in missing]) or scene.telling[0][0].url,
        evidence=[
            *(
                Evidence(each.url, f"member {scene.name(status.member)} knows no leader")
                for each, status in scene.telling
            ),
            *_said(scene.seen.endpoints),
        ],
        fix=fixes.regain_majority(scene.site, scene.telling[0][0].url),
        explains=[*_stops(), Link("apiserver-endpoints", "MemberNotReady", NEEDS_ETCD)],
    )


def _alarms(scene: Scene) -> Iterator[Finding]:
    raised: dict[str, list[str]] = {}
    for _, status in scene.telling:
        for member, alarm in status.alarms:
            raised.setdefault(alarm, []).append(member)
    for alarm, members in raised.items():
        names = enumerated(list(dict.fromkeys(map(scene.name, members))))
        evidence = [
            Evidence(
                f"{each.url}, status",
                f"{_size(status.size)}, of which {_size(status.in_use)} are in use; alarms {status.alarms}",
            )
            for each, status in scene.telling
        ]
        if alarm == "NOSPACE":
            biggest = max((status for _, status in scene.telling), key=lambda status: status.size)
            quota = _quota(scene, biggest)
            yield fail(
                "NoSpace",
                f"etcd takes no more writes: the alarm NOSPACE is raised for {names}, with {_size(biggest.size)} on disk, {_size(biggest.in_use)} "
                f"of it in use{f', and a quota of {_size(quota)}' if quota else ''}.",
                subject=names,
                evidence=evidence,
                fix=fixes.free_space(
                    scene.site, [each.url for each, _ in scene.telling], full=biggest.in_use > NEAR * (quota or 0) > 0
                ),
                explains=[
                    Link(
                        "apiserver-endpoints",
                        "MemberNotReady",
                        "an API server is not ready while its etcd is not healthy",
                    )
                ],
            )
        elif alarm == "CORRUPT":
            yield fail(
                "Corrupt",
                f"etcd has raised the alarm CORRUPT for {names}, whose data are not those of the other members.",
                subject=names,
                evidence=evidence,
                fix=fixes.replace_corrupt(scene.site, scene.telling[0][0].url),
            )


def _quota(scene: Scene, status: EtcdStatus) -> int | None:
    """A member's own word (since 3.6), else this node's flag, for kubeadm gives all members the same; None where it is not known, or there is none."""
    return status.quota or (scene.own.quota if scene.own.by_flags else None)


def _room(scene: Scene) -> Iterator[Finding]:
    for each, status in scene.telling:
        quota = _quota(scene, status)
        if (
            any(alarm == "NOSPACE" for _, alarm in status.alarms)
            or quota is None
            or quota <= 0
            or status.size < NEAR * quota
        ):
            continue
        yield warn(
            "NearQuota",
            f"Member {scene.name(status.member)} of etcd has {_size(status.size)} on disk, {_size(status.in_use)} of it in use, and its quota is "
            f"{_size(quota)}.",
            subject=scene.name(status.member),
            evidence=[
                Evidence(f"{each.url}, status", f"dbSize {status.size}, dbSizeInUse {status.in_use}, quota {quota}")
            ],
            fix=fixes.make_room(scene.site, each.url, full=status.in_use > NEAR * quota),
        )


def _disagreeing(scene: Scene) -> Iterator[Finding]:
    clusters: dict[str, list[str]] = {}
    for each, status in scene.telling:
        clusters.setdefault(status.cluster, []).append(each.url)
    evidence = [
        Evidence(
            each.url,
            f"cluster {status.cluster}, member {status.member}; members {', '.join(one.called for one in each.members)}",
        )
        for each, status in scene.telling
    ]
    if len(clusters) > 1:
        parts = "; ".join(f"{enumerated(urls)} to {cluster}" for cluster, urls in clusters.items())
        yield fail(
            "MembersDisagree",
            f"The endpoints of etcd belong to {len(clusters)} different clusters: {parts}.",
            subject=enumerated([urls[0] for urls in clusters.values()]),
            evidence=evidence,
            fix=fixes.compare_members(scene.site, [each.url for each, _ in scene.telling]),
        )
        return
    known = {member.id for member in scene.seen.members}
    for each, status in scene.telling:
        if known and status.member not in known:
            yield fail(
                "MembersDisagree",
                f"etcd at {each.url} is member {status.member}, which the others do not list: it was removed, or it still starts.",
                subject=each.url,
                evidence=evidence,
                fix=fixes.compare_members(scene.site, [one.url for one, _ in scene.telling]),
            )


def _members(scene: Scene) -> Iterator[Finding]:
    where = scene.telling[0][0].url
    for member in scene.seen.members:
        listed = [
            Evidence(f"{where}, members", f"{member.id} {member.name or '(no name)'} {', '.join(member.peer_urls)}")
        ]
        if not member.name:
            yield warn(
                "MemberNotStarted",
                f"Member {member.called} of etcd was added and never started; it counts as one of {len(scene.voters)} all the same.",
                subject=member.called,
                evidence=listed,
                fix=fixes.remove(
                    scene.site, where, member, "Start the added member, or remove it where it will not come"
                ),
            )
        elif member.learner:
            yield warn(
                "LearnerNotPromoted",
                f"Member {member.called} of etcd is a learner: it has no vote, and serves no client until it is promoted.",
                subject=member.called,
                evidence=listed,
                fix=fixes.promote(scene.site, where, member),
            )
    if len(scene.voters) == TWO and not scene.leaderless and all(member.name for member in scene.voters):
        yield warn(
            "TwoMembers",
            f"etcd has two members, {enumerated([each.called for each in scene.voters])}: both must be up, so the loss of either stops the cluster.",
            subject=enumerated([each.called for each in scene.voters]),
            evidence=[Evidence(f"{where}, members", ", ".join(f"{each.called} {each.id}" for each in scene.voters))],
            fix=fixes.grow(scene.site, where),
        )


def _versions(scene: Scene) -> Iterator[Finding]:
    minors = {".".join(status.version.split(".")[:2]) for _, status in scene.telling}
    if len(minors) > 1:
        told = [f"{scene.name(status.member)} {status.version}" for _, status in scene.telling]
        yield warn(
            "VersionsDiffer",
            f"The members of etcd run different minor versions, as in the middle of an upgrade: {enumerated(told)}.",
            subject=", ".join(sorted(minors)),
            evidence=[Evidence(each.url, status.version) for each, status in scene.telling],
            fix=fixes.same_version(scene.site),
        )


def _lagging(scene: Scene) -> Iterator[Finding]:
    newest = max(status.index for _, status in scene.telling)
    for each, status in scene.telling:
        if newest - status.index > FAR_BEHIND:
            yield warn(
                "MemberLags",
                f"Member {scene.name(status.member)} of etcd is {newest - status.index} entries behind: it is at {status.index}, another at {newest}.",
                subject=scene.name(status.member),
                evidence=[Evidence(one.url, f"raftIndex {at.index}") for one, at in scene.telling],
                fix=fixes.look(scene.site, each.url),
            )


def _healthy(scene: Scene) -> Finding:
    parts = [
        f"{scene.name(status.member)} ({status.version}, {_size(status.size)}{_of(_quota(scene, status))})"
        for _, status in scene.telling
    ]
    count = len(scene.seen.members)
    total = "the only member" if count == 1 else f"{len(scene.telling)} of {count} members"
    return passed(
        "Healthy",
        f"etcd answers, {total}: {enumerated(parts)}.",
        subject=scene.telling[0][0].url if scene.telling else None,
        evidence=[
            Evidence(
                each.url,
                f"leader {scene.name(status.leader)}, entry {status.index}, {status.in_use} of {status.size} bytes in use",
            )
            for each, status in scene.telling
        ],
    )


# -- words --------------------------------------------------------------------------------------------------------------


def _of(quota: int | None) -> str:
    return f" of {_size(quota)}" if quota else ""


def _size(count: int) -> str:
    """Bytes in words.

    >>> _size(2 * 1024**3), _size(20480)
    ('2.0 GiB', '20 KiB')
    """
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count // 1024} KiB"
