"""EXPLAIN through the gateway is useful and names no index that tells of hidden things: every form, every road."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from gateway_fixture import House, open_house, small_payroll
from raw_client import Raw, query

from gateway.demo import data
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.wire import postgres as wire

SEED = 2026
FORMS = ["text", "json", "xml", "yaml"]
ASKED = "select id from employees where department = 'x'"
SYNC = wire.encode_sync()
HIDDEN_INDEXES = [
    # the one that the scope and the condition fit best; a column in it is hidden
    'create index "Fires in 2027" on employees (company_id, department, notes)',
    "create index fires_over_100k on employees (company_id, department) where salary > 100000",
]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with small_payroll(data.generate(data.SMALL, SEED), SEED) as server:
        for one in HIDDEN_INDEXES:
            server.sql(one)
        # few rows are in the tables; an index must be taken all the same
        server.sql(f"alter role {BACKEND_ROLE} set enable_seqscan = off")
        server.sql("analyze employees")
        yield server


@pytest.fixture(scope="module")
def planned(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("planned"), server) as house:
        house.opened()
        yield house


def extended(text: str, *, binary: bool, max_rows: int = 0, portal: bytes = b"") -> bytes:
    formats = [1] if binary else []
    return (
        wire.encode_parse(b"", text)
        + wire.encode_bind(portal, b"", (), (), formats)
        + wire.encode_describe(wire.PORTAL, portal)
        + wire.encode_execute(portal, max_rows)
    )


def named_execute(form: str) -> bytes:
    text = f"explain (format {form}) {ASKED}"
    return wire.encode_parse(b"plan", text) + SYNC + query("execute plan") + query(f"prepare q as {ASKED}")


ROADS: dict[str, Callable[[str], bytes]] = {
    "simple": lambda form: query(f"explain (format {form}) {ASKED}"),
    "among others": lambda form: query(f"select 1; explain (format {form}) {ASKED}; select 2"),
    "extended": lambda form: extended(f"explain (format {form}) {ASKED}", binary=False) + SYNC,
    "binary": lambda form: extended(f"explain (format {form}) {ASKED}", binary=True) + SYNC,
    "row by row": lambda form: (
        extended(f"explain (format {form}) {ASKED}", binary=False, max_rows=1) + wire.encode_execute(b"", 1) * 3 + SYNC
    ),
    "a prepared statement": lambda form: (
        query(f"prepare p{form} as {ASKED}") + query(f"explain (format {form}) execute p{form}")
    ),
    "SQL's EXECUTE of the protocol's name": named_execute,
    "a portal": lambda form: (
        query("begin")
        + wire.encode_parse(b"", f"explain (format {form}) {ASKED}")
        + wire.encode_bind(b"pp", b"", (), (), [])
        + SYNC
        + query("fetch all from pp")
        + query("rollback")
    ),
    "a cursor": lambda form: query(f"begin; explain (format {form}) declare c cursor for {ASKED}; rollback"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("road", ROADS)
def test_no_road_of_any_form_shows_the_name_of_a_hidden_index(planned: House, road: str, form: str) -> None:
    sent = ROADS[road](form)
    with Raw(planned) as raw:
        raw.log_in()
        raw.send(sent)
        due = sum(kind in (wire.QUERY, wire.SYNC) for kind, _ in wire.Framer().feed(sent))
        got = [message for _ in range(due) for message in raw.until_ready()]
    said = b"\n".join(body for _, body in got)
    assert b"ires" not in said
    assert b"(hidden)" in said
    assert b"Index" in said
    for kind, body in got:
        if kind == wire.DATA_ROW:
            assert wire.encode_data_row(wire.parse_data_row(body))[5:] == body


def test_the_database_itself_would_have_said_it(server: EmbeddedPostgres) -> None:
    with server.connect(BACKEND_ROLE) as connection:
        plan = connection.execute(f"explain {ASKED} and company_id = 42 and notes = 'x'").fetchall()
    assert "ires" in str(plan)


def test_what_the_catalog_shows_is_named_and_the_plan_is_whole(planned: House) -> None:
    with planned.connect() as connection:
        # no scope: an index that everybody may see
        said = "\n".join(row[0] for row in connection.execute("explain select label from departments where code = 'x'"))
        assert "using departments_pkey on departments" in said
        assert "Index Cond" in said
        document = connection.execute(f"explain (format json) {ASKED}").fetchall()[0][0]
        assert document[0]["Plan"]["Node Type"]
        rows = connection.execute("explain select * from pg_class where oid = 1").fetchall()
        assert "pg_class_oid_index" in str(rows)


def test_the_record_counts_what_left(planned: House) -> None:
    trail = planned.follow()
    with Raw(planned) as raw:
        raw.log_in()
        got = raw.query(f"explain {ASKED}")
    rows = [body for kind, body in got if kind == wire.DATA_ROW]
    seen: list[dict[str, object]] = []
    ends: list[dict[str, object]] = []
    while not ends:
        seen += trail.news()
        # the end of somebody else's statement may be late
        mine = {one["statement"] for one in seen if one["kind"] == "statement.begin" and one.get("verb") == "EXPLAIN"}
        ends = [one for one in seen if one["kind"] == "statement.end" and one["statement"] in mine]
    assert ends[0]["rows"] == len(rows)
    assert ends[0]["bytes"] == sum(len(row) + 5 for row in rows)


def test_a_plan_beyond_the_windows_is_announced_in_parts_and_beyond_the_budget_refused(
    server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> None:
    many = "explain " + " union all ".join([ASKED] * 20)
    settings = {"audit": {"window_rows": 5}}
    limits = {"rows_per_statement": 40}
    with open_house(tmp_path_factory.mktemp("small"), server, settings=settings, limits=limits) as house:
        with house.connect() as connection:
            trail = house.follow()
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
                connection.execute(many.encode())
            assert connection.execute("explain select 1").fetchall()
        windows = [one["window_rows"] for one in trail.news() if one["kind"] == "statement.window"]
        assert windows[:3] == [12, 26, 40]
