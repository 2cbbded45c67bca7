"""How certificates are shown and told in findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.finding import Evidence

if TYPE_CHECKING:
    from k8sdoctor.facts.x509 import Certificate

DAY = 86400.0
SOON = 30 * DAY
"""kubeadm's certificates last a year, and `kubeadm upgrade` renews them; a month is time enough to plan either."""


def ends_soon(leaf: Certificate, now: float) -> bool:
    """Whether less than 30 days, or less than a fifth of its time, are left."""
    return 0 <= leaf.not_after - now < min(SOON, (leaf.not_after - leaf.not_before) / 5)


def ended(*leaves: Certificate) -> list[str]:
    """Traits of what has ended, by day: kubeadm makes and renews its certificates within minutes."""
    return [f"ended:{int(leaf.not_after // DAY)}" for leaf in leaves]


def ended_with(leaf: Certificate) -> list[frozenset[str]]:
    """By which trait a link finds what ended within a day or two of a certificate."""
    day = int(leaf.not_after // DAY)
    return [frozenset({f"ended:{each}"}) for each in (day - 1, day, day + 1)]


def shown(where: str, leaf: Certificate) -> Evidence:
    """A certificate as evidence."""
    names = f": {', '.join(leaf.names)}" if leaf.names else ""
    text = f"{leaf.subject}, issuer {leaf.issuer}, {date(leaf.not_before)} to {date(leaf.not_after)}{names}"
    return Evidence(where, text)


def date(seconds: float) -> str:
    """A time as people read it.

    >>> date(0)
    '1970-01-01 00:00 UTC'
    """
    import datetime as dt

    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # a token may say any number
        return f"{seconds:g} s after 1970"
