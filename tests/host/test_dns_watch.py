"""Asking for a while, of real servers on loopback: sums, bursts, and an early end."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import dns.rcode
import pytest

from k8sdoctor.host import dns as verb
from k8sdoctor.host import dns_watch
from k8sdoctor.host.dns_watch import MOST_BURSTS, Tally
from k8sdoctor.host.live import LiveHost
from k8sdoctor.host.recording import Recorder, Recording
from tests.host.test_dns import answer_of, kind_of, pair, query, server_of_ports, udp_server

if TYPE_CHECKING:
    from k8sdoctor.host.answers import DnsOutcome


@pytest.fixture(autouse=True)
def short_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "LISTEN", 1.5)
    monkeypatch.setattr(verb, "LINGER", 0.01)
    monkeypatch.setattr(dns_watch, "LISTEN", 1.5)


def test_every_query_is_counted_by_what_came_of_it() -> None:
    numbers = itertools.count()

    def reply(wire: bytes) -> list[bytes]:
        number = next(numbers)
        good = answer_of(wire)
        kinds = [[good], [], [answer_of(wire, dns.rcode.SERVFAIL)], [bytes([good[0] ^ 1]) + good[1:], good]]
        return kinds[number % 4]

    with udp_server(reply) as port:
        told = LiveHost().watch_dns([query(port)], seconds=0.4, every=0.05)

    [tally] = told["tallies"]
    assert tally["asked"] >= 4
    assert tally["asked"] == tally["answered"] + tally["failed"] - tally["rcodes"]["SERVFAIL"]
    assert tally["rcodes"]["NOERROR"] >= 2
    assert tally["forged"] >= 1
    assert sum(tally["latencies"]) == tally["answered"]
    assert tally["bursts"]


def test_strays_are_counted_by_their_source() -> None:
    with udp_server(lambda wire: [answer_of(wire)], source="127.0.0.2") as port:
        told = LiveHost().watch_dns([query(port)], seconds=0.1, every=0.05)

    [tally] = told["tallies"]
    assert tally["strays"] == {"127.0.0.2": tally["asked"]}
    assert tally["failed"] == tally["asked"]


def test_queries_of_a_group_share_a_port_each_time_and_each_is_counted_by_itself() -> None:
    seen: list[tuple[str, int]] = []

    def reply(wire: bytes, port: int) -> list[bytes]:
        seen.append((kind_of(wire), port))
        forged = bytes([wire[0] ^ 1]) + answer_of(wire)[1:]
        return [answer_of(wire)] if kind_of(wire) == "A" else [forged]

    with server_of_ports(reply) as port:
        told = LiveHost().watch_dns(pair(port), seconds=0.2, every=0.05)

    first, second = told["tallies"]
    assert first["asked"] == first["answered"] == second["asked"] >= 2
    assert second["answered"] == 0
    assert second["failed"] == second["asked"]
    assert first["forged"] == second["asked"]  # what answers nobody is the first one's
    ports = [port for kind, port in seen if kind == "A"]
    assert ports == [port for kind, port in seen if kind == "AAAA"]
    assert len(set(ports)) == len(ports)


def test_an_interruption_ends_it_with_what_was_counted() -> None:
    host = LiveHost()
    answered = threading.Event()

    def reply(wire: bytes) -> list[bytes]:
        answered.set()
        return [answer_of(wire)]

    def stop() -> None:
        answered.wait(5)
        host.stopping.set()

    with udp_server(reply) as port:
        threading.Thread(target=stop, daemon=True).start()
        told = host.watch_dns([query(port)], seconds=3600, every=0.05)

    assert told["seconds"] < 60
    assert len(told["tallies"]) == 1


def test_what_was_counted_is_recorded_once_and_replays() -> None:
    with udp_server(lambda wire: [answer_of(wire)]) as port:
        recorder = Recorder(LiveHost())
        told: list[int] = []
        recorder.listener = lambda _what, done, _of: told.append(done)
        first = recorder.watch_dns([query(port)], seconds=1.2, every=0.2)
        again = Recording(recorder.dump()).watch_dns([query(port)], seconds=1.2, every=0.2)

    assert again == first
    assert set(told) == {1}


def failed(sent: float, tally: Tally) -> None:
    outcome: DnsOutcome = {
        "query": tally.query,
        "replies": [],
        "dropped": 0,
        "error": None,
        "offender": None,
        "seconds": 3.0,
    }
    tally.count(outcome, sent)


def test_failures_in_a_row_are_one_burst_and_others_are_not() -> None:
    tally = Tally(query(53), every=0.5)
    for sent in (1.0, 1.5, 2.1, 9.0):
        failed(sent, tally)

    assert tally.told["bursts"] == [[1.0, 2.1, 3], [9.0, 9.0, 1]]
    assert tally.told["last_failure"] == 9.0


def test_what_is_kept_does_not_grow_with_time() -> None:
    tally = Tally(query(53), every=0.5)
    for number in range(1000):
        failed(10.0 * number, tally)

    assert len(tally.told["bursts"]) == MOST_BURSTS
    assert (tally.told["failed"], tally.told["last_failure"]) == (1000, 9990.0)
