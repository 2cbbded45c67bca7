"""Links, addresses and routes of a network namespace, by netlink.

pyroute2 knows the messages; the exchange itself is a dump request and a loop of `recv`. Importing the whole of pyroute2
costs 0.12 s and 21 MB (its database, ipvsadm, nl80211, …), its three message classes 0.03 s and 3 MB: see `_messages`.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host import light
from k8sdoctor.host.answers import Netlink
from k8sdoctor.host.base import HostError, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from k8sdoctor.host.live import LiveHost

# linux/netlink.h, linux/rtnetlink.h, linux/if.h
_NLM_F_REQUEST = 0x001
_NLM_F_DUMP = 0x300
_NLM_F_DUMP_INTR = 0x10
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_RTM_GETLINK = 18
_RTM_GETADDR = 22
_RTM_GETROUTE = 26
_IFLA_EXT_MASK = 29
_RTEXT_FILTER_SKIP_STATS = 1 << 3
_IFF_UP = 1
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port

_BUFFER = 1 << 16  # the kernel fills at most 32 KiB at once
_ATTEMPTS = 5
"""How often a dump is asked for again when the tables changed meanwhile (NLM_F_DUMP_INTR) or outran the buffer."""

_ROUTE_TYPES = (
    *("unspecified", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"),
    *("throw", "nat", "xresolve"),
)
_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}
_ANY = {4: "0.0.0.0/0", 6: "::/0"}


def answer(host: LiveHost, verb: str, arguments: dict[str, Json]) -> Json:  # noqa: ARG001 -- one verb, one shape
    """Dump what `what` says, in the namespace at path `netns` or in the node's."""
    what, namespace = cast("str", arguments["what"]), cast("str | None", arguments["netns"])
    decode = _messages(what)  # imported outside the time limit: it is our own cost
    where = f" in {namespace}" if namespace else ""
    found = host.bounded(lambda: _dump(what, decode), f"asking netlink for {what}{where}", namespace=namespace)
    return cast("Json", found)


def _dump(what: str, decode: Callable[[bytes], Any]) -> list[Netlink]:
    request, translate = _KINDS[what]
    for _ in range(_ATTEMPTS):
        try:
            return [entry for message in _exchange(request) for entry in translate(decode(message))]
        except InterruptedError:
            continue
        except PermissionError:
            raise HostError("NotPermitted", f"the kernel does not let this process ask for {what} by netlink") from None
        except OSError as error:
            if error.errno == errno.ENOBUFS:  # more came than the socket holds
                continue
            words = os.strerror(error.errno or 0)
            raise HostError("Unreadable", f"asking for {what} by netlink failed: {words}") from None
    raise HostError("Unreadable", f"{what} changed faster than they could be read, {_ATTEMPTS} times over")


def _exchange(request: bytes) -> list[bytes]:
    """The messages of one dump. Raises InterruptedError when the tables changed meanwhile, OSError for a refusal."""
    messages: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asked:
        asked.send(request)
        while True:
            for kind, flags, message in _split(asked.recv(_BUFFER)):
                if flags & _NLM_F_DUMP_INTR:
                    raise InterruptedError
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message, _HEADER.size)[0]
                    raise OSError(number, os.strerror(number))
                if kind == _NLMSG_DONE:
                    return messages
                messages.append(message)


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, flags, data[offset : offset + length]
        offset += (length + 3) & ~3


def _request(kind: int, payload: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(payload), kind, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + payload


# -- from messages to entries ----------------------------------------------------------------------------------------


def _link(message: Any) -> Iterator[Netlink]:
    """One link, with what its kind (a bridge's switches) and its master (a bridge port's switches) say of it."""
    entry = Netlink(index=message["index"], up=bool(message["flags"] & _IFF_UP))
    _take(entry, "name", message.get_attr("IFLA_IFNAME"))
    _take(entry, "mtu", message.get_attr("IFLA_MTU"))
    _take(entry, "mac", message.get_attr("IFLA_ADDRESS"))
    _take(entry, "master", message.get_attr("IFLA_MASTER"))
    _take(entry, "link", message.get_attr("IFLA_LINK"))
    _take(entry, "link_netnsid", message.get_attr("IFLA_LINK_NETNSID"))
    info = message.get_attr("IFLA_LINKINFO")
    if info is not None:
        _take(entry, "kind", info.get_attr("IFLA_INFO_KIND"))
        data, port = info.get_attr("IFLA_INFO_DATA"), info.get_attr("IFLA_INFO_SLAVE_DATA")
        if entry.get("kind") == "vxlan" and hasattr(data, "get_attr"):
            _take(entry, "link", data.get_attr("IFLA_VXLAN_LINK"))
        if entry.get("kind") == "bridge" and hasattr(data, "get_attr"):
            _switch(entry, "nf_call_iptables", data.get_attr("IFLA_BR_NF_CALL_IPTABLES"))
            _switch(entry, "nf_call_ip6tables", data.get_attr("IFLA_BR_NF_CALL_IP6TABLES"))
        if info.get_attr("IFLA_INFO_SLAVE_KIND") == "bridge" and hasattr(port, "get_attr"):
            _switch(entry, "isolated", port.get_attr("IFLA_BRPORT_ISOLATED"))
            _switch(entry, "hairpin", port.get_attr("IFLA_BRPORT_MODE"))
    yield entry


def _address(message: Any) -> Iterator[Netlink]:
    family = _FAMILIES.get(message["family"])
    # On a link with a peer address, IFA_ADDRESS is the peer's and IFA_LOCAL one's own (IPv4, and IPv6 with a peer).
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if family is not None and address is not None:
        yield Netlink(
            index=message["index"],
            address=address,
            prefix=message["prefixlen"],
            family=family,
            scope=_SCOPES.get(message["scope"], str(message["scope"])),
        )


_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}


def _route(message: Any) -> Iterator[Netlink]:
    """One route; one entry for each next hop where there are several."""
    family = _FAMILIES.get(message["family"])
    if family is None:  # multicast routing tables
        return
    destination = message.get_attr("RTA_DST")
    entry = Netlink(
        family=family,
        destination=f"{destination}/{message['dst_len']}" if destination else _ANY[family],
        table=message.get_attr("RTA_TABLE") or message["table"],
        type=_ROUTE_TYPES[message["type"]] if message["type"] < len(_ROUTE_TYPES) else str(message["type"]),
    )
    hops = message.get_attr("RTA_MULTIPATH")
    if not hops:
        yield _through(entry, message, message.get_attr("RTA_OIF"))
        return
    for hop in hops:
        yield _through(cast("Netlink", dict(entry)), hop, hop["oif"])


def _through(entry: Netlink, message: Any, interface: int | None) -> Netlink:
    via = message.get_attr("RTA_VIA")  # an IPv4 route by an IPv6 gateway
    _take(entry, "gateway", message.get_attr("RTA_GATEWAY") or (via or {}).get("addr"))
    _take(entry, "oif", interface)
    return entry


def _take(entry: Netlink, key: str, value: object) -> None:
    if value is not None:
        cast("dict[str, object]", entry)[key] = value


def _switch(entry: Netlink, key: str, value: int | None) -> None:
    if value is not None:
        cast("dict[str, object]", entry)[key] = bool(value)


_KINDS: dict[str, tuple[bytes, Callable[[Any], Iterator[Netlink]]]] = {
    # struct ifinfomsg; statistics are of no use here and are most of the answer
    "links": (
        _request(_RTM_GETLINK, bytes(16) + struct.pack("=HHI", 8, _IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)),
        _link,
    ),
    "addresses": (_request(_RTM_GETADDR, bytes(8)), _address),  # struct ifaddrmsg
    "routes": (_request(_RTM_GETROUTE, bytes(12)), _route),  # struct rtmsg
}

_CLASSES = {"links": "ifinfmsg", "addresses": "ifaddrmsg", "routes": "rtmsg"}


def _messages(what: str) -> Callable[[bytes], Any]:
    """A function that decodes a message of a dump."""
    name = _CLASSES[what]
    message_class = getattr(light.module(f"pyroute2.netlink.rtnl.{name}", "pyroute2"), name)

    def decode(data: bytes) -> Any:
        message = message_class(data)
        message.decode()
        return message

    return decode
