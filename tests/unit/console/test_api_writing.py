"""Asking over the API to write, looking at what a statement would change, and approving it."""

from __future__ import annotations

from typing import Any

import pytest

STATEMENT = "update employees set id = 8 where id = 7"
CANONICAL = "UPDATE public.employees SET id = 8 WHERE id = 7"
WOULD_WRITE = {
    "verb": "UPDATE", "relation": "public.employees", "columns": ["id"], "rows": 1, "canonical": CANONICAL,
}  # fmt: skip


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def waiting(desk: Any) -> Any:
    """A statement of alice's that waits; it is taken back, and what came of it, when the test is over."""
    alice = desk.sign_in("alice")
    answer = desk.call("POST", "/v1/open", alice, json={"ticket": "SUP-1", "statement": STATEMENT, "reason": "typo"})
    assert code(answer) == (403, "approval-required")
    request = answer.json()["request"]
    assert request["approvers"] == ["security"]
    yield request["id"]
    desk.call("POST", f"/v1/requests/{request['id']}/cancel", alice)
    for grant in desk.call("GET", "/v1/grants", alice).json()["grants"]:
        desk.call("POST", f"/v1/grants/{grant['id']}/revoke", alice, json={})


def test_a_request_is_shown_with_its_ticket_its_person_and_what_it_would_write(desk: Any, waiting: str) -> None:
    shown = desk.call("GET", f"/v1/requests/{waiting}", desk.sign_in("bob")).json()
    assert (shown["statement"], shown["would_write"], shown["problem"]) == (STATEMENT, WOULD_WRITE, None)
    assert (shown["login"], shown["name"], shown["teams"]) == ("alice", "Alice", ["support"])
    assert (shown["ticket_now"]["status"], shown["ticket_now"]["customers"]) == ("open", ["42"])
    assert (shown["approvers"], shown["approvals_needed"], shown["write"]) == (["security"], 1, True)
    assert len(shown["digest"]) == 64


def test_the_list_of_requests_has_no_statement(desk: Any, waiting: str) -> None:
    answer = desk.call("GET", "/v1/requests", desk.sign_in("bob"))
    assert waiting in answer.text
    assert "where id" not in answer.text


def test_a_statement_is_approved_after_it_was_looked_at_and_then_opened(desk: Any, waiting: str) -> None:
    bob = desk.sign_in("bob")
    refused = desk.call("POST", f"/v1/requests/{waiting}/approve", bob, json={})
    assert code(refused) == (409, "preview-required")
    preview = desk.call("POST", f"/v1/requests/{waiting}/preview", bob).json()
    assert preview == {
        "request": waiting,
        "would_write": WOULD_WRITE,
        "columns": ["id", "email"],
        "rows": [["7", None]],
        "more": False,
    }
    done = desk.call("POST", f"/v1/requests/{waiting}/approve", bob, json={"reason": "right"}).json()
    assert (done["state"], done["decided_by"]) == ("approved", ["bob"])
    alice = desk.sign_in("alice")
    opened = desk.call("POST", "/v1/open", alice, json={"ticket": "SUP-1", "statement": STATEMENT}).json()
    assert (opened["write"], opened["statement"], opened["request"]) == (True, done["digest"], waiting)
    plain = desk.call("POST", "/v1/open", alice, json={"ticket": "SUP-1"}).json()
    assert (plain["write"], plain["statement"]) == (False, "")
    grants = desk.call("GET", "/v1/grants", alice).json()["grants"]
    assert {(one["write"], one["spent"]) for one in grants} == {(True, False), (False, False)}


def test_who_may_not_decide_sees_neither_statement_nor_rows(desk: Any, waiting: str) -> None:
    for login in ("eve", "dan"):
        token = desk.sign_in(login)
        assert code(desk.call("GET", f"/v1/requests/{waiting}", token)) == (404, "not-found")
        assert code(desk.call("POST", f"/v1/requests/{waiting}/preview", token)) == (404, "not-found")


def test_what_the_policy_forbids_is_refused_with_the_reason(desk: Any) -> None:
    body = {"ticket": "SUP-1", "statement": "update employees set name = 'x'"}
    answer = desk.call("POST", "/v1/open", desk.sign_in("alice"), json=body)
    assert code(answer) == (404, "column-not-available")
    assert answer.json()["hint"] == "`id` may"
    assert "request" not in answer.json()


def test_writing_in_general_is_refused_where_each_statement_is_approved(desk: Any) -> None:
    answer = desk.call("POST", "/v1/open", desk.sign_in("alice"), json={"ticket": "SUP-1", "write": True})
    assert code(answer) == (403, "read-only")


@pytest.mark.parametrize("statement", ["x" * 8193, 7, None])
def test_a_statement_is_a_text_of_bounded_length(desk: Any, statement: object) -> None:
    body = {"ticket": "SUP-1", "statement": statement}
    assert code(desk.call("POST", "/v1/open", desk.sign_in("alice"), json=body)) == (400, "request-invalid")


def test_the_trail_says_who_looked_at_which_request(desk: Any, waiting: str) -> None:
    desk.call("POST", f"/v1/requests/{waiting}/preview", desk.sign_in("bob"))
    record = desk.records(kind="request.preview")[-1]
    assert (record["login"], record["request"], record["relation"]) == ("bob", waiting, "public.employees")
    assert "id = 7" not in repr(desk.records())
