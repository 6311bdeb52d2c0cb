"""What a request would do, shown to whoever has to decide about it.

Of a statement it is the rows that it would meet; of a request to see columns in clear, how many rows there are to see;
of fields of an API's answers, which they are, in answers to what, and how they are masked now.
A preview is a disclosure: it needs the rights of a decision and a recent second factor, is recorded before it is made,
and is read through the gate like anybody's statement, in a session of its own that lives for seconds, holds no pass
and can only read. The rows are masked and scoped as the request's grant would show them.

INVARIANT: who files a request learns nothing from it. His own preview shows what he could read anyway: only while he
has, or would get without an approver, access to read, and without the columns that the request asks to reveal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from gateway.access.context import Context, where, who
from gateway.access.deciding import Decisions
from gateway.access.passes import Register
from gateway.access.records import named, writing_fields
from gateway.access.request import Move, is_fresh, overdue, same_person, stale_factor
from gateway.access.sight import Sight
from gateway.access.values import Earlier, Judged, Previewed, Reveal, Shown, SignIn
from gateway.access.watch import Watch
from gateway.access.workflow import Workflow
from gateway.access.writing import Writing, mark_of
from gateway.errors import GatewayError, Refusal
from gateway.model import AccessRequest, Grant, GrantState, Peer, Preview, Principal, RequestState, Session, Write
from gateway.policy.http_rules import STREAMED, HttpRules
from gateway.policy.http_values import written
from gateway.record import verdict_fields
from gateway.store import access

Look = Callable[[Session, str], Awaitable[Preview | Refusal]]
"""Runs a SELECT through the gate for that session."""

LIFE_S = 60.0
"""How long a preview may take."""

EARLIER = timedelta(days=30)
"""How far an approver looks back over what somebody asked for; for the same customers, over a year."""
_MOST_EARLIER = 20


class Previews:
    """Shows requests, and what their statements would change."""

    def __init__(
        self, context: Context, register: Register, watch: Watch, workflow: Workflow, writing: Writing, look: Look,
        sight: Sight, decisions: Decisions,
    ) -> None:  # fmt: skip
        self._context, self._register, self._watch = context, register, watch
        self._workflow, self._writing, self._look = workflow, writing, look
        self._sight, self._decisions = sight, decisions

    async def show(self, signin: SignIn, request_id: str) -> Shown | Refusal:
        """A request as it stands now. Raises `GatewayError` when the ticket or the directory cannot be asked."""
        context, viewer = self._context, signin.principal
        request = await context.store(access.find_request, request_id)
        if request is None or not await self._sight.sees_request(viewer, request):
            return _no_request()
        requester = await context.by_id(request.person)
        ticket = await context.ticket(request.ticket_id)
        earlier = await self._earlier(viewer, request, ticket.customers if ticket else ())
        if not await self._may_read(viewer, request, requester):
            return Shown(replace(request, statement=""), requester, ticket, False, earlier=earlier)
        shown = Shown(request, requester, ticket, True, earlier=earlier)
        if request.state is not RequestState.PENDING:
            return shown
        try:
            judged = await self._judged(request, requester)
            if isinstance(judged, Refusal):
                return replace(shown, problem=judged)
            write = await self._writing.study_again(request, judged.ticket.customers) if request.statement else None
        except GatewayError as error:
            return replace(shown, problem=error.refusal)
        return replace(shown, problem=write) if isinstance(write, Refusal) else replace(shown, write=write)

    async def preview(self, signin: SignIn, request_id: str, peer: Peer, in_name_of: str = "") -> Previewed | Refusal:
        """What the statement of a waiting request would change; an approver may rely on it for a while.

        Raises `GatewayError` for an outage.
        """
        context = self._context
        request = await context.store(access.find_request, request_id)
        if request is None or not await self._sight.sees_request(signin.principal, request):
            return _no_request()
        by = await context.present(signin.principal.id)
        if isinstance(by, Refusal):
            return by
        ready = await self._ready(signin, by, request, in_name_of)
        if isinstance(ready, Refusal):
            await self._record(signin, by, request, peer, refusal=ready)
            return ready
        judged, write, reveal = ready
        if write is None and judged.policy.http is not None:
            # nothing is asked of an API for it: which requests it would answer, only their sender knows
            await self._record(signin, by, request, peer, reveal=reveal)
            return Previewed(request, None, fields_of(judged.policy.http, request.reveal))
        session = self._session(signin, by, request, judged, reveal, peer)
        await self._record(signin, by, request, peer, session=session, write=write)
        if write is None:
            counted = await self._counted(session, request.reveal)
            return counted if isinstance(counted, Refusal) else Previewed(request, None, counted)
        shown: Preview | Refusal = Preview((), ())
        if write.preview:
            with self._watch.visit(session, LIFE_S):
                shown = await self._look(session, write.preview)
        if isinstance(shown, Refusal):
            return shown
        if by.id != request.person:
            mark = mark_of(write, judged.ticket.customers, judged.policy)
            if not await context.store(access.put_preview, request.id, by.id, mark, context.clock()):
                return Refusal("request-invalid", "the request was decided meanwhile", "look at it again")
        return Previewed(request, write, shown)

    async def _ready(
        self, signin: SignIn, by: Principal, request: AccessRequest, in_name_of: str
    ) -> tuple[Judged, Write | None, Reveal] | Refusal:
        """What may be shown to `by`, and the columns in clear."""
        context = self._context
        now, fresh_s = context.clock(), context.settings.fresh.approve
        policy = context.policies(request.target)
        if policy is None:
            return _no_request()
        if not request.statement and not request.reveal:
            return Refusal(
                "request-invalid", "the request names neither a statement nor a column: there is nothing to show"
            )
        if request.state is not RequestState.PENDING or overdue(request, now, context.settings.pending_life_s):
            return Refusal("request-invalid", "the request does not wait any more", "look at it again")
        if not is_fresh(signin.factor_at, now, fresh_s):
            return stale_factor(fresh_s)
        requester = await context.by_id(request.person)
        reveal = request.reveal
        if by.id == request.person:
            if not await self._reads(by, request):
                return Refusal(
                    "approval-required", "you have no access to read these rows yet",
                    "an approver sees them and decides; afterwards your client shows them",
                )  # fmt: skip
            reveal = frozenset()
        else:
            found = await self._decisions.standpoint(signin, by, request, policy, Move.APPROVE, in_name_of)
            if isinstance(found, Refusal):
                return found
        judged = await self._judged(request, requester)
        if isinstance(judged, Refusal):
            return judged
        if not request.statement:
            return judged, None, reveal
        write = await self._writing.study_again(request, judged.ticket.customers)
        return write if isinstance(write, Refusal) else (judged, write, reveal)

    async def _counted(self, session: Session, reveal: Reveal) -> Preview | Refusal:
        """How many rows of each relation with such a column there are for the ticket's customer."""
        rows = []
        with self._watch.visit(session, LIFE_S):
            for relation in sorted({relation for relation, _ in reveal}):
                policy = self._context.policies(session.grant.target)
                mark = '"' if policy is None or policy.dialect == "postgres" else "`"
                name = ".".join(mark + part.replace(mark, mark * 2) + mark for part in relation.split(".", 1))
                found = await self._look(session, f"SELECT count(*) AS {mark}rows{mark} FROM {name}")  # noqa: S608 - quoted
                if isinstance(found, Refusal):
                    return found
                rows.append((relation, found.rows[0][0] if found.rows else None))
        return Preview(("relation", "rows"), tuple(rows))

    async def _may_read(self, viewer: Principal, request: AccessRequest, requester: Principal | None) -> bool:
        """Whether the viewer may read a request's statement: who filed it, and who may decide about it."""
        policy = self._context.policies(request.target)
        if viewer.id == request.person:
            return True
        if policy is None or same_person(viewer, requester):
            return False
        return await self._sight.delegations.may_decide(viewer, request, policy)

    async def _earlier(
        self, viewer: Principal, request: AccessRequest, customers: tuple[str, ...]
    ) -> tuple[Earlier, ...]:
        """What the requester asked for before, as far as the viewer sees it: lately, or for the same customers."""
        known = await self._context.store(
            access.earlier_requests, request.person, request.created_at - 12 * EARLIER, request.created_at
        )
        found, seen = [], dict[str, bool]()
        for one, opened in known:
            same = bool(set(opened) & set(customers)) or one.ticket_id == request.ticket_id
            if one.id == request.id or not (same or one.created_at >= request.created_at - EARLIER):
                continue
            if one.target not in seen:
                seen[one.target] = await self._sight.sees_request(viewer, one)
            if seen[one.target]:
                found.append(Earlier(replace(one, statement=""), same))
        return tuple(found[:_MOST_EARLIER])

    async def _judged(self, request: AccessRequest, requester: Principal | None) -> Judged | Refusal:
        if requester is None or not requester.active:
            return Refusal("person-inactive", "the requester is not active any more")
        return await self._workflow.judge(
            requester, request.target, request.ticket_id, request.reveal, write=request.write,
            statement=bool(request.statement),
        )  # fmt: skip

    async def _reads(self, person: Principal, request: AccessRequest) -> bool:
        """Whether the person has access to read for the ticket as it is now, or would get it by asking."""
        judged = await self._workflow.judge(person, request.target, request.ticket_id)
        if isinstance(judged, Refusal):
            return False
        live = self._register.live(person.id, request.target, request.ticket_id, self._context.clock())
        return judged.approve or any(set(grant.customers) == set(judged.ticket.customers) for grant in live)

    def _session(
        self, signin: SignIn, by: Principal, request: AccessRequest, judged: Judged, reveal: Reveal, peer: Peer
    ) -> Session:
        """A session to read in, under a grant that is in no register and in no store."""
        now = self._context.clock()
        grant = Grant(
            self._context.new_id("preview"), request.id, by.id, request.target, judged.ticket.system, judged.ticket.id,
            judged.ticket.customers, reveal, False, GrantState.ACTIVE, now, now + timedelta(seconds=LIFE_S),
        )  # fmt: skip
        origin = replace(peer, application="preview of a request")
        return Session(
            self._context.new_id("session"),
            by,
            grant,
            judged.ticket,
            None,
            signin.factor,
            signin.factor_at,
            origin,
            now,
        )

    async def _record(
        self, signin: SignIn, by: Principal, request: AccessRequest, peer: Peer, *, session: Session | None = None,
        write: Write | None = None, refusal: Refusal | None = None, reveal: Reveal = frozenset(),
    ) -> None:  # fmt: skip
        context = self._context
        verdict = verdict_fields(refusal) if refusal else {"decision": "permit"}
        age = context.clock() - signin.factor_at
        grant = session.grant if session else None
        await context.record(
            "request.preview", **who(by), **where(peer), **verdict, target=request.target, request=request.id,
            ticket_system=request.ticket_system, ticket=request.ticket_id, grant=grant.id if grant else "",
            customers=list(grant.customers) if grant else [], reveal=named(grant.reveal if grant else reveal),
            session=session.id if session else "", factor=signin.factor, factor_age_s=max(0, int(age.total_seconds())),
            **writing_fields(context, write, request),
        )  # fmt: skip


def fields_of(rules: HttpRules, reveal: Reveal) -> Preview:
    """What a request to see fields of an API's answers in clear is about: each field, of which request, as masked now.

    `of many at once` says whether one answer shows it of all records that are listed, or of one.
    """
    rows: dict[tuple[str | None, ...], None] = {}
    for route in rules.routes:
        for answer in route.answers:
            for rule in answer.fields:
                path = written(rule.path)
                if rule.reveal and (route.name, path) in reveal:
                    row = f"{route.name}.{path}", f"{route.method} /{'/'.join(route.template)}", rule.mask.kind
                    rows[(*row, "yes" if "*" in rule.path or answer.media in STREAMED else "")] = None
    return Preview(FIELDS_SHOWN, tuple(rows))


FIELDS_SHOWN = ("field", "request", "masked now as", "of many at once")
"""What is shown of each field. The first tells it from a count of rows."""


def _no_request() -> Refusal:
    return Refusal("not-found", "there is no such request, or it is not yours to see")
