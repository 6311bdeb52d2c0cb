"""Statements of Trino carried out by DuckDB: the same functions by the same names, as Trino's documentation has them.

Only calls are told apart by name: sqlglot knows no function here, so that none is turned into what it takes for the
same one of DuckDB's. What Trino's functions do otherwise than DuckDB's of that name is a macro, or Python.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import duckdb
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.trino import Trino
from sqlglot.parsers.trino import TrinoParser

_MACROS = """
bytes(a, s, n) AS unhex(substr(hex(a), CAST(2 * s - 1 AS INTEGER), CAST(2 * n AS INTEGER)))
bitwise_and(a, b) AS a & b
bitwise_or(a, b) AS a | b
to_utf8(a) AS encode(a)
to_hex(a) AS hex(a)
regexp_extract(a, p) AS CASE WHEN regexp_matches(a, p) THEN regexp_extract(a, p) END
regexp_like(a, p) AS regexp_matches(a, p)
regexp_replace(a, p, r) AS regexp_replace(a, p, replace(r, '$', chr(92)), 'g')
rpad(a, n, p) AS rpad(a, CAST(n AS INTEGER), p)
lpad(a, n, p) AS lpad(a, CAST(n AS INTEGER), p)
greatest(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN greatest(a, b) END
least(a, b) AS CASE WHEN a IS NOT NULL AND b IS NOT NULL THEN least(a, b) END
concat(a, b) AS a || b, (a, b, c) AS a || b || c, (a, b, c, d) AS a || b || c || d
transform(a, f) AS list_transform(a, f)
sequence(a, b) AS range(a, b + 1)
array_join(a, s) AS array_to_string(a, s)
split_part(a, s, n) AS split_part(a, s, CAST(n AS INTEGER))
strpos(a, b) AS strpos(a, b)
count_if(a) AS count_if(a)
arbitrary(a) AS any_value(a)
date_diff(u, a, b) AS date_diff(u, a, b)
substr(a VARCHAR, s) AS substr(a, s), (a VARCHAR, s, n) AS substr(a, s, n), (a BLOB, s, n) AS trino_bytes(a, s, n)
date_trunc(u VARCHAR, v DATE) AS CAST(date_trunc(u, v) AS DATE), (u VARCHAR, v TIMESTAMP) AS date_trunc(u, v)
version() AS '481'
typeof(a) AS lower(typeof(a))
"""
_TYPES = {
    "BIGINT": "bigint", "INTEGER": "integer", "SMALLINT": "smallint", "TINYINT": "tinyint", "DOUBLE": "double",
    "FLOAT": "real", "VARCHAR": "varchar", "BOOLEAN": "boolean", "DATE": "date", "UUID": "uuid",
    "TIMESTAMP": "timestamp(6)", "TIMESTAMP WITH TIME ZONE": "timestamp(6) with time zone", "HUGEINT": "bigint",
    "BLOB": "varbinary", "NULL": "unknown", '"NULL"': "unknown", "INTERVAL": "interval day to second",
}  # fmt: skip


class _Trino(Trino):
    class Parser(TrinoParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: TrinoParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT", "SUBSTRING")
        }


class Failed(Exception):
    """What Trino would call the error, and what the engine says of it."""

    def __init__(self, name: str, number: int, text: str) -> None:
        super().__init__(text)
        self.name, self.number = name, number


class Engine:
    """One database; `run` gives names, types and rows as Trino's protocol has them."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self._own = set()
        for line in _MACROS.strip().splitlines():
            name = line.partition("(")[0]
            self._own.add(name)
            self.connection.execute(f"CREATE MACRO trino_{line}")
        for name, function, kinds, made in (
            ("hmac_sha256", _hmac, ["BLOB", "BLOB"], "BLOB"),
            ("from_base", lambda text, radix: int(text, radix), ["VARCHAR", "BIGINT"], "BIGINT"),
            ("to_base", lambda number, radix: format(number, "x") if radix == 16 else None, ["BIGINT", "BIGINT"],
             "VARCHAR"),
            ("from_big_endian_64", lambda raw: int.from_bytes(raw, "big", signed=True), ["BLOB"], "BIGINT"),
            ("translate", lambda text, old, new: text.translate(str.maketrans(old, new)), ["VARCHAR"] * 3, "VARCHAR"),
        ):  # fmt: skip
            self._own.add(name)
            self.connection.create_function(f"trino_{name}", function, kinds, made)

    def close(self) -> None:
        """Let go of it."""
        self.connection.close()

    def translated(self, text: str) -> str:
        """The statement as DuckDB reads it."""
        (tree,) = _Trino().parse(text)
        assert tree is not None
        for node in tree.find_all(exp.Anonymous, exp.AnonymousAggFunc, exp.CombinedAggFunc):
            name = str(node.this).lower()
            if name in self._own:
                node.set("this", f"trino_{name}")
        # parentheses are where Trino's reader had them
        return DuckDB().generate(tree)

    def _bound(self, text: str) -> tuple[str, list[Any]]:
        """The statement of an EXECUTE IMMEDIATE, and the values of its parameters."""
        match = re.fullmatch(r"(?i)\s*EXECUTE IMMEDIATE '((?:[^']|'')*)' USING (.*)", text, re.DOTALL)
        if match is None:
            return text, []
        keys = re.findall(r"X'([0-9a-f]*)'", match[2])
        if keys:
            return match[1].replace("''", "'"), [bytes.fromhex(one) for one in keys]
        row = self.connection.execute(self.translated(f"SELECT {match[2]}")).fetchone()
        return match[1].replace("''", "'"), list(row or ())

    def run(self, text: str) -> tuple[list[str], list[str], list[list[Any]]]:
        """Carry out a statement of Trino's. Raises: Failed."""
        text, values = self._bound(text)
        try:
            translated = self.translated(text)
        except Exception as error:
            raise Failed("SYNTAX_ERROR", 1, str(error)) from error
        try:
            cursor = self.connection.execute(translated, values)
            names = _named_outputs(text, [column[0] for column in cursor.description])
            kinds = [_kind(str(column[1])) for column in cursor.description]
            return names, kinds, [[_json(one) for one in row] for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise Failed(*_named(error), f"{error} in {translated}") from error


def _named_outputs(text: str, names: list[str]) -> list[str]:
    """The names of columns: what has none of its own is called by its place."""
    (first,) = _Trino().parse(text)
    while isinstance(first, exp.Union):
        first = first.this
    assert first is not None
    if len(names) != len(first.expressions):
        return names
    plain = (exp.Alias, exp.Column, exp.Star)
    return [
        name if isinstance(node, plain) else f"_col{place}"
        for place, (node, name) in enumerate(zip(first.expressions, names, strict=True))
    ]


def _hmac(value: bytes, key: bytes) -> bytes:
    return hmac.digest(key, value, "sha256")


def _named(error: Exception) -> tuple[str, int]:
    said = str(error)
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return ("COLUMN_NOT_FOUND", 47) if "column" in said.lower() else ("TYPE_MISMATCH", 58)
    if isinstance(error, duckdb.ConversionException):
        return "INVALID_CAST_ARGUMENT", 9
    return ("DIVISION_BY_ZERO", 8) if "ivision by zero" in said else ("GENERIC_INTERNAL_ERROR", 65536)


def _kind(spelled: str) -> str:
    return _TYPES.get(spelled, spelled.lower())


def _json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)


def columns(names: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The columns of a page."""
    made = []
    for name, kind in zip(names, kinds, strict=True):
        raw, _, numbers = kind.partition("(")
        values = [{"kind": "LONG", "value": int(one)} for one in re.findall(r"\d+", numbers)]
        if raw == "varchar" and not values:
            values = [{"kind": "LONG", "value": 2147483647}]
        made.append({"name": name, "type": kind, "typeSignature": {"rawType": raw, "arguments": values}})
    return made
