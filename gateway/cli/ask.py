"""`gateway audit ask`: the auditors' questions, as a table, JSON, CSV, or an export that proves its completeness."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.audit.period import period
from gateway.audit.questions import QUESTIONS, question_of
from gateway.cli.client import Api
from gateway.cli.literals import asked_value
from gateway.cli.output import Column, clean, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in
from gateway.errors import CODES, GatewayError

_TIMES = frozenset({"time", "from", "to", "since", "noticed", "opened", "expires_at"})
_PAGE = 1_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ask)


def ask(
    question: Annotated[str | None, typer.Argument(help="Its name; without one, all are listed.")] = None,
    person: Annotated[str | None, typer.Option(help="Login, or stable id.")] = None,
    ticket: Annotated[str | None, typer.Option(help="Ticket.")] = None,
    customer: Annotated[str | None, typer.Option(help="Customer.")] = None,
    target: Annotated[str | None, typer.Option(help="Target.")] = None,
    code: Annotated[str | None, typer.Option(help="Code of a refusal: ticket-closed …")] = None,
    relation: Annotated[str | None, typer.Option(help="Relation: public.employees.")] = None,
    column: Annotated[str | None, typer.Option(help="Column: email.")] = None,
    recipient: Annotated[str | None, typer.Option(help="Who got what left, of an outbound target.")] = None,
    value: Annotated[
        str | None, typer.Option(help="Who was looked up: an e-mail address, a number …; `-` asks for it.")
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="2026-03-01, 7d, last-quarter … (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="The same; a date counts to its end.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many rows before.")] = 0,
    origin: Annotated[
        str | None, typer.Option(help="The log of another gateway, or `all`, where the index is shared.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Write answer, records and proof of completeness to this new file.")
    ] = None,
) -> None:
    """Answer one of the auditors' questions; what is asked is itself recorded."""
    if question is None:
        _list()
        return
    asks = question_of(question)
    if value is not None and "value" not in asks.takes:
        raise GatewayError("request-invalid", f"`{question}` is not narrowed by --value", asks.asks)
    first, last = period(since, until, datetime.now(UTC))
    filters = {
        "person": person, "ticket": ticket, "customer": customer, "target": target, "code": code, "relation": relation,
        "column": column, "recipient": recipient,
        "since": first.isoformat() if first else None, "until": last.isoformat() if last else None,
    }  # fmt: skip
    if value is not None:
        # what is asked for are the tokens: the value itself goes no further than this
        filters["value"] = signed_in().post("/audit/tokens", {"value": asked_value(value)})["tokens"]
    if export is not None:
        if origin is not None:
            raise GatewayError(
                "request-invalid",
                "an export proves one log, where it is",
                "ask that log's gateway for it, without --origin",
            )
        _export(question, filters, export)
        return
    if origin == "all":
        answer = _answer_of_all(question, filters, limit, offset)
    else:
        answer = _answer(question, {**filters, "origin": origin}, limit, offset)
    if setup().as_json:
        emit_json(answer)
    elif as_csv:
        _emit_csv(answer)
    else:
        rows = [{name: _shown(name, row.get(name)) for name in answer["columns"]} for row in answer["rows"]]
        columns = [Column(name, name.replace("_", " ").upper()) for name in answer["columns"]]
        emit_table(rows, columns, "nothing")
    for one in answer.get("answers", [answer]):
        _say_cover(one)


def covered(answer: Mapping[str, Any]) -> str:
    """What an answer was made from, in a line."""
    log = answer["log"]
    stretch = f"records {answer['first']} to {answer['end'] - 1}" if answer["end"] > answer["first"] else "no records"
    return f"from {stretch} of `{log['origin']}`, {log['size']} signed with the root {log['root']}"


def _answer(question: str, filters: Mapping[str, str | None], limit: int, offset: int) -> dict[str, Any]:
    """The answer, from as many pages as it takes; all of them over the same stretch of the log, or it is refused."""
    api, rows, upto = signed_in(), list[dict[str, Any]](), None
    seen: tuple[Any, ...] | None = None
    while True:
        page = min(_PAGE, limit - len(rows))
        answer: dict[str, Any] = api.get(
            f"/audit/questions/{question}", **filters, limit=page, offset=offset + len(rows), upto=upto
        )
        upto, before = answer["end"], seen
        seen = answer["first"], answer["end"], answer["total"]
        if before not in (None, seen):
            raise GatewayError("request-invalid", "the answer changed between its pages", "ask again with --to")
        rows += answer["rows"]
        if len(answer["rows"]) < page or len(rows) >= min(limit, answer["total"] - offset):
            return {**answer, "rows": rows, "offset": offset}


def _answer_of_all(question: str, filters: Mapping[str, str | None], limit: int, offset: int) -> dict[str, Any]:
    """One answer for each log of the shared index, and their rows behind one another, each with its log."""
    rows: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for log in signed_in().get("/audit/logs")["logs"]:
        # a page of nothing would not say how many there are
        answer = _answer(question, {**filters, "origin": log["origin"]}, max(1, limit - len(rows)), offset)
        offset = max(0, offset - answer["total"])
        answer["rows"] = answer["rows"][: limit - len(rows)]
        rows += [{"origin": log["origin"], **row} for row in answer["rows"]]
        answers.append(answer)
    if not answers:
        raise GatewayError("not-found", "the index has no log yet", "ask again in a second")
    total, columns = sum(answer["total"] for answer in answers), ["origin", *answers[0]["columns"]]
    return {"question": question, "answers": answers, "columns": columns, "total": total, "rows": rows}


def _export(question: str, filters: Mapping[str, str | None], path: Path) -> None:
    download(signed_in(), question, filters, path)
    say(f"wrote {path}; `gateway audit verify {path} --key KEY` checks that nothing is missing")


def download(api: Api, question: str, filters: Mapping[str, str | None], path: Path) -> None:
    """Write an export to that new file, or nothing. Raises `GatewayError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise GatewayError("configuration-invalid", f"`{path}` cannot be written: {error.strerror}") from error
    last, ended = b"", False
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in api.download(f"/audit/questions/{question}/export", **filters):
                file.write(piece)
                # the beginning of the last line, which may be long
                _, newline, rest = piece.removesuffix(b"\n").rpartition(b"\n")
                last = (rest if ended or newline else last + rest)[:4096]
                ended = piece.endswith(b"\n")
        if not (ended and last.startswith(b'{"answer":')):
            raise _broken_off(last)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _broken_off(last: bytes) -> GatewayError:
    """Why the gateway ended the export early, as far as it said so."""
    try:
        end = json.loads(last)["end"]
        return GatewayError(end["code"] if end["code"] in CODES else "internal-error", end["message"], end["hint"])
    except (ValueError, KeyError, TypeError):
        return GatewayError("gateway-unavailable", "the export was broken off", "ask again")


def _list() -> None:
    rows = [
        {
            "name": one.name,
            "asks": one.asks,
            "filters": ", ".join(
                [
                    *(f"{name} (needed)" for name in one.needs),
                    *one.takes,
                ]
            ),
        }
        for one in QUESTIONS.values()
    ]
    if setup().as_json:
        emit_json(rows)
    else:
        emit_table(rows, [Column("name", "NAME"), Column("asks", "ASKS"), Column("filters", "FILTERS")], "none")


def _emit_csv(answer: Mapping[str, Any]) -> None:
    names = list(answer["columns"])
    names += sorted({name for row in answer["rows"] for name in row} - set(names))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in answer["rows"]:
        writer.writerow([_cell(row.get(name)) for name in names])
    sys.stdout.flush()


def _cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula."""
    text = clean(value).replace("\n", " ").replace("\t", " ")
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@") else text


def _shown(name: str, value: object) -> object:
    return moment(value) if name in _TIMES and value else value


def _say_cover(answer: Mapping[str, Any]) -> None:
    shown, total = len(answer["rows"]), answer["total"]
    if shown < total:
        say(f"{shown} of {total} rows, from row {answer['offset']} on; --limit and --offset show others")
    else:
        say(f"{total} rows")
    if answer["since"] or answer["until"]:
        say(f"time: from {answer['since'] or 'the beginning'} until before {answer['until'] or 'now'}")
    say(covered(answer))
    for note in answer["notes"]:
        say(f"note: {note}")
