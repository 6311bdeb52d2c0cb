"""The process that exports: one thread a sink, beside the gateway, which feeds it numbers and reads its state.

Lines of JSON on the pipes. To it: first `Orders`, then `{"durable": N}` whenever there are more durable records,
`{"stop": N}` at the end. From it: the state of all sinks, each second. Its technical log goes to standard error, which
is the gateway's own.

It knows no key but the headers' and certificates' of its sinks, runs at a lower priority, is the first to go where
memory runs out, and ends when its pipe does.
One such process at a time has the cursors: the next one waits for the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.audit.segment import Damaged
from gateway.errors import GatewayError
from gateway.exports.cursor import cursor_path, prepare_directory
from gateway.exports.orders import Orders, States, Word
from gateway.exports.sink import form_of
from gateway.exports.sinks import open_sink
from gateway.exports.source import Source
from gateway.exports.worker import Worker
from gateway.telemetry import Log, configure_logging, way_to

DRAIN_S = 3.0
_STATE_S = 1.0
_NICER = 10


class Process:
    """All workers, and what they need of one another."""

    def __init__(self, orders: Orders, log: Log) -> None:
        self.durable = 0
        self.ended = threading.Event()
        directory = prepare_directory(orders.state)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("exports wait for the process before them to end")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.durable = orders.durable
        self.workers = [
            Worker(
                name,
                origin=orders.origin,
                source=Source(orders.trail),
                cursor=cursor_path(directory, name),
                out=open_sink(settings),
                form=form_of(settings.format),
                takes=settings.takes,
                durable=lambda: self.durable,
                log=log,
                from_now=settings.start == "now",
                late_s=settings.late,
            )
            for name, settings in orders.exports.items()
        ]

    def hear(self, source: BinaryIO) -> None:
        """Take in what the gateway says, until it says stop, or nothing any more."""
        word = None
        for line in source:
            word = msgspec.json.decode(line, type=Word)
            self.durable = max(self.durable, word.durable)
            if word.stop:
                break
        for worker in self.workers:
            # without a word the gateway died, and its successor waits for the lock
            worker.stop(DRAIN_S if word is not None and word.stop else 0.0)
        self.ended.set()

    def tell(self, sink: BinaryIO) -> None:
        """Say how the sinks are, until the end."""
        while not self.ended.wait(_STATE_S):
            for worker in self.workers:
                worker.look()
            sink.write(msgspec.json.encode(States([worker.state for worker in self.workers])) + b"\n")
            sink.flush()


def main(source: BinaryIO, sink: BinaryIO) -> int:
    """The process's life; returns its exit status."""
    with contextlib.suppress(OSError):  # where the service may not: it is a wish
        os.nice(_NICER)
        Path("/proc/self/oom_score_adj").write_text("500")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    orders = Orders.model_validate_json(source.readline())
    log = configure_logging(orders.log_format)
    threading.excepthook = lambda fault: _faulted(log, fault)
    try:
        process = Process(orders, log)
    except GatewayError as error:
        log.error("exports not started", code=error.code, reason=error.refusal.message)
        return 78
    for worker in process.workers:
        worker.start()
    threading.Thread(target=process.hear, args=(source,), daemon=True).start()
    try:
        process.tell(sink)
    except BrokenPipeError:
        return 1  # the gateway is gone
    deadline = time.monotonic() + DRAIN_S + 1.0
    for worker in process.workers:
        worker.join(max(0.1, deadline - time.monotonic()))
    return 0


def _faulted(log: Log, fault: threading.ExceptHookArgs) -> None:
    """A sink's thread died of something that nobody foresaw: the process ends, and is begun anew from the cursors."""
    error = fault.exc_value
    assert error is not None
    if isinstance(error, Damaged):
        log.error("export stopped", reason="the trail is damaged", first=error.index)
    elif not isinstance(error, OSError):
        log.error("fault", part="exports", fault=type(error).__name__, way=way_to(error))
    os._exit(1)


if __name__ == "__main__":
    os._exit(main(sys.stdin.buffer, sys.stdout.buffer))
