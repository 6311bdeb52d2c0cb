"""Three PostgreSQL servers with quorum commit on loopback, a proxy in front of one, and what can befall them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from gateway.audit_settings import Replica
from gateway.demo.postgres import OWNER, EmbeddedPostgres, _Account, _as_user, find_binaries
from gateway.settings import Secret

ROLE, PASSWORD = "gateway_audit", "audit-copy-password"
SCHEMA = (Path(__file__).parents[2] / "deploy" / "postgres" / "audit-replica.sql").read_text()
SETTINGS = {
    "fsync": "on", "synchronous_commit": "on", "full_page_writes": "off", "wal_level": "replica", "hot_standby": "on",
    "max_wal_senders": "8", "wal_receiver_status_interval": "1", "wal_sender_timeout": "0",
    "wal_retrieve_retry_interval": "200ms",
    "shared_buffers": "16MB", "max_connections": "30",
}  # fmt: skip


@dataclass
class Node(EmbeddedPostgres):
    """One of the three; takes replication connections."""

    name: str = ""
    frozen: list[int] = field(default_factory=list)

    def _write_access_rules(self, account: _Account | None) -> None:
        super()._write_access_rules(account)
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 scram-sha-256\n")

    def kill(self) -> None:
        """SIGKILL for the postmaster and its children."""
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(10)
        self._process = None
        time.sleep(0.1)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """SIGSTOP for all of it."""
        self.frozen = self._family()
        for pid in self.frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.frozen = []

    def promote(self) -> None:
        self.sql("select pg_promote()", database="postgres")

    def set(self, **settings: str) -> None:
        """ALTER SYSTEM, and wait until a new connection sees it."""
        with self.connect(database="postgres") as connection:
            for name, value in settings.items():
                connection.execute(f"alter system set {name} = '{value}'")
            connection.execute("select pg_reload_conf()")
        for name, value in settings.items():
            until(lambda name=name, value=value: self.sql(f"show {name}", database="postgres") == [(value,)])

    def _family(self) -> list[int]:
        if self.pid is None:
            return []
        children = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=False)
        return [self.pid, *map(int, children.stdout.split())]


class Cluster:
    """A primary `a` and its standbys `b` and `c`; each commit waits for one of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        binaries = find_binaries(tls=True)
        self.a = Node(directory / "a", binaries, settings=SETTINGS, name="a")
        self.a.start()
        with self.a.connect(database="postgres") as connection:
            connection.execute("create database gateway_audit")
        with self.a.connect(database="gateway_audit") as connection:
            connection.execute(SCHEMA)
            connection.execute(f"create role {ROLE} login password '{PASSWORD}'")
            connection.execute(f"grant gateway_audit_writer to {ROLE}")
        self.b, self.c = self._standby("b"), self._standby("c")
        self.a.set(synchronous_standby_names="ANY 1 (b, c)")
        until(lambda: len(self.streaming()) == 2)

    @property
    def nodes(self) -> list[Node]:
        return [self.a, self.b, self.c]

    def replica(self, *ports: int, deadline: float = 3.0) -> Replica:
        """The configuration of a gateway that knows these servers, all three by default."""
        secret = self.directory / "role.password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        hosts = tuple(f"127.0.0.1:{port}" for port in ports or [node.port for node in self.nodes])
        return Replica(hosts=hosts, user=ROLE, password=Secret(file=secret), tls="off", deadline=deadline)

    def streaming(self) -> list[str]:
        return [name for (name,) in self.a.sql("select application_name from pg_stat_replication", database="postgres")]

    def leaves(self, node: Node, origin: str) -> dict[int, bytes]:
        """What the copy on that node holds, by index."""
        from gateway.audit.quorum import unpacked

        rows = node.sql(
            "select first, leaves from gateway_audit.batches where origin = %s and leaves is not null order by first",
            origin, database="gateway_audit",
        )  # fmt: skip
        return {first + at: leaf for first, data in rows for at, leaf in enumerate(unpacked(bytes(data)))}

    def stop(self) -> None:
        for node in self.nodes:
            node.thaw()
            node.stop()

    def _standby(self, name: str) -> Node:
        directory = self.directory / name
        directory.mkdir()
        directory.chmod(0o711)
        shutil.copy(self.a.directory / f"{OWNER}.password", directory)
        (directory / f"{OWNER}.password").chmod(0o600)
        node = Node(directory, self.a.binaries, settings=SETTINGS, name=name)
        account = self.a._account()
        node.data.mkdir(mode=0o700)
        if account is not None:
            os.chown(node.data, account.uid, account.gid)
        dsn = self.a.dsn(database="replication").replace("dbname=replication", "") + f" application_name={name}"
        command = [str(self.a.binaries.directory / "pg_basebackup"), "-d", dsn, "-D", str(node.data)]
        command += ["-R", "-X", "stream", "-c", "fast", "--no-sync"]
        subprocess.run(command, check=True, timeout=60, capture_output=True, **_as_user(account, directory))
        node.start()
        return node


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Three servers in a directory of their own, stopped at the end."""
    directory = Path(tempfile.mkdtemp(prefix="gateway-quorum-"))
    directory.chmod(0o711)
    made: Cluster | None = None
    try:
        made = Cluster(directory)
        yield made
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Proxy:
    """A relay to a port. `blocked` passes nothing on and closes nothing; `cut_replies` drops what comes back once, and
    closes then.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.blocked = False
        self.cut: Callable[[bytes], bool] | None = None
        """Called with each piece of an answer; true closes both sides before it is passed on."""
        self.cut_requests: Callable[[bytes], bool] | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()
        self.hang_up()

    def hang_up(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while True:
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if self.blocked:
                    time.sleep(0.05)
                    continue
                for one in ready:
                    data = one.recv(65536)
                    cut = self.cut if one is server else self.cut_requests
                    if not data or (cut is not None and cut(data)):
                        raise OSError
                    (client if one is server else server).sendall(data)
        except (OSError, ValueError):
            client.close()
            server.close()


def until(done: Callable[[], Any], patience_s: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + patience_s
    while True:
        try:
            if done():
                return
        except psycopg.Error:
            pass
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
