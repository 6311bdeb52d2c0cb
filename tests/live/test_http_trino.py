"""Trino behind a whole gateway: its own Python client, what it is shown, what the server was sent, the records."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest
import requests
import trino as client
from dialect_world import CANARIES, CORPUS, entries, statements, truth
from gateway_fixture import House, awaited, open_house
from http_house import token
from trino.auth import JWTAuthentication
from trino.exceptions import TrinoUserError
from trino_http import PASSWORD, USER, Trino, trino

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

SHOP = "shop"
POLICY = (
    (CORPUS / "shop.yaml").read_text(encoding="utf-8")
    .replace("    statement: {post: /, dialect: clickhouse}\n", "")
    .replace("question: {get: /, dialect: clickhouse}",
             "statement: {post: /v1/statement, dialect: trino, catalog: memory}")
    .replace("tests: shop_test.yaml\n", "")
    .replace("limits: {", "limits: {rows_per_statement: 12, statement_timeout: 20s, ")
    .replace(", search: exact", "")
)  # fmt: skip
LEAKS = (*CANARIES, "Martin", "coordinator.internal", "gateway_", "io.trino", "31337", "666")


@dataclass
class Shop:
    """The gateway, and the server behind it."""

    house: House
    server: Trino
    opened: Mapping[str, Any]

    @property
    def ca(self) -> str:
        return str(self.house.company.tls.ca)

    def http(self, opened: Mapping[str, Any] | None = None, **headers: str) -> httpx2.Client:
        opened = opened or self.opened
        return httpx2.Client(
            base_url=f"https://localhost:{opened['port']}", verify=ssl.create_default_context(cafile=self.ca),
            trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {token(opened)}", "X-Trino-User": "alice"} | headers,
        )  # fmt: skip

    def connect(self, **more: Any) -> Any:
        session = requests.Session()
        # as with httpx2: a bundle of the machine's would stand in for ours
        session.trust_env, session.verify = False, self.ca
        return client.dbapi.connect(
            host="localhost", port=self.opened["port"], user="alice", http_scheme="https",
            auth=JWTAuthentication(token(self.opened)), max_attempts=1, http_session=session, **more,
        )  # fmt: skip

    def rows(self, sql: str, parameters: Any = None, **more: Any) -> tuple[list[str], list[list[Any]]]:
        """Names and rows, as Trino's own client has them."""
        with closing(self.connect(**more)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            rows = cursor.fetchall()
            return [one[0] for one in cursor.description], rows

    def pages(self, sql: str, **headers: str) -> list[httpx2.Response]:
        """All answers to one statement."""
        with self.http(**headers) as http:
            found = [http.post("/v1/statement", content=sql.encode())]
            while found[-1].status_code == 200 and "nextUri" in found[-1].json():
                found.append(http.get(found[-1].json()["nextUri"]))
            return found


@pytest.fixture(scope="module")
def shop(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory: Path = tmp_path_factory.mktemp("shop")
    secret = directory / "trino.password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    with trino() as server:
        server.run(list(statements(SHOP, truth(False), "trino")))
        target = {
            "engine": "http",
            "url": f"http://127.0.0.1:{server.port}",
            "listen": {"port": free_port()},
            "credentials": {"kind": "basic", "user": USER, "password": {"file": str(secret)}},
        }
        with open_house(directory, postgres, settings={"targets": {SHOP: target}}, start=False) as house:
            path = house.company.directory / "policies" / f"{SHOP}.yaml"
            path.write_text(POLICY)
            path.chmod(0o644)
            house.gateway.start()
            yield Shop(house, server, house.actor("alice").open(TICKET, "", SHOP))


@pytest.fixture(autouse=True)
def _quiet(shop: Shop) -> None:
    shop.server.taken()
    shop.server.extra, shop.server.headers, shop.server.compress, shop.server.holds = {}, {}, False, None


def test_trinos_own_client_reads_the_customers_masked_rows(shop: Shop) -> None:
    names, rows = shop.rows("select * from employees order by id")

    assert names[:4] == ["id", "company_id", "first_name", "last_name"]
    assert [row[:2] for row in rows] == [[1, 42], [2, 42], [3, 42], [4, 42]]
    assert rows[0][5].startswith("FR76*")
    assert (rows[0][6], rows[0][7], rows[0][8]) == (50000, date(1984, 1, 1), "***")
    assert not [one for one in LEAKS if one in repr(rows)]


def test_a_pseudonym_is_the_same_in_each_statement(shop: Shop) -> None:
    first, second = (shop.rows("select distinct email, last_name from employees order by email") for _ in range(2))

    assert first == second
    assert first[1][0][0] is not None


def test_the_client_sends_parameters_and_names_relations_in_full(shop: Shop) -> None:
    sql = "select id from memory.shop.employees where status = ? and salary > ? order by id"
    assert shop.rows(sql, ["open", Decimal("10.5")])[1] == [[1], [2]]
    assert shop.rows("select id from employees where id = ?", [2], catalog="memory", schema="shop")[1] == [[2]]


def test_the_client_lists_what_exists(shop: Shop) -> None:
    assert [row[0] for row in shop.rows("show tables")[1]] == [
        "accounts", "companies", "countries", "employees", "notes", "payslips",
    ]  # fmt: skip
    described = {row[0]: row[1:] for row in shop.rows("describe employees")[1]}
    assert described["email"] == ["varchar", "", "masked: email"]
    assert described["status"] == ["varchar", "", ""]
    assert "notes" not in described
    assert shop.rows("show schemas")[1] == [["shop"]]
    assert shop.rows("show catalogs")[1] == [["memory"]]
    assert shop.rows("show tables like 'c%'")[1] == [["companies"], ["countries"]]


def test_the_server_gets_the_proven_text_and_headers_of_ours(shop: Shop) -> None:
    shop.pages(
        "select id, email /* mine */ from employees where last_name = 'Nobody'",
        **{"X-Trino-Time-Zone": "Europe/Paris", "X-Trino-Client-Capabilities": "PATH,PARAMETRIC_DATETIME",
           "X-Trino-Query-Data-Encoding": "json+zstd,json", "X-Trino-Source": "dbeaver", "X-Trino-Session": ""},
    )  # fmt: skip

    first, *others = shop.server.taken()
    assert first["body"].startswith('EXECUTE IMMEDIATE \'SELECT "id", "email" FROM (SELECT ')
    assert "mine" not in first["body"]
    headers = {name.lower(): value for name, value in first["headers"].items()}
    assert {name: value for name, value in headers.items() if name.startswith("x-trino")} == {
        "x-trino-time-zone": "Europe/Paris", "x-trino-client-capabilities": "PARAMETRIC_DATETIME",
        "x-trino-catalog": "memory", "x-trino-schema": "shop", "x-trino-session": "query_max_execution_time=20s",
        "x-trino-transaction-id": "NONE", "x-trino-source": "gateway",
    }  # fmt: skip
    assert headers["authorization"].startswith("Basic ")
    assert all(one["method"] == "GET" and "x-trino-user" not in map(str.lower, one["headers"]) for one in others)
    assert [one["path"].split("/")[3] for one in others] == ["queued", "executing"]


def test_no_canary_is_in_any_byte_of_any_page(shop: Shop) -> None:
    for compress in (False, True):
        shop.server.compress = compress
        for sql in ("select * from employees", "select 1 / (id - id), email from employees", "select * from notes"):
            for answer in shop.pages(sql):
                said = answer.text + repr(sorted(answer.headers.items()))
                assert not [one for one in LEAKS if one in said.replace("gateway_tests", "")], said
                assert not [name for name in answer.headers if name.lower().startswith("x-trino")]


def test_a_page_has_what_clients_need_and_nothing_of_the_server(shop: Shop) -> None:
    first, *_, last = shop.pages("select id from employees order by id")

    assert first.json().keys() == {"id", "infoUri", "stats", "warnings", "nextUri"}
    assert last.json().keys() == {"id", "infoUri", "stats", "warnings", "columns", "data"}
    assert last.json()["stats"]["processedRows"] == 0
    origin = f"https://localhost:{shop.opened['port']}/v1/statement"
    assert first.json()["infoUri"] == origin
    assert first.json()["nextUri"].startswith(f"{origin}/")


def test_a_page_is_of_the_session_that_got_it(shop: Shop) -> None:
    with shop.http() as http:
        after = http.post("/v1/statement", content=b"select id from employees").json()["nextUri"]
    other = shop.house.actor("alice").open(TICKET, "", SHOP)
    *_, cursor, seal = after.split("/")
    shop.server.taken()
    with shop.http(other) as stranger:
        assert stranger.get(after).json()["code"] == "not-found"
        assert stranger.delete(after).json()["code"] == "not-found"
        mine = stranger.post("/v1/statement", content=b"select 1").json()["nextUri"]
        mixed = mine.rsplit("/", 1)[0] + f"/{seal}"
        assert stranger.get(mixed).json()["code"] == "not-found"
        for path in (f"{cursor}/{seal}x", f"{cursor}/{seal[:-2]}", f"x/{seal}", f"{cursor}/x", "queued/x/y/0",
                     "executing/20261128_120000_00000_abcde/y0/0"):  # fmt: skip
            assert stranger.get(f"/v1/statement/{path}").status_code == 404
    assert [one["method"] for one in shop.server.taken()] == ["POST"]
    with shop.http() as http:
        # asked again, as a client does whose connection broke, it is there again
        assert http.get(after).json()["nextUri"] == http.get(after).json()["nextUri"]


def test_a_client_ends_its_statement(shop: Shop) -> None:
    with shop.http() as http:
        after = http.post("/v1/statement", content=b"select id from employees").json()["nextUri"]
        assert http.delete(after).status_code == 204
        assert http.get(after).status_code in (404, 410)

    assert [one["method"] for one in shop.server.taken()] == ["POST", "DELETE", "GET"]


def test_a_client_ends_a_statement_whose_page_it_waits_for(shop: Shop) -> None:
    with shop.http() as http:
        after = http.post("/v1/statement", content=b"select id from employees").json()["nextUri"]
    shop.server.holds = Event()

    def wait() -> int:
        with shop.http() as http:
            return http.get(after).status_code

    with ThreadPoolExecutor(1) as waiting:
        page = waiting.submit(wait)
        deadline = time.monotonic() + 30
        while not any(one["method"] == "GET" for one in shop.server.seen) and time.monotonic() < deadline:
            time.sleep(0.05)
        with shop.http() as http:
            assert http.delete(after).status_code == 204
            assert not page.done()
        shop.server.holds.set()
        assert page.result(60) in (404, 410)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Trino-Session": "query_max_run_time=1h"}, "request-not-allowed"),
        ({"X-Trino-Role": "system=ROLE{admin}"}, "request-not-allowed"),
        ({"X-Trino-Extra-Credential": "a=b"}, "request-not-allowed"),
        ({"X-Trino-Prepared-Statement": "x=select+1"}, "request-not-allowed"),
        ({"X-Trino-Transaction-Id": "7"}, "request-not-allowed"),
        ({"X-Trino-Path": "other"}, "request-not-allowed"),
        ({"X-Trino-Original-User": "root"}, "request-not-allowed"),
        ({"X-Trino-Resource-Estimate": "EXECUTION_TIME=1s"}, "request-not-allowed"),
        ({"X-Trino-Catalog": "system"}, "request-not-allowed"),
        ({"X-Trino-Schema": "other"}, "request-not-allowed"),
        ({"X-Trino-Time-Zone": "a b"}, "protocol-violation"),
        ({"X-Presto-User": "root"}, "request-not-allowed"),
        ({"X-Trino-Whatever": "1"}, "request-not-allowed"),
        ({"Content-Encoding": "gzip"}, "request-not-allowed"),
    ],
)
def test_a_header_that_would_change_the_statement_is_refused(shop: Shop, headers: dict[str, str], code: str) -> None:
    (answer,) = shop.pages("select 1", **headers)

    assert answer.json()["code"] == code
    assert shop.server.taken() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/query"), ("GET", "/v1/info"), ("GET", "/ui/"), ("PUT", "/v1/statement"), ("GET", "/v1/statement"),
     ("DELETE", "/v1/statement/x"), ("POST", "/v1/statement/x/y"), ("GET", "/v1/spooled/segments/x"),
     ("POST", "/v1/statement?x=1")],
)  # fmt: skip
def test_nothing_else_of_trinos_api_is_there(shop: Shop, method: str, path: str) -> None:
    with shop.http() as http:
        assert http.request(method, path, content=b"select 1").status_code in (400, 403, 404)

    assert shop.server.taken() == []


def test_a_refused_statement_reaches_no_server(shop: Shop) -> None:
    for one in entries("attacks", "trino")[120:150]:
        (answer,) = shop.pages(one["sql"] or " ")
        assert answer.json()["code"] in {one["code"], "too-many-refusals"}, one
        assert "\\\\d" not in answer.text

    assert shop.server.taken() == []


def test_an_error_has_its_name_and_none_of_its_words(shop: Shop) -> None:
    with pytest.raises(TrinoUserError) as caught:
        shop.rows("select cast(email as bigint) from employees")

    assert caught.value.error_name == "INVALID_CAST_ARGUMENT"
    assert "[target-refused]" in caught.value.message
    assert not [one for one in ("alice", "CANARY", "trino_", "SELECT") if one in str(caught.value)]


@pytest.mark.parametrize(
    "extra",
    [
        {"data": {"encoding": "json+zstd", "segments": [{"type": "inline", "data": "Q0FOQVJZ"}]}},
        {"data": [["CANARY", 2]]},
        {"data": [[{"a": "CANARY"}]]},
        {"columns": "CANARY"},
        {"columns": [{"name": 1, "type": "x"}]},
        {"nextUri": "http://elsewhere/CANARY"},
        {"nextUri": "/v1/statement/../CANARY"},
        {"nextUri": 7},
        {"stats": None},
    ],
)
def test_a_page_that_is_none_is_withheld(shop: Shop, extra: dict[str, Any]) -> None:
    shop.server.extra = extra
    last = shop.pages("select id from employees")[-1]

    assert last.json()["code"] == "answer-unreadable"
    assert "CANARY" not in last.text


def test_it_is_on_record_page_by_page(shop: Shop) -> None:
    follower = shop.house.follow()
    shop.pages("select email, count(*) from employees where last_name = 'Martinelli' group by email")

    records = [
        awaited(follower, lambda record: record["kind"] == "statement.begin" and record["target"] == SHOP)
        for _ in range(3)
    ]
    assert [record["verb"] for record in records] == ["SELECT", "FETCH", "FETCH"]
    for record in records:
        assert record["relations"] == ["shop.employees"]
        assert record["scope"] == ["shop.employees: company_id = ticket.customer"]
        assert record["columns_masked"] == ["shop.employees.last_name", "shop.employees.email"]
        assert record["sql"] == (
            'SELECT "email", count(*) FROM "shop"."employees" WHERE ("last_name" = ?) GROUP BY "email"'
        )
    assert records[0]["sealed"]
    assert "Martinelli" not in json.dumps(shop.house.records())
    assert "X'" not in json.dumps(shop.house.records())


def test_rows_are_counted_and_a_failed_statement_is_an_error(shop: Shop) -> None:
    shop.pages("select id from employees order by id")
    ends = _ends(shop, 4)
    assert [(end["status"], end.get("rows", 0)) for end in ends] == [("ok", 0), ("ok", 0), ("ok", 3), ("ok", 1)]

    shop.pages("select cast(email as bigint) from employees")
    ends = _ends(shop, 3)
    assert (ends[-1]["status"], ends[-1]["tag"]) == ("error", "HTTP 200 target-refused")


def _ends(shop: Shop, count: int) -> list[dict[str, Any]]:
    """The ends of the last requests, in the order of their beginnings; an end rides the next commit."""
    deadline = time.monotonic() + 60
    while True:
        records = shop.house.records()
        begins = [one["statement"] for one in records if one["kind"] == "statement.begin" and one["target"] == SHOP]
        ends = {one["statement"]: one for one in records if one["kind"] == "statement.end"}
        if all(begin in ends for begin in begins[-count:]) or time.monotonic() > deadline:
            return [ends[begin] for begin in begins[-count:]]
        time.sleep(0.1)


def test_the_rows_of_a_statement_are_those_of_all_its_pages(shop: Shop) -> None:
    # 4 x 4 rows, three a page, and twelve allowed
    last = shop.pages("select a.id, b.id from employees a cross join employees b")[-1]

    assert last.json()["code"] == "row-budget-exhausted"
    with shop.http() as http:
        sent = http.post("/v1/statement", content=b"select 1")
        assert sent.status_code == 200


def test_the_schema_and_a_long_statement_are_as_in_any_sql(shop: Shop) -> None:
    assert shop.pages("select id from employees where id = 1", **{"X-Trino-Schema": "shop"})[-1].json()["data"] == [[1]]
    sql = "select id from employees where " + " and ".join(f"status <> 'nothing {n}'" for n in range(60))
    assert sorted(row[0] for row in shop.rows(sql)[1]) == [1, 2, 3]
