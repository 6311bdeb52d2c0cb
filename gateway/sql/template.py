"""Texts that differ only in free literals share one analysis.

Clients of the simple protocol write values into the text, so that no two statements are equal. A *template* is a text
whose free literals were replaced by stand-ins and which was then analysed and checked like any other; a further text of
the same shape gets that plan with its own literals in the places of the stand-ins.

INVARIANT: a literal is free only where nothing but its value can differ: a plain integer or string that is compared
with a column (which ones the grammar's room says, from the tree). All others are part of the template's identity.
INVARIANT: the shape is taken only from texts that need no knowledge of the grammar to be cut into tokens: without
comments, dollar quotes, backslashes, doubled quotes, prefixed strings and odd numbers. All others are analysed whole.
Cutting is the one part that is done for each statement: `_shape.pyx` is `cut_python` compiled, taken when it has been
built (`python -m gateway.wire.build gateway/sql/_shape.pyx`).

INVARIANT: a template is kept only when filling it with the literals of the text that it came from gives exactly what
the analysis of that text itself gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.errors import Refusal
from gateway.policy.schema import Policy
from gateway.sql.said import Subject
from gateway.sql.statement import Kind, Plan, View

_ODD = re.compile(r"--|/\*|[$\\\0]|''|\"\"|[\w&]'|(?<!\w)\d[.\w]*[._A-Za-z]|\.\d|(?<!\w)0\d|[^\x00-\x7f]")
_TOKEN = re.compile(r"\"[^\"]*\"|('[^']*'|(?<![\w.])\d{1,9}(?![\w.]))")
_NUMBER, _STRING = 918_273_000, "stand-in 5d2e9c1f "
_LONGEST = 4_096
_MOST = 60

FreeLiterals = Callable[[str, Policy], frozenset[int]]
"""Gives the character offsets of the literals of a text that are free, in the dialect of a policy."""


class Shape(NamedTuple):
    """A text cut into its literals and the rest. `values` are the literals as written, `offsets` where they begin."""

    key: str
    values: tuple[str, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """The outgoing text in pieces: `texts[0]`, value `order[0]`, `texts[1]`, value `order[1]`, …

    `telling` are those of the plan's `subjects` that stand for values: their place among them, and the value's number.
    """

    plan: Plan
    texts: tuple[str, ...]
    order: tuple[int, ...]
    telling: tuple[tuple[int, int], ...] = ()

    def fill(self, values: tuple[str, ...]) -> str:
        """The outgoing text for those literals."""
        parts = [self.texts[0]]
        for text, index in zip(self.texts[1:], self.order, strict=True):
            parts.append(values[index])
            parts.append(text)
        return "".join(parts)

    def subjects(self, values: tuple[str, ...]) -> tuple[Subject, ...]:
        """The plan's, for those literals."""
        if not self.telling:
            return self.plan.subjects
        found = list(self.plan.subjects)
        for place, number in self.telling:
            value = values[number]
            # a literal of a shape has neither doubled quotes nor escapes
            found[place] = value[1:-1] if value[0] == "'" else value
        return tuple(found)


def shape_of(text: str) -> Shape | None:
    """The text's shape; None when it has no literals, or needs the grammar to be cut."""
    if len(text) > _LONGEST:
        return None
    found = cut(text, _MOST)
    return None if found is None else Shape(*found)


def cut_python(text: str, most: int) -> tuple[str, tuple[str, ...], tuple[int, ...]] | None:
    """The fields of the text's `Shape`, or None; for up to `most` literals."""
    if _ODD.search(text):
        return None
    pieces: list[str] = []
    values: list[str] = []
    offsets: list[int] = []
    last = 0
    for match in _TOKEN.finditer(text):
        value = match[1]
        if value is None:
            continue
        start = match.start()
        pieces.append(text[last:start])
        # numbers and strings are different shapes: their types differ
        pieces.append("\0n" if value[0] != "'" else "\0s")
        last = match.end()
        values.append(value)
        offsets.append(start)
    if not values or len(values) > most:
        return None
    pieces.append(text[last:])
    return "".join(pieces), tuple(values), tuple(offsets)


try:
    from gateway.sql._shape import cut
except ImportError:
    cut = cut_python


def make_template(
    text: str, shape: Shape, plan: Plan, view: View, analyse: Callable[[str, View], Plan | Refusal], free: FreeLiterals
) -> tuple[Template, tuple[bool, ...]] | None:
    """The template of a text that was analysed already, and which of its literals are free; None when it has none."""
    if plan.kinds != (Kind.READ,) or any(relation.startswith("pg_catalog.") for relation in plan.relations):
        return None
    places = free(text, view.policy)
    is_free = tuple(offset in places for offset in shape.offsets)
    if not any(is_free):
        return None
    stand_ins: dict[str, int] = {}
    pieces: list[str] = []
    last = 0
    for index, (value, offset) in enumerate(zip(shape.values, shape.offsets, strict=True)):
        if not is_free[index]:
            continue
        stand_in = str(_NUMBER + index) if value[0] != "'" else f"'{_STRING}{index} '"
        if stand_in in text:
            return None
        stand_ins[stand_in] = index
        pieces += [text[last:offset], stand_in]
        last = offset + len(value)
    pieces.append(text[last:])
    general = analyse("".join(pieces), view)
    if isinstance(general, Refusal) or general.normalised != plan.normalised:
        return None
    cut = re.split("(" + "|".join(re.escape(one) for one in stand_ins) + ")", general.rewritten)
    order = tuple(stand_ins[one] for one in cut[1::2])
    if set(order) != set(stand_ins.values()):
        return None
    meant = {stand_in.strip("'"): index for stand_in, index in stand_ins.items()}
    telling = tuple((place, meant[one]) for place, one in enumerate(general.subjects) if one in meant)
    template = Template(general, tuple(cut[0::2]), order, telling)
    return (template, is_free) if template.fill(shape.values) == plan.rewritten else None
