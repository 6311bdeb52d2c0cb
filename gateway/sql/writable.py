"""What of a relation could be written without telling of, or changing, what is not shown.

Whether a constraint holds is an answer about all rows and all columns that it reads: a unique value, a foreign key, a
CHECK. Where one of those is not shown, who may write the other could ask, one attempt at a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import Refusal
from gateway.model import Write
from gateway.policy.kinds import KINDS
from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog, Reference

Reveal = frozenset[tuple[str, str]]
_NOTHING_FOLLOWS = frozenset({"a", "r"})


def unwritable(catalog: Catalog, table: str) -> str:
    """Why a relation cannot be written at all; empty when it can."""
    relation = catalog.relation(table)
    if relation is None or relation.kind not in {"r", "p"}:
        return "it is no table"
    if table in catalog.held:
        return catalog.held[table]
    return "it has rewrite rules, or parts that are no tables of the target" if table in catalog.ruled else ""


def unsafe(policy: Policy, catalog: Catalog, reveal: Reveal, table: str, name: str, *, insert: bool) -> str:
    """Why success or failure of writing a column would tell of what is not shown, or which rows are shown would depend
    on it; empty when neither is so.
    """
    scope = policy.tables[table].scope
    if name == scope.column and scope.kind != "none":
        return ""
    for relation, stamp in sorted(catalog.stamped):
        told = relation == table and stamp != name and stamp in policy.tables[table].columns
        if told and not insert and not _is_clear(policy, reveal, table, name):
            return f"whether that changed it could be told from `{stamp}`, which changes then"
    computed = {one: sources for relation, one, sources in catalog.generated if relation == table}
    touched = {name, *(one for one, sources in computed.items() if name in sources)}

    def shown(columns: Iterable[str], *known: str) -> bool:
        read = {source for column in columns for source in computed.get(column, (column,))}
        return all(_is_clear(policy, reveal, table, one) for one in read.difference(known))

    if scope.kind != "none" and scope.column in touched:
        return "whose row it is is computed from it"
    for other, rule in policy.tables.items():
        if rule.scope.kind == "follows" and rule.scope.other == table and rule.scope.other_column in touched:
            return f"it says whose the rows of `{other}` are"
    for one in touched - {name}:
        made = policy.tables[table].columns.get(one)
        if made is not None and (KINDS[made.mask.kind].keyed or made.mask.kind == "json" or made.aggregate):
            return f"`{one}` is computed from it: pseudonyms could be looked up so, or single values told from sums"
    if not shown(touched, name):
        return "another column is computed from it and from one that is not shown, so that a failure would tell of that"
    for unique in catalog.uniques:
        if unique.relation != table or touched.isdisjoint(unique.touched):
            continue
        if scope.kind != "none" and scope.column not in unique.key:
            return "its values are unique over all customers, so that a failure would tell of others"
        if not shown(unique.touched):
            return "it is unique together with a column that is not shown, so that a failure would tell of that one"
    for relation, columns in catalog.checks:
        if relation == table and not touched.isdisjoint(columns) and not shown(columns, name):
            return (
                "a constraint or an index reads it together with a column that is not shown,"
                " so that a failure would tell of that one"
            )
    for reference in catalog.references:
        mine = touched.intersection(reference.columns)
        if reference.relation == table and mine and not reference.partly:
            known = reference.other in policy.tables and reference.other in catalog.relations
            if not known or len(reference.columns) > 1 or mine != {name}:
                return "it refers to rows that cannot be checked to be of this customer"
            if not _is_clear(policy, reveal, reference.other, reference.other_columns[0]):
                return "it refers to a column that is not shown, so that a failure would tell of that one"
        if reference.other == table and not touched.isdisjoint(reference.other_columns) and not insert:
            return "other rows refer to it"
    return ""


def unsafe_insert(policy: Policy, catalog: Catalog, reveal: Reveal, table: str) -> str:
    """Why inserting rows would tell of what is not shown; empty when it would not."""
    for relation, column in sorted(catalog.numbered):
        if relation == table and not _is_clear(policy, reveal, table, column):
            return f"the answer would tell the number of the new row, and `{column}` is not shown"
    return ""


def unsafe_default(catalog: Catalog, table: str, name: str) -> str:
    """Why a column cannot be set to its DEFAULT; empty when it can."""
    return "its DEFAULT is made from other columns" if (table, name) in catalog.defaulted else ""


def unsafe_delete(
    policy: Policy, catalog: Catalog, reveal: Reveal, table: str, above: frozenset[str] = frozenset()
) -> str:
    """Why deleting rows would tell of, or change, what is not shown, there or wherever a deletion goes on; empty when
    it would not.
    """
    for reference in sorted(catalog.references):
        if reference.other != table or (reference.relation == table and reference.on_delete in _NOTHING_FOLLOWS):
            continue
        there = policy.tables.get(reference.relation)
        if there is None:
            return "rows that you cannot see may refer to it"
        if policy.tables[table].scope.kind == "none" and there.scope.kind != "none":
            return f"rows of other customers in `{reference.relation}` may refer to it"
        if reference.on_delete in _NOTHING_FOLLOWS:
            continue
        rule = policy.write.get(reference.relation)
        follows = reference.on_delete == "c"
        if not (rule and (rule.delete if follows else rule.update.issuperset(reference.columns))):
            return f"rows of `{reference.relation}` would be changed with it, which the policy does not allow"
        if not _same_customer(policy, reference):
            return f"rows of `{reference.relation}` would be changed with it, and they may be another customer's"
        if follows and reference.relation not in {table, *above}:
            problem = unsafe_delete(policy, catalog, reveal, reference.relation, above | {table})
        elif not follows:
            changed = (
                unsafe(policy, catalog, reveal, reference.relation, column, insert=False)
                for column in reference.columns
            )
            problem = next(filter(None, changed), "")
        else:
            problem = ""
        if problem:
            return f"rows of `{reference.relation}` would be changed with it, and there {problem}"
    return ""


def _same_customer(policy: Policy, reference: Reference) -> bool:
    """Whether rows that refer to one customer's rows are that customer's, as far as the policy and the key say."""
    mine, other = policy.tables[reference.relation].scope, policy.tables[reference.other].scope
    pairs = set(zip(reference.columns, reference.other_columns, strict=True))
    if mine.kind == "none":
        return True
    if mine.kind == "follows" and mine.other == reference.other and pairs == {(mine.column, mine.other_column)}:
        return True
    alike = (mine.kind, mine.other, mine.other_column) == (other.kind, other.other, other.other_column)
    return alike and (mine.column, other.column) in pairs


def _is_clear(policy: Policy, reveal: Reveal, table: str, column: str) -> bool:
    rule = policy.tables[table].columns.get(column)
    approved = (table, column) in reveal and column in policy.reveal.get(table, ())
    return rule is not None and (rule.mask.kind == "clear" or approved)


def anothers(write: Write) -> Refusal:
    """What is said when the target ended a statement because a value was not the customer's."""
    return Refusal(
        "row-out-of-scope",
        f"a value would make a row of `{write.relation}` another customer's, or refer to one of another's",
        "use rows of the ticket's customer",
    )
