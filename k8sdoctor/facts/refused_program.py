"""What a program that shows the kernel's rules says where it may not look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Unobserved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.host import Host
    from k8sdoctor.host.answers import CommandResult

_LONGEST = 200
"""Characters of what it says; the cause is in the first line."""


def refused(host: Host, argv: Sequence[str], result: CommandResult) -> Unobserved | None:
    """Why it showed nothing, or not all; None where it ended well. Who is not root is told to be."""
    if result["code"] == 0:
        return None
    words = " ".join(result["err"].split())[:_LONGEST]
    told = f"`{' '.join(argv)}` ended with {result['code']}: {words}"
    if "ermission" not in words and "ermitted" not in words:
        return Unobserved("Unreadable", told)
    # Root in a container without CAP_NET_ADMIN is refused as well.
    return Unobserved(
        "NotPermitted", told if host.identity()["euid"] == 0 else f"{told.rstrip('.')}; run as root to look"
    )
