"""Every file in a list of downloads answers.

## What it looks at
The URLs of a list that `--files FILE` names, such as the `files.list` that kubespray's `contrib/offline/generate_list.sh` writes: one a
line, with comments and blank lines. For each, what its server says when it is asked for the head of the file.

## Why it matters
An installation downloads its programs one after the other, on each node. One address that is not mirrored, one that a firewall
blocks, or one typing error ends it after a quarter of an hour, and the next one shows up in the next attempt.

## How it is decided
Each URL is asked for by HEAD, as kubespray's `roles/download` does before it downloads, and up to ten redirects are followed, as
Ansible's `get_url` and curl do. Certificates are held against the node's own trust store. A 2xx passes, and the size that the server
tells is shown. Nothing is downloaded, not even a byte of a range: a server that refuses HEAD (405, 501) leaves the file `unknown`,
and kubespray would not take it either. The proxy is that of the environment in which `k8sdoctor` was started (`https_proxy`,
`http_proxy`, `no_proxy`, lower case first, `no_proxy` as Python reads it): kubespray hands the `http_proxy` and `https_proxy` of its
inventory to each download, and the inventory is not on the node, so give what stands there:
`https_proxy=http://proxy:3128 k8sdoctor check --files files.list`. Failures are told by server, so a dead one behind many files is one
finding. When a server is silent to the first two of its files, it is not asked for the others.

The check runs when the option is given, or when it is named. The list may take longer than the deadline of a run, unless
`--deadline` says otherwise; each question has five seconds.

## Reasons
- `AllAnswer` (pass): each file that is asked for is there
- `NoListGiven` (skip): no list was named
- `Offline` (skip): `--offline` forbids to ask
- `EmptyList` (unknown): the list holds no URL
- `NotAUrl` (warn): a line that is no URL of HTTP or HTTPS; the others are judged
- `ServerUnreachable` (fail): no answer: silence, refusal, no route, a proxy that is not there
- `NameNotResolved` (fail): the node's resolver gives no address for the server
- `CertificateUntrusted` (fail): signed by a CA that the node does not trust
- `CertificateNameMismatch` (fail): the certificate is for another name
- `CertificateExpired` (fail), `CertificateNotYetValid` (fail): renew it, or mend the node's clock
- `PlainHttpServer` (fail): the server speaks plain HTTP where HTTPS is asked for
- `FileNotFound` (fail): 404 or 410
- `AccessDenied` (fail): 401, 403, or a proxy that lets nobody through
- `RedirectsAstray` (fail): more than ten redirects, or one to what is no HTTP
- `ServerError` (fail): 429, 5xx and other answers
- `WebPage` (warn): a page of HTML in the place of a program or an archive, as a login portal gives it
- `HeadRefused` (unknown): 405, 501, or 403 at an object store whose address is signed for GET; whether the file is there could only be
  told by downloading

## What it sends
A HEAD request for each URL, and for each address that a redirect names. Nothing with `--offline`.

## How to fix
Correct the list; open the way to the server, or serve the files from a place that the node reaches; put the CA into the node's trust
store. Each needs a person's decision.

## How to verify
Run the check with the list again; `curl -fsSIL URL` shows the same for one file.

## References
- kubespray `contrib/offline/README.md`, `contrib/offline/generate_list.sh`, `roles/download/tasks/download_file.yml` ("Validate mirrors")
- CPython `Lib/urllib/request.py` (redirects, `proxy_bypass_environment`)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks import _download_fixes as fixes
from k8sdoctor.checks._list_lines import strangers
from k8sdoctor.checks._words import all_of
from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.facts.downloads import DownloadHeads, Head
from k8sdoctor.facts.lists import ListedFiles
from k8sdoctor.finding import Evidence, Finding, Fix, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

_BY_FAILURE = {
    "name-not-resolved": "NameNotResolved",
    "tls-untrusted": "CertificateUntrusted",
    "tls-name": "CertificateNameMismatch",
    "tls-expired": "CertificateExpired",
    "tls-not-yet-valid": "CertificateNotYetValid",
    "tls-plain": "PlainHttpServer",
    "proxy-refused": "AccessDenied",
}
_BY_STATUS = {
    401: "AccessDenied",
    403: "AccessDenied",
    404: "FileNotFound",
    405: "HeadRefused",
    410: "FileNotFound",
    501: "HeadRefused",
}
_SIGNED = "X-Amz-Signature="
"""In an address of an object store that a redirect names: it is signed for GET, and good for nothing else (AWS Signature Version 4)."""

_KIB = 1024


@check("download-list", title="Every file in the list can be downloaded", area="images", profiles=frozenset())
def download_list(
    files: ListedFiles, downloads: DownloadHeads | Unobserved, distribution: Distribution | Unobserved
) -> Iterator[Finding]:
    """Judge the list, and the answers by server."""
    if files.source is None:
        yield skip("NoListGiven", "No list of files was given to check; --files FILE names one.")
        return
    yield from strangers("NotAUrl", "URL of HTTP or HTTPS", files.source, files.strangers, fixes.again(files.source))
    if isinstance(downloads, Unobserved):
        yield unknown(downloads.reason, f"The files of {files.source} could not be asked for: {downloads.message}.")
        return
    if not downloads.heads:
        yield unknown("EmptyList", f"{files.source} holds no URL; is it the right file?", subject=files.source)
        return
    if isinstance(distribution, Unobserved):
        distribution = Distribution("", (), "an unknown Linux", "other")
    groups: defaultdict[tuple[str, str], list[Head]] = defaultdict(list)
    for head in downloads.heads:
        groups[_reason(head), head.netloc].append(head)
    there = [head for (reason, _), heads in groups.items() if not reason for head in heads]
    for (reason, server), heads in groups.items():
        if reason:
            yield _judged(reason, server, heads, files.source, distribution)
    if there:
        yield _there([head for head in downloads.heads if head in there], len(downloads.heads), files.source)


def _reason(head: Head) -> str:
    """Why a file cannot be had; empty for one that is there."""
    if head.reason:
        return head.reason
    if head.failure is not None:
        return _BY_FAILURE.get(head.failure, "ServerUnreachable")
    if head.status == 403 and _SIGNED in head.where:  # noqa: PLR2004 -- Forbidden
        return "HeadRefused"
    if head.status in _BY_STATUS:
        return _BY_STATUS[head.status]
    if 300 <= head.status < 400:  # noqa: PLR2004 -- a redirect that was not followed
        return "RedirectsAstray"
    if head.status // 100 != 2:  # noqa: PLR2004 -- success
        return "ServerError"
    page = head.content_type.partition(";")[0].strip().lower() == "text/html"
    return "WebPage" if page and not head.url.partition("?")[0].endswith((".html", ".htm", "/")) else ""


def _judged(reason: str, server: str, heads: list[Head], source: str, distribution: Distribution) -> Finding:
    head = heads[0]
    evidence = [Evidence(source, "\n".join(str(each) for each in heads))]
    more = f" and {len(heads) - 1} more of {source}" if len(heads) > 1 else f" of {source}"
    files = f"{head.url}{more}"
    if reason == "Offline":
        return skip("Offline", f"{server} was not asked for {files} (--offline).", subject=server, evidence=evidence)
    if head.reason:
        return unknown(
            head.reason, f"{server} could not be asked for {files}: {head.words}.", subject=server, evidence=evidence
        )
    if reason == "HeadRefused":
        return unknown(
            "HeadRefused",
            f"{server} answers HEAD with {head.status}, so whether {files} can be had could only be told by downloading; "
            "kubespray asks by HEAD, too, and would not take it.",
            subject=server,
            evidence=evidence,
            fix=fixes.look_at_answer(
                source, head, f"Let {server} answer HEAD; GET works if this does", "-fsSL -r 0-0 -o /dev/null"
            ),
        )
    if reason == "WebPage":
        return warn(
            "WebPage",
            f"{server} answers {head.status} with a page of HTML, as a portal does, for {files}.",
            subject=server,
            evidence=evidence,
            fix=fixes.look_at_answer(
                source, head, f"Look at the page of {server}, and correct the list or the way", "-sSL"
            ),
        )
    message = f"{_said(reason, server, head)}, so {files} cannot be downloaded."
    return fail(reason, message, subject=server, evidence=evidence, fix=_mend(reason, head, source, distribution))


def _said(reason: str, server: str, head: Head) -> str:
    """What a server did, as the beginning of a sentence."""
    who = server
    if head.elsewhere:
        who = f"{server} (where {head.url.split('/')[2].rpartition('@')[2]} redirects to)"
    if reason == "NameNotResolved":
        return f"The node's resolver has no address for {head.words}"
    if reason == "PlainHttpServer":
        return f"{who} speaks plain HTTP, and is asked by HTTPS"
    if head.failure == "proxy-refused":
        return head.words[:1].upper() + head.words[1:]
    if head.failure is not None:
        return f"{who} cannot be used: {head.words.removeprefix(f'{server}: ')}"
    if reason == "RedirectsAstray":
        return f"{who} redirects for the {head.redirects + 1}th time, or to what is no HTTP ({head.words})"
    return f"{who} answers {head.status}"


def _mend(reason: str, head: Head, source: str, distribution: Distribution) -> Fix:
    match reason:
        case "CertificateUntrusted":
            return fixes.trust(source, head, distribution)
        case "CertificateExpired" | "CertificateNotYetValid" | "CertificateNameMismatch":
            return fixes.look_at_certificate(source, head)
        case "FileNotFound" | "RedirectsAstray" | "PlainHttpServer":
            return fixes.edit(source, "Correct the list, or let the server have the file", head)
        case _:
            return fixes.serve_nearer(source, head)


def _there(heads: list[Head], of: int, source: str) -> Finding:
    told = [head.length for head in heads if head.length is not None]
    size = f", {_size(sum(told))} together" if told else ""
    if told and len(told) < len(heads):
        size += f" (of {len(heads) - len(told)} the size is not told)"
    every = f"{len(heads)} of {of} files of {source} answer"
    if len(heads) == of:
        every = all_of(of, f"file of {source} answers", f"files of {source} answer")
    return passed(
        "AllAnswer",
        f"{every}{size}.",
        subject=source,
        evidence=[Evidence(source, "\n".join(str(head) for head in heads))],
    )


def _size(number: float) -> str:
    """Bytes, for the eye.

    >>> _size(0), _size(2048), _size(3.5 * 1024**3)
    ('0 B', '2.0 KiB', '3.5 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < _KIB:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= _KIB
    return f"{number:.1f} TiB"
