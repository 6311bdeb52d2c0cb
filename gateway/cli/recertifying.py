"""Reviews of who may ask for what: start one, answer its lines, close it, and take its signed result along."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import __version__
from gateway.audit import recertification
from gateway.audit.bundle import write
from gateway.audit.verify import proof_bytes
from gateway.cli import access
from gateway.cli.client import Api
from gateway.cli.deciding import Reason, path_id
from gateway.cli.output import Column, emit_facts, emit_json, emit_table, emit_text, moment, say
from gateway.cli.reporting import until_signed
from gateway.cli.setup import setup, signed_in
from gateway.errors import GatewayError

app = typer.Typer()

ReviewId = Annotated[str, typer.Argument(help="The review's id.")]
Person = Annotated[str | None, typer.Option(help="Only the lines of this login.")]
Target = Annotated[str | None, typer.Option(help="Only the lines about this target; `-` for the gateway itself.")]
RightOf = Annotated[str | None, typer.Option(help="Only the lines about this right: read, write, reveal …")]
Unused = Annotated[bool, typer.Option("--unused", help="Only what was not used for 90 days.")]

_REVIEWS = (
    Column("id", "REVIEW"),
    Column("state", "STATE"),
    Column("started", "STARTED"),
    Column("due", "DUE"),
    Column("closed", "CLOSED"),
    Column("started_by", "BY"),
)
_LINES = (
    Column("number", "LINE"),
    Column("login", "WHO"),
    Column("target", "TARGET"),
    Column("right", "RIGHT"),
    Column("teams", "FROM"),
    Column("used", "LAST USE"),
    Column("uses_90d", "90 DAYS"),
    Column("answer", "ANSWER"),
    Column("now", "WOULD BE"),
)


@app.command()
def start(
    for_: Annotated[str, typer.Option("--for", help="How long there is to answer: 14d.")] = "14d",
) -> None:
    """Begin a review of who may ask for what: every right of everybody who is known here. For administrators."""
    due = datetime.now(UTC) + timedelta(seconds=access.duration_s(for_) or 0)
    begun = signed_in().post("/access/reviews", {"due_at": due.isoformat()})
    if setup().as_json:
        emit_json(begun)
    else:
        say(f"review {begun['id']} until {moment(begun['due_at'])}; what nobody confirms by then is withdrawn")


@app.command("list")
def list_(live: Annotated[bool, typer.Option("--open", help="Only the one that is open.")] = False) -> None:
    """Reviews of who may ask for what."""
    found = signed_in().get("/access/reviews", live="true" if live else "false")["reviews"]
    if setup().as_json:
        emit_json(found)
        return
    rows = [
        {**one, "started": moment(one["started_at"]), "due": moment(one["due_at"]),
         "closed": moment(one["closed_at"]) if one["closed_at"] else ""}
        for one in found
    ]  # fmt: skip
    emit_table(rows, _REVIEWS, "there was no review yet: gateway access review start")


@app.command()
def show(
    review: Annotated[str | None, typer.Argument(help="The review's id; the one that is open without it.")] = None,
    person: Person = None,
    target: Target = None,
    right: RightOf = None,
    unused: Unused = False,
    waiting: Annotated[bool, typer.Option("--open", help="Only what nobody has answered who may.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write the signed result of a closed review into this file.")
    ] = None,
) -> None:
    """Show a review with the last use beside each line; or write its result, for `gateway audit verify`."""
    api = signed_in()
    review = review or _open(api)
    if export is not None:
        _export(api, review, export)
        return
    shown = api.get(f"/access/reviews/{path_id(review)}")
    lines = [
        one
        for one in shown["lines"]
        if _fits(one, person, target, right, unused) and not (waiting and one["why"] in ("", "revoked"))
    ]
    if setup().as_json:
        emit_json({**shown, "lines": lines})
        return
    emit_facts(
        [
            ("review", f"{shown['id']}, {shown['state']}"),
            ("started", f"{moment(shown['started_at'])} by {shown['started_by']}"),
            ("due", moment(shown["due_at"])),
            ("closed", f"{moment(shown['closed_at'])} by {shown['closed_by']}" if shown["closed_at"] else ""),
            ("record", shown["record"]),
        ]
    )
    emit_table([_row(one) for one in lines], _LINES, "no such lines")


@app.command()
def decide(
    review: ReviewId,
    decision: Annotated[str, typer.Argument(help="keep or revoke.")],
    lines: Annotated[list[int] | None, typer.Argument(help="The numbers of the lines; or choose by options.")] = None,
    person: Person = None,
    target: Target = None,
    right: RightOf = None,
    unused: Unused = False,
    reason: Reason = "",
) -> None:
    """Answer lines of a review: those numbers, or all that fit the options; never one's own."""
    if decision not in ("keep", "revoke"):
        raise typer.BadParameter("it is `keep` or `revoke`")
    api = signed_in()
    numbers = lines or []
    if not numbers:
        if not (person or target or right or unused):
            raise typer.BadParameter("name lines by number, or choose them: --person, --target, --right, --unused")
        shown = api.get(f"/access/reviews/{path_id(review)}")
        me = api.get("/whoami")["person"]["login"]
        fitting = [one for one in shown["lines"] if _fits(one, person, target, right, unused)]
        numbers = [one["number"] for one in fitting if one["login_now"] != me]
    if not numbers:
        raise GatewayError("not-found", "no line fits", f"gateway access review show {review}")
    body = {"lines": numbers, "decision": decision, "reason": reason}
    answered = api.post(f"/access/reviews/{path_id(review)}/decide", body)
    if setup().as_json:
        emit_json(answered)
    else:
        say(f"{answered['answered']} lines: {decision}")


@app.command()
def close(review: ReviewId) -> None:
    """Close a review whose lines are all answered; one that is due is closed by itself. For administrators."""
    closed = signed_in().post(f"/access/reviews/{path_id(review)}/close")
    if setup().as_json:
        emit_json(closed)
    else:
        say(f"review {review} is closed; gateway access review show {review} --export FILE.zip takes the result along")


def _open(api: Api) -> str:
    """The id of the review that is open."""
    reviews = api.get("/access/reviews?live=true")["reviews"]
    if not reviews:
        raise GatewayError("not-found", "no review is open", "gateway access review list")
    return str(reviews[0]["id"])


def _export(api: Api, review: str, place: Path) -> None:
    result = until_signed(lambda: api.get(f"/access/reviews/{path_id(review)}/result"))
    document = str(result["document"]).encode()
    made = recertification.contents(result["review"], document, __version__)
    try:
        write(place, made, proof_bytes(result["proof"]))
        place.chmod(0o600)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{place}` cannot be written: {error.strerror}") from error
    emit_text(str(place))
    say(f"`gateway audit verify {place} --key KEY` checks it, offline")


def _fits(line: Mapping[str, Any], person: str | None, target: str | None, right: str | None, unused: bool) -> bool:
    return (
        person in (None, line["login"], line["login_now"])
        and (target is None or line["target"] == ("" if target == "-" else target))
        and right in (None, line["right"])
        and not (unused and line["uses_90d"])
    )


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    renamed = one["login_now"] not in (one["login"], "")
    answer = f"{one['decision']} ({one['decided_by']}: {one['reason']})" if one["decision"] else ""
    return {
        **one,
        "login": f"{one['login']} (now {one['login_now']})" if renamed else one["login"],
        "target": one["target"] or "(gateway)",
        "used": moment(one["last_use"]) if one["last_use"] else "never",
        "answer": answer,
        "now": one["outcome"] + (f": {one['why']}" if one["why"] else ""),
    }
