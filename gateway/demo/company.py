"""The people, tickets, policies and configuration of the demonstration, as the files that a real installation has.

Passwords are made for each state directory and kept there, readable by its owner only. People and tickets are
written anew at every start, so that whatever the last visitor edited is as the story needs it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.access.passwords import hash_password
from gateway.demo.backoffice.process import OFFICE
from gateway.demo.data import CUSTOMER
from gateway.demo.mariadb import MariaDB
from gateway.demo.mysql_data import DATABASE as LEDGER_DATABASE
from gateway.demo.mysql_data import ROLE as LEDGER_ROLE
from gateway.demo.ports import free_port
from gateway.demo.postgres import BACKEND_ROLE, DATABASE, DemoError, EmbeddedPostgres
from gateway.demo.service import Service
from gateway.demo.simulator.process import SIMULATOR
from gateway.demo.tls import LOOPBACK, ServerTls, make_server_tls

TARGET, LEDGER = "payroll", "ledger"
TICKET = "SUP-1423"
CLOSED_TICKET = "SUP-1424"
FOREIGN_TICKET = "SUP-1425"
SECOND_TICKET = "SUP-1426"
PORTS = {"postgres": 6432, "api": 8443, "ops": 9464}
MYSQL_PORT = 3307


@dataclass(frozen=True, slots=True)
class Person:
    """One member of the company's staff."""

    id: str
    login: str
    name: str
    teams: tuple[str, ...]


PEOPLE = (
    Person("p-001", "alice", "Alice Marchand", ("support",)),
    Person("p-002", "amir", "Amir Haddad", ("support",)),
    Person("p-003", "bob", "Bob Lefèvre", ("security",)),
    Person("p-004", "bea", "Béatrice Morin", ("security",)),
    Person("p-005", "carol", "Carol Fontaine", ("audit",)),
    Person("p-006", "dan", "Dan Roussel", ("engineering",)),
)

TICKETS: tuple[dict[str, Any], ...] = (
    {
        "id": TICKET,
        "title": "Payslip of September shows the wrong net amount",
        "status": "open",
        "assignee": "alice",
        "customer": CUSTOMER,
        "team": "support",
    },
    {
        "id": CLOSED_TICKET,
        "title": "New hire missing from the list of employees",
        "status": "closed",
        "assignee": "alice",
        "customer": CUSTOMER,
        "team": "support",
    },
    {
        "id": FOREIGN_TICKET,
        "title": "Bank details of a leaver have to be checked",
        "status": "open",
        "assignee": "amir",
        "customer": CUSTOMER + 1,
        "team": "support",
    },
    {
        "id": SECOND_TICKET,
        "title": "Two employees share one e-mail address",
        "status": "in_progress",
        "assignee": "alice",
        "customer": CUSTOMER - 1,
        "team": "support",
    },
    {
        "id": "SUP-1427",
        "title": "How do I export all payslips? (no customer given)",
        "status": "open",
        "assignee": "alice",
        "team": "support",
    },
    {
        "id": "OPS-77",
        "title": "Disk of the payroll database is 80 % full",
        "status": "open",
        "assignee": "alice",
        "customer": CUSTOMER,
        "team": "engineering",
    },
)


@dataclass(frozen=True, slots=True)
class Company:
    """Where everything was written, and what the demonstration knows that nobody else does.

    `moved` holds the names of listeners whose usual port was taken.
    """

    directory: Path
    config: Path
    tickets: Path
    people: Path
    tls: ServerTls
    passwords: Mapping[str, str]
    ports: Mapping[str, int]
    moved: tuple[str, ...]

    @property
    def state(self) -> Path:
        """The gateway's own state: requests, grants, factors and the audit trail."""
        return self.directory / "state"


def write_company(
    directory: Path,
    postgres: EmbeddedPostgres,
    choose_port: Callable[[int], int] = free_port,
    services: Collection[Service] = (),
    mariadb: MariaDB | None = None,
) -> Company:
    """Write all files for a gateway in front of what runs (`postgres`, `services`, `mariadb`) into `directory`.

    `choose_port` gets the usual port of a listener and returns the one to use.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    kept = _secrets(directory / "passwords.json")
    passwords = {login: entry["password"] for login, entry in kept.items()}
    people, tickets, config = directory / "people.yaml", directory / "tickets.yaml", directory / "gateway.yaml"
    _replace(people, _yaml({"people": list(_people(kept))}))
    write_tickets(tickets)
    _copy_policies(directory / "policies", {one.name for one in services} | ({LEDGER} if mariadb else set()))
    tls = make_server_tls(directory / "tls", "Gateway", LOOPBACK)
    if not (directory / "master.key").exists():
        _replace(directory / "master.key", secrets.token_urlsafe(48), mode=0o600)
    _replace(directory / "backend.password", postgres.password(BACKEND_ROLE), mode=0o600)
    listeners = PORTS | ({"mysql": MYSQL_PORT} if mariadb else {})
    usual = listeners | {one.name: one.usual_port for one in services}
    ports = {name: choose_port(port) for name, port in usual.items()}
    moved = tuple(name for name, port in ports.items() if port != usual[name])
    settings = _settings(postgres, {name: ports[name] for name in listeners}, tls)
    settings["targets"] |= {one.name: one.target(ports[one.name]) for one in services}
    if mariadb is not None:
        _replace(directory / "ledger.password", mariadb.password(LEDGER_ROLE), mode=0o600)
        settings["targets"][LEDGER] = _ledger(mariadb)
    _replace(config, "# Written by the demonstration at every start.\n" + _yaml(settings))
    return Company(directory, config, tickets, people, tls, passwords, ports, moved)


def write_tickets(path: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write the tickets, each with what `changes` says about it: `{"SUP-1423": {"status": "closed"}}`."""
    tickets = [{**ticket, **(changes or {}).get(ticket["id"], {})} for ticket in TICKETS]
    _replace(path, "# Edit and save: the gateway sees it within a second.\n" + _yaml({"tickets": tickets}))


def write_people(company: Company, teams: Mapping[str, tuple[str, ...]]) -> None:
    """Write the people, with other teams for the logins in `teams`."""
    entries = list(_people(_secrets(company.directory / "passwords.json")))
    for entry in entries:
        entry["teams"] = list(teams.get(entry["login"], entry["teams"]))
    _replace(company.people, _yaml({"people": entries}))


def _settings(postgres: EmbeddedPostgres, ports: Mapping[str, int], tls: ServerTls) -> dict[str, Any]:
    trust: dict[str, Any] = {"tls": "verify-full", "ca": str(postgres.ca)} if postgres.tls else {"tls": "off"}
    return {
        "origin": "demo.gateway.example/1",
        "state": "state",
        "listen": {name: {"host": "127.0.0.1", "port": port} for name, port in ports.items()},
        "tls": {"certificate": str(tls.certificate), "key": str(tls.key), "ca": str(tls.ca)},
        "master_key": {"file": "master.key"},
        "directory": {"kind": "file", "path": "people.yaml"},
        "tickets": {"kind": "file", "system": "tickets", "path": "tickets.yaml"},
        "policies": "policies",
        "targets": {
            TARGET: {
                "engine": "postgres",
                "host": "127.0.0.1",
                "port": postgres.port,
                "database": DATABASE,
                "user": BACKEND_ROLE,
                "password": {"file": "backend.password"},
                **trust,
            }
        },
        "roles": {"administrators": ["security"], "auditors": ["audit"], "custodians": ["security"]},
        # Small files: a demonstration must not fill a disk.
        "audit": {"segment_size": "4MiB", "reserve": "4MiB"},
    }


def _ledger(mariadb: MariaDB) -> dict[str, Any]:
    return {
        "engine": "mysql",
        "host": "localhost",
        "port": mariadb.port,
        "database": LEDGER_DATABASE,
        "user": LEDGER_ROLE,
        "password": {"file": "ledger.password"},
        "ca": str(mariadb.ca),
        "pseudonyms_of": TARGET,
    }


def _secrets(path: Path) -> dict[str, dict[str, str]]:
    """Password and hash of each login, made at the first start: hashing is slow on purpose."""
    if not path.exists():
        made = {person.login: f"{person.login}-{secrets.token_hex(4)}" for person in PEOPLE}
        found = {login: {"password": password, "hash": hash_password(password)} for login, password in made.items()}
        _replace(path, json.dumps(found), mode=0o600)
    kept: dict[str, dict[str, str]] = json.loads(path.read_text())
    return kept


def _people(kept: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for person in PEOPLE:
        yield {
            "id": person.id,
            "login": person.login,
            "name": person.name,
            "teams": list(person.teams),
            "email": f"{person.login}@gateway.example",
            "password": kept[person.login]["hash"],
        }


def _copy_policies(directory: Path, beside: Collection[str]) -> None:
    source = Path(__file__).resolve().parents[2] / "policies"
    if not (source / f"{TARGET}.yaml").is_file():
        raise DemoError(f"the demonstration runs from the project's directory; there is no {source}")
    shutil.rmtree(directory, ignore_errors=True)
    # Contents only: the modes of a checkout are whatever its maker's umask was, and others may not change a policy.
    shutil.copytree(source, directory, copy_function=shutil.copyfile)
    for name in {OFFICE, SIMULATOR, LEDGER} - set(beside):
        for path in directory.glob(f"{name}*.yaml"):
            path.unlink()
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _yaml(tree: Mapping[str, Any]) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096
    out = StringIO()
    yaml.dump(dict(tree), out)
    return out.getvalue()


def _replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file whole or not at all, so that a watcher never sees half of it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
