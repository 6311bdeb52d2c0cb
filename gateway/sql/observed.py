"""Judgements of statements that run whatever they say: for observed targets, and for their records alone.

INVARIANT: no field carries a literal; of a text that cannot be told apart into names and values, no word is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.errors import Refusal
from gateway.sql.cache import Judgement, plan_fields, would_fields
from gateway.sql.said import SILENT, Said, in_text
from gateway.sql.statement import Plan


def unread(refusal: Refusal, said: Said = SILENT, *, copies: bool = False, **facts: Any) -> Judgement:
    """What is known of a statement whose text is not there, or cannot be read: why not, and the given facts."""
    plan = Plan("", (), (), "", "", "", would=refusal, copies=copies)
    return Judgement(plan, plan_fields(plan, str) | facts, "", said)


def as_judged(verdict: Judgement | Refusal, text: str | bytes, *, copies: bool) -> Judgement:
    """A verdict as it counts here: it holds no outgoing text, since none is ever sent."""
    if isinstance(verdict, Refusal):
        return unread(verdict, in_text(text), copies=copies)
    return Judgement(verdict.plan, verdict.fields, "", verdict.said)


def denied(judged: Judgement, refusal: Refusal) -> Judgement:
    """The same, which would have been refused; the first reason counts."""
    if judged.plan.would is not None:
        return judged
    return Judgement(judged.plan, judged.fields | would_fields(refusal), judged.text, judged.said)


def as_it_runs(judged: Judgement, refusal: Refusal | None) -> Judgement:
    """The same as it runs: with what it would have been refused for, and without the claims that only a protected
    target settles.
    """
    if refusal is not None:
        judged = denied(judged, refusal)
    if judged.plan.write is None:
        return judged
    return Judgement(replace(judged.plan, write=None), judged.fields, judged.text, judged.said)


def verdict_of(judged: Judgement) -> dict[str, str]:
    """What a begin record says of an observed statement beside its fields."""
    return {"protection": "none", "would": "deny" if "would_codes" in judged.fields else "permit"}
