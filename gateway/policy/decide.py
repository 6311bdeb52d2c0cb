"""Decisions of a policy: who may have access with which ticket, who else must agree, and who sees which column how.

INVARIANT: pure. The answer depends on the arguments alone, and every way of saying no has a code and a hint of its
own. Nobody decides about a request of his own, and what a policy no longer lets be revealed is masked again even under
a grant that was made when it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.errors import Refusal
from gateway.model import Principal, Ticket
from gateway.policy.schema import ColumnRule, Mask, Policy

CLEAR = Mask("clear")

STATEMENT_S = 3600
"""How long a grant for one statement lasts at most, in seconds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A request that the policy admits. `approve` says that it is approved at once; otherwise `count` people of the
    teams `approvers` must agree. `expires_at` is when a grant made now would end.
    """

    approve: bool
    reasons: tuple[str, ...]
    policy_digest: str
    expires_at: datetime
    approvers: frozenset[str] = frozenset()
    count: int = 0


def decide_access(
    policy: Policy,
    principal: Principal,
    ticket: Ticket | None,
    now: datetime,
    *,
    write: bool = False,
    statement: bool = False,
    reveal: Iterable[tuple[str, str]] = (),
    duration_s: int | None = None,
    break_glass: bool = False,
) -> Refusal | Decision:
    """Whether `principal` may have access to the policy's target for `ticket`, and whether others must agree.

    `reveal` are (qualified relation, column) pairs wanted in clear; `duration_s` is None for the policy's default.
    `write` asks to write in general; with `statement` it is about one statement that is known.
    `break_glass` asks to do without the others' approval, and without nothing else.
    """
    wanted = frozenset(reveal)
    refusal = (
        _refuse_person(policy, principal)
        or refuse_ticket(policy, principal, ticket)
        or _refuse_writing(policy, write, statement, duration_s)
        or _refuse_request(policy, wanted, duration_s)
        or (_refuse_break_glass(policy, principal, write, statement, duration_s) if break_glass else None)
    )
    if refusal is not None or ticket is None:
        return refusal or _no_ticket()
    access = policy.access
    seconds = duration_s or access.default_duration_s
    expires_at = now + timedelta(seconds=min(seconds, STATEMENT_S) if statement else seconds)
    customers = ", ".join(ticket.customers)
    with_whom = ticket.assignee or ticket.assignee_email or ticket.team
    reasons = [
        f"{principal.login} is in {', '.join(sorted(principal.teams & access.teams))}",
        f"ticket {ticket.id} is {ticket.status}, with {with_whom}, for customer {customers}",
    ]
    if break_glass and access.break_glass is not None:
        expires_at = now + timedelta(seconds=min(seconds, access.break_glass.duration_s))
        reasons.append("breaks the glass: no approval, and a review by somebody else")
        return Decision(True, tuple(reasons), policy.digest, expires_at)
    if access.auto_approve == "masked_reads" and not wanted and not write:
        reasons.append(policy.warning or "masked, row-scoped reads are approved at once")
        return Decision(True, tuple(reasons), policy.digest, expires_at)
    if wanted:
        reasons.append("asks to see in clear: " + ", ".join(sorted(f"{name}.{column}" for name, column in wanted)))
    if write:
        reasons.append("asks to run one statement that writes" if statement else "asks to write")
    if not access.approver_teams:
        # FAIL CLOSED: nobody is named who could agree.
        return Refusal("approval-required", "the request needs an approver, and the policy names none")
    return Decision(False, tuple(reasons), policy.digest, expires_at, access.approver_teams, access.approver_count)


def decide_approval(policy: Policy, approver: Principal, requester: str) -> Refusal | None:
    """Why `approver` may not decide about a request of the person with the id `requester`; None when allowed."""
    if not approver.active:
        return Refusal("person-inactive", "the directory says that you are not active")
    if approver.id == requester:
        return Refusal("not-in-team", "nobody decides about a request of their own", "ask another approver")
    if not approver.teams & policy.access.approver_teams:
        teams = _listed(policy.access.approver_teams)
        return Refusal(
            "not-in-team", "you are in no team that approves requests for this target", f"approvers are in {teams}"
        )
    return None


def effective_columns(policy: Policy, relation: str, reveal: Iterable[tuple[str, str]] = ()) -> dict[str, ColumnRule]:
    """The columns of `relation` that exist for a grant with `reveal`, each with its mask; empty for none."""
    table = policy.table(relation)
    if table is None:
        return {}
    shown = {column for name, column in reveal if name == relation} & policy.reveal.get(relation, frozenset())
    return {
        name: replace(rule, mask=CLEAR, search="", aggregate=None) if name in shown else rule
        for name, rule in table.columns.items()
    }


def _refuse_person(policy: Policy, principal: Principal) -> Refusal | None:
    if not principal.active:
        return Refusal(
            "person-inactive", "the directory says that you are not active", "ask your directory's administrator"
        )
    if not principal.teams & policy.access.teams:
        return Refusal(
            "not-in-team",
            f"you are in no team that may use `{policy.target}`",
            f"the policy admits {_listed(policy.access.teams)}",
        )
    return None


def refuse_ticket(policy: Policy, principal: Principal, ticket: Ticket | None) -> Refusal | None:
    """Why the ticket justifies no access of that person's; None when it does."""
    if ticket is None:
        return _no_ticket()
    rule = policy.access.ticket
    if ticket.project not in rule.projects:
        return Refusal(
            "ticket-project-not-allowed",
            f"ticket `{ticket.id}` is in project `{ticket.project}`, which does not justify access here",
            f"use a ticket of {_listed(rule.projects)}",
            name=ticket.id,
        )
    if ticket.status not in rule.states:
        return Refusal(
            "ticket-closed",
            f"ticket `{ticket.id}` is `{ticket.status}`",
            f"access needs a ticket in state {_listed(rule.states)}",
            name=ticket.id,
        )
    if not _assigned(policy, principal, ticket):
        return Refusal(
            "ticket-not-yours",
            f"ticket `{ticket.id}` is not assigned to you" + (" or your team" if rule.assigned_to == "team" else ""),
            "have it assigned to you, or use a ticket of yours",
            name=ticket.id,
        )
    if not any(customer.strip() for customer in ticket.customers):
        return Refusal(
            "ticket-without-customer",
            f"ticket `{ticket.id}` names no customer",
            "enter the customer on the ticket: rows are shown for that customer only",
            name=ticket.id,
        )
    return None


def _refuse_writing(policy: Policy, write: bool, statement: bool, duration_s: int | None) -> Refusal | None:
    if not write:
        return None
    if not policy.approvals:
        return Refusal("read-only", f"`{policy.target}` can only be read", "ask for read access")
    if not statement and "request" not in policy.approvals:
        return Refusal(
            "read-only",
            f"on `{policy.target}` each statement that writes is approved by itself",
            "ask with the statement: gateway open TICKET --statement 'UPDATE ...'",
        )
    if statement and duration_s is not None and duration_s > STATEMENT_S:
        return Refusal(
            "request-invalid",
            f"a grant for one statement lasts at most {STATEMENT_S // 60} minutes",
            "ask for less time",
        )
    return None


def _refuse_break_glass(
    policy: Policy, principal: Principal, write: bool, statement: bool, duration_s: int | None
) -> Refusal | None:
    rule = policy.access.break_glass
    if rule is None or not principal.teams & rule.teams:
        return Refusal(
            "not-in-team", f"breaking the glass of `{policy.target}` is not for you", "ask without --break-glass"
        )
    if statement:
        return Refusal(
            "request-invalid", "a statement is always approved by somebody else, in an emergency too",
            "break the glass to write in general, where the policy lets you",
        )  # fmt: skip
    if write and not rule.write:
        return Refusal("read-only", f"breaking the glass of `{policy.target}` is for reading", "ask without --write")
    if duration_s is not None and duration_s > rule.duration_s:
        return Refusal(
            "request-invalid", f"breaking the glass lasts at most {rule.duration_s // 60} minutes", "ask for less time"
        )
    return None


def _refuse_request(policy: Policy, reveal: frozenset[tuple[str, str]], duration_s: int | None) -> Refusal | None:
    for relation, column in sorted(reveal):
        if column not in policy.reveal.get(relation, frozenset()):
            return Refusal(
                "column-not-available",
                f"`{relation}.{column}` cannot be shown in clear",
                f"the policy lets {_listed(f'{t}.{c}' for t, cs in policy.reveal.items() for c in cs)} be revealed",
                name=column,
            )
    if duration_s is not None and not 0 < duration_s <= policy.access.max_duration_s:
        return Refusal(
            "request-invalid",
            f"a grant for `{policy.target}` lasts at most {policy.access.max_duration_s // 60} minutes",
            "ask for less time",
        )
    return None


def _assigned(policy: Policy, principal: Principal, ticket: Ticket) -> bool:
    if ticket.assignee and ticket.assignee == principal.login:
        return True
    if ticket.assignee_email and ticket.assignee_email == principal.email.strip().casefold():
        return True
    if policy.access.ticket.assigned_to != "team":
        return False
    return bool(ticket.team) and ticket.team in principal.teams & policy.access.teams


def _no_ticket() -> Refusal:
    return Refusal("ticket-required", "access needs a justification ticket", "name a ticket that is assigned to you")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"
