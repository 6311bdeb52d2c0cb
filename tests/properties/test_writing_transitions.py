"""Whatever people do, in whatever order and on whichever gateway: a statement runs once, as it was seen and approved.

A state machine drives two whole gateways on one store (`Access`, with sources, trail and clock in memory) against a
model that only knows what must never happen. Steps that can meet are also started at the same moment.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from access_world import PEOPLE, POLICY, World
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from written import BOTH, PEER, enter, release

from gateway.access.service import Opened, SignIn
from gateway.access.values import Previewed
from gateway.errors import Refusal
from gateway.model import AccessRequest, Grant, GrantState, RequestState, Session
from gateway.store import access as rows

TICKET = "SUP-1423"
LOGINS = ["alice", "alice2", "amir", "bob", "bea", "dan"]
APPROVERS = ["bob", "bea", "alice2"]
HUMAN = {one.id: one.email.casefold() for one in PEOPLE}
STATEMENTS = [
    "update employees set status = 'active' where id = 7",
    "UPDATE  employees /* the same */ SET status = 'active' WHERE id = 7",
    "update employees set status = 'Active' where id = 7",
    "update notes set body = 'x' where id = 7",
    "",
]
logins = st.sampled_from(LOGINS)
gateways = st.sampled_from([0, 1])
ages = st.sampled_from([0, 0, 0, 900, 901])


@dataclass
class Seen:
    """What one person saw of one request, and when."""

    at: datetime
    facts: tuple[Any, ...]


@dataclass
class Model:
    """What happened so far, as far as it matters for what may happen."""

    states: dict[str, RequestState] = field(default_factory=dict)
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    agreed: dict[str, dict[str, tuple[Any, ...]]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    sessions: list[tuple[int, Session]] = field(default_factory=list)


class Writing(RuleBasedStateMachine):
    """People ask, look, decide and run; tickets and policies change meanwhile."""

    @initialize(count=st.integers(1, 2))
    def start(self, count: int) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "access.sqlite"
        self.worlds = [World(path), World(path)]
        first, second = self.worlds
        second.time, second.policies = first.time, first.policies
        second.directory, second.tickets = first.directory, first.tickets
        rule_ = replace(POLICY.access, approver_count=count)
        first.policies["payroll"] = replace(POLICY, access=rule_, write=BOTH)
        second.access.close()
        second.access = second.make()
        self.model = Model()

    def teardown(self) -> None:
        if hasattr(self, "worlds"):
            for world in self.worlds:
                world.close()
            self.runner.close()
            self.directory.cleanup()

    # what people do

    @rule(at=gateways, login=logins, statement=st.sampled_from(STATEMENTS), age=ages)
    def ask(self, at: int, login: str, statement: str, age: int) -> None:
        self.run(self.asked(at, login, statement, age))

    @rule(at=gateways, statement=st.sampled_from(STATEMENTS[:4]), everywhere=st.booleans())
    def obtain(self, at: int, statement: str, everywhere: bool) -> None:
        self.run(self.asked(at, "alice", statement, 0))
        for login in ("bob", "bea"):
            request = next(iter(self.requests()), None)
            if request is not None and request.state is RequestState.PENDING:
                self.run(self.looked(1 - at, login, request, 0))
                self.run(self.approved(at, login, request, 0))
        for _ in range(2):
            self.run(self.asked(at, "alice", statement, 0))
        if everywhere:
            self.restart(1 - at)
            self.run(self.asked(1 - at, "alice", statement, 0))

    @precondition(lambda self: self.model.states)
    @rule(at=gateways, login=logins, age=ages, data=st.data())
    def look(self, at: int, login: str, age: int, data: st.DataObject) -> None:
        self.run(self.looked(at, login, self.some_request(data), age))

    @precondition(lambda self: self.model.states)
    @rule(at=gateways, login=logins, age=ages, data=st.data())
    def approve(self, at: int, login: str, age: int, data: st.DataObject) -> None:
        self.run(self.approved(at, login, self.some_request(data), age))

    @precondition(lambda self: self.model.states)
    @rule(at=gateways, login=st.sampled_from(APPROVERS), data=st.data())
    def look_and_approve(self, at: int, login: str, data: st.DataObject) -> None:
        request = self.some_request(data)
        self.run(self.looked(at, login, request, 0))
        self.run(self.approved(1 - at, login, request, 0))

    @precondition(lambda self: self.model.states)
    @rule(at=gateways, login=logins, data=st.data(), cancel=st.booleans())
    def turn_down(self, at: int, login: str, data: st.DataObject, cancel: bool) -> None:
        self.run(self.turned_down(at, login, self.some_request(data), cancel))

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data(), digest=st.sampled_from(["own", "own", "own", "other", ""]))
    def claim(self, data: st.DataObject, digest: str) -> None:
        at, session = self.some_session(data)
        self.run(self.claimed(at, session, {"own": session.grant.statement, "other": "f" * 64}.get(digest, "")))

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        at, session = self.some_session(data)
        self.run(release(self.worlds[at], session, session.grant.statement))
        if self.model.held.get(session.grant.id) == session.id:
            del self.model.held[session.grant.id]

    @rule(at=gateways, login=logins, data=st.data())
    def revoke(self, at: int, login: str, data: st.DataObject) -> None:
        grants = self.grants()
        if grants:
            grant = data.draw(st.sampled_from(grants))
            self.run(self.worlds[at].access.revoke(self.signin(login), grant.id, "", PEER))

    # what meets

    @precondition(lambda self: len(self.model.sessions) > 1)
    @rule(data=st.data())
    def claims_meet(self, data: st.DataObject) -> None:
        first, second = self.some_session(data), self.some_session(data)
        self.run(self.meet(*(self.claimed(at, one, one.grant.statement) for at, one in (first, second))))

    @precondition(lambda self: self.model.sessions)
    @rule(data=st.data())
    def a_claim_meets_a_revocation(self, data: st.DataObject) -> None:
        at, session = self.some_session(data)
        revoked = self.worlds[at].access.revoke(self.signin("bob"), session.grant.id, "", PEER)
        self.run(self.meet(self.claimed(at, session, session.grant.statement), revoked))

    @precondition(lambda self: self.model.states)
    @rule(one=st.sampled_from(APPROVERS), other=st.sampled_from(APPROVERS), denies=st.booleans(), data=st.data())
    def decisions_meet(self, one: str, other: str, denies: bool, data: st.DataObject) -> None:
        request = self.some_request(data)
        for at, login in enumerate((one, other)):
            self.run(self.looked(at, login, request, 0))
        second = self.turned_down(1, other, request, False) if denies else self.approved(1, other, request, 0)
        self.run(self.meet(self.approved(0, one, request, 0), second))

    # what changes

    @rule(seconds=st.sampled_from([1, 300, 899, 3600, 24 * 3600]))
    def wait(self, seconds: int) -> None:
        self.worlds[0].time.advance(seconds)
        self.run(self.watched())

    @rule(
        status=st.sampled_from(["open", "open", "closed"]),
        assignee=st.sampled_from(["alice", "alice", "amir"]),
        customer=st.sampled_from(["42", "42", "43"]),
    )
    def change_the_ticket(self, status: str, assignee: str, customer: str) -> None:
        self.worlds[0].tickets.change(TICKET, status=status, assignee=assignee, customers=(customer,))
        self.run(self.watched())

    @rule(digest=st.sampled_from(["digest-1", "digest-2"]), write=st.sampled_from([BOTH, BOTH, {}]))
    def change_the_policy(self, digest: str, write: Any) -> None:
        policies = self.worlds[0].policies
        policies["payroll"] = replace(policies["payroll"], digest=digest, write=write)
        self.run(self.watched())

    @rule(at=gateways)
    def restart(self, at: int) -> None:
        world = self.worlds[at]
        world.access.close()
        world.access = world.make()
        self.model.sessions = [one for one in self.model.sessions if one[0] != at]
        # who claimed is gone: nobody releases any more
        self.model.held = {grant: by for grant, by in self.model.held.items() if by in self.session_ids()}

    # the steps, each with what must be true when it succeeds

    async def asked(self, at: int, login: str, statement: str, age: int) -> None:
        world = self.worlds[at]
        outcome = await world.access.open(
            self.signin(login, age), target="payroll", ticket=TICKET, statement=statement, peer=PEER,
        )  # fmt: skip
        if not isinstance(outcome, Opened):
            return
        grant = outcome.grant
        assert grant.person == self.signin(login).principal.id
        assert grant.write == (statement != "") == (grant.statement != "")
        assert not grant.spent
        if statement:
            assert grant.statement == self.digest(statement)
            assert grant.customers == world.tickets.tickets[TICKET].customers
        self.model.sessions.append((at, await enter(world, outcome)))

    async def looked(self, at: int, login: str, request: AccessRequest | None, age: int) -> None:
        world = self.worlds[at]
        if request is None:
            return
        before, signin = len(world.look.looked), self.signin(login, age)
        outcome = await world.access.preview(signin, request.id, PEER)
        if not isinstance(outcome, Previewed):
            assert len(world.look.looked) == before
            return
        assert request.state is RequestState.PENDING
        assert age <= 900
        (session, _), viewer = world.look.looked[-1], signin.principal.id
        assert world.access.check(session) is not None
        assert (session.grant.write, session.grant.customers) == (False, world.tickets.tickets[TICKET].customers)
        if viewer != request.person:
            assert "security" in signin.principal.teams
            assert HUMAN[viewer] not in {HUMAN[one] for one in (request.person, *request.decided_by)}
            self.model.seen[request.id, viewer] = Seen(world.time.now, self.facts())

    async def approved(self, at: int, login: str, request: AccessRequest | None, age: int) -> None:
        world, signin = self.worlds[at], self.signin(login, age)
        if request is None:
            return
        outcome = await world.access.approve(signin, request.id, "", PEER)
        if isinstance(outcome, Refusal):
            return
        by = signin.principal.id
        agreed = self.model.agreed.setdefault(request.id, {})
        assert self.model.states.get(request.id, RequestState.PENDING) is RequestState.PENDING
        assert age <= 900
        assert "security" in signin.principal.teams
        assert HUMAN[by] not in {HUMAN[one] for one in (request.person, *agreed)}
        if request.statement:
            seen = self.model.seen[request.id, by]
            assert world.time.now - seen.at <= timedelta(seconds=900)
            assert seen.facts == self.facts()
            assert set(agreed.values()) <= {seen.facts}
        agreed[by] = self.facts()

    async def turned_down(self, at: int, login: str, request: AccessRequest | None, cancel: bool) -> None:
        if request is None:
            return
        door, signin = self.worlds[at].access, self.signin(login)
        if cancel:
            outcome = await door.cancel(signin, request.id, PEER)
            assert isinstance(outcome, Refusal) or signin.principal.id == request.person
        else:
            outcome = await door.deny(signin, request.id, "", PEER)
            assert isinstance(outcome, Refusal) or HUMAN[signin.principal.id] != HUMAN[request.person]

    async def claimed(self, at: int, session: Session, digest: str) -> None:
        world, grant = self.worlds[at], session.grant
        before = self.stored(grant.id)
        healthy = world.access.check(session) is None and before.state is GrantState.ACTIVE
        outcome = await world.access.claim(session, digest)
        if outcome is not None:
            right = digest != "" and digest == grant.statement and self.agrees(grant)
            assert not (healthy and right and not before.spent and not self.meeting), outcome
            return
        assert digest
        assert digest == grant.statement == before.statement
        assert self.agrees(grant)
        assert grant.write
        assert grant.id not in self.model.held
        assert healthy
        assert world.time.now < grant.expires_at
        assert world.trail.of("write.claimed")[-1]["grant"] == grant.id
        self.model.held[grant.id] = session.id

    # what must always be true

    @invariant()
    def states_are_left_once(self) -> None:
        for request in self.requests():
            before = self.model.states.get(request.id, RequestState.PENDING)
            assert before in (RequestState.PENDING, request.state)
            self.model.states[request.id] = request.state

    @invariant()
    def whatever_writes_was_approved_by_enough_other_people(self) -> None:
        requests = {one.id: one for one in self.requests()}
        for grant in self.grants():
            request = requests[grant.request_id]
            assert (grant.write, grant.statement) == (request.write, request.digest)
            if not grant.write:
                assert not grant.spent
                continue
            humans = {HUMAN[one] for one in grant.approved_by}
            assert request.state is RequestState.APPROVED
            assert len(humans) == len(grant.approved_by) >= self.worlds[0].policies["payroll"].access.approver_count
            assert HUMAN[grant.person] not in humans
            assert set(self.model.agreed[request.id]) == set(grant.approved_by)
            assert grant.expires_at - grant.created_at <= timedelta(hours=1)

    @invariant()
    def what_was_let_run_is_spent(self) -> None:
        for grant in self.grants():
            assert grant.spent or grant.id not in self.model.held

    @invariant()
    def the_trail_has_no_literal(self) -> None:
        if hasattr(self, "worlds"):
            assert "id = 7" not in "".join(repr(world.trail.records[-3:]) for world in self.worlds)

    # looking things up

    meeting = False

    async def meet(self, *steps: Coroutine[Any, Any, Any]) -> None:
        """Run steps at the same moment."""
        self.meeting = True
        try:
            await asyncio.gather(*steps)
        finally:
            self.meeting = False

    async def watched(self) -> None:
        for world in self.worlds:
            await world.access.refresh()
            await world.access.sweep()

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.runner.run(work)
        self.states_are_left_once()

    def facts(self) -> tuple[Any, ...]:
        """What an approval rests on, besides the statement."""
        return self.worlds[0].policies["payroll"].digest, self.worlds[0].tickets.tickets[TICKET].customers

    def agrees(self, grant: Grant) -> bool:
        """Whether all that the approvals of a grant rest on is as it was."""
        now = (self.facts()[0], grant.customers)
        writes = self.worlds[0].policies["payroll"].write == BOTH
        return writes and set(self.model.agreed[grant.request_id].values()) == {now}

    def digest(self, statement: str) -> str:
        found = self.worlds[0].study("payroll", ("42",), frozenset(), statement)
        return "" if isinstance(found, Refusal) else found.digest

    def signin(self, login: str, age: int = 0) -> SignIn:
        world = self.worlds[0]
        now = world.time.now
        return SignIn("s", world.directory.people[login], "totp", now - timedelta(seconds=age), now, now)

    def requests(self) -> list[AccessRequest]:
        return self.worlds[0].database.run_now(rows.list_requests) if hasattr(self, "worlds") else []

    def grants(self) -> list[Grant]:
        return self.worlds[0].database.run_now(rows.list_grants) if hasattr(self, "worlds") else []

    def stored(self, grant_id: str) -> Grant:
        return next(one for one in self.grants() if one.id == grant_id)

    def session_ids(self) -> set[str]:
        return {session.id for _, session in self.model.sessions}

    def some_request(self, data: st.DataObject) -> AccessRequest | None:
        found = self.requests()
        return data.draw(st.sampled_from(found)) if found else None

    def some_session(self, data: st.DataObject) -> tuple[int, Session]:
        return data.draw(st.sampled_from(self.model.sessions))


Writing.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWriting = Writing.TestCase
