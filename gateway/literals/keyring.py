"""The keys of literals: random, one per customer and month for sealing, one per customer for tokens, in the store.

Each is wrapped under the master key (HKDF-SHA256, AES-256-GCM, its id, use, customer and month as associated data) and
stands nowhere else: who destroys its row has destroyed what it opens. What is said under a grant of several customers
is sealed under a key made from all of theirs, so that each of them can be erased without the others.

AES-GCM does not commit to its key: a text can be made that opens under two. So the key of a seal comes with a value
that tells it from every other key (both from one HKDF), and the blob, whose digest the trail has, begins with it.

INVARIANT: a key is in the store before anything is sealed under it, and is never made for what is only to be opened.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.access.keys import Sealer
from gateway.errors import GatewayError
from gateway.ports import Clock
from gateway.store import sealing as rows
from gateway.store.database import Database
from gateway.store.sealed import LITERALS, key_owner
from gateway.store.sealing import SEAL, TOKEN, WrappedKey

KEY_BYTES = 32
_CACHED = 4_096


@dataclass(frozen=True, slots=True)
class Key:
    """A key that seals: `head` is what a blob under it begins with, the value that the key is committed to."""

    head: bytes
    aead: AESGCM = field(repr=False)


class Keyring:
    """The keys of one store. `sealing`, `token`, `warm`, `keep` and `forget` are for the event loop's thread; all but
    `warm` and `at_hand` may block.

    A key that is not remembered costs a look into the store.
    """

    def __init__(
        self,
        master_key: bytes,
        database: Database,
        clock: Clock,
        token: Callable[[int], bytes] = secrets.token_bytes,
        former: Iterable[bytes] = (),
    ) -> None:
        self._wrap = Sealer((master_key, *former), LITERALS)
        self._database, self._clock, self._token = database, clock, token
        self._sealing: dict[tuple[tuple[str, ...], str], tuple[Key, tuple[str, ...]]] = {}
        self._tokens: dict[str, tuple[bytes, str]] = {}

    def sealing(self, customers: tuple[str, ...], month: str) -> Key:
        """The key for what is said in that month under a grant of those customers; made when there is none.

        Raises `GatewayError("store-unavailable")`.
        """
        found = self._sealing.get((customers, month))
        if found is not None:
            return found[0]
        return self._put(customers, month, self._made(customers, month))

    def token(self, customer: str) -> bytes:
        """The key of a customer's tokens; made when there is none. Raises `GatewayError("store-unavailable")`."""
        found = self._tokens.get(customer)
        if found is None:
            found = self._put_token(customer, self._obtained(TOKEN, customer, ""))
        return found[0]

    async def warm(self, customers: tuple[str, ...], month: str) -> None:
        """Have those keys at hand without the loop's waiting. Raises `GatewayError("store-unavailable")`."""
        if (customers, month) not in self._sealing:
            self._put(customers, month, await asyncio.to_thread(self._made, customers, month))
        for customer in customers:
            if customer not in self._tokens:
                self._put_token(customer, await asyncio.to_thread(self._obtained, TOKEN, customer, ""))

    def at_hand(self, month: str) -> list[tuple[str, ...]]:
        """The customers whose keys of that month are at hand."""
        return [customers for customers, of in self._sealing if of == month]

    def opening(self, customers: tuple[str, ...], month: str) -> Key | None:
        """The key for what was said then, from the store; None when one of those that it is made of is destroyed."""
        secrets_ = []
        for customer in _named(customers):
            kept = self._database.run_now(rows.find, SEAL, customer, month)
            if kept is None:
                return None
            secrets_.append(self._unwrapped(kept))
        return _combined(secrets_)

    def tokens(self) -> list[bytes]:
        """All token keys that there are, from the store; for whoever looks for a value."""
        return [self._unwrapped(kept) for kept in self._database.run_now(rows.every, use=TOKEN)]

    def kept(self, customer: str | None = None) -> list[WrappedKey]:
        """All keys that are in the store, as they are kept."""
        return self._database.run_now(rows.every, customer=customer)

    def keep(self, ids: Iterable[str]) -> None:
        """Forget all keys but those: the others are destroyed, maybe by another process."""
        held = {one for _, parts in self._sealing.values() for one in parts} | {one for _, one in self._tokens.values()}
        self.forget(held.difference(ids))

    def forget(self, ids: set[str]) -> None:
        """Forget keys that were destroyed in the store."""
        for place in [place for place, (_, parts) in self._sealing.items() if not ids.isdisjoint(parts)]:
            del self._sealing[place]
        for customer in [customer for customer, (_, one) in self._tokens.items() if one in ids]:
            del self._tokens[customer]

    def _made(self, customers: tuple[str, ...], month: str) -> list[tuple[bytes, str]]:
        return [self._obtained(SEAL, customer, month) for customer in _named(customers)]

    def _put(self, customers: tuple[str, ...], month: str, made: list[tuple[bytes, str]]) -> Key:
        key = _combined([secret for secret, _ in made])
        if len(self._sealing) >= _CACHED:
            self._sealing.clear()
        self._sealing[customers, month] = key, tuple(one for _, one in made)
        return key

    def _put_token(self, customer: str, made: tuple[bytes, str]) -> tuple[bytes, str]:
        if len(self._tokens) >= _CACHED:
            self._tokens.clear()
        self._tokens[customer] = made
        return made

    def _obtained(self, use: str, customer: str, month: str) -> tuple[bytes, str]:
        name = f"key_{self._token(10).hex()}"
        secret = self._token(KEY_BYTES)
        wrapped = self._wrap.seal(secret, key_owner(name, use, customer, month), self._token)
        made = WrappedKey(name, use, customer, month, self._clock(), wrapped)
        kept = self._database.run_now(rows.obtain, made)
        return self._unwrapped(kept), kept.id

    def _unwrapped(self, kept: WrappedKey) -> bytes:
        opened = self._wrap.open(kept.wrapped, key_owner(kept.id, kept.use, kept.customer, kept.month))
        if opened is None:
            raise GatewayError(
                "store-unavailable",
                "a key of the sealed literals cannot be read",
                "check that the master key is the one that it was wrapped under",
                kept.id,
            )
        return opened[0]


def _combined(parts: list[bytes]) -> Key:
    derived = _derived(b"".join(parts), b"gateway/literals/seal/%d" % len(parts), 2 * KEY_BYTES)
    return Key(derived[KEY_BYTES:], AESGCM(derived[:KEY_BYTES]))


def _named(customers: tuple[str, ...]) -> list[str]:
    """Each customer once; a grant without customers has the empty one."""
    return sorted(set(customers)) or [""]


def _derived(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)
