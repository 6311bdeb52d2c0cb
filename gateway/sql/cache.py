"""Judged statements remembered: exact text first, then the template with its free literals lifted.

INVARIANT: a plan is found again only under the very view it was judged for: the view's key (policy, catalog, customers,
revealed columns, search path) is part of every key, so that one grant's plan can never serve another's.
The store is bounded in entries and in bytes of text; the least recently used go first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.errors import Refusal
from gateway.sql.statement import Plan, View


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """A plan with what every record of it repeats."""

    plan: Plan
    fields: dict[str, Any]


def plan_fields(plan: Plan) -> dict[str, Any]:
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
        "scope": list(plan.scope),
        "searches": [f"{s.relation}.{s.column}" for s in plan.searches],
        "notices": len(plan.notices) or None,
    }
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def union(first: Judgement, second: Judgement) -> Judgement:
    """What may be either: the second's plan, with what both read and search. Used where a name is uncertain."""
    fields = dict(second.fields)
    for name, value in first.fields.items():
        if isinstance(value, list):
            fields[name] = sorted({*value, *fields.get(name, [])})
        elif name in ("sql", "rewritten") and value != fields.get(name):
            fields[name] = f"{value}; {fields.get(name, '')}"[:20_000]
    searches = tuple(dict.fromkeys(first.plan.searches + second.plan.searches))
    return Judgement(replace(second.plan, searches=searches), fields)


class PlanCache:
    """Remembers judgements of one `analyse` function. Not thread-safe: the event loop's thread only."""

    def __init__(
        self, analyse: Callable[[str, View], Plan | Refusal], *, entries: int = 4096, text_bytes: int = 32 * 1024**2
    ) -> None:
        self._analyse = analyse
        self._entries = entries
        self._text_bytes = text_bytes
        self._held = 0
        self._judged: dict[tuple[int, str], Judgement] = {}
        self._views: dict[tuple[object, ...], int] = {}
        self.hits = 0
        self.misses = 0

    def view_number(self, view: View) -> int:
        """A small number that stands for the view's key as long as the process lives."""
        return self._views.setdefault(view.key, len(self._views))

    def find(self, number: int, text: str) -> Judgement | None:
        """The judgement of that text under that view, if it is remembered."""
        key = (number, text)
        found = self._judged.pop(key, None)
        if found is None:
            self.misses += 1
            return None
        self._judged[key] = found
        self.hits += 1
        return found

    def judge(self, view: View, text: str) -> Judgement | Refusal:
        """Analyse the text, without remembering it: safe on any thread. Refusals are never remembered."""
        plan = self._analyse(text, view)
        return plan if isinstance(plan, Refusal) else Judgement(plan, plan_fields(plan))

    def keep(self, number: int, text: str, judgement: Judgement) -> None:
        """Remember a judgement; forget the oldest until the bounds hold again."""
        cost = len(text) + len(judgement.plan.rewritten) + len(judgement.plan.normalised)
        if cost > self._text_bytes // 16:
            return
        self._judged[(number, text)] = judgement
        self._held += cost
        while len(self._judged) > self._entries or self._held > self._text_bytes:
            oldest = next(iter(self._judged))
            gone = self._judged.pop(oldest).plan
            self._held -= len(oldest[1]) + len(gone.rewritten) + len(gone.normalised)
