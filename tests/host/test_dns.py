"""The `dns` verb against real servers on loopback addresses."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from k8sdoctor.host import dns as verb
from k8sdoctor.host import workers
from k8sdoctor.host.answers import DnsQuery
from k8sdoctor.host.base import HostError
from k8sdoctor.host.live import LiveHost
from tests.host.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "kubernetes.default.svc.example.test."
WATCHDOG = 60.0


def answer_of(wire: bytes, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    query = dns.message.from_wire(wire)
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    if rcode == dns.rcode.NOERROR:
        response.answer.append(dns.rrset.from_text(NAME, 30, "IN", "A", "10.96.0.1"))
    return response.to_wire()


def test_the_library_is_loaded_by_one_thread_at_a_time() -> None:
    query: DnsQuery = {"server": "127.0.0.1", "port": 53, "name": NAME, "type": "A", "transport": "udp", "attempt": 1}
    asked: list[verb.Question] = []
    thread = threading.Thread(target=lambda: asked.extend(verb.questions([query])))

    with verb.LOADING:
        thread.start()
        thread.join(0.05)  # no time is enough to get past another thread
        assert not asked
    thread.join()

    assert len(asked) == 1


@contextmanager
def udp_server(
    reply: Callable[[bytes], list[bytes]],
    *,
    at: str = "127.0.0.1",
    source: str | None = None,
    told: threading.Event | None = None,
) -> Iterator[int]:
    """A server that sends what `reply` makes of a query, from the address asked or from another one, and sets `told` when it has."""
    family = socket.AF_INET6 if ":" in at else socket.AF_INET
    server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((at, 0))
    elsewhere = socket.socket(family, socket.SOCK_DGRAM) if source else None
    if elsewhere:
        elsewhere.bind((source, server.getsockname()[1]))

    def serve() -> None:
        while True:
            data, client = server.recvfrom(65535)
            if not data:
                return
            for message in reply(data):
                (elsewhere or server).sendto(message, client)
            if told is not None:
                told.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        with socket.socket(family, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", server.getsockname())
        thread.join(5)
        server.close()
        if elsewhere:
            elsewhere.close()


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does with its first connection what `serve` says."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        connection, _ = server.accept()
        with connection:
            serve(connection)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        thread.join(5)
        server.close()


def read_framed(connection: socket.socket) -> bytes:
    (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
    return connection.recv(length, socket.MSG_WAITALL)


def query(
    port: int, *, server: str = "127.0.0.1", transport: Literal["udp", "tcp"] = "udp", attempt: int = 0
) -> DnsQuery:
    return DnsQuery(server=server, port=port, transport=transport, name=NAME, type="A", attempt=attempt)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer ends the listening, however late a busy machine lets it come."""
    monkeypatch.setattr(verb, "LISTEN", WATCHDOG)


@pytest.fixture
def short_listening(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For who listens to the end, since an answer does not come, or not from where it was asked for."""
    monkeypatch.setattr(verb, "LISTEN", 1.5)


to_the_end = pytest.mark.usefixtures("short_listening")


def test_an_answer_from_the_asked_address_is_kept_with_its_source_and_records() -> None:
    with udp_server(lambda wire: [answer_of(wire)]) as port:
        [outcome] = LiveHost().dns([query(port)])

    [reply] = outcome["replies"]
    assert reply["matches"]
    assert (reply["source"], reply["port"], reply["rcode"]) == ("127.0.0.1", port, "NOERROR")
    assert reply["answers"] == ["10.96.0.1"]
    assert outcome["error"] is None


@to_the_end
def test_an_answer_that_we_cannot_read_for_want_of_files_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    good = answer_of(dns.message.make_query(NAME, "A").to_wire())
    with udp_server(lambda wire: [wire[:2] + good[2:]]) as port:
        asked = query(port)
        monkeypatch.setattr("dns.rdata.get_rdata_class", exhausted)
        with pytest.raises(HostError) as ours:
            LiveHost().dns([asked])

    assert ours.value.reason == "Unreadable"


def test_padding_makes_a_query_longer_and_is_no_part_of_the_question() -> None:
    lengths: list[int] = []

    def reply(wire: bytes) -> list[bytes]:
        lengths.append(len(wire))
        return [answer_of(wire)]

    with udp_server(reply) as port:
        [outcome] = LiveHost().dns([{**query(port), "padding": 1200}])

    assert lengths[0] > 1200
    assert outcome["replies"][0]["matches"]


@to_the_end
def test_a_reply_from_another_address_arrives_and_tells_its_source() -> None:
    with udp_server(lambda wire: [answer_of(wire)], source="127.0.0.2") as port:
        [outcome] = LiveHost().dns([query(port)])

    [reply] = outcome["replies"]
    assert reply["matches"]
    assert reply["source"] == "127.0.0.2"


def test_listening_goes_on_for_a_moment_after_the_answer() -> None:
    with udp_server(lambda wire: [answer_of(wire), answer_of(wire)]) as port:
        [outcome] = LiveHost().dns([query(port)])

    assert len(outcome["replies"]) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"\x00" * 40, id="zero bytes"),
        pytest.param(lambda _: b"<html>", id="text"),
        pytest.param(lambda good: good[:20], id="cut off"),
        pytest.param(lambda good: bytes([good[0] ^ 0xFF]) + good[1:], id="another id"),
        pytest.param(lambda good: good.replace(b"kubernetes", b"kubernotes"), id="another question"),
        pytest.param(lambda good: good[:2] + b"\x00\x00" + good[4:], id="a query and not a response"),
    ],
)
@to_the_end
def test_what_does_not_answer_the_question_is_kept_and_not_believed(spoil: Callable[[bytes], bytes]) -> None:
    with udp_server(lambda wire: [spoil(answer_of(wire))]) as port:
        [outcome] = LiveHost().dns([query(port)])

    [reply] = outcome["replies"]
    assert not reply["matches"]


def test_an_answer_is_not_crowded_out_by_a_flood_of_garbage() -> None:
    with udp_server(lambda wire: [b"noise"] * 50 + [answer_of(wire)]) as port:
        [outcome] = LiveHost().dns([query(port)])

    assert len(outcome["replies"]) == verb.MOST_REPLIES
    assert outcome["dropped"] == 51 - verb.MOST_REPLIES
    assert outcome["replies"][-1]["matches"]


def test_answers_are_capped_in_number_and_length() -> None:
    def much(wire: bytes) -> list[bytes]:
        response = dns.message.make_response(dns.message.from_wire(wire))
        texts = [f'"{"x" * 250}" "{"y" * 250}{number}"' for number in range(20)]
        response.answer.append(dns.rrset.from_text(NAME, 30, "IN", "TXT", *texts))
        return [response.to_wire(max_size=65535)]

    with udp_server(much) as port:
        [outcome] = LiveHost().dns([query(port)])

    [reply] = outcome["replies"]
    assert len(reply["answers"]) == verb.MOST_ANSWERS
    assert max(map(len, reply["answers"])) == verb.LONGEST_ANSWER


def test_the_truncation_flag_is_told() -> None:
    def truncated(wire: bytes) -> list[bytes]:
        response = dns.message.make_response(dns.message.from_wire(wire))
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    with udp_server(truncated) as port:
        [outcome] = LiveHost().dns([query(port)])

    assert outcome["replies"][0]["matches"]
    assert outcome["replies"][0]["truncated"]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NXDOMAIN])
def test_an_error_code_is_an_answer(rcode: dns.rcode.Rcode) -> None:
    with udp_server(lambda wire: [answer_of(wire, rcode)]) as port:
        [outcome] = LiveHost().dns([query(port)])

    assert outcome["replies"][0]["matches"]
    assert outcome["replies"][0]["rcode"] == dns.rcode.to_text(rcode)


@pytest.mark.parametrize("watched", [False, True])
@to_the_end
def test_a_reply_that_came_while_the_doctor_did_not_run_is_taken_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch, *, watched: bool
) -> None:
    stalled, replied = threading.Event(), threading.Event()

    def late(wire: bytes) -> list[bytes]:
        assert stalled.wait(WATCHDOG)
        return [answer_of(wire)]

    @contextmanager
    def stall() -> Iterator[None]:
        """As on a machine that is busy: once the first answer has come, this thread gets no turn before its time is over."""
        yield
        if not stalled.is_set():
            stalled.set()
            assert replied.wait(WATCHDOG)
            threading.Event().wait(verb.LISTEN)

    monkeypatch.setattr(workers, "waiting", stall)
    with udp_server(lambda wire: [answer_of(wire)]) as prompt, udp_server(late, told=replied) as slow:
        asked = [query(prompt), query(slow)]
        if watched:
            answered = [each["answered"] for each in LiveHost().watch_dns(asked, seconds=0.1, every=60)["tallies"]]
        else:
            answered = [len(each["replies"]) for each in LiveHost().dns(asked)]

    assert answered == [1, 1]


@to_the_end
def test_silence_is_no_reply_and_no_error() -> None:
    with udp_server(lambda _: []) as port:
        [outcome] = LiveHost().dns([query(port)])

    assert outcome["replies"] == []
    assert outcome["error"] is None


@pytest.mark.parametrize("server", ["127.0.0.1", "::1"])
def test_a_closed_port_refuses_and_says_who_did(server: str) -> None:
    with closed_port(server) as port:
        udp, tcp = LiveHost().dns([query(port, server=server), query(port, server=server, transport="tcp")])

    assert udp["error"] == "refused"
    assert udp["offender"] == server
    assert tcp["error"] == "refused"


def test_ipv6_answers_as_well() -> None:
    with udp_server(lambda wire: [answer_of(wire)], at="::1") as port:
        [outcome] = LiveHost().dns([query(port, server="0:0:0:0:0:0:0:1")])

    assert outcome["replies"][0]["source"] == "::1"
    assert outcome["replies"][0]["matches"]


def test_a_message_over_tcp_is_put_together_from_its_pieces() -> None:
    def in_pieces(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = answer_of(read_framed(connection))
        framed = struct.pack("!H", len(answer)) + answer
        for start in range(0, len(framed), 7):
            connection.sendall(framed[start : start + 7])

    with tcp_server(in_pieces) as port:
        [outcome] = LiveHost().dns([query(port, transport="tcp")])

    assert outcome["replies"][0]["matches"]
    assert outcome["replies"][0]["answers"] == ["10.96.0.1"]


def test_garbage_over_tcp_does_not_hide_the_answer_behind_it() -> None:
    def noisy(connection: socket.socket) -> None:
        answer = answer_of(read_framed(connection))
        connection.sendall(struct.pack("!H", 5) + b"noise" + struct.pack("!H", len(answer)) + answer)

    with tcp_server(noisy) as port:
        [outcome] = LiveHost().dns([query(port, transport="tcp")])

    assert [reply["matches"] for reply in outcome["replies"]] == [False, True]


def test_noise_without_end_over_tcp_is_hung_up_on() -> None:
    cut: list[OSError] = []

    def endless(connection: socket.socket) -> None:
        read_framed(connection)
        try:
            while True:
                connection.sendall((struct.pack("!H", 5) + b"noise") * 1000)
        except OSError as error:
            cut.append(error)

    with tcp_server(endless) as port:
        [outcome] = LiveHost().dns([query(port, transport="tcp")])

    assert [reply["matches"] for reply in outcome["replies"]] == [False] * verb.MOST_REPLIES
    assert (outcome["error"], outcome["dropped"]) == (None, 0)
    assert cut


def test_a_peer_that_hangs_up_has_closed() -> None:
    def hang_up(connection: socket.socket) -> None:
        read_framed(connection)

    with tcp_server(hang_up) as port:
        [outcome] = LiveHost().dns([query(port, transport="tcp")])

    assert outcome["replies"] == []
    assert outcome["error"] == "closed"


@to_the_end
def test_a_peer_that_accepts_and_says_nothing_is_silent() -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65535):
            pass

    with tcp_server(silent) as port:
        [outcome] = LiveHost().dns([query(port, transport="tcp")])

    assert outcome["replies"] == []
    assert outcome["error"] is None


@to_the_end
def test_outcomes_come_in_the_order_of_the_queries() -> None:
    with udp_server(lambda wire: [answer_of(wire)]) as answering, udp_server(lambda _: []) as silent:
        queries = [query(answering if number % 2 else silent, attempt=number) for number in range(20)]
        outcomes = LiveHost().dns(queries)

    assert [outcome["query"]["attempt"] for outcome in outcomes] == list(range(20))
    assert [len(outcome["replies"]) for outcome in outcomes] == [0, 1] * 10


@pytest.mark.parametrize("server", ["10.96.10", "localhost", "", "10.0.0.1%", "fe80::1%nowhere", "\x00"])
def test_what_is_no_address_is_told_and_harms_no_other_query(server: str) -> None:
    with udp_server(lambda wire: [answer_of(wire)]) as port:
        bad, good = LiveHost().dns([query(53, server=server), query(port)])

    assert bad["error"] is not None
    assert good["replies"][0]["matches"]


def test_what_is_no_name_is_told() -> None:
    bad = query(53)
    bad["name"] = "x" * 70 + ".test"
    [outcome] = LiveHost().dns([bad])

    assert outcome["error"] == "not-a-name"


def test_no_query_at_all_is_answered_at_once() -> None:
    assert LiveHost().dns([]) == []


def test_a_namespace_that_is_gone_could_not_be_looked_at() -> None:
    with pytest.raises(HostError) as caught:
        LiveHost().dns([query(53)], netns="/run/netns/cni-not-there")

    assert caught.value.reason == "NotFound"


def test_offline_asks_nobody() -> None:
    with pytest.raises(HostError) as caught:
        LiveHost(offline=True).dns([query(53)])

    assert caught.value.reason == "Offline"


# -- several queries from one port -------------------------------------------------------------------------------------


def pair(port: int, *, group: int = 1) -> list[DnsQuery]:
    """A and AAAA as glibc asks for them."""
    return [{**query(port), "type": kind, "group": group} for kind in ("A", "AAAA")]


def kind_of(wire: bytes) -> str:
    return dns.rdatatype.to_text(dns.message.from_wire(wire).question[0].rdtype)


@contextmanager
def server_of_ports(reply: Callable[[bytes, int], list[bytes]]) -> Iterator[int]:
    """A server that knows from which port a query came."""
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            data, client = server.recvfrom(65535)
            if not data:
                return
            for message in reply(data, client[1]):
                server.sendto(message, client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        with socket.socket(type=socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", server.getsockname())
        thread.join(5)
        server.close()


def test_queries_of_a_group_come_from_one_port_in_their_order_and_each_other_from_its_own() -> None:
    seen: list[tuple[str, int]] = []

    def reply(wire: bytes, port: int) -> list[bytes]:
        seen.append((kind_of(wire), port))
        return [answer_of(wire)]

    with server_of_ports(reply) as port:
        outcomes = LiveHost().dns([*pair(port), query(port), *pair(port, group=2)])

    assert [kind for kind, _ in seen] == ["A", "AAAA", "A", "A", "AAAA"]
    ports = [port for _, port in seen]
    assert ports[0] == ports[1]
    assert ports[3] == ports[4]
    assert len(set(ports)) == 3
    assert [one["replies"][0]["matches"] for one in outcomes] == [True] * 5


def test_replies_to_a_group_go_to_the_query_that_they_answer_in_whatever_order_they_come() -> None:
    waiting: list[bytes] = []

    def reply(wire: bytes) -> list[bytes]:
        waiting.append(wire)
        return [answer_of(one) for one in reversed(waiting)] if len(waiting) == 2 else []

    with udp_server(reply) as port:
        both = LiveHost().dns(pair(port))

    for outcome in both:
        assert [one["matches"] for one in outcome["replies"]] == [True]
    assert both[0]["replies"][0]["seconds"] >= both[1]["replies"][0]["seconds"]


@pytest.mark.parametrize("lost", ["A", "AAAA"])
@to_the_end
def test_the_one_of_a_group_that_is_lost_is_told_and_the_other_is_answered(lost: str) -> None:
    with udp_server(lambda wire: [] if kind_of(wire) == lost else [answer_of(wire)]) as port:
        both = LiveHost().dns(pair(port))

    assert {one["query"]["type"]: len(one["replies"]) for one in both} == {"A": 1, "AAAA": 1, lost: 0}
    assert [one["error"] for one in both] == [None, None]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: b"<html>", id="text"),
        pytest.param(lambda good: good[:20], id="cut off"),
        pytest.param(lambda good: bytes([good[0] ^ 0xFF]) + good[1:], id="another id"),
        pytest.param(lambda good: good.replace(b"kubernetes", b"kubernotes"), id="another question"),
        pytest.param(lambda good: good[:2] + b"\x00\x00" + good[4:], id="a query and not a response"),
    ],
)
@to_the_end
def test_what_answers_none_of_a_group_is_counted_and_answers_nobody(spoil: Callable[[bytes], bytes]) -> None:
    with udp_server(
        lambda wire: [spoil(answer_of(wire)), *([answer_of(wire)] if kind_of(wire) == "A" else [])]
    ) as port:
        first, second = LiveHost().dns(pair(port))

    assert sorted(one["matches"] for one in first["replies"]) == [
        False,
        False,
        True,
    ]  # noise is kept once, with the first
    assert second["replies"] == []


@to_the_end
def test_a_forged_answer_with_the_id_of_one_and_the_question_of_the_other_answers_nobody() -> None:
    waiting: list[bytes] = []

    def reply(wire: bytes) -> list[bytes]:
        waiting.append(wire)
        if len(waiting) < 2:
            return []
        one, other = (answer_of(each) for each in waiting)
        return [one[:2] + other[2:], other[:2] + one[2:]]

    with udp_server(reply) as port:
        first, second = LiveHost().dns(pair(port))

    assert [one["matches"] for one in (*first["replies"], *second["replies"])] == [False, False]


@to_the_end
def test_a_group_s_answers_from_elsewhere_are_kept_with_their_source() -> None:
    with udp_server(lambda wire: [answer_of(wire)], source="127.0.0.2") as port:
        both = LiveHost().dns(pair(port))

    assert [[one["source"] for one in each["replies"]] for each in both] == [["127.0.0.2"], ["127.0.0.2"]]


@to_the_end
def test_a_port_that_refuses_a_group_is_told_of_each() -> None:
    with closed_port() as port:
        both = LiveHost().dns(pair(port))

    assert [one["error"] for one in both] == ["refused", "refused"]


def test_a_name_that_is_none_harms_nobody_else_of_its_group() -> None:
    with udp_server(lambda wire: [answer_of(wire)]) as port:
        broken: DnsQuery = {**query(port), "name": "a..b", "group": 1}
        bad, *both = LiveHost().dns([broken, *pair(port)])

    assert bad["error"] == "not-a-name"
    assert [len(one["replies"]) for one in both] == [1, 1]
