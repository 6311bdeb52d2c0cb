"""SQL over HTTP through a whole gateway, onto ClickHouse's engine: what people see, what it was sent, the records."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from clickhouse_http import KEY, ClickHouse, clickhouse
from dialect_world import CANARIES, CORPUS, entries, statements, truth
from gateway_fixture import House, awaited, open_house
from http_house import token

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.engines.sql_clickhouse import SETTINGS

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

SHOP = "shop"


@dataclass
class Shop:
    """The gateway, and the server behind it."""

    house: House
    server: ClickHouse
    opened: Mapping[str, Any]

    def client(self) -> httpx2.Client:
        context = ssl.create_default_context(cafile=str(self.house.company.tls.ca))
        return httpx2.Client(
            base_url=f"https://localhost:{self.opened['port']}", verify=context, trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {token(self.opened)}", "Content-Type": "text/plain"},
        )  # fmt: skip

    def asked(self, sql: str, query: str = "") -> httpx2.Response:
        with self.client() as client:
            return client.post(f"/{query}", content=sql.encode())


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory: Path = tmp_path_factory.mktemp("shop")
    secret = directory / "clickhouse.key"
    secret.touch(0o600)
    secret.write_text(KEY)
    with clickhouse() as server:
        server.run(list(statements(SHOP, truth(False), "clickhouse")))
        target = {
            "engine": "http",
            "url": f"http://127.0.0.1:{server.port}",
            "listen": {"port": free_port()},
            "credentials": {"kind": "header", "name": "X-ClickHouse-Key", "value": {"file": str(secret)}},
        }
        with open_house(directory, postgres, settings={"targets": {SHOP: target}}, start=False) as house:
            path = house.company.directory / "policies" / f"{SHOP}.yaml"
            path.write_text((CORPUS / "shop.yaml").read_text(encoding="utf-8"))
            path.chmod(0o644)
            house.gateway.start()
            yield Shop(house, server, house.actor("alice").open(TICKET, "", SHOP))


def test_rows_are_the_customers_and_masked(shop: Shop) -> None:
    answer = shop.asked("select * from employees order by id")

    assert answer.status_code == 200, answer.text
    read = answer.json()
    assert [column["name"] for column in read["meta"]][:4] == ["id", "company_id", "first_name", "last_name"]
    assert [row[:2] for row in read["data"]] == [[1, 42], [2, 42], [3, 42], [4, 42]]
    assert read["data"][0][5].startswith("FR76*")
    assert read["data"][0][6] == 50000
    assert read.keys() == {"meta", "data", "rows"}
    assert not [one for one in (*CANARIES, "Martin", "alice@") if one in answer.text]
    assert "x-clickhouse-summary" not in answer.headers


def test_a_pseudonym_is_the_same_in_each_answer_and_needs_its_key(shop: Shop) -> None:
    first, second = (shop.asked("select distinct first_name, email from employees order by email") for _ in range(2))

    assert first.json()["data"] == second.json()["data"]
    assert first.json()["data"][0][1] is not None


@pytest.mark.parametrize("output", ["JSON", "JSONCompact", "JSONEachRow", "JSONCompactEachRow"])
def test_rows_leave_in_the_form_that_is_asked_for(shop: Shop, output: str) -> None:
    sql = "select id, status from employees order by id limit 2"
    named, written = shop.asked(sql, f"?default_format={output}"), shop.asked(f"{sql} format {output}")

    assert named.status_code == 200, named.text
    assert named.text == written.text
    row: Any = [1, "open"] if "Compact" in output else {"id": 1, "status": "open"}
    lines = named.text.splitlines()
    assert (json.loads(lines[0]) if output.endswith("EachRow") else named.json()["data"][0]) == row


def test_a_get_asks_too(shop: Shop) -> None:
    with shop.client() as client:
        answer = client.get("/", params={"query": "select name from companies", "default_format": "JSONCompactEachRow"})

    assert answer.text == '["Acme"]\n'


def test_the_server_gets_the_proven_text_and_settings_of_ours(shop: Shop) -> None:
    shop.server.seen()
    assert shop.asked("select email /* mine */ from employees where last_name = 'Nobody'").status_code == 200

    (seen,) = shop.server.seen()
    assert seen["body"].startswith("SELECT `email` FROM (SELECT ")
    assert "mine" not in seen["body"]
    assert seen["parameters"].keys() == {
        "default_format", "max_execution_time", "param_gateway_inner", "param_gateway_outer", *SETTINGS,
    }  # fmt: skip
    assert seen["parameters"]["param_gateway_inner"] not in seen["body"]
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["x-clickhouse-key"] == KEY
    assert "authorization" not in headers


def test_a_refused_statement_reaches_no_server(shop: Shop) -> None:
    shop.server.seen()
    for one in entries("attacks", "clickhouse")[:40]:
        answer = shop.asked(one["sql"] or " ")
        assert answer.status_code >= 400, one
        assert answer.json()["code"] in {one["code"], "request-not-allowed", "too-many-refusals"}

    assert shop.server.seen() == []


def test_the_words_of_the_servers_errors_stay_there(shop: Shop) -> None:
    direct = shop.server.post("select mod(1, toInt64(id - id)), notes from shop.employees")
    answer = shop.asked("select mod(1, id - id), email from employees")

    assert direct[0] == 400
    assert "DB::Exception" in direct[1]
    assert answer.status_code == 400
    assert answer.json()["code"] == "target-refused"
    assert not [one for one in ("CANARY", "alice", "DB::", "Code:", "gateway_") if one in answer.text]


def test_it_is_on_record_as_sql_is(shop: Shop) -> None:
    follower = shop.house.follow()
    answer = shop.asked("select email, count(*) from employees where last_name = 'Martinelli' group by email")
    assert answer.status_code == 200, answer.text

    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (begin["verb"], begin["relations"], begin["target"]) == ("SELECT", ["shop.employees"], SHOP)
    assert begin["sql"] == "SELECT `email`, count(*) FROM `shop`.`employees` WHERE (`last_name` = ?) GROUP BY `email`"
    assert begin["columns_masked"] == ["shop.employees.last_name", "shop.employees.email"]
    assert begin["scope"] == ["shop.employees: company_id = ticket.customer"]
    assert begin["sealed"]
    assert begin["subjects"]
    assert (end["status"], end.get("rows", 0)) == ("ok", 0)
    assert "Martinelli" not in json.dumps(shop.house.records())
    assert "gateway_inner" not in json.dumps({name: begin[name] for name in ("sql",)})


def test_rows_are_counted(shop: Shop) -> None:
    follower = shop.house.follow()
    assert len(shop.asked("select id from employees", "?default_format=JSONEachRow").text.splitlines()) == 4

    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (end["rows"], end["tag"]) == (4, "HTTP 200")


def test_a_refusal_is_on_record_without_its_literals(shop: Shop) -> None:
    follower = shop.house.follow()
    refused = shop.asked("select notes from employees where last_name = 'Martinelli'").json()
    assert refused["code"] == "column-not-available"
    assert "\\d" not in json.dumps(refused)

    denied = awaited(follower, lambda record: record.get("decision") == "deny")
    assert denied["code"] == "column-not-available"
    assert denied["sql"] == "SELECT `notes` FROM `employees` WHERE (`last_name` = ?)"
    assert "Martinelli" not in json.dumps(denied)


def test_a_long_statement_is_judged_apart_and_runs(shop: Shop) -> None:
    sql = "select id from employees where " + " and ".join(f"status <> 'nothing {n}'" for n in range(60))
    answer = shop.asked(sql)

    assert len(sql) > 512
    assert answer.status_code == 200, answer.text
    assert [row[0] for row in sorted(answer.json()["data"])] == [1, 2, 3]
