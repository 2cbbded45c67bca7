"""The distribution, from the os-release files that they ship."""

from __future__ import annotations

import pytest

from k8sdoctor.facts.distribution import Distribution
from k8sdoctor.testing import FakeHost

# The fields that matter of /etc/os-release as installed by each distribution.
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nID_LIKE=debian\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPRETTY_NAME="Rocky Linux 9.4 (Blue Onyx)"\n'
AMAZON = 'NAME="Amazon Linux"\nID="amzn"\nID_LIKE="fedora"\n'
LEAP = 'NAME="openSUSE Leap"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
SLES = 'NAME="SLES"\nID="sles"\nID_LIKE="suse"\n'
FLATCAR = 'NAME="Flatcar Container Linux by Kinvolk"\nID=flatcar\nID_LIKE=coreos\n'
ALPINE = "NAME='Alpine Linux'\nID=alpine\n"


@pytest.mark.parametrize(
    ("text", "family"),
    [
        (DEBIAN, "debian"),
        (UBUNTU, "debian"),
        (ROCKY, "rhel"),
        (AMAZON, "rhel"),
        (LEAP, "suse"),
        (SLES, "suse"),
        (FLATCAR, "flatcar"),
        (ALPINE, "other"),
        ("", "other"),
        ("\x00\x01 not = a 'file", "other"),
    ],
)
def test_a_distribution_is_known_by_its_id_or_by_what_it_is_like(text: str, family: str) -> None:
    assert Distribution.observe(FakeHost({"/etc/os-release": text})).family == family


def test_the_vendor_s_file_counts_where_etc_has_none() -> None:
    assert Distribution.observe(FakeHost({"/usr/lib/os-release": DEBIAN})).id == "debian"


def test_a_machine_without_os_release_is_another_linux() -> None:
    found = Distribution.observe(FakeHost())

    assert (found.family, found.pretty_name) == ("other", "an unknown Linux")


def test_each_family_has_its_own_trust_store() -> None:
    hosts = [FakeHost({"/etc/os-release": text}) for text in (DEBIAN, ROCKY, LEAP, FLATCAR)]

    assert len({Distribution.observe(host).trust_folder for host in hosts}) == 4
