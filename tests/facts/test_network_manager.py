"""NetworkManager's files, as NetworkManager.conf(5) has them."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.network_manager import NetworkManager
from k8sdoctor.facts.processes import Processes
from k8sdoctor.testing import FakeHost, HostError

RUNS = Processes(({"pid": 7, "ppid": 1, "name": "NetworkManager", "cmdline": ["/usr/sbin/NetworkManager"]},))
CONF = "/etc/NetworkManager/conf.d/calico.conf"


def test_without_the_daemon_nothing_is_read() -> None:
    assert NetworkManager.observe(FakeHost(), Processes(())) == NetworkManager()


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:vxlan.calico\n", True),
        ("[keyfile]\nunmanaged-devices+=interface-name:vxlan.calico\n", True),
        ("[keyfile]\nunmanaged-devices=*,except:type:ethernet\n", True),
        ("[keyfile]\nunmanaged-devices=type:vxlan\n", True),
        ("[device-x]\nmatch-device=interface-name:vxlan*\nmanaged=0\n", True),
        ("[device-x]\nmatch-device=interface-name:vxlan*\n", False),
        ("[keyfile]\nunmanaged-devices=interface-name:cali*\n", False),
        ("[keyfile]\n# unmanaged-devices=interface-name:vxlan.calico\n", False),
        ("[main]\nplugins=keyfile\n", False),
    ],
)
def test_what_it_is_told_to_leave_alone(text: str, alone: bool) -> None:
    manager = NetworkManager.observe(FakeHost({CONF: text}), RUNS)

    assert manager.leaves_alone("vxlan.calico") is alone
    assert manager.files == ("calico.conf",)
    assert manager.unread == ()


def test_what_cannot_be_read_or_parsed_is_said() -> None:
    garbage = NetworkManager.observe(FakeHost({CONF: "{{{: [\n\t- ]=x\n"}), RUNS)
    denied = NetworkManager.observe(FakeHost({CONF: HostError("NotPermitted", f"{CONF} may not be read")}), RUNS)

    assert garbage.unread == (f"{CONF} is no key file",)
    assert denied.unread == (f"{CONF} may not be read",)
