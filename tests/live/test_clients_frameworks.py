"""Django, SQLAlchemy and pgcli against the running gateway: they look around, and read what the policy promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from gateway_fixture import House
from sqlalchemy import MetaData, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from gateway.demo.client import bare_environment

PROGRAMS = Path(__file__).parent / "programs"
TABLES = ["companies", "departments", "employees", "payslips"]
HIDDEN = ("notes", "profile")

Rows = list[dict[str, str | None]]


def run(program: str, given: dict[str, Any]) -> dict[str, Any]:
    """What one of our programs found."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / program)],
        capture_output=True, text=True, check=False, timeout=60,
        env={**bare_environment(), "JOURNEY": json.dumps(given)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def numbers(rows: Rows, **wanted: str) -> list[int]:
    return [int(row["id"] or 0) for row in rows if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def promised(house: House) -> Rows:
    return house.promised()


@pytest.fixture(scope="module", params=[False, True], ids=["bound by the client", "bound by the server"])
def django(house: House, request: pytest.FixtureRequest) -> dict[str, Any]:
    given = house.parameters()
    options = {name: given[name] for name in ("sslmode", "sslrootcert")} | {"server_side_binding": request.param}
    if request.param:
        options["prepare_threshold"] = 0
    return run(
        "django_journey.py",
        {
            "HOST": given["host"],
            "PORT": given["port"],
            "USER": given["user"],
            "PASSWORD": given["password"],
            "NAME": given["dbname"],
            "OPTIONS": options,
        },
    )


def test_inspectdb_writes_a_model_for_each_table_and_no_hidden_column(django: dict[str, Any]) -> None:
    assert django["classes"] == ["Companies", "Departments", "Employees", "Payslips"]
    assert "company = models.ForeignKey(Companies" in django["models"]
    assert "id = models.IntegerField(primary_key=True)" in django["models"]
    assert not [name for name in HIDDEN if name in django["models"]]
    assert "Unable to inspect" not in django["models"]
    assert sorted(django["tables"]) == TABLES
    assert django["primary key"] == ["id"]
    assert "employees_email_key" in django["constraints"]


def test_the_models_read_what_the_policy_promises(django: dict[str, Any], promised: Rows) -> None:
    assert django["rows"] == [[int(row["id"] or 0), row["email"], row["salary"]] for row in promised]
    assert django["get"] == promised[0]["email"]
    assert django["iterator"] == numbers(promised)
    assert django["raw"] == numbers(promised, department="IT")
    assert django["text"] == f"{(promised[0]['status'] or '').upper()}/{promised[0]['department']}"


def test_queries_of_the_orm_are_answered(house: House, django: dict[str, Any], promised: Rows) -> None:
    assert set(django["filter"]) <= set(numbers(promised))
    assert len(django["related"]) == 3
    slips = [str(row["employee_id"]) for row in house.promised("payslips")]
    assert django["reverse"] == [[one, slips.count(str(one))] for one in numbers(promised)[:5]]
    assert django["prefetched"] == [count for _, count in django["reverse"][:3]]
    assert sum(django["groups"]) == len(promised)
    assert django["window"]
    assert django["exists"]
    assert django["explain"]


@pytest.mark.parametrize(
    ("finding", "sqlstate", "code"),
    [
        ("refused inside", "42703", "column-not-available"),
        ("write", "25006", "read-only"),
        ("update", "25006", "read-only"),
        ("locked", "25006", "read-only"),
    ],
)
def test_django_gets_refusals_with_their_reasons(
    django: dict[str, Any], promised: Rows, finding: str, sqlstate: str, code: str
) -> None:
    told, detail, hint = django[finding]
    assert told == sqlstate
    assert f"code: {code}" in detail
    assert hint
    assert django["after the savepoint"] == len(promised)


@pytest.fixture(scope="module")
def engine(house: House) -> Iterator[sqlalchemy.Engine]:
    made = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(house.conninfo()), pool_pre_ping=True)
    yield made
    made.dispose()


def test_sqlalchemy_reflects_what_the_policy_names(engine: sqlalchemy.Engine, promised: Rows) -> None:
    found = inspect(engine)
    assert sorted(found.get_table_names()) == TABLES
    assert found.get_view_names() == []
    assert "public" in found.get_schema_names()
    assert [column["name"] for column in found.get_columns("employees")] == list(promised[0])
    assert found.get_pk_constraint("employees")["constrained_columns"] == ["id"]
    assert {key["referred_table"] for key in found.get_foreign_keys("employees")} == {"companies", "departments"}
    assert [one["column_names"] for one in found.get_unique_constraints("employees")] == [["email"]]
    assert "employees_company_id" in {index["name"] for index in found.get_indexes("employees")}
    assert found.get_check_constraints("employees") == []
    assert found.get_table_comment("employees") == {"text": None}
    assert found.get_sequence_names() == []
    assert not found.has_table("secrets")
    assert found.has_table("employees")


def test_tables_that_sqlalchemy_reflected_can_be_read(engine: sqlalchemy.Engine, promised: Rows) -> None:
    metadata = MetaData()
    metadata.reflect(engine)
    employees, departments = metadata.tables["employees"], metadata.tables["departments"]
    with engine.connect() as connection:
        rows = connection.execute(select(employees.c.id, employees.c.email).order_by(employees.c.id)).all()
        assert [tuple(row) for row in rows] == [(int(row["id"] or 0), row["email"]) for row in promised]
        joined = (
            select(departments.c.label, func.count()).join_from(employees, departments).group_by(departments.c.label)
        )
        assert sum(count for _, count in connection.execute(joined)) == len(promised)
        chosen = select(employees.c.id).where(employees.c.department.in_(["IT", "HR"])).order_by(employees.c.id)
        wanted = [int(row["id"] or 0) for row in promised if row["department"] in {"IT", "HR"}]
        assert connection.execute(chosen).scalars().all() == wanted
        streamed = connection.execution_options(stream_results=True, max_row_buffer=5).execute(select(employees.c.id))
        assert len(streamed.scalars().all()) == len(promised)


def test_transactions_of_sqlalchemy_survive_a_refusal_by_their_savepoint(
    engine: sqlalchemy.Engine, promised: Rows
) -> None:
    counted = text("select count(*) from employees")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        with pytest.raises(DBAPIError, match="does not exist"), connection.begin_nested():
            connection.execute(text("select notes from employees"))
        with pytest.raises(DBAPIError, match="not allowed"), connection.begin_nested():
            connection.execute(text("delete from employees"))
        assert connection.execute(counted).scalar_one() == len(promised)
        assert connection.get_isolation_level() == "REPEATABLE READ"


def pgcli(house: House, home: Path, *commands: str) -> subprocess.CompletedProcess[str]:
    given = house.parameters()
    options = [part for command in commands for part in ("-c", command)]
    settings = home / "pgclirc"
    settings.write_text("[main]\nlog_file = /dev/null\nhistory_file = /dev/null\nenable_pager = False\n")
    named = ["-h", given["host"], "-p", str(given["port"]), "-U", given["user"], "-d", given["dbname"]]
    return subprocess.run(
        [str(Path(sys.executable).with_name("pgcli")), "--pgclirc", str(settings), "--less-chatty", *named, *options],
        capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
        env={
            **bare_environment(), "HOME": str(home), "PGPASSWORD": given["password"], "PGSSLMODE": given["sslmode"],
            "PGSSLROOTCERT": given["sslrootcert"],
        },
    )  # fmt: skip


def test_pgcli_answers_queries_and_commands_to_look_around(house: House, tmp_path: Path, promised: Rows) -> None:
    done = pgcli(
        house,
        tmp_path,
        "select id, email from employees order by id",
        "\\dt",
        "\\d employees",
        "\\l",
        "\\du",
        "\\df lower",
    )

    assert done.returncode == 0, done.stderr
    assert all(str(row["email"]) in done.stdout for row in promised)
    assert all(name in done.stdout for name in TABLES)
    assert "employees_email_key" in done.stdout
    assert not [name for name in HIDDEN if name in done.stdout + done.stderr]


def test_pgcli_shows_a_refusal_with_its_reason(house: House, tmp_path: Path) -> None:
    done = pgcli(house, tmp_path, "select * from secrets")

    assert "does not exist, or is not available to you" in done.stdout + done.stderr
    assert "relation-not-available" in done.stdout + done.stderr


def test_pgcli_completes_what_the_policy_names(house: House, promised: Rows) -> None:
    told = run("pgcli_completions.py", house.parameters())

    assert sorted(name for schema, name in told["tables"] if schema == "public") == TABLES
    assert [column for table, column in told["columns"] if table == "employees"] == list(promised[0])
    assert [name for schema, name in told["views"] if schema == "public"] == []
    assert [one for one in told["view columns"] if one[0] == "public"] == []
    assert told["databases"] == ["payroll"]
    assert told["keys"] == ["employees", "payslips"]
    assert told["functions"]
    assert told["is superuser"] is False
    assert "public" in told["search path"]
