"""One permitted request in the process: its answer on its way out, counted against what was announced.

INVARIANT: `released` never goes beyond the window; whoever wants more extends it first. A reply is settled once.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

from gateway.engines.http_channel import Permitted, frozen
from gateway.errors import Refusal
from gateway.http import paths, websocket
from gateway.http.answer import Answer, Withheld
from gateway.http.cursors import Paging
from gateway.policy.http_rules import HttpRules, Route


class Reply:
    """See the module. `refusal` is why nothing more of it may leave.

    `unproven` says that the API did not accept the gateway's credential; `prefix` is what people's paths begin with.
    """

    def __init__(self, permit: Permitted, rules: HttpRules, prefix: str = "") -> None:
        self.permit, self._rules, self._prefix = permit, rules, prefix
        route = next(one for one in rules.routes if one.name == permit.route)
        self.route: Route = replace(route, answers=frozen(permit.answers)) if permit.answers else route
        self.window_rows, self.window_bytes = permit.window_rows, permit.window_bytes
        self.rows = self.bytes = self.status = 0
        self.window_in = self.rows_in = self.bytes_in = 0
        self.upgrading: tuple[tuple[bytes, bytes], ...] | None = None
        self.upgraded = False
        self._passed = hashlib.sha256()
        self.forwarded = self.answered = self.head_sent = self.whole = self.settled = self.unproven = False
        self.refusal: Refusal | None = None
        self.heard_at = self.forwarded_at = time.monotonic()
        self.cut: Callable[[], None] = lambda: None
        self._answer: Answer | None = None

    def open(self, status: int, headers: Sequence[tuple[bytes, bytes]], *, framed: bool) -> None:
        """The target's head is there; `framed` is whether it says where the body ends. Raises `Withheld`."""
        self.answered, permit = True, self.permit
        self.unproven = status == HTTPStatus.UNAUTHORIZED
        if status == HTTPStatus.SWITCHING_PROTOCOLS and self.route.websocket:
            self.upgrading = websocket.switched(headers, dict(permit.headers))
            return
        self._answer = Answer(
            self.route, permit.method, status, headers, customers=permit.customers, key=permit.key or None,
            reveal=permit.reveal, routes=self._rules.routes, prefix=self._prefix, framed=framed,
            paging=self._paging(),
        )  # fmt: skip

    def _paging(self) -> Paging | None:
        permit = self.permit
        base = f"{permit.base}{self._prefix}{paths.join(self.route.template)}"
        return Paging(base, permit.cursor, permit.seal) if permit.cursor else None

    @property
    def code(self) -> str:
        """Why its client did not get what it asked for; empty where it did."""
        failed = self._answer is not None and self._answer.failed
        return self.refusal.code if self.refusal is not None else "target-refused" if failed else ""

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

    def wants_message(self, size: int, *, inward: bool) -> tuple[int, int, int] | None:
        """How many rows, bytes and bytes of the client's have to be announced before a message of that size passes;
        None when they are.
        """
        if inward:
            announced = self.window_in and self.bytes_in + size <= self.window_in
            return None if announced else (self.rows, self.bytes, max(self.bytes_in + size, 1))
        rows, out = self.rows + 1, self.bytes + size
        announced = rows <= self.window_rows and out <= self.window_bytes
        return None if announced else (rows, out, self.bytes_in)

    def pass_message(self, message: bytes, *, inward: bool, text: bool) -> bool:
        """That passes now; False where it may not."""
        if self.refusal is not None or self.settled or self.wants_message(len(message), inward=inward) is not None:
            # FAIL CLOSED: nobody may come here without a window
            return False
        self.heard_at = time.monotonic()
        if inward:
            self.rows_in, self.bytes_in = self.rows_in + 1, self.bytes_in + len(message)
        else:
            self.rows, self.bytes = self.rows + 1, self.bytes + len(message)
        self._passed.update((b"<" if inward else b">") + (b"t" if text else b"b") + len(message).to_bytes(8, "big"))
        self._passed.update(message)
        return True

    @property
    def digest(self) -> str:
        """SHA-256 of all messages that passed, each as its direction, kind, length (u64) and text; hexadecimal."""
        return self._passed.hexdigest() if self.upgraded else ""

    def outcome(self) -> str:
        """How it ended: see `Outcome`. What a write did is known when the target answered it, whatever it said."""
        if self.whole:
            return "error" if self.code else "ok"
        if self.upgraded:
            return "cut"
        if not self.forwarded:
            return "error"
        if self.permit.writes:
            return "ok" if self.answered and not self.head_sent else "unknown"
        return "cut" if self.head_sent else "error"
