"""flannel's subnet file, from which its CNI plugin takes this node's part of the pod network."""

from __future__ import annotations

import ipaddress
from dataclasses import field
from typing import TYPE_CHECKING, Self

from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from k8sdoctor.facts.cni_network import Subnet
    from k8sdoctor.host import Host


@dataclass(frozen=True)
class SubnetFile:
    """What flannel's plugin makes of the file (flannel-io/cni-plugin `flannel.go`, `loadFlannelSubnetEnv`).

    `text` is None when there is no file. `problem` is a clause that says why the plugin refuses it. `unseen` says why we could not look.
    """

    path: str
    text: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None
    unseen: HostError | None = None

    @property
    def subnets(self) -> tuple[Subnet, ...]:
        """The node's own subnets: what its bridge gets an address of."""
        return self._networks("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")

    @property
    def networks(self) -> tuple[Subnet, ...]:
        """The whole pod network, as flannel was told."""
        return self._networks("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK")

    def _networks(self, *keys: str) -> tuple[Subnet, ...]:
        if self.problem:
            return ()
        return tuple(
            ipaddress.ip_network(part, strict=False)
            for key in keys
            if key in self.values
            for part in self.values[key].split(",")
        )

    @classmethod
    def read(cls, host: Host, path: str) -> Self:
        """Read and parse the file. Never raises."""
        try:
            text = host.read_optional(path)
        except HostError as error:
            return cls(path, unseen=error)
        return cls(path) if text is None else cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: str) -> Self:
        """What the plugin makes of a text."""
        values: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            key, sign, value = line.partition("=")
            if not key.startswith("FLANNEL_"):
                continue
            values[key] = value
            if problem := _refused(key, value if sign else None):
                return cls(path, text, values, f"line {number}: {problem}")
        missing = [
            " or ".join(keys)
            for keys in (
                ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"),
                ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"),
                ("FLANNEL_MTU",),
                ("FLANNEL_IPMASQ",),
            )
            if not any(key in values for key in keys)
        ]
        problem = None
        if missing:
            problem = f"{'it is empty' if not text.strip() else 'lacks ' + ', '.join(missing)}"
        return cls(path, text, values, problem)


def _refused(key: str, value: str | None) -> str | None:
    """Why the plugin refuses a value; None when it takes it, or does not know the key."""
    if key == "FLANNEL_MTU":
        return None if value is not None and value.isdecimal() else f"{key}={value or ''} is no number"
    if key in ("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"):
        parts = (value or "").split(",")
    elif key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"):
        parts = [value or ""]
    else:
        return None
    return None if all(map(_is_subnet, parts)) else f"{key}={value or ''} is no subnet such as 10.244.1.0/24"


def _is_subnet(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text
