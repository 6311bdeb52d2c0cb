"""Searching: every way in which an auditor asks, and that the answer is the trail's."""

import contextlib
import sqlite3
from datetime import UTC, datetime

import pytest

from gateway.audit.search import Query
from gateway.audit.segment import read_batches, segments_of
from gateway.errors import GatewayError


@pytest.fixture
def searched(open_log, trail, key, records, open_search):
    """A trail with two people, and its search."""
    begin, end = records
    log = open_log()
    log.append({"kind": "session.begin", "session": "S1", "login": "alice", "person": "u-1001", "ticket": "SUP-1423",
                "target": "payroll", "customers": ["42"]})  # fmt: skip
    log.append(begin(1, sql="select e.email from public.employees e where e.id = $1"))
    log.append(end(1))
    log.append(begin(2, session="S2", login="bob", person="u-1002", ticket="SUP-9", customers=["7", "8"],
                     relations=["public.payslips", "public.employees"], sql="select net from payslips"))  # fmt: skip
    log.append(end(2, session="S2"))
    log.append({"kind": "statement.refused", "session": "S1", "login": "alice", "person": "u-1001",
                "ticket": "SUP-1423", "target": "payroll", "customers": ["42"], "decision": "deny",
                "code": "relation-not-available", "reason": "relation `pg_authid` is not available",
                "sql": "select * from pg_authid"})  # fmt: skip
    log.append({"kind": "login", "login": "dan", "person": "u-1009", "decision": "deny", "code": "not-in-team"})
    log.append({"kind": "session.end", "session": "S1", "status": "ok"})
    log.flush()
    search = open_search(trail, key.verifier, durable=lambda: log.durable_size)
    yield search, log
    search.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(newest_first=False), [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (Query(person="alice", newest_first=False), [1, 2, 3, 6, 8]),
        (Query(person="u-1001", newest_first=False), [1, 2, 3, 6, 8]),
        (Query(login="bob"), [5, 4]),
        (Query(ticket="SUP-1423"), [8, 6, 3, 2, 1]),
        (Query(customer="42"), [8, 6, 3, 2, 1]),
        (Query(customer="8"), [5, 4]),
        (Query(customer="4"), []),
        (Query(target="payroll", kind="statement.end"), [5, 3]),
        (Query(code="not-in-team"), [7]),
        (Query(decision="deny"), [7, 6]),
        (Query(relation="public.employees"), [4, 2]),
        (Query(relation="employees"), [4, 2]),
        (Query(relation="payslips"), [4]),
        (Query(relation="%"), []),
        (Query(session="S2"), [5, 4]),
        (Query(statement="Q1"), [3, 2]),
        (Query(text="email"), [2]),
        (Query(text="e.email"), [2]),
        (Query(text="PG_AUTHID"), [6]),
        (Query(text='select" OR 1'), []),
        (Query(text="select employees"), [2]),
        (Query(person="alice", code="not-in-team"), []),
        (Query(limit=2), [8, 7]),
        (Query(limit=2, offset=2), [6, 5]),
        (Query(limit=0), []),
        (Query(since=datetime(2026, 11, 23, 9, tzinfo=UTC)), []),
        (Query(until=datetime(2026, 11, 23, 8, tzinfo=UTC)), []),
    ],
)
def test_records_are_found_by_what_they_say_and_by_their_session(searched, query, found):
    search, _ = searched
    records = search.search(query)
    assert [record["index"] for record in records] == found
    if query.limit == 100:
        assert search.count(query) == len(found)


EDITS = [
    "DELETE FROM records WHERE idx = 4",
    "UPDATE records SET person = 'u-1001', login = 'alice' WHERE idx = 4",
    "DELETE FROM relations WHERE idx = 4",
    "DELETE FROM customers",
    "UPDATE records SET (segment, at, length) = (SELECT segment, at, length FROM records WHERE idx = 2) WHERE idx = 4",
    "UPDATE meta SET value = 3 WHERE name = 'next'",
    "DROP TABLE customers",
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_index_that_somebody_else_writes_to_is_built_anew(searched, trail, edit):
    search, _ = searched
    before = search.search(Query(login="bob"))
    with contextlib.closing(sqlite3.connect(f"{trail}-index.sqlite")) as other, other:
        other.execute(edit)

    assert search.search(Query(login="bob")) == before
    assert search.search(Query(relation="payslips"))[0]["session"] == "S2"
    assert search.search(Query(customer="8")) == before
    assert search.count(Query()) == 9
    assert search.show(4)["login"] == "bob"


@pytest.mark.parametrize("edit", ["DELETE FROM records WHERE idx = 4", "DELETE FROM records WHERE idx > 5"])
def test_an_index_with_a_gap_is_not_opened_again(searched, trail, key, edit, open_search):
    search, log = searched
    search.catch_up()
    search.close()
    with contextlib.closing(sqlite3.connect(f"{trail}-index.sqlite")) as other, other:
        other.execute(edit)

    again = open_search(trail, key.verifier, durable=lambda: log.durable_size)
    assert [record["index"] for record in again.search(Query(login="bob"))] == [5, 4]
    assert again.count(Query()) == 9
    again.close()


def test_a_record_in_the_place_of_another_is_an_error(searched, trail, key, open_search):
    search, log = searched
    search.catch_up()
    search.close()
    with contextlib.closing(sqlite3.connect(f"{trail}-index.sqlite")) as other, other:
        other.execute(
            "UPDATE records SET (segment, at, length) ="
            " (SELECT segment, at, length FROM records WHERE idx = 2) WHERE idx = 4"
        )

    again = open_search(trail, key.verifier, durable=lambda: log.durable_size)
    for ask in (lambda: again.show(4), lambda: again.prove(4), lambda: again.search(Query(login="bob"))):
        with pytest.raises(GatewayError, match="cannot be read as it was written"):
            ask()
    again.close()


def test_time_windows_are_closed_below_and_open_above(searched):
    search, _ = searched
    times = [datetime.fromisoformat(search.show(index)["time"]) for index in range(9)]
    found = search.search(Query(since=times[2], until=times[5], newest_first=False))
    assert [record["index"] for record in found] == [2, 3, 4]


def test_a_record_is_shown_by_index_and_by_id(searched):
    search, _ = searched
    record = search.show(4)
    assert search.show(record["id"]) == search.show("4") == record
    for unknown in (99, "99", "no-such-id"):
        with pytest.raises(GatewayError) as caught:
            search.show(unknown)
        assert caught.value.code == "not-found"


def test_new_records_are_found_at_once_but_never_before_they_are_durable(searched, records):
    search, log = searched
    begin, _ = records
    log.append(begin(77))
    log.flush()
    assert [record["index"] for record in search.search(Query(statement="Q77"))] == [9]
    before = log.durable_size
    search._durable = lambda: before
    log.append(begin(78))
    log.flush()
    assert search.count(Query(statement="Q78")) == 0


def test_without_a_writer_the_checkpoint_is_the_limit(open_log, trail, key, records, open_search):
    begin, _ = records
    log = open_log()
    log.append(begin(1))
    log.flush()
    log.checkpoint()
    log.append(begin(2))
    log.flush()
    search = open_search(trail, key.verifier)
    assert search.count(Query()) == 2
    log.checkpoint()
    assert search.count(Query()) == 3
    with pytest.raises(GatewayError):
        search.prove(3)
    search.close()


def test_a_record_that_is_not_signed_yet_cannot_be_proven(searched):
    search, log = searched
    with pytest.raises(GatewayError) as caught:
        search.prove(8)
    assert caught.value.code == "not-found"
    log.checkpoint()
    assert search.prove(8)["index"] == 8


def test_the_index_is_rebuilt_when_it_is_lost_spoilt_or_of_another_trail(searched, trail):
    search, _ = searched
    before = search.search(Query())
    assert search.rebuild() == 9
    search.close()
    path = trail.with_name("trail-index.sqlite")
    path.write_bytes(b"not a database" * 100)
    assert search.search(Query()) == before
    search.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE records SET id = 'x' WHERE idx = 8")
    assert search.search(Query()) == before
    search.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = 'other' WHERE name = 'origin'")
    assert search.search(Query()) == before


def test_the_index_follows_over_segments(open_log, trail, key, records, open_search):
    begin, end = records
    log = open_log()
    search = open_search(trail, key.verifier, durable=lambda: log.durable_size)
    for turn in range(3):
        for i in range(400):
            log.append(begin(turn * 400 + i))
            log.append(end(turn * 400 + i))
        log.flush()
        assert search.count(Query(kind="statement.end")) == 400 * (turn + 1)
    assert len(segments_of(trail)) > 2
    log.checkpoint()
    for index in (0, 500, 1500, 2400):
        assert search.prove(index)["index"] == index
    search.close()


def test_an_answer_from_a_damaged_segment_is_an_error_not_a_record(searched, trail):
    search, _ = searched
    search.search(Query())
    first, path = segments_of(trail)[0]
    batch = next(batch for batch in read_batches(path, first) if batch.first <= 4 < batch.size)
    data = bytearray(path.read_bytes())
    data[batch.offsets[4 - batch.first] + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(GatewayError) as caught:
        search.show(4)
    assert caught.value.code == "audit-damaged"


def test_a_trail_that_cannot_be_read_to_its_end_gives_no_answer_that_looks_whole(searched, trail):
    search, _ = searched
    first, path = segments_of(trail)[0]
    data = bytearray(path.read_bytes())
    data[next(batch.offsets[0] for batch in read_batches(path, first) if batch.first > 0)] ^= 1
    path.write_bytes(data)
    with pytest.raises(GatewayError) as caught:
        search.search(Query(person="alice"))
    assert caught.value.code == "audit-damaged"


def test_a_limit_inside_a_segment_that_others_follow_does_not_lose_the_way(open_log, trail, key, records, open_search):
    begin, _ = records
    log = open_log()
    marks = []
    for i in range(1_500):
        log.append(begin(i))
        if i % 100 == 0:
            log.flush()
            marks.append(log.durable_size)
    log.flush()
    assert len(segments_of(trail)) > 2
    limit = 0
    search = open_search(trail, key.verifier, durable=lambda: limit)
    for limit in [*marks, log.durable_size]:
        assert search.count(Query()) == limit
    search.close()


def test_the_index_is_private(searched, trail):
    search, _ = searched
    search.search(Query())
    assert trail.with_name("trail-index.sqlite").stat().st_mode & 0o077 == 0
