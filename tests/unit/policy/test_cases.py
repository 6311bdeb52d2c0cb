"""Cases of a policy: those of the demo hold, and a case that is wrong says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.policy.cases import Case, load_cases, parse_cases, run_case
from gateway.policy.load import load_policy
from gateway.policy.shapes import DocumentInvalid

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
POLICIES = Path(__file__).parents[3] / "policies"
POLICY = load_policy(POLICIES / "payroll.yaml")
OPEN = "{id: SUP-1, assignee: alice, customers: ['42']}"


@pytest.mark.parametrize("case", load_cases(POLICIES / "payroll_test.yaml"), ids=lambda case: case.name)
def test_the_demo_policy_decides_as_its_cases_say(case: Case) -> None:
    assert run_case(POLICY, case, NOW) == []


@pytest.mark.parametrize(
    ("expected", "wrong"),
    [
        ("expect: approval", "expected `approval`, came `approved`"),
        ("expect: ticket-closed", "expected `ticket-closed`, came `approved`"),
        (
            "expect: approved\n    columns: {public.employees.nir: clear}",
            "`public.employees.nir` to be `clear`, it is `redact`",
        ),
        ("expect: approved\n    columns: {public.employees.notes: clear}", "to be `clear`, it is `hidden`"),
    ],
)
def test_a_case_that_does_not_hold_says_what_came(expected: str, wrong: str) -> None:
    text = f"cases:\n  - name: x\n    person: {{login: alice, teams: [support]}}\n    ticket: {OPEN}\n    {expected}\n"

    (case,) = parse_cases(text)

    assert any(wrong in one for one in run_case(POLICY, case, NOW))
    assert case.line == 2


def test_what_a_statement_must_come_to_is_kept_for_the_sql_room() -> None:
    text = (
        f"cases:\n  - name: x\n    person: {{login: alice, teams: [support]}}\n    ticket: {OPEN}\n"
        "    expect: approved\n    sql: select 1\n"
        "    then: {rows: 3, columns: [a, {b: null}], masked: true, at: '2024-01-01'}\n"
    )

    (case,) = parse_cases(text)

    assert case.sql == "select 1"
    assert case.then == {"rows": 3, "columns": ["a", {"b": None}], "masked": True, "at": "2024-01-01"}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("expect: aproved", "did you mean `approved`?"),
        ("expect: ticket-closd", "did you mean `ticket-closed`?"),
        ("", "`expect` is missing"),
        ("expect: approved\n    sql: select 1", "come together"),
        ("expect: approved\n    reveal: [email]", "wanted `schema.table.column`"),
        ("expect: approved\n    ticked: x", "did you mean `ticket`?"),
    ],
)
def test_a_case_that_is_malformed_is_refused(line: str, wanted: str) -> None:
    with pytest.raises(DocumentInvalid, match=r"cases\.yaml:") as caught:
        parse_cases(f"cases:\n  - name: x\n    person: {{login: alice}}\n    {line}\n")

    assert wanted in str(caught.value)
