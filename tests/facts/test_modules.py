"""br_netfilter, told from the files of a machine."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.modules import BrNetfilter
from k8sdoctor.testing import FakeHost

KERNEL = "/lib/modules/6.1.0/"  # as FakeHost's `uname -r`
SWITCH = {"/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n"}


def module(files: dict[str, str]) -> BrNetfilter:
    return BrNetfilter.observe(FakeHost(files))


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"/proc/modules": "overlay 151552 1 - Live 0x0\nbr_netfilter 32768 0 - Live 0x0\n", **SWITCH}, "loaded"),
        ({"/proc/modules": "", **SWITCH}, "built-in"),
        (SWITCH, "built-in"),
        ({"/proc/modules": "", KERNEL + "kernel/net/bridge/br_netfilter.ko.xz": ""}, "loadable"),
        (
            {"/proc/modules": "", KERNEL + "modules.dep": "extra/br_netfilter.ko.gz: kernel/net/bridge/bridge.ko\n"},
            "loadable",
        ),
        ({"/proc/modules": "", KERNEL + "modules.dep": "kernel/net/bridge/bridge.ko: a/br_netfilter.ko\n"}, "absent"),
        ({"/proc/modules": "", "/lib/modules/6.1.1/modules.dep": ""}, "kernel-gone"),
    ],
)
def test_loaded_built_in_loadable_absent_and_gone_are_told_apart(files: dict[str, str], state: str) -> None:
    assert module(files).state == state


@pytest.mark.parametrize(
    ("files", "where"),
    [
        ({"/etc/modules-load.d/k8s.conf": "overlay\nbr_netfilter\n"}, "/etc/modules-load.d/k8s.conf:2"),
        ({"/usr/lib/modules-load.d/k8s.conf": "# why\nbr-netfilter"}, "/usr/lib/modules-load.d/k8s.conf:2"),
        ({"/proc/cmdline": 'root=/dev/sda1 modules-load=overlay,br_netfilter quiet="a b"'}, "/proc/cmdline"),
        ({"/etc/modules-load.d/k8s.conf": "# br_netfilter\n"}, None),
        ({"/etc/modules-load.d/k8s": "br_netfilter\n"}, None),
        ({"/proc/cmdline": "rd.modules_load=br_netfilter"}, None),
    ],
)
def test_what_loads_it_at_boot_is_named_with_file_and_line(files: dict[str, str], where: str | None) -> None:
    found = module({**SWITCH, "/proc/modules": "br_netfilter 1 0 -", **files})

    assert (found.at_boot and found.at_boot.where) == where
    assert found.after_boot is (where is not None)


@pytest.mark.parametrize("line", ["blacklist br_netfilter", "install br-netfilter /bin/false"])
def test_a_blocked_module_is_not_there_after_a_boot_although_it_is_listed(line: str) -> None:
    found = module(
        {
            **SWITCH,
            "/proc/modules": "br_netfilter 1 0 -",
            "/etc/modules-load.d/k8s.conf": "br_netfilter",
            "/etc/modprobe.d/cis.conf": f"options x y=1\n{line}\n",
        }
    )

    assert not found.after_boot
    assert found.blocked[0].where == "/etc/modprobe.d/cis.conf:2"


def test_a_built_in_module_needs_nothing_at_boot() -> None:
    assert module(SWITCH).after_boot
