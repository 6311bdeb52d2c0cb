"""The check of each kind of node: what must be equal, and what is allowed at all."""

from __future__ import annotations

from collections.abc import Callable

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import functions, guards, types
from gateway.sql.postgres.check_calls import is_column, no_call
from gateway.sql.postgres.check_from import select
from gateway.sql.postgres.proof import NOTHING, Env, Proof, Stack, pair, require
from gateway.sql.postgres.tree import Message, concrete, same, texts, words
from gateway.sql.postgres.versions import SINCE

_SHORT_FOR = {
    "BETWEEN": ("<=", ">="),
    "BETWEEN SYMMETRIC": ("<=", ">="),
    "NOT BETWEEN": ("<", ">"),
    "NOT BETWEEN SYMMETRIC": ("<", ">"),
}
_PLAIN = words(
    """
    DeclareCursorStmt PrepareStmt ExecuteStmt List BoolExpr NullTest BooleanTest CaseExpr CaseWhen
    CoalesceExpr MinMaxExpr RowExpr A_ArrayExpr A_Indices NamedArgExpr WindowDef GroupingSet
    GroupingFunc A_Star ParamRef SQLValueFunction String Integer Alias TypeCast CTESearchClause
    CTECycleClause
    JsonFormat JsonOutput JsonReturning JsonValueExpr JsonKeyValue JsonArgument JsonBehavior JsonAggConstructor
    JsonTablePathSpec JsonTableColumn SetToDefault
    """
)


def _plain(_proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    pair(before, after, env, stack)


def _literal(_proof: Proof, before: Message, after: Message, _env: Env, _stack: Stack) -> None:
    require(same(before, after), "a literal changed")
    decimal = after.WhichOneof("val") != "fval" or all(sign in "0123456789.eE+-" for sign in after.fval.fval)
    require(decimal, "a number that servers read differently")


def _function(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    old, new = texts(before.funcname) or ("",), texts(after.funcname) or ("",)
    require(len(new) == 2 and old in {new, new[1:]}, "a function is not qualified, or became another")
    if new[0] == "pg_catalog":
        known = new[1] in functions.ALLOWED
        if new[1] in guards.FUNCTIONS:
            known = guards.function_guard(new[1], after, proof.view) is not None
    else:
        shadowed = len(old) == 1 and old[0] in functions.ALLOWED
        known = new == ("information_schema", "_pg_expandarray") or (
            ".".join(new) in proof.view.policy.functions and not shadowed
        )
    require(known, f"function `{'.'.join(new)}` is not allowed")
    if new == ("pg_catalog", "age"):
        require(len(after.args) == 2, "an age that may be that of a transaction")
        if len(before.args) == 1:
            require(after.args[0].sqlvalue_function.op == pb.SVFOP_CURRENT_DATE, "an age is not counted from today")
            stack.append((before.args[0], after.args[1], env))
            pair(before, after, env, stack, "funcname", "args")
            return
    pair(before, after, env, stack, "funcname")


def _type(proof: Proof, before: Message, after: Message, _env: Env, _stack: Stack) -> None:
    old, new = texts(before.names) or ("",), texts(after.names) or ("",)
    require(len(new) == 2 and old in {new, new[1:]}, "a type is not qualified, or became another")
    enumerations = {
        column.type
        for name, rule in proof.view.policy.tables.items()
        if name in proof.view.catalog.relations
        for column in proof.view.catalog.relations[name].columns
        if column.name in rule.columns and column.category == "E"
    }
    require(new[0] in {"pg_catalog", "information_schema"} or ".".join(new) in enumerations, "a type of the target's")
    require(types.resolved(new, (), frozenset(enumerations)) == new, f"type `{'.'.join(new)}` is not allowed")
    require(
        not types.naming(new) and not after.setof and not after.pct_type and not after.type_oid, "a type that names"
    )
    require(all(target != new[1] for _, target in proof.view.catalog.casts), "a redefined cast")
    require(all(type(concrete(modifier)) is pb.A_Const for modifier in after.typmods), "a type modifier")
    pair(before, after, NOTHING, [], "names", "typmods", "array_bounds")
    require(
        len(before.typmods) == len(after.typmods) and all(map(same, before.typmods, after.typmods)),
        "a type modifier changed",
    )
    bounds = len(before.array_bounds) == len(after.array_bounds)
    require(bounds and all(map(same, before.array_bounds, after.array_bounds)), "array bounds changed")


def _column(proof: Proof, before: Message, after: Message, _env: Env, _stack: Stack) -> None:
    old, new = list(before.fields), list(after.fields)
    if len(old) == 3 and len(new) == 2:
        require(before.location in proof.own_names(), "a column reference lost a schema that it needs")
        old = old[1:]
    require(len(old) == len(new) <= 3 and all(map(same, old, new)), "a column reference changed")
    names = texts(new)
    if names and len(names) > 1 and not no_call(names[-1], proof.view):
        certain = is_column(names[-2], names[-1], proof.sources(), proof.view)
        require(certain, f"`{names[-1]}` could be a call")


def _indirection(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    columns = {column for rule in proof.view.policy.tables.values() for column in rule.columns}
    for part in after.indirection:
        if part.WhichOneof("node") == "string":
            known = part.string.sval in columns or part.string.sval in guards.FIELDS | proof.named
            require(known and no_call(part.string.sval, proof.view), "a field that could be a call")
    pair(before, after, env, stack)


def _operator(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    if type(before) is pb.A_Expr:
        before = guards.compared(before) or before
    for described, value in after.ListFields():
        if described.name in {"name", "oper_name", "use_op"}:
            names = texts(value) or ("",)
            known = {*_SHORT_FOR.get(names[-1], names[-1:])}.isdisjoint(proof.view.catalog.operators)
            builtin = names[:-1] == ("pg_catalog",) or (len(names) == 1 and known)
            require(builtin, f"operator `{'.'.join(names)}` is not allowed")
    pair(before, after, env, stack)


def _sub_link(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    bare = after.sub_link_type == pb.ANY_SUBLINK and not after.oper_name
    require(not bare or "=" not in proof.view.catalog.operators, "the target redefines `=`")
    _operator(proof, before, after, env, stack)


def _choice(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    require(not after.HasField("arg") or "=" not in proof.view.catalog.operators, "the target redefines `=`")
    pair(before, after, env, stack)


def _result(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    # A guard stands where PostgreSQL looks for a name, so the name that it would have found is written out.
    lost = not before.name and guards.names_output(before.val, proof.sums)
    require(after.name == (_found_name(before.val) if lost else before.name), "an output column has another name")
    pair(before, after, env, stack, "name")


def _form(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    known = proof.view.catalog.server_version // 10_000 >= SINCE[type(after)][0]
    require(known, "a form that this server would read as a call")
    pair(before, after, env, stack)


def _found_name(node: Message) -> str:
    """What `FigureColname` in PostgreSQL's `parse_target.c` calls an expression of calls, casts and choices."""
    spare, message = "", concrete(node)
    while type(message) in {pb.TypeCast, pb.CollateClause, pb.CaseExpr, pb.A_Indirection}:
        if type(message) is pb.A_Indirection:
            fields = [part.string.sval for part in message.indirection if part.WhichOneof("node") == "string"]
            if fields:
                return str(fields[-1])
        elif type(message) is not pb.CollateClause and not spare:
            spare = "case" if type(message) is pb.CaseExpr else message.type_name.names[-1].string.sval
        message = concrete(message.defresult if type(message) is pb.CaseExpr else message.arg)
    own = {pb.FuncCall: "funcname", pb.ColumnRef: "fields"}.get(type(message), "")
    last = getattr(message, own)[-1].string.sval if own else ""
    return last or spare or "?column?"


def _definition(_proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    require(not after.constraints and not after.HasField("raw_default"), "a column definition has more to it")
    pair(before, after, env, stack)


def _collation(_proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    old, new = texts(before.collname) or ("",), texts(after.collname) or ("",)
    builtin = len(new) == 2 and new[0] == "pg_catalog" and old in {new, new[1:]}
    require(builtin, f"collation `{'.'.join(new)}` is not allowed")
    pair(before, after, env, stack, "collname")


_Rule = Callable[[Proof, Message, Message, Env, Stack], None]
# FAIL CLOSED: a kind of node that is not here is unproven. RangeVar is not: only `_relation` may meet one.
RULES: dict[type, _Rule] = {
    **{getattr(pb, name): _plain for name in _PLAIN},
    **{kind: _form for kind in SINCE if kind is not pb.JsonTable},
    pb.A_Const: _literal,
    pb.SelectStmt: select,
    pb.CaseExpr: _choice,
    pb.FuncCall: _function,
    pb.TypeName: _type,
    pb.ColumnRef: _column,
    pb.A_Indirection: _indirection,
    pb.A_Expr: _operator,
    pb.SubLink: _sub_link,
    pb.SortBy: _operator,
    pb.ResTarget: _result,
    pb.ColumnDef: _definition,
    pb.CollateClause: _collation,
}
