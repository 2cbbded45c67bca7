"""Names to addresses, by the node's own resolver: the verb `resolve`, and what the HTTP verb dials.

On the machine itself that is libc's `getaddrinfo`, with everything that nsswitch.conf sets up. libc reads our own `/etc`, though, so
for another root the addresses come from that root's hosts file, then from the nameservers of its resolv.conf.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, cast

from k8sdoctor.host import own_limits, workers
from k8sdoctor.host.answers import ResolveAnswer
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from k8sdoctor.host.live import LiveHost


class NameNotResolvedError(OSError):
    """The resolver's own words on why a name has no address."""


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:  # noqa: ARG001 -- one signature for all verbs
    """Answer `resolve`. A resolver that says nothing within the probe's limit is an answer: that name was not resolved."""
    name = cast("str", arguments["name"])
    try:
        found = cast("list[str]", host.bounded(lambda: addresses(host, name), f"resolving {name}"))
    except NameNotResolvedError as error:
        return cast("Json", ResolveAnswer(addresses=[], error=str(error)))
    except HostError as error:
        if error.reason != "DeadlineExceeded":
            raise
        return cast("Json", ResolveAnswer(addresses=[], error=silence(host.probe_limit)))
    return cast("Json", ResolveAnswer(addresses=found, error=None))


def silence(limit: float) -> str:
    """The words for a resolver that did not answer in time."""
    return f"no answer from the node's resolver within {limit:g} s"


def addresses(host: LiveHost, name: str) -> list[str]:
    """The addresses of a name, in the resolver's order; an address is its own. Raises NameNotResolvedError. May hang: bound it."""
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        return _from_root(host, name) if host.root else _from_libc(name)


def _from_libc(name: str) -> list[str]:
    try:
        with workers.waiting():
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        own_limits.hold_if_exhausted()
        raise NameNotResolvedError(error.strerror or str(error)) from None
    except UnicodeError:
        raise NameNotResolvedError("this is no host name") from None
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def _from_root(host: LiveHost, name: str) -> list[str]:
    import io

    from k8sdoctor.host.dns import LOADING

    with LOADING:
        import dns.exception
        import dns.resolver

    written = _from_hosts_file(_text(host, "/etc/hosts"), name)
    if written:
        return written
    resolver = dns.resolver.Resolver(configure=False)
    resolver.lifetime = host.probe_limit
    try:
        resolver.read_resolv_conf(io.StringIO(_text(host, "/etc/resolv.conf")))
        with workers.waiting():
            found = resolver.resolve_name(name, search=True)
    except dns.exception.DNSException as error:
        own_limits.hold_if_exhausted()
        raise NameNotResolvedError(str(error) or type(error).__name__) from None
    return list(found.addresses())


def _text(host: LiveHost, path: str) -> str:
    try:
        return host.files.read(path)
    except HostError:
        return ""


def _from_hosts_file(text: str, name: str) -> list[str]:
    r"""The addresses that a hosts file gives a name.

    >>> _from_hosts_file("127.0.0.1 localhost\n10.0.0.9 mirror.lab mirror  # ours\n", "MIRROR")
    ['10.0.0.9']
    """
    found = []
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name.lower().rstrip(".") in (known.lower() for known in names):
            found.append(address)
    return found
