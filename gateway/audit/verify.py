"""Checks a trail, or a proof from one, with nothing but its public key. Begin reading here if you trust nobody.

This file stands alone: the standard library and Ed25519 from `cryptography`, nothing of the gateway, so that it can
be read in one sitting, copied away from the machine that wrote the trail, and rewritten in another language. It
repeats the format that `log.py` describes, on purpose.

What is checked, for a directory: the signature of the checkpoint; each header, frame and commit; that each leaf is
canonical JSON which names its own place, this log, and a later time than its predecessor; that the tree over the
leaves (RFC 6962) has the root that was signed, and the one that a witness (a checkpoint kept elsewhere) remembers;
that the tiles say the same; and that nothing but zeros follows the last commit. So an edited, removed, swapped,
doubled or cut-off record is found, and, with a witness, a trail that was put back to an earlier state.

What cannot be known from the files alone: whether records after the signed head were there (the head is at most a
second old while the gateway runs; `signed_size` says how far it reaches), and, without a witness, whether the whole
directory is an older copy.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PROOF_FORMAT = "gateway-audit-proof/1"
_HEADER_BYTES = 4_096
_HEADER = struct.Struct(">8sQQH")
_FRAME = struct.Struct(">4sII")
_COMMIT = struct.Struct(">QQ32s")
_LEAF_LIMIT = 16_384
_TILE = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that an honest writer does not leave. `record` is the first index that cannot be vouched for."""

    record: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.record is None else f"record {self.record}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result. `size` records were read, the first `signed_size` of them are under the signature; `root` is the
    hexadecimal root that was signed. `record` is what a proof proves. Notes are harmless, problems never."""

    origin: str
    size: int
    signed_size: int
    root: str
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    record: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the trail."""
        return not self.problems


class _Bad(Exception):
    def __init__(self, what: str, record: int | None = None) -> None:
        super().__init__(what)
        self.problem = Problem(record, what)


def verify_log(directory: str | Path, public_key: str, *, witness: str | Path | None = None) -> Report:
    """Check the trail in the directory against the verifier key `<name>+<hash>+<base64>`.

    `witness` is the path of a checkpoint of this log that was kept elsewhere. Reads everything, holds little: memory
    does not grow with the trail. Raises `ValueError` for a malformed key, `OSError` for a directory it cannot read.
    """
    name, key = _key(public_key)
    walk = _Walk(Path(directory), name)
    head: tuple[int, bytes] = (0, b"")
    problems: list[Problem] = []
    try:
        head = _checkpoint(_text(Path(directory) / "checkpoint", "the checkpoint"), name, key)
        walk.expect(head, "signed")
        if witness is not None:
            remembered = _checkpoint(_text(Path(witness), "the witness"), name, key)
            walk.expect(remembered, "remembered by the witness")
            if remembered[0] > head[0]:
                raise _Bad(f"{remembered[0]} records were signed once, the checkpoint covers {head[0]}", head[0])
        walk.run(head[0])
    except _Bad as bad:
        problems.append(bad.problem)
    return Report(name, walk.size, head[0], head[1].hex(), tuple(problems), tuple(walk.notes))


def verify_proof(file: str | Path, public_key: str) -> Report:
    """Check a proof file: that its record is in the tree that its checkpoint signs.

    Raises `ValueError` for a malformed key, `OSError` for a file it cannot read.
    """
    name, key = _key(public_key)
    data = Path(file).read_bytes()
    head: tuple[int, bytes] = (0, b"")
    try:
        proof = _json(data, "the proof")
        if set(proof) != {"checkpoint", "format", "index", "leaf", "path"} or proof["format"] != PROOF_FORMAT:
            raise _Bad("not a proof of this format")
        if data != proof_bytes(proof):
            raise _Bad("the proof is not in its canonical form")
        index, leaf, path = proof["index"], proof["leaf"], proof["path"]
        if (
            type(index) is not int
            or type(leaf) is not str
            or type(path) is not list
            or type(proof["checkpoint"]) is not str
        ):
            raise _Bad("not a proof of this format")
        head = _checkpoint(proof["checkpoint"], name, key)
        if proof["checkpoint"].count("\n") != 5:
            raise _Bad("the checkpoint in a proof carries one signature")
        record = _leaf(leaf.encode(), index, name)
        if not _included(index, head[0], _leaf_hash(leaf.encode()), [_base64(hash_, 32) for hash_ in path], head[1]):
            raise _Bad("the record is not in the signed tree", index)
    except _Bad as bad:
        return Report(name, 0, head[0], head[1].hex(), (bad.problem,))
    return Report(name, 1, head[0], head[1].hex(), record=record)


def proof_bytes(proof: dict[str, Any]) -> bytes:
    """The one spelling of a proof file."""
    return (json.dumps(proof, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode(errors="surrogatepass")


class _Walk:
    """One pass over the segments, growing the tree and comparing it with everything that claims to describe it."""

    def __init__(self, directory: Path, origin: str) -> None:
        self.directory, self.origin = directory, origin
        self.size = 0
        self.notes: list[str] = []
        self._subtrees: list[bytes] = []
        self._expected: list[tuple[int, bytes, str]] = []
        self._time = ""
        self._suspect: int | None = None
        self._open: dict[tuple[Any, Any], int] = {}
        self._levels: list[list[bytes]] = [[]]
        self._tile = b""
        self._tiles_seen: set[Path] = set()

    def expect(self, head: tuple[int, bytes], whose: str) -> None:
        self._expected.append((*head, whose))

    def run(self, signed: int) -> None:
        live = _is_locked(self.directory / "lock")
        names = sorted(path.name for path in (self.directory / "segments").glob("*"))
        paths = [self.directory / "segments" / name for name in names if name.endswith(".log")]
        if strangers := [name for name in names if not name.endswith(".log") and name != "spare"]:
            raise _Bad(f"segments/{strangers[0]} does not belong there")
        self._compare_heads()
        try:
            for path in paths:
                self._segment(path)
        except _Bad as bad:
            if not live or path != paths[-1] or self.size < signed:
                raise
            self.notes.append(f"while the gateway was writing: {bad.problem}")
        if self.size < max(size for size, _, _ in self._expected):
            size, _, whose = max(self._expected, key=lambda expected: expected[0])
            raise _Bad(f"the trail ends here, but {size} records were {whose}", self.size)
        self._check_tiles(signed, live)
        if self.size > signed:
            self.notes.append(f"the last {self.size - signed} records are not signed yet")
        for path in sorted(self.directory.iterdir()):
            if path.name not in {"lock", "segments", "tile", "checkpoint"}:
                self.notes.append(f"`{path.name}` is no part of the trail and was not read")

    def _segment(self, path: Path) -> None:
        with path.open("rb") as file:
            self._header(file.read(_HEADER_BYTES), path.name)
            at = _HEADER_BYTES
            while True:
                start, first = at, self.size
                leaves: list[bytes] = []
                while (frame := _frame(file, path.name, self.size + len(leaves), expect_end=not leaves)) is not None:
                    tag, payload = frame
                    at += _FRAME.size + len(payload)
                    if tag == b"done":
                        break
                    leaves.append(payload)
                if frame is None:
                    break
                for leaf in leaves:
                    self._add(leaf)
                offset, size, root = _COMMIT.unpack(payload)
                if not leaves or (offset, size, root) != (start, self.size, self._root()):
                    suspect = first if self._suspect is None else self._suspect
                    raise _Bad(f"the records {first} to {self.size - 1} are not those that were committed", suspect)
            while chunk := file.read(1 << 20):
                if any(chunk):
                    raise _Bad(f"{path.name} has bytes after its last commit (a torn write, or an edit)", self.size)

    def _header(self, head: bytes, name: str) -> None:
        origin = self.origin.encode()
        scan_from = min(self._open.values(), default=self.size)
        wanted = _HEADER.pack(b"GWAUDIT1", self.size, scan_from, len(origin)) + origin + b"".join(self._subtrees)
        wanted = wanted.ljust(_HEADER_BYTES - 4, b"\0")
        if name != f"{self.size:020d}.log" or head != wanted + struct.pack(">I", zlib.crc32(wanted)):
            raise _Bad(f"{name} is not the segment that must follow, or its header was changed", self.size)

    def _add(self, leaf: bytes) -> None:
        """Grow the tree by one leaf, and look at what the leaf says of itself."""
        digest = _leaf_hash(leaf)
        self._compare_tile(digest)
        record = _leaf(leaf, self.size, self.origin)
        if not self._time < record["time"]:
            raise _Bad("its time is not later than that of the record before it", self.size)
        self._time = record["time"]
        statement = (record.get("session", ""), record.get("statement", ""))
        if record.get("kind") == "statement.begin":
            self._open[statement] = self.size
        elif record.get("kind") in {"statement.end", "statement.unknown"}:
            self._open.pop(statement, None)
        size = self.size
        while size & 1:
            digest, size = _node(self._subtrees.pop(), digest), size >> 1
        self._subtrees.append(digest)
        self.size += 1
        self._compare_heads()

    def _compare_heads(self) -> None:
        for size, root, whose in self._expected:
            if size == self.size and root != self._root():
                raise _Bad(f"the first {size} records are not those that were {whose}", self._suspect)

    def _root(self) -> bytes:
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        root = self._subtrees[-1]
        for left in self._subtrees[-2::-1]:
            root = _node(left, root)
        return root

    # tiles: derived, but what proofs are made from, and the second witness that tells which record was changed

    def _compare_tile(self, digest: bytes) -> None:
        at = self.size % _TILE
        if at == 0:
            path = self._tile_path(0, self.size // _TILE)
            partial = sorted(path.with_name(path.name + ".p").glob("[0-9]*"), key=lambda file: int(file.name))
            found = [path] if path.exists() else partial[-1:]
            try:
                self._tile = found[0].read_bytes() if found else b""
            except FileNotFoundError:
                # a running gateway replaced the partial tile just now; whether it must be there is checked at the end
                self._tile = b""
        known = self._tile[32 * at : 32 * at + 32]
        if known and known != digest and self._suspect is None:
            self._suspect = self.size
        self._push(0, self.size, digest)

    def _push(self, level: int, index: int, digest: bytes) -> None:
        """Keep the current tile of each level, and compare each that gets full with its file."""
        if level == len(self._levels):
            self._levels.append([])
        hashes = self._levels[level]
        hashes.append(digest)
        if len(hashes) < _TILE:
            return
        path = self._tile_path(level, index // _TILE)
        if path.exists():
            self._tiles_seen.add(path)
            if path.read_bytes() != b"".join(hashes) and self._suspect is None:
                self._suspect = index << 8 * level
        self._levels[level] = []
        while len(hashes) > 1:
            hashes = [_node(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        self._push(level + 1, index // _TILE, hashes[0])

    def _check_tiles(self, signed: int, live: bool) -> None:
        if self._suspect is not None:
            raise _Bad("its tile was changed; the record itself is as it was signed", self._suspect)
        level, root = 0, self.directory / "tile"
        while signed >> 8 * level:
            complete, width = divmod(signed >> 8 * level, _TILE)
            needed = [self._tile_path(level, number) for number in range(complete)]
            for path in needed:
                if path not in self._tiles_seen:
                    raise _Bad(f"{path.relative_to(self.directory)} is missing")
            last = self._tile_path(level, complete)
            if (
                width
                and not live
                and not (last in self._tiles_seen or (last.with_name(last.name + ".p") / str(width)).exists())
            ):
                raise _Bad(f"{last.relative_to(self.directory)}.p/{width} is missing")
            level += 1
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                if path not in self._tiles_seen:
                    self._check_partial(path, live)

    def _check_partial(self, path: Path, live: bool) -> None:
        """A partial tile is the beginning of the full one, or of what would have become it."""
        whole = path.parent.with_name(path.parent.name.removesuffix(".p"))
        level = path.relative_to(self.directory / "tile").parts[0]
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        if whole in self._tiles_seen:
            known = whole.read_bytes()
        elif level.isdigit() and int(level) < len(self._levels) and whole == self._current_tile(int(level)):
            known = b"".join(self._levels[int(level)])
        else:
            known = b""
        fits = path.name == str(len(data) // 32) and len(data) % 32 == 0 and known.startswith(data) and data
        if not fits and not live:
            raise _Bad(f"{path.relative_to(self.directory)} does not fit the records")

    def _current_tile(self, level: int) -> Path:
        return self._tile_path(level, (self.size >> 8 * level) // _TILE)

    def _tile_path(self, level: int, number: int) -> Path:
        digits = f"{number % 1000:03d}"
        while number >= 1000:
            number //= 1000
            digits = f"x{number % 1000:03d}/{digits}"
        return self.directory / "tile" / str(level) / digits


def _frame(file: Any, name: str, index: int, *, expect_end: bool) -> tuple[bytes, bytes] | None:
    """The next frame; None, with the file put back, where the zeros begin (only between batches)."""
    at = file.tell()
    head = file.read(_FRAME.size)
    if expect_end and not any(head):
        file.seek(at)
        return None
    damaged = f"{name} is damaged at byte {at}"
    if len(head) < _FRAME.size:
        raise _Bad(damaged, index)
    tag, length, crc = _FRAME.unpack(head)
    if not ((tag == b"leaf" and length <= _LEAF_LIMIT) or (tag == b"done" and length == _COMMIT.size)):
        raise _Bad(damaged, index)
    payload = file.read(length)
    if len(payload) != length or zlib.crc32(head[:8] + payload) != crc:
        raise _Bad(damaged, index)
    return tag, payload


def _leaf(leaf: bytes, index: int, origin: str) -> dict[str, Any]:
    """The record of a leaf, once it is canonical and names its own place."""
    record = _json(leaf, "it", index)
    canonical = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if canonical.encode(errors="surrogatepass") != leaf:
        raise _Bad("it is not in canonical form", index)
    if type(record.get("index")) is not int or record["index"] != index:
        raise _Bad(f"it says that it is record {record.get('index')}: records were removed, doubled or swapped", index)
    if record.get("origin") != origin or type(record.get("v")) is not int or record["v"] != 1:
        raise _Bad(f"it is of another log, `{record.get('origin')}`", index)
    if type(record.get("time")) is not str or type(record.get("id")) is not str:
        raise _Bad("it has no time or no id", index)
    return record


def _checkpoint(note: str, name: str, key: Ed25519PublicKey) -> tuple[int, bytes]:
    """Size and root of a checkpoint (c2sp.org/tlog-checkpoint) that this key signed."""
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = text.split("\n")
    if not blank or not signatures.endswith("\n") or len(lines) != 4:
        raise _Bad("the checkpoint is malformed")
    key_hash = _key_hash(name, key)
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        signer, _, blob = rest.partition(" ")
        if dash != "\u2014" or signer != name or _base64(blob)[:4] != key_hash:
            continue
        try:
            key.verify(_base64(blob)[4:], text.encode())
        except InvalidSignature:
            raise _Bad("the checkpoint's signature does not fit: it was changed, or signed by another key") from None
        break
    else:
        raise _Bad("the checkpoint is not signed by this key")
    if lines[0] != name or not lines[1].isdecimal() or str(int(lines[1])) != lines[1]:
        raise _Bad("the checkpoint is of another log, or malformed")
    return int(lines[1]), _base64(lines[2], 32)


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


def _key(text: str) -> tuple[str, Ed25519PublicKey]:
    name, _, rest = text.strip().partition("+")
    digest, _, material = rest.partition("+")
    try:
        blob = _base64(material, 33)
    except _Bad as bad:
        raise ValueError("malformed verifier key") from bad
    key = Ed25519PublicKey.from_public_bytes(blob[1:])
    if not name or blob[0] != 1 or _key_hash(name, key).hex() != digest:
        raise ValueError("malformed verifier key")
    return name, key


def _key_hash(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + key.public_bytes_raw()).digest()[:4]


def _leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _json(data: bytes, what: str, index: int | None = None) -> dict[str, Any]:
    try:
        value = json.loads(data.decode(), parse_float=_refuse_number, parse_constant=_refuse_number)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _Bad(f"{what} is not a JSON object", index)
    return value


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"a record holds no {text}")


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
