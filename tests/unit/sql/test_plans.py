"""Plans name the indexes that the view shows and no other, whatever the user writes into them."""

from __future__ import annotations

import time

import pytest
from sqlviews import view

from gateway.sql.catalog import Catalog, Index
from gateway.sql.postgres.plans import PlanText, shown_indexes
from gateway.sql.statement import Kind, Plan, View

SHOWN = frozenset({"employees_pkey", 'odd " name', "Ünïcode & <odd>"})
SECRET = "fires_2027_idx"


def lines(*rows: str) -> list[str]:
    plan = PlanText(SHOWN)
    return [plan.scrubbed(row.encode()).decode() for row in rows]


@pytest.mark.parametrize(
    ("row", "becomes"),
    [
        (f"Index Scan using {SECRET} on employees t", "Index Scan using (hidden) on employees t"),
        (f"  ->  Index Scan Backward using {SECRET} on e", "  ->  Index Scan Backward using (hidden) on e"),
        (f"        ->  Parallel Index Only Scan using {SECRET} on e",
         "        ->  Parallel Index Only Scan using (hidden) on e"),
        (f"  ->  Bitmap Index Scan on {SECRET}", "  ->  Bitmap Index Scan on (hidden)"),
        ('Index Scan using "fires 2027 ""x""" on employees t', "Index Scan using (hidden) on employees t"),
        ("Index Scan using employees_pkey on employees t", None),
        ('Index Scan using "odd "" name" on employees t', None),
        ('Index Scan using "Ünïcode & <odd>" on e', None),
        ("Seq Scan on employees t", None),
        (f"  Index Cond: ({SECRET} = 1)", None),
        (f'    "Index Name": "{SECRET}",', '    "Index Name": "(hidden)",'),
        ('    "Index Name": "odd \\" name",', None),
        ('    "Index Name": "fires \\" name",', '    "Index Name": "(hidden)",'),
        (f'        Index Name: "{SECRET}"', '        Index Name: "(hidden)"'),
        ('      - Index Name: "employees_pkey"', None),
        (f"      <Index-Name>{SECRET}</Index-Name>", "      <Index-Name>(hidden)</Index-Name>"),
        ("      <Index-Name>Ünïcode &amp; &lt;odd&gt;</Index-Name>", None),
    ],
)  # fmt: skip
def test_a_name_is_left_or_hidden(row: str, becomes: str | None) -> None:
    assert lines(row) == [row if becomes is None else becomes]


def test_a_whole_document_keeps_everything_else() -> None:
    text = f'[\n  {{\n    "Plan": {{\n      "Node Type": "Index Scan",\n      "Index Name": "{SECRET}",\n'
    text += '      "Relation Name": "employees",\n      "Filter": "(x = \'\\n      \\"Index Name\\": \\"y\\"\')"\n'
    assert lines(text) == [text.replace(SECRET, "(hidden)")]


def test_a_name_with_a_line_break_hides_the_rest_and_a_forged_one_hides_no_name() -> None:
    assert lines('Index Scan using "fires', ' 2027" on e', "Seq Scan on e") == ["(hidden)"] * 3
    # a literal of the user's, printed with its line breaks
    said = lines("  Filter: (x = 'a", 'Index Scan using "', "'::text)", f'  ->  Index Scan using "{SECRET}" on e')
    assert not any(SECRET in one for one in said)


@pytest.mark.parametrize(
    "part", ["\n", " ", "<Index-Name>", '"', '""', '\n"Index Name": "', "\\", '  ->  Index Scan using "', "Parallel "]
)
def test_time_is_linear(part: str) -> None:
    row = (part * (1_000_000 // len(part))).encode()
    began = time.process_time()
    PlanText(SHOWN).scrubbed(row)
    assert time.process_time() - began < 1.0


def test_shown_are_indexes_of_named_columns_alone() -> None:
    indexes = frozenset(
        {
            Index("public.employees", "employees_pkey", ("id",)),
            Index("public.employees", "by_mail", ("email", "salary")),
            Index("public.employees", "by_note", ("id", "notes")),
            Index("public.audit_log", "other", ("id",)),
            Index("pg_catalog.pg_class", "pg_class_oid_index", (), own=True),
        }
    )
    base = view()
    seen = View(base.policy, Catalog(base.catalog.relations, indexes=indexes), base.customers)
    assert "notes" not in base.policy.tables["public.employees"].columns
    assert shown_indexes(seen) == {"employees_pkey", "by_mail", "pg_class_oid_index"}


def test_a_plan_explains_when_any_part_of_it_does() -> None:
    assert Plan("", (Kind.READ, Kind.READ), ("SELECT", "EXPLAIN"), "", "", "").explains
    assert not Plan("", (Kind.READ,), ("SELECT",), "", "", "").explains
