"""The one door to access: what engines and the API ask, delegated to the rooms of this package.

Engines: `challenge`, then `admit_pass` or `admit_direct`, then `attach`, and `check` before every statement.
The API: `sign_in`, `authenticate`, `open`, requests and grants, enrolment. The server runs `run_watcher`.

INVARIANT: a session is handed out only after its `login` record is durable, and so is a refusal to hand one out, but
for those of a flood, which are counted (`refused.py`).
INVARIANT: until somebody has proved who he is, every refusal is the same one; only outages of ours, which are the
same for everybody, are told as what they are. Which team or ticket is missing is told to the proven person alone.
FAIL CLOSED: a source, store or trail that cannot be used is a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from gateway.access.acts import Acts
from gateway.access.attempts import Attempts
from gateway.access.break_glass import Reviews
from gateway.access.context import Context, Policies
from gateway.access.deciding import Decisions
from gateway.access.enrolment import Enrolment
from gateway.access.entering import Entering
from gateway.access.extending import Extensions
from gateway.access.keys import Token
from gateway.access.login import Failure, Login
from gateway.access.news import Known, News
from gateway.access.passkeys import Enrolled, Passkeys
from gateway.access.passwords import hash_password
from gateway.access.people import People
from gateway.access.preview import Look, Previews
from gateway.access.recertifying import Recertifications
from gateway.access.refused import RefusedLogins
from gateway.access.request import Move
from gateway.access.sight import Sight
from gateway.access.signing import Signing
from gateway.access.standing import Standing
from gateway.access.values import (
    AccessSettings,
    Challenge,
    Enrolling,
    Judged,
    LiveSession,
    Opened,
    Previewed,
    Reveal,
    Shown,
    SignIn,
    Wanted,
)  # fmt: skip
from gateway.access.watch import Cut, Watch
from gateway.access.workflow import Announce, Workflow
from gateway.access.writing import Study, Writing
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, Peer, Principal, RequestState, Session
from gateway.ports import Clock, Directory, Quick, TicketSource, Trail
from gateway.store import access as rows
from gateway.store import standing as lost
from gateway.store.database import Database
from gateway.store.passkeys import SecurityKey

__all__ = [
    "Access", "AccessSettings", "Challenge", "Enrolling", "LiveSession", "Opened", "SignIn", "hash_password",
]  # fmt: skip

T = TypeVar("T")

_SWEEP_REQUESTS_S = 30.0
_CODE_DIGITS = 6


def utc_now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


async def _to_nobody(_: Grant, __: Principal | None, ___: frozenset[str]) -> None:
    """Announce nothing."""


class Access:
    """See the module. `database` stays the caller's to close, after `close` here. Loop's thread only."""

    def __init__(
        self,
        settings: AccessSettings,
        *,
        directory: Directory,
        tickets: TicketSource,
        policies: Policies,
        trail: Trail,
        database: Database,
        study: Study,
        preview: Look,
        announce: Announce = _to_nobody,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        token: Token = secrets.token_bytes,
        new_trace: Callable[[], str] = str,
        known: Known | None = None,
        quick: Quick | None = None,
    ) -> None:
        """Loads what is live from the store, blocking. Raises `GatewayError("store-unavailable")`.

        `known` is what the trail knows of the store: one that does not know it is an old one (see `News`). `study`
        tells what a text would write on a target, `preview` runs a SELECT through the gate, `announce` hears of grants
        (see `Workflow`), `new_trace` gives a session's trace an id, or none.
        """
        standing = Standing(*database.run_now(lost.load))
        context = Context(
            settings, directory, tickets, policies, trail, database, clock, monotonic, token, standing, quick
        )
        self.context = self._context = context
        self.news = News(context, database, known)
        self._register, self._signins = self.news.register, self.news.signins
        self._login = Login(context, self.news.locks)
        self._watch = Watch(context, self._register, self._signins, self.news.fresh)
        self.news.ended = self._watch.ended
        self.sight = Sight(context, self._register, self._watch)
        self._writing = Writing(context, self._register, study, self._watch.check)
        self.reviews = Reviews(context, self.sight.is_member, self.sight.delegations)
        self._workflow = Workflow(
            context, self._register, self._writing, self.reviews, self._watch.ended, announce, self._watch.has_sessions
        )  # fmt: skip
        self.delegations = self.sight.delegations
        self.extensions = Extensions(context, self._register, self._workflow)
        self._decisions = Decisions(
            context, self._register, self._workflow, self._writing, self.delegations, self.extensions
        )  # fmt: skip
        self._previews = Previews(
            context, self._register, self._watch, self._workflow, self._writing, preview, self.sight, self._decisions
        )
        self.people = People(context, self.delegations, self.sight.is_member, self._end_all)
        self.recertifications = Recertifications(
            context, self.people, self.delegations, self.sight.is_member, self._workflow.end_lost
        )
        self._refused = RefusedLogins(lambda kind, fields: context.note(kind, **fields), monotonic)
        self._attempts = Attempts(context, self._refused)
        self._enrolment = Enrolment(context, self._login, self._refused)
        self.passkeys = Passkeys(context, self._login, self._enrolment, self._attempts.key_refused)
        self._signing = Signing(
            self._attempts, self._login, self._signins, self._enrolment, self.passkeys, self._end_all
        )
        self._entering = Entering(
            context, self._attempts, self._login, self.news, self._watch, self._workflow, self._end_lapsed, new_trace
        )
        self.acts = Acts(context, self.sight.is_member)

    # engines

    def challenge(self, user: str, target: str, peer: Peer, *, tls: bool) -> Challenge:
        """How the client that calls itself `user` (`alice` or `alice+SUP-1423`) must authenticate; asks nobody.

        A live pass makes it SCRAM. Otherwise a ticket in the name makes it clear text where the target's policy has
        `direct_login` and the connection is TLS, for unknown people too; everybody else gets mock SCRAM. Where the
        client connects from (`peer`) makes no difference: a locked address must not be told that it is.
        """
        return self._entering.challenge(user, target, peer, tls=tls)

    async def admit_pass(self, challenge: Challenge, proven: bool, peer: Peer) -> Session | Refusal:
        """A session for who proved a pass."""
        return await self._entering.admit_pass(challenge, proven, peer)

    async def admit_direct(self, challenge: Challenge, secret: str, peer: Peer) -> Session | Refusal:
        """A session for who proved the directory password with six digits behind it; opens the ticket's grant."""
        return await self._entering.admit_direct(challenge, secret, peer)

    async def admit_signed_in(self, signin: SignIn, grant_id: str, target: str, peer: Peer) -> Session | Refusal:
        """A session for who is signed in, under a live grant of his own on that target, without a pass."""
        return await self._entering.admit_signed_in(signin, grant_id, target, peer)

    def check(self, session: Session) -> Refusal | None:
        """Why the session may not run another statement, or None; costs about a microsecond."""
        return self._watch.check(session)

    async def claim(self, session: Session, digest: str) -> Refusal | None:
        """Let the session run the one statement of its grant, once: None for whoever may, durably recorded."""
        return await self._writing.claim(session, digest)

    def release(self, session: Session, digest: str) -> None:
        """Give a claim back, of a statement that certainly had no effect; in an outage it stays spent."""
        self._writing.release(session, digest)

    def mark(self, digest: str) -> str:
        """What stands for a statement in the trail and in answers: its digest, under a key."""
        return self._context.keys.mark(digest)

    def digest(self, purpose: str, secret: str) -> str:
        """What stands for something in the trail that nobody may try candidates against: see `Keys.digest`."""
        return self._context.keys.digest(purpose, secret).hex()

    async def settled(self) -> None:
        """Wait for what is under way about statements; before `close`, when nobody asks any more."""
        await self._writing.settled()

    def attach(self, session: Session, cut: Cut) -> Callable[[], None]:
        """Register a live session: `cut(refusal)` is called once when it has to end. Returns the detach."""
        return self._watch.attach(session, cut)

    # the API

    async def sign_in(self, login: str, password: str, otp: str, peer: Peer) -> SignIn | Refusal:
        """A sign-in with its bearer token, for password and code."""
        return await self._signing.sign_in(login, password, otp, peer)

    async def sign_in_proven(
        self, person: Principal, otp: str, peer: Peer, method: str, factor_at: datetime | None
    ) -> SignIn | Refusal:
        """A sign-in of whom the identity provider has proved: with a code, or where `factor_at` is when the provider
        saw a second factor that counts, without.
        """
        return await self._signing.sign_in_proven(person, otp, peer, method, factor_at)

    async def refuse_proven(self, failure: Failure, peer: Peer, method: str) -> None:
        """Record a login at the identity provider that came to nothing. Raises `GatewayError("audit-not-writable")`."""
        await self._attempts.not_accepted(failure, peer, method=method)

    async def has_factor(self, person: Principal) -> bool:
        """Whether the person has a second factor of the gateway's own."""
        return await self._login.has_factor(person)

    async def collect(self, secret: str, peer: Peer) -> SignIn | Enrolled | Refusal | None:
        """What came of a ceremony with a security key, for the command that began it; None while it is awaited."""
        return await self._signing.collect(secret, peer)

    def authenticate(self, token: str) -> SignIn | Refusal:
        """The sign-in of a bearer token; asks nobody, so `run_watcher` must be running."""
        return self._signins.find(token)

    async def recognise(self, token: str) -> SignIn | Refusal:
        """As `authenticate`, where it may have been made at another gateway a moment ago."""
        found = self._signins.find(token)
        if isinstance(found, Refusal) and self._context.shared:
            await self.news.caught_up()
            try:
                await self._signins.meet(token)
            except GatewayError as error:
                return error.refusal
            found = self._signins.find(token)
        return found

    async def sign_out(self, signin: SignIn) -> None:
        """End a sign-in. Raises `GatewayError("store-unavailable")`."""
        await self._signins.end(signin)

    async def open(
        self, signin: SignIn, *, target: str, ticket: str, reason: str = "", duration_s: int = 0,
        reveal: Reveal = frozenset(), write: bool = False, statement: str = "", break_glass: bool = False, peer: Peer,
    ) -> Opened | Refusal:  # fmt: skip
        """A pass for a ticket, or the refusal; `approval-required` names the request (`name`) that now waits.

        `write` asks to write as well, in general; `statement` to run that one, once. `break_glass` asks to do
        without an approval.
        """
        wanted = await self._wanted(
            signin, target, ticket, reason, duration_s, reveal, write=write, statement=statement,
            break_glass=break_glass,
        )  # fmt: skip
        if isinstance(wanted, Refusal):
            return wanted
        try:
            self._context.ready()
            found = await self._obtain(wanted, peer)
            if isinstance(found, Refusal):
                return found
            grant, request, judged = found
            secret = await self._entering.mint(signin, wanted.person, grant, judged.ticket, peer)
            if isinstance(secret, Refusal):
                return secret
            user = f"{wanted.person.login}+{grant.ticket_id}"
            return Opened(grant, request, grant.ticket_id, grant.customers, user, secret, grant.expires_at)
        except GatewayError as error:
            return error.refusal

    async def approve(
        self, signin: SignIn, request_id: str, reason: str, peer: Peer, in_name_of: str = ""
    ) -> AccessRequest | Refusal:
        """Count an approval; the last one that is needed makes the grant. `in_name_of` is a login, or empty."""
        return await self._decide(signin, request_id, Move.APPROVE, reason, peer, in_name_of)

    async def deny(
        self, signin: SignIn, request_id: str, reason: str, peer: Peer, in_name_of: str = ""
    ) -> AccessRequest | Refusal:
        """Turn a request down."""
        return await self._decide(signin, request_id, Move.DENY, reason, peer, in_name_of)

    async def file(
        self, signin: SignIn, *, target: str, ticket: str, reason: str = "", duration_s: int = 0,
        reveal: Reveal = frozenset(), write: bool = False, statement: str = "", break_glass: bool = False, peer: Peer,
    ) -> AccessRequest | Refusal:  # fmt: skip
        """Ask as `open` does, without opening: the request, as it waits or as the policy approved it."""
        wanted = await self._wanted(
            signin, target, ticket, reason, duration_s, reveal, write=write, statement=statement,
            break_glass=break_glass,
        )  # fmt: skip
        if isinstance(wanted, Refusal):
            return wanted
        found = await _refusing(self._obtain(wanted, peer))
        if not isinstance(found, Refusal):
            return found[1]
        if found.code != "approval-required" or not found.name:
            return found
        waiting = await _refusing(self._context.store(rows.find_request, found.name))
        return waiting if waiting is not None else found

    async def waiting(self, request_id: str) -> AccessRequest | None:
        """The request of that id while it waits; None where that cannot be told."""
        found = await _refusing(self._context.store(rows.find_request, request_id))
        if found is None or isinstance(found, Refusal) or found.state is not RequestState.PENDING:
            return None
        return found

    async def approvers_of(self, request_id: str) -> list[str]:
        """The logins of some who could approve that request now; none where that cannot be told."""
        request = await self.waiting(request_id)
        policy = self._context.policies(request.target) if request is not None else None
        if request is None or policy is None:
            return []
        found = await _refusing(self.people.approvers_of(request, policy))
        return [] if isinstance(found, Refusal) else found

    async def cancel(self, signin: SignIn, request_id: str, peer: Peer) -> AccessRequest | Refusal:
        """Take one's own request back."""
        return await self._decide(signin, request_id, Move.CANCEL, "", peer)

    async def request(self, signin: SignIn, request_id: str) -> Shown | Refusal:
        """One request as it stands now, with the same view as `requests`; its statement for who may read it."""
        return await _refusing(self._previews.show(signin, request_id))

    async def preview(self, signin: SignIn, request_id: str, peer: Peer, in_name_of: str = "") -> Previewed | Refusal:
        """What the statement of a waiting request would change; who approves it must have seen that just before."""
        return await _refusing(self._previews.preview(signin, request_id, peer, in_name_of))

    async def requests(self, signin: SignIn, state: RequestState | None = None) -> list[AccessRequest] | Refusal:
        """Requests newest first: one's own, and those one may decide on; all of them for administrators."""
        return await _refusing(self.sight.requests(signin.principal, state))

    async def grants(self, signin: SignIn, *, live: bool = True) -> list[Grant] | Refusal:
        """Grants newest first, with the same view as `requests`; `live` leaves out those that are over."""
        return await _refusing(self.sight.grants(signin.principal, live))

    async def revoke(self, signin: SignIn, grant_id: str, reason: str, peer: Peer) -> Grant | Refusal:
        """End a grant at once: one's own, any for administrators and for the target's approvers."""
        try:
            person = await self._context.present(signin.principal.id)
            return (
                person if isinstance(person, Refusal) else await self._workflow.revoke(person, grant_id, reason, peer)
            )
        except GatewayError as error:
            return error.refusal

    def sessions(self, signin: SignIn) -> list[LiveSession]:
        """Live sessions of this process, with the same view as `requests`."""
        return self.sight.sessions(signin.principal)

    # people

    async def invite(self, signin: SignIn | None, login: str, peer: Peer) -> str | Refusal:
        """An invitation code for a person without a factor. `signin` None: by whoever runs the gateway, locally."""
        return await self.people.administer(signin, lambda by: self._enrolment.invite(login, by, peer))

    async def enrol_begin(
        self, login: str, password: str | Principal, invitation: str, peer: Peer
    ) -> Enrolling | Refusal:
        """The `otpauth://` URI and the secret of a new factor, which waits for its first code.

        In the place of the password, here and below, stands whom the identity provider has proved.
        """
        return await _refusing(self._enrolment.begin(login, password, invitation, peer))

    async def enrol_finish(
        self, login: str, password: str | Principal, invitation: str, code: str, peer: Peer
    ) -> tuple[str, ...] | Refusal:
        """The recovery codes, shown once, for the right first code."""
        return await _refusing(self._enrolment.finish(login, password, invitation, code, peer))

    async def recover(self, login: str, password: str, code: str, peer: Peer) -> str | Refusal:
        """An invitation for password and recovery code; the lost factor is gone, with everything that it opened."""
        return await self._signing.recover(login, password, code, peer)

    async def recover_proven(self, person: Principal, code: str, peer: Peer) -> str | Refusal:
        """The same for whom the identity provider has proved."""
        return await self._signing.recover_proven(person, code, peer)

    async def reset_factor(self, signin: SignIn | None, login: str, peer: Peer) -> Principal | Refusal:
        """Take a person's factor away; his grants are revoked, his sessions cut, his sign-ins over."""
        return await self.people.administer(
            signin, lambda by: self._enrolment.reset(login, by, peer, self._end_all(peer))
        )

    async def remove_key(self, signin: SignIn, which: str, peer: Peer) -> SecurityKey | Refusal:
        """Take one of a person's own security keys away; what he has open ends, as with `reset_factor`."""
        return await self.passkeys.remove(signin, which, peer, self._end_all(peer, "security key removed"))

    def is_member(self, principal: Principal, role: str) -> bool:
        """Whether the person has the role: see `Sight`. Raises `KeyError` for an unknown one."""
        return self.sight.is_member(principal, role)

    # life

    async def run_watcher(self) -> None:
        """Watch until cancelled. A watcher that stops makes every session and sign-in stop within the grace."""
        # apart from one another: a store that does not answer keeps nobody from looking at people and tickets
        async with asyncio.TaskGroup() as group:
            group.create_task(self.news.run())
            group.create_task(self._watching())
            group.create_task(self._sweeping())

    async def _watching(self) -> None:
        while True:
            await self._watch.refresh()
            await asyncio.sleep(self._context.settings.watch_interval_s)

    async def _sweeping(self) -> None:
        context = self._context
        swept = float("-inf")
        while True:
            requests_too = context.monotonic() - swept >= _SWEEP_REQUESTS_S
            if await self.sweep(requests=requests_too) is None and requests_too:
                swept = context.monotonic()
            await asyncio.sleep(context.settings.watch_interval_s)

    async def refresh(self) -> None:
        """One round of the watcher."""
        await self.news.refresh()
        await self._watch.refresh()

    async def sweep(self, *, requests: bool = True) -> Refusal | None:
        """Expire what ran out. An outage is returned; what ran out gives no access anyway."""
        try:
            self._refused.flush()
            self.news.say()
            await self.people.reload()
            await self._workflow.end_lost()
            await self._workflow.save_ends()
            await self._end_lapsed()
            await self._workflow.sweep()
            if requests:
                await self._workflow.sweep_requests()
                await self.acts.sweep()
                await self.recertifications.sweep()
                for person in await self.reviews.sweep():
                    await self._workflow.end_unapproved(person, "a break-glass access was not reviewed in time")
        except GatewayError as error:
            return error.refusal
        return None

    def close(self) -> None:
        """Join the worker threads, and record what is only counted. Cancel `run_watcher` first."""
        with contextlib.suppress(GatewayError):
            self._refused.flush(0.0)
        self._watch.close()
        self._writing.close()
        self._login.close()
        self._context.close()

    async def _wanted(
        self, signin: SignIn, target: str, ticket: str, reason: str, duration_s: int, reveal: Reveal, *,
        write: bool = False, statement: str = "", break_glass: bool = False,
    ) -> Wanted | Refusal:  # fmt: skip
        person = await _refusing(self._context.present(signin.principal.id))
        if isinstance(person, Refusal):
            return person
        return Wanted(
            person, target, ticket, signin.factor_at, reason, duration_s, reveal, write=write or bool(statement),
            statement=statement, break_glass=break_glass, factor=signin.factor,
        )  # fmt: skip

    async def _end_lapsed(self) -> None:
        """End the grants that the watcher found without a reason: before new access, so that none is used again."""
        await self._workflow.end_lapsed(self._watch.lapsed())

    async def _obtain(self, wanted: Wanted, peer: Peer) -> tuple[Grant, AccessRequest, Judged] | Refusal:
        """What `Workflow.obtain` gives; what was not even filed is recorded."""
        await self._end_lapsed()
        found = await self._workflow.obtain(wanted, peer)
        if isinstance(found, Refusal) and (found.code != "approval-required" or not found.name):
            await self._workflow.refuse(wanted, found, peer)
        return found

    def _end_all(self, peer: Peer, why: str = "second factor reset") -> Callable[[Principal], Awaitable[None]]:
        """What ends all that a person has open here."""

        async def end(person: Principal) -> None:
            self._signins.forget_person(person.id)
            await self._workflow.end_all(person.id, why, peer)

        return end

    async def _decide(
        self, signin: SignIn, request_id: str, move: Move, reason: str, peer: Peer, in_name_of: str = ""
    ) -> AccessRequest | Refusal:
        return await _refusing(self._decisions.decide(signin, request_id, move, reason[:500], peer, in_name_of))


async def _refusing(work: Awaitable[T | Refusal]) -> T | Refusal:
    """The work's result, with an outage as the refusal it is."""
    try:
        return await work
    except GatewayError as error:
        return error.refusal
