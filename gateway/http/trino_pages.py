"""Pages of rows that Trino masked itself, in its own statement: read strictly, counted, and written anew.

INVARIANT: what leaves is rows, their names and types, a state, and a sealed way to the next page. What a server tells
besides (how much it read, on which nodes, who else waits) is about rows that nobody may see, and is left out. Of an
error its name leaves, where it is one that statements bring about themselves: texts quote values.

Trino's client protocol: https://trino.io/docs/current/develop/client-protocol.html; names and numbers of errors:
`StandardErrorCode.java` in https://github.com/trinodb/trino, core/trino-spi.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from gateway.http import json_text
from gateway.http.cursors import Paging
from gateway.http.page_body import PageBody
from gateway.http.withheld import Limits, Withheld

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NEXT = re.compile(r"(?!.*\.\.)[A-Za-z0-9._~-]{1,200}(?:/[A-Za-z0-9._~-]{1,200}){0,6}")
_STATES = frozenset({
    "QUEUED", "WAITING_FOR_RESOURCES", "DISPATCHING", "PLANNING", "STARTING", "RUNNING", "FINISHING", "FINISHED",
    "FAILED",
})  # fmt: skip
_SCALARS = frozenset({type(None), bool, str, json_text.Number})
_COUNTS = (
    "nodes", "totalSplits", "queuedSplits", "runningSplits", "completedSplits", "cpuTimeMillis", "wallTimeMillis",
    "queuedTimeMillis", "elapsedTimeMillis", "processedRows", "processedBytes", "physicalInputBytes",
    "peakMemoryBytes", "spilledBytes",
)  # fmt: skip
_DEEPEST = 8
_ERRORS = {
    "SYNTAX_ERROR": (1, "the statement cannot be read by the target"),
    "SUBQUERY_MULTIPLE_ROWS": (28, "a sub-query used as an expression returned more than one row"),
    "FUNCTION_NOT_FOUND": (6, "a function of that name and these arguments is not known to the target"),
    "INVALID_FUNCTION_ARGUMENT": (7, "a function was given a value that it does not take"),
    "DIVISION_BY_ZERO": (8, "division by zero"),
    "INVALID_CAST_ARGUMENT": (9, "a value cannot be cast to that type"),
    "OPERATOR_NOT_FOUND": (10, "an operator does not take values of these types"),
    "NUMERIC_VALUE_OUT_OF_RANGE": (19, "a number is out of range"),
    "MISSING_COLUMN_NAME": (55, "a column has no name"),
    "COLUMN_NOT_FOUND": (47, "a column does not exist here"),
    "AMBIGUOUS_NAME": (62, "a name is of several columns"),
    "INVALID_COLUMN_REFERENCE": (63, "a column is referred to where none can be"),
    "TYPE_MISMATCH": (58, "values of different types meet"),
    "INVALID_LITERAL": (59, "a constant cannot be read as its type"),
    "EXPRESSION_NOT_AGGREGATE": (73, "a selected column is neither grouped nor aggregated"),
    "EXPRESSION_NOT_SCALAR": (74, "an aggregate stands where none can"),
    "NOT_SUPPORTED": (13, "the target does not support that"),
    "EXCEEDED_TIME_LIMIT": (131075, "the statement ran longer than the policy allows"),
    "USER_CANCELED": (3, "the statement was cancelled"),
}
"""Errors that statements bring about themselves."""
_RESOURCES = 0x20000


class PagesBody(PageBody):
    """One page."""

    def __init__(self, bound: int, limits: Limits, paging: Paging) -> None:
        super().__init__(bound, limits.depth, "a page is longer than is read at once")
        self.failed = False
        self._paging = paging

    def _page(self, read: dict[str, Any]) -> dict[str, Any]:
        name, stats = read.get("id"), read.get("stats")
        if type(name) is not str or not _ID.fullmatch(name) or type(stats) is not dict:
            raise Withheld.unreadable("it has no id and no stats")
        error, after = read.get("error"), read.get("nextUri")
        state = "FAILED" if error is not None else _state(stats)
        page: dict[str, Any] = {"id": name, "infoUri": self._paging.base, "stats": _stats(state), "warnings": []}
        if error is not None:
            # the rows of a statement that fails are not whole
            self.failed = True
            return page | {"error": _error(error)}
        columns, data = read.get("columns"), read.get("data")
        if columns is not None:
            if type(columns) is not list:
                raise Withheld.unreadable("it has no columns and rows")
            page["columns"] = [_column(one) for one in columns]
        if data is not None:
            # FAIL CLOSED: segments that are fetched elsewhere are no rows
            if type(data) is not list or type(columns) is not list:
                raise Withheld.unreadable("it has no columns and rows")
            if not all(_is_row(row, len(columns)) for row in data):
                raise Withheld.unreadable("a row is not of its columns")
            self.rows, page["data"] = len(data), data
        if after is not None:
            page["nextUri"] = f"{self._paging.base}/{self._paging.cursor}/{self._next(after)}"
        return page

    def _next(self, after: Any) -> str:
        path = urlsplit(after).path if type(after) is str else ""
        # the origin is the server's word for itself: it is asked where it always is
        _, found, rest = path.partition("/v1/statement/")
        if not found or not _NEXT.fullmatch(rest):
            raise Withheld.unreadable("its next page is nowhere")
        return self._paging.sealed(rest)


def _stats(state: str) -> dict[str, Any]:
    return {"state": state, "queued": state == "QUEUED", "scheduled": state in {"RUNNING", "FINISHED"},
            **dict.fromkeys(_COUNTS, 0)}  # fmt: skip


def _state(stats: dict[str, Any]) -> str:
    state = stats.get("state")
    return state if state in _STATES else "RUNNING"


def _error(read: Any) -> dict[str, Any]:
    given = read.get("errorName") if type(read) is dict else None
    name = given if type(given) is str and given in _ERRORS else "GENERIC_USER_ERROR"
    number, said = _ERRORS.get(name, (0, "the target refused the statement"))
    kind = "USER_ERROR" if number < _RESOURCES else "INSUFFICIENT_RESOURCES"
    return {"message": f"{said} [target-refused]", "errorCode": number, "errorName": name, "errorType": kind}


def _column(read: Any) -> dict[str, Any]:
    if type(read) is not dict or type(read.get("name")) is not str or type(read.get("type")) is not str:
        raise Withheld.unreadable("it has a column without a name or a type")
    column = {"name": read["name"], "type": read["type"]}
    signature = read.get("typeSignature")
    return column if signature is None else column | {"typeSignature": _signature(signature, 0)}


def _signature(read: Any, depth: int) -> dict[str, Any]:
    """A type in parts: a name, and arguments that are numbers or types."""
    arguments = read.get("arguments") if type(read) is dict else None
    if depth > _DEEPEST or type(arguments) is not list or type(read.get("rawType")) is not str:
        raise Withheld.unreadable("it has a column of no type")
    made = []
    for one in arguments:
        kind, value = (one.get(part) if type(one) is dict else None for part in ("kind", "value"))
        if type(kind) is not str or type(value) not in {json_text.Number, str, dict}:
            raise Withheld.unreadable("it has a column of no type")
        made.append({"kind": kind, "value": _signature(value, depth + 1) if type(value) is dict else value})
    return {"rawType": read["rawType"], "arguments": made}


def _is_row(row: Any, width: int) -> bool:
    return type(row) is list and len(row) == width and all(type(one) in _SCALARS for one in row)
