"""`gateway keys rotate`: seal the store anew, after the master key was changed in the configuration."""

from __future__ import annotations

from typing import Any

import typer

from gateway.cli.local import local_api
from gateway.cli.output import FAILED, Ended, emit_json, say
from gateway.cli.setup import configuration, setup

app = typer.Typer()

_LONG_S = 3600.0


@app.callback()
def _group() -> None:
    """Master keys."""


@app.command()
def rotate() -> None:
    """Seal everything in the store anew under `master_key`; afterwards no former key is needed."""
    api = local_api(configuration("the keys"))
    try:
        # a large store takes longer than other answers may
        done: dict[str, Any] = api.call("POST", "/keys/rotate", timeout=_LONG_S)
    finally:
        api.close()
    if setup().as_json:
        emit_json(done)
    else:
        say(f"{done['waiting']} values are sealed anew under the master key {done['master']}")
    if done["unreadable"]:
        say(f"{done['unreadable']} values open under none of the keys: keep `former_master_keys`, and find their key")
        raise Ended(FAILED)
    if not setup().as_json:
        say("take `former_master_keys` out of the configuration and start the gateway anew")
        say("keep the old key apart for as long as there are backups of the store from before")
