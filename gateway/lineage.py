"""Whether the store is the one that the trail knows, or went back in time; and what is done again where it did.

Each record about access says how far the store was (`store`: the number and token of its newest change). A start looks
for the last one that says so: a store that has not had this change is an old one, and all that gives access in it is
ended (`access/news.py`, `store/restored.py`). The running gateway compares with what it has seen itself. What the trail
knows precisely is carried out once more then: a second factor that was reset does not come back, nor does somebody who
was suspended.

FAIL CLOSED: a trail that cannot be read so far stops the start.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from gateway.access.context import Context
from gateway.access.news import Known, News
from gateway.audit.search import Query, Search
from gateway.audit.segment import Damaged, read_batches, segments_of
from gateway.errors import GatewayError
from gateway.store import people, standing
from gateway.store.changes import mark_of
from gateway.store.standing import Suspension

_PAGE = 500
# a quotation mark inside of a text is escaped in JSON, so this is the field itself and never what a text quotes
_SAID = re.compile(rb'"store":"([0-9]+\.[0-9a-f]+)"')


class _Stamped(msgspec.Struct):
    time: datetime


def last_known(directory: Path, size: int) -> Known | None:
    """What the last durable record that names a change of the store says; None where none does.

    Raises `GatewayError("audit-damaged")`.
    """
    try:
        for first, path in reversed(segments_of(directory)):
            found: bytes | None = None
            for leaf in _leaves(path, first, size):
                if _SAID.search(leaf):
                    found = leaf
            if found is not None:
                said = _SAID.search(found)
                assert said is not None
                return Known(mark_of(said[1].decode()), msgspec.json.decode(found, type=_Stamped).time)
    except (Damaged, OSError, ValueError) as error:
        raise GatewayError(
            "audit-damaged",
            "the audit trail cannot be read back to the last change of the store",
            "run `gateway audit verify`, keep the files as they are, and restore or begin a new trail",
            str(error),
        ) from error
    return None


def _leaves(path: Path, first: int, size: int) -> Iterator[bytes]:
    for batch in read_batches(path, first, limit=size):
        yield from batch.leaves


class Resets:
    """The resets of second factors, and the suspensions, that the trail knows, carried out once more."""

    def __init__(self, context: Context, search: Search) -> None:
        self._context, self._search = context, search

    async def join(self, news: News) -> None:
        """Be what is done again where the store goes back, and where it had at this start. Raises `GatewayError`."""
        news.again = self.again
        if news.went_back:
            await self.again()

    async def again(self) -> None:
        """Take away every factor that is older than a reset of its person's, and suspend who was suspended last.

        Raises `GatewayError`.
        """
        for record in await asyncio.to_thread(lambda: list(self._records("factor.reset"))):
            # times in the log only grow; those of the store are the clock's, which may have gone back
            behind = timedelta(microseconds=int(record.get("clock_behind_us", 0)))
            at = datetime.fromisoformat(record["time"]) - behind
            await self._context.store(people.remove_old_factor, record["person"], at)

        last = {one["person"]: one for one in await asyncio.to_thread(lambda: list(self._records("person.suspension")))}
        for person, record in last.items():
            if record.get("state") == "suspended":
                at = datetime.fromisoformat(record["time"])
                lost = Suspension(person, record["by"], record.get("reason", ""), at)
                if await self._context.store(standing.suspend, lost):
                    self._context.standing.put(lost)

    def _records(self, kind: str) -> Iterator[dict[str, Any]]:
        query, offset = Query(kind=kind, decision="permit", limit=_PAGE, newest_first=False), 0
        while True:
            found = self._search.search(replace(query, offset=offset))
            yield from (record for record in found if record.get("person"))
            if len(found) < _PAGE:
                return
            offset += _PAGE
