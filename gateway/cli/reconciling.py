"""`gateway audit reconcile`: joins a target's own log with the trail, and shows what bypassed the gateway."""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.audit.export import check_export
from gateway.audit.reconcile import TOLERANCE_S, Reconciled, Trail, reconcile
from gateway.audit.target_log import TargetLog, read_target_log
from gateway.cli.ask import download
from gateway.cli.client import Api
from gateway.cli.output import FAILED, TAMPERED, Column, Ended, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in
from gateway.errors import GatewayError

_SLACK = timedelta(minutes=10)
_COLUMNS = ("what", "time", "role", "address", "application", "session", "record", "why", "sql")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile_)


def reconcile_(
    target: Annotated[str, typer.Option(help="The target whose log it is.")],
    log: Annotated[list[Path], typer.Option(help="A file of its log, JSON or CSV; for each file again.")],
    known: Annotated[
        list[str] | None, typer.Option(help="A role that may work beside the gateway; for each again.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="The gateway's role there, if no session says it.")] = None,
    database: Annotated[str | None, typer.Option(help="The database, if no session says it.")] = None,
    nat: Annotated[bool, typer.Option("--nat", help="The target sees other addresses than the gateway has.")] = False,
    log_timezone: Annotated[str, typer.Option(help="The zone of the log's times: Europe/Berlin, +02:00.")] = "",
    tolerance: Annotated[float, typer.Option(min=0, help="Seconds that the clocks may disagree by.")] = TOLERANCE_S,
) -> None:
    """Compare a target's own log with the trail; exit code 1 when they differ. The counts are recorded."""
    # before the factor is asked for
    told = _read(log, log_timezone)
    api = signed_in()
    with tempfile.TemporaryDirectory(prefix="gateway-reconcile-") as directory:
        trail = _trail(api, target, told, Path(directory) / "records.jsonl")
    served = set(trail.served)
    if role is not None or database is not None:
        if role is None or database is None:
            raise typer.BadParameter("--role and --database go together")
        served.add((role, database))
    if not served:
        raise GatewayError(
            "not-found", f"no session of that time says which role the gateway has at `{target}`",
            "give --role and --database, or look at the target's name",
        )  # fmt: skip
    found = reconcile(trail, told, served, known=known or (), nat=nat, tolerance_s=tolerance)
    noted = api.post(
        "/audit/reconciliations", {"target": target, **_counts(found), "known": known or [], **_files(log)}
    )
    _show(target, found, int(noted["record"]))
    if not found.clean:
        raise Ended(FAILED)


def _read(files: list[Path], zone: str) -> TargetLog:
    try:
        return read_target_log(files, zone)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{error.filename}` cannot be read: {error.strerror}") from error


def _files(files: list[Path]) -> dict[str, list[str]]:
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return {"files": digests}


def _trail(api: Api, target: str, told: TargetLog, path: Path) -> Trail:
    """The sessions of the time of the log, and of every connection that was opened before and is in it."""
    started = min([told.since, *(backend.process.started for backend in told.backends)])
    span: dict[str, str | None] = {"since": (started - _SLACK).isoformat(), "until": (told.until + _SLACK).isoformat()}
    download(api, "gaps", span, path)
    report = check_export(path, str(api.get("/audit/key")["key"]))
    if not report.ok:
        for problem in report.problems:
            say(f"tampered: {problem}")
        raise Ended(TAMPERED)
    trail = Trail(target)
    with path.open("rb") as lines:
        line = json.loads(lines.readline())
        for _ in range(line["first"], line["end"]):
            trail.take(json.loads(lines.readline()))
    return trail


def _counts(found: Reconciled) -> dict[str, Any]:
    return {
        "since": found.since.isoformat(), "until": found.until.isoformat(), "count": found.count,
        "matched": found.matched, "beside": found.number("beside"), "unrecorded": found.number("unrecorded"),
        "unseen": found.number("unseen"), "missing": found.missing, "untied": found.untied,
        "skew_us": round(found.skew / timedelta(microseconds=1)),
    }  # fmt: skip


def _show(target: str, found: Reconciled, record: int) -> None:
    rows = [finding.row() for finding in found.findings]
    if setup().as_json:
        silent = {"by_known_roles": found.known, "silent": found.silent, "record": record, "findings": rows}
        emit_json({"target": target, "clean": found.clean, **_counts(found), **silent})
        return
    shown = [{**row, "time": moment(row["time"])} for row in rows]
    emit_table(shown, [Column(name, name.upper()) for name in _COLUMNS], "nothing that the trail does not account for")
    say(
        f"{found.count} statements from {_spelt(found.since)} to {_spelt(found.until)}: {found.matched} are in the "
        f"trail, {found.known} are of known roles, {found.number('beside')} bypassed the gateway, "
        f"{found.number('unrecorded')} of its role are in no session, {found.number('unseen')} of the trail were not "
        f"seen; the clocks are {found.skew.total_seconds():.3f} s apart; record {record} notes it"
    )
    if found.missing:
        say(f"{found.missing} lines of the target's log are missing, between others of the same connections")
    if found.untied:
        say(f"{found.untied} sessions were begun before the trail said which connection is whose")
    if found.silent:
        roles = ", ".join(f"{role} ({count})" for role, count in sorted(found.silent.items()))
        say(f"connections in the log of which no statement is: {roles}; was logging turned off for them?")


def _spelt(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
