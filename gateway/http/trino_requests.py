"""Requests of Trino's clients: a statement by POST, and its further pages by GET, or DELETE to end it.

INVARIANT: the statement is the body. Every `X-Trino-…` header is a setting to the server, so none goes on but those
that are read here, each in a form of its own; who asks, in which catalog and under which session properties is the
gateway's to say. Headers that would change what a statement means, or whose it is, are refused.

Trino's client protocol: https://trino.io/docs/current/develop/client-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.http import paths, request_headers
from gateway.http.message import HttpPlan, HttpRequest, PageAsked, SqlAsked
from gateway.http.refusing import malformed, not_allowed
from gateway.http.request_headers import Heads
from gateway.http.sql_requests import in_body
from gateway.policy.http_rules import HttpRules, Route

_OURS = "x-trino-"
_OTHER = "x-presto-"
_DROPPED = frozenset({
    "user", "source", "client-info", "client-tags", "trace-token", "query-data-encoding",
})  # fmt: skip
"""What only names somebody, decorates, or offers a form of the answer that is not asked for."""
_PASSED = {
    "time-zone": re.compile(r"[A-Za-z0-9_+:/-]{1,64}"),
    "language": re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}"),
}
_CAPABILITY = "PARAMETRIC_DATETIME"
_HINTS = {
    "session": "leave session properties out",
    "prepared-statement": "send parameters with EXECUTE IMMEDIATE",
    "transaction-id": "there are no transactions",
}


def plan(
    route: Route, request: HttpRequest, found: Heads, text: str, customers: tuple[str, ...]
) -> HttpPlan:  # fmt: skip
    """The plan of a statement's request, which lacks the statement. Raises: GatewayError."""
    _judge(route, request, found, text)
    given = _given(found)
    catalog = given.pop("catalog", "").lower()
    if catalog not in {"", route.catalog}:
        raise not_allowed("the header `x-trino-catalog` names another catalog than the policy", "leave it out")
    schema = given.pop("schema", "").lower()
    capable = _CAPABILITY in {one.strip() for one in given.pop("client-capabilities", "").split(",")}
    headers = [(f"{_OURS}{name}", given[name]) for name in _PASSED if given.get(name)]
    headers += [(f"{_OURS}client-capabilities", _CAPABILITY)] * capable
    statement = in_body(request.body)
    path = paths.join(route.template)
    return HttpPlan(
        route=route,
        method="POST",
        path=path,
        query="",
        headers=(
            ("content-type", "text/plain; charset=utf-8"),
            *request_headers.own(route, found, outbound=False),
            *headers,
        ),
        body=b"",
        customers=customers,
        text=f"POST {path}\n\n{statement}",
        shape=f"POST {path}",
        sql=SqlAsked(statement, schema),
    )


def page(
    rules: HttpRules, request: HttpRequest, found: Heads, segments: tuple[str, ...], text: str,
    customers: tuple[str, ...],
) -> HttpPlan | None:  # fmt: skip
    """The plan of a request for a further page, which lacks the page; None for any other one. Raises: GatewayError."""
    if request.method not in {"GET", "DELETE"}:
        return None
    *above, cursor, seal = segments if len(segments) > 2 else ("", "", "")
    route = next((one for one in rules.routes if one.dialect == "trino" and one.template == tuple(above)), None)
    if route is None:
        return None
    _judge(route, request, found, text)
    if request.body:
        raise malformed("the request for a page has a body")
    return HttpPlan(
        route=route,
        method=request.method,
        path="",
        query="",
        headers=tuple(request_headers.own(route, found, outbound=False)),
        body=b"",
        customers=customers,
        text=f"{request.method} {paths.join(route.template)}/…",
        shape=f"{request.method} {paths.join(route.template)}/…",
        page=PageAsked(cursor, seal, request.method == "DELETE"),
    )


def _judge(route: Route, request: HttpRequest, found: Heads, text: str) -> None:
    if text:
        raise not_allowed("the request has parameters, which statements do not have", "leave them out")
    request_headers.upgrade(route, found, request.authority)


def _given(found: Heads) -> dict[str, str]:
    """The values of the headers that are read, without their prefix. Raises: GatewayError for another one."""
    given: dict[str, str] = {}
    for name, values in _settings(found):
        if name in {"catalog", "schema", "client-capabilities", *_PASSED}:
            if len(values) > 1:
                raise malformed(f"the header `{_OURS}{name}` comes more than once")
            given[name] = values[0]
            if name in _PASSED and values[0] and not _PASSED[name].fullmatch(values[0]):
                raise malformed(f"the header `{_OURS}{name}` has another form than is known")
        elif name == "transaction-id" and values == ["NONE"]:
            # no transaction, as every client says
            continue
        elif name not in _DROPPED and any(values):
            raise not_allowed(
                f"the header `{_OURS}{name[:40]}` would change what the statement means",
                _HINTS.get(name, "leave it out"),
            )
    return given


def _settings(found: Heads) -> Iterable[tuple[str, list[str]]]:
    for name in sorted(found.values):
        if name.startswith(_OTHER):
            raise not_allowed("headers of Presto are not read", "use a client of Trino")
        if name.startswith(_OURS):
            yield name.removeprefix(_OURS), found.values[name]
