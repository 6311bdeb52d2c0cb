"""Cases: who sees them, who may do what with them, and what new evidence does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from access_world import PEER, World

from gateway.alerts.cases import Cases, CaseSettings, evidence_root
from gateway.alerts.engine import Event
from gateway.errors import Refusal
from gateway.model import Principal
from gateway.store.cases import Case, CaseState, Notice

DEPARTMENTS = {
    "security": frozenset({"security"}), "engineering": frozenset({"platform", "engineering"}),
    "legal": frozenset({"legal"}), "communication": frozenset({"press"}),
}  # fmt: skip
SIGN_OFFS = {
    "low": ("security",), "medium": ("security", "engineering"), "high": ("security", "engineering", "legal"),
}  # fmt: skip
MORE = [
    Principal("p8", "lea", "Lea", frozenset({"legal"}), "lea@example.com"),
    Principal("p9", "bob2", "Bob again", frozenset({"security"}), "BOB@example.com"),
    Principal("p10", "ben", "Ben", frozenset({"security"}), "ben@example.com"),
    Principal("p11", "max", "Max", frozenset({"security", "platform", "legal"}), "max@example.com"),
]


class Office:
    """Cases over a world, and what they would have sent."""

    def __init__(self, world: World) -> None:
        self.world, self.told = world, []  # type: tuple[World, list[tuple[str, str]]]
        for person in MORE:
            world.directory.people[person.login] = person
        self.cases = Cases(
            world.access.context, CaseSettings(DEPARTMENTS, SIGN_OFFS, frozenset({"audit"})), self._notify
        )

    def _notify(self, case: Case, what: str) -> Iterable[Notice]:
        self.told.append((case.id, what))
        return ()

    async def event(self, number: int = 1, severity: str = "medium", person: str = "p1", about: str = "") -> Case:
        records = ((number, f"{number:064x}"),)
        about = about or f"person={person}"
        return await self.cases.raise_(Event("probing", severity, about, "alice probes", 0.0, person, records))

    async def step(self, case: Case, login: str, move: str, **more: Any) -> Any:
        text = more.pop("text", "looked at it")
        return await self.cases.move(await self.world.sign_in(login), case.id, move, PEER, text=text, **more)

    async def resolved(self, severity: str = "medium") -> Case:
        case = await self.event(severity=severity)
        await self.step(case, "bob", "take")
        done = await self.step(case, "bob", "resolve", text="a script of hers")
        assert done.state is CaseState.RESOLVED, done
        return done  # type: ignore[no-any-return]


@pytest.fixture
def office(world: World) -> Office:
    return Office(world)


def code(answer: Any) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.code


async def test_from_new_to_closed(office: Office) -> None:
    case = await office.resolved()
    assert office.cases.missing(case) == ("security", "engineering")
    assert code(await office.step(case, "bea", "close")) == "request-invalid"
    await office.step(case, "bea", "sign", department="security")
    signed = await office.step(case, "ada", "sign", department="engineering")
    assert office.cases.missing(signed) == ()
    closed = await office.step(case, "ben", "close")
    assert (closed.state, closed.closed_by, closed.investigator) == (CaseState.CLOSED, "p10", "p3")
    moves = [(r["move"], r["person"], r["state"], r["decision"]) for r in office.world.trail.of("security.case")]
    assert moves == [
        ("take", "p3", "investigating", "permit"), ("resolve", "p3", "resolved", "permit"),
        ("close", "p4", "resolved", "deny"), ("sign", "p4", "resolved", "permit"),
        ("sign", "p6", "resolved", "permit"), ("close", "p10", "closed", "permit"),
    ]  # fmt: skip
    roots = {record["evidence"] for record in office.world.trail.of("security.case")}
    assert roots == {evidence_root(closed)}
    assert office.told == [(case.id, what) for what in ("opened", "take", "resolve", "sign", "sign", "close")]
    assert code(await office.step(case, "bob", "take")) == "request-invalid"


async def test_the_investigator_neither_signs_nor_closes_nor_does_his_second_account(office: Office) -> None:
    case = await office.resolved("low")
    for login in ("bob", "bob2"):
        assert code(await office.step(case, login, "sign", department="security")) == "request-invalid"
    await office.step(case, "bea", "sign", department="security")
    for login in ("bob", "bob2"):
        assert code(await office.step(case, login, "close")) == "request-invalid"
    assert (await office.step(case, "bea", "close")).state is CaseState.CLOSED


async def test_one_person_signs_for_one_department(office: Office) -> None:
    case = await office.resolved("high")
    await office.step(case, "max", "sign", department="security")
    for department in ("engineering", "legal"):
        assert code(await office.step(case, "max", "sign", department=department)) == "request-invalid"
    assert code(await office.step(case, "ada", "sign", department="legal")) == "not-in-team"
    await office.step(case, "ada", "sign", department="engineering")
    assert code(await office.step(case, "dan", "sign", department="engineering")) == "request-invalid"
    assert (await office.step(case, "lea", "sign", department="legal")).sign_offs[-1].person == "p8"


@pytest.mark.parametrize("department", ["", "press", "communication", "security "])
async def test_a_department_that_is_not_wanted_signs_nothing(office: Office, department: str) -> None:
    case = await office.resolved()
    assert code(await office.step(case, "bea", "sign", department=department)) in ("not-in-team", "request-invalid")


async def test_nobody_sees_or_moves_a_case_about_himself(office: Office) -> None:
    case = await office.event(person="p3")
    for login in ("bob", "bob2"):
        signin = await office.world.sign_in(login)
        assert await office.cases.cases(signin) == []
        assert code(await office.cases.show(signin, case.id)) == "not-found"
        assert code(await office.step(case, login, "take")) == "not-found"
    assert office.world.trail.of("security.case")[-1]["decision"] == "deny"
    assert isinstance(await office.cases.show(await office.world.sign_in("bea"), case.id), Case)


async def test_a_case_about_a_login_is_hidden_from_its_person_too(office: Office) -> None:
    case = await office.event(person="", about="login=bob")
    assert code(await office.cases.show(await office.world.sign_in("bob"), case.id)) == "not-found"


@pytest.mark.parametrize("login", ["alice", "amir"])
async def test_cases_are_not_for_everybody(office: Office, login: str) -> None:
    case = await office.event(person="p6")
    signin = await office.world.sign_in(login)
    assert code(await office.cases.cases(signin)) == "not-in-team"
    assert code(await office.cases.move(signin, case.id, "take", PEER)) == "not-in-team"


async def test_only_security_takes_and_only_who_took_it_resolves_with_words(office: Office) -> None:
    case = await office.event()
    assert code(await office.step(case, "ada", "take")) == "not-in-team"
    assert code(await office.step(case, "bob", "resolve")) == "request-invalid"
    await office.step(case, "bob", "take")
    assert code(await office.step(case, "bea", "resolve")) == "request-invalid"
    assert code(await office.step(case, "bob", "resolve", text="  ")) == "request-invalid"
    taken = await office.step(case, "bea", "take")
    assert taken.investigator == "p4"


async def test_old_factors_move_nothing(office: Office) -> None:
    case = await office.event()
    signin = await office.world.sign_in("bob")
    office.world.time.advance(901)
    assert code(await office.cases.move(signin, case.id, "take", PEER)) == "second-factor-required"


async def test_new_evidence_joins_voids_signatures_and_opens_again(office: Office) -> None:
    case = await office.resolved()
    await office.step(case, "bea", "sign", department="security")
    again = await office.event(2)
    assert (again.id, again.state, again.sign_offs, again.finding) == (case.id, CaseState.INVESTIGATING, (), "")
    assert [index for index, _ in again.evidence] == [1, 2]
    await office.step(case, "bob", "resolve")
    await office.step(case, "bea", "sign", department="security")
    await office.step(case, "ada", "sign", department="engineering")
    await office.step(case, "ben", "close")
    back = await office.event(3)
    assert (back.id, back.state, back.closed_by, back.investigator) == (case.id, CaseState.NEW, "", "")
    assert office.told[-1] == (case.id, "reopened")


async def test_what_was_closed_long_ago_stays_closed(office: Office) -> None:
    case = await office.resolved("low")
    await office.step(case, "bea", "sign", department="security")
    await office.step(case, "ben", "close")
    office.world.time.advance(31 * 86_400)
    new = await office.event(2, severity="low")
    assert new.id != case.id
    assert new.state is CaseState.NEW


async def test_what_was_found_before_changes_nothing(office: Office) -> None:
    case = await office.event(1)
    records = len(office.world.trail.records)
    assert (await office.event(1)).version == case.version
    assert len(office.world.trail.records) == records


async def test_other_things_have_cases_of_their_own(office: Office) -> None:
    first, second = await office.event(1), await office.event(2, person="p2")
    assert first.id != second.id


async def test_people_of_all_events_are_kept_out(office: Office) -> None:
    await office.event(1, person="p1", about="ticket=SUP-1")
    case = await office.event(2, person="p3", about="ticket=SUP-1")
    assert case.people == ("p1", "p3")
    assert code(await office.cases.show(await office.world.sign_in("bob"), case.id)) == "not-found"
