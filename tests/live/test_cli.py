"""The `gateway` command as people and operators use it, against a gateway that serves a real PostgreSQL."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyotp
import pytest
from gateway_fixture import House, eventually, open_house

from gateway.demo.client import bare_environment, find_psql
from gateway.demo.company import CLOSED_TICKET, FOREIGN_TICKET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway of this file's own: what happens to people and their passes here must not meet other tests."""
    with open_house(tmp_path_factory.mktemp("house"), postgres) as own:
        yield own


class Person:
    """Somebody at a terminal of their own, signed in once."""

    def __init__(self, house: House, login: str, home: Path) -> None:
        self.house, self.login, self.home = house, login, home
        home.mkdir()
        self.run("login", login, otp=True)

    def environment(self, *, otp: bool = False) -> dict[str, str]:
        found = {**bare_environment(), "HOME": str(self.home), "XDG_STATE_HOME": str(self.home)}
        if otp:
            actor = self.house.actor(self.login)
            found |= {"GATEWAY_PASSWORD": actor.password, "GATEWAY_OTP": actor.code(), "GATEWAY_LOGIN": self.login}
        return found

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "gateway", "--config", str(self.house.company.config), *arguments]

    def run(self, *arguments: str, code: int = 0, otp: bool = False) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.line(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self.environment(otp=otp),
            stdin=subprocess.DEVNULL,
            cwd=self.home,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--output", "json").stdout)


People = Callable[[str], Person]


@pytest.fixture(scope="module")
def people(house: House, tmp_path_factory: pytest.TempPathFactory) -> People:
    """People by login, each signed in with a fresh code at the first call."""
    known: dict[str, Person] = {}

    def person(login: str) -> Person:
        if login not in known:
            known[login] = Person(house, login, tmp_path_factory.mktemp("homes") / login)
        return known[login]

    return person


def test_open_as_json_is_all_that_a_driver_needs(people: People) -> None:
    opened = people("alice").json("open", TICKET)
    assert (opened["customer"], opened["target"]) == (str(CUSTOMER), "payroll")
    with psycopg.connect(opened["uri"]) as connection:
        customers = connection.execute("select distinct company_id from employees").fetchall()
    assert customers == [(CUSTOMER,)]


def test_exec_starts_psql_with_the_connection(people: People, house: House) -> None:
    psql = find_psql()
    assert psql is not None
    query = "select count(*), min(company_id), max(company_id) from employees"
    done = people("alice").run("open", TICKET, "--exec", psql, "-X", "-A", "-t", "-c", query)
    count = house.truth("select count(*) from employees where company_id = %s", CUSTOMER)[0][0]
    assert done.stdout == f"{count}|{CUSTOMER}|{CUSTOMER}\n"
    assert f"customer {CUSTOMER}" in done.stderr


def test_exec_passes_the_exit_code_of_the_child_on(people: People) -> None:
    people("alice").run("open", TICKET, "--exec", sys.executable, "-c", "raise SystemExit(7)", code=7)


def test_pgpass_and_service_make_a_plain_psql_work(people: People) -> None:
    alice, psql = people("alice"), find_psql()
    assert psql is not None
    alice.run("open", TICKET, "--save-pgpass", "--save-service")
    done = subprocess.run(
        [psql, "-X", "-w", "-A", "-t", "service=gateway-payroll", "-c", "select current_user is not null"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=alice.environment(),
    )
    assert (done.stdout, done.stderr) == ("t\n", "")


@pytest.mark.parametrize(
    ("login", "ticket", "code"),
    [
        ("alice", CLOSED_TICKET, "ticket-closed"),
        ("alice", FOREIGN_TICKET, "ticket-not-yours"),
        ("alice", "SUP-0", "ticket-not-found"),
        ("dan", TICKET, "not-in-team"),
    ],
)
def test_refusals_end_with_77_code_and_hint(people: People, login: str, ticket: str, code: str) -> None:
    done = people(login).run("open", ticket, code=77)
    assert done.stdout == ""
    assert done.stderr.startswith(f"refused ({code}): ")


def test_a_wrong_code_is_refused_like_everything_else(people: People, house: House) -> None:
    alice = people("alice")
    environment = alice.environment() | {
        "GATEWAY_LOGIN": "alice",
        "GATEWAY_PASSWORD": house.actor("alice").password,
        "GATEWAY_OTP": "000000",
    }
    done = subprocess.run(alice.line("status"), capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 77
    assert done.stderr.startswith("refused (authentication-failed): ")


def test_a_request_is_approved_by_somebody_else_and_then_reveals(people: People, house: House) -> None:
    alice, bob = people("alice"), people("bob")
    wanted = ("open", TICKET, "--reveal", "public.employees.email", "--reason", "she cannot be found")
    waiting = json.loads(alice.run(*wanted, "--output", "json", code=77).stdout)["request"]
    assert waiting["approvers"] == ["security"]
    refused = alice.run("approve", waiting["id"], code=77)
    assert (f"{waiting['id']}, pending" in refused.stdout, "not-in-team" in refused.stderr) == (True, True)
    assert waiting["id"] in [one["id"] for one in bob.json("requests")]
    assert bob.json("approve", waiting["id"], "--reason", "seen")["state"] == "approved"

    opened = alice.json(*wanted)
    with psycopg.connect(opened["uri"]) as connection:
        shown = {row[0] for row in connection.execute("select email from employees").fetchall()}
        held = house.truth("select email from employees where company_id = %s", CUSTOMER)
        assert shown == {row[0] for row in held}
        assert [one["id"] for one in alice.json("sessions") if one["grant"] == opened["grant"]]
        alice.run("revoke", opened["grant"], "--reason", "done")
        with pytest.raises(psycopg.OperationalError, match="revoked"):
            _until_cut(connection)
    assert opened["grant"] not in [one["id"] for one in alice.json("status")["grants"]]


def _until_cut(connection: psycopg.Connection[Any]) -> None:
    for _ in range(40):
        connection.execute("select 1")
        connection.commit()
        time.sleep(0.05)


def test_an_auditor_finds_shows_proves_and_verifies(people: People, house: House, tmp_path: Path) -> None:
    alice, carol = people("alice"), people("carol")
    with psycopg.connect(alice.json("open", TICKET)["uri"], autocommit=True) as connection:
        connection.execute("select id as needle from employees")
    found = carol.json("audit", "search", "--person", "alice", "--ticket", TICKET, "--kind", "statement.begin")
    record = next(one for one in found if "needle" in one["sql"])
    assert record["customers"] == [str(CUSTOMER)]
    assert carol.json("audit", "show", record["id"]) == record
    assert record["id"] in carol.run("audit", "show", str(record["index"])).stdout

    key = carol.run("audit", "key").stdout.strip()
    proof = tmp_path / "proof.json"
    eventually(lambda: _proven(carol, record["id"], proof), lambda: "the record was never signed", 5)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "audit", "verify", str(proof), "--key", key],
        capture_output=True,
        text=True,
        check=False,
        env=bare_environment(),
        cwd=tmp_path,
    )
    assert (done.returncode, "verified" in done.stdout) == (0, True), done.stderr

    reads = carol.json("audit", "search", "--kind", "audit.read", "--person", "carol")
    assert f"show {record['id']}" in [one["query"] for one in reads]


def _proven(carol: Person, record: str, proof: Path) -> bool:
    done = subprocess.run(
        carol.line("audit", "prove", record, "--out", str(proof)),
        capture_output=True,
        check=False,
        env=carol.environment(),
    )
    return done.returncode == 0


def test_one_byte_changed_on_a_copy_ends_with_3(people: People, house: House, tmp_path: Path) -> None:
    carol = people("carol")
    people("alice").json("open", TICKET)
    key = carol.run("audit", "key").stdout.strip()
    copy = tmp_path / "trail"
    shutil.copytree(house.company.state / "audit", copy)
    assert "verified" in carol.run("audit", "verify", str(copy), "--key", key).stdout
    segment = sorted((copy / "segments").glob("0*.log"))[0]
    data = bytearray(segment.read_bytes())
    data[data.index(TICKET.encode()) + 1] ^= 1
    segment.write_bytes(data)
    done = carol.run("audit", "verify", str(copy), "--key", key, code=3)
    assert "tampered: record " in done.stderr


@pytest.mark.parametrize("words", [("search",), ("tail",), ("show", "1"), ("prove", "1")])
def test_the_trail_is_closed_to_support(people: People, words: tuple[str, ...]) -> None:
    done = people("alice").run("audit", *words, code=77)
    assert done.stderr.startswith("refused (not-in-team): ")


def test_tail_shows_a_statement_as_it_is_made(people: People, house: House) -> None:
    alice, carol = people("alice"), people("carol")
    opened = alice.json("open", TICKET)
    tail = subprocess.Popen(
        carol.line("audit", "tail", "--person", "alice"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=carol.environment(),
    )
    try:
        seen = [one["query"] for one in house.records() if one["kind"] == "audit.read"]
        eventually(
            lambda: [one["query"] for one in house.records() if one["kind"] == "audit.read"][len(seen) :] != [],
            lambda: "the tail never began",
        )
        with psycopg.connect(opened["uri"], autocommit=True) as connection:
            connection.execute("select id as tailed from employees limit 1")
        assert tail.stdout is not None
        lines: list[str] = []
        while "statement.end" not in "".join(lines):
            lines.append(tail.stdout.readline())
        assert any("statement.begin" in one and "tailed" in one and "alice" in one for one in lines)
    finally:
        # Not SIGINT: what a shell starts in the background ignores it, these tests and all that they start included.
        tail.terminate()
        tail.wait(10)
        for stream in (tail.stdout, tail.stderr):
            assert stream is not None
            stream.close()


def test_the_local_socket_is_for_the_gateways_own_user(house: House) -> None:
    mode = (house.company.state / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(house.company.state.stat().st_mode) == 0o700


def test_a_person_is_reset_invited_and_enrols_again(people: People, house: House) -> None:
    amir, bob = people("amir"), people("bob")
    bob.run("people", "reset", "amir")
    assert amir.run("status", code=77).stderr.startswith("refused (second-factor-required): ")
    invited = amir.run("people", "invite", "amir", "--local")
    invitation = invited.stdout.strip()
    company = house.company
    assert f"enrol --url https://localhost:{company.ports['api']} --ca {company.tls.ca}" in invited.stderr.replace(
        "127.0.0.1", "localhost"
    )
    kept = Path(amir.environment()["XDG_STATE_HOME"], "gateway", "server.json")
    kept.unlink(missing_ok=True)
    actor = house.actor("amir")
    process = subprocess.Popen(
        amir.line("people", "enrol", "amir", "--output", "json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=amir.environment() | {"GATEWAY_PASSWORD": actor.password, "GATEWAY_INVITATION": invitation},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        text += process.stdout.readline()
    begun = json.loads(text)
    assert pyotp.parse_uri(begun["uri"]).secret == begun["secret"]
    actor.authenticator.hold(begun["secret"])
    rest, _ = process.communicate(actor.code() + "\n", timeout=60)
    assert process.returncode == 0
    assert len(json.loads(rest)["recovery_codes"]) == 10
    assert json.loads(kept.read_text())["ca"] == str(company.tls.ca), "the next command knows the gateway"
    amir.run("login", "amir", otp=True)
    assert amir.json("status")["person"]["person"]["login"] == "amir"


def test_the_doctor_finds_nothing_wrong_and_changes_nothing(people: People, house: House) -> None:
    found = people("alice").json("doctor")
    assert [one for one in found if one["level"] == "fail"] == []
    messages = " ".join(one["message"] for one in found)
    for words in ("reached over TLS", "SCRAM-SHA-256", "do no harm", "the policy fits", "verified"):
        assert words in messages, words


def test_the_doctor_names_what_the_backend_role_could_do(people: People, house: House) -> None:
    before = (
        "grant update on payslips to gateway_ro",
        "grant create on schema public to gateway_ro",
        "grant pg_read_server_files to gateway_ro",
        "alter role gateway_ro createdb",
        "alter role gateway_ro set search_path = 'public'",
    )
    after = (
        "revoke update on payslips from gateway_ro",
        "revoke create on schema public from gateway_ro",
        "revoke pg_read_server_files from gateway_ro",
        "alter role gateway_ro nocreatedb",
        "alter role gateway_ro reset search_path",
    )
    with house.postgres.connect() as owner:
        try:
            for statement in before:
                owner.execute(statement)
            found = json.loads(people("alice").run("doctor", "--output", "json", code=1).stdout)
        finally:
            for statement in after:
                owner.execute(statement)
    bad = {one["message"]: one["mend"] for one in found if one["level"] != "ok"}
    for words, mend in {
        "can change public.payslips": "revoke insert, update",
        "can create objects in schema public": "revoke create on schema public",
        'member of "pg_read_server_files"': 'revoke "pg_read_server_files"',
        "has createdb": "nocreatedb",
        "search_path": "reset all",
    }.items():
        assert [one for text, one in bad.items() if words in text and mend in one], (words, bad)
    assert people("alice").run("doctor").returncode == 0


def test_the_doctor_says_that_a_target_does_not_answer(people: People, house: House, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        alice = people("alice")
        done = subprocess.run(
            alice.line("doctor", "--output", "json"),
            capture_output=True,
            text=True,
            check=False,
            env=alice.environment() | {"GATEWAY_TARGETS__PAYROLL__PORT": str(port)},
        )
    assert done.returncode == 1
    failed = [one for one in json.loads(done.stdout) if one["level"] == "fail"]
    assert ["cannot be reached" in one["message"] for one in failed] == [True]


def test_a_statement_is_explained_against_the_real_catalog(people: People) -> None:
    found = people("alice").json(
        "policy", "explain", "select email from employees", "--person", "alice", "--ticket", TICKET
    )
    assert found["statement"] == "allowed"
    assert found["columns_masked"] == ["public.employees.email"]
    assert f"'{CUSTOMER}'" in found["rewritten"]
    refused = people("alice").run(
        "policy", "explain", "delete from employees", "--person", "alice", "--ticket", TICKET, code=77
    )
    assert "refused (read-only)" in refused.stderr or "refused (statement-not-allowed)" in refused.stderr


def test_the_statements_of_a_policys_cases_are_judged_by_the_real_catalog(people: People, house: House) -> None:
    policies = house.directory / "company" / "policies"
    shown = people("bob").run("policy", "test", str(policies), "--target")
    assert "cases are as they should be" in shown.stdout
    assert "--target judges" not in shown.stderr
    cases = policies / "payroll_test.yaml"
    kept = cases.read_text()
    try:
        cases.write_text(kept.replace("then: {code: relation-not-available}", "then: {code: syntax-error}"))
        wrong = people("bob").run("policy", "test", str(policies), "--target", code=1)
        assert "it is refused with `relation-not-available`" in wrong.stdout
    finally:
        cases.write_text(kept)


def test_a_policy_that_shows_more_is_said_to(people: People, house: House, tmp_path: Path) -> None:
    policy = house.directory / "company" / "policies" / "payroll.yaml"
    wider = tmp_path / "wider.yaml"
    wider.write_text(policy.read_text().replace("status: clear", "status: clear\n      notes: clear"))
    shown = people("bob").run("policy", "diff", str(policy), str(wider), "--wider", code=1)
    assert shown.stdout == "wider     tables.public.employees.notes: nothing -> clear\n"
    assert people("bob").json("policy", "diff", str(wider), str(policy)) == [
        {"effect": "narrower", "what": "tables.public.employees.notes", "old": "clear", "new": ""}
    ]


def test_no_secret_is_in_the_gateways_log(people: People, house: House) -> None:
    opened = people("alice").json("open", TICKET)
    log = house.gateway.log.read_text()
    session = json.loads((people("alice").home / "gateway" / "session.json").read_text())
    for secret in (opened["password"], session["token"], house.actor("alice").password):
        assert secret not in log
