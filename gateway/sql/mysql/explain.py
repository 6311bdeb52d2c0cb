"""EXPLAIN of a SELECT, and what of its answer may be shown.

What is explained is the proven text. Of the table that the server answers with, only what follows from names, from
definitions and from the planner's choices stays. How many rows it expects is a count of everybody's; and what it found
out by reading a row while it planned (`Impossible WHERE noticed after reading const tables`, against `no matching row
in const table`, seen in MariaDB 10.11) tells whether somebody else's row has a value that was searched for. So a
statement that searches exactly is not explained, and of `Extra` only phrases about the way remain. ANALYZE, trees and
documents say more, in forms that nobody has taken apart here.

Names of indexes can tell what a table holds, and are left out, but for the primary key's and those that the server
makes for derived tables. Columns: MySQL 8.4 Reference Manual, "EXPLAIN Output Format".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.errors import GatewayError, Refusal
from gateway.sql.mysql.lexer import Word
from gateway.sql.mysql.pins import fingerprint
from gateway.sql.statement import Kind, Plan, View

HIDDEN = b"(hidden)"
"""What stands for the name of an index."""

_SAID = "EXPLAIN FORMAT=TRADITIONAL "
_STATEMENTS = frozenset({"SELECT", "WITH", "("})
_HINT = "EXPLAIN SELECT, without EXTENDED, PARTITIONS, ANALYZE or another FORMAT than TRADITIONAL"
_SHOWN = frozenset({b"id", b"select_type", b"table", b"type", b"key_len", b"ref"})
_KEYS = frozenset({b"possible_keys", b"key"})
_PLAIN_KEY = re.compile(rb"PRIMARY|key\d+|<auto_key\d+>|distinct_key")
_EXTRAS = (
    "Using where", "Using index", "Using index condition", "Using temporary", "Using filesort", "Distinct",
    "Using index for group-by", "Not exists", "No tables used", "Start temporary", "End temporary", "Rematerialize",
    "Using join buffer (flat, BNL join)", "Using join buffer (incremental, BNL join)",
    "Using join buffer (flat, BNLH join)", "Using join buffer (incremental, BNLH join)",
    "Using join buffer (hash join)", "Using join buffer (Block Nested Loop)",
)  # fmt: skip
_WAYS = frozenset(one.encode() for one in _EXTRAS)


def explained(
    command: Sequence[Word], text: str, view: View, select: Callable[[str, View], Plan | Refusal]
) -> Plan | Refusal:
    """The plan of an EXPLAIN of a statement that `select` judges. Raises: GatewayError."""
    rest = list(command[1:])
    if [word.upper() for word in rest[:3]] == ["FORMAT", "=", "TRADITIONAL"]:
        rest = rest[3:]
    if not rest or rest[0].upper() not in _STATEMENTS:
        what = f"EXPLAIN {rest[0].upper()[:20]}" if rest else "EXPLAIN"
        raise GatewayError("statement-not-allowed", f"{what} is not allowed here", _HINT)
    found = select(text[rest[0].at :], view)
    if isinstance(found, Refusal):
        return found
    if found.exact_searches:
        raise GatewayError("statement-not-allowed", "EXPLAIN is not allowed where something is searched exactly",
                           "the plan would tell whether the value is anybody's; leave the condition out")  # fmt: skip
    defined = _definition(found, view)
    if defined:
        raise GatewayError("statement-not-allowed", f"EXPLAIN is not allowed where `{defined}` may be read",
                           "the plan would show what a view is made of")  # fmt: skip
    normalised = f"EXPLAIN {found.normalised}"
    return replace(
        found,
        rewritten=_SAID + found.rewritten,
        kinds=(Kind.UTILITY,),
        verbs=("EXPLAIN",),
        normalised=normalised,
        rewritten_normalised=_SAID + found.rewritten_normalised,
        fingerprint=fingerprint(normalised),
    )


def _definition(plan: Plan, view: View) -> str:
    """A view that the statement reads, by its scopes too; empty for none."""
    names = list(plan.relations)
    for name in names:
        relation = view.catalog.relation(name)
        if relation is not None and relation.kind == "v":
            return name
        scope = view.policy.tables[name].scope if name in view.policy.tables else None
        if scope is not None and scope.kind == "follows" and scope.other not in names:
            names.append(scope.other)
    return ""


def scrubbed(names: Sequence[bytes], cells: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
    """What is shown of one row of the answer, whose columns have those names."""
    return tuple(_cell(name.lower(), cell) for name, cell in zip(names, cells, strict=True))


def _cell(name: bytes, cell: bytes | None) -> bytes | None:
    if cell is None or name in _SHOWN:
        return cell
    if name in _KEYS:
        return cell if _PLAIN_KEY.fullmatch(cell) else HIDDEN
    if name == b"extra":
        return b"; ".join(one for one in cell.split(b"; ") if one in _WAYS) or None
    # FAIL CLOSED: numbers of rows, partitions, and whatever else a server tells
    return None
