"""Exact searches: which conditions of a person's are asked of the true values of masked columns.

`where email = 'x@example.com'` becomes TRUE, and the comparison moves into the relation's derived table, beside the
scope. It must be `column = constant` or `column IN (constants)`, alone or joined by AND, of a column that the policy
lets be searched; and every row that it takes away there would be taken away outside as well: in WHERE and behind the ON
of inner joins, and behind that of an outer join on its optional side.

INVARIANT: nothing else reaches a true value. What is not of that form sees the mask, and a notice says so.

`check_search.py` finds the same searches again, by rules of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from gateway.sql import notices
from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import Notice, RawUse, View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.scopes import Names, alias_of, sources, visible
from gateway.sql.tree.sought import MOST_VALUES, sought_sql
from gateway.sql.tree.writing import marked, quoted

_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike, exp.In, exp.Between,
             exp.NullSafeEQ, exp.RegexpLike)  # fmt: skip


@dataclass(slots=True)
class Searches:
    """What was found: the tests of each Table node, and the comparisons that become TRUE, by their identity."""

    tests: dict[int, list[str]] = field(default_factory=dict)
    moved: set[int] = field(default_factory=set)
    uses: list[RawUse] = field(default_factory=list)
    notices: dict[str, Notice] = field(default_factory=dict)


def find(tree: exp.Expr, names: Names, view: View, grammar: Grammar, raw: str) -> Searches:
    """The searches of a statement whose names are known; `raw` is what a relation is called in its derived table."""
    found = _Finding(names, view, grammar, raw, _aliases(tree))
    for select in tree.find_all(exp.Select):
        found.search(select)
    for node in tree.find_all(*_COMPARED):
        if id(node) not in found.searches.moved:
            found.note(node)
    return found.searches


class _Finding:
    def __init__(self, names: Names, view: View, grammar: Grammar, raw: str, aliases: frozenset[str]) -> None:
        self._names, self._view, self._grammar, self._raw, self._aliases = names, view, grammar, raw, aliases
        self.searches = Searches()

    def search(self, select: exp.Expr) -> None:
        """Move the searches of one SELECT."""
        items = list(sources(select))
        if select.args.get("from_") is None:
            return
        reach = items[:1]
        for join, item in zip(select.args.get("joins") or (), items[1:], strict=True):
            side = str(join.args.get("side") or "").upper()
            both = [*reach, item]
            below = {"LEFT": [item], "RIGHT": reach}.get(side, both)
            self._settle(join.args.get("on"), items, below)
            reach = {"LEFT": reach, "RIGHT": [item]}.get(side, both)
        where = select.args.get("where")
        self._settle(where.this if where is not None else None, items, reach)

    def _settle(self, condition: exp.Expr | None, items: list[exp.Expr], eligible: list[exp.Expr]) -> None:
        for node in _conjuncts(condition):
            column, values = _parts(node)
            if column is None:
                continue
            item, meant = self._meant(column, items)
            if item is None or meant is None or not any(item is one for one in eligible):
                continue
            relation = self._names.relations[id(item)]
            rule = self._view.policy.tables[relation.qualified].columns[meant.name]
            if rule.search != "exact" or not self._is_masked(relation, meant):
                continue
            texts = [sought_sql(one, meant, self._grammar.name, marked(one)) for one in values]
            if len(texts) > MOST_VALUES or None in texts:
                continue
            here = f"{quoted(self._raw)}.{quoted(meant.name)}"
            joined = ", ".join(str(one) for one in texts)
            test = f"{here} = {joined}" if isinstance(node, exp.EQ) else f"{here} IN ({joined})"
            self.searches.tests.setdefault(id(item), []).append(test)
            self.searches.moved.add(id(node))
            self.searches.uses += [RawUse(relation.qualified, meant.name)] * len(texts)

    def _meant(self, column: exp.Column, items: list[exp.Expr]) -> tuple[exp.Expr | None, Column | None]:
        """The relation's column that a name stands for; nothing where that is for the server to say."""
        relations = self._names.relations
        if column.table:
            having = [one for one in items if alias_of(one) == column.table]
        else:
            # a name of an output, or of a query's column, may be meant in some dialects
            if (not self._grammar.own and self._fold(column.name) in self._aliases) or (
                len(items) > 1 and any(id(one) not in relations for one in items)
            ):
                return None, None
            having = [one for one in items if id(one) in relations and self._column(relations[id(one)], column.name)]
        if len(having) != 1 or id(having[0]) not in relations:
            return None, None
        return having[0], self._column(relations[id(having[0])], column.name)

    def _column(self, relation: Relation, name: str) -> Column | None:
        for shown in visible(self._view, relation):
            if self._fold(shown) == self._fold(name):
                return relation.column(shown)
        return None

    def _is_masked(self, relation: Relation, column: Column) -> bool:
        rule = self._view.policy.tables[relation.qualified].columns[column.name]
        return rule.mask.kind != "clear" and (relation.qualified, column.name) not in self._view.reveal

    def note(self, node: exp.Expr) -> None:
        """Say of a comparison that it saw masked values."""
        for side in map(_bare, node.iter_expressions()):
            if not isinstance(side, exp.Column) or isinstance(side.this, exp.Star):
                continue
            select = side.find_ancestor(exp.Select)
            if select is None:
                continue
            item, column = self._meant(side, list(sources(select)))
            if item is None or column is None or not self._is_masked(self._names.relations[id(item)], column):
                continue
            relation = self._names.relations[id(item)].qualified
            name = f"{relation}.{column.name}"
            rule = self._view.policy.tables[relation].columns[column.name]
            self.searches.notices[name] = notices.compared(name, rule)

    def _fold(self, name: str) -> str:
        return name.lower() if self._grammar.folds else name


def _conjuncts(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.And):
            stack += [node.expression, node.this]
        elif isinstance(node, exp.Paren):
            stack.append(node.this)
        elif node is not None:
            yield node


def _parts(node: exp.Expr) -> tuple[exp.Column | None, list[exp.Expr]]:
    """The column and the constants of a comparison that may be a search."""
    if isinstance(node, exp.In):
        sides = [node.this, *([] if node.args.get("query") is not None else node.expressions)]
    elif isinstance(node, exp.EQ):
        sides = [node.this, node.expression]
        if isinstance(_bare(sides[1]), exp.Column):
            sides.reverse()
    else:
        return None, []
    column, *values = map(_bare, sides)
    if not isinstance(column, exp.Column) or isinstance(column.this, exp.Star) or not values:
        return None, []
    return column, values


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _aliases(tree: exp.Expr) -> frozenset[str]:
    return frozenset(one.alias for one in tree.find_all(exp.Alias))
