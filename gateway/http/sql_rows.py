"""Rows that a server masked itself, in its own statement: read strictly, counted, and written anew.

INVARIANT: what leaves is rows and their names and types. What a server tells besides (how many rows it read, how many
there were before a LIMIT, how long it took) is about rows that nobody may see, and is left out; the text of an error in
the midst of rows is no row, and ends the answer.

The forms are ClickHouse's (https://clickhouse.com/docs/interfaces/formats); the header `X-ClickHouse-Format` says
which one it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.http import json_text
from gateway.http.lines import Lines
from gateway.http.withheld import Limits, Withheld

OUTPUT = "x-clickhouse-format"
OUTPUTS = ("JSONCompact", "JSON", "JSONEachRow", "JSONCompactEachRow")
"""The forms that are read; the first is that of a request that asks for none."""


def rows_body(output: Sequence[str], bound: int, limits: Limits) -> RowsDocument | RowsLines:
    """What reads the answer in that form. Raises: Withheld for another one."""
    form = output[0] if len(output) == 1 else ""
    if form in {"JSON", "JSONCompact"}:
        return RowsDocument(bound, limits, compact=form == "JSONCompact")
    if form in {"JSONEachRow", "JSONCompactEachRow"}:
        return RowsLines(limits, compact=form == "JSONCompactEachRow")
    raise Withheld.not_allowed("does not say in which form its rows are, or says another one than was asked for")


class RowsDocument:
    """One document: `meta`, `data` and `rows`."""

    streams = False

    def __init__(self, bound: int, limits: Limits, *, compact: bool) -> None:
        self.rows = 0
        self._bound, self._depth, self._compact = bound, limits.depth, compact
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Nothing leaves before the end. Raises: Withheld."""
        self._held += piece
        if len(self._held) > self._bound:
            raise Withheld.too_large("it has more rows than are read at once; ask for JSONEachRow")
        return iter(())

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - a row says itself where it ends
        """The document. Raises: Withheld."""
        document = _read(self._held, self._depth)
        self._held.clear()
        meta, data = (document.get(name) if type(document) is dict else None for name in ("meta", "data"))
        if type(meta) is not list or type(data) is not list or not all(map(_is_column, meta)):
            raise Withheld.unreadable("it has no columns and rows")
        names = [column["name"] for column in meta]
        for row in data:
            fits = len(row) == len(names) if type(row) is list else type(row) is dict and list(row) == names
            if (type(row) is list) != self._compact or not fits:
                raise Withheld.unreadable("a row is not of its columns")
        self.rows = len(data)
        columns = [{"name": column["name"], "type": column["type"]} for column in meta]
        yield json_text.write({"meta": columns, "data": data, "rows": len(data)})


class RowsLines:
    """A row a line."""

    streams = True

    def __init__(self, limits: Limits, *, compact: bool) -> None:
        self.rows = 0
        self._depth, self._compact = limits.depth, compact
        self._lines = Lines(limits.line_bytes)
        self._form: Any = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The rows that end in that piece. Raises: Withheld."""
        for line in self._lines.feed(piece):
            yield self._row(line)

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - a row says itself where it ends
        """A last row without an end. Raises: Withheld."""
        yield self._row(self._lines.finish())

    def _row(self, line: bytes) -> bytes:
        if not line.strip(b" \t\r"):
            return b""
        row = _read(line, self._depth)
        if type(row) is not (list if self._compact else dict):
            raise Withheld.unreadable("a line is no row")
        # the columns of the first row are those of all
        form = len(row) if self._compact else list(row)
        if self._form is None:
            self._form = form
        if form != self._form:
            raise Withheld.unreadable("a row is not of the columns of the others")
        self.rows += 1
        return json_text.write(row) + b"\n"


def _read(text: bytes | bytearray, depth: int) -> Any:
    try:
        return json_text.read(text, depth)
    except json_text.Unreadable as why:
        raise Withheld.unread(why) from None


def _is_column(value: Any) -> bool:
    return type(value) is dict and type(value.get("name")) is str and type(value.get("type")) is str
