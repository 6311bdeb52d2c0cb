"""What nobody does to the trail alone: every road around the second person, tried over the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.access.acts import ActKind
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal
from gateway.store.acts import Act

PEER = Peer("192.0.2.7:1", "test", engine="api", tls="TLS")


class Carrier:
    """Carries acts out, and remembers what it was given; `answers` are what it does, one after the other."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.answers: list[Mapping[str, Any] | Refusal | GatewayError] = []

    async def __call__(self, act: Act, private: str, by: Principal, peer: Peer) -> Mapping[str, Any] | Refusal:
        self.calls.append((act.id, private, by.login))
        answer = self.answers.pop(0) if self.answers else {"done": "yes"}
        if isinstance(answer, GatewayError):
            raise answer
        return answer


@pytest.fixture(scope="module")
def kinds(desk: Any) -> tuple[Carrier, Carrier]:
    """A kind that is carried out at once, and one that answers its asker. bob and frank confirm, carol audits."""
    changes, answers = Carrier(), Carrier()
    both = frozenset({"auditors", "custodians"})
    desk.access.acts.register(ActKind("change", "changes something", both, changes))
    desk.access.acts.register(ActKind("answer", "tells something", frozenset({"auditors"}), answers, True))
    return changes, answers


@pytest.fixture(autouse=True)
def fresh(kinds: tuple[Carrier, Carrier]) -> Iterator[None]:
    yield
    for carrier in kinds:
        carrier.calls.clear()
        carrier.answers.clear()


def filed(desk: Any, does: str = "change", login: str = "carol", **more: Any) -> Act:
    act = file(desk, does, login, **more)
    assert isinstance(act, Act), act
    return act


def file(desk: Any, does: str, login: str, subject: str = "42", **more: Any) -> Act | Refusal:
    signin = desk.access.authenticate(desk.sign_in(login))
    assert not isinstance(signin, Refusal)
    reason = more.pop("reason", "court order")
    answer: Act | Refusal = desk.run(desk.access.acts.file(signin, does, {"customer": subject}, reason, PEER, **more))
    return answer


def step(desk: Any, act: Act | str, move: str, login: str, token: str = "") -> tuple[int, dict[str, Any]]:
    token = token or desk.sign_in(login)
    body = {"json": {"reason": "as agreed"}} if move in ("confirm", "decline") else {}
    id_ = act if isinstance(act, str) else act.id
    answer = desk.call("POST", f"/v1/audit/acts/{id_}/{move}", token, **body)
    return answer.status_code, answer.json()


def steps(desk: Any, act: Act) -> list[tuple[str, str, str]]:
    return [
        (record.get("login", "-"), record["state"], record["decision"])
        for record in desk.records(kind="audit.act")
        if record["act"] == act.id
    ]


def test_a_second_person_lets_it_happen_and_every_step_is_on_record(desk: Any, kinds: Any) -> None:
    act = filed(desk, subject="42", private="somebody@example.test")
    shown = desk.call("GET", f"/v1/audit/acts/{act.id}", desk.sign_in("bob")).json()
    assert (shown["login"], shown["state"], shown["private"]) == ("carol", "waiting", "somebody@example.test")
    status, answer = step(desk, act, "confirm", "bob")
    assert (status, answer["state"], answer["decided_by"], answer["result"]) == (200, "done", "bob", {"done": "yes"})
    assert kinds[0].calls == [(act.id, "somebody@example.test", "bob")]
    assert steps(desk, act) == [
        ("carol", "waiting", "permit"),
        ("bob", "confirmed", "permit"),
        ("bob", "done", "permit"),
    ]
    records = [record for record in desk.records(kind="audit.act") if record["act"] == act.id]
    assert all(record["asked_by"] == "p-carol" and record["subject"] == "customer=42" for record in records)
    assert [record.get("confirmed_by") for record in records] == [None, "p-bob", "p-bob"]
    assert "somebody@example.test" not in str(records)
    after = desk.call("GET", f"/v1/audit/acts/{act.id}", desk.sign_in("bob")).json()
    assert (after["state"], after["private"]) == ("done", "")


def test_what_is_private_is_not_in_clear_in_the_store(desk: Any) -> None:
    act = filed(desk, subject="private", private="hidden-words@example.test")
    store = b"".join(path.read_bytes() for path in desk.config.state.parent.glob("gateway.sqlite*"))
    assert act.id.encode() in store
    assert b"hidden-words@example.test" not in store


def test_nobody_confirms_his_own(desk: Any, kinds: Any) -> None:
    act = filed(desk, login="bob")
    status, answer = step(desk, act, "confirm", "bob")
    assert (status, answer["code"]) == (400, "request-invalid")
    assert "himself" in answer["detail"]
    assert kinds[0].calls == []
    assert steps(desk, act)[-1] == ("bob", "waiting", "deny")
    assert step(desk, act, "confirm", "frank")[0] == 200


def test_nor_through_a_second_account_of_his(desk: Any, kinds: Any) -> None:
    act = filed(desk, login="frank", subject="43")
    status, answer = step(desk, act, "confirm", "frank2")
    assert (status, answer["code"]) == (400, "request-invalid")
    assert kinds[0].calls == []


@pytest.mark.parametrize(
    ("login", "code"), [("carol", "not-in-team"), ("alice", "not-in-team"), ("dan", "not-in-team")]
)
def test_only_custodians_confirm(desk: Any, kinds: Any, login: str, code: str) -> None:
    act = filed(desk, login="bob", subject="44")
    status, answer = step(desk, act, "confirm", login)
    assert (status, answer["code"]) == (403, code)
    assert kinds[0].calls == []


@pytest.mark.parametrize(("does", "login"), [("change", "alice"), ("answer", "bob"), ("answer", "dan")])
def test_only_its_askers_ask(desk: Any, does: str, login: str) -> None:
    refusal = file(desk, does, login)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "not-in-team"


def test_a_reason_and_a_known_kind_are_needed(desk: Any) -> None:
    for does, reason in (("change", "  "), ("unheard-of", "why")):
        refusal = file(desk, does, "carol", reason=reason)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "request-invalid"


def test_old_factors_neither_ask_nor_confirm_nor_fetch(desk: Any, kinds: Any) -> None:
    carol, bob = desk.sign_in("carol"), desk.sign_in("bob")
    act = filed(desk, "answer", subject="old")
    desk.pass_time(minutes=16)
    assert step(desk, act, "confirm", "bob", bob)[1]["code"] == "second-factor-required"
    assert step(desk, act, "confirm", "bob")[0] == 200
    assert step(desk, act, "carry-out", "carol", carol)[1]["code"] == "second-factor-required"
    signin = desk.access.authenticate(carol)
    assert not isinstance(signin, Refusal)
    refusal = desk.run(desk.access.acts.file(signin, "change", {"customer": "45"}, "why", PEER))
    assert refusal.code == "second-factor-required"
    assert kinds[1].calls == []


def test_an_answer_is_for_its_asker_once(desk: Any, kinds: Any) -> None:
    act = filed(desk, "answer", subject="once")
    assert step(desk, act, "carry-out", "carol")[1]["code"] == "request-invalid"
    status, answer = step(desk, act, "confirm", "bob")
    assert (status, answer["state"], answer["result"]) == (200, "confirmed", None)
    assert step(desk, act, "carry-out", "bob")[1]["code"] == "request-invalid"
    assert kinds[1].calls == []
    status, answer = step(desk, act, "carry-out", "carol")
    assert (status, answer["state"], answer["result"]) == (200, "done", {"done": "yes"})
    assert step(desk, act, "carry-out", "carol")[1]["code"] == "request-invalid"
    assert len(kinds[1].calls) == 1
    assert steps(desk, act)[-2:] == [("carol", "done", "permit"), ("carol", "done", "deny")]


def test_an_answer_that_failed_is_spent(desk: Any, kinds: Any) -> None:
    kinds[1].answers = [GatewayError("store-unavailable", "the store is away")]
    act = filed(desk, "answer", subject="spent")
    assert step(desk, act, "confirm", "bob")[0] == 200
    assert step(desk, act, "carry-out", "carol")[1]["code"] == "store-unavailable"
    assert step(desk, act, "carry-out", "carol")[1]["code"] == "request-invalid"


def test_a_change_that_failed_may_be_tried_again(desk: Any, kinds: Any) -> None:
    kinds[0].answers = [Refusal("request-invalid", "not now"), GatewayError("store-unavailable", "away")]
    act = filed(desk, subject="again")
    assert step(desk, act, "confirm", "bob")[1]["detail"] == "not now"
    assert step(desk, act, "carry-out", "bob")[1]["code"] == "store-unavailable"
    assert step(desk, act, "carry-out", "carol")[1]["state"] == "done"
    assert len(kinds[0].calls) == 3


def test_what_is_asked_twice_is_asked_once(desk: Any) -> None:
    first, again = filed(desk, subject="twice"), filed(desk, subject="twice")
    other = filed(desk, subject="twice", private="more")
    assert first.id == again.id != other.id


def test_declined_and_withdrawn_acts_are_over(desk: Any, kinds: Any) -> None:
    declined, withdrawn = filed(desk, subject="declined"), filed(desk, subject="withdrawn")
    assert step(desk, declined, "decline", "bob")[1]["state"] == "declined"
    assert step(desk, withdrawn, "withdraw", "bob")[1]["code"] == "request-invalid"
    assert step(desk, withdrawn, "withdraw", "carol")[1]["state"] == "withdrawn"
    for act in (declined, withdrawn):
        assert step(desk, act, "confirm", "frank")[1]["code"] == "request-invalid"
    assert kinds[0].calls == []


def test_what_waits_too_long_runs_out(desk: Any, kinds: Any) -> None:
    waiting, confirmed = filed(desk, subject="day"), filed(desk, "answer", subject="hour")
    assert step(desk, confirmed, "confirm", "bob")[0] == 200
    desk.pass_time(hours=1)
    assert step(desk, confirmed, "carry-out", "carol")[1]["code"] == "request-invalid"
    desk.pass_time(hours=23)
    assert step(desk, waiting, "confirm", "bob")[1]["code"] == "request-invalid"
    listed = desk.call("GET", "/v1/audit/acts", desk.sign_in("bob")).json()["acts"]
    assert not {waiting.id, confirmed.id} & {one["id"] for one in listed}
    desk.run(desk.access.sweep())
    everything = desk.call("GET", "/v1/audit/acts?live=false", desk.sign_in("carol")).json()["acts"]
    states = {one["id"]: one["state"] for one in everything}
    assert (states[waiting.id], states[confirmed.id]) == ("expired", "expired")
    assert steps(desk, waiting)[-1] == ("-", "expired", "permit")
    assert kinds[0].calls == kinds[1].calls == []


def test_others_see_nothing_and_unknown_acts_are_unknown(desk: Any) -> None:
    act = filed(desk, subject="seen")
    for login in ("alice", "dan"):
        token = desk.sign_in(login)
        assert desk.call("GET", "/v1/audit/acts", token).json()["code"] == "not-in-team"
        assert desk.call("GET", f"/v1/audit/acts/{act.id}", token).json()["code"] == "not-in-team"
    assert desk.call("GET", "/v1/audit/acts/act_nothing", desk.sign_in("bob")).json()["code"] == "not-found"
    assert step(desk, "act_nothing", "confirm", "bob")[1]["code"] == "not-found"


def test_two_who_confirm_at_once_are_one(desk: Any, kinds: Any) -> None:
    act = filed(desk, subject="race")
    signins = [desk.access.authenticate(desk.sign_in(login)) for login in ("bob", "frank")]

    async def both() -> list[Any]:
        return await asyncio.gather(*(desk.access.acts.confirm(one, act.id, "", PEER) for one in signins))

    answers = desk.run(both())
    assert sorted(type(one).__name__ for one in answers) == ["Carried", "Refusal"]
    assert len(kinds[0].calls) == 1
