"""Opening a log again: what is durable, what was torn off, and which statements never got their end record.

Recovery is the normal path: a clean start is a recovery that finds nothing to mend. It reads from the segment that
holds both the signed tree head and the oldest statement that may still be open (each segment's header names it), so
its work is bounded by what happened since, and its memory by the number of open statements.

INVARIANT: what lies beyond the last commit was never acknowledged and is cut; anything else that does not check
stops the start, because to mend it would be to edit the trail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from gateway.audit.checkpoint import Checkpoint, Verifier, head_of, signers_of
from gateway.audit.encode import record_of
from gateway.audit.pruning import kept_hashes, minimum_of
from gateway.audit.rotation import Rotation, in_force, kept_rotations, rotation_of
from gateway.audit.segment import (
    HEADER_BYTES,
    Batch,
    Damaged,
    Header,
    read_batches,
    read_header,
    read_tail,
    segments_of,
)
from gateway.audit.tree import EMPTY_ROOT, Frontier, leaf_hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OpenStatement:
    """A statement whose end is not in the log. `rows` and `bytes` are the ceiling of what may have been released."""

    session: str
    statement: str
    begin: int
    rows: int
    bytes: int


@dataclass(slots=True)
class State:
    """The log as it stands on disk. `unsigned` are the hashes of the leaves beyond the signed tree head, `last_us` the
    time of the last record in microseconds since 1970; `verifier` is the key that signs from here on, and `rotations`
    those that are recorded but kept nowhere else yet."""

    verifier: Verifier
    frontier: Frontier = field(default_factory=Frontier)
    path: Path | None = None
    offset: int = HEADER_BYTES
    cut_bytes: int = 0
    signed: Checkpoint | None = None
    rotations: list[Rotation] = field(default_factory=list)
    unsigned: list[bytes] = field(default_factory=list)
    open: dict[tuple[str, str], OpenStatement] = field(default_factory=dict)
    last_us: int = 0


def read_state(directory: Path, origin: str, *verifiers: Verifier) -> State:
    """What a writer with those keys finds in the directory. Changes nothing. Raises `Damaged`."""
    segments = segments_of(directory)
    kept = kept_rotations(directory, origin)
    signed, signer = _signed(directory, verifiers, kept)
    if not segments:
        if signed is not None:
            raise Damaged("there is a checkpoint but no segment", 0)
        return State(verifier=signer)
    _check_sequence(segments, origin, minimum_of(directory, origin))
    last_first, last_path = segments[-1]
    header = read_header(last_path, last_first)
    wanted = min(header.scan_from, max(last_first - 1, 0), signed.size if signed else 0)
    # nothing is pruned that this would be in need of, see `ageing.py`
    position = max((i for i, (first, _) in enumerate(segments) if first <= wanted), default=0)
    state = State(
        frontier=read_header(segments[position][1], segments[position][0]).frontier, signed=signed, verifier=signer
    )
    checked, size = signed is None, 0
    ends = [first for first, _ in segments[position + 1 :]]
    for (first, path), end in zip_longest(segments[position:], ends):
        if read_header(path, first).frontier.subtrees != state.frontier.subtrees:
            raise Damaged(f"{path.name} does not continue the tree before it", first)
        checked |= _check_signed(state)
        state.path, state.offset = path, HEADER_BYTES
        for batch in read_batches(path, first):
            checked |= _take(state, batch, header)
        _check_tail(state, path, last=end is None)
        size = state.frontier.size
        if end is not None and size != end:
            raise Damaged(f"{path.name} ends before record {size}, the next segment begins at {end}", size)
    if not checked and signed is not None:
        raise Damaged(f"the log ends before record {size}, but a tree of {signed.size} was signed", size)
    if signed is None and size:
        raise Damaged("there are records but no checkpoint", 0)
    if state.verifier not in verifiers:
        raise Damaged("the key was changed, and the one that follows is not at hand", size)
    if len(kept) and kept[-1].index >= size:
        raise Damaged(f"the log ends before record {kept[-1].index}, which changed the key", size)
    return state


def leaf_hashes(directory: Path) -> Iterator[list[bytes]]:
    """The hashes of all committed leaves, batch by batch, for rebuilding what is derived from them.

    Of leaves that were pruned they are read from the tiles. Raises `Damaged`, and `OSError`.
    """
    segments = segments_of(directory)
    if segments and segments[0][0]:
        frontier = Frontier()
        for hashes in kept_hashes(directory, segments[0][0]):
            for digest in hashes:
                frontier.push(digest)
            yield hashes
        if frontier.subtrees != read_header(segments[0][1], segments[0][0]).frontier.subtrees:
            raise Damaged("the tiles of what was pruned are not those of the records", 0)
    for first, path in segments:
        for batch in read_batches(path, first):
            yield [leaf_hash(leaf) for leaf in batch.leaves]


def follow(open_statements: dict[tuple[str, str], OpenStatement], index: int, record: dict[str, Any]) -> None:
    """Note what one record means for the statements that are open."""
    key = (str(record.get("session", "")), str(record.get("statement", "")))
    match record.get("kind"):
        case "statement.begin":
            open_statements[key] = OpenStatement(
                *key, index, int(record.get("window_rows", 0)), int(record.get("window_bytes", 0))
            )
        case "statement.window" if key in open_statements:
            statement = open_statements[key]
            statement.rows = max(statement.rows, int(record.get("window_rows", 0)))
            statement.bytes = max(statement.bytes, int(record.get("window_bytes", 0)))
        case "statement.end" | "statement.unknown":
            open_statements.pop(key, None)


def _signed(
    directory: Path, verifiers: tuple[Verifier, ...], kept: list[Rotation]
) -> tuple[Checkpoint | None, Verifier]:
    """The signed tree head and the key that signed it, which must be the one that was in force at its size."""
    path = directory / "checkpoint"
    if not path.exists():
        return None, verifiers[0]
    try:
        text, signers = signers_of(path.read_bytes().decode(), verifiers)
        head = head_of(text, verifiers[0].name)
    except ValueError as error:
        raise Damaged(f"the checkpoint cannot be believed: {error}", 0) from error
    expected = in_force(kept, head.size)
    if expected is None and kept:
        expected = kept[0].old
    for signer in signers:
        if expected is None or signer == expected:
            return head, signer
    raise Damaged("the checkpoint cannot be believed: it is not signed by the key that was in force", 0)


def _check_sequence(segments: list[tuple[int, Path]], origin: str, minimum: int) -> None:
    if segments[0][0] > minimum:
        raise Damaged(f"the segment that holds record {minimum} is missing", minimum)
    header: Header = read_header(segments[-1][1], segments[-1][0])
    if header.origin != origin:
        raise Damaged(f"the segments are of the log `{header.origin}`, not `{origin}`", 0)


def _take(state: State, batch: Batch, header: Header) -> bool:
    """Add a batch to the state; whether the signed tree head was met, and fits, inside it."""
    met = False
    for index, leaf in enumerate(batch.leaves, batch.first):
        digest = leaf_hash(leaf)
        state.frontier.push(digest)
        if state.signed is not None and index >= state.signed.size:
            state.unsigned.append(digest)
        met |= _check_signed(state)
        try:
            if index >= header.scan_from and b'"kind":"statement.' in leaf:
                follow(state.open, index, record_of(leaf))
            if state.signed is not None and index >= state.signed.size and b'"kind":"log.rotation"' in leaf:
                _rotate(state, index, rotation_of(leaf, header.origin))
            if index == batch.size - 1:
                state.last_us = _microseconds(record_of(leaf)["time"])
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"record {index} is not one that this log writes", index) from error
    if state.frontier.root() != batch.root:
        raise Damaged(f"the records {batch.first} to {batch.size - 1} do not fit their commit", batch.first)
    state.offset = batch.end
    return met


def _rotate(state: State, index: int, rotation: Rotation) -> None:
    if rotation.index != index or rotation.old != state.verifier:
        raise ValueError("it does not replace the key that was in force")
    state.verifier = rotation.new
    state.rotations.append(rotation)


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)


def _check_signed(state: State) -> bool:
    signed = state.signed
    if signed is None or state.frontier.size != signed.size:
        return False
    if (state.frontier.root() if signed.size else EMPTY_ROOT) != signed.root:
        raise Damaged(f"the first {signed.size} records are not those that were signed", 0)
    return True


def _check_tail(state: State, path: Path, *, last: bool) -> None:
    tail = read_tail(path, state.offset)
    if tail.clean:
        return
    if not last or tail.later_commit:
        raise Damaged(f"{path.name} is damaged at byte {state.offset}", state.frontier.size)
    state.cut_bytes = tail.dirty_bytes
