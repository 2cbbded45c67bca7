"""Our idea of what is set at boot, held against the real systemd-sysctl."""

from __future__ import annotations

import json
import random
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.node import LabNode

pytestmark = [pytest.mark.lab, pytest.mark.needs("/lib/systemd/systemd-sysctl")]

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
NAMES = ("10-a.conf", "50-b.conf", "90-c.conf", "99-d.conf", "z.conf", "README")
INTERFACES = ("all", "default", "eth0", "va.100")
KEYS = (
    *(f"net.ipv4.conf.{interface}.forwarding" for interface in ("all", "default", "eth0", "va/100", "*", "e*", "?ll")),
    *("net/ipv4/conf/va.100/forwarding", "net/ipv4/conf/eth0/forwarding", "net.ipv4.ip_forward", "net/ipv4/ip_forward"),
)
ASK = """
import json
from k8sdoctor.host.live import LiveHost
from k8sdoctor.facts.sysctl import SysctlBoot
boot = SysctlBoot.observe(LiveHost())
print(json.dumps([[setting.key, setting.value] for setting in boot.settings]))
"""


def random_file(chance: random.Random) -> str:
    lines = []
    for _ in range(chance.randrange(5)):
        key, value = chance.choice(KEYS), chance.choice("01")
        lines.append(
            chance.choice((f"{key} = {value}", f"{key}={value}", f"-{key} = {value}", f"-{key}", f"# {key}=0", key))
        )
    return "\n".join(lines) + "\n" * chance.randrange(2)


# The order is what systemd-sysctl logs; what the switches end up as is the kernel's affair. A lab node costs little, so
# many layouts share one.
def test_assignments_are_those_of_systemd_in_its_order(node: LabNode) -> None:
    node.shell("ip link add va.100 type veth peer name vb; rm -rf " + " ".join(f"{folder}/*" for folder in FOLDERS))
    for seed in range(25):
        chance = random.Random(seed)
        node.shell("rm -rf " + " ".join(f"{folder}/*" for folder in FOLDERS))
        for folder in FOLDERS:
            for name in chance.sample(NAMES, 3):
                node.write(f"{folder}/{name}", random_file(chance))
        if chance.random() < 0.5:
            node.shell("ln -sf /dev/null /etc/sysctl.d/50-b.conf")
        if chance.random() < 0.5:
            node.shell("rm -f /etc/sysctl.d/90-c.conf; ln -s nowhere /etc/sysctl.d/90-c.conf")
        log = node.run(["/lib/systemd/systemd-sysctl"], env={"SYSTEMD_LOG_LEVEL": "debug"}, check=False).stderr

        real = [
            line.removeprefix("Setting '/proc/sys/").split("'")[0:3:2]
            for line in log.splitlines()
            if line.startswith("Setting '")
        ]
        ours = json.loads(node.run([sys.executable, "-c", ASK]).stdout)

        assert expand(ours) == [tuple(pair) for pair in real], f"seed {seed}\n{log}"


def expand(settings: list[tuple[str, str | None]]) -> list[tuple[str, str]]:
    """The writes that follow from merged settings, globs expanded over the interfaces of the node."""
    from k8sdoctor.facts.sysctl import Setting

    paths = sorted(f"net/ipv4/conf/{name}/forwarding" for name in (*INTERFACES, "lo", "vb"))
    explicit = {key for key, _ in settings if not Setting(key, "", "", 0, "").is_glob}
    writes: list[tuple[str, str]] = []
    for key, value in settings:
        setting = Setting(key, value, "", 0, "")
        if value is None:
            continue
        if setting.is_glob:
            writes += [(path, value) for path in paths if setting.matches(path) and path not in explicit]
        else:
            writes.append((key, value))
    return writes
