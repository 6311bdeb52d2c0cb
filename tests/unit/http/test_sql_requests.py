"""Requests that bring SQL: where the statement may stand, what may stand beside it, what goes on."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, quote

import pytest
from judging import asked

from gateway.engines.http_sql import Ready, judged, with_keys
from gateway.errors import Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.policy.load import load_policy
from gateway.sql.declared import declared
from gateway.sql.statement import View

POLICY = load_policy(Path(__file__).parents[2] / "corpus" / "dialects" / "shop.yaml")
SQL = "select email from employees"
TEXT = ("content-type", "text/plain")


def post(body: str, query: str = "", **more: object) -> HttpRequest:
    return asked("POST", f"/{query}", [TEXT], body.encode(), **more)


def plan(request: HttpRequest) -> HttpPlan | Refusal:
    assert POLICY.http is not None
    return judge(request, POLICY.http, ("42",))


def ready(request: HttpRequest) -> Ready | Refusal:
    found = plan(request)
    view = View(POLICY, declared(POLICY), ("42",), search_path=POLICY.schemas)
    return found if isinstance(found, Refusal) else judged(found, view)


def goes(request: HttpRequest) -> HttpPlan:
    found = ready(request)
    assert isinstance(found, Ready), found
    return found.plan


def code(request: HttpRequest) -> str:
    found = ready(request)
    assert isinstance(found, Refusal), found
    return found.code


def test_until_the_statement_is_proven_nothing_of_it_could_go_on() -> None:
    found = plan(post(SQL))

    assert isinstance(found, HttpPlan)
    assert found.body == b""
    assert found.sql is not None
    assert SQL not in found.shape


@pytest.mark.parametrize(
    "request_",
    [
        post(SQL),
        post(f"{SQL};"),
        post(f"{SQL} FORMAT JSONCompact"),
        post(SQL, "?default_format=JSONCompact"),
        post(SQL, "?database=shop"),
        post("", f"?query={quote(SQL)}"),
        asked("GET", f"/?query={quote(SQL)}"),
        asked("POST", "/", [("content-type", "application/x-www-form-urlencoded")], SQL.encode()),
        asked("POST", "/", [], SQL.encode()),
    ],
    ids=range(9),
)
def test_all_ways_of_asking_come_to_one_request(request_: HttpRequest) -> None:
    found = goes(request_)

    assert (found.method, found.path) == ("POST", "/")
    assert found.body.startswith(b"SELECT `email` FROM (SELECT ")
    assert b"FORMAT" not in found.body
    assert dict(parse_qsl(found.query)) == {
        "default_format": "JSONCompact",
        "wait_end_of_query": "1",
        "http_write_exception_in_output_format": "0",
        "readonly": "2",
        "cancel_http_readonly_queries_on_client_close": "1",
        "use_query_condition_cache": "0",
        "max_execution_time": "30",
    }
    assert {name for name, _ in found.headers} <= {"content-type", "accept", "accept-encoding"}


def test_the_keys_of_masks_go_on_where_there_are_some() -> None:
    key = b"\x01" * 32
    masked, clear = (with_keys(goes(post(text)), key) for text in (SQL, "select id from employees"))

    assert "37373737" in masked.query
    assert "5d5d5d5d" in masked.query
    assert "37373737" not in masked.body.decode() + masked.text + masked.shape
    assert "param_" not in clear.query


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (post(SQL, f"?query={quote(SQL)}"), "protocol-violation"),
        (post(SQL, "?max_threads=1"), "request-not-allowed"),
        (post(SQL, "?readonly=0"), "request-not-allowed"),
        (post(SQL, "?param_gateway_inner=00"), "request-not-allowed"),
        (post(SQL, "?additional_table_filters=x"), "request-not-allowed"),
        (post(SQL, "?user=default"), "request-not-allowed"),
        (post(SQL, "?password=x"), "request-not-allowed"),
        (post(SQL, "?session_id=x"), "request-not-allowed"),
        (post(SQL, "?query_id=x"), "request-not-allowed"),
        (post(SQL, "?compress=1"), "request-not-allowed"),
        (post(SQL, "?decompress=1"), "request-not-allowed"),
        (post(SQL, "?wait_end_of_query=0"), "request-not-allowed"),
        (post(SQL, "?role=admin"), "request-not-allowed"),
        (post(SQL, "?Query=select+1"), "request-not-allowed"),
        (post(SQL, "?database=system"), "request-not-allowed"),
        (post(SQL, "?database=SHOP"), "request-not-allowed"),
        (post(SQL, "?database=shop&database=system"), "protocol-violation"),
        (post(SQL, "?default_format=CSV"), "request-not-allowed"),
        (post(SQL, "?default_format=Native"), "request-not-allowed"),
        (post(f"{SQL} FORMAT Native"), "request-not-allowed"),
        (post(f"{SQL} FORMAT JSON FORMAT Native"), "request-not-allowed"),
        (post(f"{SQL} INTO OUTFILE '/tmp/x' FORMAT JSON"), "syntax-error"),
        (post(f"{SQL} SETTINGS max_threads = 1"), "statement-not-supported"),
        (post(f"{SQL} FORMAT JSON SETTINGS max_threads = 1"), "statement-not-supported"),
        (post(""), "request-not-allowed"),
        (post("  "), "request-not-allowed"),
        (asked("GET", "/"), "request-not-allowed"),
        (asked("GET", "/?query="), "request-not-allowed"),
        (asked("PUT", "/", [TEXT], SQL.encode()), "route-not-available"),
        (asked("DELETE", "/"), "route-not-available"),
        (asked("POST", "/play", [TEXT], SQL.encode()), "route-not-available"),
        (asked("GET", "/ping"), "route-not-available"),
        (asked("GET", "/replicas_status"), "route-not-available"),
        (asked("POST", "/", [TEXT, ("X-ClickHouse-Database", "system")], SQL.encode()), "request-not-allowed"),
        (asked("POST", "/", [TEXT, ("x-clickhouse-user", "admin")], SQL.encode()), "request-not-allowed"),
        (asked("POST", "/", [TEXT, ("X-ClickHouse-Format", "Native")], SQL.encode()), "request-not-allowed"),
        (asked("POST", "/", [("content-type", "multipart/form-data; boundary=x")], b"--x"), "request-not-allowed"),
        (asked("POST", "/", [TEXT, ("content-encoding", "gzip")], b"\x1f\x8b"), "request-not-allowed"),
        (asked("POST", "/", [TEXT], b"select '\xff'"), "protocol-violation"),
        (asked("POST", "/", [TEXT], b"\xef\xbb\xbfselect 1"), "syntax-error"),
        (asked("POST", "/", [TEXT], b"select 1" + b" " * 262_144), "message-too-large"),
        (post("insert into employees format JSONEachRow"), "statement-not-allowed"),
        (post("insert into employees values", "?query=select+1"), "protocol-violation"),
        (post("select notes from employees"), "column-not-available"),
        (post("select * from system.tables"), "relation-not-available"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_another_statement_or_a_setting_is_refused(request_: HttpRequest, wanted: str) -> None:
    assert code(request_) == wanted
