"""Access requests: file one without opening, look, decide, take back, and let a grant last longer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import access, deciding
from gateway.cli.client import ApiRefused
from gateway.cli.deciding import Reason, path_id
from gateway.cli.output import REFUSED, Ended, emit_facts, emit_json, moment, say
from gateway.cli.setup import setup, signed_in

app = typer.Typer()


@app.command()
def new(
    ticket: Annotated[str, typer.Argument(help="The ticket that justifies the access.")],
    target: Annotated[str | None, typer.Option(help="Which target; needed when there are several.")] = None,
    reason: Reason = "",
    duration: Annotated[str | None, typer.Option(help="How long: 30m, 2h. The policy's default otherwise.")] = None,
    reveal: Annotated[list[str] | None, typer.Option(help="A column to see in clear: schema.table.column.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Ask to write as well.")] = False,
    statement: Annotated[
        str | None,
        typer.Option("--statement", "--request", help="Ask to run this one statement, or request to an API, once."),
    ] = None,
    statement_file: Annotated[
        Path | None,
        typer.Option("--statement-file", "--request-file", help="The same in a file, `-` for standard input."),
    ] = None,
) -> None:
    """Ask for access without opening it; `gateway open` with the same options opens it once it is approved."""
    body = {
        "ticket": ticket, "target": target, "reason": reason, "duration_s": access.duration_s(duration),
        "reveal": access.whole_columns(reveal), "write": write or None,
        "statement": access.statement_text(statement, statement_file),
    }  # fmt: skip
    filed = signed_in().post("/requests", body)
    if setup().as_json:
        emit_json(filed)
        return
    emit_facts([("request", filed["id"]), ("state", filed["state"]), ("asked", moment(filed["created_at"]))])
    if filed["state"] == "pending":
        say(f"it waits for {access.who_can(filed)}")
    say(f"gateway open {filed['ticket']} opens it" + (" then" if filed["state"] == "pending" else ""))


@app.command()
def extend(
    grant: Annotated[str, typer.Argument(help="The grant's id, as `gateway status` shows it.")],
    for_: Annotated[str, typer.Option("--for", help="By how much longer: 30m, 2h.")],
    reason: Reason = "",
) -> None:
    """Let a live grant of one's own last longer; its passes and open sessions go on."""
    try:
        longer = signed_in().post(
            f"/grants/{path_id(grant)}/extend", {"seconds": access.duration_s(for_), "reason": reason}
        )
    except ApiRefused as refused:
        if refused.code != "approval-required" or not refused.request:
            raise
        if setup().as_json:
            emit_json({"request": dict(refused.request)})
        say(f"request {refused.request['id']} waits for {access.who_can(dict(refused.request))}")
        raise Ended(REFUSED) from refused
    if setup().as_json:
        emit_json(longer)
    else:
        say(f"grant {grant} lasts until {moment(longer['expires_at'])}")


app.command("list")(access.requests)
for _command in (deciding.show, deciding.approve, deciding.deny, deciding.cancel):
    app.command()(_command)
