"""What of an answer of GraphQL leaves: its data, masked place by place, and of its errors that there were some.

INVARIANT: messages, extensions and positions of the target never leave. An error leaves as words of ours, with as much
of its path as was asked for and leads to nothing that is left out: an error below another customer's object is as if
the object were missing. What belongs to nobody that can be named answers as a missing object does.

GraphQL (October 2021), 7.1; GraphQL over HTTP, 6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from gateway.http import json_text
from gateway.http.graphql.printing import TYPE
from gateway.http.json_text import Number, number_text
from gateway.http.masking import EVERY, Tree, belongs
from gateway.http.withheld import Limits, Withheld
from gateway.policy.http_rules import AnswerRule, JsonPath

MOST_ERRORS = 20
_ERROR = {"message": "the target failed", "extensions": {"code": "target-error"}}


class GraphqlBody:
    """One answer. It does not stream."""

    streams = False

    def __init__(
        self, rule: AnswerRule, reveal: frozenset[str], customers: Collection[str], key: bytes | None, limits: Limits
    ) -> None:
        self.rows = 0
        self._rule, self._tree = rule, Tree(rule, reveal)
        self._customers, self._key, self._depth = customers, key, limits.depth
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Take a part of it."""
        self._held += piece
        if len(self._held) > self._rule.max_bytes:
            raise Withheld.too_large("a document is longer than is read")
        return iter(())

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - an object says itself where it ends
        """What leaves. Raises: Withheld."""
        try:
            document = json_text.read(self._held, self._depth)
        except json_text.Unreadable as why:
            raise Withheld.unread(why) from None
        self._held.clear()
        data, errors = _parts(document)
        rule, customers = self._rule, self._customers
        owners = (rule.customer, *rule.also) if rule.customer is not None else ()
        if not all(belongs(data, owner, customers) for owner in owners):
            raise Withheld.not_found()
        told = list(self._told(data, errors))
        for typed in rule.typed:
            for value in _objects(data, typed.path):
                if value.get(TYPE) != typed.type:
                    # FAIL CLOSED: another type may have another rule for what it calls so
                    value.pop(typed.key, None)
        for one in rule.objects:
            for value in _objects(data, one.path[:-1]):
                if not belongs(value.get(one.path[-1]), one.customer, customers):
                    value[one.path[-1]] = None
        left: dict[str, Any] = {"data": None}
        if data is not None:
            left["data"], self.rows = self._tree.masked(data, customers, self._key)
        if told or (errors and data is None):
            left["errors"] = told or [_ERROR]
        yield json_text.write(left)

    def _told(self, data: Any, errors: list[Any]) -> Iterator[dict[str, Any]]:
        """The errors that leave."""
        known = _Places(self._rule)
        seen: list[tuple[str | int, ...] | None] = []
        for one in errors[:MOST_ERRORS]:
            given = one.get("path") if type(one) is dict else None
            path = known.path(given, data, self._customers) if type(given) is list else ()
            if path is None or path in seen:
                continue
            seen.append(path)
            yield {**_ERROR, "path": list(path)} if path else _ERROR


class _Places:
    """The places of an answer, as its rule has them."""

    def __init__(self, rule: AnswerRule) -> None:
        self._known = {of.path[:length] for of in rule.fields for length in range(len(of.path) + 1)}
        self._hidden = {_place_of(of.path) for of in rule.fields if of.mask.kind != "clear"}
        self._lists = {of.path: of for of in rule.arrays}
        self._objects = {of.path: of for of in rule.objects}

    def path(self, given: list[Any], data: Any, customers: Collection[str]) -> tuple[str | int, ...] | None:
        """As much of an error's path as leaves; None for an error that does not."""
        at: JsonPath = ()
        left: list[str | int] = []
        value = data
        for step in given:
            if type(step) is str:
                at = (*at, step)
                if at not in self._known or at in self._hidden:
                    break
                value = value.get(step) if type(value) is dict else None
                left.append(step)
                owned = self._objects.get(at)
                if owned is not None and not belongs(value, owned.customer, customers):
                    return None
            else:
                number = _index(step)
                place = None if number is None else self._place(at, number, value, customers)
                if place is None:
                    # FAIL CLOSED: nobody knows whose it is
                    return None
                at = (*at, EVERY)
                left.append(place)
                value = value[number] if type(value) is list and number is not None else None
        return tuple(left)

    def _place(self, at: JsonPath, number: int, value: Any, customers: Collection[str]) -> int | None:
        """Which element of what leaves that element of a list is; None for one that is left out."""
        if (*at, EVERY) not in self._known:
            return None
        owned = self._lists.get(at)
        if owned is None:
            return number
        if type(value) is not list or number >= len(value) or not belongs(value[number], owned.customer, customers):
            return None
        return sum(belongs(one, owned.customer, customers) for one in value[:number])


def _place_of(path: JsonPath) -> JsonPath:
    """The field of a value, whatever lists it is in."""
    while path[-1:] == (EVERY,):
        path = path[:-1]
    return path


def _parts(document: Any) -> tuple[Any, list[Any]]:
    """The data and the errors of an answer. Raises: Withheld when it is none."""
    if type(document) is not dict or not document.keys() & {"data", "errors"}:
        raise Withheld.unreadable("it is no answer of GraphQL")
    data, errors = document.get("data"), document.get("errors")
    if (data is not None and type(data) is not dict) or (errors is not None and type(errors) is not list):
        raise Withheld.unreadable("it is no answer of GraphQL")
    if data is None and not errors:
        raise Withheld.unreadable("it has neither data nor errors")
    return data, errors or []


def _index(step: Any) -> int | None:
    text = number_text(step) if type(step) is Number else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _objects(value: Any, path: JsonPath) -> Iterator[dict[str, Any]]:
    """The objects at that path."""
    if not path:
        if type(value) is dict:
            yield value
    elif path[0] == EVERY:
        for one in value if type(value) is list else ():
            yield from _objects(one, path[1:])
    elif type(value) is dict:
        yield from _objects(value.get(path[0]), path[1:])
