"""The relay of a WebSocket's messages, without sockets: nothing passes unannounced, however it is cut into pieces."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("mitmproxy")

import itertools

import wsproto.events as ws
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow
from wsproto.connection import Connection, ConnectionType

from gateway.engines.http_channel import Permitted
from gateway.engines.http_proxy.door import make_options
from gateway.engines.http_proxy.hooks import ReleaseHook
from gateway.engines.http_proxy.messages import LARGEST, Relay
from gateway.engines.http_proxy.reply import Reply
from gateway.errors import Refusal

CUT = Refusal("grant-revoked", "the grant was revoked", fatal=True)


class Stage:
    """A relay between two ends that a test speaks for."""

    def __init__(self, *, writes: bool = True, rows: int = 1, size: int = 8) -> None:
        permit = Permitted(
            1, 1, "live", "GET", "/live/42", (), b"", "digest", "live", ("42",), b"k", frozenset(), rows, size, writes
        )
        rules: Any = SimpleNamespace(routes=(SimpleNamespace(name="live", answers=(), websocket=True),))
        self.reply = Reply(permit, rules)
        self.reply.forwarded = self.reply.answered = self.reply.head_sent = self.reply.upgraded = True
        self.client = Client(peername=("127.0.0.1", 5), sockname=("127.0.0.1", 6), timestamp_start=0)
        context = Context(self.client, make_options())
        context.server = self.server = Server(address=("api.example", 443))
        self.client.state = self.server.state = ConnectionState.OPEN
        self.relay = Relay(context, tflow.tflow(), self.reply)
        self.ends = {self.client: Connection(ConnectionType.CLIENT), self.server: Connection(ConnectionType.SERVER)}
        self.heard: dict[Any, list[str | bytes]] = {self.client: [], self.server: []}
        self.codes: dict[Any, int] = {}
        self.closed: list[Any] = []
        self.settled = 0
        self.refuses = False
        self.announced: list[tuple[int, int, int]] = []

    def said(self, whose: Any, *what: ws.Event) -> bytes:
        """What that end sends for these."""
        return b"".join(self.ends[whose].send(one) for one in what)

    def feed(self, whose: Any, data: bytes | None) -> None:
        """Those octets come from that end; None for its end."""
        event: Any = events.DataReceived(whose, data) if data is not None else events.ConnectionClosed(whose)
        waiting: list[events.Event] = [event]
        while waiting:
            for command in self.relay.handle_event(waiting.pop(0)):
                if isinstance(command, ReleaseHook):
                    self._announce(command)
                    waiting.append(events.HookCompleted(command, None))
                elif isinstance(command, commands.StartHook):
                    self.settled += 1
                    self.reply.settled = True
                    waiting.append(events.HookCompleted(command, None))
                elif isinstance(command, commands.SendData):
                    assert command.connection not in self.closed
                    self._hear(command)
                else:
                    assert isinstance(command, commands.CloseConnection)
                    self.closed.append(command.connection)

    def _announce(self, hook: ReleaseHook) -> None:
        self.announced.append((hook.rows, hook.size, hook.bytes_in))
        if self.refuses:
            self.reply.refusal = CUT
            return
        reply = self.reply
        reply.window_rows, reply.window_bytes = max(reply.window_rows, hook.rows), max(reply.window_bytes, hook.size)
        reply.window_in = max(reply.window_in, hook.bytes_in)

    def _hear(self, command: commands.SendData) -> None:
        end = self.ends[command.connection]
        end.receive_data(command.data)
        for event in end.events():
            if isinstance(event, ws.Message):
                assert event.message_finished
                self.heard[command.connection].append(event.data if isinstance(event.data, str) else bytes(event.data))
            elif isinstance(event, ws.CloseConnection):
                self.codes[command.connection] = int(event.code)
                assert not event.reason
        reply = self.reply
        assert (reply.rows, reply.rows_in) == (len(self.heard[self.client]), len(self.heard[self.server]))
        assert reply.rows <= reply.window_rows
        assert reply.bytes <= reply.window_bytes
        assert reply.bytes_in <= reply.window_in


MESSAGES = st.lists(st.one_of(st.text(max_size=30), st.binary(max_size=30)), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def event_of(message: str | bytes) -> ws.Event:
    return ws.TextMessage(message) if isinstance(message, str) else ws.BytesMessage(message)


@given(MESSAGES, MESSAGES, st.lists(st.integers(0, 500), max_size=12))
def test_what_is_said_is_heard_whole_and_announced_first(
    down: list[str | bytes], up: list[str | bytes], cuts: list[int]
) -> None:
    stage = Stage()
    for whose, said in ((stage.server, down), (stage.client, up)):
        for piece in pieces(stage.said(whose, *map(event_of, said)), cuts):
            stage.feed(whose, piece)
    assert stage.heard == {stage.client: down, stage.server: up}
    stage.feed(stage.client, stage.said(stage.client, ws.CloseConnection(1000, "words")))
    assert (stage.settled, stage.reply.outcome(), stage.codes[stage.server]) == (1, "ok", 1000)
    assert set(stage.closed) == {stage.client, stage.server}


@given(st.binary(max_size=200), st.booleans(), st.lists(st.integers(0, 200), max_size=5))
def test_whatever_comes_ends_it_or_is_a_message(junk: bytes, inward: bool, cuts: list[int]) -> None:
    stage = Stage()
    for piece in pieces(junk, cuts):
        stage.feed(stage.client if inward else stage.server, piece)
    assert stage.settled <= 1
    assert bool(stage.closed) == bool(stage.settled)


def test_who_only_listens_says_nothing() -> None:
    stage = Stage(writes=False)
    stage.feed(stage.client, stage.said(stage.client, ws.TextMessage("hello"), ws.TextMessage("again")))
    assert stage.heard[stage.server] == []
    assert (stage.codes[stage.client], stage.settled, stage.reply.outcome()) == (1008, 1, "cut")


@pytest.mark.parametrize("inward", [True, False])
def test_what_is_not_announced_does_not_pass(inward: bool) -> None:
    stage = Stage(rows=0)
    stage.refuses = True
    whose = stage.client if inward else stage.server
    stage.feed(whose, stage.said(whose, ws.TextMessage("hello"), ws.TextMessage("again")))
    assert stage.heard == {stage.client: [], stage.server: []}
    assert (len(stage.announced), stage.settled) == (1, 1)
    assert set(stage.codes.values()) == {1008}


def test_what_was_cut_meanwhile_does_not_pass() -> None:
    stage = Stage(rows=100, size=1000)
    stage.reply.refusal = CUT
    stage.feed(stage.server, stage.said(stage.server, ws.TextMessage("hello")))
    assert stage.heard[stage.client] == []


@pytest.mark.parametrize("parts", [1, 7])
def test_a_message_beyond_the_bound_is_not_held(parts: int) -> None:
    stage = Stage(rows=100, size=LARGEST * 2)
    part = b"x" * (LARGEST // parts + 1)
    sent = [ws.BytesMessage(part, message_finished=number == parts - 1) for number in range(parts)]
    stage.feed(stage.server, stage.said(stage.server, *sent))
    assert stage.heard[stage.client] == []
    assert stage.codes == {stage.client: 1009, stage.server: 1009}


def test_a_message_of_many_pieces_is_one_message() -> None:
    stage = Stage()
    pieces_of = [ws.TextMessage("x", message_finished=number == 19_999) for number in range(20_000)]
    for start in range(0, 20_000, 1000):
        stage.feed(stage.server, stage.said(stage.server, *pieces_of[start : start + 1000]))
    assert stage.heard[stage.client] == ["x" * 20_000]
    assert (stage.reply.rows, stage.reply.bytes) == (1, 20_000)


@pytest.mark.parametrize(("code", "told"), [
    (1000, 1000), (1001, 1001), (1011, 1011), (3000, 3000), (4999, 4999), (1005, 1000), (1004, 1000), (5000, 1000),
])  # fmt: skip
def test_the_code_of_a_close_is_told_if_it_is_one(code: int, told: int) -> None:
    stage = Stage()
    frame = b"\x88\x05" + code.to_bytes(2, "big") + b"why" if code != 1005 else b"\x88\x00"
    stage.feed(stage.server, frame)
    assert stage.codes[stage.client] in (told, 1002)
    assert stage.settled == 1


@pytest.mark.parametrize("whose", ["client", "server"])
def test_an_end_without_a_word_is_no_good_end(whose: str) -> None:
    stage = Stage()
    stage.feed(getattr(stage, whose), None)
    assert (stage.settled, stage.reply.outcome()) == (1, "cut")
    stage.feed(stage.server, b"\x81\x02hi")
    assert stage.heard[stage.client] == []


def test_a_digest_is_of_what_passed_in_which_direction() -> None:
    def of(whose: str, event: ws.Event) -> str:
        stage = Stage()
        end = getattr(stage, whose)
        stage.feed(end, stage.said(end, event))
        return stage.reply.digest

    found = [
        of("client", ws.TextMessage("a")), of("server", ws.TextMessage("a")), of("server", ws.BytesMessage(b"a")),
        of("server", ws.TextMessage("b")), of("server", ws.TextMessage("")), Stage().reply.digest,
    ]  # fmt: skip
    assert len(set(found)) == len(found)
