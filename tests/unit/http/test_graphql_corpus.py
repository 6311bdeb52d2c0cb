"""The corpus of GraphQL: each request is refused with its code, or answered without anything that may not leave."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from graphql_world import CORPUS, LEAKS, asked, came, request, rules
from ruamel.yaml import YAML

from gateway.errors import CODES, Refusal
from gateway.http.judge import judge
from gateway.http.message import HttpPlan, HttpRequest

GROWN = {
    "{aliases}": " ".join(f"a{number}: id" for number in range(100)),
    "{bomb}": " ".join(f"fragment F{n} on Employee {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    + " fragment F40 on Employee { id }",
    "{notes}": " ".join(f"n{number}: addNote(companyId: 42, text: $t)" for number in range(59)),
    "{inline}": "... { " * 70 + "__typename" + " }" * 70,
    "{codes}": " ".join(f"c{number}: code" for number in range(70)),
    "{deep}": "[" * 40 + "]" * 40,
}


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = YAML(typ="safe").load(CORPUS / f"{name}.yaml")
    return found


def grown(text: Any) -> Any:
    if isinstance(text, dict):
        return {name: grown(one) for name, one in text.items()}
    if not isinstance(text, str):
        return text
    for name, value in GROWN.items():
        text = text.replace(name, value)
    return re.sub(r"(\S ?)\{x([0-9]+)\}", lambda match: match[1] * int(match[2]), text)


def request_of(case: dict[str, Any]) -> HttpRequest:
    more = {name: case[name] for name in ("target", "method") if name in case}
    headers = case.get("headers", [["content-type", "application/json"]])
    if "body" in case:
        body = grown(case["body"]).encode("latin-1")
    else:
        members = {name: case[name] for name in ("operationName",) if name in case} | case.get("members", {})
        given = {"query": grown(case["query"])} | members
        body = json.dumps(given | ({"variables": grown(case["variables"])} if "variables" in case else {})).encode()
    return request(body, tuple((name, value) for name, value in headers), **more)


ATTACKS = cases("attacks")


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


CLIENTS = cases("clients")


@pytest.mark.parametrize("case", CLIENTS, ids=lambda case: case["id"])
def test_what_clients_send_is_answered(case: dict[str, Any]) -> None:
    found = came(request_of(case))

    assert found.code == "", found.plan
    assert found.answer == case["shows"]


def test_the_corpus_of_clients_is_of_many() -> None:
    assert len(CLIENTS) >= 40
    assert {case["id"].partition("-")[0] for case in CLIENTS} == {"apollo", "urql", "graphiql", "gql", "relay"}
