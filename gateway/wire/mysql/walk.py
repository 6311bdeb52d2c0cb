"""Walking over the packets of rows in a buffer without copying them, and putting other cells into a row.

A large result is relayed as the bytes it came in; only the four header bytes of each packet and the first byte behind
them are looked at, to count rows and to stop where something else begins. `_walk.pyx` is `walk_rows_python` compiled;
it is taken when it has been built (`python -m gateway.wire.build gateway/wire/mysql/_walk.pyx`).

INVARIANT: a walk never moves past a byte that does not belong to a complete row within both limits and in sequence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.wire.mysql.base import EOF, NULL, OK, Reader, lenenc_bytes, violation
from gateway.wire.mysql.packets import MAX_PAYLOAD
from gateway.wire.mysql.results import Column
from gateway.wire.mysql.values import value_end

Span = tuple[int, int]
"""Where a cell begins and ends in its row, with its length; both the same for NULL in a binary row."""


def walk_rows_python(
    buf: bytes | bytearray | memoryview, pos: int, end: int, max_rows: int, max_bytes: int, sequence: int, binary: bool
) -> tuple[int, int, int]:
    """Advance from `pos`, a packet boundary, over complete packets before `end` that are a row each.

    Returns the new position, the rows passed (at most `max_rows`, in at most `max_bytes` with headers) and the next
    sequence number; the first packet must have `sequence`. Stops before the end of the rows, an error, a row of
    several packets, an incomplete one, one out of sequence, and what no row begins with: `packets.Framer` and
    `answers.Answer` say what is there.

    Raises: ValueError unless `0 <= pos <= end <= len(buf)`.
    """
    if not 0 <= pos <= end <= len(buf):
        raise ValueError("positions outside the buffer")
    stop = min(end, pos + max_bytes)
    rows = 0
    last_header = stop - 5
    while rows < max_rows and pos <= last_header:
        length = buf[pos] | buf[pos + 1] << 8 | buf[pos + 2] << 16
        after = pos + 4 + length
        if after > stop or buf[pos + 3] != sequence or not length or length == MAX_PAYLOAD:
            break
        first = buf[pos + 4]
        # a first cell of 16 MB and more has no place in one packet, so 0xFE begins no row here
        if first != OK if binary else first >= EOF:
            break
        pos = after
        rows += 1
        sequence = (sequence + 1) & 0xFF
    return pos, rows, sequence


def packet_at(buf: bytes | bytearray | memoryview, pos: int, end: int) -> tuple[int, int]:
    """How much is needed from `pos` on for the packet there, with its header, and its sequence number.

    While the header is incomplete before `end`: 4, and -1.
    """
    if end - pos < 4:
        return 4, -1
    return 4 + (buf[pos] | buf[pos + 1] << 8 | buf[pos + 2] << 16), buf[pos + 3]


def renumber(buf: bytearray | memoryview, pos: int, end: int, sequence: int) -> int:
    """Give the complete packets from `pos` to `end` other sequence numbers, in place, from `sequence` on.

    Returns the number behind them. For a client whose answer has fewer or more packets ahead of its rows than the
    target's had. Raises: ValueError when `end` is not a packet boundary.
    """
    while pos < end:
        need, number = packet_at(buf, pos, end)
        if number < 0 or pos + need > end:
            raise ValueError("positions outside the packets")
        buf[pos + 3] = sequence
        sequence = (sequence + 1) & 0xFF
        pos += need
    return sequence


def text_spans(row: bytes, columns: int) -> list[Span]:
    """Where the cells of a text row are. Raises: `GatewayError` `protocol-violation`."""
    spans: list[Span] = []
    at, size = 0, len(row)
    for _ in range(columns):
        start = at
        if at >= size:
            raise violation("the row is cut short")
        first = row[at]
        if first < NULL:
            at += 1 + first
        elif first == NULL:
            at += 1
        else:
            reader = Reader(row, "row", at)
            length = reader.lenenc()
            at = reader.at + length
        spans.append((start, at))
    if at != size:
        raise violation("the row has a wrong length")
    return spans


def binary_spans(row: bytes, columns: Sequence[Column]) -> list[Span]:
    """Where the cells of a binary row are; an empty span for NULL. Raises: `GatewayError` `protocol-violation`."""
    at = 1 + (len(columns) + 9) // 8
    if len(row) < at or row[0] != OK:
        raise violation("the row is cut short")
    spans: list[Span] = []
    for place, column in enumerate(columns, 2):
        start = at
        if not row[1 + place // 8] >> place % 8 & 1:
            at = value_end(row, at, column.type)
        spans.append((start, at))
    if at != len(row):
        raise violation("the row has a wrong length")
    return spans


def replace_cells(row: bytes, spans: Sequence[Span], cells: Mapping[int, bytes | None]) -> bytes:
    """A text row with other values in those places; what is between them is copied as it is."""
    parts: list[bytes] = []
    at = 0
    for place in sorted(cells):
        start, end = spans[place]
        cell = cells[place]
        parts += [row[at:start], bytes((NULL,)) if cell is None else lenenc_bytes(cell)]
        at = end
    parts.append(row[at:])
    return b"".join(parts)


def replace_binary_cells(row: bytes, spans: Sequence[Span], cells: Mapping[int, bytes | None]) -> bytes:
    """A binary row with other values in those places, each as `values.write_value` writes it; None is NULL."""
    head = 1 + (len(spans) + 9) // 8
    nulls = bytearray(row[:head])
    parts: list[bytes] = []
    at = head
    for place in sorted(cells):
        start, end = spans[place]
        cell = cells[place]
        bit, byte = 1 << (place + 2) % 8, 1 + (place + 2) // 8
        nulls[byte] = nulls[byte] & ~bit | (bit if cell is None else 0)
        parts += [row[at:start], cell or b""]
        at = end
    parts.append(row[at:])
    return b"".join((bytes(nulls), *parts))


try:
    from gateway.wire.mysql._walk import walk_rows
except ImportError:
    walk_rows = walk_rows_python

__all__ = [
    "Span", "binary_spans", "packet_at", "renumber", "replace_binary_cells", "replace_cells", "text_spans", "walk_rows",
    "walk_rows_python",
]  # fmt: skip
