"""Who has access now, and rights that a review withdrew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.cli import people, recertifying
from gateway.cli.deciding import Reason, writing
from gateway.cli.output import Column, emit_json, emit_table, left, say
from gateway.cli.setup import setup, signed_in

app = typer.Typer()
app.add_typer(
    recertifying.app, name="review", help="Reviews of who may ask for what; no answer means no.", no_args_is_help=True
)

_NOW = (
    Column("login", "WHO"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("customers", "CUSTOMER"),
    Column("reveal", "REVEAL"),
    Column("writing", "WRITE"),
    Column("approved", "APPROVED BY"),
    Column("left", "LEFT"),
    Column("open", "SESSIONS"),
    Column("id", "GRANT"),
)


@app.command()
def now() -> None:
    """Who has access at this moment: live grants and the connections open under them; for administrators, auditors."""
    found = signed_in().get("/access/now")
    if setup().as_json:
        emit_json(found)
        return
    moment = datetime.now(UTC)
    rows = [
        {
            **one,
            "writing": writing(one),
            "approved": "nobody (break-glass)" if one["break_glass"] else one["approved_by"] or "the policy",
            "left": left(one["expires_at"], moment),
            "open": ", ".join(session["address"] for session in one["sessions"]),
        }
        for one in found["grants"]
    ]
    emit_table(rows, _NOW, "nobody has access")


@app.command()
def restore(
    login: people.Login,
    right: Annotated[
        str, typer.Argument(help="read, write, reveal, break-glass, approve, administer, audit, custody.")
    ],
    target: Annotated[str | None, typer.Option(help="On which target; none for a right at the gateway itself.")] = None,
    reason: Reason = "",
    local: people.Local = False,
) -> None:
    """Give somebody else a right back that a review of access withdrew; for administrators."""
    body = {"right": right, "target": target, "reason": reason}
    answer = people.api(local).post(f"/people/{people.segment(login)}/restore", body)
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"{answer['login']} has the right to {right} again")
