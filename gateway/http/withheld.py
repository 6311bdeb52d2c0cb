"""The end of an answer of which nothing (more) may leave, and the bounds within which answers are read.

INVARIANT: a `Withheld` carries a status, a refusal in the gateway's own words, and nothing of the upstream's text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from gateway.errors import Refusal
from gateway.http.json_text import TooLarge, Unreadable

NOT_FOUND = Refusal("not-found", "there is no such object, or it is not yours to see")
"""What a missing object and another customer's answer alike, whoever finds out: the rules or the upstream."""


class Withheld(Exception):
    """Nothing (more) of this answer leaves. `headers` are those that the problem's answer has besides its own."""

    def __init__(self, refusal: Refusal, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.status = status or refusal.meaning.http
        self.headers = headers

    @classmethod
    def not_found(cls, because: Withheld | None = None) -> Withheld:
        """What another customer's object and a missing one have in common: every byte.

        `because` is what operators are told, of an object of which nobody knows whose it is.
        """
        detail = f"{because.refusal.code}: {because.refusal.message}" if because is not None else ""
        return cls(replace(NOT_FOUND, detail=detail), HTTPStatus.NOT_FOUND)

    @classmethod
    def not_allowed(cls, what: str) -> Withheld:
        """An answer of a kind that the policy does not name."""
        return cls(Refusal("answer-not-allowed", f"the target's answer {what}"))

    @classmethod
    def unreadable(cls, why: str) -> Withheld:
        """An answer that is not what it says that it is, to the letter."""
        return cls(Refusal("answer-unreadable", f"the target's answer cannot be read strictly: {why}"))

    @classmethod
    def unproven(cls) -> Withheld:
        """An answer whose last value may be a part of one."""
        return cls.unreadable("the connection ended it, and its last value may not be whole")

    @classmethod
    def unread(cls, why: Unreadable) -> Withheld:
        """An answer whose JSON is not read."""
        return cls.too_large(str(why)) if isinstance(why, TooLarge) else cls.unreadable(str(why))

    @classmethod
    def too_large(cls, what: str) -> Withheld:
        """An answer beyond a bound."""
        return cls(Refusal("answer-too-large", f"the target's answer is too large: {what}"))


@dataclass(frozen=True, slots=True)
class Limits:
    """Within which an answer is read.

    `line_bytes` bounds one line of NDJSON or one record of CSV, `columns` those of CSV, `depth` the nesting of JSON;
    what decodes to more than `slack_bytes` and more than `ratio` times what came is a bomb.

    Memory for one answer: a document's `max_bytes` and its values (`json_text.VALUES`, some hundred bytes each), or
    `line_bytes` and what one chunk decodes to.
    """

    line_bytes: int = 1 << 20
    columns: int = 1024
    depth: int = 64
    ratio: int = 100
    slack_bytes: int = 1 << 20
