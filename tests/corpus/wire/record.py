"""`python tests/corpus/wire/record.py DIRECTORY`: record the traces again, real clients against a real server.

Needs Debian's postgresql and psql. DIRECTORY keeps the server's data (default: a new temporary one). What passes
between client and server is recorded in clear (TLS off: both are on one machine) and written in the format of
`tests/unit/wire/wire_trace.py`. The one secret in it is the password `pencil`, made up for this.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Thread

import asyncpg
import psycopg

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "unit" / "wire"), str(HERE.parents[2])]

from wire_trace import Describer, split  # noqa: E402

from gateway.demo.postgres import EmbeddedPostgres, find_binaries  # noqa: E402

PASSWORD = "pencil"


class Tap(Thread):
    """A relay in front of the server that keeps what passes, connection by connection."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.target, self.port = port, 0
        self.connections: list[list[tuple[str, bytes]]] = []
        self.ready = Event()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunks: list[tuple[str, bytes]] = []
        self.connections.append(chunks)
        upstream = await asyncio.open_connection("127.0.0.1", self.target)

        async def pump(side: str, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                chunks.append((side, data))
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump("F", reader, upstream[1]), pump("B", upstream[0], writer))


PSQL_SCRIPT = """
select 1 as one, null, 'é';
select;
do $$begin raise notice 'careful'; end$$;
select nothing;
select 1\\; select 2;
begin;
selec;
rollback;
copy (select * from accounts) to stdout;
"""


def psql(dsn: str) -> None:
    subprocess.run(["psql", "-X", "-q", dsn], input=PSQL_SCRIPT.encode(), check=True, capture_output=True)


def psycopg_pipeline(dsn: str) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True) as connection, connection.pipeline():
            connection.execute("select * from accounts where id = %s", (2,), binary=True)
            connection.execute("select %s::text, %s::bytea", ("a", b"\0\1"), prepare=True)
            connection.execute("select 1/0")
            connection.execute("select 'never reached'")
    except psycopg.errors.DivisionByZero:
        return
    raise SystemExit("the failing statement did not fail")


def psycopg_cursor(dsn: str) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor("c") as cursor:
        cursor.itersize = 2
        cursor.execute("select * from accounts order by id")
        cursor.fetchall()


def asyncpg_rows(dsn: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(dsn, ssl=False)
        await connection.fetch("select * from accounts where name = $1", "bob")
        async with connection.transaction():
            async for _ in connection.cursor("select * from accounts", prefetch=2):
                pass
        await connection.close()

    asyncio.run(run())


def libpq_cancel(dsn: str) -> None:
    connection = psycopg.connect(dsn, autocommit=True)
    stop = Thread(target=lambda: (Event().wait(0.3), connection.cancel_safe(timeout=5)))
    stop.start()
    try:
        connection.execute("select pg_sleep(20)")
    except psycopg.errors.QueryCanceled:
        stop.join()
    connection.close()


def refused(dsn: str) -> None:
    try:
        psycopg.connect(dsn.replace(PASSWORD, "crayon"))
    except psycopg.OperationalError:
        return
    raise SystemExit("a wrong password was accepted")


CLIENTS: dict[str, tuple[str, Callable[[str], None]]] = {
    "psql-simple": (
        "psql: simple queries, a NOTICE, errors, two statements in one message, COPY TO STDOUT",
        psql,
    ),
    "psycopg-pipeline": ("psycopg 3: pipeline mode, binary results, a failing statement", psycopg_pipeline),
    "psycopg-cursor": ("psycopg 3: a server-side cursor", psycopg_cursor),
    "asyncpg-portal": ("asyncpg: prepared statements in binary format, portals with a row limit", asyncpg_rows),
    "libpq-cancel": ("libpq: a statement is cancelled from a second connection", libpq_cancel),
    "libpq-refused": ("libpq: SCRAM with a wrong password", refused),
}


def write(path: Path, title: str, connections: list[list[tuple[str, bytes]]]) -> None:
    lines = [f"# {title}."]
    for number, chunks in enumerate(connections):
        if number:
            lines.append("# another connection")
        describer = Describer()
        joined: list[list[str | bytes]] = []
        for side, data in chunks:
            if joined and joined[-1][0] == side:
                joined[-1][1] += data
            else:
                joined.append([side, data])
        for side, data in joined:
            for message in split(side, data):
                text, _ = describer.describe(side, message)
                lines += [f"{side} {text}", "  " + message.hex(" ", -4)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def main(directory: Path) -> None:
    os.umask(0o022)
    with EmbeddedPostgres(directory, find_binaries(tls=True)) as server:
        with server.connect(database="postgres") as owner:
            owner.execute("drop database if exists trace")
            owner.execute("drop role if exists alice")
            owner.execute(f"create role alice login password '{PASSWORD}'")
            owner.execute("create database trace owner alice")
        tap = Tap(server.port)
        tap.start()
        tap.ready.wait()
        dsn = f"postgresql://alice:{PASSWORD}@127.0.0.1:{tap.port}/trace?sslmode=disable&gssencmode=disable"
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("create table accounts (id int primary key, name text, balance numeric)")
            connection.execute("insert into accounts values (1, 'alice', 1.5), (2, 'bob', null), (3, 'zoé', -7)")
        for name, (title, client) in CLIENTS.items():
            tap.connections.clear()
            client(dsn if client is not asyncpg_rows else dsn.partition("?")[0])
            Event().wait(0.2)
            write(HERE / f"{name}.trace", title, tap.connections)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(mkdtemp(prefix="traces-")))
