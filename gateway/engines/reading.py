"""Reading, for both ends of a session: in clear as bytes come, by TLS into one buffer of the process.

uvloop reads what comes by TLS into new bytes of 256 KiB, which it then cuts short: a protocol that lends it a buffer
spares that. One buffer serves all, because between `get_buffer` and `buffer_updated` nothing else runs. In clear uvloop
makes bytes of the right size itself, and a protocol that lends a buffer would only be called more often.
"""

from __future__ import annotations

import asyncio
from typing import Any

_BUFFER = memoryview(bytearray(128 * 1024))


class Line(asyncio.BaseProtocol):
    """One end. Not an `asyncio.Protocol`: uvloop lets none of those lend a buffer."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""

    def eof_received(self) -> None:
        """The other side will send no more: the connection is closed."""


class Lending(Line):
    """An end that lends uvloop the buffer, for TLS; to be named before the class that it serves."""

    __slots__ = ()

    def get_buffer(self, _sizehint: int) -> Any:
        """Lend it for one read."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read out of it."""
        self.data_received(bytes(_BUFFER[:nbytes]))
