"""Reading the trail over the API: who may, and that each read leaves its own record."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.checkpoint import Verifier, open_checkpoint
from gateway.audit.tree import leaf_hash
from gateway.audit.verify import proof_bytes, verify_proof
from gateway.console import trail as trail_routes
from gateway.console.trail import Filters
from gateway.record import event


def reads(desk: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.records(kind="audit.read")
    return found


def test_an_auditor_finds_records_and_the_read_is_recorded_first(desk: Any) -> None:
    desk.sign_in("alice")
    carol = desk.sign_in("carol")
    answer = desk.call("GET", "/v1/audit/records", carol, params={"person": "alice", "kind": "login"}).json()
    assert {record["login"] for record in answer["records"]} == {"alice"}
    assert answer["total"] == len(answer["records"])
    read = reads(desk)[-1]
    assert (read["login"], read["query"], read["count"]) == (
        "carol",
        "search kind=login person=alice",
        len(answer["records"]),
    )
    assert (read["factor"], read["address"]) == ("totp", "192.0.2.7:40000")


@pytest.mark.parametrize(
    "path", ["/v1/audit/records", "/v1/audit/records/0", "/v1/audit/records/0/proof", "/v1/audit/tail"]
)
@pytest.mark.parametrize("login", ["alice", "bob"])
def test_nobody_else_reads_not_even_an_administrator(desk: Any, login: str, path: str) -> None:
    token, before = desk.sign_in(login), len(reads(desk))
    answer = desk.call("GET", path, token)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-in-team")
    refused = reads(desk)[before:]
    assert [(one["login"], one["decision"], one["code"]) for one in refused] == [(login, "deny", "not-in-team")]


@pytest.mark.parametrize("path", ["/v1/audit/records", "/v1/audit/tail"])
def test_an_old_factor_reads_nothing(desk: Any, path: str) -> None:
    carol = desk.sign_in("carol")
    desk.pass_time(minutes=16)
    answer = desk.call("GET", path, carol)
    assert (answer.status_code, answer.json()["code"]) == (401, "second-factor-required")


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"since": "yesterday"},
        {"since": "2026-03-02T09:00:00"},
        {"unknown": "1"},
        {"person": "x" * 300},
    ],
)
def test_filters_are_validated(desk: Any, params: dict[str, str]) -> None:
    answer = desk.call("GET", "/v1/audit/records", desk.sign_in("carol"), params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")


def test_one_record_is_shown_by_number_and_by_id(desk: Any) -> None:
    carol = desk.sign_in("carol")
    by_number = desk.call("GET", "/v1/audit/records/0", carol).json()
    assert by_number["index"] == 0
    assert desk.call("GET", f"/v1/audit/records/{by_number['id']}", carol).json() == by_number
    assert [one["query"] for one in reads(desk)[-2:]] == ["show 0", f"show {by_number['id']}"]


def test_an_unknown_record_is_not_found_and_the_question_is_recorded(desk: Any) -> None:
    answer = desk.call("GET", "/v1/audit/records/99999", desk.sign_in("carol"))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert reads(desk)[-1]["code"] == "not-found"


@pytest.mark.parametrize("which", ["-1", "..%2f..", "1;drop", "abc", "1" * 30])
def test_what_is_no_id_is_refused(desk: Any, which: str) -> None:
    answer = desk.call("GET", f"/v1/audit/records/{which}", desk.sign_in("carol"))
    assert answer.status_code in (400, 404)


def test_a_proof_verifies_offline_with_the_key(desk: Any, tmp_path: Path) -> None:
    carol = desk.sign_in("carol")
    desk.trail.checkpoint()
    proof = desk.call("GET", "/v1/audit/records/1/proof", carol).json()
    key = desk.call("GET", "/v1/audit/key", carol).json()["key"]
    (tmp_path / "proof.json").write_bytes(proof_bytes(proof))
    report = verify_proof(tmp_path / "proof.json", key)
    assert report.ok
    assert report.record is not None
    assert report.record["index"] == 1


def test_the_checkpoint_is_the_signed_note(desk: Any) -> None:
    desk.trail.checkpoint()
    note = desk.call("GET", "/v1/audit/checkpoint", desk.sign_in("alice")).text
    assert note.startswith("example.test/1\n")
    assert "\n\n\u2014 example.test/1 " in note


WITNESS = "w" * 40


@pytest.mark.parametrize("who", ["alice", "witness"])
def test_the_hashes_of_the_trail_are_for_who_is_signed_in_and_for_witnesses(desk: Any, who: str) -> None:
    desk.trail.flush()
    desk.trail.checkpoint()
    token = WITNESS if who == "witness" else desk.sign_in(who)
    size = len(desk.records(kind="audit.read"))
    note = desk.call("GET", "/v1/audit/tlog/checkpoint", token)
    assert note.headers["content-type"] == "text/plain; charset=utf-8"
    head = open_checkpoint(
        note.text, Verifier.parse(desk.call("GET", "/v1/audit/key", desk.sign_in("alice")).json()["key"])
    )
    tile = desk.call("GET", f"/v1/audit/tlog/tile/0/000.p/{head.size}", token)
    assert (tile.status_code, len(tile.content)) == (200, 32 * head.size)
    assert tile.headers["content-type"] == "application/octet-stream"
    assert len(desk.records(kind="audit.read")) == size, "hashes are nobody's data"


@pytest.mark.parametrize(
    "path",
    ["", "segments/00000000000000000000.log", "lock", "rotations", "tile/entries/000", "tile/0/000", "tile/0/000.p/0",
     "tile/0/..%2F..%2Flock", "tile/0/../../lock", "../audit.key", "..%2faudit.key", "%2e%2e/audit.key", "checkpoint/",
     "tile/0/000.p/1%00", "tile//000", "/checkpoint"],
)  # fmt: skip
def test_nothing_but_hashes_is_there(desk: Any, path: str) -> None:
    answer = desk.call("GET", f"/v1/audit/tlog/{path}", WITNESS)
    assert answer.status_code in (401, 404), answer.text


def test_the_entries_are_for_auditors_and_their_reading_is_recorded(desk: Any) -> None:
    desk.trail.flush()
    size = desk.trail.checkpoint().size
    for token in (WITNESS, desk.sign_in("alice")):
        assert desk.call("GET", f"/v1/audit/tlog/tile/entries/000.p/{size}", token).status_code in (403, 404)
    token = desk.sign_in("carol")
    bundle = desk.call("GET", f"/v1/audit/tlog/tile/entries/000.p/{size}", token).content
    tile = desk.call("GET", f"/v1/audit/tlog/tile/0/000.p/{size}", token).content
    hashes = b""
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        hashes += leaf_hash(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    assert hashes == tile
    asked = [(record["query"], record.get("count")) for record in reads(desk)]
    assert asked[-1] == ("entries 0", size)
    desk.trail.flush()
    for path in ("000", "001", "x001/000", f"000.p/{desk.trail.durable_size + 50}"):
        assert desk.call("GET", f"/v1/audit/tlog/tile/entries/{path}", token).status_code == 404
    desk.pass_time(minutes=16)
    answer = desk.call("GET", "/v1/audit/tlog/tile/entries/000.p/1", token)
    assert answer.json()["code"] == "second-factor-required"


@pytest.mark.parametrize(
    "path",
    ["/v1/whoami", "/v1/audit/records", "/v1/audit/checkpoint", "/v1/audit/tail", "/v1/sessions", "/v1/requests"],
)
def test_the_token_of_a_witness_opens_nothing_else(desk: Any, path: str) -> None:
    assert desk.call("GET", path, WITNESS).status_code == 401


@pytest.mark.parametrize("token", ["", WITNESS[:-1], WITNESS + "w", "é" * 32])
def test_another_token_opens_no_hashes(desk: Any, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    assert desk.call("GET", "/v1/audit/tlog/checkpoint", headers=headers).status_code == 401


def test_a_trail_that_cannot_be_written_gives_no_answer(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    carol = desk.sign_in("carol")

    def refuse(*_: Any, **__: Any) -> Any:
        from gateway.errors import GatewayError

        raise GatewayError("audit-not-writable", "the audit trail cannot be written")

    monkeypatch.setattr(desk.trail, "append", refuse, raising=False)
    answer = desk.call("GET", "/v1/audit/records", carol)
    assert (answer.status_code, answer.json()["code"]) == (503, "audit-not-writable")
    assert "records" not in answer.json()


class Reader:
    """A client of the stream, as ASGI messages, because the in-process client collects whole answers."""

    def __init__(self, token: str, query: str = "") -> None:
        self.lines: list[dict[str, Any]] = []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": "/v1/audit/tail",
            "raw_path": b"/v1/audit/tail",
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"authorization", f"Bearer {token}".encode()), (b"host", b"gw.example.test")],
            "client": ("192.0.2.7", 40000),
            "server": ("gw.example.test", 443),
        }
        self.gone = asyncio.Event()
        self.came = asyncio.Event()
        self.first = True

    async def receive(self) -> dict[str, Any]:
        if self.first:
            self.first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        for line in message.get("body", b"").splitlines():
            self.lines.append(json.loads(line))
            self.came.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.lines) < count:
                self.came.clear()
                await self.came.wait()


def test_the_tail_shows_what_fits_from_now_on(desk: Any) -> None:
    carol = desk.sign_in("carol")

    async def follow() -> list[dict[str, Any]]:
        reader = Reader(carol, "person=alice")
        task = asyncio.create_task(desk.app(reader.scope, reader.receive, reader.send))
        await asyncio.sleep(0.1)
        desk.trail.append(event("login", person="p-dan", login="dan", decision="deny"))
        desk.trail.append(event("session.begin", session="s1", person="p-alice", login="alice", ticket="SUP-1"))
        desk.trail.append(event("statement.end", session="s1", statement="q1", rows=3))
        desk.trail.append(event("statement.end", session="s2", statement="q2", rows=4))
        await reader.until(2)
        reader.gone.set()
        await asyncio.wait_for(task, 5)
        return reader.lines

    lines = desk.run(follow())
    assert [line["record"]["kind"] for line in lines] == ["session.begin", "statement.end"]
    assert lines[1]["record"]["session"] == "s1"
    begun, ended = reads(desk)[-2:]
    assert begun["query"] == "tail person=alice"
    assert (ended["query"], ended["count"]) == ("tail person=alice ended", 2)


def test_the_tail_ends_with_the_right_to_it(desk: Any) -> None:
    carol = desk.sign_in("carol")

    async def follow() -> list[dict[str, Any]]:
        reader = Reader(carol, "kind=login")
        task = asyncio.create_task(desk.app(reader.scope, reader.receive, reader.send))
        await asyncio.sleep(0.1)
        desk.pass_time(minutes=16)
        desk.trail.append(event("login", person="p-dan", login="dan", decision="deny"))
        await asyncio.wait_for(task, 5)
        return reader.lines

    lines = desk.run(follow())
    assert [line["end"]["code"] for line in lines] == ["second-factor-required"]


def test_a_slow_reader_is_told_that_records_were_left_out(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_routes, "BACKLOG", 2)
    carol = desk.sign_in("carol")

    async def follow() -> list[dict[str, Any]]:
        reader = Reader(carol, "kind=login")
        stalled = asyncio.Event()
        send = reader.send

        async def slow(message: Any) -> None:
            if message["type"] == "http.response.body":
                await stalled.wait()
            await send(message)

        task = asyncio.create_task(desk.app(reader.scope, reader.receive, slow))
        await asyncio.sleep(0.1)
        for _ in range(6):
            desk.trail.append(event("login", person="p-dan", login="dan", decision="deny"))
        await asyncio.sleep(0.2)
        stalled.set()
        await asyncio.wait_for(task, 5)
        return reader.lines

    lines = desk.run(follow())
    assert "end" in lines[-1]
    assert lines[-1]["end"]["message"] == "the stream was read too slowly; records were left out"


OF_ALICE = {"session": "s", "login": "alice", "person": "p-1"}
SESSION = [
    {"kind": "session.begin", **OF_ALICE, "ticket": "SUP-1", "customers": ["42"]},
    {"kind": "statement.end", "session": "s"},
    {"kind": "statement.end", "session": "another"},
    {"kind": "session.end", **OF_ALICE},
]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, [True, True, True, True]),
        ({"person": "alice"}, [True, True, False, True]),
        ({"person": "p-1"}, [True, True, False, True]),
        ({"customer": "42", "kind": "statement.end"}, [False, True, False, False]),
        ({"customer": "43"}, [False, False, False, False]),
        ({"session": "s"}, [True, True, False, True]),
        ({"code": "x"}, [False, False, False, False]),
    ],
)
def test_records_of_a_session_fit_with_it(filters: dict[str, str], expected: list[bool]) -> None:
    fits = trail_routes._Fits(Filters(**filters))
    assert [fits(record) for record in SESSION] == expected
