"""A trail, a sink that does as it is told, and the worker between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.audit.checkpoint import Signer
from gateway.audit.log import FileLog
from gateway.exports.cursor import Cursor, read_cursor
from gateway.exports.sink import Message, Out, form_of
from gateway.exports.source import Source
from gateway.exports.worker import Worker

ORIGIN = "gateway.example/exports"
KEY = Signer.generate(ORIGIN)


def open_trail(directory: Path, **options: Any) -> FileLog:
    """A trail without a loop."""
    options = {"key": KEY, "segment_bytes": 256 << 10, "reserve_bytes": 0, "interval_s": 30.0, **options}
    return FileLog.open(directory, origin=options.pop("origin", ORIGIN), clock=lambda: datetime.now(UTC), **options)


def fill(log: FileLog, count: int, **fields: Any) -> None:
    """Append statements' begin records, and wait until they are durable."""
    for number in range(count):
        log.append(
            {
                "kind": "statement.begin",
                "session": "S1",
                "statement": f"Q{number}",
                "login": "alice",
                "person": "u-1001",
                "address": "192.0.2.7:50123",
                "engine": "postgres",
                "ticket": "SUP-1423",
                "target": "payroll",
                "sql": "select email from public.employees where id = $1",
                "relations": ["public.employees"],
                "decision": "permit",
                **fields,
            },
            urgent=False,
        )
    log.flush()


@dataclass
class FakeOut:
    """Takes everything, unless `answers` says otherwise: each is called with the messages before they are taken."""

    holdback_s: float = 0.0
    answers: list[Callable[[Sequence[Message]], int]] = field(default_factory=list)
    always: Callable[[Sequence[Message]], int] | None = None
    taken: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    settling: list[Callable[[], None]] = field(default_factory=list)
    settled: int = 0
    closed: bool = False

    def send(self, messages: Sequence[Message]) -> int:
        self.sizes.append(len(messages))
        answer = self.answers.pop(0) if self.answers else self.always
        rejected = answer(messages) if answer is not None else 0
        self.taken += [message.index for message in messages]
        return rejected

    def settle(self) -> None:
        if self.settling:
            self.settling.pop(0)()
        self.settled = len(self.taken)

    def close(self) -> None:
        self.closed = True


class Said:
    """A technical log that remembers."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        return lambda event, **fields: self.lines.append({"level": level, "event": event, **fields})

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@dataclass
class Road:
    """A worker that runs, with what it was given."""

    worker: Worker
    said: Said
    path: Path

    @property
    def cursor(self) -> Cursor | None:
        return read_cursor(self.path)


@contextmanager
def road(
    log: FileLog,
    out: Out,
    path: Path,
    *,
    form: str = "record",
    drain_s: float = 0.0,
    durable: Callable[[], int] | None = None,
    **options: Any,
) -> Iterator[Road]:
    """Run a worker from the trail to the sink."""
    said = Said()
    worker = Worker(
        "test",
        origin=options.pop("origin", ORIGIN),
        source=Source(log.directory),
        cursor=path,
        out=out,
        form=form_of(form),
        takes=options.pop("takes", lambda _: True),
        durable=durable or (lambda: log.durable_size),
        log=said,
        **options,
    )
    worker.start()
    try:
        yield Road(worker, said, path)
    finally:
        worker.stop(drain_s)
        assert worker.join(20), "the worker did not end"


def until(done: Callable[[], object], patience_s: float = 20.0) -> None:
    """Wait until that is so."""
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
