"""What mends the settings that name the sandbox image, for each runtime. `_pull_fixes` has what mends its pull."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.checks._pull_fixes import place, restart
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.sandbox_image import SandboxImage
    from k8sdoctor.facts.settings import IgnoredSetting

AGAIN = "k8sdoctor check pause-image"


def use_image(sandbox: SandboxImage, image: str, why: str) -> Fix:
    """Make the runtime use another sandbox image."""
    return Fix(
        title=f"Let {sandbox.runtime} use {image} ({why})",
        commands=(*set_image(sandbox, image), restart(sandbox.runtime)),
        verify=AGAIN,
        safety=Safety.DISRUPTIVE,
    )


def set_image(sandbox: SandboxImage, image: str) -> tuple[str, ...]:
    """Shell lines that write another sandbox image where this runtime reads it; it must start again to do so."""
    if sandbox.runtime == "cri-o":
        drop_in = "/etc/crio/crio.conf.d/99-pause-image.conf"
        return (f"printf '[crio.image]\\npause_image = \"{image}\"\\n' >> {drop_in}",)
    if sandbox.runtime == "cri-dockerd":
        return (f"systemctl edit cri-docker  # ExecStart=, then ExecStart=… --pod-infra-container-image={image}",)
    path, line = place(sandbox.source)
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


def _replace(path: str, line: int, old: str, new: str) -> str:
    escaped = "".join(f"\\{character}" if character in r".[]*^$\|" else character for character in old)
    return f"sed -i {shlex.quote(f'{line}s|{escaped}|{new}|')} {shlex.quote(path)}"


def heed(sandbox: SandboxImage, setting: IgnoredSetting) -> Fix:
    """Make a setting that is written in vain count, or take it away."""
    path, line = place(setting.source)
    title = (
        f"Correct {setting.source}"
        if setting.kind == "malformed"
        else f"Take {setting.key} away, or write it where it counts"
    )
    counts = setting.counts or ""
    if setting.kind == "not-loaded":
        return Fix(
            title="Make the runtime read its configuration again",
            commands=(restart(sandbox.runtime),),
            verify=AGAIN,
            safety=Safety.DISRUPTIVE,
        )
    if setting.kind == "no-config-path" and counts.startswith("plugins."):
        folder = path.partition("/certs.d/")[0] + "/certs.d"
        return Fix(
            title=f"Point {counts} to {folder}",
            commands=(
                *set_key(sandbox.config_path or "/etc/containerd/config.toml", counts, folder),
                restart(sandbox.runtime),
            ),
            verify=AGAIN,
            safety=Safety.DISRUPTIVE,
        )
    if setting.kind == "wrong-table" and counts.startswith("plugins.") and line:
        return Fix(
            title=f"Move the setting to {counts}",
            commands=(
                f"sed -i '{line}d' {shlex.quote(path)}",
                *set_key(path, counts, setting.value),
                restart(sandbox.runtime),
            ),
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
        commands=(f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}", restart(sandbox.runtime)),
        verify=AGAIN,
        safety=Safety.MANUAL,
    )
