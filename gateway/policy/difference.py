"""One thing that two policies say otherwise, and the ways to tell which way it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from gateway.policy.schema import Mask

WIDER, NARROWER, CHANGED = "wider", "narrower", "changed"

_SHOWS_NOTHING = frozenset({"null", "redact"})


class Difference(NamedTuple):
    """One thing that two policies say otherwise. Texts are empty for what one of them does not have."""

    effect: str
    what: str
    old: str
    new: str


def unmasking(old: Mask | None, new: Mask | None) -> str:
    """Which way a change of a mask goes; None is for what does not exist."""
    levels = [_level(mask) for mask in (old, new)]
    if levels[0] == levels[1]:
        return CHANGED
    return WIDER if levels[1] > levels[0] else NARROWER


def of_sets(what: str, old: Iterable[str], new: Iterable[str]) -> Iterator[Difference]:
    """What is in one set only: more is wider."""
    before, after = set(old), set(new)
    for name in sorted(after - before):
        yield Difference(WIDER, what, "", name)
    for name in sorted(before - after):
        yield Difference(NARROWER, what, name, "")


def of_values(what: str, old: Any, new: Any) -> Iterator[Difference]:
    """A change of something that has no order."""
    if old != new:
        yield Difference(CHANGED, what, text_of(old), text_of(new))


def mask_text(mask: Mask | None) -> str:
    """A mask in words; empty for none."""
    if mask is None:
        return ""
    options = ", ".join(f"{name} {value}" for name, value in mask.options)
    return f"{mask.kind} ({options})" if options else mask.kind


def text_of(value: Any) -> str:
    """A value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(sorted(value)) if isinstance(value, frozenset | tuple) else str(value)


def _level(mask: Mask | None) -> int:
    """How much a column shows: it does not exist, says nothing, something, or all."""
    if mask is None:
        return 0
    return 1 if mask.kind in _SHOWS_NOTHING else 3 if mask.kind == "clear" else 2
