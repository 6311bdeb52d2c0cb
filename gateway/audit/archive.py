"""What an archive of a trail is made of, and a trail made of it again. The storage itself is `bucket.py`'s.

    segments/<first index>.cold         a sealed segment, see `cold.py`; 20 digits here and below
    hashes/<first index>                the hashes of its leaves, 32 bytes each: what is left of it once it was pruned
    heads/<size>/manifest               a signed note (c2sp.org/signed-note) by the key of that head:
                                            gateway-audit-archive/1
                                            <origin>
                                            <size>
                                            <SHA-256 of the listing, hexadecimal>
    heads/<size>/listing.<SHA-256>      JSON: `first`, the index of the first record, and `objects`, each with `name`,
                                        `sha256` and `bytes`: all that is needed to have the trail of that size again
    heads/<size>/open.cold              what was committed of the segment that was written to, up to that size
    heads/<size>/checkpoint, rotations, pruned, key          as they lie beside the trail

Everything but the heads is put there once and for all heads. Tiles are not archived: they come from the hashes.

INVARIANT: nothing of an archive is used before its digest is found in a listing whose digest a known key signed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from gateway.audit.checkpoint import Checkpoint, Verifier, head_of, signers_of
from gateway.audit.cold import Unreadable, compressed, open_segment
from gateway.audit.rotation import rotations_of
from gateway.audit.segment import HEADER_BYTES, Damaged, Disk, read_batches, segments_of
from gateway.audit.tiles import TileWriter
from gateway.audit.tree import leaf_hash

FORMAT = "gateway-audit-archive/1"
_NAME = re.compile(
    r"segments/([0-9]{20})\.cold|hashes/([0-9]{20})|heads/[0-9]{20}/(open\.cold|checkpoint|rotations|pruned|key)"
)
_SIZED = 16
"""Bytes of a cold file's head up to the end of the segment's size."""
_TILES_AT_ONCE = 1 << 18
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Unfit(ValueError):
    """What the archive holds is not what was signed."""


class Taken(Exception):
    """There is an object of that name already."""


class Storage(Protocol):
    """What `bucket.Bucket` is: see there."""

    def check(self) -> str: ...

    def put(self, name: str, data: bytes, until: datetime) -> None: ...

    def confirm(self, name: str, size: int, until: datetime) -> None: ...

    def extend(self, name: str, until: datetime) -> None: ...

    def get(self, name: str) -> bytes: ...

    def names(self, folder: str) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """An object of the archive: its name, its SHA-256 (hexadecimal) and its size in bytes."""

    name: str
    sha256: str
    bytes: int


def part_of(name: str, data: bytes) -> Part:
    """The part that the data is."""
    return Part(name, hashlib.sha256(data).hexdigest(), len(data))


def head_folder(size: int) -> str:
    """Where what belongs to one head lies."""
    return f"heads/{size:020d}"


def content_of(path: Path, first: int, limit: int | None = None) -> tuple[bytes, int, bytes]:
    """A segment's cold file, its committed part up to `limit` records; where that ends; and its leaves' hashes.

    Raises `Damaged` and `OSError`.
    """
    size, end, hashes = first, HEADER_BYTES, []
    for batch in read_batches(path, first, limit=limit):
        size, end = batch.size, batch.end
        hashes += [leaf_hash(leaf) for leaf in batch.leaves]
    try:
        with open_segment(path) as file:
            data = file.read(end)
    except Unreadable as error:
        raise Damaged(str(error), first) from error
    return compressed(data), size, b"".join(hashes)


def same_segment(one: bytes, other: bytes, scratch: Path) -> bool:
    """Whether two cold files hold the same: another zlib may have written one of them."""
    if one[:_SIZED] != other[:_SIZED]:
        # also so that nothing is inflated beyond what is known to be there
        return False
    contents = []
    for number, data in enumerate((one, other)):
        path = scratch / f"{number}.cold"
        path.write_bytes(data)
        try:
            with open_segment(path.with_suffix(".log")) as file:
                contents.append(file.read())
        except (Unreadable, FileNotFoundError):
            return False
        finally:
            path.unlink()
    return contents[0] == contents[1]


def listing_of(first: int, parts: Sequence[Part]) -> bytes:
    """The listing of those parts."""
    objects = [{"bytes": one.bytes, "name": one.name, "sha256": one.sha256} for one in parts]
    return json.dumps({"first": first, "objects": objects}, separators=(",", ":")).encode()


def listing_name(sha256: str) -> str:
    """What the listing of that digest is called: after it, so that no other can be in its place."""
    return f"listing.{sha256}"


def manifest_text(origin: str, size: int, listing: bytes) -> str:
    """What is signed of a manifest."""
    return f"{FORMAT}\n{origin}\n{size}\n{hashlib.sha256(listing).hexdigest()}\n"


@dataclass(frozen=True, slots=True)
class Restored:
    """A trail out of an archive: its records from `first` on up to the head's size; the key that signed the head."""

    head: Checkpoint
    first: int
    key: Verifier
    manifest: str


def newest_head(storage: Storage) -> int:
    """The size of the newest head that is whole. Raises `FileNotFoundError` when there is none, and `GatewayError`."""
    sizes = sorted((int(name) for name in storage.names("heads") if re.fullmatch(r"[0-9]{20}", name)), reverse=True)
    for size in sizes:
        if "manifest" in storage.names(head_folder(size)):
            return size
    raise FileNotFoundError(2, "the archive holds no head", "heads")


def restore(get: Callable[[str], bytes], size: int, given: Verifier, directory: Path) -> Restored:
    """Make the trail of that head in the directory, which is empty. What it says is for `verify.py` to judge.

    `given` is a key of this log that was kept elsewhere. Raises `Unfit`, `Damaged`, `OSError`, and what `get` raises.
    """
    folder = head_folder(size)
    note = get(f"{folder}/manifest")
    digest = note.split(b"\n")[3].decode(errors="replace") if note.count(b"\n") > 3 else ""
    if _DIGEST.fullmatch(digest) is None:
        raise Unfit("the manifest is malformed")
    listing = get(f"{folder}/{listing_name(digest)}")
    first, parts = _listed(listing, folder)
    names = {part.name: part for part in parts}

    def fetched(part: Part) -> bytes:
        data = get(part.name)
        if len(data) != part.bytes or hashlib.sha256(data).hexdigest() != part.sha256:
            raise Unfit(f"`{part.name}` is not what was archived")
        return data

    rotations = names.get(f"{folder}/rotations")
    kept = fetched(rotations) if rotations is not None else b""
    try:
        known = [
            given,
            *(key for one in (rotations_of(kept, given.name) if kept else ()) for key in (one.old, one.new)),
        ]
        if given not in known[1:] and kept:
            raise Unfit("the key is none of those that signed this log")
        text, signers = signers_of(note.decode(), known)
        if not signers or text != manifest_text(given.name, size, listing):
            raise Unfit("the manifest is not signed by a key of this log, or is of something else")
        (directory / "segments").mkdir(mode=0o700)
        _place(directory, folder, names, fetched)
        written = (directory / "checkpoint").read_text(encoding="utf-8")
        head = head_of(signers_of(written, known)[0], given.name)
    except UnicodeDecodeError as error:
        raise Unfit("the manifest or the checkpoint is no text") from error
    except ValueError as error:
        raise error if isinstance(error, Unfit) else Unfit(str(error)) from error
    if head.size != size:
        raise Unfit(f"the head is of {head.size} records, the manifest of {size}")
    _grow_tiles(directory, head, first, names, fetched)
    return Restored(head, first, signers[-1], hashlib.sha256(note).hexdigest())


def _listed(listing: bytes, folder: str) -> tuple[int, list[Part]]:
    try:
        value: Any = json.loads(listing)
        parts = [Part(one["name"], one["sha256"], one["bytes"]) for one in value["objects"]]
        first = value["first"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unfit("the listing is malformed") from error
    for part in parts:
        if type(part.name) is not str or type(part.sha256) is not str or type(part.bytes) is not int:
            raise Unfit("the listing is malformed")
        # a name becomes a file's name: only those that this program gives
        own = not part.name.startswith("heads/") or part.name.startswith(f"{folder}/")
        if not own or _NAME.fullmatch(part.name) is None or _DIGEST.fullmatch(part.sha256) is None:
            raise Unfit("the listing names something that is no part of an archive")
    if type(first) is not int or len({part.name for part in parts}) != len(parts):
        raise Unfit("the listing is malformed")
    return first, parts


def _place(directory: Path, folder: str, names: dict[str, Part], fetched: Callable[[Part], bytes]) -> None:
    """Write the files that lie beside a trail, and its segments."""
    for name, part in names.items():
        kind = name.rpartition("/")[2]
        if name.startswith("segments/"):
            (directory / name).write_bytes(fetched(part))
        elif kind in ("checkpoint", "rotations", "pruned"):
            (directory / kind).write_bytes(fetched(part))
    if (opened := names.get(f"{folder}/open.cold")) is not None:
        data = fetched(opened)
        temporary = directory / "open.cold"
        temporary.write_bytes(data)
        try:
            with open_segment(temporary.with_suffix(".log")) as file:
                head = file.read(HEADER_BYTES)
        except Unreadable as error:
            raise Unfit(str(error)) from error
        temporary.rename(directory / "segments" / f"{int.from_bytes(head[8:16], 'big'):020d}.cold")
    if not (directory / "checkpoint").exists():
        raise Unfit("the archive has no checkpoint")


def _grow_tiles(
    directory: Path, head: Checkpoint, first: int, names: dict[str, Part], fetched: Callable[[Part], bytes]
) -> None:
    tiles, pending = TileWriter(directory, Disk()), 0
    for hashes in _hashes(directory, first, names, fetched):
        tiles.add(hashes)
        pending += len(hashes)
        if pending >= _TILES_AT_ONCE:
            tiles.write()
            pending = 0
    tiles.write()
    tiles.discard_old()
    if tiles.size != head.size:
        raise Unfit(f"the archive has {tiles.size} records, its head signs {head.size}")


def _hashes(
    directory: Path, first: int, names: dict[str, Part], fetched: Callable[[Part], bytes]
) -> Iterator[list[bytes]]:
    size = 0
    for name in sorted(name for name in names if name.startswith("hashes/")):
        if int(name.rpartition("/")[2]) >= first:
            break
        data = fetched(names[name])
        if int(name.rpartition("/")[2]) != size or len(data) % 32:
            raise Unfit(f"the hashes of the records from {size} on are missing in the archive")
        size += len(data) // 32
        yield [data[at : at + 32] for at in range(0, len(data), 32)]
    if size != first:
        raise Unfit(f"the hashes of the records before {first} are missing in the archive")
    for start, path in segments_of(directory):
        if start != size:
            raise Unfit(f"the segment that begins with record {size} is missing in the archive")
        for batch in read_batches(path, start):
            size = batch.size
            yield [leaf_hash(leaf) for leaf in batch.leaves]
