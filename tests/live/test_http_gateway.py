"""An API behind the gateway, used by real clients: who gets in, what leaves, what is on record."""

from __future__ import annotations

import json
import re
import shlex
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from gateway_fixture import awaited, eventually
from http_api import CANARY, CREDENTIAL, EMPLOYEES
from http_house import OFFICE, HttpHouse, open_http_house, token

from gateway.demo.company import SECOND_TICKET, TARGET, TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.errors import GatewayError

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("http"), postgres) as place:
        yield place


@pytest.fixture(scope="module")
def opened(place: HttpHouse) -> dict[str, Any]:
    return place.opened()


def records(place: HttpHouse, kind: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        record
        for record in place.house.records()
        if record["kind"] == kind and all(record.get(name) == value for name, value in fields.items())
    ]


def everything(answer: Any) -> str:
    return f"{answer.status_code} {dict(answer.headers)} {answer.text}"


def test_only_what_the_policy_shows_leaves_masked(place: HttpHouse, opened: dict[str, Any]) -> None:
    with place.client(opened) as client:
        one = client.get("/companies/42/employees/4200")
        several = client.get("/companies/42/employees")
        lines = client.get("/companies/42/export?lines=3")
    assert one.status_code == 200
    assert set(one.json()) == {"id", "last_name", "iban"}
    assert one.json()["iban"].startswith("FR76*")
    assert several.json() == {"total": 5, "employees": [{"id": 4200 + number} for number in range(5)]}
    assert [json.loads(line)["id"] for line in lines.text.splitlines()] == [0, 1, 2]
    for answer in (one, several, lines):
        assert CANARY not in everything(answer)
        assert answer.headers["strict-transport-security"] == "max-age=63072000"
        assert answer.headers["cache-control"] == "no-store"
        assert not {"set-cookie", "x-internal-host", "server"} & set(answer.headers)


def test_an_employee_has_the_same_pseudonym_in_sql_and_in_json(place: HttpHouse, opened: dict[str, Any]) -> None:
    ((number, name),) = place.house.truth("select id, last_name from employees where company_id = 42 limit 1")
    EMPLOYEES[42, number] = {**EMPLOYEES[42, 4200], "id": number, "last_name": name}
    database = place.house.actor("alice").open(TICKET, target=TARGET)
    login = place.house.login_as(database["user"], database["password"])
    with psycopg.connect(**login, autocommit=True) as connection:
        shown = connection.execute(f"select last_name from employees where id = {number}").fetchone()
    with place.client(opened) as client:
        answer = client.get(f"/companies/42/employees/{number}").json()
    assert shown == (answer["last_name"],)
    assert answer["last_name"] != name


def test_the_gateway_shows_its_own_credential_and_never_the_pass(place: HttpHouse, opened: dict[str, Any]) -> None:
    del place.office.seen[:]
    with place.client(opened) as client:
        client.get("/companies/42/employees/4200", headers={"Cookie": "a=b", "X-Forwarded-For": "1.2.3.4"})
    (seen,) = place.office.seen
    assert seen.header("authorization") == CREDENTIAL
    assert opened["password"] not in repr(seen)
    assert token(opened) not in repr(seen)
    assert {name for name, _ in seen.headers} <= {"host", "accept", "accept-encoding", "authorization"}
    assert seen.header("host") == f"localhost:{place.office.port}"


def test_another_customers_object_and_a_missing_one_are_told_in_the_same_bytes(
    place: HttpHouse, opened: dict[str, Any]
) -> None:
    del place.office.seen[:]
    with place.client(opened) as client:
        foreign = client.get("/companies/43/employees/4300")
        missing = client.get("/companies/42/employees/999999")
    assert foreign.status_code == missing.status_code == 404
    assert (dict(foreign.headers), foreign.content) == (dict(missing.headers), missing.content)
    assert foreign.json()["code"] == "not-found"
    assert [seen.target for seen in place.office.seen] == ["/companies/42/employees/999999"]


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", "Bearer gwh_", "Bearer gwh_!!!", "Bearer gwh_YWxpY2U", "Basic YWxpY2U6eA==", "Digest x"],
)  # fmt: skip
def test_nobody_gets_in_without_a_pass(place: HttpHouse, shown: str | None) -> None:
    del place.office.seen[:]
    words = ["-H", f"Authorization: {shown}"] if shown is not None else []
    done = place.curl("-i", *words, place.url("/companies/42/employees/4200"))
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/2 401 ", head)
    assert b'www-authenticate: Bearer realm="gateway"' in head
    assert json.loads(body)["code"] == "authentication-failed"
    assert place.office.seen == []


def test_a_pass_is_good_for_its_own_target_only(place: HttpHouse, opened: dict[str, Any]) -> None:
    database = place.house.actor("alice").open(TICKET, target=TARGET)
    elsewhere = {**database, "port": opened["port"]}
    follower = place.house.follow()
    with place.client(elsewhere) as client:
        assert client.get("/companies/42/employees/4200").status_code == 401
    refused = awaited(follower, lambda record: record["kind"] == "login")
    assert (refused["decision"], refused["engine"], refused["target"]) == ("deny", "http", OFFICE)
    login = place.house.login_as(opened["user"], opened["password"])
    with pytest.raises(psycopg.OperationalError, match="not accepted"):
        psycopg.connect(**login)
    with pytest.raises(psycopg.OperationalError, match="`backoffice` is no database"):
        psycopg.connect(**{**login, "dbname": OFFICE})


def test_basic_says_the_same_as_bearer(place: HttpHouse, opened: dict[str, Any]) -> None:
    done = place.curl(
        "-o", "/dev/null", "-w", "%{http_code}", "-u", f"{opened['user']}:{opened['password']}",
        place.url("/companies/42/employees/4200"),
    )  # fmt: skip
    assert done.stdout == b"200"


@pytest.mark.parametrize(("version", "spoken"), [("--http1.1", b"1.1"), ("--http2", b"2")])
def test_curl_speaks_both_versions(place: HttpHouse, opened: dict[str, Any], version: str, spoken: bytes) -> None:
    one = place.url("/companies/42/employees/4200")
    done = place.curl(version, "-w", "\n%{http_version}\n", one, one, one, opened=opened)
    lines = done.stdout.splitlines()
    assert lines[1::2] == [spoken] * 3
    assert all(json.loads(line)["id"] == 4200 for line in lines[::2])
    head = place.curl(version, "-I", one, opened=opened)
    # a route of GET is none of HEAD
    assert head.stdout.split(b"\r\n")[0].split(b" ")[1] in (b"404", b"405")


@pytest.mark.parametrize(("version", "ciphers", "good"), [
    (ssl.TLSVersion.TLSv1_3, "", True), (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
    (ssl.TLSVersion.TLSv1_2, "ECDHE+SHA256:!AESGCM:!CHACHA20:!AESCCM", False),
    (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256", False), (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
])  # fmt: skip
def test_tls_has_forward_secrecy(place: HttpHouse, version: ssl.TLSVersion, ciphers: str, good: bool) -> None:
    context = ssl.create_default_context(cafile=str(place.ca))
    with warnings.catch_warnings():
        # what nobody should use any more is what is tried
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)

    def shake() -> str:
        with (
            socket.create_connection(("localhost", place.ports[OFFICE]), timeout=10) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secured,
        ):
            return secured.version() or ""

    if good:
        assert shake() == version.name.replace("_", ".")
    else:
        with pytest.raises(OSError):
            shake()


def test_what_streams_is_announced_before_it_leaves_and_counted(place: HttpHouse, opened: dict[str, Any]) -> None:
    follower = place.house.follow()
    with place.client(opened) as client:
        answer = client.get("/companies/42/export?lines=20000")
    assert answer.text.count("\n") == 20_000
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (end["rows"], end["bytes"], end["status"], end["tag"]) == (20_000, len(answer.content), "ok", "HTTP 200")
    windows = records(place, "statement.window", statement=end["statement"])
    (begin,) = records(place, "statement.begin", statement=end["statement"])
    announced = [begin["window_rows"], *(window["window_rows"] for window in windows)]
    assert announced == sorted(announced)
    assert announced[0] < 20_000 <= announced[-1]
    assert max(record["index"] for record in (begin, *windows)) < end["index"]


def test_the_record_of_a_request_has_its_form_and_no_value(place: HttpHouse, opened: dict[str, Any]) -> None:
    follower = place.house.follow()
    with place.client(opened) as client:
        client.get("/companies/42/employees/4201")
        client.get("/companies/42/employees/4201?debug=4201")
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    refused = awaited(follower, lambda record: record["kind"] == "statement.refused")
    assert begin["sql"] == "GET /companies/{company_id}/employees/{employee_id}"
    assert (begin["engine"], begin["protocol"], begin["verb"]) == ("http", "http", "GET")
    assert begin["relations"] == ["employee"]
    assert begin["columns_masked"] == ["employee.$.last_name", "employee.$.iban"]
    assert begin["sealed"]
    assert refused["sealed"]
    for record in (begin, refused):
        assert "4201" not in json.dumps({**record, "id": "", "time": "", "address": "", "sealed": ""})


def test_one_session_serves_many_requests_and_ends_with_its_grant(place: HttpHouse) -> None:
    mine = place.opened(ticket=SECOND_TICKET)
    follower = place.house.follow()
    with place.client(mine) as client:
        for _ in range(3):
            assert client.get("/companies/41/employees/4100").status_code == 200
        assert len(records(place, "session.begin", grant=mine["grant"])) == 1
        place.house.actor("alice").revoke(mine["grant"], "done")
        answer = client.get("/companies/41/employees/4100")
    assert answer.status_code in (401, 403)
    end = awaited(follower, lambda record: record["kind"] == "session.end")
    assert (end["code"], end["statements"], end["status"]) == ("grant-revoked", 3, "cut")


def test_a_revoked_grant_cuts_an_answer_that_streams(place: HttpHouse) -> None:
    mine = place.opened(ticket=SECOND_TICKET)
    follower = place.house.follow()
    got = 0
    with place.client(mine) as client, client.stream("GET", "/companies/41/export?lines=100000&slow=true") as answer:
        parts = answer.iter_raw()
        got += len(next(parts))
        place.house.actor("alice").revoke(mine["grant"], "done")
        with pytest.raises(httpx2.TransportError):
            got += sum(len(part) for part in parts)
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert end["status"] == "cut"
    assert end["bytes"] >= got


def approved(place: HttpHouse, statement: str) -> dict[str, Any]:
    with pytest.raises(GatewayError) as waits:
        place.opened(statement=statement)
    assert waits.value.code == "approval-required"
    request = records(place, "request", state="pending")[-1]["request"]
    bob = place.house.actor("bob")
    bob.preview(request)
    bob.approve(request, "seen")
    return place.opened(statement=statement)


def test_a_write_runs_once_as_it_was_approved(place: HttpHouse, opened: dict[str, Any]) -> None:
    statement = 'PATCH /companies/42/employees/4202\n{"status": "left"}'
    mine = approved(place, statement)
    del place.office.seen[:]
    follower = place.house.follow()
    with place.client(mine) as client:
        other = client.patch("/companies/42/employees/4203", json={"status": "left"})
        first = client.patch("/companies/42/employees/4202", json={"status": "left"})
        second = client.patch("/companies/42/employees/4202", json={"status": "left"})
    assert (first.status_code, first.json()) == (200, {"id": 4202, "status": "left"})
    assert (other.status_code, second.status_code) == (403, 403)
    assert len(place.office.seen) == 1
    assert place.office.seen[0].body == b'{"status":"left"}'
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (begin["verb"], begin["columns_written"], end["tag"]) == ("PATCH", ["set_status.$.status"], "HTTP 200")
    assert records(place, "write.claimed", grant=mine["grant"])


def test_a_grant_to_read_writes_nothing(place: HttpHouse, opened: dict[str, Any]) -> None:
    del place.office.seen[:]
    with place.client(opened) as client:
        answers = [
            client.patch("/companies/42/employees/4202", json={"status": "left"}),
            client.post("/companies/42/notes", json={"text": "hello"}),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "read-only")] * 2
    assert place.office.seen == []


def test_gateway_open_prints_a_line_for_curl_that_works(place: HttpHouse) -> None:
    signed_in = place.house.command("alice", "login", "alice", otp=True)
    assert signed_in.returncode == 0, signed_in.stderr
    done = place.house.command("alice", "open", TICKET, "--target", OFFICE)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("curl "))
    words = shlex.split(line)
    words[-1] += "companies/42/employees/4200"
    ran = subprocess.run(["curl", "-q", "-sS", *words[1:]], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(ran.stdout)["id"] == 4200


def test_a_target_that_cannot_be_reached_is_said_to_be_away(place: HttpHouse) -> None:
    mine = place.opened(target="odd")
    place.odd.script = lambda sock, _: None
    follower = place.house.follow()
    with place.client(mine) as client:
        answer = client.get("/companies/42/employees/4200")
    assert (answer.status_code, answer.json()["code"]) == (502, "target-unavailable")
    end = awaited(follower, lambda record: record["kind"] == "statement.end")
    assert (end["status"], end["rows"]) == ("error", 0)


def test_the_gateway_counts_its_http_sessions(place: HttpHouse, opened: dict[str, Any]) -> None:
    with place.client(opened) as client:
        client.get("/companies/42/employees/4200")
    eventually(lambda: place.house.metric("gateway_http_sessions") >= 1)
