"""A first policy of an HTTP target, proposed from its OpenAPI document.

INVARIANT: what is not understood is left out, with the reason in a comment; what is proposed loads. No name of the
document's can end the line that it stands in (`scaffold_text.quote` and `spoken`).

The draft is for a person to read: a document says what an API means to send, not what it sends.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from string import Template
from typing import Any

from gateway.cli.openapi import Input, Leaf, Operation
from gateway.cli.scaffold_http_values import LeftOut, column, is_scalar, mask_of, spelled, value
from gateway.cli.scaffold_loading import loading
from gateway.cli.scaffold_text import quote, spoken
from gateway.errors import GatewayError
from gateway.policy import classify, kinds, words
from gateway.policy.classify import Proposal, Seen
from gateway.policy.http_consistency import is_never_passed
from gateway.policy.http_load import QUERY_NAME, TOKEN
from gateway.policy.http_values import written
from gateway.policy.types import column_type

_FORM = "application/x-www-form-urlencoded"
_COUNTS = frozenset({"total", "count", "total count", "total items", "total results"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")


@dataclass(slots=True)
class Route:
    """One route of the draft: its lines in the section `routes`, or why it is left out."""

    name: str
    title: str
    lines: list[str] = field(default_factory=list)
    why: str = ""
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])


@dataclass(frozen=True, slots=True)
class HttpDraft:
    """A first policy as text; the routes in it, those left out, and how many fields are clear, masked and left out."""

    target: str
    customer: str
    guessed: bool
    text: str
    routes: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    counts: tuple[int, int, int]

    def as_json(self) -> dict[str, Any]:
        """The draft as `--output json` has it, without its text."""
        return {
            "target": self.target,
            "customer": self.customer,
            "guessed": self.guessed,
            "routes": list(self.routes),
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }


def drafted(target: str, operations: list[Operation], customer: str, today: date) -> HttpDraft:
    """A draft. `customer` is the name of the parameter or field that tells the customer, empty to guess it.

    Raises `GatewayError`: `request-invalid` when nothing names a customer, `policy-invalid` when nothing is left.
    """
    named = customer or _guessed(operations)
    if not named:
        raise GatewayError(
            "request-invalid", "nothing in the document says whose data a request is about",
            hint="name the parameter or the field that does with --customer",
        )  # fmt: skip
    writer = _Writer(named, today, operations)
    routes = [writer.route(name, one) for name, one in _named(operations)]
    text = loading(
        lambda: _text(target, named, not customer, routes), _none,
        "leave only the paths in the document that people need",
    )  # fmt: skip
    shown = [one for one in routes if not one.why]
    clear, masked, hidden = (sum(one.counts[which] for one in shown) for which in range(3))
    left_out = tuple((one.title, one.why) for one in routes if one.why)
    names = tuple(one.name for one in shown)
    return HttpDraft(target, named, not customer, text, names, left_out, (clear, masked, hidden))


def _guessed(operations: Iterable[Operation]) -> str:
    """The parameter that names a customer by its name, the most frequent of several; empty without one."""
    found = Counter(
        one.name
        for operation in operations
        for one in operation.inputs
        if one.place == "path" and words.names(words.words_of(one.name), frozenset(words.CUSTOMER))
    )
    return max(found, key=lambda name: (found[name], name), default="")


def _named(operations: list[Operation]) -> Iterator[tuple[str, Operation]]:
    taken: set[str] = set()
    for one in operations:
        plain = one.name or f"{one.method}_{re.sub(r'[{}]', '', one.path)}"
        base = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")[:50] or one.method
        base = base if _NAME.fullmatch(base) else f"{one.method}_{base}"
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        yield name, one


class _Writer:
    """Writes routes; counts the fields of answers that are clear, masked and left out."""

    def __init__(self, customer: str, today: date, operations: list[Operation]) -> None:
        self._customer, self._today = customer, today
        self._is = words.words_of(customer)
        self.counts = [0, 0, 0]
        contents = (content for one in operations for content in one.answers.values())
        shown = (leaf for content in contents for leaves in content.values() for leaf in leaves if leaf.path)
        masks = ((leaf.path, self._proposed(leaf).mask) for leaf in shown)
        self._keyed = {path[-1] for path, mask in masks if mask is not None and kinds.KINDS[mask["mask"]].keyed}

    def route(self, name: str, one: Operation) -> Route:
        """One operation as a route."""
        self.counts = [0, 0, 0]
        found = Route(name, f"{one.method.upper()} {one.path}", counts=self.counts)
        try:
            found.lines = list(self._lines(name, one))
        except LeftOut as why:
            found.why = str(why)
        return found

    def _lines(self, name: str, one: Operation) -> Iterator[str]:
        kinds_of = ("path", "query", "header")
        places = {place: [given for given in one.inputs if given.place == place] for place in kinds_of}
        body = list(self._body(one))
        answers = list(self._answers(one))
        customer = self._place(one, answers)
        yield f"    {quote(name)}:"
        yield f"      {one.method}: {quote(_template(one.path))}"
        paths = [f"{quote(given.name)}: {value(given.schema)}" for given in places["path"]]
        yield from [f"      path: {{{', '.join(paths)}}}"] if paths else []
        yield f"      customer: {quote(customer)}"
        if one.method not in {"get", "head"}:
            also = "; `reads: true` instead, if it changes nothing" if one.method == "post" else ""
            yield f"      write: statement  # somebody else approves each one{also}"
        for place, key in (("query", "query"), ("header", "headers")):
            lines = list(self._inputs(places[place], customer))
            if any(not line.lstrip().startswith("#") for line in lines):
                yield f"      {key}:"
            yield from lines
        yield from body
        yield "      answers:"
        yield from answers

    def _place(self, one: Operation, answers: list[str]) -> str:
        """Where the request says whose data it is about."""
        for given in one.inputs:
            if self._names(given.name) and is_scalar(given.schema):
                return f"{given.place}.{given.name.lower() if given.place == 'header' else given.name}"
        for leaves in one.body.values():
            for leaf in leaves:
                if self._names(leaf.name) and leaf.required and spelled(leaf.schema) in {"string", "integer", "uuid"}:
                    return f"body.{written(leaf.path)}"
        if one.method in {"get", "head"} and self._all_tell(answers):
            return "answer"
        raise LeftOut("nothing says whose data it is about; `customer: none` is for data about nobody")

    @staticmethod
    def _all_tell(answers: list[str]) -> bool:
        media = sum(line.lstrip().startswith("media: json") for line in answers)
        told = sum(line.strip().startswith(("customer:", "arrays:")) for line in answers)
        return media > 0 and told >= media

    def _inputs(self, found: list[Input], customer: str) -> Iterator[str]:
        for given in found:
            schema, repeated = given.schema, ""
            if isinstance(schema.get("items"), dict):
                schema, repeated = schema["items"], "repeated: true"
            is_customer = customer in {f"{given.place}.{given.name}", f"{given.place}.{given.name.lower()}"}
            required = "required: true" if given.required or is_customer else ""
            form = QUERY_NAME if given.place == "query" else TOKEN
            is_named = re.fullmatch(form, given.name) and not (given.place == "header" and is_never_passed(given.name))
            if not is_scalar(schema) or classify.is_secret(given.name) or not is_named:
                yield f"        # {spoken(given.name)}: left out; it is no plain value, secret, or never passed on"
            else:
                yield f"        {quote(given.name)}: {value(schema, required, repeated)}"

    def _body(self, one: Operation) -> Iterator[str]:
        if not one.body or one.method in {"get", "head"}:
            return
        media, leaves = next(
            ((media, leaves) for media, leaves in one.body.items() if _is_json(media) or media == _FORM), ("", ())
        )
        if not media:
            raise LeftOut(f"its body is {', '.join(map(spoken, one.body))}, which is not read")
        yield "      body:"
        yield f"        media: {'form' if media == _FORM else 'json'}"
        if _is_json(media) and media != "application/json":
            yield f"        content_types: [{quote(media)}]"
        lines = [self._sent(leaf, media, required=leaf.required and one.body_required) for leaf in leaves]
        if all(line.lstrip().startswith("#") for line in lines):
            raise LeftOut("nothing of its body can be proposed")
        yield "        fields:"
        yield from lines

    def _sent(self, leaf: Leaf, media: str, *, required: bool) -> str:
        why = leaf.why or ("" if leaf.path else "it is no field")
        if not why and classify.is_secret(leaf.name):
            why = "secret by its name"
        if not why and media == _FORM and (len(leaf.path) != 1 or "*" in leaf.path):
            why = "forms have plain fields"
        if not why and leaf.path[-1] in self._keyed:
            why = "masked with a key in an answer: who may write it could look pseudonyms up"
        if why:
            return f"          # {spoken(written(leaf.path))}: left out; {spoken(why)}"
        more = ("required: true" if required else "", "nullable: true" if leaf.nullable and media != _FORM else "")
        return f"          {quote(written(leaf.path))}: {value(leaf.schema, *more)}"

    def _answers(self, one: Operation) -> Iterator[str]:
        found = 0
        for status, content in one.answers.items():
            if not re.fullmatch(r"2(?:[0-9]{2}|XX)", status):
                continue
            media = next((media for media in content if _is_json(media)), "")
            if not content:
                yield f"        {status.lower()}: {{media: empty}}"
            elif media:
                yield f"        {status.lower()}:"
                yield "          media: json"
                yield from self._answer(content[media])
            else:
                yield f"        # {status}: left out; {spoken(', '.join(content))} is not read"
            found += bool(media or not content)
        if not found:
            raise LeftOut("it has no answer of a kind that can be masked")

    def _answer(self, leaves: tuple[Leaf, ...]) -> Iterator[str]:
        names = {leaf.path for leaf in leaves}
        tell = [leaf.path for leaf in leaves if self._names(leaf.name) and leaf.type in {"string", "integer"}]
        whole = next((path for path in tell if "*" not in path), None)
        if whole is not None:
            yield f"          customer: {quote(written(whole))}"
        single = [(path, path.index("*")) for path in reversed(tell) if path.count("*") == 1]
        lists = {path[:at]: path[at + 1 :] for path, at in single}
        if lists:
            yield "          arrays:"
        counts = set()
        for path, below in lists.items():
            count = next((one for one in names if path and one[:-1] == path[:-1] and _counts(one[-1])), None)
            counts.add(count)
            counted = f", count: {quote(written(count))}" if count is not None else ""
            yield f"            {quote(written(path))}: {{customer: {quote(written(below))}{counted}}}"
        lines = [self._field(leaf, counts=leaf.path in counts) for leaf in leaves]
        yield from ["          fields:"] if any(not line.lstrip().startswith("#") for line in lines) else []
        yield from lines

    def _field(self, leaf: Leaf, *, counts: bool) -> str:
        counting = Proposal(leaf.name, "count", "of the elements that are left", {"mask": "clear"})
        found = counting if counts else self._proposed(leaf)
        name = quote(written(leaf.path))
        if found.mask is None:
            self.counts[2] += 1
            return f"            # {spoken(name)}: left out; {spoken(f'{found.what}: {found.why}')}"
        self.counts[found.mask["mask"] != "clear"] += 1
        return f"            {name}: {mask_of(found, leaf)}  # {spoken(f'{found.what}: {found.why}')}"

    def _proposed(self, leaf: Leaf) -> Proposal:
        if leaf.why or not leaf.path:
            return Proposal(leaf.name, "unknown", leaf.why or "the whole answer is one value")
        if self._names(leaf.name):
            return Proposal(leaf.name, "customer", "what a ticket names", {"mask": "clear"})
        seen = Seen(leaf.name, column_type(column(leaf.schema)), enum=isinstance(leaf.schema.get("enum"), list))
        return classify.propose(seen, classify.subject(leaf.owner, leaf.siblings), today=self._today)

    def _names(self, name: str) -> bool:
        return name == self._customer or words.words_of(name) == self._is


def _counts(name: str) -> bool:
    return " ".join(words.words_of(name)) in _COUNTS


def _template(path: str) -> str:
    """The path as a template. Raises: LeftOut."""
    if any(not _NAME.fullmatch(name) for name in _PLACEHOLDER.findall(path)):
        raise LeftOut("a placeholder of its path has a name that a policy cannot write")
    return path


def _is_json(media: str) -> bool:
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def _none() -> GatewayError:
    return GatewayError(
        "policy-invalid", "no route can be proposed", hint="name another parameter or field with --customer"
    )


def _text(
    target: str, customer: str, guessed: bool, routes: list[Route]
) -> tuple[list[str], list[tuple[Route, range]]]:
    """The lines, and on which of them (from 1) each route is."""
    lines = [
        f"# A first policy of `{target}`, proposed from its OpenAPI document.",
        "# It is a draft: read every line before it goes into force. What was not understood is left out, so hidden.",
        f"# The customer is what `{spoken(customer)}` names: {'guessed' if guessed else 'as it was given'}.",
        *head(target),
        "http:",
        "  direction: inbound",
        "  routes:",
    ]
    places = []
    for route in routes:
        if not route.why:
            places.append((route, range(len(lines) + 1, len(lines) + 1 + len(route.lines))))
            lines += [*route.lines, ""]
    left_out = [f"  #   {spoken(route.title)}: {spoken(route.why)}" for route in routes if route.why]
    return [*lines, *(["  # Left out:", *left_out] if left_out else [])], places


def head(target: str) -> list[str]:
    """The lines of a policy that are not about its target's content."""
    template = resources.files("gateway.cli").joinpath("templates", "policy.yaml").read_text(encoding="utf-8")
    head = template.partition("# One entry per table")[0]
    return [*Template(head[head.index("target:") :].rstrip("\n")).substitute(target=target).split("\n"), ""]
