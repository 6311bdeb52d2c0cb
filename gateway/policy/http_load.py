"""The section `http` of a policy file: the routes of an HTTP target, read into `HttpRules`.

INVARIANT: as in `load.py`: a fault gives no rules at all. A route says which request it is, whose data that is about
and what of an answer is shown; what it does not say does not exist.

The table `HTTP` is the format. What must hold between its parts is in `http_consistency.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gateway.policy import graphql_load, http_dialects, shapes
from gateway.policy.dialects import HTTP_DIALECTS
from gateway.policy.http_rules import (
    MEDIA,
    RESERVED,
    AnswerRule,
    ArrayRule,
    BodyRule,
    CustomerOf,
    FieldRule,
    HttpRules,
    JsonPath,
    Route,
)
from gateway.policy.http_values import (
    body_schema,
    body_value,
    called,
    given_schema,
    parameter,
    placeholder,
    shown,
    shown_schema,
    steps,
    written,
)
from gateway.policy.shapes import AnyValue, Choice, Field, Flag, ListOf, MapOf, Reading, Record, Text, Whole

METHODS = ("get", "head", "post", "put", "patch", "delete")
BODIES = ("json", "form", "passed")
ANSWER = "answer"
"""The place of a customer that only the answer tells."""
LARGEST_BODY = 64 << 20
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}"  # noqa: S105 - the grammar's word (RFC 9110, 5.6.2)
_NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,62}"
QUERY_NAME = r"[A-Za-z_][A-Za-z0-9_.:\[\]$-]{0,62}"
_LITERAL = re.compile(r"(?!\.+\Z)[A-Za-z0-9._~@:+,=-]{0,127}[A-Za-z0-9_~@:+,=-]")
_PLACEHOLDER = re.compile(rf"\{{({_NAME})\}}")
_PATH_SCHEMA = r'^\$(?:\.[A-Za-z_][A-Za-z0-9_-]*|\["[^"\\]+"\]|\[\*\])*$'
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_MEDIA_TYPE = r"[a-z0-9][a-z0-9.+-]{0,62}/[a-z0-9][a-z0-9.+-]{0,62}"
_CUSTOMER_WANTED = "`path.NAME`, `query.NAME`, `header.NAME`, `body.$.PATH`, `answer` or `none`"


def rules(read: dict[str, Any]) -> HttpRules:
    """What the section says, once it was read and judged.

    Everything is in the order of its names, but the fields of answers: columns leave in the order of the file.
    """
    routes = tuple(_route(name, one) for name, one in sorted(read["routes"].items()))
    return HttpRules(routes, read.get("direction", "inbound"), read.get("recipient", ""))


def dialect(found: HttpRules) -> str:
    """The SQL that routes of these take; that of databases where none does."""
    return next((route.dialect for route in found.routes if route.dialect), "postgres")


def content(found: HttpRules) -> HttpRules:
    """The same whatever the order of the fields: what a digest is of."""
    routes = (
        replace(
            route,
            answers=tuple(
                replace(answer, fields=tuple(sorted(answer.fields, key=lambda rule: rule.path)))
                for answer in route.answers
            ),
            graphql=graphql_load.content(route.graphql) if route.graphql is not None else None,
        )
        for route in found.routes
    )
    return replace(found, routes=tuple(routes))


def revealed(found: HttpRules) -> dict[str, frozenset[str]]:
    """Of each route that has some, the paths as written that an approved request may see in clear."""
    named = {
        route.name: frozenset(
            written(rule.path) for answer in route.answers for rule in answer.fields if rule.reveal
        ) | (graphql_load.revealed(route.graphql) if route.graphql is not None else frozenset())
        for route in found.routes
    }  # fmt: skip
    return {name: paths for name, paths in named.items() if paths}


def categories(found: HttpRules) -> dict[str, frozenset[str]]:
    """The fields of answers by the category of data that they are, each as records name it (`employee.$.iban`)."""
    named: dict[str, set[str]] = {}
    for route in found.routes:
        for answer in route.answers:
            for rule in answer.fields:
                if rule.category:
                    named.setdefault(rule.category, set()).add(f"{route.name}.{called(rule)}")
    return {category: frozenset(fields) for category, fields in named.items()}


def _route(name: str, read: dict[str, Any]) -> Route:
    method = next(method for method in METHODS if method in read)
    if "dialect" in read:
        return http_dialects.route(name, method.upper(), read[method], read["dialect"], read.get("catalog", ""))
    body, customer = read.get("body"), read.get("customer", (CustomerOf("none"),))
    return Route(
        name=name,
        method=method.upper(),
        template=read[method],
        path={one: given.value for one, given in _named(read, "path")},
        query=tuple(given.parameter(one) for one, given in _named(read, "query")),
        headers=tuple(given.parameter(one.lower()) for one, given in _named(read, "headers")),
        body=_body(body) if body is not None else None,
        customer=None if customer[0].place in {"none", ANSWER} else customer[0],
        answers=tuple(_answer(status, one) for status, one in _named(read, "answers")),
        approval=read.get("write", ""),
        websocket="websocket" in read,
        subprotocols=tuple(read.get("subprotocols", ())),
        also=customer[1:],
        graphql=graphql_load.rules(read["graphql"]) if "graphql" in read else None,
    )


def _named(read: dict[str, Any], part: str) -> list[tuple[str, Any]]:
    return sorted(read.get(part, {}).items())


def _body(read: dict[str, Any]) -> BodyRule:
    return BodyRule(
        read["media"],
        tuple(given.body_field(steps(path)) for path, given in _named(read, "fields")),
        read.get("max_bytes", 1 << 20),
        read.get("content_types", ()),
    )


def _answer(status: str, read: dict[str, Any]) -> AnswerRule:
    return AnswerRule(
        statuses_of(status),
        read["media"],
        read.get("customer"),
        tuple(
            FieldRule(steps(path), one.mask, one.type, one.reveal, one.identifier, category=one.category)
            for path, one in read.get("fields", {}).items()
        ),
        tuple(ArrayRule(steps(path), one["customer"], one.get("count")) for path, one in _named(read, "arrays")),
        read.get("content_types", ()),
        tuple(name.lower() for name in read.get("headers", ())),
        read.get("max_bytes", 0 if read["media"] in {"ndjson", "csv", "unmasked"} else 8 << 20),
    )


def statuses_of(text: str) -> frozenset[int]:
    """The statuses that `200`, `2xx` or `200, 201` name."""
    found: set[int] = set()
    for part in text.split(","):
        one = part.strip()
        found |= set(range(int(one[0]) * 100, int(one[0]) * 100 + 100)) if one.endswith("xx") else {int(one)}
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Statuses:
    """The key of an answer, which YAML may read as a number."""

    def read(self, node: Any, path: shapes.Path, reading: Reading) -> Any:
        text = node.value
        if not all(_STATUS.fullmatch(part.strip()) for part in text.split(",")):
            return reading.fault(path, f"wanted a status such as 200, 2xx or `200, 201`, not `{text[:40]}`")
        return text

    def schema(self) -> dict[str, Any]:
        one = _STATUS.pattern
        return {"type": "string", "pattern": f"^{one}(?:, *{one})*$"}


def _template(text: str) -> tuple[str, ...]:
    segments = text[1:].split("/") if len(text) > 1 else []
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if not (_PLACEHOLDER.fullmatch(segment) or _LITERAL.fullmatch(segment) or (last and number and not segment)):
            raise ValueError(
                f"wanted a path such as `/companies/{{company_id}}/employees`, of plain segments, not `{text}`"
            )
    if segments and segments[0].casefold() == RESERVED:
        raise ValueError(f"`/{RESERVED}` is the gateway's own: no route begins with it")
    names = [segment for segment in segments if segment.startswith("{")]
    if text[:1] != "/" or len(set(names)) != len(names):
        raise ValueError(f"wanted a path that begins with `/` and names each placeholder once, not `{text}`")
    return tuple(segments)


def _customers(value: Any) -> tuple[CustomerOf, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"wanted where the customer is: {_CUSTOMER_WANTED}, or a list of several")
    found = tuple(_customer(text) for text in texts)
    if len(set(found)) != len(found) or (len(found) > 1 and any(one.place in {"none", ANSWER} for one in found)):
        raise ValueError("several places are written once each, and `none` and `answer` stand alone")
    return found


def _customers_schema() -> dict[str, Any]:
    one = {"type": "string", "pattern": r"^(?:none|answer|(?:path|query|header)\.[^.\s]+|body\.\$.*)$"}
    return {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "uniqueItems": True}]}


def _customer(text: str) -> CustomerOf:
    if text in {"none", ANSWER}:
        return CustomerOf(text)
    place, _, name = text.partition(".")
    if place == "body":
        return CustomerOf("body", path=steps(name))
    if place in {"path", "query", "header"} and name:
        return CustomerOf(place, name.lower() if place == "header" else name)
    raise ValueError(f"wanted where the customer is: {_CUSTOMER_WANTED}, not `{text}`")


def _single(text: str) -> JsonPath:
    path = steps(text)
    if "*" in path:
        raise ValueError(f"wanted the path of one value, without `[*]`, not `{text}`")
    return path


def _header(text: str) -> str:
    return text.lower()


_COUNT = Text("a path such as `$.total`", check=steps, described=_PATH_SCHEMA)
_SINGLE = Text("the path of one value, such as `$.company_id`", check=_single, described=_PATH_SCHEMA)


def _path_key(text: str) -> str:
    steps(text)
    return text


_PATH = Text("a path such as `$.employees[*].iban`", check=_path_key, described=_PATH_SCHEMA)
_HEADER_NAME = Text("the name of a header", TOKEN, _header)
_PATH_TEMPLATE = Text("a path such as `/companies/{company_id}`", check=_template, described="^/[^?#]*$")
_BODY = Record({
    "media": Field(Choice(BODIES), "what it is; `passed` is forwarded as it came", True),
    "fields": Field(MapOf(_PATH, AnyValue(body_value, body_schema)), "the fields that may be sent"),
    "max_bytes": Field(Whole(1, LARGEST_BODY), "how long it may be (1048576)"),
    "content_types": Field(ListOf(Text("a media type", _MEDIA_TYPE)), "media types allowed (the usual of `media`)"),
})  # fmt: skip
_ANSWER = Record({
    "media": Field(Choice(MEDIA), "what it is; `unmasked` is forwarded as it came", True),
    "customer": Field(_SINGLE, "the field that says whose the document, or the line, is"),
    "fields": Field(MapOf(_PATH, AnyValue(shown, shown_schema)), "the fields that are shown; no other is"),
    "arrays": Field(MapOf(_PATH, Record({
        "customer": Field(_SINGLE, "in an element, the field that says whose it is", True),
        "count": Field(_COUNT, "the field that counts the elements: becomes the number of those that are left"),
    })), "arrays of which only the customer's elements are shown"),
    "content_types": Field(ListOf(Text("a media type", _MEDIA_TYPE)), "media types allowed (the usual of `media`)"),
    "headers": Field(ListOf(_HEADER_NAME), "further headers that leave"),
    "max_bytes": Field(Whole(1, LARGEST_BODY), "how long it may be (8388608)"),
})  # fmt: skip
ROUTE = Record({
    **{method: Field(_PATH_TEMPLATE, f"the path of a {method.upper()}") for method in METHODS},
    "path": Field(
        MapOf(Text("a placeholder", _NAME), AnyValue(placeholder, given_schema)), "what each placeholder may be"
    ),
    "query": Field(
        MapOf(
            Text("a parameter's name", QUERY_NAME),
            AnyValue(parameter, lambda: given_schema("required", "repeated")),
        ),
        "the parameters that may be sent",
    ),
    "headers": Field(
        MapOf(_HEADER_NAME, AnyValue(parameter, lambda: given_schema("required", "repeated"))),
        "request headers that are passed on",
    ),
    "body": Field(_BODY, "the body; without this none may be sent"),
    "customer": Field(
        AnyValue(_customers, _customers_schema), "where a request says whose data it is about; all, of several"
    ),
    "write": Field(
        Choice(("statement", "request")),
        "it changes something, and somebody else approves this very request, or the request for a grant that may write",
    ),
    "reads": Field(Flag(), "a POST that changes nothing, such as a search (false)"),
    "dialect": Field(Choice(HTTP_DIALECTS), "it takes a SELECT in that SQL over `tables`, which say whose each row is"),
    "catalog": Field(
        Text("the name of a catalog, in small letters", r"[a-z_][a-z0-9_]{0,62}"), "of Trino's: the one with the tables"
    ),
    "websocket": Field(
        Choice(("unmasked",)),
        "the connection becomes a WebSocket whose messages are forwarded as they come; with `write: request` the "
        "client may send some too",
    ),
    "subprotocols": Field(
        ListOf(Text("a subprotocol of WebSocket", TOKEN)),
        "what the messages of a WebSocket may be agreed to follow (none)",
    ),
    "answers": Field(MapOf(_Statuses(), _ANSWER), "what of an answer is shown, by its status"),
    "graphql": Field(graphql_load.GRAPHQL, "the operations of GraphQL that may be asked for there"),
})  # fmt: skip
HTTP = Record({
    "direction": Field(
        Choice(("inbound", "outbound")), "to an API of ours, or to a sub-processor's, which fields leave for (inbound)"
    ),
    "recipient": Field(Text("a name"), "who gets what leaves, of an outbound target"),
    "routes": Field(MapOf(Text("the name of a route", _NAME), ROUTE), "the requests that exist", True),
})  # fmt: skip
