"""How a result begins is told the same whether it is known or not, however its bytes come."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from gateway.admitted import SETTLED
from gateway.engines.mysql_answers import MysqlAnswers
from gateway.engines.mysql_heads import Heads, Terms
from gateway.engines.mysql_link import Link
from gateway.engines.mysql_upstream import Backend
from gateway.errors import GatewayError
from gateway.wire.mysql.base import Capability, Status, Type
from gateway.wire.mysql.commands import Command
from gateway.wire.mysql.packets import frames
from gateway.wire.mysql.results import (
    Column,
    Ok,
    encode_column,
    encode_count,
    encode_end,
    encode_eof,
    encode_error,
    encode_ok,
    encode_text_row,
)

MODERN = Capability.DEPRECATE_EOF


class Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def resume_reading(self) -> None:
        pass


class Told(NamedTuple):
    """What a client was sent, the number behind it, and what the record of its statement counts."""

    sent: bytes
    sequence: int
    outcome: Any


def result(name: bytes, *cells: bytes, flags: int = 0, status: int = Status.AUTOCOMMIT) -> bytes:
    """A result of one column as a target sends it, with its packets numbered from 1."""
    column = encode_column(Column(name, Type.VAR_STRING, length=9, schema=b"s", table=b"t", org_table=b"o"))
    divider = [] if flags & MODERN else [encode_eof(0, status)]
    rows = [encode_text_row([cell]) for cell in cells]
    return frames([encode_count(1), column, *divider, *rows, encode_end(Ok(status=status), flags)], 1)[0]


def told(
    heads: Heads, came: bytes, *, flags: int = 0, first: int = 1, chunk: int = 1 << 20, status: int = Status.AUTOCOMMIT
) -> Told:
    """What comes of an answer of the target's that arrives in pieces of `chunk` bytes."""

    async def run() -> Told:
        client, backend, line = Link(1 << 20), Backend(), Line()
        client.connection_made(cast(asyncio.Transport, line))
        backend.connection_made(cast(asyncio.Transport, Line()))
        backend.capabilities, backend.limit = flags, 1 << 20
        settled: list[Any] = []
        gate = SimpleNamespace(settle=lambda _inside, _permit, outcome: settled.append(outcome))
        plan = SimpleNamespace(normalised="select ?", writes=False, explains=False, repin=False)
        permit = SimpleNamespace(
            plan=plan, receipt=SETTLED, window_rows=99, window_bytes=9999, started_ns=0, notices=()
        )  # fmt: skip
        answers = MysqlAnswers(
            client, backend, cast(Any, None), cast(Any, gate), cast(Any, None), flags, cast(Any, None), heads
        )
        answers.status = status
        client.sequence = first
        running = asyncio.ensure_future(answers.run(cast(Any, permit), b"\x03select", Command.QUERY))
        for at in range(0, len(came), chunk):
            await asyncio.sleep(0)
            backend.data_received(came[at : at + chunk])
        await running
        await answers.sent()
        assert not backend.pending
        return Told(line.written, client.sequence, settled[0]._replace(duration_us=0))

    return asyncio.run(run())


ANSWERS = {
    "the same": lambda flags: result(b"c", b"one", b"two", flags=flags),
    "another row": lambda flags: result(b"c", b"x" * 300, flags=flags),
    "no row": lambda flags: result(b"c", flags=flags),
    "another name": lambda flags: result(b"d", b"one", flags=flags),
    "another status": lambda flags: result(b"c", b"one", flags=flags, status=Status.AUTOCOMMIT | Status.IN_TRANS),
    "nothing": lambda flags: frames([encode_ok(Ok(3), flags)], 1)[0],
    "an error": lambda _: frames([encode_error(1054, "42S22", "no")], 1)[0],
    "an error behind the definitions": lambda flags: frames(
        [*(b"\x01", encode_column(Column(b"c", Type.VAR_STRING, length=9, schema=b"s", table=b"t", org_table=b"o"))),
         *([] if flags & MODERN else [encode_eof(0)]), encode_error(1317, "70100", "killed")], 1
    )[0],
}  # fmt: skip


@pytest.mark.parametrize("flags", [0, MODERN], ids=["eof", "no-eof"])
@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("chunk", [1, 3, 7, 40, 61, 1 << 20])
def test_a_known_head_changes_nothing_that_is_told(what: str, flags: int, chunk: int) -> None:
    heads = Heads()
    told(heads, result(b"c", b"one", b"two", flags=flags), flags=flags)
    came = ANSWERS[what](flags)
    for _ in range(2):
        assert told(heads, came, flags=flags, chunk=chunk) == told(Heads(), came, flags=flags)


def test_clients_with_and_without_eof_packets_do_not_get_each_others_heads() -> None:
    for one, other in ((0, MODERN), (MODERN, 0)):
        heads = Heads()
        for flags in (one, other, one, other):
            came = result(b"c", b"one", b"two", flags=flags)
            assert told(heads, came, flags=flags) == told(Heads(), came, flags=flags)


@pytest.mark.parametrize("first", [1, 2, 5, 255])
def test_an_answer_behind_another_keeps_its_own_numbers_and_status(first: int) -> None:
    heads, came = Heads(), result(b"c", b"one")
    told(heads, came)
    for status in (Status.AUTOCOMMIT, Status.AUTOCOMMIT | Status.IN_TRANS):
        for _ in range(2):
            assert told(heads, came, first=first, status=status) == told(Heads(), came, first=first, status=status)


def test_what_is_known_is_what_is_told() -> None:
    heads, came = Heads(), result(b"c", b"one")
    plain = told(heads, came)
    terms = Terms("select ?", Command.QUERY, 0, 1, 1, Status.AUTOCOMMIT)
    head = heads.find(terms)
    assert head is not None
    heads._known[terms] = head._replace(told=head.told.replace(b"c", b"k"))
    assert told(heads, came).sent == plain.sent.replace(head.told, head.told.replace(b"c", b"k"))


def test_a_head_is_found_again_and_a_flood_of_them_is_forgotten() -> None:
    heads = Heads()
    told(heads, result(b"c", b"one"))
    terms = Terms("select ?", Command.QUERY, 0, 1, 1, Status.AUTOCOMMIT)
    assert heads.find(terms) is not None
    for number in range(600):
        heads.keep(terms._replace(statement=str(number)), [(b"\x01", b"\x01")], [])
    assert heads.find(terms) is None
    heads.keep(terms, [(b"x" * 5_000, b"y")], [])
    heads.keep(terms, [(b"x", b"y" * 5_000)], [])
    assert heads.find(terms) is None
    long = terms._replace(statement="x" * 5_000)
    heads.keep(long, [(b"x", b"y")], [])
    assert heads.find(long) is None


def test_a_target_that_goes_away_before_a_known_head_is_not_available() -> None:
    async def test() -> None:
        backend = Backend()
        backend.connection_made(cast(asyncio.Transport, Line()))
        waiting = asyncio.ensure_future(backend.heard_again(b"\x01\0\0\x01\x01", 2))
        await asyncio.sleep(0)
        backend.connection_lost(None)
        assert not await waiting
        with pytest.raises(GatewayError, match="closed"):
            await backend.heard()
        with pytest.raises(GatewayError, match="closed"):
            await backend.heard_again(b"\x01\0\0\x01\x01", 2)

    asyncio.run(test())
