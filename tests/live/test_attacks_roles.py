"""Everybody tries everybody else's doors on the real API: requests, grants, people, the trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_client import Api
from gateway_fixture import House, awaited, open_house

from gateway.demo.postgres import EmbeddedPostgres

EVERYBODY = ("alice", "amir", "bob", "bea", "carol", "dan")


@pytest.fixture(scope="module")
def house(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway of this file's own: what happens to people and their passes here must not meet other tests."""
    with open_house(tmp_path_factory.mktemp("house"), postgres) as own:
        yield own


@pytest.fixture(scope="module")
def api(house: House) -> Iterator[Api]:
    made = Api(house)
    yield made
    made.client.close()
    # what was opened here took the place of the passes that the other tests use
    for ticket in ("SUP-1423", "SUP-1426"):
        house.opened("alice", ticket, again=True)


def ask(api: Api) -> str:
    """Alice asks to see a column in clear; the request that waits."""
    status, answer = api("alice", "/open", {"ticket": "SUP-1423", "reveal": ["public.employees.phone"]})
    assert (status, answer["code"]) == (403, "approval-required")
    return str(answer["request"]["id"])


def test_only_an_approver_of_another_person_decides(api: Api) -> None:
    request = ask(api)
    for login in ("alice", "amir", "carol", "dan"):
        for verb in ("approve", "deny"):
            status, answer = api(login, f"/requests/{request}/{verb}", {"reason": "please"})
            assert (status, answer["code"]) == (403, "not-in-team"), (login, verb)
    for login in ("amir", "bob", "bea", "carol", "dan"):
        assert api(login, f"/requests/{request}/cancel", {})[0] in (400, 403, 404)
    _, mine = api("alice", "/requests?state=pending")
    assert request in [one["id"] for one in mine["requests"]]
    assert api("alice", f"/requests/{request}/cancel", {})[0] == 200
    for login in ("bob", "bea"):
        assert api(login, f"/requests/{request}/approve", {})[0] == 400


def test_people_see_their_own_and_what_they_may_decide_on(api: Api) -> None:
    request = ask(api)
    assert api("alice", "/open", {"ticket": "SUP-1423"})[0] == 200
    for login, sees in {"alice": True, "bob": True, "bea": True, "amir": False, "carol": False, "dan": False}.items():
        requests = api(login, "/requests")[1]["requests"]
        grants = api(login, "/grants?live=false")[1]["grants"]
        assert (request in [one["id"] for one in requests]) is sees, login
        assert ("alice" in {one["login"] for one in grants}) is sees, login
        assert "password" not in str(grants)
    api("alice", f"/requests/{request}/cancel", {})


def test_a_grant_is_ended_by_its_holder_or_an_approver_and_looks_unknown_to_others(api: Api) -> None:
    grant = api("alice", "/open", {"ticket": "SUP-1426"})[1]["grant"]
    unknown = api("dan", "/grants/grant_aaaaaaaaaaaaaaaa/revoke", {})
    for login in ("amir", "carol", "dan"):
        assert api(login, f"/grants/{grant}/revoke", {}) == unknown
    assert api("bea", f"/grants/{grant}/revoke", {"reason": "test"})[0] == 200


def test_a_ticket_opens_for_its_assignee_only(api: Api) -> None:
    for login in ("amir", "bob", "bea", "carol", "dan"):
        status, answer = api(login, "/open", {"ticket": "SUP-1423"})
        assert status == 403, login
        assert answer["code"] in ("not-in-team", "ticket-not-yours")
    for ticket, code in {
        "SUP-1424": "ticket-closed",
        "SUP-1425": "ticket-not-yours",
        "SUP-9999": "ticket-not-found",
        "sup-1423": "ticket-not-found",
        "SUP-1423 ": "ticket-not-found",
        "../SUP-1423": "ticket-not-found",
        "": "ticket-required",
    }.items():
        assert api("alice", "/open", {"ticket": ticket})[1]["code"] == code, ticket


@pytest.mark.parametrize(
    "body",
    [
        {"ticket": "SUP-1423", "reveal": ["public.employees.nir"]},
        {"ticket": "SUP-1423", "reveal": ["public.employees.notes"]},
        {"ticket": "SUP-1423", "reveal": ["public.employees.*"]},
        {"ticket": "SUP-1423", "duration_s": 7 * 86400},
        {"ticket": "SUP-1423", "duration_s": -1},
        {"ticket": "SUP-1423", "duration_s": 1.5},
        {"ticket": "SUP-1423", "write": True},
        {"ticket": "SUP-1423", "person": "amir"},
        {"ticket": "SUP-1423", "target": "PAYROLL"},
        {"ticket": ["SUP-1423"]},
    ],
)
def test_nobody_gets_more_by_asking_oddly(api: Api, body: dict[str, Any]) -> None:
    status, answer = api("alice", "/open", body)
    assert status in (400, 403, 404, 422), answer
    assert "password" not in answer


def test_a_key_that_is_given_twice_is_taken_once(api: Api) -> None:
    assert api("dan", "/whoami")[0] == 200
    answer = api.client.post(
        "/open",
        content=b'{"ticket": "SUP-1423", "ticket": "SUP-1425"}',
        headers={"authorization": f"Bearer {api.tokens['dan']}", "content-type": "application/json"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("login", ["alice", "amir", "bob", "bea", "dan"])
def test_the_trail_is_the_auditors_and_asking_is_recorded(house: House, api: Api, login: str) -> None:
    follower = house.follow()
    for path in ("/audit/records", "/audit/records/1", "/audit/records/1/proof", "/audit/tail"):
        assert api(login, path)[1]["code"] == "not-in-team"
        record = awaited(follower, lambda record: record["kind"] == "audit.read" and record["login"] == login)
        assert (record["decision"], record["code"]) == ("deny", "not-in-team")


def test_an_auditor_s_read_is_in_the_trail_before_its_answer(house: House, api: Api) -> None:
    follower = house.follow()
    api("carol", "/whoami")
    follower.news()
    assert api("carol", "/audit/records?limit=1")[0] == 200
    assert [r["query"] for r in follower.news() if r["kind"] == "audit.read"] == ["search limit=1"]


@pytest.mark.parametrize("login", ["alice", "amir", "carol", "dan"])
def test_only_administrators_invite_and_reset(api: Api, login: str) -> None:
    for person in EVERYBODY:
        for verb in ("invite", "reset-factor"):
            status, answer = api(login, f"/people/{person}/{verb}", {})
            assert (status, answer["code"]) == (403, "not-in-team")


def test_an_administrator_does_not_reset_himself_nor_invite_who_has_a_factor(api: Api) -> None:
    for login in ("bob", "bea"):
        role = "administrator" in api(login, "/whoami")[1]["roles"]
        status, answer = api(login, f"/people/{login}/reset-factor", {})
        assert (status, answer["code"]) == ((400, "request-invalid") if role else (403, "not-in-team"))
        assert api(login, "/people/alice/invite", {})[0] in (400, 403)
