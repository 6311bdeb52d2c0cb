"""PostgreSQL's built-in column types as far as masks care: one spelling for each, and the group that masks fit.

INVARIANT: an unknown type has the group `other`; only `clear` and `null` fit it.

The extension citext counts as text: its values are text, and a cast either way changes and refuses none.

Spellings are those of `format_type()` (PostgreSQL manual, 9.27) and of `pg_type.typname`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

TEXT = "text"
INTEGER = "integer"
NUMERIC = "numeric"
FLOAT = "float"
DATE = "date"
TIMESTAMP = "timestamp"
TIME = "time"
BOOLEAN = "boolean"
UUID = "uuid"
IP = "ip"
JSONB = "jsonb"
JSON = "json"
BYTES = "bytes"
ARRAY = "array"
OTHER = "other"
CITEXT = "citext"

_GROUPS = {
    "text": TEXT,
    "varchar": TEXT,
    "bpchar": TEXT,
    "int2": INTEGER,
    "int4": INTEGER,
    "int8": INTEGER,
    "numeric": NUMERIC,
    "float4": FLOAT,
    "float8": FLOAT,
    "date": DATE,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMP,
    "time": TIME,
    "timetz": TIME,
    "interval": TIME,
    "bool": BOOLEAN,
    "uuid": UUID,
    "inet": IP,
    "cidr": IP,
    "jsonb": JSONB,
    "json": JSON,
    "bytea": BYTES,
}

_SPELLINGS = {
    "character varying": "varchar",
    "character": "bpchar",
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "real": "float4",
    "double precision": "float8",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "boolean": "bool",
    **{name: name for name in _GROUPS},
}

INTEGER_MAX = {"int2": 2**15 - 1, "int4": 2**31 - 1, "int8": 2**63 - 1}

_SHAPE = re.compile(r"([a-z][a-z0-9 ]*?) ?(?:\((-?\d+(?:,-?\d+)?)\))?( with(?:out)? time zone)?")


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A column's type. `name` is `pg_type.typname` of a built-in, else what to cast to (with a schema, or an array).

    `mods` are the numbers in parentheses: the length of a varchar, precision and scale of a numeric.
    """

    name: str
    group: str
    mods: tuple[int, ...] = ()

    @property
    def sql(self) -> str:
        """The type as a cast names it, qualified wherever it is known."""
        if self.group in {ARRAY, OTHER} or self.ignores_case:
            return self.name
        mods = f"({','.join(map(str, self.mods))})" if self.mods else ""
        return f"pg_catalog.{self.name}{mods}"

    @property
    def plain(self) -> str:
        """The same without its numbers, so that a cast refuses and shortens nothing."""
        return replace(self, mods=()).sql

    @property
    def ignores_case(self) -> bool:
        """Whether this is citext, whose operators and functions come with the extension and not with PostgreSQL."""
        return self.group == TEXT and "." in self.name

    @property
    def length(self) -> int | None:
        """Most characters that a text type takes, None for any number."""
        return self.mods[0] if self.group == TEXT and self.mods else None


def column_type(declared: str, base: str = "") -> ColumnType:
    """The type of a column that the catalog declares as `declared` (`format_type`) over the built-in `base`.

    A domain counts as its base: casting a masked value to the domain could violate its constraints and so fault.
    """
    return _built_in(declared) or _built_in(base or declared) or _unknown(declared, base)


def is_summable(of: ColumnType) -> bool:
    """Whether sums and variances of values of this type, none beyond 1e100, cannot fail."""
    return of.group in {INTEGER, NUMERIC} or of.name == "float8"


def _built_in(spelled: str) -> ColumnType | None:
    text = spelled.removeprefix("pg_catalog.")
    if text.endswith("[]"):
        element = _built_in(text.rstrip("[]"))
        return ColumnType(f"{element.sql}[]", ARRAY) if element else None
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    name = _SPELLINGS.get(match[1] + (match[3] or ""))
    if name is None:
        return None
    mods = tuple(int(number) for number in match[2].split(",")) if match[2] else ()
    if name == "interval":
        mods = ()
    if name == "numeric" and len(mods) == 1:
        mods = (mods[0], 0)
    return ColumnType(name, _GROUPS[name], mods)


def _unknown(declared: str, base: str) -> ColumnType:
    schema, _, name = base.rpartition(".")
    written = f"{_identifier(schema)}.{_identifier(name)}" if schema else declared
    if schema and name == CITEXT:
        return ColumnType(written, TEXT)
    return ColumnType(written, ARRAY if declared.endswith("[]") else OTHER)


def _identifier(name: str) -> str:
    doubled = name.replace('"', '""')
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else f'"{doubled}"'
