"""The check of sums over hidden columns: which calls must have become sums of true values, under their group's test.

INVARIANT: it shares no rule with `sums.py`. It asks, of each call by itself, whether the SELECT around it can be
answered row by row from one relation: then that relation's derived table must yield the true value, and nothing but
the words that are put together here can name it.

Data that both have: the names of functions (`steady.py`), and how values are made fit for sums (`masks.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from gateway.policy.schema import ColumnRule
from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import subject_sql, summable_sql
from gateway.sql.tree.steady import EXTREMES, STEADY, SUMS

Meant = Callable[[exp.Table], Relation | None]
"""The relation of the policy that a name in FROM stands for."""

_SAFE = (
    exp.Binary, exp.Unary, exp.Condition, exp.Alias, exp.Identifier, exp.Star, exp.If, exp.Var, exp.Distinct, exp.Where,
    exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.GroupConcat, exp.Interval,
)  # fmt: skip
_WHOLE = (exp.Query, exp.Exists, exp.Window, exp.Tuple)
"""What looks at more than a row, or at another relation, though it is among those."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a call must have become: `function` of true values of the column of that number, for groups of `least`."""

    alias: str
    number: int
    least: int
    function: str

    @property
    def text(self) -> str:
        """Its words."""
        whose, raw = (f"`{self.alias}`.`gateway_{what}_{self.number}`" for what in ("whose", "raw"))
        return f"CASE WHEN COUNT(DISTINCT {whose}) >= {self.least} THEN {self.function}({raw}) END"


@dataclass(slots=True)
class Wanted:
    """The calls that must have changed, and the true columns that each Table node must yield, by their identity."""

    calls: dict[int, Call] = field(default_factory=dict)
    columns: dict[int, list[Column]] = field(default_factory=dict)

    def of(self, table: exp.Table, relation: Relation, view: View) -> tuple[tuple[str, str], ...]:
        """What the derived table must yield besides the relation's columns, inside and outside."""
        rules = view.policy.tables[relation.qualified].columns
        found: list[tuple[str, str]] = []
        for column in sorted(self.columns.get(id(table), ()), key=lambda one: one.number):
            value, whose = f"gateway_raw_{column.number}", f"gateway_whose_{column.number}"
            rule = rules[column.name].aggregate
            assert rule is not None
            taken = summable_sql(f"`gateway_q`.`{value}`", column)
            found += [
                (f"`gateway_t`.`{column.name}` AS `{value}`", f"{taken} AS `{value}`"),
                (f"`gateway_t`.`{rule.subject}` AS `{whose}`",
                 f"{subject_sql(taken, f'`gateway_q`.`{whose}`')} AS `{whose}`"),
            ]  # fmt: skip
        return tuple(found)


def wanted(tree: exp.Expr, view: View, grammar: Grammar, meant: Meant) -> Wanted:
    """What of a statement's calls must take true values."""
    found = Wanted()
    if not grammar.own:
        return found
    for select in tree.find_all(exp.Select):
        table = _alone(select, meant)
        relation = meant(table) if table is not None else None
        if table is None or relation is None or not _row_by_row(select, table, relation, view):
            continue
        for clause in ("expressions", "where", "group", "having", "order"):
            for part in _parts(select, clause):
                for call in part.find_all(exp.Anonymous):
                    _take(call, table, relation, view, found)
    return found


def _take(call: exp.Anonymous, table: exp.Table, relation: Relation, view: View, found: Wanted) -> None:
    function = str(call.this)
    column = next((one for one in relation.columns if one.name.lower() == _argument(call).lower()), None)
    rule = view.policy.tables[relation.qualified].columns.get(column.name) if column is not None else None
    if column is None or rule is None or not _is_hidden(rule, relation, column, view) or rule.aggregate is None:
        return
    extreme = function.lower() in EXTREMES and rule.aggregate.extremes
    if function.lower() not in SUMS and not extreme:
        return
    found.calls[id(call)] = Call(table.alias or table.name, column.number, rule.aggregate.min_group, function)
    yielded = found.columns.setdefault(id(table), [])
    if column not in yielded:
        yielded.append(column)


def _is_hidden(rule: ColumnRule, relation: Relation, column: Column, view: View) -> bool:
    return rule.mask.kind != "clear" and (relation.qualified, column.name) not in view.reveal


def _alone(select: exp.Expr, meant: Meant) -> exp.Table | None:
    """The one relation of a SELECT that has nothing else to read."""
    start = select.args.get("from_")
    if start is None or select.args.get("joins") or select.args.get("with_"):
        return None
    return start.this if isinstance(start.this, exp.Table) and meant(start.this) is not None else None


def _row_by_row(select: exp.Expr, table: exp.Table, relation: Relation, view: View) -> bool:
    known = {name.lower() for name in view.policy.tables[relation.qualified].columns}
    known &= {column.name.lower() for column in relation.columns}
    given = {one.alias.lower() for one in select.expressions if isinstance(one, exp.Alias)}
    for clause, part in select.args.items():
        if clause == "from_":
            continue
        late = clause in {"group", "having", "order"}
        for node in [one for below in _parts(select, clause) for one in below.walk()] if part else ():
            if not isinstance(node, _SAFE) or isinstance(node, _WHOLE):
                return False
            if isinstance(node, exp.Anonymous) and str(node.this).lower() not in STEADY:
                return False
            if isinstance(node, exp.Column) and (
                isinstance(node.this, exp.Star)
                or node.table not in {"", table.alias or table.name}
                or node.name.lower() not in (known | given if late and not node.table else known)
            ):
                return False
            if isinstance(node, exp.Star) and not _is_counted(node):
                return False
    return True


def _parts(select: exp.Expr, clause: str) -> list[exp.Expr]:
    part = select.args.get(clause)
    return [one for one in (part if isinstance(part, list) else [part]) if isinstance(one, exp.Expr)]


def _is_counted(star: exp.Expr) -> bool:
    return isinstance(star.parent, exp.Anonymous) and str(star.parent.this).lower() == "count"


def _argument(call: exp.Anonymous) -> str:
    """The name of the column that is all of a call's arguments; empty for others."""
    if len(call.expressions) != 1:
        return ""
    only = call.expressions[0].unnest()
    return str(only.name) if isinstance(only, exp.Column) and not isinstance(only.this, exp.Star) else ""
