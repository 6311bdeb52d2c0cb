"""The corpus of requests: each is refused with its code, or goes on in one canonical form."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from judging import again, attacks, came, request_of

from gateway.errors import CODES, Refusal
from gateway.http.message import HttpPlan


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack["id"])
def test_a_request_of_the_corpus_comes_to_what_it_says(attack: dict[str, Any]) -> None:
    request, customers = request_of(attack), tuple(attack.get("customers", ["42"]))

    plan = came(request, customers)

    if attack["expect"] != "accepted":
        assert isinstance(plan, Refusal), plan
        assert plan.code == attack["expect"], plan.message
        assert plan.hint
        return
    assert isinstance(plan, HttpPlan), plan
    assert plan.target == attack.get("goes", request.target)
    assert plan.body.decode("latin-1") == attack.get("sends", request.body.decode("latin-1"))
    assert came(again(plan), customers) == plan
    allowed = {"accept", "accept-encoding", "content-type", *(rule.name for rule in plan.route.headers)}
    assert {name for name, _ in plan.headers} <= allowed
    assert "CANARY" not in repr(plan.headers) + plan.text
    assert plan.digest == hashlib.sha256(b"gateway http request 1\n" + plan.text.encode()).hexdigest()


def test_the_corpus_says_of_each_case_why_it_is_there() -> None:
    found = attacks()

    assert len(found) >= 250
    assert len({attack["id"] for attack in found}) == len(found)
    assert all(attack["why"] for attack in found)
    assert {attack["expect"] for attack in found} - {"accepted"} <= CODES.keys()
