"""A judged HTTP request as the gate takes it: a statement whose language is HTTP.

Its begin record has the method as `verb`, the request without its values as `sql`, the route as the relation that it
is about, and the fields of the route's answers by their masks; of a request that leaves for a sub-processor, what it
transmits (`transmission`): nothing is forwarded before that is on durable record. INVARIANT: no value of a request is
in a record but the ticket's customers that it names; they travel beside it (`said`), to be sealed, and
those that may tell who somebody is have tokens (`http/subjects.py`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from gateway.errors import Refusal
from gateway.http.bodies import FORM
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http.subjects import telling, unread
from gateway.model import Write
from gateway.policy.http_load import TOKEN
from gateway.policy.http_rules import HttpRules, Route
from gateway.policy.http_values import called, written
from gateway.ports import Mark
from gateway.sql.cache import Judgement, plan_fields
from gateway.sql.said import Said, in_text
from gateway.sql.statement import Kind, Plan

_HEADER = re.compile(rf"({TOKEN}):[ \t]*([^\n]*?)[ \t]*(?:\n|\Z)")
PROTOCOL = "http"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
_SHAPES = 2048


class Requests:
    """Judgements of requests. Those of one shape under one view have one set of fields, which their records share."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._known: dict[tuple[int, str, str], Judgement] = {}

    def judgement(
        self, plan: HttpPlan, number: int, reveal: frozenset[str], identifiers: frozenset[str] = frozenset()
    ) -> Judgement:
        """What the gate needs to know of a plan; `number` is its view's, `identifiers` are the policy's."""
        said = in_text(plan.text, telling(plan.given, identifiers))
        if plan.route.writes or plan.recipient:
            made = plan_of(plan, reveal)
            return Judgement(made, self._fields(made, plan) | transmission(plan), "", said)
        key = number, plan.route.name, plan.shape
        found = self._known.get(key)
        if found is None:
            made = plan_of(plan, reveal)
            found = Judgement(made, self._fields(made, plan), "", said)
            if len(self._known) >= _SHAPES:
                self._known.clear()
            self._known[key] = found
        return Judgement(found.plan, found.fields, found.text, said)

    def _fields(self, made: Plan, plan: HttpPlan) -> dict[str, Any]:
        passed = unmasked(plan.route)
        return plan_fields(made, self._mark) | ({"unmasked": passed} if passed else {}) | _protection(plan)

    def unread(self, request: HttpRequest, identifiers: frozenset[str] = frozenset()) -> Judgement:
        """What is known of a request that no route is for, or that does not fit one: its method, and no more."""
        verb = request.method if request.method in METHODS else ""
        made = Plan("", (), (verb,) if verb else (), "", "", "")
        return Judgement(made, plan_fields(made, self._mark), "", _all_of(request, identifiers))


def unmasked(route: Route) -> list[str]:
    """The media types of a route's answers that leave as they came (`*/*` where the policy names none)."""
    kinds = (answer.content_types or ("*/*",) for answer in route.answers if answer.media == "unmasked")
    return list(dict.fromkeys(one for types in kinds for one in types))


def transmission(plan: HttpPlan) -> dict[str, Any]:
    """What a record says of a request that leaves for a sub-processor: to whom, about which customers, and of which
    categories what it holds, and how each of it is masked. Nothing for a target of ours.
    """
    if not plan.recipient:
        return {}
    fields: dict[str, Any] = {
        "recipient": plan.recipient,
        "sent_for": list(plan.about),
        "categories": sorted({one.category for one in plan.masked if one.category}),
        "sent": [one.text for one in plan.masked],
    }
    return {name: value for name, value in fields.items() if value}


def _protection(plan: HttpPlan) -> dict[str, Any]:
    """What a record says of a request whose connection becomes a WebSocket: nobody masks its messages."""
    return {"protection": "unmasked"} if plan.route.websocket else {}


def reveal_of(route: str, granted: frozenset[tuple[str, str]]) -> frozenset[str]:
    """The fields of a route that a grant shows in clear."""
    return frozenset(field for name, field in granted if name == route)


def plan_of(plan: HttpPlan, reveal: frozenset[str]) -> Plan:
    """The plan of the gate for a plan of the HTTP room."""
    route = plan.route
    clear, masked, revealed = _fields(route, reveal)
    made = Plan(
        rewritten="",
        kinds=(Kind.WRITE,) if route.writes else (Kind.READ,),
        verbs=(plan.method,),
        normalised=plan.shape,
        rewritten_normalised="",
        fingerprint=route.name,
        relations=(route.name,),
        columns_clear=clear,
        columns_masked=masked,
        columns_revealed=revealed,
        scope=(f"{route.name}: {route.customer.place}",) if route.customer is not None else (),
    )
    return replace(made, write=write_of(plan)) if route.writes else made


def write_of(plan: HttpPlan) -> Write:
    """What a request changes, as whoever approves it is told: the request itself is all that there is to see."""
    body = plan.route.body
    columns = tuple(written(field.path) for field in body.fields) if body is not None else ()
    return Write(plan.method, plan.route.name, columns, 1, plan.route.approval, plan.text, plan.digest)


def study(rules: HttpRules, customers: tuple[str, ...], text: str) -> Write | Refusal:
    """What a request that was written out would change: `PATCH /employees/7`, below it headers, and the body.

    Both may be missing. A body is JSON or, where it does not begin as JSON does, a form, unless a header says what it
    is; JSON may also stand in the first line.
    """
    head, _, rest = text.strip().replace("\r\n", "\n").partition("\n")
    method, blank, target = head.strip().partition(" ")
    target, _, beside = target.partition(" ")
    if beside.lstrip()[:1] in ("{", "["):
        rest, beside = f"{beside}\n{rest}", ""
    if method not in METHODS or not blank or not target.startswith("/") or beside:
        return Refusal(
            "request-invalid", "a request to approve begins with its method and path",
            "write it as: PATCH /path?query, headers if it needs some, and the body in the lines below",
        )  # fmt: skip
    given, body = _headers_and_body(rest)
    headers = [(b"host", b"localhost"), *given]
    if body:
        if all(name != b"content-type" for name, _ in given):
            headers.append((b"content-type", b"application/json" if body[0] in "{[" else FORM.encode()))
        headers.append((b"content-length", b"%d" % len(body.encode())))
    request = HttpRequest(method, target, "localhost", tuple(headers), body.encode())
    plan = judge(request, rules, customers)
    if isinstance(plan, Refusal):
        return plan
    if not plan.route.writes:
        return Refusal("request-invalid", "the request changes nothing", "reading needs no approval of it")
    return write_of(plan)


def _headers_and_body(text: str) -> tuple[list[tuple[bytes, bytes]], str]:
    """What stands below the first line: headers as long as lines are some, and the rest."""
    headers: list[tuple[bytes, bytes]] = []
    while found := _HEADER.match(text):
        headers.append((found[1].lower().encode(), found[2].encode("utf-8", "replace")))
        text = text[found.end() :]
    return headers, text.strip()


def _fields(route: Route, reveal: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    clear: dict[str, None] = {}
    masked: dict[str, None] = {}
    revealed: dict[str, None] = {}
    for answer in route.answers:
        if answer.media == "unmasked":
            # the whole of it is in clear, whatever it holds
            revealed[f"{route.name}.$"] = None
        for field in answer.fields:
            path = called(field)
            kind = revealed if field.reveal and path in reveal else clear if field.mask.kind == "clear" else masked
            kind[f"{route.name}.{path}"] = None
    return tuple(clear), tuple(masked), tuple(revealed)


def _all_of(request: HttpRequest, identifiers: frozenset[str]) -> Said:
    body = request.body.decode("utf-8", "replace")
    text = f"{request.method} {request.target}\n{body}" if body else f"{request.method} {request.target}"
    return in_text(text, telling(unread(request.target, request.body), identifiers))
