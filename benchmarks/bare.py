"""The bare probes: asks the questions of a file and does nothing with the answers. No fact, no check, no engine, no report.

    python benchmarks/bare.py QUESTIONS

What is left is what looking at the node costs: the libraries for DNS, TLS, gRPC and netlink, and the questions themselves. A file of questions is a
JSON list of `[verb, arguments]`. Nothing is hidden in the answers, for nobody sees them.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from k8sdoctor.host.base import HostError, Json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.secrets import Vault

AT_ONCE = 4
"""Questions at a time. So many take as long as the doctor does. One after the other they wait for each peer in turn, twice as long, for 5 % less CPU; 16 at
a time wrest the interpreter from one another, for 15 % more."""


class Open(Vault):
    """Hides nothing in texts, which is the doctor's own work and none of the node's."""

    def hide(self, text: str, *, prose: bool = False) -> str:
        """The text as it is."""
        del prose
        return text

    def hide_in(self, value: Json) -> Json:
        """The value as it is."""
        return value


def main(path: str) -> None:
    """Ask all of them."""
    questions: list[tuple[str, dict[str, Json]]] = json.loads(Path(path).read_text("utf-8"))
    host = LiveHost()
    host.vault = Open()

    def ask(question: tuple[str, dict[str, Json]]) -> None:
        with suppress(HostError):
            host.ask(*question)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(ask, questions):
            pass


if __name__ == "__main__":
    main(sys.argv[1])
