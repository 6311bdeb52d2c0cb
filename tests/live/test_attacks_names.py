"""Attempts to read one relation under the record of another, by what names stand for on the target.

Each attack ends in a message that returns employees. Whatever the sequence before it was, the begin record of the
statement that returned rows must name the relation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateway_fixture import House, eventually
from raw_client import Raw, code_of, error_in, query

from gateway.wire import postgres as wire

EMPLOYEES = "select id, last_name from employees"
INNOCENT = "select 1"
SYNC = wire.encode_sync()
LONG = b"n" * 64


def parse(name: bytes, text: str, types: tuple[int, ...] = ()) -> bytes:
    return wire.encode_parse(name, text, types)


def bind(portal: bytes, statement: bytes, *values: bytes) -> bytes:
    return wire.encode_bind(portal, statement, values)


def execute(portal: bytes = b"") -> bytes:
    return wire.encode_execute(portal, 0)


def close(kind: int, name: bytes) -> bytes:
    return wire.encode_close(kind, name)


FAILS = bind(b"", b"innocent", b"one value too many")

ATTACKS: dict[str, list[list[bytes]]] = {
    "a protocol statement run by SQL's EXECUTE": [[parse(b"p", EMPLOYEES), SYNC], [query("EXECUTE p")]],
    "a protocol portal read by SQL's FETCH": [
        [query("BEGIN")],
        [parse(b"", EMPLOYEES), bind(b"c", b""), SYNC],
        [query("FETCH ALL FROM c")],
    ],
    "a quoted protocol name, folded by nobody": [[parse(b"P x", EMPLOYEES), SYNC], [query('EXECUTE "P x"')]],
    "SQL's PREPARE over a protocol name that SQL deallocated": [
        [parse(b"p", INNOCENT), SYNC],
        [query("DEALLOCATE p")],
        [query(f"PREPARE p AS {EMPLOYEES}")],
        [bind(b"", b"p"), execute(), SYNC],
    ],
    "a protocol name over SQL's that SQL deallocated": [
        [query(f"PREPARE p AS {INNOCENT}")],
        [query("DEALLOCATE p")],
        [parse(b"p", EMPLOYEES), SYNC],
        [query("EXECUTE p")],
    ],
    "a Close that is skipped, then SQL's name of old": [
        [query(f"PREPARE p AS {INNOCENT}")],
        [query("DEALLOCATE p")],
        [parse(b"p", EMPLOYEES), parse(b"innocent", INNOCENT), SYNC],
        [FAILS, close(wire.STATEMENT, b"p"), SYNC],
        [bind(b"", b"p"), execute(), SYNC],
    ],
    "a Close behind a Query that is skipped with it": [
        [query(f"PREPARE p AS {INNOCENT}")],
        [query("DEALLOCATE p")],
        [parse(b"p", EMPLOYEES), parse(b"innocent", INNOCENT), SYNC],
        [FAILS, query("select 2"), close(wire.STATEMENT, b"p"), SYNC],
        [bind(b"", b"p"), execute(), SYNC],
    ],
    "a Parse behind a Query that is skipped with it": [
        [parse(b"", EMPLOYEES), parse(b"innocent", INNOCENT), SYNC],
        [FAILS, parse(b"", INNOCENT), SYNC],
        [bind(b"", b""), execute(), SYNC],
    ],
    "a failed Bind that leaves the unnamed portal, across a savepoint": [
        [query("BEGIN")],
        [parse(b"s", "SAVEPOINT s"), parse(b"r", "ROLLBACK TO s"), parse(b"innocent", INNOCENT), SYNC],
        [parse(b"e", EMPLOYEES), bind(b"", b"e"), bind(b"s", b"s"), execute(b"s"), SYNC],
        [FAILS, SYNC],
        [bind(b"r", b"r"), execute(b"r"), SYNC],
        [execute(), SYNC],
    ],
    "names that the target cuts to the same 63 bytes": [
        [parse(LONG + b"1", EMPLOYEES), SYNC],
        [parse(LONG + b"2", INNOCENT), SYNC],
        [bind(b"", LONG + b"2"), execute(), SYNC],
    ],
    "portals that the target cuts to the same 63 bytes": [
        [query("BEGIN")],
        [parse(b"", EMPLOYEES), bind(LONG + b"1", b""), SYNC],
        [parse(b"", INNOCENT), SYNC],
        [bind(LONG + b"2", b""), SYNC],
        [execute(LONG + b"2"), SYNC],
    ],
    "a statement that runs another, hidden by a failed one of its name": [
        [query(f"PREPARE inner_one AS {EMPLOYEES}")],
        [parse(b"outer", "EXECUTE inner_one"), SYNC],
        [parse(b"outer", INNOCENT), SYNC],
        [bind(b"", b"outer"), execute(), SYNC],
    ],
    "a cursor declared under a name that may stand for something else": [
        [query("BEGIN")],
        [parse(b"outer", f"DECLARE c CURSOR FOR {EMPLOYEES}"), SYNC],
        [query("SAVEPOINT s")],
        [parse(b"outer", INNOCENT), SYNC],
        [query("ROLLBACK TO s")],
        [bind(b"", b"outer"), execute(), SYNC],
        [query("FETCH ALL FROM c")],
    ],
    "a cursor that outlives its transaction": [
        [query(f"DECLARE h CURSOR WITH HOLD FOR {EMPLOYEES}")],
        [query("BEGIN"), query("DECLARE h2 CURSOR FOR SELECT 1"), query("ROLLBACK")],
        [query('FETCH ALL IN "h"')],
    ],
    "a portal of a cursor's name executed by the protocol": [
        [query("BEGIN")],
        [query(f"DECLARE c CURSOR FOR {EMPLOYEES}")],
        [execute(b"c"), SYNC],
    ],
    "a suspended portal continued after its statement was replaced": [
        [query("BEGIN")],
        [parse(b"e", EMPLOYEES), bind(b"k", b"e"), wire.encode_execute(b"k", 1), SYNC],
        [close(wire.STATEMENT, b"e"), parse(b"e", INNOCENT), SYNC],
        [execute(b"k"), SYNC],
    ],
    "an EXECUTE ahead of what its name is made to mean in the same text": [
        [query(f"PREPARE q AS {EMPLOYEES}")],
        [query(f"EXECUTE q; DEALLOCATE q; PREPARE q AS {INNOCENT}")],
    ],
    "a SELECT beside a FETCH of something else": [
        [query("BEGIN")],
        [query("DECLARE c CURSOR FOR select id from companies")],
        [query(f"{EMPLOYEES}; FETCH c")],
    ],
    "a DECLARE that SQL's EXECUTE runs": [
        [query("BEGIN")],
        [parse(b"d", f"DECLARE c CURSOR FOR {EMPLOYEES}"), SYNC],
        [query("EXECUTE d")],
        [query("FETCH ALL FROM c")],
    ],
    "an EXECUTE that was begun before its name changed": [
        [query("BEGIN")],
        [parse(b"e", EMPLOYEES), parse(b"x", "EXECUTE e"), SYNC],
        [bind(b"k", b"x"), wire.encode_execute(b"k", 1), SYNC],
        [close(wire.STATEMENT, b"e"), parse(b"e", INNOCENT), SYNC],
        [execute(b"k"), SYNC],
    ],
    "the same, gone on with by FETCH": [
        [query("BEGIN")],
        [parse(b"e", EMPLOYEES), parse(b"x", "EXECUTE e"), bind(b"k", b"x"), SYNC],
        [query("FETCH 1 FROM k")],
        [close(wire.STATEMENT, b"e"), parse(b"e", INNOCENT), SYNC],
        [query("FETCH ALL FROM k")],
    ],
    "a Parse that took effect, a failure, and a Parse of the same name that is skipped": [
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"", EMPLOYEES), FAILS, parse(b"", INNOCENT), SYNC],
        [bind(b"", b""), execute(), SYNC],
    ],
    "the same with a name, which is closed in between": [
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"p", EMPLOYEES), FAILS, close(wire.STATEMENT, b"p"), parse(b"p", INNOCENT), SYNC],
        [bind(b"", b"p"), execute(), SYNC],
    ],
    "the same, run by SQL's EXECUTE": [
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"p", EMPLOYEES), FAILS, close(wire.STATEMENT, b"p"), parse(b"p", INNOCENT), SYNC],
        [query("EXECUTE p")],
    ],
    "the same, still unanswered": [
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"", EMPLOYEES), FAILS, parse(b"", INNOCENT), SYNC, bind(b"", b""), execute(), SYNC],
    ],
    "the same in the third of several meanings": [
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"", "select 2"), parse(b"", EMPLOYEES), FAILS, parse(b"", "select 3"), parse(b"", INNOCENT), SYNC],
        [parse(b"other", "select 4"), SYNC],
        [bind(b"", b""), execute(), SYNC],
    ],
    "the same in one of many meanings": [
        [parse(b"innocent", INNOCENT), SYNC],
        [
            *(parse(b"", f"select id, {number} from companies") for number in range(30)),
            *(parse(b"", EMPLOYEES), FAILS, parse(b"", INNOCENT)),
            *(parse(b"", f"select {number}") for number in range(30)),
            SYNC,
        ],
        [bind(b"", b""), execute(), SYNC],
    ],
    "a Parse that took effect and a Close that is skipped, over a name that SQL had": [
        [query(f"PREPARE p AS {INNOCENT}")],
        [query("DEALLOCATE p")],
        [parse(b"innocent", INNOCENT), SYNC],
        [parse(b"p", EMPLOYEES), FAILS, close(wire.STATEMENT, b"p"), SYNC],
        [bind(b"", b"p"), execute(), SYNC],
    ],
    "a Bind that took effect, a failure, and a Bind of the same name that is skipped, across a savepoint": [
        [query("BEGIN")],
        [parse(b"s", "SAVEPOINT s"), parse(b"r", "ROLLBACK TO s"), parse(b"innocent", INNOCENT), SYNC],
        [parse(b"e", EMPLOYEES), SYNC],
        [
            *(bind(b"k", b"e"), bind(b"s", b"s"), execute(b"s")),
            *(FAILS, close(wire.PORTAL, b"k"), bind(b"k", b"innocent"), SYNC),
        ],
        [bind(b"r", b"r"), execute(b"r"), SYNC],
        [execute(b"k"), SYNC],
    ],
    "a refused statement between two of the same name": [
        [parse(b"", EMPLOYEES), parse(b"x", "select * from secrets"), parse(b"", INNOCENT), SYNC],
        [bind(b"", b""), execute(), SYNC],
    ],
    "the unnamed portal, which an empty Query leaves alone": [
        [query("BEGIN")],
        [parse(b"s", "SAVEPOINT s"), parse(b"r", "ROLLBACK TO s"), parse(b"innocent", INNOCENT), SYNC],
        [parse(b"e", EMPLOYEES), bind(b"", b"e"), SYNC],
        [bind(b"s", b"s"), execute(b"s"), SYNC],
        [query("")],
        [SYNC],
        [FAILS, bind(b"", b"innocent"), SYNC],
        [bind(b"r", b"r"), execute(b"r"), SYNC],
        [execute(), SYNC],
    ],
    "the same for a Query that is refused": [
        [query("BEGIN")],
        [parse(b"s", "SAVEPOINT s"), parse(b"r", "ROLLBACK TO s"), parse(b"innocent", INNOCENT), SYNC],
        [parse(b"e", EMPLOYEES), bind(b"", b"e"), SYNC],
        [bind(b"s", b"s"), execute(b"s"), SYNC],
        [query("select * from secrets")],
        [SYNC],
        [FAILS, bind(b"", b"innocent"), SYNC],
        [bind(b"r", b"r"), execute(b"r"), SYNC],
        [execute(), SYNC],
    ],
    "the same for a Query that names no column": [
        [query("BEGIN")],
        [parse(b"s", "SAVEPOINT s"), parse(b"r", "ROLLBACK TO s"), parse(b"innocent", INNOCENT), SYNC],
        [parse(b"e", EMPLOYEES), bind(b"", b"e"), SYNC],
        [bind(b"s", b"s"), execute(b"s"), SYNC],
        [query("select nothing from companies")],
        [SYNC],
        [FAILS, bind(b"", b"innocent"), SYNC],
        [bind(b"r", b"r"), execute(b"r"), SYNC],
        [execute(), SYNC],
    ],
    "a batch that is still unanswered": [
        [parse(b"innocent", INNOCENT), parse(b"", EMPLOYEES), SYNC],
        [FAILS, parse(b"", INNOCENT), SYNC, bind(b"", b""), execute(), SYNC],
    ],
}


@pytest.fixture
def raw(house: House) -> Iterator[Raw]:
    """A session of alice's."""
    with Raw(house) as raw:
        yield raw.log_in()


@pytest.mark.parametrize("attack", ATTACKS)
def test_rows_of_a_relation_leave_under_a_record_that_names_it(house: House, raw: Raw, attack: str) -> None:
    follower = house.follow()
    got = []
    for batch in ATTACKS[attack]:
        raw.send(b"".join(batch))
        for message in batch:
            if message == SYNC or message[0] == wire.QUERY:
                got += raw.until_ready() if not _skipped(message, batch) else []
    rows = sum(1 for kind, body in got if kind == wire.DATA_ROW and len(body) > 14)
    raw.send(wire.encode_terminate())
    records: list[dict[str, Any]] = []

    def ended() -> bool:
        records.extend(follower.news())
        return any(record["kind"] == "session.end" for record in records)

    eventually(ended)
    announced = [
        record["statement"]
        for record in records
        if record["kind"] == "statement.begin"
        and "public.employees" in record.get("relations", ())
        and any("employees.last_name" in column for column in record.get("columns_masked", ()))
    ]
    counted = sum(r["rows"] for r in records if r["kind"] == "statement.end" and r["statement"] in announced)
    assert rows <= counted, [r for r in records if r["kind"].startswith("statement")]


def test_names_that_are_used_again_and_again_stand_for_their_latest_meaning_only(house: House, raw: Raw) -> None:
    follower = house.follow()
    for text in (EMPLOYEES, "select id from companies", "select period from payslips limit 1"):
        raw.send(parse(b"", text) + bind(b"", b"") + execute() + SYNC)
        raw.until_ready()
        raw.send(parse(b"s", text) + bind(b"p", b"s") + execute(b"p") + SYNC)
        raw.until_ready()
        raw.send(close(wire.PORTAL, b"p") + close(wire.STATEMENT, b"s") + SYNC)
        raw.until_ready()
    read = [record["relations"] for record in follower.news() if record["kind"] == "statement.begin"]
    tables = ["public.employees", "public.companies", "public.payslips"]
    assert [len(one) for one in read[:4]] == [1, 1, 1, 1], read
    assert [tables[number // 2] in one for number, one in enumerate(read)] == [True] * 6


def test_a_name_that_the_gate_has_not_seen_is_refused_before_the_target_is_asked(house: House, raw: Raw) -> None:
    statement, cursor = ("26000", "prepared-statement-not-found"), ("34000", "cursor-not-found")
    ghosts = {"EXECUTE ghost": statement, "FETCH ALL FROM ghost": cursor, "EXPLAIN EXECUTE ghost": statement}
    for text, told in ghosts.items():
        error = error_in(raw.query(text))
        assert (error["C"], code_of(error)) == told


def test_each_execute_of_a_prepared_search_is_a_search(house: House, raw: Raw) -> None:
    follower = house.follow()
    raw.query("PREPARE f(text) AS select id from employees where email = $1")
    for number in range(3):
        raw.query(f"EXECUTE f('{number}@example.org')")
    raw.send(parse(b"g", "select id from employees where email = $1") + SYNC)
    raw.until_ready()
    raw.query("EXECUTE g('x@example.org')")
    raw.send(parse(b"", "EXECUTE f('4@example.org')") + bind(b"", b"") + execute() + SYNC)
    raw.until_ready()
    searches = [record["statement"] for record in follower.news() if record["kind"] == "search.exact"]
    # the PREPARE, three times EXECUTE f, EXECUTE g, and once more f by the protocol
    assert len(searches) == len(set(searches)) == 6, searches


def _skipped(message: bytes, batch: list[bytes]) -> bool:
    """Whether a Query stands in a batch that failed before it."""
    return message[0] == wire.QUERY and SYNC in batch
