"""Security keys over the API: ceremonies for commands, and the page on which a browser asks the key.

The page is one HTML file, one script and one style sheet of our own, the same for everybody: what tells a ceremony from
others is behind the `#` of its address, which no server sees. It keeps nothing and has no cookie, so there is nothing
for another site to ride on; what it sends is taken from our own origins only, and it cannot be framed.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.access.passkeys import Begun
from gateway.access.values import SignIn
from gateway.console import schemas
from gateway.console.context import From, Me, Of, Parts, given, router
from gateway.console.me import me_fields
from gateway.console.problems import Refused, refuse
from gateway.errors import Refusal

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
_FILES = {
    "/key": ("key.html", "text/html"),
    "/key.js": ("key.js", "text/javascript"),
    "/key.css": ("key.css", "text/css"),
}

PageId = Annotated[str, StringConstraints(pattern=r"^[a-z2-7]{32}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class KeySignInBody(_Body):
    """The password; the key follows on a page."""

    login: schemas.Name
    password: schemas.Password


class AddKeyBody(_Body):
    """What the new key is called."""

    name: Annotated[str, StringConstraints(max_length=64)] = ""


class WhichKeyBody(_Body):
    """A key, by its id or its name."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class CollectBody(_Body):
    """What the outcome is collected with."""

    collect: Annotated[str, StringConstraints(max_length=64)]


class PageBody(_Body):
    """The page, and the code that the command shows."""

    page: PageId
    code: Annotated[str, StringConstraints(max_length=16)]


class AnswerBody(_Body):
    """The page, and what the key answered."""

    page: PageId
    answer: dict[str, Any]


class BegunAnswer(BaseModel):
    """The address to open, the code to type there, and what the outcome is collected with."""

    url: str
    code: str
    collect: str
    expires_at: datetime


class CollectAnswer(BaseModel):
    """What came of a ceremony. `recovery_codes` are of a first factor, shown this once."""

    state: Literal["waiting", "signed in", "enrolled"]
    sign_in: schemas.SignInAnswer | None = None
    name: str = ""
    recovery_codes: list[str] = Field(default_factory=list)


class AskedAnswer(BaseModel):
    """What the page asks the key."""

    kind: str
    login: str
    options: dict[str, Any]


class KeyAnswer(BaseModel):
    """A key: its id and what it is called, since when it is known, when it was last used."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None


class KeysAnswer(BaseModel):
    """Keys, oldest first."""

    keys: list[KeyAnswer]


def routes() -> APIRouter:
    """The routes below /v1."""
    found = router("security keys")

    @found.post("/sign-in/key")
    async def sign_in(body: KeySignInBody, of: Of, origin: From) -> BegunAnswer:
        """Begin to sign in with a security key; whether the password was right is told by the outcome alone."""
        return _begun(given(await of.access.passkeys.begin_login(body.login, body.password.get_secret_value(), origin)))

    @found.post("/enrol/key")
    async def enrol(body: schemas.EnrolBeginBody, of: Of, origin: From) -> BegunAnswer:
        """Begin to enrol a security key as the second factor, by an invitation."""
        password, invitation = body.password.get_secret_value(), body.invitation.get_secret_value()
        return _begun(given(await of.access.passkeys.begin_enrolment(body.login, password, invitation, origin)))

    @found.post("/security-keys")
    async def add(body: AddKeyBody, me: Me, of: Of, origin: From) -> BegunAnswer:
        """Begin to add a security key to one's own factors."""
        return _begun(given(await of.access.passkeys.begin_adding(me, body.name, origin)))

    @found.get("/security-keys")
    async def keys(me: Me, of: Of) -> KeysAnswer:
        """One's own security keys."""
        listed = await of.access.passkeys.keys(me)
        return KeysAnswer(
            keys=[KeyAnswer(id=one.id, name=one.name, created_at=one.created_at, used_at=one.used_at) for one in listed]
        )

    @found.post("/security-keys/remove")
    async def remove(body: WhichKeyBody, me: Me, of: Of, origin: From) -> KeyAnswer:
        """Take one of one's own keys away; everything that one has open ends."""
        gone = given(await of.access.remove_key(me, body.key, origin))
        return KeyAnswer(id=gone.id, name=gone.name, created_at=gone.created_at, used_at=gone.used_at)

    @found.post("/key/collect")
    async def collect(body: CollectBody, of: Of, origin: From) -> CollectAnswer:
        """What came of a ceremony, once, for the command that began it."""
        outcome = await of.access.collect(body.collect, origin)
        if outcome is None:
            return CollectAnswer(state="waiting")
        if isinstance(outcome, Refusal):
            raise Refused(outcome)
        if isinstance(outcome, SignIn):
            return CollectAnswer(
                state="signed in", sign_in=schemas.SignInAnswer(**me_fields(of, outcome), token=outcome.token)
            )
        return CollectAnswer(state="enrolled", name=outcome.name, recovery_codes=list(outcome.codes))

    @found.post("/key/begin")
    async def begin(body: PageBody, of: Of, origin: From, request: Request) -> AskedAnswer:
        """For the page: what to ask the key."""
        _same_origin(of, request)
        return AskedAnswer(**given(await of.access.passkeys.asked(body.page, body.code, origin)))

    @found.post("/key/answer", status_code=204)
    async def answer(body: AnswerBody, of: Of, origin: From, request: Request) -> None:
        """For the page: what the key answered."""
        _same_origin(of, request)
        refusal = await of.access.passkeys.answered(body.page, body.answer, origin)
        if refusal is not None:
            raise Refused(refusal)

    return found


def page_routes() -> APIRouter:
    """The page itself."""
    found = APIRouter(include_in_schema=False)
    for path in _FILES:
        found.add_api_route(path, _page, methods=["GET"])
    return found


async def _page(request: Request) -> Response:
    name, media_type = _FILES[request.url.path]
    headers = {
        "content-security-policy": _POLICY,
        "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
        "cross-origin-opener-policy": "same-origin",
    }
    return Response(_file(name), media_type=media_type, headers=headers)


@cache
def _file(name: str) -> bytes:
    return resources.files("gateway.console").joinpath("pages", name).read_bytes()


def _same_origin(of: Parts, request: Request) -> None:
    if request.headers.get("origin") not in of.config.second_factor.webauthn.origins:
        raise refuse("request-invalid", "this is for the gateway's own page", "open the address that the command shows")


def _begun(found: Begun) -> BegunAnswer:
    return BegunAnswer(url=found.url, code=found.code, collect=found.collect, expires_at=found.expires_at)
