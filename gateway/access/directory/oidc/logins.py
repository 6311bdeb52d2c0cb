"""Logins at the identity provider that are under way: from a command line that waits to a person who is proved.

Theory of operation. A command line begins a login and gets a token that stands for it; with that token alone it asks
how the login stands, and signs the person in in the end (`finish`). What happens meanwhile happens in a browser:

    browser flow   WAITING --go--> WAITING (bound to that browser) --callback--> CONFIRMING --confirm--> PROVED
    device flow    WAITING --(the provider says so)--> PROVED
    both           --> FAILED, on any other turn; and gone once `LIFE_S` is over

In the browser flow (RFC 6749 4.1, with PKCE, state and nonce) the gateway is what the provider sends the browser back
to, and somebody could send a colleague the address of a login of his own. So the page asks for the code that the
terminal shows: only who sits before that terminal can type it, and no session is given for a click. The provider's
answer is taken only from the browser that was sent there.

In the device flow (RFC 8628) who types the code at the provider need not sit before the terminal either, and there
nothing of ours stands between: so the provider's second factor never counts in it, and the gateway asks for its own.

INVARIANT: `state`, the codes of the provider, and a proved login are each used once. Nobody is known under a login, and
no row of a person changes, before the person confirmed it.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from gateway.access.context import where
from gateway.access.directory.oidc.claims import facts_of, provider_factor_at
from gateway.access.directory.oidc.id_token import Untrue
from gateway.access.directory.oidc.people import OidcPeople
from gateway.access.directory.oidc.provider import Declined, Tokens
from gateway.access.directory.oidc.under_way import Asking, Begun, Standing, State, UnderWay
from gateway.access.keys import Token, token_digest
from gateway.access.lockout import network_of
from gateway.access.login import Failure
from gateway.access.names import fold_login
from gateway.access.service import Access
from gateway.access.values import Enrolling, SignIn
from gateway.errors import Refusal
from gateway.model import Peer
from gateway.oidc_settings import CALLBACK

P = ParamSpec("P")
T = TypeVar("T")

LIFE_S = 600.0
TRIES = 3
_MOST, _MOST_PER_ADDRESS, _MOST_ASKED = 2000, 20, 16
_SECRET = 43
"""Characters of 256 random bits."""
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""Of codes that people read and type: RFC 8628, section 6.1."""
_CODE = 8


class Logins:
    """See the module. For the event loop's thread only."""

    def __init__(self, people: OidcPeople, access: Access) -> None:
        context = access.context
        self._people, self._provider, self._settings = people, people.provider, people.settings
        self._access = access
        self._clock, self._monotonic = context.clock, context.monotonic
        self._token: Token = context.token
        self._logins: dict[bytes, UnderWay] = {}
        self._by_go: dict[str, UnderWay] = {}
        self._by_state: dict[str, UnderWay] = {}
        self._by_form: dict[str, UnderWay] = {}
        self._asked = 0

    @property
    def flows(self) -> tuple[str, ...]:
        """The flows that the settings allow, the safer one first."""
        browser = ("browser",) if self._settings.redirect_url is not None else ()
        return (*browser, "device") if self._settings.device_flow else browser

    @property
    def issuer(self) -> str:
        """Where people sign in."""
        return self._settings.issuer

    @property
    def origin(self) -> str:
        """The console's own origin, as browsers name it."""
        return (self._settings.redirect_url or "").removesuffix(CALLBACK).removesuffix(":443").lower()

    # the command line

    async def begin(self, flow: str, peer: Peer) -> Begun | Refusal:
        """A login that waits. Raises `GatewayError("directory-unavailable")`."""
        if flow not in self.flows:
            return Refusal("request-invalid", "there is no such flow here", f"use: {', '.join(self.flows)}")
        self._sweep()
        network = network_of(peer.host)
        same = sum(network_of(one.peer.host) == network for one in self._logins.values())
        if len(self._logins) >= _MOST or same >= _MOST_PER_ADDRESS or self._asked >= _MOST_ASKED:
            return Refusal("too-many-attempts", "too many logins are under way", "finish one, or wait ten minutes")
        token = self._secret()
        login = UnderWay(flow, peer, self._monotonic() + LIFE_S, token_digest(token))
        # counted before the provider is asked: requests at the same moment cannot outrun the bounds
        self._logins[login.key] = login
        try:
            uri = await (self._begin_browser(login) if flow == "browser" else self._begin_device(login))
        except BaseException:
            self._drop(login)
            raise
        if isinstance(uri, Refusal):
            self._drop(login)
            return uri
        return Begun(token, flow, uri, login.code, login.until - self._monotonic(), login.interval_s)

    async def look(self, token: str) -> Standing | Refusal:
        """How the login of that token stands; in the device flow the provider is asked when it is time.

        A login that failed is told once. Raises `GatewayError` for an outage, after which the login still stands.
        """
        login = self._found(token)
        if login is None:
            return _over()
        if login.flow == "device" and login.state is State.WAITING:
            await self._poll(login)
        if login.state is State.FAILED:
            self._drop(login)
            return login.refusal or _over()
        if login.person is None:
            return Standing(login.state, login.interval_s)
        needs = "nothing" if login.factor_at is not None else "code"
        if needs == "code" and not await self._access.has_factor(login.person):
            needs = "enrolment"
        return Standing(login.state, login.interval_s, login.person.login, needs)

    async def finish(self, token: str, otp: str, peer: Peer) -> SignIn | Refusal:
        """The sign-in of a proved login, with a code unless the provider's factor counts; after a few wrong codes the
        login is over.
        """
        login = self._found(token)
        if login is None or login.person is None:
            return _over()
        # out of reach meanwhile: a login makes one sign-in, however often it is asked for at once
        person, login.person = login.person, None
        done = await self._access.sign_in_proven(person, otp, peer, login.method, login.factor_at)
        if isinstance(done, SignIn):
            self._drop(login)
            return done
        login.tries += 1
        if login.tries >= TRIES:
            self._drop(login)
        else:
            login.person = person
        return done

    async def enrol_begin(self, token: str, invitation: str, peer: Peer) -> Enrolling | Refusal:
        """As `Access.enrol_begin`, for who proved himself to the provider in the place of a password."""
        login = self._found(token)
        if login is None or login.person is None:
            return _over()
        return await self._access.enrol_begin(login.person.login, login.person, invitation, peer)

    async def enrol_finish(self, token: str, invitation: str, code: str, peer: Peer) -> tuple[str, ...] | Refusal:
        """As `Access.enrol_finish`, likewise."""
        login = self._found(token)
        if login is None or login.person is None:
            return _over()
        return await self._access.enrol_finish(login.person.login, login.person, invitation, code, peer)

    async def recover(self, token: str, code: str, peer: Peer) -> str | Refusal:
        """As `Access.recover`, likewise."""
        login = self._found(token)
        if login is None or login.person is None:
            return _over()
        login.tries += 1
        if login.tries >= TRIES:
            self._drop(login)
        return await self._access.recover_proven(login.person, code, peer)

    # administrators

    async def release(self, signin: SignIn | None, login: str, peer: Peer) -> str | Refusal:
        """Let a login be somebody else's, whose owner does not come in with it any more; the folded login.

        `signin` None: by whoever runs the gateway, locally.
        """
        return await self._access.people.administer(signin, lambda by: self._release(login, by, peer))

    async def _release(self, login: str, by: str, peer: Peer) -> str | Refusal:
        folded = fold_login(login)
        owner = await self._people.owner_of(login)
        if owner is None:
            return Refusal("not-found", f"nobody has had the login `{login[:64]}`")
        if owner == by:
            return Refusal("request-invalid", "nobody releases a login of his own", "ask somebody else")
        if self._people.comes_in_as(owner, login):
            return Refusal(
                "request-invalid", f"`{folded}` is in use",
                "first rename or remove the person at the identity provider; it is free once that is known here",
            )  # fmt: skip
        context = self._access.context
        await context.record(
            "directory.person", person=owner, login=folded, state="released", by=by, **where(peer)
        )  # fmt: skip
        if not await self._people.release(login, owner):
            return Refusal("request-invalid", f"`{folded}` changed hands meanwhile", "look again")
        return folded

    # the browser

    async def go(self, go: str, cookie: str) -> tuple[str, str] | Refusal:
        """Where to send the browser, and its cookie: from here on only that browser gets on with the login.

        Raises `GatewayError("directory-unavailable")`.
        """
        login = self._by_go.get(go)
        if login is None or self._is_over(login) or login.state is not State.WAITING:
            return _no_such_page()
        if len(cookie) != _SECRET:
            cookie = self._secret()
        if login.browser and not hmac.compare_digest(login.browser, token_digest(cookie)):
            return _no_such_page()
        login.browser = token_digest(cookie)
        url = await self._ask(self._provider.authorization_url, login.oauth_state, login.nonce, login.verifier)
        return url, cookie

    async def callback(self, query: Mapping[str, str], cookie: str, peer: Peer) -> str | Refusal:
        """The form that the browser is to show for the provider's answer. Raises as `go`."""
        login = self._by_state.pop(query.get("state", ""), None)
        if login is None or self._is_over(login) or login.state is not State.WAITING:
            reason = "an answer of the provider to no login that waits"
            await self._access.refuse_proven(Failure("authentication-failed", reason, ""), peer, "oidc-browser")
            return _no_such_page()
        if not login.browser or not hmac.compare_digest(login.browser, token_digest(cookie)):
            return await self._fail(login, "the provider's answer came from another browser")
        named, metadata = query.get("iss"), await self._ask(self._provider.metadata)
        if (named is None and metadata.names_issuer) or (named is not None and named != self._settings.issuer):
            return await self._fail(login, "the provider's answer is another issuer's")
        if "error" in query:
            return await self._fail(login, "the person did not finish at the provider")
        code = query.get("code", "")
        if not 0 < len(code) <= 4096 or not code.isascii() or not code.isprintable():
            return await self._fail(login, "the provider gave no code")
        try:
            await self._believe(login, await self._ask(self._provider.code_tokens, code, login.verifier), login.nonce)
        except Declined as declined:
            return await self._fail(login, f"the provider refused the code: {declined.error}")
        except Untrue as untrue:
            return await self._fail(login, str(untrue), told=True)
        login.state, login.form = State.CONFIRMING, self._secret()
        self._by_form[login.form] = login
        return login.form

    def asking(self, form: str, cookie: str) -> Asking | Refusal:
        """What the page with that form shows, in the browser that it is for."""
        login = self._confirming(form, cookie)
        if login is None or login.facts is None:
            return _no_such_page()
        return Asking(login.facts.login, login.peer.host)

    async def confirm(self, form: str, cookie: str, typed: str | None) -> bool | Refusal:
        """Whether the code that the person typed is the terminal's; None for who did not begin the login.

        Raises `GatewayError("store-unavailable")`.
        """
        login = self._confirming(form, cookie)
        if login is None:
            return _no_such_page()
        if typed is None:
            return await self._fail(login, "the person in the browser did not begin the login")
        folded = "".join(char for char in typed[:64].upper() if char in _LETTERS)
        if not hmac.compare_digest(folded.encode(), login.code.replace("-", "").encode()):
            login.tries += 1
            if login.tries >= TRIES:
                return await self._fail(login, "the terminal's code was not typed")
            return False
        login.tries = 0
        return await self._know(login) or True

    # inside

    async def _begin_browser(self, login: UnderWay) -> str:
        # asked now, so that an outage is told at the terminal
        await self._ask(self._provider.metadata)
        login.code, login.go = self._short(), self._secret()
        login.oauth_state, login.nonce, login.verifier = self._secret(), self._secret(), self._secret()
        self._by_go[login.go] = self._by_state[login.oauth_state] = login
        return f"{self.origin}/v1/login/go/{login.go}"

    async def _begin_device(self, login: UnderWay) -> str | Refusal:
        try:
            device = await self._ask(self._provider.begin_device)
        except Declined as declined:
            return await self._fail(login, f"the provider refused a device code: {declined.error}")
        login.device, login.code, login.interval_s = device.code, device.user_code, device.interval_s
        login.until = min(login.until, self._monotonic() + device.life_s)
        login.next_at = self._monotonic() + device.interval_s
        return device.uri

    async def _poll(self, login: UnderWay) -> None:
        if login.asking or self._monotonic() < login.next_at:
            return
        login.asking = True
        try:
            await self._believe(login, await self._ask(self._provider.device_tokens, login.device), None)
            login.factor_at = None
            await self._know(login)
        except Declined as declined:
            if declined.error == "slow_down":
                login.interval_s += 5.0
            elif declined.error != "authorization_pending":
                await self._fail(login, f"the provider refused: {declined.error}")
        except Untrue as untrue:
            await self._fail(login, str(untrue), told=True)
        finally:
            login.asking, login.next_at = False, self._monotonic() + login.interval_s

    async def _believe(self, login: UnderWay, tokens: Tokens, nonce: str | None) -> None:
        """Keep with the login what true tokens say. Raises `Untrue`, `Declined`, and as `begin`."""
        if not tokens.identity:
            raise Untrue("the provider gave no ID token")
        claims = await self._ask(self._provider.claims, tokens, nonce=nonce)
        login.facts = facts_of(claims, self._settings)
        login.factor_at = provider_factor_at(claims, self._settings.factor, self._clock())
        login.refresh = tokens.refresh

    async def _know(self, login: UnderWay) -> Refusal | None:
        """From here on the person is known as the provider states him, if that can be."""
        assert login.facts is not None
        login.state = State.FAILED
        found = await self._people.learn(login.facts, login.refresh)
        login.refresh = ""
        if isinstance(found, Refusal):
            return await self._fail(login, found.message, told=True)
        login.person, login.state = found, State.PROVED
        return None

    async def _fail(self, login: UnderWay, reason: str, *, told: bool = False) -> Refusal:
        """The login is over, recorded with the reason, which is told to a person whom the provider proved."""
        message = reason if told else "the login at the identity provider was not finished"
        login.state, login.refresh, login.device = State.FAILED, "", ""
        login.refusal = Refusal("sign-in-refused", message, "`gateway login` begins another one")
        failure = Failure("sign-in-refused", reason, login.facts.login if login.facts is not None else "")
        await self._access.refuse_proven(failure, login.peer, login.method)
        return login.refusal

    async def _ask(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._asked += 1
        try:
            return await self._people.asking(function, *args, **kwargs)
        finally:
            self._asked -= 1

    def _found(self, token: str) -> UnderWay | None:
        login = self._logins.get(token_digest(token))
        return None if login is None or self._is_over(login) else login

    def _confirming(self, form: str, cookie: str) -> UnderWay | None:
        login = self._by_form.get(form)
        if login is None or self._is_over(login) or login.state is not State.CONFIRMING:
            return None
        return login if hmac.compare_digest(login.browser, token_digest(cookie)) else None

    def _is_over(self, login: UnderWay) -> bool:
        return self._monotonic() >= login.until

    def _sweep(self) -> None:
        for login in [one for one in self._logins.values() if self._is_over(one)]:
            self._drop(login)

    def _drop(self, login: UnderWay) -> None:
        self._logins.pop(login.key, None)
        self._by_go.pop(login.go, None)
        self._by_state.pop(login.oauth_state, None)
        self._by_form.pop(login.form, None)

    def _secret(self) -> str:
        return urlsafe_b64encode(self._token(32)).decode().rstrip("=")

    def _short(self) -> str:
        """A code of some 34 bits in two groups; it is no secret, only impossible to guess for who does not see it."""
        number = int.from_bytes(self._token(16), "big")
        letters = [_LETTERS[number // 20**place % 20] for place in range(_CODE)]
        return "".join(letters[:4]) + "-" + "".join(letters[4:])


def _over() -> Refusal:
    return Refusal("session-expired", "the login is over, or was never finished", "`gateway login` begins another one")


def _no_such_page() -> Refusal:
    return Refusal(
        "not-found", "no login waits for this browser: it is over, was used, or began in another one",
        "begin again at your terminal: `gateway login`",
    )  # fmt: skip
