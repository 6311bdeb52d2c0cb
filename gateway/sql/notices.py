"""What a client is told beside a result about columns that are masked, in every room's words."""

from __future__ import annotations

from gateway.policy.schema import AggregateRule, ColumnRule
from gateway.sql.statement import Notice


def compared(name: str, rule: ColumnRule) -> Notice:
    """A comparison saw the mask of a column; `name` is qualified."""
    if rule.search == "exact":
        hint = f"`{name.rpartition('.')[2]} = 'value'`, as a condition of its own in WHERE, searches the real values"
    else:
        hint = "ask for the column to be revealed in an access request if you need its real values"
    return Notice(f"`{name}` is masked: this comparison saw the masked values", hint)


def summed(name: str, rule: AggregateRule) -> Notice:
    """Real values are summed up, of groups that are large enough."""
    message = f"`{name}` is aggregated over its real values; groups with fewer than {rule.min_group} are NULL"
    return Notice(message, f"values of at least {rule.min_group} different `{rule.subject}` make a group")


def masks_summed(name: str, functions: str) -> Notice:
    """An aggregate saw the mask of a column that may be summed up; by those `functions`."""
    hint = (
        f"{functions} of the column alone see the real ones, in a SELECT from"
        " this relation alone, without FILTER, DISTINCT, windows, GROUPING SETS and sub-queries"
    )
    return Notice(f"`{name}` is masked: an aggregate saw the masked values", hint)
