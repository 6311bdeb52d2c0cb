"""Signing in and out, opening access, and what is asked for and open now."""

from __future__ import annotations

import os
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import client, connection, waiting
from gateway.cli.client import Api, ApiRefused
from gateway.cli.deciding import Reason, path_id, writing
from gateway.cli.output import (
    REFUSED,
    Column,
    Ended,
    emit_facts,
    emit_json,
    emit_table,
    emit_text,
    left,
    moment,
    say,
    show_refusal,
)
from gateway.cli.setup import server, setup, sign_in, signed_in
from gateway.errors import GatewayError
from gateway.policy.schema import FIELD_OF_ROUTE
from gateway.settings import seconds

_GRANTS = [
    Column("id", "GRANT"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("customers", "CUSTOMER"),
    Column("writing", "WRITE"),
    Column("left", "LEFT"),
]
_REQUESTS = [
    Column("id", "REQUEST"),
    Column("login", "WHO"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("state", "STATE"),
    Column("reveal", "REVEAL"),
    Column("writing", "WRITE"),
    Column("reason", "REASON"),
]
_PASSES = [
    Column("id", "PASS"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("made", "MADE"),
]
_WAITING = [
    Column("id", "WAITS"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("reveal", "REVEAL"),
    Column("writing", "WRITE"),
    Column("who", "FOR"),
]
_BUDGETS = [
    Column("target", "TARGET"),
    Column("budget", "BUDGET"),
    Column("of", "LEFT"),
]
_SESSIONS = [
    Column("id", "SESSION"),
    Column("login", "WHO"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("address", "FROM"),
    Column("application", "CLIENT"),
    Column("since", "SINCE"),
    Column("protection", "PROTECTION"),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(login)
    app.command()(logout)
    app.command("open")(open_)
    for command in (status, revoke, requests, sessions):
        app.command()(command)


def login(
    name: Annotated[str | None, typer.Argument(metavar="[LOGIN]", help="Who signs in, with a password.")] = None,
    browser: Annotated[bool, typer.Option("--browser", help="At the identity provider, in a browser.")] = False,
    device: Annotated[bool, typer.Option("--device", help="At the identity provider, with its device code.")] = False,
) -> None:
    """Sign in with password and code, or at the identity provider; later commands use it for 15 minutes."""
    if browser and device:
        raise typer.BadParameter("choose one: --browser or --device")
    where = server()
    answer = sign_in(where, name, "browser" if browser else "device" if device else None)
    until = client.remember_token(where, answer, setup().environ)
    if setup().as_json:
        emit_json({"person": answer["person"], "roles": answer["roles"], "until": until.isoformat()})
    else:
        say(f"signed in as {answer['person']['login']} until {moment(until)}")


def logout() -> None:
    """End the sign-in, here and at the gateway."""
    where, environ = server(), setup().environ
    kept = client.kept_token(where, environ)
    client.forget_token(environ)
    if kept is None:
        say("there was no sign-in")
        return
    api = client.Api(where, kept[1])
    try:
        api.post("/sign-out")
    except GatewayError as error:
        if error.code not in ("session-expired", "authentication-failed"):
            raise
    say("signed out")


def open_(
    ticket: Annotated[str, typer.Argument(help="The ticket that justifies the access.")],
    target: Annotated[str | None, typer.Option(help="Which target; needed when there are several.")] = None,
    reason: Reason = "",
    duration: Annotated[str | None, typer.Option(help="How long: 30m, 2h. The policy's default otherwise.")] = None,
    reveal: Annotated[
        list[str] | None, typer.Option(help="To see in clear: schema.table.column, route.$.path.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Ask to write as well; somebody else must approve.")] = False,
    statement: Annotated[
        str | None,
        typer.Option(
            "--statement",
            "--request",
            help="Ask to run this one statement, or request to an API, once; somebody else must approve it.",
        ),
    ] = None,
    statement_file: Annotated[
        Path | None,
        typer.Option("--statement-file", "--request-file", help="The same in a file, `-` for standard input."),
    ] = None,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="Do without approval, in an emergency: told at once, and reviewed.")
    ] = False,
    wait: Annotated[
        bool | None,
        typer.Option("--wait/--no-wait", help="Wait for the decision where one is needed; at a terminal by default."),
    ] = None,
    save_pgpass: Annotated[bool, typer.Option("--save-pgpass", help="Keep the pass in ~/.pgpass.")] = False,
    save_service: Annotated[bool, typer.Option("--save-service", help="Keep a ~/.pg_service.conf entry.")] = False,
    execute: Annotated[
        bool, typer.Option("--exec", help="Start what follows (psql ARGS…) with the connection in its environment.")
    ] = False,
) -> None:
    """Open access to one ticket's customer and show how to connect."""
    options = setup()
    if execute and not options.child:
        raise typer.BadParameter("name a program after it, as in: gateway open SUP-1423 --exec psql")
    text = statement_text(statement, statement_file)
    body = {
        "ticket": ticket,
        "target": target,
        "reason": reason,
        "duration_s": duration_s(duration),
        "reveal": whole_columns(reveal),
        "write": write or None,
        "statement": text,
        "break_glass": break_glass or None,
    }
    api = signed_in()
    try:
        answer = _open(api, body, waiting.wanted(wait))
    finally:
        api.close()
    if break_glass:
        say("you broke the glass: security was told, and somebody else will review it (gateway reviews)")
    opened = connection.from_answer(answer, client.state_directory(options.environ))
    if opened.engine != "postgres" and (save_pgpass or save_service):
        raise typer.BadParameter("a password file and a service entry are PostgreSQL's; this target is none")
    if save_pgpass:
        say(f"pass kept in {connection.save_pgpass(opened, options.environ)}")
    if save_service:
        say(f"service `{opened.service}` kept in {connection.save_service(opened, options.environ)}")
    if execute and options.child:
        say(f"customer {opened.customer}, until {moment(opened.expires_at)}")
        child = options.child
        if opened.engine == "mysql":
            kept = connection.save_options(opened, client.state_directory(options.environ))
            child = connection.with_options(child, kept)
        _become(child, connection.child_environment(opened, options.environ))
    elif options.as_json:
        emit_json(opened.as_json())
    else:
        _show_opened(opened)


def _open(api: Api, body: dict[str, Any], wait: bool) -> Any:
    """What `POST /open` answers, after the decision where one is needed and `wait` says so."""
    try:
        return api.post("/open", body)
    except ApiRefused as refused:
        if refused.code != "approval-required" or not refused.request:
            raise
        request = dict(refused.request)
        _show_waiting(refused, wait)
    if wait and waiting.wait(api, str(request.get("id"))):
        return waiting.open_again(api, body)
    raise Ended(REFUSED)


def status() -> None:
    """Who is signed in, what one holds and until when, what waits for whom, and what is left of budgets."""
    api = signed_in()
    me, mine, live = api.get("/whoami"), api.get("/status"), api.get("/sessions")
    if setup().as_json:
        emit_json({"person": me, **mine, "sessions": live["sessions"]})
        return
    emit_facts(
        [
            ("person", f"{me['person']['login']} ({me['person']['name']})"),
            ("teams", me["person"]["teams"]),
            ("roles", me["roles"]),
            ("second factor", f"{me['factor']} at {moment(me['factor_at'])}"),
        ]
    )
    _show_grants(mine["grants"])
    if mine["passes"]:
        emit_table([{**one, "made": moment(one["made_at"])} for one in mine["passes"]], _PASSES, "")
    if mine["requests"]:
        waits = [{**one, "writing": writing(one), "who": who_can(one)} for one in mine["requests"]]
        emit_table(waits, _WAITING, "")
    if mine["budgets"]:
        emit_table([{**one, "of": f"{one['left']} of {one['limit']}"} for one in mine["budgets"]], _BUDGETS, "")
    for one in mine["delegations"]:
        say(f"{one['delegate']} decides in the name of {one['delegator']} until {moment(one['ends_at'])}")
    _show_sessions(live["sessions"])


def revoke(grant: Annotated[str, typer.Argument(help="The grant's id.")], reason: Reason = "") -> None:
    """End a grant at once; its open sessions are cut."""
    answer = signed_in().post(f"/grants/{path_id(grant)}/revoke", {"reason": reason})
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"grant {grant} is revoked")


def requests(every: Annotated[bool, typer.Option("--all", help="Decided ones as well.")] = False) -> None:
    """Access requests: one's own, and those that one may decide."""
    found = signed_in().get("/requests", state=None if every else "pending")["requests"]
    if setup().as_json:
        emit_json(found)
    else:
        emit_table([{**one, "writing": writing(one)} for one in found], _REQUESTS, "no requests")


def sessions() -> None:
    """Open connections: one's own, and those that one may end."""
    found = signed_in().get("/sessions")["sessions"]
    if setup().as_json:
        emit_json(found)
    else:
        _show_sessions(found)


def _show_api(opened: connection.Connection) -> None:
    emit_facts(
        [
            ("address", opened.url),
            ("token", opened.token),
            ("root certificate", opened.sslrootcert),
            ("customer", opened.customer),
            ("writing", writing({"write": opened.write, "statement": opened.statement})),
            ("until", moment(opened.expires_at)),
        ]
    )
    emit_text("")
    authority = f" --cacert {shlex.quote(opened.sslrootcert)}" if opened.sslrootcert != connection.SYSTEM_ROOTS else ""
    emit_text(f"curl{authority} -H 'Authorization: Bearer {opened.token}' {opened.url}/")
    alone = f", in a file for {opened.url}/ alone" if opened.prefix else ""
    say(f"or a line for --netrc-file{alone}: machine {opened.host} login {opened.user} password ...")
    say("the token is shown this once; it is the pass, with the user name in front")


def _show_opened(opened: connection.Connection) -> None:
    if opened.engine == "http":
        _show_api(opened)
        return
    emit_facts(
        [
            ("host", opened.host),
            ("port", opened.port),
            ("database", opened.database),
            ("user", opened.user),
            ("password", opened.password),
            ("root certificate", opened.sslrootcert),
            ("customer", opened.customer),
            ("writing", writing({"write": opened.write, "statement": opened.statement})),
            ("until", moment(opened.expires_at)),
        ]
    )
    emit_text("")
    if opened.engine == "mysql":
        kept = connection.save_options(opened, client.state_directory(setup().environ))
        emit_text(f"mariadb --defaults-file={shlex.quote(str(kept))}")
        say("the password is shown this once; the file has it too, until the pass ends")
        return
    emit_text(f"psql '{opened.uri(with_password=False)}'")
    say("the password is shown this once; `--exec psql` starts a client without showing it")


def _show_waiting(refused: ApiRefused, wait: bool) -> None:
    request = dict(refused.request or {})
    if setup().as_json and not wait:
        emit_json({"request": request})
    if not wait:
        show_refusal(refused.refusal)
    say(f"request {request.get('id')} waits for {who_can(request)}")
    if not wait:
        say("once it is approved, give the same command again")


def who_can(request: dict[str, Any]) -> str:
    """Who can approve a request: how many, of which teams, and some of them by name."""
    teams = ", ".join(request.get("approvers") or []) or "an approver"
    people = ", ".join(request.get("people") or [])
    return f"{request.get('approvals_needed', 1)} of: {teams}" + (f" ({people})" if people else "")


def _show_grants(grants: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    rows = [
        {**grant, "left": left(grant["expires_at"], now), "writing": writing(grant)}
        for grant in grants
        if grant["state"] == "active"
    ]
    emit_table(rows, _GRANTS, "no live grants")


def _show_sessions(found: list[dict[str, Any]]) -> None:
    rows = [{**one, "since": moment(one["started_at"])} for one in found]
    emit_table(rows, _SESSIONS, "no open sessions")


def whole_columns(names: list[str] | None) -> list[str] | None:
    """Columns as they have to be named. Raises `typer.BadParameter`."""
    for name in names or ():
        of_route = re.fullmatch(FIELD_OF_ROUTE, name) is not None
        if not of_route and (name.count(".") != 2 or not all(name.split("."))):
            example = f"public.{name}" if name.count(".") == 1 else "public.employees.email"
            raise typer.BadParameter(f"`{name}` is not schema.table.column: --reveal {example}, for instance")
    return names or None


def statement_text(statement: str | None, file: Path | None) -> str | None:
    """The statement of a line that may name one in a file. Raises `typer.BadParameter`."""
    if statement is not None and file is not None:
        raise typer.BadParameter("give the statement once: --statement or --statement-file")
    text = _read_statement(file) if file is not None else statement
    if text is not None and not text.strip():
        raise typer.BadParameter("the statement is empty")
    return text


def _read_statement(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"`{path}` cannot be read as text") from error


def duration_s(duration: str | None) -> int | None:
    """`30m` or `2h` as seconds; None for None. Raises `typer.BadParameter`."""
    if duration is None:
        return None
    try:
        return int(seconds(duration))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _become(child: tuple[str, ...], environ: dict[str, str]) -> None:
    try:
        os.execvpe(child[0], list(child), environ)  # noqa: S606 - the person names the program; no shell reads it
    except OSError as error:
        raise GatewayError(
            "configuration-invalid", f"`{Path(child[0]).name}` cannot be started: {error.strerror}"
        ) from error
