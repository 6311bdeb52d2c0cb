"""Refusals as RFC 9457 problem documents.

INVARIANT: a problem says what `errors.py` says and nothing more: no input is echoed, no exception text, no
`detail`. `type` stays `about:blank` (section 4.2.1), so `title` is the status phrase; the stable `code` and the
`hint` are extension members (section 3.2), and they are what programs and people read.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError, Refusal

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger("gateway.console")


class Mistake(BaseModel):
    """One field that is wrong: where it is and what is wrong with it; never its value."""

    model_config = ConfigDict(extra="forbid")

    field: str
    message: str


class Problem(BaseModel):
    """A refusal. `code` is stable and documented; `detail` is for people; `hint` says what to do next."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    instance: str = Field(default="", description="identifies this occurrence in the technical log")
    errors: list[Mistake] = Field(default_factory=list)
    request: dict[str, Any] | None = Field(default=None, description="the access request that waits, if there is one")


class Refused(Exception):
    """Carries a refusal, and the access request that it left behind, out of a route."""

    def __init__(self, refusal: Refusal, request: dict[str, Any] | None = None) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.request = request


def refuse(code: str, message: str, hint: str = "") -> Refused:
    """A refusal of the API's own, ready to raise."""
    return Refused(Refusal(code, message, hint))


def problem(refusal: Refusal, http: int = 0, **extra: Any) -> JSONResponse:
    """The answer for that refusal; `http` is the status where the code's own would be too coarse."""
    status = http or refusal.meaning.http
    document = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=refusal.message,
        code=refusal.code,
        hint=refusal.hint,
        **extra,
    )
    headers = {"WWW-Authenticate": 'Bearer realm="gateway"'} if status == HTTPStatus.UNAUTHORIZED else {}
    body = document.model_dump(exclude_defaults=True) | {"type": document.type}
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def fault(error: Exception, route: str) -> JSONResponse:
    """The answer for a fault of ours, which goes to the technical log under the same `instance`."""
    instance = f"fault:{secrets.token_hex(8)}"
    # an exception's text may quote its input, so only its type and place are logged
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    _log.error(
        "api.fault",
        instance=instance,
        fault=type(error).__name__,
        file=place.tb_frame.f_code.co_filename if place else "",
        line=place.tb_lineno if place else 0,
        route=route,
    )
    refusal = Refusal("internal-error", "a fault of the gateway", "tell the operators the instance shown here")
    return problem(refusal, instance=instance)


def install(app: FastAPI) -> None:
    """Turn every refusal of a route into a problem document; `serve.Guard` does the same for faults."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return problem(error.refusal, request=error.request)


async def _gateway_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GatewayError)
    return problem(error.refusal)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # the input stays out: it may be a password in the wrong field
    mistakes = [
        Mistake(field=".".join(str(part) for part in item["loc"]), message=str(item["msg"])) for item in error.errors()
    ]
    where = ", ".join(f"`{mistake.field}`" for mistake in mistakes[:5])
    return problem(
        Refusal("request-invalid", f"the request is malformed at {where}", "see /v1/openapi.json"), errors=mistakes
    )


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.NOT_FOUND:
        answer = problem(Refusal("not-found", "there is no such resource", "see /v1/openapi.json"))
    else:
        answer = problem(Refusal("request-invalid", status.phrase.lower(), "see /v1/openapi.json"), int(status))
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    return answer
