"""How access requests and grants move: one table each, and who may make each move.

Theory of operation. A request is filed as pending, or approved at once where the policy says so. From pending it is
approved by enough approvers, denied by one, cancelled by its requester, or runs out unused. A grant is active until it
runs out or is revoked; an extension moves its end, not its state. Nothing ever leaves another state. `store/access.py`
makes each move by compare-and-swap, so of two racing moves one takes place.

A request for one statement is approved only by who saw just before what it would change (`writing.py`), and its grant
lets that statement run once: a claim and its release move `spent`, by compare-and-swap too.

INVARIANT: nobody approves his own request, nor through a second account of his (same id, same e-mail address, or what
the directory says is the same human being); in whose name somebody decides makes no difference to that, and no two
approvals of a request share a person. Who writes another's address into his own account keeps that other one from
approving, and not from denying.
INVARIANT: an approver is active, in an approving team, and proved a second factor within the last `fresh_s` seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.errors import Refusal
from gateway.model import AccessRequest, Grant, GrantState, Principal, RequestState
from gateway.policy.decide import decide_approval
from gateway.policy.schema import Policy

_AHEAD = timedelta(seconds=60)
"""By how much a factor may seem to have been proved later than now: clocks of several machines differ."""


class Move(StrEnum):
    """What can happen to a request or a grant."""

    APPROVE = "approve"
    DENY = "deny"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REVOKE = "revoke"


REQUEST_MOVES: dict[tuple[RequestState, Move], RequestState] = {
    (RequestState.PENDING, Move.APPROVE): RequestState.APPROVED,
    (RequestState.PENDING, Move.DENY): RequestState.DENIED,
    (RequestState.PENDING, Move.CANCEL): RequestState.CANCELLED,
    (RequestState.PENDING, Move.EXPIRE): RequestState.EXPIRED,
}

GRANT_MOVES: dict[tuple[GrantState, Move], GrantState] = {
    (GrantState.ACTIVE, Move.EXPIRE): GrantState.EXPIRED,
    (GrantState.ACTIVE, Move.REVOKE): GrantState.REVOKED,
}


def decided(
    request: AccessRequest,
    move: Move,
    by: Principal,
    policy: Policy,
    *,
    same_side: Iterable[Principal | None],
    factor_at: datetime,
    now: datetime,
    fresh_s: float,
    right: Principal | None = None,
    counted: int | None = None,
) -> RequestState | Refusal:
    """The state after a person's move: `PENDING` still while approvers are missing.

    `same_side` are the requester and the approvers until now with those in whose names they approved, as the directory
    knows them now; `counted` is how many of those approvals still count, all where it is None. `right` is in whose
    name `by` decides, None for his own.
    """
    target = REQUEST_MOVES.get((request.state, move))
    if target is None or move is Move.EXPIRE:
        return Refusal("request-invalid", f"the request is {request.state.value}", "look at it again")
    if move is Move.CANCEL:
        if by.id != request.person:
            return Refusal("not-found", "there is no such request of yours")
        return target
    if not by.active:
        return Refusal("person-inactive", "the directory says that you are not active")
    refusal = decide_approval(policy, right or by, request.person)
    if refusal is not None:
        return refusal
    if not is_fresh(factor_at, now, fresh_s):
        return stale_factor(fresh_s)
    voices = (by,) if right is None else (by, right)
    # two accounts of one human being are no two approvals; for a No, which gives nothing, only the account counts
    same = same_person if move is Move.APPROVE else same_account
    if by.id in request.decided_by or any(same(voice, other) for other in same_side for voice in voices):
        return Refusal("request-invalid", "nobody decides about a request of his own, or twice", "ask another approver")
    if move is Move.DENY:
        return target
    before = len(request.decided_by) if counted is None else counted
    return target if before + 1 >= policy.access.approver_count else RequestState.PENDING


def overdue(request: AccessRequest, now: datetime, life_s: int) -> bool:
    """Whether a pending request has waited too long."""
    return request.state is RequestState.PENDING and now >= request.created_at + timedelta(seconds=life_s)


def may_revoke(grant: Grant, by: Principal, policy: Policy | None, administrators: frozenset[str]) -> bool:
    """Its holder, an administrator, or somebody who could have approved it: ending access needs less than giving it."""
    approvers = policy.access.approver_teams if policy else frozenset()
    return by.id == grant.person or bool(by.teams & (administrators | approvers))


def same_person(one: Principal, other: Principal | None) -> bool:
    """Whether two accounts belong to one person, as far as the directory shows."""
    if other is None:
        return False
    if one.id == other.id or (one.human != "" and one.human == other.human):
        return True
    return one.email != "" and one.email.casefold() == other.email.casefold()


def same_account(one: Principal, other: Principal | None) -> bool:
    """Whether it is the very same account."""
    return other is not None and one.id == other.id


def is_fresh(factor_at: datetime, now: datetime, fresh_s: float) -> bool:
    """Whether a second factor is recent enough for what needs a recent one.

    FAIL CLOSED: one of the future is not: the clock has gone back, and nobody knows how old it is.
    """
    return -_AHEAD <= now - factor_at <= timedelta(seconds=fresh_s)


def stale_factor(fresh_s: float) -> Refusal:
    """The refusal for a second factor that is older than that."""
    age = f"{fresh_s:g} seconds" if fresh_s % 60 else f"{fresh_s / 60:g} minutes"
    return Refusal(
        "second-factor-required", f"this needs a second factor of the last {age}", "sign in again: gateway login"
    )
