"""A systemd service as it would start: its files in order, its command line with the environment filled in, and whether a boot starts it."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.systemd_unit import FOLDERS, service_lines, unit_files
from k8sdoctor.host import HostError
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.host import Host

_WORD = regex(r"\$([A-Za-z_]\w*)")
_BRACED = regex(r"\$\{([A-Za-z_]\w*)\}")
_PREFIXES = "@-:+!|"  # systemd.service(5), "Special executable prefixes"


@dataclass(frozen=True)
class ServiceUnit:
    """`files` are the unit's file and its drop-ins in the order in which systemd applies them; empty where there is no such unit.

    `commands` counts the ExecStart lines that are left; `words` is the last one's command line, with the variables filled in, and `source` its file.
    `environment` holds each variable, `environment_files` the files that it is read from, `absent` those of them that must be
    there and are not, `unread` what could not be read. `wanted_by` are the targets of [Install]; `enabled` is true where one of them has a link
    to it. `masked` is true where the unit is a link to /dev/null.
    """

    files: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    source: str = ""
    commands: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    enabled: bool = False
    masked: bool = False

    @classmethod
    def read(cls, host: Host, name: str) -> Self:
        """Read a service's files. Raises NotPermitted, Unreadable where the unit's own cannot be read."""
        unit = f"{name}.service"
        if _masked(host, unit):
            return cls(masked=True)
        files = tuple(unit_files(host, unit))
        starts: list[tuple[str, str]] = []
        assigned: dict[str, str] = {}
        named: list[str] = []
        wanted: list[str] = []
        for path in files:
            text = host.read(path)
            wanted += _install(text)
            for key, value in service_lines(text):
                match key, value:
                    case "ExecStart", "":
                        starts.clear()
                    case "ExecStart", _:
                        starts.append((path, value))
                    case "Environment", "":
                        assigned.clear()
                    case "Environment", _:
                        assigned.update(_assignments(value))
                    case "EnvironmentFile", "":
                        named.clear()
                    case "EnvironmentFile", _:
                        named.append(value)
        read, absent, unread = _environment_files(host, named)
        environment = {**assigned, **read}  # the files win over Environment=, wherever both stand: systemd.exec(5)
        source, line = starts[-1] if starts else ("", "")
        return cls(
            files,
            tuple(_expanded(line, environment)),
            source,
            len(starts),
            environment,
            tuple(each.removeprefix("-") for each in named),
            absent,
            unread,
            tuple(dict.fromkeys(wanted)),
            _enabled(host, unit, wanted),
        )


def _masked(host: Host, unit: str) -> bool:
    try:
        return host.readlink(f"{FOLDERS[0]}/{unit}") == "/dev/null"
    except HostError:
        return False


def _install(text: str) -> list[str]:
    """The targets that want the unit once it is enabled."""
    section, targets = "", list[str]()
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line
        key, sign, value = line.partition("=")
        if section == "[Install]" and sign and key.strip() in ("WantedBy", "RequiredBy"):
            targets += value.split()
    return targets


def _enabled(host: Host, unit: str, targets: list[str]) -> bool:
    for folder in FOLDERS:
        for target in targets:
            for kind in ("wants", "requires"):
                try:
                    if any(each["name"] == unit for each in host.listdir_optional(f"{folder}/{target}.{kind}")):
                        return True
                except HostError:
                    return True  # it cannot be told, and is not accused
    return False


def _assignments(value: str) -> dict[str, str]:
    return {name: rest for word in _split(value) for name, sign, rest in [word.partition("=")] if sign}


def _environment_files(host: Host, named: list[str]) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    read: dict[str, str] = {}
    absent: list[str] = []
    unread: list[str] = []
    for each in named:
        path = each.removeprefix("-")
        try:
            text = host.read(path)
        except HostError as error:
            if error.reason != "NotFound":
                unread.append(error.message)
            elif not each.startswith("-") and not set(path) & set("*?["):
                absent.append(path)
            continue
        read.update(environment_of(text))
    return read, tuple(absent), tuple(unread)


def environment_of(text: str) -> dict[str, str]:
    r"""The variables of an environment file, quotes taken away; blanks inside a value stay, quoted or not (systemd.exec(5)).

    >>> environment_of('# why\nA="--x=1 --y"\nB=--x=1 --y\nBROKEN=\'')
    {'A': '--x=1 --y', 'B': '--x=1 --y'}
    """
    found: dict[str, str] = {}
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.strip()
        name, sign, value = line.partition("=")
        if not sign or line.startswith(("#", ";")) or not name.strip().isidentifier():
            continue
        try:
            found[name.strip()] = " ".join(shlex.split(value))
        except ValueError:  # an open quote
            continue
    return found


def _expanded(line: str, environment: Mapping[str, str]) -> list[str]:
    """The words of a command line: `$NAME` alone becomes the words of its value, `${NAME}` its value (systemd.service(5))."""
    words: list[str] = []
    for word in _split(line):
        alone = _WORD.fullmatch(word)
        if alone:
            words += _split(environment.get(alone[1], ""))
        else:
            words.append(_BRACED.sub(lambda match: environment.get(match[1], ""), word).replace("$$", "$"))
    if words:
        words[0] = words[0].lstrip(_PREFIXES)
    return words


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # an open quote: systemd ignores such a line as well
        return []
