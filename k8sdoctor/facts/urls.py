"""URLs of HTTP as files and peers write them; `urllib.parse` raises for some texts that are none."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit


def is_url(text: str) -> bool:
    """Whether a text is a URL that a downloader of HTTP can ask for.

    >>> is_url("https://dl.k8s.io/v1.36.0/kubeadm"), is_url("ftp://x/y"), is_url("https:///y"), is_url("https://x:y/z")
    (True, False, False, False)
    """
    return " " not in text and _leads_somewhere(text)


def joined(base: str, reference: str) -> str | None:
    """Where a header of an answer leads, seen from the URL that was asked; None where that is no URL of HTTP.

    >>> joined("https://a.example/v2/", "/token"), joined("https://a.example/v2/", "//["), joined("https://a.example/v2/", "ftp://b/")
    ('https://a.example/token', None, None)
    """
    try:
        found = urljoin(base, reference)
    except ValueError:
        return None
    return found if _leads_somewhere(found) else None


def _leads_somewhere(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
