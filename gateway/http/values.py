"""One value of an answer under its mask: JSON in, PostgreSQL's text form between, JSON out.

INVARIANT: for what a column of the declared type can hold, the masked value is what `policy.masks.render` makes of the
column's text form; so a pseudonym is the same in SQL, in an API's JSON and in CSV. A value that the type cannot read
(another shape, a number without bounds, a time that is none) is null, never itself.

Numbers are read from JSON numbers and from strings of digits; what comes as a string leaves as one. Times are read as
RFC 3339 or as PostgreSQL writes them, and leave in the form in which they came.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.http.json_text import Number, number_text
from gateway.policy import masks, types
from gateway.policy.http_rules import FieldRule
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType, column_type

Leaf = Callable[[Any, bytes | None], Any]
"""What makes of a decoded value, and a key, what leaves."""

LONGEST_NUMBER = 400
"""Digits of a number, written out, that a mask reads: beyond every numeric that is bucketed and every float."""

_LONGEST_ADDRESS = 64
_BEYOND_SINGLE = 3.4028235677973366e38
"""From here on a real is infinite: its largest number and half of what is between it and the one before."""
_SAFE = {"int2": 4, "int4": 9, "int8": 18}
"""Digits of a number that the type can hold whatever they are."""
_CLEAR = Mask("clear")
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")
_DIGITS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?\Z")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?\Z")
_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,9})?)?(Z|z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?)?\Z"
)
_BEYOND = re.compile(r"-?infinity\Z|[0-9]{4,7}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9.]{2,9})?(?:\+00)?(?: BC)?\Z")


def leaf(rule: FieldRule, *, revealed: bool) -> Leaf | None:
    """The function for the values of that field; None where every scalar passes as it is.

    Raises: ValueError when the mask does not fit the type.
    """
    of = column_type(rule.type)
    mask = _CLEAR if revealed else rule.mask
    render = masks.renderer(mask, rule.type)
    if mask.kind == _CLEAR.kind:
        return {types.ARRAY: _scalars, types.JSONB: _whole, types.JSON: _whole}.get(of.group)
    if is_constant(mask):
        fixed = _constant(of, render(None, None))
        return lambda _value, _key: fixed
    if mask.kind == "json":
        return lambda value, key: (
            _written(masks.render_json(mask, _decimals(value), key)) if value is not None else None
        )
    if of.group in {types.DATE, types.TIMESTAMP}:
        return _moment_leaf(render, of)
    read = _READERS[of.group]
    if of.group in {types.INTEGER, types.NUMERIC, types.FLOAT}:
        return _number_leaf(read, render, of)
    if of.group == types.TEXT:
        return lambda value, key: render(value if type(value) is str else read(value, of), key)
    return lambda value, key: render(read(value, of), key)


def direct(rule: FieldRule, *, revealed: bool) -> tuple[str, int, masks.Renderer] | None:
    """What masks the text of a value of the usual form, as `leaf` would; None where there is no such form.

    Forms: `text`, any string; `integer`, digits, so many at most; `numeric`, digits, perhaps a point and more of them,
    perhaps a minus before something; `date`, `0000-00-00`. All but strings and dates leave as numbers.
    """
    of = column_type(rule.type)
    if revealed or rule.mask.kind in {"clear", "json"} or is_constant(rule.mask):
        return None
    form = {types.TEXT: "text", types.INTEGER: "integer", types.NUMERIC: "numeric", types.DATE: "date"}.get(of.group)
    return (form, _SAFE.get(of.name, 0), masks.renderer(rule.mask, rule.type)) if form is not None else None


def is_constant(mask: Mask) -> bool:
    """Whether everything, a field that is missing included, becomes the same."""
    return mask.kind in {"redact", "null"}


def scalar_text(value: Any) -> str | None:
    """A string or a number as text, digit by digit; None for everything else."""
    if type(value) is str:
        return value
    return number_text(value) if type(value) is Number else None


def _scalars(value: Any, _key: bytes | None) -> Any:
    if type(value) is not list or any(type(below) is dict or type(below) is list for below in value):
        return None
    return value


def _whole(value: Any, _key: bytes | None) -> Any:
    return value


def _constant(of: ColumnType, text: str | None) -> Any:
    if text is None:
        return None
    if of.group in {types.INTEGER, types.NUMERIC, types.FLOAT}:
        return Number(text)
    if of.group == types.BOOLEAN:
        return text == "t"
    if of.group in {types.JSONB, types.JSON}:
        return {}
    return [] if of.group == types.ARRAY else text


def _number_leaf(read: _Reader, render: masks.Renderer, of: ColumnType) -> Leaf:
    def masked(value: Any, key: bytes | None) -> Any:
        made = render(read(value, of), key)
        return made if made is None or type(value) is str else Number(made)

    return masked


def _moment_leaf(render: masks.Renderer, of: ColumnType) -> Leaf:
    def masked(value: Any, key: bytes | None) -> Any:
        made = render(_moment(value, of), key)
        if made is None or value[10:11] not in {"T", "t"}:
            return made
        made = made.replace(" ", "T")
        return made.replace("+00", "Z" if value[-1] in "Zz" else "+00:00") if of.name == "timestamptz" else made

    return masked


def _text(value: Any, _of: ColumnType) -> str | None:
    if type(value) is str:
        return value
    return ("false", "true")[value] if type(value) is bool else _plain(value)


def _plain(value: Any) -> str | None:
    """A JSON number as PostgreSQL writes a numeric: no exponent, no minus before nothing."""
    if type(value) is not Number:
        return None
    text = number_text(value)
    if len(text) > LONGEST_NUMBER:
        return None
    if _PLAIN.match(text) and not text.startswith("-0"):
        return text
    if not _NUMBER.match(text):
        # an exponent that no number of a database has, and Decimal may not have either
        return None
    number = Decimal(text)
    if not -LONGEST_NUMBER <= number.adjusted() <= LONGEST_NUMBER:
        return None
    return format(number if number else abs(number), "f")


def _integer(value: Any, of: ColumnType) -> str | None:
    if type(value) is Number:
        text: str | None = number_text(value)
        if text is not None and text.isdecimal() and len(text) <= _SAFE[of.name] and (text[0] != "0" or text == "0"):
            return text
    text = value if type(value) is str else _plain(value)
    match = _WHOLE.match(text) if text is not None and len(text) <= LONGEST_NUMBER else None
    if match is None or (type(value) is str and match[1] != text):
        return None
    number, largest = int(match[1]), types.INTEGER_MAX[of.name]
    return str(number) if -largest - 1 <= number <= largest else None


def _numeric(value: Any, _of: ColumnType) -> str | None:
    if type(value) is not str:
        return _plain(value)
    is_read = value in _NO_NUMBERS or (len(value) <= LONGEST_NUMBER and _DIGITS.match(value))
    return value if is_read else None


def _float(value: Any, of: ColumnType) -> str | None:
    text = scalar_text(value)
    if text is None or len(text) > LONGEST_NUMBER or not (_NUMBER.match(text) or text in _NO_NUMBERS):
        return None
    return None if of.name == "float4" and abs(float(text)) >= _BEYOND_SINGLE else text


def _moment(value: Any, of: ColumnType) -> str | None:
    """A date or a time as PostgreSQL writes it, its zone at UTC."""
    match = _MOMENT.match(value) if type(value) is str else None
    if match is None:
        return value if type(value) is str and _BEYOND.match(value) else None
    day, minute, second, zone = match.groups()
    if of.group == types.DATE:
        return day
    text = f"{day} {minute or '00:00'}{second or ':00'}"
    if of.name == "timestamp" or not zone or zone in "Zz":
        return text + ("+00" if of.name == "timestamptz" else "")
    try:
        return datetime.fromisoformat(text[:26] + zone).astimezone(UTC).isoformat(" ").removesuffix(":00")
    except (ValueError, OverflowError):
        return None


def _uuid(value: Any, _of: ColumnType) -> str | None:
    return value.lower() if type(value) is str and _UUID.match(value) else None


def _address(value: Any, _of: ColumnType) -> str | None:
    if type(value) is not str or len(value) > _LONGEST_ADDRESS or "%" in value:
        return None
    try:
        return str(ipaddress.ip_interface(value))
    except ValueError:
        return None


def _decimals(value: Any) -> Any:
    if type(value) is dict:
        return {name: _decimals(below) for name, below in value.items()}
    if type(value) is Number:
        text = _plain(value)
        return None if text is None else Decimal(text)
    return value


def _written(value: Any) -> Any:
    if type(value) is dict:
        return {name: _written(below) for name, below in value.items()}
    return Number(format(value, "f")) if type(value) is Decimal else value


_Reader = Callable[[Any, ColumnType], str | None]

_READERS: dict[str, _Reader] = {
    types.TEXT: _text,
    types.INTEGER: _integer,
    types.NUMERIC: _numeric,
    types.FLOAT: _float,
    types.UUID: _uuid,
    types.IP: _address,
}
"""By the group of the type; only those that a mask with a value to read fits."""
