"""Which packet of an answer is what.

A packet of this protocol does not say what it is: its first byte means one thing at the beginning of an answer,
another among the rows, and a third where EOF packets are deprecated (MySQL Source Code Documentation, "COM_QUERY
Response", "COM_STMT_EXECUTE Response", "COM_STMT_PREPARE Response", CLIENT_DEPRECATE_EOF).

Theory of operation. An `Answer` begins in the state that its command has in `_BEGINS`, and each payload moves it:

    state      payload                       part             next
    SIMPLE     OK (for COM_SET_OPTION EOF)   OK               over
    TEXT       anything that is no error     TEXT             over
    HEAD       OK                            OK               HEAD again while more results are to come, else over
               a number n                    COUNT            COLUMNS, n of them
    COLUMNS    a definition                  COLUMN           ROWS after the last, by way of an EOF where those are
               a request for a file          FILE             HEAD, after the client has sent it
    ROWS       a row                         ROW              ROWS
               EOF, or OK in its place       END              HEAD while more results are to come, else over
    PREPARE    OK of its own kind            PREPARED         PARAMETERS, then DEFINED, then over
    FIELDS     a definition                  COLUMN           FIELDS
               EOF, or OK in its place       END              over
    any        ERR                           ERROR            over

A `Passing` answer is one that is relayed as it came: of it no more is read than where it goes on.

INVARIANT: a request for a file of the client's is refused where it was not agreed to, and nothing is taken behind the
end of an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from gateway.wire.mysql.base import EOF, ERR, LOCAL_INFILE, OK, Capability, Status, violation
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.packets import MAX_PAYLOAD
from gateway.wire.mysql.results import (
    Column,
    Ok,
    Prepared,
    parse_column,
    parse_count,
    parse_end,
    parse_eof,
    parse_ok,
    parse_ok_head,
    parse_prepared,
)

MAX_COLUMNS: Final = 4096
"""The most columns that a table can have."""
MAX_DEFINITION_BYTES: Final = 16 << 20
"""The most that the definitions of one result or statement may take together: they are held."""


class Part(Enum):
    """What a payload is."""

    OK = auto()
    ERROR = auto()
    TEXT = auto()
    COUNT = auto()
    PREPARED = auto()
    PARAMETER = auto()
    COLUMN = auto()
    DIVIDER = auto()
    """The EOF packet behind definitions."""
    ROW = auto()
    END = auto()
    """The last packet of a result set, or of a list of fields."""
    FILE = auto()
    """A request for a file of the client's."""


class State(Enum):
    """Where an answer is."""

    SIMPLE = auto()
    TEXT = auto()
    HEAD = auto()
    COLUMNS = auto()
    COLUMNS_END = auto()
    ROWS = auto()
    PREPARE = auto()
    PARAMETERS = auto()
    PARAMETERS_END = auto()
    DEFINED = auto()
    DEFINED_END = auto()
    FIELDS = auto()
    OVER = auto()


_BEGINS: Final = {
    Command.INIT_DB: State.SIMPLE,
    Command.QUERY: State.HEAD,
    Command.FIELD_LIST: State.FIELDS,
    Command.STATISTICS: State.TEXT,
    Command.PROCESS_KILL: State.SIMPLE,
    Command.PING: State.SIMPLE,
    Command.STMT_PREPARE: State.PREPARE,
    Command.STMT_EXECUTE: State.HEAD,
    Command.STMT_RESET: State.SIMPLE,
    Command.SET_OPTION: State.SIMPLE,
    Command.STMT_FETCH: State.ROWS,
    Command.RESET_CONNECTION: State.SIMPLE,
}


class Answer:
    """The answer to one command: `take` each payload in order, until it is `over`.

    `columns` are the definitions of the result set that is read, `ok` the last OK or END, `prepared` a prepared
    statement's head, `rows` how many rows were taken. `columns` given at the beginning are those of a cursor, for
    COM_STMT_FETCH.
    """

    __slots__ = (
        "_capabilities",
        "_held",
        "_left",
        "binary",
        "columns",
        "command",
        "ok",
        "parameters",
        "prepared",
        "rows",
        "state",
    )

    def __init__(self, command: Command, capabilities: int, columns: list[Column] | None = None) -> None:
        if command not in _BEGINS:
            raise ValueError(f"the answer to {command.name} is none of this kind")
        self.command = command
        self.state = _BEGINS[command]
        self.binary = command in (Command.STMT_EXECUTE, Command.STMT_FETCH)
        self.columns: list[Column] = columns or []
        self.parameters: list[Column] = []
        self.ok: Ok | None = None
        self.prepared: Prepared | None = None
        self.rows = 0
        self._capabilities = capabilities
        self._left = 0
        self._held = 0

    @property
    def over(self) -> bool:
        """Whether the answer is complete."""
        return self.state == State.OVER

    def take(self, payload: bytes) -> Part:
        """What the next payload is.

        Raises: `GatewayError` `protocol-violation` for what may not come here; `feature-not-supported` for what the
        gateway does not speak.
        """
        if self.state == State.OVER or not payload:
            raise violation("the target sends a packet that has no place in its answer")
        first = payload[0]
        if self.state == State.ROWS:
            return self._row(payload, first)
        if first == ERR:
            self.state = State.OVER
            return Part.ERROR
        return _TAKES[self.state](self, payload, first)

    def count_rows(self, rows: int) -> None:
        """That many rows were walked over without being taken."""
        if self.state != State.ROWS:
            raise ValueError("there are no rows here")
        self.rows += rows

    def pass_head(self, columns: Iterable[Column]) -> None:
        """The number and the definitions of a result came as they are known, and were not taken."""
        if self.state != State.HEAD:
            raise ValueError("no result begins here")
        self.columns = list(columns)
        self.state = State.ROWS

    def _row(self, payload: bytes, first: int) -> Part:
        if first == ERR:
            self.state = State.OVER
            return Part.ERROR
        if first == EOF and len(payload) < (MAX_PAYLOAD if self._deprecated else 9):
            self._end(self._read_end(payload))
            return Part.END
        if self.binary and first != OK:
            raise violation("a row of the binary protocol was expected")
        self.rows += 1
        return Part.ROW

    @property
    def _deprecated(self) -> bool:
        return bool(self._capabilities & Capability.DEPRECATE_EOF)

    def _end(self, ok: Ok) -> None:
        self.ok = ok
        more = ok.status & Status.MORE_RESULTS_EXISTS and self.command in (Command.QUERY, Command.STMT_EXECUTE)
        self.state = State.HEAD if more else State.OVER

    def _simple(self, payload: bytes, first: int) -> Part:
        if first == EOF and self.command == Command.SET_OPTION:
            self._end(self._read_end(payload))
        elif first == OK:
            self._end(self._read_ok(payload))
        else:
            raise violation("an OK packet was expected")
        return Part.OK

    def _text(self, _payload: bytes, _first: int) -> Part:
        self.state = State.OVER
        return Part.TEXT

    def _head(self, payload: bytes, first: int) -> Part:
        if first == OK:
            self._end(self._read_ok(payload))
            return Part.OK
        if first == LOCAL_INFILE:
            if not self._capabilities & Capability.LOCAL_FILES:
                # FAIL CLOSED: it was not agreed to, and would hand a file to whoever is at the other end
                raise violation("the target asks for a file of the client's")
            return Part.FILE
        self._left = parse_count(payload, MAX_COLUMNS)
        self.columns = []
        self._held = 0
        self.state = State.COLUMNS
        return Part.COUNT

    def _column(self, payload: bytes, _first: int) -> Part:
        self._define_one(payload, self.columns)
        if not self._next():
            self.state = State.ROWS if self._deprecated else State.COLUMNS_END
        return Part.COLUMN

    def _columns_end(self, payload: bytes, _first: int) -> Part:
        warnings, status = parse_eof(payload)
        if status & Status.CURSOR_EXISTS and self.command == Command.STMT_EXECUTE:
            # the rows wait behind a cursor, so this is the end of the answer
            self._end(Ok(status=status, warnings=warnings))
            return Part.END
        self.state = State.ROWS
        return Part.DIVIDER

    def _prepare(self, payload: bytes, _first: int) -> Part:
        self.prepared = parse_prepared(payload)
        self.columns = []
        if self.prepared.parameters:
            self.state, self._left = State.PARAMETERS, self.prepared.parameters
        else:
            self._define()
        return Part.PREPARED

    def _parameter(self, payload: bytes, _first: int) -> Part:
        self._define_one(payload, self.parameters)
        if not self._next():
            if self._deprecated:
                self._define()
            else:
                self.state = State.PARAMETERS_END
        return Part.PARAMETER

    def _parameters_end(self, payload: bytes, _first: int) -> Part:
        parse_eof(payload)
        self._define()
        return Part.DIVIDER

    def _define(self) -> None:
        assert self.prepared is not None
        self._left = self.prepared.columns
        if self._left > MAX_COLUMNS:
            raise violation("a result has an impossible number of columns")
        self.state = State.DEFINED if self._left else State.OVER

    def _defined(self, payload: bytes, _first: int) -> Part:
        self._define_one(payload, self.columns)
        if not self._next():
            self.state = State.OVER if self._deprecated else State.DEFINED_END
        return Part.COLUMN

    def _defined_end(self, payload: bytes, _first: int) -> Part:
        parse_eof(payload)
        self.state = State.OVER
        return Part.DIVIDER

    def _field(self, payload: bytes, first: int) -> Part:
        if first == EOF:
            self._end(self._read_end(payload))
            return Part.END
        if len(self.columns) == MAX_COLUMNS:
            raise violation("a table has an impossible number of columns")
        self._define_one(payload, self.columns, listed=True)
        return Part.COLUMN

    def _define_one(self, payload: bytes, columns: list[Column], *, listed: bool = False) -> None:
        self._held += len(payload)
        if self._held > MAX_DEFINITION_BYTES:
            raise violation("the definitions of columns are too long")
        columns.append(parse_column(payload, listed=listed))

    def _read_ok(self, payload: bytes) -> Ok:
        return parse_ok(payload, self._capabilities)

    def _read_end(self, payload: bytes) -> Ok:
        return parse_end(payload, self._capabilities)

    def _next(self) -> int:
        self._left -= 1
        return self._left


class Passing(Answer):
    """An answer that is relayed as it came: definitions are counted, not read, and OK packets up to their numbers.

    `columns` stays empty. A request for a file is `Part.FILE` where the two sides agreed to LOCAL INFILE; the answer
    goes on when the file was sent.
    """

    __slots__ = ()

    def _define_one(self, payload: bytes, columns: list[Column], *, listed: bool = False) -> None:
        pass

    def _read_ok(self, payload: bytes) -> Ok:
        return parse_ok_head(payload)

    def _read_end(self, payload: bytes) -> Ok:
        return parse_ok_head(payload) if self._deprecated else parse_end(payload, self._capabilities)


_TAKES: Final = {
    State.SIMPLE: Answer._simple,
    State.TEXT: Answer._text,
    State.HEAD: Answer._head,
    State.COLUMNS: Answer._column,
    State.COLUMNS_END: Answer._columns_end,
    State.PREPARE: Answer._prepare,
    State.PARAMETERS: Answer._parameter,
    State.PARAMETERS_END: Answer._parameters_end,
    State.DEFINED: Answer._defined,
    State.DEFINED_END: Answer._defined_end,
    State.FIELDS: Answer._field,
}
