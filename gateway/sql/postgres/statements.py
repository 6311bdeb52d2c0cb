"""The kinds of statement that may run, each with what it does to the session.

INVARIANT: a kind that has no handler here is refused; a handler accepts only the forms that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from postgast import pg_query_pb2 as pb

from gateway.model import Write
from gateway.sql.postgres import advice, settings, writes
from gateway.sql.postgres.rewrite import Rewriter
from gateway.sql.postgres.search import plain_type
from gateway.sql.postgres.tree import Message, Node, concrete, refuse, texts, walk
from gateway.sql.statement import Kind, View

_WRITES = {
    "MergeStmt": "MERGE",
    "TruncateStmt": "TRUNCATE",
    "CreateTableAsStmt": "CREATE TABLE AS",
    "RefreshMatViewStmt": "REFRESH MATERIALIZED VIEW",
    "LockStmt": "LOCK",
}
_OTHERS = {
    "CallStmt": "CALL",
    "DoStmt": "DO",
    "ListenStmt": "LISTEN",
    "NotifyStmt": "NOTIFY",
    "VacuumStmt": "VACUUM and ANALYZE",
    "GrantStmt": "GRANT and REVOKE",
    "GrantRoleStmt": "GRANT and REVOKE",
    "LoadStmt": "LOAD",
    "CheckPointStmt": "CHECKPOINT",
    "CommentStmt": "COMMENT",
    "CopyStmt": "COPY",
    "AlterSystemStmt": "ALTER SYSTEM",
    "ReindexStmt": "REINDEX",
    "ClusterStmt": "CLUSTER",
    "SecLabelStmt": "SECURITY LABEL",
    "ReassignOwnedStmt": "REASSIGN OWNED",
    "ImportForeignSchemaStmt": "IMPORT FOREIGN SCHEMA",
}
_READ_ONLY_HINT = "this grant is for reading; ask the owner of the data to make the change"
_READING_HINT = (
    "SELECT, WITH, VALUES, TABLE, COPY … TO STDOUT, EXPLAIN, SHOW, cursors and prepared statements are;"
    " ask the owner of the data for anything else"
)
_EXPLAIN_FORMATS = frozenset({"text", "json", "xml", "yaml"})
_OFF = frozenset({"off", "false", "0"})
_ASENSITIVE = 0x10
"""CURSOR_OPT_ASENSITIVE in `parsenodes.h`."""
_COPY_OPTIONS = frozenset({"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "encoding"})
_TRANSACTIONS = {
    pb.TRANS_STMT_BEGIN: "BEGIN",
    pb.TRANS_STMT_START: "START TRANSACTION",
    pb.TRANS_STMT_COMMIT: "COMMIT",
    pb.TRANS_STMT_ROLLBACK: "ROLLBACK",
    pb.TRANS_STMT_SAVEPOINT: "SAVEPOINT",
    pb.TRANS_STMT_RELEASE: "RELEASE",
    pb.TRANS_STMT_ROLLBACK_TO: "ROLLBACK TO",
}


@dataclass(frozen=True, slots=True)
class Settled:
    """What one statement is."""

    kind: Kind
    verb: str
    defines: tuple[tuple[str, str], ...] = ()
    uses: tuple[tuple[str, str], ...] = ()
    repin: bool = False
    write: Write | None = None


def settle(statement: Message, rewriter: Rewriter) -> Settled:
    """Judge one statement (a `Node`) and rewrite it in place.

    Raises: Refused.
    """
    message = concrete(statement)
    handler = _HANDLERS.get(type(message))
    if handler is None:
        _refuse_kind(message)
    return handler(statement, message, rewriter)


def _refuse_kind(message: Message) -> NoReturn:
    name = type(message).__name__
    if name in _WRITES:
        refuse("read-only", f"{_WRITES[name]} is not allowed here", _READ_ONLY_HINT)
    if name in _OTHERS:
        what = _OTHERS[name]
        verb = "are" if " and " in what else "is"
        refuse("statement-not-allowed", f"{what} {verb} not allowed here", _READING_HINT)
    if name.startswith(("Create", "Alter", "Drop", "Rename", "Define", "Index", "View", "Rule")):
        refuse("read-only", "statements that change the schema are not allowed here", _READ_ONLY_HINT)
    refuse("statement-not-allowed", f"`{name.removesuffix('Stmt')}` is not allowed here", _READING_HINT)


def _select(statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    rewriter.query(statement)
    return Settled(Kind.READ, "VALUES" if message.values_lists else "SELECT")


def _write(statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    write = writes.settle(statement, message, rewriter)
    if not rewriter.lens.view.write:
        asking = "--statement 'the statement'" if write.approval == "statement" else "--write"
        refuse(
            "read-only",
            f"this grant is for reading, and {write.verb} writes",
            f"ask for the approval of it: `gateway open TICKET {asking}`",
            name=write.relation,
        )
    return Settled(Kind.WRITE, write.verb, write=write)


def _transaction(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    verb = _TRANSACTIONS.get(message.kind)
    if verb is None:
        refuse("statement-not-allowed", "two-phase commit is not allowed here", "use COMMIT or ROLLBACK")
    _judge_modes(message.options, rewriter.lens.view)
    return Settled(Kind.TRANSACTION, verb)


def _judge_modes(options: Message, view: View) -> None:
    for option in options:
        name, value = option.def_elem.defname, option.def_elem.arg.a_const
        if name == "transaction_read_only" and value.ival.ival != 1 and not view.write:
            refuse("read-only", "READ WRITE is not allowed here", "leave it out: this grant is for reading")
        if name not in {"transaction_read_only", "transaction_isolation", "transaction_deferrable"}:
            refuse("statement-not-allowed", f"`{name}` is not allowed here", "an isolation level and READ ONLY are")


def _set(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    if message.kind == pb.VAR_SET_MULTI:
        if message.name not in {"TRANSACTION", "SESSION CHARACTERISTICS"}:
            refuse(
                "setting-not-allowed",
                f"SET {message.name} is not allowed here",
                "SET TRANSACTION ISOLATION LEVEL and SET name = value are",
            )
        _judge_modes(message.args, rewriter.lens.view)
        return Settled(Kind.SETTING, f"SET {message.name}")
    if message.kind == pb.VAR_RESET_ALL:
        return Settled(Kind.SETTING, "RESET ALL", repin=True)
    if message.kind in {pb.VAR_RESET, pb.VAR_SET_DEFAULT}:
        if not settings.resettable(message.name):
            _refuse_setting(message.name, rewriter.lens.view)
        return Settled(Kind.SETTING, "RESET", repin=True)
    values = setting_values(message)
    if (
        message.kind != pb.VAR_SET_VALUE
        or values is None
        or not settings.changeable(message.name, values, rewriter.lens.view)
    ):
        _refuse_setting(message.name, rewriter.lens.view)
    return Settled(Kind.SETTING, "SET")


def setting_values(message: Message) -> tuple[str, ...] | None:
    """The values of a SET as text; None when one of them is not a plain constant."""
    values = []
    for argument in message.args:
        constant = concrete(argument)
        if type(constant) is not pb.A_Const:
            return None
        which = constant.WhichOneof("val")
        if which == "sval":
            values.append(constant.sval.sval)
        elif which == "ival":
            values.append(str(constant.ival.ival))
        elif which == "fval":
            values.append(constant.fval.fval)
        else:
            return None
    return tuple(values)


def _refuse_setting(name: str, view: View) -> NoReturn:
    refuse(
        "setting-not-allowed",
        f"setting `{name}` may not be changed this way",
        advice.changed_setting(settings.canonical(name), fixed=view.fixed),
        name=name,
    )


def _show(_statement: Message, message: Message, _rewriter: Rewriter) -> Settled:
    if not settings.readable(message.name):
        refuse(
            "setting-not-allowed",
            f"setting `{message.name}` may not be shown",
            advice.shown_setting(message.name),
            name=message.name,
        )
    return Settled(Kind.SETTING, "SHOW")


def _constraints(_statement: Message, message: Message, _rewriter: Rewriter) -> Settled:
    # When all constraints are checked is the transaction's own affair; the name of one would be looked up.
    if message.constraints:
        refuse(
            "statement-not-allowed",
            "SET CONSTRAINTS of named constraints is not allowed here",
            "use SET CONSTRAINTS ALL",
        )
    return Settled(Kind.UTILITY, "SET CONSTRAINTS")


def _declare(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    _only_select(message.query, "DECLARE CURSOR")
    if message.options & _ASENSITIVE:
        # The word is lost on the way out, and the check would find it missing.
        refuse("statement-not-supported", "ASENSITIVE is not supported here", "leave it out: all cursors are")
    rewriter.query(message.query)
    return Settled(Kind.CURSOR, "DECLARE", defines=(("cursor", message.portalname),))


def _fetch(_statement: Message, message: Message, _rewriter: Rewriter) -> Settled:
    return Settled(Kind.CURSOR, "MOVE" if message.ismove else "FETCH", uses=(("cursor", message.portalname),))


def _close(_statement: Message, _message: Message, _rewriter: Rewriter) -> Settled:
    return Settled(Kind.CURSOR, "CLOSE")


def _prepare(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    _only_select(message.query, "PREPARE")
    for node in message.argtypes:
        rewriter.visit([(node, frozenset())])
    rewriter.parameters_plain = all(plain_type(concrete(node)) for node in message.argtypes)
    rewriter.query(message.query)
    rewriter.parameters_plain = True
    return Settled(Kind.UTILITY, "PREPARE", defines=(("statement", message.name),))


def _execute(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    for node in message.params:
        rewriter.query(node)
    return Settled(Kind.READ, "EXECUTE", uses=(("statement", message.name),))


def _deallocate(_statement: Message, _message: Message, _rewriter: Rewriter) -> Settled:
    return Settled(Kind.UTILITY, "DEALLOCATE")


def _discard(_statement: Message, message: Message, _rewriter: Rewriter) -> Settled:
    return Settled(Kind.UTILITY, "DISCARD", repin=message.target == pb.DISCARD_ALL)


def _unlisten(_statement: Message, _message: Message, _rewriter: Rewriter) -> Settled:
    # Pools send it to reset a connection; nobody listens here, so it changes nothing.
    return Settled(Kind.UTILITY, "UNLISTEN")


def _explain(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    form = ""
    for node in message.options:
        option = node.def_elem
        value = _option_text(option)
        if option.defname == "format" and value in _EXPLAIN_FORMATS:
            form = value
        elif option.defname != "costs" and value not in _OFF:
            refuse(
                "statement-not-allowed",
                f"EXPLAIN with `{option.defname}` is not allowed here",
                "row counts and expressions would tell about hidden rows; use plain EXPLAIN, with FORMAT if you like",
                name=option.defname,
            )
    query = concrete(message.query)
    if type(query) is pb.SelectStmt:
        rewriter.query(message.query)
    elif type(query) is pb.ExecuteStmt:
        _execute(message.query, query, rewriter)
    elif type(query) is pb.DeclareCursorStmt:
        _declare(message.query, query, rewriter)
    else:
        refuse("read-only", "EXPLAIN is allowed for reading statements only", "explain a SELECT")
    uses = (("statement", query.name),) if type(query) is pb.ExecuteStmt else ()
    _refuse_definitions(message.query, rewriter.lens.view, unseen=bool(uses))
    del message.options[:]
    _add_option(message, "costs", "off")
    if form:
        _add_option(message, "format", form)
    return Settled(Kind.READ, "EXPLAIN", uses=uses)


def _refuse_definitions(node: Message, view: View, *, unseen: bool) -> None:
    """A plan shows what a view is made of, and the names of partitions and of relations that inherit.

    `unseen` when it is of a named statement.
    """
    relations, parents = view.catalog.relations, view.catalog.parents
    named = [f"{one.schemaname}.{one.relname}" for one in walk(node) if type(one) is pb.RangeVar]
    for name in view.policy.tables if unseen else named:
        if name not in view.policy.tables or name not in relations:
            continue
        if relations[name].kind in {"v", "p"} or name in parents:
            refuse(
                "statement-not-allowed",
                f"EXPLAIN is not allowed where `{name}` may be read",
                "the plan would show what a view is made of, or the names of partitions and of what inherits",
                name=name,
            )


def _copy(_statement: Message, message: Message, rewriter: Rewriter) -> Settled:
    if message.is_from:
        refuse("read-only", "COPY FROM would write", _READ_ONLY_HINT)
    if message.is_program or message.filename:
        refuse(
            "statement-not-allowed",
            "COPY to a file or program of the server is not allowed",
            "use COPY … TO STDOUT, or \\copy in psql",
        )
    for node in message.options:
        option = node.def_elem
        if option.defname not in _COPY_OPTIONS:
            refuse(
                "statement-not-supported",
                f"COPY option `{option.defname}` is not supported here",
                f"{', '.join(sorted(_COPY_OPTIONS)).upper()} are",
                name=option.defname,
            )
        if option.defname == "encoding" and _option_text(option) not in {"utf8", "utf-8", "unicode"}:
            refuse("setting-not-allowed", "COPY is in UTF-8 here", "leave ENCODING out")
    if message.HasField("relation"):
        _copy_relation(message, rewriter)
    else:
        _only_select(message.query, "COPY")
        rewriter.query(message.query)
    return Settled(Kind.READ, "COPY")


def _copy_relation(message: Message, rewriter: Rewriter) -> None:
    # COPY of a table is COPY of its visible columns, or of those that are listed.
    select = message.query.select_stmt
    select.limit_option, select.op = pb.LIMIT_OPTION_DEFAULT, pb.SETOP_NONE
    select.from_clause.add().range_var.CopyFrom(message.relation)
    for name in texts(message.attlist) or ("*",):
        field = select.target_list.add().res_target.val.column_ref.fields.add()
        if name == "*" and not message.attlist:
            field.a_star.SetInParent()
        else:
            field.string.sval = name
    message.ClearField("relation")
    del message.attlist[:]
    rewriter.query(message.query)


def _only_select(node: Message, verb: str) -> None:
    if type(concrete(node)) is not pb.SelectStmt:
        refuse("read-only", f"{verb} is allowed for reading statements only", _READ_ONLY_HINT)


def _option_text(option: Message) -> str:
    argument = concrete(option.arg)
    if type(argument) is pb.String:
        return str(argument.sval).lower()
    if type(argument) is pb.Integer:
        return str(argument.ival)
    if type(argument) is pb.Boolean:
        return "true" if argument.boolval else "false"
    return ""


def _add_option(message: Message, name: str, value: str) -> None:
    node = Node()
    node.def_elem.defname = name
    node.def_elem.arg.string.sval = value
    node.def_elem.defaction = pb.DEFELEM_UNSPEC
    message.options.append(node)


Handler = Callable[[Message, Message, Rewriter], Settled]
_HANDLERS: dict[type, Handler] = {
    pb.SelectStmt: _select,
    pb.InsertStmt: _write,
    pb.UpdateStmt: _write,
    pb.DeleteStmt: _write,
    pb.TransactionStmt: _transaction,
    pb.VariableSetStmt: _set,
    pb.VariableShowStmt: _show,
    pb.ConstraintsSetStmt: _constraints,
    pb.DeclareCursorStmt: _declare,
    pb.FetchStmt: _fetch,
    pb.ClosePortalStmt: _close,
    pb.PrepareStmt: _prepare,
    pb.ExecuteStmt: _execute,
    pb.DeallocateStmt: _deallocate,
    pb.DiscardStmt: _discard,
    pb.UnlistenStmt: _unlisten,
    pb.ExplainStmt: _explain,
    pb.CopyStmt: _copy,
}
