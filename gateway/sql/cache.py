"""Judged statements remembered: exact text first, then the template with its free literals lifted.

INVARIANT: a plan is found again only under the very view it was judged for: the view's key (policy, catalog, customers,
revealed columns, search path) is part of every key, so that one grant's plan can never serve another's.
The store is bounded in entries and in bytes of text; the least recently used go first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from gateway.errors import Refusal
from gateway.ports import Mark
from gateway.record import verdict_fields
from gateway.sql.said import SILENT, Said, either, in_text
from gateway.sql.statement import Plan, RawUse, View
from gateway.sql.template import FreeLiterals, Shape, Template, make_template, shape_of

_Key = tuple[Any, ...]


class Judgement(NamedTuple):
    """A plan, what every record of it repeats, and the text to send: the plan's, with this statement's own literals.

    `said` is what the client's text and values say, for the seal and for no record.
    """

    plan: Plan
    fields: dict[str, Any]
    text: str
    said: Said = SILENT


def plan_fields(plan: Plan, mark: Mark) -> dict[str, Any]:
    """What a plan adds to a record; literals are in none of it."""
    fields: dict[str, Any] = {
        "verb": "; ".join(plan.verbs),
        "sql": plan.normalised,
        "fingerprint": plan.fingerprint,
        "rewritten": plan.rewritten_normalised,
        "relations": list(plan.relations),
        "columns_clear": list(plan.columns_clear),
        "columns_masked": list(plan.columns_masked),
        "columns_revealed": list(plan.columns_revealed),
        "columns_aggregated": list(plan.columns_aggregated),
        "scope": list(plan.scope),
        "columns_written": [f"{plan.write.relation}.{one}" for one in plan.write.columns] if plan.write else [],
        "digest": mark(plan.write.digest) if plan.write else "",
        "searches": [f"{s.relation}.{s.column}" for s in plan.exact_searches],
        "notices": len(plan.notices) or None,
    }
    if plan.would is not None:
        fields |= would_fields(plan.would)
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def would_fields(refusal: Refusal) -> dict[str, Any]:
    """What a refusal that was not made adds to a record: lists, for what may be several statements has several."""
    verdict = verdict_fields(refusal)
    return {
        "would_codes": [verdict["code"]],
        "would_reasons": [verdict["reason"]],
        "would_names": [refusal.name] * bool(refusal.name),
    }


def union(first: Judgement, second: Judgement) -> Judgement:
    """What may be either: the second's plan, with what both read, search, name and reset.

    Used where a name is uncertain, or stands for a statement that runs another.
    """
    fields = dict(second.fields)
    for name, value in first.fields.items():
        if isinstance(value, list):
            fields[name] = sorted({*value, *fields.get(name, [])})
        elif name in ("sql", "rewritten") and value not in fields.get(name, ""):
            fields[name] = f"{value}; {fields.get(name, '')}"[:20_000]
    said = either(first.said, second.said)
    if first.plan is second.plan and first.fields is second.fields:
        return Judgement(second.plan, second.fields, second.text, said)
    one, other = first.plan, second.plan
    sure = one.write == other.write
    plan = replace(
        other,
        # FAIL CLOSED: what may or may not write is known to write, and not known what
        kinds=other.kinds if sure else tuple(dict.fromkeys(one.kinds + other.kinds)),
        write=other.write if sure else None,
        raw_uses=most(one.raw_uses, other.raw_uses),
        defines=tuple(dict.fromkeys(one.defines + other.defines)),
        uses=tuple(dict.fromkeys(one.uses + other.uses)),
        repin=one.repin or other.repin,
        explains=one.explains or other.explains,
        would=one.would or other.would,
        copies=one.copies or other.copies,
    )
    return Judgement(plan, fields, second.text, said)


def said_by(text: str, plan: Plan) -> Said:
    """What a text says beyond its record, by its plan."""
    if plan.conceals:
        return in_text(text, plan.subjects)
    return Said(subjects=plan.subjects) if plan.subjects else SILENT


def most(one: tuple[RawUse, ...], other: tuple[RawUse, ...]) -> tuple[RawUse, ...]:
    """The uses of raw values of either: as many of each as the one that has more of it."""
    return tuple((Counter(one) | Counter(other)).elements())


class PlanCache:
    """Remembers judgements of one grammar's `analyse`. Not thread-safe: the event loop's thread only."""

    def __init__(
        self,
        analyse: Callable[[str, View], Plan | Refusal],
        free_literals: FreeLiterals,
        mark: Mark,
        *,
        entries: int = 4096,
        text_bytes: int = 32 * 1024**2,
    ) -> None:
        self._analyse, self._free_literals, self._mark = analyse, free_literals, mark
        self._entries, self._text_bytes = entries, text_bytes
        self._held = 0
        self._judged: dict[_Key, Judgement] = {}
        self._templates: dict[_Key, tuple[Template, dict[str, Any]] | None] = {}
        self._shapes: dict[tuple[int, str], tuple[int, ...]] = {}
        self._unfit: set[tuple[int, str]] = set()
        self._views: dict[tuple[object, ...], int] = {}
        self.hits = 0
        self.misses = 0

    def view_number(self, view: View) -> int:
        """A small number that stands for the view's key as long as the process lives."""
        return self._views.setdefault(view.key, len(self._views))

    def judge(self, view: View, number: int, text: str) -> Judgement | Refusal:
        """The judgement of that text under that view, from memory where it is there. Refusals are never remembered."""
        return self.find(number, text) or self._judge(view, number, text)

    def find(self, number: int, text: str) -> Judgement | None:
        """The judgement of that text if it is remembered."""
        key = (number, text)
        found = self._judged.pop(key, None)
        if found is not None:
            self._judged[key] = found
            self.hits += 1
            return found
        shape = shape_of(text)
        if shape is not None:
            filled = self._filled(number, shape, text)
            if filled is not None:
                self.hits += 1
                return filled
        self.misses += 1
        return None

    def keep(self, number: int, text: str, plan: Plan) -> Judgement:
        """Remember a plan that was made elsewhere."""
        judgement = Judgement(plan, plan_fields(plan, self._mark), plan.rewritten, said_by(text, plan))
        self._keep((number, text), judgement)
        return judgement

    def _judge(self, view: View, number: int, text: str) -> Judgement | Refusal:
        plan = self._analyse(text, view)
        if isinstance(plan, Refusal):
            return plan
        judgement = Judgement(plan, plan_fields(plan, self._mark), plan.rewritten, said_by(text, plan))
        shape = shape_of(text)
        if shape is None or not self._learned(view, number, text, shape, judgement):
            self._keep((number, text), judgement)
        return judgement

    def _filled(self, number: int, shape: Shape, text: str) -> Judgement | None:
        fixed = self._shapes.get((number, shape.key))
        if fixed is None:
            return None
        found = self._templates.get((number, shape.key, _values(shape, fixed)))
        if found is None:
            return None
        template, fields = found
        said = Said((text,), template.subjects(shape.values))
        return Judgement(template.plan, fields, template.fill(shape.values), said)

    def _learned(self, view: View, number: int, text: str, shape: Shape, judgement: Judgement) -> bool:
        """Whether the text is a template's now. A shape is tried once for each set of fixed literals."""
        fixed = self._shapes.get((number, shape.key))
        if fixed is not None and (number, shape.key, _values(shape, fixed)) in self._templates:
            return False
        if (number, shape.key) in self._unfit:
            return False
        made = make_template(text, shape, judgement.plan, view, self._analyse, self._free_literals)
        if made is None:
            if len(self._unfit) >= self._entries:
                self._unfit.clear()
            self._unfit.add((number, shape.key))
            return False
        template, is_free = made
        if len(self._templates) >= self._entries or len(self._shapes) >= self._entries:
            # templates are few by nature; a flood of them starts anew
            self._templates.clear()
            self._shapes.clear()
        fixed = tuple(at for at, free in enumerate(is_free) if not free)
        self._shapes[(number, shape.key)] = fixed
        self._templates[(number, shape.key, _values(shape, fixed))] = template, judgement.fields
        return True

    def _keep(self, key: _Key, judgement: Judgement) -> None:
        cost = _cost(key, judgement)
        if cost > self._text_bytes // 16:
            return
        self._judged[key] = judgement
        self._held += cost
        while len(self._judged) > self._entries or self._held > self._text_bytes:
            oldest = next(iter(self._judged))
            self._held -= _cost(oldest, self._judged.pop(oldest))


def _cost(key: _Key, judgement: Judgement) -> int:
    return len(key[1]) + len(judgement.text) + len(judgement.plan.normalised)


def _values(shape: Shape, fixed: tuple[int, ...]) -> tuple[str, ...]:
    """The literals that a template's identity depends on."""
    return tuple([shape.values[at] for at in fixed]) if fixed else ()
