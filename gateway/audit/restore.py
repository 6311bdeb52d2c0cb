"""A log's directory made again from its copy on the PostgreSQL servers, after its own disk was lost.

The copy says what the leaves are; their tree says whether it can be believed: every batch has to lead to the root that
was kept with it, and the signed head, verified with the log's public key, has to be the root of that many of them.

Where the copy was pruned, it has hashes in place of records. The log then begins where a signed record of a pruning
says that it may (`pruning.py`), the earliest that leaves no gap; and a segment begins wherever such a record says that
the log began or was to begin, since that is how the records' word is checked.

INVARIANT: nothing is written to a directory that has a log already, and a log that was not verified whole gets no name:
it is made beside its place, and moved there at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gateway.audit.checkpoint import Checkpoint, Verifier, head_of, signers_of
from gateway.audit.encode import record_of
from gateway.audit.pruning import Pruning, keep_pruning, pruning_of
from gateway.audit.quorum import Connection, Head, Lost, Refused, Row
from gateway.audit.rotation import keep_rotation, rotation_of
from gateway.audit.segment import Damaged, Disk, segments_of
from gateway.audit.tiles import TileWriter
from gateway.audit.tree import EMPTY_ROOT, Frontier
from gateway.audit.writer import Writer
from gateway.audit_settings import Replica
from gateway.errors import GatewayError

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0
_TILES_AT_ONCE = 1 << 16
_BRACKETS = frozenset({"statement.begin", "statement.end", "statement.unknown"})


def restore(directory: Path, replica: Replica, origin: str, verifiers: tuple[Verifier, ...], segment_bytes: int) -> int:
    """Write the log anew; returns how many records it has. The gateway's next start recovers it as after a crash.

    `verifiers` are the log's public keys; one of them has to have signed the newest head. Raises `GatewayError`.
    """
    if segments_of(directory) or (directory / "checkpoint").exists():
        raise GatewayError(
            "configuration-invalid", f"there is a log in `{directory}` already", "move it away: nothing is overwritten"
        )
    place = directory.with_name(f"{directory.name}.restoring")
    with contextlib.ExitStack() as stack:
        connection, head = _longest(stack, replica, origin)
        try:
            # what an earlier try left, which was cut off
            shutil.rmtree(place, ignore_errors=True)
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            size = _restored(place, connection, head, origin, verifiers, segment_bytes)
            with contextlib.suppress(FileNotFoundError):
                (directory / "segments").rmdir()
            os.replace(place, directory)
            Disk().sync_directory(directory.parent)
        except (Lost, Refused) as error:
            raise GatewayError("audit-not-writable", "the copy cannot be read", detail=str(error)) from error
        except Damaged as error:
            raise GatewayError("audit-damaged", f"the copy cannot be believed: {error}") from error
        except OSError as error:
            raise GatewayError("audit-not-writable", f"`{directory}` cannot be written: {error.strerror}") from error
    return size


def _longest(stack: contextlib.ExitStack, replica: Replica, origin: str) -> tuple[Connection, Head]:
    """The server whose copy has most records: a standby that is behind would lose what was acknowledged."""
    found: list[tuple[Connection, Head]] = []
    problems: list[str] = []
    for host in replica.hosts:
        try:
            connection = Connection(replica, host, _CONNECT_S, writing=False)
            stack.callback(connection.close)
            head = connection.head(origin, time.monotonic() + _CONNECT_S)
        except (Lost, Refused) as error:
            problems.append(str(error))
            continue
        if head is not None and head.size:
            found.append((connection, head))
    if found:
        return max(found, key=lambda one: one[1].size)
    if len(problems) < len(replica.hosts):
        raise GatewayError("not-found", f"there is no copy of a log `{origin}`")
    raise GatewayError("audit-not-writable", "no server of the copy can be read", detail="; ".join(problems))


def _restored(
    directory: Path,
    connection: Connection,
    head: Head,
    origin: str,
    verifiers: tuple[Verifier, ...],
    segment_bytes: int,
) -> int:
    if not head.note:
        raise GatewayError("audit-damaged", "the copy has no signed head: it cannot be told from a forgery")
    try:
        text, _ = signers_of(head.note, verifiers)
        signed = head_of(text, origin)
    except ValueError as error:
        raise GatewayError("audit-damaged", f"the copy's signed head cannot be believed: {error}") from error
    if signed.size > head.size:
        raise GatewayError("audit-damaged", "the copy has fewer records than were signed")
    (directory / "segments").mkdir(mode=0o700, parents=True)
    directory.chmod(0o700)
    survey = _surveyed(_rows(connection, origin, head.size), origin)
    pruning = survey.beginning(signed.size)
    begin, cuts = 0 if pruning is None else pruning.to, {one.to for one in survey.prunings}
    restoring = _Restoring(directory, origin, signed, begin, cuts, segment_bytes)
    try:
        for row in _rows(connection, origin, head.size):
            restoring.take(row)
        restoring.finish(head)
    finally:
        restoring.writer.release()
    if pruning is not None:
        keep_pruning(directory, pruning.leaf, signed, Disk())
    Disk().replace(directory / "checkpoint", head.note.encode(), durable=True)
    return head.size


@dataclass
class _Survey:
    """What a look through the copy tells, before anything of it is believed: from `kept` on it has all records."""

    kept: int = 0
    prunings: list[Pruning] = field(default_factory=list)

    def beginning(self, signed: int) -> Pruning | None:
        """The signed pruning that the log may begin with; None if it begins at 0. Raises `GatewayError`."""
        if not self.kept:
            return None
        allowed = [one for one in self.prunings if one.index < signed and one.to >= self.kept]
        if not allowed:
            raise GatewayError(
                "audit-damaged", f"the copy has no records before {self.kept}, and no signed record let them go"
            )
        return min(allowed, key=lambda one: (one.to, -one.index))


def _surveyed(rows: Iterator[Row], origin: str) -> _Survey:
    survey = _Survey()
    for row in rows:
        if not row.leaves:
            survey.kept = row.size
        for leaf in row.leaves:
            if b'"kind":"log.pruned"' in leaf:
                try:
                    survey.prunings.append(pruning_of(leaf, origin))
                except ValueError as error:
                    raise GatewayError("audit-damaged", f"the copy's record of a pruning: {error}") from error
    return survey


class _Restoring:
    """A log that is written anew, from the record `begin` on; a segment begins at each of `cuts`."""

    def __init__(
        self, directory: Path, origin: str, signed: Checkpoint, begin: int, cuts: set[int], segment_bytes: int
    ) -> None:
        self._directory, self._origin, self._signed, self._begin, self._cuts = directory, origin, signed, begin, cuts
        self.writer = Writer(directory, origin, Disk(), segment_bytes, -1, lambda: None, lambda _: None, compiled=False)
        self._tree, self._tiles = Frontier(), TileWriter(directory, Disk())
        self._written = 0
        self._met = signed.size == 0 and signed.root == EMPTY_ROOT
        if begin == 0:
            self.writer.begin()

    def take(self, row: Row) -> None:
        """The next batch. Raises `GatewayError` and `OSError`."""
        beginning = self._check(row)
        self._tiles.add(row.hashes[: max(0, self._signed.size - row.first)])
        if self._tiles.size - self._written >= _TILES_AT_ONCE:
            self._write_tiles()
        for leaf in row.leaves:
            if b'"kind":"log.rotation"' in leaf:
                keep_rotation(self._directory, rotation_of(leaf, self._origin), Disk())
        edges = sorted({row.first, row.size, *(cut for cut in self._cuts if row.first < cut < row.size)})
        for start, end in pairwise(edges):
            if start < self._begin:
                continue
            if start == self._begin and beginning is not None:
                self.writer.begin(beginning)
            elif start in self._cuts and start > self._begin:
                self.writer.roll()
            self.writer.make_spare()
            leaves = row.leaves[start - row.first : end - row.first]
            _note(self.writer, start, leaves)
            self.writer.commit(leaves)

    def finish(self, head: Head) -> None:
        """See that all of it leads to that head. Raises `GatewayError` and `OSError`."""
        if self._tree.size != head.size or self._tree.root() != head.root or not self._met:
            raise GatewayError("audit-damaged", "the copy's records do not lead to its head")
        self._write_tiles()

    def _write_tiles(self) -> None:
        self._tiles.write()
        self._tiles.discard_old()
        self._written = self._tiles.size

    def _check(self, row: Row) -> Frontier | None:
        """Add a batch to the tree; how the tree was at the log's beginning, if that is in it. Raises `GatewayError`."""
        beginning = None
        if row.first != self._tree.size or row.size != row.first + len(row.hashes):
            raise GatewayError("audit-damaged", f"the copy has a gap at record {self._tree.size}")
        for digest in row.hashes:
            if self._tree.size == self._begin > 0:
                beginning = self._tree.copy()
            if len(digest) != 32:
                raise GatewayError("audit-damaged", f"the copy's hashes from record {row.first} on are cut off")
            self._tree.push(digest)
            if self._tree.size == self._signed.size:
                if self._tree.root() != self._signed.root:
                    what = f"the first {self._signed.size} records of the copy are not those signed"
                    raise GatewayError("audit-damaged", what)
                self._met = True
        if self._tree.root() != row.root:
            raise GatewayError("audit-damaged", f"the copy's records {row.first} to {row.size - 1} are not its own")
        return beginning


def _rows(connection: Connection, origin: str, size: int) -> Iterator[Row]:
    try:
        for row in connection.batches(origin, 0, _TIMEOUT_S):
            if row.first >= size:
                return
            yield row
    except ValueError as error:
        raise GatewayError("audit-damaged", str(error)) from error


def _note(writer: Writer, first: int, leaves: tuple[bytes, ...]) -> None:
    """Tell the writer which statements begin and end, so that its segments say where a recovery has to begin."""
    for index, leaf in enumerate(leaves, first):
        if b'"kind":"statement.' not in leaf:
            continue
        record = record_of(leaf)
        if record.get("kind") in _BRACKETS:
            writer.note((index, (record["kind"], record.get("session", ""), record.get("statement", ""))))
