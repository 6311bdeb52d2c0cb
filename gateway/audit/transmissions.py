"""What left for sub-processors: the requests to outbound targets, as their begin records say them."""

from __future__ import annotations

from gateway.audit.asking import Asked, Found, with_counts
from gateway.audit.tables import key

_NAMES = (
    "login", "person", "ticket", "customers", "target", "sent_for", "recipient", "relations", "categories", "sent",
    "sql", "approvers", "session", "statement",
)  # fmt: skip


def transmissions(asked: Asked) -> Found:
    """Each request that was let out: to whom, about which customers, by which route, which categories, how masked."""
    where, values = asked.narrowed("statement.begin")
    given = asked.narrow
    recipient, more = asked.tagged("recipient", value=key(given.recipient) if given.recipient else None)
    where += f" AND {recipient}"
    values += more
    if given.customer:
        # a ticket of several customers: the request may be about another of them
        where += " AND r.idx IN (SELECT idx FROM tags WHERE tag = 'sent' AND value IN (?, ''))"
        values.append(key(given.customer))
    found = with_counts(asked, asked.listed(_NAMES, where, values))
    for row in found.rows:
        row["route"] = ", ".join(row.pop("relations", ()))
    found.notes.append(
        "each is on record before it leaves: one whose `status` is `error`, `unknown` or `not ended` may not have "
        "reached the recipient; `sent` says how each value was masked; without `sent_for`, the request named no "
        "customer, and is listed under each of the ticket's"
    )
    return found
