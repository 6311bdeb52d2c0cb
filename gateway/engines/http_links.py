"""The gate's end of the channel to one process that speaks HTTP: what it was permitted, and how that ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.engines import http_channel as ipc
from gateway.engines.http_credentials import Headers
from gateway.engines.http_sessions import Running
from gateway.errors import CODES, Refusal
from gateway.http.message import HttpPlan
from gateway.model import Outcome
from gateway.policy.dialects import SEARCH

if TYPE_CHECKING:
    from gateway.engines.http import HttpEngine

_STATUSES = frozenset({"ok", "error", "cancelled", "cut", "unknown"})

Send = Callable[[ipc.Message], None]


class Link:
    """One process: what it was permitted and has not settled. `gone` once it is."""

    def __init__(self, engine: HttpEngine, send: Send) -> None:
        self._engine, self.send = engine, send
        self.running: dict[int, Running] = {}
        self._numbers: dict[Running, int] = {}
        self._told: Counter[str] = Counter()
        self._current: dict[str, str] = {}
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.gone = False

    def take(self, message: ipc.Begin | ipc.Extend | ipc.Settle) -> None:
        """A message of the process's."""
        if isinstance(message, ipc.Begin):
            self._run(self._engine.begin(self, message))
            return
        running = self.running.get(message.permit)
        if running is None:
            return
        if isinstance(message, ipc.Extend):
            self._run(self._engine.extend(self, running, message))
        else:
            self._run(self._settle(message, running))

    def permit(
        self,
        number: int,
        running: Running,
        plan: HttpPlan,
        reveal: frozenset[str],
        credentials: Headers,
        base: str = "",
    ) -> None:
        """Let a request go on; `base` is the origin that its client asked."""
        inside, permit = running.entry.inside, running.permit
        policy = inside.view.policy
        if policy.digest not in self._told and policy.http is not None:
            self.send(ipc.Rules(policy.digest, policy.http))
        self._told[policy.digest] += 1
        self._current[inside.session.grant.target] = policy.digest
        self._next += 1
        self.running[self._next], self._numbers[running] = running, self._next
        running.cut, running.shown = partial(self._cut, self._next), credentials
        # a header of the plan's never stands in for a credential, nor beside one
        taken = {name for name, _ in credentials}
        headers = tuple(one for one in plan.headers if one[0].lower() not in taken) + credentials
        self.send(
            ipc.Permitted(
                number, self._next, inside.session.grant.target, plan.method, plan.target, headers, plan.body,
                policy.digest, plan.route.name, inside.session.grant.customers, self._engine.key(running.entry), reveal,
                running.rows, running.bytes, permit.plan.writes,
                plan.route.answers if plan.route.graphql is not None or plan.route.dialect in SEARCH else (),
                *((base, running.cursor.id, running.cursor.key) if running.cursor else ()),
            )
        )  # fmt: skip

    def outdate(self, target: str) -> None:
        """The target's policy is another now: what was said of it is forgotten once nothing is under way under it."""
        self._current.pop(target, None)
        self._forget()

    def _forget(self) -> None:
        current = set(self._current.values())
        for digest in [digest for digest, permits in self._told.items() if not permits and digest not in current]:
            del self._told[digest]
            self.send(ipc.Forget(digest))

    def number_of(self, running: Running) -> int:
        """What the process knows it as."""
        return self._numbers.get(running, 0)

    def give_up(self, running: Running) -> None:
        """Settle what the process does not."""
        number = self._numbers.get(running)
        if number is not None:
            self._run(self._end(number, running, _unknown(running)))

    def lost(self) -> None:
        """The process is gone: nobody knows how what it had under way ended, or how much of what was announced left."""
        self.gone = True
        for number, running in tuple(self.running.items()):
            self._run(self._end(number, running, _unknown(running)))

    async def settled(self) -> None:
        """Wait for what is under way here; after `lost`."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self, number: int, refusal: Refusal) -> None:
        self.send(ipc.Cut(number, refusal.code, refusal.message, refusal.hint))

    async def _settle(self, message: ipc.Settle, running: Running) -> None:
        if message.unproven:
            self._engine.credentials.refused(running.entry.inside.session.grant.target, running.shown)
        status = message.status if message.status in _STATUSES else "unknown"
        # no more than was announced can have left, whatever the process says
        rows, size = min(max(message.rows, 0), running.rows), min(max(message.bytes, 0), running.bytes)
        tag = f"HTTP {message.http}" if 100 <= message.http <= 599 else ""
        tag = f"{tag} {message.code}".strip() if message.code in CODES else tag
        taken = max(message.rows_in, 0), min(max(message.bytes_in, 0), running.bytes_in)
        outcome = Outcome(status, rows, size, tag=tag, rows_in=taken[0], bytes_in=taken[1], digest=message.digest)
        await self._end(message.permit, running, outcome)

    async def _end(self, number: int, running: Running, outcome: Outcome) -> None:
        if self.running.pop(number, None) is None:
            return
        self._numbers.pop(running, None)
        done = await self._engine.settle(running, outcome)
        self.send(ipc.Settled(number, done))
        self._told[running.entry.inside.view.policy.digest] -= 1
        self._forget()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unknown(running: Running) -> Outcome:
    return Outcome("unknown", running.rows, running.bytes, bytes_in=running.bytes_in)
