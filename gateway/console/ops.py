"""Health, readiness, metrics and version for the machine's own probes: plain HTTP on loopback, no authentication.

INVARIANT: nothing here names a person, a ticket, a customer or a statement, so it needs no secret to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from gateway import __version__
from gateway.console.problems import install, refuse
from gateway.console.serve import Guard

Readiness = Callable[[], Mapping[str, str]]
"""What is not ready, as part -> reason in a few words; empty when all is."""

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def create_ops_app(*, registry: CollectorRegistry, readiness: Readiness) -> FastAPI:
    """The operations application. `readiness` is asked at each `/readyz`; it must not block."""
    app = FastAPI(
        title="gateway operations",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(_named_locally)],
    )
    install(app)
    app.add_middleware(Guard)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        missing = dict(readiness())
        return JSONResponse(
            {"status": "not ready" if missing else "ok", "missing": missing}, status_code=503 if missing else 200
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/version")
    async def version() -> dict[str, str]:
        return {"version": __version__}

    return app


async def _named_locally(request: Request) -> None:
    # a web page in a browser on this machine could reach loopback under a name of its own (DNS rebinding)
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in _LOOPBACK:
        raise refuse("not-found", "there is no such host here")
