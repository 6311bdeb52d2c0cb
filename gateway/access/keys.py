"""Keys from the master key, sealing of what must be read again, digests of what must only be recognised.

HKDF-SHA256 (RFC 5869) with one `info` per use; AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D); the owner's
id is the associated data, so a sealed secret moved to another person's row does not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import GatewayError

Token = Callable[[int], bytes]
"""Returns that many random bytes."""


class Keys:
    """The keys of the access rooms."""

    def __init__(self, master_key: bytes) -> None:
        self._seal = AESGCM(_derive(master_key, b"gateway/access/factor"))
        self._digest = _derive(master_key, b"gateway/access/digest")
        self.mock = _derive(master_key, b"gateway/access/mock")

    def seal(self, secret: bytes, owner: str, token: Token) -> bytes:
        """The secret, readable only with the master key and for that owner."""
        nonce = token(12)
        return nonce + self._seal.encrypt(nonce, secret, owner.encode())

    def unseal(self, sealed: bytes, owner: str) -> bytes:
        """What `seal` was given. Raises `GatewayError("store-unavailable")` when it does not open."""
        try:
            return self._seal.decrypt(sealed[:12], sealed[12:], owner.encode())
        except (InvalidTag, ValueError) as error:
            raise GatewayError(
                "store-unavailable",
                "what is sealed in the store cannot be read",
                "check that the master key is the one that it was sealed under",
                owner,
            ) from error

    def digest(self, purpose: str, secret: str) -> bytes:
        """A keyed digest: who copies the store alone cannot try candidates against it."""
        return hmac.digest(self._digest, purpose.encode() + b"\0" + secret.encode(), "sha256")

    def mark(self, digest: str) -> str:
        """What stands for a statement outside the process: its digest, keyed, so that nobody can try literals against
        it; nothing for nothing.
        """
        return self.digest("statement", digest).hex() if digest else ""

    def mock_secret(self, login: str) -> str:
        """A TOTP secret for somebody who has none, so that his codes cost as much to refuse as anybody's."""
        return base32(hmac.digest(self.mock, b"totp\0" + login.encode(), "sha256")[:20]).upper()


def token_digest(token: str) -> bytes:
    """What is kept of a bearer token: it has 256 random bits, so a plain hash suffices."""
    return hashlib.sha256(token.encode()).digest()


def base32(data: bytes) -> str:
    """RFC 4648 base32 in lower case, without padding: letters and digits only, safe in URIs, shells and pgpass."""
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _derive(master_key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master_key)
