"""Every API server of the cluster is ready, and nobody depends on one of them alone.

## What it looks at
The API servers that the service `kubernetes`, kubeadm's pods and the control planes' Nodes tell of, each asked for `/readyz`; and by which of them this node's
kubelet, controller manager and scheduler, kube-proxy's ConfigMap and kubeadm's `controlPlaneEndpoint` reach the cluster.

## Why it matters
With several API servers and a balancer one may fail unnoticed, until the next does. And whoever was pointed at one of them, as before there was a
balancer, goes down with that one, although the others are there.

## How it is decided
An API server that does not answer, or says that it is not ready, fails. A client is pinned where the address that it uses is, or resolves to, that of one
API server of several. On a control plane its own one is right: kubeadm points controller manager and scheduler there since 1.19.2, and the
kubelet since 1.33 (1.31 by the gate ControlPlaneKubeletLocalMode). Certificates are judged by `apiserver-san` alone.

## Reasons
- `Ready` (pass): every API server that is known of answers and is ready
- `NoCluster` (skip): this machine is no node of a cluster yet
- `MembersNotTold` (skip): with what this node may ask, the API servers are not told
- `MemberDown` (fail): an API server does not answer this node
- `MemberNotReady` (fail): an API server answers that it is not ready, and which of its checks fail
- `MemberNotListed` (warn): an API server answers, and the service `kubernetes` sends nobody there
- `EndpointIsOneMember` (warn): `controlPlaneEndpoint` leads to one API server of several, so there is no balancer in fact
- `KubeletPinned` (warn): the kubelet of this node uses one API server of several, which is not its own
- `ComponentPinned` (warn): controller manager or scheduler of this node use another node's API server
- `KubeProxyPinned` (warn): every kube-proxy uses one API server of several

## What it sends
`GET /readyz` to each API server, without credentials; GET requests for a few objects where a kubeconfig works.

## How to fix
Bring a member back before anything else. Then point each client at the balancer, and restart it.

## How to verify
`kubectl get --raw /readyz?verbose` by each address; `grep server: /etc/kubernetes/*.conf` names the balancer.

## References
- kubernetes.io "Creating Highly Available Clusters with kubeadm"
- kubeadm `getKubeConfigSpecsBase` (cmd/kubeadm/app/phases/kubeconfig/kubeconfig.go); kubernetes/kubernetes#94398; kubernetes/enhancements#4471
- kubernetes `pkg/controlplane/reconcilers/lease.go`: who is behind the service `kubernetes`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor import Evidence, Finding, Fix, Link, Safety, Unobserved, check, fail, passed, skip, unknown, warn
from k8sdoctor.check import NOT_DNS
from k8sdoctor.checks._words import enumerated, sentence
from k8sdoctor.facts.api_access import ApiAccess
from k8sdoctor.facts.api_endpoints import ApiEndpoint, NodeEndpoints, ToldEndpoints, split
from k8sdoctor.facts.api_members import ApiMember, ApiMembers, normal
from k8sdoctor.facts.kubeadm import ClusterKubeadmConfig
from k8sdoctor.facts.kubeconfig import CONTROLLER_MANAGER, KUBELET, SCHEDULER
from k8sdoctor.facts.served_certificates import ServedCertificates, ToldCertificates
from k8sdoctor.facts.stage import Stage
from k8sdoctor.facts.x509 import as_address
from k8sdoctor.host.base import authority
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KUBE_PROXY = "ConfigMap kube-system/kube-proxy"
KUBEADM_CONFIG = "ConfigMap kube-system/kubeadm-config"
ADMIN = "/etc/kubernetes/admin.conf"


@dataclass(frozen=True)
class Scene:
    """The members, and to which of them each address leads."""

    members: ApiMembers
    endpoints: tuple[ApiEndpoint, ...]
    addresses: Mapping[str, tuple[str, ...]]  # of a name, as this node resolves it
    balancer: tuple[str, int] | None  # controlPlaneEndpoint

    def used_by(self, source: str) -> tuple[str, int] | None:
        """Host and port by which somebody reaches an API server."""
        found = (each for each in self.endpoints if any(use.source == source for use in each.uses))
        return next(((each.host, each.port) for each in found), None)

    def member(self, target: tuple[str, int] | None) -> ApiMember | None:
        """The one API server that an address leads to; None where it leads to none that is known, or to several."""
        if target is None:
            return None
        host, port = target
        direct = self.members.at(host, port)
        found = self.addresses.get(host, ())
        return direct or (self.members.at(found[0], port) if len(found) == 1 else None)

    @property
    def balanced(self) -> str | None:
        """`host:port` of an endpoint that is no single API server, where there is one."""
        if self.balancer is None or self.member(self.balancer):
            return None
        return authority(*self.balancer)


@check(
    "apiserver-endpoints",
    title="Every API server is ready, and nobody depends on one alone",
    area="control plane",
    profiles=NOT_DNS,
)
def apiserver_endpoints(  # noqa: PLR0913, PLR0917 -- as many facts as places an address may stand in
    stage: Stage,
    access: ApiAccess | Unobserved,
    members: ApiMembers | Unobserved,
    endpoints: NodeEndpoints,
    told_endpoints: ToldEndpoints | Unobserved,
    served: ServedCertificates | Unobserved,
    told_served: ToldCertificates | Unobserved,
    told: ClusterKubeadmConfig | Unobserved,
) -> Iterator[Finding]:
    """Judge each API server, then who depends on one."""
    if stage.fresh:
        yield skip(
            "NoCluster", "This machine is no node of a cluster that kubeadm made, so no API server is known here."
        )
        return
    if isinstance(members, Unobserved) or not members.all:
        yield _not_told(access, members)
        return
    config = told.config.control_plane_endpoint if isinstance(told, ClusterKubeadmConfig) else None
    balancer = split(config, told.config.bind_port) if config and isinstance(told, ClusterKubeadmConfig) else None
    more = told_endpoints.all if isinstance(told_endpoints, ToldEndpoints) else ()
    scene = Scene(
        members,
        (*endpoints.all, *more),
        _addresses(served, told_served),
        (normal(balancer[0]), balancer[1]) if balancer else None,
    )
    found = [*_members(scene), *(_pinned(scene) if len(members.all) > 1 else ())]
    yield from found
    if not any(finding.status == "fail" for finding in found):
        yield _ready(scene)


def _not_told(access: ApiAccess | Unobserved, members: ApiMembers | Unobserved) -> Finding:
    """Why no API server is known by its own address."""
    problem = access if isinstance(access, Unobserved) else access.problem
    if isinstance(members, Unobserved):
        problem = members
    if problem is None or problem.reason in ("NotPermitted", "NotFound"):
        tail = f": {problem.message}" if problem else ""
        return skip("MembersNotTold", f"The API servers behind the cluster's address are not told here{tail}.")
    make = skip if problem.reason == "Offline" else unknown
    return make(problem.reason, sentence(problem.message), traits=problem.traits)


def _addresses(*parts: ServedCertificates | ToldCertificates | Unobserved) -> dict[str, tuple[str, ...]]:
    return {
        one.endpoint.host: tuple(dict.fromkeys(hello.address for hello in one.hellos))
        for part in parts
        if not isinstance(part, Unobserved)
        for one in part.all
    }


# -- each API server ----------------------------------------------------------------------------------------------------


def _members(scene: Scene) -> Iterator[Finding]:
    every = scene.members.all
    for each in every:
        if each.failure:
            yield _down(each, scene)
        elif not each.ready:
            yield _not_ready(each)
        elif not each.listed and any(other.listed for other in every):
            yield _not_listed(each)


def _down(member: ApiMember, scene: Scene) -> Finding:
    said = member.failure["message"] if member.failure else ""
    others = [each for each in scene.members.all if each.ready]
    dropped = "" if member.listed else ", and the service kubernetes has dropped it"
    total = len(scene.members.all)
    rest = f"; {len(others)} of {total} are ready" if total > 1 else ""
    return fail(
        "MemberDown",
        f"The API server {member.called} does not answer this node{dropped}: {said}{rest}.",
        subject=member.authority,
        evidence=[Evidence(f"https://{member.authority}/readyz", said), Evidence(member.source, member.authority)],
        fix=Fix(
            title="See why this API server does not run"
            if member.own
            else f"On {member.node or member.host}: see why its API server does not run",
            commands=(
                "crictl ps -a --name kube-apiserver",
                "journalctl -u kubelet -n 50 --no-pager",
                "ls -l /etc/kubernetes/manifests",
            ),
            verify=f"curl -ks --max-time 5 https://{member.authority}/readyz",
            safety=Safety.MANUAL,
        ),
        explains=[
            Link(
                "apiserver-san",
                "EndpointUnreachable",
                f"it is the API server at {member.authority} that does not answer",
                when=frozenset({f"endpoint:{member.authority}"}),
            ),
            Link(
                "apiserver-san",
                "BackendsDisagree",
                "a balancer that still hands connections to an API server that is down leaves some of them unanswered",
                when=frozenset({"members:silent"}),
            ),
        ],
        traits=[f"endpoint:{member.authority}", *(["endpoint:own"] if member.own else [])],
    )


def _not_ready(member: ApiMember) -> Finding:
    checks = f": {enumerated(member.failing)} fail{'s' if len(member.failing) == 1 else ''}" if member.failing else ""
    return fail(
        "MemberNotReady",
        f"The API server {member.called} answers that it is not ready ({member.status}){checks}.",
        subject=member.authority,
        evidence=[
            Evidence(f"https://{member.authority}/readyz?verbose", ", ".join(member.failing) or str(member.status))
        ],
        fix=Fix(
            title="See what keeps this API server from being ready",
            commands=(
                f"curl -ks 'https://{member.authority}/readyz?verbose'",
                'crictl logs --tail 30 "$(crictl ps -aq --name kube-apiserver | head -n 1)"',
            ),
            verify=f"curl -ks --max-time 5 https://{member.authority}/readyz",
            safety=Safety.MANUAL,
        ),
        traits=[f"endpoint:{member.authority}"],
    )


def _not_listed(member: ApiMember) -> Finding:
    return warn(
        "MemberNotListed",
        f"The API server {member.called} answers, and the service kubernetes sends nobody there, so it writes to another etcd, or no lease.",
        subject=member.authority,
        evidence=[
            Evidence(member.source, member.authority),
            Evidence("EndpointSlice default/kubernetes", f"does not hold {member.host}"),
        ],
        fix=Fix(
            title=f"On {member.node or member.host}: compare etcd and the advertised address with those of the other API servers",
            commands=(
                "grep -nE 'etcd-servers|advertise-address|endpoint-reconciler-type' /etc/kubernetes/manifests/kube-apiserver.yaml",
            ),
            verify=f"kubectl --kubeconfig {ADMIN} -n default get endpointslices kubernetes -o wide",
            safety=Safety.MANUAL,
        ),
    )


def _ready(scene: Scene) -> Finding:
    names = [each.called for each in scene.members.all]
    through = f", reached through {scene.balanced}" if scene.balanced and len(names) > 1 else ""
    verb = "API server is" if len(names) == 1 else f"{len(names)} API servers are"
    return passed(
        "Ready",
        f"The {verb} ready: {enumerated(names)}{through}.",
        subject=scene.members.all[0].authority,
        evidence=[Evidence(f"https://{each.authority}/readyz", str(each.status)) for each in scene.members.all],
    )


# -- who depends on one -------------------------------------------------------------------------------------------------


def _pinned(scene: Scene) -> Iterator[Finding]:
    total = len(scene.members.all)
    one, proxy = scene.member(scene.balancer), scene.used_by(KUBE_PROXY)
    # On a control plane, the name may lead to its own API server on purpose, by a line in /etc/hosts; and a local balancer of each node goes around it.
    by_name = scene.balancer is not None and as_address(scene.balancer[0]) is None
    used = scene.balancer in (proxy, scene.used_by(KUBELET))
    if one and scene.balancer and used and not (one.own and by_name):
        yield _one_for_all(scene.balancer, one, total)
    # Whoever goes by an endpoint that is one member is told with that.
    member = scene.member(proxy)
    if proxy is not None and member is not None and proxy != scene.balancer:
        yield _kube_proxy(proxy, member, scene)
    for path, program in (
        (KUBELET, "kubelet"),
        (CONTROLLER_MANAGER, "kube-controller-manager"),
        (SCHEDULER, "kube-scheduler"),
    ):
        target = scene.used_by(path)
        member = scene.member(target)
        if target is None or member is None or member.own or target == scene.balancer:
            continue
        yield _client(path, program, target, member, scene)


def _one_for_all(balancer: tuple[str, int], member: ApiMember, total: int) -> Finding:
    host, names = balancer[0], authority(*balancer)
    return warn(
        "EndpointIsOneMember",
        f"The controlPlaneEndpoint {names} leads this node to the API server {member.called} alone, one of {total}: without it, the node loses the cluster.",
        subject=names,
        evidence=[
            Evidence(KUBEADM_CONFIG, f"controlPlaneEndpoint: {names}"),
            Evidence(member.source, member.authority),
        ],
        fix=Fix(
            title=f"Put a balancer in front of all {total} API servers, and have {host} lead to it",
            commands=(f"getent ahosts {host}", f"grep -n -F {host} /etc/hosts"),
            verify=f"getent ahosts {host}; curl -ks https://{names}/readyz",
            safety=Safety.MANUAL,
        ),
    )


def _kube_proxy(target: tuple[str, int], member: ApiMember, scene: Scene) -> Finding:
    where = f"https://{authority(*target)}"
    total = len(scene.members.all)
    kubectl = f"kubectl --kubeconfig {ADMIN} -n kube-system"
    if scene.balanced:
        fix = Fix(
            title=f"Point kube-proxy at {scene.balanced}, and restart it",
            commands=(
                f"{kubectl} get configmap kube-proxy -o yaml | sed 's#server: {where}#server: https://{scene.balanced}#' | {kubectl} apply -f -",
                f"{kubectl} rollout restart daemonset kube-proxy",
            ),
            verify=f"{kubectl} get configmap kube-proxy -o yaml | grep server:",
            safety=Safety.DISRUPTIVE,
        )
    else:
        fix = _needs_balancer(total, f"{kubectl} get configmap kube-proxy -o yaml | grep server:")
    return warn(
        "KubeProxyPinned",
        f"Every kube-proxy uses the API server {member.called} alone, one of {total}: without it, no node learns of changed services.",
        subject=KUBE_PROXY,
        evidence=[Evidence(KUBE_PROXY, f"server: {where}"), *_endpoint(scene)],
        fix=fix,
    )


def _client(path: str, program: str, target: tuple[str, int], member: ApiMember, scene: Scene) -> Finding:
    total = len(scene.members.all)
    where = f"https://{authority(*target)}"
    own = next((each for each in scene.members.all if each.own), None)
    better = own.authority if own else scene.balanced
    restart = "systemctl restart kubelet" if program == "kubelet" else f'crictl stop "$(crictl ps -q --name {program})"'
    fix = (
        Fix(
            title=f"Point the {program} at {better}, and restart it; the old file is kept beside",
            commands=(f"sed -i.pinned 's#server: {where}#server: https://{better}#' {path}", restart),
            verify=f"grep -n server: {path}",
            safety=Safety.DISRUPTIVE,
        )
        if better
        else _needs_balancer(total, f"grep -n server: {path}")
    )
    tell = f"The {program} of this node uses the API server {member.called} alone ({path}), one of {total}"
    evidence = [Evidence(path, f"server: {where}"), *_endpoint(scene)]
    if program == "kubelet":
        return warn(
            "KubeletPinned",
            f"{tell}: without it, this node goes NotReady.",
            subject=path,
            evidence=evidence,
            fix=fix,
        )
    return warn(
        "ComponentPinned",
        f"{tell}, and another node's: without it, this one stands still.",
        subject=path,
        evidence=evidence,
        fix=fix,
    )


def _endpoint(scene: Scene) -> Sequence[Evidence]:
    return [Evidence(KUBEADM_CONFIG, f"controlPlaneEndpoint: {scene.balanced}")] if scene.balanced else []


def _needs_balancer(total: int, verify: str) -> Fix:
    return Fix(
        title=f"Put a balancer in front of all {total} API servers, name it as controlPlaneEndpoint, and point clients at it",
        commands=(f"kubectl --kubeconfig {ADMIN} -n kube-system get configmap kubeadm-config -o yaml",),
        verify=verify,
        safety=Safety.MANUAL,
    )


# -- words --------------------------------------------------------------------------------------------------------------
