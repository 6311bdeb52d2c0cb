"""Changing the key that signs the trail's heads: a record that both keys sign, and the order in which files change.

The statement is a signed note (c2sp.org/signed-note) with two signatures, the old key's and the new one's:

    gateway-audit-rotation/1
    <origin>
    <index of the record that holds it>
    <old verifier key>
    <new verifier key>

Heads that cover that record are signed by the new key, and only by it; heads before it were signed by the old one and
stay valid. So who has the first key can follow to the last, and who stole an old key cannot sign what comes after.

Steps, each of which may be the last before a crash: (1) the new key is made, `audit.key.next`; (2) a starting gateway
appends the record; (3) the record's leaf is kept as a line of `rotations` for those who see no records (witnesses,
proofs); (4) a head is signed with the new key; (5) `audit.key.next` becomes `audit.key`. A start that finds (2) done
goes on with (3), and so on: nothing is decided anew.

INVARIANT: the key that signs a head is the one that the last rotation below the head's size names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.checkpoint import Signer, Verifier, load_signer, signers_of, verifier_path
from gateway.audit.encode import record_of
from gateway.audit.segment import Damaged, Disk
from gateway.audit.tiles import TileReader
from gateway.audit.tree import leaf_hash

KIND = "log.rotation"
_FORMAT = "gateway-audit-rotation/1"


@dataclass(frozen=True, slots=True)
class Rotation:
    """From the record `index` on, `new` is in the place of `old`. `leaf` is the record's."""

    index: int
    old: Verifier
    new: Verifier
    leaf: bytes


def rotation_note(index: int, old: Signer, new: Signer) -> str:
    """The statement that the record of that index has to hold."""
    text = _text(index, old.verifier, new.verifier)
    return f"{text}\n{old.signature(text)}{new.signature(text)}"


def rotation_of(leaf: bytes, origin: str) -> Rotation:
    """The rotation that a leaf records. Raises `ValueError` when both keys did not sign just that."""
    record = record_of(leaf)
    index, note = record.get("index"), record.get("note")
    if record.get("kind") != KIND or type(index) is not int or not isinstance(note, str):
        raise ValueError("not the record of a rotation")
    lines = note.split("\n")
    if len(lines) < 6:
        raise ValueError("not the note of a rotation")
    old, new = Verifier.parse(lines[3]), Verifier.parse(lines[4])
    text, signers = signers_of(note, (old, new))
    if text != _text(index, old, new) or {old.name, new.name} != {origin} or old == new or len(signers) != 2:
        raise ValueError("the old and the new key did not both sign that one follows the other here")
    return Rotation(index, old, new, leaf)


def in_force(rotations: Iterable[Rotation], size: int) -> Verifier | None:
    """The key whose heads of that size count, None when no rotation says so: then it is the first one."""
    newest = [rotation.new for rotation in rotations if rotation.index < size]
    return newest[-1] if newest else None


def keep_rotation(directory: Path, rotation: Rotation, disk: Disk) -> None:
    """Keep the leaf beside the tree, durably, unless it is. Raises `Damaged` and `OSError`."""
    kept = kept_rotations(directory, rotation.old.name)
    if not kept or kept[-1].index < rotation.index:
        lines = b"".join(one.leaf + b"\n" for one in [*kept, rotation])
        disk.replace(directory / "rotations", lines, durable=True)


def kept_rotations(directory: Path, origin: str) -> list[Rotation]:
    """The rotations that are kept there, in order, each from the key that the one before brought. Raises `Damaged`."""
    path = directory / "rotations"
    if not path.exists():
        return []
    try:
        return rotations_of(path.read_bytes(), origin)
    except ValueError as error:
        raise Damaged(f"the rotations of the key are damaged: {error}", 0) from error


def check_rotations(directory: Path, origin: str, size: int) -> None:
    """Compare those that are kept with the tiles of the tree of that size. Raises `Damaged`, and `OSError`."""
    nodes = TileReader(directory, size).node
    for rotation in kept_rotations(directory, origin):
        try:
            fits = rotation.index >= size or nodes(0, rotation.index) == leaf_hash(rotation.leaf)
        except ValueError as error:
            raise Damaged(f"the rotations of the key cannot be compared: {error}", rotation.index) from error
        if not fits:
            raise Damaged("the rotations of the key are not those that were recorded", rotation.index)


def rotations_of(lines: bytes, origin: str) -> list[Rotation]:
    """The rotations in the file's content, leaf by leaf. Raises `ValueError`."""
    found: list[Rotation] = []
    *leaves, rest = lines.split(b"\n")
    for leaf in leaves:
        rotation = rotation_of(leaf, origin)
        if found and (found[-1].new != rotation.old or found[-1].index >= rotation.index):
            raise ValueError(f"record {rotation.index} does not follow the rotation before it")
        found.append(rotation)
    if rest or not found:
        raise ValueError("the file is cut off")
    return found


def next_key_path(path: str | Path) -> Path:
    """Where the key lies that is to follow the one in that file."""
    return Path(f"{path}.next")


def load_next_signer(path: str | Path) -> Signer | None:
    """The key that is to follow the one in that file, if there is one. Raises as `load_signer`."""
    following = next_key_path(path)
    return load_signer(following) if following.exists() else None


def settle_keys(path: str | Path, used: Verifier) -> bool:
    """Put the key that signs now in the place of its predecessor, whose private half is gone then; whether it did.

    Safe to repeat, also after a crash in the middle. Raises `OSError`.
    """
    own, following, disk = Path(path), next_key_path(path), Disk()
    settled = load_next_signer(path)
    replaced = settled is not None and settled.verifier == used
    if replaced:
        os.replace(following, own)
        disk.sync_directory(own.parent)
    public = verifier_path(own)
    text = load_signer(own).verifier.text + "\n"
    if not public.exists() or public.read_text(encoding="utf-8") != text:
        disk.replace(public, text.encode(), durable=True)
        public.chmod(0o644)
    if not following.exists():
        verifier_path(following).unlink(missing_ok=True)
    return replaced


def _text(index: int, old: Verifier, new: Verifier) -> str:
    return f"{_FORMAT}\n{old.name}\n{index}\n{old.text}\n{new.text}\n"
