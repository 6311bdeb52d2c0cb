"""A seal for dialogues that are not about literals: it takes everything and says nothing."""

from __future__ import annotations

from typing import Any


class Unsealed:
    """In place of `Seals`, and of the seal that they give a session."""

    def of(self, *_: Any) -> Any:
        return self if len(_) == 1 else ("", "")

    def refused(self, *_: Any, read: bool) -> dict[str, Any]:
        return {}
