"""`gateway audit unseal` and `erase`: what two people do to the values in statements."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.cli.acts import show_carried, show_filed
from gateway.cli.deciding import path_id
from gateway.cli.setup import ask_secret, signed_in
from gateway.errors import GatewayError

Reason = Annotated[str, typer.Option(help="Why; another person decides by it, and it is kept in the trail.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (unseal, erase):
        app.command()(command)


def unseal(record: Annotated[str, typer.Argument(help="A record's id or number.")], reason: Reason) -> None:
    """Read what a statement was given: ask, let a custodian confirm it, and say it again to read it, once."""
    api = signed_in()
    filed = api.post("/audit/unseal", {"record": record, "reason": reason})
    if filed["state"] == "confirmed":
        show_carried(api.post(f"/audit/acts/{path_id(filed['id'])}/carry-out"))
    else:
        show_filed(filed)


def erase(
    reason: Reason,
    customer: Annotated[str | None, typer.Option(help="Destroy the keys of all that was sealed for him.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Destroy what was sealed with records about who has that value; `-` asks for it.")
    ] = None,
) -> None:
    """Destroy sealed literals for good, once a custodian has confirmed it; the trail still verifies."""
    if (customer is None) == (subject is None):
        raise GatewayError("request-invalid", "either a customer or a person is erased", "--customer or --subject")
    body = {"reason": reason}
    if customer is not None:
        body["customer"] = customer
    if subject is not None:
        body["subject"] = asked_value(subject)
    show_filed(signed_in().post("/audit/erase", body))


def asked_value(given: str) -> str:
    """A value, read where `-` stands for it: then it is in no list of processes and in no shell's history."""
    if given != "-":
        return given
    return ask_secret("value") if sys.stdin.isatty() else sys.stdin.readline().strip()
