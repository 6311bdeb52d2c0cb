"""The untyped packets that open a PostgreSQL connection, both roles.

A packet is a length word that counts itself, a version or request code, and a body (PostgreSQL documentation,
"Start-up" and "StartupMessage", "SSLRequest", "GSSENCRequest", "CancelRequest", "NegotiateProtocolVersion").
Protocol 3.2 differs from 3.0 here only in its number and in cancel secrets of 4 to 256 bytes.

INVARIANT: parameters are unambiguous: no name twice, strict UTF-8, nothing behind the terminator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError
from gateway.wire.postgres_base import (
    INT32,
    NEGOTIATE_PROTOCOL_VERSION,
    c_string,
    frame,
    split_c_string,
    utf8,
    violation,
)

MAX_STARTUP_PACKET_LENGTH: Final = 10_000
CANCEL_REQUEST_CODE: Final = 80_877_102
SSL_REQUEST_CODE: Final = 80_877_103
GSSENC_REQUEST_CODE: Final = 80_877_104
NEWEST_MINOR: Final = 2
"""The newest minor version of protocol 3 that this codec speaks."""


@dataclass(frozen=True, slots=True)
class StartupMessage:
    """A frontend's wish to begin: protocol version and run-time parameters, in the order they came."""

    major: int
    minor: int
    parameters: dict[str, str]

    @property
    def protocol_options(self) -> tuple[str, ...]:
        """The names of protocol extensions (`_pq_.…`) that were asked for."""
        return tuple(name for name in self.parameters if name.startswith("_pq_."))


@dataclass(frozen=True, slots=True)
class SSLRequest:
    """A frontend's wish for TLS; answered with one byte, `S` or `N`."""


@dataclass(frozen=True, slots=True)
class GSSENCRequest:
    """A frontend's wish for GSSAPI encryption; answered with one byte, `G` or `N`."""


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A wish to cancel what the session of this key is running. Never answered."""

    pid: int
    secret: bytes


def startup_length(first4: bytes) -> int:
    """The whole packet's length in bytes, these four counted.

    Raises: `GatewayError` `protocol-violation` under 8, `message-too-large` over 10,000.
    """
    if len(first4) != 4:
        raise violation("the start-up packet's length is cut short")
    length: int = INT32.unpack(first4)[0]
    if length < 8:
        raise violation("the start-up packet is too short")
    if length > MAX_STARTUP_PACKET_LENGTH:
        raise GatewayError("message-too-large", "the start-up packet is too long", fatal=True)
    return length


def parse_startup(packet: bytes) -> StartupMessage | SSLRequest | GSSENCRequest | CancelRequest:
    """The packet whose bytes follow its length word.

    Raises: `GatewayError` `protocol-violation`, `message-too-large`, or `feature-not-supported` for another
    major version of the protocol.
    """
    if len(packet) < 4:
        raise violation("the start-up packet is too short")
    if len(packet) > MAX_STARTUP_PACKET_LENGTH - 4:
        raise GatewayError("message-too-large", "the start-up packet is too long", fatal=True)
    code: int = INT32.unpack_from(packet)[0]
    if code == CANCEL_REQUEST_CODE:
        if not 12 <= len(packet) <= 8 + 256:
            raise violation("the cancel request's key has an impossible length")
        return CancelRequest(INT32.unpack_from(packet, 4)[0], packet[8:])
    if code in (SSL_REQUEST_CODE, GSSENC_REQUEST_CODE):
        if len(packet) != 4:
            raise violation("the encryption request carries more than its code")
        return SSLRequest() if code == SSL_REQUEST_CODE else GSSENCRequest()
    major, minor = code >> 16, code & 0xFFFF
    if major != 3:
        raise GatewayError("feature-not-supported", f"protocol {major}.{minor} is not supported", "use 3.0 or 3.2")
    return StartupMessage(major, minor, _parameters(packet))


def encode_startup(parameters: Mapping[str, str], minor: int = 0) -> bytes:
    """A StartupMessage of protocol 3.`minor`, with its length word."""
    pairs = [c_string(name, "parameter name") + c_string(value, "parameter") for name, value in parameters.items()]
    return _packet(3 << 16 | minor, b"".join(pairs) + b"\0")


def encode_ssl_request() -> bytes:
    """An SSLRequest, with its length word."""
    return _packet(SSL_REQUEST_CODE)


def encode_gssenc_request() -> bytes:
    """A GSSENCRequest, with its length word."""
    return _packet(GSSENC_REQUEST_CODE)


def encode_cancel(pid: int, secret: bytes) -> bytes:
    """A CancelRequest, with its length word."""
    return _packet(CANCEL_REQUEST_CODE, INT32.pack(pid) + secret)


def encode_negotiate_protocol_version(minor: int = NEWEST_MINOR, options: Sequence[str] = ()) -> bytes:
    """NegotiateProtocolVersion: protocol 3.`minor` is spoken, and `options` were not understood.

    The version goes out whole (major in the upper half), as servers send it and libpq reads it.
    """
    names = b"".join(c_string(name, "protocol option") for name in options)
    return frame(NEGOTIATE_PROTOCOL_VERSION, INT32.pack(3 << 16 | minor) + INT32.pack(len(options)) + names)


def _packet(code: int, body: bytes = b"") -> bytes:
    return INT32.pack(len(body) + 8) + INT32.pack(code) + body


def _parameters(packet: bytes) -> dict[str, str]:
    parameters: dict[str, str] = {}
    position = 4
    while True:
        name, position = split_c_string(packet, position, "start-up packet")
        if not name:
            break
        value, position = split_c_string(packet, position, "start-up packet")
        key = utf8(name, "start-up parameter's name")
        if key in parameters:
            raise violation("a start-up parameter is given twice")
        parameters[key] = utf8(value, "start-up parameter's value")
    if position != len(packet):
        raise violation("the start-up packet goes on behind its terminator")
    return parameters
