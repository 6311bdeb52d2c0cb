"""Records as bytes: the canonical JSON that becomes a leaf of the tree, at most 16 KiB.

The form is RFC 8785 for the values that a record may hold: text, integers within ±(2^53 - 1), booleans, and lists and
mappings of those. Floats and nulls are refused: the first have many spellings, the second say nothing. Keys are
ASCII, so that sorting by code point and by UTF-16 unit agree.

A leaf that would be longer is shortened, never refused for its statement's length: texts and lists are cut to a
budget, lists less than texts because they say what was read, and of a list the names of PostgreSQL's own catalogs
first, so that nobody can crowd a relation out of a record with them. `truncated` says for each what was there:
`{"sql": {"bytes": 250000, "sha256": "…"}}` for a text (the digest is of its UTF-8),
`{"relations": {"items": 900, "sha256": "…"}}` for a list (of its canonical JSON).

What each statement repeats is laid out once. `_encode.pyx` is that compiled; it is taken when it has been built
(`python -m gateway.wire.build gateway/audit/_encode.pyx`), and the Python twins stay as its test.

INVARIANT: one record has one encoding, and the encoding of a decoded leaf is that leaf.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

try:
    from gateway.audit._encode import Layout as CompiledLayout
    from gateway.audit._encode import Stamps as CompiledStamps
except ImportError:
    COMPILED = False
else:
    COMPILED = True

LEAF_LIMIT = 16_384
"""Bytes of the longest leaf."""

_SAFE_INTEGER = 2**53 - 1
_PLAIN = re.compile(r"[A-Za-z0-9 .,:;_+-]*").fullmatch
"""Texts that JSON writes as they are."""

_BUDGETS = ((4_096, 8_192), (2_048, 4_096), (1_024, 2_048), (512, 1_024), (512, 256))
_CATALOGS = ("pg_catalog.", "information_schema.")
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def leaf_of(record: Mapping[str, Any]) -> bytes:
    """The canonical form of the record, shortened to `LEAF_LIMIT` bytes when it must be.

    Raises `TypeError` for a value that a record may not hold, `ValueError` for one out of range, for text that is
    not Unicode, and for a record that stays too long.
    """
    _check(record)
    leaf = _encode(record)
    if len(leaf) <= LEAF_LIMIT:
        return leaf
    for text_budget, list_budget in _BUDGETS:
        leaf = _encode(_shortened(record, text_budget, list_budget))
        if len(leaf) <= LEAF_LIMIT:
            return leaf
    raise ValueError("the record is too long even when shortened")


class PythonLayout:
    """The canonical form of records that differ in a few fields only, laid out once; `layout_of` makes them.

    `pieces` are what stands before, between and behind the values, the value number `order[i]` behind piece `i`;
    `is_text` says of each value whether it is a text (quoted by the pieces) or an integer.
    """

    __slots__ = ("_is_text", "_order", "_template")

    def __init__(self, pieces: Sequence[bytes], order: Sequence[int], is_text: Sequence[bool]) -> None:
        marks = ["%s" if is_text[number] else "%d" for number in order] + [""]
        texts = [piece.decode().replace("%", "%%") for piece in pieces]
        self._template = "".join(text + mark for text, mark in zip(texts, marks, strict=True))
        self._order = tuple(order)
        self._is_text = tuple(is_text)

    def fill(self, values: tuple[int | str, ...]) -> bytes | None:
        """The leaf with those values, or None when only `leaf_of` can tell it."""
        for value, text in zip(values, self._is_text, strict=True):
            if text:
                if value.__class__ is not str or not _PLAIN(value):
                    return None
            elif value.__class__ is not int or not 0 <= value <= _SAFE_INTEGER:
                return None
        leaf = (self._template % tuple(values[number] for number in self._order)).encode()
        return leaf if len(leaf) <= LEAF_LIMIT else None


class PythonStamps:
    """Ids and times of records. `entropy` gives noise, `second_text` the text of a second since 1970 (UTC)."""

    def __init__(self, entropy: Callable[[int], bytes], second_text: Callable[[int], str]) -> None:
        self._entropy, self._second_of = entropy, second_text
        self._second, self._second_text = -1, ""
        self._pool, self._at = "", 0

    def next(self, moment: int) -> tuple[str, str]:
        """The id and the time of a record of that moment, in microseconds since 1970.

        The id is RFC 9562, 5.7: milliseconds, then the microseconds within them as `rand_a` (6.2, method 3), noise.
        """
        if self._at >= len(self._pool):
            self._pool, self._at = self._entropy(1_024).hex(), 0
        noise = self._pool[self._at : self._at + 16]
        self._at += 16
        milliseconds, rest = divmod(moment, 1_000)
        head = f"{milliseconds:012x}"
        name = f"{head[:8]}-{head[8:]}-7{rest:03x}-{_VARIANT[noise[0]]}{noise[1:4]}-{noise[4:]}"
        second, fraction = divmod(moment, 1_000_000)
        if second != self._second:
            self._second, self._second_text = second, self._second_of(second)
        return name, f"{self._second_text}.{fraction:06d}Z"


class Layout(Protocol):
    """See `PythonLayout`."""

    def fill(self, values: tuple[int | str, ...]) -> bytes | None:
        """The leaf with those values, or None when only `leaf_of` can tell it."""
        ...


class Stamps(Protocol):
    """See `PythonStamps`."""

    def next(self, moment: int) -> tuple[str, str]:
        """The id and the time of a record of that moment, in microseconds since 1970."""
        ...


def stamps(entropy: Callable[[int], bytes], second_text: Callable[[int], str]) -> Stamps:
    """The faster of the twins."""
    return (CompiledStamps if COMPILED else PythonStamps)(entropy, second_text)


def layout_of(constant: Mapping[str, Any], names: Sequence[str], sample: Sequence[int | str]) -> Layout:
    """The layout of records with those constant fields; `names` vary, `sample` is one set of their values.

    The sample gives their types. Raises `TypeError` and `ValueError` as `leaf_of`.
    """
    _check(constant)
    numbers = {name: number for number, name in enumerate(names)}
    pieces, order, before = [], [], "{"
    for name in sorted({*constant, *names}):
        if name in constant:
            before += f"{_text(name)}:{_text(constant[name])},"
            continue
        order.append(numbers[name])
        quote = '"' if isinstance(sample[numbers[name]], str) else ""
        pieces.append(f"{before}{_text(name)}:{quote}".encode())
        before = f"{quote},"
    pieces.append(f"{before.removesuffix(',')}}}".encode())
    kind = CompiledLayout if COMPILED else PythonLayout
    return kind(pieces, order, [isinstance(value, str) for value in sample])


def _text(value: Any) -> str:
    return _encode(value).decode()


def record_of(leaf: bytes) -> dict[str, Any]:
    """The record that a leaf holds. Raises `ValueError` when it is not a JSON object."""
    try:
        return _decode(leaf)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def canonical(value: Any) -> bytes:
    """The canonical JSON of one value, without a limit."""
    _check({"value": value})
    return _encode(value)


def _check(record: Mapping[str, Any]) -> None:
    for name, value in record.items():
        kind = value.__class__
        if kind is str or kind is bool:
            continue
        if kind is int:
            if not -_SAFE_INTEGER <= value <= _SAFE_INTEGER:
                raise ValueError(f"`{name}` is outside the integers that JSON can carry")
        elif kind is list or kind is tuple:
            for item in value:
                if item.__class__ is not str:
                    _check({name: item})
        elif kind is dict:
            for key in value:
                if type(key) is not str or not key.isascii():
                    raise TypeError(f"a key inside `{name}` is not ASCII text")
            _check(value)
        else:
            raise TypeError(f"`{name}` holds a {kind.__name__}, which a record may not")


def _shortened(record: Mapping[str, Any], text_budget: int, list_budget: int) -> dict[str, Any]:
    short: dict[str, Any] = {}
    cut: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, str) and len(whole := value.encode()) > text_budget:
            short[name] = whole[:text_budget].decode(errors="ignore")
            cut[name] = {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
        elif isinstance(value, list | tuple) and len(whole := _encode(value)) > list_budget:
            short[name] = _prefix(value, list_budget)
            cut[name] = {"items": len(value), "sha256": hashlib.sha256(whole).hexdigest()}
        else:
            short[name] = value
    if cut:
        short["truncated"] = cut
    return short


def _prefix(items: list[Any] | tuple[Any, ...], budget: int) -> list[Any]:
    kept: list[Any] = []
    used = 2
    for item in sorted(items, key=lambda item: str(item).startswith(_CATALOGS)):
        used += len(_encode(item)) + 1
        if used > budget:
            break
        kept.append(item)
    return kept
