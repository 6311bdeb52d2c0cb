"""What nobody does to the trail alone, from the command line: look at what was asked for, confirm or decline it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.cli.deciding import path_id
from gateway.cli.output import Column, emit_facts, emit_json, emit_table, moment, say
from gateway.cli.setup import setup, signed_in

ActId = Annotated[str, typer.Argument(help="The act's id.")]
Reason = Annotated[str, typer.Option(help="Why, in a few words; kept in the trail.")]

_COLUMNS = (
    Column("id", "ACT"),
    Column("does", "DOES"),
    Column("about", "ABOUT"),
    Column("login", "ASKED BY"),
    Column("asked", "ASKED"),
    Column("state", "STATE"),
    Column("reason", "REASON"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (acts, act, confirm, decline, withdraw):
        app.command()(command)
    app.command("carry-out")(carry_out)


def acts(all_: Annotated[bool, typer.Option("--all", help="Also what has ended.")] = False) -> None:
    """List what was asked for and needs a second person: opening literals, erasing, legal holds."""
    found = signed_in().get("/audit/acts", live="false" if all_ else "true")["acts"]
    if setup().as_json:
        emit_json(found)
    else:
        rows = [{**one, "about": _about(one), "asked": moment(one["filed_at"])} for one in found]
        emit_table(rows, _COLUMNS, "nothing waits for a second person")


def act(act_id: ActId) -> None:
    """Show one of them: who asks for what, and why."""
    shown = signed_in().get(f"/audit/acts/{path_id(act_id)}")
    if setup().as_json:
        emit_json(shown)
    else:
        _show(shown)


def confirm(act_id: ActId, reason: Reason = "") -> None:
    """Agree to what somebody else asked for; it is then carried out, or its asker may fetch the answer."""
    show_carried(signed_in().post(f"/audit/acts/{path_id(act_id)}/confirm", {"reason": reason}))


def decline(act_id: ActId, reason: Reason = "") -> None:
    """Turn down what somebody asked for."""
    show_carried(signed_in().post(f"/audit/acts/{path_id(act_id)}/decline", {"reason": reason}))


def withdraw(act_id: ActId) -> None:
    """Take back what one asked for oneself."""
    show_carried(signed_in().post(f"/audit/acts/{path_id(act_id)}/withdraw"))


def carry_out(act_id: ActId) -> None:
    """Have what was confirmed carried out: fetch its answer, or try again what did not work."""
    show_carried(signed_in().post(f"/audit/acts/{path_id(act_id)}/carry-out"))


def show_filed(filed: Mapping[str, Any]) -> None:
    """Say that an act was asked for, and what comes next."""
    if setup().as_json:
        emit_json(filed)
        return
    _show(filed)
    if filed["state"] == "waiting":
        say(f"it waits for a custodian: gateway audit confirm {filed['id']}")


def show_carried(answer: Mapping[str, Any]) -> None:
    """Say what became of an act, and what carrying it out gave."""
    if setup().as_json:
        emit_json(answer)
        return
    if answer["result"]:
        emit_facts(answer["result"].items())
    say(f"{answer['does']} {_about(answer)}: {answer['state']}")


def _show(shown: Mapping[str, Any]) -> None:
    emit_facts(
        [
            ("act", f"{shown['id']}, {shown['state']}"),
            ("does", shown["does"]),
            ("about", _about(shown)),
            ("value", shown["private"]),
            ("asked by", shown["login"]),
            ("asked", moment(shown["filed_at"])),
            ("reason", shown["reason"]),
            ("decided by", shown["decided_by"]),
            ("decision", shown["decision_reason"]),
        ]
    )


def _about(shown: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(shown["subject"].items()))
