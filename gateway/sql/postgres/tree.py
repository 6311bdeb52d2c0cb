"""PostgreSQL's raw parse tree as Python meets it: small reading tools, no judgement.

A child of any kind is wrapped in a `Node` message that holds exactly one concrete message. Every walk here keeps its
own stack: the depth of a statement is its author's choice, the depth of ours is not.

Specification: `pg_query.proto` of libpg_query, which mirrors `parsenodes.h` and `primnodes.h` of PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from google._upb._message import SetAllowOversizeProtos
from postgast import pg_query_pb2 as pb

from gateway.errors import Refusal

# The protobuf runtime refuses about 100 nested messages on its own; our limits are in `parse.py`.
SetAllowOversizeProtos(True)

Message = Any
Node = pb.Node

POSITIONS = frozenset(
    {
        "location",
        "rexpr_list_start",
        "rexpr_list_end",
        "list_start",
        "list_end",
        "stmt_location",
        "stmt_len",
    }
)

_MESSAGE = 11


class Refused(Exception):
    """A refusal on its way out of a walk; `location` is a 0-based byte offset into the user's text, -1 for none."""

    def __init__(self, refusal: Refusal, location: int = -1) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.location = location


def refuse(code: str, message: str, hint: str = "", *, name: str = "", location: int = -1) -> NoReturn:
    """Raises: Refused, always."""
    raise Refused(Refusal(code, message, hint, name=name), location)


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())


def concrete(node: Message) -> Message:
    """What a `Node` holds, None for an empty one; any other message as it is."""
    if type(node) is Node:
        which = node.WhichOneof("node")
        return getattr(node, which) if which else None
    return node


def parts(message: Message, *, but: frozenset[str] = frozenset()) -> Iterator[Message]:
    """The messages directly below, `Node` wrappers as they stand; without those fields."""
    for field, value in message.ListFields():
        if field.type == _MESSAGE and field.name not in but:
            if field.is_repeated:
                yield from value
            else:
                yield value


def walk(root: Message) -> Iterator[Message]:
    """Every concrete message below and including `root`."""
    stack = [root]
    while stack:
        message = concrete(stack.pop())
        if message is not None:
            yield message
            stack.extend(parts(message))


def texts(nodes: Iterable[Message]) -> tuple[str, ...] | None:
    """The strings of a list of String nodes; None when another kind is among them."""
    found = []
    for node in nodes:
        if node.WhichOneof("node") != "string":
            return None
        found.append(node.string.sval)
    return tuple(found)


def set_names(nodes: Message, names: tuple[str, ...]) -> None:
    """Make a list of String nodes say those names."""
    if texts(nodes) == names:
        return
    del nodes[:]
    for name in names:
        nodes.add().string.sval = name


def copied(node: Message) -> Message:
    """A `Node` of its own with the same content."""
    made = Node()
    made.CopyFrom(node)
    return made


def same(one: Message, other: Message, hole: Message | None = None) -> bool:
    """Whether two trees are equal, positions apart. With a `hole`, each `ParamRef` 0 of `one` stands for that tree."""
    stack = [(one, other)]
    while stack:
        a, b = stack.pop()
        a, b = concrete(a), concrete(b)
        if a is None or b is None:
            if a is not b:
                return False
            continue
        if hole is not None and type(a) is pb.ParamRef and a.number == 0:
            if not same(hole, b):
                return False
            continue
        if type(a) is not type(b):
            return False
        left, right = _fields(a), _fields(b)
        if len(left) != len(right):
            return False
        for (field, x), (field_b, y) in zip(left, right, strict=True):
            if field.number != field_b.number:
                return False
            if field.type != _MESSAGE:
                if x != y:
                    return False
            elif field.is_repeated:
                if len(x) != len(y):
                    return False
                stack.extend(zip(x, y, strict=True))
            else:
                stack.append((x, y))
    return True


def fill(template: Message, hole: Message) -> None:
    """Put a copy of `hole` in place of each `ParamRef` 0 below the node `template`."""
    stack = [template]
    while stack:
        message = stack.pop()
        if type(message) is Node and message.WhichOneof("node") == "param_ref" and message.param_ref.number == 0:
            message.CopyFrom(wrap(hole))
        else:
            stack.extend(parts(message))


def wrap(message: Message) -> Message:
    """The message inside a `Node`."""
    if type(message) is Node:
        return message
    node = Node()
    getattr(node, _WRAPPER[type(message)]).CopyFrom(message)
    return node


def _fields(message: Message) -> list[tuple[Any, Any]]:
    return [pair for pair in message.ListFields() if pair[0].name not in POSITIONS]


_WRAPPER = {getattr(pb, field.message_type.name): field.name for field in Node.DESCRIPTOR.fields}
