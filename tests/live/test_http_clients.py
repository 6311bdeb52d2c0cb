"""The clients that people have, at an API behind the gateway: requests, httpx2, curl with a netrc, and a fuzzer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
from http_api import CANARY, CREDENTIAL
from http_house import HttpHouse, open_http_house, token
from requests.adapters import HTTPAdapter

from gateway.demo.client import bare_environment
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.errors import CODES

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

EMPLOYEE = "/companies/42/employees/4200"
EXAMPLES = 25
"""Cases for each operation: what a run of this test costs is bounded."""


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("clients"), postgres) as place:
        yield place


@pytest.fixture(scope="module")
def opened(place: HttpHouse) -> dict[str, Any]:
    return place.opened()


@pytest.mark.parametrize("how", ["basic", "bearer"])
def test_requests_reads_streams_and_is_refused_in_json(place: HttpHouse, opened: dict[str, Any], how: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(place.ca)
        session.mount("https://", HTTPAdapter(pool_maxsize=4))
        if how == "basic":
            session.auth = (opened["user"], opened["password"])
        else:
            session.headers["Authorization"] = f"Bearer {token(opened)}"
        one = session.get(place.url(EMPLOYEE), timeout=30)
        assert one.json()["iban"].startswith("FR76*")
        with session.get(place.url("/companies/42/export?lines=500"), stream=True, timeout=30) as lines:
            assert sum(1 for _ in lines.iter_lines()) == 500
        refused = session.post(place.url("/companies/42/notes"), json={"text": "x"}, timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (403, "read-only")
        # a program that happens to accept HTML is told in JSON all the same: it shows a pass
        told = session.get(place.url("/companies/43/employees/4300"), headers={"Accept": "text/html"}, timeout=30)
        assert (told.status_code, told.headers["content-type"]) == (404, "application/problem+json")


def test_httpx_reads_with_basic(place: HttpHouse, opened: dict[str, Any]) -> None:
    with place.client(opened) as client:
        del client.headers["authorization"]
        answers = [client.get(EMPLOYEE, auth=httpx2.BasicAuth(opened["user"], opened["password"])) for _ in range(3)]
    assert {one.status_code for one in answers} == {200}
    assert all(CANARY not in one.text for one in answers)


def test_curl_takes_the_pass_from_a_netrc(place: HttpHouse, opened: dict[str, Any], tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.touch(0o600)
    netrc.write_text(f"machine localhost login {opened['user']} password {opened['password']}\n")
    done = place.curl("--netrc-file", str(netrc), "-w", "\n%{http_code}", place.url(EMPLOYEE))
    body, _, status = done.stdout.rpartition(b"\n")
    assert (status, json.loads(body)["iban"][:5]) == (b"200", "FR76*")


def test_curl_keeps_no_cookie(place: HttpHouse, opened: dict[str, Any], tmp_path: Path) -> None:
    jar = tmp_path / "jar"
    place.curl("-c", str(jar), "-b", str(jar), place.url(EMPLOYEE), opened=opened)
    assert "gateway" not in jar.read_text()


def describe(place: HttpHouse) -> dict[str, Any]:
    """The API as its description has it: more than the policy lets through."""
    integer, text = {"type": "integer"}, {"type": "string"}
    company = {"name": "company", "in": "path", "required": True, "schema": {"enum": [41, 42, 43]}}
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
    any_answer = {"responses": {"default": {"description": "an answer", "content": {"*/*": {"schema": {}}}}}}

    def body(**properties: Any) -> dict[str, Any]:
        schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
        return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

    def query(**names: Any) -> dict[str, Any]:
        return {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in names.items()]}

    return {
        "openapi": "3.0.3",
        "info": {"title": "Back office", "version": "1"},
        "servers": [{"url": place.url()}],
        "paths": {
            "/companies/{company}/employees/{number}": {
                "parameters": [company, number],
                "get": any_answer,
                "patch": any_answer | body(status=text),
            },
            "/companies/{company}/employees": {
                "parameters": [company],
                "get": any_answer | query(page=integer, q=text),
            },
            "/companies/{company}/export": {
                "parameters": [company],
                "get": any_answer | query(lines={"type": "integer", "maximum": 40}),
            },
            "/companies/{company}/notes": {"parameters": [company], "post": any_answer | body(text=text)},
            "/companies/{company}/secrets": {"parameters": [company], "get": any_answer},
        },
    }


def test_a_fuzzer_finds_no_fault_of_ours_and_nothing_hidden(
    place: HttpHouse, opened: dict[str, Any], tmp_path: Path
) -> None:
    """Schemathesis from the API's description: examples, edges, and what does not fit the description."""
    described, har = tmp_path / "openapi.json", tmp_path / "seen.json"
    described.write_text(json.dumps(describe(place)))
    del place.office.seen[:]
    done = subprocess.run(
        [Path(sys.executable).parent / "st", "run", str(described), "--url", place.url(),
         "--checks", "not_a_server_error",
         "--mode", "all", "--max-examples", str(EXAMPLES), "--seed", "7", "--workers", "1",
         "--tls-verify", str(place.ca),
         "--header", f"Authorization: Bearer {token(opened)}", "--phases", "examples,coverage,fuzzing",
         "--generation-database", "none", "--report", "har", "--report-har-path", str(har), "--request-timeout", "30",
         "--suppress-health-check", "all"],
        capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path,
        env={**bare_environment(), "HOME": str(tmp_path)},
    )  # fmt: skip
    answers = [one["response"] for one in json.loads(har.read_text())["log"]["entries"]]
    assert len(answers) > 100, done.stdout[-3000:] + done.stderr[-2000:]
    assert done.returncode == 0, done.stdout[-6000:]
    statuses = {one["status"] for one in answers}
    assert {200, 403, 404} <= statuses
    assert not any(status >= 500 for status in statuses)
    for one in answers:
        # the raw report holds every byte that came back
        assert CANARY not in json.dumps(one)
        content = one["content"].get("text") or ""
        if one["status"] >= 400 and content.startswith("{"):
            assert json.loads(content)["code"] in CODES
    for seen in place.office.seen:
        assert seen.header("authorization") == CREDENTIAL
        assert "/companies/42/" in seen.target
        assert seen.method == "GET"
