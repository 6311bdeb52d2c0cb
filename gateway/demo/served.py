"""What both APIs of the demonstration's have in common while they serve: the settings' file, TLS, the token."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse


def settings_of(path: Path) -> dict[str, Any]:
    """What `service.py` wrote for the process."""
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def serve(app: FastAPI, settings: dict[str, Any]) -> None:
    """Serve until SIGTERM."""
    uvicorn.run(
        app, host="127.0.0.1", port=settings["port"], log_level="warning", ssl_certfile=settings["certificate"],
        ssl_keyfile=settings["key"], lifespan="off", timeout_graceful_shutdown=5,
    )  # fmt: skip


def only_with(app: FastAPI, token: str) -> None:
    """Let the application answer nobody who does not show the token (RFC 6750)."""

    @app.middleware("http")
    async def only_the_gateway(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        shown = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(shown, f"Bearer {token}".encode()):
            return JSONResponse({"detail": "the service's token is missing"}, 401, {"WWW-Authenticate": "Bearer"})
        return await go_on(request)
