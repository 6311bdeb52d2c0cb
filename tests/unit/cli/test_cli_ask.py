"""`gateway audit ask` on a terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.audit.period import period
from gateway.audit.questions import QUESTIONS
from gateway.errors import GatewayError

ANSWER = {
    "question": "denials", "asks": "?", "filters": {}, "since": "", "until": "", "at": "2026-03-02T09:00:00.000000Z",
    "people": [], "first": 0, "end": 8, "log": {"origin": "example.test/1", "size": 7, "root": "ab" * 32},
    "columns": ["login", "code", "records", "from"], "total": 1, "offset": 0,
    "rows": [{"login": "alice", "code": "ticket-closed", "records": 3, "from": "2026-03-02T09:00:00.000001Z",
              "first": 4}],
    "notes": ["the last 1 of these records are not signed yet"],
}  # fmt: skip
PATH = "GET /audit/questions/denials"


@pytest.fixture
def asking(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal that is signed in."""
    signed = {"token": "t", "person": {"login": "carol", "name": "Carol", "teams": []}, "roles": ["auditors"]}
    for name, value in {"LOGIN": "carol", "PASSWORD": "x", "OTP": "123456", "URL": "https://gw.example.test"}.items():
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    now = datetime.now(UTC)
    times = {"factor": "totp", "factor_at": now.isoformat(), "expires_at": (now + timedelta(hours=1)).isoformat()}
    terminal.answers["POST /sign-in"] = (200, {**signed, **times})
    terminal.answers[PATH] = (200, ANSWER)
    return terminal


def test_without_a_name_the_questions_are_listed(asking: Any) -> None:
    said = asking.run("audit", "ask")
    assert said.code == 0
    assert all(name in said.out for name in QUESTIONS)
    assert asking.requests == []


def test_an_answer_is_a_table_and_says_what_it_covers(asking: Any) -> None:
    said = asking.run("audit", "ask", "denials", "--code", "ticket-closed")
    assert said.code == 0
    assert "2026-03-02 09:00:00Z" in said.out
    assert "from records 0 to 7 of `example.test/1`, 7 signed with the root abab" in said.err
    assert "note: the last 1 of these records are not signed yet" in said.err
    assert dict(asking.requests[-1].url.params) == {"code": "ticket-closed", "limit": "100", "offset": "0"}


def test_json_is_the_whole_answer_and_csv_has_every_field(asking: Any) -> None:
    assert asking.run("--output", "json", "audit", "ask", "denials").json == ANSWER
    said = asking.run("audit", "ask", "denials", "--csv")
    assert list(csv.DictReader(io.StringIO(said.out))) == [
        {"login": "alice", "code": "ticket-closed", "records": "3", "from": "2026-03-02T09:00:00.000001Z", "first": "4"}
    ]


@pytest.mark.parametrize("hostile", ["\x1b[2Jowned", "a\rb", "\u202egnp", "x\ny\tz"])
@pytest.mark.parametrize("form", [(), ("--csv",)])
def test_no_control_character_of_an_answer_reaches_the_terminal(
    asking: Any, hostile: str, form: tuple[str, ...]
) -> None:
    row = {"login": hostile, "code": hostile, "records": 1}
    asking.answers[PATH] = (200, {**ANSWER, "rows": [row], "notes": [hostile]})
    said = asking.run("audit", "ask", "denials", *form)
    assert said.code == 0
    assert not {"\x1b", "\r", "\u202e"} & {*said.out, *said.err}


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1"])
def test_no_cell_is_a_formula(asking: Any, formula: str) -> None:
    asking.answers[PATH] = (200, {**ANSWER, "rows": [{"login": formula}]})
    cell = next(csv.DictReader(io.StringIO(asking.run("audit", "ask", "denials", "--csv").out)))["login"]
    assert cell.lstrip()[:1] not in "=+-@"


def test_a_long_answer_is_taken_in_pages_over_the_same_log(asking: Any) -> None:
    def page(request: httpx2.Request) -> tuple[int, Any]:
        limit, offset = (int(request.url.params[name]) for name in ("limit", "offset"))
        rows = [{"login": f"p{number}"} for number in range(offset, min(offset + limit, 2500))]
        return 200, {**ANSWER, "rows": rows, "total": 2500, "offset": offset}

    asking.answers[PATH] = page
    answer = asking.run("--output", "json", "audit", "ask", "denials", "--limit", "5000").json
    assert [row["login"] for row in answer["rows"]] == [f"p{number}" for number in range(2500)]
    asked = [dict(one.url.params) for one in asking.requests if "offset" in one.url.params]
    assert [(one["offset"], one.get("upto")) for one in asked] == [("0", None), ("1000", "8"), ("2000", "8")]


def test_an_answer_that_changed_between_its_pages_is_refused(asking: Any) -> None:
    totals = iter([2000, 1999])

    def page(request: httpx2.Request) -> tuple[int, Any]:
        return 200, {**ANSWER, "rows": [{"login": "x"}] * 1000, "total": next(totals)}

    asking.answers[PATH] = page
    said = asking.run("audit", "ask", "denials", "--limit", "2000")
    assert (said.code, "changed between its pages" in said.err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [("no-such",), ("denials", "--from", "soon"), ("denials", "--from", "2026-03-02", "--to", "2026-03-01")],
)
def test_what_cannot_be_asked_is_not_sent(asking: Any, arguments: tuple[str, ...]) -> None:
    assert asking.run("audit", "ask", *arguments).code == 1
    assert asking.requests == []


def test_an_export_is_written_for_its_owner_and_never_over_another_file(asking: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    asking.answers[f"{PATH}/export"] = (200, b'{"format": 1}\n{"answer": {}}\n')
    assert asking.run("audit", "ask", "denials", "--export", str(path)).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    said = asking.run("audit", "ask", "denials", "--export", str(path))
    assert (said.code, "cannot be written" in said.err) == (78, True)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"format": 1}\n{"end": {"code": "session-expired"}}\n',
        b'{"format": 1}\n{"in',
        b"",
        b'{"end": {"code": "second-factor-required", "message": "too old", "hint": ""}}\n',
        b'{"answer": {}}',
    ],
)
def test_an_export_that_was_broken_off_leaves_no_file(asking: Any, tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "out.ndjson"
    asking.answers[f"{PATH}/export"] = (200, broken)
    assert asking.run("audit", "ask", "denials", "--export", str(path)).code != 0
    assert not path.exists()


MOMENT = datetime(2026, 2, 11, 15, 30, tzinfo=UTC)


def day(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, (None, None)),
        ("7d", None, (MOMENT - timedelta(days=7), None)),
        ("90min", None, (MOMENT - timedelta(minutes=90), None)),
        ("7d", "1d", (MOMENT - timedelta(days=7), MOMENT - timedelta(days=1))),
        ("last-quarter", None, (day(2025, 10, 1), day(2026, 1, 1))),
        ("this-quarter", None, (day(2026, 1, 1), day(2026, 4, 1))),
        ("last-quarter", "today", (day(2025, 10, 1), day(2026, 2, 12))),
        ("last-year", None, (day(2025, 1, 1), day(2026, 1, 1))),
        ("last-month", None, (day(2026, 1, 1), day(2026, 2, 1))),
        ("last-week", None, (day(2026, 2, 2), day(2026, 2, 9))),
        ("yesterday", None, (day(2026, 2, 10), day(2026, 2, 11))),
        ("2026-01-31", None, (day(2026, 1, 31), None)),
        ("2026-01-01", "2026-01-31", (day(2026, 1, 1), day(2026, 2, 1))),
        ("2026-01-01T10:00:00+02:00", "2026-01-01T08:00:01Z", (day(2026, 1, 1, 8), day(2026, 1, 1, 8, 0, 1))),
    ],
)
def test_times_are_said_as_people_say_them(since: str | None, until: str | None, expected: tuple[Any, Any]) -> None:
    assert period(since, until, MOMENT) == expected


@pytest.mark.parametrize(
    "text",
    ["soon", "7", "d", "0d", "99999999d", "2026-13-01", "2026-01-01T10:00", "last-day", "-7d", "last-", "9999-12-31",
     "0001-01-01T00:00:00+14:00", "\x1b"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        period(text, text, MOMENT)
    assert refused.value.refusal.code == "request-invalid"
    assert json.dumps(refused.value.refusal.message)
