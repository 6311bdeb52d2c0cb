"""Bad input on raw sockets: each gives a documented error, and the gateway stays as it was.

Every test ends with no session inside, no statement running at the target, and the process alive; the last ones
repeat the worst of it and weigh the process.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_fixture import House, awaited, eventually, open_house
from raw_client import Raw, code_of, error_in, query, trickle

from gateway.demo.company import FOREIGN_TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.errors import CODES
from gateway.wire import postgres as wire

LOGIN_TIMEOUT_S = 1.5
SLOTS = 12


@pytest.fixture(scope="module")
def strict(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with little patience and few slots."""
    settings = {
        "listen": {"postgres": {"max_connections": SLOTS, "login_timeout": f"{int(LOGIN_TIMEOUT_S * 1000)}ms"}},
        "targets": {"payroll": {"connect_timeout": "2s"}},
    }
    limits = {"rows_per_statement": 100_000_000, "rows_per_day": 1_000_000_000, "statement_timeout": "20s"}
    with open_house(tmp_path_factory.mktemp("strict"), postgres, settings=settings, limits=limits) as house:
        house.opened()
        yield house


@pytest.fixture(autouse=True)
def as_it_was(strict: House) -> Iterator[None]:
    pid = strict.gateway.pid
    yield
    assert pid is not None
    assert strict.gateway.pid == pid, strict.gateway.log_tail()
    strict.settled()
    assert '"event": "fault"' not in strict.gateway.log_tail(200)


def refused(error: dict[str, str], code: str) -> None:
    """The error is that code's, as the table of errors has it."""
    assert code_of(error) == code, error
    assert error["C"] == CODES[code].sqlstate
    assert error["S"] == "FATAL"


# The first bytes, in clear.


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", "message-too-large"),
        (b"\xff" * 64, "message-too-large"),
        (b"\0\0\0\0\0\0\0\0", "protocol-violation"),
        (struct.pack(">I", 7) + b"abc", "protocol-violation"),
        (struct.pack(">I", 10_001) + b"x" * 10_000, "message-too-large"),
        (struct.pack(">II", 12, 80877103) + b"more", "protocol-violation"),
        (struct.pack(">II", 8, 2 << 16), "feature-not-supported"),
        (struct.pack(">II", 8, 4 << 16), "feature-not-supported"),
        (wire.encode_startup({"user": "alice", "database": "payroll"}), "tls-required"),
        (wire.encode_ssl_request() + b"ahead of the handshake", "protocol-violation"),
        (wire.encode_gssenc_request() * 3, "protocol-violation"),
    ],
)
def test_first_bytes_that_are_not_a_proper_start(strict: House, sent: bytes, code: str) -> None:
    with Raw(strict) as raw:
        raw.send(sent)
        if sent.startswith(wire.encode_gssenc_request()):
            for _ in range(3):
                assert raw.socket.recv(1) == b"N"
        refused(raw.last_words(), code)


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\0\0", b"\0\0\0\x08", b"\0\0\0\x08\x04\xd2", b"\x16"])
def test_a_start_that_is_cut_short_is_simply_over(strict: House, sent: bytes) -> None:
    with Raw(strict) as raw:
        raw.send(sent)
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.socket.recv(4096) in (b"", b"\x15\x03\x01\x00\x02\x02\x0a")


def test_whoever_does_not_go_on_runs_into_the_log_in_timeout(strict: House) -> None:
    start = time.monotonic()
    with contextlib.ExitStack() as stack:

        def opened(sent: bytes = b"") -> Raw:
            raw = stack.enter_context(Raw(strict))
            raw.send(sent)
            return raw

        told = [opened(), opened(b"\0\0\0\x08"), opened(wire.encode_ssl_request()[:7]), opened().tls()]
        told.append(opened().start(user=strict.opened()["user"], database="payroll"))
        assert told[-1].needed()[0] == wire.AUTHENTICATION
        # in the middle of a TLS handshake there is no language to explain in
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"z" * 40
        untold = [opened() for _ in range(3)]
        for raw, sent in zip(untold, (b"", hello[:3], hello), strict=True):
            assert raw.request_tls() == b"S"
            raw.send(sent)
        for raw in told:
            refused(raw.last_words(), "handshake-timeout")
        for raw in untold:
            with contextlib.suppress(ConnectionError):
                assert raw.socket.recv(4096) == b""
    assert time.monotonic() - start < LOGIN_TIMEOUT_S + 3


def test_a_start_byte_by_byte_runs_into_the_same_timeout(strict: House) -> None:
    start = time.monotonic()
    with Raw(strict) as raw:
        raw.tls()
        trickle(raw, wire.encode_startup({"user": "alice", "database": "payroll"}), 0.1)
        refused(raw.last_words(), "handshake-timeout")
    assert time.monotonic() - start < LOGIN_TIMEOUT_S + 3


@pytest.mark.parametrize("alpn", [None, ["http/1.1"], ["h2", "postgres"]])
def test_direct_tls_without_the_protocol_s_name_is_closed(strict: House, alpn: list[str] | None) -> None:
    with Raw(strict) as raw:
        raw.wrap(alpn)
        raw.send(wire.encode_startup({"user": "alice", "database": "payroll"}))
        assert raw.message() is None


def test_gss_encryption_is_declined_and_tls_may_follow(strict: House) -> None:
    with Raw(strict) as raw:
        raw.send(wire.encode_gssenc_request())
        assert raw.socket.recv(1) == b"N"
        raw.log_in()
        assert raw.query("select 1")[1][1].endswith(b"1")


def test_a_second_encryption_request_inside_tls_is_a_violation(strict: House) -> None:
    with Raw(strict) as raw:
        raw.tls().send(wire.encode_ssl_request())
        refused(raw.last_words(), "protocol-violation")


# The start-up packet, inside TLS.


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (wire.encode_startup({}), "protocol-violation"),
        (wire.encode_startup({"database": "payroll"}), "protocol-violation"),
        (wire.encode_startup({"user": "a", "replication": "database"}), "feature-not-supported"),
        (wire.encode_startup({"user": "a", "replication": "true"}), "feature-not-supported"),
        (struct.pack(">II", 23, 3 << 16) + b"user\0a\0user\0b\0\0", "protocol-violation"),
        (struct.pack(">II", 17, 3 << 16) + b"user\0\xff\xfe\0\0", "protocol-violation"),
        (struct.pack(">II", 15, 3 << 16) + b"user\0a\0", "protocol-violation"),
        (struct.pack(">II", 20, 3 << 16) + b"user\0a\0\0more", "protocol-violation"),
        (struct.pack(">II", 9_999, 3 << 16) + b"user\0" + b"a" * 9_986, "protocol-violation"),
        (struct.pack(">I", 20_000) + b"x" * 100, "message-too-large"),
        (wire.encode_startup({"user": "a"}) + b"ahead", "protocol-violation"),
    ],
)
def test_start_up_packets_that_ask_for_too_much_or_are_malformed(strict: House, packet: bytes, code: str) -> None:
    with Raw(strict) as raw:
        raw.tls().send(packet)
        refused(raw.last_words(), code)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("work_mem", "1GB"),
        ("search_path", "evil"),
        ("search_path", "public, evil"),
        ("session_authorization", "owner"),
        ("role", "owner"),
        ("client_encoding", "LATIN1"),
        ("TimeZone", "UTC'; select 1"),
        ("options", "-c log_statement=none"),
        ("options", "-c default_transaction_read_only=off"),
        ("options", "--search-path=evil"),
        ("options", "-d 5"),
        ("options", "'unfinished"),
    ],
)
def test_settings_that_are_not_free_are_refused_to_whom_a_protected_target_would_be_open(
    strict: House, name: str, value: str
) -> None:
    with Raw(strict) as raw, pytest.raises(AssertionError, match="code: setting-not-allowed"):
        raw.log_in(**{name: value})


def test_an_unknown_protocol_option_is_negotiated_away(strict: House) -> None:
    with Raw(strict) as raw:
        given = strict.parameters()
        raw.tls().send(wire.encode_startup({"user": given["user"], "database": "payroll", "_pq_.wish": "1"}, minor=9))
        kind, body = raw.needed()
        assert kind == wire.NEGOTIATE_PROTOCOL_VERSION
        assert b"_pq_.wish" in body
        assert raw.needed()[0] == wire.AUTHENTICATION


def test_another_database_is_refused_like_a_wrong_pass(strict: House) -> None:
    with Raw(strict) as raw:
        raw.start(user="alice+SUP-1423", database="template1")
        assert raw.needed()[0] == wire.AUTHENTICATION
        raw.send(wire.encode_sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnop"))
        assert raw.needed()[0] == wire.AUTHENTICATION
        raw.send(wire.encode_sasl_response(b"c=biws,r=abcdefghijklmnop,p=" + b"A" * 43 + b"="))
        assert raw.last_words()["S"] == "FATAL"


# The log-in.


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (wire.frame(wire.QUERY, b"select 1\0"), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"SCRAM-SHA-1\0" + struct.pack(">i", 3) + b"n,,"), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"SCRAM-SHA-256\0" + struct.pack(">i", 3) + b"n,,"), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"SCRAM-SHA-256\0" + struct.pack(">i", 900) + b"n"), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b""), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"\xff\xff\xff"), "protocol-violation"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"x" * 20_000), "message-too-large"),
        (b"p\0\0\0\1", "protocol-violation"),
        (b"p\xff\xff\xff\xff", "message-too-large"),
        (wire.frame(wire.PASSWORD_MESSAGE, b"a") * 100, "protocol-violation"),
    ],
)
def test_log_ins_that_are_not_one(strict: House, sent: bytes, code: str) -> None:
    with Raw(strict) as raw:
        raw.start(user=strict.opened()["user"], database="payroll")
        assert raw.needed()[0] == wire.AUTHENTICATION
        raw.send(sent)
        refused(raw.last_words(), code)


def test_a_goodbye_instead_of_a_password_and_right_behind_the_log_in(strict: House) -> None:
    with Raw(strict) as raw:
        raw.start(user=strict.opened()["user"], database="payroll")
        raw.needed()
        raw.send(wire.encode_terminate())
        assert raw.message() is None
    for _ in range(5):
        with Raw(strict) as raw:
            raw.log_in()
            raw.send(wire.encode_terminate())
            assert raw.message() is None


# Statements.

DEEP = "select " + "(" * 10_000 + "1" + ")" * 10_000
LONG = "select '" + "x" * 300_000 + "'"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (DEEP, "statement-too-complex"),
        ("select " + "-" * 1 + "(" * 9_999 + "1" + ")" * 9_999, "statement-too-complex"),
        ("select " + "1+" * 20_000 + "1", "statement-too-complex"),
        ("select " + "array[" * 5_000 + "1" + "]" * 5_000, "statement-too-complex"),
        ("select " + "(select " * 3_000 + "1" + ")" * 3_000, "statement-too-complex"),
        ("select 1" + ";select 1" * 20_000, "statement-too-complex"),
        (LONG, "statement-too-long"),
        ("select '" + "x" * (1 << 20) + "'", "statement-too-long"),
        ("select $$unfinished", "syntax-error"),
        ("selekt 1", "syntax-error"),
        ("select 1 \x01 2", "syntax-error"),
        ("/* " * 5_000 + "select 1", "syntax-error"),
    ],
)  # fmt: skip
def test_texts_that_are_too_much_are_refused_and_the_session_goes_on(strict: House, text: str, code: str) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        start = time.monotonic()
        error = error_in(raw.query(text))
        assert time.monotonic() - start < 5
        assert (error["S"], error["C"], code_of(error)) == ("ERROR", CODES[code].sqlstate, code), error
        assert raw.query("select 7")[1][1].endswith(b"7")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (query("select '" + "x" * (2 << 20) + "'"), "message-too-large"),
        (query(b"select '\xff\xfe'"), "protocol-violation"),
        (query(b"select '\xc3'"), "protocol-violation"),
        (query(b"select 1\0select 2"), "protocol-violation"),
        (wire.frame(wire.QUERY, b"select 1"), "protocol-violation"),
        (wire.frame(wire.QUERY, b""), "protocol-violation"),
        (wire.frame(ord("?"), b""), "protocol-violation"),
        (wire.frame(0, b""), "protocol-violation"),
        (wire.frame(ord("p"), b"password\0"), "protocol-violation"),
        (wire.frame(wire.SYNC, b"x"), "protocol-violation"),
        (wire.frame(wire.PARSE, b"\0select 1\0\xff\xff"), "protocol-violation"),
        (wire.frame(wire.BIND, b"\0\0\0\0\0\1\xff\xff\xff\xf0"), "protocol-violation"),
        (wire.frame(wire.BIND, b"\0\0\0\0\0\1\x7f\xff\xff\xff"), "protocol-violation"),
        (wire.frame(wire.EXECUTE, b"\0"), "protocol-violation"),
        (wire.frame(wire.DESCRIBE, b"X\0"), "protocol-violation"),
        (wire.frame(wire.CLOSE, b""), "protocol-violation"),
        (b"Q\0\0\0\3", "protocol-violation"),
        (b"Q\x7f\xff\xff\xff", "message-too-large"),
    ],
)
def test_messages_that_the_protocol_does_not_allow_end_the_session_with_a_reason(
    strict: House, sent: bytes, code: str
) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(sent)
        refused(raw.last_words(), code)


def test_a_function_call_message_is_refused_and_the_session_goes_on(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(wire.frame(wire.FUNCTION_CALL, struct.pack(">IHHH", 1598, 0, 0, 1)))
        error = error_in(raw.until_ready())
        assert (error["S"], code_of(error)) == ("ERROR", "statement-not-allowed")
        assert raw.query("select 7")[1][1].endswith(b"7")


def test_names_that_nobody_made_are_errors_up_to_the_next_sync(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        for sent in (
            wire.frame(wire.BIND, b"\0unknown\0\0\0\0\0\0\0"),
            wire.frame(wire.EXECUTE, b"unknown\0\0\0\0\0"),
            wire.frame(wire.DESCRIBE, b"Sunknown\0"),
        ):
            raw.send(sent + query("select 'skipped'")[:0] + wire.encode_sync())
            assert error_in(raw.until_ready())["S"] == "ERROR"
        raw.send(wire.frame(wire.CLOSE, b"Sunknown\0") + wire.encode_sync())
        assert [kind for kind, _ in raw.until_ready()] == [wire.CLOSE_COMPLETE, wire.READY_FOR_QUERY]


def test_copy_messages_that_nobody_asked_for_are_ignored(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(
            wire.frame(wire.COPY_DATA, b"1\t2\n") * 100
            + wire.frame(wire.COPY_DONE)
            + wire.frame(wire.COPY_FAIL, b"x\0")
        )
        assert raw.query("select 7")[1][1].endswith(b"7")


def test_a_session_that_stops_inside_a_message_is_over_with_its_connection(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(query("select 1")[:-3])
        eventually(lambda: strict.sessions() == 1)


# Cancelling.


def test_a_cancel_request_with_a_wrong_key_stops_nothing_and_is_not_answered(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        follower = strict.follow()
        raw.send(query("select count(*) from generate_series(1, 3000000)"))
        awaited(follower, lambda record: record["kind"] == "statement.begin")
        pid, secret = raw.key
        for number, key in ((pid, b"\0\0\0\0"), (pid + 1, secret), (0, b"1234"), (pid, secret + b"x")):
            with Raw(strict) as other:
                other.send(wire.encode_cancel(number, key))
                assert other.message() is None
        with Raw(strict) as other:
            other.tls().send(wire.encode_cancel(pid, b"\0\0\0\0"))
            assert other.message() is None
        assert raw.until_ready()[1][1].endswith(b"3000000")


@pytest.mark.parametrize("tls", [False, True])
def test_a_cancel_request_with_the_right_key_stops_the_statement(strict: House, tls: bool) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(query("select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"))
        eventually(lambda: any(state == "active" for _, state in strict.backends()))
        with Raw(strict) as other:
            if tls:
                other.tls()
            other.send(wire.encode_cancel(*raw.key))
            assert other.message() is None
        assert error_in(raw.until_ready())["C"] == "57014"


@pytest.mark.parametrize("size", [11, 400])
def test_a_cancel_request_of_an_impossible_length_is_a_violation(strict: House, size: int) -> None:
    with Raw(strict) as raw:
        raw.send(struct.pack(">IIi", size + 4, 80877102, 1) + b"x" * (size - 8))
        refused(raw.last_words(), "protocol-violation")


# Floods.


def test_a_flood_of_pipelined_statements_is_answered_in_order(strict: House) -> None:
    count = 3_000
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(b"".join(query(f"select {number}") for number in range(count)))
        for number in range(count):
            answer = raw.until_ready()
            assert answer[1][1].endswith(str(number).encode())


def test_a_flood_of_the_extended_protocol_without_a_sync(strict: House) -> None:
    count = 3_000
    bind, execute = b"\0\0\0\0\0\0\0\0", b"\0\0\0\0\0"
    with Raw(strict) as raw:
        raw.log_in()
        one = wire.encode_parse(b"", "select 1") + wire.frame(wire.BIND, bind) + wire.frame(wire.EXECUTE, execute)
        raw.send(one * count + wire.encode_sync())
        kinds = [kind for kind, _ in raw.until_ready()]
    assert kinds.count(wire.DATA_ROW) == count
    assert kinds.count(wire.COMMAND_COMPLETE) == count


def test_a_flood_without_a_sync_whose_first_statement_fails(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        bind, execute = b"\0\0\0\0\0\0\0\0", b"\0\0\0\0\0"
        failing = wire.encode_parse(b"", "select 1/0")
        one = wire.encode_parse(b"", "select 1") + wire.frame(wire.BIND, bind) + wire.frame(wire.EXECUTE, execute)
        raw.send(failing + wire.frame(wire.BIND, bind) + wire.frame(wire.EXECUTE, execute) + one * 3_000)
        raw.send(wire.encode_sync())
        assert error_in(raw.until_ready())["C"] == "22012"
        assert raw.query("select 7")[1][1].endswith(b"7")


def test_a_flood_of_refusals_and_of_syncs(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(query("select * from pg_authid") * 500 + wire.encode_sync() * 5_000)
        assert all(code_of(error_in(raw.until_ready())) == "relation-not-available" for _ in range(500))
        assert all(raw.until_ready() == [(wire.READY_FOR_QUERY, b"I")] for _ in range(5_000))


def test_too_many_sessions_and_too_many_connections(strict: House) -> None:
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(Raw(strict)).log_in() for _ in range(SLOTS)]
        assert strict.sessions() == SLOTS
        with Raw(strict) as raw:
            raw.start(user=strict.opened()["user"], database="payroll")
            refused(raw.last_words(), "too-many-connections")
        assert all(raw.query("select 7")[1][1].endswith(b"7") for raw in inside)
    strict.settled()
    with Raw(strict) as raw:
        raw.log_in()


@pytest.fixture(scope="module")
def narrow(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that lets one person have two sessions."""
    settings = {"listen": {"postgres": {"max_connections_per_person": 2}}}
    with open_house(tmp_path_factory.mktemp("narrow"), postgres, settings=settings) as house:
        yield house


def test_one_person_cannot_take_the_sessions_of_all(narrow: House) -> None:
    amir = narrow.parameters("amir", FOREIGN_TICKET)
    with Raw(narrow).log_in() as first:
        with Raw(narrow).log_in() as second, Raw(narrow) as third, Raw(narrow) as other:
            with pytest.raises(AssertionError, match="too-many-connections"):
                third.log_in()
            assert other.log_in(amir["user"], amir["password"]).query("select 7")[1][1].endswith(b"7")
            assert all(raw.query("select 7")[1][1].endswith(b"7") for raw in (first, second))
        eventually(lambda: narrow.sessions() == 1, lambda: "two sessions do not end")
        with Raw(narrow) as again:
            again.log_in()


@pytest.mark.parametrize("path", ["public", '"$user", public', '"public"', " Public "])
def test_a_client_may_ask_for_the_search_path_that_it_gets_anyway(narrow: House, path: str) -> None:
    for parameters in ({"search_path": path}, {"options": f"-c search_path={shlex.quote(path)}"}):
        with Raw(narrow).log_in(**parameters) as raw:
            assert raw.query("show search_path")[1][1].endswith(b'"public"')


def test_two_hundred_idle_connections_leave_no_room_for_long(strict: House) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Raw(strict))
        eventually(lambda: enters(strict), patience_s=LOGIN_TIMEOUT_S + 3)


def enters(house: House) -> bool:
    with contextlib.suppress(AssertionError, OSError), Raw(house) as raw:
        raw.log_in()
        return True
    return False


# Clients that do not read, or are gone.

LARGE = "select n, repeat('x', 1000) from generate_series(1, 2000000) n"


def test_a_client_that_never_reads_holds_nobody_up_and_costs_little(strict: House) -> None:
    before = strict.rss_kib()
    with Raw(strict) as lazy, Raw(strict) as raw:
        lazy.log_in()
        lazy.send(query(LARGE))
        raw.log_in()
        for _ in range(20):
            assert raw.query("select 7")[1][1].endswith(b"7")
            time.sleep(0.05)
        assert strict.rss_kib() - before < 24 * 1024
        lazy.reset()
        eventually(lambda: strict.sessions() == 1)
        eventually(lambda: not any(state == "active" for _, state in strict.backends()))


@pytest.mark.parametrize("how", ["reset", "close", "half"])
def test_a_client_that_vanishes_in_the_middle_of_a_result(strict: House, how: str) -> None:
    follower, later = strict.follow(), strict.follow()
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(query(LARGE))
        for _ in range(100):
            raw.needed()
        if how == "reset":
            raw.reset()
        elif how == "close":
            raw.close()
        else:
            raw.socket.shutdown(socket.SHUT_WR)
        end = awaited(follower, lambda record: record["kind"] == "statement.end")
        assert end["status"] == "cut"
        assert end["rows"] >= 100
        eventually(lambda: strict.sessions() == 0)
        eventually(lambda: not any(state == "active" for _, state in strict.backends()))
    assert [record["statements"] for record in later.news() if record["kind"] == "session.end"] == [1]


def test_a_client_that_vanishes_while_its_statement_runs_silently(strict: House) -> None:
    with Raw(strict) as raw:
        raw.log_in()
        raw.send(query("select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"))
        eventually(lambda: any(state == "active" for _, state in strict.backends()))
    eventually(lambda: strict.sessions() == 0)
    eventually(lambda: not any(state == "active" for _, state in strict.backends()))


# The same again and again: nothing may pile up.


def descriptors(house: House) -> int:
    return len(os.listdir(f"/proc/{house.gateway.pid}/fd"))


def garbage(house: House) -> None:
    with Raw(house) as raw:
        raw.send(b"\xff" * 64)
        raw.last_words()


def broken_tls(house: House) -> None:
    with Raw(house) as raw:
        raw.request_tls()
        raw.send(b"\x16\x03\x01\x00\x05hello")


def direct_tls(house: House) -> None:
    with Raw(house) as raw:
        raw.wrap(["http/1.1"])


def test_forty_stalled_tls_handshakes_are_closed_and_leave_no_descriptor(strict: House) -> None:
    files = descriptors(strict)
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(Raw(strict)) for _ in range(40)]
        for raw in stalled:
            assert raw.request_tls() == b"S"
            raw.send(b"\x16\x03\x01")
        for raw in stalled:
            with contextlib.suppress(ConnectionError):
                assert raw.socket.recv(4096) == b""
        eventually(lambda: descriptors(strict) <= files + 3, lambda: f"{files} became {descriptors(strict)}")


def refused_start(house: House) -> None:
    with Raw(house) as raw, pytest.raises(AssertionError, match="setting-not-allowed"):
        raw.log_in(work_mem="1GB")


def vanishing(house: House) -> None:
    with Raw(house) as raw:
        raw.log_in()
        raw.send(query("select n, repeat('x', 1000) from generate_series(1, 20000) n"))
        raw.needed()
        raw.reset()


def too_deep(house: House) -> None:
    with Raw(house) as raw:
        raw.log_in()
        error_in(raw.query(DEEP[:2_000]))
        error_in(raw.query(LONG))


@pytest.mark.parametrize("act", [garbage, broken_tls, direct_tls, refused_start, vanishing, too_deep])
def test_two_hundred_times_costs_no_more_than_fifty(strict: House, act: Callable[[House], None]) -> None:
    for _ in range(50):
        act(strict)
    strict.settled()
    memory, files = strict.rss_kib(), descriptors(strict)
    for _ in range(150):
        act(strict)
    strict.settled()
    eventually(lambda: descriptors(strict) <= files + 3, lambda: f"{files} descriptors became {descriptors(strict)}")
    assert strict.rss_kib() - memory < 8 * 1024, "the process grows"


def test_the_process_said_nothing_about_faults(strict: House) -> None:
    log = Path(strict.gateway.log).read_text()
    assert "Traceback" not in log
    assert "fault" not in log
