"""Proving who somebody is: password and second factor together, and the sign-ins that follow from it.

INVARIANT: nothing outside learns which part was wrong. Each wrong attempt takes the same steps (a hash, a look for the
factor, three codes), ends in one `Failure`, and only its audit record names the true reason.
INVARIANT: a code is used up only together with the right password, so nobody can burn somebody else's codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.access.context import Context
from gateway.access.factors import fold_recovery_code, matching_steps
from gateway.access.keys import base32, token_digest
from gateway.access.lockout import Attempt
from gateway.access.lockout_counts import counts_of
from gateway.access.names import fold_login
from gateway.access.passwords import PasswordPool
from gateway.access.values import SignIn
from gateway.errors import Refusal
from gateway.model import Peer, Principal
from gateway.store import passkeys, people
from gateway.store.people import TokenRow

SUSPENDED = "person-suspended"
"""The code of the one failure whose reason is told: both parts were right."""
RECOVERY = "recovery"
"""The factor of who proved a recovery code: it lets a new factor be enrolled, and is good for nothing else."""

PROVIDER = "provider"
"""The factor of who proved one to the identity provider, where the settings accept that."""


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
        self._counts = counts_of(context, locks)

    async def prove(
        self, login: str, password: str, code: str, peer: Peer, *, recovery: bool = False
    ) -> Proof | Failure:
        """Check password and code; with `recovery` a recovery code, and nothing else.

        Raises `GatewayError` when the directory or the store cannot be asked.
        """
        begun = await self._begin(login, peer)
        if isinstance(begun, Failure):
            return begun
        attempt, folded = begun
        try:
            right, known = await self._password(folded, password, peer)
            factor, reason = await self._code(known, folded, code, use=right is not None, recovery=recovery)
        except BaseException:
            await self._counts.cancelled(attempt)
            raise
        if right is not None and not reason:
            await self._counts.succeeded(attempt)
            if self._context.standing.suspension(right.id) is not None:
                return Failure(SUSPENDED, "the person is suspended", folded, known)
            return Proof(right, factor, self._context.clock())
        self._counts.failed(attempt, known=known is not None)
        return Failure("authentication-failed", _true_reason(right, known, reason), folded, known)

    async def prove_password(self, login: str, password: str, peer: Peer) -> Principal | Failure:
        """Check the password alone, for the enrolment of a factor. Raises as `prove`."""
        begun = await self._begin(login, peer)
        if isinstance(begun, Failure):
            return begun
        attempt, folded = begun
        try:
            right, known = await self._password(folded, password, peer)
        except BaseException:
            await self._counts.cancelled(attempt)
            raise
        if right is not None and self._context.standing.suspension(right.id) is not None:
            await self._counts.cancelled(attempt)
            return Failure("authentication-failed", "the person is suspended", folded, known)
        if right is not None:
            # Not a success in the sense of the lock-out: a password alone clears nothing and earns no trust.
            await self._counts.cancelled(attempt)
            return right
        self._counts.failed(attempt, known=known is not None)
        return Failure("authentication-failed", _true_reason(None, known, ""), folded, known)

    async def prove_factor(
        self, person: Principal, code: str, peer: Peer, *, recovery: bool = False
    ) -> Proof | Failure:
        """Check the code alone, of whom the identity provider has proved; raises as `prove`."""
        present = await self.proven(person)
        if isinstance(present, Failure):
            return present
        begun = await self._begin(person.login, peer)
        if isinstance(begun, Failure):
            return begun
        attempt, folded = begun
        try:
            factor, reason = await self._code(present, folded, code, use=True, recovery=recovery)
        except BaseException:
            await self._counts.cancelled(attempt)
            raise
        if reason:
            self._counts.failed(attempt, known=True)
            return Failure("authentication-failed", reason, folded, present)
        await self._counts.succeeded(attempt)
        return Proof(present, factor, self._context.clock())

    async def has_factor(self, person: Principal) -> bool:
        """Whether the person has a second factor."""
        keyed = await self._context.store(passkeys.has_key, person.id)
        return keyed or await self._context.store(people.find_factor, person.id) is not None

    async def proven(self, person: Principal) -> Principal | Failure:
        """Whom the identity provider proved a while ago, as he is now; raises as `prove`."""
        found = await self._context.work(self._context.look_up, person.id)
        if found is None or not found.active or found.login != person.login:
            return Failure("authentication-failed", "person is not active", person.login, found)
        if self._context.standing.suspension(found.id) is not None:
            return Failure(SUSPENDED, "the person is suspended", person.login, found)
        return found

    async def credit(self, login: str, peer: Peer) -> None:
        """Count a success that another check found (a security key, after the password)."""
        attempt = await self._counts.begin(fold_login(login), peer.host)
        if attempt is not None:
            await self._counts.succeeded(attempt)

    async def charge(self, login: str, peer: Peer) -> None:
        """Count a failure that another check found (a wrong code in an enrolment)."""
        attempt = await self._counts.begin(fold_login(login), peer.host)
        if attempt is not None:
            self._counts.failed(attempt, known=True)

    def close(self) -> None:
        """Join the workers."""
        self._pool.close()

    async def _begin(self, login: str, peer: Peer) -> tuple[Attempt, str] | Failure:
        folded = fold_login(login)
        if self._pool.full(peer.host):
            return Failure("too-many-attempts", "too many sign-ins at the same time", folded)
        attempt = await self._counts.begin(folded, peer.host)
        if attempt is None:
            return Failure("too-many-attempts", "locked after repeated failures", folded)
        return attempt, folded

    async def _password(self, login: str, password: str, peer: Peer) -> tuple[Principal | None, Principal | None]:
        """Who proved the password, and who the login belongs to."""
        directory = self._context.directory
        right = await self._pool.run(peer.host, directory.check_password, login, password)
        # the directory's own word: whether he is suspended is told to who proves both parts, and to nobody else
        known = await self._context.work(directory.find, login)
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
        keyed = recovery and await context.store(passkeys.has_key, id_)
        if row is None and not keyed:
            return "", "no second factor is enrolled"
        if recovery:
            folded = fold_recovery_code(code)
            digest = context.keys.digest("recovery", folded)
            wanted = use and bool(folded)
            used = wanted and await context.store(people.use_recovery_code, id_, digest, context.clock())
            return (RECOVERY, "") if used else ("", "wrong or used recovery code")
        if row is None or not steps:
            return "", "wrong code"
        if not use:
            return "", ""
        for step in steps:
            if await context.use_step(id_, step):
                return row.kind, ""
        return "", "replayed code"


class SignIns:
    """Bearer tokens of the API: 256 random bits, kept as a hash, with the person as the directory last answered."""

    def __init__(self, context: Context, kept: Iterable[TokenRow], fresh: Callable[[], Refusal | None]) -> None:
        """`fresh` says why what is known of the store gives no access, or nothing."""
        self._context, self._fresh = context, fresh
        # a recovery code opens nothing any more, also where it did when the row was kept
        self._rows = {row.hash: row for row in kept if row.factor != RECOVERY}
        self._since: dict[bytes, int] = {}
        self._over: dict[bytes, datetime] = {}
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
        self._rows[row.hash], self._since[row.hash] = row, context.newest.number
        self.learn(proof.person.id, proof.person, context.monotonic())
        return SignIn(row.id, proof.person, row.factor, row.factor_at, row.created_at, row.expires_at, token)

    def find(self, token: str) -> SignIn | Refusal:
        """The sign-in of that token while it lasts, its person as of the last answer, if that is fresh."""
        context = self._context
        row = self._rows.get(token_digest(token))
        if row is None or context.clock() >= row.expires_at:
            return Refusal("session-expired", "the sign-in is over", "sign in again")
        stale = self._fresh()
        if stale is not None:
            return stale
        person, at = self._people.get(row.person, (None, float("-inf")))
        if context.monotonic() - at > context.settings.fresh_s:
            # FAIL CLOSED: who cannot be looked up is nobody.
            return Refusal("directory-unavailable", "the directory cannot be asked", "try again in a moment")
        if person is None or not person.active:
            return Refusal("person-inactive", "the directory says that the person is not active")
        return SignIn(row.id, person, row.factor, row.factor_at, row.created_at, row.expires_at)

    async def meet(self, token: str) -> None:
        """Look up whose sign-in that is, where he was not looked up yet. Raises `GatewayError`."""
        row = self._rows.get(token_digest(token))
        if row is not None and row.person not in self._people:
            asked_at = self._context.monotonic()
            self.learn(row.person, await self._context.by_id(row.person), asked_at)

    async def end(self, signin: SignIn) -> None:
        """Forget one sign-in."""
        for digest in [digest for digest, row in self._rows.items() if row.id == signin.id]:
            self._forget(digest)
            await self._context.store(people.remove_token, digest, signin.principal.id)

    def forget_person(self, person: str) -> None:
        """Forget every sign-in of a person whose rows are gone."""
        for digest in [digest for digest, row in self._rows.items() if row.person == person]:
            self._forget(digest)

    def forget_all(self) -> None:
        """Forget every sign-in; those that live after all are to be taken in again."""
        self._rows, self._since = {}, {}

    def take(self, person: str, rows: Iterable[TokenRow], number: int) -> None:
        """Know those sign-ins of a person as of that change of the store, besides what was made or ended here since."""
        kept = {
            digest: row
            for digest, row in self._rows.items()
            if row.person != person or self._since.get(digest, 0) > number
        }
        live = {row.hash: row for row in rows if row.factor != RECOVERY and row.hash not in self._over}
        self._rows = kept | live

    def people(self) -> set[str]:
        """Whose answers have to be kept fresh."""
        now = self._context.clock()
        self._rows = {digest: row for digest, row in self._rows.items() if row.expires_at > now}
        self._since = {digest: number for digest, number in self._since.items() if digest in self._rows}
        self._over = {digest: until for digest, until in self._over.items() if until > now}
        return {row.person for row in self._rows.values()}

    def _forget(self, digest: bytes) -> None:
        self._over[digest] = self._rows.pop(digest).expires_at
        self._since.pop(digest, None)

    def learn(self, person: str, found: Principal | None, at: float) -> None:
        """Take an answer of the directory, given at that monotonic moment."""
        self._people[person] = (found, at)


def _true_reason(right: Principal | None, known: Principal | None, code_reason: str) -> str:
    if known is None:
        return "unknown person"
    if not known.active:
        return known.inactive_because or "person is not active"
    return "wrong password" if right is None else code_reason
