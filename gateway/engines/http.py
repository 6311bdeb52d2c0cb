"""The HTTP engine's side of the gate: requests that the proxy process brings are proven, judged, admitted and settled.

What speaks HTTP is a process of its own (`http_proxy/`), which cannot let anything through by itself: it forwards what
a `Permitted` says and releases what was announced. Theory of operation, for one request:

    Begin    the pass opens a session, or finds it -> judge -> the gate admits -> its record is durable -> Permitted
    Extend   more than was announced wants to leave -> the window's record is durable -> Extended, or Cut
    Settle   the request ended -> its end record, which a write's completion waits for -> Settled

INVARIANT: `Permitted` and `Extended` are sent when their records are durable, and not before; of a session that was
cut, neither is sent any more. INVARIANT: each permit is settled once: by the process, or as `unknown` when that is
gone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from gateway.access.context import durable
from gateway.access.service import Access
from gateway.admitted import Refused
from gateway.engines import http_channel as ipc
from gateway.engines.doors import Doors
from gateway.engines.http_addresses import Addresses
from gateway.engines.http_credentials import Credentials
from gateway.engines.http_cursors import BUSY, Cursor, is_free
from gateway.engines.http_links import Link, Send
from gateway.engines.http_sessions import Entry, Running, Sessions
from gateway.engines.http_signing import Admit, Signing
from gateway.engines.http_sql import SqlRequests, is_paged, paged, with_keys
from gateway.engines.http_statements import PROTOCOL, Requests, reveal_of
from gateway.engines.http_words import worded
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.http.browser import is_page, without_cookies
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http.pages import Page
from gateway.http.withheld import NOT_FOUND
from gateway.http_settings import HttpTarget
from gateway.model import Outcome, Peer, Session, Statement
from gateway.ports import Mark
from gateway.sql.worker import Workers

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins

_LARGE = 32 * 1024
"""Bytes of a body from which on a request is judged in a thread."""
_LAST_WORDS_S = 1.0
_LEAST_IN = 4096
"""Bytes of a client's messages that are announced at once."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_STOPPING = Refusal("shutting-down", "the gateway is stopping", hint="send the request again in a moment", fatal=True)

Report = Callable[[str, BaseException], None]


class HttpEngine:
    """Answers for the requests of all proxy processes. `key` gives a session's mask key.

    `admit` lets somebody in who is signed in (`Access.admit_signed_in`); `logins` are those at an identity provider.
    """

    def __init__(
        self,
        targets: Mapping[str, HttpTarget],
        *,
        gate: Gate,
        doors: Doors[Any],
        key: Callable[[Session], bytes],
        mark: Mark,
        report: Report,
        access: Access,
        admit: Admit,
        workers: Workers,
        logins: Logins | None = None,
    ) -> None:
        self._sql = SqlRequests(mark, workers)
        self._targets, self._gate, self._mask_key, self._report = targets, gate, key, report
        self._requests, self.mark = Requests(mark), mark
        self._addresses = Addresses(targets)
        self.credentials = Credentials(targets, report)
        self.sessions = Sessions(gate, doors, report)
        self.signing = Signing(targets, self.sessions, access, admit, logins)
        self._links: set[Link] = set()
        self._stopping = False

    def link(self, send: Send) -> Link:
        """The gate's end of the channel to one process."""
        link = Link(self, send)
        self._links.add(link)
        return link

    def unlink(self, link: Link) -> None:
        """Forget a process that is gone."""
        self._links.discard(link)

    @property
    def running(self) -> int:
        """How many requests are under way."""
        return sum(len(link.running) for link in self._links)

    def cut_target(self, target: str, refusal: Refusal) -> None:
        """End every session on a target, whose policy is another now."""
        self.sessions.cut_target(target, refusal)
        for link in self._links:
            link.outdate(target)

    def tick(self) -> None:
        """Once a second: ends idle sessions, and settles what its process does not."""
        self.signing.tick()
        for running in self.sessions.tick(lambda target: self._targets[target].idle_timeout):
            for link in self._links:
                link.give_up(running)

    async def stop(self, grace_s: float) -> None:
        """Take no new requests, let those under way end for that long, then cut what is left."""
        self._stopping = True
        await self._quiet(grace_s)
        self.sessions.cut_all(_STOPPING)
        # the process says how much had left
        await self._quiet(_LAST_WORDS_S)
        for link in tuple(self._links):
            link.lost()
            await link.settled()

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing is under way, that long at most."""
        deadline = time.monotonic() + seconds
        while self.running and time.monotonic() < deadline:  # noqa: ASYNC110 (polls once)
            await asyncio.sleep(0.02)

    async def begin(self, link: Link, message: ipc.Begin) -> None:
        """Answer a request. Nothing that a client sends may raise out of here."""
        answer: Refusal | Page | None
        addressed = self._addresses.find(message.listener, message.server_name, message.authority, message.path)
        # FAIL CLOSED: which target it is for is said here, whatever came with the message
        target, path = ("", message.path) if isinstance(addressed, Refusal) else (addressed.target, addressed.path)
        message = structs.replace(message, target=target, path=path)
        try:
            answer = addressed if isinstance(addressed, Refusal) else await self._begin(link, message)
        except GatewayError as error:
            answer = error.refusal
        except Exception as error:
            self._report("http", error)
            answer = Refusal("internal-error", "the gateway met a fault; the request was refused")
        if isinstance(answer, Refusal):
            answer = self.signing.shown(message, answer) or answer
        if isinstance(answer, Page):
            link.send(ipc.Shown(message.number, answer.status, answer.headers, answer.body))
        elif answer is not None:
            link.send(ipc.Denied(message.number, answer.code, answer.message, answer.hint))

    async def _begin(self, link: Link, message: ipc.Begin) -> Refusal | Page | None:
        if self._stopping:
            return _STOPPING
        if is_page(message.path):
            return await self.signing.page(message)
        peer = Peer(message.address, message.application, "http", message.tls)
        entry = self.signing.by_cookie(message) or await self.sessions.find(message.target, message.secret, peer)
        if isinstance(entry, Refusal):
            return entry
        if entry.inside.session.grant.target != message.target or message.target not in self._targets:
            # FAIL CLOSED: a session is of one target
            return Refusal("target-not-available", "there is no such target")
        if entry.ending is not None:
            return entry.ending
        inside = entry.inside
        entry.number += 1
        request = HttpRequest(
            message.method, message.path, message.authority, without_cookies(message.headers), message.body,
            message.version,
        )  # fmt: skip
        statement = Statement(f"{inside.session.id}.{entry.number}", "", PROTOCOL)
        plan, identifiers = await self._judge(entry, request), inside.view.policy.identifiers
        if isinstance(plan, Refusal):
            return await self._refused(
                entry, self._gate.refuse(inside, statement, plan, self._requests.unread(request, identifiers))
            )
        reveal = reveal_of(plan.route.name, inside.session.grant.reveal)
        cursor: Cursor | None = None
        if plan.page is not None:
            cursor = entry.cursors.find(plan.page.cursor, plan.route)
            page = cursor.page(plan, self.mark) if cursor is not None else None
            if page is None:
                unread = self._requests.unread(request, identifiers)
                return await self._refused(entry, self._gate.refuse(inside, statement, NOT_FOUND, unread))
            found, plan, judged = page
            plan = paged(plan, found)
        elif plan.sql is not None:
            ready = await self._sql.ready(plan, inside.view, inside.session.principal.id)
            if isinstance(ready, Refusal):
                unread = self._sql.unread(plan, inside.view)
                return await self._refused(entry, self._gate.refuse(inside, statement, ready, unread))
            plan, judged = with_keys(ready.plan, self.key(entry)), ready.judgement
            cursor = entry.cursors.open(judged, plan.route) if is_paged(plan) else None
        else:
            judged = self._requests.judgement(plan, inside.number, reveal, identifiers)
        credentials = await self.credentials.headers(message.target)
        if entry.ending is not None:
            return entry.ending
        if isinstance(credentials, Refusal):
            return await self._unproven(entry, self._gate.refuse(inside, statement, credentials, judged))
        ends = plan.page is not None and plan.page.ends
        if cursor is not None and not ends and not await is_free(partial(entry.pages, cursor)):
            return await self._refused(entry, self._gate.refuse(inside, statement, BUSY, judged))
        # INVARIANT: nothing is awaited between a claim and `admit`: another request of the session would find it
        if self._gate.needs_claim(inside, judged):
            await self._gate.claim(inside, judged)
        permit = self._gate.admit(inside, statement, judged)
        if isinstance(permit, Refused):
            return await self._refused(entry, permit)
        window = permit.window_rows, permit.window_bytes
        if cursor is not None:
            window = cursor.capped(inside.view.policy.limits, *window)
        running = Running(entry, permit, *window, lambda _: None, cursor=cursor)
        entry.running.add(running)
        try:
            await durable(permit.receipt)
        except BaseException:
            entry.running.discard(running)
            self.sessions.rest(entry)
            raise
        if entry.ending is not None or link.gone:
            # nothing was forwarded: what was claimed for it is given back
            await self.settle(running, Outcome("error"))
            return entry.ending or _STOPPING
        link.permit(message.number, running, plan, reveal, credentials, f"https://{message.authority}")
        return None

    async def _judge(self, entry: Entry, request: HttpRequest) -> HttpPlan | Refusal:
        inside = entry.inside
        rules = inside.view.policy.http
        if rules is None:
            return Refusal("policy-invalid", "the target's policy names no routes")
        work = partial(judge, request, rules, inside.session.grant.customers, key=self.key(entry))
        return await asyncio.to_thread(work) if len(request.body) > _LARGE else work()

    async def _unproven(self, entry: Entry, refused: Refused) -> Refusal:
        """What the client is told whose request is refused for want of a credential of ours, once that is on record."""
        if refused.receipt is not None:
            await durable(refused.receipt)
        return entry.ending or refused.refusal

    async def _refused(self, entry: Entry, refused: Refused) -> Refusal:
        """What the client is told, once the refusal is on record; floods of them end the session."""
        try:
            wait = self._gate.floods.refused(entry.inside.session.principal.id, entry.inside.fields)
        except GatewayError as error:
            self.sessions.cut(entry, error.refusal)
            return worded(error.refusal, entry.inside.view.policy)
        if refused.receipt is not None:
            await durable(refused.receipt)
        if wait:
            await asyncio.sleep(wait)
        return worded(refused.refusal, entry.inside.view.policy)

    def key(self, entry: Entry) -> bytes:
        """The key of what the session's masks make up."""
        if entry.mask_key is None:
            entry.mask_key = self._mask_key(entry.inside.session)
        return entry.mask_key

    async def extend(self, link: Link, running: Running, message: ipc.Extend) -> None:
        """Announce more of an answer, or of what a client sends; or end it."""
        try:
            refusal = running.entry.ending or await self._extend(running, message) or running.entry.ending
        except GatewayError as error:
            refusal = error.refusal
        if refusal is not None:
            running.cut(refusal)
        else:
            number = link.number_of(running)
            link.send(ipc.Extended(number, running.rows, running.bytes, running.bytes_in))

    async def _extend(self, running: Running, message: ipc.Extend) -> Refusal | None:
        inside, permit, digest = running.entry.inside, running.permit, self._passed(message.digest)
        if message.bytes_in > running.bytes_in:
            announced = max(2 * message.bytes_in, _LEAST_IN)
            await durable(self._gate.sent_in(inside, permit, announced, digest))
            running.bytes_in = announced
            if message.rows <= running.rows and message.bytes <= running.bytes:
                return None
        cursor, limits = running.cursor, inside.view.policy.limits
        lacking = cursor.lacks(limits, message.rows, message.bytes) if cursor is not None else None
        if lacking is not None:
            return lacking
        window = self._gate.extend(inside, permit, message.rows, message.bytes, digest)
        if isinstance(window, Refusal):
            return window
        await durable(window.receipt)
        running.rows, running.bytes = window.rows, window.bytes
        if cursor is not None:
            running.rows, running.bytes = cursor.capped(limits, window.rows, window.bytes)
        return None

    def _passed(self, digest: str) -> str:
        """What stands in a record for the messages of a WebSocket: of short ones a digest alone could be guessed."""
        return self.mark(digest) if _DIGEST.fullmatch(digest) else ""

    async def settle(self, running: Running, outcome: Outcome) -> bool:
        """Record how a request ended, and wait for that; whether it is on record."""
        entry = running.entry
        if running not in entry.running:
            return False
        spent = (time.monotonic_ns() - running.permit.started_ns) // 1000
        entry.running.discard(running)
        if running.cursor is not None:
            running.cursor.rows += outcome.rows
            running.cursor.bytes += outcome.bytes
        try:
            whole = Outcome(
                outcome.status, outcome.rows, outcome.bytes, duration_us=spent, tag=outcome.tag,
                rows_in=outcome.rows_in, bytes_in=outcome.bytes_in, digest=self._passed(outcome.digest),
            )  # fmt: skip
            receipt = self._gate.settle(entry.inside, running.permit, whole)
            self.sessions.rest(entry)
            if running.permit.plan.writes:
                await durable(receipt)
        except GatewayError:
            return False
        return True
