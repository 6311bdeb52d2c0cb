"""The check of exact searches: which comparisons of the person's must have become tests of true values.

INVARIANT: it shares no rule with `search.py`. It goes the other way: from each comparison up to the clause that it
stands in, and from there to the one relation of that FROM which loses no row by it that it would keep.

Data that both have: how a constant is compared (`sought.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.sought import MOST_VALUES, sought_sql

Meant = Callable[[exp.Table], Relation | None]
"""The relation of the policy that a name in FROM stands for."""


@dataclass(slots=True)
class Sought:
    """The tests of each Table node and the comparisons that became TRUE, by their identity. A parameter is `?1`."""

    tests: dict[int, tuple[str, ...]] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)

    def of(self, table: exp.Table) -> tuple[str, ...]:
        """The tests that the derived table of that name must have."""
        return self.tests.get(id(table), ())


def sought(tree: exp.Expr, view: View, grammar: Grammar, meant: Meant) -> Sought:
    """What must have moved of a statement's conditions."""
    found = Sought()
    outputs = {one.alias for one in tree.find_all(exp.Alias)}
    for node in tree.find_all(exp.EQ, exp.In):
        told = _told(node)
        clause = _clause(node)
        if told is None or clause is None:
            continue
        reference, constants = told
        if not grammar.own and not reference.table and reference.name in outputs:
            continue
        table = _losing(reference, *clause, view, grammar, meant)
        relation = meant(table) if table is not None else None
        column = _named(relation, reference.name, view, grammar) if relation is not None else None
        if table is None or relation is None or column is None:
            continue
        rule = view.policy.tables[relation.qualified].columns[column.name]
        approved = (relation.qualified, column.name) in view.reveal
        if rule.search != "exact" or rule.mask.kind == "clear" or approved or len(constants) > MOST_VALUES:
            continue
        values = [sought_sql(one, column, grammar.name, f"?{one.meta.get('number', '')}") for one in constants]
        if any(value is None for value in values):
            continue
        listed = ", ".join(filter(None, values))
        sign = f"IN ({listed})" if isinstance(node, exp.In) else f"= {listed}"
        found.tests[id(table)] = tuple(sorted([*found.of(table), f"`gateway_t`.`{column.name}` {sign}"]))
        found.gone.add(id(node))
    return found


def _told(node: exp.Expr) -> tuple[exp.Column, list[exp.Expr]] | None:
    """A plain column and what it is compared with."""
    if isinstance(node, exp.In):
        if node.args.get("query") is not None:
            return None
        left, others = _inside(node.this), [_inside(one) for one in node.expressions]
    else:
        left, right = _inside(node.this), _inside(node.expression)
        left, others = (right, [left]) if isinstance(right, exp.Column) else (left, [right])
    if not isinstance(left, exp.Column) or isinstance(left.this, exp.Star) or not others:
        return None
    return left, others


def _inside(node: exp.Expr) -> exp.Expr:
    found: exp.Expr = node.unnest()
    return found


def _clause(node: exp.Expr) -> tuple[exp.Expr, int | None] | None:
    """The SELECT whose WHERE, or whose join of that number, has the comparison as a condition of its own."""
    below, above = node, node.parent
    while isinstance(above, exp.Paren | exp.And):
        below, above = above, above.parent
    if isinstance(above, exp.Where) and isinstance(above.parent, exp.Select):
        return above.parent, None
    if isinstance(above, exp.Join) and above.args.get("on") is below and isinstance(above.parent, exp.Select):
        joins = above.parent.args["joins"]
        return above.parent, next(place for place, one in enumerate(joins, start=1) if one is above)
    return None


def _losing(
    reference: exp.Column, select: exp.Expr, clause: int | None, view: View, grammar: Grammar, meant: Meant
) -> exp.Table | None:
    """The relation that the name is a column of, where the clause takes rows of it away that nothing brings back."""
    joins = select.args.get("joins") or []
    start = select.args.get("from_")
    if start is None:
        return None
    items: list[exp.Expr] = [start.this, *(join.this for join in joins)]
    sides = [""] + [str(join.args.get("side") or "").upper() for join in joins]
    places = [place for place, item in enumerate(items) if _has(item, reference, view, grammar, meant)]
    unsure = not reference.table and len(items) > 1 and any(_relation(item, meant) is None for item in items)
    if len(places) != 1 or unsure or _relation(items[places[0]], meant) is None:
        return None
    place = places[0]
    table = items[place]
    # up to which join rows that do not match come back with NULLs, if they do
    last = len(items) if clause is None else clause
    kept = sides[place] == "LEFT" or any(side == "RIGHT" for side in sides[place + 1 : last])
    own = place == clause
    if clause is not None:
        side = sides[clause]
        if place > clause or (side == "LEFT" and not own) or (side == "RIGHT" and own):
            return None
    return table if isinstance(table, exp.Table) and (own or not kept) else None


def _has(item: exp.Expr, reference: exp.Column, view: View, grammar: Grammar, meant: Meant) -> bool:
    if reference.table:
        return str(item.alias or item.name) == reference.table
    relation = _relation(item, meant)
    return relation is not None and _named(relation, reference.name, view, grammar) is not None


def _relation(item: exp.Expr, meant: Meant) -> Relation | None:
    return meant(item) if isinstance(item, exp.Table) else None


def _named(relation: Relation, name: str, view: View, grammar: Grammar) -> Column | None:
    rules = view.policy.tables[relation.qualified].columns
    known = (one for one in relation.columns if one.name in rules)
    if grammar.folds:
        return next((one for one in known if one.name.lower() == name.lower()), None)
    return next((one for one in known if one.name == name), None)
