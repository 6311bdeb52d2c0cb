"""One permitted request in the process: its answer on its way out, counted against what was announced.

INVARIANT: `released` never goes beyond the window; whoever wants more extends it first. A reply is settled once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gateway.engines.http_channel import Permitted
from gateway.errors import Refusal
from gateway.http.answer import Answer, Withheld
from gateway.policy.http_rules import HttpRules, Route


class Reply:
    """See the module. `refusal` is why nothing more of it may leave."""

    def __init__(self, permit: Permitted, rules: HttpRules) -> None:
        self.permit, self._rules = permit, rules
        self.route: Route = next(one for one in rules.routes if one.name == permit.route)
        self.window_rows, self.window_bytes = permit.window_rows, permit.window_bytes
        self.rows = self.bytes = self.status = 0
        self.forwarded = self.answered = self.head_sent = self.whole = self.settled = False
        self.refusal: Refusal | None = None
        self.heard_at = self.forwarded_at = time.monotonic()
        self.cut: Callable[[], None] = lambda: None
        self._answer: Answer | None = None

    def open(self, status: int, headers: Sequence[tuple[bytes, bytes]], *, framed: bool) -> None:
        """The target's head is there; `framed` is whether it says where the body ends. Raises `Withheld`."""
        self.answered, permit = True, self.permit
        self._answer = Answer(
            self.route, permit.method, status, headers, customers=permit.customers, key=permit.key or None,
            reveal=permit.reveal, routes=self._rules.routes, framed=framed,
        )  # fmt: skip

    def forward(self) -> None:
        """The target may see the request from here on."""
        self.forwarded = True
        self.heard_at = self.forwarded_at = time.monotonic()

    @property
    def names_customers(self) -> bool:
        """Whether it is the answer that says whose it is."""
        return any(rule.customer is not None for rule in self.route.answers)

    @property
    def streams(self) -> bool:
        """Whether parts of the answer leave before its end."""
        assert self._answer is not None
        return self._answer.streams

    def head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """What of the target's head leaves."""
        assert self._answer is not None
        return self._answer.head()

    def feed(self, data: bytes) -> bytes:
        """What leaves of a part of the target's body. Raises `Withheld`."""
        assert self._answer is not None
        self.heard_at = time.monotonic()
        return self._answer.feed(data)

    def finish(self) -> bytes:
        """What leaves at its end. Raises `Withheld`."""
        assert self._answer is not None
        return self._answer.finish()

    def wants(self, out: bytes) -> tuple[int, int] | None:
        """How many rows and bytes have to be announced before that leaves; None when they are."""
        assert self._answer is not None
        rows, size = self._answer.rows, self.bytes + len(out)
        return (rows, size) if rows > self.window_rows or size > self.window_bytes else None

    def release(self, out: bytes) -> bytes:
        """That leaves now."""
        assert self._answer is not None
        if self.refusal is not None or self.wants(out) is not None:
            # FAIL CLOSED: nobody may come here without a window
            raise Withheld(self.refusal or Refusal("internal-error", "more than was announced would have left"))
        self.rows, self.bytes = self._answer.rows, self.bytes + len(out)
        return out

    def outcome(self) -> str:
        """How it ended: see `Outcome`. What a write did is known when the target answered it, whatever it said."""
        if self.whole:
            return "ok"
        if not self.forwarded:
            return "error"
        if self.permit.writes:
            return "ok" if self.answered and not self.head_sent else "unknown"
        return "cut" if self.head_sent else "error"
