"""Packets of the MySQL protocol: split, joined, numbered, bounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.errors import GatewayError
from gateway.wire.mysql.packets import LOGIN_LIMIT, MAX_PAYLOAD, Framer, following, frame, frames


def refusal(act: Callable[[], object]) -> str:
    """The code with which `act` is refused."""
    with pytest.raises(GatewayError) as refused:
        act()
    assert refused.value.refusal.fatal
    return refused.value.code


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
@pytest.mark.parametrize("sequence", [0, 254])
def test_payloads_are_split_and_joined(size: int, sequence: int) -> None:
    body = bytes(size)
    stream = frame(body, sequence)
    assert len(stream) == size + 4 * (size // MAX_PAYLOAD + 1)
    assert stream[3] == sequence
    framer = Framer(2 * MAX_PAYLOAD, sequence=sequence)
    framer.feed(stream)
    assert framer.take() == body
    assert framer.sequence == following(size, sequence)
    assert framer.take() is None
    assert framer.pending == 0
    assert frames([b"a", body, b"b"], sequence)[1] == (following(size, sequence) + 2) & 0xFF


def test_a_continued_payload_is_refused_at_the_header_that_takes_it_over_the_limit() -> None:
    framer = Framer(MAX_PAYLOAD + 10)
    framer.feed(frame(bytes(MAX_PAYLOAD + 11))[: MAX_PAYLOAD + 4])
    assert framer.take() is None
    assert framer.pending == MAX_PAYLOAD
    framer.feed(b"\x0b\0\0\1")
    assert refusal(framer.take) == "message-too-large"
    assert framer.pending == 0


def test_the_limit_holds_for_payloads_that_begin_after_it_was_set() -> None:
    framer = Framer(1000)
    stream = frame(b"x" * 500)
    framer.feed(stream[:100])
    assert framer.take() is None
    framer.limit = 50
    framer.feed(stream[100:])
    assert framer.take() == b"x" * 500
    framer.feed(frame(b"x" * 51, 1))
    assert refusal(framer.take) == "message-too-large"


def test_a_packet_out_of_sequence_is_refused_and_the_stream_stays_refused() -> None:
    framer = Framer()
    framer.feed(frame(b"a", 0) + frame(b"b", 2))
    assert framer.take() == b"a"
    for _ in range(2):
        assert refusal(framer.take) == "protocol-violation"
        framer.feed(frame(b"b", 1))
        assert framer.pending == 0


def test_each_command_begins_at_zero_and_its_answer_goes_on_behind_it() -> None:
    framer = Framer(commands=True)
    framer.feed(frame(b"\x0e") + frame(b"\x0e"))
    assert framer.take() == b"\x0e"
    assert framer.sequence == 1
    assert framer.take() == b"\x0e"
    framer.feed(frame(b"\x0e", 1))
    assert refusal(framer.take) == "protocol-violation"


@pytest.mark.parametrize(
    "stream", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x16\3\1\2\0\1\0\1\xfc\3\3"], ids=["http", "ssh", "tls"]
)
def test_another_protocol_is_refused_at_its_first_bytes(stream: bytes) -> None:
    framer = Framer(LOGIN_LIMIT, sequence=1)
    framer.feed(stream)
    assert refusal(framer.take) == "protocol-violation"
