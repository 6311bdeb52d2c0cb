"""What an observed session has to answer for: accounts, and the answers that are due under them.

An *account* is what one begin record covers: the rows and bytes that left under it, and what was sent in. A *due* is
one answer that the target owes. A Parse and a Bind are covered by the record of the Execute that came with them, so
several dues may share an account; it is settled once, by the one that closes it or by the first that fails.
"""

from __future__ import annotations

from gateway.admitted import Admitted
from gateway.gate import Gate
from gateway.model import Outcome, Permit

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

    def settle(self, gate: Gate, inside: Admitted, status: str, now_ns: int, code: str = "") -> None:
        """Record how it ended, once. Raises `GatewayError("audit-not-writable")`."""
        if self.settled:
            return
        self.settled = True
        duration = (now_ns - self.permit.started_ns) // 1000
        tag = "" if status == "error" else self.tag
        gate.settle(
            inside,
            self.permit,
            Outcome(status, self.rows, self.size, code, duration, tag, self.rows_in, self.bytes_in),
        )


class Due:
    """One answer that the target owes. `kind` is the type of the message that asked; None for what carries nothing.

    `closes` its account when it is answered. `copies` says that the target may ask for data meanwhile; `done` when it
    no longer will.
    """

    __slots__ = ("account", "closes", "copies", "done", "kind")

    def __init__(self, kind: int, account: Account | None = None, *, closes: bool = True, copies: bool = False) -> None:
        self.kind, self.account, self.closes, self.copies = kind, account, closes, copies
        self.done = False
