"""What a real containerd does when it pulls the sandbox image by a `certs.d` folder, and what we say that it would do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from k8sdoctor.host import cri
from tests.differential.registry_trees import CERTS, TreeFile, registry_tree
from tests.lab.containerd import SOCKET, Containerd
from tests.lab.registry import IMAGE, Registries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.node import LabNode

WORD = Path(__file__).with_name("pull_word.py")

_TOML = (
    '[plugins."io.containerd.grpc.v1.cri".registry]\n'
    f'  config_path = "{CERTS}"\n'
    '[debug]\n  level = "debug"\n'  # it tells whom it asks
)

LIMIT = 400.0
"""Seconds for a pull: containerd waits 30 s for a silent host at each of five requests, and goes on to the next one each time."""

_WORDS = {
    "RegistryUnreachable": "connection refused|no route to host|i/o timeout|network is unreachable",
    "NameNotResolved": "no such host|server misbehaving|lookup .* on |dial tcp: lookup",
    "RegistryForbidden": "403 Forbidden",
    "AuthRequired": "401 Unauthorized|failed to authorize|authorization failed|no basic auth credentials",
    "NotARegistry": (
        "text/html|unexpected media type|application/json|unexpected EOF|malformed HTTP|unexpected commit|failed size validation"
    ),
    "ImageNotFound": "not found",
    "CertificateUntrusted": "signed by unknown authority",
    "CertificateNameMismatch": "certificate is valid for|Common Name|doesn't contain any IP SANs|not valid for any names",
    "CertificateExpired": "has expired",
    "CaUnreadable": "unable to read CA cert|CA cert|no such file|is a directory",
    "ClientCertificateUnreadable": "client cert|failed to load|no such file",
    "PlainHttpRegistry": "server gave HTTP response to HTTPS client|400 Bad Request",
    "RegistryError": "429 Too Many|503 Service|unexpected status code",
    "NoMatchingPlatform": "no match for platform",
    "NoRegistryHost": "no (?:available|pull|resolve) hosts|not found",
}
"""What containerd says when a pull fails, for each reason."""

_NAMELESS = "no Host in request URL"
"""What it says of a host whose URL names none."""


@dataclass(frozen=True)
class Pull:
    """What containerd did: whom it meant to ask for the manifest, in order, and its words where it got nothing."""

    tried: tuple[str, ...]
    error: str | None

    @property
    def asked(self) -> tuple[str, ...]:
        """Whom it asked: a URL without a host is refused before that."""
        return tuple(url for url in self.tried if urlsplit(url).netloc)


class Bench:
    """One containerd and its registries, which run on from seed to seed."""

    def __init__(self, node: LabNode) -> None:
        self.node = node
        self.registries = Registries(node)
        self.registries.start()
        self.containerd = Containerd(node, sandbox_image=IMAGE, toml=_TOML)
        self.containerd.start()
        self.socket = str(node.root) + SOCKET
        self.log = (node.root / "var/log/containerd.log").open()
        self._word = subprocess.Popen(
            [
                *node.words(["env", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]),
                *(sys.executable, str(WORD)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process on the node."""
        self.log.close()
        self._word.communicate(timeout=30)  # which closes what it reads

    def plant(self, files: Iterable[TreeFile]) -> None:
        """Put a tree in the place of the one before."""
        self.node.run(["rm", "-rf", CERTS])
        self.node.run(["mkdir", "-p", CERTS])
        for file in files:
            path = self.node.root / file.path[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.registries.authority.pem if file.text == "@ca" else file.text)

    def our_word(self) -> dict[str, Any]:
        """What the check says now."""
        assert self._word.stdin
        assert self._word.stdout
        self._word.stdin.write("now\n")
        self._word.stdin.flush()
        said: dict[str, Any] = json.loads(self._word.stdout.readline())
        return said

    def pull(self) -> Pull:
        """Pull the image, and forget it again."""
        self.log.read()
        error = None
        try:
            cri.call(self.socket, "ImageService/PullImage", {"image": {"image": IMAGE}}, LIMIT)
        except cri.CallError as failed:
            error = str(failed)
            # What came of a part of the image would be gone on with at the next pull.
            self.node.shell("rm -rf /var/lib/containerd/io.containerd.content.v1.content/ingest/*")
        else:
            self._forget()
        tried = re.findall(
            r'msg="do request" .*request\.method=HEAD .*url="?([^" ]+)/[^/" ]+/manifests/[^" ]+', self.log.read()
        )
        return Pull(tuple(dict.fromkeys(tried)), error)

    def _forget(self) -> None:
        self.containerd.call("ImageService/RemoveImage", {"image": {"image": IMAGE}})


def difference(bench: Bench, seed: int) -> str | None:
    """Where our word and containerd's deed are not the same; None where they are."""
    tree = registry_tree(seed)
    bench.plant(tree)
    ours = bench.our_word()
    assert ours["present"] is None
    real = bench.pull()
    wrong = [*_outcome(ours, real)]
    if not wrong:
        return None
    shown = "\n".join(
        f"    {file.path}\n" + "".join(f"        {line}\n" for line in file.text.splitlines()) for file in tree
    )
    return f"{'; '.join(wrong)}\n  containerd: asked {real.asked}, {real.error}\n  we: {ours}\n{shown}"


def _outcome(ours: dict[str, Any], real: Pull) -> Iterator[str]:
    # The first that knows the name is asked, and no other after it; the image's content may come from a later one.
    resolved = next((number for number, each in enumerate(ours["asked"], 1) if each["resolved"]), None)
    asked = [_place(each["url"]) for each in ours["asked"][:resolved]]
    if (ours["kind"] == "serves") != (real.error is None):
        yield f"we say that the pull {'succeeds' if ours['kind'] == 'serves' else 'fails'}"
    if list(dict.fromkeys(asked)) != list(dict.fromkeys(_place(url) for url in real.asked)):
        yield f"we say that {asked} are asked"
    if ours["kind"] != "serves" and real.error is not None:
        reason = _told_by_containerd(ours, real)
        if not re.search(_WORDS.get(reason, reason), real.error):
            yield f"we say that it fails for {reason}"


def _told_by_containerd(ours: dict[str, Any], real: Pull) -> str:
    """The reason that containerd 1.6 tells: of several hosts that of the first that is no 404 (resolver.go, firstErr), where we tell the first."""
    reasons = [each["reason"] for each in ours["asked"]]
    if ours["kind"] != "fails" or ours["reason"] != reasons[0]:
        return str(ours["reason"])
    following = iter(reasons)
    tried = [next(following, "ImageNotFound") if urlsplit(url).netloc else _NAMELESS for url in real.tried]
    return next((reason for reason in (*tried, *following) if reason != "ImageNotFound"), "ImageNotFound")


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}".removesuffix("/")


def differences(node: LabNode, seeds: range) -> Iterator[str | None]:
    """For each seed None where both are the same."""
    bench = Bench(node)
    try:
        for seed in seeds:
            yield difference(bench, seed)
    finally:
        bench.close()
