"""Values as people mean them: what was bound or written, decoded and spelled in one way.

INVARIANT: two spellings of one identifier (case, spaces, separators, leading zeros, integer or text) are the same
value; of a binary value whose type nobody declared, all that it may be counts.
"""

from __future__ import annotations

import re
import struct
import unicodedata
import uuid
from collections.abc import Iterator
from itertools import islice

from gateway.sql.said import Bound, Said
from gateway.wire import postgres as wire

LONGEST = 512
"""Characters of the longest value that can tell who somebody is."""
_MOST_ELEMENTS = 10_000
_INTEGERS = {2: struct.Struct(">h"), 4: struct.Struct(">i"), 8: struct.Struct(">q")}
_INTEGER_OIDS = frozenset({20, 21, 23})
_TEXT_OIDS = frozenset({18, 19, 25, 1042, 1043})
_UUID_OID = 2950
_SCALARS = frozenset({*_INTEGER_OIDS, *_TEXT_OIDS, _UUID_OID})
_SPACES = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]+")
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SEPARATORS = re.compile(r"[\W_]+")


def spelled(value: str) -> str:
    """The value in the one spelling that tokens are made from; empty for what cannot tell who somebody is."""
    if len(value) > 4 * LONGEST:
        return ""
    text = _SPACES.sub("", unicodedata.normalize("NFKC", value)).casefold()
    if "@" not in text and any(one.isdigit() for one in text):
        text = _SEPARATORS.sub("", text)
        if text.isdigit():
            text = text.lstrip("0")
    return text if len(text) <= LONGEST else ""


def subjects_of(said: Said) -> list[str]:
    """All values of what was said that may tell who somebody is, spelled; each once."""
    found: dict[str, None] = {}
    numbers = []
    for one in said.subjects:
        if isinstance(one, int):
            numbers.append(one)
        else:
            _add(found, _elements(one))
    if numbers:
        for bound in said.bound:
            for code, value, oid in _picked(bound, numbers):
                _add(found, decoded(code, value, oid))
    found.pop("", None)
    return list(found)


def decoded(code: int, value: bytes, oid: int = 0) -> Iterator[str]:
    """What a bound value may mean: itself, its elements when it is a list. `oid` is 0 for a type that is not known."""
    if code == 0:
        for text in _texts(value):
            yield from _elements(text)
        return
    if oid in (0, *_INTEGER_OIDS) and len(value) in _INTEGERS:
        yield str(_INTEGERS[len(value)].unpack(value)[0])
    if oid in (0, _UUID_OID) and len(value) == 16:
        yield str(uuid.UUID(bytes=value))
    if oid in _TEXT_OIDS or (oid == 0 and _is_text(value)):
        yield from _texts(value)
    if oid not in _SCALARS:
        yield from _array(value)


def elements_of(value: bytes, oid: int) -> list[str] | None:
    """The elements of an array in binary; None for everything else."""
    found = list(_array(value)) if oid not in _SCALARS else []
    return found or None


def _picked(bound: Bound, numbers: list[int]) -> Iterator[tuple[int, bytes, int]]:
    if bound.is_call:
        return
    if bound.subjects:
        for code, value in bound.subjects:
            yield code, value, 0
        return
    values, types = wire.split_values(bound.raw), bound.types
    for number in numbers:
        if number <= len(values):
            code, given = values[number - 1]
            if given:
                yield code, given, types[number - 1] if number <= len(types) else 0


def _add(found: dict[str, None], values: Iterator[str]) -> None:
    for value in values:
        found[spelled(value)] = None


def _texts(value: bytes) -> Iterator[str]:
    """What bytes of text may mean: a session's encoding is its own business where nothing is rewritten."""
    try:
        yield value.decode()
    except UnicodeDecodeError:
        yield value.decode("latin-1")


def _is_text(value: bytes) -> bool:
    try:
        return value.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _elements(text: str) -> Iterator[str]:
    """The value, and its elements when it is written as an array."""
    if text[:1] == "{" and text[-1:] == "}":
        for found in islice(_ELEMENT.finditer(text), _MOST_ELEMENTS):
            quoted, plain = found.groups()
            yield plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
    else:
        yield text


def _array(value: bytes) -> Iterator[str]:
    """The elements of an array in binary (`array_send`): dimensions, NULLs, type, a length and a bound for each."""
    try:
        dimensions, _, oid = struct.unpack_from(">iiI", value)
        if not 1 <= dimensions <= 6 or oid not in _SCALARS:
            return
        position = 12 + 8 * dimensions
        for _ in range(_MOST_ELEMENTS):
            if position >= len(value):
                return
            (length,) = struct.unpack_from(">i", value, position)
            position += 4
            if length >= 0:
                yield from decoded(1, value[position : position + length], oid)
                position += length
    except struct.error:
        return
