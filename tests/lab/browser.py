"""A real browser that shows a page: Debian's Chromium without a window, driven over a pipe by its DevTools protocol.

It runs in a network namespace of its own, so that a page that would load something could not.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_WATCHDOG = 90.0
_FLAGS = (
    "--headless",
    "--no-sandbox",  # its sandbox does not work as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)


class Browser:
    """One browser with one page. Leaving the context ends it."""

    def __init__(self, folder: Path) -> None:
        """Start it, with its profile in a folder."""
        to_browser, self._in = os.pipe()
        self._out, from_browser = os.pipe()
        # The protocol's pipes are file descriptors 3 and 4, which a shell gives (dash knows no descriptor above 9).
        self._process = subprocess.Popen(
            [
                *("unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "--", "bash", "-c"),
                f'exec chromium "$@" 3<&{to_browser} 4>&{from_browser}',
                *("bash", f"--user-data-dir={folder}", *_FLAGS, "about:blank"),
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        """What the page told since it was opened: its console, its requests."""

    def __enter__(self) -> Self:
        """Attach to the page that it opened with."""
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and, with its namespace's first process, all that it started."""
        self._process.kill()
        self._process.wait(timeout=_WATCHDOG)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something, and return the answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, path: Path) -> None:
        """Load a page, and wait until it is there."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression says in the page, as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def look(self, *, width: int, scheme: str = "light", media: str = "screen", height: int = 900) -> None:
        """Show the page on a screen of a width in CSS pixels, in a colour scheme, or as paper."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def paper(self, **options: Any) -> bytes:
        """The page as PDF, A4."""
        return base64.b64decode(
            self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True, **options)["data"]
        )

    def requests(self) -> list[str]:
        """What the page asked for, itself included."""
        return [
            each["params"]["request"]["url"] for each in self.events if each["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[Mapping[str, Any]]:
        """What stands in the page's console."""
        told = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [each["params"] for each in self.events if each["method"] in told]

    def _read(self) -> dict[str, Any]:
        limit = time.monotonic() + _WATCHDOG
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], max(0, limit - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self._out, 1 << 20)
            assert chunk, f"the browser is gone: {self._process.poll()}"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
