"""pgJDBC against the running gateway: one journey of a Java program, told finding by finding."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gateway_fixture import House

from gateway.demo.client import bare_environment

DRIVER = Path("/usr/share/java/postgresql.jar")
JOURNEY = Path(__file__).parent / "jdbc" / "Journey.java"
COLUMNS = (
    "id,company_id,first_name,last_name,email,phone,iban,nir,birth_date,salary,department,job_title,hired_on,status"
)
TYPES = "int4,int4,text,text,text,text,text,text,date,numeric,text,text,date,text"

Rows = list[dict[str, str | None]]


@pytest.fixture(scope="session")
def journey(house: House) -> dict[str, str]:
    """What the program found, by name."""
    java = shutil.which("java")
    if java is None or not DRIVER.exists():
        wanted = "a JDK and pgJDBC are needed: apt-get install default-jdk-headless libpostgresql-jdbc-java"
        if os.geteuid() != 0 and not os.environ.get("CI"):
            pytest.skip(wanted)
        pytest.fail(wanted)
    given = house.parameters()
    done = subprocess.run(
        [java, "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(JOURNEY)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            **bare_environment(),
            "JOURNEY_URL": f"jdbc:postgresql://{given['host']}:{given['port']}/{given['dbname']}",
            "JOURNEY_USER": given["user"],
            "JOURNEY_PASSWORD": given["password"],
            "JOURNEY_CA": given["sslrootcert"],
        },
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


def joined(rows: Rows, *columns: str) -> str:
    return "|".join(",".join(str(row[column]) for column in columns) for row in rows)


@pytest.mark.parametrize("mode", ["simple", "extended", "extendedForPrepared", "extendedCacheEverything"])
def test_every_query_mode_reads_what_the_policy_promises(house: House, journey: dict[str, str], mode: str) -> None:
    assert journey[f"mode {mode}"] == joined(house.promised(), "id", "email", "salary")


@pytest.mark.parametrize(
    ("finding", "promised"),
    [
        ("prepared", lambda rows: joined(rows[:8], "id", "salary", "birth_date")),
        ("array parameter", lambda rows: joined(rows[:3], "id")),
        ("fetch size", lambda rows: joined(rows, "id")),
        ("max rows", lambda rows: joined(rows[:5], "id")),
        ("batch of selects", lambda rows: f"1|{len(rows)}|x"),
        ("large", lambda rows: str(20000 * 20001 // 2)),
    ],
)
def test_statements_cursors_and_batches_return_the_promised_rows(
    house: House, journey: dict[str, str], finding: str, promised: Callable[[Rows], str]
) -> None:
    assert journey[finding] == promised(house.promised())


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        ("channel binding", "1"),
        ("after the batch", "1"),
        ("refused in transaction", "42P01 25P02 3"),
        ("isolation", "repeatable read"),
        ("read only", "on t"),
        ("valid", "true"),
        ("cancel", "57014 true alive"),
        ("query timeout", "57014"),
        ("described", ",".join(f"{n} {t}" for n, t in zip(COLUMNS.split(","), TYPES.split(","), strict=True))),
        ("product", "PostgreSQL 15"),
        ("tables", "companies,departments,employees,payslips"),
        ("all tables", "public"),
        ("columns", COLUMNS),
        ("column types", TYPES),
        ("schemas", "information_schema,pg_catalog,public"),
        ("catalogs", "payroll"),
        ("primary keys", "id"),
        ("imported keys", "company_id,department"),
        ("exported keys", "payslips"),
        ("indexes", "employees_email_key,employees_pkey,employees_company_id"),
        ("row identifier", "id"),
        ("types", "true"),
        ("table types", "true"),
        ("procedures", ""),
        ("keywords", "true"),
        ("cross reference", "company_id"),
        ("function columns", "true"),
        ("procedure columns", ""),
        ("user types", "companies,departments,employees,payslips"),
        ("client info", "ApplicationName"),
        ("unanswered questions", ""),
        ("user name", "alice+SUP-1423"),
    ],
)
def test_the_driver_gets_what_it_asks_for(house: House, journey: dict[str, str], finding: str, expected: str) -> None:
    major = house.truth("show server_version")[0][0].split(".")[0]
    assert journey[finding] == expected.replace("PostgreSQL 15", f"PostgreSQL {major}")


@pytest.mark.parametrize(
    ("finding", "sqlstate", "code"),
    [
        ("wrong pass", "28P01", "authentication-failed"),
        ("batch of writes", "25006", "read-only"),
        ("refused column", "42703", "column-not-available"),
        ("refused relation", "42P01", "relation-not-available"),
    ],
)
def test_refusals_carry_sqlstate_and_stable_code(
    journey: dict[str, str], finding: str, sqlstate: str, code: str
) -> None:
    assert journey[finding].startswith(f"SQLSTATE {sqlstate} ")
    assert f"code: {code}" in journey[finding]


def test_a_comparison_with_a_masked_column_is_a_warning(journey: dict[str, str]) -> None:
    assert "salary` is masked" in journey["notice"]


def test_nothing_that_the_driver_found_names_a_hidden_column(journey: dict[str, str]) -> None:
    told = {name: value for name, value in journey.items() if name != "refused column"}
    assert not [name for name, value in told.items() if "notes" in value or "profile" in value]
    assert not [name for name, value in journey.items() if value.startswith("FAULT")]
