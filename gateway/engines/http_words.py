"""What to do next, in the words of who sends SQL over HTTP: the steps of the table of codes are for psql's people."""

from __future__ import annotations

from dataclasses import replace

from gateway.errors import STEPS, Refusal
from gateway.policy.dialects import SEARCH
from gateway.policy.schema import Policy

_LISTED = "ask its owner what the policy lists"
_ROWS = {
    "relation-not-available": f"the policy's tables are all that exist here; {_LISTED}",
    "column-not-available": f"SELECT * shows the columns that exist for you; {_LISTED}",
    "too-many-refusals": "wait a while; SELECT * shows the columns that exist for you",
}
_STEPS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("clickhouse", *SEARCH), _ROWS),
    "trino": {
        "relation-not-available": "see the tables that exist for you with SHOW TABLES",
        "column-not-available": "see the columns that exist for you with SHOW COLUMNS FROM and the table's name",
        "too-many-refusals": "wait a while; see what exists for you with SHOW TABLES",
    },
}


def worded(refusal: Refusal, policy: Policy) -> Refusal:
    """The refusal with a step that fits the SQL of the policy's routes, where it has only the table's own."""
    step = _STEPS.get(policy.dialect, {}).get(refusal.code, "")
    return replace(refusal, hint=step) if step and refusal.hint == STEPS[refusal.code] else refusal
