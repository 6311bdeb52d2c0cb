from collections.abc import Callable, Collection
from typing import Any

class Node: ...

def plain() -> Node: ...
def leaf(
    masked: Callable[[Any, bytes | None], Any],
    reader: str,
    most: int,
    render: Callable[[str, bytes | None], str | None] | None,
    fixed: bytes | None,
    always: bool,
) -> Node: ...
def members(names: tuple[bytes, ...], below: tuple[Node, ...], scope: tuple[int, ...]) -> Node: ...
def elements(
    element: Node, whose: tuple[bytes, ...] | None, index: int, counted: bool, scope: tuple[int, ...]
) -> Node: ...
def count(index: int) -> Node: ...

class Program:
    def __init__(
        self,
        root: Node,
        whose: tuple[bytes, ...] | None,
        arrays: int,
        read: Callable[[bytes, int], Any],
        write: Callable[[Any], bytes],
    ) -> None: ...
    def leave(
        self, text: bytes | bytearray, customers: Collection[str], key: bytes | None, depth: int
    ) -> tuple[bytes | None, int] | None: ...
