"""Reviews of access that was taken without approval, over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from gateway.console import schemas
from gateway.console.acts import logins_of
from gateway.console.context import From, Id, Me, Of, given, router
from gateway.store.reviews import Review, ReviewState


class ReviewBody(BaseModel):
    """What was found, and why. `settled` is an administrator's last word on what was unjustified."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    found: Literal["justified", "unjustified", "settled"]
    reason: schemas.Reason


class ReviewAnswer(BaseModel):
    """An access without approval, and its review. `grant` names it in the trail."""

    grant: str
    login: str
    target: str
    ticket: str
    reason: str
    state: str
    opened_at: datetime
    due_at: datetime
    reviewed_by: str
    reviewed_at: datetime | None
    note: str


class ReviewsAnswer(BaseModel):
    """Reviews, newest first."""

    reviews: list[ReviewAnswer]


def routes() -> APIRouter:
    """The routes below /v1/reviews."""
    found = router("reviews")

    @found.get("/reviews")
    async def reviews(me: Me, of: Of, live: bool = True) -> ReviewsAnswer:
        """Access without approval that is one's own, or that one may review; `live` leaves out what is done."""
        listed = given(await of.access.reviews.reviews(me, live=live))
        logins = await logins_of(of, (one for review in listed for one in (review.person, review.reviewed_by)))
        return ReviewsAnswer(reviews=[_answer(review, logins) for review in listed])

    @found.post("/reviews/{id}")
    async def decide(id: Id, body: ReviewBody, me: Me, of: Of, origin: From) -> ReviewAnswer:
        """Find somebody else's access justified or not."""
        review = given(await of.access.reviews.decide(me, id, ReviewState(body.found), body.reason, origin))
        return _answer(review, await logins_of(of, (review.person, review.reviewed_by)))

    return found


def _answer(review: Review, logins: dict[str, str]) -> ReviewAnswer:
    return ReviewAnswer(
        grant=review.grant_id, login=logins.get(review.person, review.person), target=review.target,
        ticket=review.ticket_id, reason=review.reason, state=review.state.value, opened_at=review.opened_at,
        due_at=review.due_at, reviewed_by=logins.get(review.reviewed_by, review.reviewed_by),
        reviewed_at=review.reviewed_at, note=review.note,
    )  # fmt: skip
