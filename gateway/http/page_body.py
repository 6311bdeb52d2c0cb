"""A page of rows as one JSON object: held as a whole, read, and said anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from gateway.http import json_text
from gateway.http.withheld import Withheld


class PageBody(ABC):
    """One page of at most `bound` bytes; `rows` is how many rows it has, once it is read."""

    streams = False

    def __init__(self, bound: int, depth: int, too_large: str) -> None:
        self.rows = 0
        self._bound, self._depth, self._too_large = bound, depth, too_large
        self._held = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Nothing leaves before the end. Raises: Withheld."""
        self._held += piece
        if len(self._held) > self._bound:
            raise Withheld.too_large(self._too_large)
        return iter(())

    def finish(self, *, proven: bool) -> Iterator[bytes]:  # noqa: ARG002 - a document says itself where it ends
        """The page. Raises: Withheld."""
        try:
            document = json_text.read(self._held, self._depth)
        except json_text.Unreadable as why:
            raise Withheld.unread(why) from None
        self._held.clear()
        if type(document) is not dict:
            raise Withheld.unreadable("it is no page")
        yield json_text.write(self._page(document))

    @abstractmethod
    def _page(self, read: dict[str, Any]) -> dict[str, Any]:
        """What leaves of it. Raises: Withheld."""
