"""Master keys over the local socket: how the store stands, and sealing it anew; for whoever runs the gateway."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from gateway.access.masters import Rekeying, Standing
from gateway.console.context import given


class KeysAnswer(BaseModel):
    """The ids of the master key in force and of former ones; how much is sealed under these, or was until now."""

    master: str
    former: list[str]
    waiting: int
    unreadable: int


def add_local_routes(app: FastAPI, rekeying: Rekeying) -> None:
    """What whoever runs the gateway may do with its master keys, on its machine."""

    @app.get("/v1/keys")
    async def keys() -> KeysAnswer:
        return _answer(await rekeying.standing())

    @app.post("/v1/keys/rotate")
    async def rotate() -> KeysAnswer:
        return _answer(given(await rekeying.rotate()))


def _answer(found: Standing) -> KeysAnswer:
    return KeysAnswer(
        master=found.master, former=list(found.former), waiting=found.waiting, unreadable=found.unreadable
    )
