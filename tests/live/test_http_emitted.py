"""What a gateway writes and sends of requests to APIs, also of those that fail, holds no pass, credential or value."""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_fixture import eventually
from http_api import CANARY, CREDENTIAL
from http_house import ODD, HttpHouse, open_http_house, token
from receivers import Collector

from gateway.demo.postgres import EmbeddedPostgres
from gateway.engines.http_support import unsupported

pytestmark = pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "HTTP targets can be served")

VALUE = "Zqxj-typed-by-a-client"


@pytest.fixture(scope="module")
def emitting(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HttpHouse, Path, Collector]]:
    place = tmp_path_factory.mktemp("emitting")
    collector = Collector()
    settings = {
        "exports": {
            "lines": {"kind": "file", "path": str(place / "lines")},
            "events": {"kind": "file", "path": str(place / "events"), "format": "ocsf"},
        },
        "telemetry": {"url": collector.url, "traces": 1.0},
    }
    with open_http_house(place / "house", postgres, settings=settings, timeout="1s") as house:
        yield house, place, collector
    collector.stop()


def requests_of_every_kind(place: HttpHouse, mine: dict[str, Any]) -> None:
    """Good ones, refused ones, ones that cannot be read, and ones that the API answers badly; secrets everywhere."""
    shown = token(mine)
    with place.client(mine) as client:
        assert client.get("/companies/42/employees/4200").status_code == 200
        assert client.get("/companies/42/export?lines=50").status_code == 200
        for path in (f"/companies/42/{VALUE}", f"/companies/42/employees?q={VALUE}", "/companies/43/employees/1",
                     f"/companies/42/employees?access_token={shown}", "/companies/42/employees/999999"):  # fmt: skip
            assert client.get(path).status_code in (400, 403, 404)
        headers = {"X-Api-Key": shown, "Cookie": f"pass={mine['password']}", "Referer": f"https://x/?t={shown}",
                   "User-Agent": f"curl {VALUE}",
                   "traceparent": f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"}  # fmt: skip
        assert client.get("/companies/42/employees/4201", headers=headers).status_code == 200
        assert client.patch("/companies/42/employees/4200", json={"status": VALUE}).status_code in (400, 403)
        assert client.post("/companies/42/notes", json={"text": f"{VALUE} {shown}"}).status_code == 403
    head = f"GET /companies/42/{VALUE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {shown}\r\n".encode()
    for rest in (b"Bad Header: " + shown.encode() + b"\r\n\r\n", b"Content-Length: x" + shown.encode() + b"\r\n\r\n"):
        assert b" 400 " in place.raw(head + rest)
    wrong = base64.b64encode(f"{mine['user']}:{mine['password'][:-1]}x".encode()).decode()
    assert place.curl("-H", f"Authorization: Basic {wrong}", place.url("/companies/42/employees/1")).returncode == 0
    other = place.opened(target=ODD)
    place.odd.script = lambda sock, _: sock.sendall(
        b"HTTP/1.1 200 " + CANARY.encode() + b"\r\nBad: \x00\r\n\r\n{" + CANARY.encode()
    )
    with place.client(other) as client, contextlib.suppress(httpx2.TransportError):
        assert client.get("/companies/42/employees/4200").status_code == 502


def test_nothing_that_is_written_or_sent_holds_a_secret_or_a_value(
    emitting: tuple[HttpHouse, Path, Collector],
) -> None:
    place, exports, collector = emitting
    mine = place.opened()
    requests_of_every_kind(place, mine)
    last = place.house.records()[-1]["index"]
    eventually(lambda: (exports / "lines").exists() and f'"index":{last}' in (exports / "lines").read_text()
               .replace(": ", ":"), patience_s=20)  # fmt: skip
    place.house.gateway.stop()
    time.sleep(0.1)
    state = place.house.company.state
    written = {
        "the log": place.house.gateway.log.read_bytes(),
        **{f"the trail's {path.name}": path.read_bytes() for path in (state / "audit" / "segments").iterdir()},
        **{f"exported {path.name}": path.read_bytes() for path in exports.iterdir() if path.is_file()},
        "OTLP": repr(vars(collector)).encode(),
    }
    assert sum(map(len, written.values())) > 20_000
    assert b"GET /companies/{company_id}/employees/{employee_id}" in b"".join(written.values())
    secrets = {
        "the pass": mine["password"], "the token": token(mine), "a part of the token": token(mine)[20:60],
        "the API's credential": CREDENTIAL.removeprefix("Bearer "), "a hidden value": CANARY, "what was typed": VALUE,
        "an employee's number": "999999",
    }  # fmt: skip
    found = [
        (what, where) for what, secret in secrets.items() for where, data in written.items() if secret.encode() in data
    ]
    assert found == []
