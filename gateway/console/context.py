"""What every route works with: the parts behind the API, where the caller is, and who he is."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.access.service import Access
from gateway.access.tickets.hooks import Hooks
from gateway.access.values import SignIn
from gateway.alerts.cases import Cases
from gateway.audit.log import FileLog
from gateway.audit.search import Search
from gateway.budgets import Spent
from gateway.config import Config
from gateway.console.problems import MEDIA_TYPE, Problem, Refused, refuse
from gateway.custody.custody import Custody
from gateway.errors import Refusal
from gateway.model import Peer
from gateway.policy.schema import Policy
from gateway.ports import Clock, Directory

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins

T = TypeVar("T")
Spending = Callable[[str, str, Policy], Sequence[Spent]]
"""What a person (an id) has used of the budgets of a target's policy."""

_bearer = HTTPBearer(auto_error=False, description="The token that /v1/sign-in answers with.")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with.

    `address` is where database clients reach the gateway when the configuration cannot say it (a free port);
    `key` is the audit log's public key as text; `witness_token` opens its hashes and nothing else; `tokens` are those
    that records have of a value, which blocks. `hooks` takes the webhooks of ticket sources. `spent` tells
    what is used of budgets. `logins` are those at an identity provider, where there is one. `http` are the ports of the
    targets that are APIs; `unserved` says why a target cannot be served at all.
    """

    access: Access
    trail: FileLog
    search: Search
    config: Config
    directory: Directory
    policies: Callable[[str], Policy | None]
    cases: Cases
    custody: Custody
    key: str = ""
    address: tuple[str, int] | None = None
    clock: Clock = lambda: datetime.now(UTC)
    witness_token: bytes = b""
    tokens: Callable[[str], list[str]] = lambda _: []
    hooks: Hooks | None = None
    spent: Spending = lambda *_: []
    logins: Logins | None = None
    http: Mapping[str, int] = field(default_factory=dict)
    unserved: Callable[[str], Refusal | None] = lambda _: None
    mysql_address: tuple[str, int] | None = None

    def is_witness(self, bearer: str) -> bool:
        """Whether that is the token that witnesses of the audit log have."""
        return bool(self.witness_token) and hmac.compare_digest(bearer.encode(), self.witness_token)


def given(answer: T | Refusal) -> T:
    """The answer, or its refusal raised."""
    if isinstance(answer, Refusal):
        raise Refused(answer)
    return answer


def peer(request: Request) -> Peer:
    """Where the request comes from."""
    address = f"{request.client.host}:{request.client.port}" if request.client and request.client.host else "local:0"
    agent = "".join(c for c in request.headers.get("user-agent", "") if c.isascii() and c.isprintable())
    tls = "TLS" if request.url.scheme == "https" else ""
    return Peer(address, agent[:128], engine="api", tls=tls)


def parts(request: Request) -> Parts:
    """The parts of the application that answers."""
    found: Parts = request.app.state.parts
    return found


def token(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str:
    """The bearer token, or the refusal raised."""
    if credentials is None or not 0 < len(credentials.credentials) <= 256:
        raise refuse("second-factor-required", "this needs a sign-in", "`gateway login`, or POST /v1/sign-in")
    return credentials.credentials


async def signed_in(request: Request, bearer: Annotated[str, Depends(token)]) -> SignIn:
    """The sign-in of the request, or the refusal raised."""
    return given(await parts(request).access.recognise(bearer))


Me = Annotated[SignIn, Depends(signed_in)]
Of = Annotated[Parts, Depends(parts)]
From = Annotated[Peer, Depends(peer)]
Login = Annotated[str, Path(max_length=64)]
Named = Annotated[str, Query(max_length=64)]
"""The login in whose name a delegate decides."""
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


def router(tag: str) -> APIRouter:
    """A router below /v1 whose refusals are described."""
    problems = {"description": "A refusal", "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    return APIRouter(prefix="/v1", tags=[tag], responses={"default": problems, 422: problems})
