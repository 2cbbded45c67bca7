"""Nobody may push to the registries of this node without a login.

## What it looks at
The private registries that this runtime would ask: for its sandbox image, for the images that the node needs (see `images`), for those of a
list (`--images`), and those that its files name as mirrors. Each is asked whether it begins an upload for somebody who has not logged in. The registries that are everybody's
(`registry.k8s.io`, `docker.io` and their like) and any with an address on the internet are never asked.

## Why it matters
Whoever can push to the registry that a cluster pulls from can put any program into the next pod that starts, also as root on a control
plane. A mirror that was set up in a hurry takes uploads from everybody in its network: the `docker-registry` of the distributions and the
`registry` image do so as they come.

## How it is decided
Only when `--intrusive` is given: it is the one question of k8sdoctor that can change something at a peer. A registry that answers 202 has
begun an upload and fails; the upload is cancelled at once. Any refusal (401, 403, 405, other 4xx) passes. No answer and errors of the
server (5xx) are unknown: why a registry is silent is told by `registry-config` and `images`. The question is put from this node, so a
registry that lets only some addresses push may answer others otherwise.

## Reasons
- `PushRefused` (pass): the registry begins no upload for somebody without a login
- `NotAskedFor` (skip): `--intrusive` was not given, so nothing was sent
- `NoPrivateRegistry` (skip): the runtime has no registry of one's own to ask
- `Offline` (skip): `--offline` forbids to ask
- `AnyoneMayPush` (fail): an upload was begun without a login
- `UploadLeftBehind` (warn): it could not be cancelled; the registry holds an empty upload until it clears it away
- `NoAnswer` (unknown): nobody answered, or with an error of the server
- `NameNotResolved` (unknown): the node's resolver gives no address for the registry

## What it sends
Nothing without `--intrusive`, and nothing with `--offline`. Otherwise to each private registry exactly this, without a body, without
credentials and without the client certificate or the headers that the runtime would bring along: `POST /v2/<name>/blobs/uploads/`,
and, if that is answered by 202, at once `DELETE` of the address in the answer's `Location`, at the same registry. `<name>` is the
repository of an image that the runtime would ask this registry for; where none is known, `k8sdoctor-push-check`. No blob and no
manifest is sent, so nothing can be pulled that could not be pulled before. What remains at a registry that takes uploads: its log, and with
distribution's file storage a folder of the cancelled upload with its hash state, some hundred bytes (seen with docker-registry 2.8.2). Before,
the node's resolver is asked for the registry's addresses. Which images the node needs is asked as `images` does.

## How to fix
On the registry's own machine. Behind nginx, let `/v2/` be read only, with `limit_except GET HEAD { deny all; }`, and push by another
address that wants a login; pulls need none then. Without a proxy in front, switch on distribution's `auth` (htpasswd): then pulls need
the login, too, so give it to every node's runtime first. A mirror that is only read can also be made read only as a whole
(`storage.maintenance.readonly.enabled: true`).

## How to verify
Run the check with `--intrusive` again; `curl -si -X POST https://REGISTRY/v2/NAME/blobs/uploads/` answers 401, 403 or 405.

## References
- distribution/distribution `docs/content/spec/api.md` ("Initiate Blob Upload", "Cancel Blob Upload"), `docs/content/about/configuration.md` (`auth`,
  `maintenance`)
- nginx `ngx_http_core_module` (`limit_except`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from k8sdoctor.check import check
from k8sdoctor.checks import _push_fixes as fixes
from k8sdoctor.facts.upload_tries import UploadTries, UploadTry
from k8sdoctor.finding import Evidence, Finding, Unobserved, fail, passed, skip, unknown, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGUN = 202
_REFUSED = range(400, 500)


@check(
    "registry-push",
    title="Nobody may push to the node's registries without a login",
    area="images",
    profiles=frozenset(),
)
def registry_push(uploads: UploadTries | Unobserved) -> Iterator[Finding]:
    """Judge what each private registry said to an upload by nobody."""
    if isinstance(uploads, Unobserved):
        make = skip if uploads.reason in ("Offline", "NotFound") else unknown
        reason = "NoPrivateRegistry" if uploads.reason == "NotFound" else uploads.reason
        yield make(reason, f"Which registries this node has could not be told: {uploads.message}.")
        return
    if not uploads.allowed:
        yield skip(
            "NotAskedFor",
            "Whether anyone may push to this node's registries was not tried, since that begins an upload there and cancels it; "
            "--intrusive allows it.",
        )
        return
    if not uploads.tries:
        others = f" ({', '.join(uploads.public)} are not asked)" if uploads.public else ""
        yield skip("NoPrivateRegistry", f"The runtime asks no private registry that anyone could push to{others}.")
        return
    for each in uploads.tries:
        yield from _judged(each)


def _judged(tried: UploadTry) -> Iterator[Finding]:
    where = tried.netloc
    evidence = [Evidence(f"{tried.host.base_url} ({tried.host.source})", str(tried))]
    if tried.untried is not None:
        make = skip if tried.untried.reason == "Offline" else unknown
        yield make(
            tried.untried.reason,
            f"Whether anyone may push to {where} could not be tried: {tried.untried.message}.",
            subject=where,
            evidence=evidence,
        )
    elif tried.status == _BEGUN:
        yield fail(
            "AnyoneMayPush",
            f"{where} begins an upload for somebody who has not logged in, so anyone who reaches it as this node does can replace "
            "the images that it serves.",
            subject=where,
            evidence=evidence,
            fix=fixes.close(tried),
        )
        if not tried.cancelled:
            yield warn(
                "UploadLeftBehind",
                f"The upload that {where} began could not be cancelled ({tried.cancelling}): {tried.location or 'its address is not told'}.",
                subject=where,
                evidence=evidence,
                fix=fixes.cancel(tried),
            )
    elif tried.status in _REFUSED:
        quoted = f" (“{tried.said}”)" if tried.said else ""
        yield passed(
            "PushRefused",
            f"{where} answers {tried.status}{quoted} to an upload without a login.",
            subject=where,
            evidence=evidence,
        )
    else:
        told = f"answers {tried.status}" if tried.status else f"cannot be used: {tried.said.removeprefix(f'{where}: ')}"
        yield unknown(
            "NoAnswer",
            f"Whether anyone may push to {where} could not be told, for it {told}.",
            subject=where,
            evidence=evidence,
        )
