"""The handshake of a WebSocket through the gateway: who gets one, and what an API may answer."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import wsproto.events as ws
from http_house import token
from http_reach import Asked, Reach
from http_socket import ACCEPT, SHAKE, Live, Peer, live_of, open_live, shake
from wsproto.connection import Connection, ConnectionType

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


@pytest.mark.parametrize(
    ("offered", "chosen", "told"),
    [
        ("graphql-ws, mqtt, graphql-transport-ws", "graphql-transport-ws", "graphql-transport-ws"),
        ("graphql-transport-ws", "", None),
        ("", "", None),
        # asked for and not named, named and not asked for, both, and in another case
        ("graphql-ws, mqtt", "graphql-ws", "answer-not-allowed"),
        ("mqtt", "graphql-transport-ws", "answer-not-allowed"),
        ("mqtt, graphql-transport-ws", "mqtt, graphql-transport-ws", "answer-not-allowed"),
        ("mqtt", "MQTT", "answer-not-allowed"),
        ("graphql-ws", "", "request-not-allowed"),
    ],
)
def test_a_subprotocol_is_one_that_was_asked_for_and_that_the_policy_names(
    place: Reach, opened: dict[str, Any], live: Live, offered: str, chosen: str, told: str | None
) -> None:
    live.fields = (*live.fields, *([f"Sec-WebSocket-Protocol: {chosen}"] if chosen else []))
    asks = (*SHAKE, *([f"Sec-WebSocket-Protocol: {offered}"] if offered else []))
    with place.wire("localhost") as wire:
        answer = shake(wire, opened, "/graph/42", fields=asks)
        if told is not None and told.endswith("-not-allowed"):
            assert answer.code == told
        else:
            assert (answer.status, answer.headers.get("sec-websocket-protocol")) == (101, told)
    if told == "request-not-allowed":
        assert place.apis["live"].seen == []
    elif offered:
        (seen,) = place.apis["live"].seen
        named = [one for one in offered.split(", ") if one != "graphql-ws"]
        assert seen.headers["sec-websocket-protocol"] == ", ".join(named)


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
