"""The resolv.conf from which the kubelet makes those of pods."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.cluster_dns import parse_resolv_conf
from k8sdoctor.facts.kubelet import Kubelet
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

BEHIND_RESOLVED = "/run/systemd/resolve/resolv.conf"
"""The resolvers that systemd-resolved asks, without its stub (systemd-resolved.service(8)); kubeadm names it where that service runs."""


@dataclass(frozen=True)
class PodResolver:
    """`path` is the file; empty where the configuration switches it off (`resolvConf: ""`). `absent` is true where it is not there.

    `loopback` are its name servers that are loopback addresses, `search` its search domains. `better` is systemd-resolved's file without the stub, where there is one that
    names others. `problem` is why the file could not be read.
    """

    path: str
    absent: bool = False
    servers: tuple[str, ...] = ()
    loopback: tuple[str, ...] = ()
    better: str | None = None
    problem: Unobserved | None = None
    search: tuple[str, ...] = ()

    @classmethod
    def observe(cls, host: Host, kubelet: Kubelet) -> Self:
        """Read it. Never raises."""
        if kubelet.config.get("resolvConf") == "" and "--resolv-conf" not in kubelet.flags:
            return cls("")
        path = kubelet.resolv_conf
        better = _better(host)
        try:
            text = host.read_optional(path)
        except HostError as error:
            return cls(path, problem=Unobserved(error.reason, error.message))
        if text is None:
            return cls(path, absent=True, better=better)
        servers = tuple(_servers(text))
        _, search = parse_resolv_conf(text)
        return cls(
            path, servers=servers, loopback=tuple(filter(_is_loopback, servers)), better=better, search=tuple(search)
        )


def _servers(text: str) -> Iterator[str]:
    """The addresses of `nameserver` lines (resolv.conf(5))."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            yield words[1]


def _is_loopback(server: str) -> bool:
    try:
        return ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _better(host: Host) -> str | None:
    try:
        text = host.read_optional(BEHIND_RESOLVED) or ""
    except HostError:
        return None
    servers = list(_servers(text))
    return BEHIND_RESOLVED if servers and not any(map(_is_loopback, servers)) else None
