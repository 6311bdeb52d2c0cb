"""A first policy of an HTTP target, proposed from the schema of its GraphQL.

INVARIANT: what is not understood is left out, with the reason in a comment; what is proposed loads. No name of the
document's can end the line that it stands in (`scaffold_text.quote` and `spoken`).

The draft is for a person to read: which root field is about one customer only is a guess by names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from gateway.cli.graphql_schema import Given, RootField, Schema
from gateway.cli.openapi import Leaf
from gateway.cli.scaffold_http import HttpDraft, head
from gateway.cli.scaffold_http_values import column, mask_of
from gateway.cli.scaffold_loading import loading
from gateway.cli.scaffold_text import quote, spoken
from gateway.errors import GatewayError
from gateway.policy import classify, kinds, words
from gateway.policy.classify import Proposal, Seen
from gateway.policy.graphql_load import NAME, typed
from gateway.policy.http_values import written
from gateway.policy.types import column_type

_COUNTS = frozenset({"total", "count", "total count", "total items", "total results"})
_TYPES = {"ID": "id", "Int": "integer", "Float": "number", "Boolean": "boolean", "UUID": "uuid", "Date": "date"}


@dataclass(slots=True)
class _Operation:
    """One root field of the draft: its lines, or why it is left out."""

    of: RootField
    lines: list[str] = field(default_factory=list)
    why: str = ""
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])


class _LeftOut(Exception):
    """Why a root field gives no operation."""


def drafted(target: str, schema: Schema, customer: str, today: date) -> HttpDraft:
    """A draft. `customer` is the name of the argument or field that tells the customer, empty to guess it.

    Raises `GatewayError`: `request-invalid` when nothing names a customer, `policy-invalid` when nothing is left.
    """
    named = customer or _guessed(schema.fields)
    if not named:
        raise GatewayError(
            "request-invalid", "nothing in the schema says whose data a field is about",
            hint="name the argument or the field that does with --customer",
        )  # fmt: skip
    writer = _Writer(named, today, schema)
    found = [writer.operation(one) for one in schema.fields]
    text = loading(
        lambda: _text(target, named, not customer, found, schema), _none,
        "leave only the root fields in the schema that people need",
    )  # fmt: skip
    shown = [one for one in found if not one.why]
    clear, masked, hidden = (sum(one.counts[which] for one in shown) for which in range(3))
    left_out = tuple((f"{one.of.kind}.{one.of.name}", one.why) for one in found if one.why)
    names = tuple(one.of.name for one in shown)
    return HttpDraft(target, named, not customer, text, names, left_out, (clear, masked, hidden))


def _guessed(fields: Iterable[RootField]) -> str:
    """The argument or field that names a customer by its name, the most frequent of several; empty without one."""
    found: Counter[str] = Counter()
    for one in fields:
        places = {given.path[-1] for given in one.arguments} | {leaf.name for leaf in one.leaves}
        found.update(name for name in places if _is_customers(name))
    return max(found, key=lambda name: (found[name], name), default="")


def _is_customers(name: str) -> bool:
    told = words.words_of(name)
    return told[-1:] == ("id",) and words.names(told[:-1], frozenset(words.CUSTOMER))


class _Writer:
    """Writes operations; counts the fields that are clear, masked and left out."""

    def __init__(self, customer: str, today: date, schema: Schema) -> None:
        self._customer, self._today = customer, today
        self._is = words.words_of(customer)
        masks = ((leaf, self._proposed(leaf).mask) for one in schema.fields for leaf in one.leaves if leaf.path)
        self._keyed = {leaf.name for leaf, mask in masks if mask is not None and kinds.KINDS[mask["mask"]].keyed}

    def operation(self, one: RootField) -> _Operation:
        """One root field as an operation."""
        found = _Operation(one)
        try:
            if not re.fullmatch(NAME, one.name):
                raise _LeftOut("a policy cannot write its name")
            found.lines = list(self._lines(found))
        except _LeftOut as why:
            found.why = str(why)
        return found

    def _lines(self, found: _Operation) -> Iterator[str]:
        one = found.of
        arguments = list(self._arguments(one))
        leaves = [leaf for leaf in one.leaves if not leaf.why]
        arrays = self._arrays(leaves)
        told = {given.path for given in self._told(one)}
        places = [f"argument.{written(path)}" for path in sorted(told)]
        whole = next((leaf for leaf in leaves if self._is_telling(leaf) and len(_plain(leaf.path)) == 1), None)
        if whole is not None and "*" not in whole.path and (one.kind == "queries" or places):
            places.append(f"answer.{typed(whole.path)}")
        if not places and arrays and one.kind == "queries":
            places = ["answer"]
        if not places:
            raise _LeftOut("nothing says whose data it is about; `customer: none` is for data about nobody")
        yield f"          {quote(one.name)}:"
        if one.kind == "mutations":
            yield "            write: statement  # somebody else approves each one"
        yield f"            customer: {quote(places[0]) if len(places) == 1 else _list(places)}"
        if any(not line.lstrip().startswith("#") for line in arguments):
            yield "            arguments:"
        yield from arguments
        counts = {}
        yield from ["            arrays:"] if arrays else []
        for path, owners in arrays.items():
            count = next(
                (leaf.path for leaf in leaves if path and leaf.path[:-1] == path[:-1] and _counts(leaf.name)), None
            )
            whose = quote(owners[0]) if len(owners) == 1 else _list(owners)
            counted = f", count: {quote(typed(count))}" if count is not None and count not in counts else ""
            counts[count] = path
            yield f"              {quote(typed(path))}: {{customer: {whose}{counted}}}"
        objects = self._objects(leaves, arrays)
        yield from ["            objects:"] if objects else []
        yield from (f"              {quote(typed(path))}: {{customer: {quote(own)}}}" for path, own in objects.items())
        lines = [self._field(leaf, found.counts, counts=leaf.path in counts) for leaf in one.leaves]
        if all(line.lstrip().startswith("#") for line in lines):
            raise _LeftOut("nothing of its answer can be proposed")
        yield "            fields:"
        yield from lines

    def _arguments(self, one: RootField) -> Iterator[str]:
        told = self._told(one)
        for given in one.arguments:
            why, name = given.why, given.path[-1] if given.path[-1] != "*" else given.path[-2]
            is_customers = given in told
            if not why and not is_customers and self._tells(one, given):
                why = "another argument says whose data it is about"
            if not why and classify.is_secret(name):
                why = "secret by its name"
            if not why and one.kind == "mutations" and name in self._keyed and not is_customers:
                why = "masked with a key in an answer: who may write it could look pseudonyms up"
            if (
                not why
                and one.kind == "queries"
                and given.of not in _TYPES
                and not given.choices
                and not given.required
            ):
                why = "a text to search for could tell what a mask hides"
            if why and given.required:
                raise _LeftOut(f"it needs the argument {spoken(written(given.path))}, which is left out: {spoken(why)}")
            if why:
                yield f"              # {spoken(written(given.path))}: left out; {spoken(why)}"
            else:
                yield f"              {quote(written(given.path))}: {_value(given, required=is_customers)}"

    def _told(self, one: RootField) -> list[Given]:
        """The arguments that say whose data it is about: those that are always there, else what may be made so."""
        found = [given for given in one.arguments if self._tells(one, given)]
        always = [given for given in found if given.required]
        return always or [given for given in found if len(given.path) == 1][:1]

    def _tells(self, one: RootField, given: Given) -> bool:
        """Whether an argument says whose data it is about; the id of a customer's own field does."""
        if given.why or given.choices or "*" in given.path or given.of not in {"ID", "String", "Int", "UUID"}:
            return False
        own = (*words.words_of(one.name), *words.words_of(given.path[-1]))
        return self._names(given.path[-1]) or (given.path == ("id",) and own == self._is)

    def _names(self, name: str) -> bool:
        return name == self._customer or words.words_of(name) == self._is

    def _is_telling(self, leaf: Leaf) -> bool:
        """Whether a field says whose an object is; the id of a customer itself does."""
        own = (*words.words_of(leaf.owner), *words.words_of(leaf.name))
        return leaf.type in {"string", "integer"} and (self._names(leaf.name) or own == self._is)

    def _arrays(self, leaves: list[Leaf]) -> dict[tuple[str, ...], list[str]]:
        """The lists whose elements say whose they are, and where."""
        found: dict[tuple[str, ...], list[str]] = {}
        for leaf in leaves:
            if self._is_telling(leaf) and "*" in leaf.path:
                last = len(leaf.path) - leaf.path[::-1].index("*")
                list_of, below = leaf.path[: last - 1], leaf.path[last:]
                own = found.setdefault(list_of, [])
                is_beside = all(len(_plain(below)) == 1 and one[1] == "<" for one in own) and below[0][:1] == "<"
                if below and (not own or is_beside):
                    own.append(typed(below))
        return found

    def _objects(self, leaves: list[Leaf], arrays: dict[tuple[str, ...], list[str]]) -> dict[tuple[str, ...], str]:
        """The single objects below the root field's value that say whose they are; of a list, its own does already."""
        lists = {typed((*path, "*")) + own[1:] for path, owners in arrays.items() for own in owners}
        return {
            leaf.path[:-1]: typed(leaf.path[-1:])
            for leaf in leaves
            if self._is_telling(leaf) and typed(leaf.path) not in lists
            if len(leaf.path) > 1 and leaf.path[-2] != "*" and leaf.path[-2][:1] != "<"
        }

    def _field(self, leaf: Leaf, totals: list[int], *, counts: bool) -> str:
        counting = Proposal(leaf.name, "count", "of the elements that are left", {"mask": "clear"})
        found = counting if counts else self._proposed(leaf)
        name = quote(typed(leaf.path))
        if found.mask is None:
            totals[2] += 1
            return f"              # {spoken(name)}: left out; {spoken(f'{found.what}: {found.why}')}"
        totals[found.mask["mask"] != "clear"] += 1
        return f"              {name}: {mask_of(found, leaf)}  # {spoken(f'{found.what}: {found.why}')}"

    def _proposed(self, leaf: Leaf) -> Proposal:
        if leaf.why:
            return Proposal(leaf.name, "unknown", leaf.why)
        if self._is_telling(leaf):
            return Proposal(leaf.name, "customer", "what a ticket names", {"mask": "clear"})
        is_key = leaf.schema.get("format") == "id" and leaf.name.lower() == "id"
        seen = Seen(leaf.name, column_type(column(leaf.schema)), enum="enum" in leaf.schema, key=is_key)
        return classify.propose(seen, classify.subject(leaf.owner, leaf.siblings), today=self._today)


def _plain(path: Iterable[str]) -> tuple[str, ...]:
    return tuple(step for step in path if step != "*" and step[:1] != "<")


def _counts(name: str) -> bool:
    return " ".join(words.words_of(name)) in _COUNTS


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"


def _value(given: Given, *, required: bool) -> str:
    kind = "enum" if given.choices else _TYPES.get(given.of, "string")
    parts = [f"type: {kind}"]
    parts += [f"choices: [{', '.join(map(quote, given.choices))}]"] if given.choices else []
    parts += ["required: true"] if required or given.required else []
    return kind if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _none() -> GatewayError:
    return GatewayError(
        "policy-invalid", "no operation can be proposed", hint="name another argument or field with --customer"
    )


def _text(
    target: str, customer: str, guessed: bool, found: list[_Operation], schema: Schema
) -> tuple[list[str], list[tuple[_Operation, range]]]:
    """The lines, and on which of them (from 1) each operation is."""
    shown = [one for one in found if not one.why]
    owners = {leaf.owner for one in shown for leaf in one.of.leaves if not leaf.why}
    types = sorted(name for name in schema.types & owners if re.fullmatch(NAME, name))
    lines = [
        f"# A first policy of `{target}`, proposed from the schema of its GraphQL.",
        "# It is a draft: read every line before it goes into force. What was not understood is left out, so hidden.",
        f"# The customer is what `{spoken(customer)}` names: {'guessed' if guessed else 'as it was given'}.",
        *head(target),
        "http:",
        "  routes:",
        "    graphql:",
        "      post: /graphql  # where the API takes it",
        "      graphql:",
        *([f"        types: [{', '.join(types)}]"] if types else []),
    ]
    places = []
    for kind in ("queries", "mutations"):
        if any(one.of.kind == kind for one in shown):
            lines.append(f"        {kind}:")
        for one in shown:
            if one.of.kind == kind:
                places.append((one, range(len(lines) + 1, len(lines) + 1 + len(one.lines))))
                lines += [*one.lines, ""]
    left_out = [f"  #   {spoken(one.of.kind)}.{spoken(one.of.name)}: {spoken(one.why)}" for one in found if one.why]
    return [*lines, *(["  # Left out:", *left_out] if left_out else [])], places
