"""Cosignatures of tree heads by others than the log: C2SP tlog-cosignature, `cosignature/v1`, Ed25519.

A cosignature says that at its time this was the largest tree of the log that the cosigner had seen, and that all the
trees it ever saw are consistent. It is a further signature line of the checkpoint, by a key of type 0x04, whose blob
is the time (seconds since 1970, 64 bits) and the signature over

    cosignature/v1
    time <seconds>
    <the checkpoint's text, extension lines included>

INVARIANT: a key that cosigns signs nothing else: its private form has a type of its own and does not load as a log's.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.audit.checkpoint import check_name, key_parts, note_parts, signature_line

_TYPE = b"\x04"
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """The public half of a witness's key."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> CosignatureVerifier:
        """The key of a `<name>+<key id>+<base64>` line. Raises `ValueError`."""
        name, key_id, public = key_parts(text.strip(), _TYPE)
        check_name(name)
        verifier = cls(name, public)
        if verifier.key_id != key_id:
            raise ValueError("the key's id does not fit its name and material")
        return verifier

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in signature lines."""
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The verifier key's line."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_TYPE + self.public).decode()}"

    def cosigned_at(self, note: str) -> int | None:
        """When this key cosigned the checkpoint, in seconds since 1970; None when it did not.

        Raises `ValueError` when the note is malformed or the signature does not fit.
        """
        text, signatures = note_parts(note)
        key = Ed25519PublicKey.from_public_bytes(self.public)
        latest = None
        for name, key_id, blob in signatures:
            if (name, key_id) != (self.name, self.key_id):
                continue
            time = int.from_bytes(blob[:8], "big")
            if len(blob) != 72 or time > _LATEST:
                raise ValueError("the cosignature is malformed")
            try:
                key.verify(blob[8:], _message(text, time))
            except InvalidSignature:
                raise ValueError("the cosignature does not fit the text") from None
            latest = max(time, latest or 0)
        return latest


class Cosigner:
    """The private half. Never printed: `repr` shows the public half."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, secret: bytes) -> None:
        check_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.verifier = CosignatureVerifier(name, public)

    def __repr__(self) -> str:
        return f"Cosigner({self.verifier.text!r})"

    @classmethod
    def generate(cls, name: str) -> Cosigner:
        """A new key."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))

    @classmethod
    def parse(cls, text: str) -> Cosigner:
        """The key of a `PRIVATE+KEY+…` line. Raises `ValueError`, which never quotes the line."""
        marker, private, line = text.strip().partition("PRIVATE+KEY+")
        if marker or not private:
            raise ValueError("not a signing key")
        name, key_id, secret = key_parts(line, _TYPE)
        cosigner = cls(name, secret)
        if cosigner.verifier.key_id != key_id:
            raise ValueError("the key's id does not fit its name and material")
        return cosigner

    def text(self) -> str:
        """The `PRIVATE+KEY+…` line."""
        secret = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        material = base64.b64encode(_TYPE + secret).decode()
        return f"PRIVATE+KEY+{self.verifier.name}+{self.verifier.key_id.hex()}+{material}"

    def cosigned(self, note: str, time: int) -> str:
        """The checkpoint with this key's signature line of that time, in the place of an earlier one."""
        if not 0 < time <= _LATEST:
            raise ValueError("the time is out of range")
        text, signatures = note_parts(note)
        verifier = self.verifier
        others = "".join(
            signature_line(name, key_id + blob)
            for name, key_id, blob in signatures
            if (name, key_id) != (verifier.name, verifier.key_id)
        )
        blob = time.to_bytes(8, "big") + self._key.sign(_message(text, time))
        return f"{text}\n{others}{signature_line(verifier.name, verifier.key_id + blob)}"


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()
