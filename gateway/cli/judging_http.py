"""What the `policy` commands say of requests to an HTTP target: nothing is sent, and an answer is one of a case's own.

The same functions as the gateway's own are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from gateway.engines.http_sql import judged
from gateway.engines.http_words import worded
from gateway.errors import GatewayError, Refusal
from gateway.http.answer import Answer, Withheld
from gateway.http.cursors import KEY_BYTES, Paging
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http.sql_rows import OUTPUT
from gateway.policy.cases import Case
from gateway.policy.http_diff import place_text
from gateway.policy.http_rules import AnswerRule, HttpRules, Route
from gateway.policy.http_values import written
from gateway.policy.schema import Policy
from gateway.sql.declared import declared
from gateway.sql.statement import View

_JSON = "application/json"
_KEY = bytes(32)
_PAGING = Paging("https://target", "page", bytes(KEY_BYTES))
_MEDIA = {"json": _JSON, "ndjson": "application/x-ndjson", "csv": "text/csv"}
_NEEDS = {
    "": "allowed",
    "statement": "allowed once it is approved",
    "request": "allowed under an approved grant for writing",
}


def asked(text: str, headers: Mapping[str, str], body: str) -> HttpRequest:
    """A request from `GET /path`, its headers and its body; a body is JSON unless a header says otherwise.

    Raises `GatewayError("request-invalid")` when the text is no method and target, a header is beyond Latin-1, or the
    body holds what is no text.
    """
    method, _, target = text.partition(" ")
    if not target:
        raise GatewayError(
            "request-invalid", "a request is a method and a path", hint="write it as 'GET /companies/42/employees'"
        )
    try:
        content = body.encode()
    except UnicodeEncodeError:
        raise GatewayError("request-invalid", "the body has characters that no text has") from None
    given = {"host": "target"} | {name.lower(): value for name, value in headers.items()}
    if content:
        given = {"content-type": _JSON} | given | {"content-length": str(len(content))}
    try:
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items())
    except UnicodeEncodeError:
        raise GatewayError("request-invalid", "a header has characters that no header has") from None
    return HttpRequest(method, target, given["host"], pairs, content)


def routes_of(policy: Policy) -> HttpRules:
    """The routes of a policy. Raises `GatewayError("request-invalid")` when it is one of a database."""
    if policy.http is None:
        raise GatewayError(
            "request-invalid", f"`{policy.target}` is a database", hint="ask with a statement instead of a request"
        )
    return policy.http


def came_of(policy: Policy, case: Case) -> dict[str, Any]:
    """What a case's request comes to, and what of its answer leaves."""
    customers = case.ticket.customers if case.ticket is not None else ()
    plan = judge(asked(case.request, case.headers, case.body), routes_of(policy), customers, key=_KEY)
    plan = _with_statement(plan, policy, customers, case.reveal)
    if isinstance(plan, Refusal):
        return {"code": plan.code, "reason": plan.message}
    came = {
        "route": plan.route.name,
        "goes": f"{plan.method} {plan.target}",
        "sends": plan.body.decode(errors="replace"),
    }
    if not case.answer:
        return came
    try:
        return came | {"shows": _left(plan, case, customers)}
    except Withheld as withheld:
        return came | {"code": withheld.refusal.code, "reason": withheld.refusal.message}


def explained_request(
    policy: Policy, request: HttpRequest, customers: tuple[str, ...]
) -> tuple[dict[str, Any], Refusal | None]:
    """What a request under a ticket of those customers comes to."""
    plan = judge(request, routes_of(policy), customers, key=_KEY)
    answer: dict[str, Any] = {"target": policy.target, "policy": policy.digest, "mode": policy.mode}
    plan = _with_statement(plan, policy, customers, frozenset())
    if isinstance(plan, Refusal):
        plan = worded(plan, policy)
        return answer | {"request": "refused", "code": plan.code, "reason": plan.message, "hint": plan.hint}, plan
    return answer | _planned(plan), None


def _with_statement(
    plan: HttpPlan | Refusal, policy: Policy, customers: tuple[str, ...], reveal: Iterable[tuple[str, str]]
) -> HttpPlan | Refusal:
    """The same; of a request that brings SQL, with its statement as it would run, and that to be read."""
    if isinstance(plan, Refusal) or plan.sql is None:
        return plan
    view = View(policy, declared(policy), customers, frozenset(reveal), policy.schemas)
    ready = judged(plan, view)
    return ready if isinstance(ready, Refusal) else replace(ready.plan, text=ready.judgement.text)


def _planned(plan: HttpPlan) -> dict[str, Any]:
    route = plan.route
    return {
        "request": _NEEDS[route.approval],
        "route": route.name,
        "customer": [place_text(place) for place in (route.customer, *route.also) if place is not None]
        or ["tables" if route.dialect else "none"],
        "rewritten": plan.text,
        "shape": plan.shape,
        "digest": plan.digest,
        "leaves": [one.text for one in plan.masked],
        **({"websocket": _passing(route)} if route.websocket else {}),
        "answers": [_answer(rule) for rule in route.answers],
    }


def _passing(route: Route) -> str:
    """What passes once the connection is a WebSocket."""
    said = "what the API says, unmasked"
    return f"{said}; what the client says, to whoever may write" if route.writes else said


def _answer(rule: AnswerRule) -> dict[str, Any]:
    fields = {written(one.path): one for one in rule.fields}
    return {
        "statuses": _statuses(rule.statuses),
        "media": rule.media,
        "scope": sorted(_scopes(rule)),
        "fields_clear": sorted(path for path, one in fields.items() if one.mask.kind == "clear"),
        "fields_masked": sorted(path for path, one in fields.items() if one.mask.kind != "clear"),
        "fields_revealable": sorted(path for path, one in fields.items() if one.reveal),
    }


def _scopes(rule: AnswerRule) -> Iterable[str]:
    owners = (rule.customer, *rule.also) if rule.customer is not None else ()
    elements = [(*array.path, "*", *array.customer) for array in rule.arrays]
    objects = [(*one.path, *one.customer) for one in rule.objects]
    for path in (*owners, *elements, *objects):
        yield f"{written(path)} is the ticket's customer"


def _statuses(statuses: frozenset[int]) -> str:
    first, last = min(statuses), max(statuses)
    whole = len(statuses) == last - first + 1 and last > first
    return f"{first}-{last}" if whole else ", ".join(map(str, sorted(statuses)))


def _left(plan: HttpPlan, case: Case, customers: tuple[str, ...]) -> str:
    """What leaves of the case's answer, read as the media that the route names for its status."""
    status = int(case.answer.get("status", 200))
    rule = next((one for one in plan.route.answers if status in one.statuses), None)
    media = (rule.content_types or (_MEDIA.get(rule.media, ""),))[0] if rule is not None else _JSON
    headers = [(b"content-type", media.encode())] if media else []
    if plan.sql is not None and plan.route.dialect == "clickhouse":
        # a server says in which form its rows are: that which it was asked for
        headers.append((OUTPUT.encode(), dict(parse_qsl(plan.query))["default_format"].encode()))
    revealed = frozenset(path for name, path in case.reveal if name == plan.route.name)
    out = Answer(
        plan.route, plan.method, status, headers, customers=customers, key=_KEY, reveal=revealed, paging=_PAGING
    )
    return (out.feed(str(case.answer.get("body", "")).encode()) + out.finish()).decode(errors="replace")
