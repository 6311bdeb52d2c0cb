# ruff: noqa: E501 - a query reads best on one line
"""What clients ask of the catalog, on a database of one of each kind of thing: answered, and nothing hidden shown."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, open_house
from psycopg import pq
from psycopg.conninfo import make_conninfo
from rich_schema import CANARY, POLICY, SCHEMA
from ruamel.yaml import YAML

from gateway.demo.client import bare_environment, find_psql
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.errors import Refusal
from gateway.policy.load import parse_policy
from gateway.sql.fit import check_against
from gateway.sql.postgres import analyse, catalogs, load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

DATABASE = "rich"
CLIENTS = Path(__file__).parents[1] / "corpus" / "clients"
POLICY_OF_RICH = parse_policy(POLICY)


@pytest.fixture(scope="module")
def rich(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the backend role to the database, settings pinned as the gateway pins them."""
    postgres.sql(f"drop database if exists {DATABASE}")
    postgres.sql("drop role if exists secret_role")
    postgres.sql(f"create database {DATABASE}")
    with postgres.connect(database=DATABASE) as owner:
        owner.execute(SCHEMA)
        for schema in ("sales", "secret_hr"):
            owner.execute(f"grant usage on schema {schema} to {BACKEND_ROLE}")
            owner.execute(f"grant select on all tables in schema {schema} to {BACKEND_ROLE}")
            owner.execute(f"grant select on all sequences in schema {schema} to {BACKEND_ROLE}")
    pinned = {**mask_settings(bytes(range(32))), "default_transaction_read_only": "on", "statement_timeout": "20s"}
    pins = " ".join(f"-c {name}={value}" for name, value in (pinned | {"search_path": "sales,public"}).items())
    with postgres.connect(BACKEND_ROLE, database=DATABASE, options=pins) as connection:
        yield connection


@pytest.fixture(scope="module")
def view(rich: psycopg.Connection[Any]) -> View:
    catalog = load_catalog(lambda sql: rich.execute(sql).fetchall())
    assert [one for one in check_against(POLICY_OF_RICH, catalog) if one.severity == "error"] == []
    return View(POLICY_OF_RICH, catalog, ("42",), search_path=POLICY_OF_RICH.schemas)


def asked() -> list[dict[str, Any]]:
    found = []
    for path in sorted(CLIENTS.glob("*.yaml")):
        for number, case in enumerate(YAML(typ="safe").load(path), 1):
            found.append({"id": f"{path.stem}-{number}", **case})
    return found


def captures() -> list[dict[str, Any]]:
    attacks = YAML(typ="safe").load(CLIENTS.parent / "attacks" / "sql_catalogs.yaml")
    return [attack for attack in attacks if attack["id"].startswith("capture-")]


def oids(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """The numbers that a statement of the corpus may name, as `{sales.orders}` or `{schema.sales}`."""
    rows = connection.execute(
        "select n.nspname || '.' || c.relname, c.oid::int from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " union all select 'database.' || datname, oid::int from pg_database"
        " union all select 'schema.' || nspname, oid::int from pg_namespace"
        " union all select 'constraint.' || conname, oid::int from pg_constraint"
    )
    return dict(rows.fetchall())


def rows(connection: psycopg.Connection[Any], view: View, sql: str) -> list[tuple[Any, ...]]:
    answer = analyse(sql, view)
    assert isinstance(answer, Plan), answer
    return connection.execute(answer.rewritten.encode()).fetchall()


@pytest.mark.parametrize("case", [case for case in asked() if "refused" not in case], ids=lambda case: case["id"])
def test_what_a_client_asks_is_answered_without_anything_hidden(
    rich: psycopg.Connection[Any], view: View, case: dict[str, Any]
) -> None:
    numbers = oids(rich)
    sql = re.sub(r"\{(\w+\.[^}]+)\}", lambda match: str(numbers[match[1]]), case["sql"])

    answer = analyse(sql, view)

    assert isinstance(answer, Plan), answer
    if answer.parts != 1 or answer.kinds[0] != "read":
        return
    raw = rich.pgconn
    prepared = raw.prepare(b"", answer.rewritten.encode())
    if "fails" in case:
        assert prepared.error_field(pq.DiagnosticField.SQLSTATE) == case["fails"].encode()
        return
    assert prepared.status != pq.ExecStatus.FATAL_ERROR, prepared.error_message
    nulls: list[Any] = [None] * raw.describe_prepared(b"").nparams
    result = raw.exec_prepared(b"", nulls)
    assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
    cells = [result.get_value(row, column) or b"" for row in range(result.ntuples) for column in range(result.nfields)]
    assert CANARY.findall(b"\n".join(cells)) == []


@pytest.mark.parametrize("case", [case for case in asked() if "refused" in case], ids=lambda case: case["why"])
def test_what_a_client_rightly_gets_an_error_for(view: View, case: dict[str, Any]) -> None:
    answer = analyse(case["sql"], view)

    assert isinstance(answer, Refusal), case["why"]
    assert answer.code == case["refused"]


@pytest.mark.parametrize("name", sorted({*catalogs.SYSTEMS, *catalogs.EMPTY}))
def test_no_column_of_a_catalog_that_is_shown_has_anything_hidden(
    rich: psycopg.Connection[Any], view: View, name: str
) -> None:
    if rich.execute("select to_regclass(%s)", [name]).fetchone() == (None,):
        pytest.skip("this server has no such catalog")
    for sql in (f"select * from {name}", f"select x::text from {name} x"):
        shown = "\n".join(map(str, rows(rich, view, sql)))

        assert CANARY.findall(shown.encode()) == []


def test_a_star_of_a_catalog_shows_no_system_column(rich: psycopg.Connection[Any], view: View) -> None:
    for name in ("pg_type", "pg_trigger"):
        star = analyse(f"select * from {name}", view)
        named = analyse(f"select tableoid, xmin from {name}", view)
        assert isinstance(star, Plan)
        assert isinstance(named, Plan)

        columns = [column.name for column in rich.execute(star.rewritten.encode()).description or ()]

        assert {"tableoid", "xmin"}.isdisjoint(columns)
        assert {number for _, number in rich.execute(named.rewritten.encode()).fetchall()} <= {"0"}


AS_IF = [
    ("a parent whose only child is hidden", "select relhassubclass from pg_class where relname = 'childless'", [(False,)]),
    ("a table whose only index is hidden", "select relhasindex from pg_class where relname = 'childless'", [(False,)]),
    ("a table with a trigger and keys", "select relhastriggers from pg_class where relname = 'orders'", [(True,)]),
    ("a table with a trigger alone", "select relhastriggers from pg_class where relname = 'guarded'", [(False,)]),
    ("row level security", "select relrowsecurity from pg_class where relname = 'guarded'", [(False,)]),
    ("keys to and from hidden tables", "select conname::text from pg_constraint where contype = 'f' and conrelid = 'orders'::regclass", [("orders_account_fkey",)]),
    ("checks", "select count(*) from pg_constraint where contype in ('c', 'x') and conrelid = 'orders'::regclass", [(0,)]),
    ("indexes of hidden columns, expressions and conditions", "select relname::text from pg_class where relname like 'orders\\_%' and relkind = 'i' order by 1", [("orders_account_number_key",), ("orders_hash",), ("orders_overlap",), ("orders_pkey",), ("orders_quantity",)]),
    ("a hidden partition", "select relid::regclass::text, level from pg_partition_tree('events') order by level, 1", [("events", 0), ("events_2025", 1), ("events_2026", 1), ("events_2026_h1", 2)]),
    ("a partition tree of something hidden", "select count(*) from pg_partition_tree('secret_ledger')", [(0,)]),
    ("of something that never was", "select count(*) from pg_partition_tree('nothing')", [(0,)]),
    ("ancestors", "select a.relid::regclass::text, n from pg_partition_ancestors('events_2026_h1') with ordinality as a(relid, n)", [("events_2026_h1", 1), ("events_2026", 2), ("events", 3)]),
    ("ancestors by a column", "select c.relname::text, count(*) from pg_class c, pg_partition_ancestors(c.oid) a where c.relname like 'events_2%' and relkind in ('r', 'p') group by 1 order by 1", [("events_2025", 2), ("events_2026", 2), ("events_2026_h1", 3)]),
    ("the key of partitions", "select pg_get_partkeydef('events'::regclass)", [("RANGE (at)",)]),
    ("bounds of partitions", "select count(pg_get_expr(relpartbound, oid)) from pg_class", [(0,)]),
    ("attributes of a composite type", "select attname::text from pg_attribute a join pg_class c on c.oid = attrelid where relkind = 'c' order by attnum", [("street",), ("town",)]),
    ("the definition of a view", "select count(pg_get_viewdef(oid)) from pg_class", [(0,)]),
    ("sequences", "select count(*) from pg_class where relkind = 'S'", [(0,)]),
    ("functions of the target", "select proname::text from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname = 'sales'", [("slugify",)]),
    ("types of the target", "select typname::text from pg_type t join pg_namespace n on n.oid = typnamespace where nspname = 'sales' and typtype in ('e', 'd') order by 1", [("mood",), ("phone_no",)]),
    ("schemas", "select nspname::text from pg_namespace order by 1", [("information_schema",), ("pg_catalog",), ("public",), ("sales",)]),
    ("configurations of text search", "select count(*) from pg_ts_config where oid >= 16384", [(0,)]),
    ("comparing types", "select count(*) > 0 from pg_proc where prorettype::regtype = 'trigger'::regtype", [(True,)]),
    ("names of types", "select proargtypes::regtype[]::text[] from pg_proc where proname = 'starts_with'", [(["text", "text"],)]),
    ("names of relations in a column", "select count(*) from pg_attribute a join information_schema.tables t on a.attrelid = t.table_name::regclass where t.table_name = 'orders' and attnum > 0", [(7,)]),
    ("names of types in a column", "select distinct udt_name::regtype from information_schema.columns where table_name = 'order_lines' order by 1", [("integer",), ("smallint",), ("text",)]),
    ("names that are put together", "select count(*) from information_schema.tables t join pg_class c on c.oid = format('%I.%I', table_schema, table_name)::regclass where table_schema = 'sales' and table_name in ('orders', 'Client Accounts')", [(2,)]),
    ("names of hidden relations", "select n::text from (values ('secret_ledger'), ('never'), ('orders')) x(relname), lateral (select x.relname::regclass is not null as n) y order by 1", [("false",), ("false",), ("true",)]),
    ("privileges", "select has_table_privilege('orders', 'select'), has_table_privilege('orders', 'insert'), has_table_privilege('never', 'select, insert'), has_schema_privilege('sales', 'usage')", [(True, False, True, True)]),
    ("listings", "select (select count(*) from pg_show_all_settings()) = (select count(*) from pg_settings), (select count(*) from pg_available_extensions())", [(True, 0)]),
    ("arrays side by side", "select * from unnest(array[1, 2], array['a']) with ordinality as u(n, t, o)", [(1, "a", 1), (2, None, 2)]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "sql", "shown"), AS_IF, ids=[what for what, _, _ in AS_IF])
def test_the_catalog_is_as_if_nothing_hidden_existed(
    rich: psycopg.Connection[Any], view: View, what: str, sql: str, shown: list[tuple[Any, ...]]
) -> None:
    assert rows(rich, view, sql) == shown, what


@pytest.mark.parametrize("attack", captures(), ids=lambda attack: attack["id"])
def test_no_name_of_a_guard_is_captured(rich: psycopg.Connection[Any], view: View, attack: dict[str, Any]) -> None:
    shown = str(rows(rich, view, attack["sql"]))

    assert CANARY.findall(shown.encode()) == []


def test_a_hidden_partition_has_no_ancestors(rich: psycopg.Connection[Any], view: View) -> None:
    hidden = oids(rich)["sales.events_secret_rest"]
    sql = "select f.relid from (select {}::oid) as {}, pg_partition_ancestors({}) f"

    for alias, name in (
        ("g(relid)", "relid"),
        ("p(relid)", "p.relid"),
        ("q(asked)", "q.asked"),
        ("a(relid)", "a.relid"),
    ):
        assert rows(rich, view, sql.format(hidden, alias, name)) == []


@pytest.mark.parametrize(
    ("catalog", "shown"),
    [
        ("table_constraints", [("Client Accounts",)]),
        ("key_column_usage", [("Client Accounts",)]),
        ("constraint_column_usage", []),
    ],
)
def test_a_hidden_key_with_the_name_of_a_shown_one_is_hidden(
    postgres: EmbeddedPostgres, view: View, catalog: str, shown: list[tuple[Any, ...]]
) -> None:
    """As the owner, because these views show others only what they may write."""
    sql = f"select table_name::text from information_schema.{catalog} where constraint_name = 'Client Accounts_region_fkey'"
    with postgres.connect(database=DATABASE) as owner:
        assert len(owner.execute(sql.encode()).fetchall()) == 2

        assert rows(owner, view, sql) == shown


@pytest.mark.parametrize("name", ["sales.secret_search", "secret_hr.nothing", "nothing", "16400"])
@pytest.mark.parametrize(
    "call",
    ["to_tsvector('{}', 'x')", "to_tsquery('{}', 'x')", "ts_headline('{}', 'x', 'x'::tsquery)", "to_tsvector('{}'::regconfig, 'x')"],
)  # fmt: skip
def test_a_name_of_a_configuration_of_text_search_is_not_looked_up(view: View, call: str, name: str) -> None:
    assert isinstance(analyse("select " + call.format(name), view), Refusal)


@pytest.mark.parametrize(
    "call", ["to_tsvector('english', 'cats')", "to_tsvector('simple'::regconfig, 'cats')", "to_tsvector('cats')"]
)
def test_text_search_works_with_what_postgresql_brings(rich: psycopg.Connection[Any], view: View, call: str) -> None:
    assert "cat" in rows(rich, view, f"select {call}::text")[0][0]


def test_citext_keeps_its_type_and_its_mind_about_case(rich: psycopg.Connection[Any], view: View) -> None:
    answer = analyse('select mail, pg_typeof(mail) from "Client Accounts"', view)
    assert isinstance(answer, Plan)
    mails = rich.execute(answer.rewritten.encode()).fetchall()

    assert {kind for _, kind in mails} == {"citext"}
    assert len({mail for mail, _ in mails}) == 3
    assert all(re.fullmatch(r"[0-9a-f]{16}@X\.example", mail) for mail, _ in mails)
    for mail, _ in mails:
        found = rows(rich, view, f"select mail::text from \"Client Accounts\" where lower(mail) = '{mail.lower()}'")
        assert found == [(mail,)]


def test_an_exact_search_on_citext_minds_no_case(rich: psycopg.Connection[Any], view: View) -> None:
    asked_for = 'select "Full Name" from "Client Accounts" where mail = \'{}\''

    assert len(rows(rich, view, asked_for.format("mail1@x.EXAMPLE"))) == 1
    assert len(rows(rich, view, asked_for.format("mail9@x.EXAMPLE"))) == 0


@pytest.mark.parametrize("call", ["replace(mail, 'a', 'b')", "strpos(coalesce(mail, 'x'), 'A')", "min(mail)"])
def test_a_function_that_would_mind_case_is_refused_for_citext(view: View, call: str) -> None:
    refused = analyse(f'select {call} from "Client Accounts"', view)

    assert isinstance(refused, Refusal)
    assert "::text" in refused.hint


def test_names_with_spaces_and_capitals_are_read_like_all_others(rich: psycopg.Connection[Any], view: View) -> None:
    sql = 'select "Customer", "Full Name" from sales."Client Accounts" c where c."Customer" = 42 group by 1, 2'

    assert {customer for customer, _ in rows(rich, view, sql)} == {42}


@pytest.mark.parametrize(
    "table", ["regions", '"Client Accounts"', "orders", "order_lines", "events", "events_2026", "events_2026_h1", "people",
              "staff", "visits", "guarded", "recent", "totals", "childless"],
)  # fmt: skip
def test_every_relation_can_be_read_and_shows_the_customer_alone(
    rich: psycopg.Connection[Any], view: View, table: str
) -> None:
    shown = rows(rich, view, f"select x::text from {table} x")

    assert CANARY.findall(str(shown).encode()) == []


@pytest.fixture(scope="module")
def rich_house(
    postgres: EmbeddedPostgres, rich: psycopg.Connection[Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    settings = {"targets": {"payroll": {"database": DATABASE}}}
    with open_house(tmp_path_factory.mktemp("rich"), postgres, settings=settings, policy=POLICY) as house:
        yield house


@pytest.mark.parametrize("name", ["childless", "people", "orders", "guarded", "visits", "totals", "events", "recent"])
def test_no_plan_names_what_inherits_from_what_is_shown(rich: psycopg.Connection[Any], view: View, name: str) -> None:
    answer = analyse(f"explain select * from sales.{name}", view)

    if isinstance(answer, Plan):
        shown = str(rich.execute(answer.rewritten).fetchall()).encode()
        assert not CANARY.search(shown.replace(b"secret_owner", b"")), shown
    else:
        assert answer.code == "statement-not-allowed"


def test_grouping_by_a_primary_key_alone_is_told_what_to_write(rich_house: House) -> None:
    with rich_house.connect() as connection:
        with pytest.raises(psycopg.errors.GroupingError) as caught:
            connection.execute("select id, quantity from orders group by id")
        told = caught.value.diag.message_hint or ""
        assert "name each selected column in GROUP BY" in told

        assert len(connection.execute("select id, quantity from orders group by id, quantity").fetchall()) == 3


COMMANDS = r"""
    \d|\d+|\dt+|\di+|\ds+|\dv+|\dm+|\dE+|\dn+|\df|\df+ sales.*|\da+ sales.*|\dT+|\dD+|\dd|\dp|\z|\ddp|\du+|\dg|\drds|\dx|
    \dx+ citext|\l+|\db+|\dc+|\dC+|\do+ sales.*|\dO+|\dF+ english|\dFd+|\dFp+|\dFt+|\dy+|\dP+|\dPn+|\dPi+|\dA+|
    \dAc+ btree|\dAf+ btree|\dAo+ btree|\dAp+ btree|\des+|\det+|\deu+|\dew+|\dL+|\dl|\dX|\dRp+|\dRs+|\dconfig+|\conninfo|
    \d sales.regions|\d+ "Client Accounts"|\d+ orders|\d+ order_lines|\d+ events|\d+ events_2025|\d+ events_2026|
    \d+ events_2026_h1|\d+ people|\d+ staff|\d+ visits|\d+ guarded|\d+ recent|\d+ totals|\d+ orders_quantity|\d+ events_at|
    \d *.or*|\sv recent|\d secret_ledger|\d orders_secret_margin|\d secret_hr.*
"""


def test_psql_describes_everything_that_is_shown_and_nothing_else(rich_house: House) -> None:
    program = find_psql()
    assert program is not None
    parameters = rich_house.parameters()
    secret = parameters.pop("password")
    commands = [one.strip() for one in COMMANDS.split("|")]
    script = "\n".join(f"\\echo >>> {number}\n{command}" for number, command in enumerate(commands))

    done = subprocess.run(
        [program, "-X", "-w", make_conninfo("", **parameters)],
        input=script, capture_output=True, text=True, check=False, timeout=120,
        env={**bare_environment(), "PGPASSWORD": secret},
    )  # fmt: skip

    missing = {f'Did not find any relation named "{name}".' for name in ("secret_ledger", "orders_secret_margin")}
    told = done.stderr.splitlines()
    assert [line for line in told if not line.startswith("Did not find any ")] == []
    assert {line for line in told if CANARY.search(line.encode())} == missing | {
        'Did not find any relation named "secret_hr.*".'
    }
    assert CANARY.findall(done.stdout.encode()) == []
    answers = dict(zip(commands, re.split(r">>> \d+\n", done.stdout)[1:], strict=True))
    assert "Partition key: RANGE (at)" in answers["\\d+ events"]
    assert "Partitions: events_2025" in answers["\\d+ events"]
    assert 'FOREIGN KEY (account) REFERENCES "Client Accounts"(id)' in answers["\\d+ orders"]
    assert 'TABLE "order_lines" CONSTRAINT' in answers["\\d+ orders"]
    assert "ledger_fkey" not in answers["\\d+ orders"]
