"""Decisions about requests: who may make them is in `request.py` and `delegation.py`; here they are carried out.

INVARIANT: the approval that completes a request counts all of them again: an approver who has left the team since, or
whose delegation is over, does not count any more, and the grant names those who do.
INVARIANT: what gives access is recorded durably first and takes effect after, by compare-and-swap in the store; what
was recorded and did not take place is followed by a record that says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.access.context import Context
from gateway.access.delegation import Delegations, Voice
from gateway.access.extending import Extensions
from gateway.access.passes import Register
from gateway.access.records import record_grant, record_request
from gateway.access.request import Move, decided, overdue
from gateway.access.values import SignIn
from gateway.access.workflow import Workflow
from gateway.access.writing import Writing
from gateway.errors import Refusal
from gateway.model import AccessRequest, Peer, Principal, RequestState, Write
from gateway.policy.schema import Policy
from gateway.store import access


@dataclass(frozen=True, slots=True)
class Standpoint:
    """What a move would come to: the state after it, who makes it, whose request it is, and the approvals before."""

    state: RequestState
    voice: Voice
    requester: Principal | None
    before: tuple[Voice, ...] = ()

    @property
    def approvers(self) -> tuple[str, ...]:
        """The ids of those who have approved, and still count, after this one."""
        return (*(one.by.id for one in self.before), self.voice.by.id)


class Decisions:
    """Approves, denies and cancels."""

    def __init__(
        self, context: Context, register: Register, workflow: Workflow, writing: Writing, delegations: Delegations,
        extensions: Extensions,
    ) -> None:  # fmt: skip
        self._context, self._register, self._workflow = context, register, workflow
        self._writing, self._delegations, self._extensions = writing, delegations, extensions

    async def decide(
        self, signin: SignIn, request_id: str, move: Move, reason: str, peer: Peer, in_name_of: str = ""
    ) -> AccessRequest | Refusal:
        """Make a move. Raises `GatewayError`."""
        async with self._workflow.turn:
            request = await self._context.store(access.find_request, request_id)
            policy = self._context.policies(request.target) if request is not None else None
            if request is None or policy is None:
                return Refusal("not-found", "there is no such request, or it is not yours to see")
            outcome = await self._decide(signin, request, policy, move, reason, peer, in_name_of)
            if isinstance(outcome, Refusal):
                await record_request(
                    self._context, request, None, signin.principal, peer, request.state, reason, refusal=outcome
                )
            return outcome

    async def standpoint(
        self, signin: SignIn, by: Principal, request: AccessRequest, policy: Policy, move: Move, in_name_of: str = ""
    ) -> Standpoint | Refusal:
        """What the move would come to now, or why that person may not make it. Raises `GatewayError`."""
        context = self._context
        requester = await context.by_id(request.person)
        voice: Voice | Refusal = Voice(by)
        if move is not Move.CANCEL and by.id != request.person:
            voice = await self._delegations.voice(by, request, policy, in_name_of)
        if isinstance(voice, Refusal):
            return voice
        ids = {*request.decided_by, *request.in_name_of} - {""}
        earlier = [await context.by_id(one) for one in sorted(ids)]
        before = await self._delegations.standing(request, policy, requester) if move is Move.APPROVE else []
        state = decided(
            request, move, by, policy,
            same_side=[requester, *earlier], factor_at=signin.factor_at, now=context.clock(),
            fresh_s=context.settings.fresh.approve, right=voice.right, counted=len(before),
        )  # fmt: skip
        return state if isinstance(state, Refusal) else Standpoint(state, voice, requester, tuple(before))

    async def _decide(
        self, signin: SignIn, request: AccessRequest, policy: Policy, move: Move, reason: str, peer: Peer,
        in_name_of: str,
    ) -> AccessRequest | Refusal:  # fmt: skip
        context = self._context
        now = context.clock()
        by = await context.by_id(signin.principal.id)
        if by is None:
            return Refusal("person-inactive", "the directory does not know you any more")
        if overdue(request, now, context.settings.pending_life_s):
            return Refusal("request-invalid", "the request waited too long", "let it be filed again")
        found = await self.standpoint(signin, by, request, policy, move, in_name_of)
        if isinstance(found, Refusal):
            return found
        if move is Move.DENY and not reason.strip():
            return Refusal(
                "request-invalid",
                "a denial says why: the requester reads it",
                f"gateway deny {request.id} --reason WHY",
            )
        if move is not Move.APPROVE:
            await record_request(
                context, request, found.requester, by, peer, found.state, reason, policy=policy,
                in_name_of=found.voice.name,
            )  # fmt: skip
            moved = await context.store(access.move_request, request.id, request.state, found.state, now, reason)
            done = replace(request, state=found.state, decided_at=now, decision_reason=reason)
            return done if moved else _lost()
        return await self._approve(request, policy, found, by, reason, peer)

    async def _approve(
        self, request: AccessRequest, policy: Policy, found: Standpoint, by: Principal, reason: str, peer: Peer
    ) -> AccessRequest | Refusal:
        context, requester, name = self._context, found.requester, found.voice.name
        now = context.clock()
        if requester is None or not requester.active:
            return Refusal("person-inactive", "the requester is not active any more")
        judged = await self._workflow.judge(
            requester, request.target, request.ticket_id, request.reveal, write=request.write,
            statement=bool(request.statement),
        )  # fmt: skip
        if isinstance(judged, Refusal):
            return judged
        if judged.ticket.system != request.ticket_system:
            return Refusal("ticket-not-found", "the ticket is another system's now", "let the request be filed again")
        if request.extends:
            longer = self._extensions.possible(request, judged)
            if isinstance(longer, Refusal):
                return longer
        write: Write | None = None
        if request.statement:
            counting = replace(request, decided_by=found.approvers[:-1])
            study = await self._writing.approvable(counting, judged.ticket, judged.policy, by)
            if isinstance(study, Refusal):
                return study
            write = study
        await record_request(
            context, request, requester, by, peer, found.state, reason, ticket=judged.ticket, policy=policy,
            approvers=found.approvers, write=write, in_name_of=name,
        )  # fmt: skip
        approved = replace(
            request, decided_by=(*request.decided_by, by.id), in_name_of=(*request.in_name_of, name), state=found.state
        )
        if found.state is RequestState.PENDING:
            args = (request.id, by.id, now, request.decided_by, name)
            return approved if await context.store(access.add_approval, *args) else _lost()
        approved = replace(approved, decided_at=now, decision_reason=reason)
        if request.extends:
            extended = await self._extensions.carry_out(
                approved, requester, peer, by=by.id, policy=policy, seen=request.decided_by, in_name_of=name
            )
            return approved if extended is not None else _lost()
        grant = self._workflow.grant_of(request, judged.ticket, found.approvers)
        await record_grant(context, grant, requester, peer, by=by.id, policy=policy)
        moved = await context.store(
            access.move_request, request.id, request.state, found.state, now, reason, grant=grant,
            seen=request.decided_by, in_name_of=name,
        )  # fmt: skip
        if not moved:
            return _lost()
        self._register.put_grant(grant)
        await self._workflow.announce(grant, requester, policy.access.teams)
        return approved


def _lost() -> Refusal:
    return Refusal("request-invalid", "the request changed meanwhile; nothing was done", "look at it again")
