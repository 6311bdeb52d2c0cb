"""A log's directory made again from its copy on the PostgreSQL servers, after its own disk was lost.

The copy says what the leaves are; their tree says whether it can be believed: every batch has to lead to the root that
was kept with it, and the signed head, verified with the log's public key, has to be the root of that many of them.

INVARIANT: nothing is written to a directory that has a log already, and a log that was not verified whole gets no name:
it is made beside its place, and moved there at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.audit.checkpoint import Verifier, head_of, signers_of
from gateway.audit.encode import record_of
from gateway.audit.quorum import Connection, Head, Lost, Refused, Row
from gateway.audit.recovery import leaf_hashes
from gateway.audit.rotation import keep_rotation, rotation_of
from gateway.audit.segment import Disk, segments_of
from gateway.audit.tiles import TileWriter
from gateway.audit.tree import EMPTY_ROOT, Frontier, leaf_hash
from gateway.audit.writer import Writer
from gateway.config import Replica
from gateway.errors import GatewayError

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0
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
    writer = Writer(directory, origin, Disk(), segment_bytes, -1, lambda: None, lambda _: None, compiled=False)
    tree, met = Frontier(), signed.size == 0 and signed.root == EMPTY_ROOT
    try:
        writer.begin()
        for row in _rows(connection, origin, head.size):
            writer.make_spare()
            met |= _checked(row, tree, signed.size, signed.root)
            _note(writer, row)
            writer.commit(row.leaves)
            for leaf in row.leaves:
                if b'"kind":"log.rotation"' in leaf:
                    keep_rotation(directory, rotation_of(leaf, origin), Disk())
        if tree.size != head.size or tree.root() != head.root or not met:
            raise GatewayError("audit-damaged", "the copy's records do not lead to its head")
        _write_tiles(directory, signed.size)
        Disk().replace(directory / "checkpoint", head.note.encode(), durable=True)
    finally:
        writer.release()
    return tree.size


def _rows(connection: Connection, origin: str, size: int) -> Iterator[Row]:
    try:
        for row in connection.batches(origin, 0, _TIMEOUT_S):
            if row.first >= size:
                return
            yield row
    except ValueError as error:
        raise GatewayError("audit-damaged", str(error)) from error


def _checked(row: Row, tree: Frontier, signed: int, root: bytes) -> bool:
    """Add a batch to the tree; whether the signed head was met, and fits, inside it. Raises `GatewayError`."""
    met = False
    if row.first != tree.size or row.size != row.first + len(row.leaves):
        raise GatewayError("audit-damaged", f"the copy has a gap at record {tree.size}")
    for leaf in row.leaves:
        tree.push(leaf_hash(leaf))
        if tree.size == signed:
            if tree.root() != root:
                raise GatewayError("audit-damaged", f"the first {signed} records of the copy are not those signed")
            met = True
    if tree.root() != row.root:
        raise GatewayError("audit-damaged", f"the copy's records {row.first} to {row.size - 1} are not its own")
    return met


def _write_tiles(directory: Path, size: int) -> None:
    """The hashes that the signed head needs; the next start makes the rest."""
    tiles, left = TileWriter(directory, Disk()), size
    for hashes in leaf_hashes(directory):
        tiles.add(hashes[:left])
        tiles.write()
        left -= min(left, len(hashes))


def _note(writer: Writer, row: Row) -> None:
    """Tell the writer which statements begin and end, so that its segments say where a recovery has to begin."""
    for index, leaf in enumerate(row.leaves, row.first):
        if b'"kind":"statement.' not in leaf:
            continue
        record = record_of(leaf)
        if record.get("kind") in _BRACKETS:
            writer.note((index, (record["kind"], record.get("session", ""), record.get("statement", ""))))
