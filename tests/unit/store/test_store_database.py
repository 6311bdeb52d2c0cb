"""The embedded store: durable, private, versioned, and compare-and-swap."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gateway.errors import GatewayError
from gateway.model import AccessRequest, Grant, GrantState, Pass, RequestState
from gateway.store import access, people
from gateway.store.access import PassRow
from gateway.store.database import Connection, Database
from gateway.store.migrate import HEAD, migrate
from gateway.store.people import FactorRow, TokenRow

CORPUS = Path(__file__).parents[2] / "corpus" / "store"
NOW = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
REVEAL = frozenset({("public.employees", "email"), ("public.employees", "iban")})
REQUEST = AccessRequest(
    "req_1", "p1", "payroll", "file", "SUP-1", "why", REVEAL, False, 3600, RequestState.PENDING, NOW
)
GRANT = Grant(
    "grant_1", "req_1", "p1", "payroll", "file", "SUP-1", ("42", "43"), REVEAL, False, GrantState.ACTIVE, NOW,
    NOW + timedelta(hours=1), ("p3",),
)  # fmt: skip
PASS = PassRow(
    Pass("pass_1", "grant_1", "p1", "payroll", "SUP-1", "SCRAM", NOW, NOW + timedelta(hours=1)), "alice", "totp", NOW
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.sqlite"


def reopened(path: Path) -> Database:
    return Database(path)


def test_the_file_is_private_from_its_first_moment(path: Path) -> None:
    database = Database(path)
    database.run_now(people.put_lockout, "login alice", 1, NOW)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    database.close()
    assert modes == {"access.sqlite": 0o600, "access.sqlite-wal": 0o600, "access.sqlite-shm": 0o600}


def test_a_file_that_others_could_read_is_made_private(path: Path) -> None:
    Database(path).close()
    path.chmod(0o644)
    Database(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)]
)
def test_commits_are_durable_and_references_hold(path: Path, pragma: str, value: object) -> None:
    database = Database(path)
    found = database.run_now(lambda connection: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar())
    database.close()
    assert found == value


def test_requests_grants_and_passes_come_back_as_they_were_kept(path: Path) -> None:
    database = Database(path)
    database.run_now(access.insert_request, REQUEST, GRANT)
    database.run_now(access.insert_pass, PASS)
    database.close()
    database = reopened(path)
    assert database.run_now(access.find_request, "req_1") == REQUEST
    assert database.run_now(access.load, NOW) == ([GRANT], [PASS])
    assert database.run_now(access.list_grants, person="p1") == [GRANT]
    assert database.run_now(access.list_grants, person="p2") == []
    assert database.run_now(access.find_request, "req_2") is None
    database.close()


def test_moments_keep_their_microseconds_and_come_back_in_utc(path: Path) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    database = Database(path)
    database.run_now(access.insert_request, replace(REQUEST, created_at=elsewhere))
    found = database.run_now(access.find_request, "req_1")
    assert found is not None
    assert (found.created_at, found.created_at.tzinfo) == (NOW, UTC)
    with pytest.raises(GatewayError):
        database.run_now(access.insert_request, replace(REQUEST, id="req_2", created_at=NOW.replace(tzinfo=None)))
    database.close()


def test_a_grant_without_its_request_is_impossible() -> None:
    database = Database("")
    with pytest.raises(GatewayError) as raised:
        database.run_now(access.insert_request, REQUEST, replace(GRANT, request_id="req_unknown"))
    assert raised.value.code == "store-unavailable"
    assert database.run_now(access.find_request, "req_1") is None
    database.close()


def test_a_state_is_left_once() -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST)
    pending, approved, denied = RequestState.PENDING, RequestState.APPROVED, RequestState.DENIED
    assert database.run_now(access.move_request, "req_1", pending, denied, NOW, "no")
    assert not database.run_now(access.move_request, "req_1", pending, approved, NOW, "", grant=GRANT)
    found = database.run_now(access.find_request, "req_1")
    assert found is not None
    assert (found.state, found.decision_reason, found.decided_at, found.decided_by) == (denied, "no", NOW, ())
    assert database.run_now(access.load, NOW) == ([], [])
    database.close()


def test_an_approver_counts_once_and_on_top_of_those_he_has_seen() -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST)
    assert database.run_now(access.add_approval, "req_1", "p3", NOW, ())
    assert not database.run_now(access.add_approval, "req_1", "p3", NOW, ("p3",))
    assert not database.run_now(access.add_approval, "req_1", "p4", NOW, ())
    assert database.run_now(access.add_approval, "req_1", "p4", NOW + timedelta(seconds=1), ("p3",))
    found = database.run_now(access.find_request, "req_1")
    assert found is not None
    assert found.decided_by == ("p3", "p4")
    database.close()


def test_an_ended_grant_takes_its_passes_along_and_ends_once(path: Path) -> None:
    database = Database(path)
    database.run_now(access.insert_request, REQUEST, GRANT)
    database.run_now(access.insert_pass, PASS)
    active, revoked, expired = GrantState.ACTIVE, GrantState.REVOKED, GrantState.EXPIRED
    assert database.run_now(access.move_grant, "grant_1", active, revoked, "why")
    assert not database.run_now(access.move_grant, "grant_1", active, expired, "")
    database.close()
    database = reopened(path)
    assert database.run_now(access.load, NOW) == ([], [])
    assert [one.ended_reason for one in database.run_now(access.list_grants)] == ["why"]
    database.close()


def test_a_newer_pass_supersedes_only_its_own_kind() -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST, GRANT)
    others = [
        replace(PASS, secret=replace(PASS.secret, id=f"pass_{field}", **{field: "other"}))
        for field in ("person", "target", "ticket_id")
    ]
    for row in [PASS, *others, replace(PASS, secret=replace(PASS.secret, id="pass_2"))]:
        database.run_now(access.insert_pass, row)
    _, found = database.run_now(access.load, NOW)
    assert {row.secret.id for row in found if row.superseded} == {"pass_1"}
    database.close()


def test_of_many_users_of_one_step_one_wins(path: Path) -> None:
    database = Database(path)
    database.run_now(people.insert_invitation, b"h", "p1", "local", NOW, NOW + timedelta(hours=1))
    database.run_now(people.begin_enrolment, b"h", b"sealed")
    factor = FactorRow("p1", "totp", b"sealed", NOW, 100)
    assert database.run_now(people.finish_enrolment, b"h", factor, [b"c1", b"c2"])
    other = Database(path)
    with ThreadPoolExecutor(4) as pool:
        used = list(pool.map(lambda store: store.run_now(people.use_step, "p1", 101), [database, other] * 2))
    assert sorted(used) == [False, False, False, True]
    assert not other.run_now(people.use_step, "p1", 100)
    other.close()
    database.close()


def test_an_enrolment_needs_the_secret_that_waits_and_happens_once() -> None:
    database = Database("")
    database.run_now(people.insert_invitation, b"h", "p1", "local", NOW, NOW + timedelta(hours=1))
    factor = FactorRow("p1", "totp", b"sealed", NOW, 100)
    assert not database.run_now(people.finish_enrolment, b"h", factor, [b"c1"])
    assert database.run_now(people.begin_enrolment, b"h", b"another")
    assert not database.run_now(people.finish_enrolment, b"h", factor, [b"c1"])
    assert database.run_now(people.begin_enrolment, b"h", b"sealed")
    assert database.run_now(people.finish_enrolment, b"h", factor, [b"c1"])
    assert not database.run_now(people.begin_enrolment, b"h", b"again")
    assert not database.run_now(people.finish_enrolment, b"h", factor, [b"c1"])
    found = database.run_now(people.find_invitation, b"h")
    assert found is not None
    assert (found.used_at, found.sealed) == (NOW, None)
    database.close()


def test_removing_a_factor_removes_all_that_it_opened() -> None:
    database = Database("")
    database.run_now(people.insert_invitation, b"h", "p1", "local", NOW, NOW + timedelta(hours=1))
    database.run_now(people.begin_enrolment, b"h", b"sealed")
    database.run_now(people.finish_enrolment, b"h", FactorRow("p1", "totp", b"sealed", NOW, 1), [b"c1"])
    token = TokenRow(b"t", "signin_1", "p1", "totp", NOW, NOW, NOW + timedelta(hours=8))
    database.run_now(people.insert_token, token)
    assert database.run_now(people.load, NOW) == ([token], [])
    assert database.run_now(people.remove_factor, "p1")
    assert not database.run_now(people.remove_factor, "p1")
    assert not database.run_now(people.use_recovery_code, "p1", b"c1", NOW)
    assert database.run_now(people.load, NOW) == ([], [])
    database.close()


def test_a_newer_store_is_refused_and_left_as_it_is(path: Path) -> None:
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(GatewayError) as raised:
        Database(path)
    assert raised.value.code == "configuration-invalid"
    assert "99" in raised.value.refusal.message
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one" * 40])
def test_a_damaged_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(GatewayError) as raised:
        Database(path)
    assert raised.value.code == "store-unavailable"


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(GatewayError) as raised:
        Database(tmp_path / "missing" / "access.sqlite")
    assert raised.value.code == "store-unavailable"


def test_a_function_that_fails_leaves_nothing_behind() -> None:
    database = Database("")

    def fails(connection: Connection) -> None:
        access.insert_request(connection, REQUEST)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        database.run_now(fails)
    assert database.run_now(access.find_request, "req_1") is None
    database.close()


def test_work_runs_beside_the_loop_one_after_another() -> None:
    database = Database("")

    async def story() -> list[bool]:
        moves = [
            database.run(access.move_request, "req_1", RequestState.PENDING, state, NOW)
            for state in (RequestState.DENIED, RequestState.CANCELLED, RequestState.EXPIRED)
        ]
        return list(await asyncio.gather(*moves))

    database.run_now(access.insert_request, REQUEST)
    assert asyncio.run(story()) == [True, False, False]
    database.close()


def columns(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every table with its columns: name, type, whether it may be null, default, place in the key."""
    names = [row[0] for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: sorted(tuple(row[1:]) for row in connection.exec_driver_sql(f"PRAGMA table_info({name})"))
        for name in names
    }


def test_a_store_of_the_first_version_is_brought_up_with_all_that_is_in_it(path: Path) -> None:
    old = sqlite3.connect(path)
    old.executescript((CORPUS / "version-1.sql").read_text())
    old.close()
    database = Database(path)
    found = database.run_now(access.find_request, "req_1")
    assert found is not None
    assert (found.state, found.decided_by, found.write, found.statement, found.digest) == (
        RequestState.APPROVED, ("p3",), False, "", "",
    )  # fmt: skip
    (grant,), (row,) = database.run_now(access.load, NOW.replace(microsecond=0))
    assert (grant.id, grant.write, grant.statement, grant.spent, row.secret.id) == (
        "grant_1",
        False,
        "",
        False,
        "pass_1",
    )
    fresh = Database("")
    assert database.run_now(columns) == fresh.run_now(columns)
    assert database.run_now(migrate) == fresh.run_now(migrate) == HEAD
    database.run_now(access.insert_request, replace(REQUEST, id="req_3", write=True, statement="s", digest="d"))
    fresh.close()
    database.close()


WRITING = replace(REQUEST, write=True, statement="UPDATE x", digest="d1")
ONCE = replace(GRANT, write=True, statement="d1")


@pytest.fixture
def once() -> Iterator[Database]:
    """A store with a live grant for one statement."""
    database = Database("")
    database.run_now(access.insert_request, WRITING, ONCE)
    yield database
    database.close()


def test_what_is_asked_to_be_written_comes_back_as_it_was_kept(once: Database) -> None:
    assert once.run_now(access.find_request, "req_1") == WRITING
    assert once.run_now(access.list_grants) == [ONCE]


def test_a_statement_is_claimed_once_and_released_by_who_claimed_it(once: Database) -> None:
    claim, release = access.claim_statement, access.release_statement
    assert not once.run_now(release, "grant_1", "d1", "s1")
    assert not once.run_now(claim, "grant_1", "d2", "s1", NOW)
    assert not once.run_now(claim, "grant_1", "", "s1", NOW)
    assert not once.run_now(claim, "grant_2", "d1", "s1", NOW)
    assert not once.run_now(claim, "grant_1", "d1", "s1", GRANT.expires_at)
    assert once.run_now(claim, "grant_1", "d1", "s1", NOW)
    assert not once.run_now(claim, "grant_1", "d1", "s2", NOW)
    assert once.run_now(access.list_grants) == [replace(ONCE, spent=True)]
    assert not once.run_now(release, "grant_1", "d1", "s2")
    assert not once.run_now(release, "grant_1", "d2", "s1")
    assert once.run_now(release, "grant_1", "d1", "s1")
    assert not once.run_now(release, "grant_1", "d1", "s1")
    assert once.run_now(claim, "grant_1", "d1", "s2", NOW)


@pytest.mark.parametrize("grant", [GRANT, replace(GRANT, write=True), replace(GRANT, statement="d1")])
def test_a_grant_without_a_statement_or_without_writing_is_never_claimed(grant: Grant) -> None:
    database = Database("")
    database.run_now(access.insert_request, REQUEST, grant)
    for digest in ("", "d1"):
        assert not database.run_now(access.claim_statement, "grant_1", digest, "s1", NOW)
    database.close()


def test_what_is_over_is_neither_claimed_nor_released(once: Database) -> None:
    assert once.run_now(access.claim_statement, "grant_1", "d1", "s1", NOW)
    once.run_now(access.move_grant, "grant_1", GrantState.ACTIVE, GrantState.REVOKED, "")
    assert not once.run_now(access.release_statement, "grant_1", "d1", "s1")
    assert not once.run_now(access.claim_statement, "grant_1", "d1", "s1", NOW)


def test_of_many_claims_from_two_processes_one_wins(path: Path) -> None:
    database = Database(path)
    database.run_now(access.insert_request, WRITING, ONCE)
    other = Database(path)
    with ThreadPoolExecutor(4) as pool:
        claimed = list(
            pool.map(
                lambda at: (database, other)[at % 2].run_now(access.claim_statement, "grant_1", "d1", f"s{at}", NOW),
                range(8),
            )
        )
    assert sorted(claimed) == [False] * 7 + [True]
    other.close()
    database.close()


def test_the_last_preview_of_each_person_is_kept_while_the_request_waits(once: Database) -> None:
    once.run_now(access.insert_request, replace(WRITING, id="req_2"))
    assert not once.run_now(access.put_preview, "req_unknown", "p3", "m1", NOW)
    for person, seen in (("p3", "m1"), ("p3", "m2"), ("p4", "m1")):
        assert once.run_now(access.put_preview, "req_2", person, seen, NOW)
    assert once.run_now(access.list_previews, "req_2") == {"p3": ("m2", NOW), "p4": ("m1", NOW)}
    once.run_now(access.move_request, "req_2", RequestState.PENDING, RequestState.DENIED, NOW)
    assert not once.run_now(access.put_preview, "req_2", "p3", "m3", NOW)


def test_passes_of_different_purposes_do_not_supersede_each_other() -> None:
    database = Database("")
    kinds = [GRANT, replace(GRANT, write=True), ONCE, replace(ONCE, statement="d2"), replace(ONCE, statement="d2")]
    for number, grant in enumerate(kinds, start=1):
        request = replace(REQUEST, id=f"req_{number}")
        database.run_now(access.insert_request, request, replace(grant, id=f"grant_{number}", request_id=request.id))
        secret = replace(PASS.secret, id=f"pass_{number}", grant_id=f"grant_{number}")
        database.run_now(access.insert_pass, replace(PASS, secret=secret))
    _, found = database.run_now(access.load, NOW)
    assert {row.secret.id for row in found if row.superseded} == {"pass_4"}
    database.close()
