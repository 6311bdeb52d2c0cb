"""Proving who somebody is: password and second factor together, and the sign-ins that follow from it.

INVARIANT: nothing outside learns which part was wrong. Each wrong attempt takes the same steps (a hash, a look for the
factor, three codes), ends in one `Failure`, and only its audit record names the true reason.
INVARIANT: a code is used up only together with the right password, so nobody can burn somebody else's codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.access.context import Context
from gateway.access.factors import fold_recovery_code, matching_steps
from gateway.access.keys import base32, token_digest
from gateway.access.lockout import Attempt, Lockouts
from gateway.access.names import fold_login
from gateway.access.passwords import PasswordPool
from gateway.access.values import SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Principal
from gateway.store import people
from gateway.store.people import TokenRow

RECOVERY = "recovery"
"""The factor of who proved a recovery code: it lets a new factor be enrolled, and is good for nothing else."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A person who proved both parts."""

    person: Principal
    factor: str
    factor_at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """Why somebody did not. `code` and `reason` are for the audit record only; `person` when the login exists."""

    code: str
    reason: str
    login: str
    person: Principal | None = None


def not_accepted() -> Refusal:
    """What everybody who failed is told, whatever the reason."""
    return Refusal(
        "authentication-failed",
        "the person, the secret or the second factor was not accepted",
        "check the user name, and the pass or the password with a fresh code behind it; "
        "while a pass of the ticket lives, only the pass is accepted; after several failures wait a little",
        fatal=True,
    )


class Login:
    """The one place where passwords and codes are checked."""

    def __init__(self, context: Context, locks: Iterable[tuple[str, int, datetime]]) -> None:
        settings = context.settings
        self._context = context
        self._pool = PasswordPool(settings.workers, settings.waiting, settings.waiting_per_address)
        self._lockouts = Lockouts(settings, context.clock, locks, self._keep)
        self._keeping: set[asyncio.Task[None]] = set()

    async def prove(
        self, login: str, password: str, code: str, peer: Peer, *, recovery: bool = False
    ) -> Proof | Failure:
        """Check password and code; with `recovery` a recovery code, and nothing else.

        Raises `GatewayError` when the directory or the store cannot be asked.
        """
        begun = self._begin(login, peer)
        if isinstance(begun, Failure):
            return begun
        attempt, folded = begun
        try:
            right, known = await self._password(folded, password, peer)
            factor, reason = await self._code(known, folded, code, use=right is not None, recovery=recovery)
        except BaseException:
            self._lockouts.cancelled(attempt)
            raise
        if right is not None and not reason:
            self._lockouts.succeeded(attempt)
            return Proof(right, factor, self._context.clock())
        self._lockouts.failed(attempt, known=known is not None)
        return Failure("authentication-failed", _true_reason(right, known, reason), folded, known)

    async def prove_password(self, login: str, password: str, peer: Peer) -> Principal | Failure:
        """Check the password alone, for the enrolment of a factor. Raises as `prove`."""
        begun = self._begin(login, peer)
        if isinstance(begun, Failure):
            return begun
        attempt, folded = begun
        try:
            right, known = await self._password(folded, password, peer)
        except BaseException:
            self._lockouts.cancelled(attempt)
            raise
        if right is not None:
            # Not a success in the sense of the lock-out: a password alone clears nothing and earns no trust.
            self._lockouts.cancelled(attempt)
            return right
        self._lockouts.failed(attempt, known=known is not None)
        return Failure("authentication-failed", _true_reason(None, known, ""), folded, known)

    def charge(self, login: str, peer: Peer) -> None:
        """Count a failure that another check found (a wrong code in an enrolment)."""
        attempt = self._lockouts.begin(fold_login(login), peer.host)
        if attempt is not None:
            self._lockouts.failed(attempt, known=True)

    def close(self) -> None:
        """Join the workers."""
        self._pool.close()

    def _begin(self, login: str, peer: Peer) -> tuple[Attempt, str] | Failure:
        folded = fold_login(login)
        if self._pool.full(peer.host):
            return Failure("too-many-attempts", "too many sign-ins at the same time", folded)
        attempt = self._lockouts.begin(folded, peer.host)
        if attempt is None:
            return Failure("too-many-attempts", "locked after repeated failures", folded)
        return attempt, folded

    async def _password(self, login: str, password: str, peer: Peer) -> tuple[Principal | None, Principal | None]:
        """Who proved the password, and who the login belongs to."""
        directory = self._context.directory
        right = await self._pool.run(peer.host, directory.check_password, login, password)
        known = await self._context.find(login)
        if right is not None and (known is None or known.id != right.id or not known.active):
            right = None
        return right, known

    async def _code(
        self, person: Principal | None, login: str, code: str, *, use: bool, recovery: bool
    ) -> tuple[str, str]:
        """The kind of factor that was proved, and "" or the true reason why none was."""
        context = self._context
        id_ = person.id if person is not None else ""
        row = await context.store(people.find_factor, id_)
        secret = context.keys.mock_secret(login) if row is None else context.keys.unseal(row.sealed, id_).decode()
        steps = matching_steps(secret, code, context.clock())
        if row is None:
            return "", "no second factor is enrolled"
        if recovery:
            folded = fold_recovery_code(code)
            digest = context.keys.digest("recovery", folded)
            wanted = use and bool(folded)
            used = wanted and await context.store(people.use_recovery_code, id_, digest, context.clock())
            return (RECOVERY, "") if used else ("", "wrong or used recovery code")
        if not steps:
            return "", "wrong code"
        if not use:
            return "", ""
        for step in steps:
            if await context.store(people.use_step, id_, step):
                return row.kind, ""
        return "", "replayed code"

    def _keep(self, lane: str, failures: int, failed_at: datetime) -> None:
        """Store a count beside the loop: waiting for it would tell people who exist from people who do not."""

        async def put() -> None:
            await self._context.store(people.put_lockout, lane, failures, failed_at)

        task = asyncio.get_running_loop().create_task(put())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)


class SignIns:
    """Bearer tokens of the API: 256 random bits, kept as a hash, with the person as the directory last answered."""

    def __init__(self, context: Context, kept: Iterable[TokenRow]) -> None:
        self._context = context
        # a recovery code opens nothing any more, also where it did when the row was kept
        self._rows = {row.hash: row for row in kept if row.factor != RECOVERY}
        self._people: dict[str, tuple[Principal | None, float]] = {}

    async def create(self, proof: Proof) -> SignIn:
        """A new sign-in with its token."""
        context = self._context
        now = context.clock()
        token = f"gwt_{base32(context.token(32))}"
        life = timedelta(seconds=context.settings.token_life_s)
        row = TokenRow(
            token_digest(token),
            context.new_id("signin"),
            proof.person.id,
            proof.factor,
            proof.factor_at,
            now,
            now + life,
        )
        await context.store(people.insert_token, row)
        self._rows[row.hash] = row
        self.learn(proof.person.id, proof.person, context.monotonic())
        return SignIn(row.id, proof.person, row.factor, row.factor_at, row.created_at, row.expires_at, token)

    def find(self, token: str) -> SignIn | Refusal:
        """The sign-in of that token while it lasts, its person as of the last answer within the grace."""
        context = self._context
        row = self._rows.get(token_digest(token))
        if row is None or context.clock() >= row.expires_at:
            return Refusal("session-expired", "the sign-in is over", "sign in again")
        person, at = self._people.get(row.person, (None, float("-inf")))
        if context.monotonic() - at > context.settings.grace_s:
            # FAIL CLOSED: who cannot be looked up is nobody.
            return Refusal("directory-unavailable", "the directory cannot be asked", "try again in a moment")
        if person is None or not person.active:
            return Refusal("person-inactive", "the directory says that the person is not active")
        return SignIn(row.id, person, row.factor, row.factor_at, row.created_at, row.expires_at)

    async def end(self, signin: SignIn) -> None:
        """Forget one sign-in."""
        for digest in [digest for digest, row in self._rows.items() if row.id == signin.id]:
            del self._rows[digest]
            await self._context.store(people.remove_token, digest)

    def forget_person(self, person: str) -> None:
        """Forget every sign-in of a person whose rows are gone."""
        self._rows = {digest: row for digest, row in self._rows.items() if row.person != person}

    def people(self) -> set[str]:
        """Whose answers have to be kept fresh."""
        now = self._context.clock()
        self._rows = {digest: row for digest, row in self._rows.items() if row.expires_at > now}
        return {row.person for row in self._rows.values()}

    def learn(self, person: str, found: Principal | None, at: float) -> None:
        """Take an answer of the directory, given at that monotonic moment."""
        self._people[person] = (found, at)


def _true_reason(right: Principal | None, known: Principal | None, code_reason: str) -> str:
    if known is None:
        return "unknown person"
    if not known.active:
        return "person is not active"
    return "wrong password" if right is None else code_reason
