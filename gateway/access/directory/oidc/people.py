"""The directory over an identity provider: whom it proved, for as long as that counts.

Theory of operation. Nobody can be looked up at a provider; it speaks about a person only when that person logs in
(`learn`), and where it gave a refresh token, whenever that is used (`keep`, every `refresh_interval`). What it said is
a row of the store, and `find` and `by_id` answer from memory: active for `valid_for` after the login, with the teams of
the last word. A refresh token that the provider does not take any more means that the person was removed, disabled or
logged out there: the person is gone, and the watcher cuts his sessions. A provider that does not answer at all is an
outage, as soon as it is `SLACK_S` late about somebody: nobody new gets in, and who is inside stays for the watcher's
grace.

INVARIANT: a person is the pair of issuer and subject, whatever the provider calls him today; a login that was somebody
else's is refused (`store/provider.py`).
Several gateways may share the store: each takes over within `_ROUND_S` what the others learnt, looks a stranger up
there, and uses a person's refresh token only in its turn (`take_turn`).

INVARIANT: a refresh token lies sealed in the store, and one that the provider rotated is stored before it is used.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from gateway.access.directory.oidc.claims import Facts, facts_of
from gateway.access.directory.oidc.id_token import Untrue
from gateway.access.directory.oidc.provider import Declined, Provider, Tokens
from gateway.access.directory.oidc.web import AT_ONCE, unavailable
from gateway.access.keys import Keys, Token
from gateway.access.names import fold_login
from gateway.errors import GatewayError, Refusal
from gateway.model import Principal
from gateway.oidc_settings import OidcDirectory
from gateway.ports import Clock, Heard
from gateway.store import provider as rows
from gateway.store.database import Database
from gateway.store.provider import PersonRow
from gateway.store.sealed import PROVIDER_OWNER

T = TypeVar("T")
Note = Callable[..., Any]
"""Appends a record of that kind with those fields, and waits for nothing."""

SLACK_S = 30.0
"""How much later than its turn a refresh may come before what the provider said last is too old."""
_AGAIN_S = 15.0
"""How soon a refresh that found the provider out is tried again, at the most."""
_ROUND_S = 2.0


@dataclass(frozen=True, slots=True)
class _Known:
    """A person in memory. Both forms are made once: the watcher compares answers by identity."""

    row: PersonRow
    present: Principal
    absent: Principal
    until: float
    """When the login has run out, on the monotonic clock: a wall clock that goes back prolongs nothing."""


class OidcPeople:
    """`ports.Directory`; `find` and `by_id` ask nobody and never wait. The rest is for the event loop's thread."""

    def __init__(
        self,
        settings: OidcDirectory,
        provider: Provider,
        *,
        keys: Keys,
        database: Database,
        note: Note,
        report: Callable[[str, BaseException], None],
        clock: Clock,
        token: Token,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads whom the provider proved, blocking. Raises `GatewayError("store-unavailable")`."""
        self.settings, self.provider = settings, provider
        self._keys, self._database, self._note, self._report = keys, database, note, report
        self._clock, self._monotonic, self._token = clock, monotonic, token
        self._by_id: dict[str, _Known] = {}
        self._by_login: dict[str, _Known] = {}
        self._not_before: dict[str, float] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self.outage: Refusal | None = None
        """Why the provider could not be asked about somebody the last time."""
        self._down_at = float("-inf")
        self._read_at = monotonic()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="provider")
        for row in database.run_now(rows.load, settings.issuer):
            self._remember(row)

    def find(self, login: str) -> Principal | None:
        """The person of that login, or None. Raises `GatewayError("directory-unavailable")`, or that of the store."""
        folded = fold_login(login)
        known = self._by_login.get(folded) or (self._looked_up(login=folded) if folded else None)
        return None if known is None else self._judged(known)

    def by_id(self, person: str) -> Principal | None:
        """The person of that stable id, or None. Raises as `find`."""
        known = self._by_id.get(person)
        if known is None or not self._counts(known):
            elsewhere = self._looked_up(person=person)
            # only a login elsewhere makes somebody count again: what is known here to be gone may not be stored yet
            if elsewhere is not None and (known is None or elsewhere.row.login_at > known.row.login_at):
                known = elsewhere
        return None if known is None else self._judged(known)

    def recent(self, people: Collection[str]) -> Mapping[str, Heard | Refusal]:
        """What the provider said last; as of now, unless it is late about somebody."""
        return {one: self._heard(self._by_id[one]) for one in people if one in self._by_id}

    def check_password(self, login: str, password: str) -> Principal | None:  # noqa: ARG002 - the port's signature
        """Nobody has a password here, which is no secret: raises `GatewayError("sign-in-elsewhere")`, for everybody."""
        raise GatewayError(
            "sign-in-elsewhere",
            "people sign in at the identity provider here, not with a password",
            "`gateway login`; then `gateway open TICKET` gives a pass for database clients",
        )

    async def asking(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
        """A question to the provider, in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: function(*arguments, **named)
        )  # fmt: skip

    async def learn(self, facts: Facts, refresh: str) -> Principal | Refusal:
        """The person of a login that was just proved, from now on as `facts` say; or why that cannot be.

        Raises `GatewayError("store-unavailable")`.
        """
        now = self._clock()
        sealed = self._sealed(facts.person, refresh) if refresh else None
        row = PersonRow(
            facts.person, facts.issuer, facts.subject, facts.login, facts.name, facts.email,
            tuple(sorted(facts.teams)), False, now, now, sealed,
        )  # fmt: skip
        async with self._turn_of(facts.person):
            return await self._put(row)

    async def owner_of(self, login: str) -> str | None:
        """The person whose login that is, whether he uses it or not."""
        return await self._database.run(rows.owner_of, fold_login(login))

    def comes_in_as(self, person: str, login: str) -> bool:
        """Whether the person is known under that login now, and counts."""
        known = self._by_id.get(person)
        return known is not None and known.row.login == fold_login(login) and self._counts(known)

    async def release(self, login: str, person: str) -> bool:
        """Let the person's login be somebody else's; False when it was not his, or he comes in with it."""
        async with self._turn_of(person):
            if self.comes_in_as(person, login):
                return False
            released = await self._database.run(rows.release, fold_login(login), person)
            known = self._by_id.get(person)
            if released and known is not None and known.row.login == fold_login(login):
                # what he was known as is nobody's now: only a login of his makes him somebody again
                self._by_login.pop(known.row.login, None)
            return released

    async def keep(self) -> None:
        """Ask about everybody whose turn it is, until cancelled. An outage of the store or the trail is reported."""
        pause = min(1.0, self.settings.refresh_interval / 4)
        while True:
            try:
                await self.refresh_due()
            except GatewayError as error:
                self._report("directory", error)
            await asyncio.sleep(pause)

    async def refresh_due(self) -> None:
        """One round: whoever was not asked about for `refresh_interval` is, a few at a time."""
        now, mono = self._clock(), self._monotonic()
        if mono - self._read_at >= _ROUND_S:
            self._read_at = mono
            for row in await self._database.look(rows.load, self.settings.issuer):
                self._take_over(row)
        due = []
        for known in list(self._by_id.values()):
            row = known.row
            if row.sealed is None:
                continue
            if not self._counts(known):
                await self._forget_token(row.person)
            elif mono >= self._not_before.get(row.person, mono) and self._age(row, now) >= self._turn(row):
                due.append(row.person)
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._refresh(person) for person in due[start : start + AT_ONCE]))

    def close(self) -> None:
        """Join the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.provider.close()

    def _judged(self, known: _Known) -> Principal:
        if not self._counts(known):
            return known.absent
        if self._late_s(known.row) > 0:
            # FAIL CLOSED: whom the provider has not spoken for in time is nobody until it does
            raise GatewayError.of(_late())
        return known.present

    def _heard(self, known: _Known) -> Heard:
        if not self._counts(known):
            return Heard(known.absent, math.inf)
        late_s = self._late_s(known.row)
        if late_s <= 0:
            return Heard(known.present, math.inf)
        return Heard(known.present, self._monotonic() - late_s, self.outage or _late())

    def _late_s(self, row: PersonRow) -> float:
        """For how long the provider should have spoken for the person again."""
        if row.sealed is None:
            return 0.0
        return self._age(row, self._clock()) - self.settings.refresh_interval - SLACK_S

    def _counts(self, known: _Known) -> bool:
        """Whether the last login still counts."""
        row = known.row
        over = row.login_at + timedelta(seconds=self.settings.valid_for)
        return not row.gone and self._clock() < over and self._monotonic() < known.until

    def _age(self, row: PersonRow, now: datetime) -> float:
        """How long ago the provider spoke for the person; what it said in the future is as far off as if it were past:
        a clock that was set back makes nobody's word last longer.
        """
        return abs((now - row.confirmed_at).total_seconds())

    def _turn(self, row: PersonRow) -> float:
        """When the person is asked about: a little early, each at another moment, so that they do not come at once."""
        return self.settings.refresh_interval * (0.8 + 0.2 * random.Random(row.person).random())  # noqa: S311

    def _turn_of(self, person: str) -> asyncio.Lock:
        """Held by whoever changes a person's row: a refresh must not overwrite what a login says meanwhile."""
        return self._turns.setdefault(person, asyncio.Lock())

    async def _forget_token(self, person: str) -> None:
        """A token that nobody comes in with any more is not kept."""
        async with self._turn_of(person):
            known = self._by_id[person]
            if not self._counts(known):
                await self._database.run(rows.put_token, person, None)
                self._remember(replace(known.row, sealed=None))

    async def _refresh(self, person: str) -> None:
        try:
            async with self._turn_of(person):
                now = self._clock()
                until = now + timedelta(seconds=4 * self.settings.timeout + 10)
                row = await self._database.run(rows.take_turn, person, now, until)
                if row is None or row.sealed is None:
                    # another gateway has it, or took it: what it learns comes with the next round
                    return
                try:
                    await self._refreshed(row, row.sealed)
                except GatewayError:
                    await self._database.run(rows.end_turn, person)
                    raise
            self._not_before.pop(person, None)
            self._is_up()
        except GatewayError as error:
            self._not_before[person] = self._monotonic() + max(1.0, min(_AGAIN_S, self.settings.refresh_interval / 4))
            self._is_down(error)

    def _is_down(self, error: GatewayError) -> None:
        if error.code != "directory-unavailable":
            self._report("directory", error)
            return
        first, self.outage = self.outage is None, error.refusal
        if first:
            self._down_at = self._monotonic()
            self._report("directory", error)
            self._note("directory.source", state="down", code=error.code, reason=error.refusal.message)

    def _is_up(self) -> None:
        was, self.outage = self.outage, None
        if was is not None:
            self._note("directory.source", state="up", duration_s=int(self._monotonic() - self._down_at))

    async def _refreshed(self, row: PersonRow, sealed: bytes) -> None:
        """Ask about one person, and take what comes. Raises `GatewayError` for an outage, of whichever side."""
        asked_at = self._clock()
        try:
            token = self._keys.unseal(sealed, PROVIDER_OWNER + row.person).decode()
            tokens = await self.asking(self.provider.refreshed, token)
            if tokens.refresh:
                row = replace(row, sealed=self._sealed(row.person, tokens.refresh))
                await self._database.run(rows.put_token, row.person, row.sealed)
                self._remember(row)
            facts = await self.asking(self._facts_of, tokens, row)
        except Declined as declined:
            if declined.error != "invalid_grant":
                raise unavailable(f"a refresh was answered with `{declined.error}`") from declined
            await self._lose(row, "the provider does not speak for the person any more")
            return
        except Untrue as untrue:
            await self._lose(row, str(untrue))
            return
        teams = tuple(sorted(facts.teams))
        put = await self._put(
            replace(
                row, login=facts.login, name=facts.name, email=facts.email, teams=teams, confirmed_at=asked_at
            )
        )  # fmt: skip
        if isinstance(put, Refusal):
            await self._lose(row, put.message)

    def _facts_of(self, tokens: Tokens, row: PersonRow) -> Facts:
        """What the provider says now; blocks."""
        claims = self.provider.claims(tokens, subject=row.subject)
        if set(claims) == {"sub"}:
            # neither an ID token nor a userinfo endpoint: it speaks for the person, and says nothing new
            return Facts(
                row.person, row.issuer, row.subject, row.login, row.name, row.email, frozenset(row.teams)
            )  # fmt: skip
        return facts_of(claims, self.settings)

    async def _lose(self, row: PersonRow, reason: str) -> None:
        lost = replace(row, gone=True, sealed=None)
        # memory first: who ends access acts before it is written down
        self._remember(lost)
        self._tell(lost, "gone", reason=reason)
        await self._database.run(rows.put, lost)

    async def _put(self, row: PersonRow) -> Principal | Refusal:
        owner = await self._database.run(rows.put, row)
        if owner is not None:
            return Refusal(
                "sign-in-refused", f"the login `{row.login}` belongs to somebody else here",
                "an administrator of the identity provider can give you another one",
            )  # fmt: skip
        before = self._by_id.get(row.person)
        if before is None:
            self._tell(row, "new")
        elif before.row.login != row.login:
            self._tell(row, "renamed", previous=before.row.login)
        elif before.row.gone:
            self._tell(row, "back")
        elif before.row.teams != row.teams:
            self._tell(row, "teams")
        return self._remember(row).present

    def _tell(self, row: PersonRow, state: str, **more: str) -> None:
        self._note(
            "directory.person", person=row.person, login=row.login, teams=list(row.teams), state=state, **more
        )  # fmt: skip

    def _looked_up(self, *, person: str = "", login: str = "") -> _Known | None:
        """Somebody whom another gateway has met meanwhile; blocks."""
        row = self._database.run_now(rows.find, self.settings.issuer, person=person, login=login)
        return None if row is None else self._known(row)

    def _take_over(self, row: PersonRow) -> None:
        """Know what another gateway wrote, where it is newer than what is known here."""
        known = self._by_id.get(row.person)
        if known is not None:
            before = known.row
            newer = (row.login_at, row.confirmed_at) > (before.login_at, before.confirmed_at)
            lost = row.gone and not before.gone and row.login_at == before.login_at
            if not (newer or lost) or (before.gone and row.login_at == before.login_at):
                return
            if self._turn_of(row.person).locked():
                return
        self._remember(row)

    def _remember(self, row: PersonRow) -> _Known:
        before = self._by_id.get(row.person)
        known = self._known(row)
        if before is not None and before.row.login != row.login and self._by_login.get(before.row.login) is before:
            del self._by_login[before.row.login]
        self._by_id[row.person] = self._by_login[row.login] = known
        return known

    def _known(self, row: PersonRow) -> _Known:
        before = self._by_id.get(row.person)
        present = Principal(row.person, row.login, row.name, frozenset(row.teams), row.email)
        if before is not None and before.present == present:
            present, absent = before.present, before.absent
        else:
            absent = replace(present, active=False)
        left = (row.login_at - self._clock()).total_seconds() + self.settings.valid_for
        until = self._monotonic() + max(0.0, min(left, self.settings.valid_for))
        if before is not None and before.row.login_at == row.login_at:
            until = before.until
        return _Known(row, present, absent, until)

    def _sealed(self, person: str, token: str) -> bytes:
        return self._keys.seal(token.encode(), PROVIDER_OWNER + person, self._token)


def _late() -> Refusal:
    return unavailable("it did not answer about somebody in time").refusal
