"""Cases: what the rules found, looked into by one person, signed by departments, closed by another person.

Theory of operation. An event opens a case, or joins the one that its rule has about the same thing. Somebody of
security takes it, writes down what was found, and resolves it. Then every department that its severity demands signs,
each by a person of its own, and somebody who neither looked into it nor is what it is about closes it. A sign-off is
for what the case rested on: new evidence voids the sign-offs and opens the case again, also one that was closed within
`reopen_s`.

INVARIANT: nobody whom a case is about sees it or has a part in it, nor through a second account of his (same id or same
e-mail address). The investigator neither signs nor closes; one person signs for one department only.
INVARIANT: each step is durable in the trail before it is in the store, names the root over the evidence, and needs a
second factor of at most `fresh.case` seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.access.context import Context, verdict, where, who
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.values import SignIn
from gateway.alerts.engine import Event
from gateway.audit.tree import Frontier, leaf_hash
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal
from gateway.store import cases as rows
from gateway.store.cases import Case, CaseState, Notice, SignOff

DEPARTMENTS = ("security", "engineering", "legal", "communication")
OPEN = (CaseState.NEW, CaseState.INVESTIGATING, CaseState.RESOLVED)

_MOVES: dict[tuple[CaseState, str], CaseState] = {
    (CaseState.NEW, "take"): CaseState.INVESTIGATING,
    (CaseState.INVESTIGATING, "take"): CaseState.INVESTIGATING,
    (CaseState.INVESTIGATING, "resolve"): CaseState.RESOLVED,
    (CaseState.RESOLVED, "sign"): CaseState.RESOLVED,
    (CaseState.RESOLVED, "take"): CaseState.INVESTIGATING,
    (CaseState.RESOLVED, "close"): CaseState.CLOSED,
}
"""Nothing leaves `closed` but by new evidence."""
_MOST_EVIDENCE = 1_000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class CaseSettings:
    """Who is in which department (team names), which ones must sign what, and how long a closed case can come back."""

    departments: Mapping[str, frozenset[str]]
    sign_offs: Mapping[str, tuple[str, ...]]
    auditors: frozenset[str] = frozenset()
    reopen_s: float = 30 * 86_400.0


Notify = Callable[[Case, str], Iterable[Notice]]
"""What has to be sent when a case was opened or has changed, as the second argument says."""


class Cases:
    """Opens, lists and moves cases."""

    def __init__(self, context: Context, settings: CaseSettings, notify: Notify) -> None:
        self._context, self._settings, self._notify = context, settings, notify

    async def raise_(self, event: Event) -> Case:
        """Open a case for the event, or let it join the one that there is. Raises `GatewayError`."""
        context = self._context
        for _ in range(_TRIES):
            now = context.clock()
            before = await context.store(rows.about, event.rule, event.about)
            if before is not None and set(event.records) <= set(before.evidence) and event.records:
                # found again after a restart
                return before
            case, what = self._joined(before, event, now)
            await context.record(
                "security.alert", rule=event.rule, severity=event.severity, about=event.about, case=case.id,
                state=case.state.value, reason=event.title, person=event.person,
                records=[str(index) for index, _ in event.records], evidence=evidence_root(case),
            )  # fmt: skip
            if await context.store(rows.put, case, tuple(self._notify(case, what))):
                return case
        raise GatewayError("store-unavailable", "a case changes all the time", "tell an operator")

    async def cases(self, signin: SignIn, *, live: bool = True) -> list[Case] | Refusal:
        """Cases, those that changed last first; `live` leaves out the closed ones."""
        try:
            person = await self._present(signin)
            if isinstance(person, Refusal):
                return person
            found = await self._context.store(rows.newest, states=OPEN if live else CaseState)
            return [case for case in found if not await self._is_about(person, case)]
        except GatewayError as error:
            return error.refusal

    async def show(self, signin: SignIn, case_id: str) -> Case | Refusal:
        """One case."""
        try:
            person = await self._present(signin)
            if isinstance(person, Refusal):
                return person
            case = await self._context.store(rows.find, case_id)
            return _unknown() if case is None or await self._is_about(person, case) else case
        except GatewayError as error:
            return error.refusal

    async def move(
        self, signin: SignIn, case_id: str, move: str, peer: Peer, *, text: str = "", department: str = ""
    ) -> Case | Refusal:
        """`take` a case, `resolve` it (`text` is the finding), `sign` for a `department`, or `close` it."""
        try:
            return await self._move(signin, case_id, move, peer, text.strip()[:4_000], department)
        except GatewayError as error:
            return error.refusal

    def missing(self, case: Case) -> tuple[str, ...]:
        """The departments that have not signed what the case rests on now."""
        root = evidence_root(case)
        signed = {one.department for one in case.sign_offs if one.evidence == root}
        return tuple(one for one in self._settings.sign_offs.get(case.severity, DEPARTMENTS) if one not in signed)

    async def _move(
        self, signin: SignIn, case_id: str, move: str, peer: Peer, text: str, department: str
    ) -> Case | Refusal:
        context = self._context
        person = await self._present(signin)
        if isinstance(person, Refusal):
            return person
        case = await context.store(rows.find, case_id)
        if case is None:
            return _unknown()
        if await self._is_about(person, case):
            # told apart from an unknown case in the record only
            hidden = Refusal("not-found", "nobody has a part in a case about himself")
            await self._record(case, case.state, move, person, signin, peer, refusal=hidden)
            return _unknown()
        refusal = await self._refused(signin, person, case, move, text, department)
        if refusal is not None:
            await self._record(case, case.state, move, person, signin, peer, department=department, refusal=refusal)
            return refusal
        now = context.clock()
        following = replace(case, state=_MOVES[case.state, move], version=case.version + 1, changed_at=now)
        if move == "take":
            following = replace(following, investigator=person.id, finding="", sign_offs=())
        elif move == "resolve":
            following = replace(following, finding=text)
        elif move == "sign":
            signed = SignOff(department, person.id, now.isoformat(), evidence_root(case))
            following = replace(following, sign_offs=(*case.sign_offs, signed))
        else:
            following = replace(following, closed_by=person.id)
        await self._record(following, following.state, move, person, signin, peer, department=department, reason=text)
        if await context.store(rows.put, following, tuple(self._notify(following, move))):
            return following
        lost = Refusal("request-invalid", "the case changed at this moment; nothing was done", "look at it again")
        await self._record(case, case.state, move, person, signin, peer, refusal=lost)
        return lost

    async def _refused(
        self, signin: SignIn, person: Principal, case: Case, move: str, text: str, department: str
    ) -> Refusal | None:
        context, settings = self._context, self._settings
        if (case.state, move) not in _MOVES:
            return Refusal("request-invalid", f"the case is {case.state.value}", "look at it again")
        wanted = department if move == "sign" else "security"
        teams = settings.departments.get(wanted, frozenset())
        if wanted not in DEPARTMENTS or not person.teams & teams:
            return Refusal("not-in-team", f"this is for the department {wanted[:32]}")
        if not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.case):
            return stale_factor(context.settings.fresh.case)
        if move == "resolve" and person.id != case.investigator:
            return Refusal("request-invalid", "only who took the case resolves it", "take it first")
        if move == "resolve" and not text:
            return Refusal("request-invalid", "a case is resolved with what was found", "--reason FINDING")
        if move in ("sign", "close"):
            investigator = await context.by_id(case.investigator)
            if person.id == case.investigator or same_person(person, investigator):
                return Refusal("request-invalid", f"who looked into the case does not {move} it", "ask somebody else")
        if move == "sign":
            if department not in self.missing(case):
                return Refusal("request-invalid", f"the case needs no signature of {department}", "look at it again")
            for other in case.sign_offs:
                signer = await context.by_id(other.person)
                if other.person == person.id or same_person(person, signer):
                    return Refusal("request-invalid", "one person signs for one department only", "ask somebody else")
        if move == "close" and self.missing(case):
            waits = ", ".join(self.missing(case))
            return Refusal("request-invalid", f"signatures are missing: {waits}", "gateway cases sign ID DEPARTMENT")
        return None

    def _joined(self, before: Case | None, event: Event, now: datetime) -> tuple[Case, str]:
        """The case with the event in it, and what that is to those who are told."""
        people = (event.person,) if event.person else ()
        again = before is not None and (
            before.state is not CaseState.CLOSED
            or now - before.changed_at <= timedelta(seconds=self._settings.reopen_s)
        )
        if before is None or not again:
            return Case(
                self._context.new_id("case"), event.rule, event.about, event.severity, event.title, people,
                CaseState.NEW, now, now, event.records,
            ), "opened"  # fmt: skip
        known = set(before.evidence)
        evidence = (*before.evidence, *(one for one in event.records if one not in known))[-_MOST_EVIDENCE:]
        joined = replace(
            before, version=before.version + 1, changed_at=now, evidence=evidence, sign_offs=(),
            people=tuple(dict.fromkeys((*before.people, *people))),
        )  # fmt: skip
        if before.state is CaseState.CLOSED:
            return replace(joined, state=CaseState.NEW, investigator="", finding="", closed_by=""), "reopened"
        if before.state is CaseState.RESOLVED:
            return replace(joined, state=CaseState.INVESTIGATING, finding=""), "reopened"
        return joined, "grew"

    async def _present(self, signin: SignIn) -> Principal | Refusal:
        """The person as the directory has him now, who must be of a department or an auditor."""
        person = await self._context.by_id(signin.principal.id)
        if person is None or not person.active:
            return Refusal("person-inactive", "the directory says that the person is not active")
        teams = self._settings.auditors.union(*self._settings.departments.values())
        if not person.teams & teams:
            return Refusal("not-in-team", "cases are for the departments that close them, and for auditors")
        return person

    async def _is_about(self, person: Principal, case: Case) -> bool:
        if person.id in case.people or f"login={person.login}" in case.about.split(" "):
            return True
        return any([same_person(person, await self._context.by_id(one)) for one in case.people])

    async def _record(
        self, case: Case, state: CaseState, move: str, by: Principal, signin: SignIn, peer: Peer, *,
        department: str = "", reason: str = "", refusal: Refusal | None = None,
    ) -> None:  # fmt: skip
        age = max(0, int((self._context.clock() - signin.factor_at).total_seconds()))
        facts: dict[str, Any] = verdict(refusal) if refusal is not None else {"decision": "permit", "reason": reason}
        await self._context.record(
            "security.case", **who(by), **where(peer), **facts, factor=signin.factor, factor_age_s=age, case=case.id,
            rule=case.rule, severity=case.severity, state=state.value, move=move, department=department[:32],
            evidence=evidence_root(case),
        )  # fmt: skip


def evidence_root(case: Case) -> str:
    """The root (RFC 6962) over the records that the case rests on, each as its number and the hash of its leaf."""
    tree = Frontier()
    for index, digest in case.evidence:
        tree.push(leaf_hash(f"{index} {digest}".encode()))
    return tree.root().hex()


def _unknown() -> Refusal:
    return Refusal("not-found", "there is no such case, or it is not yours to see")
