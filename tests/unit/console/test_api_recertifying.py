"""Reviews of access over the API, and the result that proves itself offline."""

from __future__ import annotations

import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import recertification, reports
from gateway.audit.bundle import write
from gateway.audit.verify import proof_bytes


def begin(desk: Any) -> tuple[str, list[dict[str, Any]]]:
    """A review, and its lines."""
    for login in ("alice", "bob", "frank", "carol"):
        desk.sign_in(login)
    desk.call("POST", "/v1/open", desk.sign_in("alice"), json={"ticket": "SUP-1"})
    body = {"due_at": (desk.now + timedelta(days=14)).isoformat()}
    begun = desk.call("POST", "/v1/access/reviews", desk.sign_in("bob"), json=body)
    assert begun.status_code == 200, begun.text
    shown = desk.call("GET", f"/v1/access/reviews/{begun.json()['id']}", desk.sign_in("bob")).json()
    return begun.json()["id"], shown["lines"]


def answer(desk: Any, review: str, by: str, lines: list[int], decision: str = "keep") -> Any:
    body = {"lines": lines, "decision": decision, "reason": "looked at it"}
    return desk.call("POST", f"/v1/access/reviews/{review}/decide", desk.sign_in(by), json=body)


def closed(desk: Any) -> str:
    """A review that was closed early: carol's right to audit is revoked, all else kept."""
    review, lines = begin(desk)
    for by, other in (("bob", "frank"), ("frank", "bob")):
        mine = [one["number"] for one in lines if one["login"] not in (by, "carol")]
        mine = mine if by == "bob" else [one["number"] for one in lines if one["login"] == other]
        assert answer(desk, review, by, mine).json() == {"answered": len(mine)}
    audit = [one["number"] for one in lines if one["login"] == "carol"]
    assert answer(desk, review, "bob", audit, "revoke").status_code == 200
    ended = desk.call("POST", f"/v1/access/reviews/{review}/close", desk.sign_in("bob"))
    assert ended.json()["state"] == "closed", ended.text
    return review


def exported(desk: Any, review: str, place: Path) -> dict[str, Any]:
    desk.trail.flush()
    desk.trail.checkpoint()
    answered = desk.call("GET", f"/v1/access/reviews/{review}/result", desk.sign_in("bob"))
    assert answered.status_code == 200, answered.text
    result: dict[str, Any] = answered.json()
    made = recertification.contents(result["review"], result["document"].encode(), "1")
    write(place, made, proof_bytes(result["proof"]))
    return result


def test_lines_have_their_last_use_from_the_trail(own_desk: Any) -> None:
    _, lines = begin(own_desk)
    rights = {(one["login"], one["target"], one["right"]): one for one in lines}
    assert {("alice", "payroll", "read"), ("bob", "", "administer"), ("carol", "", "audit")} <= set(rights)
    # bob invited nobody himself, and nobody connected
    assert rights["alice", "payroll", "read"]["uses_90d"] == 0
    assert all(one["outcome"] == "withdrawn" and one["why"] == "nobody has answered" for one in lines)


def test_who_used_a_right_is_counted_under_his_own_line(own_desk: Any) -> None:
    desk = own_desk
    wanted = {"ticket": "SUP-1", "reveal": ["public.employees.email"], "reason": "x"}
    waiting = desk.call("POST", "/v1/open", desk.sign_in("alice"), json=wanted).json()["request"]["id"]
    desk.call("POST", f"/v1/requests/{waiting}/approve", desk.sign_in("frank"), json={})
    desk.call("POST", "/v1/people/eve/invite", desk.sign_in("frank"))
    desk.call("GET", "/v1/audit/records", desk.sign_in("carol"))
    _, lines = begin(desk)
    uses = {(one["login"], one["right"]): one["uses_90d"] for one in lines}
    assert (uses["frank", "approve"], uses["frank", "administer"], uses["carol", "audit"]) == (1, 1, 1)
    assert (uses["bob", "approve"], uses["bob", "administer"], uses["alice", "reveal"]) == (0, 0, 0)
    last = {(one["login"], one["right"]): one["last_use"] for one in lines}
    assert last["frank", "approve"] is not None
    assert last["bob", "approve"] is None


def test_the_result_is_verified_offline_and_tampering_is_found(own_desk: Any, tmp_path: Path) -> None:
    desk = own_desk
    review = closed(desk)
    place = tmp_path / "result.zip"
    exported(desk, review, place)
    key = desk.trail.verifier.text
    report = reports.check(place, key, "1")
    assert report.ok, report.problems
    assert any("1 withdrawn" in note for note in report.notes)
    assert code_of(desk, "carol") == (403, "not-in-team")

    with zipfile.ZipFile(place) as archive:
        document = json.loads(archive.read("review.json"))
        proof = archive.read("proof.json")
    gone = next(one for one in document["lines"] if one["outcome"] == "withdrawn")
    gone |= {"outcome": "kept", "decision": "keep", "why": ""}
    forged = tmp_path / "forged.zip"
    write(forged, recertification.contents(review, json.dumps(document).encode(), "1"), proof)
    assert not reports.check(forged, key, "1").ok


def code_of(desk: Any, login: str) -> tuple[int, str]:
    refused = desk.call("GET", "/v1/audit/records", desk.sign_in(login))
    return refused.status_code, refused.json()["code"]


def test_what_was_withdrawn_is_given_back_by_another_administrator(own_desk: Any) -> None:
    desk = own_desk
    closed(desk)
    assert code_of(desk, "carol") == (403, "not-in-team")
    body = {"right": "audit", "reason": "she is the auditor"}
    assert desk.call("POST", "/v1/people/carol/restore", desk.sign_in("bob"), json=body).status_code == 200
    assert desk.call("GET", "/v1/audit/records", desk.sign_in("carol")).status_code == 200


@pytest.mark.parametrize(("login", "status"), [("alice", 403), ("dan", 403), ("bob", 200), ("carol", 200)])
def test_reviews_are_seen_by_who_answers_and_by_auditors(own_desk: Any, login: str, status: int) -> None:
    begin(own_desk)
    assert own_desk.call("GET", "/v1/access/reviews", own_desk.sign_in(login)).status_code == status


def test_a_result_is_there_once_the_review_is_closed(own_desk: Any) -> None:
    review, lines = begin(own_desk)
    path = f"/v1/access/reviews/{review}/result"
    assert own_desk.call("GET", path, own_desk.sign_in("bob")).status_code == 400
    assert own_desk.call("GET", path, own_desk.sign_in("alice")).status_code == 403
    own = [one["number"] for one in lines if one["login"] == "bob"]
    assert answer(own_desk, review, "bob", own).status_code == 400
