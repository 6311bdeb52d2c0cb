"""Deciding in somebody's name: an approver names a delegate for a while, who decides as he could.

Theory of operation. A delegation lends one thing: the right to decide about requests, as long as its delegator has that
right himself, of his own, at that moment. What was lent is not lent on. Both are named in what is recorded and shown.
Who made somebody a delegate has him on his side: so he decides about no request of his delegator, nor of whoever made
that one a delegate, whether in another's name or in his own; and a delegation that was ended after a request was filed
counts still for that request.

INVARIANT: a delegation never lets anybody decide about his own request or his delegator's, nor lets one right count
twice for one request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.access.context import Context, verdict, where, who
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.standing import right_withdrawn
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Peer, Principal
from gateway.policy.decide import decide_approval
from gateway.policy.rights import Right
from gateway.policy.schema import Policy
from gateway.store import delegations as rows
from gateway.store.delegations import Delegation

LONGEST = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Voice:
    """Who decides, and in whose name: None for his own."""

    by: Principal
    right: Principal | None = None

    @property
    def people(self) -> tuple[Principal, ...]:
        """Everybody whom it takes up for a request."""
        return (self.by,) if self.right is None else (self.by, self.right)

    @property
    def name(self) -> str:
        """The id of the one in whose name; empty for his own."""
        return "" if self.right is None else self.right.id


class Delegations:
    """Who decides in whose name. `is_member` tells who has which role."""

    def __init__(self, context: Context, is_member: Callable[[Principal, str], bool]) -> None:
        self._context, self._is_member = context, is_member

    async def set(
        self, signin: SignIn, login: str, starts_at: datetime | None, ends_at: datetime, reason: str, peer: Peer
    ) -> Delegation | Refusal:
        """Let the person of that login decide in one's own name for a while."""
        try:
            by = await self._context.present(signin.principal.id)
            if isinstance(by, Refusal):
                return by
            delegate = await self._context.find(login)
            now = self._context.clock()
            begins = max(now, starts_at or now)
            refusal = self._refused(signin, by, delegate, login, begins, ends_at)
            new = Delegation(
                self._context.new_id("delegation"), by.id, delegate.id if delegate else "", reason.strip()[:500],
                begins, ends_at,
            )  # fmt: skip
            if refusal is None:
                await self._record(new, "set", by, signin, peer)
                problem = await self._context.store(rows.insert, new)
                if not problem:
                    return new
                refusal = Refusal("request-invalid", problem, "gateway delegate list shows them, end takes one back")
            await self._record(new, "refused", by, signin, peer, refusal=refusal)
            return refusal
        except GatewayError as error:
            return error.refusal

    async def listed(self, signin: SignIn, *, live: bool = True) -> list[Delegation] | Refusal:
        """One's own, given and received; all for administrators and approvers. `live` leaves out what is over."""
        try:
            viewer, now = signin.principal, self._context.clock()
            everything = self._is_member(viewer, "administrators") or self._is_member(viewer, "approvers")
            return [
                one
                for one in await self._context.store(rows.newest)
                if (everything or viewer.id in (one.delegator, one.delegate)) and not (live and now >= one.over_at)
            ]
        except GatewayError as error:
            return error.refusal

    async def end(self, signin: SignIn, delegation_id: str, peer: Peer) -> Delegation | Refusal:
        """End a delegation: one that was given or received, any for administrators. It takes effect first."""
        try:
            by = await self._context.present(signin.principal.id)
            if isinstance(by, Refusal):
                return by
            found = await self._context.store(rows.find, delegation_id)
            mine = found is not None and by.id in (found.delegator, found.delegate)
            if found is None or not (mine or self._is_member(by, "administrators")):
                return Refusal("not-found", "there is no such delegation, or it is not yours to see")
            if not await self._context.store(rows.end, found.id, self._context.clock()):
                return Refusal("request-invalid", "the delegation is over already", "gateway delegate list --all")
            await self._record(found, "ended", by, signin, peer)
            return found
        except GatewayError as error:
            return error.refusal

    async def lenders(self, person: Principal) -> list[Principal]:
        """Whoever lends that person his right to decide now, himself active. Raises `GatewayError`."""
        now = self._context.clock()
        lent = [one for one in await self._context.store(rows.within, now, now) if one.delegate == person.id]
        found = [await self._context.by_id(one.delegator) for one in lent if one.live(now)]
        return [one for one in found if one is not None and one.active]

    async def may_decide(self, person: Principal, request: AccessRequest, policy: Policy) -> bool:
        """Whether the person could decide about such a request, in his own name or in another's."""
        if self.refuse_approver(policy, person, request.person) is None:
            return True
        lenders = await self.lenders(person)
        return any(self.refuse_approver(policy, one, request.person) is None for one in lenders)

    async def voice(self, by: Principal, request: AccessRequest, policy: Policy, in_name_of: str) -> Voice | Refusal:
        """In whose name `by` decides: his own where he may, else in that of who lends him his right.

        `in_name_of` is a login, for who chooses. Raises `GatewayError`.
        """
        own = self.refuse_approver(policy, by, request.person)
        if not in_name_of and own is None:
            found = Voice(by)
        else:
            able = [
                one
                for one in await self.lenders(by)
                if self.refuse_approver(policy, one, request.person) is None and in_name_of in ("", one.login)
            ]
            if not able and in_name_of:
                return Refusal(
                    "not-in-team", f"you do not decide in the name of `{in_name_of[:64]}` here",
                    "gateway delegate list shows who has made you a delegate",
                )  # fmt: skip
            if not able:
                assert own is not None
                return own
            if len(able) > 1:
                names = ", ".join(sorted(one.login for one in able))
                return Refusal("request-invalid", f"you may decide in the name of {names}", "say whose: --for LOGIN")
            found = Voice(by, able[0])
        side = await self._side_of(request.person, request.created_at)
        if any(self._is_among(one, side) for one in found.people):
            return Refusal(
                "request-invalid", "nobody decides about a request of who made him a delegate", "ask another approver"
            )
        return found

    async def standing(self, request: AccessRequest, policy: Policy, requester: Principal | None) -> list[Voice]:
        """The approvals until now that still count: of people who could still give them, no two of one person.

        Raises `GatewayError`.
        """
        kept: list[Voice] = []
        taken: list[Principal] = [requester] if requester is not None else []
        for person, name in zip(request.decided_by, request.in_name_of, strict=True):
            by = await self._context.by_id(person)
            right = await self._context.by_id(name) if name else None
            if by is None or not by.active or (name and right is None):
                continue
            voice = await self.voice(by, request, policy, right.login if right is not None else "")
            if isinstance(voice, Refusal) or voice.name != name:
                continue
            if any(same_person(one, other) for one in voice.people for other in taken):
                continue
            kept.append(voice)
            taken += voice.people
        return kept

    def refuse_approver(self, policy: Policy, person: Principal, requester: str) -> Refusal | None:
        """Why that person has no right of his own to decide about a request of `requester`."""
        refusal = decide_approval(policy, person, requester)
        if refusal is None and self._context.standing.has_lost(person.id, policy.target, Right.APPROVE):
            return right_withdrawn(Right.APPROVE, policy.target)
        return refusal

    async def is_on_the_side_of(self, one: Principal, person: str, since: datetime) -> bool:
        """Whether that person made him a delegate, or somebody who made another one his, since that moment.

        Raises `GatewayError`.
        """
        return self._is_among(one, await self._side_of(person, since))

    async def _side_of(self, person: str, since: datetime) -> list[Principal | str]:
        """Whoever the person made a delegate since then, and so on from there."""
        known = await self._context.store(rows.within, since, self._context.clock())
        side: list[Principal | str] = [await self._context.by_id(person) or person]
        waiting = [(one, await self._context.by_id(one.delegator) or one.delegator) for one in known]
        grew = True
        while grew:
            grew = False
            for one, delegator in list(waiting):
                if self._is_among(delegator, side):
                    waiting.remove((one, delegator))
                    side.append(await self._context.by_id(one.delegate) or one.delegate)
                    grew = True
        return side[1:]

    def _is_among(self, one: Principal | str, others: list[Principal | str]) -> bool:
        """Whether that person is one of them; who is not in the directory any more is told by id alone."""
        for other in others:
            mine, theirs = (each.id if isinstance(each, Principal) else each for each in (one, other))
            if mine == theirs:
                return True
            if isinstance(one, Principal) and isinstance(other, Principal) and same_person(one, other):
                return True
        return False

    def _refused(
        self, signin: SignIn, by: Principal, delegate: Principal | None, login: str, begins: datetime, ends: datetime
    ) -> Refusal | None:
        context = self._context
        if not self._is_member(by, "approvers"):
            return Refusal("not-in-team", "only who approves requests has a right to lend", "ask an approver")
        if not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.approve):
            return stale_factor(context.settings.fresh.approve)
        if delegate is None or not delegate.active:
            return Refusal("not-found", f"the directory has no active person `{login[:64]}`", "look at the login again")
        if same_person(by, delegate):
            return Refusal("request-invalid", "nobody is a delegate of his own", "name somebody else")
        if not begins < ends <= begins + LONGEST:
            return Refusal(
                "request-invalid", f"a delegation ends after it begins, and within {LONGEST.days} days",
                "gateway delegate set LOGIN --for 7d",
            )  # fmt: skip
        return None

    async def _record(
        self, one: Delegation, state: str, by: Principal, signin: SignIn, peer: Peer, *, refusal: Refusal | None = None
    ) -> None:
        age = max(0, int((self._context.clock() - signin.factor_at).total_seconds()))
        facts: dict[str, Any] = verdict(refusal) if refusal is not None else {"decision": "permit"}
        if refusal is None and one.reason:
            facts["reason"] = one.reason
        await self._context.record(
            "delegation", **who(by), **where(peer), **facts, factor=signin.factor, factor_age_s=age, delegation=one.id,
            state=state, delegator=one.delegator, delegate=one.delegate, starts_at=one.starts_at.isoformat(),
            expires_at=one.ends_at.isoformat(),
        )  # fmt: skip
