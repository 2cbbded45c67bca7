"""The host name of a machine that is to become a node, and whether it resolves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from k8sdoctor.facts.role import Role
from k8sdoctor.finding import Unobserved
from k8sdoctor.host import HostError
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from k8sdoctor.host import Host


@dataclass(frozen=True, slots=True)
class MachineName:
    """`name` is the host name as kubeadm takes it, trimmed and in lower case. `addresses` are what the node's resolver made of it.

    `error` holds the resolver's words when it made nothing of it, `unasked` why it was not asked.
    """

    name: str
    addresses: tuple[str, ...] = ()
    error: str | None = None
    unasked: Unobserved | None = None

    @classmethod
    def observe(cls, host: Host, role: Role) -> Self:
        """Ask the resolver, for a machine for which nothing is planned: a plan has a check of its own, and so has a node. Never raises."""
        name = host.identity()["hostname"].strip().lower()
        if role.name != "undecided":
            return cls(name)
        try:
            answer = host.resolve(name)
        except HostError as error:
            return cls(name, unasked=Unobserved(error.reason, error.message))
        return cls(name, tuple(answer["addresses"]), answer["error"])
