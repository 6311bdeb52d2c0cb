"""INSERT, UPDATE and DELETE of MySQL's and MariaDB's, within the policy.

Theory of operation. What a person writes around the columns to be set is a question about rows (`write_reading.py`),
and is asked as one:

    UPDATE employees e SET status = lower(e.status) WHERE e.id = 1
    -- becomes
    UPDATE (SELECT gateway_a.gateway_k1, gateway_a.gateway_v1, COUNT(*) OVER () AS gateway_rows, 1 AS gateway_scope
              FROM (SELECT lower(e.status) AS gateway_v1, e.gateway_k1
                      FROM (<the masked, scoped rows of employees, with their key>) AS e
                     WHERE e.id = 1 LIMIT <fence>) AS gateway_a LIMIT <fence>) AS gateway_w
      STRAIGHT_JOIN shop.employees AS gateway_t FORCE INDEX (PRIMARY) ON gateway_t.id = gateway_w.gateway_k1
       SET gateway_t.status = gateway_w.gateway_v1
     WHERE <there are not too many> AND <no value is another customer's> AND <it is the customer's row>

The question is rewritten like any other, so the person's expressions see masked, scoped rows and nothing else; the
outer statement holds nothing of his. The server makes the derived table first, for its LIMIT and its count, and locks
the rows that it reads, whatever the isolation: nobody else changes them before they are written. All of the WHERE is
met before the first row is changed, since the rows to be changed are collected first (MySQL 8.4 Reference Manual,
"UPDATE Statement", "Optimizing Derived Tables", "Locks Set by Different SQL Statements in InnoDB").

Where MySQL's own reading of the statement would differ from that of the question, it is refused: SET that uses what it
set before, aggregates and windows outside of a sub-query.

INVARIANT: `check_writes.py` proves the outer statement part by part, and the question as any other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.model import Write
from gateway.policy.schema import WriteRule
from gateway.sql.catalog import Relation
from gateway.sql.statement import Kind, Plan, View
from gateway.sql.tree import allowed
from gateway.sql.tree.analysis import planned
from gateway.sql.tree.check_writes import prove_write
from gateway.sql.tree.grammar import GRAMMARS, Grammar
from gateway.sql.tree.masks import literal_sql
from gateway.sql.tree.rewrite import KEY, derived, in_scope
from gateway.sql.tree.scopes import Names, find, resolve, visible
from gateway.sql.tree.write_meaning import judge_meaning
from gateway.sql.tree.write_reading import Asked, asked
from gateway.sql.tree.write_values import as_type, bindings, unless
from gateway.sql.tree.writing import Source, Writer, quoted
from gateway.sql.writable import unsafe, unsafe_default, unsafe_delete, unsafe_insert, unwritable

ROWS, VALUE = "gateway_w", "gateway_v"
_INNER, _TARGET, _BOUND = "gateway_a", "gateway_t", "gateway_b"
_MOST_PREVIEWED = 50
_READ_ONLY = "ask for one that may write: gateway open TICKET --statement 'UPDATE …' --reason WHY, or --write"


@dataclass(frozen=True, slots=True)
class _Writing:
    """One statement, the relation that it writes, and what may be written there; `columns` as the catalog has them."""

    asked: Asked
    relation: Relation
    rule: WriteRule
    columns: tuple[str, ...]
    view: View
    grammar: Grammar

    @property
    def table(self) -> str:
        return f"{quoted(self.relation.schema)}.{quoted(self.relation.name)}"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.view.catalog.keys.get(self.relation.qualified, ())


def analyse(text: str, view: View) -> Plan:
    """The plan of a statement that begins with INSERT, UPDATE or DELETE. Raises: GatewayError."""
    grammar = GRAMMARS[view.policy.dialect]
    if not view.policy.write:
        raise GatewayError("read-only", "this target is for reading", "SELECT is read here")
    if not view.write:
        raise GatewayError("read-only", "this grant is for reading", _READ_ONLY)
    found = asked(text, grammar, view.limits)
    allowed.judge(found.question.tree, grammar)
    writing = _writing(found, view, grammar)
    judge_meaning(found, view)
    canonical = _spelled(writing)
    names = resolve(found.question.tree, view, grammar)
    _judge_masked(names, writing)
    shown = names.shown(view)
    made = _inserted(writing, names) if found.verb == "INSERT" else _existing(writing, names)
    prove_write(made, found, view, grammar, shown)
    names.columns.setdefault(writing.relation.qualified, {})
    plan = planned(found.question, names, made, view, grammar, named=False)
    shape = _spelled(writing, normalised=True)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return replace(
        plan,
        kinds=(Kind.WRITE,),
        verbs=(found.verb,),
        normalised=shape,
        fingerprint=hashlib.sha256(shape.encode()).hexdigest()[:16],
        conceals=shape != canonical,
        write=Write(
            found.verb, writing.relation.qualified, writing.columns, writing.rule.rows, writing.rule.approval,
            canonical, digest, "" if found.verb == "INSERT" else _preview(writing),
            any(True for _ in found.question.tree.find_all(exp.Placeholder)),
        ),
    )  # fmt: skip


def _writing(found: Asked, view: View, grammar: Grammar) -> _Writing:
    relation = find(view, found.schema, found.name)
    if relation is None:
        name = f"{found.schema}.{found.name}" if found.schema else found.name
        raise GatewayError("relation-not-available", f"there is no relation `{name[:130]}`")
    table = relation.qualified
    rule = view.policy.write.get(table)
    may = rule is not None and {
        "INSERT": bool(rule.insert), "UPDATE": bool(rule.update), "DELETE": rule.delete,
    }[found.verb]  # fmt: skip
    if rule is None or not may:
        raise GatewayError(
            "read-only", f"{found.verb} is not allowed on `{table}`",
            "the policy names what may be written; ask the owner of the data to make the change",
        )  # fmt: skip
    problem = unwritable(view.catalog, table)
    if not problem and found.verb != "INSERT" and not view.catalog.keys.get(table):
        problem = "it has no primary key, by which its rows could be told apart"
    if problem:
        raise GatewayError("statement-not-supported", f"`{table}` cannot be written here: {problem}")
    if found.verb == "DELETE":
        problem = unsafe_delete(view.policy, view.catalog, view.reveal, table)
        if problem:
            raise GatewayError("read-only", f"rows of `{table}` cannot be deleted: {problem}")
    if found.verb == "INSERT":
        problem = unsafe_insert(view.policy, view.catalog, view.reveal, table)
        if problem:
            raise GatewayError("read-only", f"rows cannot be inserted into `{table}`: {problem}")
    columns = tuple(_column(found, at, name, relation, rule, view) for at, name in enumerate(found.columns))
    twice = next((name for name in columns if columns.count(name) > 1), "")
    if twice:
        raise GatewayError("syntax-error", f"column `{twice}` is named more than once")
    if any(len(row) != len(columns) for row in found.rows):
        raise GatewayError("syntax-error", "each row of VALUES must have as many values as columns are named")
    if found.verb == "INSERT" and len(found.rows) > rule.rows:
        raise GatewayError(
            "write-too-large", f"the statement writes {len(found.rows)} rows; the policy allows {rule.rows}",
            "send it in parts",
        )  # fmt: skip
    return _Writing(found, relation, rule, columns, view, grammar)


def _column(found: Asked, at: int, spelled: str, relation: Relation, rule: WriteRule, view: View) -> str:
    """The column of that name that may be set. Raises: GatewayError."""
    table, scope = relation.qualified, view.policy.tables[relation.qualified].scope
    inserting = found.verb == "INSERT"
    mine = frozenset({scope.column}) if inserting and scope.kind != "none" else frozenset[str]()
    may = (rule.insert if inserting else rule.update) | mine
    name = next((one for one in visible(view, relation) if one.lower() == spelled.lower()), "")
    if name not in may or (not inserting and scope.kind != "none" and name == scope.column):
        raise GatewayError(
            "column-not-writable", f"{found.verb} may not set `{spelled[:64]}` of `{table}`",
            f"the policy allows {', '.join(f'`{one}`' for one in sorted(may)) or 'none'}",
        )  # fmt: skip
    if inserting and name in mine and not all(row[at] for row in found.rows if at < len(row)):
        raise GatewayError("row-out-of-scope", f"`{name}` says whose row it is, and needs a value")
    if not all(row[at] for row in found.rows if at < len(row)):
        problem = unsafe_default(view.catalog, table, name)
        if problem:
            raise GatewayError("column-not-writable", f"`{name}` of `{table}` cannot be set to it: {problem}")
    if any(row[at] for row in found.rows if at < len(row)):
        problem = unsafe(view.policy, view.catalog, view.reveal, table, name, insert=inserting)
        if problem:
            raise GatewayError("column-not-writable", f"`{name}` of `{table}` cannot be written: {problem}")
    return name


def _judge_masked(names: Names, writing: _Writing) -> None:
    """Refuse what reads a masked column: its mask would be written, or its value told."""
    for table, columns in names.columns.items():
        rules = writing.view.policy.tables[table].columns
        for name in columns:
            if rules[name].mask.kind != "clear" and (table, name) not in writing.view.reveal:
                raise GatewayError(
                    "column-masked", f"`{table}.{name}` is masked, and a statement that writes may not read it",
                    "write the names of tables in front of columns, if another one's is meant",
                )  # fmt: skip


def _existing(writing: _Writing, names: Names) -> str:
    found, grammar, view = writing.asked, writing.grammar, writing.view
    keys = range(1, len(writing.keys) + 1)
    parts = [f"{_of(_INNER, f'{KEY}{one}')} AS {quoted(f'{KEY}{one}')}" for one in keys]
    sets, conditions, number = [], [f"{_of(ROWS, 'gateway_rows')} <= {writing.rule.rows}"], 0
    for name, there in zip(writing.columns, found.rows[0] if found.rows else (), strict=True):
        if not there:
            sets.append(f"{_of(_TARGET, name)} = DEFAULT")
            continue
        number += 1
        value = _of(_INNER, f"{VALUE}{number}")
        bound = bindings(view, grammar, writing.relation.qualified, name, _of(ROWS, f"{VALUE}{number}"))
        if bound:
            column = writing.relation.column(name)
            assert column is not None
            value = as_type(column, value)
            conditions += bound
        parts.append(f"{value} AS {quoted(f'{VALUE}{number}')}")
        sets.append(f"{_of(_TARGET, name)} = {_of(ROWS, f'{VALUE}{number}')}")
    joined = " AND ".join(
        f"{_of(_TARGET, name)} = {_of(ROWS, f'{KEY}{place}')}" for place, name in enumerate(writing.keys, start=1)
    )
    counted = f"SELECT {', '.join(parts)}, COUNT(*) OVER () AS `gateway_rows`, 1 AS `gateway_scope`"
    source = f"({counted} FROM ({_question(writing, names)}) AS {quoted(_INNER)} LIMIT {grammar.fence})"
    target = f"{writing.table} AS {quoted(_TARGET)} FORCE INDEX (PRIMARY) ON {joined}"
    tables = f"{source} AS {quoted(ROWS)} STRAIGHT_JOIN {target}"
    where = " AND ".join(unless(one, "scope" if at else "rows", ROWS) for at, one in enumerate(conditions))
    mine = in_scope(writing.relation, view.policy.tables[writing.relation.qualified].scope, view, grammar, _TARGET, 0)
    # what the key says is the customer's, and said again where it is written
    where += f" AND ({mine})" if mine else ""
    if found.verb == "DELETE":
        return f"DELETE {quoted(_TARGET)} FROM {tables} WHERE {where}"
    return f"UPDATE {tables} SET {', '.join(sets)} WHERE {where}"


def _question(writing: _Writing, names: Names) -> str:
    """The rewritten question, with the values and keys under names of ours."""
    found = writing.asked
    written = found.question.tree.args["from_"].this
    source = _sources(writing, names)
    writer = Writer(writing.grammar, source)
    parts = [
        f"{writer.value(one)} AS {quoted(f'{VALUE}{place}')}"
        for place, one in enumerate(found.question.tree.expressions, start=1)
    ]
    parts += [
        f"{_of(found.alias, f'{KEY}{place}')} AS {quoted(f'{KEY}{place}')}" for place, _ in enumerate(writing.keys, 1)
    ]
    text = f"SELECT {', '.join(parts)} FROM {source(written)}{_end(found, writer)}"
    return text if found.question.tree.args.get("limit") else f"{text} LIMIT {writing.grammar.fence}"


def _sources(writing: _Writing, names: Names) -> Source:
    """What stands for each table; the one that is written has its key as well."""
    found, grammar, view = writing.asked, writing.grammar, writing.view
    written = found.question.tree.args.get("from_")
    shown = names.shown(view)

    def source(table: exp.Table) -> str:
        relation = names.relations.get(id(table))
        alias = quoted(table.alias or table.name)
        if relation is None:
            return f"{quoted(names.ctes[id(table)])} AS {alias}"
        keys = writing.keys if written is not None and table is written.this else ()
        return f"{derived(relation, shown[relation.qualified], [], [], view, grammar, keys)} AS {alias}"

    return source


def _inserted(writing: _Writing, names: Names) -> str:
    found = writing.asked
    scope = writing.view.policy.tables[writing.relation.qualified].scope
    writer = Writer(writing.grammar, _sources(writing, names))
    values = iter(found.values)
    columns = list(writing.columns)
    added = _added(writing) if scope.kind != "none" and scope.column not in columns else ""
    rows = []
    for row in found.rows:
        items = [
            _bound(writing, name, writer.value(next(values))) if there else "DEFAULT"
            for name, there in zip(writing.columns, row, strict=True)
        ]
        rows.append(f"({', '.join([*items, added] if added else items)})")
    if added:
        columns.append(scope.column)
    listed = ", ".join(quoted(one) for one in columns)
    return f"INSERT INTO {writing.table} ({listed}) VALUES {', '.join(rows)}"


def _added(writing: _Writing) -> str:
    """The customer, for a row that does not name it. Raises: GatewayError."""
    view, table = writing.view, writing.relation.qualified
    scope = view.policy.tables[table].scope
    customers = tuple(dict.fromkeys(view.customers))
    column = writing.relation.column(scope.column)
    if scope.kind != "customer" or len(customers) != 1 or column is None:
        raise GatewayError(
            "row-out-of-scope", f"a row of `{table}` needs `{scope.column}`, which says whose it is",
            f"name `{scope.column}` among the columns, with a value of the ticket's customer",
        )  # fmt: skip
    return literal_sql(customers[0], column)


def _bound(writing: _Writing, name: str, value: str) -> str:
    """The value where it meets its conditions; else the statement fails."""
    view, grammar, relation = writing.view, writing.grammar, writing.relation
    scope = view.policy.tables[relation.qualified].scope
    here = _of(_BOUND, name)
    if scope.kind != "none" and name == scope.column:
        conditions = [in_scope(relation, scope, view, grammar, _BOUND, 0)]
    else:
        conditions = bindings(view, grammar, relation.qualified, name, here)
    column = relation.column(name)
    if not conditions or column is None:
        return value
    row = f"SELECT {as_type(column, value)} AS {quoted(name)}, 1 AS `gateway_scope` LIMIT {grammar.fence}"
    where = " AND ".join(unless(one, "scope", _BOUND) for one in conditions)
    return f"(SELECT {here} FROM ({row}) AS {quoted(_BOUND)} WHERE {where})"


def _of(alias: str, name: str) -> str:
    return f"{quoted(alias)}.{quoted(name)}"


# what an approver sees


def _spelled(writing: _Writing, *, normalised: bool = False) -> str:
    """The statement in one form, whatever its spacing, case and comments."""
    found = writing.asked
    writer = Writer(writing.grammar, _plain, normalised=normalised, spelled=True)
    values = iter(found.values)
    rows = [[writer.value(next(values)) if there else "DEFAULT" for there in row] for row in found.rows]
    if found.verb == "INSERT":
        listed = ", ".join(quoted(one) for one in writing.columns)
        lines = ", ".join(f"({', '.join(row)})" for row in rows)
        return f"INSERT INTO {writing.table} ({listed}) VALUES {lines}"
    named = f"{writing.table} AS {quoted(found.alias)}"
    end = _end(found, writer)
    if found.verb == "DELETE":
        return f"DELETE FROM {named}{end}"
    sets = ", ".join(f"{quoted(name)} = {value}" for name, value in zip(writing.columns, rows[0], strict=True))
    return f"UPDATE {named} SET {sets}{end}"


def _preview(writing: _Writing) -> str:
    """A SELECT of what the statement would meet and set; for whoever may read what the requester may."""
    found = writing.asked
    writer = Writer(writing.grammar, _plain, spelled=True)
    values = iter(found.values)
    news = [
        f"{writer.value(next(values)) if there else _DEFAULT} AS {quoted(f'new {name}')}"
        for name, there in zip(writing.columns, found.rows[0] if found.rows else (), strict=True)
    ]
    most = min(writing.rule.rows + 1, _MOST_PREVIEWED)
    limit = found.question.tree.args.get("limit")
    if limit is not None and isinstance(limit.expression, exp.Literal):
        most = min(most, int(limit.expression.this))
    shown = ", ".join([*news, f"{quoted(found.alias)}.*"])
    end = _end(found, writer, limited=False)
    return f"SELECT {shown} FROM {writing.table} AS {quoted(found.alias)}{end} LIMIT {most}"


_DEFAULT = "'DEFAULT'"


def _end(found: Asked, writer: Writer, *, limited: bool = True) -> str:
    tree_ = found.question.tree
    where, order, limit = (tree_.args.get(name) for name in ("where", "order", "limit"))
    text = f" WHERE {writer.value(where.this)}" if where is not None else ""
    text += f" {writer.order(order)}" if order is not None else ""
    return text + (f" LIMIT {writer.value(limit.expression)}" if limited and limit is not None else "")


def _plain(table: exp.Table) -> str:
    name = f"{quoted(table.db)}.{quoted(table.name)}" if table.db else quoted(table.name)
    return f"{name} AS {quoted(table.alias)}" if table.alias else name
