"""`gateway demo`: a visitor becomes alice of support, and watches what the auditor will see."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx2
import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.demo import screen
from gateway.demo.actor import Actor
from gateway.demo.backoffice.process import OFFICE
from gateway.demo.calls import bearer
from gateway.demo.client import find_psql
from gateway.demo.company import SECOND_TICKET, TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.postgres import DemoError
from gateway.demo.stage import Stage, claimed, staged, state_directory
from gateway.demo.trail import Follower, sentence, style

_VISITOR = "alice"
_CODES_SHOWN = ("alice", "carol")
_TICK_S = 0.2


def run_demo(state: Path | None = None) -> int:
    """Run until Ctrl-C (or SIGTERM); the exit code. Raises `DemoError`."""
    console = Console(highlight=False)
    with _interruptible(), claimed(state_directory("demo", state)) as directory:
        try:
            with console.status("") as status:

                def tell(sentence: str) -> None:
                    status.update(sentence)
                    if not console.is_terminal or "usual port" in sentence:
                        console.print(Text(sentence))

                with staged(directory, tell, fresh=False) as stage:
                    tell(f"opening {TICKET} for {_VISITOR}")
                    _instruct(console, stage)
                    status.stop()
                    _watch(console, stage)
        except KeyboardInterrupt:
            console.print(Text("stopped; what was started is gone, the data is kept for the next start"))
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the show as Ctrl-C does: with everything stopped in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # Once is enough: nothing may interrupt the stopping.
        for one in chosen:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    chosen = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, interrupt) for one in chosen}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _instruct(console: Console, stage: Stage) -> None:
    alice = stage.actors[_VISITOR]
    with_pass = _pass_for(stage, alice)
    by_code = make_conninfo("", **stage.login_as(f"{_VISITOR}+{SECOND_TICKET}"))
    program = "psql" if find_psql() else f"{sys.executable} -m gateway.demo.prompt"
    if program != "psql":
        console.print(
            Text(
                "There is no psql with TLS here, so a simple prompt takes its place. "
                "For psql: sudo apt-get install postgresql-client"
            )
        )
    email = _somebody(stage)
    gateway = Path(sys.executable).with_name("gateway")
    company = stage.company
    screen.show_instructions(
        console,
        actor=alice,
        others=dict(company.passwords),
        client=f'{program} "{with_pass}"',
        direct=f'{program} "{by_code}"',
        queries=[
            (
                "select * from employees limit 5;",
                f"only customer {CUSTOMER}; names are pseudonyms, salaries rounded; notes and profile do not exist",
            ),
            (
                f"select first_name, phone from employees where email = '{email}';",
                "the address she wrote from finds her, though the column itself is masked; the search is on record",
            ),
            (
                f"select count(*) from employees where company_id <> {CUSTOMER};",
                "other customers have no rows, whatever the filter",
            ),
        ],
        tickets=f"sed -i '/{TICKET}/,/status/s/open/closed/' {shlex.quote(str(company.tickets))}",
        curl=_curl_line(stage, alice) if stage.office else "",
        audit=f"GATEWAY_LOGIN=carol {gateway} --config {company.config} audit search --person alice",
    )


def _watch(console: Console, stage: Stage) -> None:
    """Show records as they come until interrupted. Raises `DemoError` when the gateway ends by itself."""
    follower = Follower(stage.company.state / "audit", skip=True)
    shown = [stage.actors[login] for login in _CODES_SHOWN]

    def show(record: dict[str, Any]) -> None:
        console.print(Text(sentence(record), style=style(record)), soft_wrap=True)

    if not console.is_terminal:
        for actor in shown:
            code, left = actor.authenticator.present()
            console.print(Text(f"{actor.login}'s code: {code or 'spent'} (for {left:.0f} s)"))
        while _alive(stage):
            for record in follower.news():
                show(record)
            time.sleep(_TICK_S)
    with Live(screen.footer(shown), console=console, auto_refresh=False, transient=True) as live:
        while _alive(stage):
            for record in follower.news():
                show(record)
            live.update(screen.footer(shown), refresh=True)
            time.sleep(_TICK_S)


def _alive(stage: Stage) -> bool:
    parts = [("the gateway", stage.gateway.pid), ("PostgreSQL", stage.postgres.pid)]
    if stage.office is not None:
        parts.append(("the back office", stage.office.pid))
    for what, pid in parts:
        if pid is None:
            raise DemoError(f"{what} ended by itself:\n{stage.gateway.log_tail()}")
    return True


def _pass_for(stage: Stage, actor: Actor) -> str:
    """Connection parameters with a live pass in a libpq password file, so that no secret stands on the screen.

    The pass of the last start is used again while it lives: a new one would cost a code, and so up to half a minute.
    """
    kept, path = stage.company.directory / "opened.json", stage.company.directory / "alice.pgpass"
    if kept.exists():
        opened = json.loads(kept.read_text())
        conninfo = _passfile(stage, opened, path)
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(conninfo, application_name="gateway demo"):
            return conninfo
    opened = actor.open(TICKET, target=TARGET)
    _write_secret(kept, json.dumps({name: opened[name] for name in ("user", "password")}))
    return _passfile(stage, opened, path)


def _curl_line(stage: Stage, actor: Actor) -> str:
    """A line to paste, with the pass in a file that curl reads its header from: no secret stands on the screen.

    The pass of the last start is used again while it lives, as that of the database is.
    """
    path, where = stage.company.directory / "alice.header", f"https://localhost:{stage.company.ports[OFFICE]}"
    employees = f"{where}/companies/{CUSTOMER}/employees"
    if not (path.exists() and _answers(stage, employees, path)):
        opened = actor.open(TICKET, target=OFFICE)
        _write_secret(path, f"Authorization: Bearer {bearer(opened)}\n")
    return (
        f"curl --cacert {shlex.quote(str(stage.company.tls.ca))} -H @{shlex.quote(str(path))} '{employees}?per_page=2'"
    )


def _answers(stage: Stage, url: str, header: Path) -> bool:
    name, _, value = header.read_text().strip().partition(": ")
    verify = ssl.create_default_context(cafile=str(stage.company.tls.ca))
    with httpx2.Client(verify=verify, trust_env=False, timeout=10) as client:
        return client.get(url, params={"per_page": 1}, headers={name: value}).status_code == 200


def _passfile(stage: Stage, opened: Mapping[str, str], path: Path) -> str:
    """Write the password file (PostgreSQL manual, 34.16) and name it in connection parameters."""
    parts = ("localhost", stage.company.ports["postgres"], "*", opened["user"], opened["password"])
    _write_secret(path, ":".join(str(part).replace("\\", "\\\\").replace(":", "\\:") for part in parts) + "\n")
    return make_conninfo("", **stage.login_as(opened["user"]), passfile=str(path))


def _write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _somebody(stage: Stage) -> str:
    """The address of an employee of the customer, as she would have written it into the ticket."""
    rows = stage.postgres.sql("select email from employees where company_id = %s order by id limit 1", CUSTOMER)
    return str(rows[0][0])
