"""What closes a registry to those who have not logged in. Each runs on the registry's own machine."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.facts import urls
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.upload_tries import UploadTry

AGAIN = "k8sdoctor check registry-push --intrusive"
CONFIG = "/etc/docker/registry/config.yml"
"""Where Debian's docker-registry reads its configuration; the `registry` image has it at /etc/distribution/config.yml."""


def close(tried: UploadTry) -> Fix:
    """Refuse uploads: in nginx where it stands in front, else by a login that the registry wants."""
    if tried.server.lower().startswith("nginx"):
        return Fix(
            title=f"Let nginx in front of {tried.netloc} refuse all but GET and HEAD (on that machine; SITE is its file)",
            commands=(
                "grep -rn proxy_pass /etc/nginx  # which file is the registry's, and which line",
                "sed -i -E '/^[[:space:]]*proxy_pass[[:space:]]/i limit_except GET HEAD { deny all; }' SITE",
                "nginx -t && nginx -s reload",
            ),
            verify=AGAIN,
            safety=Safety.MANUAL,
        )
    auth = r"auth:\n  htpasswd:\n    realm: registry\n    path: /etc/docker/registry/htpasswd\n"
    return Fix(
        title=f"Let {tried.netloc} want a login (on that machine; every node's runtime then needs it to pull, too)",
        commands=(
            "touch /etc/docker/registry/htpasswd && htpasswd -B /etc/docker/registry/htpasswd USER  # of apache2-utils; asks for the password",
            f"grep -q '^auth:' {CONFIG} || printf '{auth}' >> {CONFIG}",
            "systemctl restart docker-registry",
        ),
        verify=AGAIN,
        safety=Safety.MANUAL,
    )


def cancel(tried: UploadTry) -> Fix:
    """Cancel what was left behind."""
    begun = f"{tried.host.base_url}/{tried.host.repository}/blobs/uploads/"
    # distribution clears uploads away after a week by itself (`storage.maintenance.uploadpurging`).
    command = "find / -type d -path '*/_uploads/*' 2>/dev/null  # on the registry's machine; the newest one is it"
    target = urls.joined(begun, tried.location) if tried.location else None
    if target is not None:
        command = f"curl -sS -X DELETE {shlex.quote(target)}"
    return Fix(
        title="Cancel the upload, or let the registry clear it away by itself (after a week, as distribution comes)",
        commands=(command,),
        verify=AGAIN,
        safety=Safety.SAFE,
    )
