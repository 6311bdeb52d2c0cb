"""Which room reads the statements of which target: by the dialect that its policy says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.errors import Refusal
from gateway.sql import postgres, tree
from gateway.sql.statement import Plan, View

_ROOMS: Mapping[str, Callable[[str, View], Plan | Refusal]] = {
    "postgres": postgres.judged,
    "clickhouse": tree.analyse,
}


def judged(text: str, view: View) -> Plan | Refusal:
    """A plan of the text for this view, or why there is none; of an observed target there always is a plan."""
    return _ROOMS[view.policy.dialect](text, view)
