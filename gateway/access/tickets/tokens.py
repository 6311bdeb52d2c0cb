"""JSON Web Tokens signed with RS256 (RFC 7515, RFC 7519), as GitHub wants them of its apps."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def jwt_rs256(pem: bytes, claims: Mapping[str, Any]) -> str:
    """The claims, signed. Raises `ValueError` for what is no RSA key."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _no_key() from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _no_key()
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, dict(claims)))
    return f"{signed}.{_encoded(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _no_key() -> ValueError:
    return ValueError("the app's private key is no RSA key in PEM without a passphrase")
