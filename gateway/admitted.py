"""What the gate hands out besides permits: sessions that are inside, windows and refusals. No judgement."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import Refusal
from gateway.literals.seal import Seal
from gateway.model import Outcome, Receipt, Session, Statement
from gateway.record import Form
from gateway.sql.cache import Judgement
from gateway.sql.named import SqlNames
from gateway.sql.observed import verdict_of
from gateway.sql.said import SILENT
from gateway.sql.statement import View
from gateway.sql.worker import is_short

_FORMS = 64
_BEGIN = ("statement", "protocol", "parameters", "window_rows", "window_bytes")
_KEPT = ((), ("sealed",), ("subjects",), ("sealed", "subjects"))
_END = ("statement", "begin", "rows", "bytes", "duration_us")


@dataclass(frozen=True, slots=True)
class Windows:
    """How much of a result one record announces; each further window doubles the total."""

    rows: int = 1000
    bytes: int = 1024 * 1024


@dataclass(slots=True, eq=False)
class Admitted:
    """A session inside: what is fixed for its life, and its running totals.

    `claimed` is the digest of the approved statement that may run next; `unclaimed` why it may not.
    `names` remembers what SQL-level cursors and prepared statements read, for the records of FETCH and EXECUTE.
    """

    session: Session
    view: View
    number: int
    fields: dict[str, Any]
    begin: Receipt
    started_ns: int
    seal: Seal
    studied: tuple[str, Judgement | Refusal] | None = None
    claimed: str = ""
    unclaimed: Refusal | None = None
    statements: int = 0
    rows: int = 0
    bytes: int = 0
    names: SqlNames = field(default_factory=SqlNames)
    forms: dict[Any, tuple[Any, Form]] = field(default_factory=dict)

    def begin_record(
        self, judged: Judgement, statement: Statement, rows: int, size: int
    ) -> tuple[Form, tuple[int | str, ...]]:
        """The begin record of a statement: its form, and the values of this one. Raises `GatewayError`."""
        values: tuple[int | str, ...] = (statement.id, statement.protocol, statement.parameters, rows, size)
        said = judged.said
        if said is SILENT:
            return self._begin_form(judged, 0), values
        sealed, subjects = self.seal.of(said, statement.id, self.view.policy)
        if sealed:
            values += (sealed, subjects) if subjects else (sealed,)
        elif subjects:
            values += (subjects,)
        return self._begin_form(judged, bool(sealed) + 2 * bool(subjects)), values

    def refusal(self, judged: Judgement | None, statement: Statement) -> dict[str, Any]:
        """What the record of a refusal says of what came with the statement. Raises `GatewayError`."""
        return self.seal.refused(statement, judged, self.view.policy, read=is_short(statement.text))

    def _begin_form(self, judged: Judgement, kept: int) -> Form:
        """The begin records of a plan in this session; `kept` is which of `_KEPT` they have."""
        # the fields of a judgement are one object for all statements of a template
        key = id(judged.fields), kept
        found = self.forms.get(key)
        if found is not None:
            return found[1]
        verdict = {"decision": "permit", "policy": self.view.policy.digest, **judged.plan.counted}
        if self.view.policy.observed:
            verdict |= verdict_of(judged)
        form = Form("statement.begin", (self.fields, judged.fields, verdict), _BEGIN + _KEPT[kept])
        if judged.plan.uses:
            # what its names stand for may be different the next time
            return form
        if len(self.forms) >= _FORMS:
            self.forms.clear()
        self.forms[key] = judged.fields, form
        return form

    def end_form(self, outcome: Outcome) -> Form:
        """The end records of this session's statements with that outcome, apart from their numbers."""
        key = outcome.status, outcome.code, bool(outcome.tag)
        found = self.forms.get(key)
        if found is not None:
            return found[1]
        constant = {"session": self.session.id, "status": outcome.status}
        if outcome.code:
            constant["sqlstate"] = outcome.code
        form = Form("statement.end", (constant,), (*_END, "tag") if outcome.tag else _END)
        if len(self.forms) >= _FORMS:
            self.forms.clear()
        self.forms[key] = None, form
        return form


@dataclass(frozen=True, slots=True)
class Claims:
    """Approvals of single statements. `claim` spends one for good, or says why there is none; `release` gives one back
    that certainly had no effect.
    """

    claim: Callable[[Session, str], Awaitable[Refusal | None]]
    release: Callable[[Session, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """A denial with the receipt of its record; it is shown once the record is durable."""

    refusal: Refusal
    receipt: Receipt | None


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """What may leave once `receipt` is durable, counted from the statement's start."""

    receipt: Receipt
    rows: int
    bytes: int


class Settled:
    """The receipt of what needs no record of its own: already durable."""

    __slots__ = ()
    index = -1
    durable = True
    failed = False

    def add_done_callback(self, callback: Callable[[Receipt], Any]) -> None:
        """Call back at once."""
        callback(self)


SETTLED = Settled()
