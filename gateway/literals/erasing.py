"""Erasing: a customer's keys, the blobs that name a person, what has had its time. The trail itself never had them.

A customer is erased by destroying all keys of his: what was sealed under them, his share of grants for several
customers included, is noise from then on, in every copy of the files there is; nobody can make his tokens again. A
person is erased by overwriting the blobs of the records that have his tokens. Both take the statements of ended
requests out of the store.

Each erasure is a record, and the record says what it was of, by the keys' ids and by tokens: so `again` carries all of
them out once more whenever the process starts, and what a restored backup of the store or of the files brought back is
gone again. Files that are as they were left the last time (`_Seen`) are not read for it.

INVARIANT: the record is durable before anything is destroyed: a crash in between is made up for by the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway.access.context import durable, where, who
from gateway.audit.search import Query, Search
from gateway.audit.segment import Disk
from gateway.errors import GatewayError, Refusal
from gateway.literals.opening import sealed_in
from gateway.literals.seal import Seals, month_end, tokens_of
from gateway.model import Peer, Principal
from gateway.ports import Clock, Trail
from gateway.record import event
from gateway.store import sealing as rows
from gateway.store.acts import Act
from gateway.store.database import Database
from gateway.store.sealing import SEAL

_PAGE = 500
_TOKENS = 300
"""Tokens in one record of an erasure: they must not be cut."""
_DAY_S = 86_400
Held = Callable[[str], Awaitable[str]]
"""The legal hold that covers something about that customer, or, for an empty text, any; empty when none does."""


class _Seen(msgspec.Struct):
    """Files of blobs in which nothing is left of the erasures up to that record, and how they were then."""

    erasure: int
    files: dict[str, list[int]]


class Erasing:
    """Erases, and sees to it that what was erased stays so."""

    def __init__(
        self, seals: Seals, search: Search, trail: Trail, database: Database, clock: Clock, days: int, marks: Path,
        held: Held,
    ) -> None:  # fmt: skip
        """`days` is how long the literals of a month are kept after its end, `marks` the file of `_Seen`."""
        self._seals, self._search, self._trail, self._database = seals, search, trail, database
        self._clock, self._days, self._marks, self._held = clock, days, marks, held

    async def carry(self, act: Act, private: str, person: Principal, peer: Peer) -> Mapping[str, Any] | Refusal:
        """Erase what the act says: see `access.acts.Carry`."""
        facts = {
            **who(person), **where(peer), "act": act.id, "asked_by": act.person, "confirmed_by": act.decided_by,
            "reason": act.reason,
        }  # fmt: skip
        hold = await self._covering(act.subject.get("customer", ""), private)
        if hold:
            return Refusal(
                "request-invalid",
                f"`{hold}` holds what this would destroy",
                "gateway audit holds; then lift-hold, or wait",
            )
        if "customer" in act.subject:
            return await self._customer(act.subject["customer"], facts)
        return await self._person(private, act.subject["subject"], facts)

    async def again(self) -> int:
        """Carry out all erasures of the trail once more; how many keys and blobs there still were to destroy.

        Raises: GatewayError.
        """
        records = await asyncio.to_thread(self._erasures)
        if not records:
            return 0
        kept = await asyncio.to_thread(self._seals.keyring.kept)
        doomed = {name for record in records for name in record.get("keys", ())}
        for record in records:
            at, customers = datetime.fromisoformat(record["time"]), record.get("customers", ())
            # a key that an older store brought back may be one that the record could not know
            doomed |= {key.id for key in kept if key.customer in customers and key.created_at <= at}
        keys = await self._destroy_keys(doomed & {key.id for key in kept})
        return keys + await asyncio.to_thread(self._destroy_again, records)

    async def expire(self) -> int:
        """Destroy the keys and files of months that have had their time; how many keys there were.

        Raises: GatewayError.
        """
        before = self._clock().timestamp() - self._days * _DAY_S
        kept = await asyncio.to_thread(self._seals.keyring.kept)
        expired = [key for key in kept if key.use == SEAL and month_end(key.month) <= before]
        holds = {customer: await self._held(customer) for customer in {key.customer for key in expired}}
        kept_months = {key.month for key in expired if holds[key.customer]}
        expired = [key for key in expired if not holds[key.customer]]
        if expired:
            months = sorted({key.month for key in expired})
            await durable(self._trail.append(event("audit.expired", months=months, count=len(expired))))
            await self._destroy_keys({key.id for key in expired})
        try:
            for month in await asyncio.to_thread(self._seals.blobs.months):
                if month_end(month) <= before and month not in kept_months:
                    await asyncio.to_thread(self._seals.blobs.remove, month)
        except (OSError, ValueError) as error:
            raise _unfinished(error) from error
        return len(expired)

    async def _covering(self, customer: str, value: str) -> str:
        """The hold that covers something of what would go; empty when none does."""
        if customer or not await self._held(""):
            return await self._held(customer) if customer else ""
        found = await asyncio.to_thread(self._tagged, value)
        for index in sorted({index for index, _ in found}):
            record = await asyncio.to_thread(self._search.show, index)
            for one in record.get("customers", ("",)):
                if hold := await self._held(one):
                    return hold
        return ""

    async def _customer(self, customer: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        kept = await asyncio.to_thread(self._seals.keyring.kept, customer)
        requests = await asyncio.to_thread(self._requests, customer)
        names = [key.id for key in kept]
        await durable(
            self._trail.append(event("audit.erased", **facts, customers=[customer], keys=names, count=len(names)))
        )
        await self._destroy_keys(set(names))
        scrubbed = await self._database.run(rows.scrub, requests, customer=customer)
        await self._database.settle()
        return {"customer": customer, "keys": len(names), "requests": scrubbed}

    async def _person(self, value: str, subject: str, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        self._seals.blobs.flush()
        found = await asyncio.to_thread(self._tagged, value)
        tokens = sorted({token for _, token in found})
        wanted = await asyncio.to_thread(self._digests, sorted({index for index, _ in found}))
        for start in range(0, max(1, len(tokens)), _TOKENS):
            part = tokens[start : start + _TOKENS]
            count = sum(token in part for _, token in found)
            await durable(self._trail.append(event("audit.erased", **facts, subject=subject, tokens=part, count=count)))
        try:
            blobs = await asyncio.to_thread(self._seals.blobs.destroy, wanted)
        except OSError as error:
            raise _unfinished(error) from error
        scrubbed = await self._database.run(rows.scrub, (), holding=value)
        await self._database.settle()
        return {"records": len({index for index, _ in found}), "blobs": blobs, "requests": scrubbed}

    def tokens(self, value: str) -> list[str]:
        """The tokens of a value that records have, under whichever customer. Blocks. Raises `GatewayError`."""
        return sorted({token for _, token in self._tagged(value)})

    def _tagged(self, value: str) -> list[tuple[int, str]]:
        return self._search.tagged("subject", tokens_of(self._seals.keyring.tokens(), value))

    async def _destroy_keys(self, names: set[str]) -> int:
        if not names:
            return 0
        count = await self._database.run(rows.destroy, names)
        self._seals.keyring.forget(names)
        await self._database.settle()
        return count

    def _requests(self, customer: str) -> list[str]:
        """The requests that the trail has for a customer; those that became no grant are known by nothing else."""
        return [one["request"] for one in self._records(Query(kind="request", customer=customer)) if "request" in one]

    def _erasures(self) -> list[dict[str, Any]]:
        return list(self._records(Query(kind="audit.erased")))

    def _records(self, query: Query) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            found = self._search.search(replace(query, limit=_PAGE, offset=offset, newest_first=False))
            yield from found
            if len(found) < _PAGE:
                return
            offset += _PAGE

    def _digests(self, indexes: Sequence[int]) -> dict[str, set[bytes]]:
        wanted: dict[str, set[bytes]] = {}
        for index in indexes:
            sealed = sealed_in(self._search.show(index))
            if sealed is not None:
                wanted.setdefault(sealed[0], set()).add(sealed[1])
        return wanted

    def _destroy_again(self, records: list[dict[str, Any]]) -> int:
        blobs, last = self._seals.blobs, -1
        wanted: dict[str, set[bytes]] = {}
        for record in records:
            tokens = record.get("tokens", ())
            if not tokens:
                continue
            last = record["index"]
            # what came after the erasure was not part of it
            indexes = [index for index, _ in self._search.tagged("subject", tokens) if index < last]
            for month, digests in self._digests(indexes).items():
                wanted.setdefault(month, set()).update(digests)
        if last < 0:
            return 0
        seen = self._seen()
        known = seen.files if seen is not None and seen.erasure == last else {}
        try:
            count = blobs.destroy(wanted, skip=lambda path: known.get(path.name) == _state(path))
            now = _Seen(last, {path.name: _state(path) for path in blobs.files()})
            Disk().replace(self._marks, msgspec.json.encode(now), durable=True)
        except OSError as error:
            raise _unfinished(error) from error
        return count

    def _seen(self) -> _Seen | None:
        try:
            return msgspec.json.decode(self._marks.read_bytes(), type=_Seen)
        except (OSError, msgspec.MsgspecError):
            # then all files are read
            return None


def _state(path: Path) -> list[int]:
    """What changes when a file is written, or put in another one's place."""
    found = path.stat()
    return [found.st_ino, found.st_size, found.st_ctime_ns]


def _unfinished(error: Exception) -> GatewayError:
    return GatewayError(
        "store-unavailable",
        "what was to be destroyed could not all be",
        "it is tried again; tell an operator",
        str(error),
    )
