"""A PostgreSQL server's log, read line by line: each way in which it can tell a statement, and who could forge what."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from target_logs import Server, at

from gateway.audit.target_log import Told, read_target_log
from gateway.errors import GatewayError


def told(server: Server, place: Path) -> list[Told]:
    (backend,) = read_target_log([server.json(place / "log.json")]).backends
    return backend.statements


@pytest.mark.parametrize(
    ("message", "texts"),
    [
        ("statement: select 1", ("select 1",)),
        ("duration: 3.250 ms  statement: select 1", ("select 1",)),
        ("execute <unnamed>: select $1", ("select $1",)),
        ("duration: 1.000 ms  execute <unnamed>: select $1", ("select $1",)),
        ("execute fetch from p1/p2: select 2", ("select 2",)),
        # the name is whatever its owner calls it: each reading is kept, and each may be the text
        ("execute a: select 1: delete from t", ("select 1: delete from t", "delete from t")),
        ("statement: select\n'a: b'", ("select\n'a: b'",)),
        ('fastpath function call: "lo_open" (OID 952)', ('fastpath function call: "lo_open" (OID 952)',)),
    ],
)
def test_each_way_to_tell_a_statement_is_read(tmp_path: Path, message: str, texts: tuple[str, ...]) -> None:
    server = Server()
    server.say(7, 1, message)
    (statement,) = told(server, tmp_path)
    assert statement.texts == texts


@pytest.mark.parametrize(
    "message",
    ["duration: 3.250 ms", "duration: 1.0 ms  parse <unnamed>: select 1", "connection received: host=x", "checkpoint"],
)
def test_what_runs_nothing_is_no_statement(tmp_path: Path, message: str) -> None:
    server = Server()
    server.say(7, 1, message)
    assert told(server, tmp_path) == []


def test_a_statement_that_is_told_when_it_ended_began_before(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 10, "duration: 4000.0 ms  statement: select pg_sleep(4)")
    (statement,) = told(server, tmp_path)
    assert statement.time == at(6)


def test_names_of_any_number_of_colons_stay_readable(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 1, "execute " + "a: " * 50 + "delete from t")
    (statement,) = told(server, tmp_path)
    assert len(statement.texts) <= 9
    assert any(text.endswith("delete from t") for text in statement.texts)


def test_both_formats_say_the_same_and_a_line_given_twice_is_one(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 1, 'statement: select "a""b", \'c,\nd\'')
    server.say(7, 2, "AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.t,select 2,<none>")
    places = server.json(tmp_path / "log.json"), server.csv(tmp_path / "log.csv")
    once = [read_target_log([place]) for place in places]
    both = read_target_log(places)
    assert once[0] == once[1] == both
    assert [len(backend.statements) for backend in both.backends] == [2]


def test_files_may_come_in_any_order_and_what_lies_between_is_missed(tmp_path: Path) -> None:
    server = Server()
    for number in range(9):
        server.say(7, number, f"statement: select {number}")
    parts = [server.json(tmp_path / f"{at}.json", server.lines[at : at + 3]) for at in (6, 0, 3)]
    whole = read_target_log(parts)
    assert whole.missing == 0
    assert [one.texts[0] for one in whole.backends[0].statements] == [f"select {number}" for number in range(9)]
    assert read_target_log(parts[:2]).missing == 3


class TestPgaudit:
    def test_one_statement_of_several_tables_is_one(self, tmp_path: Path) -> None:
        server = Server()
        server.say(7, 1, 'AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.a,"select * from a, b",<none>')
        server.say(7, 1, "AUDIT: SESSION,1,1,READ,SELECT,TABLE,public.b,<previously logged>,<previously logged>")
        (statement,) = told(server, tmp_path)
        assert (statement.texts, statement.objects) == (("select * from a, b",), ["public.a", "public.b"])

    @pytest.mark.parametrize("first", ["server", "audit"])
    def test_told_by_the_server_too_it_is_one(self, tmp_path: Path, first: str) -> None:
        server = Server()
        lines = ["statement: select 1", "AUDIT: SESSION,1,1,READ,SELECT,,,select 1,<none>"]
        for line in lines if first == "server" else reversed(lines):
            server.say(7, 1, line)
        (statement,) = told(server, tmp_path)
        assert statement.source == "both"

    def test_a_number_that_was_told_does_not_cover_another_text(self, tmp_path: Path) -> None:
        """Who may RAISE LOG could write pgaudit's line himself, to be told that a later one was told already."""
        server = Server()
        server.say(7, 1, "AUDIT: SESSION,2,1,READ,SELECT,,,select 1,<none>")
        server.say(7, 2, "AUDIT: SESSION,2,1,READ,SELECT,TABLE,public.t,select iban from t,<none>")
        assert [one.texts for one in told(server, tmp_path)] == [("select 1",), ("select iban from t",)]

    def test_a_line_that_says_less_is_a_statement_of_which_little_is_known(self, tmp_path: Path) -> None:
        server = Server()
        server.say(7, 1, "AUDIT: SESSION")
        server.say(7, 2, "AUDIT: SESSION,3,1,READ,SELECT,TABLE,public.t,<not logged>,<not logged>")
        assert [one.texts for one in told(server, tmp_path)] == [("AUDIT: SESSION",), ("SELECT",)]


def test_a_message_of_a_client_cannot_make_a_line(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 1, "statement: select 1\n" + json.dumps({"timestamp": "x", "pid": 8}))
    for place in (server.json(tmp_path / "a.json"), server.csv(tmp_path / "a.csv")):
        (backend,) = read_target_log([place]).backends
        assert (backend.process.pid, len(backend.statements)) == (7, 1)


@pytest.mark.parametrize(
    ("zone", "offset", "given"),
    [("UTC", 0, ""), ("GMT", 0, ""), ("+02", 2, ""), ("-03:30", -3.5, ""), ("CEST", 2, "+02:00"),
     ("CEST", 2, "Europe/Berlin"), ("Europe/Berlin", 2, "")],
)  # fmt: skip
def test_times_are_those_of_the_zone(tmp_path: Path, zone: str, offset: float, given: str) -> None:
    server = Server(zone, offset)
    server.say(7, 1, "statement: select 1")
    log = read_target_log([server.json(tmp_path / "log.json")], given)
    assert (log.since, log.backends[0].process.started) == (at(1), at(0))


@pytest.mark.parametrize("zone", ["CEST", "EST", "Mars/Olympus", "etc/../../passwd"])
def test_a_zone_that_may_be_several_is_refused(tmp_path: Path, zone: str) -> None:
    server = Server(zone)
    server.say(7, 1, "statement: select 1")
    with pytest.raises(GatewayError, match=r"cannot be told|no time"):
        read_target_log([server.json(tmp_path / "log.json")])
    with pytest.raises(GatewayError, match="cannot be told") as caught:
        read_target_log([server.json(tmp_path / "log.json")], zone)
    assert "log_timezone" in caught.value.refusal.hint


LINE = {"timestamp": "2026-06-01 12:00:00 UTC", "pid": 1, "session_id": "a", "line_num": 1, "session_start": "y"}


@pytest.mark.parametrize(
    "content",
    [
        "", "\n", "[]\n", "{}\n", "{\n", "null\n", '"x","y"\n', "\x00\x01\x02\n",
        "2026-06-01 LOG: statement: select 1\n", "2026-06-01 12:00:00.000 UTC," * 30 + "\n",
        *(json.dumps(LINE | more) for more in (
            {"timestamp": 5}, {"line_num": "x"}, {"message": None}, {"user": "u"}, {"user": ["u"]}, {"pid": None},
        )),
    ],
)  # fmt: skip
def test_what_is_no_log_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log"
    path.write_text(content)
    with pytest.raises(GatewayError) as caught:
        read_target_log([path])
    assert caught.value.refusal.code == "configuration-invalid"


def test_a_line_that_is_cut_is_refused_and_not_left_out(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 1, "statement: select 1")
    server.say(7, 2, "statement: select 2")
    path = server.json(tmp_path / "log.json")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(GatewayError, match="not a log in JSON"):
        read_target_log([path])


def test_lines_of_no_person_are_left_out(tmp_path: Path) -> None:
    server = Server()
    server.say(7, 1, "statement: select 1")
    server.say(8, 2, "statement: select 2", kind="parallel worker")
    server.say(9, 3, "checkpoint starting: time", role="", database="")
    log = read_target_log([server.json(tmp_path / "log.json")])
    assert [backend.process.pid for backend in log.backends] == [7]
    assert log.until - log.since == timedelta(seconds=2)
