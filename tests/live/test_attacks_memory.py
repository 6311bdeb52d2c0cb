"""What one session can make the gateway keep is bounded, whatever it prepares, binds and declares."""

from __future__ import annotations

from gateway_fixture import House
from raw_client import Raw

from gateway.wire import postgres as wire

SYNC = wire.encode_sync()


def text(number: int) -> str:
    return f"select {number}, '{'x' * 200_000}'"


def test_prepared_statements_are_bounded_by_their_texts_and_not_by_their_number_alone(house: House) -> None:
    with Raw(house) as raw:
        raw.log_in()
        prepared = 0
        for number in range(200):
            raw.send(wire.encode_parse(b"p%d" % number, text(number)) + SYNC)
            kinds = []
            while wire.READY_FOR_QUERY not in kinds and (message := raw.message()) is not None:
                kinds.append(message[0])
            if wire.PARSE_COMPLETE not in kinds:
                break
            prepared += 1

        assert 50 < prepared < 120
        assert raw.message() is None


def test_a_statement_that_is_bound_or_made_again_costs_once(house: House) -> None:
    with Raw(house) as raw:
        raw.log_in()
        raw.send(wire.encode_parse(b"p", text(0)) + SYNC)
        raw.until_ready()
        for number in range(200):
            raw.send(
                wire.encode_bind(b"c%d" % (number % 3), b"p") + wire.encode_close(wire.PORTAL, b"c%d" % (number % 3))
            )
        raw.send(SYNC)
        assert raw.until_ready()[-1][0] == wire.READY_FOR_QUERY
        for number in range(200):
            raw.send(wire.encode_parse(b"", text(number)) + SYNC)
            assert raw.until_ready()[0][0] == wire.PARSE_COMPLETE
