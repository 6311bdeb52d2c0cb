"""One approved statement: studied when it is filed and again when it is approved, and let run once.

The statement of a request is kept as it was filed, and may hold personal data. It is read by its author and by people
who may decide about it (`preview.py`), by nobody else and not from the trail, which gets its text without literals
and its digest under a key.

INVARIANT: an approval counts only for what its approver saw: the digest, what would be written where, the customers and
the policy at the time of the preview. When any of them has changed before the approval, it is looked at again, and what
earlier approvers saw must be the same; when any has changed before the statement runs, it does not run.
INVARIANT: of all claims of a grant, in all processes on one store, one takes place; it is recorded durably before
`claim` says yes. A process that dies in between leaves the statement spent.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

from gateway.access.context import Context
from gateway.access.passes import Register
from gateway.access.values import Reveal
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, Principal, Session, Ticket, Write
from gateway.policy.schema import Policy
from gateway.record import session_fields
from gateway.store import access

Study = Callable[[str, tuple[str, ...], Reveal, str], Write | Refusal]
"""What the text would write on a target for those customers and columns in clear, or the refusal that teaches.

Called in a worker thread. Raises `GatewayError("target-unavailable")`.
"""

MAX_STATEMENT = 8192
"""How many characters a statement may have that somebody is to read and approve."""


class Writing:
    """Studies statements, holds approvals to what was seen, and spends grants. `check` is the watcher's."""

    def __init__(
        self, context: Context, register: Register, study: Study, check: Callable[[Session], Refusal | None]
    ) -> None:
        self._context, self._register, self._study, self._check = context, register, study, check
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="study")
        self._claims: dict[str, tuple[str, str]] = {}
        self._releases: dict[str, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Future[Any]] = set()

    async def study(self, target: str, customers: tuple[str, ...], reveal: Reveal, text: str) -> Write | Refusal:
        """What the statement would write now. Raises `GatewayError("target-unavailable")`."""
        if len(text) > MAX_STATEMENT:
            return Refusal(
                "statement-too-long", f"a statement to approve has at most {MAX_STATEMENT} characters", "split it up"
            )
        # a thread of its own: a statement that takes long must not hold up look-ups
        study = partial(self._study, target, customers, reveal, text)
        studying = asyncio.get_running_loop().run_in_executor(self._thread, study)
        self._keep(studying)
        found = await studying
        if isinstance(found, Refusal):
            return found
        if found.parameters:
            return Refusal(
                "request-invalid", "the statement has placeholders: nobody could approve what they stand for",
                "write the values out",
            )  # fmt: skip
        if found.approval != "statement":
            return Refusal(
                "request-invalid", f"a statement that writes to `{found.relation}` is not approved by itself",
                "ask to write in general: gateway open TICKET --write",
            )  # fmt: skip
        if not found.digest:
            # FAIL CLOSED: a grant without a digest would be one for writing in general.
            return Refusal("statement-not-supported", "the statement cannot be told apart from others")
        return found

    async def study_again(self, request: AccessRequest, customers: tuple[str, ...]) -> Write | Refusal:
        """What the request's statement would write now, the same statement still. Raises as `study`."""
        found = await self.study(request.target, customers, request.reveal, request.statement)
        if not isinstance(found, Refusal) and not hmac.compare_digest(found.digest, request.digest):
            return Refusal(
                "request-invalid",
                "the statement is not understood as it was when it was filed",
                "let it be filed again",
            )
        return found

    async def approvable(
        self, request: AccessRequest, ticket: Ticket, policy: Policy, by: Principal
    ) -> Write | Refusal:
        """What `by` would approve, if he and all who approved before him saw just that. Raises as `study`."""
        context = self._context
        write = await self.study_again(request, ticket.customers)
        if isinstance(write, Refusal):
            return write
        seen = mark_of(write, ticket.customers, policy)
        previews = await context.store(access.list_previews, request.id)
        mark, at = previews.get(by.id, ("", request.created_at))
        if mark != seen or context.clock() - at > timedelta(seconds=context.settings.preview_life_s):
            return Refusal(
                "preview-required",
                "you have not seen what this statement would change, as it is now",
                f"gateway approve {request.id} (it shows the rows, and asks)",
                name=request.id,
            )
        if any(previews.get(other, ("", at))[0] != seen for other in request.decided_by):
            return Refusal(
                "request-invalid",
                "an earlier approver saw something else: the ticket's customer or the policy has changed since",
                f"gateway deny {request.id}, and let it be filed again",
            )
        return write

    async def claim(self, session: Session, digest: str) -> Refusal | None:
        """Let the session run the one statement of its grant; None exactly once, until `release`.

        Whoever stops waiting for the answer has not got it: the statement is given back.
        """
        task = asyncio.get_running_loop().create_task(self._claim(session, digest))
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: self._unwanted(done, session, digest))
            raise

    def release(self, session: Session, digest: str) -> None:
        """Give back what `claim` gave this session, for a statement that certainly had no effect; carried out beside
        the caller, ahead of the next claim. In an outage the statement stays spent.
        """
        grant = session.grant
        if self._claims.get(grant.id) != (session.id, digest):
            return
        del self._claims[grant.id]
        task = asyncio.get_running_loop().create_task(self._give_back(session, digest))
        self._releases[grant.id] = task
        task.add_done_callback(lambda _: self._releases.pop(grant.id, None))
        self._keep(task)

    async def settled(self) -> None:
        """Wait for the studies, claims and releases that are under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def close(self) -> None:
        """Join the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _give_back(self, session: Session, digest: str) -> None:
        context, grant = self._context, session.grant
        # FAIL CLOSED: what cannot be recorded is not given back.
        with contextlib.suppress(GatewayError):
            await context.record("write.released", **session_fields(session), digest=context.keys.mark(digest))
            if await context.store(access.release_statement, grant.id, digest, session.id):
                self._register.spend(grant.id, False)

    async def _claim(self, session: Session, digest: str) -> Refusal | None:
        context, held = self._context, session.grant
        releasing = self._releases.get(held.id)
        if releasing is not None:
            await asyncio.wait({releasing})
        grant = self._register.grant(held.id)
        refusal = self._not_his(grant, session, digest) or self._check(session)
        if refusal is not None or grant is None:
            return refusal or _ask(held, "the grant is over")
        try:
            changed = await self._changed(grant)
            if changed is not None:
                return changed
            if not await context.store(access.claim_statement, grant.id, digest, session.id, context.clock()):
                return _ask(held, "the approved statement was let run already, or the grant is over")
            self._register.spend(grant.id, True)
            self._claims = {id_: by for id_, by in self._claims.items() if self._register.grant(id_) is not None}
            self._claims[grant.id] = session.id, digest
            await context.record("write.claimed", **session_fields(session), digest=context.keys.mark(digest))
            over = self._over(session) or self._check(session)
            if over is not None:
                self.release(session, digest)
            return over
        except GatewayError as error:
            return error.refusal

    async def _changed(self, grant: Grant) -> Refusal | None:
        """Why the grant's statement is not any more what its approvers saw."""
        request = await self._context.store(access.find_request, grant.request_id)
        policy = self._context.policies(grant.target)
        if request is None or policy is None:
            return _ask(grant, "the statement's request, or its target, is not there any more")
        write = await self.study_again(request, grant.customers)
        if isinstance(write, Refusal):
            return write
        previews = await self._context.store(access.list_previews, request.id)
        seen = {previews[by][0] if by in previews else "" for by in grant.approved_by}
        if seen != {mark_of(write, grant.customers, policy)}:
            return _ask(grant, "the policy, or what the statement refers to, has changed since it was approved")
        return None

    def _not_his(self, grant: Grant | None, session: Session, digest: str) -> Refusal | None:
        """Why the session may not run that statement, as far as this process knows."""
        held = session.grant
        if grant is None or not grant.write or not grant.statement:
            return self._over(session) or _ask(held, "this statement needs an approval of its own")
        if not hmac.compare_digest(grant.statement.encode(), digest.encode()):
            return self._over(session) or _ask(held, "this is not the statement that was approved")
        if grant.spent:
            return _ask(held, "the approved statement was let run already")
        return self._over(session)

    def _over(self, session: Session) -> Refusal | None:
        over = self._register.over(session.grant.id, session.pass_id, self._context.clock())
        return _ask(session.grant, over.message) if over is not None else None

    def _unwanted(self, claim: asyncio.Task[Refusal | None], session: Session, digest: str) -> None:
        """Give back a claim that nobody waited for."""
        if not claim.cancelled() and claim.exception() is None and claim.result() is None:
            self.release(session, digest)

    def _keep(self, work: asyncio.Future[Any]) -> None:
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)


def mark_of(write: Write, customers: tuple[str, ...], policy: Policy) -> str:
    """What a preview showed and an approval rests on, as a digest."""
    parts = (
        write.digest, write.verb, write.relation, *write.columns, str(write.rows), write.approval, write.preview,
        policy.digest, *sorted(customers),
    )  # fmt: skip
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def _ask(grant: Grant, message: str) -> Refusal:
    return Refusal(
        "approval-required",
        message,
        "have it approved, as it is: "
        f"gateway open {grant.ticket_id} --target {grant.target} --statement-file FILE --reason WHY",
    )
