"""Stand-ins for addresses that keep what arithmetic asks of them.

Two addresses share as many leading bits after as before, so what was in a subnet is in it still. An address keeps its kind (private, public,
link-local, of documentation, …), IPv4 keeps its last eight bits, and addresses keep their order.

Each bit of an address is kept or turned over, and which of the two is decided by the bits before it alone (Xu, Fan, Ammar, Moon: "Prefix-preserving IP address
anonymization", 2002). Here a bit may be turned where the addresses that were seen do not part at it, which keeps their order. The first
bit that may be turned always is, so no stand-in is an address that was seen.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"

# An address stays within the smallest of these that holds it (IANA's registries of special-purpose addresses; 100.64.0.0/10 is RFC 6598's).
KINDS: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15"),
            *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24"),
            *(
                "fc00::/8",
                "fd00::/8",
                "fe80::/10",
                "fe80::/64",
                "fec0::/10",
                "2000::/3",
                "2001::/32",
                "2001:db8::/32",
                "2002::/16",
            ),
            *("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0/96"),
        ),
    )
)

# These mean the same everywhere: this host, multicast, netmasks, and addresses without a meaning of their own.
EVERYWHERE: tuple[Network, ...] = tuple(
    map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "192.0.0.0/24", "224.0.0.0/3", "::/95", "ff00::/8"))
)

# Addresses that programs come with: kubeadm's service `kubernetes`, its DNS and the placeholder of its printed defaults; NodeLocal DNSCache as
# its own documentation and as kubespray have it; clouds' metadata; public resolvers.
KNOWN: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("10.96.0.1", "10.96.0.10", "1.2.3.4", "169.254.20.10", "169.254.25.10", "169.254.169.254"),
            *("168.63.129.16", "8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"),
            *("2001:4860:4860::8888", "2001:4860:4860::8844", "2606:4700:4700::1111", "2606:4700:4700::1001"),
        ),
    )
)

# Subnets that programs come with, where the node has exactly these: kubeadm, kind, flannel, Weave, k3s, kubespray, Docker, CRI-O, Podman.
DEFAULTS: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("10.96.0.0/12", "10.96.0.0/16", "10.244.0.0/16", "10.32.0.0/12", "10.42.0.0/16", "10.43.0.0/16"),
            *("10.233.0.0/18", "10.233.64.0/18", "172.17.0.0/16", "10.85.0.0/16", "10.88.0.0/16"),
            *("fd00:10:96::/112", "fd00:10:244::/56"),
        ),
    )
)

_EMBEDDING = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))  # their last 32 bits are an IPv4 address
_HOST_BITS = 24
"""Behind these many, bits of an IPv4 address are kept: hosts, the first address, the broadcast."""


class Addresses:
    """The stand-ins of one recording's addresses. First all are seen, then they are mapped."""

    def __init__(self, key: bytes) -> None:
        """Nothing was seen; `key` decides which bits are turned."""
        self._key = key
        self._seen: set[Address] = set()
        self._networks: set[Network] = set()
        self._stays: set[Network] = set()
        self._maps: dict[int, _Bits] = {}
        self._known: dict[Address, Address] = {}

    def see(self, address: Address) -> None:
        """Note an address."""
        self._seen.add(address)

    def see_network(self, network: Network, *, services: bool = False) -> None:
        """Note a subnet; of one for services, the addresses are counted from its start."""
        self._seen.add(network.network_address)
        if network in DEFAULTS:
            self._stays.add(network)
        # Whoever names all private addresses, as in NO_PROXY, means no subnet.
        if network.prefixlen and (services or network not in KINDS):
            self._networks.add(network)

    def saw(self, address: Address) -> bool:
        """Whether an address was seen."""
        return address in self._seen

    def is_everywhere(self, address: Address) -> bool:
        """Whether an address tells nothing of the node it was seen on."""
        return any(address in network for network in (*EVERYWHERE, *KNOWN, *self._stays))

    def of(self, address: Address) -> Address:
        """The stand-in of an address."""
        if address not in self._known:
            self._known[address] = self._mapped(address)
        return self._known[address]

    def network_of(self, address: Address, length: int) -> Address:
        """The stand-in of what stands before `/length`: as its subnet's, where it has no bits of a host."""
        whole = int(address)
        host = (1 << (address.max_prefixlen - min(length, address.max_prefixlen))) - 1
        mapped = self.of(address)
        return mapped if whole & host else type(address)(int(mapped) & ~host)

    def _mapped(self, address: Address) -> Address:
        if isinstance(address, IPv6Address):
            for network in _EMBEDDING:
                if address in network:
                    inner = self.of(IPv4Address(int(address) & 0xFFFFFFFF))
                    return IPv6Address(int(network.network_address) | int(inner))
        return type(address)(self._bits(address.version).of(int(address)))

    def _bits(self, version: int) -> _Bits:
        if version not in self._maps:
            known = {network for network in KNOWN if network.network_address in self._seen}
            stays = [each for each in (*EVERYWHERE, *known, *self._stays) if each.version == version]
            self._maps[version] = _Bits(
                self._key,
                version,
                sorted(int(each) for each in self._seen if each.version == version),
                [each for each in self._networks if each.version == version],
                stays,
            )
        return self._maps[version]


class _Bits:
    """Which bits of the addresses of one family are turned."""

    def __init__(
        self, key: bytes, version: int, seen: list[int], networks: list[Network], stays: list[Network]
    ) -> None:
        self._key = key
        self._version = version
        self._size = 32 if version == 4 else 128  # noqa: PLR2004 -- the family
        self._seen = seen
        self._kinds = [(int(each.network_address), each.prefixlen) for each in KINDS if each.version == version]
        self._networks: dict[int, int] = {}  # the shortest length by the first address
        for each in networks:
            start = int(each.network_address)
            self._networks[start] = min(each.prefixlen, self._networks.get(start, self._size))
        self._starts = sorted(self._networks)
        self._stays = [(int(each.network_address), int(each.broadcast_address)) for each in stays]
        self._turns: dict[tuple[int, int], tuple[bool, bool]] = {}

    def of(self, address: int) -> int:
        mapped, turned = address, False
        for depth in range(self._size):
            low = address >> (self._size - depth) << (self._size - depth)
            if (low, depth) not in self._turns:
                self._turns[low, depth] = self._may_turn(low, depth), self._toss(low, depth)
            may_turn, toss = self._turns[low, depth]
            if may_turn and (toss or not turned):
                mapped ^= 1 << (self._size - 1 - depth)
            turned |= may_turn
        return mapped

    def _toss(self, low: int, depth: int) -> bool:
        text = f"{self._version} {depth} {low}".encode()
        return bool(blake2b(text, key=self._key, digest_size=1).digest()[0] & 1)

    def _may_turn(self, low: int, depth: int) -> bool:
        """Whether the bit behind the first `depth` bits of `low` may be turned. What is decided must follow from these bits alone."""
        high = low | ((1 << (self._size - depth)) - 1)
        if self._version == 4:  # noqa: PLR2004 -- the family
            if depth >= _HOST_BITS:
                return False
        elif depth >= 64 and not low & ((1 << 64) - 1) >> 32 << 32:  # noqa: PLR2004 -- interface numbers that were counted, such as ::1
            return False
        if any(start <= high and low <= end for start, end in self._stays):
            return False
        # The way to a kind is kept up to its length, and the way to a subnet's first address from the subnet's length on.
        if any(low <= start <= high and depth < length for start, length in self._kinds):
            return False
        if any(depth >= self._networks[start] for start in self._within(self._starts, low, high)):
            return False
        middle = low | (1 << (self._size - 1 - depth))
        return not (self._within(self._seen, low, middle - 1) and self._within(self._seen, middle, high))

    @staticmethod
    def _within(numbers: list[int], low: int, high: int) -> list[int]:
        """Those of sorted numbers that lie in a range."""
        return numbers[bisect_left(numbers, low) : bisect_right(numbers, high)]
