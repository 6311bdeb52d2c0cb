"""What a session remembers between its two connections: answers that are due, and what each name stands for.

Names are attributed conservatively. Whether a Parse or a Bind takes effect is known only later (it may fail, or be
skipped after an earlier error), and a failed one can leave an older statement or portal of the name in place. Where
that is possible, a name stands for all that it may mean, and the record of its execution names the union.
"""

from __future__ import annotations

from gateway.errors import GatewayError, Refusal
from gateway.gate import SETTLED, Refused
from gateway.model import Permit, Receipt
from gateway.sql.cache import Judgement, union
from gateway.wire import postgres as wire

INTERNAL = 0
"""The kind of a flow whose answer the client never sees: settings that the gateway restores."""

_NAMES = 10_000


class Flow:
    """One answer that is due from the target. `kind` is the type of the message that asked.

    `dropping` throws rows away until the target acknowledges that the statement was stopped.
    """

    __slots__ = (
        "announced", "dropping", "kind", "permit", "receipt", "refusal", "rows", "settled", "size", "tag",
        "window_rows", "window_size",
    )  # fmt: skip

    def __init__(self, kind: int, permit: Permit | None = None, refused: Refused | None = None) -> None:
        self.kind = kind
        self.permit = permit
        self.refusal: Refusal | None = None
        self.receipt: Receipt = SETTLED
        self.announced = True
        self.dropping = False
        self.settled = True
        self.rows = self.size = self.window_rows = self.window_size = 0
        self.tag = ""
        if permit is not None:
            self.announced = not permit.notices
            self.settled = permit.receipt is SETTLED
            self.receipt = permit.receipt
            self.window_rows, self.window_size = permit.window_rows, permit.window_bytes
        elif refused is not None:
            self.refusal = refused.refusal
            if refused.receipt is not None:
                self.receipt = refused.receipt


SYNC = Flow(wire.SYNC)
PLAIN = {kind: Flow(kind) for kind in (wire.BIND, wire.DESCRIBE, wire.CLOSE)}


class Names:
    """The prepared statements and portals of one session, by the names that the client gave them."""

    __slots__ = ("_parameters", "_portals", "_prepared")

    def __init__(self) -> None:
        self._prepared: dict[bytes, Judgement] = {}
        self._portals: dict[bytes, Judgement] = {}
        self._parameters: dict[bytes, int] = {}

    def parsed(self, name: bytes, judged: Judgement, *, certain: bool) -> None:
        """A Parse was sent; `certain` when the target cannot skip it."""
        self._set(self._prepared, name, judged, certain=certain)

    def bound(self, portal: bytes, judged: Judgement, parameters: int, *, certain: bool) -> None:
        """A Bind with that many parameters was sent."""
        self._parameters[portal] = parameters
        self._set(self._portals, portal, judged, certain=certain)

    def statement(self, name: bytes) -> Judgement | None:
        """What a prepared statement may be."""
        return self._prepared.get(name)

    def portal(self, name: bytes) -> Judgement | None:
        """What a portal may be."""
        return self._portals.get(name)

    def parameters(self, portal: bytes) -> int:
        """How many values the portal was last bound to."""
        return self._parameters.get(portal, 0)

    def closed(self, kind: int, name: bytes) -> None:
        """A Close was sent. Should it be skipped, the name is refused afterwards."""
        (self._prepared if kind == wire.STATEMENT else self._portals).pop(name, None)
        if kind == wire.PORTAL:
            self._parameters.pop(name, None)

    def simple_query(self) -> None:
        """A Query was sent: the unnamed statement and portal are gone."""
        self._prepared.pop(b"", None)
        self._portals.pop(b"", None)

    def _set(self, names: dict[bytes, Judgement], name: bytes, judged: Judgement, *, certain: bool) -> None:
        old = names.get(name)
        if old is not None and old is not judged and not (certain and not name):
            judged = union(old, judged)
        names[name] = judged
        if len(names) > _NAMES:
            raise GatewayError("statement-too-complex", "too many prepared statements or portals", fatal=True)
