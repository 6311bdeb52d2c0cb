"""One FROM clause: which relations stand in it, and which conditions may go inside their derived tables.

INVARIANT: a condition is copied or moved inside only as `column operator constants`, and only where every row that it
takes away would be taken away outside as well: by WHERE and inner joins, and by the ON of an outer join on its optional
side. A copied condition stays where it was; a moved one (exact search) leaves `true` behind.

A condition that goes inside compares a column of a plain type with constants that are values before any row is read,
so that evaluating it below the fence, on rows outside the scope, can neither fail nor be observed. A literal's cast is
such a value; a parameter's may run, and fail, at the first row that passes the conditions before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from postgast import pg_query_pb2 as pb

from gateway.sql import notices
from gateway.sql.postgres import sources
from gateway.sql.postgres.attributes import outputs
from gateway.sql.postgres.lens import ALIAS, Shown, Table
from gateway.sql.postgres.tree import Message, Node, concrete, parts, refuse, texts, walk
from gateway.sql.statement import RawUse

if TYPE_CHECKING:
    from gateway.sql.postgres.rewrite import Env, Rewriter, Stack

_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>"})
_PLAIN_TYPES = frozenset({
    "int2", "int4", "int8", "text", "varchar", "bpchar", "bool", "date", "timestamp", "timestamptz", "uuid", "numeric",
    "smallint", "integer", "bigint", "character varying", "character", "boolean",
    "timestamp without time zone", "timestamp with time zone",
})  # fmt: skip
# The server would convert such a column for some constants, and not every value can be.
_CONVERTED = frozenset({"numeric"})
# Casts to these cannot fail, whatever the parameter is declared to be.
_TEXTS = frozenset({"text", "varchar", "bpchar"})
# What a constant may be cast to: no conversion of a plain column follows from it that could fail.
_CONSTANT_TYPES = _PLAIN_TYPES | {"name", "char"}
_MOST_VALUES = 20


@dataclass(slots=True)
class Leaf:
    """One item of the FROM clause. `table` is None for what is not a relation of ours, `source` its RangeVar."""

    holder: Message
    alias: str
    source: Message = None
    table: Table | None = None
    inner: list[Message] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """A condition of the form that may go inside: its column, whether it asks for equality, and how many values."""

    column: Message
    equality: bool
    values: int


@dataclass(slots=True)
class _Clause:
    condition: Message
    eligible: list[Leaf]


def settle_from(rewriter: Rewriter, select: Message, env: Env, stack: Stack) -> None:
    """Replace the relations of one SELECT's FROM clause by their derived tables, and queue what else is in it.

    Raises: Refused.
    """
    leaves, clauses = _survey(rewriter, select, env, stack)
    if select.HasField("where_clause"):
        clauses.append(_Clause(select.where_clause, leaves[1]))
    for clause in clauses:
        for holder in _conjuncts(clause.condition):
            _settle(rewriter, holder, leaves[0], clause.eligible)
    for condition in [clause.condition for clause in clauses] + (
        [select.having_clause] if select.HasField("having_clause") else []
    ):
        _notice_comparisons(rewriter, condition, leaves[0])
    for leaf in leaves[0]:
        if leaf.source is not None and leaf.table is not None:
            rewriter.derive(leaf.holder, leaf.source, leaf.table, leaf.inner)


def _survey(
    rewriter: Rewriter, select: Message, env: Env, stack: Stack
) -> tuple[tuple[list[Leaf], list[Leaf]], list[_Clause]]:
    leaves: list[Leaf] = []
    clauses: list[_Clause] = []
    finished: list[list[Leaf]] = []
    queue: list[tuple[Message, bool]] = [(item, False) for item in reversed(select.from_clause)]
    while queue:
        holder, ready = queue.pop()
        message = concrete(holder)
        if type(message) is pb.JoinExpr:
            if not ready:
                queue += [(holder, True), (message.rarg, False), (message.larg, False)]
                continue
            right, left = finished.pop(), finished.pop()
            finished.append(_joined(rewriter, message, left, right, leaves, clauses))
            if message.HasField("quals"):
                stack.append((message.quals, env))
            continue
        leaf = _leaf(rewriter, holder, message, env, stack)
        leaves.append(leaf)
        finished.append([leaf])
    return (leaves, [leaf for group in finished for leaf in group]), clauses


def _leaf(rewriter: Rewriter, holder: Message, message: Message, env: Env, stack: Stack) -> Leaf:
    if type(message) is pb.RangeVar:
        alias = message.alias.aliasname or message.relname
        if message.catalogname:
            refuse(
                "statement-not-supported",
                f"a relation of the database `{message.catalogname}` is not supported",
                "write `schema.name`; a connection reads the one database that it names",
                name=message.catalogname,
                location=message.location,
            )
        if not message.schemaname and message.relname in env:
            return Leaf(holder, alias)
        source = pb.RangeVar()
        source.CopyFrom(message)
        table = rewriter.relation(message.schemaname, message.relname, message.location)
        return Leaf(holder, alias, source, table)
    if type(message) is pb.RangeSubselect:
        stack.append((message.subquery, env))
        return Leaf(holder, message.alias.aliasname)
    if type(message) is pb.RangeFunction:
        argument = sources.partition_argument(message)
        if argument is not None:
            rewriter.visit([(argument, env)])
            derived = sources.partition_source(message, rewriter.lens.view)
            if derived is not None:
                alias = message.alias.aliasname
                holder.CopyFrom(derived)
                return Leaf(holder, alias)
        listed = sources.listing_source(message, rewriter.lens.view)
        if listed is not None:
            holder.CopyFrom(listed)
            return Leaf(holder, listed.range_subselect.alias.aliasname)
        spread = sources.unnested(message)
        if spread is not None:
            holder.range_function.CopyFrom(spread)
            message = holder.range_function
        stack.extend((part, env) for part in parts(message) if type(part) is not pb.Alias)
        return Leaf(holder, message.alias.aliasname)
    stack.append((holder, env))
    return Leaf(holder, "")


def _joined(
    rewriter: Rewriter, join: Message, left: list[Leaf], right: list[Leaf], leaves: list[Leaf], clauses: list[_Clause]
) -> list[Leaf]:
    """The leaves that conditions above the join may reach; the join's own condition is noted with those that it may."""
    reach, below = {
        pb.JOIN_INNER: (left + right, left + right),
        pb.JOIN_LEFT: (left, right),
        pb.JOIN_RIGHT: (right, left),
    }.get(join.jointype, ([], []))
    if (join.using_clause or join.is_natural) and "=" in rewriter.lens.view.catalog.operators:
        refuse(
            "operator-not-allowed",
            "this target redefines `=`; USING and NATURAL cannot name the built-in one",
            "join with `ON a.x OPERATOR(pg_catalog.=) b.x`",
            name="=",
        )
    if join.HasField("quals"):
        clauses.append(_Clause(join.quals, below))
    for name in texts(join.using_clause) or ():
        for leaf in left + right:
            if leaf.table and name in leaf.table.columns and leaf.table.columns[name].how == "masked":
                _note(rewriter, leaf.table, leaf.table.columns[name])
    if join.HasField("alias"):
        # The alias hides the names below it.
        for leaf in leaves:
            if any(leaf is one for one in left + right):
                leaf.alias = ""
        return []
    return reach


def _settle(rewriter: Rewriter, holder: Message, leaves: list[Leaf], eligible: list[Leaf]) -> None:
    shape = shaped(concrete(holder), rewriter)
    if shape is None:
        return
    leaf, shown = _resolved(shape.column, leaves)
    if leaf is None or shown is None or leaf.table is None or not any(leaf is one for one in eligible):
        return
    if leaf.source is None or leaf.source.alias.colnames:
        return
    exact = shown.how == "masked" and shown.rule.search == "exact" and shape.equality and shape.values <= _MOST_VALUES
    plain = shown.column.base in _PLAIN_TYPES or leaf.table.system
    if shown.column.base in _CONVERTED and any(type(message) is pb.ParamRef for message in walk(holder)):
        return
    copied = shown.how in {"clear", "revealed"} and leaf.table.fenced and plain
    if not exact and not copied:
        return
    for message in walk(holder):
        if type(message) is pb.TypeName:
            rewriter.type_name(message)
    inside = Node()
    inside.CopyFrom(holder)
    reference = shaped(concrete(inside), rewriter)
    if reference is None:
        return
    del reference.column.fields[:]
    for name in (ALIAS, shown.column.name):
        reference.column.fields.add().string.sval = name
    leaf.inner.append(inside)
    if exact:
        location = concrete(holder).location
        holder.Clear()
        holder.a_const.boolval.boolval = True
        holder.a_const.location = location
        rewriter.found.raw_uses += [RawUse(leaf.table.name, shown.column.name)] * shape.values


def shaped(message: Message, rewriter: Rewriter) -> Shape | None:
    """The parts of `column operator constants`; None for any other condition."""
    if type(message) is not pb.A_Expr:
        return None
    names = texts(message.name) or ()
    operator = names[-1] if len(names) == 1 or names[:-1] == ("pg_catalog",) else ""
    if len(names) == 1 and operator in rewriter.lens.view.catalog.operators:
        return None
    left, right = concrete(message.lexpr), concrete(message.rexpr)
    if message.kind == pb.AEXPR_OP and operator in _COMPARISONS:
        if type(left) is pb.ColumnRef and _constant(right, rewriter):
            return Shape(left, operator == "=", 1)
        if type(right) is pb.ColumnRef and _constant(left, rewriter):
            return Shape(right, operator == "=", 1)
    elif message.kind == pb.AEXPR_IN and type(left) is pb.ColumnRef and operator in {"=", "<>"}:
        if all(_constant(concrete(item), rewriter) for item in right.items):
            return Shape(left, operator == "=", len(right.items))
    elif message.kind == pb.AEXPR_BETWEEN and type(left) is pb.ColumnRef:
        if all(_constant(concrete(item), rewriter) for item in right.items):
            return Shape(left, False, 2)
    elif message.kind == pb.AEXPR_OP_ANY and operator == "=" and type(left) is pb.ColumnRef:  # noqa: SIM102
        if _constant(right, rewriter):
            return Shape(left, False, 1)
    return None


def _constant(message: Message, rewriter: Rewriter) -> bool:
    kind = ""
    if type(message) is pb.TypeCast:
        names = texts(message.type_name.names) or ("",)
        kind = names[-1] if names[:-1] in {(), ("pg_catalog",)} else ""
        if kind not in _CONSTANT_TYPES:
            return False
        literal = type(concrete(message.arg)) is pb.A_Const
        if not literal and (kind not in _TEXTS or message.type_name.array_bounds):
            return False
        message = concrete(message.arg)
    if type(message) is pb.ParamRef:
        # A second mention could change the type that PostgreSQL infers for the parameter.
        return rewriter.parameters_plain and rewriter.mentions.parameters.get(message.number) == 1
    return type(message) is pb.A_Const


def plain_type(message: Message) -> bool:
    """Whether a parameter may be declared of that type and go inside."""
    return (texts(message.names) or ("",))[-1] in _CONSTANT_TYPES


def _conjuncts(condition: Message) -> list[Message]:
    found: list[Message] = []
    stack = [condition]
    while stack:
        holder = stack.pop()
        message = concrete(holder)
        if type(message) is pb.BoolExpr and message.boolop == pb.AND_EXPR:
            stack.extend(reversed(message.args))
        elif message is not None:
            found.append(holder)
    return found


def _resolved(column: Message, leaves: list[Leaf]) -> tuple[Leaf | None, Shown | None]:
    names = texts(column.fields) or ()
    if not names:
        return None, None
    name = names[-1]
    if len(names) == 1:
        # An item of unknown or renamed columns may have one of that name.
        if len(leaves) > 1 and any(leaf.table is None or leaf.source.alias.colnames for leaf in leaves):
            return None, None
        having = [leaf for leaf in leaves if leaf.table is not None and name in leaf.table.columns]
    else:
        having = [leaf for leaf in leaves if leaf.alias == names[-2]]
        if len(names) == 3:
            having = [leaf for leaf in having if leaf.table and leaf.table.name == f"{names[0]}.{names[1]}"]
    if len(having) != 1 or having[0].table is None:
        return None, None
    return having[0], having[0].table.columns.get(name)


def _notice_comparisons(rewriter: Rewriter, condition: Message, leaves: list[Leaf]) -> None:
    stack: list[Message] = [condition]
    while stack:
        message = concrete(stack.pop())
        if message is None or type(message) is pb.SelectStmt:
            continue
        if type(message) is pb.A_Expr:
            for operand in _operands(message):
                if type(operand) is pb.ColumnRef:
                    for table, shown in _meant(operand, leaves):
                        if shown.how == "masked":
                            _note(rewriter, table, shown)
        stack.extend(parts(message))


def _meant(column: Message, leaves: list[Leaf]) -> list[tuple[Table, Shown]]:
    """What a reference may name, for a notice: that an item's columns are not known does not silence it."""
    leaf, shown = _resolved(column, leaves)
    if leaf is not None and leaf.table is not None and shown is not None:
        return [(leaf.table, shown)]
    names = texts(column.fields) or ()
    if len(names) != 1:
        return []
    others = (concrete(leaf.holder) for leaf in leaves if leaf.table is None)
    if any(type(other) is pb.RangeSubselect and names[0] in outputs(concrete(other.subquery)) for other in others):
        return []
    tables = [leaf.table for leaf in leaves if leaf.table is not None and not leaf.source.alias.colnames]
    return [(table, table.columns[names[0]]) for table in tables if names[0] in table.columns]


def _operands(message: Message) -> Iterable[Message]:
    for side in (message.lexpr, message.rexpr):
        operand = concrete(side)
        while type(operand) is pb.TypeCast:
            operand = concrete(operand.arg)
        if operand is not None:
            yield operand


def _note(rewriter: Rewriter, table: Table, shown: Shown) -> None:
    name = f"{table.name}.{shown.column.name}"
    rewriter.found.notices[name] = notices.compared(name, shown.rule)
