"""The certificate that the gateway shows an API: read with its key, and read again when it was renewed.

INVARIANT: a certificate and a key that do not belong together, or cannot be read, are never shown: what was read before
is kept, for a renewal writes two files one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.errors import GatewayError
from gateway.http_settings import ClientCertificate


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with those of its issuers, and its private key, both in PEM; `ends` is when it is valid no more."""

    chain: bytes
    key: bytes = field(repr=False)
    ends: datetime = field(compare=False)


def read_identity(settings: ClientCertificate) -> Identity:
    """What is there now. Raises `GatewayError("configuration-invalid")`."""
    path = settings.certificate
    try:
        chain = path.read_bytes()
        found = x509.load_pem_x509_certificates(chain)
    except (OSError, ValueError) as error:
        raise GatewayError("configuration-invalid", f"the certificate `{path}` cannot be read") from error
    key = settings.key.read()
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise GatewayError(
            "configuration-invalid", f"the key of the certificate `{path}` is none in PEM without a passphrase"
        ) from error
    if _spki(private.public_key()) != _spki(found[0].public_key()):
        raise GatewayError("configuration-invalid", f"the key of the certificate `{path}` is another's")
    return Identity(chain, key, found[0].not_valid_after_utc)


def _spki(key: object) -> bytes:
    made: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return made
