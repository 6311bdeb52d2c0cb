"""Security events as cases: look at them, look into them, sign them for a department, close them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.deciding import path_id
from gateway.cli.output import Column, emit_facts, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in

app = typer.Typer()

CaseId = Annotated[str, typer.Argument(help="The case's id.")]
_COLUMNS = (
    Column("id", "CASE"),
    Column("severity", "SEVERITY"),
    Column("title", "WHAT"),
    Column("state", "STATE"),
    Column("investigator", "WITH"),
    Column("missing", "WAITS FOR"),
    Column("changed", "CHANGED"),
)


@app.command("list")
def list_(every: Annotated[bool, typer.Option("--all", help="Also closed ones.")] = False) -> None:
    """Cases that are open; never one that is about oneself."""
    found = signed_in().get("/cases", live="false" if every else "true")["cases"]
    if setup().as_json:
        emit_json(found)
    else:
        emit_table([{**one, "changed": moment(one["changed_at"])} for one in found], _COLUMNS, "no open cases")


@app.command()
def show(case: CaseId) -> None:
    """Show a case: what happened, the records it rests on, who signed."""
    _show(signed_in().get(f"/cases/{path_id(case)}"))


@app.command()
def take(case: CaseId) -> None:
    """Look into a case oneself. For security."""
    _move(case, "take")


@app.command()
def resolve(case: CaseId, reason: Annotated[str, typer.Option(help="What was found; kept in the trail.")] = "") -> None:
    """Say what was found; the departments sign it then."""
    _move(case, "resolve", reason=reason)


@app.command()
def sign(
    case: CaseId,
    department: Annotated[str, typer.Argument(help="security, engineering, legal or communication.")],
    reason: Annotated[str, typer.Option(help="A remark; kept in the trail.")] = "",
) -> None:
    """Agree for one's department to what was found."""
    _move(case, "sign", department=department, reason=reason)


@app.command()
def close(case: CaseId, reason: Annotated[str, typer.Option(help="A remark; kept in the trail.")] = "") -> None:
    """Close a case that every department it needs has signed."""
    _move(case, "close", reason=reason)


def _move(case: str, move: str, **more: str) -> None:
    answer = signed_in().post(f"/cases/{path_id(case)}", {"move": move, **more})
    if setup().as_json:
        emit_json(answer)
        return
    waits = (
        f"; it waits for {', '.join(answer['missing'])}" if answer["state"] == "resolved" and answer["missing"] else ""
    )
    say(f"case {answer['id']} is {answer['state']}{waits}")


def _show(shown: Mapping[str, Any]) -> None:
    if setup().as_json:
        emit_json(shown)
        return
    signed = [f"{one['department']}: {one['login']}, {moment(one['at'])}" for one in shown["sign_offs"]]
    emit_facts(
        [
            ("case", f"{shown['id']}, {shown['state']}"),
            ("what", shown["title"]),
            ("severity", shown["severity"]),
            ("rule", shown["rule"]),
            ("about", shown["about"]),
            ("opened", moment(shown["opened_at"])),
            ("changed", moment(shown["changed_at"])),
            ("with", shown["investigator"]),
            ("finding", shown["finding"]),
            ("records", shown["records"]),
            ("evidence", shown["evidence"]),
            ("signed", "\n".join(signed)),
            ("waits for", shown["missing"]),
            ("closed by", shown["closed_by"]),
        ]
    )
