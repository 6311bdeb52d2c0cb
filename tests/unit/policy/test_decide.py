"""Who may have access with which ticket, who must agree, and what a grant shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.model import Principal, Ticket
from gateway.policy.decide import Decision, decide_access, decide_approval, effective_columns
from gateway.policy.load import load_policy
from gateway.policy.schema import WriteRule

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
POLICY = load_policy(Path(__file__).parents[3] / "policies" / "payroll.yaml")
ALICE = Principal("p1", "alice", "Alice", frozenset({"support", "on-call"}))
BOB = Principal("p2", "bob", "Bob", frozenset({"security"}))
TICKET = Ticket("SUP-1423", "file", "payslip missing", "open", "alice", ("42",))
EMAIL = ("public.employees", "email")


def with_access(**changes: Any) -> Any:
    return replace(POLICY, access=replace(POLICY.access, **changes))


def with_ticket_rule(**changes: Any) -> Any:
    return with_access(ticket=replace(POLICY.access.ticket, **changes))


def test_nobody_is_promised_masks_where_a_target_is_only_observed() -> None:
    answer = decide_access(replace(POLICY, mode="observe"), ALICE, TICKET, NOW)
    assert isinstance(answer, Decision)
    assert answer.approve
    assert "not protected" in answer.reasons[-1]
    assert "masked, row-scoped" not in str(answer.reasons)


def test_masked_reads_are_approved_at_once_for_the_default_time() -> None:
    answer = decide_access(POLICY, ALICE, TICKET, NOW)

    assert isinstance(answer, Decision)
    assert answer.approve
    assert answer.policy_digest == POLICY.digest
    assert answer.expires_at == NOW + timedelta(hours=1)
    assert answer.approvers == frozenset()
    assert any("SUP-1423" in reason and "42" in reason for reason in answer.reasons)


@pytest.mark.parametrize(
    ("policy", "reveal"), [(with_access(auto_approve="never"), []), (POLICY, [EMAIL])], ids=["never", "reveal"]
)
def test_everything_else_waits_for_an_approver(policy: Any, reveal: list[tuple[str, str]]) -> None:
    answer = decide_access(policy, ALICE, TICKET, NOW, reveal=reveal, duration_s=28_800)

    assert isinstance(answer, Decision)
    assert not answer.approve
    assert answer.approvers == {"security"}
    assert answer.count == 1
    assert answer.expires_at == NOW + timedelta(hours=8)


@pytest.mark.parametrize(
    ("principal", "ticket", "asked", "code"),
    [
        (replace(ALICE, active=False), TICKET, {}, "person-inactive"),
        (replace(ALICE, teams=frozenset()), TICKET, {}, "not-in-team"),
        (BOB, replace(TICKET, assignee="bob"), {}, "not-in-team"),
        (ALICE, None, {}, "ticket-required"),
        (ALICE, replace(TICKET, id="DEV-1"), {}, "ticket-project-not-allowed"),
        (ALICE, replace(TICKET, id="SUPPORT-1"), {}, "ticket-project-not-allowed"),
        (ALICE, replace(TICKET, id="SUP-1-DEV-1"), {}, "ticket-project-not-allowed"),
        (ALICE, replace(TICKET, status="closed"), {}, "ticket-closed"),
        (ALICE, replace(TICKET, status=""), {}, "ticket-closed"),
        (ALICE, replace(TICKET, status="OPEN"), {}, "ticket-closed"),
        (ALICE, replace(TICKET, assignee="amir"), {}, "ticket-not-yours"),
        (ALICE, replace(TICKET, assignee="", team="support"), {}, "ticket-not-yours"),
        (replace(ALICE, login=""), replace(TICKET, assignee=""), {}, "ticket-not-yours"),
        (ALICE, replace(TICKET, customers=()), {}, "ticket-without-customer"),
        (ALICE, replace(TICKET, customers=("", " ")), {}, "ticket-without-customer"),
        (ALICE, TICKET, {"write": True}, "read-only"),
        (ALICE, TICKET, {"reveal": [("public.employees", "nir")]}, "column-not-available"),
        (ALICE, TICKET, {"reveal": [("public.employees", "notes")]}, "column-not-available"),
        (ALICE, TICKET, {"reveal": [("public.nothing", "email")]}, "column-not-available"),
        (ALICE, TICKET, {"reveal": [EMAIL, ("public.employees", "salary")]}, "column-not-available"),
        (ALICE, TICKET, {"duration_s": 28_801}, "request-invalid"),
        (ALICE, TICKET, {"duration_s": 0}, "request-invalid"),
        (ALICE, TICKET, {"duration_s": -60}, "request-invalid"),
    ],
)
def test_what_is_not_admitted_is_refused_with_its_code(
    principal: Principal, ticket: Ticket | None, asked: dict[str, Any], code: str
) -> None:
    answer = decide_access(POLICY, principal, ticket, NOW, **asked)

    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert answer.hint
    assert not answer.message.endswith(".")


@pytest.mark.parametrize(
    ("ticket", "admitted"),
    [
        (replace(TICKET, assignee="amir", team="support"), True),
        (replace(TICKET, assignee="", team="support"), True),
        (replace(TICKET, team=""), True),
        (replace(TICKET, assignee="amir", team="on-call"), False),
        (replace(TICKET, assignee="amir", team="security"), False),
        (replace(TICKET, assignee="", team=""), False),
    ],
)
def test_a_policy_may_accept_the_tickets_of_a_team_that_it_admits(ticket: Ticket, admitted: bool) -> None:
    answer = decide_access(with_ticket_rule(assigned_to="team"), ALICE, ticket, NOW)

    assert isinstance(answer, Decision) == admitted


def test_without_approvers_nothing_waits_for_ever() -> None:
    policy = with_access(auto_approve="never", approver_teams=frozenset())

    answer = decide_access(policy, ALICE, TICKET, NOW)

    assert isinstance(answer, Refusal)
    assert answer.code == "approval-required"


@pytest.mark.parametrize(
    ("approver", "requester", "code"),
    [
        (BOB, "p1", None),
        (BOB, "p2", "not-in-team"),
        (ALICE, "p3", "not-in-team"),
        (replace(BOB, active=False), "p1", "person-inactive"),
        (replace(BOB, id="p1", login="bob2"), "p1", "not-in-team"),
    ],
)
def test_only_another_person_of_an_approving_team_decides(
    approver: Principal, requester: str, code: str | None
) -> None:
    refusal = decide_approval(POLICY, approver, requester)

    assert (refusal.code if refusal else None) == code


def test_a_grant_shows_masks_except_where_it_reveals() -> None:
    masked = effective_columns(POLICY, "public.employees")
    revealed = effective_columns(POLICY, "public.employees", [EMAIL])

    assert masked["email"].mask.kind == "email"
    assert revealed["email"].mask.kind == "clear"
    assert revealed["email"].search == ""
    assert {name for name in masked if masked[name] != revealed[name]} == {"email"}
    assert effective_columns(POLICY, "public.nothing") == {}


@pytest.mark.parametrize(
    "pair", [("public.employees", "nir"), ("public.companies", "email"), ("public.employees", "notes")]
)
def test_a_grant_reveals_nothing_that_the_policy_does_not_let_be_revealed(pair: tuple[str, str]) -> None:
    assert effective_columns(POLICY, pair[0], [pair]) == effective_columns(POLICY, pair[0])


def writing(**approval: str) -> Any:
    """The policy, with relations that may be written to and who approves that."""
    return replace(
        POLICY, write={f"public.{name}": WriteRule(delete=True, approval=by) for name, by in approval.items()}
    )


@pytest.mark.parametrize(
    ("policy", "statement", "duration_s", "code"),
    [
        (writing(), True, None, "read-only"),
        (writing(employees="statement"), False, None, "read-only"),
        (writing(employees="statement"), True, 3601, "request-invalid"),
        (writing(employees="statement"), True, None, ""),
        (writing(employees="statement"), True, 3600, ""),
        (writing(employees="statement", notes="request"), False, None, ""),
        (writing(employees="statement", notes="request"), False, 28_800, ""),
        (writing(notes="request"), True, None, ""),
    ],
)
def test_writing_waits_for_an_approver_where_it_may_be_asked_for(
    policy: Any, statement: bool, duration_s: int | None, code: str
) -> None:
    answer = decide_access(policy, ALICE, TICKET, NOW, write=True, statement=statement, duration_s=duration_s)

    if code:
        assert isinstance(answer, Refusal)
        assert answer.code == code
        assert answer.hint
    else:
        assert isinstance(answer, Decision)
        assert not answer.approve
        assert answer.expires_at <= NOW + timedelta(seconds=3600 if statement else 28_800)


def test_a_grant_for_one_statement_lasts_an_hour_however_long_the_default_is() -> None:
    policy = replace(writing(employees="statement"), access=replace(POLICY.access, default_duration_s=7200))

    answer = decide_access(policy, ALICE, TICKET, NOW, write=True, statement=True)

    assert isinstance(answer, Decision)
    assert answer.expires_at == NOW + timedelta(hours=1)
