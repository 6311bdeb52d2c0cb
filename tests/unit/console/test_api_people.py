"""People, delegations, extensions, one's own state and who has access now, over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

EMAIL = "public.employees.email"


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_people_are_listed_with_factor_last_use_and_state(own_desk: Any) -> None:
    desk = own_desk
    desk.sign_in("alice")
    bob = desk.sign_in("bob")
    desk.call("POST", "/v1/people/dan/invite", bob)
    found = {one["login"]: one for one in desk.call("GET", "/v1/people", bob).json()["people"]}
    assert set(found) == {"alice", "bob", "dan"}
    assert [one["kind"] for one in found["alice"]["factors"]] == ["totp"]
    assert found["alice"]["last_use"] is not None
    assert (found["dan"]["factors"], found["dan"]["last_use"]) == ([], None)
    assert found["dan"]["invited_until"] is not None
    assert code(desk.call("GET", "/v1/people", desk.sign_in("alice"))) == (403, "not-in-team")


def test_a_suspended_person_is_out_until_somebody_else_lifts_it(own_desk: Any) -> None:
    desk = own_desk
    alice, bob = desk.sign_in("alice"), desk.sign_in("bob")
    why = {"reason": "a stolen laptop"}
    assert code(desk.call("POST", "/v1/people/alice/suspend", alice, json=why)) == (403, "not-in-team")
    assert desk.call("POST", "/v1/people/alice/suspend", bob, json=why).json()["login"] == "alice"
    assert code(desk.call("GET", "/v1/whoami", alice)) == (401, "session-expired")
    desk.pass_time(seconds=30)
    body = {"login": "alice", "password": "correct horse battery", "otp": desk.code("alice")}
    assert code(desk.call("POST", "/v1/sign-in", json=body)) == (403, "person-suspended")
    found = {one["login"]: one for one in desk.call("GET", "/v1/people", bob).json()["people"]}
    assert (found["alice"]["state"], found["alice"]["suspended_by"], found["alice"]["reason"]) == (
        "suspended", "bob", "a stolen laptop",
    )  # fmt: skip
    desk.pass_time(seconds=30)
    assert desk.call("POST", "/v1/people/alice/unsuspend", bob, json=why).status_code == 200
    assert desk.sign_in("alice")


def test_the_last_administrator_comes_back_over_the_local_socket(own_desk: Any) -> None:
    desk = own_desk
    desk.sign_in("bob")
    frank = desk.sign_in("frank")
    desk.call("POST", "/v1/people/bob/suspend", frank, json={"reason": "x"})
    answer = desk.call("POST", "/v1/people/bob/unsuspend", json={"reason": "by mistake"}, app=desk.local)
    assert answer.json()["login"] == "bob"
    nothing = {"right": "administer", "reason": "x"}
    restore = desk.call("POST", "/v1/people/bob/restore", json=nothing, app=desk.local)
    assert code(restore) == (400, "request-invalid")


def test_a_request_is_filed_without_opening_anything(own_desk: Any) -> None:
    desk = own_desk
    desk.enrol("bob")
    alice = desk.sign_in("alice")
    wanted = {"ticket": "SUP-1", "reveal": [EMAIL], "reason": "she wrote from another address"}
    filed = desk.call("POST", "/v1/requests", alice, json=wanted).json()
    assert (filed["state"], filed["approvers"], filed["approvals_needed"], filed["people"]) == (
        "pending", ["security"], 1, ["bob"],
    )  # fmt: skip
    assert desk.call("POST", "/v1/requests", alice, json=wanted).json()["id"] == filed["id"]
    refused = desk.call("POST", "/v1/open", alice, json=wanted).json()
    assert (refused["request"]["id"], refused["request"]["people"]) == (filed["id"], ["bob"])
    glass = desk.call("POST", "/v1/requests", alice, json={**wanted, "break_glass": True})
    assert code(glass) == (400, "request-invalid")
    at_once = desk.call("POST", "/v1/requests", alice, json={"ticket": "SUP-1"}).json()
    assert at_once["state"] == "approved"
    assert desk.records(kind="pass.minted") == []


def test_status_says_what_one_holds_what_waits_and_for_whom(own_desk: Any) -> None:
    desk = own_desk
    desk.enrol("bob")
    alice = desk.sign_in("alice")
    opened = desk.call("POST", "/v1/open", alice, json={"ticket": "SUP-1"}).json()
    desk.call("POST", "/v1/requests", alice, json={"ticket": "SUP-1", "reveal": [EMAIL], "reason": "x"})
    mine = desk.call("GET", "/v1/status", alice).json()
    assert [one["id"] for one in mine["grants"]] == [opened["grant"]]
    assert [(one["grant"], one["ticket"]) for one in mine["passes"]] == [(opened["grant"], "SUP-1")]
    assert opened["password"] not in str(mine)
    assert [(one["reveal"], one["people"]) for one in mine["requests"]] == [([EMAIL], ["bob"])]
    theirs = desk.call("GET", "/v1/status", desk.sign_in("bob")).json()
    assert (theirs["grants"], theirs["passes"], theirs["requests"]) == ([], [], [])


def test_an_extension_says_until_when_or_what_waits(own_desk: Any) -> None:
    desk = own_desk
    alice = desk.sign_in("alice")
    opened = desk.call("POST", "/v1/open", alice, json={"ticket": "SUP-1"}).json()
    body = {"seconds": 1800, "reason": "not done"}
    longer = desk.call("POST", f"/v1/grants/{opened['grant']}/extend", alice, json=body).json()
    assert longer["expires_at"] > opened["expires_at"]
    wanted = {"ticket": "SUP-1", "reveal": [EMAIL], "reason": "x"}
    waiting = desk.call("POST", "/v1/open", alice, json=wanted).json()["request"]["id"]
    desk.call("POST", f"/v1/requests/{waiting}/approve", desk.sign_in("bob"), json={})
    clear = desk.call("POST", "/v1/open", desk.sign_in("alice"), json=wanted).json()
    refused = desk.call("POST", f"/v1/grants/{clear['grant']}/extend", desk.sign_in("alice"), json=body)
    assert code(refused) == (403, "approval-required")
    request = desk.call("GET", f"/v1/requests/{refused.json()['request']['id']}", desk.sign_in("bob")).json()
    assert (request["extends"], request["duration_s"]) == (clear["grant"], 1800)
    assert [one["same_customer"] for one in request["earlier"]] == [True, True, True]


def test_a_delegate_decides_and_both_are_shown(own_desk: Any) -> None:
    desk = own_desk
    alice, bob = desk.sign_in("alice"), desk.sign_in("bob")
    ends = (desk.now + timedelta(days=7)).isoformat()
    body = {"login": "dan", "ends_at": ends, "reason": "on leave"}
    made = desk.call("POST", "/v1/delegations", bob, json=body).json()
    assert (made["delegator"], made["delegate"], made["state"]) == ("bob", "dan", "live")
    wanted = {"ticket": "SUP-1", "reveal": [EMAIL], "reason": "x"}
    waiting = desk.call("POST", "/v1/open", alice, json=wanted).json()["request"]["id"]
    dan = desk.sign_in("dan")
    done = desk.call("POST", f"/v1/requests/{waiting}/approve", dan, json={"in_name_of": "bob"}).json()
    assert done["decided_by"] == ["dan for bob"]
    assert [one["id"] for one in desk.call("GET", "/v1/delegations", dan).json()["delegations"]] == [made["id"]]
    ended = desk.call("POST", f"/v1/delegations/{made['id']}/end", dan).json()
    assert ended["delegate"] == "dan"
    assert desk.call("GET", "/v1/delegations", dan).json()["delegations"] == []


@pytest.mark.parametrize("login", ["bob", "carol"])
def test_who_has_access_now_is_for_administrators_and_auditors(own_desk: Any, login: str) -> None:
    desk = own_desk
    opened = desk.call("POST", "/v1/open", desk.sign_in("alice"), json={"ticket": "SUP-1"}).json()
    found = desk.call("GET", "/v1/access/now", desk.sign_in(login)).json()["grants"]
    assert [(one["id"], one["login"], one["sessions"]) for one in found] == [(opened["grant"], "alice", [])]
    assert code(desk.call("GET", "/v1/access/now", desk.sign_in("alice"))) == (403, "not-in-team")
