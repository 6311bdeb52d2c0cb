"""A text of Trino's into a plan or a refusal: SHOW is answered by the policy, every SELECT judged in `sql/tree/`."""

from __future__ import annotations

import re

from gateway.errors import GatewayError, Refusal
from gateway.policy.schema import Policy
from gateway.sql import tree
from gateway.sql.said import Subject
from gateway.sql.statement import Plan, View
from gateway.sql.trino.forms import immediate
from gateway.sql.trino.shows import shown

_OTHERS = re.compile(
    r"\s*(ALTER|ANALYZE|CALL|COMMENT|COMMIT|CREATE|DEALLOCATE|DELETE|DENY|DROP|EXPLAIN|GRANT|INSERT|MERGE|PREPARE|REFRESH"
    r"|RESET|REVOKE|ROLLBACK|SET|START|TRUNCATE|UPDATE|USE)\b",
    re.IGNORECASE,
)
"""What the reader of SELECT would cut into words in a way of its own."""


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    try:
        text = immediate(text, view.limits)
        other = _OTHERS.match(text)
        if other is not None:
            raise GatewayError("statement-not-allowed", f"{other[1].upper()} is not allowed here",
                               "send a SELECT, or SHOW TABLES")  # fmt: skip
        return shown(text, view) or tree.analyse(text, view)
    except GatewayError as error:
        return error.refusal


def normalise(text: str, policy: Policy) -> str:
    """The text without its literals; of one that cannot be read, next to nothing."""
    try:
        return tree.normalise(immediate(text), policy)
    except GatewayError:
        return ""


def telling(text: str, policy: Policy) -> tuple[Subject, ...]:
    """The values of a text that may tell who somebody is; nothing in one that cannot be read."""
    try:
        return tree.telling(immediate(text), policy)
    except GatewayError:
        return ()
