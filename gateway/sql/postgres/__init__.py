"""PostgreSQL on its own parse tree: parse, rewrite, check. `postgast` is imported here and nowhere else."""

from gateway.sql.postgres.analysis import analyse, normalise
from gateway.sql.postgres.introspect import catalog_from_rows, catalog_queries, load_catalog

__all__ = ["analyse", "catalog_from_rows", "catalog_queries", "load_catalog", "normalise"]
