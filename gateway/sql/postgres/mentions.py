"""What one statement mentions anywhere, read before it is rewritten. No judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import functions
from gateway.sql.postgres.deparse import LOOK, Loose
from gateway.sql.postgres.tree import Message, concrete, parts, texts, walk

_Names = dict[str, list[str]]
_Frames = tuple[tuple[bool, _Names], ...]


@dataclass(slots=True)
class Mentions:
    """What one statement text mentions anywhere: it decides which columns a derived table must carry.

    `given` are the names that it gives to columns itself, `loose` is what the way back to text must take care of.
    """

    words: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    everything: bool = False
    with_schema: bool = False
    parameters: dict[int, int] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    loose: Loose = field(default_factory=Loose)


def mentions(root: Message) -> Mentions:
    """One pass over a statement."""
    seen = Mentions()
    joins: set[str] = set()
    for message in walk(root):
        kind = type(message)
        look = LOOK.get(kind)
        if look is not None:
            look(message, seen.loose)
        if kind is pb.ColumnRef:
            named = [part.string.sval if part.WhichOneof("node") == "string" else "*" for part in message.fields]
            seen.words.update(named)
            if len(named) == 1:
                seen.alone.add(named[0])
            else:
                seen.pairs.add((named[-2], named[-1]))
                seen.with_schema = seen.with_schema or len(named) > 2
        elif kind is pb.A_Star:
            seen.everything = True
        elif kind is pb.String:
            seen.words.add(message.sval)
        elif kind is pb.JoinExpr:
            # A join's alias may rename columns by their places, or stand for all of them.
            seen.everything = seen.everything or message.is_natural or bool(message.alias.colnames)
            joins.add(message.alias.aliasname)
        elif kind is pb.ResTarget:
            seen.given.add(message.name)
        elif kind is pb.Alias:
            seen.given.update(texts(message.colnames) or ())
        elif kind is pb.SelectStmt and message.values_lists:
            seen.given.update(f"column{n}" for n, _ in enumerate(message.values_lists[0].list.items, 1))
        elif kind is pb.CommonTableExpr:
            seen.given.update(texts(message.aliascolnames) or ())
        elif kind is pb.ParamRef:
            seen.parameters[message.number] = seen.parameters.get(message.number, 0) + 1
    called = (left for left, right in seen.pairs if right in functions.ALLOWED)
    seen.everything = seen.everything or not joins.isdisjoint(seen.alone.union(called))
    return seen


def certain(root: Message, relation_of: Callable[[Message], str]) -> frozenset[int]:
    """The places of `schema.relation.column` references that mean the same without their schema.

    A derived table has no schema. The nearest SELECT around the reference that has an item of the relation's name must
    have that very relation, under no other name, and nothing else of that name. `relation_of` gives the qualified name
    of what a RangeVar names. Specification: `scanNameSpaceForRefname` in PostgreSQL's `parse_relation.c`.
    """
    found: set[int] = set()
    withs = {message.ctename for message in walk(root) if type(message) is pb.CommonTableExpr}
    # What is in sight, the nearest first: by FROM clause or join with an alias, which hides the names below it from the
    # rest. A FROM clause is marked, because a sub-query that is not LATERAL sees neither it nor the joins in it.
    stack: list[tuple[Message, _Frames]] = [(root, ())]
    while stack:
        holder, frames = stack.pop()
        message = concrete(holder)
        kind = type(message)
        if kind is pb.SelectStmt:
            inside = ((True, _items(message.from_clause, withs, relation_of)), *frames)
            for described, value in message.ListFields():
                if described.message_type is not None:
                    seen = frames if described.name in _OUTSIDE else inside
                    stack.extend((part, seen) for part in (value if described.is_repeated else (value,)))
        elif kind is pb.RangeSubselect and not message.lateral:
            stack.append((message.subquery, _beyond(frames)))
        elif kind is pb.JoinExpr:
            # ON sees what it joins and nothing else of its FROM clause.
            below = (False, _items((message.larg, message.rarg), withs, relation_of))
            stack.append((message.quals, (below, *_beyond(frames))))
            around = (below, *frames) if message.HasField("alias") else frames
            stack += [(message.larg, around), (message.rarg, around)]
        elif kind is pb.ColumnRef and len(message.fields) == 3:
            schema, name = texts(message.fields[:2]) or ("", "")
            frame = next((names for _, names in frames if name in names), {})
            if frame.get(name) == [f"{schema}.{name}"]:
                found.add(message.location)
        elif message is not None:
            stack.extend((part, frames) for part in parts(message))
    return frozenset(found)


def _beyond(frames: _Frames) -> _Frames:
    """What is in sight outside of the nearest FROM clause."""
    own = next((number for number, (clause, _) in enumerate(frames, 1) if clause), 0)
    return frames[own:]


def _items(items: Iterable[Message], withs: set[str], relation_of: Callable[[Message], str]) -> _Names:
    """The names in sight of FROM items, each with the relations that go by their own name."""
    found: _Names = {}
    stack = list(items)
    while stack:
        item = concrete(stack.pop())
        if type(item) is pb.JoinExpr:
            if not item.HasField("alias"):
                stack += [item.larg, item.rarg]
            found.setdefault(item.join_using_alias.aliasname, []).append("")
        if type(item) is pb.RangeVar and not item.HasField("alias"):
            known = item.schemaname or item.relname not in withs
            found.setdefault(item.relname, []).append(relation_of(item) if known else "")
        elif item is not None:
            found.setdefault(item.alias.aliasname, []).append("")
    return found


_OUTSIDE = frozenset({"with_clause", "larg", "rarg"})
