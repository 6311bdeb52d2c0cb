"""Reads, for whoever must approve a statement, the rows that it would meet: a session of one SELECT, through the gate.

The road is that of any client: the session enters, the text is admitted, and nothing is sent before the record of it
is durable. At most `MOST_ROWS` rows are read, within what the record announced; the connection is closed behind them,
so nothing else of the result is ever read.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from gateway.access.context import durable
from gateway.admitted import Admitted, Refused
from gateway.errors import GatewayError, Refusal
from gateway.gate import Gate
from gateway.model import Permit, Preview, Session, Statement
from gateway.sql.statement import Kind

MOST_ROWS = 50
MOST_AT_ONCE = 4
"""How many previews may hold a connection to a target at the same time; the next one waits."""
TIMEOUT_S = 20.0
_SHOWN = 500
"""How many characters of a value are shown."""


class Previews(ABC):
    """Runs previews on the targets of one engine."""

    def __init__(self, gate: Gate, timeout_s: float) -> None:
        self._gate, self._timeout_s = gate, timeout_s
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self, session: Session, text: str) -> Preview | Refusal:
        """The first rows of that SELECT, or why they are not to be had; whatever happens, the session is left."""
        refusal: Refusal | None = None
        try:
            inside = self._gate.enter(session)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await durable(inside.begin)
                    async with self._turns:
                        found = await self._judged(inside, text)
                refusal = found if isinstance(found, Refusal) else None
                return found
            except TimeoutError:
                refusal = Refusal("cancelled", "the preview took too long", "ask for a statement that meets fewer rows")
                return refusal
            except GatewayError as error:
                refusal = error.refusal
                raise
            finally:
                self._gate.leave(inside, refusal)
        except GatewayError as error:
            return error.refusal

    async def _judged(self, inside: Admitted, text: str) -> Preview | Refusal:
        permit = await self._permit(inside, text)
        if isinstance(permit, Refused):
            if permit.receipt is not None:
                await durable(permit.receipt)
            return permit.refusal
        return await self._read(inside, permit)

    async def _permit(self, inside: Admitted, text: str) -> Permit | Refused:
        gate = self._gate
        if gate.needs_study(inside, text):
            await gate.study(inside, text)
        statement = Statement(f"{inside.session.id}.1", text)
        judged = gate.judge(inside, text)
        if not isinstance(judged, Refusal) and judged.plan.kinds != (Kind.READ,):
            # FAIL CLOSED: one SELECT is all that a preview may be, whoever composed it.
            refusal = Refusal("statement-not-allowed", "a preview is one statement that reads")
            return gate.refuse(inside, statement, refusal, judged)
        return gate.admit(inside, statement)

    @abstractmethod
    async def _read(self, inside: Admitted, permit: Permit) -> Preview | Refusal:
        """Run the permitted text once its record is durable, read what there is of its answer, and settle it."""


def shown(value: bytes) -> str:
    """A value as text, cut where it is long."""
    text = value.decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
