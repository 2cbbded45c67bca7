"""What systemd does with a tree at boot, and what we say that it does. Both look at one lab node."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from k8sdoctor.facts.modules import BrNetfilter
from k8sdoctor.facts.sysctl import Setting, SysctlBoot
from k8sdoctor.host.live import LiveHost
from tests.differential.boot_trees import FOLDERS, INTERFACES, Entry, Kind, boot_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.lab.node import LabNode

IP_FORWARD = ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding")


def prepare(node: LabNode) -> None:
    """Give the node the interfaces that the trees are about, and take away what the machine sets at boot."""
    node.shell("ip link add va.100 type veth peer name vb")
    for kind in ("sysctl.d", "modules-load.d"):
        for folder in FOLDERS:
            node.shell(f"mkdir -p {folder}/{kind}; rm -rf {folder}/{kind}/*")


def plant(node: LabNode, entries: Iterable[Entry], kind: Kind) -> None:
    """Put a tree into the node in place of the one before."""
    for folder in FOLDERS:
        for each in (node.root / folder[1:] / kind).iterdir():
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    (node.root / f"etc/{kind.removesuffix('.d')}.conf").unlink(missing_ok=True)
    for entry in entries:
        path = node.root / entry.path[1:]
        if entry.kind == "file":
            path.write_bytes(entry.content.encode())
        elif entry.kind == "link":
            path.symlink_to(entry.content)
        else:
            path.mkdir()


def set_by_systemd(node: LabNode) -> list[tuple[str, str]]:
    """What systemd-sysctl writes, in order: paths below /proc/sys, and values."""
    log = node.run(["/lib/systemd/systemd-sysctl"], env={"SYSTEMD_LOG_LEVEL": "debug"}, check=False).stderr
    return re.findall(r"^Setting '/proc/sys/(.*)' to '(.*)'$", log, re.MULTILINE)


def set_by_our_word(node: LabNode) -> tuple[list[tuple[str, str]], str | None]:
    """What we say is written, in order, and what we say that IP forwarding is set to last."""
    boot = SysctlBoot.observe(LiveHost(root=str(node.root)))
    winner = boot.winner(*IP_FORWARD)
    return expanded(boot.settings), winner.value if winner else None


def expanded(settings: Iterable[Setting]) -> list[tuple[str, str]]:
    """The writes that follow from settings, globs spread over the switches of the node's interfaces."""
    settings = tuple(settings)
    switches = sorted(f"net/ipv4/conf/{name}/forwarding" for name in INTERFACES)
    explicit = {setting.key for setting in settings if not setting.is_glob}
    writes: list[tuple[str, str]] = []
    for setting in settings:
        if setting.value is None:
            continue
        if setting.is_glob:
            writes += [
                (switch, setting.value) for switch in switches if setting.matches(switch) and switch not in explicit
            ]
        else:
            writes.append((setting.key, setting.value))
    return writes


def sysctl_differences(node: LabNode, seeds: range) -> Iterator[str | None]:
    """For each seed None where what is set at boot is what systemd sets, in its order."""
    for seed in seeds:
        entries = boot_tree(seed, "sysctl.d")
        plant(node, entries, "sysctl.d")
        real, (ours, forward) = set_by_systemd(node), set_by_our_word(node)
        last = next(
            (value for key, value in reversed(real) if key in {name.replace(".", "/") for name in IP_FORWARD}), None
        )
        if ours != real or forward != last:
            shown = "\n".join(f"  {entry}" for entry in entries)
            yield f"\n{shown}\n  systemd: {real}, forwarding {last!r}\n  we: {ours}, forwarding {forward!r}"
        else:
            yield None


def module_differences(node: LabNode, seeds: range) -> Iterator[str | None]:
    """For each seed None where the modules asked for at boot are those that systemd-modules-load asks for, in its order."""
    for seed in seeds:
        entries = boot_tree(seed, "modules-load.d")
        plant(node, entries, "modules-load.d")
        log = node.run(["/lib/systemd/systemd-modules-load"], env={"SYSTEMD_LOG_LEVEL": "debug"}, check=False).stderr
        real = re.findall(r"^Loading module: (.*)$", log, re.MULTILINE)
        module = BrNetfilter.observe(LiveHost(root=str(node.root)))
        ours = [line for file in module.boot.files for _, line in file.lines()]
        named = any(re.fullmatch("br[-_]netfilter", name) for name in real)
        if ours != real or (module.at_boot is not None) != named:
            shown = "\n".join(f"  {entry}" for entry in entries)
            yield f"\n{shown}\n  systemd asks for {real}\n  we: {ours}, br_netfilter by {module.at_boot}"
        else:
            yield None
