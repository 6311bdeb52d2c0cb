"""The MySQL wire's client half against a real MariaDB."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from mariadb_server import MariaDB
from mysql_wire import Client, Refused
from mysql_world import OLD, by_pymysql, connect, shop

from gateway.errors import GatewayError
from gateway.wire.mysql import handshake
from gateway.wire.mysql.answers import Answer, Part, State
from gateway.wire.mysql.base import Capability, Status, Type
from gateway.wire.mysql.commands import (
    READ_ONLY_CURSOR,
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
    encode_text,
)
from gateway.wire.mysql.results import UNSIGNED
from gateway.wire.mysql.tracking import Change, Tracked
from gateway.wire.mysql.values import Date, DateTime, Time, Value
from gateway.wire.mysql.walk import walk_rows


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with shop(tmp_path_factory.mktemp("mariadb")) as made:
        yield made


@pytest.fixture
def client(server: MariaDB) -> Iterator[Client]:
    made = connect(server)
    yield made
    made.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "socket"])
def test_a_native_password_is_accepted_and_a_wrong_one_is_not(server: MariaDB, tls: bool) -> None:
    address, ca = ((server.host, server.port), server.ca) if tls else (server.socket, None)
    user, password = ("app", "app-secret") if tls else ("root", server.root_password)
    client = Client(address, user, password, ca=ca)
    [(version, _), (_, cipher)] = [
        *client.rows("SELECT @@version, ''"),
        *client.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'"),
    ]
    assert isinstance(version, bytes)
    assert b"MariaDB" in version
    assert bool(cipher) is tls
    client.close()
    with pytest.raises(Refused, match=r"1045 \(28000\)"):
        Client(address, user, "wrong", ca=ca)


def test_an_account_without_a_password_and_one_that_must_use_tls(server: MariaDB) -> None:
    Client((server.host, server.port), "open", "").close()
    with pytest.raises(Refused, match="1045"):
        Client((server.host, server.port), "app", "app-secret")


def test_an_account_of_another_plugin_is_refused_by_us_with_its_name(server: MariaDB) -> None:
    with pytest.raises(GatewayError, match="client_ed25519") as refused:
        Client((server.host, server.port), "curved", "curve", ca=server.ca)
    assert refused.value.code == "feature-not-supported"


def test_a_target_whose_certificate_is_of_another_authority_is_not_spoken_to(server: MariaDB, tmp_path: Path) -> None:
    from gateway import certificates

    other = tmp_path / "ca.pem"
    other.write_bytes(certificates.issue("Other", ["localhost"]).ca)
    with pytest.raises(OSError, match="certificate verify failed"):
        Client((server.host, server.port), "app", "app-secret", ca=other)


def test_what_was_agreed_has_nothing_that_reads_files_or_runs_several_statements(client: Client) -> None:
    never = (
        Capability.LOCAL_FILES
        | Capability.MULTI_STATEMENTS
        | Capability.COMPRESS
        | Capability.ZSTD_COMPRESSION_ALGORITHM
        | Capability.QUERY_ATTRIBUTES
    )
    assert client.greeting.capabilities & (Capability.LOCAL_FILES | Capability.MULTI_STATEMENTS | Capability.COMPRESS)
    assert not client.capabilities & never
    with pytest.raises(Refused, match="1064"):
        client.query("SELECT 1; SELECT 2")
    with pytest.raises(Refused, match="local infile"):
        client.query("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE notes (body)")


def test_a_target_that_asks_for_a_file_all_the_same_is_not_answered(server: MariaDB) -> None:
    # the server thinks that it may ask, as one would that does not keep to what was agreed
    client = connect(server, wanted=handshake.TOWARDS_TARGETS | Capability.LOCAL_FILES)
    client.capabilities &= ~Capability.LOCAL_FILES
    with pytest.raises(GatewayError, match="asks for a file") as refused:
        client.query("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE notes (body)")
    assert refused.value.code == "protocol-violation"
    client.sock.close()


def shown(value: Value, text: bytes | None) -> bytes | None:
    """A value of the binary protocol as the text protocol shows it; floats where `text` says the same number."""
    match value:
        case None | bytes():
            return value
        case int():
            return str(value).encode()
        case float():
            assert text is not None
            said = float(text)
            return (
                text if said == value or struct.pack("<f", said) == struct.pack("<f", value) else repr(value).encode()
            )
        case Date():
            return b"%04d-%02d-%02d" % value
        case DateTime():
            digits = b"" if text is None or b"." not in text else b".%06d" % value.microsecond
            whole = b"%04d-%02d-%02d %02d:%02d:%02d" % value[:6] + digits
            return whole[: len(text)] if text is not None else whole
        case Time():
            sign = b"-" if value.negative else b""
            hours = value.days * 24 + value.hour
            return sign + b"%02d:%02d:%02d.%06d" % (hours, value.minute, value.second, value.microsecond)


@pytest.mark.parametrize("wanted", [handshake.TOWARDS_TARGETS, OLD], ids=["new", "eof"])
def test_every_type_reads_the_same_by_text_by_binary_and_by_pymysql(server: MariaDB, wanted: int) -> None:
    client = connect(server, wanted=wanted)
    question = "SELECT * FROM kinds ORDER BY id"
    [text] = client.query(question)
    with (
        contextlib.closing(by_pymysql(server, conv=dict(pymysql.converters.encoders), use_unicode=False)) as other,
        other.cursor() as cursor,
    ):
        cursor.execute(question)
        theirs = list(cursor.fetchall())
        names = [column[0] for column in cursor.description]
    assert text.rows == theirs
    assert [column.name.decode() for column in text.columns] == names

    prepared = client.prepare(question)
    assert prepared.prepared is not None
    answer, [binary] = client.execute(prepared.prepared.statement)
    assert answer.rows == 3
    for row, texts in zip(binary.rows, text.rows, strict=True):
        for column, value, said in zip(binary.columns, row, texts, strict=True):
            bytewise = shown(value, said if isinstance(said, bytes) else None)
            if column.type == Type.YEAR and said is not None:
                bytewise = bytewise.zfill(4) if bytewise else bytewise
            assert bytewise == said, column.name
    client.close()


PARAMETERS: list[tuple[str, Parameter, Value, str | None]] = [
    ("tiny", Parameter(Type.TINY), -128, "-128"),
    ("utiny", Parameter(Type.TINY, unsigned=True), 255, "255"),
    ("small", Parameter(Type.SHORT), -32768, "-32768"),
    ("number", Parameter(Type.LONG), -2147483648, "-2147483648"),
    ("big", Parameter(Type.LONGLONG), -(2**63), str(-(2**63))),
    ("ubig", Parameter(Type.LONGLONG, unsigned=True), 2**64 - 1, str(2**64 - 1)),
    ("fl", Parameter(Type.FLOAT), 1.5, "1.5"),
    ("db", Parameter(Type.DOUBLE), 0.1, "0.1"),
    ("dc", Parameter(Type.NEWDECIMAL), b"-1.25", "-1.2500000000"),
    ("yr", Parameter(Type.SHORT), 2024, "2024"),
    ("dt", Parameter(Type.DATE), Date(2024, 2, 29), "2024-02-29"),
    ("tm", Parameter(Type.TIME), Time(True, 34, 22, 59, 59, 999_999), "-838:59:59.999999"),
    ("tm", Parameter(Type.TIME), Time(False, 0, 0, 0, 0), "00:00:00.000000"),
    ("dtm", Parameter(Type.DATETIME), DateTime(2024, 12, 31, 23, 59, 59, 1), "2024-12-31 23:59:59.000001"),
    ("dtm", Parameter(Type.DATETIME), DateTime(2024, 12, 31), "2024-12-31 00:00:00.000000"),
    ("dtm", Parameter(Type.TIMESTAMP), DateTime(2024, 1, 1, 1), "2024-01-01 01:00:00.000000"),
    ("vc", Parameter(Type.VAR_STRING), "ünï".encode(), "ünï"),
    ("vc", Parameter(Type.STRING), b"", ""),
    ("bl", Parameter(Type.LONG_BLOB), b"abc" * 20_000, "abc" * 20_000),
    ("vc", Parameter(Type.NULL), None, None),
    ("number", Parameter(Type.LONG), None, None),
]  # fmt: skip


@pytest.mark.parametrize("which", range(len(PARAMETERS)), ids=[f"{n}-{p.type.name}" for n, p, _, _ in PARAMETERS])
def test_every_type_of_parameter_arrives(server: MariaDB, client: Client, which: int) -> None:
    column, parameter, value, expected = PARAMETERS[which]
    prepared = client.prepare(f"INSERT INTO kinds (id, {column}) VALUES (?, ?)").prepared
    assert prepared is not None
    client.query("START TRANSACTION")
    client.execute(prepared.statement, [Parameter(Type.LONG), parameter], [100 + which, value])
    [(said,)] = client.rows(f"SELECT {column} FROM kinds WHERE id = {100 + which}")
    client.query("ROLLBACK")
    assert said == (None if expected is None else expected.encode())


def test_a_value_may_be_sent_ahead_in_pieces_and_types_left_out_the_second_time(client: Client) -> None:
    prepared = client.prepare("SELECT CONCAT(?, '|', ?)").prepared
    assert prepared is not None
    for piece in (b"long ", b"data"):
        client.command(encode_long_data(LongData(prepared.statement, 1, piece)))
    types = (Parameter(Type.VAR_STRING), Parameter(Type.LONG_BLOB))
    client.command(encode_execute(prepared.statement, 0, Bound(types, (b"short", None)), {1}))
    [result] = client.answer(Answer(Command.STMT_EXECUTE, client.capabilities))
    assert result.rows == [(b"short|long data",)]
    # 1 and the types are left out: the bitmap is one byte, and then comes a 0
    whole = encode_execute(prepared.statement, 0, Bound(types, (b"a", b"b")))
    client.command(whole[:11] + b"\0" + whole[16:])
    [result] = client.answer(Answer(Command.STMT_EXECUTE, client.capabilities))
    assert result.rows == [(b"a|b",)]
    client.simple(Command.STMT_RESET, prepared.statement)


@pytest.mark.parametrize("wanted", [handshake.TOWARDS_TARGETS, OLD], ids=["new", "eof"])
def test_a_cursor_gives_its_rows_when_they_are_fetched(server: MariaDB, wanted: int) -> None:
    client = connect(server, wanted=wanted)
    prepared = client.prepare("SELECT id FROM many WHERE id <= 7 ORDER BY id").prepared
    assert prepared is not None
    answer, [opened] = client.execute(prepared.statement, cursor=READ_ONLY_CURSOR)
    assert (answer.rows, opened.rows) == (0, [])
    assert opened.ok is not None
    assert opened.ok.status & Status.CURSOR_EXISTS
    found: list[Value] = []
    for more in (3, 3, 3):
        client.command(encode_fetch(Fetch(prepared.statement, more)))
        [part] = client.answer(fetched := Answer(Command.STMT_FETCH, client.capabilities, answer.columns))
        found += [row[0] for row in part.rows]
    assert found == [1, 2, 3, 4, 5, 6, 7]
    assert fetched.ok is not None
    assert fetched.ok.status & Status.LAST_ROW_SENT
    client.close()


@pytest.mark.parametrize("wanted", [handshake.TOWARDS_TARGETS, OLD], ids=["new", "eof"])
def test_several_results_fields_and_the_small_commands(server: MariaDB, wanted: int) -> None:
    client = connect(server, wanted=wanted)
    assert [result.rows for result in client.query("CALL two_results()")] == [[(b"1",)], [(b"b", None)], []]
    client.command(encode_field_list(FieldList(b"kinds", b"u%")))
    client.answer(answer := Answer(Command.FIELD_LIST, client.capabilities))
    assert [column.name for column in answer.columns] == [b"utiny", b"usmall", b"umedium", b"unumber", b"ubig", b"uu"]
    assert all(column.flags & UNSIGNED for column in answer.columns[:5])
    assert b"Uptime" in client.simple(Command.STATISTICS)[0].rows[0][0]  # type: ignore[operator]
    for command in (Command.PING, Command.RESET_CONNECTION):
        assert client.simple(command)[0].ok is not None
    client.simple(Command.SET_OPTION, 1)
    with pytest.raises(Refused, match=r"1094 \(HY000\)"):
        client.simple(Command.PROCESS_KILL, 999_999)
    client.command(encode_text(Command.INIT_DB, b"nowhere"))
    with pytest.raises(Refused, match="1044"):
        client.answer(Answer(Command.INIT_DB, client.capabilities))
    client.close()


def test_a_session_becomes_somebody_elses_by_proving_it_again(server: MariaDB) -> None:
    client = connect(server)
    client.query("SET @kept = 1")
    client.change_user("app", "app-secret", "shop")
    assert client.rows("SELECT CURRENT_USER(), @kept, DATABASE()") == [(b"app@%", None, b"shop")]
    with pytest.raises(Refused, match=r"1045 \(28000\)"):
        client.change_user("root", "wrong")
    client.sock.close()


def test_changes_of_the_session_are_told(client: Client) -> None:
    client.query("SET SESSION session_track_system_variables = 'autocommit,time_zone'")
    [result] = client.query("SET autocommit = 0, time_zone = '+01:00'")
    assert result.ok is not None
    variables = {change.name: change.value for change in result.ok.changes if change.kind == Tracked.SYSTEM_VARIABLES}
    assert variables == {b"autocommit": b"OFF", b"time_zone": b"+01:00"}
    client.command(encode_text(Command.INIT_DB, b"shop"))
    [used] = client.answer(Answer(Command.INIT_DB, client.capabilities))
    assert used.ok is not None
    assert Change(Tracked.SCHEMA, b"shop") in used.ok.changes


@pytest.mark.parametrize("size", [0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1, 2 * 0xFFFFFF], ids=["-1", "+0", "+1", "twice"])
def test_payloads_around_16_mb_go_both_ways(client: Client, size: int) -> None:
    # the command is one byte and the statement; a row's cell has its length ahead of it
    around = len("SELECT LENGTH('')") + 1
    assert client.rows(f"SELECT LENGTH('{'x' * (size - around)}')") == [(b"%d" % (size - around),)]
    head = 4 if size - 4 < 1 << 24 else 9
    [(cell,)] = client.rows(f"SELECT REPEAT('y', {size - head})")
    assert isinstance(cell, bytes)
    assert len(cell) == size - head
    assert cell.strip(b"y") == b""


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_rows_walked_in_place_are_as_many_as_rows_taken(client: Client, binary: bool) -> None:
    question = "SELECT id, body FROM many ORDER BY id"
    if binary:
        prepared = client.prepare(question).prepared
        assert prepared is not None
        client.command(encode_execute(prepared.statement, 0, Bound((), ())))
    else:
        client.command(encode_text(Command.QUERY, question.encode()))
    answer = Answer(Command.STMT_EXECUTE if binary else Command.QUERY, client.capabilities)
    for _ in range(3):
        answer.take(client.read())
    framer, passed = client.framer, 0
    while answer.state == State.ROWS:
        held = framer.release()
        position, rows, framer.sequence = walk_rows(held, 0, len(held), 1 << 30, 1 << 30, framer.sequence, binary)
        answer.count_rows(rows)
        passed += rows
        framer.feed(held[position:])
        # what the walk stopped at, if it is complete
        payload = framer.take()
        if payload is None:
            framer.feed(client.sock.recv(1 << 16))
        else:
            assert answer.take(payload) == Part.END
    assert passed == 20_000
    assert answer.over
    assert answer.rows == 20_000
