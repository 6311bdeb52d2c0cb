"""The log of a real server, joined with the trail: what goes through the gateway and what goes beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, change_yaml, open_house, small_payroll

from gateway.demo import data
from gateway.demo.company import TARGET
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres

LOGGING = {
    "logging_collector": "on", "log_destination": "jsonlog,csvlog", "log_filename": "server.log",
    "log_directory": "log", "log_file_mode": "0600", "log_timezone": "UTC", "lc_messages": "C",
}  # fmt: skip
EMBEDDINGS = {
    "statements": {"log_statement": "all", "log_connections": "on"},
    "durations": {"log_min_duration_statement": "0"},
    "pgaudit": {"shared_preload_libraries": "pgaudit", "pgaudit.log": "all"},
    "both": {"shared_preload_libraries": "pgaudit", "pgaudit.log": "read,write", "log_statement": "all"},
}


EVERY = pytest.mark.parametrize("logging_server", EMBEDDINGS, indirect=True, scope="module")
ONE = pytest.mark.parametrize("logging_server", ["both"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def logging_server(request: pytest.FixtureRequest, dataset: data.Dataset) -> Iterator[EmbeddedPostgres]:
    """A server that logs in JSON and CSV, in one of the ways in which that can be told to."""
    settings = EMBEDDINGS[request.param]
    with small_payroll(dataset, 2026, {**LOGGING, **settings}) as server:
        yield server


@pytest.fixture(scope="module")
def watched(logging_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("watched"), logging_server) as house:
        assert house.command("carol", "login", "carol", otp=True).returncode == 0
        yield house


@pytest.fixture
def log(watched: House, tmp_path: Path) -> Log:
    return Log(watched, tmp_path)


class Log:
    """What the server's log says from here on."""

    def __init__(self, house: House, place: Path) -> None:
        self.house, self.place = house, place
        self.files = {name: house.postgres.data / "log" / f"server.{name}" for name in ("json", "csv")}
        time.sleep(0.2)
        self.marks = {name: path.stat().st_size for name, path in self.files.items()}

    def cut(self, name: str = "json") -> Path:
        """The lines so far."""
        place = self.place / f"part.{name}"
        place.write_bytes(self.files[name].read_bytes()[self.marks[name] :])
        return place

    def reconciled(self, *more: str, name: str = "json", part: Path | None = None) -> dict[str, Any]:
        time.sleep(0.5)
        path = part or self.cut(name)
        done = self.house.command(
            "carol", "--output", "json", "audit", "reconcile", "--target", TARGET, "--log", str(path),
            "--tolerance", "0.5", *more,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode == 0) == answer["clean"]
        return answer


def work(house: House) -> None:
    """A session that does what sessions do."""
    with house.connect() as connection:
        connection.execute("select id, email from employees where id > 3 limit 2").fetchall()
        for number in range(8):
            connection.execute("select first_name from employees where id = %s", (number,)).fetchall()
        connection.execute("select 1; select count(*) from employees; select 'a: b' from companies")
        with connection.transaction(), connection.cursor("a: odd name", scrollable=False) as cursor:
            cursor.itersize = 2
            assert len(cursor.execute("select id from payslips limit 7").fetchall()) > 1
        connection.execute("prepare mine as select iban from employees where id = $1")
        connection.execute("execute mine(5)").fetchall()
        connection.execute("explain select * from companies")
        connection.execute("set application_name to 'gateway'")
        with pytest.raises(psycopg.Error):
            connection.execute("select 1/0 from employees")
        with pytest.raises(psycopg.Error):
            connection.execute("delete from employees")
        with connection.cursor() as cursor, cursor.copy("copy (select id from employees) to stdout") as rows:
            assert list(rows)


@pytest.mark.parametrize("name", ["json", "csv"])
@EVERY
def test_what_went_through_the_gateway_is_accounted_for(watched: House, log: Log, name: str) -> None:
    time.sleep(0.8)
    work(watched)
    time.sleep(0.8)
    answer = log.reconciled(name=name)
    assert answer["findings"] == [], answer["findings"]
    assert answer["clean"], answer
    assert answer["matched"] > 10


def beside(answer: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [one for one in answer["findings"] if one["what"] == what]


@EVERY
def test_what_goes_beside_the_gateway_is_found_whatever_it_calls_itself(watched: House, log: Log) -> None:
    time.sleep(0.8)
    work(watched)
    with watched.postgres.connect(application_name="gateway") as owner:
        owner.execute("select iban from employees where last_name = 'Secret-Literal'")
        owner.execute("set application_name to 'gateway'")
    with watched.postgres.connect(BACKEND_ROLE, application_name="gateway") as thief:
        thief.execute("select email from public.employees where id = 7")
        # and what the gateway itself asks, in the same words as in a session of the trail
        thief.execute("select 1")
    time.sleep(0.8)
    answer = log.reconciled()
    (seen,) = beside(answer, "beside")
    assert (seen["role"], seen["application"]) == ("owner", "gateway")
    assert "employees" in " ".join(seen["relations"])
    (stolen,) = beside(answer, "unrecorded")
    assert (stolen["role"], stolen["why"]) == (BACKEND_ROLE, "no session of the trail had this connection")
    assert "Secret-Literal" not in json.dumps(answer)
    assert beside(answer, "unseen") == []
    assert log.reconciled("--known", "owner")["by_known_roles"] >= 1


@ONE
def test_a_statement_sent_in_anothers_words_is_told_by_its_connection(watched: House, log: Log) -> None:
    """The very text that a session is sending at that moment, beside it, under the gateway's role."""
    with watched.connect() as connection:
        connection.execute("select id from companies").fetchall()
        time.sleep(0.5)
        (sent,) = {text for text in texts(log.cut()) if "companies" in text}
        with watched.postgres.connect(BACKEND_ROLE, application_name="gateway") as thief:
            thief.execute(sent.encode())
    time.sleep(0.8)
    (stolen,) = beside(log.reconciled(), "unrecorded")
    assert "session" not in stolen


def texts(part: Path) -> list[str]:
    from gateway.audit.target_log import read_target_log

    return [told.texts[0] for backend in read_target_log([part]).backends for told in backend.statements]


@ONE
def test_lines_taken_out_of_the_log_are_missed_in_it_and_in_the_trail(watched: House, log: Log) -> None:
    with watched.connect() as connection:
        for name in ("companies", "employees", "payslips"):
            time.sleep(0.7)
            connection.execute(f"select count(*) from {name}").fetchall()
        time.sleep(1.5)
        connection.execute("select 1")
    with watched.postgres.connect() as owner:
        owner.execute("select 1")
    time.sleep(0.5)
    lines = log.cut().read_text().splitlines(keepends=True)
    part = log.place / "edited.json"
    part.write_text("".join(line for line in lines if "count(*) FROM (SELECT FROM public.employees" not in line))
    answer = log.reconciled(part=part)
    assert answer["missing"] >= 1
    assert not answer["clean"]
    (gone,) = beside(answer, "unseen")
    assert "employees" in gone["sql"]
    assert watched.records()[gone["record"]]["kind"] == "statement.begin"


@ONE
def test_what_was_found_is_a_record_and_an_answer(watched: House, log: Log) -> None:
    work(watched)
    watched.truth("select count(*) from employees")
    answer = log.reconciled()
    record = watched.records()[answer["record"]]
    assert (record["kind"], record["login"], record["beside"]) == ("audit.reconciled", "carol", 1)
    assert len(record["files"]) == 1
    done = watched.command("carol", "--output", "json", "audit", "ask", "bypasses", "--target", TARGET)
    newest = json.loads(done.stdout)["rows"][0]
    assert (newest["record"], newest["beside"], newest["login"]) == (answer["record"], 1, "carol")


@ONE
def test_a_target_that_is_observed_is_compared_too(logging_server: EmbeddedPostgres, tmp_path: Path) -> None:
    with open_house(tmp_path / "observed", logging_server) as house:
        path = house.company.directory / "policies" / f"{TARGET}.yaml"
        change_yaml(path, lambda tree: tree.update({"mode": "observe"}))
        house.gateway.stop()
        house.gateway.start()
        assert house.command("carol", "login", "carol", otp=True).returncode == 0
        log = Log(house, tmp_path)
        time.sleep(0.8)
        work_unwatched(house)
        time.sleep(0.8)
        answer = log.reconciled()
        assert answer["findings"] == [], answer["findings"]
        assert answer["matched"] > 5


def work_unwatched(house: House) -> None:
    with house.connect() as connection:
        connection.execute("select id, email /* o'clock */ from employees where id > 3 limit 2").fetchall()
        for number in range(8):
            connection.execute("select first_name from employees where id = %s", (number,)).fetchall()
        connection.execute("select 1; select count(*) from employees")
        with connection.transaction(), connection.cursor("mine") as cursor:
            assert len(cursor.execute("select id from payslips limit 7").fetchall()) > 1
        connection.execute("prepare mine as select iban from employees where id = $1")
        connection.execute("execute mine(5)").fetchall()
        with pytest.raises(psycopg.Error):
            connection.execute("select 1/0 from employees")
        with connection.cursor() as cursor, cursor.copy("copy (select id from employees) to stdout") as rows:
            assert list(rows)


@ONE
def test_a_log_in_words_or_of_another_target_is_refused(watched: House, log: Log, tmp_path: Path) -> None:
    plain = tmp_path / "plain.log"
    plain.write_text("2026-11-28 09:00:00.000 UTC [77] LOG:  statement: select 1\n")
    for more, path in (((), plain), ((), tmp_path / "none.json"), (("--target", "nowhere"), log.cut())):
        done = watched.command("carol", "audit", "reconcile", "--target", TARGET, "--log", str(path), *more)
        assert done.returncode in (1, 78), done.stdout
        assert "Traceback" not in done.stderr
