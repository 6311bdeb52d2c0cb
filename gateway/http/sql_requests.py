"""Requests that bring SQL: where the statement stands, and the few parameters that may stand beside it.

INVARIANT: the statement is in one place, the body or the parameter `query`, never in both: a server would put them
together. Every other parameter is a setting to the server, so none is let through but those that are read here, and
those are written anew by the engine. Headers that the server takes for parameters are refused.

ClickHouse's HTTP interface: https://clickhouse.com/docs/interfaces/http
"""

from __future__ import annotations

from gateway.http import paths, query, request_headers
from gateway.http.message import HttpPlan, HttpRequest, SqlAsked
from gateway.http.refusing import malformed, not_allowed, shown, too_large
from gateway.http.request_headers import Heads
from gateway.http.sql_rows import OUTPUTS
from gateway.policy.http_rules import Route

LONGEST = 262_144
"""Bytes of a statement."""
_QUERY, _SCHEMA, _OUTPUT = "query", "database", "default_format"
_SETTING_HEADERS = "x-clickhouse-"


def plan(
    route: Route, request: HttpRequest, found: Heads, text: str, customers: tuple[str, ...]
) -> HttpPlan:  # fmt: skip
    """The request's plan, which lacks the statement. Raises: GatewayError."""
    given = _parameters(text)
    header = next((name for name in sorted(found.values) if name.startswith(_SETTING_HEADERS)), "")
    if header:
        raise not_allowed(f"the header `{header}` would be a setting", "send what is allowed as a parameter")
    request_headers.upgrade(route, found, request.authority)
    statement = _statement(request, found, given)
    schema, output = given.get(_SCHEMA, ""), given.get(_OUTPUT, "")
    if output and output not in OUTPUTS:
        raise not_allowed(f"the parameter `{_OUTPUT}` is none of {', '.join(OUTPUTS)}", "ask for one of these")
    path = paths.join(route.template)
    return HttpPlan(
        route=route,
        method="POST",
        path=path,
        query="",
        headers=(("content-type", "text/plain; charset=utf-8"), *request_headers.own(route, found, outbound=False)),
        body=b"",
        customers=customers,
        text=f"{request.method} {path}\n\n{statement}",
        shape=f"{request.method} {path}",
        sql=SqlAsked(statement, schema, output),
    )


def _parameters(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in query.pairs(text):
        if name not in {_QUERY, _SCHEMA, _OUTPUT}:
            raise not_allowed(f"{shown('parameter', name)} would be a setting", "leave it out")
        if name in given:
            raise malformed(f"the parameter `{name}` comes more than once")
        given[name] = value
    return given


def _statement(request: HttpRequest, found: Heads, given: dict[str, str]) -> str:
    if request.body and _QUERY in given:
        raise malformed("the statement is in the body and in the parameter `query`")
    if found.one("content-type").lower().startswith("multipart/"):
        raise not_allowed("the body of a statement has no parts", "send the statement as it is")
    return given[_QUERY] if given.get(_QUERY, "").strip() else in_body(request.body)


def in_body(body: bytes) -> str:
    """The statement that a body is. Raises: GatewayError."""
    if len(body) > LONGEST:
        raise too_large(f"the statement is longer than {LONGEST} bytes")
    try:
        statement = body.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the statement is not UTF-8") from None
    if not statement.strip():
        raise not_allowed("there is no statement", "send it as the body")
    return statement
