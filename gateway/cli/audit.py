"""Reading the trail over the API (an auditor, signed in) and verifying it offline (anybody with the public key)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import __version__
from gateway.audit.bundle import is_report
from gateway.audit.checkpoint import Signer, create_signer, load_signer
from gateway.audit.export import check_export
from gateway.audit.lock import is_being_written
from gateway.audit.log import FileLog
from gateway.audit.reports import check as check_report
from gateway.audit.rotation import load_next_signer, next_key_path, settle_keys
from gateway.audit.schema import record_schema
from gateway.audit.verify import Report, is_export, proof_bytes, verify_log, verify_proof
from gateway.cli.output import (
    TAMPERED,
    Ended,
    clean,
    emit_facts,
    emit_json,
    emit_line,
    emit_text,
    escaped,
    moment,
    say,
)
from gateway.cli.setup import configuration, setup, signed_in
from gateway.config import Config
from gateway.errors import GatewayError

app = typer.Typer()

Who = Annotated[str | None, typer.Option(help="Login.")]
Ticket = Annotated[str | None, typer.Option(help="Ticket.")]
Customer = Annotated[str | None, typer.Option(help="Customer.")]
Target = Annotated[str | None, typer.Option(help="Target.")]
Kind = Annotated[str | None, typer.Option(help="Kind of record: statement.begin, login, grant …")]
Code = Annotated[str | None, typer.Option(help="Code of a refusal: ticket-closed …")]


@app.command()
def tail(
    person: Who = None, ticket: Ticket = None, customer: Customer = None, target: Target = None, kind: Kind = None
) -> None:
    """Follow the trail as it grows."""
    api = signed_in()
    filters = _filters(person=person, ticket=ticket, customer=customer, target=target, kind=kind)
    sessions = _Sessions()
    for item in api.stream("/audit/tail", **filters):
        if "end" in item:
            raise GatewayError(item["end"]["code"], item["end"]["message"], item["end"]["hint"])
        if "record" not in item:
            continue
        if setup().as_json:
            emit_line(item["record"])
        else:
            emit_text(line(sessions.filled(item["record"])))


@app.command()
def search(
    person: Who = None,
    ticket: Ticket = None,
    customer: Customer = None,
    target: Target = None,
    kind: Kind = None,
    code: Code = None,
    session: Annotated[str | None, typer.Option(help="Session.")] = None,
    statement: Annotated[str | None, typer.Option(help="Statement.")] = None,
    relation: Annotated[str | None, typer.Option(help="Relation read: public.employees.")] = None,
    since: Annotated[str | None, typer.Option(help="From this moment on (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this moment (ISO 8601).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
) -> None:
    """Find records; what is asked for is itself recorded."""
    filters = _filters(
        person=person,
        ticket=ticket,
        customer=customer,
        target=target,
        kind=kind,
        code=code,
        session=session,
        statement=statement,
        relation=relation,
        since=since,
        until=until,
    )
    answer = signed_in().get("/audit/records", **filters, limit=limit)
    records = answer["records"]
    if setup().as_json:
        emit_json(records)
        return
    sessions = _Sessions()
    for record in reversed(records):
        for text in entry(sessions.filled(record)):
            emit_text(text)
    if not records:
        say("no such records")
    for note in answer.get("notes", ()):
        say(f"note: {note}")
    if answer["total"] > len(records):
        say(f"the newest {len(records)} of {answer['total']}; --limit shows more")


@app.command()
def show(record: Annotated[str, typer.Argument(help="A record's id or number.")]) -> None:
    """Show one record, whole."""
    found = signed_in().get(f"/audit/records/{_id(record)}")
    if setup().as_json:
        emit_json(found)
    else:
        first = ["index", "time", "kind", "id"]
        emit_facts((name, found[name]) for name in [*first, *(n for n in found if n not in first)] if name in found)


@app.command()
def prove(
    record: Annotated[str, typer.Argument(help="A record's id or number.")],
    out: Annotated[Path | None, typer.Option(help="Write the proof to this file instead of stdout.")] = None,
) -> None:
    """Write a proof that a record is in the trail; `gateway audit verify` checks it anywhere."""
    proof = proof_bytes(signed_in().get(f"/audit/records/{_id(record)}/proof"))
    if out is None:
        print(escaped(proof.decode()), end="", flush=True)
        return
    try:
        out.write_bytes(proof)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{out}` cannot be written: {error.strerror}") from error
    say(f"wrote {out}")


@app.command()
def verify(
    path: Annotated[Path | None, typer.Argument(help="The trail's directory, a proof, an export or a report.")] = None,
    key: Annotated[str | None, typer.Option(help="The log's public key, or a file with it.")] = None,
    witness: Annotated[
        Path | None, typer.Option(help="A checkpoint of this log that was kept elsewhere, or a witness's state.")
    ] = None,
) -> None:
    """Check the trail, a proof, an export or a report offline; exit code 3 when something was tampered with."""
    place = path if path is not None else configuration("the trail's place").audit_path
    try:
        text = _public_key(key)
        if place.is_dir():
            report = verify_log(place, text, witness=witness, jobs=os.cpu_count() or 1)
        else:
            report = _check_file(place, text)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{error.filename or place}`: {error.strerror}") from error
    except ValueError as error:
        raise GatewayError(
            "configuration-invalid", f"the key cannot be used: {error}", hint="`gateway audit key` prints it"
        ) from error
    _show_report(report)
    if not report.ok:
        raise Ended(TAMPERED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the trail's records."""
    emit_json(record_schema())


@app.command("key")
def key_() -> None:
    """Print the log's public key; keep it where the gateway's operators cannot change it.

    With --config it is read on the gateway's own machine; otherwise the gateway is asked.
    """
    if setup().config is None:
        text = str(signed_in().get("/audit/key")["key"])
    else:
        path = public_key_path(configuration("the log's key").state)
        try:
            text = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise GatewayError(
                "configuration-invalid", f"`{path}` cannot be read", hint="it is made when the gateway first starts"
            ) from error
    if setup().as_json:
        emit_json({"key": text})
    else:
        emit_text(text)


@app.command("rotate-key")
def rotate_key() -> None:
    """Change the key that signs the trail, on the gateway's machine as its own user; old heads stay valid.

    With the gateway stopped it happens at once. Else a new key is made, and the gateway's next start changes to it.
    """
    config = configuration("the log's key")
    path = signing_key_path(config.state)
    try:
        if path.stat().st_uid != os.geteuid():
            raise GatewayError(
                "configuration-invalid", f"`{path}` is another user's", "run this as the gateway's own user"
            )
        following = load_next_signer(path) or create_signer(next_key_path(path), config.origin)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise GatewayError("configuration-invalid", f"the key cannot be changed: {reason}") from error
    done = _rotate_now(config, following)
    if setup().as_json:
        emit_json({"key": following.verifier.text, "in_force": done})
    else:
        emit_text(following.verifier.text)
    if done:
        say("the trail is signed with this key from here on; give it to whoever verifies, and to the witnesses")
    else:
        say("the gateway is running: its next start changes to this key; until then the old one signs")


def _rotate_now(config: Config, following: Signer) -> bool:
    """Record the rotation unless a gateway writes the trail; whether it could be."""
    path = signing_key_path(config.state)
    try:
        log = FileLog.open(
            config.audit_path,
            origin=config.origin,
            key=load_signer(path),
            next_key=following,
            clock=lambda: datetime.now(UTC),
            version=__version__,
            reason="rotate-key",
            segment_bytes=config.audit.segment_size,
            reserve_bytes=config.audit.reserve,
            replica=config.audit.replica,
        )
    except GatewayError as error:
        if error.code == "audit-not-writable" and is_being_written(config.audit_path):
            return False
        raise
    try:
        settle_keys(path, log.verifier)
    finally:
        log.close("rotate-key")
    return True


def signing_key_path(state: Path) -> Path:
    """Where the log's key lies."""
    return state / "audit.key"


def public_key_path(state: Path) -> Path:
    """Where the public half of the log's key lies."""
    return state / "audit.key.pub"


def line(record: Mapping[str, Any]) -> str:
    """A record on one line, as `tail` shows it."""
    parts = [
        str(record.get("time", ""))[11:19],
        str(record.get("kind", "")).ljust(17),
        str(record.get("login", "-")).ljust(6),
        str(record.get("ticket", "-")).ljust(9),
        _what(record),
    ]
    return " ".join(clean(part).replace("\n", " ") for part in parts).rstrip()


def entry(record: Mapping[str, Any]) -> Iterator[str]:
    """A record as `search` shows it: a line of who and when, and, if there is one, a line with its gist."""
    names = (moment(record["time"]), record["kind"], record.get("login"), record.get("ticket"), record.get("customers"))
    yield f"{record['index']:>6}  " + "  ".join(clean(name) for name in names if name).replace("\n", " ")
    gist = _what(record)
    if gist:
        yield " " * 8 + clean(gist).replace("\n", " ")


def _what(record: Mapping[str, Any]) -> str:
    """The gist of a record in a few words."""
    said: list[str] = []
    denied = record.get("decision") == "deny" or bool(record.get("code"))
    if denied:
        said.append(f"refused ({record.get('code', '?')})")
    names = (
        ("sql", "query", "reason") if denied else ("sql", "tag", "state", "query", "method", "application", "reason")
    )
    said += [str(record[name]) for name in names if record.get(name)][:1]
    if "rows" in record:
        said.append(f"{record['rows']} rows")
    if record.get("status") not in (None, "ok"):
        said.append(str(record["status"]))
    return " · ".join(said)


_DENIED = ("sql", "query", "reason")
_DONE = ("sql", "tag", "state", "query", "method", "application", "reason")


class _Sessions:
    """Fills in whose a record is when it names only its session, from the session's other records."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def filled(self, record: Mapping[str, Any]) -> dict[str, Any]:
        session = record.get("session")
        if not session:
            return dict(record)
        known = self._known.setdefault(session, {})
        known.update({name: record[name] for name in ("login", "ticket", "customers") if name in record})
        if record.get("kind") == "session.end":
            del self._known[session]
        return {**known, **record}


def _filters(**given: str | None) -> dict[str, str]:
    return {name: value for name, value in given.items() if value is not None}


def _id(record: str) -> str:
    if not record or not all(c.isascii() and (c.isalnum() or c == "-") for c in record):
        raise GatewayError("not-found", "that is not a record's id")
    return record


def _check_file(place: Path, key: str) -> Report:
    """Check a report, an export or a proof, whichever it is."""
    if is_report(place):
        return check_report(place, key, __version__)
    return (check_export if is_export(place) else verify_proof)(place, key)


def _public_key(key: str | None) -> str:
    if key is None:
        # the key beside the trail says that the trail agrees with itself; only one kept elsewhere says more
        beside = public_key_path(configuration("the log's key").state)
        say(f"note: verifying with the key of this machine, {beside}")
        return beside.read_text(encoding="utf-8").strip()
    if Path(key).is_file():
        return Path(key).read_text(encoding="utf-8").strip()
    return key


def _show_report(report: Report) -> None:
    if setup().as_json:
        emit_json(
            {
                "ok": report.ok,
                "origin": report.origin,
                "size": report.size,
                "signed_size": report.signed_size,
                "root": report.root,
                "problems": [{"record": problem.record, "what": problem.what} for problem in report.problems],
                "notes": list(report.notes),
                "record": report.record,
            }
        )
    else:
        emit_facts(
            [
                ("log", report.origin),
                ("records", report.size),
                ("signed", report.signed_size),
                ("root", report.root),
                ("proves", line(report.record) if report.record else None),
                ("verdict", "verified" if report.ok else "TAMPERED"),
            ]
        )
    for note in report.notes:
        say(f"note: {note}")
    for found in report.problems:
        say(f"tampered: {found}")
