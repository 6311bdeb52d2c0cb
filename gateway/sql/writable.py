"""What of a relation could be written without telling of, or changing, what is not shown.

Whether a constraint holds is an answer about all rows and all columns that it reads: a unique value, a foreign key, a
CHECK. Where one of those is not shown, who may write the other could ask, one attempt at a time.
"""

from __future__ import annotations

from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog

Reveal = frozenset[tuple[str, str]]


def unwritable(catalog: Catalog, table: str) -> str:
    """Why a relation cannot be written at all; empty when it can."""
    relation = catalog.relation(table)
    if relation is None or relation.kind not in {"r", "p"}:
        return "it is no table"
    return "it has rewrite rules" if table in catalog.ruled else ""


def unsafe(policy: Policy, catalog: Catalog, reveal: Reveal, table: str, name: str, *, insert: bool) -> str:
    """Why success or failure of writing a column would tell of what is not shown; empty when it would not."""
    scope = policy.tables[table].scope
    if name == scope.column and scope.kind != "none":
        return ""
    for unique in catalog.uniques:
        if unique.relation != table or name not in unique.touched:
            continue
        if scope.kind != "none" and scope.column not in unique.key:
            return "its values are unique over all customers, so that a failure would tell of others"
        if not all(_is_clear(policy, reveal, table, column) for column in unique.touched):
            return "it is unique together with a column that is not shown, so that a failure would tell of that one"
    for relation, columns in catalog.checks:
        if relation == table and name in columns and not all(_is_clear(policy, reveal, table, one) for one in columns):
            return "a constraint compares it with a column that is not shown, so that a failure would tell of that one"
    for reference in catalog.references:
        if reference.relation == table and name in reference.columns:
            known = reference.other in policy.tables and reference.other in catalog.relations
            if not known or len(reference.columns) > 1:
                return "it refers to rows that cannot be checked to be of this customer"
        if reference.other == table and name in reference.other_columns and not insert:
            return "other rows refer to it"
    return ""


def unsafe_delete(policy: Policy, catalog: Catalog, table: str) -> str:
    """Why deleting rows would tell of, or change, what is not shown; empty when it would not."""
    for reference in sorted(catalog.references):
        if reference.other != table or reference.relation == table:
            continue
        there = policy.tables.get(reference.relation)
        if there is None:
            return "rows that you cannot see may refer to it"
        if policy.tables[table].scope.kind == "none" and there.scope.kind != "none":
            return f"rows of other customers in `{reference.relation}` may refer to it"
        rule = policy.write.get(reference.relation)
        follows = reference.on_delete == "c" and not (rule and rule.delete)
        clears = reference.on_delete in {"n", "d"} and not (rule and rule.update.issuperset(reference.columns))
        if follows or clears:
            return f"rows of `{reference.relation}` would be changed with it, which the policy does not allow"
    return ""


def _is_clear(policy: Policy, reveal: Reveal, table: str, column: str) -> bool:
    rule = policy.tables[table].columns.get(column)
    approved = (table, column) in reveal and column in policy.reveal.get(table, ())
    return rule is not None and (rule.mask.kind == "clear" or approved)
