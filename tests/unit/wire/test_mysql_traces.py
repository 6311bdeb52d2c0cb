"""What MySQL 8.0 and 8.4 and a client say to each other by the published protocol, spoken by our halves.

MariaDB's are spoken live (`tests/live/test_mysql_wire.py`). The corpus says how its traces were composed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql import auth
from gateway.wire.mysql import handshake as hs
from gateway.wire.mysql.answers import Answer
from gateway.wire.mysql.base import UTF8MB4
from gateway.wire.mysql.commands import SILENT, Command, Parameter, bind, command_of, decode_execute
from gateway.wire.mysql.packets import Framer, frame
from gateway.wire.mysql.results import parse_error, parse_ok
from gateway.wire.mysql.tracking import Change, Tracked
from gateway.wire.mysql.values import Type

CORPUS = Path(__file__).parents[2] / "corpus" / "wire" / "mysql"
Lines = list[tuple[str, str, bytes]]


def trace(name: str) -> Lines:
    """Its lines: who speaks, what it is, the packet."""
    lines = [line for line in (CORPUS / f"{name}.trace").read_text("utf-8").splitlines() if not line.startswith("#")]
    return [(head[0], head[2:], bytes.fromhex(data)) for head, data in zip(lines[::2], lines[1::2], strict=True)]


def payload_of(packet: bytes) -> bytes:
    framer = Framer(sequence=packet[3])
    framer.feed(packet)
    taken = framer.take()
    assert taken is not None
    return taken


LOGINS = sorted(path.stem for path in CORPUS.glob("*.trace") if "session" not in path.stem)


@pytest.mark.parametrize("name", LOGINS)
def test_our_clients_half_says_what_the_client_said(name: str) -> None:
    lines = trace(name)
    framer = Framer()
    said: list[tuple[str, bytes]] = []

    def send(what: str, payload: bytes) -> None:
        said.append((what, frame(payload, framer.sequence)))
        framer.sequence += 1

    half = auth.ClientAuth(b"pencil", secure=True)
    agreed = 0
    ended = ""
    for side, _, packet in lines:
        if side == "C":
            continue
        framer.feed(packet)
        body = framer.take()
        assert body is not None
        if not agreed:
            greeting = hs.parse_greeting(body)
            agreed = hs.agree(greeting, hs.TOWARDS_TARGETS, tls=True)
            send("SSLRequest", hs.encode_ssl_request(agreed))
            plugin, answer = half.start(greeting.plugin, greeting.nonce)
            attributes = {b"_client_name": b"gateway"}
            login = hs.HandshakeResponse(
                agreed, hs.MAX_PACKET, UTF8MB4, b"gateway", answer, b"payroll", plugin, attributes
            )
            send("HandshakeResponse41", hs.encode_handshake_response(login))
        elif hs.is_error(body):
            ended = parse_error(body).sqlstate
        elif half.accepts(body):
            ok = parse_ok(body, agreed)
            assert ok.changes == (Change(Tracked.SCHEMA, b"payroll"),)
            ended = "in"
        else:
            try:
                more = half.respond(body)
            except GatewayError as error:
                ended = error.code
            else:
                if more is not None:
                    send("AuthSwitchResponse", more)
    assert said == [(what, packet) for side, what, packet in lines if side == "C"]
    assert ended == {"mysql-8.4-denied": "28000", "mysql-8.4-unspoken": "feature-not-supported"}.get(name, "in")


@pytest.mark.parametrize("name", ["mysql-8.0-fast", "mysql-8.0-full", "mysql-8.0-switch", "mysql-8.0-native"])
def test_our_servers_half_says_what_the_server_said(name: str) -> None:
    lines = trace(name)
    [*_, (_, _, login_packet)] = [line for line in lines[:3] if line[0] == "C"]
    greeting = hs.parse_greeting(payload_of(lines[0][2]))
    request = hs.decode_login(payload_of(lines[1][2]), hs.OFFERED)
    login = hs.decode_login(payload_of(login_packet), hs.OFFERED)
    assert isinstance(request, hs.SSLRequest)
    assert isinstance(login, hs.HandshakeResponse)
    assert (login.user, login.database, login.attributes) == (b"gateway", b"payroll", {b"_client_name": b"gateway"})

    switches = [payload_of(packet) for _, what, packet in lines if what == "AuthSwitchRequest"]
    plugin, nonce = hs.parse_auth_switch(switches[0]) if switches else (greeting.plugin, greeting.nonce)
    known = [auth.Verifier.of(b"pencil")] if name in ("mysql-8.0-fast", "mysql-8.0-switch") else []
    half = auth.ServerAuth(plugin, nonce, known, secure=True, ask_password=plugin == auth.CACHING_SHA2)
    answers = iter([payload_of(packet) for _, what, packet in lines if what == "AuthSwitchResponse"])
    judged = half.start(login.plugin, login.auth)
    said = [judged.send]
    while judged.more:
        judged = half.go_on(next(answers))
        said.append(judged.send)
    assert [body for body in said if body] == [
        payload_of(packet) for side, what, packet in lines[3:] if side == "S" and what != "OK"
    ]
    assert judged.proven == 0 if known else judged.password == b"pencil"


def test_each_packet_of_a_session_is_what_the_trace_says() -> None:
    commands = Framer(commands=True)
    answers = Framer()
    answer: Answer | None = None
    types: tuple[Parameter, ...] | None = None
    columns = None
    seen = set()
    for side, what, packet in trace("mysql-8.4-session"):
        if side == "C":
            assert answer is None or answer.over
            commands.feed(packet)
            body = commands.take()
            assert body is not None
            command = command_of(body)
            assert f"COM_{command.name}" == what
            seen.add(command)
            answers.sequence = commands.sequence
            answer = None if command in SILENT else Answer(command, hs.TOWARDS_TARGETS, columns)
            if command == Command.STMT_EXECUTE:
                bound = bind(decode_execute(body), 1, types)
                assert bound.values in ((7,), (None,))
                types = bound.types
        else:
            answers.feed(packet)
            body = answers.take()
            assert body is not None
            assert answer is not None
            assert answer.take(body).name == what
            if answer.over and answer.columns:
                columns = answer.columns
    assert types == (Parameter(Type.LONGLONG),)
    assert len(seen) == 11


def test_the_traces_are_what_their_script_composes() -> None:
    from tests.corpus.wire.mysql import compose

    for name, (_, lines) in compose.TRACES.items():
        assert [(f"{side} {what}", packet) for side, what, packet in trace(name)] == lines
    assert sorted(compose.TRACES) == sorted(path.stem for path in CORPUS.glob("*.trace"))
