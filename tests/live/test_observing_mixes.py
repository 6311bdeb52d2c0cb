"""Random mixes of messages, COPY among them: through a gateway that observes, a target answers as it does directly.

What comes back is compared byte for byte, and each statement of the mix that the target ran must be on record. No mix
may leave a session in which something runs that is not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gateway_fixture import House
from observed_fixture import ROLE, open_observed
from psycopg.conninfo import conninfo_to_dict
from raw_client import Raw, query

from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire import auth
from gateway.wire import postgres as wire

TEXTS = [
    "select 1",
    "select generate_series(1, 5)",
    "select 1 / 0",
    "select 1; select 1 / 0; select 3",
    "insert into mixed values (1)",
    "insert into mixed values (1 / 0)",
    "select count(*) from mixed",
    "",
    "begin",
    "commit",
    "rollback",
    "savepoint s",
    "rollback to s",
    "declare c cursor for select generate_series(1, 9)",
    "fetch 2 c",
    "close all",
    "prepare p as select generate_series(1, 4)",
    "execute p",
    "deallocate all",
    "discard plans",
    "do $$ begin raise notice 'heard'; end $$",
    "listen x",
    "notify x, 'payload'",
    "set application_name to 'mixing'",
    "set standard_conforming_strings to off",
    "copy (select generate_series(1, 3)) to stdout",
    "copy mixed from stdin",
    "no such statement",
]
NAMES, PORTALS = (b"", b"p", b"q", b"x" * 70), (b"", b"c", b"x")
MARK = b"the end of the mix"


class Direct(Raw):
    """A connection to the target, past the gateway, as the role that the gateway has."""

    def __init__(self, house: House) -> None:
        given = conninfo_to_dict(house.postgres.dsn(ROLE))
        ports = {"postgres": int(cast(Any, given["port"]))}
        tls = SimpleNamespace(ca=given["sslrootcert"])
        super().__init__(cast(House, SimpleNamespace(company=SimpleNamespace(ports=ports, tls=tls))))
        self.start(user=ROLE, database=str(given["dbname"])).needed()
        client = auth.ScramClient(str(given["password"]), auth.make_nonce(), None, [auth.SCRAM_SHA_256])
        self.send(wire.encode_sasl_initial_response(client.mechanism, client.first()))
        self.send(wire.encode_sasl_response(client.respond(wire.parse_authentication(self.needed()[1]).data)))
        self.until_ready()


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_observed(tmp_path_factory.mktemp("mixes"), postgres) as house:
        yield house


def mixed(chance: random.Random) -> list[bytes]:
    made: list[bytes] = []
    for _ in range(chance.randint(3, 14)):
        text = chance.choice(TEXTS)
        name, portal = chance.choice(NAMES), chance.choice(PORTALS)
        kind = chance.choice((wire.STATEMENT, wire.PORTAL))
        what = chance.choice("QPPBBEEEDCSSHFQKK")
        if what == "Q" and not text.startswith("copy mixed"):
            made.append(query(text))
        elif what == "P" and not text.startswith("copy mixed"):
            made.append(wire.encode_parse(name, text))
        elif what == "K":
            made.append(copying(chance))
        else:
            made.append(
                {
                    "B": wire.encode_bind(portal, name),
                    "E": wire.encode_execute(portal, chance.choice((0, 0, 1, 2))),
                    "D": wire.encode_describe(kind, chance.choice((name, portal))),
                    "C": wire.encode_close(kind, chance.choice((name, portal))),
                    "H": wire.encode_flush(),
                    # pg_backend_pid is 2026, abs(int4) is 1397
                    "F": wire.frame(wire.FUNCTION_CALL, b"\0\0\x05\x75\0\0\0\1\0\0\0\x02-5\0\0"),
                }.get(what, wire.encode_sync())
            )
    return made


def copying(chance: random.Random) -> bytes:
    """A COPY FROM STDIN as clients send it, ahead of any answer: it works, fails, or is given up."""
    rows = chance.choice((b"1\n2\n", b"no number\n", b"1\n", b""))
    data = b"".join(wire.frame(wire.COPY_DATA, rows) for _ in range(chance.randint(0, 3)))
    # what stands in data is data
    if chance.random() < 0.2:
        data += wire.frame(wire.COPY_DATA, query("insert into mixed values (7)") + wire.encode_sync())
    end = wire.frame(wire.COPY_DONE) if chance.random() < 0.8 else wire.encode_copy_fail("given up")
    if chance.random() < 0.5:
        return query("copy mixed from stdin") + data + end
    start = wire.encode_parse(b"k", "copy mixed from stdin") + wire.encode_bind(b"", b"k") + wire.encode_execute(b"")
    return wire.encode_close(wire.STATEMENT, b"k") + start + data + end + wire.encode_sync()


def said(raw: Raw) -> Iterator[tuple[int, bytes]]:
    """The answers up to the mark."""
    while True:
        kind, body = raw.needed()
        if kind == wire.DATA_ROW and MARK in body:
            return
        # of a notification the process id is another one's
        yield kind, body[4:] if kind == wire.NOTIFICATION_RESPONSE else body


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.randint(1, 60)
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", range(120))
def test_a_mix_is_answered_byte_for_byte_as_directly_and_is_on_record(house: House, seed: int) -> None:
    chance = random.Random(seed)
    mix = mixed(chance)
    end = wire.encode_sync() + query("rollback") + query(f"select '{MARK.decode()}'")
    answers = []
    for raw in (Raw(house).log_in(application_name=f"mix {seed}"), Direct(house)):
        with raw:
            raw.query("set client_min_messages to notice; create temp table mixed (a int check (a < 100))")
            sent = b"".join([*mix, end])
            for piece in pieces(sent, chance) if seed % 3 == 0 else [sent]:
                raw.send(piece)
            answers.append(list(said(raw)))

    assert answers[0] == answers[1], mix
    records = house.records()
    session = next(one["session"] for one in records if one.get("application") == f"mix {seed}")
    runs = [
        one
        for one in records
        if one["kind"] == "statement.begin"
        and one["session"] == session
        and one["protocol"] in ("simple", "execute", "function")
    ]
    completed = sum(kind in (wire.COMMAND_COMPLETE, wire.FUNCTION_CALL_RESPONSE) for kind, _ in answers[1])
    # one text may hold three statements
    assert 3 * len(runs) >= completed
    assert "heard" not in str(runs)


def test_what_runs_is_on_record_before_the_target_has_it(house: House) -> None:
    """The target's own counter of statements never runs ahead of the trail."""
    with Raw(house) as raw:
        raw.log_in(application_name="counted")
        raw.query("create temp table counted (a int)")
        for number in range(30):
            raw.send(wire.encode_parse(b"", f"insert into counted values ({number})") + wire.encode_bind(b"", b""))
            raw.send(wire.encode_execute(b"") + wire.encode_sync())
            raw.until_ready()
            begun = sum(
                one["kind"] == "statement.begin" and "insert into counted" in one.get("sql", "")
                for one in house.records()
            )
            assert begun >= number + 1
