"""What one statement mentions anywhere, read before it is rewritten. No judgement."""

from __future__ import annotations

from dataclasses import dataclass, field

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres import functions
from gateway.sql.postgres.tree import Message, walk


@dataclass(slots=True)
class Mentions:
    """What one statement text mentions anywhere: it decides which columns a derived table must carry."""

    words: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)
    everything: bool = False
    parameters: dict[int, int] = field(default_factory=dict)


def mentions(root: Message) -> Mentions:
    """One pass over a statement."""
    seen = Mentions()
    joins: set[str] = set()
    for message in walk(root):
        kind = type(message)
        if kind is pb.ColumnRef:
            named = [part.string.sval if part.WhichOneof("node") == "string" else "*" for part in message.fields]
            seen.words.update(named)
            if len(named) == 1:
                seen.alone.add(named[0])
            else:
                seen.pairs.add((named[-2], named[-1]))
        elif kind is pb.A_Star:
            seen.everything = True
        elif kind is pb.String:
            seen.words.add(message.sval)
        elif kind is pb.JoinExpr:
            # A join's alias may rename columns by their places, or stand for all of them.
            seen.everything = seen.everything or message.is_natural or bool(message.alias.colnames)
            joins.add(message.alias.aliasname)
        elif kind is pb.ParamRef:
            seen.parameters[message.number] = seen.parameters.get(message.number, 0) + 1
    called = (left for left, right in seen.pairs if right in functions.ALLOWED)
    seen.everything = seen.everything or not joins.isdisjoint(seen.alone.union(called))
    return seen


def aliases(root: Message) -> dict[str, list[str]]:
    """The names by which a statement's FROM items go, each with the relations written for it."""
    found: dict[str, list[str]] = {}
    for message in walk(root):
        if type(message) is pb.RangeVar:
            alias = message.alias.aliasname or message.relname
            plain = not message.alias.aliasname and message.schemaname
            found.setdefault(alias, []).append(f"{message.schemaname}.{message.relname}" if plain else "")
        elif type(message) in {pb.RangeSubselect, pb.RangeFunction, pb.JsonTable, pb.CommonTableExpr, pb.JoinExpr}:
            name = message.ctename if type(message) is pb.CommonTableExpr else message.alias.aliasname
            if name:
                found.setdefault(name, []).append("")
    return found
