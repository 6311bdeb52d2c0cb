"""The catalog that a policy itself declares, for targets whose catalog is not read: SQL over HTTP."""

from __future__ import annotations

from gateway.policy.schema import Policy
from gateway.sql.catalog import Catalog, Column, Relation


def declared(policy: Policy) -> Catalog:
    """The relations of the policy with their columns, in the order of the file; empty for one without tables."""
    relations = {}
    for qualified, table in policy.tables.items():
        schema, _, name = qualified.partition(".")
        columns = tuple(
            Column(rule.name, number, rule.type, rule.type, "")
            for number, rule in enumerate(table.columns.values(), start=1)
        )
        relations[qualified] = Relation(schema, name, 0, "r", columns)
    return Catalog(relations)
