"""A GraphQL request held to a route's operations: what may go on in its place, or why nothing may.

INVARIANT: what goes on is one operation, printed anew without variables, directives or fragments that have a name; the
answer's rule is made with it, so that both say the same of every place. Batches, stored queries and members of the
request that are not known are refused.

GraphQL over HTTP (draft of 2025), 5; a request's members are `query`, `variables`, `operationName` and `extensions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.http import bodies, json_text
from gateway.http.bodies import Body
from gateway.http.graphql.arguments import Variables
from gateway.http.graphql.document import read
from gateway.http.graphql.printing import printed, shape, values
from gateway.http.graphql.selecting import Asked, select
from gateway.http.json_text import Unreadable
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.http.request_headers import Heads
from gateway.policy.http_rules import AnswerRule, BodyField, BodyRule, CustomerOf, GraphqlRules, Route

MEDIA = "application/json"
ANSWERS = ("application/graphql-response+json", "application/json")
"""The media types that an answer may have, the wanted one first."""

_MEMBERS = frozenset({"query", "variables", "operationName", "extensions"})
_STORED = frozenset({"id", "doc_id", "documentId", "queryId", "hash", "persistedQuery", "sha256Hash"})
_APPROVALS = ("statement", "request")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as it goes on. `route` is the request's with what the operation writes, is about, and shows.

    `query` has what goes on in a GET. `shape` is the operation without its values.
    """

    route: Route
    body: Body
    query: tuple[tuple[str, str], ...]
    shape: str


def judged(route: Route, content: bytes, pairs: list[tuple[str, str]], found: Heads) -> Operation:
    """The operation that may go on. Raises: GatewayError."""
    rules = route.graphql
    assert rules is not None
    if route.method == "GET":
        if content:
            raise not_allowed("this request has no body", "send none")
        members = _of_query(pairs)
    else:
        if pairs:
            raise not_allowed("a POST of GraphQL has no parameters", "send it all in the body")
        members = _of_body(rules, content, found)
    text, variables, name = _members(members)
    document = read(text, name)
    if route.method == "GET" and document.kind != "query":
        raise not_allowed("a GET only reads", "send a mutation with POST")
    asked = select(document, rules, Variables(document.variables, variables))
    fields = asked.fields.values()
    goes = printed(document.kind, document.name, fields, owned=True)
    told = printed(document.kind, document.name, fields, owned=False)
    in_body = route.method != "GET"
    return Operation(
        _route(route, asked),
        Body(
            json_text.write({"query": goes}) if in_body else b"",
            MEDIA if in_body else "",
            told,
            values=asked.values,
            asked=told,
        ),
        () if in_body else (("query", goes),),
        shape(document.kind, document.name, fields),
    )


def _of_body(rules: GraphqlRules, content: bytes, found: Heads) -> Mapping[str, Any]:
    if len(content) > rules.max_bytes:
        raise too_large(f"the request's body is longer than {rules.max_bytes} bytes")
    if not content:
        raise not_allowed("the request has no body", "send the operation along")
    bodies.media_of(BodyRule("json"), found.one("content-type"))
    return _object(content, "the request's body")


def _of_query(pairs: list[tuple[str, str]]) -> Mapping[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise malformed("a parameter of the request comes more than once")
        members[name] = _object(value.encode(), "a parameter") if name in {"variables", "extensions"} else value
    return members


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json_text.read(content, bodies.DEPTH)
    except Unreadable as problem:
        raise malformed(f"{what} cannot be read strictly: {problem}") from None
    if type(value) is list:
        raise not_allowed("the request is a batch", "send one operation at a time")
    if type(value) is not dict:
        raise malformed(f"{what} is no object of JSON")
    return value


def _members(given: Mapping[str, Any]) -> tuple[str, dict[str, Any], str]:
    """The document, its variables, and the name of the operation. Raises: GatewayError."""
    extensions = given.get("extensions")
    is_stored = type(extensions) is dict and not _STORED.isdisjoint(extensions)
    if is_stored or not _STORED.isdisjoint(given):
        raise not_allowed("stored queries are not available here", "send the document itself")
    for member in given:
        if member not in _MEMBERS:
            raise not_allowed(f"{shown('member', member)} is none of a request of GraphQL", "leave it out")
    if extensions is not None and not _is_harmless(extensions):
        raise not_allowed("the request has extensions", "leave them out")
    text, variables, name = given.get("query"), given.get("variables"), given.get("operationName")
    if type(text) is not str:
        raise not_allowed("`query` is missing, or no text", "send the document itself")
    if variables is not None and type(variables) is not dict:
        raise malformed("`variables` is no object")
    if name is not None and type(name) is not str:
        raise malformed("`operationName` is no text")
    return text, variables or {}, name or ""


def _is_harmless(extensions: Any) -> bool:
    """Whether they say nothing but which library the client is."""
    return type(extensions) is dict and extensions.keys() <= {"clientLibrary"}


def _route(route: Route, asked: Asked) -> Route:
    # whatever the order in which a client named them: in that of what goes on
    operations = [asked.operations[name] for name in sorted(asked.operations)]
    ways = {one.approval for one in operations}
    places = [
        CustomerOf("argument", one.field, customer.path) for one in operations for customer in one.customers
    ]  # fmt: skip
    places = [place for place in (route.customer, *route.also, *places) if place is not None]
    owners = tuple(sorted(asked.owners))
    sent = tuple(
        BodyField((one.field, *argument.path), argument.value)
        for one in operations
        for field in one.arguments
        if not field.path
        for argument in field.arguments
    )
    answer = AnswerRule(
        frozenset({200}),
        "graphql",
        owners[0] if owners else None,
        tuple(asked.rules[path] for path in dict.fromkeys(values(asked.fields.values()))),
        tuple(asked.arrays[path] for path in sorted(asked.arrays)),
        ANSWERS,
        also=owners[1:],
        objects=tuple(asked.objects[path] for path in sorted(asked.objects)),
        typed=tuple(asked.typed[path] for path in sorted(asked.typed)),
    )
    return replace(
        route,
        body=BodyRule("json", sent),
        customer=places[0] if places else None,
        also=tuple(places[1:]),
        answers=(answer,),
        approval=next((way for way in _APPROVALS if way in ways), ""),
    )
