"""What mends images that cannot be pulled, for each runtime."""

from __future__ import annotations

import shlex
from dataclasses import field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.checks._pull_judgement import reason
from k8sdoctor.finding import Fix, Safety
from k8sdoctor.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.registry_hosts import RegistryHosts
    from k8sdoctor.facts.registry_visit import Attempt
    from k8sdoctor.facts.runtime import Kind

_UNITS = {"containerd": "containerd", "cri-o": "crio", "cri-dockerd": "cri-docker"}
_LOAD = {
    "containerd": "ctr -n k8s.io images import {file}",
    "cri-o": "skopeo copy docker-archive:{file} containers-storage:{image}",
    "cri-dockerd": "docker load -i {file}",
}
MADE_ANEW = {
    "/var/lib/rancher/k3s/": ("/etc/rancher/k3s/registries.yaml", "k3s"),
    "/var/lib/rancher/rke2/": ("/etc/rancher/rke2/registries.yaml", "rke2-server"),
}
"""Where rancher's distributions make containerd's files anew, from which file, at each start of which service (docs.k3s.io, "Private Registry Configuration")."""
_LIST = {
    "containerd": "ctr -n k8s.io images list name=={image}",
    "cri-o": "crictl inspecti {image}",
    "cri-dockerd": "docker image inspect {image}",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Images that a runtime lacks, and the check that tells so.

    `archive` is the file that a single image is carried in. `official` names where an image is published, where that is elsewhere.
    """

    runtime: Kind
    images: tuple[str, ...]
    check: str
    archive: str = "image.tar"
    official: Mapping[str, str] = field(default_factory=dict)

    @property
    def again(self) -> str:
        """The command that shows whether a fix worked."""
        return f"k8sdoctor check {self.check}"

    @property
    def name(self) -> str:
        """The image, or how many they are."""
        return self.images[0] if len(self.images) == 1 else f"the {len(self.images)} images"

    def published(self, image: str) -> str:
        """Where an image can be had where everything can be reached."""
        return self.official.get(image, image)


def restart(runtime: Kind) -> str:
    """Make the runtime read its configuration again; running containers go on."""
    return f"systemctl restart {_UNITS[runtime]}"


def mend(
    wanted: Wanted,
    hosts: RegistryHosts,
    distribution: Distribution,
    attempts: Sequence[Attempt],
    last_resort: Fix | None = None,
) -> Fix:
    """What mends the failure of one host, by an attempt for each of the images that fails alike.

    `last_resort` where nothing can be done about it from here, else by hand.
    """
    attempt = attempts[0]
    if attempt.asked_by:
        return without_host(wanted, attempt)
    match reason(attempt):
        case "CertificateUntrusted":
            return trust(wanted, distribution, attempt)
        case "CaUnreadable":
            path = next((path for path in attempt.host.ca_files if path in attempt.words), "")
            return provide_ca(path, attempt.host.base_url) if path else bring_by_hand(wanted)
        case "PlainHttpRegistry":
            return change_scheme(wanted, hosts, attempt, "https" if attempt.outcome == "tls-port" else "http")
        case "CertificateExpired" | "CertificateNotYetValid" | "CertificateNameMismatch":
            why = f"the certificate of {attempt.netloc} can only be mended there; is `date` right here?"
            return bring_by_hand(wanted, why)
        case "ImageNotFound" | "NoMatchingPlatform" if not attempt.host.upstream or _elsewhere(wanted):
            return fill_registry(wanted, attempts)
    return last_resort or bring_by_hand(wanted)


def _elsewhere(wanted: Wanted) -> bool:
    return any(wanted.published(image) != image for image in wanted.images)


def bring_by_hand(wanted: Wanted, why: str = "no registry is needed for that") -> Fix:
    """Import the images from files, for which no registry is needed."""
    title = f"Bring {wanted.name} here by hand ({why})"
    if len(wanted.images) == 1:
        [image] = wanted.images
        copy = f"skopeo copy docker://{wanted.published(image)} docker-archive:{wanted.archive}:{image}"
        return Fix(
            title=title,
            commands=(
                f"{copy}  # where the registry can be reached; then bring {wanted.archive} here",
                _LOAD[wanted.runtime].format(file=wanted.archive, image=image),
            ),
            verify=_LIST[wanted.runtime].format(image=image),
            safety=Safety.MANUAL,
        )
    files = {image: f"{number}.tar" for number, image in enumerate(wanted.images, 1)}
    fetch = [
        f"skopeo copy docker://{wanted.published(image)} docker-archive:{file}:{image}" for image, file in files.items()
    ]
    fetch[0] += "  # these where the registries can be reached; then bring the files here"
    load = [_LOAD[wanted.runtime].format(file=file, image=image) for image, file in files.items()]
    return Fix(title=title, commands=(*fetch, *load), verify=wanted.again, safety=Safety.MANUAL)


def without_host(wanted: Wanted, attempt: Attempt) -> Fix:
    """Take out a host that gives containerd something else for an image's content, and what containerd keeps of that.

    Until its garbage is collected it keeps what it got in its ingest folder, over a restart as well, and goes on behind it at each pull, which
    fails then for an `unexpected commit digest` (seen with 1.6.20; github.com/containerd/containerd/issues/3974).
    """
    path, line = place(attempt.host.source)
    edit: tuple[str, ...] = (f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}",)
    data = "/var/lib/containerd"
    for root, (own, unit) in MADE_ANEW.items():
        if path.startswith(root):
            data = f"{root}agent/containerd"
            edit = (f"${{EDITOR:-vi}} {own}", f"systemctl restart {unit}")
    digest = urlsplit(attempt.where).path.rpartition("/")[2]
    begun = f"{data}/io.containerd.content.v1.content/ingest/*/ref"
    return Fix(
        title=f"Take {urlsplit(attempt.host.base_url).netloc} out of {path}, and remove what was begun to be stored of its answer",
        commands=(*edit, f"grep -ls {digest} {begun} | xargs -r -n1 dirname | xargs -r rm -r"),
        verify=wanted.again,
        safety=Safety.MANUAL,
    )


def trust(wanted: Wanted, distribution: Distribution, attempt: Attempt) -> Fix:
    """Trust the certificates that a host serves, once a person has compared them."""
    netloc = attempt.netloc
    name = urlsplit(attempt.where).hostname or netloc
    port = urlsplit(attempt.where).port or 443
    if wanted.runtime == "containerd":
        file = f"{distribution.trust_folder}/{name}{distribution.trust_suffix}"
        # Go reads the trust store once, so that a daemon must start again to see a change of it.
        after = [distribution.trust_update, restart(wanted.runtime)]
        where = "the node's trust store"
    else:
        folder = "/etc/containers/certs.d" if wanted.runtime == "cri-o" else "/etc/docker/certs.d"
        file, after = f"{folder}/{netloc}/ca.crt", []
        where = folder
    return Fix(
        title=f"Put the CA of {netloc} into {where}, after comparing it with the one that its owner names",
        commands=(
            f"mkdir -p {shlex.quote(file.rpartition('/')[0])}",
            keep_served(name, port, file),
            f"openssl x509 -noout -subject -issuer -fingerprint -sha256 -in {shlex.quote(file)}  # compare before going on",
            *after,
        ),
        verify=wanted.again,
        safety=Safety.MANUAL,
    )


def keep_served(name: str, port: int, file: str) -> str:
    """Keep the certificates that a server shows."""
    shown = f"openssl s_client -connect {name}:{port} -servername {name} -showcerts </dev/null 2>/dev/null"
    return f"{shown} | sed -n '/BEGIN CERT/,/END CERT/p' >> {shlex.quote(file)}"


def provide_ca(path: str, base_url: str | None) -> Fix:
    """Put a CA certificate where the configuration says that one lies."""
    url = urlsplit(base_url or "https://REGISTRY:443")
    return Fix(
        title=f"Put the registry's CA certificate at {path}, after comparing it with the one that its owner names",
        commands=(
            f"mkdir -p {shlex.quote(path.rpartition('/')[0])}",
            keep_served(url.hostname or "", url.port or 443, path),
        ),
        verify=f"openssl x509 -noout -subject -enddate -in {shlex.quote(path)}",
        safety=Safety.MANUAL,
    )


def change_scheme(wanted: Wanted, hosts: RegistryHosts, attempt: Attempt, scheme: str) -> Fix:
    """Make the runtime speak HTTP, or HTTPS, to a host."""
    netloc = urlsplit(attempt.host.base_url).netloc
    path, line = place(attempt.host.source)
    title = f"Speak {'plain HTTP' if scheme == 'http' else 'HTTPS'} to {netloc}"
    after: tuple[str, ...] = ()
    if wanted.runtime == "containerd" and line:
        pattern = "".join(f"\\{character}" if character in ".[]" else character for character in netloc)
        commands: tuple[str, ...] = (
            f"sed -i -E {shlex.quote(f'{line}s#(https?://)?{pattern}#{scheme}://{netloc}#')} {shlex.quote(path)}",
        )
    elif wanted.runtime == "containerd" and hosts.folder:
        file = f"{hosts.folder}/hosts.toml"
        table = f'[host."{scheme}://{netloc}"]\\n  capabilities = ["pull", "resolve"]\\n'
        commands = (
            f"mkdir -p {shlex.quote(hosts.folder)}",
            f"printf 'server = \"{scheme}://{netloc}\"\\n\\n{table}' >> {shlex.quote(file)}",
        )
    elif wanted.runtime == "cri-o" and scheme == "http":
        drop_in = f"/etc/containers/registries.conf.d/99-{netloc.replace(':', '-')}.conf"
        commands = (f"printf '[[registry]]\\nlocation = \"{netloc}\"\\ninsecure = true\\n' >> {drop_in}",)
        after = (restart(wanted.runtime),)
    else:
        return bring_by_hand(wanted, f"the runtime speaks the wrong protocol to {netloc}")
    return Fix(title=title, commands=commands + after, verify=wanted.again, safety=Safety.MANUAL)


def fill_registry(wanted: Wanted, attempts: Sequence[Attempt]) -> Fix:
    """Copy the images into the registry that lacks them, for all machines; `attempts` are in the order of the images."""
    netloc = urlsplit(attempts[0].host.base_url).netloc
    copies = [
        f"skopeo copy --all docker://{wanted.published(image)} "
        f"docker://{netloc}/{attempt.host.repository}:{attempt.host.reference}"
        for image, attempt in zip(wanted.images, attempts, strict=True)
    ]
    copies[0] += "  # where both can be reached"
    return Fix(
        title=f"Copy {wanted.name} into {netloc}, for all architectures",
        commands=tuple(copies),
        verify=wanted.again,
        safety=Safety.MANUAL,
    )


def place(source: str) -> tuple[str, int]:
    """Path and line of `path:line`; line 0 where there is none."""
    path, _, line = source.rpartition(":")
    return (path, int(line)) if path.startswith("/") and line.isdigit() else (source, 0)
