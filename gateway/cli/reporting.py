"""Reports made of the trail: evidence for an auditor's framework, and what a customer may know of accesses."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import __version__
from gateway.audit import reports, transparency
from gateway.audit.bundle import Contents, write
from gateway.audit.export import check_export
from gateway.audit.period import period
from gateway.audit.verify import Report, proof_bytes
from gateway.cli.ask import download
from gateway.cli.client import Api
from gateway.cli.output import TAMPERED, Ended, emit_json, emit_text, say
from gateway.cli.setup import setup, signed_in
from gateway.errors import GatewayError

_SIGNED_S = 30.0

Since = Annotated[str | None, typer.Option("--from", help="2026-03-01, 7d, last-quarter … (UTC).")]
Until = Annotated[str | None, typer.Option("--to", help="The same; a date counts to its end.")]
Out = Annotated[Path | None, typer.Option(help="The new file; named after the report by default.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report")(report)
    app.command("transparency")(transparency_)


def report(
    framework: Annotated[str, typer.Argument(help="iso27001, soc2, pci or gdpr.")],
    since: Since = None,
    until: Until = None,
    out: Out = None,
) -> None:
    """Make an evidence report: a page for each control, the data, all records of the time, and the proof."""
    if framework not in reports.frameworks():
        raise typer.BadParameter(f"it is one of: {', '.join(sorted(reports.frameworks()))}")

    def contents(_: Api, records: Path, found: Report) -> Contents:
        return reports.contents(framework, records, found, __version__)

    _make(framework, "", since, until, out, contents)


def transparency_(
    customer: Annotated[str, typer.Option(help="The customer, as tickets name him.")],
    since: Since = None,
    until: Until = None,
    out: Out = None,
) -> None:
    """Make a customer's report: who accessed his data, when, why, which categories; no private data of staff."""

    def contents(api: Api, records: Path, found: Report) -> Contents:
        categories: dict[str, dict[str, str]] = api.get("/audit/categories")["categories"]
        return transparency.contents(customer, records, found, categories, __version__)

    _make(transparency.NAME, customer, since, until, out, contents)


def _make(
    name: str, customer: str, since: str | None, until: str | None, out: Path | None,
    contents: Callable[[Api, Path, Report], Contents],
) -> None:  # fmt: skip
    first, last = period(since, until, datetime.now(UTC))
    span = {"since": first.isoformat() if first else None, "until": last.isoformat() if last else None}
    place = out or Path(f"{name}{f'-{_fit(customer)}' if customer else ''}-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")
    if place.exists():
        raise GatewayError("configuration-invalid", f"`{place}` exists already", "--out names another file")
    api = signed_in()
    with tempfile.TemporaryDirectory(prefix="gateway-report-") as directory:
        records = Path(directory) / "records.jsonl"
        download(api, "gaps", span, records)
        found = check_export(records, str(api.get("/audit/key")["key"]))
        if not found.ok:
            for problem in found.problems:
                say(f"tampered: {problem}")
            raise Ended(TAMPERED)
        made = contents(api, records, found)
        about = {"framework": name, "digest": made.digest, **span, "customer": customer or None}
        noted = api.post("/audit/reports", about)
        proof = _proof(api, noted["record"])
        try:
            write(place, made, proof, None if customer else records)
            place.chmod(0o600)
        except OSError as error:
            raise GatewayError("configuration-invalid", f"`{place}` cannot be written: {error.strerror}") from error
    if setup().as_json:
        emit_json({"file": str(place), "record": noted["record"], "digest": made.digest})
    else:
        emit_text(str(place))
    say(f"`gateway audit verify {place} --key KEY` checks it, offline")


def _proof(api: Api, record: int) -> bytes:
    """The proof that the log holds the record, once it is signed."""
    return proof_bytes(until_signed(lambda: api.get(f"/audit/records/{record}/proof")))


def until_signed(look: Callable[[], Any]) -> Any:
    """What `look` gives once what it is about is under a signed head, which takes about a second."""
    end = time.monotonic() + _SIGNED_S
    while True:
        try:
            return look()
        except GatewayError as error:
            if error.code != "not-found" or time.monotonic() > end:
                raise
            time.sleep(0.5)


def _fit(customer: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in customer)[:40]
