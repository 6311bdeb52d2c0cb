"""The authentication plugins `mysql_native_password`, `caching_sha2_password` and `mysql_clear_password`, both halves.

MySQL Source Code Documentation, "Native Authentication", "Caching_sha2_password information", "Clear text client
plugin". The first two answer a nonce; the second also has a full form, in which the password itself is sent, which is
why it serves every client as `mysql_clear_password` serves those that were told to allow it. Its form by the server's
RSA key is not spoken, by neither half. MariaDB's `client_ed25519` is not either: it signs with a key that is not a
seed of 32 bytes, which the libraries of the field do not take.

INVARIANT: no password goes, or is asked for, over a line that the caller does not call secure; what is proven is
compared in constant time; an empty answer proves nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.wire.mysql.base import AUTH_SWITCH, MORE_DATA, OK, tls_required, unsupported, violation
from gateway.wire.mysql.handshake import (
    NONCE_BYTES,
    encode_auth_switch,
    encode_more_data,
    parse_auth_switch,
)

NATIVE: Final = "mysql_native_password"
CACHING_SHA2: Final = "caching_sha2_password"
CLEAR: Final = "mysql_clear_password"
MAX_PASSWORD_BYTES: Final = 1024

_REQUEST_PUBLIC_KEY: Final = b"\2"
_FAST_OK: Final = b"\3"
_FULL: Final = b"\4"


def native_response(password: bytes, nonce: bytes) -> bytes:
    """The client's answer of 20 bytes; empty for an empty password."""
    if not password:
        return b""
    first = hashlib.sha1(password, usedforsecurity=False).digest()
    return _xor(first, _sha1(nonce + _sha1(first)))


def sha2_response(password: bytes, nonce: bytes) -> bytes:
    """The client's answer of 32 bytes; empty for an empty password."""
    if not password:
        return b""
    first = hashlib.sha256(password).digest()
    return _xor(first, _sha256(_sha256(first) + nonce))


@dataclass(frozen=True, slots=True)
class Verifier:
    """What a server keeps instead of a secret that was drawn at random: its two double hashes.

    They are as good as a secret's guessability, so for secrets of 128 bits and more only, never for what a person
    thought of. With `mock` nothing is ever accepted.
    """

    sha1: bytes
    sha256: bytes
    mock: bool = False

    @classmethod
    def of(cls, secret: bytes) -> Verifier:
        """The verifier of a secret."""
        return cls(_sha1(_sha1(secret)), _sha256(_sha256(secret)))

    def knows(self, plugin: str, nonce: bytes, response: bytes) -> bool:
        """Whether the answer to `nonce` was made from the secret. Mock verifiers cost the same."""
        hashed, stored = (_sha1, self.sha1) if plugin == NATIVE else (_sha256, self.sha256)
        if len(response) != len(stored):
            return False
        order = nonce + stored if plugin == NATIVE else stored + nonce
        right = hmac.compare_digest(hashed(_xor(response, hashed(order))), stored)
        return right and not self.mock

    def is_of(self, secret: bytes) -> bool:
        """Whether it is the verifier of a secret that was shown in clear."""
        return hmac.compare_digest(_sha256(_sha256(secret)), self.sha256) and not self.mock


class Judged(NamedTuple):
    """Where a client's authentication stands: `send` this first, if it is something.

    `more`: the client's next packet is needed. Otherwise it is over: `proven` is the place of the verifier that knew
    the secret, `password` the password in clear that somebody else has to judge, and with neither it failed.
    """

    send: bytes = b""
    more: bool = False
    proven: int | None = None
    password: bytes | None = None


class ServerAuth:
    """The server's half for one client: `start` with what came in its handshake response, then `go_on` while `more`.

    `plugin` is what the client is to prove itself by, against `verifiers`. With `ask_password`, who proves nothing by
    `caching_sha2_password` is asked for the password itself. `nonce` is the greeting's.

    Raises: `GatewayError` `tls-required` when a password would be asked for on a line that is not `secure`.
    """

    __slots__ = ("_ask", "_expects", "_nonce", "_plugin", "_verifiers")

    def __init__(
        self, plugin: str, nonce: bytes, verifiers: Sequence[Verifier], *, secure: bool, ask_password: bool = False
    ) -> None:
        if plugin not in (NATIVE, CACHING_SHA2, CLEAR):
            raise ValueError(f"unknown plugin {plugin!r}")
        if not secure and (plugin == CLEAR or ask_password):
            raise tls_required("a password may be sent over TLS only")
        self._plugin = plugin
        self._nonce = nonce
        self._verifiers = tuple(verifiers)
        self._ask = ask_password
        self._expects = "start"

    def start(self, plugin: str, response: bytes) -> Judged:
        """What the client sent for the plugin that it chose by itself."""
        self._turn("start")
        if plugin != self._plugin or plugin == CLEAR:
            self._expects = "response"
            return Judged(encode_auth_switch(self._plugin, self._nonce), more=True)
        return self._response(response)

    def go_on(self, body: bytes) -> Judged:
        """The client's next packet."""
        if self._expects == "response":
            return self._response(body)
        self._turn("password")
        if body == _REQUEST_PUBLIC_KEY:
            raise violation("the client asks for a key to encrypt with, over TLS")
        return Judged(password=_password(body))

    def _response(self, body: bytes) -> Judged:
        self._expects = "over"
        if self._plugin == CLEAR:
            return Judged(password=_password(body))
        proven = None
        for place, verifier in enumerate(self._verifiers):
            if verifier.knows(self._plugin, self._nonce, body):
                proven = place
        if self._plugin == NATIVE:
            return Judged(proven=proven)
        if proven is not None:
            return Judged(encode_more_data(_FAST_OK), proven=proven)
        if self._ask and body:
            self._expects = "password"
            return Judged(encode_more_data(_FULL), more=True)
        return Judged()

    def _turn(self, which: str) -> None:
        if self._expects != which:
            raise violation("the authentication is out of order")
        self._expects = "over"


class ClientAuth:
    """The client's half towards a target: `start` for the handshake response, `respond` to each packet until OK or ERR.

    `secure`: the line is encrypted and the target has proven who it is, or nobody is between.
    """

    __slots__ = ("_full", "_more", "_password", "_plugin", "_secure", "_started", "_switched")

    def __init__(self, password: bytes, *, secure: bool) -> None:
        if b"\0" in password:
            raise violation("the password contains a NUL byte")
        self._password = password
        self._secure = secure
        self._plugin = ""
        self._more = False
        self._full = False
        self._started = False
        self._switched = False

    def start(self, plugin: str, nonce: bytes) -> tuple[str, bytes]:
        """The plugin and its answer for the handshake response. A preference for another plugin is left unfollowed."""
        if self._started:
            raise violation("the authentication is out of order")
        self._started = True
        self._plugin = plugin if plugin in (NATIVE, CACHING_SHA2) else CACHING_SHA2
        return self._plugin, self._answer(nonce)

    def respond(self, body: bytes) -> bytes | None:
        """What to send to a packet of the target; None when there is nothing to send.

        OK and ERR packets are the caller's to see, and `accepts` to ask about the first.

        Raises: `GatewayError` `feature-not-supported` for a plugin that is not spoken; `tls-required` where the
        password would have to be sent on a line that is not secure; `protocol-violation`.
        """
        if not self._started or not body:
            raise violation("the authentication is out of order")
        if body[0] == AUTH_SWITCH:
            return self._switch(body)
        if body[0] != MORE_DATA or self._plugin != CACHING_SHA2 or self._full:
            raise violation("the target sends something else than an authentication")
        self._full = True
        if body[1:] == _FAST_OK:
            return None
        if body[1:] != _FULL:
            raise unsupported("the target goes on with the authentication in an unknown way")
        if not self._secure:
            raise tls_required("the target wants the password itself, and the line is not encrypted")
        return self._password + b"\0"

    def accepts(self, body: bytes) -> bool:
        """Whether the packet is the target's OK, and may come now."""
        return self._started and bool(body) and body[0] == OK

    def _switch(self, body: bytes) -> bytes:
        plugin, nonce = parse_auth_switch(body)
        if self._switched or self._full:
            raise violation("the target switches the authentication plugin again")
        self._switched = True
        if plugin not in (NATIVE, CACHING_SHA2):
            raise unsupported(
                f"the target asks for the authentication plugin `{plugin}`",
                f"let the gateway's account use {CACHING_SHA2} or {NATIVE}",
            )
        self._plugin = plugin
        return self._answer(nonce)

    def _answer(self, nonce: bytes) -> bytes:
        if len(nonce) != NONCE_BYTES:
            raise violation("the nonce has not 20 bytes")
        return (native_response if self._plugin == NATIVE else sha2_response)(self._password, nonce)


def _password(body: bytes) -> bytes:
    if not body.endswith(b"\0") or b"\0" in body[:-1]:
        raise violation("the password must end with its only NUL byte")
    if len(body) > MAX_PASSWORD_BYTES:
        raise violation("the password is too long")
    return body[:-1]


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
