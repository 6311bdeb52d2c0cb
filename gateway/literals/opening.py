"""Opening what was sealed with one record: asked for by one person, agreed to by another one, told to the first, once.

INVARIANT: what is opened is what was sealed: the blob is the one whose digest the record has, and its key the one that
the blob begins with. INVARIANT: the record of the opening is durable before a literal leaves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from struct import iter_unpack
from typing import Any

from gateway.access.context import durable, where, who
from gateway.audit.search import Search
from gateway.errors import GatewayError, Refusal
from gateway.literals.seal import Seals, is_of, opened
from gateway.literals.values import decoded, elements_of
from gateway.model import Peer, Principal
from gateway.ports import Trail
from gateway.record import event
from gateway.store.acts import Act
from gateway.wire import postgres as wire

_SEALED = re.compile(r"(\d{4}-\d\d)\.([0-9a-f]{64})(\.cut)?")


def sealed_in(record: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """The month and the digest of a record's blob; None when nothing was sealed with it."""
    found = _SEALED.fullmatch(str(record.get("sealed", "")))
    return None if found is None else (found[1], bytes.fromhex(found[2]))


class Opening:
    """Opens blobs; what it needs of the trail is `search`, and where it records is `trail`."""

    def __init__(self, seals: Seals, search: Search, trail: Trail, settled: Callable[[], bool]) -> None:
        """`settled` says whether what was ever erased is certainly gone from this process's files."""
        self._seals, self._search, self._trail, self._settled = seals, search, trail, settled

    async def carry(self, act: Act, _private: str, person: Principal, peer: Peer) -> Mapping[str, Any] | Refusal:
        """What a statement was given: see `access.acts.Carry`."""
        if not self._settled():
            # FAIL CLOSED: a restored backup may have brought back what was erased
            return Refusal("store-unavailable", "erasures are being carried out again", "ask again in a moment")
        record = await asyncio.to_thread(self._search.show, act.subject["record"])
        found = await asyncio.to_thread(self._found, record)
        if isinstance(found, Refusal):
            return found
        told = described(found)
        receipt = self._trail.append(
            event(
                "audit.unsealed", **who(person), **where(peer), act=act.id, asked_by=act.person,
                confirmed_by=act.decided_by, reason=act.reason, target=record.get("target"),
                customers=record.get("customers"), record=record["index"],
            )
        )  # fmt: skip
        await durable(receipt)
        return {"record": record["index"], "time": record["time"], "login": record.get("login", ""), **told}

    def _found(self, record: Mapping[str, Any]) -> list[tuple[str, bytes]] | Refusal:
        sealed = sealed_in(record)
        if sealed is None:
            return Refusal("not-found", "nothing was sealed with that record")
        if "customers" in record.get("truncated", {}):
            return Refusal("not-found", "the record does not have all customers under whose keys it was sealed")
        month, digest = sealed
        key = self._seals.keyring.opening(tuple(record.get("customers", ())), month)
        if key is None:
            return _destroyed()
        self._seals.blobs.flush()
        blob = self._seals.blobs.find(month, digest)
        if blob is None:
            hint = "a crash may lose those of its last second; else look whether the files were restored"
            return Refusal("not-found", "the sealed literals of that record are not there", hint)
        if not blob:
            return Refusal("not-found", "the literals were erased")
        if not is_of(key, blob):
            # the key of today was made after one was destroyed
            return _destroyed()
        found = opened(key, blob, str(record.get("statement", "")))
        if found is None:
            raise GatewayError(
                "audit-damaged", "what was sealed with that record does not open", "restore the store that has its key"
            )
        return found


def _destroyed() -> Refusal:
    return Refusal("not-found", "its key was destroyed: the literals were erased, or their time is over")


def described(pieces: list[tuple[str, bytes]]) -> dict[str, Any]:
    """What was sealed, in words: `texts`, `values` of parameters, and `incomplete` when something was left out."""
    texts: list[str] = []
    values: list[str] = []
    types: tuple[int, ...] = ()
    incomplete = False
    for tag, data in pieces:
        if tag == "t":
            texts.append(data.decode("utf-8", "replace"))
        elif tag == "r":
            texts.append(data.decode("latin-1"))
        elif tag == "o":
            types = tuple(one for (one,) in iter_unpack(">I", data))
        elif tag == "v":
            found = wire.split_values(data)
            oids = (*types, *(0 for _ in range(len(found) - len(types))))
            values += [f"${n} = {_shown(*one, oid)}" for n, (one, oid) in enumerate(zip(found, oids, strict=False), 1)]
            types = ()
        elif tag == "f":
            values.append(f"call \\x{data.hex()}")
        elif tag == "x":
            incomplete = True
    return {"texts": texts, "values": values, "incomplete": incomplete}


def _shown(code: int, value: bytes | None, oid: int) -> str:
    if value is None:
        return "NULL"
    if code == 0:
        return value.decode("utf-8", "replace")
    listed = elements_of(value, oid)
    if listed is not None:
        return f"{{{', '.join(listed)}}}"
    meanings = list(dict.fromkeys(decoded(code, value, oid)))
    return " or ".join(meanings) if meanings else f"\\x{value.hex()}"
