"""A first policy is proposed from a real database: what it says of the demonstration's, and of the oddest ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gateway_fixture import change_yaml, merge, open_house
from rich_schema import CANARY, SCHEMA

from gateway.config import load_config
from gateway.demo.client import bare_environment
from gateway.demo.company import TARGET, write_company
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.engines.targets import read_catalog
from gateway.policy.load import load_policy
from gateway.policy.schema import Policy
from gateway.sql.fit import check_against
from gateway.sql.postgres import analyse
from gateway.sql.render import mask_settings
from gateway.sql.statement import Plan, View

HAND_MADE = load_policy(Path(__file__).parents[2] / "policies" / "payroll.yaml")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def config(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration's configuration; no gateway runs."""
    return write_company(tmp_path_factory.mktemp("house") / "company", postgres).config


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs the command line with a configuration; the exit code must be the one that is expected."""

    def run(config: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gateway", "--config", str(config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=bare_environment() | {"HOME": str(tmp_path)},
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@contextmanager
def database(
    postgres: EmbeddedPostgres, config: Path, name: str, text: str, schemas: tuple[str, ...]
) -> Iterator[Path]:
    """A database that holds what `text` creates, dropped afterwards; a configuration whose target it is."""
    postgres.sql(f"create database {name}")
    try:
        with postgres.connect(database=name) as owner:
            owner.execute(text.encode())
            for schema in schemas:
                owner.execute(f'grant usage on schema "{schema}" to {BACKEND_ROLE}'.encode())
                owner.execute(f'grant select on all tables in schema "{schema}" to {BACKEND_ROLE}'.encode())
        other = config.with_name(f"{name}.yaml")
        other.write_bytes(config.read_bytes())
        change_yaml(other, lambda tree: merge(tree, {"targets": {TARGET: {"database": name}}}))
        yield other
    finally:
        postgres.sql(f"drop database {name}")


@pytest.fixture
def proposed(config: Path, command: Command, tmp_path: Path) -> tuple[Policy, str]:
    """The policy that is proposed for the payroll database, and its text."""
    out = tmp_path / "payroll.yaml"
    command(config, "policy", "scaffold", TARGET, "--out", str(out))
    return load_policy(out), out.read_text()


def test_the_payroll_policy_is_proposed_almost_as_it_was_written_by_hand(proposed: tuple[Policy, str]) -> None:
    policy, _ = proposed
    differing = {}
    for name, table in HAND_MADE.tables.items():
        if name == "public.departments":
            continue
        assert policy.tables[name].scope == table.scope
        for column in {*table.columns, *policy.tables[name].columns}:
            by_hand, here = table.columns.get(column), policy.tables[name].columns.get(column)
            if (by_hand and by_hand.mask) != (here and here.mask):
                differing[f"{name}.{column}"] = (by_hand and by_hand.mask.kind, here and here.mask.kind)
    assert differing == {
        "public.payslips.gross": ("null", "bucket"),
        "public.payslips.net": ("null", "bucket"),
    }


def test_the_proposal_says_why_and_shows_no_value(
    proposed: tuple[Policy, str], config: Path, command: Command, postgres: EmbeddedPostgres
) -> None:
    _, text = proposed
    assert "100 % of 200 sampled values" in text
    assert "# notes: left out; text with personal data" in text
    assert "# profile: left out; structured: type `jsonb`" in text
    assert "#   scope: none" in text
    said = command(config, "policy", "scaffold", TARGET)
    as_json = command(config, "policy", "scaffold", TARGET, "--output", "json")
    everything = text + said.stdout + said.stderr + as_json.stdout + as_json.stderr
    rows = postgres.sql("select first_name, last_name, email, phone, iban, nir, notes, job_title from employees")
    held = {value for row in rows for value in row if value} - {"Paris", "Personne", "Marty"}
    assert [value for value in held if value in everything and len(value) > 5] == []


def test_json_has_the_same_and_the_files_that_were_written(config: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "first.yaml"
    found = json.loads(command(config, "policy", "scaffold", TARGET, "--out", str(out), "--output", "json").stdout)
    assert found["written"] == [str(out), str(tmp_path / "first_test.yaml")]
    assert found["customer"]["relation"] == "public.companies"
    employees = next(one for one in found["relations"] if one["relation"] == "public.employees")
    nir = next(one for one in employees["columns"] if one["column"] == "nir")
    assert (nir["mask"], nir["share"], nir["sampled"]) == ({"mask": "redact", "identifier": True}, 1.0, 200)


def test_the_proposal_and_its_cases_stand_before_the_target(config: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "payroll.yaml"
    command(config, "policy", "scaffold", TARGET, "--out", str(out))
    assert "fail" not in command(config, "policy", "check", str(out), "--target").stdout
    assert "--target judges" in command(config, "policy", "test", str(out)).stderr
    done = command(config, "policy", "test", str(out), "--target")
    assert "6 of 6 cases are as they should be" in done.stdout
    assert "--target judges" not in done.stderr


def test_the_check_lists_what_the_proposal_left_out(config: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "payroll.yaml"
    command(config, "policy", "scaffold", TARGET, "--out", str(out))
    told = command(config, "policy", "check", str(out), "--target").stdout
    for sentence in (
        "relation `public.departments` is not named in the policy, so it is hidden,"
        " with all its columns: `code`, `label`",
        "column `notes` of `public.employees` is not named in the policy, so it is hidden",
        "column `profile` of `public.employees` is not named in the policy, so it is hidden",
    ):
        assert f"info  {out}: {sentence}" in told


def test_a_gateway_runs_with_the_proposal_and_announces_what_it_hides(
    proposed: tuple[Policy, str], postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    _, text = proposed
    with open_house(tmp_path / "house", postgres, policy=text.replace("tests: payroll_test.yaml", "")) as house:
        with house.connect() as connection:
            rows = connection.execute("select first_name, email, birth_date::text, salary from employees").fetchall()
        held = {row[0] for row in house.truth("select email from employees")}
        announced = [one for one in house.records() if one["kind"] == "catalog.drift"]
    assert rows
    assert all(row[1] not in held and row[2].endswith("-01-01") and row[3] % 10_000 == 0 for row in rows)
    assert {(one["relation"], tuple(one["columns"])) for one in announced} == {
        ("public.departments", ("code", "label")),
        ("public.employees", ("notes", "profile")),
    }


def test_nothing_is_written_over(config: Path, command: Command, tmp_path: Path) -> None:
    out = tmp_path / "payroll.yaml"
    out.with_name("payroll_test.yaml").write_text("mine")
    done = command(config, "policy", "scaffold", TARGET, "--out", str(out), code=1)
    assert done.stderr.startswith("refused (request-invalid): ")
    assert "hint: " in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("nowhere",), 77, "(target-not-available)"),
        ((TARGET, "--schema", "nothing"), 1, "grant the role SELECT"),
        ((TARGET, "--customer", "public.companies.nothing"), 1, "--customer is schema.table.column"),
        ((TARGET, "--customer", "public.employees.hired_on"), 1, "an integer, a uuid or a text"),
        ((TARGET, "--out", "payroll_test.yaml"), 2, "holds cases"),
        ((TARGET, "--sample", "0"), 2, "--sample"),
    ],
)
def test_what_cannot_be_done_is_refused(
    config: Path, command: Command, arguments: tuple[str, ...], exit_code: int, words: str
) -> None:
    assert words in command(config, "policy", "scaffold", *arguments, code=exit_code).stderr


def test_a_database_of_everything_is_proposed_without_its_secrets(
    postgres: EmbeddedPostgres, config: Path, command: Command, tmp_path: Path
) -> None:
    # Roles are the whole server's, and another test makes this one.
    schema = SCHEMA.replace("secret_role", "secret_scaffold")
    try:
        with database(postgres, config, "scaffold_rich", schema, ("sales", "secret_hr")) as other:
            out = tmp_path / "rich.yaml"
            customer = "sales.Client Accounts.Customer"
            command(other, "policy", "scaffold", TARGET, "--schema", "sales", "--customer", customer, "--out", str(out))
            command(other, "policy", "check", str(out), "--target")
            command(other, "policy", "test", str(out), "--target")
            policy = load_policy(out)
            masks = {name: rule.mask.kind for name, rule in policy.tables["sales.Client Accounts"].columns.items()}
            assert masks == {
                "id": "clear", "Customer": "clear", "Full Name": "pseudonym", "region": "clear", "mail": "email",
                "tel": "partial", "m": "clear", "born": "year", "amount": "bucket", "ip": "truncate_ip", "ts": "clear",
            }  # fmt: skip
            assert policy.tables["sales.orders"].scope.other == "sales.Client Accounts"
            assert policy.tables["sales.order_lines"].scope.other == "sales.orders"
            assert [
                one for table in policy.tables.values() for one in table.columns if CANARY.search(one.encode())
            ] == []
            assert leaked(postgres, other, policy, CANARY.search) == []
    finally:
        postgres.sql("drop role if exists secret_scaffold")


def leaked(
    postgres: EmbeddedPostgres, config: Path, policy: Policy, search: Callable[[bytes], object], customer: str = "42"
) -> list[str]:
    """What `select *` of each relation shows that `search` finds; every one must be allowed and run."""
    target = load_config(config).targets[TARGET]
    catalog = read_catalog(target)
    pins = " ".join(f"-c {name}={value}" for name, value in mask_settings(bytes(range(32))).items())
    found = []
    with postgres.connect(BACKEND_ROLE, database=target.database, options=pins) as connection:
        for name in policy.tables:
            schema, _, relation = name.partition(".")
            statement = f'select * from "{schema}"."{relation}"'
            plan = analyse(statement, View(policy, catalog, (customer,), frozenset(), policy.schemas))
            assert isinstance(plan, Plan), plan
            result = connection.execute(plan.rewritten.encode()).pgresult
            assert result is not None
            places = [(row, column) for row in range(result.ntuples) for column in range(result.nfields)]
            found += [str(value) for at in places if (value := result.get_value(*at)) is not None and search(value)]
    return found


ODD = """
create schema "we ird";
create domain "we ird"."do
main" as text;
create type "we ird".mood as enum ('ok', E'bad"\n: {injected: clear}');
create table "we ird".customers (id uuid primary key, name text);
create table "we ird"."null" ("true" int primary key, "~" uuid references "we ird".customers, "#x: y" text);
create table "we ird"."a: {b" (
    "id" int primary key, "customer" uuid not null references "we ird".customers, "- x" boolean, "*y" date,
    "&a !!str" "we ird".mood,
    "é\u202egpj" date, "x\u2028y: clear" date, "tab\tin" date, "has.dot" int, "has""quote" int,
    "new\nline: clear" int, "esc\x1b[31m" date, "c1\x9b31m" date, "%TAG" boolean, "col\ufeff" date, "😀" boolean,
    "d" "we ird"."do
main", "none" boolean
);
create table "we ird"."empty" (id int primary key, "customer id" uuid references "we ird".customers, status text);
create table "we ird".nothing ();
create table "we ird"."dot.ted" (id int);
create table "we ird"."line
target: other" (id int);
create table "we ird".parts (id int, customer uuid references "we ird".customers, at date) partition by range (at);
create table "we ird".parts_1 partition of "we ird".parts for values from ('2025-01-01') to ('2026-01-01');
create table "we ird".unusual (
    customer uuid references "we ird".customers, a int4range, b tsvector, c point, d xml, e bit(3), f macaddr, g oid,
    h interval, i "char", j name, k int[], l numeric, m money, n cidr, o timestamp, p timetz, q pg_lsn, r json
);
create view "we ird".broken as select id, 1 / (length(name) - length(name)) as boom from "we ird".customers;
create materialized view "we ird".kept as select * from "we ird".customers;
create table "we ird".two_keys (a uuid references "we ird".customers, b uuid references "we ird".customers);
create table "we ird".loop_a (id int primary key, b int);
create table "we ird".loop_b (id int primary key, a int references "we ird".loop_a);
alter table "we ird".loop_a add foreign key (b) references "we ird".loop_b;
create table "we ird".many (id int primary key, customer uuid references "we ird".customers, contact text);
create table "we ird".wide as select * from (select 1 as id) x;
insert into "we ird".customers values ('00000000-0000-4000-8000-000000000042', 'Ann Dupont');
insert into "we ird".unusual (customer, l, o, h) values
    ('00000000-0000-4000-8000-000000000042', 'NaN', 'infinity', '1 day'),
    ('00000000-0000-4000-8000-000000000042', 1e30, '4000-01-01 BC', '1 day');
insert into "we ird".many
    select n, '00000000-0000-4000-8000-000000000042', 'user' || n || '@mail.example' from generate_series(1, 20000) n;
analyze "we ird".many;
"""


def test_whatever_the_catalog_has_becomes_a_policy_or_is_said_to_be_left_out(
    postgres: EmbeddedPostgres, config: Path, command: Command, tmp_path: Path
) -> None:
    with database(postgres, config, "scaffold_odd", ODD, ("we ird",)) as other:
        out = tmp_path / "odd.yaml"
        done = command(other, "policy", "scaffold", TARGET, "--schema", "we ird", "--out", str(out))
        shown = command(other, "policy", "scaffold", TARGET, "--schema", "we ird").stdout
        text = out.read_text()
        for character in "\x1b\x9b\u202e\u2028\ufeff":
            assert character not in text + shown + done.stderr
        policy = load_policy(out)
        assert policy.target == TARGET
        command(other, "policy", "check", str(out), "--target")
        command(other, "policy", "test", str(out), "--target")
        catalog = read_catalog(load_config(other).targets[TARGET])
        assert [one.message for one in check_against(policy, catalog) if one.severity == "error"] == []
        columns = policy.tables["we ird.a: {b"].columns
        assert {"é\u202egpj", "x\u2028y: clear", "c1\x9b31m", "😀", "none", "&a !!str"} <= set(columns)
        assert set(columns) & {"has.dot", 'has"quote', "d", "esc\x1b[31m"} == set()
        assert "we ird.null" in policy.tables
        assert policy.tables["we ird.empty"].scope.column == "customer id"
        for left_out in ("dot.ted", "\\x0atarget: other", "has.dot", "partitions", "loop_a", "SQLSTATE 22012"):
            assert left_out in text, left_out
        # Of a large table, rows from all over it.
        assert policy.tables["we ird.many"].columns["contact"].mask.kind == "email"
        assert "by its values; 100 % of" in text
        assert "leads to the customer as well: b -> we ird.customers.id" in text
        leaked(postgres, other, policy, lambda _: None, "00000000-0000-4000-8000-000000000042")
