"""A judged operation as text: what goes on, what a person approves, and what the trail shows in clear.

INVARIANT: the text is written from the judged fields alone, in one layout: two operations that ask for something else
differ in it. The trail's has no value and no name that a client made up, but an operation's that reads like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from gateway.policy.http_rules import JsonPath

CUSTOMER = "gatewayCustomer"
"""What the gateway calls the fields that it asks for itself: those that say whose an object is."""
TYPE = "gatewayType"
"""And the type of it, where the policy has fields of some types only."""

_TELLING = re.compile(r"(?=.{1,64}\Z)(?:[A-Za-z_]+[0-9]{0,2})+")


@dataclass(slots=True)
class Chosen:
    """One field that is asked for: under which key of the answer, with which arguments (as text, and their names).

    `within` are the types that the object must be of. `owned` are the fields below that say whose it is, and `typed`
    says that its type must be known. `path` is where the answer has it, of a value.
    """

    key: str
    name: str
    arguments: str = ""
    names: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    below: dict[tuple[tuple[str, ...], str], Chosen] = field(default_factory=dict)
    owned: tuple[JsonPath, ...] = ()
    typed: bool = False
    path: JsonPath = ()


def printed(kind: str, name: str, fields: Iterable[Chosen], *, owned: bool) -> str:
    """The operation, a line for each field; `owned` adds what the gateway asks for itself."""
    head = f"{kind} {name} {{" if name else f"{kind} {{"
    return "\n".join([head, *_lines(fields, "  ", owned=owned), "}"])


def shape(kind: str, name: str, fields: Iterable[Chosen]) -> str:
    """The operation on a line, without values and without what clients call its fields."""
    told = f"{kind} {name}" if _TELLING.fullmatch(name) else kind
    return f"{told} {{ {_names(fields)} }}"


def values(fields: Iterable[Chosen]) -> Iterator[JsonPath]:
    """Where the answer has the values that are asked for, in the order of the text."""
    for one in fields:
        if one.below:
            yield from values(one.below.values())
        else:
            yield one.path


def _lines(fields: Iterable[Chosen], indent: str, *, owned: bool) -> Iterator[str]:
    for within, group in groupby(fields, key=lambda one: one.within):
        inner = indent
        for name in within:
            yield f"{inner}... on {name} {{"
            inner += "  "
        for one in group:
            head = f"{one.name}{one.arguments}" if one.key == one.name else f"{one.key}: {one.name}{one.arguments}"
            if not one.below:
                yield inner + head
                continue
            yield f"{inner}{head} {{"
            yield from _lines(one.below.values(), f"{inner}  ", owned=owned)
            yield from [f"{inner}  {TYPE}: __typename"] if owned and one.typed else []
            yield from [f"{inner}  {_to_customer(path)}" for path in one.owned if owned]
            yield f"{inner}}}"
        for _ in within:
            inner = inner[:-2]
            yield f"{inner}}}"


def _to_customer(path: JsonPath) -> str:
    step, below = path[0], path[1:]
    if step[:1] == "<":
        return f"... on {step[1:-1]} {{ {_to_customer(below)} }}"
    return f"{CUSTOMER}: {step} {{ {_to_customer(below)} }}" if below else f"{CUSTOMER}: {step}"


def _names(fields: Iterable[Chosen]) -> str:
    words: list[str] = []
    for within, group in groupby(fields, key=lambda one: one.within):
        words += [f"... on {name} {{" for name in within]
        for one in group:
            words.append(one.name + (f"({', '.join(one.names)})" if one.names else ""))
            words += ["{", _names(one.below.values()), "}"] if one.below else []
        words += ["}" for _ in within]
    return " ".join(words)
