"""The trace format of `tests/corpus/wire`: what went over one PostgreSQL connection, readable and exact.

A trace is lines. `# …` is prose. `F …` (from the frontend) or `B …` (from the backend) is one message as
`Describer` shows it; the indented line below holds its bytes in hexadecimal. A line `# another connection` ends one
connection and begins the next. `tests/corpus/wire/record.py` records them from real clients and a real server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.wire import postgres as pg

CORPUS = Path(__file__).parents[2] / "corpus" / "wire"


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a trace: `side` is `F` or `B`, `data` all of its bytes."""

    side: str
    text: str
    data: bytes


def connections() -> dict[str, list[Line]]:
    """Every connection of the corpus, as `<trace>-<number>`, and its messages."""
    found = {
        f"{path.stem}-{number}": _messages(text)
        for path in sorted(CORPUS.glob("*.trace"))
        for number, text in enumerate(path.read_text("utf-8").split("# another connection\n"))
    }
    assert found, "the corpus of wire traces is empty"
    return found


def _messages(text: str) -> list[Line]:
    """The messages of one connection."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    heads, hexes = lines[::2], lines[1::2]
    return [Line(head[0], head[2:], bytes.fromhex(data)) for head, data in zip(heads, hexes, strict=True)]


class Describer:
    """Words for messages; it remembers the last Authentication, which says what a `p` is."""

    def __init__(self) -> None:
        self._asked = -1

    def describe(self, side: str, data: bytes) -> tuple[str, bytes | None]:
        """One message in words, and the same message encoded anew where the codec has an encoder for it."""
        if side == "F":
            return self._frontend(data)
        return self._backend(data)

    def _frontend(self, data: bytes) -> tuple[str, bytes | None]:
        if data[0] == 0:
            return _startup(data)
        kind, body = data[0], data[5:]
        match chr(kind):
            case "Q":
                query = pg.decode_query(body)
                return f"Query {query.text!r}", pg.encode_query(query.text)
            case "P":
                parse = pg.decode_parse(body)
                return f"Parse {_name(parse.name)} {parse.text!r} {list(parse.types)}", pg.encode_parse(*parse)
            case "B":
                bind = pg.decode_bind(body)
                again = pg.relay_bind(bind, portal=bind.portal, statement=bind.statement)
                formats = f"params {list(bind.param_formats)} x{bind.nparams} results {list(bind.result_formats)}"
                return f"Bind {_name(bind.portal)} {_name(bind.statement)} {formats}", again
            case "D":
                describe = pg.decode_describe(body)
                return f"Describe {chr(describe.kind)} {_name(describe.name)}", pg.encode_describe(*describe)
            case "C":
                close = pg.decode_close(body)
                return f"Close {chr(close.kind)} {_name(close.name)}", pg.encode_close(*close)
            case "E":
                execute = pg.decode_execute(body)
                return f"Execute {_name(execute.portal)} {execute.max_rows}", pg.encode_execute(*execute)
            case "S":
                pg.decode_empty(body, "Sync")
                return "Sync", pg.encode_sync()
            case "H":
                pg.decode_empty(body, "Flush")
                return "Flush", pg.encode_flush()
            case "X":
                pg.decode_empty(body, "Terminate")
                return "Terminate", pg.encode_terminate()
            case "p":
                return self._secret(body)
        raise AssertionError(f"no words for a frontend's {chr(kind)!r}")

    def _secret(self, body: bytes) -> tuple[str, bytes]:
        if self._asked == pg.AUTH_SASL:
            initial = pg.decode_sasl_initial_response(body)
            shown = f"SASLInitialResponse {initial.mechanism} {(initial.data or b'').decode()}"
            return shown, pg.encode_sasl_initial_response(*initial)
        if self._asked == pg.AUTH_SASL_CONTINUE:
            return f"SASLResponse {pg.decode_sasl_response(body).decode()}", pg.encode_sasl_response(body)
        return "PasswordMessage", pg.encode_password(pg.decode_password(body))

    def _backend(self, data: bytes) -> tuple[str, bytes | None]:
        if len(data) == 1:
            return f"({data.decode()})", data
        kind, body = data[0], data[5:]
        match chr(kind):
            case "R":
                return self._authentication(body)
            case "S":
                name, value = pg.parse_parameter_status(body)
                return f"ParameterStatus {name} = {value}", pg.encode_parameter_status(name, value)
            case "K":
                pid, secret = pg.parse_backend_key(body)
                return f"BackendKeyData {pid} {secret.hex()}", pg.encode_backend_key(pid, secret)
            case "Z":
                status = pg.parse_ready(body)
                return f"ReadyForQuery {status.decode()}", pg.encode_ready(status)
            case "C":
                tag = pg.parse_command_complete(body)
                return f"CommandComplete {tag}", pg.encode_command_complete(tag)
            case "E" | "N":
                fields = pg.parse_error_fields(body)
                words = "ErrorResponse" if kind == pg.ERROR_RESPONSE else "NoticeResponse"
                return f"{words} {fields['S']} {fields['C']} {fields['M']}", None
            case "T":
                fields_of = pg.parse_row_description(body)
                return "RowDescription " + ", ".join(f"{f.name}:{f.type}/{f.format}" for f in fields_of), None
            case "D":
                row = pg.parse_data_row(body)
                return "DataRow " + " ".join("NULL" if v is None else repr(v)[1:] for v in row), pg.encode_data_row(row)
        plain = {
            "1": "ParseComplete",
            "2": "BindComplete",
            "3": "CloseComplete",
            "I": "EmptyQueryResponse",
            "n": "NoData",
            "s": "PortalSuspended",
            "t": "ParameterDescription",
            "H": "CopyOutResponse",
            "d": "CopyData",
            "c": "CopyDone",
            "v": "NegotiateProtocolVersion",
        }
        return f"{plain[chr(kind)]} {len(body)} bytes" if body else plain[chr(kind)], pg.frame(kind, body)

    def _authentication(self, body: bytes) -> tuple[str, bytes | None]:
        asked = pg.parse_authentication(body)
        self._asked = asked.kind
        match asked.kind:
            case pg.AUTH_OK:
                return "AuthenticationOk", pg.encode_auth_ok()
            case pg.AUTH_CLEARTEXT:
                return "AuthenticationCleartextPassword", pg.encode_auth_cleartext()
            case pg.AUTH_SASL:
                shown = f"AuthenticationSASL {' '.join(asked.mechanisms)}"
                return shown, pg.encode_auth_sasl(asked.mechanisms)
            case pg.AUTH_SASL_CONTINUE:
                return f"AuthenticationSASLContinue {asked.data.decode()}", pg.encode_auth_sasl_continue(asked.data)
            case pg.AUTH_SASL_FINAL:
                return f"AuthenticationSASLFinal {asked.data.decode()}", pg.encode_auth_sasl_final(asked.data)
        raise AssertionError(f"no words for authentication {asked.kind}")


def split(side: str, stream: bytes) -> Iterator[bytes]:
    """The messages of one direction, untyped packets included; used to write a trace, not to test one."""
    position = 0
    while position < len(stream):
        if side == "B" and stream[position : position + 1] in (b"S", b"N") and position == 0 and len(stream) == 1:
            yield stream
            return
        typed = stream[position] != 0
        at = position + 1 if typed else position
        after = at + int.from_bytes(stream[at : at + 4])
        assert after <= len(stream), "a message is cut short"
        yield stream[position:after]
        position = after


def _startup(data: bytes) -> tuple[str, bytes]:
    assert pg.startup_length(data[:4]) == len(data)
    match pg.parse_startup(data[4:]):
        case pg.StartupMessage(major, minor, parameters):
            shown = " ".join(f"{name}={value}" for name, value in parameters.items())
            return f"StartupMessage {major}.{minor} {shown}", pg.encode_startup(parameters, minor)
        case pg.SSLRequest():
            return "SSLRequest", pg.encode_ssl_request()
        case pg.GSSENCRequest():
            return "GSSENCRequest", pg.encode_gssenc_request()
        case pg.CancelRequest(pid, secret):
            return f"CancelRequest {pid} {secret.hex()}", pg.encode_cancel(pid, secret)


def _name(name: bytes) -> str:
    return repr(name)[1:]
