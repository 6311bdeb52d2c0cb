"""Webhooks of ticket sources: `POST /v1/hooks/tickets/SYSTEM`, proven by the vendor's signature, not a sign-in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from gateway.console.context import From, Of, router
from gateway.console.problems import Refused, refuse

System = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


def routes() -> APIRouter:
    """The routes below /v1/hooks."""
    found = router("hooks")

    @found.post("/hooks/tickets/{system}", status_code=202)
    async def ticket_hook(system: System, request: Request, of: Of, origin: From) -> None:
        """News of a ticket; the source is asked about it now. What is not signed as the source signs is refused."""
        if of.hooks is None:
            raise refuse("not-found", "there is no such resource", "see /v1/openapi.json")
        headers = {name.lower(): value for name, value in request.headers.items()}
        refusal = of.hooks.receive(system, headers, await request.body(), origin)
        if refusal is not None:
            raise Refused(refusal)

    return found
