"""Whatever people do, and when: requests and grants move by the table, and nobody helps himself.

A state machine drives the rules (`access/request.py`) and the store together, as the workflow does, against a model
that only knows what must never happen. Several nodes act on what they read earlier, so the compare-and-swap is raced.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.access.request import GRANT_MOVES, REQUEST_MOVES, Move, decided, may_revoke, overdue
from gateway.errors import Refusal
from gateway.model import AccessRequest, Grant, GrantState, Pass, Principal, RequestState
from gateway.policy.schema import AccessRule, Policy, TicketRule
from gateway.store import access, changes
from gateway.store.access import PassRow
from gateway.store.database import Database

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LIFE_S, FRESH_S = 3600, 900
PEOPLE = [
    Principal("p1", "alice", "", frozenset({"support"}), "alice@example.com"),
    Principal("p2", "amir", "", frozenset({"support", "security"}), "amir@example.com"),
    Principal("p3", "bob", "", frozenset({"security"}), "bob@example.com"),
    Principal("p4", "bea", "", frozenset({"security"}), ""),
    Principal("p5", "bill", "", frozenset({"security"}), ""),
    Principal("p6", "alice2", "", frozenset({"security"}), "ALICE@example.com"),
    Principal("p7", "gone", "", frozenset({"security"}), "gone@example.com", active=False),
    Principal("p9", "bob2", "", frozenset({"security"}), "Bob@example.com"),
    Principal("p8", "dan", "", frozenset({"engineering"}), "dan@example.com"),
]
BY_ID = {person.id: person for person in PEOPLE}
HUMAN = {person.id: person.email.casefold() or person.id for person in PEOPLE}
people = st.sampled_from(PEOPLE)


def policy(count: int) -> Policy:
    rule = AccessRule(
        frozenset({"support"}), TicketRule(("SUP",), ("open",)), approver_teams=frozenset({"security"}),
        approver_count=count,
    )  # fmt: skip
    return Policy("payroll", "d", rule, {})


class Transitions(RuleBasedStateMachine):
    """Requests are read in one step and decided on in a later one, as two nodes might."""

    filed: Bundle[str] = Bundle("filed")
    read: Bundle[AccessRequest] = Bundle("read")

    @initialize(count=st.integers(1, 3))
    def start(self, count: int) -> None:
        self.nodes, self.turn = self.open(), 0
        self.policy, self.now, self.number = policy(count), START, 0
        self.passes: dict[str, str] = {}
        self.requests: dict[str, RequestState] = {}
        self.grants: dict[str, GrantState] = {}

    def open(self) -> list[Database]:
        """The nodes: handles of one empty store."""
        return [Database("")]

    @property
    def database(self) -> Database:
        """Each time another node."""
        self.turn += 1
        return self.nodes[self.turn % len(self.nodes)]

    def teardown(self) -> None:
        for node in getattr(self, "nodes", ()):
            node.close()

    @rule(target=filed, person=people)
    def file(self, person: Principal) -> str:
        self.number += 1
        id_ = f"req_{self.number}"
        request = AccessRequest(
            id_, person.id, "payroll", "file", "SUP-1", "", frozenset(), False, 60, RequestState.PENDING, self.now
        )
        self.database.run_now(access.insert_request, request)
        self.requests[id_] = RequestState.PENDING
        return id_

    @rule(target=read, id_=filed)
    def look(self, id_: str) -> AccessRequest:
        found = self.database.run_now(access.find_request, id_)
        assert found is not None
        return found

    @rule(
        target=read,
        request=consumes(read),
        by=people,
        move=st.sampled_from([Move.APPROVE, Move.DENY, Move.CANCEL]),
        age=st.sampled_from([0, FRESH_S, FRESH_S + 1]),
    )
    def decide(self, request: AccessRequest, by: Principal, move: Move, age: int) -> object:
        others = [BY_ID[request.person], *(BY_ID[one] for one in request.decided_by)]
        factor_at = self.now - timedelta(seconds=age)
        state = decided(
            request, move, by, self.policy, same_side=others, factor_at=factor_at, now=self.now, fresh_s=FRESH_S
        )
        if isinstance(state, Refusal):
            return multiple()
        if move is Move.CANCEL:
            assert by.id == request.person
        else:
            assert by.id not in {other.id for other in others}
            # a second account of the same human being never says yes; it may say no
            assert move is Move.DENY or HUMAN[by.id] not in {HUMAN[other.id] for other in others}
            assert by.active
            assert "security" in by.teams
            assert age <= FRESH_S
        before = self.requests[request.id]
        if state is RequestState.PENDING:
            counted = self.database.run_now(access.add_approval, request.id, by.id, self.now, request.decided_by)
            assert not counted or before is RequestState.PENDING
            return multiple()
        grant = self._grant(request, by) if move is Move.APPROVE else None
        args = (request.id, request.state, state, self.now)
        moved = self.database.run_now(access.move_request, *args, grant=grant)
        assert not moved or (before, state) == (RequestState.PENDING, REQUEST_MOVES[before, move])
        if moved:
            self.requests[request.id] = state
            if grant is not None:
                self.grants[grant.id] = GrantState.ACTIVE
        return multiple()

    @rule(seconds=st.sampled_from([1, 60, LIFE_S]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def expire(self) -> None:
        for request in self.database.run_now(access.list_requests, state=RequestState.PENDING):
            if overdue(request, self.now, LIFE_S):
                args = (request.id, RequestState.PENDING, RequestState.EXPIRED, self.now)
                assert self.database.run_now(access.move_request, *args)
                self.requests[request.id] = RequestState.EXPIRED
        for grant in self.database.run_now(access.list_grants):
            if grant.state is GrantState.ACTIVE and self.now >= grant.expires_at:
                self._end(grant, Move.EXPIRE)

    @rule(by=people, data=st.data())
    def revoke(self, by: Principal, data: st.DataObject) -> None:
        grants = self.database.run_now(access.list_grants)
        if grants:
            grant = data.draw(st.sampled_from(grants))
            if may_revoke(grant, by, self.policy, frozenset({"engineering"})):
                self._end(grant, Move.REVOKE)
            else:
                assert by.id != grant.person
                assert not by.teams & {"security", "engineering"}

    @rule(data=st.data())
    def mint(self, data: st.DataObject) -> None:
        if self.grants:
            grant_id = data.draw(st.sampled_from(sorted(self.grants)))
            minted = Pass(
                f"pass_{len(self.passes)}", grant_id, "p1", "payroll", "SUP-1", "SCRAM", self.now,
                self.now + timedelta(seconds=60),
            )  # fmt: skip
            row = PassRow(minted, "alice", "totp", self.now)
            kept = self.database.run_now(access.insert_pass, row)
            assert kept is (self.grants[grant_id] is GrantState.ACTIVE)
            if kept:
                self.passes[minted.id] = grant_id

    @rule()
    def use(self) -> None:
        live = {one.id: one for one in self.database.run_now(access.list_grants) if self.now < one.expires_at}
        for pass_id, grant_id in self.passes.items():
            admitted = self.database.run_now(access.admits, pass_id, self.now)
            good = grant_id in live and self.grants[grant_id] is GrantState.ACTIVE
            # a pass may run out before its grant; it never outlives it
            assert good or not admitted

    @invariant()
    def who_reads_behind_a_mark_has_the_newest_one(self) -> None:
        if hasattr(self, "nodes"):
            marks = {self.database.run_now(changes.newest) for _ in self.nodes}
            assert len(marks) == 1
            assert max(node.newest for node in self.nodes) == marks.pop()

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        if not hasattr(self, "nodes"):
            return
        assert {one.id: one.state for one in self.database.run_now(access.list_requests)} == self.requests
        assert {one.id: one.state for one in self.database.run_now(access.list_grants)} == self.grants

    @invariant()
    def every_grant_has_enough_approvers_who_are_other_people(self) -> None:
        if not hasattr(self, "nodes"):
            return
        for grant in self.database.run_now(access.list_grants):
            request = self.database.run_now(access.find_request, grant.request_id)
            assert request is not None
            assert request.state is RequestState.APPROVED
            assert len(request.decided_by) >= self.policy.access.approver_count
            assert grant.person not in request.decided_by
            humans = {HUMAN[one] for one in request.decided_by}
            assert HUMAN[grant.person] not in humans
            assert len(humans) == len(request.decided_by)
            assert set(grant.approved_by) == set(request.decided_by)

    def _grant(self, request: AccessRequest, by: Principal) -> Grant:
        return Grant(
            f"grant_{request.id}", request.id, request.person, request.target, "file", "SUP-1", ("42",), frozenset(),
            False, GrantState.ACTIVE, self.now, self.now + timedelta(seconds=60), (*request.decided_by, by.id),
        )  # fmt: skip

    def _end(self, grant: Grant, move: Move) -> None:
        to = GRANT_MOVES.get((grant.state, move))
        ended = to is not None and self.database.run_now(access.move_grant, grant.id, grant.state, to, "")
        assert ended is (self.grants[grant.id] is GrantState.ACTIVE)
        if ended and to is not None:
            self.grants[grant.id] = to
        assert not self.database.run_now(access.move_grant, grant.id, GrantState.ACTIVE, GrantState.REVOKED, "")


Transitions.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestTransitions = Transitions.TestCase


def test_nothing_leaves_a_final_state() -> None:
    assert {state for state, _ in REQUEST_MOVES} == {RequestState.PENDING}
    assert {state for state, _ in GRANT_MOVES} == {GrantState.ACTIVE}
    assert set(REQUEST_MOVES.values()) == set(RequestState) - {RequestState.PENDING}
    assert set(GRANT_MOVES.values()) == set(GrantState) - {GrantState.ACTIVE}


def test_a_person_without_an_address_is_told_apart_by_id_alone() -> None:
    bea, bill = BY_ID["p4"], BY_ID["p5"]
    request = AccessRequest(
        "r", bea.id, "payroll", "file", "SUP-1", "", frozenset(), False, 60, RequestState.PENDING, START
    )
    args = {"same_side": [bea], "factor_at": START, "now": START, "fresh_s": FRESH_S}
    assert decided(request, Move.APPROVE, bill, policy(1), **args) is RequestState.APPROVED  # type: ignore[arg-type]
    assert isinstance(decided(request, Move.APPROVE, replace(bea), policy(1), **args), Refusal)  # type: ignore[arg-type]
