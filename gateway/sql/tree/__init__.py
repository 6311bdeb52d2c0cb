"""SQL of servers whose own grammar cannot be installed here, on sqlglot's tree: one room, a `Grammar` for each dialect.

Only what is read, allowed, resolved, rewritten and proven here runs. sqlglot reads; what is sent is written by
`writing.py`, which knows the allowed nodes and no others, so that no generator can change what a statement means.
"""

from gateway.sql.tree.analysis import analyse, normalise, telling
from gateway.sql.tree.literals import free_literals

__all__ = ["analyse", "free_literals", "normalise", "telling"]
