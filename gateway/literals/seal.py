"""The seal that the values of every statement pass on their way into the trail's keeping.

    blob   = commitment:32 nonce:12 AES-256-GCM(piece*, the statement's id as associated data)
    piece  = tag:1 length:u32 data
    tag    = "t" a text, UTF-8 · "r" a text in no encoding that could be read · "v" values of a Bind, from its formats
             on · "o" OIDs of their types, u32 each, before them · "f" a FunctionCall · "x" nothing: it is not all

The record has `sealed`, `2026-11.<SHA-256 of the blob, in hexadecimal>`, with `.cut` behind it when something was left
out, and `subjects`: tokens of the values that may tell who somebody is, each 128 bits of keyed BLAKE2b (RFC 7693) under
each customer of the grant, and `+n` when there were n more, or may have been.

INVARIANT: a record says that there is a blob only once the files have taken it; what they cannot take is refused.
"""

from __future__ import annotations

import base64
import hmac
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from struct import Struct
from typing import Any

from cryptography.exceptions import InvalidTag

from gateway.literals.blobs import Blobs
from gateway.literals.keyring import KEY_BYTES, Key, Keyring
from gateway.literals.values import spelled, subjects_of
from gateway.model import Session, Statement
from gateway.policy.schema import Policy
from gateway.sql.cache import Judgement
from gateway.sql.said import SILENT, Said, Subject, in_text

LIMIT = 65_536
"""Bytes of pieces in one blob."""
TOKENS = 96
"""Tokens in one record."""
_TOKEN_BYTES = 16
_HEAD = Struct(">cI")
_NONCE_BYTES = 12
_NONCES = 256

Telling = Callable[[str, Policy], tuple[Subject, ...]]
"""Finds the values of a text that may tell who somebody is; nothing in one that cannot be read."""


class Seals:
    """The seals of one process; the event loop's thread only."""

    def __init__(
        self,
        keyring: Keyring,
        blobs: Blobs,
        telling: Telling,
        clock: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.keyring, self.blobs, self.telling = keyring, blobs, telling
        self._clock, self._entropy = clock, entropy
        self._month, self._begins, self._ends = "", 0.0, 0.0
        self._nonces, self._at = b"", 0

    def of(self, session: Session) -> Seal:
        """The seal of a session's statements. Raises `GatewayError("store-unavailable")`."""
        seal = Seal(self, tuple(sorted(set(session.grant.customers))))
        # made now, where a connection begins, and not when its first statement waits
        self.keyring.sealing(seal.customers, self.month())
        for customer in seal.customers:
            self.keyring.token(customer)
        return seal

    async def warm(self, customers: tuple[str, ...]) -> None:
        """Have at hand what a session for those customers needs. Raises `GatewayError("store-unavailable")`."""
        await self.keyring.warm(tuple(sorted(set(customers))), self.month())

    async def warm_for_the_next_month(self, before_s: float) -> None:
        """When less than that is left of the month, have what is at hand for it at hand for the next one too.

        Raises `GatewayError("store-unavailable")`.
        """
        month = self.month()
        if self._clock() + before_s >= self._ends:
            following = time.strftime("%Y-%m", time.gmtime(self._ends))
            for customers in self.keyring.at_hand(month):
                await self.keyring.warm(customers, following)

    def month(self) -> str:
        """The present month, as keys and files are named by it."""
        now = self._clock()
        if not self._begins <= now < self._ends:
            self._month = time.strftime("%Y-%m", time.gmtime(now))
            self._begins, self._ends = month_begin(self._month), month_end(self._month)
        return self._month

    def put(self, customers: tuple[str, ...], statement: str, said: Said) -> str:
        """Seal what was said, and hand it to the files; answers what the record says of it. Raises `GatewayError`."""
        month = self._month if self._begins <= self._clock() < self._ends else self.month()
        plain, cut = pieces_of(said)
        nonce = self._nonce()
        key = self.keyring.sealing(customers, month)
        blob = key.head + nonce + key.aead.encrypt(nonce, plain, statement.encode())
        name = sha256(blob).hexdigest()
        self.blobs.append(month, name, blob)
        return f"{month}.{name}.cut" if cut else f"{month}.{name}"

    def _nonce(self) -> bytes:
        at = self._at
        if at >= len(self._nonces):
            self._nonces, at = self._entropy(_NONCE_BYTES * _NONCES), 0
        self._at = at + _NONCE_BYTES
        return self._nonces[at : self._at]


class Seal:
    """One session's: under the keys of its grant's customers."""

    __slots__ = ("_seals", "customers")

    def __init__(self, seals: Seals, customers: tuple[str, ...]) -> None:
        self._seals, self.customers = seals, customers

    def of(self, said: Said, statement: str, policy: Policy) -> tuple[str, str]:
        """What the record says in `sealed` and `subjects`; empty for what it does not have. Raises `GatewayError`."""
        tokens = self._tokens(said) if said.subjects else ""
        if policy.literals != "none" and (said.texts or said.bound):
            return self._seals.put(self.customers, statement, said), tokens
        return "", tokens

    def refused(self, statement: Statement, judged: Judgement | None, policy: Policy, *, read: bool) -> dict[str, Any]:
        """The same as fields for the record of a refusal. `read` says that the text may be analysed here."""
        if judged is not None:
            said = judged.said
        elif statement.text:
            said = in_text(statement.text, self._seals.telling(statement.text, policy) if read else ())
        else:
            said = SILENT
        sealed, subjects = self.of(said, statement.id, policy)
        return {"sealed": sealed, "subjects": subjects}

    def _tokens(self, said: Said) -> str:
        values = subjects_of(said)
        if not values:
            return "+1" if said.more else ""
        customers = self.customers or ("",)
        keyring, most = self._seals.keyring, max(1, TOKENS // len(customers))
        tokens = [token(keyring.token(customer), value) for value in values[:most] for customer in customers[:TOKENS]]
        left_out = len(values) * len(customers) - len(tokens) + said.more
        return " ".join([*tokens, f"+{left_out}"] if left_out else tokens)


def token(key: bytes, value: str) -> str:
    """What stands for a value, as `values.spelled` spells it, under a customer's key."""
    return base64.urlsafe_b64encode(blake2b(value.encode(), digest_size=_TOKEN_BYTES, key=key).digest())[:22].decode()


def tokens_of(keys: list[bytes], value: str) -> list[str]:
    """What may stand for a value under any of those keys."""
    text = spelled(value)
    return [token(key, text) for key in keys] if text else []


def month_begin(month: str) -> float:
    """When that month begins, in seconds since 1970. Raises `ValueError`."""
    return datetime(int(month[:4]), int(month[5:7]), 1, tzinfo=UTC).timestamp()


def month_end(month: str) -> float:
    """When that month ends, in seconds since 1970. Raises `ValueError`."""
    year, number = int(month[:4]), int(month[5:7])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC).timestamp()


def pieces_of(said: Said) -> tuple[bytes, bool]:
    """What goes into a blob, and whether something was left out."""
    if not said.texts and len(said.bound) == 1 and not said.more:
        # nearly all that there is: one run of a prepared statement
        raw, size, types, _, is_call = said.bound[0]
        if len(raw) == size and not types and not is_call:
            return _HEAD.pack(b"v", size) + raw, False
    pieces: list[bytes] = []
    left, cut = LIMIT, said.more or said.cut
    for text in said.texts:
        tag, data = (b"t", text.encode(errors="replace")) if isinstance(text, str) else (b"r", text)
        if len(data) > left:
            data, cut = data[:left], True
        pieces += [_HEAD.pack(tag, len(data)), data]
        left -= len(data)
    for bound in said.bound:
        if bound.types:
            pieces += [_HEAD.pack(b"o", 4 * len(bound.types)), *(one.to_bytes(4, "big") for one in bound.types)]
        data = bound.raw[:left]
        if len(data) < bound.size:
            cut = True
        pieces += [_HEAD.pack(b"f" if bound.is_call else b"v", len(data)), data]
        left -= len(data)
    if cut:
        pieces.append(_HEAD.pack(b"x", 0))
    return b"".join(pieces), cut


def is_of(key: Key, blob: bytes) -> bool:
    """Whether the blob says that it was sealed under that key."""
    return hmac.compare_digest(blob[:KEY_BYTES], key.head)


def opened(key: Key, blob: bytes, statement: str) -> list[tuple[str, bytes]] | None:
    """The pieces in a blob, each with its tag; None when it was not sealed under that key for that statement."""
    if not is_of(key, blob):
        return None
    try:
        nonce, sealed = blob[KEY_BYTES : KEY_BYTES + _NONCE_BYTES], blob[KEY_BYTES + _NONCE_BYTES :]
        return list(_read(key.aead.decrypt(nonce, sealed, statement.encode())))
    except (InvalidTag, ValueError):
        return None


def _read(plain: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(plain):
        tag, length = _HEAD.unpack_from(plain, at)
        at += _HEAD.size
        yield tag.decode(), plain[at : at + length]
        at += length
