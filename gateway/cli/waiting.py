"""Waiting for somebody else's decision about one's own access request."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from gateway.cli.client import Api, ApiRefused
from gateway.cli.deciding import path_id
from gateway.cli.output import clean, say
from gateway.cli.setup import server, sign_in

_SOON_S, _LATER_S, _LONG_S = 2.0, 10.0, 300.0
_OVER = ("second-factor-required", "session-expired", "authentication-failed")


def wait(api: Api, request_id: str) -> bool:
    """Wait until the request was decided; whether it was approved. Interrupting it leaves the request as it is."""
    begun = time.monotonic()
    console = Console(stderr=True)
    try:
        with console.status(f"waiting for the decision about {clean(request_id)} (interrupt to do something else)"):
            while True:
                shown = api.get(f"/requests/{path_id(request_id)}")
                if shown["state"] != "pending":
                    break
                time.sleep(_SOON_S if time.monotonic() - begun < _LONG_S else _LATER_S)
    except KeyboardInterrupt:
        say("the request still waits; once it is approved, give the same command again")
        raise
    if shown["state"] == "approved":
        by = ", ".join(shown["decided_by"])
        say(f"approved by {by}" if by else "approved")
        return True
    reason = f": {shown['decision_reason']}" if shown["decision_reason"] else ""
    say(f"the request is {shown['state']}{reason}")
    return False


def open_again(api: Api, body: Mapping[str, Any]) -> Any:
    """Open what was approved; asks for a new code when the waiting took longer than a factor is recent."""
    try:
        return api.post("/open", body)
    except ApiRefused as refused:
        if refused.code not in _OVER:
            raise
    say("the waiting took longer than a second factor counts; sign in again")
    where = server()
    renewed = Api(where, sign_in(where)["token"])
    try:
        return renewed.post("/open", body)
    finally:
        renewed.close()


def wanted(chosen: bool | None) -> bool:
    """Whether to wait: as chosen, else when there is a person at a terminal."""
    return (sys.stdin.isatty() and sys.stderr.isatty()) if chosen is None else chosen
