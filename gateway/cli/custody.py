"""Keeping the trail, from the command line: legal holds, and what retention would do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from gateway.audit.period import period
from gateway.cli.acts import show_filed
from gateway.cli.deciding import path_id
from gateway.cli.output import Column, emit_facts, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in
from gateway.errors import GatewayError

Reason = Annotated[str, typer.Option(help="Why; kept in the trail.")]
_COLUMNS = (
    Column("id", "HOLD"),
    Column("about", "ABOUT"),
    Column("asked_by", "ASKED BY"),
    Column("confirmed_by", "CONFIRMED BY"),
    Column("set", "SET"),
    Column("lifted", "LIFTED"),
    Column("reason", "REASON"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(holds)
    app.command()(hold)
    app.command("lift-hold")(lift_hold)
    app.command()(prune)


def holds(all_: Annotated[bool, typer.Option("--all", help="Also those that were lifted.")] = False) -> None:
    """List the legal holds: what is kept whatever the retention says."""
    found = signed_in().get("/audit/holds", live="false" if all_ else "true")["holds"]
    if setup().as_json:
        emit_json(found)
        return
    rows = [{**one, "about": _about(one), "set": moment(one["set_at"]), "lifted": _moment(one)} for one in found]
    emit_table(rows, _COLUMNS, "nothing is held")


def hold(
    reason: Reason,
    customer: Annotated[str, typer.Option(help="Records of this customer.")] = "",
    person: Annotated[str, typer.Option(help="Records that name this person: id or login.")] = "",
    ticket: Annotated[str, typer.Option(help="Records of this ticket.")] = "",
    target: Annotated[str, typer.Option(help="Records of this target.")] = "",
    since: Annotated[str | None, typer.Option("--from", help="From then on: a date, a moment, last-quarter …")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Until then, the whole day for a date.")] = None,
) -> None:
    """Ask for a legal hold on the records that fit all of this; a custodian confirms it."""
    first, last = period(since, until, datetime.now(UTC))
    body: dict[str, Any] = {"customer": customer, "person": person, "ticket": ticket, "target": target}
    times = {"since": first, "until": last}
    body |= {name: one.isoformat() for name, one in times.items() if one is not None}
    show_filed(signed_in().post("/audit/holds", {**body, "reason": reason}))


def lift_hold(hold_id: Annotated[str, typer.Argument(help="The hold's id.")], reason: Reason) -> None:
    """Ask for a legal hold to be lifted; a custodian confirms it."""
    show_filed(signed_in().post(f"/audit/holds/{path_id(hold_id)}/lift", {"reason": reason}))


def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go; the gateway itself lets it go.")
    ] = False,
) -> None:
    """Show what the gateway's daily look would prune and compress; nobody prunes by hand."""
    if not dry_run:
        raise GatewayError(
            "request-invalid", "the gateway prunes once a day by itself, and nobody by hand",
            "gateway audit prune --dry-run",
        )  # fmt: skip
    found = signed_in().get("/audit/retention")
    if setup().as_json:
        emit_json(found)
        return
    gone = f"{found['first']} up to {found['to']}" if found["segments"] else "none"
    emit_facts(
        [
            ("rule", found["rule"]),
            ("by the time", moment(found["now"])),
            ("records to go", gone),
            ("segments", found["segments"]),
            ("bytes", found["bytes"]),
            ("to compress", found["frozen"]),
            ("kept by", f"{found['hold']}, from record {found['held']} on" if found["hold"] else None),
        ]
    )
    if found["clock_ahead_s"] > 3600:
        say(f"note: the clock is {found['clock_ahead_s'] / 3600:.0f} h ahead of what is believed; a week proves it")


def _about(one: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(one["subject"].items()))


def _moment(one: dict[str, Any]) -> str:
    return moment(one["lifted_at"]) if one["lifted_at"] else ""
