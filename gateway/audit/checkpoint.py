"""Signed tree heads: C2SP checkpoints (c2sp.org/tlog-checkpoint) in signed notes (c2sp.org/signed-note), Ed25519.

A checkpoint is three lines (origin, tree size, root hash in base64), a blank line, and a signature line. Keys are
written as the Go and C2SP tools write them: `<name>+<hash>+<base64>` for verifying, and
`PRIVATE+KEY+<name>+<hash>+<base64>` for signing, where the base64 holds the byte 0x01 and the 32 bytes of the key.
The key's name is the log's origin.

INVARIANT: nothing of a note is believed before a signature over its text has been verified with a known key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_ED25519 = b"\x01"
_DASH = "\u2014"
_SIGNATURES_LIMIT = 16
_NOTE_LIMIT = 16_384


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
        _check_name(name)
        self._key = Ed25519PublicKey.from_public_bytes(public)
        self.name = name
        self.hash = _key_hash(name, public)
        self.text = f"{name}+{self.hash.hex()}+{base64.b64encode(_ED25519 + public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """The key of a verifier line. Raises `ValueError` when it is malformed or its hash does not fit."""
        name, digest, material = _key_parts(text.strip())
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
        name, digest, material = _key_parts(line)
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
        if not text.endswith("\n"):
            raise ValueError("a note's text ends in a newline")
        blob = base64.b64encode(self.verifier.hash + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH} {self.verifier.name} {blob}\n"


def load_signer(path: str | Path) -> Signer:
    """The signing key of that file. Raises `OSError`, and `ValueError` when it is malformed or others may read it."""
    with Path(path).open(encoding="utf-8") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"{path} can be read by others; make it 0600")
        return Signer.parse(file.read())


def create_signer(path: str | Path, name: str) -> Signer:
    """A new signing key, in a new file (0600), with the verifier key beside it (`<path>.pub`).

    Raises `FileExistsError` rather than replace a key.
    """
    signer = Signer.generate(name)
    for file, mode, text in ((Path(path), 0o600, signer.text()), (verifier_path(path), 0o644, signer.verifier.text)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
            stream.flush()
            os.fsync(descriptor)
    directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return signer


def verifier_path(path: str | Path) -> Path:
    """Where the verifier key of a signing key's file lies."""
    return Path(f"{path}.pub")


def open_note(note: str, verifier: Verifier) -> str:
    """The text of a note that this key signed. Raises `ValueError` when it did not, or the note is malformed.

    Signatures of other keys are ignored, as the specification asks.
    """
    if len(note) > _NOTE_LIMIT or any(character < " " and character != "\n" for character in note):
        raise ValueError("not a signed note")
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = signatures.split("\n")
    if not blank or lines.pop() != "" or not 0 < len(lines) <= _SIGNATURES_LIMIT:
        raise ValueError("not a signed note")
    known = False
    for line in lines:
        name, blob = _signature(line)
        if name != verifier.name or blob[:4] != verifier.hash:
            continue
        if not verifier.verifies(text, blob[4:]):
            raise ValueError("the signature does not fit the text")
        known = True
    if not known:
        raise ValueError(f"not signed by `{verifier.name}`")
    return text


def open_checkpoint(note: str, verifier: Verifier) -> Checkpoint:
    """The tree head of a checkpoint that this key signed. Raises `ValueError`."""
    lines = open_note(note, verifier).split("\n")
    if len(lines) != 4 or lines[3]:
        raise ValueError("not a checkpoint: three lines expected")
    origin, size, root = lines[:3]
    if not size.isascii() or not size.isdigit() or str(int(size)) != size:
        raise ValueError("not a checkpoint: the size is not a number")
    if origin != verifier.name:
        raise ValueError("the checkpoint is of another log")
    return Checkpoint(origin, int(size), _decoded(root, 32))


def _signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH or not parts[1] or "+" in parts[1]:
        raise ValueError("malformed signature line")
    blob = _decoded(parts[2])
    if len(blob) < 5:
        raise ValueError("malformed signature line")
    return parts[1], blob


def _key_parts(line: str) -> tuple[str, bytes, bytes]:
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
    if blob[:1] != _ED25519:
        raise ValueError("not an Ed25519 key")
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


def _check_name(name: str) -> None:
    if not name or "+" in name or any(character.isspace() or character < " " for character in name):
        raise ValueError("a key's name is not empty and has neither spaces nor plus signs")
