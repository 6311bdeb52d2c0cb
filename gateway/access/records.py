"""What the trail gets to know of requests and grants.

INVARIANT: never the statement of a request as it was filed: its digest under a key (`Keys.mark`), and its text without
literals.
"""

from __future__ import annotations

from typing import Any

from gateway.access.context import Context, where, who
from gateway.access.names import is_ticket_id
from gateway.access.values import Reveal, Wanted
from gateway.errors import Refusal
from gateway.model import AccessRequest, Grant, Peer, Principal, RequestState, Ticket, Write
from gateway.policy.schema import Policy
from gateway.record import verdict_fields
from gateway.sql.rooms import normalise


async def record_refused(context: Context, wanted: Wanted, refusal: Refusal, peer: Peer) -> None:
    """Record a request that was not even filed."""
    # What names no target and cannot name a ticket may be a secret typed into the wrong field.
    policy = context.policies(wanted.target)
    known = policy is not None
    formed = is_ticket_id(wanted.ticket_id)
    shown = refusal if known and formed else Refusal(refusal.code, refusal.meaning.meaning)
    sql = await context.work(normalise, wanted.statement, policy) if wanted.statement and policy is not None else ""
    await context.record(
        "request", **who(wanted.person), **where(peer), **verdict_fields(shown), target=wanted.target if known else "",
        ticket=wanted.ticket_id if formed else "", state="refused", write=wanted.write or None, sql=sql,
        reveal=named(wanted.reveal) if known else (),
    )  # fmt: skip


async def record_request(
    context: Context, request: AccessRequest, requester: Principal | None, by: Principal | None, peer: Peer,
    state: RequestState, reason: str, *, ticket: Ticket | None = None, policy: Policy | None = None,
    approvers: tuple[str, ...] = (), refusal: Refusal | None = None, write: Write | None = None, in_name_of: str = "",
) -> None:  # fmt: skip
    """Record what happened to a request; `by` None is the gateway itself."""
    fields: dict[str, Any] = verdict_fields(refusal) if refusal else {"decision": "permit", "reason": reason}
    await context.record(
        "request", **(who(requester) or {"person": request.person}), **where(peer), **fields,
        ticket_system=request.ticket_system, ticket=request.ticket_id, ticket_state=ticket.status if ticket else "",
        customers=list(ticket.customers) if ticket else [], request=request.id, approvers=list(approvers),
        policy=policy.digest if policy else "", target=request.target, state=state.value,
        by=by.id if by else "gateway", reveal=named(request.reveal), duration_s=request.duration_s,
        in_name_of=in_name_of, grant=request.extends,
        write=request.write or None, **writing_fields(context, write, request),
    )  # fmt: skip


async def record_grant(
    context: Context, grant: Grant, person: Principal | None, peer: Peer, *, by: str, reason: str = "",
    policy: Policy | None = None, extended: bool = False,
) -> None:  # fmt: skip
    """Record that a grant began or ended, or that it was `extended`."""
    holder = who(person) if person else {"person": grant.person}
    await context.record(
        "grant", **holder, **where(peer), decision="permit", reason=reason, by=by,
        state="extended" if extended else grant.state.value, ticket_system=grant.ticket_system,
        ticket=grant.ticket_id, customers=list(grant.customers),
        grant=grant.id, request=grant.request_id, approvers=list(grant.approved_by), target=grant.target,
        policy=policy.digest if policy else "", expires_at=grant.expires_at.isoformat(),
        write=grant.write or None, digest=context.keys.mark(grant.statement), break_glass=grant.break_glass or None,
    )  # fmt: skip


def writing_fields(context: Context, write: Write | None, request: AccessRequest) -> dict[str, Any]:
    """What a statement would write, as a record says it; the digest alone where that is all that is known."""
    policy = context.policies(request.target)
    if write is None or policy is None:
        return {"digest": context.keys.mark(request.digest)}
    return {
        "verb": write.verb,
        "relation": write.relation,
        "columns": list(write.columns),
        "limit": write.rows,
        "sql": normalise(write.canonical, policy),
        "digest": context.keys.mark(write.digest),
    }


def named(reveal: Reveal) -> list[str]:
    """Revealed columns by name."""
    return sorted(f"{relation}.{column}" for relation, column in reveal)
