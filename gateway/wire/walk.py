"""Walking over typed messages in a buffer without copying them.

A large result is relayed as the bytes it came in; only the five header bytes of each message are looked at, to
count rows and to stop where something else begins. `_walk.pyx` is the same walk compiled; it is taken when it
has been built (`python -m gateway.wire.build`), and `walk_rows_python` stays as its twin and its test.

INVARIANT: a walk never moves past a byte that does not belong to a complete row within both limits.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.postgres_base import COPY_DATA, DATA_ROW, HEADER, violation

_unpack_header: Final = HEADER.unpack_from


def walk_rows_python(
    buf: bytes | bytearray | memoryview, pos: int, end: int, max_rows: int, max_bytes: int
) -> tuple[int, int]:
    """Advance from `pos`, a message boundary, over complete DataRow and CopyData messages before `end`.

    Returns the new position and the rows passed: at most `max_rows`, in at most `max_bytes` with headers. Stops
    before a message of another type, an incomplete one, and one with an impossible length.

    Raises: ValueError unless `0 <= pos <= end <= len(buf)`.
    """
    if not 0 <= pos <= end <= len(buf):
        raise ValueError("positions outside the buffer")
    stop = min(end, pos + max_bytes)
    unpack = _unpack_header
    data_row, copy_data = DATA_ROW, COPY_DATA
    rows = 0
    last_header = stop - 5
    while rows < max_rows and pos <= last_header:
        kind, length = unpack(buf, pos)
        if (kind != data_row and kind != copy_data) or length < 4:  # noqa: PLR1714 (half the time of a set)
            break
        after = pos + 1 + length
        if after > stop:
            break
        pos = after
        rows += 1
    return pos, rows


def message_at(buf: bytes | bytearray | memoryview, pos: int, end: int, limit: int = 0x3FFFFFFF) -> tuple[int, int]:
    """The type and the end of the message that begins at `pos`; its body is `buf[pos + 5:end_of_message]`.

    Returns (0, bytes needed from `pos` on) while it is incomplete before `end`: at least 5, or the whole message
    once its header is there.

    Raises: `GatewayError` `protocol-violation` for a length under 4 or over `limit`.
    """
    if end - pos < 5:
        return 0, 5
    kind, length = _unpack_header(buf, pos)
    if length < 4 or length > limit:
        raise violation("the length of a message is impossible")
    after: int = pos + 1 + length
    return (kind, after) if after <= end else (0, 1 + length)


try:
    from gateway.wire._walk import walk_rows
except ImportError:
    walk_rows = walk_rows_python
    COMPILED = False
else:
    COMPILED = True

__all__ = ["COMPILED", "message_at", "walk_rows", "walk_rows_python"]
