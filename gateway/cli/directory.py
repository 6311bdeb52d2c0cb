"""What the gateway understands of a person, asked as the gateway asks; on its own machine, with its configuration."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.output import emit_facts, emit_json
from gateway.cli.setup import configuration, setup
from gateway.errors import GatewayError

app = typer.Typer()


@app.callback()
def _group() -> None:
    """Keep `test` a command of its own, though there is no other yet."""


@app.command()
def test(login: Annotated[str, typer.Argument(help="As the person signs in.")]) -> None:
    """Ask the directory for a person as the gateway does, and show what it understands: id, teams, account."""
    from gateway.access.directory.opening import open_directory

    directory = open_directory(configuration("the directory").directory)
    try:
        found = directory.find(login)
    except GatewayError as error:
        detail = f": {error.refusal.detail}" if error.refusal.detail else ""
        raise GatewayError(error.code, error.refusal.message + detail, "`gateway doctor` asks every server") from error
    finally:
        directory.close()
    if found is None:
        raise GatewayError(
            "not-found",
            f"there is nobody with the login `{login[:64]}` for the gateway",
            "he is below `directory.people.base`, matches its filter, has an id and this login only, as nobody else",
        )
    facts = {
        "id": found.id,
        "login": found.login,
        "name": found.name,
        "teams": sorted(found.teams),
        "email": found.email,
        "human": found.human,
        "active": found.active,
        "because": found.inactive_because,
    }
    if setup().as_json:
        emit_json(facts)
        return
    shown = {**facts, "teams": ", ".join(sorted(found.teams)) or "none", "active": "yes" if found.active else "no"}
    emit_facts((name, value) for name, value in shown.items() if value != "")
