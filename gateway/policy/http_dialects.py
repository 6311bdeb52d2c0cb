"""Routes that take SQL: what such a route lets through and shows, and what the policy around it must say.

INVARIANT: a relation that SQL may name has everything that a rewriting needs written in the policy: where no catalog is
read, each column has its type, and each mask is one that the server can render.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.policy import dialects
from gateway.policy.http_rules import AnswerRule, Route
from gateway.policy.shapes import Path, Reading
from gateway.policy.types import column_type

TABLES = ("tables", "reveal", "schemas", "categories")
"""The sections of a policy that are for relations and that such routes need."""
ROWS = "rows"
"""The media of their answers: rows that the server masked itself, read strictly and counted."""

_NAME = re.compile(r"[^\W\d][\w -]{0,62}(?<! )")
_OURS = "gateway_"
PAGES = "pages"
"""The media of Trino's: rows that the server masked, some at a time."""
_JSON = ("application/json",)
_PATHS = {"trino": ("v1", "statement"), "elasticsearch": ("_sql",), "opensearch": ("_plugins", "_sql")}
_TYPES = ("application/json", "application/x-ndjson", "application/ndjson", "application/jsonl")


def route(name: str, method: str, template: tuple[str, ...], dialect: str, catalog: str = "") -> Route:
    """The route of a file's `dialect`."""
    if dialect == "trino":
        pages = AnswerRule(frozenset({200}), PAGES, content_types=_JSON, max_bytes=64 << 20)
        return Route(
            name, method, template, answers=(pages, AnswerRule(frozenset({204}), "empty")), dialect=dialect,
            catalog=catalog,
        )  # fmt: skip
    if dialect in dialects.SEARCH:
        # clients of Elasticsearch look for that header before they read anything
        page = AnswerRule(
            frozenset({200}), dialect, content_types=_JSON, headers=("x-elastic-product",), max_bytes=64 << 20
        )
        return Route(name, method, template, answers=(page,), dialect=dialect)
    answers = (AnswerRule(frozenset({200}), ROWS, content_types=_TYPES, max_bytes=64 << 20),)
    return Route(name, method, template, answers=answers, dialect=dialect)


def judge(read: dict[str, Any], reading: Reading) -> bool:
    """Note the faults of routes with a `dialect` and their tables; whether there are such routes."""
    found = {name: route for name, route in read["http"]["routes"].items() if "dialect" in route}
    for name, route in found.items():
        at: Path = ("http", "routes", name)
        for key in sorted(route.keys() - {"get", "post", "dialect", "catalog"}):
            reading.fault((*at, key), f"a route with a `dialect` has no `{key}`: its tables say all")
        if any(step.startswith("{") for step in route.get("post", route.get("get", ()))):
            reading.fault(at, "the path of a route with a `dialect` has no placeholders")
        _judge_own(route, at, reading)
    if len({route["dialect"] for route in found.values()}) > 1:
        reading.fault(("http", "routes"), "all routes with a `dialect` have the same: the tables are of one server")
    if found and "tables" not in read:
        reading.fault((), "`tables` is missing: no relation would exist")
    if found and read["http"].get("direction", "inbound") == "outbound":
        reading.fault(("http", "direction"), "SQL is not sent to sub-processors")
    for name, table in read.get("tables", {}).items() if found else ():
        _judge_table(name, table, next(iter(found.values()))["dialect"], reading)
    return bool(found)


def _judge_own(route: dict[str, Any], at: Path, reading: Reading) -> None:
    """What only one of the dialects has."""
    wanted = _PATHS.get(route["dialect"])
    if wanted is not None and route.get("post", ())[-len(wanted) :] != wanted:
        reading.fault(at, f"statements are taken by POST to /{'/'.join(wanted)} there")
    if route["dialect"] != "trino":
        if "catalog" in route:
            reading.fault((*at, "catalog"), "`catalog` is for `dialect: trino`")
        return
    if "catalog" not in route:
        reading.fault(at, "`catalog` is missing: the one of Trino's that has the tables")


def _judge_table(name: str, table: dict[str, Any], dialect: str, reading: Reading) -> None:
    at: Path = ("tables", name)
    for part in name.split("."):
        _judge_name(part, at, reading)
        if dialect == "trino" and part != part.lower():
            reading.fault(at, f"`{part}` has capital letters: Trino's names are in small ones")
    scope, columns = table["scope"], table["columns"]
    if dialect in dialects.SEARCH and scope.kind == "follows":
        reading.fault((*at, "scope"), f"`{dialect}` has no joins: a customer's column must be in the relation itself")
    if scope.kind != "none" and scope.column not in columns:
        reading.fault((*at, "scope"), f"the column `{scope.column}` must be one of `columns`: its type is needed")
    for column, rule in columns.items():
        here: Path = (*at, "columns", column)
        _judge_name(column, here, reading)
        if not rule.type:
            reading.fault(here, "`type` is missing: no catalog is read, so write {mask: clear, type: text}")
            continue
        if rule.aggregate:
            reading.fault(here, "`aggregate` is for databases: SQL over HTTP does not have it")
        if rule.search and not dialects.is_searchable(dialect, column_type(rule.type)):
            reading.fault(here, f"`search: exact` cannot be asked of `{dialect}` for a column of that type")
        problem = dialects.misfit(dialect, rule.mask, column_type(rule.type))
        if problem:
            reading.fault(here, problem)
        if column == scope.column and column_type(rule.type).group not in {"integer", "uuid", "text"}:
            reading.fault(here, "a customer is an integer, a uuid or a text")


def _judge_name(name: str, at: Path, reading: Reading) -> None:
    if not _NAME.fullmatch(name) or name.lower().startswith(_OURS):
        reading.fault(at, f"`{name}` cannot be named in SQL here: names have letters, digits, blanks, `_` and `-`")
