"""Signing in at an identity provider: what command lines ask under `/v1/login`, and the pages that browsers come to;
and what administrators do about its logins.

The rules are in `access/directory/oidc/logins.py`. INVARIANT: a page shows nothing that came from outside but escaped,
runs no script, loads nothing, and is framed by nobody; a form is taken from our own page only, in the browser that was
sent to the provider, which a cookie tells that no other site and no script can read or set.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gateway.console import login_schemas as bodies
from gateway.console import schemas
from gateway.console.context import From, Login, Me, Of, Parts, given, peer, router
from gateway.console.me import me_fields
from gateway.console.problems import refuse
from gateway.errors import GatewayError, Refusal

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins

COOKIE = "__Host-gateway-login"
_PLACE = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{43}$")]
_MOST_FORM = 4096
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem}"
    "input,button{font:inherit;padding:.4rem .7rem}code{font-size:1.1em}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    # with the API's `no-referrer` a browser would say of our own form that it came from `null`
    "referrer-policy": "same-origin",
}


def routes() -> APIRouter:
    """The routes below /v1/login."""
    found = router("login")
    _add_command_line(found)
    _add_browser(found)

    @found.post("/people/{login}/release-login")
    async def release(login: Login, me: Me, of: Of, origin: From) -> bodies.ReleaseAnswer:
        """Let a login of the provider be somebody else's. For administrators."""
        return bodies.ReleaseAnswer(login=given(await _logins(of).release(me, login, origin)))

    return found


def add_local_routes(app: FastAPI, logins: Logins) -> None:
    """What whoever runs the gateway may do on its own machine."""

    @app.post("/v1/people/{login}/release-login")
    async def release(login: Login, request: Request) -> bodies.ReleaseAnswer:
        return bodies.ReleaseAnswer(login=given(await logins.release(None, login, peer(request))))


def _add_command_line(found: APIRouter) -> None:
    @found.get("/login")
    async def ways(of: Of) -> bodies.WaysAnswer:
        """How people sign in here: with a password, or by which flows at which identity provider."""
        if of.logins is None:
            return bodies.WaysAnswer(ways=["password"])
        return bodies.WaysAnswer(ways=list(of.logins.flows), issuer=of.logins.issuer)

    @found.post("/login/begin")
    async def begin(body: bodies.LoginBeginBody, of: Of, origin: From) -> bodies.LoginBeginAnswer:
        """Begin to sign in at the identity provider; the token stands for the login, and opens nothing yet."""
        begun = given(await _logins(of).begin(body.flow, origin))
        return bodies.LoginBeginAnswer(
            token=begun.token, flow=begun.flow, uri=begun.uri, code=begun.code, life_s=int(begun.life_s),
            interval_s=begun.interval_s,
        )  # fmt: skip

    @found.post("/login/look")
    async def look(body: bodies.LoginBody, of: Of) -> bodies.LoginLookAnswer:
        """How a login stands."""
        standing = given(await _logins(of).look(body.token.get_secret_value()))
        return bodies.LoginLookAnswer(
            state=standing.state, interval_s=standing.interval_s, login=standing.login, needs=standing.needs
        )

    @found.post("/login/finish")
    async def finish(body: bodies.LoginFinishBody, of: Of, origin: From) -> schemas.SignInAnswer:
        """Sign in with a login that the provider proved, and the second factor unless its own counts."""
        token, otp = body.token.get_secret_value(), body.otp.get_secret_value()
        signin = given(await _logins(of).finish(token, otp, origin))
        return schemas.SignInAnswer(**me_fields(of, signin), token=signin.token)

    @found.post("/login/enrol/begin")
    async def enrol_begin(body: bodies.LoginEnrolBeginBody, of: Of, origin: From) -> schemas.EnrolBeginAnswer:
        """A new second factor for who proved himself to the provider and has an invitation."""
        token, invitation = body.token.get_secret_value(), body.invitation.get_secret_value()
        begun = given(await _logins(of).enrol_begin(token, invitation, origin))
        return schemas.EnrolBeginAnswer(uri=begun.uri, secret=begun.secret, expires_at=begun.expires_at)

    @found.post("/login/enrol/finish")
    async def enrol_finish(body: bodies.LoginEnrolFinishBody, of: Of, origin: From) -> schemas.EnrolFinishAnswer:
        """Show that the new factor works."""
        token, invitation = body.token.get_secret_value(), body.invitation.get_secret_value()
        codes = given(await _logins(of).enrol_finish(token, invitation, body.otp.get_secret_value(), origin))
        return schemas.EnrolFinishAnswer(recovery_codes=list(codes))

    @found.post("/login/recover")
    async def recover(body: bodies.LoginRecoverBody, of: Of, origin: From) -> bodies.LoginRecoverAnswer:
        """Give up a factor that was lost, for an invitation to enrol a new one."""
        token, code = body.token.get_secret_value(), body.recovery_code.get_secret_value()
        return bodies.LoginRecoverAnswer(invitation=given(await _logins(of).recover(token, code, origin)))


def _add_browser(found: APIRouter) -> None:
    @found.get("/login/go/{go}")
    async def go(go: _PLACE, request: Request, of: Of) -> Response:
        """Send a browser on to the provider. A page, as those below."""
        try:
            led = await _logins(of).go(go, request.cookies.get(COOKIE, ""))
        except GatewayError as error:
            return _refusal(error.refusal)
        if isinstance(led, Refusal):
            return _refusal(led)
        url, cookie = led
        answer = RedirectResponse(url, 303)
        answer.set_cookie(COOKIE, cookie, max_age=3600, path="/", secure=True, httponly=True, samesite="lax")
        return answer

    @found.get("/login/callback")
    async def callback(request: Request, of: Of, origin: From) -> Response:
        """Take the provider's answer."""
        items = request.query_params.multi_items()
        query = dict(items)
        if len(query) != len(items) or any(len(value) > 8192 for value in query.values()):
            # which of two counts is for nobody to choose
            query = {}
        try:
            form = await _logins(of).callback(query, request.cookies.get(COOKIE, ""), origin)
        except GatewayError as error:
            return _refusal(error.refusal)
        # on to an address that says nothing, so that the code is not what the browser remembers
        return _refusal(form) if isinstance(form, Refusal) else RedirectResponse(f"/v1/login/confirm/{form}", 303)

    @found.get("/login/confirm/{form}")
    async def asking(form: _PLACE, request: Request, of: Of) -> Response:
        """Ask for the code that the terminal shows."""
        return _form(_logins(of), form, request, "")

    @found.post("/login/confirm/{form}")
    async def confirm(form: _PLACE, request: Request, of: Of) -> Response:
        """Take the code."""
        logins = _logins(of)
        if request.headers.get("origin") != logins.origin:
            return _refusal(Refusal("request-invalid", "the form did not come from the gateway's own page"))
        body = await request.body()
        fields = parse_qs(body.decode("latin-1"), max_num_fields=4) if len(body) <= _MOST_FORM else {}
        denied = "deny" in fields
        try:
            done = await logins.confirm(
                form, request.cookies.get(COOKIE, ""), None if denied else fields.get("code", [""])[0]
            )
        except GatewayError as error:
            return _refusal(error.refusal)
        if done is False:
            return _form(logins, form, request, "That is not the code. It is the one that your own terminal shows.")
        if denied:
            return _page(
                "The login was stopped", "<p>Nobody was signed in. If you did not begin it, tell security.</p>"
            )
        if isinstance(done, Refusal):
            return _refusal(done)
        return _page("You are known", "<p>Go on at your terminal; you may close this window.</p>")


def _logins(of: Parts) -> Logins:
    if of.logins is None:
        raise refuse("not-found", "people sign in with a password here", "`gateway login`, or POST /v1/sign-in")
    return of.logins


def _form(logins: Logins, form: str, request: Request, wrong: str) -> Response:
    asked = logins.asking(form, request.cookies.get(COOKIE, ""))
    if isinstance(asked, Refusal):
        return _refusal(asked)
    again = f"<p><strong>{escape(wrong)}</strong></p>" if wrong else ""
    return _page(
        "Is that your terminal?",
        f"<p>A terminal at <code>{escape(asked.address)}</code> is about to be signed in as "
        f"<code>{escape(asked.login)}</code>.</p>"
        "<p>Type the code that <em>your own</em> terminal shows, where you gave <code>gateway login</code>. If you did "
        f"not, or somebody sent you here or told you the code, stop.</p>{again}"
        f'<form method="post" action="/v1/login/confirm/{escape(form)}">'
        '<p><input name="code" autocomplete="off" autofocus size="12" aria-label="code"> '
        '<button>Sign in</button> <button name="deny" value="1">Stop</button></p></form>',
    )


def _refusal(refusal: Refusal) -> Response:
    hint = f"<p>{escape(refusal.hint)}</p>" if refusal.hint else ""
    text = f"<p>{escape(refusal.message)}</p>{hint}<p>Code: <code>{escape(refusal.code)}</code></p>"
    return _page("That did not work", text, refusal.meaning.http)


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>",
        status,
        _HEADERS,
    )
