"""A host that reads each file once, for facts that look at the same files again and again."""

from __future__ import annotations

import json

from k8sdoctor.host.base import Host, HostError, Json

_FILES = frozenset({"read", "listdir", "stat", "readlink"})


class ReadOnce(Host):
    """Asks another host, and asks it no question about a file twice. For one thread, and for files alone.

    It answers nothing about peers, since whom this host contacts would not be noted by the other one.
    """

    def __init__(self, host: Host) -> None:
        """Begin with nothing read."""
        super().__init__()
        self._host = host
        self._known: dict[tuple[str, str], Json | HostError] = {}

    def ask(self, verb: str, arguments: dict[str, Json]) -> Json:
        """Answer as the other host did at first. Raises ValueError for what is not about a file."""
        if verb not in _FILES:
            msg = f"{verb} is no question about a file"
            raise ValueError(msg)
        question = (verb, json.dumps(arguments, sort_keys=True))
        if question not in self._known:
            try:
                self._known[question] = self._host.ask(verb, arguments)
            except HostError as error:
                self._known[question] = error
        answer = self._known[question]
        if isinstance(answer, HostError):
            raise answer
        return answer
