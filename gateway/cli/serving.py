"""`gateway serve` and `gateway demo`: starting what other modules are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import Ended
from gateway.cli.setup import configuration


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(demo)


def serve() -> None:
    """Run the gateway until it is stopped (SIGTERM drains, SIGHUP reloads)."""
    config = configuration("the gateway to serve")
    from gateway.process import run

    raise Ended(run(config))


def demo(
    tour: Annotated[bool, typer.Option("--tour", help="Act the story out with a real client, then stop.")] = False,
    state: Annotated[Path | None, typer.Option(help="Where the demonstration keeps its files.")] = None,
) -> None:
    """Run a gateway with an embedded PostgreSQL, people and tickets, to try it out."""
    from gateway.demo.run import run_demo
    from gateway.demo.tour import run_tour

    raise Ended(run_tour(state) if tour else run_demo(state))
