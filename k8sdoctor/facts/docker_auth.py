"""Credentials in a file of Docker's form (`config.json`, `auth.json`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from k8sdoctor.facts.registry_chain import Credentials
from k8sdoctor.host import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k8sdoctor.host import Host


def find(host: Host, paths: Iterable[str], name: str) -> Credentials | None:
    """The credentials for an image's name (`registry/repository`), from the first file that has any.

    An entry may be for the repository, a namespace or the registry, which may be written as a URL. What helper programs would tell is not
    asked; a file that cannot be read has none.
    """
    for path in paths:
        try:
            auths = json.loads(host.read(path)).get("auths", {})
        except (HostError, ValueError, AttributeError, RecursionError):
            continue
        if not isinstance(auths, dict):
            continue
        entries = {_plain(key): value for key, value in auths.items() if isinstance(value, dict)}
        key = name
        while key:
            if entry := entries.get(key):
                texts = {field: value for field, value in entry.items() if isinstance(value, str) and value}
                return Credentials(
                    path, texts.get("username"), texts.get("password"), texts.get("auth"), texts.get("identitytoken")
                )
            key = key.rpartition("/")[0]
    return None


def _plain(key: str) -> str:
    """`https://index.docker.io/v1/` and the like as a registry's name."""
    name = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    name = name.removesuffix("/v1").removesuffix("/v2")
    return "docker.io" if name in {"index.docker.io", "registry-1.docker.io"} else name
