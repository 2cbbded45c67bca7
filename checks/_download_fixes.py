"""What mends a list of files that cannot be downloaded."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.downloads import Head


def again(source: str) -> str:
    """Check the list again."""
    return f"k8sdoctor check download-list --files {'-' if source == 'stdin' else shlex.quote(source)}"


def edit(source: str, title: str, head: Head) -> Fix:
    """Let a person correct the list, after a look at what the server says."""
    name = shlex.quote("LIST" if source == "stdin" else source)
    commands = (f"curl -sSIL {shlex.quote(head.url)}", f"${{EDITOR:-vi}} {name}")
    return Fix(title=title, commands=commands, verify=again(source), safety=Safety.MANUAL)


def serve_nearer(source: str, head: Head) -> Fix:
    """Bring the files to a server that the node reaches, as an installation without internet does it."""
    name = shlex.quote("files.list" if source == "stdin" else source)
    server = urlsplit(head.url).netloc
    pattern = re.sub(r"([.\[\]*^$+?(){}|#])", r"\\\1", server)
    return Fix(
        title=f"Open the way to {head.netloc}, or serve its files where this node reaches them",
        commands=(
            f"wget -x -P offline-files -i {name}  # where they can be reached; then serve that folder by HTTP",
            f"sed -i -E {shlex.quote(f's#^https?://{pattern}/#http://FILES-SERVER/{server}/#')} {name}",
        ),
        verify=again(source),
        safety=Safety.MANUAL,
    )


def trust(source: str, head: Head, distribution: Distribution) -> Fix:
    """Trust what the server shows, once a person has compared it."""
    parts = urlsplit(head.where)
    name, port = parts.hostname or "", parts.port or 443
    file = shlex.quote(f"{distribution.trust_folder}/{name}{distribution.trust_suffix}")
    shown = f"openssl s_client -connect {name}:{port} -servername {name} -showcerts </dev/null 2>/dev/null"
    return Fix(
        title=f"Put the CA of {head.netloc} into the node's trust store, after comparing it with the one that its owner names",
        commands=(
            f"mkdir -p {shlex.quote(distribution.trust_folder)}",
            f"{shown} | sed -n '/BEGIN CERT/,/END CERT/p' >> {file}",
            f"openssl x509 -noout -subject -issuer -fingerprint -sha256 -in {file}  # compare before going on",
            distribution.trust_update,
        ),
        verify=again(source),
        safety=Safety.MANUAL,
    )


def look_at_certificate(source: str, head: Head) -> Fix:
    """Show the dates and names of a certificate that only its owner can replace."""
    parts = urlsplit(head.where)
    name, port = parts.hostname or "", parts.port or 443
    shown = f"openssl s_client -connect {name}:{port} -servername {name} </dev/null 2>/dev/null"
    return Fix(
        title=f"Let the owner of {head.netloc} replace its certificate, if this node's clock is right",
        commands=("date -u", f"{shown} | openssl x509 -noout -subject -dates -ext subjectAltName"),
        verify=again(source),
        safety=Safety.MANUAL,
    )


def look_at_answer(source: str, head: Head, title: str, options: str) -> Fix:
    """Show what the server answers."""
    return Fix(
        title=title,
        commands=(f"curl {options} {shlex.quote(head.url)}",),
        verify=again(source),
        safety=Safety.MANUAL,
    )
