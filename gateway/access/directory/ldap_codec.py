"""Searches and their answers as bytes (RFC 4511, section 4.5), encoded and decoded by ldap3.

The same people are asked about twice a second and hardly ever change. So what a question is in bytes, and what an entry
in bytes says, is kept: a message's number, which is different each time, stands before both and is apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ldap3
from ldap3.operation.search import search_operation
from ldap3.protocol.rfc2696 import paged_search_control
from ldap3.protocol.rfc4511 import Controls, LDAPMessage, MessageID, ProtocolOp
from ldap3.utils.asn1 import decode_message_fast, encode

PAGED = "1.2.840.113556.1.4.319"
"""Simple paged results (RFC 2696)."""
ENTRY, REFERENCE, DONE = 0x64, 0x73, 0x65
_LONGEST = 4
_CHUNK = 65536
_LARGE = 16384
"""Longer entries are not kept: a server must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry: its name as the server writes it, and its attributes by lower-case name."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def all(self, name: str) -> tuple[bytes, ...]:
        """All values of an attribute."""
        return self.attributes.get(name.lower(), ())

    def texts(self, name: str) -> list[str]:
        """The values that are UTF-8."""
        texts = []
        for value in self.all(name):
            try:
                texts.append(value.decode("utf-8"))
            except UnicodeDecodeError:
                continue
        return texts


@dataclass(frozen=True, slots=True)
class Question:
    """A search. `page` 0 asks for no pages."""

    base: str
    filter: str
    attributes: tuple[str, ...]
    scope: str
    most: int
    seconds: int
    page: int = 0
    cookie: bytes = b""


def encoded(question: Question) -> bytes:
    """The request without its frame and number."""
    return _kept(question) if not question.cookie else _encode(question)


def _encode(question: Question) -> bytes:
    message = LDAPMessage()
    message["messageID"] = MessageID(0)
    request = search_operation(
        question.base, question.filter, question.scope, ldap3.DEREF_NEVER, list(question.attributes), question.most,
        question.seconds, False, False, False,
    )  # fmt: skip
    message["protocolOp"] = ProtocolOp().setComponentByName("searchRequest", request)
    if question.page:
        controls = Controls()
        controls.setComponentByPosition(0, paged_search_control(False, question.page, question.cookie or None))
        message["controls"] = controls
    body: bytes = encode(message)
    begin = 2 + (body[1] & 0x7F if body[1] & 0x80 else 0)
    assert body[begin : begin + 3] == b"\x02\x01\x00"
    return body[begin + 3 :]


_kept = lru_cache(maxsize=256)(_encode)


def framed(number: int, body: bytes) -> bytes:
    """The whole message."""
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    inner = b"\x02" + bytes([len(digits)]) + digits + body
    size = len(inner)
    if size < 0x80:
        return b"\x30" + bytes([size]) + inner
    written = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"\x30" + bytes([0x80 | len(written)]) + written + inner


class Incoming:
    """The messages of one answer. Everything raises `ValueError` for what is none, and `EOFError` at the end."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._left = bytearray()

    def message(self) -> tuple[int, bytes]:
        """The next message's number and the rest of it."""
        head = self._take(2)
        if head[0] != 0x30:
            raise ValueError
        size = head[1]
        if size & 0x80:
            count = size & 0x7F
            if not 0 < count <= _LONGEST:
                raise ValueError
            size = int.from_bytes(self._take(count), "big")
        inner = self._take(size)
        if len(inner) < 4 or inner[0] != 0x02 or not 0 < inner[1] <= _LONGEST:
            raise ValueError
        return int.from_bytes(inner[2 : 2 + inner[1]], "big", signed=True), inner[2 + inner[1] :]

    def finish(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise ValueError

    def _take(self, size: int) -> bytes:
        while len(self._left) < size:
            piece = self._receive(_CHUNK)
            if not piece:
                raise EOFError
            self._left += piece
        found = bytes(self._left[:size])
        del self._left[:size]
        return found


def entry(body: bytes) -> Found:
    """The entry that a message holds."""
    return _kept_entry(body) if len(body) < _LARGE else _entry(body)


def _entry(body: bytes) -> Found:
    fields: Any = decode_message_fast(framed(0, body))["payload"]
    return Found(
        bytes(fields[0][3]).decode(),
        {
            bytes(one[3][0][3]).decode("ascii").lower(): tuple(bytes(value[3]) for value in one[3][1][3] or ())
            for one in fields[1][3]
        },
    )


_kept_entry = lru_cache(maxsize=8192)(_entry)


def done(body: bytes, decode: Callable[[Any], dict[str, Any]]) -> tuple[int, bytes]:
    """The result that ends a search, and the cookie of the next page, b"" for none."""
    result = decode(decode_message_fast(framed(0, body)))
    paged = (result.get("controls") or {}).get(PAGED, {}).get("value") or {}
    return int(result["result"]), bytes(paged.get("cookie") or b"")
