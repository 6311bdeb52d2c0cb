"""A request judged by the rules of an HTTP target: what may go on in its place, or why nothing may.

INVARIANT: nothing of the request goes on but what a rule names, rebuilt; and every place that says whose data it is
about says one of the ticket's customers. Judged again, what goes on comes to the same plan. A route that takes SQL is
judged in a module of its server (`_STATEMENTS`): whose its rows are is for the rewriting of its statement.

Another customer's object is answered like one that is not there (`not-found`), by the same words as the answers' side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import GatewayError, Refusal
from gateway.http import bodies, paths, query, request_headers, search_requests, sql_requests, trino_requests
from gateway.http.bodies import Body
from gateway.http.browser import is_reserved
from gateway.http.graphql import judging as graphql
from gateway.http.message import HttpPlan, HttpRequest, SentField
from gateway.http.refusing import malformed, no_route, not_allowed
from gateway.http.withheld import NOT_FOUND
from gateway.policy.dialects import SEARCH
from gateway.policy.http_rules import CustomerOf, HttpRules, Route, Value
from gateway.policy.http_values import canonical

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_STATEMENTS = {
    "clickhouse": sql_requests.plan,
    "trino": trino_requests.plan,
    **dict.fromkeys(SEARCH, search_requests.plan),
}
_PAGES = (trino_requests.page, search_requests.closing)


def judge(
    request: HttpRequest, rules: HttpRules, customers: tuple[str, ...], *, key: bytes | None = None
) -> HttpPlan | Refusal:
    """What may go to the target, or why not. `customers` are the ticket's; `key` is that of keyed masks, outbound."""
    try:
        return _plan(request, rules, customers, key)
    except GatewayError as error:
        return error.refusal


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of one request that go on, each canonical. `operation` is the shape of one of GraphQL."""

    route: Route
    placed: dict[str, str]
    query: tuple[tuple[str, str], ...]
    headers: list[tuple[str, str]]
    body: Body
    operation: str = ""


def _plan(request: HttpRequest, rules: HttpRules, customers: tuple[str, ...], key: bytes | None) -> HttpPlan:
    found = request_headers.heads(request)
    if request.version not in {"HTTP/1.1", "HTTP/2"}:
        raise malformed("the request is of another version than HTTP/1.1 and HTTP/2")
    if request.method not in METHODS:
        raise not_allowed("the request has a method that is not let through here", "use one that the policy names")
    segments, text = paths.split(request.target)
    if segments and is_reserved(segments[0]):
        # FAIL CLOSED: what the gateway's own pages are called is no value of any placeholder
        raise no_route()
    for further in _PAGES:
        page = further(rules, request, found, segments, text or "", customers)
        if page is not None:
            return page
    route, placed = _route(rules, request.method, segments)
    if route.dialect:
        return _STATEMENTS[route.dialect](route, request, found, text or "", customers)
    pairs = query.pairs(text or "")
    if route.graphql is not None:
        asks = graphql.judged(route, request.body, pairs, found)
        route = asks.route
        parts = _Parts(route, placed, asks.query, request_headers.passed_on(route, found), asks.body, asks.shape)
    else:
        parts = _Parts(
            route,
            placed,
            tuple(query.chosen(pairs, route.query, "parameter")),
            request_headers.passed_on(route, found),
            bodies.judged(route.body, request.body, found, key),
        )
    handshake = request_headers.upgrade(route, found, request.authority)
    about = _judge_customers(parts, customers)
    path = paths.join(_segments(route, placed))
    written = query.join(parts.query)
    media = [("content-type", parts.body.media)] if parts.body.media else []
    # INVARIANT: whoever studies a request has no key of masks: what identifies it is the same without
    asked = _text(parts, path, written, parts.body.asked)
    return HttpPlan(
        route=route,
        method=request.method,
        path=path,
        query=written,
        headers=(
            *media,
            *request_headers.own(route, found, outbound=bool(rules.recipient)),
            *handshake,
            *parts.headers,
        ),
        body=parts.body.content,
        customers=customers,
        text=asked if parts.body.text == parts.body.asked else _text(parts, path, written, parts.body.text),
        shape=_shape(parts),
        digest=hashlib.sha256(b"gateway http request 1\n" + asked.encode()).hexdigest(),
        masked=(*_parameters(parts), *parts.body.sent) if rules.recipient else (),
        about=about,
        recipient=rules.recipient,
        given=tuple(dict.fromkeys(_given(parts))),
    )


def _route(rules: HttpRules, method: str, segments: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
    """The one route that the method and the path meet, and the values of its placeholders. Raises: GatewayError."""
    met = [
        (route, placed)
        for route in rules.routes
        if route.method == method and (placed := _placed(route, segments)) is not None
    ]
    if len(met) != 1:
        # FAIL CLOSED: of several, which no policy that loads has, none is the right one
        raise no_route()
    return met[0]


def _placed(route: Route, segments: tuple[str, ...]) -> dict[str, str] | None:
    if len(segments) != len(route.template):
        return None
    placed: dict[str, str] = {}
    for step, segment in zip(route.template, segments, strict=True):
        if not step.startswith("{"):
            if step != segment:
                return None
            continue
        text = canonical(route.path[step[1:-1]], segment)
        if not text:
            return None
        placed[step[1:-1]] = text
    return placed


def _segments(route: Route, placed: dict[str, str]) -> tuple[str, ...]:
    return tuple(placed[step[1:-1]] if step.startswith("{") else step for step in route.template)


def _parameters(parts: _Parts) -> list[SentField]:
    """What leaves outside of the body."""
    query_names, header_names = ((name for name, _ in pairs) for pairs in (parts.query, parts.headers))
    places = (("path", parts.placed), ("query", query_names), ("header", header_names))
    return [SentField(f"{place}.{name}", "", "clear") for place, names in places for name in dict.fromkeys(names)]


def _given(parts: _Parts) -> Iterator[tuple[str, str]]:
    """The values that are not of a few choices and name no customer, each with the name of its place."""
    route = parts.route
    customers = {(one.place, one.path or one.name) for one in (route.customer, *route.also) if one is not None}
    placed = [("path", name, route.path[name], text) for name, text in parts.placed.items()]
    for place, rules, pairs in (("query", route.query, parts.query), ("header", route.headers, parts.headers)):
        known = {rule.name: rule.value for rule in rules}
        # of GraphQL by GET, what is asked for is a parameter: its values are among the body's
        placed += [(place, name, known[name], text) for name, text in pairs if name in known]
    for place, name, value, text in placed:
        if _is_free(value) and (place, name) not in customers:
            yield name, text
    for one in route.body.fields if route.body is not None else ():
        if _is_free(one.value) and ("body", one.path) not in customers:
            name = next((step for step in reversed(one.path) if step != "*"), "")
            yield from ((name, text) for text in parts.body.values.get(one.path, ()))


def _is_free(value: Value) -> bool:
    return value.type != "boolean" and not value.choices


def _judge_customers(parts: _Parts, customers: tuple[str, ...]) -> tuple[str, ...]:
    """The ticket's customers that the request names. Raises: GatewayError when it names another."""
    about: set[str] = set()
    places = () if parts.route.customer is None else (parts.route.customer, *parts.route.also)
    for place in places:
        value, named = _named(parts, place)
        spelled = {customer: _customer(value, customer) for customer in customers}
        if not named or not set(named) <= {*spelled.values()}:
            refusal = NOT_FOUND
            raise GatewayError(refusal.code, refusal.message, refusal.hint)
        # two spellings of one number are both meant
        about |= {customer for customer, text in spelled.items() if text in named}
    return tuple(customer for customer in customers if customer in about)


def _named(parts: _Parts, place: CustomerOf) -> tuple[Value, list[str]]:
    """What the request says at that place, and what values are allowed there."""
    route = parts.route
    if place.place == "path":
        return route.path[place.name], [parts.placed[place.name]]
    if place.place in {"body", "argument"}:
        fields = {one.path: one.value for one in route.body.fields} if route.body is not None else {}
        path = (place.name, *place.path) if place.place == "argument" else place.path
        return fields[path], parts.body.values.get(path, [])
    rules, given = (route.query, parts.query) if place.place == "query" else (route.headers, parts.headers)
    value = next(rule.value for rule in rules if rule.name == place.name)
    return value, [text for name, text in given if name == place.name]


def _customer(value: Value, customer: str) -> str:
    """The ticket's customer as such a value is written. Raises: GatewayError when it is none, as in SQL."""
    text = canonical(Value(value.type), customer)
    if not text:
        raise GatewayError("customer-invalid", f"the ticket's customer is not a value of the type `{value.type}`")
    return text


def _text(parts: _Parts, path: str, written: str, body: str) -> str:
    """The canonical request as a person reads it; two requests that differ in what goes on differ here."""
    target = f"{path}?{written}" if written and not parts.operation else path
    media = [("content-type", parts.body.media)] if parts.body.media else []
    head = [f"{parts.route.method} {target}", *(f"{name}: {value}" for name, value in (*media, *parts.headers))]
    return "\n".join([*head, *(["", body] if parts.body.media or parts.operation else [])])


def _shape(parts: _Parts) -> str:
    """The names in a request, without their values."""
    query_names = "&".join(dict.fromkeys(name for name, _ in parts.query))
    shape = f"{parts.route.method} /{'/'.join(parts.route.template)}"
    shape += f"?{query_names}" if query_names else ""
    shape += "".join(f" [{name}]" for name in dict.fromkeys(name for name, _ in parts.headers))
    shape += f" {{{', '.join(parts.body.names)}}}" if parts.body.names else ""
    return f"{shape} {parts.operation}" if parts.operation else shape
