"""Memory of idle TLS connections.

uvloop gives each TLS connection a read buffer of 256 KiB, of which an idle session touches next to nothing. From
glibc's heap it often is memory that was dirty before, and stays resident; mapped on its own, only touched pages count.
So the threshold above which malloc maps (mallopt(3), M_MMAP_THRESHOLD) is lowered for the moment in which a connection
is made, and only then: everything else that is large and short-lived is faster from the heap.
"""

from __future__ import annotations

import asyncio
import ctypes

_M_MMAP_THRESHOLD = -3
_LOW, _HIGH = 200 * 1024, 32 * 1024 * 1024

_mallopt = getattr(ctypes.CDLL(None), "mallopt", None)


def connecting() -> None:
    """Call right before awaiting a new TLS connection: its buffer is allocated before the loop goes on."""
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, _LOW)
        asyncio.get_running_loop().call_soon(_mallopt, _M_MMAP_THRESHOLD, _HIGH)
