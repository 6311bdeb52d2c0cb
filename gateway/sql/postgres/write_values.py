"""Which columns may be written at all, and what a value has to meet so that a row stays the customer's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.errors import Refusal
from gateway.model import Write
from gateway.sql.postgres.lens import ALIAS, identifier, quoted, scope_sql
from gateway.sql.postgres.parse import expression
from gateway.sql.postgres.tree import Message
from gateway.sql.statement import View
from gateway.sql.writable import anothers

MARKS = {"rows": "gateway: too many rows: ", "scope": "gateway: not of this customer: "}
"""What the target's error begins with when a bound of ours ended the statement; the first is followed by how many."""


def write_refusal(fields: Mapping[str, str], write: Write | None) -> Refusal | None:
    """What an error of the target says when it speaks of what is ours in the statement; None for any other error."""
    message = fields.get("M", "")
    if write is None:
        return None
    if fields.get("C") == "42803" and "gateway table" in message:
        return Refusal(
            "statement-not-supported",
            f"an aggregate function cannot be what {write.verb} sets",
            "compute it in a sub-query: `(SELECT count(*) FROM …)`",
        )
    if fields.get("C") != "22P02":
        return None
    if MARKS["rows"] in message:
        found = re.match(r"[0-9]{1,18}", message.partition(MARKS["rows"])[2])
        return Refusal(
            "write-too-large",
            f"the statement meets {found[0] if found else 'more'} rows; the policy allows {write.rows}",
            "narrow the condition, or send it in parts",
        )
    if MARKS["scope"] in message:
        return anothers(write)
    return None


def bindings(view: View, table: str, name: str, *, insert: bool) -> list[str]:
    """The conditions that a value of a column has to meet, on `t` with that column: its scope, and what it refers to.

    Raises: Refused, GatewayError.
    """
    policy, catalog = view.policy, view.catalog
    rule = policy.tables[table]
    if name == rule.scope.column and rule.scope.kind != "none":
        return [scope_sql(view, rule, ALIAS, ())] if insert else []
    found = []
    for reference in sorted(catalog.references):
        if reference.relation != table or name not in reference.columns or reference.partly:
            continue
        condition = scope_sql(view, policy.tables[reference.other], "r", ())
        if condition:
            relation = catalog.relations[reference.other]
            column = identifier(reference.other_columns[0])
            mine = f"{ALIAS}.{identifier(name)}"
            rows = f"SELECT r.{column} FROM {quoted(relation)} AS r WHERE {condition}"  # noqa: S608
            found.append(f"{mine} IS NULL OR {mine} OPERATOR(pg_catalog.=) ANY ({rows})")
    return found


def bound_value(value: Message, column: str, kind: str, conditions: list[str]) -> Message:
    """The value where it meets the conditions; else the statement fails, as the module says."""
    name = identifier(column)
    where = " AND ".join(
        f"CASE WHEN {condition} THEN true ELSE CAST('{MARKS['scope']}' OPERATOR(pg_catalog.||)"
        f" COALESCE(CAST(t.{name} AS pg_catalog.text), '') AS pg_catalog.bool) END"
        for condition in conditions
    )
    made = expression(f"(SELECT t.{name} FROM (SELECT CAST(NULL AS {kind}) AS {name} OFFSET 0) AS t WHERE {where})")  # noqa: S608
    inner = made.sub_link.subselect.select_stmt.from_clause[0].range_subselect.subquery.select_stmt
    inner.target_list[0].res_target.val.type_cast.arg.CopyFrom(value)
    return made
