# ruff: noqa: E501 - a query reads best on one line
"""Every permitted attack against a real server whose hidden and foreign cells are canaries, and the two-database oracle.

The first database holds the truth. The copy holds only what the view shows: rows of the one customer, columns of the
policy, values masked in Python. A query must say the same about both: rewritten on the truth, as written on the copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import pq
from two_databases import cases, fill, results

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.policy.load import parse_policy
from gateway.sql.postgres import analyse, catalogs, functions, load_catalog, types
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

KEY = bytes(range(32))
CANARY = re.compile(rb"canary|secret_|638291|990007|SECRET|36373435|5c5d5e5f", re.IGNORECASE)
"""What no client may see; the last two begin the mask's key as the session holds it."""

POLICY = """
target: leaks
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  approvers: {teams: [security], count: 1}
limits: {exact_searches_per_hour: 60}
tables:
  public.companies:
    scope: id = ticket.customer
    columns: {id: clear, name: clear, plan: clear}
  public.employees:
    scope: company_id = ticket.customer
    columns:
      id: clear
      name: {mask: pseudonym, domain: last_name}
      email: {mask: email, search: exact}
      salary: {mask: bucket, size: 10000}
      status: clear
      mood: clear
  public.payslips:
    scope: employee_id in public.employees.id
    columns: {id: clear, employee_id: clear, net: {mask: 'null'}, period: {mask: year}, bonus: clear}
  public.countries:
    scope: none
    columns: {code: clear, label: clear}
functions: [public.slugify]
"""

TYPES = "create type public.mood as enum ('sad', 'happy')"
TRUTH = """
create schema other;
create table public.companies (id int primary key, name text, plan text, margin int default 990007 check (margin <> 638291));
create table public.employees (id int primary key, company_id int references companies, name text, email text unique,
    salary int, status text, notes text default 'canary-default', mood public.mood);
create table public.payslips (id bigint primary key, employee_id int references employees, net int, period date,
    bonus numeric default 1e400);
create table public.countries (code text primary key, label text);
create table public.secrets (id int primary key, word text);
create sequence public.secrets_seq;
create table other.employees (id int, name text);
create index employees_status on employees (status);
create index employees_secret_notes on employees (notes);
create index employees_secret_expression on employees ((notes || 'canary-index'));
create index employees_secret_predicate on employees (id) where salary = 638291;
alter table employees add constraint secret_check check (notes <> 'canary-check');
comment on column employees.notes is 'canary-comment';
comment on table secrets is 'canary-comment';
create view public.secret_view as select notes as secret_notes from employees;
create function public.secret_fn(text) returns text language sql as $$select 'canary-function'$$;
create function public.secret_trigger() returns trigger language plpgsql as $$begin return new; end$$;
create trigger secret_trigger before insert on employees for each row execute function secret_trigger();
create function public.lower(varchar) returns text language sql as $$select 'canary-overload'$$;
create function public.slugify(text) returns text language sql immutable as $$select pg_catalog.lower($1)$$;
create operator public.### (leftarg = int, rightarg = int, function = int4pl);
create collation public.secret_collation (locale = 'C');
create collation other.secret_collation (locale = 'C');
create type public.secret_type as enum ('canary-label');
insert into companies values (7, 'canary-company-7', 'canary-plan-7', 990007), (42, 'Acme', 'gold', 990007);
insert into countries values ('FR', 'France'), ('DE', 'Germany');
insert into employees select c * 1000 + n, c, 'canary-name-' || c, case when n = 1 then 'canary-email-' || c else 'canary-' || c || '-' || n end
    || '@x.example', case when c = 42 then 638291 else 990007 end, case when c = 7 then 'canary-status' when n % 2 = 0 then 'active' else '12' end,
    'canary-notes-' || c, case when n % 3 = 0 then 'sad' else 'happy' end::mood
    from unnest(array[7, 42]) c, generate_series(1, 6) n;
insert into payslips select e.id * 10 + m, e.id, 638291 + m, date '2026-01-01' + 31 * m, case when e.company_id = 42 then m else 1e400 end from employees e, generate_series(0, 2) m;
insert into payslips values (9999999999, 7001, 638291, '2026-01-01');
insert into secrets values (1, 'canary-word');
insert into other.employees values (1, 'canary-other');
analyze;
"""


@pytest.fixture(scope="module")
def policy() -> Any:
    return parse_policy(POLICY)


@pytest.fixture(scope="module")
def truth(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the backend role to the database with the canaries, settings pinned as the gateway pins them."""
    postgres.sql("drop database if exists leaks")
    postgres.sql("create database leaks")
    with postgres.connect(database="leaks") as owner:
        owner.execute(TYPES)
        owner.execute(TRUTH)
        owner.execute(f"grant usage on schema public, other to {BACKEND_ROLE}")
        owner.execute(f"grant select on all tables in schema public, other to {BACKEND_ROLE}")
    options = {**mask_settings(KEY), "default_transaction_read_only": "on", "statement_timeout": "10s"}
    pins = " ".join(f"-c {name}={value}" for name, value in options.items())
    with postgres.connect(BACKEND_ROLE, database="leaks", options=pins) as connection:
        yield connection


@pytest.fixture(scope="module")
def view(truth: psycopg.Connection[Any], policy: Any) -> View:
    catalog = load_catalog(lambda sql: truth.execute(sql).fetchall())
    return View(policy, catalog, ("42",))


@pytest.fixture(scope="module")
def copy(postgres: EmbeddedPostgres, truth: psycopg.Connection[Any], view: View) -> Iterator[psycopg.Connection[Any]]:
    """The database that holds nothing but what the view shows, made without the rewriting."""
    postgres.sql("drop database if exists leaks_copy")
    postgres.sql("create database leaks_copy")
    with postgres.connect(database="leaks_copy") as connection:
        connection.execute(TYPES)
        connection.execute(
            "create function public.slugify(text) returns text language sql as $$select pg_catalog.lower($1)$$"
        )
        rows = {
            "companies": "id = 42",
            "employees": "company_id = 42",
            "payslips": "employee_id in (select id from employees where company_id = 42)",
            "countries": "true",
        }
        fill(connection, truth, view, KEY, rows)
        yield connection


def everything(connection: psycopg.Connection[Any], sql: str) -> bytes:
    """All bytes of all results of a text, in the simple protocol; errors count only by their SQLSTATE, as clients see them."""
    raw = connection.pgconn
    raw.send_query(sql.encode())
    seen = bytearray()
    while (result := raw.get_result()) is not None:
        if result.status == pq.ExecStatus.COPY_OUT:
            while True:
                size, data = raw.get_copy_data(0)
                if size <= 0:
                    break
                seen += bytes(data)
            continue
        if result.status == pq.ExecStatus.FATAL_ERROR:
            seen += b"\n" + (result.error_field(pq.DiagnosticField.SQLSTATE) or b"") + b"\n"
            continue
        for column in range(result.nfields):
            seen += (result.fname(column) or b"") + b"\n"
        for row in range(result.ntuples):
            for column in range(result.nfields):
                seen += (result.get_value(row, column) or b"") + b"\n"
    return bytes(seen)


@pytest.mark.parametrize("attack", cases("attacks"), ids=lambda attack: attack["id"])
def test_no_attack_brings_a_canary_back(truth: psycopg.Connection[Any], view: View, attack: dict[str, Any]) -> None:
    answer = analyse(attack["sql"], view)
    if not isinstance(answer, Plan):
        assert answer.code == attack["expect"] or attack["expect"] == "no-leak"
        return
    before = everything(truth, answer.rewritten)
    truth.execute("rollback") if truth.info.transaction_status != pq.TransactionStatus.IDLE else None

    # The text of a literal that the person wrote may come back; nothing else may.
    written = set(CANARY.findall(attack["sql"].encode()))
    found = [match for match in CANARY.findall(before) if match not in written]

    assert not found, before[:2000]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("employees", True),
        ("public.employees", True),
        ("pg_catalog.pg_class", True),
        ("secrets", False),
        ("other.employees", False),
        ("nothing", False),
        ('"secrets"', False),
    ],
)
def test_a_bound_name_of_a_relation_is_looked_up_only_when_it_is_shown(
    truth: psycopg.Connection[Any], view: View, name: str, known: bool
) -> None:
    answer = analyse("select cast($1 as regclass) is not null", view)
    assert isinstance(answer, Plan)

    assert psycopg.RawCursor(truth).execute(answer.rewritten, [name]).fetchone() == (known,)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("default_table_access_method", True),
        ("gateway.mask_inner", False),
        ("Gateway.Mask_Inner", False),
        ("data_directory", False),
    ],
)
def test_a_bound_name_of_a_setting_is_read_only_when_it_may_be(
    truth: psycopg.Connection[Any], view: View, name: str, known: bool
) -> None:
    answer = analyse("select current_setting($1) is not null", view)
    assert isinstance(answer, Plan)

    assert psycopg.RawCursor(truth).execute(answer.rewritten, [name]).fetchone() == (known,)


def test_an_error_says_nothing_about_rows_outside_the_scope(truth: psycopg.Connection[Any], view: View) -> None:
    quiet = analyse("select id from employees where 1 / (id - 7001) > 5", view)
    loud = analyse("select id from employees where 1 / (id - 42001) > 5", view)
    assert isinstance(quiet, Plan)
    assert isinstance(loud, Plan)

    assert b"22012" not in everything(truth, quiet.rewritten)
    assert b"22012" in everything(truth, loud.rewritten)


FAILING = [
    ("select id from payslips where id = 5::oid", "a bigint that no oid holds"),
    ("select id from payslips where 5::oid = id", "the same from the other side"),
    ("select id from payslips where id in (5::oid, 6::oid)", "in a list"),
    ("select id from payslips where id between 5::oid and 6::oid", "in a range"),
    ("select id from payslips where id = any('{5}'::oid[])", "in an array"),
    ("select id from payslips where bonus = 5::float8", "a numeric that no double holds"),
    ("select id from payslips where bonus < 5::float4", "a numeric that no float holds"),
    (
        "prepare p(oid) as select id from payslips where id = $1; execute p(5); deallocate p",
        "a parameter of such a type",
    ),
    (
        "prepare p(float8) as select id from payslips where bonus = $1; execute p(5); deallocate p",
        "the same for numeric",
    ),
]


@pytest.mark.parametrize(("sql", "why"), FAILING, ids=[why for _, why in FAILING])
def test_a_condition_that_can_fail_is_not_evaluated_on_rows_outside_the_scope(
    truth: psycopg.Connection[Any], view: View, sql: str, why: str
) -> None:
    answer = analyse(sql, view)
    assert isinstance(answer, Plan)

    assert b"22003" not in everything(truth, answer.rewritten), why


def test_a_cast_of_a_parameter_is_not_evaluated_on_rows_outside_the_scope(
    truth: psycopg.Connection[Any], view: View
) -> None:
    """In a generic plan the cast is run for each row that passes the conditions before it."""
    sql = "prepare p(text) as select id from payslips where employee_id = 7001 and id = $1::int8"
    answer = analyse(sql, view)
    assert isinstance(answer, Plan)

    seen = everything(
        truth, f"set plan_cache_mode = force_generic_plan; {answer.rewritten}; execute p('x'); deallocate p"
    )
    truth.execute("reset all")
    truth.execute("deallocate all")

    assert b"22P02" not in seen


def test_an_exact_search_finds_the_customers_row_and_no_other(truth: psycopg.Connection[Any], view: View) -> None:
    mine = analyse("select id from employees where email = 'canary-email-42@x.example'", view)
    other = analyse("select id from employees where email = 'canary-email-7@x.example'", view)
    assert isinstance(mine, Plan)
    assert isinstance(other, Plan)

    assert truth.execute(mine.rewritten).fetchall() == [(42001,)]
    assert truth.execute(other.rewritten).fetchall() == []


def test_masks_without_a_key_are_null(postgres: EmbeddedPostgres, truth: psycopg.Connection[Any], view: View) -> None:
    made = analyse("select name, email from employees", view)
    assert isinstance(made, Plan)

    with postgres.connect(BACKEND_ROLE, database="leaks") as keyless:
        assert set(keyless.execute(made.rewritten).fetchall()) == {(None, None)}


NAMING = "('regclass'::regtype, 'regtype'::regtype, 'regproc'::regtype, 'regprocedure'::regtype, 'regoper'::regtype, \
'regoperator'::regtype, 'regnamespace'::regtype, 'regrole'::regtype, 'regcollation'::regtype)"


@pytest.mark.parametrize("name", sorted({*catalogs.SYSTEMS, *catalogs.EMPTY}))
def test_no_catalog_column_that_is_shown_has_a_type_that_looks_names_up(
    truth: psycopg.Connection[Any], view: View, name: str
) -> None:
    answer = analyse(f"select * from {name}", view)
    assert isinstance(answer, Plan), answer

    shown = truth.execute(answer.rewritten).description or ()

    naming = {
        row[0] for row in truth.execute(f"select oid::int from pg_type where oid in {NAMING} or typelem in {NAMING}")
    }
    assert [column.name for column in shown if column.type_code in naming] == []


def test_no_allowed_function_takes_or_returns_a_type_that_looks_names_up(truth: psycopg.Connection[Any]) -> None:
    rows = truth.execute(
        f"select distinct p.proname from pg_proc p where pronamespace = 'pg_catalog'::regnamespace and proname = any(%s)"
        f" and (prorettype in {NAMING} or exists (select from unnest(proargtypes) a where a in {NAMING}))",
        [sorted(functions.ALLOWED)],
    ).fetchall()

    assert {row[0] for row in rows} - HARMLESS == set()


def test_every_allowed_function_neither_writes_nor_is_the_targets(truth: psycopg.Connection[Any]) -> None:
    """No allowed name is that of a procedure, or of a function that PostgreSQL keeps from ordinary roles."""
    rows = truth.execute(
        "select distinct proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proname = any(%s)"
        " and (prokind = 'p' or proacl is not null)",
        [sorted(functions.ALLOWED)],
    ).fetchall()

    assert rows == []


# Casts in call form, which take a catalog-naming value and never a name.
HARMLESS = {"text", "int8", "oid"}


ORACLE = [
    "select * from employees order by id",
    "select * from companies",
    "select count(*), min(salary), max(salary), avg(salary) from employees",
    "select name, email from employees where status = 'active' order by 1, 2",
    "select id from employees where salary > 610000 order by id",
    "select id from employees where salary = 638291",
    "select id from employees where name like 'canary%'",
    "select status, count(*) from employees group by status order by status",
    "select status, mood, count(*) from employees group by rollup (status, mood) order by 1 nulls last, 2 nulls last",
    "select e.id, p.id, p.net, p.period from employees e join payslips p on p.employee_id = e.id order by 1, 2",
    "select e.id, count(p.id) from employees e left join payslips p on p.employee_id = e.id and p.period = '2026-01-01' group by 1 order by 1",
    "select c.name, e.name from companies c cross join employees e order by 2",
    "select e.name from companies c right join employees e on c.plan = e.status order by 1",
    "select k.label, c.name from countries k full join companies c on k.code = c.plan order by 1 nulls last",
    "select id from employees where id in (select employee_id from payslips where id > 420020) order by id",
    "select id from employees e where exists (select 1 from payslips p where p.employee_id = e.id) order by id",
    "select id from employees e where not exists (select 1 from payslips p where p.employee_id = e.id and p.net is not null) order by id",
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3) select i, e.id from n join employees e on e.id = 42000 + i order by 1",
    "with employees as (select 42 as id) select id from employees",
    "with x as (select * from employees), employees as (select 1 as one) select count(*) from x, employees",
    "select id, rank() over (partition by status order by id desc) from employees order by 1",
    "select row_to_json(e)::text from employees e order by id",
    "select e::text from employees e order by e.id",
    "select a.id, b.id from employees a join employees b using (email, status) order by 1",
    "select id from employees union all select id from payslips order by 1 limit 7",
    "select id from employees except select employee_id from payslips order by 1",
    "select distinct on (status) status, id from employees order by status, id",
    "select coalesce(net, 0) + 1 from payslips order by 1",
    "select slugify(status), lower(status::varchar), upper(label) from employees, countries order by 1, 3",
    "select id from employees where mood = 'sad' order by id",
    "select string_agg(name, ',' order by id) filter (where status = '12') from employees",
    "select * from employees as e(a, b, c) order by a",
    "select a, b, g from (employees e join companies c on c.id = 42) as j(a, b, c, d, e, f, g) order by a",
    "select row_to_json(j)::text from (countries k cross join companies c) as j order by 1",
    "select public.companies.* from public.companies",
    "select x.id, g from (select id from employees order by id limit 2) x, lateral generate_series(1, 2) g order by 1, 2",
    "select (select max(p.id) from payslips p where p.employee_id = e.id) from employees e order by 1",
    "table countries order by code",
    "select id from employees where status in ('active', 'x') and id between 42001 and 42004 order by id",
    "select extract(year from period), count(*) from payslips group by 1",
    "select now() is not null, current_date is not null, 1 + 1, 'a' || 'b', array[1, 2], interval '1 day'",
    "select case when salary > 0 then 'some' else 'none' end, count(*) from employees group by 1",
    "select public.employees.id from public.employees order by public.employees.id",
    "select trim(both ' ' from ' x '), substring('abc' from 2), position('b' in 'abc'), overlay('abc' placing 'x' from 2)",
]


@pytest.mark.parametrize("sql", ORACLE)
def test_the_truth_rewritten_says_what_the_copy_says(
    truth: psycopg.Connection[Any], copy: psycopg.Connection[Any], view: View, sql: str
) -> None:
    answer = analyse(sql, view)
    assert isinstance(answer, Plan), answer

    assert results(truth, answer.rewritten) == results(copy, sql)


@pytest.mark.parametrize(
    "case", [case for case in cases("sql") if "rewritten" in case], ids=lambda case: case["sql"][:50]
)
def test_what_the_corpus_permits_is_sql_that_the_server_takes(
    truth: psycopg.Connection[Any], view: View, case: dict[str, Any]
) -> None:
    answer = analyse(case["sql"], view)
    assert isinstance(answer, Plan), answer

    raw = truth.pgconn
    result = raw.prepare(b"", answer.rewritten.encode()) if answer.parts == 1 else None

    missing = {b"42703", b"42702", b"34000", b"26000"}  # hidden or ambiguous column, unknown cursor or statement
    if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
        assert result.error_field(pq.DiagnosticField.SQLSTATE) in missing, result.error_message


def test_the_oids_of_types_that_look_names_up_are_the_servers(truth: psycopg.Connection[Any]) -> None:
    names = ["regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regnamespace", "regrole"]
    names += ["regcollation", "regconfig", "regdictionary"]

    rows = truth.execute("select oid::int, typarray::int from pg_type where typname = any(%s)", [names]).fetchall()

    assert {oid for row in rows for oid in row} == types.NAMING_OIDS


def test_the_oids_that_a_parameter_may_be_declared_to_be_are_those_of_plain_types(
    truth: psycopg.Connection[Any],
) -> None:
    names = sorted(types.BUILT_IN - {"oid", "record", "anyarray", "void", "unknown", "oidvector"} | {"xml"})
    rows = truth.execute("select oid::int, typarray::int from pg_type where typname = any(%s)", [names]).fetchall()
    plain = {oid for row in rows for oid in row}

    asked = tuple(range(1, 20_000))

    assert {oid for oid in types.declared(asked) if oid} == plain
