"""The gate, with spans around what it does; made only where traces are on: elsewhere they cost nothing.

    login ─ session ─┬─ statement ─┬─ analyse     the text becomes a plan
                     │             ├─ append      until the begin record is durable
                     │             ├─ upstream    from admission to the end of the answer
                     └─ …          └─ settle      until the end record is durable

A span has the text of a statement, without literals, when it ran without an error: in one that did not, what stands
there as a name may be none.

INVARIANT: the gate's own methods decide; nothing here changes what they are given or what they return.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from gateway import semantics
from gateway.admitted import Admitted, Refused
from gateway.errors import Refusal
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Receipt, Session, Statement
from gateway.sql.cache import Judgement
from gateway.tracing import CLIENT, SERVER, Span, Tracer, span_of

_OPEN = 10_000


@dataclass(slots=True)
class _Open:
    """A statement under way, with the spans of it that are over."""

    id: bytes
    trace: str
    parent: bytes
    start_ns: int
    attributes: dict[str, Any]
    name: str


class TracedGate(Gate):
    """See the module. `tracer` takes the spans."""

    def __init__(self, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer
        self._began: dict[str, int] = {}
        self._open: dict[tuple[str, str], _Open] = {}
        self._judging: list[tuple[int, int, Judgement | Refusal]] | None = None

    def enter(self, session: Session) -> Admitted:
        """See `Gate`."""
        began = self._tracer.now()
        inside = super().enter(session)
        self._began[session.id] = began
        return inside

    def leave(self, inside: Admitted, reason: Refusal | None = None) -> None:
        """See `Gate`."""
        session = inside.session
        began = self._began.pop(session.id, None)
        try:
            super().leave(inside, reason)
        finally:
            if began is not None and session.trace:
                facts = {**_target(session), "gateway.statements": inside.statements, "gateway.rows": inside.rows}
                self._add(
                    "session", session, span_of(session.id), _login_of(session), began, SERVER, facts, _code(reason)
                )

    def judge(self, inside: Admitted, text: str) -> Judgement | Refusal:
        """See `Gate`."""
        if self._judging is None:
            return super().judge(inside, text)
        start = self._tracer.now()
        verdict = super().judge(inside, text)
        self._judging.append((start, self._tracer.now(), verdict))
        return verdict

    def admit(self, inside: Admitted, statement: Statement, judged: Judgement | None = None) -> Permit | Refused:
        """See `Gate`."""
        if not inside.session.trace or not self._tracer.chosen():
            return super().admit(inside, statement, judged)
        return self._timed(inside, statement, judged, lambda: super(TracedGate, self).admit(inside, statement, judged))

    def observe(self, inside: Admitted, statement: Statement, judged: Judgement) -> Permit | Refused:
        """See `Gate`."""
        if not inside.session.trace or not self._tracer.chosen():
            return super().observe(inside, statement, judged)
        return self._timed(
            inside, statement, judged, lambda: super(TracedGate, self).observe(inside, statement, judged)
        )

    def settle(self, inside: Admitted, permit: Permit, outcome: Outcome) -> Receipt:
        """See `Gate`."""
        found = self._open.pop((inside.session.id, permit.statement.id), None) if self._open else None
        if found is None:
            return super().settle(inside, permit, outcome)
        now = self._tracer.now()
        receipt = super().settle(inside, permit, outcome)
        counted = {"db.response.returned_rows": outcome.rows, "db.response.status_code": outcome.code or None}
        if inside.session.peer.engine == "http":
            counted = {"http.response.status_code": semantics.http_status(outcome.tag)}
        error = outcome.code or ("" if outcome.status == "ok" else outcome.status)
        whole = {**found.attributes, **counted, "gateway.status": outcome.status, "error.type": error or None}
        if error:
            whole["db.query.text"] = None
        self._child(found, "upstream", found.start_ns, now, CLIENT, whole, error)
        self._tracer.add(
            Span(found.name, found.trace, found.id, found.parent, found.start_ns, now, SERVER, whole, error)
        )
        receipt.add_done_callback(lambda _: self._child(found, "settle", now, self._tracer.now()))
        return receipt

    def _timed(
        self,
        inside: Admitted,
        statement: Statement,
        judged: Judgement | None,
        admit: Callable[[], Permit | Refused],
    ) -> Permit | Refused:
        start = self._tracer.now()
        looked: list[tuple[int, int, Judgement | Refusal]] = []
        self._judging = looked
        try:
            permit = admit()
        finally:
            self._judging = None
        verdict = judged or next((one for _, _, one in looked if isinstance(one, Judgement)), None)
        fields = _place(inside.session) | (verdict.fields if verdict is not None else {})
        facts = semantics.of_target(fields) | {"session.id": inside.session.id, "gateway.statement": statement.id}
        verb = str(facts.get("db.operation.name") or facts.get("http.request.method", "statement"))[:64]
        session = inside.session
        found = _Open(
            self._tracer.new_span(), session.trace, span_of(session.id), start, facts, f"{verb} {session.grant.target}"
        )
        for began, ended, _ in looked:
            self._child(found, "analyse", began, ended)
        admitted = self._tracer.now()
        if isinstance(permit, Refused):
            code = permit.refusal.code
            ended_facts = {**facts, "error.type": code, "db.query.text": None}
            self._tracer.add(
                Span(found.name, found.trace, found.id, found.parent, start, admitted, SERVER, ended_facts, code)
            )
            if permit.receipt is not None:
                permit.receipt.add_done_callback(lambda _: self._child(found, "append", admitted, self._tracer.now()))
            return permit
        if len(self._open) >= _OPEN:
            del self._open[next(iter(self._open))]
        self._open[session.id, statement.id] = found
        permit.receipt.add_done_callback(lambda _: self._child(found, "append", admitted, self._tracer.now()))
        return permit

    def _child(
        self, of: _Open, name: str, start: int, end: int, kind: Any = 1, facts: Any = None, error: str = ""
    ) -> None:
        self._tracer.add(Span(name, of.trace, self._tracer.new_span(), of.id, start, end, kind, facts, error))

    def _add(
        self, name: str, session: Session, span: bytes, parent: bytes, start: int, kind: Any, facts: Any, error: str
    ) -> None:
        self._tracer.add(Span(name, session.trace, span, parent, start, self._tracer.now(), kind, facts, error))


def make_gate(tracer: Tracer | None, **parts: Any) -> Gate:
    """The gate, with spans where there is somebody to take them."""
    return Gate(**parts) if tracer is None else TracedGate(tracer, **parts)


D = TypeVar("D")
Admit = Callable[..., Awaitable[Session | Refusal]]


def traced_doors(tracer: Tracer | None, doors: D) -> D:
    """The ways in, with a span for each try; `doors` is a dataclass with `admit_pass` and `admit_direct`."""
    if tracer is None:
        return doors
    ways = {name: _traced(tracer, name, getattr(doors, name)) for name in ("admit_pass", "admit_direct")}
    return replace(doors, **ways)  # type: ignore[type-var]  # it is one


def _traced(tracer: Tracer, name: str, admit: Admit) -> Admit:
    async def timed(*arguments: Any) -> Session | Refusal:
        start = tracer.now()
        found = await admit(*arguments)
        facts: dict[str, Any] = {"gateway.method": name.removeprefix("admit_")}
        if isinstance(found, Refusal):
            # who was refused proved nothing: neither his name nor what he asked for is taken down here
            facts["error.type"] = found.code
            trace, span = tracer.new_trace(), tracer.new_span()
        else:
            facts |= _target(found)
            trace, span = found.trace, _login_of(found)
        if trace:
            tracer.add(Span("login", trace, span, b"", start, tracer.now(), SERVER, facts, facts.get("error.type", "")))
        return found

    return timed


def _login_of(session: Session) -> bytes:
    return span_of(f"login {session.id}")


def _target(session: Session) -> dict[str, Any]:
    return semantics.of_target(_place(session)) | {"session.id": session.id}


def _place(session: Session) -> dict[str, Any]:
    return {"target": session.grant.target, "engine": session.peer.engine}


def _code(reason: Refusal | None) -> str:
    return reason.code if reason is not None else ""
