"""The payroll in MariaDB with columns that may be written: statement by statement, and by a grant for writing."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mysql_house import DATABASE, ROLE, TARGET, MysqlHouse, open_mysql_house, payroll_server, root

from gateway.demo import data
from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres

SEED = 2026
WRITE = f"""
write:
  {DATABASE}.employees: {{update: [status], rows: 2, approval: statement}}
  {DATABASE}.companies: {{update: [plan], approval: request}}
  {DATABASE}.payslips:
    {{insert: [employee_id, period, gross, net, paid_on], update: [paid_on], delete: true, rows: 3, approval: request}}
"""
RIGHTS = (
    "UPDATE (status) ON payroll.employees",
    "UPDATE (plan) ON payroll.companies",
    "INSERT (employee_id, period, gross, net, paid_on), UPDATE (paid_on), DELETE ON payroll.payslips",
)


@contextlib.contextmanager
def writing_house(directory: Path, postgres: EmbeddedPostgres) -> Iterator[MysqlHouse]:
    """A gateway whose policy lets two columns be written, with an account that may."""
    with payroll_server(directory / "server", data.generate(data.SMALL, SEED)) as server:
        root(server, "ALTER TABLE payslips MODIFY id BIGINT NOT NULL AUTO_INCREMENT")
        for right in RIGHTS:
            for host in ("localhost", "'127.0.0.1'"):
                root(server, f"GRANT {right} TO {ROLE}@{host}")
        with open_mysql_house(
            directory / "house", postgres, server, change={"\nreveal:\n": f"{WRITE}\nreveal:\n"}
        ) as house:
            yield house


def run(house: MysqlHouse, login: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """A command of somebody who signed in beforehand."""
    if not (house.house.directory / "home" / login / "gateway" / "session.json").exists():
        signed_in = house.house.command(login, "login", login, otp=True)
        assert signed_in.returncode == 0, signed_in.stderr
    done = house.house.command(login, *words)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(house: MysqlHouse, login: str, *words: str, code: int = 0) -> Any:
    """What a command says as JSON."""
    return json.loads(run(house, login, *words, "--output", "json", code=code).stdout)


def opened(house: MysqlHouse, *words: str, code: int = 0) -> Any:
    """What `gateway open` answers to alice."""
    return answer(house, "alice", "open", TICKET, "--target", TARGET, *words, code=code)


def approved(house: MysqlHouse, statement: str) -> Any:
    """A grant for one statement, which somebody else approved."""
    request = opened(house, "--statement", statement, "--reason", "typo", code=77)["request"]["id"]
    run(house, "bob", "approve", request, "--yes")
    return opened(house, "--statement", statement)


def writing(house: MysqlHouse) -> Any:
    """A grant for writing in general, which somebody else approved; the one that there is already, if there is one."""
    words = ("open", TICKET, "--target", TARGET, "--write", "--reason", "many typos", "--output", "json")
    run(house, "alice", "status")
    found = json.loads(house.house.command("alice", *words).stdout)
    if "request" not in found:
        return found
    run(house, "bob", "approve", found["request"]["id"], "--yes")
    return opened(house, "--write")
