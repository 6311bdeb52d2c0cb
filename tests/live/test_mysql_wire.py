"""The MySQL wire against a real MariaDB, and real clients against both of its halves.

`direct` is a session with the server itself; `relayed` goes through a relay of the two halves, which decodes and
encodes everything. What a client sees must be the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from mariadb_server import MariaDB, mariadb_server
from mysql_wire import Client, Refused, Relay
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from gateway.demo.client import bare_environment
from gateway.errors import GatewayError
from gateway.wire.mysql import auth, handshake
from gateway.wire.mysql.answers import Answer, Part
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

ROOT = Path(__file__).parents[2]
NODE = Path(__file__).parent / "node"
CACHE = ROOT / ".cache" / "node"
OLD = handshake.OFFERED & ~(Capability.DEPRECATE_EOF | Capability.SESSION_TRACK)

KINDS = """
id INT PRIMARY KEY, tiny TINYINT, utiny TINYINT UNSIGNED, small SMALLINT, usmall SMALLINT UNSIGNED, medium MEDIUMINT,
umedium MEDIUMINT UNSIGNED, number INT, unumber INT UNSIGNED, big BIGINT, ubig BIGINT UNSIGNED, fl FLOAT, db DOUBLE,
dc DECIMAL(30,10), yr YEAR, dt DATE, tm TIME(6), dtm DATETIME(6), ts TIMESTAMP(3) NULL, bits BIT(20), ch CHAR(5),
vc VARCHAR(40), bn BINARY(4), vb VARBINARY(40), tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, bl BLOB, js JSON,
en ENUM('a','b'), st SET('x','y','z'), ge GEOMETRY, ip INET6, uu UUID
"""
ROWS = [
    "(1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808,"
    " 18446744073709551615, 1.5, 0.1, -12345678901234567890.0123456789, 2024, '2024-02-29', '-838:59:59.999999',"
    " '2024-12-31 23:59:59.000001', '2024-07-01 12:00:00.250', b'10101010101010101010', 'é', 'ünï', x'00ff', x'0001fe',"
    " 't', 'text', 'medium', REPEAT('l', 70000), x'fffefdfc', '{\"a\": [1, null]}', 'b', 'x,z',"
    " ST_GeomFromText('POINT(1 2)'), '::1', '123e4567-e89b-12d3-a456-426655440000')",
    "(2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1901, '0001-01-01', '00:00:00', '1000-01-01 00:00:00',"
    " '1970-01-02 00:00:00', b'0', '', '', '', '', '', '', '', '', '', '0', 'a', '',"
    " ST_GeomFromText('LINESTRING(0 0,1 1)'), '::', '00000000-0000-0000-0000-000000000001')",
    f"(3{', NULL' * 34})",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    directory = tmp_path_factory.mktemp("mariadb")
    with mariadb_server(directory, options=["--plugin-load-add=auth_ed25519"]) as made:
        client = Client(made.socket, "root", made.root_password)
        for statement in (
            "CREATE DATABASE shop CHARACTER SET utf8mb4",
            "CREATE USER app@'%' IDENTIFIED BY 'app-secret' REQUIRE SSL",
            "CREATE USER curved@'%' IDENTIFIED VIA ed25519 USING PASSWORD('curve')",
            "CREATE USER open@'%'",
            "GRANT ALL ON shop.* TO app@'%'",
            "USE shop",
            f"CREATE TABLE kinds ({KINDS})",
            f"INSERT INTO kinds VALUES {', '.join(ROWS)}",
            "CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, body LONGTEXT)",
            "CREATE TABLE many (id INT PRIMARY KEY, body VARCHAR(300))",
            "INSERT INTO many SELECT seq, REPEAT('m', seq % 300) FROM seq_1_to_20000",
            "CREATE PROCEDURE two_results() BEGIN SELECT 1 AS a; SELECT 'b' AS b, NULL AS c; END",
        ):
            client.query(statement)
        client.close()
        yield made


def connect(server: MariaDB, **given: Any) -> Client:
    return Client((server.host, server.port), "app", "app-secret", ca=server.ca, database="shop", **given)


@pytest.fixture
def client(server: MariaDB) -> Iterator[Client]:
    made = connect(server)
    yield made
    made.close()


@contextlib.contextmanager
def relay(server: MariaDB, directory: Path, **given: Any) -> Iterator[Relay]:
    """A relay; what went wrong in it fails the test."""
    address = server.host, server.port
    with Relay(address, ("app", "app-secret"), directory, ca=server.ca, **given) as made:
        yield made
    assert made.problems == []


def by_pymysql(server: MariaDB | Relay, **given: Any) -> Any:
    """A connection of PyMySQL's, as `app` to the server or as `alice` to the relay."""
    user, password = (server.user, server.password) if isinstance(server, Relay) else ("app", "app-secret")
    options = {
        "user": user,
        "password": password,
        "database": "shop",
        "ssl_ca": str(server.ca),
        "ssl_verify_cert": True,
        "charset": "utf8mb4",
        **given,
    }
    return pymysql.connect(host="localhost", port=server.port, **options)


# --- the client's half against the server


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


def test_a_target_that_asks_for_a_file_all_the_same_is_not_answered(
    server: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the server thinks that it may ask, as one would that does not keep to what was agreed
    monkeypatch.setattr(handshake, "TOWARDS_TARGETS", handshake.TOWARDS_TARGETS | Capability.LOCAL_FILES)
    client = connect(server, wanted=handshake.TOWARDS_TARGETS)
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
    held = bytearray(client.framer._buffer)
    sequence, walked = client.framer.sequence, 0
    while True:
        position, rows, sequence = walk_rows(held, 0, len(held), 1 << 30, 1 << 30, sequence, binary)
        answer.count_rows(rows)
        walked += rows
        del held[:position]
        if walked == 20_000 and len(held) >= 11:
            break
        held += client.sock.recv(1 << 16)
    assert held[3] == sequence
    assert answer.take(bytes(held[4:])) == Part.END
    assert answer.over
    assert answer.rows == 20_000


# --- real clients against the server's half


@pytest.mark.parametrize(
    ("plugin", "ask"),
    [(auth.CACHING_SHA2, False), (auth.CACHING_SHA2, True), (auth.NATIVE, False), (auth.CLEAR, False)],
    ids=["sha2", "sha2-full", "native", "clear"],
)
def test_clients_sign_in_by_each_plugin_and_not_with_a_wrong_password(
    server: MariaDB, tmp_path: Path, plugin: str, ask: bool
) -> None:
    with relay(server, tmp_path, plugin=plugin, ask_password=ask) as made:
        with contextlib.closing(by_pymysql(made)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT CURRENT_USER()")
            assert cursor.fetchone() == ("app@%",)
        Client(("localhost", made.port), made.user, made.password, ca=made.ca).close() if plugin != auth.CLEAR else None
        done = by_cli(made, "-e", "SELECT CURRENT_USER()", "-N")
        assert done == "app@%\n"
        assert made.attributes[0][b"_client_name"] == b"pymysql"
        made.password, right = "changed", made.password
        with pytest.raises(pymysql.err.OperationalError, match="1045"):
            by_pymysql(made, password=right)


def test_who_no_verifier_knows_is_asked_for_the_password_itself(server: MariaDB, tmp_path: Path) -> None:
    with relay(server, tmp_path, plugin=auth.CACHING_SHA2, ask_password=True, verified=False) as made:
        with contextlib.closing(by_pymysql(made)) as connection:
            connection.ping(reconnect=False)
        assert by_cli(made, "-N", "-e", "SELECT 1") == "1\n"
        client = Client(("localhost", made.port), made.user, made.password, ca=made.ca)
        assert client.rows("SELECT 2") == [(b"2",)]
        client.close()


def test_without_tls_nobody_is_let_in(server: MariaDB, tmp_path: Path) -> None:
    address = server.host, server.port
    with (
        Relay(address, ("app", "app-secret"), tmp_path, ca=server.ca) as made,
        pytest.raises(pymysql.err.OperationalError, match="must use TLS"),
    ):
        pymysql.connect(host="localhost", port=made.port, user=made.user, password=made.password, ssl_disabled=True)
    assert [problem.code for problem in made.problems if isinstance(problem, GatewayError)] == ["tls-required"]


def cli(server: MariaDB | Relay, *arguments: str) -> list[str]:
    program = shutil.which("mariadb")
    assert program is not None, "mariadb-client is missing"
    return [
        program,
        "--no-defaults",
        "--host=localhost",
        "--protocol=TCP",
        f"--port={server.port}",
        f"--user={server.user if isinstance(server, Relay) else 'app'}",
        f"--ssl-ca={server.ca}",
        "--ssl-verify-server-cert",
        "shop",
        *arguments,
    ]


def by_cli(server: MariaDB | Relay, *arguments: str, stdin: str = "", fails: bool = False) -> str:
    """What the `mariadb` command line prints."""
    password = server.password if isinstance(server, Relay) else "app-secret"
    done = subprocess.run(
        cli(server, *arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**bare_environment(), "MYSQL_PWD": password},
        check=False,
    )
    assert fails or done.returncode == 0, done.stderr
    return done.stdout + done.stderr if fails else done.stdout


SESSION = r"""
SELECT id, tiny, ubig, fl, db, dc, yr, dt, tm, dtm, HEX(bits), ch, vc, HEX(bn), js, en, st, LENGTH(lt) FROM kinds
 ORDER BY id;
SHOW TABLES;
DESCRIBE kinds;
CALL two_results();
INSERT INTO notes (body) VALUES ('a'), ('b');
SELECT ROW_COUNT(), LAST_INSERT_ID() > 0;
UPDATE notes SET body = 'c' WHERE body = 'b';
DROP TABLE IF EXISTS nowhere;
SHOW WARNINGS;
SELECT 1 WHERE FALSE;
SELECT nothing FROM kinds;
SELECT COUNT(*) FROM notes;
DELETE FROM notes;
USE shop
status_is_no_command
;
SELECT 'é', NULL, '';
"""

MODES = [
    pytest.param({}, id="new"),
    pytest.param({"offered": OLD}, id="old-client"),
    pytest.param({"wanted": OLD}, id="old-target"),
    pytest.param({"offered": OLD, "wanted": OLD}, id="old"),
]


@pytest.mark.parametrize("given", MODES)
@pytest.mark.parametrize(
    "shape", [("--table",), ("--batch",), ("-vvv",), ("--vertical", "--show-warnings")], ids="_".join
)
def test_the_command_line_prints_the_same_through_the_relay(
    server: MariaDB, tmp_path: Path, shape: tuple[str, ...], given: dict[str, Any]
) -> None:
    arguments = (*shape, "--force", "--default-character-set=utf8mb4")
    direct = by_cli(server, *arguments, stdin=SESSION, fails=True)
    with relay(server, tmp_path, **given) as made:
        relayed = by_cli(made, *arguments, stdin=SESSION, fails=True)
        assert {Command.QUERY, Command.INIT_DB} <= set(made.commands)
    assert untimed(relayed) == untimed(direct)
    assert "1054" in direct


def untimed(text: str) -> str:
    """Without how long it took."""
    return re.sub(r"\(?\d+\.\d{3} sec\)?", "", text)


def test_the_command_line_learns_the_columns_that_it_completes_through_the_relay(
    server: MariaDB, tmp_path: Path
) -> None:
    with relay(server, tmp_path) as made:
        terminal, other = pty.openpty()
        session = subprocess.Popen(
            cli(made, "--auto-rehash", "--prompt=>>"),
            stdin=other,
            stdout=other,
            stderr=other,
            env={**bare_environment(), "MYSQL_PWD": made.password, "TERM": "dumb"},
        )
        os.close(other)
        try:
            said = b""
            os.write(terminal, b"SELECT kinds.umed\t + 0 FROM kinds WHERE id = 1;\nexit\n")
            with contextlib.suppress(OSError):
                while more := os.read(terminal, 65536):
                    said += more
            assert session.wait(60) == 0
        finally:
            session.kill()
            session.wait()
            os.close(terminal)
    assert b"16777215" in said
    assert made.commands.count(Command.FIELD_LIST) == 3


def outcomes(connect: Callable[[], Any]) -> list[Any]:
    """What PyMySQL says of a mixed workload."""
    said: list[Any] = []
    with contextlib.closing(connect()) as connection:
        with connection.cursor() as cursor:
            for text in (
                "SELECT * FROM kinds ORDER BY id",
                "SELECT REPEAT('z', 17000000), NULL, 1",
                f"SELECT LENGTH('{'q' * 17_000_000}')",
                "INSERT INTO notes (body) VALUES ('x'), ('y')",
                "UPDATE notes SET body = 'w'",
                "UPDATE notes SET body = 'w'",
                "DELETE FROM notes",
                "DROP TABLE IF EXISTS nowhere",
                "SELECT nothing",
                "SELEC 1",
                "INSERT INTO kinds (id) VALUES (1)",
                "SELECT CAST('a' AS SIGNED)",
                "SHOW WARNINGS",
                "SET NAMES latin1",
                "SELECT x'e9'",
                "SET NAMES utf8mb4",
                "",
            ):
                try:
                    count = cursor.execute(text)
                except pymysql.err.Error as error:
                    said.append((type(error).__name__, error.args))
                else:
                    said.append((count, cursor.rowcount, cursor.description, cursor.fetchall()))
            cursor.execute("CALL two_results()")
            said.append(cursor.fetchall())
            while cursor.nextset():
                said.append(cursor.fetchall())
            cursor.execute("INSERT INTO notes (body) VALUES (%s)", (b"\x00'\\",))
            said.append(cursor.lastrowid > 0)
            connection.rollback()
        said.append(connection.server_status & ~(Status.NO_INDEX_USED | Status.NO_GOOD_INDEX_USED | 1 << 11))
        connection.ping(reconnect=False)
        connection.select_db("shop")
        with connection.cursor(SSCursor) as cursor:
            cursor.execute("SELECT id, body FROM many ORDER BY id")
            said.append([cursor.fetchone() for _ in range(10)])
            said.append(sum(1 for _ in cursor.fetchall_unbuffered()))
    return said


@pytest.mark.parametrize("given", MODES)
@pytest.mark.parametrize("found_rows", [False, True], ids=["changed", "found"])
def test_pymysql_sees_the_same_through_the_relay(
    server: MariaDB, tmp_path: Path, given: dict[str, Any], found_rows: bool
) -> None:
    flags = CLIENT.FOUND_ROWS if found_rows else 0
    direct = outcomes(lambda: by_pymysql(server, client_flag=flags))
    with relay(server, tmp_path, **given) as made:
        assert outcomes(lambda: by_pymysql(made, client_flag=flags)) == direct
    assert any(isinstance(entry, tuple) and entry[0] == "ProgrammingError" for entry in direct)


def by_node(server: MariaDB | Relay) -> list[tuple[str, Any]]:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        wanted = "Node.js and npm are needed: apt-get install nodejs npm"
        if os.geteuid() != 0 and not os.environ.get("CI"):
            pytest.skip(wanted)
        pytest.fail(wanted)
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", NODE, CACHE], check=True, timeout=120)
    user, password = (server.user, server.password) if isinstance(server, Relay) else ("app", "app-secret")
    done = subprocess.run(
        [node, str(NODE / "mysql.mjs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            **bare_environment(),
            "JOURNEY_MODULES": str(CACHE),
            "MYSQL_PORT": str(server.port),
            "MYSQL_USER_NAME": user,
            "MYSQL_PASSWORD": password,
            "MYSQL_CA": str(server.ca),
        },
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("given", MODES)
def test_mysql2_with_its_prepared_statements_sees_the_same_through_the_relay(
    server: MariaDB, tmp_path: Path, given: dict[str, Any]
) -> None:
    direct = by_node(server)
    with relay(server, tmp_path, **given) as made:
        assert by_node(made) == direct
        assert {Command.STMT_PREPARE, Command.STMT_EXECUTE, Command.STMT_CLOSE} <= set(made.commands)
    assert [finding[0] for finding in direct].count("execute") == 3
    assert direct[-1] == ("change of user", 1045)
