"""Long statements are analysed in a process of their own, which is killed when it takes too long.

The parser is C code and its time and memory are bounded by nothing but the text's length; so is Python's over the
tree. What is short is analysed on the event loop; everything else comes here. A worker that passes its deadline, or
dies, costs its statement a refusal and is replaced. One person has one worker at a time, and people have their turns
in order: who floods the workers waits for himself.

Frames on the worker's pipes: a length word (4 bytes, big-endian) and a body. Towards it: pickled (view number, view or
None, text), from the gateway alone. From it: JSON, decoded into the expected types only, since the worker is the side
that met hostile text.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import re
import resource
import sys
from collections import deque
from typing import Any, BinaryIO

import msgspec

from gateway.errors import Refusal
from gateway.sql.rooms import judged
from gateway.sql.statement import Plan, View

DEADLINE_S = 2.0
SHORT = 512
"""Texts up to this many characters are analysed where they are, when they hold little that grows."""
TINY = 64
"""Texts up to this many characters without a semicolon, and with few commas, are so whatever they hold."""
TINY_LISTED = 3
"""How many commas are few."""

_STATEMENTS = 3
# A relation becomes a derived table of all its masks, a look-up in the catalog a condition on all that the policy
# shows: the work goes by their number, not by the text's length. Relations of a FROM list are seen by their commas:
# each of them counts but what a literal, a sign and a digit, or a parenthesis follows. A comment may follow too.
_GROWS = ("from", "join", "table", "union", "intersect", "except", "pg_", "reg", "format_type", "information_", "u&")
_LISTED = re.compile(r",(?!\s*(?:-?\d|['$()\]]))")
_MOST_GROWING = 8
_WAIT_S = 5.0
_MEMORY = 2 * 1024**3
_VIEWS = 256


class _Answer(msgspec.Struct):
    plan: Plan | None = None
    refusal: Refusal | None = None


def is_short(text: str) -> bool:
    """Whether the text may be analysed on the event loop: some tens of milliseconds at the worst."""
    if len(text) > SHORT or text.count(";") > _STATEMENTS:
        return False
    if len(text) <= TINY and text.count(",") <= TINY_LISTED:
        return True
    lower = text.lower()
    growing = sum(map(lower.count, _GROWS))
    start = lower.find("from")
    if start < 0 or growing + lower.count(",", start) <= _MOST_GROWING:
        return growing <= _MOST_GROWING
    return growing + len(_LISTED.findall(lower, start)) <= _MOST_GROWING


class Workers:
    """A few worker processes, started when they are first needed. The event loop's thread only."""

    def __init__(self, count: int = 2, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._idle: list[_Worker] = []
        self._turns = _Turns(count)
        self._all: set[_Worker] = set()

    async def analyse(self, text: str, view: View, person: str) -> Plan | Refusal:
        """As `judged` of the grammar, with a deadline. A statement that misses it is refused."""
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._turns.begin(person)
        except TimeoutError:
            return _too_complex("other long statements are being analysed; try again in a moment")
        try:
            return await self._analyse(text, view)
        finally:
            self._turns.end(person)

    async def _analyse(self, text: str, view: View) -> Plan | Refusal:
        worker = self._living()
        self._all.add(worker)
        try:
            async with asyncio.timeout(self._deadline_s + (0.0 if worker.warm else _WAIT_S)):
                answer = await worker.ask(text, view)
        except (TimeoutError, OSError, asyncio.IncompleteReadError, msgspec.MsgspecError):
            self._all.discard(worker)
            await worker.kill()
            return _too_complex("it took too long to analyse")
        except BaseException:
            self._all.discard(worker)
            await worker.kill()
            raise
        self._idle.append(worker)
        return answer

    def _living(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if not worker.dead:
                return worker
            self._all.discard(worker)
        return _Worker()

    async def close(self) -> None:
        """Kill all workers."""
        for worker in list(self._all):
            await worker.kill()
        self._all.clear()
        self._idle.clear()


class _Turns:
    """Who may have a worker: at most one for each person, and who was served waits behind all others."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._served: set[str] = set()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def begin(self, person: str) -> None:
        """Wait for a turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(person, deque()).append(turn)
        self._serve()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.end(person)  # it came at the moment of the cancellation
            raise

    def end(self, person: str) -> None:
        """A turn is over."""
        self._free += 1
        self._served.discard(person)
        if person in self._waiting:
            self._waiting[person] = self._waiting.pop(person)  # behind all others
        self._serve()

    def _serve(self) -> None:
        while self._free:
            person = next((one for one in self._waiting if one not in self._served), None)
            if person is None:
                return
            line = self._waiting.pop(person)
            turn = line.popleft()
            if line:
                self._waiting[person] = line
            if not turn.done():
                self._free -= 1
                self._served.add(person)
                turn.set_result(None)


class _Worker:
    """One process and the views that it knows."""

    def __init__(self) -> None:
        self.warm = False
        self._process: asyncio.subprocess.Process | None = None
        self._views: dict[tuple[object, ...], int] = {}

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._process is not None and self._process.returncode is not None

    async def ask(self, text: str, view: View) -> Plan | Refusal:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Nothing is imported from the directory that the gateway happens to run in.
                "-P",
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # A terminal's Ctrl-C is for the gateway; the worker ends when its pipe closes.
                start_new_session=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        number = self._views.get(view.key)
        known = number is not None
        if number is None:
            if len(self._views) >= _VIEWS:
                self._views.clear()
            number = self._views[view.key] = len(self._views)
        body = pickle.dumps((number, None if known else view, text))
        process.stdin.write(len(body).to_bytes(4, "big") + body)
        await process.stdin.drain()
        length = int.from_bytes(await process.stdout.readexactly(4), "big")
        answer = msgspec.json.decode(await process.stdout.readexactly(length), type=_Answer)
        self.warm = True
        if answer.plan is not None:
            return answer.plan
        return answer.refusal or _too_complex("it could not be analysed")

    async def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def _too_complex(reason: str) -> Refusal:
    return Refusal("statement-too-complex", f"the statement was not run: {reason}", hint="shorten or split it")


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """The worker's life: one answer for each question, until the pipe closes."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    views: dict[int, View] = {}
    while len(head := source.read(4)) == 4:
        number, view, text = pickle.loads(source.read(int.from_bytes(head, "big")))  # noqa: S301 (our own parent)
        if view is not None:
            views[number] = view
        verdict: Any = judged(text, views[number])
        answer = _Answer(refusal=verdict) if isinstance(verdict, Refusal) else _Answer(plan=verdict)
        body = msgspec.json.encode(answer)
        sink.write(len(body).to_bytes(4, "big") + body)
        sink.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
