"""Programs in other languages through the gateway to MariaDB: mysql2 and MariaDB Connector/J."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from mysql_house import DATABASE, MysqlHouse, payroll_house
from test_mysql_clients import CACHE, DRIVER, HERE, ROOT, needed

from gateway.demo.client import bare_environment
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live
REFUSED = {
    "SELECT notes FROM employees": (1054, "42S22", "column-not-available"),
    "DELETE FROM employees": (1792, "HY000", "read-only"),
    "SELECT * FROM mysql.user": (1146, "42S02", "relation-not-available"),
}


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql-clients"), postgres) as house:
        yield house


def printed(house: MysqlHouse, *command: str, **more: str) -> list[str]:
    """The lines that a program prints, which is told where the gateway is and what to sign in with."""
    opened = house.opened()
    told = {
        "MYSQL_PORT": str(house.port), "MYSQL_USER_NAME": opened["user"], "MYSQL_PASSWORD": opened["password"],
        "MYSQL_CA": str(house.house.company.tls.ca), "MYSQL_CUSTOMER": str(CUSTOMER),
    }  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, env={**bare_environment(), **told, **more}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.splitlines()


def clear_emails(house: MysqlHouse) -> set[str]:
    return {row[0] for row in house.truth(f"select email from {DATABASE}.employees where email is not null")}


def count(house: MysqlHouse) -> int:
    found = house.truth(f"select count(*) from {DATABASE}.employees where company_id = {CUSTOMER}")
    return int(found[0][0])


def test_mysql2_with_a_pool_and_prepared_statements(mysql: MysqlHouse) -> None:
    there = shutil.which("node") is not None and shutil.which("npm") is not None
    needed(there, "Node.js and npm are needed: apt-get install nodejs npm")
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE / "node", CACHE], check=True, timeout=120)

    lines = printed(mysql, "node", str(HERE / "node" / "ledger.mjs"), JOURNEY_MODULES=str(CACHE))

    said: list[tuple[str, Any]] = [tuple(json.loads(line)) for line in lines]
    once = dict(said)
    assert once["text"] == once["binary"]
    assert len(once["text"]) == 3
    assert not {row["email"] for row in once["text"]} & clear_emails(mysql)
    assert once["fields"] == ["id", "email", "salary", "birth_date"]
    assert [value for name, value in said if name == "count"] == [count(mysql), 0]
    assert once["pool"] == [1, 2, 3, 4, 5]
    assert (once["transaction"], once["streamed"], once["after"]) == (1, count(mysql), [{"one": 1}])
    errors = [value for name, value in said if name == "error"]
    wanted = [*REFUSED.values(), (1064, "42000", "syntax-error")]
    assert [tuple(error[:3]) for error in errors] == [
        (way, errno, state) for errno, state, _ in wanted for way in ("query", "execute")
    ]
    for error, code in zip(errors, [code for *_, code in wanted for _ in range(2)], strict=True):
        assert error[3].endswith(f"[{code}]")
        # what to do next is told in words of this protocol's clients
        assert "\\d" not in error[3]
    assert "no error" not in once


def test_connector_j_as_a_browser_of_databases_has_it(mysql: MysqlHouse) -> None:
    there = shutil.which("java") is not None and DRIVER.exists()
    needed(there, "a JDK and Connector/J are needed: apt-get install default-jdk-headless libmariadb-java")

    lines = printed(
        mysql, "java", "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(HERE / "jdbc" / "Ledger.java")
    )  # fmt: skip

    runs = [index for index, line in enumerate(lines) if line.startswith("options ")]
    assert len(runs) == 3
    hidden = clear_emails(mysql)
    for first, last in zip(runs, [*runs[1:], len(lines)], strict=True):
        said = [line.split("|") for line in lines[first + 1 : last]]
        once = {line[0]: line[1:] for line in said}
        assert once["schemas"] == ["information_schema", DATABASE]
        assert {"companies", "departments", "employees", "payslips"} == set(once["tables"])
        assert {"id", "email", "salary"} <= set(once["columns"])
        assert "notes" not in once["columns"]
        assert once["text"][-1] == once["fetched"][-1] == f"rows {count(mysql)}"
        assert not set(once["text"]) & hidden
        assert [line[1] for line in said if line[0] == "count"] == [str(count(mysql)), "0"]
        errors = [line for line in said if line[0] == "error"]
        assert [(int(line[1]), line[2]) for line in errors] == [each[:2] for each in REFUSED.values()]
        assert all(f"[{each[2]}]" in line[3] for line, each in zip(errors, REFUSED.values(), strict=True))
        assert once["valid"] == ["true"]
        assert "no error" not in once
