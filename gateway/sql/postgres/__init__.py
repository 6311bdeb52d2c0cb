"""PostgreSQL on its own parse tree: parse, rewrite, check. `postgast` is imported here and nowhere else."""

from gateway.sql.postgres.analysis import analyse, normalise
from gateway.sql.postgres.introspect import catalog_from_rows, catalog_queries, load_catalog
from gateway.sql.postgres.literals import free_literals
from gateway.sql.postgres.observed import judged, may_copy, observed_plan
from gateway.sql.postgres.subjects import telling
from gateway.sql.postgres.write_values import write_refusal

__all__ = [
    "analyse", "catalog_from_rows", "catalog_queries", "free_literals", "judged", "load_catalog", "may_copy",
    "normalise", "observed_plan", "telling", "write_refusal",
]  # fmt: skip
