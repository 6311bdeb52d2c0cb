"""`gateway audit logs` and `gateway audit reindex`: what the search index covers, and building it anew."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.output import Column, emit_json, emit_table, say
from gateway.cli.setup import setup, signed_in


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)
    app.command()(reindex)


def logs() -> None:
    """The logs that the shared index has, and up to where it covers each."""
    answer: dict[str, Any] = signed_in().get("/audit/logs")
    if setup().as_json:
        emit_json(answer)
        return
    rows = [
        {**log, "idle_s": f"{log['idle_s']:.0f} s", "silent": "silent" if log["silent"] else "alive"}
        for log in answer["logs"]
    ]
    columns = [("origin", "LOG"), ("covered", "COVERED"), ("until", "UNTIL"), ("signed", "SIGNED"),
               ("silent", "GATEWAY"), ("idle_s", "HEARD OF")]  # fmt: skip
    emit_table(rows, [Column(*one) for one in columns], "none")


def reindex() -> None:
    """Build the search index of this gateway's log anew from the log; questions wait until that is done."""
    answer: dict[str, Any] = signed_in().post("/audit/index")
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"{answer['records']} records are in the index")
