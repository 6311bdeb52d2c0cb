"""Requests of Elasticsearch's and OpenSearch's clients, all by POST: a statement, a further page, a cursor's end.

INVARIANT: the body is a JSON object of known members; what would change what a statement reads (`filter`,
`runtime_mappings`, `catalog`, …) is refused, and everything that goes on is written anew. A cursor is the gateway's.

Elasticsearch: https://www.elastic.co/docs/reference/query-languages/sql/sql-rest; OpenSearch:
https://docs.opensearch.org/latest/search-plugins/sql/sql-ppl-api/
"""

from __future__ import annotations

import re
from typing import Any

from gateway.http import json_text, paths, query, request_headers
from gateway.http.message import HttpPlan, HttpRequest, PageAsked, SqlAsked
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.http.request_headers import Heads
from gateway.policy.dialects import SEARCH
from gateway.policy.http_rules import HttpRules, Route

LONGEST = 262_144
"""Bytes of a body."""
MOST_ROWS = 10_000
"""Rows of one page."""
_FORMS = {"elasticsearch": "json", "opensearch": "jdbc"}
"""The one form of answers that is read, of each server."""
_MEMBERS = {
    "elasticsearch": frozenset({
        "query", "params", "fetch_size", "time_zone", "cursor", "columnar", "field_multi_value_leniency",
    }),
    "opensearch": frozenset({"query", "fetch_size", "cursor"}),
}  # fmt: skip
_OFF = frozenset({"columnar", "field_multi_value_leniency"})
_ZONE = re.compile(r"[A-Za-z0-9_+:/-]{1,64}")
_COUNT = re.compile(r"[1-9][0-9]{0,4}")
_TYPES = re.compile(
    r"application/(?:json|vnd\.elasticsearch\+json; ?compatible-with=\d)(?:; ?charset=utf-8)?", re.IGNORECASE
)
_CLOSE = "close"


def plan(
    route: Route, request: HttpRequest, found: Heads, text: str, customers: tuple[str, ...]
) -> HttpPlan:  # fmt: skip
    """The plan of a statement's request, or of a further page's, which lacks both. Raises: GatewayError."""
    body = _body(route, request, found, text)
    unknown = next((one for one in sorted(body) if one not in _MEMBERS[route.dialect]), None)
    if unknown is not None:
        raise not_allowed(f"{shown('member', unknown)} of the body is not let through", "leave it out")
    if "cursor" in body:
        if "query" in body:
            raise malformed("the body has a statement and a cursor")
        # what else may stand beside it was said when the statement was asked
        return _page(route, found, body["cursor"], customers, ends=False)
    statement = body.get("query")
    if type(statement) is not str or not statement.strip():
        raise not_allowed("there is no statement", "send it as the member `query` of a JSON body")
    for name in sorted(_OFF & body.keys()):
        if body[name] is not False:
            raise not_allowed(f"the member `{name}` of the body is false or not there", "leave it out")
    path = paths.join(route.template)
    return HttpPlan(
        route=route,
        method="POST",
        path=path,
        query=query.join([("format", _FORMS[route.dialect])]),
        headers=_headers(route, found),
        body=b"",
        customers=customers,
        text=f"POST {path}\n\n{statement}",
        shape=f"POST {path}",
        sql=SqlAsked(statement, "", json_text.write(_options(body)).decode(), tuple(_parameters(body))),
    )


def closing(
    rules: HttpRules, request: HttpRequest, found: Heads, segments: tuple[str, ...], text: str,
    customers: tuple[str, ...],
) -> HttpPlan | None:  # fmt: skip
    """The plan of a request that ends a cursor; None for any other one. Raises: GatewayError."""
    if request.method != "POST" or segments[-1:] != (_CLOSE,):
        return None
    route = next((one for one in rules.routes if one.dialect in SEARCH and one.template == segments[:-1]), None)
    if route is None:
        return None
    body = _body(route, request, found, text)
    if body.keys() != {"cursor"}:
        raise not_allowed("the body has something else than `cursor`", "send the cursor alone")
    return _page(route, found, body["cursor"], customers, ends=True)


def _page(route: Route, found: Heads, cursor: Any, customers: tuple[str, ...], *, ends: bool) -> HttpPlan:
    name, _, seal = cursor.partition(".") if type(cursor) is str else ("", "", "")
    path = paths.join((*route.template, _CLOSE) if ends else route.template)
    return HttpPlan(
        route=route,
        method="POST",
        path=path,
        query="" if ends else query.join([("format", _FORMS[route.dialect])]),
        headers=_headers(route, found),
        body=b"",
        customers=customers,
        text=f"POST {path} {{cursor}}",
        shape=f"POST {path} {{cursor}}",
        page=PageAsked(name, seal, ends),
    )


def _headers(route: Route, found: Heads) -> tuple[tuple[str, str], ...]:
    return (("content-type", "application/json"), *request_headers.own(route, found, outbound=False))


def _body(route: Route, request: HttpRequest, found: Heads, text: str) -> dict[str, Any]:
    request_headers.upgrade(route, found, request.authority)
    for name, value in query.pairs(text):
        if (name, value) != ("format", _FORMS[route.dialect]):
            raise not_allowed(
                f"{shown('parameter', name)} is not let through, or asks for another form than "
                f"`{_FORMS[route.dialect]}`", "leave it out",
            )  # fmt: skip
    if len(request.body) > LONGEST:
        raise too_large(f"the body is longer than {LONGEST} bytes")
    if not _TYPES.fullmatch(found.one("content-type")):
        raise not_allowed("the body is not said to be JSON", "send `content-type: application/json`")
    try:
        body = json_text.read(request.body, 4)
    except json_text.Unreadable as why:
        raise malformed(f"the body is not read: {why}") from None
    if type(body) is not dict:
        raise malformed("the body is no JSON object")
    return body


def _options(body: dict[str, Any]) -> dict[str, Any]:
    """What stands beside the statement and goes on. Raises: GatewayError."""
    options: dict[str, Any] = {}
    size, zone = body.get("fetch_size"), body.get("time_zone")
    if size is not None:
        digits = json_text.number_text(size) if type(size) is json_text.Number else ""
        if not _COUNT.fullmatch(digits) or int(digits) > MOST_ROWS:
            raise not_allowed(f"`fetch_size` is no whole number from 1 to {MOST_ROWS}", "leave it out")
        options["fetch_size"] = size
    if zone is not None:
        if type(zone) is not str or not _ZONE.fullmatch(zone):
            raise malformed("`time_zone` has another form than is known")
        options["time_zone"] = zone
    return options


def _parameters(body: dict[str, Any]) -> list[Any]:
    """The values of the statement's question marks, numbers as the bytes of their digits. Raises: GatewayError."""
    given = body.get("params", [])
    if type(given) is not list:
        raise not_allowed("`params` is no list of values", "send a list")
    return [bytes(one) if type(one) is json_text.Number else one for one in given]
