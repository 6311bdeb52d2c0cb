"""The corpus of GraphQL: each request is refused with its code, or answered without anything that may not leave."""

from __future__ import annotations

from typing import Any

import pytest
from graphql_cases import ATTACKS, CLIENTS, request_of
from graphql_world import LEAKS, asked, came, rules

from gateway.errors import CODES, Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case["id"])
def test_a_request_of_the_corpus_comes_to_what_it_says(case: dict[str, Any]) -> None:
    found = came(request_of(case))

    assert found.code == ("" if case["expect"] == "accepted" else case["expect"]), found.plan
    for leak in LEAKS:
        assert leak not in found.text
    if isinstance(found.plan, Refusal):
        assert found.plan.hint
        assert "CANARY" not in found.plan.message
        return
    assert "CANARY" not in found.plan.shape
    assert judged_again(found.plan) == found.plan
    if "shows" in case:
        assert found.answer == case["shows"]


def judged_again(plan: HttpPlan) -> HttpPlan | Refusal:
    """What the canonical request, as a person reads it, comes to."""
    return judge(asked(plan.text.partition("\n\n")[2]), rules(), ("42",))


def test_the_corpus_says_of_each_case_why_it_is_there() -> None:
    assert len(ATTACKS) >= 200
    assert len({case["id"] for case in ATTACKS}) == len(ATTACKS)
    assert all(case["why"] for case in ATTACKS)
    assert {case["expect"] for case in ATTACKS} - {"accepted"} <= CODES.keys()


@pytest.mark.parametrize("case", CLIENTS, ids=lambda case: case["id"])
def test_what_clients_send_is_answered(case: dict[str, Any]) -> None:
    found = came(request_of(case))

    assert found.code == "", found.plan
    assert found.answer == case["shows"]


def test_the_corpus_of_clients_is_of_many() -> None:
    assert len(CLIENTS) >= 40
    assert {case["id"].partition("-")[0] for case in CLIENTS} == {"apollo", "urql", "graphiql", "gql", "relay"}
