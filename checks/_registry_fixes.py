"""What mends mirror configuration as it is written, for each runtime."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from k8sdoctor.checks._pause_image_fixes import set_key
from k8sdoctor.checks._pull_fixes import MADE_ANEW, keep_served
from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from k8sdoctor.facts.distribution import Distribution
    from k8sdoctor.facts.registry_answers import Answer
    from k8sdoctor.facts.registry_config import RegistryConfig
    from k8sdoctor.facts.settings import IgnoredSetting, Remark

AGAIN = "k8sdoctor check registry-config"
_UNITS = {"containerd": "containerd", "cri-o": "crio", "cri-dockerd": "docker"}


class Runtime(Protocol):
    """What a fix must know of the runtime."""

    @property
    def runtime(self) -> str:
        """Its kind."""
        ...

    @property
    def config_path(self) -> str:
        """Its own file."""
        ...


def place(source: str) -> tuple[str, int]:
    """Path and line of `path:line`; line 0 where there is none.

    >>> place("/etc/containerd/certs.d/mirror:5000/hosts.toml:3"), place("/etc/containers/certs.d/mirror:5000")
    (('/etc/containerd/certs.d/mirror:5000/hosts.toml', 3), ('/etc/containers/certs.d/mirror:5000', 0))
    """
    path, _, line = source.rpartition(":")
    known = path.startswith("/") and line.isdigit() and path.endswith((".toml", ".conf", ".json"))
    return (path, int(line)) if known else (source, 0)


def restart(config: Runtime) -> str:
    """Make the runtime read its configuration again."""
    return f"systemctl restart {_UNITS[config.runtime]}"


def look_at(config: Runtime, source: str, title: str, *, restarts: bool | None = None) -> Fix:
    """Open a file at its line. hosts.toml is read at each pull; everything else when the runtime starts."""
    path, line = place(source)
    again = not path.endswith("hosts.toml") if restarts is None else restarts
    for root, (own, unit) in MADE_ANEW.items():
        if path.startswith(root):
            title = f"{title}, in {own}, of which {path} is made at each start"
            return Fix(title, (f"${{EDITOR:-vi}} {own}", f"systemctl restart {unit}"), AGAIN, Safety.MANUAL)
    edit = f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}"
    return Fix(title, (edit, restart(config)) if again else (edit,), AGAIN, Safety.MANUAL)


def made_anew(path: str) -> bool:
    """Whether another program writes a file, so that a change of it does not last."""
    return path.startswith(tuple(MADE_ANEW))


def name_rightly(config: Runtime, remark: Remark) -> Fix:
    """Call a key by the name that is read."""
    path, line = place(remark.source)
    old, new = remark.key.rpartition(".")[2].strip('"'), remark.instead or ""
    if not new or made_anew(path):
        return look_at(config, remark.source, f"Take {remark.key} away, or write what is meant")
    if remark.key.startswith("host.") and new.startswith("[host."):
        return look_at(config, remark.source, f"Write the host's name in quotes: {new}")
    quoted = shlex.quote(path)
    escaped = "".join(f"\\{character}" if character in ".[]*/$^" else character for character in old)
    if path.endswith("hosts.toml") and new == "host" and not line:
        return look_at(config, remark.source, f"Write [{new}.…] for {remark.key}")
    if path.endswith("hosts.toml") and new == "host":
        # A header for each host, of which the first one is named.
        change = f"s/^([[:space:]]*\\[[[:space:]]*){escaped}([[:space:]]*\\.)/\\1host\\2/"
        return Fix(f"Write [host.…] for [{old}.…]", (f"sed -i -E {shlex.quote(change)} {quoted}",), AGAIN, Safety.SAFE)
    if not line:
        return look_at(config, remark.source, f"Write {new} for {old}")
    change = f"{line}s/{escaped}/{new}/"
    after = () if path.endswith("hosts.toml") else (restart(config),)
    return Fix(
        f"Write {new} for {old}",
        (f"sed -i {shlex.quote(change)} {quoted}", *after),
        AGAIN,
        Safety.DISRUPTIVE if after else Safety.SAFE,
    )


def correct_path(config: Runtime, remark: Remark) -> Fix:
    """Say that an address holds the whole path, or that it does not."""
    path, line = place(remark.source)
    if not line or made_anew(path):
        return look_at(config, remark.source, f"Correct the address {remark.key}")
    if remark.instead == "override_path = true":
        command = f"sed -i {shlex.quote(f'{line}a override_path = true')} {shlex.quote(path)}"
        return Fix(f"Tell containerd that {remark.key} is the whole path", (command,), AGAIN, Safety.SAFE)
    return look_at(
        config, remark.source, "Take override_path away, or write the whole path of the API into the address"
    )


def correct_address(config: Runtime, remark: Remark) -> Fix:
    """Write another address into the line."""
    path, line = place(remark.source)
    if not line or not remark.instead or made_anew(path):
        return look_at(config, remark.source, f"Correct the address {remark.key}")
    command = f"sed -i {shlex.quote(f'{line}s#{remark.key}#{remark.instead}#')} {shlex.quote(path)}"
    return Fix(f"Write {remark.instead} for {remark.key}", (command,), AGAIN, Safety.SAFE)


def move_folder(remark: Remark) -> Fix:
    """Give a folder the name that is looked for."""
    command = f"mv -nT {shlex.quote(remark.source)} {shlex.quote(remark.instead or '')}"
    return Fix(f"Move {remark.source} to {remark.instead}", (command,), AGAIN, Safety.SAFE)


def write_anew(config: RegistryConfig, remark: Remark) -> Fix:
    """Say it in hosts.toml, which every version reads."""
    folder = "/etc/containerd/certs.d"
    commands: list[str] = []
    for chain in config.chains:
        table = [host for host in chain.hosts if host.source.startswith(config.config_path)]
        name = "_default" if chain.image.registry == "*" else chain.image.registry
        file = f"{folder}/{name}/hosts.toml"
        for host in table:
            lines = [f'[host."{host.base_url.removesuffix("/v2")}"]', '  capabilities = ["pull", "resolve"]']
            lines += [f'  ca = "{ca}"' for ca in host.ca_files]
            lines += [] if host.verify else ["  skip_verify = true"]
            commands += [
                f"mkdir -p {shlex.quote(f'{folder}/{name}')}",
                f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} >> {shlex.quote(file)}",
            ]
    path, line = place(remark.source)
    edit = f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}  # take the tables registry.mirrors and registry.configs away"
    return Fix(
        f"Write it as hosts.toml, and point {config.key} to {folder}",
        (*dict.fromkeys(commands), edit, *set_key(config.config_path, config.key, folder), restart(config)),
        AGAIN,
        Safety.MANUAL,
    )


def trust(config: RegistryConfig, distribution: Distribution, answer: Answer) -> Fix:
    """Trust the certificates that a host serves, once a person has compared them: by the runtime's own files, else by the node's."""
    url = urlsplit(answer.host.base_url)
    name, port, netloc = url.hostname or answer.netloc, url.port or 443, answer.netloc
    path, line = place(answer.host.source)
    after: list[str] = []
    if config.runtime != "containerd":
        # Both look there at each pull.
        file = f"{config.folder}/{netloc}/ca.crt"
    elif answer.host.ca_files:
        file = answer.host.ca_files[0]
    elif path.endswith("/hosts.toml") and line and not made_anew(path):
        file = f"{path.removesuffix('/hosts.toml')}/{netloc.replace(':', '-')}.crt"
        trusted = f'{line}a ca = "{file}"'
        after = [f"sed -i {shlex.quote(trusted)} {shlex.quote(path)}"]
    else:
        file = f"{distribution.trust_folder}/{name}{distribution.trust_suffix}"
        # Go reads the trust store once, so that a daemon must start again to see a change of it.
        after = [distribution.trust_update, restart(config)]
    return Fix(
        f"Put the CA of {netloc} into {file}, after comparing it with the one that its owner names",
        (
            f"mkdir -p {shlex.quote(file.rpartition('/')[0])}",
            keep_served(name, port, file),
            f"openssl x509 -noout -subject -issuer -fingerprint -sha256 -in {shlex.quote(file)}  # compare before going on",
            *after,
        ),
        AGAIN,
        Safety.MANUAL,
    )


def speak(config: RegistryConfig, answer: Answer) -> Fix:
    """Speak HTTP, or HTTPS, to a host."""
    wanted = "https" if answer.wants_tls else "http"
    path, line = place(answer.host.source)
    title = f"Speak {'HTTPS' if answer.wants_tls else 'plain HTTP'} to {answer.netloc}"
    if config.runtime == "containerd" and line and not made_anew(path):
        pattern = "".join(f"\\{character}" if character in ".[]" else character for character in answer.netloc)
        change = f"{line}s#(https?://)?{pattern}#{wanted}://{answer.netloc}#"
        after = () if path.endswith("hosts.toml") else (restart(config),)
        return Fix(title, (f"sed -i -E {shlex.quote(change)} {shlex.quote(path)}", *after), AGAIN, Safety.MANUAL)
    return look_at(config, answer.host.source, title)


def see_whether_it_lives(answer: Answer) -> Fix:
    """Ask the place by hand."""
    return Fix(
        f"See whether {answer.netloc} runs and can be reached from here, or take it out of {answer.host.source}",
        (f"curl -v --max-time 10 {shlex.quote(answer.host.url(''))}",),
        AGAIN,
        Safety.MANUAL,
    )


def heed(config: RegistryConfig, setting: IgnoredSetting) -> Fix:
    """Make a setting that is written in vain count."""
    path, line = place(setting.source)
    counts = setting.counts or ""
    if made_anew(path):
        return look_at(config, setting.source, f"Correct {setting.source}")
    if setting.kind == "not-loaded":
        return Fix("Make the runtime read its configuration again", (restart(config),), AGAIN, Safety.DISRUPTIVE)
    if setting.kind == "no-config-path" and counts.startswith("plugins."):
        folder = f"{path.partition('/certs.d/')[0]}/certs.d"
        commands = (*set_key(config.config_path, counts, folder), restart(config))
        return Fix(f"Point {counts} to {folder}", commands, AGAIN, Safety.DISRUPTIVE)
    if setting.kind == "wrong-table" and counts.startswith("plugins.") and line:
        drop = f"sed -i '{line}d' {shlex.quote(path)}"
        commands = (drop, *set_key(path, counts, setting.value), restart(config))
        return Fix(f"Move the setting to {counts}", commands, AGAIN, Safety.DISRUPTIVE)
    if setting.kind == "other-folder" and counts.startswith("/"):
        commands = (
            f"mkdir -p {shlex.quote(counts.rpartition('/')[0])}",
            f"mv -n {shlex.quote(path)} {shlex.quote(counts)}",
        )
        return Fix(f"Move the file to {counts}, which is where it is looked for", commands, AGAIN, Safety.SAFE)
    return look_at(config, setting.source, f"Correct {setting.source}")
