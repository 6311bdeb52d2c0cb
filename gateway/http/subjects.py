"""Which of a request's values may tell who somebody is: by these the trail is asked who looked somebody up.

What counts: a value in a place that has the name of an identifier (a field of answers that the policy says tells who
somebody is), and every other one that is long enough to do so, as in SQL. Not what only chooses: a boolean, one of a
few `choices`, the customer of the ticket. What comes back from the target does not count either.

INVARIANT: too much rather than too little: a value more is a token that nobody looks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

from gateway.http import json_text
from gateway.http.json_text import Unreadable
from gateway.http.values import scalar_text

Given = tuple[str, str]
"""The name of a place, and the text that stands there."""

MOST = 1_000
"""Values of one request that are looked at; no more of them have a token."""
_DIGITS, _LETTERS = 5, 3
"""What a value must have at least that does not stand in the place of an identifier."""
_READ = 65_536
"""Bytes of a refused request's body that are read for its values."""
_DEPTH = 32


def telling(given: Iterable[Given], identifiers: Collection[str]) -> tuple[str, ...]:
    """The values that may tell who somebody is, those of identifiers first; each once."""
    direct: dict[str, None] = {}
    others: dict[str, None] = {}
    for name, text in given:
        if name in identifiers:
            direct[text] = None
        elif len(text) >= (_DIGITS if text.isdigit() else _LETTERS):
            others[text] = None
    direct.pop("", None)
    return tuple(dict.fromkeys([*direct, *others]))[:MOST]


def unread(target: str, body: bytes) -> Iterator[Given]:
    """The names and values of a request that no route is for, as far as they can be read; may be anything."""
    path, _, query = target.partition("?")
    for segment in path.split("/")[:MOST]:
        yield "", unquote(segment)
    yield from _pairs(query)
    if not body or len(body) > _READ:
        return
    try:
        yield from _leaves(json_text.read(body, _DEPTH))
    except Unreadable:
        yield from _pairs(body.decode("utf-8", "replace"))


def _pairs(text: str) -> Iterator[Given]:
    try:
        yield from parse_qsl(text, max_num_fields=MOST)
    except ValueError:
        # more than anybody looks somebody up by
        return


def _leaves(document: Any) -> Iterator[Given]:
    """The scalars of a document, each by the name of the member that it, or its array, is."""
    stack = [("", document)]
    while stack:
        name, value = stack.pop()
        if type(value) is dict:
            stack += list(value.items())
        elif type(value) is list:
            stack += [(name, one) for one in value]
        elif (text := scalar_text(value)) is not None:
            yield name, text
