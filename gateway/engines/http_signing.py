"""People's browsers at APIs: they sign in with a second factor, choose a ticket, and go on by cookie.

The pages are below `/.gateway/` of each API's own address, so a browser sends what it sends there and nowhere else; the
process that speaks HTTP hands them through and keeps nothing. Each is judged here, in the gate's process, by the same
calls as `/v1/sign-in` and `/v1/open`: the same factors, lock-outs, words and records. A security key and an identity
provider have pages of their own on the console's origin, which alone they know: this one shows the way there and the
code to type, as a command line does, and collects the outcome, which no address and no page ever holds.

INVARIANT: a form counts only when our own page, in a window of its own, sent it; of who is signed in it also has to
hold a secret of that page, which a page of the API's, though of the same origin, cannot read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote

from gateway.access.service import Access
from gateway.access.values import Reveal, SignIn
from gateway.engines.http_browsers import OVER, Browser, Browsers, UnderWay
from gateway.engines.http_channel import Begin
from gateway.engines.http_sessions import Entry, Sessions
from gateway.errors import GatewayError, Refusal
from gateway.http import browser as proof
from gateway.http import pages
from gateway.http.browser import PAGES
from gateway.http.pages import Choice, Me, Offers, Page, Waiting, Ways
from gateway.http_settings import HttpTarget
from gateway.model import AccessRequest, Grant, Peer, Principal, RequestState, Session

if TYPE_CHECKING:
    from gateway.access.directory.oidc.logins import Logins

Admit = Callable[[SignIn, str, str, Peer], Awaitable[Session | Refusal]]
Form = Callable[[Begin, Mapping[str, str]], Awaitable[Page]]
OwnForm = Callable[[Begin, Browser, Mapping[str, str]], Awaitable[Page]]

_MOST_FORM = 8192
_FIELDS = {
    "to": 2000, "form": 43, "login": 256, "password": 1024, "code": 64, "grant": 64, "ticket": 64, "reason": 500,
    "write": 3, "break_glass": 3, "reveal": 1024,
}  # fmt: skip
"""What our forms may hold, and how many characters of it: as the API's bodies."""
_MOST_REVEALED = 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TO_SIGN_IN = frozenset(
    {"authentication-failed", "session-expired", "ticket-required", "cross-site-request", "access-ended",
     "grant-expired", "grant-revoked", "policy-changed"}
)  # fmt: skip
"""Where a page of ours gets the person on: he is led there, and back."""
_CHECK = "check the name, the password and the code, which is taken once; after several failures wait a little"
_WAIT = Refusal("request-invalid", "the other page is not done yet", "finish there first, then go on here")
_BOTH = Refusal("credentials-ambiguous", "the request shows a pass and a browser's cookie")


class Signing:
    """See the module. `logins` are those at an identity provider, where people sign in there."""

    def __init__(
        self, targets: Mapping[str, HttpTarget], sessions: Sessions, access: Access, admit: Admit,
        logins: Logins | None,
    ) -> None:  # fmt: skip
        self._targets, self._sessions, self._access, self._admit = targets, sessions, access, admit
        self._logins = logins
        self.browsers = Browsers(targets, sessions, access.authenticate, self._release)
        self._releasing: set[asyncio.Task[None]] = set()
        self._forms: dict[str, Form] = {"sign-in": self._sign_in_now, "key": self._key, "provider": self._provider}
        self._own_forms: dict[str, OwnForm] = {
            "go-on": self._go_on, "enter": self._enter_chosen, "open": self._open, "sign-out": self._sign_out,
        }  # fmt: skip

    # requests for the API

    def by_cookie(self, message: Begin) -> Entry | Refusal | None:
        """The session of a request that shows a browser's cookie, or why there is none; None for one that shows none.

        Raises `GatewayError("credentials-ambiguous")`.
        """
        if not self._is_on(message.target):
            return None
        cookie = proof.cookie_of(message.headers, message.target)
        if not cookie:
            return None
        if message.secret:
            return _BOTH
        refusal = proof.refuse_cookie(message.method, message.headers, message.authority)
        if refusal is not None:
            return refusal
        browser = self.browsers.find(message.target, cookie, _peer(message).host)
        return self.browsers.inside(browser) if browser is not None else OVER

    def shown(self, message: Begin, refusal: Refusal) -> Page | None:
        """A refusal as a page, or the way to one of ours, where a person waits for a page; else None."""
        if message.secret or not self._is_on(message.target):
            return None
        if not proof.is_navigation(message.headers):
            return None
        if refusal.code not in _TO_SIGN_IN or message.method not in ("GET", "HEAD"):
            return pages.refused(refusal)
        to = proof.local_path(message.path)
        return pages.redirect(f"{PAGES}?to={quote(to, safe='')}" if to else PAGES)

    # our own pages

    async def page(self, message: Begin) -> Page | Refusal:
        """What one of our own pages says. Raises `GatewayError`."""
        path, _, query = message.path.partition("?")
        if not self._is_on(message.target):
            return Refusal("route-not-available", "there is no such request here")
        if message.secret:
            return _BOTH
        if message.method in ("GET", "HEAD"):
            if path not in (PAGES, PAGES[:-1]):
                return pages.refused(Refusal("not-found", "there is no such page"))
            return await self._look(message, proof.local_path(dict(parse_qsl(query, max_num_fields=4)).get("to", "")))
        name = path.removeprefix(PAGES)
        if message.method != "POST" or name not in self._forms.keys() | self._own_forms.keys():
            return pages.refused(Refusal("not-found", "there is no such page"))
        fields = proof.refuse_form(message.headers, message.authority) or _fields(message)
        if isinstance(fields, Refusal):
            return pages.refused(fields)
        if name in self._forms:
            return await self._forms[name](message, fields)
        return await self._proven(message, self._own_forms[name], fields)

    def tick(self) -> None:
        """Once a second."""
        self.browsers.tick()

    def _release(self, token: str) -> None:
        """A browser is over: so is the sign-in that stood behind it, which nobody else can use."""
        signin = self._access.authenticate(token)
        if isinstance(signin, SignIn):
            task = asyncio.get_running_loop().create_task(self._sign_in_over(signin))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _sign_in_over(self, signin: SignIn) -> None:
        # in an outage of the store it ends by its time: its token was known to the browser alone, which is over
        with contextlib.suppress(GatewayError):
            await self._access.sign_out(signin)

    def _is_on(self, target: str) -> bool:
        found = self._targets.get(target)
        # FAIL CLOSED: behind a prefix an origin is several targets', and a page of one could act at another
        return found is not None and found.browser.enabled and not found.listen.prefix

    def _here(self, message: Begin) -> Browser | None:
        """The browser that asks for a page, by a person's own way there. Raises `GatewayError`."""
        cookie = proof.cookie_of(message.headers, message.target)
        if not cookie or proof.comes_from_elsewhere(message.headers) or not proof.is_document(message.headers):
            return None
        return self.browsers.find(message.target, cookie, _peer(message).host)

    async def _look(self, message: Begin, to: str) -> Page:
        browser = self._here(message)
        if browser is None:
            return self._sign_in(message, to, None)
        if browser.ended is not None:
            told = browser.ended
            self.browsers.forget(browser)
            return self._sign_in(message, to or browser.to, told)
        browser.to = to or browser.to
        return await self._at(message, browser, None)

    async def _at(self, message: Begin, browser: Browser, refusal: Refusal | None) -> Page:
        """The page of where a browser is."""
        if browser.under_way is not None:
            way = browser.under_way
            return pages.ceremony(
                message.target, browser.form, way.url, way.code, refusal, asks=browser.asks_code, provider=way.provider
            )
        signin = await self._access.recognise(browser.token)
        if isinstance(signin, Refusal):
            return self._not_any_more(message, browser, signin)
        listed = await self._listed(signin, message.target, browser)
        if isinstance(listed, Refusal):
            return pages.refused(listed)
        choices, waiting = listed
        until = min(
            signin.expires_at,
            self._access.context.clock() + timedelta(seconds=max(0.0, self.browsers.left_s(browser))),
        )
        me = Me(signin.principal.login, signin.principal.name, until, browser.form)
        if refusal is None and browser.entry is not None:
            refusal = browser.entry.ending
        return pages.tickets(
            message.target, me, browser.to, choices, waiting, self._offers(message.target, signin.principal), refusal
        )

    def _offers(self, target: str, person: Principal) -> Offers:
        policy = self._access.context.policies(target)
        if policy is None:
            return Offers()
        fields = sorted((of, name) for of, names in policy.reveal.items() for name in names)
        glass = policy.access.break_glass
        return Offers(bool(policy.approvals), glass is not None and bool(glass.teams & person.teams), fields)

    def _not_any_more(self, message: Begin, browser: Browser, refusal: Refusal) -> Page:
        if refusal.code not in ("session-expired", "person-inactive"):
            return pages.refused(refusal)
        self.browsers.forget(browser)
        return self._sign_in(message, browser.to, refusal)

    async def _listed(
        self, signin: SignIn, target: str, browser: Browser
    ) -> tuple[list[Choice], list[Waiting]] | Refusal:
        person = signin.principal.id
        grants, requests = await asyncio.gather(
            self._access.grants(signin), self._access.requests(signin, RequestState.PENDING)
        )
        if isinstance(grants, Refusal):
            return grants
        if isinstance(requests, Refusal):
            return requests
        entry = browser.entry
        now = entry.inside.session.grant.id if entry is not None and entry.ending is None else ""
        choices = [
            Choice(one.id, one.ticket_id, one.customers, _allows(one), one.expires_at, one.id == now)
            for one in grants
            if one.person == person and one.target == target and (not one.spent or one.id == now)
        ]
        mine = [one for one in requests if one.person == person and one.target == target]
        waiting = [
            Waiting(one.id, one.ticket_id, one.created_at, tuple(await self._access.approvers_of(one.id)))
            for one in mine[:10]
        ]
        return choices, waiting

    def _sign_in(self, message: Begin, to: str, refusal: Refusal | None, login: str = "") -> Page:
        if refusal is not None and refusal.code == "authentication-failed":
            # the words for everybody speak of passes too, which nobody shows here
            refusal = replace(refusal, hint=_CHECK)
        logins = self._logins
        provider = logins.flows[0] if logins is not None and logins.flows else ""
        key = bool(self._access.context.settings.webauthn.rp_id)
        ways = Ways(password=logins is None, key=key and logins is None, provider=provider)
        elsewhere = message.method in ("GET", "HEAD") and proof.values(message.headers, "sec-fetch-site") in (
            ["cross-site"], ["same-site"],
        )  # fmt: skip
        return pages.sign_in(message.target, to, ways, refusal, may_be_inside=elsewhere, login=login)

    # forms of nobody

    async def _sign_in_now(self, message: Begin, fields: Mapping[str, str]) -> Page:
        login, to = fields.get("login", ""), proof.local_path(fields.get("to", ""))
        code = fields.get("code", "").replace(" ", "")
        found = await self._access.sign_in(login, fields.get("password", ""), code, _peer(message))
        if isinstance(found, Refusal):
            return self._sign_in(message, to, found, login)
        return self._signed_in(message, found, to)

    async def _key(self, message: Begin, fields: Mapping[str, str]) -> Page:
        login, to = fields.get("login", ""), proof.local_path(fields.get("to", ""))
        begun = await self._access.passkeys.begin_login(login, fields.get("password", ""), _peer(message))
        if isinstance(begun, Refusal):
            return self._sign_in(message, to, begun, login)
        return self._under_way(message, to, UnderWay(False, begun.url, begun.code, begun.collect))

    async def _provider(self, message: Begin, fields: Mapping[str, str]) -> Page:
        to, logins = proof.local_path(fields.get("to", "")), self._logins
        if logins is None or not logins.flows:
            return self._sign_in(message, to, Refusal("not-found", "people sign in with a password here"))
        begun = await logins.begin(logins.flows[0], _peer(message))
        if isinstance(begun, Refusal):
            return self._sign_in(message, to, begun)
        return self._under_way(message, to, UnderWay(True, begun.uri, begun.code, begun.token))

    def _under_way(self, message: Begin, to: str, way: UnderWay) -> Page:
        self._forget_shown(message)
        begun = self.browsers.begin(message.target, _peer(message).host, to, way)
        if isinstance(begun, Refusal):
            return self._sign_in(message, to, begun)
        return pages.redirect(PAGES, proof.set_cookie(message.target, begun[1]))

    def _signed_in(self, message: Begin, signin: SignIn, to: str) -> Page:
        self._forget_shown(message)
        made = self.browsers.signed_in(signin, message.target, _peer(message).host, to)
        if isinstance(made, Refusal):
            return pages.refused(made)
        return pages.redirect(PAGES, proof.set_cookie(message.target, made[1]))

    def _forget_shown(self, message: Begin) -> None:
        """What a browser was before it signed in (anew) is over: no cookie outlives that."""
        before = self._here(message)
        if before is not None:
            self.browsers.forget(before)

    # forms of somebody

    async def _proven(self, message: Begin, what: OwnForm, fields: Mapping[str, str]) -> Page:
        browser = self._here(message)
        if browser is None or browser.ended is not None:
            told = browser.ended if browser is not None else None
            return self._sign_in(message, proof.local_path(fields.get("to", "")), told or OVER)
        if not hmac.compare_digest(fields.get("form", "").encode(), browser.form.encode()):
            return pages.refused(Refusal("cross-site-request", "the form is not of the page that was shown last"))
        self.browsers.hear(browser)
        browser.to = proof.local_path(fields.get("to", "")) or browser.to
        return await what(message, browser, fields)

    async def _go_on(self, message: Begin, browser: Browser, fields: Mapping[str, str]) -> Page:
        way = browser.under_way
        if way is None:
            return pages.redirect(PAGES)
        code = fields.get("code", "").replace(" ", "")
        done = await (
            self._provider_done(browser, way, code, message) if way.provider else self._key_done(way, message)
        )
        if done is None:
            return await self._at(message, browser, _WAIT if not browser.asks_code else None)
        if isinstance(done, Refusal):
            if browser.asks_code and done.code == "authentication-failed":
                return await self._at(message, browser, done)
            self.browsers.forget(browser)
            return self._sign_in(message, browser.to, done)
        if browser.ended is not None:
            # it was stopped meanwhile
            await self._access.sign_out(done)
            return self._sign_in(message, browser.to, browser.ended)
        return self._signed_in(message, done, browser.to)

    async def _key_done(self, way: UnderWay, message: Begin) -> SignIn | Refusal | None:
        done = await self._access.collect(way.secret, _peer(message))
        if done is None or isinstance(done, SignIn | Refusal):
            return done
        return Refusal("request-invalid", "that was no sign-in", "begin again")

    async def _provider_done(
        self, browser: Browser, way: UnderWay, code: str, message: Begin
    ) -> SignIn | Refusal | None:
        assert self._logins is not None
        standing = await self._logins.look(way.secret)
        if isinstance(standing, Refusal):
            return standing
        if standing.state != "proved":
            return None
        if standing.needs == "enrolment":
            hint = "enrol one at a terminal: gateway login"
            return Refusal("second-factor-required", "you have no second factor here yet", hint)
        if standing.needs == "code" and not code:
            browser.asks_code = True
            return None
        return await self._logins.finish(way.secret, code, _peer(message))

    async def _enter_chosen(self, message: Begin, browser: Browser, fields: Mapping[str, str]) -> Page:
        signin = await self._signin(browser)
        if isinstance(signin, Refusal):
            return self._not_any_more(message, browser, signin)
        return await self._enter(message, browser, signin, fields.get("grant", ""))

    async def _open(self, message: Begin, browser: Browser, fields: Mapping[str, str]) -> Page:
        signin = await self._signin(browser)
        if isinstance(signin, Refusal):
            return self._not_any_more(message, browser, signin)
        filed = await self._access.file(
            signin, target=message.target, ticket=fields.get("ticket", "").strip(),
            reason=fields.get("reason", "").strip(), reveal=_revealed(fields.get("reveal", "")),
            write=fields.get("write") == "yes", break_glass=fields.get("break_glass") == "yes", peer=_peer(message),
        )  # fmt: skip
        if isinstance(filed, Refusal):
            return await self._at(message, browser, filed)
        grant = await self._grant_of(signin, filed)
        if grant is None:
            return pages.redirect(PAGES)
        return await self._enter(message, browser, signin, grant.id)

    async def _sign_out(self, message: Begin, browser: Browser, _: Mapping[str, str]) -> Page:
        self.browsers.forget(browser)
        return pages.signed_out(message.target, proof.set_cookie(message.target, ""))

    async def _signin(self, browser: Browser) -> SignIn | Refusal:
        return await self._access.recognise(browser.token) if browser.token else OVER

    async def _grant_of(self, signin: SignIn, request: AccessRequest) -> Grant | None:
        if request.state is RequestState.PENDING:
            return None
        grants = await self._access.grants(signin)
        if isinstance(grants, Refusal):
            raise GatewayError.of(grants)
        return next((one for one in grants if one.request_id == request.id), None)

    async def _enter(self, message: Begin, browser: Browser, signin: SignIn, grant: str) -> Page:
        session = await self._admit(signin, grant, message.target, _peer(message, signin.principal.login))
        if isinstance(session, Refusal):
            return await self._at(message, browser, session)
        entry = await self._sessions.enter(self._sessions.new_key(), session)
        if isinstance(entry, Refusal):
            return await self._at(message, browser, entry)
        over = self.browsers.enter(browser, entry)
        if over is not None:
            return self._sign_in(message, browser.to, over)
        to, browser.to = browser.to, ""
        return pages.redirect(to or PAGES)


def _peer(message: Begin, user: str = "") -> Peer:
    return Peer(message.address, message.application, "http", message.tls, user)


def _fields(message: Begin) -> dict[str, str] | Refusal:
    """The fields of a form of ours: each once, and no others; of fields to see in clear there may be several, a line
    each.
    """
    kind = proof.only(message.headers, "content-type").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return Refusal("request-invalid", "the form is none of ours", "open the page again, and send it there")
    if len(message.body) > _MOST_FORM:
        return Refusal("message-too-large", "the form is too long")
    try:
        pairs = parse_qsl(
            message.body.decode("ascii"), keep_blank_values=True, max_num_fields=16 + _MOST_REVEALED, errors="strict"
        )
    except ValueError:
        return Refusal("request-invalid", "the form cannot be read", "open the page again, and send it there")
    fields = dict(pairs)
    reveal = [value for name, value in pairs if name == "reveal"]
    fits = all(len(value) <= _FIELDS.get(name, -1) and not _CONTROL.search(value) for name, value in pairs)
    repeated = max(0, len(reveal) - 1)
    if len(fields) != len(pairs) - repeated or len(reveal) > _MOST_REVEALED or not fits:
        return Refusal("request-invalid", "the form is none of ours", "open the page again, and send it there")
    return fields | ({"reveal": "\n".join(reveal)} if reveal else {})


def _revealed(lines: str) -> Reveal:
    """The fields to see in clear that a form names: what each is of, a blank, its name there."""
    found = (line.partition(" ") for line in lines.splitlines())
    return frozenset((of, name) for of, _, name in found)


def _allows(grant: Grant) -> str:
    if grant.statement:
        return "one request that changes something, as it was approved"
    allows = "reading and writing" if grant.write else "reading"
    shown = len(grant.reveal)
    allows += f", {shown} field{'' if shown == 1 else 's'} in clear" if shown else ""
    return f"{allows}, in an emergency" if grant.break_glass else allows
