"""Security keys (WebAuthn level 2, https://www.w3.org/TR/webauthn-2/): enrolled and used on a page, for a command.

Theory of operation. A command begins a ceremony (password, or password and invitation, or a sign-in that adds a key)
and gets three secrets: the address of a page, a short code to show, and what it collects the outcome with. The person
opens the page and types the code; only then is a key asked, by a challenge of that moment. Its answer is verified
(type, challenge, origin, hash of the name, user present and verified, signature, counter, whose key it is), and the
command collects the outcome, once. So the token goes to the command alone: no address and no page ever holds it.

Who begins a ceremony in somebody else's name and sends him the page (fixation) has to make him type a code that is on
no screen of his, and, with `same_address`, has to sit at the same address as the victim's browser.

INVARIANT: a wrong password begins a ceremony like any other, which ends refused: nothing outside learns of it, nor who
has keys (keys are discoverable: no credential's id is ever handed out).
INVARIANT: a challenge is taken out of the store before its answer is looked at; the counter moves by compare-and-swap.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import webauthn
from cryptography.exceptions import UnsupportedAlgorithm
from webauthn.helpers import base64url_to_bytes, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from gateway.access.context import Context, verdict, where, who
from gateway.access.enrolment import Enrolment
from gateway.access.factors import RECOVERY_CODES, fold_recovery_code, recovery_code
from gateway.access.keys import base32
from gateway.access.lockout import network_of
from gateway.access.login import Failure, Login, Proof, not_accepted
from gateway.access.request import is_fresh, stale_factor
from gateway.access.values import SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Principal
from gateway.store import passkeys
from gateway.store.passkeys import Ceremony, SecurityKey

KIND = "webauthn"
LIFE_S = 180
TRIES = 3
MOST_KEYS = 10
CLONED = "the counter of the key went back"
_MALFORMED = (
    WebAuthnException, UnsupportedAlgorithm, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    RecursionError, MemoryError, struct.error,
)  # fmt: skip
"""What reading and verifying an answer raises, whatever was sent in it."""

Judge = Callable[[Failure, Peer], Awaitable[Refusal]]
"""Records why a login was refused; returns what everybody is told."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A ceremony for a command: the page to open, the code to show, and what the outcome is collected with."""

    url: str = field(repr=False)
    code: str = field(repr=False)
    collect: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A key was enrolled; the recovery codes, shown once, of a first factor."""

    name: str
    codes: tuple[str, ...] = field(default=(), repr=False)


class Passkeys:
    """The ceremonies. Without `rp_id` in the settings everything is refused."""

    def __init__(self, context: Context, login: Login, enrolment: Enrolment, judge: Judge) -> None:
        self._context, self._login, self._enrolment, self._judge = context, login, enrolment, judge
        self._settings = context.settings.webauthn
        self._judging: set[asyncio.Future[Refusal]] = set()

    async def begin_login(self, login: str, password: str, peer: Peer) -> Begun | Refusal:
        """A ceremony for who may have proved his password."""
        if not self._settings.rp_id:
            return _off()
        proved = await self._login.prove_password(login, password, peer)
        person = "" if isinstance(proved, Failure) else proved.id
        if isinstance(proved, Failure):
            if proved.code == "too-many-attempts":
                return await self._judge(proved, peer)
            # beside the answer: waiting for the record would tell a wrong password from a right one
            judging = asyncio.ensure_future(self._judge(proved, peer))
            self._judging.add(judging)
            judging.add_done_callback(self._judged)
        return await self._begin("login", login, person, peer)

    async def begin_enrolment(self, login: str, password: str, invitation: str, peer: Peer) -> Begun | Refusal:
        """A ceremony that enrols a first factor, for password and invitation."""
        if not self._settings.rp_id:
            return _off()
        found = await self._enrolment.invited(login, password, invitation, peer)
        if isinstance(found, Refusal):
            return found
        return await self._begin(
            "enrol", found[0].login, found[0].id, peer, self._enrolment.digest(invitation), "first key"
        )

    async def begin_adding(self, signin: SignIn, name: str, peer: Peer) -> Begun | Refusal:
        """A ceremony that adds a key to the factors of a person who proved one just now."""
        if not self._settings.rp_id:
            return _off()
        person = await self._fresh(signin)
        if isinstance(person, Refusal):
            return person
        known = await self._context.store(passkeys.keys_of, person.id)
        if len(known) >= MOST_KEYS:
            hint = "take one away: gateway people remove-key"
            return Refusal("request-invalid", f"{MOST_KEYS} keys are the most that one person has", hint)
        return await self._begin("enrol", person.login, person.id, peer, name=name or f"key {len(known) + 1}")

    async def remove(
        self, signin: SignIn, which: str, peer: Peer, end: Callable[[Principal], Awaitable[None]]
    ) -> SecurityKey | Refusal:
        """Take one of the person's own keys away, by name or id, and `end` what he has open: the key may be stolen.

        All that takes effect even when it cannot be recorded, which is then raised.
        """
        context, person = self._context, await self._fresh(signin)
        if isinstance(person, Refusal):
            return person
        known = await context.store(passkeys.keys_of, person.id)
        found = [key for key in known if which in (key.id, key.name)]
        if len(found) != 1:
            what = "several keys are" if found else "none of your keys is"
            return Refusal("not-found", f"{what} called `{which[:64]}`", "see `gateway people keys`, and give the id")
        if not await context.store(passkeys.remove_key, found[0]):
            return Refusal(
                "request-invalid", "it is the last of your factors, or gone already",
                "enrol another first, or have an administrator reset you: gateway people reset",
            )  # fmt: skip
        await end(person)
        facts = {**who(person), **where(peer)}
        await context.record(
            "factor.reset", **facts, decision="permit", by=person.id, factor=KIND, reason="one security key removed"
        )
        return found[0]

    async def _fresh(self, signin: SignIn) -> Principal | Refusal:
        """The person as he is now, while what he proved is recent enough to change his factors."""
        context, fresh_s = self._context, self._context.settings.fresh.people
        person = await context.present(signin.principal.id)
        if isinstance(person, Refusal):
            return person
        return person if is_fresh(signin.factor_at, context.clock(), fresh_s) else stale_factor(fresh_s)

    async def asked(self, page: str, code: str, peer: Peer) -> dict[str, Any] | Refusal:
        """What the page has to ask the key, for the code that the command shows."""
        context, row = self._context, await self._find(page)
        if row is None or not await context.store(passkeys.spend_try, row.page):
            return _no_page()
        if not hmac.compare_digest(row.code, self._code(code)):
            return _no_page()
        if self._settings.same_address and network_of(peer.host) != row.address:
            return Refusal(
                "request-invalid", "the command that asked for this runs at another address",
                "if it is not yours, tell security; open the page where the command runs",
            )  # fmt: skip
        challenge = context.token(32)
        if not await context.store(passkeys.put_challenge, row.page, challenge):
            return _no_page()
        return {"kind": row.kind, "login": row.login, "options": await self._options(row, challenge)}

    async def answered(self, page: str, answer: dict[str, Any], peer: Peer) -> Refusal | None:
        """Take the key's answer; a refusal is what everybody is told."""
        context, row = self._context, await self._find(page)
        if row is None or row.challenge is None:
            return _no_page()
        if not await context.store(passkeys.take_challenge, row.page, row.challenge):
            return _no_page()
        if row.kind == "login":
            return await self._login_answered(row, row.challenge, answer, peer)
        return await self._enrol_answered(row, row.challenge, answer, peer)

    async def collected(self, secret: str, peer: Peer) -> Proof | Enrolled | Refusal | None:
        """The outcome, once; None while the page is still awaited."""
        context = self._context
        row = await context.store(passkeys.find, collect=_hash(secret))
        if row is None or context.clock() >= row.expires_at:
            return Refusal("session-expired", "nobody used a key in time", "begin again")
        if row.state == "waiting":
            return None
        if not await context.store(passkeys.remove, row.collect, row.state):
            return Refusal("session-expired", "this was collected already", "begin again")
        if row.state != "proved" or row.credential is None:
            return not_accepted() if row.kind == "login" else _no_key()
        person = await context.by_id(row.person)
        if person is None or not person.active or person.login != row.login:
            return not_accepted()
        if row.kind == "login":
            await self._login.credit(row.login, peer)
            return Proof(person, KIND, context.clock())
        return await self._enrolled(row, person, peer)

    async def keys(self, signin: SignIn) -> list[SecurityKey]:
        """The person's own keys."""
        return await self._context.store(passkeys.keys_of, signin.principal.id)

    async def _begin(
        self, kind: str, login: str, person: str, peer: Peer, invitation: bytes | None = None, name: str = ""
    ) -> Begun | Refusal:
        context = self._context
        page, collect, code = base32(context.token(20)), base32(context.token(32)), base32(context.token(5))
        expires_at = context.clock() + timedelta(seconds=LIFE_S)
        row = Ceremony(
            _hash(page), _hash(collect), kind, login[:256], person, self._code(code), TRIES, network_of(peer.host),
            expires_at, invitation, name[:64],
        )  # fmt: skip
        if not await context.store(passkeys.insert, row, context.clock()):
            return Refusal("too-many-attempts", "too many sign-ins at the same time", "try again in a few minutes")
        return Begun(f"{self._settings.origins[0]}/key#{page}", f"{code[:4]}-{code[4:]}", collect, expires_at)

    def _judged(self, judging: asyncio.Future[Refusal]) -> None:
        self._judging.discard(judging)
        if not judging.cancelled():
            # the trail that could not take it ends the process by itself, and the ceremony opens nothing
            judging.exception()

    async def _find(self, page: str) -> Ceremony | None:
        row = await self._context.store(passkeys.find, page=_hash(page))
        return None if row is None or row.state != "waiting" or self._context.clock() >= row.expires_at else row

    def _code(self, code: str) -> bytes:
        folded = code.replace("-", "").replace(" ", "").lower()
        return self._context.keys.digest("ceremony", folded)

    def _handle(self, person: str) -> bytes:
        """What a key knows a person by: it tells nobody who that is."""
        return self._context.keys.digest("user handle", person)

    async def _options(self, row: Ceremony, challenge: bytes) -> dict[str, Any]:
        rp_id, timeout = self._settings.rp_id, LIFE_S * 1000
        if row.kind == "login":
            return dict(
                options_to_json_dict(
                    webauthn.generate_authentication_options(
                        rp_id=rp_id, challenge=challenge, timeout=timeout,
                        user_verification=UserVerificationRequirement.REQUIRED,
                    )
                )
            )  # fmt: skip
        keys = await self._context.store(passkeys.keys_of, row.person)
        return dict(
            options_to_json_dict(
                webauthn.generate_registration_options(
                    rp_id=rp_id, rp_name=self._context.settings.issuer, user_name=row.login,
                    user_id=self._handle(row.person), challenge=challenge, timeout=timeout,
                    authenticator_selection=AuthenticatorSelectionCriteria(
                        resident_key=ResidentKeyRequirement.REQUIRED,
                        user_verification=UserVerificationRequirement.REQUIRED,
                    ),
                    exclude_credentials=[PublicKeyCredentialDescriptor(id=key.credential) for key in keys],
                )
            )
        )  # fmt: skip

    async def _login_answered(
        self, row: Ceremony, challenge: bytes, answer: dict[str, Any], peer: Peer
    ) -> Refusal | None:
        context = self._context
        key, count, reason = await self._verified(row, challenge, answer)
        if not row.person:
            reason = "a key after a wrong password"
        elif not reason and key is not None and not await context.store(passkeys.use_key, key, count, context.clock()):
            reason = "replayed answer of a key"
        if reason or key is None:
            await context.store(passkeys.settle, row.page, "refused")
            if row.person:
                # of a wrong password the failure was counted when the ceremony began
                await self._login.charge(row.login, peer)
            person = await context.find(row.login)
            return await self._judge(Failure("authentication-failed", reason, row.login, person), peer)
        if not await context.store(passkeys.settle, row.page, "proved", key.credential):
            return _no_page()
        return None

    async def _verified(
        self, row: Ceremony, challenge: bytes, answer: dict[str, Any]
    ) -> tuple[SecurityKey | None, int, str]:
        """The key that answered, its counter, and "" or the true reason why it does not count."""
        try:
            key = await self._context.store(passkeys.find_key, base64url_to_bytes(str(answer.get("id", ""))))
            if key is None:
                return None, 0, "unknown key"
            # the counter is compared below, once the signature says that it is the key's own
            verified = webauthn.verify_authentication_response(
                credential=answer, expected_challenge=challenge, expected_rp_id=self._settings.rp_id,
                expected_origin=list(self._settings.origins), credential_public_key=key.public_key,
                credential_current_sign_count=0, require_user_verification=True,
            )  # fmt: skip
            handle = answer["response"].get("userHandle")
            known = handle is None or hmac.compare_digest(base64url_to_bytes(handle), self._handle(key.person))
        except _MALFORMED:
            return None, 0, "the answer of the key is not right"
        if key.person != row.person or not known:
            return key, 0, "the key is somebody else's"
        count = verified.new_sign_count
        if (count or key.sign_count) and count <= key.sign_count:
            return key, 0, CLONED
        return key, count, ""

    async def _enrol_answered(
        self, row: Ceremony, challenge: bytes, answer: dict[str, Any], peer: Peer
    ) -> Refusal | None:
        context, reason = self._context, ""
        try:
            made = webauthn.verify_registration_response(
                credential=answer, expected_challenge=challenge, expected_rp_id=self._settings.rp_id,
                expected_origin=list(self._settings.origins), require_user_verification=True,
            )  # fmt: skip
            if made.fmt != AttestationFormat.NONE:
                reason = "an attestation was sent that nobody asked for"
            elif await context.store(passkeys.find_key, made.credential_id) is not None:
                reason = "the key is enrolled already"
        except _MALFORMED:
            reason = "the answer of the key is not right"
        if reason:
            await context.store(passkeys.settle, row.page, "refused")
            person = await context.by_id(row.person)
            facts = verdict(Refusal("enrolment-invalid", reason))
            await context.record("enrolment", **who(person), **where(peer), **facts, factor=KIND)
            return _no_key()
        settled = await context.store(
            passkeys.settle, row.page, "proved", made.credential_id, made.credential_public_key, made.sign_count
        )
        return None if settled else _no_page()

    async def _enrolled(self, row: Ceremony, person: Principal, peer: Peer) -> Enrolled | Refusal:
        context, now = self._context, self._context.clock()
        assert row.credential is not None
        assert row.public_key is not None
        codes = tuple(recovery_code(context.token) for _ in range(RECOVERY_CODES)) if row.invitation is not None else ()
        digests = [context.keys.digest("recovery", fold_recovery_code(text)) for text in codes]
        key = SecurityKey(row.credential, person.id, row.public_key, row.sign_count, row.name, now)
        await context.record(
            "enrolment", **who(person), **where(peer), decision="permit", by=person.id, factor=KIND,
            reason="enrolled" if row.invitation is not None else "enrolled a further key",
        )  # fmt: skip
        if not await context.store(passkeys.enrol, key, row.invitation, digests):
            refusal = Refusal("enrolment-invalid", "the invitation or the key was used meanwhile")
            await context.record("enrolment", **who(person), **where(peer), **verdict(refusal), factor=KIND)
            return _no_key()
        return Enrolled(row.name, codes)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _off() -> Refusal:
    return Refusal("not-found", "security keys are not in use here", "sign in with a code")


def _no_page() -> Refusal:
    return Refusal(
        "session-expired", "the code is wrong, or this page is not good any more", "begin again on the command line"
    )


def _no_key() -> Refusal:
    return Refusal("enrolment-invalid", "the key was not accepted", "begin again, with another key")
