"""Requests become grants: the moves of `request.py` carried out, each audited, each by compare-and-swap.

INVARIANT: what gives access is recorded durably first and takes effect after; what ends access takes effect first.
Moves run one at a time, so the swap in the store can fail only where another process works on the same store; what
was recorded then and did not take place is followed by a record that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from gateway.access.break_glass import Reviews, review_overdue
from gateway.access.context import Context
from gateway.access.names import is_ticket_id
from gateway.access.passes import Register
from gateway.access.records import record_grant, record_refused, record_request
from gateway.access.request import GRANT_MOVES, Move, is_fresh, may_revoke, overdue, stale_factor
from gateway.access.values import Judged, Reveal, Wanted
from gateway.access.writing import Writing
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, GrantState, Peer, Principal, RequestState, Ticket, Write
from gateway.policy.decide import STATEMENT_S, decide_access
from gateway.store import access

Announce = Callable[[Grant, Principal | None, frozenset[str]], Awaitable[None]]
"""Takes a grant, its person where that is known, and the teams that the policy admits."""

LOCAL = Peer("", engine="gateway")
"""Where the gateway itself acts from."""

_MOST_STATEMENTS = 20
"""How many statements of one person may wait: each is something that somebody else has to read."""


class Workflow:
    """Files, decides and ends; `ended(grant_id)` is called when a grant is over, to cut its sessions.

    `announce` is told each grant that began or ended, after all else, and keeps it from nothing; `in_use` tells
    whether a grant has a session.
    """

    def __init__(
        self, context: Context, register: Register, writing: Writing, reviews: Reviews, ended: Callable[[str], None],
        announce: Announce, in_use: Callable[[str], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        self._context, self._register, self._writing, self._ended = context, register, writing, ended
        self._reviews, self.announce, self._in_use = reviews, announce, in_use
        self.turn = asyncio.Lock()
        """Held by whoever moves requests: one move at a time."""
        self._unsaved: dict[str, tuple[Grant, Peer, Principal | None]] = {}

    async def judge(
        self, person: Principal, target: str, ticket_id: str, reveal: Reveal = frozenset(), duration_s: int = 0, *,
        write: bool = False, statement: bool = False, break_glass: bool = False,
    ) -> Judged | Refusal:  # fmt: skip
        """Whether person, target and ticket go together now. Raises `GatewayError` when the ticket cannot be read."""
        ticket = await self._context.ticket(ticket_id) if is_ticket_id(ticket_id) else None
        return self.judge_on(
            ticket, person, target, ticket_id, reveal, duration_s,
            write=write, statement=statement, break_glass=break_glass,
        )  # fmt: skip

    def judge_on(
        self, ticket: Ticket | None, person: Principal, target: str, ticket_id: str, reveal: Reveal = frozenset(),
        duration_s: int = 0, *, write: bool = False, statement: bool = False, break_glass: bool = False,
    ) -> Judged | Refusal:  # fmt: skip
        """As `judge`, on a ticket that was just read.

        For a grant that lives, `reveal` is left out: what its approval unmasked and the policy took back is masked
        again, and ends nothing.
        """
        policy = self._context.policies(target)
        if policy is None:
            return Refusal("target-not-available", f"there is no target `{target[:64]}` for you")
        lost = self._context.standing.refuse(
            person.id, target, write=write, reveal=bool(reveal), break_glass=break_glass
        )  # fmt: skip
        if lost is not None:
            return lost
        decision = decide_access(
            policy, person, ticket, self._context.clock(), write=write, statement=statement, reveal=reveal,
            duration_s=duration_s or None, break_glass=break_glass,
        )  # fmt: skip
        if isinstance(decision, Refusal) and decision.code == "ticket-required" and ticket_id:
            return Refusal("ticket-not-found", f"there is no ticket `{ticket_id[:64]}`", "look at its id again")
        if isinstance(decision, Refusal) or ticket is None:
            return decision if isinstance(decision, Refusal) else Refusal("ticket-required", "no ticket was found")
        return Judged(policy, ticket, decision.approve)

    async def permitted(self, wanted: Wanted) -> Judged | Refusal:
        """Whether that may be asked for now; approved at once only where nothing of the person's speaks against it."""
        judged = await self.judge(
            wanted.person, wanted.target, wanted.ticket_id, wanted.reveal, wanted.duration_s,
            write=wanted.write, statement=bool(wanted.statement), break_glass=wanted.break_glass,
        )  # fmt: skip
        if isinstance(judged, Refusal):
            return judged
        rule = judged.policy.access
        # a key proves more than a code, so it counts wherever a code does
        if rule.second_factor == "webauthn" != wanted.factor:
            return Refusal(
                "second-factor-required", f"`{wanted.target}` needs the factor {rule.second_factor}",
                "sign in with that one: gateway login",
            )  # fmt: skip
        fresh = self._context.settings.fresh
        fresh_s = min(fresh.open, fresh.break_glass) if wanted.break_glass else fresh.open
        if not is_fresh(wanted.factor_at, self._context.clock(), fresh_s):
            return stale_factor(fresh_s)
        if wanted.direct and not rule.direct_login:
            return Refusal("target-not-available", f"`{wanted.target}` takes no direct logins", "open a pass")
        if judged.approve and await self._reviews.suspended(wanted.person.id):
            if wanted.break_glass or not rule.approver_teams:
                return review_overdue()
            judged = replace(judged, approve=False)
        return judged

    async def obtain(self, wanted: Wanted, peer: Peer) -> tuple[Grant, AccessRequest, Judged] | Refusal:
        """A live grant: one that lives already, a new one where the policy approves, or a request that has to wait.

        An approved grant is used while it lives; one that reveals, by who asks to see something in clear, and by others
        only where nothing else can be had at once. One that the policy gave by itself is used again while at least half
        of the asked time is left (by a direct login: any time), else a new one is made. Who asks to write gets a grant
        that was approved for that: for writing in general, or for the very statement and only until it ran.
        """
        judged = await self.permitted(wanted)
        if isinstance(judged, Refusal):
            return judged
        rule = judged.policy.access
        if wanted.break_glass and not wanted.reason.strip():
            return Refusal("request-invalid", "breaking the glass needs a reason: somebody reviews it", "--reason WHY")
        duration_s = wanted.duration_s or rule.default_duration_s
        if wanted.break_glass and rule.break_glass is not None:
            duration_s = min(duration_s, rule.break_glass.duration_s)
        write: Write | None = None
        if wanted.statement:
            duration_s = min(duration_s, STATEMENT_S)
            found = await self._writing.study(wanted.target, judged.ticket.customers, wanted.reveal, wanted.statement)
            if isinstance(found, Refusal):
                return found
            write, wanted = found, replace(wanted, digest=found.digest)
        async with self.turn:
            grant = self._reusable(wanted, judged, duration_s)
            if grant is not None:
                request = await self._context.store(access.find_request, grant.request_id)
                if request is None:
                    return Refusal("not-found", "the grant's request is not in the store", "tell an operator")
                return grant, request, judged
            return await self._file(wanted, judged, duration_s, peer, write)

    async def revoke(self, by: Principal, grant_id: str, reason: str, peer: Peer) -> Grant | Refusal:
        """End a grant now: its sessions are cut, its passes admit nobody."""
        grant = self._register.grant(grant_id)
        if grant is None:
            return Refusal("not-found", "there is no such live grant, or it is not yours to see")
        policy = self._context.policies(grant.target)
        if not may_revoke(grant, by, policy, self._context.settings.administrators):
            return Refusal("not-found", "there is no such live grant, or it is not yours to see")
        return await self.end(grant, Move.REVOKE, reason or f"revoked by {by.login}", peer, by=by)

    async def end(
        self, grant: Grant, move: Move, reason: str, peer: Peer, *, by: Principal | None = None
    ) -> Grant | Refusal:
        """End a grant: in memory and on open sessions at once, then in the store, then in the trail."""
        state = GRANT_MOVES.get((grant.state, move))
        if state is None:
            return Refusal("request-invalid", f"the grant is {grant.state.value}", "look at it again")
        over = replace(grant, state=state, ended_reason=reason)
        self._register.end_grant(grant.id, state, reason)
        self._ended(grant.id)
        try:
            return await self._save_end(over, peer, by)
        except GatewayError as error:
            if error.code == "store-unavailable":
                self._unsaved[grant.id] = over, peer, by
            raise

    async def save_ends(self) -> None:
        """Bring to the store what ended here while it could not be used. Raises `GatewayError`."""
        for grant_id, (over, peer, by) in list(self._unsaved.items()):
            await self._save_end(over, peer, by)
            del self._unsaved[grant_id]

    async def _save_end(self, over: Grant, peer: Peer, by: Principal | None) -> Grant | Refusal:
        reason = over.ended_reason
        if not await self._context.store(access.move_grant, over.id, GrantState.ACTIVE, over.state, reason):
            return Refusal("request-invalid", "the grant was over already", "look at it again")
        await record_grant(self._context, over, None, peer, by=by.id if by else "gateway", reason=reason)
        await self.announce(over, None, frozenset())
        return over

    async def end_all(self, person: str, reason: str, peer: Peer) -> None:
        """End every grant of a person. Raises the first `GatewayError` after all of them have lost their effect."""
        outages = []
        for grant in self._register.grants():
            if grant.person == person and grant.state is GrantState.ACTIVE:
                try:
                    await self.end(grant, Move.REVOKE, reason, peer)
                except GatewayError as error:
                    outages.append(error)
        if outages:
            raise outages[0]

    async def end_lost(self) -> None:
        """End the grants of people who were suspended, or whose right to them was withdrawn.

        One that was being given at that moment is ended too, so that none comes back with the person.
        Raises `GatewayError`.
        """
        standing = self._context.standing
        for grant in self._register.grants():
            if grant.state is not GrantState.ACTIVE or not standing.affects(grant.person):
                continue
            lost = standing.refuse(
                grant.person, grant.target, write=grant.write, reveal=bool(grant.reveal), break_glass=grant.break_glass
            )
            if standing.suspension(grant.person) is not None:
                await self.end(grant, Move.REVOKE, "the person was suspended", LOCAL)
            elif lost is not None:
                await self.end(grant, Move.REVOKE, lost.message.replace("your right", "the right"), LOCAL)

    async def end_unapproved(self, person: str, reason: str) -> None:
        """End what a person was given without anybody's approval. Raises `GatewayError`."""
        for grant in self._register.grants():
            if grant.person == person and grant.state is GrantState.ACTIVE and not grant.approved_by:
                await self.end(grant, Move.REVOKE, reason, LOCAL)

    async def end_lapsed(self, lapsed: Mapping[str, str]) -> None:
        """End the grants whose tickets justify them no more; a ticket that is opened anew justifies new ones."""
        outages = []
        for grant_id, reason in lapsed.items():
            grant = self._register.grant(grant_id)
            if grant is not None and grant.state is GrantState.ACTIVE:
                try:
                    await self.end(grant, Move.REVOKE, reason, LOCAL)
                except GatewayError as error:
                    outages.append(error)
        if outages:
            raise outages[0]

    async def sweep(self) -> None:
        """Expire what ran out: grants, and requests that nobody decided on."""
        now = self._context.clock()
        for grant in self._register.grants():
            if now < grant.expires_at:
                continue
            if grant.state is GrantState.ACTIVE:
                await self.end(grant, Move.EXPIRE, "ran out", LOCAL)
            elif now >= grant.expires_at + timedelta(minutes=1):
                self._register.forget(grant.id)

    async def sweep_requests(self) -> None:
        """Expire the requests that waited too long, and the approvals that nobody used."""
        await self._sweep_unused()
        context = self._context
        async with self.turn:
            for request in await context.store(access.list_requests, state=RequestState.PENDING):
                now = context.clock()
                if overdue(request, now, context.settings.pending_life_s):
                    move = (request.id, RequestState.PENDING, RequestState.EXPIRED, now, "nobody decided in time")
                    if await context.store(access.move_request, *move):
                        reason = "nobody decided in time"
                        await record_request(context, request, None, None, LOCAL, RequestState.EXPIRED, reason)

    async def _sweep_unused(self) -> None:
        """Expire what was approved and never used: nobody minted a pass for it, and it has no session."""
        before = self._context.clock() - timedelta(seconds=self._context.settings.unused_life_s)
        for grant in self._register.grants():
            waiting = grant.state is GrantState.ACTIVE and grant.approved_by and grant.created_at <= before
            if not waiting or self._in_use(grant.id) or await self._context.store(access.has_passes, grant.id):
                continue
            await self.end(grant, Move.EXPIRE, "nobody used it in time", LOCAL)

    def _reusable(self, wanted: Wanted, judged: Judged, duration_s: int) -> Grant | None:
        now = self._context.clock()
        live = self._register.live(wanted.person.id, wanted.target, wanted.ticket_id, now)
        fitting = [
            grant
            for grant in live
            if (grant.write, grant.statement, grant.spent) == (wanted.write, wanted.digest, False)
            and grant.break_glass == wanted.break_glass
            and wanted.reveal <= grant.reveal
            and grant.ticket_system == judged.ticket.system
            and set(grant.customers) == set(judged.ticket.customers)
            # INVARIANT: nobody gets a mask turned off without asking for it, where masked reads are his at once
            and (wanted.reveal or not grant.reveal or not judged.approve)
        ]
        enough = now + timedelta(seconds=duration_s / 2)
        approved = [grant for grant in fitting if grant.approved_by]
        lasting = [grant for grant in fitting if wanted.direct or not judged.approve or grant.expires_at >= enough]
        return next(iter(approved + lasting), None)

    async def _file(
        self, wanted: Wanted, judged: Judged, duration_s: int, peer: Peer, write: Write | None
    ) -> tuple[Grant, AccessRequest, Judged] | Refusal:
        context = self._context
        now = context.clock()
        if not judged.approve:
            waiting = await self._waiting(wanted)
            if isinstance(waiting, Refusal):
                return waiting
            if waiting is not None:
                return must_wait(waiting)
        request = AccessRequest(
            id=context.new_id("req"),
            person=wanted.person.id,
            target=wanted.target,
            ticket_system=judged.ticket.system,
            ticket_id=judged.ticket.id,
            reason=wanted.reason[:500],
            reveal=wanted.reveal,
            write=wanted.write,
            duration_s=duration_s,
            state=RequestState.APPROVED if judged.approve else RequestState.PENDING,
            created_at=now,
            decided_at=now if judged.approve else None,
            decision_reason=_at_once(wanted) if judged.approve else "",
            statement=wanted.statement,
            digest=wanted.digest,
        )
        grant = self.grant_of(request, judged.ticket, ()) if judged.approve else None
        if grant is not None and wanted.break_glass:
            grant = replace(grant, break_glass=True)
        await record_request(
            context, request, wanted.person, wanted.person, peer, request.state, request.reason,
            ticket=judged.ticket, policy=judged.policy, write=write,
        )  # fmt: skip
        if grant is None:
            await context.store(access.insert_request, request)
            return must_wait(request)
        by = "break-glass" if grant.break_glass else "policy"
        await record_grant(context, grant, wanted.person, peer, by=by, policy=judged.policy)
        if grant.break_glass:
            await self._reviews.opened(request, grant, wanted, judged, peer)
        else:
            await context.store(access.insert_request, request, grant)
        self._register.put_grant(grant)
        await self.announce(grant, wanted.person, judged.policy.access.teams)
        return grant, request, judged

    async def _waiting(self, wanted: Wanted) -> AccessRequest | Refusal | None:
        """The same request when it waits already; a refusal when too many wait."""
        pending = await self._context.store(access.list_requests, person=wanted.person.id, state=RequestState.PENDING)
        same = (wanted.target, wanted.ticket_id, wanted.reveal, wanted.write, wanted.digest)
        for one in pending:
            if not one.extends and (one.target, one.ticket_id, one.reveal, one.write, one.digest) == same:
                return one
        if wanted.statement and sum(one.statement != "" for one in pending) >= _MOST_STATEMENTS:
            return Refusal(
                "request-invalid", f"{_MOST_STATEMENTS} statements of yours wait already",
                "take some back: gateway requests, gateway cancel ID",
            )  # fmt: skip
        return None

    def grant_of(self, request: AccessRequest, ticket: Ticket, approvers: tuple[str, ...]) -> Grant:
        """The grant that an approved request becomes; it begins now."""
        now = self._context.clock()
        seconds = min(request.duration_s, STATEMENT_S) if request.statement else request.duration_s
        return Grant(
            id=self._context.new_id("grant"),
            request_id=request.id,
            person=request.person,
            target=request.target,
            ticket_system=request.ticket_system,
            ticket_id=request.ticket_id,
            customers=ticket.customers,
            reveal=request.reveal,
            write=request.write,
            state=GrantState.ACTIVE,
            created_at=now,
            expires_at=now + timedelta(seconds=seconds),
            approved_by=approvers,
            statement=request.digest,
        )

    async def refuse(self, wanted: Wanted, refusal: Refusal, peer: Peer) -> None:
        """Record a request that was not even filed."""
        await record_refused(self._context, wanted, refusal, peer)


def _at_once(wanted: Wanted) -> str:
    return "break-glass" if wanted.break_glass else "approved by policy"


def must_wait(request: AccessRequest) -> Refusal:
    """The refusal for what somebody else has to agree to first."""
    return Refusal(
        "approval-required",
        f"request `{request.id}` waits for an approver",
        "open the ticket again once it is approved",
        name=request.id,
    )
