"""What an observed session has to answer for: the answers that are due under its accounts.

A *due* is one answer that the target owes. A Parse and a Bind are covered by the record of the Execute that came with
them, so several dues may share an account; it is settled by the one that closes it or by the first that fails.
"""

from __future__ import annotations

from gateway.engines.account import Account


class Due:
    """One answer that the target owes. `kind` is the type of the message that asked; None for what carries nothing.

    `closes` its account when it is answered. `copies` says that the target may ask for data meanwhile; `done` when it
    no longer will.
    """

    __slots__ = ("account", "closes", "copies", "done", "kind")

    def __init__(self, kind: int, account: Account | None = None, *, closes: bool = True, copies: bool = False) -> None:
        self.kind, self.account, self.closes, self.copies = kind, account, closes, copies
        self.done = False
