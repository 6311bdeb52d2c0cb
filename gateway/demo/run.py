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
from gateway.demo.calls import bearer, curl_line
from gateway.demo.client import find_psql
from gateway.demo.company import LEDGER, SECOND_TICKET, TARGET, TICKET
from gateway.demo.data import CUSTOMER
from gateway.demo.mariadb_client import MariaDBClient, write_options
from gateway.demo.postgres import DemoError
from gateway.demo.simulator.process import SIMULATOR
from gateway.demo.stage import Stage, claimed, staged, state_directory
from gateway.demo.trail import Follower, sentence, style

_VISITOR = "alice"
_CODES_SHOWN = ("alice", "bob", "carol")
_TICK_S = 0.2


def run_demo(state: Path | None = None) -> int:
    """Run until Ctrl-C (or SIGTERM); the exit code. Raises `DemoError`."""
    console = Console(highlight=False)
    with _interruptible(), claimed(state_directory("demo", state)) as directory:
        try:
            with console.status("") as status:

                def tell(sentence: str) -> None:
                    status.update(sentence)
                    if not console.is_terminal or "usual port" in sentence or sentence.startswith("without "):
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
        elsewhere=[
            *_ledger_lines(stage, alice),
            *_api_lines(stage, alice, f"{gateway} --config {company.config}"),
        ],
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
    if stage.simulator is not None:
        parts.append(("the sub-processor", stage.simulator.pid))
    if stage.mariadb is not None:
        parts.append(("MariaDB", stage.mariadb.pid))
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


def _ledger_lines(stage: Stage, actor: Actor) -> Iterator[tuple[str, list[str]]]:
    """How to look at the same data in MariaDB; nothing where there is none."""
    if stage.mariadb is None:
        return
    path = stage.company.directory / "alice.ledger.cnf"
    known = path.exists() and f"port={stage.company.ports['mysql']}\n" in path.read_text()
    if not (known and not MariaDBClient(path).run("select 1").error):
        opened = actor.open(TICKET, target=LEDGER)
        write_options(
            path, port=stage.company.ports["mysql"], user=opened["user"], password=opened["password"], database=LEDGER,
            ca=stage.company.tls.ca,
        )  # fmt: skip
    yield (
        "Look at the same people in MariaDB, under the same pseudonyms (show tables; describe employees;):",
        [f"mariadb --defaults-file={shlex.quote(str(path))}"],
    )


def _api_lines(stage: Stage, actor: Actor, gateway: str) -> Iterator[tuple[str, list[str]]]:
    """What to do with the APIs; nothing where none is served."""
    if stage.office is None or stage.simulator is None:
        return
    (header, office), (to_simulator, simulator) = _api_passes(stage, actor, OFFICE, SIMULATOR)
    ca, company = stage.company.tls.ca, f"{office}/companies/{CUSTOMER}"
    yield (
        "Ask the back office's API about the same people, and find the same pseudonyms; the last is a page:",
        [
            curl_line(ca, header, f"{company}/employees?per_page=2"),
            curl_line(ca, header, f"{company}/export.csv"),
            curl_line(ca, header, f"{company}/overview"),
        ],
    )
    number = stage.postgres.sql("select min(id) from employees where company_id = %s", CUSTOMER)[0][0]
    patch = f'PATCH /companies/{CUSTOMER}/employees/{number} {{"status": "notice"}}'
    yield (
        "Ask for a change through it as alice, and approve that very request as bob (with their codes):",
        [
            f"GATEWAY_LOGIN=alice {gateway} open {TICKET} --target {OFFICE} --request {shlex.quote(patch)} "
            "--reason 'her contract ends' --no-wait",
            f"GATEWAY_LOGIN=bob {gateway} requests",
            f"GATEWAY_LOGIN=bob {gateway} approve REQUEST --reason 'as agreed'",
        ],
    )
    body = stage.company.directory / "simulation.json"
    _write_secret(body, _simulation(stage))
    send = curl_line(
        ca, to_simulator, f"{simulator}/companies/{CUSTOMER}/simulations", "-H", "Content-Type: application/json",
        "--data-binary", f"@{body}",
    )  # fmt: skip
    yield (
        "Send somebody's data to a sub-processor, see what it received, and ask about it as carol:",
        [
            send,
            f"cat {shlex.quote(str(stage.simulator.kept))}",
            f"GATEWAY_LOGIN=carol {gateway} audit ask transmissions --customer {CUSTOMER}",
        ],
    )


def _api_passes(stage: Stage, actor: Actor, *targets: str) -> Iterator[tuple[Path, str]]:
    """For each target a file that curl reads its header from, so that no secret is on the screen; and where the API is.

    The passes of the last start are used again while they live, as that of the database is: they were made together, so
    the first is asked for all.
    """
    places = [
        (stage.company.directory / f"alice.{name}", f"https://localhost:{stage.company.ports[name]}")
        for name in targets
    ]
    path, where = places[0]
    known = all(file.exists() for file, _ in places)
    if not (known and _answers(stage, f"{where}/companies/{CUSTOMER}/employees?per_page=1", path)):
        for name, (file, _) in zip(targets, places, strict=True):
            _write_secret(file, f"Authorization: Bearer {bearer(actor.open(TICKET, target=name))}\n")
    yield from places


def _simulation(stage: Stage) -> str:
    """What alice would send to the sub-processor: what the ticket says of somebody, as it says it."""
    names = "first_name, last_name, email, nir, birth_date::text"
    (row,) = stage.postgres.sql(
        f"select {names} from employees where company_id = %s order by id limit 1",
        CUSTOMER,
    )
    employee = dict(zip(names.replace("::text", "").split(", "), row, strict=True))
    return json.dumps({"employee": employee, "period": "2026-09", "gross": 3140.55}, ensure_ascii=False, indent=1)


def _answers(stage: Stage, url: str, header: Path) -> bool:
    name, _, value = header.read_text().strip().partition(": ")
    verify = ssl.create_default_context(cafile=str(stage.company.tls.ca))
    with httpx2.Client(verify=verify, trust_env=False, timeout=10) as client:
        return client.get(url, headers={name: value}).status_code == 200


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
