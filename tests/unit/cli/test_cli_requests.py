"""Filing, extending, delegating, suspending and reviewing from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

FILED = {
    "id": "req_1", "state": "pending", "created_at": "2026-03-02T09:00:00Z", "ticket": "SUP-1",
    "approvers": ["security"], "approvals_needed": 1, "people": ["bea", "bob"],
}  # fmt: skip
GRANT = {
    "id": "grant_1", "login": "alice", "target": "payroll", "ticket": "SUP-1", "customers": ["42"], "reveal": [],
    "write": False, "statement": "", "spent": False, "break_glass": False, "approved_by": ["bob"],
    "expires_at": "2099-01-01T10:00:00Z", "sessions": [{"address": "192.0.2.1:5"}],
}  # fmt: skip
LINE = {
    "number": 1, "login": "alice", "login_now": "alice", "name": "Alice", "target": "payroll", "right": "read",
    "teams": ["support"], "last_use": None, "uses_90d": 0, "was_withdrawn": False, "decision": "", "decided_by": "",
    "decided_at": None, "reason": "", "outcome": "withdrawn", "why": "nobody has answered",
}  # fmt: skip
LINES = [
    LINE,
    {**LINE, "number": 2, "login": "bob", "login_now": "robert", "right": "approve", "uses_90d": 3,
     "last_use": "2026-03-01T09:00:00Z"},
    {**LINE, "number": 3, "login": "carol", "login_now": "carol", "target": "", "right": "audit",
     "decision": "keep", "decided_by": "bob", "reason": "her work", "outcome": "kept", "why": ""},
]  # fmt: skip
REVIEW = {
    "id": "review_1", "state": "open", "started_by": "bob", "started_at": "2026-03-02T09:00:00Z",
    "due_at": "2026-03-16T09:00:00Z", "closed_by": "", "closed_at": None, "record": None,
}  # fmt: skip


def test_new_files_and_says_who_can_approve(terminal: Any) -> None:
    terminal.answers["POST /requests"] = (200, FILED)
    said = terminal.run(
        "request", "new", "SUP-1", "--reveal", "public.employees.email", "--reason", "x", "--duration", "2h"
    )
    assert said.code == 0
    assert "req_1" in said.out
    assert "it waits for 1 of: security (bea, bob)\ngateway open SUP-1 opens it then" in said.err
    assert terminal.sent() == {
        "ticket": "SUP-1", "reason": "x", "duration_s": 7200, "reveal": ["public.employees.email"],
    }  # fmt: skip


@pytest.mark.parametrize("command", [("open", "SUP-1"), ("request", "new", "SUP-1")])
@pytest.mark.parametrize("name", ["employees.email", "email", "public..email", "a.b.c.d"])
def test_a_column_that_is_not_named_whole_is_refused_before_anything_is_sent(
    terminal: Any, command: tuple[str, ...], name: str
) -> None:
    said = terminal.run(*command, "--reveal", name)
    assert said.code == 2
    assert "is not schema.table.column: --reveal public.employees.email" in " ".join(said.err.replace("│", " ").split())


def test_new_says_when_nothing_has_to_wait(terminal: Any) -> None:
    terminal.answers["POST /requests"] = (200, {**FILED, "state": "approved"})
    assert terminal.run("request", "new", "SUP-1").err == "gateway open SUP-1 opens it\n"


def test_open_says_by_name_who_can_approve(terminal: Any, problem: Any) -> None:
    waiting = {"id": "req_1", "approvers": ["security"], "approvals_needed": 2, "people": ["bea", "bob"]}
    terminal.answers["POST /open"] = problem(403, "approval-required", "it waits", request=waiting)
    said = terminal.run("open", "SUP-1", "--no-wait")
    assert said.code == 77
    assert "request req_1 waits for 2 of: security (bea, bob)" in said.err


def test_extend_says_until_when(terminal: Any) -> None:
    terminal.answers["POST /grants/grant_1/extend"] = (200, GRANT)
    said = terminal.run("request", "extend", "grant_1", "--for", "1h", "--reason", "not done")
    assert said.err == "grant grant_1 lasts until 2099-01-01 10:00:00Z\n"
    assert terminal.sent() == {"seconds": 3600, "reason": "not done"}


def test_extend_says_what_waits(terminal: Any, problem: Any) -> None:
    waiting = {"id": "req_2", "approvers": ["security"], "approvals_needed": 1, "people": []}
    terminal.answers["POST /grants/grant_1/extend"] = problem(403, "approval-required", "it waits", request=waiting)
    said = terminal.run("request", "extend", "grant_1", "--for", "1h", "--reason", "x")
    assert (said.code, said.err) == (77, "request req_2 waits for 1 of: security\n")


def test_a_refused_extension_is_a_refusal(terminal: Any, problem: Any) -> None:
    terminal.answers["POST /grants/grant_1/extend"] = problem(400, "request-invalid", "too long", hint="less")
    said = terminal.run("request", "extend", "grant_1", "--for", "1h", "--reason", "x")
    assert (said.code, said.err) == (1, "refused (request-invalid): too long\nhint: less\n")


def test_a_delegation_has_a_beginning_and_an_end(terminal: Any) -> None:
    made = {"delegate": "dan", "delegator": "alice", "ends_at": "2026-03-09T09:00:00Z"}
    terminal.answers["POST /delegations"] = (200, made)
    said = terminal.run("delegate", "set", "dan", "--for", "7d", "--from", "2026-03-02T09:00Z", "--reason", "on leave")
    assert said.err == "dan may decide in the name of alice until 2026-03-09 09:00:00Z\n"
    assert terminal.sent() == {
        "login": "dan", "starts_at": "2026-03-02T09:00:00+00:00", "ends_at": "2026-03-09T09:00:00+00:00",
        "reason": "on leave",
    }  # fmt: skip
    terminal.run("delegate", "set", "dan", "--for", "8h")
    ends = datetime.fromisoformat(terminal.sent()["ends_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(hours=8)) < timedelta(minutes=5)


def test_delegations_are_listed_and_ended(terminal: Any) -> None:
    one = {
        "id": "delegation_1", "delegate": "dan", "delegator": "alice", "reason": "on leave", "state": "live",
        "starts_at": "2026-03-02T09:00:00Z", "ends_at": "2026-03-09T09:00:00Z",
    }  # fmt: skip
    terminal.answers["GET /delegations"] = (200, {"delegations": [one]})
    terminal.answers["POST /delegations/delegation_1/end"] = (200, one)
    assert "delegation_1" in terminal.run("delegate", "list").out
    assert terminal.run("delegate", "end", "delegation_1").err == "dan decides in the name of alice no more\n"


def test_who_has_access_now(terminal: Any) -> None:
    emergency = {**GRANT, "id": "grant_2", "break_glass": True, "approved_by": [], "sessions": []}
    terminal.answers["GET /access/now"] = (200, {"at": "2026-03-02T09:00:00Z", "grants": [GRANT, emergency]})
    said = terminal.run("access", "now")
    assert "192.0.2.1:5" in said.out
    assert "nobody (break-glass)" in said.out


def test_people_are_listed_suspended_and_let_in_again(terminal: Any) -> None:
    alice = {
        "id": "p1", "login": "alice", "name": "Alice", "teams": ["support"], "state": "suspended",
        "factors": [{"kind": "totp", "enrolled_at": "2026-03-01T09:00:00Z"}], "invited_until": None,
        "last_use": "2026-03-02T09:00:00Z", "suspended_by": "bob", "suspended_at": None, "reason": "a stolen laptop",
    }  # fmt: skip
    gone = {**alice, "id": "p9", "login": "", "state": "gone", "factors": [], "last_use": None, "suspended_by": ""}
    terminal.answers["GET /people"] = (200, {"people": [alice, gone]})
    said = terminal.run("people", "list")
    for part in ("totp", "2026-03-02 09:00:00Z", "a stolen laptop (bob)", "p9", "never", "none"):
        assert part in said.out
    for command in ("suspend", "unsuspend"):
        terminal.answers[f"POST /people/alice/{command}"] = (200, {"login": "alice", "name": "Alice", "teams": []})
        assert terminal.run("people", command, "alice", "--reason", "x").code == 0
        assert terminal.sent() == {"reason": "x"}


def test_a_right_is_given_back(terminal: Any) -> None:
    terminal.answers["POST /people/alice/restore"] = (200, {"login": "alice", "name": "Alice", "teams": []})
    said = terminal.run("access", "restore", "alice", "reveal", "--target", "payroll", "--reason", "her work")
    assert said.err == "alice has the right to reveal again\n"
    assert terminal.sent() == {"right": "reveal", "target": "payroll", "reason": "her work"}


@pytest.fixture
def review(terminal: Any) -> Any:
    terminal.answers["GET /access/reviews/review_1"] = (200, {**REVIEW, "lines": LINES})
    terminal.answers["POST /access/reviews/review_1/decide"] = lambda _: (200, {"answered": 1})
    return terminal


def test_a_review_is_shown_with_last_use_and_what_would_become_of_it(review: Any) -> None:
    said = review.run("access", "review", "show", "review_1")
    for part in ("never", "bob (now robert)", "2026-03-01 09:00:00Z", "(gateway)", "keep (bob: her work)",
                 "withdrawn: nobody has answered"):  # fmt: skip
        assert part in said.out
    review.answers["GET /access/reviews"] = (200, {"reviews": [REVIEW]})
    assert review.run("access", "review", "show").out == said.out
    review.answers["GET /access/reviews"] = (200, {"reviews": []})
    none = review.run("access", "review", "show")
    assert (none.code, "no review is open" in none.err) == (1, True)
    waiting = review.run("access", "review", "show", "review_1", "--open", "--output", "json").json
    assert [one["number"] for one in waiting["lines"]] == [1, 2]


@pytest.mark.parametrize(
    ("chosen", "lines"),
    [
        (["1", "3"], [1, 3]),
        (["--person", "robert"], [2]),
        (["--target", "-"], [3]),
        (["--right", "read"], []),
        (["--unused"], [3]),
    ],
)
def test_lines_are_answered_by_number_or_by_what_fits_and_never_ones_own(
    review: Any, chosen: list[str], lines: list[int]
) -> None:
    said = review.run("access", "review", "decide", "review_1", "keep", *chosen, "--reason", "her work")
    if lines:
        assert said.code == 0, said.err
        assert review.sent() == {"lines": lines, "decision": "keep", "reason": "her work"}
    else:
        assert (said.code, review.requests[-1].method) == (1, "GET")


def test_an_answer_names_lines_and_is_keep_or_revoke(review: Any) -> None:
    for line in (["keep"], ["maybe", "1"]):
        assert review.run("access", "review", "decide", "review_1", *line).code == 2
    assert not [one for one in review.requests if one.method == "POST" and one.url.path.endswith("decide")]


def test_reviews_are_started_listed_and_closed(review: Any) -> None:
    review.answers["POST /access/reviews"] = (200, REVIEW)
    review.answers["GET /access/reviews"] = (200, {"reviews": [REVIEW]})
    review.answers["POST /access/reviews/review_1/close"] = (200, {**REVIEW, "state": "closed"})
    said = review.run("access", "review", "start", "--for", "14d")
    assert "what nobody confirms by then is withdrawn" in said.err
    assert "review_1" in review.run("access", "review", "list").out
    assert review.run("access", "review", "close", "review_1").code == 0
