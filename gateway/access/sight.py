"""Who sees which requests, grants and sessions: his own, those that he may decide about, and administrators all."""

from __future__ import annotations

from gateway.access.context import Context
from gateway.access.delegation import Delegations
from gateway.access.passes import Register
from gateway.access.values import Holding, LiveSession
from gateway.access.watch import Watch
from gateway.errors import Refusal
from gateway.model import AccessRequest, Grant, Principal, RequestState
from gateway.policy.rights import ROLES, Right
from gateway.policy.schema import Policy
from gateway.store import access
from gateway.store.access import PassRow


class Sight:
    """Lists what a viewer may see; roles are read from the settings."""

    def __init__(self, context: Context, register: Register, watch: Watch) -> None:
        self._context, self._register, self._watch = context, register, watch
        self.delegations = Delegations(context, self.is_member)

    def is_member(self, principal: Principal, role: str) -> bool:
        """Whether the person has the role, the name of a field of `AccessSettings`. Raises `KeyError` for others."""
        settings = self._context.settings
        roles = {
            "administrators": settings.administrators, "auditors": settings.auditors,
            "custodians": settings.custodians, "approvers": settings.approvers,
        }  # fmt: skip
        right = ROLES.get(role)
        if right is not None and self._context.standing.has_lost(principal.id, "", right):
            return False
        return principal.active and bool(principal.teams & roles[role])

    def sees(self, viewer: Principal, person: str, target: str) -> bool:
        """Whether the viewer sees what that person asks for, holds and does on the target."""
        policy = self._context.policies(target)
        if viewer.id == person or self.is_member(viewer, "administrators"):
            return True
        return policy is not None and self._approves(viewer, policy)

    async def requests(self, viewer: Principal, state: RequestState | None) -> list[AccessRequest]:
        """Requests, newest first. Raises `GatewayError("store-unavailable")`."""
        own = await self._context.store(access.list_requests, person=viewer.id, state=state)
        found = await self._context.store(access.list_requests, state=state)
        lenders = await self.delegations.lenders(viewer)
        mine = [one for one in found if self.sees(viewer, one.person, one.target) or self._lent(lenders, one.target)]
        seen = {one.id: one for one in own + mine}
        return sorted(seen.values(), key=lambda one: one.created_at, reverse=True)

    async def sees_request(self, viewer: Principal, request: AccessRequest) -> bool:
        """Whether the viewer sees a request: as `sees`, or because he may decide in an approver's name."""
        if self.sees(viewer, request.person, request.target):
            return True
        return self._lent(await self.delegations.lenders(viewer), request.target)

    def _lent(self, lenders: list[Principal], target: str) -> bool:
        """Whether one of them approves for the target; what else they may see is not lent."""
        policy = self._context.policies(target)
        return policy is not None and any(self._approves(one, policy) for one in lenders)

    def _approves(self, person: Principal, policy: Policy) -> bool:
        """Whether the person approves for the policy's target, and the right to was not withdrawn."""
        lost = self._context.standing.has_lost(person.id, policy.target, Right.APPROVE)
        return bool(person.teams & policy.access.approver_teams) and not lost

    async def grants(self, viewer: Principal, live: bool) -> list[Grant]:
        """Grants, newest first; `live` leaves out those that are over. Raises `GatewayError("store-unavailable")`."""
        now = self._context.clock()
        own = await self._context.store(access.list_grants, person=viewer.id)
        found = await self._context.store(access.list_grants)
        seen = {one.id: one for one in own + [one for one in found if self.sees(viewer, one.person, one.target)]}
        kept = [one for one in seen.values() if not (live and self._register.over(one.id, None, now))]
        return sorted(kept, key=lambda one: one.created_at, reverse=True)

    def passes(self, viewer: Principal) -> list[PassRow]:
        """The viewer's own live passes, newest first."""
        now = self._context.clock()
        mine = [one for one in self._register.passes() if one.secret.person == viewer.id]
        live = [one for one in mine if self._register.over(one.secret.grant_id, one.secret.id, now) is None]
        return sorted(live, key=lambda one: one.secret.created_at, reverse=True)

    def now(self, viewer: Principal) -> list[Holding] | Refusal:
        """Every live grant with its sessions, the one that ends next first; for administrators and auditors."""
        if not (self.is_member(viewer, "administrators") or self.is_member(viewer, "auditors")):
            return Refusal(
                "not-in-team", "who has access now is for administrators and auditors", "gateway status shows yours"
            )
        now, sessions = self._context.clock(), self._watch.sessions()
        live = [one for one in self._register.grants() if self._register.over(one.id, None, now) is None]
        return [
            Holding(one, tuple(session for session in sessions if session.grant_id == one.id))
            for one in sorted(live, key=lambda one: one.expires_at)
        ]

    def sessions(self, viewer: Principal) -> list[LiveSession]:
        """Live sessions of this process, oldest first."""
        return [one for one in self._watch.sessions() if self.sees(viewer, one.person, one.target)]
