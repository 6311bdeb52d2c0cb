"""A policy against the catalog: what stops it, and what is only told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from write_view import POLICY as WRITTEN
from write_view import write_view

from gateway.policy.load import load_policy, parse_policy
from gateway.policy.schema import AggregateRule
from gateway.sql.catalog import Catalog, Column, Relation
from gateway.sql.fit import check_against, unknown_to

POLICY = load_policy(Path(__file__).parents[3] / "policies" / "payroll.yaml")
TABLES = {
    "public.companies": "id integer, name text, siret text, plan text, created_at timestamp with time zone",
    "public.employees": "id integer, company_id integer, first_name text, last_name text, email text, phone text,"
    " iban text, nir text, birth_date date, salary numeric(10;2), department text, job_title text,"
    " hired_on date, status text, notes text, profile jsonb",
    "public.payslips": "id bigint, employee_id integer, period date,"
    " gross numeric(10;2), net numeric(10;2), paid_on date",
    "public.departments": "code text, label text",
}


def relation(qualified: str, columns: str, kind: str = "r") -> Relation:
    schema, name = qualified.split(".")
    made = []
    for number, one in enumerate(columns.split(", "), 1):
        column, _, declared = one.strip().partition(" ")
        made.append(Column(column, number, declared.replace(";", ","), declared.partition("(")[0], ""))
    return Relation(schema, name, 1, kind, tuple(made))


def catalog(**changes: str | None) -> Catalog:
    tables = TABLES | {f"public.{name}": columns for name, columns in changes.items()}
    return Catalog({name: relation(name, columns) for name, columns in tables.items() if columns is not None})


def errors(found: Catalog) -> list[str]:
    return [one.message for one in check_against(POLICY, found) if one.severity == "error"]


def test_the_demo_policy_fits_the_demo_tables_and_tells_what_is_hidden() -> None:
    found = check_against(POLICY, catalog())

    assert [(one.severity, one.column) for one in found] == [("info", "notes"), ("info", "profile")]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"companies": None, "compagnies": "id integer"}, "`public.companies` is not in the target; did you mean"),
        ({"departments": "code text, name text"}, "column `label` is not in `public.departments`"),
        ({"departments": "code text, labell text"}, "did you mean `labell`?"),
        (
            {"companies": "id date, name text, siret text, plan text, created_at date"},
            "`id` has type `date`; a customer is",
        ),
        (
            {"employees": TABLES["public.employees"].replace("salary numeric(10;2)", "salary text")},
            "`bucket` does not fit type `text`",
        ),
        (
            {"employees": TABLES["public.employees"].replace("birth_date date", "birth_date text")},
            "`year` does not fit",
        ),
        (
            {"employees": TABLES["public.employees"].replace("company_id integer, ", "")},
            "scope's column `company_id` is not in",
        ),
        (
            {"payslips": TABLES["public.payslips"].replace("employee_id integer", "employee_id uuid")},
            "compares `uuid` with `integer`",
        ),
        (
            {"employees": TABLES["public.employees"].replace("id integer, company", "key integer, company")},
            "follows `public.employees.id`",
        ),
    ],
)
def test_what_does_not_fit_stops_the_policy(changes: dict[str, str | None], wanted: str) -> None:
    assert any(wanted in message for message in errors(catalog(**changes)))


@pytest.mark.parametrize(
    ("column", "subject", "wanted"),
    [
        ("salary", "id", ""),
        ("salary", "email", ""),
        ("salary", "birth_date", "its `subject` must be an integer, uuid or text"),
        ("birth_date", "id", "`aggregate` fits integers, numeric and double precision, not `pg_catalog.date`"),
        ("email", "id", "`aggregate` fits integers"),
    ],
)
def test_only_numbers_of_countable_subjects_are_aggregated(column: str, subject: str, wanted: str) -> None:
    employees = POLICY.tables["public.employees"]
    rule = replace(employees.columns[column], aggregate=AggregateRule(5, subject))
    changed = replace(employees, columns=employees.columns | {column: rule})

    found = check_against(replace(POLICY, tables=POLICY.tables | {employees.name: changed}), catalog())
    told = [one.message for one in found if one.severity == "error"]
    assert len(told) == bool(wanted), told
    assert all(wanted in message for message in told)


@pytest.mark.parametrize(("home", "fits"), [("public", True), ("extensions", False)])
def test_citext_fits_where_its_operators_are_found(home: str, fits: bool) -> None:
    relations = dict(catalog().relations)
    employees = relations["public.employees"]
    columns = tuple(
        replace(one, type=f"{home}.citext", base=f"{home}.citext") if one.name == "email" else one
        for one in employees.columns
    )
    relations["public.employees"] = replace(employees, columns=columns)

    told = errors(Catalog(relations))

    assert told == (
        []
        if fits
        else ["column `email` is citext, whose operators are in `extensions`: name `extensions` in `schemas`"]
    )


def test_a_sequence_or_an_index_is_no_relation_to_read() -> None:
    relations = dict(catalog().relations)
    relations["public.departments"] = replace(relations["public.departments"], kind="S")

    assert any("`public.departments` is not in the target" in message for message in errors(Catalog(relations)))


def test_a_new_table_and_a_new_column_are_told() -> None:
    found = check_against(POLICY, catalog(salaries="id integer", departments="code text, label text, head text"))

    told = {(one.relation, one.column) for one in found if one.severity == "info"}
    assert {("public.salaries", ""), ("public.departments", "head")} <= told


def test_every_relation_and_column_that_the_policy_does_not_know_is_listed() -> None:
    found = catalog(
        departments="code text, label text, head text", badges="id integer, photo bytea", empty="", old="id integer"
    )
    found.relations["public.old"] = replace(found.relations["public.old"], kind="S")
    found.relations["public.empty"] = replace(found.relations["public.empty"], columns=())

    assert unknown_to(POLICY, found) == {
        "public.badges": ("id", "photo"),
        "public.departments": ("head",),
        "public.employees": ("notes", "profile"),
        "public.empty": (),
    }
    assert [one.message for one in check_against(POLICY, found)] == [
        "relation `public.badges` is not named in the policy, so it is hidden, with all its columns: `id`, `photo`",
        "column `head` of `public.departments` is not named in the policy, so it is hidden",
        "column `notes` of `public.employees` is not named in the policy, so it is hidden",
        "column `profile` of `public.employees` is not named in the policy, so it is hidden",
        "relation `public.empty` is not named in the policy, so it is hidden",
    ]


def test_what_may_be_written_and_is_refused_all_the_same_is_said() -> None:
    policy = parse_policy(WRITTEN)
    found = [one for one in check_against(policy, write_view().catalog) if one.severity == "warning"]

    assert [(one.relation, one.column) for one in found] == [
        ("public.countries", ""),
        ("public.employees", "badge"),
    ]
    assert "unique over all customers" in found[-1].message
    ruled = replace(write_view().catalog, ruled=frozenset({"public.companies"}))
    assert any("rewrite rules" in one.message for one in check_against(policy, ruled))
