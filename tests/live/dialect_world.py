"""A shop as servers of several dialects have it: two truths that differ in what is hidden alone, and the copy of it.

`truth_a` and `truth_b` differ in every hidden column, in the part of every masked value that its mask takes away, and
in all rows of other customers. `copy` holds the rows of the customer, masked in Python: what the policy shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.policy.http_dialects import route
from gateway.policy.http_rules import HttpRules
from gateway.policy.load import load_policy
from gateway.policy.masks import render
from gateway.policy.types import column_type
from gateway.sql.declared import declared
from gateway.sql.render import mask_settings
from gateway.sql.statement import View
from gateway.sql.tree.writing import string

CORPUS = Path(__file__).parents[1] / "corpus" / "dialects"
POLICY = load_policy(CORPUS / "shop.yaml")
CUSTOMER = "42"
KEY = bytes(range(32))
CANARIES = ("CANARY", "Secretson", "06123", "51234", "12345678901", "1984-02", "Other Inc")

Table = dict[str, list[Any]]

TYPES = {
    "clickhouse": {
        "text": "Nullable(String)", "int8": "Int64", "int4": "Nullable(Int32)", "date": "Nullable(Date32)",
        "numeric": "Decimal(10, 2)",
    },
    "trino": {"text": "VARCHAR", "int8": "BIGINT", "int4": "INTEGER", "date": "DATE", "numeric": "DECIMAL(10, 2)"},
    "mariadb": {"text": "VARCHAR(200)", "int8": "BIGINT", "int4": "INT", "date": "DATE", "numeric": "DECIMAL(10, 2)"},
}  # fmt: skip
SOUGHT = ("alice@example.com", "ALICE@example.com", "bob@example.org", "chloé@exämple.fr", "no at", "nobody", "",
          "CANARY@other.inc", "z", "Martin", "martin", "O''Neil", "Secretson", "y", "Li ", "дурак")  # fmt: skip
"""Values that somebody searches for: of the customer's rows, of others', of nobody's."""
HIDDEN = {"companies": ["secret"], "employees": ["notes"]}


def rules(dialect: str) -> HttpRules | None:
    """The routes that take statements of a dialect."""
    if dialect != "trino":
        return POLICY.http
    return HttpRules((route("statement", "POST", ("v1", "statement"), dialect, "memory"),))


def view(dialect: str) -> View:
    """Through which eyes the statements of a dialect are read."""
    policy = replace(POLICY, dialect=dialect, http=rules(dialect))
    return View(policy, declared(policy), (CUSTOMER,), search_path=("shop",))


def keys() -> dict[str, str]:
    """The key blocks, by the names that statements have for them."""
    settings = mask_settings(KEY)
    return {"gateway_inner": settings["gateway.mask_inner"], "gateway_outer": settings["gateway.mask_outer"]}


def entries(name: str, dialect: str) -> list[dict[str, Any]]:
    """The statements of one corpus that are of a dialect."""
    read = YAML(typ="safe").load(CORPUS / f"{name}.yaml")
    return [one for one in read if dialect in one["dialects"]]


def truth(other: bool) -> Mapping[str, Table]:
    """The rows of one truth, by table and column."""
    hidden = "b" if other else "a"
    pick = (lambda one, two: two) if other else (lambda one, two: one)
    employees = [
        (1, 42, "Alice", "Martin", "alice@example.com", pick("FR7612345678901890", "FR7698765432109890"),
         pick(51234, 58765), pick("1984-02-29", "1984-11-05"), pick("0612345678", "0799999999"), "open"),
        (2, 42, "Bob", "O'Neil", "bob@example.org", pick("FR7611111111111222", "FR7622222222222222"),
         pick(50000, 59999), pick("1990-01-01", "1990-12-31"), pick(None, "0611111111"), "open"),
        (3, 42, "Chloé", "Дурак", "chloe@exämple.fr", None, pick(71000, 79000), pick("1984-06-01", "1984-01-31"),
         pick("0612345678", "1"), "closed"),
        (4, 42, None, "Li", "no at", "FR76", None, None, pick("1", None), None),
        *pick(
            [(5, 7, "CANARY", "Secretson", "CANARY@other.inc", "FR76CANARY1", 999999, "2000-01-01", "CANARY", "CANARY"),
             (6, 420, "CANARY", "Secretson", "CANARY", "CANARY", 0, "2001-01-01", "CANARY", "open")],
            [(7, 7, "x", "y", "z", "w", 1, "1970-01-01", "v", "open"),
             (8, 8, "x", "y", "z", "w", 1, "1970-01-01", "v", "closed"),
             (9, 4, "x", "y", "z", "w", 1, "1970-01-01", "v", "closed")],
        ),
    ]  # fmt: skip
    payslips = [(1, 1, "2024-01-31", pick(3000, 3001)), (2, 1, "2024-02-29", pick(3000, 3001)),
                (3, 3, "2024-01-31", pick(1, 2)),
                *pick([(4, 5, "2024-05-31", 7)], [(5, 7, "2024-06-30", 8)])]  # fmt: skip
    accounts = [(1, "Acme", "1.50"), (2, "Acme", "2.25"),
                *pick([(3, "acme", "666.00"), (4, "Other Inc", "777.00")], [(5, "ACME ", "1.00")])]  # fmt: skip
    notes = [(1, "42", pick("call her", "cut him")),
             *pick([(2, "7", "CANARY x"), (3, "42 ", "CANARY y")], [(4, "8", "CANARY z")])]  # fmt: skip
    companies = [(42, "Acme", f"secret {hidden}"), *pick([(7, "Other Inc", "CANARY")], [(8, "acme", "CANARY")])]
    return {
        "companies": _columns(["id", "name", "secret"], companies),
        "employees": _columns(
            ["id", "company_id", "first_name", "last_name", "email", "iban", "salary", "birth_date", "phone", "status",
             "notes"],
            [(*row, f"CANARY {hidden} {row[0]}") for row in employees],
        ),
        "payslips": _columns(["id", "employee_id", "period", "net"], payslips),
        "accounts": _columns(["id", "company", "balance"], accounts),
        "notes": _columns(["id", "customer", "note"], notes),
        "countries": _columns(["code", "name"], [("FR", "France"), ("DE", "Germany")]),
    }  # fmt: skip


def copied(of: Mapping[str, Table], *, sought: bool = False) -> Mapping[str, Table]:
    """What the policy shows of a truth: the customer's rows, masked by hand. With `sought`, columns that may be
    searched exactly are as they are.
    """
    mine = {
        "companies": lambda row: row["id"] == 42,
        "employees": lambda row: row["company_id"] == 42,
        "payslips": lambda row: row["employee_id"] in {1, 2, 3, 4},
        "accounts": lambda row: row["company"] == "Acme",
        "notes": lambda row: row["customer"] == "42",
        "countries": lambda _row: True,
    }
    made: dict[str, Table] = {}
    for name, table in of.items():
        rules = POLICY.tables[f"shop.{name}"].columns
        rows = [row for row in _rows(table) if mine[name](row)]
        made[name] = {
            column: [row[column] if sought and rule.search else _masked(rule, row[column]) for row in rows]
            for column, rule in rules.items()
        }  # fmt: skip
    return made


def statements(database: str, tables: Mapping[str, Table], dialect: str) -> Iterator[str]:
    """What makes a database hold these tables."""
    kind = "SCHEMA" if dialect == "trino" else "DATABASE"
    yield f"CREATE {kind} {database}" + (" CHARACTER SET utf8mb4" if dialect == "mariadb" else "")
    standard = dialect == "trino"
    for name, table in tables.items():
        rules = POLICY.tables[f"shop.{name}"].columns
        # one column that cannot be NULL: a mask keeps that
        solid = "customer" if dialect == "clickhouse" else ""
        kinds = {
            column: "String"
            if column == solid
            else TYPES[dialect][column_type(rules[column].type).name if column in rules else "text"]
            for column in table
        }  # fmt: skip
        listed = ", ".join(f"{column} {kind}" for column, kind in kinds.items())
        engine = " ENGINE = MergeTree ORDER BY tuple()" if dialect == "clickhouse" else ""
        yield f"CREATE TABLE {database}.{name} ({listed}){engine}"
        for row in _rows(table):
            values = ", ".join(
                "NULL" if one is None else str(one) if isinstance(one, int) else string(one, standard=standard)
                for one in row.values()
            )
            yield f"INSERT INTO {database}.{name} VALUES ({values})"


def _masked(rule: Any, value: Any) -> Any:
    text = None if value is None else str(value)
    made = text if rule.mask.kind == "clear" else render(rule.mask, text, KEY, rule.type)
    return int(made) if made is not None and column_type(rule.type).group == "integer" else made


def _columns(names: list[str], rows: list[tuple[Any, ...]]) -> Table:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _rows(table: Table) -> Iterator[dict[str, Any]]:
    for values in zip(*table.values(), strict=True):
        yield dict(zip(table, values, strict=True))
