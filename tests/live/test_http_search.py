"""Elasticsearch and OpenSearch behind a whole gateway: their own Python clients, what is shown, sent and on record.

The servers are stand-ins by their documentation (`search_http.py`), over DuckDB. What people ask says the same through
the gateway as it says, as written, of a copy that holds only what the policy shows.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import elasticsearch
import httpx2
import opensearchpy
import pytest
from dialect_world import CANARIES, copied, statements, truth
from gateway_fixture import House, open_house
from http_house import token
from ruamel.yaml import YAML
from search_http import PASSWORD, PATHS, USER, Search, search

from gateway.demo.company import TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

CORPUS = Path(__file__).parents[1] / "corpus" / "search"
POLICY = (CORPUS / "shop.yaml").read_text(encoding="utf-8").replace("tests: shop_test.yaml\n", "")
DIALECTS = ("elasticsearch", "opensearch")
ROUTES = {
    "elasticsearch": "statement: {post: /_sql, dialect: elasticsearch}",
    "opensearch": "statement: {post: /_plugins/_sql, dialect: opensearch}",
}
LEAKS = (*CANARIES, "Martin", "gateway_", "DuckDB", "666", "company_id = ")


@dataclass
class Shop:
    """The gateway, and the server behind it."""

    dialect: str
    house: House
    server: Search
    opened: Mapping[str, Any]

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.house.company.tls.ca))

    def http(self, opened: Mapping[str, Any] | None = None) -> httpx2.Client:
        opened = opened or self.opened
        return httpx2.Client(
            base_url=f"https://localhost:{opened['port']}", verify=self.context, trust_env=False, timeout=60,
            headers={"Authorization": f"Bearer {token(opened)}"},
        )  # fmt: skip

    def post(self, body: Any, path: str = "", opened: Mapping[str, Any] | None = None, **more: Any) -> httpx2.Response:
        with self.http(opened) as http:
            return http.post(PATHS[self.dialect] + path, json=body, **more)

    def asked(self, sql: str, **more: Any) -> httpx2.Response:
        return self.post({"query": sql} | more)

    def rows(self, sql: str, **more: Any) -> tuple[list[str], list[list[Any]]]:
        """Names and rows of all pages."""
        answer = self.asked(sql, **more)
        assert answer.status_code == 200, answer.text
        names = [one["name"] for one in answer.json()[self.words[0]]]
        rows = answer.json()[self.words[1]]
        while "cursor" in answer.json():
            answer = self.post({"cursor": answer.json()["cursor"]})
            assert answer.status_code == 200, answer.text
            rows += answer.json()[self.words[1]]
        return names, rows

    @property
    def words(self) -> tuple[str, str]:
        return ("columns", "rows") if self.dialect == "elasticsearch" else ("schema", "datarows")


@pytest.fixture(scope="module", params=DIALECTS)
def shop(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    dialect = request.param
    directory: Path = tmp_path_factory.mktemp("shop")
    secret = directory / "search.password"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    with search(dialect) as server:
        server.run([one.replace("shop.", "") for one in statements("shop", truth(False), "trino")][1:])
        target = {
            "engine": "http",
            "url": f"http://127.0.0.1:{server.port}",
            "listen": {"port": free_port()},
            "credentials": {"kind": "basic", "user": USER, "password": {"file": str(secret)}},
        }
        with open_house(directory, postgres, settings={"targets": {"shop": target}}, start=False) as house:
            path = house.company.directory / "policies" / "shop.yaml"
            path.write_text(POLICY.replace(ROUTES["elasticsearch"], ROUTES[dialect]))
            path.chmod(0o644)
            house.gateway.start()
            yield Shop(dialect, house, server, house.actor("alice").open(TICKET, "", "shop"))


@pytest.fixture(autouse=True)
def _quiet(shop: Shop) -> None:
    shop.server.taken()
    shop.server.extra, shop.server.without_where = {}, False


def test_rows_are_the_customers_and_masked(shop: Shop) -> None:
    names, rows = shop.rows("select * from employees order by id")

    assert names[:4] == ["id", "company_id", "first_name", "last_name"]
    assert [row[:2] for row in rows] == [[1, 42], [2, 42], [3, 42], [4, 42]]
    assert rows[0][5].startswith("FR76*")
    assert rows[0][6:9] == [50000, "1984-01-01", "***"]
    assert not [one for one in LEAKS if one in json.dumps(rows)]


def test_the_servers_own_client_reads_page_by_page_and_closes(shop: Shop) -> None:
    sql, port = "select id, email from employees order by id", shop.opened["port"]
    if shop.dialect == "elasticsearch":
        with elasticsearch.Elasticsearch(
            f"https://localhost:{port}", ssl_context=shop.context, bearer_auth=token(shop.opened)
        ) as client:
            first = client.sql.query(query=sql, fetch_size=3)
            assert [row[0] for row in first["rows"]] == [1, 2, 3]
            assert [row[0] for row in client.sql.query(cursor=first["cursor"])["rows"]] == [4]
            again = client.sql.query(query=f"{sql} limit 4", fetch_size=1)
            assert client.sql.clear_cursor(cursor=again["cursor"])["succeeded"] is True
            assert client.sql.query(query="select id from employees where status = ?", params=["closed"])["rows"] == [
                [3]
            ]
            with pytest.raises(elasticsearch.ApiError, match="salary"):
                client.sql.query(query="select id from employees where salary > 1")
            with pytest.raises(elasticsearch.ApiError):
                client.sql.translate(query=sql)
            with pytest.raises(elasticsearch.ApiError):
                client.search(index="employees")
        return
    with opensearchpy.OpenSearch(
        [{"host": "localhost", "port": port}], use_ssl=True, ssl_context=shop.context,
        headers={"Authorization": f"Bearer {token(shop.opened)}"},
    ) as client:  # fmt: skip
        first = client.sql.query(body={"query": sql, "fetch_size": 3})
        assert [row[0] for row in first["datarows"]] == [1, 2, 3]
        assert [row[0] for row in client.sql.query(body={"cursor": first["cursor"]})["datarows"]] == [4]
        again = client.sql.query(body={"query": sql, "fetch_size": 1})
        assert client.sql.close(body={"cursor": again["cursor"]})["succeeded"] is True
        for refused in (client.sql.explain, client.ppl.query):
            with pytest.raises(opensearchpy.exceptions.TransportError):
                refused(body={"query": sql})


@pytest.fixture(scope="module")
def masked_copy(shop: Shop) -> Iterator[Search]:
    """What the policy shows, physically, masked under the session's own key."""
    with search(shop.dialect) as server:
        server.run([one.replace("shop.", "") for one in statements("shop", copied(truth(False)), "trino")][1:])
        yield server


KEYED = ("first_name", "last_name", "email")


@pytest.mark.parametrize("one", YAML(typ="safe").load(CORPUS / "legitimate.yaml"), ids=lambda one: one["sql"][:60])
def test_what_people_ask_says_the_same_as_on_a_copy_of_what_they_may_see(
    shop: Shop, masked_copy: Search, one: dict[str, Any]
) -> None:
    if shop.dialect not in one["dialects"]:
        pytest.skip("it is of the other server")
    names, rows = shop.rows(one["sql"])
    wanted = masked_copy.answer(one["sql"])

    called = [column.get("alias") or column["name"] for column in wanted[shop.words[0]]]
    keyed = [place for place, name in enumerate(called) if name in {*KEYED, "address", "again"}]
    assert len(names) == len(called)
    assert [_without(row, keyed) for row in rows] == [_without(row, keyed) for row in wanted[shop.words[1]]]


def _without(row: list[Any], places: list[int]) -> list[Any]:
    """The row without pseudonyms, whose key is the session's own."""
    return [value is None if place in places else value for place, value in enumerate(row)]


def test_no_canary_is_in_any_byte(shop: Shop) -> None:
    for body in (
        {"query": "select * from employees"}, {"query": "select * from notes"},
        {"query": "select id + status from employees"}, {"query": "select sum(status) as s from employees"},
        {"query": "select id, email from employees", "fetch_size": 2},
    ):  # fmt: skip
        answer = shop.post(body)
        said = answer.text + repr(sorted(answer.headers.items()))
        assert not [one for one in LEAKS if one in said], said
        assert "warning" not in answer.headers


def test_a_server_that_ignores_the_condition_shows_nothing(shop: Shop) -> None:
    shop.server.without_where = True
    for sql in ("select id from employees", "select count(*) as n from employees",
                "select status, max(id) as m from employees group by status"):  # fmt: skip
        answer = shop.asked(sql)
        assert answer.json()["code"] == "answer-unreadable", sql
        assert "whose it is" in answer.text
    # of reference data there is nobody's
    assert shop.asked("select code from countries where code = 'FR'").status_code == 200


@pytest.mark.parametrize(
    "extra",
    [
        {"rows": [["CANARY", 42]], "datarows": [["CANARY", 42]]},
        {"rows": [[1, "42 "]], "datarows": [[1, 7]]},
        {"rows": [[1, None]], "datarows": [[1, None]]},
        {"rows": [[[1, 2], 42]], "datarows": [[{"a": "CANARY"}, 42]]},
        {"rows": [[1, 42, "CANARY"]], "datarows": [[1]]},
        {"columns": [{"name": "CANARY", "type": "long"}], "schema": [{"name": "CANARY", "type": "long"}]},
        {"columns": [{"name": "gateway_scope", "type": "long"}, {"name": "gateway_1", "type": "long"}],
         "schema": [{"name": "gateway_scope", "type": "long"}, {"name": "gateway_1", "type": "long"}]},
        {"rows": "CANARY", "datarows": "CANARY"},
        {"cursor": {"a": "CANARY"}},
    ],
)  # fmt: skip
def test_an_answer_that_is_none_or_anothers_is_withheld(shop: Shop, extra: dict[str, Any]) -> None:
    shop.server.extra = {name: value for name, value in extra.items() if name in {*shop.words, "cursor"}}
    answer = shop.asked("select phone from employees" if "CANARY" not in str(extra) else "select id from employees")

    if answer.status_code == 200:
        # a text where a number was asked for is the customer's own, by its proof
        assert shop.server.extra.get(shop.words[1]) == [["CANARY", 42]]
    else:
        assert answer.json()["code"] == "answer-unreadable"
        assert "CANARY" not in answer.text


def test_a_cursor_is_of_the_session_that_got_it(shop: Shop) -> None:
    body = shop.asked("select id from employees order by id", fetch_size=2).json()
    cursor = body["cursor"]
    assert "CANARY" not in cursor
    other = shop.house.actor("alice").open(TICKET, "", "shop")
    theirs = shop.post({"query": "select id from employees", "fetch_size": 2}, opened=other).json()["cursor"]
    shop.server.taken()
    mixed = theirs.partition(".")[0] + "." + cursor.partition(".")[2]
    for wrong in (cursor, mixed, cursor + "x", "x.y", "", "CANARY", next(iter(shop.server.cursors))):
        for path in ("", "/close"):
            answer = shop.post({"cursor": wrong}, path, other)
            assert answer.json()["code"] == "not-found", wrong
    assert shop.server.taken() == []
    assert [row[0] for row in shop.post({"cursor": cursor}).json()[shop.words[1]]] == [3, 4]


@pytest.mark.parametrize(
    "more",
    [
        {"filter": {"match_all": {}}}, {"catalog": "x"}, {"runtime_mappings": {}}, {"mode": "jdbc"}, {"columnar": True},
        {"field_multi_value_leniency": True}, {"fetch_size": 0}, {"fetch_size": 100000}, {"fetch_size": "x"},
        {"fetch_size": 1.5}, {"time_zone": "a b"}, {"wait_for_completion_timeout": "1s"}, {"keep_alive": "1d"},
        {"index_using_frozen": True}, {"request_timeout": "1d"}, {"binary_format": True}, {"params": ["x"]},
        {"parameters": []}, {"Query": "x"}, {"version": "9"},
    ],
    ids=str,
)  # fmt: skip
def test_a_member_that_is_not_let_through_is_refused(shop: Shop, more: dict[str, Any]) -> None:
    answer = shop.asked("select id from employees", **more)

    assert answer.status_code in (400, 403), answer.text
    assert shop.server.taken() == []


@pytest.mark.parametrize(
    "query",
    ["format=txt", "format=csv", "format=raw", "format=yaml", "pretty=true", "error_trace", "format=",
     "filter_path=rows", "sanitize=false"],
)  # fmt: skip
def test_another_form_is_refused(shop: Shop, query: str) -> None:
    assert shop.post({"query": "select id from employees"}, f"?{query}").status_code in (400, 403)
    own = {"elasticsearch": "json", "opensearch": "jdbc"}[shop.dialect]
    assert shop.post({"query": "select id from employees"}, f"?format={own}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/_search", "/employees/_search", "/_sql/translate", "/_plugins/_sql/_explain", "/_plugins/_ppl", "/_cat/indices",
     "/_sql/async/x", "/_plugins/_query/_datasources", "/", "/_query", "/_opendistro/_sql", "/_xpack/sql"],
)  # fmt: skip
def test_nothing_else_of_the_servers_api_is_there(shop: Shop, path: str) -> None:
    with shop.http() as http:
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert http.request(method, path, json={"query": "select 1"}).status_code in (400, 403, 404)

    assert shop.server.taken() == []


def test_bodies_are_read_strictly(shop: Shop) -> None:
    path = PATHS[shop.dialect]
    with shop.http() as http:
        for body, kind in (
            (b'{"query": "select id from employees", "cursor": "x.y"}', "application/json"),
            (b'{"query": "select id from employees", "query": "x"}', "application/json"),
            (b'{"query": "select id from employees"} {}', "application/json"),
            (b"[]", "application/json"), (b"", "application/json"), (b"\xff", "application/json"),
            (b'{"query": "select id from employees"}', "text/plain"),
            (b'{"query": "select id from employees"}', "application/x-ndjson"),
            (b'{"query": ["select id from employees"]}', "application/json"),
        ):  # fmt: skip
            answer = http.post(path, content=body, headers={"Content-Type": kind})
            assert answer.status_code in (400, 403), body
    assert shop.server.taken() == []


def test_the_server_gets_the_proven_text_and_members_of_ours(shop: Shop) -> None:
    shop.asked("select email /* mine */ from employees where status = 'open'", fetch_size=5)

    (seen,) = shop.server.taken()
    assert "mine" not in seen["body"]["query"]
    assert "company_id" in seen["body"]["query"]
    wanted = {"query", "fetch_size"}
    if shop.dialect == "elasticsearch":
        wanted |= {"request_timeout", "columnar", "field_multi_value_leniency"}
        assert seen["body"]["request_timeout"] == "30s"
    assert seen["body"].keys() == wanted
    assert (
        seen["path"]
        == PATHS[shop.dialect] + {"elasticsearch": "?format=json", "opensearch": "?format=jdbc"}[shop.dialect]
    )


def test_a_refused_statement_reaches_no_server(shop: Shop) -> None:
    corpus = YAML(typ="safe").load(CORPUS / "attacks.yaml")
    for one in [one for one in corpus if shop.dialect in one["dialects"]][20:45]:
        answer = shop.asked(one["sql"])
        assert answer.json()["code"] in {one["code"], "too-many-refusals"}, one
        assert "\\\\d" not in answer.text

    assert shop.server.taken() == []


def test_it_is_on_record_page_by_page_and_rows_are_counted_over_all(shop: Shop) -> None:
    shop.rows("select id, email from employees where status = 'Martinelli' or id > 0 order by id", fetch_size=3)
    begins, ends = _records(shop, 2)

    assert [one["verb"] for one in begins] == ["SELECT", "FETCH"]
    for one in begins:
        assert one["relations"] == ["main.employees"]
        assert one["columns_masked"] == ["main.employees.email"]
        assert one["scope"] == ["main.employees: company_id = ticket.customer"]
    assert begins[0]["sealed"]
    assert [one["rows"] for one in ends] == [3, 1]
    assert "Martinelli" not in json.dumps(shop.house.records())


def _records(shop: Shop, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The beginnings and ends of the last requests; an end rides the next commit."""
    deadline = time.monotonic() + 60
    while True:
        records = shop.house.records()
        begins = [one for one in records if one["kind"] == "statement.begin" and one["target"] == "shop"][-count:]
        ends = {one["statement"]: one for one in records if one["kind"] == "statement.end"}
        if all(one["statement"] in ends for one in begins) or time.monotonic() > deadline:
            return begins, [ends[one["statement"]] for one in begins]
        time.sleep(0.1)
