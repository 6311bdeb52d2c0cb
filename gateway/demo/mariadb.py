"""A MariaDB server of our own, as a company has one: TLS, a password for root, nothing of the machine's settings.

Debian's program on a free port, in a directory of its own, stopped by its process id. Its data survive a stop.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.client import bare_environment
from gateway.demo.ports import HOST, free_port
from gateway.demo.postgres import DemoError, end, first_closed, private_log
from gateway.demo.tls import LOOPBACK, ServerTls, make_server_tls

_ACCOUNT = "mysql"
_PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb")
_PATIENCE_S = 180


def missing_programs() -> list[str]:
    """What a server and its command line need and this machine does not have."""
    return [name for name in _PROGRAMS if _found(name) is None]


@dataclass
class MariaDB:
    """The server in `directory`; `options` are further ones of `mariadbd`."""

    directory: Path
    tls: bool = True
    options: Sequence[str] = ()
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _socket: Path | None = field(default=None, repr=False)
    _tls: ServerTls | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return HOST

    @property
    def ca(self) -> Path | None:
        """The file with the authority's certificate; None without TLS."""
        return self._tls.ca if self._tls is not None else None

    @property
    def socket(self) -> Path:
        """Where root may connect without the network, while it runs."""
        assert self._socket is not None
        return self._socket

    @property
    def root_password(self) -> str:
        """Root's password, made at the first start."""
        return self.password("root")

    def password(self, account: str) -> str:
        """The password of an account there, made when it is asked for first."""
        path = self.directory / f"{account}.password"
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(16))
        return path.read_text()

    def start(self) -> None:
        """Run it until it takes connections. Raises `DemoError` with the end of its log."""
        self.directory.mkdir(parents=True, exist_ok=True)
        account = self._account()
        if account is not None:
            self.directory.chmod(0o711)
        self._temporary.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            shutil.chown(self._temporary, account)
        if not (self.directory / "whole").exists():
            self._initialise(account)
        for _ in range(3):
            if self._launch(account):
                return
        raise DemoError(f"MariaDB did not start:\n{self._log_tail()}")

    def stop(self, *, timeout_s: float = 60) -> None:
        """End it; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is not None:
            end(process, timeout_s)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            self._socket = None

    def run(self, statements: Iterable[str], database: str = "") -> str:
        """Run statements as root through its own command line; what that printed. Raises `DemoError`."""
        done = subprocess.run(
            [
                _program("mariadb"), "--no-defaults", "--batch", f"--socket={self.socket}", "--user=root",
                "--default-character-set=utf8mb4", *([database] if database else []),
            ],
            input="".join(statements), text=True, capture_output=True, check=False, timeout=300,
            env={**bare_environment(), "MYSQL_PWD": self.root_password},
        )  # fmt: skip
        if done.returncode != 0:
            raise DemoError(f"MariaDB: {done.stderr.strip()}")
        return done.stdout

    def ensure(self, stamp: str, statements: Callable[[], Iterable[str]]) -> bool:
        """Run statements where that content is not there yet; whether they were run. Raises `DemoError`."""
        path = self.directory / "content"
        if path.exists() and path.read_text() == stamp:
            return False
        self.run(statements())
        path.write_text(stamp)
        return True

    def _account(self) -> str | None:
        """Whom the server runs as when we are root: its own user, where that may enter; None when as ourselves."""
        if os.geteuid() != 0:
            return None
        try:
            entry = pwd.getpwnam(_ACCOUNT)
        except KeyError:
            return "root"
        # the directory itself is opened to it below
        closed = first_closed(self.directory, entry.pw_uid, entry.pw_gid)
        return _ACCOUNT if closed in (None, self.directory.resolve()) else "root"

    def _initialise(self, account: str | None) -> None:
        # without that mark it is what an interrupted attempt left
        shutil.rmtree(self.directory / "data", ignore_errors=True)
        (self.directory / "content").unlink(missing_ok=True)
        done = subprocess.run(
            [
                _program("mariadb-install-db"), "--no-defaults", f"--datadir={self.directory / 'data'}",
                "--auth-root-authentication-method=normal", "--skip-test-db",
                *([f"--user={account}"] if account else []),
            ],
            capture_output=True, text=True, check=False, timeout=_PATIENCE_S,
            env={**bare_environment(), "TMPDIR": str(self._temporary)},
        )  # fmt: skip
        if done.returncode != 0:
            raise DemoError(f"MariaDB could not be set up:\n{(done.stdout + done.stderr)[-2000:]}")
        (self.directory / "whole").touch()

    def _launch(self, account: str | None) -> bool:
        """Run it; False when it ended by itself, as it does when somebody took the port meanwhile."""
        self.port = free_port()
        # the path of a socket has to be short
        self._socket = Path(tempfile.gettempdir()) / f"mariadb-{os.getpid()}-{self.port}.sock"
        first = self.directory / "init.sql"
        first.unlink(missing_ok=True)
        with os.fdopen(os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"ALTER USER root@localhost IDENTIFIED BY '{self.root_password}';\n")
        owned = [first]
        given: list[str] = []
        if self.tls:
            self._tls = make_server_tls(self.directory / "tls", "MariaDB", LOOPBACK)
            owned.append(self._tls.key)
            given = [
                f"--ssl-ca={self._tls.ca}", f"--ssl-cert={self._tls.certificate}", f"--ssl-key={self._tls.key}",
            ]  # fmt: skip
        if account:
            for path in owned:
                shutil.chown(path, account)
        setpriv = shutil.which("setpriv")
        if account and not setpriv:
            given.append(f"--user={account}")
        command = [
            _program("mariadbd"), "--no-defaults", f"--datadir={self.directory / 'data'}", f"--socket={self._socket}",
            f"--port={self.port}", f"--bind-address={HOST}", f"--init-file={first}",
            f"--pid-file={self.directory / 'data' / 'mariadb.pid'}", f"--tmpdir={self._temporary}", "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--max-allowed-packet=64M",
            *given, *self.options,
        ]  # fmt: skip
        if setpriv:
            # a program that changes its user itself loses the signal
            become = [f"--reuid={account}", f"--regid={account}", "--init-groups"] if account == _ACCOUNT else []
            own = [f"--user={account}"] if account and not become else []
            command = [setpriv, *become, "--pdeathsig", "TERM", *command, *own]
        self._log.unlink(missing_ok=True)
        with private_log(self._log) as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=bare_environment(),
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self.pid is not None:
            if b"ready for connections" in self._log.read_bytes():
                return True
            time.sleep(0.05)
        self.stop()
        return False

    @property
    def _temporary(self) -> Path:
        """Where its temporary tables are: a server that starts removes all of them that it finds, others' too."""
        return self.directory / "temporary"

    @property
    def _log(self) -> Path:
        return self.directory / "mariadb.log"

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _program(name: str) -> str:
    found = _found(name)
    if found is None:
        raise DemoError(f"{name} is missing", "sudo apt-get install mariadb-server")
    return found
