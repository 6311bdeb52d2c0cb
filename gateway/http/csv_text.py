"""CSV answers (RFC 4180): a header, then records, row by row, of the columns that the policy names.

INVARIANT: one record is held at most, of bounded length. What the RFC does not allow is not read: a quote inside an
unquoted field, a record with another number of fields, a carriage return on its own. A byte order mark in front, which
the RFC does not know and spreadsheets write, is taken off.

An unquoted empty field is null and a quoted one the empty text, as PostgreSQL's COPY reads them, and so they leave.
Columns leave in the policy's order. A cell that a spreadsheet would take for a formula leaves as it is: the data is not
ours to change, and whoever opens it in a spreadsheet imports it as text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from gateway.http.json_text import Number, number_text, write
from gateway.http.lines import Lines
from gateway.http.values import Leaf, leaf
from gateway.http.withheld import Limits, Withheld
from gateway.policy.http_rules import AnswerRule
from gateway.policy.http_values import written

Record = list[str | None]

_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\Z)')
_TO_QUOTE = re.compile(r'[",\r\n]|\A[ \t]|[ \t]\Z|\A\Z')
_MARK = b"\xef\xbb\xbf"


def columns(rule: AnswerRule, reveal: frozenset[str]) -> dict[str, Leaf | None]:
    """What is done with each column that the rule names.

    Raises: ValueError for a rule that contradicts itself.
    """
    named: dict[str, Leaf | None] = {}
    for field in rule.fields:
        if len(field.path) != 1 or field.path[0] in named:
            raise ValueError("a column of CSV has a name of its own and nothing below")
        revealed = field.reveal and written(field.path) in reveal
        named[field.path[0]] = leaf(field, revealed=revealed)
    if rule.customer is not None and len(rule.customer) != 1:
        raise ValueError("a customer in CSV is a column")
    return named


def record(text: str) -> Record:
    """The fields of one record, without its end.

    Raises: ValueError for what RFC 4180 does not allow.
    """
    if '"' not in text and "\r" not in text and "\n" not in text:
        return [field or None for field in text.split(",")]
    fields: Record = []
    at = 0
    while True:
        match = _FIELD.match(text, at)
        if match is None:
            raise ValueError("a record is not as RFC 4180 says")
        quoted, plain, separator = match.groups()
        fields.append(plain or None if quoted is None else quoted.replace('""', '"'))
        if not separator:
            return fields
        at = match.end()


def line(fields: Record) -> bytes:
    """A record's text, with its end."""
    return (",".join(map(_quoted, fields)) + "\r\n").encode()


class CsvBody:
    """Records under the rule, those of others left out.

    Raises: ValueError for a rule that contradicts itself; Withheld from its methods.
    """

    streams = True

    def __init__(
        self, rule: AnswerRule, customers: Collection[str], key: bytes | None, reveal: frozenset[str], limits: Limits
    ) -> None:
        self.rows = 0
        self._customer = rule.customer[0] if rule.customer else None
        self._columns = columns(rule, reveal)
        self._customers = customers
        self._key = key
        self._limits = limits
        self._lines = Lines(limits.line_bytes)
        self._open: list[bytes] = []
        self._opened = 0
        self._width = 0
        self._whose = -1
        self._kept: list[tuple[int, Leaf | None]] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What leaves for the records that end in that piece."""
        for part in self._lines.feed(piece):
            complete = self._complete(part)
            if complete is not None:
                yield self._record(complete.removesuffix(b"\r"))

    def finish(self, *, proven: bool) -> Iterator[bytes]:
        """What leaves for a last record without an end."""
        rest = self._lines.finish()
        if rest or self._open:
            if not proven:
                raise Withheld.unproven()
            complete = self._complete(rest)
            if complete is None:
                raise Withheld.unreadable("a quoted field does not end")
            yield self._record(complete.removesuffix(b"\r"))
        if not self._width:
            raise Withheld.unreadable("it has no header")

    def _complete(self, part: bytes) -> bytes | None:
        """The record that ends with this line; None while a quoted field goes on."""
        odd = part.count(b'"') % 2
        if not self._open:
            if not odd:
                return part
            self._opened = 0
        self._open.append(part)
        self._opened += len(part) + 1
        if self._opened > self._limits.line_bytes:
            raise Withheld.too_large(f"a record is longer than {self._limits.line_bytes} bytes")
        # an odd line opens a quoted field or, inside one, ends it
        if len(self._open) == 1 or not odd:
            return None
        whole = b"\n".join(self._open)
        self._open.clear()
        return whole

    def _record(self, text: bytes) -> bytes:
        if not self._width:
            return self._header(self._read(text.removeprefix(_MARK)))
        if not text and self._width > 1:
            return b""
        fields = self._read(text)
        if len(fields) != self._width:
            raise Withheld.unreadable("a record has another number of fields than the header")
        if self._customer is not None and (self._whose < 0 or fields[self._whose] not in self._customers):
            return b""
        self.rows += 1
        return line(
            [
                fields[place] if masked is None else _cell(masked(fields[place], self._key))
                for place, masked in self._kept
            ]
        )

    def _header(self, names: Record) -> bytes:
        if None in names or "" in names or len(set(names)) != len(names):
            raise Withheld.unreadable("its header has a column without a name, or one name twice")
        self._width = len(names)
        places = {name: place for place, name in enumerate(names)}
        self._whose = places.get(self._customer, -1)
        kept = [name for name in self._columns if name in places]
        if not kept:
            raise Withheld.unreadable("its header has none of the columns that the policy names")
        self._kept = [(places[name], self._columns[name]) for name in kept]
        return line(list(kept))

    def _read(self, text: bytes) -> Record:
        try:
            decoded = text.decode("utf-8")
        except UnicodeDecodeError:
            raise Withheld.unreadable("it is not UTF-8") from None
        if "\0" in decoded:
            raise Withheld.unreadable("it has a character that no text has")
        try:
            fields = record(decoded)
        except ValueError as why:
            raise Withheld.unreadable(str(why)) from None
        if len(fields) > self._limits.columns:
            raise Withheld.too_large(f"a record has more than {self._limits.columns} fields")
        return fields


def _cell(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return number_text(value) if type(value) is Number else write(value).decode()


def _quoted(field: str | None) -> str:
    if field is None:
        return ""
    return '"' + field.replace('"', '""') + '"' if _TO_QUOTE.search(field) else field
