"""Access without approval, in an emergency: taken at once, told at once, and reviewed by somebody else.

Theory of operation. Breaking the glass leaves out the approvers and nothing else: the ticket must live, be the
person's, and name the customer; team, second factor, masks of what was not asked for, scope and budgets stay. Each such
grant has a review, due after one business day: 24 hours of Monday to Friday, UTC. An approver of the target finds it
justified or not. While one of a person's is late or unjustified, nothing is approved for him at once any more; an
administrator settles what was unjustified.

INVARIANT: the opening is durable in the trail, whose alert rules tell security, before it has an effect; the grant is
never in the store without its review.
INVARIANT: nobody reviews his own access, nor through a second account of his, nor that of who made him a delegate, nor
with an old second factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.access.context import Context, verdict, where, who
from gateway.access.delegation import Delegations
from gateway.access.records import named
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.standing import right_withdrawn
from gateway.access.values import Judged, SignIn, Wanted
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, Peer, Principal
from gateway.policy.decide import decide_approval
from gateway.policy.rights import Right
from gateway.store import reviews as rows
from gateway.store.reviews import Review, ReviewState

_MOVES: dict[tuple[ReviewState, ReviewState], str] = {
    (ReviewState.DUE, ReviewState.JUSTIFIED): "approvers",
    (ReviewState.DUE, ReviewState.UNJUSTIFIED): "approvers",
    (ReviewState.OVERDUE, ReviewState.JUSTIFIED): "approvers",
    (ReviewState.OVERDUE, ReviewState.UNJUSTIFIED): "approvers",
    (ReviewState.UNJUSTIFIED, ReviewState.SETTLED): "administrators",
}
"""Who may make each move. A review becomes overdue by itself, and nothing leaves another state."""

OPEN = (ReviewState.DUE, ReviewState.OVERDUE, ReviewState.UNJUSTIFIED)


class Reviews:
    """Opens, lists and decides reviews. `is_member` tells who has which role."""

    def __init__(self, context: Context, is_member: Callable[[Principal, str], bool], delegations: Delegations) -> None:
        self._context, self._is_member, self._delegations = context, is_member, delegations

    async def suspended(self, person: str) -> bool:
        """Whether nothing may be approved for that person at once."""
        return await self._context.store(rows.suspends, person, self._context.clock())

    async def opened(self, request: AccessRequest, grant: Grant, wanted: Wanted, judged: Judged, peer: Peer) -> None:
        """Record that somebody broke the glass, and keep grant and review. Raises `GatewayError`."""
        context, person = self._context, wanted.person
        due_at = one_business_day_after(grant.created_at)
        review = Review(
            grant.id, person.id, grant.target, grant.ticket_id, request.reason, ReviewState.DUE, grant.created_at,
            due_at,
        )  # fmt: skip
        age = max(0, int((grant.created_at - wanted.factor_at).total_seconds()))
        await context.record(
            "break_glass.opened", **who(person), **where(peer), factor_age_s=age, decision="permit",
            reason=request.reason, policy=judged.policy.digest, target=grant.target, reveal=named(grant.reveal),
            write=grant.write or None, expires_at=grant.expires_at.isoformat(), due_at=due_at.isoformat(),
            ticket_system=grant.ticket_system, ticket=grant.ticket_id, ticket_state=judged.ticket.status,
            customers=list(grant.customers), grant=grant.id, request=request.id,
        )  # fmt: skip
        await context.store(rows.insert, request, grant, review)

    async def reviews(self, signin: SignIn, *, live: bool = True) -> list[Review] | Refusal:
        """One's own, and those that one may decide on; all of them for administrators. `live`: what is not done."""
        try:
            found = await self._context.store(rows.newest, states=OPEN if live else ReviewState)
        except GatewayError as error:
            return error.refusal
        return [one for one in found if self._sees(signin.principal, one)]

    async def decide(self, signin: SignIn, grant_id: str, to: ReviewState, note: str, peer: Peer) -> Review | Refusal:
        """Find somebody else's access justified or not, or settle what was not."""
        try:
            return await self._decide(signin, grant_id, to, note.strip()[:500], peer)
        except GatewayError as error:
            return error.refusal

    async def sweep(self) -> list[str]:
        """Mark what is late; returns whose it is. Raises `GatewayError`."""
        context, late = self._context, []
        for review in await context.store(rows.newest, states=[ReviewState.DUE]):
            if context.clock() < review.due_at:
                continue
            facts = {"target": review.target, "ticket": review.ticket_id, "grant": review.grant_id}
            await context.record("break_glass.overdue", **facts, person=review.person, due_at=review.due_at.isoformat())
            if await context.store(rows.move, review.grant_id, ReviewState.DUE, ReviewState.OVERDUE):
                late.append(review.person)
        return late

    async def _decide(self, signin: SignIn, grant_id: str, to: ReviewState, note: str, peer: Peer) -> Review | Refusal:
        context = self._context
        by = await context.present(signin.principal.id)
        if isinstance(by, Refusal):
            return by
        review = await context.store(rows.find, grant_id)
        if review is None or not self._sees(by, review):
            return Refusal("not-found", "there is no such review, or it is not yours to see")
        holder = await context.by_id(review.person)
        refusal = self._refused(signin, by, holder, review, to, note)
        if refusal is None and await self._delegations.is_on_the_side_of(by, review.person, review.opened_at):
            refusal = Refusal(
                "request-invalid", "nobody reviews an access of who made him a delegate", "ask another approver"
            )
        now = context.clock()
        if refusal is None:
            await self._record(review, to, by, signin, peer, reason=note)
            if await context.store(rows.move, grant_id, review.state, to, by.id, note, now):
                return replace(review, state=to, reviewed_by=by.id, reviewed_at=now, note=note)
            refusal = Refusal("request-invalid", "somebody else decided at this moment", "look at it again")
        await self._record(review, review.state, by, signin, peer, refusal=refusal)
        return refusal

    def _refused(
        self, signin: SignIn, by: Principal, holder: Principal | None, review: Review, to: ReviewState, note: str
    ) -> Refusal | None:
        context, role = self._context, _MOVES.get((review.state, to))
        if by.id == review.person or same_person(by, holder):
            return Refusal("request-invalid", "nobody reviews an access of his own", "ask another approver")
        if role is None:
            return Refusal("request-invalid", f"the review is {review.state.value}", "look at it again")
        if role == "administrators" and not self._is_member(by, role):
            return Refusal("not-in-team", "settling what was unjustified is for administrators")
        policy = context.policies(review.target)
        if role == "approvers":
            if policy is None:
                return Refusal("not-found", "the target is not there any more")
            refusal = decide_approval(policy, by, review.person)
            if refusal is None and context.standing.has_lost(by.id, review.target, Right.APPROVE):
                refusal = right_withdrawn(Right.APPROVE, review.target)
            if refusal is not None:
                return refusal
        if not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.review):
            return stale_factor(context.settings.fresh.review)
        if not note:
            return Refusal("request-invalid", "a review says what was found", "--reason WHAT")
        return None

    def _sees(self, viewer: Principal, review: Review) -> bool:
        policy = self._context.policies(review.target)
        approvers = policy.access.approver_teams if policy is not None else frozenset()
        return viewer.id == review.person or bool(viewer.teams & approvers) or self._is_member(viewer, "administrators")

    async def _record(
        self, review: Review, state: ReviewState, by: Principal, signin: SignIn, peer: Peer, *,
        reason: str = "", refusal: Refusal | None = None,
    ) -> None:  # fmt: skip
        age = max(0, int((self._context.clock() - signin.factor_at).total_seconds()))
        facts = verdict(refusal) if refusal is not None else {"decision": "permit", "reason": reason}
        await self._context.record(
            "break_glass.review", **who(by), **where(peer), **facts, factor=signin.factor, factor_age_s=age,
            target=review.target, ticket=review.ticket_id, grant=review.grant_id, state=state.value, of=review.person,
        )  # fmt: skip


def one_business_day_after(moment: datetime) -> datetime:
    """24 hours of Monday to Friday later, in the moment's own time zone; holidays count as days like others."""
    if moment.weekday() >= 5:
        moment = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=7 - moment.weekday())
    due = moment + timedelta(days=1)
    return due + timedelta(days=2) if due.weekday() == 5 else due


def review_overdue() -> Refusal:
    """Why nothing is given at once to somebody whose break-glass access was not reviewed, or not found justified."""
    return Refusal(
        "review-overdue",
        "an access that you took without approval was not reviewed in time, or not found justified",
        "ask an approver to review it: gateway reviews",
    )
