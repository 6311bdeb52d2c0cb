"""Real clients against both halves of the MySQL wire, and against MariaDB itself.

They go through a relay of the two halves, which decodes and encodes everything. What a client sees must be the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from mariadb_server import MariaDB
from mysql_relay import Relay
from mysql_wire import Client
from mysql_world import OLD, by_pymysql, relay, shop
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from gateway.demo.client import bare_environment
from gateway.errors import GatewayError
from gateway.wire.mysql import auth
from gateway.wire.mysql.base import Status
from gateway.wire.mysql.commands import (
    Command,
)

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CACHE = ROOT / ".cache" / "node"
DRIVER = Path("/usr/share/java/mariadb-java-client.jar")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    with shop(tmp_path_factory.mktemp("mariadb")) as made:
        yield made


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


def environment(server: MariaDB | Relay) -> dict[str, str]:
    """What the programs in other languages are told."""
    user, password = (server.user, server.password) if isinstance(server, Relay) else ("app", "app-secret")
    return {
        **bare_environment(),
        "MYSQL_PORT": str(server.port),
        "MYSQL_USER_NAME": user,
        "MYSQL_PASSWORD": password,
        "MYSQL_CA": str(server.ca),
    }


def needed(there: bool, wanted: str) -> None:
    """Whoever may install it must have it; others may do without."""
    if not there:
        if os.geteuid() != 0 and not os.environ.get("CI"):
            pytest.skip(wanted)
        pytest.fail(wanted)


def by_node(server: MariaDB | Relay) -> list[tuple[str, Any]]:
    """What mysql2 finds."""
    there = shutil.which("node") is not None and shutil.which("npm") is not None
    needed(there, "Node.js and npm are needed: apt-get install nodejs npm")
    subprocess.run([ROOT / "deploy" / "prepare.sh", "node", HERE / "node", CACHE], check=True, timeout=120)
    done = subprocess.run(
        ["node", str(HERE / "node" / "mysql.mjs")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**environment(server), "JOURNEY_MODULES": str(CACHE)},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def by_java(server: MariaDB | Relay) -> str:
    """What MariaDB Connector/J finds."""
    there = shutil.which("java") is not None and DRIVER.exists()
    needed(there, "a JDK and Connector/J are needed: apt-get install default-jdk-headless libmariadb-java")
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", str(DRIVER), str(HERE / "jdbc" / "MariaDb.java")],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env=environment(server),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout


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


@pytest.mark.parametrize("given", MODES[:2])
def test_connector_j_sees_the_same_through_the_relay(server: MariaDB, tmp_path: Path, given: dict[str, Any]) -> None:
    direct = by_java(server)
    with relay(server, tmp_path, **given) as made:
        assert by_java(made) == direct
        assert {Command.STMT_EXECUTE, Command.STMT_SEND_LONG_DATA, Command.STMT_CLOSE} <= set(made.commands)
    assert direct.count("options") == 5
    assert direct.count("error|1054|42S22") == 5
    assert "|rows 20000" in direct
