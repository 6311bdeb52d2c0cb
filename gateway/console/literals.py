"""Sealed literals over the API: ask for them to be opened or erased, and for what a value is recognised by.

Opening and erasing are acts of two people (`acts.py`): these routes file them.

INVARIANT: a value that somebody looks for, or wants erased, comes in the body of a request and is in no record: a keyed
digest of it stands there.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.console.acts import ActAnswer, act_answer, logins_of
from gateway.console.context import From, Me, Of, Parts, given, router
from gateway.console.problems import Refused
from gateway.console.trail import may_read, recorded_read
from gateway.errors import GatewayError, Refusal
from gateway.store.acts import Act

_DIGITS = 16
_SHOWN_TOKENS = 150
"""As many as a question takes."""

Reason = Annotated[str, Field(max_length=500)]
Value = Annotated[SecretStr, Field(min_length=1, max_length=512)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class UnsealBody(_Body):
    """Which record's literals, by its id or number, and why."""

    record: str = Field(pattern=r"^([0-9]{1,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")
    reason: Reason


class EraseBody(_Body):
    """Whose literals: a customer's, or those of records that have the value that tells who somebody is."""

    customer: str = Field(default="", max_length=256)
    subject: Value | None = None
    reason: Reason


class ValueBody(_Body):
    """A value that tells who somebody is."""

    value: Value


class TokensAnswer(BaseModel):
    """What the records have in place of the value, with spaces between, as questions take it; `-` when none has it."""

    tokens: str


def routes() -> APIRouter:
    """The routes below /v1/audit."""
    found = router("audit")

    @found.post("/audit/unseal")
    async def unseal(body: UnsealBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Ask for the literals of a statement; once somebody else has agreed, `carry-out` tells them, once."""
        refusal = may_read(of, me)
        if refusal is not None:
            raise Refused(refusal)
        record = await asyncio.to_thread(of.search.show, body.record)
        if "sealed" not in record:
            raise Refused(Refusal("not-found", "nothing was sealed with that record"))
        # by its number, however it was named: the same record is the same act
        subject = {"record": str(record["index"])}
        return await _filed(of, given(await of.access.acts.file(me, "unseal", subject, body.reason, origin)))

    @found.post("/audit/erase")
    async def erase(body: EraseBody, me: Me, of: Of, origin: From) -> ActAnswer:
        """Ask for literals to be destroyed; it happens when somebody else agrees."""
        value = body.subject.get_secret_value() if body.subject is not None else ""
        if bool(body.customer) == bool(value):
            raise GatewayError("request-invalid", "either a customer or a person is erased", "--customer or --subject")
        subject = {"customer": body.customer} if body.customer else {"subject": _digest(of, value)}
        act = await of.access.acts.file(me, "erase", subject, body.reason, origin, private=value)
        return await _filed(of, given(act))

    @found.post("/audit/tokens")
    async def tokens(body: ValueBody, me: Me, of: Of, origin: From) -> TokensAnswer:
        """What the question `subject` takes for a value; that it was asked for is recorded, without the value."""
        value = body.value.get_secret_value()
        asked = f"tokens of {_digest(of, value)}"
        known, _ = await recorded_read(of, me, origin, asked, lambda: of.tokens(value), len)
        if len(known) > _SHOWN_TOKENS:
            raise GatewayError("request-invalid", "records of too many customers have that value", "look by customer")
        return TokensAnswer(tokens=" ".join(known) or "-")

    return found


async def _filed(of: Parts, act: Act) -> ActAnswer:
    return act_answer(act, await logins_of(of, (act.person, act.decided_by)))


def _digest(of: Parts, value: str) -> str:
    """What stands for a value in records: keyed, so that nobody can try others against it."""
    return of.access.digest("subject", value)[:_DIGITS]
