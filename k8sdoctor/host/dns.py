"""Asking DNS servers from one network namespace, and keeping whatever came back, from whomever.

A resolver's socket is connected, so the kernel drops a reply from another address and all that is seen is a timeout.
Here every UDP query has an unconnected socket of its own, on a fresh port: such a reply arrives, and its source is the
observation. Only queries of one `group` share a socket, as glibc asks for A and AAAA: from one port, one right after the other.

All sockets of a call are made by one thread inside the namespace, and served by one loop: a socket stays in the
namespace in which it was made, and hundreds of queries cost one thread.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

from k8sdoctor.host import own_limits, workers
from k8sdoctor.host.answers import DnsOutcome, DnsQuery, DnsReply

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dns.message

    from k8sdoctor.host.answers import DnsError
    from k8sdoctor.host.base import Json
    from k8sdoctor.host.live import LiveHost

LOADING = threading.Lock()
"""Held while dnspython is loaded: its modules name each other by the package, where a module stands a moment after other threads take it for loaded."""

LISTEN = 3.0
"""Seconds that a query listens at most."""

LINGER = 0.2
"""Seconds that it listens on after the asked address answered, to see what else comes."""

MOST_REPLIES = 8
MOST_ANSWERS = 8
LONGEST_ANSWER = 255
"""What is kept of a peer that says too much: replies a query, records a reply, characters a record."""

_DATAGRAM = 65535
_IP_RECVERR = 11  # linux/in.h; Python's socket names it from 3.14 on
_IPV6_RECVERR = 25  # linux/in6.h
_ANCILLARY = 512
_ICMP_ORIGINS = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 in linux/errqueue.h

_ERRORS: dict[int, DnsError] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.ENOPROTOOPT: "unreachable",  # an ICMP "protocol unreachable"
    errno.EADDRNOTAVAIL: "unreachable",  # no address of this family to ask from
    errno.EINVAL: "unreachable",  # a scoped address without its interface
    errno.EPERM: "forbidden",  # a netfilter rule dropped what we sent
    errno.EACCES: "forbidden",  # a route of type prohibit
    errno.EAFNOSUPPORT: "unsupported",
}


def answer(host: LiveHost, _verb: str, arguments: dict[str, Json]) -> Json:
    """Answer `dns`."""
    queries = cast("list[DnsQuery]", arguments["queries"])
    asked = questions(queries)
    outcomes = host.bounded(
        lambda: _ask_all(asked),
        "asking DNS",
        namespace=cast("str | None", arguments["netns"]),
        limit=LISTEN + host.probe_limit,
    )
    return cast("Json", outcomes)


def questions(queries: Sequence[DnsQuery]) -> list[Question]:
    """Queries that are still to be sent, in their order."""
    groups: dict[tuple[str, int, int], list[_Udp]] = {}
    made: list[Question] = []
    for query in queries:
        if query["transport"] == "tcp":
            made.append(_Tcp(query))
            continue
        one = _Udp(query)
        made.append(one)
        if "group" in query:
            one.company = groups.setdefault((query["server"], query["port"], query["group"]), [])
            one.company.append(one)
    return made


def _ask_all(asked: Sequence[Question]) -> list[DnsOutcome]:
    with selectors.DefaultSelector() as selector:
        try:
            for one in asked:
                one.start(selector)
            while waiting := [one.ends for one in asked if not one.done]:
                now = time.monotonic()
                for key in ready_within(min(waiting) - now, selector):
                    cast("Question", key.data).serve(selector)
                # Each is looked at once more when its time is over: what came while this thread did not run is no silence.
                for one in asked:
                    if not one.done and one.ends <= now:
                        one.finish(selector)
        finally:
            for one in asked:
                one.finish(selector)
    return [one.outcome() for one in asked]


def ready_within(seconds: float, selector: selectors.BaseSelector) -> list[selectors.SelectorKey]:
    """Those to whom something has come, waited for where nothing has; without seconds to wait, those to whom it has come by now."""
    if seconds <= 0:
        return [key for key, _ in selector.select(0)]
    with workers.waiting():
        return [key for key, _ in selector.select(seconds)]


class Question(ABC):
    """What UDP and TCP have in common: the message, the clock, and what came back."""

    kind = socket.SOCK_DGRAM

    def __init__(self, query: DnsQuery) -> None:
        """Make the message; nothing is sent yet."""
        with LOADING:
            import dns.edns
            import dns.exception
            import dns.flags
            import dns.message
            import dns.rcode

        self.query = query
        self.replies: list[DnsReply] = []
        self.dropped = 0
        self.error: DnsError | None = None
        self.offender: str | None = None
        self.started = self.ends = self.finished = 0.0
        self.done = False
        self._socket: socket.socket | None = None
        try:
            self._server = _plain(query["server"])
        except ValueError:
            self.error, self.done = "not-an-address", True
            return
        try:
            self._message = dns.message.make_query(query["name"], query["type"])
            if padding := query.get("padding"):
                self._message.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(padding))])
            self._wire = self._message.to_wire(max_size=_DATAGRAM)
        except (dns.exception.DNSException, ValueError):
            self.error, self.done = "not-a-name", True

    def start(self, selector: selectors.BaseSelector) -> None:
        """Send, without waiting for anything; the clock starts here."""
        self.started = time.monotonic()
        self.ends = self.started + LISTEN
        if self.done:
            return
        try:
            family = socket.AF_INET6 if ":" in self._server else socket.AF_INET
            self._socket = made = self._make(family)
            numeric = socket.getaddrinfo(
                self.query["server"], self.query["port"], family=family, type=self.kind, flags=socket.AI_NUMERICHOST
            )
            self._send(made, numeric[0][4], selector)
        except OSError as error:
            self._fail(error, selector)

    def _make(self, family: socket.AddressFamily) -> socket.socket:
        made = socket.socket(family, self.kind)
        made.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        return made

    @abstractmethod
    def _send(self, made: socket.socket, target: Any, selector: selectors.BaseSelector) -> None:
        """Begin to ask, without waiting, and have `serve` called when something comes."""

    @abstractmethod
    def serve(self, selector: selectors.BaseSelector) -> None:
        """Take what came."""

    def _fail(self, error: OSError, selector: selectors.BaseSelector) -> None:
        own_limits.hold(error)
        self.error = _ERRORS.get(error.errno or 0, "failed")
        self.finish(selector)

    def _linger(self) -> None:
        self.ends = min(self.ends, time.monotonic() + LINGER)

    def _keep(self, data: bytes, source: str, port: int) -> bool:
        """Keep a reply. True when it is the asked server's answer to this question."""
        reply = _read_reply(data, self._message)
        reply["source"] = plain = _plain(source)
        reply["port"] = port
        reply["seconds"] = _rounded(time.monotonic() - self.started)
        if len(self.replies) < MOST_REPLIES:
            self.replies.append(reply)
        else:
            self.dropped += 1
            if reply["matches"]:  # an answer is never crowded out by noise
                noise = next((kept for kept in reversed(self.replies) if not kept["matches"]), None)
                if noise is not None:
                    self.replies.remove(noise)
                    self.replies.append(reply)
        return reply["matches"] and (plain, port) == (self._server, self.query["port"])

    def finish(self, selector: selectors.BaseSelector) -> None:
        """Stop listening."""
        if self.done:
            return
        self.done = True
        self.finished = time.monotonic()
        if self._socket is not None:
            if self._socket in selector.get_map():
                selector.unregister(self._socket)
            self._socket.close()

    def outcome(self) -> DnsOutcome:
        """All that the query met."""
        return DnsOutcome(
            query=self.query,
            replies=self.replies,
            dropped=self.dropped,
            error=self.error,
            offender=self.offender,
            seconds=_rounded(self.finished - self.started),
        )


class _Udp(Question):
    """A query in one datagram. Those of its `company` share the socket of whoever was sent first, and listen equally long."""

    def __init__(self, query: DnsQuery) -> None:
        """Make the message; nothing is sent yet."""
        super().__init__(query)
        self.company = [self]
        self._leader = self
        self._answered = False

    def _make(self, family: socket.AddressFamily) -> socket.socket:
        for one in self.company:
            if one._socket is not None and not one.done:  # noqa: SLF001 -- of the same class
                self._leader, self.ends = one, one.ends
                return one._socket  # noqa: SLF001
        made = super()._make(family)
        # An unconnected socket is told of ICMP errors only when it asks to be (ip(7), IP_RECVERR).
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            made.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        return made

    def _send(self, made: socket.socket, target: Any, selector: selectors.BaseSelector) -> None:
        made.sendto(self._wire, target)
        if self._leader is self:
            selector.register(made, selectors.EVENT_READ, self)

    def serve(self, selector: selectors.BaseSelector) -> None:  # noqa: ARG002 -- TCP needs it
        """Take what came for any of the company: datagrams, or an ICMP error."""
        made = cast("socket.socket", self._socket)
        for _ in range(MOST_REPLIES):  # a flood must not keep the others from being served
            try:
                data, (source, port, *_rest) = made.recvfrom(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:  # the pending error of an ICMP message; what else comes is still listened for
                self._refuse(error.errno or 0)
                break
            meant = next((one for one in self.company if one.is_answer(data)), self)  # noise is the first one's
            if meant._keep(data, source, port):  # noqa: SLF001 -- of the same class
                meant._answered = True  # noqa: SLF001
                self._settle()
        self._drain_errors(made)

    def is_answer(self, data: bytes) -> bool:
        """Whether a message of several that share a socket is for this query."""
        if len(self.company) == 1 or self.done or data[:2] != self._wire[:2]:  # the id comes first (RFC 1035, 4.1.1)
            return False
        return _read_reply(data, self._message)["matches"]

    def _settle(self) -> None:
        """Listen for a moment longer, once each of the company has its answer."""
        if all(one._answered or one.done for one in self.company):  # noqa: SLF001 -- of the same class
            for one in self.company:
                one._linger()  # noqa: SLF001

    def _refuse(self, number: int, offender: str | None = None) -> None:
        """Note what an ICMP message says. Of several queries it does not tell which was refused: the others' answers may still come."""
        for one in self.company:
            if not one._answered:  # noqa: SLF001 -- of the same class
                one.error = _ERRORS.get(number, "failed")
                one.offender = offender or one.offender
        if len(self.company) == 1:
            self._linger()

    def finish(self, selector: selectors.BaseSelector) -> None:
        """Stop listening; the socket is closed by whose it is."""
        if self._leader is not self:
            self._socket = None
        super().finish(selector)

    def _drain_errors(self, made: socket.socket) -> None:
        """Empty the socket's error queue, for its entries say who refused."""
        for _ in range(MOST_REPLIES):
            try:
                _, ancillary, _, _ = made.recvmsg(0, _ANCILLARY, socket.MSG_ERRQUEUE)
            except OSError:
                return
            for _level, _kind, data in ancillary:
                number, origin, offender = _extended_error(data)
                if origin in _ICMP_ORIGINS:
                    self._refuse(number, offender)


class _Tcp(Question):
    """A query over a connection, framed by two bytes of length (RFC 1035, 4.2.2)."""

    kind = socket.SOCK_STREAM

    def _send(self, made: socket.socket, target: Any, selector: selectors.BaseSelector) -> None:
        self._to_send = struct.pack("!H", len(self._wire)) + self._wire
        self._received = b""
        self._connected = False
        number = made.connect_ex(target)
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, "")
        selector.register(made, selectors.EVENT_WRITE, self)

    def serve(self, selector: selectors.BaseSelector) -> None:
        """Go on where the connection stands."""
        made = cast("socket.socket", self._socket)
        try:
            if not self._connected:
                number = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if number:
                    self._fail(OSError(number, ""), selector)
                    return
                self._connected = True
            if self._to_send:
                self._to_send = self._to_send[made.send(self._to_send) :]
                if not self._to_send:
                    selector.modify(made, selectors.EVENT_READ, self)
                return
            chunk = made.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error, selector)
            return
        if not chunk:
            self.error = "closed"
            self.finish(selector)
            return
        self._received += chunk
        self._take_messages(selector)

    def _take_messages(self, selector: selectors.BaseSelector) -> None:
        while len(self._received) >= 2:  # noqa: PLR2004 -- the two bytes of length
            (length,) = struct.unpack_from("!H", self._received)
            if len(self._received) < 2 + length:
                return
            message, self._received = self._received[2 : 2 + length], self._received[2 + length :]
            if self._keep(message, self._server, self.query["port"]):
                self.finish(selector)  # a connection has one peer, so nothing else can come from elsewhere
                return
            if len(self.replies) == MOST_REPLIES:  # who says so much else will not answer
                self.finish(selector)
                return


def _read_reply(data: bytes, asked: dns.message.Message) -> DnsReply:
    """What a message says; what cannot be parsed, or answers another question, does not match."""
    import dns.flags
    import dns.message  # whoever asked has loaded them
    import dns.rcode

    reply = DnsReply(source="", port=0, seconds=0.0, matches=False, rcode="", truncated=False, answers=[])
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
        reply["matches"] = asked.is_response(message)
        reply["rcode"] = dns.rcode.to_text(message.rcode())
        reply["truncated"] = bool(message.flags & dns.flags.TC)
        records = (record.to_text() for rrset in message.answer for record in rrset)
        reply["answers"] = [text[:LONGEST_ANSWER] for text, _ in zip(records, range(MOST_ANSWERS), strict=False)]
    except Exception as error:  # noqa: BLE001 -- a stranger's bytes: whatever the parser trips over, this is no answer
        own_limits.hold(error)  # it loads a module for each type of record, and may find no file descriptor left
        reply["matches"] = False
    return reply


def _extended_error(data: bytes) -> tuple[int, int, str | None]:
    """Number, origin and sender of a `struct sock_extended_err` with its `sockaddr` (linux/errqueue.h)."""
    number, origin, _type, _code, _pad, _info, _data = struct.unpack_from("=IBBBBII", data)
    address = data[16:]
    family = struct.unpack_from("=H", address)[0] if len(address) >= 2 else 0  # noqa: PLR2004 -- its first field
    if family == socket.AF_INET and len(address) >= 8:  # noqa: PLR2004
        return number, origin, socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:  # noqa: PLR2004
        return number, origin, socket.inet_ntop(socket.AF_INET6, address[8:24])
    return number, origin, None


def _plain(address: str) -> str:
    """An address in its canonical text, without a scope."""
    return str(ip_address(address.partition("%")[0]))


def _rounded(seconds: float) -> float:
    return round(seconds, 4)
