"""What a client said in a statement's values: held from the message that brought it until it is sealed.

The trail has statements without their literals. These travel beside the judgement of their statement, as all that the
name in the message may stand for: texts, values bound to portals, and which of them may tell who somebody is.

INVARIANT: nothing here reaches a record, a log or an answer; `literals/` seals it, or it is forgotten.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

T = TypeVar("T")

Subject = str | int
"""A value that may tell who somebody is: as it stands in the text, or the number of the parameter that brings it."""

KEPT = 65_536
"""Bytes of one message's values that are kept while its portal may run."""
MOST = 32
"""Texts or bound messages that one name may stand for at the same time."""
MOST_SUBJECTS = 10_000
"""Values that may tell who somebody is, of all these together."""


class Bound(NamedTuple):
    """The values of one message as they came: from the formats on (Bind), or a whole FunctionCall.

    `raw` is cut to `KEPT` bytes of the `size` that there were; `subjects` are then the values of those parameters that
    may tell who somebody is, each with its format (0 text, 1 binary). `types` are OIDs, as far as they were declared.
    """

    raw: bytes
    size: int
    types: tuple[int, ...] = ()
    subjects: tuple[tuple[int, bytes], ...] = ()
    is_call: bool = False


class Said(NamedTuple):
    """All that a statement may have been given; `more` when it may have been something else, `cut` when a text is.

    A text is bytes where it is in no encoding that could be read.
    """

    texts: tuple[str | bytes, ...] = ()
    subjects: tuple[Subject, ...] = ()
    bound: tuple[Bound, ...] = ()
    types: tuple[int, ...] = ()
    more: bool = False
    cut: bool = False


SILENT = Said()
"""A statement without literals and parameters."""


def in_text(text: str | bytes, subjects: tuple[Subject, ...] = ()) -> Said:
    """What a text says, of which no more is kept than is sealed."""
    return Said((text,), subjects) if len(text) <= KEPT else Said((text[:KEPT],), subjects, cut=True)


def either(one: Said, other: Said) -> Said:
    """What was said by either of two statements."""
    if one is other or one == SILENT:
        return other
    if other == SILENT:
        return one
    texts, bound = _both(one.texts, other.texts), _both(one.bound, other.bound)
    subjects = _both(one.subjects, other.subjects)
    more = max(len(texts), len(bound)) > MOST or len(subjects) > MOST_SUBJECTS
    return Said(
        texts[:MOST], subjects[:MOST_SUBJECTS], bound[:MOST], other.types or one.types,
        one.more or other.more or more, one.cut or other.cut,
    )  # fmt: skip


def _both(one: tuple[T, ...], other: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(one + other))
