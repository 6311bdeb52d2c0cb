"""Which literals of a statement are free: compared with a column, and nothing more.

Only an integer or string constant that stands alone on one side of `=`, `<>`, `<`, `<=`, `>` or `>=`, in the list of an
IN, or as a bound of a BETWEEN, opposite a plain column reference. Its value then reaches nothing but the comparison.
"""

from __future__ import annotations

from postgast import pg_query_pb2 as pb

from gateway.sql.postgres.parse import parse_tree
from gateway.sql.postgres.tree import Message, Refused, concrete, walk

_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})


def free_literals(text: str) -> frozenset[int]:
    """The character offsets of the free literals of an ASCII text; empty when it cannot be read."""
    try:
        tree = parse_tree(text)
    except Refused:
        return frozenset()
    if len(tree.stmts) != 1 or tree.stmts[0].stmt.WhichOneof("node") != "select_stmt":
        return frozenset()
    found: set[int] = set()
    for node in walk(tree):
        if type(node) is pb.A_Expr and _compares(node):
            left, right = concrete(node.lexpr), concrete(node.rexpr)
            if type(left) is pb.ColumnRef:
                found |= _constants(right)
            elif type(right) is pb.ColumnRef:
                found |= _constants(left)
    return frozenset(found)


def _compares(node: Message) -> bool:
    if node.kind in (pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN):
        return True
    if node.kind not in (pb.AEXPR_OP, pb.AEXPR_IN) or len(node.name) != 1:
        return False
    return concrete(node.name[0]).sval in _COMPARISONS


def _constants(node: Message) -> set[int]:
    if type(node) is pb.List:
        return {offset for item in node.items for offset in _constants(concrete(item))}
    if type(node) is pb.A_Const and not node.isnull and node.WhichOneof("val") in ("ival", "sval"):
        return {node.location}
    return set()
