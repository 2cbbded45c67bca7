"""NetworkManager: whether it runs, and which interfaces its configuration tells it to leave alone."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.processes import Processes
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

FOLDERS = (
    "/usr/lib/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
    "/etc/NetworkManager/conf.d",
)
MAIN = "/etc/NetworkManager/NetworkManager.conf"


@dataclass(frozen=True, slots=True)
class NetworkManager:
    """`runs` tells whether the daemon is there; the rest is read only where it is.

    `left_alone` are the patterns of names that any file tells it to leave alone; `files` are the names in `/etc/NetworkManager/conf.d`.
    `unread` says what could not be read.
    """

    runs: bool = False
    left_alone: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    def leaves_alone(self, name: str) -> bool:
        """Whether a pattern of NetworkManager.conf(5), "Device List Format", covers an interface."""
        return any(_matches(pattern, name) for pattern in self.left_alone)

    @classmethod
    def observe(cls, host: Host, processes: Processes) -> Self:
        """Look for the daemon, then read its files. Never raises: what cannot be read is `unread`."""
        if not processes.named("NetworkManager"):
            return cls()
        unread: list[str] = []
        patterns: list[str] = []
        names: list[str] = []
        for path in _files(host, names, unread):
            try:
                patterns += _patterns(host.read_optional(path) or "")
            except HostError as error:
                unread.append(error.message)
            except ValueError:
                unread.append(f"{path} is no key file")
        return cls(True, tuple(dict.fromkeys(patterns)), tuple(names), tuple(unread))  # noqa: FBT003 -- a field


def _files(host: Host, names: list[str], unread: list[str]) -> Iterator[str]:
    for folder in FOLDERS:
        try:
            listed = [entry["name"] for entry in host.listdir_optional(folder)]
        except HostError as error:
            unread.append(error.message)
            continue
        if folder == FOLDERS[-1]:
            names += listed
        yield from (f"{folder}/{name}" for name in listed if name.endswith(".conf"))
    yield MAIN


def _patterns(text: str) -> Iterator[str]:
    """What `unmanaged-devices` lists, and devices for which `managed=0` is set. Raises ValueError."""
    import configparser

    parser = configparser.ConfigParser(
        delimiters=("=",), comment_prefixes=("#",), strict=False, interpolation=None, empty_lines_in_values=False
    )
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    for section in parser.sections():
        for key, value in parser[section].items():
            unmanaged = key.rstrip("+") == "unmanaged-devices"
            matched = key == "match-device" and parser[section].get("managed") in ("0", "false")
            if unmanaged or matched:
                yield from (part.strip() for part in value.replace(",", ";").split(";") if part.strip())


def _matches(pattern: str, name: str) -> bool:
    """`*` and `interface-name:` patterns; of a driver, a type or an address we know nothing, and take them as covering it."""
    kind, separator, rest = pattern.partition(":")
    if kind == "except":
        return False
    if not separator:
        return fnmatchcase(name, pattern)
    if kind == "interface-name":
        return fnmatchcase(name, rest.lstrip("=~"))
    return kind in ("type", "driver") and rest in (
        "vxlan",
        "tunnel",
        "ipip",
        "ip-tunnel",
        "wireguard",
        "bridge",
        "veth",
    )
