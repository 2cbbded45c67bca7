"""The proxy that a process of the node uses, by the rules of Go's net/http, since every runtime is written in Go."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class ProxyEnvironment:
    """`HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as a process has them. A password in a URL is a placeholder."""

    http: str | None = None
    https: str | None = None
    no_proxy: str | None = None
    source: str = "not set"
    """`/proc/812/environ`, or the unit file that sets them."""
    problem: str | None = None
    """Why the environment could not be read: what is here is then not all."""

    @classmethod
    def of(cls, variables: Mapping[str, str], source: str) -> Self:
        """From a process's environment: upper case counts before lower case, as in Go."""
        http, https, no_proxy = (
            variables.get(name) or variables.get(name.lower()) or None
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
        )
        return cls(http, https, no_proxy, source if http or https else "not set")

    @classmethod
    def of_process(cls, host: Host, pid: int) -> Self:
        """Of a process that runs. Raises NotPermitted, NotFound."""
        path = f"/proc/{pid}/environ"
        pairs = (entry.partition("=") for entry in host.read(path).split("\0"))
        return cls.of({name: value for name, _, value in pairs}, path)

    def proxy_for(self, url: str) -> str | None:
        """The proxy for a URL, or None where the connection is direct (golang.org/x/net/http/httpproxy).

        >>> ProxyEnvironment(https="proxy:3128", no_proxy=".internal,10.0.0.0/8").proxy_for("https://registry.k8s.io/v2/")
        'http://proxy:3128'
        """
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        if not proxy or not self._used_for(
            parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        ):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _used_for(self, host: str, port: int) -> bool:
        host = host.lower().rstrip(".")
        if host == "localhost":
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            address = None
        if address is not None and address.is_loopback:
            return False
        entries = [entry.strip().lower() for entry in (self.no_proxy or "").split(",")]
        return not any(_covers(entry, host, port, address) for entry in entries if entry)


def _covers(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Whether an entry of NO_PROXY (`*`, CIDR, IP[:port], `example.com[:port]`, `.example.com`) takes a host out."""
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        network = None
    if network is not None:
        return address is not None and address in network
    name, entry_port = _split(entry)
    if entry_port is not None and entry_port != port:
        return False
    try:
        return address == ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        pass
    if address is not None:
        return False
    name = name.removeprefix("*")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _split(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, None
