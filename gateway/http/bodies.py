"""The body of a request: read strictly, held to the route's fields, and written anew.

INVARIANT: what goes on is written from the fields that the policy names, in the order of their names, each with a
canonical value; a field that it does not name is refused, never dropped. What leaves for a sub-processor is masked
before it is written. `passed` alone goes on as it came, and says so in what an approver reads.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.http import json_text, query
from gateway.http.json_text import Number, Unreadable, number_text
from gateway.http.message import SentField
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.http.request_headers import Heads
from gateway.http.values import leaf
from gateway.policy.http_rules import BodyField, BodyRule, FieldRule, JsonPath, Parameter
from gateway.policy.http_values import BODY_TYPES, canonical, written
from gateway.policy.masks import KINDS

FORM = "application/x-www-form-urlencoded"
MOST_FIELDS = 10_000
DEPTH = 32

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_USUAL = {"json": ("application/json",), "form": (FORM,)}


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it goes on: its bytes and media type, what a person reads of it, the names in it, what leaves masked.

    `values` are the texts under each path, before any mask: whose data it is about is read from them. `asked` is `text`
    as it is before any mask.
    """

    content: bytes = b""
    media: str = ""
    text: str = ""
    names: tuple[str, ...] = ()
    sent: tuple[SentField, ...] = ()
    values: dict[JsonPath, list[str]] = field(default_factory=dict)
    asked: str = ""


def judged(rule: BodyRule | None, content: bytes, found: Heads, key: bytes | None) -> Body:
    """The body that may go on. `key` is that of keyed masks. Raises: GatewayError."""
    if rule is None:
        if content:
            raise not_allowed("this request has no body", "send none")
        return Body()
    if len(content) > rule.max_bytes:
        raise too_large(f"the request's body is longer than {rule.max_bytes} bytes")
    if not content:
        needed = next((one for one in rule.fields if one.required), None)
        if needed is not None:
            raise not_allowed(f"the field `{written(needed.path)}` is missing", "send it along")
        return Body()
    media = media_of(rule, found.one("content-type"))
    if rule.media == "passed":
        digest = hashlib.sha256(content).hexdigest()
        text = f"({len(content)} bytes of {media}, SHA-256 {digest})"
        return Body(content, media, text, ("passed as it came",), asked=text)
    made = _read(rule, content, media, key)
    if all(one.mask is None for one in rule.fields):
        return made
    bare = replace(rule, fields=tuple(replace(one, mask=None) for one in rule.fields))
    return replace(made, asked=_read(bare, content, media, key).text)


def _read(rule: BodyRule, content: bytes, media: str, key: bytes | None) -> Body:
    read = _Reading(rule, key)
    return read.json(content, media) if rule.media == "json" else read.form(content, media)


def media_of(rule: BodyRule, given: str) -> str:
    """The media type that a body says that it is of. Raises: GatewayError when that is not allowed."""
    essence, _, parameters = given.partition(";")
    essence = essence.strip(" \t").lower()
    allowed = rule.content_types or _USUAL[rule.media]
    if essence not in allowed:
        raise not_allowed("the request's body is of a media type that is not allowed", f"send {' or '.join(allowed)}")
    if parameters and "".join(parameters.split()).lower().rstrip(";") not in {"charset=utf-8", 'charset="utf-8"', ""}:
        raise not_allowed("the media type of the request's body has a parameter other than `charset=utf-8`")
    return essence


class _Reading:
    """One body being read: what was found so far."""

    def __init__(self, rule: BodyRule, key: bytes | None) -> None:
        self._rule, self._key = rule, key
        self._tree = _tree(rule.fields)
        self._count = 0
        self._values: dict[JsonPath, list[str]] = {}
        self._sent: dict[JsonPath, SentField] = {}
        self._empty: set[JsonPath] = set()

    def json(self, content: bytes, media: str) -> Body:
        try:
            value = json_text.read(content, DEPTH)
        except Unreadable as problem:
            raise malformed(f"the request's body cannot be read strictly: {problem}") from None
        made = json_text.write(self._judged(value, self._tree, ()))
        return self._body(made, media, _legible(made.decode("utf-8")))

    def form(self, content: bytes, media: str) -> Body:
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError:
            raise malformed("a form's body is percent-encoded ASCII") from None
        known = {one.path[0]: one for one in self._rule.fields}
        rules = tuple(Parameter(name, one.value, one.required) for name, one in known.items())
        pairs = query.chosen(query.pairs(text), rules, "field", lines=True)
        masked = [(name, _form_text(self._kept(value, value, known[name]))) for name, value in pairs]
        made = query.join((name, value) for name, value in masked if value is not None)
        return self._body(made.encode(), media, made.replace("&", "\n"))

    def _body(self, made: bytes, media: str, text: str) -> Body:
        names = tuple(written(path) for path in sorted({*self._values, *self._empty}))
        return Body(made, media, text, names, tuple(self._sent.values()), self._values, asked=text)

    def _judged(self, value: Any, at: _Node, path: JsonPath) -> Any:
        self._count += 1
        if self._count > MOST_FIELDS:
            raise too_large(f"the request's body has more than {MOST_FIELDS} values")
        if at.rule is not None:
            return self._leaf(value, at.rule)
        if not value and type(value) in {list, dict}:
            self._empty.add(path)
        if "*" in at.below:
            if type(value) is not list:
                raise not_allowed(f"the field `{written(path)}` is not a list", "send a list")
            return [self._judged(one, at.below["*"], (*path, "*")) for one in value]
        if type(value) is not dict:
            raise not_allowed(f"the field `{written(path)}` is not an object", "send an object")
        for name in value:
            if name not in at.below:
                raise not_allowed(
                    f"{shown('field', name)} is not in the policy", "leave out the fields it does not name"
                )
        for name, node in at.below.items():
            if name not in value and node.required:
                raise not_allowed(f"the field `{written((*path, name))}` is missing", "send it along")
        return {
            name: self._judged(value[name], node, (*path, name)) for name, node in at.below.items() if name in value
        }

    def _leaf(self, value: Any, rule: BodyField) -> Any:
        if value is None and rule.nullable:
            self._empty.add(rule.path)
            return self._masked(None, rule)
        text = _READ[rule.value.type](value)
        found = canonical(rule.value, text, lines=True) if text is not None else None
        if found is None:
            raise not_allowed(f"the field `{written(rule.path)}` is not of the form that the policy allows")
        return self._kept(found, found if type(value) is str else value, rule)

    def _kept(self, text: str, clean: Any, rule: BodyField) -> Any:
        self._values.setdefault(rule.path, []).append(text)
        return self._masked(clean, rule)

    def _masked(self, clean: Any, rule: BodyField) -> Any:
        if rule.mask is None:
            return clean
        self._sent.setdefault(rule.path, SentField(written(rule.path), rule.category, rule.mask.kind))
        if self._key is None and clean is not None and KINDS[rule.mask.kind].keyed:
            # what is studied without the key goes nowhere: its reader is told that the value is masked, and by what
            return f"({rule.mask.kind})"
        masking = leaf(FieldRule(rule.path, rule.mask, BODY_TYPES[rule.value.type]), revealed=False)
        return clean if masking is None else masking(clean, self._key)


@dataclass(slots=True)
class _Node:
    """A place in a body: a value by a rule, or what lies below it (under `*` for a list)."""

    below: dict[str, _Node] = field(default_factory=dict)
    rule: BodyField | None = None
    required: bool = False


def _tree(fields: tuple[BodyField, ...]) -> _Node:
    root = _Node()
    for one in fields:
        at = root
        for step in one.path:
            at = at.below.setdefault(step, _Node())
            at.required = at.required or one.required
        at.rule = one
    return root


def _string(value: Any) -> str | None:
    return value if type(value) is str else None


def _number(value: Any) -> str | None:
    return number_text(value) if type(value) is Number else None


def _boolean(value: Any) -> str | None:
    return ("false", "true")[value] if type(value) is bool else None


def _legible(text: str) -> str:
    """JSON in which nothing that a screen hides or turns around is left unescaped; it means the same."""
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code - 0x10000 & 0x3FF):04x}"


def _form_text(value: Any) -> str | None:
    found = (_string(value), _number(value), _boolean(value))
    return next((text for text in found if text is not None), None)


_READ: dict[str, Callable[[Any], str | None]] = {
    "string": _string,
    "date": _string,
    "uuid": _string,
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
}
