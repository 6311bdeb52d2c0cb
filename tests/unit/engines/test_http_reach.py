"""Which target a request is for, and what proves the gateway to it: the parts that need no socket."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from gateway import record
from gateway.certificates import issue
from gateway.cli import judging_http
from gateway.config import load_config
from gateway.engines import http_tokens
from gateway.engines.http_addresses import Addressed, Addresses
from gateway.engines.http_identity import read_identity
from gateway.engines.http_process import see_certificates
from gateway.engines.http_statements import Requests
from gateway.engines.http_tokens import Token, Tokens, asked, token_of
from gateway.errors import GatewayError, Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest
from gateway.http_settings import ClientCertificate, HttpTarget, OAuthCredential
from gateway.policy.load import parse_policy

GOOD = """\
origin: gateway-1
state: state
tls: {certificate: a.pem, key: b.pem}
master_key: {file: master.key}
directory: {path: people.yaml}
tickets: {path: tickets.yaml}
policies: policies
targets:
  db: {host: 127.0.0.1, database: payroll, user: ro, password: {env: PGPW}, tls: off}
"""


def target(**listen: Any) -> HttpTarget:
    given = {"engine": "http", "url": "https://api.test", "listen": {"port": 8444, **listen}}
    return HttpTarget.model_validate(given)


def loaded(tmp_path: Path, *listens: str) -> str:
    """What is said of targets with these listeners; nothing where they may stand together."""
    path = tmp_path / "gateway.yaml"
    lines = [
        f"  t{n}:\n    engine: http\n    url: https://a.test\n    listen: {one}\n" for n, one in enumerate(listens)
    ]
    path.write_text(GOOD + "".join(lines))
    try:
        load_config(path, {})
    except GatewayError as error:
        return error.refusal.message.removeprefix(str(path))
    return ""


@pytest.mark.parametrize("listens", [
    ["{port: 1}", "{port: 2}"], ["{port: 0}", "{port: 0}"], ["{port: 1}", "{port: 1, host: '::1'}"],
    ["{port: 1, server_name: a.test}", "{port: 1, server_name: b.test}"],
    ["{port: 1, prefix: /a}", "{port: 1, prefix: /b}"], ["{port: 1, prefix: /a}", "{port: 1, prefix: /ab}"],
    ["{port: 1, server_name: a.test, prefix: /a}", "{port: 1, server_name: a.test, prefix: /b}",
     "{port: 1, server_name: b.test}"],
    ["{port: 1, server_name: a.test, prefix: /a}", "{port: 1, server_name: b.test, prefix: /a}"],
])  # fmt: skip
def test_targets_that_can_be_told_apart_may_share_a_socket(tmp_path: Path, listens: list[str]) -> None:
    assert loaded(tmp_path, *listens) == ""


@pytest.mark.parametrize(("listens", "wanted"), [
    (["{port: 1}", "{port: 1}"], ":17:5: `targets.t1.listen.prefix`: `t0` has the same host and port: each needs a"),
    (["{port: 1, prefix: /a}", "{port: 1}"], "each needs a `server_name` or a `prefix` of its own"),
    (["{port: 1, prefix: /a}", "{port: 1, prefix: /a}"], ":17:23: `targets.t1.listen.prefix`"),
    (["{port: 1, prefix: /a}", "{port: 1, prefix: /a/b}"], "`/a/b` and `/a` are met by one path"),
    (["{port: 1, prefix: /a/b}", "{port: 1, prefix: /a}"], "`/a` and `/a/b` are met by one path"),
    (["{port: 1, server_name: a.test}", "{port: 1, prefix: /a}"], "either both have a `server_name` or neither"),
    (["{port: 1, server_name: a.test}", "{port: 1, server_name: a.test}"], "each needs a `server_name` or a `prefix`"),
    (["{port: 1, server_name: a.test, prefix: /a, certificate: x, key: y}",
      "{port: 1, server_name: a.test, prefix: /b}"], "one name, `a.test`, has one certificate"),
    (["{port: 1, server_name: A.test}"], "`server_name` is a host name in lower case"),
    (["{port: 1, server_name: 127.0.0.1}"], "`server_name` is a host name in lower case"),
    (["{port: 1, server_name: a.test.}"], "`server_name` is a host name in lower case"),
    (["{port: 1, server_name: '*.test'}"], "`server_name` is a host name in lower case"),
    (["{port: 1, certificate: x, key: y}"], "`certificate` is for a `server_name`"),
    (["{port: 1, server_name: a.test, certificate: x}"], "`certificate` and `key` are given together"),
    *(([f"{{port: 1, prefix: '{prefix}'}}"], "prefix") for prefix in (
        "a", "/", "/a/", "//a", "/A", "/a b", "/a%2fb", "/../a", "/.", "/a.", "/a?", "/a#", "/{a}", "/é", "/a;b",
    )),
])  # fmt: skip
def test_what_could_be_meant_by_one_request_is_refused_where_it_stands(
    tmp_path: Path, listens: list[str], wanted: str
) -> None:
    assert wanted in loaded(tmp_path, *listens)


def test_a_socket_of_one_target_is_for_every_host() -> None:
    found = Addresses({"a": target(), "b": target(port=1)})
    assert found.find(0, "", "whatever:1", "/x") == Addressed("a", "/x")
    assert found.find(1, "c.test", "b.test", "/x") == Addressed("b", "/x")
    assert isinstance(found.find(2, "", "b.test", "/x"), Refusal)
    assert isinstance(found.find(-1, "", "b.test", "/x"), Refusal)


@pytest.mark.parametrize(("name", "host", "path", "wanted"), [
    ("a.test", "a.test", "/one/x?y", Addressed("one", "/x?y")),
    ("a.test", "A.Test:99", "/two/x", Addressed("two", "/x")),
    ("A.test", "a.test", "/one/", Addressed("one", "/")), ("b.test", "b.test", "/one/x", Addressed("three", "/one/x")),
    ("a.test", "a.test", "/one", Addressed("", "/one")), ("a.test", "a.test", "/", Addressed("", "/")),
    ("a.test", "a.test", "/One/x", Addressed("", "/One/x")), ("a.test", "a.test", "/one?/x", Addressed("", "/one?/x")),
    ("a.test", "b.test", "/one/x", None), ("", "a.test", "/one/x", None), ("", "", "/one/x", None),
    ("c.test", "c.test", "/one/x", None), ("a.test", "a.test.", "/one/x", None), ("a.test", "[a.test]", "/one/x", None),
])  # fmt: skip
def test_a_request_is_for_the_target_that_its_host_and_path_name(
    name: str, host: str, path: str, wanted: Addressed | None
) -> None:
    addresses = Addresses({
        "one": target(server_name="a.test", prefix="/one"), "two": target(server_name="a.test", prefix="/two"),
        "three": target(server_name="b.test"),
    })  # fmt: skip
    found = addresses.find(0, name, host, path)
    if wanted is None:
        assert isinstance(found, Refusal)
        assert found.code == "misdirected-request"
    else:
        assert found == wanted


def oauth(**more: Any) -> OAuthCredential:
    given = {"kind": "oauth", "token_url": "https://id.test/token", "client_id": "gw 1", "client_secret": {"env": "S"}}
    return OAuthCredential.model_validate({**given, **more})


@pytest.mark.parametrize("more", [
    {"token_url": "http://id.test/token"}, {"token_url": "https://u:p@id.test/"}, {"token_url": "https://id.test/#x"},
    {"token_url": "ftp://localhost"}, {"token_url": "https://[x"}, {"client_secret": None}, {"client_secret": "text"},
    {"client_key": {"env": "K"}}, {"auth": "private_key_jwt"}, {"auth": "none"}, {"scopes": ["a b"]}, {"scopes": [""]},
    {"client_id": "é"}, {"audience": "a b"}, {"timeout": "0s"},
])  # fmt: skip
def test_what_no_token_could_be_fetched_with_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        oauth(**more)


def test_a_client_proves_itself_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", "p:s é")
    headers, form = asked(oauth(scopes=["a", "b"], audience="https://api.test"))
    proof = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode()
    assert proof == "gw+1:p%3As+%C3%A9"
    assert form == {"grant_type": "client_credentials", "scope": "a b", "audience": "https://api.test"}
    headers, form = asked(oauth(auth="client_secret_post"))
    assert "authorization" not in headers
    assert form == {"grant_type": "client_credentials", "client_id": "gw 1", "client_secret": "p:s é"}


def pem(key: Any) -> str:
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.decode()


@pytest.mark.parametrize(("make", "algorithm", "kind"), [
    (lambda: rsa.generate_private_key(65537, 2048), "RS256", RSAKey),
    (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256", ECKey),
    (lambda: ec.generate_private_key(ec.SECP521R1()), "ES512", ECKey),
], ids=["rsa", "p256", "p521"])  # fmt: skip
def test_a_client_asserts_who_it_is(make: Any, algorithm: str, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = pem(make())
    monkeypatch.setenv("K", key)
    settings = oauth(auth="private_key_jwt", client_secret=None, client_key={"env": "K"}, key_id="one")
    headers, form = asked(settings)
    assert "authorization" not in headers
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    found = jwt.decode(form["client_assertion"], kind.import_key(key), algorithms=[algorithm])
    assert (found.header["alg"], found.header["kid"]) == (algorithm, "one")
    assert (found.claims["iss"], found.claims["sub"], found.claims["aud"]) == ("gw 1", "gw 1", settings.token_url)
    assert found.claims["exp"] - found.claims["iat"] == 60
    again = jwt.decode(asked(settings)[1]["client_assertion"], kind.import_key(key), algorithms=[algorithm])
    assert again.claims["jti"] != found.claims["jti"]


def test_a_key_that_signs_nothing_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("hello-secret", pem(ed25519.Ed25519PrivateKey.generate())):
        monkeypatch.setenv("K", text)
        with pytest.raises(GatewayError) as refused:
            asked(oauth(auth="private_key_jwt", client_secret=None, client_key={"env": "K"}))
        assert refused.value.code == "configuration-invalid"
        assert text not in str(refused.value.refusal)


@pytest.mark.parametrize(("life", "until"), [(3600, 3570.0), (40, 30.0), (1, 0.75), (10**9, 86370.0), (None, 45.0)])
def test_a_token_is_used_until_shortly_before_its_end(life: int | None, until: float) -> None:
    document = {"access_token": "abc", "token_type": "bearer"} | ({"expires_in": life} if life is not None else {})
    assert token_of(200, json.dumps(document).encode(), 0.0) == Token("abc", until)


@pytest.mark.parametrize(("status", "body"), [
    (200, ""), (200, "[]"), (200, "[" * 60000), (200, "\xff"), (200, '"CANARY"'), (200, '{"access_token": "CANARY"}'),
    (200, '{"access_token": "CAN ARY", "token_type": "Bearer"}'), (200, '{"access_token": 1, "token_type": "Bearer"}'),
    (200, '{"access_token": "CANARY\\r\\nx: y", "token_type": "Bearer"}'),
    (200, '{"access_token": "", "token_type": "Bearer"}'), (200, '{"access_token": "CANARY", "token_type": "mac"}'),
    *((200, f'{{"access_token": "CANARY", "token_type": "Bearer", "expires_in": {life}}}') for life in (
        0, -1, "true", "null", '"3600"', "NaN", "Infinity", "[]", "1e999",
    )),
    (201, '{"access_token": "CANARY", "token_type": "Bearer"}'), (302, ""),
    (401, '{"error": "CANARY"}'), (500, "CANARY"),
])  # fmt: skip
def test_what_is_no_token_gives_none_and_is_not_repeated(status: int, body: str) -> None:
    with pytest.raises(GatewayError) as refused:
        token_of(status, body.encode("latin-1"), 0.0)
    assert refused.value.code == "credential-unavailable"
    assert refused.value.refusal.detail
    assert "CANARY" not in str(refused.value.refusal) + str(refused.value)


def test_only_the_known_words_of_a_token_server_are_told() -> None:
    with pytest.raises(GatewayError) as refused:
        token_of(401, b'{"error": "invalid_client"}', 0.0)
    assert "401, `invalid_client`" in refused.value.refusal.detail


class Server:
    """A token server that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 1000.0
        self.faults: list[GatewayError] = []
        self.reported: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetched(self, _settings: OAuthCredential, now: float) -> Token:
        self.asked += 1
        number = self.asked
        await self.gate.wait()
        if self.faults:
            raise self.faults.pop()
        return Token(f"t{number}", now + 100)

    def tokens(self, monkeypatch: pytest.MonkeyPatch) -> Tokens:
        monkeypatch.setattr(http_tokens, "fetched", self.fetched)
        return Tokens(oauth(), lambda _, error: self.reported.append(str(error)), lambda: self.now)


def test_one_fetches_for_all_and_its_token_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        server = Server()
        tokens = server.tokens(monkeypatch)
        server.gate.clear()
        waiting = [asyncio.create_task(tokens.token()) for _ in range(20)]
        await asyncio.sleep(0)
        # the first who asked leaves: nobody else minds
        waiting[0].cancel()
        await asyncio.sleep(0)
        server.gate.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == ["t1"] * 19
        server.now += 99.9
        assert await tokens.token() == "t1"
        server.now += 0.2
        assert (await tokens.token(), server.asked) == ("t2", 2)

    asyncio.run(work())


def test_a_token_server_that_fails_is_left_alone_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        server = Server()
        server.faults = [GatewayError("credential-unavailable", "none", detail="down")]
        tokens = server.tokens(monkeypatch)
        for _ in range(5):
            found = await tokens.token()
            assert isinstance(found, Refusal)
            assert found.code == "credential-unavailable"
        assert (server.asked, len(server.reported)) == (1, 1)
        server.now += 1.1
        assert await tokens.token() == "t2"

    asyncio.run(work())


def test_a_token_that_the_api_refuses_is_fetched_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        server = Server()
        tokens = server.tokens(monkeypatch)
        assert await tokens.token() == "t1"
        tokens.refused("of-another-time")
        assert await tokens.token() == "t1"
        tokens.refused("t1")
        tokens.refused("t1")
        assert await tokens.token() == "t2"
        # the API refuses whatever it gets: the token server is not asked for each request
        tokens.refused("t2")
        assert await tokens.token() == "t2"
        server.now += 31
        tokens.refused("t2")
        assert await tokens.token() == "t3"

    asyncio.run(work())


def test_a_certificate_belongs_to_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = issue("a", ["a.test"]), issue("b", ["b.test"])
    path = tmp_path / "client.crt"
    path.write_bytes(one.certificate + one.ca)
    settings = ClientCertificate.model_validate({"certificate": path, "key": {"env": "K"}})
    monkeypatch.setenv("K", one.key.decode())
    found = read_identity(settings)
    assert found.chain == one.certificate + one.ca
    assert found == read_identity(settings)
    for text in (other.key.decode(), "hello"):
        monkeypatch.setenv("K", text)
        with pytest.raises(GatewayError):
            read_identity(settings)
    monkeypatch.setenv("K", one.key.decode())
    path.write_text("no certificate")
    with pytest.raises(GatewayError):
        read_identity(settings)
    path.unlink()
    with pytest.raises(GatewayError):
        read_identity(settings)


SOCKET = """\
target: live
access:
  teams: [support]
  ticket: {projects: [SUP], states: [open]}
  duration: {default: 1h, max: 8h}
  auto_approve: masked_reads
  approvers: {teams: [security]}
http:
  routes:
    live: {get: "/live/{id}", path: {id: integer}, customer: path.id, websocket: unmasked}
    talk: {get: "/talk/{id}", path: {id: integer}, customer: path.id, websocket: unmasked, write: request}
"""


def test_a_record_says_that_nobody_masks_a_websocket() -> None:
    rules = parse_policy(SOCKET).http
    assert rules is not None
    headers = tuple(
        (name, value)
        for name, value in (
            (b"host", b"a.test"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        )
    )  # fmt: skip
    requests = Requests(lambda digest: f"marked:{digest}")
    for path, writes in (("/live/42", False), ("/talk/42", True)):
        plan = judge(HttpRequest("GET", path, "a.test", headers), rules, ("42",))
        assert isinstance(plan, HttpPlan)
        judged = requests.judgement(plan, 1, frozenset())
        assert judged.fields["protection"] == "unmasked"
        assert judged.plan.writes == writes
        # of what is refused the same is told
        record.event("statement.refused", **judged.fields)
        shown = judging_http._planned(plan)
        assert shown["websocket"].startswith("what the API says, unmasked")
        assert ("what the client says" in shown["websocket"]) == writes


def test_what_tls_could_not_show_stops_the_start(tmp_path: Path) -> None:
    one, other = issue("a", ["a.test"]), issue("b", ["b.test"])
    certificate, key = tmp_path / "a.crt", tmp_path / "a.key"
    certificate.write_bytes(one.certificate)
    targets = {"a": target(server_name="a.test", certificate=certificate, key=key)}
    private = load_pem_private_key(one.key, None)
    locked = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    for data in (None, b"none", other.key, locked):
        if data is not None:
            key.write_bytes(data)
        with pytest.raises(GatewayError) as refused:
            see_certificates(targets)
        assert refused.value.code == "configuration-invalid"
        assert str(certificate) in refused.value.refusal.message
    key.write_bytes(one.key)
    see_certificates({**targets, "b": target(port=1)})
