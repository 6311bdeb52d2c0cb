"""What a written value has to meet so that a row stays the customer's, and how a statement fails where it does not.

A bound of ours is a condition that adds to the largest number where it is not met, which every sql_mode answers with an
error, before a row is changed. The error quotes the sum, and with it a name that no person can write (`MARKS`).
"""

from __future__ import annotations

from gateway.errors import GatewayError, Refusal
from gateway.model import Write
from gateway.policy import types
from gateway.policy.types import column_type
from gateway.sql.catalog import Column
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.rewrite import in_scope
from gateway.sql.tree.writing import quoted
from gateway.sql.writable import anothers

MARKS = {"rows": "gateway_rows", "scope": "gateway_scope"}
"""The columns that stand in the sum of each bound."""
OVERFLOW = 1690
LARGEST = "18446744073709551615"


def write_refusal(errno: int, message: str, write: Write | None) -> Refusal | None:
    """What an error of the target says when it speaks of a bound of ours; None for any other error."""
    if write is None or errno != OVERFLOW:
        return None
    if MARKS["rows"] in message:
        return Refusal(
            "write-too-large",
            f"the statement meets more rows than the policy allows: {write.rows}",
            "narrow the condition, or send it in parts",
        )
    if MARKS["scope"] in message:
        return anothers(write)
    return None


def bindings(view: View, grammar: Grammar, table: str, name: str, here: str) -> list[str]:
    """The conditions that a value of a column has to meet, where it stands as `here`: what it refers to.

    Raises: GatewayError.
    """
    found = []
    for reference in sorted(view.catalog.references):
        if reference.relation != table or name not in reference.columns:
            continue
        other = view.catalog.relations[reference.other]
        condition = in_scope(other, view.policy.tables[reference.other].scope, view, grammar, "gateway_r", 0)
        if condition:
            key = f"{quoted('gateway_r')}.{quoted(reference.other_columns[0])}"
            table_ = f"{quoted(other.schema)}.{quoted(other.name)} AS {quoted('gateway_r')}"
            # in a table of its own: what is written may be read there, and nowhere else
            rows = f"SELECT {key} AS `gateway_key` FROM {table_} WHERE {condition} LIMIT {grammar.fence}"
            among = f"SELECT `gateway_o`.`gateway_key` FROM ({rows}) AS `gateway_o`"
            found.append(f"{here} IS NULL OR {here} IN ({among})")
    return found


def as_type(column: Column, value: str) -> str:
    """A value as its column has it, so that what is compared is what is written. Raises: GatewayError."""
    of = column_type(column.type, column.base)
    if of.name in types.INTEGER_MAX:
        return f"CAST({value} AS SIGNED)"
    if of.group == types.UUID or of.name in {"text", "varchar"}:
        return f"CAST({value} AS CHAR)"
    raise GatewayError(
        "column-not-writable", f"`{column.name}` cannot be written: whose row it names cannot be compared by its type"
    )


def unless(condition: str, mark: str, source: str) -> str:
    """The condition, which fails where it is not met; `source` has the mark as a column."""
    return f"CASE WHEN ({condition}) THEN TRUE ELSE {LARGEST} + {quoted(source)}.{quoted(MARKS[mark])} END"
