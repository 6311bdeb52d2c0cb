"""Reading the audit trail over the API: for auditors with a recent second factor only.

INVARIANT: a read is itself a record, durable before the first byte of its answer leaves; so is a refused one. A stream
is recorded when it begins and, with its count, when it ends, and it ends when the right to it does.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as Parameter
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from gateway.access.context import durable, verdict, where, who
from gateway.access.request import is_fresh, stale_factor
from gateway.access.values import SignIn
from gateway.audit.search import Query
from gateway.audit.tiles import WIDTH
from gateway.console import schemas
from gateway.console.context import From, Me, Of, Parts, router, signed_in, token
from gateway.console.problems import Refused, refuse
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer
from gateway.record import event

T = TypeVar("T")

BACKLOG = 2_000
_NUMBER = r"((?:x[0-9]{3}/)*[0-9]{3})(\.p/([1-9][0-9]{0,2}))?"
_HASHES = re.compile(rf"checkpoint|rotations|tile/[0-9]{{1,2}}/{_NUMBER}")
_ENTRIES = re.compile(rf"tile/entries/{_NUMBER}")
ALIVE_S = 10.0

Short = Annotated[str, Field(max_length=256)]
Which = Annotated[str, Path(pattern=r"^([0-9]{1,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$")]


class Filters(BaseModel):
    """What to look for; what is left out does not narrow."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    person: Short = ""
    ticket: Short = ""
    customer: Short = ""
    target: Short = ""
    kind: Short = ""
    code: Short = ""
    decision: Short = ""
    relation: Short = ""
    session: Short = ""
    statement: Short = ""


class SearchFilters(Filters):
    """The same for a search, which also has words, times and a page."""

    text: Short = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: int = Field(default=50, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=10_000_000)


def routes() -> APIRouter:
    """The routes below /v1/audit."""
    found = router("audit")

    @found.get("/audit/records")
    async def records(
        filters: Annotated[SearchFilters, Parameter()], me: Me, of: Of, origin: From
    ) -> schemas.RecordsAnswer:
        """Records that fit, newest first."""
        query = Query(**filters.model_dump())
        asked = _asked("search", filters)

        def look() -> tuple[list[dict[str, Any]], int, list[str]]:
            return of.search.search(query), of.search.count(query), of.search.notes(query)

        (rows, total, notes), _ = await recorded_read(of, me, origin, asked, look, lambda answer: len(answer[0]))
        return schemas.RecordsAnswer(records=rows, total=total, notes=notes)

    @found.get("/audit/records/{which}")
    async def record(which: Which, me: Me, of: Of, origin: From) -> dict[str, Any]:
        """One record, by its id or its number."""
        row, _ = await recorded_read(of, me, origin, f"show {which}", lambda: of.search.show(which), lambda _: 1)
        return row

    @found.get("/audit/records/{which}/proof")
    async def proof(which: Which, me: Me, of: Of, origin: From) -> dict[str, Any]:
        """A proof that the record is in the trail; `gateway audit verify` checks it offline."""
        document, _ = await recorded_read(of, me, origin, f"prove {which}", lambda: of.search.prove(which), lambda _: 1)
        return document

    @found.get(
        "/audit/tail", response_class=StreamingResponse, responses={200: {"content": {"application/x-ndjson": {}}}}
    )
    async def tail(
        filters: Annotated[Filters, Parameter()],
        bearer: Annotated[str, Depends(token)],
        me: Me,
        of: Of,
        origin: From,
    ) -> StreamingResponse:
        """Records as they become durable: lines of `{"record": …}`, `{"alive": true}` and, at last, `{"end": …}`."""
        following = _Following(of, filters)
        try:
            await recorded_read(of, me, origin, _asked("tail", filters), lambda: None, lambda _: 0)
        except BaseException:
            following.close()
            raise
        return StreamingResponse(_lines(of, me, bearer, origin, filters, following), media_type="application/x-ndjson")

    @found.get("/audit/checkpoint", response_class=PlainTextResponse)
    async def checkpoint(_: Me, of: Of) -> PlainTextResponse:
        """The newest signed tree head, a C2SP checkpoint: keep it elsewhere, and the trail cannot be put back."""
        try:
            note = (await asyncio.to_thread((of.config.audit_path / "checkpoint").read_bytes)).decode()
        except OSError as error:
            raise GatewayError("audit-damaged", "the checkpoint cannot be read", "tell an operator") from error
        return PlainTextResponse(note)

    @found.get("/audit/tlog/{path:path}", response_class=Response)
    async def tlog(
        path: str, request: Request, of: Of, origin: From, bearer: Annotated[str, Depends(token)]
    ) -> Response:
        """The log as c2sp.org/tlog-tiles: `checkpoint`, `rotations` and `tile/…` for witnesses and who is signed in.

        Those are hashes only, so looking at them is no record. `tile/entries/…` are the records: for auditors.
        """
        me = None if of.is_witness(bearer) else await signed_in(request, bearer)
        entries = _ENTRIES.fullmatch(path)
        if entries is not None and me is not None:
            number = int(entries[1].replace("x", "").replace("/", ""))
            width = int(entries[3] or WIDTH)
            data, _ = await recorded_read(
                of, me, origin, f"entries {number}", lambda: of.search.bundle(number, width), lambda _: width
            )
        elif _HASHES.fullmatch(path) is None:
            raise refuse("not-found", "there is no such part of the log")
        else:
            data = await asyncio.to_thread(_part, of.config.audit_path / path)
        kind = "text/plain; charset=utf-8" if path == "checkpoint" else "application/octet-stream"
        return Response(data, media_type=kind)

    @found.get("/audit/key")
    async def key(_: Me, of: Of) -> schemas.KeyAnswer:
        """The audit log's public key. Compare it with one that you were given by another way."""
        return schemas.KeyAnswer(key=of.key)

    return found


def _part(path: pathlib.Path) -> bytes:
    """A file of the trail's directory that holds hashes."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise refuse("not-found", "there is no such part of the log") from error
    except OSError as error:
        raise GatewayError("audit-damaged", "the log cannot be read", "tell an operator") from error


def may_read(of: Parts, me: SignIn) -> Refusal | None:
    """Why that sign-in may not read the trail now."""
    if not of.access.is_member(me.principal, "auditors"):
        return Refusal("not-in-team", "the audit trail is for auditors")
    fresh_s = of.config.second_factor.fresh.audit
    if not is_fresh(me.factor_at, of.clock(), fresh_s):
        return stale_factor(fresh_s)
    return None


async def recorded_read(
    of: Parts, me: SignIn, origin: Peer, asked: str, look: Callable[[], T], count: Callable[[T], int]
) -> tuple[T, int]:
    """What `look` finds, in a thread, once the record of the reading is durable."""
    refusal = may_read(of, me)
    if refusal is not None:
        await record_read(of, me, origin, query=asked, **verdict(refusal))
        raise Refused(refusal)
    try:
        found = await asyncio.to_thread(look)
    except GatewayError as error:
        await record_read(of, me, origin, query=asked, decision="permit", code=error.code)
        raise
    number = count(found)
    await record_read(of, me, origin, query=asked, count=number, decision="permit")
    return found, number


async def record_read(of: Parts, me: SignIn, origin: Peer, **fields_: Any) -> None:
    fields_.pop("reason", None)
    age = max(0, int((of.clock() - me.factor_at).total_seconds()))
    await durable(
        of.trail.append(
            event("audit.read", **who(me.principal), **where(origin), factor=me.factor, factor_age_s=age, **fields_)
        )
    )


def _asked(verb: str, filters: Filters) -> str:
    given = filters.model_dump(exclude_defaults=True, mode="json")
    return " ".join([verb, *(f"{name}={value}" for name, value in sorted(given.items()))])


class _Following:
    """A subscription to the trail that holds a bounded number of records for a slow reader."""

    def __init__(self, of: Parts, filters: Filters) -> None:
        self._fits = _Fits(filters)
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)
        self.behind = False
        self.close = of.trail.subscribe(self._take)

    async def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next record, or None when there was none in that time."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._queue.get()
        except TimeoutError:
            return None

    def _take(self, record: dict[str, Any]) -> None:
        if self.behind or not self._fits(record):
            return
        try:
            self._queue.put_nowait(record)
        except asyncio.QueueFull:
            # records are never left out in silence: the stream ends and says why
            self.behind = True


class _Fits:
    """Whether a record fits the filters; what names only its session fits when the session's own records did."""

    def __init__(self, filters: Filters) -> None:
        self._wanted = {name: value for name, value in filters.model_dump().items() if value}
        self._sessions: set[str] = set()

    def __call__(self, record: Mapping[str, Any]) -> bool:
        wanted = dict(self._wanted)
        session = str(record.get("session", ""))
        if session and "login" not in record:
            if not self._sessions.issuperset({session}) and wanted.keys() & _SESSION_WIDE:
                return False
            wanted = {name: value for name, value in wanted.items() if name not in _SESSION_WIDE}
        elif session and all(_has(record, name, value) for name, value in wanted.items() if name in _SESSION_WIDE):
            self._sessions.add(session)
        if record.get("kind") == "session.end":
            self._sessions.discard(session)
        return all(_has(record, name, value) for name, value in wanted.items())


_SESSION_WIDE = frozenset({"person", "ticket", "customer", "target"})


def _has(record: Mapping[str, Any], name: str, value: str) -> bool:
    if name == "person":
        return value in (record.get("person"), record.get("login"))
    if name == "customer":
        return value in record.get("customers", ())
    if name == "relation":
        relations = (*record.get("relations", ()), record.get("relation", ""))
        return any(one == value or one.endswith(f".{value}") for one in relations)
    return bool(record.get(name) == value)


async def _lines(
    of: Parts, me: SignIn, bearer: str, origin: Peer, filters: Filters, following: _Following
) -> AsyncIterator[bytes]:
    sent = 0
    try:
        while True:
            record = await following.next(ALIVE_S)
            # the right to read is asked anew for each line, because it can end while the stream is open
            signin = of.access.authenticate(bearer)
            refusal = signin if isinstance(signin, Refusal) else may_read(of, signin)
            if refusal is None and following.behind:
                refusal = Refusal("request-invalid", "the stream was read too slowly; records were left out")
            if refusal is not None:
                end = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
                yield _line({"end": end})
                return
            if record is None:
                yield _line({"alive": True})
                continue
            sent += 1
            yield _line({"record": record})
    finally:
        following.close()
        await record_read(of, me, origin, query=f"{_asked('tail', filters)} ended", count=sent, decision="permit")


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
