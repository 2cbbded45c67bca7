"""What the kernel's switches will be after the next boot, as systemd-sysctl sets them.

The rules are those of sysctl.d(5) and systemd's `src/sysctl/sysctl.c`; a lab test holds this file against the real program.
procps' `sysctl --system` differs: it reads /etc/sysctl.conf last, whether a link leads to it or not, and looks into /run
before /etc. What decides at boot is systemd, so /etc/sysctl.conf counts only where a link in `sysctl.d` leads to it (Debian 12,
Ubuntu and RHEL have `/etc/sysctl.d/99-sysctl.conf`, Debian 13 does not).
"""

from __future__ import annotations

from dataclasses import field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.boot_files import BLANKS, BootFile, BootFiles
from k8sdoctor.patterns import regex
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host


_ESCAPED = regex(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment of a file. `key` is written with slashes (`net/ipv4/conf/eth0.100/forwarding`); it may hold `*`, `?`, `[`.

    `value` is None for a line `-key`, which sets nothing and keeps globs from setting the key.
    """

    key: str
    value: str | None
    file: str
    line: int
    text: str

    @property
    def is_glob(self) -> bool:
        """Whether the key stands for several."""
        return any(character in self.key for character in "*?[")

    @property
    def turns_on(self) -> bool | None:
        """Whether it sets a switch to something other than 0; None where the value is no number."""
        words = (self.value or "").split()
        try:
            return int(words[0], 0) != 0
        except (ValueError, IndexError):
            return None

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def matches(self, key: str) -> bool:
        """Whether the key, slashes and all, is one that this line means. A `*` does not reach over a slash."""
        if not self.is_glob:
            return self.key == key
        own, other = self.key.split("/"), key.split("/")
        return len(own) == len(other) and all(map(fnmatchcase, other, map(_pattern, own)))


@dataclass(frozen=True)
class SysctlBoot:
    """All that is assigned at boot."""

    boot: BootFiles = field(default_factory=BootFiles)

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read the files of every `sysctl.d`."""
        return cls(BootFiles.gather(host, "sysctl.d"))

    @property
    def unread(self) -> tuple[str, ...]:
        """What could not be looked at."""
        return self.boot.unread

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The assignments in the order in which they are made.

        A later line for the same key takes the earlier one's place away; one that says the same value again changes nothing, not
        even the order.
        """
        merged: dict[str, Setting] = {}
        for file in self.boot.files:
            for number, line in file.lines():
                setting = _parse(file, number, line)
                if setting is None:
                    continue
                before = merged.get(setting.key)
                if before is not None and before.value == setting.value:
                    continue
                merged.pop(setting.key, None)
                merged[setting.key] = setting
        return tuple(merged.values())

    def winner(self, *keys: str) -> Setting | None:
        """The assignment that is made last to a switch that goes by these keys (with dots), or None when none is.

        An assignment to the key itself beats every glob, wherever it stands.
        """
        wanted = [normal(key) for key in keys]
        settings = self.settings
        explicit = {setting.key for setting in settings if not setting.is_glob}
        last = None
        for setting in settings:
            if setting.value is not None and any(
                setting.matches(key) and (not setting.is_glob or key not in explicit) for key in wanted
            ):
                last = setting
        return last

    def drop_in(self, stem: str, *keys: str) -> tuple[str, str]:
        """The path of a new file below /etc/sysctl.d, and the one of a switch's keys that, set to 1 in it, wins."""
        for prefix in ("99-", *(f"{'z' * count}-" for count in range(2, 50))):
            name = self.boot.free_name(prefix, stem)
            path = f"/etc/sysctl.d/{name}"
            for key in keys:
                trial = type(self)(self.boot.with_file(BootFile(name, path, f"{key} = 1\n")))
                winner = trial.winner(*keys)
                if winner is not None and winner.turns_on:
                    return path, key
        # Unreachable unless a file is named with fifty letters z: sort behind it by hand.
        return f"/etc/sysctl.d/{'z' * 60}-{stem}.conf", keys[0]


def normal(key: str) -> str:
    """A key with slashes. If its first separator is a slash it is so written already, and its dots are dots."""
    first = next((character for character in key if character in "./"), "/")
    if first == ".":
        key = key.translate(str.maketrans("./", "/."))
    return "/".join(part for part in key.split("/") if part not in ("", "."))


def _pattern(text: str) -> str:
    r"""A pattern of glob(3) as one of Python's.

    >>> _pattern("[^a]*"), _pattern(r"\*")
    ('[!a]*', '[*]')
    """
    return _ESCAPED.sub(r"[\1]", text).replace("[^", "[!")


def _parse(file: BootFile, number: int, line: str) -> Setting | None:
    """The assignment in a line, or None: systemd complains about a line without `=` and goes on."""
    key, equals, value = line.partition("=")
    dash = key.startswith("-")  # `-key = value` may fail quietly; `-key` alone excludes
    if not equals and not dash:
        return None
    key = normal(key.removeprefix("-").strip(BLANKS))
    return Setting(key, value.strip(BLANKS) if equals else None, file.path, number, line) if key else None
