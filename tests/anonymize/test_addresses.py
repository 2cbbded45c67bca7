"""Stand-ins of addresses keep subnets, kinds and order, and are never an address that was there."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k8sdoctor.anonymize.addresses import KINDS, Address, Addresses

KEYS = st.binary(min_size=32, max_size=32)
FOUR = st.one_of(st.integers(0, 2**32 - 1), st.integers(0x0A000000, 0x0AFFFFFF), st.integers(0xC0A80000, 0xC0A8FFFF))
SIX = st.one_of(
    st.integers(0, 2**128 - 1),
    st.integers(0xFD << 120, (0xFE << 120) - 1),
    st.integers(0x2A01 << 112, (0x2A02 << 112) - 1),
)
SEEN = st.one_of(
    st.lists(FOUR.map(IPv4Address), min_size=2, max_size=12), st.lists(SIX.map(IPv6Address), min_size=2, max_size=12)
)


def stand_ins(seen: list[Address], key: bytes = b"k" * 32, networks: tuple[str, ...] = ()) -> Addresses:
    addresses = Addresses(key)
    for each in seen:
        addresses.see(each)
    for network in networks:
        addresses.see_network(ip_network(network))
    return addresses


def of(text: str, *networks: str) -> str:
    return str(stand_ins([ip_address(text)], networks=networks).of(ip_address(text)))


def shared(one: Address, other: Address) -> int:
    """How many leading bits two addresses share."""
    return one.max_prefixlen - (int(one) ^ int(other)).bit_length()


@given(SEEN, KEYS)
@settings(max_examples=60, deadline=None)
def test_two_addresses_share_as_many_leading_bits_as_before_and_keep_their_order(
    seen: list[Address], key: bytes
) -> None:
    found = stand_ins(seen, key)

    for one in seen:
        for other in seen:
            assert shared(found.of(one), found.of(other)) == shared(one, other)
            assert (int(found.of(one)) < int(found.of(other))) == (int(one) < int(other))


@given(SEEN, st.integers(8, 126), KEYS)
@settings(max_examples=60, deadline=None)
def test_what_is_in_a_subnet_stays_in_it(seen: list[Address], length: int, key: bytes) -> None:
    network = ip_interface(f"{seen[0]}/{min(length, seen[0].max_prefixlen)}").network
    found = stand_ins(seen, key, (str(network),))
    mapped = ip_network(f"{found.network_of(network.network_address, network.prefixlen)}/{network.prefixlen}")

    assert [found.of(each) in mapped for each in seen] == [each in network for each in seen]


@given(SEEN, KEYS)
@settings(max_examples=60, deadline=None)
def test_an_address_stays_of_its_kind(seen: list[Address], key: bytes) -> None:
    found = stand_ins(seen, key)

    for each in seen:
        new = found.of(each)
        assert [each in kind for kind in KINDS] == [new in kind for kind in KINDS]
        for told in ("is_private", "is_global", "is_loopback", "is_link_local", "is_multicast", "is_unspecified"):
            assert getattr(new, told) == getattr(each, told), told


@given(st.lists(st.integers(0x0A000000, 0x0AFFFFFF).map(IPv4Address), min_size=1, max_size=12), KEYS)
@settings(max_examples=60, deadline=None)
def test_no_stand_in_is_an_address_that_was_seen(seen: list[Address], key: bytes) -> None:
    found = stand_ins(seen, key)
    # Where the addresses part at every bit, none is free to turn; so few as these leave some.
    for each in seen:
        if not found.is_everywhere(each):
            assert found.of(each) not in seen


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "0.0.0.0", "255.255.255.0", "224.0.0.1", "::", "::1", "ff02::1"),
        *("10.96.0.1", "10.96.0.10", "169.254.20.10", "169.254.25.10", "169.254.169.254", "1.2.3.4", "8.8.8.8"),
    ],
)
def test_what_every_node_has_stays(text: str) -> None:
    assert of(text) == text


@pytest.mark.parametrize(
    "text", ["10.27.53.32", "192.168.7.9", "172.20.3.4", "100.64.9.9", "51.15.3.4", "2a01:4f8:1:2::10"]
)
def test_what_is_of_this_node_does_not_stay(text: str) -> None:
    assert of(text) != text


def test_the_default_subnets_stay_where_the_node_has_them_and_only_there() -> None:
    assert of("10.244.3.7", "10.244.0.0/16") == "10.244.3.7"
    assert of("10.244.3.7") != "10.244.3.7"


def test_the_last_number_of_an_address_stays_and_so_does_the_place_of_a_service_in_its_range() -> None:
    seen: list[Address] = [ip_address(each) for each in ("10.27.0.1", "10.27.0.10", "10.27.255.255", "10.30.1.255")]
    found = stand_ins(seen, networks=("10.27.0.0/16", "10.30.1.0/24"))
    services = found.network_of(ip_address("10.27.0.0"), 16)

    assert [int(found.of(each)) - int(services) for each in seen[:2]] == [1, 10]
    assert int(found.of(seen[3])) & 255 == 255


def test_an_ipv4_address_within_an_ipv6_one_is_mapped_as_itself() -> None:
    found = stand_ins([ip_address("10.27.53.32")])
    inner = found.of(ip_address("::ffff:10.27.53.32"))

    assert isinstance(inner, IPv6Address)
    assert inner.ipv4_mapped == found.of(ip_address("10.27.53.32"))


def test_another_key_gives_other_addresses() -> None:
    address = ip_address("10.27.53.32")

    assert len({stand_ins([address], bytes([number]) * 32).of(address) for number in range(8)}) > 1
