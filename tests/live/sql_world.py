"""The databases of the two SQL properties: two truths that must look alike, and copies that hold only what is shown.

`truth` and `other` differ in every cell that the view hides: other customers' rows, columns that the policy does not
name, and masked values that have the same mask. `copy` holds the view's rows and columns and masked values, made by
Python without any rewriting; `fenced` is the same behind views that the planner does not open, as it does not open the
derived tables of the rewriting.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import psycopg
from sql_grammar import schema
from sql_grammar.schema import Field, Source, quote

from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres
from gateway.policy import masks
from gateway.policy.load import parse_policy
from gateway.sql.postgres import load_catalog
from gateway.sql.render import mask_settings
from gateway.sql.statement import View

KEY = bytes(range(1, 33))
MOOD = "create type public.mood as enum ('sad', 'happy', 'fine')"
_OTHERS = {"truth": (7, 99), "other": (7, 100, 101)}
_STATUS = ("active", "a-1", "", None, "12", "Ann", "active", "x-1", "left", "42")
_TEXTS = ("42", "b", "FR", None, "active", "A-b", "2020-01-01", "ann", "", "Ann")
Row = dict[str, str | None]


@dataclass(slots=True)
class World:
    """Connections as the gateway holds them to its target, settings pinned, and the view that they are read through."""

    view: View
    truth: psycopg.Connection[Any]
    other: psycopg.Connection[Any]
    copy: psycopg.Connection[Any]
    fenced: psycopg.Connection[Any]


def masked_email(address: str) -> str:
    """What the view shows of an address."""
    rule = _policy().tables["public.employees"].columns["email"]
    return masks.render(rule.mask, address, KEY, "text") or ""


def _policy() -> Any:
    return parse_policy(schema.policy_text())


def open_world(server: EmbeddedPostgres) -> Iterator[World]:
    """Make the databases on a server and connect; they are left to the server's end."""
    for name in ("truth", "other", "copy", "fenced", "empty"):
        server.sql(f"drop database if exists grammar_{name}")
    for name in ("empty", "copy", "fenced"):
        server.sql(f"create database grammar_{name}")
    with server.connect(database="grammar_empty") as owner:
        _declare(owner)
    for name in ("truth", "other"):
        # Made from one template, so that what the server numbers has the same numbers, by which it hashes.
        server.sql(f"create database grammar_{name} template grammar_empty")
        with server.connect(database=f"grammar_{name}") as owner:
            _fill(owner, name)
            owner.execute(f"grant select on all tables in schema public to {BACKEND_ROLE}")
    pins = {
        **mask_settings(KEY),
        "default_transaction_read_only": "on",
        "statement_timeout": "1s",
        "timezone": "UTC",
        "jit": "off",
    }
    options = " ".join(f"-c {name}={value}" for name, value in pins.items())
    with (
        server.connect(BACKEND_ROLE, database="grammar_truth", options=options) as truth,
        server.connect(BACKEND_ROLE, database="grammar_other", options=options) as other,
    ):
        view = View(_policy(), load_catalog(lambda sql: truth.execute(sql).fetchall()), schema.CUSTOMERS)
        for name in ("copy", "fenced"):
            with server.connect(database=f"grammar_{name}") as owner:
                _make_copy(owner, truth, view, "public" if name == "copy" else "held")
                if name == "fenced":
                    _fence(owner)
                for kept in ("public", "held"):
                    owner.execute(f"create schema if not exists {kept}")
                    owner.execute(f"grant usage on schema {kept} to {BACKEND_ROLE}")
                    owner.execute(f"grant select on all tables in schema {kept} to {BACKEND_ROLE}")
        with (
            server.connect(BACKEND_ROLE, database="grammar_copy", options=options) as copy,
            server.connect(BACKEND_ROLE, database="grammar_fenced", options=options) as fenced,
        ):
            yield World(view, truth, other, copy, fenced)


def _declared(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{quote(one.name)} {one.declared}" for one in fields)


def _declare(owner: psycopg.Connection[Any]) -> None:
    owner.execute(MOOD)
    for source in schema.SOURCES:
        fields, ending = source.fields, ""
        if source.inherits:
            inherited = {one.name for one in schema.BY_NAME[source.inherits].fields}
            fields = tuple(one for one in fields if one.name not in inherited)
            ending = f" inherits ({source.inherits})"
        if source.relkind == "p":
            ending = ' partition by range ("at")'
        owner.execute(f"create table public.{quote(source.name)} ({_declared(fields)}){ending}")
    owner.execute(
        "create table public.events_old partition of public.events for values from (minvalue) to ('2026-01-01')"
    )
    owner.execute("create table public.events_new partition of public.events default")
    owner.execute("create unique index on public.employees (email)")
    owner.execute("create unique index on public.employees (id)")
    owner.execute("create table public.secrets (word text)")


def _fill(owner: psycopg.Connection[Any], name: str) -> None:
    owner.execute("insert into public.secrets values (%s)", [f"canary {name}"])
    for source in schema.SOURCES:
        for row in _rows(source, name):
            _insert(owner, "public", source, source.fields, [row[one.name] for one in source.fields])


def _insert(
    owner: psycopg.Connection[Any], where: str, source: Source, fields: tuple[Field, ...], values: list[Any]
) -> None:
    names = ", ".join(quote(one.name) for one in fields)
    places = ", ".join(f"cast(%s::text as {one.declared})" for one in fields)
    owner.execute(f"insert into {where}.{quote(source.name)} ({names}) values ({places})", values)


def _make_copy(owner: psycopg.Connection[Any], truth: psycopg.Connection[Any], view: View, where: str) -> None:
    owner.execute(MOOD)
    owner.execute(f"create schema if not exists {where}")
    for source in schema.SOURCES:
        inherited = {one.name for one in schema.BY_NAME[source.inherits].shown} if source.inherits else set()
        fields = tuple(one for one in source.shown if one.name not in inherited)
        ending = f" inherits ({where}.{source.inherits})" if source.inherits else ""
        owner.execute(f"create table {where}.{quote(source.name)} ({_declared(fields)}){ending}")
        rules = view.policy.tables[f"public.{source.name}"].columns
        wanted = ", ".join(f"{quote(one.name)}::text" for one in source.shown)
        only = "only " if source.name == "people" else ""
        rows = truth.execute(f"select {wanted} from {only}public.{quote(source.name)} where {source.rows}").fetchall()
        for row in rows:
            values = [
                value if one.mask == schema.CLEAR else masks.render(rules[one.name].mask, value, KEY, one.declared)
                for one, value in zip(source.shown, row, strict=True)
            ]
            _insert(owner, where, source, source.shown, values)


def _fence(owner: psycopg.Connection[Any]) -> None:
    for source in schema.SOURCES:
        fence = "" if source.scope == "none" else " offset 0"
        owner.execute(f"create view public.{quote(source.name)} as select * from held.{quote(source.name)}{fence}")


def _rows(source: Source, name: str) -> list[Row]:
    """The rows of one relation: those of CUSTOMERS alike in both truths but for what is hidden, the others unlike."""
    rows = [_disguised(source, row, name) for row in _shown_rows(source)]
    if source.scope == "none":
        return rows
    others = []
    for customer in _OTHERS[name]:
        chance = random.Random(f"{name}{customer}{source.name}")
        count = 3 + chance.randrange(4)
        others += [_row(source, customer, number, chance) for number in range(1, count + 1)]
    # They stand between those of the customers.
    half = len(others) // 2
    return others[:half] + rows + others[half:]


def _shown_rows(source: Source) -> list[Row]:
    chance = random.Random(source.name)
    counts = {"companies": 1, "countries": 4}
    customers = (0,) if source.scope == "none" else (42, 43)
    return [
        _row(source, customer, number, chance)
        for customer in customers
        for number in range(1, counts.get(source.name, {42: 7, 43: 4}.get(customer, 5)) + 1)
    ]


def _row(source: Source, customer: int, number: int, chance: random.Random) -> Row:
    key = customer if source.name == "companies" else customer * 1000 + number
    if source.name == "staff":
        key += 500
    row: Row = {one.name: _value(one, chance) for one in source.fields}
    row[source.key] = str(key)
    for name in ("company_id", "Customer"):
        if name in row:
            row[name] = str(customer)
    if source.name == "companies" and customer in {42, 43}:
        row["name"] = {42: "Acme", 43: "Beta-2"}[customer]
    if source.name == "employees":
        row["email"] = _email(customer, number)
        row["manager_id"] = None if number in {1, 5} else str(customer * 1000 + (number + 1) // 2)
    if source.name == "payslips":
        row["id"], row["employee_id"] = str(key * 10), str(customer * 1000 + 1 + number % 4)
    if source.name == "countries":
        row["code"], row["label"] = (
            ("FR", "DE", "42", "active")[number - 1],
            ("France", "Germany", "", None)[number - 1],
        )
    return row


def _email(customer: int, number: int) -> str | None:
    known = {(42, 1): "ann@a.example", (43, 1): "bob@b.example", (42, 2): "Ann@A.example", (42, 3): None}
    known |= {(7, 1): "ann@other.example", (100, 1): "eve@c.example", (99, 2): "bob@B.example"}
    return known.get((customer, number), f"p{number}.{customer}@x-{customer}.example")


def _value(one: Field, chance: random.Random) -> str | None:
    if chance.randrange(7) == 0:
        return None
    if one.kind == "text":
        if one.name == "first":
            return chance.choice(("Anna Maria", "Bob", "Cleo", "Jean Luc"))
        if one.name == "iban":
            return f"FR{chance.randrange(10**6, 10**7)}{chance.choice(('AB', '42'))}"
        if one.name == "phone":
            return f"+33 {chance.randrange(100, 999)}"
        return chance.choice(_STATUS if one.name in {"status", "select", "kind", "plan"} else _TEXTS)
    made = {
        "int": lambda: chance.choice(("0", "1", "2", "3", "42", "7", "-5", "12345", "20001")),
        "num": lambda: chance.choice(("0", "0.50", "10.25", "1.00", "99.99", "-3.10")),
        "float": lambda: chance.choice(("0", "1.5", "-2.25", "1e10")),
        "bool": lambda: chance.choice(("true", "false")),
        "date": lambda: (date(1985, 3, 1) + timedelta(days=chance.randrange(15000))).isoformat(),
        "ts": lambda: f"20{chance.randrange(15, 26)}-0{chance.randrange(1, 9)}-1{chance.randrange(9)} 10:30:00+00",
        "json": lambda: chance.choice(
            ('{"a": 1, "b": {"c": "x", "d": 9}, "s": "p"}', '{"a": "t"}', "[1]", '{"s": 5}', "3")
        ),
        "texts": lambda: chance.choice(("{a,b}", "{}", "{a,NULL}", "{42,active}")),
        "ints": lambda: chance.choice(("{1,2}", "{}", "{42}", "{3,NULL,1}")),
        "mood": lambda: chance.choice(("sad", "happy", "fine")),
        "uuid": lambda: f"00000000-0000-0000-0000-0000000000{chance.choice(('42', '43', '07'))}",
        "inet": lambda: f"10.0.{chance.randrange(3)}.{chance.randrange(1, 200)}",
    }
    return made[one.kind]()


def _disguised(source: Source, row: Row, name: str) -> Row:
    """A row of the customers' as it stands in one truth: with other hidden cells in the second one."""
    if name == "truth":
        return row
    changed = {
        one.name: _alike(one, row[one.name]) if one.shown else _value(one, random.Random(f"{name}{row}{one.name}"))
        for one in source.fields
    }
    rules = _policy().tables[f"public.{source.name}"].columns
    for one in source.shown:
        before, after = (
            masks.render(rules[one.name].mask, each[one.name], KEY, one.declared) for each in (row, changed)
        )
        if one.mask != schema.CLEAR:
            assert before == after, (one, row[one.name], changed[one.name])
    return changed


def _alike(one: Field, value: str | None) -> str | None:
    """Another value that has the same mask."""
    kind = one.mask.removeprefix("{mask: ").partition(",")[0].rstrip("}")
    if kind == "'null'":
        return "777" if value is None else None
    if kind == "redact":
        return "another" if value else value
    if value is None:
        return None
    if kind == "bucket":
        size = Decimal(one.mask.rpartition("size: ")[2].rstrip("}"))
        return str((Decimal(value) / size).to_integral_value(ROUND_FLOOR) * size + size - 1)
    if kind == "year":
        return f"{value[:4]}-12-31"
    if kind == "month":
        return f"{value[:8]}28{value[10:]}"
    if kind == "partial":
        return value[:2] + "*" * (len(value) - 4) + value[-2:]
    if kind == "initials":
        return {"Anna Maria": "Axel Milo", "Bob": "Ben", "Cleo": "Carl", "Jean Luc": "Jon Lee"}[value]
    if kind == "truncate_ip":
        return value.rpartition(".")[0] + ".250"
    if kind == "json":
        return value.replace('"d": 9', '"d": 1, "e": [7]').replace('"p"', '"q"').replace('"s": 5', '"s": 6')
    return value
