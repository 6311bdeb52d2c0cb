"""Elasticsearch and OpenSearch: what goes to the server of a proven statement, and how its answer is to be masked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.http import json_text
from gateway.http.message import HttpPlan, SqlAsked
from gateway.http.search_rows import PROOF
from gateway.policy.http_rules import FieldRule, Route
from gateway.policy.schema import Mask
from gateway.sql.statement import Plan, View
from gateway.sql.tree.parameters import filled

SCHEMA = ""
PAGED = True
"""Whether answers come in pages."""
_CLEAR = Mask("clear")


def plain(sql: SqlAsked, dialect: str) -> str:
    """The statement without what says how to answer it."""
    return filled(sql.text, sql.parameters, dialect) if sql.parameters else sql.text


def asked(sql: SqlAsked, dialect: str) -> tuple[str, str]:
    """The statement, its parameters in their places, and what stands beside it. Raises: GatewayError."""
    return filled(sql.text, sql.parameters, dialect) if sql.parameters else sql.text, sql.output


def forwarded(plan: HttpPlan, text: str, output: str, view: View, made: Plan) -> HttpPlan:
    """What goes to the server, and the route with the masks of this statement's answer."""
    body: dict[str, Any] = {"query": text, **json_text.read(output.encode())}
    if plan.route.dialect == "elasticsearch":
        seconds = -(-view.policy.limits.statement_timeout_ms // 1000)
        body |= {"request_timeout": f"{seconds}s", "columnar": False, "field_multi_value_leniency": False}
    return replace(plan, route=_masked(plan.route, view, made), body=json_text.write(body))


def with_keys(plan: HttpPlan, key: bytes) -> HttpPlan:  # noqa: ARG001 - the server makes no masks
    """The same: no key goes to the server."""
    return plan


def page(plan: HttpPlan, found: str) -> HttpPlan:
    """The request for a page, or for its end, as it goes on."""
    return replace(plan, body=json_text.write({"cursor": found}))


def _masked(route: Route, view: View, made: Plan) -> Route:
    rule = route.answers[0]
    rules = view.policy.tables[made.relations[0]].columns
    fields = []
    for name, column in made.outputs:
        shown = not column or (made.relations[0], column) in view.reveal
        fields.append(FieldRule((name,), _CLEAR if shown else rules[column].mask, _kind(column and rules[column].type)))
    fields += [FieldRule((PROOF, one), _CLEAR) for one in made.guards]
    return replace(route, answers=(replace(rule, fields=tuple(fields)),))


def _kind(declared: str) -> str:
    return declared or "text"
