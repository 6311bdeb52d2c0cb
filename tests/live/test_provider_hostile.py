"""A provider that lies is not believed, and leads the gateway nowhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hostile_provider import CLIENT, SECRET, HostileProvider, key
from oidc_provider import CLIENT as REAL_CLIENT
from oidc_provider import SECRET as REAL_SECRET
from oidc_provider import Browser, ProviderProcess, running
from vendor_server import Asked, Told, VendorServer, bomb, going_wrong

from gateway.access.directory.oidc.id_token import UnknownKey, Untrue
from gateway.access.directory.oidc.provider import KEYS_AGAIN_S, Declined, Provider
from gateway.demo.tls import LOOPBACK, make_server_tls
from gateway.errors import GatewayError
from gateway.oidc_settings import OidcDirectory

CALLBACK = "https://gw.example:8443/v1/login/callback"


class Clock:
    """The monotonic clock, moved on by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


@pytest.fixture
def evil() -> Iterator[tuple[HostileProvider, VendorServer]]:
    provider = HostileProvider()
    with VendorServer(provider) as server:
        provider.at(server.url)
        yield provider, server


@pytest.fixture
def open_provider(secret: Path) -> Iterator[Callable[..., Provider]]:
    opened: list[Provider] = []

    def make(issuer: str, clock: Clock | None = None, **settings: Any) -> Provider:
        directory = OidcDirectory(
            **{
                "kind": "oidc", "issuer": issuer, "client_id": CLIENT, "client_secret": {"file": secret},
                "redirect_url": CALLBACK, "timeout": 1.0, **settings,
            }
        )  # fmt: skip
        opened.append(Provider(directory, lambda: datetime.now(UTC), monotonic=clock or time.monotonic))
        return opened[-1]

    yield make
    for provider in opened:
        provider.close()


def unavailable(work: Callable[[], object]) -> str:
    """What operators are told of the outage that the work ends in."""
    with pytest.raises(GatewayError) as caught:
        work()
    assert caught.value.code == "directory-unavailable"
    return caught.value.refusal.detail


Evil = tuple[HostileProvider, VendorServer]
Opener = Callable[..., Provider]


def test_a_true_one_is_believed(evil: Evil, open_provider: Opener) -> None:
    hostile, server = evil
    provider = open_provider(server.url)
    claims = provider.claims(provider.code_tokens("code", "verifier"), nonce="n")
    assert (claims["sub"], claims["groups"]) == ("s-1", ["support"])
    assert hostile.forms == [
        {
            "grant_type": "authorization_code", "redirect_uri": CALLBACK, "code": "code", "code_verifier": "verifier",
        }
    ]  # fmt: skip
    assert "userinfo" not in {one.path[-1] for one in server.asked}


DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"issuer": "https://accounts.example"}, "another issuer"),
    "the same with a slash": ({"issuer": "{url}/"}, "another issuer"),
    "no token endpoint": ({"token_endpoint": None}, "token_endpoint"),
    "an endpoint elsewhere": ({"token_endpoint": "https://evil.example/token"}, "token_endpoint"),
    "keys elsewhere": ({"jwks_uri": "https://evil.example/jwks"}, "jwks_uri"),
    "the metadata service": ({"jwks_uri": "http://169.254.169.254/latest"}, "jwks_uri"),
    "another port of this machine": ({"userinfo_endpoint": "http://127.0.0.1:1/userinfo"}, "userinfo_endpoint"),
    "a file": ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
    "a user in it": ({"token_endpoint": "http://127.0.0.1@evil.example/"}, "token_endpoint"),
    "a backslash in it": ({"token_endpoint": "http://evil.example\\@127.0.0.1/"}, "token_endpoint"),
    "a number": ({"token_endpoint": 7}, "token_endpoint"),
    "a browser sent elsewhere": ({"authorization_endpoint": "https://evil.example/a"}, "authorization_endpoint"),
    "a browser sent to a script": ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_discovery_document_leads_nowhere_else(evil: Evil, open_provider: Opener, name: str) -> None:
    hostile, server = evil
    change, reason = DOCUMENTS[name]
    change = {k: v.replace("{url}", server.url) if isinstance(v, str) else v for k, v in change.items()}
    hostile.document = {k: v for k, v in {**hostile.document, **change}.items() if v is not None}
    assert reason in unavailable(open_provider(server.url).metadata)
    assert len(server.asked) == 1


def test_hosts_that_are_listed_may_be_asked(evil: Evil, open_provider: Opener) -> None:
    hostile, server = evil
    hostile.document["token_endpoint"] = "https://oauth2.example.net/token"
    assert (
        open_provider(server.url, hosts=("oauth2.example.net",)).metadata().token == "https://oauth2.example.net/token"
    )
    hostile.document["token_endpoint"] = "https://oauth2.example.net:444/token"
    assert "token_endpoint" in unavailable(open_provider(server.url, hosts=("oauth2.example.net",)).metadata)


def _redirected(asked: Asked) -> Told | None:
    return Told(302, headers={"location": f"/elsewhere/{asked.path[-1]}"})


WRONG: dict[str, tuple[Told | Callable[[Asked], Told | None], str]] = {
    "a redirect": (_redirected, "answered with 302"),
    "a redirect that keeps the form": (Told(307, headers={"location": "http://127.0.0.1:1/"}), "answered with 307"),
    "a fault": (Told(500), "answered with 500"),
    "too many requests": (Told(429), "answered with 429"),
    "a compressed answer": (bomb(), "compressed"),
    "a huge answer": (Told(200, body=b'{"a": "' + b"x" * (300 << 10) + b'"}'), "larger"),
    "no JSON": (Told(200, body=b"<html>"), "not the JSON"),
    "a name twice": (Told(200, body=b'{"issuer": "a", "issuer": "b"}'), "stands twice"),
    "a list": (Told(200, []), "discovery document"),
    "nothing": (Told(200, body=b""), "not the JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_of_another_kind_is_an_outage(evil: Evil, open_provider: Opener, name: str) -> None:
    _, server = evil
    told, reason = WRONG[name]
    with going_wrong(server, told):
        assert reason in unavailable(open_provider(server.url).metadata)
    assert len(server.asked) == 1


def test_a_provider_that_drips_is_given_up(evil: Evil, open_provider: Opener) -> None:
    _, server = evil
    server.drip_s = 0.05
    begun = time.monotonic()
    assert "in time" in unavailable(open_provider(server.url).metadata)
    assert time.monotonic() - begun < 5


def test_a_new_key_is_fetched_once_and_made_up_ones_are_no_requests(evil: Evil, open_provider: Opener) -> None:
    hostile, server = evil
    clock = Clock()
    provider = open_provider(server.url, clock)

    def asked() -> int:
        return sum(one.path == ("jwks",) for one in server.asked)

    provider.claims(provider.code_tokens("c", "v"), nonce="n")
    assert asked() == 1
    hostile.signer = key("k2")
    for _ in range(20):
        # not in the set: neither now nor when it is asked for again
        with pytest.raises(UnknownKey):
            provider.claims(provider.code_tokens("c", "v"), nonce="n")
    assert asked() == 1
    clock.ahead += KEYS_AGAIN_S + 1
    hostile.keys.append(hostile.signer.as_dict(private=False))
    provider.claims(provider.code_tokens("c", "v"), nonce="n")
    assert asked() == 2
    # and one that was taken out counts no more once the set is fetched anew
    hostile.keys.pop()
    clock.ahead += 3601
    with pytest.raises(UnknownKey):
        provider.claims(provider.code_tokens("c", "v"), nonce="n")


@pytest.mark.parametrize("keys", [{"a": 1}, ["k"], [{"kty": "EC"}] * 65], ids=["no list", "texts", "too many"])
def test_keys_that_are_none_are_an_outage(evil: Evil, open_provider: Opener, keys: Any) -> None:
    hostile, server = evil
    hostile.keys = keys
    provider = open_provider(server.url)
    assert "keys" in unavailable(lambda: provider.claims(provider.code_tokens("c", "v"), nonce="n"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token_type": "mac"}, "no bearer token"),
        ({"access_token": ...}, "no bearer token"),
        ({"access_token": "a b"}, "is none"),
        ({"id_token": 7}, "is none"),
        ({"refresh_token": "x\n"}, "is none"),
        ({"refresh_token": "x" * 40_000}, "is none"),
    ],
)
def test_tokens_that_are_none_are_an_outage(
    evil: Evil, open_provider: Opener, change: dict[str, Any], reason: str
) -> None:
    hostile, server = evil
    hostile.tokens = change
    provider = open_provider(server.url)
    assert reason in unavailable(lambda: provider.code_tokens("c", "v"))


@pytest.mark.parametrize(
    ("error", "what"),
    [
        ((400, {"error": "invalid_grant"}), "invalid_grant"),
        ((400, {"error": "authorization_pending"}), "authorization_pending"),
        ((400, {"error": "<script>x", "error_description": "y"}), "scriptx"),
    ],
)
def test_the_provider_s_no_is_told_by_its_code_alone(
    evil: Evil, open_provider: Opener, error: tuple[int, dict[str, Any]], what: str
) -> None:
    hostile, server = evil
    hostile.error = error
    with pytest.raises(Declined) as caught:
        open_provider(server.url).refreshed("token")
    assert caught.value.error == what


@pytest.mark.parametrize(
    "error",
    [(401, {"error": "invalid_client"}), (400, {"error": "unauthorized_client"}), (400, {}), (404, {"error": "x"})],
)
def test_a_client_that_is_not_accepted_is_an_outage_and_nobody_s_end(
    evil: Evil, open_provider: Opener, error: tuple[int, dict[str, Any]]
) -> None:
    """A secret that ran out must not make everybody look removed."""
    hostile, server = evil
    hostile.error = error
    assert unavailable(lambda: open_provider(server.url).refreshed("token"))


def test_the_client_s_secret_is_sent_as_the_settings_say_and_named_nowhere(
    evil: Evil, open_provider: Opener, secret: Path
) -> None:
    hostile, server = evil
    secret.write_text("a b+c")
    open_provider(server.url).code_tokens("c", "v")
    assert server.asked[-1].headers["authorization"] == "Basic Z2F0ZXdheTphK2IlMkJj"
    open_provider(server.url, client_auth="post").code_tokens("c", "v")
    assert "authorization" not in server.asked[-1].headers
    assert (hostile.forms[-1]["client_id"], hostile.forms[-1]["client_secret"]) == (CLIENT, "a b+c")
    secret.chmod(0o644)
    detail = unavailable(lambda: open_provider(server.url).code_tokens("c", "v"))
    assert "a b+c" not in detail


def test_a_provider_s_certificate_is_verified_always(open_provider: Opener, tmp_path: Path) -> None:
    tls = make_server_tls(tmp_path / "tls", "Provider", LOOPBACK)
    hostile = HostileProvider()
    with VendorServer(hostile, (tls.certificate, tls.key)) as server:
        hostile.at(server.url)
        assert server.url.startswith("https:")
        assert open_provider(server.url, ca=tls.ca).metadata().token == f"{server.url}/token"
        assert "cannot be reached" in unavailable(open_provider(server.url).metadata)


# userinfo


def test_groups_that_the_token_lacks_are_asked_for_there_and_of_the_same_person(
    evil: Evil, open_provider: Opener
) -> None:
    hostile, server = evil
    del hostile.claims["groups"]
    provider = open_provider(server.url)
    hostile.userinfo = {"sub": "s-1", "groups": ["security"], "preferred_username": "bob", "amr": ["mfa"]}
    claims = provider.claims(provider.code_tokens("c", "v"), nonce="n")
    # what was signed wins, and how somebody logged in only the signed token tells
    assert (claims["groups"], claims["preferred_username"], "amr" in claims) == (["security"], "alice", False)
    hostile.userinfo = {"sub": "s-2", "groups": ["security"]}
    with pytest.raises(Untrue, match="somebody else"):
        provider.claims(provider.code_tokens("c", "v"), nonce="n")
    hostile.userinfo = {"groups": ["security"]}
    with pytest.raises(Untrue, match="somebody else"):
        provider.claims(provider.code_tokens("c", "v"), nonce="n")
    hostile.userinfo = None
    with pytest.raises(Declined):
        provider.claims(provider.code_tokens("c", "v"), nonce="n")


def test_groups_that_the_token_left_out_for_their_number_are_not_asked_for_elsewhere(
    evil: Evil, open_provider: Opener
) -> None:
    hostile, server = evil
    del hostile.claims["groups"]
    hostile.claims["_claim_names"] = {"groups": "src1"}
    hostile.claims["_claim_sources"] = {"src1": {"endpoint": "http://169.254.169.254/"}}
    hostile.userinfo = {"sub": "s-1", "groups": ["security"]}
    provider = open_provider(server.url)
    claims = provider.claims(provider.code_tokens("c", "v"), nonce="n")
    assert "groups" not in claims
    assert {one.path[-1] for one in server.asked} == {"openid-configuration", "token", "jwks"}


def test_another_provider_s_token_is_refused_though_it_is_true_there(
    evil: Evil, open_provider: Opener, tmp_path: Path
) -> None:
    """Mix-up: a token of issuer B, its keys known and all, is nothing at issuer A."""
    hostile, server = evil
    other = HostileProvider()
    with VendorServer(other) as elsewhere:
        other.at(elsewhere.url)
        provider = open_provider(server.url)
        hostile.tokens = {"id_token": other.signed()}
        hostile.keys = other.keys
        with pytest.raises(Untrue, match="another issuer"):
            provider.claims(provider.code_tokens("c", "v"), nonce="n")


DEVICES: list[dict[str, Any]] = [
    {"device_code": "d", "user_code": "x\x1b[2J", "verification_uri": "https://id.example/device"},
    {"device_code": "d", "user_code": "WDJB", "verification_uri": "http://evil.example/device"},
    {"device_code": "d", "user_code": "WDJB", "verification_uri": "https://id.example/\nsign in at https://evil"},
    {"device_code": "d", "user_code": "", "verification_uri": "https://id.example/device"},
    {"user_code": "WDJB", "verification_uri": "https://id.example/device"},
]


@pytest.mark.parametrize("device", DEVICES)
def test_what_a_terminal_would_show_of_a_device_code_is_checked(
    evil: Evil, open_provider: Opener, device: dict[str, Any]
) -> None:
    hostile, server = evil
    hostile.tokens = device
    assert "RFC 8628" in unavailable(open_provider(server.url).begin_device)


# a provider that is certified


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("userinfo", [False, True], ids=["all in the token", "groups at userinfo"])
def test_a_certified_provider_takes_our_requests_and_we_its_tokens(
    open_provider: Opener, secret: Path, tmp_path: Path, algorithm: str, userinfo: bool
) -> None:
    secret.write_text(REAL_SECRET)
    process = ProviderProcess(tmp_path / "provider", CALLBACK, algorithm=algorithm, userinfo=userinfo)
    process.person("u-1", preferred_username="alice", groups=["support"])
    with running(process):
        provider = open_provider(
            process.issuer, client_id=REAL_CLIENT, algorithms=(algorithm,), timeout=5.0,
            scopes=("profile", "groups", "offline_access"),
        )  # fmt: skip
        device = provider.begin_device()
        with pytest.raises(Declined, match="authorization_pending"):
            provider.device_tokens(device.code)
        with Browser() as browser:
            assert browser.device(device.uri, device.user_code, "u-1").status_code == 200
        tokens = provider.device_tokens(device.code)
        assert provider.claims(tokens)["groups"] == ["support"]
        again = provider.refreshed(tokens.refresh)
        assert provider.claims(again, subject="u-1")["groups"] == ["support"]
        assert again.refresh not in ("", tokens.refresh)
        # a token that was rotated away and comes again is a thief's, or the owner's after one: both are out
        with pytest.raises(Declined, match="invalid_grant"):
            provider.refreshed(tokens.refresh)
        with pytest.raises(Declined, match="invalid_grant"):
            provider.refreshed(again.refresh)
        with pytest.raises(Declined, match="invalid_grant"):
            provider.device_tokens(device.code)
