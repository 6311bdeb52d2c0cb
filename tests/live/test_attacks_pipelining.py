"""Random mixes of the simple and the extended protocol: the gateway's answers are the target's own.

Each mix is sent to the gateway and to the target itself, whole or in pieces, with what the gateway must refuse replaced
by a text that the target cannot parse. The answers must be equal message for message, errors by their class: so no
error is skipped too far or not far enough, no name stands for another statement than on the target, and the state of
the transaction is the target's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from gateway_fixture import House
from psycopg.conninfo import conninfo_to_dict
from raw_client import Raw, query

from gateway.demo.postgres import BACKEND_ROLE
from gateway.wire import auth
from gateway.wire import postgres as wire

PERMITTED = [
    "select id from employees where company_id = 42 order by id limit 3",
    "select 1",
    "select generate_series(1, 5)",
    "select 1 / 0",
    "select 1; select 2",
    "select 1; select 1 / 0; select 3",
    "",
    "begin",
    "commit",
    "rollback",
    "savepoint s",
    "rollback to s",
    "declare c cursor for select generate_series(1, 9)",
    "declare c cursor with hold for select generate_series(1, 6)",
    "fetch 2 c",
    "close c",
    "close all",
    "prepare p as select generate_series(1, 4)",
    "execute p",
    "deallocate p",
    "deallocate all",
    "discard all",
    "reset all",
    "copy (select generate_series(1, 3)) to stdout",
    "set datestyle to 'ISO, DMY'",
]
REFUSED = [
    "select * from secrets",
    "insert into employees values (1)",
    "select pg_sleep(1)",
    "lock table employees",
    "listen x",
    "select rolpassword from pg_authid",
]
UNREADABLE = "refused"
NAMES, PORTALS = (b"", b"p", b"q"), (b"", b"c", b"x")
MARK = b"the end of the mix"
# Refused, or not known by name: the gateway has codes of its own for what it refuses itself.
ALIKE = frozenset({"42501", "42P01", "25006", "0A000", "42601", "42704", "34000", "26000", "54001"})

Mix = list[tuple[bytes, bytes]]
"""What the gateway gets, and what the target does, message by message."""


class Direct(Raw):
    """A connection to the target, past the gateway."""

    def __init__(self, house: House) -> None:
        given = conninfo_to_dict(house.postgres.dsn(BACKEND_ROLE))
        ports = {"postgres": int(cast(Any, given["port"]))}
        tls = SimpleNamespace(ca=given["sslrootcert"])
        super().__init__(cast(House, SimpleNamespace(company=SimpleNamespace(ports=ports, tls=tls))))
        self.start(user=str(given["user"]), database=str(given["dbname"])).needed()
        client = auth.ScramClient(str(given["password"]), auth.make_nonce(), None, [auth.SCRAM_SHA_256])
        self.send(wire.encode_sasl_initial_response(client.mechanism, client.first()))
        self.send(wire.encode_sasl_response(client.respond(wire.parse_authentication(self.needed()[1]).data)))
        self.until_ready()


def mixed(chance: random.Random) -> Mix:
    made: Mix = []
    for _ in range(chance.randint(3, 14)):
        refused = chance.random() < 0.2
        text = chance.choice(REFUSED if refused else PERMITTED)
        instead = UNREADABLE if refused else text
        name, portal = chance.choice(NAMES), chance.choice(PORTALS)
        kind = chance.choice((wire.STATEMENT, wire.PORTAL))
        what = chance.choice("QPPBBEEEDCSSH")
        if what == "Q":
            made.append((query(text), query(instead)))
        elif what == "P" and ";" not in text:
            made.append((wire.encode_parse(name, text), wire.encode_parse(name, instead)))
        else:
            message = {
                "B": wire.encode_bind(portal, name),
                "E": wire.encode_execute(portal, chance.choice((0, 0, 1, 2))),
                "D": wire.encode_describe(kind, chance.choice((name, portal))),
                "C": wire.encode_close(kind, chance.choice((name, portal))),
                "H": wire.encode_flush(),
            }.get(what, wire.encode_sync())
            made.append((message, message))
    end = wire.encode_sync() + query("rollback") + query(f"select '{MARK.decode()}'")
    return [*made, (end, end)]


def said(raw: Raw) -> Iterator[tuple[int, object]]:
    """The answers up to the mark: types, states, tags, the length of rows and the class of errors."""
    while True:
        kind, body = raw.needed()
        if kind == wire.DATA_ROW and MARK in body:
            return
        if kind == wire.ERROR_RESPONSE:
            code = wire.parse_error_fields(body)["C"]
            yield kind, "alike" if code in ALIKE else code
        elif kind in (wire.READY_FOR_QUERY, wire.COMMAND_COMPLETE):
            yield kind, body
        elif kind not in (wire.NOTICE_RESPONSE, wire.PARAMETER_STATUS):
            yield kind, len(body) if kind == wire.DATA_ROW else None


def pieces(data: bytes, chance: random.Random) -> Iterator[bytes]:
    while data:
        size = chance.randint(1, 60)
        yield data[:size]
        data = data[size:]


# The last ones once took a client's unnamed statement away with the refusal of another message.
@pytest.mark.parametrize("seed", [*range(80), 116, 504])
def test_a_mix_is_answered_as_the_target_itself_would(house: House, seed: int) -> None:
    chance = random.Random(seed)
    mix = mixed(chance)
    answers = []
    for number, raw in enumerate((Raw(house).log_in(), Direct(house))):
        with raw:
            sent = b"".join(pair[number] for pair in mix)
            for piece in pieces(sent, chance) if seed % 3 == 0 else [sent]:
                raw.send(piece)
            answers.append(list(said(raw)))

    assert answers[0] == answers[1], mix


UTILITIES = [
    "discard all",
    "declare c cursor for select 1 / 0",
    "close nothing",
    "fetch all from nothing",
    "select 1 / 0",
]


@pytest.mark.parametrize("utility", UTILITIES)
@pytest.mark.parametrize("synced", [True, False], ids=["synced", "at once"])
def test_what_a_failed_query_leaves_behind_is_not_executed(house: House, utility: str, synced: bool) -> None:
    """PostgreSQL 15 crashes with all its sessions when the portal of a utility that failed is executed."""
    shown = "select id from payslips order by id limit 3"
    with Raw(house) as raw, Raw(house) as other:
        raw.log_in()
        other.log_in()
        batches = [query("begin"), query(utility)]
        batches.append(wire.encode_parse(b"p", shown) + wire.encode_bind(b"", b"p") + wire.encode_sync())
        batches.append(wire.encode_execute(b"", 0) + wire.encode_sync())
        if synced:
            for batch in batches:
                raw.send(batch)
                raw.until_ready()
        else:
            raw.send(b"".join(batches))
            for _ in batches:
                raw.until_ready()

        assert raw.query("rollback")[-1][0] == wire.READY_FOR_QUERY
        assert other.query("select 1")[-1][0] == wire.READY_FOR_QUERY
