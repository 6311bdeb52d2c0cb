"""The auditors' questions over the API: the list, the answers, and exports with their proof of completeness.

INVARIANT: as in `trail.py`: for auditors with a recent second factor only, and a record of the reading is durable
before the first byte of an answer leaves. An export ends when the right to it does, and then it does not verify.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi import Query as Parameter
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.access.values import SignIn
from gateway.audit.asking import Narrow
from gateway.audit.questions import LIMIT, QUESTIONS
from gateway.console.context import From, Me, Of, Parts, router, token
from gateway.console.problems import Refused
from gateway.console.trail import may_read, record_read, recorded_read
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer

EXPORTS = 2
"""Exports under way at the same time."""
Short = Annotated[str, Field(max_length=256)]
Name = Annotated[str, Path(pattern=r"^[a-z-]{1,32}$")]


class Given(BaseModel):
    """What narrows a question, and the time it is about: from `since` on, before `until`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    person: Short = ""
    ticket: Short = ""
    customer: Short = ""
    target: Short = ""
    code: Short = ""
    relation: Short = ""
    column: Short = ""
    recipient: Short = ""
    value: Annotated[str, Field(max_length=4096, pattern=r"^(-|[A-Za-z0-9_-]{22}( [A-Za-z0-9_-]{22})*)?$")] = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def narrow(self) -> Narrow:
        """The filters alone."""
        return Narrow(**self.model_dump(exclude={"since", "until", "limit", "offset", "upto", "origin"}))


class Page(Given):
    """The same, and a page of the answer."""

    limit: int = Field(default=100, ge=1, le=LIMIT)
    offset: int = Field(default=0, ge=0, le=10_000_000)
    upto: int | None = Field(default=None, ge=0)
    origin: Short = ""
    """The log of another gateway, in the shared index; empty for the own one."""


class QuestionAnswer(BaseModel):
    """The answer to a question: a page of its rows, and what it covers.

    It is made from the records `first` up to `end` of the signed log, and from nothing else.
    """

    question: str
    asks: str
    filters: dict[str, str]
    since: str
    until: str
    at: str
    people: list[str]
    first: int
    end: int
    log: dict[str, Any]
    columns: list[str]
    total: int
    offset: int
    rows: list[dict[str, Any]]
    notes: list[str]


class QuestionsAnswer(BaseModel):
    """The questions that there are."""

    questions: list[dict[str, Any]]


def routes() -> APIRouter:
    """The routes below /v1/audit/questions."""
    found = router("audit")
    running = asyncio.Semaphore(EXPORTS)

    @found.get("/audit/questions")
    async def questions(_: Me) -> QuestionsAnswer:
        """The questions, and what each needs and takes."""
        return QuestionsAnswer(questions=[
            {"name": one.name, "asks": one.asks, "needs": list(one.needs), "takes": list(one.takes), "state": one.whole}
            for one in QUESTIONS.values()
        ])  # fmt: skip

    @found.get("/audit/questions/{name}")
    async def answer(name: Name, given: Annotated[Page, Parameter()], me: Me, of: Of, origin: From) -> QuestionAnswer:
        """The answer to a question. What was asked is recorded first."""

        def look() -> dict[str, Any]:
            return of.search.ask(
                name, given.narrow, now=of.clock(), since=given.since, until=given.until,
                limit=given.limit, offset=given.offset, upto=given.upto, origin=given.origin,
            )  # fmt: skip

        asked = _asked("ask", name, given)
        row, _ = await recorded_read(of, me, origin, asked, look, lambda one: len(one["rows"]))
        return QuestionAnswer(**row)

    @found.get(
        "/audit/questions/{name}/export",
        response_class=StreamingResponse,
        responses={200: {"content": {"application/x-ndjson": {}}}},
    )
    async def export(
        name: Name,
        given: Annotated[Given, Parameter()],
        bearer: Annotated[str, Depends(token)],
        me: Me,
        of: Of,
        origin: From,
    ) -> StreamingResponse:
        """The answer, all records it was made from, and the proof that none is missing; see `gateway audit verify`."""

        def look() -> tuple[dict[str, Any], Generator[bytes, None, None]]:
            return of.search.export(name, given.narrow, now=of.clock(), since=given.since, until=given.until)

        if running.locked():
            raise Refused(_busy())
        asked = _asked("export", name, given)
        (_, pieces), count = await recorded_read(
            of, me, origin, asked, look, lambda one: int(one[0]["end"]) - int(one[0]["first"])
        )
        return StreamingResponse(
            _exported(of, me, bearer, origin, f"{asked} ended", count, _Pieces(pieces), running),
            media_type="application/x-ndjson",
        )

    return found


class _Pieces:
    """Takes pieces one at a time, in any thread; who gave up waiting for one may close it all the same."""

    def __init__(self, pieces: Generator[bytes, None, None]) -> None:
        self._pieces, self._turn = pieces, threading.Lock()

    def next(self) -> bytes:
        """The next piece, empty when there is none."""
        with self._turn:
            return next(self._pieces, b"")

    def close(self) -> None:
        """Let go of what the pieces are made from."""
        with self._turn:
            self._pieces.close()


async def _exported(
    of: Parts, me: SignIn, bearer: str, origin: Peer, asked: str, count: int, pieces: _Pieces,
    running: asyncio.Semaphore,
) -> AsyncIterator[bytes]:  # fmt: skip
    # the place is taken here, where it is given back for certain: a response may never be begun
    refusal: Refusal | None = _busy() if running.locked() else None
    if refusal is not None:
        yield _end(refusal)
        return
    await running.acquire()
    code: str | None = "cancelled"
    try:
        while True:
            # the right to read is asked anew for each piece, because it can end while the stream is open
            signin = of.access.authenticate(bearer)
            refusal = signin if isinstance(signin, Refusal) else may_read(of, signin)
            if refusal is not None:
                code = refusal.code
                yield _end(refusal)
                return
            try:
                piece = await asyncio.to_thread(pieces.next)
            except GatewayError as error:
                code = error.code
                yield _end(error.refusal)
                return
            if not piece:
                code = None
                return
            yield piece
    finally:
        running.release()
        asyncio.get_running_loop().run_in_executor(None, pieces.close)
        await record_read(of, me, origin, query=asked, count=count, decision="permit", code=code)


def _busy() -> Refusal:
    return Refusal("too-many-connections", "other exports are under way", "try again in a moment")


def _end(refusal: Refusal) -> bytes:
    return (
        json.dumps({"end": {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}}).encode() + b"\n"
    )


def _asked(verb: str, name: str, given: Given) -> str:
    shown = name if name in QUESTIONS else "?"
    filters = given.model_dump(exclude_defaults=True, mode="json")
    return " ".join([verb, shown, *(f"{name}={value}" for name, value in sorted(filters.items()))])
