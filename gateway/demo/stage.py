"""What `make demo` and `make tour` both stand on: databases, APIs, the company's files, the gateway, the people.

The gateway runs as a child process under the same command that a real installation uses, and people reach it
through the doors that real people use. INVARIANT: whatever was started here is stopped here, by its process id,
and nothing else is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from gateway.demo import data, mysql_data
from gateway.demo.actor import Actor, Authenticator, Entrance
from gateway.demo.backoffice.process import Office
from gateway.demo.client import bare_environment
from gateway.demo.company import PEOPLE, Company, write_company
from gateway.demo.mariadb import MariaDB, missing_programs
from gateway.demo.postgres import (
    BACKEND_ROLE,
    DemoError,
    EmbeddedPostgres,
    allow_writes,
    create_backend_role,
    end,
    find_binaries,
    private_log,
)
from gateway.demo.service import Service
from gateway.demo.simulator.process import Simulator
from gateway.engines.http_support import unsupported

VERSION = 1
SEED = 2026

Tell = Callable[[str], object]


def state_directory(name: str, chosen: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Where that show keeps its files: chosen, `GATEWAY_DEMO_STATE`, else the machine's or the person's own place.

    PostgreSQL does not run as root; what root starts must lie where another user may enter.
    """
    if chosen is None and environ.get("GATEWAY_DEMO_STATE"):
        chosen = Path(environ["GATEWAY_DEMO_STATE"])
    if chosen is not None:
        return chosen.resolve() / name
    if os.geteuid() == 0:
        return Path("/var/lib/gateway-demo") / name
    return Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gateway-demo" / name


@contextlib.contextmanager
def claimed(directory: Path) -> Iterator[Path]:
    """That directory, or a neighbour when another show is using it; held until the end."""
    for number in range(1, 10):
        place = directory if number == 1 else directory.with_name(f"{directory.name}-{number}")
        try:
            place.mkdir(parents=True, exist_ok=True)
            # PostgreSQL's user must get through to its own part; what is secret lies in directories closed to him.
            place.chmod(0o711)
            lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DemoError(f"`{place}` cannot be used: {error.strerror}", "choose another with --state") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            yield place
        finally:
            os.close(lock)
        return
    raise DemoError(f"nine demonstrations already use `{directory}` and its neighbours")


@dataclass
class Gateway:
    """The gateway's process."""

    company: Company
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, *, timeout_s: float = 30) -> None:
        """Run `gateway serve` until it says that it is ready. Raises `DemoError` with the end of its log."""
        command = [sys.executable, "-P", "-m", "gateway", "--config", str(self.company.config), "serve"]
        setpriv = shutil.which("setpriv")
        if setpriv:
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with private_log(self.log) as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=bare_environment(),
                # Ctrl-C on the terminal is for the demonstration, which stops its parts in order.
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        url = f"http://127.0.0.1:{self.company.ports['ops']}/readyz"
        with httpx2.Client(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if self._process.poll() is not None:
                    raise DemoError(f"the gateway did not start:\n{self.log_tail()}")
                with contextlib.suppress(httpx2.TransportError):
                    if client.get(url).status_code == 200:
                        return
                time.sleep(0.03)
        self.stop()
        raise DemoError(f"the gateway was not ready after {timeout_s:.0f} s:\n{self.log_tail()}")

    def stop(self, *, timeout_s: float = 20) -> None:
        """Let it drain and close its trail; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is not None:
            end(process, timeout_s)

    def kill(self) -> None:
        """`kill -9`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(20)

    def log_tail(self, lines: int = 15) -> str:
        """The end of what it said."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass
class Stage:
    """Everything that runs. `actors` are by login."""

    directory: Path
    postgres: EmbeddedPostgres
    company: Company
    gateway: Gateway
    actors: dict[str, Actor]
    office: Office | None = None
    simulator: Simulator | None = None
    without: str = ""
    """Why no API is served here; empty where both are."""
    mariadb: MariaDB | None = None
    """The same data in MariaDB; None where no server is."""

    def login_as(self, user: str) -> dict[str, Any]:
        """libpq's parameters for that user name at the gateway."""
        return {
            "host": "localhost",
            "port": self.company.ports["postgres"],
            "dbname": "payroll",
            "user": user,
            "sslmode": "verify-full",
            "sslrootcert": str(self.company.tls.ca),
        }


@contextlib.contextmanager
def staged(directory: Path, tell: Tell, *, fresh: bool, sizes: data.Sizes = data.Sizes()) -> Iterator[Stage]:  # noqa: B008
    """Start everything in `directory` and stop it in the end; `fresh` forgets what the gateway remembers.

    PostgreSQL's data survives in either case: it is made from a seed and nothing writes to it.
    """
    _forget(directory, fresh)
    (directory / "gateway.log").unlink(missing_ok=True)
    postgres = EmbeddedPostgres(directory / "postgres", find_binaries(tls=False))
    gateway: Gateway | None = None
    office: Office | None = None
    simulator: Simulator | None = None
    mariadb: MariaDB | None = None
    try:
        tell("starting PostgreSQL")
        postgres.start()

        def load(connection: Any) -> None:
            tell(f"making {sizes.companies} companies, {sizes.employees:,} employees, {sizes.payslips:,} payslips")
            data.load(connection, data.generate(sizes, SEED))
            create_backend_role(connection, postgres.password(BACKEND_ROLE))

        postgres.ensure_database(data.stamp(sizes, SEED), load)
        with postgres.connect() as owner:
            # also where the data are those of an earlier release
            allow_writes(owner)
        if why_not := unsupported():
            tell(f"without the back office's API and the sub-processor: {why_not}")
        else:
            tell("starting the back office and the sub-processor")
            office, simulator = Office(directory / "backoffice", postgres), Simulator(directory / "simulator")
            office.launch()
            simulator.launch()
        services = [one for one in (office, simulator) if one is not None]
        if missing := missing_programs():
            tell(f"without the same data in MariaDB, for want of {', '.join(missing)}: apt-get install mariadb-server")
        else:
            tell("starting MariaDB, with the same data")
            mariadb = MariaDB(directory / "mariadb")
            mariadb.start()
            secret = mariadb.password(mysql_data.ROLE)
            mariadb.ensure(data.stamp(sizes, SEED), lambda: mysql_data.everything(data.generate(sizes, SEED), secret))
        company, gateway = _start_gateway(directory, postgres, services, mariadb, tell)
        for one in services:
            one.ready()
        yield Stage(directory, postgres, company, gateway, _actors(company, tell), office, simulator, why_not, mariadb)
    finally:
        if gateway is not None:
            gateway.stop()
        for service in (office, simulator):
            if service is not None:
                service.stop()
        if mariadb is not None:
            mariadb.stop()
        postgres.stop()


def _start_gateway(
    directory: Path, postgres: EmbeddedPostgres, services: Collection[Service], mariadb: MariaDB | None, tell: Tell
) -> tuple[Company, Gateway]:
    attempts = 3
    for attempt in range(attempts):
        company = write_company(directory / "company", postgres, services=services, mariadb=mariadb)
        gateway = Gateway(company, directory / "gateway.log")
        tell("starting the gateway")
        try:
            gateway.start()
        except DemoError:
            # Somebody may have taken a port between the look and the start; the next look chooses another.
            if attempt == attempts - 1 or "address already in use" not in gateway.log_tail().lower():
                raise
            continue
        for name in company.moved:
            tell(f"the usual port for {name} is taken: it listens on {company.ports[name]}")
        return company, gateway
    raise DemoError("the gateway found no free port")


def _actors(company: Company, tell: Tell) -> dict[str, Actor]:
    home = company.directory / "authenticators"
    home.mkdir(mode=0o700, exist_ok=True)
    api = company.ports["api"]
    entrance = Entrance(f"https://localhost:{api}", company.tls.ca, company.state / "admin.sock")
    actors = {
        person.login: Actor(
            person.login,
            company.passwords[person.login],
            Authenticator(home / f"{person.login}.json"),
            entrance,
            tell,
        )
        for person in PEOPLE
    }
    for actor in actors.values():
        if not actor.authenticator.secret:
            tell(f"enrolling {actor.login}'s authenticator")
            actor.enrol()
    return actors


def _forget(directory: Path, fresh: bool) -> None:
    """Drop the gateway's memory, and the authenticators with it, on request or when an older version made it."""
    stamp = directory / "version"
    if not fresh and stamp.exists() and stamp.read_text() == str(VERSION):
        return
    shutil.rmtree(directory / "company", ignore_errors=True)
    stamp.write_text(str(VERSION))
