"""A WebSocket through the gateway, and what its tests speak to both of its ends with."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wsproto.events as ws
from gateway_fixture import awaited
from http_reach import POLICY, Answer, Asked, Reach, Wire, answered, make_api, open_reach
from wsproto.connection import Connection, ConnectionType

from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres

ROUTES = """\
    live:
      get: /live/{{company_id}}
      path: {{company_id: integer}}
      customer: path.company_id
      websocket: unmasked
    graph:
      get: /graph/{{company_id}}
      path: {{company_id: integer}}
      customer: path.company_id
      websocket: unmasked
      subprotocols: [graphql-transport-ws, mqtt]
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


@contextlib.contextmanager
def open_live(directory: Path, postgres: EmbeddedPostgres) -> Iterator[Reach]:
    """A gateway in front of an API with WebSockets, twice: of the target `quiet` nobody may be silent for long."""
    port = free_port()
    api = make_api(directory, "live")
    settings = {
        "live": {"listen": {"port": port}},
        "quiet": {"listen": {"port": free_port()}, "idle_timeout": "2s"},
    }
    apis = {"live": api, "quiet": api}
    with api.serving():
        ca = directory / "company" / "tls" / "ca.crt"
        with open_reach(directory, postgres, apis, settings, port=port, ca=ca, policy=POLICY + ROUTES) as place:
            yield place


def live_of(place: Reach) -> Live:
    """What its API does from here on."""
    made = Live()
    place.apis["live"].script = made.script
    del place.apis["live"].seen[:]
    return made


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
