"""Proves from an outgoing text, the user's text and the view alone that the text may run.

INVARIANT: this file shares no rule with `rewrite.py`, `search.py` and `lens.py`. It does share data (the allow-lists,
the masks of `render.py`, the relations of `catalogs.py`, the guards) and the reading tools of `tree.py`.

The proof walks both trees side by side. They must be equal but where a difference is proven harmless: a relation that
became a derived table (compared with `evidence.py`, part by part), a name that was qualified, a guarded call or cast, a
conjunct that moved into a derived table. Every node on the way must be of a kind that is known here.
"""

from __future__ import annotations

from collections.abc import Callable

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import check_aggregates, guards, settings
from gateway.sql.postgres.check_from import SAFE_CASTS
from gateway.sql.postgres.check_nodes import RULES
from gateway.sql.postgres.check_writes import prove_write
from gateway.sql.postgres.parse import Parsed, parse_tree
from gateway.sql.postgres.proof import NOTHING, Env, Proof, Stack, names_type, pair, require, unproven
from gateway.sql.postgres.tree import Message, Refused, concrete, fill, same, texts, walk
from gateway.sql.statement import View


def prove(user_text: str, outgoing_text: str, view: View) -> Parsed:
    """The outgoing text, read again, once it is proven.

    Raises: Refused (`scope-not-provable`).
    """
    try:
        tree = parse_tree(outgoing_text)
        tokens = tuple(postgast.scan(outgoing_text).tokens)
    except (Refused, postgast.PgQueryError) as error:
        raise unproven(f"the outgoing text cannot be read: {error}") from error
    user, raw = parse_tree(user_text), outgoing_text.encode()
    require(len(user.stmts) == len(tree.stmts), "the number of statements changed")
    alone = len(tree.stmts) == 1 or not any(type(concrete(one.stmt)) in _WRITING for one in tree.stmts)
    require(alone, "a statement that writes is not alone")
    for before, after in zip(user.stmts, tree.stmts, strict=True):
        _statement(Proof(view, raw), before.stmt, after.stmt)
    return Parsed(outgoing_text, raw, tree, tokens)


def _statement(proof: Proof, user: Message, outgoing: Message) -> None:
    before, after = concrete(user), concrete(outgoing)
    kind = type(before)
    require(kind is type(after), "the kind of statement changed")
    if kind in _UNCHANGED:
        require(same(before, after) and _UNCHANGED[kind](after, proof.view), f"{kind.__name__} may not run so")
    elif kind is pb.SelectStmt:
        _compare(proof, user, outgoing)
    elif kind is pb.ExplainStmt:
        require(type(concrete(after.query)) in _EXPLAINED, "EXPLAIN of something that does not read")
        require([_option(node) for node in after.options][:1] == [("costs", "off")], "EXPLAIN shows costs")
        rest = [_option(node) for node in after.options][1:]
        wanted = [_option(node) for node in before.options if node.def_elem.defname == "format"][-1:]
        require(rest == [(name, value.lower()) for name, value in wanted], "EXPLAIN has other options")
        require(not _defines(after.query, proof.view), "EXPLAIN of what has a definition")
        _statement(proof, before.query, after.query)
    elif kind is pb.CopyStmt:
        _copy(proof, before, after)
    elif kind in _WRITING:
        prove_write(proof, before, after, _compare)
    else:
        require(kind in _CARRIERS, f"{kind.__name__} may not run")
        if kind is pb.PrepareStmt:
            declared = {(texts(concrete(node).names) or ("",))[-1] for node in after.argtypes}
            proof.declared_safely = declared <= SAFE_CASTS
        if kind is not pb.ExecuteStmt:
            require(type(concrete(after.query)) is pb.SelectStmt, f"{kind.__name__} must read")
        _compare(proof, before, after)


def _compare(proof: Proof, user: Message, outgoing: Message) -> None:
    """Walk two trees side by side."""
    proof.mention(user)
    stack: Stack = [(user, outgoing, NOTHING)]
    while stack:
        one, other, env = stack.pop()
        before, after = concrete(one), concrete(other)
        if before is None or after is None:
            require(before is after, "something appeared or vanished")
            continue
        kind = type(before)
        if guards.guarded(before):
            _guarded(proof, before, after, env, stack)
            continue
        if check_aggregates.compared(proof, before, after):
            continue
        if kind is pb.A_Expr and type(after) is pb.A_Const and before.location in proof.moved:
            continue
        require(kind is type(after), f"{kind.__name__} became {type(after).__name__}")
        rule = RULES.get(kind)
        if rule is None:
            raise unproven(f"{kind.__name__} is not known")
        rule(proof, before, after, env, stack)


def _copy(proof: Proof, before: Message, after: Message) -> None:
    require(not (after.is_from or after.is_program or after.filename), "COPY may only go to the client")
    require(not after.HasField("relation") and not after.HasField("where_clause"), "COPY of a bare relation")
    require(type(concrete(after.query)) is pb.SelectStmt, "COPY of something that does not read")
    require(len(before.options) == len(after.options), "the options of COPY changed")
    for one, other in zip(before.options, after.options, strict=True):
        require(_same_option(one.def_elem, other.def_elem), "an option of COPY")
    if not before.HasField("relation"):
        _compare(proof, before.query, after.query)
        return
    meant = parse_tree("SELECT * FROM x").stmts[0].stmt
    meant.select_stmt.from_clause[0].range_var.CopyFrom(before.relation)
    if before.attlist:
        del meant.select_stmt.target_list[:]
        for name in texts(before.attlist) or ():
            column = meant.select_stmt.target_list.add().res_target.val.column_ref
            column.fields.add().string.sval = name
    _compare(proof, meant, after.query)


def _same_option(before: Message, after: Message) -> bool:
    """Whether an option of COPY is the user's; HEADER without a value says `true`, in another kind of node."""
    if after.defname not in _COPY_OPTIONS or before.defname != after.defname:
        return False
    bare = before.arg.WhichOneof("node") == "boolean" and before.arg.boolean.boolval
    return same(before, after) or (bare and after.arg.string.sval == "true")


def _guarded(proof: Proof, before: Message, after: Message, env: Env, stack: Stack) -> None:
    casting = type(before) is pb.TypeCast
    names = texts(before.type_name.names if casting else before.funcname) or ("",)
    judge = guards.cast_guard if casting else guards.function_guard
    guard = judge(names[-1], before, proof.view)
    if guard is None:
        raise unproven("a call or cast that its guard does not allow")
    if guard.instead is not None:
        require(same(guard.instead, after), "a call that must not go out is there")
        if guard.hole is not None:
            stack.append((guard.hole, guard.hole, env))
        return
    if guard.argument:
        require(type(after) is pb.FuncCall and len(after.args) == len(before.args) == 1, "a guarded call changed")
        require(texts(after.funcname) == ("pg_catalog", names[-1]), "a guarded call changed")
        case = concrete(after.args[0])
        argument = _judged(case)
        _under(guard.condition, argument, case)
        stack.append((before.args[0], argument, env))
        pair(before, after, env, stack, "funcname", "args")
        return
    value = after if guard.condition is None else _judged(after)
    result = concrete(value)
    if guard.result:
        require(
            type(result) is pb.TypeCast and names_type(result.type_name, guard.result),
            "a guarded value keeps its type",
        )
        result = concrete(result.arg)
    require(type(result) is type(before), "something else stands below a guard")
    require(casting or len(result.args) == len(before.args), "a guarded call changed")
    if guard.condition is not None:
        _under(guard.condition, result.arg if casting else result.args[0], after)
    if casting:
        require(names_type(result.type_name, names[-1]), "a guarded cast changed")
        stack.append((before.arg, result.arg, env))
    else:
        require(texts(result.funcname) == ("pg_catalog", names[-1]), "a guarded call changed")
        pair(before, result, env, stack, "funcname")


def _judged(case: Message) -> Message:
    """The value that stands under a condition, and under nothing else."""
    require(type(case) is pb.CaseExpr and len(case.args) == 1, "a guard is missing")
    require(not case.HasField("arg") and not case.HasField("defresult"), "a guard has a way around it")
    return case.args[0].case_when.result


def _under(condition: Message, hole: Message, case: Message) -> None:
    meant = pb.Node()
    meant.CopyFrom(condition)
    fill(meant, hole)
    require(same(meant, case.args[0].case_when.expr), "a guard is not the one that it should be")


def _defines(query: Message, view: View) -> bool:
    """Whether the plan of a query may name relations that only the definition of another one names."""
    composite = {name for name in view.policy.tables if getattr(view.catalog.relation(name), "kind", "") in ("v", "p")}
    composite |= view.catalog.parents.intersection(view.policy.tables)
    if query.WhichOneof("node") == "execute_stmt":
        return bool(composite)
    read = {f"{one.schemaname}.{one.relname}" for one in walk(query) if type(one) is pb.RangeVar}
    return not composite.isdisjoint(read)


def _option(node: Message) -> tuple[str, str]:
    option = node.def_elem
    return (option.defname, option.arg.string.sval)


def _transaction(after: Message, view: View) -> bool:
    return after.kind in _TRANSACTIONS and _modes(after.options, view)


def _modes(options: Message, view: View) -> bool:
    for node in options:
        name, value = node.def_elem.defname, node.def_elem.arg.a_const.ival.ival
        if name not in {"transaction_read_only", "transaction_isolation", "transaction_deferrable"}:
            return False
        if name == "transaction_read_only" and value != 1 and not view.write:
            return False
    return True


def _setting(after: Message, view: View) -> bool:
    if after.kind == pb.VAR_SET_MULTI:
        return after.name in {"TRANSACTION", "SESSION CHARACTERISTICS"} and _modes(after.args, view)
    if after.kind == pb.VAR_RESET_ALL:
        return True
    if after.kind in {pb.VAR_RESET, pb.VAR_SET_DEFAULT}:
        return settings.resettable(after.name)
    values = []
    for node in after.args:
        constant = node.a_const
        kind = constant.WhichOneof("val")
        if kind not in {"sval", "ival", "fval"}:
            return False
        values.append({"sval": constant.sval.sval, "ival": str(constant.ival.ival), "fval": constant.fval.fval}[kind])
    return after.kind == pb.VAR_SET_VALUE and settings.changeable(after.name, values, view)


def _anyhow(_after: Message, _view: View) -> bool:
    return True


_WRITING = frozenset({pb.InsertStmt, pb.UpdateStmt, pb.DeleteStmt})
_EXPLAINED = frozenset({pb.SelectStmt, pb.ExecuteStmt, pb.DeclareCursorStmt})
_CARRIERS = frozenset({pb.DeclareCursorStmt, pb.PrepareStmt, pb.ExecuteStmt})
_COPY_OPTIONS = frozenset({"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding"})
_TRANSACTIONS = frozenset(
    {
        pb.TRANS_STMT_BEGIN,
        pb.TRANS_STMT_START,
        pb.TRANS_STMT_COMMIT,
        pb.TRANS_STMT_ROLLBACK,
        pb.TRANS_STMT_SAVEPOINT,
        pb.TRANS_STMT_RELEASE,
        pb.TRANS_STMT_ROLLBACK_TO,
    }
)
_UNCHANGED: dict[type, Callable[[Message, View], bool]] = {
    pb.TransactionStmt: _transaction,
    pb.VariableSetStmt: _setting,
    pb.VariableShowStmt: lambda after, _view: settings.readable(after.name),
    pb.FetchStmt: _anyhow,
    pb.ClosePortalStmt: _anyhow,
    pb.DeallocateStmt: _anyhow,
    pb.DiscardStmt: _anyhow,
    pb.UnlistenStmt: _anyhow,
    pb.ConstraintsSetStmt: lambda after, _view: not after.constraints,
}
