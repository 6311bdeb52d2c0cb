"""The messages of a WebSocket through the gateway: what passes, what is on record, and what ends it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import wsproto.events as ws
from gateway_fixture import awaited, eventually
from http_reach import Reach
from http_socket import KEY, Live, Peer, ended, joined, live_of, open_live

from gateway.demo.company import SECOND_TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    with open_live(tmp_path_factory.mktemp("websocket"), postgres) as place:
        yield place


@pytest.fixture
def live(place: Reach) -> Live:
    return live_of(place)


@pytest.fixture(scope="module")
def opened(place: Reach) -> dict[str, Any]:
    return place.opened("live")


@pytest.fixture(scope="module")
def writing(place: Reach) -> dict[str, Any]:
    return place.writing("live", SECOND_TICKET)


def test_what_the_api_says_is_heard_counted_and_on_record(place: Reach, opened: dict[str, Any], live: Live) -> None:
    def behave(peer: Peer) -> None:
        peer.say("one", "twö")
        peer.send(ws.BytesMessage(b"\x00\x01"), ws.CloseConnection(1000, "CANARY"))
        peer.heard()

    live.behave = behave
    follower = place.house.follow()
    with joined(place, opened) as peer:
        assert (peer.text(), peer.text()) == ("one", "twö")
        last = peer.heard()
        assert isinstance(last, ws.BytesMessage)
        assert last.data == b"\x00\x01"
        assert peer.code() == 1000
    begin, end, _ = ended(place, follower)
    assert (begin["protection"], begin["sql"], begin["verb"]) == ("unmasked", "GET /live/{company_id}", "GET")
    assert (end["status"], end["tag"], end["rows"], end["bytes"]) == ("ok", "HTTP 101", 3, 9)
    assert len(end["digest"]) >= 32
    assert (end["rows_in"], end["bytes_in"]) == (0, 0)
    # the digest is nobody's to guess a short message by
    assert end["digest"] != hashlib.sha256(b"one").hexdigest()
    (seen,) = place.apis["live"].seen
    assert seen.headers["sec-websocket-key"] == KEY
    assert not {"sec-websocket-extensions", "sec-websocket-protocol", "origin", "cookie"} & seen.headers.keys()


def test_who_only_listens_may_ping_and_no_more(place: Reach, opened: dict[str, Any], live: Live) -> None:
    heard: list[ws.Event | None] = []

    def behave(peer: Peer) -> None:
        peer.send(ws.Ping(b"CANARY"))
        while (event := peer.heard()) is not None:
            heard.append(event)

    live.behave = behave
    follower = place.house.follow()
    with joined(place, opened) as peer:
        peer.send(ws.Ping(b"mine"))
        pong = peer.heard()
        assert isinstance(pong, ws.Pong)
        assert bytes(pong.payload) == b"mine"
        peer.say("a message")
        assert peer.code() == 1008
    assert live.ended.wait(30)
    assert [type(event) for event in heard if not isinstance(event, ws.Pong)] == [ws.CloseConnection]
    _, end, windows = ended(place, follower)
    assert (end["status"], end["rows"], end["bytes"]) == ("cut", 0, 0)
    assert not windows


def test_who_may_write_talks_and_each_byte_is_announced_first(
    place: Reach, writing: dict[str, Any], live: Live
) -> None:
    known: list[int] = []

    def behave(peer: Peer) -> None:
        for _ in range(3):
            text = peer.text()
            known.append(len(place.records("statement.window")))
            peer.say(f"{len(text)}")
        peer.heard()

    live.behave = behave
    before = len(place.records("statement.window"))
    follower = place.house.follow()
    with joined(place, writing, "/talk/41") as peer:
        for size in (5, 3000, 5000):
            peer.say("x" * size)
            assert peer.text() == str(size)
        peer.send(ws.CloseConnection(1000, "CANARY"))
        assert peer.code() == 1000
    begin, end, windows = ended(place, follower)
    assert begin["columns_written"] if "columns_written" in begin else begin["digest"]
    assert (end["status"], end["rows"], end["rows_in"], end["bytes_in"]) == ("ok", 3, 3, 8005)
    announced = [window["bytes_in"] for window in windows]
    assert announced == [4096, 16010]
    assert known == [before + 1, before + 1, before + 2]
    assert len({window["digest"] for window in windows}) == 2


def test_an_empty_message_is_a_message(place: Reach, writing: dict[str, Any], live: Live) -> None:
    live.behave = lambda peer: peer.say(peer.text() + "|") or (peer.heard() and None)
    follower = place.house.follow()
    with joined(place, writing, "/talk/41") as peer:
        peer.say("")
        assert peer.text() == "|"
        peer.send(ws.CloseConnection(1000))
        assert peer.code() == 1000
    _, end, windows = ended(place, follower)
    assert (end["rows_in"], end.get("bytes_in", 0), len(windows)) == (1, 0, 1)


FRAMES = {
    "unmasked": b"\x81\x02hi", "reserved-bit": b"\xc1\x82\x00\x00\x00\x00hi", "opcode": b"\x83\x82\x00\x00\x00\x00hi",
    "not-utf-8": b"\x81\x82\x00\x00\x00\x00\xff\xff", "long-ping": b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,
    "fragmented-ping": b"\x09\x80\x00\x00\x00\x00", "continuation": b"\x80\x82\x00\x00\x00\x00hi",
    "interleaved": b"\x01\x82\x00\x00\x00\x00hi\x81\x82\x00\x00\x00\x00hi",
    "close-of-one": b"\x88\x81\x00\x00\x00\x00x",
    "http": b"GET /companies/42/employees/4200 HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
def test_what_is_no_frame_ends_it(place: Reach, writing: dict[str, Any], live: Live, frame: str) -> None:
    heard: list[ws.Event | None] = []

    def behave(peer: Peer) -> None:
        while (event := peer.heard()) is not None:
            heard.append(event)

    live.behave = behave
    follower = place.house.follow()
    with joined(place, writing, "/talk/41") as peer:
        peer.sock.sendall(FRAMES[frame])
        assert peer.code() in (1002, 1007)
    assert live.ended.wait(30)
    assert not any(isinstance(event, ws.Message) for event in heard)
    _, end, _ = ended(place, follower)
    assert end["status"] == "cut"


def test_a_message_is_bounded_in_one_frame_and_in_many(place: Reach, writing: dict[str, Any], live: Live) -> None:
    heard: list[ws.Event | None] = []

    def behave(peer: Peer) -> None:
        while (event := peer.heard()) is not None:
            heard.append(event)

    live.behave = behave
    for parts in (1, 40):
        live.ended.clear()
        with joined(place, writing, "/talk/41") as peer, contextlib.suppress(ConnectionError, ssl.SSLError):
            part = "x" * ((1 << 20) // parts + 100)
            for number in range(parts):
                peer.send(ws.TextMessage(part, message_finished=number == parts - 1))
            assert peer.code() in (1009, 0)
        assert live.ended.wait(30)
        assert not any(isinstance(event, ws.Message) for event in heard)


def test_many_messages_are_announced_before_they_leave(place: Reach, opened: dict[str, Any], live: Live) -> None:
    def behave(peer: Peer) -> None:
        peer.sock.sendall(b"\x81\x05hello" * 5000)
        peer.send(ws.CloseConnection(1000))
        peer.heard()

    live.behave = behave
    follower = place.house.follow()
    with joined(place, opened) as peer:
        assert [peer.text() for _ in range(5000)] == ["hello"] * 5000
        assert peer.code() == 1000
    begin, end, windows = ended(place, follower)
    assert (end["rows"], end["bytes"], end["status"]) == (5000, 25000, "ok")
    announced = [begin["window_rows"], *(window["window_rows"] for window in windows)]
    assert announced == sorted(announced)
    assert announced[0] < 5000 <= announced[-1]
    assert all(len(window["digest"]) >= 32 for window in windows)


def test_a_grant_that_ends_cuts_it(place: Reach, live: Live) -> None:
    mine = place.opened("live", "alice", SECOND_TICKET)
    stop = threading.Event()

    def behave(peer: Peer) -> None:
        with contextlib.suppress(OSError):
            while not stop.wait(0.02):
                peer.say("metronome")

    live.behave = behave
    follower = place.house.follow()
    try:
        with joined(place, mine, "/live/41") as peer:
            assert peer.text() == "metronome"
            place.house.actor("alice").revoke(mine["grant"], "done")
            got = 1
            while isinstance(peer.heard(), ws.TextMessage):
                got += 1
    finally:
        stop.set()
    _, end, _ = ended(place, follower)
    assert end["status"] == "cut"
    assert end["rows"] >= got


def test_a_websocket_that_is_silent_for_too_long_is_over(place: Reach, live: Live) -> None:
    mine = place.opened("quiet")
    stop = threading.Event()

    def behave(peer: Peer) -> None:
        peer.say("one")
        with contextlib.suppress(OSError):
            while not stop.wait(0.2):
                # a ping is no message
                peer.send(ws.Ping(b"x"))

    live.behave = behave
    follower = place.house.follow()
    try:
        with joined(place, mine) as peer:
            assert peer.text() == "one"
            assert peer.code() == 0
    finally:
        stop.set()
    _, end, _ = ended(place, follower)
    assert (end["status"], end["rows"]) == ("cut", 1)


def test_a_process_that_is_killed_leaves_what_was_announced_on_record(
    place: Reach, writing: dict[str, Any], live: Live
) -> None:
    heard: list[str] = []

    def behave(peer: Peer) -> None:
        heard.append(peer.text())
        peer.say("answer")
        peer.heard()

    live.behave = behave
    follower = place.house.follow()
    with joined(place, writing, "/talk/41") as peer:
        peer.say("question")
        assert peer.text() == "answer"
        (pid,) = place.pids()
        os.kill(pid, signal.SIGKILL)
        assert peer.code() == 0
    end = awaited(follower, lambda record: record["kind"] == "statement.end" and record["status"] == "unknown")
    assert end["bytes_in"] >= len("question")
    assert end["rows"] >= 1
    assert heard == ["question"]
    eventually(lambda: bool(place.pids()) and _answers(place, writing))


def _answers(place: Reach, opened: dict[str, Any]) -> bool:
    try:
        with place.wire("localhost") as wire:
            return wire.ask("/companies/41/employees/4100", "localhost", opened).status == 200
    except OSError:
        return False


def test_no_message_is_in_what_is_written(place: Reach) -> None:
    text = json.dumps(place.house.records()) + place.house.gateway.log_tail(10**6)
    for message in ("metronome", "question", "CANARY", "hasty"):
        assert message not in text
