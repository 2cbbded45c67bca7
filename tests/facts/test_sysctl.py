"""What is set at boot, told from the files of a machine."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.sysctl import SysctlBoot, normal
from k8sdoctor.host import HostError
from k8sdoctor.testing import FakeHost

IP_FORWARD = "net.ipv4.ip_forward"
BOTH = (IP_FORWARD, "net.ipv4.conf.all.forwarding")


def boot(files: dict[str, str | HostError], **more: object) -> SysctlBoot:
    return SysctlBoot.observe(FakeHost(files, **more))  # type: ignore[arg-type]


def where(found: SysctlBoot, *keys: str) -> str | None:
    winner = found.winner(*(keys or BOTH))
    return winner.where if winner else None


def test_a_machine_without_files_sets_nothing() -> None:
    assert boot({}).winner(IP_FORWARD) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("/net/ipv4//ip_forward", "net/ipv4/ip_forward"),
        ("net/./ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.bridge.bridge-nf-call-iptables", "net/bridge/bridge-nf-call-iptables"),
    ],
)
def test_a_key_may_be_written_with_dots_or_slashes(written: str, meant: str) -> None:
    assert normal(written) == meant


def test_the_name_that_sorts_last_wins_whatever_its_folder() -> None:
    found = boot(
        {
            "/etc/sysctl.d/10-early.conf": "net.ipv4.ip_forward = 1\n",
            "/usr/lib/sysctl.d/50-late.conf": "# off\n\nnet.ipv4.ip_forward=0\n",
        }
    )

    assert where(found) == "/usr/lib/sysctl.d/50-late.conf:3"


def test_the_same_name_in_an_earlier_folder_hides_the_later() -> None:
    found = boot(
        {
            "/usr/lib/sysctl.d/50-x.conf": "net.ipv4.ip_forward = 0\n",
            "/run/sysctl.d/50-x.conf": "net.ipv4.ip_forward = 1\n",
        }
    )

    assert where(found) == "/run/sysctl.d/50-x.conf:1"


def test_a_link_to_dev_null_and_an_empty_file_mask() -> None:
    def stat(path: str) -> object:
        kind = "device" if path == "/etc/sysctl.d/50-x.conf" else "file"
        return {"kind": kind, "path": path}

    files: dict[str, str | HostError] = {
        "/usr/lib/sysctl.d/50-x.conf": "net.ipv4.ip_forward = 0\n",
        "/usr/lib/sysctl.d/60-y.conf": "net.ipv4.ip_forward = 0\n",
        "/etc/sysctl.d/50-x.conf": "",
        "/etc/sysctl.d/60-y.conf": "",
    }

    assert boot(files, stat=stat).winner(IP_FORWARD) is None


def test_a_link_that_leads_nowhere_hides_its_name_too() -> None:
    def stat(path: str) -> object:
        if path.startswith("/etc/"):
            raise HostError("NotFound", f"{path} does not exist")
        return {"kind": "file", "path": path}

    files: dict[str, str | HostError] = {
        "/usr/lib/sysctl.d/50-x.conf": "net.ipv4.ip_forward = 1",
        "/etc/sysctl.d/50-x.conf": "",
    }

    assert where(boot(files, stat=stat)) is None


def test_sysctl_conf_counts_only_by_a_link_that_leads_to_it() -> None:
    alone = boot({"/etc/sysctl.conf": "net.ipv4.ip_forward = 0\n"})
    linked = boot(
        {"/etc/sysctl.conf": "net.ipv4.ip_forward = 0\n", "/etc/sysctl.d/99-sysctl.conf": "net.ipv4.ip_forward = 0\n"},
        stat=lambda path: {"kind": "file", "path": "/etc/sysctl.conf" if path.endswith("99-sysctl.conf") else path},
    )

    assert alone.winner(IP_FORWARD) is None
    assert where(linked) == "/etc/sysctl.conf:1"


def test_only_names_that_end_with_conf_are_read() -> None:
    assert boot({"/etc/sysctl.d/99-x.conf.dpkg-new": "net.ipv4.ip_forward = 1"}).winner(IP_FORWARD) is None


def test_a_key_beats_a_glob_wherever_it_stands() -> None:
    found = boot(
        {
            "/etc/sysctl.d/10-a.conf": "net.ipv4.conf.cni0.forwarding = 1",
            "/etc/sysctl.d/20-b.conf": "net.ipv4.conf.*.forwarding = 0",
        }
    )

    assert where(found, "net.ipv4.conf.cni0.forwarding") == "/etc/sysctl.d/10-a.conf:1"
    assert where(found, "net.ipv4.conf.eth0.forwarding") == "/etc/sysctl.d/20-b.conf:1"


def test_a_line_with_a_dash_and_no_value_keeps_globs_away() -> None:
    found = boot({"/etc/sysctl.d/10-a.conf": "net.ipv4.conf.*.forwarding = 0\n-net.ipv4.conf.cni0.forwarding\n"})

    assert found.winner("net.ipv4.conf.cni0.forwarding") is None


def test_a_leading_dash_means_only_that_a_failure_is_ignored() -> None:
    assert where(boot({"/etc/sysctl.d/10-a.conf": "-net.ipv4.ip_forward = 1"})) == "/etc/sysctl.d/10-a.conf:1"


def test_two_names_of_one_switch_are_one_switch() -> None:
    found = boot({"/etc/sysctl.d/10-a.conf": "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.forwarding = 0\n"})

    assert where(found) == "/etc/sysctl.d/10-a.conf:2"


def test_saying_the_same_again_does_not_move_an_assignment_behind_others() -> None:
    found = boot(
        {
            "/etc/sysctl.d/10-a.conf": "net.ipv4.ip_forward = 1",
            "/etc/sysctl.d/20-b.conf": "net.ipv4.conf.all.forwarding = 0",
            "/etc/sysctl.d/30-c.conf": "net.ipv4.ip_forward = 1",
        }
    )

    assert where(found) == "/etc/sysctl.d/20-b.conf:1"
    assert found.drop_in("forwarding", *BOTH) == ("/etc/sysctl.d/99-forwarding.conf", "net.ipv4.conf.all.forwarding")


def test_a_new_file_sorts_behind_the_one_that_wins_and_takes_no_name() -> None:
    found = boot(
        {
            "/usr/lib/sysctl.d/99-ip-forward.conf": "",
            "/usr/lib/sysctl.d/zz-hardening.conf": "net.ipv4.ip_forward = 0",
        }
    )

    assert found.drop_in("ip-forward", *BOTH) == ("/etc/sysctl.d/zz-ip-forward.conf", IP_FORWARD)
    assert boot({"/usr/lib/sysctl.d/99-ip-forward.conf": "a=1"}).drop_in("ip-forward", *BOTH)[0] == (
        "/etc/sysctl.d/99-ip-forward-2.conf"
    )


def test_what_may_not_be_read_is_told() -> None:
    found = SysctlBoot.observe(
        FakeHost({"/etc/sysctl.d/99-x.conf": "net.ipv4.ip_forward = 1"}, denied={"/etc/sysctl.d/99-x.conf"})
    )

    assert found.winner(IP_FORWARD) is None
    assert "Permission denied: /etc/sysctl.d/99-x.conf" in found.unread[0]


@pytest.mark.parametrize(
    ("value", "on"), [("1", True), ("0", False), ("2", True), ("", None), ("yes", None), ("1 # why", True)]
)
def test_a_switch_is_on_by_any_number_but_0(value: str, on: bool | None) -> None:
    winner = boot({"/etc/sysctl.d/a.conf": f"net.ipv4.ip_forward = {value}"}).winner(IP_FORWARD)

    assert winner is not None
    assert winner.turns_on is on


def test_a_line_without_an_assignment_is_passed_over() -> None:
    assert (
        boot({"/etc/sysctl.d/a.conf": "net.ipv4.ip_forward\n; net.ipv4.ip_forward = 1\n= 1\n\x00\ufffd"}).settings == ()
    )


def test_a_hidden_file_is_not_read_and_hides_nothing() -> None:
    found = boot(
        {"/etc/sysctl.d/.99-k8s.conf": f"{IP_FORWARD} = 0", "/usr/lib/sysctl.d/10-k8s.conf": f"{IP_FORWARD} = 1"}
    )

    assert where(found) == "/usr/lib/sysctl.d/10-k8s.conf:1"


@pytest.mark.parametrize("blank", ["\xa0", "\x0b", "\x0c", "\u2028", "\ufeff"])
def test_what_looks_blank_and_is_none_to_systemd_belongs_to_the_name(blank: str) -> None:
    assert boot({"/etc/sysctl.d/k8s.conf": f"{blank}{IP_FORWARD} = 1"}).winner(IP_FORWARD) is None
    assert boot({"/etc/sysctl.d/k8s.conf": f" \t{IP_FORWARD}\t = 1"}).winner(IP_FORWARD) is not None


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\0"])
def test_a_line_ends_where_systemd_ends_it(end: str) -> None:
    found = boot({"/etc/sysctl.d/k8s.conf": f"# pods{end}{IP_FORWARD} = 0{end}{IP_FORWARD} = 1{end}"})

    assert where(found) == "/etc/sysctl.d/k8s.conf:3"


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [("[^d]*", True), ("[!d]*", True), ("[^a]*", False), ("a[l-m]l", True), (r"\*", False), (r"\a*", True)],
)
def test_globs_are_those_of_the_c_library(pattern: str, meant: bool) -> None:
    found = boot({"/etc/sysctl.d/k8s.conf": f"net/ipv4/conf/{pattern}/forwarding = 1"})

    assert (found.winner(*BOTH) is not None) is meant
