"""JSON texts, read strictly and written anew (RFC 8259; I-JSON, RFC 7493, for what that leaves open).

INVARIANT: what two readers could understand differently is not read: a name twice, a byte order mark, bytes that are no
UTF-8, half a surrogate pair, NaN, anything behind the text. Numbers keep their digits: they never become floats.

Values are str, bool, None, list, dict and, for numbers, `Number`: the text as it came.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from msgspec import Raw
from msgspec.json import encode

Number = Raw
"""A number's text. It is written as it was read."""

DEPTH = 64

VALUES = 500_000
"""Values of a text that are read: each can take a hundred times as much memory as its text."""


class Unreadable(ValueError):
    """Why a text is not read, in words that hold nothing of it."""


class TooLarge(Unreadable):
    """The text has more values than are read."""


def read(text: bytes | bytearray, depth: int = DEPTH) -> Any:
    """The value of a JSON text.

    Raises: Unreadable.
    """
    if has_too_many(text):
        raise TooLarge(f"it has more than {VALUES} values")
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    if decoded.startswith("\ufeff"):
        raise Unreadable("it begins with a byte order mark")
    try:
        value = _DECODER.decode(decoded)
    except Unreadable:
        raise
    except ValueError:
        raise Unreadable("it is not JSON") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    if _is_deeper(value, depth):
        raise Unreadable("it is nested too deeply")
    if "\\ud" in decoded or "\\uD" in decoded:
        _refuse_halves(value)
    return value


def has_too_many(text: bytes | bytearray) -> bool:
    """Whether the text has more values than are read."""
    return len(text) > VALUES and text.count(b",") + text.count(b"[") + text.count(b"{") > VALUES


def write(value: Any) -> bytes:
    """The shortest text of a value; names in their order."""
    return encode(value)


def may_go_on(value: Any) -> bool:
    """Whether more text could have made another value of that one: of a number, which nothing ends."""
    return type(value) is Number


def number_text(value: Number) -> str:
    """The digits of a number as they came."""
    return bytes(value).decode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Unreadable("a name stands twice in an object")
    return members


def _constant(_text: str) -> NoReturn:
    raise Unreadable("it has a number that JSON does not have")


def _is_deeper(value: Any, depth: int) -> bool:
    # INVARIANT: without recursion, level by level: only the reader above, which counts, is allowed to recurse.
    level = [value] if type(value) in _NESTED else []
    while level and depth:
        depth -= 1
        level = [below for at in level for below in (at.values() if type(at) is dict else at) if type(below) in _NESTED]
    return bool(level)


def _refuse_halves(value: Any) -> None:
    try:
        encode(value)
    except UnicodeEncodeError:
        raise Unreadable("it has half of a surrogate pair") from None


_NESTED = frozenset({dict, list})
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=Raw,
    parse_int=Raw,
    parse_constant=_constant,
)
