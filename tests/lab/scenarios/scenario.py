"""What one scenario is: a way to break a node, and what must then be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.whole_node import WholeNode

Role = Literal["worker", "control-plane", "prepared", "mirrored", "paired"]
"""Which lab node: a node of a cluster, one before `kubeadm init`, a worker that has no image and pulls from a mirror, or one of two nodes of which
each has a DNS server."""


@dataclass(frozen=True)
class Scenario:
    """One way to break a node.

    `breaks` is shell, or does it by itself. `cause` is the `check/Reason` that must be named first, `symptoms` are those that must stand
    under it; whatever else alarms is false. `heals` is shell for what `Ward.heal` does not know of. `options` are the doctor's.
    `mends` is true where a test pastes the fix and sees the alarm go. `blinds` are areas of which nothing can be said while this lasts.
    """

    area: str
    name: str
    breaks: str | Callable[[WholeNode], None]
    cause: str
    symptoms: tuple[str, ...] = ()
    role: Role = "worker"
    status: str = "fail"
    heals: str = ""
    options: tuple[str, ...] = ()
    mends: bool = False
    blinds: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    """Causes that would rightly be taken for its symptoms: whoever ended the one may have ended the other."""
