"""Sums over hidden columns in MySQL's SQL: which calls take true values, and what stands in their place.

`avg(e.salary)` leaves as

    CASE WHEN COUNT(DISTINCT `e`.`gateway_whose_7`) >= 5 THEN avg(`e`.`gateway_raw_7`) END

where the derived table `e` yields the two columns more: the true value, and whose it is (NULL where there is none). The
rules are those of PostgreSQL's room (`postgres/aggregates.py`).

INVARIANT: true values are summed only in a SELECT that is *closed*: it reads one relation of the policy and nothing
else, each reference in it names a visible column of that relation, or an output of its own, and all that it calls gives
the same for the same row. So no expression of the person's reaches the two columns, and no two groups of one SELECT
have a row in common.
FAIL CLOSED: everything else sees the mask, with a notice.

`check_sums.py` proves this again, with rules of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from gateway.policy.schema import AggregateRule
from gateway.sql import notices
from gateway.sql.catalog import Column, Relation
from gateway.sql.statement import Notice, RawUse, View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import subject_sql, summable_sql
from gateway.sql.tree.scopes import Names, alias_of, sources, visible
from gateway.sql.tree.steady import AGGREGATES, EXTREMES, STEADY, SUMS
from gateway.sql.tree.writing import BINARY, quoted

_CLAUSES = frozenset(
    {"expressions", "from_", "where", "group", "having", "distinct", "order", "limit", "offset", "operation_modifiers"}
)
_NAMING = (exp.Group, exp.Having, exp.Order)
"""Where a name may be that of an output."""
_NODES = (
    *BINARY, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Neg,
    exp.Not, exp.Between, exp.In, exp.Case, exp.If, exp.Interval, exp.Var, exp.Cast, exp.Extract, exp.GroupConcat,
    exp.Escape, exp.Collate, exp.Distinct, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit,
    exp.Offset, exp.Placeholder, exp.Xor, exp.RegexpLike, exp.Anonymous,
    exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseLeftShift, exp.BitwiseRightShift, exp.BitwiseNot,
)  # fmt: skip


@dataclass(slots=True)
class Sums:
    """What was found: what the derived table of each Table node yields besides its columns, as pairs of what stands in
    its inner and in its outer SELECT, and what stands in the place of calls, both by their identity.
    """

    yielded: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    instead: dict[int, str] = field(default_factory=dict)
    uses: list[RawUse] = field(default_factory=list)
    notices: dict[str, Notice] = field(default_factory=dict)


def find(tree: exp.Expr, names: Names, view: View, grammar: Grammar, rows: str, raw: str) -> Sums:
    """The sums of a statement whose names are known; `rows` and `raw` are the aliases inside of derived tables."""
    found = Sums()
    if grammar.own:
        for select in tree.find_all(exp.Select):
            _survey(select, names, view, (rows, raw), found)
    return found


def _survey(select: exp.Expr, names: Names, view: View, aliases: tuple[str, str], found: Sums) -> None:
    inside = list(_within(select))
    calls = [one for one in inside if isinstance(one, exp.GroupConcat) or _name(one) in AGGREGATES]
    relations = [(one, names.relations[id(one)]) for one in sources(select) if id(one) in names.relations]
    if not calls or not any(
        _rule(view, relation, name) for _, relation in relations for name in visible(view, relation)
    ):
        return
    closed = _is_closed(select, inside, relations, view)
    columns: dict[str, tuple[Column, AggregateRule]] = {}
    counted: set[str] = set()
    for call in calls:
        column = _summed(call, relations[0][1], view) if closed else None
        rule = _rule(view, relations[0][1], column.name) if column is not None else None
        if column is None or rule is None:
            _note_masked(call, relations, view, found)
            continue
        qualified = relations[0][1].qualified
        if _name(call) in EXTREMES or column.name not in counted:
            found.uses.append(RawUse(qualified, column.name, summed=True))
        if _name(call) in SUMS:
            counted.add(column.name)
        columns[column.name] = column, rule
        of = quoted(alias_of(relations[0][0]))
        whose, value = (f"{of}.{quoted(f'gateway_{what}_{column.number}')}" for what in ("whose", "raw"))
        found.instead[id(call)] = (
            f"CASE WHEN COUNT(DISTINCT {whose}) >= {rule.min_group} THEN {call.this}({value}) END"
        )  # fmt: skip
        name = f"{qualified}.{column.name}"
        found.notices[f"{name} groups"] = notices.summed(name, rule)
    for column, rule in sorted(columns.values(), key=lambda one: one[0].number):
        found.yielded.setdefault(id(relations[0][0]), []).extend(_pairs(relations[0][1], column, rule, *aliases))


def _pairs(
    relation: Relation, column: Column, rule: AggregateRule, rows: str, raw: str
) -> Iterator[tuple[str, str]]:  # fmt: skip
    subject = next(one for one in relation.columns if one.name == rule.subject)
    value = quoted(f"gateway_raw_{column.number}")
    whose = quoted(f"gateway_whose_{column.number}")
    summable = summable_sql(f"{quoted(rows)}.{value}", column)
    yield f"{quoted(raw)}.{quoted(column.name)} AS {value}", f"{summable} AS {value}"
    told = subject_sql(summable, f"{quoted(rows)}.{whose}")
    yield f"{quoted(raw)}.{quoted(subject.name)} AS {whose}", f"{told} AS {whose}"


def _is_closed(
    select: exp.Expr, inside: list[exp.Expr], relations: list[tuple[exp.Expr, Relation]], view: View
) -> bool:
    if not {name for name, part in select.args.items() if part} <= _CLAUSES or len(relations) != 1:
        return False
    alias, shown = alias_of(relations[0][0]), {name.lower() for name in visible(view, relations[0][1])}
    outputs = {one.alias.lower() for one in select.expressions if isinstance(one, exp.Alias)}
    for node in inside:
        if not isinstance(node, _NODES):
            return False
        if isinstance(node, exp.Star) and _name(node.parent) != "count":
            return False
        if isinstance(node, exp.Anonymous) and _name(node) not in STEADY:
            return False
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            above = node.find_ancestor(*_NAMING, exp.Select)
            output = not node.table and isinstance(above, _NAMING) and node.name.lower() in outputs
            if not output and not (node.table in {"", alias} and node.name.lower() in shown):
                return False
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            return False
    return True


def _within(select: exp.Expr) -> Iterator[exp.Expr]:
    """What is in a SELECT, its FROM apart, and the queries in it without what is in those."""
    stack = [one for name, part in select.args.items() if name not in {"from_", "joins"} for one in _listed(part)]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, exp.Select | exp.Union | exp.Subquery):
            stack.extend(node.iter_expressions())


def _listed(part: object) -> list[exp.Expr]:
    return [one for one in (part if isinstance(part, list) else [part]) if isinstance(one, exp.Expr)]


def _summed(call: exp.Expr, relation: Relation, view: View) -> Column | None:
    """The hidden column whose true values a call may take; it has the column for its argument, and nothing more."""
    name = _name(call)
    if name not in SUMS | EXTREMES or len(call.expressions) != 1:
        return None
    argument = call.expressions[0].unnest()
    if not isinstance(argument, exp.Column) or isinstance(argument.this, exp.Star):
        return None
    column = next((one for one in relation.columns if one.name.lower() == argument.name.lower()), None)
    rule = _rule(view, relation, column.name) if column is not None else None
    return column if rule is not None and (name in SUMS or rule.extremes) else None


def _rule(view: View, relation: Relation, name: str) -> AggregateRule | None:
    rule = view.policy.tables[relation.qualified].columns.get(name)
    if rule is None or rule.mask.kind == "clear" or (relation.qualified, name) in view.reveal:
        return None
    return rule.aggregate


def _note_masked(call: exp.Expr, relations: list[tuple[exp.Expr, Relation]], view: View, found: Sums) -> None:
    for column in call.find_all(exp.Column):
        for table, relation in relations:
            if column.table not in {"", alias_of(table)}:
                continue
            for name in visible(view, relation):
                rule = _rule(view, relation, name)
                if rule is not None and name.lower() == column.name.lower():
                    said = f"{relation.qualified}.{name}"
                    functions = f"count, sum, avg, stddev, variance{', min, max' if rule.extremes else ''}"
                    found.notices[f"{said} aggregate"] = notices.masks_summed(said, functions)


def _name(node: exp.Expr | None) -> str:
    return str(node.this).lower() if isinstance(node, exp.Anonymous) else ""
