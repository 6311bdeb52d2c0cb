"""Requests that leave for a sub-processor: masked, on record before they leave, approved as written, found by carol."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from gateway_fixture import awaited
from http_house import ODD, HttpHouse, open_http_house

from gateway.demo.company import TARGET, TICKET
from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported
from gateway.errors import GatewayError

# mitmproxy cannot be installed on Python 3.11, nor a version of it that is safe
pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

POLICY = """
target: {target}
access:
  teams: [support]
  ticket: {{projects: [SUP], states: [open, in_progress]}}
  duration: {{default: 1h, max: 8h}}
  auto_approve: masked_reads
  approvers: {{teams: [security]}}
http:
  direction: outbound
  recipient: Mailer Inc.
  routes:
    send:
      post: /companies/{{company_id}}/messages
      path: {{company_id: integer}}
      customer: path.company_id
      write: statement
      body:
        media: json
        fields:
          $.last_name: {{mask: pseudonym, domain: last_name, category: identity, required: true}}
          $.salary: {{type: integer, mask: bucket, size: 1000, category: pay}}
          $.template: {{mask: clear, choices: [welcome, farewell], category: template}}
      answers: {{202: {{media: empty}}}}
"""
BODY = {"last_name": "", "salary": 61_234, "template": "welcome"}


@pytest.fixture(scope="module")
def place(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpHouse]:
    with open_http_house(tmp_path_factory.mktemp("outbound"), postgres, policy=POLICY) as place:
        yield place


@pytest.fixture(scope="module")
def name(place: HttpHouse) -> tuple[str, str]:
    """Somebody's name, and what SQL shows of it."""
    ((number, name),) = place.house.truth("select id, last_name from employees where company_id = 42 limit 1")
    database = place.house.actor("alice").open(TICKET, target=TARGET)
    login = place.house.login_as(database["user"], database["password"])
    with psycopg.connect(**login, autocommit=True) as connection:
        ((shown,),) = connection.execute(f"select last_name from employees where id = {number}").fetchall()
    assert shown != name
    return name, shown


@pytest.fixture
def mailer(place: HttpHouse) -> list[tuple[Any, list[dict[str, Any]]]]:
    """What reached the sub-processor, each with what the trail said of transmissions at that moment."""
    got: list[tuple[Any, list[dict[str, Any]]]] = []

    def take(sock: ssl.SSLSocket, head: bytes) -> None:
        before = [record for record in place.house.records() if record.get("recipient")]
        head, _, body = head.partition(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += sock.recv(65536)
        got.append((json.loads(body), before))
        sock.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    place.odd.script = take
    return got


def test_what_leaves_is_approved_masked_on_record_before_and_found(
    place: HttpHouse, name: tuple[str, str], mailer: list[tuple[Any, list[dict[str, Any]]]]
) -> None:
    clear, shown = name
    body = {**BODY, "last_name": clear}
    statement = f"POST /companies/42/messages\n{json.dumps(body)}"
    with pytest.raises(GatewayError) as waits:
        place.opened(target=ODD, statement=statement)
    assert waits.value.code == "approval-required"
    request = [one for one in place.house.records() if one["kind"] == "request"][-1]["request"]
    bob = place.house.actor("bob")
    preview = bob.preview(request)
    assert '{"last_name":"(pseudonym)","salary":61000,"template":"welcome"}' in str(preview)
    bob.approve(request, "seen")
    mine = place.opened(target=ODD, statement=statement)
    follower = place.house.follow()
    with place.client(mine) as client:
        other = client.post("/companies/42/messages", json={**body, "salary": 61_235})
        more = client.post("/companies/42/messages", json={**body, "iban": "FR76"})
        assert (other.status_code, more.status_code, mailer) == (403, 403, [])
        sent = client.post("/companies/42/messages", json=body)
        again = client.post("/companies/42/messages", json=body)
    assert (sent.status_code, again.status_code) == (202, 403)
    ((left, before),) = mailer
    assert left == {"last_name": shown, "salary": 61_000, "template": "welcome"}
    begin = awaited(follower, lambda record: record["kind"] == "statement.begin")
    assert begin["index"] in [record["index"] for record in before if record["kind"] == "statement.begin"]
    assert (begin["recipient"], begin["sent_for"]) == ("Mailer Inc.", ["42"])
    assert begin["categories"] == ["identity", "pay", "template"]
    assert begin["sent"] == [
        "path.company_id: clear", "$.last_name: identity, pseudonym", "$.salary: pay, bucket",
        "$.template: template, clear",
    ]  # fmt: skip
    awaited(follower, lambda record: record["kind"] == "statement.end")
    assert place.house.command("carol", "login", "carol", otp=True).returncode == 0
    for narrow, count in ((["--customer", "42"], 1), (["--customer", "41"], 0), (["--recipient", "Mailer Inc."], 1)):
        asked = place.house.command("carol", "audit", "ask", "transmissions", *narrow, "--output", "json")
        assert asked.returncode == 0, asked.stderr
        rows = json.loads(asked.stdout)["rows"]
        assert [(row["record"], row["route"], row["status"]) for row in rows] == [
            (begin["index"], "send", "ok")
        ] * count
    said = [{key: record.get(key) for key in ("sql", "sent", "categories", "scope")} for record in [begin, *before]]
    assert clear not in json.dumps(said)
