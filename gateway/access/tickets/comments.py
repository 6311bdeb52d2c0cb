"""What tickets are told about access, where the configuration wants it: who got which access until when, and its end.

Each comment is kept in the store, then made, then ticked off: at least once, and, since every one carries a marker that
is looked for before a second try, once as a rule. A source that takes none is tried again, later and later, for a day.

INVARIANT: a comment never keeps anybody from access nor lets anybody have it. What fails is told (`ticket.comment`).
INVARIANT: no more of a person than the login, or only the team; nothing of the customer, the reason, or a row.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from gateway.access.tickets.fields import key_of
from gateway.access.tickets.polled import PolledSource
from gateway.errors import GatewayError
from gateway.model import Grant, GrantState, Principal
from gateway.ports import Clock
from gateway.store import comments as rows
from gateway.store.comments import Comment
from gateway.store.database import Database

PAUSE_S = 1.0
_FIRST_S, _LATEST_S = 4.0, 900.0
_GIVEN_UP = timedelta(days=1)

Append = Callable[[str, Mapping[str, Any]], Any]


class Comments:
    """The comments of this process. The event loop's thread only."""

    def __init__(
        self, sources: Mapping[str, PolledSource], append: Append, database: Database | None, clock: Clock
    ) -> None:
        self._sources = {name: one for name, one in sources.items() if one.settings.comment != "off"}
        self._append, self._database, self._clock = append, database, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="comment")

    async def announce(self, grant: Grant, person: Principal | None, teams: frozenset[str] = frozenset()) -> None:
        """Have the grant's ticket told that it began, or ended, as its state says."""
        source = self._sources.get(grant.ticket_system)
        if source is None or self._database is None:
            return
        text = _began(grant, _who(source, person, teams)) if grant.state is GrantState.ACTIVE else _ended(grant)
        what = "begin" if grant.state is GrantState.ACTIVE else "end"
        comment = Comment(grant.id, what, grant.ticket_system, grant.ticket_id, text, self._clock())
        try:
            await self._database.run(rows.insert, comment)
        except GatewayError as error:
            with contextlib.suppress(GatewayError):
                # a trail that cannot be written tells about itself
                self._told(comment, "failed", error)

    async def put_due(self) -> None:
        """Make the comments that are due."""
        if not self._sources or self._database is None:
            return
        try:
            for comment in await self._database.run(rows.due, self._clock()):
                await self._put(self._database, comment)
        except GatewayError as error:
            # of the store or the trail: both tell about themselves, and the comments are still there
            if error.code not in ("store-unavailable", "audit-not-writable"):
                raise

    def close(self) -> None:
        """Join the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _put(self, database: Database, comment: Comment) -> None:
        source = self._sources.get(comment.system)
        key = key_of(source.settings, comment.ticket_id) if source is not None else None
        if source is None or key is None or self._clock() - comment.created_at > _GIVEN_UP:
            await database.run(rows.done, comment, self._clock())
            self._told(comment, "given up", None)
            return
        wait_s = min(_FIRST_S * 2.0 ** min(comment.tries, 10), _LATEST_S)
        if not await database.run(rows.tried, comment, self._clock() + timedelta(seconds=wait_s)):
            return
        marker = f"[gateway {comment.grant_id} {comment.what}]"
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._thread, lambda: source.comment(key, comment.text, marker, again=comment.tries > 0)
            )
        except GatewayError as error:
            if comment.tries == 0:
                self._told(comment, "failed", error)
            return
        await database.run(rows.done, comment, self._clock())
        if comment.tries > 0:
            self._told(comment, "made", None)

    def _told(self, comment: Comment, state: str, error: GatewayError | None) -> None:
        self._append(
            "ticket.comment",
            {
                "ticket_system": comment.system,
                "ticket": comment.ticket_id,
                "grant": comment.grant_id,
                "state": state,
                "code": error.code if error else "",
                "reason": error.refusal.message if error else "",
            },
        )


def _who(source: PolledSource, person: Principal | None, teams: frozenset[str]) -> str:
    if source.settings.comment == "login" and person is not None:
        return person.login
    ours = sorted(person.teams & teams) if person is not None else []
    return f"somebody of {', '.join(ours)}" if ours else "somebody"


def _began(grant: Grant, who: str) -> str:
    does = "read and change" if grant.write else "read"
    until = grant.expires_at.strftime("%Y-%m-%d %H:%M UTC")
    return f"Because of this ticket, {who} may {does} its customer's data in {grant.target} until {until}."


def _ended(grant: Grant) -> str:
    why = "has run out" if grant.state is GrantState.EXPIRED else "was ended"
    return f"The access to {grant.target} because of this ticket {why}."
