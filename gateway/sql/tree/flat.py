"""SELECTs of search engines, whose SQL has no derived tables to put masks into: one SELECT from one index.

    SELECT email, status AS s FROM employees WHERE status = 'open' ORDER BY id
    SELECT "email" AS "gateway_1", "status" AS "gateway_2", "company_id" AS "gateway_scope"
      FROM "employees" WHERE (("company_id" = 42) AND ("status" = 'open')) ORDER BY "id"

Nothing of a masked column is ever computed with: it is selected as it is, and the gateway masks it in the answer.

INVARIANT: outside of the list of what is selected, and in every expression in it, there are clear columns only, and in
WHERE columns and constants alone. Aliases are the gateway's, so that none of the person's stands for a column in a
condition; what refers to an alias becomes what it is a name for. INVARIANT: of a relation with a scope, each row, or
group of rows, comes with a proof of whose it is: the customer itself, or the lowest and the highest one of the group,
and that none of its rows is without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from gateway.errors import GatewayError, Refusal
from gateway.policy import types
from gateway.policy.types import column_type
from gateway.sql.catalog import Relation
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree import allowed
from gateway.sql.tree.analysis import scope_text, subjects_of, without_literals
from gateway.sql.tree.flat_check import prove
from gateway.sql.tree.grammar import GRAMMARS, Grammar
from gateway.sql.tree.masks import literal_sql
from gateway.sql.tree.outputs import output_names
from gateway.sql.tree.reading import Read, read
from gateway.sql.tree.scopes import find, visible
from gateway.sql.tree.writing import CALLS, Writer, quoted

AGGREGATES = frozenset({"count", "sum", "avg", "min", "max"})
SCOPE = "scope"
GROUPED = ("lowest", "highest", "counted", "present")
"""The proofs of a group of rows: the least and the greatest customer, how many rows, how many of them have one."""
_COMPARED = (exp.Like, exp.In, exp.Between, exp.Is)
"""What has its column in front."""
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, *_COMPARED)
_CONSTANTS = (exp.Literal, exp.Null, exp.Boolean)
_CLAUSES = ("where", "group", "having", "order")
_PARTS = frozenset({"expressions", "from_", "limit", *_CLAUSES})
_NONE = (exp.Subquery, exp.Exists, exp.Join, exp.With, exp.Distinct)


@dataclass(frozen=True, slots=True)
class _Item:
    """One thing that is selected: what it is called, and the column that it is, empty for an expression."""

    name: str
    column: str
    node: exp.Expr


def analyse(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none. Pure."""
    grammar = GRAMMARS[view.policy.dialect]
    try:
        asked = read(text, grammar, view.limits)
        _judge_words(asked)
        allowed.judge(asked.tree, grammar)
        return _Statement(asked, view, grammar).plan()
    except GatewayError as error:
        return error.refusal
    except RecursionError:
        return Refusal("statement-too-complex", "the statement is nested too deeply")


class _Statement:
    def __init__(self, asked: Read, view: View, grammar: Grammar) -> None:
        self._asked, self._view, self._grammar = asked, view, grammar
        self._tree = asked.tree.copy()
        self._relation, self._alias = self._source()
        self._rules = view.policy.tables[self._relation.qualified].columns
        self._visible = visible(view, self._relation)
        self._items = tuple(self._selected())
        self._named = {one.name: one for one in self._items if isinstance(one.node.parent, exp.Alias)}
        self._grouped = self._is_grouped()

    def plan(self) -> Plan:
        """The plan. Raises: GatewayError."""
        for item in self._items:
            self._judge_item(item)
        for clause in _CLAUSES:
            part = self._tree.args.get(clause)
            if part is not None:
                self._judge_clause(clause, part)
        guards = self._guards()
        outgoing = self._written(guards)
        outputs = tuple((one.name, one.column) for one in self._items)
        prove(outgoing, outputs, guards, self._asked, self._view, self._grammar)
        return self._made(outgoing, outputs, guards)

    def _source(self) -> tuple[Relation, str]:
        tree = self._tree
        if not isinstance(tree, exp.Select) or any(part for name, part in tree.args.items() if name not in _PARTS):
            raise _unsupported("one plain SELECT is read here, without UNION, WITH, DISTINCT, joins and OFFSET",
                               "group instead of DISTINCT")  # fmt: skip
        if any(
            isinstance(node, _NONE) or (isinstance(node, exp.In) and node.args.get("query")) for node in tree.walk()
        ):
            raise _unsupported("sub-queries, joins and DISTINCT are not supported here")
        found = tree.args.get("from_")
        table = found.this if found is not None else None
        if not isinstance(table, exp.Table):
            raise _unsupported("a SELECT without FROM is not supported here", "name one relation")
        relation = find(self._view, table.db, table.name)
        if relation is None:
            raise GatewayError("relation-not-available", f"there is no relation `{table.name[:130]}`")
        return relation, table.alias or table.name

    def _selected(self) -> Iterator[_Item]:
        names = output_names(self._asked, self._grammar) or []
        for node, name in zip(self._tree.expressions, names, strict=True):
            inner = node.this if isinstance(node, exp.Alias) else node
            while isinstance(inner, exp.Paren):
                inner = inner.this
            if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
                self._judge_qualifier(inner)
                yield from (_Item(one, one, exp.column(one, quoted=True)) for one in self._visible)
            elif isinstance(inner, exp.Column):
                column = self._column(inner)
                yield _Item(node.alias if isinstance(node, exp.Alias) else column, column, inner)
            else:
                yield _Item(node.alias if isinstance(node, exp.Alias) else name, "", inner)

    def _judge_item(self, item: _Item) -> None:
        shown = item.name.lower()
        others = (one.name.lower() for one in self._relation.columns)
        if shown != item.column.lower() and (shown in others or shown == self._alias.lower()):
            raise _unsupported(f"`{item.name[:60]}` is a name for something else than the column of that name",
                               "give it a name of its own")  # fmt: skip
        if item.column and not self._grouped:
            return
        self._judge_clear(item.node)

    def _judge_clause(self, clause: str, part: exp.Expr) -> None:
        for column in list(part.find_all(exp.Column)):
            named = self._named.get(column.name) if not column.table else None
            if named is not None:
                column.replace(exp.Paren(this=named.node.copy()))
        if clause == "where":
            _judge_condition(part.this)
        for one in part.expressions if clause in {"group", "order"} else ():
            inner = one.this if isinstance(one, exp.Ordered) else one
            if not any(True for _ in inner.find_all(exp.Column)) and not self._has_aggregate(inner):
                raise _unsupported("places of columns are not supported here", "name the columns")
        self._judge_clear(part)

    def _judge_clear(self, part: exp.Expr) -> None:
        """Only columns in clear. Raises: GatewayError."""
        for column in part.find_all(exp.Column):
            name = self._column(column)
            if not self._is_clear(name):
                raise GatewayError(
                    "column-masked", f"`{name}` is masked: it can be selected as it is, and nothing else",
                    "leave it out of conditions, expressions, groups and orders",
                )  # fmt: skip

    def _column(self, column: exp.Expr) -> str:
        self._judge_qualifier(column)
        if column.name not in self._visible:
            raise GatewayError("column-not-available", f"there is no column `{column.name[:64]}`")
        return column.name

    def _judge_qualifier(self, node: exp.Expr) -> None:
        table = node.args.get("table")
        if table is not None and table.name != self._alias:
            raise GatewayError("column-not-available", f"there is no column `{table.name[:60]}.…`",
                               "fields of fields are not there")  # fmt: skip

    def _is_clear(self, name: str) -> bool:
        revealed = (self._relation.qualified, name) in self._view.reveal
        return revealed or self._rules[name].mask.kind == "clear"

    def _is_grouped(self) -> bool:
        tree = self._tree
        return bool(tree.args.get("group") or tree.args.get("having")) or self._has_aggregate(tree)

    def _has_aggregate(self, part: exp.Expr) -> bool:
        return any(str(one.this).lower() in AGGREGATES for one in part.find_all(*CALLS))

    def _guards(self) -> tuple[str, ...]:
        scope = self._view.policy.tables[self._relation.qualified].scope
        if scope.kind == "none":
            return ()
        if not self._grouped:
            return (SCOPE,)
        column = self._relation.column(scope.column)
        whole = column is not None and column_type(column.type, column.base).group == types.INTEGER
        if not whole or len(self._view.customers) != 1:
            raise _unsupported(
                "groups and aggregates are for tickets of one customer, and relations whose customer is a whole number",
                "select the rows themselves",
            )  # fmt: skip
        return GROUPED

    def _written(self, guards: tuple[str, ...]) -> str:
        mark, view = self._grammar.mark, self._view
        for column in self._tree.find_all(exp.Column):
            column.set("table", None)
        writer = Writer(self._grammar, lambda _table: quoted(self._relation.name, mark))
        values = (quoted(one.column, mark) if one.column else writer.value(one.node) for one in self._items)
        listed = [f"{one} AS {quoted(f'gateway_{place}', mark)}" for place, one in enumerate(values, start=1)]
        scope = view.policy.tables[self._relation.qualified].scope
        key = quoted(scope.column, mark) if guards else ""
        proofs = {SCOPE: key, "lowest": f"MIN({key})", "highest": f"MAX({key})", "counted": "COUNT(*)",
                  "present": f"COUNT({key})"}  # fmt: skip
        listed += [f"{proofs[one]} AS {quoted(f'gateway_{one}', mark)}" for one in guards]
        where = self._tree.args.get("where")
        conditions = [writer.value(where.this)] if where is not None else []
        if guards:
            of = self._relation.column(scope.column)
            assert of is not None, "the policy was checked: the column has a type"
            if not view.customers:
                raise GatewayError("customer-invalid", "the ticket names no customer")
            wanted = (f"({key} = {literal_sql(one, of, self._grammar.name)})" for one in view.customers)
            conditions.insert(0, f"({' OR '.join(wanted)})")
        text = f"SELECT {', '.join(listed)} FROM {quoted(self._relation.name, mark)}"
        text += f" WHERE {' AND '.join(conditions)}" if conditions else ""
        group, having, order, limit = (self._tree.args.get(one) for one in ("group", "having", "order", "limit"))
        text += f" GROUP BY {writer.values(group.expressions)}" if group is not None else ""
        text += f" HAVING {writer.value(having.this)}" if having is not None else ""
        text += f" {writer.order(order)}" if order is not None else ""
        return text + (f" LIMIT {writer.value(limit.expression)}" if limit is not None else "")

    def _made(self, outgoing: str, outputs: tuple[tuple[str, str], ...], guards: tuple[str, ...]) -> Plan:
        qualified, policy = self._relation.qualified, self._view.policy
        read = dict.fromkeys(one.name for one in self._tree.find_all(exp.Column) if one.name in self._visible)
        read |= dict.fromkeys(one.column for one in self._items if one.column)
        kinds: dict[str, list[str]] = {"clear": [], "masked": [], "revealed": []}
        for name in (one for one in self._visible if one in read):
            shown = (qualified, name) in self._view.reveal
            kind = "revealed" if shown else "clear" if self._is_clear(name) else "masked"
            kinds[kind].append(f"{qualified}.{name}")
        mark = self._grammar.mark
        text = Writer(self._grammar, lambda _table: quoted(self._relation.name, mark), normalised=True).query(
            self._asked.tree
        )
        return Plan(
            rewritten=outgoing,
            kinds=(Kind.READ,),
            verbs=("SELECT",),
            normalised=text,
            rewritten_normalised=without_literals(outgoing, self._grammar),
            fingerprint=hashlib.sha256(text.encode()).hexdigest()[:16],
            relations=(qualified,),
            columns_clear=tuple(kinds["clear"]),
            columns_masked=tuple(kinds["masked"]),
            columns_revealed=tuple(kinds["revealed"]),
            scope=(f"{qualified}: {scope_text(policy, qualified)}",),
            conceals=any(True for _ in self._asked.tree.find_all(exp.Literal)),
            subjects=subjects_of(self._asked.tree, policy),
            outputs=outputs,
            guards=guards,
        )


def _judge_condition(node: exp.Expr) -> None:
    """Columns are compared with constants only. Raises: GatewayError.

    FAIL CLOSED: anything else is a script to a search engine, which may run it on rows that the customer's condition
    has not left out yet: whether it fails would tell of them.
    """
    stack = [node]
    while stack:
        one = stack.pop()
        if isinstance(one, exp.Paren | exp.Not):
            stack.append(one.this)
        elif isinstance(one, exp.And | exp.Or):
            stack += [one.this, one.expression]
        else:
            sides = [one.args.get(name) for name in ("this", "expression", "low", "high")]
            sides = [_inside(side) for side in (*sides, *one.expressions) if side is not None]
            columns = [side for side in sides if isinstance(side, exp.Column)]
            others = [side for side in sides if not isinstance(side, (exp.Column, *_CONSTANTS))]
            first = isinstance(one, _COMPARED) and not isinstance(_inside(one.this), exp.Column)
            if not isinstance(one, _COMPARISONS) or len(columns) != 1 or others or first:
                raise _unsupported("a condition compares a column with constants here",
                                   "select the expression, or name the values")  # fmt: skip


def _inside(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren) or (isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal)):
        node = node.this
    return node


def _judge_words(asked: Read) -> None:
    if any(one.text in {"||", "&&", "!"} and one.token_type.name != "STRING" for one in asked.tokens):
        raise GatewayError("operator-not-allowed", "an operator is not known here", "write OR, AND, NOT")


def _unsupported(message: str, hint: str = "") -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
