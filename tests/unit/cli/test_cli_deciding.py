"""Looking at a request and deciding about it: what is shown before anything is approved."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import deciding

STATEMENT = "update employees\n  set status = 'active' where id = 7"
CANONICAL = "UPDATE public.employees SET status = 'active' WHERE id = 7"
WRITE = {"verb": "UPDATE", "relation": "public.employees", "columns": ["status"], "rows": 1, "canonical": CANONICAL}
SHOWN: dict[str, Any] = {
    "id": "req_1",
    "login": "alice",
    "name": "Alice",
    "teams": ["support"],
    "target": "payroll",
    "ticket": "SUP-1",
    "ticket_now": {
        "id": "SUP-1", "title": "Typo", "status": "open", "assignee": "alice", "customers": ["42"], "url": "",
    },
    "reason": "typo",
    "reveal": [],
    "duration_s": 3600,
    "state": "pending",
    "created_at": "2026-03-02T09:00:00Z",
    "decided_at": None,
    "decided_by": [],
    "decision_reason": "",
    "write": True,
    "digest": "d" * 64,
    "approvers": ["security"],
    "approvals_needed": 1,
    "statement": STATEMENT,
    "would_write": WRITE,
    "problem": None,
}  # fmt: skip
PREVIEW: dict[str, Any] = {
    "request": "req_1",
    "would_write": WRITE,
    "columns": ["id", "status", "new"],
    "rows": [["7", None, "active"]],
    "more": False,
}
PROBLEM = {"code": "ticket-closed", "message": "no", "hint": ""}
PLAIN = {**SHOWN, "write": False, "digest": "", "statement": "", "would_write": None}


@pytest.fixture(autouse=True)
def waits(terminal: Any) -> None:
    terminal.answers["GET /requests/req_1"] = (200, SHOWN)
    terminal.answers["POST /requests/req_1/preview"] = (200, PREVIEW)
    terminal.answers["POST /requests/req_1/approve"] = (200, {**SHOWN, "state": "approved"})


def paths(terminal: Any) -> list[str]:
    """What was asked of the requests, in order."""
    return [
        f"{one.method} {one.url.path.removeprefix('/v1/requests/')}"
        for one in terminal.requests
        if one.url.path.startswith("/v1/requests/")
    ]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the terminal one, and its person answer."""

    def give(text: str) -> None:
        class Terminal:
            def isatty(self) -> bool:
                return True

        monkeypatch.setattr(deciding.sys, "stdin", Terminal())
        monkeypatch.setattr(deciding.typer, "confirm", lambda *_, **__: text == "y")

    return give


def test_show_says_who_why_what_and_which_rows(terminal: Any) -> None:
    said = terminal.run("show", "req_1")
    assert said.code == 0
    for part in (
        "req_1, pending", "alice (Alice), of support", "SUP-1, open: Typo", "42", "typo", "1 of: security",
        "    update employees\n      set status = 'active' where id = 7\n", CANONICAL,
        "UPDATE public.employees (status), at most 1 row", "id  status  new", "7   (null)  active",
        "it would meet 1 row\n",
    ):  # fmt: skip
        assert part in said.out
    assert paths(terminal) == ["GET req_1", "POST req_1/preview"]


def test_show_as_json_is_one_document(terminal: Any) -> None:
    assert terminal.run("show", "req_1", "--output", "json").json == {**SHOWN, "preview": PREVIEW}


def test_show_without_the_right_to_the_rows_shows_the_rest_and_says_why(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /requests/req_1/preview"] = problem(403, "approval-required", "you have no access yet")
    said = terminal.run("show", "req_1")
    assert said.code == 0
    assert "req_1, pending" in said.out
    assert "the rows are not shown\nrefused (approval-required): you have no access yet" in said.err


@pytest.mark.parametrize("change", [{"state": "approved"}, {"statement": ""}, {"problem": PROBLEM}])
def test_show_asks_for_rows_only_where_there_is_something_to_decide(terminal: Any, change: dict[str, Any]) -> None:
    terminal.answers["GET /requests/req_1"] = (200, {**SHOWN, **change})
    said = terminal.run("show", "req_1")
    assert said.code == 0
    assert paths(terminal) == ["GET req_1"]
    assert ("this would be refused now (ticket-closed): no" in said.out) == ("problem" in change)


def test_nothing_that_a_requester_writes_draws_on_the_approver_s_terminal(terminal: Any) -> None:
    nasty = "update x /* \x1b[2J\u202e */ set y = 1"
    terminal.answers["GET /requests/req_1"] = (200, {**SHOWN, "statement": nasty, "reason": "\x1b[1mok"})
    terminal.answers["POST /requests/req_1/preview"] = (200, {**PREVIEW, "rows": [["\x1b[2J", "a\nb", None]]})
    said = terminal.run("show", "req_1")
    assert not {"\x1b", "\u202e"} & set(said.out + said.err)


def test_approve_shows_asks_and_approves(terminal: Any, answer: Any) -> None:
    answer("y")
    said = terminal.run("approve", "req_1", "--reason", "right")
    assert said.code == 0
    assert "it would meet 1 row" in said.out
    assert said.err == "request req_1 is approved\n"
    assert paths(terminal) == ["GET req_1", "POST req_1/preview", "POST req_1/approve"]
    assert terminal.sent() == {"reason": "right"}


def test_a_no_approves_nothing(terminal: Any, answer: Any) -> None:
    answer("n")
    said = terminal.run("approve", "req_1")
    assert (said.code, said.err) == (77, "nothing was approved\n")
    assert "POST req_1/approve" not in paths(terminal)


def test_without_a_terminal_nothing_is_approved_unless_that_is_said(terminal: Any) -> None:
    said = terminal.run("approve", "req_1")
    assert said.code == 77
    assert "--yes approves what was shown" in said.err
    assert "POST req_1/approve" not in paths(terminal)
    said = terminal.run("approve", "req_1", "--yes")
    assert said.code == 0
    assert "7   (null)  active" in said.out
    assert paths(terminal)[-2:] == ["POST req_1/preview", "POST req_1/approve"]


def test_yes_with_json_still_shows_beside_the_document(terminal: Any) -> None:
    said = terminal.run("approve", "req_1", "--yes", "--output", "json")
    assert said.json["state"] == "approved"
    assert "id=7, status=(null), new=active" in said.err
    assert CANONICAL in said.err


def test_rows_that_cannot_be_shown_are_not_approved(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /requests/req_1/preview"] = problem(502, "target-unavailable", "the target is away")
    said = terminal.run("approve", "req_1", "--yes")
    assert said.code == 1
    assert "POST req_1/approve" not in paths(terminal)


def test_a_request_without_a_statement_is_approved_as_before(terminal: Any) -> None:
    terminal.answers["GET /requests/req_1"] = (200, PLAIN)
    assert terminal.run("approve", "req_1").code == 0
    assert paths(terminal) == ["GET req_1", "POST req_1/approve"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": []}, "it would meet 0 rows"),
        ({"rows": [["1", "a", "b"], ["2", "a", "b"]]}, "it would meet 2 rows: more than 1, so it would be refused"),
        ({"rows": [["1", "a", "b"]], "more": True}, "it would meet more than 1 row: more than 1, so"),
        ({"rows": [], "columns": []}, "it meets no row that exists; it would add at most 1"),
    ],
)
def test_how_many_rows_it_would_meet_is_said(terminal: Any, change: dict[str, Any], said: str) -> None:
    terminal.answers["POST /requests/req_1/preview"] = (200, {**PREVIEW, **change})
    assert said in terminal.run("show", "req_1").out


def test_deny_and_cancel_show_nothing(terminal: Any) -> None:
    terminal.answers["POST /requests/req_1/deny"] = (200, {**SHOWN, "state": "denied"})
    terminal.answers["POST /requests/req_1/cancel"] = (200, {**SHOWN, "state": "cancelled"})
    assert terminal.run("deny", "req_1", "--reason", "no").err == "request req_1 is denied\n"
    assert terminal.run("cancel", "req_1").err == "request req_1 is cancelled\n"
    assert paths(terminal) == ["POST req_1/deny", "POST req_1/cancel"]


def test_requests_say_which_of_them_write(terminal: Any) -> None:
    general = {**PLAIN, "id": "req_2", "write": True}
    terminal.answers["GET /requests"] = (200, {"requests": [SHOWN, general, {**PLAIN, "id": "req_3"}]})
    lines = terminal.run("requests").out.splitlines()
    assert "one statement" in lines[1]
    assert " yes " in lines[2]
    assert "where id" not in "".join(lines)


def test_an_approval_that_lacks_its_preview_ends_with_77(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /requests/req_1/approve"] = problem(409, "preview-required", "the policy has changed")
    said = terminal.run("approve", "req_1", "--yes")
    assert said.code == 77
    assert "refused (preview-required)" in said.err
