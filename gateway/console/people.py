"""People over the API, for administrators: who is known here, suspensions, rights that are given back."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

from gateway.access.people import Met
from gateway.access.service import Access
from gateway.console import schemas
from gateway.console.context import From, Login, Me, Of, given, peer, router
from gateway.console.problems import refuse
from gateway.model import Principal
from gateway.policy.rights import Right


class RestoreBody(schemas.ReasonBody):
    """Which right is given back, on which target (none for one at the gateway itself), and why."""

    right: Literal["read", "write", "reveal", "break-glass", "approve", "administer", "audit", "custody"]
    target: Annotated[str, StringConstraints(max_length=64)] = ""


class FactorAnswer(BaseModel):
    """A second factor: its kind, and when it was enrolled."""

    kind: str
    enrolled_at: datetime


class KnownAnswer(BaseModel):
    """A person whom this gateway has met. `login` is empty where the directory does not know the id any more.

    `last_use` is when he was last let in, by whatever way, as far back as the trail goes.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    login: str
    name: str
    teams: list[str]
    state: Literal["active", "inactive", "suspended", "gone"]
    factors: list[FactorAnswer]
    invited_until: datetime | None
    last_use: datetime | None
    suspended_by: str
    suspended_at: datetime | None
    reason: str


class KnownPeopleAnswer(BaseModel):
    """People, by login."""

    people: list[KnownAnswer]


def routes() -> APIRouter:
    """The routes below /v1/people."""
    found = router("people")

    @found.get("/people")
    async def listed(me: Me, of: Of) -> KnownPeopleAnswer:
        """Everybody whom this gateway has met: factors, last use, suspension. For administrators."""
        if not of.access.is_member(me.principal, "administrators"):
            raise refuse("not-in-team", "this is for administrators", "ask one of them")
        met = await of.access.people.everybody()
        used = await asyncio.to_thread(of.search.last_seen)
        logins = {one.id: one.person.login for one in met if one.person is not None}
        people = [_known(one, used.get(one.id), logins) for one in met]
        return KnownPeopleAnswer(people=sorted(people, key=lambda one: (one.login == "", one.login, one.id)))

    @found.post("/people/{login}/suspend")
    async def suspend(login: Login, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> schemas.PersonAnswer:
        """Let a person do nothing here any more; what he has open ends. For administrators."""
        return _person(given(await of.access.people.suspend(me, login, body.reason, origin)))

    @found.post("/people/{login}/unsuspend")
    async def unsuspend(login: Login, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> schemas.PersonAnswer:
        """Lift a suspension of somebody else's. For administrators."""
        return _person(given(await of.access.people.unsuspend(me, login, body.reason, origin)))

    @found.post("/people/{login}/restore")
    async def restore(login: Login, body: RestoreBody, me: Me, of: Of, origin: From) -> schemas.PersonAnswer:
        """Give somebody else a right back that a review of access withdrew. For administrators."""
        right = Right(body.right)
        return _person(given(await of.access.people.restore(me, login, right, body.target, body.reason, origin)))

    return found


def add_local_routes(app: FastAPI, access: Access) -> None:
    """What whoever runs the gateway may do, for the day on which no administrator can."""

    @app.post("/v1/people/{login}/unsuspend")
    async def unsuspend(login: Login, body: schemas.ReasonBody, request: Request) -> schemas.PersonAnswer:
        return _person(given(await access.people.unsuspend(None, login, body.reason, peer(request))))

    @app.post("/v1/people/{login}/restore")
    async def restore(login: Login, body: RestoreBody, request: Request) -> schemas.PersonAnswer:
        back = await access.people.restore(None, login, Right(body.right), body.target, body.reason, peer(request))
        return _person(given(back))


def _person(found: Principal) -> schemas.PersonAnswer:
    return schemas.PersonAnswer(login=found.login, name=found.name, teams=sorted(found.teams))


def _known(met: Met, last_use: datetime | None, logins: dict[str, str]) -> KnownAnswer:
    person, suspension = met.person, met.suspension
    state: Literal["active", "inactive", "suspended", "gone"] = "active"
    if person is None:
        state = "gone"
    elif suspension is not None:
        state = "suspended"
    elif not person.active:
        state = "inactive"
    return KnownAnswer(
        id=met.id,
        login=person.login if person else "",
        name=person.name if person else "",
        teams=sorted(person.teams) if person else [],
        state=state,
        factors=[FactorAnswer(kind=kind, enrolled_at=at) for kind, at in met.known.factors],
        invited_until=met.known.invited_until,
        last_use=last_use,
        suspended_by=logins.get(suspension.suspended_by, suspension.suspended_by) if suspension else "",
        suspended_at=suspension.at if suspension else None,
        reason=suspension.reason if suspension else "",
    )
