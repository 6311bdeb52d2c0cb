"""INSERT, UPDATE and DELETE within the policy.

Theory of operation. What a person writes around the columns to be set is a question about rows, and is asked as one:

    UPDATE employees e SET status = lower(e.status) WHERE e.email = 'x'
    -- becomes
    UPDATE public.employees AS t SET status = "gateway write"."gateway 1"
    FROM (SELECT COALESCE(lower(e.status)) AS "gateway 1", e."gateway table", e."gateway row", count(*) OVER () AS …
          FROM (SELECT …, t.tableoid AS "gateway table", t.ctid AS "gateway row"
                FROM public.employees AS t WHERE <scope> AND t.email = 'x' OFFSET 0) AS e
          WHERE true OFFSET 0) AS "gateway write"
    WHERE <t is that row> AND <there are not too many>

The inner SELECT is rewritten like any other, so the person's expressions see masked, scoped rows and nothing else, and
fail on no other row; the outer statement holds no expression of his but constants. A row that somebody else changes at
the same moment is another version by then, and is left alone. Too many rows, or a value that belongs to another
customer, end the statement with an error of the target that begins with a mark of ours (`MARKS`), before it changes
anything.

INVARIANT: `check_writes.py` proves the outer statement part by part, and the inner SELECT as it proves any other.
"""

from __future__ import annotations

from dataclasses import dataclass

from postgast import pg_query_pb2 as pb

from gateway.errors import GatewayError
from gateway.model import Write
from gateway.policy.schema import WriteRule
from gateway.policy.types import column_type
from gateway.sql.postgres.lens import ALIAS, Table, identifier, scope_sql
from gateway.sql.postgres.mentions import mentions
from gateway.sql.postgres.parse import expression
from gateway.sql.postgres.rewrite import Rewriter
from gateway.sql.postgres.tree import Message, Node, Refused, concrete, copied, parts, refuse, texts, walk
from gateway.sql.postgres.write_asking import asking, assigned, digest, is_outside, preview, text_of
from gateway.sql.postgres.write_values import MARKS, bindings, bound_value
from gateway.sql.writable import unsafe, unsafe_delete, unwritable

SOURCE = "gateway write"
TABLE, ROW, ROWS = "gateway table", "gateway row", "gateway rows"


@dataclass(frozen=True, slots=True)
class Writing:
    """One relation and what may be written to it."""

    table: Table
    rule: WriteRule


def settle(statement: Message, message: Message, rewriter: Rewriter) -> Write:
    """Judge and rewrite one statement that writes, given as its node and what that holds.

    Raises: Refused.
    """
    asked = Node()
    asked.CopyFrom(statement)
    verb = _VERBS[type(message)]
    writing = _writing(rewriter, message, verb)
    returning = [copied(node) for node in message.returning_clause.exprs]
    if message.returning_clause.options:
        refuse("statement-not-supported", "names for OLD and NEW are not supported here", "leave WITH (…) out")
    alias = message.relation.alias.aliasname or message.relation.relname
    names = {(), (alias,)}
    if message.relation.schemaname and not message.relation.alias.aliasname:
        names.add((message.relation.schemaname, alias))
    columns = _REWRITE[type(message)](rewriter, message, writing)
    message.ClearField("returning_clause")
    for node in returning:
        message.returning_clause.exprs.extend(_returned(rewriter, writing.table, names, node.res_target))
    target = message.relation
    target.schemaname, target.relname = writing.table.name.split(".", 1)
    target.alias.aliasname = ALIAS
    # what stood where it was noted has moved since
    rewriter.loose = mentions(statement).loose
    return Write(
        verb,
        writing.table.name,
        columns,
        writing.rule.rows,
        writing.rule.approval,
        text_of(asked),
        digest(asked),
        "" if verb == "INSERT" else preview(asked, writing.rule.rows),
        any(type(one) is pb.ParamRef for one in walk(asked)),
    )


def _writing(rewriter: Rewriter, message: Message, verb: str) -> Writing:
    relation = message.relation
    if relation.catalogname:
        refuse(
            "statement-not-supported",
            "a relation of a named database is not supported",
            "write `schema.name`; a connection has the one database that it names",
            location=relation.location,
        )
    named = {node.common_table_expr.ctename for node in message.with_clause.ctes}
    if not relation.schemaname and relation.relname in named:
        refuse(
            "statement-not-supported",
            f"WITH item `{relation.relname}` has the name of the relation that is written",
            "give the WITH item another name",
            name=relation.relname,
            location=relation.location,
        )
    table = rewriter.relation(relation.schemaname, relation.relname, relation.location)
    view = rewriter.lens.view
    rule, known = view.policy.write.get(table.name), view.catalog.relation(table.name)
    allowed = rule is not None and {
        "INSERT": bool(rule.insert), "UPDATE": bool(rule.update), "DELETE": rule.delete,
    }[verb]  # fmt: skip
    if table.system or rule is None or known is None or not allowed:
        refuse(
            "read-only",
            f"{verb} is not allowed on `{table.name}`",
            "the policy names what may be written; ask the owner of the data to make the change",
            name=table.name,
            location=relation.location,
        )
    problem = unwritable(view.catalog, table.name)
    if problem:
        refuse(
            "statement-not-supported",
            f"`{table.name}` cannot be written here: {problem}",
            "write the table that is behind it",
            name=table.name,
        )
    if {TABLE, ROW} & {column.name for column in known.columns}:
        refuse("statement-not-supported", f"a column of `{table.name}` has a name that the gateway uses itself")
    return Writing(table, rule)


def _update(rewriter: Rewriter, message: Message, writing: Writing) -> tuple[str, ...]:
    values = [(target.res_target.name, assigned(target.res_target)) for target in message.target_list]
    for node, (name, _) in zip(message.target_list, values, strict=True):
        _judge_column(rewriter, writing, name, writing.rule.update, "UPDATE", node.res_target)
    inside = [value for _, value in values if not is_outside(value)]
    select = asking(message, message.from_clause, inside)
    del message.from_clause[:]
    _asked(rewriter, select, message.from_clause.add().range_subselect, writing)
    del message.target_list[:]
    numbers = iter(range(1, len(inside) + 1))
    for name, value in values:
        made = message.target_list.add().res_target
        made.name = name
        if is_outside(value):
            # a DEFAULT is the relation's own
            rewriter.visit([] if value.WhichOneof("node") == "set_to_default" else [(value, frozenset())])
            made.val.CopyFrom(value)
        else:
            made.val.CopyFrom(expression(f'"{SOURCE}"."gateway {next(numbers)}"'))
        _bind(rewriter, writing, name, made.val, insert=False)
    _finish(message, writing)
    return tuple(name for name, _ in values)


def _delete(rewriter: Rewriter, message: Message, writing: Writing) -> tuple[str, ...]:
    view = rewriter.lens.view
    problem = unsafe_delete(view.policy, view.catalog, view.reveal, writing.table.name)
    if problem:
        refuse("read-only", f"rows of `{writing.table.name}` cannot be deleted: {problem}", name=writing.table.name)
    select = asking(message, message.using_clause, [])
    del message.using_clause[:]
    _asked(rewriter, select, message.using_clause.add().range_subselect, writing)
    _finish(message, writing)
    return ()


def _finish(message: Message, writing: Writing) -> None:
    message.ClearField("with_clause")
    message.where_clause.CopyFrom(expression(bound_sql(writing.rule.rows)))


def bound_sql(rows: int) -> str:
    """The condition that `t` is a row of the inner SELECT, and that this has no more than so many."""
    source = f'"{SOURCE}"'
    return (
        f't.tableoid OPERATOR(pg_catalog.=) {source}."{TABLE}" AND t.ctid OPERATOR(pg_catalog.=) {source}."{ROW}"'
        f' AND CASE WHEN {source}."{ROWS}" OPERATOR(pg_catalog.<=) {rows} THEN true'
        f" ELSE CAST('{MARKS['rows']}' OPERATOR(pg_catalog.||) CAST({source}.\"{ROWS}\" AS pg_catalog.text)"
        " AS pg_catalog.bool) END"
    )


def _asked(rewriter: Rewriter, asked: Message, item: Message, writing: Writing) -> None:
    """Make `item` the inner SELECT, rewritten in its place."""
    item.alias.aliasname = SOURCE
    item.subquery.CopyFrom(asked)
    made = item.subquery
    select = made.select_stmt
    alias = select.from_clause[0].range_var.alias.aliasname or select.from_clause[0].range_var.relname
    for one in walk(made):
        if type(one) is pb.JoinExpr and one.is_natural:
            refuse("statement-not-supported", "NATURAL is not supported where something is written", "join with ON")
        if type(one) is pb.ColumnRef:
            _judge_reference(one, alias, writing.table)
    rewriter.query(made)
    _refuse_masked(made, rewriter)
    inner = select.from_clause[0].range_subselect.subquery.select_stmt
    for name, column in ((TABLE, "tableoid"), (ROW, "ctid")):
        target = inner.target_list.add().res_target
        target.name = name
        target.val.CopyFrom(expression(f"{ALIAS}.{column}"))
        mine = select.target_list.add().res_target
        mine.val.CopyFrom(expression(f"{identifier(alias)}.{identifier(name)}"))
    counted = select.target_list.add().res_target
    counted.name = ROWS
    counted.val.CopyFrom(expression("pg_catalog.count(*) OVER ()"))
    select.limit_offset.CopyFrom(expression("0"))
    select.limit_option = pb.LIMIT_OPTION_COUNT


def _judge_reference(reference: Message, alias: str, table: Table) -> None:
    """Refuse what would see the columns that are the gateway's own in the derived table of what is written."""
    names = [part.string.sval if part.WhichOneof("node") == "string" else "*" for part in reference.fields]
    whole = names == [alias] and alias not in table.columns
    if whole or (names[-1] == "*" and alias in names):
        refuse(
            "statement-not-supported",
            f"`{alias}` as a whole row is not supported where something is written",
            "name its columns",
            name=alias,
            location=reference.location,
        )
    if any(name.startswith("gateway ") for name in names):
        refuse(
            "statement-not-supported",
            "names that begin with `gateway` and a space are the gateway's own",
            "name the columns of the relation",
            location=reference.location,
        )


def _refuse_masked(made: Message, rewriter: Rewriter) -> None:
    """Refuse what still reads a masked column, now that exact searches are inside the derived tables."""
    masked = {name.rpartition(".")[2]: name for name in rewriter.found.columns["masked"]}
    stack = [made]
    while stack:
        message = concrete(stack.pop())
        if message is None or _is_derived(message):
            continue
        if type(message) is pb.ColumnRef or type(message) is pb.JoinExpr:
            names = texts(message.fields if type(message) is pb.ColumnRef else message.using_clause) or ()
            for name in names[-1:] if type(message) is pb.ColumnRef else names:
                if name in masked:
                    refuse(
                        "column-masked",
                        f"`{masked[name]}` is masked, and a statement that writes may not read it",
                        "where the policy has `search: exact` for it, `column = 'value'` as a condition of its own may",
                        name=masked[name],
                        location=getattr(message, "location", -1),
                    )
        stack.extend(parts(message))


def _is_derived(message: Message) -> bool:
    if type(message) is not pb.SelectStmt or len(message.from_clause) != 1:
        return False
    source = concrete(message.from_clause[0])
    # after the rewriting, only a derived table names a relation
    return type(source) is pb.RangeVar and bool(source.schemaname)


def _insert(rewriter: Rewriter, message: Message, writing: Writing) -> tuple[str, ...]:
    select = message.select_stmt.select_stmt
    rows = select.values_lists
    _judge_insert(message, select, writing)
    names = [node.res_target.name for node in message.cols]
    scope = rewriter.lens.view.policy.tables[writing.table.name].scope
    allowed = writing.rule.insert | {scope.column}
    for at, node in enumerate(message.cols):
        given = any(_item(row, at).WhichOneof("node") != "set_to_default" for row in rows)
        _judge_column(rewriter, writing, names[at], allowed, "INSERT", node.res_target, given=given)
    for item in (item for row in rows for item in row.list.items if not is_outside(item)):
        # a function that returns sets would write more rows than are there
        value = copied(item)
        item.coalesce_expr.args.add().CopyFrom(value)
    if message.HasField("with_clause"):
        # seen by VALUES, which with a WITH of its own would no longer take its columns' types
        select.with_clause.CopyFrom(message.with_clause)
    rewriter.defaults = True
    rewriter.query(message.select_stmt)
    rewriter.defaults = False
    _refuse_masked(message.select_stmt, rewriter)
    if select.HasField("with_clause"):
        message.with_clause.CopyFrom(select.with_clause)
        select.ClearField("with_clause")
    if scope.kind == "customer" and scope.column not in names:
        _add_customer(rewriter, message, writing, scope.column)
        names.append(scope.column)
    elif scope.kind != "none" and scope.column not in names:
        refuse(
            "row-out-of-scope",
            f"a row of `{writing.table.name}` needs `{scope.column}`, which says whose it is",
            f"name `{scope.column}` among the columns, with a value of the ticket's customer",
            name=scope.column,
        )
    for at, name in enumerate(names):
        for row in rows:
            _bind(rewriter, writing, name, _item(row, at), insert=True)
    return tuple(names)


def _judge_insert(message: Message, select: Message, writing: Writing) -> None:
    if message.HasField("on_conflict_clause"):
        refuse(
            "statement-not-supported",
            "ON CONFLICT is not supported here",
            "insert what is new, and update what is there with a statement of its own",
        )
    if message.override != pb.OVERRIDING_NOT_SET:
        refuse("statement-not-supported", "OVERRIDING is not supported here", "leave it out")
    if not select.values_lists or select.HasField("limit_count") or select.HasField("limit_offset"):
        refuse(
            "statement-not-supported",
            "only INSERT … VALUES is supported here",
            "select the rows first, and insert them with VALUES",
        )
    if select.sort_clause or select.HasField("with_clause") or select.locking_clause:
        refuse("statement-not-supported", "VALUES stands alone in an INSERT here")
    if not message.cols:
        refuse(
            "statement-not-supported",
            "an INSERT needs the names of its columns",
            f"write them in parentheses after `{writing.table.name}`",
        )
    named = [node.res_target.name for node in message.cols]
    twice = next((name for name in named if named.count(name) > 1), "")
    if twice:
        refuse("syntax-error", f"column `{twice}` is named more than once", name=twice)
    if len(select.values_lists) > writing.rule.rows:
        refuse(
            "write-too-large",
            f"the statement writes {len(select.values_lists)} rows; the policy allows {writing.rule.rows}",
            "send it in parts",
        )
    if any(len(row.list.items) != len(message.cols) for row in select.values_lists):
        refuse("syntax-error", "each row of VALUES must have as many values as columns are named")


def _item(row: Message, at: int) -> Message:
    return row.list.items[at]


def _add_customer(rewriter: Rewriter, message: Message, writing: Writing, column: str) -> None:
    customers = tuple(dict.fromkeys(rewriter.lens.view.customers))
    if len(customers) != 1:
        refuse(
            "row-out-of-scope",
            f"the ticket names {len(customers)} customers: a row of `{writing.table.name}` needs `{column}`",
            f"name `{column}` among the columns",
            name=column,
        )
    message.cols.add().res_target.name = column
    condition = scope_sql(rewriter.lens.view, rewriter.lens.view.policy.tables[writing.table.name], ALIAS, ())
    value = concrete(expression(condition)).rexpr
    for row in message.select_stmt.select_stmt.values_lists:
        row.list.items.add().CopyFrom(value)


def _judge_column(
    rewriter: Rewriter, writing: Writing, name: str, allowed: frozenset[str], verb: str, target: Message,
    *, given: bool = True,
) -> None:  # fmt: skip
    table, view = writing.table.name, rewriter.lens.view
    if target.indirection:
        refuse("statement-not-supported", f"parts of `{name}` cannot be set here", "set the whole value", name=name)
    if name not in allowed or name not in writing.table.columns:
        refuse(
            "column-not-writable",
            f"{verb} may not set `{name}` of `{table}`",
            f"the policy allows {', '.join(f'`{one}`' for one in sorted(allowed)) or 'none'}",
            name=name,
            location=target.location,
        )
    insert = verb == "INSERT"
    problem = unsafe(view.policy, view.catalog, view.reveal, table, name, insert=insert) if given else ""
    if problem:
        refuse("column-not-writable", f"`{name}` of `{table}` cannot be written: {problem}", name=name)


def _bind(rewriter: Rewriter, writing: Writing, name: str, value: Message, *, insert: bool) -> None:
    if value.WhichOneof("node") == "set_to_default":
        if insert and name == rewriter.lens.view.policy.tables[writing.table.name].scope.column:
            refuse("row-out-of-scope", f"`{name}` says whose row it is, and needs a value", name=name)
        return
    view = rewriter.lens.view
    try:
        conditions = bindings(view, writing.table.name, name, insert=insert)
    except GatewayError as error:
        raise Refused(error.refusal) from error
    if not conditions:
        return
    column = view.catalog.relations[writing.table.name].column(name)
    if column is None:
        refuse("policy-invalid", f"`{writing.table.name}` has no column `{name}`")
    value.CopyFrom(bound_value(value, name, column_type(column.type, column.base).plain, conditions))


def _returned(rewriter: Rewriter, table: Table, names: set[tuple[str, ...]], target: Message) -> list[Message]:
    """The columns that an item of RETURNING stands for, masked as the view has them; `names` may stand before one."""
    reference = concrete(target.val)
    fields = list(reference.fields) if type(reference) is pb.ColumnRef else []
    star = bool(fields) and fields[-1].WhichOneof("node") == "a_star"
    before = texts(fields[:-1])
    name = "" if star or not fields else fields[-1].string.sval
    if not fields or before not in names or not (star or name in table.columns):
        refuse(
            "statement-not-supported",
            "RETURNING takes columns of the relation that you may see, by their names, or `*`",
            "select what you need beside it with a statement of its own",
            location=target.location,
        )
    made = []
    for column in table.columns if star else [name]:
        shown = table.columns[column]
        node = copied(shown.target)
        node.res_target.name = target.name or column
        rewriter.found.columns[shown.how][f"{table.name}.{column}"] = None
        made.append(node)
    return made


_VERBS = {pb.InsertStmt: "INSERT", pb.UpdateStmt: "UPDATE", pb.DeleteStmt: "DELETE"}
_REWRITE = {pb.InsertStmt: _insert, pb.UpdateStmt: _update, pb.DeleteStmt: _delete}
