"""The thread that signs: tiles and checkpoint of what is durable, a second after there was news.

It also watches the space that is left, since it is the one that needs more of it, and lets work in again when space
returned.

INVARIANT: a tree head is signed after its records are durable, on a quorum where one is asked, and tiles are in place
before the head that needs them.
INVARIANT: heads are signed in order; each extends the one before, because both come from the one growing tree.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from gateway.audit.checkpoint import Checkpoint, Signer
from gateway.audit.replicate import Replicator
from gateway.audit.segment import Disk
from gateway.audit.tiles import TileWriter
from gateway.audit.writer import NO_SPACE, Writer

_QUORUM_S = 60.0
"""Longer than any deadline of a quorum."""


class Publisher:
    """Signs for one writer. `signed` is the last head that is on disk, None before the first.

    `on_failure` is called on the publisher's thread with what ended it.
    """

    def __init__(
        self,
        directory: Path,
        key: Signer,
        disk: Disk,
        writer: Writer,
        reserve_bytes: int,
        interval_s: float,
        on_failure: Callable[[BaseException], None],
        replicator: Replicator | None = None,
    ) -> None:
        self.signed: Checkpoint | None = None
        self.tiles = TileWriter(directory, disk)
        self._directory, self._key, self._disk, self._writer = directory, key, disk, writer
        self._reserve_bytes, self._interval_s, self._on_failure = reserve_bytes, interval_s, on_failure
        self._replicator = replicator
        self._news = threading.Event()
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="audit-signer", daemon=True)

    def notify(self) -> None:
        """There is something to sign."""
        if not self._news.is_set():
            self._news.set()

    def use(self, key: Signer) -> None:
        """Sign with that key from now on; the head on disk stays as it is until there is news."""
        with self._mutex:
            self._key = key

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Signs nothing more."""
        self._stop.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join()

    def publish(self) -> None:
        """Sign what is durable now; refuse work while there is no space for doing so. Raises `OSError`."""
        with self._mutex:
            if self._writer.failure is not None:
                return
            hashes, size, root = self._writer.take_unsigned()
            self.tiles.add(hashes)
            if self._replicator is not None and not self._replicator.wait(size, _QUORUM_S):
                # the log is about to fail, or fails already: what no quorum has is not signed
                return
            try:
                self.tiles.write()
                if self.signed is None or size != self.signed.size:
                    head = Checkpoint(self._key.verifier.name, size, root)
                    note = self._key.sign(head.text()).encode()
                    self._disk.replace(self._directory / "checkpoint", note, durable=True)
                    self.signed = head
                    if self._replicator is not None:
                        self._replicator.sign(size, note.decode())
                    self.tiles.discard_old()
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                self._writer.refusing = "the audit trail has no space left"
                return
            if self._disk.free(self._directory) < self._reserve_bytes:
                self._writer.refusing = "the audit trail's disk is nearly full"
            elif self._writer.make_spare():
                self._writer.refusing = ""

    def _run(self) -> None:
        try:
            while True:
                self._news.wait(self._interval_s if self._writer.refusing else None)
                # what else becomes durable within the interval is signed together with the first
                if self._stop.wait(self._interval_s) or self._writer.failure is not None:
                    return
                self._news.clear()
                self.publish()
        except Exception as error:  # FAIL CLOSED: a trail that cannot be signed is not written either
            self._on_failure(error)
