"""What the gateway understands of a ticket, asked as the gateway asks; on its own machine, with its configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.output import emit_facts, emit_json
from gateway.cli.setup import configuration, setup
from gateway.errors import GatewayError

app = typer.Typer()


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own, though there is no other yet."""


@app.command()
def check(ticket: Annotated[str, typer.Argument(help="The ticket's id: SUP-1423.")]) -> None:
    """Ask a ticket's source as the gateway does, and show what it understands: state, assignee, customer, project."""
    from gateway.access.tickets.sources import open_sources

    sources = open_sources(configuration("the ticket sources").tickets)
    try:
        found = sources.find(ticket)
    except GatewayError as error:
        detail = f": {error.refusal.detail}" if error.refusal.detail else ""
        raise GatewayError(error.code, error.refusal.message + detail, "`gateway doctor` asks all of them") from error
    finally:
        sources.close()
    if found is None:
        raise GatewayError(
            "ticket-not-found",
            f"there is no ticket `{ticket[:64]}` for the gateway",
            "its id is written as at its source, with a project of `tickets`; moved and deleted ones are gone",
        )
    facts = {
        "id": found.id,
        "system": found.system,
        "project": found.project,
        "state": found.status,
        "assignee": found.assignee or found.assignee_email,
        "team": found.team,
        "customers": list(found.customers),
        "title": found.title,
        "url": found.url,
        "updated": found.updated_at.isoformat() if found.updated_at else "",
    }
    if setup().as_json:
        emit_json(facts)
        return
    shown = {**facts, "customers": ", ".join(found.customers) or "none: this ticket justifies no access"}
    shown["assignee"] = facts["assignee"] or "nobody that the gateway knows"
    emit_facts(shown.items())
