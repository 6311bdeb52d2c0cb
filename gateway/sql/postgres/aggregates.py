"""Sums over hidden columns: which aggregates of a SELECT may take raw values, and what stands in their place.

`avg(e.salary)` leaves as

    CASE WHEN count(DISTINCT e."gateway subject 7") >= 5 THEN avg(e."gateway raw 7") END

where the derived table `e` yields the two columns more: the raw value, and whose it is (NULL where there is none).

INVARIANT: raw values are summed only in a SELECT that is *closed*: it reads one relation of the policy and nothing
else, each reference in it names a visible column of that relation, and all that it calls gives the same for the same
row. So it has one answer wherever it stands and however often it runs, no expression of the user's reaches the two
columns, and its groups have no row in common: nobody can be isolated by comparing groups of one SELECT.
FAIL CLOSED: everything else (joins, sub-queries, FILTER, DISTINCT, windows, GROUPING SETS, arithmetics on the column)
sees the mask, with a notice. So do `min`, `max` and percentiles unless the policy says `extremes: true`, since their
answer is one person's value; each of those is counted as a use of its own.

`check_aggregates.py` proves this again from the outgoing text, with rules of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import postgast
from postgast import pg_query_pb2 as pb

from gateway.policy.schema import AggregateRule
from gateway.sql import notices, render
from gateway.sql.postgres import functions
from gateway.sql.postgres.lens import ALIAS, Shown, Table, identifier
from gateway.sql.postgres.parse import expression
from gateway.sql.postgres.tree import Message, Node, concrete, parts, texts, walk, words
from gateway.sql.statement import RawUse

if TYPE_CHECKING:
    from gateway.sql.postgres.rewrite import Env, Rewriter

_CLAUSES = words(
    "distinct_clause target_list from_clause where_clause group_clause having_clause sort_clause"
    " limit_offset limit_count limit_option op"
)
_NODES = words(
    """
    ResTarget ColumnRef FuncCall TypeCast TypeName A_Const A_Expr BoolExpr NullTest BooleanTest CaseExpr CaseWhen
    CoalesceExpr MinMaxExpr List SortBy String Integer Float Boolean ParamRef SQLValueFunction
    """
)
_TYPES = words(
    """
    int2 int4 int8 numeric float4 float8 text varchar bpchar bool date timestamp timestamptz interval uuid
    smallint integer bigint decimal real
    """
)
_BARE = words("funcname args funcformat location")
_WITHIN = words("agg_order agg_within_group")


def survey(rewriter: Rewriter, select: Message, env: Env) -> None:
    """Note what of a SELECT, before its relations are replaced, takes raw values; the others get a notice.

    What was noted is in `rewriter.guarded` (calls by their place) and `rewriter.summed` (columns by their relation's).
    """
    if not rewriter.lens.aggregates:
        return
    calls = [one for one in _within(select) if type(one) is pb.FuncCall and _name(one) in functions.AGGREGATES]
    if not calls:
        return
    relations = _relations(rewriter, select, env)
    if not any(shown.rule.aggregate for _, table in relations for shown in table.columns.values()):
        return
    taken = _closed(rewriter, select, env)
    columns: dict[str, Shown] = {}
    sums: set[str] = set()
    for call in calls:
        shown = _summed(call, relations[0]) if taken else None
        if shown is None or shown.rule.aggregate is None:
            _note_masked(rewriter, call, relations)
            continue
        if _name(call) in functions.EXTREMES or shown.column.name not in sums:
            rewriter.found.raw_uses.append(RawUse(relations[0][1].name, shown.column.name, summed=True))
        if _name(call) in functions.SUMS:
            sums.add(shown.column.name)
        columns[shown.column.name] = shown
        rewriter.guarded[call.location] = _guarded(call, relations[0][0], shown.column.number, shown.rule.aggregate)
    if not columns:
        return
    table = relations[0][1]
    rewriter.summed[concrete(select.from_clause[0]).location] = [
        target for shown in columns.values() for target in _targets(rewriter, table, shown)
    ]
    for shown in columns.values():
        _note_groups(rewriter, table, shown)


def _closed(rewriter: Rewriter, select: Message, env: Env) -> bool:
    if not {described.name for described, _ in select.ListFields()} <= _CLAUSES or len(select.from_clause) != 1:
        return False
    source = concrete(select.from_clause[0])
    if type(source) is not pb.RangeVar or source.alias.colnames or source.catalogname:
        return False
    relations = _relations(rewriter, select, env)
    if len(relations) != 1:
        return False
    alias, table = relations[0]
    if any(name.startswith("gateway ") for name in table.columns):
        return False
    # FAIL CLOSED: GROUP BY takes a name for a column of the derived table first, also when an output has it.
    given = {target.res_target.name for target in select.target_list} - {""}
    if any(name.startswith("gateway ") for name in given):
        return False
    outputs = [item.sort_by.node for item in select.sort_clause] + list(select.group_clause)
    named = {item.column_ref.location for item in outputs if item.WhichOneof("node") == "column_ref"}
    for message in _within(select):
        kind = type(message)
        if kind.__name__ not in _NODES:
            return False
        if kind is pb.ColumnRef:
            names = texts(message.fields) or ()
            own = len(names) == 1 or (len(names) == 2 and names[0] == alias)
            output = len(names) == 1 and names[0] in given and message.location in named
            if not output and not (own and names[-1] in table.columns):
                return False
        elif kind is pb.FuncCall and (_name(message) not in functions.STEADY or message.HasField("over")):
            return False
        elif kind is pb.TypeName:
            written = texts(message.names) or ("", "", "")
            if written[:-1] not in {(), ("pg_catalog",)} or written[-1] not in _TYPES:
                return False
    return True


def _within(select: Message) -> Iterator[Message]:
    """What is in a SELECT, its FROM clause apart, and the SELECTs in it without what is in those."""
    stack = [
        part
        for described, value in select.ListFields()
        if described.name != "from_clause" and described.message_type is not None
        for part in (value if described.is_repeated else (value,))
    ]
    while stack:
        message = concrete(stack.pop())
        if message is None:
            continue
        yield message
        if type(message) is not pb.SelectStmt:
            stack.extend(parts(message))


def _relations(rewriter: Rewriter, select: Message, env: Env) -> list[tuple[str, Table]]:
    """The relations of the policy in a FROM clause, by their aliases."""
    found = []
    queue = list(select.from_clause)
    for item in queue:
        message = concrete(item)
        if type(message) is pb.JoinExpr:
            queue += [message.larg, message.rarg]
        elif type(message) is pb.RangeVar and (message.schemaname or message.relname not in env):
            table = rewriter.find(message.schemaname, message.relname)
            if table is not None and not table.system:
                found.append((message.alias.aliasname or message.relname, table))
    return found


def _name(call: Message) -> str:
    """The built-in function that a call names, empty for another's."""
    names = texts(call.funcname) or ("",)
    return names[-1] if names[:-1] in {(), ("pg_catalog",)} else ""


def _summed(call: Message, relation: tuple[str, Table]) -> Shown | None:
    """The hidden column whose raw values a call may take; it has the column for its argument, and nothing more."""
    name, present = _name(call), {described.name for described, _ in call.ListFields()}
    if name in functions.PERCENTILES:
        fraction, ordered = call.args[0] if len(call.args) == 1 else Node(), list(call.agg_order)
        plain = fraction.WhichOneof("node") == "a_const" and len(ordered) == 1
        if not plain or not present <= _BARE | _WITHIN or ordered[0].sort_by.use_op:
            return None
        argument = concrete(ordered[0].sort_by.node)
    elif name in functions.SUMS or name in functions.EXTREMES:
        if len(call.args) != 1 or not present <= _BARE:
            return None
        argument = concrete(call.args[0])
    else:
        return None
    names = (texts(argument.fields) or ()) if type(argument) is pb.ColumnRef else ()
    shown = relation[1].columns.get(names[-1]) if names else None
    if shown is None or shown.how != "masked" or shown.rule.aggregate is None:
        return None
    return shown if name in functions.SUMS or shown.rule.aggregate.extremes else None


def _targets(rewriter: Rewriter, table: Table, shown: Shown) -> list[Message]:
    """The raw value of a column and whose it is, as the derived table yields them."""
    relation = rewriter.lens.view.catalog.relations[table.name]
    subject = table.columns[shown.rule.aggregate.subject].column if shown.rule.aggregate else shown.column
    value = render.summable_sql(f"{ALIAS}.{identifier(shown.column.name)}", shown.column)
    whose = render.subject_sql(value, f"{ALIAS}.{identifier(subject.name)}", subject)
    number = shown.column.number
    sql = f'SELECT {value} AS "gateway raw {number}", {whose} AS "gateway subject {number}" FROM {relation.name}'  # noqa: S608
    return list(postgast.parse(sql).stmts[0].stmt.select_stmt.target_list)


def _guarded(call: Message, alias: str, number: int, rule: AggregateRule) -> Message:
    of, function = identifier(alias), _name(call)
    raw = f'{of}."gateway raw {number}"'
    taken = f"({raw})"
    if function in functions.PERCENTILES:
        direction = " DESC" if call.agg_order[0].sort_by.sortby_dir == pb.SORTBY_DESC else ""
        taken = f"(0) WITHIN GROUP (ORDER BY {raw}{direction})"
    sql = (
        f'CASE WHEN pg_catalog.count(DISTINCT {of}."gateway subject {number}") OPERATOR(pg_catalog.>=) {rule.min_group}'
        f" THEN pg_catalog.{function}{taken} END"
    )
    made = expression(sql)
    if function in functions.PERCENTILES:
        made.case_expr.args[0].case_when.result.func_call.args[0].CopyFrom(call.args[0])
    return made


def _note_groups(rewriter: Rewriter, table: Table, shown: Shown) -> None:
    rule, name = shown.rule.aggregate, f"{table.name}.{shown.column.name}"
    if rule is not None:
        rewriter.found.notices[f"{name} groups"] = notices.summed(name, rule)


def _note_masked(rewriter: Rewriter, call: Message, relations: list[tuple[str, Table]]) -> None:
    for message in walk(call):
        names = (texts(message.fields) or ()) if type(message) is pb.ColumnRef else ()
        for alias, table in relations if names else ():
            shown = table.columns.get(names[-1])
            if shown is None or shown.how != "masked" or not shown.rule.aggregate:
                continue
            if len(names) > 1 and names[-2] != alias:
                continue
            name = f"{table.name}.{shown.column.name}"
            extremes = ", min, max and percentiles" if shown.rule.aggregate.extremes else ""
            said = notices.masks_summed(name, f"count, sum, avg, stddev, variance{extremes}")
            rewriter.found.notices[f"{name} aggregate"] = said
