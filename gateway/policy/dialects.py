"""What the dialects of SQL over HTTP, and MySQL, can make of a column: which masks, on which types.

INVARIANT: a mask that a server cannot render with the very output of the others is not rendered at all: a policy that
names it does not load. The renderings are in `sql/tree/`.
"""

from __future__ import annotations

from decimal import Decimal

from gateway.policy import kinds, types
from gateway.policy.schema import Mask
from gateway.policy.types import ColumnType

DIALECTS = ("postgres", "mysql", "mariadb", "clickhouse", "trino", "elasticsearch", "opensearch")
DATABASE_DIALECTS = ("postgres", "mysql", "mariadb")
"""Those that a database can have."""
HTTP_DIALECTS = ("clickhouse", "trino", "elasticsearch", "opensearch")
"""Those that a route can have."""

SEARCH = ("elasticsearch", "opensearch")
"""Those of search engines: the gateway masks their answers itself."""

_DIGITS = 38
_ANY = frozenset({"clear", "null"})
_TYPES = frozenset({
    "text", "varchar", "int2", "int4", "int8", "numeric", "float8", "date", "timestamp", "timestamptz", "bool", "uuid",
})  # fmt: skip
_SEARCHING = frozenset({"mysql", "mariadb", "clickhouse"})
_SEARCHABLE = frozenset({types.TEXT, types.INTEGER, types.NUMERIC, types.DATE, types.UUID})
_KINDS: dict[str, frozenset[str]] = {
    "clickhouse": frozenset({
        "redact", "partial", "email", "pseudonym", "year", "month", "bucket", "digits", "initials", "truncate_ip",
    }),
    "trino": frozenset({
        "redact", "partial", "email", "pseudonym", "year", "month", "bucket", "digits", "initials", "truncate_ip",
    }),
    "mysql": frozenset({"redact", "partial", "email", "pseudonym", "year", "month", "bucket", "truncate_ip"}),
    "mariadb": frozenset({
        "redact", "partial", "email", "pseudonym", "year", "month", "bucket", "initials", "truncate_ip",
    }),
}  # fmt: skip


def misfit(dialect: str, mask: Mask, of: ColumnType) -> str:
    """Why that server cannot put `mask` on a column of that type; empty when it can."""
    problem = kinds.misfit(mask, of)
    if problem or mask.kind in _ANY:
        return problem
    if dialect in SEARCH:
        return _search_misfit(dialect, mask, of)
    if mask.kind not in _KINDS[dialect]:
        return f"mask `{mask.kind}` cannot be rendered by `{dialect}`: hide the column, or use another mask"
    if of.name not in _TYPES:
        return f"`{dialect}` renders masks for text, numbers, dates, times, booleans and uuid, not for `{of.name}`"
    if of.group == types.NUMERIC and not (of.mods and 0 <= of.mods[1] <= of.mods[0] <= _DIGITS):
        return f"`{dialect}` needs the digits of a numeric for its masks, such as numeric(10,2), of {_DIGITS} at most"
    return _number_misfit(dialect, mask, of)


def _search_misfit(dialect: str, mask: Mask, of: ColumnType) -> str:
    if mask.kind == "json" or of.name not in _TYPES | {"float4", "inet"}:
        return f"`{dialect}` has scalars: text, numbers, dates, times, booleans, uuid and inet, not `{of.name}`"
    return ""


def is_searchable(dialect: str, of: ColumnType) -> bool:
    """Whether true values of that type can be searched exactly there: compared with values of their own kind alone."""
    numbers = dialect != "clickhouse" or of.group != types.NUMERIC
    return dialect in _SEARCHING and of.group in _SEARCHABLE and numbers


def _number_misfit(dialect: str, mask: Mask, of: ColumnType) -> str:
    if mask.kind == "pseudonym" and of.group == types.NUMERIC:
        return f"mask `pseudonym` cannot be rendered by `{dialect}` on a numeric"
    if mask.kind != "bucket":
        return ""
    if of.group == types.FLOAT:
        return f"mask `bucket` cannot be rendered by `{dialect}` on a float: its rounding differs"
    places = of.mods[1] if of.mods else 0
    if dialect == "trino" and of.mods and of.mods[0] > _DIGITS - 2:
        return (
            f"mask `bucket` cannot be rendered by `trino` on more than {_DIGITS - 2} digits: its numbers have {_DIGITS}"
        )
    if Decimal(mask.option("size")) % Decimal(1).scaleb(-places):
        return f"mask `bucket` cannot be rendered by `{dialect}` with more decimals than the column has"
    return ""
