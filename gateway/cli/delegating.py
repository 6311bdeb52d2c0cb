"""Deciding in somebody's name: who may, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from gateway.cli import access
from gateway.cli.deciding import Reason, path_id
from gateway.cli.output import Column, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in

app = typer.Typer()

_COLUMNS = (
    Column("id", "DELEGATION"),
    Column("delegator", "IN THE NAME OF"),
    Column("delegate", "DECIDES"),
    Column("from", "FROM"),
    Column("until", "UNTIL"),
    Column("state", "STATE"),
    Column("reason", "REASON"),
)


@app.command("set")
def set_(
    login: Annotated[str, typer.Argument(help="Who may decide in your name.")],
    for_: Annotated[str, typer.Option("--for", help="For how long: 8h, 7d; 90 days at the most.")],
    start: Annotated[str | None, typer.Option("--from", help="From when, as 2026-03-01T09:00Z; now otherwise.")] = None,
    reason: Reason = "",
) -> None:
    """Let somebody decide about requests in your name for a while; never about yours or his own."""
    begins = _moment(start) if start is not None else None
    ends = (begins or datetime.now(UTC)) + timedelta(seconds=access.duration_s(for_) or 0)
    body = {
        "login": login, "starts_at": begins.isoformat() if begins else None, "ends_at": ends.isoformat(),
        "reason": reason,
    }  # fmt: skip
    made = signed_in().post("/delegations", body)
    if setup().as_json:
        emit_json(made)
    else:
        say(f"{made['delegate']} may decide in the name of {made['delegator']} until {moment(made['ends_at'])}")


@app.command("list")
def list_(every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False) -> None:
    """Who decides in whose name: given and received; all of them for approvers and administrators."""
    found = signed_in().get("/delegations", live="false" if every else "true")["delegations"]
    if setup().as_json:
        emit_json(found)
    else:
        show(found)


@app.command()
def end(delegation: Annotated[str, typer.Argument(help="The delegation's id.")]) -> None:
    """Take a delegation back, or give one up."""
    ended = signed_in().post(f"/delegations/{path_id(delegation)}/end")
    if setup().as_json:
        emit_json(ended)
    else:
        say(f"{ended['delegate']} decides in the name of {ended['delegator']} no more")


def show(found: list[dict[str, Any]]) -> None:
    """Show delegations as a table."""
    rows = [{**one, "from": moment(one["starts_at"]), "until": moment(one["ends_at"])} for one in found]
    emit_table(rows, _COLUMNS, "nobody decides in another's name")


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("a moment is 2026-03-01T09:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
