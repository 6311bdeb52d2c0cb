"""The prepared statements of one MySQL session, by the numbers that the target gave them.

INVARIANT: what an execution is judged by is what was prepared under its number on this very connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.errors import GatewayError
from gateway.sql.cache import Judgement
from gateway.sql.said import KEPT, Said
from gateway.wire.mysql.commands import Bound, LongData, Parameter
from gateway.wire.mysql.results import Prepared as Head
from gateway.wire.mysql.values import Date, DateTime, Time, Value

_MOST = 10_000
_TEXTS = 16 * 1024**2
LONG = 16 * 1024**2
"""Bytes that may be sent ahead for one execution, of all its parameters."""


@dataclass(slots=True)
class Prepared:
    """One statement. `types` are those of the execution before; `long` are the values that were sent ahead, as far as
    they are kept, by the parameter's place, and `sizes` how long each is.
    """

    text: str
    judged: Judgement
    parameters: int
    types: tuple[Parameter, ...] | None = None
    long: dict[int, bytes] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def take_long(self, piece: LongData, most: float = LONG) -> bool:
        """Take a piece of a value; False for a parameter that there is not. Raises `GatewayError` for too much."""
        if piece.parameter >= self.parameters:
            return False
        self.sizes[piece.parameter] = self.sizes.get(piece.parameter, 0) + len(piece.data)
        if sum(self.sizes.values()) > most:
            raise GatewayError("message-too-large", "the parameters' values are too long", fatal=True)
        self.long[piece.parameter] = (self.long.get(piece.parameter, b"") + piece.data)[:KEPT]
        return True

    def with_values(self, bound: Bound) -> Judgement:
        """What the statement is judged to be, with the values that it is run with."""
        if not self.parameters:
            return self.judged
        words = [
            _spelled(self.long.get(place)) if place in self.long else _spelled(value)
            for place, value in enumerate(bound.values)
        ]
        said = self.judged.said
        values = "\n".join(f"?{place} = {word}" for place, word in enumerate(words, 1))
        subjects = tuple(words[one - 1] if isinstance(one, int) else one for one in said.subjects)
        cut = said.cut or len(values) > KEPT or any(size > KEPT for size in self.sizes.values())
        told = Said((*said.texts, values[:KEPT]), subjects, (), (), said.more, cut)
        return Judgement(self.judged.plan, self.judged.fields, self.judged.text, told)

    def arranged(self, bound: Bound) -> tuple[Bound, frozenset[int]]:
        """The values in the order of the text that was prepared, and which of them were sent ahead."""
        if not self.judged.plan.parameters:
            return bound, frozenset(self.long)
        order = self._order
        types = tuple(bound.types[one] for one in order)
        return Bound(types, tuple(bound.values[one] for one in order)), frozenset(order.index(one) for one in self.long)

    def arranged_piece(self, piece: LongData) -> LongData:
        """A piece of a value, for the parameter that it is in the text that was prepared."""
        return LongData(piece.statement, self._order.index(piece.parameter), piece.data)

    @property
    def _order(self) -> tuple[int, ...]:
        numbers = self.judged.plan.parameters
        return tuple(one - 1 for one in numbers) if numbers else tuple(range(self.parameters))

    def ran(self, bound: Bound) -> None:
        """It was sent to the target with those."""
        self.types = bound.types
        self.forget_long()

    def forget_long(self) -> None:
        """What was sent ahead is no longer wanted."""
        self.long.clear()
        self.sizes.clear()


class Statements:
    """All of a session."""

    def __init__(self) -> None:
        self._known: dict[int, Prepared] = {}
        self._held = 0

    def add(self, head: Head, text: str, judged: Judgement) -> None:
        """The target prepared a statement. Raises `GatewayError` when there are too many."""
        self._known[head.statement] = Prepared(text, judged, head.parameters)
        self._held += len(text)
        if len(self._known) > _MOST or self._held > _TEXTS:
            raise GatewayError("statement-too-complex", "too many prepared statements", fatal=True)

    def find(self, number: int) -> Prepared | None:
        """The statement of that number."""
        return self._known.get(number)

    def remove(self, number: int) -> bool:
        """Forget a statement; whether there was one."""
        found = self._known.pop(number, None)
        if found is not None:
            self._held -= len(found.text)
        return found is not None

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._held = 0


def _spelled(value: Value) -> str:
    """A value as it is kept for who may read it."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    if isinstance(value, DateTime):
        day = f"{value.year:04}-{value.month:02}-{value.day:02}"
        return f"{day} {value.hour:02}:{value.minute:02}:{value.second:02}.{value.microsecond:06}"
    if isinstance(value, Time):
        sign = "-" if value.negative else ""
        return f"{sign}{value.days * 24 + value.hour}:{value.minute:02}:{value.second:02}.{value.microsecond:06}"
    return repr(value)
