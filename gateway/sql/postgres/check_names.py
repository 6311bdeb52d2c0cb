"""The check of `schema.relation.column`: whether the reference means the same column without its schema.

It does when, from the reference outwards, the first SELECT with a FROM item of that name has exactly one, and that one
is the relation itself without an alias: what is found by the shorter name is then what the longer one means.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.evidence import evidence
from gateway.sql.postgres.tree import Message, concrete, parts, walk
from gateway.sql.statement import View

Around = tuple[Message, ...]
"""The SELECTs and joins whose items are in sight, the nearest last: an ON condition sees those of its join only."""


def own_names(root: Message, view: View) -> set[int]:
    """The places of such references in a statement of the user's."""
    declared = {node.ctename for node in walk(root) if type(node) is pb.CommonTableExpr}
    good: set[int] = set()
    queue: list[tuple[Message, Around]] = [(root, ())]
    for node, around in queue:
        message = concrete(node)
        if type(message) is pb.ColumnRef:
            if len(message.fields) == 3 and _nearest(message, around, declared, view):
                good.add(message.location)
        elif type(message) is pb.SelectStmt:
            for one in parts(message):
                # A WITH clause and the branches of a set operation do not see the FROM items beside them.
                aside = type(one) in {pb.WithClause, pb.SelectStmt}
                queue.append((one, around if aside else (*around, message)))
        elif type(message) is pb.JoinExpr:
            sides = (*around, message) if message.HasField("alias") else around
            queue += [(message.larg, sides), (message.rarg, sides), (message.quals, (*_beyond(around), message))]
        elif type(message) is pb.RangeSubselect:
            queue.append((message.subquery, around if message.lateral else _beyond(around)))
        elif message is not None:
            queue += [(one, around) for one in parts(message)]
    return good


def _beyond(around: Around) -> Around:
    """What is seen from a FROM clause that does not see its own items."""
    while around and type(around[-1]) is pb.JoinExpr:
        around = around[:-1]
    return around[:-1]


def _nearest(reference: Message, around: Around, declared: set[str], view: View) -> bool:
    """Whether the nearest item of the reference's name is the relation that it names, and the only one there."""
    schema, name = (part.string.sval for part in reference.fields[:2])
    for place in reversed(around):
        named = [one for one in _in_sight(place) if name in _names(one)]
        if not named:
            continue
        item = named[0]
        if len(named) > 1 or type(item) is not pb.RangeVar or item.HasField("alias"):
            return False
        if not item.schemaname and item.relname in declared:
            return False
        meant = evidence(item.schemaname, item.relname, view)
        return meant is not None and (meant.schema, meant.name) == (schema, name)
    return False


def _in_sight(place: Message) -> list[Message]:
    """The items of a FROM clause or join, joins included; what stands below a join's alias is out of sight."""
    first = place.from_clause if type(place) is pb.SelectStmt else (place.larg, place.rarg)
    items = [concrete(one) for one in first]
    for item in items:
        if type(item) is pb.JoinExpr and not item.HasField("alias"):
            items += [concrete(item.larg), concrete(item.rarg)]
    return items


def _names(item: Message) -> set[str]:
    if type(item) is pb.JoinExpr:
        return {item.alias.aliasname, item.join_using_alias.aliasname}
    own = item.relname if type(item) is pb.RangeVar and not item.HasField("alias") else ""
    return {item.alias.aliasname, own}
