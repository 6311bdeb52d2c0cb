"""MySQL's and MariaDB's SQL: SELECTs by `sql/tree`, and around them what their clients say: settings, transactions,
SHOW, DESCRIBE, and the catalog, which is made from the policy.
"""

from gateway.sql.mysql.analysis import analyse, normalise, telling
from gateway.sql.mysql.introspect import catalog_from_rows, catalog_queries
from gateway.sql.mysql.lexer import split
from gateway.sql.mysql.observed import command_plan, judged, may_load
from gateway.sql.mysql.pins import session_statements
from gateway.sql.mysql.readable import Reader

__all__ = [
    "Reader", "analyse", "catalog_from_rows", "catalog_queries", "command_plan", "judged", "may_load", "normalise",
    "session_statements", "split", "telling",
]  # fmt: skip
