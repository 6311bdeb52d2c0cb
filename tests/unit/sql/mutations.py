"""Every single change of an outgoing tree: parts dropped, doubled, exchanged and put in, words and numbers altered.

A rewriter that is wrong in one place writes the right tree with one of these changes in it. `harmless` says which of
them leave a statement that may run all the same, by a rule of its own.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.tree import POSITIONS, concrete, same, walk

Path = tuple[tuple[str, int], ...]

_WORDS = ("notes", "secrets", "id", "public", "employees", "secret")
_PUT = {
    "a hidden column": "t.notes",
    "a bare hidden column": "notes",
    "NULL": "NULL",
    "TRUE": "true",
    "another number": "7",
    "a row of a hidden relation": "(SELECT s.word FROM public.secrets s LIMIT 1)",
    "a setting": "current_setting('gateway.mask_inner')",
    "a call with its schema": "pg_catalog.current_setting('gateway.mask_inner')",
}
_EXPRESSIONS = frozenset(
    {"column_ref", "a_const", "func_call", "a_expr", "type_cast", "case_expr", "sub_link", "bool_expr", "null_test"}
    | {"coalesce_expr", "min_max_expr", "a_array_expr", "row_expr", "a_indirection", "collate_clause"}
)
_MOST_ITEMS = 4
# The deparser does not survive a tree without a part that the grammar demands: what may be missing, and how many items
# there must be (none where it is not said here; none is dropped from or added to a list of a fixed form).
_OPTIONAL = frozenset(
    [
        "SelectStmt.where_clause",
        "SelectStmt.having_clause",
        "SelectStmt.with_clause",
        "SelectStmt.limit_offset",
        "SelectStmt.limit_count",
        "FuncCall.agg_filter",
        "FuncCall.over",
        "RangeSubselect.alias",
        "RangeVar.alias",
        "RangeFunction.alias",
        "CaseExpr.arg",
        "CaseExpr.defresult",
        "JoinExpr.alias",
        "JoinExpr.join_using_alias",
        "JoinExpr.quals",
        "CommonTableExpr.search_clause",
        "CommonTableExpr.cycle_clause",
        "UpdateStmt.where_clause",
        "UpdateStmt.returning_clause",
        "DeleteStmt.where_clause",
        "DeleteStmt.returning_clause",
        "InsertStmt.returning_clause",
    ]
)
_FIXED = 9
_NONE = ["from_clause", "target_list", "group_clause", "sort_clause", "distinct_clause", "locking_clause"]
_LEAST = {
    **{f"SelectStmt.{name}": 0 for name in _NONE},
    **dict.fromkeys(("FuncCall.args", "Alias.colnames", "CommonTableExpr.aliascolnames", "TypeName.typmods"), 0),
    **dict.fromkeys(
        ("List.items", "A_Expr.name", "SubLink.oper_name", "TypeName.names", "RangeFunction.functions"), _FIXED
    ),
    "BoolExpr.args": 2,
}
_CLOSED = frozenset({"TypeName.typmods", "A_Expr.name"})
_ALIKE = {
    "BoolExpr.boolop": [{pb.AND_EXPR, pb.OR_EXPR}],
    "JoinExpr.jointype": [{pb.JOIN_INNER, pb.JOIN_LEFT, pb.JOIN_RIGHT, pb.JOIN_FULL}],
    "SubLink.sub_link_type": [
        {pb.EXISTS_SUBLINK, pb.EXPR_SUBLINK, pb.ARRAY_SUBLINK},
        {pb.ANY_SUBLINK, pb.ALL_SUBLINK},
    ],
    "NullTest.nulltesttype": [{pb.IS_NULL, pb.IS_NOT_NULL}],
    "BooleanTest.booltesttype": [{pb.IS_TRUE, pb.IS_NOT_TRUE, pb.IS_FALSE, pb.IS_NOT_FALSE, pb.IS_UNKNOWN}],
    "SelectStmt.op": [{pb.SETOP_UNION, pb.SETOP_INTERSECT, pb.SETOP_EXCEPT}],
    "CommonTableExpr.ctematerialized": [
        {pb.CTEMaterializeDefault, pb.CTEMaterializeAlways, pb.CTEMaterializeNever},
    ],
    "SortBy.sortby_dir": [{pb.SORTBY_DEFAULT, pb.SORTBY_ASC, pb.SORTBY_DESC}],
    "SortBy.sortby_nulls": [{pb.SORTBY_NULLS_DEFAULT, pb.SORTBY_NULLS_FIRST, pb.SORTBY_NULLS_LAST}],
    "A_Expr.kind": [
        {pb.AEXPR_OP_ANY, pb.AEXPR_OP_ALL},
        {pb.AEXPR_LIKE, pb.AEXPR_ILIKE},
        {pb.AEXPR_DISTINCT, pb.AEXPR_NOT_DISTINCT},
        {pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN, pb.AEXPR_BETWEEN_SYM, pb.AEXPR_NOT_BETWEEN_SYM},
    ],
    "MinMaxExpr.op": [{pb.IS_GREATEST, pb.IS_LEAST}],
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: where in the tree, of what kind, and what is done there."""

    path: Path
    kind: str
    action: str
    detail: str = ""


def mutations(tree: Any) -> Iterator[Mutation]:
    """All changes of a tree, without making them."""
    stack: list[tuple[Any, Path]] = [(tree, ())]
    while stack:
        message, path = stack.pop()
        name = type(message).__name__
        if type(message) is pb.Node:
            which = message.WhichOneof("node")
            if which in _EXPRESSIONS:
                yield from (Mutation(path, which, "put", what) for what in _PUT)
        if type(message) is pb.SelectStmt:
            yield from (Mutation(path, name, "clause", clause) for clause in _CLAUSES)
        for field, value in message.ListFields():
            if field.name in POSITIONS:
                continue
            kind = f"{name}.{field.name}"
            if field.message_type is None:
                if not field.is_repeated:
                    yield from _scalar(path, kind, field, value)
            elif field.is_repeated:
                least = _LEAST.get(kind, 1)
                for index, part in enumerate(value):
                    place = (*path, (field.name, index))
                    if index < _MOST_ITEMS and least < _FIXED:
                        if len(value) > least:
                            yield Mutation(place, kind, "drop")
                        yield Mutation(place, kind, "double")
                    if (
                        index < _MOST_ITEMS
                        and index + 1 < len(value)
                        and part.ListFields()
                        and value[index + 1].ListFields()
                    ):
                        yield Mutation(place, kind, "exchange")
                    if kind not in _CLOSED:
                        stack.append((part, place))
            else:
                if kind in _OPTIONAL:
                    yield Mutation((*path, (field.name, -1)), kind, "drop")
                stack.append((value, (*path, (field.name, -1))))


def _scalar(path: Path, kind: str, field: Any, value: Any) -> Iterator[Mutation]:
    place = (*path, (field.name, -1))
    if field.enum_type is not None:
        for alike in _ALIKE.get(kind, ()):
            if value in alike:
                yield from (Mutation(place, kind, "enum", str(number)) for number in alike if number != value)
    elif isinstance(value, bool):
        yield Mutation(place, kind, "flip")
    elif isinstance(value, int):
        yield Mutation(place, kind, "number", str(value + 1 if value < 1_000_000_000 else value - 1))
    elif isinstance(value, str):
        yield from (Mutation(place, kind, "word", word) for word in (*_WORDS, value + "x") if word != value)


def mutated(wanted: list[tuple[str, Mutation]]) -> list[str]:
    """Each text with its change in it, empty where that is no SQL or says the same.

    Made in another process, because the deparser does not survive every tree; the next one takes up behind it.
    """
    made: list[str] = []
    context = multiprocessing.get_context("spawn")
    while len(made) < len(wanted):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_send, args=(wanted[len(made) :], sender))
        child.start()
        sender.close()
        with suppress(EOFError):
            while True:
                made.append(receiver.recv())
        child.join()
        receiver.close()
        if len(made) < len(wanted):
            made.append("")
    return made


def _send(wanted: list[tuple[str, Mutation]], sender: Connection) -> None:
    for text, mutation in wanted:
        sender.send(_mutated(text, mutation))
    sender.close()


def _mutated(text: str, mutation: Mutation) -> str:
    tree = postgast.parse(text)
    _apply(tree, mutation)
    try:
        changed = str(postgast.deparse(tree))
        again = postgast.parse(changed)
    except postgast.PgQueryError:
        return ""
    return "" if same(postgast.parse(text), again) else changed


def _apply(tree: Any, mutation: Mutation) -> None:
    *above, (name, index) = mutation.path or [("", -1)]
    holder = tree
    for step, at in above:
        holder = getattr(holder, step) if at < 0 else getattr(holder, step)[at]
    target = tree if not mutation.path else getattr(holder, name) if index < 0 else getattr(holder, name)[index]
    if mutation.action == "put":
        target.CopyFrom(
            postgast.parse(f"SELECT {_PUT[mutation.detail]}").stmts[0].stmt.select_stmt.target_list[0].res_target.val
        )
    elif mutation.action == "clause":
        _CLAUSES[mutation.detail](target)
    elif mutation.action == "drop":
        if index < 0:
            holder.ClearField(name)
        else:
            del getattr(holder, name)[index]
    elif mutation.action == "double":
        getattr(holder, name).add().CopyFrom(target)
    elif mutation.action == "exchange":
        items = getattr(holder, name)
        first, second = type(target)(), type(target)()
        first.CopyFrom(items[index])
        second.CopyFrom(items[index + 1])
        items[index].CopyFrom(second)
        items[index + 1].CopyFrom(first)
    elif mutation.action == "flip":
        setattr(holder, name, not target)
    else:
        setattr(holder, name, mutation.detail if mutation.action == "word" else int(mutation.detail))


def _from(sql: str) -> Any:
    return postgast.parse(sql).stmts[0].stmt.select_stmt


def _where(select: Any, operator: int, sql: str) -> None:
    made = pb.Node()
    made.bool_expr.boolop = operator
    if select.HasField("where_clause"):
        made.bool_expr.args.add().CopyFrom(select.where_clause)
    made.bool_expr.args.add().CopyFrom(_from(f"SELECT {sql}").target_list[0].res_target.val)
    select.where_clause.CopyFrom(made if len(made.bool_expr.args) > 1 else made.bool_expr.args[0])


def _united(select: Any, operator: int) -> None:
    other, before = _from("SELECT * FROM public.secrets"), pb.SelectStmt()
    before.CopyFrom(select)
    select.Clear()
    select.op, select.all, select.limit_option = operator, True, pb.LIMIT_OPTION_DEFAULT
    select.larg.CopyFrom(before)
    select.rarg.CopyFrom(other)


_CLAUSES: dict[str, Any] = {
    "a hidden relation in FROM": lambda one: one.from_clause.extend(_from("SELECT FROM public.secrets s").from_clause),
    "a relation of the policy in FROM": lambda one: one.from_clause.extend(
        _from("SELECT FROM public.companies").from_clause
    ),
    "a catalog in FROM": lambda one: one.from_clause.extend(_from("SELECT FROM pg_catalog.pg_authid").from_clause),
    "rows in FROM": lambda one: one.from_clause.extend(_from("SELECT FROM (VALUES (1)) z").from_clause),
    "a column more": lambda one: one.target_list.extend(_from("SELECT t.notes AS notes").target_list),
    "a star more": lambda one: one.target_list.extend(_from("SELECT *").target_list),
    "OR TRUE": lambda one: _where(one, pb.OR_EXPR, "true"),
    "a condition on a hidden column": lambda one: _where(one, pb.AND_EXPR, "t.notes = 'x'"),
    "a condition on a visible column": lambda one: _where(one, pb.AND_EXPR, "t.id = 5"),
    "an EXISTS of a hidden relation": lambda one: _where(one, pb.AND_EXPR, "EXISTS (SELECT 1 FROM public.secrets)"),
    "LIMIT": lambda one: one.limit_count.CopyFrom(_from("SELECT LIMIT 1").limit_count),
    "OFFSET": lambda one: one.limit_offset.CopyFrom(_from("SELECT OFFSET 1").limit_offset),
    "ORDER BY": lambda one: one.sort_clause.extend(_from("SELECT ORDER BY 1").sort_clause),
    "GROUP BY": lambda one: one.group_clause.extend(_from("SELECT GROUP BY 1").group_clause),
    "HAVING": lambda one: one.having_clause.CopyFrom(_from("SELECT 1 HAVING true").having_clause),
    "DISTINCT": lambda one: one.distinct_clause.extend(_from("SELECT DISTINCT 1").distinct_clause),
    "FOR UPDATE": lambda one: one.locking_clause.extend(_from("SELECT 1 FROM x FOR UPDATE").locking_clause),
    "INTO": lambda one: one.into_clause.CopyFrom(_from("SELECT 1 INTO x").into_clause),
    "WITH": lambda one: one.with_clause.MergeFrom(_from("WITH employees AS (SELECT 1) SELECT").with_clause),
    "a WITH item that writes": lambda one: one.with_clause.MergeFrom(
        _from("WITH z AS (DELETE FROM public.secrets RETURNING 1) SELECT").with_clause
    ),
    "UNION of a hidden relation": lambda one: _united(one, pb.SETOP_UNION),
    "EXCEPT of a hidden relation": lambda one: _united(one, pb.SETOP_EXCEPT),
}


def harmless(text: str, changed: str, clear: frozenset[str]) -> bool:
    """Whether two outgoing texts differ in nothing but copies of conditions inside derived tables.

    A condition that was copied inside stands outside as well, so that it may be missing, or stand in another order.
    """
    return same(_without_copies(text, clear), _without_copies(changed, clear))


def _without_copies(text: str, clear: frozenset[str]) -> Any:
    tree = postgast.parse(text)
    for message in walk(tree):
        if type(message) is not pb.RangeSubselect:
            continue
        select = concrete(message.subquery)
        if type(select) is not pb.SelectStmt or len(select.from_clause) != 1 or not select.HasField("where_clause"):
            continue
        if concrete(select.from_clause[0]) is None or select.from_clause[0].range_var.alias.aliasname != "t":
            continue
        condition = select.where_clause.bool_expr
        if condition.boolop == pb.AND_EXPR:
            kept = [one for one in condition.args if not _copied(one, clear)]
            if len(kept) == 1:
                select.where_clause.CopyFrom(kept[0])
            elif kept:
                made = pb.Node()
                made.bool_expr.boolop = pb.AND_EXPR
                made.bool_expr.args.extend(kept)
                select.where_clause.CopyFrom(made)
    return tree


def _copied(node: Any, clear: frozenset[str]) -> bool:
    """Whether a condition is `t.column operator constants` for a column that is shown as it is."""
    condition = concrete(node)
    if type(condition) is not pb.A_Expr or len(condition.name) != 1:
        return False
    sides = (concrete(condition.lexpr), concrete(condition.rexpr))
    names = [[part.string.sval for part in side.fields] for side in sides if type(side) is pb.ColumnRef]
    return len(names) == 1 and names[0][0] == "t" and names[0][-1] in clear
