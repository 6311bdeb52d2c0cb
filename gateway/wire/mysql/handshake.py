"""The connection phase: greeting, SSLRequest, HandshakeResponse41, COM_CHANGE_USER, and the packets between.

MySQL Source Code Documentation, "Connection Phase Packets"; protocol version 10 only. A server greets, a client
answers (in clear with the first 32 bytes of its answer, then all of it inside TLS), and the two exchange the packets
of an authentication plugin until the server says OK or ERR.

INVARIANT: a session has only capabilities that both sides announced. A client that counts on one that was not
offered, and that would change how its packets are read, is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from gateway.errors import GatewayError
from gateway.wire.mysql.base import (
    AUTH_SWITCH,
    ERR,
    MORE_DATA,
    UTF8MB4,
    Capability,
    Reader,
    Status,
    lenenc_bytes,
    nul,
    tls_required,
    unsupported,
    violation,
)
from gateway.wire.mysql.packets import LOGIN_LIMIT

NONCE_BYTES: Final = 20
SSL_REQUEST_BYTES: Final = 32
MAX_ATTRIBUTES: Final = 128
MAX_ATTRIBUTES_BYTES: Final = 16_384
MAX_PACKET: Final = 1 << 30
"""What is announced as the longest packet, as clients do; the limits are the framers'."""

_LAYOUT: Final = (
    Capability.PROTOCOL_41
    | Capability.SECURE_CONNECTION
    | Capability.PLUGIN_AUTH
    | Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    | Capability.CONNECT_WITH_DB
    | Capability.CONNECT_ATTRS
)
"""Those that say how the client's answer is laid out: always offered, so always to be read as the client says."""

OFFERED: Final = (
    _LAYOUT
    | Capability.LONG_PASSWORD
    | Capability.FOUND_ROWS
    | Capability.LONG_FLAG
    | Capability.INTERACTIVE
    | Capability.SSL
    | Capability.TRANSACTIONS
    | Capability.MULTI_STATEMENTS
    | Capability.MULTI_RESULTS
    | Capability.PS_MULTI_RESULTS
    | Capability.SESSION_TRACK
    | Capability.DEPRECATE_EOF
)
"""What clients can be offered. Not: compression, LOCAL INFILE, query attributes, optional metadata, more factors."""

OBSERVED: Final = (
    OFFERED | Capability.LOCAL_FILES | Capability.IGNORE_SPACE | Capability.NO_SCHEMA | Capability.ODBC
)  # fmt: skip
"""What clients can be offered where some target is observed, and what may be agreed with that: files are read, and
statements are taken, as the client asked for it.
"""

TOWARDS_TARGETS: Final = OFFERED & ~(Capability.MULTI_STATEMENTS | Capability.INTERACTIVE)
"""What may be agreed with a protected target: one statement at a time, and no reading of files."""

_NEEDED: Final = Capability.PROTOCOL_41 | Capability.SECURE_CONNECTION | Capability.PLUGIN_AUTH
_COMPRESSION: Final = Capability.COMPRESS | Capability.ZSTD_COMPRESSION_ALGORITHM

Token = Callable[[int], bytes]
"""Returns that many random bytes."""


class Greeting(NamedTuple):
    """A server's first packet. `nonce` has 20 bytes; `plugin` is the one that it prefers."""

    version: str
    connection_id: int
    nonce: bytes
    capabilities: int
    plugin: str
    charset: int = UTF8MB4
    status: int = Status.AUTOCOMMIT


class SSLRequest(NamedTuple):
    """A client asks for TLS; what it sends next is the handshake of that."""

    capabilities: int
    max_packet: int
    charset: int


class HandshakeResponse(NamedTuple):
    """Who the client is and what it wants; `auth` is the first answer to `plugin`.

    Names are bytes in the client's character set. `database` is None where none is named.
    """

    capabilities: int
    max_packet: int
    charset: int
    user: bytes
    auth: bytes
    database: bytes | None
    plugin: str
    attributes: Mapping[bytes, bytes]


class ChangeUser(NamedTuple):
    """COM_CHANGE_USER: the session is to become that of somebody else. `charset` is None where none is named."""

    user: bytes
    auth: bytes
    database: bytes
    charset: int | None
    plugin: str
    attributes: Mapping[bytes, bytes]


def make_nonce(token: Token = secrets.token_bytes) -> bytes:
    """Twenty random bytes of 1 to 127 without `$`, as servers make them: more than 139 bits."""
    found = b""
    while len(found) < NONCE_BYTES:
        found += bytes(byte for byte in token(64) if 0 < byte < 128 and byte != 0x24)
    return found[:NONCE_BYTES]


def encode_greeting(greeting: Greeting, most: int = OFFERED) -> bytes:
    """The greeting. Its capabilities must be of `most`, and have those that every session needs."""
    if greeting.capabilities & ~most or _LAYOUT & ~greeting.capabilities:
        raise ValueError("a capability is offered that is not there, or one is left out that must be")
    if len(greeting.nonce) != NONCE_BYTES or b"\0" in greeting.nonce:
        raise ValueError("the nonce has not 20 bytes without NUL")
    flags = int(greeting.capabilities).to_bytes(4, "little")
    return b"".join(
        (
            b"\x0a",
            nul(greeting.version.encode(), "server's version"),
            (greeting.connection_id & 0xFFFFFFFF).to_bytes(4, "little"),
            greeting.nonce[:8],
            b"\0",
            flags[:2],
            bytes((greeting.charset,)),
            int(greeting.status).to_bytes(2, "little"),
            flags[2:],
            bytes((NONCE_BYTES + 1,)),
            bytes(10),
            greeting.nonce[8:],
            b"\0",
            nul(greeting.plugin.encode(), "plugin's name"),
        )
    )


def parse_greeting(body: bytes) -> Greeting:
    """A target's greeting; its words are read leniently, since they are only shown.

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for an older protocol, or a server without
    authentication plugins. An ERR packet in its place is the caller's to see.
    """
    reader = Reader(body, "greeting")
    version = reader.number(1)
    if version != 10:
        raise unsupported(f"protocol version {version} of MySQL is not supported")
    words = reader.nul().decode("utf-8", "replace")
    connection = reader.number(4)
    nonce = reader.take(8)
    reader.take(1)
    low = reader.number(2)
    charset, status = reader.number(1), reader.number(2)
    capabilities = low | reader.number(2) << 16
    size = reader.number(1)
    # MariaDB keeps flags of its own in the last four; none of them is taken up
    reader.take(10)
    if _NEEDED & ~capabilities:
        raise unsupported("a server older than 5.5 is not supported")
    if size != NONCE_BYTES + 1:
        raise violation("the greeting's nonce has not 20 bytes")
    nonce += reader.take(12)
    if reader.take(1) != b"\0" or b"\0" in nonce:
        raise violation("the greeting's nonce is malformed")
    plugin = _ascii(reader.nul(), "plugin's name")
    reader.end()
    return Greeting(words, connection, nonce, capabilities, plugin, charset, status)


def agree(greeting: Greeting, wanted: int, *, tls: bool, most: int = TOWARDS_TARGETS) -> int:
    """What is agreed with a target that greeted so, of what is wanted of it; never more than `most`.

    Raises: `GatewayError` `tls-required` when it is to be TLS and the target has none; `feature-not-supported` when
    it lacks what every session needs.
    """
    asked = (wanted & most) | _NEEDED
    asked = asked | Capability.SSL if tls else asked & ~Capability.SSL
    if tls and not greeting.capabilities & Capability.SSL:
        raise tls_required("the target offers no TLS")
    return asked & greeting.capabilities


def encode_ssl_request(capabilities: int, charset: int = UTF8MB4, max_packet: int = MAX_PACKET) -> bytes:
    """The SSLRequest; `capabilities` are those of the answer that follows inside TLS."""
    return _head(capabilities | Capability.SSL, charset, max_packet)


def encode_handshake_response(response: HandshakeResponse) -> bytes:
    """HandshakeResponse41. A database or attributes are sent where their capabilities are set."""
    flags = response.capabilities
    parts = [_head(flags, response.charset, response.max_packet), nul(response.user, "user name")]
    if flags & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA:
        parts.append(lenenc_bytes(response.auth))
    else:
        parts.append(_short(response.auth))
    if flags & Capability.CONNECT_WITH_DB:
        parts.append(nul(response.database or b"", "database's name"))
    if flags & Capability.PLUGIN_AUTH:
        parts.append(nul(response.plugin.encode(), "plugin's name"))
    if flags & Capability.CONNECT_ATTRS:
        parts.append(_encode_attributes(response.attributes))
    return b"".join(parts)


def first_packet_length(header: bytes) -> int:
    """How many bytes a client's first packet has, its header of four included; not one more may be read before TLS.

    A client that asks for TLS begins it at once: what is behind its request belongs to the handshake of that.
    Raises: `GatewayError` `protocol-violation`, `message-too-large`.
    """
    if len(header) != 4 or header[3] != 1:
        raise violation("the first packet of the client is out of sequence")
    length = int.from_bytes(header[:3], "little")
    if length > LOGIN_LIMIT:
        raise GatewayError("message-too-large", f"a packet is over the limit of {LOGIN_LIMIT}", fatal=True)
    if length < SSL_REQUEST_BYTES:
        raise violation("the first packet of the client is too short")
    return 4 + length


def decode_login(body: bytes, offered: int) -> SSLRequest | HandshakeResponse:
    """What a client answers to the greeting; the capabilities are those that were offered too.

    Who asks for TLS answers again inside it. One that does not, in clear, has sent an answer to a nonce, not a secret:
    the caller refuses it, and a second request for TLS.

    Raises: `GatewayError` `protocol-violation`; `feature-not-supported` for clients from before 4.1 and 5.5, and for
    one that compresses unasked.
    """
    reader = Reader(body, "handshake response")
    announced = reader.number(4)
    if not announced & Capability.PROTOCOL_41:
        raise unsupported("the protocol of before MySQL 4.1 is not supported", "use a newer client")
    if announced & ~offered & _COMPRESSION:
        raise unsupported("compression is not offered", "turn compression off in the client")
    max_packet, charset = reader.number(4), reader.number(1)
    filler = reader.take(23)
    # a client of MariaDB that does not pose as one of MySQL has its own flags in the last four; none was offered
    if any(filler[:19] if not announced & Capability.LONG_PASSWORD else filler):
        raise violation("the handshake response has something where nothing belongs")
    if not reader.left and announced & Capability.SSL:
        if not offered & Capability.SSL:
            raise violation("the client asks for TLS that was not offered")
        return SSLRequest(announced & offered, max_packet, charset)
    if _NEEDED & ~announced:
        raise unsupported("clients without authentication plugins are not supported", "use a newer client")
    user = reader.nul()
    lenenc_auth = announced & Capability.PLUGIN_AUTH_LENENC_CLIENT_DATA
    auth = reader.string() if lenenc_auth else reader.take(reader.number(1))
    database = reader.nul() if announced & Capability.CONNECT_WITH_DB else None
    plugin = _ascii(reader.nul(), "plugin's name")
    attributes = _attributes(reader) if announced & Capability.CONNECT_ATTRS else {}
    reader.end()
    return HandshakeResponse(announced & offered, max_packet, charset, user, auth, database, plugin, attributes)


def decode_change_user(body: bytes, capabilities: int) -> ChangeUser:
    """COM_CHANGE_USER, without its command byte. What is behind the database may be left out from some point on."""
    reader = Reader(body, "COM_CHANGE_USER")
    user = reader.nul()
    auth = reader.take(reader.number(1))
    database = reader.nul()
    charset, plugin, attributes = None, "", {}
    if reader.left:
        charset = reader.number(2)
        if reader.left:
            plugin = _ascii(reader.nul(), "plugin's name")
            if capabilities & Capability.CONNECT_ATTRS and reader.left:
                attributes = _attributes(reader)
    reader.end()
    return ChangeUser(user, auth, database, charset, plugin, attributes)


def encode_change_user(change: ChangeUser, capabilities: int) -> bytes:
    """COM_CHANGE_USER, without its command byte."""
    parts = [nul(change.user, "user name"), _short(change.auth), nul(change.database, "database's name")]
    if change.charset is not None:
        parts += [change.charset.to_bytes(2, "little"), nul(change.plugin.encode(), "plugin's name")]
        if capabilities & Capability.CONNECT_ATTRS:
            parts.append(_encode_attributes(change.attributes))
    return b"".join(parts)


def encode_auth_switch(plugin: str, nonce: bytes) -> bytes:
    """AuthSwitchRequest: go on with that plugin."""
    return bytes((AUTH_SWITCH,)) + nul(plugin.encode(), "plugin's name") + nonce + b"\0"


def parse_auth_switch(body: bytes) -> tuple[str, bytes]:
    """The plugin and its data (without one NUL at the end, where there is one) of an AuthSwitchRequest.

    Raises: `GatewayError` `feature-not-supported` for the switch to the passwords of before 4.1.
    """
    if not body or body[0] != AUTH_SWITCH:
        raise violation("a request to switch the plugin was expected")
    if len(body) == 1:
        raise unsupported("the target asks for a password of before MySQL 4.1")
    reader = Reader(body, "request to switch the plugin", 1)
    plugin = _ascii(reader.nul(), "plugin's name")
    return plugin, reader.rest().removesuffix(b"\0")


def encode_more_data(data: bytes) -> bytes:
    """AuthMoreData."""
    return bytes((MORE_DATA,)) + data


def is_error(body: bytes) -> bool:
    """Whether the packet is an ERR packet, which a server may send at any point of the connection phase."""
    return bool(body) and body[0] == ERR


def _head(capabilities: int, charset: int, max_packet: int) -> bytes:
    return int(capabilities).to_bytes(4, "little") + max_packet.to_bytes(4, "little") + bytes((charset,)) + bytes(23)


def _short(value: bytes) -> bytes:
    if len(value) > 255:
        raise violation("an authentication is longer than 255 bytes")
    return bytes((len(value),)) + value


def _ascii(value: bytes, what: str) -> str:
    if len(value) > 64 or not value.isascii():
        raise violation(f"the {what} is not one")
    return value.decode("ascii")


def _attributes(reader: Reader) -> dict[bytes, bytes]:
    total = reader.lenenc()
    if total > MAX_ATTRIBUTES_BYTES:
        raise violation("the connection attributes are too long")
    inner = Reader(reader.take(total), "list of connection attributes")
    found: dict[bytes, bytes] = {}
    while inner.left:
        if len(found) == MAX_ATTRIBUTES:
            raise violation("there are too many connection attributes")
        name = inner.string()
        if name in found:
            raise violation("a connection attribute is given twice")
        found[name] = inner.string()
    return found


def _encode_attributes(attributes: Mapping[bytes, bytes]) -> bytes:
    return lenenc_bytes(b"".join(lenenc_bytes(part) for pair in attributes.items() for part in pair))
