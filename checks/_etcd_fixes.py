"""What to paste when etcd is at fault.

kubeadm's etcd is a container, whose image has `etcdctl`; it is reached by the runtime, since the API server may be gone. Elsewhere `etcdctl` of a
package is meant. The order of freeing space is etcd's own (etcd.io, "Maintenance"): defragment, then disarm. Compacting is left out, for API servers
do that every five minutes by themselves (`--etcd-compaction-interval`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.etcd import is_loopback
from k8sdoctor.finding import Fix, Safety
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.etcd import EtcdAccess, EtcdMember
    from k8sdoctor.facts.etcd_server import EtcdServer

CONTAINER = '"$(crictl ps -q --name etcd | head -n 1)"'


@dataclass(frozen=True)
class Site:
    """How etcd is reached from this node."""

    manifest: str | None  # of this node's own etcd
    files: str  # the options that name certificate, key and authority, as etcdctl has them
    curl: str  # the same for curl
    pods: bool  # etcd is a container here

    @classmethod
    def of(cls, access: EtcdAccess, own: EtcdServer) -> Self:
        """By the flags that are known."""
        manifest = own.source if own.source and own.source.startswith("/") else None
        ca, pair = access.ca, access.certificate
        if manifest and own.flag("--trusted-ca-file"):
            # The container has etcd's own folder alone, with kubeadm's certificate for probes in it.
            ca = own.flag("--trusted-ca-file")
            folder = (ca or "").rpartition("/")[0]
            inside = (f"{folder}/healthcheck-client.crt", f"{folder}/healthcheck-client.key")
        else:
            inside = pair or ("", "")
        files = f" --cacert={ca} --cert={inside[0]} --key={inside[1]}" if ca and inside[0] else ""
        curl = f" --cacert {access.ca} --cert {pair[0]} --key {pair[1]}" if access.ca and pair else ""
        return cls(manifest, files, curl, bool(manifest))

    def ctl(self, words: str, url: str) -> str:
        """An etcdctl command line."""
        program = f"crictl exec {CONTAINER} etcdctl" if self.pods else "ETCDCTL_API=3 etcdctl"
        return f"{program} --endpoints={url}{self.files} {words}"

    def health(self, url: str) -> str:
        """A line that prints whether etcd is healthy."""
        return f"curl -sS --max-time 5{self.curl} {url}/health"

    @property
    def logs(self) -> tuple[str, ...]:
        """Where etcd on this node tells what is wrong."""
        if not self.pods:
            return ("journalctl -u etcd -n 50 --no-pager",)
        return (
            "crictl ps -a --name etcd",
            'crictl logs --tail 30 "$(crictl ps -aq --name etcd | head -n 1)"',
            "journalctl -u kubelet -n 30 --no-pager",
        )


def look(site: Site, url: str) -> Fix:
    """A member is not well, and says so."""
    return Fix("See what this member says", (site.health(url), *site.logs), site.health(url), Safety.MANUAL)


def start(site: Site, url: str) -> Fix:
    """Nobody answers where the API server has etcd."""
    return Fix(
        "See why etcd does not run, or what is on the way to it",
        (*site.logs, "df -h /var/lib/etcd") if site.pods or is_loopback(url) else (site.health(url),),
        site.health(url),
        Safety.MANUAL,
    )


def bring_back(site: Site, url: str, member: EtcdMember | None) -> Fix:
    """One member is gone, and the others are enough."""
    title = f"On the machine of {url}: see why etcd does not run, or what is on the way to it"
    if member is not None:
        title += f"; only where it will never come back, `etcdctl member remove {_hex(member.id)}`"
    return Fix(title, site.logs, site.health(url), Safety.MANUAL)


def regain_majority(site: Site, url: str) -> Fix:
    """Too many are gone."""
    return Fix(
        "On each machine whose etcd does not answer: start it again; where a majority is lost for good, restore a snapshot "
        "(etcd.io, Disaster recovery)",
        site.logs,
        site.ctl("endpoint status --cluster", url),
        Safety.MANUAL,
    )


def free_space(site: Site, urls: Sequence[str], *, full: bool) -> Fix:
    """NOSPACE. `full`: what is in use is itself near the quota."""
    commands = [site.ctl("defrag", url) for url in urls]
    title = "Defragment each member, which blocks it for that time, then disarm the alarm"
    if full:
        title = f"Raise --quota-backend-bytes of every member ({site.manifest or 'etcd'}), or delete what fills it; then disarm the alarm"
        commands = [f"grep -n quota-backend-bytes {site.manifest}"] if site.manifest else []
    return Fix(
        title,
        (*commands, site.ctl("alarm disarm", urls[0])),
        site.health(urls[0]),
        Safety.MANUAL if full else Safety.DISRUPTIVE,
    )


def make_room(site: Site, url: str, *, full: bool) -> Fix:
    """Near the quota."""
    if full:
        return Fix(
            f"Raise --quota-backend-bytes of every member ({site.manifest or 'etcd'}; 8 GiB is the most that etcd suggests), or delete what fills it",
            (site.ctl("endpoint status --cluster -w table", url),),
            site.ctl("endpoint status --cluster -w table", url),
            Safety.MANUAL,
        )
    return Fix(
        "Defragment this member, which blocks it for that time",
        (site.ctl("defrag", url),),
        site.ctl("endpoint status -w table", url),
        Safety.DISRUPTIVE,
    )


def replace_corrupt(site: Site, url: str) -> Fix:
    """CORRUPT."""
    return Fix(
        "Find the member whose data differ, remove it and add it anew with an empty folder; then disarm the alarm",
        (site.ctl("endpoint hashkv --cluster", url), site.ctl("alarm list", url)),
        site.ctl("alarm list", url),
        Safety.MANUAL,
    )


def compare_members(site: Site, urls: Sequence[str]) -> Fix:
    """Members tell different things."""
    return Fix(
        "Compare what each endpoint tells, and remove the one that does not belong there from --etcd-servers and from the machine that runs it",
        tuple(site.ctl("member list -w table", url) for url in urls),
        site.ctl("endpoint status --cluster -w table", urls[0]),
        Safety.MANUAL,
    )


def remove(site: Site, url: str, member: EtcdMember, title: str) -> Fix:
    """A member that never came."""
    return Fix(
        title,
        (site.ctl(f"member remove {_hex(member.id)}", url),),
        site.ctl("member list -w table", url),
        Safety.MANUAL,
    )


def promote(site: Site, url: str, member: EtcdMember) -> Fix:
    """A learner."""
    return Fix(
        "Promote the learner, once it has caught up",
        (site.ctl(f"member promote {_hex(member.id)}", url),),
        site.ctl("member list -w table", url),
        Safety.MANUAL,
    )


def grow(site: Site, url: str) -> Fix:
    """Two members."""
    return Fix(
        "Join a third control-plane node: print the command on a control plane, and paste its line there",
        (
            'kubeadm token create --print-join-command --certificate-key "$(kubeadm init phase upload-certs --upload-certs | tail -n 1)"',
        ),
        site.ctl("member list -w table", url),
        Safety.MANUAL,
    )


def same_version(site: Site) -> Fix:
    """Minor versions differ."""
    return Fix(
        "Finish the upgrade on every control-plane node",
        ("kubeadm upgrade node",),
        site.ctl("endpoint status --cluster -w table", "https://127.0.0.1:2379"),
        Safety.MANUAL,
    )


def look_at_certificate(site: Site, url: str) -> Fix:
    """A handshake failed."""
    address = url.partition("://")[2]
    return Fix(
        "See which certificates etcd and its client show, and by which authority",
        (
            f"openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName",
            "kubeadm certs check-expiration",
        ),
        site.health(url),
        Safety.MANUAL,
    )


def serve_tls(access: EtcdAccess) -> Fix:
    """Plain HTTP."""
    return Fix(
        "Give etcd a server certificate and have it demand one of its clients (--cert-file, --key-file, --trusted-ca-file, --client-cert-auth); "
        "then name https:// and a client certificate in the API server's flags",
        (f"grep -n etcd- {access.source}",)
        if (access.source or "").startswith("/")
        else ("ps -o args= -C kube-apiserver",),
        "ss -ltnp '( sport = :2379 )'",
        Safety.MANUAL,
    )


def _hex(member: str) -> str:
    """A member's id as etcdctl takes it.

    >>> _hex("10276657743932975437")
    '8e9e05c52164694d'
    """
    return f"{int(member):x}" if member.isdecimal() else member
