"""What one begin record covers: the rows and bytes that left under it, and what was sent in.

INVARIANT: an account is settled once.
"""

from __future__ import annotations

from gateway.admitted import SETTLED, Admitted
from gateway.gate import Gate
from gateway.model import Outcome, Permit, Receipt

TAG_LENGTH = 200


class Account:
    """The counts of one permit. `taking` while a COPY FROM STDIN of it has not been completed."""

    __slots__ = (
        "announced_in", "bytes_in", "code", "permit", "rows", "rows_in", "settled", "size", "tag", "taking",
        "window_rows", "window_size",
    )  # fmt: skip

    def __init__(self, permit: Permit) -> None:
        self.permit = permit
        self.window_rows, self.window_size = permit.window_rows, permit.window_bytes
        self.rows = self.size = self.rows_in = self.bytes_in = self.announced_in = 0
        self.settled = self.taking = False
        self.tag = self.code = ""

    def completed(self, tag: str) -> None:
        """A CommandComplete came."""
        if self.taking:
            self.taking = False
            count = tag.rpartition(" ")[2]
            self.rows_in += int(count) if count.isdigit() else 0
        self.tag = f"{self.tag}; {tag}"[:TAG_LENGTH] if self.tag else tag

    def settle(self, gate: Gate, inside: Admitted, status: str, now_ns: int, code: str = "") -> Receipt:
        """Record how it ended, once. Raises `GatewayError("audit-not-writable")`."""
        if self.settled:
            return SETTLED
        self.settled = True
        duration = (now_ns - self.permit.started_ns) // 1000
        tag = "" if status == "error" else self.tag
        return gate.settle(
            inside,
            self.permit,
            Outcome(status, self.rows, self.size, code, duration, tag, self.rows_in, self.bytes_in),
        )
