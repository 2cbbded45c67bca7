"""Versions of Kubernetes and of runtimes, as three numbers that compare."""

from __future__ import annotations

from typing import TypeAlias

from k8sdoctor.patterns import regex

Version: TypeAlias = tuple[int, int, int]

_VERSION = regex(r"(?<![\d.])v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?!\d)")


def parse(text: str) -> Version | None:
    """The first version in a text; None without one.

    >>> parse("Kubernetes v1.36.2")
    (1, 36, 2)
    >>> parse("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u1")
    (1, 6, 20)
    >>> parse("1.30")
    (1, 30, 0)
    >>> parse("stable")
    """
    match = _VERSION.search(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def text(version: Version) -> str:
    """A version as people write it.

    >>> text((1, 36, 2))
    '1.36.2'
    """
    return ".".join(map(str, version))
