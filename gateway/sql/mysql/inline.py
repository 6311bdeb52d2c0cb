"""Tables that exist in the text alone: what `information_schema` and SHOW tell, made from the policy and the catalog.

INVARIANT: a statement over them is judged, rewritten and proven like any other, with each of them as a relation of the
policy that everybody sees whole; only then its rows stand where its name stood. A name stands there as five words that
no person can write, so nothing else of the text changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.errors import Refusal
from gateway.policy.schema import ColumnRule, Mask, Scope, TableRule
from gateway.sql import tree
from gateway.sql.catalog import Column, Relation
from gateway.sql.mysql import told
from gateway.sql.statement import Plan, View
from gateway.sql.tree.grammar import GRAMMARS
from gateway.sql.tree.rewrite import RAW
from gateway.sql.tree.writing import quoted, string

SCHEMA = "information_schema"
_TEXT = "VARCHAR({length}) CHARACTER SET utf8mb4"

Cell = str | int | None


@dataclass(frozen=True, slots=True)
class Inline:
    """Columns and rows, or with `text` a SELECT that makes them."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]] = ()
    text: str = ""

    @property
    def sql(self) -> str:
        """What stands in a FROM, without an alias."""
        if self.text:
            return f"({self.text})"
        kinds = (
            f"{quoted(name)} {self._kind(place)} PATH '$[{place}]'"
            for place, name in enumerate(self.columns)
        )  # fmt: skip
        rows = json.dumps([list(row) for row in self.rows], ensure_ascii=False, separators=(",", ":"))
        return f"JSON_TABLE({string(rows)}, '$[*]' COLUMNS ({', '.join(kinds)}))"

    def _kind(self, place: int) -> str:
        cells = [row[place] for row in self.rows]
        if cells and all(isinstance(cell, int) or cell is None for cell in cells) and any(cells):
            return "BIGINT"
        longest = max((len(cell) for cell in cells if isinstance(cell, str)), default=64)
        return _TEXT.format(length=max(64, longest))


def analyse(text: str, view: View, tables: Mapping[str, Inline]) -> Plan | Refusal:
    """The plan of a SELECT over these tables, by their names in `information_schema`, and those of the policy."""
    relations, rules = dict(view.catalog.relations), dict(view.policy.tables)
    for name, table in tables.items():
        qualified = f"{SCHEMA}.{name}"
        columns = tuple(Column(one, place, "text", "text", "S") for place, one in enumerate(table.columns, 1))
        relations[qualified] = Relation(SCHEMA, name, 0, "v", columns)
        rules[qualified] = TableRule(
            qualified, Scope("none"), {one: ColumnRule(one, Mask("clear")) for one in table.columns}
        )
    wider = replace(
        view, policy=replace(view.policy, tables=rules), catalog=replace(view.catalog, relations=relations)
    )  # fmt: skip
    plan = tree.analyse(text, wider)
    if isinstance(plan, Refusal):
        return plan
    return replace(plan, rewritten=_with_rows(plan.rewritten, view, tables))


def _with_rows(text: str, view: View, tables: Mapping[str, Inline]) -> str:
    """The proven text with rows in the place of the names of these tables."""
    words = list(GRAMMARS[view.policy.dialect].dialect.tokenize(text))
    parts: list[str] = []
    at = 0
    for place in range(len(words) - 4):
        schema, dot, name, _as, alias = words[place : place + 5]
        if (
            schema.token_type.name == name.token_type.name == alias.token_type.name == "IDENTIFIER"
            and dot.text == "."
            and (schema.text, alias.text) == (SCHEMA, RAW)
            and name.text in tables
        ):
            parts += [text[at : schema.start], tables[name.text].sql]
            at = name.end + 1
    return "".join([*parts, text[at:]])


def schema_tables(text: str, view: View) -> dict[str, Inline]:
    """The tables of `information_schema` that the text can name, by name: what the policy lets be told."""
    upper = text.upper()
    return {
        name: Inline(columns, list(rows(view)))
        for name, (columns, rows) in told.TABLES.items()
        if name in upper
    }  # fmt: skip
