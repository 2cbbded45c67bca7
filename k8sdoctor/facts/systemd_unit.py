"""The environment that a systemd unit gives to its process, read from the unit's files."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from k8sdoctor.host import Host

# systemd.unit(5), "System Unit Search Path", strongest first; /lib is another name for /usr/lib nearly everywhere.
FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


@dataclass(frozen=True)
class UnitEnvironment:
    """`Environment=` and `EnvironmentFile=` of a service: each variable, and the file that sets it.

    What systemd itself adds and what `systemctl set-environment` did are not in it.
    """

    variables: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, host: Host, unit: str) -> Self:
        """Read the unit and its drop-ins in the order of systemd. Raises NotPermitted."""
        found = cls({}, {})
        for path in unit_files(host, f"{unit}.service"):
            for key, value in service_lines(host.read(path)):
                if key == "Environment":
                    # Of the specifiers of systemd.unit(5), only the doubled one is met with in a proxy's address.
                    found._add(_words(value.replace("%%", "%")), path)
                elif key == "EnvironmentFile":
                    found._add_file(host, value)
        return found

    def _add(self, words: list[str], source: str) -> None:
        if not words:  # an empty assignment forgets all that stood before
            self.variables.clear()
        for word in words:
            name, sign, value = word.partition("=")
            if sign:
                self.variables[name] = value
                self.sources[name] = source

    def _add_file(self, host: Host, value: str) -> None:
        path = value.removeprefix("-")
        if not path.startswith("/"):
            return
        try:
            text = host.read(path)
        except HostError:
            return
        for line in text.splitlines():
            if "=" in line and not line.lstrip().startswith(("#", ";")):
                name, _, rest = line.strip().partition("=")
                self._add([f"{name}={word}" for word in _words(rest)[:1]] or [f"{name}="], path)


def unit_files(host: Host, name: str) -> Iterator[str]:
    """The unit's file, then its drop-ins sorted by name; of two with one name the stronger folder's counts."""
    for folder in FOLDERS:
        path = posixpath.join(folder, name)
        if host.exists(path):
            yield path
            break
    drop_ins: dict[str, str] = {}
    for folder in FOLDERS:
        for entry in host.listdir_optional(f"{folder}/{name}.d"):
            if entry["name"].endswith(".conf"):
                drop_ins.setdefault(entry["name"], f"{folder}/{name}.d/{entry['name']}")
    for _, path in sorted(drop_ins.items()):
        if host.exists(path):
            yield path


def service_lines(text: str) -> Iterator[tuple[str, str]]:
    """Keys and values of the [Service] section; a key may come more than once, which configparser cannot keep."""
    section = ""
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # an open quote: systemd ignores such a line as well
        return []
