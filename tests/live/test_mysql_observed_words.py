"""What a record shows of an observed text are words for MariaDB too: its own digests of the same texts say so.

`performance_schema` keeps of each statement what its lexer read, with every value taken out. Texts are made of strings,
names and comments that are full of quotes, backslashes and each other's signs, under the modes and character sets that
read them differently.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mariadb_server import MariaDB, mariadb_server
from mysql_wire import Client, Refused

from gateway.policy.load import load_policy
from gateway.sql.declared import declared
from gateway.sql.mysql import Reader, judged
from gateway.sql.statement import Plan, View
from gateway.wire.mysql.answers import Answer
from gateway.wire.mysql.base import Status
from gateway.wire.mysql.commands import Command, encode_text

pytestmark = pytest.mark.live
SEED = 2026
ROUNDS = 2500
POLICY = load_policy(Path(__file__).parents[1] / "corpus" / "dialects" / "shop.yaml")
VIEW = View(replace(POLICY, dialect="mariadb", mode="observe"), declared(POLICY), ("42",), search_path=("shop",))
MODES = ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"]
CHARSETS = ["utf8mb4", "latin1", "gbk", "sjis", "big5"]
INSIDE = [
    b"'", b'"', b"`", b"\\", b"\\", b"''", b"\\'", b'\\"', b"/*", b"*/", b"/*!", b"-- ", b"#", b"\n", b";", b"x",
    b"word", b"word", b"\xc3\xa9", b"\xe9", b"\xbf", b"\xbf\\", b"\x95\\", b"\xa0", b"50000 ", b"99999 ",
]  # fmt: skip
ITEMS = (
    *("single",) * 6, *("double", "two", "word") * 2, "named", "comment", "run", "later", "line", "hash", "bare",
    "other",
)  # fmt: skip
WORD = re.compile(r"[a-z_]\w*", re.ASCII | re.IGNORECASE)
DIGEST = (
    "select digest_text from performance_schema.events_statements_history"
    " where thread_id = {} order by event_id desc limit 1"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    options = [
        "--performance-schema=on", "--performance-schema-consumer-events-statements-history=on",
        "--performance-schema-consumer-events-statements-current=on", "--performance-schema-instrument=statement/%=on",
        "--performance-schema-max-digest-length=4096", "--max-digest-length=4096",
    ]  # fmt: skip
    with mariadb_server(tmp_path_factory.mktemp("words"), options=options) as made:
        yield made


def item(chance: random.Random) -> bytes:
    inside = b"".join(chance.choice(INSIDE) for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))))
    return {
        "single": b"'" + inside + b"'", "double": b'"' + inside + b'"', "named": b"1 as `" + inside + b"`",
        "comment": b"/*" + inside + b"*/ 1", "run": b"/*!" + inside + b"*/ 2",
        "later": b"/*M!999999" + inside + b"*/ 2",
        "two": b"'" + chance.choice((b"\xbf", b"\x95")) + b"\\', ' , word , '",
        "line": b"-- " + inside + b"\n 3", "hash": b"#" + inside + b"\n 4", "bare": b"--" + inside + b"\n 5",
        "word": b"'a' as w" + str(chance.randint(0, 99)).encode(), "other": b"_latin1'" + inside + b"'",
    }[chance.choice(ITEMS)]  # fmt: skip


def shown(text: str) -> list[str]:
    """The words of what is on record; the names of character sets are shown otherwise by a digest."""
    plan = judged(text, VIEW)
    assert isinstance(plan, Plan)
    return [word for word in WORD.findall(re.sub(r"`[^`]*`", "", plan.normalised)) if word[0] != "_"]


def test_every_word_on_record_is_one_for_the_server(server: MariaDB) -> None:
    asked = Client(server.socket, "root", server.root_password)
    ((thread,),) = asked.rows("select thread_id from performance_schema.threads where processlist_id = connection_id()")
    assert isinstance(thread, bytes)
    chance = random.Random(SEED)
    compared = 0
    reader = Reader(45)
    for number in range(ROUNDS):
        if number % 10 == 0:
            reader = Reader(45)
            for text in (f"set names {chance.choice(CHARSETS)}", f"set sql_mode = '{chance.choice(MODES)}'"):
                reader.text(text.encode())
                (result,) = asked.query(text)
                assert result.ok is not None
                reader.reported(escapes=not result.ok.status & Status.NO_BACKSLASH_ESCAPES)
        raw = b"select " + b", ".join(item(chance) for _ in range(chance.randint(1, 4)))
        text = reader.text(raw)
        asked.command(encode_text(Command.QUERY, raw))
        try:
            asked.answer(Answer(Command.QUERY, asked.capabilities))
        except Refused:
            continue
        if text is None:
            continue
        ((digest,),) = asked.rows(DIGEST.format(thread.decode()))
        assert isinstance(digest, bytes)
        # what a newer server, or MySQL, would run is shown whether or not this one does
        perhaps = b" ".join(re.findall(rb"/\*M?!.*?\*/", raw, re.DOTALL))
        words = set(WORD.findall((digest + perhaps).decode("utf-8", "replace").lower()))
        assert {one.lower() for one in shown(text)} <= words, (raw, digest)
        compared += 1
    assert compared > ROUNDS // 8
    asked.close()
