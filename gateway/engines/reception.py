"""Where clients of a database protocol come in: one listening socket, and everybody who is inside.

An engine greets (`_greet`: from the first byte to the relay) in the words of its protocol; who may come in at all, how
many at a time, and how a session is cut is the same for all of them.
"""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from gateway.admitted import Admitted
from gateway.engines.crowd import Crowd
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.listener_settings import DatabaseListener
from gateway.model import Session

_GREETING_SLOTS = 100
STOPPING = Refusal("shutting-down", "the gateway is stopping", hint="connect again in a moment", fatal=True)


class AnyRelay(Protocol):
    """A session inside, as its engine relays it."""

    @property
    def inside(self) -> Admitted: ...
    @property
    def busy(self) -> bool: ...
    def cut(self, refusal: Refusal, /) -> None: ...
    def tick(self, now: float, idle_timeout: float, /) -> None: ...


R = TypeVar("R", bound=AnyRelay)


class Reception(ABC, Generic[R]):
    """Accepts clients on one listening socket; the event loop's thread only."""

    def __init__(self, settings: DatabaseListener, gate: Gate, report: Callable[[str, BaseException], None]) -> None:
        self._settings, self._gate, self._report = settings, gate, report
        self._relays: dict[R, Callable[[], None]] = {}
        self._crowd = Crowd((_GREETING_SLOTS + settings.max_connections) // 2)
        self._people: Counter[str] = Counter()
        self._greetings: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._sock: socket.socket | None = None

    @property
    def sessions(self) -> int:
        """How many sessions are inside."""
        return len(self._relays)

    def start(self, sock: socket.socket) -> None:
        """Accept clients on a listening, non-blocking socket."""
        self._sock = sock
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._accept(sock)), loop.create_task(self._tick())]

    async def stop(self, grace_s: float) -> None:
        """Accept nobody new, let running statements end for that long, then cut what is left."""
        for task in [*self._tasks, *self._greetings]:
            task.cancel()
        if self._sock is not None:
            self._sock.close()
        deadline = time.monotonic() + grace_s
        while any(relay.busy for relay in self._relays) and time.monotonic() < deadline:  # noqa: ASYNC110 (polls once)
            await asyncio.sleep(0.02)
        for relay in list(self._relays):
            relay.cut(STOPPING)

    def renew_target(self, target: str) -> None:
        """Let every session on a target see its catalog as it is now."""
        for relay in list(self._relays):
            if relay.inside.session.grant.target == target:
                self._gate.renew(relay.inside)

    def cut_target(self, target: str, refusal: Refusal) -> None:
        """End every session on a target."""
        for relay in list(self._relays):
            if relay.inside.session.grant.target == target:
                relay.cut(refusal)

    @abstractmethod
    async def _greet(self, sock: socket.socket, address: str) -> None:
        """Everything from the first byte to the relay. Nothing that a client does may raise out of here."""

    def _room(self) -> None:
        """Raises `GatewayError("too-many-connections")` when nobody more fits in."""
        # those who log in at the same moment pass the look at the relays together
        if max(len(self._relays), self._people.total()) >= self._settings.max_connections:
            raise GatewayError("too-many-connections", "all connection slots are in use", hint="try again later")

    def _judged(self, session: Session | Refusal, host: str) -> Session:
        """The session of somebody who was let in. Raises `GatewayError` for who was not, and counts him."""
        if isinstance(session, Session):
            return session
        if self._crowd.failed(host):
            self._report("log-in", GatewayError("too-many-attempts", f"failed log-ins from {host}; it must wait"))
        raise GatewayError.of(session)

    def _take_place(self, session: Session) -> None:
        """Count a session in, until `_left`. Raises `GatewayError` when it has no place."""
        self._room()
        person, most = session.principal.id, self._settings.max_connections_per_person
        if self._people[person] >= most:
            raise GatewayError("too-many-connections", f"you have {most} sessions", hint="close one of them")
        barred = self._gate.floods.barred(person)
        if barred is not None:
            self._crowd.failed(session.peer.host)
            raise GatewayError.of(barred)
        self._people[person] += 1

    def _left(self, person: str) -> None:
        self._people[person] -= 1
        if not self._people[person]:
            del self._people[person]

    def _closed(self, relay: R) -> None:
        """A relay is over. Called once for each."""
        detach = self._relays.pop(relay, None)
        if detach is not None:
            self._left(relay.inside.session.principal.id)
            detach()

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(sock)
            except OSError as error:
                # out of descriptors, or a client that left already: the listener must outlive both
                self._report("accept", error)
                await asyncio.sleep(0.05)
                continue
            slots = _GREETING_SLOTS + self._settings.max_connections
            if len(self._greetings) >= slots or not self._crowd.admit(address[0]):
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            task = loop.create_task(self._greet(client, f"{address[0]}:{address[1]}"))
            self._greetings.add(task)
            task.add_done_callback(partial(self._greeted, address[0]))

    def _greeted(self, host: str, task: asyncio.Task[None]) -> None:
        self._greetings.discard(task)
        self._crowd.leave(host)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for relay in list(self._relays):
                relay.tick(now, self._settings.idle_timeout)
