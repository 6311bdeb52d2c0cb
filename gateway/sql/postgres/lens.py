"""What one view shows of each relation, ready to be put in a statement's place. Used by `rewrite.py` only.

INVARIANT: a relation is shown by a derived table that names only columns of the policy, masks what is not clear, and
keeps rows outside the scope away from every other expression (`OFFSET 0` is PostgreSQL's optimisation fence).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import postgast

from gateway.errors import GatewayError
from gateway.policy.schema import ColumnRule, Mask, TableRule
from gateway.policy.types import column_type
from gateway.sql import render
from gateway.sql.catalog import Column, Relation
from gateway.sql.postgres import catalogs
from gateway.sql.postgres.tree import Message, Refused, copied, refuse
from gateway.sql.statement import View

ALIAS = "t"
_LENSES = 64
_CLEAR = ColumnRule("", Mask("clear"))


@dataclass(frozen=True, slots=True)
class Shown:
    """A visible column: how it appears (`clear`, `masked`, `revealed`, `constant`) and the target that yields it."""

    column: Column
    rule: ColumnRule
    how: str
    target: Message


@dataclass(frozen=True, slots=True)
class Table:
    """A relation as this view sees it. `skeleton` is its derived table without targets."""

    name: str
    columns: dict[str, Shown]
    skeleton: Message
    scope: str
    fenced: bool
    system: bool = False


@dataclass(slots=True)
class Lens:
    """A view with what was made for it so far."""

    view: View
    tables: dict[str, Table] = field(default_factory=dict)
    systems: dict[str, Table] = field(default_factory=dict)
    enumerations: frozenset[str] = frozenset()
    column_names: frozenset[str] = frozenset()
    caseless: frozenset[str] = frozenset()
    aggregates: bool = False

    def table(self, qualified: str) -> Table | None:
        """The relation of the policy, None when it does not exist for this view.

        Raises: Refused (`customer-invalid`, `policy-invalid`).
        """
        found = self.tables.get(qualified)
        if found is None:
            found = _table(self.view, qualified)
            if found is not None:
                self.tables[qualified] = found
        return found

    def system(self, qualified: str) -> Table | None:
        """The catalog relation, None when it is not shown."""
        found = self.systems.get(qualified)
        if found is None:
            found = _system(self.view, qualified)
            if found is not None:
                self.systems[qualified] = found
        return found


_lenses: OrderedDict[object, Lens] = OrderedDict()


def lens_of(view: View) -> Lens:
    """The lens of a view; the most recent ones are kept."""
    key = view.key
    lens = _lenses.get(key)
    if lens is None:
        lens = Lens(
            view,
            enumerations=_enumerations(view),
            column_names=_column_names(view),
            caseless=_caseless(view),
            aggregates=any(one.aggregate for rule in view.policy.tables.values() for one in rule.columns.values()),
        )
        _lenses[key] = lens
        while len(_lenses) > _LENSES:
            _lenses.popitem(last=False)
    return lens


def _table(view: View, qualified: str) -> Table | None:
    rule, relation = view.policy.table(qualified), view.catalog.relation(qualified)
    if rule is None or relation is None:
        return None
    try:
        scope = scope_sql(view, rule, ALIAS, ())
        masked = _columns(view, rule, relation)
    except GatewayError as error:
        raise Refused(error.refusal) from error
    where = f" WHERE {scope}" if scope else ""
    fence = " OFFSET 0" if scope else ""
    sql = f"SELECT {', '.join(sql for *_, sql in masked)} FROM {quoted(relation)} AS {ALIAS}{where}{fence}"  # noqa: S608
    skeleton = postgast.parse(sql).stmts[0].stmt.select_stmt
    shown = {
        column.name: Shown(column, column_rule, how, copied(target))
        for (column, column_rule, how, _), target in zip(masked, skeleton.target_list, strict=False)
    }
    del skeleton.target_list[:]
    stated = f"{qualified}.{rule.scope.column}" if rule.scope.kind != "none" else ""
    return Table(qualified, shown, skeleton, stated, fenced=bool(scope))


def _columns(view: View, rule: TableRule, relation: Relation) -> list[tuple[Column, ColumnRule, str, str]]:
    made = []
    for column in relation.columns:
        column_rule = rule.columns.get(column.name)
        if column_rule is None:
            continue
        reference = f"{ALIAS}.{identifier(column.name)}"
        if column_rule.mask.kind == "clear":
            how, sql = "clear", reference
        elif revealed(view, relation.qualified, column.name):
            how, sql = "revealed", reference
        else:
            how, sql = "masked", render.mask_sql(column_rule.mask, reference, column)
        made.append((column, column_rule, how, f"{sql} AS {identifier(column.name)}"))
    return made


def revealed(view: View, qualified: str, column: str) -> bool:
    """Whether an approval turned this column's mask off, and the policy lets approvals do so."""
    return (qualified, column) in view.reveal and column in view.policy.reveal.get(qualified, frozenset())


def scope_sql(view: View, rule: TableRule, alias: str, above: tuple[str, ...]) -> str:
    """The condition that keeps the rows of the view's customers; nothing when every row exists for everybody.

    Raises: Refused (`policy-invalid`, `customer-invalid`), GatewayError (`customer-invalid`).
    """
    scope = rule.scope
    if scope.kind == "none":
        return ""
    relation = view.catalog.relation(rule.name)
    column = relation.column(scope.column) if relation else None
    if column is None:
        refuse("policy-invalid", f"the scope of `{rule.name}` names a column that does not exist")
    left = f"{alias}.{identifier(scope.column)}"
    if scope.kind == "customer":
        if not view.customers:
            refuse("customer-invalid", "the ticket names no customer", "name the customer on the ticket")
        literals = [render.literal_sql(customer, column) for customer in dict.fromkeys(view.customers)]
        right = literals[0] if len(literals) == 1 else f"ANY (ARRAY[{', '.join(literals)}])"
        return f"{left} OPERATOR(pg_catalog.=) {right}"
    other, inner = view.policy.table(scope.other), view.catalog.relation(scope.other)
    if scope.kind != "follows" or other is None or inner is None or scope.other in (*above, rule.name):
        refuse("policy-invalid", f"the scope of `{rule.name}` cannot be followed")
    below = f"{alias}{len(above) + 1}"
    condition = scope_sql(view, other, below, (*above, rule.name))
    where = f" WHERE {condition}" if condition else ""
    reference = f"{below}.{identifier(scope.other_column)}"
    return f"{left} OPERATOR(pg_catalog.=) ANY (SELECT {reference} FROM {quoted(inner)} AS {below}{where})"  # noqa: S608


def _system(view: View, qualified: str) -> Table | None:
    sql = catalogs.shown_sql(qualified, view)
    if sql is None:
        return None
    skeleton = postgast.parse(sql).stmts[0].stmt.select_stmt
    shown = {}
    for node in skeleton.target_list:
        target = node.res_target
        name = target.name
        column = Column(name, 0, "", "", "")
        plain = target.val.WhichOneof("node") == "column_ref" and bool(name)
        shown[name] = Shown(column, _CLEAR, "clear" if plain else "constant", copied(node))
    del skeleton.target_list[:]
    return Table(qualified, shown, skeleton, "", system=True, fenced=skeleton.HasField("limit_offset"))


def identifier(name: str) -> str:
    """A name, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def quoted(relation: Relation) -> str:
    """A relation's qualified name, quoted."""
    return f"{identifier(relation.schema)}.{identifier(relation.name)}"


def _enumerations(view: View) -> frozenset[str]:
    found = set()
    for name, rule in view.policy.tables.items():
        relation = view.catalog.relation(name)
        for column in relation.columns if relation else ():
            if column.name in rule.columns and column.category == "E" and column.type in view.catalog.types:
                found.add(column.type)
    return frozenset(found)


def _caseless(view: View) -> frozenset[str]:
    """The names of visible columns of type citext."""
    relations = [(rule, view.catalog.relation(name)) for name, rule in view.policy.tables.items()]
    return frozenset(
        column.name
        for rule, relation in relations
        for column in (relation.columns if relation else ())
        if column.name in rule.columns and column_type(column.type, column.base).ignores_case
    )


def _column_names(view: View) -> frozenset[str]:
    return frozenset(column for rule in view.policy.tables.values() for column in rule.columns)
