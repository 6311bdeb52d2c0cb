"""Keeping the trail over the API: legal holds, and what retention would do."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.access.service import Access
from gateway.access.values import SignIn
from gateway.audit.segment import Damaged
from gateway.console import schemas
from gateway.console.acts import ActAnswer, act_answer, logins_of
from gateway.console.context import From, Id, Me, Of, Parts, given, router
from gateway.console.problems import Refused
from gateway.custody.custody import Custody
from gateway.custody.holds import LIFT, SET, subject_of
from gateway.errors import GatewayError, Refusal

Short = Annotated[str, Field(max_length=256, pattern=r"^[^\s]*$")]


class HoldBody(BaseModel):
    """What to hold, and why; what is left out does not narrow."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    customer: Short = ""
    person: Short = ""
    ticket: Short = ""
    target: Short = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    reason: str = Field(max_length=500)


class HoldAnswer(BaseModel):
    """A hold, with the logins of the two who set it."""

    id: str
    subject: dict[str, str]
    reason: str
    asked_by: str
    confirmed_by: str
    set_at: datetime
    lifted_at: datetime | None


class HoldsAnswer(BaseModel):
    """Holds, newest first."""

    holds: list[HoldAnswer]


class OutlookAnswer(BaseModel):
    """What the next look at the trail's age would do.

    The records `first` up to `to` would go, in so many `segments` of `bytes`, unless there are none; `frozen` further
    ones would be compressed. `hold` keeps more from going from the record `held` on. `now` is the time that counts: the
    clock is ahead of it by `clock_ahead_s`, and is believed a week later.
    """

    rule: str
    now: datetime
    clock_ahead_s: float
    first: int
    to: int
    segments: int
    bytes: int
    frozen: int
    hold: str
    held: int


def routes() -> APIRouter:
    """The routes below /v1/audit/holds, and /v1/audit/retention."""
    found = router("custody")

    @found.get("/audit/holds")
    async def holds(me: Me, of: Of, live: bool = True) -> HoldsAnswer:
        """What is kept whatever the retention says; for auditors and custodians."""
        _check(of, me)
        listed = await of.custody.holds.listed(live=live)
        logins = await logins_of(of, (one for hold in listed for one in (hold.asked_by, hold.confirmed_by)))
        return HoldsAnswer(holds=[
            HoldAnswer(
                id=hold.id, subject=dict(hold.subject), reason=hold.reason,
                asked_by=logins.get(hold.asked_by, hold.asked_by),
                confirmed_by=logins.get(hold.confirmed_by, hold.confirmed_by),
                set_at=hold.set_at, lifted_at=hold.lifted_at,
            )
            for hold in listed
        ])  # fmt: skip

    @found.post("/audit/holds")
    async def hold(body: HoldBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Ask for a hold; a custodian's confirmation puts it in force."""
        subject = subject_of(**body.model_dump(exclude={"reason"}))
        act = given(await of.access.acts.file(me, SET, subject, body.reason, origin))
        return act_answer(act, await logins_of(of, (act.person,)))

    @found.post("/audit/holds/{id}/lift")
    async def lift(id: Id, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Ask for a hold to be lifted; a custodian's confirmation does it."""
        _check(of, me)
        held = await of.custody.holds.find(id)
        if held is None or held.lifted_at is not None:
            raise Refused(Refusal("not-found", "there is no such hold", "`gateway audit holds` lists them"))
        act = given(await of.access.acts.file(me, LIFT, {"hold": id}, body.reason, origin))
        return act_answer(act, await logins_of(of, (act.person,)))

    @found.get("/audit/retention")
    async def retention(me: Me, of: Of) -> OutlookAnswer:
        """What would be pruned and compressed at the next look; for auditors and custodians."""
        _check(of, me)
        try:
            outlook = await of.custody.retention.outlook()
        except (Damaged, OSError) as error:
            raise GatewayError(
                "audit-damaged", "the log cannot be read", "run `gateway audit verify`", str(error)
            ) from error
        plan = outlook.plan
        return OutlookAnswer(
            rule=outlook.rule, now=outlook.now, clock_ahead_s=outlook.ahead, first=plan.first, to=plan.to,
            segments=len(plan.segments), bytes=plan.bytes, frozen=outlook.frozen, hold=plan.hold, held=plan.held,
        )  # fmt: skip

    return found


class TestedBody(BaseModel):
    """What came of a restore test."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    status: Literal["ok", "failed"]
    size: int = Field(default=0, ge=0)
    root: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    first: int = Field(default=0, ge=0)
    count: int = Field(default=0, ge=0)
    manifest: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    reason: str = Field(default="", max_length=500)


class ArchivedAnswer(BaseModel):
    """The head that was archived: its size, the objects that make it, and how many of them are new."""

    size: int
    objects: int
    added: int


def add_local_routes(app: FastAPI, access: Access, custody: Custody) -> None:
    """What whoever runs the gateway may do on its machine: have the trail archived, and record a restore test."""

    @app.post("/v1/audit/archive")
    async def archive() -> ArchivedAnswer:
        if custody.archiver is None:
            raise Refused(Refusal("not-found", "there is no archive", "set `audit.archive`"))
        try:
            done = await custody.archiver.archive()
        except (Damaged, OSError) as error:
            raise GatewayError(
                "audit-damaged", "the log cannot be read", "run `gateway audit verify`", str(error)
            ) from error
        return ArchivedAnswer(size=done.size, objects=done.objects, added=done.added)

    @app.post("/v1/audit/restore-tested", status_code=204)
    async def restore_tested(body: TestedBody) -> None:
        fields: dict[str, Any] = body.model_dump(exclude={"first"})
        await access.context.record("restore.tested", **fields, **{"from": body.first})


def _check(of: Parts, me: SignIn) -> None:
    if not any(of.access.is_member(me.principal, role) for role in ("auditors", "custodians")):
        raise Refused(Refusal("not-in-team", "this is for auditors and custodians"))
