"""Filing requests without opening anything, extensions, delegations, one's own state, and who has access now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from gateway.config import Config
from gateway.console import schemas
from gateway.console.acts import logins_of
from gateway.console.context import From, Id, Me, Of, Parts, given, router
from gateway.console.problems import Refused, refuse
from gateway.errors import Refusal
from gateway.model import Grant, RequestState
from gateway.store.delegations import Delegation


class RequestBody(schemas.OpenBody):
    """Which access is wanted; as for `/open`. Breaking the glass is not asked for beforehand."""

    break_glass: bool = False


class DelegationBody(BaseModel):
    """Who may decide in one's own name, from when (now) until when, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    login: schemas.Name
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime
    reason: schemas.Reason = ""


class DelegationAnswer(BaseModel):
    """A delegation. `state` is `waiting`, `live` or `over`."""

    id: str
    delegator: str
    delegate: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    state: str


class DelegationsAnswer(BaseModel):
    """Delegations, those that begin last first."""

    delegations: list[DelegationAnswer]


class PassAnswer(BaseModel):
    """A live pass: its id, never the secret."""

    id: str
    grant: str
    target: str
    ticket: str
    made_at: datetime
    expires_at: datetime


class BudgetAnswer(BaseModel):
    """What is used of a budget of the day or the hour, and what is left."""

    target: str
    budget: str
    used: int
    left: int
    limit: int


class WaitingAnswer(schemas.RequestAnswer):
    """A request of one's own that waits, and who can approve it."""

    approvers: list[str]
    approvals_needed: int
    people: list[str]


class StatusAnswer(BaseModel):
    """One's own state: grants, passes, what waits, and what is left of the budgets."""

    grants: list[schemas.GrantAnswer]
    passes: list[PassAnswer]
    requests: list[WaitingAnswer]
    budgets: list[BudgetAnswer]
    delegations: list[DelegationAnswer]


class HoldingAnswer(schemas.GrantAnswer):
    """A live grant with the sessions of this process under it."""

    sessions: list[schemas.SessionAnswer]


class NowAnswer(BaseModel):
    """Who has access at that moment, the grant that ends next first."""

    at: datetime
    grants: list[HoldingAnswer]


Short = Annotated[str, StringConstraints(max_length=64)]


def routes() -> APIRouter:
    """The routes."""
    found = router("access")

    @found.post("/requests")
    async def file(body: RequestBody, me: Me, of: Of, origin: From) -> schemas.FiledAnswer:
        """Ask for access without opening it: a request that waits, or that the policy approved at once."""
        if body.break_glass:
            raise refuse("request-invalid", "breaking the glass opens at once", "gateway open TICKET --break-glass")
        target = body.target or only_target(of.config)
        filed = given(
            await of.access.file(
                me, target=target, ticket=body.ticket, reason=body.reason, duration_s=body.duration_s,
                reveal=schemas.columns(body.reveal), write=body.write, statement=body.statement, peer=origin,
            )
        )  # fmt: skip
        policy = of.policies(filed.target)
        approvers, needed = (policy.access.approver_teams, policy.access.approver_count) if policy else (frozenset(), 0)
        logins = await logins_of(of, schemas.people_of(filed))
        people = await of.access.approvers_of(filed.id)
        return schemas.filed_answer(filed, logins, of.access.mark, approvers, needed, people)

    @found.post("/grants/{id}/extend")
    async def extend(id: Id, body: schemas.ExtendBody, me: Me, of: Of, origin: From) -> schemas.GrantAnswer:
        """Let a live grant of one's own last longer; `approval-required` names the request that now waits."""
        extended = await of.access.extensions.ask(me, id, body.seconds, body.reason, origin)
        if isinstance(extended, Refusal):
            raise Refused(extended, await waiting(of, "", extended))
        return await _grant(of, extended)

    @found.get("/delegations")
    async def delegations(me: Me, of: Of, live: bool = True) -> DelegationsAnswer:
        """Who decides in whose name: one's own, given and received; all for approvers and administrators."""
        listed = given(await of.access.delegations.listed(me, live=live))
        return DelegationsAnswer(delegations=await _delegations(of, listed))

    @found.post("/delegations")
    async def delegate(body: DelegationBody, me: Me, of: Of, origin: From) -> DelegationAnswer:
        """Let somebody decide about requests in one's own name for a while."""
        new = await of.access.delegations.set(me, body.login, body.starts_at, body.ends_at, body.reason, origin)
        return (await _delegations(of, [given(new)]))[0]

    @found.post("/delegations/{id}/end")
    async def end(id: Id, me: Me, of: Of, origin: From) -> DelegationAnswer:
        """End a delegation that one gave or received."""
        ended = given(await of.access.delegations.end(me, id, origin))
        return (await _delegations(of, [ended]))[0]

    @found.get("/status")
    async def status(me: Me, of: Of) -> StatusAnswer:
        """One's own grants, passes, waiting requests, and what is left of budgets."""
        person = me.principal.id
        grants = [one for one in given(await of.access.grants(me, live=True)) if one.person == person]
        pending = [
            one for one in given(await of.access.requests(me, RequestState.PENDING)) if one.person == person
        ]  # fmt: skip
        return StatusAnswer(
            grants=[await _grant(of, one) for one in grants],
            passes=[
                PassAnswer(
                    id=one.secret.id,
                    grant=one.secret.grant_id,
                    target=one.secret.target,
                    ticket=one.secret.ticket_id,
                    made_at=one.secret.created_at,
                    expires_at=one.secret.expires_at,
                )
                for one in of.access.sight.passes(me.principal)
            ],
            requests=[
                WaitingAnswer(**(await _waits(of, one.id, one.target)), **await _asked(of, one)) for one in pending
            ],
            budgets=_budgets(of, person, sorted({one.target for one in grants})),
            delegations=await _delegations(of, given(await of.access.delegations.listed(me))),
        )

    @found.get("/access/now")
    async def now(me: Me, of: Of) -> NowAnswer:
        """Who has access at this moment, and which connections are open; for administrators and auditors."""
        held = given(of.access.sight.now(me.principal))
        return NowAnswer(at=of.clock(), grants=[
            HoldingAnswer(
                **(await _grant(of, one.grant)).model_dump(),
                sessions=[schemas.session_answer(session) for session in one.sessions],
            )
            for one in held
        ])  # fmt: skip

    return found


def only_target(config: Config) -> str:
    """The target where there is only one; the refusal raised otherwise."""
    if len(config.targets) == 1:
        return next(iter(config.targets))
    # which targets there are is not told: a person learns of those that the ticket's owner names
    raise refuse("request-invalid", "there are several targets", "name one: --target")


async def waiting(of: Parts, target: str, refusal: Refusal) -> dict[str, Any] | None:
    """The request that waits because of a refusal, and who can approve it."""
    if refusal.code != "approval-required" or not refusal.name:
        return None
    found = await of.access.waiting(refusal.name)
    if found is None:
        return None
    return {"id": found.id, **await _waits(of, found.id, target or found.target)}


async def _waits(of: Parts, request: str, target: str) -> dict[str, Any]:
    policy = of.policies(target)
    rule = policy.access if policy is not None else None
    return {
        "approvers": sorted(rule.approver_teams) if rule else [],
        "approvals_needed": rule.approver_count if rule else 0,
        "people": await of.access.approvers_of(request),
    }


async def _asked(of: Parts, request: Any) -> dict[str, Any]:
    logins = await logins_of(of, schemas.people_of(request))
    return schemas.request_answer(request, logins, of.access.mark).model_dump()


async def _grant(of: Parts, grant: Grant) -> schemas.GrantAnswer:
    return schemas.grant_answer(grant, await logins_of(of, (grant.person, *grant.approved_by)), of.access.mark)


async def _delegations(of: Parts, found: list[Delegation]) -> list[DelegationAnswer]:
    logins, now = await logins_of(of, (one for each in found for one in (each.delegator, each.delegate))), of.clock()
    return [
        DelegationAnswer(
            id=one.id, delegator=logins.get(one.delegator, one.delegator),
            delegate=logins.get(one.delegate, one.delegate), reason=one.reason, starts_at=one.starts_at,
            ends_at=one.over_at, state="live" if one.live(now) else "over" if now >= one.over_at else "waiting",
        )
        for one in found
    ]  # fmt: skip


def _budgets(of: Parts, person: str, targets: list[str]) -> list[BudgetAnswer]:
    found = []
    for target in targets:
        policy = of.policies(target)
        for one in of.spent(person, target, policy) if policy is not None else []:
            found.append(BudgetAnswer(target=target, budget=one.budget, used=one.used, left=one.left, limit=one.limit))
    return found
