"""Master keys: which one is in force, what it must open, and how another one takes its place.

Theory of operation. What is sealed in the store (second factors, waiting acts, the keys of literals) is sealed under
the master key in force, and opens under a former one too while `former_master_keys` has it. What cannot be made anew
(digests of recovery codes, marks of statements) or should stay (pseudonyms) derives from the root: the first master key
of the store, which the store itself keeps from then on, sealed under the key in force.

A key is changed in three steps, each of which may wait: (1) `master_key` names the new key, `former_master_keys` the
old one, and every gateway is started anew; (2) `gateway keys rotate` seals anew what the old key seals, part by part,
the root last; (3) the old key is taken out of the configuration. A rotation that was killed is begun again: what is
done is done, part by part, and both keys open everything meanwhile.

INVARIANT: a gateway does not start with keys that do not open its store: nothing is ever sealed beside what is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.access.context import Context
from gateway.access.keys import Keys, Sealer, Token, derive
from gateway.config import Config
from gateway.errors import GatewayError, Refusal
from gateway.store import sealed
from gateway.store.database import Connection, Database
from gateway.store.sealed import FACTOR, LITERALS, PLACES, Root, Tally

LEAST_BYTES = 32
_ROOT = "master root"
_PART = 200
"""Values in one transaction: between two of them, others use the store."""


@dataclass(frozen=True, slots=True)
class Masters:
    """The master key in force, those before it, and the root."""

    current: bytes = field(repr=False)
    former: tuple[bytes, ...] = field(repr=False)
    root: bytes = field(repr=False)

    @property
    def keys(self) -> Keys:
        """What derives from them for the access rooms."""
        return Keys(self.current, self.former, self.root)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the store stands: the id of the key in force, those of former ones, how much is sealed under those, and
    under none of them.
    """

    master: str
    former: tuple[str, ...]
    waiting: int
    unreadable: int


def master_id(master: bytes) -> str:
    """What tells a master key from others, and nothing else about it."""
    return derive(master, b"gateway/master/id").hex()[:16]


def read_masters(config: Config) -> tuple[bytes, ...]:
    """The master key in force and the former ones. Raises `GatewayError("configuration-invalid")`."""
    found = tuple(secret.read() for secret in (config.master_key, *config.former_master_keys))
    if any(len(one) < LEAST_BYTES for one in found):
        raise GatewayError("configuration-invalid", f"the master key must be at least {LEAST_BYTES} bytes")
    if len(set(found)) != len(found):
        raise GatewayError("configuration-invalid", "a master key is named twice, or is its own former one")
    return found


def open_masters(keys: tuple[bytes, ...], database: Database, token: Token) -> Masters:
    """Compare the keys with the store. Raises `GatewayError("configuration-invalid")` when they do not open it."""
    current, *former = keys
    kept = database.run_now(sealed.find_root)
    if kept is None:
        if former:
            raise GatewayError(
                "configuration-invalid",
                "the store has not seen its master key yet, so it is not known which one that is",
                "start once with the old key as `master_key` and without `former_master_keys`, then name the new one",
            )
        if database.run_now(_tally, (current,), 1).unreadable:
            raise _wrong_key(current, "another one")
        anew = Sealer((current,), FACTOR).seal(current, _ROOT, token)
        # another process may have been quicker
        kept = database.run_now(sealed.obtain_root, Root(master_id(current), anew))
    opened = Sealer(keys, FACTOR).open(kept.sealed, _ROOT)
    if opened is None:
        raise _wrong_key(current, f"`{kept.master}`")
    return Masters(current, tuple(former), opened[0])


class Rekeying:
    """Seals the store anew under the master key in force."""

    def __init__(self, context: Context, database: Database, masters: Masters) -> None:
        self._context, self._database, self._masters = context, database, masters
        self._keys = (masters.current, *masters.former)
        self._busy = False

    async def standing(self) -> Standing:
        """How much is under which key. Raises `GatewayError("store-unavailable")`."""
        tally = await self._pass(change=False)
        root = await self._context.store(sealed.find_root)
        waiting = tally.former + (root is not None and root.master != master_id(self._masters.current))
        return self._standing(waiting, tally.unreadable)

    async def rotate(self) -> Standing | Refusal:
        """Seal anew what a former key seals, the root last; `waiting` is how much that was.

        May be broken off at any point and begun again. Raises `GatewayError`.
        """
        if not self._masters.former:
            return Refusal(
                "request-invalid", "there is no former master key, so everything is under the one in force",
                "name the new key as `master_key` and the old one in `former_master_keys`, and start the gateway anew",
            )  # fmt: skip
        if self._busy:
            return Refusal("request-invalid", "the store is being sealed anew at this moment", "wait for that")
        self._busy = True
        try:
            await self._record("begun", 0)
            tally = await self._pass(change=True)
            count, reason = tally.former, ""
            if tally.unreadable:
                # FAIL CLOSED: the old key is not said to be done with while something opens under no key
                reason = f"{tally.unreadable} values open under none of the keys"
            else:
                count += await self._context.store(self._root_moved)
                # the old seals go out of the store's own log too
                await self._database.settle()
            await self._record("incomplete" if reason else "done", count, reason)
            return self._standing(count, tally.unreadable)
        finally:
            self._busy = False

    async def _pass(self, *, change: bool) -> Tally:
        tally, opened = Tally(), _opening(self._keys, self._context.token)
        for place in range(len(PLACES)):
            after: Any = None
            while True:
                part = await self._context.store(sealed.pass_over, place, after, _PART, opened, change=change)
                tally, after = tally.plus(part), part.last
                if after is None:
                    break
        return tally

    def _root_moved(self, connection: Connection) -> int:
        kept = sealed.find_root(connection)
        if kept is None or kept.master == master_id(self._masters.current):
            return 0
        anew = Sealer(self._keys, FACTOR).seal(self._masters.root, _ROOT, self._context.token)
        return int(sealed.put_root(connection, kept, Root(master_id(self._masters.current), anew)))

    def _standing(self, waiting: int, unreadable: int) -> Standing:
        former = tuple(master_id(one) for one in self._masters.former)
        return Standing(master_id(self._masters.current), former, waiting, unreadable)

    async def _record(self, state: str, count: int, reason: str = "") -> None:
        former = [master_id(one) for one in self._masters.former]
        await self._context.record(
            "keys.rotated", state=state, master=master_id(self._masters.current), keys=former, count=count,
            reason=reason,
        )  # fmt: skip


def _opening(keys: tuple[bytes, ...], token: Token) -> sealed.Open:
    sealers = {use: Sealer(keys, use) for use in (FACTOR, LITERALS)}

    def opened(value: bytes, owner: str, use: str) -> tuple[bytes | None, bool]:
        found = sealers[use].open(value, owner)
        if found is None:
            return None, False
        secret, former = found
        return (sealers[use].seal(secret, owner, token) if former else value), former

    return opened


def _tally(connection: Connection, keys: tuple[bytes, ...], each: int) -> Tally:
    """What the first `each` values of every place open under."""
    tally = Tally()
    for place in range(len(PLACES)):
        tally = tally.plus(sealed.pass_over(connection, place, None, each, _opening(keys, bytes), change=False))
    return tally


def _wrong_key(current: bytes, other: str) -> GatewayError:
    return GatewayError(
        "configuration-invalid",
        f"the store is sealed under the master key {other}, and `master_key` is `{master_id(current)}`",
        "name the key that the store was made with, as `master_key` or in `former_master_keys`; after restoring an old "
        "backup that is the key of then",
    )
