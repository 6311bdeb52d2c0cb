"""Constants as the true value of a column is compared with them in an exact search.

INVARIANT: what stands here compares one column with one value of its own kind, as `=` of the column's does: MySQL would
take a text for a number (`email = 0` holds for nearly every address), or a date for a text. It can neither fail nor
warn for some rows and not for others.
"""

from __future__ import annotations

import datetime
import re

from sqlglot import exp

from gateway.policy import dialects, types
from gateway.policy.types import column_type
from gateway.sql.catalog import Column
from gateway.sql.tree.writing import string

MOST_VALUES = 20
"""How many values one search may have, as in PostgreSQL's room."""

_WHOLE, _NUMBER = re.compile(r"-?\d{1,18}"), re.compile(r"-?\d{1,30}(?:\.\d{1,30})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_GIVEN = {
    types.TEXT: "CONCAT({})",
    types.UUID: "CONCAT({})",
    types.INTEGER: "CAST({} AS DECIMAL(65, 30))",
    types.NUMERIC: "CAST({} AS DECIMAL(65, 30))",
    types.DATE: "CAST({} AS DATE)",
}
"""What becomes of a parameter, whose type its client chooses."""


def sought_sql(value: exp.Expr, column: Column, dialect: str, parameter: str = "?") -> str | None:
    """The constant as the column's true value is compared with it; None for what is not of its kind."""
    of = column_type(column.type, column.base)
    if not dialects.is_searchable(dialect, of):
        return None
    if isinstance(value, exp.Placeholder):
        return _GIVEN[of.group].format(parameter)
    sign = ""
    if isinstance(value, exp.Neg):
        sign, value = "-", value.this
    if not isinstance(value, exp.Literal) or (sign and value.is_string):
        return None
    return _written(sign + str(value.this), of.group, quotes=value.is_string)


def _written(text: str, group: str, *, quotes: bool) -> str | None:
    if group in {types.INTEGER, types.NUMERIC}:
        return text if (_WHOLE if group == types.INTEGER else _NUMBER).fullmatch(text) else None
    if not quotes or (group == types.UUID and not _UUID.fullmatch(text)) or (group == types.DATE and not _is_day(text)):
        return None
    return string(text)


def _is_day(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
