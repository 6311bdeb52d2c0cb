"""Taking note of what an auditor found when he joined a target's own log with the trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from gateway.access.context import durable, verdict, where, who
from gateway.console.context import From, Me, Of, router
from gateway.console.problems import Refused
from gateway.console.reports import NotedAnswer
from gateway.console.trail import may_read, record_read
from gateway.record import event

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class ReconciledBody(BaseModel):
    """What was compared, and the counts of what came of it; see `gateway.audit.reconcile`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    target: Name
    since: AwareDatetime
    until: AwareDatetime
    count: Count
    matched: Count
    beside: Count
    unrecorded: Count
    unseen: Count
    missing: Count
    untied: Count
    known: Annotated[list[Name], Field(max_length=100)]
    files: Annotated[list[Digest], Field(min_length=1, max_length=1000)]
    skew_us: Annotated[int, Field(gt=-(1 << 53), lt=1 << 53)]


def routes() -> APIRouter:
    """The route below /v1/audit/reconciliations."""
    found = router("audit")

    @found.post("/audit/reconciliations")
    async def note(body: ReconciledBody, me: Me, of: Of, origin: From) -> NotedAnswer:
        """Take note of a comparison; the counts are the auditor's, and the record says whose."""
        refusal = may_read(of, me)
        if refusal is not None:
            await record_read(of, me, origin, query=f"reconcile {body.target}", **verdict(refusal))
            raise Refused(refusal)
        facts = body.model_dump(exclude={"since", "until"})
        times = {"since": body.since.isoformat(), "until": body.until.isoformat()}
        receipt = of.trail.append(event("audit.reconciled", **who(me.principal), **where(origin), **facts, **times))
        await durable(receipt)
        return NotedAnswer(record=receipt.index)

    return found
