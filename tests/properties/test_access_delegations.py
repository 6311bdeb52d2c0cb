"""Whatever people lend each other, and when they leave: a grant has enough voices, and none of its holder's side.

The real rooms of access are driven at random; a model that shares no code with them says, at the moment at which a
request becomes a grant, who may have spoken for it. What is known of people and delegations is the test's own record.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "access"))

from access_world import PEER, POLICY, World

from gateway.access.values import SignIn
from gateway.errors import Refusal
from gateway.model import AccessRequest, Principal, RequestState, Ticket
from gateway.store.delegations import Delegation

EMAIL = frozenset({("public.employees", "email")})
SUPPORT, SECURITY = frozenset({"support"}), frozenset({"support", "security"})
PEOPLE = [
    Principal("p1", "ann", "", SUPPORT, "ann@example.com"),
    Principal("p2", "ben", "", SECURITY, "ben@example.com"),
    Principal("p3", "cat", "", SECURITY, "cat@example.com"),
    Principal("p4", "dee", "", SECURITY, ""),
    Principal("p5", "eli", "", SUPPORT, "eli@example.com"),
    Principal("p6", "ben2", "", SECURITY, "BEN@example.com"),
]
HUMAN = {person.id: person.email.casefold() or person.id for person in PEOPLE}
BY_ID = {person.id: person for person in PEOPLE}
LOGINS = [person.login for person in PEOPLE]
logins = st.sampled_from(LOGINS)


@dataclass
class Lent:
    """A delegation as the test made it."""

    id: str
    by: str
    to: str
    begins: datetime
    over: datetime


class Delegating(RuleBasedStateMachine):
    """People ask, lend, decide, leave and come back."""

    @initialize(count=st.sampled_from([1, 2, 2, 3]))
    def start(self, count: int) -> None:
        self.runner = asyncio.Runner()
        self.world = World()
        self.world.restart_settings(approvers=frozenset({"security"}))
        self.world.directory.people = {person.login: person for person in PEOPLE}
        for person in PEOPLE:
            ticket = Ticket(f"SUP-{person.id[1:]}", "memory", "", "open", person.login, ("42",))
            self.world.tickets.tickets[ticket.id] = ticket
        access = replace(POLICY.access, approver_count=count, default_duration_s=30)
        self.world.policies["payroll"] = replace(POLICY, access=access)
        self.count = count
        self.lent: list[Lent] = []
        self.waiting: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            self.runner.close()

    @rule(login=st.sampled_from(["ann", "ben", "ben"]))
    def ask(self, login: str) -> None:
        person = self.world.directory.people[login]
        ticket = f"SUP-{person.id[1:]}"
        outcome = self.runner.run(
            self.world.access.open(self._signin(login), target="payroll", ticket=ticket, reveal=EMAIL, peer=PEER)
        )
        if isinstance(outcome, Refusal) and outcome.name.startswith("req_") and outcome.name not in self.waiting:
            self.waiting.append(outcome.name)

    @rule(
        by=st.sampled_from(["ben", "ben", "cat", "dee"]),
        to=logins,
        hours=st.integers(1, 30),
        later=st.sampled_from([0, 0, 0, 5]),
    )
    def lend(self, by: str, to: str, hours: int, later: int) -> None:
        begins = self.world.time.now + timedelta(hours=later)
        made = self.runner.run(
            self.world.access.delegations.set(
                self._signin(by), to, begins, begins + timedelta(hours=hours), "leave", PEER
            )
        )
        if isinstance(made, Delegation):
            assert HUMAN[made.delegator] != HUMAN[made.delegate]
            self.lent.append(Lent(made.id, made.delegator, made.delegate, made.starts_at, made.ends_at))

    @precondition(lambda self: getattr(self, "lent", None))
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.lent))
        by = BY_ID[one.by].login
        if isinstance(self.runner.run(self.world.access.delegations.end(self._signin(by), one.id, PEER)), Delegation):
            one.over = min(one.over, self.world.time.now)

    @rule(
        login=st.sampled_from(LOGINS[1:4]),
        teams=st.sampled_from([SUPPORT, SECURITY, SECURITY]),
        active=st.sampled_from([True, True, True, True, True, False]),
    )
    def change(self, login: str, teams: frozenset[str], active: bool) -> None:
        self.world.directory.change(login, teams=teams, active=active)

    @rule(minutes=st.sampled_from([1, 1, 60]))
    def wait(self, minutes: int) -> None:
        self.world.time.advance(60.0 * minutes)

    @precondition(lambda self: getattr(self, "waiting", None))
    @rule(data=st.data(), voices=st.lists(st.tuples(logins, st.booleans()), min_size=1, max_size=3))
    def approve(self, data: st.DataObject, voices: list[tuple[str, bool]]) -> None:
        """Some people approve a request one after the other, in another's name where somebody lends them one."""
        request = data.draw(st.sampled_from(self.waiting))
        for login, lent in voices:
            person = self.world.directory.people[login]
            names = [BY_ID[one.by].login for one in self.lent if one.to == person.id]
            name = names[-1] if lent and names else ""
            done = self.runner.run(self.world.access.approve(self._signin(login), request, "", PEER, name))
            if isinstance(done, AccessRequest) and done.state is RequestState.APPROVED:
                self._judge(done)
                self.waiting.remove(request)
                return

    def _judge(self, request: AccessRequest) -> None:
        """What must be true of a request at the moment at which it became a grant."""
        now = self.world.time.now
        by_id = {person.id: person for person in self.world.directory.people.values()}
        grant = self.world.trail.of("grant")[-1]
        assert grant["request"] == request.id
        names = dict(zip(request.decided_by, request.in_name_of, strict=True))
        counted = [(one, names[one]) for one in grant["approvers"]]
        assert len(counted) >= self.count
        humans: list[str] = []
        for by, name in counted:
            assert by_id[by].active
            right = by_id[name or by]
            assert right.active
            assert "security" in right.teams
            if name:
                assert any((one.by, one.to) == (name, by) and one.begins <= now < one.over for one in self.lent)
            humans += [HUMAN[by], *([HUMAN[name]] if name else [])]
        assert len(set(humans)) == len(humans)
        assert not set(humans) & self._side(request)

    def _side(self, request: AccessRequest) -> set[str]:
        """The requester, and whoever was lent something by his side since he asked."""
        now, side = self.world.time.now, {HUMAN[request.person]}
        counts = [one for one in self.lent if one.begins <= now and one.over > request.created_at]
        for _ in counts:
            side |= {HUMAN[one.to] for one in counts if HUMAN[one.by] in side}
        return side

    def _signin(self, login: str) -> SignIn:
        now, person = self.world.time.now, self.world.directory.people[login]
        return SignIn("signin", person, "totp", now, now, now + timedelta(hours=1))


Delegating.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestDelegating = Delegating.TestCase
