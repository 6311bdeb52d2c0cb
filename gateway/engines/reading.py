"""Reading into one buffer of the process, for both ends of a session.

uvloop reads what comes by TLS into new bytes of 256 KiB, which it then cuts short: a protocol that lends it a buffer
spares that. One buffer serves all, because between `get_buffer` and `buffer_updated` nothing else runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

_SIZE = 128 * 1024
_BUFFER = memoryview(bytearray(_SIZE))


class Reading(asyncio.BufferedProtocol):
    """A protocol whose `data_received` gets new bytes for each read."""

    __slots__ = ()

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ARG002 (asyncio's signature)
        """Lend the buffer for one read."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read out of the buffer."""
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        raise NotImplementedError
