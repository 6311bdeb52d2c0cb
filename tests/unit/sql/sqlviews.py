"""The view that the SQL corpora are written for: three companies' payroll, one ticket, one customer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.policy.schema import (
    AccessRule,
    ColumnRule,
    LimitRule,
    Mask,
    Policy,
    Scope,
    TableRule,
    TicketRule,
)
from gateway.sql.catalog import Catalog, Column, Relation
from gateway.sql.statement import View

CORPUS = Path(__file__).parents[2] / "corpus"


def cases(folder: str) -> list[dict[str, Any]]:
    """Every case of a corpus, in the order of the files."""
    found: list[dict[str, Any]] = []
    for path in sorted((CORPUS / folder).glob("*.yaml")):
        found += YAML(typ="safe").load(path)
    return found


def relation(oid: int, name: str, *columns: str, kind: str = "r") -> Relation:
    """A relation of `name:type` columns."""
    schema, _, table = name.partition(".")
    made = [part.partition(":")[::2] for part in columns]
    return Relation(schema, table, oid, kind, tuple(_column(n, name, of) for n, (name, of) in enumerate(made, 1)))


def _column(number: int, name: str, of: str) -> Column:
    categories = {"int4": "N", "int8": "N", "text": "S", "uuid": "U", "date": "D", "public.mood": "E"}
    return Column(name, number, {"int4": "integer", "int8": "bigint"}.get(of, of), of, categories.get(of, "U"))


CATALOG = Catalog(
    relations={
        one.qualified: one
        for one in (
            relation(16400, "public.companies", "id:int4", "name:text", "plan:text", "margin:int4"),
            relation(
                16410,
                "public.employees",
                "id:int4",
                "company_id:int4",
                "name:text",
                "email:text",
                "salary:int4",
                "status:text",
                "notes:text",
                "mood:public.mood",
            ),
            relation(16420, "public.payslips", "id:int8", "employee_id:int4", "net:int4", "period:date"),
            relation(16430, "public.countries", "code:text", "label:text"),
            relation(16440, "public.secrets", "id:int4", "word:text"),
            relation(16450, "other.employees", "id:int4", "name:text"),
        )
    },
    functions=frozenset({"lower", "slugify", "secret_fn"}),
    operators=frozenset({"###"}),
    types=frozenset({"public.mood", "public.employees", "public.secrets"}),
    calls=frozenset(
        {"current_setting", "lower", "slugify", "hash_record", "nextval", "regclass", "_regclass"}
        | {"mood", "secrets", "employees", "age", "xid", "mxid_age"}
    ),
    row_calls=frozenset({"hash_record", "row_to_json"}),
    server_version=150018,
)


def _columns(**masks: str) -> dict[str, ColumnRule]:
    return {
        name: ColumnRule(name, Mask(mask.removesuffix("!")), "exact" if mask.endswith("!") else "")
        for name, mask in masks.items()
    }


POLICY = Policy(
    target="payroll",
    digest="corpus",
    access=AccessRule(frozenset({"support"}), TicketRule(("SUP",), ("open",))),
    tables={
        "public.companies": TableRule(
            "public.companies", Scope("customer", "id"), _columns(id="clear", name="clear", plan="clear")
        ),
        "public.employees": TableRule(
            "public.employees",
            Scope("customer", "company_id"),
            _columns(id="clear", name="null", email="null!", salary="null", status="clear", mood="clear"),
        ),
        "public.payslips": TableRule(
            "public.payslips",
            Scope("follows", "employee_id", "public.employees", "id"),
            _columns(id="clear", employee_id="clear", net="null", period="clear"),
        ),
        "public.countries": TableRule("public.countries", Scope("none"), _columns(code="clear", label="clear")),
    },
    limits=LimitRule(statement_timeout_ms=30_000),
    reveal={"public.employees": frozenset({"salary"})},
    functions=frozenset({"public.slugify"}),
)


def view(**changes: Any) -> View:
    """The corpus's view, with changes."""
    return View(**{"policy": POLICY, "catalog": CATALOG, "customers": ("42",), **changes})
