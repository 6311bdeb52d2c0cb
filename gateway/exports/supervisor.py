"""The gateway's side of the exports: starts the process, tells it how much is durable, and hears how the sinks are.

INVARIANT: nothing here waits for the process but its end at a stop, and that not for long: what it does not take of a
pipe is left out, since the next number says more anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable

import msgspec

from gateway.exports.cursor import prepare_directory
from gateway.exports.orders import Orders, States, Word, check_files
from gateway.exports.sinks import open_sink
from gateway.exports.worker import State
from gateway.telemetry import Metrics

_FEED_S = 0.2
_AGAIN_S, _MOST_AGAIN_S = 1.0, 60.0
_END_S = 6.0
_LINE = 1 << 20


class Exports:
    """One gateway's exports. The event loop's thread only."""

    def __init__(
        self, orders: Orders, durable: Callable[[], int], report: Callable[[str, BaseException], None]
    ) -> None:
        """Raises `GatewayError("configuration-invalid")` for a sink that cannot work."""
        check_files(orders)
        for settings in orders.exports.values():
            open_sink(settings).close()
        self._orders, self._durable, self._report = orders, durable, report
        self._process: asyncio.subprocess.Process | None = None
        self._states = {name: State(name) for name in orders.exports}
        if orders.exports:
            prepare_directory(orders.state)

    async def run(self) -> None:
        """Keep the process running until cancelled; it outlives that, for `finish`."""
        wait_s = _AGAIN_S
        while self._orders.exports:
            begun = time.monotonic()
            await self._live()
            self._report("exports", ChildProcessError(None, "the exporting process ended; it is begun anew"))
            wait_s = _AGAIN_S if time.monotonic() - begun > _MOST_AGAIN_S else min(_MOST_AGAIN_S, wait_s * 2)
            await asyncio.sleep(wait_s)
        await asyncio.Event().wait()

    async def _live(self) -> None:
        """One process, from its start to its end."""
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "gateway.exports",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE,
            # a terminal's Ctrl-C is for the gateway; the process ends when its pipe closes
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        orders = self._orders.model_copy(update={"durable": self._durable()})
        process.stdin.write(orders.model_dump_json().encode() + b"\n")
        feeding = asyncio.ensure_future(self._feed(process.stdin, orders.durable))
        try:
            with contextlib.suppress(ValueError):  # a line without an end: it is not ours any more
                while line := await process.stdout.readline():
                    self._hear(line)
        finally:
            feeding.cancel()
        process.stdin.close()
        await process.wait()

    async def _feed(self, pipe: asyncio.StreamWriter, told: int) -> None:
        while not pipe.is_closing():
            await asyncio.sleep(_FEED_S)
            durable = self._durable()
            if durable != told and not pipe.transport.get_write_buffer_size():
                pipe.write(msgspec.json.encode(Word(durable)) + b"\n")
                told = durable

    def _hear(self, line: bytes) -> None:
        with contextlib.suppress(msgspec.MsgspecError):
            for state in msgspec.json.decode(line, type=States).sinks:
                if state.name in self._states:
                    self._states[state.name] = state

    async def finish(self) -> None:
        """Let the process send the last records, and end; for when the trail is closed."""
        process = self._process
        if process is None or process.returncode is not None or process.stdin is None:
            return
        try:
            async with asyncio.timeout(_END_S):
                with contextlib.suppress(OSError):
                    process.stdin.write(msgspec.json.encode(Word(self._durable(), stop=True)) + b"\n")
                    process.stdin.close()
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def measure(self, metrics: Metrics) -> None:
        """Show how the sinks are."""
        if not self._orders.exports:
            return
        watch = metrics.watch_labelled
        watch("gateway_export_lag_records", "Records that a sink has not taken", "sink", self._lag)
        watch("gateway_export_lag_seconds", "Age of the oldest of those", "sink", self._age)
        watch("gateway_export_sent", "Records sent since the process began", "sink", self._of("sent"))
        watch("gateway_export_failures", "Failed tries since the process began", "sink", self._of("failures"))
        watch("gateway_export_rejected", "Records that a sink refused for good", "sink", self._of("rejected"))

    def _lag(self) -> dict[str, float]:
        durable = self._durable()
        return {name: float(max(0, durable - state.next)) for name, state in self._states.items()}

    def _age(self) -> dict[str, float]:
        now = time.time()
        return {name: max(0.0, now - one.oldest) if one.oldest else 0.0 for name, one in self._states.items()}

    def _of(self, field: str) -> Callable[[], dict[str, float]]:
        return lambda: {name: float(getattr(state, field)) for name, state in self._states.items()}
