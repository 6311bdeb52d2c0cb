"""A world whose people are an identity provider's, and that provider in memory: what a test wants it to say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from access_world import PEER, World

from gateway.access.directory.oidc.logins import Logins
from gateway.access.directory.oidc.people import OidcPeople
from gateway.access.directory.oidc.provider import Declined, Device, Metadata, Tokens
from gateway.access.directory.oidc.web import unavailable
from gateway.access.keys import Keys
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Principal
from gateway.oidc_settings import OidcDirectory
from gateway.record import event

ISSUER = "https://id.example"
COOKIE = "c" * 43


@dataclass
class MemoryProvider:
    """Its people by subject; `codes` and `devices` are what it gave out. `down` makes every question fail."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    refreshes: bool = True
    down: bool = False
    names_issuer: bool = True
    answer: str = "authorization_pending"
    asked: list[str] = field(default_factory=list)
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)

    def person(self, subject: str, login: str, teams: list[str] | None = None, **more: Any) -> None:
        self.people[subject] = {
            "sub": subject, "preferred_username": login, "groups": ["support"] if teams is None else teams, **more,
        }  # fmt: skip

    def metadata(self) -> Metadata:
        self._ask("metadata")
        return Metadata("a", "t", "d", "u", "j", self.names_issuer)

    def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        self._ask("authorization_url")
        self.sent[state] = nonce, verifier
        return f"{ISSUER}/authorize?state={state}"

    def begin_device(self) -> Device:
        self._ask("begin_device")
        code = f"device-{len(self.asked)}"
        return Device(code, "WDJB-MJHT", f"{ISSUER}/device", 1800.0, 5.0)

    def device_tokens(self, code: str) -> Tokens:
        self._ask("device_tokens")
        if code not in self.devices:
            raise Declined(self.answer)
        return self._given(self.devices.pop(code), "")

    def code_tokens(self, code: str, verifier: str) -> Tokens:
        self._ask("code_tokens")
        subject, state = self.codes.pop(code, ("", ""))
        if not subject or self.sent[state][1] != verifier:
            raise Declined("invalid_grant")
        return self._given(subject, self.sent[state][0])

    def refreshed(self, token: str) -> Tokens:
        self._ask("refreshed")
        subject = self.tokens.pop(token, "")
        if subject not in self.people:
            raise Declined("invalid_grant")
        return self._given(subject, "")

    def claims(self, tokens: Tokens, *, nonce: str | None = None, subject: str | None = None) -> dict[str, Any]:
        self._ask("claims")
        whose, _, of = tokens.identity.partition("|")
        assert nonce is None or nonce == of, "the logins hand the nonce on"
        assert subject is None or subject == whose
        return dict(self.people[whose])

    def close(self) -> None:
        pass

    def agree(self, state: str, subject: str) -> dict[str, str]:
        """What the browser comes back with after that person agreed."""
        code = f"code-{len(self.codes)}-{state[:8]}"
        self.codes[code] = subject, state
        return {"code": code, "state": state, "iss": ISSUER}

    def _given(self, subject: str, nonce: str) -> Tokens:
        token = f"refresh-{subject}-{len(self.asked)}"
        if self.refreshes:
            self.tokens[token] = subject
        return Tokens("access", f"{subject}|{nonce}", token if self.refreshes else "")

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise unavailable("down")


class ProviderWorld(World):
    """Everything around one `Logins`."""

    def __init__(self, path: Any = "", **settings: Any) -> None:
        self.provider = MemoryProvider()
        self.oidc = OidcDirectory(
            **{
                "kind": "oidc", "issuer": ISSUER, "client_id": "gateway", "client_secret": {"env": "X"},
                "redirect_url": "https://gw.example:8443/v1/login/callback", **settings,
            }
        )  # fmt: skip
        self.reports: list[str] = []
        self._random = iter(range(1, 1_000_000))
        super().__init__(path, directory=object())

    def make(self) -> Any:
        self.people = self.directory = self.gateway()
        access = super().make()
        self.logins = Logins(self.people, access)
        return access

    def gateway(self) -> OidcPeople:
        """What one gateway on the store knows of the provider's people."""
        return OidcPeople(
            self.oidc, self.provider, keys=Keys(self.settings.master_key), database=self.database,
            note=lambda kind, **fields: self.trail.append(event(kind, **fields)),
            report=lambda _, error: self.reports.append(error.refusal.detail),
            clock=self.time, token=lambda n: next(self._random).to_bytes(n, "big"), monotonic=self.time.monotonic,
        )  # fmt: skip

    def patient(self) -> None:
        """Let sessions bear outages for 100 s; before anybody signed in."""
        self.people.close()
        self.restart_settings(grace_s=100.0)

    def close(self) -> None:
        self.people.close()
        super().close()

    async def browser(self, subject: str, *, cookie: str = "", typed: str | None = None) -> tuple[str, Any]:
        """A login by browser up to the typed code: its token, and what the last page said."""
        begun = await self.logins.begin("browser", PEER)
        assert not isinstance(begun, Refusal), begun
        page = await self.come_back(begun, subject, cookie)
        if isinstance(page, Refusal):
            return begun.token, page
        form, cookie = page
        return begun.token, await self.logins.confirm(form, cookie, begun.code if typed is None else typed)

    async def come_back(self, begun: Any, subject: str, cookie: str = "") -> tuple[str, str] | Refusal:
        """The form that asks for the code, and the browser's cookie."""
        led = await self.logins.go(begun.uri.rpartition("/")[2], cookie)
        assert not isinstance(led, Refusal), led
        url, cookie = led
        form = await self.logins.callback(self.provider.agree(url.rpartition("=")[2], subject), cookie, PEER)
        return form if isinstance(form, Refusal) else (form, cookie)

    async def know(self, subject: str) -> Principal:
        """Log a person in at the provider, no further."""
        token, done = await self.browser(subject)
        assert done is True, done
        standing = await self.logins.look(token)
        assert not isinstance(standing, Refusal), standing
        self.forget(token)
        person = self.people.find(standing.login)
        assert person is not None
        return person

    def forget(self, token: str) -> None:
        """The command line went away, and so did the login in time."""
        login = self.logins._found(token)
        assert login is not None
        self.logins._drop(login)

    async def enrol_provider(self, subject: str, login: str) -> None:
        """A second factor for a person of the provider."""
        person = await self.know(subject)
        invitation = await self.access.invite(None, login, PEER)
        assert isinstance(invitation, str), invitation
        token, _ = await self.browser(subject)
        begun = await self.logins.enrol_begin(token, invitation, PEER)
        assert not isinstance(begun, Refusal), begun
        self.secrets[person.login] = begun.secret
        codes = await self.logins.enrol_finish(token, invitation, self.code(login), PEER)
        assert not isinstance(codes, Refusal), codes
        self.recovery[login] = codes
        self.forget(token)
        self.time.advance(30)

    async def sign_in_provider(self, subject: str, login: str) -> SignIn:
        """A sign-in of a person of the provider, who is given a factor first."""
        if login not in self.secrets:
            await self.enrol_provider(subject, login)
        token, done = await self.browser(subject)
        assert done is True, done
        signin = await self.logins.finish(token, self.code(login), PEER)
        assert isinstance(signin, SignIn), signin
        self.time.advance(30)
        return signin


def outage(people: OidcPeople, person: str) -> bool:
    """Whether the directory says that it cannot be asked about somebody."""
    try:
        people.by_id(person)
    except GatewayError as error:
        return error.code == "directory-unavailable"
    return False
