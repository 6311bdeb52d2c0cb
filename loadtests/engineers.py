"""Ten support engineers at work: the servers for `locustfile.py`, and locust itself, for a bounded time.

Everybody has a password, an authenticator, and tickets of customers of their own. The servers run here; locust runs as
a child, because it replaces the standard library's input and output by its own, and gets what a person knows in a
file that only its owner may read.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from gateway.access.passwords import hash_password
from gateway.demo import data
from gateway.demo.company import Company, write_company
from gateway.demo.ports import HOST, free_port
from gateway.demo.postgres import (
    BACKEND_ROLE,
    DATABASE,
    DemoError,
    EmbeddedPostgres,
    create_backend_role,
    find_binaries,
)
from gateway.demo.stage import SEED, Gateway
from gateway.errors import GatewayError
from loadtests.processes import raise_descriptor_limit

ENGINEERS = 10
FACTS = "LOADTESTS_ENGINEERS"
"""The environment variable that names the file for locust."""

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, let them work, print what locust saw. Returns its exit status: 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m loadtests engineers", description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="how long they work")
    parser.add_argument("--engineers", type=int, default=ENGINEERS, help="how many")
    options = parser.parse_args(arguments)
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        with workplace(options.engineers, lambda sentence: print(sentence, file=sys.stderr)) as facts:
            return run_locust(facts, options.engineers, options.seconds)
    except GatewayError as error:
        print(f"loadtests: {error.refusal.message}", file=sys.stderr)
        return 1


def run_locust(facts: Path, engineers: int, seconds: int) -> int:
    """Locust without its web page, printing p50, p95, p99 and every failure at the end."""
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"]
    command += [
        "-u",
        str(engineers),
        "-r",
        "2",
        "-t",
        f"{seconds}s",
        "--stop-timeout",
        "45",
        "--exit-code-on-error",
        "1",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LOCUST_"))}
    environment |= {FACTS: str(facts), "PYTHONPATH": str(_LOCUSTFILE.parents[1])}
    return subprocess.run(command, env=environment, check=False, timeout=seconds + 180).returncode


@contextmanager
def workplace(engineers: int, tell: Callable[[str], object]) -> Iterator[Path]:
    """The payroll database and the gateway with its real policy; the path of the facts for `locustfile.py`."""
    with tempfile.TemporaryDirectory(prefix="gateway-load-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o711)
        postgres = EmbeddedPostgres(root / "postgres", find_binaries(tls=True), tls=True)
        with postgres:
            tell("making the payroll data")

            def load(connection: Any) -> None:
                data.load(connection, data.generate(data.Sizes(), SEED))
                create_backend_role(connection, postgres.password(BACKEND_ROLE))

            postgres.ensure_database(data.stamp(data.Sizes(), SEED), load)
            customers = [row[0] for row in postgres.sql("select id from public.companies order by id")]
            company, staff = _write_company(root / "company", postgres, engineers, customers)
            gateway = Gateway(company, root / "gateway.log")
            tell(f"starting the gateway for {engineers} engineers")
            gateway.start()
            try:
                yield _write_facts(root, company, staff)
                if gateway.pid is None:
                    raise DemoError(f"the gateway ended by itself:\n{gateway.log_tail()}")
            finally:
                gateway.stop()


def _write_company(
    directory: Path, postgres: EmbeddedPostgres, engineers: int, customers: Sequence[int]
) -> tuple[Company, list[dict[str, Any]]]:
    """The demonstration's company with other people, tickets and ports; who works there, with their passwords."""
    company = write_company(directory, postgres)
    company = dataclasses.replace(company, ports={name: free_port() for name in company.ports})
    yaml = YAML()
    config = yaml.load(company.config)
    for name, port in company.ports.items():
        config["listen"][name]["port"] = port
    yaml.dump(config, company.config)
    staff = []
    for number in range(engineers):
        login = f"engineer{number + 1}"
        staff.append(
            {
                "login": login,
                "password": f"{login}-{os.urandom(6).hex()}",
                "tickets": {
                    f"SUP-{2000 + 2 * number + which}": customers[(2 * number + which) % len(customers)]
                    for which in range(2)
                },
            }
        )
    _write(company.people, {"people": [_person(number, one) for number, one in enumerate(staff)]})
    _write(company.tickets, {"tickets": [ticket for one in staff for ticket in _tickets(one)]})
    return company, staff


def _person(number: int, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"p-{100 + number}",
        "login": one["login"],
        "name": f"Engineer number {number + 1}",
        "teams": ["support"],
        "email": f"{one['login']}@gateway.example",
        "password": hash_password(one["password"]),
    }


def _tickets(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for ticket, customer in one["tickets"].items():
        yield {
            "id": ticket,
            "title": "Something is wrong with a payslip",
            "status": "open",
            "assignee": one["login"],
            "customer": customer,
            "team": "support",
        }


def _write_facts(root: Path, company: Company, staff: list[dict[str, Any]]) -> Path:
    home = root / "authenticators"
    home.mkdir(mode=0o700)
    facts = {
        "api": f"https://localhost:{company.ports['api']}",
        "ca": str(company.tls.ca),
        "local": str(company.state / "admin.sock"),
        "home": str(home),
        "staff": staff,
        "database": {
            "host": HOST,
            "port": company.ports["postgres"],
            "dbname": DATABASE,
            "sslmode": "verify-full",
            "sslrootcert": str(company.tls.ca),
            "connect_timeout": 20,
        },
    }
    path = root / "facts.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(facts, file)
    return path


def _write(path: Path, tree: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(tree, file)
