"""Masks and customers as expressions of each dialect.

INVARIANT: for the same value, key and type the output is that of `policy.masks.render`: one table of cases
(`tests/corpus/masks`) holds all renderings. What a dialect cannot render so is refused (`policy/dialects.py`), never
approximated. An expression never faults, whatever the value, and a keyed one without its key shows nothing.
"""

from __future__ import annotations

import re
import unicodedata

from gateway.errors import GatewayError
from gateway.policy import dialects, kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import column_type
from gateway.sql.catalog import Column
from gateway.sql.render import summable_type
from gateway.sql.tree import clickhouse_masks, mysql_masks, trino_masks
from gateway.sql.tree.writing import string

_LONGEST_TEXT = 1000
_RENDERS = {"clickhouse": clickhouse_masks.masked, "trino": trino_masks.masked}
_SUMMED_DIGITS = 43
"""A sum of numbers has 22 digits more than these, and MySQL has 65 (MySQL 8.4 Reference Manual, 14.24.2)."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mask_sql(mask: Mask, expression: str, column: Column, dialect: str) -> str:
    """`expression` (a column's raw value) under `mask`, of the column's declared type.

    Raises: GatewayError `policy-invalid` when the dialect cannot render it.
    """
    of = column_type(column.type, column.base)
    problem = dialects.misfit(dialect, mask, of)
    if problem:
        raise GatewayError("policy-invalid", f"column `{column.name}`: {problem}", "run `gateway policy check`")
    if mask.kind == "clear":
        return expression
    return _RENDERS.get(dialect, mysql_masks.masked)(mask, expression, of)


def literal_sql(value: str, column: Column, dialect: str = "") -> str:
    """A ticket's customer as a constant that is compared with the column: integers, uuid and text.

    Raises: GatewayError `customer-invalid` when the text is not the canonical form of a value of the column's type.
    """
    of = column_type(column.type, column.base)
    if of.name in types.INTEGER_MAX:
        largest = types.INTEGER_MAX[of.name]
        if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", value) and -largest - 1 <= int(value) <= largest:
            return value
    elif of.group == types.UUID:
        if _UUID.fullmatch(value):
            return trino_masks.uuid(value.lower()) if dialect == "trino" else string(value.lower())
    elif of.name in {"text", "varchar"} and _is_text(value, min(of.length or _LONGEST_TEXT, _LONGEST_TEXT)):
        return string(value, standard=dialect == "trino")
    raise GatewayError(
        "customer-invalid",
        f"the ticket's customer is not a value of the type `{column.type}` (column `{column.name}`)",
        "correct the customer on the ticket, or the `scope` in the policy",
    )


def summable_sql(expression: str, column: Column) -> str:
    """A true value of MySQL's as sums take it: NULL where it is so large that one could fail.

    Raises: GatewayError `policy-invalid` when the type cannot be summed.
    """
    of = summable_type(column)
    if of.group == types.INTEGER:
        return expression
    edge = kinds.LARGEST_BUCKETED
    if of.group == types.NUMERIC:
        precision, places = of.mods or (_SUMMED_DIGITS + 1, _SUMMED_DIGITS)
        if precision <= _SUMMED_DIGITS:
            return expression
        edge = f"1e{max(0, _SUMMED_DIGITS - places)}"
    return f"CASE WHEN ({expression} > - {edge}) AND ({expression} < {edge}) THEN {expression} END"


def subject_sql(value: str, expression: str) -> str:
    """Whose the summable `value` is: the subject `expression`, NULL where there is no value to sum."""
    return f"CASE WHEN ({value}) IS NOT NULL THEN {expression} END"


def _is_text(value: str, longest: int) -> bool:
    return 0 < len(value) <= longest and not any(unicodedata.category(c) in {"Cc", "Cs"} for c in value)
