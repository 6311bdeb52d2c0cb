"""What a real catalog says of a written value's company: inheritance, partitions, expressions, keys and what follows.

Each statement here was a way to read, or to change, what is not shown: by the failure of a constraint, an index or a
computed column, or by what a foreign key does beside the row that is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.demo.postgres import EmbeddedPostgres
from gateway.policy.load import parse_policy
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.statement import Plan, View

sys.path.append(str(Path(__file__).parents[1] / "unit" / "sql"))
from test_sql_writes import code_of
from write_view import POLICY as PAYROLL

SCHEMA = """
create table companies (id int primary key);
create table departments (id int primary key, company_id int, code varchar(3) unique, hidden int unique);
create table tokens (code text primary key, hidden text unique);
create table staff (
    id int primary key, company_id int, status text, visits int, wage int, phone text, dep int, code varchar(3),
    hidden int references departments (hidden), token text references tokens (hidden), ref text, boss int,
    ratio int generated always as (100 / (visits - wage)) stored,
    whose int generated always as (split_part(ref, '-', 1)::int) stored,
    check (length(phone) < 12), check (boss <> 99),
    foreign key (code) references departments (code));
create index on staff ((10 / (length(status) - wage)));
create table kids (extra int, foreign key (dep) references departments) inherits (staff);
create table notes (id int primary key, company_id int, body text, hidden text);
create function same(notes) returns bool immutable language sql as 'select $1.body = $1.hidden';
alter table notes add check (not same(notes));
create table kinds (id int, company_id int, kind text, wage int, label text) partition by list (lower(kind));
create table kinds_a partition of kinds for values in ('a');
create table spans (
    id int primary key, company_id int, place int, exclude using btree (company_id with =, place with =));
create table lines (id int, company_id int, primary key (id, company_id)) partition by list (company_id);
create table lines_42 partition of lines for values in (42);
create table lines_7 partition of lines for values in (7);
create table uses (id int primary key, company_id int, line int, line_company int, label text,
    foreign key (line, line_company) references lines);
create table pages (id int primary key, label text) partition by range (id);
create table pages_1 partition of pages for values from (0) to (100);
create table reads (id int primary key, company_id int, page int references pages);
create table projects (id int primary key, company_id int, lead int references companies on delete cascade);
create policy own on notes with check (body <> hidden);
insert into companies values (42), (7);
insert into departments values (1, 42, 'ABC', 11), (2, 7, 'XYZ', 22), (3, 42, 'AB', 33);
insert into staff (id, company_id, status, visits, wage, phone, dep, code, ref) values
    (1, 42, 'new', 3, 50, '06', 1, 'ABC', '42-a'), (2, 7, 'new', 3, 60, '07', 2, 'XYZ', '7-a');
insert into kids (id, company_id, status, visits, wage, phone, dep, ref) values (3, 42, 'kid', 3, 50, '08', 1, '42-b');
insert into pages values (1, 'p');
insert into reads values (1, 42, 1);
"""
TABLES = """
  public.companies: {scope: id = ticket.customer, columns: {id: clear}}
  public.departments: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, code: clear}}
  public.tokens: {scope: none, columns: {code: clear}}
  public.staff:
    scope: company_id = ticket.customer
    columns: {id: clear, company_id: clear, status: clear, visits: clear, phone: {mask: partial, keep_end: 2},
      dep: clear, code: clear, hidden: clear, token: clear, boss: clear}
  public.notes: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, body: clear}}
  public.kinds:
    scope: company_id = ticket.customer
    columns: {id: clear, company_id: clear, kind: clear, label: clear}
  public.spans: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, place: clear}}
  public.uses: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, line: clear, label: clear}}
  public.pages: {scope: none, columns: {id: clear, label: clear}}
  public.reads: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, page: clear}}
  public.projects: {scope: company_id = ticket.customer, columns: {id: clear, company_id: clear, lead: clear}}
"""
WRITE = """
  public.companies: {delete: true, approval: request}
  public.staff:
    {update: [status, visits, phone, dep, code, hidden, token, boss], delete: true, rows: 3, approval: request}
  public.notes: {update: [body], approval: request}
  public.kinds: {update: [kind, label], approval: request}
  public.spans: {update: [place], approval: request}
  public.uses: {update: [line, label], approval: request}
  public.reads: {update: [page], approval: request}
  public.projects: {delete: true, approval: request}
"""
POLICY = f"{PAYROLL.partition('tables:')[0]}tables:{TABLES}write:{WRITE}"


@pytest.fixture(scope="module")
def owner(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    postgres.sql("drop database if exists writes_structures")
    postgres.sql("create database writes_structures")
    with postgres.connect(database="writes_structures") as connection:
        connection.execute(SCHEMA)  # type: ignore[arg-type]
        yield connection


@pytest.fixture(scope="module")
def view(owner: psycopg.Connection[Any]) -> View:
    catalog = load_catalog(lambda sql: owner.execute(sql).fetchall())  # type: ignore[arg-type]
    return View(parse_policy(POLICY), catalog, ("42",), write=True)


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("update staff set visits = 50 where id = 1", "computed from it and from one that is not shown"),
        ("update staff set status = repeat('x', 50) where id = 1", "a constraint or an index reads it together"),
        ("update staff set hidden = 11 where id = 1", "refers to a column that is not shown"),
        ("update staff set token = 'x' where id = 1", "refers to a column that is not shown"),
        ("update notes set body = 'guess' where id = 1", "a constraint or an index reads it together"),
        ("update uses set line = 1 where id = 1", "cannot be checked to be of this customer"),
        ("delete from companies", "public.projects` would be changed with it, and they may be another customer's"),
    ],
)
def test_what_would_tell_or_change_what_is_not_shown_is_refused(view: View, sql: str, fault: str) -> None:
    answer = analyse(sql, view)

    assert not isinstance(answer, Plan)
    assert answer.code in {"column-not-writable", "read-only"}
    assert fault in answer.message


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("update staff set phone = '0612' where id = 1", ""),
        ("update staff set phone = '0123456789012345' where id = 1", "23514"),
        ("update staff set boss = 99 where id = 1", "23514"),
        ("update staff set dep = 3 where id = 3", ""),
        ("update staff set dep = 2 where id = 3", "row-out-of-scope"),
        ("update staff set dep = 9 where id = 3", "row-out-of-scope"),
        ("update staff set code = 'AB' where id = 1", ""),
        ("update staff set code = 'ABCD' where id = 1", "row-out-of-scope"),
        ("update kinds set kind = 'b' where id = 1", ""),
        ("update spans set place = 4 where id = 1", ""),
        ("update uses set label = 'x' where id = 1", ""),
        ("update reads set page = 1 where id = 1", ""),
        ("update reads set page = 2 where id = 1", "23503"),
        ("delete from staff where id = 3", ""),
    ],
)
def test_what_tells_nothing_is_written(view: View, owner: psycopg.Connection[Any], sql: str, code: str) -> None:
    answer = analyse(sql, view)
    assert isinstance(answer, Plan), answer
    found = ""
    try:
        with owner.transaction(force_rollback=True):
            owner.execute(answer.rewritten)  # type: ignore[arg-type]
    except psycopg.Error as error:
        found = code_of(error)

    assert found == code


def test_what_an_update_through_the_parent_says_of_a_child_is_known(view: View) -> None:
    catalog = view.catalog
    ends = {(one.relation, one.columns, one.other, one.partly) for one in catalog.references}

    assert ("public.staff", ("dep",), "public.departments", False) in ends
    assert ("public.reads", ("page",), "public.pages", False) in ends
    assert ("public.reads", ("page",), "public.pages_1", True) in ends
    assert ("public.kinds", ("kind",)) in catalog.checks
    assert ("public.notes", ("body", "company_id", "hidden", "id")) in catalog.checks
    assert ("public.kids", "ratio", ("visits", "wage")) in catalog.generated
    assert {one.key for one in catalog.uniques if one.relation == "public.spans"} == {("id",), ("company_id", "place")}
