"""What the routes of one policy let through or show that those of another do not; part of `diff.py`.

INVARIANT: no difference is left out. What may be seen in clear by an approved request is told by `diff.py` itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from gateway.policy import graphql_diff
from gateway.policy.difference import (
    CHANGED,
    NARROWER,
    WIDER,
    Difference,
    mask_text,
    of_sets,
    of_values,
    text_of,
)
from gateway.policy.graphql_diff import APPROVED, value_text
from gateway.policy.http_rules import AnswerRule, BodyRule, CustomerOf, HttpRules, Parameter, Route
from gateway.policy.http_values import written


def differences(old: HttpRules | None, new: HttpRules | None) -> Iterator[Difference]:
    """All differences of the routes; None is for a policy of a database."""
    before, after = ({route.name: route for route in rules.routes} if rules else {} for rules in (old, new))
    if old is not None and new is not None:
        yield from of_values("http.direction", old.direction, new.direction)
        yield from of_values("http.recipient", old.recipient, new.recipient)
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            effect = WIDER if one is None else NARROWER
            yield Difference(effect, f"http.{name}", _request(one), _request(other))
            operations = [of.graphql if of is not None else None for of in (one, other)]
            yield from graphql_diff.differences(f"http.{name}", *operations)
        else:
            yield from _route(f"http.{name}", one, other)
        yield from _answers(f"http.{name}", one, other)


def _route(what: str, old: Route, new: Route) -> Iterator[Difference]:
    yield from of_values(what, _request(old), _request(new))
    yield from _customers(f"{what}.customer", old, new)
    for name in sorted(old.path.keys() | new.path.keys()):
        before, after = (route.path.get(name) for route in (old, new))
        yield from of_values(f"{what}.path.{name}", before and value_text(before), after and value_text(after))
    for kind, pair in (("query", (old.query, new.query)), ("headers", (old.headers, new.headers))):
        yield from _members(f"{what}.{kind}", *map(_parameters, pair))
    yield from _body(f"{what}.body", old.body, new.body)
    if old.approval != new.approval:
        effect = WIDER if APPROVED[new.approval] > APPROVED[old.approval] else NARROWER
        yield Difference(effect, f"{what}.write", old.approval, new.approval)
    yield from of_values(f"{what}.dialect", old.dialect, new.dialect)
    yield from of_values(f"{what}.catalog", old.catalog, new.catalog)
    if old.websocket != new.websocket:
        yield Difference(WIDER if new.websocket else NARROWER, f"{what}.websocket", "", "")
    yield from of_sets(f"{what}.subprotocols", frozenset(old.subprotocols), frozenset(new.subprotocols))
    yield from graphql_diff.differences(what, old.graphql, new.graphql)


def _customers(what: str, old: Route, new: Route) -> Iterator[Difference]:
    before, after = ({place_text(one) for one in (r.customer, *r.also) if one is not None} for r in (old, new))
    if before != after:
        effect = NARROWER if before < after else WIDER if after < before else CHANGED
        yield Difference(effect, what, ", ".join(sorted(before)) or "none", ", ".join(sorted(after)) or "none")


def _body(what: str, old: BodyRule | None, new: BodyRule | None) -> Iterator[Difference]:
    if old is None or new is None:
        if old is not new:
            yield Difference(
                WIDER if old is None else NARROWER, what, old.media if old else "", new.media if new else ""
            )
        return
    yield from of_values(f"{what}.media", old.media, new.media)
    yield from of_sets(f"{what}.content_types", old.content_types, new.content_types)
    yield from _bounds(f"{what}.max_bytes", old.max_bytes, new.max_bytes)
    yield from _members(what, *map(_fields, (old, new)))


def _answers(what: str, old: Route | None, new: Route | None) -> Iterator[Difference]:
    """Answers status by status, those side by side that differ alike told as one."""
    before, after = (
        {status: rule for rule in route.answers for status in rule.statuses} if route is not None else {}
        for route in (old, new)
    )
    pairs = [(status, before.get(status), after.get(status)) for status in sorted(before.keys() | after.keys())]
    for (one, other), group in groupby(pairs, key=lambda pair: (pair[1], pair[2])):
        statuses = [status for status, _, _ in group]
        label = str(statuses[0]) if len(statuses) == 1 else f"{statuses[0]}-{statuses[-1]}"
        yield from _answer(f"{what}.{label}", one, other)


def _answer(what: str, old: AnswerRule | None, new: AnswerRule | None) -> Iterator[Difference]:
    if old is None or new is None:
        effect = WIDER if old is None else NARROWER
        yield Difference(effect, what, old.media if old else "", new.media if new else "")
    nothing = AnswerRule(frozenset(), "")
    one, other = old or nothing, new or nothing
    if old is not None and new is not None:
        yield from of_values(f"{what}.media", one.media, other.media)
        for part in ("customer", "max_bytes"):
            before, after = getattr(one, part), getattr(other, part)
            if part == "customer":
                yield from of_values(f"{what}.customer", before and written(before), after and written(after))
            else:
                yield from _bounds(f"{what}.max_bytes", before, after)
    yield from of_sets(f"{what}.content_types", one.content_types, other.content_types)
    yield from of_sets(f"{what}.headers", one.headers, other.headers)
    arrays = [{written(rule.path): rule for rule in answer.arrays} for answer in (one, other)]
    for path in sorted(arrays[0].keys() | arrays[1].keys()):
        texts = [_array(found.get(path)) for found in arrays]
        if texts[0] != texts[1]:
            effect = CHANGED if all(texts) else WIDER if texts[0] else NARROWER
            yield Difference(effect, f"{what}.arrays.{path}", *texts)
    yield from graphql_diff.shown(what, one.fields, other.fields)
    for name in ("also", "objects", "typed"):
        # of no policy that was loaded
        yield from of_values(f"{what}.{name}", repr(getattr(one, name)), repr(getattr(other, name)))


def _members(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ""), new.get(name, "")
        if before != after:
            effect = CHANGED if before and after else WIDER if after else NARROWER
            yield Difference(effect, f"{what}.{name}", before, after)


def _parameters(found: tuple[Parameter, ...]) -> dict[str, str]:
    return {one.name: value_text(one.value, required=one.required, repeated=one.repeated) for one in found}


def _fields(body: BodyRule) -> dict[str, str]:
    return {
        written(one.path): ", ".join(
            filter(
                None,
                [
                    value_text(one.value, required=one.required),
                    mask_text(one.mask),
                    one.category,
                    "or null" if one.nullable else "",
                ],
            )
        )
        for one in body.fields
    }


def _bounds(what: str, old: int, new: int) -> Iterator[Difference]:
    if old != new:
        # 0 is for the bounds of the budgets
        yield Difference(WIDER if new == 0 or 0 < old < new else NARROWER, what, text_of(old), text_of(new))


def _request(route: Route | None) -> str:
    return f"{route.method} /{'/'.join(route.template)}" if route is not None else ""


def place_text(place: CustomerOf) -> str:
    """Where a customer is, as policies write it."""
    return f"{place.place}.{place.name}{written(place.path) if place.path else ''}"


def _array(rule: Any) -> str:
    if rule is None:
        return ""
    counted = f", counted by {written(rule.count)}" if rule.count is not None else ""
    return f"of {written(rule.customer)}{counted}"
