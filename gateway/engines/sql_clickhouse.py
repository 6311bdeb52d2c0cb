"""ClickHouse: what goes to the server of a proven statement.

The server is told to answer when it has all rows, so that an error is never told in the midst of them; to write
nothing; to stop when nobody listens; and in which form the rows are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gateway.errors import GatewayError
from gateway.http import query
from gateway.http.message import HttpPlan, SqlAsked
from gateway.http.sql_rows import OUTPUTS
from gateway.sql.render import INNER_SETTING, OUTER_SETTING, mask_settings
from gateway.sql.statement import Plan, View
from gateway.sql.tree.clickhouse_masks import INNER, OUTER
from gateway.sql.tree.formats import without_format

SCHEMA = "parameter `database`"
"""What names a schema in a request."""
PAGED = False
"""Whether answers come in pages."""
SETTINGS: Mapping[str, str] = {
    "wait_end_of_query": "1",
    "http_write_exception_in_output_format": "0",
    "readonly": "2",
    "cancel_http_readonly_queries_on_client_close": "1",
    # what one statement left in it made others find no rows (seen in 26.9)
    "use_query_condition_cache": "0",
}
"""What every statement runs under, whatever it is."""
_KEYS = {INNER: INNER_SETTING, OUTER: OUTER_SETTING}


def plain(sql: SqlAsked, dialect: str) -> str:  # noqa: ARG001 - it is the one of here
    """The statement without what says how to answer it."""
    return without_format(sql.text)[0]


def asked(sql: SqlAsked, dialect: str) -> tuple[str, str]:  # noqa: ARG001 - it is the one of here
    """The statement and the form of its answer. Raises: GatewayError."""
    text, written = without_format(sql.text)
    if written and written not in OUTPUTS:
        raise GatewayError(
            "request-not-allowed", "the form that FORMAT names is not let through", f"ask for {', '.join(OUTPUTS)}"
        )
    return text, written or sql.output or OUTPUTS[0]


def forwarded(plan: HttpPlan, text: str, output: str, view: View, made: Plan) -> HttpPlan:  # noqa: ARG001 - all servers get the same
    """What goes to the server, but for the keys of its masks."""
    seconds = -(-view.policy.limits.statement_timeout_ms // 1000)
    pairs = [("default_format", output), *SETTINGS.items(), ("max_execution_time", str(seconds))]
    return replace(plan, query=query.join(pairs), body=text.encode())


def with_keys(plan: HttpPlan, key: bytes) -> HttpPlan:
    """The same with the keys of the masks that the statement has, if it has some."""
    settings: Mapping[str, str] = mask_settings(key)
    used = [(f"param_{name}", settings[of]) for name, of in _KEYS.items() if f"{{{name}:".encode() in plan.body]
    return replace(plan, query=f"{plan.query}&{query.join(used)}") if used else plan


def page(plan: HttpPlan, found: str) -> HttpPlan:  # noqa: ARG001 - answers have no pages
    """None: answers have no pages."""
    raise GatewayError("not-found", "there is no such page")
