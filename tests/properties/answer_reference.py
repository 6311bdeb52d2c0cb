"""What may leave of a document, said once more: slowly, plainly, and without the code that it checks.

A document is what `json.loads` makes of a text, its numbers as Decimal. There is no tree and no cache: for each place
in the document, the rule's lists are searched again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from gateway.policy.http_rules import AnswerRule, ArrayRule, FieldRule, JsonPath
from gateway.policy.masks import render

NUMBERS = {"numeric", "integer"}


def leaves(document: Any, rule: AnswerRule, customers: Collection[str], key: bytes) -> Any:
    """What leaves."""
    return _shown(document, (), rule, customers, key, {})


def is_whose(element: Any, path: JsonPath) -> str | None:
    """The customer that an element names, None for nobody."""
    for name in path:
        element = element.get(name) if isinstance(element, dict) else None
    if isinstance(element, bool) or not isinstance(element, str | Decimal):
        return None
    return element if isinstance(element, str) else str(element)


def _shown(value: Any, at: JsonPath, rule: AnswerRule, customers: Collection[str], key: bytes, counts: Any) -> Any:
    field = next((field for field in rule.fields if field.path == at), None)
    if field is not None:
        return _masked(field, value, key)
    counts = {**counts, **{array.count: _left(value, at, array, rule, customers) for array in _counted_from(at, rule)}}
    named = [field.path for field in rule.fields]
    for array in rule.arrays:
        named += [(*array.path, "*")] + ([array.count] if array.count else [])
    below = list(dict.fromkeys(path[len(at)] for path in named if path[: len(at)] == at and len(path) > len(at)))
    if below == ["*"]:
        if not isinstance(value, list):
            return None
        own = _own(value, at, rule, customers)
        return [_shown(element, (*at, "*"), rule, customers, key, counts) for element in own]
    if not isinstance(value, dict):
        return None
    shown = {}
    for name in below:
        there = (*at, name)
        if there in counts:
            if name in value:
                shown[name] = Decimal(counts[there])
        elif name in value or any(f.path == there and f.mask.kind in {"redact", "null"} for f in rule.fields):
            shown[name] = _shown(value.get(name), there, rule, customers, key, counts)
    return shown


def _own(value: list[Any], at: JsonPath, rule: AnswerRule, customers: Collection[str]) -> list[Any]:
    array = next((array for array in rule.arrays if array.path == at), None)
    return [element for element in value if array is None or is_whose(element, array.customer) in customers]


def _counted_from(at: JsonPath, rule: AnswerRule) -> list[ArrayRule]:
    """The arrays whose counts begin anew here: at the root, or at the element that the last `*` of the count is."""
    found = []
    for array in rule.arrays:
        if array.count is not None:
            stars = [place for place, step in enumerate(array.count) if step == "*"]
            if at == (array.count[: stars[-1] + 1] if stars else ()):
                found.append(array)
    return found


def _left(value: Any, at: JsonPath, array: ArrayRule, rule: AnswerRule, customers: Collection[str]) -> int:
    if at == array.path:
        return len(_own(value, at, rule, customers)) if isinstance(value, list) else 0
    step = array.path[len(at)]
    if step == "*":
        own = _own(value, at, rule, customers) if isinstance(value, list) else []
        return sum(_left(element, (*at, "*"), array, rule, customers) for element in own)
    if not isinstance(value, dict) or step not in value:
        return 0
    return _left(value[step], (*at, step), array, rule, customers)


def _masked(field: FieldRule, value: Any, key: bytes) -> Any:
    if field.mask.kind == "clear":
        return None if isinstance(value, dict | list) else value
    text = _number(value) if field.type in NUMBERS else _text(value)
    made = render(field.mask, text, key, field.type)
    # a number stays one, and what came as a string leaves as one, unless it is the same for everything
    as_number = field.type in NUMBERS and (field.mask.kind == "redact" or not isinstance(value, str))
    return Decimal(made) if made is not None and as_number else made


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, str) else None


def _number(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value if isinstance(value, str) and re.fullmatch("[0-9]+", value) else None
