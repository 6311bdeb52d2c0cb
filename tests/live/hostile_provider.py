"""An OpenID Connect provider that lies: its documents, keys and tokens are whatever a test makes them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwk, jws
from vendor_server import Asked, Told

CLIENT, SECRET = "gateway", "s3cret"


def key(kid: str = "k1") -> Any:
    return jwk.generate_key("EC", "P-256", {"kid": kid, "use": "sig"})


@dataclass
class HostileProvider:
    """`document` and `keys` are served as they are; `claims` are signed with `signer`."""

    issuer: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    signer: Any = field(default_factory=key)
    keys: list[dict[str, Any]] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    tokens: dict[str, Any] = field(default_factory=dict)
    error: tuple[int, dict[str, Any]] | None = None
    forms: list[dict[str, str]] = field(default_factory=list)

    def at(self, url: str) -> None:
        """Serve as that issuer, truthfully at first."""
        self.issuer = url
        self.document = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/jwks",
            "userinfo_endpoint": f"{url}/userinfo",
            "device_authorization_endpoint": f"{url}/device",
        }
        self.keys = [self.signer.as_dict(private=False)]
        at = int(time.time())
        self.claims = {
            "iss": url, "sub": "s-1", "aud": CLIENT, "iat": at, "exp": at + 300, "nonce": "n",
            "preferred_username": "alice", "groups": ["support"],
        }  # fmt: skip

    def signed(self, **changes: Any) -> str:
        payload = json.dumps({**self.claims, **changes})
        return jws.serialize_compact({"alg": "ES256", "kid": self.signer.kid}, payload, self.signer, ["ES256"])

    def answer(self, asked: Asked) -> Told:
        path = "/".join(asked.path)
        if path == ".well-known/openid-configuration":
            return Told(200, self.document)
        if path == "jwks":
            return Told(200, {"keys": self.keys})
        if path == "userinfo":
            return Told(401) if self.userinfo is None else Told(200, self.userinfo)
        if path in ("token", "device"):
            self.forms.append(dict(parse_qsl(asked.body.decode())))
            if self.error is not None:
                return Told(*self.error)
            given = {"access_token": "a", "token_type": "Bearer", "id_token": self.signed(), **self.tokens}
            return Told(200, {name: value for name, value in given.items() if value is not ...})
        return Told(404)
