"""A security event on its way: found in the trail, told, looked into, signed by departments, closed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from gateway_fixture import House, eventually, open_house

from gateway.demo.company import TICKET
from gateway.demo.postgres import EmbeddedPostgres

GOT: list[dict[str, Any]] = []


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is told."""

    def do_POST(self) -> None:
        GOT.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def office(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("cases")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, text in (("hook.url", f"http://127.0.0.1:{server.server_address[1]}/hook"), ("hook.key", "k" * 40)):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
    (directory / "rules.yaml").write_text(
        "rules:\n  - {name: probing, title: '{login} probes', severity: high, kind: statement.refused, at_least: 6}\n"
    )
    alerts = {
        "rules": str(directory / "rules.yaml"),
        "departments": {"security": ["security", "support"], "engineering": ["engineering"]},
        "sign_offs": {one: ["security", "engineering"] for one in ("low", "medium", "high", "critical")},
        "sinks": [
            {"kind": "webhook", "name": "hook", "severity": "high", "url": {"file": str(directory / "hook.url")},
             "secret": {"file": str(directory / "hook.key")}},
        ],
    }  # fmt: skip
    with open_house(directory / "house", postgres, settings={"alerts": alerts}) as house:
        for login in ("alice", "amir", "bob", "carol", "dan"):
            house.actor(login)
            assert house.command(login, "login", login, otp=True).returncode == 0
        yield house
    server.shutdown()
    server.server_close()


def answer(house: House, login: str, *words: str, code: int = 0) -> Any:
    done = house.command(login, *words, "--output", "json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def probe(house: House, times: int) -> None:
    with psycopg.connect(house.conninfo("alice", TICKET), autocommit=True) as connection:
        for number in range(times):
            with pytest.raises(psycopg.Error):
                connection.execute(f"select pg_read_file('secret_{number}')")


def cases(house: House, login: str = "bob") -> list[dict[str, Any]]:
    return [one for one in answer(house, login, "cases", "list", "--all") if one["rule"] == "probing"]


def test_from_the_trail_to_a_closed_case(office: House) -> None:
    probe(office, 6)
    eventually(lambda: bool(cases(office)))
    (case,) = cases(office)
    assert (case["severity"], case["state"], case["title"], len(case["records"])) == ("high", "new", "alice probes", 6)
    eventually(lambda: bool(GOT))
    assert (GOT[0]["case"], GOT[0]["what"], GOT[0]["title"]) == (case["id"], "opened", "alice probes")
    assert cases(office, "alice") == []
    assert "not-found" in answer(office, "alice", "cases", "show", case["id"], code=1)

    assert answer(office, "bob", "cases", "take", case["id"])["investigator"] == "bob"
    resolved = answer(office, "bob", "cases", "resolve", case["id"], "--reason", "a script of hers guesses columns")
    assert resolved["missing"] == ["security", "engineering"]
    assert "request-invalid" in answer(office, "bob", "cases", "sign", case["id"], "security", code=1)
    assert "not-in-team" in answer(office, "dan", "cases", "sign", case["id"], "security", code=77)
    answer(office, "dan", "cases", "sign", case["id"], "engineering")
    assert "request-invalid" in answer(office, "amir", "cases", "close", case["id"], code=1)
    answer(office, "amir", "cases", "sign", case["id"], "security")
    shown = office.command("carol", "cases", "show", case["id"]).stdout
    assert "engineering: dan" in shown
    assert "a script of hers" in shown
    assert "request-invalid" in answer(office, "bob", "cases", "close", case["id"], code=1)
    assert answer(office, "amir", "cases", "close", case["id"])["state"] == "closed"
    eventually(lambda: len(GOT) == 2)
    assert GOT[1]["what"] == "closed"

    alerts = answer(office, "carol", "audit", "search", "--kind", "security.alert")
    assert [record["evidence"] for record in alerts if record["rule"] == "probing"] == [case["evidence"]]
    kinds = answer(office, "carol", "audit", "search", "--kind", "security.case")
    signed = [record for record in kinds if record["move"] in ("sign", "close") and record["decision"] == "permit"]
    assert {record["evidence"] for record in signed} == {case["evidence"]}
    notices = answer(office, "carol", "audit", "search", "--kind", "security.notice")
    assert [record["state"] for record in notices] == ["sent", "sent"]


def test_more_of_it_opens_the_case_again_over_a_restart(office: House) -> None:
    (before,) = cases(office)
    probe(office, 3)
    office.gateway.stop()
    office.gateway.start()
    probe(office, 3)
    eventually(lambda: cases(office)[0]["state"] == "new")
    (after,) = cases(office)
    assert (after["id"], len(after["records"]), after["sign_offs"]) == (before["id"], 12, [])
    eventually(lambda: len(GOT) == 3)
    assert GOT[2]["what"] == "reopened"
