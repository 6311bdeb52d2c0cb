"""Getting in at a target: by a pass, by password and code, or from a browser that is signed in.

INVARIANT: a session is handed out only after its `login` record is durable, and only while its grant lives, as the
store itself has it and not another gateway's memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from gateway.access.attempts import Attempts, asked_for_by
from gateway.access.context import Context, where, who
from gateway.access.login import Failure, Login, Proof
from gateway.access.names import fold_login, split_user
from gateway.access.news import News
from gateway.access.passes import Register, new_pass
from gateway.access.request import is_fresh, stale_factor
from gateway.access.values import Challenge, Judged, SignIn, Wanted
from gateway.access.watch import Watch
from gateway.access.workflow import Workflow
from gateway.errors import Refusal
from gateway.model import Grant, Pass, Peer, Principal, Session, Ticket
from gateway.store import access as rows
from gateway.store.access import PassRow
from gateway.wire.auth import ScramVerifier, make_verifier, mock_verifier

_CODE_DIGITS = 6


class Entering:
    """See the module. `end_lapsed` ends what has lost its reason, `new_trace` gives a session's trace an id."""

    def __init__(
        self,
        context: Context,
        attempts: Attempts,
        login: Login,
        news: News,
        watch: Watch,
        workflow: Workflow,
        end_lapsed: Callable[[], Awaitable[None]],
        new_trace: Callable[[], str],
    ) -> None:
        self._context, self._attempts, self._login, self._news = context, attempts, login, news
        self._register: Register = news.register
        self._watch, self._workflow, self._end_lapsed, self._new_trace = watch, workflow, end_lapsed, new_trace

    def challenge(self, user: str, target: str, peer: Peer, *, tls: bool) -> Challenge:  # noqa: ARG002 - see below
        """How the client that calls itself `user` (`alice` or `alice+SUP-1423`) must authenticate; asks nobody.

        A live pass makes it SCRAM. Otherwise a ticket in the name makes it clear text where the target's policy has
        `direct_login` and the connection is TLS, for unknown people too; everybody else gets mock SCRAM. Where the
        client connects from (`peer`) makes no difference: a locked address must not be told that it is.
        """
        login, ticket_id = split_user(user)
        found = self._register.login_passes(login, target, ticket_id, self._context.clock())
        if found:
            (verifier, pass_id), *others = [(row.secret.scram, row.secret.id) for row in found]
            return Challenge("scram", login, ticket_id, target, verifier, pass_id, tuple(others))
        policy = self._context.policies(target) if "+" in user and tls else None
        if policy is not None and policy.access.direct_login:
            return Challenge("cleartext", login, ticket_id, target, "", None)
        return Challenge("scram", login, ticket_id, target, str(self._mock(login or user[:256], target)), None)

    async def admit_pass(self, challenge: Challenge, proven: bool, peer: Peer) -> Session | Refusal:
        """A session for who proved a pass."""
        work = self._admit_pass(challenge, proven, peer)
        return await self._attempts.finish(work, asked_for_by(challenge), peer, "pass")

    async def admit_direct(self, challenge: Challenge, secret: str, peer: Peer) -> Session | Refusal:
        """A session for who proved the directory password with six digits behind it; opens the ticket's grant."""
        work = self._admit_direct(challenge, secret, peer)
        return await self._attempts.finish(work, asked_for_by(challenge), peer, "direct")

    async def admit_signed_in(self, signin: SignIn, grant_id: str, target: str, peer: Peer) -> Session | Refusal:
        """A session for who is signed in, under a live grant of his own on that target, without a pass."""
        asked_for = {"login": signin.principal.login, "target": target}
        work = self._admit_signed_in(signin, grant_id, target, peer)
        return await self._attempts.finish(work, asked_for, peer, "browser")

    async def _admit_pass(self, challenge: Challenge, proven: bool, peer: Peer) -> Session | Refusal:
        context = self._context
        context.ready()
        over = None
        row = self._register.pass_of(challenge.pass_id) if challenge.pass_id is not None else None
        grant = self._register.grant(row.secret.grant_id) if row is not None else None
        if row is not None and grant is not None:
            over = self._register.over(grant.id, row.secret.id, context.clock())
        if not proven or row is None or grant is None:
            known = await context.find(challenge.login)
            reason = "unknown person" if known is None else "no live pass" if row is None else "wrong pass"
            failure = Failure("authentication-failed", reason, challenge.login, known)
            return await self._attempts.not_accepted(failure, peer, challenge=challenge, method="pass")
        # the store itself: another gateway may have ended it a moment ago
        over = over or await self._over_elsewhere(grant.id, row.secret.id)
        person, ticket = await asyncio.gather(context.by_id(grant.person), context.ticket(grant.ticket_id))
        if person is None or not person.active or person.login != row.login:
            failure = Failure("authentication-failed", "person is not active", challenge.login, person)
            return await self._attempts.not_accepted(failure, peer, challenge=challenge, method="pass")
        fields = {**grant_fields(grant), **who(person), "pass": row.secret.id, "factor": row.factor}
        fields["factor_age_s"] = self._attempts.age_s(row.factor_at)
        judged = over or self._judge_grant(grant, person, ticket)
        if isinstance(judged, Refusal):
            await self._attempts.record(peer, judged, method="pass", **fields)
            return replace(judged, fatal=True)
        proof = Proof(person, row.factor, row.factor_at)
        return await self._session(proof, grant, judged, row.secret.id, peer, "pass", fields)

    async def _admit_signed_in(self, signin: SignIn, grant_id: str, target: str, peer: Peer) -> Session | Refusal:
        context, method = self._context, "browser"
        context.ready()
        # another gateway may have made it a moment ago
        await self._news.caught_up()
        person, grant = await self._context.present(signin.principal.id), self._register.grant(grant_id)
        fields: dict[str, Any] = {**who(signin.principal), "target": target, "factor": signin.factor}
        fields["factor_age_s"] = self._attempts.age_s(signin.factor_at)
        judged: Judged | Refusal
        if isinstance(person, Refusal):
            judged = person
        elif grant is None or grant.person != person.id or grant.target != target:
            judged = Refusal("not-found", "you have no such access", "choose one of those that are listed")
        else:
            fields |= {**grant_fields(grant), **who(person)}
            judged = (
                self._register.over(grant.id, None, context.clock())
                or await self._over_elsewhere(grant.id, None)
                or self._factor_short(signin, target)
                or self._judge_grant(grant, person, await context.ticket(grant.ticket_id))
            )
        if isinstance(judged, Refusal) or isinstance(person, Refusal) or grant is None:
            assert isinstance(judged, Refusal)
            await self._attempts.record(peer, judged, method=method, **fields)
            return judged
        proof = Proof(person, signin.factor, signin.factor_at)
        return await self._session(proof, grant, judged, None, peer, method, fields)

    def _factor_short(self, signin: SignIn, target: str) -> Refusal | None:
        """Why the factor of a sign-in is not enough for a target: as `Workflow.permitted` has it."""
        policy = self._context.policies(target)
        if policy is not None and policy.access.second_factor == "webauthn" != signin.factor:
            return Refusal(
                "second-factor-required", f"`{target}` needs the factor {policy.access.second_factor}",
                "sign in with that one",
            )  # fmt: skip
        fresh_s = self._context.settings.fresh.open
        return None if is_fresh(signin.factor_at, self._context.clock(), fresh_s) else stale_factor(fresh_s)

    def _judge_grant(self, grant: Grant, person: Principal, ticket: Ticket | None) -> Judged | Refusal:
        """Whether a live grant still has its reasons, on a ticket that was just read."""
        if ticket is not None and ticket.system != grant.ticket_system:
            ticket = None
        judged = self._workflow.judge_on(
            ticket, person, grant.target, grant.ticket_id, write=grant.write, statement=bool(grant.statement),
            break_glass=grant.break_glass,
        )  # fmt: skip
        if not isinstance(judged, Refusal) and set(judged.ticket.customers) != set(grant.customers):
            return Refusal(
                "access-ended", f"the customer of the ticket `{grant.ticket_id}` has changed", "open it again"
            )
        return judged

    async def _over_elsewhere(self, grant_id: str, pass_id: str | None) -> Refusal | None:
        """Why the pass, or without one the grant, admits nobody, as the store has it.

        Raises `GatewayError("store-unavailable")`.
        """
        context, now = self._context, self._context.clock()
        good = context.look(rows.lives, grant_id, now) if pass_id is None else context.look(rows.admits, pass_id, now)
        if await good:
            return None
        await self._news.refresh()
        over = self._register.over(grant_id, pass_id, self._context.clock())
        return over or Refusal("grant-revoked", "the grant was revoked", "ask whoever revoked it", fatal=True)

    async def _admit_direct(self, challenge: Challenge, secret: str, peer: Peer) -> Session | Refusal:
        method = "direct"
        password, code = secret[:-_CODE_DIGITS], secret[-_CODE_DIGITS:]
        if challenge.method != "cleartext" or challenge.ticket_id is None:
            failure = Failure("authentication-failed", "malformed user name", challenge.login)
            return await self._attempts.not_accepted(failure, peer, challenge=challenge, method=method)
        proof = await self._login.prove(challenge.login, password, code, peer)
        if isinstance(proof, Failure):
            return await self._attempts.not_accepted(proof, peer, challenge=challenge, method=method)
        wanted = Wanted(proof.person, challenge.target, challenge.ticket_id, proof.factor_at, direct=True)
        await self._end_lapsed()
        found = await self._workflow.obtain(wanted, peer)
        fields = {**who(proof.person), "factor": proof.factor, "factor_age_s": 0}
        if isinstance(found, Refusal):
            fields = asked_for_by(challenge) | fields
            await self._attempts.record(peer, found, method=method, **fields)
            return replace(found, fatal=True)
        grant, _, judged = found
        return await self._session(proof, grant, judged, None, peer, method, {**grant_fields(grant), **fields})

    async def _session(
        self, proof: Proof, grant: Grant, judged: Judged, pass_id: str | None, peer: Peer, method: str,
        fields: dict[str, Any],
    ) -> Session | Refusal:  # fmt: skip
        """Record the login, then hand the session out, unless its grant ended while the record was written."""
        context = self._context
        session = Session(
            context.new_id("session"), proof.person, grant, judged.ticket, pass_id, proof.factor, proof.factor_at, peer,
            context.clock(), self._new_trace(),
        )  # fmt: skip
        fields |= {
            "session": session.id,
            "trace": session.trace,
            "ticket_state": judged.ticket.status,
            "policy": judged.policy.digest,
        }
        await self._attempts.record(peer, None, method=method, **fields)
        over = self._register.over(grant.id, pass_id, context.clock())
        if over is not None:
            await self._attempts.record(peer, over, method=method, **fields)
            return over
        self._watch.begin(session, judged.policy)
        return session

    async def mint(self, signin: SignIn, person: Principal, grant: Grant, ticket: Ticket, peer: Peer) -> str | Refusal:
        """A new pass for the grant: recorded, then kept, then known to `challenge`."""
        context = self._context
        secret = new_pass(context.token)
        # a pass has 160 random bits of its own; with one salt for life nobody can tell whether there is a pass at all
        salt = self._mock(fold_login(person.login), grant.target).salt
        scram = await context.work(make_verifier, secret, salt=salt)
        minted = Pass(
            context.new_id("pass"), grant.id, person.id, grant.target, grant.ticket_id, scram, context.clock(),
            grant.expires_at,
        )  # fmt: skip
        row = PassRow(minted, person.login, signin.factor, signin.factor_at)
        await context.record(
            "pass.minted", **{**grant_fields(grant), "pass": minted.id}, **who(person), **where(peer),
            ticket_state=ticket.status, factor=signin.factor, factor_age_s=self._attempts.age_s(signin.factor_at),
            expires_at=grant.expires_at.isoformat(),
        )  # fmt: skip
        if not await context.store(rows.insert_pass, row):
            await self._news.refresh()
            over = self._register.over(grant.id, None, context.clock())
            return over or Refusal("grant-revoked", "the grant is over", "open the ticket again")
        self._register.put_pass(row)
        return secret

    def _mock(self, name: str, target: str) -> ScramVerifier:
        """What a name without a pass is challenged with; its salt is also the real passes'."""
        return mock_verifier(f"{name}\0{target[:256]}", self._context.keys.mock)


def grant_fields(grant: Grant) -> dict[str, Any]:
    """What a record says of a grant."""
    return {
        "target": grant.target,
        "ticket_system": grant.ticket_system,
        "ticket": grant.ticket_id,
        "customers": list(grant.customers),
        "grant": grant.id,
        "request": grant.request_id,
        "approvers": list(grant.approved_by),
    }
