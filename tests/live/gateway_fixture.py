"""A gateway that runs in front of a real PostgreSQL, with the demonstration's people, tickets and authenticators.

`open_house` starts one as a process of its own, under the command that an installation uses; a test file that damages
or reconfigures its gateway opens a house of its own, the others share the session's.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from psycopg.conninfo import make_conninfo
from ruamel.yaml import YAML

from gateway.config import load_config
from gateway.demo import data
from gateway.demo.actor import Actor, Authenticator, Entrance
from gateway.demo.client import bare_environment
from gateway.demo.company import TARGET, TICKET, Company, write_company
from gateway.demo.data import CUSTOMER
from gateway.demo.ports import free_port
from gateway.demo.postgres import BACKEND_ROLE, EmbeddedPostgres, allow_writes, create_backend_role, find_binaries
from gateway.demo.stage import Gateway
from gateway.demo.trail import Follower
from gateway.policy.load import load_policy
from gateway.policy.masks import derive_key, render

PATIENCE_S = 10.0
_SCOPES = {
    "companies": "id = %s",
    "employees": "company_id = %s",
    "payslips": "employee_id in (select id from employees where company_id = %s)",
}


@dataclass
class House:
    """The gateway's process, its files, and the people who come to it.

    `spare` connections to the target are kept ready.
    """

    directory: Path
    postgres: EmbeddedPostgres
    company: Company
    gateway: Gateway
    spare: int = 0
    _actors: dict[str, Actor] = field(default_factory=dict)
    _opened: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def actor(self, login: str) -> Actor:
        """That person, with an authenticator that is enrolled at the first call."""
        if login not in self._actors:
            entrance = Entrance(
                f"https://localhost:{self.company.ports['api']}", self.company.tls.ca, self.company.state / "admin.sock"
            )
            path = self.directory / f"{login}.authenticator"
            actor = Actor(login, self.company.passwords[login], Authenticator(path), entrance, lambda sentence: None)
            if not actor.authenticator.secret:
                actor.enrol()
            self._actors[login] = actor
        return self._actors[login]

    def opened(self, login: str = "alice", ticket: str = TICKET, *, again: bool = False) -> dict[str, Any]:
        """What the API answered when that person opened that ticket; asked once, or `again`."""
        if again or (login, ticket) not in self._opened:
            self._opened[login, ticket] = self.actor(login).open(ticket)
        return self._opened[login, ticket]

    def parameters(self, login: str = "alice", ticket: str = TICKET, **more: Any) -> dict[str, Any]:
        """libpq's parameters for a session of that person, the pass included."""
        opened = self.opened(login, ticket)
        return self.login_as(opened["user"], opened["password"], **more)

    def login_as(self, user: str, password: str, **more: Any) -> dict[str, Any]:
        """libpq's parameters for that user name and secret."""
        return {
            "host": "localhost",
            "port": self.company.ports["postgres"],
            "dbname": TARGET,
            "user": user,
            "password": password,
            "sslmode": "verify-full",
            "sslrootcert": str(self.company.tls.ca),
            "connect_timeout": 20,
            **more,
        }

    def conninfo(self, login: str = "alice", ticket: str = TICKET, **more: Any) -> str:
        """The same as a connection string."""
        return make_conninfo("", **self.parameters(login, ticket, **more))

    def connect(self, login: str = "alice", ticket: str = TICKET, **more: Any) -> psycopg.Connection[Any]:
        """An autocommit connection of psycopg's through the gateway."""
        return psycopg.connect(self.conninfo(login, ticket, **more), autocommit=True)

    def truth(self, text: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database really holds, asked past the gateway as its owner."""
        return self.postgres.sql(text, *parameters)

    def promised(self, table: str = "employees", customer: int = CUSTOMER) -> list[dict[str, str | None]]:
        """What the policy promises to show of a table for one customer, as text, by the masks' Python rendering."""
        policy = load_policy(self.company.directory / "policies" / f"{TARGET}.yaml")
        key = derive_key((self.company.directory / "master.key").read_bytes().strip(), policy.purpose, TARGET)
        types = dict(
            self.truth(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0",
                f"public.{table}",
            )
        )
        columns = {name: rule.mask for name, rule in policy.tables[f"public.{table}"].columns.items()}
        shown = ", ".join(f"{name}::text" for name in columns)
        rows = self.truth(f"select {shown} from {table} as t where {_SCOPES[table]} order by t.id", customer)
        return [
            {
                name: render(mask, value, key, types[name])
                for (name, mask), value in zip(columns.items(), row, strict=True)
            }
            for row in rows
        ]

    def follow(self) -> Follower:
        """The trail from here on."""
        return Follower(self.company.state / "audit", skip=True)

    def records(self) -> list[dict[str, Any]]:
        """The whole trail."""
        return list(Follower(self.company.state / "audit").news())

    def metric(self, name: str) -> float:
        """A gauge without labels, from the operations port."""
        with httpx2.Client(trust_env=False, timeout=10) as client:
            text = client.get(f"http://127.0.0.1:{self.company.ports['ops']}/metrics").text
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, f"no metric {name} in\n{text}"
        return float(found[1])

    def sessions(self) -> int:
        """How many database sessions the gateway has inside."""
        return int(self.metric("gateway_sessions"))

    def backends(self) -> list[tuple[int, str]]:
        """Process id and state of the gateway's connections at the target, the idle spare ones included."""
        found = self.truth(
            "select pid, state, client_port from pg_stat_activity where usename = 'gateway_ro'"
            " and application_name <> 'gateway catalog' order by pid"
        )
        # Other gateways may stand in front of the same server; this one's road to it may lead through the test.
        own = tcp_ports(self.gateway.pid) | tcp_ports(os.getpid())
        return [(pid, state) for pid, state, port in found if port in own]

    def settled(self) -> None:
        """Wait until no session is inside and the target has only spare connections left; fail if that never comes."""
        eventually(lambda: self.sessions() == 0, lambda: f"{self.sessions()} sessions are left")
        eventually(
            lambda: len(self.backends()) <= self.spare and all(state == "idle" for _, state in self.backends()),
            lambda: f"the target still has {self.backends()}",
        )

    def rss_kib(self) -> int:
        """The resident memory of the gateway's process."""
        status = Path(f"/proc/{self.gateway.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1])

    def command(self, login: str, *arguments: str, otp: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the `gateway` command as that person, in a home of their own; with `otp` the person proves both parts."""
        home = self.directory / "home" / login
        home.mkdir(parents=True, exist_ok=True)
        environment = {**bare_environment(), "XDG_STATE_HOME": str(home), "HOME": str(home)}
        if otp:
            actor = self.actor(login)
            environment |= {"GATEWAY_PASSWORD": actor.password, "GATEWAY_OTP": actor.code()}
        return subprocess.run(
            [sys.executable, "-P", "-m", "gateway", "--config", str(self.company.config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment,
            cwd=home,
        )


@contextlib.contextmanager
def small_payroll(
    dataset: data.Dataset, seed: int, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """The operating system's PostgreSQL with TLS and SCRAM, `dataset` loaded, and the read-only backend role made."""
    # Not pytest's own directory: that one is closed to the unprivileged user whom the server runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="gateway-live-"))
    server = EmbeddedPostgres(directory, find_binaries(tls=True), tls=True, settings=settings or {})

    def load(connection: psycopg.Connection[Any]) -> None:
        data.load(connection, dataset)
        create_backend_role(connection, server.password(BACKEND_ROLE))
        allow_writes(connection)

    try:
        with server:
            server.ensure_database(data.stamp(data.SMALL, seed), load)
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def open_house(
    directory: Path,
    postgres: EmbeddedPostgres,
    *,
    settings: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    policy: str = "",
    start: bool = True,
) -> Iterator[House]:
    """Start a gateway in `directory`; `settings` go over gateway.yaml, `limits` over the policy's limits.

    With `policy`, the target has that one instead of the demonstration's. Without `start`, who calls starts it.
    """
    company = write_company(directory / "company", postgres)
    # Not the usual ports: two runs at the same time would both find them free and then fight for them.
    company = replace(company, ports={name: free_port() for name in company.ports})
    listen = {name: {"port": port} for name, port in company.ports.items()}
    change_yaml(company.config, lambda tree: merge(merge(tree, {"listen": listen}), settings or {}))
    if policy:
        (company.directory / "policies" / f"{TARGET}.yaml").write_text(policy)
    if limits:
        change_yaml(company.directory / "policies" / f"{TARGET}.yaml", lambda tree: merge(tree["limits"], limits))
    spare = load_config(company.config).targets[TARGET].spare_connections
    house = House(directory, postgres, company, Gateway(company, directory / "gateway.log"), spare)
    try:
        if start:
            house.gateway.start()
        yield house
    finally:
        house.gateway.stop()


def change_yaml(path: Path, change: Callable[[Any], None]) -> None:
    """Rewrite a YAML file, comments kept."""
    yaml = YAML()
    tree = yaml.load(path.read_text())
    change(tree)
    with path.open("w") as file:
        yaml.dump(tree, file)


def merge(tree: Any, changes: Mapping[str, Any]) -> Any:
    """The nested mapping with `changes` put over it, in place; what has a `kind` takes the place of what was there."""
    for name, value in changes.items():
        if isinstance(value, Mapping) and "kind" not in value:
            merge(tree.setdefault(name, {}), value)
        else:
            tree[name] = value
    return tree


def tcp_ports(pid: int | None) -> set[int]:
    """The local ports of a process's TCP sockets (proc(5): `fd`, `net/tcp`)."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


def eventually(
    done: Callable[[], bool], otherwise: Callable[[], str] = lambda: "it never came", patience_s: float = PATIENCE_S
) -> float:
    """Wait until `done`; the seconds that took. Fails with `otherwise` after `patience_s`."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > patience_s:
            raise AssertionError(f"after {patience_s:.0f} s: {otherwise()}")
        time.sleep(0.05)
    return time.monotonic() - start


def awaited(follower: Follower, fits: Callable[[dict[str, Any]], bool], patience_s: float = 5.0) -> dict[str, Any]:
    """The first record after the follower's place that fits; fails with what was there instead."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + patience_s
    while True:
        for record in follower.news():
            seen.append(record)
            if fits(record):
                return record
        assert time.monotonic() < deadline, f"no such record among {[(r['kind'], r.get('code')) for r in seen]}"
        time.sleep(0.02)
