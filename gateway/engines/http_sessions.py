"""Who sends HTTP requests: passes proven once, and the sessions that they open.

A request shows its pass as `Authorization: Bearer gwh_…` (base64url of `USER:PASS`, what `gateway open` prints) or as
`Basic`. The pass is proven as PostgreSQL clients' passes are, against the verifier that is kept of it; afterwards the
session is found by a keyed hash of what was shown, for as long as it lives. A session is of one pass, target and host.

INVARIANT: who shows a pass and is not let in is told one thing, whatever was wrong, after one PBKDF2; each such try is
on record, and counts, until the address tries too often. What shows no pass is turned away at once.
INVARIANT: a session that was cut is found no more: its next request proves the pass anew, against what is known then.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.access.context import durable
from gateway.admitted import Admitted
from gateway.engines.crowd import Crowd
from gateway.engines.doors import Doors
from gateway.engines.http_cursors import Cursor, Cursors
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Peer, Permit, Session
from gateway.wire.auth import ScramVerifier, known_to

TOKEN = "gwh_"  # noqa: S105 - what passes for HTTP begin with
MOST = 2000
"""Sessions of one process."""
_MOST_PER_PERSON = 50
_GREETINGS = 32
_LONGEST = 1024
_GRACE_S = 5.0
_NONE = Refusal(
    "authentication-failed", "the request shows no pass",
    "gateway open TICKET --target NAME prints a request that does",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Running:
    """A permitted request under way, with how much of its answer is announced. `cut` stops it.

    `shown` is what proved the gateway to the API. Of a WebSocket, `bytes_in` is how much the client may send. `cursor`
    is that of a statement whose answer may go on in further pages.
    """

    entry: Entry
    permit: Permit
    rows: int
    bytes: int
    cut: Callable[[Refusal], None]
    shown: tuple[tuple[str, str], ...] = ()
    bytes_in: int = 0
    cursor: Cursor | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """A session inside, and what it has under way. `ending` is why it takes nothing any more.

    `mask_key` is that of its masks once it was derived: what it depends on ends the session when it changes.
    """

    key: bytes
    inside: Admitted
    heard_at: float
    detach: Callable[[], None] = lambda: None
    ending: Refusal | None = None
    ended_at: float = 0.0
    number: int = 0
    mask_key: bytes | None = field(default=None, repr=False)
    running: set[Running] = field(default_factory=set)
    cursors: Cursors = field(default_factory=Cursors)

    def pages(self, cursor: Cursor) -> bool:
        """Whether a page of that statement is under way."""
        return any(one.cursor is cursor for one in self.running)


class Sessions:
    """All sessions of one engine; the event loop's thread only."""

    def __init__(
        self, gate: Gate, doors: Doors[Any], report: Callable[[str, BaseException], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._gate, self._doors, self._report, self._monotonic = gate, doors, report, monotonic
        self._key = secrets.token_bytes(32)
        self._entries: dict[bytes, Entry] = {}
        self._ending: set[Entry] = set()
        self._opening: dict[bytes, asyncio.Task[Entry | Refusal]] = {}
        self._crowd = Crowd(_GREETINGS)

    def __len__(self) -> int:
        return len(self._entries) + len(self._ending)

    async def find(self, target: str, shown: str, peer: Peer) -> Entry | Refusal:
        """The session of whoever shows that on that target, opened if need be. Raises `GatewayError`."""
        proof = proof_of(shown)
        if proof is None:
            return _NONE
        user, secret = proof
        what = "\0".join((target, peer.host, user, secret)).encode("utf-8", "surrogatepass")
        key = hmac.digest(self._key, what, "sha256")
        entry = self._entries.get(key)
        if entry is not None:
            entry.heard_at = self._monotonic()
            return entry
        opening = self._opening.get(key)
        if opening is None:
            # one log-in for all requests that come at once; it goes on when the first of them is gone
            opening = asyncio.create_task(self._open(key, target, secret, replace(peer, user=user)))
            self._opening[key] = opening
            opening.add_done_callback(lambda _: self._opening.pop(key, None))
        return await asyncio.shield(opening)

    def new_key(self) -> bytes:
        """What a session is found by that shows no pass."""
        return secrets.token_bytes(32)

    def heard(self, entry: Entry) -> None:
        """A request of the session's came in."""
        entry.heard_at = self._monotonic()

    def cut(self, entry: Entry, refusal: Refusal) -> None:
        """End a session: nothing more of what it has under way leaves."""
        if entry.ending is not None:
            return
        entry.ending, entry.ended_at = refusal, self._monotonic()
        self._entries.pop(entry.key, None)
        self._ending.add(entry)
        entry.detach()
        for running in tuple(entry.running):
            running.cut(refusal)
        self.rest(entry)

    def rest(self, entry: Entry) -> None:
        """Record a session's end once nothing of it is under way."""
        if entry.ending is None or entry.running or entry not in self._ending:
            return
        self._ending.discard(entry)
        reason = None if entry.ending.code == "session-expired" else entry.ending
        try:
            self._gate.leave(entry.inside, reason)
        except GatewayError as error:
            self._report("http", error)

    def cut_target(self, target: str, refusal: Refusal) -> None:
        """End every session on a target."""
        for entry in tuple(self._entries.values()):
            if entry.inside.session.grant.target == target:
                self.cut(entry, refusal)

    def cut_all(self, refusal: Refusal) -> None:
        """End every session."""
        for entry in tuple(self._entries.values()):
            self.cut(entry, refusal)

    def tick(self, idle_s: Callable[[str], float]) -> list[Running]:
        """Once a second: ends what is idle; returns what is under way in sessions that were cut a while ago."""
        now = self._monotonic()
        for entry in tuple(self._entries.values()):
            if not entry.running and now - entry.heard_at > idle_s(entry.inside.session.grant.target):
                self.cut(entry, Refusal("session-expired", "the session was idle for too long", fatal=True))
        return [one for entry in self._ending if now - entry.ended_at > _GRACE_S for one in entry.running]

    async def _open(self, key: bytes, target: str, secret: str, peer: Peer) -> Entry | Refusal:
        if not self._crowd.admit(peer.host):
            return Refusal("too-many-attempts", "too many log-ins failed from this address", "wait a minute")
        try:
            return await self._admitted(key, target, secret, peer)
        except GatewayError as error:
            return error.refusal
        finally:
            self._crowd.leave(peer.host)

    async def _admitted(self, key: bytes, target: str, secret: str, peer: Peer) -> Entry | Refusal:
        doors = self._doors
        await doors.ready()
        challenge = doors.challenge(peer.user, target, peer, tls=True)
        if challenge.method != "scram":
            # a password with a code behind it opens grants; over HTTP only what `gateway open` gave does
            challenge = doors.challenge(peer.user, target, peer, tls=False)
        verifiers = [challenge.verifier, *(verifier for verifier, _ in challenge.others)]
        place = await asyncio.to_thread(known_to, secret, [ScramVerifier.parse(one) for one in verifiers])
        challenge = challenge.proven(place or 0)
        session = await doors.admit_pass(challenge, place is not None and challenge.pass_id is not None, peer)
        if isinstance(session, Refusal):
            if self._crowd.failed(peer.host):
                fault = GatewayError("too-many-attempts", f"failed log-ins from {peer.host}; it must wait")
                self._report("log-in", fault)
            return session
        return await self.enter(key, session)

    async def enter(self, key: bytes, session: Session) -> Entry | Refusal:
        """Let a session in that was just admitted; its begin is on record. `key` is what it is found by.

        Raises `GatewayError`.
        """
        person = session.principal.id
        mine = sum(one.inside.session.principal.id == person for one in self._entries.values())
        if len(self) >= MOST or mine >= _MOST_PER_PERSON:
            return Refusal("too-many-connections", "all sessions are in use", hint="try again later")
        barred = self._gate.floods.barred(person)
        if barred is not None:
            return barred
        inside = self._gate.enter(session)
        try:
            await durable(inside.begin)
            if not self._gate.is_current(inside):
                # a reload cuts the sessions that are inside; this one was on its way in
                raise GatewayError("policy-changed", "the policy changed", "send the request again", fatal=True)
        except GatewayError as error:
            self._gate.leave(inside, error.refusal)
            raise
        entry = Entry(key, inside, self._monotonic())
        self._entries[key] = entry
        entry.detach = self._doors.attach(session, lambda refusal: self.cut(entry, refusal))
        return entry


def proof_of(shown: str) -> tuple[str, str] | None:
    """User name and pass of an `Authorization` header's value; None when it has none."""
    scheme, _, coded = shown.partition(" ")
    coded = coded.strip(" ")
    if len(coded) > _LONGEST:
        return None
    try:
        if scheme.lower() == "bearer" and coded.startswith(TOKEN):
            body = coded.removeprefix(TOKEN)
            text = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True).decode()
        elif scheme.lower() == "basic":
            text = base64.b64decode(coded, validate=True).decode()
        else:
            return None
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    user, colon, secret = text.partition(":")
    return (user, secret) if colon and user and secret else None


def token_of(user: str, secret: str) -> str:
    """What a request shows in `Authorization: Bearer` for that pass."""
    return TOKEN + base64.urlsafe_b64encode(f"{user}:{secret}".encode()).decode().rstrip("=")
