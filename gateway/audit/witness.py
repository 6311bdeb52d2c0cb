"""A witness: run elsewhere, it remembers the last tree head of a log and accepts only heads that continue it.

It needs what a stranger may see: checkpoints, hash tiles and rotations of the key (c2sp.org/tlog-checkpoint,
c2sp.org/tlog-tiles), no records. From them it proves that the tree it knows is a prefix of the new one (RFC 6962,
2.1.2), follows changes of the key, and, with a key of its own, cosigns (c2sp.org/tlog-cosignature).

    fork       a head that a key of the log signed does not continue what was seen before
    rollback   a head is smaller than one that was seen before
    forged     a head is not signed by the key that is in force, or the tiles do not lead to what was signed
    silent     the log has not grown for too long, or could not be reached

INVARIANT: the state moves only to a head that continues the one in it, and is on disk before the head is cosigned or
spoken of. A head that does not continue it is kept beside the state as evidence, and never forgotten by a better one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gateway.audit.checkpoint import Checkpoint, Verifier, head_of, note_parts, signers_of
from gateway.audit.cosignature import Cosigner
from gateway.audit.rotation import Rotation, rotations_of
from gateway.audit.segment import Disk
from gateway.audit.tiles import TileReader
from gateway.audit.tree import (
    consistency_proof,
    frontier_of,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

FORMAT = "gateway-audit-witness/1"
FORK, ROLLBACK, FORGED, SILENT = "fork", "rollback", "forged", "silent"
_EVIDENCE = 100
TAMPERING = frozenset({FORK, ROLLBACK, FORGED})


class Source(Protocol):
    """Where a log can be seen. `read` raises `FileNotFoundError` for what is not there, and `OSError`."""

    def read(self, path: Path) -> bytes:
        """The file at that path below the log's prefix: `checkpoint`, `rotations`, `tile/…`."""
        ...


class Copy:
    """The log in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, path: Path) -> bytes:
        """See `Source`."""
        return (self._directory / path).read_bytes()


@dataclass(frozen=True, slots=True)
class Memory:
    """What the witness knows. `first` is the key that it was given, `key` the one in force; `grew` and `seen` are when
    the head last changed and was last confirmed, in seconds since 1970; `alarm` is what is wrong, empty for nothing."""

    first: Verifier
    key: Verifier
    note: str
    grew: int
    seen: int
    alarm: str = ""

    @property
    def head(self) -> Checkpoint | None:
        """The last head that was accepted."""
        return head_of(note_parts(self.note)[0], self.key.name) if self.note else None

    def encoded(self) -> bytes:
        """The state file's content."""
        fields = {
            "format": FORMAT,
            "first_key": self.first.text,
            "key": self.key.text,
            "checkpoint": self.note,
            "grew": self.grew,
            "seen": self.seen,
            "alarm": self.alarm,
        }
        return (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look came to. `alarm` is empty when all is well; `what` says it in a sentence."""

    alarm: str
    what: str
    memory: Memory


class Suspicion(Exception):
    """A head that must not be believed: what it is a case of, and why."""

    def __init__(self, alarm: str, what: str) -> None:
        super().__init__(what)
        self.alarm, self.what = alarm, what


def load_memory(path: Path) -> Memory | None:
    """The state in that file, None when there is none. Raises `OSError`, and `ValueError` when it is malformed."""
    if not path.exists():
        return None
    fields = json.loads(path.read_bytes())
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError("not the state of a witness")
    try:
        texts = [fields[name] for name in ("first_key", "key", "checkpoint", "alarm")]
        times = [fields[name] for name in ("grew", "seen")]
    except KeyError as error:
        raise ValueError("not the state of a witness") from error
    if not all(type(text) is str for text in texts) or not all(type(time) is int for time in times):
        raise ValueError("not the state of a witness")
    grew, seen = times
    memory = Memory(Verifier.parse(texts[0]), Verifier.parse(texts[1]), texts[2], grew, seen, texts[3])
    if memory.first.name != memory.key.name or (memory.note and memory.key not in _signers(memory.note, memory.key)):
        raise ValueError("the state's checkpoint is not signed by its key")
    return memory


def look(
    source: Source,
    memory: Memory | None,
    first: Verifier | None,
    now: int,
    silence_s: float,
    save: Callable[[Memory], None],
    cosigner: Cosigner | None = None,
    suspect: Callable[[str], None] | None = None,
) -> Finding:
    """Look once. `save` puts what is known on disk, `suspect` keeps a note that must not be believed.

    Raises `ValueError` when there is neither a state nor a key to begin with, or they disagree; `OSError` from `save`.
    """
    if memory is None:
        if first is None:
            raise ValueError("the first look needs the log's public key")
        memory = Memory(first, first, "", now, now)
    elif first is not None and first not in (memory.first, memory.key):
        raise ValueError("the state was begun with another key")
    note = ""
    try:
        note = source.read(Path("checkpoint")).decode()
        memory = _accepted(source, memory, note, now)
    except Suspicion as suspicion:
        if suspect is not None:
            suspect(note)
        alarm, what = suspicion.alarm, suspicion.what
    except (OSError, UnicodeDecodeError) as error:
        alarm, what = "", f"the log cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        head = memory.head
        assert head is not None
        alarm, what = "", f"{head.size} records, root {head.root.hex()}"
        if cosigner is not None:
            # INVARIANT: what is cosigned is on disk first, so that a crash cannot make this sign two histories
            save(memory)
            memory = replace(memory, note=cosigner.cosigned(memory.note, now))
    if not alarm and now - memory.grew > silence_s:
        alarm, what = SILENT, f"no new head for {now - memory.grew} seconds; {what}"
    memory = replace(memory, alarm=alarm)
    save(memory)
    return Finding(alarm, what, memory)


def saver(path: Path, disk: Disk | None = None) -> Callable[[Memory], None]:
    """What `look` needs to keep the state in that file: written aside, flushed, renamed, flushed."""
    own = disk or Disk()
    return lambda memory: own.replace(path, memory.encoded(), durable=True)


def evidence_keeper(path: Path, now: Callable[[], int]) -> Callable[[str], None]:
    """Keeps each note that must not be believed once, beside the state of that path."""

    def keep(note: str) -> None:
        folder = path.with_name(f"{path.name}.evidence")
        folder.mkdir(mode=0o700, exist_ok=True)
        kept = [file.read_bytes() for file in folder.iterdir()]
        # whoever can show false heads can show many; the first ones say enough
        if note.encode() not in kept and len(kept) < _EVIDENCE:
            Disk().replace(folder / f"{now()}-{os.getpid()}", note.encode(), durable=True)

    return keep


def _accepted(source: Source, memory: Memory, note: str, now: int) -> Memory:
    """What is known once the note is believed. Raises `Suspicion`, and `OSError` when a file cannot be had."""
    rotations = _rotations_since(source, memory, note)
    known = [memory.key, *(rotation.new for rotation in rotations)]
    try:
        text, signers = signers_of(note, known)
        head = head_of(text, memory.key.name)
    except ValueError as error:
        raise Suspicion(FORGED, f"the checkpoint cannot be believed: {error}") from error
    passed = [rotation for rotation in rotations if rotation.index < head.size]
    key = passed[-1].new if passed else memory.key
    if key not in signers:
        raise Suspicion(FORGED, f"the checkpoint of {head.size} records is not signed by the key that is in force")
    old = memory.head
    nodes = TileReader(Path(), head.size, source.read).node
    if old is None:
        # the first head is believed by its signature; the tiles must lead to it
        _compare(lambda: frontier_of(head.size, nodes).root() == head.root, FORGED, "the tiles do not lead to the root")
    else:
        _continues(old, head, nodes)
    for rotation in passed:
        digest = leaf_hash(rotation.leaf)
        _compare(
            lambda r=rotation, d=digest: (  # type: ignore[misc]
                (old is None or r.index >= old.size)
                and verify_inclusion(r.index, head.size, d, inclusion_proof(r.index, head.size, nodes), head.root)
            ),
            FORGED,
            f"the change of the key at record {rotation.index} is not in the tree",
        )
    if old is not None and head == old:
        return replace(memory, seen=now)
    return replace(memory, key=key, note=note, grew=now, seen=now)


def _continues(old: Checkpoint, head: Checkpoint, nodes: Callable[[int, int], bytes]) -> None:
    if head.size < old.size:
        raise Suspicion(ROLLBACK, f"the log signs {head.size} records, and has signed {old.size} before")
    if head.size == old.size:
        if head.root != old.root:
            raise Suspicion(FORK, f"the log signs two different trees of {head.size} records")
        return
    _compare(lambda: frontier_of(head.size, nodes).root() == head.root, FORGED, "the tiles do not lead to the root")
    _compare(
        lambda: verify_consistency(
            old.size, head.size, old.root, head.root, consistency_proof(old.size, head.size, nodes)
        ),
        FORK,
        f"the tree of {head.size} records does not continue the one of {old.size} that was signed before",
    )


def _compare(fits: Callable[[], bool], alarm: str, what: str) -> None:
    try:
        good = fits()
    except ValueError as error:
        # a tile is missing or too short: of a signed head none may be
        raise Suspicion(FORGED, f"{what}: {error}") from error
    if not good:
        raise Suspicion(alarm, what)


def _rotations_since(source: Source, memory: Memory, note: str) -> list[Rotation]:
    """The rotations that lead on from the key that is known, when the note is not signed by it."""
    if memory.key in _signers(note, memory.key):
        return []
    try:
        found = rotations_of(source.read(Path("rotations")), memory.key.name)
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise Suspicion(FORGED, f"the changes of the key cannot be believed: {error}") from error
    start = next((at for at, rotation in enumerate(found) if rotation.old == memory.key), len(found))
    return found[start:]


def _signers(note: str, key: Verifier) -> list[Verifier]:
    try:
        return signers_of(note, (key,))[1]
    except ValueError:
        return []
