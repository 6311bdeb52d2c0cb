"""Cases of a policy: those of the demo hold, and a case that is wrong says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.policy.cases import Case, judge_statement, load_cases, parse_cases, run_case
from gateway.policy.load import load_policy
from gateway.policy.shapes import DocumentInvalid

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
POLICIES = Path(__file__).parents[3] / "policies"
POLICY = load_policy(POLICIES / "payroll.yaml")
OPEN = "{id: SUP-1, assignee: alice, customers: ['42']}"


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in ("payroll", "ledger") for case in load_cases(POLICIES / f"{name}_test.yaml")],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_the_demo_policies_decide_as_their_cases_say(name: str, case: Case) -> None:
    assert run_case(load_policy(POLICIES / f"{name}.yaml"), case, NOW) == []


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


STATEMENT = (
    f"cases:\n  - name: x\n    person: {{login: alice, teams: [support]}}\n    ticket: {OPEN}\n"
    "    expect: approved\n    sql: select email from employees\n    then: "
)


@pytest.mark.parametrize(
    ("then", "came", "wrong"),
    [
        ("{relations: [public.employees]}", {"relations": ["public.employees"]}, ""),
        ("{columns_masked: [public.employees.email], columns_clear: []}",
         {"columns_masked": ["public.employees.email"]}, ""),
        ("{columns_clear: []}", {"columns_clear": ["public.employees.id"]},
         "expected `columns_clear` to be nothing, it is `public.employees.id`"),
        ("{code: relation-not-available}", {"code": "relation-not-available", "reason": "r"}, ""),
        ("{columns_aggregated: [public.employees.salary]}", {"columns_aggregated": []},
         "expected `columns_aggregated` to be `public.employees.salary`, it is nothing"),
        ("{code: relation-not-available}", {"relations": []},
         "to be refused with `relation-not-available`, it is allowed"),
        ("{relations: []}", {"code": "syntax-error", "reason": "at or near"},
         "to be allowed, it is refused with `syntax-error`: at or near"),
    ],
)  # fmt: skip
def test_a_statement_is_held_to_what_it_must_come_to(then: str, came: dict[str, object], wrong: str) -> None:
    (case,) = parse_cases(STATEMENT + then + "\n")

    assert case.sql == "select email from employees"
    assert (" ".join(judge_statement(case, came)) or "").endswith(wrong)
    assert bool(judge_statement(case, came)) is bool(wrong)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("expect: aproved", "did you mean `approved`?"),
        ("expect: ticket-closd", "did you mean `ticket-closed`?"),
        ("", "`expect` is missing"),
        ("expect: approved\n    sql: select 1", "come together"),
        ("expect: approved\n    reveal: [email]", "wanted `schema.table.column`"),
        ("expect: approved\n    sql: select 1\n    then: {code: sintax-error}", "did you mean `syntax-error`?"),
        (
            "expect: approved\n    sql: select 1\n    then: {masked: []}",
            "did you mean `columns_masked`?",
        ),
        ("expect: approved\n    ticked: x", "did you mean `ticket`?"),
    ],
)
def test_a_case_that_is_malformed_is_refused(line: str, wanted: str) -> None:
    with pytest.raises(DocumentInvalid, match=r"cases\.yaml:") as caught:
        parse_cases(f"cases:\n  - name: x\n    person: {{login: alice}}\n    {line}\n")

    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("request: GET /\n", "`sql` or `request`, and `then`, come together"),
        ("request: GET /\n    sql: select 1\n    then: {}", "come together"),
        ("body: x", "`body` is for a `request`"),
        ("request: GET /\n    then: {relations: []}", "`relations` is for a `sql`"),
        ("sql: select 1\n    then: {route: x}", "`route` is for a `request`"),
        ("request: GET /\n    then: {shows: x}", "`answer` is missing"),
    ],
)
def test_a_case_of_a_request_is_whole(more: str, wrong: str) -> None:
    with pytest.raises(DocumentInvalid, match=wrong):
        parse_cases(f"cases:\n  - name: x\n    person: {{login: alice}}\n    expect: approved\n    {more}\n")


def test_a_field_to_reveal_is_named_by_its_route() -> None:
    text = "cases:\n  - name: x\n    person: {login: alice}\n    expect: approved\n    reveal: %s\n"

    for written, wanted in (("'employee.$.a[*].b'", ("employee", "$.a[*].b")), ("public.t.c", ("public.t", "c"))):
        (case,) = parse_cases(text % f"[{written}]")
        assert case.reveal == {wanted}
