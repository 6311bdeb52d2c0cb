"""Statements as a PostgreSQL server's log has them, told apart as far as comparing them with the trail needs.

INVARIANT: what may be shown carries no literal; and nothing that could read or change data is called `idle`.
"""

from __future__ import annotations

from dataclasses import dataclass

import postgast
from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.observed import mentioned
from gateway.sql.postgres.parse import canonical_normalised, normalised, parse
from gateway.sql.postgres.tree import Message, Refused, concrete, walk
from gateway.sql.statement import Limits

_LIMITS = Limits(text=8 << 20, statements=10_000, tokens=1_000_000)
_IDLE = (pb.TransactionStmt, pb.VariableShowStmt, pb.DiscardStmt, pb.DeallocateStmt, pb.ClosePortalStmt)
_CONSTANT = (pb.SelectStmt, pb.ResTarget, pb.A_Const, pb.ParamRef, pb.Integer, pb.String, pb.Float, pb.Boolean)
_TELLING = ("log_", "pgaudit", "session_replication_role", "role", "session_authorization", "local_preload", "row_sec")
"""Beginnings of settings that decide what a log says, or whose rights count."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A text of a log. `spellings` are the ways in which a record may spell it, of which only the first may be shown:
    others have its comments. `idle`: it can neither read nor change a row; `statements` is how many there are in it.
    """

    spellings: tuple[str, ...] = ()
    idle: bool = False
    statements: int = 1
    relations: tuple[str, ...] = ()


def read_logged(text: str) -> Logged:
    """What can be told of the text; of what is no SQL, nothing. Never raises."""
    try:
        parsed = parse(text, _LIMITS)
        statements = [concrete(statement.stmt) for statement in parsed.tree.stmts]
        spellings = dict.fromkeys((normalised(parsed), canonical_normalised(parsed)))
        idle = all(map(_is_idle, statements))
        return Logged(tuple(spellings), idle, len(statements), mentioned(statements))
    except (Refused, postgast.PgQueryError, RecursionError):
        return Logged()


def _is_idle(statement: Message) -> bool:
    if type(statement) is pb.VariableSetStmt:
        return not statement.name.lower().startswith(_TELLING)
    if type(statement) is pb.SelectStmt:
        # constants and nothing else: a function, an operator or a cast may be anybody's
        return all(type(message) in _CONSTANT for message in walk(statement))
    return type(statement) in _IDLE
