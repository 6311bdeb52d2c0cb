"""The servers that a benchmark stands on: PostgreSQL, and two roads to it, pgbouncer's and the gateway's.

INVARIANT: all three roads end in the same server, role, database and tables, and use the same clients; per phase all of
them encrypt both hops (verify-full) or none does. Whatever was started here is stopped here, by process id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from ruamel.yaml import YAML

from gateway.demo.actor import Actor, Authenticator, Entrance
from gateway.demo.client import bare_environment
from gateway.demo.company import TARGET, TICKET, Company, write_company
from gateway.demo.ports import HOST, free_port
from gateway.demo.postgres import (
    BACKEND_ROLE,
    DATABASE,
    DemoError,
    EmbeddedPostgres,
    create_backend_role,
    find_binaries,
)
from gateway.demo.stage import Gateway
from gateway.demo.tls import make_server_tls

ACCOUNTS = 100_000
CONNECTIONS = 700

Tell = Callable[[str], object]

_SETTINGS = {
    "max_connections": str(CONNECTIONS + 10),
    "shared_buffers": "512MB",
    # the gateway switches it off on its connections; a comparison needs the same plans on all
    "jit": "off",
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}

BY_HAND = {
    "name": "(array['Roux','Petit','Morel','Fabre','Blanc','Garnier','Leroy','Simon'])"
    "[1 + get_byte(sha256(convert_to('secret' || name, 'UTF8')), 0) % 8]",
    "email": "left(encode(sha256(convert_to('secret' || split_part(email, '@', 1), 'UTF8')), 'hex'), 16)"
    " || '@' || split_part(email, '@', 2)",
    "phone": "repeat('*', length(phone) - 2) || right(phone, 2)",
    "amount": "floor(amount / 1000) * 1000",
    "paid_on": "date_trunc('year', paid_on)::date",
}
"""The masks of `public.masked`, by hand."""

_TABLES = """
create table public.pgbench_branches (bid int primary key, bbalance int, filler char(88));
create table public.pgbench_tellers (tid int primary key, bid int, tbalance int, filler char(84));
create table public.pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
insert into public.pgbench_branches values (1, 0);
insert into public.pgbench_tellers select n, 1, 0 from generate_series(1, 10) n;
insert into public.pgbench_accounts select n, 1, 0, '' from generate_series(1, {accounts}) n;
create table public.wide (
    id int primary key, customer int not null, name text not null, email text not null, phone text not null,
    amount numeric(10, 2) not null, paid_on date not null, created_at timestamptz not null, status text not null,
    note text not null
);
insert into public.wide
select n, n % 1000, 'Person number ' || n, 'person.' || n || '@customer.example',
       '+33 6 39 98 ' || lpad((n % 10000)::text, 4, '0'), (n % 500000) / 100.0, date '2020-01-01' + n % 2000,
       timestamptz '2026-01-01 00:00Z' + n * interval '1 second', (array['active', 'on_leave', 'notice'])[1 + n % 3],
       md5(n::text)
from generate_series(1, {rows}) n;
create view public.masked as select * from public.wide;
create table public.by_index as select id, customer, amount from public.wide;
create index on public.by_index (customer);
create table public.by_scan as select id, customer, amount from public.wide;
"""  # the view is pulled up by the planner: it costs nothing and can have masks of its own

ACCESS = {
    "teams": ["support"],
    "ticket": {"projects": ["SUP"], "states": ["open"], "assigned_to": "requester"},
    "second_factor": "totp",
    "duration": {"default": "8h", "max": "8h"},
    "auto_approve": "masked_reads",
    "approvers": {"teams": ["security"], "count": 1},
}
"""Who may ask for a target, in each of the benchmarks' policies for databases."""

_POLICY = {
    "target": TARGET,
    "access": ACCESS,
    # no budgets: they would end a benchmark, and counting them costs the same with any limit
    "limits": {"statement_timeout": "300s"},
    "tables": {
        "public.pgbench_accounts": {
            "scope": "none",
            "columns": dict.fromkeys(("aid", "bid", "abalance", "filler"), "clear"),
        },
        "public.pgbench_branches": {"scope": "none", "columns": dict.fromkeys(("bid", "bbalance", "filler"), "clear")},
        "public.pgbench_tellers": {
            "scope": "none",
            "columns": dict.fromkeys(("tid", "bid", "tbalance", "filler"), "clear"),
        },
    },
}
_WIDE = ("id", "customer", "name", "email", "phone", "amount", "paid_on", "created_at", "status", "note")
_MASKS: dict[str, Any] = {
    "name": {"mask": "pseudonym", "domain": "last_name"},
    "email": {"mask": "email"},
    "phone": {"mask": "partial", "keep_end": 2},
    "amount": {"mask": "bucket", "size": 1000},
    "paid_on": {"mask": "year"},
}


@dataclass(frozen=True, slots=True)
class Road:
    """One way to the tables. `pid` is the process between client and server, None where there is none."""

    name: str
    port: int
    user: str
    password: str = field(repr=False)
    ca: Path | None
    pid: int | None

    def environment(self) -> dict[str, str]:
        """For programs that are built on libpq."""
        trust = {"PGSSLMODE": "disable"}
        if self.ca is not None:
            trust = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.ca)}
        return bare_environment() | {
            "PGHOST": HOST,
            "PGPORT": str(self.port),
            "PGDATABASE": DATABASE,
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGCONNECT_TIMEOUT": "30",
            "PGGSSENCMODE": "disable",
            **trust,
        }

    def parameters(self) -> dict[str, Any]:
        """For psycopg."""
        names = {"PGHOST": "host", "PGPORT": "port", "PGDATABASE": "dbname", "PGUSER": "user"}
        names |= {"PGPASSWORD": "password", "PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert"}
        return {names[name]: value for name, value in self.environment().items() if name in names}


@dataclass
class Bouncer:
    """pgbouncer with session pooling, as an unprivileged user, towards the same server."""

    directory: Path
    postgres: EmbeddedPostgres
    tls: bool
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def ca(self) -> Path:
        """What verifies it."""
        return self.directory / "tls" / "ca.crt"

    def start(self, *, timeout_s: float = 15) -> None:
        """Run it until it accepts. Raises `DemoError` with the end of its log."""
        program = find_pgbouncer()
        self.port = free_port()
        config = self._write()
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam("nobody")
            for path in (self.directory, *self.directory.rglob("*")):
                os.chown(path, account.pw_uid, account.pw_gid)
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        setpriv = shutil.which("setpriv")
        command = [*([setpriv, "--pdeathsig", "TERM"] if setpriv else []), program, "-q", str(config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **as_user
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, self.port), timeout=1).close()
                return
            time.sleep(0.02)
        self.stop()
        raise DemoError(f"pgbouncer did not start:\n{self._log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Stop it."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        # SIGTERM is an immediate shutdown for pgbouncer before 1.23, and a patient one after
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)

    @property
    def _log(self) -> Path:
        return self.directory.with_suffix(".log")

    def _write(self) -> Path:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = self.postgres.password(BACKEND_ROLE)
        (self.directory / "users.txt").write_text(f'"{BACKEND_ROLE}" "{password}"\n')
        settings = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.directory / "users.txt",
            "pool_mode": "session",
            "default_pool_size": CONNECTIONS - 100,
            "max_client_conn": CONNECTIONS + 100,
            "ignore_startup_parameters": "extra_float_digits",
            "log_connections": 0,
            "log_disconnections": 0,
        }
        if self.tls:
            own = make_server_tls(self.directory / "tls", "pgbouncer")
            shutil.copy(self.postgres.ca, self.directory / "server-ca.crt")
            settings |= {
                "client_tls_sslmode": "require",
                "client_tls_cert_file": own.certificate,
                "client_tls_key_file": own.key,
                "server_tls_sslmode": "verify-full",
                "server_tls_ca_file": self.directory / "server-ca.crt",
            }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        database = f"{DATABASE} = host={HOST} port={self.postgres.port} dbname={DATABASE}"
        config = self.directory / "pgbouncer.ini"
        config.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
        return config


@dataclass
class GatewayRoad:
    """The gateway with a company around it, and the pass that alice got for her ticket."""

    directory: Path
    postgres: EmbeddedPostgres
    tls: bool
    tell: Tell
    gateway: Gateway | None = None
    _road: Road | None = None

    def start(self) -> None:
        """Write the company, start the gateway, enrol alice, sign her in and open her ticket."""
        company = prepared_company(self.directory, self.postgres, tls=self.tls)
        self.gateway = Gateway(company, self.directory.with_suffix(".log"))
        self.gateway.start()
        opened = opened_by_alice(company, TARGET, self.tell)
        port = company.ports["postgres"]
        self._road = Road(
            "gateway", port, opened["user"], opened["password"], company.tls.ca if self.tls else None, self.gateway.pid
        )

    def restart(self) -> None:
        """Run a new process on the same state: the pass stays good."""
        assert self.gateway is not None
        self.gateway.stop()
        self.gateway.start()
        assert self._road is not None
        self._road = dataclasses.replace(self._road, pid=self.gateway.pid)

    def stop(self) -> None:
        """Stop the process."""
        if self.gateway is not None:
            self.gateway.stop()

    @property
    def policy(self) -> Path:
        """The policy in force."""
        return self.directory / "policies" / f"{TARGET}.yaml"

    @property
    def road(self) -> Road:
        """How clients get there."""
        assert self._road is not None
        return self._road


@dataclass
class Ground:
    """All roads of one phase, in the order in which they are measured."""

    postgres: EmbeddedPostgres
    bouncer: Bouncer
    gateway: GatewayRoad
    tls: bool

    @property
    def roads(self) -> tuple[Road, ...]:
        """Direct, pgbouncer, gateway."""
        password = self.postgres.password(BACKEND_ROLE)
        ca = self.postgres.ca if self.tls else None
        return (
            Road("direct", self.postgres.port, BACKEND_ROLE, password, ca, None),
            Road(
                "pgbouncer",
                self.bouncer.port,
                BACKEND_ROLE,
                password,
                self.bouncer.ca if self.tls else None,
                self.bouncer.pid,
            ),
            self.gateway.road,
        )

    def restart_proxies(self) -> None:
        """New processes for pgbouncer and the gateway, so that memory is measured from the start."""
        self.bouncer.stop()
        self.bouncer.start()
        self.gateway.restart()


def find_pgbouncer() -> str:
    """The program, also where Debian hides it from ordinary users. Raises `DemoError` when there is none."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise DemoError("pgbouncer was not found", "install it with `apt-get install pgbouncer`")
    return program


@contextlib.contextmanager
def database(directory: Path, rows: int, tell: Tell) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL with TLS and without, as the client asks, and the benchmark's tables of that size in it."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o711)
    rules = directory / "pg_hba.conf"
    rules.write_text(f"host all all {HOST}/32 scram-sha-256\n")
    settings = _SETTINGS | {"hba_file": str(rules)}
    postgres = EmbeddedPostgres(directory / "postgres", find_binaries(tls=True), tls=True, settings=settings)
    with postgres:
        tell(f"making tables of {ACCOUNTS:,} and {rows:,} rows")

        def load(connection: psycopg.Connection[Any]) -> None:
            connection.execute(_TABLES.format(accounts=ACCOUNTS, rows=rows).encode())
            hand = ", ".join(f"{mask} as {column}" for column, mask in BY_HAND.items())
            connection.execute(f"create view public.by_hand as select {hand} from public.wide".encode())
            create_backend_role(connection, postgres.password(BACKEND_ROLE))

        postgres.ensure_database(f"bench {rows}", load)
        # hint bits are set and all pages are in memory before the first measurement
        postgres.sql("vacuum (freeze, analyze)")
        yield postgres


@contextlib.contextmanager
def ground(directory: Path, postgres: EmbeddedPostgres, *, tls: bool, tell: Tell) -> Iterator[Ground]:
    """pgbouncer and the gateway in front of `postgres`, with TLS on both hops or on none."""
    bouncer = Bouncer(directory / "pgbouncer", postgres, tls)
    gateway = GatewayRoad(directory / "gateway", postgres, tls, tell)
    try:
        tell("starting pgbouncer")
        bouncer.start()
        tell("starting the gateway")
        gateway.start()
        yield Ground(postgres, bouncer, gateway, tls)
    finally:
        gateway.stop()
        bouncer.stop()


def opened_by_alice(company: Company, target: str, tell: Tell) -> dict[str, Any]:
    """What the gateway answers when alice, enrolled for the purpose, opens her ticket for that target."""
    entrance = Entrance(f"https://localhost:{company.ports['api']}", company.tls.ca, company.state / "admin.sock")
    authenticator = Authenticator(company.directory / "alice.json")
    alice = Actor("alice", company.passwords["alice"], authenticator, entrance, tell)
    alice.enrol()
    return dict(alice.open(TICKET, target=target))


def prepared_company(directory: Path, postgres: EmbeddedPostgres, *, tls: bool) -> Company:
    """The demonstration's company, with a policy of ours in the place of its own."""
    company = write_company(directory, postgres)
    company = dataclasses.replace(company, ports={name: free_port() for name in company.ports})
    yaml = YAML()
    config = yaml.load(company.config)
    if not tls:
        target = config["targets"][TARGET]
        del target["ca"]
        target["tls"] = "off"
    for name, port in company.ports.items():
        config["listen"][name]["port"] = port
    for most in ("max_connections", "max_connections_per_person"):
        config["listen"]["postgres"][most] = CONNECTIONS
    if not tls:
        config["listen"]["postgres"]["tls"] = "off"
    # segments of the size that a real installation has
    del config["audit"]
    yaml.dump(config, company.config)
    shutil.rmtree(directory / "policies")
    (directory / "policies").mkdir()
    yaml.dump(_policy(), directory / "policies" / f"{TARGET}.yaml")
    return company


def _policy() -> dict[str, Any]:
    clear: dict[str, Any] = dict.fromkeys(_WIDE, "clear")
    wide = {
        **{
            f"public.{name}": {
                "scope": "customer = ticket.customer",
                "columns": dict.fromkeys(("id", "customer", "amount"), "clear"),
            }
            for name in ("by_index", "by_scan")
        },
        "public.wide": {"scope": "none", "columns": clear},
        "public.masked": {"scope": "none", "columns": clear | _MASKS},
    }
    return {**_POLICY, "tables": {**_POLICY["tables"], **wide}}  # type: ignore[dict-item]
