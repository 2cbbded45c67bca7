"""What mends a sandbox image that cannot be pulled, for each runtime."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.registry_hosts import RegistryHosts
    from k8sdoctor.facts.registry_visit import Attempt
    from k8sdoctor.facts.sandbox_image import SandboxImage
    from k8sdoctor.facts.settings import IgnoredSetting

_UNITS = {"containerd": "containerd", "cri-o": "crio", "cri-dockerd": "cri-docker"}
_LOAD = {
    "containerd": "ctr -n k8s.io images import pause.tar",
    "cri-o": "skopeo copy docker-archive:pause.tar containers-storage:{image}",
    "cri-dockerd": "docker load -i pause.tar",
}
_LIST = {
    "containerd": "ctr -n k8s.io images list name=={image}",
    "cri-o": "crictl inspecti {image}",
    "cri-dockerd": "docker image inspect {image}",
}
AGAIN = "k8sdoctor check pause-image"


def restart(sandbox: SandboxImage) -> str:
    """Make the runtime read its configuration again; running containers go on."""
    return f"systemctl restart {_UNITS[sandbox.runtime]}"


def listed(sandbox: SandboxImage) -> str:
    """Show that the runtime has the image."""
    return _LIST[sandbox.runtime].format(image=sandbox.image)


def bring_by_hand(sandbox: SandboxImage, why: str) -> Fix:
    """Import the image from a file, for which no registry is needed."""
    image = sandbox.image
    return Fix(
        title=f"Bring {image} here by hand ({why})",
        commands=(
            f"skopeo copy docker://{image} docker-archive:pause.tar:{image}  # where the registry can be reached; then bring pause.tar here",
            _LOAD[sandbox.runtime].format(image=image),
        ),
        verify=listed(sandbox),
        safety=Safety.MANUAL,
    )


def use_image(sandbox: SandboxImage, image: str, why: str) -> Fix:
    """Make the runtime use another sandbox image."""
    return Fix(
        title=f"Let {sandbox.runtime} use {image} ({why})",
        commands=(*_set_image(sandbox, image), restart(sandbox)),
        verify=AGAIN,
        safety=Safety.DISRUPTIVE,
    )


def _set_image(sandbox: SandboxImage, image: str) -> tuple[str, ...]:
    if sandbox.runtime == "cri-o":
        drop_in = "/etc/crio/crio.conf.d/99-pause-image.conf"
        return (f"printf '[crio.image]\\npause_image = \"{image}\"\\n' >> {drop_in}",)
    if sandbox.runtime == "cri-dockerd":
        return (f"systemctl edit cri-docker  # ExecStart=, then ExecStart=… --pod-infra-container-image={image}",)
    path, line = _place(sandbox.source)
    if line:
        return (_replace(path, line, sandbox.image, image),)
    return set_key(sandbox.config_path or "/etc/containerd/config.toml", sandbox.key, image)


def set_key(path: str, key: str, value: str) -> tuple[str, ...]:
    """Shell lines that give a TOML key a value: in its table where the file has that table, else in a new one at its end."""
    table, _, name = key.rpartition(".")
    # A table's name may be quoted either way, and indented: `[plugins."io.containerd.grpc.v1.cri"]`.
    header = r"^[[:space:]]*\[" + "".join(_escaped(character) for character in table) + r"\][[:space:]]*$"
    version = 3 if "cri.v1" in table else 2
    quoted = shlex.quote(path)
    setting = f'{name} = "{value}"'
    insert = f"sed -i -E {shlex.quote(f'/{header}/a {setting}')} {quoted}"
    append = f"printf '%s\\n' {shlex.quote(f'[{table}]')} {shlex.quote(setting)} >> {quoted}"
    return (
        f"mkdir -p {shlex.quote(path.rpartition('/')[0])}; [ -s {quoted} ] || echo 'version = {version}' >> {quoted}",
        f"grep -qE {shlex.quote(header)} {quoted} && {insert} || {append}",
    )


def _escaped(character: str) -> str:
    if character in "\"'":
        return "[\"']"
    return f"\\{character}" if character in ".[]*/" else character


def _place(source: str) -> tuple[str, int]:
    """Path and line of `path:line`; line 0 where there is none."""
    path, _, line = source.rpartition(":")
    return (path, int(line)) if path.startswith("/") and line.isdigit() else (source, 0)


def _replace(path: str, line: int, old: str, new: str) -> str:
    escaped = "".join(f"\\{character}" if character in r".[]*^$\|" else character for character in old)
    return f"sed -i {shlex.quote(f'{line}s|{escaped}|{new}|')} {shlex.quote(path)}"


def trust(sandbox: SandboxImage, distribution: Distribution, attempt: Attempt) -> Fix:
    """Trust the certificates that a host serves, once a person has compared them."""
    netloc = attempt.netloc
    name = urlsplit(attempt.where).hostname or netloc
    port = urlsplit(attempt.where).port or 443
    if sandbox.runtime == "containerd":
        file = f"{distribution.trust_folder}/{name}{distribution.trust_suffix}"
        # Go reads the trust store once, so that a daemon must start again to see a change of it.
        after = [distribution.trust_update, restart(sandbox)]
        where = "the node's trust store"
    else:
        folder = "/etc/containers/certs.d" if sandbox.runtime == "cri-o" else "/etc/docker/certs.d"
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
        verify=AGAIN,
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


def change_scheme(sandbox: SandboxImage, hosts: RegistryHosts, attempt: Attempt, wanted: str) -> Fix:
    """Make the runtime speak HTTP, or HTTPS, to a host."""
    netloc = urlsplit(attempt.host.base_url).netloc
    path, line = _place(attempt.host.source)
    title = f"Speak {'plain HTTP' if wanted == 'http' else 'HTTPS'} to {netloc}"
    after: tuple[str, ...] = ()
    if sandbox.runtime == "containerd" and line:
        pattern = "".join(f"\\{character}" if character in ".[]" else character for character in netloc)
        commands: tuple[str, ...] = (
            f"sed -i -E {shlex.quote(f'{line}s#(https?://)?{pattern}#{wanted}://{netloc}#')} {shlex.quote(path)}",
        )
    elif sandbox.runtime == "containerd" and hosts.folder:
        file = f"{hosts.folder}/hosts.toml"
        table = f'[host."{wanted}://{netloc}"]\\n  capabilities = ["pull", "resolve"]\\n'
        commands = (
            f"mkdir -p {shlex.quote(hosts.folder)}",
            f"printf 'server = \"{wanted}://{netloc}\"\\n\\n{table}' >> {shlex.quote(file)}",
        )
    elif sandbox.runtime == "cri-o" and wanted == "http":
        drop_in = f"/etc/containers/registries.conf.d/99-{netloc.replace(':', '-')}.conf"
        commands = (f"printf '[[registry]]\\nlocation = \"{netloc}\"\\ninsecure = true\\n' >> {drop_in}",)
        after = (restart(sandbox),)
    else:
        return bring_by_hand(sandbox, f"the runtime speaks the wrong protocol to {netloc}")
    return Fix(title=title, commands=commands + after, verify=AGAIN, safety=Safety.MANUAL)


def fill_mirror(sandbox: SandboxImage, attempt: Attempt) -> Fix:
    """Copy the image into the registry that lacks it, for all machines."""
    target = f"{urlsplit(attempt.host.base_url).netloc}/{attempt.host.repository}:{attempt.host.reference}"
    return Fix(
        title=f"Copy {sandbox.image} into {urlsplit(attempt.host.base_url).netloc}, for all architectures",
        commands=(f"skopeo copy --all docker://{sandbox.image} docker://{target}  # where both can be reached",),
        verify=AGAIN,
        safety=Safety.MANUAL,
    )


def heed(sandbox: SandboxImage, setting: IgnoredSetting) -> Fix:
    """Make a setting that is written in vain count, or take it away."""
    path, line = _place(setting.source)
    title = (
        f"Correct {setting.source}"
        if setting.kind == "malformed"
        else f"Take {setting.key} away, or write it where it counts"
    )
    counts = setting.counts or ""
    if setting.kind == "not-loaded":
        return Fix(
            title="Make the runtime read its configuration again",
            commands=(restart(sandbox),),
            verify=AGAIN,
            safety=Safety.DISRUPTIVE,
        )
    if setting.kind == "no-config-path" and counts.startswith("plugins."):
        folder = path.partition("/certs.d/")[0] + "/certs.d"
        return Fix(
            title=f"Point {counts} to {folder}",
            commands=(*set_key(sandbox.config_path or "/etc/containerd/config.toml", counts, folder), restart(sandbox)),
            verify=AGAIN,
            safety=Safety.DISRUPTIVE,
        )
    if setting.kind == "wrong-table" and counts.startswith("plugins.") and line:
        return Fix(
            title=f"Move the setting to {counts}",
            commands=(f"sed -i '{line}d' {shlex.quote(path)}", *set_key(path, counts, setting.value), restart(sandbox)),
            verify=AGAIN,
            safety=Safety.DISRUPTIVE,
        )
    if setting.kind == "other-folder" and counts:
        return Fix(
            title=f"Move the file to {counts}, which is where it is looked for",
            commands=(
                f"mkdir -p {shlex.quote(counts.rpartition('/')[0])}",
                f"mv -n {shlex.quote(path)} {shlex.quote(counts)}",
            ),
            verify=AGAIN,
            safety=Safety.SAFE,
        )
    return Fix(
        title=title,
        commands=(f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}", restart(sandbox)),
        verify=AGAIN,
        safety=Safety.MANUAL,
    )
