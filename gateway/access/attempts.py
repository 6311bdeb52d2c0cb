"""Tries to get in: each is judged to its end, and recorded, whoever still waits for it.

INVARIANT: a refusal to let somebody in is returned only after its `login` record is durable, but for those of a flood,
which are counted (`refused.py`). INVARIANT: until somebody has proved who he is, every refusal is the same one; only
outages of ours, which are the same for everybody, are told as what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from gateway.access.context import Context, verdict, where, who
from gateway.access.login import SUSPENDED, Failure, not_accepted
from gateway.access.refused import RefusedLogins
from gateway.access.standing import person_suspended
from gateway.access.values import Challenge
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer

T = TypeVar("T")


class Attempts:
    """Those of one process. Loop's thread only."""

    def __init__(self, context: Context, refused: RefusedLogins) -> None:
        self._context, self._refused = context, refused
        self._running: set[asyncio.Task[Any]] = set()

    async def finish(
        self, attempt: Awaitable[T | Refusal], asked_for: dict[str, Any], peer: Peer, method: str
    ) -> T | Refusal:
        """The attempt's outcome; it is judged and recorded to its end even when who waited for it has gone."""
        task = asyncio.get_running_loop().create_task(self._judged(attempt, asked_for, peer, method))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _judged(
        self, attempt: Awaitable[T | Refusal], asked_for: dict[str, Any], peer: Peer, method: str
    ) -> T | Refusal:
        """The attempt's outcome, or the outage that kept it from being judged, recorded where the trail still can."""
        try:
            return await attempt
        except GatewayError as error:
            if error.code == "audit-not-writable":
                return replace(error.refusal, fatal=True)
            outage = error.refusal
        try:
            await self.record(peer, outage, method=method, **asked_for)
        except GatewayError as error:
            return replace(error.refusal, fatal=True)
        return replace(outage, fatal=True)

    async def not_accepted(
        self, failure: Failure, peer: Peer, *, method: str, challenge: Challenge | None = None
    ) -> Refusal:
        """Record the true reason, then refuse as everybody is refused."""
        fields: dict[str, Any] = who(failure.person) or {"login": failure.login}
        if challenge is not None:
            fields = asked_for_by(challenge) | fields
        await self.record(peer, Refusal(failure.code, failure.reason), method=method, **fields)
        return person_suspended() if failure.code == SUSPENDED else not_accepted()

    async def key_refused(self, failure: Failure, peer: Peer) -> Refusal:
        """The same for who tried to sign in with a security key."""
        return await self.not_accepted(failure, peer, method="sign-in")

    async def record(self, peer: Peer, refusal: Refusal | None, *, method: str, **fields: Any) -> None:
        """Record a login, or why there was none, durably. Raises `GatewayError("audit-not-writable")`."""
        # A user name that is no login may be a secret typed into the wrong field: it is not recorded.
        named = bool(fields.get("login"))
        facts = {**where(peer, user=named), **verdict(refusal), "method": method, **fields}
        if refusal is None or not self._refused.is_one_of_many("login", peer.host, facts):
            await self._context.record("login", **facts)

    def age_s(self, factor_at: datetime) -> int:
        """How old a proof of a second factor is, in whole seconds."""
        return max(0, int((self._context.clock() - factor_at).total_seconds()))


def asked_for_by(challenge: Challenge) -> dict[str, Any]:
    """What a record says that a client asked for, before anybody has proved anything."""
    return {"login": challenge.login, "target": challenge.target[:64], "ticket": challenge.ticket_id}
