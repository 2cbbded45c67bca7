"""Swap: what is in use now, and what turns it on at boot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts import numbers
from k8sdoctor.facts.systemd_unit import FOLDERS
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

SWAPS = "/proc/swaps"
FSTAB = "/etc/fstab"

# Services of distributions that make swap at boot, by the file that sets them up.
SERVICES = {
    "/etc/dphys-swapfile": "dphys-swapfile",  # Raspberry Pi OS
    "/etc/default/zramswap": "zramswap",  # zram-tools of Debian
    "/etc/default/zram-config": "zram-config",
    "/usr/bin/init-zram-swapping": "zram-config",  # Ubuntu
}
ZRAM_GENERATORS = ("/etc/systemd/zram-generator.conf", "/usr/lib/systemd/zram-generator.conf")

_BY = {"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}


@dataclass(frozen=True, slots=True)
class SwapArea:
    """One line of /proc/swaps."""

    path: str
    type: str
    kilobytes: int


@dataclass(frozen=True, slots=True)
class FstabLine:
    """A line of fstab that turns swap on at boot. `there` is false where what it names is not there; None where that is not known."""

    number: int
    device: str
    text: str
    there: bool | None


@dataclass(frozen=True)
class Swap:
    """`active` is what is in use. `fstab` are the lines without `noauto`; `units` are enabled `*.swap` units of somebody's own, with their files.

    `services` are services that make swap at boot and are set up here, `generator` is the configuration of systemd's zram generator.
    `problems` are files that could not be read.
    """

    active: tuple[SwapArea, ...] = ()
    fstab: tuple[FstabLine, ...] = ()
    units: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    generator: str | None = None
    problems: tuple[Unobserved, ...] = ()

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read /proc/swaps, fstab and what systemd enables. Raises where /proc/swaps cannot be read."""
        active = tuple(_areas(host.read_optional(SWAPS) or ""))
        problems: list[Unobserved] = []
        try:
            fstab = tuple(_fstab(host, host.read_optional(FSTAB) or ""))
        except HostError as error:
            problems.append(Unobserved(error.reason, error.message))
            fstab = ()
        return cls(
            active,
            fstab,
            tuple(_units(host)),
            tuple(sorted({name for path, name in SERVICES.items() if _exists(host, path)})),
            next((path for path in ZRAM_GENERATORS if _exists(host, path)), None),
            tuple(problems),
        )


def _areas(text: str) -> Iterator[SwapArea]:
    r"""The lines below the header. The kernel writes a blank in a name as `\040`.

    >>> list(_areas("Filename Type Size\n/swap\\040file file 4194300 0 -2\n"))
    [SwapArea(path='/swap file', type='file', kilobytes=4194300)]
    """
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 3:  # noqa: PLR2004 -- name, type and size
            yield SwapArea(_unescaped(words[0]), words[1], numbers.whole(words[2]) or 0)


def _unescaped(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _fstab(host: Host, text: str) -> Iterator[FstabLine]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if len(words) < 3 or words[0].startswith("#") or words[2] != "swap":  # noqa: PLR2004 -- device, place, type
            continue
        options = words[3].split(",") if len(words) > 3 else []  # noqa: PLR2004 -- options are the fourth
        if "noauto" not in options:
            yield FstabLine(number, words[0], line.strip(), _there(host, words[0]))


def _there(host: Host, device: str) -> bool | None:
    name, sign, value = device.partition("=")
    path = f"/dev/disk/{_BY[name]}/{value.strip(chr(34))}" if sign and name in _BY else _unescaped(device)
    if not path.startswith("/"):
        return None
    try:
        return host.exists(path)
    except HostError:
        return None


def _units(host: Host) -> Iterator[str]:
    """Units that a `.wants` folder enables, unless they are masked (a link to /dev/null)."""
    for folder in FOLDERS[:2]:
        for target in ("swap.target", "multi-user.target", "local-fs.target"):
            try:
                entries = host.listdir_optional(f"{folder}/{target}.wants")
            except HostError:
                continue
            for entry in entries:
                name = entry["name"]
                if name.endswith(".swap") and not _masked(host, name):
                    yield name


def _masked(host: Host, unit: str) -> bool:
    try:
        return host.readlink(f"{FOLDERS[0]}/{unit}") == "/dev/null"
    except HostError:
        return False


def _exists(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except HostError:
        return False
