"""The search index over the API: which logs it has, and building it anew; for auditors, and recorded as reading is."""

from __future__ import annotations

import dataclasses

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.console.context import From, Me, Of, router
from gateway.console.trail import recorded_read


class LogAnswer(BaseModel):
    """A log of the shared index: `covered` of its records are held, the last of `until`; the head is not verified."""

    origin: str
    covered: int
    until: str
    signed: int
    root: str
    idle_s: float
    silent: bool


class LogsAnswer(BaseModel):
    """The logs of the shared index."""

    logs: list[LogAnswer]


class RebuiltAnswer(BaseModel):
    """How many records the index holds now."""

    records: int


def routes() -> APIRouter:
    """The routes of the index."""
    found = router("audit")

    @found.get("/audit/logs")
    async def logs(me: Me, of: Of, origin: From) -> LogsAnswer:
        """The logs that can be asked about here, and how far the index covers each."""
        rows, _ = await recorded_read(of, me, origin, "logs", of.search.logs, len)
        return LogsAnswer(logs=[LogAnswer(**dataclasses.asdict(log), silent=log.silent) for log in rows])

    @found.post("/audit/index")
    async def rebuild(me: Me, of: Of, origin: From) -> RebuiltAnswer:
        """Build the index of this gateway's log anew."""
        records, _ = await recorded_read(of, me, origin, "reindex", of.search.rebuild, lambda count: count)
        return RebuiltAnswer(records=records)

    return found
