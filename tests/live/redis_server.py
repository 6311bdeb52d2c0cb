"""Debian's redis-server as a company has it: TLS, a password, nothing thrown away; and a road to it that can be cut.

On a free port, in a directory of its own, stopped by pid. `client` changes what is inside.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from gateway import certificates
from gateway.demo.ports import free_port

PASSWORD = "redis-secret"
_CONF = """
bind 127.0.0.1
port 0
tls-port {port}
tls-cert-file {place}/server.pem
tls-key-file {place}/server.key
tls-ca-cert-file {place}/ca.pem
tls-auth-clients no
tls-replication yes
requirepass {password}
masterauth {password}
dir {data}
save ""
appendonly {append}
appendfsync always
daemonize no
"""


class RedisServer:
    """One server. `persistent` keeps what it has over a restart."""

    def __init__(self, place: Path, name: str = "one", *, persistent: bool = False) -> None:
        self.place, self.name, self.persistent = place, name, persistent
        self.port = free_port()
        if not (place / "ca.pem").exists():
            issued = certificates.issue("Redis", ["localhost"])
            for file, content in (
                ("ca.pem", issued.ca),
                ("server.pem", issued.certificate),
                ("server.key", issued.key),
            ):
                (place / file).write_bytes(content)
            (place / "redis.password").touch(0o600)
            (place / "redis.password").write_text(PASSWORD)
        self.process: subprocess.Popen[bytes] | None = None

    def settings(self, port: int | None = None, **more: Any) -> dict[str, Any]:
        """As it is written in `gateway.yaml`."""
        return {
            "host": f"localhost:{port or self.port}", "password": {"file": str(self.place / "redis.password")},
            "ca": str(self.place / "ca.pem"), "deadline": "1s",
        } | more  # fmt: skip

    def start(self) -> None:
        """Run it, and wait until it answers."""
        data = self.place / f"data-{self.name}"
        data.mkdir(exist_ok=True)
        append = "yes" if self.persistent else "no"
        conf = self.place / f"{self.name}.conf"
        conf.write_text(_CONF.format(port=self.port, place=self.place, password=PASSWORD, data=data, append=append))
        with (self.place / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", str(conf)], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]}
            )
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None, (self.place / f"{self.name}.log").read_text()
            with contextlib.suppress(redis.RedisError), self.client() as client:
                client.ping()
                return
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.05)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A connection that may do everything."""
        client = redis.Redis(
            host="localhost", port=self.port, password=PASSWORD, ssl=True, ssl_ca_certs=str(self.place / "ca.pem")
        )
        try:
            yield client
        finally:
            client.close()

    def do(self, *command: Any) -> Any:
        """One command."""
        with self.client() as client:
            return client.execute_command(*command)

    def freeze(self) -> None:
        """Let it hold every connection and answer nothing."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """The opposite."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Kill it, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Road:
    """A way to a port, which may change. `blocked` passes nothing on and closes nothing."""

    def __init__(self, target: int) -> None:
        self.target, self.blocked = target, False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """Cut every connection."""
        opened, self._open = self._open, []
        for one in opened:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let nobody through any more."""
        self._socket.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            threading.Thread(target=self._relay, args=(near, far), daemon=True).start()

    def _relay(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, contextlib.suppress(OSError):
            while True:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                if self.blocked:
                    time.sleep(0.05)
                    continue
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)


@contextlib.contextmanager
def redis_server(place: Path, name: str = "one", **more: Any) -> Iterator[RedisServer]:
    """A server that runs."""
    server = RedisServer(place, name, **more)
    try:
        server.start()
        yield server
    finally:
        server.thaw()
        server.stop()
