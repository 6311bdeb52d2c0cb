"""What was made under an old policy, another ticket or a grant that is over never shows what the new one hides."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from gateway_fixture import CUSTOMER, House, awaited, eventually, open_house
from raw_client import Raw, code_of, query

from gateway.demo.company import SECOND_TICKET, TARGET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import postgres as wire

SYNC = wire.encode_sync()
TEXT = "select department, id from employees order by id"
SCOPE, OTHER_SCOPE = "scope: company_id = ticket.customer", "scope: id = ticket.customer"
COLUMN, NO_COLUMN = "      department: clear\n", ""
RUN = wire.encode_bind(b"", b"s", (), (), []) + wire.encode_execute(b"", 0) + SYNC


@pytest.fixture
def house(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, postgres, limits={"rows_per_day": 10_000_000}) as house:
        change(house, "tests: payroll_test.yaml", "", reloaded=False)
        house.opened()
        yield house


def change(house: House, old: str, new: str, *, reloaded: bool = True) -> None:
    """Rewrite the policy, and with `reloaded` let the gateway read it and wait until it says so."""
    path = house.company.directory / "policies" / f"{TARGET}.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    if reloaded:
        trail = house.follow()
        assert house.gateway.pid is not None
        os.kill(house.gateway.pid, signal.SIGHUP)
        awaited(trail, lambda one: one["kind"] == "policy.change")


def parsed(raw: Raw) -> None:
    raw.send(wire.encode_parse(b"s", TEXT) + SYNC)
    raw.until_ready()


def bound(raw: Raw) -> None:
    raw.query("begin")
    raw.send(wire.encode_parse(b"s", TEXT) + wire.encode_bind(b"p", b"s", (), (), []) + wire.encode_execute(b"p", 2))
    raw.send(SYNC)
    assert [kind for kind, _ in raw.until_ready()].count(wire.DATA_ROW) == 2


MADE: dict[str, tuple[Callable[[Raw], object], bytes]] = {
    "a prepared statement": (parsed, RUN),
    "a prepared statement that is described": (parsed, wire.encode_describe(wire.STATEMENT, b"s") + SYNC),
    "a portal": (bound, wire.encode_execute(b"p", 0) + SYNC),
    "a portal by SQL's FETCH": (bound, query("fetch all from p")),
    "SQL's PREPARE": (lambda raw: raw.query(f"prepare s as {TEXT}"), query("execute s")),
    "SQL's PREPARE by the protocol": (lambda raw: raw.query(f"prepare s as {TEXT}"), RUN),
    "SQL's EXPLAIN EXECUTE": (lambda raw: raw.query(f"prepare s as {TEXT}"), query("explain execute s")),
    "a cursor": (
        lambda raw: raw.query(f"begin; declare c cursor for {TEXT}; fetch 2 from c"), query("fetch all from c")
    ),
    "a cursor WITH HOLD": (
        lambda raw: raw.query(f"begin; declare c cursor with hold for {TEXT}; commit"), query("fetch all from c")
    ),
    "the text itself": (lambda raw: raw.query(TEXT), query(TEXT)),
    "a text in flight": (lambda raw: raw.query("begin"), query(TEXT) * 50),
}  # fmt: skip


@pytest.mark.parametrize("change_", [(COLUMN, NO_COLUMN), (SCOPE, OTHER_SCOPE)], ids=["a column", "a scope"])
def test_nothing_that_was_made_before_shows_what_the_new_policy_hides(house: House, change_: tuple[str, str]) -> None:
    sessions = {}
    for what, (make, _) in MADE.items():
        sessions[what] = Raw(house).log_in()
        make(sessions[what])
    change(house, *change_)
    for what, (_, use) in MADE.items():
        raw = sessions[what]
        raw.send(use)
        got = []
        while (message := raw.message()) is not None:
            got.append(message)
        assert not any(kind in (wire.DATA_ROW, wire.ROW_DESCRIPTION) for kind, _ in got), what
        said = [wire.parse_error_fields(body) for kind, body in got if kind == wire.ERROR_RESPONSE]
        assert [(one["S"], code_of(one)) for one in said] == [("FATAL", "policy-changed")], what
        raw.close()
    # the same names and texts, made anew, are judged by the new policy
    with Raw(house) as raw:
        raw.log_in()
        for make in (lambda: query(TEXT), lambda: wire.encode_parse(b"s", TEXT) + RUN[:-5] + SYNC):
            raw.send(make())
            got = raw.until_ready()
            if change_[0] == COLUMN:
                errors = [wire.parse_error_fields(body) for kind, body in got if kind == wire.ERROR_RESPONSE]
                assert code_of(errors[0]) == "column-not-available"
            else:
                rows = [wire.parse_data_row(body)[1] for kind, body in got if kind == wire.DATA_ROW]
                assert rows == [str(row[0]).encode() for row in house.truth(
                    "select id from employees where id = %s", CUSTOMER
                )]  # fmt: skip


def test_while_policies_change_under_load_no_statement_begins_under_the_one_before(house: House) -> None:
    stop = threading.Event()
    seen: list[tuple[bool, int]] = []

    def work() -> None:
        while not stop.is_set():
            try:
                with house.connect() as connection:
                    while not stop.is_set():
                        rows = connection.execute(TEXT, prepare=True).fetchall()
                        seen.append((rows[0][0] is None, len(rows)))
            except psycopg.Error:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        masked = "      department: {mask: 'null'}\n"
        for turn in range(6):
            before = len(seen)
            eventually(lambda before=before: len(seen) > before + 20)  # type: ignore[misc]
            change(house, *((COLUMN, masked) if turn % 2 == 0 else (masked, COLUMN)))
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert {one for one, _ in seen} == {True, False}
    assert len({rows for _, rows in seen}) == 1
    current, checked, masks = "", 0, {}
    for record in house.records():
        if record["kind"] == "policy.change":
            current = record["policy"]
        elif record["kind"] == "statement.begin" and current:
            checked += 1
            assert record["policy"] == current
            clear = "public.employees.department" in record.get("columns_clear", ())
            assert masks.setdefault(current, clear) == clear
    assert checked > 100
    assert sorted(masks.values()) == [False, True]


def test_the_same_texts_and_names_under_two_tickets_never_cross(house: House) -> None:
    tickets = {"SUP-1423": CUSTOMER, SECOND_TICKET: CUSTOMER - 1}
    own = {
        ticket: {row[0] for row in house.truth("select id from employees where company_id = %s", customer)}
        for ticket, customer in tickets.items()
    }
    everybody = sorted(set().union(*own.values()))
    with house.connect("alice", "SUP-1423") as one, house.connect("alice", SECOND_TICKET) as other:
        sessions = {"SUP-1423": one, SECOND_TICKET: other}
        for connection in sessions.values():
            connection.execute("prepare kept as select id from employees")
            connection.execute("prepare given(int) as select id from employees where id = $1")
        for number, somebody in enumerate(everybody[:20] * 2):
            for ticket, connection in sorted(sessions.items(), reverse=bool(number % 2)):
                expected = [(somebody,)] if somebody in own[ticket] else []
                # by template, by parameter, by a driver's statement, by SQL's name
                assert connection.execute(f"select id from employees where id = {somebody}").fetchall() == expected
                for prepare in (False, True):
                    text = "select id from employees where id = %s"
                    assert connection.execute(text, [somebody], prepare=prepare).fetchall() == expected
                assert connection.execute(f"execute given({somebody})").fetchall() == expected
        for ticket, connection in sessions.items():
            assert {row[0] for row in connection.execute("execute kept").fetchall()} == own[ticket]


def test_drivers_prepare_again_and_never_get_the_old_answer(house: House) -> None:
    async def main() -> None:
        given = house.parameters()
        place = {"host": "localhost", "port": given["port"], "database": TARGET, "ssl": context(house)}
        who = {"user": given["user"], "password": given["password"]}
        connection = await asyncpg.connect(**place, **who)
        statement = await connection.prepare(TEXT)
        assert (await statement.fetch())[0]["department"]
        await asyncio.to_thread(change, house, COLUMN, NO_COLUMN)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await statement.fetch()
        again = await asyncpg.connect(**place, **who)
        with pytest.raises(asyncpg.UndefinedColumnError):
            await again.prepare(TEXT)
        assert "department" not in (await again.fetch("select * from employees limit 1"))[0]
        await again.close()

    asyncio.run(main())


def context(house: House) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(house.company.tls.ca))


@pytest.mark.parametrize("what", ["a portal", "a portal by SQL's FETCH", "a cursor", "a prepared statement"])
def test_nothing_of_a_grant_outlives_its_revocation(house: House, what: str) -> None:
    make, use = MADE[what]
    opened = house.opened("alice", again=True)
    with Raw(house) as raw:
        raw.log_in()
        make(raw)
        house.actor("alice").revoke(opened["grant"], "done")
        raw.send(use)
        got = []
        while (message := raw.message()) is not None:
            got.append(message)
    assert not any(kind == wire.DATA_ROW for kind, _ in got)
    said = [wire.parse_error_fields(body) for kind, body in got if kind == wire.ERROR_RESPONSE]
    assert [code_of(one) for one in said] == ["grant-revoked"]
