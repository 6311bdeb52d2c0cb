"""The servers of `python -m loadtests mysql`: MariaDB, and two roads to it, HAProxy's and the gateway's.

INVARIANT: all three roads end in the same server, role, database and tables, and every client's hop is over TLS; the
gateway's hop to MariaDB as well. HAProxy passes TCP on as it is, with one thread, and so decrypts nothing. Whatever was
started here is stopped here, by process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.demo.mariadb import MariaDB
from gateway.demo.ports import HOST, free_port
from gateway.demo.postgres import DemoError, EmbeddedPostgres
from gateway.demo.stage import Gateway
from loadtests.ground import ACCESS, CONNECTIONS, opened_by_alice, prepared_company

DATABASE, ROLE, SECRET = "bench", "gateway_ro", "gateway-secret"
POINTS = 100_000

_HAPROXY = """global
  maxconn {most}
  nbthread 1
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen mariadb
  bind {host}:{port}
  server one {host}:{server} maxconn {most}
"""
_TABLES = (
    f"create database {DATABASE} default character set utf8mb4",
    f"use {DATABASE}",
    "create table points (id int primary key, k int not null, c char(120) not null, pad char(60) not null)",
    f"insert into points select seq, seq % 1000, md5(seq), md5(seq + 1) from seq_1_to_{POINTS}",
    "create table wide (id int primary key, customer int not null, name varchar(60) not null,"
    " email varchar(60) not null, phone varchar(30) not null, amount decimal(10, 2) not null, paid_on date not null,"
    " created_at datetime not null, status varchar(10) not null, note varchar(40) not null)",
    "insert into wide select seq, seq % 1000, concat('Person number ', seq), concat('person.', seq,"
    " '@customer.example'), concat('+33 6 39 98 ', lpad(seq % 10000, 4, '0')), (seq % 500000) / 100,"
    " date '2020-01-01' + interval seq % 2000 day, timestamp '2026-01-01 00:00:00' + interval seq second,"
    " elt(1 + seq % 3, 'active', 'on_leave', 'notice'), md5(seq) from seq_1_to_{rows}",
    f"create user {ROLE}@'%' identified by '{SECRET}'",
    f"grant select on {DATABASE}.* to {ROLE}@'%'",
    "analyze table points, wide",
)
_COLUMNS = {
    "points": ("id", "k", "c", "pad"),
    "wide": ("id", "customer", "name", "email", "phone", "amount", "paid_on", "created_at", "status", "note"),
}


@dataclass(frozen=True, slots=True)
class Road:
    """One way to the tables. `pid` is the process between client and server, None where there is none.

    `directory` holds `cacert.pem`, and a certificate that nobody asks for: sysbench takes TLS only with both.
    """

    name: str
    port: int
    user: str
    password: str = field(repr=False)
    directory: Path
    pid: int | None

    @property
    def ca(self) -> Path:
        """What verifies whoever is at the other end."""
        return self.directory / "cacert.pem"


@dataclass(frozen=True, slots=True)
class Server:
    """MariaDB as it runs."""

    port: int
    pid: int
    ca: Path
    client: tuple[Path, Path]
    """A certificate that it takes from clients, and the key."""


def road(
    name: str, port: int, user: str, password: str, ca: Path, pid: int | None, server: Server, directory: Path
) -> Road:
    """That road, with what its clients need for TLS in a directory of its own."""
    directory.mkdir(exist_ok=True)
    for content, called in zip((ca, *server.client), ("cacert.pem", "client-cert.pem", "client-key.pem"), strict=True):
        shutil.copy(content, directory / called)
    return Road(name, port, user, password, directory, pid)


@contextlib.contextmanager
def mariadb(directory: Path, rows: int) -> Iterator[Server]:
    """A new MariaDB with the tables in it, `wide` of that many rows."""
    directory.mkdir()
    certificate, _ = client = _client_pair(directory)
    # a certificate that is shown has to be good, though none is asked for
    options = {
        "ssl-ca": certificate, "innodb-buffer-pool-size": "512M", "max-connections": CONNECTIONS + 50,
        "query-cache-type": 0,
    }  # fmt: skip
    mariadb = MariaDB(directory / "mariadb", options=[f"--{name}={value}" for name, value in options.items()])
    mariadb.start()
    try:
        mariadb.run(f"{statement.replace('{rows}', str(rows))};\n" for statement in _TABLES)
        assert mariadb.pid is not None
        assert mariadb.ca is not None
        yield Server(mariadb.port, mariadb.pid, mariadb.ca, client)
    finally:
        mariadb.stop()


@contextlib.contextmanager
def haproxy(directory: Path, server: Server) -> Iterator[Road]:
    """HAProxy in TCP mode with one thread, from when it accepts. Raises `DemoError` with the end of its log."""
    directory.mkdir()
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise DemoError("haproxy was not found", "install it with `apt-get install haproxy`")
    port, config, log = free_port(), directory / "haproxy.cfg", directory / "log"
    config.write_text(_HAPROXY.format(most=CONNECTIONS, host=HOST, port=port, server=server.port))
    with log.open("wb") as out, subprocess.Popen([program, "-db", "-f", config], stdout=out, stderr=out) as process:
        try:
            deadline = time.monotonic() + 15
            while not _accepts(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DemoError("HAProxy did not start", log.read_text(errors="replace")[-1000:])
                time.sleep(0.05)
            yield road("haproxy", port, ROLE, SECRET, server.ca, process.pid, server, directory)
        finally:
            process.terminate()
            process.wait(15)


@contextlib.contextmanager
def gateway(directory: Path, postgres: EmbeddedPostgres, server: Server) -> Iterator[Road]:
    """The gateway with a company around it, and the pass that alice got for her ticket."""
    company = prepared_company(directory, postgres, tls=True)
    yaml, port = YAML(), free_port()
    # policies know no anchors
    yaml.representer.ignore_aliases = lambda *_: True
    secret = directory / "mysql.password"
    secret.touch(0o600)
    secret.write_text(SECRET)
    config = yaml.load(company.config)
    config["targets"][DATABASE] = {
        "engine": "mysql", "host": "localhost", "port": server.port, "database": DATABASE, "user": ROLE,
        "password": {"file": str(secret)}, "ca": str(server.ca),
    }  # fmt: skip
    most = {"max_connections": CONNECTIONS, "max_connections_per_person": CONNECTIONS}
    config["listen"]["mysql"] = {"port": port, **most}
    yaml.dump(config, company.config)
    yaml.dump(_policy(), directory / "policies" / f"{DATABASE}.yaml")
    process = Gateway(company, directory.with_suffix(".log"))
    process.start()
    try:
        opened = opened_by_alice(company, DATABASE, tell)
        place = directory.with_name(f"{directory.name}-client")
        user, password = opened["user"], opened["password"]
        yield road("gateway", port, user, password, company.tls.ca, process.pid, server, place)
    finally:
        process.stop()


def tell(sentence: str) -> None:
    """Say what is done."""
    print(sentence, file=sys.stderr, flush=True)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _client_pair(directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "client-cert.pem", directory / "client-key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-subj", "/CN=client", "-days", "30", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return certificate, key


def _policy() -> dict[str, Any]:
    return {
        "target": DATABASE,
        "dialect": "mariadb",
        "schemas": [DATABASE],
        "access": ACCESS,
        "limits": {"statement_timeout": "300s"},
        "tables": {
            f"{DATABASE}.{name}": {"scope": "none", "columns": dict.fromkeys(columns, "clear")}
            for name, columns in _COLUMNS.items()
        },
    }
