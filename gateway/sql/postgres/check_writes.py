"""The check of a statement that writes: the outer statement part by part, the SELECT inside as any other.

INVARIANT: shares no rule with `writes.py`, `write_asking.py` and `write_values.py`: what the user's statement means as
a SELECT, which columns may be written and what a value has to meet is worked out here again. It shares the names that
the gateway uses inside (`SOURCE`, `MARKS` and their like).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from postgast import pg_query_pb2 as pb

from gateway.errors import GatewayError
from gateway.policy.kinds import KINDS
from gateway.policy.types import column_type
from gateway.sql.postgres.evidence import Evidence, evidence, row_condition
from gateway.sql.postgres.parse import expression
from gateway.sql.postgres.proof import Proof, require, unproven
from gateway.sql.postgres.tree import Message, Node, Refused, concrete, parts, same, texts, walk
from gateway.sql.postgres.write_values import MARKS
from gateway.sql.postgres.writes import ROW, ROWS, SOURCE, TABLE

Compare = Callable[[Proof, Message, Message], None]
_OUTER = {
    pb.UpdateStmt: {"relation", "target_list", "from_clause", "where_clause", "returning_clause"},
    pb.DeleteStmt: {"relation", "using_clause", "where_clause", "returning_clause"},
    pb.InsertStmt: {"relation", "cols", "select_stmt", "returning_clause", "with_clause", "override"},
}


def prove_write(proof: Proof, before: Message, after: Message, compare: Compare) -> None:
    """Prove one INSERT, UPDATE or DELETE; `compare` walks two trees side by side.

    Raises: Refused (`scope-not-provable`).
    """
    require(proof.view.write, "a grant for reading")
    known = {described.name for described, _ in after.ListFields()}
    require(known <= _OUTER[type(after)], "a statement that writes has more to it")
    meant = _target(proof, before, after)
    if type(before) is pb.InsertStmt:
        _insert(proof, meant, before, after, compare)
    else:
        _existing(proof, meant, before, after, compare)
    _returning(meant, before, after)


def _target(proof: Proof, before: Message, after: Message) -> Evidence:
    old, new, view = before.relation, after.relation, proof.view
    own = {node.common_table_expr.ctename for node in before.with_clause.ctes}
    require(bool(old.schemaname) or old.relname not in own, "the relation that is written has the name of a WITH item")
    try:
        meant = evidence(old.schemaname, old.relname, view)
    except GatewayError as error:
        raise Refused(error.refusal) from error
    if meant is None:
        raise unproven("a relation that does not exist for the view")
    named = (new.catalogname, new.schemaname, new.relname, new.inh, new.alias.aliasname)
    require(named == ("", meant.schema, meant.name, old.inh, "t"), "another relation is written")
    require(not new.alias.colnames and not old.catalogname, "the relation that is written has more to it")
    name = f"{meant.schema}.{meant.name}"
    rule, relation = view.policy.write.get(name), view.catalog.relation(name)
    if rule is None or relation is None or relation.kind not in ("r", "p") or name in view.catalog.ruled:
        raise unproven("a relation that may not be written")
    allowed = {pb.InsertStmt: bool(rule.insert), pb.UpdateStmt: bool(rule.update), pb.DeleteStmt: rule.delete}
    require(allowed[type(before)], "this may not be done to the relation")
    return meant


def _existing(proof: Proof, meant: Evidence, before: Message, after: Message, compare: Compare) -> None:
    updating = type(before) is pb.UpdateStmt
    sources = after.from_clause if updating else after.using_clause
    require(len(sources) == 1, "the outer statement reads something else")
    item = concrete(sources[0])
    require(type(item) is pb.RangeSubselect and not item.lateral, "the outer statement reads something else")
    require(item.alias.aliasname == SOURCE and not item.alias.colnames, "the name of the inner SELECT changed")
    rows = proof.view.policy.write[f"{meant.schema}.{meant.name}"].rows
    require(same(expression(_bound(rows)), after.where_clause), "the bound of a statement that writes changed")
    if not updating:
        _deletable(proof, meant, f"{meant.schema}.{meant.name}")
    values = _values(proof, meant, before, after) if updating else []
    select = Node()
    select.CopyFrom(item.subquery)
    require(select.WhichOneof("node") == "select_stmt", "the inner SELECT does not read")
    _strip(before, select.select_stmt)
    asked = _asked(before, before.from_clause if updating else before.using_clause, values)
    proof.marked = before.relation.location
    compare(proof, asked, select)
    _unmasked(proof, asked, item.subquery)


def _bound(rows: int) -> str:
    where = " AND ".join(
        f't.{column} OPERATOR(pg_catalog.=) "{SOURCE}"."{name}"'
        for column, name in (("tableoid", TABLE), ("ctid", ROW))
    )
    number = f'"{SOURCE}"."{ROWS}"'
    fail = f"CAST('{MARKS['rows']}' OPERATOR(pg_catalog.||) CAST({number} AS pg_catalog.text) AS pg_catalog.bool)"
    return f"{where} AND CASE WHEN {number} OPERATOR(pg_catalog.<=) {rows} THEN true ELSE {fail} END"


def _strip(before: Message, select: Message) -> None:
    """Take away what the inner SELECT has beyond the user's, once it is what it should be."""
    alias = (before.relation.alias.aliasname or before.relation.relname).replace('"', '""')
    last = select.target_list[-3:]
    require(len(last) == 3, "the inner SELECT does not say which rows it means")
    for node, sql, name in zip(
        last, (f'"{alias}"."{TABLE}"', f'"{alias}"."{ROW}"', "pg_catalog.count(*) OVER ()"), ("", "", ROWS), strict=True
    ):
        target = node.res_target
        require(target.name == name and not target.indirection, "the inner SELECT does not say which rows it means")
        require(same(expression(sql), target.val), "the inner SELECT does not say which rows it means")
    require(same(expression("0"), select.limit_offset) and not select.HasField("limit_count"), "the fence is missing")
    del select.target_list[-3:]
    select.ClearField("limit_offset")
    select.limit_option = pb.LIMIT_OPTION_DEFAULT


def _asked(before: Message, others: Iterable[Message], values: list[Message]) -> Message:
    """What the user's statement asks for, as a SELECT."""
    made = Node()
    select = made.select_stmt
    select.op, select.limit_option = pb.SETOP_NONE, pb.LIMIT_OPTION_DEFAULT
    if before.HasField("with_clause"):
        select.with_clause.CopyFrom(before.with_clause)
    select.from_clause.add().range_var.CopyFrom(before.relation)
    for other in others:
        select.from_clause.append(other)
    if before.HasField("where_clause"):
        select.where_clause.CopyFrom(before.where_clause)
    for at, value in enumerate(values):
        column = select.target_list.add().res_target
        column.name = f"gateway {at + 1}"
        column.val.coalesce_expr.args.append(value)
    return made


def _values(proof: Proof, meant: Evidence, before: Message, after: Message) -> list[Message]:
    """Prove what each column is set to; the user's expressions that have to be in the inner SELECT."""
    rule = proof.view.policy.write[f"{meant.schema}.{meant.name}"]
    require(len(before.target_list) == len(after.target_list), "other columns are set")
    inside: list[Message] = []
    for old, new in zip(before.target_list, after.target_list, strict=True):
        name = old.res_target.name
        require(new.res_target.name == name and name in rule.update, f"`{name}` may not be set")
        require(not old.res_target.indirection and not new.res_target.indirection, f"a part of `{name}` is set")
        value = _given(old.res_target.val)
        kind = value.WhichOneof("node")
        if kind in ("a_const", "param_ref", "set_to_default"):
            wanted = value
        else:
            inside.append(value)
            wanted = expression(f'"{SOURCE}"."gateway {len(inside)}"')
        _column(proof, meant, name, wanted, new.res_target.val, inserting=False)
    return inside


def _given(value: Message) -> Message:
    multiple = concrete(value)
    if type(multiple) is not pb.MultiAssignRef:
        return value
    row = concrete(multiple.source)
    require(type(row) is pb.RowExpr and len(row.args) == multiple.ncolumns, "a row of values of unknown width is set")
    return row.args[multiple.colno - 1]


def _column(proof: Proof, meant: Evidence, name: str, wanted: Message, value: Message, *, inserting: bool) -> None:
    """Prove that a column may be written and gets `wanted`, under the conditions that it must meet."""
    require(name in meant.values, f"`{name}` does not exist for the view")
    if wanted.WhichOneof("node") == "set_to_default":
        require(same(wanted, value), f"`{name}` is set to something else")
        return
    template = _conditional(proof, meant, name, inserting=inserting)
    if template is None:
        require(same(wanted, value), f"`{name}` is set to something else")
    else:
        require(same(template, value, wanted), f"`{name}` is set to something else, or without its conditions")


def _conditional(proof: Proof, meant: Evidence, name: str, *, inserting: bool) -> Message | None:
    """What must stand for a value (`$0`) of a column; None for the value itself."""
    view, table = proof.view, f"{meant.schema}.{meant.name}"
    scope, catalog = view.policy.tables[table].scope, view.catalog
    own_scope = scope.column if scope.kind != "none" else ""
    conditions = []
    if name == own_scope:
        require(inserting, f"`{name}` says whose row it is")
        conditions.append(row_condition(view, table, "t"))
    else:
        _tells_nothing(proof, meant, table, name, inserting=inserting)
    for key in sorted(catalog.references):
        if key.partly or key.relation != table or name not in key.columns or name == own_scope:
            continue
        rows = row_condition(view, key.other, "r")
        if rows:
            own, other = _quote(name), ".".join(_quote(part) for part in key.other.split(".", 1))
            there = f"SELECT r.{_quote(key.other_columns[0])} FROM {other} AS r WHERE {rows}"  # noqa: S608
            conditions.append(f"t.{own} IS NULL OR t.{own} OPERATOR(pg_catalog.=) ANY ({there})")
    if not conditions:
        return None
    column = catalog.relations[table].column(name)
    if column is None:
        raise unproven(f"`{name}` does not exist")
    own = _quote(name)
    fail = (
        f"CAST('{MARKS['scope']}' OPERATOR(pg_catalog.||) COALESCE(CAST(t.{own} AS pg_catalog.text), '')"
        " AS pg_catalog.bool)"
    )
    where = " AND ".join(f"CASE WHEN {condition} THEN true ELSE {fail} END" for condition in conditions)
    kind = column_type(column.type, column.base).plain
    return expression(f"(SELECT t.{own} FROM (SELECT CAST($0 AS {kind}) AS {own} OFFSET 0) AS t WHERE {where})")  # noqa: S608


def _tells_nothing(proof: Proof, meant: Evidence, table: str, name: str, *, inserting: bool) -> None:
    """Prove that no constraint compares a column with what is not shown, and that no row is shown because of it."""
    policy, catalog = proof.view.policy, proof.view.catalog
    scope = policy.tables[table].scope
    made = [(computed, sources) for relation, computed, sources in catalog.generated if relation == table]
    moved = {name}.union(computed for computed, sources in made if name in sources)
    # a computed column tells what it is computed from, whatever the policy says of it
    clear = meant.clear.difference(computed for computed, _ in made)
    clear = clear.union(computed for computed, sources in made if meant.clear.issuperset(sources))
    # and what is written is known to whoever writes it
    known = clear | {name}
    known = known.union(computed for computed, sources in made if known.issuperset(sources))
    require(scope.kind == "none" or scope.column not in moved, f"`{name}` says whose row it is")
    for other in policy.tables.values():
        followed = other.scope.kind == "follows" and other.scope.other == table
        require(not followed or other.scope.other_column not in moved, f"`{name}` says whose other rows are")
    for one in moved - {name}:
        rule = policy.tables[table].columns.get(one)
        unkeyed = rule is None or not (KINDS[rule.mask.kind].keyed or rule.mask.kind == "json" or rule.aggregate)
        require(unkeyed, f"`{one}` is computed from `{name}` and shown under a key, or in sums")
    require(known.issuperset(moved), f"another column is computed from `{name}` and what is not shown")
    for index in catalog.uniques:
        if index.relation == table and moved & set(index.touched):
            require(scope.kind == "none" or scope.column in index.key, f"`{name}` is unique over all customers")
            require(clear.issuperset(index.touched), f"`{name}` is unique with what is not shown")
    for relation, columns in catalog.checks:
        require(relation != table or not moved & set(columns) or known.issuperset(columns), f"`{name}` is checked")
    for key in catalog.references:
        if key.relation == table and moved & set(key.columns) and not key.partly:
            require(key.columns == (name,), f"`{name}` is part of a reference that is not checked")
            there = _of(proof, key.other)
            require(key.other in policy.tables and there is not None, f"`{name}` refers away")
            require(there is not None and key.other_columns[0] in there.clear, f"`{name}` refers to what is not shown")
        require(inserting or key.other != table or not moved & set(key.other_columns), f"`{name}` is referred to")


def _deletable(proof: Proof, meant: Evidence, table: str) -> None:
    """Prove that deleting rows changes nothing else and tells of nothing else."""
    policy = proof.view.policy
    due, done = [table], set[str]()
    while due:
        here = due.pop()
        if here in done:
            continue
        done.add(here)
        whose = policy.tables[here].scope
        for key in proof.view.catalog.references:
            changes = key.on_delete not in ("a", "r")
            if key.other != here or (key.relation == here and not changes):
                continue
            require(key.relation in policy.tables, "hidden rows may refer to what is deleted")
            scope, rule = policy.tables[key.relation].scope, policy.write.get(key.relation)
            require(scope.kind == "none" or whose.kind != "none", "rows of others may refer to it")
            if not changes:
                continue
            if scope.kind != "none":
                ends = dict(zip(key.columns, key.other_columns, strict=True))
                through = (scope.kind, scope.other, list(ends.items()))
                alike = ends.get(scope.column) == whose.column and replace(scope, column=whose.column) == whose
                require(
                    alike or through == ("follows", here, [(scope.column, scope.other_column)]),
                    "rows of others would be changed",
                )
            if key.on_delete == "c":
                require(rule is not None and rule.delete, "a deletion would go on elsewhere")
                due.append(key.relation)
                continue
            require(rule is not None and set(key.columns) <= rule.update, "a deletion would change rows elsewhere")
            there = meant if key.relation == table else _of(proof, key.relation)
            if there is None:
                raise unproven("a deletion would change rows elsewhere")
            for column in key.columns:
                _tells_nothing(proof, there, key.relation, column, inserting=False)


def _insert(proof: Proof, meant: Evidence, before: Message, after: Message, compare: Compare) -> None:
    view, table = proof.view, f"{meant.schema}.{meant.name}"
    rule, scope = view.policy.write[table], view.policy.tables[table].scope
    require(after.override == before.override == pb.OVERRIDING_NOT_SET, "OVERRIDING")
    require(not before.HasField("on_conflict_clause"), "ON CONFLICT vanished")
    names = [node.res_target.name for node in after.cols]
    given = [node.res_target.name for node in before.cols]
    added = names[len(given) :]
    require(given == names[: len(given)] and len(set(names)) == len(names) > 0, "other columns are set")
    require(not any(n.res_target.indirection for n in (*before.cols, *after.cols)), "a part of a column is set")
    require(added == [] or (added == [scope.column] and scope.kind == "customer"), "other columns are set")
    require(scope.kind == "none" or scope.column in names, "a row without a customer")
    require(set(given) <= rule.insert | {scope.column}, "a column may not be set")
    select = Node()
    select.CopyFrom(after.select_stmt)
    require(not select.select_stmt.HasField("with_clause"), "WITH in WITH")
    if after.HasField("with_clause"):
        select.select_stmt.with_clause.CopyFrom(after.with_clause)
    rows = select.select_stmt.values_lists
    require(0 < len(rows) <= rule.rows, "too many rows")
    for row in rows:
        items = row.list.items
        require(len(items) == len(names), "a row has another width")
        for item, name in zip(items, names, strict=True):
            if name in added:
                template = _conditional(proof, meant, name, inserting=True)
                customer = concrete(expression(row_condition(view, table, "t"))).rexpr
                require(template is not None and same(template, item, customer), "a row is another customer's")
            elif item.WhichOneof("node") == "set_to_default":
                require(scope.kind == "none" or name != scope.column, "a row without a customer")
            else:
                require(name in meant.values, f"`{name}` does not exist for the view")
                template = _conditional(proof, meant, name, inserting=True)
                if template is not None:
                    value = _inside(item)
                    require(same(template, item, value), f"`{name}` is set without its conditions")
                    item.CopyFrom(value)
        if added:
            del items[-1]
    asked = Node()
    asked.CopyFrom(before.select_stmt)
    require(asked.WhichOneof("node") == "select_stmt" and not asked.select_stmt.HasField("with_clause"), "WITH in WITH")
    if before.HasField("with_clause"):
        asked.select_stmt.with_clause.CopyFrom(before.with_clause)
    for row in asked.select_stmt.values_lists:
        for at, item in enumerate(row.list.items):
            if item.WhichOneof("node") not in ("a_const", "param_ref", "set_to_default"):
                alone = Node()
                alone.coalesce_expr.args.append(item)
                row.list.items[at].CopyFrom(alone)
    compare(proof, asked, select)
    _unmasked(proof, asked, select)


def _inside(item: Message) -> Message:
    """The value that stands under conditions, as a copy; `_insert` proves what is around it."""
    reading = item.sub_link.subselect.select_stmt
    require(len(reading.from_clause) == 1, "a value is not under its conditions")
    inner = reading.from_clause[0].range_subselect.subquery.select_stmt
    require(len(inner.target_list) == 1, "a value is not under its conditions")
    made = Node()
    made.CopyFrom(inner.target_list[0].res_target.val.type_cast.arg)
    return made


def _unmasked(proof: Proof, asked: Message, outgoing: Message) -> None:
    """Prove that nothing reads a masked column but what was moved onto it."""
    masked: set[str] = set()
    for one in walk(asked):
        if type(one) is pb.ColumnRef:
            names = (part.string.sval for part in one.fields)
            require(not any(name.startswith("gateway ") for name in names), "a name of the gateway's own")
        if type(one) is pb.RangeVar:
            read = evidence(one.schemaname, one.relname, proof.view)
            if read is not None and read.kinds:
                masked |= read.values.keys() - read.clear
    stack = [outgoing]
    while stack:
        message = concrete(stack.pop())
        if message is None:
            continue
        if type(message) is pb.SelectStmt and any(
            source.WhichOneof("node") == "range_var" and source.range_var.schemaname for source in message.from_clause
        ):
            continue
        if type(message) is pb.ColumnRef:
            require((texts(message.fields[-1:]) or ("",))[0] not in masked, "a masked column is read by what writes")
        if type(message) is pb.JoinExpr:
            joined = set(texts(message.using_clause) or ())
            require(not message.is_natural and masked.isdisjoint(joined), "a masked column is read by what writes")
        stack.extend(parts(message))


def _returning(meant: Evidence, before: Message, after: Message) -> None:
    own = before.relation
    alias = own.alias.aliasname or own.relname
    whole = (own.schemaname, own.relname) if own.schemaname and not own.alias.aliasname else ()
    require(not before.returning_clause.options and not after.returning_clause.options, "OLD and NEW")
    wanted: list[tuple[str, str]] = []
    for node in before.returning_clause.exprs:
        reference = concrete(node.res_target.val)
        require(type(reference) is pb.ColumnRef and len(reference.fields) > 0, "RETURNING of an expression")
        require(texts(reference.fields[:-1]) in ((), (alias,), whole), "RETURNING of something else")
        last = concrete(reference.fields[-1])
        names = list(meant.values) if type(last) is pb.A_Star else [last.sval]
        wanted += [(node.res_target.name or name, name) for name in names]
    require(len(wanted) == len(after.returning_clause.exprs), "RETURNING returns something else")
    for (title, name), node in zip(wanted, after.returning_clause.exprs, strict=True):
        target = node.res_target
        require(name in meant.values and target.name == title and not target.indirection, "RETURNING of another column")
        require(same(meant.values[name], target.val), f"RETURNING shows `{name}` otherwise than the view")


def _of(proof: Proof, qualified: str) -> Evidence | None:
    schema, _, name = qualified.partition(".")
    return evidence(schema, name, proof.view)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
