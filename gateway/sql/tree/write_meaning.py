"""What a statement that writes means to MySQL, where its question would mean something else: that is refused.

SET is carried out from left to right, so that a value that uses a column which was set before sees what it was set to;
as a question, every value sees the row as it was. And what stands in SET and WHERE of an UPDATE cannot aggregate; in a
SELECT it could, and make one row of all (MySQL 8.4 Reference Manual, "UPDATE Statement", "GROUP BY Modifiers").
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from gateway.errors import GatewayError
from gateway.sql.statement import View
from gateway.sql.tree.grammar import AGGREGATES
from gateway.sql.tree.scopes import find, visible
from gateway.sql.tree.write_reading import Asked
from gateway.sql.tree.writing import CALLS


def judge_meaning(found: Asked, view: View) -> None:
    """Nothing, where the question means what the statement does. Raises: GatewayError."""
    tree = found.question.tree
    _judge_order(found)
    for node in tree.walk():
        if isinstance(node, exp.Star) and _query_of(node) is tree:
            raise _unsupported("`*` stands where it is not supported", "name the columns")
        if isinstance(node, exp.Window) and _query_of(node) is tree:
            raise _unsupported("a window function cannot be what writes", "compute it in a sub-query of its own")
        if is_aggregate(node):
            _judge_aggregate(node, tree, view)
        if found.verb == "INSERT" and isinstance(node, exp.Column) and _query_of(node) is tree:
            raise _unsupported("a value of an INSERT names a column", "write the value, or SELECT it in parentheses")


def _judge_order(found: Asked) -> None:
    before: set[str] = set()
    values = iter(found.values)
    for name, there in zip(found.columns, found.rows[0] if found.verb == "UPDATE" else (), strict=False):
        if there:
            for column in next(values).find_all(exp.Column):
                if column.name.lower() in before and column.table in ("", found.alias):
                    raise _unsupported(
                        f"a value uses `{column.name[:64]}`, which is set before it in the same statement",
                        "write what uses a column in front of what sets it, with the table's name in front",
                    )
        before.add(name.lower())


def is_aggregate(node: exp.Expr) -> bool:
    """Whether this is a call that makes one value of many rows."""
    return isinstance(node, exp.GroupConcat) or (isinstance(node, CALLS) and str(node.this).lower() in AGGREGATES)


def _judge_aggregate(node: exp.Expr, tree: exp.Expr, view: View) -> None:
    """An aggregate belongs to the query whose columns it has, wherever it stands."""
    query = _query_of(node)
    if isinstance(node.parent, exp.Window) and query is not tree:
        return
    columns = list(node.find_all(exp.Column))
    if query is tree or (columns and not any(_is_own(one, query, view) for one in columns)):
        raise _unsupported(
            "an aggregate function cannot be what writes",
            "compute it in a sub-query, over columns with the name of a table of its FROM: (SELECT MAX(d.id) FROM …)",
        )


def _is_own(column: exp.Column, query: exp.Expr | None, view: View) -> bool:
    """Whether a column certainly is one of the query's own FROM."""
    for source in _sources(query) if query is not None else ():
        if column.table:
            if (source.alias or source.name) == column.table:
                return True
        elif isinstance(source, exp.Table):
            relation = find(view, source.db, source.name)
            if relation is not None and column.name.lower() in {one.lower() for one in visible(view, relation)}:
                return True
    return False


def _query_of(node: exp.Expr) -> exp.Expr | None:
    """The SELECT that a node stands in."""
    above = node.parent
    while above is not None and not isinstance(above, exp.Select):
        above = above.parent
    return above


def _sources(select: exp.Expr) -> Iterator[exp.Expr]:
    found = select.args.get("from_")
    if found is not None:
        yield found.this
    for join in select.args.get("joins") or ():
        yield join.this


def _unsupported(message: str, hint: str) -> GatewayError:
    return GatewayError("statement-not-supported", message, hint)
