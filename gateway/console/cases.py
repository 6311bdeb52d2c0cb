"""Cases of security events over the API: for the departments that close them, and for auditors."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gateway.alert_settings import Department
from gateway.alerts.cases import evidence_root
from gateway.console.acts import logins_of
from gateway.console.context import From, Id, Me, Of, Parts, given, router
from gateway.store.cases import Case


class MoveBody(BaseModel):
    """What is to be done with a case: `reason` is what was found, or why; `department` whom a signature is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    move: Literal["take", "resolve", "sign", "close"]
    reason: str = Field(default="", max_length=4_000)
    department: Department | Literal[""] = ""


class SignOffAnswer(BaseModel):
    """A signature: for which department, by whom, and for which evidence."""

    department: str
    login: str
    at: str
    evidence: str


class CaseAnswer(BaseModel):
    """A case. `records` are the numbers of the records that it rests on, `evidence` is the root over them."""

    id: str
    rule: str
    severity: str
    title: str
    about: str
    state: str
    opened_at: datetime
    changed_at: datetime
    investigator: str
    finding: str
    closed_by: str
    records: list[int]
    evidence: str
    sign_offs: list[SignOffAnswer]
    missing: list[str]


class CasesAnswer(BaseModel):
    """Cases, those that changed last first."""

    cases: list[CaseAnswer]


def routes() -> APIRouter:
    """The routes below /v1/cases."""
    found = router("cases")

    @found.get("/cases")
    async def cases(me: Me, of: Of, live: bool = True) -> CasesAnswer:
        """Cases that are open, or all; never one that is about oneself."""
        return CasesAnswer(cases=[await _answer(of, case) for case in given(await of.cases.cases(me, live=live))])

    @found.get("/cases/{id}")
    async def case(id: Id, me: Me, of: Of) -> CaseAnswer:
        """One case."""
        return await _answer(of, given(await of.cases.show(me, id)))

    @found.post("/cases/{id}")
    async def move(id: Id, body: MoveBody, me: Me, of: Of, origin: From) -> CaseAnswer:
        """Take a case, resolve it, sign it for a department, or close it."""
        moved = await of.cases.move(me, id, body.move, origin, text=body.reason, department=body.department)
        return await _answer(of, given(moved))

    return found


async def _answer(of: Parts, case: Case) -> CaseAnswer:
    people = (case.investigator, case.closed_by, *(one.person for one in case.sign_offs))
    logins = await logins_of(of, people)

    def login(person: str) -> str:
        return logins.get(person, person)

    return CaseAnswer(
        id=case.id, rule=case.rule, severity=case.severity, title=case.title, about=case.about, state=case.state.value,
        opened_at=case.opened_at, changed_at=case.changed_at, investigator=login(case.investigator),
        finding=case.finding, closed_by=login(case.closed_by), records=[index for index, _ in case.evidence],
        evidence=evidence_root(case), missing=list(of.cases.missing(case)),
        sign_offs=[
            SignOffAnswer(department=one.department, login=login(one.person), at=one.at, evidence=one.evidence)
            for one in case.sign_offs
        ],
    )  # fmt: skip
