"""Python's other drivers through the gateway to MariaDB: mysqlclient, asyncmy, mysql-connector-python, and Django.

mysqlclient is in C and under the GPL: it is Debian's `python3-mysqldb`, run by Debian's own interpreter, in tests only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncmy
import asyncmy.errors
import mysql.connector
import pytest
from mysql_house import DATABASE, TARGET, MysqlHouse, payroll_house
from test_mysql_clients import needed

from gateway.demo.client import bare_environment
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres

pytestmark = pytest.mark.live
PROGRAMS = Path(__file__).parent / "programs"
SYSTEM = Path("/usr/bin/python3")
QUERY = "select id, email, salary, birth_date from employees where id > %s order by id limit 3"
REFUSED = {
    "select notes from employees": (1054, "column-not-available"),
    "delete from employees": (1792, "read-only"),
    "select * from mysql.user": (1146, "relation-not-available"),
}


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    with payroll_house(tmp_path_factory.mktemp("mysql-drivers"), postgres) as house:
        yield house


@pytest.fixture(scope="module")
def promised(house: MysqlHouse) -> list[tuple[Any, ...]]:
    """What PyMySQL reads of the first people."""
    with contextlib.closing(house.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY, (0,))
        return list(cursor.fetchall())


def where(house: MysqlHouse, host: str = "localhost") -> dict[str, Any]:
    opened = house.opened()
    return {
        "host": host, "port": house.port, "user": opened["user"], "password": opened["password"], "database": TARGET,
    }  # fmt: skip


def authority(house: MysqlHouse) -> str:
    return str(house.house.company.tls.ca)


def everybody(house: MysqlHouse) -> int:
    ((count,),) = house.truth(f"select count(*) from {DATABASE}.employees where company_id = {CUSTOMER}")
    return int(count)


def run(interpreter: Path, program: str, given: dict[str, Any]) -> dict[str, Any]:
    """What one of our programs found."""
    done = subprocess.run(
        [interpreter, PROGRAMS / program], capture_output=True, text=True, check=False, timeout=120,
        env={**bare_environment(), "JOURNEY": json.dumps(given)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_mysqlclient_reads_is_refused_and_goes_on(house: MysqlHouse, promised: list[tuple[Any, ...]]) -> None:
    there = SYSTEM.exists() and Path("/usr/lib/python3/dist-packages/MySQLdb").exists()
    needed(there, "mysqlclient is needed: apt-get install python3-mysqldb")
    # it takes `localhost` for a socket
    given = where(house, "127.0.0.1") | {"ssl": {"ca": authority(house)}, "charset": "utf8mb4"}
    told = run(SYSTEM, "mysqlclient_journey.py", {"connect": given, "query": QUERY, "refused": list(REFUSED)})

    assert told["rows"] == [[str(value) for value in row] for row in promised]
    assert told["streamed"] == everybody(house)
    assert [(number, said.rpartition("[")[2]) for number, said in told["refused"]] == [
        (number, f"{code}]") for number, code in REFUSED.values()
    ]
    assert told["several"] == [[1], [2]]
    assert told["database"] == DATABASE
    assert told["warnings"] == []
    assert told["after"] == 1


def test_mysql_connector_python_in_both_protocols(house: MysqlHouse, promised: list[tuple[Any, ...]]) -> None:
    trust = {"ssl_ca": authority(house), "ssl_verify_cert": True, "ssl_verify_identity": True}
    with contextlib.closing(mysql.connector.connect(**where(house), **trust, use_pure=True)) as connection:
        for prepared in (False, True):
            cursor = connection.cursor(prepared=prepared)
            cursor.execute(QUERY, (0,))
            assert cursor.fetchall() == promised, prepared
            cursor.close()
        for text, (number, code) in REFUSED.items():
            cursor = connection.cursor()
            with pytest.raises(mysql.connector.Error) as caught:
                cursor.execute(text)
            assert caught.value.errno == number
            assert f"[{code}]" in str(caught.value)
            cursor.close()
        connection.ping()
        connection.rollback()
        connection.start_transaction(consistent_snapshot=True, isolation_level="REPEATABLE READ")
        connection.commit()
        connection.reset_session()
        connection.database = TARGET
        connection.autocommit = True
        assert (connection.database, connection.autocommit) == (DATABASE, True)
        cursor = connection.cursor(dictionary=True, buffered=True)
        cursor.execute("select count(*) as n from employees")
        assert cursor.fetchall() == [{"n": everybody(house)}]


def test_asyncmy_alone_and_in_a_pool(house: MysqlHouse, promised: list[tuple[Any, ...]]) -> None:
    trust = {"ssl": ssl.create_default_context(cafile=authority(house))}

    async def journey() -> None:
        async with asyncmy.create_pool(**where(house), **trust, maxsize=3, autocommit=True) as pool:

            async def one() -> list[tuple[Any, ...]]:
                async with pool.acquire() as connection, connection.cursor() as cursor:
                    await cursor.execute(QUERY, (0,))
                    return list(await cursor.fetchall())

            assert await asyncio.gather(*(one() for _ in range(6))) == [promised] * 6
            async with pool.acquire() as connection, connection.cursor() as cursor:
                for text, (number, code) in REFUSED.items():
                    with pytest.raises(asyncmy.errors.MySQLError, match=rf"\[{code}\]") as caught:
                        await cursor.execute(text)
                    assert caught.value.args[0] == number
                await connection.ping()
                await connection.begin()
                await cursor.execute("select count(*) from employees")
                assert await cursor.fetchone() == (everybody(house),)
                await connection.commit()

    asyncio.run(journey())


@pytest.fixture(scope="module")
def django(house: MysqlHouse) -> dict[str, Any]:
    given = where(house)
    settings = {name.upper(): given[name] for name in ("host", "port", "user", "password")} | {"NAME": TARGET}
    options = {"ssl": {"ca": authority(house)}}
    return run(Path(sys.executable), "django_mysql_journey.py", settings | {"OPTIONS": options})


def test_inspectdb_writes_a_model_for_each_table_and_no_hidden_column(django: dict[str, Any]) -> None:
    assert django["classes"] == ["Companies", "Departments", "Employees", "Payslips"]
    assert sorted(django["tables"]) == ["companies", "departments", "employees", "payslips"]
    assert "salary = models.DecimalField(max_digits=10, decimal_places=2" in django["models"]
    assert "Unable to inspect" not in django["models"]
    assert not [name for name in ("notes", "profile") if name in django["models"]]
    assert django["constraints"] == []


def test_the_models_read_what_the_policy_promises(
    django: dict[str, Any], house: MysqlHouse, promised: list[tuple[Any, ...]]
) -> None:
    assert django["rows"][:3] == [[row[0], row[1], str(row[2])] for row in promised]
    assert django["count"] == django["inside"] == django["streamed"] == len(django["rows"]) == everybody(house)
    assert django["customers"] == [CUSTOMER]
    assert django["slips"] > 0
    assert django["groups"] == sorted(django["groups"])
    assert django["years"] >= 1
    assert django["filtered"] == [
        number
        for (number,) in house.truth(
            f"select id from {DATABASE}.employees where company_id = {CUSTOMER} and department in ('IT', 'HR')"
            " and job_title like '%e%' and year(hired_on) >= 1990 order by id"
        )
    ]


def test_a_refusal_of_django_s_leaves_its_transaction_usable(django: dict[str, Any]) -> None:
    assert [said.rpartition("[")[2] for said in django["refused"]] == ["column-not-available]", "read-only]"]
