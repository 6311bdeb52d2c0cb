"""Either end of a MySQL session: what is held is bounded, what is sent together leaves together, loss is told last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from gateway.engines.mysql_link import Link
from gateway.errors import GatewayError
from gateway.wire.mysql.packets import frame


class Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading, self.closed = True, False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def linked(limit: int = 1 << 20) -> tuple[Link, Line]:
    link, line = Link(limit), Line()
    link.connection_made(cast(asyncio.Transport, line))
    return link, line


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_what_is_sent_in_one_turn_leaves_as_one_write_in_order() -> None:
    async def test() -> None:
        link, line = linked()
        link.send(b"one")
        link.send_raw(frame(b"two", 1) + frame(b"three", 2), 3)
        link.send(b"four")
        assert line.written == []
        await asyncio.sleep(0)
        words = (b"one", b"two", b"three", b"four")
        assert line.written == [b"".join(frame(one, place) for place, one in enumerate(words))]

    run(test)


def test_a_large_piece_is_written_behind_what_was_sent_before_it() -> None:
    async def test() -> None:
        link, line = linked()
        link.send(b"head")
        link.send_raw(b"x" * 100_000, 9)
        link.send(b"tail")
        link.close()
        assert line.written == [frame(b"head", 0), b"x" * 100_000, frame(b"tail", 9)]
        assert line.closed

    run(test)


def test_a_command_leaves_at_once_and_begins_the_count_anew() -> None:
    async def test() -> None:
        link, line = linked()
        link.sequence = 7
        link.command(b"\x0e")
        assert line.written == [frame(b"\x0e", 0)]
        assert link.sequence == 1

    run(test)


def test_no_more_is_read_than_is_taken() -> None:
    async def test() -> None:
        link, line = linked()
        link.data_received(frame(b"x" * 600_000, 0)[:-1])
        assert not line.reading
        waiting = asyncio.create_task(link.packet())
        await asyncio.sleep(0)
        assert line.reading
        link.data_received(b"x")
        assert await waiting == b"x" * 600_000

    run(test)


def test_a_packet_over_the_limit_is_refused_at_its_header() -> None:
    async def test() -> None:
        link, _ = linked(limit=10)
        link.data_received(frame(b"x" * 11, 0)[:4])
        with pytest.raises(GatewayError, match="limit"):
            await link.packet()

    run(test)


def test_what_came_before_the_loss_is_read_before_it() -> None:
    async def test() -> None:
        link, _ = linked()
        told: list[bool] = []
        link.lost = lambda: told.append(True)
        link.data_received(frame(b"\xfblast", 0) + frame(b"half", 1)[:-1])
        link.connection_lost(None)
        assert told == [True]
        assert await link.rows(9, 99, binary=False) == (frame(b"\xfblast", 0), 1)
        with pytest.raises(ConnectionResetError):
            await link.packet()
        with pytest.raises(ConnectionResetError):
            await link.drained()
        assert link.closing
        link.send(b"to nobody")
        link.close()

    run(test)


def test_who_does_not_read_is_waited_for_and_a_loss_ends_the_waiting() -> None:
    async def test() -> None:
        link, _ = linked()
        link.pause_writing()
        waiting = asyncio.create_task(link.drained())
        await asyncio.sleep(0)
        assert link.blocked
        assert not waiting.done()
        link.resume_writing()
        await waiting
        link.pause_writing()
        waiting = asyncio.create_task(link.drained())
        await asyncio.sleep(0)
        link.connection_lost(None)
        with pytest.raises(ConnectionResetError):
            await waiting

    run(test)
