"""Statements that write with parameters, through the gateway to MariaDB: the bare protocol, mysql2 and Connector/J."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from mysql_house import TARGET, MysqlHouse
from mysql_wire import Client, Refused
from mysql_writing_house import approved, opened, writing, writing_house
from test_mysql_clients import CACHE, DRIVER, HERE, ROOT, needed

from gateway.demo.client import bare_environment
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql.base import Type
from gateway.wire.mysql.commands import Parameter

pytestmark = pytest.mark.live
TEXT, NUMBER = Parameter(Type.VAR_STRING), Parameter(Type.LONGLONG)


@dataclass
class Desk:
    """The house, a grant for writing, and employees of the customer's and of another's."""

    house: MysqlHouse
    grant: dict[str, Any]
    mine: int
    other: int

    def client(self, grant: dict[str, Any] | None = None) -> Client:
        grant = grant or self.grant
        ca = self.house.house.company.tls.ca
        return Client(("localhost", self.house.port), grant["user"], grant["password"], ca=ca, database=TARGET)


@pytest.fixture(scope="module")
def desk(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with writing_house(tmp_path_factory.mktemp("mysql"), postgres) as house:
        ((mine,),) = house.truth(f"select min(id) from employees where company_id = {CUSTOMER}")
        ((other,),) = house.truth(f"select min(id) from employees where company_id <> {CUSTOMER}")
        yield Desk(house, writing(house), mine, other)


def test_what_was_prepared_writes_with_each_execution_s_values(desk: Desk) -> None:
    client = desk.client()
    ((before,),) = desk.house.truth(f"select plan from companies where id = {CUSTOMER}")
    head = client.prepare("update companies set plan = ? where id = ?").prepared
    assert head is not None
    assert (head.parameters, head.columns) == (2, 0)
    for value, number, rows in (("silver", CUSTOMER, 1), ("lead", CUSTOMER + 1, 0), (before, CUSTOMER, 1)):
        _, results = client.execute(head.statement, (TEXT, NUMBER), (str(value).encode(), number))
        assert results[0].ok is not None
        assert results[0].ok.affected_rows == rows
        ((now,),) = desk.house.truth(f"select plan from companies where id = {CUSTOMER}")
        assert now == (value if rows else "silver")
    assert desk.house.truth("select count(*) from companies where plan = 'lead'") == [(0,)]
    client.close()
    ended = [one["tag"] for one in desk.house.house.records() if one["kind"] == "statement.end" and one.get("tag")]
    assert ended[-3:] == ["UPDATE 1", "UPDATE 0", "UPDATE 1"]


def test_another_customer_s_value_fails_whatever_its_type(desk: Desk) -> None:
    client = desk.client()
    text = (
        "insert into payslips (employee_id, period, gross, net, paid_on) values (?, '2031-01-01', 1, 1, '2031-01-31')"
    )
    head = client.prepare(text).prepared
    assert head is not None
    for kind, value in ((NUMBER, desk.other), (TEXT, str(desk.other).encode()), (TEXT, f"{desk.other}.2".encode())):
        with pytest.raises(Refused, match="row-out-of-scope"):
            client.execute(head.statement, (kind,), (value,))
    with pytest.raises(Refused, match="row-out-of-scope"):
        client.execute(head.statement, (NUMBER,), (None,))
    assert desk.house.truth("select count(*) from payslips where period = '2031-01-01'") == [(0,)]
    client.close()


def test_a_grant_for_reading_prepares_nothing_that_writes(desk: Desk) -> None:
    client = desk.client(opened(desk.house))
    with pytest.raises(Refused, match="read-only"):
        client.prepare("update companies set plan = ? where id = ?")
    client.close()


def test_an_approved_statement_runs_prepared_as_well_once_and_takes_no_parameters(desk: Desk) -> None:
    statement = f"update employees set status = concat(status, '') where id = {desk.mine}"
    client = desk.client(approved(desk.house, statement))
    with pytest.raises(Refused, match="approval-required"):
        client.prepare("update employees set status = ? where id = 1")
    head = client.prepare(statement).prepared
    assert head is not None
    _, results = client.execute(head.statement)
    assert results[0].ok is not None
    assert results[0].ok.affected_rows == 1
    with pytest.raises(Refused, match="approval-required"):
        client.execute(head.statement)
    client.close()


def printed(desk: Desk, *command: str, **more: str) -> list[str]:
    told = {
        "MYSQL_PORT": str(desk.house.port), "MYSQL_USER_NAME": desk.grant["user"],
        "MYSQL_PASSWORD": desk.grant["password"], "MYSQL_CA": str(desk.house.house.company.tls.ca),
        "MYSQL_EMPLOYEE": str(desk.mine), "MYSQL_OTHER": str(desk.other),
    }  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=180, env={**bare_environment(), **told, **more}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.splitlines()


def test_mysql2_writes_by_text_and_prepared(desk: Desk) -> None:
    there = shutil.which("node") is not None and shutil.which("npm") is not None
    needed(there, "Node.js and npm are needed: apt-get install nodejs npm")
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE / "node", CACHE], check=True, timeout=120)

    lines = printed(desk, "node", str(HERE / "node" / "writes.mjs"), JOURNEY_MODULES=str(CACHE))

    said = dict(json.loads(line) for line in lines)
    for way in ("query", "execute"):
        assert said[f"{way} insert"] == [1, True]
        assert (said[f"{way} update"], said[f"{way} delete"]) == (1, 1)
        assert said[f"{way} seen"] == {"paid_on": "2031-02-01", "net": None}
        assert said[f"{way} other"][0] == 1369
        assert said[f"{way} other"][1].endswith("[row-out-of-scope]")
    assert "no error" not in said
    assert desk.house.truth("select count(*) from payslips where period = '2031-01-01'") == [(0,)]


def test_connector_j_writes_with_and_without_preparing_on_the_server(desk: Desk) -> None:
    there = shutil.which("java") is not None and DRIVER.exists()
    needed(there, "a JDK and Connector/J are needed: apt-get install default-jdk-headless libmariadb-java")

    lines = printed(desk, "java", "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(HERE / "jdbc" / "Writes.java"))

    runs = "\n".join(lines).split("options ")[1:]
    assert len(runs) == 3
    for run in runs:
        # the key of a row that was inserted ahead of one that failed is the client's own to ask for
        assert run.splitlines()[1:] == ["insert|1", "key|true", "other|1369|true", "update|1", "update|1", "delete|1"]
    assert desk.house.truth("select count(*) from payslips where period = '2031-01-01'") == [(0,)]
