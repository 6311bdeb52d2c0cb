"""The only road from a statement to a target. Read this file to know what the gateway lets through.

    enter    an authenticated session begins: its record is appended, its view fixed
    study    a long text is analysed elsewhere, ahead of its turn
    claim    the approval of a writing statement is spent, ahead of its turn
    judge    a text becomes a plan under that view, or a refusal (cached by text and view)
    admit    the grant still lives -> the plan is one that may run -> a begin record is appended -> a Permit
    observe  of an observed target: the grant still lives -> a begin record says what `admit` would -> a Permit
    extend   more rows than announced are about to leave: a window record is appended first
    settle   a permitted statement ended: its end record is appended
    leave    the session ended

INVARIANT: only `admit`, `observe` and `prepare` make a `Permit`, the first two after the trail took the begin record.
INVARIANT: the engine forwards nothing that `observe` permits before the permit's receipt is durable.
INVARIANT: a statement that needs an approval of its own is admitted once for a claim, which spends the approval.
INVARIANT: the engine forwards a statement that writes only when the permit's receipt is durable, and lets its
completion leave only when its end record is.
INVARIANT: the engine releases nothing of a permit's result before the permit's receipt is durable, and nothing
beyond the announced window before the window's receipt is.
# FAIL CLOSED: a trail that cannot take a record raises; the raise becomes a refusal that ends the session.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gateway import record
from gateway.admitted import SETTLED, Admitted, Claims, Refused, Window, Windows
from gateway.budgets import Budgets
from gateway.errors import GatewayError, Refusal
from gateway.floods import Floods
from gateway.literals.seal import Seals
from gateway.model import Outcome, Permit, Receipt, Session, Statement, Write
from gateway.ports import Trail
from gateway.sql.cache import Judgement, PlanCache
from gateway.sql.observed import as_it_runs, denied
from gateway.sql.statement import View
from gateway.sql.worker import Workers, is_short

_NAMES = 1000
_RUNS = ("simple", "execute", "function")
_PROTECTED = Refusal("internal-error", "the target is protected; what is not analysed does not reach it")
_SYNC_FIRST = "send Sync before it is used, or give it a name of its own"
_ANOTHER = "`gateway open TICKET --statement 'the statement'` asks for the approval of exactly that"


class Gate:
    """Decides for each statement. One for each process; the event loop's thread only."""

    def __init__(
        self,
        *,
        trail: Trail,
        check: Callable[[Session], Refusal | None],
        view: Callable[[Session], View],
        plans: PlanCache,
        normalise: Callable[[str, View], str],
        workers: Workers,
        budgets: Budgets,
        claims: Claims,
        windows: Windows,
        seals: Seals,
    ) -> None:
        self._trail = trail
        self._check = check
        self._view = view
        self._plans = plans
        self._normalise = normalise
        self._workers = workers
        self._budgets = budgets
        self._claims = claims
        self._windows, self._seals = windows, seals
        self.floods = Floods(trail)
        self.entered = self.permitted = self.refused = 0

    def enter(self, session: Session) -> Admitted:
        """Begin a session. Raises `GatewayError` when the trail or the target's view is not to be had."""
        view = self._view(session)
        fields, seal = record.session_fields(session), self._seals.of(session)
        protection, glass = "none" if view.policy.observed else "masked", session.grant.break_glass or None
        about = {"policy": view.policy.digest, "protection": protection, "break_glass": glass}
        begin = self._trail.append(record.event("session.begin", **fields, **about))
        self.entered += 1
        return Admitted(session, view, self._plans.view_number(view), fields, begin, time.monotonic_ns(), seal)

    def connected(self, inside: Admitted, backend: Mapping[str, int | str]) -> None:
        """Record which process of the target serves the session. Raises `GatewayError("audit-not-writable")`."""
        about = {"session": inside.session.id, "target": inside.session.grant.target}
        self._trail.append(record.event("session.connected", **about, **backend), urgent=False)

    def renew(self, inside: Admitted) -> None:
        """Read the session's further statements with the target's catalog as it is now."""
        inside.view = self._view(inside.session)
        inside.number = self._plans.view_number(inside.view)
        inside.studied = None

    def is_current(self, inside: Admitted) -> bool:
        """Whether the policy of the session's view is still in force."""
        return self._view(inside.session).policy is inside.view.policy

    def needs_study(self, inside: Admitted, text: str) -> bool:
        """Whether the text is too long to be analysed in place, and unknown: `study` it before it is judged."""
        if inside.studied is not None and inside.studied[0] == text:
            return False
        return not is_short(text) and self._plans.find(inside.number, text) is None

    async def study(self, inside: Admitted, text: str) -> None:
        """Analyse a long text in a worker. What comes of it is what `judge` answers for this text next."""
        while True:
            number = inside.number
            plan = await self._workers.analyse(text, inside.view, inside.session.principal.id)
            if number == inside.number:  # else the view was renewed meanwhile, and the plan is one of the old view
                break
        verdict = plan if isinstance(plan, Refusal) else self._plans.keep(number, text, plan)
        inside.studied = text, verdict

    def needs_claim(self, inside: Admitted, judged: Judgement | Refusal | None) -> bool:
        """Whether the statement runs only under an approval of its own that is not claimed yet: `claim` it first."""
        if judged is None or isinstance(judged, Refusal) or judged.plan.write is None:
            return False
        return judged.plan.write.approval == "statement" and not inside.claimed and inside.unclaimed is None

    async def claim(self, inside: Admitted, judged: Judgement) -> None:
        """Spend the approval of a statement; what comes of it is what `admit` finds next."""
        assert judged.plan.write is not None
        digest = judged.plan.write.digest
        try:
            inside.unclaimed = self._living(inside) or await self._claims.claim(inside.session, digest)
        except GatewayError as error:
            inside.unclaimed = error.refusal
        inside.claimed = digest if inside.unclaimed is None else ""

    def judge(self, inside: Admitted, text: str) -> Judgement | Refusal:
        """The plan of that text under the session's view, remembered for the next time."""
        if inside.studied is not None and inside.studied[0] == text:
            return inside.studied[1]
        return self._plans.judge(inside.view, inside.number, text)

    def prepare(self, inside: Admitted, statement: Statement) -> tuple[Permit, Judgement] | Refused:
        """Let a text be prepared. Nothing runs and no row leaves, so only a refusal is recorded."""
        judged = self._living(inside) or self.judge(inside, statement.text)
        if isinstance(judged, Refusal):
            return self.refuse(inside, statement, judged)
        refusal = self._runnable(inside, judged, runs=False)
        if refusal is not None:
            return self.refuse(inside, statement, refusal, judged)
        return self._permit(inside, statement, judged, SETTLED, 0, 0), judged

    def admit(self, inside: Admitted, statement: Statement, judged: Judgement | None = None) -> Permit | Refused:
        """Let a statement run, once: the begin record is appended and announces the first window."""
        refusal = self._living(inside)
        if refusal is not None:
            return self.refuse(inside, statement, refusal, judged)
        verdict = judged or self.judge(inside, statement.text)
        if not isinstance(verdict, Refusal) and verdict.plan.uses:
            verdict = inside.names.resolve(verdict)
        if isinstance(verdict, Refusal):
            return self.refuse(inside, statement, verdict, judged)
        plan = verdict.plan
        refusal = self._runnable(inside, verdict) or self._budgets.admit(inside.session, inside.view.policy, plan)
        if refusal is not None:
            return self.refuse(inside, statement, refusal, verdict)
        policy = inside.view.policy
        rows, size = self._budgets.window(inside.session, policy, statement.id, self._windows.rows, self._windows.bytes)
        try:
            receipt = self._trail.append_form(*inside.begin_record(verdict, statement, rows, size))
            for search in plan.exact_searches:
                receipt = self._trail.append(
                    record.event(
                        "search.exact",
                        **inside.fields,
                        statement=statement.id,
                        relation=search.relation,
                        column=search.column,
                    )
                )
            if self._budgets.warnings:
                self._warn(inside)
        except GatewayError as error:
            return Refused(_ending(error.refusal), None)
        inside.claimed = ""
        for name in plan.defines:
            inside.names.define(name, verdict)
        inside.statements += 1
        self.permitted += 1
        return self._permit(inside, statement, verdict, receipt, rows, size)

    def observe(self, inside: Admitted, statement: Statement, judged: Judgement) -> Permit | Refused:
        """Let a statement of an observed target run as it came: once its begin record is durable, and not before.

        Messages that run nothing (`prepare`, `bind`, what comes unasked) are announced without rows.
        """
        if not inside.view.policy.observed:
            # FAIL CLOSED: what is protected has no road but `admit`, whatever an engine takes it for
            return self.refuse(inside, statement, _ending(_PROTECTED), judged)
        policy = inside.view.policy
        refusal = self._living(inside)
        if refusal is not None:
            return self.refuse(inside, statement, _ending(refusal), judged)
        resolved = inside.names.resolve(judged) if judged.plan.uses else judged
        judged = denied(judged, resolved) if isinstance(resolved, Refusal) else resolved
        spent = self._budgets.admit(inside.session, policy, judged.plan)
        judged = as_it_runs(judged, self._runnable(inside, judged) or spent)
        rows = self._windows.rows if statement.protocol in _RUNS else 0
        rows, size = self._budgets.window(inside.session, policy, statement.id, rows, self._windows.bytes)
        try:
            receipt = self._trail.append_form(*inside.begin_record(judged, statement, rows, size))
        except GatewayError as error:
            return Refused(_ending(error.refusal), None)
        for name in judged.plan.defines if len(inside.names) < _NAMES else ():
            inside.names.define(name, judged)
        inside.statements += 1
        self.permitted += 1
        return self._permit(inside, statement, judged, receipt, rows, size)

    def sent_in(self, inside: Admitted, permit: Permit, size: int, digest: str = "") -> Receipt:
        """Announce that so many bytes of what a client sends in are about to take effect. Raises `GatewayError`."""
        facts = {"session": inside.session.id, "statement": permit.statement.id, "bytes_in": size, "digest": digest}
        return self._trail.append(record.event("statement.window", **facts))

    def extend(self, inside: Admitted, permit: Permit, rows: int, size: int, digest: str = "") -> Window | Refusal:
        """Announce that more than `rows` rows or `size` bytes of a permit's result will leave."""
        policy = inside.view.policy
        wished = max(permit.window_rows, rows) * 2, max(permit.window_bytes, size) * 2
        allowed = self._budgets.extend(inside.session, policy, permit.statement.id, (rows, size), wished)
        if isinstance(allowed, Refusal) and not policy.observed:
            return allowed
        more_rows, more_size = wished if isinstance(allowed, Refusal) else allowed
        facts = {"session": inside.session.id, "statement": permit.statement.id}
        more = {"window_rows": more_rows, "window_bytes": more_size, "digest": digest}
        try:
            receipt = self._trail.append(record.event("statement.window", **facts, **more))
        except GatewayError as error:
            return _ending(error.refusal)
        return Window(receipt, more_rows, more_size)

    def settle(self, inside: Admitted, permit: Permit, outcome: Outcome) -> Receipt:
        """Record how a permitted statement ended. Raises `GatewayError("audit-not-writable")`."""
        inside.rows += outcome.rows
        inside.bytes += outcome.bytes
        self._budgets.spend(inside.session, inside.view.policy, permit.statement.id, outcome.rows, outcome.bytes)
        if self._budgets.warnings:
            self._warn(inside)
        if outcome.bytes_in or outcome.digest:
            ended = record.end_event(inside.session.id, permit, outcome)
            return self._trail.append(ended, urgent=bool(outcome.digest))
        values: tuple[int | str, ...] = (
            permit.statement.id, permit.receipt.index, outcome.rows, outcome.bytes, outcome.duration_us
        )  # fmt: skip
        if outcome.tag:
            values += (outcome.tag,)
        write = permit.plan.write
        # skipped: what stood before it in its batch failed
        if write is not None and write.approval == "statement" and outcome.status in ("error", "skipped"):
            self._claims.release(inside.session, write.digest)
        return self._trail.append_form(inside.end_form(outcome), values, urgent=write is not None)

    def refuse(
        self, inside: Admitted, statement: Statement, refusal: Refusal, judged: Judgement | None = None
    ) -> Refused:
        """Record a denial; it may be shown once the receipt is durable."""
        self.refused += 1
        self._forgo(inside)
        text = statement.text if judged is None and is_short(statement.text) else ""
        fields = judged.fields if judged is not None else {"sql": text and self._normalise(text, inside.view)}
        try:
            receipt = self._trail.append(
                record.event(
                    "statement.refused",
                    **inside.fields,
                    **fields,
                    **record.verdict_fields(refusal),
                    **inside.refusal(judged, statement),
                    statement=statement.id,
                    protocol=statement.protocol,
                    policy=inside.view.policy.digest,
                    name=refusal.name,
                )
            )
        except GatewayError as error:
            return Refused(_ending(error.refusal), None)
        return Refused(refusal, receipt)

    def leave(self, inside: Admitted, reason: Refusal | None = None) -> None:
        """End a session. Raises `GatewayError("audit-not-writable")`."""
        self._forgo(inside)
        self._trail.append(
            record.event(
                "session.end",
                session=inside.session.id,
                target=inside.session.grant.target,
                person=inside.session.principal.id,
                login=inside.session.principal.login,
                ticket=inside.session.grant.ticket_id,
                status="cut" if reason is not None else "ok",
                code=reason.code if reason is not None else None,
                reason=reason.message if reason is not None else None,
                statements=inside.statements,
                rows=inside.rows,
                bytes=inside.bytes,
                duration_us=(time.monotonic_ns() - inside.started_ns) // 1000,
            )
        )

    def _warn(self, inside: Admitted) -> None:
        for warning in self._budgets.warnings:
            facts = {"budget": warning.budget, "used": warning.used, "limit": warning.limit}
            self._trail.append(record.event("budget.warning", **inside.fields, **facts), urgent=False)
        self._budgets.warnings.clear()

    def _living(self, inside: Admitted) -> Refusal | None:
        refusal = self._check(inside.session)
        return None if refusal is None else _ending(refusal)

    def _forgo(self, inside: Admitted) -> None:
        """Give an approval back that was claimed and not used, and forget why there was none."""
        if inside.claimed:
            self._claims.release(inside.session, inside.claimed)
        inside.claimed, inside.unclaimed = "", None

    def _runnable(self, inside: Admitted, judged: Judgement, *, runs: bool = True) -> Refusal | None:
        if judged.plan.defines and len(inside.names) >= _NAMES:
            return Refusal("statement-too-complex", f"a session may name {_NAMES} cursors and prepared statements")
        if judged.plan.would is not None:
            return judged.plan.would
        if judged.plan.writes:
            return _writable(inside, judged.plan.write, runs=runs)
        return None

    def _permit(
        self, inside: Admitted, statement: Statement, judged: Judgement, receipt: Receipt, rows: int, size: int
    ) -> Permit:
        plan = judged.plan
        return Permit(
            statement, inside.session, judged.text, plan, receipt, rows, size, time.monotonic_ns(), plan.notices
        )


def _writable(inside: Admitted, write: Write | None, *, runs: bool) -> Refusal | None:
    """Why a statement that writes may not run now; None when it may. One that does not run yet needs no claim."""
    grant = inside.session.grant
    if write is None:
        # FAIL CLOSED: the name may stand for several statements, and one of them writes
        return Refusal("statement-not-allowed", "which statement the name stands for is not certain", _SYNC_FIRST)
    if not grant.write:
        return Refusal("read-only", "this grant is for reading", hint="ask for one that may write")
    if write.approval == "request" and not grant.statement:
        return None
    if write.approval == "request" or write.parameters:
        return Refusal("approval-required", "this grant is for one statement, written out", _ANOTHER)
    if inside.claimed == write.digest or not runs:
        return None
    return inside.unclaimed or Refusal("approval-required", "this statement needs an approval of its own", _ANOTHER)


def _ending(refusal: Refusal) -> Refusal:
    """The same refusal, ending the session."""
    return Refusal(refusal.code, refusal.message, refusal.hint, refusal.detail, refusal.name, refusal.position, True)
