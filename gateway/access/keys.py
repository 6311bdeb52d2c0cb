"""Keys from the master key, sealing of what must be read again, digests of what must only be recognised.

Seals are under the master key in force and open under former ones too, until they were made anew (`masters.py`).
Digests cannot be made anew, and pseudonyms should stay: they derive from the root, which outlives master keys.

HKDF-SHA256 (RFC 5869) with one `info` per use; AES-256-GCM with a random 96-bit nonce (NIST SP 800-38D); the owner's
id is the associated data, so a sealed secret moved to another person's row does not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import GatewayError
from gateway.store.sealed import FACTOR, LITERALS

Token = Callable[[int], bytes]
"""Returns that many random bytes."""


USES: Mapping[str, bytes] = {FACTOR: b"gateway/access/factor", LITERALS: b"gateway/literals/wrap"}
"""What is sealed in the store, and the `info` of the key that does it."""


class Sealer:
    """Seals for one use under the first of the master keys, and opens under each of them."""

    def __init__(self, masters: Iterable[bytes], use: str) -> None:
        self._keys = tuple(AESGCM(derive(master, USES[use])) for master in masters)

    def seal(self, secret: bytes, owner: str, token: Token) -> bytes:
        """The secret, readable only for that owner."""
        nonce = token(12)
        return nonce + self._keys[0].encrypt(nonce, secret, owner.encode())

    def open(self, sealed: bytes, owner: str) -> tuple[bytes, bool] | None:
        """What `seal` was given, and whether it took a former key; None when none of them opens it."""
        for place, key in enumerate(self._keys):
            try:
                return key.decrypt(sealed[:12], sealed[12:], owner.encode()), place > 0
            except (InvalidTag, ValueError):
                continue
        return None


class Keys:
    """The keys of the access rooms. `root` is the master key itself unless it is given."""

    def __init__(self, master_key: bytes, former: Iterable[bytes] = (), root: bytes = b"") -> None:
        self._sealer = Sealer((master_key, *former), FACTOR)
        self._digest = derive(root or master_key, b"gateway/access/digest")
        self.mock = derive(root or master_key, b"gateway/access/mock")

    def seal(self, secret: bytes, owner: str, token: Token) -> bytes:
        """The secret, readable only with the master key and for that owner."""
        return self._sealer.seal(secret, owner, token)

    def unseal(self, sealed: bytes, owner: str) -> bytes:
        """What `seal` was given. Raises `GatewayError("store-unavailable")` when it does not open."""
        opened = self._sealer.open(sealed, owner)
        if opened is None:
            raise GatewayError(
                "store-unavailable",
                "what is sealed in the store cannot be read",
                "check that the master key is the one that it was sealed under",
                owner,
            )
        return opened[0]

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


def derive(master_key: bytes, info: bytes) -> bytes:
    """The key of 32 bytes for that use."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master_key)
