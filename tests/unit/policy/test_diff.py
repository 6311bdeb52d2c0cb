"""What a change of a policy widens, narrows or merely changes; and that no change goes unsaid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.policy.diff import differences
from gateway.policy.load import parse_policy
from gateway.policy.schema import AggregateRule, Policy, WriteRule

TEXT = (Path(__file__).parents[3] / "policies" / "payroll.yaml").read_text()
OLD = parse_policy(TEXT, "old")


def of(old: str, new: str) -> list[tuple[str, str, str, str]]:
    assert TEXT.count(old) >= 1, old
    return [tuple(one) for one in differences(OLD, parse_policy(TEXT.replace(old, new, 1), "new"))]  # type: ignore[misc]


def test_a_policy_does_not_differ_from_itself() -> None:
    assert differences(OLD, parse_policy("# another comment\n" + TEXT, "again")) == []


@pytest.mark.parametrize(
    ("old", "new", "effect", "what"),
    [
        ("teams: [support]", "teams: [support, sales]", "wider", "access.teams"),
        ("projects: [SUP]", "projects: [DEV]", "wider", "access.ticket.projects"),
        ("states: [open, in_progress]", "states: [open]", "narrower", "access.ticket.states"),
        ("assigned_to: requester", "assigned_to: team", "wider", "access.ticket.assigned_to"),
        ("auto_approve: masked_reads", "auto_approve: never", "narrower", "access.auto_approve"),
        ("direct_login: true", "direct_login: false", "narrower", "access.direct_login"),
        ("max: 8h", "max: 9h", "wider", "access.max_duration_s"),
        ("count: 1", "count: 2", "narrower", "access.approvers.count"),
        ("teams: [security]", "teams: [security, support]", "changed", "access.approvers.teams"),
        ("rows_per_day: 100000", "rows_per_day: 200000", "wider", "limits.rows_per_day"),
        ("  rows_per_day: 100000\n", "", "wider", "limits.rows_per_day"),
        ("rows_per_day: 100000", "rows_per_day: 1000", "narrower", "limits.rows_per_day"),
        ("exact_searches_per_hour: 60", "exact_searches_per_hour: 61", "wider", "limits.exact_searches_per_hour"),
        ("rows_per_st", "aggregates_per_hour: 60\n  rows_per_st", "narrower", "limits.aggregates_per_hour"),
        ("nir: {mask: redact, identifier: true}", "nir: clear", "wider", "tables.public.employees.nir"),
        ("nir: {mask: redact,", "nir: {mask: partial, keep_end: 2,", "wider", "tables.public.employees.nir"),
        ("nir: {mask: redact,", "nir: {mask: 'null',", "changed", "tables.public.employees.nir"),
        ("birth_date: {mask: year}", "birth_date: {mask: month}", "changed", "tables.public.employees.birth_date"),
        ("status: clear", "status: {mask: redact}", "narrower", "tables.public.employees.status"),
        ("      job_title: clear\n", "", "narrower", "tables.public.employees.job_title"),
        ("update: [status]", "update: [status, department]", "wider", "write.public.employees.update"),
        ("      status: clear\n", "      status: clear\n      notes: clear\n", "wider",
         "tables.public.employees.notes"),
        ("email: {mask: email, search: exact,", "email: {mask: email,", "narrower",
         "tables.public.employees.email.search"),
        ("scope: id = ticket.customer", "scope: none", "wider", "tables.public.companies.scope"),
        ("public.employees: [email,", "public.employees: [last_name, email,", "wider", "reveal"),
        ("target: payroll\n", "target: payroll\nliterals: none\n", "changed", "literals"),
    ],
)  # fmt: skip
def test_each_change_is_said_with_its_effect(old: str, new: str, effect: str, what: str) -> None:
    assert (effect, what) in {(one[0], one[1]) for one in of(old, new)}


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        (None, AggregateRule(5, "id"), "wider"),
        (AggregateRule(5, "id"), None, "narrower"),
        (AggregateRule(5, "id"), AggregateRule(4, "id"), "wider"),
        (AggregateRule(5, "id"), AggregateRule(6, "id"), "narrower"),
        (AggregateRule(5, "id"), AggregateRule(4, "person"), "changed"),
        (AggregateRule(5, "id"), AggregateRule(5, "id", extremes=True), "wider"),
        (AggregateRule(5, "id", extremes=True), AggregateRule(5, "id"), "narrower"),
        (AggregateRule(5, "id", extremes=True), AggregateRule(4, "id"), "changed"),
    ],
)
def test_smaller_groups_are_wider(old: AggregateRule | None, new: AggregateRule | None, effect: str) -> None:
    def having(rule: AggregateRule | None) -> Policy:
        people = OLD.tables["public.employees"]
        columns = people.columns | {"nir": replace(people.columns["nir"], aggregate=rule)}
        return replace(OLD, tables=OLD.tables | {people.name: replace(people, columns=columns)})

    found = differences(having(old), having(new))
    assert [(one.effect, one.what) for one in found] == [(effect, "tables.public.employees.nir.aggregate")]


def test_what_becomes_wider_stands_first() -> None:
    found = of("projects: [SUP]", "projects: [DEV]")
    assert found == [("wider", "access.ticket.projects", "", "DEV"), ("narrower", "access.ticket.projects", "SUP", "")]


def test_every_field_of_a_policy_is_compared() -> None:
    changed = TEXT.replace("target: payroll", "target: other\npurpose: ticket\nschemas: [public, x]", 1)
    found = {one.what for one in differences(OLD, parse_policy(changed, "new"))}
    assert {"target", "purpose", "schemas"} <= found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (None, WriteRule(frozenset({"status"})),
         {("wider", "update", "", "status"), ("wider", "rows", "0", "1")}),
        (WriteRule(frozenset({"status"})), None,
         {("narrower", "update", "status", ""), ("narrower", "rows", "1", "0")}),
        (WriteRule(delete=True), WriteRule(insert=frozenset({"id"})),
         {("narrower", "delete", "yes", "no"), ("wider", "insert", "", "id")}),
        (WriteRule(delete=True), WriteRule(delete=True, rows=2), {("wider", "rows", "1", "2")}),
        (WriteRule(delete=True), WriteRule(delete=True, approval="request"),
         {("wider", "approval", "statement", "request")}),
    ],
)  # fmt: skip
def test_what_may_be_written_is_compared(
    old: WriteRule | None, new: WriteRule | None, said: set[tuple[str, str, str, str]]
) -> None:
    def having(rule: WriteRule | None) -> Policy:
        return replace(OLD, write={"public.employees": rule} if rule else {})

    found = {
        (one.effect, one.what.rpartition(".")[2], one.old, one.new) for one in differences(having(old), having(new))
    }

    assert found == said


def test_what_is_no_longer_protected_is_said_before_all_else() -> None:
    observed = TEXT.replace("target: payroll\n", "target: payroll\nmode: observe\n", 1)
    found = differences(OLD, parse_policy(observed.replace("teams: [support]", "teams: [a, support]"), "new"))
    assert [(one.effect, one.what) for one in found] == [("wider", "mode"), ("wider", "access.teams")]
    assert "NOTHING IS PROTECTED" in found[0].new
    (back,) = differences(parse_policy(observed, "old"), OLD)
    assert (back.effect, back.what) == ("narrower", "mode")
