"""Reviews of who may ask for what: a snapshot, an answer to each line by somebody else, and no answer means no.

Theory of operation. An administrator starts a review; its lines are the rights of everybody who is known here
(`people.py`), as directory, policies and roles give them at that moment, each with its last use from the trail. Until
the deadline, administrators, and approvers for their own targets, answer the lines: keep, or revoke. When all are
answered, or the deadline has passed, the review is closed: what was kept stays, or comes back if a former review had
withdrawn it; everything else is withdrawn, and what is open under it ends. A line is a right of a person by his
stable id, so neither a new name nor another team in the meantime moves it; who gets a right after the snapshot is in
the next review.

INVARIANT: nobody answers a line of his own, nor through a second account of his, nor of who made him a
delegate, nor with an old second factor.
INVARIANT: an answer counts at the closing only if who gave it could still give it then.
INVARIANT: the result's digest is durable in the trail, which signs it, before it takes effect.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from gateway.access.context import Context, verdict, where, who
from gateway.access.delegation import Delegations
from gateway.access.people import People
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal
from gateway.policy.rights import ROLES, rights_at
from gateway.policy.schema import Policy
from gateway.store import recertification as rows
from gateway.store.recertification import CLOSED, KEEP, OPEN, REVOKE, Line, Recertification
from gateway.store.standing import Withdrawal

FORMAT = "gateway.example/recertification/v1"
SHORTEST, LONGEST = timedelta(days=1), timedelta(days=90)
_DAILY = timedelta(days=1)
LOCAL = Peer("", engine="gateway")

Usage = Mapping[tuple[str, str, str], tuple[datetime, int]]
"""Last use and number of uses by right, person and target (empty for a right at the gateway itself)."""
Remind = Callable[[str, str], Awaitable[None]]
"""Tells people something in a sentence, about the review of that id. Raises `GatewayError`."""


async def _nobody(_: str, __: str) -> None:
    """Remind nobody."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What becomes of a line at the closing: `kept`, `restored` or `withdrawn`, and why."""

    line: Line
    outcome: str
    why: str


class Recertifications:
    """Starts, answers and closes reviews. `remind` is told once a day what waits."""

    def __init__(
        self, context: Context, people: People, delegations: Delegations,
        is_member: Callable[[Principal, str], bool], end_lost: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._context, self._people, self._delegations = context, people, delegations
        self._is_member, self._end_lost = is_member, end_lost
        self.remind: Remind = _nobody

    async def start(
        self, signin: SignIn, due_at: datetime, targets: Mapping[str, Policy], usage: Usage, peer: Peer
    ) -> Recertification | Refusal:
        """Begin a review of all rights on those targets, and at the gateway itself."""
        try:
            by = await self._administrator(signin)
            if isinstance(by, Refusal):
                return by
            now = self._context.clock()
            if not SHORTEST <= due_at - now <= LONGEST:
                return Refusal(
                    "request-invalid", f"a review lasts from a day to {LONGEST.days} days",
                    "gateway access review start --for 14d",
                )  # fmt: skip
            lines = await self._lines(targets, usage)
            new = Recertification(self._context.new_id("review"), OPEN, by.id, now, due_at)
            await self._record(new, "start", OPEN, by, signin, peer, count=len(lines))
            if await self._context.store(rows.insert, new, lines):
                return new
            refusal = Refusal("request-invalid", "a review is open already", "gateway access review list")
            await self._record(new, "start", OPEN, by, signin, peer, refusal=refusal)
            return refusal
        except GatewayError as error:
            return error.refusal

    async def reviews(self, signin: SignIn, *, live: bool = False) -> list[Recertification] | Refusal:
        """Reviews, newest first; for who may answer lines, and for auditors."""
        try:
            if not any(self._is_member(signin.principal, role) for role in ("administrators", "auditors", "approvers")):
                return _not_for_you()
            return await self._context.store(rows.newest, live=live)
        except GatewayError as error:
            return error.refusal

    async def show(self, signin: SignIn, review_id: str) -> tuple[Recertification, list[Judgement]] | Refusal:
        """A review with the lines that one may see, each with what would become of it now."""
        try:
            found = await self._context.store(rows.find, review_id)
            viewer = signin.principal
            if found is None:
                return _unknown()
            review, lines = found
            everything = self._is_member(viewer, "administrators") or self._is_member(viewer, "auditors")
            seen = [line for line in lines if everything or self._answers_for(viewer, line)]
            if not seen and not everything:
                return _unknown()
            return review, await self._judged(seen)
        except GatewayError as error:
            return error.refusal

    async def decide(
        self, signin: SignIn, review_id: str, numbers: Sequence[int], decision: str, reason: str, peer: Peer
    ) -> int | Refusal:
        """Answer lines, all of them or none; how many they were."""
        try:
            return await self._decide(signin, review_id, sorted(set(numbers)), decision, reason.strip()[:500], peer)
        except GatewayError as error:
            return error.refusal

    async def close(self, signin: SignIn, review_id: str, peer: Peer) -> Recertification | Refusal:
        """Close a review before its deadline, when every line is answered."""
        try:
            by = await self._administrator(signin)
            if isinstance(by, Refusal):
                return by
            found = await self._context.store(rows.find, review_id)
            if found is None:
                return _unknown()
            review, lines = found
            refusal = None
            if review.state != OPEN:
                refusal = Refusal("request-invalid", "the review is closed", "gateway access review list")
            elif unanswered := [one for one in await self._judged(lines) if one.why not in ("", "revoked")]:
                refusal = Refusal(
                    "request-invalid", f"{len(unanswered)} lines are not answered by somebody who may",
                    f"gateway access review show {review.id} --open; at its deadline it is closed by itself",
                )  # fmt: skip
            if refusal is not None:
                await self._record(review, "close", review.state, by, signin, peer, refusal=refusal)
                return refusal
            return await self._close(review, lines, by, signin, peer)
        except GatewayError as error:
            return error.refusal

    async def sweep(self) -> None:
        """Close what is late, and remind of what waits. Raises `GatewayError`."""
        context = self._context
        for review in await context.store(rows.newest, live=True):
            now = context.clock()
            lines = await context.store(rows.answers, review.id)
            if now >= review.due_at:
                await self._close(review, lines, None, None, LOCAL)
                continue
            waiting = sum(one.decision == "" for one in lines)
            if not waiting or (review.reminded_at is not None and now - review.reminded_at < _DAILY):
                continue
            if await context.store(rows.remind, review.id, review.reminded_at, now):
                await self._record(review, "remind", OPEN, None, None, LOCAL, count=waiting)
                until = review.due_at.strftime("%Y-%m-%d %H:%M UTC")
                await self.remind(f"{waiting} lines of a review of access wait until {until}", review.id)

    async def _decide(
        self, signin: SignIn, review_id: str, numbers: list[int], decision: str, reason: str, peer: Peer
    ) -> int | Refusal:
        context = self._context
        by = await context.present(signin.principal.id)
        if isinstance(by, Refusal):
            return by
        found = await context.store(rows.find, review_id)
        if found is None or not any(self._answers_for(by, line) for line in found[1]):
            return _unknown()
        review, lines = found
        wanted = [line for line in lines if line.number in numbers]
        refusal = await self._refused(signin, by, review, wanted, numbers, decision, reason)
        now = context.clock()
        if refusal is not None:
            await self._record(review, "decide", review.state, by, signin, peer, refusal=refusal, count=len(numbers))
            return refusal
        for line in wanted:
            await self._record(review, "decide", decision, by, signin, peer, line=line, reason=reason)
        if await context.store(rows.decide, review.id, numbers, decision, by.id, now, reason):
            return len(wanted)
        refusal = Refusal("request-invalid", "the review was closed at this moment", "gateway access review list")
        await self._record(review, "decide", review.state, by, signin, peer, refusal=refusal, count=len(numbers))
        return refusal

    async def _refused(
        self, signin: SignIn, by: Principal, review: Recertification, wanted: list[Line], numbers: list[int],
        decision: str, reason: str,
    ) -> Refusal | None:  # fmt: skip
        context = self._context
        now = context.clock()
        if decision not in (KEEP, REVOKE):
            return Refusal("request-invalid", "a line is kept or revoked", "keep, or revoke")
        if review.state != OPEN or now >= review.due_at:
            return Refusal("request-invalid", "the review takes no answers any more", "gateway access review list")
        if not numbers or len(wanted) != len(numbers):
            return Refusal("not-found", "there is no such line", f"gateway access review show {review.id}")
        if not is_fresh(signin.factor_at, now, context.settings.fresh.review):
            return stale_factor(context.settings.fresh.review)
        if not reason:
            return Refusal("request-invalid", "an answer says why", "--reason WHY")
        for line in wanted:
            if await self._is_own(by, line):
                return Refusal(
                    "request-invalid", f"nobody answers a line of his own: {line.number}", "leave it to somebody else"
                )
            if await self._delegations.is_on_the_side_of(by, line.person, review.started_at):
                return Refusal(
                    "request-invalid", f"nobody answers a line of who made him a delegate: {line.number}",
                    "leave it to somebody else",
                )  # fmt: skip
            if not self._answers_for(by, line):
                return Refusal(
                    "not-in-team", f"line {line.number} is for administrators, or for who approves for its target",
                    "leave it to them",
                )  # fmt: skip
        return None

    async def _close(
        self, review: Recertification, lines: list[Line], by: Principal | None, signin: SignIn | None, peer: Peer
    ) -> Recertification | Refusal:
        context = self._context
        now = context.clock()
        judged = await self._judged(lines)
        document = await self._document(review, judged, by, now)
        taken = [
            Withdrawal(one.line.person, one.line.target, one.line.what, review.id, now)
            for one in judged
            if one.outcome == "withdrawn"
        ]
        back = [(one.line.person, one.line.target, one.line.what) for one in judged if one.outcome == "restored"]
        record = await self._record(
            review, "close", CLOSED, by, signin, peer, count=len(lines), withdrawn=len(taken),
            digest=hashlib.sha256(document).hexdigest(),
        )  # fmt: skip
        done = (review.id, by.id if by else "gateway", now, document, record, lines, taken, back)
        if not await context.store(rows.close, *done):
            refusal = Refusal("request-invalid", "an answer came at this moment", "close it again")
            await self._record(review, "close", OPEN, by, signin, peer, refusal=refusal)
            return refusal
        context.standing.withdraw(taken)
        for person, target, what in back:
            context.standing.restore(person, target, what)
        await self._end_lost()
        found = await context.store(rows.find, review.id)
        assert found is not None
        return found[0]

    async def _judged(self, lines: Sequence[Line]) -> list[Judgement]:
        """What would become of each line if the review were closed now. Raises `GatewayError`."""
        deciders: dict[str, Principal | None] = {}
        found = []
        for line in lines:
            if line.decided_by and line.decided_by not in deciders:
                deciders[line.decided_by] = await self._context.by_id(line.decided_by)
            by = deciders.get(line.decided_by)
            if line.decision == REVOKE:
                found.append(Judgement(line, "withdrawn", "revoked"))
            elif line.decision != KEEP:
                found.append(Judgement(line, "withdrawn", "nobody has answered"))
            elif by is None or not by.active or not self._answers_for(by, line) or await self._is_own(by, line):
                found.append(Judgement(line, "withdrawn", "who answered may not any more"))
            else:
                found.append(Judgement(line, "restored" if line.withdrawn else "kept", ""))
        return found

    async def _lines(self, targets: Mapping[str, Policy], usage: Usage) -> list[Line]:
        context, lines = self._context, list[Line]()
        for met in await self._people.everybody():
            person = met.person
            if person is None:
                continue
            held = [(target, right, teams) for target, policy in sorted(targets.items())
                    for right, teams in rights_at(policy, person).items()]  # fmt: skip
            for role, right in ROLES.items():
                teams = person.teams & getattr(context.settings, role)
                held += [("", right, teams)] if teams else []
            for target, right, teams in held:
                last, uses = usage.get((right.value, person.id, target), (None, 0))
                lines.append(
                    Line(
                        len(lines) + 1, person.id, person.login, person.name, target, right.value,
                        tuple(sorted(teams)), last, uses, context.standing.has_lost(person.id, target, right),
                    )
                )  # fmt: skip
        return lines

    def _answers_for(self, person: Principal, line: Line) -> bool:
        """Whether the person's role lets him answer that line."""
        if self._is_member(person, "administrators"):
            return True
        policy = self._context.policies(line.target) if line.target else None
        return policy is not None and self._delegations.refuse_approver(policy, person, "") is None

    async def _is_own(self, person: Principal, line: Line) -> bool:
        if person.id == line.person:
            return True
        holder = await self._context.by_id(line.person)
        return holder is not None and same_person(person, holder)

    async def _administrator(self, signin: SignIn) -> Principal | Refusal:
        by = await self._context.by_id(signin.principal.id)
        if by is None or not self._is_member(by, "administrators"):
            return Refusal("not-in-team", "this is for administrators", "ask one of them")
        if not is_fresh(signin.factor_at, self._context.clock(), self._context.settings.fresh.review):
            return stale_factor(self._context.settings.fresh.review)
        return by

    async def _document(
        self, review: Recertification, judged: Sequence[Judgement], by: Principal | None, now: datetime
    ) -> bytes:
        """The result, in the one spelling that its digest is of."""
        people = {review.started_by, *(one.line.decided_by for one in judged)} - {""}
        logins = {one: found.login for one in people if (found := await self._context.by_id(one)) is not None}
        outcomes = [one.outcome for one in judged]
        content = {
            "format": FORMAT, "review": review.id, "started_at": review.started_at.isoformat(),
            "started_by": review.started_by, "due_at": review.due_at.isoformat(), "closed_at": now.isoformat(),
            "closed_by": by.id if by else "gateway", "logins": logins,
            "counts": {name: outcomes.count(name) for name in ("kept", "restored", "withdrawn")},
            "lines": [_told(one) for one in judged],
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True).encode(errors="replace") + b"\n"

    async def _record(
        self, review: Recertification, move: str, state: str, by: Principal | None, signin: SignIn | None, peer: Peer,
        *, line: Line | None = None, refusal: Refusal | None = None, reason: str = "", **more: Any,
    ) -> int:  # fmt: skip
        facts: dict[str, Any] = verdict(refusal) if refusal is not None else {"decision": "permit", "reason": reason}
        if signin is not None:
            age = max(0, int((self._context.clock() - signin.factor_at).total_seconds()))
            facts |= {"factor": signin.factor, "factor_age_s": age}
        if line is not None:
            facts |= {"of": line.person, "target": line.target, "right": line.what}
        return await self._context.record(
            "access.review", **who(by), **where(peer), **facts, review=review.id, move=move, state=state,
            due_at=review.due_at.isoformat(), **more,
        )  # fmt: skip


def _told(one: Judgement) -> dict[str, Any]:
    line = one.line
    return {
        "number": line.number, "person": line.person, "login": line.login, "name": line.name, "target": line.target,
        "right": line.what, "teams": list(line.teams), "uses_90d": line.uses,
        "last_use": line.last_use.isoformat() if line.last_use else None, "was_withdrawn": line.withdrawn,
        "decision": line.decision, "decided_by": line.decided_by,
        "decided_at": line.decided_at.isoformat() if line.decided_at else None, "reason": line.reason,
        "outcome": one.outcome, "why": one.why,
    }  # fmt: skip


def _unknown() -> Refusal:
    return Refusal("not-found", "there is no such review, or it is not yours to see", "gateway access review list")


def _not_for_you() -> Refusal:
    return Refusal("not-in-team", "reviews of access are for administrators, approvers and auditors", "ask one of them")
