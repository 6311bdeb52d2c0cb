"""What is hidden does not matter: two databases that differ in what is hidden alone answer alike.

The second database is a copy of the first, in which other customers' rows, hidden columns, hidden relations and what
the catalog says of them were changed, added and taken away. Every permitted statement of every corpus must return
the same from both: rows, names, errors.

Not compared are plans, whose shapes depend on all rows (DESIGN.md, "What is not promised"), the order of rows that
nothing orders, and clocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from test_sql_leaks import KEY, ORACLE, POLICY, TRUTH, TYPES, cases, everything

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.policy.load import parse_policy
from gateway.sql.postgres import analyse, load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

NAMES = ("hidden_one", "hidden_two")
_VARIES = re.compile(
    r"\bexplain\b|\bnow\b|localtime|current_time|timestamp\(|\bage\b|random|pg_backend_pid", re.IGNORECASE
)
_SOME_ROWS = re.compile(r"(?!.*order by).*\blimit\b.*", re.IGNORECASE | re.DOTALL)

HIDDEN = """
update employees set notes = 'canary-changed-' || id;
update employees set salary = salary + 1, name = 'canary-changed-' || id, email = 'canary-changed-' || id,
    status = 'canary-changed', mood = 'sad' where company_id = 7;
insert into employees select 7000 + n, 7, 'canary', 'canary-new-' || n, 5, 'active', 'canary', 'sad'
    from generate_series(20, 2000) n;
update companies set margin = 12;
insert into companies select n, 'canary-' || n, 'gold', 7 from generate_series(100, 300) n;
insert into payslips select 88000000 + n, 7020 + n, n, '2020-01-01', 1e300 from generate_series(1, 1000) n;
delete from payslips where id = 9999999999;
insert into secrets select n, 'canary' from generate_series(2, 3000) n;
delete from other.employees;
select setval('secrets_seq', 990007);
comment on column employees.notes is 'canary-changed';
comment on table employees is null;
alter table employees drop constraint secret_check;
alter table employees alter column notes set default 'canary-changed';
alter table employees alter column notes set not null;
drop index employees_secret_predicate;
create table secret_more (id int references employees, word text);
create table secret_child (word text) inherits (countries);
create index secret_more_index on employees (notes, salary);
create view secret_more_view as select * from secrets;
create function secret_more_fn(int) returns int language sql as 'select 1';
create type secret_more_type as enum ('canary-more');
create schema secret_more_schema;
create statistics secret_more_statistics on notes, salary from employees;
grant select on secret_more, secret_child, secret_more_view to gateway_ro;
analyze;
"""


@pytest.fixture(scope="module")
def pair(postgres: EmbeddedPostgres) -> Iterator[list[tuple[psycopg.Connection[Any], View, bytes]]]:
    """Connections of the backend role to both databases, with what the gateway knows of each and its oid."""
    for name in NAMES:
        postgres.sql(f"drop database if exists {name}")
    postgres.sql(f"create database {NAMES[0]}")
    with postgres.connect(database=NAMES[0]) as owner:
        owner.execute(TYPES)
        owner.execute(TRUTH)
        owner.execute(f"grant usage on schema public, other to {BACKEND_ROLE}")
        owner.execute(f"grant select on all tables in schema public, other to {BACKEND_ROLE}")
    postgres.sql(f"create database {NAMES[1]} template {NAMES[0]}")
    with postgres.connect(database=NAMES[1]) as owner:
        owner.execute(HIDDEN)
    options = {**mask_settings(KEY), "default_transaction_read_only": "on", "statement_timeout": "10s"}
    pins = " ".join(f"-c {name}={value}" for name, value in options.items())
    found = []
    for name in NAMES:
        connection = postgres.connect(BACKEND_ROLE, database=name, options=pins)
        catalog = load_catalog(lambda sql, asked=connection: asked.execute(sql).fetchall())
        oid = connection.execute("select oid from pg_database where datname = current_database()").fetchall()[0][0]
        found.append((connection, View(parse_policy(POLICY), catalog, ("42",)), str(oid).encode()))
    yield found
    for connection, _, _ in found:
        connection.close()


def texts() -> list[str]:
    found = [case["sql"] for folder in ("attacks", "sql", "clients") for case in cases(folder)] + ORACLE
    return [text for text in found if not _VARIES.search(text) and not _SOME_ROWS.fullmatch(text)]


def said(connection: psycopg.Connection[Any], view: View, oid: bytes, name: str, text: str) -> object:
    """All that a client could learn, whichever database it was asked of."""
    answer = analyse(text, view)
    if not isinstance(answer, Plan):
        return answer.code, answer.message, answer.hint, answer.position
    seen = everything(connection, answer.rewritten).replace(name.encode(), b"here")
    everything(connection, "rollback; deallocate all; close all; reset all")
    own = oid if "database" in text else b""
    return sorted(b"oid" if line == own else line for line in seen.split(b"\n"))


def test_what_is_hidden_changes_nothing_that_a_client_can_see(
    pair: list[tuple[psycopg.Connection[Any], View, bytes]],
) -> None:
    different = []
    asked = texts()
    for text in asked:
        one, other = (
            said(connection, view, oid, name, text) for (connection, view, oid), name in zip(pair, NAMES, strict=True)
        )
        if one != other:
            different.append((text, [(a, b) for a, b in zip(one, other, strict=False) if a != b][:3]))

    assert len(asked) > 1400
    assert not different, "\n".join(map(str, different[:40]))
