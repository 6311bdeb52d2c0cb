"""How far a sink has got: a small file below the state directory, replaced as a whole.

INVARIANT: what lies before `next` was taken by the sink, or passed over by its filter; so a restart sends again what is
not certain, and leaves nothing out.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.audit.segment import Disk

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the trail of that origin: `next` is the first record that was not taken.

    `last` is the SHA-256 of the leaf before it, which tells a trail that was put back or exchanged from the one that
    was followed; empty at the beginning. `rejected` counts records that the sink said it would never take.
    """

    origin: str
    next: int = 0
    last: str = ""
    rejected: int = 0

    def follows(self, leaf: bytes | None) -> bool:
        """Whether that leaf, of the record before `next`, is the one that was sent; None when there is none."""
        return self.next == 0 or not self.last or (leaf is not None and hash_of(leaf) == self.last)


def hash_of(leaf: bytes) -> str:
    """What `last` says of a leaf."""
    return hashlib.sha256(leaf).hexdigest()


def exports_path(state: Path) -> Path:
    """The directory of the cursors."""
    return state / "exports"


def cursor_path(directory: Path, name: str) -> Path:
    """The file of the sink of that name."""
    return directory / f"{name}.json"


def read_cursor(path: Path) -> Cursor | None:
    """What the file says, None when there is none. Raises `ValueError` for anything that `write_cursor` does not write,
    `OSError` when it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    found: Any = json.loads(data)
    if not isinstance(found, dict) or found.pop("v", None) != _VERSION:
        raise ValueError("it is of another version")
    try:
        cursor = Cursor(**found)
    except TypeError as error:
        raise ValueError("it has other fields") from error
    for value, kind in ((cursor.origin, str), (cursor.last, str), (cursor.next, int), (cursor.rejected, int)):
        if type(value) is not kind or (kind is int and int(value) < 0):
            raise ValueError("it has other values")
    return cursor


def write_cursor(path: Path, cursor: Cursor, disk: Disk | None = None) -> None:
    """Put it in place of the one before, durably. Raises `OSError`."""
    content = {
        "v": _VERSION, "origin": cursor.origin, "next": cursor.next, "last": cursor.last, "rejected": cursor.rejected
    }  # fmt: skip
    (disk or Disk()).replace(path, json.dumps(content).encode() + b"\n", durable=True)


def prepare_directory(state: Path) -> Path:
    """The cursors' directory, for its owner only. Raises `OSError`."""
    directory = exports_path(state)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(directory, 0o700)
    return directory
