"""A relay made of both halves of the MySQL wire, for the tests.

It decodes what it gets from either side and encodes it anew towards the other, whatever the two negotiated: what a
client is shown through it went through every encoder of the codec.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from mysql_wire import Client, Line

from gateway.errors import CODES, GatewayError
from gateway.wire.mysql import auth, handshake
from gateway.wire.mysql.answers import Answer, Part, State
from gateway.wire.mysql.base import Capability, Status
from gateway.wire.mysql.commands import (
    SILENT,
    Command,
    Execute,
    Fetch,
    FieldList,
    LongData,
    Parameter,
    bind,
    command_of,
    decode_execute,
    decode_fetch,
    decode_field_list,
    decode_long_data,
    decode_number,
    decode_text,
    encode_execute,
    encode_fetch,
    encode_field_list,
    encode_long_data,
    encode_number,
    encode_text,
)
from gateway.wire.mysql.packets import following, frame
from gateway.wire.mysql.results import (
    Column,
    Ok,
    encode_binary_row,
    encode_column,
    encode_count,
    encode_end,
    encode_eof,
    encode_error,
    encode_ok,
    encode_prepared,
    encode_text_row,
    parse_binary_row,
    parse_column,
    parse_end,
    parse_error,
    parse_ok,
    parse_prepared,
    parse_text_row,
)
from gateway.wire.mysql.tracking import for_client


@dataclass
class Statement:
    """What the relay knows of a prepared statement."""

    columns: list[Column]
    parameters: int
    types: tuple[Parameter, ...] | None = None
    long: set[int] = field(default_factory=set)


class Relay:
    """Serves clients with our server's half and asks a target with our client's half, one thread per client.

    People sign in as `user` with `password`, by `plugin`; `offered` is what clients may have. `verified`: the relay has
    a verifier of the password, and is not only able to tell it when it sees it.
    """

    def __init__(
        self,
        target: tuple[str, int] | Path,
        target_user: tuple[str, str],
        directory: Path,
        *,
        ca: Path | None = None,
        plugin: str = auth.CACHING_SHA2,
        offered: int = handshake.OFFERED,
        wanted: int = handshake.TOWARDS_TARGETS,
        ask_password: bool = False,
        verified: bool = True,
    ) -> None:
        from gateway import certificates
        from gateway.demo.ports import HOST, free_port

        issued = certificates.issue("Relay", ["localhost", HOST])
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = directory / "relay-ca.pem"
        self.ca.write_bytes(issued.ca)
        (directory / "relay.pem").write_bytes(issued.certificate)
        (directory / "relay.key").write_bytes(issued.key)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(directory / "relay.pem", directory / "relay.key")
        self.user, self.password = "alice", "a-pass-of-128-bits"
        self.target, self.target_user, self.target_ca = target, target_user, ca
        self.plugin, self.offered, self.wanted = plugin, offered, wanted
        self.ask, self.verified = ask_password, verified
        self.problems: list[BaseException] = []
        self.attributes: list[dict[bytes, bytes]] = []
        self.commands: list[Command] = []
        self._stopping = False
        self._listener = socket.create_server((HOST, free_port()))
        self.host, self.port = self._listener.getsockname()[:2]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Relay:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        with contextlib.suppress(OSError):
            socket.create_connection((self.host, self.port), timeout=5).close()
        self._accepting.join(30)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopping:
                sock.close()
                return
            sock.settimeout(60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        line = Line(sock)
        try:
            Session(self, line).run()
        except (ConnectionError, ssl.SSLError):
            pass
        except GatewayError as error:
            code = CODES[error.code]
            with contextlib.suppress(OSError):
                line.send(encode_error(code.errno, code.sqlstate, f"{error} [{error.code}]"))
            self.problems.append(error)
        except BaseException as error:
            self.problems.append(error)
        finally:
            line.sock.close()


class Session:
    """One client of the relay."""

    def __init__(self, relay: Relay, line: Line) -> None:
        self.relay, self.line = relay, line
        self.statements: dict[int, Statement] = {}

    def run(self) -> None:
        capabilities = self._login()
        if capabilities is None:
            return
        self.capabilities = capabilities
        relay = self.relay
        target = Client(
            relay.target,
            *relay.target_user,
            ca=relay.target_ca,
            database=self.database,
            wanted=relay.wanted if capabilities & Capability.FOUND_ROWS else relay.wanted & ~Capability.FOUND_ROWS,
        )
        self.target = target
        try:
            self.line.send(encode_ok(self._told(target.ok), capabilities))
            self.line.framer.commands = True
            while payload := self.line.read():
                command = command_of(payload)
                relay.commands.append(command)
                if command == Command.QUIT:
                    return
                self._command(command, payload)
        finally:
            target.close()

    def _login(self) -> Capability | None:
        line, relay = self.line, self.relay
        nonce = handshake.make_nonce()
        line.send(
            handshake.encode_greeting(
                handshake.Greeting("8.0.40-relay", 7, nonce, relay.offered, relay.plugin, 45, Status.AUTOCOMMIT)
            )
        )
        login = handshake.decode_login(line.first(), relay.offered)
        if not isinstance(login, handshake.SSLRequest):
            raise GatewayError("tls-required", "the connection must use TLS", fatal=True)
        line.sock = relay.tls.wrap_socket(line.sock, server_side=True)
        login = handshake.decode_login(line.read(), relay.offered)
        assert isinstance(login, handshake.HandshakeResponse)
        relay.attributes.append(dict(login.attributes))
        proven = self._judge(nonce, login.plugin, login.auth)
        if login.user != relay.user.encode() or not proven:
            line.send(encode_error(1045, "28000", "not you"))
            return None
        self.database = (login.database or b"").decode()
        return login.capabilities

    def _judge(self, nonce: bytes, plugin: str, answer: bytes) -> bool:
        """Whether the client proves that it knows the password, as often as it takes."""
        line, relay = self.line, self.relay
        secrets = [b"another", relay.password.encode()] if relay.verified else [b"another"]
        verifiers = [auth.Verifier.of(secret) for secret in secrets]
        server = auth.ServerAuth(relay.plugin, nonce, verifiers, secure=True, ask_password=relay.ask)
        judged = server.start(plugin, answer)
        while True:
            if judged.send:
                line.send(judged.send)
            if not judged.more:
                return judged.proven == 1 or judged.password == relay.password.encode()
            judged = server.go_on(line.read())

    def _change_user(self, payload: bytes) -> None:
        """Prove it again, to a new nonce, and begin with a session as new."""
        line, target = self.line, self.target
        change = handshake.decode_change_user(payload[1:], self.capabilities)
        line.framer.commands = False
        proven = self._judge(handshake.make_nonce(), "", b"")
        if change.user != self.relay.user.encode() or not proven:
            line.send(encode_error(1045, "28000", "not you"))
            raise ConnectionResetError("refused")
        target.simple(Command.RESET_CONNECTION)
        if change.database:
            target.command(encode_text(Command.INIT_DB, change.database))
            target.answer(Answer(Command.INIT_DB, target.capabilities))
        self.statements.clear()
        line.send(encode_ok(Ok(), self.capabilities))
        line.framer.commands = True

    def _command(self, command: Command, payload: bytes) -> None:
        target = self.target
        statement: Statement | None = None
        columns: list[Column] | None = None
        if command in (Command.QUERY, Command.STMT_PREPARE, Command.INIT_DB):
            sent = encode_text(command, decode_text(payload))
        elif command == Command.FIELD_LIST:
            fields: FieldList = decode_field_list(payload)
            sent = encode_field_list(fields)
        elif command == Command.STMT_EXECUTE:
            execute: Execute = decode_execute(payload)
            statement = self.statements[execute.statement]
            bound = bind(execute, statement.parameters, statement.types, statement.long)
            statement.types = bound.types
            sent = encode_execute(execute.statement, execute.cursor, bound, statement.long)
            statement.long = set()
        elif command == Command.STMT_SEND_LONG_DATA:
            piece: LongData = decode_long_data(payload)
            self.statements[piece.statement].long.add(piece.parameter)
            sent = encode_long_data(piece)
        elif command == Command.STMT_FETCH:
            fetch: Fetch = decode_fetch(payload)
            columns = self.statements[fetch.statement].columns
            sent = encode_fetch(fetch)
        elif command == Command.CHANGE_USER:
            self._change_user(payload)
            return
        elif command == Command.SET_OPTION:
            # it is the relay's business; towards the target nothing changes
            decode_number(payload)
            self.line.send(encode_end(Ok(), self.capabilities))
            return
        else:
            sent = encode_number(command, decode_number(payload))
        target.command(sent)
        if command in SILENT:
            return
        answer = Answer(command, target.capabilities, columns)
        self._relay(answer)
        if statement is not None and answer.columns:
            statement.columns = answer.columns
        if answer.prepared is not None:
            self.statements[answer.prepared.statement] = Statement(answer.columns, answer.prepared.parameters)

    def _relay(self, answer: Answer) -> None:
        out = Outgoing(self)
        while not answer.over:
            state = answer.state
            payload = self.target.read()
            if not payload:
                raise ConnectionResetError("closed by the target")
            out.part(answer, state, answer.take(payload), payload)
        if out.divider_due:
            out.send(encode_eof())
        out.flush()

    def _told(self, ok: Ok) -> Ok:
        return ok._replace(changes=for_client(ok.changes))


class Outgoing:
    """An answer on its way to the client, in the packets that the client's capabilities ask for."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.buffer: list[bytes] = []
        self.size = 0
        self.divider_due = False

    def send(self, payload: bytes) -> None:
        framer = self.session.line.framer
        self.buffer.append(frame(payload, framer.sequence))
        self.size += len(payload)
        framer.sequence = following(len(payload), framer.sequence)
        if self.size > 1 << 18:
            self.flush()

    def flush(self) -> None:
        self.session.line.sock.sendall(b"".join(self.buffer))
        self.buffer, self.size = [], 0

    def part(self, answer: Answer, state: State, part: Part, payload: bytes) -> None:
        capabilities, target = self.session.capabilities, self.session.target.capabilities
        old = not capabilities & Capability.DEPRECATE_EOF
        if self.divider_due:
            # where the rows wait behind a cursor, the end of the answer is the only EOF packet
            self.divider_due = False
            if not (part == Part.END and answer.ok is not None and answer.ok.status & Status.CURSOR_EXISTS):
                self.send(encode_eof())
        if part == Part.ERROR:
            error = parse_error(payload)
            self.send(encode_error(error.errno, error.sqlstate, error.message))
        elif part == Part.OK:
            ok = self.session._told(parse_ok(payload, target) if payload[0] == 0 else parse_end(payload, target))
            self.send(encode_end(ok, capabilities) if payload[0] else encode_ok(ok, capabilities))
        elif part == Part.TEXT:
            self.send(payload)
        elif part == Part.COUNT:
            self.send(encode_count(payload[0] if payload[0] < 251 else int.from_bytes(payload[1:3], "little")))
        elif part == Part.PREPARED:
            self.send(encode_prepared(parse_prepared(payload)))
        elif part in (Part.PARAMETER, Part.COLUMN):
            listed = answer.command == Command.FIELD_LIST
            self.send(encode_column(parse_column(payload, listed=listed), listed=listed))
            ended = answer.state != state
            # a target that sends EOF packets sends one now, which becomes the client's; who sends none leaves it to us
            if ended and old and target & Capability.DEPRECATE_EOF and not listed:
                self.divider_due = True
        elif part == Part.DIVIDER:
            if old:
                self.send(encode_eof())
        elif part == Part.ROW:
            if answer.binary:
                self.send(encode_binary_row(parse_binary_row(payload, answer.columns), answer.columns))
            else:
                self.send(encode_text_row(parse_text_row(payload, len(answer.columns))))
        else:
            assert part == Part.END
            assert answer.ok is not None
            self.send(encode_end(self.session._told(answer.ok), capabilities))
