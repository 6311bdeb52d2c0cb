"""Signing in to the gateway itself, by password or provider and a second factor, and getting over a lost one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from gateway.access.attempts import Attempts
from gateway.access.context import who
from gateway.access.enrolment import Enrolment
from gateway.access.login import PROVIDER, RECOVERY, Failure, Login, Proof, SignIns
from gateway.access.names import fold_login
from gateway.access.passkeys import Enrolled, Passkeys
from gateway.access.values import SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Principal

EndAll = Callable[[Peer], Callable[[Principal], Awaitable[None]]]


class Signing:
    """See the module; `end_all` gives what ends all that a person has open."""

    def __init__(
        self,
        attempts: Attempts,
        login: Login,
        signins: SignIns,
        enrolment: Enrolment,
        passkeys: Passkeys,
        end_all: EndAll,
    ) -> None:
        self._attempts, self._login, self._signins = attempts, login, signins
        self._enrolment, self._passkeys, self._end_all = enrolment, passkeys, end_all

    async def sign_in(self, login: str, password: str, otp: str, peer: Peer) -> SignIn | Refusal:
        """A sign-in with its bearer token, for password and code."""
        asked_for = {"login": fold_login(login)}
        return await self._attempts.finish(self._sign_in(login, password, otp, peer), asked_for, peer, "sign-in")

    async def sign_in_proven(
        self, person: Principal, otp: str, peer: Peer, method: str, factor_at: datetime | None
    ) -> SignIn | Refusal:
        """A sign-in of whom the identity provider has proved: with a code, or where `factor_at` is when the provider
        saw a second factor that counts, without.
        """
        work = self._sign_in_proven(person, otp, peer, method, factor_at)
        return await self._attempts.finish(work, who(person), peer, method)

    async def collect(self, secret: str, peer: Peer) -> SignIn | Enrolled | Refusal | None:
        """What came of a ceremony with a security key, for the command that began it; None while it is awaited."""
        return await self._attempts.finish(self._collect(secret, peer), {}, peer, "sign-in")

    async def recover(self, login: str, password: str, code: str, peer: Peer) -> str | Refusal:
        """An invitation for password and recovery code; the lost factor is gone, with everything that it opened."""
        asked_for = {"login": fold_login(login)}
        return await self._attempts.finish(self._recover(login, password, code, peer), asked_for, peer, RECOVERY)

    async def recover_proven(self, person: Principal, code: str, peer: Peer) -> str | Refusal:
        """The same for whom the identity provider has proved."""
        work = self._recovered(self._login.prove_factor(person, code, peer, recovery=True), peer)
        return await self._attempts.finish(work, who(person), peer, RECOVERY)

    async def _sign_in(self, login: str, password: str, otp: str, peer: Peer) -> SignIn | Refusal:
        proof = await self._login.prove(login, password, otp, peer)
        if isinstance(proof, Failure):
            return await self._attempts.not_accepted(proof, peer, method="sign-in")
        await self._attempts.record(peer, None, method="sign-in", **who(proof.person), factor=proof.factor)
        return await self._signins.create(proof)

    async def _sign_in_proven(
        self, person: Principal, otp: str, peer: Peer, method: str, factor_at: datetime | None
    ) -> SignIn | Refusal:
        proof: Proof | Failure
        if factor_at is None:
            proof = await self._login.prove_factor(person, otp, peer)
        else:
            present = await self._login.proven(person)
            proof = present if isinstance(present, Failure) else Proof(present, PROVIDER, factor_at)
        if isinstance(proof, Failure):
            return await self._attempts.not_accepted(proof, peer, method=method)
        await self._attempts.record(peer, None, method=method, **who(proof.person), factor=proof.factor)
        return await self._signins.create(proof)

    async def _collect(self, secret: str, peer: Peer) -> SignIn | Enrolled | Refusal | None:
        found = await self._passkeys.collected(secret, peer)
        if not isinstance(found, Proof):
            return found
        await self._attempts.record(peer, None, method="sign-in", **who(found.person), factor=found.factor)
        return await self._signins.create(found)

    async def _recover(self, login: str, password: str, code: str, peer: Peer) -> str | Refusal:
        return await self._recovered(self._login.prove(login, password, code, peer, recovery=True), peer)

    async def _recovered(self, proving: Awaitable[Proof | Failure], peer: Peer) -> str | Refusal:
        proof = await proving
        if isinstance(proof, Failure):
            return await self._attempts.not_accepted(proof, peer, method=RECOVERY)
        await self._attempts.record(peer, None, method=RECOVERY, **who(proof.person), factor=proof.factor)
        return await self._enrolment.recover(proof.person, peer, self._end_all(peer))
