"""What a session remembers between its two connections: answers that are due, and what each name stands for.

Theory of operation of names. Whether a Parse, Bind or Close takes effect is known only when the target answers: each
can fail, and after a failure all is skipped to the next Sync, Queries included. So the messages since the last Sync are
a *batch*. What runs inside a batch runs only if all before it in the batch took effect: there, a name is exactly what
the batch made of it. Once the Sync is sent, a batch may have failed at any place: its names stand for all that it made
of them, one after the other, and for what they were before. Once the Sync is answered the doubt is over if no message
had failed, else it stays.

The unnamed portal is another matter. A Query that fails inside a transaction leaves its own portal of that name behind,
and PostgreSQL 15 was seen to crash, with all its sessions, when that one is executed. So an Execute of the unnamed
portal leaves for the target only when the Bind certainly took effect: earlier in the same batch, or in one that was
answered, without a failure, and no Query since.

INVARIANT: a name stands for all that the target may take it for; the record of its execution names the union.
"""

from __future__ import annotations

from gateway.admitted import SETTLED, Refused
from gateway.errors import GatewayError, Refusal
from gateway.model import Permit, Receipt
from gateway.sql.cache import Judgement, union
from gateway.sql.said import KEPT, Bound, Said
from gateway.wire import postgres as wire

INTERNAL = 0
"""The kind of a flow whose answer the client never sees: settings that the gateway restores."""
DROPPED, SCRUBBED = 1, 2

_NAMES = 10_000
_TEXTS = 16 * 1024**2
"""How much text and how many bytes of values the names of one session may stand for."""


class Flow:
    """One answer that is due from the target. `kind` is the type of the message that asked.

    `apart` is 0 for most; `DROPPED` rows are thrown away until the target acknowledges that the statement was stopped,
    `SCRUBBED` ones are a plan's, and leave without what it must not tell.
    """

    __slots__ = (
        "announced", "apart", "kind", "permit", "receipt", "refusal", "rows", "settled", "size", "tag",
        "window_rows", "window_size",
    )  # fmt: skip

    def __init__(self, kind: int, permit: Permit | None = None, refused: Refused | None = None) -> None:
        self.kind = kind
        self.permit = permit
        self.refusal: Refusal | None = None
        self.receipt: Receipt = SETTLED
        self.announced = True
        self.apart = 0
        self.settled = True
        self.rows = self.size = self.window_rows = self.window_size = 0
        self.tag = ""
        if permit is not None:
            self.announced = not permit.notices
            if permit.plan.explains:
                self.apart = SCRUBBED
            self.settled = permit.receipt is SETTLED
            self.receipt = permit.receipt
            self.window_rows, self.window_size = permit.window_rows, permit.window_bytes
        elif refused is not None:
            self.refusal = refused.refusal
            if refused.receipt is not None:
                self.receipt = refused.receipt


SYNC = Flow(wire.SYNC)
PLAIN = {kind: Flow(kind) for kind in (wire.BIND, wire.DESCRIBE, wire.CLOSE)}


_MEANINGS = 8
"""Earlier meanings of one name in one batch that are kept apart."""


Key = tuple[int, bytes]
"""A protocol name: `wire.STATEMENT` or `wire.PORTAL`, and its bytes."""

_UNNAMED_PORTAL: Key = (wire.PORTAL, b"")

Batch = tuple[dict[Key, Judgement | None], dict[Key, list[Judgement]]]
"""What each name stands for at the end of a batch, and what it stood for earlier in it, oldest first."""


class Names:
    """The prepared statements and portals of one session, by the names that the client gave them."""

    __slots__ = ("_batch", "_failed", "_held", "_known", "_parameters", "_passing", "_sent")

    def __init__(self) -> None:
        self._known: dict[Key, Judgement] = {}
        self._batch: dict[Key, Judgement | None] = {}
        self._passing: dict[Key, list[Judgement]] = {}
        # rarely more than one or two, and a list is small when it is empty
        self._sent: list[Batch] = []
        self._failed = False
        self._held = 0
        self._parameters: dict[bytes, int] = {}

    def find(self, kind: int, name: bytes) -> Judgement | None:
        """All that the name may stand for when a message that is sent now is run."""
        key = kind, name
        if key in self._batch:
            return self._batch[key]
        if key == _UNNAMED_PORTAL and any(key in batch for batch, _ in self._sent):
            return None
        found = self._known.get(key)
        for batch, passing in self._sent:
            for judged in passing.get(key, ()):
                found = _either(found, judged)
            found = _either(found, batch.get(key))
        return found

    def set(self, kind: int, name: bytes, judged: Judgement) -> None:
        """A Parse or Bind was sent."""
        self._put((kind, name), judged)
        self._held += _length(judged)
        if self._held > _TEXTS:
            self._held = self._texts()
        if len(self._known) + len(self._batch) > _NAMES or self._held > _TEXTS:
            raise GatewayError("statement-too-complex", "too many prepared statements or portals", fatal=True)

    def _texts(self) -> int:
        """The length of all texts that are kept; each once, however many names stand for it."""
        kept = {id(judged): _length(judged) for judged in self._known.values()}
        for batch, passing in ((self._batch, self._passing), *self._sent):
            kept |= {id(judged): _length(judged) for judged in batch.values() if judged is not None}
            kept |= {id(judged): _length(judged) for several in passing.values() for judged in several}
        return sum(kept.values())

    def _put(self, key: Key, judged: Judgement | None) -> None:
        before = self._batch.get(key)
        # an unnamed portal that may be another one is not executed, see above
        if before is not None and key != _UNNAMED_PORTAL and not _says_the_same(before, judged):
            # what failed may stand between the two, and then the name keeps its earlier meaning
            several = self._passing.setdefault(key, [])
            if len(several) < _MEANINGS:
                several.append(before)
            else:
                several[-1] = union(several[-1], before)
        self._batch[key] = judged

    def bound(self, portal: bytes, judged: Judgement, parameters: int) -> None:
        """A Bind with that many parameters was sent."""
        self._parameters[portal] = parameters
        self.set(wire.PORTAL, portal, judged)

    def parameters(self, portal: bytes) -> int:
        """How many values the portal was last bound to."""
        return self._parameters.get(portal, 0)

    def closed(self, kind: int, name: bytes) -> None:
        """A Close was sent."""
        self._put((kind, name), None)
        if kind == wire.PORTAL:
            self._parameters.pop(name, None)

    def simple_query(self) -> None:
        """A Query was sent: where it runs, the unnamed statement is gone, and the unnamed portal nobody's any more."""
        self._put((wire.STATEMENT, b""), None)
        self._put(_UNNAMED_PORTAL, None)

    def synced(self) -> None:
        """A Sync was sent."""
        self._sent.append((self._batch, self._passing))
        self._batch, self._passing = {}, {}

    def failed(self) -> None:
        """A message of the batch whose answers come now has failed, and with it all to the next Sync."""
        self._failed = True

    def answered(self) -> None:
        """The oldest Sync was answered."""
        batch, passing = self._sent.pop(0)
        for key, judged in batch.items():
            found = judged
            if self._failed and key == _UNNAMED_PORTAL:
                found = None
            elif self._failed:
                found = self._known.get(key)
                for one in (*passing.get(key, ()), judged):
                    found = _either(found, one)
            if found is None:
                self._known.pop(key, None)
            else:
                self._known[key] = found
        self._failed = False


def with_values(judged: Judgement, body: bytes, tail: int) -> Judgement:
    """What a Bind makes of a statement: the same, with the values that begin (formats first) at `tail` of its body."""
    said, size = judged.said, len(body) - tail
    if size <= KEPT:
        bound = Bound(body[tail:], size, said.types)
    else:
        values = wire.split_values(body[tail:])
        wanted = {one for one in said.subjects if isinstance(one, int)}
        subjects = [(code, value[:KEPT]) for place, (code, value) in enumerate(values, 1) if value and place in wanted]
        bound = Bound(body[tail : tail + KEPT], size, said.types, tuple(subjects))
    return Judgement(judged.plan, judged.fields, judged.text, Said(said.texts, said.subjects, (bound,), *said[3:]))


def called_with(body: bytes) -> Said:
    """What the arguments of a FunctionCall say."""
    return Said(bound=(Bound(body[:KEPT], len(body), is_call=True),))


def _length(judged: Judgement) -> int:
    """How much of its text and of what was said with it is kept for a name."""
    said = judged.said
    if not said.texts:
        # nearly all that there is: no values, or those of one message
        if not said.bound:
            return len(judged.text)
        if len(said.bound) == 1:
            return len(judged.text) + len(said.bound[0].raw)
    return len(judged.text) + sum(map(len, said.texts)) + sum(len(one.raw) for one in said.bound)


def _says_the_same(one: Judgement, other: Judgement | None) -> bool:
    """Whether two are of one template, with the same literals."""
    return other is not None and one.fields is other.fields and one.plan is other.plan and one.said == other.said


def _either(one: Judgement | None, other: Judgement | None) -> Judgement | None:
    if one is None or other is None or one is other:
        return one or other
    return union(one, other)
