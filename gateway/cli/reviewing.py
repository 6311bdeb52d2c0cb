"""Reviewing access that somebody took without approval, in an emergency."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.deciding import Reason, path_id
from gateway.cli.output import Column, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in

_COLUMNS = (
    Column("grant", "GRANT"),
    Column("login", "WHO"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("opened", "OPENED"),
    Column("due", "DUE"),
    Column("state", "STATE"),
    Column("reason", "REASON"),
)
_FOUND = ("justified", "unjustified", "settled")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (reviews, review):
        app.command()(command)


def reviews(every: Annotated[bool, typer.Option("--all", help="Also those that are done.")] = False) -> None:
    """Access that was taken without approval: one's own, and what one may review."""
    found = signed_in().get("/reviews", live="false" if every else "true")["reviews"]
    if setup().as_json:
        emit_json(found)
        return
    rows = [{**one, "opened": moment(one["opened_at"]), "due": moment(one["due_at"])} for one in found]
    emit_table(rows, _COLUMNS, "nothing waits for a review")


def review(
    grant: Annotated[str, typer.Argument(help="The grant's id, as `gateway reviews` shows it.")],
    found: Annotated[str, typer.Argument(help="justified, unjustified, or settled (by an administrator).")],
    reason: Reason = "",
) -> None:
    """Say what was found of an access that somebody else took without approval."""
    if found not in _FOUND:
        raise typer.BadParameter(f"it is one of: {', '.join(_FOUND)}")
    answer = signed_in().post(f"/reviews/{path_id(grant)}", {"found": found, "reason": reason})
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"the access of {answer['login']} is {answer['state']}")
