"""What Trino has beyond the parts of all dialects: how it is read, allowed and written.

INVARIANT: as in `mysql_parts.py`, which has what both share. Trino takes names for the same in any case, in quotes too:
names of relations, and what names one in front of a column, are in small letters once they are read; names of outputs
stay as they were written, as they do in Trino.

Trino's grammar: https://github.com/trinodb/trino, core/trino-grammar, `SqlBase.g4`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from gateway.errors import GatewayError
from gateway.sql.tree import mysql_parts
from gateway.sql.tree.mysql_parts import Written

UNITS = frozenset({"SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
"""Of EXTRACT."""

_TYPE = re.compile(
    r"BOOLEAN|TINYINT|SMALLINT|INTEGER|INT|BIGINT|REAL|DOUBLE|DATE|UUID|VARCHAR(?:\(\d{1,9}\))?"
    r"|DECIMAL(?:\(\d{1,2}(?:,\d{1,2})?\))?|TIMESTAMP(?:\((?:\d|1[0-2])\))?(?: WITH TIME ZONE)?"
)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2}(?:\.\d{1,12})?)?")
_WITHOUT = frozenset({exp.CurrentDate, exp.CurrentTimestamp, exp.Localtimestamp})
_SHARED = (exp.Extract, exp.Window, exp.WindowSpec, exp.Escape)

PARTS: dict[Any, frozenset[str]] = {
    **{kind: mysql_parts.PARTS[kind] for kind in _SHARED},
    exp.Cast: frozenset({"this", "to", "_type"}),
    exp.TryCast: frozenset({"this", "to", "_type"}),
    **dict.fromkeys(_WITHOUT, frozenset()),
}

NO_PAREN_FUNCTIONS: dict[Any, Any] = {
    TokenType.CURRENT_DATE: exp.CurrentDate,
    TokenType.CURRENT_TIMESTAMP: exp.CurrentTimestamp,
    TokenType.LOCALTIMESTAMP: exp.Localtimestamp,
}


# reading


def _try_cast(parser: Any) -> exp.Expr:
    cast = mysql_parts.cast(parser)
    return exp.TryCast(this=cast.this, to=cast.args["to"])


FUNCTION_PARSERS: dict[str, Callable[[Any], exp.Expr]] = {
    **{name: mysql_parts.FUNCTION_PARSERS[name] for name in ("CAST", "EXTRACT", "SUBSTRING")},
    "TRY_CAST": _try_cast,
}


def settle(tree: exp.Expr) -> exp.Expr:
    """The tree with one form for what has several."""
    for node in list(tree.walk()):
        if isinstance(node, exp.Table):
            for part in ("this", "db", "catalog"):
                _lower(node.args.get(part))
        elif isinstance(node, exp.TableAlias):
            _lower(node.this)
        elif isinstance(node, exp.Column):
            _lower(node.args.get("table"))
        elif isinstance(node, exp.Cast) and isinstance(node.args["to"], exp.DataType):
            node.set("to", _spelled(node))
    return tree


def _lower(name: Any) -> None:
    if isinstance(name, exp.Identifier):
        name.set("this", name.name.lower())


def _spelled(cast: exp.Expr) -> exp.Var:
    """The type of a constant such as DATE '2024-01-31'."""
    to = cast.args["to"]
    numbers = ",".join(str(one.this) for one in to.expressions)
    name = f"{to.this.name}({numbers})" if numbers else to.this.name
    text = cast.this
    if name.partition("(")[0] not in {"DATE", "TIMESTAMP"} or not isinstance(text, exp.Literal) or not text.is_string:
        raise _unsupported("constants of a type are not supported but DATE and TIMESTAMP", "write CAST(value AS type)")
    if not _MOMENT.fullmatch(text.this):
        raise _unsupported("a moment is written in another form than TIMESTAMP '2024-01-31 12:00:00'")
    return exp.Var(this=name)


# judging


def judge(node: exp.Expr) -> None:
    """Nothing, for a node that is in order. Raises: GatewayError."""
    if isinstance(node, exp.Cast):
        to = node.args["to"]
        if not isinstance(to, exp.Var) or not _TYPE.fullmatch(to.name):
            raise GatewayError(
                "type-not-allowed", "a cast to that type is not supported",
                "VARCHAR, BIGINT, INTEGER, DOUBLE, DECIMAL, BOOLEAN, DATE, TIMESTAMP and UUID are",
            )  # fmt: skip
    elif isinstance(node, exp.Var):
        above = node.parent
        if isinstance(above, exp.Extract) and node.name not in UNITS:
            raise _unsupported(f"`{node.name[:60]}` stands where it is not supported")
        if not isinstance(above, exp.Extract | exp.Cast | exp.Interval) or (
            above.this is node and not isinstance(above, exp.Extract)
        ):
            raise _unsupported(f"`{node.name[:60]}` stands where it is not supported")
    elif not isinstance(node, exp.Select | exp.Union):
        mysql_parts.judge(node)


# writing


def written(node: exp.Expr, writer: Written) -> str | None:
    """The node as text; None for one that is not of here."""
    if isinstance(node, exp.TryCast):
        return f"TRY_CAST({writer.value(node.this)} AS {node.args['to'].name})"
    if type(node) in _WITHOUT:
        return _WORDS[type(node)]
    return mysql_parts.written(node, writer) if type(node) in PARTS else None


_WORDS: dict[Any, str] = {
    exp.CurrentDate: "CURRENT_DATE",
    exp.CurrentTimestamp: "CURRENT_TIMESTAMP",
    exp.Localtimestamp: "LOCALTIMESTAMP",
}


def _unsupported(message: str, hint: str = "") -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
