"""Values of an OpenAPI document as a policy of an HTTP target writes them, each on one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.openapi import Leaf, type_of
from gateway.cli.scaffold_text import quote
from gateway.policy import kinds
from gateway.policy.classify import Proposal

_OPTIONS = ("mask", "search", "identifier")

_COLUMN = {"integer": "bigint", "number": "numeric", "boolean": "boolean", "string": "text"}

_FORMATS = {"date": "date", "date-time": "timestamptz", "uuid": "uuid", "ipv4": "inet", "ipv6": "inet"}

_VALUES = {"date": "date", "uuid": "uuid"}


class LeftOut(Exception):
    """Why an operation gives no route."""


def is_scalar(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is of one plain value."""
    return bool(type_of(schema))


def column(schema: Mapping[str, Any]) -> str:
    """The type of a column that a mask reads the value as."""
    kind = type_of(schema)
    return _FORMATS.get(str(schema.get("format")), "text") if kind == "string" else _COLUMN[kind]


def spelled(schema: Mapping[str, Any]) -> str:
    """The type of a value that a client sends, as a policy spells it; empty when it has none."""
    kind = type_of(schema)
    return _VALUES.get(str(schema.get("format")), "string") if kind == "string" else kind


def value(schema: Mapping[str, Any], *more: str) -> str:
    """What a client may send, on one line. Raises: LeftOut."""
    kind = spelled(schema)
    if not kind:
        raise LeftOut("a parameter that it needs is no plain value")
    parts = [f"type: {kind}", *_bounds(schema, kind), *filter(None, more)]
    return kind if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _bounds(schema: Mapping[str, Any], kind: str) -> Iterator[str]:
    wanted = {"string": str, "integer": int}.get(kind)
    choices = schema.get("enum")
    if wanted is not None and isinstance(choices, list):
        texts = list(dict.fromkeys(one for one in choices if type(one) is wanted))
        if texts:
            yield f"choices: [{', '.join(quote(one) if isinstance(one, str) else str(one) for one in texts)}]"
    longest = schema.get("maxLength")
    if kind == "string" and type(longest) is int and 0 < longest <= 65_536:
        yield f"max_length: {longest}"
    for key in ("minimum", "maximum"):
        if kind in {"integer", "number"} and type(schema.get(key)) is int and abs(schema[key]) < 10**18:
            yield f"{key}: {schema[key]}"


def mask_of(found: Proposal, leaf: Leaf) -> str:
    """A proposed mask, on one line."""
    assert found.mask is not None
    kind, of = found.mask["mask"], column(leaf.schema)
    if kind == "clear":
        return "clear"
    given = {name: value for name, value in found.mask.items() if name != "search"}
    options = {name: value for name, value in given.items() if name not in _OPTIONS}
    usual = "date" if kind in {"year", "month"} else kinds.json_leaf_type(kinds.checked(kind, options)).name
    if of != usual:
        given["type"] = of
    if found.reveal:
        given["reveal"] = True
    return "{" + ", ".join(f"{name}: {_plain(value)}" for name, value in given.items()) + "}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(value) if isinstance(value, str) else str(value)
