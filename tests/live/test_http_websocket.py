"""A WebSocket through the gateway: who gets one, what passes, what is on record of it, and what ends it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wsproto.events as ws
from gateway_fixture import awaited, eventually
from http_house import token
from http_reach import POLICY, Answer, Asked, Reach, Wire, answered, make_api, open_reach
from wsproto.connection import Connection, ConnectionType

from gateway.demo.company import SECOND_TICKET
from gateway.demo.postgres import EmbeddedPostgres, free_port
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

ROUTES = """\
    live:
      get: /live/{{company_id}}
      path: {{company_id: integer}}
      customer: path.company_id
      websocket: unmasked
    talk:
      get: /talk/{{company_id}}
      path: {{company_id: integer}}
      customer: path.company_id
      write: request
      websocket: unmasked
"""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Of RFC 6455, 1.3."""
SHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")


class Peer:
    """One end of a WebSocket."""

    def __init__(self, sock: ssl.SSLSocket, kind: ConnectionType, read: Callable[[int], bytes] | None = None) -> None:
        self.sock, self.connection, self._read = sock, Connection(kind), read or sock.recv
        self._events: list[ws.Event] = []

    def send(self, *events: ws.Event) -> None:
        """Send these."""
        for event in events:
            self.sock.sendall(self.connection.send(event))

    def say(self, *texts: str) -> None:
        """Send texts, a message each."""
        self.send(*(ws.TextMessage(text) for text in texts))

    def heard(self) -> ws.Event | None:
        """What comes next; None when the connection is over."""
        while not self._events:
            try:
                data = self._read(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self.connection.receive_data(data)
            self._events = list(self.connection.events())
        return self._events.pop(0)

    def text(self) -> str:
        """The next message, which is a text."""
        parts = []
        while True:
            event = self.heard()
            assert isinstance(event, ws.TextMessage), event
            parts.append(event.data)
            if event.message_finished:
                return "".join(parts)

    def code(self) -> int:
        """The code of the close that comes; 0 when it is over without one."""
        while (event := self.heard()) is not None:
            if isinstance(event, ws.CloseConnection):
                assert not event.reason
                return int(event.code)
        return 0


Behaviour = Callable[[Peer], None]


class Live:
    """The API's side: answers the handshake, and then does what a test tells it to. `ended` is set when it is over."""

    def __init__(self) -> None:
        self.behave: Behaviour = lambda _peer: None
        self.fields: tuple[str, ...] = ("Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}")
        self.status = 101
        self.early = b""
        self.ended = threading.Event()

    def script(self, sock: ssl.SSLSocket, asked: Asked) -> bool:
        if "upgrade" not in asked.headers:
            return False
        if self.status != 101:
            sock.sendall(answered(self.status, b"CANARY"))
            return True
        sock.sendall("\r\n".join(["HTTP/1.1 101 Switching Protocols", *self.fields, "", ""]).encode() + self.early)
        try:
            self.behave(Peer(sock, ConnectionType.SERVER))
        finally:
            self.ended.set()
        raise ConnectionAbortedError


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    directory = tmp_path_factory.mktemp("websocket")
    port = free_port()
    api = make_api(directory, "live")
    # the same API twice: of one target nobody may be silent for long
    settings = {
        "live": {"listen": {"port": port}},
        "quiet": {"listen": {"port": free_port()}, "idle_timeout": "2s"},
    }
    with api.serving():
        ca = directory / "company" / "tls" / "ca.crt"
        with open_reach(
            directory, postgres, {"live": api, "quiet": api}, settings, port=port, ca=ca, policy=POLICY + ROUTES
        ) as place:
            yield place


@pytest.fixture
def live(place: Reach) -> Live:
    made = Live()
    place.apis["live"].script = made.script
    del place.apis["live"].seen[:]
    return made


@pytest.fixture(scope="module")
def opened(place: Reach) -> dict[str, Any]:
    return place.opened("live")


@pytest.fixture(scope="module")
def writing(place: Reach) -> dict[str, Any]:
    return place.writing("live", SECOND_TICKET)


def shake(wire: Wire, opened: dict[str, Any], path: str = "/live/42", fields: tuple[str, ...] = SHAKE) -> Answer:
    """The handshake's answer."""
    wire.send(path, "localhost", opened, fields=fields)
    lines = []
    while (line := wire.data.readline()) not in (b"\r\n", b""):
        lines.append(line.decode().strip())
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    body = wire.data.read(int(headers.get("content-length", "0"))) if status != 101 else b""
    return Answer(status, headers, body)


@contextlib.contextmanager
def joined(place: Reach, opened: dict[str, Any], path: str = "/live/42") -> Iterator[Peer]:
    """A WebSocket of a client's."""
    with place.wire("localhost", opened["port"]) as wire:
        answer = shake(wire, opened, path)
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        # what was read with the head belongs to the messages
        reader: Any = wire.data
        yield Peer(wire.sock, ConnectionType.CLIENT, reader.read1)


def ended(place: Reach, follower: Any) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The records of the WebSocket that ended last: its begin, its end, and its windows."""
    end = awaited(follower, lambda record: record["kind"] == "statement.end" and record.get("tag", "") != "HTTP 200")
    (begin,) = place.records("statement.begin", statement=end["statement"])
    return begin, end, place.records("statement.window", statement=end["statement"])


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


def test_who_may_not_write_may_not_talk(place: Reach, opened: dict[str, Any], live: Live) -> None:
    with place.wire("localhost") as wire:
        answer = shake(wire, opened, "/talk/42")
        assert (answer.status, answer.code) == (403, "read-only")
        assert place.apis["live"].seen == []
        # the connection is one of HTTP as before
        assert wire.ask("/companies/42/employees/4200", "localhost", opened).status == 200


SHAKES = {
    "no-key": ((*SHAKE[:3],), 400), "short-key": ((*SHAKE[:3], "Sec-WebSocket-Key: abc"), 400),
    "version": ((*SHAKE[:2], "Sec-WebSocket-Version: 8", SHAKE[3]), 400), "no-connection": (SHAKE[1:], 400),
    "h2c": (("Connection: Upgrade", "Upgrade: h2c", *SHAKE[2:]), 400),
    "two": (("Connection: Upgrade", "Upgrade: websocket", "Upgrade: websocket", *SHAKE[2:]), 400),
    "list": (("Connection: Upgrade", "Upgrade: websocket, h2c", *SHAKE[2:]), 400),
    "body": ((*SHAKE, "Content-Length: 5"), 400), "chunked": ((*SHAKE, "Transfer-Encoding: chunked"), 400),
    "nothing": ((), 403), "only-connection": (SHAKE[:1], 400),
    "foreign-origin": ((*SHAKE, "Origin: https://evil.test"), 403), "null-origin": ((*SHAKE, "Origin: null"), 403),
    "plain-origin": ((*SHAKE, "Origin: http://localhost"), 403),
    "other-port": ((*SHAKE, "Origin: https://localhost:1"), 403),
}  # fmt: skip


@pytest.mark.parametrize("fields", SHAKES)
def test_a_handshake_that_is_not_one_is_refused(place: Reach, opened: dict[str, Any], live: Live, fields: str) -> None:
    given, status = SHAKES[fields]
    with place.wire("localhost") as wire:
        assert shake(wire, opened, fields=given).status == status
    assert place.apis["live"].seen == []


def test_a_page_of_the_api_s_own_origin_has_its_websocket(place: Reach, opened: dict[str, Any], live: Live) -> None:
    with place.wire("localhost") as wire:
        assert shake(wire, opened, fields=(*SHAKE, "Origin: https://localhost")).status == 101


@pytest.mark.parametrize(("path", "status"), [
    ("/live/43", 404), ("/companies/42/employees/4200", 403), ("/live/42?x=1", 403), ("/nothing", 404),
])  # fmt: skip
def test_only_a_route_that_says_so_becomes_a_websocket(
    place: Reach, opened: dict[str, Any], live: Live, path: str, status: int
) -> None:
    with place.wire("localhost") as wire:
        assert shake(wire, opened, path).status == status
    assert place.apis["live"].seen == []


def test_there_is_no_websocket_over_http_2(place: Reach, opened: dict[str, Any], live: Live) -> None:
    (answer,) = place.h2("localhost", [("localhost", "/live/42", opened)])
    assert (answer.status, answer.code) == (403, "request-not-allowed")
    assert place.apis["live"].seen == []


ANSWERS = {
    "accept": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "no-accept": ("Connection: Upgrade", "Upgrade: websocket"),
    "two-accepts": ("Connection: Upgrade", "Upgrade: websocket", *[f"Sec-WebSocket-Accept: {ACCEPT}"] * 2),
    "other": ("Connection: Upgrade", "Upgrade: h2c", f"Sec-WebSocket-Accept: {ACCEPT}"),
    "no-connection": ("Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}"),
    "deflate": (
        "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}",
        "Sec-WebSocket-Extensions: permessage-deflate",
    ),
    "protocol": (
        "Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Accept: {ACCEPT}",
        "Sec-WebSocket-Protocol: CANARY",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fields", ANSWERS)
def test_an_api_that_switches_to_something_else_is_not_followed(
    place: Reach, opened: dict[str, Any], live: Live, fields: str
) -> None:
    live.fields = ANSWERS[fields]
    live.early = b"\x81\x06CANARY"
    live.behave = lambda peer: peer.say("CANARY")
    with place.wire("localhost") as wire:
        answer = shake(wire, opened)
        assert (answer.status, answer.code) == (502, "answer-not-allowed")
        assert b"CANARY" not in answer.body
        place.apis["live"].script = lambda _sock, _asked: False
        assert wire.ask("/companies/42/employees/4200", "localhost", opened).status == 200


def test_a_101_that_nobody_asked_for_is_no_websocket(place: Reach, opened: dict[str, Any], live: Live) -> None:
    def script(sock: ssl.SSLSocket, _asked: Asked) -> bool:
        head = ["HTTP/1.1 101 Switching Protocols", *live.fields, "", ""]
        sock.sendall("\r\n".join(head).encode() + b"\x81\x06CANARY")
        return True

    place.apis["live"].script = script
    with place.wire("localhost") as wire:
        wire.send("/companies/42/employees/4200", "localhost", opened)
        got = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while b"\r\n\r\n" not in got and (data := wire.sock.recv(65536)):
                got += data
    assert not got.startswith(b"HTTP/1.1 101")
    assert b"CANARY" not in got


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not-found"), (401, "credential-refused"), (200, "answer-not-allowed")]
)
def test_an_api_that_does_not_switch_is_answered_for_as_ever(
    place: Reach, opened: dict[str, Any], live: Live, status: int, code: str
) -> None:
    live.status = status
    with place.wire("localhost") as wire:
        answer = shake(wire, opened)
    assert answer.code == code
    assert b"CANARY" not in answer.body


def test_what_comes_with_the_handshake_is_part_of_the_messages(
    place: Reach, writing: dict[str, Any], live: Live
) -> None:
    live.early = b"\x81\x05early"
    live.behave = lambda peer: peer.say(peer.text()) or (peer.heard() and None)
    with place.wire("localhost") as wire:
        client = Connection(ConnectionType.CLIENT)
        frame = client.send(ws.TextMessage("hasty"))
        lines = ["GET /talk/41 HTTP/1.1", "Host: localhost", *SHAKE, f"Authorization: Bearer {token(writing)}", "", ""]
        wire.sock.sendall("\r\n".join(lines).encode() + frame)
        while wire.data.readline() not in (b"\r\n", b""):
            pass
        reader: Any = wire.data
        peer = Peer(wire.sock, ConnectionType.CLIENT, reader.read1)
        assert (peer.text(), peer.text()) == ("early", "hasty")


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
