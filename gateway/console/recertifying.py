"""Reviews of who may ask for what, over the API."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.access.recertifying import Judgement
from gateway.console import schemas
from gateway.console.acts import logins_of
from gateway.console.context import From, Id, Me, Of, Parts, given, router
from gateway.console.problems import refuse
from gateway.store.recertification import Recertification

USAGE = timedelta(days=90)


class StartBody(BaseModel):
    """Until when the lines of a new review may be answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    due_at: AwareDatetime


class AnswerBody(BaseModel):
    """An answer to some lines, by their numbers, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    lines: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=10_000)
    decision: Literal["keep", "revoke"]
    reason: schemas.Reason = ""


class ReviewAnswer(BaseModel):
    """A review; `record` is the record of the log that has its result's digest."""

    id: str
    state: str
    started_by: str
    started_at: datetime
    due_at: datetime
    closed_by: str
    closed_at: datetime | None
    record: int | None


class ReviewsAnswer(BaseModel):
    """Reviews, newest first."""

    reviews: list[ReviewAnswer]


class LineAnswer(BaseModel):
    """One right of one person, its last use, the answer, and what would become of it now (`outcome`, `why`).

    `login` is as it was when the review began; `login_now` as it is.
    """

    number: int
    login: str
    login_now: str
    name: str
    target: str
    right: str
    teams: list[str]
    last_use: datetime | None
    uses_90d: int
    was_withdrawn: bool
    decision: str
    decided_by: str
    decided_at: datetime | None
    reason: str
    outcome: str
    why: str


class ShownReviewAnswer(ReviewAnswer):
    """A review with the lines that one may see."""

    lines: list[LineAnswer]


class AnsweredAnswer(BaseModel):
    """How many lines were answered."""

    answered: int


class ResultAnswer(BaseModel):
    """The result of a closed review, whose SHA-256 is in the record that is proven."""

    review: str
    document: str
    proof: dict[str, Any]


def routes() -> APIRouter:
    """The routes below /v1/access/reviews."""
    found = router("access")

    @found.get("/access/reviews")
    async def reviews(me: Me, of: Of, live: bool = False) -> ReviewsAnswer:
        """Reviews of who may ask for what; for administrators, approvers and auditors."""
        listed = given(await of.access.recertifications.reviews(me, live=live))
        return ReviewsAnswer(reviews=[ReviewAnswer(**(await _told(of, one))) for one in listed])

    @found.post("/access/reviews")
    async def start(body: StartBody, me: Me, of: Of, origin: From) -> ReviewAnswer:
        """Begin a review of all rights. For administrators."""
        if not of.access.is_member(me.principal, "administrators"):
            raise refuse("not-in-team", "this is for administrators", "ask one of them")
        targets = {name: policy for name in of.config.targets if (policy := of.policies(name)) is not None}
        usage = await asyncio.to_thread(of.search.usage, of.clock() - USAGE)
        begun = given(await of.access.recertifications.start(me, body.due_at, targets, usage, origin))
        return ReviewAnswer(**(await _told(of, begun)))

    @found.get("/access/reviews/{id}")
    async def show(id: Id, me: Me, of: Of) -> ShownReviewAnswer:
        """A review with its lines: all for administrators and auditors, those of his targets for an approver."""
        review, judged = given(await of.access.recertifications.show(me, id))
        return await _shown(of, review, judged)

    @found.post("/access/reviews/{id}/decide")
    async def decide(id: Id, body: AnswerBody, me: Me, of: Of, origin: From) -> AnsweredAnswer:
        """Answer lines; never one's own."""
        done = await of.access.recertifications.decide(me, id, body.lines, body.decision, body.reason, origin)
        return AnsweredAnswer(answered=given(done))

    @found.post("/access/reviews/{id}/close")
    async def close(id: Id, me: Me, of: Of, origin: From) -> ReviewAnswer:
        """Close a review whose lines are all answered, before its deadline. For administrators."""
        return ReviewAnswer(**(await _told(of, given(await of.access.recertifications.close(me, id, origin)))))

    @found.get("/access/reviews/{id}/result")
    async def result(id: Id, me: Me, of: Of) -> ResultAnswer:
        """The result of a closed review with the proof of its record; for administrators and auditors."""
        if not any(of.access.is_member(me.principal, role) for role in ("administrators", "auditors")):
            raise refuse("not-in-team", "results are for administrators and auditors", "ask one of them")
        review, _ = given(await of.access.recertifications.show(me, id))
        if review.document is None or review.record is None:
            raise refuse("request-invalid", "the review is not closed yet", f"gateway access review show {id} --open")
        proof = await asyncio.to_thread(of.search.prove, review.record)
        return ResultAnswer(review=review.id, document=review.document.decode(), proof=proof)

    return found


async def _told(of: Parts, review: Recertification) -> dict[str, Any]:
    logins = await logins_of(of, (review.started_by, review.closed_by))
    return {
        "id": review.id, "state": review.state, "started_by": logins.get(review.started_by, review.started_by),
        "started_at": review.started_at, "due_at": review.due_at,
        "closed_by": logins.get(review.closed_by, review.closed_by), "closed_at": review.closed_at,
        "record": review.record,
    }  # fmt: skip


async def _shown(of: Parts, review: Recertification, judged: list[Judgement]) -> ShownReviewAnswer:
    logins = await logins_of(of, (who for one in judged for who in (one.line.person, one.line.decided_by)))
    lines = [
        LineAnswer(
            number=line.number, login=line.login, login_now=logins.get(line.person, ""), name=line.name,
            target=line.target, right=line.what, teams=list(line.teams), last_use=line.last_use, uses_90d=line.uses,
            was_withdrawn=line.withdrawn, decision=line.decision,
            decided_by=logins.get(line.decided_by, line.decided_by), decided_at=line.decided_at, reason=line.reason,
            outcome=one.outcome, why=one.why,
        )
        for one in judged
        for line in (one.line,)
    ]  # fmt: skip
    return ShownReviewAnswer(**(await _told(of, review)), lines=lines)
