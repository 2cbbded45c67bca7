"""The node's Linux distribution, for fixes that fit its paths and commands."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host

Family: TypeAlias = Literal["debian", "rhel", "suse", "flatcar", "other"]

_FAMILIES: dict[str, Family] = {
    "debian": "debian",
    "ubuntu": "debian",
    "rhel": "rhel",
    "fedora": "rhel",
    "centos": "rhel",
    "amzn": "rhel",
    "suse": "suse",
    "opensuse": "suse",
    "sles": "suse",
    "sle-micro": "suse",
    "flatcar": "flatcar",
    "coreos": "flatcar",
}

# Where a distribution wants a CA certificate and how its trust store is made anew: update-ca-certificates(8) of Debian, SUSE and
# Flatcar, update-ca-trust(8) of RHEL.
_TRUST: dict[Family, tuple[str, str]] = {
    "debian": ("/usr/local/share/ca-certificates", "update-ca-certificates"),
    "rhel": ("/etc/pki/ca-trust/source/anchors", "update-ca-trust extract"),
    "suse": ("/etc/pki/trust/anchors", "update-ca-certificates"),
    "flatcar": ("/etc/ssl/certs", "update-ca-certificates"),
    "other": ("/usr/local/share/ca-certificates", "update-ca-certificates"),
}


@dataclass(frozen=True)
class Distribution:
    """What os-release says. Without one, `id` is empty and the family is `other`."""

    id: str
    id_like: tuple[str, ...]
    pretty_name: str
    family: Family

    @property
    def trust_folder(self) -> str:
        """The folder into which a CA certificate is put."""
        return _TRUST[self.family][0]

    @property
    def trust_suffix(self) -> str:
        """The file suffix that the trust store's tool looks for."""
        return ".pem" if self.family in ("flatcar", "suse") else ".crt"

    @property
    def trust_update(self) -> str:
        """The command that makes the trust store anew from that folder."""
        return _TRUST[self.family][1]

    @classmethod
    def observe(cls, host: Host) -> Self:
        """Read /etc/os-release, else /usr/lib/os-release, as os-release(5) wants it. Raises NotPermitted, Unreadable."""
        text = host.read_optional("/etc/os-release")
        if text is None:
            text = host.read_optional("/usr/lib/os-release") or ""
        fields = _shell_assignments(text)
        id_ = fields.get("ID", "").lower()
        like = tuple(fields.get("ID_LIKE", "").lower().split())
        family: Family = next(
            (_FAMILIES[word] for name in (id_, *like) for word in (name, name.partition("-")[0]) if word in _FAMILIES),
            "other",
        )
        return cls(id_, like, fields.get("PRETTY_NAME", id_ or "an unknown Linux"), family)


def _shell_assignments(text: str) -> dict[str, str]:
    """The `NAME=value` lines of a file in shell form; a line that a shell could not read is left out."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if not sign or not name.isidentifier():
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            continue
        fields[name] = words[0] if words else ""
    return fields
