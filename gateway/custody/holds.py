"""Legal holds: what two people want kept for as long as they do not say otherwise.

A hold names records by a predicate, of which all parts that it has must fit: a customer, a person (his id or login, in
whatever part of a record), a ticket, a target, a period. Nothing from its first record on is pruned, and nothing that
it covers is erased (`held`).

INVARIANT: a hold is in force before anybody is told so; it stays in force until its lifting is durable in the trail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.access.acts import ActKind, Acts, told
from gateway.access.context import Context
from gateway.audit.index import utc_text
from gateway.audit.search import Query, Search
from gateway.errors import GatewayError, Refusal
from gateway.model import Peer, Principal
from gateway.store import holds as rows
from gateway.store.acts import Act
from gateway.store.holds import Hold

SET, LIFT = "hold.set", "hold.lift"
_ASKERS = frozenset({"auditors", "custodians"})
_EXACT = ("ticket", "target")


def subject_of(
    customer: str = "", person: str = "", ticket: str = "", target: str = "",
    since: datetime | None = None, until: datetime | None = None,
) -> dict[str, str]:  # fmt: skip
    """The predicate of a hold. Raises `GatewayError("request-invalid")` for one that says nothing."""
    try:
        times = {"since": utc_text(since) if since else "", "until": utc_text(until) if until else ""}
    except OverflowError as error:
        raise GatewayError("request-invalid", "that is no time in UTC", "see --from and --to") from error
    given = {"customer": customer, "person": person, "ticket": ticket, "target": target, **times}
    subject = {name: value for name, value in given.items() if value}
    if not subject:
        raise GatewayError("request-invalid", "a hold names what it is about", "--customer, --person, --ticket …")
    if subject.get("since", "") >= subject.get("until", "~"):
        raise GatewayError("request-invalid", "the time asked for ends before it begins", "see --from and --to")
    return subject


def fits(subject: Mapping[str, str], record: Mapping[str, Any]) -> bool:
    """Whether the record falls under the hold, by what it says itself.

    A record that names nothing but its session comes after one of that session that does, so it stays with it.
    """
    time = str(record["time"])
    if not subject.get("since", "") <= time < subject.get("until", "~"):
        return False
    if any(name in subject and record.get(name) != subject[name] for name in _EXACT):
        return False
    about = str(record.get("subject", "")).split()
    if "customer" in subject:
        customer = subject["customer"]
        if customer not in record.get("customers", ()) and f"customer={customer}" not in about:
            return False
    if "person" in subject:
        person = subject["person"]
        return f"person={person}" in about or any(_names(value, person) for value in record.values())
    return True


def _names(value: Any, person: str) -> bool:
    if isinstance(value, str):
        return value == person or value == person.casefold()
    return isinstance(value, list) and any(_names(one, person) for one in value)


class Holds:
    """The holds of one gateway. `version` changes with each that is set, before it is said to be."""

    def __init__(self, context: Context, acts: Acts, search: Search) -> None:
        self.version = 0
        self._context, self._search = context, search
        acts.register(ActKind(SET, "keep records, whatever the retention says", _ASKERS, self._set))
        acts.register(ActKind(LIFT, "let a hold go", _ASKERS, self._lift))

    async def listed(self, *, live: bool = True) -> list[Hold]:
        """Holds, newest first. Raises `GatewayError`."""
        return await self._context.store(rows.listed, live=live)

    async def find(self, hold_id: str) -> Hold | None:
        """The hold of that id. Raises `GatewayError`."""
        return await self._context.store(rows.find, hold_id)

    async def matcher(self) -> Callable[[dict[str, Any]], str]:
        """Says of a record under which of the holds of this moment it falls. Raises `GatewayError`."""
        return matcher_of(await self.listed())

    async def held(self, *, customer: str = "", person: str = "") -> str:
        """The hold that covers something about that customer, or that person; empty when none does.

        For whoever would destroy it. A hold that names neither covers what it has records of. Raises `GatewayError`.
        """
        for hold in await self.listed():
            subject = hold.subject
            if customer and subject.get("customer", customer) != customer:
                continue
            known = {name: value for name, value in (("customer", customer), ("person", person)) if value}
            # FAIL CLOSED: two names of people may be of one person
            if subject.get("person", person) != person or subject.keys() <= known.keys() or not known:
                return hold.id
            if await asyncio.to_thread(self._search.count, _query(subject, known)):
                return hold.id
        return ""

    async def _set(self, act: Act, _private: str, _person: Principal, _peer: Peer) -> Mapping[str, Any] | Refusal:
        # of the act's own name, so that a second try of the same act is the same hold
        now = self._context.clock()
        hold = Hold(f"hold_{act.id.partition('_')[2]}", act.subject, act.reason, act.person, act.decided_by, now)
        self.version += 1
        await self._context.store(rows.insert, hold)
        await self._record("hold.set", hold, act)
        return {"hold": hold.id}

    async def _lift(self, act: Act, _private: str, _person: Principal, _peer: Peer) -> Mapping[str, Any] | Refusal:
        hold = await self.find(act.subject.get("hold", ""))
        if hold is None:
            return Refusal("not-found", "there is no such hold")
        if hold.lifted_at is None:
            await self._record("hold.lifted", hold, act)
            await self._context.store(rows.lift, hold.id, self._context.clock())
        return {"hold": hold.id}

    async def _record(self, kind: str, hold: Hold, act: Act) -> None:
        await self._context.record(
            kind, hold=hold.id, subject=told(hold.subject), asked_by=act.person, confirmed_by=act.decided_by,
            reason=act.reason,
        )  # fmt: skip


def matcher_of(holds: Iterable[Hold]) -> Callable[[dict[str, Any]], str]:
    """Says of a record under which of them it falls."""
    live = tuple(holds)
    return lambda record: next((hold.id for hold in live if fits(hold.subject, record)), "")


def _query(subject: Mapping[str, str], known: Mapping[str, str]) -> Query:
    times = {name: datetime.fromisoformat(subject[name]) for name in ("since", "until") if name in subject}
    names = {name: value for name, value in subject.items() if name not in times}
    return Query(**{**names, **known}, **times)  # type: ignore[arg-type]  # times are the two fields that are no texts
