"""Random mixes of commands: through a gateway that observes, a MariaDB answers as it does directly, packet by packet.

Each statement of the mix that the target ran must be on record, and no mix may leave a session in which something runs
that is not.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from mysql_house import MysqlHouse, payroll_server
from mysql_observed import client, client_directly, open_mysql_observed, query, recorded, said
from mysql_wire import Client

from gateway.demo import data
from gateway.demo.postgres import EmbeddedPostgres
from gateway.wire.mysql import handshake
from gateway.wire.mysql.base import Capability, Type
from gateway.wire.mysql.commands import (
    Bound,
    Command,
    Fetch,
    FieldList,
    LongData,
    Parameter,
    encode_execute,
    encode_fetch,
    encode_field_list,
    encode_long_data,
    encode_number,
    encode_text,
)

pytestmark = pytest.mark.live
SEED = 2026
TEXTS = [
    "select 1",
    "select seq, repeat('x', seq) from seq_1_to_40",
    "select 1; select 2; select nothing; select 3",
    "insert into mixed values (1, 'a'); select row_count(); call two_results()",
    "call two_results()",
    "insert into mixed (b) values ('it''s \\'quoted\\' \\\\')",
    "insert into mixed values (null, null), (7, 'x'); ",
    "insert into mixed values ('no number', 1)",
    "select count(*), max(b) from mixed",
    "select 1/0, cast('x' as int)",
    "show warnings",
    "select @@warning_count, found_rows(), last_insert_id()",
    "begin",
    "commit",
    "rollback",
    "set @a = 5, @b = 'x'",
    "set names latin1",
    "set names gbk",
    "set names utf8mb4",
    "set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
    "set sql_mode = default",
    "set session_track_system_variables = '*'",
    "set autocommit = 0",
    "set time_zone = '+02:00'",
    "use payroll",
    "prepare s from 'select ?, @b'",
    "execute s using @a",
    "deallocate prepare s",
    "execute immediate 'insert into mixed values (9, ''i'')'",
    "delete from mixed limit 1",
    "update mixed set b = 'u'",
    "truncate mixed",
    "load data local infile 'anything' into table mixed",
    "load data local infile 'anything' into table nowhere",
    "select 'caf\u00e9\\'s', \"double \\\" quoted\" /*! , 'run' */ -- a comment",
    'select "',
    "",
    "/* nothing */",
    "kill 0",
    "no such statement",
]
PREPARED = [
    "select ?", "select seq from seq_1_to_25 where seq > ?", "insert into mixed values (?, 'p')", "call two_results()",
    "select * from nowhere where a = ?",
]  # fmt: skip

_NUMBERED = (
    Command.STMT_EXECUTE, Command.STMT_FETCH, Command.STMT_SEND_LONG_DATA, Command.STMT_CLOSE, Command.STMT_RESET,
)  # fmt: skip


@pytest.fixture(scope="module")
def mysql(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlHouse]:
    directory = tmp_path_factory.mktemp("mysql-mixes")
    with (
        payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server,
        open_mysql_observed(directory / "house", postgres, server) as house,
    ):
        house.truth("create procedure two_results() begin select 1 as a; select 'b' as b, null as c; end")
        yield house


@pytest.fixture(scope="module")
def opened(mysql: MysqlHouse) -> dict[str, Any]:
    return mysql.opened()


def mixed(chance: random.Random) -> list[bytes]:
    made: list[bytes] = []
    for _ in range(chance.randint(5, 25)):
        number = chance.choice((1, 1, 2, 3, 9))
        what = chance.choice("QQQQQPPEEEEFFLCRUKNOXIS")
        if what == "Q":
            made.append(query(chance.choice(TEXTS)))
        elif what == "P":
            made.append(encode_text(Command.STMT_PREPARE, chance.choice(PREPARED).encode()))
        elif what == "E":
            value = chance.choice((3, None, 24))
            bound = Bound((Parameter(Type.LONGLONG),), (value,))
            made.append(encode_execute(number, chance.choice((0, 1)), chance.choice((bound, Bound((), ())))))
        else:
            made.append(
                {
                    "F": encode_fetch(Fetch(number, chance.choice((1, 3, 100)))),
                    "L": encode_long_data(LongData(number, 0, b"long" * chance.randint(1, 5))),
                    "C": encode_number(Command.STMT_CLOSE, number),
                    "R": encode_number(Command.STMT_RESET, number),
                    "U": encode_text(Command.INIT_DB, chance.choice((b"payroll", b"no`where"))),
                    "K": encode_number(Command.PROCESS_KILL, 0),
                    "N": encode_number(Command.PING),
                    "O": encode_number(Command.SET_OPTION, chance.choice((0, 1))),
                    "X": encode_number(Command.RESET_CONNECTION),
                    "I": encode_field_list(FieldList(chance.choice((b"mixed", b"employees", b"nowhere")), b"")),
                    "S": encode_text(Command.QUERY, b"select * from payroll.employees order by id limit 20"),
                }[what]
            )
    return made


class Played:
    """A mix as one session plays it: its numbers of statements stand for those that the server gave."""

    def __init__(self, session: Client) -> None:
        self.session = session
        self.numbers: list[bytes] = []

    def play(self, mix: list[bytes]) -> list[list[bytes]]:
        session = self.session
        try:
            beginning = repr(session.ok._replace(info=b"")).encode()
            session.query("create temporary table mixed (a int, b varchar(40))")
            return [[beginning], *(self._said(payload) for payload in mix)]
        finally:
            session.close()

    def _said(self, payload: bytes) -> list[bytes]:
        if payload[0] in _NUMBERED:
            at = int.from_bytes(payload[1:5], "little") - 1
            number = self.numbers[at] if at < len(self.numbers) else b"\xfe\xff\xff\0"
            payload = payload[:1] + number + payload[5:]
        heard = said(self.session, payload, [b"1\tone\n", b"2\ttwo\n" * 50])
        if payload[0] == Command.STMT_PREPARE and heard[0][0] == 0:
            self.numbers.append(heard[0][1:5])
            heard[0] = heard[0][:1] + heard[0][5:]
        # which number it is stands in the text of an error
        return [re.sub(rb"\(\d+\)", b"(N)", one) if one[:1] == b"\xff" else one for one in heard]


@pytest.mark.parametrize("seed", range(60))
def test_a_mix_is_answered_as_it_is_directly(mysql: MysqlHouse, opened: dict[str, Any], seed: int) -> None:
    chance = random.Random(f"{SEED}-{seed}")
    mix = mixed(chance)
    without = chance.choice((0, Capability.DEPRECATE_EOF, Capability.SESSION_TRACK, Capability.LOCAL_FILES))
    wanted = handshake.OBSERVED & ~without
    directly = Played(client_directly(mysql, wanted)).play(mix)
    through = Played(client(mysql, wanted, opened)).play(mix)
    for payload, one, other in zip([b"", *mix], directly, through, strict=True):
        assert one == other, payload
    made = recorded(mysql, "codec")
    runs = sum(payload[0] in (Command.QUERY, Command.STMT_EXECUTE, Command.STMT_FETCH) for payload in mix)
    assert sum(one["protocol"] in ("simple", "execute") for one in made) >= runs + 1
    assert all("status" in one for one in made)
