"""What a trail is without its oldest records: how they go, and how it is told from a trail that somebody cut.

Whole segments go, from the beginning, never a record out of one. The trail then begins at a minimum index (as of
c2sp.org/tlog-tiles); the hashes of all leaves stay in the tiles, so the root is what it was, and proofs of what is kept
stay what they were. What is gone is named by a record, `log.pruned`, which stands among what is kept and is signed:

    from, to      the records from `from` up to `to` went; the trail begins at `to`
    root          of the tree of the first `to` records
    before        they were all recorded before that moment
    rule          the setting that let them go

The newest of those records counts. One that was not carried out, because a hold was set meanwhile or a crash came, is
followed by another that takes it back (`to` is what the log begins with), so that it excuses nothing later.

Steps, each of which may be the last before a crash: (1) the record is durable, (2) a signed head covers it, (3) its
leaf is kept in the file `pruned`, by which a start and the index know it, (4) the segments go, the oldest first. A
start that finds (3) done does (4); before that, the next look takes the record back and decides anew.

INVARIANT: no segment goes before a signed record says that it may; one that went without it stops the start, and
`verify.py` names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.audit.checkpoint import Checkpoint
from gateway.audit.cold import cold_path
from gateway.audit.encode import record_of
from gateway.audit.segment import Damaged, Disk, read_batches, segments_of
from gateway.audit.tiles import WIDTH, TileReader, tile_path
from gateway.audit.tree import frontier_of, inclusion_proof, leaf_hash, verify_inclusion
from gateway.record import event

KIND = "log.pruned"
FILE = "pruned"


@dataclass(frozen=True, slots=True)
class Pruning:
    """The record `index` says that the trail begins at `to`, the tree up to there having that root; `leaf` is it."""

    index: int
    to: int
    root: bytes
    leaf: bytes


def pruning_of(leaf: bytes, origin: str) -> Pruning:
    """The pruning that a leaf records. Raises `ValueError`."""
    record = record_of(leaf)
    index, to, root = record.get("index"), record.get("to"), record.get("root")
    if record.get("kind") != KIND or record.get("origin") != origin or not isinstance(root, str) or len(root) != 64:
        raise ValueError("not the record of a pruning of this log")
    if type(index) is not int or type(to) is not int or not 0 <= to <= index:
        raise ValueError("not the record of a pruning of this log")
    return Pruning(index, to, bytes.fromhex(root), leaf)


def pruning_record(directory: Path, size: int, to: int, before: datetime, rule: str) -> dict[str, Any]:
    """The record that lets the segments before `to` go, from the tiles of the tree of `size`. Raises `ValueError`."""
    root = frontier_of(to, TileReader(directory, size).node).root().hex()
    where = {"from": segments_of(directory)[0][0], "to": to}
    return event(KIND, **where, root=root, before=before.isoformat(), rule=rule)


def kept_pruning(directory: Path, origin: str) -> Pruning | None:
    """The last pruning, as the file has it. Raises `Damaged`, and `OSError`."""
    try:
        data = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        if data[-1:] != b"\n":
            raise ValueError("the file is cut off")
        return pruning_of(data[:-1], origin)
    except ValueError as error:
        raise Damaged(f"what was pruned cannot be believed: {error}", 0) from error


def minimum_of(directory: Path, origin: str) -> int:
    """The index of the first record that the trail still has to have. Raises `Damaged`, and `OSError`."""
    pruning = kept_pruning(directory, origin)
    return 0 if pruning is None else pruning.to


def keep_pruning(directory: Path, leaf: bytes, head: Checkpoint, disk: Disk) -> Pruning:
    """Keep the leaf of a pruning that the head covers, durably. Raises `Damaged` and `OSError`."""
    pruning = pruning_of(leaf, head.origin)
    check_pruning(directory, pruning, head)
    disk.replace(directory / FILE, leaf + b"\n", durable=True)
    return pruning


def check_pruning(directory: Path, pruning: Pruning, head: Checkpoint) -> None:
    """That the record is in the tree of that head, and means that tree. Raises `Damaged`, and `OSError`."""
    nodes = TileReader(directory, head.size).node
    try:
        path = inclusion_proof(pruning.index, head.size, nodes)
        fits = verify_inclusion(pruning.index, head.size, leaf_hash(pruning.leaf), path, head.root)
        fits = fits and frontier_of(pruning.to, nodes).root() == pruning.root
    except ValueError as error:
        raise Damaged(f"what was pruned cannot be compared with the tree: {error}", pruning.to) from error
    if not fits:
        raise Damaged("what was pruned is not what was recorded and signed", pruning.to)


def remove_pruned(directory: Path, pruning: Pruning, disk: Disk) -> int:
    """Remove the segments that may go; how many did. Raises `OSError`."""
    gone = [path for first, path in segments_of(directory) if first < pruning.to]
    # the hot file of a segment counts where there are two, so it goes last
    disk.remove([twin for path in gone for twin in (cold_path(path), path)])
    return len(gone)


def leaf_of_record(directory: Path, index: int) -> bytes:
    """The leaf of that index, which is durable. Raises `Damaged`, and `OSError`."""
    found = [(first, path) for first, path in segments_of(directory) if first <= index]
    for batch in read_batches(found[-1][1], found[-1][0]) if found else ():
        if batch.size > index:
            return batch.leaves[index - batch.first]
    raise Damaged(f"record {index} cannot be read", index)


def may_begin_at(size: int, first: int) -> bool:
    """Whether the tile that holds the hash of that leaf is full in the tree of `size`, and so durable and final."""
    return (first // WIDTH + 1) * WIDTH <= size


def kept_hashes(directory: Path, size: int, start: int = 0) -> Iterator[list[bytes]]:
    """The leaf hashes of the records from `start` up to `size`, from the tiles, which are full, tile by tile.

    Raises `Damaged`, and `OSError`.
    """
    for first in range(start // WIDTH * WIDTH, size, WIDTH):
        path = tile_path(directory, 0, first // WIDTH)
        data = path.read_bytes() if path.exists() else b""
        if len(data) != 32 * WIDTH:
            raise Damaged(f"the tile 0/{first // WIDTH}, of which the records were pruned, is missing", first)
        yield [data[at : at + 32] for at in range(32 * max(0, start - first), 32 * min(WIDTH, size - first), 32)]
