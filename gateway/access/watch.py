"""The watcher: every live session compared with its reasons, several times a second.

Theory of operation. A worker thread asks the directory about everybody who is connected, and the ticket sources what
they last heard of the tickets; the answers come back to the loop, which judges each session by the same rule that
opened it. `check`, on the road of every statement, only reads what was found: it never asks anybody. So an answer may
be one interval old, and that of a remote source as old as it says. Where one source is out, what the other says
counts all the same. A grant whose ticket justifies it no more is over, whatever becomes of the ticket (`lapsed`).

INVARIANT: no answer older than `grace_s` gives access. When a source cannot be read or hangs, statements are refused
and sessions cut once its last good answer is that old.
INVARIANT: when the watcher itself stands still, statements are refused after `fresh_s`: then nobody hears any news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.access.context import Context
from gateway.access.login import SignIns
from gateway.access.passes import Register
from gateway.access.values import LiveSession
from gateway.errors import Refusal
from gateway.model import Grant, Principal, Session, Ticket
from gateway.policy.decide import decide_access, refuse_ticket
from gateway.policy.schema import Policy
from gateway.ports import Heard, Sighting

Cut = Callable[[Refusal], None]
_FORGET_S = 60.0
_BATCH = 500


@dataclass(slots=True)
class _Live:
    session: Session
    good_at: float
    since: float
    judged: tuple[Principal | None, Ticket | None, Policy | None]
    cut: Cut | None = None
    refusal: Refusal | None = None
    refused_at: float = 0.0
    told_at: float = 0.0
    """When what is known of how the ticket stood meanwhile was learnt."""


@dataclass(frozen=True, slots=True)
class _Answers:
    """What the sources said; a refusal where they could not be asked."""

    people: dict[str, Heard | Refusal]
    tickets: Mapping[str, Sighting | Refusal]


class Watch:
    """The live sessions of this process."""

    def __init__(
        self, context: Context, register: Register, signins: SignIns, fresh: Callable[[], Refusal | None]
    ) -> None:
        """`fresh` says why what is known of the store gives no access any more, or nothing."""
        self._fresh = fresh
        self._context, self._register, self._signins = context, register, signins
        self._live: dict[str, _Live] = {}
        self._lapsed: dict[str, str] = {}
        self._visits: dict[str, float] = {}
        self._round_at = float("-inf")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watch")

    def begin(self, session: Session, policy: Policy) -> None:
        """Know a session that was just admitted, on the answers it was admitted with."""
        now = self._context.monotonic()
        self._live[session.id] = _Live(
            session, now, now, (session.principal, session.ticket, policy), told_at=now
        )  # fmt: skip

    def attach(self, session: Session, cut: Cut) -> Callable[[], None]:
        """Call `cut` once when the session has to end; returns what to call when it ended by itself."""
        live = self._live.get(session.id)
        if live is None:
            asyncio.get_running_loop().call_soon(cut, _unknown())
            return lambda: None
        live.cut = cut
        if live.refusal is not None:
            self._cut(live, live.refusal)
        return lambda: self._detach(session.id)

    @contextmanager
    def visit(self, session: Session, seconds: float) -> Iterator[None]:
        """Let `check` pass a session of the gateway's own meanwhile, that long at most; its reasons were judged."""
        self._visits[session.id] = self._context.monotonic() + seconds
        try:
            yield
        finally:
            del self._visits[session.id]

    def check(self, session: Session) -> Refusal | None:
        """Why the session may not go on, from what is known; constant time, nothing is asked."""
        live = self._live.get(session.id)
        if live is None:
            visiting = self._context.monotonic() < self._visits.get(session.id, float("-inf"))
            return None if visiting else _unknown()
        if live.refusal is not None:
            return live.refusal
        if self._context.clock() >= session.grant.expires_at:
            # the session's own grant is as it was when it began; it may have been extended since
            over = self._register.over(session.grant.id, session.pass_id, self._context.clock())
            if over is not None:
                return over
        now, settings = self._context.monotonic(), self._context.settings
        if now - live.good_at > settings.grace_s or now - max(self._round_at, live.since) > settings.fresh_s:
            return _stale(None)
        return None

    def sessions(self) -> list[LiveSession]:
        """Every live session, oldest first."""
        return [
            LiveSession(
                id=live.session.id,
                person=live.session.principal.id,
                login=live.session.principal.login,
                target=live.session.grant.target,
                ticket_id=live.session.grant.ticket_id,
                grant_id=live.session.grant.id,
                peer=live.session.peer,
                started_at=live.session.started_at,
                protected=not self._observed(live.session.grant.target),
            )
            for live in self._live.values()
            if live.refusal is None
        ]

    def has_sessions(self, grant_id: str) -> bool:
        """Whether a session lives under that grant."""
        return any(one.session.grant.id == grant_id and one.refusal is None for one in self._live.values())

    def _observed(self, target: str) -> bool:
        policy = self._context.policies(target)
        return policy is not None and policy.observed

    def ended(self, grant_id: str) -> None:
        """A grant is over: end its sessions now."""
        for live in list(self._live.values()):
            if live.session.grant.id == grant_id and live.refusal is None:
                over = self._register.over(grant_id, live.session.pass_id, self._context.clock())
                if over is not None:
                    self._cut(live, over)

    async def refresh(self) -> None:
        """Ask the sources about everybody who is connected or signed in, and judge every session."""
        asked_at = self._context.monotonic()
        people = {live.session.principal.id for live in self._live.values()} | self._signins.people()
        tickets = {live.session.grant.ticket_id for live in self._live.values()}
        loop = asyncio.get_running_loop()
        answers = await loop.run_in_executor(self._thread, self._ask, people, tickets)
        for person, said in answers.people.items():
            if not isinstance(said, Refusal):
                found = self._context.standing.seen(said.person)
                answers.people[person] = said if found is said.person else replace(said, person=found)
                self._signins.learn(person, found, min(asked_at, said.at))
        for count, live in enumerate(list(self._live.values()), start=1):
            self._judge(live, answers, asked_at)
            if count % _BATCH == 0:
                await asyncio.sleep(0)
        self._round_at = asked_at

    def lapsed(self) -> dict[str, str]:
        """The grants whose tickets were found to justify them no more, each with the reason; told once."""
        lapsed, self._lapsed = self._lapsed, {}
        return lapsed

    def close(self) -> None:
        """Join the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _ask(self, people: Collection[str], tickets: Collection[str]) -> _Answers:
        heard = self._context.directory.recent(people)
        # FAIL CLOSED: an answer about somebody else is none
        strange = [
            one for one, said in heard.items() if isinstance(said, Heard) and said.person and said.person.id != one
        ]
        gone = {one: Heard(None, float("inf")) for one in strange}
        return _Answers({**heard, **gone}, self._context.tickets.recent(tickets))

    def _judge(self, live: _Live, answers: _Answers, asked_at: float) -> None:
        """End the session when it has no reason any more, or when its reasons are too old."""
        now = self._context.monotonic()
        session = live.session
        if live.cut is None and now - max(live.since, live.refused_at) > _FORGET_S:
            # Admitted and never attached, or cut and never detached: `check` refuses what is not known.
            self._live.pop(session.id, None)
        if live.refusal is not None:
            return
        refusal = self._register.over(session.grant.id, session.pass_id, self._context.clock())
        outage = None
        if refusal is None:
            person, ticket, _ = live.judged
            asked = answers.people.get(session.principal.id)
            heard = answers.tickets.get(session.grant.ticket_id)
            if isinstance(heard, Refusal):
                outage = heard
            elif heard is not None:
                ticket, outage = heard.ticket, heard.outage
            if isinstance(asked, Refusal):
                outage = asked
            elif asked is not None:
                person, outage = asked.person, asked.outage or outage
            refusal = self._reason_gone(live, person, ticket)
            if refusal is None and isinstance(heard, Sighting) and heard.between:
                refusal = self._reason_was_gone(live, heard)
            if isinstance(asked, Heard) and isinstance(heard, Sighting):
                live.good_at = max(live.good_at, min(asked_at, asked.at, heard.at))
        if refusal is None and now - live.good_at > self._context.settings.grace_s:
            refusal = _stale(outage)
        if refusal is None:
            refusal = self._fresh()
        if refusal is not None:
            self._cut(live, refusal)

    def _reason_gone(self, live: _Live, person: Principal | None, ticket: Ticket | None) -> Refusal | None:
        grant = live.session.grant
        policy = self._context.policies(grant.target)
        before = live.judged
        if person is before[0] and ticket is before[1] and policy is before[2]:
            return None
        live.judged = (person, ticket, policy)
        if person is None or not person.active:
            return _ended("the directory says that the person is not active any more")
        if person.login != live.session.principal.login:
            return _ended("the person's login has changed")
        if policy is None:
            return _ended(f"the target `{grant.target}` is not available any more")
        refusal = self._ticket_gone(grant, policy, person, ticket)
        if refusal is not None:
            self._lapsed[grant.id] = refusal.message
            return refusal
        decision = decide_access(
            policy, person, ticket, self._context.clock(), write=grant.write, statement=bool(grant.statement),
            break_glass=grant.break_glass,
        )  # fmt: skip
        return _ended(decision.message) if isinstance(decision, Refusal) else None

    def _reason_was_gone(self, live: _Live, heard: Sighting) -> Refusal | None:
        """Why the ticket did not justify the grant in between, though it does again."""
        grant, (person, _, policy) = live.session.grant, live.judged
        if person is None or policy is None:
            return None
        for at, ticket in heard.between:
            refusal = self._ticket_gone(grant, policy, person, ticket) if at > live.told_at else None
            if refusal is not None:
                self._lapsed[grant.id] = refusal.message
                return refusal
        live.told_at = max(at for at, _ in heard.between)
        return None

    def _ticket_gone(self, grant: Grant, policy: Policy, person: Principal, ticket: Ticket | None) -> Refusal | None:
        """Why the ticket justifies the grant no more, for good."""
        if ticket is None or ticket.system != grant.ticket_system:
            return _ended(f"the ticket `{grant.ticket_id}` does not exist any more")
        if set(ticket.customers) != set(grant.customers):
            return _ended(f"the customer of the ticket `{grant.ticket_id}` has changed")
        refusal = refuse_ticket(policy, person, ticket)
        return _ended(refusal.message) if refusal is not None else None

    def _cut(self, live: _Live, refusal: Refusal) -> None:
        live.refusal, live.refused_at = replace(refusal, fatal=True), self._context.monotonic()
        cut, live.cut = live.cut, None
        if cut is not None:
            # Through the loop, so that one session's trouble in ending does not keep the others alive.
            asyncio.get_running_loop().call_soon(cut, live.refusal)

    def _detach(self, session_id: str) -> None:
        self._live.pop(session_id, None)


def _ended(reason: str) -> Refusal:
    return Refusal("access-ended", f"access has ended: {reason}", "open a ticket that justifies it", fatal=True)


def _stale(outage: Refusal | None) -> Refusal:
    # FAIL CLOSED: reasons that cannot be confirmed are no reasons.
    if outage is not None:
        return replace(outage, fatal=True)
    return Refusal(
        "directory-unavailable", "the reasons for the access cannot be confirmed", "connect again", fatal=True
    )


def _unknown() -> Refusal:
    return Refusal("access-ended", "access has ended: the session is not known", "connect again", fatal=True)
