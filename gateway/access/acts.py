"""What nobody does to the trail alone: one person asks, another one confirms, and it is carried out once.

Theory of operation. An act is filed by somebody in one of its kind's roles, with a reason, and waits. A custodian
confirms or declines it, the asker may withdraw it, and it runs out. What was confirmed is carried out at once, or, of
a kind that answers its asker, when he asks for the answer, within `act_life_s`. The kinds are registered by the parts
that carry them out.

INVARIANT: nobody confirms his own act, nor through a second account of his (same id or same e-mail address), and both
proved a second factor within the last `fresh.act` seconds when they did their part.
INVARIANT: each step is durable in the trail before it is in the store, and in the store before it has an effect. An
answer is given once: the act is spent before it is made. What changes something may be tried again until it has worked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from gateway.access.context import Context, verdict, where, who
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal
from gateway.store import acts as rows
from gateway.store.acts import Act, ActState

Carry = Callable[[Act, str, Principal, Peer], Awaitable[Mapping[str, Any] | Refusal]]
"""Carries an act out, given what was sealed in it, who lets it happen and from where; returns what to answer.

A refusal or a `GatewayError` leaves the act confirmed, unless its kind answers its asker.
"""

_MOVES: dict[tuple[ActState, str], ActState] = {
    (ActState.WAITING, "confirm"): ActState.CONFIRMED,
    (ActState.WAITING, "decline"): ActState.DECLINED,
    (ActState.WAITING, "withdraw"): ActState.WITHDRAWN,
    (ActState.WAITING, "expire"): ActState.EXPIRED,
    (ActState.CONFIRMED, "withdraw"): ActState.WITHDRAWN,
    (ActState.CONFIRMED, "expire"): ActState.EXPIRED,
    (ActState.CONFIRMED, "carry out"): ActState.DONE,
}
"""Nothing ever leaves another state."""

_LIVE = (ActState.WAITING, ActState.CONFIRMED)
_MAX_WAITING = 100
"""Of one person, at a time: what waits is looked at by people."""
_ROLES = ("auditors", "custodians")


@dataclass(frozen=True, slots=True)
class ActKind:
    """One thing that needs two people: its name, what it does in words, who may ask, and what carries it out.

    `answers_asker` says that it tells its asker something, once, when he comes for it.
    """

    does: str
    means: str
    askers: frozenset[str]
    carry: Carry
    answers_asker: bool = False


@dataclass(frozen=True, slots=True)
class Carried:
    """An act after a step, and what carrying it out gave, if that happened."""

    act: Act
    result: Mapping[str, Any] | None = None


class Acts:
    """Files, shows, confirms and carries out acts. `is_member` tells who has which role."""

    def __init__(self, context: Context, is_member: Callable[[Principal, str], bool]) -> None:
        self._context, self._is_member = context, is_member
        self._kinds: dict[str, ActKind] = {}
        self._busy: set[str] = set()

    def register(self, kind: ActKind) -> None:
        """Let acts of that kind be filed. Raises `ValueError` for a second one of the same name."""
        if kind.does in self._kinds:
            raise ValueError(f"{kind.does!r} is registered already")
        self._kinds[kind.does] = kind

    async def file(
        self, signin: SignIn, does: str, subject: Mapping[str, str], reason: str, peer: Peer, *, private: str = ""
    ) -> Act | Refusal:
        """Ask for an act. `private` is what of its subject may be neither recorded nor kept in clear.

        The same that one's own act already asks for, waiting or confirmed, is that act.
        """
        try:
            return await self._file(signin, does, subject, reason, peer, private)
        except GatewayError as error:
            return error.refusal

    async def acts(self, signin: SignIn, *, live: bool = True) -> list[Act] | Refusal:
        """Acts, newest first; `live` leaves out those that have ended."""
        try:
            person = await self._present(signin)
            if isinstance(person, Refusal):
                return person
            found = await self._context.store(rows.newest, states=_LIVE if live else ActState)
            return [act for act in found if not (live and self._overdue(act))]
        except GatewayError as error:
            return error.refusal

    async def show(self, signin: SignIn, act_id: str) -> tuple[Act, str] | Refusal:
        """An act, and what is sealed in it, while it may still happen."""
        try:
            person = await self._present(signin)
            if isinstance(person, Refusal):
                return person
            act = await self._context.store(rows.find, act_id)
            return _unknown() if act is None else (act, self._private(act))
        except GatewayError as error:
            return error.refusal

    async def confirm(self, signin: SignIn, act_id: str, reason: str, peer: Peer) -> Carried | Refusal:
        """Agree to somebody else's act; it is carried out at once unless it answers its asker."""
        return await self._step(signin, act_id, "confirm", reason, peer)

    async def decline(self, signin: SignIn, act_id: str, reason: str, peer: Peer) -> Carried | Refusal:
        """Turn an act down."""
        return await self._step(signin, act_id, "decline", reason, peer)

    async def withdraw(self, signin: SignIn, act_id: str, peer: Peer) -> Carried | Refusal:
        """Take one's own act back."""
        return await self._step(signin, act_id, "withdraw", "", peer)

    async def carry_out(self, signin: SignIn, act_id: str, peer: Peer) -> Carried | Refusal:
        """Have a confirmed act carried out: its answer for who asked, or another try of what did not work."""
        return await self._step(signin, act_id, "carry out", "", peer)

    async def sweep(self) -> None:
        """Expire what has waited too long. Raises `GatewayError`."""
        for act in await self._context.store(rows.newest, states=_LIVE):
            # nobody can move it any more, so nobody is raced
            if self._overdue(act) and act.id not in self._busy:
                await self._record(act, ActState.EXPIRED)
                await self._context.store(rows.end, act.id, act.state, ActState.EXPIRED, self._context.clock())

    async def _file(
        self, signin: SignIn, does: str, subject: Mapping[str, str], reason: str, peer: Peer, private: str
    ) -> Act | Refusal:
        context, kind = self._context, self._kinds.get(does)
        person = await self._present(signin)
        if isinstance(person, Refusal):
            return person
        if kind is None:
            return Refusal("request-invalid", "nothing of that kind needs two people here")
        if not any(self._is_member(person, role) for role in kind.askers):
            return Refusal("not-in-team", f"this is for {' and '.join(sorted(kind.askers))}")
        if not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.act):
            return stale_factor(context.settings.fresh.act)
        if not reason.strip():
            return Refusal("request-invalid", "a reason is needed: another person decides by it", "--reason WHY")
        waiting = [act for act in await context.store(rows.newest, states=_LIVE) if act.person == person.id]
        for act in waiting:
            if (act.does, act.subject, self._private(act)) == (does, subject, private) and not self._overdue(act):
                return act
        if len(waiting) >= _MAX_WAITING:
            return Refusal("request-invalid", "too much waits already that you have asked for", "withdraw some of it")
        act_id = context.new_id("act")
        sealed = context.keys.seal(private.encode(), act_id, context.token) if private else None
        act = Act(act_id, does, dict(subject), reason[:500], person.id, ActState.WAITING, context.clock(), sealed)
        await self._record(act, ActState.WAITING, by=person, signin=signin, peer=peer, reason=act.reason)
        await context.store(rows.insert, act)
        return act

    async def _step(self, signin: SignIn, act_id: str, move: str, reason: str, peer: Peer) -> Carried | Refusal:
        try:
            person = await self._present(signin)
            if isinstance(person, Refusal):
                return person
            if act_id in self._busy:
                return Refusal("request-invalid", "somebody decides about this at this moment", "look at it again")
            # INVARIANT: one step of an act at a time in this process; between processes compare-and-swap decides
            self._busy.add(act_id)
            work = asyncio.ensure_future(self._moved(signin, person, act_id, move, reason[:500], peer))
            work.add_done_callback(lambda _: self._busy.discard(act_id))
            # carried to its end even when who waited for it has gone
            return await asyncio.shield(work)
        except GatewayError as error:
            return error.refusal

    async def _moved(
        self, signin: SignIn, person: Principal, act_id: str, move: str, reason: str, peer: Peer
    ) -> Carried | Refusal:
        context = self._context
        act = await context.store(rows.find, act_id)
        if act is None:
            return _unknown()
        refusal = await self._refused(signin, person, act, move)
        if refusal is not None:
            await self._record(act, act.state, by=person, signin=signin, peer=peer, refusal=refusal)
            return refusal
        if move == "carry out":
            return await self._carried(act, person, signin, peer)
        to, now = _MOVES[act.state, move], context.clock()
        decided = replace(act, state=to, decided_by=person.id, decided_at=now, decision_reason=reason)
        await self._record(decided, to, by=person, signin=signin, peer=peer, reason=reason)
        if not await context.store(rows.decide, act.id, act.state, to, person.id, reason, now):
            return await self._lost(act, person, signin, peer)
        if to is ActState.CONFIRMED and not self._kinds[act.does].answers_asker:
            return await self._carried(decided, person, signin, peer)
        return Carried(decided if to is ActState.CONFIRMED else replace(decided, sealed=None))

    async def _refused(self, signin: SignIn, person: Principal, act: Act, move: str) -> Refusal | None:
        """Why the person may not make that move, or None."""
        context, kind = self._context, self._kinds.get(act.does)
        if kind is None:
            return Refusal("request-invalid", "nothing of that kind needs two people here any more")
        if (act.state, move) not in _MOVES:
            return Refusal("request-invalid", f"it is {act.state.value}", "look at it again")
        if self._overdue(act):
            return Refusal("request-invalid", "it has waited too long", "ask for it anew")
        own = move == "withdraw" or (move == "carry out" and kind.answers_asker)
        if own and person.id != act.person:
            return Refusal("request-invalid", f"only who asked for it may {move} this")
        if move in ("confirm", "decline") and not self._is_member(person, "custodians"):
            return Refusal("not-in-team", "this is for custodians")
        if move == "carry out" and own and not any(self._is_member(person, role) for role in kind.askers):
            return Refusal("not-in-team", f"this is for {' and '.join(sorted(kind.askers))}")
        if move != "withdraw" and not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.act):
            return stale_factor(context.settings.fresh.act)
        if move == "confirm":
            asker = await context.by_id(act.person)
            if person.id == act.person or same_person(person, asker):
                return Refusal("request-invalid", "nobody confirms what he asked for himself", "ask another custodian")
            if asker is None or not asker.active:
                return Refusal("person-inactive", "who asked for it is not active any more")
        return None

    async def _carried(self, act: Act, person: Principal, signin: SignIn, peer: Peer) -> Carried | Refusal:
        kind, private = self._kinds[act.does], self._private(act)
        done = replace(act, state=ActState.DONE, sealed=None, done_at=self._context.clock())
        if kind.answers_asker and not await self._spend(done, person, signin, peer):
            return await self._lost(act, person, signin, peer)
        try:
            result = await kind.carry(act, private, person, peer)
        except GatewayError as error:
            result = error.refusal
        if isinstance(result, Refusal):
            await self._record(act, act.state, by=person, signin=signin, peer=peer, refusal=result)
            hint = "ask for it anew" if kind.answers_asker else f"gateway audit carry-out {act.id} (when it can be)"
            return replace(result, hint=result.hint or hint)
        if not kind.answers_asker and not await self._spend(done, person, signin, peer):
            return await self._lost(act, person, signin, peer)
        return Carried(done, result)

    async def _spend(self, done: Act, person: Principal, signin: SignIn, peer: Peer) -> bool:
        await self._record(done, ActState.DONE, by=person, signin=signin, peer=peer)
        now = self._context.clock()
        return await self._context.store(rows.end, done.id, ActState.CONFIRMED, ActState.DONE, now)

    async def _lost(self, act: Act, person: Principal, signin: SignIn, peer: Peer) -> Refusal:
        """Somebody else was quicker, in another process: what was recorded a moment ago did not take place."""
        refusal = Refusal("request-invalid", "somebody else decided about it at this moment", "look at it again")
        await self._record(act, act.state, by=person, signin=signin, peer=peer, refusal=refusal)
        return refusal

    async def _record(
        self, act: Act, state: ActState, *, by: Principal | None = None, signin: SignIn | None = None,
        peer: Peer | None = None, reason: str = "", refusal: Refusal | None = None,
    ) -> None:  # fmt: skip
        """Record a step; without `by` it is the gateway's own."""
        facts: dict[str, Any] = {**verdict(refusal)}
        if reason and refusal is None:
            facts["reason"] = reason
        if signin is not None:
            age = max(0, int((self._context.clock() - signin.factor_at).total_seconds()))
            facts |= {"factor": signin.factor, "factor_age_s": age}
        await self._context.record(
            "audit.act", **who(by), **(where(peer) if peer is not None else {}), **facts, act=act.id, does=act.does,
            subject=told(act.subject), state=state.value, asked_by=act.person,
            confirmed_by=act.decided_by if state in (ActState.CONFIRMED, ActState.DONE) else "",
        )  # fmt: skip

    async def _present(self, signin: SignIn) -> Principal | Refusal:
        """The person as the directory has him now, who must have to do with acts at all."""
        person = await self._context.present(signin.principal.id)
        if isinstance(person, Refusal):
            return person
        if not any(self._is_member(person, role) for role in _ROLES):
            return Refusal("not-in-team", "this is for auditors and custodians")
        return person

    def _private(self, act: Act) -> str:
        return "" if act.sealed is None else self._context.keys.unseal(act.sealed, act.id).decode()

    def _overdue(self, act: Act) -> bool:
        settings, now = self._context.settings, self._context.clock()
        if act.state is ActState.WAITING:
            return now >= act.filed_at + timedelta(seconds=settings.pending_life_s)
        at = act.decided_at or act.filed_at
        return act.state is ActState.CONFIRMED and now >= at + timedelta(seconds=settings.act_life_s)


def told(subject: Mapping[str, str]) -> str:
    """A subject in one line, as records and people read it."""
    return " ".join(f"{name}={value}" for name, value in sorted(subject.items()))


def _unknown() -> Refusal:
    return Refusal("not-found", "there is no such act")
