"""Ordinary PostgreSQL clients, driven by a program: `psql` where there is one that speaks TLS, else psycopg.

Both answer alike, so that the tour reads the same with either: what a statement returned, what the server said
beside it, and whether the connection is still there.
"""

from __future__ import annotations

import contextlib
import csv
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import make_conninfo

_PATIENCE_S = 30
_MARK = "--end-of-answer--"
_SAID = re.compile(r"^(?:psql:.*?)?(ERROR|FATAL|NOTICE|WARNING):\s+(?:([0-9A-Z]{5}): )?(.*)$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: rows as text (NULL is ""), an error, notices; `closed` when the session ended."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notices: tuple[str, ...] = ()
    error: str = ""
    sqlstate: str = ""
    hint: str = ""
    closed: bool = False

    def column(self, name: str) -> list[str]:
        """The values of one column. Raises `ValueError` when there is none of that name."""
        index = self.columns.index(name)
        return [row[index] for row in self.rows]


class ConnectionRefused(Exception):
    """The server did not let the client in; the text is all that it said."""


class Client(Protocol):
    """One open session."""

    name: str

    def run(self, statement: str) -> Answer:
        """Run one statement and wait for its answer."""
        ...

    def close(self) -> None:
        """End the session, politely."""
        ...


def find_psql() -> str | None:
    """The path of a `psql` that was built with TLS, or None."""
    path = shutil.which("psql")
    if path is None:
        return None
    # One without TLS refuses the option before it connects; port 1 refuses everybody else.
    asked = subprocess.run(
        [path, "-X", "-w", "host=127.0.0.1 port=1 sslmode=require connect_timeout=5", "-c", ""],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=bare_environment(),
    )
    return None if "SSL support is not compiled in" in asked.stderr else path


def connect(psql: str | None, parameters: Mapping[str, Any], password: str) -> Client:
    """A session with libpq's `parameters`, through `psql` if given. Raises `ConnectionRefused`."""
    if psql is not None:
        return _Psql(psql, parameters, password)
    return _Psycopg(parameters, password)


def stream_copy(psql: str | None, parameters: Mapping[str, Any], password: str, query: str) -> Iterator[bytes]:
    """The lines of `COPY (query) TO STDOUT` as they arrive; they end when the result or the connection does."""
    statement = f"copy ({query}) to stdout"
    if psql is None:
        with psycopg.connect(make_conninfo("", password=password, **parameters), autocommit=True) as connection:
            yield from _copied(connection, statement)
        return
    process = subprocess.Popen(
        [psql, "-X", "-q", "-w", make_conninfo("", **parameters), "-c", statement],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**bare_environment(), "PGPASSWORD": password},
        # Nothing may be lost between psql and us: what psql has printed is what the client received.
        bufsize=0,
    )
    assert process.stdout is not None
    try:
        yield from _lines(process.stdout)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def bare_environment() -> dict[str, str]:
    """Our environment without what would lead libpq elsewhere, and without the gateway's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "GATEWAY_"))}


@dataclass
class _Psql:
    """`psql` as a child with pipes; markers on both its outputs tell where an answer ends."""

    path: str
    parameters: Mapping[str, Any]
    password: str = field(repr=False)
    name: str = "psql"

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            [self.path, "-X", "-q", "-w", "--csv", "-v", "VERBOSITY=verbose", make_conninfo("", **self.parameters)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**bare_environment(), "PGPASSWORD": self.password, "PGAPPNAME": "psql"},
        )
        self._out = _pump(self._process.stdout)
        self._said = _pump(self._process.stderr)
        hello = self.run("")
        if hello.closed:
            self.close()
            raise ConnectionRefused(hello.error)

    def run(self, statement: str) -> Answer:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{statement}\n;\n" if statement else "")
            self._process.stdin.write(f"\\echo {_MARK}\n\\warn {_MARK}\n")
            self._process.stdin.flush()
        rows, ended = _until_mark(self._out)
        said, gone = _until_mark(self._said)
        table = [tuple(row) for row in csv.reader(StringIO("\n".join(rows)))]
        return _answer(table, said, closed=ended or gone)

    def close(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


@dataclass
class _Psycopg:
    """A psycopg connection."""

    parameters: Mapping[str, Any]
    password: str = field(repr=False)
    name: str = "psycopg"

    def __post_init__(self) -> None:
        try:
            self._connection = psycopg.connect(
                make_conninfo("", password=self.password, **self.parameters), autocommit=True
            )
        except psycopg.OperationalError as error:
            raise ConnectionRefused(str(error).rpartition("FATAL:")[2].split("\n")[0].strip()) from error
        self._notices: list[str] = []
        self._connection.add_notice_handler(lambda notice: self._notices.append(notice.message_primary or ""))

    def run(self, statement: str) -> Answer:
        self._notices.clear()
        try:
            cursor = self._connection.execute(statement.encode())
            columns = tuple(column.name for column in cursor.description or ())
            rows = tuple(tuple(_text(value) for value in row) for row in cursor.fetchall()) if columns else ()
        except psycopg.Error as error:
            said = error.diag
            return Answer(
                notices=tuple(self._notices),
                error=said.message_primary or str(error),
                sqlstate=said.sqlstate or "",
                hint=said.message_hint or "",
                closed=self._connection.closed,
            )
        return Answer(columns, rows, tuple(self._notices))

    def close(self) -> None:
        self._connection.close()


def _answer(table: list[tuple[str, ...]], said: Iterable[str], *, closed: bool) -> Answer:
    notices, errors, sqlstate, hint, rest = [], [], "", "", []
    for line in said:
        found = _SAID.match(line)
        if found is None:
            hint = line.removeprefix("HINT:").strip() if line.startswith("HINT:") else hint
            rest.append(line)
        elif found[1] in ("NOTICE", "WARNING"):
            notices.append(found[3])
        else:
            errors.append(found[3])
            sqlstate = found[2] or sqlstate
    columns, rows = (table[0], tuple(table[1:])) if table else ((), ())
    error = errors[0] if errors else "\n".join(rest) if closed else ""
    return Answer(columns, rows, tuple(notices), error, sqlstate, hint, closed)


def _until_mark(lines: queue.Queue[str | None]) -> tuple[list[str], bool]:
    """The lines before the marker, and whether the output ended instead. Raises `TimeoutError`."""
    got: list[str] = []
    while True:
        try:
            line = lines.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise TimeoutError(f"psql gave no answer within {_PATIENCE_S} s") from None
        if line is None:
            lines.put(None)
            return got, True
        if line == _MARK:
            return got, False
        got.append(line)


def _pump(stream: Any) -> queue.Queue[str | None]:
    """Lines of a pipe as they come, then None; read in a thread, so that neither of two pipes can fill up."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        with stream:
            for line in stream:
                lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True, name="psql output").start()
    return lines


def _lines(stream: Any) -> Iterator[bytes]:
    """Whole lines of an unbuffered pipe."""
    rest = b""
    while chunk := stream.read(65536):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole


def _copied(connection: psycopg.Connection[Any], statement: str) -> Iterator[bytes]:
    try:
        with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for block in copy:
                yield bytes(block).rstrip(b"\n")
    except psycopg.OperationalError:
        return


def _text(value: Any) -> str:
    if value is None:
        return ""
    return {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)
