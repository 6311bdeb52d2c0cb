"""The auditors' questions over the API: who may ask, that each question is recorded first, and what exports hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.audit.export import check_export
from gateway.audit.questions import QUESTIONS
from gateway.console import questions as routes

PATHS = ["/v1/audit/questions/denials", "/v1/audit/questions/denials/export", "/v1/audit/questions/no-such"]


def reads(desk: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.records(kind="audit.read")
    return found


def test_an_auditor_is_answered_and_the_question_is_recorded_before(desk: Any) -> None:
    desk.sign_in("alice")
    carol = desk.sign_in("carol")
    answer = desk.call("GET", "/v1/audit/questions/person", carol, params={"person": "alice", "limit": 1}).json()
    assert (len(answer["rows"]), answer["people"], answer["offset"]) == (1, ["alice", "p-alice"], 0)
    assert answer["total"] > 1
    read = reads(desk)[-1]
    assert (read["login"], read["query"], read["count"], read["decision"]) == (
        "carol", "ask person limit=1 person=alice", 1, "permit",
    )  # fmt: skip
    assert read["index"] >= answer["end"]
    assert set(answer["log"]) == {"origin", "size", "root"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("login", ["alice", "bob", "dan"])
def test_nobody_else_asks_not_even_an_administrator(desk: Any, login: str, path: str) -> None:
    token, before = desk.sign_in(login), len(reads(desk))
    answer = desk.call("GET", path, token)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-in-team")
    assert [(one["login"], one["decision"], one["code"]) for one in reads(desk)[before:]] == [
        (login, "deny", "not-in-team")
    ]


@pytest.mark.parametrize("path", PATHS)
def test_an_old_factor_asks_nothing(desk: Any, path: str) -> None:
    carol = desk.sign_in("carol")
    desk.pass_time(minutes=16)
    answer = desk.call("GET", path, carol)
    assert (answer.status_code, answer.json()["code"]) == (401, "second-factor-required")


def test_nobody_asks_without_a_sign_in(desk: Any) -> None:
    for path in [*PATHS, "/v1/audit/questions"]:
        assert desk.call("GET", path).status_code == 401


def test_every_question_is_listed_and_answered(desk: Any) -> None:
    carol = desk.sign_in("carol")
    listed = desk.call("GET", "/v1/audit/questions", carol).json()["questions"]
    assert {one["name"] for one in listed} == set(QUESTIONS)
    for one in listed:
        params = dict.fromkeys(one["needs"], "x")
        answer = desk.call("GET", f"/v1/audit/questions/{one['name']}", carol, params=params)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"}, {"limit": "1001"}, {"offset": "-1"}, {"since": "yesterday"}, {"since": "2026-03-02T09:00:00"},
        {"unknown": "1"}, {"person": "x" * 300},
        {"since": "0001-01-01T00:00:00+14:00"}, {"until": "9999-12-31T23:59:59-14:00"},
        {"relation": "x"}, {"upto": "-1"},
        {"since": "2026-03-02T09:00:00Z", "until": "2026-03-01T09:00:00Z"},
    ],
)  # fmt: skip
def test_filters_are_validated(desk: Any, params: dict[str, str]) -> None:
    answer = desk.call("GET", "/v1/audit/questions/denials", desk.sign_in("carol"), params=params)
    assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")


def test_who_goes_away_in_the_middle_leaves_no_place_taken(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place of an export is free again, and its end is recorded, whenever its reader leaves."""
    carol = desk.sign_in("carol")
    desk.trail.checkpoint()
    monkeypatch.setattr("gateway.audit.export._CHUNK", 1)

    async def leave_after(pieces: int) -> None:
        async def send(message: Any) -> None:
            nonlocal pieces
            pieces -= 1
            if pieces < 0:
                raise OSError("gone")

        async def receive() -> Any:
            await asyncio.sleep(60)

        scope = {
            "type": "http", "method": "GET", "path": "/v1/audit/questions/readers/export", "query_string": b"",
            "headers": [(b"authorization", f"Bearer {carol}".encode()), (b"host", b"gw.example.test")],
            "client": ("192.0.2.7", 4000), "scheme": "https", "http_version": "1.1", "root_path": "",
            "raw_path": b"/v1/audit/questions/readers/export", "server": ("gw.example.test", 443),
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }  # fmt: skip
        with contextlib.suppress(Exception):
            await asyncio.wait_for(desk.app(scope, receive, send), 10)

    for pieces in (0, 1, 2, 3, 0, 1, 2, 3):
        desk.run(leave_after(pieces))
    answer = desk.call("GET", "/v1/audit/questions/readers/export", carol)
    assert answer.text.splitlines()[-1].startswith('{"answer"')
    ended = [one for one in reads(desk) if one["query"] == "export readers ended"]
    assert {one.get("code") for one in ended[-3:]} == {"cancelled", None}


def test_a_question_that_does_not_exist_is_refused_and_its_name_not_kept(desk: Any) -> None:
    answer = desk.call("GET", "/v1/audit/questions/hunter", desk.sign_in("carol"))
    assert (answer.status_code, answer.json()["code"]) == (400, "request-invalid")
    assert reads(desk)[-1]["query"] == "ask ?"


def test_an_export_is_recorded_at_both_ends_and_verifies_elsewhere(desk: Any, tmp_path: Path) -> None:
    carol = desk.sign_in("carol")
    desk.trail.checkpoint()
    before = len(reads(desk))
    path = tmp_path / "export.ndjson"
    path.write_bytes(desk.call("GET", "/v1/audit/questions/readers/export", carol, params={"person": "carol"}).content)
    report = check_export(path, desk.app.state.parts.key)
    assert report.ok, report.problems
    told = [(one["query"], one["count"]) for one in reads(desk)[before:]]
    assert told == [("export readers person=carol", report.size), ("export readers person=carol ended", report.size)]


def test_an_export_ends_with_the_right_to_it(desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carol = desk.sign_in("carol")
    desk.trail.checkpoint()
    real, looks = routes.may_read, []

    def ends(of: Any, me: Any) -> Any:
        looks.append(me)
        if looks:
            desk.pass_time(minutes=16)
        return real(of, me)

    monkeypatch.setattr(routes, "may_read", ends)
    answer = desk.call("GET", "/v1/audit/questions/readers/export", carol)
    last = json.loads(answer.content.splitlines()[-1])
    assert last["end"]["code"] == "second-factor-required"
    path = tmp_path / "export.ndjson"
    path.write_bytes(answer.content)
    assert not path.read_bytes().startswith(b'{"format"')
    assert reads(desk)[-1]["code"] == "second-factor-required"


def test_more_exports_than_two_at_a_time_are_refused(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    carol = desk.sign_in("carol")
    desk.trail.checkpoint()
    real, inside, most = routes._Pieces.next, [], []

    def slowly(pieces: Any) -> bytes:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.2)
        piece = real(pieces)
        inside.pop()
        return piece

    monkeypatch.setattr(routes._Pieces, "next", slowly)

    async def five() -> list[str]:
        transport = httpx2.ASGITransport(desk.app, client=("192.0.2.7", 40000))
        headers = {"Authorization": f"Bearer {carol}"}
        base = "https://gw.example.test"
        async with httpx2.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
            path = "/v1/audit/questions/readers/export"
            answers = await asyncio.gather(*(client.get(path) for _ in range(5)))
            return [answer.text.splitlines()[-1][:9] if answer.status_code == 200 else "503" for answer in answers]

    told = desk.run(five())
    assert max(most) == 2
    assert {*told} >= {'{"answer"'}
    assert {*told} & {'{"end": {', "503"}
    assert desk.call("GET", "/v1/audit/questions/readers/export", carol).status_code == 200
