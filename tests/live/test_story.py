"""The story that must hold, step by step against real servers: who gets in, what is seen, when it ends, what is proved.

The steps run in order on one gateway; each test is one claim of the story. What the product's own demonstration shows
with its small server is held here to a target with TLS and SCRAM, with wire-level clients and the real command line.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyotp
import pytest
from gateway_fixture import House, awaited, eventually, open_house
from raw_client import Raw, code_of, query

from gateway.audit.segment import read_batches, segments_of
from gateway.audit.verify import verify_log
from gateway.demo.actor import STEP_S
from gateway.demo.company import CLOSED_TICKET, FOREIGN_TICKET, SECOND_TICKET, TICKET, write_people, write_tickets
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import GatewayError
from gateway.wire import postgres as wire

WITHIN_S = 2.0


@pytest.fixture(scope="module")
def stage(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The story's own gateway; rows enough for one large result."""
    limits = {"rows_per_statement": 2_000_000, "rows_per_day": 50_000_000}
    with open_house(tmp_path_factory.mktemp("story"), postgres, limits=limits) as house:
        yield house


def refusal(house: House, user: str, secret: str) -> tuple[str, dict[str, Any]]:
    """What the client was told, in full, and the record of it."""
    follower = house.follow()
    with pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(**house.login_as(user, secret)).close()
    text = str(refused.value)
    assert text.count("FATAL:") == 1
    record = awaited(follower, lambda record: record["kind"] == "login")
    assert record["decision"] == "deny"
    return text.partition("FATAL:")[2], record


# 1. Who is refused, each with one error and one record.


def test_dan_of_engineering_is_in_no_allowed_team(stage: House) -> None:
    dan = stage.actor("dan")
    text, record = refusal(stage, f"dan+{TICKET}", dan.password + dan.code())
    assert (record["code"], record["login"]) == ("not-in-team", "dan")
    assert "code: not-in-team" in text


def test_secrets_that_are_wrong_in_any_way_get_one_answer_and_records_that_tell_them_apart(stage: House) -> None:
    alice = stage.actor("alice")
    used = alice.code()
    text, record = refusal(stage, f"alice+{FOREIGN_TICKET}", alice.password + used)
    assert (record["code"], record["login"]) == ("ticket-not-yours", "alice")
    assert "code: ticket-not-yours" in text
    assert "amir" not in text
    assert str(CUSTOMER + 1) not in text

    totp, now = pyotp.TOTP(alice.authenticator.secret), int(time.time()) // STEP_S
    right = {totp.generate_otp(step) for step in range(now - 3, now + 6)}
    wrong = next(code for code in map("{:06d}".format, range(1_000_000)) if code not in right)
    answers = {
        "wrong code": refusal(stage, f"alice+{TICKET}", alice.password + wrong),
        "replayed code": refusal(stage, f"alice+{TICKET}", alice.password + used),
        "wrong password": refusal(stage, f"alice+{TICKET}", "not-her-password" + used),
        "unknown person": refusal(stage, f"mallory+{TICKET}", "whatever123456"),
        "no live pass": refusal(stage, "alice", alice.password + used),
    }
    assert {text for text, _ in answers.values()} == {next(iter(answers.values()))[0]}
    assert {reason: record["reason"] for reason, (_, record) in answers.items()} == {r: r for r in answers}
    assert {record["code"] for _, record in answers.values()} == {"authentication-failed"}


def test_a_closed_ticket_opens_nothing_on_the_wire_nor_in_the_api(stage: House) -> None:
    alice = stage.actor("alice")
    follower = stage.follow()
    for ticket, code in (
        (CLOSED_TICKET, "ticket-closed"),
        (FOREIGN_TICKET, "ticket-not-yours"),
        ("", "ticket-required"),
    ):
        with pytest.raises(GatewayError) as refused:
            alice.open(ticket)
        assert refused.value.code == code, refused.value
        assert awaited(follower, lambda record: record.get("decision") == "deny")["code"] == code
    text, record = refusal(stage, f"alice+{CLOSED_TICKET}", alice.password + alice.code())
    assert (record["code"], record["ticket"]) == ("ticket-closed", CLOSED_TICKET)
    assert "code: ticket-closed" in text


# 2. What alice sees of customer 42.


@pytest.fixture
def session(stage: House) -> Iterator[psycopg.Connection[Any]]:
    with stage.connect() as connection:
        yield connection


def test_she_sees_her_ticket_s_customer_masked(stage: House, session: psycopg.Connection[Any]) -> None:
    cursor = session.execute("select * from employees order by id")
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    rows = [dict(zip(names, map(str, row), strict=True)) for row in cursor]
    assert rows == stage.promised()
    assert rows
    assert {row["company_id"] for row in rows} == {str(CUSTOMER)}
    for hidden in ("notes", "profile", "nonsense"):
        with pytest.raises(psycopg.errors.UndefinedColumn):
            session.execute(f"select {hidden} from employees")


def test_questions_of_every_shape_are_answered_within_her_customer(
    stage: House, session: psycopg.Connection[Any]
) -> None:
    staff = stage.truth("select count(*) from employees where company_id = %s", CUSTOMER)
    slips = stage.truth(
        "select count(*) from payslips where employee_id in (select id from employees where company_id = %s)", CUSTOMER
    )
    for text, expected in (
        ("select count(*) from employees", staff),
        ("select count(*) from payslips", slips),
        ("select count(*) from employees e join payslips p on p.employee_id = e.id", slips),
        ("with e as (select * from employees) select count(*) from e", staff),
        ("select max(r) from (select row_number() over (order by id) r from employees) w", staff),
        ("select count(*) from employees e where exists (select from companies c where c.id = e.company_id)", staff),
        ("select sum(n)::int from (select department, count(*) n from employees group by rollup (department)) g "
         "where department is not null", staff),
    ):  # fmt: skip
        assert session.execute(text).fetchall() == expected, text


def test_the_exact_search_finds_who_wrote_and_nobody_else_s_customer(
    stage: House, session: psycopg.Connection[Any]
) -> None:
    follower = stage.follow()
    ((person, hers),) = stage.truth("select id, email from employees where company_id = %s limit 1", CUSTOMER)
    ((theirs,),) = stage.truth("select email from employees where company_id = %s limit 1", CUSTOMER + 1)
    found = session.execute(f"select id, email from employees where email = '{hers}'").fetchall()
    assert [row[0] for row in found] == [person]
    assert found[0][1] != hers
    record = awaited(follower, lambda record: record["kind"] == "search.exact")
    assert (record["relation"], record["column"]) == ("public.employees", "email")
    assert session.execute(f"select id from employees where email = '{theirs}'").fetchall() == []
    assert hers not in str(stage.records())
    assert theirs not in str(stage.records())


def test_a_comparison_with_a_masked_column_runs_on_masked_values_and_says_so(session: psycopg.Connection[Any]) -> None:
    said: list[str] = []
    session.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    rows = session.execute("select salary from employees where salary > 50000").fetchall()
    assert rows
    assert all(salary > 50000 and salary % 10000 == 0 for (salary,) in rows)
    assert len(said) == 1
    assert "salary" in said[0]


@pytest.mark.parametrize(
    "condition",
    [
        "id = {other}",
        "company_id = {company}",
        "company_id <> 42",
        "id = {other} or true",
        "not (company_id = 42)",
        "company_id = any (array[42, {company}]) and company_id <> 42",
        "id in (select employee_id from payslips where employee_id = {other})",
        "(id, company_id) = ({other}, {company})",
    ],
)
def test_no_filter_reaches_another_customer_s_row(
    stage: House, session: psycopg.Connection[Any], condition: str
) -> None:
    ((other,),) = stage.truth("select id from employees where company_id = %s order by id limit 1", CUSTOMER + 1)
    text = f"select id, company_id from employees where {condition.format(other=other, company=CUSTOMER + 1)}"
    rows = session.execute(text).fetchall()
    assert other not in [row[0] for row in rows]
    assert {row[1] for row in rows} <= {CUSTOMER}


# 3. When access ends.


def ends_with_a_reason(raw: Raw, started: float) -> dict[str, str]:
    error = raw.last_words()
    assert time.monotonic() - started <= WITHIN_S
    assert error["S"] == "FATAL"
    assert error["C"] == "57P01"
    return error


def until_refused(raw: Raw) -> dict[str, str]:
    """Statements one after the other until the gateway ends the session: what it said."""
    while True:
        raw.send(query("select count(*) from employees"))
        while True:
            message = raw.message()
            assert message is not None, "the session ended without a word"
            if message[0] == wire.ERROR_RESPONSE:
                assert raw.message() is None
                return wire.parse_error_fields(message[1])
            if message[0] == wire.READY_FOR_QUERY:
                break
        time.sleep(0.02)


def test_closing_the_ticket_ends_the_busy_and_the_idle_session_and_the_pass(stage: House) -> None:
    follower = stage.follow()
    with Raw(stage) as busy, Raw(stage) as idle:
        busy.log_in()
        idle.log_in()
        assert len(idle.query("select count(*) from employees")) == 4
        started = time.monotonic()
        write_tickets(stage.company.tickets, {TICKET: {"status": "closed"}})
        error = until_refused(busy)
        assert time.monotonic() - started <= WITHIN_S
        for said in (error, ends_with_a_reason(idle, started)):
            assert (said["S"], said["C"], code_of(said)) == ("FATAL", "57P01", "access-ended")
            assert TICKET in said["M"] or "ticket" in said["M"]
            assert "closed" in said["M"]
    awaited(follower, lambda record: record["kind"] == "session.end" and record.get("code") == "access-ended")
    opened = stage.opened()
    refusal(stage, opened["user"], opened["password"])
    write_tickets(stage.company.tickets)
    stage.settled()


def reopens(house: House) -> bool:
    """Whether alice may open her second ticket, once the gateway has read the files again."""
    try:
        return bool(house.opened("alice", SECOND_TICKET, again=True)["customers"] == [str(CUSTOMER - 1)])
    except GatewayError:
        return False


def test_leaving_the_team_ends_the_session(stage: House) -> None:
    opened = stage.opened("alice", SECOND_TICKET)
    with Raw(stage) as raw:
        enter(raw, opened)
        started = time.monotonic()
        write_people(stage.company, {"alice": ()})
        error = ends_with_a_reason(raw, started)
        assert code_of(error) == "access-ended"
        assert "team" in error["M"]
    refusal(stage, opened["user"], opened["password"])
    write_people(stage.company, {})
    eventually(lambda: reopens(stage))


def test_another_assignee_or_another_customer_on_the_ticket_ends_the_session(stage: House) -> None:
    for change in ({"assignee": "amir"}, {"customer": CUSTOMER + 1}):
        opened = stage.opened("alice", SECOND_TICKET)
        with Raw(stage) as raw:
            enter(raw, opened)
            started = time.monotonic()
            write_tickets(stage.company.tickets, {SECOND_TICKET: change})
            assert code_of(ends_with_a_reason(raw, started)) == "access-ended"
        write_tickets(stage.company.tickets)
        eventually(lambda: reopens(stage))


def test_revoking_the_grant_ends_the_session(stage: House) -> None:
    opened = stage.opened("alice", SECOND_TICKET, again=True)
    with Raw(stage) as raw:
        enter(raw, opened)
        bea = stage.actor("bea")
        bea.sign_in()
        started = time.monotonic()
        bea.revoke(opened["grant"], "the story")
        assert code_of(ends_with_a_reason(raw, started)) == "grant-revoked"
    refusal(stage, opened["user"], opened["password"])


def enter(raw: Raw, opened: dict[str, Any]) -> None:
    raw.log_in(user=opened["user"], password=opened["password"])
    assert len(raw.query("select count(*) from employees")) == 4


# 4. What carol finds, proves, and would notice.


def searched(house: House, *arguments: str) -> list[dict[str, Any]]:
    done = house.command("carol", "--output", "json", "audit", "search", "--limit", "1000", *arguments)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def carol(stage: House) -> House:
    done = stage.command("carol", "login", "carol", otp=True)
    assert done.returncode == 0, done.stderr
    return stage


@pytest.fixture(scope="module")
def key(carol: House) -> str:
    done = carol.command("carol", "audit", "key")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_carol_finds_every_refusal(carol: House) -> None:
    codes: dict[str, set[str]] = {}
    for record in searched(carol, "--kind", "login"):
        codes.setdefault(record.get("login", ""), set()).add(record.get("code", ""))
    assert "not-in-team" in codes["dan"]
    assert {"authentication-failed", "ticket-closed", "ticket-not-yours"} <= codes["alice"]
    assert "authentication-failed" in codes["mallory"]


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (("--person", "alice"), lambda record: record["login"] == "alice"),
        (("--ticket", TICKET), lambda record: record["ticket"] == TICKET),
        (("--customer", str(CUSTOMER)), lambda record: str(CUSTOMER) in record["customers"]),
    ],
    ids=["person", "ticket", "customer"],
)
def test_carol_finds_what_was_read(carol: House, arguments: tuple[str, str], holds: Callable[[Any], bool]) -> None:
    found = searched(carol, *arguments, "--kind", "statement.begin")
    assert found
    assert all(map(holds, found))
    assert {record["login"] for record in found} == {"alice"}
    assert any("email" in str(record.get("columns_masked")) for record in found)
    others = {record["index"] for record in carol.records() if record["kind"] == "statement.begin" and holds(record)}
    assert {record["index"] for record in found} == others


def test_carol_finds_why_sessions_ended(carol: House) -> None:
    ends = searched(carol, "--kind", "session.end", "--person", "alice")
    assert {"access-ended", "grant-revoked"} <= {record.get("code") for record in ends}
    # what she asked before this is on record as well
    asked = [record for record in carol.records() if record["kind"] == "audit.read"]
    assert {record["login"] for record in asked} == {"carol"}
    assert any("session.end" in str(record["query"]) for record in asked)


def test_nobody_else_may_search(stage: House) -> None:
    assert stage.command("amir", "login", "amir", otp=True).returncode == 0
    nosy = stage.command("amir", "audit", "search", "--person", "alice")
    assert nosy.returncode == 77
    assert nosy.stdout == ""


def test_she_proves_one_statement_and_verifies_it_offline(carol: House, key: str, tmp_path: Path) -> None:
    statement = next(record for record in carol.records() if record["kind"] == "statement.begin")
    proof = tmp_path / "statement.proof"

    def proved() -> bool:
        done = carol.command("carol", "audit", "prove", str(statement["index"]), "--out", str(proof))
        return done.returncode == 0

    eventually(proved)
    verified = carol.command("carol", "audit", "verify", str(proof), "--key", key)
    assert verified.returncode == 0, verified.stderr
    assert "verified" in verified.stdout
    forged = tmp_path / "forged.proof"
    forged.write_bytes(proof.read_bytes().replace(b"alice", b"amir ", 1))
    assert carol.command("carol", "audit", "verify", str(forged), "--key", key).returncode == 3


def test_one_byte_changed_on_a_copy_names_the_first_bad_record(carol: House, key: str, tmp_path: Path) -> None:
    trail = carol.company.state / "audit"
    eventually(lambda: (report := verify_log(trail, key)).ok and report.signed_size == report.size)
    for place in (0.0, 0.5, 1.0):
        copy = tmp_path / f"copy-{place}"
        shutil.copytree(trail, copy)
        index = round((verify_log(copy, key).size - 1) * place)
        change_one_byte(copy, index)
        found = verify_log(copy, key)
        assert not found.ok
        assert found.problems[0].record == index
    done = carol.command("carol", "--output", "json", "audit", "verify", str(copy), "--key", key)
    assert done.returncode == 3
    assert json.loads(done.stdout)["problems"][0]["record"] == index


def change_one_byte(trail: Path, index: int) -> None:
    for first, path in segments_of(trail):
        for batch in read_batches(path, first):
            if batch.first <= index < batch.size:
                place = index - batch.first
                offset = batch.offsets[place] + len(batch.leaves[place]) // 2
                with path.open("r+b") as file:
                    file.seek(offset)
                    old = file.read(1)
                    file.seek(offset)
                    file.write(bytes([old[0] ^ 1]))
                return
    raise AssertionError(f"record {index} is not in the files")


# 5. What survives `kill -9`.


def test_after_a_kill_in_the_middle_of_a_result_the_trail_covers_what_the_client_has(carol: House, key: str) -> None:
    follower = carol.follow()
    received = 0
    with Raw(carol) as raw:
        raw.log_in(user=(opened := carol.opened(again=True))["user"], password=opened["password"])
        raw.send(query("select n, e.email from generate_series(1, 1000000) n, (select * from employees limit 1) e"))
        ended = False
        while not ended:
            message = raw.message_or_fragment()
            ended = message is None
            received += message == wire.DATA_ROW
            if received == 5_000:
                carol.gateway.kill()
    assert 5_000 <= received < 1_000_000
    killed_at = datetime.now(UTC)
    carol.gateway.start()
    unknown = awaited(follower, lambda record: record["kind"] == "statement.unknown")
    assert unknown["rows"] >= received
    announced = [r for r in carol.records() if r.get("statement") == unknown["statement"] and "window_rows" in r]
    assert max(record["window_rows"] for record in announced) >= received
    assert max(record["window_bytes"] for record in announced) >= received * 40
    assert all(datetime.fromisoformat(record["time"]) <= killed_at for record in announced)
    done = carol.command("carol", "audit", "verify", str(carol.company.state / "audit"), "--key", key)
    assert done.returncode == 0, done.stdout + done.stderr
    with carol.connect() as connection:
        assert connection.execute("select count(*) from employees").fetchone() == (len(carol.promised()),)
