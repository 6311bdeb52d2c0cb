"""The proof of an outgoing text of `flat.py`, from the text, the view, and the statement that the person wrote.

INVARIANT: it knows nothing of how the text was made. It proves that

1. the text is one SELECT from the one relation, of allowed parts, that selects under the gateway's names alone;
2. each thing that is selected is the column that the answer's masks take it for, or has clear columns only in it;
3. all other parts have clear columns only in them, but for the customer's condition, which is word for word ours, and
   the person's condition computes nothing;
4. the guards are there, and the SELECT groups if, and only if, they are those of groups;
5. what is selected, and what else is left, is, read by the same parser, the very tree of what the person wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.sql.catalog import Relation
from gateway.sql.statement import View
from gateway.sql.tree.grammar import Grammar
from gateway.sql.tree.masks import literal_sql
from gateway.sql.tree.reading import Read, read
from gateway.sql.tree.writing import BINARY, CALLS

_GROUPS = frozenset({"count", "sum", "avg", "min", "max"})
_NODES = (
    exp.Select, exp.From, exp.Table, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Alias,
    exp.Identifier, exp.Column, exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Neg, exp.Not, exp.Between, exp.In,
    exp.Case, exp.If, exp.Star, *CALLS, *BINARY,
)  # fmt: skip
_CONDITION = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.In,
    exp.Between, exp.Is, exp.Column, exp.Identifier, exp.Literal, exp.Neg, exp.Null, exp.Boolean,
)  # fmt: skip


def prove(
    outgoing: str, outputs: Sequence[tuple[str, str]], guards: Sequence[str], asked: Read, view: View, grammar: Grammar
) -> None:
    """Nothing, for a text that is proven. Raises: GatewayError `scope-not-provable`, or of what cannot be read.

    `outputs` and `guards` are what the answer will be taken for.
    """
    tree = read(outgoing, grammar, view.limits, ours=True).tree
    if not isinstance(tree, exp.Select) or any(not isinstance(node, _NODES) for node in tree.walk()):
        raise _unproven("it has a part that is not allowed")
    found = tree.args.get("from_")
    table, wanted = (found.this if found is not None else None), asked.tree.args["from_"].this
    relation = _relation(wanted, view)
    if not isinstance(table, exp.Table) or table.name != relation.name or table.db or table.alias or table.catalog:
        raise _unproven("it reads something else than the relation")
    clear = {
        name
        for name, rule in view.policy.tables[relation.qualified].columns.items()
        if rule.mask.kind == "clear" or (relation.qualified, name) in view.reveal
    }
    _judge_selected(tree, outputs, guards, relation, clear, view)
    conditions = _without_scope(tree, guards, relation, view, grammar)
    parts = [conditions, *(tree.args.get(one) for one in ("group", "having", "order", "limit"))]
    if any(one.name not in clear for part in parts if part is not None for one in part.find_all(exp.Column)):
        raise _unproven("a masked column stands in a condition, a group or an order")
    if conditions is not None and any(not isinstance(node, _CONDITION) for node in conditions.walk()):
        raise _unproven("a condition computes something")
    _judge_groups(tree, guards, relation, view)
    selected = _selected(tree.expressions[: len(outputs)], (), "")
    visible = tuple(one.name for one in relation.columns if one.name in view.policy.tables[relation.qualified].columns)
    alias = wanted.alias or wanted.name
    if selected != _selected(asked.tree.expressions, visible, alias) or [_bare(part, {}) for part in parts] != _meant(
        asked.tree
    ):
        raise _unproven("the statement would mean something else")


def _judge_selected(
    tree: exp.Expr, outputs: Sequence[tuple[str, str]], guards: Sequence[str], relation: Relation, clear: set[str],
    view: View,
) -> None:  # fmt: skip
    names = [f"gateway_{place + 1}" for place in range(len(outputs))] + [f"gateway_{one}" for one in guards]
    made = tree.expressions
    if len(made) != len(names) or any(
        not isinstance(node, exp.Alias) or node.alias != name for node, name in zip(made, names, strict=True)
    ):
        raise _unproven("it selects something else")
    for node, (_, column) in zip(made, outputs, strict=False):
        if column:
            if not isinstance(node.this, exp.Column) or node.this.name != column or node.this.table:
                raise _unproven("it selects another column")
            if column not in view.policy.tables[relation.qualified].columns:
                raise _unproven("it selects a column that does not exist for the person")
        elif any(one.name not in clear for one in node.this.find_all(exp.Column)):
            raise _unproven("a masked column stands in an expression")
    key = view.policy.tables[relation.qualified].scope.column
    proofs = {
        "scope": (None, key), "lowest": ("MIN", key), "highest": ("MAX", key), "counted": ("COUNT", "*"),
        "present": ("COUNT", key),
    }  # fmt: skip
    for node, one in zip(made[len(outputs) :], guards, strict=True):
        call, about = proofs[one]
        inner = node.this
        if call is not None:
            if not isinstance(inner, CALLS) or str(inner.this).upper() != call or len(inner.expressions) != 1:
                raise _unproven("a proof is missing")
            inner = inner.expressions[0]
        if (about == "*") != isinstance(inner, exp.Star) or (about != "*" and not _is_column(inner, about)):
            raise _unproven("a proof is missing")


def _judge_groups(tree: exp.Expr, guards: Sequence[str], relation: Relation, view: View) -> None:
    grouped = bool(tree.args.get("group") or tree.args.get("having"))
    calls = (one for node in tree.expressions for one in node.find_all(*CALLS))
    grouped = grouped or any(str(one.this).lower() in _GROUPS for one in calls)
    scope = view.policy.tables[relation.qualified].scope.kind
    wanted: tuple[str, ...] = ("lowest", "highest", "counted", "present") if grouped else ("scope",)
    if tuple(guards) != (() if scope == "none" else wanted) or (
        scope != "none" and grouped and len(view.customers) != 1
    ):
        raise _unproven("a proof is missing")


def _without_scope(
    tree: exp.Expr, guards: Sequence[str], relation: Relation, view: View, grammar: Grammar
) -> exp.Expr | None:
    """The person's condition, once the customer's was found in front of it."""
    where = tree.args.get("where")
    rule = view.policy.tables[relation.qualified].scope
    if rule.kind == "none":
        return where.this if where is not None else None
    column = relation.column(rule.column)
    if rule.kind != "customer" or column is None or where is None or not view.customers or not guards:
        raise _unproven("the customer's condition is missing")
    key = grammar.mark + rule.column + grammar.mark
    text = " OR ".join(f"({key} = {literal_sql(one, column, grammar.name)})" for one in view.customers)
    ours = read(f"SELECT 1 FROM x WHERE {text}", grammar, view.limits, ours=True).tree.args["where"].this
    first, rest = where.this, None
    if isinstance(first, exp.And):
        first, rest = first.this, first.expression
    if _bare(first, {}) != _bare(ours, {}):
        raise _unproven("the customer's condition is missing")
    return rest


def _selected(nodes: Sequence[exp.Expr], visible: Sequence[str], alias: str) -> list[Any]:
    """What is selected, without its names; `*` is all that is visible of the one relation."""
    found: list[Any] = []
    for node in nodes:
        inner = node.this if isinstance(node, exp.Alias) else node
        while isinstance(inner, exp.Paren):
            inner = inner.this
        starred = isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star) and inner.table == alias
        if isinstance(inner, exp.Star) or starred:
            found += [("column", one) for one in visible]
        else:
            found.append(_bare(inner, {}))
    return found


def _meant(tree: exp.Expr) -> list[Any]:
    """What the person's own clauses are, with what their aliases stand for."""
    named = {node.alias: node.this for node in tree.expressions if isinstance(node, exp.Alias)}
    where = tree.args.get("where")
    parts = [where.this if where is not None else None]
    parts += [tree.args.get(one) for one in ("group", "having", "order", "limit")]
    return [_bare(part, named) for part in parts]


def _bare(node: Any, named: dict[str, exp.Expr]) -> Any:
    """A tree as nested tuples: without parentheses, quotes and qualifiers."""
    if isinstance(node, list):
        return tuple(_bare(one, named) for one in node)
    if not isinstance(node, exp.Expr):
        return str(node).upper() if isinstance(node, str) else node
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        meant = named.get(node.name) if not node.table else None
        return _bare(meant, {}) if meant is not None else ("column", node.name)
    if isinstance(node, exp.Literal):
        return "literal", node.this, bool(node.is_string)
    given = {name: value for name, value in node.args.items() if value not in (None, False, [], "")}
    return type(node).__name__, tuple((name, _bare(given[name], named)) for name in sorted(given))


def _relation(table: Any, view: View) -> Relation:
    schemas = (table.db,) if table.db else view.search_path
    for schema in schemas:
        relation = view.catalog.relation(f"{schema}.{table.name}")
        if relation is not None and relation.qualified in view.policy.tables:
            return relation
    raise _unproven("a name stands for no relation")


def _is_column(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Column) and node.name == name and not node.table


def _unproven(why: str) -> GatewayError:
    return GatewayError("scope-not-provable", f"the rewriting could not be proven safe: {why}")
