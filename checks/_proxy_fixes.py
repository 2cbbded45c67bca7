"""What mends a proxy that comes between programs and the cluster."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from k8sdoctor.finding import Fix, Safety

if TYPE_CHECKING:
    from collections.abc import Sequence

    from k8sdoctor.facts.proxied_programs import Program

AGAIN = "k8sdoctor check proxy"
_FOLDER = "/etc/systemd/system"
# After `http-proxy.conf`, which is what most guides call theirs: of two drop-ins the later name counts.
_DROP_IN = "zz-no-proxy.conf"


def leave_out(program: Program, missing: Sequence[str]) -> Fix:
    """Add to NO_PROXY what belongs to the cluster."""
    have = [entry.strip() for entry in (program.lasting.no_proxy or "").split(",") if entry.strip()]
    value = ",".join(dict.fromkeys((*have, *missing)))
    title = f"Let {program.name} reach {', '.join(missing)} without the proxy"
    unit = program.unit
    if unit is None and program.role == "runtime":
        edit = f"${{EDITOR:-vi}} {shlex.quote(program.file)}  # proxies: no-proxy: {value}"
        return Fix(title, (edit, "systemctl restart docker"), AGAIN, Safety.MANUAL)
    if unit is None:
        return _in_manifest(program, value, title)
    file = unit.sources.get("NO_PROXY")
    if file is not None and not file.endswith((".service", ".conf")):
        # A variable of an EnvironmentFile counts more than any Environment= (systemd.exec(5)).
        quoted = shlex.quote(file)
        write = f"sed -i -E '/^(NO_PROXY|no_proxy)=/d' {quoted} && printf '%s\\n' {shlex.quote(f'NO_PROXY={value}')} >> {quoted}"
        return Fix(title, (write, f"systemctl restart {unit.unit}"), AGAIN, Safety.DISRUPTIVE)
    folder = f"{_FOLDER}/{unit.unit}.service.d"
    lines = ("[Service]", f'Environment="NO_PROXY={value}" "no_proxy={value}"')
    return Fix(
        title,
        (
            f"mkdir -p {folder}",
            f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} >> {folder}/{_DROP_IN}",
            "systemctl daemon-reload",
            f"systemctl restart {unit.unit}",
        ),
        AGAIN,
        Safety.DISRUPTIVE,
    )


def _in_manifest(program: Program, value: str, title: str) -> Fix:
    """Write the value into a static pod's manifest, which the kubelet then starts again."""
    path = shlex.quote(program.file)
    new = shlex.quote(f"{program.file.rpartition('/')[0].rpartition('/')[0]}/{program.name}.yaml.new")
    old = program.proxy.no_proxy
    note = "  # kubeadm writes what its own shell has: export the same NO_PROXY before `kubeadm upgrade`"
    if not old:
        return Fix(title, (f"${{EDITOR:-vi}} {path}  # env of the container: NO_PROXY, {value}",), AGAIN, Safety.MANUAL)
    pattern = "".join(f"\\{character}" if character in ".[]*^$#\\" else character for character in old)
    change = f's#^([[:space:]]+value: )["\']?{pattern}["\']?$#\\1"{value}"#'
    # Written beside the folder, since the kubelet reads each file in it, half a one as well.
    return Fix(
        title,
        (f"sed -E {shlex.quote(change)} {path} > {new}{note}", f"chmod 600 {new} && mv {new} {path}"),
        AGAIN,
        Safety.DISRUPTIVE,
    )


def edit(program: Program, title: str) -> Fix:
    """Open the file that sets the variables."""
    unit = program.unit
    if unit is None:
        after = ("systemctl restart docker",) if program.role == "runtime" else ()
        return Fix(title, (f"${{EDITOR:-vi}} {shlex.quote(program.file)}", *after), AGAIN, Safety.MANUAL)
    files = dict.fromkeys(unit.sources.values())
    commands = tuple(f"${{EDITOR:-vi}} {shlex.quote(file)}" for file in files) or (f"systemctl edit {unit.unit}",)
    return Fix(title, (*commands, "systemctl daemon-reload", f"systemctl restart {unit.unit}"), AGAIN, Safety.MANUAL)


def restart(program: Program) -> Fix:
    """Make a service read its unit again."""
    unit = program.unit.unit if program.unit is not None else program.name
    return Fix(
        f"Restart {unit}, so that it has what its unit says",
        ("systemctl daemon-reload", f"systemctl restart {unit}"),
        AGAIN,
        Safety.DISRUPTIVE,
    )


def give_to_unit(program: Program, file: str, missing: Sequence[str]) -> Fix:
    """Let a service have the variables that shells have."""
    unit = program.unit.unit if program.unit is not None else program.name
    folder = f"{_FOLDER}/{unit}.service.d"
    if file != "/etc/environment":
        commands: tuple[str, ...] = (f'systemctl edit {unit}  # [Service] Environment="HTTPS_PROXY=…", as in {file}',)
        return Fix(f"Give {unit} the proxy of {file}", (*commands, f"systemctl restart {unit}"), AGAIN, Safety.MANUAL)
    lines = ["[Service]", f"EnvironmentFile={file}"]
    if missing:
        lines.append(f'Environment="NO_PROXY={",".join(missing)}"')
    return Fix(
        f"Give {unit} the variables of {file}",
        (
            f"mkdir -p {folder}",
            f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} >> {folder}/{_DROP_IN}",
            "systemctl daemon-reload",
            f"systemctl restart {unit}",
        ),
        AGAIN,
        Safety.DISRUPTIVE,
    )
