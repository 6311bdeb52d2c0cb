"""How access requests and grants move: one table each, and who may make each move.

Theory of operation. A request is filed as pending, or approved at once where the policy says so. From pending it is
approved by enough approvers, denied by one, cancelled by its requester, or runs out unused. A grant is active until it
runs out or is revoked. Nothing ever leaves another state. `store/access.py` makes each move by compare-and-swap, so of
two racing moves one takes place.

A request for one statement is approved only by who saw just before what it would change (`writing.py`), and its grant
lets that statement run once: a claim and its release move `spent`, by compare-and-swap too.

INVARIANT: nobody decides on his own request, nor through a second account of his (same id or same e-mail address).
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
    fresh_s: int,
) -> RequestState | Refusal:
    """The state after a person's move: `PENDING` still while approvers are missing.

    `same_side` are the requester and the approvers counted so far, as the directory knows them now.
    """
    target = REQUEST_MOVES.get((request.state, move))
    if target is None or move is Move.EXPIRE:
        return Refusal("request-invalid", f"the request is {request.state.value}", "look at it again")
    if move is Move.CANCEL:
        if by.id != request.person:
            return Refusal("not-found", "there is no such request of yours")
        return target
    refusal = decide_approval(policy, by, request.person)
    if refusal is not None:
        return refusal
    if not is_fresh(factor_at, now, fresh_s):
        return stale_factor()
    if by.id in request.decided_by or any(same_person(by, other) for other in same_side):
        return Refusal("request-invalid", "nobody decides about a request of his own, or twice", "ask another approver")
    if move is Move.DENY:
        return target
    return target if len(request.decided_by) + 1 >= policy.access.approver_count else RequestState.PENDING


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
    return one.id == other.id or (one.email != "" and one.email.casefold() == other.email.casefold())


def is_fresh(factor_at: datetime, now: datetime, fresh_s: int) -> bool:
    """Whether a second factor is recent enough for what needs a recent one."""
    return now - factor_at <= timedelta(seconds=fresh_s)


def stale_factor() -> Refusal:
    """The refusal for a second factor that is too old."""
    return Refusal("second-factor-required", "this needs a recent second factor", "sign in again")
