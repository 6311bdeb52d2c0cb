"""The auditors' questions: a name, what it asks, what may narrow it, and how it is answered.

Each answer is a page of rows. A row names the record behind it, or the first and the last of those it counts. What an
answer cannot say is said in its notes. To add a question, add it to `QUESTIONS`, and its case to the tests.

Which statements reached a target around the gateway is not in the log: `reconcile.py` finds it in the target's own, and
`bypasses` says what was found, by whom, and of which times nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.audit.asking import (
    Asked,
    Found,
    Head,
    Leaf,
    Narrow,
    Row,
    Scope,
    add_counts,
    logins_of,
    pruned_note,
    with_counts,
)
from gateway.audit.states import closings, holders, policies, whole
from gateway.audit.tables import Tables, key
from gateway.audit.transmissions import transmissions
from gateway.errors import GatewayError

LIMIT = 1_000
"""Rows in one answer at most."""
_WHO = ("login", "person", "ticket", "customers", "target")
_STATEMENT = (*_WHO, "sql")


@dataclass(frozen=True, slots=True)
class Question:
    """`needs` must be given, `takes` may; `columns` are what a table shows of a row, in that order."""

    name: str
    asks: str
    columns: tuple[str, ...]
    answer: Callable[[Asked], Found]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ("person", "ticket", "customer", "target")
    whole: bool = False
    """Whether it is about a state, for which everything before counts: it takes no beginning."""


def ask(
    name: str, tables: Tables, leaf: Leaf, head: Head, scope: Scope, narrow: Narrow, limit: int, offset: int
) -> dict[str, Any]:
    """The answer: rows, how many there are in all, notes, and the records that it covers. Raises `GatewayError`."""
    question = question_of(name)
    check(question, narrow, since=bool(scope.since))
    asked = Asked(tables, leaf, head, scope, narrow, max(0, min(limit, LIMIT)), max(0, offset))
    found = question.answer(asked)
    if scope.end > head.size:
        found.notes.append(f"the last {scope.end - head.size} of these records are not signed yet")
    notes = [*pruned_note(scope), *found.notes, *(logins_of(asked) if narrow.person else [])]
    return {
        "question": name,
        "asks": question.asks,
        "filters": narrow.given(),
        "since": scope.since,
        "until": scope.until,
        "at": scope.at,
        "people": list(scope.people),
        "first": scope.first,
        "end": scope.end,
        "log": {"origin": head.origin, "size": head.size, "root": head.root},
        "columns": list(question.columns),
        "total": found.total,
        "offset": asked.offset,
        "rows": found.rows,
        "notes": notes,
    }


def question_of(name: str) -> Question:
    """The question of that name. Raises `GatewayError("request-invalid")`."""
    if name not in QUESTIONS:
        raise GatewayError(
            "request-invalid", "there is no question of that name", f"there are: {', '.join(sorted(QUESTIONS))}"
        )
    return QUESTIONS[name]


def check(question: Question, narrow: Narrow, *, since: bool) -> None:
    """Refuse what is missing, and what the question would not heed. Raises `GatewayError("request-invalid")`."""
    given = narrow.given()
    missing = [one for one in question.needs if one not in given]
    strange = [one for one in given if one not in {*question.needs, *question.takes}]
    if missing:
        raise GatewayError("request-invalid", f"`{question.name}` needs --{missing[0]}", question.asks)
    if strange or (since and question.whole):
        name = strange[0] if strange else "from"
        raise GatewayError("request-invalid", f"`{question.name}` is not narrowed by --{name}", question.asks)


def _customer(asked: Asked) -> Found:
    where, values = asked.narrowed("statement.begin")
    groups = (
        f"FROM records AS r LEFT JOIN statements AS s ON s.idx = r.idx WHERE {where} "
        "GROUP BY r.person, r.ticket, r.target"
    )
    total = asked.one(f"SELECT count(*) FROM (SELECT 1 {groups}) AS found", values)  # noqa: S608
    end = asked.scope.end
    sql = (
        f"SELECT r.person, {asked.tables.joined('r.login')}, r.ticket, r.target, count(*), "
        "CAST(sum(CASE WHEN s.ended < ? THEN s.rows ELSE 0 END) AS BIGINT), "
        "count(CASE WHEN s.ended IS NULL OR s.ended >= ? THEN 1 END), min(r.idx), max(r.idx) "
        f"{groups} ORDER BY count(*) DESC, min(r.idx)"
    )
    rows: list[Row] = []
    for person, logins, ticket, target, count, size, running, first, last in asked.page(sql, (end, end, *values)):
        begin = asked.record(first)
        filed = _first_tagged(asked, "request", begin.get("request"))
        rows.append(_without_none({
            "person": person, "login": _sorted(logins), "ticket": ticket, "target": target,
            "why": asked.record(filed).get("reason"), "approvers": begin.get("approvers"),
            "statements": count, "rows": size, "unfinished": running or None,
            "from": begin["time"], "to": asked.record(last)["time"], "first": first, "last": last,
        }))  # fmt: skip
    return Found(total, rows, ["reasons are those of requests within the time asked for"])


def _subject(asked: Asked) -> Found:
    given = asked.narrow
    if given.value:
        return _looked_up(asked)
    where, values = asked.narrowed("search.exact")
    if given.column:
        where += (
            " AND r.idx IN (SELECT idx FROM tags WHERE tag = 'searched' AND substr(value, length(value) - ? + 1) = ?)"
        )
        values += [len(given.column) + 1, key(f".{given.column}")]
    found = asked.listed((*_WHO, "relation", "column", "statement", "session"), where, values)
    found.notes.append(
        "this says who searched exactly, in which column, for whatever value; --value asks for one person; who read "
        "the rows of a person otherwise is in `customer` and `person`"
    )
    return found


def _looked_up(asked: Asked) -> Found:
    if asked.narrow.column:
        raise GatewayError("request-invalid", "a value is looked for in every column", "leave out --column")
    where, values = asked.narrowed("statement.begin", "statement.refused")
    tokens = [key(token) for token in asked.narrow.value.split(" ")]
    marks = ", ".join("?" * len(tokens))
    where += f" AND r.idx IN (SELECT idx FROM tags WHERE tag = 'subject' AND value IN ({marks}))"  # noqa: S608
    found = asked.listed((*_STATEMENT, "kind", "relations", "decision", "code", "session"), where, [*values, *tokens])
    for row in found.rows:
        if row["kind"] == "statement.begin":
            add_counts(asked, row)
    found.notes.append(
        "these are statements that were given the value, to search for or to write, run or refused; who saw it among "
        "rows that came back, or looked for a part of it, is not in the list: see `customer`"
    )
    return found


def _person(asked: Asked) -> Found:
    where, values = asked.narrowed(people=False)
    people = asked.scope.people
    marks = ", ".join("?" * len(people))
    # three roads of their own, each by its index: what names him, what names only his login, what he did to others
    where += (
        f" AND r.idx IN (SELECT idx FROM records WHERE person IN ({marks}) "  # noqa: S608
        "UNION ALL SELECT idx FROM records WHERE login = ? AND person IS NULL "
        f"UNION ALL SELECT idx FROM tags WHERE tag = 'by' AND value IN ({marks}))"
    )
    return asked.listed(
        ("kind", *_WHO, "by", "decision", "code", "reason", "sql", "query", "rows", "status", "session", "statement"),
        where, [*values, *people, key(asked.narrow.person), *people],
    )  # fmt: skip


def _ticket(asked: Asked) -> Found:
    where, values = asked.narrowed("request", "grant", "pass.minted", "login", "session.begin", "session.end")
    names = ("kind", "login", "person", "customers", "target", "ticket_state", "state", "decision", "code", "reason",
             "by", "approvers", "statements", "rows", "session")  # fmt: skip
    found = asked.listed(names, where, values)
    found.notes.append("`ticket_state` is what the ticket source said when the gateway asked, at that record")
    return found


def _approvals(asked: Asked) -> Found:
    where, values = asked.narrowed("request")
    tag, more = asked.tagged("decided")
    found = asked.listed(
        ("login", "person", "state", "by", "approvers", "decision", "code", "reason", "write", "reveal", "ticket",
         "customers", "target", "request", "digest"), f"{where} AND {tag}", [*values, *more],
    )  # fmt: skip
    for row in found.rows:
        own = row["by"] == row.get("person")
        if own and row.get("decision") == "permit" and not row.get("approvers"):
            # whoever asked is named in the record of a request that the policy approved when it was filed
            row["by"], own = "policy", False
        row["self"] = own or row.get("person") in row.get("approvers", ())
    return found


def _self_approvals(asked: Asked) -> Found:
    where, values = asked.narrowed("request")
    tag, more = asked.tagged("self")
    found = asked.listed(
        ("login", "person", "state", "by", "approvers", "decision", "code", "reason", "ticket", "target", "request"),
        f"{where} AND {tag}", [*values, *more],
    )  # fmt: skip
    found.notes.append(
        "a refused cancelling of a request of one's own is listed too: the record does not tell it apart"
    )
    return found


def _reveals(asked: Asked) -> Found:
    where, values = asked.narrowed("statement.begin")
    tag, more = asked.tagged("reveal")
    found = asked.listed((*_STATEMENT, "columns_revealed", "approvers"), f"{where} AND {tag}", [*values, *more])
    return _note_observed(asked, with_counts(asked, found))


def _observed(asked: Asked) -> Found:
    where, values = asked.narrowed("statement.begin")
    tag, more = asked.tagged("observed")
    names = (*_STATEMENT, "verb", "would", "would_codes", "would_reasons")
    return with_counts(asked, asked.listed(names, f"{where} AND {tag}", [*values, *more]))


def _note_observed(asked: Asked, found: Found) -> Found:
    """Says how many statements are not in the list because nothing protected their target."""
    where, values = asked.narrowed("statement.begin")
    tag, more = asked.tagged("observed")
    count = asked.one(f"SELECT count(*) FROM records AS r WHERE {where} AND {tag}", [*values, *more])  # noqa: S608
    if count:
        found.notes.append(f"{count} statements at observed targets, which nothing masks or stops, are in `observed`")
    return found


def _writes(asked: Asked) -> Found:
    where, values = asked.narrowed("statement.begin")
    tag, more = asked.tagged("write")
    names = (*_STATEMENT, "verb", "columns_written", "digest", "request", "grant", "approvers")
    found = with_counts(asked, asked.listed(names, f"{where} AND {tag}", [*values, *more]))
    for row in found.rows:
        request, grant = row.get("request"), row.get("grant")
        row["previews"] = _count_tagged(asked, "request", request, "request.preview")
        row["claims"] = _count_tagged(asked, "grant", grant, "write.claimed")
    found.notes.append(
        "`previews` and `claims` are how often the request was looked at beforehand, and how often its approved "
        "statement was let run, in the time asked for; a statement without claims was let run by an approved request "
        "to write, or by the policy"
    )
    return _note_observed(asked, found)


def _largest(asked: Asked) -> Found:
    where, values = asked.narrowed()
    end = asked.scope.end
    source = (
        f"FROM statements AS s {asked.tables.driving} records AS r ON r.idx = s.idx "
        f"WHERE s.rows > 0 AND s.ended < ? AND {where}"
    )
    if not asked.narrow.given():
        # no need to look at the records themselves, which are many
        source = "FROM statements AS s WHERE s.rows > 0 AND s.ended < ? AND s.idx >= ? AND s.idx < ?"
    total = asked.one(f"SELECT count(*) {source}", (end, *values))
    picked = asked.page(f"SELECT s.idx {source} ORDER BY s.rows DESC, s.bytes DESC, s.idx", (end, *values))
    found = with_counts(asked, Found(total, [asked.row(index, _STATEMENT) for (index,) in picked]))
    open_ = asked.one(
        "SELECT count(*) FROM statements WHERE ended IS NULL AND idx >= ? AND idx < ?",
        (asked.scope.first, asked.scope.end),
    )
    if open_:
        found.notes.append(f"{open_} statements had not ended when this was asked, in all; they are not in the list")
    return found


def _denials(asked: Asked) -> Found:
    return _grouped(asked, "r.decision = 'deny'", ())


def _leavers(asked: Asked) -> Found:
    tag, more = asked.tagged("leaver")
    found = _grouped(asked, tag, more)
    found.notes.append("a leaver is who the directory called inactive, or did not know any more, when he tried")
    return found


def _factors(asked: Asked) -> Found:
    where, values = asked.narrowed()
    tag, more = asked.tagged("factor")
    names = ("kind", "login", "person", "code", "reason", "method", "count", "address", "ticket", "target")
    found = asked.listed(names, f"{where} AND {tag}", [*values, *more])
    found.notes.append("a wrong password is not told apart from a wrong code here: see `denials` for those")
    return found


def _resets(asked: Asked) -> Found:
    where, values = asked.narrowed("factor.reset", "enrolment")
    return asked.listed(
        ("kind", "login", "person", "by", "factor", "decision", "code", "reason", "address"), where, values
    )


def _readers(asked: Asked) -> Found:
    where, values = asked.narrowed("audit.read")
    names = ("login", "person", "query", "count", "decision", "code", "factor", "factor_age_s", "address")
    found = asked.listed(names, where, values, newest=True)
    found.notes.append("this reading is recorded too, after what this answer covers")
    return found


_GAPS = ("log.start", "log.stop", "log.recovery", "log.rotation", "clock.step", "statement.unknown", "refusals.flood")


def _gaps(asked: Asked) -> Found:
    where, values = asked.narrowed()
    marks = ", ".join("?" * len(_GAPS))
    where += (
        f" AND r.idx IN (SELECT idx FROM records WHERE kind IN ({marks}) "  # noqa: S608
        "UNION ALL SELECT idx FROM tags WHERE tag IN ('clock', 'cut', 'down'))"
    )
    names = ("kind", "engine", "state", "reason", "cut_bytes", "unknown", "step_us", "clock_behind_us", "login",
             "session", "statement", "rows", "count", "version", "truncated")  # fmt: skip
    found = asked.listed(names, where, [*values, *_GAPS])
    open_ = asked.one(
        "SELECT count(*) FROM statements WHERE ended IS NULL AND idx >= ? AND idx < ?",
        (asked.scope.first, asked.scope.end),
    )
    found.notes.append(
        f"{open_} statements have no end yet; after a crash the next start closes them as `unknown` with the most that "
        "may have left; the numbers of records are without gaps, or the log does not verify (`whole`)"
    )
    return found


def _break_glass(asked: Asked) -> Found:
    where, values = asked.narrowed()
    names = ("kind", *_WHO, "grant", "reveal", "write", "state", "of", "due_at", "decision", "code", "reason")
    found = asked.listed(names, f"{where} AND r.kind >= 'break' AND r.kind < 'breal'", values)
    found.notes.append("what was done under a grant: the sessions of its person and ticket; a review is of the grant")
    return found


def _bypasses(asked: Asked) -> Found:
    where, values = asked.narrowed("audit.reconciled")
    names = (
        "target",
        "since",
        "until",
        *_RECONCILED,
        "known",
        "count",
        "matched",
        "skew_us",
        "files",
        "login",
        "person",
    )
    found = asked.listed(names, where, values, newest=True)
    for row in found.rows:
        row |= {name: row.get(name, 0) for name in _RECONCILED}
    found.notes.append(
        "counts of what auditors found when they compared a target's own log with this one (`gateway audit "
        "reconcile`), on their word; of a time or target that is not in the list, nothing is known"
    )
    return found


_RECONCILED = ("beside", "unrecorded", "unseen", "missing", "untied")


def _policy_changes(asked: Asked) -> Found:
    where, values = asked.narrowed("policy.change")
    found = asked.listed(("target", "by", "effect", "differences", "policy", "previous"), where, values)
    found.notes.append("a policy that was changed while the gateway was stopped is not in here; `policy` names it")
    return found


def _grouped(asked: Asked, condition: str, more: Iterable[Any]) -> Found:
    where, values = asked.narrowed()
    source = f"FROM records AS r WHERE {where} AND {condition} GROUP BY r.person, r.login, r.code, r.target"
    total = asked.one(f"SELECT count(*) FROM (SELECT 1 {source}) AS found", (*values, *more))  # noqa: S608
    sql = f"SELECT r.person, r.login, r.code, r.target, count(*), min(r.idx), max(r.idx) {source}"
    rows = [
        _without_none({
            "person": person, "login": login, "code": code, "target": target, "records": count,
            "reason": asked.record(last).get("reason"), "from": asked.record(first)["time"],
            "to": asked.record(last)["time"], "first": first, "last": last,
        })
        for person, login, code, target, count, first, last in asked.page(
            f"{sql} ORDER BY count(*) DESC, min(r.idx)", (*values, *more)
        )
    ]  # fmt: skip
    return Found(total, rows)


def _first_tagged(asked: Asked, tag: str, value: str | None) -> int | None:
    sql = "SELECT min(idx) FROM tags WHERE tag = ? AND value = ? AND idx >= ? AND idx < ?"
    found: int | None = asked.one(sql, (tag, key(value), asked.scope.first, asked.scope.end)) if value else None
    return found


def _count_tagged(asked: Asked, tag: str, value: str | None, kind: str) -> int:
    sql = (
        "SELECT count(*) FROM tags AS t JOIN records AS r ON r.idx = t.idx "
        "WHERE t.tag = ? AND t.value = ? AND t.idx >= ? AND t.idx < ? AND r.kind = ?"
    )
    return int(asked.one(sql, (tag, key(value), asked.scope.first, asked.scope.end, kind))) if value else 0


def _sorted(names: str | None) -> str | None:
    """Names with commas between, in the order of their bytes: a group has them in any."""
    return names and ",".join(sorted(set(names.split(","))))


def _without_none(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if value is not None}


_ALL = ("person", "ticket", "customer", "target")
_COUNTED = ("login", "code", "target", "records", "reason", "from", "to")

QUESTIONS: dict[str, Question] = {one.name: one for one in (
    Question("customer", "Who accessed the data of a customer, and why?",
             ("login", "ticket", "target", "statements", "rows", "from", "to", "approvers", "why"), _customer,
             ("customer",), ("person", "ticket", "target")),
    Question("subject", "Who looked up a person; or, without a value, who searched exactly, in which column?",
             ("time", "login", "ticket", "customers", "relation", "column", "rows", "code", "sql"), _subject,
             (), (*_ALL, "relation", "column", "value")),
    Question("person", "What did a person do?",
             ("record", "time", "kind", "login", "ticket", "customers", "decision", "code", "sql"), _person,
             ("person",), ("ticket", "customer", "target", "code")),
    Question("ticket", "What was accessed by a ticket, and was it open then?",
             ("time", "kind", "login", "ticket_state", "state", "decision", "code", "reason"), _ticket,
             ("ticket",), ("person", "target")),
    Question("after-close", "Was anything accessed after the gateway knew that the ticket was closed?",
             ("ticket", "noticed", "reason", "statements", "refused", "opened"), closings, (), ("ticket",)),
    Question("approvals", "Who decided on requests?",
             ("time", "login", "state", "by", "self", "decision", "code", "ticket", "target"), _approvals),
    Question("self-approvals", "Did anybody decide on a request of his own, or try?",
             ("time", "login", "by", "decision", "code", "reason", "ticket"), _self_approvals),
    Question("reveals", "Which masked columns were read unmasked?",
             ("time", "login", "ticket", "customers", "columns_revealed", "rows", "approvers"), _reveals,
             (), (*_ALL, "relation")),
    Question("writes", "Who changed what, under which approval?",
             ("time", "login", "ticket", "columns_written", "rows", "status", "request", "approvers", "claims"),
             _writes, (), (*_ALL, "relation")),
    Question("transmissions", "What left for a sub-processor: which categories, about whom, to whom?",
             ("time", "login", "ticket", "sent_for", "recipient", "route", "categories", "sent", "status"),
             transmissions, (), (*_ALL, "recipient")),
    Question("observed", "What ran at targets that are only observed, and what would have been refused?",
             ("time", "login", "ticket", "would", "would_codes", "rows", "sql"), _observed, (), _ALL),
    Question("largest", "Which statements disclosed the most?",
             ("time", "rows", "bytes", "login", "ticket", "customers", "sql"), _largest, (), (*_ALL, "relation")),
    Question("denials", "What was refused, by person and rule?", _COUNTED, _denials, (), (*_ALL, "code")),
    Question("break-glass", "Was there access by break-glass, and was it reviewed?", ("time", "kind", "login"),
             _break_glass),
    Question("policy", "Which policy was in force, and who changed it?",
             ("target", "policy", "since", "by", "previous", "in_force"), policies, (), ("target",), True),
    Question("policy-changes", "What did changes of policies let be seen or done, and who made them?",
             ("time", "target", "by", "effect", "differences", "policy", "previous"), _policy_changes, (), ("target",)),
    Question("holders", "Who holds access at that moment?",
             ("login", "ticket", "customers", "target", "expires_at", "write", "approvers"), holders,
             (), _ALL, True),
    Question("leavers", "Which people who left still try?", _COUNTED, _leavers, (), ("person", "target")),
    Question("factors", "Which second factors failed or were replayed?",
             ("time", "kind", "login", "code", "reason", "address"), _factors, (), ("person", "target")),
    Question("resets", "Whose second factor was reset or enrolled, and by whom?",
             ("time", "kind", "login", "by", "decision", "reason"), _resets, (), ("person",)),
    Question("readers", "Who read the log?", ("time", "login", "query", "count", "decision", "code"), _readers,
             (), ("person",)),
    Question("bypasses", "Which statements were seen at a target that bypassed the gateway?",
             ("time", "target", "since", "until", *_RECONCILED, "known", "login"), _bypasses, (), ("person", "target")),
    Question("gaps", "Where does the log say less than it should: crashes, stops, unknown ends, clocks, floods?",
             ("record", "time", "kind", "reason", "unknown", "rows"), _gaps, (), ()),
    Question("whole", "Is the log whole?", ("what", "value"), whole, (), (), True),
)}  # fmt: skip
