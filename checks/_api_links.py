"""What an API server that nobody can ask leaves unknown. Each cause names its own links; these words are shared."""

from __future__ import annotations

from k8sdoctor.finding import Link

_ASKS = {
    "apiserver-endpoints": ("Unreadable",),
    "coredns": ("Unreadable", "NotPermitted", "NotFound"),
    "image-registries": ("Unreadable", "NotPermitted", "NotFound"),
    "images": ("Unreadable", "NotPermitted", "NotFound"),
    "node-ready": ("NodeUnread", "NotPermitted"),
    "subnets": ("Unreadable", "NotPermitted", "Untold"),
    "version-skew": ("Unreadable", "NotPermitted", "NotFound"),
}
"""Which checks ask it, and what they say when they could not."""


def unasked(why: str, *through: str) -> list[Link]:
    """Links to all that could not be asked through these kubeconfigs, or at these servers (`host:port`).

    Where another kubeconfig worked nothing is unknown, and where another was tried the trait is missing.
    """
    return [
        Link(check, reason, why, when=frozenset({f"unread:{each}"}))
        for each in through
        for check, reasons in _ASKS.items()
        for reason in reasons
    ]
