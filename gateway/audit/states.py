"""Answers about states: what held at a moment, as everything recorded before it says."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import groupby

from gateway.audit.asking import Asked, Found, Row
from gateway.audit.tables import key


def closings(asked: Asked) -> Found:
    """For each time that a ticket was seen closed: what was let run, and what refused, until it was seen open again."""
    first, end = asked.scope.first, asked.scope.end
    given = asked.narrow.ticket
    sql = (
        "SELECT value, idx, tag FROM tags WHERE tag IN ('closed', 'open') AND idx >= ? AND idx < ? AND value IN "
        "(SELECT value FROM tags WHERE tag = 'closed' AND idx >= ? AND idx < ?) "
    )
    values: list[object] = [first, end, first, end]
    if given:
        sql, values = f"{sql}AND value = ? ", [*values, key(given)]
    did = _done_since(asked, first, end, given)
    periods: list[tuple[int, int, str, int, int | None]] = []
    for ticket, seen in groupby(asked.all(f"{sql}ORDER BY value, idx", values), key=lambda row: str(row[0])):
        closed: int | None = None
        for _, index, tag in seen:
            if tag == "closed" and closed is None:
                closed = index
            elif tag == "open" and closed is not None:
                periods.append(_period(did[ticket], ticket, closed, index, index))
                closed = None
        if closed is not None:
            periods.append(_period(did[ticket], ticket, closed, end, None))
    periods.sort(key=lambda one: (-one[0], one[3]))
    rows: list[Row] = []
    for statements, refused, ticket, closed, opened in periods[asked.offset : asked.offset + asked.limit]:
        record = asked.record(closed)
        row = {"ticket": ticket, "noticed": record["time"], "record": closed, "reason": record.get("reason", ""),
               "statements": statements, "refused": refused}  # fmt: skip
        rows.append(row if opened is None else {**row, "opened": asked.record(opened)["time"], "opened_by": opened})
    return Found(len(periods), rows, [
        "the gateway learns that a ticket is closed when it asks the ticket source: at each login, and every few "
        "seconds while a session is open; a statement between the closing and that moment is not counted here",
    ])  # fmt: skip


def _done_since(asked: Asked, first: int, end: int, given: str) -> dict[str, list[tuple[int, bool, bool]]]:
    """What was let run and what was refused by a ticket since it was first seen closed: numbers, and which of both."""
    sql = (
        "SELECT r.ticket, r.idx, CASE WHEN r.kind = 'statement.begin' THEN 1 ELSE 0 END, "  # noqa: S608
        "CASE WHEN r.decision = 'deny' THEN 1 ELSE 0 END FROM (SELECT value, min(idx) AS since FROM tags "
        f"WHERE tag = 'closed' AND idx >= ? AND idx < ?{' AND value = ?' if given else ''} GROUP BY value) AS c "
        f"{asked.tables.driving} records AS r ON r.ticket = c.value AND r.idx >= c.since "
        "WHERE r.idx < ? AND (r.kind = 'statement.begin' OR r.decision = 'deny') ORDER BY r.idx"
    )
    did: dict[str, list[tuple[int, bool, bool]]] = defaultdict(list)
    for ticket, index, ran, refused in asked.all(sql, [first, end, *([key(given)] if given else []), end]):
        did[ticket].append((index, bool(ran), bool(refused)))
    return did


def _period(
    did: list[tuple[int, bool, bool]], ticket: str, closed: int, end: int, opened: int | None
) -> tuple[int, int, str, int, int | None]:
    inside = did[bisect_left(did, (closed,)) : bisect_left(did, (end,))]
    return sum(ran for _, ran, _ in inside), sum(refused for *_, refused in inside), ticket, closed, opened


def holders(asked: Asked) -> Found:
    """Grants that had begun and had neither ended nor run out."""
    where, values = asked.narrowed("grant")
    end = asked.scope.end
    where += (
        " AND r.idx IN (SELECT began FROM grants WHERE expires > ? AND began < ? AND (ended IS NULL OR ended >= ?))"
    )
    found = asked.listed(
        ("login", "person", "ticket", "customers", "target", "expires_at", "write", "approvers", "grant", "request"),
        where, [*values, asked.scope.at, end, end],
    )  # fmt: skip
    found.notes.append("who holds a grant can use it only while ticket, directory and policy still agree")
    return found


def policies(asked: Asked) -> Found:
    """Each policy that was seen in force, and the last of each target."""
    first, end, target = asked.scope.first, asked.scope.end, asked.narrow.target
    where = "idx >= ? AND idx < ?" + (" AND target = ?" if target else "")
    values = [first, end, *([key(target)] if target else [])]
    total = asked.one(f"SELECT count(*) FROM policies WHERE {where}", values)  # noqa: S608
    last = {row[0] for row in asked.all(f"SELECT max(idx) FROM policies WHERE {where} GROUP BY target", values)}  # noqa: S608
    rows: list[Row] = []
    for index, name, policy in asked.page(
        f"SELECT idx, target, policy FROM policies WHERE {where} ORDER BY idx DESC",  # noqa: S608
        values,
    ):
        record = asked.record(index)
        changed = record["kind"] == "policy.change"
        row = {"record": index, "target": name, "policy": policy, "since": record["time"], "in_force": index in last}
        row |= {"by": record.get("by", "")} if changed else {"by": "first seen at a session"}
        rows.append(row | ({"previous": record["previous"]} if "previous" in record else {}))
    return Found(total, rows, [
        "a change while the gateway ran is a record that says by whom; the policy that a start read is known from the "
        "first session under it, and its author is not in this log",
    ])  # fmt: skip


def whole(asked: Asked) -> Found:
    """What the index and the signature say of the log; the records themselves are what `audit verify` reads."""
    first, end = asked.scope.first, asked.scope.end
    held = asked.one("SELECT count(*) FROM records WHERE idx >= ? AND idx < ?", (first, end))
    kinds = dict(asked.all(
        "SELECT kind, count(*) FROM records WHERE kind IN ('log.start', 'log.stop', 'log.recovery', 'log.rotation', "
        "'statement.unknown') AND idx >= ? AND idx < ? GROUP BY kind", (first, end),
    ))  # fmt: skip
    facts: list[tuple[str, object]] = [
        ("records", end),
        ("records signed", asked.head.size),
        ("root", asked.head.root),
        ("records indexed", held),
        ("every number there", held == end - first),
        ("starts", kinds.get("log.start", 0)),
        ("stops", kinds.get("log.stop", 0)),
        ("recoveries", kinds.get("log.recovery", 0)),
        ("statements of unknown end", kinds.get("statement.unknown", 0)),
        ("changes of key", kinds.get("log.rotation", 0)),
    ]
    if end > first:
        facts += [("first", asked.record(first)["time"]), ("last", asked.record(end - 1)["time"])]
    rows = [{"what": what, "value": value} for what, value in facts][asked.offset : asked.offset + asked.limit]
    return Found(len(facts), rows, [
        "this reads the signature and the index, not every record: `gateway audit verify` does, with a key and a "
        "witness that were kept elsewhere",
    ])  # fmt: skip
