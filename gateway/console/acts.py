"""Acts that need two people over the API: look at them, confirm, decline, withdraw, have them carried out.

Filing one is a route of the part that carries it out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.access.acts import Carried
from gateway.console import schemas
from gateway.console.context import From, Id, Me, Of, Parts, given, router
from gateway.store.acts import Act


class ActAnswer(BaseModel):
    """An act as it stands. `private` is what of its subject is neither recorded nor kept in clear, while it may happen.

    `result` is what carrying it out gave, in the answer to the step that did it.
    """

    id: str
    does: str
    subject: dict[str, str]
    private: str = ""
    reason: str
    login: str
    state: str
    filed_at: datetime
    decided_by: str
    decided_at: datetime | None
    decision_reason: str
    done_at: datetime | None
    result: dict[str, Any] | None = None


class ActsAnswer(BaseModel):
    """Acts, newest first."""

    acts: list[ActAnswer]


def routes() -> APIRouter:
    """The routes below /v1/audit/acts."""
    found = router("acts")

    @found.get("/audit/acts")
    async def acts(me: Me, of: Of, live: bool = True) -> ActsAnswer:
        """What was asked for and needs a second person; for auditors and custodians."""
        listed = given(await of.access.acts.acts(me, live=live))
        logins = await logins_of(of, (one for act in listed for one in (act.person, act.decided_by)))
        return ActsAnswer(acts=[act_answer(act, logins) for act in listed])

    @found.get("/audit/acts/{id}")
    async def act(id: Id, me: Me, of: Of) -> ActAnswer:
        """One act, with what is sealed in it while it may still happen."""
        shown, private = given(await of.access.acts.show(me, id))
        return act_answer(shown, await logins_of(of, (shown.person, shown.decided_by)), private=private)

    @found.post("/audit/acts/{id}/confirm")
    async def confirm(id: Id, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Agree to what somebody else asked for; it is carried out at once unless it answers who asked."""
        return await carried_answer(of, given(await of.access.acts.confirm(me, id, body.reason, origin)))

    @found.post("/audit/acts/{id}/decline")
    async def decline(id: Id, body: schemas.ReasonBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Turn it down."""
        return await carried_answer(of, given(await of.access.acts.decline(me, id, body.reason, origin)))

    @found.post("/audit/acts/{id}/withdraw")
    async def withdraw(id: Id, me: Me, of: Of, origin: From) -> ActAnswer:
        """Take back what one asked for."""
        return await carried_answer(of, given(await of.access.acts.withdraw(me, id, origin)))

    @found.post("/audit/acts/{id}/carry-out")
    async def carry_out(id: Id, me: Me, of: Of, origin: From) -> ActAnswer:
        """What was confirmed: its answer for who asked, once, or another try of what did not work."""
        return await carried_answer(of, given(await of.access.acts.carry_out(me, id, origin)))

    return found


def act_answer(
    act: Act, logins: dict[str, str], *, private: str = "", result: dict[str, Any] | None = None
) -> ActAnswer:
    """An act as the API shows it; people whom the directory does not know any more by their id."""
    return ActAnswer(
        id=act.id, does=act.does, subject=dict(act.subject), private=private, reason=act.reason,
        login=logins.get(act.person, act.person), state=act.state.value, filed_at=act.filed_at,
        decided_by=logins.get(act.decided_by, act.decided_by), decided_at=act.decided_at,
        decision_reason=act.decision_reason, done_at=act.done_at, result=result,
    )  # fmt: skip


async def carried_answer(of: Parts, carried: Carried) -> ActAnswer:
    """An act after a step."""
    act, result = carried.act, carried.result
    logins = await logins_of(of, (act.person, act.decided_by))
    return act_answer(act, logins, result=None if result is None else dict(result))


async def logins_of(of: Parts, people: Iterable[str]) -> dict[str, str]:
    """The logins of these people, as far as the directory knows them."""

    def look_up(ids: frozenset[str]) -> dict[str, str]:
        found = {one: of.directory.by_id(one) for one in ids if one}
        return {one: person.login for one, person in found.items() if person is not None}

    return await asyncio.to_thread(look_up, frozenset(people))
