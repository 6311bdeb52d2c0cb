"""The check of sums over hidden columns: every use of a raw value stands under the test of its group.

INVARIANT: it shares no rule with `aggregates.py`. A derived table yields a raw value only where the SELECT of the
user's around it can be answered row by row from that one relation: then nothing but the calls that are compared here,
whole, with what they must be, can name it.

Data that both have: the names of functions (`functions.py`), and the values of `render.py` as `evidence.py` has them.
"""

from __future__ import annotations

from collections.abc import Iterable

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import functions
from gateway.sql.postgres.evidence import Evidence, Summed
from gateway.sql.postgres.proof import Proof, require, unproven
from gateway.sql.postgres.tree import Message, concrete, same, texts

_SAFE = frozenset({
    pb.ResTarget, pb.FuncCall, pb.TypeCast, pb.TypeName, pb.A_Const, pb.A_Expr, pb.BoolExpr, pb.NullTest,
    pb.BooleanTest, pb.CaseExpr, pb.CaseWhen, pb.CoalesceExpr, pb.MinMaxExpr, pb.List, pb.SortBy, pb.String,
    pb.ParamRef, pb.Integer, pb.SQLValueFunction, pb.ColumnRef, pb.Float, pb.Boolean,
})  # fmt: skip
_CAST_TO = frozenset({
    "smallint", "integer", "bigint", "real", "decimal", "int2", "int4", "int8", "float4", "float8", "numeric",
    "text", "varchar", "bpchar", "bool", "uuid", "date", "timestamp", "timestamptz", "interval",
})  # fmt: skip
_ELSEWHERE = frozenset(
    {"with_clause", "window_clause", "values_lists", "locking_clause", "into_clause", "larg", "rarg"}
)


def yields(proof: Proof, around: Message, relation: Message, meant: Evidence, targets: list[Message]) -> None:
    """Prove what a derived table yields beyond its columns, for the user's SELECT `around` it.

    The calls that must take the values are left in `proof.sums`, each with what it must have become.
    """
    alias = relation.alias.aliasname or relation.relname
    require(around is not None and len(around.from_clause) == 1, "raw values beside another relation")
    require(same(around.from_clause[0], relation), "raw values elsewhere")
    require(not relation.alias.colnames, "raw values under other names")
    require(around.op == pb.SETOP_NONE, "raw values of a set operation")
    present = {described.name for described, _ in around.ListFields()}
    require(present.isdisjoint(_ELSEWHERE), "raw values in a SELECT with more to it")
    require(not any(name[:8] == "gateway " for name in meant.values), "a column that could be taken for a raw value")
    wanted: dict[str, Summed] = {}
    rest = list(targets)
    while rest:
        number = rest[0].res_target.name.removeprefix("gateway raw ")
        column, found = next(((c, s) for c, s in meant.summed.items() if str(s.number) == number), ("", None))
        if found is None or len(rest) < 2 or column in wanted:
            raise unproven("a derived table yields what cannot be summed")
        value, whose = rest[0].res_target, rest[1].res_target
        named = value.name == f"gateway raw {number}" and whose.name == f"gateway subject {number}"
        require(named and not value.indirection and not whose.indirection, "a raw value has another name")
        require(same(found.value, value.val), "a raw value is not the column's")
        require(same(found.whose, whose.val), "a raw value is not counted by its subject")
        wanted[column] = found
        rest = rest[2:]
    _row_by_row(around, alias, frozenset(meant.values))
    for call in _below(around):
        column = _taken(call) if type(call) is pb.FuncCall else ""
        if column in wanted and (_own(call.funcname) in functions.SUMS or wanted[column].extremes):
            proof.sums[call.location] = _under_test(call, alias, wanted[column])


def _row_by_row(around: Message, alias: str, columns: frozenset[str]) -> None:
    """Require that a SELECT depends on the rows of its relation and on nothing else."""
    renamed = {item.res_target.name for item in around.target_list if item.res_target.name}
    outputs = set()
    for item in [one.sort_by.node for one in around.sort_clause] + list(around.group_clause):
        message = concrete(item)
        if (
            type(message) is pb.ColumnRef
            and len(message.fields) == 1
            and (texts(message.fields) or ("",))[0] in renamed
        ):
            outputs.add(message.location)
    for message in _below(around):
        require(type(message) in _SAFE, f"raw values beside {type(message).__name__}")
        # GROUP BY would take such a name of an output for the raw value.
        own = type(message) is not pb.ResTarget or message.name[:8] != "gateway "
        require(own, "raw values beside a name that could be theirs")
        if type(message) is pb.ColumnRef and message.location not in outputs:
            fields = texts(message.fields)
            require(fields and fields[-1] in columns, "raw values beside a reference to something else")
            require(fields and fields[:-1] in {(), (alias,)}, "raw values beside a reference to elsewhere")
        if type(message) is pb.FuncCall:
            require(_own(message.funcname) in functions.STEADY, "raw values beside a call that may vary")
            require(not message.HasField("over"), "raw values beside a window")
        if type(message) is pb.TypeName:
            require(_own(message.names) in _CAST_TO, "raw values beside a cast")


def _below(around: Message) -> Iterable[Message]:
    queue = [(around, True)]
    for message, first in queue:
        for described, value in message.ListFields():
            if described.message_type is None or (first and described.name == "from_clause"):
                continue
            below = [concrete(one) for one in (value if described.is_repeated else (value,))]
            queue += [(one, False) for one in below if one is not None]
        if not first:
            yield message


def _own(names: Iterable[Message]) -> str:
    written = texts(names) or ("",)
    return written[-1] if len(written) == 1 or written[0] == "pg_catalog" else ""


def _taken(call: Message) -> str:
    """The column that a sum, an extreme or a percentile is of, when it is of a column and nothing more is to it."""
    name = _own(call.funcname)
    if name not in functions.SUMS | functions.EXTREMES or len(call.args) != 1:
        return ""
    reference = concrete(call.args[0])
    if name in functions.PERCENTILES:
        if type(reference) is not pb.A_Const or not call.agg_within_group or len(call.agg_order) != 1:
            return ""
        order = call.agg_order[0].sort_by
        reference = concrete(order.node)
        if order.use_op:
            return ""
    elif call.agg_within_group or len(call.agg_order):
        return ""
    more = call.agg_distinct or call.agg_star or call.func_variadic
    if more or call.HasField("agg_filter") or call.HasField("over") or type(reference) is not pb.ColumnRef:
        return ""
    return (texts(reference.fields) or ("",))[-1]


def _under_test(call: Message, alias: str, summed: Summed) -> Message:
    """What a sum must have become, put together from its parts."""
    name = _own(call.funcname)
    ordered = name in functions.PERCENTILES
    falling = ordered and call.agg_order[0].sort_by.sortby_dir == pb.SORTBY_DESC
    taken = f"(0) WITHIN GROUP (ORDER BY a.b{' DESC' if falling else ''})" if ordered else "(a.b)"
    made = postgast.parse(
        f"SELECT CASE WHEN pg_catalog.count(DISTINCT a.b) OPERATOR(pg_catalog.>=) 0 THEN pg_catalog.x{taken} END"
    )
    case = made.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    test, result = case.case_expr.args[0].case_when.expr.a_expr, case.case_expr.args[0].case_when.result.func_call
    test.rexpr.a_const.ival.ival = summed.least
    result.funcname[1].string.sval = name
    value = result.args[0]
    if ordered:
        value.CopyFrom(call.args[0])
        value = result.agg_order[0].sort_by.node
    for reference, what in ((test.lexpr.func_call.args[0], "subject"), (value, "raw")):
        fields = reference.column_ref.fields
        fields[0].string.sval, fields[1].string.sval = alias, f"gateway {what} {summed.number}"
    return case


def compared(proof: Proof, before: Message, after: Message) -> bool:
    """Whether a call of the user's is a sum of raw values, which it has then become.

    Raises: Refused (`scope-not-provable`).
    """
    if type(before) is not pb.FuncCall or before.location not in proof.sums or not _taken(before):
        return False
    wanted = proof.sums[before.location]
    require(same(wanted, after), "a sum of raw values is not under the test of its group")
    return True
