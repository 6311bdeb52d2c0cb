"""How the gateway proves itself to APIs: by a certificate that is renewed under it, and by tokens that it fetches."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from gateway_fixture import awaited, eventually
from http_reach import Answer, Asked, Clients, Reach, answered, make_api, make_clients, open_reach

from gateway.demo.company import SECOND_TICKET
from gateway.demo.ports import free_port
from gateway.demo.postgres import EmbeddedPostgres
from gateway.demo.tls import LOOPBACK, make_server_tls
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

SECRET = "the-client-secret-7f3a"
ONE = "/companies/42/employees/4200"
PREFIXES = {"vault": "/vault", "cloud": "/cloud", "partner": "/partner", "brief": "/brief"}


class TokenServer:
    """Gives tokens, `t1`, `t2` and so on, which the API accepts; or does what a test tells it to."""

    def __init__(self, directory: Path) -> None:
        self.server = make_api(directory, "tokens")
        self.server.script = self._script
        self.given = 0
        self.fault: bytes = b""
        self.slow = threading.Event()
        self.slow.set()
        self.known: set[str] = set()

    def _script(self, sock: ssl.SSLSocket, asked: Asked) -> bool:
        fault = self.fault
        self.slow.wait(60)
        if fault:
            sock.sendall(fault)
            return True
        self.given += 1
        value = f"t{self.given}"
        self.known.add(f"Bearer {value}")
        life = 1 if asked.target.endswith("/brief") else 3600
        document = {"access_token": value, "token_type": "Bearer", "expires_in": life}
        sock.sendall(answered(200, json.dumps(document).encode(), "content-type: application/json"))
        return True


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return make_clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenServer:
    return TokenServer(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="module")
def place(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, issuer: Clients, tokens: TokenServer
) -> Iterator[Reach]:
    directory = tmp_path_factory.mktemp("identity")
    certificate, key = issuer.issue("gateway-1", "gateway")
    secret = directory / "client.secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    port = free_port()
    vault, cloud = make_api(directory, "vault", issuer.ca), make_api(directory, "cloud")
    cloud.known = tokens.known
    apis = {"vault": vault, "cloud": cloud, "partner": cloud, "brief": cloud}
    oauth = {
        "kind": "oauth", "client_id": "gateway", "client_secret": {"file": str(secret)}, "timeout": "2s",
        "ca": str(tokens.server.tls.ca), "scopes": ["read", "write"],
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        for api in (vault, cloud, tokens.server):
            stack.enter_context(api.serving())
        oauth["token_url"] = f"https://localhost:{tokens.server.port}/token"
        other = make_server_tls(directory / "other", "other", LOOPBACK)
        credentials: dict[str, Any] = {
            "vault": {"client_certificate": {"certificate": str(certificate), "key": {"file": str(key)}}},
            "cloud": {"credentials": oauth},
            # tokens that are as good as over when they are given
            "brief": {"credentials": {**oauth, "token_url": f"{oauth['token_url']}/brief"}},
            # a token server whose certificate is not of the authority that is named
            "partner": {"credentials": {**oauth, "ca": str(other.ca)}},
        }
        settings = {
            name: {"listen": {"port": port, "prefix": PREFIXES[name]}, **credentials[name]} for name in apis
        }  # fmt: skip
        yield stack.enter_context(
            open_reach(directory, postgres, apis, settings, port=port, ca=directory / "company" / "tls" / "ca.crt")
        )


@pytest.fixture(scope="module")
def opened(place: Reach) -> dict[str, dict[str, Any]]:
    return {name: place.opened(name) for name in PREFIXES}


@pytest.fixture(autouse=True)
def _afresh(place: Reach, tokens: TokenServer) -> None:
    for api in place.apis.values():
        del api.seen[:]
        api.script = lambda _sock, _asked: False
    del tokens.server.seen[:]
    tokens.fault = b""
    tokens.slow.set()


def ask(place: Reach, opened: dict[str, dict[str, Any]], name: str, path: str = ONE, **more: Any) -> Answer:
    with place.wire("localhost") as wire:
        return wire.ask(PREFIXES[name] + path, "localhost", opened[name], **more)


def test_an_api_that_asks_for_a_certificate_is_shown_one(
    place: Reach, opened: dict[str, dict[str, Any]], issuer: Clients
) -> None:
    assert ask(place, opened, "vault").status == 200
    (seen,) = place.apis["vault"].seen
    assert (seen.subject, seen.headers.get("authorization")) == ("gateway-1", None)


def test_a_renewed_certificate_is_shown_and_a_half_renewed_one_is_not(
    place: Reach, opened: dict[str, dict[str, Any]], issuer: Clients
) -> None:
    certificate, key = issuer.directory / "gateway.crt", issuer.directory / "gateway.key"
    old = key.read_bytes()
    issuer.issue("gateway-2", "gateway")
    new = key.read_bytes()
    key.write_bytes(old)

    def shown() -> str:
        assert ask(place, opened, "vault").status == 200
        return place.apis["vault"].seen[-1].subject

    def told() -> bool:
        return "is another's" in place.house.gateway.log_tail()

    # the certificate is of another key as long as only one of them is new
    eventually(told)
    assert shown() == "gateway-1"
    key.write_bytes(new)
    eventually(lambda: shown() == "gateway-2")
    assert certificate.read_bytes()


def test_a_key_of_the_gateway_is_in_no_process_s_arguments_or_environment(place: Reach, issuer: Clients) -> None:
    children = Path(f"/proc/{place.house.gateway.pid}/task/{place.house.gateway.pid}/children").read_text().split()
    for pid in children:
        for part in ("cmdline", "environ"):
            assert b"PRIVATE KEY" not in Path(f"/proc/{pid}/{part}").read_bytes()
            assert SECRET.encode() not in Path(f"/proc/{pid}/{part}").read_bytes()


def test_one_token_is_fetched_for_all_who_wait(
    place: Reach, opened: dict[str, dict[str, Any]], tokens: TokenServer
) -> None:
    tokens.slow.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(ask, place, opened, "cloud") for _ in range(8)]
        eventually(lambda: len(tokens.server.seen) >= 1)
        tokens.slow.set()
        assert {one.result().status for one in waiting} == {200}
    (seen,) = tokens.server.seen
    assert b64decode(seen.headers["authorization"].removeprefix("Basic ")).decode() == f"gateway:{SECRET}"
    assert seen.body == b"grant_type=client_credentials&scope=read+write"
    assert {one.headers["authorization"] for one in place.apis["cloud"].seen} == {f"Bearer t{tokens.given}"}
    assert {one.headers.get("cookie") for one in place.apis["cloud"].seen} == {None}


def test_a_token_that_the_api_refuses_is_fetched_anew_and_nothing_is_sent_twice(
    place: Reach, opened: dict[str, dict[str, Any]], tokens: TokenServer
) -> None:
    assert ask(place, opened, "cloud").status == 200
    given = tokens.given
    tokens.known.clear()
    del place.apis["cloud"].seen[:]
    follower = place.house.follow()
    first = ask(place, opened, "cloud")
    assert (first.status, first.code) == (502, "credential-refused")
    assert len(place.apis["cloud"].seen) == 1
    assert b"CANARY" not in first.body
    assert "CANARY" not in str(first.headers)
    end = awaited(follower, lambda record: record["kind"] == "statement.end" and record["tag"] != "HTTP 200")
    assert end["tag"] == "HTTP 502 credential-refused"
    assert ask(place, opened, "cloud").status == 200
    assert tokens.given == given + 1
    # what the API refuses again and again does not have the token server asked each time
    tokens.known.clear()
    assert {ask(place, opened, "cloud").code for _ in range(5)} == {"credential-refused"}
    assert tokens.given == given + 1
    tokens.known.add(f"Bearer t{tokens.given}")


def test_a_write_that_is_refused_for_its_token_is_not_sent_again(place: Reach, tokens: TokenServer) -> None:
    mine = {"cloud": place.writing("cloud", SECOND_TICKET)}
    body = b'{"text":"hello"}'
    assert ask(place, mine, "cloud", "/companies/41/notes", method="POST", body=body).status == 201
    tokens.known.clear()
    del place.apis["cloud"].seen[:]
    answer = ask(place, mine, "cloud", "/companies/41/notes", method="POST", body=body)
    assert answer.code == "credential-refused"
    assert [one.method for one in place.apis["cloud"].seen] == ["POST"]
    tokens.known.add(f"Bearer t{tokens.given}")


FAULTS = {
    "rubbish": answered(200, b"CANARY"),
    "html": answered(200, b"<html>CANARY</html>", "content-type: text/html"),
    "no-token": answered(200, b'{"token_type": "Bearer", "expires_in": 3600}'),
    "deep": answered(200, b"[" * 60_000),
    "long": answered(200, b"x" * 100_000),
    "refused": answered(401, b'{"error": "invalid_client", "error_description": "CANARY"}'),
    "elsewhere": answered(302, b"", "location: /token"),
    "down": answered(503, b"CANARY"),
    "no-http": b"CANARY\r\n\r\n",
    "packed": answered(200, b"CANARY", "content-encoding: gzip"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_token_server_says_instead_gives_no_access(
    place: Reach, opened: dict[str, dict[str, Any]], tokens: TokenServer, fault: str
) -> None:
    tokens.fault = FAULTS[fault]
    # what it gave before is good for a moment
    eventually(lambda: ask(place, opened, "brief").code_or_none == "credential-unavailable")
    del place.apis["brief"].seen[:]
    answer = ask(place, opened, "brief")
    assert (answer.status, answer.code) == (503, "credential-unavailable")
    assert "CANARY" not in f"{answer.body!r} {answer.headers}"
    assert place.apis["brief"].seen == []
    tokens.fault = b""
    eventually(lambda: ask(place, opened, "brief").status == 200)
    assert "CANARY" not in place.house.gateway.log_tail(10**6)


def test_a_token_server_that_is_slow_is_not_waited_for_without_end(
    place: Reach, opened: dict[str, dict[str, Any]], tokens: TokenServer
) -> None:
    tokens.slow.clear()
    eventually(lambda: ask(place, opened, "brief").code_or_none == "credential-unavailable")
    assert "does not answer in time" in place.house.gateway.log_tail()
    # nobody is kept out for what is not their fault
    assert not place.records("refusals.flood")
    tokens.slow.set()
    eventually(lambda: ask(place, opened, "brief").status == 200)


def test_a_token_server_whose_certificate_is_not_known_gets_no_secret(
    place: Reach, opened: dict[str, dict[str, Any]], tokens: TokenServer
) -> None:
    follower = place.house.follow()
    answer = ask(place, opened, "partner")
    assert (answer.status, answer.code) == (503, "credential-unavailable")
    assert tokens.server.seen == []
    assert place.apis["partner"].seen == []
    refused = awaited(follower, lambda record: record["kind"] == "statement.refused")
    assert (refused["code"], refused["target"]) == ("credential-unavailable", "partner")
    assert "its certificate: " in place.house.gateway.log_tail()


def test_doctor_tells_of_certificates_and_tokens(place: Reach) -> None:
    done = place.house.command("alice", "doctor", "--output", "json")
    found: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(done.stdout):
        found.setdefault(one["check"], []).append((one["level"], one["message"]))
    assert any(level == "ok" and "is valid until" in text for level, text in found["target vault"])
    assert any(level == "ok" and "proved itself" in text for level, text in found["target vault"])
    assert any(level == "ok" and "gives a token" in text for level, text in found["target cloud"])
    assert any(level == "fail" and "its certificate: " in text for level, text in found["target partner"])
    assert SECRET not in done.stdout + done.stderr


def test_nothing_that_is_written_has_a_secret(place: Reach, tokens: TokenServer, issuer: Clients) -> None:
    log = place.house.gateway.log_tail(10**6)
    trail = json.dumps(place.house.records())
    for text in (log, trail):
        assert SECRET not in text
        assert "PRIVATE KEY" not in text
        assert not any(one in text for one in ("Bearer t1", '"t1"'))
