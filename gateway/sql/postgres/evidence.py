"""What a relation's derived table must be for a view; the yardstick of `check.py`.

INVARIANT: derived from the policy, the catalog and the grant by code of its own, so that a fault in `lens.py` shows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import postgast
from postgast import pg_query_pb2 as pb

from gateway.errors import GatewayError
from gateway.sql import render
from gateway.sql.postgres import catalogs
from gateway.sql.postgres.tree import Message
from gateway.sql.statement import View

_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Summed:
    """A hidden column whose raw values may be summed: what yields them and whose they are, and of how many at least.

    `extremes` when the least, the greatest and what is between may be told too.
    """

    number: int
    value: Message
    whose: Message
    least: int
    extremes: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """One relation: the value of each visible column, the conditions on its rows, and what may be done inside.

    `clear` columns may be compared inside, `searched` ones may be searched for. `kinds` has the base type
    of each column of a target's relation.
    """

    schema: str
    name: str
    values: dict[str, Message]
    conditions: tuple[Message, ...]
    fenced: bool
    clear: frozenset[str]
    searched: frozenset[str]
    kinds: dict[str, str] = field(default_factory=dict)
    summed: dict[str, Summed] = field(default_factory=dict)
    # Texts that were proven before: of target lists, with the columns that they show, and of the row conditions.
    proven: dict[bytes, frozenset[str]] = field(default_factory=dict)
    rows_alone: bytes = b""
    rows_first: bytes = b""


_evidence: OrderedDict[object, Evidence | None] = OrderedDict()


def evidence(schema: str, name: str, view: View) -> Evidence | None:
    """What the relation that a user names must become; None when there is none for the view."""
    key = (view.key, schema, name)
    if key in _evidence:
        return _evidence[key]
    found = _find(schema, name, view)
    _evidence[key] = found
    while len(_evidence) > _KEPT:
        _evidence.popitem(last=False)
    return found


def _find(schema: str, name: str, view: View) -> Evidence | None:
    if schema in {"pg_catalog", "information_schema"}:
        return _of_catalog(schema, name, view)
    if schema:
        return _of_policy(schema, name, view)
    if name[:3] == "pg_":
        return _of_catalog("pg_catalog", name, view)
    found = [_of_policy(candidate, name, view) for candidate in view.search_path]
    return next((one for one in found if one is not None), None)


def _of_policy(schema: str, name: str, view: View) -> Evidence | None:
    qualified = f"{schema}.{name}"
    if qualified not in view.policy.tables or qualified not in view.catalog.relations:
        return None
    rule, relation = view.policy.tables[qualified], view.catalog.relations[qualified]
    values, clear, searched = {}, set(), set()
    for column in sorted(relation.columns, key=lambda one: one.number):
        told = rule.columns.get(column.name)
        if told is None:
            continue
        plain = f"t.{_quote(column.name)}"
        approved = (qualified, column.name) in view.reveal and column.name in view.policy.reveal.get(qualified, ())
        if told.mask.kind == "clear" or approved:
            clear.add(column.name)
            values[column.name] = _value(plain)
            continue
        values[column.name] = _value(render.mask_sql(told.mask, plain, column))
        if told.search == "exact":
            searched.add(column.name)
    condition = _rows(view, qualified, "t", frozenset())
    conditions = (_value(condition),) if condition else ()
    made = _evident(schema, name, values, conditions, bool(condition), frozenset(clear), frozenset(searched))
    made.kinds.update({column.name: column.base for column in relation.columns})
    for column in relation.columns:
        told = rule.columns.get(column.name)
        if column.name in clear or told is None or told.aggregate is None:
            continue
        subject = next(one for one in relation.columns if one.name == told.aggregate.subject)
        plain = render.summable_sql(f"t.{_quote(column.name)}", column)
        whose = render.subject_sql(plain, f"t.{_quote(subject.name)}", subject)
        made.summed[column.name] = Summed(
            column.number, _value(plain), _value(whose), told.aggregate.min_group, told.aggregate.extremes
        )
    return made


def row_condition(view: View, qualified: str, alias: str) -> str:
    """The condition on rows of a relation of the policy under an alias; empty when every row exists.

    Raises: GatewayError.
    """
    return _rows(view, qualified, alias, frozenset())


def _rows(view: View, qualified: str, alias: str, passed: frozenset[str]) -> str:
    scope = view.policy.tables[qualified].scope
    if scope.kind == "none":
        return ""
    column = view.catalog.relations[qualified].column(scope.column)
    if column is None or qualified in passed:
        raise GatewayError("policy-invalid", f"the scope of `{qualified}` cannot be followed")
    if scope.kind == "customer":
        wanted: list[str] = []
        for customer in view.customers:
            literal = render.literal_sql(customer, column)
            if literal not in wanted:
                wanted.append(literal)
        if not wanted:
            raise GatewayError("customer-invalid", "the ticket names no customer")
        right = wanted[0] if len(wanted) == 1 else "ANY (ARRAY[" + ", ".join(wanted) + "])"
    else:
        following = view.catalog.relations[scope.other]
        inner = f"{alias}{len(passed) + 1}"
        rows = _rows(view, scope.other, inner, passed | {qualified})
        source = f"{_quote(following.schema)}.{_quote(following.name)} AS {inner}"
        where = f" WHERE {rows}" if rows else ""
        right = f"ANY (SELECT {inner}.{_quote(scope.other_column)} FROM {source}{where})"  # noqa: S608
    return f"{alias}.{_quote(scope.column)} OPERATOR(pg_catalog.=) {right}"


def _of_catalog(schema: str, name: str, view: View) -> Evidence | None:
    sql = catalogs.shown_sql(f"{schema}.{name}", view)
    if sql is None:
        return None
    select = postgast.parse(sql).stmts[0].stmt.select_stmt
    values = {}
    for node in select.target_list:
        values[node.res_target.name] = node.res_target.val
    conditions = _conjuncts(select.where_clause) if select.HasField("where_clause") else []
    plain = frozenset(one for one, value in values.items() if value.WhichOneof("node") == "column_ref" and one)
    fenced = select.HasField("limit_offset")
    return _evident(schema, name, values, tuple(conditions), fenced, plain, frozenset())


def _evident(
    schema: str,
    name: str,
    values: dict[str, Message],
    conditions: tuple[Message, ...],
    fenced: bool,
    clear: frozenset[str],
    searched: frozenset[str],
) -> Evidence:
    """The evidence, with the texts that its row conditions have when they are alone and when more follow."""
    alone = first = b""
    if conditions:
        head = f"SELECT FROM {_quote(schema)}.{_quote(name)} AS t WHERE true"
        for follow in ((), (_value("true"),)):
            tree = postgast.parse(head)
            select = tree.stmts[0].stmt.select_stmt
            parts = [*conditions, *follow]
            select.where_clause.CopyFrom(parts[0])
            if len(parts) > 1:
                select.where_clause.Clear()
                select.where_clause.bool_expr.boolop = pb.AND_EXPR
                select.where_clause.bool_expr.args.extend(parts)
            text = postgast.deparse(tree).encode().removeprefix(b"SELECT FROM ")
            alone, first = (text, first) if not follow else (alone, text.removesuffix(b" AND true"))
    return Evidence(schema, name, values, conditions, fenced, clear, searched, rows_alone=alone, rows_first=first)


def _conjuncts(node: Message) -> list[Message]:
    if node.WhichOneof("node") == "bool_expr" and node.bool_expr.boolop == pb.AND_EXPR:
        return [below for argument in node.bool_expr.args for below in _conjuncts(argument)]
    return [node]


def _value(sql: str) -> Message:
    return postgast.parse(f"SELECT {sql}").stmts[0].stmt.select_stmt.target_list[0].res_target.val


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
