"""Asking for literals over the API: who may, and that no value that is asked about is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.access.acts import ActKind
from gateway.model import Peer, Principal
from gateway.store.acts import Act

VALUE = "hers@exemple.fr"
CARRIED: list[tuple[dict[str, str], str]] = []


@pytest.fixture(scope="module", autouse=True)
def kinds(desk: Any) -> None:
    async def carry(act: Act, private: str, _by: Principal, _peer: Peer) -> Mapping[str, Any]:
        CARRIED.append((dict(act.subject), private))
        return {"done": "yes"}

    desk.access.acts.register(ActKind("unseal", "opens", frozenset({"auditors"}), carry, answers_asker=True))
    desk.access.acts.register(ActKind("erase", "erases", frozenset({"auditors", "custodians"}), carry))


def post(desk: Any, path: str, login: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = desk.call("POST", f"/v1/audit/{path}", desk.sign_in(login), json=body)
    return answer.status_code, answer.json()


def test_a_person_is_erased_without_being_named_in_any_record(desk: Any) -> None:
    status, act = post(desk, "erase", "carol", subject=VALUE, reason="her request")

    assert (status, act["state"]) == (200, "waiting")
    assert VALUE not in str(act)
    assert len(act["subject"]["subject"]) == 16
    # who decides sees whom it is about
    assert desk.call("GET", f"/v1/audit/acts/{act['id']}", desk.sign_in("bob")).json()["private"] == VALUE
    done = post(desk, f"acts/{act['id']}/confirm", "bob", reason="as agreed")[1]
    assert (done["state"], done["result"]) == ("done", {"done": "yes"})
    assert CARRIED[-1] == ({"subject": act["subject"]["subject"]}, VALUE)
    assert VALUE not in str(desk.records())


def test_the_same_value_has_the_same_digest_and_another_one_not(desk: Any) -> None:
    digests = [post(desk, "erase", "carol", subject=one, reason="r")[1]["subject"] for one in (VALUE, VALUE, "x@y.fr")]

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("body", [{}, {"customer": "42", "subject": VALUE}, {"customer": ""}, {"subject": ""}])
def test_either_a_customer_or_a_person_is_erased(desk: Any, body: dict[str, str]) -> None:
    status, problem = post(desk, "erase", "carol", reason="r", **body)

    assert status in (400, 422)
    assert VALUE not in str(problem)


def test_who_looks_for_a_value_is_recorded_and_the_value_is_not(desk: Any) -> None:
    assert post(desk, "tokens", "carol", value=VALUE) == (200, {"tokens": "-"})
    read = desk.records(kind="audit.read")[-1]

    assert read["query"].startswith("tokens of ")
    assert len(read["query"]) == len("tokens of ") + 16
    assert VALUE not in str(desk.records())


@pytest.mark.parametrize("value", [VALUE, "-x", "a" * 22 + "  " + "b" * 22, "a" * 23])
def test_a_question_takes_tokens_and_nothing_that_could_be_a_value(desk: Any, value: str) -> None:
    answer = desk.call("GET", "/v1/audit/questions/subject", desk.sign_in("carol"), params={"value": value})

    assert answer.status_code == 400
    assert VALUE not in str(desk.records())


def test_a_question_with_tokens_is_answered(desk: Any) -> None:
    for value in ("-", f"{'a' * 22} {'b' * 22}"):
        answer = desk.call("GET", "/v1/audit/questions/subject", desk.sign_in("carol"), params={"value": value})
        assert (answer.status_code, answer.json()["total"]) == (200, 0)


def test_only_what_is_sealed_can_be_opened(desk: Any) -> None:
    assert post(desk, "unseal", "carol", record="0", reason="r")[1]["code"] == "not-found"
    assert post(desk, "unseal", "carol", record="999999", reason="r")[1]["code"] == "not-found"
    assert post(desk, "unseal", "carol", record="../0", reason="r")[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "login"),
    [
        ("unseal", {"record": "0", "reason": "r"}, "alice"),
        ("unseal", {"record": "0", "reason": "r"}, "bob"),
        ("erase", {"customer": "42", "reason": "r"}, "alice"),
        ("tokens", {"value": VALUE}, "alice"),
        ("tokens", {"value": VALUE}, "bob"),
    ],
)
def test_others_may_not(desk: Any, path: str, body: dict[str, str], login: str) -> None:
    status, problem = post(desk, path, login, **body)

    assert (status, problem["code"]) == (403, "not-in-team")


@pytest.mark.parametrize(("path", "body"), [
    ("unseal", {"record": "0", "reason": "r"}), ("erase", {"customer": "42", "reason": "r"}),
    ("tokens", {"value": VALUE}),
])  # fmt: skip
def test_a_second_factor_of_half_an_hour_ago_is_too_old(desk: Any, path: str, body: dict[str, str]) -> None:
    token = desk.sign_in("carol")
    desk.pass_time(minutes=30)
    answer = desk.call("POST", f"/v1/audit/{path}", token, json=body)

    assert answer.json()["code"] == "second-factor-required"
