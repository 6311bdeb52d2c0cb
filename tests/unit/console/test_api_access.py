"""Signing in, opening, deciding and enrolling over the API."""

from __future__ import annotations

import json
from typing import Any

import pytest


def problem(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == "about:blank"
    return answer.status_code, document["code"]


def test_a_person_signs_in_with_both_parts_and_is_known_by_the_token(desk: Any) -> None:
    token = desk.sign_in("alice")
    me = desk.call("GET", "/v1/whoami", token).json()
    assert me["person"] == {"login": "alice", "name": "Alice", "teams": ["support"]}
    assert me["roles"] == []
    assert "token" not in me


@pytest.mark.parametrize(
    "change",
    [{"password": "wrong"}, {"otp": "000000"}, {"login": "nobody"}],
    ids=["wrong password", "wrong code", "unknown person"],
)
def test_which_part_was_wrong_is_not_told(desk: Any, change: dict[str, str]) -> None:
    desk.sign_in("alice")
    desk.pass_time(hours=2)
    body = {"login": "alice", "password": "correct horse battery", "otp": desk.code("alice")} | change
    answer = desk.call("POST", "/v1/sign-in", json=body)
    assert problem(answer) == (401, "authentication-failed")
    assert answer.json()["detail"] == "the person, the secret or the second factor was not accepted"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_used_code_is_refused(desk: Any) -> None:
    desk.sign_in("alice")
    body = {"login": "alice", "password": "correct horse battery", "otp": desk.code("alice")}
    assert problem(desk.call("POST", "/v1/sign-in", json=body)) == (401, "authentication-failed")


def test_a_recovery_code_enrols_anew_and_opens_nothing_else(desk: Any) -> None:
    recovery = desk.enrol("eve")[0]
    who = {"login": "eve", "password": "correct horse battery"}
    assert problem(desk.call("POST", "/v1/sign-in", json=who | {"otp": recovery})) == (401, "authentication-failed")
    answer = desk.call("POST", "/v1/recover", json=who | {"recovery_code": recovery})
    assert (answer.status_code, answer.json()["login"]) == (200, "eve")
    proof = who | {"invitation": answer.json()["invitation"]}
    desk.secrets["eve"] = desk.call("POST", "/v1/enrol/begin", json=proof).json()["secret"]
    assert desk.call("POST", "/v1/enrol/finish", json=proof | {"otp": desk.code("eve")}).status_code == 200
    again = desk.call("POST", "/v1/recover", json=who | {"recovery_code": recovery})
    assert problem(again) == (401, "authentication-failed")


def test_signing_out_ends_the_token(desk: Any) -> None:
    token = desk.sign_in("alice")
    assert desk.call("POST", "/v1/sign-out", token).status_code == 204
    assert problem(desk.call("GET", "/v1/whoami", token)) == (401, "session-expired")


PRIVATE = [
    ("POST", "/v1/sign-out"),
    ("GET", "/v1/whoami"),
    ("POST", "/v1/open"),
    ("GET", "/v1/requests"),
    ("GET", "/v1/requests/req_1"),
    ("POST", "/v1/requests/req_1/preview"),
    ("POST", "/v1/requests/req_1/approve"),
    ("POST", "/v1/requests/req_1/deny"),
    ("POST", "/v1/requests/req_1/cancel"),
    ("GET", "/v1/grants"),
    ("POST", "/v1/grants/grant_1/revoke"),
    ("GET", "/v1/sessions"),
    ("POST", "/v1/requests"),
    ("POST", "/v1/grants/grant_1/extend"),
    ("GET", "/v1/delegations"),
    ("POST", "/v1/delegations"),
    ("POST", "/v1/delegations/delegation_1/end"),
    ("GET", "/v1/status"),
    ("GET", "/v1/access/now"),
    ("GET", "/v1/access/reviews"),
    ("POST", "/v1/access/reviews"),
    ("GET", "/v1/access/reviews/review_1"),
    ("POST", "/v1/access/reviews/review_1/decide"),
    ("POST", "/v1/access/reviews/review_1/close"),
    ("GET", "/v1/access/reviews/review_1/result"),
    ("GET", "/v1/people"),
    ("POST", "/v1/people/alice/suspend"),
    ("POST", "/v1/people/alice/unsuspend"),
    ("POST", "/v1/people/alice/restore"),
    ("POST", "/v1/people/alice/invite"),
    ("POST", "/v1/people/alice/release-login"),
    ("POST", "/v1/people/alice/reset-factor"),
    ("POST", "/v1/security-keys"),
    ("GET", "/v1/security-keys"),
    ("POST", "/v1/security-keys/remove"),
    ("GET", "/v1/audit/records"),
    ("GET", "/v1/audit/records/1"),
    ("GET", "/v1/audit/records/1/proof"),
    ("GET", "/v1/audit/tail"),
    ("GET", "/v1/audit/checkpoint"),
    ("GET", "/v1/audit/tlog/checkpoint"),
    ("GET", "/v1/audit/key"),
    ("GET", "/v1/audit/logs"),
    ("POST", "/v1/audit/index"),
    ("GET", "/v1/audit/questions"),
    ("GET", "/v1/audit/questions/denials"),
    ("GET", "/v1/audit/questions/denials/export"),
    ("POST", "/v1/audit/unseal"),
    ("POST", "/v1/audit/erase"),
    ("POST", "/v1/audit/tokens"),
    ("GET", "/v1/audit/holds"),
    ("POST", "/v1/audit/holds"),
    ("POST", "/v1/audit/holds/hold_1/lift"),
    ("GET", "/v1/audit/retention"),
    ("GET", "/v1/audit/acts"),
    ("GET", "/v1/reviews"),
    ("POST", "/v1/audit/reports"),
    ("POST", "/v1/audit/reconciliations"),
    ("GET", "/v1/audit/categories"),
    ("GET", "/v1/cases"),
    ("GET", "/v1/cases/case_1"),
    ("POST", "/v1/cases/case_1"),
    ("POST", "/v1/reviews/grant_1"),
    ("GET", "/v1/audit/acts/act_1"),
    ("POST", "/v1/audit/acts/act_1/confirm"),
    ("POST", "/v1/audit/acts/act_1/decline"),
    ("POST", "/v1/audit/acts/act_1/withdraw"),
    ("POST", "/v1/audit/acts/act_1/carry-out"),
]
PUBLIC = {
    ("GET", "/v1/version"),
    ("POST", "/v1/sign-in"),
    ("POST", "/v1/recover"),
    ("POST", "/v1/enrol/begin"),
    ("POST", "/v1/enrol/finish"),
    ("POST", "/v1/hooks/tickets/{system}"),
    ("POST", "/v1/sign-in/key"),
    ("POST", "/v1/enrol/key"),
    ("POST", "/v1/key/collect"),
    ("POST", "/v1/key/begin"),
    ("POST", "/v1/key/answer"),
    # at an identity provider
    ("GET", "/v1/login"),
    ("POST", "/v1/login/begin"),
    ("POST", "/v1/login/look"),
    ("POST", "/v1/login/finish"),
    ("POST", "/v1/login/enrol/begin"),
    ("POST", "/v1/login/enrol/finish"),
    ("POST", "/v1/login/recover"),
    ("GET", "/v1/login/go/{go}"),
    ("GET", "/v1/login/callback"),
    ("GET", "/v1/login/confirm/{form}"),
    ("POST", "/v1/login/confirm/{form}"),
}


def test_every_route_is_listed_here_as_private_or_public(desk: Any) -> None:
    described = desk.call("GET", "/v1/openapi.json").json()["paths"]
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    listed = {
        (
            method,
            path.replace("req_1", "{id}")
            .replace("grant_1", "{id}")
            .replace("act_1", "{id}")
            .replace("hold_1", "{id}")
            .replace("case_1", "{id}")
            .replace("delegation_1", "{id}")
            .replace("review_1", "{id}"),
        )
        for method, path in PRIVATE
    }
    listed = {
        (
            m,
            p.replace("/people/alice/", "/people/{login}/")
            .replace("/records/1", "/records/{which}")
            .replace("/questions/denials", "/questions/{name}")
            .replace("/tlog/checkpoint", "/tlog/{path}"),
        )
        for m, p in listed
    }
    assert routes == listed | PUBLIC


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize("token", ["", "gwt_wrong", "x" * 5000])
def test_a_private_route_needs_a_live_token(desk: Any, method: str, path: str, token: str) -> None:
    answer = desk.call(method, path, token, json={} if method == "POST" else None)
    assert problem(answer)[0] == 401


def test_opening_a_ticket_gives_everything_a_client_needs(desk: Any) -> None:
    answer = desk.call("POST", "/v1/open", desk.sign_in("alice"), json={"ticket": "SUP-1"}).json()
    assert {name: answer[name] for name in ("target", "host", "port", "database", "user", "sslmode")} == {
        "target": "payroll",
        "host": "127.0.0.1",
        "port": 6432,
        "database": "payroll",
        "user": "alice+SUP-1",
        "sslmode": "verify-full",
    }
    assert answer["customers"] == ["42"]
    assert answer["ca"].startswith("-----BEGIN CERTIFICATE")
    assert len(answer["password"]) >= 22


@pytest.mark.parametrize(
    ("login", "body", "expected"),
    [
        ("alice", {"ticket": "SUP-2"}, (403, "ticket-closed")),
        ("alice", {"ticket": "SUP-9"}, (403, "ticket-not-found")),
        ("alice", {"ticket": ""}, (403, "ticket-required")),
        ("alice", {"ticket": "SUP-1", "target": "other"}, (404, "target-not-available")),
        ("alice", {"ticket": "SUP-1", "duration_s": 9 * 3600}, (400, "request-invalid")),
        ("eve", {"ticket": "SUP-1"}, (403, "ticket-not-yours")),
        ("dan", {"ticket": "SUP-1"}, (403, "not-in-team")),
    ],
)
def test_opening_is_refused_with_a_code(desk: Any, login: str, body: dict[str, Any], expected: tuple[int, str]) -> None:
    assert problem(desk.call("POST", "/v1/open", desk.sign_in(login), json=body)) == expected


def test_seeing_a_column_in_clear_waits_for_an_approver_of_another_person(desk: Any) -> None:
    alice, bob = desk.sign_in("alice"), desk.sign_in("bob")
    wanted = {"ticket": "SUP-1", "reveal": ["public.employees.email"], "reason": "she wrote from another address"}
    refused = desk.call("POST", "/v1/open", alice, json=wanted)
    assert problem(refused) == (403, "approval-required")
    waiting = refused.json()["request"]
    assert waiting["approvers"] == ["security"]

    listed = desk.call("GET", "/v1/requests", bob, params={"state": "pending"}).json()["requests"]
    assert [(one["id"], one["login"], one["reveal"]) for one in listed] == [
        (waiting["id"], "alice", ["public.employees.email"])
    ]
    own = desk.call("POST", f"/v1/requests/{waiting['id']}/approve", alice, json={})
    assert own.status_code == 403
    done = desk.call("POST", f"/v1/requests/{waiting['id']}/approve", bob, json={"reason": "seen"}).json()
    assert (done["state"], done["decided_by"]) == ("approved", ["bob"])

    opened = desk.call("POST", "/v1/open", alice, json=wanted).json()
    held = desk.call("GET", "/v1/grants", alice).json()["grants"]
    assert [one["reveal"] for one in held if one["id"] == opened["grant"]] == [["public.employees.email"]]
    over = desk.call("POST", f"/v1/grants/{opened['grant']}/revoke", alice, json={"reason": "done"}).json()
    assert over["state"] == "revoked"
    assert opened["grant"] not in [one["id"] for one in desk.call("GET", "/v1/grants", alice).json()["grants"]]


def test_a_request_can_be_denied_or_taken_back(desk: Any) -> None:
    alice, bob = desk.sign_in("alice"), desk.sign_in("bob")
    wanted = {"ticket": "SUP-1", "reveal": ["public.employees.email"]}
    for token, move, state in ((bob, "deny", "denied"), (alice, "cancel", "cancelled")):
        waiting = desk.call("POST", "/v1/open", alice, json=wanted).json()["request"]["id"]
        body = {"reason": "not needed"} if move == "deny" else None
        assert desk.call("POST", f"/v1/requests/{waiting}/{move}", token, json=body).json()["state"] == state


def test_invitations_are_for_administrators(desk: Any) -> None:
    assert problem(desk.call("POST", "/v1/people/dan/invite", desk.sign_in("alice"))) == (403, "not-in-team")


def test_an_old_factor_does_not_administer(desk: Any) -> None:
    bob = desk.sign_in("bob")
    desk.pass_time(minutes=16)
    assert problem(desk.call("POST", "/v1/people/dan/invite", bob)) == (401, "second-factor-required")


def test_a_reset_takes_factor_and_sign_ins_away(desk: Any) -> None:
    eve = desk.sign_in("eve")
    assert desk.call("POST", "/v1/people/eve/reset-factor", desk.sign_in("bob")).json()["login"] == "eve"
    assert problem(desk.call("GET", "/v1/whoami", eve))[0] == 401
    desk.secrets.pop("eve")


def test_the_local_socket_can_only_invite_reset_give_back_archive_and_record_a_restore_test(desk: Any) -> None:
    paths = {route.path for route in desk.local.routes}
    assert paths == {
        "/v1/people/{login}/invite",
        "/v1/people/{login}/reset-factor",
        "/v1/people/{login}/unsuspend",
        "/v1/people/{login}/restore",
        "/v1/audit/archive",
        "/v1/audit/restore-tested",
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sign-in", {"login": "alice", "password": "hunter2-secret", "otp": "123456", "extra": 1}),
        ("/v1/sign-in", {"login": "alice", "password": {"hunter2-secret": 1}, "otp": "123456"}),
        ("/v1/sign-in", {"login": "alice", "password": "hunter2-secret" * 100, "otp": "123456"}),
        ("/v1/enrol/begin", {"login": "alice", "password": "hunter2-secret"}),
    ],
)
def test_a_malformed_body_is_refused_without_an_echo(desk: Any, path: str, body: dict[str, Any]) -> None:
    answer = desk.call("POST", path, json=body)
    assert problem(answer) == (400, "request-invalid")
    assert answer.json()["errors"]
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"null", b'{"login": 1e999}'])
def test_what_is_not_an_object_is_a_malformed_body(desk: Any, content: bytes) -> None:
    answer = desk.call("POST", "/v1/sign-in", content=content, headers={"Content-Type": "application/json"})
    assert problem(answer) == (400, "request-invalid")


def test_a_form_is_not_json(desk: Any) -> None:
    body = json.dumps({"login": "alice", "password": "x", "otp": "123456"})
    answer = desk.call("POST", "/v1/sign-in", content=body, headers={"Content-Type": "text/plain"})
    assert problem(answer) == (400, "request-invalid")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/docs", "/redoc", "/v1/open/"])
def test_unknown_paths_are_not_found(desk: Any, path: str) -> None:
    assert problem(desk.call("GET", path)) == (404, "not-found")


def test_a_wrong_method_says_which_is_right(desk: Any) -> None:
    answer = desk.call("GET", "/v1/sign-in")
    assert problem(answer) == (405, "request-invalid")
    assert answer.headers["allow"] == "POST"


def test_problems_are_described(desk: Any) -> None:
    described = desk.call("GET", "/v1/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)
            assert operation["description"], (method, path)
