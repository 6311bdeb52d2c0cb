"""psql, as Debian ships it, in front of the running gateway: what a support engineer does all day."""

from __future__ import annotations

import csv
import os
import pty
import select
import signal
import subprocess
import time
from io import StringIO
from typing import Any

import pytest
from gateway_fixture import House, awaited, eventually
from psycopg.conninfo import make_conninfo

from gateway.demo.client import bare_environment, find_psql
from gateway.demo.company import SECOND_TICKET, TICKET
from gateway.demo.data import CUSTOMER

SLOW = "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 100000) b"


@pytest.fixture(scope="session")
def program() -> str:
    found = find_psql()
    assert found is not None, "psql with TLS is needed: apt-get install postgresql-client"
    return found


class Psql:
    """One run of psql with a script on its standard input."""

    def __init__(self, program: str, parameters: dict[str, Any]) -> None:
        self.parameters = dict(parameters)
        self.program = program

    def command(self, *options: str) -> tuple[list[str], dict[str, str]]:
        parameters = dict(self.parameters)
        secret = parameters.pop("password")
        return [self.program, "-X", "-w", *options, make_conninfo("", **parameters)], {
            **bare_environment(),
            "PGPASSWORD": secret,
        }

    def run(self, script: str, *options: str) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*options)
        return subprocess.run(
            command, input=script, capture_output=True, text=True, check=False, timeout=60, env=environment
        )

    def rows(self, statement: str) -> list[dict[str, str | None]]:
        done = self.run(statement, "-q", "--csv", "-P", "null=\\N")
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return [{k: None if v == "\\N" else v for k, v in row.items()} for row in csv.DictReader(StringIO(done.stdout))]


class Terminal:
    """psql as a person has it before them, on a pseudo-terminal."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._near, far = pty.openpty()
        environment = {
            **environment,
            "TERM": "dumb",
            "PAGER": "cat",
            "PSQL_HISTORY": "/dev/null",
            "INPUTRC": "/dev/null",
        }
        self._process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True
        )
        os.close(far)
        self.wait_for("=> ")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._near)

    def type(self, keys: str) -> str:
        """What appears within a second of those keys."""
        os.write(self._near, keys.encode())
        return self.read(1.0)

    def wait_for(self, text: str) -> None:
        """Read until `text` appears."""
        seen = ""
        deadline = time.monotonic() + 15
        while text not in seen:
            assert time.monotonic() < deadline, seen
            seen += self.read(0.1)

    def read(self, seconds: float) -> str:
        """What appears within that time."""
        seen, deadline = b"", time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._near], [], [], left)[0]:
                seen += os.read(self._near, 65536)
        return seen.decode(errors="replace")


@pytest.fixture
def psql(house: House, program: str) -> Psql:
    return Psql(program, house.parameters())


def test_a_whole_table_is_the_ticket_s_customer_masked_as_the_policy_says(house: House, psql: Psql) -> None:
    assert psql.rows("select * from employees order by id;") == house.promised()


@pytest.mark.parametrize("table", ["companies", "payslips"])
def test_every_scoped_table_follows_its_customer(house: House, psql: Psql, table: str) -> None:
    promised = house.promised(table)
    assert promised
    # A timestamp is shown in the session's time zone; its text is the same where both are in UTC.
    assert psql.rows(f"set timezone = 'UTC'; select * from {table} order by id;") == promised


def test_another_ticket_shows_another_customer(house: House, program: str) -> None:
    other = Psql(program, house.parameters(ticket=SECOND_TICKET))
    assert other.rows("select * from employees order by id;") == house.promised(customer=CUSTOMER - 1)


def test_describe_lists_what_the_policy_names_and_nothing_else(psql: Psql) -> None:
    for command in ("\\d", "\\dt", "\\dt+"):
        shown = psql.run(command, "-A", "-t").stdout
        assert [line.split("|")[1] for line in shown.splitlines()] == [
            "companies",
            "departments",
            "employees",
            "payslips",
        ], command


@pytest.mark.parametrize("command", ["\\d employees", "\\d+ employees"])
def test_a_table_s_description_leaves_hidden_columns_out(house: House, psql: Psql, command: str) -> None:
    done = psql.run(command, "-A", "-t")
    assert done.returncode == 0
    assert not done.stderr
    described = [line.split("|")[:2] for line in done.stdout.splitlines() if "|" in line]
    real = house.truth(
        "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'employees'::regclass"
        " and attnum > 0 and attname not in ('notes', 'profile') order by attnum"
    )
    assert described == [list(row) for row in real]
    assert "notes" not in done.stdout
    assert "profile" not in done.stdout


def test_the_list_of_databases_has_the_target_alone(psql: Psql) -> None:
    shown = psql.run("\\l", "-A", "-t").stdout
    assert [line.split("|")[0] for line in shown.splitlines()] == ["payroll"]


@pytest.mark.parametrize(
    "command",
    ["\\dn", "\\di", "\\dv", "\\ds", "\\df", "\\dT", "\\du", "\\dp", "\\dx", "\\conninfo", "\\encoding", "\\dD"],
)
def test_what_people_type_to_look_around_gives_no_error(psql: Psql, command: str) -> None:
    done = psql.run(command)
    assert done.returncode == 0
    assert "ERROR" not in done.stderr
    assert "notes" not in done.stdout


def test_copy_of_a_query_writes_masked_rows_to_the_client(house: House, psql: Psql) -> None:
    done = psql.run("\\copy (select id, email, iban from employees order by id) to stdout csv header")
    assert done.returncode == 0, done.stderr
    promised = [{name: row[name] or "" for name in ("id", "email", "iban")} for row in house.promised()]
    assert list(csv.DictReader(StringIO(done.stdout))) == promised


def test_several_statements_in_one_string_answer_one_after_the_other(house: House, psql: Psql) -> None:
    done = psql.run("select 1 as a \\; select count(*) as b from employees \\; values ('x');", "-A", "-t", "-q")
    assert done.stdout.split() == ["1", str(len(house.promised())), "x"]


def test_a_refused_statement_in_one_string_refuses_the_whole_string(house: House, psql: Psql) -> None:
    done = psql.run("select 1 as a \\; delete from payslips \\; select 2;", "-A", "-t", "-q")
    assert done.stdout == ""
    assert "ERROR" in done.stderr
    assert len(house.promised("payslips")) == len(psql.rows("select id from payslips;"))


def test_a_refusal_says_what_why_and_what_next(psql: Psql) -> None:
    done = psql.run("\\set VERBOSITY verbose\nselect id\n  from secrets;")
    assert "ERROR:  42P01: relation `secrets` does not exist" in done.stderr
    assert "LINE 2:   from secrets;" in done.stderr
    assert "code: relation-not-available" in done.stderr
    assert "HINT:" in done.stderr


def test_a_hidden_column_and_one_that_never_was_get_the_same_answer(psql: Psql) -> None:
    hidden, unknown = (psql.run(f"select id, {name} from employees;").stderr for name in ("notes", "nonsense"))
    assert 'column "notes" does not exist' in hidden
    assert "code: column-not-available" in hidden
    assert "HINT:" in hidden
    assert hidden.replace("notes", "nonsense") == unknown


def test_a_refusal_inside_a_transaction_aborts_it_and_rollback_mends_it(psql: Psql) -> None:
    script = """
    \\set PROMPT1 '%x'
    begin;
    select 1;
    select notes from employees;
    select 2;
    rollback;
    select 3;
    """
    done = psql.run(script, "-A", "-t", "-q")
    assert done.stdout.split() == ["1", "3"]
    assert done.stderr.count("ERROR:") == 2
    assert "current transaction is aborted" in done.stderr


def test_savepoints_survive_a_refusal(psql: Psql) -> None:
    script = "begin; savepoint a; select notes from employees; rollback to a; select 'still here'; commit;"
    done = psql.run(script, "-A", "-t", "-q")
    assert done.stdout.split("\n") == ["still here", ""]
    assert done.stderr.count("ERROR:") == 1


def test_a_script_stops_at_the_first_error_when_told_to(psql: Psql) -> None:
    done = psql.run("select 1; select profile from employees; select 2;", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1")
    assert done.returncode == 3
    assert done.stdout.split() == ["1"]


def test_single_transaction_and_fetch_count_work(house: House, psql: Psql) -> None:
    done = psql.run("\\set FETCH_COUNT 7\nselect id from employees order by id;", "-1", "-A", "-t", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [row["id"] for row in house.promised()]


def test_gdesc_gexec_and_gset_work(psql: Psql) -> None:
    script = """
    select id, email, salary from employees \\gdesc
    select count(*) as n from employees \\gset
    select :n * 0 + 7;
    select 'select 40 + ' || 2 \\gexec
    """
    done = psql.run(script, "-A", "-t", "-q")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.split() == ["id|integer", "email|text", "salary|numeric(10,2)", "7", "42"]


def test_a_comparison_with_a_masked_column_comes_with_a_notice(psql: Psql) -> None:
    done = psql.run("select salary from employees where salary > 50000;", "-A", "-t", "-q")
    assert done.returncode == 0
    assert done.stdout.split()
    assert all(float(value) > 50000 and float(value) % 10000 == 0 for value in done.stdout.split())
    assert "NOTICE:" in done.stderr
    assert "mask" in done.stderr


def test_errors_say_what_happened_and_no_more(psql: Psql) -> None:
    done = psql.run("select 1/0;\nset statement_timeout = '50ms';\n" + SLOW + ";\nselect 'secret'::int;")
    assert done.stderr.splitlines() == [
        "ERROR:  division by zero",
        "ERROR:  the statement ran longer than the policy allows",
        "ERROR:  text cannot be read as a value of the type",
        "HINT:  the target's own message is withheld: it may quote hidden values",
    ]


def test_the_tab_key_completes_names_that_exist_for_her_and_no_others(psql: Psql) -> None:
    command, environment = psql.command()
    with Terminal(command, environment) as terminal:
        assert "employees" in terminal.type("select count(*) from emplo\t")
        assert "status" in terminal.type("\x15select 1 from employees where stat\t")
        assert "timezone " in terminal.type("\x15show timez\t")
        shown = terminal.type("\x15select 1 from employees where no\t\t")
        assert "notes" not in shown


def test_ctrl_c_cancels_the_statement_and_leaves_the_session(house: House, psql: Psql) -> None:
    command, environment = psql.command("-A", "-t", "-q")
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    follower = house.follow()
    assert process.stdin is not None
    process.stdin.write(f"{SLOW};\nselect 'alive';\n")
    process.stdin.flush()
    awaited(follower, lambda record: record["kind"] == "statement.begin")
    eventually(lambda: any(state == "active" for _, state in house.backends()))
    start = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - start < 5
    # psql that reads from a pipe gives a script up after Ctrl-C; what counts is that the statement ended at once.
    assert "ERROR:" in err
    assert "cancel" in err
    assert out in ("", "alive\n")
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert end["sqlstate"] == "57014"
    house.settled()


@pytest.mark.parametrize("more", [{"require_auth": "scram-sha-256"}, {"channel_binding": "require"}])
def test_the_pass_is_proved_by_scram_bound_to_the_tls_channel(house: House, more: dict[str, str]) -> None:
    # Debian's psql 15 knows channel_binding only; psycopg carries a newer libpq, which knows both.
    with house.connect(**more) as connection:
        assert connection.execute("select count(*) from employees").fetchone() == (len(house.promised()),)


def test_psql_insists_on_channel_binding_too(house: House, program: str) -> None:
    assert Psql(program, house.parameters(channel_binding="require")).rows("select 1 as a;") == [{"a": "1"}]


def test_direct_tls_needs_no_request(house: House) -> None:
    with house.connect(sslnegotiation="direct") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_password_with_a_code_behind_it_opens_the_ticket(house: House, program: str) -> None:
    amir = house.actor("amir")
    follower = house.follow()
    direct = Psql(program, house.login_as("amir+SUP-1425", amir.password + amir.code()))
    assert direct.rows("select * from employees order by id;") == house.promised(customer=CUSTOMER + 1)
    login = awaited(follower, lambda record: record["kind"] == "login")
    assert (login["login"], login["ticket"], login["method"]) == ("amir", "SUP-1425", "direct")
    assert login["decision"] != "deny"


def test_the_certificate_is_the_gateway_s_own(house: House, program: str) -> None:
    wrong = house.parameters(sslrootcert=str(house.postgres.ca))
    done = Psql(program, wrong).run("select 1;")
    assert done.returncode == 2
    assert "certificate verify failed" in done.stderr


def test_a_wrong_pass_is_one_plain_error(house: House, program: str) -> None:
    done = Psql(program, house.login_as(f"alice+{TICKET}", "gwp_wrong")).run("select 1;")
    assert done.returncode == 2
    assert done.stderr.count("FATAL:") == 1
    assert "not accepted" in done.stderr
