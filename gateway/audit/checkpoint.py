"""Signed tree heads: C2SP checkpoints (c2sp.org/tlog-checkpoint) in signed notes (c2sp.org/signed-note), Ed25519.

A checkpoint is three lines (origin, tree size, root hash in base64), extension lines (which this log never writes, and
ignores), a blank line, and signature lines. Keys are written as the Go and C2SP tools write them:
`<name>+<key id>+<base64>` for verifying, and `PRIVATE+KEY+<name>+<key id>+<base64>` for signing, where the base64 holds
the byte 0x01 and the 32 bytes of the key. The key's name is the log's origin.

INVARIANT: nothing of a note is believed before a signature over its text has been verified with a known key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_ED25519 = b"\x01"
_DASH = "\u2014"
_SIGNATURES_LIMIT = 100
_NOTE_LIMIT = 1_000_000
"""Room for the 16 signatures that must be accepted, post-quantum ones of 5 kB among them."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: which log, how many leaves, and the root over them."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class Verifier:
    """The public half of a log's key."""

    __slots__ = ("_key", "hash", "name", "text")

    def __init__(self, name: str, public: bytes) -> None:
        check_name(name)
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self.name = name
        self.hash = _key_hash(name, public)
        self.text = f"{name}+{self.hash.hex()}+{base64.b64encode(_ED25519 + public).decode()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifier) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """The key of a verifier line. Raises `ValueError` when it is malformed or its hash does not fit."""
        name, digest, material = key_parts(text.strip())
        verifier = cls(name, material)
        if verifier.hash != digest:
            raise ValueError("the key's hash does not fit its name and material")
        return verifier

    def verifies(self, text: str, signature: bytes) -> bool:
        """Whether this key made that signature over that text."""
        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """The private half of a log's key. Never printed: `repr` shows the public half."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.verifier = Verifier(name, self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def __repr__(self) -> str:
        return f"Signer({self.verifier.text!r})"

    @classmethod
    def generate(cls, name: str) -> Signer:
        """A new key."""
        key = Ed25519PrivateKey.generate()
        return cls(name, key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    @classmethod
    def parse(cls, text: str) -> Signer:
        """The key of a `PRIVATE+KEY+…` line. Raises `ValueError`, which never quotes the line."""
        marker, private, line = text.strip().partition("PRIVATE+KEY+")
        if marker or not private:
            raise ValueError("not a signing key")
        name, digest, material = key_parts(line)
        signer = cls(name, material)
        if signer.verifier.hash != digest:
            raise ValueError("the key's hash does not fit its name and material")
        return signer

    def text(self) -> str:
        """The `PRIVATE+KEY+…` line."""
        secret = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        material = base64.b64encode(_ED25519 + secret).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.hash.hex()}+{material}"

    def sign(self, text: str) -> str:
        """The signed note of a text that ends in a newline."""
        return f"{text}\n{self.signature(text)}"

    def signature(self, text: str) -> str:
        """The signature line of a text that ends in a newline."""
        if not text.endswith("\n"):
            raise ValueError("a note's text ends in a newline")
        return signature_line(self.verifier.name, self.verifier.hash + self._key.sign(text.encode()))


def load_signer(path: str | Path) -> Signer:
    """The signing key of that file. Raises `OSError`, and `ValueError` when it is malformed or others may read it."""
    with Path(path).open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"{path} can be read by others; make it 0600")
        return Signer.parse(file.read())


def create_signer(path: str | Path, name: str) -> Signer:
    """A new signing key, in a new file (0600), with the verifier key beside it (`<path>.pub`).

    The file is there whole or not at all. Raises `FileExistsError` rather than replace a key.
    """
    signer = Signer.generate(name)
    _write_new(Path(path), signer.text(), 0o600)
    verifier_path(path).unlink(missing_ok=True)
    _write_new(verifier_path(path), signer.verifier.text, 0o644)
    return signer


def _write_new(path: Path, text: str, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(descriptor)
    try:
        # unlike a rename, a link takes no other file's place
        os.link(temporary, path)
    finally:
        temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def verifier_path(path: str | Path) -> Path:
    """Where the verifier key of a signing key's file lies."""
    return Path(f"{path}.pub")


def signature_line(name: str, blob: bytes) -> str:
    """The line of a note that carries a key's id and what it signed with."""
    return f"{_DASH} {name} {base64.b64encode(blob).decode()}\n"


def note_parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text of a note and its signatures: name, key id, and what was signed with. Verifies none of them.

    Raises `ValueError` when the note is malformed.
    """
    if len(note) > _NOTE_LIMIT or any(character < " " and character != "\n" for character in note):
        raise ValueError("not a signed note")
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or lines.pop() != "" or not 0 < len(lines) <= _SIGNATURES_LIMIT:
        raise ValueError("not a signed note")
    return text + "\n", [_signature(line) for line in lines]


def signers_of(note: str, verifiers: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note, and which of these keys signed it. Signatures of other keys are ignored.

    Raises `ValueError` when the note is malformed or a signature of one of these keys does not fit.
    """
    text, signatures = note_parts(note)
    found = []
    for verifier in verifiers:
        blobs = [blob for name, key_id, blob in signatures if (name, key_id) == (verifier.name, verifier.hash)]
        if not all(verifier.verifies(text, blob) for blob in blobs):
            raise ValueError("the signature does not fit the text")
        if blobs:
            found.append(verifier)
    return text, found


def open_note(note: str, verifier: Verifier) -> str:
    """The text of a note that this key signed. Raises `ValueError` when it did not, or the note is malformed."""
    text, signers = signers_of(note, (verifier,))
    if not signers:
        raise ValueError(f"not signed by `{verifier.name}`")
    return text


def open_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The tree head of a checkpoint that this key signed. Raises `ValueError`."""
    return head_of(open_note(note, verifier), verifier.name)


def head_of(text: str, origin: str) -> Checkpoint:
    """The tree head that a note's text states. Raises `ValueError` when it states none, or one of another log."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise ValueError("not a checkpoint: three lines expected")
    name, size, root = lines[:3]
    if not size.isascii() or not size.isdigit() or len(size) > 19 or str(int(size)) != size:
        raise ValueError("not a checkpoint: the size is not a number")
    if name != origin:
        raise ValueError("the checkpoint is of another log")
    return Checkpoint(name, int(size), _decoded(root, 32))


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH or not _is_name(parts[1]):
        raise ValueError("malformed signature line")
    blob = _decoded(parts[2])
    if len(blob) < 5:
        raise ValueError("malformed signature line")
    return parts[1], blob[:4], blob[4:]


def key_parts(line: str, kind: bytes = _ED25519) -> tuple[str, bytes, bytes]:
    """Name, key id and material of a key's line, which must be of that type. Raises `ValueError`."""
    parts = line.split("+", 2)
    if len(parts) != 3 or len(parts[1]) != 8:
        raise ValueError("malformed key")
    name, digest, material = parts
    try:
        key_hash = bytes.fromhex(digest)
    except ValueError:
        raise ValueError("malformed key") from None
    if key_hash.hex() != digest:
        raise ValueError("malformed key")
    blob = _decoded(material, 33)
    if blob[:1] != kind:
        raise ValueError("not a key of that type")
    return name, key_hash, blob[1:]


def _decoded(text: str, length: int | None = None) -> bytes:
    """Base64 in its one canonical spelling: padding present, unused bits zero."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("malformed base64") from None
    if base64.b64encode(blob).decode() != text or (length is not None and len(blob) != length):
        raise ValueError("malformed base64")
    return blob


def _key_hash(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def _is_name(name: str) -> bool:
    return bool(name) and not any(character.isspace() or character < " " or character == "+" for character in name)


def check_name(name: str) -> None:
    """Raises `ValueError` unless the name may stand in a signature line."""
    if not _is_name(name):
        raise ValueError("a key's name is not empty and has neither spaces nor plus signs")
