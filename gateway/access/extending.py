"""Extensions: a live grant that is to last longer, by the same rules as a new request.

The holder asks with a fresh factor and a reason. What the policy approves by itself is extended at once; else the
extension waits as a request of its own, for the same approvers. Passes and open sessions go on: it is the same grant.

INVARIANT: from its beginning on, with all its extensions, a grant lasts no longer than the policy's maximum.
INVARIANT: a grant for one statement, and one that was taken without approval, is not extended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.access.context import Context
from gateway.access.passes import Register
from gateway.access.records import record_grant, record_request
from gateway.access.values import Judged, SignIn, Wanted
from gateway.access.workflow import Workflow, must_wait
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, Peer, Principal, RequestState
from gateway.policy.schema import Policy
from gateway.store import access


class Extensions:
    """Files extensions, and carries them out."""

    def __init__(self, context: Context, register: Register, workflow: Workflow) -> None:
        self._context, self._register, self._workflow = context, register, workflow

    async def ask(self, signin: SignIn, grant_id: str, seconds: int, reason: str, peer: Peer) -> Grant | Refusal:
        """The grant, extended; or why not: `approval-required` names the request that now waits."""
        try:
            person = await self._context.present(signin.principal.id)
            if isinstance(person, Refusal):
                return person
            return await self._ask(person, signin, grant_id, seconds, reason, peer)
        except GatewayError as error:
            return error.refusal

    async def _ask(
        self, person: Principal, signin: SignIn, grant_id: str, seconds: int, reason: str, peer: Peer
    ) -> Grant | Refusal:
        context = self._context
        grant = self._register.grant(grant_id)
        if grant is None or grant.person != person.id:
            return Refusal("not-found", "there is no such live grant of yours")
        refusal = self._refused(grant, seconds, reason)
        if refusal is not None:
            return refusal
        total = _total(grant, seconds)
        wanted = Wanted(
            person, grant.target, grant.ticket_id, signin.factor_at, reason, total, grant.reveal, write=grant.write,
            factor=signin.factor,
        )  # fmt: skip
        judged = await self._workflow.permitted(wanted)
        if isinstance(judged, Refusal):
            await self._workflow.refuse(wanted, judged, peer)
            return judged
        now = context.clock()
        request = AccessRequest(
            context.new_id("req"), person.id, grant.target, grant.ticket_system, grant.ticket_id, reason.strip()[:500],
            grant.reveal, grant.write, seconds, RequestState.PENDING, now, extends=grant.id,
        )  # fmt: skip
        async with self._workflow.turn:
            possible = self.possible(request, judged)
            if isinstance(possible, Refusal):
                await self._workflow.refuse(wanted, possible, peer)
                return possible
            if judged.approve:
                request = replace(
                    request, state=RequestState.APPROVED, decided_at=now, decision_reason="approved by policy"
                )
            else:
                for one in await context.store(access.list_requests, person=person.id, state=RequestState.PENDING):
                    if one.extends == grant.id:
                        return _must_wait(one)
            await record_request(
                context, request, person, person, peer, request.state, request.reason, ticket=judged.ticket,
                policy=judged.policy,
            )  # fmt: skip
            if not judged.approve:
                await context.store(access.insert_request, request)
                return _must_wait(request)
            extended = await self.carry_out(request, person, peer, by="policy", policy=judged.policy)
            return extended or _over()

    def possible(self, request: AccessRequest, judged: Judged) -> Grant | Refusal:
        """The grant that would be extended; a refusal when it cannot be, or not by so much."""
        grant = self._register.grant(request.extends)
        if grant is None or self._register.over(grant.id, None, self._context.clock()) is not None:
            return _over()
        if grant.ticket_system != judged.ticket.system or set(grant.customers) != set(judged.ticket.customers):
            return Refusal(
                "access-ended", f"the customer of the ticket `{grant.ticket_id}` has changed", "open it again"
            )
        most = judged.policy.access.max_duration_s
        if _total(grant, request.duration_s) > most:
            return Refusal(
                "request-invalid", f"a grant for `{grant.target}` lasts at most {most // 60} minutes in all",
                "ask for less time, or open the ticket anew when it has run out",
            )  # fmt: skip
        return grant

    async def carry_out(
        self, request: AccessRequest, person: Principal, peer: Peer, *, by: str, policy: Policy,
        seen: tuple[str, ...] | None = None, in_name_of: str = "",
    ) -> Grant | None:  # fmt: skip
        """Let the grant last longer, by an approved request; None when it has changed meanwhile.

        Raises `GatewayError`.
        """
        grant = self._register.grant(request.extends)
        if grant is None:
            return None
        longer = replace(grant, expires_at=grant.expires_at + timedelta(seconds=request.duration_s))
        await record_grant(self._context, longer, person, peer, by=by, policy=policy, extended=True)
        args = (grant.id, grant.expires_at, longer.expires_at, request)
        if not await self._context.store(access.extend_grant, *args, seen=seen, in_name_of=in_name_of):
            return None
        self._register.extend(grant.id, longer.expires_at)
        return longer

    def _refused(self, grant: Grant, seconds: int, reason: str) -> Refusal | None:
        over = self._register.over(grant.id, None, self._context.clock())
        if over is not None:
            return over
        if grant.statement:
            return Refusal(
                "request-invalid", "a grant for one statement is not extended",
                "ask with the statement again: gateway open TICKET --statement-file FILE",
            )  # fmt: skip
        if grant.break_glass:
            return Refusal(
                "request-invalid", "what was taken without approval is not extended",
                f"ask for approval: gateway open {grant.ticket_id} --reason WHY",
            )  # fmt: skip
        if seconds <= 0:
            return Refusal("request-invalid", "say by how long", "gateway request extend GRANT --for 1h --reason WHY")
        if not reason.strip():
            return Refusal("request-invalid", "an extension needs a reason", "--reason WHY")
        return None


def _total(grant: Grant, seconds: int) -> int:
    """How many seconds the grant would last in all, rounded up."""
    return -((grant.created_at - grant.expires_at) // timedelta(seconds=1)) + seconds


def _must_wait(request: AccessRequest) -> Refusal:
    return replace(
        must_wait(request), hint="it goes on by itself once that is approved; gateway status shows until when"
    )


def _over() -> Refusal:
    return Refusal("grant-expired", "the grant is over, or was changed meanwhile", "open the ticket again")
