"""Checks a trail, a proof or an export, with nothing but its public key. Begin reading here if you trust nobody.

This file stands alone: Python's standard library and nothing of the gateway, so that it can be read in one sitting,
copied away from the machine that wrote the trail (`python verify.py DIRECTORY --key KEY`), and rewritten in another
language. It repeats the format that `log.py` describes, on purpose. Exit status: 0 verified, 3 something was changed,
2 it cannot be read.

What is checked, for a directory: the signature of the checkpoint, by the key that was in force at its size (a rotation
is a record that the old and the new key signed); each header, frame and commit; that each leaf is canonical JSON which
names its own place, this log, and a later time than its predecessor; that the tree over the leaves (RFC 6962) has the
root that was signed, and the one that a witness (a checkpoint kept elsewhere) remembers; that the tiles say the same;
and that nothing but zeros follows the last commit. So an edited, removed, swapped, doubled or cut-off record is found,
and, with a witness, a trail that was put back to an earlier state.

A trail may begin at a later record than 0, when its oldest segments were pruned: then the hashes of the leaves that are
gone are taken from the tiles, the root that was signed must come out all the same, so that what is there is exactly the
rest of that tree; and a record among that rest, `log.pruned`, under the signature, must have let them go.

What cannot be known from the files alone: whether records after the signed head were there (the head is at most a
second old while the gateway runs; `signed_size` says how far it reaches); whether the whole directory is an older copy,
without a witness; and, for who holds only a key that was stolen before it was replaced, whether all that followed the
theft was cut off and begun anew with it: so take the new key, or a witness, after a rotation.

To read: `verify_log`, `_read_batches` (one segment by itself), `_Walk` (the segments joined, the heads, the tiles),
`_Chain` (which key may sign what); then RFC 6962, RFC 8032 and base64 by the letter.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import fcntl
import gc
import hashlib
import json
import os
import struct
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

PROOF_FORMAT = "gateway-audit-proof/1"
EXPORT_FORMAT = "gateway-audit-export/1"
_HEADER_BYTES = 4_096
_HEADER = struct.Struct(">8sQQH")
_FRAME = struct.Struct(">4sII")
_COMMIT = struct.Struct(">QQ32s")
_COLD = struct.Struct(">8sQI")
_COLD_BLOCK = 256 << 10
_LEAF_LIMIT = 16_384
_HEADER_LIMIT = 4 << 20
_TILE_LEVELS = 8
_TILE = 1 << _TILE_LEVELS


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that an honest writer does not leave. `record` is the first index that cannot be vouched for."""

    record: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.record is None else f"record {self.record}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result. The records from `first` up to `size` were read, those up to `signed_size` are under the signature;
    `root` is the hexadecimal root that was signed. `record` is what a proof proves. Notes are harmless, problems never.
    """

    origin: str
    size: int
    signed_size: int
    root: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    record: dict[str, Any] | None = None
    first: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the trail."""
        return not self.problems


class _Bad(Exception):
    """`rough`: the record is only the first that may be the changed one; a tile can tell which it is."""

    def __init__(self, what: str, record: int | None = None, *, rough: bool = False) -> None:
        super().__init__(what, record)
        self.problem, self.rough = Problem(record, what), rough


def verify_log(directory: str | Path, public_key: str, *, witness: str | Path | None = None, jobs: int = 1) -> Report:
    """Check the trail in the directory against the verifier key `<name>+<key id>+<base64>`.

    `witness` is the path of a checkpoint of this log that was kept elsewhere, or of a witness's state. Reads it all,
    `jobs` segments at a time, and holds little more than those. Raises `ValueError` for a malformed key, `OSError` for
    a directory it cannot read.
    """
    place, given = Path(directory), _Key.parse(public_key)
    walk = _Walk(place, given.name)
    head: tuple[int, bytes] = (0, b"")
    problems: list[Problem] = []
    try:
        note = _text(place / "checkpoint", "the checkpoint")
        if (place / "rotations").exists():
            *walk.rotations, rest = (place / "rotations").read_bytes().split(b"\n")
            if rest or not walk.rotations:
                raise _Bad("`rotations` is cut off")
        chain = _Chain(given, walk.rotations)
        head = chain.checkpoint(note)
        walk.expected.append((*head, "signed"))
        if witness is not None:
            remembered = chain.checkpoint(_remembered(_text(Path(witness), "the witness")))
            walk.expected.append((*remembered, "remembered by the witness"))
            if remembered[0] > head[0]:
                raise _Bad(f"{remembered[0]} records were signed once, the checkpoint covers {head[0]}", head[0])
        walk.run(head[0], jobs)
    except _Bad as bad:
        problems.append(bad.problem)
    return Report(given.name, walk.size, head[0], head[1].hex(), tuple(problems), tuple(walk.notes), first=walk.first)


def verify_proof(file: str | Path, public_key: str) -> Report:
    """Check a proof file: that its record is in the tree that its checkpoint signs.

    Raises `ValueError` for a malformed key, `OSError` for a file it cannot read.
    """
    given = _Key.parse(public_key)
    data = Path(file).read_bytes()
    head: tuple[int, bytes] = (0, b"")
    try:
        proof = _json(data, "the proof")
        if proof.keys() - {"rotations"} != {"checkpoint", "format", "index", "leaf", "path"}:
            raise _Bad("not a proof of this format")
        if data != proof_bytes(proof) or proof["format"] != PROOF_FORMAT or type(proof["checkpoint"]) is not str:
            raise _Bad("not a proof of this format, or not in its canonical form")
        rotations = proof.get("rotations", [])
        if type(rotations) is not list or ("rotations" in proof and not rotations):
            raise _Bad("not a proof of this format")
        members = [_member(entry, {"index", "leaf", "path"}) for entry in rotations]
        head = _Chain(given, [leaf for _, leaf, _ in members]).checkpoint(proof["checkpoint"])
        if proof["checkpoint"].count("\n") != 5:
            raise _Bad("the checkpoint in a proof carries one signature")
        wanted = _member(proof, proof.keys())
        for index, leaf, path in [*members, wanted]:
            if not _included(index, head[0], _leaf_hash(leaf), path, head[1]):
                raise _Bad("the record is not in the signed tree", index)
        record = _record(wanted[1], wanted[0], given.name)
    except _Bad as bad:
        return Report(given.name, 0, head[0], head[1].hex(), (bad.problem,))
    return Report(given.name, 1, head[0], head[1].hex(), record=record)


def verify_export(file: str | Path, public_key: str) -> Report:
    """Check an export: that its lines are all records of the stretch of the log that it names, and of the time.

    The first line says which (`_Export`); then one leaf a line; the last line is the answer, of which this says
    nothing: anybody can work it out again from the leaves. Raises `ValueError` for a malformed key, `OSError` for a
    file it cannot read.
    """
    given = _Key.parse(public_key)
    head: tuple[int, bytes] = (0, b"")
    size, last = 0, ""
    try:
        with Path(file).open("rb") as lines:
            export = _Export.parse(_line(lines.readline(_HEADER_LIMIT), "the export"))
            head = _Chain(given, [leaf for _, leaf, _ in export.rotations]).checkpoint(export.checkpoint)
            export.check(head, given.name)
            for index in range(export.first, export.end):
                line = lines.readline(_LEAF_LIMIT + 2)
                if line[-1:] != b"\n":
                    raise _Bad("the export ends here, or the line is too long", index)
                time = str(_record(line[:-1], index, given.name)["time"])
                if not last < time:
                    raise _Bad("its time is not later than that of the record before it", index)
                if not export.since <= time < (export.until or "~"):
                    raise _Bad("it is not of the time that the export is of", index)
                export.stretch.add(0, _leaf_hash(line[:-1]))
                size, last = size + 1, time
            if export.root(head[0]) != head[1]:
                raise _Bad("the records are not those that were signed: one was changed, left out or added")
            if _line(lines.read(_HEADER_LIMIT << 4), "the last line").keys() != {"answer"}:
                raise _Bad("the export has no answer behind its records")
    except _Bad as bad:
        return Report(given.name, size, head[0], head[1].hex(), (bad.problem,))
    notes = [f"all records from {export.first} up to {export.end}, of {head[0]} signed, and no other"]
    if export.pruned is not None:
        notes.append(f"what was recorded before {export.first} was pruned, as record {export.pruned[0]} says")
    return Report(given.name, size, head[0], head[1].hex(), (), tuple(notes))


def open_head(note: str, public_key: str, rotations: Iterable[bytes] = ()) -> tuple[int, bytes]:
    """Size and root of a checkpoint; `rotations` are the leaves that changed the key. Raises `ValueError`."""
    try:
        return _Chain(_Key.parse(public_key), rotations).checkpoint(note)
    except _Bad as bad:
        raise ValueError(bad.problem.what) from None


def proof_bytes(proof: dict[str, Any]) -> bytes:
    """The one spelling of a proof file."""
    return (json.dumps(proof, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode(errors="surrogatepass")


# -- the segments: each is judged on its own first, by the tree that its header says was there before it


@dataclass(slots=True)
class _Segment:
    """What one segment says. `header` are its first bytes, `hashes` those of its leaves, `tops` the roots of the tiles
    that get full in it, `first` and `last` its times, `opened` and `closed` the statements that begin and end in it,
    `rotations` its changes of key, `prunings` what it says was pruned."""

    header: bytes
    hashes: list[bytes] = field(default_factory=list)
    tops: list[bytes] = field(default_factory=list)
    first: str = ""
    last: str = ""
    rotations: list[bytes] = field(default_factory=list)
    prunings: list[bytes] = field(default_factory=list)
    opened: dict[tuple[str, str], int] = field(default_factory=dict)
    closed: set[tuple[str, str]] = field(default_factory=set)
    bad: _Bad | None = None


def _read_segment(path: Path, origin: str) -> _Segment:
    found = _Segment(b"")
    try:
        data = _content(path)
        found.header = data[:_HEADER_BYTES]
        _read_batches(found, data, path.name, origin)
    except _Bad as bad:
        # with its arguments only, because it may cross to another process
        found.bad = bad
    return found


def _content(path: Path) -> bytes:
    """The bytes of a segment, hot (`.log`) or cold (`.cold`, see `cold.py`)."""
    if path.suffix == ".log":
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
    data = path.with_suffix(".cold").read_bytes()
    first = int(path.stem) if path.stem.isdecimal() else None
    if len(data) < _COLD.size + 4:
        raise _Bad(f"{path.name} is cut off", first)
    magic, size, count = _COLD.unpack_from(data)
    at = _COLD.size + 4 * count
    head, lengths = data[:at], data[_COLD.size : at]
    if magic != b"GWCOLD01" or size > count * _COLD_BLOCK or struct.pack(">I", zlib.crc32(head)) != data[at : at + 4]:
        raise _Bad(f"{path.name} has a damaged head", first)
    at, parts = at + 4, []
    for number, (length,) in enumerate(struct.iter_unpack(">I", lengths)):
        wanted, stream = min(_COLD_BLOCK, size - number * _COLD_BLOCK), zlib.decompressobj()
        try:
            part = stream.decompress(data[at : at + length], wanted + 1) if wanted > 0 else b""
        except zlib.error:
            part = b""
        if not part or len(part) != wanted or not stream.eof or stream.unused_data:
            raise _Bad(f"{path.name} is damaged at byte {at}", first)
        at += length
        parts.append(part)
    if at != len(data) or sum(map(len, parts)) != size:
        raise _Bad(f"{path.name} is not as long as it says", first)
    return b"".join(parts)


def _read_batches(found: _Segment, data: bytes, name: str, origin: str) -> None:
    if len(data) < _HEADER_BYTES or not name[:20].isdecimal():
        raise _Bad(f"{name} is cut off, or not a segment", None)
    _, size, _, length = _HEADER.unpack_from(data)
    if size != int(name[:20]):
        # not the segment that must stand here, as `_Walk._join` will find by its header
        return
    at, start = _HEADER.size + length, _HEADER_BYTES
    # whose tree it is, and whether it is this header that must stand here, is judged by `_Walk._join` too
    subtrees = [data[at + 32 * i : at + 32 * (i + 1)] for i in range(size.bit_count())]
    at, batch = start, list[bytes]()
    while True:
        head = data[at : at + 12]
        if not batch and not any(head):
            break
        tag, length, crc = _FRAME.unpack(head.ljust(12))
        payload = data[at + 12 : at + 12 + length]
        fits = length <= _LEAF_LIMIT if tag == b"leaf" else tag == b"done" and length == _COMMIT.size
        if not fits or len(payload) != length or zlib.crc32(payload, zlib.crc32(head[:8])) != crc:
            raise _Bad(f"{name} is damaged at byte {at}", size + len(batch))
        at += 12 + length
        if tag == b"leaf":
            batch.append(payload)
            continue
        for leaf in batch:
            digest = _read_leaf(found, leaf, size, origin)
            # a subtree is complete as often as the number of leaves before ends in a binary one
            count = size & _TILE - 1
            if count == _TILE - 1:
                for _ in range(_TILE_LEVELS):
                    digest = _node(subtrees.pop(), digest)
                found.tops.append(digest)
                count = size >> _TILE_LEVELS
            while count & 1:
                digest, count = _node(subtrees.pop(), digest), count >> 1
            subtrees.append(digest)
            size += 1
        if not batch or _COMMIT.unpack(payload) != (start, size, _fold(subtrees)):
            what = f"the records {size - len(batch)} to {size - 1} are not those that were committed"
            raise _Bad(what, size - len(batch), rough=True)
        batch, start = [], at
    if data.count(0, at) != len(data) - at:
        raise _Bad(f"{name} has bytes after its last commit (a torn write, or an edit)", size)


def _read_leaf(found: _Segment, leaf: bytes, index: int, origin: str) -> bytes:
    digest = _leaf_hash(leaf)
    found.hashes.append(digest)
    record = _record(leaf, index, origin)
    kind, time = record.get("kind"), record["time"]
    if not found.last < time:
        raise _Bad("its time is not later than that of the record before it", index)
    found.first, found.last = found.first or time, time
    if kind == "statement.begin":
        found.opened[record.get("session", ""), record.get("statement", "")] = index
    elif kind in ("statement.end", "statement.unknown"):
        statement = record.get("session", ""), record.get("statement", "")
        if found.opened.pop(statement, None) is None:
            found.closed.add(statement)
    elif kind == "log.rotation":
        found.rotations.append(leaf)
    elif kind == "log.pruned":
        found.prunings.append(leaf)
    return digest


class _Walk:
    """Joins the segments, growing the tree, and compares it with everything that claims to describe it."""

    def __init__(self, directory: Path, origin: str) -> None:
        self.directory, self.origin = directory, origin
        self.size = self.first = 0
        self.notes: list[str] = []
        self.expected: list[tuple[int, bytes, str]] = []
        self.rotations: list[bytes] = []
        self._vouched = 0
        self._time = ""
        self._suspect: int | None = None
        self._open: dict[tuple[str, str], int] = {}
        self._open_before = 0
        self._roots: dict[int, str] = {}
        self._levels: list[list[bytes]] = [[]]
        self._tiles_seen: set[Path] = set()

    def run(self, signed: int, jobs: int) -> None:
        live = _is_locked(self.directory / "lock")
        paths = self._paths()
        rotations = self._skip(int(paths[0].stem)) if paths else []
        prunings: list[bytes] = []
        for path, segment in zip(paths, _segments(paths, self.origin, jobs), strict=True):
            self._join(path.stem, segment)
            rotations += segment.rotations
            prunings += segment.prunings
            if segment.bad is not None:
                if not live or path != paths[-1] or self.size < signed:
                    raise self._named(segment.bad)
                self.notes.append(f"while the gateway was writing: {segment.bad.problem}")
        self._compare_heads()
        self._check_prunings(prunings, signed, live)
        if short := [(size, whose) for size, _, whose in self.expected if size > self.size]:
            size, whose = max(short)
            raise _Bad(f"the trail ends here, but {size} records were {whose}", self.size)
        if rotations != self.rotations and not (live and rotations[: len(self.rotations)] == self.rotations):
            raise _Bad("`rotations` does not hold the records that changed the key")
        self._check_tiles(signed, live)
        if self.size > signed:
            self.notes.append(f"the last {self.size - signed} records are not signed yet")
        for path in sorted(self.directory.iterdir()):
            if path.name not in {"lock", "segments", "tile", "rotations", "pruned", "checkpoint"}:
                self.notes.append(f"`{path.name}` is no part of the trail and was not read")
            elif path.name == "lock" and path.stat().st_size:
                raise _Bad("`lock` has content, which no gateway writes")

    def _paths(self) -> list[Path]:
        """The segments in order, each hot or cold; of one that is both, the hot one, once the other says the same."""
        folder = self.directory / "segments"
        found: dict[str, Path] = {}
        for path in sorted(folder.glob("*")):
            if path.suffix in (".cold", ".log") and path.stem.isdecimal() and len(path.stem) == 20:
                if path.stem in found and _content(found[path.stem]) != path.read_bytes():
                    raise _Bad(f"{path.name} and its cold copy differ", int(path.stem))
                found[path.stem] = path
            elif path.suffixes[-2:] == [".cold", ".tmp"] and path.name.startswith("."):
                self.notes.append(f"segments/{path.name} is left of a copy that was not finished")
            elif path.name != "spare":
                raise _Bad(f"segments/{path.name} does not belong there")
        return list(found.values())

    def _skip(self, first: int) -> list[bytes]:
        """Take the hashes of what was pruned, up to `first`, from the tiles; the changes of key that were in it.

        Whether it was allowed to go is judged by `_check_prunings`, whether the tiles are true by the root.
        """
        self.first, kept = first, {_json(leaf, "a rotation").get("index"): leaf for leaf in self.rotations}
        rotations = [leaf for index, leaf in kept.items() if type(index) is int and index < first]
        for start in range(0, first, _TILE):
            path = self._tile_path(0, start // _TILE)
            data = path.read_bytes() if path.exists() else b""
            if len(data) != 32 * _TILE:
                what = f"{path.relative_to(self.directory)} is missing or cut off, and what it is of is not there"
                raise _Bad(what, start)
            hashes = [data[at : at + 32] for at in range(0, 32 * min(_TILE, first - start), 32)]
            for index, digest in enumerate(hashes, start):
                if index in kept and _leaf_hash(kept[index]) != digest:
                    raise _Bad("`rotations` does not hold the record that changed the key", index)
            self._take(hashes)
        return rotations

    def _check_prunings(self, leaves: list[bytes], signed: int, live: bool) -> None:
        """That a signed record let go what is not there, and meant the tree that it was."""
        allowed = None
        for leaf in leaves:
            record = _json(leaf, "a pruning")
            index, to, root = record["index"], record.get("to"), record.get("root")
            if type(to) is not int or not 0 <= to <= index or (to >= self.first and self._roots.get(to) != root):
                raise _Bad("it says that something was pruned which never was the beginning of this log", index)
            # the newest counts: it takes back those before it that were not carried out
            allowed = record if index < signed else allowed
        if self.first and (allowed is None or allowed["to"] < self.first):
            raise _Bad(f"the records before {self.first} are gone, and no signed record says that they were pruned", 0)
        path = self.directory / "pruned"
        kept = path.read_bytes() if path.exists() else b""
        if (kept or self.first) and kept not in {leaf + b"\n" for leaf in leaves} and not live:
            raise _Bad("`pruned` does not hold the record that let the first records go")
        if allowed is not None and allowed["to"]:
            self.notes.append(
                f"the records before {allowed['to']} were pruned, by record {allowed['index']} ({allowed.get('rule')})"
            )

    def _join(self, name: str, segment: _Segment) -> None:
        origin = self.origin.encode()
        scan_from = min(self._open.values(), default=self.size)
        said = int.from_bytes(segment.header[16:24], "big")
        if self._open_before <= said < self.first:
            # a statement that began in what was pruned, and is open still: it may only be a later one each time
            scan_from = self._open_before = said
        self._roots[self.size] = _fold(self._subtrees()).hex()
        wanted = _HEADER.pack(b"GWAUDIT1", self.size, scan_from, len(origin)) + origin + b"".join(self._subtrees())
        wanted = wanted.ljust(_HEADER_BYTES - 4, b"\0")
        if name != f"{self.size:020d}" or segment.header != wanted + struct.pack(">I", zlib.crc32(wanted)):
            if segment.bad is not None and not segment.header:
                raise segment.bad
            changed = "its header or the tiles before it were" if self.size == self.first > 0 else "its header was"
            raise self._named(_Bad(f"{name}.log is not the segment that must follow, or {changed} changed", self.size))
        if segment.hashes and not self._time < (segment.first or "~"):
            raise _Bad("its time is not later than that of the record before it", self.size)
        self._time = segment.last or self._time
        for statement in segment.closed:
            self._open.pop(statement, None)
        self._open |= segment.opened
        self._take(segment.hashes, segment.tops)

    def _take(self, hashes: list[bytes], tops: Iterable[bytes] = ()) -> None:
        """Take in leaf hashes, stopping at each head to compare it; `tops` are roots of full tiles, known already."""
        first, known, heads = self.size, iter(tops), {size - self.size for size, _, _ in self.expected}
        for stop in sorted({*(n for n in heads if 0 <= n < len(hashes)), len(hashes)}):
            self._add(hashes[self.size - first : stop], known)
            self._compare_heads()

    def _named(self, bad: _Bad) -> _Bad:
        """The same, with the record that a tile shows to be the changed one, where the problem leaves that open."""
        known, suspect = bad.problem.record, self._suspected()
        if suspect is None or not (bad.rough or (known is not None and suspect < known)):
            return bad
        return _Bad(bad.problem.what, suspect)

    def _compare_heads(self) -> None:
        for size, root, whose in self.expected:
            if size == self.size:
                if root != _fold(self._subtrees()):
                    suspect = self._suspected()
                    first = self._vouched if suspect is None else suspect
                    raise _Bad(f"the first {size} records are not those that were {whose}", first)
                self._vouched = size

    # tiles: derived, but what proofs are made from, and the second witness that tells which record was changed

    def _add(self, hashes: list[bytes], tops: Iterator[bytes]) -> None:
        """Take in leaf hashes, comparing each tile that gets full with its file."""
        at = 0
        while at < len(hashes):
            row = self._levels[0]
            taken = hashes[at : at + _TILE - len(row)]
            row += taken
            at, self.size = at + len(taken), self.size + len(taken)
            if len(row) == _TILE:
                self._full(0, self.size // _TILE - 1, next(tops, None))

    def _full(self, level: int, number: int, top: bytes | None = None) -> None:
        hashes, path = self._levels[level], self._tile_path(level, number)
        if path.exists():
            self._tiles_seen.add(path)
            if (data := path.read_bytes()) != b"".join(hashes) and self._suspect is None:
                self._suspect = number * _TILE + min(_difference(data, hashes), len(data) // 32) << 8 * level
        self._levels[level] = []
        if level + 1 == len(self._levels):
            self._levels.append([])
        self._levels[level + 1].append(top or _subtree(hashes))
        if len(self._levels[level + 1]) == _TILE:
            self._full(level + 1, number // _TILE)

    def _suspected(self) -> int | None:
        """The first record of which a tile says something else, the tile that is not full yet included."""
        row, path = self._levels[0], self._tile_path(0, self.size // _TILE)
        partial = sorted(path.with_name(path.name + ".p").glob("[0-9]*"), key=lambda file: file.name.rjust(9))
        if self._suspect is None and (path.exists() or partial):
            # where the gateway runs, a tile may be full, or gone, that was not when the segments were read
            with contextlib.suppress(FileNotFoundError):
                at = _difference((path if path.exists() else partial[-1]).read_bytes(), row)
                return self.size - len(row) + at if at < len(row) else None
        return self._suspect

    def _subtrees(self) -> list[bytes]:
        """The complete subtrees of the tree as it stands, the largest first."""
        found: list[bytes] = []
        for hashes in reversed(self._levels):
            start = 0
            for bit in range(7, -1, -1):
                if len(hashes) >> bit & 1:
                    found.append(_subtree(hashes[start : start + (1 << bit)]))
                    start += 1 << bit
        return found

    def _check_tiles(self, signed: int, live: bool) -> None:
        if (suspect := self._suspected()) is not None:
            raise _Bad("its tile was changed; the record itself is as it was signed", suspect)
        for level in range((signed.bit_length() + 7) // 8):
            complete, width = divmod(signed >> 8 * level, _TILE)
            for path in (self._tile_path(level, number) for number in range(complete)):
                if path not in self._tiles_seen:
                    raise _Bad(f"{path.relative_to(self.directory)} is missing")
            last = self._tile_path(level, complete)
            partial = last.with_name(last.name + ".p") / str(width)
            if width and not live and last not in self._tiles_seen and not partial.exists():
                raise _Bad(f"{partial.relative_to(self.directory)} is missing")
        known = {self._tile_path(n, (self.size >> 8 * n) // _TILE): b"".join(row) for n, row in enumerate(self._levels)}
        for folder, _, names in os.walk(self.directory / "tile"):
            for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if path in self._tiles_seen or live:
                    continue
                # what is left are beginnings of full tiles, and of those that are not full yet
                whole, data = path.parent.with_name(path.parent.name.removesuffix(".p")), path.read_bytes()
                content = known.get(whole) or (whole.read_bytes() if whole in self._tiles_seen else b"")
                if path.name != str(len(data) // 32) or len(data) % 32 or not data or not content.startswith(data):
                    raise _Bad(f"{path.relative_to(self.directory)} does not fit the records")

    def _tile_path(self, level: int, number: int) -> Path:
        digits = f"{number % 1000:03d}"
        while number >= 1000:
            number //= 1000
            digits = f"x{number % 1000:03d}/{digits}"
        return self.directory / "tile" / str(level) / digits


def _difference(data: bytes, hashes: list[bytes]) -> int:
    """How many of the hashes are those of the tile, up to the first that is another."""
    same = (data[32 * i : 32 * i + 32] in (digest, b"") for i, digest in enumerate(hashes))
    return next((i for i, fits in enumerate(same) if not fits), len(hashes))


def _segments(paths: list[Path], origin: str, jobs: int) -> Iterator[_Segment]:
    """The segments in order, read by further processes when there are many of them."""
    if jobs < 2 or len(paths) < 2:
        for path in paths:
            yield _read_segment(path, origin)
        return
    with ProcessPoolExecutor(min(jobs, len(paths)), initializer=gc.disable) as pool:
        read = deque[Future[_Segment]]()
        for path in paths:
            read.append(pool.submit(_read_segment, path, origin))
            if len(read) > 2 * jobs:
                yield read.popleft().result()
        while read:
            yield read.popleft().result()


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"a record holds no {text}")


_decode = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).raw_decode


def _encoder() -> Callable[[Any], str]:
    """What writes canonical JSON; the compiled encoder is made once here, and not for each value as `encode` does."""
    encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    pieces = make(None, _refuse, json.encoder.encode_basestring, None, ":", ",", True, False, False)
    return lambda value: "".join(pieces(value, 0))


_encode = _encoder()


def _is_canonical(text: str, record: Any) -> bool:
    """Whether `text`, which reads as `record`, is the one spelling of it.

    Encoding it anew tells; and, in less time, for an object in which is no other and no backslash: a string in it can
    be spelt in no other way, nor can a number except -0, so that all that may differ is between the strings, a name
    that is there twice (one colon more than names), or their order.
    """
    if "\\" not in text and type(record) is dict:
        between = "".join(text.split('"')[::2])
        if between.count("{") == 1:
            tight = between.isprintable() and " " not in between and "-0" not in between
            return tight and between.count(":") == len(record) and list(record) == sorted(record)
    return _encode(record) == text


def _record(leaf: bytes, index: int, origin: str) -> dict[str, Any]:
    """The record of a leaf, once it is canonical and names its own place."""
    try:
        text = leaf.decode()
        record, end = _decode(text)
        canonical = end == len(text) and _is_canonical(text, record)
    except (ValueError, RecursionError):
        raise _Bad("it is not JSON as this log writes it", index) from None
    if not canonical or type(record) is not dict:
        raise _Bad("it is not in canonical form", index)
    get = record.get
    place, version = get("index"), get("v")
    if place != index or type(place) is not int:
        raise _Bad(f"it says that it is record {place}: records were removed, doubled or swapped", index)
    if get("origin") != origin or version != 1 or type(version) is not int:
        raise _Bad(f"it is of another log, `{get('origin')}`", index)
    if not type(get("time")) is type(get("id")) is type(get("session", "")) is type(get("statement", "")) is str:
        raise _Bad("it has no time or no id, or a session or statement without a name", index)
    return record


# -- the tree (RFC 6962, 2.1)


def _leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _subtree(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [_node(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def _fold(subtrees: list[bytes]) -> bytes:
    """The root over complete subtrees, the largest first."""
    if not subtrees:
        return hashlib.sha256(b"").digest()
    root = subtrees[-1]
    for left in subtrees[-2::-1]:
        root = _node(left, root)
    return root


def _included(index: int, size: int, digest: bytes, path: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    position, last = index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            digest = _node(sibling, digest)
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        else:
            digest = _node(digest, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and digest == root


class Stretch:
    """The root of a tree from complete subtrees that follow one another, leaves being the smallest."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, bytes]] = []

    def add(self, level: int, digest: bytes) -> None:
        """The next subtree, of 2**level leaves; it begins at a multiple of that."""
        while self._stack and self._stack[-1][0] == level:
            digest, level = _node(self._stack.pop()[1], digest), level + 1
        self._stack.append((level, digest))

    def root(self) -> bytes:
        """The root over all of them."""
        return _fold([digest for _, digest in self._stack])


def cover(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The fewest complete subtrees over the leaves from `start` up to `end`: level and number of each."""
    while start < end:
        room = (end - start).bit_length() - 1
        level = min(room, (start & -start).bit_length() - 1) if start else room
        yield level, start >> level
        start += 1 << level


@dataclass(frozen=True, slots=True)
class _Export:
    """The first line of an export: the stretch from `first` up to `end`, what is left and right of it as hashes, and
    the `fence`: the record before `since` and the one not before `until`, each with its path to the root. Where the log
    begins at `first`, there is no record before it, but `pruned`: the one by which those that there were went."""

    checkpoint: str
    rotations: list[tuple[int, bytes, list[bytes]]]
    fence: list[tuple[int, bytes, list[bytes]]]
    first: int
    end: int
    since: str
    until: str
    left: list[bytes]
    right: list[bytes]
    pruned: tuple[int, bytes, list[bytes]] | None
    stretch: Stretch = field(default_factory=Stretch)

    @classmethod
    def parse(cls, line: dict[str, Any]) -> _Export:
        names = "checkpoint end fence first format left question right rotations since until"
        first, end = line.get("first"), line.get("end")
        texts: list[Any] = [line.get(name) for name in ("checkpoint", "since", "until")]
        if (
            " ".join(sorted(line.keys() - {"pruned"})) != names
            or line["format"] != EXPORT_FORMAT
            or type(line["question"]) is not dict
        ):
            raise _Bad("not an export of this format")
        if type(first) is not int or type(end) is not int or not 0 <= first <= end:
            raise _Bad("not an export of this format")
        if any(type(text) is not str for text in texts):
            raise _Bad("not an export of this format")
        if any(type(line[name]) is not list for name in ("fence", "left", "right", "rotations")):
            raise _Bad("not an export of this format")
        if any(text and (len(text) != 27 or not text.isascii() or text[-1] != "Z") for text in texts[1:]):
            raise _Bad("its times are not written as records write them")
        entry = {"index", "leaf", "path"}
        rotations, fence = ([_member(one, entry) for one in line[name]] for name in ("rotations", "fence"))
        left, right = ([_base64(one, 32) for one in line[name]] for name in ("left", "right"))
        pruned = _member(line["pruned"], entry) if "pruned" in line else None
        return cls(texts[0], rotations, fence, first, end, texts[1], texts[2], left, right, pruned)

    def check(self, head: tuple[int, bytes], origin: str) -> None:
        """That nothing of that time can lie outside the stretch, and that the tree left of it is begun."""
        begins = self.first if self.pruned is not None else 0
        if self.end > head[0] or (not self.since and self.first != begins) or (not self.until and self.end != head[0]):
            raise _Bad("the stretch is not what its times say")
        for index, leaf, path in [*self.rotations, *self.fence, *([self.pruned] if self.pruned is not None else [])]:
            if not _included(index, head[0], _leaf_hash(leaf), path, head[1]):
                raise _Bad("the record is not in the signed tree", index)
        if self.pruned is not None:
            record = _record(self.pruned[1], self.pruned[0], origin)
            if record.get("kind") != "log.pruned" or record.get("to") != self.first:
                raise _Bad("it does not say that the log begins with this stretch", self.pruned[0])
        times = {index: _record(leaf, index, origin)["time"] for index, leaf, _ in self.fence}
        if times.keys() != {index for index in (self.first - 1, self.end) if begins <= index < head[0]}:
            raise _Bad("the records around the stretch are missing")
        if (self.first > begins and not times[self.first - 1] < self.since) or (
            self.end < head[0] and not times[self.end] >= self.until
        ):
            raise _Bad("there are records of that time outside the stretch")
        self._add(0, self.first, self.left)

    def root(self, size: int) -> bytes:
        """The root over everything, once the leaves of the stretch are added."""
        self._add(self.end, size, self.right)
        return self.stretch.root()

    def _add(self, start: int, end: int, hashes: list[bytes]) -> None:
        levels = [level for level, _ in cover(start, end)]
        if len(levels) != len(hashes):
            raise _Bad("the hashes around the stretch are not as many as there must be")
        for level, digest in zip(levels, hashes, strict=True):
            self.stretch.add(level, digest)


# -- keys, notes and signatures (c2sp.org/signed-note, c2sp.org/tlog-checkpoint, RFC 8032)


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> _Key:
        """Raises `ValueError`."""
        name, _, rest = text.strip().partition("+")
        digest, _, material = rest.partition("+")
        try:
            blob = _base64(material, 33)
        except _Bad as bad:
            raise ValueError("malformed verifier key") from bad
        key = cls(name, blob[1:])
        point = _point(key.public)
        # a point of small order would verify signatures that nobody made
        if not name or blob[0] != 1 or key.id.hex() != digest or point is None or _times(8, point)[0] == 0:
            raise ValueError("malformed verifier key")
        return key

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.public).digest()[:4]

    @property
    def line(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([1]) + self.public).decode()}"

    def signed(self, note: str) -> str | None:
        """The text of the note, if this key signed it. Raises `_Bad` when its signature is there and does not fit."""
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or any(c < " " and c != "\n" for c in note):
            raise _Bad("a signed note is malformed")
        found = False
        for line in lines[:-1].split("\n"):
            dash, _, rest = line.partition(" ")
            name, _, blob = rest.partition(" ")
            data = _base64(blob)
            if dash != "\u2014" or len(data) < 5:
                raise _Bad("a signed note is malformed")
            if (name, data[:4]) == (self.name, self.id):
                if not _verifies(self.public, f"{text}\n".encode(), data[4:]):
                    raise _Bad("a signature does not fit: the note was changed, or signed by another key")
                found = True
        return f"{text}\n" if found else None


class _Chain:
    """The keys of one log: each from the record on in which its predecessor and it signed that it follows.

    INVARIANT: the key that was given is one of them, and what is believed is signed by the one in force at its size.
    """

    def __init__(self, given: _Key, leaves: Iterable[bytes]) -> None:
        self._origin, self._keys = given.name, [(-1, given)]
        for leaf in leaves:
            index, old, new = self._rotation(leaf)
            if self._keys == [(-1, given)] and old != given:
                self._keys = [(-1, old)]
            if old != self._keys[-1][1] or index <= self._keys[-1][0]:
                raise _Bad("it does not replace the key that was in force", index)
            self._keys.append((index, new))
        if given not in [key for _, key in self._keys]:
            raise _Bad("the key is none of those that signed this log")

    def _rotation(self, leaf: bytes) -> tuple[int, _Key, _Key]:
        """Record, old key and new key of a rotation that both signed."""
        record = _json(leaf, "a rotation")
        index, note = record.get("index"), record.get("note")
        if type(index) is not int or record.get("kind") != "log.rotation" or type(note) is not str:
            raise _Bad("not the record of a change of key")
        try:
            old, new = (_Key.parse(text) for text in note.split("\n")[3:5])
        except ValueError:
            raise _Bad("it names no keys", index) from None
        told = f"gateway-audit-rotation/1\n{self._origin}\n{index}\n{old.line}\n{new.line}\n"
        if old == new or {old.name, new.name} != {self._origin} or old.signed(note) != told or new.signed(note) != told:
            raise _Bad("it is not signed by the old and the new key", index)
        return index, old, new

    def checkpoint(self, note: str) -> tuple[int, bytes]:
        """Size and root of a checkpoint that the key in force at its size signed."""
        lines = note.rpartition("\n\n")[0].split("\n")
        if len(lines) < 3 or "" in lines or not lines[1].isdecimal() or len(lines[1]) > 19:
            raise _Bad("the checkpoint is malformed")
        size = int(lines[1])
        key = next(key for since, key in reversed(self._keys) if since < size or since < 0)
        if key.signed(note) is None:
            raise _Bad("the checkpoint is not signed by this key, or not by the one that was in force")
        if lines[0] != self._origin or str(size) != lines[1]:
            raise _Bad("the checkpoint is of another log, or malformed")
        return size, _base64(lines[2], 32)


_P, _L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _sum(a: _Point, b: _Point) -> _Point:
    """RFC 8032, 5.1.4: extended homogeneous coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    g, h = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % _P, k * m % _P, j * k % _P, i * m % _P


def _times(scalar: int, point: _Point) -> _Point:
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _sum(result, point)
        point, scalar = _sum(point, point), scalar >> 1
    return result


def _point(data: bytes) -> _Point | None:
    """RFC 8032, 5.1.3."""
    y = int.from_bytes(data, "little") & (1 << 255) - 1
    x2 = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(x2, (_P + 3) // 8, _P)
    x = x if x * x % _P == x2 else x * _I % _P
    if len(data) != 32 or y >= _P or x * x % _P != x2 or (x == 0 and data[31] >> 7):
        return None
    x = x if x & 1 == data[31] >> 7 else _P - x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def _verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """RFC 8032, 5.1.7, without the cofactor."""
    key, commitment = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or key is None or commitment is None or _BASE is None or scalar >= _L:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    left, right = _times(scalar, _BASE), _sum(commitment, _times(challenge, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


# -- files


def _member(value: Any, names: Iterable[str]) -> tuple[int, bytes, list[bytes]]:
    """Index, leaf and path of an entry of a proof."""
    if type(value) is not dict or value.keys() != set(names):
        raise _Bad("not a proof of this format")
    index, leaf, path = value["index"], value["leaf"], value["path"]
    if type(index) is not int or type(leaf) is not str or type(path) is not list:
        raise _Bad("not a proof of this format")
    return index, leaf.encode(errors="surrogatepass"), [_base64(digest, 32) for digest in path]


def _remembered(text: str) -> str:
    """The checkpoint in a witness's state; a checkpoint is its own."""
    if not text.startswith("{"):
        return text
    note = _json(text.encode(), "the witness").get("checkpoint")
    if type(note) is not str:
        raise _Bad("the witness remembers no checkpoint")
    return note


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        text = data.decode().strip()
        value, end = _decode(text)
        value = value if end == len(text) else None
    except (ValueError, RecursionError):
        value = None
    if type(value) is not dict:
        raise _Bad(f"{what} is not a JSON object")
    return value


def _line(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object on a line of its own, in the one spelling that reads the same to everybody."""
    value = _json(data, what)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if f"{text}\n".encode(errors="surrogatepass") != data:
        raise _Bad(f"{what} is not spelt as the gateway spells it")
    return value


def _base64(text: Any, length: int | None = None) -> bytes:
    """Base64 in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise _Bad("malformed base64") from None
    if base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise _Bad("malformed base64")
    return data


def _text(path: Path, what: str) -> str:
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise _Bad(f"{what} is missing") from None
    except UnicodeDecodeError:
        raise _Bad(f"{what} is malformed") from None


def is_export(file: str | Path) -> bool:
    """Whether the file's first line is that of an export."""
    with Path(file).open("rb") as lines:
        line = lines.readline(_HEADER_LIMIT)
    try:
        return _json(line, "the file").get("format") == EXPORT_FORMAT
    except _Bad:
        return False


def _is_locked(path: Path) -> bool:
    """Whether a gateway is writing this trail at the moment."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def main(arguments: list[str] | None = None) -> int:
    """The command line of this file on its own."""
    parser = argparse.ArgumentParser(
        prog="verify.py", description="Check an audit trail, or a proof from one, offline."
    )
    parser.add_argument("path", type=Path, help="the trail's directory, a proof or an export")
    parser.add_argument("--key", required=True, help="the log's public key, or a file with it")
    parser.add_argument("--witness", type=Path, help="a checkpoint of this log, or a witness's state, kept elsewhere")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many processes read")
    given = parser.parse_args(arguments)
    try:
        key = Path(given.key).read_text(encoding="utf-8") if Path(given.key).is_file() else given.key
        if given.path.is_dir():
            report = verify_log(given.path, key, witness=given.witness, jobs=given.jobs)
        else:
            report = (verify_export if is_export(given.path) else verify_proof)(given.path, key)
    except (OSError, ValueError) as error:
        print(f"it cannot be checked: {error}", file=sys.stderr)
        return 2
    read = report.size - report.first
    print(f"log {report.origin}, {read} records read, {report.signed_size} signed, root {report.root}")
    print(*(f"note: {note}" for note in report.notes), sep="\n", end="\n" if report.notes else "")
    print("verified" if report.ok else f"TAMPERED: {report.problems[0]}")
    return 0 if report.ok else 3


if __name__ == "__main__":
    sys.exit(main())
