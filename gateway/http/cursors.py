"""Where an answer goes on: what a server calls that place is sealed, so that only who got it can come back to it.

INVARIANT: of a server's own word for the next page nothing leaves but its seal, which has a key of the one statement
that it belongs to; a page is asked for only when the seal is of the session's own statement.

The seal is AES-256-GCM (NIST SP 800-38D) whose nonce is made of the key and the text: one text has one seal, so that a
client may ask for a page again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE = 12
LONGEST = 1 << 20
"""Characters of what a client brings back."""


@dataclass(frozen=True, slots=True)
class Paging:
    """How the next page of one statement's answer is named: below `base`, as the page of `cursor`, sealed by `key`."""

    base: str
    cursor: str
    key: bytes = field(repr=False)

    def sealed(self, text: str) -> str:
        """The server's word for a page, as the client gets it."""
        return sealed(self.key, text)


def sealed(key: bytes, text: str) -> str:
    """The text so that only the key opens it, in letters that a path can have."""
    plain = text.encode()
    nonce = hmac.digest(key, plain, "sha256")[:_NONCE]
    return base64.urlsafe_b64encode(nonce + AESGCM(key).encrypt(nonce, plain, None)).decode().rstrip("=")


def opened(key: bytes, seal: str) -> str | None:
    """The text of a seal; None for what is none of that key."""
    if len(seal) > LONGEST:
        return None
    try:
        raw = base64.b64decode(seal + "=" * (-len(seal) % 4), b"-_", validate=True)
        return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], None).decode()
    except (binascii.Error, InvalidTag, ValueError):
        return None
