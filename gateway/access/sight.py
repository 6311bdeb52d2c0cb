"""Who sees which requests, grants and sessions: his own, those that he may decide about, and administrators all."""

from __future__ import annotations

from gateway.access.context import Context
from gateway.access.passes import Register
from gateway.access.values import LiveSession
from gateway.access.watch import Watch
from gateway.model import AccessRequest, Grant, Principal, RequestState
from gateway.store import access


class Sight:
    """Lists what a viewer may see; roles are read from the settings."""

    def __init__(self, context: Context, register: Register, watch: Watch) -> None:
        self._context, self._register, self._watch = context, register, watch

    def is_member(self, principal: Principal, role: str) -> bool:
        """Whether the person has the role, the name of a field of `AccessSettings`. Raises `KeyError` for others."""
        settings = self._context.settings
        roles = {
            "administrators": settings.administrators, "auditors": settings.auditors,
            "custodians": settings.custodians, "approvers": settings.approvers,
        }  # fmt: skip
        return principal.active and bool(principal.teams & roles[role])

    def sees(self, viewer: Principal, person: str, target: str) -> bool:
        """Whether the viewer sees what that person asks for, holds and does on the target."""
        policy = self._context.policies(target)
        approvers = policy.access.approver_teams if policy is not None else frozenset()
        return viewer.id == person or bool(viewer.teams & approvers) or self.is_member(viewer, "administrators")

    async def requests(self, viewer: Principal, state: RequestState | None) -> list[AccessRequest]:
        """Requests, newest first. Raises `GatewayError("store-unavailable")`."""
        own = await self._context.store(access.list_requests, person=viewer.id, state=state)
        found = await self._context.store(access.list_requests, state=state)
        seen = {one.id: one for one in own + [one for one in found if self.sees(viewer, one.person, one.target)]}
        return sorted(seen.values(), key=lambda one: one.created_at, reverse=True)

    async def grants(self, viewer: Principal, live: bool) -> list[Grant]:
        """Grants, newest first; `live` leaves out those that are over. Raises `GatewayError("store-unavailable")`."""
        now = self._context.clock()
        own = await self._context.store(access.list_grants, person=viewer.id)
        found = await self._context.store(access.list_grants)
        seen = {one.id: one for one in own + [one for one in found if self.sees(viewer, one.person, one.target)]}
        kept = [one for one in seen.values() if not (live and self._register.over(one.id, None, now))]
        return sorted(kept, key=lambda one: one.created_at, reverse=True)

    def sessions(self, viewer: Principal) -> list[LiveSession]:
        """Live sessions of this process, oldest first."""
        return [one for one in self._watch.sessions() if self.sees(viewer, one.person, one.target)]
