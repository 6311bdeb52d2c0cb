"""Who is known here, and who may do nothing here: people of the directory as far as this gateway's store has met them.

A directory need not be able to list its people, so whoever was never invited, enrolled or asked for anything is not
known here. A suspension is an administrator's; it ends all that a person holds at once, in other processes within some
rounds of the watcher, and stays over a restart.

INVARIANT: nobody lifts his own suspension nor restores a right of his own, nor through a second account of his.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.access.context import Context, verdict, where, who
from gateway.access.delegation import Delegations, Voice
from gateway.access.request import is_fresh, same_person, stale_factor
from gateway.access.values import SignIn
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Peer, Principal
from gateway.policy.rights import Right
from gateway.policy.schema import Policy
from gateway.store import standing as rows
from gateway.store.standing import Known, Suspension

T = TypeVar("T")

_KNOWN_S = 60.0
"""How long a look at everybody may be used again."""
_MOST_NAMED = 8

EndAll = Callable[[Principal], Awaitable[None]]
"""Ends what a person holds: sign-ins, grants, sessions. Raises `GatewayError` after all has lost its effect."""


@dataclass(frozen=True, slots=True)
class Met:
    """A person whom the store knows; `person` is None where the directory does not, any more."""

    id: str
    person: Principal | None
    known: Known
    suspension: Suspension | None


class People:
    """Suspends people, gives rights back, and knows who is there."""

    def __init__(
        self, context: Context, delegations: Delegations, is_member: Callable[[Principal, str], bool],
        end_all: Callable[[Peer, str], EndAll],
    ) -> None:  # fmt: skip
        self._context, self._delegations = context, delegations
        self._is_member, self._end_all = is_member, end_all
        self._everybody: tuple[float, list[Met]] = (float("-inf"), [])

    async def everybody(self, *, fresh: bool = True) -> list[Met]:
        """All who are known here; as they were a minute ago at most unless `fresh`. Raises `GatewayError`."""
        context = self._context
        at, kept = self._everybody
        if not fresh and context.monotonic() - at < _KNOWN_S:
            return kept
        known = await context.store(rows.known, context.clock())
        found = [
            Met(one.person, await context.work(context.look_up, one.person), one,
                context.standing.suspension(one.person))
            for one in known
        ]  # fmt: skip
        self._everybody = context.monotonic(), found
        return found

    async def approvers_of(self, request: AccessRequest, policy: Policy) -> list[str]:
        """The logins of some who could approve that now, as far as they are known here. Raises `GatewayError`."""
        found: list[str] = []
        requester = await self._context.by_id(request.person)
        for met in await self.everybody(fresh=False):
            person = self._context.standing.seen(met.person)
            if person is None or not person.active or not met.known.factors or same_person(person, requester):
                continue
            voice = None
            if person.teams & policy.access.approver_teams:
                voice = await self._delegations.voice(person, request, policy, "")
            if isinstance(voice, Voice) and person.id not in request.decided_by:
                found.append(person.login)
            if len(found) >= _MOST_NAMED:
                break
        return sorted(found)

    async def administer(self, signin: SignIn | None, act: Callable[[str], Awaitable[T | Refusal]]) -> T | Refusal:
        """Let an administrator with a recent factor act, who is given by his id; None is whoever runs the gateway."""
        context = self._context
        try:
            if signin is None:
                return await act("local")
            person = await context.present(signin.principal.id)
            if isinstance(person, Refusal):
                return person
            if not self._is_member(person, "administrators"):
                return Refusal("not-in-team", "this is for administrators", "ask one of them")
            if not is_fresh(signin.factor_at, context.clock(), context.settings.fresh.people):
                return stale_factor(context.settings.fresh.people)
            return await act(person.id)
        except GatewayError as error:
            return error.refusal

    async def suspend(self, signin: SignIn, login: str, reason: str, peer: Peer) -> Principal | Refusal:
        """Let a person do nothing here any more, at once; for administrators."""
        return await self.administer(signin, lambda by: self._suspend(login, by, reason, peer))

    async def unsuspend(self, signin: SignIn | None, login: str, reason: str, peer: Peer) -> Principal | Refusal:
        """Lift a suspension of somebody else's; what he held stays over. `signin` None: by whoever runs the gateway."""
        return await self.administer(signin, lambda by: self._unsuspend(login, by, reason, peer))

    async def restore(
        self, signin: SignIn | None, login: str, right: Right, target: str, reason: str, peer: Peer
    ) -> Principal | Refusal:
        """Give somebody else a right back that a review of access withdrew. `signin` None as for `unsuspend`."""
        return await self.administer(signin, lambda by: self._restore(login, right, target, by, reason, peer))

    async def _suspend(self, login: str, by: str, reason: str, peer: Peer) -> Principal | Refusal:
        """It takes effect first."""
        context = self._context
        person = await context.find(login)
        if person is None:
            return Refusal("not-found", f"the directory has no person `{login[:64]}`", "gateway people list")
        if not reason.strip():
            return Refusal("request-invalid", "a suspension needs a reason", "--reason WHY")
        suspension = Suspension(person.id, by, reason.strip()[:500], context.clock())
        if not await context.store(rows.suspend, suspension):
            return Refusal("request-invalid", f"`{person.login}` is suspended already", "gateway people list")
        context.standing.put(suspension)
        outage: GatewayError | None = None
        try:
            await self._end_all(peer, "the person was suspended")(person)
        except GatewayError as error:
            outage = error
        await self._record(person, by, peer, "suspended", reason=suspension.reason)
        if outage is not None:
            raise outage
        return person

    async def _unsuspend(self, login: str, by: str, reason: str, peer: Peer) -> Principal | Refusal:
        """It is recorded first."""
        context = self._context
        person = await context.find(login)
        if person is None:
            return Refusal("not-found", f"the directory has no person `{login[:64]}`", "gateway people list")
        refusal = await self._own(person, by, "lifts a suspension of his own")
        if refusal is None and context.standing.suspension(person.id) is None:
            refusal = Refusal("request-invalid", f"`{person.login}` is not suspended", "gateway people list")
        if refusal is not None:
            await self._record(person, by, peer, "suspended", refusal=refusal)
            return refusal
        await self._record(person, by, peer, "lifted", reason=reason.strip()[:500])
        if not await context.store(rows.lift, person.id):
            return Refusal("request-invalid", "somebody else lifted it at this moment", "gateway people list")
        context.standing.remove(person.id)
        return person

    async def _restore(
        self, login: str, right: Right, target: str, by: str, reason: str, peer: Peer
    ) -> Principal | Refusal:
        """It is recorded first."""
        context = self._context
        person = await context.find(login)
        if person is None:
            return Refusal("not-found", f"the directory has no person `{login[:64]}`", "gateway people list")
        refusal = await self._own(person, by, "restores a right of his own")
        if refusal is None and not context.standing.has_lost(person.id, target, right):
            refusal = Refusal(
                "request-invalid", f"that right of `{person.login}` was not withdrawn", "gateway access review list"
            )
        if refusal is None and not reason.strip():
            refusal = Refusal("request-invalid", "giving a right back needs a reason", "--reason WHY")
        facts = {"person": by, "of": person.id, "target": target[:64], "right": right.value, **where(peer)}
        if refusal is not None:
            await context.record("access.review", **facts, **verdict(refusal), move="restore")
            return refusal
        await context.record(
            "access.review", **facts, decision="permit", reason=reason.strip()[:500], move="restore", state="restored"
        )
        if not await context.store(rows.restore, person.id, target, right.value):
            return Refusal("request-invalid", "somebody else gave it back at this moment", "gateway access review list")
        context.standing.restore(person.id, target, right.value)
        return person

    async def reload(self) -> None:
        """Read again what people have lost, which another process may have changed. Raises `GatewayError`."""
        self._context.standing.take(*await self._context.look(rows.load))

    async def _own(self, person: Principal, by: str, does: str) -> Refusal | None:
        other = await self._context.by_id(by) if by != "local" else None
        if person.id == by or (other is not None and same_person(person, other)):
            return Refusal("request-invalid", f"nobody {does}", "ask another administrator")
        return None

    async def _record(
        self, person: Principal, by: str, peer: Peer, state: str, *, reason: str = "", refusal: Refusal | None = None
    ) -> None:
        facts = verdict(refusal) if refusal is not None else {"decision": "permit"}
        if reason and refusal is None:
            facts["reason"] = reason
        await self._context.record("person.suspension", **who(person), **where(peer), **facts, by=by, state=state)
