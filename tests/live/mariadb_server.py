"""Debian's mariadb-server as a company has it: TLS, a password for root, nothing of the machine's own settings.

On a free port, in a directory of its own, stopped by pid.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway import certificates
from gateway.demo.postgres import HOST, free_port

ROOT_PASSWORD = "root-secret"


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A running server. `ca` is the file with the authority's certificate, None without TLS."""

    host: str
    port: int
    socket: Path
    root_password: str
    ca: Path | None
    pid: int


@contextlib.contextmanager
def mariadb_server(directory: Path, *, tls: bool = True, options: Sequence[str] = ()) -> Iterator[MariaDB]:
    """A new, empty server in `directory`; `options` are further ones of `mariadbd`."""
    data, log = directory / "data", directory / "mariadb.log"
    directory.mkdir(parents=True, exist_ok=True)
    account = ["--user=root"] if os.getuid() == 0 else []
    subprocess.run(
        [
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *account,
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
    (directory / "init.sql").write_text(f"ALTER USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}';\n")
    encrypted, authority = _tls(directory) if tls else ([], None)
    # the path of a socket has to be short
    place = Path(os.environ.get("TMPDIR", "/tmp")) / f"mariadb-{os.getpid()}-{free_port()}.sock"
    for attempt in range(3):
        port = free_port()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    _program("mariadbd"),
                    "--no-defaults",
                    f"--datadir={data}",
                    f"--socket={place}",
                    f"--port={port}",
                    f"--bind-address={HOST}",
                    f"--init-file={directory / 'init.sql'}",
                    f"--pid-file={directory / 'mariadb.pid'}",
                    "--skip-log-bin",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-buffer-pool-size=32M",
                    "--max-allowed-packet=64M",
                    *encrypted,
                    *account,
                    *options,
                ],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        try:
            if _answers(process, log):
                yield MariaDB(HOST, port, place, ROOT_PASSWORD, authority, process.pid)
                return
        finally:
            _stop(process)
            place.unlink(missing_ok=True)
        if attempt == 2:
            raise RuntimeError(f"MariaDB did not start:\n{log.read_text(errors='replace')[-3000:]}")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is missing: deploy/prepare.sh debian mariadb"
    return found


def _tls(directory: Path) -> tuple[list[str], Path]:
    issued = certificates.issue("MariaDB", ["localhost", HOST])
    for name, content in (("ca.pem", issued.ca), ("server.pem", issued.certificate), ("server.key", issued.key)):
        (directory / name).write_bytes(content)
    given = {"ssl-ca": "ca.pem", "ssl-cert": "server.pem", "ssl-key": "server.key"}
    return [f"--{option}={directory / name}" for option, name in given.items()], directory / "ca.pem"


def _answers(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether it says that it is ready; False when it has stopped."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if b"ready for connections" in log.read_bytes():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
