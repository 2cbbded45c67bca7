"""The proxy that a process of the node uses, by the rules of Go's net/http, since every runtime is written in Go.

Read in golang.org/x/net `http/httpproxy/proxy.go`, which net/http brings along.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from k8sdoctor.facts import numbers
from k8sdoctor.facts.settings import IgnoredSetting
from k8sdoctor.facts.systemd_unit import UnitEnvironment
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from k8sdoctor.host import Host

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


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
    differing: tuple[str, ...] = ()
    """Variables that have another value in lower case, which Go passes over and other programs take."""

    @classmethod
    def of(cls, variables: Mapping[str, str], source: str) -> Self:
        """From a process's environment: upper case counts before lower case, as in Go."""
        http, https, no_proxy = (variables.get(name) or variables.get(name.lower()) or None for name in NAMES)
        pairs = ((name, variables.get(name), variables.get(name.lower())) for name in NAMES)
        differing = tuple(name for name, upper, lower in pairs if upper and lower and upper != lower)
        return cls(http, https, no_proxy, source if http or https else "not set", differing=differing)

    @property
    def is_set(self) -> bool:
        """Whether there is any proxy."""
        return bool(self.http or self.https)

    @property
    def shown(self) -> str:
        """The proxies without user and password, for a sentence."""
        found = dict.fromkeys(filter(None, (self.https, self.http)))
        return " and ".join(without_user(proxy) for proxy in found) or "none"

    def reaches(self, subnet: str) -> bool:
        """Whether every address of a subnet is asked directly; only entries that are CIDRs can say so.

        >>> ProxyEnvironment(https="p", no_proxy="10.0.0.0/8").reaches("10.96.0.0/12")
        True
        >>> ProxyEnvironment(https="p", no_proxy="10.96.0.1,10.96.*").reaches("10.96.0.0/12")
        False
        """
        wanted = ipaddress.ip_network(subnet, strict=False)
        entries = [entry.strip() for entry in (self.no_proxy or "").split(",")]
        if not self.is_set or "*" in entries:
            return True
        return any(wanted.version == network.version and wanted.subnet_of(network) for network in _networks(entries))  # type: ignore[arg-type]  # one version

    @property
    def vain(self) -> tuple[str, ...]:
        """Entries of NO_PROXY that match nothing: an asterisk elsewhere than in front, blanks or other marks between names, a URL."""
        entries = [entry.strip() for entry in (self.no_proxy or "").split(",")]
        marks = set(" \t;|")
        return tuple(
            entry
            for entry in entries
            if set(entry) & marks
            or "*" in entry.removeprefix("*")
            or "://" in entry
            or (entry[:1] == "*" and entry[1:2] not in {"", "."})
        )

    @property
    def malformed(self) -> tuple[tuple[str, str], ...]:
        """Proxies that are none, without user and password, and what Go makes of each (`parseProxy`)."""
        found = []
        for proxy in dict.fromkeys(filter(None, (self.http, self.https))):
            shown = without_user(proxy)
            try:
                parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
                _ = parts.port
            except ValueError:
                found.append((shown, "Go takes it for no proxy at all and asks everybody directly"))
                continue
            if not parts.hostname or parts.hostname in {"http", "https"} or set(parts.netloc) & set("\"' "):
                found.append((shown, f"Go looks for a proxy of the name {parts.hostname or ''!r}"))
        return tuple(found)

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
    number = numbers.whole(port, numbers.MOST_PORT)
    if colon and number is not None and (":" not in name or name.endswith("]")):
        return name, number
    return entry, None


def _networks(entries: list[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for entry in entries:
        if "/" in entry:
            try:
                yield ipaddress.ip_network(entry, strict=False)
            except ValueError:
                continue


def without_user(proxy: str) -> str:
    """A proxy without user and password.

    >>> without_user("http://me:secret@proxy:3128")
    'http://proxy:3128'
    """
    scheme, mark, rest = proxy.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True)
class UnitProxy:
    """The proxy of a service: what its process has, and what its unit's files say by now."""

    unit: str
    held: ProxyEnvironment
    """What counts: the process's own where it runs and may be looked at, else `planned`."""
    planned: ProxyEnvironment
    sources: Mapping[str, str]
    """The file that sets each variable of the unit, by its upper-case name."""
    stale: tuple[IgnoredSetting, ...] = ()
    """What the process does not have yet."""
    unread: Unobserved | None = None
    """Why the unit's files, or the process's environment, could not be read."""

    @classmethod
    def of(cls, host: Host, pid: int | None, unit: str) -> Self:
        """Read the unit's files and the process's environment. Never raises: `problem` says what could not be read."""
        unread: Unobserved | None = None
        try:
            files = UnitEnvironment.read(host, unit)
        except HostError as error:
            files, unread = UnitEnvironment(), Unobserved(error.reason, error.message)
        sources: dict[str, str] = {}
        for name in NAMES:
            for spelt in (name, name.lower()):
                if spelt in files.variables:
                    sources.setdefault(name, files.sources[spelt])
        named = ", ".join(dict.fromkeys(sources.values())) or "not set"
        planned = replace(
            ProxyEnvironment.of(files.variables, ""), source=named, problem=unread.message if unread else None
        )
        if pid is None:
            return cls(unit, planned, planned, sources, unread=unread)
        try:
            held = ProxyEnvironment.of_process(host, pid)
        except HostError as error:
            why_not = Unobserved(error.reason, error.message)
            return cls(unit, replace(planned, problem=error.message), planned, sources, unread=why_not)
        stale = []
        for name, wanted, has in zip(
            NAMES, (planned.http, planned.https, planned.no_proxy), (held.http, held.https, held.no_proxy), strict=True
        ):
            if wanted and not _holds(name, wanted, has or ""):
                why = f"the running {unit} (pid {pid}) has {without_user(has) if has else 'none'}: it was not restarted since this was written"
                stale.append(IgnoredSetting("not-loaded", name, without_user(wanted), sources[name], why))
        return cls(unit, held, planned, sources, tuple(stale))


def _holds(name: str, wanted: str, has: str) -> bool:
    """Whether a process has what its unit says.

    k3s adds entries to its own NO_PROXY; a password may be written in another way in a unit, where `%` is doubled.
    """
    if name == "NO_PROXY":
        entries, held = ({entry.strip() for entry in text.split(",")} for text in (wanted, has))
        return entries <= held
    return without_user(wanted) == without_user(has)
