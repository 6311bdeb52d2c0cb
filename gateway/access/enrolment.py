"""How a person comes to have a second factor, and loses it.

Theory of operation. Somebody entitled issues an invitation: a code for one person, kept as a keyed digest, good once
and for a limited time. The person begins with login, password and invitation, and gets a fresh TOTP secret, which waits
sealed beside the invitation. A right first code finishes: the invitation is used up, the factor stands, its step counts
as used, and recovery codes are shown once. A factor is never overwritten: it is reset by somebody else, or by its owner
with a recovery code, which is good for that alone: the lost factor goes, with all that it opened, and an invitation
comes in its place. So a code that was stolen opens nothing quietly: its owner's own factor stops working.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.access.context import Context, verdict, where, who
from gateway.access.factors import (
    RECOVERY_CODES,
    fold_recovery_code,
    matching_steps,
    new_secret,
    recovery_code,
    uri,
)
from gateway.access.keys import base32
from gateway.access.login import RECOVERY, Failure, Login, not_accepted
from gateway.access.refused import RefusedLogins
from gateway.access.values import Enrolling
from gateway.errors import Refusal
from gateway.model import Peer, Principal
from gateway.store import passkeys, people
from gateway.store.people import FactorRow, InvitationRow


class Enrolment:
    """Invitations, and what they lead to."""

    def __init__(self, context: Context, login: Login, refused: RefusedLogins) -> None:
        self._context, self._login, self._refused = context, login, refused

    async def invite(self, login: str, by: str, peer: Peer) -> str | Refusal:
        """An invitation code for a person who has no factor; older ones of his stop working."""
        context = self._context
        person = await context.find(login)
        if person is not None and context.standing.suspension(person.id) is not None:
            hint = f"gateway people unsuspend {person.login}"
            return Refusal("request-invalid", f"`{person.login}` is suspended", hint)
        if person is None or not person.active:
            return Refusal("not-found", f"the directory has no active person `{login[:64]}`")
        keyed = await context.store(passkeys.has_key, person.id)
        if keyed or await context.store(people.find_factor, person.id) is not None:
            return Refusal("request-invalid", f"`{person.login}` has a second factor", "reset it first")
        code = base32(context.token(20))
        now = context.clock()
        await context.record(
            "enrolment", **who(person), **where(peer), decision="permit", reason="invited", by=by, factor="totp"
        )
        expires_at = now + timedelta(seconds=context.settings.invitation_life_s)
        await context.store(people.insert_invitation, self.digest(code), person.id, by, now, expires_at)
        return code

    async def begin(self, login: str, password: str | Principal, invitation: str, peer: Peer) -> Enrolling | Refusal:
        """A secret that waits for its first code; beginning again replaces it.

        In the place of a password, here and below, stands the person whom the identity provider has proved.
        """
        found = await self.invited(login, password, invitation, peer)
        if isinstance(found, Refusal):
            return found
        person, row = found
        context = self._context
        secret = new_secret(context.token)
        sealed = context.keys.seal(secret.encode(), person.id, context.token)
        if not await context.store(people.begin_enrolment, self.digest(invitation), sealed):
            return await self._refuse(person, "the invitation was used meanwhile", peer)
        return Enrolling(uri(secret, person.login, context.settings.issuer), secret, row.expires_at)

    async def finish(
        self, login: str, password: str | Principal, invitation: str, code: str, peer: Peer
    ) -> tuple[str, ...] | Refusal:
        """The recovery codes, once the first code of the waiting secret is right."""
        found = await self.invited(login, password, invitation, peer)
        if isinstance(found, Refusal):
            return found
        person, row = found
        context = self._context
        if row.sealed is None:
            return await self._refuse(person, "the enrolment was not begun", peer)
        now = context.clock()
        steps = matching_steps(context.keys.unseal(row.sealed, person.id).decode(), code, now)
        if not steps:
            await self._login.charge(login, peer)
            return await self._refuse(person, "wrong code", peer)
        codes = tuple(recovery_code(context.token) for _ in range(RECOVERY_CODES))
        digests = [context.keys.digest("recovery", fold_recovery_code(text)) for text in codes]
        factor = FactorRow(person.id, "totp", row.sealed, now, steps[0])
        await context.record(
            "enrolment", **who(person), **where(peer), decision="permit", reason="enrolled", by=person.id, factor="totp"
        )
        if not await context.store(people.finish_enrolment, self.digest(invitation), factor, digests):
            return await self._refuse(person, "the invitation was used meanwhile", peer)
        return codes

    async def reset(
        self, login: str, by: str, peer: Peer, end: Callable[[Principal], Awaitable[None]]
    ) -> Principal | Refusal:
        """Take the person's factor, recovery codes, open invitations and sign-ins away, and `end` what they opened.

        All that takes effect even when it cannot be recorded, which is then raised.
        """
        context = self._context
        person = await context.find(login)
        if person is None:
            return Refusal("not-found", f"the directory has no person `{login[:64]}`")
        if person.id == by:
            return Refusal("request-invalid", "nobody resets his own second factor", "ask somebody else")
        if not await context.store(people.remove_factor, person.id):
            return Refusal("not-found", f"`{person.login}` has no second factor")
        await end(person)
        await context.record("factor.reset", **who(person), **where(peer), decision="permit", by=by, factor="totp")
        return person

    async def recover(
        self, person: Principal, peer: Peer, end: Callable[[Principal], Awaitable[None]]
    ) -> str | Refusal:
        """An invitation for who proved a recovery code, once the factor that was lost is gone and `end` done.

        When it comes to nothing after that, the person needs an administrator's invitation.
        """
        if not await self._context.store(people.remove_factor, person.id):
            return Refusal("not-found", f"`{person.login}` has no second factor")
        await end(person)
        facts = {**who(person), **where(peer)}
        await self._context.record("factor.reset", **facts, decision="permit", by=person.id, factor=RECOVERY)
        return await self.invite(person.login, person.id, peer)

    async def invited(
        self, login: str, password: str | Principal, invitation: str, peer: Peer
    ) -> tuple[Principal, InvitationRow] | Refusal:
        """Who proved the password, and his live invitation.

        INVARIANT: without one's own invitation a right password looks like a wrong one, or this would be the place to
        try passwords without a second factor.
        """
        row = await self._context.store(people.find_invitation, self.digest(invitation))
        if isinstance(password, Principal):
            proved = await self._login.proven(password)
        else:
            proved = await self._login.prove_password(login, password, peer)
        if isinstance(proved, Failure):
            facts = {**(who(proved.person) or {"login": proved.login}), **where(peer), "factor": "totp"}
            facts |= verdict(Refusal(proved.code, proved.reason))
            if not self._refused.is_one_of_many("enrolment", peer.host, facts):
                await self._context.record("enrolment", **facts)
            return not_accepted()
        if row is None or row.person != proved.id:
            await self._login.charge(login, peer)
            await self._refuse(proved, "no such invitation", peer)
            return not_accepted()
        if row.used_at is not None or self._context.clock() >= row.expires_at:
            return await self._refuse(proved, "the invitation was used or has run out", peer)
        return proved, row

    async def _refuse(self, person: Principal, reason: str, peer: Peer) -> Refusal:
        refusal = Refusal("enrolment-invalid", reason)
        await self._context.record("enrolment", **who(person), **where(peer), **verdict(refusal), factor="totp")
        return Refusal(
            "enrolment-invalid",
            "the invitation or the code was not accepted",
            "ask an administrator for a new invitation",
        )

    def digest(self, invitation: str) -> bytes:
        """What an invitation is known by in the store."""
        return self._context.keys.digest("invitation", invitation.strip().lower())
