"""Whether a policy fits the catalog of its target.

INVARIANT: a policy with an error here must not go into force: it would promise masks and scopes that cannot be kept.
What the catalog has and the policy does not name is hidden, and reported so that somebody classifies it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.policy import dialects, kinds, types
from gateway.policy.schema import Policy, TableRule
from gateway.policy.shapes import nearest
from gateway.policy.types import column_type
from gateway.sql.catalog import Catalog, Column, Relation
from gateway.sql.writable import unsafe, unsafe_delete, unsafe_insert, unwritable

READABLE = frozenset("rvmpf")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One difference between policy and catalog. `column` is empty for a relation.

    `severity` is `error`, `info` for what is hidden, or `warning` for what the policy lets be written and is refused.
    """

    severity: str
    relation: str
    column: str
    message: str


def check_against(policy: Policy, catalog: Catalog) -> list[Mismatch]:
    """All differences, errors first; an error means that the policy must not be used on this target."""
    found: list[Mismatch] = []
    for table in policy.tables.values():
        relation = catalog.relation(table.name)
        if relation is None or relation.kind not in READABLE:
            near = nearest(table.name, catalog.relations)
            found.append(Mismatch("error", table.name, "", f"relation `{table.name}` is not in the target{near}"))
            continue
        found += _columns(table, relation, policy)
        found += _scope(table, relation, catalog)
    for name in policy.write:
        found += _writes(policy, catalog, name)
    for name, columns in unknown_to(policy, catalog).items():
        if name not in policy.tables:
            listed = f", with all its columns: {', '.join(f'`{one}`' for one in columns)}" if columns else ""
            message = f"relation `{name}` is not named in the policy, so it is hidden{listed}"
            found.append(Mismatch("info", name, "", message))
        else:
            for column in columns:
                message = f"column `{column}` of `{name}` is not named in the policy, so it is hidden"
                found.append(Mismatch("info", name, column, message))
    return sorted(found, key=lambda one: (one.severity, one.relation, one.column))


def unknown_to(policy: Policy, catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """What the target has and the policy does not name, by relation: its columns, all of them for a whole relation."""
    found: dict[str, tuple[str, ...]] = {}
    for name, relation in sorted(catalog.relations.items()):
        if relation.kind not in READABLE:
            continue
        table = policy.tables.get(name)
        known = table.columns if table is not None else {}
        columns = tuple(column.name for column in relation.columns if column.name not in known)
        if columns or table is None:
            found[name] = columns
    return found


def _columns(table: TableRule, relation: Relation, policy: Policy) -> Iterator[Mismatch]:
    names = {column.name: column for column in relation.columns}
    for rule in table.columns.values():
        column = names.get(rule.name)
        if column is None:
            message = f"column `{rule.name}` is not in `{table.name}`{nearest(rule.name, names)}"
            yield Mismatch("error", table.name, rule.name, message)
            continue
        of = column_type(column.type, column.base)
        postgres = policy.dialect == "postgres"
        problem = kinds.misfit(rule.mask, of) if postgres else dialects.misfit(policy.dialect, rule.mask, of)
        if problem:
            yield Mismatch("error", table.name, rule.name, f"column `{rule.name}`: {problem}")
        if rule.search and not postgres and not dialects.is_searchable(policy.dialect, of):
            message = f"column `{rule.name}`: `search: exact` fits text, whole numbers, decimals, dates and uuid"
            yield Mismatch("error", table.name, rule.name, message)
        if rule.aggregate is not None:
            yield from _aggregate(table.name, rule.name, of, names.get(rule.aggregate.subject))
        home = column.base.rpartition(".")[0]
        if of.ignores_case and home not in policy.schemas:
            # FAIL CLOSED: `=` would be that of text, and the same query would find other rows than without a gateway.
            message = f"column `{rule.name}` is citext, whose operators are in `{home}`: name `{home}` in `schemas`"
            yield Mismatch("error", table.name, rule.name, message)


def _aggregate(relation: str, name: str, of: types.ColumnType, subject: Column | None) -> Iterator[Mismatch]:
    """What keeps a column from being summed: its sums could fail, or its subjects could not be told apart."""
    if not types.is_summable(of):
        message = f"column `{name}`: `aggregate` fits integers, numeric and double precision, not `{of.sql}`"
        yield Mismatch("error", relation, name, message)
    counted = column_type(subject.type, subject.base) if subject is not None else None
    if counted is None or counted.ignores_case or counted.group not in {types.INTEGER, types.UUID, types.TEXT}:
        yield Mismatch("error", relation, name, f"column `{name}`: its `subject` must be an integer, uuid or text")


def _writes(policy: Policy, catalog: Catalog, name: str) -> Iterator[Mismatch]:
    """What `write` allows and the rewriting refuses all the same."""
    rule, problem = policy.write[name], unwritable(catalog, name)
    if problem:
        yield Mismatch("warning", name, "", f"`{name}` can never be written: {problem}")
        return
    if rule.insert and (problem := unsafe_insert(policy, catalog, frozenset(), name)):
        yield Mismatch("warning", name, "", f"INSERT into `{name}` is refused: {problem}")
    if rule.delete and (problem := unsafe_delete(policy, catalog, frozenset(), name)):
        yield Mismatch("warning", name, "", f"deletion of rows of `{name}` is refused: {problem}")
    for verb, columns in (("UPDATE", rule.update), ("INSERT", rule.insert)):
        for column in sorted(columns):
            problem = unsafe(policy, catalog, frozenset(), name, column, insert=verb == "INSERT")
            if problem:
                yield Mismatch("warning", name, column, f"{verb} of `{column}` of `{name}` is refused: {problem}")


def _scope(table: TableRule, relation: Relation, catalog: Catalog) -> Iterator[Mismatch]:
    scope = table.scope
    if scope.kind == "none":
        return
    column = relation.column(scope.column)
    if column is None:
        message = f"the scope's column `{scope.column}` is not in `{table.name}`"
        yield Mismatch("error", table.name, scope.column, message)
        return
    if scope.kind == "customer":
        if not names_customer(column):
            message = (
                f"the scope's column `{column.name}` has type `{column.type}`; a customer is an integer, uuid or text"
            )
            yield Mismatch("error", table.name, column.name, message)
        return
    followed = catalog.relation(scope.other)
    other = followed.column(scope.other_column) if followed else None
    if other is None:
        message = f"the scope follows `{scope.other}.{scope.other_column}`, which is not in the target"
        yield Mismatch("error", table.name, scope.column, message)
    elif not comparable(column, other):
        message = f"the scope compares `{column.type}` with `{other.type}` of `{scope.other}.{scope.other_column}`"
        yield Mismatch("error", table.name, scope.column, message)


def names_customer(column: Column) -> bool:
    """Whether a ticket's customer can be compared with the column: it is an integer, a uuid or a text."""
    of = column_type(column.type, column.base)
    return of.group in {types.INTEGER, types.UUID} or of.name in {"text", "varchar"}


def comparable(column: Column, other: Column) -> bool:
    """Whether a scope may follow from one of the columns to the other."""
    return _group(column) == _group(other)


def _group(column: Column) -> str:
    of = column_type(column.type, column.base)
    return of.sql if of.group in {types.OTHER, types.ARRAY} else of.group
