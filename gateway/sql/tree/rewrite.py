"""Every relation becomes a derived table that holds the customer's rows and the masks; all else stays as it was.

    (SELECT <mask of gateway_q.gateway_1> AS `email`, ...
       FROM (SELECT gateway_t.`email` AS gateway_1, ... FROM `shop`.`people` AS gateway_t
              WHERE <customer> LIMIT <fence>) AS gateway_q) AS `people`

INVARIANT: the person's expressions see the outer SELECT's columns only. The inner one gives the real columns names that
nobody else can write, so that no alias of the outer one stands in the condition for the column of that name, as it does
in ClickHouse; its LIMIT keeps conditions that a server would push down from rows of others.
"""

from __future__ import annotations

from functools import partial

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.policy import types
from gateway.policy.schema import Scope
from gateway.policy.types import column_type
from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import literal_sql, mask_sql
from gateway.sql.tree.outputs import output_names
from gateway.sql.tree.reading import Read
from gateway.sql.tree.scopes import Names
from gateway.sql.tree.search import Searches
from gateway.sql.tree.sums import Sums
from gateway.sql.tree.writing import Writer, quoted, settled

ROWS, RAW = "gateway_q", "gateway_t"
KEY = "gateway_k"


def rewritten(
    asked: Read, names: Names, searches: Searches, sums: Sums, view: View, grammar: Grammar
) -> tuple[str, tuple[int, ...]]:
    """The text that may run instead of a statement that was judged and resolved, and the order that the statement's
    parameters have in it. Raises: GatewayError.
    """

    shown, named = names.shown(view), partial(quoted, mark=grammar.mark)

    def source(table: exp.Table) -> str:
        relation = names.relations.get(id(table))
        alias = named(table.alias or table.name)
        if relation is None:
            return f"{named(names.ctes[id(table)])} AS {alias}"
        tests, yielded = searches.tests.get(id(table), []), sums.yielded.get(id(table), [])
        return f"{derived(relation, shown[relation.qualified], tests, yielded, view, grammar)} AS {alias}"

    instead = dict.fromkeys(searches.moved, "TRUE") | sums.instead
    writer = Writer(grammar, source, instead=instead, marks=True)
    return settled(writer.query(asked.tree, output_names(asked, grammar) or ()))


def normalised(tree: exp.Expr, names: Names, grammar: Grammar) -> str:
    """The person's statement without its literals, relations qualified."""
    named = partial(quoted, mark=grammar.mark)

    def source(table: exp.Table) -> str:
        relation = names.relations.get(id(table))
        name = named(table.name) if relation is None else f"{named(relation.schema)}.{named(relation.name)}"
        return f"{name} AS {named(table.alias)}" if table.alias else name

    return Writer(grammar, source, normalised=True).query(tree)


def derived(
    relation: Relation,
    columns: tuple[str, ...],
    tests: list[str],
    yielded: list[tuple[str, str]],
    view: View,
    grammar: Grammar,
    keys: tuple[str, ...] = (),
) -> str:
    """The derived table of a relation; `keys` are columns that it has as well, as they are, under names of ours."""
    rule, named = view.policy.tables[relation.qualified], partial(quoted, mark=grammar.mark)
    masked, raw = [], []
    for number, name in enumerate(columns, start=1):
        column = _column(relation, name)
        here = f"{named(ROWS)}.{named(f'gateway_{number}')}"
        clear = (relation.qualified, name) in view.reveal
        value = here if clear else mask_sql(rule.columns[name].mask, here, column, grammar.name)
        masked.append(f"{value} AS {named(name)}")
        raw.append(f"{named(RAW)}.{named(name)} AS {named(f'gateway_{number}')}")
    if not masked:
        raise GatewayError("relation-not-available", f"the relation `{relation.qualified}` has no columns here")
    for inside, outside in yielded:
        raw.append(inside)
        masked.append(outside)
    for number, name in enumerate(keys, start=1):
        key = named(f"{KEY}{number}")
        masked.append(f"{named(ROWS)}.{key} AS {key}")
        raw.append(f"{named(RAW)}.{named(name)} AS {key}")
    table = f"{_stored(relation, view, grammar)} AS {named(RAW)}"
    condition = in_scope(relation, rule.scope, view, grammar, RAW, 0)
    fence = f" LIMIT {grammar.fence}" if condition else ""
    if tests:
        condition = " AND ".join([f"({condition})" if condition else "TRUE", *sorted(tests)])
    end = f" WHERE {condition}{fence}" if condition else ""
    inner = f"SELECT {', '.join(raw)} FROM {table}{end}"
    return f"(SELECT {', '.join(masked)} FROM ({inner}) AS {named(ROWS)})"


def _stored(relation: Relation, view: View, grammar: Grammar) -> str:
    """The relation's full name, with the catalog where the server has several."""
    parts = (view.policy.catalog, relation.schema, relation.name)
    return ".".join(quoted(one, grammar.mark) for one in parts if one)


def in_scope(relation: Relation, scope: Scope, view: View, grammar: Grammar, alias: str, depth: int) -> str:
    """Which rows of a relation exist; empty for all."""
    if scope.kind == "none":
        return ""
    column, named = _column(relation, scope.column), partial(quoted, mark=grammar.mark)
    here = f"{named(alias)}.{named(column.name)}"
    if scope.kind == "customer":
        if not view.customers:
            raise GatewayError("customer-invalid", "the ticket names no customer")
        values = [literal_sql(one, column, grammar.name) for one in view.customers]
        return " OR ".join(f"({one})" for one in (_equal(here, value, column, grammar) for value in values))
    other = view.catalog.relation(scope.other)
    if other is None or depth > 8:
        raise GatewayError("policy-invalid", f"the scope of `{relation.qualified}` cannot be followed")
    above = f"gateway_s{depth + 1}"
    inside = in_scope(other, view.policy.tables[scope.other].scope, view, grammar, above, depth + 1)
    key = f"{named(above)}.{named(scope.other_column)}"
    table = f"{_stored(other, view, grammar)} AS {named(above)}"
    here, key = (_exact(one, column, grammar) for one in (here, key))
    return f"{here} IN (SELECT {key} FROM {table}{f' WHERE {inside}' if inside else ''})"


def _equal(here: str, value: str, column: Column, grammar: Grammar) -> str:
    """That a column is a customer, to the letter."""
    exact = _exact(here, column, grammar)
    # an index serves the first
    return f"{here} = {value}" if exact == here else f"{here} = {value} AND {exact} = {_exact(value, column, grammar)}"


def _exact(value: str, column: Column, grammar: Grammar) -> str:
    """A text to be compared to the letter: MySQL's collations take letters for one another, blanks for nothing."""
    if not grammar.own or column_type(column.type, column.base).group != types.TEXT:
        return value
    return f"CAST(CONVERT({value} USING utf8mb4) AS BINARY)"


def _column(relation: Relation, name: str) -> Column:
    column = relation.column(name)
    if column is None:
        raise GatewayError(
            "policy-invalid", f"`{relation.qualified}` has no column `{name}`", "run `gateway policy check`"
        )
    return column
