"""Trino: what goes to the server of a proven statement.

Catalog, schema, session properties and the absence of a transaction are the gateway's to say. A statement ends when it
ran longer than the policy allows, whether anybody fetches its pages or not.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.http import paths
from gateway.http.message import HttpPlan, SqlAsked
from gateway.sql.statement import Plan, View
from gateway.sql.trino import bound

SCHEMA = "header `x-trino-schema`"
"""What names a schema in a request."""
PAGED = True
"""Whether answers come in pages."""


def plain(sql: SqlAsked, dialect: str) -> str:  # noqa: ARG001 - it is the one of here
    """The statement without what says how to answer it."""
    return sql.text


def asked(sql: SqlAsked, dialect: str) -> tuple[str, str]:  # noqa: ARG001 - it is the one of here
    """The statement; its answer has one form."""
    return sql.text, ""


def forwarded(plan: HttpPlan, text: str, output: str, view: View, made: Plan) -> HttpPlan:  # noqa: ARG001 - all servers get the same
    """What goes to the server, but for the keys of its masks."""
    seconds = -(-view.policy.limits.statement_timeout_ms // 1000)
    headers = (
        ("x-trino-catalog", plan.route.catalog),
        ("x-trino-schema", view.search_path[0]),
        ("x-trino-session", f"query_max_execution_time={seconds}s"),
        ("x-trino-transaction-id", "NONE"),
        ("x-trino-source", "gateway"),
    )
    return replace(plan, headers=(*plan.headers, *headers), body=text.encode())


def with_keys(plan: HttpPlan, key: bytes) -> HttpPlan:
    """The same with the key of the masks that the statement has, if it has some."""
    return replace(plan, body=bound(plan.body.decode(), key).encode())


def page(plan: HttpPlan, found: str) -> HttpPlan:
    """The request for a page as it goes on."""
    return replace(plan, path=f"{paths.join(plan.route.template)}/{found}")
