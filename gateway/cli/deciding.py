"""Looking at an access request, and deciding about it.

INVARIANT: a statement is approved here only after its rows were shown; `--yes` leaves out the question, never the rows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.client import Api, ApiRefused
from gateway.cli.output import (
    REFUSED,
    Column,
    Ended,
    clean,
    emit_facts,
    emit_json,
    emit_table,
    emit_text,
    moment,
    say,
    show_refusal,
)
from gateway.cli.setup import setup, signed_in
from gateway.errors import GatewayError, Refusal

_EARLIER = (
    Column("at", "ASKED"),
    Column("target", "TARGET"),
    Column("ticket", "TICKET"),
    Column("same", "SAME CUSTOMER"),
    Column("state", "STATE"),
    Column("reveal", "REVEAL"),
    Column("writing", "WRITE"),
    Column("reason", "REASON"),
)

Reason = Annotated[str, typer.Option(help="Why, in a few words; kept in the trail.")]
InName = Annotated[str, typer.Option("--for", help="In whose name, for a delegate of several.")]
RequestId = Annotated[str, typer.Argument(help="The request's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (show, approve, deny, cancel):
        app.command()(command)


def show(request: RequestId) -> None:
    """Show an access request: who, why, the ticket as it is now, and what its statement would change."""
    api = signed_in()
    shown = api.get(f"/requests/{path_id(request)}")
    preview, refused = _look(api, shown, "")
    if setup().as_json:
        emit_json({**shown, "preview": preview})
    else:
        _show(shown, preview)
    _say_refused(refused)


def approve(
    request: RequestId,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after showing what a statement would change.")] = False,
    in_name_of: InName = "",
) -> None:
    """Approve somebody else's access request; of a statement it shows first what it would change, and asks."""
    api = signed_in()
    shown = api.get(f"/requests/{path_id(request)}")
    if _waits_with_statement(shown):
        _confirm(api, shown, yes, in_name_of)
    elif not setup().as_json:
        preview, refused = _look(api, shown, in_name_of)
        _show(shown, preview)
        _say_refused(refused)
    body = {"reason": reason, "in_name_of": in_name_of or None}
    answer = api.post(f"/requests/{path_id(request)}/approve", body)
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"request {request} is {answer['state']}")


def deny(request: RequestId, reason: Reason = "", in_name_of: InName = "") -> None:
    """Deny an access request, with the reason that its requester reads."""
    _end(request, "deny", {"reason": reason, "in_name_of": in_name_of or None})


def cancel(request: RequestId) -> None:
    """Take one's own access request back."""
    _end(request, "cancel", None)


def path_id(value: str) -> str:
    """The id as a segment of a path; nothing that could leave the segment is sent."""
    if not value or not all(c.isascii() and (c.isalnum() or c in "-_") for c in value):
        raise GatewayError("not-found", "that is not an id")
    return value


def writing(answer: Mapping[str, Any]) -> str:
    """What a request or grant may write, in a word or two."""
    if not answer.get("write"):
        return ""
    if not (answer.get("digest") or answer.get("statement")):
        return "yes"
    return "one statement, done" if answer.get("spent") else "one statement"


def _end(request: str, what: str, body: dict[str, Any] | None) -> None:
    answer = signed_in().post(f"/requests/{path_id(request)}/{what}", body)
    if setup().as_json:
        emit_json(answer)
    else:
        say(f"request {request} is {answer['state']}")


def _confirm(api: Api, shown: Mapping[str, Any], yes: bool, in_name_of: str) -> None:
    """Show what would change, and ask; ends the command when the answer is no."""
    preview = _previewed(api, shown, in_name_of)
    if setup().as_json:
        # the document is the decision's; what it rests on goes where messages go
        say("\n".join(_lines(shown, preview)))
    else:
        _show(shown, preview)
    if yes:
        return
    if not sys.stdin.isatty():
        show_refusal(
            Refusal(
                "preview-required",
                "there is no terminal to ask whether this is approved",
                "--yes approves what was shown",
            )
        )
        raise Ended(REFUSED)
    if not typer.confirm("approve this statement?", default=False, err=True):
        say("nothing was approved")
        raise Ended(REFUSED)


def _look(api: Api, shown: Mapping[str, Any], in_name_of: str) -> tuple[Any, Refusal | None]:
    """The preview of a request that waits for a decision and has something to show; or why it is not shown."""
    waits = shown["state"] == "pending" and (shown["statement"] or shown["reveal"])
    if not waits or shown["problem"] is not None:
        return None, None
    try:
        return _previewed(api, shown, in_name_of), None
    except ApiRefused as error:
        return None, error.refusal


def _previewed(api: Api, shown: Mapping[str, Any], in_name_of: str) -> Any:
    named = {"params": {"in_name_of": in_name_of}} if in_name_of else {}
    return api.call("POST", f"/requests/{path_id(shown['id'])}/preview", **named)


def _say_refused(refused: Refusal | None) -> None:
    if refused is not None:
        say("the rows are not shown")
        show_refusal(refused)


def _waits_with_statement(shown: Mapping[str, Any]) -> bool:
    return shown["state"] == "pending" and bool(shown["statement"])


def _show(shown: Mapping[str, Any], preview: Mapping[str, Any] | None) -> None:
    ticket = shown["ticket_now"]
    asked = f"{shown['login']} ({shown['name']}), of {', '.join(shown['teams'])}"
    needed = f"{shown['approvals_needed']} of: {', '.join(shown['approvers'])}"
    if shown.get("people"):
        needed += f" ({', '.join(shown['people'])})"
    emit_facts(
        [
            ("request", f"{shown['id']}, {shown['state']}"),
            ("who", asked if shown["login"] else "nobody whom the directory knows"),
            ("target", shown["target"]),
            ("ticket", f"{ticket['id']}, {ticket['status']}: {ticket['title']}" if ticket else shown["ticket"]),
            ("ticket with", ticket["assignee"] if ticket else "the source knows no such ticket"),
            ("customer", ticket["customers"] if ticket else ""),
            ("reason", shown["reason"]),
            ("reveal", shown["reveal"]),
            ("writing", writing(shown)),
            ("lasts", f"{shown['duration_s'] // 60} min from its approval"),
            ("asked", moment(shown["created_at"])),
            ("extends", shown.get("extends", "")),
            ("needs", needed if shown["state"] == "pending" else ""),
            ("decided by", shown["decided_by"]),
            ("decision", shown["decision_reason"]),
        ]
    )
    write = shown["would_write"]
    if shown["statement"]:
        _block("statement", shown["statement"])
    if write is not None:
        if write["canonical"] != shown["statement"]:
            _block("as it would run", write["canonical"])
        emit_text("")
        emit_text(_effect(write))
    if shown["problem"] is not None:
        emit_text("")
        emit_text(f"this would be refused now ({shown['problem']['code']}): {shown['problem']['message']}")
    if shown.get("earlier"):
        emit_text("")
        emit_text("asked for before:")
        emit_table(
            [
                {
                    **one,
                    "at": moment(one["created_at"]),
                    "writing": writing(one),
                    "same": "yes" if one["same_customer"] else "",
                }
                for one in shown["earlier"]
            ],
            _EARLIER,
            "",
        )
    if preview is not None:
        _show_rows(preview)


def _show_rows(preview: Mapping[str, Any]) -> None:
    emit_text("")
    if preview["columns"]:
        columns = [Column(str(place), name) for place, name in enumerate(preview["columns"])]
        rows = [{str(place): _value(value) for place, value in enumerate(row)} for row in preview["rows"]]
        emit_table(rows, columns, "it would meet no row")
    emit_text(_count(preview))


def _lines(shown: Mapping[str, Any], preview: Mapping[str, Any]) -> list[str]:
    """The same in short, for standard error."""
    rows = [
        ", ".join(f"{name}={_value(value)}" for name, value in zip(preview["columns"], row, strict=True))
        for row in preview["rows"]
    ]
    return [shown["statement"], preview["would_write"]["canonical"], _effect(preview["would_write"]), *rows,
            _count(preview)]  # fmt: skip


def _count(preview: Mapping[str, Any]) -> str:
    if preview["would_write"] is None and preview["columns"][:1] == ["field"]:
        return "these fields of the ticket's customer could be seen in clear, each in answers to that request"
    if preview["would_write"] is None:
        return "so many rows of the ticket's customer could be seen in clear"
    if _is_request(preview["would_write"]):
        return "the request is all that there is to see: an API does not say beforehand what it would do"
    if not preview["columns"]:
        return f"it meets no row that exists; it would add at most {preview['would_write']['rows']}"
    many = f"{len(preview['rows'])} row{'' if len(preview['rows']) == 1 else 's'}"
    many = f"more than {many}" if preview["more"] else many
    most = preview["would_write"]["rows"]
    over = len(preview["rows"]) > most or preview["more"]
    return f"it would meet {many}" + (f": more than {most}, so it would be refused when it runs" if over else "")


def _effect(write: Mapping[str, Any]) -> str:
    columns = f" ({', '.join(write['columns'])})" if write["columns"] else ""
    if _is_request(write):
        return f"{write['verb']} by the route {write['relation']}{columns}, once"
    return (
        f"{write['verb']} {write['relation']}{columns}, at most {write['rows']} row{'' if write['rows'] == 1 else 's'}"
    )


def _is_request(write: Mapping[str, Any]) -> bool:
    """Whether it is a request to an API, and no statement of SQL."""
    return str(write["canonical"]).startswith(f"{write['verb']} /")


def _block(title: str, text: str) -> None:
    emit_text("")
    emit_text(f"{title}:")
    for line in clean(text).splitlines():
        emit_text(f"    {line}")


def _value(value: str | None) -> str:
    return "(null)" if value is None else value
