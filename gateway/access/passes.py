"""Passes, and the register of live grants and passes that challenges are answered from without any SQL.

A pass is `gwp_` and 32 letters and digits: 160 random bits in base32, prefixed so that secret scanners can be taught to
find it. It is shown once and kept as a SCRAM verifier only.

INVARIANT: a pass admits nobody once its grant has ended, it was revoked, or its time is over; and no new login once a
newer pass for the same person, target, ticket and purpose was minted. The purposes are reading, writing, either by
break-glass, and each statement that was approved by itself: their passes live side by side, and which of them a client
proves is its grant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.access.keys import Token, base32
from gateway.errors import Refusal
from gateway.model import Grant, GrantState
from gateway.store.access import PassRow

PREFIX = "gwp_"
_AHEAD = timedelta(seconds=60)
"""By how much a grant may seem to begin later than now: clocks of several machines differ."""


def new_pass(token: Token) -> str:
    """A fresh pass."""
    return PREFIX + base32(token(20))


class Register:
    """Live grants and passes in memory; the store is written first, then the register."""

    def __init__(self, grants: Iterable[Grant], passes: Iterable[PassRow]) -> None:
        self._grants = {grant.id: grant for grant in grants}
        self._passes: dict[str, PassRow] = {}
        self._newest: dict[tuple[str, str], dict[tuple[str, str], PassRow]] = {}
        for row in passes:
            self.put_pass(row)

    def put_grant(self, grant: Grant) -> None:
        """Know an active grant."""
        self._grants[grant.id] = grant

    def put_pass(self, row: PassRow) -> None:
        """Know a pass; it takes the place of an older one for new logins."""
        secret = row.secret
        self._passes[secret.id] = row
        if not row.superseded:
            self._newest.setdefault((row.login, secret.target), {})[secret.ticket_id, self._purpose(row)] = row

    def learn_pass(self, row: PassRow) -> None:
        """Know a pass that the store told of, which may have been told before, or be older than what is known here."""
        secret = row.secret
        grant = self._grants.get(secret.grant_id)
        if secret.id in self._passes or grant is None or grant.state is not GrantState.ACTIVE:
            return
        held = self._newest.get((row.login, secret.target), {}).get((secret.ticket_id, self._purpose(row)))
        older = held is not None and held.secret.created_at > secret.created_at
        self.put_pass(replace(row, superseded=row.superseded or older))

    def spend(self, grant_id: str, spent: bool) -> None:
        """The one statement of a grant was let run, or was not after all."""
        grant = self._grants.get(grant_id)
        if grant is not None:
            self._grants[grant_id] = replace(grant, spent=spent)

    def extend(self, grant_id: str, until: datetime) -> None:
        """A grant lasts until then, and its passes with it."""
        grant = self._grants.get(grant_id)
        if grant is None:
            return
        self._grants[grant_id] = replace(grant, expires_at=until)
        for row in [row for row in self._passes.values() if row.secret.grant_id == grant_id]:
            longer = replace(row, secret=replace(row.secret, expires_at=until))
            held = self._newest.get((row.login, row.secret.target), {})
            key = row.secret.ticket_id, self._purpose(row)
            if held.get(key) is row:
                held[key] = longer
            self._passes[row.secret.id] = longer

    def end_grant(self, grant_id: str, state: GrantState, reason: str) -> None:
        """A grant is over, and its passes with it."""
        grant = self._grants.get(grant_id)
        if grant is None:
            return
        self._grants[grant_id] = replace(grant, state=state, ended_reason=reason)
        for row in [row for row in self._passes.values() if row.secret.grant_id == grant_id]:
            del self._passes[row.secret.id]
            held = self._newest.get((row.login, row.secret.target), {})
            key = row.secret.ticket_id, self._purpose(row)
            if held.get(key) is row:
                del held[key]

    def forget(self, grant_id: str) -> None:
        """Drop a grant that is over and that no session holds any more."""
        self._grants.pop(grant_id, None)

    def grant(self, grant_id: str) -> Grant | None:
        """A grant that is active, or was when it was last looked at."""
        return self._grants.get(grant_id)

    def grants(self) -> list[Grant]:
        """Every grant that is known here."""
        return list(self._grants.values())

    def passes(self) -> list[PassRow]:
        """Every pass that was not revoked."""
        return list(self._passes.values())

    def pass_of(self, pass_id: str) -> PassRow | None:
        """A pass that was not revoked."""
        return self._passes.get(pass_id)

    def login_passes(self, login: str, target: str, ticket_id: str | None, now: datetime) -> list[PassRow]:
        """The passes that admit a new login, newest first: the ticket's, or those of the newest one's ticket."""
        held = self._newest.get((login, target), {}).values()
        live = [row for row in held if self.over(row.secret.grant_id, row.secret.id, now) is None]
        live.sort(key=lambda row: row.secret.created_at, reverse=True)
        wanted = ticket_id if ticket_id is not None else live[0].secret.ticket_id if live else None
        return [row for row in live if row.secret.ticket_id == wanted]

    def live(self, person: str, target: str, ticket_id: str, now: datetime) -> list[Grant]:
        """The person's live grants on the target for the ticket, newest first."""
        found = [
            grant
            for grant in self._grants.values()
            if grant.person == person
            and grant.target == target
            and grant.ticket_id == ticket_id
            and self.over(grant.id, None, now) is None
        ]
        return sorted(found, key=lambda grant: grant.created_at, reverse=True)

    def over(self, grant_id: str, pass_id: str | None, now: datetime) -> Refusal | None:
        """Why a session under that grant, opened by that pass, has to end; None while it may go on."""
        grant = self._grants.get(grant_id)
        if grant is not None and now >= grant.expires_at and grant.state is not GrantState.REVOKED:
            return Refusal("grant-expired", "the grant has run out", "open the ticket again", fatal=True)
        if grant is not None and grant.created_at - now > _AHEAD:
            # FAIL CLOSED: the clock went back behind the grant's beginning, so nobody knows how old it is
            return Refusal(
                "grant-expired", "the clock has gone back: the grant's time cannot be told",
                "tell an operator to set the clock", fatal=True,
            )  # fmt: skip
        if grant is None or grant.state is not GrantState.ACTIVE or (pass_id and pass_id not in self._passes):
            return Refusal("grant-revoked", "the grant was revoked", "ask whoever revoked it", fatal=True)
        return None

    def _purpose(self, row: PassRow) -> str:
        grant = self._grants.get(row.secret.grant_id)
        if grant is None:
            return ""
        return ("break-glass " if grant.break_glass else "") + ((grant.statement or "write") if grant.write else "")
