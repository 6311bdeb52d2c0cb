"""Records as bytes: the canonical JSON that becomes a leaf of the tree, at most 16 KiB.

The form is RFC 8785 for the values that a record may hold: text, integers within ±(2^53 - 1), booleans, and lists and
mappings of those. Floats and nulls are refused: the first have many spellings, the second say nothing. Keys are
ASCII, so that sorting by code point and by UTF-16 unit agree.

A leaf that would be longer is shortened, never refused for its statement's length: texts and lists are cut to a
budget, and `truncated` says for each what was there: `{"sql": {"bytes": 250000, "sha256": "…"}}` for a text (the
digest is of its UTF-8), `{"relations": {"items": 900, "sha256": "…"}}` for a list (of its canonical JSON).

INVARIANT: one record has one encoding, and the encoding of a decoded leaf is that leaf.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

LEAF_LIMIT = 16_384
"""Bytes of the longest leaf."""

_SAFE_INTEGER = 2**53 - 1
_PLAIN = re.compile(r"[A-Za-z0-9 .,:;_+-]*").fullmatch
"""Texts that JSON writes as they are."""

_BUDGETS = ((4_096, 2_048), (2_048, 1_024), (512, 256))
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


class Layout:
    """The canonical form of records that differ in a few fields only, laid out once."""

    __slots__ = ("_order", "_template", "_types")

    def __init__(self, constant: Mapping[str, Any], names: Sequence[str], sample: Sequence[int | str]) -> None:
        """`names` are the fields that vary, and `sample` one set of their values, which gives their types.

        Raises `TypeError` and `ValueError` as `leaf_of`.
        """
        _check(constant)
        values = dict(zip(names, sample, strict=True))
        parts: list[str] = []
        for name in sorted({*constant, *names}):
            if name in constant:
                parts.append(f"{_text(name)}:{_text(constant[name])}".replace("%", "%%"))
            else:
                parts.append(f'{_text(name)}:"%s"' if isinstance(values[name], str) else f"{_text(name)}:%d")
        self._template = "{" + ",".join(parts) + "}"
        self._order = itemgetter(*(list(names).index(name) for name in sorted(names)))
        self._types = tuple(type(value) for value in sample)

    def fill(self, values: Sequence[int | str]) -> bytes | None:
        """The leaf with those values, or None when only `leaf_of` can tell it."""
        for value, kind in zip(values, self._types, strict=True):
            if value.__class__ is not kind:
                return None
            if kind is str:
                if not _PLAIN(value):  # type: ignore[arg-type]  # a text, as the line above made sure
                    return None
            elif not 0 <= value <= _SAFE_INTEGER:  # type: ignore[operator]  # an integer, likewise
                return None
        leaf = (self._template % self._order(values)).encode()
        return leaf if len(leaf) <= LEAF_LIMIT else None


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
    for item in items:
        used += len(_encode(item)) + 1
        if used > budget:
            break
        kept.append(item)
    return kept
