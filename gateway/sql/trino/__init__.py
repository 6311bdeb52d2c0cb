"""Statements as Trino's clients send them: EXECUTE IMMEDIATE, SHOW and DESCRIBE; every SELECT is for `sql/tree/`."""

from gateway.sql.trino.analysis import analyse, normalise, telling
from gateway.sql.trino.forms import bound

__all__ = ["analyse", "bound", "normalise", "telling"]
