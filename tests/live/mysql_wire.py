"""A client of the MySQL wire on a plain socket, made of the codec's client half, for the tests."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.wire.mysql import auth, handshake
from gateway.wire.mysql.answers import Answer, Part, State
from gateway.wire.mysql.base import Capability
from gateway.wire.mysql.commands import (
    Bound,
    Command,
    Parameter,
    encode_execute,
    encode_number,
    encode_text,
)
from gateway.wire.mysql.packets import Framer, following, frame
from gateway.wire.mysql.results import (
    Column,
    Error,
    Ok,
    parse_binary_row,
    parse_error,
    parse_ok,
    parse_text_row,
)
from gateway.wire.mysql.values import Value

LIMIT = 64 << 20


class Refused(Exception):
    """The server's ERR packet."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.errno} ({error.sqlstate}) {error.message}")
        self.error = error


class Line:
    """A socket and a framer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.framer = Framer(LIMIT)

    def read(self) -> bytes:
        """The next payload; empty when the other side has closed."""
        while (payload := self.framer.take()) is None:
            data = self.sock.recv(1 << 18)
            if not data:
                return b""
            self.framer.feed(data)
        return payload

    def first(self) -> bytes:
        """A client's first payload, and not a byte of what is behind it."""
        header = self._exactly(4)
        self.framer.feed(header + self._exactly(handshake.first_packet_length(header) - 4))
        return self.read()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                raise ConnectionResetError("closed by the client")
            data += more
        return data

    def send(self, payload: bytes) -> None:
        """One payload, next in sequence."""
        self.sock.sendall(frame(payload, self.framer.sequence))
        self.framer.sequence = following(len(payload), self.framer.sequence)

    def begin(self) -> None:
        """A new command begins."""
        self.framer.sequence = 0


@dataclass
class Result:
    """One of the results of a command."""

    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[Value, ...]] = field(default_factory=list)
    ok: Ok | None = None


class Client(Line):
    """A session with a server, by the client's half."""

    def __init__(
        self,
        address: tuple[str, int] | Path,
        user: str,
        password: str,
        *,
        ca: Path | None = None,
        database: str = "",
        wanted: int = handshake.TOWARDS_TARGETS,
    ) -> None:
        if isinstance(address, Path):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(60)
            sock.connect(str(address))
        else:
            sock = socket.create_connection(address, timeout=60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)
        try:
            self._login(user.encode(), password.encode(), ca, database.encode(), wanted)
        except BaseException:
            self.sock.close()
            raise

    def _login(self, user: bytes, password: bytes, ca: Path | None, database: bytes, wanted: int) -> None:
        first = self.read()
        if handshake.is_error(first):
            raise Refused(parse_error(first))
        self.greeting = handshake.parse_greeting(first)
        if not database:
            wanted &= ~Capability.CONNECT_WITH_DB
        self.capabilities = handshake.agree(self.greeting, wanted, tls=ca is not None, most=handshake.OBSERVED)
        if ca is not None:
            self.send(handshake.encode_ssl_request(self.capabilities))
            assert not self.framer.pending
            context = ssl.create_default_context(cafile=str(ca))
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        local = self.sock.family == socket.AF_UNIX
        self.auth = auth.ClientAuth(password, secure=ca is not None or local)
        plugin, answer = self.auth.start(self.greeting.plugin, self.greeting.nonce)
        response = handshake.HandshakeResponse(
            self.capabilities, handshake.MAX_PACKET, 45, user, answer, database, plugin, {b"_client_name": b"codec"}
        )
        self.send(handshake.encode_handshake_response(response))
        while not self.auth.accepts(body := self.read()):
            if handshake.is_error(body):
                raise Refused(parse_error(body))
            if (more := self.auth.respond(body)) is not None:
                self.send(more)
        self.ok = parse_ok(body, self.capabilities)

    def command(self, payload: bytes) -> None:
        """Send one."""
        self.begin()
        self.send(payload)

    def answer(self, answer: Answer) -> list[Result]:
        """Read it all."""
        results = [Result()]
        while not answer.over:
            payload = self.read()
            assert payload, "the server closed the connection"
            part = answer.take(payload)
            if part == Part.ERROR:
                raise Refused(parse_error(payload))
            if part == Part.ROW:
                cells = parse_binary_row if answer.binary else None
                row = cells(payload, answer.columns) if cells else parse_text_row(payload, len(answer.columns))
                results[-1].rows.append(row)
            elif part in (Part.OK, Part.END):
                results[-1].ok, results[-1].columns = answer.ok, answer.columns
                if answer.state == State.HEAD:
                    results.append(Result())
            elif part == Part.TEXT:
                results[-1].rows.append((payload,))
        return results

    def query(self, text: str) -> list[Result]:
        """COM_QUERY."""
        self.command(encode_text(Command.QUERY, text.encode()))
        return self.answer(Answer(Command.QUERY, self.capabilities))

    def rows(self, text: str) -> list[tuple[Value, ...]]:
        """The rows of the first result."""
        return self.query(text)[0].rows

    def prepare(self, text: str) -> Answer:
        """COM_STMT_PREPARE."""
        self.command(encode_text(Command.STMT_PREPARE, text.encode()))
        answer = Answer(Command.STMT_PREPARE, self.capabilities)
        self.answer(answer)
        return answer

    def execute(
        self, statement: int, types: Sequence[Parameter] = (), values: Sequence[Value] = (), cursor: int = 0
    ) -> tuple[Answer, list[Result]]:
        """COM_STMT_EXECUTE."""
        self.command(encode_execute(statement, cursor, Bound(tuple(types), tuple(values))))
        answer = Answer(Command.STMT_EXECUTE, self.capabilities)
        return answer, self.answer(answer)

    def simple(self, command: Command, number: int = 0) -> list[Result]:
        """A command with nothing but a number."""
        self.command(encode_number(command, number))
        return self.answer(Answer(command, self.capabilities))

    def change_user(self, user: str, password: str, database: str = "") -> None:
        """COM_CHANGE_USER."""
        half = auth.ClientAuth(password.encode(), secure=True)
        plugin, answer = half.start(self.greeting.plugin, self.greeting.nonce)
        change = handshake.ChangeUser(user.encode(), answer, database.encode(), 45, plugin, {b"_client_name": b"codec"})
        self.command(bytes((Command.CHANGE_USER,)) + handshake.encode_change_user(change, self.capabilities))
        while not half.accepts(body := self.read()):
            if handshake.is_error(body):
                raise Refused(parse_error(body))
            if (more := half.respond(body)) is not None:
                self.send(more)

    def close(self) -> None:
        """COM_QUIT."""
        with contextlib.suppress(OSError):
            self.command(encode_number(Command.QUIT))
        self.sock.close()
